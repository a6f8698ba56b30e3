/*
 * Where bytes come from and go to.
 *
 * The engine opens no file by name while it demuxes or muxes: it reads through a struct io_reader
 * and writes through a struct io_writer, wrapped into AVIOContexts. That is what lets an input be
 * a file of which only some ranges have arrived, and an output be sent while it grows.
 *
 * Readers and writers are used by one thread at a time. read_at may block; whoever blocks for long
 * must look at the cancel flag that it was given at creation.
 */
#ifndef LUMA_ENGINE_IO_H
#define LUMA_ENGINE_IO_H

#include <libavformat/avformat.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/error.h"

struct io_reader {
    /* Reads up to size bytes at offset: bytes read (> 0), 0 at the end, or an AVERROR. */
    int (*read_at)(struct io_reader *reader, uint8_t *buffer, int size, int64_t offset);
    /* Size in bytes, or -1 while unknown. */
    int64_t (*size)(struct io_reader *reader);
    void (*close)(struct io_reader *reader);
};

/* Opens a local file (regular files only). The path never appears in an error: label does. */
int io_reader_open_file(struct io_reader **out, const char *path, const char *label,
                        struct error *e);
void io_reader_close(struct io_reader **reader);

/* An AVIOContext over the reader, which it borrows. `cancel` (may be NULL) makes reads return
 * AVERROR_EXIT once it is non-zero; `position` (may be NULL) is kept at the furthest byte read,
 * for progress. Free with io_free_read(). NULL when out of memory. */
AVIOContext *io_alloc_read(struct io_reader *reader, atomic_int *cancel, _Atomic int64_t *position);
void io_free_read(AVIOContext **io);

/* A second flag that ends reads like `cancel` does, for the time of one run; NULL takes it away.
 * Only while nothing reads. */
void io_watch(AVIOContext *io, atomic_int *cancel);

struct io_writer {
    /* Writes all of the bytes at offset: 0 or an AVERROR. Earlier bytes may be written again. */
    int (*write_at)(struct io_writer *writer, const uint8_t *bytes, int size, int64_t offset);
    /* Reads back what was written: as io_reader's. */
    int (*read_at)(struct io_writer *writer, uint8_t *buffer, int size, int64_t offset);
    /* Lets the disk begin with bytes that were written and are to be synced later; doesn't wait. */
    void (*write_out)(struct io_writer *writer, int64_t offset, int64_t size);
    void (*close)(struct io_writer *writer);
};

/* Creates (or empties) a local file. The path never appears in an error: label does. */
int io_writer_create_file(struct io_writer **out, const char *path, const char *label,
                          struct error *e);
void io_writer_close(struct io_writer **writer);

/* What is written, and what may be. Shared by all contexts on one writer. */
struct io_account {
    int64_t limit;           /* bytes of this file; 0: none */
    int64_t shared_limit;    /* bytes of all files that share `shared`; 0: none */
    _Atomic int64_t *shared; /* may be NULL */
    int64_t size;            /* the file's size so far */
    int failure;             /* first AVERROR of a write, for muxers that swallow it */
    bool early;              /* what is written stays as it is: the disk begins at once */
    int64_t begun;           /* so far it has begun */
    bool over_limit;         /* it was a limit */
};

/* An AVIOContext that writes through the writer, which it borrows like the account. A write past
 * a limit fails with AVERROR(EFBIG). */
AVIOContext *io_alloc_write(struct io_writer *writer, struct io_account *account);
/* One that reads back, from the beginning. */
AVIOContext *io_alloc_reread(struct io_writer *writer, struct io_account *account);
/* Flushes; 0 or the first AVERROR of any write. */
int io_free_write(AVIOContext **io);

#endif
