/*
 * The palettize stage, from pictures of source filters and small clips to GIFs that libav reads
 * back: times to the hundredth, all frames there, few colours, nothing left on disk, and every
 * refusal.
 */
#include "engine_fixture.h"

#include <dirent.h>
#include <libavcodec/avcodec.h>
#include <libavutil/log.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/palette.h"

static struct plan_edge pictures(struct plan *plan, const char *size, const char *rate,
                                 const char *seconds)
{
    return add_filter(plan, "testsrc2", NULL, 0,
                      (const char *[]){"size", size, "rate", rate, "duration", seconds, NULL});
}

static struct plan_edge add_palette(struct plan *plan, struct plan_edge input,
                                    const char *const *options)
{
    struct plan_option list[8] = {0};
    struct error e = {0};
    int count = 0;
    for (; options && options[2 * count]; count++)
        list[count] = (struct plan_option){options[2 * count], options[2 * count + 1]};
    int node = plan_add_palette(plan, input, list, count, &e);
    if (node < 0)
        fail_msg("%s", e.message);
    return (struct plan_edge){node, 0};
}

static int add_gif(struct plan *plan, struct plan_edge input, const char *const *options)
{
    struct plan_edge track = add_encode(plan, add_palette(plan, input, options), "gif", NULL);
    return add_output(plan, "gif", &track, 1);
}

/* Seconds of a file's packets together: what a player shows. */
static double shown(const char *path)
{
    AVFormatContext *context = NULL;
    AVPacket *packet = av_packet_alloc();
    double seconds = 0;
    assert_int_equal(avformat_open_input(&context, path, NULL, NULL), 0);
    while (av_read_frame(context, packet) >= 0) {
        seconds += (double)packet->duration * av_q2d(context->streams[0]->time_base);
        av_packet_unref(packet);
    }
    av_packet_free(&packet);
    avformat_close_input(&context);
    return seconds;
}

