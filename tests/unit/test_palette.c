/*
 * Palettes on made-up pictures: what must be exact is compared exactly, what is a matter of quality
 * is compared with a bound that a worse method misses.
 */
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
static uint32_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

static AVFrame *new_frame(enum AVPixelFormat format, int width, int height)
{
    AVFrame *frame = av_frame_alloc();
    assert_non_null(frame);
    frame->format = format;
    frame->width = width;
    frame->height = height;
    assert_return_code(av_frame_get_buffer(frame, 0), 0);
    return frame;
}

static uint32_t *pixel_at(const AVFrame *frame, int x, int y)
{
    return (uint32_t *)(frame->data[0] + (ptrdiff_t)y * frame->linesize[0]) + x;
}

static AVFrame *flat_frame(int width, int height, uint32_t argb)
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
static AVFrame *smooth_frame(int width, int height)
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

static struct palette build(const AVFrame *frame, int colors, bool transparency)
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

static struct palette_mapper *new_mapper(const struct palette *palette, enum palette_dither dither,
                                         bool stable, int tolerance)
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

static AVFrame *map_with(struct palette_mapper *mapper, const AVFrame *frame)
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

static AVFrame *map_once(const struct palette *palette, enum palette_dither dither,
                         const AVFrame *frame)
{
    struct palette_mapper *mapper = new_mapper(palette, dither, false, 0);
    AVFrame *out = map_with(mapper, frame);
    palette_mapper_destroy(&mapper);
    assert_null(mapper);
    return out;
}

static uint32_t mapped_at(const AVFrame *pal8, int x, int y)
{
    return ((const uint32_t *)pal8->data[1])[pal8->data[0][(ptrdiff_t)y * pal8->linesize[0] + x]];
}

static int entry_at(const AVFrame *pal8, int x, int y)
{
    return pal8->data[0][(ptrdiff_t)y * pal8->linesize[0] + x];
}

static int count_differences(const AVFrame *a, const AVFrame *b)
{
    int count = 0;
    for (int y = 0; y < a->height; y++) {
        for (int x = 0; x < a->width; x++) {
            count += entry_at(a, x, y) != entry_at(b, x, y);
        }
    }
    return count;
}

static double mean_square_error(const AVFrame *source, const AVFrame *pal8)
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

