/*
 * Opening an encoder: what it takes, its time base, and a plan's settings as its options.
 *
 * The time base is as fine as the frames need: for a steady rate a multiple of it, so that both
 * the rate's grid and what lies off it can be told exactly; else the frames' own. Old codecs that
 * count in frames get one over the rate.
 */
#include <inttypes.h>
#include <libavutil/avstring.h>
#include <libavutil/channel_layout.h>
#include <libavutil/eval.h>
#include <libavutil/mastering_display_metadata.h>
#include <libavutil/opt.h>
#include <libavutil/parseutils.h>
#include <libavutil/pixdesc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/compat.h"
#include "engine/passes.h"

/* ---- what the encoder takes ---- */

/* Codecs that players only read in 4:2:0 when the source was no YUV to begin with. */
static bool prefers_subsampled(enum AVCodecID id)
{
    switch (id) {
    case AV_CODEC_ID_H264:
    case AV_CODEC_ID_HEVC:
    case AV_CODEC_ID_VP9:
    case AV_CODEC_ID_AV1:
        return true;
    default:
        return false;
    }
}

static bool is_full_range_name(enum AVPixelFormat format)
{
    const char *name = av_get_pix_fmt_name(format);
    return name && strncmp(name, "yuvj", 4) == 0;
}

static bool source_is_rgb(const struct encode *encode)
{
    const struct plan *plan = encode->stage.run->plan;
    struct plan_type type;
    if (!plan_edge_type(plan, encode->node->inputs[0], &type) || type.source_node < 0)
        return false;
    const struct media *media = plan_input_media(plan, type.source_node);
    const AVPixFmtDescriptor *format =
        media && type.source_stream >= 0
            ? av_pix_fmt_desc_get(media->streams[type.source_stream].pixel_format)
            : NULL;
    return format && (format->flags & (AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL)) != 0;
}

static void prepare_pixel_formats(struct encode *encode)
{
    struct frame_spec *spec = &encode->spec;
    const char *wanted = plan_setting(encode->node, "pixel_format");
    const enum AVPixelFormat *list = compat_encoder_pixel_formats(encode->node->encoder);
    if (wanted) {
        spec->pixel_formats[spec->pixel_format_count++] = av_get_pix_fmt(wanted);
        return;
    }
    if (prefers_subsampled(encode->codec_id) && source_is_rgb(encode)) {
        spec->pixel_formats[spec->pixel_format_count++] = AV_PIX_FMT_YUV420P;
        return;
    }
    /* JPEG is full range; limited range in it is read wrongly by most. */
    bool full = encode->codec_id == AV_CODEC_ID_MJPEG;
    for (; list && *list != AV_PIX_FMT_NONE && spec->pixel_format_count < SPEC_FORMATS; list++) {
        const AVPixFmtDescriptor *format = av_pix_fmt_desc_get(*list);
        if (!format || (format->flags & AV_PIX_FMT_FLAG_HWACCEL))
            continue;
        if (!full || is_full_range_name(*list))
            spec->pixel_formats[spec->pixel_format_count++] = *list;
    }
}

