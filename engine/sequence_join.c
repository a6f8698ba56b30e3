/*
 * Encoded segments between copied ones: the track's header, and what packets lack of it. The ways
 * are told in plan_join.c.
 */
#include <string.h>

#include "engine/encode_internal.h"
#include "engine/sequence_internal.h"

static bool has_sets(enum AVCodecID codec)
{
    return codec == AV_CODEC_ID_H264 || codec == AV_CODEC_ID_HEVC;
}

static int no_memory(struct error *e)
{
    return error_set(e, ERROR_OUT_OF_MEMORY, "no memory to join segments");
}

bool sequence_is_turned(const struct sequence *sequence)
{
    const struct plan_join *join = sequence->node->join;
    if (!join)
        return false;
    const struct plan_node *input = sequence->stage.run->plan->nodes[join->leader.node];
    const struct media_stream *leader = &input->file->media->streams[join->leader.pad];
    return leader->rotation != 0 || leader->flipped;
}

/* ---- the header ---- */

/* x264 numbers its sets as it is told; those of x265 are numbered anew. */
static int number_sets(struct sequence *sequence, int id, struct nal_bytes *made, struct error *e)
{
    struct nal_bytes *sets = &sequence->sets[id];
    if (sequence->node->codec != AV_CODEC_ID_HEVC) {
        *sets = *made;
        *made = (struct nal_bytes){0};
        return 0;
    }
    int code = hevc_ids_init(&sequence->ids[id], (unsigned)id, made, sets);
    return code < 0 ? error_set_av(e, ERROR_ENCODE_FAILED, code,
                                   "the encoder's header can't be brought beside another")
                    : 0;
}

/* The sets of one way to encode go into the header, once. */
static int add_header(struct sequence *sequence, int segment, AVCodecParameters *parameters,
                      struct error *e)
{
    struct run *run = sequence->stage.run;
    int id = sequence->node->join->ids[segment], delay = 0;
    struct nal_bytes *sets = &sequence->sets[id], made = {0};
    if (sets->size > 0)
        return 0;
    int code = encode_join_header(run, sequence->node, segment, &made, &delay, e);
    if (code == 0)
        code = number_sets(sequence, id, &made, e);
    nal_bytes_finish(&made);
    if (code < 0)
        return code;
    sequence->delay = FFMAX(sequence->delay, FFMIN(delay, REORDER_MOST));
    code = nal_add_sets(parameters, sets);
    return code < 0 ? error_set_av(e, ERROR_ENCODE_FAILED, code,
                                   "the track's header has no room for what is encoded")
                    : 0;
}

int sequence_join_open(struct sequence *sequence, struct error *e)
{
    const struct plan_join *join = sequence->node->join;
    const struct plan_node *input = sequence->stage.run->plan->nodes[join->leader.node];
    const AVStream *leader = input->file->media->holder->streams[join->leader.pad];
    struct track_format format = {0};
    int code = track_format_init(&format);
    if (code >= 0)
        code = track_format_copy(&format, leader);
    code = code < 0 ? no_memory(e) : 0;
    for (int i = 0; i < sequence->node->input_count && code == 0; i++) {
        if (join->ids[i] >= 0 && has_sets(sequence->node->codec))
            code = add_header(sequence, i, format.stream->codecpar, e);
    }
    if (code == 0)
        code = sequence_open(sequence, &format, NULL, e);
    track_format_finish(&format);
    return code;
}

/* ---- packets ---- */

/* Puts other bytes into a packet, with the same properties. Consumes them. */
static int replace_payload(AVPacket *packet, struct nal_bytes *bytes, struct error *e)
{
    AVBufferRef *buffer = NULL;
    if (!bytes->failed) {
        buffer = av_buffer_create(bytes->data, bytes->size + AV_INPUT_BUFFER_PADDING_SIZE, NULL,
                                  NULL, 0);
    }
    if (!buffer) {
        nal_bytes_finish(bytes);
        return no_memory(e);
    }
    av_buffer_unref(&packet->buf);
    packet->buf = buffer;
    packet->data = bytes->data;
    packet->size = (int)bytes->size;
    *bytes = (struct nal_bytes){0};
    return 0;
}

/* From start codes to what the track has; where that is start codes as well, decoders may begin
 * anywhere, so keyframes bring their sets along. */
