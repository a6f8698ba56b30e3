/*
 * Adding what makes packets: encoders and copies.
 *
 * An encoder's options are tried on a scratch AVCodecContext, which is never opened: that finds
 * wrong names, types, ranges and constants at once, and costs nothing.
 */
#include <libavcodec/bsf.h>
#include <libavutil/avstring.h>
#include <libavutil/eval.h>
#include <libavutil/opt.h>
#include <libavutil/parseutils.h>
#include <libavutil/pixdesc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/introspect_internal.h"
#include "engine/passes.h"
#include "engine/plan_build.h"
#include "engine/policy_internal.h"

/* ---- options that the engine reads itself ---- */

static int refuse(struct error *e, const struct plan_option *option, const char *expected)
{
    error_set(e, ERROR_INVALID_OPTION, "option '%s' can't be '%.100s'; it takes %s", option->name,
              option->value, expected);
    error_place(e, option->name, option->value, expected);
    return ERROR_INVALID_OPTION;
}

int plan_check_number(const struct plan_option *option, double least, double most, bool whole,
                      struct error *e)
{
    char *end = NULL;
    double value = av_strtod(option->value, &end);
    if (end == option->value || *end || !(value >= least && value <= most) ||
        (whole && value != floor(value))) {
        char expected[96];
        snprintf(expected, sizeof expected, "%s from %.12g to %.12g",
                 whole ? "an integer" : "a number", least, most);
        return refuse(e, option, expected);
    }
    return 0;
}

static int check_flag(const struct plan_option *option, struct error *e)
{
    static const char *const values[] = {"0", "1", "true", "false"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        if (!strcmp(option->value, values[i])) {
            return 0;
        }
    }
    return refuse(e, option, "true or false");
}

static int check_language(const struct plan_option *option, struct error *e)
{
    size_t length = strlen(option->value);
    bool good =
        length <= 35 && strspn(option->value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                              "0123456789-") == length;
    return good ? 0 : refuse(e, option, "a language tag like eng or pt-BR");
}

int plan_check_track_option(const struct plan_option *option, struct error *e)
{
    int code = 0;
    if (!strcmp(option->name, "language")) {
        code = check_language(option, e);
    } else if (!strcmp(option->name, "title")) {
        code = strlen(option->value) <= 1024 ? 0 : refuse(e, option, "at most 1024 bytes");
    } else if (!strcmp(option->name, "default") || !strcmp(option->name, "forced")) {
        code = check_flag(option, e);
    } else if (!strcmp(option->name, "time_factor")) {
        code = plan_check_number(option, 0.001, 1000, false, e);
    } else if (!strcmp(option->name, "time_offset")) {
        code = plan_check_number(option, -1e6, 1e6, false, e);
    } else {
        return 0;
    }
    return code < 0 ? code : 1;
}

static int check_pixel_format(const struct plan_option *option, struct error *e)
{
    enum AVPixelFormat format = av_get_pix_fmt(option->value);
    const AVPixFmtDescriptor *descriptor = av_pix_fmt_desc_get(format);
    if (descriptor && !(descriptor->flags & AV_PIX_FMT_FLAG_HWACCEL)) {
        return 0;
    }
    const char *names[512];
    size_t count = 0;
    for (descriptor = NULL; count < 512 && (descriptor = av_pix_fmt_desc_next(descriptor));) {
        names[count++] = descriptor->name;
    }
    const char *nearest = introspect_nearest(option->value, names, count);
    return refuse(e, option, nearest ? nearest : "a pixel format like yuv420p");
}

static int check_sample_format(const struct plan_option *option, struct error *e)
{
    return av_get_sample_fmt(option->value) == AV_SAMPLE_FMT_NONE
               ? refuse(e, option, "u8, s16, s32, flt, dbl, s64 or one of them with a p")
               : 0;
}

static int check_layout(const struct plan_option *option, struct error *e)
{
    AVChannelLayout layout = {0};
    int averror = av_channel_layout_from_string(&layout, option->value);
    bool good = averror >= 0 && layout.nb_channels > 0 && layout.nb_channels <= 64;
    av_channel_layout_uninit(&layout);
    return good ? 0 : refuse(e, option, "a channel layout like mono, stereo or 5.1");
}

