/*
 * The packed RGB formats, and their pixels as rows of 0xAARRGGBB.
 */
#include <libavutil/pixdesc.h>
#include <string.h>

#include "engine/palette_internal.h"

static const struct pixel_layout layouts[] = {
    {AV_PIX_FMT_BGRA, 4, 2, 1, 0, 3},   {AV_PIX_FMT_BGR0, 4, 2, 1, 0, -1},
    {AV_PIX_FMT_RGBA, 4, 0, 1, 2, 3},   {AV_PIX_FMT_RGB0, 4, 0, 1, 2, -1},
    {AV_PIX_FMT_ARGB, 4, 1, 2, 3, 0},   {AV_PIX_FMT_0RGB, 4, 1, 2, 3, -1},
    {AV_PIX_FMT_ABGR, 4, 3, 2, 1, 0},   {AV_PIX_FMT_0BGR, 4, 3, 2, 1, -1},
    {AV_PIX_FMT_RGB24, 3, 0, 1, 2, -1}, {AV_PIX_FMT_BGR24, 3, 2, 1, 0, -1},
};

const enum AVPixelFormat palette_formats[] = {
    AV_PIX_FMT_BGRA,  AV_PIX_FMT_BGR0,  AV_PIX_FMT_RGBA, AV_PIX_FMT_RGB0,
    AV_PIX_FMT_ARGB,  AV_PIX_FMT_0RGB,  AV_PIX_FMT_ABGR, AV_PIX_FMT_0BGR,
    AV_PIX_FMT_RGB24, AV_PIX_FMT_BGR24, AV_PIX_FMT_NONE,
};

const struct pixel_layout *pixel_layout_find(int format)
{
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        if (layouts[i].format == format) {
            return &layouts[i];
        }
    }
    return NULL;
}

int pixel_check(const AVFrame *frame, struct error *e)
{
    if (!pixel_layout_find(frame->format)) {
        const char *name = av_get_pix_fmt_name((enum AVPixelFormat)frame->format);
        return error_set(e, ERROR_INVALID_INPUT, "a palette needs packed 8-bit RGB, not %s",
                         name ? name : "an unknown pixel format");
    }
    if (frame->width < 1 || frame->height < 1 || frame->width > PALETTE_MAX_SIDE ||
        frame->height > PALETTE_MAX_SIDE || !frame->data[0]) {
        return error_set(e, ERROR_INVALID_INPUT,
                         "a palette needs pictures of 1 to %d pixels a side, not %dx%d",
                         PALETTE_MAX_SIDE, frame->width, frame->height);
    }
    return 0;
}

void pixel_row(const struct pixel_layout *layout, const uint8_t *source, int width, uint32_t *argb)
{
    if (layout->format == AV_PIX_FMT_RGB32 || layout->format == AV_PIX_FMT_0RGB32) {
        const uint32_t fill = layout->a < 0 ? 0xff000000 : 0;
        memcpy(argb, source, (size_t)width * sizeof *argb);
        for (int x = 0; x < width; x++) {
            argb[x] |= fill;
        }
        return;
    }
    for (int x = 0; x < width; x++, source += layout->step) {
        uint32_t alpha = layout->a < 0 ? 255 : source[layout->a];
        argb[x] = alpha << 24 | (uint32_t)source[layout->r] << 16 |
                  (uint32_t)source[layout->g] << 8 | source[layout->b];
    }
}
