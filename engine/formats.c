/*
 * The containers that luma writes.
 *
 * What a container takes is decided by a list of our own where the muxer accepts more than players
 * read (mp4 with DTS, AVI with VP9), else by the muxer. Pictures that are covers (attached
 * pictures) are asked for apart, since they are no video tracks.
 */
#include "engine/formats.h"

#include <ctype.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/avstring.h>
#include <string.h>

#include "engine/media.h"
#include "engine/policy_internal.h"

#define PCM_LITTLE "pcm_s16le pcm_u8 pcm_s24le pcm_s32le pcm_f32le pcm_f64le pcm_alaw pcm_mulaw"
#define PCM_BIG    "pcm_s16be pcm_s8 pcm_s24be pcm_s32be pcm_f32be pcm_f64be"
#define MP4        "h264 hevc vvc av1 vp9 mpeg4 mpeg2video aac mp3 ac3 eac3 opus flac alac mov_text"
/* RealMedia's are read, but not written. */
#define MATROSKA "!rv10 rv20 rv30 rv40 ra_144 ra_288 cook sipr atrac3 qdm2 qdmc"
#define COVERS   "mjpeg png"

static const struct format table[] = {
    /* name, muxer, MIME types, default codecs, picture */
    {"mp4", "mp4", "video/mp4", "audio/mp4", "h264", "aac", "mov_text", false},
    {"m4v", "mp4", "video/x-m4v", "audio/mp4", "h264", "aac", "mov_text", false},
    {"mov", "mov", "video/quicktime", "", "h264", "aac", "mov_text", false},
    {"mkv", "matroska", "video/x-matroska", "audio/x-matroska", "h264", "aac", "subrip", false},
    {"webm", "webm", "video/webm", "audio/webm", "vp9", "opus", "webvtt", false},
    {"avi", "avi", "video/x-msvideo", "", "h264", "mp3", "", false},
    {"ts", "mpegts", "video/mp2t", "", "h264", "aac", "", false},
    {"flv", "flv", "video/x-flv", "", "h264", "aac", "", false},
    {"3gp", "3gp", "video/3gpp", "audio/3gpp", "h264", "aac", "mov_text", false},
    {"mpg", "vob", "video/mpeg", "audio/mpeg", "mpeg2video", "mp2", "", false},
    {"wmv", "asf", "video/x-ms-wmv", "audio/x-ms-wma", "wmv2", "wmav2", "", false},
    {"ogv", "ogv", "video/ogg", "audio/ogg", "theora", "vorbis", "", false},
    {"mp3", "mp3", "audio/mpeg", "", "", "mp3", "", false},
    {"aac", "adts", "audio/aac", "", "", "aac", "", false},
    {"m4a", "ipod", "audio/mp4", "", "", "aac", "", false},
    {"wav", "wav", "audio/wav", "", "", "pcm_s16le", "", false},
    {"flac", "flac", "audio/flac", "", "", "flac", "", false},
    {"ogg", "ogg", "audio/ogg", "", "", "vorbis", "", false},
    {"oga", "oga", "audio/ogg", "", "", "vorbis", "", false},
    {"opus", "opus", "audio/ogg", "", "", "opus", "", false},
    {"mka", "matroska", "audio/x-matroska", "", "", "aac", "subrip", false},
    {"aiff", "aiff", "audio/aiff", "", "", "pcm_s16be", "", false},
    {"ac3", "ac3", "audio/ac3", "", "", "ac3", "", false},
    {"jpg", "image2pipe", "image/jpeg", "", "mjpeg", "", "", true},
    {"png", "image2pipe", "image/png", "", "png", "", "", true},
    {"bmp", "image2pipe", "image/bmp", "", "bmp", "", "", true},
    {"tiff", "image2pipe", "image/tiff", "", "tiff", "", "", true},
    {"webp", "webp", "image/webp", "", "webp", "", "", false},
    {"gif", "gif", "image/gif", "", "gif", "", "", false},
    {"apng", "apng", "image/apng", "", "apng", "", "", false},
    {"srt", "srt", "application/x-subrip", "", "", "", "subrip", false},
    {"ass", "ass", "text/x-ssa", "", "", "", "ass", false},
    {"vtt", "webvtt", "text/vtt", "", "", "", "webvtt", false},
    {0},
};

