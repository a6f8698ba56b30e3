/*
 * Opening an input and describing it.
 *
 * The demuxer is found by content alone and must be one of policy's; it gets no way to open
 * anything else. What it reports is copied into plain structs once, so that plans and scripts
 * never touch libavformat. Runs on the thread that builds the plan, or on a source's thread where
 * a file is opened again.
 */
#include "engine/media.h"

#include <libavcodec/avcodec.h>
#include <libavutil/avstring.h>
#include <libavutil/channel_layout.h>
#include <libavutil/pixdesc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/ass_header.h"
#include "engine/compat.h"
#include "engine/orientation.h"
#include "engine/policy.h"
#include "engine/timestamp.h"

/* ---- opening ---- */

/* A demuxer that wants another file (a playlist, an external track) doesn't get it. */
static int refuse_open(AVFormatContext *context, AVIOContext **io, const char *url, int flags,
                       AVDictionary **options)
{
    (void)context;
    (void)io;
    (void)url;
    (void)flags;
    (void)options;
    return AVERROR(EPERM);
}

/* The label's extension helps where the content alone is ambiguous; nothing else of it is used. */
static void probe_name(const char *label, char *name, size_t size)
{
    const char *dot = strrchr(label, '.');
    snprintf(name, size, "input%s", dot && strlen(dot) <= 8 ? dot : "");
}

/* The demuxer of text subtitles that a name promises, or NULL. */
static const char *named_subtitles(const char *label)
{
    static const char *const names[][2] = {
        {".srt", "srt"}, {".vtt", "webvtt"}, {".ass", "ass"}, {".ssa", "ass"}};
    const char *dot = strrchr(label, '.');
    for (size_t i = 0; dot && i < sizeof names / sizeof *names; i++) {
        if (av_strcasecmp(dot, names[i][0]) == 0)
            return names[i][1];
    }
    return NULL;
}

static int refuse_unknown(const char *label, struct error *e)
{
    if (named_subtitles(label))
        return error_set(e, ERROR_CORRUPT_MEDIA, "'%s' holds no subtitle that can be read", label);
    return error_set(e, ERROR_UNSUPPORTED_MEDIA,
                     "'%s' is not media that this server knows: its content fits no format", label);
}

static bool listed(const char *names, const char *list)
{
    /* A demuxer may have several names; one that is listed is enough. */
    char first[32];
    while (*names) {
        size_t length = strcspn(names, ",");
        snprintf(first, sizeof first, "%.*s", (int)FFMIN(length, sizeof first - 1), names);
        if (av_match_list(first, list, ','))
            return true;
        names += length + (names[length] == ',');
    }
    return false;
}

/* How well the format fits, 1 to 100, or an error code. */
static int find_demuxer(const AVInputFormat **format, AVIOContext *io, const char *label,
                        struct error *e)
{
    char name[32];
    probe_name(label, name, sizeof name);
    int code = av_probe_input_buffer2(io, format, name, NULL, 0, 0);
    if (code >= 0 && *format && !listed((*format)->name, policy_demuxers())) {
        /* A name that ends in .jpg speaks for a sequence of pictures more than a JPEG does. */
        *format = NULL;
        code = av_probe_input_buffer2(io, format, "input", NULL, 0, 0);
    }
    if (code == AVERROR_EXIT || code == AVERROR(ENOMEM) || code == AVERROR(EIO))
        return error_set_av(e, ERROR_CORRUPT_MEDIA, code, "can't read '%s'", label);
    if ((code < 0 || !*format) && named_subtitles(label)) {
        /* Only the first event counts for libavformat's guess, and may be the one that is wrong. */
        *format = av_find_input_format(named_subtitles(label));
        code = AVPROBE_SCORE_RETRY;
    }
    if (code < 0 || !*format)
        return refuse_unknown(label, e);
    if (!listed((*format)->name, policy_demuxers())) {
        return error_set(e, ERROR_UNSUPPORTED_MEDIA, "'%s' is %s, which is not accepted", label,
                         (*format)->long_name ? (*format)->long_name : (*format)->name);
    }
    return code;
}

