/*
 * Adding a sequence: whether its segments are of one kind and can stand one after the other.
 *
 * Copied segments share one track header, so what stands there (the codec's parameters) must be the
 * same for all of them, unless the codec repeats it in its packets.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/introspect_internal.h"
#include "engine/plan_build.h"
#include "engine/timestamp.h"

static const double LONGEST = 1e7; /* seconds of a segment */
static const double LONGEST_SUM = TIMESTAMP_MOST_SECONDS;

static int refuse(struct error *e, int number, const char *expected)
{
    char path[32];
    snprintf(path, sizeof path, "segments[%d]", number + 1);
    error_place(e, path, NULL, expected);
    return ERROR_INVALID_OPTION;
}

static bool gives_packets(const struct plan_node *node)
{
    return node->kind == PLAN_COPY || node->kind == PLAN_ENCODE ||
           (node->kind == PLAN_SEQUENCE && node->packets);
}

/* ---- each by itself ---- */

static int check_duration(const struct plan *plan, const struct plan_segment *segment, int number,
                          struct error *e)
{
    bool given = !isnan(segment->duration) && segment->duration != 0;
    if (given && !(segment->duration > 0 && segment->duration <= LONGEST)) {
        char got[32];
        snprintf(got, sizeof got, "%g", segment->duration);
        error_set(e, ERROR_INVALID_OPTION, "segment %d can't last %s s", number + 1, got);
        return refuse(e, number, "seconds, more than 0");
    }
    if (!given && plan->nodes[segment->edge.node]->endless) {
        error_set(e, ERROR_INVALID_OPTION, "segment %d would never end", number + 1);
        return refuse(e, number, "a duration, or a trim after the source");
    }
    return 0;
}

static int check_packets(const struct plan *plan, struct plan_edge edge, int number,
                         struct error *e)
{
    const struct plan_node *node = plan->nodes[edge.node];
    const struct media_stream *stream = plan_edge_stream(plan, node->inputs[0]);
    if (node->kind == PLAN_SEQUENCE) {
        error_set(e, ERROR_INVALID_OPTION, "segment %d is a sequence itself", number + 1);
        return refuse(e, number, "its segments");
    }
    if (stream && stream->attached_picture) {
        error_set(e, ERROR_INVALID_OPTION, "segment %d is a cover picture", number + 1);
        return refuse(e, number, "a stream with time");
    }
    if (stream && node->kind == PLAN_COPY && stream->interlaced &&
        stream->parameters->codec_id == AV_CODEC_ID_H264 &&
        !strcmp(plan->nodes[node->inputs[0].node]->file->media->format, "mpegts")) {
        error_set(e, ERROR_INVALID_OPTION,
                  "segment %d can't be copied: it is interlaced, and a transport stream may have "
                  "its fields in packets of their own, without times",
                  number + 1);
        return refuse(e, number, "an encode");
    }
    if (plan_two_passes(node)) {
        error_set(e, ERROR_INVALID_OPTION, "segment %d wants two passes, which one part can't have",
                  number + 1);
        return refuse(e, number, "an encode in one pass");
    }
    if (plan_setting(node, "time_factor") || plan_setting(node, "time_offset")) {
        error_set(e, ERROR_INVALID_OPTION, "segment %d is retimed, which a sequence can't keep",
                  number + 1);
        return refuse(e, number, "a track without retime");
    }
    return 0;
}

static int check_segment(const struct plan *plan, const struct plan_segment *segment, int number,
                         struct error *e)
{
    struct plan_type type;
    char what[32];
    snprintf(what, sizeof what, "segment %d", number + 1);
    if (!plan_edge_type(plan, segment->edge, &type)) {
        return error_set(e, ERROR_INTERNAL, "there is no segment %d", number + 1);
    }
    int code = check_duration(plan, segment, number, e);
    if (code >= 0 && gives_packets(plan->nodes[segment->edge.node])) {
        return check_packets(plan, segment->edge, number, e);
    }
    if (code >= 0) {
        code = plan_check_frames(plan, segment->edge, what, e);
    }
    return code < 0 ? code : plan_refuse_palette(plan, segment->edge, what, e);
}

/* ---- all together ---- */

