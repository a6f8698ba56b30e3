/*
 * The filter stage: one libavfilter graph for each group of filter nodes that hang together.
 *
 * The graph is built when every input has shown its first frame (or ended), with a source for
 * each edge that comes from outside, a split where a pad feeds several consumers, and behind each
 * pad that an encoder takes a sink pinned to what that encoder can use. When an input changes its
 * size or format the graph is drained and built anew; sinks then keep what they gave first.
 *
 * The task takes whatever comes, so its queue never stays full; which inputs the graph lacks is
 * told to the group, which holds back the sources of the others.
 */
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
#include <libavutil/avutil.h>
#include <libavutil/channel_layout.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/asset.h"
#include "engine/compat.h"
#include "engine/pipeline_internal.h"

enum { QUEUE_FRAMES = 4, QUEUE_AUDIO_FRAMES = 32, QUEUE_BYTES = 16 << 20 };

/* An edge from outside. */
struct filter_input {
    struct plan_edge edge;
    enum AVMediaType kind;
    AVFilterContext *source;
    struct frame_shape shape; /* of the last frame */
    bool shaped;
    bool ended;
    int64_t end;       /* on the shape's time base */
    int64_t last;      /* end of the last frame */
    AVFrame **waiting; /* until the graph stands */
    int waiting_count;
};

/* A pad that an encoder takes. */
struct filter_output {
    struct plan_edge edge;
    struct frame_spec spec; /* the encoder's, then what came first */
    AVFilterContext *sink;
    bool pinned, closed;
};

struct filter_node {
    int node;
    AVFilterContext *context;
};

/* Where a pad leads: to a pad of another node, or to an output. */
struct outlet {
    AVFilterContext *context;
    unsigned pad;
};

struct filter {
    struct stage stage;
    struct filter_node *nodes;
    int node_count;
    struct filter_input *inputs;
    int input_count;
    struct filter_output *outputs;
    int output_count;
    AVFilterGraph *graph;
    AVFrame *frame;
    bool *lacks;
};

static void drop_waiting(struct filter_input *input)
{
    for (int i = 0; i < input->waiting_count; i++)
        av_frame_free(&input->waiting[i]);
    free(input->waiting);
    input->waiting = NULL;
    input->waiting_count = 0;
}

static void filter_finish(struct stage *stage)
{
    struct filter *filter = (struct filter *)stage;
    avfilter_graph_free(&filter->graph);
    for (int i = 0; i < filter->input_count; i++) {
        drop_waiting(&filter->inputs[i]);
        frame_shape_finish(&filter->inputs[i].shape);
    }
    for (int i = 0; i < filter->output_count; i++)
        frame_spec_finish(&filter->outputs[i].spec);
    av_frame_free(&filter->frame);
    free(filter->nodes);
    free(filter->inputs);
    free(filter->outputs);
    free(filter->lacks);
}

static struct error *error_of(struct filter *filter)
{
    return &filter->stage.task.error;
}

static const struct plan *plan_of(const struct filter *filter)
{
    return filter->stage.run->plan;
}

/* ---- building the graph ---- */

static bool same_edge(struct plan_edge a, struct plan_edge b)
{
    return a.node == b.node && a.pad == b.pad;
}

static int create_node(struct filter *filter, struct filter_node *entry)
{
    const struct plan_node *node = plan_of(filter)->nodes[entry->node];
    struct error *e = error_of(filter);
    char name[32];
    char file[PATH_MAX]; /* no filter reads more than one asset */
    snprintf(name, sizeof name, "%s %d", node->filter->name, entry->node);
    entry->context = avfilter_graph_alloc_filter(filter->graph, node->filter, name);
    const char **options = calloc((size_t)node->settings.count * 2 + 1, sizeof *options);
    int code = 0;
    if (!entry->context || !options)
        code = error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a filter");
    for (int i = 0; code == 0 && i < node->settings.count; i++) {
        options[2 * i] = node->settings.list[i].name;
        options[2 * i + 1] = node->settings.list[i].value;
        const char *asset = asset_allowed(node->filter->name, options[2 * i])
                                ? asset_name(options[2 * i + 1])
                                : NULL;
        if (asset) {
            code = asset_path(plan_of(filter)->assets, asset, file, sizeof file, e);
            options[2 * i + 1] = file;
        }
    }
    if (code == 0)
        code = graph_init_filter(entry->context, options, e);
    if (code == 0 && entry->context->nb_inputs != (unsigned)node->input_count) {
        code = error_set(e, ERROR_INTERNAL, "filter %s has %u inputs, planned were %d",
                         node->filter->name, entry->context->nb_inputs, node->input_count);
    }
    free(options);
    return code;
}

