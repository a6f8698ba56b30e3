/*
 * Turns decoded pictures upright, whichever way their display matrix says. Belongs to one task.
 */
#ifndef LUMA_ENGINE_TURN_H
#define LUMA_ENGINE_TURN_H

#include <libavformat/avformat.h>

#include "engine/graph.h"

struct turn {
    int32_t matrix[9]; /* the stream's; frames may bring their own */
    bool has_matrix;
    int threads;
    struct chain chain; /* empty while pictures are upright */
    const struct orientation *orientation;
};

/* Takes the matrix of a stream's side data, if it has one. */
void turn_init(struct turn *turn, const AVStream *stream, int threads);
void turn_finish(struct turn *turn);

/* Replaces the frame by the upright one, and drops its matrix. */
int turn_frame(struct turn *turn, AVFrame *frame, AVRational frame_rate, struct error *e);

#endif
