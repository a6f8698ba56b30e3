/*
 * Encoded segments between copied ones: the track's header, and what packets lack of it. The ways
 * are told in plan_join.c.
 */
#include <string.h>

#include "engine/encode_internal.h"
#include "engine/sequence_internal.h"

static bool has_sets(enum AVCodecID codec)
{
    return codec == AV_CODEC_ID_H264;
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

/* The sets of one way to encode go into the header, once. */
static int add_header(struct sequence *sequence, int segment, AVCodecParameters *parameters,
                      struct error *e)
{
    struct run *run = sequence->stage.run;
    struct nal_bytes *sets = &sequence->sets[sequence->node->join->ids[segment]];
    int delay = 0;
    if (sets->size > 0)
        return 0;
    int code = encode_join_header(run, sequence->node, segment, sets, &delay, e);
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
    sequence->prefix = nal_prefix(leader->codecpar);
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
    const struct nal_bytes *sets = &sequence->sets[sequence->node->join->ids[sequence->segment]];
    struct nal_bytes out = {0};
    struct nal_reader reader;
    struct nal_unit unit;
    if (sequence->prefix == 0 && (packet->flags & AV_PKT_FLAG_KEY))
        nal_put(&out, sets->data, sets->size);
    nal_begin(&reader, codec, 0, packet->data, (size_t)packet->size);
    while (nal_next(&reader, &unit)) {
        if (!nal_is_set(codec, nal_type(codec, &unit)))
            nal_put_unit(&out, sequence->prefix, unit.data, unit.size);
    }
    return replace_payload(packet, &out, e);
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
    if (sequence->segment == 0 || has_mpeg4_header(packet) || parameters->extradata_size <= 0)
        return 0;
    struct nal_bytes out = {0};
    nal_put(&out, parameters->extradata, (size_t)parameters->extradata_size);
    nal_put(&out, packet->data, (size_t)packet->size);
    return replace_payload(packet, &out, e);
}

int sequence_join_packet(struct sequence *sequence, bool copied, AVPacket *packet, struct error *e)
{
    enum AVCodecID codec = sequence->node->codec;
    if (!copied && has_sets(codec))
        return fit_units(sequence, packet, e);
    if (copied && !sequence->started && codec == AV_CODEC_ID_MPEG4)
        return bring_header(sequence, packet, e);
    return 0;
}
