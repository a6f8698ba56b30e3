/*
 * The fields of a stream by name; see media_fields.h.
 */
#include "lua/media_fields.h"

#include <libavutil/pixdesc.h>
#include <libavutil/samplefmt.h>
#include <math.h>

/* ---- values ---- */

static void set_flag(struct media_value *value, bool flag)
{
    value->kind = MEDIA_FLAG;
    value->flag = flag;
}

static void set_known(struct media_value *value, int64_t number)
{
    if (number <= 0) {
        return;
    }
    value->kind = MEDIA_INTEGER;
    value->integer = number;
}

static void set_integer(struct media_value *value, int64_t number)
{
    value->kind = MEDIA_INTEGER;
    value->integer = number;
}

static void set_number(struct media_value *value, double number)
{
    if (!isfinite(number)) {
        return;
    }
    value->kind = MEDIA_NUMBER;
    value->number = number;
}

static void set_rational(struct media_value *value, AVRational number)
{
    if (number.num > 0 && number.den > 0) {
        set_number(value, (double)number.num / number.den);
    }
}

static void set_text(struct media_value *value, const char *text)
{
    if (!text || !*text) {
        return;
    }
    value->kind = MEDIA_TEXT;
    value->text = text;
}

/* ---- readers: one for each field, in the order of the table ---- */

#define READER(name, set)                                                                          \
    static void read_##name(const struct media_stream *stream, struct media_value *value)          \
    {                                                                                              \
        set;                                                                                       \
    }

READER(index, set_integer(value, stream->index))
READER(kind, set_text(value, media_kind_name(stream->kind)))
READER(codec, set_text(value, stream->codec))
READER(profile, set_text(value, stream->profile))
READER(codec_tag, set_text(value, stream->codec_tag))
READER(bit_rate, set_known(value, stream->bit_rate))
READER(start, set_number(value, stream->start))
READER(duration, set_number(value, stream->duration))
READER(packets, set_known(value, stream->packets))
READER(language, set_text(value, stream->language))
READER(title, set_text(value, stream->title))
READER(default, set_flag(value, stream->disposition &AV_DISPOSITION_DEFAULT))
READER(forced, set_flag(value, stream->disposition &AV_DISPOSITION_FORCED))
READER(attached_picture, set_flag(value, stream->attached_picture))
READER(width, set_known(value, stream->width))
READER(height, set_known(value, stream->height))
READER(display_width, set_known(value, stream->display_width))
READER(display_height, set_known(value, stream->display_height))
READER(sample_aspect_ratio, set_rational(value, stream->sample_aspect_ratio))
READER(rotation, set_integer(value, stream->rotation))
READER(flipped, set_flag(value, stream->flipped))
READER(pixel_format, set_text(value, av_get_pix_fmt_name(stream->pixel_format)))
READER(frame_rate, set_rational(value, stream->frame_rate))
READER(variable_frame_rate, set_flag(value, stream->variable_frame_rate))
READER(interlaced, set_flag(value, stream->interlaced))
READER(sample_rate, set_known(value, stream->sample_rate))
READER(channels, set_known(value, stream->channels))
READER(layout, set_text(value, stream->layout))
READER(sample_format, set_text(value, av_get_sample_fmt_name(stream->sample_format)))
READER(bits_per_sample, set_known(value, stream->bits_per_sample))

static void read_color(const struct media_stream *stream, struct media_value *value)
{
    value->kind = MEDIA_COLOR;
    value->color = &stream->color;
}

static void read_tags(const struct media_stream *stream, struct media_value *value)
{
    value->kind = MEDIA_TAGS;
    value->tags = stream->metadata;
}

#define VIDEO AVMEDIA_TYPE_VIDEO
#define AUDIO AVMEDIA_TYPE_AUDIO

/* clang-format off */
const struct media_field media_fields[] = {
    {"index", -1, false, read_index},
    {"kind", -1, true, read_kind},
    {"codec", -1, false, read_codec},
    {"profile", -1, false, read_profile},
    {"codec_tag", -1, false, read_codec_tag},
    {"language", -1, true, read_language},
    {"title", -1, true, read_title},
    {"default", -1, true, read_default},
    {"forced", -1, true, read_forced},
    {"attached_picture", -1, false, read_attached_picture},
    {"start", -1, false, read_start},
    {"duration", -1, false, read_duration},
    {"bit_rate", -1, false, read_bit_rate},
    {"packets", -1, false, read_packets},
    {"width", VIDEO, false, read_width},
    {"height", VIDEO, false, read_height},
    {"display_width", VIDEO, false, read_display_width},
    {"display_height", VIDEO, false, read_display_height},
    {"sample_aspect_ratio", VIDEO, false, read_sample_aspect_ratio},
    {"rotation", VIDEO, false, read_rotation},
    {"flipped", VIDEO, false, read_flipped},
    {"pixel_format", VIDEO, false, read_pixel_format},
    {"frame_rate", VIDEO, false, read_frame_rate},
    {"variable_frame_rate", VIDEO, false, read_variable_frame_rate},
    {"interlaced", VIDEO, false, read_interlaced},
    {"color", VIDEO, false, read_color},
    {"sample_rate", AUDIO, false, read_sample_rate},
    {"channels", AUDIO, false, read_channels},
    {"layout", AUDIO, false, read_layout},
    {"sample_format", AUDIO, false, read_sample_format},
    {"bits_per_sample", AUDIO, false, read_bits_per_sample},
    {"tags", -1, false, read_tags},
    {NULL, -1, false, NULL},
};
/* clang-format on */

const char *media_kind_name(enum AVMediaType kind)
{
    const char *name = av_get_media_type_string(kind);
    return name ? name : "data";
}
