/*
 * The nearest ffmpeg command line: what a person would type to get the same. It is for reading and
 * for trying things; nothing here is ever run.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/introspect_internal.h"
#include "engine/plan_explain_internal.h"

/* ---- quoting ---- */

/* A word for a POSIX shell. */
static void print_word(AVBPrint *text, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-+=:,./@%^";
    if (*word && strspn(word, plain) == strlen(word)) {
        av_bprintf(text, "%s", word);
        return;
    }
    av_bprint_chars(text, '\'', 1);
    for (const char *p = word; *p; p++) {
        if (*p == '\'') {
            av_bprintf(text, "'\\''");
        } else {
            av_bprint_chars(text, *p, 1);
        }
    }
    av_bprint_chars(text, '\'', 1);
}

/* A file's label: cleaned, and never taken for an option or a protocol. */
static void print_file(AVBPrint *text, const char *label)
{
    AVBPrint name;
    av_bprint_init(&name, 0, AV_BPRINT_SIZE_UNLIMITED);
    if (*label == '-' || strchr(label, ':')) {
        av_bprintf(&name, "./");
    }
    explain_clean(&name, label);
    print_word(text, name.str);
    av_bprint_finalize(&name, NULL);
}

/* A filter option's value: escaped for the option list, then for the graph. */
static void print_value(AVBPrint *graph, const char *value)
{
    size_t length = strlen(value);
    for (size_t i = 0; i < length; i++) {
        char c = value[i];
        bool edge_space = strchr(" \n\t\r", c) && (i == 0 || i + 1 == length);
        if (c == '\\' || c == '\'' || edge_space) {
            av_bprintf(graph, "\\\\\\%c", c);
        } else if (c == ':') {
            av_bprintf(graph, "\\\\%c", c);
        } else if (strchr("[],;", c)) {
            av_bprintf(graph, "\\%c", c);
        } else {
            av_bprint_chars(graph, c, 1);
        }
    }
}

/* ---- inputs ---- */

/* The command's inputs: a plan's node, and for picks one for each time. */
struct entry {
    int node;
    int time;
};

struct inputs {
    struct entry *list;
    int count;
};

static bool add_entry(struct inputs *inputs, int node, int time)
{
    struct entry *list = realloc(inputs->list, ((size_t)inputs->count + 1) * sizeof *list);
    if (!list) {
        return false;
    }
    inputs->list = list;
    list[inputs->count++] = (struct entry){node, time};
    return true;
}

/* The index of the command's input for a node, or for another node on the same file; -1. */
static int entry_of(const struct explain *x, const struct inputs *inputs, int node)
{
    int same_file = -1;
    for (int i = 0; i < inputs->count; i++) {
        int other = inputs->list[i].node;
        if (other == node) {
            return i;
        }
        if (same_file < 0 && x->plan->nodes[other]->file == x->plan->nodes[node]->file) {
            same_file = i;
        }
    }
    return same_file;
}

static bool input_mapped(const struct explain *x, int number)
{
    for (int pad = 0; pad < x->plan->nodes[number]->pad_count; pad++) {
        for (int i = number + 1; i < x->plan->node_count; i++) {
            const struct plan_node *node = x->plan->nodes[i];
            for (int k = 0; x->reached[i] && node->kind != PLAN_PICK && k < node->input_count;
                 k++) {
                if (node->inputs[k].node == number) {
                    return true;
                }
            }
        }
    }
    return false;
}

static bool collect_inputs(const struct explain *x, struct inputs *inputs)
{
    bool good = true;
    for (int i = 0; i < x->plan->node_count; i++) {
        const struct plan_node *node = x->plan->nodes[i];
        if (x->reached[i] && node->kind == PLAN_INPUT && input_mapped(x, i)) {
            good = good && add_entry(inputs, i, -1);
        }
        for (int t = 0; x->reached[i] && node->kind == PLAN_PICK && t < node->time_count; t++) {
            good = good && add_entry(inputs, i, t);
        }
    }
    for (int i = 0; i < x->plan->node_count; i++) {
        const struct plan_node *node = x->plan->nodes[i];
        const int wanted[] = {node->metadata_from, node->chapters_from};
        for (int k = 0; x->reached[i] && node->kind == PLAN_OUTPUT && k < 2; k++) {
            if (wanted[k] >= 0 && entry_of(x, inputs, wanted[k]) < 0) {
                good = good && add_entry(inputs, wanted[k], -1);
            }
        }
    }
    return good;
}

