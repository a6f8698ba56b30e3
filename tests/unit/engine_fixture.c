/*
 * Clips, plans and facts for the tests of the pipeline.
 */
#include "engine_fixture.h"

#include <libavcodec/avcodec.h>
#include <libavutil/display.h>
#include <libswscale/swscale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/compat.h"

char fixture_folder[64];

/* ---- files ---- */

int fixture_setup(void **state)
{
    (void)state;
    const char *base = getenv("TMPDIR");
    snprintf(fixture_folder, sizeof fixture_folder, "%.40s/luma-pipeline-XXXXXX",
             base ? base : "/tmp");
    av_log_set_level(AV_LOG_QUIET);
    return mkdtemp(fixture_folder) ? 0 : -1;
}

int fixture_teardown(void **state)
{
    (void)state;
    char command[96];
    snprintf(command, sizeof command, "rm -rf '%s'", fixture_folder);
    return system(command);
}

const char *fixture_path(const char *name)
{
    static char paths[256][128];
    static int count;
    char path[128];
    snprintf(path, sizeof path, "%s/%s", fixture_folder, name);
    for (int i = 0; i < count; i++)
        if (strcmp(paths[i], path) == 0)
            return paths[i];
    assert_true(count < 256);
    memcpy(paths[count], path, sizeof path);
    return paths[count++];
}

static void run_command(const char *command)
{
    int result = system(command);
    if (!WIFEXITED(result) || WEXITSTATUS(result) != 0)
        fail_msg("failed: %s", command);
}

const char *fixture_clip(const char *name, const char *arguments)
{
    const char *path = fixture_path(name);
    if (access(path, R_OK) == 0)
        return path;
    char command[4096];
    int length = snprintf(command, sizeof command, "ffmpeg -v error -nostdin -y ");
    for (const char *p = arguments; *p && length < (int)sizeof command - 256; p++) {
        if (*p == '@')
            length +=
                snprintf(command + length, sizeof command - (size_t)length, "%s/", fixture_folder);
        else
            command[length++] = *p;
    }
    snprintf(command + length, sizeof command - (size_t)length, " '%s'", path);
    run_command(command);
    return path;
}

const char *fixture_join(const char *name, const char *first, const char *second)
{
    char command[512];
    const char *path = fixture_path(name);
    int length = snprintf(command, sizeof command, "cat '%s' '%s' > '%s'", first, second, path);
    assert_in_range(length, 1, sizeof command - 1);
    run_command(command);
    return path;
}

const char *fixture_turned(const char *name, const char *from, int degrees)
{
    const char *path = fixture_path(name);
    AVFormatContext *in = NULL, *out = NULL;
    assert_int_equal(avformat_open_input(&in, from, NULL, NULL), 0);
    assert_true(avformat_find_stream_info(in, NULL) >= 0);
    assert_true(avformat_alloc_output_context2(&out, NULL, NULL, path) >= 0);
    for (unsigned i = 0; i < in->nb_streams; i++) {
        AVStream *stream = avformat_new_stream(out, NULL);
        avcodec_parameters_copy(stream->codecpar, in->streams[i]->codecpar);
        stream->codecpar->codec_tag = 0;
        stream->time_base = in->streams[i]->time_base;
        int32_t matrix[9];
        av_display_rotation_set(matrix, degrees);
        if (stream->codecpar->codec_type == AVMEDIA_TYPE_VIDEO)
            compat_stream_add_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, (const uint8_t *)matrix,
                                        sizeof matrix);
    }
    assert_true(avio_open(&out->pb, path, AVIO_FLAG_WRITE) >= 0);
    assert_true(avformat_write_header(out, NULL) >= 0);
    AVPacket *packet = av_packet_alloc();
    while (av_read_frame(in, packet) >= 0) {
        int index = packet->stream_index;
        av_packet_rescale_ts(packet, in->streams[index]->time_base, out->streams[index]->time_base);
        assert_true(av_interleaved_write_frame(out, packet) >= 0);
    }
    av_packet_free(&packet);
    av_write_trailer(out);
    avio_closep(&out->pb);
    avformat_free_context(out);
    avformat_close_input(&in);
    return path;
}

/* ---- plans ---- */

static int count_options(const char *const *options, struct plan_option *list)
{
    int count = 0;
    for (; options && options[0]; options += 2)
        list[count++] = (struct plan_option){options[0], options[1]};
    return count;
}

static void assert_added(int node, const struct error *e)
{
    if (node < 0)
        fail_msg("%s: %s", error_name(e->code), e->message);
}

struct plan *make_plan(const char *path, int *input)
{
    struct error e = {0};
    struct plan *plan = plan_create(NULL);
    assert_non_null(plan);
    if (path) {
        *input = plan_add_input(plan, path, "clip", NULL, &e);
        assert_added(*input, &e);
    }
    return plan;
}

struct plan_edge add_filter(struct plan *plan, const char *filter, const struct plan_edge *inputs,
                            int count, const char *const *options)
{
    struct error e = {0};
    struct plan_option list[16];
    int option_count = count_options(options, list);
    int node = plan_add_filter(plan, filter, inputs, count, list, option_count, &e);
    assert_added(node, &e);
    return (struct plan_edge){node, 0};
}

