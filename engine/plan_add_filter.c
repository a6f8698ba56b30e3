/*
 * Adding a filter: its options are set on a scratch context, which is then initialised, so that
 * libavfilter itself says whether the values are good and how many pads of which kind there are.
 */
#include <libavfilter/avfilter.h>
#include <libavutil/dict.h>
#include <libavutil/opt.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/asset.h"
#include "engine/introspect_internal.h"
#include "engine/plan_build.h"
#include "engine/policy_internal.h"

int plan_check_frames(const struct plan *plan, struct plan_edge edge, const char *what,
                      struct error *e)
{
    struct plan_type type;
    if (!plan_edge_type(plan, edge, &type)) {
        return error_set(e, ERROR_INTERNAL, "%s is given an edge that isn't there", what);
    }
    if (type.flow == PLAN_FRAMES) {
        return 0;
    }
    const struct media_stream *stream = plan_edge_stream(plan, edge);
    if (!stream) {
        enum plan_kind kind = plan->nodes[edge.node]->kind;
        error_set(e, ERROR_INVALID_OPTION, "%s needs frames, and what %s is packets", what,
                  kind == PLAN_COPY       ? "a copy gives"
                  : kind == PLAN_SEQUENCE ? "this sequence gives"
                                          : "an encoder gives");
        error_place(e, what, "packets", "a stream before it is encoded or copied");
        return ERROR_INVALID_OPTION;
    }
    if (type.kind != AVMEDIA_TYPE_VIDEO && type.kind != AVMEDIA_TYPE_AUDIO) {
        error_set(e, ERROR_INVALID_OPTION, "%s can't take %s", what, introspect_kind(type.kind));
        error_place(e, what, introspect_kind(type.kind), "video or audio");
        return ERROR_INVALID_OPTION;
    }
    if (!policy_decoder(stream->parameters->codec_id)) {
        error_set(e, ERROR_UNSUPPORTED_MEDIA, "stream %d (%s) can't be decoded here", stream->index,
                  *stream->codec ? stream->codec : "of an unknown codec");
        error_place(e, what, stream->codec, NULL);
        return ERROR_UNSUPPORTED_MEDIA;
    }
    return 0;
}

int plan_refuse_value(struct error *e, const char *what, const char *path,
                      const struct plan_option *option, const AVOption *known, const AVClass *class,
                      int averror)
{
    if (averror == AVERROR(ENOMEM)) {
        return plan_out_of_memory(e);
    }
    char expected[320];
    introspect_expected(known, class, expected, sizeof expected);
    const char *nearest = introspect_nearest_value(known, class, option->value);
    error_set(e, ERROR_INVALID_OPTION, "option '%s' of %s can't be '%.100s'; %s%s%s", option->name,
              what, option->value, nearest ? "did you mean '" : "it takes ",
              nearest ? nearest : expected, nearest ? "'?" : "");
    error_place(e, path, option->value, expected);
    return ERROR_INVALID_OPTION;
}

/* Options of objects that the filter only makes while it is initialised are kept for that. */
static int set_option(AVFilterContext *context, const struct plan_option *option,
                      const char *assets, AVDictionary **later, struct error *e)
{
    char file[PATH_MAX];
    const AVFilter *filter = context->filter;
    char path[160];
    snprintf(path, sizeof path, "%s.%s", filter->name, option->name);
    const AVOption *known = introspect_filter_option(filter, option->name, e);
    if (!known || !policy_filter_option(filter->name, option->name, option->value, e)) {
        error_place(e, path, NULL, NULL);
        return ERROR_INVALID_OPTION;
    }
    const char *value = option->value;
    const char *asset = asset_allowed(filter->name, option->name) ? asset_name(value) : NULL;
    if (asset) {
        int code = asset_path(assets, asset, file, sizeof file, e);
        if (code < 0) {
            error_place(e, path, NULL, NULL);
            return code;
        }
        value = file;
    }
    int averror = av_opt_set(context, option->name, value, AV_OPT_SEARCH_CHILDREN);
    if (averror == AVERROR_OPTION_NOT_FOUND) {
        averror = av_dict_set(later, option->name, value, 0);
    }
    if (averror < 0) {
        char what[96];
        snprintf(what, sizeof what, "filter '%s'", filter->name);
        const AVClass *class =
            strcmp(option->name, "enable") ? filter->priv_class : avfilter_get_class();
        return plan_refuse_value(e, what, path, option, known, class, averror);
    }
    return 0;
}

