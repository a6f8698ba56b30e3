/*
 * See nal.h. Layouts: H.264 and H.265, clauses 7.3 and annex B; avcC and hvcC: ISO/IEC 14496-15,
 * 5.3.3 and 8.3.3.
 */
#include "engine/nal.h"

#include <libavutil/intreadwrite.h>
#include <libavutil/mem.h>
#include <string.h>

/* ---- walking ---- */

int nal_prefix(const AVCodecParameters *parameters)
{
    const uint8_t *extra = parameters->extradata;
    int at = parameters->codec_id == AV_CODEC_ID_HEVC ? 21 : 4;
    bool lengths = parameters->extradata_size > at && extra[0] == 1;
    return lengths ? (extra[at] & 3) + 1 : 0;
}

void nal_begin(struct nal_reader *reader, enum AVCodecID codec, int prefix, const uint8_t *data,
               size_t size)
{
    *reader = (struct nal_reader){codec, prefix, data, data + size};
}

static const uint8_t *find_start_code(const uint8_t *at, const uint8_t *end)
{
    for (; end - at >= 3; at++) {
        if (at[0] == 0 && at[1] == 0 && at[2] == 1)
            return at;
    }
    return NULL;
}

static bool next_by_start_code(struct nal_reader *reader, struct nal_unit *unit)
{
    const uint8_t *start = find_start_code(reader->at, reader->end);
    if (!start)
        return false;
    start += 3;
    const uint8_t *stop = find_start_code(start, reader->end);
    reader->at = stop ? stop : reader->end;
    stop = reader->at;
    while (stop > start && stop[-1] == 0)
        stop--;
    *unit = (struct nal_unit){start, (size_t)(stop - start)};
    return true;
}

bool nal_next(struct nal_reader *reader, struct nal_unit *unit)
{
    size_t least = reader->codec == AV_CODEC_ID_HEVC ? 2 : 1;
    if (reader->prefix == 0) {
        while (next_by_start_code(reader, unit)) {
            if (unit->size >= least)
                return true;
        }
        return false;
    }
    size_t length = 0;
    if (reader->end - reader->at < reader->prefix)
        return false;
    for (int i = 0; i < reader->prefix; i++)
        length = length << 8 | *reader->at++;
    if (length < least || length > (size_t)(reader->end - reader->at))
        return false;
    *unit = (struct nal_unit){reader->at, length};
    reader->at += length;
    return true;
}

int nal_type(enum AVCodecID codec, const struct nal_unit *unit)
{
    return codec == AV_CODEC_ID_HEVC ? unit->data[0] >> 1 & 63 : unit->data[0] & 31;
}

bool nal_is_set(enum AVCodecID codec, int type)
{
    return codec == AV_CODEC_ID_HEVC ? type >= NAL_HEVC_VPS && type <= NAL_HEVC_PPS
                                     : type == NAL_H264_SPS || type == NAL_H264_PPS;
}

/* ---- bytes ---- */

void nal_put(struct nal_bytes *bytes, const void *data, size_t size)
{
    if (bytes->failed || size == 0)
        return;
    if (bytes->size + size > bytes->room) {
        size_t room = FFMAX(2 * bytes->room, bytes->size + size);
        uint8_t *grown = av_realloc(bytes->data, room + AV_INPUT_BUFFER_PADDING_SIZE);
        if (!grown) {
            bytes->failed = true;
            return;
        }
        bytes->data = grown;
        bytes->room = room;
    }
    memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
    memset(bytes->data + bytes->size, 0, AV_INPUT_BUFFER_PADDING_SIZE);
}

void nal_put_unit(struct nal_bytes *bytes, int prefix, const void *data, size_t size)
{
    static const uint8_t start_code[] = {0, 0, 0, 1};
    uint8_t length[4];
    AV_WB32(length, (uint32_t)size);
    if (prefix > 0) {
        nal_put(bytes, length + 4 - prefix, (size_t)prefix);
    } else {
        nal_put(bytes, start_code, sizeof start_code);
    }
    nal_put(bytes, data, size);
}

void nal_bytes_finish(struct nal_bytes *bytes)
{
    av_free(bytes->data);
    *bytes = (struct nal_bytes){0};
}

/* ---- bits ---- */

unsigned nal_bit(struct nal_bits *bits)
{
    if (bits->at >= bits->bits) {
        bits->over = true;
        return 0;
    }
    unsigned bit = bits->data[bits->at / 8] >> (7 - bits->at % 8) & 1U;
    bits->at++;
    return bit;
}

unsigned nal_fixed(struct nal_bits *bits, int count)
{
    unsigned value = 0;
    for (int i = 0; i < count; i++)
        value = value << 1 | nal_bit(bits);
    return value;
}

