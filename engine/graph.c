/*
 * Building libavfilter graphs piece by piece.
 *
 * Leans on avfilter_graph_alloc_filter, av_opt_set and avfilter_init_dict only; libavfilter's
 * graph parser never sees a text of ours.
 */
#include "engine/graph.h"

#include <inttypes.h>
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
#include <libavutil/bprint.h>
#include <libavutil/channel_layout.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <stdio.h>
#include <string.h>

#include "engine/compat.h"

int graph_failed(struct error *e, int averror, const char *what)
{
    return error_set_av(e, ERROR_ENCODE_FAILED, averror, "%s", what);
}

/* ---- specs ---- */

static bool listed(const int *list, int count, int value)
{
    for (int i = 0; i < count; i++) {
        if (list[i] == value)
            return true;
    }
    return count == 0;
}

static bool layout_listed(const struct frame_spec *spec, const AVChannelLayout *layout)
{
    for (int i = 0; i < spec->layout_count; i++) {
        if (av_channel_layout_compare(&spec->layouts[i], layout) == 0)
            return true;
    }
    return spec->layout_count == 0;
}

bool frame_spec_takes(const struct frame_spec *spec, const AVFrame *frame)
{
    if (spec->kind == AVMEDIA_TYPE_AUDIO) {
        return listed((const int *)spec->sample_formats, spec->sample_format_count,
                      frame->format) &&
               listed(spec->sample_rates, spec->sample_rate_count, frame->sample_rate) &&
               layout_listed(spec, &frame->ch_layout);
    }
    if (spec->constant_rate.num > 0)
        return false;
    if (spec->even && (frame->width % 2 != 0 || frame->height % 2 != 0))
        return false;
    if (spec->width > 0 && (spec->width != frame->width || spec->height != frame->height))
        return false;
    return listed((const int *)spec->pixel_formats, spec->pixel_format_count, frame->format);
}

static void drop_layouts(struct frame_spec *spec)
{
    for (int i = 0; i < spec->layout_count; i++)
        av_channel_layout_uninit(&spec->layouts[i]);
    spec->layout_count = 0;
}

int frame_spec_pin(struct frame_spec *spec, const AVFrame *frame)
{
    if (spec->kind == AVMEDIA_TYPE_VIDEO) {
        spec->pixel_formats[0] = frame->format;
        spec->pixel_format_count = 1;
        spec->width = frame->width;
        spec->height = frame->height;
        spec->aspect = frame->sample_aspect_ratio;
        return 0;
    }
    spec->sample_formats[0] = frame->format;
    spec->sample_rates[0] = frame->sample_rate;
    spec->sample_format_count = spec->sample_rate_count = 1;
    drop_layouts(spec);
    int code = av_channel_layout_copy(&spec->layouts[0], &frame->ch_layout);
    spec->layout_count = code < 0 ? 0 : 1;
    return code;
}

int frame_spec_copy(struct frame_spec *to, const struct frame_spec *from)
{
    *to = *from;
    memset(to->layouts, 0, sizeof to->layouts);
    for (int i = 0; i < from->layout_count; i++) {
        int code = av_channel_layout_copy(&to->layouts[i], &from->layouts[i]);
        if (code < 0)
            return code;
    }
    return 0;
}

void frame_spec_finish(struct frame_spec *spec)
{
    drop_layouts(spec);
}

/* ---- shapes ---- */

static AVRational known_aspect(AVRational aspect)
{
    return aspect.num > 0 && aspect.den > 0 ? aspect : (AVRational){0, 1};
}

int frame_shape_of(struct frame_shape *shape, const AVFrame *frame, AVRational time_base)
{
    *shape = (struct frame_shape){
        .kind = frame->sample_rate > 0 ? AVMEDIA_TYPE_AUDIO : AVMEDIA_TYPE_VIDEO,
        .format = frame->format,
        .width = frame->width,
        .height = frame->height,
        .aspect = frame->sample_aspect_ratio,
        .color_space = frame->colorspace,
        .color_range = frame->color_range,
        .sample_rate = frame->sample_rate,
        .time_base = time_base,
    };
    return av_channel_layout_copy(&shape->layout, &frame->ch_layout);
}