/* Gathers where an edge leads; the sinks of outputs stand already. Returns their number. */
static int gather_outlets(struct filter *filter, struct plan_edge edge, struct outlet *outlets)
{
    int count = 0;
    for (int i = 0; i < filter->node_count; i++) {
        const struct plan_node *node = plan_of(filter)->nodes[filter->nodes[i].node];
        for (int k = 0; k < node->input_count; k++) {
            if (same_edge(node->inputs[k], edge)) {
                if (outlets)
                    outlets[count] = (struct outlet){filter->nodes[i].context, (unsigned)k};
                count++;
            }
        }
    }
    for (int i = 0; i < filter->output_count; i++) {
        if (same_edge(filter->outputs[i].edge, edge)) {
            if (outlets)
                outlets[count] = (struct outlet){filter->outputs[i].sink, 0};
            count++;
        }
    }
    return count;
}

static int make_sink(struct filter *filter, struct filter_output *output, enum AVMediaType kind)
{
    return graph_add_sink(filter->graph, kind, &output->sink, error_of(filter));
}

/* Links one pad to one outlet; before a sink come its conversions. */
static int link_outlet(struct filter *filter, AVFilterContext *from, unsigned pad,
                       struct outlet outlet)
{
    struct error *e = error_of(filter);
    for (int i = 0; i < filter->output_count; i++) {
        if (filter->outputs[i].sink != outlet.context)
            continue;
        int code = graph_add_conversion(filter->graph, &filter->outputs[i].spec, &from, &pad, e);
        if (code < 0)
            return code;
    }
    int code = avfilter_link(from, pad, outlet.context, outlet.pad);
    return code < 0 ? graph_failed(e, code, "filters can't be connected") : 0;
}

/* Leads a pad to all of its consumers, through a split where there are several. */
static int link_edge(struct filter *filter, struct plan_edge edge, enum AVMediaType kind,
                     AVFilterContext *from, unsigned pad)
{
    struct error *e = error_of(filter);
    bool audio = kind == AVMEDIA_TYPE_AUDIO;
    int count = gather_outlets(filter, edge, NULL);
    struct outlet *outlets = calloc((size_t)count + 1, sizeof *outlets);
    if (!outlets)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a filter graph");
    gather_outlets(filter, edge, outlets);
    int code = 0;
    if (count == 0) {
        AVFilterContext *nowhere = NULL;
        code = graph_add_filter(filter->graph, audio ? "anullsink" : "nullsink", NULL, &nowhere, e);
        outlets[count++] = (struct outlet){nowhere, 0};
    } else if (count > 1) {
        char number[16];
        AVFilterContext *split = NULL;
        snprintf(number, sizeof number, "%d", count);
        code = graph_add_filter(filter->graph, audio ? "asplit" : "split",
                                (const char *[]){"outputs", number, NULL}, &split, e);
        if (code == 0 && (code = avfilter_link(from, pad, split, 0)) < 0)
            code = graph_failed(e, code, "filters can't be connected");
        from = split;
        pad = 0;
    }
    for (int i = 0; i < count && code == 0; i++)
        code = link_outlet(filter, from, count > 1 ? (unsigned)i : pad, outlets[i]);
    free(outlets);
    return code;
}

static enum AVMediaType pad_kind(const AVFilterContext *context, unsigned pad)
{
    return avfilter_pad_get_type(context->output_pads, (int)pad);
}

