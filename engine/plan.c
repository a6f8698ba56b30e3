/*
 * The plan as a container: nodes, files, and questions about them. The checks that make a node
 * valid are in plan_add*.c.
 *
 * Edges only ever point at nodes with smaller numbers, so a walk from high to low sees every node
 * before what it needs. One thread builds; a finished plan is read-only.
 */
#include "engine/plan.h"

#include <libavutil/avstring.h>
#include <libavutil/dict.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/introspect_internal.h"
#include "engine/plan_build.h"

struct plan *plan_create(const struct policy_limits *limits)
{
    struct plan *plan = calloc(1, sizeof *plan);
    if (plan && limits) {
        plan->limits = *limits;
    } else if (plan) {
        policy_limits_init(&plan->limits);
    }
    return plan;
}

int plan_set_assets(struct plan *plan, const char *folder, struct error *e)
{
    free(plan->assets);
    plan->assets = folder ? strdup(folder) : NULL;
    return folder && !plan->assets ? plan_out_of_memory(e) : 0;
}

const char *plan_assets(const struct plan *plan)
{
    return plan->assets;
}

void plan_node_free(struct plan_node *node)
{
    if (!node) {
        return;
    }
    for (int i = 0; i < node->settings.count; i++) {
        free((char *)node->settings.list[i].name);
        free((char *)node->settings.list[i].value);
    }
    free(node->settings.list);
    free(node->inputs);
    free(node->times);
    free(node->durations);
    plan_join_destroy(&node->join);
    free(node->pad_kinds);
    free(node->bsf);
    free(node->name);
    av_dict_free(&node->metadata);
    for (int i = 0; i < node->chapter_count; i++) {
        av_dict_free((AVDictionary **)&node->chapters[i].metadata);
    }
    free(node->chapters);
    free(node);
}

static void file_destroy(struct plan_file *file)
{
    media_destroy(&file->media);
    media_close_context(&file->context);
    io_reader_close(&file->reader);
    free(file->path);
    free(file->label);
    free(file);
}

void plan_destroy(struct plan **plan)
{
    if (!plan || !*plan) {
        return;
    }
    for (int i = 0; i < (*plan)->node_count; i++) {
        plan_node_free((*plan)->nodes[i]);
    }
    for (int i = 0; i < (*plan)->file_count; i++) {
        file_destroy((*plan)->files[i]);
    }
    free((*plan)->assets);
    free((*plan)->nodes);
    free((*plan)->files);
    free(*plan);
    *plan = NULL;
}

int plan_node_alloc(struct plan_node **out, const struct plan *plan, enum plan_kind kind,
                    const struct plan_edge *inputs, int input_count, struct error *e)
{
    *out = NULL;
    if (plan->node_count >= plan->limits.max_nodes) {
        return error_set(e, ERROR_LIMIT_EXCEEDED, "the plan has more than %d nodes",
                         plan->limits.max_nodes);
    }
    for (int i = 0; i < input_count; i++) {
        struct plan_type type;
        if (!plan_edge_type(plan, inputs[i], &type)) {
            return error_set(e, ERROR_INTERNAL, "there is no pad %d on node %d", inputs[i].pad,
                             inputs[i].node);
        }
    }
    struct plan_node *node = calloc(1, sizeof *node);
    if (!node) {
        return plan_out_of_memory(e);
    }
    if (input_count > 0) {
        node->inputs = malloc((size_t)input_count * sizeof *inputs);
        if (!node->inputs) {
            plan_node_free(node);
            return plan_out_of_memory(e);
        }
        memcpy(node->inputs, inputs, (size_t)input_count * sizeof *inputs);
    }
    node->kind = kind;
    node->input_count = input_count;
    node->metadata_from = node->chapters_from = -1;
    *out = node;
    return 0;
}

int plan_append(struct plan *plan, struct plan_node *node, struct error *e)
{
    struct plan_node **nodes =
        realloc(plan->nodes, ((size_t)plan->node_count + 1) * sizeof *plan->nodes);
    if (!nodes) {
        plan_node_free(node);
        return plan_out_of_memory(e);
    }
    plan->nodes = nodes;
    nodes[plan->node_count] = node;
    return plan->node_count++;
}

int plan_settings_copy(struct plan_settings *to, const struct plan_option *options, int count,
                       struct error *e)
{
    if (count <= 0) {
        return 0;
    }
    to->list = calloc((size_t)count, sizeof *to->list);
    if (!to->list) {
        return plan_out_of_memory(e);
    }
    to->count = count;
    for (int i = 0; i < count; i++) {
        to->list[i].name = strdup(options[i].name);
        to->list[i].value = strdup(options[i].value);
        if (!to->list[i].name || !to->list[i].value) {
            return plan_out_of_memory(e);
        }
    }
    return 0;
}

const char *plan_setting(const struct plan_node *node, const char *name)
{
    for (int i = node->settings.count - 1; i >= 0; i--) {
        if (!strcmp(node->settings.list[i].name, name)) {
            return node->settings.list[i].value;
        }
    }
    return NULL;
}

bool plan_two_passes(const struct plan_node *node)
{
    const char *passes = node->kind == PLAN_ENCODE ? plan_setting(node, "passes") : NULL;
    return passes && strtod(passes, NULL) == 2;
}

