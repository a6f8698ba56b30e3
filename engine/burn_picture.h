/*
 * Subtitles that are pictures (PGS, DVD, DVB, XSUB), brought to the size of the frame.
 *
 * They were made for a canvas of their own. Where it has the shape of the stored video, or of the
 * frame, it is stretched over the frame; else it is as wide as the frame and centred, and what
 * would lie outside is moved inside: films lose their black bars, and their subtitles must not go
 * with them.
 *
 * One event is shown at a time, until its end or the next one. Its scaled pictures are kept as long
 * as frames stay alike. Everything belongs to one thread.
 */
#ifndef LUMA_ENGINE_BURN_PICTURE_H
#define LUMA_ENGINE_BURN_PICTURE_H

#include <libavcodec/avcodec.h>

#include "engine/burn_draw.h"
#include "engine/error.h"

struct burn_canvas {
    int width, height;               /* 0: the stored video's */
    int stored_width, stored_height; /* of the video before any filter, upright; 0: unknown */
};

struct burn_pictures;

/* NULL when out of memory. */
struct burn_pictures *burn_pictures_create(void);
void burn_pictures_destroy(struct burn_pictures **pictures);

/* From now on this is shown (nothing, if it has no pictures); consumes the subtitle's content. */
void burn_pictures_show(struct burn_pictures *pictures, AVSubtitle *subtitle,
                        const struct burn_canvas *canvas);

/* Draws what is shown; makes the frame writable only if there is something. */
int burn_pictures_draw(struct burn_pictures *pictures, struct burn_ink *ink, AVFrame *frame,
                       struct error *e);

#endif
