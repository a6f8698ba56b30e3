/*
 * What the three styles of explaining a plan share. Every function appends to a bprint buffer,
 * which remembers by itself that memory ran out.
 */
#ifndef LUMA_ENGINE_PLAN_EXPLAIN_INTERNAL_H
#define LUMA_ENGINE_PLAN_EXPLAIN_INTERNAL_H

#include <libavutil/bprint.h>

#include "engine/plan_build.h"

struct explain {
    const struct plan *plan;
    const bool *reached;
    AVBPrint *text;
};

/* How an input's stream is used by the reached nodes. */
struct stream_use {
    int frames, packets; /* number of nodes that want them */
};
struct stream_use explain_stream_use(const struct explain *x, struct plan_edge edge);

/* "scale", "libx264", "pick", ...: the thing that a node is. */
const char *explain_node_name(const struct plan_node *node);

/* "video h264 854x480 24 fps" */
void explain_stream(AVBPrint *text, const struct media_stream *stream);

/* "mp4, 30.0 s, from 2 s to 10 s" */
void explain_input(AVBPrint *text, const struct plan_node *node);

/* Any text, made valid UTF-8 on one line. */
void explain_clean(AVBPrint *text, const char *untrusted);

/* A number of seconds without needless zeros: "12.5". */
void explain_number(AVBPrint *text, double number);

/* Why a track is copied or encoded. */
void explain_why(const struct explain *x, struct plan_edge track, const struct format *format,
                 AVBPrint *text);

void explain_dot(const struct explain *x);
void explain_ffmpeg(const struct explain *x);

#endif