static int prepare_audio(struct encode *encode, struct error *e)
{
    struct frame_spec *spec = &encode->spec;
    const AVCodec *codec = encode->node->encoder;
    const char *format = plan_setting(encode->node, "sample_format");
    const char *rate = plan_setting(encode->node, "sample_rate");
    const char *channels = plan_setting(encode->node, "channels");
    const char *layout = plan_setting(encode->node, "layout");

    const enum AVSampleFormat *formats = compat_encoder_sample_formats(codec);
    if (format)
        spec->sample_formats[spec->sample_format_count++] = av_get_sample_fmt(format);
    for (; !format && formats && *formats != AV_SAMPLE_FMT_NONE &&
           spec->sample_format_count < SPEC_FORMATS;
         formats++)
        spec->sample_formats[spec->sample_format_count++] = *formats;

    const int *rates = compat_encoder_sample_rates(codec);
    if (rate) {
        int best = (int)av_strtod(rate, NULL), wanted = best;
        for (const int *r = rates; r && *r; r++) {
            if (r == rates || abs(*r - wanted) < abs(best - wanted))
                best = *r;
        }
        spec->sample_rates[spec->sample_rate_count++] = best;
    }
    for (; !rate && rates && *rates && spec->sample_rate_count < SPEC_RATES; rates++)
        spec->sample_rates[spec->sample_rate_count++] = *rates;

    const AVChannelLayout *layouts = compat_encoder_layouts(codec);
    int code = 0;
    if (layout) {
        code = av_channel_layout_from_string(&spec->layouts[spec->layout_count++], layout);
    } else if (channels) {
        av_channel_layout_default(&spec->layouts[spec->layout_count++],
                                  (int)av_strtod(channels, NULL));
    } else {
        for (; layouts && layouts->nb_channels > 0 && spec->layout_count < SPEC_LAYOUTS;
             layouts++) {
            if (av_channel_layout_copy(&spec->layouts[spec->layout_count++], layouts) < 0)
                code = AVERROR(ENOMEM);
        }
    }
    return code < 0 ? error_set_av(e, ERROR_INVALID_OPTION, code, "channel layout '%s'",
                                   layout ? layout : "of the encoder")
                    : 0;
}

static bool named(const char *name, const char *const *list)
{
    while (*list && strcmp(name, *list) != 0)
        list++;
    return *list != NULL;
}

static void ask_outputs(struct encode *encode)
{
    const struct run *run = encode->stage.run;
    for (int i = 0; i < run->plan->node_count; i++) {
        const struct plan_node *output = run->plan->nodes[i];
        if (!run->asked[i] || output->kind != PLAN_OUTPUT)
            continue;
        for (int k = 0; k < output->input_count; k++) {
            if (run->plan->nodes[output->inputs[k].node] != encode->node)
                continue;
            const AVOutputFormat *muxer = av_guess_format(output->format->muxer, NULL, NULL);
            encode->pictures |= output->each_picture;
            if (output->each_picture || !muxer)
                continue;
            encode->global_header |= (muxer->flags & AVFMT_GLOBALHEADER) != 0;
            /* These have no timestamps but a rate; AVI can at least leave frames out. */
            encode->constant_rate |=
                named(muxer->name, (const char *const[]){"vob", "mpeg", "dv", "mxf", NULL});
            encode->on_grid |= strcmp(muxer->name, "avi") == 0;
            encode->in_order |= strcmp(muxer->name, "avi") == 0;
        }
    }
    encode->constant_rate |= compat_encoder_frame_rates(encode->node->encoder) != NULL;
}

int encode_prepare(struct encode *encode, struct error *e)
{
    encode->codec_id = encode->node->encoder->id;
    encode->spec.kind = encode->node->encoder->type;
    if (encode->spec.kind == AVMEDIA_TYPE_AUDIO)
        return prepare_audio(encode, e);
    const char *rate = plan_setting(encode->node, "frame_rate");
    if (rate && av_parse_video_rate(&encode->forced_rate, rate) < 0)
        return error_set(e, ERROR_INVALID_OPTION, "'%s' is no frame rate", rate);
    ask_outputs(encode);
    encode->spec.even = named(encode->node->encoder->name,
                              (const char *const[]){"libx264", "libx265", "libsvtav1",
                                                    "libopenh264", "libkvazaar", NULL});
    prepare_pixel_formats(encode);
    if (encode->leader)
        encode_join_prepare(encode);
    return 0;
}

AVRational encode_constant_rate(const struct encode *encode, AVRational rate)
{
    if (rate.num <= 0 || rate.den <= 0 || av_q2d(rate) > 1000)
        rate = (AVRational){25, 1};
    const AVRational *list = compat_encoder_frame_rates(encode->node->encoder);
    if (list)
        rate = list[av_find_nearest_q_idx(rate, list)];
    /* MPEG-4 has 16 bits for the clock's rate. */
    av_reduce(&rate.num, &rate.den, rate.num, rate.den, 65535);
    return rate;
}

