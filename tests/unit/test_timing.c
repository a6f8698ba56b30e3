/*
 * Time in files: tracks of unlike lengths, few packets, ranges, missing and backward timestamps,
 * pictures that change their size, variable rates, quarter turns.
 */
#include "engine_fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *clip(void)
{
    return fixture_clip("av.mp4", CLIP_AV);
}

static struct plan_edge encode_kind(struct plan *plan, int input, enum AVMediaType kind)
{
    struct plan_edge edge = stream_of(plan, input, kind);
    return kind == AVMEDIA_TYPE_VIDEO ? add_h264(plan, edge) : add_encode(plan, edge, "flac", NULL);
}

/* Runs the plan and reads its only file. */
static struct file_facts run_one(struct plan *plan, int output)
{
    struct pipeline_result result = run_good(plan);
    pipeline_result_finish(&result);
    return facts_read(output_file(output, 0));
}

/* ---- unlike lengths ---- */

static void test_one_track_ends_first(void **state)
{
    (void)state;
    static const struct {
        const char *name, *arguments;
        double video, audio;
    } cases[] = {
        {"short-audio.mkv",
         "-f lavfi -i testsrc2=s=160x120:r=25:d=6 -f lavfi -i sine=d=1:r=48000 -c:v libx264 "
         "-preset ultrafast -pix_fmt yuv420p -c:a flac",
         6, 1},
        {"short-video.mkv",
         "-f lavfi -i testsrc2=s=160x120:r=25:d=1 -f lavfi -i sine=d=6:r=48000 -c:v libx264 "
         "-preset ultrafast -pix_fmt yuv420p -c:a flac",
         1, 6},
        /* sound that comes after all of the picture, as bad muxers write it */
        {"late-audio.mkv",
         "-f lavfi -i testsrc2=s=160x120:r=25:d=3 -itsoffset 3 -f lavfi -i sine=d=1:r=48000 "
         "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a flac",
         3, 4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int copy = 0; copy < 2; copy++) {
            int input;
            struct plan *plan = make_plan(fixture_clip(cases[i].name, cases[i].arguments), &input);
            struct plan_edge tracks[2];
            static const enum AVMediaType kinds[] = {AVMEDIA_TYPE_VIDEO, AVMEDIA_TYPE_AUDIO};
            for (int k = 0; k < 2; k++)
                tracks[k] = copy ? add_copy(plan, stream_of(plan, input, kinds[k]))
                                 : encode_kind(plan, input, kinds[k]);
            struct file_facts facts = run_one(plan, add_output(plan, "mkv", tracks, 2));
            assert_near(facts.tracks[0].end, cases[i].video, 0.06);
            assert_near(facts.tracks[1].end, cases[i].audio, 0.06);
            assert_true(facts.tracks[0].rising && facts.tracks[1].rising);
            facts_free(&facts);
            plan_destroy(&plan);
        }
    }
}

/* ---- few packets ---- */

static const char *subtitled(void)
{
    FILE *file = fopen(fixture_path("two.srt"), "w");
    assert_non_null(file);
    fputs("1\n00:00:01,000 --> 00:00:02,500\nfirst\n\n2\n00:00:28,000 --> 00:00:29,000\nsecond\n",
          file);
    fclose(file);
    return fixture_clip("subtitled.mkv",
                        "-f lavfi -i testsrc2=s=160x120:r=25:d=30 -f lavfi -i sine=d=30:r=48000 "
                        "-i @two.srt -c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac "
                        "-c:s subrip -metadata:s:s:0 language=fra");
}