/* Few colours: the palette is exactly these, and the pictures come out as they were. */
static void test_exact(void **state)
{
    (void)state;
    static const struct {
        int distinct, colors;
        bool transparency;
    } cases[] = {{1, 2, true}, {2, 2, false}, {16, 17, true}, {255, 256, true}, {256, 256, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AVFrame *frame = new_frame(AV_PIX_FMT_RGB32, 64, 64);
        for (int p = 0; p < 64 * 64; p++) {
            uint32_t k = (uint32_t)(p % cases[i].distinct);
            *pixel_at(frame, p % 64, p / 64) = 0xff000000 | ((k * 2654435761u) >> 8);
        }
        struct palette palette = build(frame, cases[i].colors, cases[i].transparency);
        assert_int_equal(palette.count, cases[i].distinct + cases[i].transparency);
        assert_int_equal(palette.transparent, cases[i].transparency ? cases[i].distinct : -1);
        for (int d = 0; d < PALETTE_DITHERS; d++) {
            if (d == PALETTE_DITHER_BAYER) {
                continue; /* its pattern is added whatever the palette */
            }
            AVFrame *out = map_once(&palette, (enum palette_dither)d, frame);
            assert_true(mean_square_error(frame, out) == 0);
            av_frame_free(&out);
        }
        av_frame_free(&frame);
    }
}

static void test_order_and_padding(void **state)
{
    (void)state;
    AVFrame *frame = smooth_frame(40, 40);
    struct palette palette = build(frame, 32, true);
    assert_int_equal(palette.count, 32);
    assert_int_equal(palette.transparent, 31);
    assert_int_equal(palette.argb[31], 0);
    double before = -1;
    for (int i = 0; i < 31; i++) {
        uint32_t p = palette.argb[i];
        assert_int_equal(p >> 24, 255);
        double luma = .299 * (p >> 16 & 255) + .587 * (p >> 8 & 255) + .114 * (p & 255);
        assert_true(luma > before - .5);
        before = luma;
    }
    for (int i = 32; i < PALETTE_MAX_COLORS; i++) {
        assert_int_equal(palette.argb[i], palette.argb[0]);
    }
    struct palette again = build(frame, 32, true);
    assert_memory_equal(&palette, &again, sizeof palette);
    av_frame_free(&frame);
}

/* Clouds of colour around known centres: each gets its entry, and a single rare one too. */
static void test_clusters(void **state)
{
    (void)state;
    enum { CLUSTERS = 27, SIDE = 128 };
    AVFrame *frame = new_frame(AV_PIX_FMT_RGB32, SIDE, SIDE);
    for (int p = 0; p < SIDE * SIDE; p++) {
        uint32_t k = p == 77 ? CLUSTERS - 1 : next_random() % (CLUSTERS - 1), c = 0xff;
        for (int axis = 0; axis < 3; axis++, k /= 3) {
            c = c << 8 | (40 + 80 * (k % 3) + next_random() % 7 - 3);
        }
        *pixel_at(frame, p % SIDE, p / SIDE) = c;
    }
    struct palette palette = build(frame, CLUSTERS, false);
    assert_int_equal(palette.count, CLUSTERS);
    for (uint32_t k = 0; k < CLUSTERS; k++) {
        int least = INT_MAX;
        for (int i = 0; i < CLUSTERS; i++) {
            int r = (int)(palette.argb[i] >> 16 & 255) - (int)(40 + 80 * (k % 3));
            int g = (int)(palette.argb[i] >> 8 & 255) - (int)(40 + 80 * (k / 3 % 3));
            int b = (int)(palette.argb[i] & 255) - (int)(40 + 80 * (k / 9));
            least = FFMIN(least, abs(r) + abs(g) + abs(b));
        }
        assert_in_range(least, 0, k == CLUSTERS - 1 ? 9 : 2);
    }
    av_frame_free(&frame);
}

/* Much better than cutting space evenly, and near what theory allows: the picture's colours fill a
 * surface of about 170 x 150 levels, so 255 entries stand about 10 levels apart, and the error of a
 * square of that side is 10 * 10 / 12 a channel and direction. */
static void test_quality(void **state)
{
    (void)state;
    AVFrame *frame = smooth_frame(300, 200);
    struct palette palette = build(frame, 256, true);
    AVFrame *out = map_once(&palette, PALETTE_DITHER_NONE, frame);
    double chosen = mean_square_error(frame, out);
    av_frame_free(&out);

    struct palette even = {.count = 252, .transparent = -1};
    for (uint32_t i = 0; i < 252; i++) {
        even.argb[i] = 0xff000000 | i / 42 * 51 << 16 | i / 6 % 7 * 42 << 8 | i % 6 * 51;
    }
    out = map_once(&even, PALETTE_DITHER_NONE, frame);
    double evenly = mean_square_error(frame, out);
    av_frame_free(&out);
    assert_true(chosen < evenly / 8);
    assert_true(chosen < 9);

    double before = chosen;
    for (int colors = 128; colors >= 2; colors /= 2) {
        palette = build(frame, colors, false);
        assert_int_equal(palette.count, colors);
        out = map_once(&palette, PALETTE_DITHER_NONE, frame);
        double now = mean_square_error(frame, out);
        assert_true(now > before);
        before = now;
        av_frame_free(&out);
    }
    av_frame_free(&frame);
}

/* Exact, for palettes of every size, also when the lists were thrown away in between. */
static void test_search(void **state)
{
    (void)state;
    for (int round = 0; round < 7; round++) {
        struct palette palette = {.count = round < 6 ? 1 << (round + 2) : 256, .transparent = -1};
        for (uint32_t i = 0; i < (uint32_t)palette.count; i++) {
            palette.argb[i] =
                round < 6 ? 0xff000000 | next_random() >> 8 : 0xff000000 | i * 0x010101;
        }
        struct palette_search s;
        assert_int_equal(palette_search_init(&s, &palette), 0);
        for (int n = 0; n < 40000; n++) {
            if (n % 5000 == 0) {
                s.used = MAX_BLOCKS - 70;
            }
            int c[3];
            for (int k = 0; k < 3; k++) {
                c[k] = (int)(next_random() % (SPACE_MAX + 1));
            }
            int32_t least = INT32_MAX;
            int best = 0;
            for (int i = 0; i < s.count; i++) {
                int32_t distance = 0;
                for (int k = 0; k < 3; k++) {
                    int32_t d = c[k] - s.axis[k][i];
                    distance += d * d;
                }
                if (distance < least) {
                    least = distance;
                    best = i;
                }
            }
            assert_int_equal(palette_search_nearest(&s, c[0], c[1], c[2]), best);
            assert_in_range(s.used, 1, MAX_BLOCKS);
            assert_in_range(s.divided, 0, MAX_DIVIDED);
        }
        palette_search_finish(&s);
    }
}

/* The version for this machine chooses as the plain one does, in one row or in two. */
static void test_choose(void **state)
{
    (void)state;
    enum { WIDTH = 301 };
    static int32_t values[2][WIDTH * LANES];
    static uint8_t states[2][WIDTH], previous[WIDTH], entries[2][2][WIDTH];
    static int16_t errors[2][2][WIDTH * LANES];
    for (int round = 0; round < 40; round++) {
        struct palette palette = {.count = 2 + (int)(next_random() % 254), .transparent = 1};
        for (int i = 0; i < palette.count; i++) {
            uint32_t wide = next_random() | 0xff000000, narrow = 0xff000000 | (wide & 0x0f0f0f);
            palette.argb[i] = round % 2 ? wide : narrow;
        }
        struct palette_search s;
        assert_int_equal(palette_search_init(&s, &palette), 0);
        struct choice c = {.search = &s, .shift = 4, .near = 7, .far = 3, .transparent = 1};
        for (int i = 0; i < palette.count; i++) {
            int16_t limit = (int16_t)(next_random() % SPACE_MAX);
            for (int k = 0; k < 3; k++) {
                c.limits[i][k] = limit;
            }
        }
        for (int x = 0; x < WIDTH; x++) {
            previous[x] = s.entries[next_random() % (uint32_t)s.count];
            for (int row = 0; row < 2; row++) {
                states[row][x] = (uint8_t)(next_random() % 8 > 2 ? 0 : next_random() % 3);
                for (int k = 0; k < LANES; k++) {
                    int32_t value = (int32_t)(next_random() % (SPACE_MAX + 1));
                    values[row][LANES * x + k] = (round % 3 ? value : 2 * value - SPACE_MAX) * 16;
                }
            }
        }
        struct choice_row rows[2][2];
        for (int i = 0; i < 4; i++) {
            rows[i / 2][i % 2] = (struct choice_row){
                .values = values[i % 2],
                .states = states[i % 2],
                .previous = previous,
                .entries = entries[i / 2][i % 2],
                .errors = errors[i / 2][i % 2],
            };
        }
        const int half = (int)(next_random() % WIDTH);
        palette_choose(&c, &rows[0][0], 0, half, NULL, 0, 0);
        palette_choose(&c, &rows[0][0], half, WIDTH, &rows[0][1], 0, half);
        palette_choose(&c, &rows[0][0], WIDTH, WIDTH, &rows[0][1], half, WIDTH);
        for (int row = 0; row < 2; row++) {
            palette_choose_plain(&c, &rows[1][row], 0, 100);
            palette_choose_plain(&c, &rows[1][row], 100, WIDTH);
        }
        assert_memory_equal(entries[0], entries[1], sizeof entries[0]);
        assert_memory_equal(errors[0], errors[1], sizeof errors[0]);
        palette_search_finish(&s);
    }
}

/* A colour that isn't in the palette comes out as a mixture with the same mean. */
static void test_mean(void **state)
{
    (void)state;
    enum { SIDE = 192, EDGE = 24 };
    static const uint32_t colors[] = {0x808080, 0x405060, 0xc0b0a0, 0x7f0180, 0x10f0e0, 0x202020};
    struct palette corners = {.count = 8, .transparent = -1};
    for (uint32_t i = 0; i < 8; i++) {
        corners.argb[i] = 0xff000000 | (i & 1) * 255 | (i >> 1 & 1) * 0xff00 | (i >> 2) * 0xff0000;
    }
    for (size_t i = 0; i < sizeof colors / sizeof *colors; i++) {
        AVFrame *frame = flat_frame(SIDE, SIDE, 0xff000000 | colors[i]);
        for (int d = PALETTE_DITHER_HECKBERT; d < PALETTE_DITHER_ATKINSON; d++) {
            AVFrame *out = map_once(&corners, (enum palette_dither)d, frame);
            double sum[3] = {0};
            for (int y = EDGE; y < SIDE; y++) {
                for (int x = EDGE; x < SIDE - EDGE; x++) {
                    for (int k = 0; k < 3; k++) {
                        sum[k] += mapped_at(out, x, y) >> (8 * k) & 255;
                    }
                }
            }
            for (int k = 0; k < 3; k++) {
                double mean = sum[k] / (SIDE - EDGE) / (SIDE - 2 * EDGE);
                assert_true(fabs(mean - (colors[i] >> (8 * k) & 255)) < 2);
            }
            av_frame_free(&out);
        }
        av_frame_free(&frame);
    }
}

/* Dithered, areas of a picture are nearer to it than undithered, though pixels are farther. */
static double area_error(const AVFrame *source, const AVFrame *pal8)
{
    enum { AREA = 8 };
    double sum = 0;
    int areas = 0;
    for (int y = 0; y + AREA <= source->height; y += AREA) {
        for (int x = 0; x + AREA <= source->width; x += AREA, areas++) {
            int d[3] = {0};
            for (int p = 0; p < AREA * AREA; p++) {
                uint32_t a = *pixel_at(source, x + p % AREA, y + p / AREA);
                uint32_t b = mapped_at(pal8, x + p % AREA, y + p / AREA);
                for (int k = 0; k < 3; k++) {
                    d[k] += (int)(a >> (8 * k) & 255) - (int)(b >> (8 * k) & 255);
                }
            }
            for (int k = 0; k < 3; k++) {
                sum += pow((double)d[k] / (AREA * AREA), 2);
            }
        }
    }
    return sum / areas;
}

static void test_dither(void **state)
{
    (void)state;
    AVFrame *frame = smooth_frame(320, 240);
    struct palette palette = build(frame, 24, true);
    AVFrame *none = map_once(&palette, PALETTE_DITHER_NONE, frame);
    double plain = area_error(frame, none);
    for (int d = PALETTE_DITHER_BAYER; d < PALETTE_DITHERS; d++) {
        AVFrame *out = map_once(&palette, (enum palette_dither)d, frame);
        double share = d == PALETTE_DITHER_BAYER || d == PALETTE_DITHER_ATKINSON ? .65 : .4;
        assert_true(area_error(frame, out) < plain * share);
        assert_true(mean_square_error(frame, out) > mean_square_error(frame, none));
        av_frame_free(&out);
    }
    av_frame_free(&none);
    av_frame_free(&frame);
}

/* Less than a level away from an entry nothing is spread, so no noise appears. */
static void test_unseen(void **state)
{
    (void)state;
    struct palette palette = {.count = 100, .transparent = -1};
    for (uint32_t i = 0; i < 100; i++) {
        palette.argb[i] = 0xff000000 | i * 0x020202;
    }
    AVFrame *frame = flat_frame(64, 64, 0xff555555);
    for (int d = PALETTE_DITHER_HECKBERT; d < PALETTE_DITHERS; d++) {
        AVFrame *out = map_once(&palette, (enum palette_dither)d, frame);
        for (int y = 0; y < 64; y++) {
            for (int x = 0; x < 64; x++) {
                assert_int_equal(entry_at(out, x, y), 0x54 / 2);
            }
        }
        av_frame_free(&out);
    }
    av_frame_free(&frame);
}

static void test_names(void **state)
{
    (void)state;
    for (int d = 0; d < PALETTE_DITHERS; d++) {
        assert_int_equal(palette_dither_from_name(palette_dither_name((enum palette_dither)d)), d);
    }
    assert_int_equal(palette_dither_from_name("sierra2_4a"), PALETTE_DITHER_SIERRA2_4A);
    assert_int_equal(palette_dither_from_name("floyd"), -1);
    assert_int_equal(palette_dither_from_name(NULL), -1);
    assert_null(palette_dither_name(PALETTE_DITHERS));
}

static void test_transparency(void **state)
{
    (void)state;
    AVFrame *frame = smooth_frame(33, 17);
    for (int y = 0; y < 17; y++) {
        for (int x = 0; x < 11; x++) {
            *pixel_at(frame, x, y) = (uint32_t)(x * 25) << 24 | 0x12ff34;
        }
    }
    struct palette palette = build(frame, 16, true);
    AVFrame *out = map_once(&palette, PALETTE_DITHER_FLOYD_STEINBERG, frame);
    for (int y = 0; y < 17; y++) {
        for (int x = 0; x < 33; x++) {
            assert_true((entry_at(out, x, y) == palette.transparent) == (x < 6));
        }
    }
    av_frame_free(&out);

    struct palette_mapper_options options;
    palette_mapper_options_init(&options);
    options.alpha_threshold = 1;
    struct palette_mapper *mapper;
    assert_int_equal(palette_mapper_create(&mapper, &palette, &options, NULL), 0);
    out = map_with(mapper, frame);
    assert_int_equal(entry_at(out, 0, 3), palette.transparent);
    assert_int_not_equal(entry_at(out, 1, 3), palette.transparent);
    av_frame_free(&out);
    palette_mapper_destroy(&mapper);

    palette = build(frame, 16, false);
    assert_int_equal(palette.transparent, -1);
    out = map_once(&palette, PALETTE_DITHER_NONE, frame);
    assert_int_equal(mapped_at(out, 0, 0) >> 24, 255);
    av_frame_free(&out);
    av_frame_free(&frame);

    frame = flat_frame(5, 5, 0x00ffffff);
    palette = build(frame, 256, true);
    assert_int_equal(palette.count, 2);
    out = map_once(&palette, PALETTE_DITHER_SIERRA2, frame);
    assert_int_equal(entry_at(out, 4, 4), 1);
    av_frame_free(&out);
    av_frame_free(&frame);
}

/* Sizes that leave nothing to vectorise or to diffuse into, and every format: the same pixels. */
static void test_sizes_and_formats(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 1}, {1, 7}, {2, 1}, {3, 5}, {161, 121}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const int width = sizes[i][0], height = sizes[i][1];
        AVFrame *frame = smooth_frame(width, height);
        struct palette palette = build(frame, 4, true);
        AVFrame *expected = map_once(&palette, PALETTE_DITHER_SIERRA3, frame);
        for (int f = 0; palette_formats[f] != AV_PIX_FMT_NONE; f++) {
            const struct pixel_layout *layout = pixel_layout_find(palette_formats[f]);
            assert_non_null(layout);
            AVFrame *other = new_frame(palette_formats[f], width, height);
            for (int y = 0; y < height; y++) {
                uint8_t *to = other->data[0] + (ptrdiff_t)y * other->linesize[0];
                for (int x = 0; x < width; x++, to += layout->step) {
                    uint32_t p = *pixel_at(frame, x, y);
                    memset(to, layout->a < 0 ? 0 : 255, (size_t)layout->step);
                    to[layout->r] = (uint8_t)(p >> 16);
                    to[layout->g] = (uint8_t)(p >> 8);
                    to[layout->b] = (uint8_t)p;
                }
            }
            struct palette same = build(other, 4, true);
            assert_memory_equal(&same, &palette, sizeof same);
            AVFrame *out = map_once(&palette, PALETTE_DITHER_SIERRA3, other);
            assert_int_equal(count_differences(out, expected), 0);
            av_frame_free(&out);
            av_frame_free(&other);
        }
        av_frame_free(&expected);
        av_frame_free(&frame);
    }
}

