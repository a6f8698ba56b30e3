/*
 * Burning: colours in every kind of picture, what lies outside of one, text at its time and place,
 * and what a plan refuses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <libavutil/frame.h>
#include <libavutil/mem.h>
#include <libavutil/pixdesc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/ass_header.h"
#include "engine/burn_draw.h"
#include "engine/burn_picture.h"
#include "engine/burn_text.h"
#include "engine/plan.h"

static AVFrame *frame_new(enum AVPixelFormat format, int width, int height)
{
    AVFrame *frame = av_frame_alloc();
    assert_non_null(frame);
    frame->format = format;
    frame->width = width;
    frame->height = height;
    assert_int_equal(av_frame_get_buffer(frame, 0), 0);
    for (int i = 0; i < 4 && frame->buf[i]; i++)
        memset(frame->buf[i]->data, 0, frame->buf[i]->size);
    return frame;
}

static int sample(const AVFrame *frame, int component, int x, int y)
{
    const AVComponentDescriptor *part = &av_pix_fmt_desc_get(frame->format)->comp[component];
    const uint8_t *row = frame->data[part->plane] + (ptrdiff_t)y * frame->linesize[part->plane];
    return part->depth > 8 ? ((const uint16_t *)(const void *)row)[x] : row[x];
}

/* ---- colours ---- */

