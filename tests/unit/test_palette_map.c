/* Pictures in a palette's colours: dither, transparency, sizes, what stays still, and refusals. */
#include "tests/unit/palette_fixture.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
