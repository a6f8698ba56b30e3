/*
 * Copied and encoded parts of video in one track: every picture is there, once and at its time, and
 * looks as it should; what is copied is the input's own, bit for bit.
 */
#include "engine_fixture.h"

#include <libavutil/avstring.h>
#include <libavutil/intreadwrite.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/cut.h"

enum { RATE = 25 };

#define PICTURES "-f lavfi -i testsrc2=s=320x180:r=25:d=3 "

/* A clip with a keyframe about every 0.4 s, and how close an encode must come to it. */
struct source {
    const char *name, *arguments;
    const char *codec;
    const char *options[7];
    const char *formats[4];
    bool ids; /* the encoder's parameter sets stand beside the copied ones */
};

static const struct source sources[] = {
    {"closed.mp4",
     PICTURES "-c:v libx264 -preset fast -g 10 -bf 2 -x264-params scenecut=0 -pix_fmt yuv420p",
     "h264",
     {"crf", "12", "preset", "veryfast"},
     {"mp4", "mkv", "ts"},
     true},
    {"plain.mp4",
     PICTURES "-c:v libx264 -profile:v baseline -g 10 -x264-params scenecut=0 -pix_fmt yuv420p",
     "h264",
     {"crf", "12", "preset", "veryfast"},
     {"mov"},
     true},
    {"closed.ts",
     PICTURES "-c:v libx264 -preset fast -g 10 -bf 2 -x264-params scenecut=0 -pix_fmt yuv420p",
     "h264",
     {"crf", "12", "preset", "veryfast"},
     {"mp4", "ts"},
     true},
    {"hevc.mp4",
     PICTURES "-c:v libx265 -preset veryfast -x265-params "
              "log-level=none:keyint=10:min-keyint=10:open-gop=0:scenecut=0 -tag:v hvc1",
     "hevc",
     {"crf", "14", "preset", "ultrafast"},
     {"mp4", "mkv", "ts"},
     true},
    {"open.hevc.mkv",
     PICTURES "-c:v libx265 -preset veryfast -pix_fmt yuv420p10le -x265-params "
              "log-level=none:keyint=10:min-keyint=10:open-gop=1:scenecut=0:bframes=3",
     "hevc",
     {"crf", "14", "preset", "veryfast"},
     {"mkv", "mov"},
     true},
    {"open.hevc.mp4",
     PICTURES "-c:v libx265 -preset veryfast -x265-params "
              "log-level=none:keyint=10:min-keyint=10:open-gop=1:scenecut=0:bframes=4 -tag:v hvc1",
     "hevc",
     {"crf", "14", "preset", "ultrafast"},
     {"mp4"},
     true},
    {"mpeg4.mp4",
     PICTURES "-c:v mpeg4 -q:v 2 -g 10 -bf 2 -sc_threshold 1000000000",
     "mpeg4",
     {"quality", "2"},
     {"mp4", "mkv"},
     false},
    {"mpeg2.ts",
     PICTURES "-c:v mpeg2video -q:v 2 -g 10 -bf 2 -sc_threshold 1000000000",
     "mpeg2video",
     {"quality", "2"},
     {"ts", "mkv"},
     false},
    {"vp9.webm",
     PICTURES "-c:v libvpx-vp9 -g 10 -keyint_min 10 -crf 20 -b:v 0 -cpu-used 8 -row-mt 0",
     "vp9",
     {"crf", "20", "cpu-used", "8"},
     {"webm", "mp4"},
     false},
    {"av1.mp4",
     PICTURES "-c:v libsvtav1 -preset 12 -g 10 -crf 20 -svtav1-params scd=0",
     "av1",
     {"crf", "20", "preset", "12"},
     {"mp4", "mkv"},
     false},
};

static int range_of(struct plan *plan, int input, double start, double stop)
{
    struct error e = {0};
    int range = plan_add_range(plan, input, start, stop, &e);
    if (range < 0)
        fail_msg("%g to %g: %s", start, stop, e.message);
    return range;
}

