/*
 * Just enough of each codec's syntax: types of NAL units, start codes, OBUs and the first bits of
 * frame headers. Nothing here trusts a length that it read.
 */
#include "engine/access.h"

#include <stdint.h>

#include <libavcodec/avcodec.h>

struct bytes {
    const uint8_t *at, *end;
};

static size_t left(const struct bytes *bytes)
{
    return (size_t)(bytes->end - bytes->at);
}

/* ---- NAL units ---- */

/* Behind the next 00 00 01; false if there is none. */
static bool skip_start_code(struct bytes *bytes)
{
    for (; left(bytes) >= 3; bytes->at++) {
        if (bytes->at[0] == 0 && bytes->at[1] == 0 && bytes->at[2] == 1) {
            bytes->at += 3;
            return true;
        }
    }
    bytes->at = bytes->end;
    return false;
}

/* The next unit, without its length or start code; false at the end. */
static bool next_unit(const struct access *access, struct bytes *bytes, struct bytes *unit)
{
    while (access->prefix == 0) {
        if (!skip_start_code(bytes))
            return false;
        *unit = *bytes;
        struct bytes ahead = *bytes;
        if (skip_start_code(&ahead))
            unit->end = ahead.at - 3;
        bytes->at = unit->end;
        if (unit->at < unit->end)
            return true;
    }
    size_t length = 0;
    if (left(bytes) < (size_t)access->prefix)
        return false;
    for (int i = 0; i < access->prefix; i++)
        length = length << 8 | *bytes->at++;
    if (length == 0 || length > left(bytes))
        return false;
    *unit = (struct bytes){bytes->at, bytes->at + length};
    bytes->at += length;
    return true;
}

/* A value of an SEI header: bytes of 255 and a last one, added (H.264, 7.3.2.3.1). */
static size_t sei_value(struct bytes *unit)
{
    size_t value = 0;
    while (unit->at < unit->end && *unit->at == 255) {
        value += 255;
        unit->at++;
    }
    return unit->at < unit->end ? value + *unit->at++ : SIZE_MAX;
}

/* True for a recovery point message (payload type 6) whose first bit is 1: recovery_frame_cnt is
 * then 0, and decoding is right from this picture on (H.264, D.2.8). */
static bool has_recovery_point(struct bytes unit)
{
    enum { RECOVERY_POINT = 6 };
    unit.at++;
    while (left(&unit) > 2) {
        size_t type = sei_value(&unit), size = sei_value(&unit);
        if (size > left(&unit))
            return false;
        if (type == RECOVERY_POINT)
            return size > 0 && (*unit.at & 0x80) != 0;
        unit.at += size;
    }
    return false;
}

enum h264_point { H264_NONE, H264_RECOVERY, H264_IDR };

static enum h264_point h264_point(const struct access *access, struct bytes bytes)
{
    enum { SLICE = 1, PARTITION = 2, IDR = 5, SEI = 6 };
    struct bytes unit;
    bool recovery = false;
    while (next_unit(access, &bytes, &unit)) {
        int type = *unit.at & 31;
        if (type == IDR)
            return H264_IDR;
        if (type == SLICE || type == PARTITION)
            return recovery ? H264_RECOVERY : H264_NONE;
        if (type == SEI)
            recovery |= has_recovery_point(unit);
    }
    return H264_NONE;
}

/* IDR, BLA and CRA pictures (H.265, 7.4.2.2). */
static bool hevc_point(const struct access *access, struct bytes bytes)
{
    enum { FIRST = 16, LAST = 21, PICTURES = 32 };
    struct bytes unit;
    while (next_unit(access, &bytes, &unit)) {
        int type = *unit.at >> 1 & 63;
        if (type < PICTURES)
            return type >= FIRST && type <= LAST;
    }
    return false;
}

/* ---- MPEG-1, MPEG-2, MPEG-4 ---- */

/* A sequence header, then an intra picture (H.262, 6.2.2 and 6.2.3). */
static bool mpeg_point(struct bytes bytes)
{
    enum { PICTURE = 0x00, SEQUENCE = 0xB3, INTRA = 1 };
    bool sequence = false;
    while (skip_start_code(&bytes) && left(&bytes) >= 3) {
        if (*bytes.at == SEQUENCE)
            sequence = true;
        if (*bytes.at == PICTURE)
            return sequence && (bytes.at[2] >> 3 & 7) == INTRA;
    }
    return false;
}

/* A group's header with closed_gop, bit 25 behind the start code (H.262, 6.2.2.6). */
static bool mpeg_closed(struct bytes bytes)
{
    enum { PICTURE = 0x00, GROUP = 0xB8, CLOSED = 0x40 };
    while (skip_start_code(&bytes) && left(&bytes) >= 5 && *bytes.at != PICTURE) {
        if (*bytes.at == GROUP)
            return (bytes.at[4] & CLOSED) != 0;
    }
    return false;
}

enum { MPEG4_PICTURE = 0xB6 };

static bool mpeg4_point(struct bytes bytes)
{
    while (skip_start_code(&bytes) && left(&bytes) >= 2) {
        if (*bytes.at == MPEG4_PICTURE)
            return bytes.at[1] >> 6 == 0;
    }
    return false;
}

/* ---- VP8, VP9, AV1 ---- */

static bool vp8_point(struct bytes bytes)
{
    return left(&bytes) > 0 && (*bytes.at & 1) == 0;
}