static void print_inputs(const struct explain *x, const struct inputs *inputs)
{
    for (int i = 0; i < inputs->count; i++) {
        const struct plan_node *node = x->plan->nodes[inputs->list[i].node];
        if (node->kind == PLAN_PICK) {
            av_bprintf(x->text, "%s -ss ", node->nearest_keyframe ? " -noaccurate_seek" : "");
            explain_number(x->text, node->times[inputs->list[i].time]);
        } else if (node->start > 0) {
            av_bprintf(x->text, " -ss ");
            explain_number(x->text, node->start);
        }
        if (node->kind == PLAN_INPUT && isfinite(node->stop)) {
            av_bprintf(x->text, " -t ");
            explain_number(x->text, node->stop - node->start);
        }
        av_bprintf(x->text, " -i ");
        print_file(x->text, node->file->label);
    }
}

/* ---- the filter graph ---- */

/* What stands in the filter graph. Parts that are copied can't be joined with others by ffmpeg: a
 * sequence is a concat of what they are made of. */
static bool is_graph(const struct plan_node *node)
{
    return node->kind == PLAN_FILTER || node->kind == PLAN_BURN || node->kind == PLAN_PALETTE ||
           node->kind == PLAN_SEQUENCE;
}

/* The frames that a sequence's packets are made of. */
static struct plan_edge frames_behind(const struct explain *x, struct plan_edge edge)
{
    const struct plan_node *node = x->plan->nodes[edge.node];
    return node->kind == PLAN_COPY || node->kind == PLAN_ENCODE ? node->inputs[0] : edge;
}

/* How often ffmpeg would take an edge's frames: by filters, and by tracks that encode it. */
static int uses_of(const struct explain *x, struct plan_edge edge)
{
    int uses = 0;
    for (int i = edge.node + 1; i < x->plan->node_count; i++) {
        const struct plan_node *node = x->plan->nodes[i];
        bool takes = is_graph(node);
        /* Of an output's own tracks only sequences are in the graph. */
        int times = x->reached[i] && (takes || node->kind == PLAN_OUTPUT) ? 1 : 0;
        bool tracks = x->reached[i] && node->kind == PLAN_ENCODE;
        for (int o = i + 1; tracks && o < x->plan->node_count; o++) {
            const struct plan_node *output = x->plan->nodes[o];
            for (int k = 0; x->reached[o] && output->kind == PLAN_OUTPUT && k < output->input_count;
                 k++) {
                times += output->inputs[k].node == i;
            }
        }
        for (int k = 0; k < node->input_count; k++) {
            struct plan_edge from = node->inputs[k];
            from = node->kind == PLAN_SEQUENCE ? frames_behind(x, from) : from;
            uses += from.node == edge.node && from.pad == edge.pad ? times : 0;
        }
    }
    return uses;
}

/* Writes the name of an edge's label: "f3", "f3_1" for a second pad, and a letter for each use
 * where there are several. `taken` counts the uses so far, by node and pad. */
struct labels {
    int *taken; /* by node, pads added up: labels are only unique if this only rises */
};

static void print_label(const struct explain *x, AVBPrint *text, const struct labels *labels,
                        struct plan_edge edge)
{
    av_bprintf(text, "f%d", edge.node);
    if (x->plan->nodes[edge.node]->pad_count > 1) {
        av_bprintf(text, "_%d", edge.pad);
    }
    if (uses_of(x, edge) > 1) {
        int index = edge.node;
        for (int i = 0; i < edge.node; i++) {
            index += x->plan->nodes[i]->pad_count;
        }
        av_bprintf(text, "s%d", labels->taken[index + edge.pad]++);
    }
}

