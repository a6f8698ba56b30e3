/*
 * Two-pass encodes: the size that was asked for comes out, both passes are told of, nothing is left
 * in the folder however a run ends, and what can't be is refused.
 */
#include "engine_fixture.h"

#include <dirent.h>
#include <libavutil/log.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Calm first, wild afterwards: a single pass doesn't know what is to come. */
static const char *clip(void)
{
    return fixture_clip("uneven.mkv",
                        "-f lavfi -i testsrc=s=160x120:r=25:d=2 -f lavfi -i "
                        "mandelbrot=s=160x120:r=25 -filter_complex [0][1]concat -t 4 -c:v libx264 "
                        "-preset ultrafast -crf 10 -pix_fmt yuv420p");
}

static int files_in_folder(void)
{
    int count = 0;
    DIR *folder = opendir(fixture_folder);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(folder);
    return count;
}

static struct plan *two_pass_plan(const char *codec, const char *const *options, int *output)
{
    int input;
    struct plan *plan = make_plan(clip(), &input);
    struct plan_edge video = stream_of(plan, input, AVMEDIA_TYPE_VIDEO);
    struct plan_edge turned = add_filter1(plan, "hflip", video, NULL);
    struct plan_edge track = add_encode(plan, turned, codec, options);
    *output = add_output(plan, "mkv", &track, 1);
    return plan;
}

struct progress {
    double last, lowest_step;
    struct pipeline_control *cancel;
};

static int watch(void *opaque, const struct pipeline_progress *told)
{
    struct progress *progress = opaque;
    if (!isnan(told->percent)) {
        progress->lowest_step = fmin(progress->lowest_step, told->percent - progress->last);
        progress->last = told->percent;
    }
    if (progress->cancel)
        atomic_store(&progress->cancel->cancel, 1);
    return 0;
}

