/*
 * Whether video that is encoded can stand between what is copied so that a decoder doesn't notice.
 *
 * A container has one header a track, so a decoder is set up once for all segments. What is encoded
 * is made like the copied stream (size, pixel format, profile, clock), and what its own header
 * would have said is brought to the decoder in one of three ways:
 *
 *  - H.264 and HEVC: parameter sets have numbers. The encoder's get numbers that the stream doesn't
 *    use and stand beside the stream's in the track's header, where every player looks; each
 * picture names its own. Sets in the packets would be the alternative (avc3, hev1), but Apple's
 * players want them in the header (hvc1) and browsers are only sure of those.
 *  - MPEG-4: its headers stand in front of keyframes, also where the stream's own begins again.
 *  - MPEG-2, VP8, VP9, AV1: keyframes bring along everything.
 *
 * H.264 knows pictures at which decoding can begin, but not go on: one that is no IDR picture
 * counts on from those before it (8.2.1, 8.2.5.2). So a copied segment of it that isn't the first
 * must begin with an IDR picture.
 */
#include <libavutil/pixdesc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/compat.h"
#include "engine/cut_internal.h"
#include "engine/nal.h"
#include "engine/plan_build.h"
#include "engine/policy_internal.h"

static const struct {
    enum AVCodecID codec;
    const char *encoders;
} joinable[] = {
    {AV_CODEC_ID_H264, "libx264"},
    {AV_CODEC_ID_HEVC, "libx265"},
    {AV_CODEC_ID_MPEG4, "mpeg4"},
    {AV_CODEC_ID_VP9, "libvpx-vp9"},
    {AV_CODEC_ID_MPEG2VIDEO, "mpeg2video"},
    {AV_CODEC_ID_VP8, "libvpx"},
    {AV_CODEC_ID_AV1, "libsvtav1 libaom-av1 librav1e"},
};

static int refuse(struct error *e, int number, const char *reason)
{
    char path[32];
    snprintf(path, sizeof path, "segments[%d]", number + 1);
    error_set(e, ERROR_INVALID_OPTION, "segment %d can't be joined with what is copied: %s",
              number + 1, reason);
    error_place(e, path, NULL, "a sequence of frames, which is encoded as a whole");
    return ERROR_INVALID_OPTION;
}

static const struct media_stream *source_of(const struct plan *plan, struct plan_edge edge)
{
    return plan_edge_stream(plan, plan->nodes[edge.node]->inputs[0]);
}

/* ---- the copied stream ---- */

static bool encoder_takes(const AVCodec *encoder, enum AVPixelFormat format)
{
    const enum AVPixelFormat *list = compat_encoder_pixel_formats(encoder);
    while (list && *list != AV_PIX_FMT_NONE && *list != format) {
        list++;
    }
    return list && *list == format;
}

/* Profiles of H.264 that x264 makes: annex A. */
static bool makes_profile(int profile)
{
    static const int made[] = {66, 66 | 1 << 9, 77, 100, 110, 122, 244};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
        if (made[i] == profile) {
            return true;
        }
    }
    return false;
}

/* NULL, or why an encoder can't make the like of a stream. */
static const char *unlike(const struct media_stream *stream, const AVCodec *encoder)
{
    const AVCodecParameters *parameters = stream->parameters;
    bool known = false;
    for (size_t i = 0; i < sizeof joinable / sizeof *joinable; i++) {
        known |= joinable[i].codec == parameters->codec_id &&
                 policy_listed(encoder->name, joinable[i].encoders);
    }
    if (!known) {
        return "no encoder here makes what fits to it";
    }
    if (!encoder_takes(encoder, stream->pixel_format)) {
        return "the encoder doesn't take its pixel format";
    }
    if (stream->color.dolby_vision) {
        return "it is Dolby Vision, which the encoder doesn't make";
    }
    bool numbered =
        parameters->codec_id == AV_CODEC_ID_H264 || parameters->codec_id == AV_CODEC_ID_HEVC;
    if (numbered && stream->interlaced) {
        return "it is interlaced";
    }
    if (numbered && parameters->extradata_size <= 0) {
        return "it has no header";
    }
    int prefix = numbered ? nal_prefix(parameters) : 0;
    if (prefix == 1 || prefix == 2) {
        return "its packets have no room for slices of more than 64 KB";
    }
    if (parameters->codec_id == AV_CODEC_ID_H264 && !makes_profile(parameters->profile)) {
        return "the encoder doesn't make its profile";
    }
    return NULL;
}

/* ---- each segment ---- */

/* NULL, or why what is encoded can't be like the copied stream. */
static const char *misfit(const struct plan *plan, const struct plan_node *node,
                          const struct media_stream *leader)
{
    const struct media_stream *source = plan_edge_stream(plan, node->inputs[0]);
    if (plan_setting(node, "frame_rate") || plan_setting(node, "pixel_format")) {
        return "its frame rate and pixel format follow what is copied";
    }
    bool turned = leader->rotation != 0 || leader->flipped;
    if (turned &&
        (!source || source->rotation != leader->rotation || source->flipped != leader->flipped)) {
        return "what is copied is turned by the player, and this isn't";
    }
    return NULL;
}