/* After a filter: names its outputs, and splits those that are used more than once. */
static void print_outputs(const struct explain *x, AVBPrint *graph, int number)
{
    const struct plan_node *node = x->plan->nodes[number];
    for (int pad = 0; pad < node->pad_count; pad++) {
        struct plan_edge edge = {number, pad};
        av_bprintf(graph, "[f%d", number);
        if (node->pad_count > 1) {
            av_bprintf(graph, "_%d", pad);
        }
        av_bprintf(graph, "%s]", uses_of(x, edge) > 1 ? "x" : "");
    }
    for (int pad = 0; pad < node->pad_count; pad++) {
        struct plan_edge edge = {number, pad};
        struct plan_type type;
        plan_edge_type(x->plan, edge, &type);
        int uses = uses_of(x, edge);
        char name[48];
        snprintf(name, sizeof name, node->pad_count > 1 ? "f%d_%d" : "f%d", number, pad);
        const char *sound = type.kind == AVMEDIA_TYPE_AUDIO ? "a" : "";
        if (uses > 1) {
            av_bprintf(graph, ";[%sx]%ssplit=%d", name, sound, uses);
            for (int i = 0; i < uses; i++) {
                av_bprintf(graph, "[%ss%d]", name, i);
            }
        } else if (uses == 0) {
            av_bprintf(graph, ";[%s]%snullsink", name, sound);
        }
    }
}

/* What a filter takes: "[0:1]" for a stream of the command's inputs, else a label. */
static void print_source(const struct explain *x, AVBPrint *graph, const struct inputs *inputs,
                         const struct labels *labels, struct plan_edge edge)
{
    av_bprintf(graph, "[");
    if (x->plan->nodes[edge.node]->kind == PLAN_INPUT) {
        av_bprintf(graph, "%d:%d", entry_of(x, inputs, edge.node), edge.pad);
    } else {
        print_label(x, graph, labels, edge);
    }
    av_bprintf(graph, "]");
}

static void print_pick(const struct explain *x, AVBPrint *graph, const struct inputs *inputs,
                       int number)
{
    const struct plan_node *node = x->plan->nodes[number];
    int first = entry_of(x, inputs, number);
    for (int i = 0; i < node->time_count; i++) {
        av_bprintf(graph, "[%d:%d]trim=end_frame=1", first + i, node->inputs[0].pad);
        if (node->time_count > 1) {
            av_bprintf(graph, "[p%d_%d];", number, i);
        }
    }
    for (int i = 0; node->time_count > 1 && i < node->time_count; i++) {
        av_bprintf(graph, "[p%d_%d]", number, i);
    }
    if (node->time_count > 1) {
        av_bprintf(graph, "concat=n=%d", node->time_count);
    }
}

/* Text by its file, as ffmpeg's filter reads it by itself; pictures as a stream that lies over. */
static void print_burn(const struct explain *x, AVBPrint *graph, const struct inputs *inputs,
                       const struct plan_node *node)
{
    const struct plan_node *from = x->plan->nodes[node->inputs[1].node];
    const struct media_stream *streams = from->file->media->streams;
    const struct media_stream *stream = &streams[node->inputs[1].pad];
    const AVCodecDescriptor *descriptor = avcodec_descriptor_get(stream->parameters->codec_id);
    if (!descriptor || !(descriptor->props & AV_CODEC_PROP_TEXT_SUB)) {
        av_bprintf(graph, "[%d:%d]overlay", entry_of(x, inputs, node->inputs[1].node),
                   node->inputs[1].pad);
        return;
    }
    int number = 0;
    for (int i = 0; i < node->inputs[1].pad; i++) {
        number += streams[i].kind == AVMEDIA_TYPE_SUBTITLE;
    }
    av_bprintf(graph, "subtitles=filename=");
    print_value(graph, from->file->label);
    av_bprintf(graph, ":si=%d", number);
}