/* The rest of what is known of each, in the same order. */
static const struct detail {
    const char *name;
    const char *takes;    /* codecs; "!" in front: as the muxer says, but not these */
    const char *covers;   /* codecs of attached pictures, "" none */
    int room[3];          /* most tracks: video, audio, subtitles */
    const char *demuxers; /* whose files are of this family */
    const char *aliases;
} details[] = {
    {"mp4", MP4, COVERS, {32, 32, 32}, "mov", "mpeg-4"},
    {"m4v", MP4, COVERS, {32, 32, 32}, "mov", ""},
    {"mov",
     "h264 hevc mpeg4 mpeg2video mpeg1video h263 mjpeg prores dnxhd cfhd png qtrle rawvideo v210 "
     "v308 v408 v410 r210 r10k hap dvvideo jpeg2000 svq1 svq3 cinepak rpza smc aac mp3 ac3 eac3 "
     "alac amr_nb amr_wb adpcm_ima_qt mov_text " PCM_LITTLE " " PCM_BIG,
     "",
     {32, 32, 32},
     "mov",
     "qt quicktime"},
    {"mkv", MATROSKA, COVERS, {32, 32, 32}, "matroska", "matroska"},
    {"webm", "vp8 vp9 av1 vorbis opus webvtt", "", {32, 32, 32}, "matroska", "weba"},
    {"avi",
     "h264 mpeg4 msmpeg4v2 msmpeg4v3 mpeg2video mpeg1video mjpeg h263 flv1 wmv1 wmv2 huffyuv "
     "ffvhuff ffv1 utvideo magicyuv rawvideo dvvideo cinepak msvideo1 zmbv mp3 mp2 ac3 aac dts "
     "wmav1 wmav2 adpcm_ms adpcm_ima_wav " PCM_LITTLE,
     "",
     {32, 32, 0},
     "avi",
     "divx"},
    {"ts",
     "h264 hevc mpeg2video mpeg1video mpeg4 aac aac_latm mp2 mp3 ac3 eac3 opus dts s302m "
     "dvb_subtitle dvb_teletext",
     "",
     {32, 32, 32},
     "mpegts",
     "mpegts mts m2ts m2t"},
    {"flv",
     "h264 flv1 flashsv flashsv2 vp6f vp6a aac mp3 nellymoser",
     "",
     {1, 1, 0},
     "flv,live_flv",
     "f4v"},
    {"3gp", "h263 h264 mpeg4 amr_nb amr_wb aac mov_text", "", {32, 32, 32}, "mov", "3g2 3gpp"},
    {"mpg",
     "mpeg2video mpeg1video h264 mp2 mp3 ac3",
     "",
     {32, 32, 0},
     "mpeg,mpegvideo",
     "mpeg vob m2v dvd"},
    {"wmv",
     "wmv1 wmv2 wmv3 vc1 msmpeg4v3 wmav1 wmav2 wmapro wmalossless mp3",
     "",
     {32, 32, 0},
     "asf,asf_o",
     "asf wma"},
    {"ogv", "theora vorbis opus flac speex", "", {32, 32, 0}, "ogg", ""},
    {"mp3", "mp3", COVERS, {0, 1, 0}, "mp3", ""},
    {"aac", "aac", "", {0, 1, 0}, "aac", "adts"},
    {"m4a", "aac alac ac3", COVERS, {0, 32, 0}, "mov", "m4b ipod"},
    {"wav", "adpcm_ms adpcm_ima_wav " PCM_LITTLE, "", {0, 1, 0}, "wav,w64", "wave"},
    {"flac", "flac", COVERS, {0, 1, 0}, "flac", ""},
    {"ogg", "vorbis opus flac speex", "", {0, 32, 0}, "ogg", ""},
    {"oga", "vorbis opus flac speex", "", {0, 32, 0}, "ogg", ""},
    {"opus", "opus", "", {0, 1, 0}, "ogg", ""},
    {"mka", MATROSKA, COVERS, {0, 32, 32}, "matroska", ""},
    {"aiff", PCM_BIG, "", {0, 1, 0}, "aiff", "aif aifc"},
    {"ac3", "ac3", "", {0, 1, 0}, "ac3", ""},
    {"jpg", "mjpeg", "", {1, 0, 0}, "jpeg_pipe", "jpeg jpe mjpeg"},
    {"png", "png", "", {1, 0, 0}, "png_pipe", ""},
    {"bmp", "bmp", "", {1, 0, 0}, "bmp_pipe", ""},
    {"tiff", "tiff", "", {1, 0, 0}, "tiff_pipe", "tif"},
    {"webp", "webp", "", {1, 0, 0}, "webp_pipe", ""},
    {"gif", "gif", "", {1, 0, 0}, "gif", ""},
    {"apng", "apng", "", {1, 0, 0}, "apng", ""},
    {"srt", "subrip text", "", {0, 0, 1}, "srt", "subrip"},
    {"ass", "ass", "", {0, 0, 1}, "ass", "ssa"},
    {"vtt", "webvtt", "", {0, 0, 1}, "webvtt", "webvtt"},
};

_Static_assert(sizeof table / sizeof *table == sizeof details / sizeof *details + 1,
               "both tables have the same formats");

const struct format *format_table(void)
{
    return table;
}

static const struct detail *detail_of(const struct format *format)
{
    return &details[format - table];
}