static void test_colors(void **state)
{
    static const struct {
        enum AVPixelFormat format;
        enum AVColorSpace space;
        enum AVColorRange range;
        enum AVColorTransferCharacteristic transfer;
        uint8_t rgb[3];
        int value[3], slack;
    } cases[] = {
        {AV_PIX_FMT_YUV420P,
         AVCOL_SPC_BT709,
         AVCOL_RANGE_MPEG,
         1,
         {255, 255, 255},
         {235, 128, 128},
         0},
        {AV_PIX_FMT_YUV420P, AVCOL_SPC_BT709, AVCOL_RANGE_MPEG, 1, {0, 0, 0}, {16, 128, 128}, 0},
        {AV_PIX_FMT_YUV420P, AVCOL_SPC_BT709, AVCOL_RANGE_MPEG, 1, {255, 0, 0}, {63, 102, 240}, 0},
        {AV_PIX_FMT_YUV420P,
         AVCOL_SPC_SMPTE170M,
         AVCOL_RANGE_MPEG,
         1,
         {255, 0, 0},
         {81, 90, 240},
         0},
        /* a small picture that doesn't say: BT.601 */
        {AV_PIX_FMT_YUV420P,
         AVCOL_SPC_UNSPECIFIED,
         AVCOL_RANGE_UNSPECIFIED,
         2,
         {255, 0, 0},
         {81, 90, 240},
         0},
        {AV_PIX_FMT_YUV444P,
         AVCOL_SPC_BT709,
         AVCOL_RANGE_JPEG,
         1,
         {255, 255, 255},
         {255, 128, 128},
         0},
        {AV_PIX_FMT_YUVJ420P,
         AVCOL_SPC_BT709,
         AVCOL_RANGE_UNSPECIFIED,
         1,
         {255, 255, 255},
         {255, 128, 128},
         0},
        {AV_PIX_FMT_YUV420P10,
         AVCOL_SPC_BT709,
         AVCOL_RANGE_MPEG,
         1,
         {255, 255, 255},
         {940, 512, 512},
         0},
        {AV_PIX_FMT_YUV422P12,
         AVCOL_SPC_BT709,
         AVCOL_RANGE_MPEG,
         1,
         {0, 0, 0},
         {256, 2048, 2048},
         0},
        {AV_PIX_FMT_GBRP,
         AVCOL_SPC_RGB,
         AVCOL_RANGE_UNSPECIFIED,
         2,
         {255, 128, 0},
         {255, 128, 0},
         0},
        {AV_PIX_FMT_GBRP10, AVCOL_SPC_RGB, AVCOL_RANGE_JPEG, 2, {255, 0, 255}, {1023, 0, 1023}, 0},
        {AV_PIX_FMT_GRAY8,
         AVCOL_SPC_UNSPECIFIED,
         AVCOL_RANGE_JPEG,
         2,
         {255, 255, 255},
         {255, 0, 0},
         0},
        /* HDR: reference white is 58 % of PQ and 75 % of HLG (ITU-R BT.2408, table 1) */
        {AV_PIX_FMT_YUV420P10,
         AVCOL_SPC_BT2020_NCL,
         AVCOL_RANGE_MPEG,
         AVCOL_TRC_SMPTE2084,
         {255, 255, 255},
         {572, 512, 512},
         3},
        {AV_PIX_FMT_YUV420P10,
         AVCOL_SPC_BT2020_NCL,
         AVCOL_RANGE_MPEG,
         AVCOL_TRC_ARIB_STD_B67,
         {255, 255, 255},
         {721, 512, 512},
         3},
        {AV_PIX_FMT_YUV420P10,
         AVCOL_SPC_BT2020_NCL,
         AVCOL_RANGE_MPEG,
         AVCOL_TRC_SMPTE2084,
         {0, 0, 0},
         {64, 512, 512},
         0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AVFrame *frame = frame_new(cases[i].format, 16, 16);
        struct burn_ink ink = {0};
        uint16_t value[3] = {0};
        frame->colorspace = cases[i].space;
        frame->color_range = cases[i].range;
        frame->color_trc = cases[i].transfer;
        burn_ink_fit(&ink, frame);
        assert_true(burn_ink_fits(&ink, frame));
        burn_ink_mix(&ink, cases[i].rgb, value);
        for (int k = 0; k < ink.components; k++) {
            if (abs(value[k] - cases[i].value[k]) > cases[i].slack) {
                fail_msg("case %zu, component %d: %d, wanted %d", i, k, value[k],
                         cases[i].value[k]);
            }
        }
        av_frame_free(&frame);
    }
}

/* Every format that is offered can be drawn on, at every edge. */
static void test_formats(void **state)
{
    uint8_t full[40 * 40];
    (void)state;
    memset(full, 255, sizeof full);
    for (int i = 0; burn_formats[i] != AV_PIX_FMT_NONE; i++) {
        static const int places[][2] = {{-20, -20}, {5, 3},    {30, 10},
                                        {100, 100}, {-100, 0}, {0, -39}};
        AVFrame *frame = frame_new(burn_formats[i], 35, 19);
        struct burn_ink ink = {0};
        uint16_t white[3];
        const uint8_t rgb[3] = {255, 255, 255};
        burn_ink_fit(&ink, frame);
        burn_ink_mix(&ink, rgb, white);
        for (size_t k = 0; k < sizeof places / sizeof *places; k++) {
            struct burn_mask mask = {full, 40, 40, 40, places[k][0], places[k][1]};
            burn_draw_mask(&ink, frame, &mask, white, 255);
        }
        for (int k = 0; k < ink.components; k++)
            assert_int_equal(sample(frame, k, 2, 2), white[k]);
        av_frame_free(&frame);
    }
}

/* Half covered is half of both; what isn't covered stays. */
static void test_blending(void **state)
{
    static const enum AVPixelFormat formats[] = {AV_PIX_FMT_YUV420P, AV_PIX_FMT_YUV420P10};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        AVFrame *frame = frame_new(formats[i], 16, 16);
        struct burn_ink ink = {0};
        uint8_t bytes[2 * 2];
        const uint16_t value[3] = {200, 100, 50};
        memset(bytes, 128, sizeof bytes);
        burn_ink_fit(&ink, frame);
        struct burn_mask mask = {bytes, 2, 2, 2, 5, 5};
        burn_draw_mask(&ink, frame, &mask, value, 255);
        assert_int_equal(sample(frame, 0, 5, 5), 100);
        assert_int_equal(sample(frame, 0, 6, 6), 100);
        assert_int_equal(sample(frame, 0, 4, 5), 0);
        assert_int_equal(sample(frame, 0, 7, 6), 0);
        /* one of the four pixels that share a sample of chroma */
        assert_in_range(sample(frame, 1, 2, 2), 12, 13);
        assert_in_range(sample(frame, 1, 3, 3), 12, 13);
        assert_int_equal(sample(frame, 1, 4, 4), 0);
        burn_draw_mask(&ink, frame, &mask, value, 0);
        assert_int_equal(sample(frame, 0, 5, 5), 100);
        av_frame_free(&frame);
    }
}

