/*
 * Plans run for real: what comes out is what was planned, and however a run ends, it ends.
 */
#include "engine_fixture.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static const char *clip(void)
{
    return fixture_clip("av.mp4", CLIP_AV);
}

/* ---- copy and encode ---- */

static void test_transcode(void **state)
{
    (void)state;
    int input;
    struct plan *plan = make_plan(clip(), &input);
    struct plan_edge tracks[] = {
        add_h264(plan, stream_of(plan, input, AVMEDIA_TYPE_VIDEO)),
        add_encode(plan, stream_of(plan, input, AVMEDIA_TYPE_AUDIO), "aac", NULL),
    };
    static const char *const formats[] = {"mp4", "mkv", "mov", "ts", "flv", "avi"};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        int output = add_output(plan, formats[i], tracks, 2);
        struct pipeline_options options = {.outputs = &output, .output_count = 1};
        struct pipeline_result result;
        struct error e = {0};
        assert_int_equal(run_plan(plan, &options, &result, &e), 0);
        assert_int_equal(result.file_count, 1);
        assert_int_equal(result.files[0].output, output);
        assert_int_equal(result.files[0].track_count, 2);
        assert_string_equal(result.files[0].tracks[0].codec, "h264");
        assert_int_equal(result.files[0].tracks[0].packets, 50);
        assert_near(result.files[0].tracks[0].end, 2, 0.001);
        assert_near(result.files[0].tracks[1].end, 2, 0.03);

        struct file_facts facts = facts_read(output_file(output, 0));
        struct track_facts *video = facts_track(&facts, AVMEDIA_TYPE_VIDEO);
        struct track_facts *audio = facts_track(&facts, AVMEDIA_TYPE_AUDIO);
        assert_int_equal(video->frame_count, 50);
        assert_true(video->rising && audio->rising);
        /* AVI counts frames, so the priming of its sound moves the first one. */
        double start = video->frames[1].time;
        for (int k = 1; k < 50; k++)
            assert_near(video->frames[k].time - start, (k - 1) * 0.04, 0.0011);
        assert_near(audio->start - video->start, 0, 0.08);
        assert_near((double)audio->samples / 48000, 2, 0.07);
        facts_free(&facts);
        pipeline_result_finish(&result);
    }
    plan_destroy(&plan);
}

static void test_copy_changes_no_packet(void **state)
{
    (void)state;
    static const char *const formats[] = {"mp4", "mkv", "mov"};
    struct file_facts before = facts_read(clip());
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        int input;
        struct plan *plan = make_plan(clip(), &input);
        struct plan_edge tracks[] = {
            add_copy(plan, stream_of(plan, input, AVMEDIA_TYPE_VIDEO)),
            add_copy(plan, stream_of(plan, input, AVMEDIA_TYPE_AUDIO)),
        };
        int output = add_output(plan, formats[i], tracks, 2);
        struct pipeline_result result = run_good(plan);
        struct file_facts after = facts_read(output_file(output, 0));
        for (int k = 0; k < 2; k++) {
            assert_int_equal(after.tracks[k].packets, before.tracks[k].packets);
            assert_true(after.tracks[k].hash == before.tracks[k].hash);
            assert_true(after.tracks[k].rising);
            assert_int_equal(result.files[0].tracks[k].packets, before.tracks[k].packets);
        }
        /* Sound and picture keep their distance, whatever a container does to the start. */
        assert_near(after.tracks[0].frames[0].time - after.tracks[1].start,
                    before.tracks[0].frames[0].time - before.tracks[1].start, 0.0015);
        assert_int_equal(result.files[0].size, avio_size(after.context->pb));
        facts_free(&after);
        pipeline_result_finish(&result);
        plan_destroy(&plan);
    }
    facts_free(&before);
}

/* ---- shapes of graphs ---- */