static int refuse_input(const AVInputFormat *format, int score, int averror, const char *label,
                        struct error *e)
{
    /* It was hardly more than the name that spoke for this format, or a format so plain that parts
     * of anything look like it. */
    bool guessed = score <= AVPROBE_SCORE_RETRY ||
                   av_match_list(format->name, "mp3,aac,loas,ac3,mpegvideo,h261,h263", ',');
    if (guessed && averror != AVERROR_EXIT && averror != AVERROR(ENOMEM))
        return refuse_unknown(label, e);
    return error_set_av(e, ERROR_CORRUPT_MEDIA, averror, "'%s' is damaged %s", label,
                        format->long_name ? format->long_name : format->name);
}

/* Demuxers of text take anything that is named like it: what has no event is nothing. */
static int check_subtitles(AVFormatContext *context, const char *label, struct error *e)
{
    static const char formats[] =
        "ass,srt,webvtt,jacosub,microdvd,mpl2,mpsub,pjs,realtext,sami,stl,"
        "subviewer,subviewer1,vplayer";
    if (!listed(context->iformat->name, formats))
        return 0;
    AVPacket *packet = av_packet_alloc();
    if (!packet)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory to open '%s'", label);
    int code = av_read_frame(context, packet);
    av_packet_free(&packet);
    if (code >= 0)
        code = avformat_seek_file(context, -1, INT64_MIN, 0, INT64_MAX, 0);
    return code < 0 ? refuse_unknown(label, e) : 0;
}

static int fix_headers(AVFormatContext *context, const char *label, struct error *e)
{
    for (unsigned i = 0; i < context->nb_streams; i++) {
        AVCodecParameters *par = context->streams[i]->codecpar;
        bool ass = par->codec_id == AV_CODEC_ID_ASS && strstr(context->iformat->name, "matroska");
        if (ass && ass_header_fix(par) < 0)
            return error_set(e, ERROR_OUT_OF_MEMORY, "no memory to open '%s'", label);
    }
    return 0;
}

static AVFormatContext *alloc_context(const struct policy_limits *limits)
{
    AVFormatContext *context = avformat_alloc_context();
    if (!context)
        return NULL;
    context->flags |= AVFMT_FLAG_CUSTOM_IO;
    context->max_streams = limits->max_streams;
    context->io_open = refuse_open;
    context->format_whitelist = av_strdup(policy_demuxers());
    context->codec_whitelist = av_strdup(policy_decoders());
    context->protocol_whitelist = av_strdup("");
    if (!context->format_whitelist || !context->codec_whitelist || !context->protocol_whitelist) {
        avformat_free_context(context);
        return NULL;
    }
    return context;
}

int media_open_context(AVFormatContext **context, struct io_reader *reader, const char *label,
                       atomic_int *cancel, _Atomic int64_t *position, struct error *e)
{
    struct policy_limits limits;
    const AVInputFormat *format = NULL;
    int code = 0;
    *context = NULL;

    policy_limits_init(&limits);
    AVIOContext *io = io_alloc_read(reader, cancel, position);
    AVFormatContext *opened = alloc_context(&limits);
    if (!io || !opened) {
        code = error_set(e, ERROR_OUT_OF_MEMORY, "no memory to open '%s'", label);
        goto fail;
    }
    int score = code = find_demuxer(&format, io, label, e);
    if (code < 0)
        goto fail;
    opened->pb = io;
    code = avformat_open_input(&opened, "", format, NULL); /* frees opened on failure */
    if (code >= 0)
        code = avformat_find_stream_info(opened, NULL);
    if (code < 0) {
        code = refuse_input(format, score, code, label, e);
        goto fail;
    }
    if (opened->nb_streams == 0) {
        code = error_set(e, ERROR_CORRUPT_MEDIA, "'%s' holds no streams", label);
        goto fail;
    }
    if ((int)opened->nb_streams > limits.max_streams) {
        code = error_set(e, ERROR_LIMIT_EXCEEDED, "'%s' has %u streams; at most %d are accepted",
                         label, opened->nb_streams, limits.max_streams);
        goto fail;
    }
    code = check_subtitles(opened, label, e);
    if (code >= 0)
        code = fix_headers(opened, label, e);
    if (code < 0)
        goto fail;
    *context = opened;
    return 0;
fail:
    avformat_close_input(&opened);
    io_free_read(&io);
    return code;
}

