/*
 * A plan in words, one node a line. What is printed depends on the plan alone: no pointers, paths,
 * versions or defaults that differ between builds, so that tests can compare it.
 */
#include <libavutil/pixdesc.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/introspect_internal.h"
#include "engine/plan_explain_internal.h"

void explain_clean(AVBPrint *text, const char *untrusted)
{
    char *copy = strdup(untrusted);
    if (copy) {
        error_clean_text(copy);
        av_bprintf(text, "%s", copy);
    }
    free(copy);
}

void explain_number(AVBPrint *text, double number)
{
    char digits[64];
    snprintf(digits, sizeof digits, "%.3f", number);
    size_t length = strlen(digits);
    while (strchr(digits, '.') && strchr("0.", digits[length - 1])) {
        bool point = digits[length - 1] == '.';
        digits[--length] = '\0';
        if (point) {
            break;
        }
    }
    av_bprintf(text, "%s", digits);
}

struct stream_use explain_stream_use(const struct explain *x, struct plan_edge edge)
{
    struct stream_use use = {0};
    for (int i = edge.node + 1; i < x->plan->node_count; i++) {
        const struct plan_node *node = x->plan->nodes[i];
        for (int k = 0; x->reached[i] && k < node->input_count; k++) {
            if (node->inputs[k].node == edge.node && node->inputs[k].pad == edge.pad) {
                use.packets += node->kind == PLAN_COPY;
                use.frames += node->kind != PLAN_COPY;
            }
        }
    }
    return use;
}

const char *explain_node_name(const struct plan_node *node)
{
    switch (node->kind) {
    case PLAN_INPUT:
        return "input";
    case PLAN_PICK:
        return "pick";
    case PLAN_FILTER:
        return node->filter->name;
    case PLAN_BURN:
        return "burn";
    case PLAN_PALETTE:
        return "palette";
    case PLAN_ENCODE:
        return node->encoder->name;
    case PLAN_COPY:
        return "copy";
    case PLAN_SEQUENCE:
        return "sequence";
    case PLAN_MEASURE:
        return "measure";
    case PLAN_OUTPUT:
        return "output";
    }
    return "";
}

/* What is unusual in a picture, since much is decided by it. */
static void explain_picture(AVBPrint *text, const struct media_stream *stream)
{
    const char *pixels = av_get_pix_fmt_name(stream->pixel_format);
    if (pixels && stream->pixel_format != AV_PIX_FMT_YUV420P) {
        av_bprintf(text, " %s", pixels);
    }
    if (stream->frame_rate.num > 0) {
        av_bprintf(text, " ");
        explain_number(text, av_q2d(stream->frame_rate));
        av_bprintf(text, " fps");
    }
    if (stream->rotation) {
        av_bprintf(text, " rotated by %d", stream->rotation);
    }
    if (av_cmp_q(stream->sample_aspect_ratio, (AVRational){1, 1}) != 0) {
        av_bprintf(text, " shown as %dx%d", stream->display_width, stream->display_height);
    }
    av_bprintf(text, "%s%s", stream->interlaced ? " interlaced" : "",
               stream->color.hdr ? " HDR" : "");
}

void explain_stream(AVBPrint *text, const struct media_stream *stream)
{
    av_bprintf(text, "%s %s",
               stream->kind == AVMEDIA_TYPE_UNKNOWN ? "unknown" : introspect_kind(stream->kind),
               *stream->codec ? stream->codec : "of an unknown codec");
    if (stream->attached_picture) {
        av_bprintf(text, " cover %dx%d", stream->width, stream->height);
    } else if (stream->kind == AVMEDIA_TYPE_VIDEO) {
        av_bprintf(text, " %dx%d", stream->width, stream->height);
        explain_picture(text, stream);
    } else if (stream->kind == AVMEDIA_TYPE_AUDIO) {
        av_bprintf(text, " %d Hz %s", stream->sample_rate, stream->layout);
    }
    if (*stream->language && strcmp(stream->language, "und") != 0) {
        av_bprintf(text, " ");
        explain_clean(text, stream->language);
    }
}

