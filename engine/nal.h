/*
 * NAL units of H.264 and HEVC: walking through them, parameter sets in a track's header, and the
 * bits inside. Nothing read is trusted: what doesn't fit ends the walk, or is refused.
 *
 * Units are told apart either by start codes (H.264 annex B) or by lengths in front of them
 * (ISO/IEC 14496-15), which a track's header says.
 */
#ifndef LUMA_ENGINE_NAL_H
#define LUMA_ENGINE_NAL_H

#include <libavcodec/avcodec.h>
#include <stdbool.h>

enum {
    NAL_H264_SLICE = 1,
    NAL_H264_IDR = 5,
    NAL_H264_SPS = 7,
    NAL_H264_PPS = 8,
    NAL_HEVC_BLA_ALONE = 18, /* BLA_N_LP */
    NAL_HEVC_CRA = 21,
    NAL_HEVC_VPS = 32,
    NAL_HEVC_SPS = 33,
    NAL_HEVC_PPS = 34,
    NAL_HEVC_SEI = 39,
};

struct nal_unit {
    const uint8_t *data; /* with its header */
    size_t size;
};

struct nal_reader {
    enum AVCodecID codec;
    int prefix; /* bytes of a length; 0: start codes */
    const uint8_t *at, *end;
};

/* Bytes of the length in front of a stream's units, 0 for start codes. */
int nal_prefix(const AVCodecParameters *parameters);
void nal_begin(struct nal_reader *reader, enum AVCodecID codec, int prefix, const uint8_t *data,
               size_t size);
bool nal_next(struct nal_reader *reader, struct nal_unit *unit);
int nal_type(enum AVCodecID codec, const struct nal_unit *unit);
bool nal_is_set(enum AVCodecID codec, int type);

/* ---- bytes that grow ---- */

struct nal_bytes {
    uint8_t *data; /* av_malloc'ed, with padding behind */
    size_t size, room;
    bool failed; /* memory is gone */
};

void nal_put(struct nal_bytes *bytes, const void *data, size_t size);
/* The unit with a length of so many bytes, or with a start code, in front. */
void nal_put_unit(struct nal_bytes *bytes, int prefix, const void *data, size_t size);
void nal_bytes_finish(struct nal_bytes *bytes);

/* ---- bits of a unit ---- */

struct nal_bits {
    const uint8_t *data;
    size_t bits, at;
    bool over; /* read past the end */
};

unsigned nal_bit(struct nal_bits *bits);
unsigned nal_fixed(struct nal_bits *bits, int count); /* at most 32 */
unsigned nal_golomb(struct nal_bits *bits);           /* ue(v) */
/* Past profile_tier_level() with so many sub-layers beside the first (H.265, 7.3.3). */
void nal_skip_profile(struct nal_bits *bits, unsigned layers);
/* A unit's payload without its emulation prevention bytes; av_malloc'ed. */
int nal_unescape(const struct nal_unit *unit, struct nal_bytes *plain);

/* ---- parameter sets ---- */

enum { NAL_IDS = 64 };

/* Marks the ids of all parameter sets in a track's header; the same numbers stand for all kinds. */
void nal_mark_ids(const AVCodecParameters *parameters, bool used[NAL_IDS]);
/* The parameter sets out of an encoder's header (start codes), and nothing else. */
int nal_pick_sets(enum AVCodecID codec, const uint8_t *data, size_t size, struct nal_bytes *sets);
/* Adds parameter sets (start codes) to a track's header, of either kind. 0, AVERROR(ENOMEM), or
 * AVERROR_INVALIDDATA for a header that can't take them. */
int nal_add_sets(AVCodecParameters *parameters, const struct nal_bytes *sets);

#endif
