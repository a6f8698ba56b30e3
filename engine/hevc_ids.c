/*
 * The syntax is that of H.265, 7.3.2.1 to 7.3.2.3 and 7.3.6.1, in its order.
 */
#include "engine/hevc_ids.h"

#include <libavutil/error.h>

/* ---- bits out ---- */

struct writer {
    struct nal_bytes bytes;
    uint8_t byte;
    int count; /* bits in it */
};

static void put_bit(struct writer *writer, unsigned bit)
{
    writer->byte = (uint8_t)(writer->byte << 1 | bit);
    if (++writer->count == 8) {
        nal_put(&writer->bytes, &writer->byte, 1);
        writer->count = 0;
    }
}

static void put_fixed(struct writer *writer, unsigned value, int count)
{
    while (count-- > 0)
        put_bit(writer, value >> count & 1);
}

static void put_golomb(struct writer *writer, unsigned value)
{
    int zeros = 0;
    while ((value + 1) >> (zeros + 1))
        zeros++;
    put_fixed(writer, 0, zeros);
    put_fixed(writer, value + 1, zeros + 1);
}

static void put_until(struct writer *writer, struct nal_bits *bits, size_t stop)
{
    while (bits->at < stop && !bits->over)
        put_bit(writer, nal_bit(bits));
}

/* A 1, then zeros up to a whole byte: both byte_alignment() and rbsp_trailing_bits(). */
static void put_alignment(struct writer *writer)
{
    put_bit(writer, 1);
    while (writer->count > 0)
        put_bit(writer, 0);
}

/* Emulation prevention (7.4.2): no three bytes look like a start code. */
static void escape(const struct nal_bytes *plain, struct nal_bytes *out)
{
    static const uint8_t three = 3;
    int zeros = 0;
    for (size_t i = 0; i < plain->size; i++) {
        if (zeros == 2 && plain->data[i] <= 3) {
            nal_put(out, &three, 1);
            zeros = 0;
        }
        nal_put(out, plain->data + i, 1);
        zeros = plain->data[i] == 0 ? zeros + 1 : 0;
    }
    if (plain->size > 0 && plain->data[plain->size - 1] == 0) /* cabac_zero_words */
        nal_put(out, &three, 1);
    out->failed |= plain->failed;
}

/* Where the trailing bits of a parameter set begin. */
static size_t trailing_begins(const struct nal_bits *bits)
{
    size_t at = bits->bits;
    while (at > 0 && !(bits->data[(at - 1) / 8] >> (7 - (at - 1) % 8) & 1))
        at--;
    return at > 0 ? at - 1 : 0;
}

/* ---- parameter sets ---- */

static void skip_golombs(struct nal_bits *bits, int count)
{
    for (int i = 0; i < count; i++)
        nal_golomb(bits);
}

/* From behind the set's number. False for what x265 isn't made to use. */
static bool read_sps(struct hevc_ids *ids, struct nal_bits *bits, unsigned layers)
{
    ids->chroma = nal_golomb(bits);
    bool planes = ids->chroma == 3 && nal_bit(bits);
    skip_golombs(bits, 2);
    if (nal_bit(bits)) /* conformance window */
        skip_golombs(bits, 4);
    skip_golombs(bits, 2);
    ids->poc_bits = nal_golomb(bits) + 4;
    unsigned first = nal_bit(bits) ? 0 : layers;
    for (unsigned i = first; i <= layers; i++)
        skip_golombs(bits, 3);
    skip_golombs(bits, 6);
    bool scaling = nal_bit(bits); /* by default lists, or by its own */
    if (scaling)
        scaling = nal_bit(bits);
    nal_bit(bits); /* asymmetric partitions */
    ids->sao = nal_bit(bits);
    if (nal_bit(bits)) { /* PCM */
        nal_fixed(bits, 8);
        skip_golombs(bits, 2);
        nal_bit(bits);
    }
    bool sets = nal_golomb(bits) > 0;
    bool long_term = nal_bit(bits);
    ids->temporal = nal_bit(bits);
    return !planes && !scaling && !sets && !long_term && !bits->over && ids->poc_bits <= 16;
}