static int check_bounds(const AVFilterContext *context, const struct policy_limits *limits,
                        struct error *e)
{
    struct error reason = {0};
    if (policy_filter_bounds(context, limits, &reason)) {
        return 0;
    }
    char path[160];
    snprintf(path, sizeof path, "%s.%.80s", context->filter->name, reason.path);
    error_place(&reason, path, NULL, NULL);
    if (e) {
        *e = reason;
    }
    return reason.code;
}

/* What libavfilter only says in its log. */
static const char *hint(const AVFilterContext *context)
{
    static const struct {
        const char *filter, *hint;
    } hints[] = {
        {"scale", "; it wants both w and h, one of which may be -2"},
        {"drawtext", "; it wants a text, and a font that is installed"},
        {"delogo", "; it wants x, y, w and h"},
        {"pan", "; it wants args like \"stereo|c0=c0|c1=c1\""},
    };
    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++) {
        if (!strcmp(hints[i].filter, context->filter->name)) {
            return hints[i].hint;
        }
    }
    return "";
}

static int initialise(AVFilterContext *context, AVDictionary **later, struct error *e)
{
    const char *name = context->filter->name;
    int averror = avfilter_init_dict(context, later);
    const AVDictionaryEntry *left =
        averror < 0 ? NULL : av_dict_get(*later, "", NULL, AV_DICT_IGNORE_SUFFIX);
    if (left) {
        averror = AVERROR_OPTION_NOT_FOUND;
    }
    if (averror == AVERROR(ENOMEM)) { /* what aeval says of an expression that is missing, too */
        error_set(e, ERROR_INVALID_OPTION,
                  "filter '%s' doesn't take these options, or they ask for too much memory", name);
        error_place(e, name, NULL, NULL);
        return ERROR_INVALID_OPTION;
    }
    if (averror < 0) {
        int code = error_set_av(e, ERROR_INVALID_OPTION, averror,
                                "filter '%s' doesn't take these options%s", name, hint(context));
        error_place(e, name, NULL, NULL);
        return code;
    }
    return 0;
}

int plan_filter_open(AVFilterGraph *graph, const AVFilter *filter, const char *name,
                     const struct plan_settings *settings, const struct plan *plan,
                     AVFilterContext **context, struct error *e)
{
    AVDictionary *later = NULL;
    *context = NULL;
    AVFilterContext *made = avfilter_graph_alloc_filter(graph, filter, name);
    if (!made) {
        return plan_out_of_memory(e);
    }
    int code = 0;
    for (int i = 0; code >= 0 && i < settings->count; i++) {
        code = set_option(made, &settings->list[i], plan->assets, &later, e);
    }
    if (code >= 0) {
        code = check_bounds(made, &plan->limits, e);
    }
    if (code >= 0) {
        code = initialise(made, &later, e);
    }
    av_dict_free(&later);
    if (code >= 0) {
        *context = made;
    }
    return code;
}

static int check_pads(const struct plan *plan, const AVFilterContext *context,
                      const struct plan_node *node, struct error *e)
{
    const char *name = context->filter->name;
    int wanted = (int)context->nb_inputs;
    if (node->input_count != wanted) {
        char got[16];
        char expected[16];
        snprintf(got, sizeof got, "%d", node->input_count);
        snprintf(expected, sizeof expected, "%d", wanted);
        error_set(e, ERROR_INVALID_OPTION, "filter '%s' takes %d input%s, %d given", name, wanted,
                  wanted == 1 ? "" : "s", node->input_count);
        error_place(e, name, got, expected);
        return ERROR_INVALID_OPTION;
    }
    for (int i = 0; i < wanted; i++) {
        struct plan_type type;
        plan_edge_type(plan, node->inputs[i], &type);
        enum AVMediaType kind = avfilter_pad_get_type(context->input_pads, i);
        if (type.kind != kind) {
            error_set(e, ERROR_INVALID_OPTION, "input %d of filter '%s' takes %s, %s given", i + 1,
                      name, introspect_kind(kind), introspect_kind(type.kind));
            error_place(e, name, introspect_kind(type.kind), introspect_kind(kind));
            return ERROR_INVALID_OPTION;
        }
        char what[96];
        snprintf(what, sizeof what, "filter '%s'", name);
        int code = plan_check_frames(plan, node->inputs[i], what, e);
        if (code >= 0) {
            code = plan_refuse_palette(plan, node->inputs[i], what, e);
        }
        if (code < 0) {
            error_place(e, name, NULL, NULL);
            return code;
        }
    }
    return 0;
}