static int compare_pixels(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static int count_colors(const AVFrame *frame)
{
    size_t pixels = (size_t)frame->width * (size_t)frame->height;
    uint32_t *all = malloc(pixels * sizeof *all);
    assert_non_null(all);
    assert_int_equal(frame->format, AV_PIX_FMT_BGRA);
    for (int y = 0; y < frame->height; y++)
        memcpy(all + (size_t)y * (size_t)frame->width, frame->data[0] + y * frame->linesize[0],
               (size_t)frame->width * 4);
    qsort(all, pixels, sizeof *all, compare_pixels);
    int count = 1;
    for (size_t i = 1; i < pixels; i++)
        count += all[i] != all[i - 1];
    free(all);
    return count;
}

/* The most colours in any picture of a GIF. */
static int most_colors(const char *path)
{
    AVFormatContext *context = NULL;
    AVPacket *packet = av_packet_alloc();
    AVFrame *frame = av_frame_alloc();
    AVCodecContext *decoder = avcodec_alloc_context3(avcodec_find_decoder(AV_CODEC_ID_GIF));
    int most = 0;
    assert_int_equal(avformat_open_input(&context, path, NULL, NULL), 0);
    assert_int_equal(avcodec_open2(decoder, NULL, NULL), 0);
    while (av_read_frame(context, packet) >= 0) {
        assert_int_equal(avcodec_send_packet(decoder, packet), 0);
        av_packet_unref(packet);
        while (avcodec_receive_frame(decoder, frame) >= 0)
            most = FFMAX(most, count_colors(frame));
    }
    av_frame_free(&frame);
    av_packet_free(&packet);
    avcodec_free_context(&decoder);
    avformat_close_input(&context);
    return most;
}

/* ---- what comes out ---- */

static void test_all_frames_in_time(void **state)
{
    (void)state;
    static const struct {
        const char *rate, *seconds;
        int frames;
        double shown;
    } cases[] = {
        {"12", "2", 24, 2},           /* 8.33 hundredths each */
        {"30000/1001", "3", 90, 3.0}, /* no drift */
        {"50", "0.5", 25, 0.5},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct plan *plan = plan_create(NULL);
        int output = add_gif(plan, pictures(plan, "64x48", cases[i].rate, cases[i].seconds), NULL);
        struct pipeline_result result = run_good(plan);
        struct file_facts facts = facts_read(output_file(output, 0));
        struct track_facts *track = facts_track(&facts, AVMEDIA_TYPE_VIDEO);
        assert_int_equal(track->frame_count, cases[i].frames);
        assert_int_equal(track->width, 64);
        assert_int_equal(track->height, 48);
        assert_near(shown(output_file(output, 0)), cases[i].shown, 0.0051);
        facts_free(&facts);
        pipeline_result_finish(&result);
        plan_destroy(&plan);
    }
}

/* Frames of unlike length; the last is shown until the stream ends. */
static void test_variable_rate(void **state)
{
    (void)state;
    const char *path =
        fixture_clip("palettize-vfr.mkv", "-f lavfi -i testsrc2=s=64x48:r=10:d=2 -vf "
                                          "'select=eq(n\\,0)+eq(n\\,1)+eq(n\\,7)+eq(n\\,12)' "
                                          "-fps_mode vfr -c:v ffv1");
    int input;
    struct plan *plan = make_plan(path, &input);
    int output = add_gif(plan, stream_of(plan, input, AVMEDIA_TYPE_VIDEO), NULL);
    struct pipeline_result result = run_good(plan);
    struct file_facts facts = facts_read(output_file(output, 0));
    struct track_facts *track = facts_track(&facts, AVMEDIA_TYPE_VIDEO);
    static const double times[] = {0, 0.1, 0.7, 1.2};
    assert_int_equal(track->frame_count, 4);
    for (int i = 0; i < 4; i++)
        assert_near(track->frames[i].time - track->frames[0].time, times[i], 0.001);
    assert_near(shown(output_file(output, 0)), 1.3, 0.011);
    facts_free(&facts);
    pipeline_result_finish(&result);
    plan_destroy(&plan);
}

static void test_colors(void **state)
{
    (void)state;
    static const char *const counts[] = {"2", "16", "256"};
    for (size_t i = 0; i < 3; i++) {
        struct plan *plan = plan_create(NULL);
        int output = add_gif(plan, pictures(plan, "160x120", "5", "1"),
                             (const char *[]){"colors", counts[i], "dither", "bayer", NULL});
        struct pipeline_result result = run_good(plan);
        int most = most_colors(output_file(output, 0));
        assert_true(most <= atoi(counts[i]) && most >= (i == 2 ? 32 : 1));
        pipeline_result_finish(&result);
        plan_destroy(&plan);
    }
}

/* Straight from a decoder: the same pictures as without a palette; and where the size changes in
 * the middle, all are as large as the first. */
static void test_straight_from_an_input(void **state)
{
    (void)state;
    const char *path = fixture_clip("palettize.mp4", CLIP_AV);
    int input;
    struct plan *plan = make_plan(path, &input);
    struct plan_edge video = stream_of(plan, input, AVMEDIA_TYPE_VIDEO);
    struct plan_edge tracks[2] = {
        add_encode(plan, add_palette(plan, video, NULL), "gif", NULL),
        add_h264(plan, video),
    };
    int outputs[2] = {add_output(plan, "gif", &tracks[0], 1),
                      add_output(plan, "mp4", &tracks[1], 1)};
    struct pipeline_result result = run_good(plan);
    struct file_facts gif = facts_read(output_file(outputs[0], 0));
    struct file_facts mp4 = facts_read(output_file(outputs[1], 0));
    struct track_facts *ours = facts_track(&gif, AVMEDIA_TYPE_VIDEO);
    struct track_facts *theirs = facts_track(&mp4, AVMEDIA_TYPE_VIDEO);
    assert_int_equal(ours->frame_count, 50);
    assert_int_equal(theirs->frame_count, 50);
    for (int i = 0; i < 50; i++)
        assert_true(likeness_difference(&ours->frames[i], &theirs->frames[i]) < 3);
    facts_free(&gif);
    facts_free(&mp4);
    pipeline_result_finish(&result);
    plan_destroy(&plan);

    path =
        fixture_join("palettize-ab.ts",
                     fixture_clip("palettize-a.ts",
                                  "-f lavfi -i testsrc2=s=160x120:r=25:d=1 -c:v mpeg2video -bf 0"),
                     fixture_clip("palettize-b.ts",
                                  "-f lavfi -i testsrc2=s=80x60:r=25:d=1 -c:v mpeg2video -bf 0"));
    plan = make_plan(path, &input);
    int output = add_gif(plan, stream_of(plan, input, AVMEDIA_TYPE_VIDEO), NULL);
    result = run_good(plan);
    gif = facts_read(output_file(output, 0));
    ours = facts_track(&gif, AVMEDIA_TYPE_VIDEO);
    assert_true(ours->frame_count > 25);
    for (int i = 0; i < ours->frame_count; i++)
        assert_int_equal(ours->frames[i].width, 160);
    facts_free(&gif);
    pipeline_result_finish(&result);
    plan_destroy(&plan);
}

/* A palette goes into other formats as well, and nothing stays in the folder. */
static void test_other_formats(void **state)
{
    (void)state;
    struct plan *plan = plan_create(NULL);
    struct plan_edge palette = add_palette(plan, pictures(plan, "64x48", "10", "0.5"),
                                           (const char *[]){"transparency", "0", NULL});
    struct plan_edge tracks[2] = {
        add_encode(plan, palette, "apng", (const char *[]){"pixel_format", "pal8", NULL}),
        add_encode(plan, palette, "png", (const char *[]){"pixel_format", "pal8", NULL}),
    };
    int apng = add_output(plan, "apng", &tracks[0], 1);
    add_pictures(plan, "png", tracks[1]);
    struct pipeline_result result = run_good(plan);
    assert_int_equal(result.file_count, 6);
    struct file_facts facts = facts_read(output_file(apng, 0));
    assert_int_equal(facts_track(&facts, AVMEDIA_TYPE_VIDEO)->frame_count, 5);
    facts_free(&facts);
    DIR *folder = opendir(fixture_folder);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));)
        assert_null(strstr(entry->d_name, "spool"));
    closedir(folder);
    pipeline_result_finish(&result);
    plan_destroy(&plan);
}