/* ---- pictures ---- */

static void picture_subtitle(AVSubtitle *subtitle, int x, int y, int width, int height)
{
    static const uint32_t palette[] = {0x00000000, 0xFFFFFFFF, 0x80FF0000};
    *subtitle = (AVSubtitle){.num_rects = 1};
    subtitle->rects = av_mallocz(sizeof *subtitle->rects);
    AVSubtitleRect *rect = subtitle->rects[0] = av_mallocz(sizeof *rect);
    rect->type = SUBTITLE_BITMAP;
    rect->x = x;
    rect->y = y;
    rect->w = width;
    rect->h = height;
    rect->nb_colors = 3;
    rect->linesize[0] = width;
    rect->data[0] = av_mallocz((size_t)width * (size_t)height);
    rect->data[1] = av_mallocz(AVPALETTE_SIZE);
    memset(rect->data[0], 1, (size_t)width * (size_t)height);
    memcpy(rect->data[1], palette, sizeof palette);
}

static void draw_picture(AVFrame *frame, int x, int y, int width, int height,
                         const struct burn_canvas *canvas)
{
    struct burn_pictures *pictures = burn_pictures_create();
    struct burn_ink ink = {0};
    struct error e = {0};
    AVSubtitle subtitle;
    assert_non_null(pictures);
    picture_subtitle(&subtitle, x, y, width, height);
    burn_pictures_show(pictures, &subtitle, canvas);
    assert_int_equal(burn_pictures_draw(pictures, &ink, frame, &e), 0);
    assert_int_equal(burn_pictures_draw(pictures, &ink, frame, &e), 0);
    burn_pictures_destroy(&pictures);
}

static void bright_area(const AVFrame *frame, int *left, int *top, int *right, int *bottom)
{
    *left = frame->width;
    *top = frame->height;
    *right = *bottom = -1;
    for (int y = 0; y < frame->height; y++) {
        for (int x = 0; x < frame->width; x++) {
            if (sample(frame, 0, x, y) < 100)
                continue;
            *left = x < *left ? x : *left;
            *right = x > *right ? x : *right;
            *top = y < *top ? y : *top;
            *bottom = y > *bottom ? y : *bottom;
        }
    }
}

static void test_pictures(void **state)
{
    static const struct {
        struct burn_canvas canvas;
        int x, y, w, h;    /* on the canvas */
        int width, height; /* of the frame */
        int left, top, right, bottom;
    } cases[] = {
        /* as it is */
        {{320, 180, 320, 180}, 100, 120, 40, 20, 320, 180, 100, 120, 139, 139},
        /* half the size */
        {{640, 360, 640, 360}, 100, 120, 80, 40, 320, 180, 50, 60, 89, 79},
        /* the stored picture was stretched later */
        {{720, 576, 720, 576}, 72, 288, 144, 144, 1024, 576, 102, 288, 306, 431},
        /* black bars were cut off: moved up to what is left */
        {{1920, 1080, 1920, 800}, 400, 1000, 200, 60, 960, 400, 200, 370, 299, 399},
        /* no canvas of its own */
        {{0, 0, 640, 360}, 100, 120, 80, 40, 320, 180, 50, 60, 89, 79},
        /* a canvas that is too small for what stands on it */
        {{1, 1, 320, 180}, 280, 160, 40, 20, 320, 180, 280, 160, 319, 179},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AVFrame *frame = frame_new(AV_PIX_FMT_YUV420P, cases[i].width, cases[i].height);
        int left = 0;
        int top = 0;
        int right = 0;
        int bottom = 0;
        draw_picture(frame, cases[i].x, cases[i].y, cases[i].w, cases[i].h, &cases[i].canvas);
        bright_area(frame, &left, &top, &right, &bottom);
        if (abs(left - cases[i].left) > 1 || abs(top - cases[i].top) > 1 ||
            abs(right - cases[i].right) > 1 || abs(bottom - cases[i].bottom) > 1)
            fail_msg("case %zu: %d,%d to %d,%d", i, left, top, right, bottom);
        assert_int_equal(sample(frame, 0, (left + right) / 2, (top + bottom) / 2), 235);
        av_frame_free(&frame);
    }
}