static int check_alike(const struct plan *plan, const struct plan_segment *segments, int number,
                       struct error *e)
{
    struct plan_type first;
    struct plan_type type;
    plan_edge_type(plan, segments[0].edge, &first);
    plan_edge_type(plan, segments[number].edge, &type);
    if (type.kind != first.kind) {
        error_set(e, ERROR_INVALID_OPTION, "segment %d is %s, the first is %s", number + 1,
                  introspect_kind(type.kind), introspect_kind(first.kind));
        return refuse(e, number, introspect_kind(first.kind));
    }
    bool packets = gives_packets(plan->nodes[segments[0].edge.node]);
    if (gives_packets(plan->nodes[segments[number].edge.node]) != packets) {
        error_set(e, ERROR_INVALID_OPTION, "segment %d is %s, the first is %s", number + 1,
                  packets ? "frames" : "a track", packets ? "a track" : "frames");
        return refuse(e, number,
                      packets ? "a track that is copied or encoded" : "a stream of frames");
    }
    if (packets && strcmp(type.codec, first.codec) != 0) {
        error_set(e, ERROR_INVALID_OPTION, "segment %d is %s, the first is %s", number + 1,
                  type.codec, first.codec);
        return refuse(e, number, first.codec);
    }
    return 0;
}

/* ---- packets ---- */

/* Codecs of which every packet, or every keyframe, brings along all that a decoder must know. */
static bool explains_itself(enum AVCodecID codec)
{
    switch (codec) {
    case AV_CODEC_ID_MPEG1VIDEO:
    case AV_CODEC_ID_MPEG2VIDEO:
    case AV_CODEC_ID_VP8:
    case AV_CODEC_ID_VP9:
    case AV_CODEC_ID_MJPEG:
    case AV_CODEC_ID_PRORES:
    case AV_CODEC_ID_DNXHD:
    case AV_CODEC_ID_MP2:
    case AV_CODEC_ID_MP3:
    case AV_CODEC_ID_AC3:
    case AV_CODEC_ID_EAC3:
    case AV_CODEC_ID_DTS:
        return true;
    default:
        return false;
    }
}

static bool same_header(const AVCodecParameters *a, const AVCodecParameters *b)
{
    return a->extradata_size == b->extradata_size &&
           (a->extradata_size == 0 ||
            memcmp(a->extradata, b->extradata, (size_t)a->extradata_size) == 0);
}

static const char *difference(const AVCodecParameters *a, const AVCodecParameters *b)
{
    if (a->width != b->width || a->height != b->height) {
        return "its pictures have another size";
    }
    if (a->codec_type == AVMEDIA_TYPE_VIDEO && a->format != b->format) {
        return "its pictures have another pixel format";
    }
    if (a->sample_rate != b->sample_rate) {
        return "it has another sample rate";
    }
    if (a->ch_layout.nb_channels != b->ch_layout.nb_channels) {
        return "it has another number of channels";
    }
    bool text = a->codec_type == AVMEDIA_TYPE_SUBTITLE;
    if (!text && !explains_itself(a->codec_id) && !same_header(a, b)) {
        return "its codec is set up in another way";
    }
    return NULL;
}

static const AVCodecParameters *copied(const struct plan *plan, struct plan_edge edge)
{
    const struct plan_node *node = plan->nodes[edge.node];
    return node->kind == PLAN_COPY ? plan_edge_stream(plan, node->inputs[0])->parameters : NULL;
}

static int check_copies(const struct plan *plan, const struct plan_segment *segments, int count,
                        struct error *e)
{
    const AVCodecParameters *first = NULL;
    for (int i = 0; i < count; i++) {
        const AVCodecParameters *parameters = copied(plan, segments[i].edge);
        const char *reason = parameters && first ? difference(first, parameters) : NULL;
        if (reason) {
            error_set(e, ERROR_INVALID_OPTION, "segment %d can't be copied behind the others: %s",
                      i + 1, reason);
            return refuse(e, i, "the same parameters, or an encode of them all");
        }
        first = first ? first : parameters;
    }
    return 0;
}

static int check_mixture(const struct plan *plan, const struct plan_segment *segments, int count,
                         struct plan_join **join, struct error *e)
{
    struct plan_type type;
    int copies = 0;
    plan_edge_type(plan, segments[0].edge, &type);
    for (int i = 0; i < count; i++) {
        copies += copied(plan, segments[i].edge) != NULL;
    }
    if (type.kind == AVMEDIA_TYPE_VIDEO && copies > 0) {
        int code = plan_check_begins(plan, segments, count, e);
        return copies == count || code < 0 ? code
                                           : plan_join_create(join, plan, segments, count, e);
    }
    if (copies == count || type.kind == AVMEDIA_TYPE_SUBTITLE || count == 1) {
        return 0;
    }
    error_set(e, ERROR_INVALID_OPTION, "%s that is encoded in parts can't be joined%s",
              introspect_kind(type.kind), copies ? " with what is copied" : "");
    return refuse(e, 0, "a sequence of frames, which is encoded as a whole");
}