static void test_bottom_up(void **state)
{
    (void)state;
    AVFrame *frame = smooth_frame(20, 10);
    AVFrame *upside = av_frame_clone(frame);
    upside->data[0] += (ptrdiff_t)9 * upside->linesize[0];
    upside->linesize[0] = -upside->linesize[0];
    struct palette palette = build(upside, 200, true);
    AVFrame *out = map_once(&palette, PALETTE_DITHER_NONE, upside);
    for (int x = 0; x < 20; x++) {
        uint32_t p = *pixel_at(frame, x, 9), q = mapped_at(out, x, 0);
        assert_in_range(abs((int)(p >> 8 & 255) - (int)(q >> 8 & 255)), 0, 12);
    }
    av_frame_free(&out);
    av_frame_free(&upside);
    av_frame_free(&frame);
}

static void test_stable(void **state)
{
    (void)state;
    AVFrame *first = smooth_frame(160, 120);
    struct palette palette = build(first, 32, true);
    AVFrame *second = av_frame_clone(first);
    assert_return_code(av_frame_make_writable(second), 0);
    for (int y = 8; y < 24; y++) {
        for (int x = 8; x < 24; x++) {
            *pixel_at(second, x, y) ^= 0xffffff;
        }
    }
    for (int d = 0; d < PALETTE_DITHERS; d++) {
        struct palette_mapper *mapper = new_mapper(&palette, (enum palette_dither)d, true, 0);
        AVFrame *a = map_with(mapper, first);
        AVFrame *same = map_with(mapper, first);
        assert_int_equal(count_differences(a, same), 0);
        AVFrame *b = map_with(mapper, second);
        int inside = 0;
        for (int y = 0; y < 120; y++) {
            for (int x = 0; x < 160; x++) {
                bool changed = x >= 8 && x < 24 && y >= 8 && y < 24;
                inside += changed && entry_at(a, x, y) != entry_at(b, x, y);
                assert_true(changed || entry_at(a, x, y) == entry_at(b, x, y));
            }
        }
        assert_true(inside > 128);
        palette_mapper_reset(mapper);
        AVFrame *anew = map_with(mapper, second);
        AVFrame *alone = map_once(&palette, (enum palette_dither)d, second);
        assert_int_equal(count_differences(anew, alone), 0);
        palette_mapper_destroy(&mapper);
        av_frame_free(&a);
        av_frame_free(&same);
        av_frame_free(&b);
        av_frame_free(&anew);
        av_frame_free(&alone);
    }
    av_frame_free(&first);
    av_frame_free(&second);
}