static enum AVMediaType edge_kind(const struct filter *filter, struct plan_edge edge)
{
    struct plan_type type;
    return plan_edge_type(plan_of(filter), edge, &type) ? type.kind : AVMEDIA_TYPE_UNKNOWN;
}

static int create_parts(struct filter *filter)
{
    struct error *e = error_of(filter);
    int code = 0;
    filter->graph = graph_alloc(filter->stage.run->options->threads);
    if (!filter->graph)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a filter graph");
    for (int i = 0; i < filter->node_count && code == 0; i++)
        code = create_node(filter, &filter->nodes[i]);
    for (int i = 0; i < filter->output_count && code == 0; i++)
        code = make_sink(filter, &filter->outputs[i], edge_kind(filter, filter->outputs[i].edge));
    for (int i = 0; i < filter->input_count && code == 0; i++) {
        struct filter_input *input = &filter->inputs[i];
        const struct port *from = filter->stage.task.from[i];
        code = graph_add_source(filter->graph, &input->shape, from->frame_rate, &input->source, e);
    }
    return code;
}

static int link_parts(struct filter *filter)
{
    int code = 0;
    for (int i = 0; i < filter->input_count && code == 0; i++) {
        code = link_edge(filter, filter->inputs[i].edge, filter->inputs[i].kind,
                         filter->inputs[i].source, 0);
    }
    for (int i = 0; i < filter->node_count && code == 0; i++) {
        AVFilterContext *context = filter->nodes[i].context;
        for (unsigned k = 0; k < context->nb_outputs && code == 0; k++) {
            if (!context->outputs[k]) {
                code = link_edge(filter, (struct plan_edge){filter->nodes[i].node, (int)k},
                                 pad_kind(context, k), context, k);
            }
        }
    }
    return code;
}

/* A graph that asks for more than the policy allows is refused before a frame goes in. */
static int check_links(struct filter *filter)
{
    const struct policy_limits *limits = &plan_of(filter)->limits;
    for (unsigned i = 0; i < filter->graph->nb_filters; i++) {
        const AVFilterContext *context = filter->graph->filters[i];
        for (unsigned k = 0; k < context->nb_outputs; k++) {
            const AVFilterLink *link = context->outputs[k];
            double pixels = (double)link->w * link->h;
            AVRational frame_rate = compat_link_frame_rate(link);
            double rate = frame_rate.den > 0 ? av_q2d(frame_rate) : 0;
            if (link->type != AVMEDIA_TYPE_VIDEO)
                continue;
            if (pixels > (double)limits->max_pixels) {
                return error_set(error_of(filter), ERROR_LIMIT_EXCEEDED,
                                 "filter %s makes pictures of %dx%d, which is more than allowed",
                                 context->filter->name, link->w, link->h);
            }
            if (rate < 10000 && pixels * rate > limits->max_pixel_rate) {
                return error_set(error_of(filter), ERROR_LIMIT_EXCEEDED,
                                 "filter %s makes %.0f pixels a second, which is more than allowed",
                                 context->filter->name, pixels * rate);
            }
        }
    }
    return 0;
}

/* Filters after which timestamps no longer follow the link's frame rate. */
static bool keeps_rate(const struct filter *filter)
{
    static const char *const lose[] = {"setpts",        "select", "mpdecimate", "concat",
                                       "shuffleframes", "loop",   "dejudder",   "decimate",
                                       "freezeframes",  "random", "framestep",  "trim"};
    for (int i = 0; i < filter->node_count; i++) {
        const char *name = plan_of(filter)->nodes[filter->nodes[i].node]->filter->name;
        for (size_t k = 0; k < sizeof lose / sizeof *lose; k++) {
            if (strcmp(name, lose[k]) == 0)
                return false;
        }
    }
    for (int i = 0; i < filter->input_count; i++) {
        if (filter->inputs[i].kind == AVMEDIA_TYPE_VIDEO && !filter->stage.task.from[i]->steady)
            return false;
    }
    return true;
}