static void test_subtitles_with_few_packets(void **state)
{
    (void)state;
    static const struct {
        const char *format, *codec; /* NULL: copied */
        enum AVCodecID id;
    } cases[] = {
        {"mkv", NULL, AV_CODEC_ID_SUBRIP},         {"mkv", "ass", AV_CODEC_ID_ASS},
        {"mp4", "mov_text", AV_CODEC_ID_MOV_TEXT}, {"webm", "webvtt", AV_CODEC_ID_WEBVTT},
        {"srt", "subrip", AV_CODEC_ID_SUBRIP},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int input;
        struct plan *plan = make_plan(subtitled(), &input);
        struct plan_edge text = stream_of(plan, input, AVMEDIA_TYPE_SUBTITLE);
        struct plan_edge tracks[3] = {cases[i].codec ? add_encode(plan, text, cases[i].codec, NULL)
                                                     : add_copy(plan, text)};
        int count = 1;
        if (strcmp(cases[i].format, "mkv") == 0 || strcmp(cases[i].format, "mp4") == 0) {
            tracks[count++] = add_copy(plan, stream_of(plan, input, AVMEDIA_TYPE_VIDEO));
            tracks[count++] = add_copy(plan, stream_of(plan, input, AVMEDIA_TYPE_AUDIO));
        }
        struct file_facts facts = run_one(plan, add_output(plan, cases[i].format, tracks, count));
        struct track_facts *track = facts_track(&facts, AVMEDIA_TYPE_SUBTITLE);
        assert_int_equal(track->codec, cases[i].id);
        if (track->codec == AV_CODEC_ID_MOV_TEXT) /* with the gaps as packets of their own */
            assert_true(track->packets >= 2);
        else
            assert_int_equal(track->packets, 2);
        assert_near(track->end, 29, 0.05);
        if (count == 3)
            assert_string_equal(track->language, "fra");
        facts_free(&facts);
        plan_destroy(&plan);
    }
}

/* Subtitles of another file than the picture's. */
static void test_subtitles_from_a_second_file(void **state)
{
    (void)state;
    struct error e = {0};
    int input;
    subtitled();
    struct plan *plan = make_plan(subtitled(), &input);
    int text = plan_add_input(plan, fixture_path("two.srt"), "two.srt", NULL, &e);
    assert_true(text >= 0);
    struct plan_edge tracks[] = {
        add_h264(plan, stream_of(plan, input, AVMEDIA_TYPE_VIDEO)),
        add_copy(plan, stream_of(plan, input, AVMEDIA_TYPE_AUDIO)),
        add_encode(plan, stream_of(plan, text, AVMEDIA_TYPE_SUBTITLE), "subrip", NULL),
    };
    struct file_facts facts = run_one(plan, add_output(plan, "mkv", tracks, 3));
    assert_int_equal(facts.tracks[0].packets, 750);
    assert_int_equal(facts_track(&facts, AVMEDIA_TYPE_SUBTITLE)->packets, 2);
    facts_free(&facts);
    plan_destroy(&plan);
}

/* ---- changes mid-stream ---- */

#define TS_CLIP(size, seconds)                                                                     \
    "-f lavfi -i testsrc2=s=" size ":r=25:d=" seconds " -c:v libx264 -preset ultrafast -bf 0 -g "  \
    "25 -pix_fmt yuv420p"

static void test_size_changes(void **state)
{
    (void)state;
    const char *path = fixture_join("sizes.ts", fixture_clip("small.ts", TS_CLIP("320x240", "2")),
                                    fixture_clip("large.ts", TS_CLIP("640x360", "2")));
    for (int filtered = 0; filtered < 3; filtered++) {
        int input;
        struct plan *plan = make_plan(path, &input);
        struct plan_edge video = stream_of(plan, input, AVMEDIA_TYPE_VIDEO);
        if (filtered == 1)
            video = add_filter1(plan, "hue", video, (const char *[]){"s", "0", NULL});
        if (filtered == 2)
            video = add_filter1(plan, "fps", video, (const char *[]){"fps", "50", NULL});
        struct plan_edge track = add_h264(plan, video);
        struct file_facts facts = run_one(plan, add_output(plan, "mp4", &track, 1));
        const struct track_facts *out = &facts.tracks[0];
        int expected = filtered == 2 ? 200 : 100;
        assert_true(abs(out->frame_count - expected) <= 1);
        for (int i = 0; i < out->frame_count; i++) {
            assert_int_equal(out->frames[i].width, 320);
            assert_int_equal(out->frames[i].height, 240);
        }
        /* One clock over the join: the second file's timestamps begin again. */
        assert_near(out->end - out->start, 4, 0.05);
        assert_true(out->rising);
        facts_free(&facts);
        plan_destroy(&plan);
    }
}

/* ---- missing and backward timestamps ---- */