/* ---- time base ---- */

/* Codecs whose rate control or syntax counts in frames. */
static bool counts_frames(enum AVCodecID id)
{
    switch (id) {
    case AV_CODEC_ID_MPEG1VIDEO:
    case AV_CODEC_ID_MPEG2VIDEO:
    case AV_CODEC_ID_MPEG4:
    case AV_CODEC_ID_MSMPEG4V2:
    case AV_CODEC_ID_MSMPEG4V3:
    case AV_CODEC_ID_WMV1:
    case AV_CODEC_ID_WMV2:
    case AV_CODEC_ID_H261:
    case AV_CODEC_ID_H263:
    case AV_CODEC_ID_H263P:
    case AV_CODEC_ID_FLV1:
    case AV_CODEC_ID_RV10:
    case AV_CODEC_ID_RV20:
    case AV_CODEC_ID_DVVIDEO:
    case AV_CODEC_ID_DNXHD:
        return true;
    default:
        return false;
    }
}

static AVRational choose_time_base(const struct encode *encode, AVRational frames)
{
    AVRational rate = encode->forced_rate.num > 0 ? encode->forced_rate : encode->frame_rate;
    if (encode->forced_rate.num > 0 || encode->constant_rate || encode->on_grid ||
        counts_frames(encode->codec_id))
        return av_inv_q(encode_constant_rate(encode, rate));
    if (encode->leader)
        return encode->join_time_base;
    if (encode->steady && !encode->pictures) {
        int scale = 1;
        while (rate.num * scale < 10000)
            scale *= 2;
        return (AVRational){rate.den, rate.num * scale};
    }
    const AVRational finest = {1, 1000000};
    return av_cmp_q(frames, finest) < 0 ? finest : frames;
}

/* ---- settings ---- */

static const struct {
    const char *setting, *option;
} renamed[] = {
    {"bitrate", "b"},
    {"max_bitrate", "maxrate"},
    {"buffer_size", "bufsize"},
    {"gop", "g"},
};

/* Settings that are read elsewhere. */
static const char *const handled[] = {
    "quality",    "pixel_format", "sample_format", "sample_rate", "channels", "layout",
    "frame_rate", "passes",       "language",      "title",       "default",  "forced",
};

static bool is_handled(const char *name)
{
    for (size_t i = 0; i < sizeof handled / sizeof *handled; i++) {
        if (strcmp(name, handled[i]) == 0)
            return true;
    }
    return false;
}

static int collect_options(const struct plan_node *node, AVDictionary **options)
{
    int code = 0;
    for (int i = 0; i < node->settings.count && code >= 0; i++) {
        const struct plan_option *setting = &node->settings.list[i];
        const char *name = setting->name;
        if (is_handled(name))
            continue;
        for (size_t k = 0; k < sizeof renamed / sizeof *renamed; k++) {
            if (strcmp(name, renamed[k].setting) == 0)
                name = renamed[k].option;
        }
        code = av_dict_set(options, name, setting->value, 0);
    }
    return code;
}

/* Codecs of which every packet is a picture: frame threads would only add delay and memory. */
static bool is_picture_codec(enum AVCodecID id)
{
    return id == AV_CODEC_ID_MJPEG || id == AV_CODEC_ID_PNG || id == AV_CODEC_ID_WEBP ||
           id == AV_CODEC_ID_BMP || id == AV_CODEC_ID_TIFF || id == AV_CODEC_ID_GIF;
}