/* From behind both numbers. */
static bool read_pps(struct hevc_ids *ids, struct nal_bits *bits)
{
    nal_bit(bits); /* dependent slices: none begins a picture */
    ids->output_flag = nal_bit(bits);
    ids->extra_bits = nal_fixed(bits, 3);
    nal_bit(bits);
    ids->cabac_init = nal_bit(bits);
    ids->active[0] = nal_golomb(bits) + 1;
    ids->active[1] = nal_golomb(bits) + 1;
    nal_golomb(bits);
    nal_fixed(bits, 2);
    if (nal_bit(bits)) /* cu_qp_delta */
        nal_golomb(bits);
    skip_golombs(bits, 2);
    ids->chroma_offsets = nal_bit(bits);
    bool weighted = nal_fixed(bits, 2) != 0;
    nal_bit(bits);
    bool threads = nal_fixed(bits, 2) != 0; /* tiles, wavefronts */
    ids->across_slices = nal_bit(bits);
    if (nal_bit(bits)) { /* deblocking control */
        ids->deblocking_override = nal_bit(bits);
        ids->deblocking_disabled = nal_bit(bits);
        if (!ids->deblocking_disabled)
            skip_golombs(bits, 2);
    }
    bool scaling = nal_bit(bits);
    bool lists = nal_bit(bits);
    nal_golomb(bits);
    ids->extension = nal_bit(bits);
    return !weighted && !threads && !scaling && !lists && !bits->over;
}

static bool renumber(struct hevc_ids *ids, int type, struct nal_bits *bits, struct writer *writer)
{
    bool good = true;
    put_until(writer, bits, 16);
    if (type != NAL_HEVC_PPS) { /* the video parameter set's number is the first in both */
        nal_fixed(bits, 4);
        put_fixed(writer, ids->id, 4);
    }
    if (type == NAL_HEVC_SPS) {
        struct nal_bits ahead = *bits;
        unsigned layers = nal_fixed(&ahead, 3);
        nal_bit(&ahead);
        nal_skip_profile(&ahead, layers);
        put_until(writer, bits, ahead.at);
        nal_golomb(bits);
        put_golomb(writer, ids->id);
        ahead = *bits;
        good = read_sps(ids, &ahead, layers);
    } else if (type == NAL_HEVC_PPS) {
        skip_golombs(bits, 2);
        put_golomb(writer, ids->id);
        put_golomb(writer, ids->id);
        struct nal_bits ahead = *bits;
        good = read_pps(ids, &ahead);
    }
    put_until(writer, bits, trailing_begins(bits));
    put_alignment(writer);
    return good && !bits->over;
}

int hevc_ids_init(struct hevc_ids *ids, unsigned id, const struct nal_bytes *sets,
                  struct nal_bytes *renumbered)
{
    struct nal_reader reader;
    struct nal_unit unit;
    bool good = true;
    *ids = (struct hevc_ids){.id = id};
    nal_begin(&reader, AV_CODEC_ID_HEVC, 0, sets->data, sets->size);
    while (good && nal_next(&reader, &unit)) {
        struct nal_bytes plain = {0}, escaped = {0};
        struct writer writer = {0};
        good = nal_unescape(&unit, &plain) >= 0;
        struct nal_bits bits = {plain.data, plain.size * 8, 0, false};
        good = good && renumber(ids, nal_type(AV_CODEC_ID_HEVC, &unit), &bits, &writer);
        escape(&writer.bytes, &escaped);
        nal_put_unit(renumbered, 0, escaped.data, escaped.size);
        renumbered->failed |= escaped.failed;
        nal_bytes_finish(&plain);
        nal_bytes_finish(&escaped);
        nal_bytes_finish(&writer.bytes);
    }
    if (renumbered->failed)
        return AVERROR(ENOMEM);
    return good && ids->poc_bits > 0 ? 0 : AVERROR_PATCHWELCOME;
}

/* ---- slices ---- */

enum { SLICE_B = 0, SLICE_P = 1, NAL_IRAP_FIRST = 16, NAL_IRAP_LAST = 23, NAL_IDR_LAST = 20 };
enum { NAL_IDR_FIRST = 19 };

/* The set of reference pictures that a slice brings along, being the first of its kind. */
static void skip_references(struct nal_bits *bits)
{
    unsigned negative = nal_golomb(bits), positive = nal_golomb(bits);
    for (unsigned i = 0; i < negative + positive && !bits->over; i++) {
        nal_golomb(bits);
        nal_bit(bits);
    }
}