static void test_missing_timestamps(void **state)
{
    (void)state;
    static const struct {
        const char *name, *arguments;
        int frames;
        double seconds;
    } cases[] = {
        {"raw.h264", TS_CLIP("160x120", "2"), 50, 2},
        {"b-frames.h264",
         "-f lavfi -i testsrc2=s=160x120:r=25:d=2 -c:v libx264 -bf 3 -pix_fmt yuv420p", 50, 2},
        {"b-frames.avi", "-f lavfi -i testsrc2=s=160x120:r=25:d=2 -c:v mpeg4 -bf 2", 50, 2},
        {"b-frames-264.avi",
         "-f lavfi -i testsrc2=s=160x120:r=25:d=2 -c:v libx264 -bf 3 -pix_fmt yuv420p", 50, 2},
        {"raw.m2v", "-f lavfi -i testsrc2=s=160x120:r=25:d=2 -c:v mpeg2video -bf 2", 50, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int copy = 0; copy < 2; copy++) {
            int input;
            struct plan *plan = make_plan(fixture_clip(cases[i].name, cases[i].arguments), &input);
            struct plan_edge video = stream_of(plan, input, AVMEDIA_TYPE_VIDEO);
            struct plan_edge track = copy ? add_copy(plan, video) : add_h264(plan, video);
            struct file_facts facts = run_one(plan, add_output(plan, "mkv", &track, 1));
            const struct track_facts *out = &facts.tracks[0];
            assert_true(abs(out->frame_count - cases[i].frames) <= 1);
            assert_near(out->end - out->start, cases[i].seconds, 0.13);
            assert_true(out->rising);
            for (int k = 1; k < out->frame_count; k++)
                assert_true(out->frames[k].time > out->frames[k - 1].time);
            facts_free(&facts);
            plan_destroy(&plan);
        }
    }
}

/* The same file twice: every timestamp of the second goes back to the beginning. */
static void test_backward_timestamps(void **state)
{
    (void)state;
    const char *once = fixture_clip(
        "once.ts", "-f lavfi -i testsrc2=s=160x120:r=25:d=2 -f lavfi -i sine=d=2:r=48000 -c:v "
                   "libx264 -preset ultrafast -pix_fmt yuv420p -c:a mp2");
    const char *path = fixture_join("twice.ts", once, once);
    for (int copy = 0; copy < 2; copy++) {
        int input;
        struct plan *plan = make_plan(path, &input);
        struct plan_edge video = stream_of(plan, input, AVMEDIA_TYPE_VIDEO);
        struct plan_edge audio = stream_of(plan, input, AVMEDIA_TYPE_AUDIO);
        struct plan_edge tracks[] = {copy ? add_copy(plan, video) : add_h264(plan, video),
                                     copy ? add_copy(plan, audio)
                                          : add_encode(plan, audio, "flac", NULL)};
        struct file_facts facts = run_one(plan, add_output(plan, "mkv", tracks, 2));
        for (int k = 0; k < 2; k++) {
            assert_true(facts.tracks[k].rising);
            assert_near(facts.tracks[k].end - facts.tracks[k].start, 4, 0.15);
        }
        assert_int_equal(facts.tracks[0].frame_count, 100);
        facts_free(&facts);
        plan_destroy(&plan);
    }
}

/* ---- variable rates ---- */

static void test_variable_rate_stays(void **state)
{
    (void)state;
    /* Frames at n squared / 50 s. */
    const char *path = fixture_clip(
        "squares.mkv", "-f lavfi -i testsrc2=s=160x120:r=25:d=1 -vf settb=1/1000,setpts=N*N*20 "
                       "-vsync vfr -enc_time_base 1/1000 -c:v libx264 -preset ultrafast -bf 0 "
                       "-pix_fmt yuv420p");
    static const char *const formats[] = {"mp4", "mkv", "mov"};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        int input;
        struct plan *plan = make_plan(path, &input);
        struct plan_edge track = add_h264(plan, stream_of(plan, input, AVMEDIA_TYPE_VIDEO));
        struct file_facts facts = run_one(plan, add_output(plan, formats[i], &track, 1));
        assert_int_equal(facts.tracks[0].frame_count, 25);
        for (int k = 0; k < 25; k++)
            assert_near(facts.tracks[0].frames[k].time, k * k * 0.02, 0.0011);
        facts_free(&facts);
        plan_destroy(&plan);
    }
}

static void test_forced_rate(void **state)
{
    (void)state;
    int input;
    struct plan *plan = make_plan(clip(), &input);
    struct plan_edge track =
        add_encode(plan, stream_of(plan, input, AVMEDIA_TYPE_VIDEO), "h264",
                   (const char *[]){"preset", "ultrafast", "frame_rate", "10", NULL});
    struct file_facts facts = run_one(plan, add_output(plan, "mp4", &track, 1));
    assert_int_equal(facts.tracks[0].frame_count, 20);
    for (int k = 0; k < 20; k++)
        assert_near(facts.tracks[0].frames[k].time, k * 0.1, 0.001);
    facts_free(&facts);
    plan_destroy(&plan);
}

/* ---- ranges ---- */

