/*
 * Where a stream may be cut: for clips of many kinds and cuts everywhere, the parts are held
 * against all of the clip's packets.
 */
#include "engine_fixture.h"

#include <math.h>
#include <stdlib.h>

#include "engine/cut.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define PICTURE      "-f lavfi -i testsrc2=s=160x120:r=25:d=3 -pix_fmt yuv420p "

/* ---- the truth ---- */

struct picture {
    double time;
    bool key;
};

struct truth {
    struct picture list[512];
    int count;
};

static struct truth read_truth(const char *path)
{
    struct truth truth = {0};
    AVFormatContext *context = NULL;
    AVPacket *packet = av_packet_alloc();
    assert_int_equal(avformat_open_input(&context, path, NULL, NULL), 0);
    assert_true(avformat_find_stream_info(context, NULL) >= 0);
    double start = (double)context->start_time / AV_TIME_BASE;
    while (av_read_frame(context, packet) >= 0) {
        const AVStream *stream = context->streams[packet->stream_index];
        assert_true(truth.count < (int)COUNT(truth.list));
        if (stream->codecpar->codec_type == AVMEDIA_TYPE_VIDEO) {
            truth.list[truth.count++] = (struct picture){
                (double)packet->pts * av_q2d(stream->time_base) - start,
                (packet->flags & AV_PKT_FLAG_KEY) != 0,
            };
        }
        av_packet_unref(packet);
    }
    av_packet_free(&packet);
    avformat_close_input(&context);
    return truth;
}

static const double EPSILON = 1e-4;

static int count_shown(const struct truth *truth, double start, double stop)
{
    int count = 0;
    for (int i = 0; i < truth->count; i++) {
        double time = truth->list[i].time;
        count += time >= start - EPSILON && time < stop - EPSILON;
    }
    return count;
}

/* The packet of the keyframe that is shown then, or -1. */
static int find_keyframe(const struct truth *truth, double time)
{
    for (int i = 0; i < truth->count; i++) {
        if (truth->list[i].key && fabs(truth->list[i].time - time) < EPSILON)
            return i;
    }
    return -1;
}

/* True if, from a keyframe's packet on, the pictures shown before a time come before the others. */
static bool is_prefix(const struct truth *truth, int first, double stop)
{
    bool over = false;
    for (int i = first; i < truth->count; i++) {
        double time = truth->list[i].time;
        if (time < truth->list[first].time - EPSILON)
            continue; /* a leading picture */
        if (time >= stop - EPSILON) {
            over = true;
        } else if (over) {
            return false;
        }
    }
    return true;
}

/* ---- holding parts against it ---- */

static void check_exact(const struct truth *truth, const struct cut *cut, double start, double stop)
{
    int shown = 0;
    assert_true(cut->parts[0].start >= start - EPSILON && cut->parts[0].start < start + 0.041);
    assert_true(cut->count >= 1 && cut->count <= 3);
    for (int i = 0; i < cut->count; i++) {
        const struct cut_part *part = &cut->parts[i];
        assert_true(part->stop > part->start);
        if (i > 0)
            assert_near(part->start, cut->parts[i - 1].stop, 1e-9);
        int pictures = count_shown(truth, part->start, part->stop);
        assert_true(pictures > 0);
        shown += pictures;
        if (part->copied) {
            int first = find_keyframe(truth, part->start);
            assert_true(first >= 0);
            assert_true(is_prefix(truth, first, part->stop));
        }
    }
    assert_int_equal(shown, count_shown(truth, start, stop));
    /* Nothing is encoded at the end that could have been copied. */
    const struct cut_part *last = &cut->parts[cut->count - 1];
    if (!last->copied && cut->count > 1) {
        int first = find_keyframe(truth, cut->parts[cut->count - 2].start);
        for (int i = 0; i < truth->count; i++) {
            double time = truth->list[i].time;
            if (time > last->start + EPSILON && time < stop)
                assert_false(is_prefix(truth, first, time));
        }
        assert_false(is_prefix(truth, first, stop));
    }
}

static void check_at_keyframes(const struct truth *truth, const struct cut *cut, double start,
                               double stop)
{
    assert_int_equal(cut->count, 1);
    assert_true(cut->parts[0].copied);
    int first = find_keyframe(truth, cut->parts[0].start);
    assert_true(first >= 0);
    assert_true(is_prefix(truth, first, cut->parts[0].stop));
    assert_true(cut->parts[0].start <= start + EPSILON);
    assert_true(cut->parts[0].stop >= stop - EPSILON);
    for (int i = 0; i < truth->count; i++) {
        double time = truth->list[i].time;
        assert_false(truth->list[i].key && time > cut->parts[0].start + EPSILON && time <= start);
    }
}