void explain_input(AVBPrint *text, const struct plan_node *node)
{
    const struct media *media = node->file->media;
    av_bprintf(text, "%s", format_of_media(media)->name);
    if (isfinite(media->duration)) {
        av_bprintf(text, ", %.1f s", media->duration);
    }
    if (node->start > 0 || isfinite(node->stop)) {
        av_bprintf(text, ", from ");
        explain_number(text, node->start);
        av_bprintf(text, " s");
    }
    if (isfinite(node->stop)) {
        av_bprintf(text, " to ");
        explain_number(text, node->stop);
        av_bprintf(text, " s");
    }
}

/* ---- why ---- */

/* What lies between a track and its input, nearest to the input first: "of 2 segments filtered by
 * scale, fps". */
static void explain_chain(const struct explain *x, struct plan_edge edge, AVBPrint *text)
{
    enum { MOST = 12 };
    const char *filters[MOST];
    int count = 0, segments = 0;
    bool picked = false;
    bool more = false;
    while (edge.node >= 0 && x->plan->nodes[edge.node]->kind != PLAN_INPUT) {
        const struct plan_node *node = x->plan->nodes[edge.node];
        picked |= node->kind == PLAN_PICK;
        if (node->kind == PLAN_SEQUENCE && segments == 0) {
            segments = node->input_count;
        }
        if (node->kind == PLAN_FILTER || node->kind == PLAN_BURN || node->kind == PLAN_PALETTE) {
            more = count == MOST;
            filters[more ? MOST - 1 : count++] = explain_node_name(node);
        }
        edge = node->input_count ? node->inputs[0] : (struct plan_edge){-1, 0};
    }
    if (segments > 0) {
        av_bprintf(text, "of %d segment%s", segments, segments > 1 ? "s" : "");
    } else if (picked) {
        av_bprintf(text, "of single frames");
    }
    av_bprintf(text, "%s", count == 0 ? "" : segments || picked ? " filtered by " : "filtered by ");
    while (count-- > 0) {
        av_bprintf(text, "%s%s%s", filters[count], more ? ", ..." : "", count ? ", " : "");
        more = false;
    }
}

/* "3 segments of h264, 2 copied" */
static void explain_parts(const struct explain *x, const struct plan_node *node, AVBPrint *text)
{
    int copies = 0;
    for (int i = 0; i < node->input_count; i++) {
        copies += x->plan->nodes[node->inputs[i].node]->kind == PLAN_COPY;
    }
    av_bprintf(text, "%d segment%s of %s, ", node->input_count, node->input_count > 1 ? "s" : "",
               avcodec_get_name(node->codec));
    if (copies == 0 || copies == node->input_count) {
        av_bprintf(text, "%s", copies ? "copied" : "encoded");
    } else {
        av_bprintf(text, "%d copied, %d encoded", copies, node->input_count - copies);
    }
}

void explain_why(const struct explain *x, struct plan_edge track, const struct format *format,
                 AVBPrint *text)
{
    const struct plan_node *node = x->plan->nodes[track.node];
    struct plan_edge source = node->inputs[0];
    const struct media_stream *stream = plan_edge_stream(x->plan, source);
    if (node->kind == PLAN_COPY) {
        av_bprintf(text, "copied, %s fits %s", stream->codec, format->name);
        return;
    }
    if (node->kind == PLAN_SEQUENCE) {
        explain_parts(x, node, text);
        return;
    }
    av_bprintf(text, "encoded by %s, ", node->encoder->name);
    if (!stream) {
        explain_chain(x, source, text);
    } else if (!format_takes(format, stream->parameters->codec_id)) {
        av_bprintf(text, "%s doesn't fit %s", stream->codec, format->name);
    } else if (stream->parameters->codec_id == node->encoder->id) {
        av_bprintf(text, "%s again with other settings", stream->codec);
    } else {
        av_bprintf(text, "%s was asked for", avcodec_get_name(node->encoder->id));
    }
}

/* ---- text ---- */

static void print_settings(const struct explain *x, const struct plan_node *node)
{
    if (!node->settings.count && !node->bsf) {
        return;
    }
    av_bprintf(x->text, "(");
    for (int i = 0; i < node->settings.count; i++) {
        av_bprintf(x->text, "%s%s=", i ? ", " : "", node->settings.list[i].name);
        explain_clean(x->text, node->settings.list[i].value);
    }
    if (node->bsf) {
        av_bprintf(x->text, "%sbsf=", node->settings.count ? ", " : "");
        explain_clean(x->text, node->bsf);
    }
    av_bprintf(x->text, ")");
}

