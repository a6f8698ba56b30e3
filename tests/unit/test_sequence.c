/*
 * Sequences of frames and of copied packets: what comes out, frame by frame and sample by sample.
 */
#include "engine_fixture.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *clip(void)
{
    return fixture_clip("av.mp4", CLIP_AV);
}

/* Another size, another rate, 44100 Hz mono, half a second less sound than picture. */
static const char *unlike(void)
{
    return fixture_clip(
        "unlike.mkv", "-f lavfi -i testsrc=s=160x120:r=30:d=1.5 -f lavfi -i sine=f=300:d=1:r=44100 "
                      "-c:v mpeg4 -q:v 2 -c:a flac");
}

static int range_of(struct plan *plan, int input, double start, double stop)
{
    struct error e = {0};
    int range = plan_add_range(plan, input, start, stop, &e);
    assert_true(range >= 0);
    return range;
}

static struct plan_edge add_sequence(struct plan *plan, const struct plan_segment *segments,
                                     int count)
{
    struct error e = {0};
    int node = plan_add_sequence(plan, segments, count, &e);
    if (node < 0)
        fail_msg("%s: %s", error_name(e.code), e.message);
    return (struct plan_edge){node, 0};
}

static struct file_facts run_one(struct plan *plan, int output)
{
    struct pipeline_result result = run_good(plan);
    pipeline_result_finish(&result);
    return facts_read(output_file(output, 0));
}

/* ---- frames ---- */

static void test_ranges_of_frames(void **state)
{
    (void)state;
    int input;
    struct plan *plan = make_plan(clip(), &input);
    struct plan_segment video[2], audio[2];
    static const double ranges[][2] = {{1.2, 1.6}, {0.08, 0.6}};
    for (int i = 0; i < 2; i++) {
        int range = range_of(plan, input, ranges[i][0], ranges[i][1]);
        video[i] = (struct plan_segment){stream_of(plan, range, AVMEDIA_TYPE_VIDEO), NAN};
        audio[i] = (struct plan_segment){stream_of(plan, range, AVMEDIA_TYPE_AUDIO), NAN};
    }
    struct plan_edge tracks[] = {
        add_h264(plan, add_sequence(plan, video, 2)),
        add_encode(plan, add_sequence(plan, audio, 2), "flac", NULL),
    };
    struct file_facts facts = run_one(plan, add_output(plan, "mkv", tracks, 2));
    struct file_facts source = facts_read(clip());
    assert_int_equal(facts.tracks[0].frame_count, 10 + 13);
    for (int i = 0; i < 23; i++) {
        int from = i < 10 ? 30 + i : 2 + i - 10;
        assert_near(facts.tracks[0].frames[i].time, i * 0.04, 0.002);
        assert_int_equal(most_alike(&source.tracks[0], &facts.tracks[0].frames[i]), from);
    }
    assert_int_equal(facts.tracks[1].samples, 48000 * 92 / 100);
    assert_true(facts.tracks[0].rising && facts.tracks[1].rising);
    facts_free(&source);
    facts_free(&facts);
    plan_destroy(&plan);
}

