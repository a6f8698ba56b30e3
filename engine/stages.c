/*
 * From plan to stages: what the outputs of a run need, made and connected.
 *
 * Everything is made on one thread, sources first, so that a stage finds the ports that it reads
 * from. A sequence is a source like others: what gives its segments is made by runs of its own, one
 * after the other (segment.c), in which the segment is what everything leads to.
 */
#include <stdlib.h>

#include "engine/encode_internal.h"

static const struct plan_node *node_of(const struct run *run, int node)
{
    return run->plan->nodes[node];
}

static bool reached(const struct run *run, int node, enum plan_kind kind)
{
    return run->reached[node] && node_of(run, node)->kind == kind;
}

bool run_uses(const struct run *run, int node, int input)
{
    if (!run->reached[node])
        return false;
    switch (node_of(run, node)->kind) {
    case PLAN_OUTPUT:
    case PLAN_PICK:
        return false;
    case PLAN_SEQUENCE:
        return node == run->sequence && input == run->segment;
    case PLAN_BURN: /* subtitles are read by its stage itself */
        return input == 0;
    default:
        return true;
    }
}

struct plan_edge run_feed_edge(const struct run *run, int node)
{
    return node_of(run, node)->inputs[node == run->sequence ? run->segment : 0];
}

static bool is_subtitle(const struct run *run, int node)
{
    return node_of(run, node)->encoder->type == AVMEDIA_TYPE_SUBTITLE;
}

/* What is needed of each pad of an input node: bit 0 packets, bit 1 frames. */
enum { NEEDS_PACKETS = 1, NEEDS_FRAMES = 2 };

static int pad_needs(const struct run *run, int node, int pad)
{
    int needs = 0;
    for (int i = 0; i < run->plan->node_count; i++) {
        const struct plan_node *user = node_of(run, i);
        for (int k = 0; k < user->input_count; k++) {
            if (user->inputs[k].node != node || user->inputs[k].pad != pad || !run_uses(run, i, k))
                continue;
            bool packets =
                user->kind == PLAN_COPY || (user->kind == PLAN_ENCODE && is_subtitle(run, i));
            needs |= packets ? NEEDS_PACKETS : NEEDS_FRAMES;
        }
    }
    return needs;
}

static int make_input(struct run *run, int node, struct error *e)
{
    const struct plan_node *input = node_of(run, node);
    struct run_node *entry = &run->nodes[node];
    int needs = 0;
    for (int i = 0; i < input->pad_count; i++)
        needs |= pad_needs(run, node, i);
    if (!needs) /* only picked from */
        return 0;
    entry->packets = calloc((size_t)input->pad_count, sizeof(struct port *));
    entry->frames = calloc((size_t)input->pad_count, sizeof(struct port *));
    if (!entry->packets || !entry->frames)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a run");
    int code = demux_create(run, node, &entry->stage, e);
    for (int i = 0; i < input->pad_count && code == 0; i++)
        entry->packets[i] = &entry->stage->task.ports[i];
    for (int i = 0; i < input->pad_count && code == 0; i++) {
        struct stage *decode = NULL;
        if (!(pad_needs(run, node, i) & NEEDS_FRAMES))
            continue;
        code = decode_create(run, node, i, &decode, e);
        if (code == 0)
            entry->frames[i] = &decode->task.ports[0];
    }
    return code;
}

/* Shows a stage's port as a node's only one, as packets or as frames. */
static int show_port(struct port ***list, struct stage *stage, int port, struct error *e)
{
    *list = calloc(1, sizeof(struct port *));
    if (!*list)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a run");
    (*list)[0] = &stage->task.ports[port];
    return 0;
}

/* One stage for all pick nodes of a file; its ports are in the nodes' order. */
static int make_picks(struct run *run, struct plan_file *file, struct error *e)
{
    struct stage *stage = NULL;
    int port = 0;
    for (int i = 0; i < run->plan->node_count; i++) {
        if (!reached(run, i, PLAN_PICK) || node_of(run, i)->file != file)
            continue;
        int code = stage ? 0 : pick_create(run, file, &stage, e);
        run->nodes[i].stage = stage;
        if (code == 0)
            code = show_port(&run->nodes[i].frames, stage, port++, e);
        if (code < 0)
            return code;
    }
    return 0;
}

