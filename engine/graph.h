/*
 * Small pieces for building libavfilter graphs, always with av_opt_set and never from a string.
 *
 * struct chain is a graph of one source, some filters in a row and one sink: what turns decoded
 * pictures upright, and what converts frames for an encoder. struct frame_spec says what an
 * encoder takes. All of it belongs to one task.
 */
#ifndef LUMA_ENGINE_GRAPH_H
#define LUMA_ENGINE_GRAPH_H

#include <libavcodec/avcodec.h>
#include <libavfilter/avfilter.h>
#include <stdbool.h>

#include "engine/error.h"
#include "engine/orientation.h"

enum { SPEC_FORMATS = 64, SPEC_RATES = 32, SPEC_LAYOUTS = 32 };

/* What a consumer of frames takes; an empty list takes anything. */
struct frame_spec {
    enum AVMediaType kind;
    enum AVPixelFormat pixel_formats[SPEC_FORMATS];
    int pixel_format_count;
    int width, height;        /* 0: any */
    AVRational aspect;        /* with width: the sample aspect to keep; 0/1: any */
    bool even;                /* width and height without remainder by two: cut to it */
    AVRational constant_rate; /* frames a second; num 0: as they come */
    enum AVSampleFormat sample_formats[SPEC_FORMATS];
    int sample_format_count;
    int sample_rates[SPEC_RATES];
    int sample_rate_count;
    AVChannelLayout layouts[SPEC_LAYOUTS];
    int layout_count;
};

bool frame_spec_takes(const struct frame_spec *spec, const AVFrame *frame);
/* From now on exactly what this frame is. */
int frame_spec_pin(struct frame_spec *spec, const AVFrame *frame);
int frame_spec_copy(struct frame_spec *to, const struct frame_spec *from);
void frame_spec_finish(struct frame_spec *spec);

/* What makes a graph's source: taken from a frame, or from a stream's parameters. */
struct frame_shape {
    enum AVMediaType kind;
    int format;
    int width, height;
    AVRational aspect;
    int color_space, color_range;
    int sample_rate;
    AVChannelLayout layout;
    AVRational time_base;
};

int frame_shape_of(struct frame_shape *shape, const AVFrame *frame, AVRational time_base);
bool frame_shape_fits(const struct frame_shape *shape, const AVFrame *frame);
void frame_shape_finish(struct frame_shape *shape);

/* ---- pieces ---- */

AVFilterGraph *graph_alloc(int threads);
/* A buffer or abuffer source. */
int graph_add_source(AVFilterGraph *graph, const struct frame_shape *shape, AVRational frame_rate,
                     AVFilterContext **out, struct error *e);
/* options: name, value, ..., NULL; may be NULL. */
int graph_add_filter(AVFilterGraph *graph, const char *filter, const char *const *options,
                     AVFilterContext **out, struct error *e);
int graph_add_sink(AVFilterGraph *graph, enum AVMediaType kind, AVFilterContext **out,
                   struct error *e);
/* Sets options and initialises; count pairs. */
int graph_init_filter(AVFilterContext *filter, const char *const *options, struct error *e);
/* Puts after (*tail, *pad) whatever conversions the spec needs; *tail is then the last of them. */
int graph_add_conversion(AVFilterGraph *graph, const struct frame_spec *spec,
                         AVFilterContext **tail, unsigned *pad, struct error *e);
/* A failure of libavfilter in words. */
int graph_failed(struct error *e, int averror, const char *what);

/* ---- a chain ---- */

struct chain {
    AVFilterGraph *graph;
    AVFilterContext *source, *tail, *sink;
    unsigned pad;
    struct frame_shape shape; /* of what goes in */
};

/* Begins a chain for frames like this one; add filters, then chain_configure(). */
int chain_begin(struct chain *chain, const AVFrame *frame, AVRational frame_rate, int threads,
                struct error *e);
int chain_add(struct chain *chain, const char *filter, const char *const *options, struct error *e);
int chain_orient(struct chain *chain, const struct orientation *orientation, struct error *e);
int chain_convert(struct chain *chain, const struct frame_spec *spec, struct error *e);
int chain_configure(struct chain *chain, struct error *e);
/* Consumes the frame's content. */
int chain_push(struct chain *chain, AVFrame *frame, struct error *e);
/* Ends the input at the given time (AV_TIME_BASE units, or AV_NOPTS_VALUE). */
int chain_end(struct chain *chain, int64_t end, struct error *e);
/* 1 with a frame, 0 if there is none now (or, after the end, ever). */
int chain_pull(struct chain *chain, AVFrame *frame, struct error *e);
void chain_finish(struct chain *chain);

#endif