static void set_common(struct encode *encode)
{
    AVCodecContext *codec = encode->codec;
    const char *quality = plan_setting(encode->node, "quality");
    if (quality) {
        codec->flags |= AV_CODEC_FLAG_QSCALE;
        codec->global_quality = (int)lrint(av_strtod(quality, NULL) * FF_QP2LAMBDA);
    }
    if (encode->in_order)
        codec->max_b_frames = 0;
    if (encode->global_header)
        codec->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    codec->thread_count =
        is_picture_codec(encode->codec_id) ? 1 : encode->stage.run->options->threads;
}

/* ---- pictures ---- */

static void set_interlacing(AVCodecContext *codec, const AVFrame *frame)
{
    codec->field_order = AV_FIELD_PROGRESSIVE;
    if (!compat_frame_interlaced(frame))
        return;
    bool top = compat_frame_top_first(frame);
    if (codec->codec_id == AV_CODEC_ID_MJPEG) {
        codec->field_order = top ? AV_FIELD_TT : AV_FIELD_BB;
    } else {
        codec->field_order = top ? AV_FIELD_TB : AV_FIELD_BT;
    }
    /* What was interlaced stays marked so, where the codec can code fields. */
    static const char *const fields[] = {"libx264", "mpeg2video", "mpeg4"};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (strcmp(codec->codec->name, fields[i]) == 0)
            codec->flags |= AV_CODEC_FLAG_INTERLACED_DCT | AV_CODEC_FLAG_INTERLACED_ME;
    }
}

static void set_color(AVCodecContext *codec, const AVFrame *frame)
{
    const AVPixFmtDescriptor *format = av_pix_fmt_desc_get(frame->format);
    bool rgb = format && (format->flags & AV_PIX_FMT_FLAG_RGB) != 0;
    codec->color_range = frame->color_range;
    if (is_full_range_name(frame->format))
        codec->color_range = AVCOL_RANGE_JPEG;
    codec->color_primaries = frame->color_primaries;
    codec->color_trc = frame->color_trc;
    codec->colorspace = frame->colorspace;
    if (!rgb && codec->colorspace == AVCOL_SPC_RGB)
        codec->colorspace = AVCOL_SPC_UNSPECIFIED;
    codec->chroma_sample_location = frame->chroma_location;
}

static bool is_hdr(const AVFrame *frame)
{
    return frame->color_trc == AVCOL_TRC_SMPTE2084 || frame->color_trc == AVCOL_TRC_ARIB_STD_B67;
}

#if LIBAVCODEC_VERSION_INT < AV_VERSION_INT(61, 2, 100)
static int64_t scaled(AVRational value, int scale)
{
    return av_rescale(value.num, scale, value.den ? value.den : 1);
}

/* Older wrappers don't pass a mastering display on to x265, so it goes as a parameter, in the
 * units of its own documentation: 0.00002 for chromaticities, 0.0001 cd/m2 for luminance. */
static void describe_hdr(const AVFrame *frame, char *text, size_t size)
{
    char *at = text;
    size_t left = size;
    const AVFrameSideData *side =
        av_frame_get_side_data(frame, AV_FRAME_DATA_MASTERING_DISPLAY_METADATA);
    const AVMasteringDisplayMetadata *display = side ? (const void *)side->data : NULL;
    if (display && display->has_primaries && display->has_luminance) {
        int64_t p[8];
        static const int order[] = {1, 2, 0}; /* green, blue, red */
        for (int i = 0; i < 6; i++)
            p[i] = scaled(display->display_primaries[order[i / 2]][i % 2], 50000);
        p[6] = scaled(display->white_point[0], 50000);
        p[7] = scaled(display->white_point[1], 50000);
        int n =
            snprintf(at, left,
                     "master-display=G(%" PRId64 ",%" PRId64 ")B(%" PRId64 ",%" PRId64 ")R(%" PRId64
                     ",%" PRId64 ")WP(%" PRId64 ",%" PRId64 ")L(%" PRId64 ",%" PRId64 ")",
                     p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7],
                     scaled(display->max_luminance, 10000), scaled(display->min_luminance, 10000));
        at += n;
        left -= (size_t)n;
    }
    side = av_frame_get_side_data(frame, AV_FRAME_DATA_CONTENT_LIGHT_LEVEL);
    const AVContentLightMetadata *light = side ? (const void *)side->data : NULL;
    if (light)
        snprintf(at, left, "%smax-cll=%u,%u", at > text ? ":" : "", light->MaxCLL, light->MaxFALL);
}
#else
static void describe_hdr(const AVFrame *frame, char *text, size_t size)
{
    (void)frame;
    (void)size;
    *text = '\0';
}
#endif