static void test_five_outputs_of_one_input(void **state)
{
    (void)state;
    int input;
    struct plan *plan = make_plan(clip(), &input);
    struct plan_edge video = stream_of(plan, input, AVMEDIA_TYPE_VIDEO);
    struct plan_edge audio = stream_of(plan, input, AVMEDIA_TYPE_AUDIO);
    struct plan_edge small =
        add_filter1(plan, "scale", video, (const char *[]){"w", "160", "h", "120", NULL});
    struct plan_edge slow = add_filter1(plan, "fps", video, (const char *[]){"fps", "5", NULL});
    struct plan_edge sound = add_encode(plan, audio, "aac", NULL);
    struct plan_edge copies[] = {add_copy(plan, video), add_copy(plan, audio)};
    struct plan_edge whole[] = {add_h264(plan, video), sound};
    struct plan_edge smaller[] = {add_h264(plan, small), sound};
    struct plan_edge silent = add_h264(plan, small);
    int outputs[] = {
        add_output(plan, "mp4", copies, 2),
        add_output(plan, "mkv", whole, 2),
        add_output(plan, "mp4", smaller, 2),
        add_output(plan, "mkv", &silent, 1),
        add_pictures(plan, "png", add_encode(plan, slow, "png", NULL)),
    };
    struct pipeline_result result = run_good(plan);
    assert_int_equal(result.file_count, 4 + 10);
    for (int i = 0; i < 4; i++) {
        struct file_facts facts = facts_read(output_file(outputs[i], 0));
        struct track_facts *track = facts_track(&facts, AVMEDIA_TYPE_VIDEO);
        assert_int_equal(track->frame_count, 50);
        assert_int_equal(track->width, i < 2 ? 320 : 160);
        assert_int_equal(facts.track_count, i < 3 ? 2 : 1);
        facts_free(&facts);
    }
    for (int i = 0; i < 10; i++) {
        const struct pipeline_file *file = &result.files[4 + i];
        assert_int_equal(file->output, outputs[4]);
        assert_int_equal(file->number, i);
        assert_int_equal(file->width, 320);
        assert_near(file->time, i * 0.2, 0.001);
    }
    pipeline_result_finish(&result);
    plan_destroy(&plan);
}

static void test_hundred_filters(void **state)
{
    (void)state;
    int input;
    struct plan *plan = make_plan(clip(), &input);
    struct plan_edge edge = stream_of(plan, input, AVMEDIA_TYPE_VIDEO);
    for (int i = 0; i < 100; i++)
        edge = add_filter1(plan, i % 2 ? "hflip" : "negate", edge, NULL);
    struct plan_edge track =
        add_encode(plan, edge, "h264", (const char *[]){"preset", "ultrafast", "crf", "1", NULL});
    int output = add_output(plan, "mkv", &track, 1);
    struct pipeline_result result = run_good(plan);
    struct file_facts before = facts_read(clip()), after = facts_read(output_file(output, 0));
    struct track_facts *a = facts_track(&before, AVMEDIA_TYPE_VIDEO);
    struct track_facts *b = facts_track(&after, AVMEDIA_TYPE_VIDEO);
    assert_int_equal(b->frame_count, 50);
    for (int i = 0; i < 50; i++)
        assert_true(likeness_difference(&a->frames[i], &b->frames[i]) < 1.5);
    facts_free(&before);
    facts_free(&after);
    pipeline_result_finish(&result);
    plan_destroy(&plan);
}

static void test_split_inside_a_graph(void **state)
{
    (void)state;
    int input;
    struct plan *plan = make_plan(clip(), &input);
    struct plan_edge video = stream_of(plan, input, AVMEDIA_TYPE_VIDEO);
    struct plan_edge half =
        add_filter1(plan, "scale", video, (const char *[]){"w", "160", "h", "120", NULL});
    struct plan_edge pair[] = {video, half};
    struct plan_edge over = add_filter(plan, "overlay", pair, 2, NULL);
    struct plan_edge tracks[] = {add_h264(plan, over), add_h264(plan, half), add_h264(plan, half)};
    int output = add_output(plan, "mkv", tracks, 3);
    struct pipeline_result result = run_good(plan);
    struct file_facts facts = facts_read(output_file(output, 0));
    for (int i = 0; i < 3; i++)
        assert_int_equal(facts.tracks[i].frame_count, 50);
    facts_free(&facts);
    pipeline_result_finish(&result);
    plan_destroy(&plan);
}