static const struct clip {
    const char *name, *arguments;
} clips[] = {
    {"closed.mp4", PICTURE "-c:v libx264 -preset veryfast -g 20 -bf 3"},
    {"open.mkv", PICTURE "-c:v libx264 -preset veryfast -x264-params "
                         "open-gop=1:keyint=20:bframes=3:b-adapt=0:scenecut=0"},
    {"plain.mp4", PICTURE "-c:v libx264 -preset ultrafast -g 30 -bf 0"},
    {"open.mp4", PICTURE "-c:v libx265 -preset ultrafast -x265-params "
                         "log-level=none:keyint=20:bframes=3:open-gop=1"},
    {"open.ts", PICTURE "-c:v libx264 -preset veryfast -x264-params "
                        "open-gop=1:keyint=20:bframes=2:b-adapt=0:scenecut=0 -muxdelay 0"},
    {"closed.mov", PICTURE "-c:v mpeg4 -g 15 -bf 2"},
    {"broadcast.ts", PICTURE "-c:v mpeg2video -g 12 -bf 2"},
    {"web.webm", PICTURE "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 20"},
    {"intra.avi", PICTURE "-c:v mjpeg"},
};

static const struct {
    double start, stop;
} cuts[] = {
    {0, 3},       {0, 1.23},   {0.5, 2.5},    {0.04, 2.96},   {0.79, 2.4}, {0.8, 1.6},
    {0.81, 1.61}, {1.1, 2.04}, {1.1, 2.08},   {1.1, 2.12},    {1.1, 2.16}, {0.3, 0.5},
    {0.3, 0.9},   {2.7, 9},    {1, INFINITY}, {0.123, 1.999},
};

static void parts_are_exact(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(clips); i++) {
        const char *path = fixture_clip(clips[i].name, clips[i].arguments);
        struct truth truth = read_truth(path);
        int input, copied = 0;
        struct plan *plan = make_plan(path, &input);
        for (size_t k = 0; k < COUNT(cuts); k++) {
            struct error e = {0};
            struct cut cut;
            double start = cuts[k].start, stop = cuts[k].stop;
            print_message("%s %g-%g\n", clips[i].name, start, stop);
            assert_int_equal(
                cut_exactly(plan, (struct plan_edge){input, 0}, start, stop, false, &cut, &e), 0);
            check_exact(&truth, &cut, start, stop);
            bool any = false;
            for (int n = 0; n < cut.count; n++)
                any |= cut.parts[n].copied;
            assert_int_equal(any, !*cut.reason);
            copied += any;
            assert_int_equal(
                cut_at_keyframes(plan, (struct plan_edge){input, 0}, start, stop, &cut, &e), 0);
            check_at_keyframes(&truth, &cut, start, stop);
        }
        /* H.264 with open groups: only where nothing is encoded before its keyframe. */
        bool joins =
            strcmp(clips[i].name, "open.mkv") != 0 && strcmp(clips[i].name, "open.ts") != 0;
        assert_true(copied >= (joins ? (int)COUNT(cuts) / 2 : 3));
        plan_destroy(&plan);
    }
}

static void keyframes_are_listed(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(clips); i++) {
        const char *path = fixture_clip(clips[i].name, clips[i].arguments);
        struct truth truth = read_truth(path);
        struct error e = {0};
        double *times;
        int input, count, expected = 0;
        struct plan *plan = make_plan(path, &input);
        struct plan_edge video = {input, 0};
        assert_int_equal(cut_list_keyframes(plan, video, 0.5, 2.2, 1000, &times, &count, &e), 0);
        for (int k = 0; k < truth.count; k++) {
            double time = truth.list[k].time;
            expected += truth.list[k].key && time >= 0.5 && time < 2.2;
        }
        assert_int_equal(count, expected);
        for (int k = 0; k < count; k++) {
            assert_true(find_keyframe(&truth, times[k]) >= 0);
            assert_true(k == 0 || times[k] > times[k - 1]);
        }
        free(times);
        assert_int_equal(cut_list_keyframes(plan, video, 0, INFINITY, 1, &times, &count, &e),
                         ERROR_LIMIT_EXCEEDED);
        assert_null(times);
        assert_int_equal(cut_list_keyframes(plan, video, 50, 60, 1, &times, &count, &e), 0);
        assert_int_equal(count, 0);
        free(times);
        plan_destroy(&plan);
    }
}