/* Within the tolerance a pixel stays; a slow drift adds up until it has changed. */
static void test_tolerance(void **state)
{
    (void)state;
    struct palette palette = {.count = 64, .transparent = -1};
    for (uint32_t i = 0; i < 64; i++) {
        palette.argb[i] = 0xff000000 | i * 0x040404;
    }
    struct palette_mapper *mapper = new_mapper(&palette, PALETTE_DITHER_NONE, true, 6);
    int first = -1;
    for (uint32_t level = 100; level < 112; level++) {
        AVFrame *frame = flat_frame(4, 4, 0xff000000 | level * 0x010101);
        AVFrame *out = map_with(mapper, frame);
        first = first < 0 ? entry_at(out, 2, 2) : first;
        assert_int_equal(entry_at(out, 2, 2), level <= 106 ? first : 27);
        av_frame_free(&out);
        av_frame_free(&frame);
    }
    palette_mapper_destroy(&mapper);
}

static void test_size_change(void **state)
{
    (void)state;
    AVFrame *small = smooth_frame(20, 30), *large = smooth_frame(50, 40);
    struct palette palette = build(large, 16, true);
    struct palette_mapper *mapper = new_mapper(&palette, PALETTE_DITHER_SIERRA2_4A, true, 0);
    AVFrame *a = map_with(mapper, small), *b = map_with(mapper, large);
    AVFrame *alone = map_once(&palette, PALETTE_DITHER_SIERRA2_4A, large);
    assert_int_equal(count_differences(b, alone), 0);
    palette_mapper_destroy(&mapper);
    palette_mapper_destroy(&mapper);
    av_frame_free(&a);
    av_frame_free(&b);
    av_frame_free(&alone);
    av_frame_free(&small);
    av_frame_free(&large);
}