/* Every segment is filtered on its own, then all of them once more. */
static void test_unlike_inputs(void **state)
{
    (void)state;
    struct error e = {0};
    int inputs[2];
    struct plan *plan = make_plan(clip(), &inputs[0]);
    inputs[1] = plan_add_input(plan, unlike(), "unlike", NULL, &e);
    assert_true(inputs[1] >= 0);
    static const double durations[] = {2, 1.5, 0.5};
    struct plan_segment video[3], audio[3];
    for (int i = 0; i < 3; i++) {
        int input = inputs[i % 2];
        struct plan_edge picture = stream_of(plan, input, AVMEDIA_TYPE_VIDEO);
        picture =
            add_filter1(plan, "scale", picture, (const char *[]){"w", "320", "h", "240", NULL});
        picture = add_filter1(plan, "setsar", picture, (const char *[]){"sar", "1", NULL});
        picture = add_filter1(plan, "fps", picture, (const char *[]){"fps", "25", NULL});
        video[i] = (struct plan_segment){picture, durations[i]};
        audio[i] = (struct plan_segment){stream_of(plan, input, AVMEDIA_TYPE_AUDIO), durations[i]};
    }
    struct plan_edge picture =
        add_filter1(plan, "hue", add_sequence(plan, video, 3), (const char *[]){"s", "0", NULL});
    struct plan_edge sound = add_filter1(plan, "volume", add_sequence(plan, audio, 3),
                                         (const char *[]){"volume", "0.5", NULL});
    struct plan_edge tracks[] = {add_h264(plan, picture), add_encode(plan, sound, "flac", NULL)};
    struct file_facts facts = run_one(plan, add_output(plan, "mkv", tracks, 2));
    /* 1.5 s hold 37.5 pictures at 25 a second; the last of them is shown a little longer. */
    assert_in_range(facts.tracks[0].frame_count, 100, 101);
    assert_int_equal(facts.tracks[1].samples, 4 * 48000);
    assert_near(facts.tracks[0].end, 4, 0.03);
    assert_near(facts.tracks[1].end, 4, 0.002);
    assert_true(facts.tracks[0].rising && facts.tracks[1].rising);
    facts_free(&facts);
    plan_destroy(&plan);
}

/* A sequence can be filtered into a segment of another, and be used twice. */
static void test_sequences_in_sequences(void **state)
{
    (void)state;
    int input;
    struct plan *plan = make_plan(clip(), &input);
    struct plan_edge head = stream_of(plan, range_of(plan, input, 0.4, 0.8), AVMEDIA_TYPE_VIDEO);
    struct plan_edge tail = stream_of(plan, range_of(plan, input, 1.2, 1.4), AVMEDIA_TYPE_VIDEO);
    const struct plan_segment inner[] = {{head, NAN}, {tail, NAN}};
    struct plan_edge joined = add_sequence(plan, inner, 2);
    const struct plan_segment outer[] = {
        {add_filter1(plan, "hflip", add_filter1(plan, "hflip", joined, NULL), NULL), NAN},
        {tail, NAN},
        {joined, 0.2}};
    struct plan_edge tracks[] = {add_h264(plan, add_sequence(plan, outer, 3)),
                                 add_h264(plan, joined)};
    struct file_facts facts = run_one(plan, add_output(plan, "mkv", tracks, 2));
    struct file_facts source = facts_read(clip());
    static const int expected[] = {10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 30, 31, 32,
                                   33, 34, 30, 31, 32, 33, 34, 10, 11, 12, 13, 14};
    assert_int_equal(facts.tracks[0].frame_count, 25);
    assert_int_equal(facts.tracks[1].frame_count, 15);
    for (int i = 0; i < 25; i++)
        assert_int_equal(most_alike(&source.tracks[0], &facts.tracks[0].frames[i]), expected[i]);
    facts_free(&source);
    facts_free(&facts);
    plan_destroy(&plan);
}

/* Sound that ends early is followed by silence, pictures that do are held, what is longer is cut.
 */
static void test_durations_are_kept(void **state)
{
    (void)state;
    int input;
    struct plan *plan = make_plan(clip(), &input);
    int range = range_of(plan, input, 0, 0.4);
    struct plan_edge picture = stream_of(plan, range, AVMEDIA_TYPE_VIDEO);
    struct plan_edge sound = stream_of(plan, range, AVMEDIA_TYPE_AUDIO);
    struct plan_segment video[] = {{picture, 1}, {picture, 0.2}};
    struct plan_segment audio[] = {{sound, 1}, {sound, 0.2}};
    struct plan_edge tracks[] = {
        add_h264(plan, add_sequence(plan, video, 2)),
        add_encode(plan, add_sequence(plan, audio, 2), "pcm_s16le", NULL),
    };
    struct file_facts facts = run_one(plan, add_output(plan, "mkv", tracks, 2));
    assert_int_equal(facts.tracks[0].frame_count, 25 + 5);
    assert_int_equal(facts.tracks[1].samples, 48000 * 12 / 10);
    const struct frame_facts *frames = facts.tracks[0].frames;
    for (int i = 10; i < 25; i++)
        assert_true(likeness_difference(&frames[9], &frames[i]) < 1);
    assert_true(likeness_difference(&frames[0], &frames[25]) < 2);
    facts_free(&facts);
    plan_destroy(&plan);
}