static int check_frame_rate(const struct plan_option *option, struct error *e)
{
    AVRational rate = {0, 1};
    bool good = av_parse_video_rate(&rate, option->value) >= 0 &&
                av_cmp_q(rate, (AVRational){0, 1}) > 0 &&
                av_cmp_q(rate, (AVRational){1000, 1}) <= 0;
    return good ? 0 : refuse(e, option, "a frame rate like 25 or 30000/1001, at most 1000");
}

/* Which kinds an option is for. */
enum { VIDEO = 1, AUDIO = 2, ANY = VIDEO | AUDIO };

static const struct engine_option {
    const char *name;
    int kinds;
    double least, most;
    bool whole;
    int (*check)(const struct plan_option *option, struct error *e); /* instead of the range */
} engine_options[] = {
    {"bitrate", ANY, 1, 2e9, true, NULL},
    {"max_bitrate", ANY, 1, 2e9, true, NULL},
    {"buffer_size", ANY, 1, 2e9, true, NULL},
    {"quality", ANY, -2, 1000, false, NULL},
    {"gop", VIDEO, 0, 100000, true, NULL},
    {"passes", VIDEO, 1, 2, true, NULL},
    {"threads", ANY, 0, 64, true, NULL},
    {"sample_rate", AUDIO, 1000, 768000, true, NULL},
    {"channels", AUDIO, 1, 64, true, NULL},
    {"pixel_format", VIDEO, 0, 0, false, check_pixel_format},
    {"sample_format", AUDIO, 0, 0, false, check_sample_format},
    {"layout", AUDIO, 0, 0, false, check_layout},
    {"frame_rate", VIDEO, 0, 0, false, check_frame_rate},
};

static int check_engine_option(const struct engine_option *known, const AVCodec *encoder,
                               const struct plan_option *option, struct error *e)
{
    int kind = encoder->type == AVMEDIA_TYPE_VIDEO   ? VIDEO
               : encoder->type == AVMEDIA_TYPE_AUDIO ? AUDIO
                                                     : 0;
    if (!(known->kinds & kind)) {
        error_set(e, ERROR_INVALID_OPTION, "option '%s' means nothing for %s", option->name,
                  introspect_kind(encoder->type));
        error_place(e, option->name, option->value, NULL);
        return ERROR_INVALID_OPTION;
    }
    return known->check ? known->check(option, e)
                        : plan_check_number(option, known->least, known->most, known->whole, e);
}

/* ---- options of the encoder ---- */

/* What libraries accept for options that are plain strings to libav. */
static const struct {
    const char *encoders, *option, *values;
} named_values[] = {
    {"libx264 libx264rgb libx265", "preset",
     "ultrafast superfast veryfast faster fast medium slow slower veryslow placebo"},
    {"libx264 libx264rgb", "tune",
     "film animation grain stillimage psnr ssim fastdecode zerolatency"},
    {"libx265", "tune", "psnr ssim grain zerolatency fastdecode animation"},
    {"libx264", "profile", "baseline main high high10 high422 high444"},
    {"libx265", "profile",
     "main main-intra mainstillpicture main444-8 main444-intra main444-stillpicture main10 "
     "main10-intra main422-10 main422-10-intra main444-10 main444-10-intra main12 main12-intra "
     "main422-12 main422-12-intra main444-12 main444-12-intra main444-16-stillpicture"},
};

