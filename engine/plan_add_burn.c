/*
 * Adding subtitles to pictures. The look that is asked for is checked here, once; the burn stage
 * only reads it.
 */
#include <libavutil/parseutils.h>
#include <string.h>

#include "engine/burn_text.h"
#include "engine/introspect_internal.h"
#include "engine/plan_build.h"

static int refuse(struct error *e, const struct plan_option *option, const char *expected)
{
    error_set(e, ERROR_INVALID_OPTION, "option '%s' of burn can't be '%.64s'; it takes %s",
              option->name, option->value, expected);
    error_place(e, option->name, option->value, expected);
    return ERROR_INVALID_OPTION;
}

static int check_color(const struct plan_option *option, struct error *e)
{
    uint8_t color[4];
    return av_parse_color(color, option->value, -1, NULL) < 0
               ? refuse(e, option, "a colour like white, #ff8800 or black@0.5")
               : 0;
}

static int check_position(const struct plan_option *option, struct error *e)
{
    return burn_position_from_name(option->value) == BURN_POSITION_OWN
               ? refuse(e, option, "bottom, middle or top")
               : 0;
}

static int check_font(const struct plan_option *option, struct error *e)
{
    size_t length = strlen(option->value);
    return length == 0 || length > 100 ? refuse(e, option, "the name of a family") : 0;
}

static const struct plan_known_option known[] = {
    {"font", 0, 0, false, check_font},
    {"size", 1, 50, false, NULL},
    {"outline", 0, 5, false, NULL},
    {"color", 0, 0, false, check_color},
    {"outline_color", 0, 0, false, check_color},
    {"position", 0, 0, false, check_position},
};

static int check_video(const struct plan *plan, struct plan_edge video, struct error *e)
{
    struct plan_type type = {0};
    int code = plan_check_frames(plan, video, "burn", e);
    if (code >= 0)
        code = plan_refuse_palette(plan, video, "burn", e);
    if (code >= 0 && plan_edge_type(plan, video, &type) && type.kind != AVMEDIA_TYPE_VIDEO) {
        code = error_set(e, ERROR_INVALID_OPTION, "subtitles are burned into video, not into %s",
                         introspect_kind(type.kind));
        error_place(e, "burn", introspect_kind(type.kind), "video");
    }
    return code;
}

static int check_subtitle(const struct plan *plan, struct plan_edge subtitle, int options,
                          struct error *e)
{
    const struct media_stream *stream = plan_edge_stream(plan, subtitle);
    if (!stream || stream->kind != AVMEDIA_TYPE_SUBTITLE) {
        error_set(e, ERROR_INVALID_OPTION, "what burn draws is a subtitle stream of an input");
        error_place(e, "burn", stream ? introspect_kind(stream->kind) : NULL, "subtitles");
        return ERROR_INVALID_OPTION;
    }
    if (!policy_decoder(stream->parameters->codec_id)) {
        error_set(e, ERROR_UNSUPPORTED_MEDIA, "stream %d (%s) can't be decoded here", stream->index,
                  *stream->codec ? stream->codec : "of an unknown codec");
        error_place(e, "burn", stream->codec, NULL);
        return ERROR_UNSUPPORTED_MEDIA;
    }
    const AVCodecDescriptor *descriptor = avcodec_descriptor_get(stream->parameters->codec_id);
    bool text = descriptor && (descriptor->props & AV_CODEC_PROP_TEXT_SUB);
    if (!text && options > 0) {
        error_set(e, ERROR_INVALID_OPTION,
                  "stream %d (%s) is made of pictures, whose look can't be chosen", stream->index,
                  stream->codec);
        error_place(e, "burn", stream->codec, "text");
        return ERROR_INVALID_OPTION;
    }
    return 0;
}

int plan_add_burn(struct plan *plan, struct plan_edge video, struct plan_edge subtitle,
                  const struct plan_option *options, int option_count, struct error *e)
{
    const struct plan_edge inputs[] = {video, subtitle};
    struct plan_node *node = NULL;
    int code = check_video(plan, video, e);
    if (code >= 0)
        code = check_subtitle(plan, subtitle, option_count, e);
    for (int i = 0; code >= 0 && i < option_count; i++)
        code = plan_check_known(&options[i], "burn", known, sizeof known / sizeof *known, e);
    if (code >= 0)
        code = plan_node_alloc(&node, plan, PLAN_BURN, inputs, 2, e);
    if (code >= 0)
        code = plan_settings_copy(&node->settings, options, option_count, e);
    if (code < 0) {
        plan_node_free(node);
        return code;
    }
    node->pad_count = 1;
    node->endless = plan->nodes[video.node]->endless;
    return plan_append(plan, node, e);
}