void media_close_context(AVFormatContext **context)
{
    if (!*context)
        return;
    AVIOContext *io = (*context)->pb;
    avformat_close_input(context);
    io_free_read(&io);
}

/* ---- describing ---- */

static const char *tag_value(const AVDictionary *tags, const char *name)
{
    const AVDictionaryEntry *entry = av_dict_get(tags, name, NULL, 0);
    return entry ? entry->value : "";
}

static double to_seconds(int64_t timestamp, AVRational time_base)
{
    return timestamp == AV_NOPTS_VALUE ? NAN : (double)timestamp * av_q2d(time_base);
}

/* NAN also for what no media lasts. */
static double to_length(double seconds)
{
    return seconds <= TIMESTAMP_MOST_SECONDS ? seconds : NAN;
}

/* Matroska keeps a track's duration as a tag, "00:00:05.023000000". */
static double tagged_duration(const AVStream *stream)
{
    int hours, minutes, length = 0;
    double seconds;
    const char *text = tag_value(stream->metadata, "DURATION");
    if (sscanf(text, "%d:%d:%lf%n", &hours, &minutes, &seconds, &length) != 3 || text[length])
        return NAN;
    double total = hours * 3600.0 + minutes * 60.0 + seconds;
    return total > 0 ? to_length(total) : NAN;
}

static double stream_duration(const AVFormatContext *context, const AVStream *stream)
{
    double duration = to_length(to_seconds(stream->duration, stream->time_base));
    if (isnan(duration))
        duration = tagged_duration(stream);
    enum AVMediaType kind = stream->codecpar->codec_type;
    if (isnan(duration) && (kind == AVMEDIA_TYPE_VIDEO || kind == AVMEDIA_TYPE_AUDIO))
        duration = to_length(to_seconds(context->duration, AV_TIME_BASE_Q));
    return duration;
}

static const char *known(const char *name)
{
    return name && strcmp(name, "unknown") != 0 && strcmp(name, "reserved") != 0 ? name : "";
}

static struct media_color describe_color(const AVStream *stream)
{
    const AVCodecParameters *par = stream->codecpar;
    return (struct media_color){
        .primaries = known(av_color_primaries_name(par->color_primaries)),
        .transfer = known(av_color_transfer_name(par->color_trc)),
        .matrix = known(av_color_space_name(par->color_space)),
        .range = known(av_color_range_name(par->color_range)),
        .hdr = par->color_trc == AVCOL_TRC_SMPTE2084 || par->color_trc == AVCOL_TRC_ARIB_STD_B67,
        .dolby_vision = compat_stream_side_data(stream, AV_PKT_DATA_DOVI_CONF, NULL) != NULL,
    };
}

static bool rates_differ(AVRational a, AVRational b)
{
    if (a.num <= 0 || b.num <= 0 || a.den <= 0 || b.den <= 0)
        return false;
    return fabs(av_q2d(a) / av_q2d(b) - 1) > 0.02;
}

static void describe_video(struct media_stream *out, AVFormatContext *context, AVStream *stream)
{
    const AVCodecParameters *par = stream->codecpar;
    out->width = par->width;
    out->height = par->height;
    out->pixel_format = par->format;
    out->attached_picture = (stream->disposition & AV_DISPOSITION_ATTACHED_PIC) != 0;

    AVRational aspect = av_guess_sample_aspect_ratio(context, stream, NULL);
    if (aspect.num <= 0 || aspect.den <= 0)
        aspect = (AVRational){1, 1};
    out->sample_aspect_ratio = aspect;

    size_t size = 0;
    const uint8_t *matrix = compat_stream_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, &size);
    const struct orientation *orientation =
        orientation_of_matrix(size >= 9 * sizeof(int32_t) ? (const int32_t *)matrix : NULL);
    out->rotation = orientation->rotation;
    out->flipped = orientation->flipped;
    int width = (int)av_rescale(par->width, aspect.num, aspect.den);
    out->display_width = orientation->transposed ? par->height : width;
    out->display_height = orientation->transposed ? width : par->height;

    out->frame_rate =
        out->attached_picture ? (AVRational){0, 1} : av_guess_frame_rate(context, stream, NULL);
    if (out->frame_rate.num <= 0 || out->frame_rate.den <= 0)
        out->frame_rate = (AVRational){0, 1};
    out->variable_frame_rate = rates_differ(stream->avg_frame_rate, stream->r_frame_rate);
    if (out->variable_frame_rate && stream->avg_frame_rate.num > 0)
        out->frame_rate = stream->avg_frame_rate;
    out->interlaced =
        par->field_order != AV_FIELD_UNKNOWN && par->field_order != AV_FIELD_PROGRESSIVE;
    out->color = describe_color(stream);
}