static bool same_settings(const struct plan_node *a, const struct plan_node *b)
{
    bool same = a->encoder == b->encoder && a->settings.count == b->settings.count;
    for (int i = 0; same && i < a->settings.count; i++) {
        same = !strcmp(a->settings.list[i].name, b->settings.list[i].name) &&
               !strcmp(a->settings.list[i].value, b->settings.list[i].value);
    }
    return same;
}

/* The highest number below 16 (all that HEVC has) that no set in use has; -1 if there is none. */
static int free_id(bool used[NAL_IDS])
{
    int id = 15;
    while (id >= 0 && used[id]) {
        id--;
    }
    if (id >= 0) {
        used[id] = true;
    }
    return id;
}

static int number_sets(const struct plan *plan, const struct plan_segment *segments, int count,
                       const AVCodecParameters *leader, struct plan_join *join, struct error *e)
{
    bool used[NAL_IDS] = {false};
    nal_mark_ids(leader, used);
    for (int i = 0; i < count; i++) {
        const struct plan_node *node = plan->nodes[segments[i].edge.node];
        join->ids[i] = -1;
        for (int k = 0; node->kind == PLAN_ENCODE && k < i && join->ids[i] < 0; k++) {
            const struct plan_node *other = plan->nodes[segments[k].edge.node];
            if (other->kind == PLAN_ENCODE && same_settings(node, other)) {
                join->ids[i] = join->ids[k];
            }
        }
        if (node->kind == PLAN_ENCODE && join->ids[i] < 0 && (join->ids[i] = free_id(used)) < 0) {
            return refuse(e, i, "too many parts are encoded in different ways");
        }
    }
    return 0;
}

/* ---- where copies begin ---- */

static bool is_idr(const AVPacket *packet, const AVCodecParameters *parameters)
{
    struct nal_reader reader;
    struct nal_unit unit;
    nal_begin(&reader, parameters->codec_id, nal_prefix(parameters), packet->data,
              (size_t)packet->size);
    while (nal_next(&reader, &unit)) {
        int type = nal_type(parameters->codec_id, &unit);
        if (type >= NAL_H264_SLICE && type <= NAL_H264_IDR) {
            return type == NAL_H264_IDR;
        }
    }
    return false;
}

static int check_begin(const struct plan *plan, struct plan_edge stream, int number,
                       struct error *e)
{
    const struct plan_node *input = plan->nodes[stream.node];
    struct cut_reader reader;
    int code = cut_reader_open(&reader, plan, stream, e);
    if (code < 0) {
        return code;
    }
    code = cut_reader_seek(&reader, cut_reader_ticks(&reader, input->start, AV_ROUND_DOWN), e);
    bool good = code > 0 && is_idr(reader.packet, reader.stream->codecpar);
    cut_reader_close(&reader);
    if (code >= 0 && !good) {
        code = refuse(e, number,
                      "it doesn't begin with an IDR picture, and H.264 counts on from the "
                      "pictures before any other");
    }
    return FFMIN(code, 0);
}

int plan_check_begins(const struct plan *plan, const struct plan_segment *segments, int count,
                      struct error *e)
{
    int code = 0;
    for (int i = 1; i < count && code >= 0; i++) {
        const struct plan_node *node = plan->nodes[segments[i].edge.node];
        const struct media_stream *stream = plan_edge_stream(plan, node->inputs[0]);
        if (node->kind == PLAN_COPY && stream->parameters->codec_id == AV_CODEC_ID_H264) {
            code = check_begin(plan, node->inputs[0], i, e);
        }
    }
    return code;
}

int plan_join_create(struct plan_join **out, const struct plan *plan,
                     const struct plan_segment *segments, int count, struct error *e)
{
    int first = 0;
    *out = NULL;
    while (plan->nodes[segments[first].edge.node]->kind != PLAN_COPY) {
        first++;
    }
    const struct media_stream *leader = source_of(plan, segments[first].edge);
    for (int i = 0; i < count; i++) {
        const struct plan_node *node = plan->nodes[segments[i].edge.node];
        const char *reason = NULL;
        if (node->kind == PLAN_ENCODE) {
            reason = unlike(leader, node->encoder);
            reason = reason ? reason : misfit(plan, node, leader);
        } else if (node->bsf) {
            reason = "its packets are changed by a bitstream filter";
        }
        if (reason) {
            return refuse(e, i, reason);
        }
    }
    struct plan_join *join = calloc(1, sizeof *join);
    if (join) {
        join->ids = calloc((size_t)count, sizeof *join->ids);
    }
    if (!join || !join->ids) {
        plan_join_destroy(&join);
        return plan_out_of_memory(e);
    }
    join->leader = plan->nodes[segments[first].edge.node]->inputs[0];
    int code = number_sets(plan, segments, count, leader->parameters, join, e);
    if (code < 0) {
        plan_join_destroy(&join);
    }
    *out = join;
    return code;
}

void plan_join_destroy(struct plan_join **join)
{
    if (*join) {
        free((*join)->ids);
    }
    free(*join);
    *join = NULL;
}