static void test_absurd_pictures(void **state)
{
    static const int places[][4] = {{-5, 0, 8, 8}, {0, 100000, 8, 8}, {8000, 8000, 8, 8}};
    const struct burn_canvas canvas = {16, 16, 0, 0};
    (void)state;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        AVFrame *frame = frame_new(AV_PIX_FMT_YUV420P10, 64, 36);
        draw_picture(frame, places[i][0], places[i][1], places[i][2], places[i][3], &canvas);
        av_frame_free(&frame);
    }
}

/* ---- text ---- */

static const char header[] =
    "[Script Info]\nScriptType: v4.00+\nPlayResX: 320\nPlayResY: 180\n\n[V4+ Styles]\n"
    "Format: Name, Fontname, Fontsize, PrimaryColour, OutlineColour, Alignment, BorderStyle, "
    "Outline, Shadow, MarginL, MarginR, MarginV\n"
    "Style: Default,DejaVu Sans,24,&H00FFFFFF,&H00000000,2,1,1,0,5,5,5\n\n[Events]\n"
    "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n";

static struct burn_text *text_new(bool ass, const struct burn_style *style)
{
    const struct burn_text_settings settings = {
        .header = (const uint8_t *)header,
        .header_size = (int)sizeof header - 1,
        .ass = ass,
        .style = style,
    };
    struct burn_text *text = NULL;
    struct error e = {0};
    if (burn_text_create(&text, &settings, &e) < 0)
        fail_msg("%s", e.message);
    assert_int_equal(burn_text_add(text, "0,0,Default,,0,0,0,,MMMM", 1000, 500, &e), 0);
    return text;
}

/* Where the text stands at a time, on an otherwise black frame; false if nowhere. */
static bool find_text(struct burn_text *text, int64_t time, AVRational aspect, int area[4])
{
    AVFrame *frame = frame_new(AV_PIX_FMT_YUV420P, 320, 180);
    struct burn_ink ink = {0};
    frame->sample_aspect_ratio = aspect;
    assert_int_equal(burn_text_draw(text, &ink, frame, time, NULL), 0);
    bright_area(frame, &area[0], &area[1], &area[2], &area[3]);
    av_frame_free(&frame);
    return area[2] >= 0;
}

static void test_text(void **state)
{
    static const AVRational square = {1, 1};
    struct burn_style style = {.outline = -1};
    struct burn_text *text = text_new(true, &style);
    int area[4];
    (void)state;
    assert_false(find_text(text, 999, square, area));
    assert_true(find_text(text, 1000, square, area));
    assert_true(area[1] > 120 && area[0] > 60 && area[2] < 260);
    assert_true(find_text(text, 1499, square, area));
    assert_false(find_text(text, 1500, square, area));
    burn_text_destroy(&text);
}

static void test_style(void **state)
{
    static const AVRational square = {1, 1};
    struct burn_style style = {.outline = -1};
    struct burn_style top = {.outline = 0, .position = BURN_POSITION_TOP, .size = 30};
    struct burn_text *text = text_new(true, &style);
    int own[4];
    int area[4];
    (void)state;
    find_text(text, 1200, square, own);
    burn_text_destroy(&text);
    text = text_new(true, &top);
    assert_true(find_text(text, 1200, square, area));
    assert_true(area[3] < 90);
    assert_true(area[3] - area[1] > (own[3] - own[1]) * 3 / 2);
    burn_text_destroy(&text);
    assert_int_equal(burn_position_from_name("middle"), BURN_POSITION_MIDDLE);
    assert_int_equal(burn_position_from_name("left"), BURN_POSITION_OWN);
}

/* On pixels twice as wide as high, letters of plain text are stored half as wide. */
static void test_aspect(void **state)
{
    struct burn_style style = {.outline = -1};
    struct burn_text *text = text_new(false, &style);
    int square[4];
    int wide[4];
    (void)state;
    assert_true(find_text(text, 1200, (AVRational){1, 1}, square));
    assert_true(find_text(text, 1200, (AVRational){2, 1}, wide));
    double ratio = (double)(square[2] - square[0]) / (wide[2] - wide[0]);
    assert_true(fabs(ratio - 2) < 0.1);
    burn_text_destroy(&text);
}

