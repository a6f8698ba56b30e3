/*
 * Frames of one size and format, for what takes many frames together: pictures of a film whose
 * size changes on the way are brought to that of the first.
 *
 * Belongs to one task.
 */
#ifndef LUMA_ENGINE_UNIFORM_H
#define LUMA_ENGINE_UNIFORM_H

#include <libavutil/frame.h>

#include "engine/error.h"

struct SwsContext;

/* All zero: no frame yet. */
struct uniform {
    int width, height, format; /* of the first frame */
    AVRational aspect;
    struct SwsContext *scaler;
};

/* Scales and converts the frame where it differs from the first. 0 or an error code. */
int uniform_frame(struct uniform *uniform, AVFrame *frame, struct error *e);
void uniform_finish(struct uniform *uniform);

#endif