bool frame_shape_fits(const struct frame_shape *shape, const AVFrame *frame)
{
    if (shape->format != frame->format)
        return false;
    if (shape->kind == AVMEDIA_TYPE_AUDIO) {
        return shape->sample_rate == frame->sample_rate &&
               av_channel_layout_compare(&shape->layout, &frame->ch_layout) == 0;
    }
    AVRational aspect = known_aspect(frame->sample_aspect_ratio);
    bool same_aspect =
        shape->aspect.num <= 0 || aspect.num == 0 || av_cmp_q(shape->aspect, aspect) == 0;
    return shape->width == frame->width && shape->height == frame->height && same_aspect;
}

void frame_shape_finish(struct frame_shape *shape)
{
    av_channel_layout_uninit(&shape->layout);
}

/* ---- pieces ---- */

AVFilterGraph *graph_alloc(int threads)
{
    AVFilterGraph *graph = avfilter_graph_alloc();
    if (!graph)
        return NULL;
    graph->nb_threads = threads;
    /* Filters that libavfilter inserts by itself scale as ffmpeg's do. */
    graph->scale_sws_opts = av_strdup("flags=bicubic");
    if (!graph->scale_sws_opts)
        avfilter_graph_free(&graph);
    return graph;
}

int graph_init_filter(AVFilterContext *filter, const char *const *options, struct error *e)
{
    for (; options && options[0]; options += 2) {
        int code = av_opt_set(filter, options[0], options[1], AV_OPT_SEARCH_CHILDREN);
        if (code < 0) {
            return error_set_av(e, ERROR_INVALID_OPTION, code, "filter %s: option %s=%s",
                                filter->filter->name, options[0], options[1]);
        }
    }
    AVDictionary *none = NULL; /* scale takes it without asking whether it is there */
    int code = avfilter_init_dict(filter, &none);
    av_dict_free(&none);
    if (code < 0) {
        return error_set_av(e, ERROR_INVALID_OPTION, code, "filter %s refuses its options",
                            filter->filter->name);
    }
    return 0;
}

int graph_add_filter(AVFilterGraph *graph, const char *filter, const char *const *options,
                     AVFilterContext **out, struct error *e)
{
    const AVFilter *found = avfilter_get_by_name(filter);
    if (!found)
        return error_set(e, ERROR_INTERNAL, "this build has no filter '%s'", filter);
    AVFilterContext *context = avfilter_graph_alloc_filter(graph, found, NULL);
    if (!context)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a filter");
    *out = context;
    return graph_init_filter(context, options, e);
}

int graph_add_source(AVFilterGraph *graph, const struct frame_shape *shape, AVRational frame_rate,
                     AVFilterContext **out, struct error *e)
{
    bool audio = shape->kind == AVMEDIA_TYPE_AUDIO;
    AVBufferSrcParameters *parameters = av_buffersrc_parameters_alloc();
    AVFilterContext *source = avfilter_graph_alloc_filter(
        graph, avfilter_get_by_name(audio ? "abuffer" : "buffer"), NULL);
    if (!parameters || !source) {
        av_free(parameters);
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a filter");
    }
    parameters->format = shape->format;
    parameters->time_base = shape->time_base;
    parameters->width = shape->width;
    parameters->height = shape->height;
    parameters->sample_aspect_ratio = known_aspect(shape->aspect);
    parameters->frame_rate = frame_rate;
    parameters->sample_rate = shape->sample_rate;
    parameters->ch_layout = shape->layout; /* copied by the filter */
#if COMPAT_SOURCE_COLOR
    parameters->color_space = shape->color_space;
    parameters->color_range = shape->color_range;
#endif
    int code = av_buffersrc_parameters_set(source, parameters);
    av_free(parameters);
    if (code >= 0)
        code = avfilter_init_dict(source, NULL);
    if (code < 0)
        return graph_failed(e, code, "frames of this kind can't be filtered");
    *out = source;
    return 0;
}