static void test_properties(void **state)
{
    (void)state;
    AVFrame *frame = smooth_frame(8, 8);
    frame->pts = 1234;
    frame->sample_aspect_ratio = (AVRational){4, 3};
    struct palette palette = build(frame, 8, true);
    AVFrame *out = map_once(&palette, PALETTE_DITHER_BAYER, frame);
    assert_int_equal(out->pts, 1234);
    assert_int_equal(out->sample_aspect_ratio.num, 4);
    assert_memory_equal(out->data[1], palette.argb, sizeof palette.argb);
    av_frame_free(&out);
    av_frame_free(&frame);
}

static void test_refused(void **state)
{
    (void)state;
    struct error e = {0};
    struct palette palette;
    struct palette_histogram *h = palette_histogram_create();
    AVFrame *yuv = new_frame(AV_PIX_FMT_YUV420P, 16, 16);
    assert_int_equal(palette_histogram_add(h, yuv, &e), ERROR_INVALID_INPUT);
    assert_non_null(strstr(e.message, "yuv420p"));
    AVFrame *empty = av_frame_alloc();
    assert_int_equal(palette_histogram_add(h, empty, &e), ERROR_INVALID_INPUT);
    empty->format = AV_PIX_FMT_BGRA;
    assert_int_equal(palette_histogram_add(h, empty, NULL), ERROR_INVALID_INPUT);
    assert_int_equal(palette_build(h, 1, true, &palette, &e), ERROR_INVALID_OPTION);
    assert_int_equal(palette_build(h, 257, true, &palette, &e), ERROR_INVALID_OPTION);
    assert_int_equal(palette_build(h, 2, true, &palette, &e), 0); /* nothing was counted */
    assert_int_equal(palette.count, 2);
    palette_histogram_destroy(&h);

    struct palette_mapper *mapper;
    struct palette_mapper_options options;
    palette_mapper_options_init(&options);
    assert_int_equal(palette_mapper_create(&mapper, &palette, &options, &e), 0);
    AVFrame *out = av_frame_alloc();
    assert_int_equal(palette_mapper_map(mapper, yuv, out, &e), ERROR_INVALID_INPUT);
    assert_null(out->buf[0]);
    palette_mapper_destroy(&mapper);
    options.bayer_scale = 6;
    assert_int_equal(palette_mapper_create(&mapper, &palette, &options, &e), ERROR_INVALID_OPTION);
    assert_non_null(strstr(e.message, "bayer_scale"));
    assert_null(mapper);
    options.bayer_scale = 0;
    options.tolerance = -1;
    assert_int_equal(palette_mapper_create(&mapper, &palette, &options, &e), ERROR_INVALID_OPTION);
    palette.count = 1; /* only the transparent one is left */
    palette.transparent = 0;
    assert_int_equal(palette_mapper_create(&mapper, &palette, NULL, &e), ERROR_INVALID_OPTION);
    av_frame_free(&out);
    av_frame_free(&empty);
    av_frame_free(&yuv);
}

