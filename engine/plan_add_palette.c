/*
 * Adding palettes. Their settings are checked here, once; the palettize stage only reads them.
 */
#include <stdio.h>
#include <string.h>

#include "engine/introspect_internal.h"
#include "engine/palette.h"
#include "engine/plan_build.h"

static int refuse_dither(const struct plan_option *option, struct error *e)
{
    const char *names[PALETTE_DITHERS];
    char list[256] = "";
    for (int i = 0; i < PALETTE_DITHERS; i++) {
        names[i] = palette_dither_name((enum palette_dither)i);
        size_t length = strlen(list);
        snprintf(list + length, sizeof list - length, "%s%s", i ? ", " : "", names[i]);
    }
    const char *nearest = introspect_nearest(option->value, names, PALETTE_DITHERS);
    error_set(e, ERROR_INVALID_OPTION, "option 'dither' of palette can't be '%.64s'%s%s%s",
              option->value, nearest ? "; did you mean '" : "", nearest ? nearest : "",
              nearest ? "'?" : "");
    error_place(e, "dither", option->value, list);
    return ERROR_INVALID_OPTION;
}

static int check_dither(const struct plan_option *option, struct error *e)
{
    return palette_dither_from_name(option->value) < 0 ? refuse_dither(option, e) : 0;
}

static int check_flag(const struct plan_option *option, struct error *e)
{
    static const char *const values[] = {"0", "1", "true", "false"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        if (!strcmp(option->value, values[i])) {
            return 0;
        }
    }
    error_set(e, ERROR_INVALID_OPTION, "option '%s' of palette can't be '%.64s'", option->name,
              option->value);
    error_place(e, option->name, option->value, "true or false");
    return ERROR_INVALID_OPTION;
}

static const struct plan_known_option known[] = {
    {"colors", PALETTE_MIN_COLORS, PALETTE_MAX_COLORS, true, NULL},
    {"dither", 0, 0, false, check_dither},
    {"bayer_scale", 0, 5, true, NULL},
    {"alpha_threshold", 0, 255, true, NULL},
    {"stable", 0, 0, false, check_flag},
    {"tolerance", 0, 32, true, NULL},
    {"transparency", 0, 0, false, check_flag},
};

int plan_refuse_palette(const struct plan *plan, struct plan_edge edge, const char *what,
                        struct error *e)
{
    if (edge.node < 0 || edge.node >= plan->node_count ||
        plan->nodes[edge.node]->kind != PLAN_PALETTE) {
        return 0;
    }
    error_set(e, ERROR_INVALID_OPTION, "what a palette gives goes to an encoder, not to %s", what);
    error_place(e, what, "palette", "a stream before its palette is made");
    return ERROR_INVALID_OPTION;
}

int plan_add_palette(struct plan *plan, struct plan_edge input, const struct plan_option *options,
                     int option_count, struct error *e)
{
    int code = plan_check_frames(plan, input, "palette", e);
    if (code >= 0) {
        code = plan_refuse_palette(plan, input, "another palette", e);
    }
    struct plan_type type = {0};
    if (code >= 0 && plan_edge_type(plan, input, &type) && type.kind != AVMEDIA_TYPE_VIDEO) {
        code = error_set(e, ERROR_INVALID_OPTION, "a palette is made of video, not of %s",
                         introspect_kind(type.kind));
        error_place(e, "palette", introspect_kind(type.kind), "video");
    }
    if (code >= 0 && plan->nodes[input.node]->endless) {
        code = error_set(e, ERROR_INVALID_OPTION,
                         "a palette is made of all frames, and these would never end");
        error_place(e, "palette", NULL, "a source with a duration, or a trim after it");
    }
    for (int i = 0; code >= 0 && i < option_count; i++) {
        code = plan_check_known(&options[i], "a palette", known, sizeof known / sizeof *known, e);
    }
    if (code < 0) {
        return code;
    }
    struct plan_node *node = NULL;
    code = plan_node_alloc(&node, plan, PLAN_PALETTE, &input, 1, e);
    if (code >= 0) {
        code = plan_settings_copy(&node->settings, options, option_count, e);
    }
    if (code < 0) {
        plan_node_free(node);
        return code;
    }
    node->pad_count = 1;
    return plan_append(plan, node, e);
}