/* A range that is copied, and where it is in the output. */
struct copied {
    double start, stop, at;
};

/* The parts of a range as one track. `copies` counts those that are copied. */
static struct plan_edge add_parts(struct plan *plan, int input, const struct source *source,
                                  double start, double stop, struct plan_segment *segments,
                                  int *count, struct copied *copied, int *copies)
{
    struct error e = {0};
    struct cut cut;
    struct plan_edge video = stream_of(plan, input, AVMEDIA_TYPE_VIDEO);
    if (cut_exactly(plan, video, start, stop, *count > 0, &cut, &e) != 0)
        fail_msg("%s: %s", source->name, e.message);
    for (int i = 0; i < cut.count; i++) {
        const struct cut_part *part = &cut.parts[i];
        int range = range_of(plan, input, part->start, part->stop);
        struct plan_edge stream = stream_of(plan, range, AVMEDIA_TYPE_VIDEO);
        struct plan_segment *segment = &segments[(*count)++];
        segment->edge = part->copied ? add_copy(plan, stream)
                                     : add_encode(plan, stream, source->codec, source->options);
        segment->duration = isfinite(part->stop) ? part->stop - part->start : NAN;
        for (int k = 0; part->copied && k < *count - 1; k++)
            copied[*copies].at += segments[k].duration;
        if (part->copied) {
            copied[*copies].start = part->start;
            copied[(*copies)++].stop = part->stop;
        }
    }
    return video;
}

/* ---- packets ---- */

struct payload {
    double time;
    uint64_t hash;
    bool key;
};

struct payloads {
    struct payload list[256];
    int count;
};

static void read_payloads(const char *path, struct payloads *payloads)
{
    AVFormatContext *context = NULL;
    AVPacket *packet = av_packet_alloc();
    assert_int_equal(avformat_open_input(&context, path, NULL, NULL), 0);
    assert_true(avformat_find_stream_info(context, NULL) >= 0);
    payloads->count = 0;
    while (av_read_frame(context, packet) >= 0) {
        struct payload *payload = &payloads->list[payloads->count++];
        assert_true(payloads->count <= 256);
        payload->time = (double)packet->pts * av_q2d(context->streams[0]->time_base);
        payload->key = (packet->flags & AV_PKT_FLAG_KEY) != 0;
        payload->hash = UINT64_C(14695981039346656037);
        for (int i = 0; i < packet->size; i++) /* FNV-1a */
            payload->hash = (payload->hash ^ packet->data[i]) * UINT64_C(1099511628211);
        av_packet_unref(packet);
    }
    av_packet_free(&packet);
    avformat_close_input(&context);
}

static const struct payload *payload_at(const struct payloads *payloads, double time)
{
    for (int i = 0; i < payloads->count; i++) {
        if (fabs(payloads->list[i].time - time) < 0.01)
            return &payloads->list[i];
    }
    fail_msg("no packet is at %g s", time);
    return NULL;
}

static double first_time(const struct payloads *payloads)
{
    double first = INFINITY;
    for (int i = 0; i < payloads->count; i++)
        first = fmin(first, payloads->list[i].time);
    return first;
}

/* Counts the output's packets from `at` on that are the source's in [start, stop). */
static int count_same(const struct payloads *out, double at, const struct payloads *source,
                      double start, double stop)
{
    double zero = first_time(source), begin = first_time(out);
    int same = 0;
    for (int i = 0; i < source->count; i++) {
        double time = source->list[i].time - zero;
        if (time > start - 0.01 && time < stop - 0.01)
            same += payload_at(out, begin + at + time - start)->hash == source->list[i].hash;
    }
    return same;
}