static int check_named_value(const AVCodec *encoder, const struct plan_option *option,
                             struct error *e)
{
    enum { MOST = 32 };
    for (size_t i = 0; i < sizeof named_values / sizeof *named_values; i++) {
        if (strcmp(option->name, named_values[i].option) != 0 ||
            !policy_listed(encoder->name, named_values[i].encoders) ||
            policy_listed(option->value, named_values[i].values)) {
            continue;
        }
        /* x264 joins tunes with commas. */
        if (!strcmp(option->name, "tune") && strchr(option->value, ',')) {
            continue;
        }
        char words[512];
        const char *names[MOST];
        size_t count = 0;
        av_strlcpy(words, named_values[i].values, sizeof words);
        char *rest = NULL;
        for (char *word = strtok_r(words, " ", &rest); word && count < MOST;
             word = strtok_r(NULL, " ", &rest)) {
            names[count++] = word;
        }
        const char *nearest = introspect_nearest(option->value, names, count);
        error_set(e, ERROR_INVALID_OPTION, "option '%s' of encoder '%s' can't be '%.100s'%s%s%s",
                  option->name, encoder->name, option->value, nearest ? "; did you mean '" : "",
                  nearest ? nearest : "", nearest ? "'?" : "");
        error_place(e, option->name, option->value, named_values[i].values);
        return ERROR_INVALID_OPTION;
    }
    return 0;
}

static int check_encoder_option(AVCodecContext *scratch, const struct plan_option *option,
                                struct error *e)
{
    const AVCodec *encoder = scratch->codec;
    const AVOption *known = introspect_encoder_option(encoder, option->name, e);
    if (!known || !policy_encoder_option(encoder->name, option->name, option->value, e)) {
        return ERROR_INVALID_OPTION;
    }
    int averror = av_opt_set(scratch, option->name, option->value, AV_OPT_SEARCH_CHILDREN);
    if (averror < 0) {
        char what[96];
        snprintf(what, sizeof what, "encoder '%s'", encoder->name);
        const AVClass *own = encoder->priv_class;
        bool is_own = own && av_opt_find(&own, option->name, NULL, 0, AV_OPT_SEARCH_FAKE_OBJ);
        return plan_refuse_value(e, what, option->name, option, known,
                                 is_own ? own : avcodec_get_class(), averror);
    }
    if (scratch->flags & (AV_CODEC_FLAG_PASS1 | AV_CODEC_FLAG_PASS2)) {
        error_set(e, ERROR_INVALID_OPTION,
                  "option '%s' can't ask for a pass of two: 'passes' makes both", option->name);
        error_place(e, option->name, option->value, "passes=2");
        return ERROR_INVALID_OPTION;
    }
    return check_named_value(encoder, option, e);
}

static int check_encode_option(AVCodecContext *scratch, const struct plan_option *option,
                               struct error *e)
{
    int code = plan_check_track_option(option, e);
    if (code) {
        return code;
    }
    for (size_t i = 0; i < sizeof engine_options / sizeof *engine_options; i++) {
        if (!strcmp(option->name, engine_options[i].name)) {
            return check_engine_option(&engine_options[i], scratch->codec, option, e);
        }
    }
    return check_encoder_option(scratch, option, e);
}

/* Only what filters can't reach has its times changed by an encode or a copy. */
static int check_retiming(const struct plan *plan, struct plan_edge input,
                          const struct plan_option *options, int option_count, struct error *e)
{
    struct plan_type type = {0};
    plan_edge_type(plan, input, &type);
    for (int i = 0; i < option_count; i++) {
        bool retimes =
            !strcmp(options[i].name, "time_factor") || !strcmp(options[i].name, "time_offset");
        if (retimes && (type.kind == AVMEDIA_TYPE_VIDEO || type.kind == AVMEDIA_TYPE_AUDIO)) {
            error_set(e, ERROR_INVALID_OPTION, "%s gets other times by filters, not by '%s'",
                      introspect_kind(type.kind), options[i].name);
            error_place(e, options[i].name, options[i].value, "a subtitle");
            return ERROR_INVALID_OPTION;
        }
    }
    return 0;
}

/* ---- encode ---- */

static bool is_text(enum AVCodecID codec)
{
    const AVCodecDescriptor *descriptor = avcodec_descriptor_get(codec);
    return descriptor && (descriptor->props & AV_CODEC_PROP_TEXT_SUB);
}