static int keep_outputs(struct plan_node *node, const AVFilterContext *context, struct error *e)
{
    node->pad_count = (int)context->nb_outputs;
    if (!node->pad_count) {
        return error_set(e, ERROR_INVALID_OPTION, "filter '%s' has no output",
                         context->filter->name);
    }
    node->pad_kinds = malloc((size_t)node->pad_count * sizeof *node->pad_kinds);
    if (!node->pad_kinds) {
        return plan_out_of_memory(e);
    }
    for (int i = 0; i < node->pad_count; i++) {
        node->pad_kinds[i] = avfilter_pad_get_type(context->output_pads, i);
    }
    return 0;
}

/* ---- does it end, does it fit ---- */

static bool source_endless(const AVFilterContext *context)
{
    const char *name = context->filter->name;
    int64_t duration = 0;
    if (av_opt_get_int(context->priv, "duration", 0, &duration) >= 0) {
        return duration < 0 || (duration == 0 && policy_listed(name, "sine anoisesrc"));
    }
    return policy_listed(name, "life mandelbrot cellauto sierpinski");
}

static bool cuts(const struct plan_node *node)
{
    static const char *const ends[] = {"end", "duration", "end_frame", "end_sample", "end_pts"};
    bool found = false;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        found |= plan_setting(node, ends[i]) != NULL;
    }
    return found && policy_listed(node->filter->name, "trim atrim");
}

/* Most filters end with the first of their inputs that ends; these with the last of them, or with
 * the first one, unless they are told otherwise. */
static bool filter_endless(const struct plan *plan, const struct plan_node *node)
{
    const char *name = node->filter->name;
    const char *shortest = plan_setting(node, "shortest");
    const char *duration = plan_setting(node, "duration");
    bool told = (shortest && strcmp(shortest, "0") != 0) ||
                (duration && !strcmp(name, "amix") && strcmp(duration, "longest") != 0);
    bool last = !told && policy_listed(name, "concat hstack vstack xstack amix");
    bool first = !told && policy_listed(name, "overlay blend");
    int endless = 0;
    for (int i = 0; i < (first ? 1 : node->input_count); i++) {
        endless += plan->nodes[node->inputs[i].node]->endless;
    }
    return endless && (last || endless == (first ? 1 : node->input_count)) && !cuts(node);
}

/* Filters that keep all they get before they give anything. */
static int check_hoard(const struct plan *plan, const struct plan_node *node, struct error *e)
{
    const char *name = node->filter->name;
    if (!policy_listed(name, "reverse areverse")) {
        return 0;
    }
    struct plan_load load = plan_estimate(plan, node->inputs[0]);
    double bytes = load.width * load.height * load.frames * 1.5 + load.samples * 4;
    double most = (double)plan->limits.max_alloc * 2;
    if (node->endless || bytes > most) {
        char got[64];
        char expected[64];
        snprintf(got, sizeof got, "%.0f MB", node->endless ? INFINITY : bytes / 1e6);
        snprintf(expected, sizeof expected, "at most %.0f MB; trim it first", most / 1e6);
        error_set(e, ERROR_LIMIT_EXCEEDED, "filter '%s' would have to hold %s of frames at once",
                  name, node->endless ? "an endless number" : got);
        error_place(e, name, got, expected);
        return ERROR_LIMIT_EXCEEDED;
    }
    return 0;
}

int plan_add_filter(struct plan *plan, const char *filter, const struct plan_edge *inputs,
                    int input_count, const struct plan_option *options, int option_count,
                    struct error *e)
{
    const AVFilter *known = introspect_filter(filter, e);
    if (!known) {
        return ERROR_INVALID_OPTION;
    }
    AVFilterGraph *graph = NULL;
    struct plan_node *node = NULL;
    int code = plan_node_alloc(&node, plan, PLAN_FILTER, inputs, input_count, e);
    if (code < 0) {
        goto fail;
    }
    code = plan_settings_copy(&node->settings, options, option_count, e);
    if (code < 0) {
        goto fail;
    }
    node->filter = known;
    graph = avfilter_graph_alloc();
    if (!graph) {
        code = plan_out_of_memory(e);
        goto fail;
    }
    graph->nb_threads = 1;
    AVFilterContext *context = NULL;
    code = plan_filter_open(graph, known, known->name, &node->settings, plan, &context, e);
    if (code >= 0) {
        code = check_pads(plan, context, node, e);
    }
    if (code >= 0) {
        code = keep_outputs(node, context, e);
    }
    if (code >= 0) {
        node->endless = input_count ? filter_endless(plan, node) : source_endless(context);
        code = check_hoard(plan, node, e);
    }
    if (code < 0) {
        goto fail;
    }
    avfilter_graph_free(&graph);
    return plan_append(plan, node, e);

fail:
    avfilter_graph_free(&graph);
    plan_node_free(node);
    return code;
}