/* Each allocation above a bound fails: what is left is an error, an empty frame and no leak. */
static void test_no_memory(void **state)
{
    (void)state;
    AVFrame *frame = smooth_frame(300, 200);
    struct palette palette = build(frame, 256, true);
    struct palette_histogram *h = palette_histogram_create();
    assert_int_equal(palette_histogram_add(h, frame, NULL), 0);
    int failed = 0, done = 0;
    for (size_t bound = 64; bound < 32 << 20; bound *= 2) {
        struct error e = {0};
        AVFrame *out = av_frame_alloc();
        struct palette_mapper *mapper = NULL;
        struct palette built;
        av_max_alloc(bound);
        struct palette_histogram *other = palette_histogram_create();
        int results[] = {
            palette_histogram_add(h, frame, &e),
            palette_build(h, 256, true, &built, &e),
            palette_mapper_create(&mapper, &palette, NULL, &e),
            mapper ? palette_mapper_map(mapper, frame, out, &e) : 0,
            other ? palette_histogram_add(other, frame, &e) : 0,
        };
        palette_histogram_destroy(&other);
        palette_mapper_destroy(&mapper);
        av_max_alloc(INT_MAX);
        for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
            assert_true(results[i] == 0 || results[i] == ERROR_OUT_OF_MEMORY);
            failed += results[i] < 0;
            done += results[i] == 0;
        }
        assert_true(results[3] == 0 || !out->buf[0]);
        av_frame_free(&out);
    }
    assert_true(failed > 10 && done > 10);
    palette_histogram_destroy(&h);
    av_frame_free(&frame);
}