static void test_many_joins_do_not_drift(void **state)
{
    (void)state;
    enum { JOINS = 60 };
    int input;
    struct plan *plan = make_plan(clip(), &input);
    struct plan_segment video[JOINS], audio[JOINS];
    for (int i = 0; i < JOINS; i++) {
        int range = range_of(plan, input, 0.1 + i * 0.01, 1.9);
        double length = 0.0333 + (i % 3) * 0.0101; /* no multiple of a picture or a packet */
        video[i] = (struct plan_segment){stream_of(plan, range, AVMEDIA_TYPE_VIDEO), length};
        audio[i] = (struct plan_segment){stream_of(plan, range, AVMEDIA_TYPE_AUDIO), length};
    }
    double length = JOINS / 3 * (3 * 0.0333 + 3 * 0.0101);
    struct plan_edge tracks[] = {
        add_h264(plan, add_sequence(plan, video, JOINS)),
        add_encode(plan, add_sequence(plan, audio, JOINS), "flac", NULL),
    };
    struct file_facts facts = run_one(plan, add_output(plan, "mkv", tracks, 2));
    assert_near((double)facts.tracks[1].samples, 48000 * length, 1);
    assert_near(facts.tracks[0].end, length, 0.04);
    assert_true(facts.tracks[0].rising && facts.tracks[1].rising);
    facts_free(&facts);
    plan_destroy(&plan);
}

/* A picture ends a little before its segment does, and the next one has another pixel format: a
 * filter behind them that gives every picture its place leaves none empty. */
static void test_a_rate_over_joins(void **state)
{
    (void)state;
    static const struct {
        double stop, length;
        const char *format;
    } parts[] = {{0.458, 0.458, "yuv420p"}, {0.4, 0.405, "yuv444p"}, {1, 1, "yuv420p"}};
    int input;
    struct plan *plan = make_plan(clip(), &input);
    struct plan_segment segments[3];
    for (int i = 0; i < 3; i++) {
        int range = range_of(plan, input, 0, parts[i].stop);
        segments[i].edge = add_filter1(plan, "format", stream_of(plan, range, AVMEDIA_TYPE_VIDEO),
                                       (const char *[]){"pix_fmts", parts[i].format, NULL});
        segments[i].duration = parts[i].length;
    }
    struct plan_edge track =
        add_h264(plan, add_filter1(plan, "fps", add_sequence(plan, segments, 3),
                                   (const char *[]){"fps", "25", NULL}));
    struct file_facts facts = run_one(plan, add_output(plan, "mkv", &track, 1));
    assert_in_range(facts.tracks[0].frame_count, 46, 47); /* 1.863 s */
    for (int i = 0; i < facts.tracks[0].frame_count; i++)
        assert_near(facts.tracks[0].frames[i].time, i * 0.04, 0.002);
    facts_free(&facts);
    plan_destroy(&plan);
}

/* ---- copies ---- */