struct plan_edge add_filter1(struct plan *plan, const char *filter, struct plan_edge input,
                             const char *const *options)
{
    return add_filter(plan, filter, &input, 1, options);
}

struct plan_edge add_encode(struct plan *plan, struct plan_edge input, const char *codec,
                            const char *const *options)
{
    struct error e = {0};
    struct plan_option list[16];
    int count = count_options(options, list);
    int node = plan_add_encode(plan, input, codec, list, count, &e);
    assert_added(node, &e);
    return (struct plan_edge){node, 0};
}

struct plan_edge add_h264(struct plan *plan, struct plan_edge input)
{
    return add_encode(plan, input, "h264", (const char *[]){"preset", "ultrafast", NULL});
}

struct plan_edge add_copy(struct plan *plan, struct plan_edge input)
{
    struct error e = {0};
    int node = plan_add_copy(plan, input, NULL, NULL, 0, &e);
    assert_added(node, &e);
    return (struct plan_edge){node, 0};
}

int add_output(struct plan *plan, const char *format, const struct plan_edge *tracks, int count)
{
    struct error e = {0};
    struct plan_output output = {
        .name = "out",
        .format = format,
        .tracks = tracks,
        .track_count = count,
        .metadata_from = -1,
        .chapters_from = -1,
    };
    int node = plan_add_output(plan, &output, &e);
    assert_added(node, &e);
    return node;
}

int add_pictures(struct plan *plan, const char *format, struct plan_edge track)
{
    struct error e = {0};
    struct plan_output output = {
        .name = "picture",
        .format = format,
        .tracks = &track,
        .track_count = 1,
        .metadata_from = -1,
        .chapters_from = -1,
        .each_picture = true,
    };
    int node = plan_add_output(plan, &output, &e);
    assert_added(node, &e);
    return node;
}

struct plan_edge stream_of(struct plan *plan, int input, enum AVMediaType kind)
{
    const struct media *media = plan_input_media(plan, input);
    for (int i = 0; i < media->stream_count; i++)
        if (media->streams[i].kind == kind)
            return (struct plan_edge){input, i};
    fail_msg("no stream of kind %d", kind);
    return (struct plan_edge){-1, 0};
}

const char *output_file(int output, int number)
{
    char name[32];
    snprintf(name, sizeof name, "out-%d-%d", output, number);
    return fixture_path(name);
}

static int choose_path(void *opaque, int output, int number, const char *name, char *path,
                       size_t size)
{
    (void)opaque;
    (void)name;
    snprintf(path, size, "%s", output_file(output, number));
    return 0;
}

int run_plan(struct plan *plan, const struct pipeline_options *options,
             struct pipeline_result *result, struct error *e)
{
    struct pipeline_options own = {0};
    if (options)
        own = *options;
    if (!own.output_path)
        own.output_path = choose_path;
    return pipeline_run(plan, &own, result, e);
}

struct pipeline_result run_good(struct plan *plan)
{
    struct pipeline_result result;
    struct error e = {0};
    if (run_plan(plan, NULL, &result, &e) != 0)
        fail_msg("%s: %s", error_name(e.code), e.message);
    return result;
}

/* ---- facts ---- */

static void take_likeness(const AVFrame *frame, struct frame_facts *facts)
{
    struct SwsContext *scaler =
        sws_getContext(frame->width, frame->height, frame->format, SIGNATURE, SIGNATURE,
                       AV_PIX_FMT_GRAY8, SWS_AREA | SWS_ACCURATE_RND, NULL, NULL, NULL);
    assert_non_null(scaler);
    uint8_t *planes[4] = {facts->likeness};
    int lines[4] = {SIGNATURE};
    sws_scale(scaler, (const uint8_t *const *)frame->data, frame->linesize, 0, frame->height,
              planes, lines);
    sws_freeContext(scaler);
    facts->width = frame->width;
    facts->height = frame->height;
}

static void note_frames(struct track_facts *track, AVCodecContext *codec, AVFrame *frame,
                        AVRational time_base)
{
    while (avcodec_receive_frame(codec, frame) >= 0) {
        if (track->kind == AVMEDIA_TYPE_AUDIO) {
            track->samples += frame->nb_samples;
            continue;
        }
        track->frames =
            realloc(track->frames, (size_t)(track->frame_count + 1) * sizeof *track->frames);
        struct frame_facts *facts = &track->frames[track->frame_count++];
        facts->time = (double)frame->best_effort_timestamp * av_q2d(time_base);
        take_likeness(frame, facts);
    }
}

static AVCodecContext *open_decoder(AVStream *stream)
{
    const AVCodec *codec = avcodec_find_decoder(stream->codecpar->codec_id);
    enum AVMediaType kind = stream->codecpar->codec_type;
    if (!codec || (kind != AVMEDIA_TYPE_VIDEO && kind != AVMEDIA_TYPE_AUDIO))
        return NULL;
    AVCodecContext *context = avcodec_alloc_context3(codec);
    avcodec_parameters_to_context(context, stream->codecpar);
    context->pkt_timebase = stream->time_base;
    context->thread_count = 1;
    assert_int_equal(avcodec_open2(context, codec, NULL), 0);
    return context;
}