/* An fps filter right before the sink makes any rate steady. */
static bool ends_with_rate(const struct filter *filter, struct plan_edge edge)
{
    const char *name = plan_of(filter)->nodes[edge.node]->filter->name;
    return strcmp(name, "fps") == 0 || strcmp(name, "framerate") == 0 ||
           strcmp(name, "minterpolate") == 0;
}

static void tell_rates(struct filter *filter)
{
    bool kept = keeps_rate(filter);
    for (int i = 0; i < filter->output_count; i++) {
        struct filter_output *output = &filter->outputs[i];
        struct port *port = &filter->stage.task.ports[i];
        if (output->pinned || output->spec.kind != AVMEDIA_TYPE_VIDEO)
            continue;
        AVRational rate = av_buffersink_get_frame_rate(output->sink);
        port->frame_rate = rate.num > 0 && rate.den > 0 ? rate : (AVRational){0, 1};
        port->steady = port->frame_rate.num > 0 && (kept || ends_with_rate(filter, output->edge));
    }
}

static int configure(struct filter *filter)
{
    int code = create_parts(filter);
    if (code == 0)
        code = link_parts(filter);
    if (code < 0)
        return code;
    if ((code = avfilter_graph_config(filter->graph, NULL)) < 0)
        return graph_failed(error_of(filter), code, "the filters don't fit together");
    code = check_links(filter);
    if (code == 0)
        tell_rates(filter);
    return code;
}

/* ---- frames through the graph ---- */

static int send_output(struct filter *filter, int number, AVFrame *frame)
{
    struct filter_output *output = &filter->outputs[number];
    frame->time_base = av_buffersink_get_time_base(output->sink);
    if (!output->pinned) {
        /* From the first frame on, whatever comes later is made like it. */
        if (frame_spec_pin(&output->spec, frame) < 0)
            return error_set(error_of(filter), ERROR_OUT_OF_MEMORY, "no memory for a filter graph");
        output->pinned = true;
    }
    int code = port_send_frame(&filter->stage.task.ports[number], frame);
    if (code == TASK_STOP)
        output->closed = true;
    return code < 0 ? code : 0;
}

static bool all_closed(const struct filter *filter)
{
    for (int i = 0; i < filter->output_count; i++) {
        if (!filter->outputs[i].closed)
            return false;
    }
    return true;
}

/* Takes what stands in the sinks without asking the graph for more. */
static int empty_sinks(struct filter *filter, bool final)
{
    for (int i = 0; i < filter->output_count; i++) {
        struct filter_output *output = &filter->outputs[i];
        int result;
        while ((result = av_buffersink_get_frame_flags(output->sink, filter->frame,
                                                       AV_BUFFERSINK_FLAG_NO_REQUEST)) >= 0) {
            int code = output->closed ? 0 : send_output(filter, i, filter->frame);
            av_frame_unref(filter->frame);
            if (code < 0)
                return code;
        }
        if (result == AVERROR_EOF && final && !output->closed) {
            output->closed = true;
            port_end(&filter->stage.task.ports[i], AV_NOPTS_VALUE);
        } else if (result < 0 && result != AVERROR_EOF && result != AVERROR(EAGAIN)) {
            return graph_failed(error_of(filter), result, "a filter failed");
        }
    }
    return 0;
}

/* Runs the graph until it lacks input. TASK_STOP once nothing more will come out, or nobody wants
 * it. `final`: the end of a sink is the end of its port (not when the graph is to be rebuilt). */
static int run_graph(struct filter *filter, bool final)
{
    struct task *task = &filter->stage.task;
    while (true) {
        if (task->input_count == 0) {
            int code = task_proceed(task);
            if (code != 0)
                return code;
        }
        int result = avfilter_graph_request_oldest(filter->graph);
        if (result < 0 && result != AVERROR(EAGAIN) && result != AVERROR_EOF)
            return graph_failed(error_of(filter), result, "a filter failed");
        int code = empty_sinks(filter, final);
        if (code < 0)
            return code;
        if (result == AVERROR_EOF || all_closed(filter))
            return TASK_STOP;
        if (result == AVERROR(EAGAIN))
            return 0;
        if (atomic_load(&task->group->aborted))
            return TASK_STOP;
    }
}