/* Sometimes the first packet has to be changed. */
static void check_copied(const struct source *source, const char *format, const char *path,
                         const struct copied *copied)
{
    static struct payloads in, out; /* the same container, or one that keeps packets as they are */
    read_payloads(fixture_path(source->name), &in);
    read_payloads(path, &out);
    int count = (int)lrint((copied->stop - copied->start) * RATE);
    int same = count_same(&out, copied->at, &in, copied->start, copied->stop);
    bool repacked = (strstr(source->name, ".ts") != NULL) != (strcmp(format, "ts") == 0);
    bool header = strcmp(source->codec, "mpeg4") == 0; /* it comes again */
    bool open = strncmp(source->name, "open", 4) == 0; /* one byte says that coding begins anew */
    int changed = header || open ? 1 : 0;
    if (source->ids && repacked) /* start codes have become lengths, or the reverse */
        return;
    if (same < count - changed)
        fail_msg("%s in %s: %d of %d packets are the input's", source->name, format, same, count);
}

static void check_pictures(const char *name, const char *format, const struct track_facts *track,
                           const struct track_facts *whole, const int *expected, int count)
{
    if (track->frame_count != count)
        fail_msg("%s in %s: %d pictures, not %d", name, format, track->frame_count, count);
    assert_true(track->rising);
    for (int i = 0; i < count; i++) {
        const struct frame_facts *frame = &track->frames[i];
        double time = frame->time - track->frames[0].time;
        double difference = likeness_difference(frame, &whole->frames[expected[i]]);
        if (fabs(time - (double)i / RATE) > 0.002)
            fail_msg("%s in %s: picture %d is at %g s", name, format, i, time);
        if (difference > 1.5 || most_alike(whole, frame) != expected[i])
            fail_msg("%s in %s: picture %d (%d) is like %d, off by %g", name, format, i,
                     expected[i], most_alike(whole, frame), difference);
    }
}

/* Two ranges with pictures to be encoded on both sides, the later first. */
static void check_source(const struct source *source, const char *format)
{
    int input, count = 0, copies = 0;
    struct plan *plan = make_plan(fixture_clip(source->name, source->arguments), &input);
    struct plan_segment segments[6];
    struct copied copied[2] = {0};
    static const int ranges[][2] = {{37, 64}, {4, 27}};
    int expected[128], pictures = 0;
    for (int i = 0; i < 2; i++) {
        add_parts(plan, input, source, (double)ranges[i][0] / RATE, (double)ranges[i][1] / RATE,
                  segments, &count, copied, &copies);
        for (int k = ranges[i][0]; k < ranges[i][1]; k++)
            expected[pictures++] = k;
    }
    assert_true(copies == 2 && count > copies);
    struct error e = {0};
    int node = plan_add_sequence(plan, segments, count, &e);
    if (node < 0)
        fail_msg("%s: %s", source->name, e.message);
    struct plan_edge track = {node, 0};
    int output = add_output(plan, format, &track, 1);
    struct pipeline_result result;
    if (run_plan(plan, NULL, &result, &e) != 0)
        fail_msg("%s in %s: %s", source->name, format, e.message);
    pipeline_result_finish(&result);
    struct file_facts facts = facts_read(output_file(output, 0));
    struct file_facts whole = facts_read(fixture_path(source->name));
    check_pictures(source->name, format, &facts.tracks[0], &whole.tracks[0], expected, pictures);
    for (int i = 0; i < 2; i++)
        check_copied(source, format, output_file(output, 0), &copied[i]);
    facts_free(&whole);
    facts_free(&facts);
    plan_destroy(&plan);
}

static void test_every_codec(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        for (int k = 0; k < 4 && sources[i].formats[k]; k++)
            check_source(&sources[i], sources[i].formats[k]);
    }
}

/* ---- what is refused ---- */

