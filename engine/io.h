/*
 * Where bytes come from and go to.
 *
 * The engine opens no file by name while it demuxes or muxes: it reads through a struct io_reader
 * and writes through a struct io_writer, wrapped into AVIOContexts. That is what lets an input be
 * a file of which only some ranges have arrived, and an output be sent while it grows.
 *
 * Readers are used by one thread at a time. read_at may block; whoever blocks for long must look
 * at the cancel flag that it was given at creation.
 */
#ifndef LUMA_ENGINE_IO_H
#define LUMA_ENGINE_IO_H

#include <libavformat/avformat.h>
#include <stdatomic.h>
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

#endif