static void test_range_encoded_is_exact(void **state)
{
    (void)state;
    static const struct {
        double start, stop;
    } cases[] = {
        {0, 0.5}, {0.5, 1.3}, {0.4, 0.8}, {1.0, INFINITY}, {1.96, 3},
    };
    const char *paths[] = {
        clip(),
        fixture_clip("range.mkv", "-f lavfi -i testsrc2=s=320x240:r=25:d=2 -f lavfi -i "
                                  "sine=d=2:r=48000 -c:v libx264 -preset ultrafast -g 30 -bf 2 "
                                  "-pix_fmt yuv420p -c:a flac"),
        fixture_clip("range.ts", "-f lavfi -i testsrc2=s=320x240:r=25:d=2 -f lavfi -i "
                                 "sine=d=2:r=48000 -c:v libx264 -preset ultrafast -g 30 -bf 2 "
                                 "-pix_fmt yuv420p -c:a mp2"),
    };
    for (size_t p = 0; p < sizeof paths / sizeof *paths; p++) {
        struct file_facts source = facts_read(paths[p]);
        struct track_facts *whole = facts_track(&source, AVMEDIA_TYPE_VIDEO);
        double zero = fmin(whole->frames[0].time, fmax(source.tracks[1].start, 0));
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            int input;
            struct error e = {0};
            struct plan *plan = make_plan(paths[p], &input);
            int range = plan_add_range(plan, input, cases[i].start, cases[i].stop, &e);
            assert_true(range >= 0);
            struct plan_edge tracks[] = {
                add_encode(plan, stream_of(plan, range, AVMEDIA_TYPE_VIDEO), "h264",
                           (const char *[]){"preset", "ultrafast", "crf", "5", NULL}),
                encode_kind(plan, range, AVMEDIA_TYPE_AUDIO),
            };
            struct file_facts facts = run_one(plan, add_output(plan, "mkv", tracks, 2));
            struct track_facts *video = facts_track(&facts, AVMEDIA_TYPE_VIDEO);
            int first = 0, frames = 0;
            for (int k = 0; k < whole->frame_count; k++) {
                double time = whole->frames[k].time - zero;
                first += time < cases[i].start - 1e-6;
                frames += time > cases[i].start - 1e-6 && time < cases[i].stop - 1e-6;
            }
            assert_int_equal(video->frame_count, frames);
            assert_int_equal(most_alike(whole, &video->frames[0]), first);
            double length = fmin(cases[i].stop, 2) - cases[i].start;
            int64_t samples = facts_track(&facts, AVMEDIA_TYPE_AUDIO)->samples;
            if (p == 1 && cases[i].stop <= 2)
                assert_int_equal(samples, llrint(length * 48000));
            else
                assert_near((double)samples / 48000, length, 0.06);
            facts_free(&facts);
            plan_destroy(&plan);
        }
        facts_free(&source);
    }
}

/* A copy begins with the keyframe before the start, and its sound stays in step. */
static void test_range_copied_begins_with_a_keyframe(void **state)
{
    (void)state;
    struct file_facts source = facts_read(clip());
    struct track_facts *whole = facts_track(&source, AVMEDIA_TYPE_VIDEO);
    int input;
    struct error e = {0};
    struct plan *plan = make_plan(clip(), &input);
    int range = plan_add_range(plan, input, 1.0, 1.6, &e);
    assert_true(range >= 0);
    struct plan_edge tracks[] = {
        add_copy(plan, stream_of(plan, range, AVMEDIA_TYPE_VIDEO)),
        add_copy(plan, stream_of(plan, range, AVMEDIA_TYPE_AUDIO)),
    };
    struct file_facts facts = run_one(plan, add_output(plan, "mkv", tracks, 2));
    struct track_facts *video = facts_track(&facts, AVMEDIA_TYPE_VIDEO);
    int first = most_alike(whole, &video->frames[0]);
    assert_true(first % 10 == 0 && first <= 25);
    assert_true(facts_track(&facts, AVMEDIA_TYPE_AUDIO)->packets < 60);
    facts_free(&facts);
    facts_free(&source);
    plan_destroy(&plan);
}

static void test_range_past_the_end(void **state)
{
    (void)state;
    int input;
    struct error e = {0};
    struct pipeline_result result;
    struct plan *plan = make_plan(clip(), &input);
    int range = plan_add_range(plan, input, 10, 12, &e);
    if (range >= 0) {
        struct plan_edge track = add_h264(plan, stream_of(plan, range, AVMEDIA_TYPE_VIDEO));
        add_output(plan, "mp4", &track, 1);
        assert_true(run_plan(plan, NULL, &result, &e) < 0);
        assert_true(strlen(e.message) > 0);
    }
    plan_destroy(&plan);
}

