/*
 * Single frames found by seeking: exact ones are compared with decoding everything, keyframes with
 * the list of keyframes.
 */
#include "engine_fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ten seconds with a keyframe every 40 frames, in formats with and without an index */
#define LONG_CLIP(codec)                                                                           \
    "-f lavfi -i testsrc2=s=320x240:r=25:d=10 -f lavfi -i sine=d=10 -pix_fmt yuv420p -g 40 "       \
    "-keyint_min 40 -sc_threshold 0 " codec

static const struct {
    const char *name, *arguments;
} clips[] = {
    {"pick.mp4", LONG_CLIP("-c:v libx264 -preset veryfast -bf 2 -c:a aac")},
    {"pick.mkv", LONG_CLIP("-c:v libx264 -preset veryfast -bf 3 -c:a flac")},
    {"pick.ts", LONG_CLIP("-c:v libx264 -preset veryfast -bf 2 -c:a mp2")},
    {"pick.avi", LONG_CLIP("-c:v mpeg4 -bf 0 -c:a mp2")},
    {"pick.webm", LONG_CLIP("-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libvorbis")},
    {"pick-hevc.mp4", LONG_CLIP("-c:v libx265 -preset ultrafast -x265-params "
                                "log-level=0:keyint=40 -c:a aac")},
};
enum { CLIPS = sizeof clips / sizeof *clips };

static double first_time(const struct file_facts *facts)
{
    double zero = INFINITY;
    for (int i = 0; i < facts->track_count; i++) {
        const AVStream *stream = facts->context->streams[i];
        if (stream->start_time != AV_NOPTS_VALUE)
            zero = fmin(zero, (double)stream->start_time * av_q2d(stream->time_base));
    }
    return zero;
}

static int shown_at(const struct track_facts *video, double zero, double time)
{
    int index = 0;
    for (int i = 0; i < video->frame_count; i++)
        if (video->frames[i].time - zero <= time + 1e-6)
            index = i;
    return index;
}

static struct plan_edge add_pick(struct plan *plan, struct plan_edge video, const double *times,
                                 int count, bool keyframe)
{
    struct error e = {0};
    int node = plan_add_pick(plan, video, times, count, keyframe, &e);
    assert_true(node >= 0);
    return (struct plan_edge){node, 0};
}

/* Runs picks to PNG files and returns which frames of the source they are. */
static struct pipeline_result run_picks(struct plan *plan, struct plan_edge pick,
                                        const struct track_facts *video, int *found)
{
    int output = add_pictures(plan, "png", add_encode(plan, pick, "png", NULL));
    struct pipeline_result result = run_good(plan);
    for (int i = 0; i < result.file_count; i++) {
        struct file_facts picture = facts_read(output_file(output, i));
        assert_int_equal(picture.tracks[0].frame_count, 1);
        assert_int_equal(result.files[i].width, picture.tracks[0].width);
        assert_int_equal(result.files[i].height, picture.tracks[0].height);
        found[i] = most_alike(video, &picture.tracks[0].frames[0]);
        facts_free(&picture);
    }
    return result;
}

static void test_exact(void **state)
{
    (void)state;
    /* Not in order, near keyframes (1.6 s apart), twice the same, past the end. */
    static const double times[] = {5.0, 0, 0.04, 1.59, 1.6, 1.62, 3.3, 3.34, 9.97, 5.0, 60, 4.99};
    enum { COUNT = sizeof times / sizeof *times };
    for (int c = 0; c < CLIPS; c++) {
        const char *path = fixture_clip(clips[c].name, clips[c].arguments);
        struct file_facts source = facts_read(path);
        struct track_facts *video = facts_track(&source, AVMEDIA_TYPE_VIDEO);
        double zero = first_time(&source);
        int input, found[COUNT];
        struct plan *plan = make_plan(path, &input);
        struct plan_edge pick =
            add_pick(plan, stream_of(plan, input, AVMEDIA_TYPE_VIDEO), times, COUNT, false);
        struct pipeline_result result = run_picks(plan, pick, video, found);
        assert_int_equal(result.file_count, COUNT);
        double sorted[COUNT];
        memcpy(sorted, times, sizeof sorted);
        for (int i = 0; i < COUNT; i++)
            for (int k = i + 1; k < COUNT; k++)
                if (sorted[k] < sorted[i]) {
                    double swap = sorted[i];
                    sorted[i] = sorted[k];
                    sorted[k] = swap;
                }
        for (int i = 0; i < COUNT; i++) {
            int expected = shown_at(video, zero, sorted[i]);
            if (found[i] != expected)
                fail_msg("%s at %g: frame %d instead of %d", clips[c].name, sorted[i], found[i],
                         expected);
            assert_near(result.files[i].time, video->frames[expected].time - zero, 0.002);
        }
        pipeline_result_finish(&result);
        plan_destroy(&plan);
        facts_free(&source);
    }
}