static int fit_units(struct sequence *sequence, AVPacket *packet, struct error *e)
{
    enum AVCodecID codec = sequence->node->codec;
    int id = sequence->node->join->ids[sequence->segment], code = 0;
    const struct nal_bytes *sets = &sequence->sets[id];
    struct nal_bytes out = {0};
    struct nal_reader reader;
    struct nal_unit unit;
    if (sequence->prefix == 0 && (packet->flags & AV_PKT_FLAG_KEY))
        nal_put(&out, sets->data, sets->size);
    nal_begin(&reader, codec, 0, packet->data, (size_t)packet->size);
    while (code >= 0 && nal_next(&reader, &unit)) {
        int type = nal_type(codec, &unit);
        struct nal_bytes slice = {0};
        if (codec == AV_CODEC_ID_HEVC && type < NAL_HEVC_VPS) {
            code = hevc_ids_slice(&sequence->ids[id], &unit, &slice);
            nal_put_unit(&out, sequence->prefix, slice.data, slice.size);
        } else if (!nal_is_set(codec, type)) {
            nal_put_unit(&out, sequence->prefix, unit.data, unit.size);
        }
        nal_bytes_finish(&slice);
    }
    if (code < 0) {
        nal_bytes_finish(&out);
        return error_set_av(e, ERROR_ENCODE_FAILED, code, "what is encoded can't be joined");
    }
    return replace_payload(packet, &out, e);
}

/* A picture of HEVC at which decoding may begin, but which counts on from others if there are some,
 * becomes one that begins anew: a CRA picture a BLA picture without leading ones, which have been
 * left out. The two differ in nothing but the type in front (H.265, 3.12 and 7.4.2.2). The end of a
 * sequence in front of it would do the same, but drops what is still to be shown (C.5.2.2). */
static int begin_anew(const struct sequence *sequence, AVPacket *packet, struct error *e)
{
    struct nal_reader reader;
    struct nal_unit unit;
    if (av_packet_make_writable(packet) < 0)
        return no_memory(e);
    nal_begin(&reader, AV_CODEC_ID_HEVC, sequence->prefix, packet->data, (size_t)packet->size);
    while (nal_next(&reader, &unit)) {
        uint8_t *type = packet->data + (unit.data - packet->data);
        if (nal_type(AV_CODEC_ID_HEVC, &unit) == NAL_HEVC_CRA)
            *type = (uint8_t)((*type & 0x81) | NAL_HEVC_BLA_ALONE << 1);
    }
    return 0;
}

/* MPEG-4 headers of a visual object or one of its layers (ISO/IEC 14496-2, table 6-3). */
static bool has_mpeg4_header(const AVPacket *packet)
{
    static const uint8_t start[] = {0, 0, 1};
    for (int i = 0; i + 4 <= packet->size; i++) {
        uint8_t code = memcmp(packet->data + i, start, 3) == 0 ? packet->data[i + 3] : 0;
        if (code >= 0x20 && code <= 0x2f)
            return true;
        if (code == 0xb6) /* a picture */
            return false;
    }
    return false;
}

/* The stream's own header again, after one that an encoder has put in. */
static int bring_header(struct sequence *sequence, AVPacket *packet, struct error *e)
{
    const AVCodecParameters *parameters = sequence->format.stream->codecpar;
    if (has_mpeg4_header(packet) || parameters->extradata_size <= 0)
        return 0;
    struct nal_bytes out = {0};
    nal_put(&out, parameters->extradata, (size_t)parameters->extradata_size);
    nal_put(&out, packet->data, (size_t)packet->size);
    return replace_payload(packet, &out, e);
}

int sequence_join_packet(struct sequence *sequence, bool copied, AVPacket *packet, struct error *e)
{
    enum AVCodecID codec = sequence->node->codec;
    if (!copied && sequence->node->join && has_sets(codec))
        return fit_units(sequence, packet, e);
    if (!copied || sequence->started || sequence->segment == 0)
        return 0;
    if (codec == AV_CODEC_ID_MPEG4 && sequence->node->join)
        return bring_header(sequence, packet, e);
    return codec == AV_CODEC_ID_HEVC ? begin_anew(sequence, packet, e) : 0;
}
