/*
 * Other numbers for the parameter sets of an HEVC encoder, so that they can stand beside those of
 * another stream.
 *
 * x265 numbers its sets 0, like nearly everybody, and can't be told otherwise. The number of the
 * picture parameter set stands at the beginning of each slice, so that a slice's header has to be
 * written anew; what follows it begins at a whole byte and is kept. To find the end of a header it
 * must be understood: of what HEVC allows only what x265 is made to use (encode_join.c), and what
 * isn't is refused. Belongs to one task.
 */
#ifndef LUMA_ENGINE_HEVC_IDS_H
#define LUMA_ENGINE_HEVC_IDS_H

#include "engine/nal.h"

struct hevc_ids {
    unsigned id;
    /* of the encoder's sets: what a slice's header depends on */
    unsigned poc_bits, chroma, extra_bits, active[2];
    bool sao, temporal, output_flag, cabac_init, chroma_offsets, across_slices;
    bool deblocking_override, deblocking_disabled, extension;
};

/* Reads an encoder's sets (start codes) and gives them with the new number (0 to 15). 0,
 * AVERROR(ENOMEM), or AVERROR_PATCHWELCOME for what isn't understood. */
int hevc_ids_init(struct hevc_ids *ids, unsigned id, const struct nal_bytes *sets,
                  struct nal_bytes *renumbered);

/* A slice that names the new set, without start code or length. As hevc_ids_init(). */
int hevc_ids_slice(const struct hevc_ids *ids, const struct nal_unit *unit, struct nal_bytes *out);

#endif