static void test_limits(void **state)
{
    struct burn_style style = {.outline = -1};
    struct burn_text *text = text_new(true, &style);
    struct error e = {0};
    char *long_event = malloc(8 << 20);
    int code = 0;
    (void)state;
    assert_non_null(long_event);
    memset(long_event, 'x', 8 << 20);
    memcpy(long_event, "0,0,Default,,0,0,0,,", 20);
    long_event[(8 << 20) - 1] = '\0';
    for (int i = 0; i < 20 && code == 0; i++)
        code = burn_text_add(text, long_event, 5000, 10, &e);
    assert_int_equal(code, ERROR_LIMIT_EXCEEDED);
    free(long_event);
    burn_text_destroy(&text);
}

/* In a process of its own, which says nothing of leaks: without fonts, fontconfig has one. */
static void test_no_font(void **state)
{
    const struct burn_text_settings settings = {.header = (const uint8_t *)header,
                                                .header_size = (int)sizeof header - 1};
    char path[] = "/tmp/luma-fonts-XXXXXX";
    struct burn_text *text = NULL;
    struct error e = {0};
    int fd = mkstemp(path);
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(dprintf(fd, "<?xml version=\"1.0\"?><fontconfig></fontconfig>") > 0, 1);
    close(fd);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setenv("FONTCONFIG_FILE", path, 1);
        int code = burn_text_create(&text, &settings, &e);
        _exit(code == ERROR_ENCODE_FAILED && !text && strstr(e.message, "no font") ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    unlink(path);
    assert_int_equal(status, 0);
}

/* With fonts that don't know them, some foreign letters are boxes; most of a text is an error. */
static int draw_with_dejavu(const char *words, struct error *e)
{
    char path[] = "/tmp/luma-fonts-XXXXXX";
    int fd = mkstemp(path);
    dprintf(fd, "<?xml version=\"1.0\"?><fontconfig><dir>/usr/share/fonts/truetype/dejavu</dir>"
                "<cachedir>/dev/null/none</cachedir></fontconfig>");
    close(fd);
    setenv("FONTCONFIG_FILE", path, 1);
    struct burn_style style = {.outline = -1};
    struct burn_text *text = text_new(true, &style);
    unlink(path);
    char event[256];
    snprintf(event, sizeof event, "1,0,Default,,0,0,0,,{\\an8}%s", words);
    int code = burn_text_add(text, event, 1000, 500, e);
    AVFrame *frame = frame_new(AV_PIX_FMT_YUV420P, 320, 180);
    struct burn_ink ink = {0};
    if (code == 0)
        code = burn_text_draw(text, &ink, frame, 1200, e);
    av_frame_free(&frame);
    burn_text_destroy(&text);
    return code;
}

static void test_missing_letters(void **state)
{
    (void)state;
    if (access("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf", R_OK) != 0)
        skip();
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct error e = {0};
        bool some = draw_with_dejavu("Kyoto is 京都, not 東京", &e) == 0;
        bool most = draw_with_dejavu("左に見えるのは町です", &e) == ERROR_ENCODE_FAILED;
        _exit(some && most && strstr(e.message, "U+") ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* ---- headers ---- */

static void test_headers(void **state)
{
#define BEFORE "[Script Info]\n\n[V4+ Styles]\nFormat: Name, Fontname\nStyle: Default,Arial\n\n"
#define GOOD   "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text"
    static const struct {
        const char *before, *after; /* NULL: the same */
    } cases[] = {
        {BEFORE "[Events]\n" GOOD "\n", NULL},
        {BEFORE
         "[Events]\r\nformat:Marked,Start,End,Style,Actor,MarginL,MarginR,MarginV,Effect,Text",
         NULL},
        {BEFORE "[Events]\nFormat: Layer, Start, End, Style, Name, Text\n",
         BEFORE "[Events]\n" GOOD "\n"},
        {BEFORE "[events]\r\nFormat: Text\r\n[Fonts]\r\n",
         BEFORE "[events]\r\n" GOOD "\r\n[Fonts]\r\n"},
        {BEFORE "[Events]\n" GOOD ", More", BEFORE "[Events]\n" GOOD},
        {BEFORE "[Events]\nFormat:", BEFORE "[Events]\n" GOOD},
        {BEFORE "[Events]\n", NULL},
        {BEFORE, NULL},
        {"", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AVCodecParameters *parameters = avcodec_parameters_alloc();
        size_t size = strlen(cases[i].before);
        const char *wanted = cases[i].after ? cases[i].after : cases[i].before;
        assert_non_null(parameters);
        parameters->extradata = av_mallocz(size + AV_INPUT_BUFFER_PADDING_SIZE);
        parameters->extradata_size = (int)size;
        memcpy(parameters->extradata, cases[i].before, size + 1);
        assert_int_equal(ass_header_fix(parameters), 0);
        assert_string_equal((const char *)parameters->extradata, wanted);
        assert_int_equal(parameters->extradata_size, strlen(wanted));
        avcodec_parameters_free(&parameters);
    }
    AVCodecParameters *none = avcodec_parameters_alloc();
    assert_int_equal(ass_header_fix(none), 0);
    avcodec_parameters_free(&none);
}

/* ---- the plan ---- */

static int add_srt(struct plan *plan)
{
    char path[] = "/tmp/luma-burn-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_true(dprintf(fd, "1\n00:00:01,000 --> 00:00:02,000\nHello\n\n") > 0);
    close(fd);
    struct error e = {0};
    int input = plan_add_input(plan, path, "a.srt", NULL, &e);
    unlink(path);
    if (input < 0)
        fail_msg("%s", e.message);
    return input;
}

static void test_plan(void **state)
{
    static const struct plan_option second = {"duration", "1"};
    static const struct {
        struct plan_option option;
        bool good;
    } options[] = {
        {{"font", "DejaVu Sans"}, true},
        {{"size", "10"}, true},
        {{"size", "0"}, false},
        {{"size", "big"}, false},
        {{"outline", "0"}, true},
        {{"outline", "6"}, false},
        {{"color", "yellow"}, true},
        {{"color", "yello"}, false},
        {{"outline_color", "#102030"}, true},
        {{"position", "top"}, true},
        {{"position", "left"}, false},
        {{"font", ""}, false},
        {{"colour", "red"}, false},
    };
    struct plan *plan = plan_create(NULL);
    struct error e = {0};
    (void)state;
    assert_non_null(plan);
    struct plan_edge subtitle = {add_srt(plan), 0};
    struct plan_edge video = {plan_add_filter(plan, "color", NULL, 0, &second, 1, &e), 0};
    struct plan_edge sound = {plan_add_filter(plan, "sine", NULL, 0, &second, 1, &e), 0};
    assert_true(video.node >= 0 && sound.node >= 0);
    int burned = plan_add_burn(plan, video, subtitle, NULL, 0, &e);
    assert_true(burned >= 0);
    struct plan_type type;
    assert_true(plan_edge_type(plan, (struct plan_edge){burned, 0}, &type));
    assert_int_equal(type.flow, PLAN_FRAMES);
    assert_int_equal(type.kind, AVMEDIA_TYPE_VIDEO);
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        int code = plan_add_burn(plan, video, subtitle, &options[i].option, 1, &e);
        if ((code >= 0) != options[i].good)
            fail_msg("%s=%s: %d", options[i].option.name, options[i].option.value, code);
        if (code < 0)
            assert_string_equal(e.path, options[i].option.name);
    }
    assert_int_equal(plan_add_burn(plan, sound, subtitle, NULL, 0, &e), ERROR_INVALID_OPTION);
    assert_int_equal(plan_add_burn(plan, subtitle, subtitle, NULL, 0, &e), ERROR_INVALID_OPTION);
    assert_int_equal(plan_add_burn(plan, video, video, NULL, 0, &e), ERROR_INVALID_OPTION);
    struct plan_edge palette = {plan_add_palette(plan, video, NULL, 0, &e), 0};
    assert_int_equal(plan_add_burn(plan, palette, subtitle, NULL, 0, &e), ERROR_INVALID_OPTION);
    plan_destroy(&plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_colors),
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_blending),
        cmocka_unit_test(test_pictures),
        cmocka_unit_test(test_absurd_pictures),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_style),
        cmocka_unit_test(test_aspect),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_no_font),
        cmocka_unit_test(test_missing_letters),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