static void test_an_empty_stream(void **state)
{
    (void)state;
    struct plan *plan = plan_create(NULL);
    struct plan_edge edge = add_filter1(plan, "select", pictures(plan, "64x48", "10", "1"),
                                        (const char *[]){"expr", "0", NULL});
    struct pipeline_result result;
    struct error e = {0};
    add_gif(plan, edge, NULL);
    assert_int_equal(run_plan(plan, NULL, &result, &e), ERROR_ENCODE_FAILED);
    assert_non_null(strstr(e.message, "empty"));
    plan_destroy(&plan);
}

/* ---- bounds ---- */

static void test_the_spool_is_bounded(void **state)
{
    (void)state;
    struct policy_limits limits;
    struct pipeline_result result;
    struct error e = {0};
    policy_limits_init(&limits);
    limits.max_spool_bytes = 200000; /* about sixteen frames of 12 kB */
    struct plan *plan = plan_create(&limits);
    add_gif(plan, pictures(plan, "64x48", "25", "1"), NULL);
    assert_int_equal(run_plan(plan, NULL, &result, &e), ERROR_LIMIT_EXCEEDED);
    assert_non_null(strstr(e.message, "200000"));
    plan_destroy(&plan);

    policy_limits_init(&limits);
    limits.max_output_bytes = 4000; /* reached while the palette is used */
    plan = plan_create(&limits);
    add_gif(plan, pictures(plan, "160x120", "25", "1"), NULL);
    assert_int_equal(run_plan(plan, NULL, &result, &e), ERROR_LIMIT_EXCEEDED);
    plan_destroy(&plan);
}

static int cancel(void *opaque, const struct pipeline_progress *progress)
{
    (void)opaque;
    (void)progress;
    return 1;
}

static void test_it_can_be_cancelled(void **state)
{
    (void)state;
    struct plan *plan = plan_create(NULL);
    struct pipeline_result result;
    struct error e = {0};
    add_gif(plan, pictures(plan, "640x480", "50", "30"), NULL);
    struct pipeline_options options = {.progress = cancel, .period_ms = 300};
    assert_int_equal(run_plan(plan, &options, &result, &e), ERROR_CANCELLED);
    plan_destroy(&plan);
}

/* ---- refusals ---- */

static void test_what_is_refused(void **state)
{
    (void)state;
    struct plan *plan = plan_create(NULL);
    struct error e = {0};
    struct plan_edge video = pictures(plan, "64x48", "10", "1");
    struct plan_edge endless = add_filter(plan, "color", NULL, 0, NULL);
    struct plan_edge sound = add_filter(plan, "sine", NULL, 0, (const char *[]){"d", "1", NULL});
    static const struct {
        const char *name, *value, *says;
    } options[] = {
        {"colors", "1", "colors"},       {"colors", "257", "colors"},
        {"colors", "many", "colors"},    {"tolerance", "33", "tolerance"},
        {"bayer_scale", "6", "bayer"},   {"alpha_threshold", "-1", "alpha"},
        {"dither", "siera2", "sierra2"}, {"transparency", "maybe", "transparency"},
        {"stable", "", "stable"},        {"colours", "3", "did you mean 'colors'"},
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        struct plan_option option = {options[i].name, options[i].value};
        assert_int_equal(plan_add_palette(plan, video, &option, 1, &e), ERROR_INVALID_OPTION);
        if (!strstr(e.message, options[i].says))
            fail_msg("%s", e.message);
    }
    assert_int_equal(plan_add_palette(plan, sound, NULL, 0, &e), ERROR_INVALID_OPTION);
    assert_non_null(strstr(e.message, "audio"));
    assert_int_equal(plan_add_palette(plan, endless, NULL, 0, &e), ERROR_INVALID_OPTION);
    assert_non_null(strstr(e.message, "never end"));
    assert_int_equal(plan_add_palette(plan, (struct plan_edge){99, 0}, NULL, 0, &e),
                     ERROR_INTERNAL);

    struct plan_edge palette = add_palette(plan, video, NULL);
    assert_int_equal(plan_add_palette(plan, palette, NULL, 0, &e), ERROR_INVALID_OPTION);
    assert_int_equal(plan_add_filter(plan, "hflip", &palette, 1, NULL, 0, &e),
                     ERROR_INVALID_OPTION);
    assert_non_null(strstr(e.message, "goes to an encoder"));
    assert_int_equal(plan_add_measure(plan, palette, false, &e), ERROR_INVALID_OPTION);
    plan_destroy(&plan);
}

