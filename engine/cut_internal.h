/*
 * The packets of one stream, by seeking and reading, for cut.c. Belongs to one task.
 */
#ifndef LUMA_ENGINE_CUT_INTERNAL_H
#define LUMA_ENGINE_CUT_INTERNAL_H

#include "engine/access.h"
#include "engine/plan_internal.h"

struct cut_reader {
    struct plan_file *file;
    struct io_reader *bytes;
    AVFormatContext *context;
    AVStream *stream;
    struct access access;
    bool judged; /* the codec's packets can be */
    AVPacket *packet;
    int64_t pts, dts; /* of the packet; AV_NOPTS_VALUE if unknown */
    bool from_begin;  /* reading began with the file's first packet */
    /* Why its times can't be relied on; NULL while they can. */
    const char *trouble;
};

int cut_reader_open(struct cut_reader *reader, const struct plan *plan, struct plan_edge edge,
                    struct error *e);
void cut_reader_close(struct cut_reader *reader);

/* Seconds from the input's beginning on the stream's clock, the first tick at or after them (UP) or
 * the last at or before (DOWN); and back. */
int64_t cut_reader_ticks(const struct cut_reader *reader, double seconds, enum AVRounding rounding);
double cut_reader_seconds(const struct cut_reader *reader, int64_t ticks);

/* The next packet of the stream: 1, 0 at the end, or an error code. */
int cut_reader_next(struct cut_reader *reader, struct error *e);

/* Stands on the last keyframe shown at or before the time, or else on the file's first packet:
 * 1, 0 if there is no packet, or an error code. */
int cut_reader_seek(struct cut_reader *reader, int64_t ticks, struct error *e);

#endif