static void lower_case(char *to, size_t size, const char *from)
{
    size_t i = 0;
    for (; from[i] && i + 1 < size; i++) {
        to[i] = (char)tolower((unsigned char)from[i]);
    }
    to[from[i] ? 0 : i] = '\0'; /* too long a name is none */
}

const struct format *format_find(const char *name)
{
    char wanted[16];
    lower_case(wanted, sizeof wanted, name);
    for (const struct format *format = table; format->name && *wanted; format++) {
        if (!strcmp(format->name, wanted) || policy_listed(wanted, detail_of(format)->aliases)) {
            return format;
        }
    }
    return NULL;
}

static const struct format *format_by_brand(const char *brand)
{
    static const struct {
        const char *brand, *format;
    } brands[] = {{"qt", "mov"}, {"M4V", "m4v"}, {"M4A", "m4a"}, {"M4B", "m4a"}, {"3g", "3gp"}};
    for (size_t i = 0; i < sizeof brands / sizeof *brands; i++) {
        if (!strncmp(brand, brands[i].brand, strlen(brands[i].brand))) {
            return format_find(brands[i].format);
        }
    }
    return format_find("mp4");
}

static bool holds_all(const struct format *format, const struct media *media)
{
    for (int i = 0; i < media->stream_count; i++) {
        const struct media_stream *stream = &media->streams[i];
        bool track = stream->kind == AVMEDIA_TYPE_VIDEO || stream->kind == AVMEDIA_TYPE_AUDIO ||
                     stream->kind == AVMEDIA_TYPE_SUBTITLE;
        if (!track) {
            continue;
        }
        if (format_room(format, stream->kind) == 0 ||
            !format_takes(format, stream->parameters->codec_id)) {
            return false;
        }
    }
    return true;
}

const struct format *format_of_media(const struct media *media)
{
    const char *dot = strrchr(media->label, '.');
    const struct format *named = dot ? format_find(dot + 1) : NULL;
    if (named && av_match_list(media->format, detail_of(named)->demuxers, ',') > 0) {
        return named;
    }
    if (av_match_name("mov", media->format)) {
        return format_by_brand(media->brand);
    }
    if (av_match_name("matroska", media->format)) {
        const struct format *webm = format_find("webm");
        return holds_all(webm, media) ? webm : format_find("mkv");
    }
    if (av_match_name("ogg", media->format)) {
        const struct format *ogg = format_find("ogg");
        return holds_all(ogg, media) ? ogg : format_find("ogv");
    }
    for (const struct format *format = table; format->name; format++) {
        if (av_match_list(media->format, detail_of(format)->demuxers, ',') > 0) {
            return format;
        }
    }
    return format_find("mp4");
}

bool format_takes(const struct format *format, enum AVCodecID codec)
{
    const AVCodecDescriptor *descriptor = avcodec_descriptor_get(codec);
    if (!descriptor) {
        return false;
    }
    const char *takes = detail_of(format)->takes;
    if (*takes != '!') {
        return policy_listed(descriptor->name, takes);
    }
    const AVOutputFormat *muxer = av_guess_format(format->muxer, NULL, NULL);
    return muxer && !policy_listed(descriptor->name, takes + 1) &&
           avformat_query_codec(muxer, codec, FF_COMPLIANCE_NORMAL) == 1;
}

bool format_takes_cover(const struct format *format, enum AVCodecID codec)
{
    return policy_listed(avcodec_get_name(codec), detail_of(format)->covers);
}

const char *format_covers(const struct format *format)
{
    return detail_of(format)->covers;
}

int format_room(const struct format *format, enum AVMediaType kind)
{
    switch (kind) {
    case AVMEDIA_TYPE_VIDEO:
        return detail_of(format)->room[0];
    case AVMEDIA_TYPE_AUDIO:
        return detail_of(format)->room[1];
    case AVMEDIA_TYPE_SUBTITLE:
        return detail_of(format)->room[2];
    case AVMEDIA_TYPE_ATTACHMENT: /* fonts and the like */
        return strcmp(format->muxer, "matroska") == 0 ? 32 : 0;
    default:
        return 0;
    }
}

void format_list_codecs(const struct format *format, enum AVMediaType kind, char *text, size_t size)
{
    *text = '\0';
    const char *takes = detail_of(format)->takes;
    if (*takes == '!') {
        av_strlcpy(text, "nearly everything", size);
        return;
    }
    while (*takes) {
        size_t length = strcspn(takes, " ");
        char name[32];
        av_strlcpy(name, takes, FFMIN(length + 1, sizeof name));
        const AVCodecDescriptor *descriptor = avcodec_descriptor_get_by_name(name);
        if (descriptor && descriptor->type == kind) {
            av_strlcatf(text, size, "%s%s", *text ? ", " : "", name);
        }
        takes += length;
        takes += *takes == ' ';
    }
}
