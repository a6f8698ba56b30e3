/*
 * A spool: pictures put aside on disk, to be read again in the same order, once or several times.
 *
 * For work that needs all frames before it can treat the first (a palette, a second pass without
 * decoding twice): spool_write() each, spool_rewind(), spool_read() until it returns 0. Frames are
 * stored raw, so a spool takes width x height x bytes a pixel of disk for each and memory for one.
 * Its file has no name: whatever ends the process removes it.
 *
 * What comes back is the picture with its size, format, timestamp, duration, time base, aspect and
 * colour tags. Field order, metadata, side data and opaque references stay behind. Formats on
 * hardware and frames without a picture are refused.
 *
 * Threads: one at a time.
 */
#ifndef LUMA_ENGINE_SPOOL_H
#define LUMA_ENGINE_SPOOL_H

#include <libavutil/frame.h>
#include <stdint.h>

#include "engine/error.h"

struct spool;

/* A spool in a directory that can be written to; max_bytes bounds what it may hold. *spool is NULL
 * after a failure. */
int spool_create(struct spool **spool, const char *directory, int64_t max_bytes, struct error *e);

void spool_destroy(struct spool **spool);

/* Puts a frame at the end, wherever reading is. ERROR_LIMIT_EXCEEDED above max_bytes,
 * ERROR_DISK_FULL when there is no room; the frames already there stay readable. */
int spool_write(struct spool *spool, const AVFrame *frame, struct error *e);

/* The next read gets the first frame. */
void spool_rewind(struct spool *spool);

/* Fills an empty frame: 1, 0 after the last frame (frame stays empty), or an error. The picture's
 * buffer is new and writable. */
int spool_read(struct spool *spool, AVFrame *frame, struct error *e);

/* Frames in it, and bytes of disk. */
int64_t spool_count(const struct spool *spool);
int64_t spool_size(const struct spool *spool);

#endif