/* The clock on which packets are told: that of the copies, if they have one. */
static AVRational choose_time_base(const struct plan *plan, const struct plan_segment *segments,
                                   int count)
{
    AVRational chosen = {0, 1};
    for (int i = 0; i < count; i++) {
        const struct plan_node *node = plan->nodes[segments[i].edge.node];
        const struct media_stream *stream = plan_edge_stream(plan, node->inputs[0]);
        if (!stream) {
            continue;
        }
        AVRational own = stream->time_base;
        if (stream->kind == AVMEDIA_TYPE_AUDIO && stream->sample_rate > 0) {
            own = (AVRational){1, stream->sample_rate};
        }
        if (chosen.num == 0 || av_cmp_q(own, chosen) < 0) {
            chosen = own;
        }
    }
    const AVRational finest = {1, 1000000};
    return chosen.num == 0 || av_cmp_q(chosen, finest) < 0 ? finest : chosen;
}

/* ---- adding ---- */

/* A sequence is called what its first segment is called. */
static int copy_track_options(struct plan_node *node, const struct plan_node *first,
                              struct error *e)
{
    static const char *const names[] = {"language", "title", "default", "forced"};
    struct plan_option options[4];
    int count = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = plan_setting(first, names[i]);
        if (value) {
            options[count++] = (struct plan_option){names[i], value};
        }
    }
    return plan_settings_copy(&node->settings, options, count, e);
}

static int fill_node(struct plan *plan, struct plan_node *node, const struct plan_segment *segments,
                     int count, struct error *e)
{
    struct plan_type type;
    plan_edge_type(plan, segments[0].edge, &type);
    const struct plan_node *first = plan->nodes[segments[0].edge.node];
    node->durations = calloc((size_t)count, sizeof *node->durations);
    if (!node->durations) {
        return plan_out_of_memory(e);
    }
    for (int i = 0; i < count; i++) {
        node->durations[i] = segments[i].duration > 0 ? segments[i].duration : NAN;
    }
    node->pad_count = 1;
    node->kind_of_track = type.kind;
    node->packets = gives_packets(first);
    if (!node->packets) {
        return 0;
    }
    const AVCodecDescriptor *codec = avcodec_descriptor_get_by_name(type.codec);
    node->codec = codec ? codec->id : AV_CODEC_ID_NONE;
    node->time_base = choose_time_base(plan, segments, count);
    for (int i = 0; i < count; i++) {
        const AVCodecParameters *parameters = copied(plan, segments[i].edge);
        node->delay = FFMAX(node->delay, parameters ? parameters->video_delay : 0);
    }
    return copy_track_options(node, first, e);
}

int plan_add_sequence(struct plan *plan, const struct plan_segment *segments, int count,
                      struct error *e)
{
    int code = 0;
    struct plan_join *join = NULL;
    if (count < 1) {
        error_set(e, ERROR_INVALID_OPTION, "a sequence has at least one segment");
        error_place(e, "segments", "none", "a list of streams or of tracks");
        return ERROR_INVALID_OPTION;
    }
    double sum = 0;
    for (int i = 0; code >= 0 && i < count; i++) {
        code = check_segment(plan, &segments[i], i, e);
        if (code >= 0) {
            code = check_alike(plan, segments, i, e);
        }
        sum += segments[i].duration > 0 ? segments[i].duration : 0;
        if (code >= 0 && sum > LONGEST_SUM) {
            error_set(e, ERROR_INVALID_OPTION, "a sequence can't last more than %.0f s",
                      LONGEST_SUM);
            code = refuse(e, i, "less");
        }
    }
    if (code >= 0 && gives_packets(plan->nodes[segments[0].edge.node])) {
        code = check_copies(plan, segments, count, e);
        if (code >= 0) {
            code = check_mixture(plan, segments, count, &join, e);
        }
    }
    if (code < 0) {
        return code;
    }
    struct plan_edge *edges = calloc((size_t)count, sizeof *edges);
    struct plan_node *node = NULL;
    if (!edges) {
        plan_join_destroy(&join);
        return plan_out_of_memory(e);
    }
    for (int i = 0; i < count; i++) {
        edges[i] = segments[i].edge;
    }
    code = plan_node_alloc(&node, plan, PLAN_SEQUENCE, edges, count, e);
    free(edges);
    if (code >= 0) {
        node->join = join;
        code = fill_node(plan, node, segments, count, e);
    } else {
        plan_join_destroy(&join);
    }
    if (code < 0) {
        plan_node_free(node);
        return code;
    }
    return plan_append(plan, node, e);
}
