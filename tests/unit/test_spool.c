/*
 * Frames put aside come back as they were, in order, within the bound, and leave nothing behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <libavutil/imgutils.h>
#include <libavutil/mem.h>
#include <libavutil/pixdesc.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "engine/compat.h"
#include "engine/spool.h"

static char directory[] = "/tmp/luma-spool-XXXXXX";

static uint8_t sample(int seed, int plane, int x, int y)
{
    return (uint8_t)(seed * 31 + plane * 97 + x * 7 + y * 13);
}

/* Rows of a plane, and bytes in each. */
static void plane_size(const AVFrame *frame, int plane, int *bytes, int *rows)
{
    const AVPixFmtDescriptor *format = av_pix_fmt_desc_get((enum AVPixelFormat)frame->format);
    *bytes = av_image_get_linesize((enum AVPixelFormat)frame->format, frame->width, plane);
    *rows = plane == 1 || plane == 2 ? AV_CEIL_RSHIFT(frame->height, format->log2_chroma_h)
                                     : frame->height;
    if (frame->format == AV_PIX_FMT_PAL8 && plane == 1) {
        *bytes = 1024;
        *rows = 1;
    }
}

static AVFrame *new_frame(enum AVPixelFormat format, int width, int height, int seed)
{
    AVFrame *frame = av_frame_alloc();
    assert_non_null(frame);
    frame->format = format;
    frame->width = width;
    frame->height = height;
    assert_return_code(av_frame_get_buffer(frame, 0), 0);
    for (int plane = 0; plane < 4 && frame->data[plane]; plane++) {
        int bytes, rows;
        plane_size(frame, plane, &bytes, &rows);
        for (int y = 0; y < rows; y++) {
            for (int x = 0; x < bytes; x++) {
                frame->data[plane][y * frame->linesize[plane] + x] = sample(seed, plane, x, y);
            }
        }
    }
    frame->pts = seed * 1000 + 7;
    compat_frame_set_duration(frame, seed + 3);
    frame->time_base = (AVRational){1, 12};
    frame->sample_aspect_ratio = (AVRational){4, 3};
    frame->color_range = AVCOL_RANGE_JPEG;
    frame->color_primaries = AVCOL_PRI_BT2020;
    frame->color_trc = AVCOL_TRC_ARIB_STD_B67;
    frame->colorspace = AVCOL_SPC_BT2020_NCL;
    frame->chroma_location = AVCHROMA_LOC_TOPLEFT;
    return frame;
}

static void check_frame(AVFrame *frame, enum AVPixelFormat format, int width, int height, int seed)
{
    assert_int_equal(frame->format, format);
    assert_int_equal(frame->width, width);
    assert_int_equal(frame->height, height);
    assert_int_equal(frame->pts, seed * 1000 + 7);
    assert_int_equal(compat_frame_duration(frame), seed + 3);
    assert_int_equal(frame->time_base.den, 12);
    assert_int_equal(frame->sample_aspect_ratio.num, 4);
    assert_int_equal(frame->color_range, AVCOL_RANGE_JPEG);
    assert_int_equal(frame->color_primaries, AVCOL_PRI_BT2020);
    assert_int_equal(frame->color_trc, AVCOL_TRC_ARIB_STD_B67);
    assert_int_equal(frame->colorspace, AVCOL_SPC_BT2020_NCL);
    assert_int_equal(frame->chroma_location, AVCHROMA_LOC_TOPLEFT);
    assert_true(av_frame_is_writable(frame));
    for (int plane = 0; plane < av_pix_fmt_count_planes(format); plane++) {
        int bytes, rows;
        plane_size(frame, plane, &bytes, &rows);
        for (int y = 0; y < rows; y++) {
            for (int x = 0; x < bytes; x++) {
                assert_int_equal(frame->data[plane][y * frame->linesize[plane] + x],
                                 sample(seed, plane, x, y));
            }
        }
    }
}

static struct spool *new_spool(int64_t max_bytes)
{
    struct error e = {0};
    struct spool *spool;
    assert_int_equal(spool_create(&spool, directory, max_bytes, &e), 0);
    return spool;
}

static void put(struct spool *spool, enum AVPixelFormat format, int width, int height, int seed)
{
    struct error e = {0};
    AVFrame *frame = new_frame(format, width, height, seed);
    assert_int_equal(spool_write(spool, frame, &e), 0);
    av_frame_free(&frame);
}

/* Every kind of layout, of changing sizes, twice over. */
static void test_round_trip(void **state)
{
    (void)state;
    static const struct {
        enum AVPixelFormat format;
        int width, height;
    } cases[] = {
        {AV_PIX_FMT_BGRA, 48, 27},        {AV_PIX_FMT_BGR0, 1, 1},    {AV_PIX_FMT_RGB24, 33, 5},
        {AV_PIX_FMT_YUV420P, 161, 121},   {AV_PIX_FMT_PAL8, 31, 9},   {AV_PIX_FMT_NV12, 20, 11},
        {AV_PIX_FMT_YUV422P10LE, 17, 13}, {AV_PIX_FMT_GBRAP, 10, 10},
    };
    const int count = (int)(sizeof cases / sizeof *cases);
    struct spool *spool = new_spool(INT64_MAX);
    AVFrame *frame = av_frame_alloc();
    assert_int_equal(spool_read(spool, frame, NULL), 0);
    for (int i = 0; i < count; i++) {
        put(spool, cases[i].format, cases[i].width, cases[i].height, i);
    }
    assert_int_equal(spool_count(spool), count);
    for (int pass = 0; pass < 2; pass++) {
        struct error e = {0};
        spool_rewind(spool);
        for (int i = 0; i < count; i++) {
            assert_int_equal(spool_read(spool, frame, &e), 1);
            check_frame(frame, cases[i].format, cases[i].width, cases[i].height, i);
            av_frame_unref(frame);
        }
        assert_int_equal(spool_read(spool, frame, &e), 0);
        assert_null(frame->buf[0]);
    }
    av_frame_free(&frame);
    spool_destroy(&spool);
    assert_null(spool);
    spool_destroy(&spool);
}