static void skip_inter(const struct hevc_ids *ids, struct nal_bits *bits, bool both, bool temporal)
{
    unsigned active[2] = {ids->active[0], ids->active[1]};
    if (nal_bit(bits)) {
        active[0] = nal_golomb(bits) + 1;
        if (both)
            active[1] = nal_golomb(bits) + 1;
    }
    if (both)
        nal_bit(bits);
    if (ids->cabac_init)
        nal_bit(bits);
    if (temporal) {
        unsigned from = both && !nal_bit(bits) ? 1 : 0;
        if (active[from] > 1)
            nal_golomb(bits);
    }
    nal_golomb(bits);
}

static void skip_filters(const struct hevc_ids *ids, struct nal_bits *bits, bool sao)
{
    bool disabled = ids->deblocking_disabled;
    nal_golomb(bits); /* the quantizer */
    if (ids->chroma_offsets)
        skip_golombs(bits, 2);
    if (ids->deblocking_override && nal_bit(bits)) {
        disabled = nal_bit(bits);
        if (!disabled)
            skip_golombs(bits, 2);
    }
    if (ids->across_slices && (sao || !disabled))
        nal_bit(bits);
}

/* From behind the set's number to the alignment. */
static void skip_header(const struct hevc_ids *ids, struct nal_bits *bits, int type)
{
    bool temporal = false, sao = false;
    bits->at += ids->extra_bits;
    unsigned kind = nal_golomb(bits);
    if (ids->output_flag)
        nal_bit(bits);
    if (type < NAL_IDR_FIRST || type > NAL_IDR_LAST) {
        nal_fixed(bits, (int)ids->poc_bits);
        if (!nal_bit(bits)) {
            skip_references(bits);
        } else {
            bits->over = true; /* from the sequence's sets, of which there are none */
        }
        temporal = ids->temporal && nal_bit(bits);
    }
    if (ids->sao) {
        sao = nal_bit(bits);
        if (ids->chroma != 0 && nal_bit(bits))
            sao = true;
    }
    if (kind == SLICE_B || kind == SLICE_P)
        skip_inter(ids, bits, kind == SLICE_B, temporal);
    skip_filters(ids, bits, sao);
    if (ids->extension) {
        unsigned bytes = nal_golomb(bits);
        bits->at += 8 * (size_t)bytes;
    }
}

/* Past byte_alignment(); false if it isn't there, so that the header was misread. */
static bool skip_alignment(struct nal_bits *bits)
{
    bool good = nal_bit(bits) == 1;
    while (good && bits->at % 8 != 0)
        good = nal_bit(bits) == 0;
    return good && !bits->over && bits->at < bits->bits;
}

int hevc_ids_slice(const struct hevc_ids *ids, const struct nal_unit *unit, struct nal_bytes *out)
{
    struct nal_bytes plain = {0};
    struct writer writer = {0};
    int type = nal_type(AV_CODEC_ID_HEVC, unit);
    if (nal_unescape(unit, &plain) < 0) {
        nal_bytes_finish(&plain);
        return AVERROR(ENOMEM);
    }
    struct nal_bits bits = {plain.data, plain.size * 8, 0, false};
    put_until(&writer, &bits, 16);
    unsigned first = nal_bit(&bits);
    put_bit(&writer, first);
    if (type >= NAL_IRAP_FIRST && type <= NAL_IRAP_LAST)
        put_bit(&writer, nal_bit(&bits));
    nal_golomb(&bits);
    put_golomb(&writer, ids->id);
    struct nal_bits ahead = bits;
    skip_header(ids, &ahead, type);
    size_t end = ahead.at;
    bool good = first && skip_alignment(&ahead);
    if (good) {
        put_until(&writer, &bits, end);
        put_alignment(&writer);
        nal_put(&writer.bytes, plain.data + ahead.at / 8, plain.size - ahead.at / 8);
        escape(&writer.bytes, out);
    }
    nal_bytes_finish(&plain);
    nal_bytes_finish(&writer.bytes);
    if (out->failed)
        return AVERROR(ENOMEM);
    return good ? 0 : AVERROR_PATCHWELCOME;
}