static void test_nearest_keyframe(void **state)
{
    (void)state;
    static const double times[] = {0, 0.7, 1.7, 2.3, 2.5, 6.0, 9.9, 60};
    enum { COUNT = sizeof times / sizeof *times };
    for (int c = 0; c < CLIPS; c++) {
        const char *path = fixture_clip(clips[c].name, clips[c].arguments);
        struct file_facts source = facts_read(path);
        struct track_facts *video = facts_track(&source, AVMEDIA_TYPE_VIDEO);
        double zero = first_time(&source);
        int input, found[COUNT];
        struct plan *plan = make_plan(path, &input);
        struct plan_edge pick =
            add_pick(plan, stream_of(plan, input, AVMEDIA_TYPE_VIDEO), times, COUNT, true);
        struct pipeline_result result = run_picks(plan, pick, video, found);
        assert_int_equal(result.file_count, COUNT);
        for (int i = 0; i < COUNT; i++) {
            double at = fmin(times[i], 9.99);
            if (found[i] % 40 != 0)
                fail_msg("%s near %g: frame %d is no keyframe", clips[c].name, times[i], found[i]);
            /* Without an index it may be any keyframe near by. */
            double distance = fabs(video->frames[found[i]].time - zero - at);
            bool indexed = strcmp(clips[c].name, "pick.ts") != 0;
            if (distance > (indexed ? 0.95 : 2))
                fail_msg("%s near %g: frame %d is not the nearest", clips[c].name, times[i],
                         found[i]);
        }
        pipeline_result_finish(&result);
        plan_destroy(&plan);
        facts_free(&source);
    }
}

static void test_turned(void **state)
{
    (void)state;
    const char *path =
        fixture_turned("turned.mp4", fixture_clip(clips[0].name, clips[0].arguments), 90);
    static const double times[] = {1, 5};
    for (int keyframe = 0; keyframe < 2; keyframe++) {
        int input;
        struct plan *plan = make_plan(path, &input);
        struct plan_edge pick =
            add_pick(plan, stream_of(plan, input, AVMEDIA_TYPE_VIDEO), times, 2, keyframe != 0);
        add_pictures(plan, "jpg", add_encode(plan, pick, "mjpeg", NULL));
        struct pipeline_result result = run_good(plan);
        assert_int_equal(result.file_count, 2);
        assert_int_equal(result.files[0].width, 240);
        assert_int_equal(result.files[0].height, 320);
        pipeline_result_finish(&result);
        plan_destroy(&plan);
    }
}

/* One stage serves all picks of a file, beside a run through the whole of it. */
static void test_picks_beside_an_encode(void **state)
{
    (void)state;
    static const double some[] = {1, 2, 3}, others[] = {2.5};
    int input;
    struct plan *plan = make_plan(fixture_clip(clips[0].name, clips[0].arguments), &input);
    struct plan_edge video = stream_of(plan, input, AVMEDIA_TYPE_VIDEO);
    struct plan_edge small = add_filter1(plan, "scale", add_pick(plan, video, some, 3, false),
                                         (const char *[]){"w", "160", "h", "120", NULL});
    int outputs[] = {
        add_pictures(plan, "jpg", add_encode(plan, small, "mjpeg", NULL)),
        add_pictures(plan, "webp",
                     add_encode(plan, add_pick(plan, video, others, 1, true), "libwebp", NULL)),
    };
    struct plan_edge track = add_copy(plan, video);
    add_output(plan, "mkv", &track, 1);
    struct pipeline_result result = run_good(plan);
    assert_int_equal(result.file_count, 5);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(result.files[i].output, outputs[0]);
        assert_int_equal(result.files[i].number, i);
        assert_int_equal(result.files[i].width, 160);
        assert_near(result.files[i].time, i + 1, 0.001);
        assert_true(result.files[i].size > 0);
    }
    assert_int_equal(result.files[3].width, 320);
    char riff[4] = {0};
    FILE *file = fopen(output_file(outputs[1], 0), "rb");
    assert_non_null(file);
    assert_int_equal(fread(riff, 1, 4, file), 4);
    fclose(file);
    assert_memory_equal(riff, "RIFF", 4);
    assert_int_equal(result.files[4].tracks[0].packets, 250);
    pipeline_result_finish(&result);
    plan_destroy(&plan);
}

static void test_cover(void **state)
{
    (void)state;
    const char *path = fixture_clip(
        "cover.mp3", "-f lavfi -i sine=d=1:r=44100 -f lavfi -i color=red:s=64x48:d=0.04 -map 0 "
                     "-map 1 -c:a libmp3lame -c:v png -disposition:v attached_pic");
    static const double times[] = {0};
    for (int keyframe = 0; keyframe < 2; keyframe++) {
        int input;
        struct plan *plan = make_plan(path, &input);
        struct plan_edge pick =
            add_pick(plan, stream_of(plan, input, AVMEDIA_TYPE_VIDEO), times, 1, keyframe != 0);
        add_pictures(plan, "png", add_encode(plan, pick, "png", NULL));
        struct pipeline_result result = run_good(plan);
        assert_int_equal(result.file_count, 1);
        assert_int_equal(result.files[0].width, 64);
        pipeline_result_finish(&result);
        plan_destroy(&plan);
    }
}

int main(void)
{
    alarm(500);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact),  cmocka_unit_test(test_nearest_keyframe),
        cmocka_unit_test(test_turned), cmocka_unit_test(test_picks_beside_an_encode),
        cmocka_unit_test(test_cover),
    };
    return cmocka_run_group_tests_name("pick", tests, fixture_setup, fixture_teardown);
}