/* ---- quarter turns ---- */

static void test_turned_pictures(void **state)
{
    (void)state;
    static const int turns[] = {90, 180, 270};
    struct file_facts source = facts_read(clip());
    const struct frame_facts *upright = &facts_track(&source, AVMEDIA_TYPE_VIDEO)->frames[20];
    for (size_t i = 0; i < sizeof turns / sizeof *turns; i++) {
        char name[32];
        snprintf(name, sizeof name, "turned-%d.mp4", turns[i]);
        int input;
        struct plan *plan = make_plan(fixture_turned(name, clip(), turns[i]), &input);
        struct plan_edge video = stream_of(plan, input, AVMEDIA_TYPE_VIDEO);
        struct plan_edge tracks[] = {
            add_h264(plan, video),
            add_copy(plan, video),
            add_h264(plan, add_filter1(plan, "null", video, NULL)),
        };
        struct file_facts facts = run_one(plan, add_output(plan, "mp4", tracks, 3));
        bool transposed = turns[i] != 180;
        for (int k = 0; k < 3; k += 2) {
            assert_int_equal(facts.tracks[k].width, transposed ? 240 : 320);
            assert_int_equal(facts.tracks[k].height, transposed ? 320 : 240);
            assert_int_equal(facts.tracks[k].rotation, 0);
        }
        assert_int_equal(facts.tracks[1].width, 320);
        assert_int_equal(facts.tracks[1].rotation, turns[i]);
        /* The likeness of the encoded picture is the source's, turned. */
        const struct frame_facts *shown = &facts.tracks[0].frames[20];
        struct frame_facts expected = {0};
        for (int y = 0; y < SIGNATURE; y++)
            for (int x = 0; x < SIGNATURE; x++) {
                int last = SIGNATURE - 1;
                int to = turns[i] == 90    ? x * SIGNATURE + last - y
                         : turns[i] == 180 ? (last - y) * SIGNATURE + last - x
                                           : (last - x) * SIGNATURE + y;
                expected.likeness[to] = upright->likeness[y * SIGNATURE + x];
            }
        assert_true(likeness_difference(&expected, shown) < 4);
        facts_free(&facts);
        plan_destroy(&plan);
    }
    facts_free(&source);
}

/* ---- odd sizes ---- */

static void test_odd_sizes(void **state)
{
    (void)state;
    const char *path = fixture_clip(
        "odd.mkv",
        "-f lavfi -i testsrc2=s=320x240:r=25:d=1 -vf scale=161:121 -c:v ffv1 -pix_fmt yuv420p");
    int input;
    struct plan *plan = make_plan(path, &input);
    struct plan_edge video = stream_of(plan, input, AVMEDIA_TYPE_VIDEO);
    struct plan_edge tracks[] = {
        add_h264(plan, video),
        add_h264(plan, add_filter1(plan, "negate", video, NULL)),
        add_encode(plan, video, "vp9",
                   (const char *[]){"deadline", "realtime", "cpu-used", "8", NULL}),
    };
    struct file_facts facts = run_one(plan, add_output(plan, "mkv", tracks, 3));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(facts.tracks[i].width, i == 2 ? 161 : 160);
        assert_int_equal(facts.tracks[i].height, i == 2 ? 121 : 120);
        assert_int_equal(facts.tracks[i].frame_count, 25);
    }
    facts_free(&facts);
    plan_destroy(&plan);
}

int main(void)
{
    alarm(500);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_track_ends_first),
        cmocka_unit_test(test_subtitles_with_few_packets),
        cmocka_unit_test(test_subtitles_from_a_second_file),
        cmocka_unit_test(test_size_changes),
        cmocka_unit_test(test_missing_timestamps),
        cmocka_unit_test(test_backward_timestamps),
        cmocka_unit_test(test_variable_rate_stays),
        cmocka_unit_test(test_forced_rate),
        cmocka_unit_test(test_range_encoded_is_exact),
        cmocka_unit_test(test_range_copied_begins_with_a_keyframe),
        cmocka_unit_test(test_range_past_the_end),
        cmocka_unit_test(test_turned_pictures),
        cmocka_unit_test(test_odd_sizes),
    };
    return cmocka_run_group_tests_name("timing", tests, fixture_setup, fixture_teardown);
}
