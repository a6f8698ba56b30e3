/*
 * Palettes of made-up pictures: what must be exact is compared exactly, what is a matter of quality
 * is compared with a bound that a worse method misses.
 */
#include "tests/unit/palette_fixture.h"

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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