static void test_the_rate_is_met(void **state)
{
    (void)state;
    static const struct {
        const char *codec, *speed, *value;
    } cases[] = {
        {"libx264", "preset", "veryfast"},
        {"libx265", "preset", "ultrafast"},
        {"libvpx-vp9", "cpu-used", "8"},
        {"mpeg4", "bf", "0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int output;
        struct plan *plan =
            two_pass_plan(cases[i].codec,
                          (const char *[]){"bitrate", "150000", "passes", "2", cases[i].speed,
                                           cases[i].value, "g", "250", NULL},
                          &output);
        struct progress progress = {0};
        struct pipeline_options options = {.progress = watch, .period_ms = 20, .opaque = &progress};
        struct pipeline_result result;
        struct error e = {0};
        if (run_plan(plan, &options, &result, &e) != 0)
            fail_msg("%s: %s", cases[i].codec, e.message);
        assert_int_equal(result.files[0].tracks[0].packets, 100);
        double rate = (double)result.files[0].tracks[0].bytes * 8 / 4;
        if (rate < 115000 || rate > 185000)
            fail_msg("%s made %.0f bits a second of 150000", cases[i].codec, rate);
        assert_true(progress.lowest_step >= 0 && progress.last == 100);
        assert_int_equal(files_in_folder(), 2); /* the clip, and what was made */
        remove(output_file(output, 0));
        pipeline_result_finish(&result);
        plan_destroy(&plan);
    }
}

/* Two encoders of one film, one in two passes, and the film twice: each has its own record. */
static void test_several_at_once(void **state)
{
    (void)state;
    int input;
    struct plan *plan = make_plan(clip(), &input);
    struct plan_edge video = stream_of(plan, input, AVMEDIA_TYPE_VIDEO);
    static const char *const rates[] = {"80000", "240000"};
    struct plan_edge tracks[3];
    for (int i = 0; i < 2; i++) {
        tracks[i] = add_encode(
            plan, video, "libx264",
            (const char *[]){"bitrate", rates[i], "passes", "2", "preset", "veryfast", NULL});
    }
    tracks[2] = add_h264(plan, video);
    int output = add_output(plan, "mkv", tracks, 3);
    struct pipeline_result result = run_good(plan);
    assert_near((double)result.files[0].tracks[0].bytes * 2, 80000, 12000);
    assert_near((double)result.files[0].tracks[1].bytes * 2, 240000, 36000);
    assert_int_equal(result.files[0].tracks[2].packets, 100);
    assert_int_equal(files_in_folder(), 2);
    remove(output_file(output, 0));
    pipeline_result_finish(&result);
    plan_destroy(&plan);
}

/* x264 opens no second pass for a rate that the first one shows to be out of reach. */
static void test_a_rate_out_of_reach(void **state)
{
    (void)state;
    int output;
    struct plan *plan = two_pass_plan(
        "libx264", (const char *[]){"bitrate", "1000", "passes", "2", "preset", "superfast", NULL},
        &output);
    struct pipeline_result result = run_good(plan);
    assert_int_equal(result.files[0].tracks[0].packets, 100);
    assert_int_equal(files_in_folder(), 2);
    remove(output_file(output, 0));
    pipeline_result_finish(&result);
    plan_destroy(&plan);
}

static void test_a_cancel_leaves_nothing(void **state)
{
    (void)state;
    int output;
    struct plan *plan = two_pass_plan(
        "libx264", (const char *[]){"bitrate", "150000", "passes", "2", "preset", "veryslow", NULL},
        &output);
    struct pipeline_control control = {0};
    struct progress progress = {.cancel = &control};
    struct pipeline_options options = {
        .control = &control, .progress = watch, .period_ms = 5, .opaque = &progress};
    struct pipeline_result result;
    struct error e = {0};
    assert_int_equal(run_plan(plan, &options, &result, &e), ERROR_CANCELLED);
    remove(output_file(output, 0));
    assert_int_equal(files_in_folder(), 1);
    plan_destroy(&plan);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *codec;
        const char *options[8];
        const char *path;
    } cases[] = {
        {"libsvtav1", {"passes", "2", "bitrate", "100000"}, "passes"},
        {"libx264", {"passes", "2"}, "passes"},
        {"libx264", {"passes", "2", "crf", "20"}, "passes"},
        {"libx264", {"passes", "3", "bitrate", "100000"}, "passes"},
        {"libx264", {"flags", "+pass1", "bitrate", "100000"}, "flags"},
        {"libx264", {"flags", "1024", "bitrate", "100000"}, "flags"},
        {"libx264", {"x264-params", "pass=1", "bitrate", "100000"}, "x264-params"},
        {"libx265", {"x265-params", "pass=2", "bitrate", "100000"}, "x265-params"},
        {"libx264", {"passlogfile", "/tmp/x", "bitrate", "100000"}, "passlogfile"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int input, count = 0;
        struct plan *plan = make_plan(clip(), &input);
        struct plan_option options[4];
        struct error e = {0};
        for (; cases[i].options[2 * count]; count++) {
            options[count] =
                (struct plan_option){cases[i].options[2 * count], cases[i].options[2 * count + 1]};
        }
        struct plan_edge video = stream_of(plan, input, AVMEDIA_TYPE_VIDEO);
        int code = plan_add_encode(plan, video, cases[i].codec, options, count, &e);
        if (code != ERROR_INVALID_OPTION || strcmp(e.path, cases[i].path) != 0)
            fail_msg("case %zu: %d, '%s': %s", i, code, e.path, e.message);
        plan_destroy(&plan);
    }
}

static void test_it_is_explained_and_priced(void **state)
{
    (void)state;
    int once, twice;
    struct plan *plan =
        two_pass_plan("libx264", (const char *[]){"bitrate", "150000", NULL}, &once);
    struct plan *both = two_pass_plan(
        "libx264", (const char *[]){"bitrate", "150000", "passes", "2", NULL}, &twice);
    assert_true(plan_cost(both, NULL, 0) > 1.1 * plan_cost(plan, NULL, 0));
    char *text = NULL;
    struct error e = {0};
    assert_int_equal(plan_explain(both, NULL, 0, PLAN_STYLE_FFMPEG, &text, &e), 0);
    assert_string_equal(
        text, "ffmpeg -i clip -filter_complex '[0:0]hflip[f1]' -map '[f1]' -c:0 libx264 -b:0 "
              "150000 -pass:0 1 -f null /dev/null && ffmpeg -i clip -filter_complex "
              "'[0:0]hflip[f1]' -map '[f1]' -c:0 libx264 -b:0 150000 -pass:0 2 -map_metadata -1 "
              "-map_chapters -1 out.mkv\n");
    free(text);
    assert_int_equal(plan_explain(both, NULL, 0, PLAN_STYLE_TEXT, &text, &e), 0);
    assert_non_null(strstr(text, "encode libx264(bitrate=150000, passes=2)"));
    free(text);
    plan_destroy(&plan);
    plan_destroy(&both);
}

int main(void)
{
    av_log_set_level(AV_LOG_QUIET);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_rate_is_met),
        cmocka_unit_test(test_several_at_once),
        cmocka_unit_test(test_a_rate_out_of_reach),
        cmocka_unit_test(test_a_cancel_leaves_nothing),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_it_is_explained_and_priced),
    };
    return cmocka_run_group_tests_name("passes", tests, fixture_setup, fixture_teardown);
}