static void test_made_from_nothing(void **state)
{
    (void)state;
    struct plan *plan = make_plan(NULL, NULL);
    struct plan_edge color = add_filter(
        plan, "color", NULL, 0,
        (const char *[]){"color", "red", "size", "64x64", "rate", "10", "duration", "2", NULL});
    struct plan_edge sine =
        add_filter(plan, "sine", NULL, 0, (const char *[]){"duration", "2", NULL});
    struct plan_edge tracks[] = {add_h264(plan, color), add_encode(plan, sine, "aac", NULL)};
    int output = add_output(plan, "mp4", tracks, 2);
    struct pipeline_result result = run_good(plan);
    struct file_facts facts = facts_read(output_file(output, 0));
    assert_int_equal(facts_track(&facts, AVMEDIA_TYPE_VIDEO)->frame_count, 20);
    assert_near(facts_track(&facts, AVMEDIA_TYPE_AUDIO)->end, 2, 0.03);
    facts_free(&facts);
    pipeline_result_finish(&result);
    plan_destroy(&plan);
}

/* ---- several sources ---- */

static const char *other_clip(void)
{
    return fixture_clip("other.mkv", "-f lavfi -i mandelbrot=s=160x120:r=25 -f lavfi -i "
                                     "sine=f=880:r=44100 -t 2 -c:v libx264 -preset ultrafast "
                                     "-pix_fmt yuv420p -c:a libvorbis");
}

static int add_input(struct plan *plan, const char *path)
{
    struct error e = {0};
    int input = plan_add_input(plan, path, "other", NULL, &e);
    assert_true(input >= 0);
    return input;
}

static void test_overlay_of_two_files(void **state)
{
    (void)state;
    int first;
    struct plan *plan = make_plan(clip(), &first);
    int second = add_input(plan, other_clip());
    struct plan_edge pair[] = {stream_of(plan, first, AVMEDIA_TYPE_VIDEO),
                               stream_of(plan, second, AVMEDIA_TYPE_VIDEO)};
    struct plan_edge over = add_filter(plan, "overlay", pair, 2, NULL);
    struct plan_edge tracks[] = {
        add_h264(plan, over),
        add_encode(plan, stream_of(plan, second, AVMEDIA_TYPE_AUDIO), "aac", NULL),
    };
    int output = add_output(plan, "mp4", tracks, 2);
    struct pipeline_result result = run_good(plan);
    struct file_facts facts = facts_read(output_file(output, 0));
    /* One more than either has, as the second begins between frames of the first. */
    assert_int_equal(facts_track(&facts, AVMEDIA_TYPE_VIDEO)->frame_count, 51);
    assert_near(facts_track(&facts, AVMEDIA_TYPE_AUDIO)->end, 2, 0.05);
    facts_free(&facts);
    pipeline_result_finish(&result);
    plan_destroy(&plan);
}