/* Parameters that x265 gets in its own way: silence (it writes to stderr by itself), and HDR. What
 * the plan says comes last and wins. */
static int set_x265_params(const struct encode *encode, const AVFrame *frame,
                           AVDictionary **options)
{
    if (strcmp(encode->node->encoder->name, "libx265") != 0)
        return 0;
    const AVDictionaryEntry *own = av_dict_get(*options, "x265-params", NULL, 0);
    char hdr[512] = "";
    if (is_hdr(frame) && !(own && strstr(own->value, "master-display")))
        describe_hdr(frame, hdr, sizeof hdr);
    char *joined = av_asprintf("log-level=none%s%s%s%s", *hdr ? ":" : "", hdr, own ? ":" : "",
                               own ? own->value : "");
    return joined ? av_dict_set(options, "x265-params", joined, AV_DICT_DONT_STRDUP_VAL)
                  : AVERROR(ENOMEM);
}

static void set_video(struct encode *encode, const AVFrame *frame)
{
    AVCodecContext *codec = encode->codec;
    codec->width = frame->width;
    codec->height = frame->height;
    codec->pix_fmt = frame->format;
    codec->sample_aspect_ratio = frame->sample_aspect_ratio;
    codec->time_base = choose_time_base(encode, frame->time_base);
    AVRational rate = encode->frame_rate;
    if (encode->forced_rate.num > 0 || encode->constant_rate)
        rate = av_inv_q(codec->time_base);
    codec->framerate = encode_constant_rate(encode, rate);
    set_color(codec, frame);
    set_interlacing(codec, frame);
}

static int set_audio(struct encode *encode, const AVFrame *frame)
{
    AVCodecContext *codec = encode->codec;
    codec->sample_fmt = frame->format;
    codec->sample_rate = frame->sample_rate;
    codec->time_base = (AVRational){1, frame->sample_rate};
    int bits = 8 * av_get_bytes_per_sample(frame->format);
    if (encode->source_bits > 0)
        codec->bits_per_raw_sample = FFMIN(encode->source_bits, bits);
    return av_channel_layout_copy(&codec->ch_layout, &frame->ch_layout);
}

/* ---- the format that muxers see ---- */

static int add_frame_side_data(AVStream *stream, const AVFrame *frame,
                               enum AVFrameSideDataType from, enum AVPacketSideDataType to)
{
    const AVFrameSideData *side = av_frame_get_side_data(frame, from);
    if (!side || compat_stream_side_data(stream, to, NULL))
        return 0;
    return compat_stream_add_side_data(stream, to, side->data, side->size);
}