static int check_subtitle(const struct plan *plan, struct plan_edge input, const AVCodec *encoder,
                          struct error *e)
{
    const struct media_stream *stream = plan_edge_stream(plan, input);
    if (!stream) {
        error_set(e, ERROR_INVALID_OPTION, "subtitles are encoded straight from an input");
        error_place(e, "codec", encoder->name, NULL);
        return ERROR_INVALID_OPTION;
    }
    if (!policy_decoder(stream->parameters->codec_id)) {
        error_set(e, ERROR_UNSUPPORTED_MEDIA, "subtitles of stream %d (%s) can't be decoded here",
                  stream->index, *stream->codec ? stream->codec : "of an unknown codec");
        error_place(e, "codec", encoder->name, NULL);
        return ERROR_UNSUPPORTED_MEDIA;
    }
    bool from_text = is_text(stream->parameters->codec_id);
    if (!from_text || !is_text(encoder->id)) {
        error_set(e, ERROR_INVALID_OPTION, "%s subtitles can't be turned into %s, which %s",
                  stream->codec, avcodec_get_name(encoder->id),
                  from_text ? "is a bitmap format" : "is text: they are pictures");
        error_place(e, "codec", encoder->name, NULL);
        return ERROR_INVALID_OPTION;
    }
    return 0;
}

/* A second pass spends a bitrate by what the first has seen. */
static int check_passes(const struct plan_node *node, struct error *e)
{
    if (!plan_two_passes(node)) {
        return 0;
    }
    const char *expected = "passes=1";
    if (!passes_possible(node->encoder->name)) {
        error_set(e, ERROR_INVALID_OPTION, "encoder '%s' knows no two passes", node->encoder->name);
    } else if (!plan_setting(node, "bitrate")) {
        error_set(e, ERROR_INVALID_OPTION, "two passes need a bitrate that they are to meet");
        expected = "a bitrate beside it";
    } else {
        return 0;
    }
    error_place(e, "passes", plan_setting(node, "passes"), expected);
    return ERROR_INVALID_OPTION;
}

static int check_encode(const struct plan *plan, struct plan_edge input, const char *codec,
                        const AVCodec **encoder, struct error *e)
{
    struct plan_type type;
    if (!plan_edge_type(plan, input, &type)) {
        return error_set(e, ERROR_INTERNAL, "there is nothing to encode");
    }
    *encoder = introspect_encoder(codec, type.kind, e);
    if (!*encoder) {
        return ERROR_INVALID_OPTION;
    }
    if (type.kind == AVMEDIA_TYPE_SUBTITLE) {
        return check_subtitle(plan, input, *encoder, e);
    }
    return plan_check_frames(plan, input, "encode", e);
}

int plan_add_encode(struct plan *plan, struct plan_edge input, const char *codec,
                    const struct plan_option *options, int option_count, struct error *e)
{
    const AVCodec *encoder = NULL;
    int code = check_encode(plan, input, codec, &encoder, e);
    if (code >= 0) {
        code = check_retiming(plan, input, options, option_count, e);
    }
    if (code < 0) {
        return code;
    }
    struct plan_node *node = NULL;
    AVCodecContext *scratch = avcodec_alloc_context3(encoder);
    code =
        scratch ? plan_node_alloc(&node, plan, PLAN_ENCODE, &input, 1, e) : plan_out_of_memory(e);
    for (int i = 0; code >= 0 && i < option_count; i++) {
        code = check_encode_option(scratch, &options[i], e);
    }
    if (code >= 0) {
        node->encoder = encoder;
        node->pad_count = 1;
        code = plan_settings_copy(&node->settings, options, option_count, e);
    }
    if (code >= 0) {
        code = check_passes(node, e);
    }
    avcodec_free_context(&scratch);
    if (code < 0) {
        plan_node_free(node);
        return code;
    }
    return plan_append(plan, node, e);
}

/* ---- copy ---- */

