/*
 * Palettes into the frame's components, those as planes of 16 bits through swscale, onto the frame.
 * Colours are mixed before scaling, times alpha, so that edges have no fringes.
 */
#include "engine/burn_picture.h"

#include <libavutil/macros.h>
#include <libswscale/swscale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SIDE = 8192, PLANES = 4, COLORS = 256 };

struct burn_pictures {
    AVSubtitle subtitle;
    struct burn_canvas canvas;
    bool any;

    /* made for frames like this */
    struct burn_ink ink;
    int width, height;
    struct burn_picture *list;
    int count;
    struct SwsContext *scaler;
};

struct burn_pictures *burn_pictures_create(void)
{
    return calloc(1, sizeof(struct burn_pictures));
}

static void picture_finish(struct burn_picture *picture)
{
    free(picture->alpha);
    for (int i = 0; i < 3; i++)
        free(picture->value[i]);
    *picture = (struct burn_picture){0};
}

static void drop_list(struct burn_pictures *pictures)
{
    for (int i = 0; pictures->list && i < pictures->count; i++)
        picture_finish(&pictures->list[i]);
    free(pictures->list);
    pictures->list = NULL;
    pictures->count = 0;
}

void burn_pictures_destroy(struct burn_pictures **pictures)
{
    if (!*pictures)
        return;
    drop_list(*pictures);
    avsubtitle_free(&(*pictures)->subtitle);
    sws_freeContext((*pictures)->scaler);
    free(*pictures);
    *pictures = NULL;
}

static bool usable(const AVSubtitleRect *rect)
{
    return rect->type == SUBTITLE_BITMAP && rect->data[0] && rect->data[1] && rect->w > 0 &&
           rect->h > 0 && rect->w <= MAX_SIDE && rect->h <= MAX_SIDE && rect->x >= 0 &&
           rect->y >= 0 && rect->x <= MAX_SIDE && rect->y <= MAX_SIDE;
}

void burn_pictures_show(struct burn_pictures *pictures, AVSubtitle *subtitle,
                        const struct burn_canvas *canvas)
{
    drop_list(pictures);
    avsubtitle_free(&pictures->subtitle);
    pictures->subtitle = *subtitle;
    *subtitle = (AVSubtitle){0};
    pictures->canvas = *canvas;
    pictures->any = false;
    struct burn_canvas *own = &pictures->canvas;
    if (own->width <= 0 || own->height <= 0) {
        own->width = own->stored_width;
        own->height = own->stored_height;
    }
    for (unsigned i = 0; i < pictures->subtitle.num_rects; i++) {
        const AVSubtitleRect *rect = pictures->subtitle.rects[i];
        if (!usable(rect))
            continue;
        pictures->any = true;
        /* A canvas that is smaller than what stands on it is not the one that was meant. */
        own->width = FFMAX(own->width, rect->x + rect->w);
        own->height = FFMAX(own->height, rect->y + rect->h);
    }
}

/* ---- placing ---- */

struct placing {
    double scale_x, scale_y, offset_x, offset_y;
};

static bool same_shape(double a, double b)
{
    return fabs(a / b - 1) < 0.02;
}

static struct placing place_canvas(const struct burn_canvas *canvas, const AVFrame *frame)
{
    struct placing placing = {.scale_x = (double)frame->width / canvas->width,
                              .scale_y = (double)frame->height / canvas->height};
    double shape = (double)canvas->width / canvas->height;
    double pixel = frame->sample_aspect_ratio.num > 0 && frame->sample_aspect_ratio.den > 0
                       ? av_q2d(frame->sample_aspect_ratio)
                       : 1;
    double shown = (double)frame->width / frame->height * pixel;
    bool as_stored = canvas->stored_width > 0 && canvas->stored_height > 0 &&
                     same_shape(shape, (double)canvas->stored_width / canvas->stored_height);
    if (as_stored || same_shape(shape, shown))
        return placing;
    double down = placing.scale_x * pixel; /* square pixels of the canvas stay square as shown */
    if (canvas->height * down <= 2.0 * frame->height) {
        placing.scale_y = down;
        placing.offset_y = (frame->height - canvas->height * down) / 2;
    }
    return placing;
}

/* Inside of the frame where it fits. */
static int move_inside(int at, int length, int most)
{
    return FFMAX(FFMIN(at, most - length), 0);
}

/* ---- making ---- */

/* A plane of the rectangle, component by component: 0 to 2 colour, 3 alpha. */
static void fill_plane(const AVSubtitleRect *rect, uint16_t values[COLORS], uint16_t *plane)
{
    for (int y = 0; y < rect->h; y++) {
        const uint8_t *row = rect->data[0] + (ptrdiff_t)y * rect->linesize[0];
        for (int x = 0; x < rect->w; x++)
            plane[(ptrdiff_t)y * rect->w + x] = values[row[x]];
    }
}