static int push_frame(struct filter *filter, struct filter_input *input, AVFrame *frame)
{
    int64_t duration =
        input->kind == AVMEDIA_TYPE_AUDIO ? frame->nb_samples : compat_frame_duration(frame);
    input->last = frame->pts + duration;
    int result = av_buffersrc_add_frame_flags(input->source, frame, 0);
    if (result < 0 && result != AVERROR_EOF)
        return graph_failed(error_of(filter), result, "a frame can't be filtered");
    return 0;
}

static int close_source(struct filter *filter, struct filter_input *input)
{
    int64_t end = input->last;
    if (input->end != AV_NOPTS_VALUE)
        end = av_rescale_q(input->end, AV_TIME_BASE_Q, input->shape.time_base);
    int result = av_buffersrc_close(input->source, end, 0);
    return result < 0 && result != AVERROR_EOF
               ? graph_failed(error_of(filter), result, "a filter failed at the end")
               : 0;
}

/* Which inputs the graph waits for, so that the sources of others can be held back. */
static void tell_lacks(struct filter *filter)
{
    bool any = false;
    for (int i = 0; i < filter->input_count; i++) {
        struct filter_input *input = &filter->inputs[i];
        if (filter->graph) {
            filter->lacks[i] =
                !input->ended && av_buffersrc_get_nb_failed_requests(input->source) > 0;
        } else {
            filter->lacks[i] = !input->ended && !input->shaped;
        }
        any |= filter->lacks[i];
    }
    for (int i = 0; i < filter->input_count && !any; i++)
        filter->lacks[i] = !filter->inputs[i].ended;
    task_lacks(&filter->stage.task, filter->lacks);
}

static bool ready(const struct filter *filter)
{
    for (int i = 0; i < filter->input_count; i++) {
        if (!filter->inputs[i].shaped)
            return false;
    }
    return true;
}

/* An input that ends without a frame is taken to be like its stream's parameters. */
static int shape_empty_input(struct filter *filter, struct filter_input *input)
{
    const struct plan_node *node = plan_of(filter)->nodes[input->edge.node];
    const struct media_stream *stream =
        node->kind == PLAN_INPUT ? &node->file->media->streams[input->edge.pad] : NULL;
    struct frame_shape *shape = &input->shape;
    bool audio = input->kind == AVMEDIA_TYPE_AUDIO;
    if (!stream || (audio ? stream->sample_rate <= 0 || stream->channels <= 0
                          : stream->width <= 0 || stream->pixel_format == AV_PIX_FMT_NONE)) {
        return error_set(error_of(filter), ERROR_CORRUPT_MEDIA,
                         "nothing to filter: an input has no frames");
    }
    *shape = (struct frame_shape){
        .kind = input->kind,
        .format = audio ? (int)stream->sample_format : (int)stream->pixel_format,
        .width = stream->width,
        .height = stream->height,
        .aspect = stream->sample_aspect_ratio,
        .sample_rate = stream->sample_rate,
        .time_base = audio ? (AVRational){1, stream->sample_rate} : stream->time_base,
    };
    if (audio)
        av_channel_layout_default(&shape->layout, stream->channels);
    input->shaped = true;
    return 0;
}

static int learn_shape(struct filter *filter, struct filter_input *input, const AVFrame *frame)
{
    frame_shape_finish(&input->shape);
    if (frame_shape_of(&input->shape, frame, frame->time_base) < 0)
        return error_set(error_of(filter), ERROR_OUT_OF_MEMORY, "no memory for a filter graph");
    input->shaped = true;
    return 0;
}

/* Builds the graph once it can be, and gives it what has waited. */
static int start_if_ready(struct filter *filter)
{
    if (filter->graph || !ready(filter))
        return 0;
    int code = configure(filter);
    for (int i = 0; i < filter->input_count && code == 0; i++) {
        struct filter_input *input = &filter->inputs[i];
        for (int k = 0; k < input->waiting_count && code == 0; k++)
            code = push_frame(filter, input, input->waiting[k]);
        drop_waiting(input);
        if (code == 0 && input->ended)
            code = close_source(filter, input);
    }
    return code;
}