static void check_copied(const char *format, bool with_sound)
{
    int input;
    struct plan *plan = make_plan(clip(), &input);
    /* A keyframe every 0.4 s. */
    static const double ranges[][2] = {{0.4, 0.8}, {1.2, 2}, {0, 0.4}, {1.2, 1.6}};
    struct plan_segment video[4], audio[4];
    for (int i = 0; i < 4; i++) {
        int range = range_of(plan, input, ranges[i][0], ranges[i][1]);
        double length = ranges[i][1] - ranges[i][0];
        video[i].edge = add_copy(plan, stream_of(plan, range, AVMEDIA_TYPE_VIDEO));
        audio[i].edge = add_copy(plan, stream_of(plan, range, AVMEDIA_TYPE_AUDIO));
        video[i].duration = audio[i].duration = length;
    }
    struct plan_edge tracks[2] = {add_sequence(plan, video, 4)};
    if (with_sound)
        tracks[1] = add_sequence(plan, audio, 4);
    struct file_facts facts = run_one(plan, add_output(plan, format, tracks, with_sound ? 2 : 1));
    struct file_facts source = facts_read(clip());
    struct track_facts *track = facts_track(&facts, AVMEDIA_TYPE_VIDEO);
    static const int from[] = {10, 30, 0, 30}, lengths[] = {10, 20, 10, 10};
    assert_int_equal(track->packets, 50);
    assert_int_equal(track->frame_count, 50);
    assert_true(track->rising);
    for (int i = 0, k = 0, at = 0; i < 50; i++, at++) {
        if (at == lengths[k]) {
            at = 0;
            k++;
        }
        const struct frame_facts *frame = &track->frames[i];
        assert_near(frame->time - track->frames[0].time, i * 0.04, 0.002);
        assert_true(likeness_difference(frame, &source.tracks[0].frames[from[k] + at]) == 0);
    }
    if (with_sound) {
        struct track_facts *sound = facts_track(&facts, AVMEDIA_TYPE_AUDIO);
        assert_true(sound->rising);
        assert_near(sound->end - track->start, 2, 1024.0 / 48000);
        assert_near((double)sound->samples, 2 * 48000, 2048);
    }
    facts_free(&source);
    facts_free(&facts);
    plan_destroy(&plan);
}

static void test_copied_parts(void **state)
{
    (void)state;
    static const char *const formats[] = {"mp4", "mov", "mkv", "ts"};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        check_copied(formats[i], i != 1);
}

/* The packets of one whole copy are the input's own. */
static void test_a_whole_copy(void **state)
{
    (void)state;
    int input;
    struct plan *plan = make_plan(clip(), &input);
    struct plan_edge tracks[2];
    for (int i = 0; i < 2; i++) {
        struct plan_segment segment = {add_copy(plan, (struct plan_edge){input, i}), NAN};
        tracks[i] = add_sequence(plan, &segment, 1);
    }
    struct file_facts facts = run_one(plan, add_output(plan, "mp4", tracks, 2));
    struct file_facts source = facts_read(clip());
    for (int i = 0; i < 2; i++) {
        assert_int_equal(facts.tracks[i].packets, source.tracks[i].packets);
        assert_true(facts.tracks[i].hash == source.tracks[i].hash);
        assert_near(facts.tracks[i].start, source.tracks[i].start, 1e-6);
        assert_int_equal(facts.tracks[i].samples, source.tracks[i].samples);
    }
    facts_free(&source);
    facts_free(&facts);
    plan_destroy(&plan);
}

static void test_subtitles(void **state)
{
    (void)state;
    FILE *file = fopen(fixture_path("two.srt"), "w");
    assert_non_null(file);
    fputs("1\n00:00:00,500 --> 00:00:01,500\nfirst\n\n2\n00:00:02,000 --> 00:00:03,000\nsecond\n",
          file);
    fclose(file);
    int input;
    struct plan *plan = make_plan(fixture_path("two.srt"), &input);
    struct plan_segment parts[2];
    static const double ranges[][2] = {{1, 2.5}, {0, 1}};
    for (int i = 0; i < 2; i++) {
        int range = range_of(plan, input, ranges[i][0], ranges[i][1]);
        parts[i] = (struct plan_segment){add_copy(plan, (struct plan_edge){range, 0}),
                                         ranges[i][1] - ranges[i][0]};
    }
    struct plan_edge track = add_sequence(plan, parts, 2);
    struct file_facts facts = run_one(plan, add_output(plan, "mkv", &track, 1));
    assert_int_equal(facts.tracks[0].packets, 3);
    assert_near(facts.tracks[0].start, 0, 1e-3);
    assert_near(facts.tracks[0].end, 2.5, 1e-3);
    facts_free(&facts);
    plan_destroy(&plan);
}

