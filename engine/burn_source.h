/*
 * The subtitles of one stream, decoded, for whoever draws them.
 *
 * A source has a demuxer of its own, which reads this stream and nothing else, and is pulled: the
 * caller asks for events until one lies past the time that it draws. So a picture never waits for
 * a subtitle packet that doesn't come, events are there however a file is interleaved, and memory
 * doesn't grow with the distance between two of them. It always begins at the beginning of the
 * file, since what is shown at the start of a range may have begun at any time before.
 *
 * Times are milliseconds of the range's own clock, as those of frames are. Made and finished by the
 * thread that makes the run, used by one task.
 */
#ifndef LUMA_ENGINE_BURN_SOURCE_H
#define LUMA_ENGINE_BURN_SOURCE_H

#include "engine/pipeline_internal.h"

struct burn_source {
    struct source source;
    AVCodecContext *decoder;
    AVPacket *packet;
    int stream;
    double zero; /* seconds on the file's clock that are 0 for the caller */
    bool ended, text;
};

struct burn_event {
    AVSubtitle subtitle;
    int64_t start;
    int64_t duration; /* -1: until the next event */
};

/* An input (or range) node and its pad. On failure, too, burn_source_finish() is due. */
int burn_source_init(struct burn_source *source, struct run *run, struct plan_edge edge,
                     struct error *e);
void burn_source_finish(struct burn_source *source);

/* 1 with an event, whose subtitle is then the caller's to free; 0 after the last. */
int burn_source_next(struct burn_source *source, struct burn_event *event, struct error *e);

#endif