/* The second of two long inputs must wait until the first has been used up. */
static void test_concat_of_two_files(void **state)
{
    (void)state;
    const char *path = fixture_clip(
        "long.mkv", "-f lavfi -i testsrc2=s=160x120:r=25:d=20 -f lavfi -i sine=d=20:r=48000 "
                    "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a flac");
    int first;
    struct plan *plan = make_plan(path, &first);
    int second = add_input(plan, path);
    struct plan_edge edges[] = {
        stream_of(plan, first, AVMEDIA_TYPE_VIDEO),
        stream_of(plan, first, AVMEDIA_TYPE_AUDIO),
        stream_of(plan, second, AVMEDIA_TYPE_VIDEO),
        stream_of(plan, second, AVMEDIA_TYPE_AUDIO),
    };
    struct plan_edge joined =
        add_filter(plan, "concat", edges, 4, (const char *[]){"n", "2", "v", "1", "a", "1", NULL});
    struct plan_edge sound = {joined.node, 1};
    struct plan_edge tracks[] = {add_h264(plan, joined), add_encode(plan, sound, "flac", NULL)};
    int output = add_output(plan, "mkv", tracks, 2);
    struct pipeline_result result = run_good(plan);
    struct file_facts facts = facts_read(output_file(output, 0));
    struct track_facts *video = facts_track(&facts, AVMEDIA_TYPE_VIDEO);
    assert_int_equal(video->frame_count, 1000);
    assert_int_equal(facts_track(&facts, AVMEDIA_TYPE_AUDIO)->samples, 40 * 48000);
    for (int i = 0; i < 1000; i += 50)
        assert_near(video->frames[i].time, i * 0.04, 0.0015);
    facts_free(&facts);
    pipeline_result_finish(&result);
    plan_destroy(&plan);
}

/* ---- again, progress, pause, cancel ---- */

static void test_a_plan_runs_again(void **state)
{
    (void)state;
    int input;
    struct plan *plan = make_plan(clip(), &input);
    struct plan_edge tracks[] = {
        add_h264(plan, stream_of(plan, input, AVMEDIA_TYPE_VIDEO)),
        add_copy(plan, stream_of(plan, input, AVMEDIA_TYPE_AUDIO)),
    };
    int output = add_output(plan, "mkv", tracks, 2);
    uint64_t hashes[2][2];
    for (int i = 0; i < 2; i++) {
        struct pipeline_result result = run_good(plan);
        struct file_facts facts = facts_read(output_file(output, 0));
        assert_int_equal(facts.tracks[0].packets, 50);
        for (int k = 0; k < 2; k++)
            hashes[i][k] = facts.tracks[k].hash;
        facts_free(&facts);
        pipeline_result_finish(&result);
    }
    assert_memory_equal(hashes[0], hashes[1], sizeof hashes[0]);
    plan_destroy(&plan);
}

/* A plan that takes seconds. */
static struct plan *slow_plan(void)
{
    const char *path = fixture_clip("large.mp4", "-f lavfi -i testsrc2=s=1280x720:r=25:d=8 -c:v "
                                                 "libx264 -preset ultrafast -pix_fmt yuv420p");
    int input;
    struct plan *plan = make_plan(path, &input);
    struct plan_edge track = add_encode(plan, stream_of(plan, input, AVMEDIA_TYPE_VIDEO), "h264",
                                        (const char *[]){"preset", "veryslow", NULL});
    add_output(plan, "mp4", &track, 1);
    return plan;
}

struct watcher {
    struct pipeline_control control;
    int calls;
    double last, time;
    int stop_after; /* calls after which progress says stop; 0 never */
    double stopped;
};

static int watch(void *opaque, const struct pipeline_progress *progress)
{
    struct watcher *watcher = opaque;
    watcher->calls++;
    assert_false(isnan(progress->percent));
    assert_true(progress->percent >= watcher->last && progress->percent <= 100);
    assert_true(progress->elapsed >= watcher->time);
    watcher->last = progress->percent;
    watcher->time = progress->elapsed;
    if (watcher->calls != watcher->stop_after)
        return 0;
    watcher->stopped = now();
    return 1;
}

static void test_progress(void **state)
{
    (void)state;
    int input;
    struct plan *plan = make_plan(other_clip(), &input);
    struct plan_edge track = add_encode(plan, stream_of(plan, input, AVMEDIA_TYPE_VIDEO), "h264",
                                        (const char *[]){"preset", "slow", NULL});
    add_output(plan, "mp4", &track, 1);
    struct watcher watcher = {0};
    struct pipeline_options options = {.progress = watch, .period_ms = 20, .opaque = &watcher};
    struct pipeline_result result;
    struct error e = {0};
    /* The opaque pointer is shared with output_path, which ignores it. */
    assert_int_equal(run_plan(plan, &options, &result, &e), 0);
    assert_true(watcher.calls >= 1);
    assert_true(watcher.last == 100);
    pipeline_result_finish(&result);
    plan_destroy(&plan);
}