static int check_bsf_name(const char *name, enum AVCodecID codec, struct error *e)
{
    if (!policy_bsf(name, e)) {
        return ERROR_INVALID_OPTION;
    }
    const AVBitStreamFilter *filter = av_bsf_get_by_name(name);
    if (!filter) {
        error_set(e, ERROR_INVALID_OPTION, "bitstream filter '%s' is not in this build of FFmpeg",
                  name);
        error_place(e, "bsf", name, NULL);
        return ERROR_INVALID_OPTION;
    }
    bool takes = !filter->codec_ids;
    for (const enum AVCodecID *id = filter->codec_ids; !takes && *id != AV_CODEC_ID_NONE; id++) {
        takes = *id == codec;
    }
    if (!takes) {
        error_set(e, ERROR_INVALID_OPTION, "bitstream filter '%s' doesn't take %s", name,
                  avcodec_get_name(codec));
        error_place(e, "bsf", name, NULL);
        return ERROR_INVALID_OPTION;
    }
    return 0;
}

/* A list like "a=key=value,b". Quotes are refused, so that it can only be read in one way. */
static int check_bsf(const char *list, enum AVCodecID codec, struct error *e)
{
    if (strpbrk(list, "'\\") || !policy_expression("bsf", list, NULL)) {
        error_set(e, ERROR_INVALID_OPTION, "quotes, backslashes and loops are refused in 'bsf'");
        error_place(e, "bsf", list, NULL);
        return ERROR_INVALID_OPTION;
    }
    for (const char *p = list; *p;) {
        size_t length = strcspn(p, ",");
        char name[64];
        av_strlcpy(name, p, FFMIN(strcspn(p, "=,") + 1, sizeof name));
        int code = check_bsf_name(name, codec, e);
        if (code < 0) {
            return code;
        }
        p += length;
        p += *p == ',';
    }
    AVBSFContext *context = NULL;
    int averror = av_bsf_list_parse_str(list, &context);
    av_bsf_free(&context);
    if (averror < 0) {
        int code = error_set_av(e, ERROR_INVALID_OPTION, averror,
                                "the bitstream filters '%.100s' can't be used", list);
        error_place(e, "bsf", list, NULL);
        return code;
    }
    return 0;
}

static int check_copy_option(const struct plan_option *option, struct error *e)
{
    int code = plan_check_track_option(option, e);
    if (code) {
        return code;
    }
    static const char *const names[] = {"language", "title",       "default",    "forced",
                                        "bsf",      "time_factor", "time_offset"};
    const char *nearest = introspect_nearest(option->name, names, sizeof names / sizeof *names);
    error_set(e, ERROR_INVALID_OPTION, "a copy has no option '%.64s'%s%s%s", option->name,
              nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
    error_place(e, option->name, option->value, "language, title, default, forced or bsf");
    return ERROR_INVALID_OPTION;
}

int plan_add_copy(struct plan *plan, struct plan_edge input, const char *bsf,
                  const struct plan_option *options, int option_count, struct error *e)
{
    const struct media_stream *stream = plan_edge_stream(plan, input);
    if (!stream) {
        error_set(e, ERROR_INVALID_OPTION, "only a stream straight from an input can be copied");
        error_place(e, "copy", "frames", "a stream of an input that no filter has changed");
        return ERROR_INVALID_OPTION;
    }
    if (stream->parameters->codec_id == AV_CODEC_ID_NONE) {
        error_set(e, ERROR_UNSUPPORTED_MEDIA, "stream %d is of an unknown codec", stream->index);
        error_place(e, "copy", NULL, NULL);
        return ERROR_UNSUPPORTED_MEDIA;
    }
    int code = bsf && *bsf ? check_bsf(bsf, stream->parameters->codec_id, e) : 0;
    for (int i = 0; code >= 0 && i < option_count; i++) {
        code = check_copy_option(&options[i], e);
    }
    if (code >= 0) {
        code = check_retiming(plan, input, options, option_count, e);
    }
    if (code < 0) {
        return code;
    }
    struct plan_node *node = NULL;
    code = plan_node_alloc(&node, plan, PLAN_COPY, &input, 1, e);
    if (code >= 0) {
        code = plan_settings_copy(&node->settings, options, option_count, e);
    }
    if (code >= 0 && bsf && *bsf) {
        node->bsf = strdup(bsf);
        code = node->bsf ? 0 : plan_out_of_memory(e);
    }
    if (code < 0) {
        plan_node_free(node);
        return code;
    }
    node->pad_count = 1;
    return plan_append(plan, node, e);
}