static void note_packet(struct track_facts *track, const AVPacket *packet, AVRational time_base,
                        int64_t *last)
{
    int64_t pts = packet->pts != AV_NOPTS_VALUE ? packet->pts : packet->dts;
    double time = (double)pts * av_q2d(time_base);
    double end = (double)(pts + packet->duration) * av_q2d(time_base);
    track->start = track->packets == 0 ? time : fmin(track->start, time);
    track->end = track->packets == 0 ? end : fmax(track->end, end);
    track->rising &= *last == AV_NOPTS_VALUE || packet->dts > *last;
    *last = packet->dts;
    track->packets++;
    for (int i = 0; i < packet->size; i++) /* FNV-1a */
        track->hash = (track->hash ^ packet->data[i]) * UINT64_C(1099511628211);
}

static int rotation_of(const AVStream *stream)
{
    const uint8_t *matrix = compat_stream_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, NULL);
    if (!matrix)
        return 0;
    int32_t own[9];
    memcpy(own, matrix, sizeof own);
    return ((int)lrint(-av_display_rotation_get(own)) + 360) % 360;
}

static const char *tag_of(const AVStream *stream, const char *name)
{
    const AVDictionaryEntry *entry = av_dict_get(stream->metadata, name, NULL, 0);
    return entry ? entry->value : "";
}

struct file_facts facts_read(const char *path)
{
    struct file_facts facts = {0};
    assert_int_equal(avformat_open_input(&facts.context, path, NULL, NULL), 0);
    assert_true(avformat_find_stream_info(facts.context, NULL) >= 0);
    unsigned count = facts.context->nb_streams;
    facts.track_count = (int)count;
    facts.tracks = calloc(count, sizeof *facts.tracks);
    AVCodecContext **decoders = calloc(count, sizeof(AVCodecContext *));
    int64_t *last = calloc(count, sizeof *last);
    for (unsigned i = 0; i < count; i++) {
        AVStream *stream = facts.context->streams[i];
        facts.tracks[i] = (struct track_facts){
            .kind = stream->codecpar->codec_type,
            .codec = stream->codecpar->codec_id,
            .rising = true,
            .hash = UINT64_C(14695981039346656037),
            .width = stream->codecpar->width,
            .height = stream->codecpar->height,
            .rotation = rotation_of(stream),
            .language = tag_of(stream, "language"),
            .title = tag_of(stream, "title"),
            .disposition = stream->disposition,
        };
        decoders[i] = open_decoder(stream);
        last[i] = AV_NOPTS_VALUE;
    }
    AVPacket *packet = av_packet_alloc();
    AVFrame *frame = av_frame_alloc();
    while (av_read_frame(facts.context, packet) >= 0) {
        int i = packet->stream_index;
        AVRational time_base = facts.context->streams[i]->time_base;
        note_packet(&facts.tracks[i], packet, time_base, &last[i]);
        if (decoders[i]) {
            avcodec_send_packet(decoders[i], packet);
            note_frames(&facts.tracks[i], decoders[i], frame, time_base);
        }
        av_packet_unref(packet);
    }
    for (unsigned i = 0; i < count; i++) {
        if (decoders[i]) {
            avcodec_send_packet(decoders[i], NULL);
            note_frames(&facts.tracks[i], decoders[i], frame, facts.context->streams[i]->time_base);
        }
        avcodec_free_context(&decoders[i]);
    }
    av_packet_free(&packet);
    av_frame_free(&frame);
    free(decoders);
    free(last);
    return facts;
}

void facts_free(struct file_facts *facts)
{
    for (int i = 0; i < facts->track_count; i++)
        free(facts->tracks[i].frames);
    free(facts->tracks);
    avformat_close_input(&facts->context);
    *facts = (struct file_facts){0};
}

struct track_facts *facts_track(struct file_facts *facts, enum AVMediaType kind)
{
    for (int i = 0; i < facts->track_count; i++)
        if (facts->tracks[i].kind == kind)
            return &facts->tracks[i];
    fail_msg("the file has no track of kind %d", kind);
    return NULL;
}

double likeness_difference(const struct frame_facts *a, const struct frame_facts *b)
{
    int total = 0;
    for (int i = 0; i < SIGNATURE * SIGNATURE; i++)
        total += abs(a->likeness[i] - b->likeness[i]);
    return (double)total / (SIGNATURE * SIGNATURE);
}

int most_alike(const struct track_facts *track, const struct frame_facts *frame)
{
    int best = -1;
    double least = INFINITY;
    for (int i = 0; i < track->frame_count; i++) {
        double difference = likeness_difference(&track->frames[i], frame);
        if (difference < least) {
            least = difference;
            best = i;
        }
    }
    return best;
}

void assert_near(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%g is not %g within %g", value, expected, tolerance);
}