static void test_progress_cancels(void **state)
{
    (void)state;
    struct plan *plan = slow_plan();
    struct watcher watcher = {.stop_after = 3};
    struct pipeline_options options = {.progress = watch, .period_ms = 50, .opaque = &watcher};
    struct pipeline_result result;
    struct error e = {0};
    assert_int_equal(run_plan(plan, &options, &result, &e), ERROR_CANCELLED);
    assert_int_equal(e.code, ERROR_CANCELLED);
    assert_null(result.files);
    assert_true(now() - watcher.stopped < 5);
    plan_destroy(&plan);
}

static void *cancel_soon(void *opaque)
{
    struct watcher *watcher = opaque;
    nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
    watcher->stopped = now();
    atomic_store(&watcher->control.cancel, 1);
    return NULL;
}

static void test_cancel_from_another_thread(void **state)
{
    (void)state;
    struct plan *plan = slow_plan();
    struct watcher watcher = {0};
    struct pipeline_options options = {.control = &watcher.control};
    struct pipeline_result result;
    struct error e = {0};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &watcher), 0);
    assert_int_equal(run_plan(plan, &options, &result, &e), ERROR_CANCELLED);
    pthread_join(thread, NULL);
    assert_true(now() - watcher.stopped < 5);
    plan_destroy(&plan);
}

static void *resume_later(void *opaque)
{
    struct watcher *watcher = opaque;
    nanosleep(&(struct timespec){.tv_nsec = 400000000}, NULL);
    atomic_store(&watcher->control.pause, 0);
    return NULL;
}

static void test_pause(void **state)
{
    (void)state;
    int input;
    struct plan *plan = make_plan(clip(), &input);
    struct plan_edge track = add_h264(plan, stream_of(plan, input, AVMEDIA_TYPE_VIDEO));
    int output = add_output(plan, "mp4", &track, 1);
    struct watcher watcher = {.control = {.pause = 1}};
    struct pipeline_options options = {.control = &watcher.control};
    struct pipeline_result result;
    struct error e = {0};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, resume_later, &watcher), 0);
    assert_int_equal(run_plan(plan, &options, &result, &e), 0);
    pthread_join(thread, NULL);
    struct file_facts facts = facts_read(output_file(output, 0));
    assert_int_equal(facts.tracks[0].packets, 50);
    facts_free(&facts);
    pipeline_result_finish(&result);
    plan_destroy(&plan);
}

/* ---- failures ---- */

static int path_of_nowhere(void *opaque, int output, int number, const char *name, char *path,
                           size_t size)
{
    (void)output;
    (void)number;
    (void)name;
    snprintf(path, size, "%s", (const char *)opaque);
    return 0;
}

static int path_refused(void *opaque, int output, int number, const char *name, char *path,
                        size_t size)
{
    (void)opaque;
    (void)output;
    (void)number;
    (void)name;
    (void)path;
    (void)size;
    return ERROR_DISK_FULL;
}