/* The same H.264 with lengths of two bytes in front of its units. */
static void write_short_lengths(const char *name, const char *from)
{
    const char *path = fixture_path(name);
    AVFormatContext *in = NULL, *out = NULL;
    AVPacket *packet = av_packet_alloc();
    assert_int_equal(avformat_open_input(&in, from, NULL, NULL), 0);
    assert_true(avformat_find_stream_info(in, NULL) >= 0);
    assert_true(avformat_alloc_output_context2(&out, NULL, NULL, path) >= 0);
    AVStream *stream = avformat_new_stream(out, NULL);
    assert_true(avcodec_parameters_copy(stream->codecpar, in->streams[0]->codecpar) >= 0);
    stream->codecpar->extradata[4] = 0xFC | 1;
    stream->time_base = in->streams[0]->time_base;
    assert_true(avio_open(&out->pb, path, AVIO_FLAG_WRITE) >= 0);
    assert_true(avformat_write_header(out, NULL) >= 0);
    while (av_read_frame(in, packet) >= 0) {
        int size = 0;
        assert_true(av_packet_make_writable(packet) >= 0);
        for (int at = 0; at + 4 <= packet->size;) {
            int length = packet->data[at + 2] << 8 | packet->data[at + 3];
            assert_true(packet->data[at] == 0 && packet->data[at + 1] == 0);
            memmove(packet->data + size, packet->data + at + 2, (size_t)length + 2);
            size += length + 2;
            at += length + 4;
        }
        av_shrink_packet(packet, size);
        av_packet_rescale_ts(packet, in->streams[0]->time_base, stream->time_base);
        assert_true(av_interleaved_write_frame(out, packet) >= 0);
    }
    assert_true(av_write_trailer(out) >= 0);
    avio_closep(&out->pb);
    avformat_free_context(out);
    avformat_close_input(&in);
    av_packet_free(&packet);
}

/* A copy of the first two seconds, then an encode of the third with the options. */
static void refused(const char *name, const char *arguments, const char *codec,
                    const char *const *options, const char *words)
{
    struct error e = {0};
    int input;
    struct plan *plan = make_plan(fixture_clip(name, arguments), &input);
    struct plan_edge head = stream_of(plan, range_of(plan, input, 0, 2), AVMEDIA_TYPE_VIDEO);
    struct plan_edge tail = stream_of(plan, range_of(plan, input, 2, 3), AVMEDIA_TYPE_VIDEO);
    const struct plan_segment segments[] = {
        {add_copy(plan, head), 2},
        {options ? add_encode(plan, tail, codec, options) : add_copy(plan, tail), NAN}};
    int before = plan_node_count(plan);
    assert_int_equal(plan_add_sequence(plan, segments, 2, &e), ERROR_INVALID_OPTION);
    if (!strstr(e.message, words))
        fail_msg("'%s' doesn't say '%s'", e.message, words);
    assert_string_equal(e.path, "segments[2]");
    assert_int_equal(plan_node_count(plan), before);
    plan_destroy(&plan);
}

static void test_refusals(void **state)
{
    (void)state;
    static const char *const none[] = {NULL};
    const char *h264 = sources[0].arguments;
    refused("closed.mp4", h264, "h264", (const char *[]){"frame_rate", "30", NULL}, "frame rate");
    refused("closed.mp4", h264, "h264", (const char *[]){"pixel_format", "yuv422p", NULL},
            "pixel format follow");
    refused("closed.mp4", h264, "libx264rgb", none, "no encoder here makes");
    refused("fields.mp4",
            PICTURES "-c:v libx264 -preset ultrafast -flags +ilme+ildct -x264-params tff=1 -g 10",
            "h264", none, "it is interlaced");
    refused("open.mp4", PICTURES "-c:v libx264 -bf 2 -g 10 -x264-params scenecut=0:open-gop=1",
            "h264", NULL, "doesn't begin with an IDR picture");
    write_short_lengths("short.mp4", fixture_path("closed.mp4"));
    refused("short.mp4", "", "h264", none, "no room for slices");
    refused("intra.mov", PICTURES "-c:v prores -profile:v 0", "prores", none,
            "no encoder here makes");
    refused("grey.mp4", PICTURES "-c:v libaom-av1 -cpu-used 8 -usage realtime -pix_fmt gray -g 10",
            "libsvtav1", none, "doesn't take its pixel format");
}