/* ---- one after the other ---- */

static int thread_count(void)
{
    DIR *folder = opendir("/proc/self/task");
    int count = 0;
    assert_non_null(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

struct watched {
    int most_threads;
    double last;
    bool falls;
    double cancel_at;
};

static int watch(void *opaque, const struct pipeline_progress *progress)
{
    struct watched *watched = opaque;
    int threads = thread_count();
    if (threads > watched->most_threads)
        watched->most_threads = threads;
    watched->falls |= progress->percent < watched->last;
    watched->last = progress->percent;
    return watched->cancel_at > 0 && progress->percent >= watched->cancel_at;
}

static int watched_path(void *opaque, int output, int number, const char *name, char *path,
                        size_t size)
{
    (void)opaque;
    (void)name;
    snprintf(path, size, "%s", output_file(output, number));
    return 0;
}

static struct plan *plan_of_many(int count)
{
    int input;
    struct plan *plan = make_plan(clip(), &input);
    struct plan_segment *parts = calloc((size_t)count, sizeof *parts);
    for (int i = 0; i < count; i++) {
        struct error e = {0};
        int again = plan_add_input(plan, clip(), "again", NULL, &e);
        parts[i].edge = stream_of(plan, again, AVMEDIA_TYPE_VIDEO);
    }
    struct plan_edge track = add_h264(plan, add_sequence(plan, parts, count));
    add_output(plan, "mp4", &track, 1);
    free(parts);
    return plan;
}

static int run_watched(struct plan *plan, struct watched *watched, struct error *e)
{
    struct pipeline_options options = {
        .progress = watch,
        .period_ms = 20,
        .opaque = watched,
        .output_path = watched_path,
        .threads = 1,
    };
    struct pipeline_result result;
    int code = run_plan(plan, &options, &result, e);
    if (code == 0)
        pipeline_result_finish(&result);
    return code;
}

static void test_inputs_open_one_after_another(void **state)
{
    (void)state;
    struct error e = {0};
    struct watched two = {0}, many = {0};
    struct plan *plan = plan_of_many(2);
    assert_int_equal(run_watched(plan, &two, &e), 0);
    plan_destroy(&plan);
    plan = plan_of_many(12);
    assert_int_equal(run_watched(plan, &many, &e), 0);
    assert_false(many.falls);
    assert_near(many.last, 100, 0);
    assert_true(many.most_threads <= two.most_threads + 2);
    plan_destroy(&plan);
}

static void test_cancel(void **state)
{
    (void)state;
    struct error e = {0};
    struct watched watched = {.cancel_at = 10};
    struct plan *plan = plan_of_many(20);
    assert_int_equal(run_watched(plan, &watched, &e), ERROR_CANCELLED);
    assert_true(watched.last < 90);
    plan_destroy(&plan);
}

/* A graph that has enough ends the sequence in its middle. */
static void test_no_more_is_wanted(void **state)
{
    (void)state;
    int input;
    struct plan *plan = make_plan(clip(), &input);
    struct plan_edge picture = stream_of(plan, input, AVMEDIA_TYPE_VIDEO);
    struct plan_segment parts[] = {{picture, NAN}, {picture, NAN}, {picture, NAN}};
    struct plan_edge cut = add_filter1(plan, "trim", add_sequence(plan, parts, 3),
                                       (const char *[]){"end", "2.4", NULL});
    struct plan_edge track = add_h264(plan, cut);
    struct file_facts facts = run_one(plan, add_output(plan, "mp4", &track, 1));
    assert_int_equal(facts.tracks[0].frame_count, 60);
    facts_free(&facts);
    plan_destroy(&plan);
}

/* A segment whose file is damaged fails the run with the file's name. */
static void test_a_failing_segment(void **state)
{
    (void)state;
    struct error e = {0};
    int input;
    struct plan *plan = make_plan(clip(), &input);
    int range = range_of(plan, input, 0.5, 0.9); /* no keyframe begins there */
    struct plan_segment parts[] = {
        {add_copy(plan, stream_of(plan, range, AVMEDIA_TYPE_VIDEO)), NAN}};
    struct plan_edge track = add_sequence(plan, parts, 1);
    add_output(plan, "mp4", &track, 1);
    struct pipeline_result result;
    assert_int_equal(run_plan(plan, NULL, &result, &e), ERROR_INVALID_INPUT);
    assert_non_null(strstr(e.message, "segment 1 can't be copied"));
    plan_destroy(&plan);
}

static void test_an_empty_segment(void **state)
{
    (void)state;
    struct error e = {0};
    int input;
    struct plan *plan = make_plan(unlike(), &input);
    int range = range_of(plan, input, 7, 8); /* past its end */
    struct plan_segment parts[] = {
        {add_copy(plan, stream_of(plan, input, AVMEDIA_TYPE_VIDEO)), NAN},
        {add_copy(plan, stream_of(plan, range, AVMEDIA_TYPE_VIDEO)), NAN}};
    struct plan_edge track = add_sequence(plan, parts, 2);
    struct pipeline_result result;
    add_output(plan, "mp4", &track, 1);
    assert_int_equal(run_plan(plan, NULL, &result, &e), ERROR_CORRUPT_MEDIA);
    assert_non_null(strstr(e.message, "segment 2 is empty"));
    plan_destroy(&plan);
}

/* ---- what is refused ---- */

static void refused(struct plan *plan, const struct plan_segment *segments, int count,
                    const char *words)
{
    struct error e = {0};
    int before = plan_node_count(plan);
    assert_int_equal(plan_add_sequence(plan, segments, count, &e), ERROR_INVALID_OPTION);
    if (!strstr(e.message, words))
        fail_msg("'%s' doesn't say '%s'", e.message, words);
    assert_true(strncmp(e.path, "segments", 8) == 0);
    assert_int_equal(plan_node_count(plan), before);
}

static void test_refusals(void **state)
{
    (void)state;
    struct error e = {0};
    int input;
    struct plan *plan = make_plan(clip(), &input);
    int other = plan_add_input(plan, unlike(), "unlike", NULL, &e);
    int smaller = plan_add_input(
        plan,
        fixture_clip("small.mp4", "-f lavfi -i testsrc2=s=160x120:r=25:d=1 -f lavfi -i "
                                  "sine=d=1:r=44100 -c:v libx264 -preset ultrafast -c:a aac"),
        "small", NULL, &e);
    assert_true(other >= 0 && smaller >= 0);
    struct plan_edge video = stream_of(plan, input, AVMEDIA_TYPE_VIDEO);
    struct plan_edge audio = stream_of(plan, input, AVMEDIA_TYPE_AUDIO);
    struct plan_edge copy = add_copy(plan, video), sound = add_copy(plan, audio);
    struct plan_edge endless = {plan_add_filter(plan, "color", NULL, 0, NULL, 0, &e), 0};
    struct plan_edge palette = {plan_add_palette(plan, video, NULL, 0, &e), 0};
    struct plan_edge small = add_copy(plan, stream_of(plan, smaller, AVMEDIA_TYPE_VIDEO));
    struct plan_edge slower = add_copy(plan, stream_of(plan, smaller, AVMEDIA_TYPE_AUDIO));
    struct plan_edge foreign = add_copy(plan, stream_of(plan, other, AVMEDIA_TYPE_VIDEO));
    struct plan_segment whole = {copy, NAN};
    struct plan_edge inner = add_sequence(plan, &whole, 1);
    const struct {
        struct plan_segment segments[2];
        int count;
        const char *words;
    } cases[] = {
        {{{video, NAN}}, 0, "at least one segment"},
        {{{video, -1}}, 1, "can't last -1 s"},
        {{{video, INFINITY}}, 1, "can't last inf s"},
        {{{video, NAN}, {audio, NAN}}, 2, "segment 2 is audio, the first is video"},
        {{{video, NAN}, {copy, NAN}}, 2, "segment 2 is a track, the first is frames"},
        {{{copy, NAN}, {video, NAN}}, 2, "segment 2 is frames, the first is a track"},
        {{{copy, NAN}, {foreign, NAN}}, 2, "segment 2 is mpeg4, the first is h264"},
        {{{copy, NAN}, {small, NAN}}, 2, "another size"},
        {{{sound, NAN}, {slower, NAN}}, 2, "another sample rate"},
        {{{sound, NAN}, {add_encode(plan, audio, "aac", NULL), NAN}}, 2, "can't be joined"},
        {{{endless, NAN}}, 1, "would never end"},
        {{{inner, NAN}}, 1, "is a sequence itself"},
        {{{video, 2e7}}, 1, "can't last 2e+07 s"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refused(plan, cases[i].segments, cases[i].count, cases[i].words);
    struct plan_segment many[12];
    for (size_t i = 0; i < sizeof many / sizeof *many; i++)
        many[i] = (struct plan_segment){video, 9e6};
    refused(plan, many, 12, "can't last more than");
    struct plan_segment palettes = {palette, NAN};
    assert_int_equal(plan_add_sequence(plan, &palettes, 1, &e), ERROR_INVALID_OPTION);
    struct plan_segment nothing = {{999, 0}, NAN};
    assert_int_equal(plan_add_sequence(plan, &nothing, 1, &e), ERROR_INTERNAL);
    plan_destroy(&plan);
}

/* ---- looking at it ---- */

static void test_explained_and_priced(void **state)
{
    (void)state;
    struct error e = {0};
    int input;
    struct plan *plan = make_plan(clip(), &input);
    struct plan_edge video = stream_of(plan, input, AVMEDIA_TYPE_VIDEO);
    struct plan_segment frames[] = {{video, 1.5}, {video, NAN}};
    struct plan_segment packets[] = {{add_copy(plan, video), NAN}, {add_copy(plan, video), NAN}};
    struct plan_edge tracks[] = {add_h264(plan, add_sequence(plan, frames, 2)),
                                 add_sequence(plan, packets, 2)};
    int outputs[] = {add_output(plan, "mp4", &tracks[0], 1),
                     add_output(plan, "mp4", &tracks[1], 1)};
    static const char *const words[][2] = {
        {"sequence of [0:0] for 1.5 s, [0:0]\n", "2 segments of h264, copied"},
        {"sequence", "sequence"},
        {"concat=n=2:v=1:a=0", "concat=n=2:v=1:a=0[f5]"},
    };
    for (int style = PLAN_STYLE_TEXT; style <= PLAN_STYLE_FFMPEG; style++) {
        for (int i = 0; i < 2; i++) {
            char *text = NULL;
            assert_int_equal(plan_explain(plan, &outputs[i], 1, (enum plan_style)style, &text, &e),
                             0);
            if (!strstr(text, words[style][i]))
                fail_msg("no '%s' in:\n%s", words[style][i], text);
            free(text);
        }
    }
    assert_true(plan_cost(plan, &outputs[0], 1) > 2 * plan_cost(plan, &outputs[1], 1));
    plan_destroy(&plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges_of_frames),
        cmocka_unit_test(test_unlike_inputs),
        cmocka_unit_test(test_sequences_in_sequences),
        cmocka_unit_test(test_durations_are_kept),
        cmocka_unit_test(test_many_joins_do_not_drift),
        cmocka_unit_test(test_a_rate_over_joins),
        cmocka_unit_test(test_copied_parts),
        cmocka_unit_test(test_a_whole_copy),
        cmocka_unit_test(test_subtitles),
        cmocka_unit_test(test_inputs_open_one_after_another),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_no_more_is_wanted),
        cmocka_unit_test(test_a_failing_segment),
        cmocka_unit_test(test_an_empty_segment),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_explained_and_priced),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