/* Encoders are made before the filters, which ask them what they take. */
static int make_encode(struct run *run, int node, struct error *e)
{
    struct run_node *entry = &run->nodes[node];
    int code = is_subtitle(run, node) ? subtitle_create(run, node, &entry->stage, e)
                                      : encode_create(run, node, &entry->stage, e);
    return code == 0 ? show_port(&entry->packets, entry->stage, 0, e) : code;
}

static int make_measure(struct run *run, int node, struct error *e)
{
    return measure_create(run, node, &run->nodes[node].stage, e);
}

/* A stage of frames in, frames out. */
static int make_between(struct run *run, int node, struct error *e)
{
    struct run_node *entry = &run->nodes[node];
    int code = node_of(run, node)->kind == PLAN_BURN
                   ? burn_create(run, node, &entry->stage, e)
                   : palettize_create(run, node, &entry->stage, e);
    return code == 0 ? show_port(&entry->frames, entry->stage, 0, e) : code;
}

static struct port *find_feed(const struct run *run, int node)
{
    struct plan_edge edge = run_feed_edge(run, node);
    return run->nodes[node].feed ? run->nodes[node].feed : run->nodes[edge.node].frames[edge.pad];
}

static int feed_measure(struct run *run, int node, struct error *e)
{
    return measure_connect(run->nodes[node].stage, find_feed(run, node), e);
}

static int feed_between(struct run *run, int node, struct error *e)
{
    struct run_node *entry = &run->nodes[node];
    entry->feed = find_feed(run, node);
    return task_connect(entry->feed, &entry->stage->task, 0, e);
}

static int feed_encode(struct run *run, int node, struct error *e)
{
    struct run_node *entry = &run->nodes[node];
    if (is_subtitle(run, node))
        return 0;
    entry->feed = find_feed(run, node);
    int code = task_connect(entry->feed, &entry->stage->task, 0, e);
    if (code == 0 && run->pass == RUN_FIRST)
        code = encode_schedule(entry->stage, entry->feed, e);
    return code;
}

/* ---- filters that hang together ---- */

/* Filters before a burn and filters behind it are never in one graph: that would wait for frames
 * which it has to give first. So a graph only takes what comes from lower levels. */
static void find_levels(struct run *run)
{
    for (int i = 0; i < run->plan->node_count; i++) {
        const struct plan_node *node = node_of(run, i);
        for (int k = 0; k < node->input_count; k++) {
            int from = node->inputs[k].node;
            int level = run->nodes[from].level + (node_of(run, from)->kind == PLAN_BURN);
            run->nodes[i].level = FFMAX(run->nodes[i].level, level);
        }
    }
}

static void spread_component(struct run *run, int from, int component)
{
    bool changed = true;
    run->nodes[from].component = component;
    while (changed) {
        changed = false;
        for (int i = 0; i < run->plan->node_count; i++) {
            if (!reached(run, i, PLAN_FILTER))
                continue;
            const struct plan_node *node = node_of(run, i);
            for (int k = 0; k < node->input_count; k++) {
                int other = node->inputs[k].node;
                if (!reached(run, other, PLAN_FILTER) ||
                    run->nodes[i].level != run->nodes[other].level)
                    continue;
                struct run_node *a = &run->nodes[i], *b = &run->nodes[other];
                if ((a->component == component) != (b->component == component)) {
                    a->component = b->component = component;
                    changed = true;
                }
            }
        }
    }
}

/* Adds what a node takes of the component's edges; edges for other graphs only once. */
static int add_consumers(const struct run *run, int node, int component,
                         struct filter_consumer *consumers, int count)
{
    const struct plan_node *user = node_of(run, node);
    bool filter = user->kind == PLAN_FILTER;
    for (int k = 0; k < (filter ? user->input_count : 1); k++) {
        struct plan_edge edge = filter ? user->inputs[k] : run_feed_edge(run, node);
        bool known = run->nodes[edge.node].component != component ||
                     (filter && run->nodes[node].component == component);
        for (int i = 0; i < count && filter && !known; i++) {
            known = consumers[i].node < 0 && consumers[i].edge.node == edge.node &&
                    consumers[i].edge.pad == edge.pad;
        }
        if (!known)
            consumers[count++] = (struct filter_consumer){filter ? -1 : node, edge};
    }
    return count;
}

