/*
 * What the engine refuses, whoever asks.
 *
 * Media and options are hostile. This is libav's own wall: which demuxers, decoders, filters,
 * encoders, muxers and options may be used at all, and bounds on what a file or a graph can ask
 * for. Everything here is a table or a pure check; nothing is read from the environment.
 */
#ifndef LUMA_ENGINE_POLICY_H
#define LUMA_ENGINE_POLICY_H

#include <libavfilter/avfilter.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/error.h"

struct policy_limits {
    int64_t max_alloc;        /* bytes in one libav allocation (av_max_alloc) */
    int64_t max_pixels;       /* of one picture */
    int max_streams;          /* of one input */
    int64_t max_output_bytes; /* of all outputs of a run */
    int max_nodes;            /* of one plan */
    double max_pixel_rate;    /* pixels a second on one filter link */
    int64_t max_frames;       /* of one track */
    int64_t max_spool_bytes;  /* of the frames that one stage puts aside on disk */
};

/* Fills in the defaults. */
void policy_limits_init(struct policy_limits *limits);

/* Comma-separated lists for AVFormatContext.format_whitelist and codec_whitelist. */
const char *policy_demuxers(void);
const char *policy_decoders(void);

/* The decoder that is used for a codec: the first that is allowed; NULL if this build has none. */
struct AVCodec;
const struct AVCodec *policy_decoder(int codec_id);

/* Each: true if allowed; else the reason is in e with ERROR_INVALID_OPTION. */
bool policy_filter(const char *filter, struct error *e);
bool policy_filter_option(const char *filter, const char *option, const char *value,
                          struct error *e);
/* What the options of a filter add up to: endless padding and loops, pads, sizes and rates without
 * measure. The context is allocated, its options are set, and it is not initialised yet. */
bool policy_filter_bounds(const AVFilterContext *context, const struct policy_limits *limits,
                          struct error *e);
bool policy_encoder(const char *encoder, struct error *e);
bool policy_encoder_option(const char *encoder, const char *option, const char *value,
                           struct error *e);
bool policy_muxer(const char *muxer, struct error *e);
bool policy_bsf(const char *bsf, struct error *e);

#endif
