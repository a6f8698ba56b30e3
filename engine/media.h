/*
 * What is known of an input before anything is decoded: a plain description of a container and
 * its streams, taken once when the input is opened, never changed afterwards. It may be read from
 * any thread.
 *
 * Times are seconds. An unknown time is NAN, an unknown number 0, an unknown text "".
 */
#ifndef LUMA_ENGINE_MEDIA_H
#define LUMA_ENGINE_MEDIA_H

#include <libavformat/avformat.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/error.h"
#include "engine/io.h"

struct media_color {
    const char *primaries, *transfer, *matrix, *range; /* libavutil's names, "" if unspecified */
    bool hdr;                                          /* PQ or HLG transfer */
    bool dolby_vision;                                 /* carries a DOVI configuration record */
};

struct media_stream {
    int index;
    enum AVMediaType kind;
    const char *codec; /* "h264"; "" if this build has no name for it */
    const char *profile;
    char codec_tag[32];
    int64_t bit_rate; /* bits per second */
    double start;     /* seconds, on the input's clock */
    double duration;
    AVRational time_base;
    int64_t packets; /* the container's own count, 0 if it has none */

    /* video */
    int width, height; /* as coded */
    enum AVPixelFormat pixel_format;
    AVRational sample_aspect_ratio;    /* 1/1 if unspecified */
    int display_width, display_height; /* after sample aspect and rotation */
    int rotation;                      /* degrees clockwise to show it upright: 0, 90, 180, 270 */
    bool flipped;                      /* the display matrix mirrors as well */
    AVRational frame_rate;             /* 0/1 if unknown */
    bool variable_frame_rate;
    bool interlaced;
    struct media_color color;
    bool attached_picture; /* cover art: one still picture, never "the video" */

    /* audio */
    int sample_rate, channels;
    char layout[64];
    enum AVSampleFormat sample_format;
    int bits_per_sample; /* of the coded form where that says more: 24 in an s32 flac */

    const char *language, *title;
    int disposition;              /* AV_DISPOSITION_* */
    const AVDictionary *metadata; /* borrowed from the media, as are the others */
    const AVCodecParameters *parameters;
    const AVPacket *picture; /* an attached picture's only packet, else NULL */
};

struct media_chapter {
    double start, end;
    const char *title;
    const AVDictionary *metadata;
};

struct media {
    const char *label;  /* the name that people know it by, for messages and default names */
    const char *format; /* demuxer's name: "mov,mp4,m4a,3gp,3g2,mj2" */
    const char *brand;  /* mov/mp4 major brand, or "" */
    double duration;
    double start;
    int64_t size; /* bytes, -1 unknown */
    int64_t bit_rate;
    const AVDictionary *metadata;
    struct media_chapter *chapters;
    int chapter_count;
    struct media_stream *streams;
    int stream_count;
    AVFormatContext *holder; /* never opened: owns what the others borrow */
};

/* Opens and probes an input with the engine's format and codec lists and bounds (see policy.h).
 * On success *context is an open demuxer over a new AVIOContext on reader (borrowed), to be closed
 * with media_close_context(). Not media: unsupported_media; damaged beyond use: corrupt_media. */
int media_open_context(AVFormatContext **context, struct io_reader *reader, const char *label,
                       atomic_int *cancel, _Atomic int64_t *position, struct error *e);
void media_close_context(AVFormatContext **context);

/* Describes an open demuxer. The result keeps nothing of the context, which may be closed. */
int media_describe(struct media **out, AVFormatContext *context, const char *label,
                   struct error *e);
void media_destroy(struct media **media);

/* Parameters, side data, rates, aspect and time base of a stream; 0 or AVERROR(ENOMEM). */
int media_copy_stream(AVStream *copy, const AVStream *stream);

/* The usual choice among the streams of a kind (av_find_best_stream without cover pictures; the
 * default disposition first), as an index into streams, or -1. */
int media_best_stream(const struct media *media, enum AVMediaType kind);

#endif
