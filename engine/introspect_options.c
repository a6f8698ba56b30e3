/*
 * Options in words: what they take, for messages and help.
 */
#include <float.h>
#include <inttypes.h>
#include <libavutil/avstring.h>
#include <libavutil/pixdesc.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/introspect_internal.h"
#include "engine/policy.h"

static const char *type_name(enum AVOptionType type)
{
    static const struct {
        enum AVOptionType type;
        const char *name;
    } names[] = {
        {AV_OPT_TYPE_FLAGS, "flags"},
        {AV_OPT_TYPE_INT, "an integer"},
        {AV_OPT_TYPE_INT64, "an integer"},
        {AV_OPT_TYPE_UINT64, "an integer"},
        {AV_OPT_TYPE_DOUBLE, "a number"},
        {AV_OPT_TYPE_FLOAT, "a number"},
        {AV_OPT_TYPE_STRING, "a string"},
        {AV_OPT_TYPE_RATIONAL, "a ratio like 16/9"},
        {AV_OPT_TYPE_BINARY, "hexadecimal bytes"},
        {AV_OPT_TYPE_DICT, "key=value:key=value"},
        {AV_OPT_TYPE_IMAGE_SIZE, "a size like 640x360"},
        {AV_OPT_TYPE_PIXEL_FMT, "a pixel format"},
        {AV_OPT_TYPE_SAMPLE_FMT, "a sample format"},
        {AV_OPT_TYPE_VIDEO_RATE, "a frame rate like 30 or 30000/1001"},
        {AV_OPT_TYPE_DURATION, "a duration in seconds"},
        {AV_OPT_TYPE_COLOR, "a colour"},
        {AV_OPT_TYPE_BOOL, "true or false"},
        {AV_OPT_TYPE_CHLAYOUT, "a channel layout like stereo or 5.1"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (names[i].type == type) {
            return names[i].name;
        }
    }
    return "a value";
}

static bool numeric(enum AVOptionType type)
{
    return type == AV_OPT_TYPE_INT || type == AV_OPT_TYPE_INT64 || type == AV_OPT_TYPE_UINT64 ||
           type == AV_OPT_TYPE_DOUBLE || type == AV_OPT_TYPE_FLOAT;
}

/* Bounds that are only the type's own say nothing. */
static bool meaningless(double bound)
{
    return fabs(bound) >= (double)INT_MAX || fabs(bound) >= (double)FLT_MAX / 2;
}

static void append_range(const AVOption *option, char *text, size_t size)
{
    if (!numeric(option->type) || (meaningless(option->min) && meaningless(option->max))) {
        return;
    }
    if (meaningless(option->max)) {
        av_strlcatf(text, size, ", at least %.10g", option->min);
    } else if (meaningless(option->min)) {
        av_strlcatf(text, size, ", at most %.10g", option->max);
    } else {
        av_strlcatf(text, size, " from %.10g to %.10g", option->min, option->max);
    }
}

/* The next named value of an option. */
static const AVOption *next_constant(const AVClass *class, const AVOption *option,
                                     const AVOption *previous)
{
    const AVOption *constant = previous;
    while (option->unit && (constant = av_opt_next(&class, constant))) {
        if (constant->type == AV_OPT_TYPE_CONST && constant->unit &&
            !strcmp(constant->unit, option->unit)) {
            return constant;
        }
    }
    return NULL;
}

/* The class, of those that one may contain, that an option stands in. */
static const AVClass *class_of_option(const AVClass *class, const AVOption *option)
{
    const AVOption *own = NULL;
    while (class && (own = av_opt_next(&class, own))) {
        if (own == option) {
            return class;
        }
    }
    void *state = NULL;
    for (const AVClass *child; class && (child = av_opt_child_class_iterate(class, &state));) {
        own = NULL;
        while ((own = av_opt_next(&child, own))) {
            if (own == option) {
                return child;
            }
        }
    }
    return class;
}

void introspect_expected(const AVOption *option, const AVClass *class, char *text, size_t size)
{
    class = class_of_option(class, option);
    snprintf(text, size, "%s", type_name(option->type));
    append_range(option, text, size);
    int count = 0;
    const AVOption *constant = NULL;
    while (class && (constant = next_constant(class, option, constant))) {
        if (strlen(text) + strlen(constant->name) + 8 > size) {
            av_strlcatf(text, size, "...");
            break;
        }
        av_strlcatf(text, size, "%s%s", count++ ? ", " : "; names: ", constant->name);
    }
}

const char *introspect_nearest_value(const AVOption *option, const AVClass *class,
                                     const char *value)
{
    enum { MOST = 256 };
    const char *names[MOST];
    size_t count = 0;
    class = class_of_option(class, option);
    const AVOption *constant = NULL;
    while (class && count < MOST && (constant = next_constant(class, option, constant))) {
        names[count++] = constant->name;
    }
    return introspect_nearest(value, names, count);
}

static void append_default(const AVOption *option, char *text, size_t size)
{
    switch (option->type) {
    case AV_OPT_TYPE_INT:
    case AV_OPT_TYPE_INT64:
    case AV_OPT_TYPE_UINT64:
    case AV_OPT_TYPE_FLAGS:
        av_strlcatf(text, size, ", default %" PRId64, option->default_val.i64);
        break;
    case AV_OPT_TYPE_BOOL:
        av_strlcatf(text, size, ", default %s",
                    option->default_val.i64 < 0 ? "auto"
                    : option->default_val.i64   ? "true"
                                                : "false");
        break;
    case AV_OPT_TYPE_DURATION:
        av_strlcatf(text, size, ", default %.10g", (double)option->default_val.i64 / 1e6);
        break;
    case AV_OPT_TYPE_DOUBLE:
    case AV_OPT_TYPE_FLOAT:
    case AV_OPT_TYPE_RATIONAL:
        av_strlcatf(text, size, ", default %.10g", option->default_val.dbl);
        break;
    case AV_OPT_TYPE_STRING:
    case AV_OPT_TYPE_COLOR:
    case AV_OPT_TYPE_IMAGE_SIZE:
    case AV_OPT_TYPE_VIDEO_RATE:
    case AV_OPT_TYPE_CHLAYOUT:
        if (option->default_val.str && *option->default_val.str) {
            av_strlcatf(text, size, ", default %s", option->default_val.str);
        }
        break;
    default:
        break;
    }
}

void introspect_describe_option(const AVOption *option, char *text, size_t size)
{
    snprintf(text, size, "%s: %s", option->name, type_name(option->type));
    append_range(option, text, size);
    append_default(option, text, size);
    if (option->help && *option->help) {
        av_strlcatf(text, size, "; %s", option->help);
    }
}

/* ---- names ---- */

static size_t add_names(const AVClass *class, int flags, const char **names, size_t count,
                        size_t room)
{
    const AVOption *option = NULL;
    while (class && count < room && (option = av_opt_next(&class, option))) {
        if (option->type != AV_OPT_TYPE_CONST && (option->flags & flags) == flags) {
            names[count++] = option->name;
        }
    }
    return count;
}

size_t introspect_filter_options(const AVFilter *filter, const char **names, size_t room)
{
    size_t count = add_names(filter->priv_class, 0, names, 0, room);
    size_t allowed = 0;
    for (size_t i = 0; i < count; i++) {
        if (policy_filter_option(filter->name, names[i], "", NULL)) {
            names[allowed++] = names[i];
        }
    }
    if (allowed < room && (filter->flags & AVFILTER_FLAG_SUPPORT_TIMELINE)) {
        names[allowed++] = "enable";
    }
    return allowed;
}

size_t introspect_encoder_options(const AVCodec *encoder, const char **names, size_t room)
{
    size_t count = 0, allowed = 0;
    for (const char *const *own = introspect_engine_options(); *own && count < room; own++) {
        names[count++] = *own;
    }
    size_t engine = count;
    count = add_names(encoder->priv_class, 0, names, count, room);
    count = add_names(avcodec_get_class(), AV_OPT_FLAG_ENCODING_PARAM, names, count, room);
    for (size_t i = 0; i < count; i++) {
        if (i < engine || (introspect_encoder_option(encoder, names[i], NULL) &&
                           policy_encoder_option(encoder->name, names[i], "", NULL))) {
            names[allowed++] = names[i];
        }
    }
    return allowed;
}

const char *const *introspect_engine_options(void)
{
    static const char *const names[] = {
        "bitrate", "max_bitrate", "buffer_size", "quality",      "gop",
        "profile", "level",       "threads",     "pixel_format", "sample_format",
        "layout",  "sample_rate", "channels",    "frame_rate",   "language",
        "title",   "default",     "forced",      NULL,
    };
    return names;
}