/* ---- what can't be copied, and why ---- */

static void assert_encoded(const char *path, double start, double stop, const char *reason)
{
    struct error e = {0};
    struct cut cut;
    int input;
    print_message("%s\n", reason);
    struct plan *plan = make_plan(path, &input);
    assert_int_equal(cut_exactly(plan, (struct plan_edge){input, 0}, start, stop, false, &cut, &e),
                     0);
    assert_int_equal(cut.count, 1);
    assert_false(cut.parts[0].copied);
    assert_near(cut.parts[0].start, start, 0.041);
    if (!strstr(cut.reason, reason))
        fail_msg("%s, not %s", cut.reason, reason);
    plan_destroy(&plan);
}

static void reasons(void **state)
{
    (void)state;
    assert_encoded(fixture_clip(clips[2].name, clips[2].arguments), 0.1, 1, "no keyframe");
    /* Pictures are refreshed column by column: there is no place to begin. */
    assert_encoded(fixture_clip("refresh.ts", PICTURE "-c:v libx264 -preset ultrafast -x264-params "
                                                      "intra-refresh=1:keyint=10 -g 10"),
                   0.1, 2.5, "may need earlier pictures");
    assert_encoded(fixture_clip("timeless.avi", PICTURE "-c:v libx264 -preset veryfast -g 20"), 0.1,
                   2.5, "doesn't say when");
    assert_encoded(fixture_clip("odd.wmv", PICTURE "-c:v wmv2 -g 10"), 0.1, 2.5,
                   "can't be told without decoding");
    assert_encoded(fixture_clip("late.mkv", "-f lavfi -i sine=d=3 -itsoffset 1 " PICTURE
                                            "-c:v libx264 -preset ultrafast -g 20 -c:a pcm_s16le "
                                            "-map 1 -map 0"),
                   0.5, 2.5, "long after the cut");
    const char *now = fixture_clip("now.ts", PICTURE "-c:v libx264 -preset ultrafast -bf 0 -g 90");
    const char *later = fixture_clip(
        "later.ts", PICTURE "-c:v libx264 -preset ultrafast -bf 0 -g 90 -output_ts_offset 100");
    assert_encoded(fixture_join("jump.ts", now, later), 0.1, 101, "timestamps jump");
}

static void joins(void **state)
{
    (void)state;
    struct error e = {0};
    struct cut cut;
    for (int i = 0; i < 4; i++) { /* 0.8 is a keyframe in all of them */
        int input;
        struct plan *plan = make_plan(fixture_clip(clips[i].name, clips[i].arguments), &input);
        struct plan_edge video = {input, 0};
        double start = i == 2 ? 1.2 : 0.8;
        assert_int_equal(cut_exactly(plan, video, start, 2.5, false, &cut, &e), 0);
        assert_true(cut.parts[0].copied);
        assert_near(cut.parts[0].start, start, 1e-6);
        assert_int_equal(cut_exactly(plan, video, start, 2.5, true, &cut, &e), 0);
        bool open = strcmp(clips[i].name, "open.mkv") == 0;
        assert_int_equal(cut.parts[0].copied, !open);
        assert_int_equal(strstr(cut.reason, "IDR") != NULL, open);
        plan_destroy(&plan);
    }
}

/* The same pictures on a clock on which the second one is shown last of all, though another group
 * begins behind it. */
static const char *late_picture(const char *name, const char *from)
{
    enum { AHEAD = 100, LATE = 1 };
    const char *path = fixture_path(name);
    AVFormatContext *in = NULL, *out = NULL;
    AVPacket *packet = av_packet_alloc();
    assert_int_equal(avformat_open_input(&in, from, NULL, NULL), 0);
    assert_true(avformat_find_stream_info(in, NULL) >= 0);
    assert_true(avformat_alloc_output_context2(&out, NULL, "mpegts", path) >= 0);
    AVStream *stream = avformat_new_stream(out, NULL);
    assert_true(avcodec_parameters_copy(stream->codecpar, in->streams[0]->codecpar) >= 0);
    assert_true(avio_open(&out->pb, path, AVIO_FLAG_WRITE) >= 0);
    assert_true(avformat_write_header(out, NULL) >= 0);
    int count = (int)in->streams[0]->nb_frames;
    for (int i = 0; av_read_frame(in, packet) >= 0; i++) {
        packet->dts = i;
        packet->pts = AHEAD + (i == LATE ? count : i);
        packet->stream_index = 0;
        av_packet_rescale_ts(packet, (AVRational){1, 25}, stream->time_base);
        assert_true(av_interleaved_write_frame(out, packet) >= 0);
    }
    assert_true(av_write_trailer(out) >= 0);
    avio_closep(&out->pb);
    avformat_free_context(out);
    avformat_close_input(&in);
    av_packet_free(&packet);
    return path;
}

