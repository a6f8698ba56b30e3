/*
 * Made-up pictures, and short ways to a palette and to a picture in its colours.
 */
#ifndef LUMA_TESTS_UNIT_PALETTE_FIXTURE_H
#define LUMA_TESTS_UNIT_PALETTE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <libavutil/imgutils.h>
#include <libavutil/mem.h>
#include <limits.h>
#include <malloc.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/palette.h"
#include "engine/palette_internal.h"

static uint32_t random_state;

/* xorshift32 (G. Marsaglia 2003) */
static inline uint32_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

static inline AVFrame *new_frame(enum AVPixelFormat format, int width, int height)
{
    AVFrame *frame = av_frame_alloc();
    assert_non_null(frame);
    frame->format = format;
    frame->width = width;
    frame->height = height;
    assert_return_code(av_frame_get_buffer(frame, 0), 0);
    return frame;
}

static inline uint32_t *pixel_at(const AVFrame *frame, int x, int y)
{
    return (uint32_t *)(frame->data[0] + (ptrdiff_t)y * frame->linesize[0]) + x;
}

static inline AVFrame *flat_frame(int width, int height, uint32_t argb)
{
    AVFrame *frame = new_frame(AV_PIX_FMT_RGB32, width, height);
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            *pixel_at(frame, x, y) = argb;
        }
    }
    return frame;
}

/* A smooth picture with many colours, and a little noise. */
static inline AVFrame *smooth_frame(int width, int height)
{
    AVFrame *frame = new_frame(AV_PIX_FMT_RGB32, width, height);
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            uint32_t r = (uint32_t)(40 + 170 * x / width) + next_random() % 4;
            uint32_t g = (uint32_t)(60 + 150 * y / height) + next_random() % 4;
            uint32_t b = (uint32_t)(50 + 80 * (x + y) / (width + height)) + next_random() % 4;
            *pixel_at(frame, x, y) = 0xff000000 | r << 16 | g << 8 | b;
        }
    }
    return frame;
}

static inline struct palette build(const AVFrame *frame, int colors, bool transparency)
{
    struct error e = {0};
    struct palette palette;
    struct palette_histogram *h = palette_histogram_create();
    assert_non_null(h);
    assert_int_equal(palette_histogram_add(h, frame, &e), 0);
    assert_int_equal(palette_build(h, colors, transparency, &palette, &e), 0);
    palette_histogram_destroy(&h);
    assert_null(h);
    return palette;
}

static inline struct palette_mapper *
new_mapper(const struct palette *palette, enum palette_dither dither, bool stable, int tolerance)
{
    struct palette_mapper_options options;
    palette_mapper_options_init(&options);
    options.dither = dither;
    options.stable = stable;
    options.tolerance = tolerance;
    struct error e = {0};
    struct palette_mapper *mapper;
    assert_int_equal(palette_mapper_create(&mapper, palette, &options, &e), 0);
    return mapper;
}

static inline AVFrame *map_with(struct palette_mapper *mapper, const AVFrame *frame)
{
    struct error e = {0};
    AVFrame *out = av_frame_alloc();
    assert_non_null(out);
    assert_int_equal(palette_mapper_map(mapper, frame, out, &e), 0);
    assert_int_equal(out->format, AV_PIX_FMT_PAL8);
    assert_int_equal(out->width, frame->width);
    assert_int_equal(out->height, frame->height);
    return out;
}

static inline AVFrame *map_once(const struct palette *palette, enum palette_dither dither,
                                const AVFrame *frame)
{
    struct palette_mapper *mapper = new_mapper(palette, dither, false, 0);
    AVFrame *out = map_with(mapper, frame);
    palette_mapper_destroy(&mapper);
    assert_null(mapper);
    return out;
}

static inline uint32_t mapped_at(const AVFrame *pal8, int x, int y)
{
    return ((const uint32_t *)pal8->data[1])[pal8->data[0][(ptrdiff_t)y * pal8->linesize[0] + x]];
}

static inline int entry_at(const AVFrame *pal8, int x, int y)
{
    return pal8->data[0][(ptrdiff_t)y * pal8->linesize[0] + x];
}

static inline int count_differences(const AVFrame *a, const AVFrame *b)
{
    int count = 0;
    for (int y = 0; y < a->height; y++) {
        for (int x = 0; x < a->width; x++) {
            count += entry_at(a, x, y) != entry_at(b, x, y);
        }
    }
    return count;
}

static inline double mean_square_error(const AVFrame *source, const AVFrame *pal8)
{
    double sum = 0;
    for (int y = 0; y < source->height; y++) {
        for (int x = 0; x < source->width; x++) {
            uint32_t p = *pixel_at(source, x, y), q = mapped_at(pal8, x, y);
            for (int shift = 0; shift < 24; shift += 8) {
                int d = (int)(p >> shift & 255) - (int)(q >> shift & 255);
                sum += d * d;
            }
        }
    }
    return sum / source->width / source->height / 3;
}

static inline int seed(void **state)
{
    (void)state;
    random_state = 2463534242u;
    return 0;
}

#endif