/* "[3]", or "[0:1]" where the node has several pads. */
static void print_edge(const struct explain *x, struct plan_edge edge)
{
    const struct plan_node *node = x->plan->nodes[edge.node];
    if (node->pad_count > 1 || node->kind == PLAN_INPUT) {
        av_bprintf(x->text, "[%d:%d]", edge.node, edge.pad);
    } else {
        av_bprintf(x->text, "[%d]", edge.node);
    }
}

static void print_edges(const struct explain *x, const struct plan_node *node)
{
    for (int i = 0; i < node->input_count; i++) {
        av_bprintf(x->text, "%s", i ? ", " : " from ");
        print_edge(x, node->inputs[i]);
    }
}

static void print_input(const struct explain *x, int number)
{
    const struct plan_node *node = x->plan->nodes[number];
    av_bprintf(x->text, "[%d] input ", number);
    explain_clean(x->text, node->file->label);
    av_bprintf(x->text, ": ");
    explain_input(x->text, node);
    av_bprintf(x->text, "\n");
    for (int pad = 0; pad < node->pad_count; pad++) {
        struct stream_use use = explain_stream_use(x, (struct plan_edge){number, pad});
        av_bprintf(x->text, "    [%d:%d] ", number, pad);
        explain_stream(x->text, &node->file->media->streams[pad]);
        av_bprintf(x->text, "%s\n",
                   use.frames && use.packets ? ", decoded and copied"
                   : use.frames              ? ", decoded"
                   : use.packets             ? ", copied"
                                             : ", not used");
    }
}

static void print_pick(const struct explain *x, int number)
{
    const struct plan_node *node = x->plan->nodes[number];
    av_bprintf(x->text, "[%d] pick %s at ", number,
               node->nearest_keyframe ? "nearest keyframes" : "frames");
    for (int i = 0; i < node->time_count; i++) {
        av_bprintf(x->text, "%s", i ? ", " : "");
        explain_number(x->text, node->times[i]);
    }
    av_bprintf(x->text, " s");
    print_edges(x, node);
    av_bprintf(x->text, "\n");
}

static void print_sequence(const struct explain *x, int number)
{
    const struct plan_node *node = x->plan->nodes[number];
    av_bprintf(x->text, "[%d] sequence", number);
    print_settings(x, node);
    av_bprintf(x->text, " of ");
    for (int i = 0; i < node->input_count; i++) {
        av_bprintf(x->text, "%s", i ? ", " : "");
        print_edge(x, node->inputs[i]);
        if (!isnan(node->durations[i])) {
            av_bprintf(x->text, " for ");
            explain_number(x->text, node->durations[i]);
            av_bprintf(x->text, " s");
        }
    }
    av_bprintf(x->text, "\n");
}

static void print_output(const struct explain *x, int number)
{
    const struct plan_node *node = x->plan->nodes[number];
    av_bprintf(x->text, "[%d] output ", number);
    explain_clean(x->text, node->name);
    av_bprintf(x->text, ": %s", node->format->name);
    if (node->each_picture) {
        av_bprintf(x->text, ", a file a picture");
    }
    if (node->faststart) {
        av_bprintf(x->text, ", index in front");
    }
    if (node->max_size) {
        av_bprintf(x->text, ", at most %lld bytes", (long long)node->max_size);
    }
    for (int i = 0; i < node->settings.count; i++) {
        av_bprintf(x->text, ", %s=", node->settings.list[i].name);
        explain_clean(x->text, node->settings.list[i].value);
    }
    if (node->metadata_from >= 0) {
        av_bprintf(x->text, ", tags of [%d]", node->metadata_from);
    }
    if (node->chapters_from >= 0) {
        av_bprintf(x->text, ", chapters of [%d]", node->chapters_from);
    }
    if (node->chapter_count > 0) {
        av_bprintf(x->text, ", %d chapter%s", node->chapter_count,
                   node->chapter_count > 1 ? "s" : "");
    }
    av_bprintf(x->text, "\n");
    const AVDictionaryEntry *tag = NULL;
    while ((tag = av_dict_get(node->metadata, "", tag, AV_DICT_IGNORE_SUFFIX))) {
        av_bprintf(x->text, "    tag ");
        explain_clean(x->text, tag->key);
        av_bprintf(x->text, "=");
        explain_clean(x->text, tag->value);
        av_bprintf(x->text, "\n");
    }
    for (int i = 0; i < node->input_count; i++) {
        struct plan_type type;
        plan_edge_type(x->plan, node->inputs[i], &type);
        av_bprintf(x->text, "    %s ", introspect_kind(type.kind));
        print_edge(x, node->inputs[i]);
        av_bprintf(x->text, ": ");
        explain_why(x, node->inputs[i], node->format, x->text);
        av_bprintf(x->text, "\n");
    }
}

