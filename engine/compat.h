/*
 * The differences between FFmpeg 5.1, 6.1 and 7.1, in one place. The rest of the tree is written
 * against the newer names and includes this.
 */
#ifndef LUMA_ENGINE_COMPAT_H
#define LUMA_ENGINE_COMPAT_H

#include <libavcodec/avcodec.h>
#include <libavfilter/avfilter.h>
#include <libavfilter/buffersink.h>
#include <libavformat/avformat.h>
#include <libavutil/frame.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define COMPAT_FRAME_FLAGS      (LIBAVUTIL_VERSION_INT >= AV_VERSION_INT(58, 7, 100))
#define COMPAT_FRAME_DURATION   (LIBAVUTIL_VERSION_INT >= AV_VERSION_INT(57, 30, 100))
#define COMPAT_CODED_SIDE_DATA  (LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(60, 30, 101))
#define COMPAT_TICKS_PER_FRAME  (LIBAVCODEC_VERSION_INT < AV_VERSION_INT(60, 31, 101))
#define COMPAT_SUPPORTED_CONFIG (LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(61, 13, 100))
#define COMPAT_LINK_FRAME_RATE  (LIBAVFILTER_VERSION_INT < AV_VERSION_INT(10, 4, 100))
#define COMPAT_SOURCE_COLOR     (LIBAVFILTER_VERSION_INT >= AV_VERSION_INT(10, 0, 100))

/* What an AVIOContext's write callback gets. */
#if LIBAVFORMAT_VERSION_MAJOR >= 61
typedef const uint8_t compat_written;
#else
typedef uint8_t compat_written;
#endif

/* ---- frames ---- */

/* How long pictures are shown, for encoders that don't take it from each frame yet. */
static inline void compat_encoder_set_step(AVCodecContext *codec, int64_t ticks)
{
#if COMPAT_TICKS_PER_FRAME
    codec->ticks_per_frame = (int)FFMAX(ticks, 1);
#else
    (void)codec;
    (void)ticks;
#endif
}

static inline int64_t compat_frame_duration(const AVFrame *frame)
{
#if COMPAT_FRAME_DURATION
    return frame->duration;
#else
    return frame->pkt_duration;
#endif
}

static inline void compat_frame_set_duration(AVFrame *frame, int64_t duration)
{
#if COMPAT_FRAME_DURATION
    frame->duration = duration;
#else
    frame->pkt_duration = duration;
#endif
}

static inline bool compat_frame_interlaced(const AVFrame *frame)
{
#if COMPAT_FRAME_FLAGS
    return (frame->flags & AV_FRAME_FLAG_INTERLACED) != 0;
#else
    return frame->interlaced_frame != 0;
#endif
}

static inline bool compat_frame_top_first(const AVFrame *frame)
{
#if COMPAT_FRAME_FLAGS
    return (frame->flags & AV_FRAME_FLAG_TOP_FIELD_FIRST) != 0;
#else
    return frame->top_field_first != 0;
#endif
}

/* ---- side data of streams ---- */

static inline const uint8_t *compat_stream_side_data(const AVStream *stream,
                                                     enum AVPacketSideDataType type, size_t *size)
{
#if COMPAT_CODED_SIDE_DATA
    const AVPacketSideData *data = av_packet_side_data_get(
        stream->codecpar->coded_side_data, stream->codecpar->nb_coded_side_data, type);
    if (size)
        *size = data ? data->size : 0;
    return data ? data->data : NULL;
#else
    return av_stream_get_side_data(stream, type, size);
#endif
}

/* Copies the data; 0 or AVERROR(ENOMEM). */
static inline int compat_stream_add_side_data(AVStream *stream, enum AVPacketSideDataType type,
                                              const uint8_t *data, size_t size)
{
#if COMPAT_CODED_SIDE_DATA
    AVPacketSideData *place = av_packet_side_data_new(
        &stream->codecpar->coded_side_data, &stream->codecpar->nb_coded_side_data, type, size, 0);
    uint8_t *bytes = place ? place->data : NULL;
#else
    uint8_t *bytes = av_stream_new_side_data(stream, type, size);
#endif
    if (!bytes)
        return AVERROR(ENOMEM);
    memcpy(bytes, data, size);
    return 0;
}

/* The stream's side data as a list; *count of them. */
static inline const AVPacketSideData *compat_stream_side_data_list(const AVStream *stream,
                                                                   int *count)
{
#if COMPAT_CODED_SIDE_DATA
    *count = stream->codecpar->nb_coded_side_data;
    return stream->codecpar->coded_side_data;
#else
    *count = stream->nb_side_data;
    return stream->side_data;
#endif
}

/* ---- filters ---- */

/* 0/0 where it isn't known: 7.1 tells it of the last link only. */
static inline AVRational compat_link_frame_rate(const AVFilterLink *link)
{
#if COMPAT_LINK_FRAME_RATE
    return link->frame_rate;
#else
    if (!strcmp(link->dst->filter->name, "buffersink"))
        return av_buffersink_get_frame_rate(link->dst);
    return (AVRational){0, 0};
#endif
}

/* ---- what an encoder takes; NULL: anything ---- */

#if COMPAT_SUPPORTED_CONFIG
static inline const void *compat_encoder_config(const AVCodec *codec, enum AVCodecConfig config)
{
    const void *list = NULL;
    return avcodec_get_supported_config(NULL, codec, config, 0, &list, NULL) < 0 ? NULL : list;
}
#define COMPAT_ENCODER_LIST(codec, config, field) compat_encoder_config(codec, config)
#else
#define COMPAT_ENCODER_LIST(codec, config, field) (codec)->field
#endif

/* Ends with AV_PIX_FMT_NONE. */
static inline const enum AVPixelFormat *compat_encoder_pixel_formats(const AVCodec *codec)
{
    return COMPAT_ENCODER_LIST(codec, AV_CODEC_CONFIG_PIX_FORMAT, pix_fmts);
}

/* Ends with 0/0. */
static inline const AVRational *compat_encoder_frame_rates(const AVCodec *codec)
{
    return COMPAT_ENCODER_LIST(codec, AV_CODEC_CONFIG_FRAME_RATE, supported_framerates);
}

/* Ends with AV_SAMPLE_FMT_NONE. */
static inline const enum AVSampleFormat *compat_encoder_sample_formats(const AVCodec *codec)
{
    return COMPAT_ENCODER_LIST(codec, AV_CODEC_CONFIG_SAMPLE_FORMAT, sample_fmts);
}

/* Ends with 0. */
static inline const int *compat_encoder_sample_rates(const AVCodec *codec)
{
    return COMPAT_ENCODER_LIST(codec, AV_CODEC_CONFIG_SAMPLE_RATE, supported_samplerates);
}

/* Ends with a layout of no channels. */
static inline const AVChannelLayout *compat_encoder_layouts(const AVCodec *codec)
{
    return COMPAT_ENCODER_LIST(codec, AV_CODEC_CONFIG_CHANNEL_LAYOUT, ch_layouts);
}

#endif