static int publish_format(struct encode *encode, const AVFrame *frame)
{
    AVCodecContext *codec = encode->codec;
    int code = track_format_init(&encode->format);
    if (code < 0)
        return code;
    AVStream *stream = encode->format.stream;
    if ((code = avcodec_parameters_from_context(stream->codecpar, codec)) < 0)
        return code;
#if !COMPAT_CODED_SIDE_DATA
    for (int i = 0; i < codec->nb_coded_side_data && code >= 0; i++) {
        const AVPacketSideData *side = &codec->coded_side_data[i];
        code = compat_stream_add_side_data(stream, side->type, side->data, side->size);
    }
#endif
    if (code >= 0 && encode->spec.kind == AVMEDIA_TYPE_VIDEO && is_hdr(frame)) {
        code = add_frame_side_data(stream, frame, AV_FRAME_DATA_MASTERING_DISPLAY_METADATA,
                                   AV_PKT_DATA_MASTERING_DISPLAY_METADATA);
        if (code >= 0) {
            code = add_frame_side_data(stream, frame, AV_FRAME_DATA_CONTENT_LIGHT_LEVEL,
                                       AV_PKT_DATA_CONTENT_LIGHT_LEVEL);
        }
    }
    stream->time_base = codec->time_base;
    stream->sample_aspect_ratio = codec->sample_aspect_ratio;
    if (encode->spec.kind == AVMEDIA_TYPE_VIDEO)
        stream->avg_frame_rate = codec->framerate;
    encode->format.annexb_outside = encode->global_header;
    encode->stage.task.ports[0].format = &encode->format;
    return code;
}

/* 0 or an AVERROR, unless the stage's error is set already. */
static int try_open(struct encode *encode, const AVFrame *frame, AVDictionary **options)
{
    avcodec_free_context(&encode->codec);
    av_dict_free(options);
    encode->codec = avcodec_alloc_context3(encode->node->encoder);
    if (!encode->codec)
        return AVERROR(ENOMEM);
    set_common(encode);
    int code = 0;
    if (encode->spec.kind == AVMEDIA_TYPE_VIDEO) {
        set_video(encode, frame);
    } else {
        code = set_audio(encode, frame);
    }
    if (code >= 0)
        code = collect_options(encode->node, options);
    if (code >= 0 && encode->leader) {
        encode_join_context(encode);
        code = encode_join_options(encode, options);
    }
    if (code >= 0)
        code = passes_open(encode, options);
    if (code >= 0)
        code = set_x265_params(encode, frame, options);
    return code >= 0 ? avcodec_open2(encode->codec, encode->node->encoder, options) : code;
}

int encode_open(struct encode *encode, const AVFrame *frame)
{
    struct error *e = &encode->stage.task.error;
    const AVCodec *encoder = encode->node->encoder;
    AVDictionary *options = NULL;
    int code = try_open(encode, frame, &options);
    if (code < 0 && passes_give_up(encode))
        code = try_open(encode, frame, &options);
    const AVDictionaryEntry *unknown = av_dict_get(options, "", NULL, AV_DICT_IGNORE_SUFFIX);
    if (code < 0 && e->code != ERROR_NONE) {
        code = e->code;
    } else if (code < 0 && encode->spec.kind == AVMEDIA_TYPE_VIDEO) {
        code = error_set_av(e, ERROR_ENCODE_FAILED, code, "encoder %s doesn't take %dx%d %s",
                            encoder->name, frame->width, frame->height,
                            av_get_pix_fmt_name(frame->format));
    } else if (code < 0) {
        code = error_set_av(e, ERROR_ENCODE_FAILED, code,
                            "encoder %s doesn't take %d Hz, %d channels, %s", encoder->name,
                            frame->sample_rate, frame->ch_layout.nb_channels,
                            av_get_sample_fmt_name(frame->format));
    } else if (unknown) {
        code = error_set(e, ERROR_INVALID_OPTION, "encoder %s has no option '%s'", encoder->name,
                         unknown->key);
    } else if (publish_format(encode, frame) < 0) {
        code = error_set(e, ERROR_OUT_OF_MEMORY, "no memory for an encoder");
    }
    av_dict_free(&options);
    return code;
}

#if LUMA_SANITIZED
/* What the encoders' libraries lose by themselves, whoever calls them: x265 when it closes, x264 a
 * frame now and then, libvorbis when it sets up surround sound. Other encoders tell our leaks. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_options(void);

const char *__lsan_default_suppressions(void)
{
    return "leak:libx264.so\nleak:libx265.so\nleak:libvorbisenc.so\n";
}

const char *__lsan_default_options(void)
{
    return "print_suppressions=0";
}
#endif