static void describe_audio(struct media_stream *out, const AVStream *stream)
{
    const AVCodecParameters *par = stream->codecpar;
    out->sample_rate = par->sample_rate;
    out->channels = par->ch_layout.nb_channels;
    if (av_channel_layout_describe(&par->ch_layout, out->layout, sizeof out->layout) < 0)
        out->layout[0] = 0;
    out->sample_format = par->format;
    out->bits_per_sample =
        par->bits_per_raw_sample ? par->bits_per_raw_sample : av_get_bits_per_sample(par->codec_id);
}

int media_copy_stream(AVStream *copy, const AVStream *stream)
{
    int code = avcodec_parameters_copy(copy->codecpar, stream->codecpar);
#if !COMPAT_CODED_SIDE_DATA
    int count = 0;
    const AVPacketSideData *side = compat_stream_side_data_list(stream, &count);
    for (int i = 0; i < count && code >= 0; i++)
        code = compat_stream_add_side_data(copy, side[i].type, side[i].data, side[i].size);
#endif
    copy->time_base = stream->time_base;
    copy->avg_frame_rate = stream->avg_frame_rate;
    copy->r_frame_rate = stream->r_frame_rate;
    copy->sample_aspect_ratio = stream->sample_aspect_ratio;
    copy->duration = stream->duration;
    copy->disposition = stream->disposition;
    return code;
}

/* Copies what a stream's description points to into the media's holder. */
static AVStream *keep_stream(AVFormatContext *holder, const AVStream *stream)
{
    AVStream *kept = avformat_new_stream(holder, NULL);
    if (!kept || media_copy_stream(kept, stream) < 0 ||
        av_dict_copy(&kept->metadata, stream->metadata, 0) < 0)
        return NULL;
    if (stream->attached_pic.size > 0 && av_packet_ref(&kept->attached_pic, &stream->attached_pic))
        return NULL;
    return kept;
}

static void describe_stream(struct media_stream *out, AVFormatContext *context, AVStream *stream,
                            const AVStream *kept)
{
    const AVCodecParameters *par = kept->codecpar;
    const AVCodecDescriptor *codec = avcodec_descriptor_get(par->codec_id);
    const char *profile = avcodec_profile_name(par->codec_id, par->profile);
    *out = (struct media_stream){
        .index = stream->index,
        .kind = par->codec_type,
        .codec = codec ? codec->name : "",
        .profile = profile ? profile : "",
        .bit_rate = par->bit_rate,
        .start = to_seconds(stream->start_time, stream->time_base),
        .duration = stream_duration(context, stream),
        .time_base = stream->time_base,
        .packets = stream->nb_frames,
        .pixel_format = AV_PIX_FMT_NONE,
        .sample_format = AV_SAMPLE_FMT_NONE,
        .sample_aspect_ratio = {1, 1},
        .frame_rate = {0, 1},
        .color = {"", "", "", "", false, false},
        .language = tag_value(kept->metadata, "language"),
        .title = tag_value(kept->metadata, "title"),
        .disposition = stream->disposition,
        .metadata = kept->metadata,
        .parameters = par,
        .picture = kept->attached_pic.size > 0 ? &kept->attached_pic : NULL,
    };
    if (par->codec_tag)
        av_fourcc_make_string(out->codec_tag, par->codec_tag);
    if (out->kind == AVMEDIA_TYPE_VIDEO)
        describe_video(out, context, stream);
    if (out->kind == AVMEDIA_TYPE_AUDIO)
        describe_audio(out, stream);
}