/* The old graph gives what it still holds, then goes. Its last picture is shown until the one that
 * the new graph begins with, so that filters which count pictures leave none out between the two.
 */
static int tear_down(struct filter *filter, struct filter_input *changed, const AVFrame *next)
{
    int code = 0;
    if (changed->kind == AVMEDIA_TYPE_VIDEO && next->pts != AV_NOPTS_VALUE)
        changed->last = av_rescale_q(next->pts, next->time_base, changed->shape.time_base);
    for (int i = 0; i < filter->input_count && code == 0; i++) {
        if (!filter->inputs[i].ended)
            code = close_source(filter, &filter->inputs[i]);
    }
    if (code == 0)
        code = run_graph(filter, false);
    avfilter_graph_free(&filter->graph);
    return code == TASK_STOP && !all_closed(filter) ? 0 : code;
}

static int keep_waiting(struct filter *filter, struct filter_input *input, AVFrame **frame)
{
    AVFrame **waiting =
        realloc(input->waiting, (size_t)(input->waiting_count + 1) * sizeof(AVFrame *));
    if (!waiting)
        return error_set(error_of(filter), ERROR_OUT_OF_MEMORY, "no memory for frames");
    input->waiting = waiting;
    waiting[input->waiting_count++] = *frame;
    *frame = NULL;
    return 0;
}

static int take_frame(struct filter *filter, struct filter_input *input, AVFrame **frame)
{
    int code = 0;
    bool fits = input->shaped && frame_shape_fits(&input->shape, *frame);
    if (!fits && filter->graph)
        code = tear_down(filter, input, *frame);
    if (code == 0 && !fits)
        code = learn_shape(filter, input, *frame);
    if (code != 0)
        return code;
    if (!filter->graph && !ready(filter))
        return keep_waiting(filter, input, frame);
    if ((code = start_if_ready(filter)) == 0)
        code = push_frame(filter, input, *frame);
    return code == 0 ? run_graph(filter, true) : code;
}

static int end_input(struct filter *filter, struct filter_input *input, int64_t end)
{
    int code = 0;
    input->ended = true;
    input->end = end;
    if (!input->shaped)
        code = shape_empty_input(filter, input);
    if (code == 0 && filter->graph) {
        code = close_source(filter, input);
    } else if (code == 0) {
        code = start_if_ready(filter);
    }
    return code == 0 && filter->graph ? run_graph(filter, true) : code;
}

static int filter_run(struct task *task)
{
    struct filter *filter = (struct filter *)task;
    struct queue_item item = {0};
    int code = 0;
    filter->frame = av_frame_alloc();
    if (!filter->frame)
        return error_set(&task->error, ERROR_OUT_OF_MEMORY, "no memory for a frame");
    if (filter->input_count == 0) {
        code = configure(filter);
        while (code == 0)
            code = run_graph(filter, true);
    }
    while (code == 0 && (code = task_receive(task, &item)) == 0) {
        struct filter_input *input = &filter->inputs[item.input];
        if (item.kind == QUEUE_FRAME) {
            code = take_frame(filter, input, &item.frame);
        } else if (item.kind == QUEUE_END) {
            code = end_input(filter, input, item.end);
        }
        queue_item_clear(&item);
        if (code == 0)
            tell_lacks(filter);
    }
    return code;
}

/* ---- making ---- */

static int add_input(struct filter *filter, struct plan_edge edge)
{
    for (int i = 0; i < filter->input_count; i++) {
        if (same_edge(filter->inputs[i].edge, edge))
            return 0;
    }
    filter->inputs[filter->input_count++] = (struct filter_input){
        .edge = edge,
        .kind = edge_kind(filter, edge),
        .end = AV_NOPTS_VALUE,
    };
    return 0;
}