static void test_it_stands_alone(void **state)
{
    (void)state;
    struct plan *plan = plan_create(NULL);
    struct error e = {0};
    struct plan_edge video = pictures(plan, "64x48", "10", "1");
    struct plan_edge sound = add_filter(plan, "sine", NULL, 0, (const char *[]){"d", "1", NULL});
    struct plan_edge tracks[2] = {
        add_encode(plan, sound, "aac", NULL),
        add_encode(plan, add_palette(plan, video, NULL), "qtrle", NULL),
    };
    struct plan_output output = {.format = "mov",
                                 .tracks = tracks,
                                 .track_count = 2,
                                 .metadata_from = -1,
                                 .chapters_from = -1};
    assert_int_equal(plan_add_output(plan, &output, &e), ERROR_INVALID_OPTION);
    assert_non_null(strstr(e.message, "palette"));
    assert_string_equal(e.path, "tracks[2]");
    plan_destroy(&plan);
}

static void test_options_of_the_container(void **state)
{
    (void)state;
    static const struct {
        const char *format, *name, *value;
        bool fits;
    } cases[] = {
        {"gif", "loop", "3", true},
        {"gif", "loop", "-1", true},
        {"gif", "loop", "70000", false},
        {"gif", "loop", "often", false},
        {"gif", "plays", "3", false},
        {"gif", "final_delay", "3", false},
        {"apng", "plays", "3", true},
        {"apng", "loop", "3", false},
        {"mkv", "reserve_index_space", "100", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct plan *plan = plan_create(NULL);
        struct error e = {0};
        const char *codec = strcmp(cases[i].format, "apng") == 0 ? "apng" : "gif";
        struct plan_edge track = add_encode(
            plan, add_palette(plan, pictures(plan, "64x48", "10", "1"), NULL), codec, NULL);
        struct plan_option option = {cases[i].name, cases[i].value};
        struct plan_output output = {.format = cases[i].format,
                                     .tracks = &track,
                                     .track_count = 1,
                                     .metadata_from = -1,
                                     .chapters_from = -1,
                                     .options = &option,
                                     .option_count = 1};
        int node = plan_add_output(plan, &output, &e);
        if (cases[i].fits != (node >= 0) || (node < 0 && e.code != ERROR_INVALID_OPTION))
            fail_msg("%s %s=%s: %s", cases[i].format, cases[i].name, cases[i].value, e.message);
        plan_destroy(&plan);
    }
}

static void test_it_is_explained(void **state)
{
    (void)state;
    static const struct {
        enum plan_style style;
        const char *says;
    } cases[] = {
        {PLAN_STYLE_TEXT, "palette(colors=64, dither=bayer) from ["},
        {PLAN_STYLE_TEXT, "filtered by testsrc2, palette"},
        {PLAN_STYLE_DOT, "palette\\ncolors=64"},
        {PLAN_STYLE_FFMPEG, "palettegen=max_colors=64[f1c];[f1b][f1c]paletteuse=dither=bayer[f1]"},
    };
    struct plan *plan = plan_create(NULL);
    struct plan_edge video = pictures(plan, "64x48", "10", "1");
    int output = add_gif(plan, video, (const char *[]){"colors", "64", "dither", "bayer", NULL});
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = NULL;
        struct error e = {0};
        assert_int_equal(plan_explain(plan, &output, 1, cases[i].style, &text, &e), 0);
        if (!strstr(text, cases[i].says))
            fail_msg("%s", text);
        free(text);
    }
    struct plan_edge plain = add_encode(plan, video, "gif", NULL);
    int other = add_output(plan, "gif", &plain, 1);
    assert_true(plan_cost(plan, &output, 1) > plan_cost(plan, &other, 1));
    plan_destroy(&plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_frames_in_time),
        cmocka_unit_test(test_variable_rate),
        cmocka_unit_test(test_colors),
        cmocka_unit_test(test_straight_from_an_input),
        cmocka_unit_test(test_other_formats),
        cmocka_unit_test(test_an_empty_stream),
        cmocka_unit_test(test_the_spool_is_bounded),
        cmocka_unit_test(test_it_can_be_cancelled),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_it_stands_alone),
        cmocka_unit_test(test_options_of_the_container),
        cmocka_unit_test(test_it_is_explained),
    };
    av_log_set_level(AV_LOG_ERROR);
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
