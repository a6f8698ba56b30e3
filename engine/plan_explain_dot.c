/*
 * A plan as a graph for Graphviz.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/introspect_internal.h"
#include "engine/plan_explain_internal.h"

/* Appends what another buffer holds as the inside of a quoted string. */
static void escape(AVBPrint *text, const char *plain)
{
    for (const char *p = plain; *p; p++) {
        if (*p == '"' || *p == '\\') {
            av_bprint_chars(text, '\\', 1);
        }
        av_bprint_chars(text, *p, 1);
    }
}

static void escape_clean(AVBPrint *text, const char *untrusted)
{
    char *copy = strdup(untrusted);
    if (copy) {
        error_clean_text(copy);
        escape(text, copy);
    }
    free(copy);
}

static void print_label(const struct explain *x, const struct plan_node *node)
{
    if (node->kind == PLAN_INPUT || node->kind == PLAN_OUTPUT) {
        escape_clean(x->text, node->kind == PLAN_INPUT ? node->file->label : node->name);
        av_bprintf(x->text, "\\n");
    }
    switch (node->kind) {
    case PLAN_INPUT:
        explain_input(x->text, node);
        break;
    case PLAN_OUTPUT:
        av_bprintf(x->text, "%s", node->format->name);
        break;
    case PLAN_PICK:
        av_bprintf(x->text, "pick %d %s", node->time_count,
                   node->nearest_keyframe ? "keyframes" : "frames");
        break;
    case PLAN_FILTER:
    case PLAN_BURN:
    case PLAN_PALETTE:
    case PLAN_ENCODE:
    case PLAN_COPY:
    case PLAN_SEQUENCE:
    case PLAN_MEASURE:
        av_bprintf(x->text, "%s", explain_node_name(node));
        for (int i = 0; i < node->settings.count; i++) {
            av_bprintf(x->text, "\\n%s=", node->settings.list[i].name);
            escape_clean(x->text, node->settings.list[i].value);
        }
        break;
    }
}

static void print_edge(const struct explain *x, struct plan_edge edge, int to)
{
    struct plan_type type;
    plan_edge_type(x->plan, edge, &type);
    const struct plan_node *consumer = x->plan->nodes[to];
    bool decoded = type.flow == PLAN_PACKETS && x->plan->nodes[edge.node]->kind == PLAN_INPUT &&
                   consumer->kind != PLAN_COPY;
    av_bprintf(x->text, "  n%d -> n%d [label=\"%s%s%s%s\"%s];\n", edge.node, to,
               introspect_kind(type.kind), *type.codec ? " " : "", type.codec,
               decoded ? ", decoded" : "", type.flow == PLAN_PACKETS ? " style=bold" : "");
}

void explain_dot(const struct explain *x)
{
    static const char *const shapes[] = {
        [PLAN_INPUT] = "folder", [PLAN_PICK] = "box",     [PLAN_FILTER] = "ellipse",
        [PLAN_BURN] = "box",     [PLAN_PALETTE] = "box",  [PLAN_ENCODE] = "box",
        [PLAN_COPY] = "box",     [PLAN_SEQUENCE] = "box", [PLAN_MEASURE] = "box",
        [PLAN_OUTPUT] = "note",
    };
    av_bprintf(x->text, "digraph plan {\n  rankdir=LR;\n");
    for (int i = 0; i < x->plan->node_count; i++) {
        if (x->reached[i]) {
            av_bprintf(x->text, "  n%d [shape=%s label=\"", i, shapes[x->plan->nodes[i]->kind]);
            print_label(x, x->plan->nodes[i]);
            av_bprintf(x->text, "\"];\n");
        }
    }
    for (int i = 0; i < x->plan->node_count; i++) {
        for (int k = 0; x->reached[i] && k < x->plan->nodes[i]->input_count; k++) {
            print_edge(x, x->plan->nodes[i]->inputs[k], i);
        }
    }
    av_bprintf(x->text, "}\n");
}