static void mix_palette(const struct burn_ink *ink, const AVSubtitleRect *rect,
                        uint16_t values[PLANES][COLORS])
{
    int shift = 16 - ink->depth;
    for (int i = 0; i < COLORS; i++) {
        uint32_t color = 0;
        if (i < rect->nb_colors)
            memcpy(&color, rect->data[1] + (size_t)i * sizeof color, sizeof color);
        const uint8_t rgb[3] = {(uint8_t)(color >> 16), (uint8_t)(color >> 8), (uint8_t)color};
        uint32_t alpha = (color >> 24) * 257;
        uint16_t mixed[3] = {0};
        burn_ink_mix(ink, rgb, mixed);
        for (int k = 0; k < 3; k++)
            values[k][i] = (uint16_t)(((uint64_t)mixed[k] << shift) * alpha / UINT16_MAX);
        values[3][i] = (uint16_t)alpha;
    }
}

static int scale_plane(struct burn_pictures *pictures, const AVSubtitleRect *rect,
                       const uint16_t *from, const struct burn_picture *to, uint16_t *out)
{
    pictures->scaler =
        sws_getCachedContext(pictures->scaler, rect->w, rect->h, AV_PIX_FMT_GRAY16, to->width,
                             to->height, AV_PIX_FMT_GRAY16, SWS_BILINEAR, NULL, NULL, NULL);
    if (!pictures->scaler)
        return ERROR_OUT_OF_MEMORY;
    const uint8_t *in[] = {(const uint8_t *)from};
    uint8_t *planes[] = {(uint8_t *)out};
    int in_stride[] = {rect->w * 2};
    int out_stride[] = {to->width * 2};
    return sws_scale(pictures->scaler, in, in_stride, 0, rect->h, planes, out_stride) < 0
               ? ERROR_OUT_OF_MEMORY
               : 0;
}

static int make_picture(struct burn_pictures *pictures, const AVSubtitleRect *rect,
                        const struct placing *placing, struct burn_picture *picture)
{
    /* swscale may write some samples more than asked for at the end of a line. */
    enum { SPARE = 64 };
    uint16_t values[PLANES][COLORS];
    *picture = (struct burn_picture){
        .width = FFMAX((int)lrint(rect->w * placing->scale_x), 1),
        .height = FFMAX((int)lrint(rect->h * placing->scale_y), 1),
    };
    picture->x = move_inside((int)lrint(rect->x * placing->scale_x + placing->offset_x),
                             picture->width, pictures->width);
    picture->y = move_inside((int)lrint(rect->y * placing->scale_y + placing->offset_y),
                             picture->height, pictures->height);
    size_t size = (size_t)picture->width * (size_t)picture->height + SPARE;
    uint16_t *plane = calloc((size_t)rect->w * (size_t)rect->h + SPARE, sizeof *plane);
    int code = plane ? 0 : ERROR_OUT_OF_MEMORY;
    mix_palette(&pictures->ink, rect, values);
    uint16_t **planes[PLANES] = {&picture->value[0], &picture->value[1], &picture->value[2],
                                 &picture->alpha};
    for (int i = 0; i < PLANES && code == 0; i++) {
        *planes[i] = calloc(size, sizeof **planes[i]);
        if (!*planes[i]) {
            code = ERROR_OUT_OF_MEMORY;
            break;
        }
        fill_plane(rect, values[i], plane);
        code = scale_plane(pictures, rect, plane, picture, *planes[i]);
    }
    free(plane);
    return code;
}

static int make_list(struct burn_pictures *pictures, const AVFrame *frame)
{
    drop_list(pictures);
    pictures->width = frame->width;
    pictures->height = frame->height;
    pictures->list = calloc(pictures->subtitle.num_rects, sizeof *pictures->list);
    if (!pictures->list)
        return ERROR_OUT_OF_MEMORY;
    struct placing placing = place_canvas(&pictures->canvas, frame);
    int code = 0;
    for (unsigned i = 0; i < pictures->subtitle.num_rects && code == 0; i++) {
        const AVSubtitleRect *rect = pictures->subtitle.rects[i];
        if (usable(rect))
            code = make_picture(pictures, rect, &placing, &pictures->list[pictures->count++]);
    }
    return code;
}

/* ---- drawing ---- */

int burn_pictures_draw(struct burn_pictures *pictures, struct burn_ink *ink, AVFrame *frame,
                       struct error *e)
{
    if (!pictures->any)
        return 0;
    burn_ink_fit(ink, frame);
    bool fits = pictures->list && pictures->width == frame->width &&
                pictures->height == frame->height && burn_ink_fits(&pictures->ink, frame);
    if (!fits) {
        pictures->ink = *ink;
        if (make_list(pictures, frame) < 0) {
            drop_list(pictures);
            return error_set(e, ERROR_OUT_OF_MEMORY, "no memory to draw subtitles");
        }
    }
    int averror = av_frame_make_writable(frame);
    if (averror < 0)
        return error_set_av(e, ERROR_INTERNAL, averror, "a frame can't be drawn on");
    for (int i = 0; i < pictures->count; i++)
        burn_draw_picture(ink, frame, &pictures->list[i]);
    return 0;
}