/* Memory after a hundred frames is what it was after a few. */
static void test_bounded(void **state)
{
    (void)state;
    if (LUMA_SANITIZED) {
        skip(); /* sanitizers bring an allocator of their own, without statistics */
    }
    AVFrame *frame = smooth_frame(320, 180);
    struct palette palette = build(frame, 256, true);
    struct palette_histogram *h = palette_histogram_create();
    struct palette_mapper *mapper = new_mapper(&palette, PALETTE_DITHER_SIERRA2_4A, true, 0);
    size_t early = 0, late = 0;
    for (int i = 0; i < 100; i++) {
        for (int y = 0; y < 180; y++) {
            *pixel_at(frame, i, y) = 0xff000000 | next_random();
        }
        assert_int_equal(palette_histogram_add(h, frame, NULL), 0);
        AVFrame *out = map_with(mapper, frame);
        av_frame_free(&out);
        struct mallinfo2 info = mallinfo2();
        late = info.uordblks + info.hblkhd;
        early = i == 5 ? late : early;
    }
    assert_in_range(late, 0, early + 4096);
    palette_histogram_destroy(&h);
    palette_mapper_destroy(&mapper);
    av_frame_free(&frame);
}

static int seed(void **state)
{
    (void)state;
    random_state = 2463534242u;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_exact, seed),
        cmocka_unit_test_setup(test_order_and_padding, seed),
        cmocka_unit_test_setup(test_clusters, seed),
        cmocka_unit_test_setup(test_quality, seed),
        cmocka_unit_test_setup(test_search, seed),
        cmocka_unit_test_setup(test_choose, seed),
        cmocka_unit_test_setup(test_mean, seed),
        cmocka_unit_test_setup(test_dither, seed),
        cmocka_unit_test_setup(test_unseen, seed),
        cmocka_unit_test_setup(test_names, seed),
        cmocka_unit_test_setup(test_transparency, seed),
        cmocka_unit_test_setup(test_sizes_and_formats, seed),
        cmocka_unit_test_setup(test_bottom_up, seed),
        cmocka_unit_test_setup(test_stable, seed),
        cmocka_unit_test_setup(test_tolerance, seed),
        cmocka_unit_test_setup(test_size_change, seed),
        cmocka_unit_test_setup(test_properties, seed),
        cmocka_unit_test_setup(test_refused, seed),
        cmocka_unit_test_setup(test_no_memory, seed),
        cmocka_unit_test_setup(test_bounded, seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