/* Writing goes on at the end, wherever reading is. */
static void test_interleaved(void **state)
{
    (void)state;
    struct spool *spool = new_spool(INT64_MAX);
    AVFrame *frame = av_frame_alloc();
    put(spool, AV_PIX_FMT_BGRA, 8, 8, 0);
    for (int i = 1; i < 20; i++) {
        put(spool, AV_PIX_FMT_BGRA, 8, 8, i);
        assert_int_equal(spool_read(spool, frame, NULL), 1);
        check_frame(frame, AV_PIX_FMT_BGRA, 8, 8, i - 1);
        av_frame_unref(frame);
    }
    av_frame_free(&frame);
    spool_destroy(&spool);
}

static void test_bounds(void **state)
{
    (void)state;
    struct error e = {0};
    struct spool *spool = new_spool(40000);
    AVFrame *frame = new_frame(AV_PIX_FMT_BGRA, 64, 64, 5), *out = av_frame_alloc();
    assert_int_equal(spool_write(spool, frame, &e), 0);
    assert_int_equal(spool_write(spool, frame, &e), 0);
    assert_int_equal(spool_write(spool, frame, &e), ERROR_LIMIT_EXCEEDED);
    assert_non_null(strstr(e.message, "40000"));
    assert_in_range(spool_size(spool), 2 * 64 * 64 * 4, 40000);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(spool_read(spool, out, &e), 1);
        check_frame(out, AV_PIX_FMT_BGRA, 64, 64, 5);
        av_frame_unref(out);
    }
    assert_int_equal(spool_read(spool, out, &e), 0);
    spool_destroy(&spool);

    /* the process's own limit on the size of a file */
    struct rlimit before, small = {50000, 50000};
    assert_return_code(getrlimit(RLIMIT_FSIZE, &before), 0);
    small.rlim_max = before.rlim_max;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_return_code(setrlimit(RLIMIT_FSIZE, &small), 0);
    spool = new_spool(INT64_MAX);
    int result = 0, written = 0;
    for (; result == 0 && written < 10; written++) {
        result = spool_write(spool, frame, &e);
    }
    assert_return_code(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, handler);
    assert_int_equal(result, ERROR_LIMIT_EXCEEDED);
    assert_int_equal(spool_count(spool), 3);
    assert_int_equal(written, 4);
    spool_destroy(&spool);
    av_frame_free(&frame);
    av_frame_free(&out);
}

static void test_refused(void **state)
{
    (void)state;
    struct error e = {0};
    struct spool *spool;
    assert_true(spool_create(&spool, "/nowhere/at/all", 1000, &e) < 0);
    assert_null(spool);
    assert_null(strstr(e.message, "nowhere")); /* paths are nobody's business */

    spool = new_spool(INT64_MAX);
    AVFrame *frame = av_frame_alloc();
    assert_int_equal(spool_write(spool, frame, &e), ERROR_INVALID_INPUT);
    frame->width = frame->height = 16;
    frame->format = AV_PIX_FMT_VAAPI;
    assert_int_equal(spool_write(spool, frame, &e), ERROR_INVALID_INPUT);
    frame->format = AV_PIX_FMT_BGRA;
    assert_int_equal(spool_write(spool, frame, NULL), ERROR_INVALID_INPUT);
    assert_int_equal(spool_count(spool), 0);
    av_frame_free(&frame);
    spool_destroy(&spool);
}

static void test_no_memory(void **state)
{
    (void)state;
    struct error e = {0};
    AVFrame *frame = new_frame(AV_PIX_FMT_BGRA, 200, 200, 1), *out = av_frame_alloc();
    struct spool *spool = new_spool(INT64_MAX);
    av_max_alloc(10000);
    assert_int_equal(spool_write(spool, frame, &e), ERROR_OUT_OF_MEMORY);
    av_max_alloc(INT_MAX);
    assert_int_equal(spool_write(spool, frame, &e), 0);
    av_max_alloc(10000);
    assert_int_equal(spool_read(spool, out, &e), ERROR_OUT_OF_MEMORY);
    assert_null(out->buf[0]);
    av_max_alloc(INT_MAX);
    assert_int_equal(spool_read(spool, out, &e), 1);
    check_frame(out, AV_PIX_FMT_BGRA, 200, 200, 1);
    av_frame_free(&frame);
    av_frame_free(&out);
    spool_destroy(&spool);
}

/* The file has no name, even while it is in use. */
static void test_nameless(void **state)
{
    (void)state;
    struct spool *spool = new_spool(INT64_MAX);
    put(spool, AV_PIX_FMT_GRAY8, 10, 10, 1);
    DIR *list = opendir(directory);
    assert_non_null(list);
    int names = 0;
    while (readdir(list)) {
        names++;
    }
    closedir(list);
    assert_int_equal(names, 2); /* . and .. */
    spool_destroy(&spool);
}

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_interleaved),
        cmocka_unit_test(test_bounds),     cmocka_unit_test(test_refused),
        cmocka_unit_test(test_no_memory),  cmocka_unit_test(test_nameless),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