static void explain_text(const struct explain *x)
{
    for (int i = 0; i < x->plan->node_count; i++) {
        const struct plan_node *node = x->plan->nodes[i];
        if (!x->reached[i]) {
            continue;
        }
        switch (node->kind) {
        case PLAN_INPUT:
            print_input(x, i);
            break;
        case PLAN_PICK:
            print_pick(x, i);
            break;
        case PLAN_OUTPUT:
            print_output(x, i);
            break;
        case PLAN_SEQUENCE:
            print_sequence(x, i);
            break;
        case PLAN_FILTER:
        case PLAN_BURN:
        case PLAN_PALETTE:
        case PLAN_ENCODE:
        case PLAN_COPY:
        case PLAN_MEASURE:
            av_bprintf(x->text, "[%d] %s%s", i,
                       node->kind == PLAN_FILTER   ? "filter "
                       : node->kind == PLAN_ENCODE ? "encode "
                                                   : "",
                       explain_node_name(node));
            print_settings(x, node);
            print_edges(x, node);
            av_bprintf(x->text, "\n");
            break;
        }
    }
}

int plan_explain(const struct plan *plan, const int *outputs, int output_count,
                 enum plan_style style, char **text, struct error *e)
{
    static void (*const styles[])(const struct explain *x) = {
        [PLAN_STYLE_TEXT] = explain_text,
        [PLAN_STYLE_DOT] = explain_dot,
        [PLAN_STYLE_FFMPEG] = explain_ffmpeg,
    };
    *text = NULL;
    bool *reached = calloc((size_t)plan->node_count + 1, sizeof *reached);
    if (!reached) {
        return plan_out_of_memory(e);
    }
    plan_reach(plan, outputs, output_count, reached);
    AVBPrint buffer;
    av_bprint_init(&buffer, 0, AV_BPRINT_SIZE_UNLIMITED);
    const struct explain x = {plan, reached, &buffer};
    styles[style](&x);
    if (av_bprint_is_complete(&buffer)) {
        *text = strdup(buffer.str);
    }
    av_bprint_finalize(&buffer, NULL);
    free(reached);
    return *text ? 0 : plan_out_of_memory(e);
}

/* ---- one edge ---- */

void plan_explain_edge(const struct plan *plan, struct plan_edge edge, char *text, size_t size)
{
    enum { MOST = 32 };
    struct plan_type type = {0};
    AVBPrint buffer;
    av_bprint_init_for_buffer(&buffer, text, (unsigned)size);
    const struct explain x = {plan, NULL, &buffer};
    const char *joint = ": ";

    if (plan_edge_type(plan, edge, &type)) {
        av_bprintf(&buffer, "%s", introspect_kind(type.kind));
    }
    for (int depth = 0; edge.node >= 0 && depth < MOST; depth++) {
        const struct plan_node *node = plan->nodes[edge.node];
        av_bprintf(&buffer, "%s", joint);
        joint = " of ";
        if (node->kind == PLAN_INPUT) {
            av_bprintf(&buffer, "stream %d of ", edge.pad);
            explain_clean(&buffer, node->file->label);
        } else {
            av_bprintf(&buffer, "%s",
                       node->kind == PLAN_PICK ? "single frames" : explain_node_name(node));
            print_settings(&x, node);
        }
        edge = node->input_count ? node->inputs[0] : (struct plan_edge){-1, 0};
    }
}
