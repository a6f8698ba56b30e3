/*
 * What this build of libav has, and what its parts take: filters, encoders, their options. All of
 * it is read from libav's own tables, so it is true for whichever version is linked.
 */
#ifndef LUMA_ENGINE_INTROSPECT_H
#define LUMA_ENGINE_INTROSPECT_H

#include <libavcodec/avcodec.h>
#include <libavfilter/avfilter.h>
#include <libavutil/opt.h>
#include <stdbool.h>
#include <stddef.h>

#include "engine/error.h"

/* The nearest of count names to `name` by edit distance, or NULL if none is near enough to be a
 * likely slip of the fingers. */
const char *introspect_nearest(const char *name, const char *const *names, size_t count);

/* An allowed filter by name; else NULL with "unknown filter 'scal'; did you mean 'scale'?". */
const AVFilter *introspect_filter(const char *name, struct error *e);

/* Names of the allowed filters, sorted; *count of them. Lives for ever. */
const char *const *introspect_filters(size_t *count);

/* The names of a filter's first positional options, in the order of FFmpeg 5.1's documentation
 * (a table of ours for filters whose order changed since), at most four; returns how many. */
int introspect_positional(const AVFilter *filter, const char *names[4]);

/* An option of a filter (its own, or the timeline `enable` where it has one) or an encoder (its
 * own, or AVCodecContext's); NULL with the nearest name in e. */
const AVOption *introspect_filter_option(const AVFilter *filter, const char *name, struct error *e);
const AVOption *introspect_encoder_option(const AVCodec *encoder, const char *name,
                                          struct error *e);

/* The encoder for a codec's name ("h264", "opus") or an encoder's own ("libx264"): for a codec the
 * first that is there of a table of preference. NULL with the reason in e. */
const AVCodec *introspect_encoder(const char *name, enum AVMediaType kind, struct error *e);

/* One line: type, range, default and help of an option, for help(x) and errors. */
void introspect_describe_option(const AVOption *option, char *text, size_t size);

/* The names of what a filter, or an encode with an encoder, takes, for completion: at most room;
 * returns how many. They live for ever; a name may come twice. */
size_t introspect_filter_options(const AVFilter *filter, const char **names, size_t room);
size_t introspect_encoder_options(const AVCodec *encoder, const char **names, size_t room);

/* Names of usable encoders and codecs. */
const char *const *introspect_encoders(size_t *count);

#endif