unsigned nal_golomb(struct nal_bits *bits)
{
    int zeros = 0;
    while (zeros < 31 && !bits->over && !nal_bit(bits))
        zeros++;
    return (1U << zeros) - 1 + nal_fixed(bits, zeros);
}

void nal_skip_profile(struct nal_bits *bits, unsigned layers)
{
    unsigned flags[8] = {0};
    bits->at += 96;
    for (unsigned i = 0; i < layers; i++)
        flags[i] = nal_fixed(bits, 2);
    if (layers > 0)
        bits->at += 2 * (size_t)(8 - layers);
    for (unsigned i = 0; i < layers; i++)
        bits->at += (flags[i] & 2 ? 88U : 0U) + (flags[i] & 1 ? 8U : 0U);
}

int nal_unescape(const struct nal_unit *unit, struct nal_bytes *plain)
{
    size_t from = 0;
    int zeros = 0;
    for (size_t i = 0; i < unit->size; i++) {
        if (zeros >= 2 && unit->data[i] == 3) {
            nal_put(plain, unit->data + from, i - from);
            from = i + 1;
            zeros = 0;
        } else {
            zeros = unit->data[i] == 0 ? zeros + 1 : 0;
        }
    }
    nal_put(plain, unit->data + from, unit->size - from);
    return plain->failed ? AVERROR(ENOMEM) : 0;
}

/* ---- parameter sets ---- */

/* Walks through the sets of a header, whatever its kind. */
static void each_set(const AVCodecParameters *parameters,
                     void (*use)(enum AVCodecID codec, const struct nal_unit *unit, void *opaque),
                     void *opaque)
{
    enum AVCodecID codec = parameters->codec_id;
    const uint8_t *at = parameters->extradata, *end = at + parameters->extradata_size;
    struct nal_reader reader;
    struct nal_unit unit;
    bool hevc = codec == AV_CODEC_ID_HEVC;
    if (nal_prefix(parameters) == 0) {
        nal_begin(&reader, codec, 0, at, (size_t)parameters->extradata_size);
        while (nal_next(&reader, &unit))
            use(codec, &unit, opaque);
        return;
    }
    at += hevc ? 22 : 5;
    int arrays = hevc && at < end ? *at++ : 2;
    for (int i = 0; i < arrays && end - at >= (hevc ? 3 : 1); i++) {
        int count = hevc ? AV_RB16(at + 1) : i == 0 ? *at & 31 : *at;
        at += hevc ? 3 : 1;
        for (int k = 0; k < count; k++) {
            nal_begin(&reader, codec, 2, at, (size_t)(end - at));
            if (!nal_next(&reader, &unit))
                return;
            use(codec, &unit, opaque);
            at = reader.at;
        }
    }
}

static void mark(bool used[NAL_IDS], unsigned id)
{
    if (id < NAL_IDS)
        used[id] = true;
}

static void mark_unit(enum AVCodecID codec, const struct nal_unit *unit, void *opaque)
{
    struct nal_bytes plain = {0};
    if (nal_unescape(unit, &plain) >= 0) {
        struct nal_bits bits = {plain.data, plain.size * 8, codec == AV_CODEC_ID_HEVC ? 16 : 8,
                                false};
        switch (nal_type(codec, unit) + (codec == AV_CODEC_ID_HEVC ? 100 : 0)) {
        case NAL_H264_SPS:
            bits.at += 24;
            mark(opaque, nal_golomb(&bits));
            break;
        case NAL_H264_PPS:
        case 100 + NAL_HEVC_PPS:
            mark(opaque, nal_golomb(&bits));
            break;
        case 100 + NAL_HEVC_VPS:
            mark(opaque, nal_fixed(&bits, 4));
            break;
        case 100 + NAL_HEVC_SPS: {
            bits.at += 4;
            unsigned layers = nal_fixed(&bits, 3);
            bits.at++;
            nal_skip_profile(&bits, layers);
            mark(opaque, nal_golomb(&bits));
            break;
        }
        default:
            break;
        }
    }
    nal_bytes_finish(&plain);
}

void nal_mark_ids(const AVCodecParameters *parameters, bool used[NAL_IDS])
{
    each_set(parameters, mark_unit, used);
}

int nal_pick_sets(enum AVCodecID codec, const uint8_t *data, size_t size, struct nal_bytes *sets)
{
    struct nal_reader reader;
    struct nal_unit unit;
    nal_begin(&reader, codec, 0, data, size);
    while (nal_next(&reader, &unit)) {
        if (nal_is_set(codec, nal_type(codec, &unit)))
            nal_put_unit(sets, 0, unit.data, unit.size);
    }
    return sets->failed ? AVERROR(ENOMEM) : 0;
}