int graph_add_sink(AVFilterGraph *graph, enum AVMediaType kind, AVFilterContext **out,
                   struct error *e)
{
    bool audio = kind == AVMEDIA_TYPE_AUDIO;
    return graph_add_filter(graph, audio ? "abuffersink" : "buffersink", NULL, out, e);
}

/* Adds a filter behind the tail. */
static int follow(AVFilterGraph *graph, const char *filter, const char *const *options,
                  AVFilterContext **tail, unsigned *pad, struct error *e)
{
    AVFilterContext *next = NULL;
    int code = graph_add_filter(graph, filter, options, &next, e);
    if (code < 0)
        return code;
    if ((code = avfilter_link(*tail, *pad, next, 0)) < 0)
        return graph_failed(e, code, "can't connect filters");
    *tail = next;
    *pad = 0;
    return 0;
}

static void list_pixel_formats(const struct frame_spec *spec, AVBPrint *text)
{
    for (int i = 0; i < spec->pixel_format_count; i++)
        av_bprintf(text, "%s%s", i ? "|" : "", av_get_pix_fmt_name(spec->pixel_formats[i]));
}

static int convert_video(AVFilterGraph *graph, const struct frame_spec *spec,
                         AVFilterContext **tail, unsigned *pad, struct error *e)
{
    char width[16], height[16], rate[32], aspect[32];
    AVBPrint formats;
    int code = 0;
    av_bprint_init(&formats, 0, 4096);
    list_pixel_formats(spec, &formats);
    snprintf(width, sizeof width, "%d", spec->width);
    snprintf(height, sizeof height, "%d", spec->height);
    snprintf(rate, sizeof rate, "%d/%d", spec->constant_rate.num, spec->constant_rate.den);
    snprintf(aspect, sizeof aspect, "%d/%d", spec->aspect.num, spec->aspect.den);

    if (spec->constant_rate.num > 0)
        code = follow(graph, "fps", (const char *[]){"fps", rate, NULL}, tail, pad, e);
    if (code == 0 && spec->even && spec->width == 0) {
        code =
            follow(graph, "crop", (const char *[]){"w", "iw-mod(iw,2)", "h", "ih-mod(ih,2)", NULL},
                   tail, pad, e);
    }
    if (code == 0 && spec->width > 0) {
        code = follow(graph, "scale",
                      (const char *[]){"w", width, "h", height, "flags", "bicubic", NULL}, tail,
                      pad, e);
    }
    if (code == 0 && spec->width > 0 && spec->aspect.num > 0)
        code = follow(graph, "setsar", (const char *[]){"sar", aspect, NULL}, tail, pad, e);
    if (code == 0 && spec->pixel_format_count > 0) {
        code =
            follow(graph, "format", (const char *[]){"pix_fmts", formats.str, NULL}, tail, pad, e);
    }
    av_bprint_finalize(&formats, NULL);
    return code;
}

static int convert_audio(AVFilterGraph *graph, const struct frame_spec *spec,
                         AVFilterContext **tail, unsigned *pad, struct error *e)
{
    if (spec->sample_format_count + spec->sample_rate_count + spec->layout_count == 0)
        return 0;
    AVBPrint formats, rates, layouts;
    av_bprint_init(&formats, 0, 1024);
    av_bprint_init(&rates, 0, 1024);
    av_bprint_init(&layouts, 0, 4096);
    for (int i = 0; i < spec->sample_format_count; i++)
        av_bprintf(&formats, "%s%s", i ? "|" : "", av_get_sample_fmt_name(spec->sample_formats[i]));
    for (int i = 0; i < spec->sample_rate_count; i++)
        av_bprintf(&rates, "%s%d", i ? "|" : "", spec->sample_rates[i]);
    for (int i = 0; i < spec->layout_count; i++) {
        char name[128];
        if (av_channel_layout_describe(&spec->layouts[i], name, sizeof name) > 0)
            av_bprintf(&layouts, "%s%s", i ? "|" : "", name);
    }
    const char *options[8] = {0};
    int count = 0;
    const struct {
        const char *name;
        AVBPrint *value;
    } lists[] = {
        {"sample_fmts", &formats}, {"sample_rates", &rates}, {"channel_layouts", &layouts}};
    for (int i = 0; i < 3; i++) {
        if (lists[i].value->len == 0)
            continue;
        options[count++] = lists[i].name;
        options[count++] = lists[i].value->str;
    }
    int code = follow(graph, "aformat", options, tail, pad, e);
    for (int i = 0; i < 3; i++)
        av_bprint_finalize(lists[i].value, NULL);
    return code;
}