/* frame_marker, profile, show_existing_frame, frame_type (VP9, 6.2). */
static bool vp9_point(struct bytes bytes)
{
    if (left(&bytes) == 0 || *bytes.at >> 6 != 2)
        return false;
    bool longest = (*bytes.at & 0x30) == 0x30; /* profile 3 has a reserved bit more */
    int shift = longest ? 1 : 2;
    return (*bytes.at >> shift & 3) == 0;
}

/* A number in groups of seven bits (AV1, 4.10.5). */
static size_t leb128(struct bytes *bytes)
{
    size_t value = 0;
    for (int i = 0; i < 4 && bytes->at < bytes->end; i++) {
        uint8_t byte = *bytes->at++;
        value |= (size_t)(byte & 127) << (7 * i);
        if (!(byte & 128))
            return value;
    }
    return SIZE_MAX;
}

/* A sequence header, then a key frame that is shown (AV1, 5.3 and 5.9.2). */
static bool av1_point(struct bytes bytes)
{
    enum { SEQUENCE = 1, FRAME_HEADER = 3, FRAME = 6 };
    bool sequence = false;
    while (left(&bytes) >= 2) {
        int type = *bytes.at >> 3 & 15;
        bool extended = *bytes.at & 4, sized = *bytes.at & 2;
        bytes.at += extended ? 2 : 1;
        size_t size = sized ? leb128(&bytes) : left(&bytes);
        if (size > left(&bytes))
            return false;
        if ((type == FRAME_HEADER || type == FRAME) && size > 0)
            return sequence && (*bytes.at >> 4) == 1; /* not shown before, KEY_FRAME, shown */
        sequence |= type == SEQUENCE;
        bytes.at += size;
    }
    return false;
}

/* ---- the table ---- */

/* Codecs without reordering, where a keyframe is just that. */
static bool is_plain(enum AVCodecID codec)
{
    static const enum AVCodecID plain[] = {
        AV_CODEC_ID_H263,      AV_CODEC_ID_H263P,     AV_CODEC_ID_FLV1,
        AV_CODEC_ID_MSMPEG4V2, AV_CODEC_ID_MSMPEG4V3, AV_CODEC_ID_THEORA,
    };
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        if (plain[i] == codec)
            return true;
    }
    return false;
}

static bool is_annex_b(const AVCodecParameters *parameters)
{
    const uint8_t *extra = parameters->extradata;
    return parameters->extradata_size < 4 || extra[0] != 1;
}

bool access_init(struct access *access, const AVCodecParameters *parameters)
{
    const AVCodecDescriptor *descriptor = avcodec_descriptor_get(parameters->codec_id);
    *access = (struct access){.codec = parameters->codec_id};
    access->intra_only = descriptor && (descriptor->props & AV_CODEC_PROP_INTRA_ONLY);
    switch (parameters->codec_id) {
    case AV_CODEC_ID_H264:
        if (!is_annex_b(parameters) && parameters->extradata_size > 4)
            access->prefix = (parameters->extradata[4] & 3) + 1;
        return true;
    case AV_CODEC_ID_HEVC:
        if (!is_annex_b(parameters) && parameters->extradata_size > 21)
            access->prefix = (parameters->extradata[21] & 3) + 1;
        return true;
    case AV_CODEC_ID_MPEG1VIDEO:
    case AV_CODEC_ID_MPEG2VIDEO:
    case AV_CODEC_ID_MPEG4:
    case AV_CODEC_ID_VP8:
    case AV_CODEC_ID_VP9:
    case AV_CODEC_ID_AV1:
        return true;
    default:
        return access->intra_only || is_plain(parameters->codec_id);
    }
}

bool access_is_point(const struct access *access, const AVPacket *packet)
{
    struct bytes bytes = {packet->data, packet->data + packet->size};
    if (access->intra_only)
        return packet->size > 0;
    if (!(packet->flags & AV_PKT_FLAG_KEY))
        return false;
    switch (access->codec) {
    case AV_CODEC_ID_H264:
        return h264_point(access, bytes) != H264_NONE;
    case AV_CODEC_ID_HEVC:
        return hevc_point(access, bytes);
    case AV_CODEC_ID_MPEG1VIDEO:
    case AV_CODEC_ID_MPEG2VIDEO:
        return mpeg_point(bytes);
    case AV_CODEC_ID_MPEG4:
        return mpeg4_point(bytes);
    case AV_CODEC_ID_VP8:
        return vp8_point(bytes);
    case AV_CODEC_ID_VP9:
        return vp9_point(bytes);
    case AV_CODEC_ID_AV1:
        return av1_point(bytes);
    default:
        return true;
    }
}

bool access_is_fresh(const struct access *access, const AVPacket *packet)
{
    struct bytes bytes = {packet->data, packet->data + packet->size};
    return access_is_point(access, packet) &&
           (access->codec != AV_CODEC_ID_H264 || h264_point(access, bytes) == H264_IDR);
}

bool access_is_closed(const struct access *access, const AVPacket *packet)
{
    struct bytes bytes = {packet->data, packet->data + packet->size};
    bool mpeg = access->codec == AV_CODEC_ID_MPEG1VIDEO || access->codec == AV_CODEC_ID_MPEG2VIDEO;
    return mpeg && mpeg_closed(bytes);
}

bool access_is_packed(const struct access *access, const AVPacket *packet)
{
    if (access->codec != AV_CODEC_ID_MPEG4)
        return false;
    struct bytes bytes = {packet->data, packet->data + packet->size};
    int pictures = 0;
    while (skip_start_code(&bytes) && left(&bytes) > 0)
        pictures += *bytes.at == MPEG4_PICTURE;
    return pictures > 1;
}