/* ---- adding to a header ---- */

struct builder {
    struct nal_bytes *out;
    int type, count; /* of the units that are taken */
};

static void take_unit(enum AVCodecID codec, const struct nal_unit *unit, void *opaque)
{
    struct builder *builder = opaque;
    if (nal_type(codec, unit) == builder->type && unit->size <= UINT16_MAX) {
        nal_put_unit(builder->out, 2, unit->data, unit->size);
        builder->count++;
    }
}

/* All units of a type: those of the header, then the new ones. Returns how many. */
static int gather(const AVCodecParameters *parameters, const struct nal_bytes *sets, int type,
                  struct nal_bytes *out)
{
    struct builder builder = {out, type, 0};
    struct nal_reader reader;
    struct nal_unit unit;
    each_set(parameters, take_unit, &builder);
    nal_begin(&reader, parameters->codec_id, 0, sets->data, sets->size);
    while (nal_next(&reader, &unit))
        take_unit(parameters->codec_id, &unit, &builder);
    return builder.count;
}

/* What stands behind the sets of an avcC (chroma format and bit depths of the high profiles). */
static size_t avcc_tail(const AVCodecParameters *parameters)
{
    const uint8_t *at = parameters->extradata + 5, *end = at - 5 + parameters->extradata_size;
    for (int i = 0; i < 2 && at < end; i++) {
        for (int count = i == 0 ? *at++ & 31 : *at++; count > 0; count--) {
            if (end - at < 2 || end - at - 2 < AV_RB16(at))
                return 0;
            at += 2 + AV_RB16(at);
        }
    }
    return (size_t)(end - at);
}

static int build_avcc(const AVCodecParameters *parameters, const struct nal_bytes *sets,
                      struct nal_bytes *out)
{
    static const int types[] = {NAL_H264_SPS, NAL_H264_PPS};
    static const int most[] = {31, 255};
    nal_put(out, parameters->extradata, 5);
    for (int i = 0; i < 2; i++) {
        struct nal_bytes units = {0};
        int count = gather(parameters, sets, types[i], &units);
        uint8_t byte = (uint8_t)(count | (i == 0 ? 0xe0 : 0));
        nal_put(out, &byte, 1);
        nal_put(out, units.data, units.size);
        out->failed |= units.failed;
        nal_bytes_finish(&units);
        if (count > most[i])
            return AVERROR_INVALIDDATA;
    }
    size_t tail = avcc_tail(parameters);
    nal_put(out, parameters->extradata + parameters->extradata_size - tail, tail);
    return 0;
}

static int build_hvcc(const AVCodecParameters *parameters, const struct nal_bytes *sets,
                      struct nal_bytes *out)
{
    static const uint8_t types[] = {NAL_HEVC_VPS, NAL_HEVC_SPS, NAL_HEVC_PPS, NAL_HEVC_SEI};
    uint8_t arrays = 0;
    if (parameters->extradata_size < 23)
        return AVERROR_INVALIDDATA;
    nal_put(out, parameters->extradata, 22);
    nal_put(out, &arrays, 1);
    for (int i = 0; i < 4; i++) {
        struct nal_bytes units = {0};
        int count = gather(parameters, sets, types[i], &units);
        uint8_t head[3] = {0x80 | types[i]}; /* complete: none of them comes in the packets */
        AV_WB16(head + 1, (uint16_t)count);
        if (count > 0) {
            arrays++;
            nal_put(out, head, sizeof head);
            nal_put(out, units.data, units.size);
        }
        out->failed |= units.failed;
        nal_bytes_finish(&units);
    }
    if (!out->failed)
        out->data[22] = arrays;
    return 0;
}

int nal_add_sets(AVCodecParameters *parameters, const struct nal_bytes *sets)
{
    struct nal_bytes out = {0};
    int code = 0;
    if (nal_prefix(parameters) == 0) {
        if (parameters->extradata_size > 0)
            nal_put(&out, parameters->extradata, (size_t)parameters->extradata_size);
        nal_put(&out, sets->data, sets->size);
    } else {
        code = parameters->codec_id == AV_CODEC_ID_HEVC ? build_hvcc(parameters, sets, &out)
                                                        : build_avcc(parameters, sets, &out);
    }
    if (out.failed)
        code = AVERROR(ENOMEM);
    if (code < 0) {
        nal_bytes_finish(&out);
        return code;
    }
    av_free(parameters->extradata);
    parameters->extradata = out.data;
    parameters->extradata_size = (int)out.size;
    return 0;
}