void plan_reach(const struct plan *plan, const int *outputs, int output_count, bool *reached)
{
    for (int i = 0; i < plan->node_count; i++) {
        reached[i] = !outputs && plan->nodes[i]->kind == PLAN_OUTPUT;
    }
    for (int i = 0; outputs && i < output_count; i++) {
        if (outputs[i] >= 0 && outputs[i] < plan->node_count) {
            reached[outputs[i]] = true;
        }
    }
    for (int i = plan->node_count - 1; i >= 0; i--) {
        const struct plan_node *node = plan->nodes[i];
        for (int k = 0; reached[i] && k < node->input_count; k++) {
            reached[node->inputs[k].node] = true;
        }
    }
}

/* ---- looking at a plan ---- */

int plan_node_count(const struct plan *plan)
{
    return plan->node_count;
}

enum plan_kind plan_node_kind(const struct plan *plan, int node)
{
    return plan->nodes[node]->kind;
}

int plan_pad_count(const struct plan *plan, int node)
{
    return node >= 0 && node < plan->node_count ? plan->nodes[node]->pad_count : 0;
}

const struct media_stream *plan_edge_stream(const struct plan *plan, struct plan_edge edge)
{
    if (edge.node < 0 || edge.node >= plan->node_count || edge.pad < 0 ||
        edge.pad >= plan->nodes[edge.node]->pad_count ||
        plan->nodes[edge.node]->kind != PLAN_INPUT) {
        return NULL;
    }
    return &plan->nodes[edge.node]->file->media->streams[edge.pad];
}

/* What the pad itself carries, without its source. */
static void pad_type(const struct plan_node *node, int pad, struct plan_type *type)
{
    *type = (struct plan_type){.flow = PLAN_PACKETS,
                               .kind = AVMEDIA_TYPE_UNKNOWN,
                               .source_node = -1,
                               .source_stream = -1,
                               .codec = ""};
    switch (node->kind) {
    case PLAN_INPUT:
        type->kind = node->file->media->streams[pad].kind;
        type->codec = node->file->media->streams[pad].codec;
        break;
    case PLAN_PICK:
        type->flow = PLAN_FRAMES;
        type->kind = AVMEDIA_TYPE_VIDEO;
        break;
    case PLAN_BURN:
    case PLAN_PALETTE:
        type->flow = PLAN_FRAMES;
        type->kind = AVMEDIA_TYPE_VIDEO;
        break;
    case PLAN_FILTER:
        type->flow = PLAN_FRAMES;
        type->kind = node->pad_kinds[pad];
        break;
    case PLAN_ENCODE:
        type->kind = node->encoder->type;
        type->codec = avcodec_get_name(node->encoder->id);
        break;
    case PLAN_SEQUENCE:
        type->flow = node->packets ? PLAN_PACKETS : PLAN_FRAMES;
        type->kind = node->kind_of_track;
        type->codec = node->packets ? avcodec_get_name(node->codec) : "";
        break;
    case PLAN_COPY: /* taken from its source by the caller */
    case PLAN_MEASURE:
    case PLAN_OUTPUT:
        break;
    }
}

/* The input of a node that a pad's track follows: the first of the pad's kind, else the first. */
static struct plan_edge followed(const struct plan *plan, struct plan_edge edge)
{
    const struct plan_node *node = plan->nodes[edge.node];
    if (node->kind == PLAN_FILTER) {
        for (int i = 0; i < node->input_count; i++) {
            struct plan_type type;
            struct plan_edge input = node->inputs[i];
            pad_type(plan->nodes[input.node], input.pad, &type);
            if (type.kind == node->pad_kinds[edge.pad]) {
                return input;
            }
        }
    }
    return node->input_count ? node->inputs[0] : (struct plan_edge){-1, 0};
}

bool plan_edge_type(const struct plan *plan, struct plan_edge edge, struct plan_type *type)
{
    if (edge.node < 0 || edge.node >= plan->node_count || edge.pad < 0 ||
        edge.pad >= plan->nodes[edge.node]->pad_count) {
        return false;
    }
    pad_type(plan->nodes[edge.node], edge.pad, type);
    struct plan_edge source = edge;
    while (source.node >= 0 && plan->nodes[source.node]->kind != PLAN_INPUT) {
        source = followed(plan, source);
    }
    if (source.node >= 0) {
        type->source_node = source.node;
        type->source_stream = source.pad;
        if (plan->nodes[edge.node]->kind == PLAN_COPY) {
            type->kind = plan_edge_stream(plan, source)->kind;
            type->codec = plan_edge_stream(plan, source)->codec;
        }
    }
    return true;
}

const struct media *plan_input_media(const struct plan *plan, int input)
{
    if (input < 0 || input >= plan->node_count || plan->nodes[input]->kind != PLAN_INPUT) {
        return NULL;
    }
    return plan->nodes[input]->file->media;
}

void plan_output_name(const struct plan *plan, int output, int n, char *name, size_t size)
{
    const struct plan_node *node = plan->nodes[output];
    if (!node->each_picture) {
        av_strlcpy(name, node->name, size);
        return;
    }
    const char *dot = strrchr(node->name, '.');
    int stem = dot ? (int)(dot - node->name) : (int)strlen(node->name);
    snprintf(name, size, "%.*s-%d%s", stem, node->name, n + 1, dot ? dot : "");
}