static const struct frame_spec *consumer_spec(const struct run *run, int node)
{
    const struct stage *consumer = run->nodes[node].stage;
    switch (run->plan->nodes[node]->kind) {
    case PLAN_MEASURE:
        return measure_spec(consumer);
    case PLAN_PALETTE:
        return palettize_spec(consumer);
    case PLAN_SEQUENCE:
        return segment_spec(consumer);
    case PLAN_BURN:
        return burn_spec(consumer);
    default:
        return encode_spec(consumer);
    }
}

static int collect(struct filter *filter, int component, const struct filter_consumer *consumers,
                   int consumer_count)
{
    const struct run *run = filter->stage.run;
    int pads = 0;
    for (int i = 0; i < run->plan->node_count; i++) {
        if (run->nodes[i].component == component) {
            filter->node_count++;
            pads += run->plan->nodes[i]->input_count;
        }
    }
    filter->nodes = calloc((size_t)filter->node_count + 1, sizeof *filter->nodes);
    filter->inputs = calloc((size_t)pads + 1, sizeof *filter->inputs);
    filter->lacks = calloc((size_t)pads + 1, sizeof *filter->lacks);
    filter->outputs = calloc((size_t)consumer_count + 1, sizeof *filter->outputs);
    if (!filter->nodes || !filter->inputs || !filter->outputs || !filter->lacks)
        return ERROR_OUT_OF_MEMORY;
    int next = 0;
    for (int i = 0; i < run->plan->node_count; i++) {
        if (run->nodes[i].component != component)
            continue;
        filter->nodes[next++].node = i;
        const struct plan_node *node = run->plan->nodes[i];
        for (int k = 0; k < node->input_count; k++) {
            if (run->nodes[node->inputs[k].node].component != component)
                add_input(filter, node->inputs[k]);
        }
    }
    for (int i = 0; i < consumer_count; i++) {
        struct filter_output *output = &filter->outputs[filter->output_count++];
        output->edge = consumers[i].edge;
        if (consumers[i].node < 0) {
            output->spec.kind = edge_kind(filter, output->edge); /* another graph takes anything */
        } else if (frame_spec_copy(&output->spec, consumer_spec(run, consumers[i].node)) < 0) {
            return ERROR_OUT_OF_MEMORY;
        }
    }
    return 0;
}

static int queue_size(const struct filter *filter)
{
    for (int i = 0; i < filter->input_count; i++) {
        if (filter->inputs[i].kind == AVMEDIA_TYPE_AUDIO)
            return QUEUE_AUDIO_FRAMES;
    }
    return QUEUE_FRAMES;
}

/* Where the consumer finds the frames. */
static int lead_out(struct run *run, const struct filter_consumer *consumer, struct port *port,
                    struct error *e)
{
    if (consumer->node >= 0) {
        run->nodes[consumer->node].feed = port;
        return 0;
    }
    struct run_node *from = &run->nodes[consumer->edge.node];
    int pads = run->plan->nodes[consumer->edge.node]->pad_count;
    if (!from->frames)
        from->frames = calloc((size_t)pads, sizeof(struct port *));
    if (!from->frames)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a filter graph");
    from->frames[consumer->edge.pad] = port;
    return 0;
}

int filter_create(struct run *run, int component, const struct filter_consumer *consumers,
                  int consumer_count, struct stage **out, struct error *e)
{
    struct filter *filter = run_new_stage(run, sizeof *filter, filter_finish, e);
    if (!filter)
        return e->code;
    *out = &filter->stage;
    if (collect(filter, component, consumers, consumer_count) < 0)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a filter graph");
    int code = task_init(&filter->stage.task, &run->group, "filter", filter_run,
                         filter->input_count, queue_size(filter), QUEUE_BYTES, consumer_count, e);
    for (int i = 0; i < filter->input_count && code == 0; i++) {
        struct plan_edge edge = filter->inputs[i].edge;
        code = task_connect(run->nodes[edge.node].frames[edge.pad], &filter->stage.task, i, e);
    }
    for (int i = 0; i < consumer_count && code == 0; i++)
        code = lead_out(run, &consumers[i], &filter->stage.task.ports[i], e);
    return code;
}