static int describe_streams(struct media *media, AVFormatContext *context)
{
    for (unsigned i = 0; i < context->nb_streams; i++) {
        const AVStream *kept = keep_stream(media->holder, context->streams[i]);
        if (!kept)
            return AVERROR(ENOMEM);
        describe_stream(&media->streams[i], context, context->streams[i], kept);
        media->stream_count++;
    }
    return 0;
}

static int describe_chapters(struct media *media, const AVFormatContext *context)
{
    for (unsigned i = 0; i < context->nb_chapters; i++) {
        const AVChapter *chapter = context->chapters[i];
        AVDictionary *tags = NULL;
        if (av_dict_copy(&tags, chapter->metadata, 0) < 0) {
            av_dict_free(&tags);
            return AVERROR(ENOMEM);
        }
        media->chapters[media->chapter_count++] = (struct media_chapter){
            .start = to_seconds(chapter->start, chapter->time_base),
            .end = to_seconds(chapter->end, chapter->time_base),
            .title = tag_value(tags, "title"),
            .metadata = tags,
        };
    }
    return 0;
}

int media_describe(struct media **out, AVFormatContext *context, const char *label, struct error *e)
{
    struct media *media = calloc(1, sizeof *media);
    *out = media;
    if (media) {
        media->streams = calloc(context->nb_streams + 1, sizeof *media->streams);
        media->chapters = calloc(context->nb_chapters + 1, sizeof *media->chapters);
        media->label = av_strdup(label);
        media->holder = avformat_alloc_context();
    }
    if (!media || !media->streams || !media->chapters || !media->label || !media->holder ||
        av_dict_copy(&media->holder->metadata, context->metadata, 0) < 0 ||
        describe_streams(media, context) < 0 || describe_chapters(media, context) < 0) {
        media_destroy(out);
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory to describe '%s'", label);
    }
    media->metadata = media->holder->metadata;
    media->format = context->iformat->name;
    media->brand = tag_value(media->metadata, "major_brand");
    media->duration = to_length(to_seconds(context->duration, AV_TIME_BASE_Q));
    media->start = to_seconds(context->start_time, AV_TIME_BASE_Q);
    media->size = avio_size(context->pb);
    media->size = media->size < 0 ? -1 : media->size;
    media->bit_rate = context->bit_rate;
    return 0;
}

void media_destroy(struct media **media)
{
    if (!*media)
        return;
    for (int i = 0; i < (*media)->chapter_count; i++)
        av_dict_free((AVDictionary **)&(*media)->chapters[i].metadata);
    free((*media)->streams);
    free((*media)->chapters);
    av_free((char *)(*media)->label);
    avformat_free_context((*media)->holder);
    free(*media);
    *media = NULL;
}

/* More pixels or channels, then the earlier one. */
static int64_t stream_weight(const struct media_stream *stream)
{
    int64_t weight = stream->kind == AVMEDIA_TYPE_VIDEO ? (int64_t)stream->width * stream->height
                                                        : stream->channels;
    if (stream->disposition & AV_DISPOSITION_DEFAULT)
        weight += INT64_C(1) << 50;
    if (stream->disposition & (AV_DISPOSITION_VISUAL_IMPAIRED | AV_DISPOSITION_HEARING_IMPAIRED |
                               AV_DISPOSITION_COMMENT | AV_DISPOSITION_STILL_IMAGE))
        weight -= INT64_C(1) << 49;
    return weight;
}

int media_best_stream(const struct media *media, enum AVMediaType kind)
{
    int best = -1;
    for (int i = 0; i < media->stream_count; i++) {
        const struct media_stream *stream = &media->streams[i];
        if (stream->kind != kind || stream->attached_picture || !*stream->codec)
            continue;
        if (best < 0 || stream_weight(stream) > stream_weight(&media->streams[best]))
            best = i;
    }
    return best;
}