static int make_filter(struct run *run, int component, struct error *e)
{
    size_t most = 1;
    for (int i = 0; i < run->plan->node_count; i++)
        most += (size_t)node_of(run, i)->input_count;
    struct filter_consumer *consumers = calloc(most, sizeof *consumers);
    if (!consumers)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a run");
    int count = 0;
    for (int i = 0; i < run->plan->node_count; i++) {
        bool takes = reached(run, i, PLAN_ENCODE) || reached(run, i, PLAN_MEASURE) ||
                     reached(run, i, PLAN_PALETTE) || reached(run, i, PLAN_BURN) ||
                     reached(run, i, PLAN_FILTER) || i == run->sequence;
        if (takes)
            count = add_consumers(run, i, component, consumers, count);
    }
    struct stage *stage = NULL;
    int code = filter_create(run, component, consumers, count, &stage, e);
    free(consumers);
    return code;
}

/* Lower levels first, so that a graph finds the ports of those before it. */
static int make_filters(struct run *run, struct error *e)
{
    int component = 0, code = 0, highest = 0;
    find_levels(run);
    for (int i = 0; i < run->plan->node_count; i++) {
        highest = FFMAX(highest, run->nodes[i].level);
        if (reached(run, i, PLAN_FILTER) && !run->nodes[i].component)
            spread_component(run, i, ++component);
    }
    for (int level = 0; level <= highest; level++) {
        int made = 0;
        for (int i = 0; i < run->plan->node_count && code == 0; i++) {
            if (!reached(run, i, PLAN_FILTER) || run->nodes[i].level != level ||
                run->nodes[i].component <= made)
                continue;
            made = run->nodes[i].component;
            code = make_filter(run, made, e);
        }
    }
    return code;
}

/* ---- sequences ---- */

/* A sequence of the run is a source; the one whose segment the run is for comes last. */
static int make_sequence(struct run *run, int node, struct error *e)
{
    struct run_node *entry = &run->nodes[node];
    if (node == run->sequence)
        return segment_create(run, &entry->stage, e);
    int code = sequence_create(run, node, &entry->stage, e);
    if (code < 0)
        return code;
    struct port ***list = node_of(run, node)->packets ? &entry->packets : &entry->frames;
    return show_port(list, entry->stage, 0, e);
}

static struct port *find_packets(const struct run *run, struct plan_edge edge)
{
    if (node_of(run, edge.node)->kind == PLAN_COPY)
        edge = node_of(run, edge.node)->inputs[0];
    return run->nodes[edge.node].packets[edge.pad];
}

static int feed_segment(struct run *run, int node, struct error *e)
{
    if (node != run->sequence)
        return 0;
    struct port *from = node_of(run, node)->packets ? find_packets(run, run_feed_edge(run, node))
                                                    : find_feed(run, node);
    return segment_connect(run->nodes[node].stage, from, e);
}

static int make_output(struct run *run, int node, struct error *e)
{
    struct stage **stage = &run->nodes[node].stage;
    return node_of(run, node)->each_picture ? pictures_create(run, node, stage, e)
                                            : mux_create(run, node, stage, e);
}

static int make_each(struct run *run, enum plan_kind kind,
                     int (*make)(struct run *run, int node, struct error *e), struct error *e)
{
    int code = 0;
    for (int i = 0; i < run->plan->node_count && code == 0; i++) {
        if (reached(run, i, kind))
            code = make(run, i, e);
    }
    return code;
}

int run_make_stages(struct run *run, struct error *e)
{
    int code = make_each(run, PLAN_INPUT, make_input, e);
    for (int i = 0; i < run->plan->file_count && code == 0; i++)
        code = make_picks(run, run->plan->files[i], e);
    if (code == 0)
        code = make_each(run, PLAN_SEQUENCE, make_sequence, e);
    if (code == 0)
        code = make_each(run, PLAN_ENCODE, make_encode, e);
    if (code == 0)
        code = make_each(run, PLAN_MEASURE, make_measure, e);
    if (code == 0)
        code = make_each(run, PLAN_BURN, make_between, e);
    if (code == 0)
        code = make_each(run, PLAN_PALETTE, make_between, e);
    if (code == 0)
        code = make_filters(run, e);
    if (code == 0)
        code = make_each(run, PLAN_BURN, feed_between, e);
    if (code == 0)
        code = make_each(run, PLAN_PALETTE, feed_between, e);
    if (code == 0)
        code = make_each(run, PLAN_ENCODE, feed_encode, e);
    if (code == 0)
        code = make_each(run, PLAN_MEASURE, feed_measure, e);
    if (code == 0)
        code = make_each(run, PLAN_SEQUENCE, feed_segment, e);
    if (code == 0)
        code = make_each(run, PLAN_OUTPUT, make_output, e);
    return code;
}