/* What comes nearest to a palette of ours. */
static void print_palette(AVBPrint *graph, const struct plan_node *node, int number)
{
    const char *colors = plan_setting(node, "colors");
    const char *transparency = plan_setting(node, "transparency");
    bool opaque = transparency && (*transparency == '0' || *transparency == 'f');
    av_bprintf(graph, "split[f%da][f%db];[f%da]palettegen=max_colors=", number, number, number);
    print_value(graph, colors ? colors : "256");
    av_bprintf(graph,
               "%s[f%dc];[f%db][f%dc]paletteuse=dither=", opaque ? ":reserve_transparent=0" : "",
               number, number, number);
    const char *dither = plan_setting(node, "dither");
    print_value(graph, dither ? dither : "sierra2_4a");
    static const char *const same[] = {"bayer_scale", "alpha_threshold"};
    for (size_t i = 0; i < 2; i++) {
        const char *value = plan_setting(node, same[i]);
        if (value) {
            av_bprintf(graph, ":%s=", same[i]);
            print_value(graph, value);
        }
    }
}

static void print_graph(const struct explain *x, const struct inputs *inputs,
                        const struct labels *labels)
{
    AVBPrint graph;
    av_bprint_init(&graph, 0, AV_BPRINT_SIZE_UNLIMITED);
    for (int i = 0; i < x->plan->node_count; i++) {
        const struct plan_node *node = x->plan->nodes[i];
        bool takes = is_graph(node);
        if (!x->reached[i] || (!takes && node->kind != PLAN_PICK)) {
            continue;
        }
        av_bprintf(&graph, "%s", graph.len ? ";" : "");
        if (node->kind == PLAN_PICK) {
            print_pick(x, &graph, inputs, i);
        }
        int sources = node->kind == PLAN_BURN ? 1 : node->input_count;
        for (int k = 0; takes && k < sources; k++) {
            print_source(x, &graph, inputs, labels, frames_behind(x, node->inputs[k]));
        }
        if (node->kind == PLAN_SEQUENCE) {
            bool sound = node->kind_of_track == AVMEDIA_TYPE_AUDIO;
            av_bprintf(&graph, "concat=n=%d:v=%d:a=%d", node->input_count, !sound, sound);
        }
        if (node->kind == PLAN_BURN) {
            print_burn(x, &graph, inputs, node);
        }
        if (node->kind == PLAN_PALETTE) {
            print_palette(&graph, node, i);
        }
        if (node->kind == PLAN_FILTER) {
            av_bprintf(&graph, "%s", node->filter->name);
            for (int k = 0; k < node->settings.count; k++) {
                av_bprintf(&graph, "%s%s=", k ? ":" : "=", node->settings.list[k].name);
                print_value(&graph, node->settings.list[k].value);
            }
        }
        print_outputs(x, &graph, i);
    }
    if (graph.len) {
        error_clean_text(graph.str);
        av_bprintf(x->text, " -filter_complex ");
        print_word(x->text, graph.str);
    }
    av_bprint_finalize(&graph, NULL);
}

/* ---- outputs ---- */

static void print_option(AVBPrint *text, const char *name, int track, const char *value)
{
    char *copy = strdup(value);
    if (copy) {
        error_clean_text(copy);
        av_bprintf(text, " -%s:%d ", name, track);
        print_word(text, copy);
    }
    free(copy);
}

static bool is_track_option(const char *name)
{
    static const char *const names[] = {"language", "title", "default", "forced"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!strcmp(name, names[i])) {
            return true;
        }
    }
    return false;
}

static void print_track_options(AVBPrint *text, const struct plan_node *node, int track)
{
    static const char *const tags[] = {"language", "title"};
    for (size_t i = 0; i < 2; i++) {
        const char *value = plan_setting(node, tags[i]);
        if (value) {
            AVBPrint tag;
            av_bprint_init(&tag, 0, AV_BPRINT_SIZE_UNLIMITED);
            av_bprintf(&tag, "%s=", tags[i]);
            explain_clean(&tag, value);
            av_bprintf(text, " -metadata:s:%d ", track);
            print_word(text, tag.str);
            av_bprint_finalize(&tag, NULL);
        }
    }
    const char *normal = plan_setting(node, "default");
    const char *forced = plan_setting(node, "forced");
    if (normal || forced) {
        bool d = normal && (*normal == '1' || *normal == 't');
        bool f = forced && (*forced == '1' || *forced == 't');
        av_bprintf(text, " -disposition:%d %s%s%s", track, d ? "default" : "", d && f ? "+" : "",
                   f   ? "forced"
                   : d ? ""
                       : "0");
    }
}

