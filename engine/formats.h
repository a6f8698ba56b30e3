/*
 * The containers that luma writes, by the names that people use ("mkv", "m4v", "jpg"): muxer,
 * extension, MIME type, default codecs. One table; everything else asks it.
 */
#ifndef LUMA_ENGINE_FORMATS_H
#define LUMA_ENGINE_FORMATS_H

#include <libavcodec/codec_id.h>
#include <libavutil/avutil.h>
#include <stdbool.h>
#include <stddef.h>

struct format {
    const char *name;                     /* "mp4": the name in options, and the file extension */
    const char *muxer;                    /* libavformat's name: "mp4", "matroska", "image2pipe" */
    const char *mime_video;               /* "video/mp4" */
    const char *mime_audio;               /* with audio only: "audio/mp4"; "" if the same */
    const char *video, *audio, *subtitle; /* default codecs by name; "" if it holds none */
    bool picture;                         /* one still picture a file */
};

/* NULL-terminated by an entry with a NULL name. */
const struct format *format_table(void);
/* By name or by a common alias ("matroska", "jpeg", "ts"); NULL if unknown. */
const struct format *format_find(const char *name);
/* The input's own family by its label's extension if the demuxer fits it, else by brand and
 * codecs; never NULL (mp4 at the end). */
struct media;
const struct format *format_of_media(const struct media *media);

/* True if the muxer takes the codec (avformat_query_codec corrected by what players read). Some
 * need a muxer with strict_std_compliance FF_COMPLIANCE_EXPERIMENTAL (FLAC in mp4, until FFmpeg
 * called that stable). */
bool format_takes(const struct format *format, enum AVCodecID codec);
/* The same for an attached picture (cover art), which is no video track. */
bool format_takes_cover(const struct format *format, enum AVCodecID codec);
/* The codecs of covers that it takes, separated by spaces; "" if it holds none. */
const char *format_covers(const struct format *format);
/* Most tracks of a kind that a file can hold; covers don't count. */
int format_room(const struct format *format, enum AVMediaType kind);
/* "h264, hevc, av1": the codecs of a kind that it takes, for messages; "" if none. */
void format_list_codecs(const struct format *format, enum AVMediaType kind, char *text,
                        size_t size);

#endif