/* Two fields may be two packets, of which one has no time. */
static void test_fields_in_packets(void **state)
{
    (void)state;
    struct error e = {0};
    int input;
    struct plan *plan = make_plan(fixture_clip("fields.ts", PICTURES
                                               "-c:v libx264 -preset ultrafast -flags +ilme+ildct "
                                               "-x264-params tff=1 -g 10"),
                                  &input);
    const struct plan_segment whole = {add_copy(plan, stream_of(plan, input, AVMEDIA_TYPE_VIDEO)),
                                       NAN};
    assert_int_equal(plan_add_sequence(plan, &whole, 1, &e), ERROR_INVALID_OPTION);
    assert_non_null(strstr(e.message, "can't be copied: it is interlaced"));
    plan_destroy(&plan);
}

/* What is turned by the player is encoded as it is coded, and only with its like. */
static void test_turned(void **state)
{
    (void)state;
    struct error e = {0};
    fixture_clip("closed.mp4", sources[0].arguments);
    struct source turned = sources[0];
    turned.name = "turned.mp4";
    fixture_turned("turned.mp4", fixture_path("closed.mp4"), 90);
    check_source(&turned, "mp4");
    int input;
    struct plan *plan = make_plan(fixture_path("turned.mp4"), &input);
    struct plan_edge head = stream_of(plan, range_of(plan, input, 0, 2), AVMEDIA_TYPE_VIDEO);
    struct plan_edge tail = stream_of(plan, range_of(plan, input, 2, 3), AVMEDIA_TYPE_VIDEO);
    struct plan_edge filtered = add_filter1(plan, "hflip", tail, NULL);
    const struct plan_segment segments[] = {{add_copy(plan, head), 2},
                                            {add_h264(plan, filtered), NAN}};
    assert_int_equal(plan_add_sequence(plan, segments, 2, &e), ERROR_INVALID_OPTION);
    assert_non_null(strstr(e.message, "is turned by the player"));
    plan_destroy(&plan);
}

/* However many parameters an encoder is given, those that make it fit come behind. */
static void test_long_parameters(void **state)
{
    (void)state;
    char params[4096] = "";
    while (strlen(params) < 3000)
        av_strlcat(params, "rc-lookahead=5:", sizeof params);
    av_strlcat(params, "crf=14", sizeof params);
    struct source source = sources[3];
    assert_string_equal(source.codec, "hevc");
    source.options[0] = "preset";
    source.options[1] = "ultrafast";
    source.options[2] = "x265-params";
    source.options[3] = params;
    check_source(&source, "mp4");
}

static void test_longer_than_told(void **state)
{
    (void)state;
    struct error e = {0};
    int input;
    struct plan *plan = make_plan(fixture_clip("closed.mp4", sources[0].arguments), &input);
    struct plan_edge tail = stream_of(plan, range_of(plan, input, 2, 3), AVMEDIA_TYPE_VIDEO);
    struct plan_edge head = stream_of(plan, range_of(plan, input, 0, 2), AVMEDIA_TYPE_VIDEO);
    const struct plan_segment segments[] = {{add_h264(plan, tail), 0.5},
                                            {add_copy(plan, head), NAN}};
    struct plan_edge track = {plan_add_sequence(plan, segments, 2, &e), 0};
    assert_true(track.node >= 0);
    add_output(plan, "mp4", &track, 1);
    struct pipeline_result result;
    assert_int_equal(run_plan(plan, NULL, &result, &e), ERROR_INVALID_INPUT);
    assert_non_null(strstr(e.message, "segment 1 is longer than the duration"));
    plan_destroy(&plan);
}

int main(void)
{
    setenv("SVT_LOG", "0", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_codec),       cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_fields_in_packets), cmocka_unit_test(test_turned),
        cmocka_unit_test(test_longer_than_told),  cmocka_unit_test(test_long_parameters),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