static void print_encode_options(AVBPrint *text, const struct plan_node *node, int track,
                                 bool first_pass)
{
    static const struct {
        const char *ours, *theirs;
    } renamed[] = {
        {"bitrate", "b"},
        {"max_bitrate", "maxrate"},
        {"buffer_size", "bufsize"},
        {"quality", "q"},
        {"gop", "g"},
        {"pixel_format", "pix_fmt"},
        {"sample_format", "sample_fmt"},
        {"sample_rate", "ar"},
        {"channels", "ac"},
        {"layout", "ch_layout"},
        {"frame_rate", "r"},
    };
    for (int i = 0; i < node->settings.count; i++) {
        const char *name = node->settings.list[i].name;
        for (size_t k = 0; k < sizeof renamed / sizeof *renamed; k++) {
            name = strcmp(name, renamed[k].ours) ? name : renamed[k].theirs;
        }
        if (!is_track_option(name) && strcmp(name, "passes") != 0) {
            print_option(text, name, track, node->settings.list[i].value);
        }
    }
    if (plan_two_passes(node)) {
        print_option(text, "pass", track, first_pass ? "1" : "2");
    }
}

/* A sequence of packets, encoded as its first encoded segment is. */
static void print_joined(const struct explain *x, AVBPrint *text, const struct plan_node *node,
                         int track)
{
    for (int i = 0; i < node->input_count; i++) {
        const struct plan_node *part = x->plan->nodes[node->inputs[i].node];
        if (part->kind == PLAN_ENCODE) {
            av_bprintf(text, " -c:%d %s", track, part->encoder->name);
            print_encode_options(text, part, track, false);
            return;
        }
    }
    av_bprintf(text, " -c:%d %s", track, avcodec_get_name(node->codec));
}

static void print_track(const struct explain *x, const struct inputs *inputs,
                        const struct labels *labels, int number, AVBPrint *maps, AVBPrint *codecs,
                        int track, bool first_pass)
{
    const struct plan_node *node = x->plan->nodes[number];
    bool joined = node->kind == PLAN_SEQUENCE;
    struct plan_edge source = joined ? (struct plan_edge){number, 0} : node->inputs[0];
    if (x->plan->nodes[source.node]->kind == PLAN_INPUT) {
        av_bprintf(maps, " -map %d:%d", entry_of(x, inputs, source.node), source.pad);
    } else {
        av_bprintf(maps, " -map '[");
        print_label(x, maps, labels, source);
        av_bprintf(maps, "]'");
    }
    if (joined) {
        print_joined(x, codecs, node, track);
    } else if (node->kind == PLAN_COPY) {
        av_bprintf(codecs, " -c:%d copy", track);
        if (node->bsf) {
            print_option(codecs, "bsf", track, node->bsf);
        }
    } else {
        av_bprintf(codecs, " -c:%d %s", track, node->encoder->name);
        print_encode_options(codecs, node, track, first_pass);
    }
    if (first_pass) {
        return;
    }
    print_track_options(codecs, node, track);
}

static void print_output_file(const struct explain *x, const struct plan_node *node)
{
    if (!node->each_picture) {
        /* image2 wants to be told that a name without a number is meant. */
        av_bprintf(x->text, " %s", node->format->picture ? "-frames:v 1 -update 1 " : "");
        print_file(x->text, node->name);
        return;
    }
    char name[300];
    const char *dot = strrchr(node->name, '.');
    snprintf(name, sizeof name, "%.*s-%%d%s", (int)(dot - node->name), node->name, dot);
    av_bprintf(x->text, " -f image2 ");
    print_file(x->text, name);
}

static void print_tracks(const struct explain *x, const struct inputs *inputs,
                         const struct labels *labels, const struct plan_node *node, bool first_pass)
{
    AVBPrint maps;
    AVBPrint codecs;
    int count = 0;
    av_bprint_init(&maps, 0, AV_BPRINT_SIZE_UNLIMITED);
    av_bprint_init(&codecs, 0, AV_BPRINT_SIZE_UNLIMITED);
    for (int i = 0; i < node->input_count; i++) {
        int number = node->inputs[i].node;
        if (!first_pass || plan_two_passes(x->plan->nodes[number])) {
            print_track(x, inputs, labels, number, &maps, &codecs, count++, first_pass);
        }
    }
    av_bprintf(x->text, "%s%s", maps.str, codecs.str);
    if (first_pass && count > 0) {
        av_bprintf(x->text, " -f null /dev/null");
    }
    av_bprint_finalize(&maps, NULL);
    av_bprint_finalize(&codecs, NULL);
}