/* Whatever the order is, looking for a place to cut comes to an end. */
static void absurd_orders(void **state)
{
    (void)state;
    struct error e = {0};
    struct cut cut;
    int input;
    const char *path = late_picture("late.ts", fixture_clip(clips[2].name, clips[2].arguments));
    struct plan *plan = make_plan(path, &input);
    struct plan_edge video = {input, 0};
    assert_int_equal(cut_at_keyframes(plan, video, 1.5, 2.5, &cut, &e), 0);
    assert_int_equal(cut.count, 1);
    assert_true(cut.parts[0].start <= 1.5 && cut.parts[0].stop >= 2.5);
    assert_int_equal(cut_exactly(plan, video, 1.1, 2.5, false, &cut, &e), 0);
    assert_near(cut.parts[cut.count - 1].stop, 2.5, 0.041);
    plan_destroy(&plan);
}

static void absurd_times(void **state)
{
    (void)state;
    struct error e = {0};
    double *times;
    int input, count;
    struct plan *plan = make_plan(fixture_clip(clips[0].name, clips[0].arguments), &input);
    struct plan_edge video = {input, 0};
    assert_int_equal(cut_list_keyframes(plan, video, 1e300, 1e301, 9, &times, &count, &e), 0);
    assert_int_equal(count, 0);
    free(times);
    assert_int_equal(cut_list_keyframes(plan, video, -1e300, 1e300, 9, &times, &count, &e), 0);
    assert_int_equal(count, 4);
    free(times);
    plan_destroy(&plan);
}

static void refusals(void **state)
{
    (void)state;
    struct error e = {0};
    struct cut cut;
    double *times;
    int input, count;
    struct plan *plan = make_plan(fixture_clip("av.mp4", CLIP_AV), &input);
    struct plan_edge video = {input, 0}, sound = {input, 1};
    static const double wrong[][2] = {{-1, 2}, {2, 2}, {2, 1}, {NAN, 2}, {0, NAN}};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        assert_int_equal(cut_exactly(plan, video, wrong[i][0], wrong[i][1], false, &cut, &e),
                         ERROR_INVALID_OPTION);
        assert_int_equal(cut_at_keyframes(plan, video, wrong[i][0], wrong[i][1], &cut, &e),
                         ERROR_INVALID_OPTION);
    }
    struct plan_edge none[] = {sound,   {input, 7}, {input, -1},
                               {99, 0}, {-1, 0},    add_copy(plan, video)};
    for (size_t i = 0; i < COUNT(none); i++) {
        assert_int_equal(cut_exactly(plan, none[i], 0, 1, false, &cut, &e), ERROR_INVALID_INPUT);
        assert_int_equal(cut_list_keyframes(plan, none[i], 0, 1, 9, &times, &count, &e),
                         ERROR_INVALID_INPUT);
    }
    plan_destroy(&plan);
}

static void cancelled(void **state)
{
    (void)state;
    struct error e = {0};
    struct cut cut;
    atomic_int cancel = 0;
    struct plan *plan = plan_create(NULL);
    int input = plan_add_input(plan, fixture_clip("av.mp4", CLIP_AV), "clip", &cancel, &e);
    assert_true(input >= 0);
    atomic_store(&cancel, 1);
    int code = cut_exactly(plan, (struct plan_edge){input, 0}, 0.1, 1, false, &cut, &e);
    assert_int_equal(code, ERROR_CANCELLED);
    plan_destroy(&plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_exact), cmocka_unit_test(keyframes_are_listed),
        cmocka_unit_test(joins),           cmocka_unit_test(reasons),
        cmocka_unit_test(absurd_orders),   cmocka_unit_test(absurd_times),
        cmocka_unit_test(refusals),        cmocka_unit_test(cancelled),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