int graph_add_conversion(AVFilterGraph *graph, const struct frame_spec *spec,
                         AVFilterContext **tail, unsigned *pad, struct error *e)
{
    return spec->kind == AVMEDIA_TYPE_AUDIO ? convert_audio(graph, spec, tail, pad, e)
                                            : convert_video(graph, spec, tail, pad, e);
}

/* ---- chains ---- */

int chain_begin(struct chain *chain, const AVFrame *frame, AVRational frame_rate, int threads,
                struct error *e)
{
    chain_finish(chain);
    chain->graph = graph_alloc(threads);
    if (!chain->graph || frame_shape_of(&chain->shape, frame, frame->time_base) < 0)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a filter graph");
    int code = graph_add_source(chain->graph, &chain->shape, frame_rate, &chain->source, e);
    chain->tail = chain->source;
    return code;
}

int chain_add(struct chain *chain, const char *filter, const char *const *options, struct error *e)
{
    return follow(chain->graph, filter, options, &chain->tail, &chain->pad, e);
}

int chain_orient(struct chain *chain, const struct orientation *orientation, struct error *e)
{
    int code = 0;
    for (int i = 0; orientation->filters[i][0] && code == 0; i++) {
        const char *const *step = orientation->filters[i];
        const char *options[] = {step[1], step[2], NULL};
        code = chain_add(chain, step[0], options, e);
    }
    return code;
}

int chain_convert(struct chain *chain, const struct frame_spec *spec, struct error *e)
{
    return graph_add_conversion(chain->graph, spec, &chain->tail, &chain->pad, e);
}

int chain_configure(struct chain *chain, struct error *e)
{
    int code = graph_add_sink(chain->graph, chain->shape.kind, &chain->sink, e);
    if (code < 0)
        return code;
    code = avfilter_link(chain->tail, chain->pad, chain->sink, 0);
    if (code >= 0)
        code = avfilter_graph_config(chain->graph, NULL);
    return code < 0 ? graph_failed(e, code, "frames can't be converted") : 0;
}

int chain_push(struct chain *chain, AVFrame *frame, struct error *e)
{
    int code = av_buffersrc_add_frame_flags(chain->source, frame, 0);
    return code < 0 && code != AVERROR_EOF ? graph_failed(e, code, "a frame can't be converted")
                                           : 0;
}

int chain_end(struct chain *chain, int64_t end, struct error *e)
{
    if (end != AV_NOPTS_VALUE)
        end = av_rescale_q(end, AV_TIME_BASE_Q, chain->shape.time_base);
    int code = av_buffersrc_close(chain->source, end, 0);
    return code < 0 && code != AVERROR_EOF ? graph_failed(e, code, "frames can't be converted") : 0;
}

int chain_pull(struct chain *chain, AVFrame *frame, struct error *e)
{
    int code = av_buffersink_get_frame(chain->sink, frame);
    if (code == AVERROR(EAGAIN) || code == AVERROR_EOF)
        return 0;
    if (code < 0)
        return graph_failed(e, code, "a frame can't be converted");
    frame->time_base = av_buffersink_get_time_base(chain->sink);
    return 1;
}

void chain_finish(struct chain *chain)
{
    avfilter_graph_free(&chain->graph);
    frame_shape_finish(&chain->shape);
    *chain = (struct chain){0};
}