static void test_a_failure_ends_all(void **state)
{
    (void)state;
    static char full[] = "/dev/full", nowhere[] = "/nonexistent/x";
    const struct {
        int (*path)(void *opaque, int output, int number, const char *name, char *path,
                    size_t size);
        void *opaque;
        int64_t max_size;
        int code;
    } cases[] = {
        {path_of_nowhere, full, 0, ERROR_DISK_FULL},
        {path_of_nowhere, nowhere, 0, ERROR_INTERNAL},
        {path_refused, NULL, 0, ERROR_DISK_FULL},
        {NULL, NULL, 20000, ERROR_LIMIT_EXCEEDED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int input;
        struct plan *plan = make_plan(clip(), &input);
        struct error e = {0};
        struct plan_edge video = stream_of(plan, input, AVMEDIA_TYPE_VIDEO);
        struct plan_edge tracks[] = {
            add_h264(plan, add_filter1(plan, "negate", video, NULL)),
            add_encode(plan, stream_of(plan, input, AVMEDIA_TYPE_AUDIO), "aac", NULL),
        };
        struct plan_output output = {
            .name = "out",
            .format = "mkv",
            .tracks = tracks,
            .track_count = 2,
            .metadata_from = -1,
            .chapters_from = -1,
            .max_size = cases[i].max_size,
        };
        assert_true(plan_add_output(plan, &output, &e) >= 0);
        struct pipeline_options options = {.output_path = cases[i].path, .opaque = cases[i].opaque};
        struct pipeline_result result;
        assert_int_equal(run_plan(plan, &options, &result, &e), cases[i].code);
        assert_int_equal(e.code, cases[i].code);
        assert_true(strlen(e.message) > 0);
        assert_null(strstr(e.message, "/dev/full"));
        assert_null(result.files);
        plan_destroy(&plan);
    }
}

static void test_limits(void **state)
{
    (void)state;
    const struct {
        int64_t output_bytes, frames, pixels;
    } cases[] = {{10000, 0, 0}, {0, 10, 0}, {0, 0, 400 * 300}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct policy_limits limits;
        struct error e = {0};
        policy_limits_init(&limits);
        if (cases[i].output_bytes)
            limits.max_output_bytes = cases[i].output_bytes;
        if (cases[i].frames)
            limits.max_frames = cases[i].frames;
        if (cases[i].pixels)
            limits.max_pixels = cases[i].pixels;
        struct plan *plan = plan_create(&limits);
        int input = plan_add_input(plan, clip(), "clip", NULL, &e);
        assert_true(input >= 0);
        struct plan_edge large =
            add_filter1(plan, "scale", stream_of(plan, input, AVMEDIA_TYPE_VIDEO),
                        (const char *[]){"w", "640", "h", "480", NULL});
        struct plan_edge track = add_h264(plan, large);
        add_output(plan, "mp4", &track, 1);
        struct pipeline_result result;
        assert_int_equal(run_plan(plan, NULL, &result, &e), ERROR_LIMIT_EXCEEDED);
        plan_destroy(&plan);
    }
}

/* Nothing but damage where the frames should be. */
static void test_nothing_to_decode(void **state)
{
    (void)state;
    const char *path = fixture_clip(
        "noise.mkv", "-f lavfi -i testsrc2=s=320x240:d=1 -c:v libx264 -preset ultrafast -pix_fmt "
                     "yuv420p -bsf:v noise=amount=1");
    int input;
    struct plan *plan = make_plan(path, &input);
    struct plan_edge track = add_h264(plan, stream_of(plan, input, AVMEDIA_TYPE_VIDEO));
    add_output(plan, "mp4", &track, 1);
    struct pipeline_result result;
    struct error e = {0};
    assert_int_equal(run_plan(plan, NULL, &result, &e), ERROR_CORRUPT_MEDIA);
    plan_destroy(&plan);
}

int main(void)
{
    alarm(300);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transcode),
        cmocka_unit_test(test_copy_changes_no_packet),
        cmocka_unit_test(test_five_outputs_of_one_input),
        cmocka_unit_test(test_hundred_filters),
        cmocka_unit_test(test_split_inside_a_graph),
        cmocka_unit_test(test_made_from_nothing),
        cmocka_unit_test(test_overlay_of_two_files),
        cmocka_unit_test(test_concat_of_two_files),
        cmocka_unit_test(test_a_plan_runs_again),
        cmocka_unit_test(test_progress),
        cmocka_unit_test(test_progress_cancels),
        cmocka_unit_test(test_cancel_from_another_thread),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_a_failure_ends_all),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_nothing_to_decode),
    };
    return cmocka_run_group_tests_name("pipeline", tests, fixture_setup, fixture_teardown);
}