static void print_output(const struct explain *x, const struct inputs *inputs,
                         const struct labels *labels, const struct plan_node *node)
{
    print_tracks(x, inputs, labels, node, false);
    av_bprintf(x->text, " -map_metadata %d -map_chapters %d",
               node->metadata_from >= 0 ? entry_of(x, inputs, node->metadata_from) : -1,
               node->chapters_from >= 0 ? entry_of(x, inputs, node->chapters_from) : -1);
    const AVDictionaryEntry *tag = NULL;
    while ((tag = av_dict_get(node->metadata, "", tag, AV_DICT_IGNORE_SUFFIX))) {
        AVBPrint pair;
        av_bprint_init(&pair, 0, AV_BPRINT_SIZE_UNLIMITED);
        explain_clean(&pair, tag->key);
        av_bprintf(&pair, "=");
        explain_clean(&pair, tag->value);
        av_bprintf(x->text, " -metadata ");
        print_word(x->text, pair.str);
        av_bprint_finalize(&pair, NULL);
    }
    if (node->faststart) {
        av_bprintf(x->text, " -movflags +faststart");
    }
    for (int i = 0; i < node->settings.count; i++) {
        av_bprintf(x->text, " -%s ", node->settings.list[i].name);
        print_word(x->text, node->settings.list[i].value);
    }
    if (node->max_size) {
        av_bprintf(x->text, " -fs %lld", (long long)node->max_size);
    }
    print_output_file(x, node);
}

static void print_command(const struct explain *x, bool first_pass)
{
    size_t pads = (size_t)x->plan->node_count + 1;
    for (int i = 0; i < x->plan->node_count; i++) {
        pads += (size_t)x->plan->nodes[i]->pad_count;
    }
    struct labels labels = {calloc(pads, sizeof *labels.taken)};
    struct inputs inputs = {0};
    if (!labels.taken || !collect_inputs(x, &inputs)) {
        /* The caller sees that the buffer is incomplete. */
        x->text->len = x->text->size;
    } else {
        av_bprintf(x->text, "ffmpeg");
        print_inputs(x, &inputs);
        print_graph(x, &inputs, &labels);
        for (int i = 0; i < x->plan->node_count; i++) {
            if (!x->reached[i] || x->plan->nodes[i]->kind != PLAN_OUTPUT) {
                continue;
            }
            if (first_pass) {
                print_tracks(x, &inputs, &labels, x->plan->nodes[i], true);
            } else {
                print_output(x, &inputs, &labels, x->plan->nodes[i]);
            }
        }
        av_bprintf(x->text, first_pass ? " && " : "\n");
    }
    free(labels.taken);
    free(inputs.list);
}

/* A first command for those encoders that take two passes, if there are any. */
static void print_first_pass(const struct explain *x)
{
    struct explain first = *x;
    int *nodes = calloc((size_t)x->plan->node_count + 1, sizeof *nodes);
    bool *reached = calloc((size_t)x->plan->node_count + 1, sizeof *reached);
    int count = 0;
    for (int i = 0; nodes && reached && i < x->plan->node_count; i++) {
        if (x->reached[i] && plan_two_passes(x->plan->nodes[i])) {
            nodes[count++] = i;
        }
    }
    if (!nodes || !reached) {
        x->text->len = x->text->size;
    } else if (count > 0) {
        plan_reach(x->plan, nodes, count, reached);
        for (int i = 0; i < x->plan->node_count; i++) {
            reached[i] |= x->reached[i] && x->plan->nodes[i]->kind == PLAN_OUTPUT;
        }
        first.reached = reached;
        print_command(&first, true);
    }
    free(nodes);
    free(reached);
}

void explain_ffmpeg(const struct explain *x)
{
    print_first_pass(x);
    print_command(x, false);
}
