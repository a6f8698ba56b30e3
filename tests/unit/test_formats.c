/*
 * The containers. What a format is said to take is really encoded, muxed into memory, and read
 * back: for every format and every codec that this build encodes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/channel_layout.h>
#include <libavutil/opt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/compat.h"
#include "engine/formats.h"
#include "engine/introspect.h"
#include "engine/media.h"
#include "engine/policy.h"

/* x265 3.5 leaks a little of its own at each close. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libx265";
}

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void names_and_aliases(void **state)
{
    (void)state;
    static const struct {
        const char *name, *format;
    } cases[] = {
        {"mp4", "mp4"},     {"MP4", "mp4"},       {"matroska", "mkv"},
        {"mpegts", "ts"},   {"m2ts", "ts"},       {"jpeg", "jpg"},
        {"qt", "mov"},      {"quicktime", "mov"}, {"m4b", "m4a"},
        {"webvtt", "vtt"},  {"ssa", "ass"},       {"tif", "tiff"},
        {"wave", "wav"},    {"oga", "oga"},       {"opus", "opus"},
        {"nonsense", NULL}, {"", NULL},           {" ", NULL},
        {"mp4 mov", NULL},  {"mts m2ts", NULL},   {"a name that is much too long", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct format *format = format_find(cases[i].name);
        if (!format != !cases[i].format || (format && strcmp(format->name, cases[i].format) != 0)) {
            fail_msg("'%s' is '%s'", cases[i].name, format ? format->name : "none");
        }
    }
}

static void the_table_is_whole(void **state)
{
    (void)state;
    for (const struct format *format = format_table(); format->name; format++) {
        assert_ptr_equal(format_find(format->name), format);
        assert_true(policy_muxer(format->muxer, NULL));
        assert_non_null(av_guess_format(format->muxer, NULL, NULL));
        assert_non_null(strchr(format->mime_video, '/'));
        const struct {
            const char *codec;
            enum AVMediaType kind;
        } defaults[] = {{format->video, AVMEDIA_TYPE_VIDEO},
                        {format->audio, AVMEDIA_TYPE_AUDIO},
                        {format->subtitle, AVMEDIA_TYPE_SUBTITLE}};
        for (size_t i = 0; i < COUNT(defaults); i++) {
            if (!*defaults[i].codec) {
                continue;
            }
            const AVCodec *encoder = introspect_encoder(defaults[i].codec, defaults[i].kind, NULL);
            assert_non_null(encoder);
            assert_true(format_takes(format, encoder->id));
            assert_true(format_room(format, defaults[i].kind) > 0);
            char list[512];
            format_list_codecs(format, defaults[i].kind, list, sizeof list);
            assert_true(strlen(list) > 0);
        }
    }
}

static void players_decide(void **state)
{
    (void)state;
    static const struct {
        const char *format, *codec;
        bool takes;
    } cases[] = {
        {"mp4", "h264", true},      {"mp4", "vorbis", false}, {"mp4", "pcm_s16le", false},
        {"mp4", "mov_text", true},  {"mp4", "subrip", false}, {"mp4", "mjpeg", false},
        {"mp4", "opus", true},      {"mp4", "prores", false}, {"mov", "prores", true},
        {"mov", "pcm_s16le", true}, {"mov", "vp9", false},    {"mkv", "h264", true},
        {"mkv", "mov_text", false}, {"mkv", "subrip", true},  {"mkv", "hdmv_pgs_subtitle", true},
        {"mkv", "prores", true},    {"webm", "h264", false},  {"webm", "vp9", true},
        {"webm", "aac", false},     {"flv", "hevc", false},   {"flv", "aac", true},
        {"3gp", "amr_nb", true},    {"avi", "subrip", false}, {"avi", "vp9", false},
        {"ts", "vp9", false},       {"ts", "opus", true},     {"mp3", "aac", false},
        {"wav", "mp3", false},      {"ogg", "opus", true},    {"ogg", "theora", false},
        {"opus", "vorbis", false},  {"m4a", "alac", true},    {"m4a", "mp3", false},
        {"jpg", "mjpeg", true},     {"png", "mjpeg", false},  {"gif", "gif", true},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const AVCodecDescriptor *codec = avcodec_descriptor_get_by_name(cases[i].codec);
        if (format_takes(format_find(cases[i].format), codec->id) != cases[i].takes) {
            fail_msg("%s in %s", cases[i].codec, cases[i].format);
        }
    }
    assert_false(format_takes(format_find("mkv"), AV_CODEC_ID_NONE));
    assert_true(format_takes_cover(format_find("mp4"), AV_CODEC_ID_MJPEG));
    assert_true(format_takes_cover(format_find("mp3"), AV_CODEC_ID_PNG));
    assert_false(format_takes_cover(format_find("mov"), AV_CODEC_ID_MJPEG));
    assert_false(format_takes_cover(format_find("mp4"), AV_CODEC_ID_GIF));
    assert_int_equal(format_room(format_find("mp3"), AVMEDIA_TYPE_AUDIO), 1);
    assert_int_equal(format_room(format_find("mp3"), AVMEDIA_TYPE_VIDEO), 0);
    assert_int_equal(format_room(format_find("mp4"), AVMEDIA_TYPE_DATA), 0);
}

/* ---- families ---- */

static const struct format *family(const char *label, const char *demuxer, const char *brand,
                                   enum AVCodecID video, enum AVCodecID audio)
{
    AVCodecParameters parameters[2] = {{.codec_id = video}, {.codec_id = audio}};
    struct media_stream streams[2] = {
        {.kind = AVMEDIA_TYPE_VIDEO, .parameters = &parameters[0]},
        {.kind = AVMEDIA_TYPE_AUDIO, .parameters = &parameters[1]},
    };
    struct media media = {.label = label,
                          .format = demuxer,
                          .brand = brand,
                          .streams = video ? streams : streams + 1,
                          .stream_count = (video != 0) + (audio != 0)};
    return format_of_media(&media);
}

static void media_have_families(void **state)
{
    (void)state;
    static const char mov[] = "mov,mp4,m4a,3gp,3g2,mj2";
    static const struct {
        const char *label, *demuxer, *brand;
        enum AVCodecID video, audio;
        const char *format;
    } cases[] = {
        {"a.mp4", mov, "isom", AV_CODEC_ID_H264, AV_CODEC_ID_AAC, "mp4"},
        {"a.MOV", mov, "qt  ", AV_CODEC_ID_H264, AV_CODEC_ID_AAC, "mov"},
        {"a.m4v", mov, "isom", AV_CODEC_ID_H264, AV_CODEC_ID_AAC, "m4v"},
        {"a", mov, "qt  ", AV_CODEC_ID_H264, AV_CODEC_ID_AAC, "mov"},
        {"a", mov, "M4A ", 0, AV_CODEC_ID_AAC, "m4a"},
        {"a.avi", mov, "3gp4", AV_CODEC_ID_H263, AV_CODEC_ID_AMR_NB, "3gp"},
        {"a", mov, "", AV_CODEC_ID_H264, 0, "mp4"},
        {"a.mkv", "matroska,webm", "", AV_CODEC_ID_VP9, AV_CODEC_ID_OPUS, "mkv"},
        {"a", "matroska,webm", "", AV_CODEC_ID_VP9, AV_CODEC_ID_OPUS, "webm"},
        {"a", "matroska,webm", "", AV_CODEC_ID_H264, AV_CODEC_ID_OPUS, "mkv"},
        {"a.mp4", "matroska,webm", "", AV_CODEC_ID_H264, AV_CODEC_ID_AAC, "mkv"},
        {"a", "ogg", "", 0, AV_CODEC_ID_VORBIS, "ogg"},
        {"a.opus", "ogg", "", 0, AV_CODEC_ID_OPUS, "opus"},
        {"a", "ogg", "", AV_CODEC_ID_THEORA, AV_CODEC_ID_VORBIS, "ogv"},
        {"a.ts", "mpegts", "", AV_CODEC_ID_H264, AV_CODEC_ID_AAC, "ts"},
        {"", "flv", "", AV_CODEC_ID_H264, AV_CODEC_ID_AAC, "flv"},
        {"x.srt", "wav", "", 0, AV_CODEC_ID_PCM_S16LE, "wav"},
        {"x", "png_pipe", "", AV_CODEC_ID_PNG, 0, "png"},
        {"x", "something", "", AV_CODEC_ID_PNG, 0, "mp4"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct format *format = family(cases[i].label, cases[i].demuxer, cases[i].brand,
                                             cases[i].video, cases[i].audio);
        if (strcmp(format->name, cases[i].format) != 0) {
            fail_msg("'%s' (%s) is %s", cases[i].label, cases[i].demuxer, format->name);
        }
    }
}

/* ---- the matrix ---- */

/* A file in memory that can be written anywhere and read. */
struct memory {
    uint8_t *bytes;
    int64_t size, position;
};

static int memory_write(void *opaque, compat_written *from, int size)
{
    struct memory *memory = opaque;
    int64_t end = memory->position + size;
    if (end > memory->size) {
        memory->bytes = realloc(memory->bytes, (size_t)end);
        assert_non_null(memory->bytes);
        memset(memory->bytes + memory->size, 0, (size_t)(end - memory->size));
        memory->size = end;
    }
    memcpy(memory->bytes + memory->position, from, (size_t)size);
    memory->position = end;
    return size;
}

static int memory_read(void *opaque, uint8_t *to, int size)
{
    struct memory *memory = opaque;
    int64_t left = memory->size - memory->position;
    if (left <= 0) {
        return AVERROR_EOF;
    }
    size = (int)FFMIN(left, size);
    memcpy(to, memory->bytes + memory->position, (size_t)size);
    memory->position += size;
    return size;
}

static int64_t memory_seek(void *opaque, int64_t offset, int whence)
{
    struct memory *memory = opaque;
    if (whence & AVSEEK_SIZE) {
        return memory->size;
    }
    assert_int_equal(whence & ~AVSEEK_FORCE, SEEK_SET);
    return memory->position = offset;
}

static AVIOContext *memory_open(struct memory *memory, bool write)
{
    unsigned char *room = av_malloc(4096);
    memory->position = 0;
    return avio_alloc_context(room, 4096, write, memory, memory_read, memory_write, memory_seek);
}

static void memory_close(AVIOContext **io)
{
    avio_flush(*io);
    av_freep(&(*io)->buffer);
    avio_context_free(io);
}

/* An opened encoder with small pictures or common sound, or NULL where it wants something else. */
static AVCodecContext *open_encoder(const AVCodec *codec, bool global_header)
{
    AVCodecContext *context = avcodec_alloc_context3(codec);
    if (codec->type == AVMEDIA_TYPE_VIDEO) {
        const enum AVPixelFormat *formats = compat_encoder_pixel_formats(codec);
        bool h263 = codec->id == AV_CODEC_ID_H263;
        bool dv = codec->id == AV_CODEC_ID_DVVIDEO;
        context->width = h263 ? 176 : dv ? 720 : 160;
        context->height = h263 ? 144 : dv ? 576 : 128;
        context->width = codec->id == AV_CODEC_ID_DNXHD ? 256 : context->width;
        context->pix_fmt = formats ? formats[0] : AV_PIX_FMT_YUV420P;
        for (const enum AVPixelFormat *f = formats; f && *f != AV_PIX_FMT_NONE; f++) {
            context->pix_fmt = *f == AV_PIX_FMT_YUV420P ? *f : context->pix_fmt;
        }
        context->time_base = (AVRational){1, 25};
        context->framerate = (AVRational){25, 1};
        context->strict_std_compliance = FF_COMPLIANCE_UNOFFICIAL; /* yuv420p in jpeg */
    } else {
        const int *rates = compat_encoder_sample_rates(codec);
        const enum AVSampleFormat *formats = compat_encoder_sample_formats(codec);
        bool amr = codec->id == AV_CODEC_ID_AMR_NB || codec->id == AV_CODEC_ID_AMR_WB;
        context->sample_rate = amr && codec->id == AV_CODEC_ID_AMR_WB ? 16000 : amr ? 8000 : 44100;
        bool found = !rates;
        for (const int *rate = rates; rate && *rate; rate++) {
            found |= *rate == context->sample_rate;
        }
        context->sample_rate = found ? context->sample_rate : rates[0];
        context->sample_fmt = formats ? formats[0] : AV_SAMPLE_FMT_S16;
        context->time_base = (AVRational){1, context->sample_rate};
        av_channel_layout_default(&context->ch_layout, amr ? 1 : 2);
    }
    if (codec->id == AV_CODEC_ID_SPEEX || codec->id == AV_CODEC_ID_NELLYMOSER) {
        av_channel_layout_uninit(&context->ch_layout);
        av_channel_layout_default(&context->ch_layout, 1);
    }
    context->flags |= global_header ? AV_CODEC_FLAG_GLOBAL_HEADER : 0;
    context->thread_count = 1;
    av_opt_set(context, "preset", "ultrafast", AV_OPT_SEARCH_CHILDREN);
    av_opt_set(context, "cpu-used", "8", AV_OPT_SEARCH_CHILDREN);
    if (codec->id == AV_CODEC_ID_DNXHD) {
        av_opt_set(context, "profile", "dnxhr_sq", AV_OPT_SEARCH_CHILDREN);
    }
    av_opt_set(context, "x265-params", "log-level=none", AV_OPT_SEARCH_CHILDREN);
    if (avcodec_open2(context, codec, NULL) < 0) {
        avcodec_free_context(&context);
    }
    return context;
}

static AVFrame *make_frame(const AVCodecContext *encoder)
{
    AVFrame *frame = av_frame_alloc();
    if (encoder->codec_type == AVMEDIA_TYPE_VIDEO) {
        frame->format = encoder->pix_fmt;
        frame->width = encoder->width;
        frame->height = encoder->height;
    } else {
        frame->format = encoder->sample_fmt;
        frame->sample_rate = encoder->sample_rate;
        frame->nb_samples = encoder->frame_size ? encoder->frame_size : 1024;
        av_channel_layout_copy(&frame->ch_layout, &encoder->ch_layout);
    }
    assert_true(av_frame_get_buffer(frame, 0) >= 0);
    for (int i = 0; i < 8 && frame->buf[i]; i++) {
        memset(frame->buf[i]->data, 0, frame->buf[i]->size);
    }
    return frame;
}

/* Sends all packets that are ready to the muxer; 0, or the muxer's error. */
static int drain(AVCodecContext *encoder, AVFormatContext *muxer)
{
    AVPacket *packet = av_packet_alloc();
    int averror = 0;
    while (averror >= 0 && avcodec_receive_packet(encoder, packet) >= 0) {
        av_packet_rescale_ts(packet, encoder->time_base, muxer->streams[0]->time_base);
        packet->stream_index = 0;
        averror = av_interleaved_write_frame(muxer, packet);
    }
    av_packet_free(&packet);
    return averror;
}

/* Muxes some frames of one encoder; 0 or an AVERROR. */
static int mux(const struct format *format, AVCodecContext *encoder, int frames,
               struct memory *memory)
{
    AVFormatContext *muxer = NULL;
    int averror = avformat_alloc_output_context2(&muxer, NULL, format->muxer, NULL);
    assert_true(averror >= 0);
    muxer->pb = memory_open(memory, true);
    muxer->strict_std_compliance = FF_COMPLIANCE_EXPERIMENTAL;
    AVStream *stream = avformat_new_stream(muxer, NULL);
    avcodec_parameters_from_context(stream->codecpar, encoder);
    stream->time_base = encoder->time_base;
    stream->avg_frame_rate = encoder->framerate;
    averror = avformat_write_header(muxer, NULL);
    AVFrame *frame = make_frame(encoder);
    for (int i = 0; averror >= 0 && i < frames; i++) {
        frame->pts = encoder->codec_type == AVMEDIA_TYPE_VIDEO ? i : (int64_t)i * frame->nb_samples;
        av_frame_make_writable(frame);
        avcodec_send_frame(encoder, frame);
        averror = drain(encoder, muxer);
    }
    if (averror >= 0) {
        avcodec_send_frame(encoder, NULL);
        averror = drain(encoder, muxer);
    }
    if (averror >= 0) {
        averror = av_write_trailer(muxer);
    }
    memory_close(&muxer->pb);
    av_frame_free(&frame);
    avformat_free_context(muxer);
    return averror;
}

/* The codec that a reader under the policy's list finds in the bytes. */
static enum AVCodecID read_back(struct memory *memory)
{
    AVIOContext *io = memory_open(memory, false);
    AVFormatContext *demuxer = avformat_alloc_context();
    demuxer->pb = io;
    demuxer->format_whitelist = av_strdup(policy_demuxers());
    demuxer->codec_whitelist = av_strdup(policy_decoders());
    enum AVCodecID id = AV_CODEC_ID_NONE;
    if (avformat_open_input(&demuxer, "memory", NULL, NULL) >= 0) {
        if (avformat_find_stream_info(demuxer, NULL) >= 0 && demuxer->nb_streams > 0) {
            id = demuxer->streams[0]->codecpar->codec_id;
        }
        avformat_close_input(&demuxer);
    }
    memory_close(&io);
    return id;
}

/* Some codecs come back under another name that means the same. */
static bool same_codec(enum AVCodecID written, enum AVCodecID read)
{
    static const enum AVCodecID pairs[][2] = {
        {AV_CODEC_ID_AAC, AV_CODEC_ID_AAC_LATM}, {AV_CODEC_ID_APNG, AV_CODEC_ID_PNG},
        {AV_CODEC_ID_H263P, AV_CODEC_ID_H263},   {AV_CODEC_ID_MPEG1VIDEO, AV_CODEC_ID_MPEG2VIDEO},
        {AV_CODEC_ID_MP2, AV_CODEC_ID_MP3},
    };
    for (size_t i = 0; i < COUNT(pairs); i++) {
        if (pairs[i][0] == written && pairs[i][1] == read) {
            return true;
        }
    }
    return written == read;
}

static void what_is_taken_can_be_muxed(void **state)
{
    (void)state;
    av_log_set_level(AV_LOG_QUIET);
    int combinations = 0;
    int failed = 0;
    for (const struct format *format = format_table(); format->name; format++) {
        const AVOutputFormat *output = av_guess_format(format->muxer, NULL, NULL);
        void *iterator = NULL;
        for (const AVCodec *codec; (codec = av_codec_iterate(&iterator));) {
            bool media = codec->type == AVMEDIA_TYPE_VIDEO || codec->type == AVMEDIA_TYPE_AUDIO;
            if (!media || !av_codec_is_encoder(codec) || !policy_encoder(codec->name, NULL) ||
                format_room(format, codec->type) == 0 || !format_takes(format, codec->id) ||
                introspect_encoder(avcodec_get_name(codec->id), codec->type, NULL) != codec) {
                continue;
            }
            AVCodecContext *encoder =
                open_encoder(codec, (output->flags & AVFMT_GLOBALHEADER) != 0);
            if (!encoder) {
                print_message("%s could not be opened\n", codec->name);
                failed++;
                continue;
            }
            int frames = format->picture || !strcmp(format->name, "webp") ? 1 : 12;
            struct memory memory = {0};
            int averror = mux(format, encoder, frames, &memory);
            enum AVCodecID read = averror < 0 ? AV_CODEC_ID_NONE : read_back(&memory);
            if (!same_codec(codec->id, read)) {
                print_message("%s in %s: %s, read back as %s\n", codec->name, format->name,
                              averror < 0 ? av_err2str(averror) : "written",
                              avcodec_get_name(read));
                failed++;
            }
            combinations++;
            free(memory.bytes);
            avcodec_free_context(&encoder);
        }
    }
    print_message("%d combinations of codec and format\n", combinations);
    assert_true(combinations > 120);
    assert_int_equal(failed, 0);
}

static const char ass_header[] = "[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\n"
                                 "Format: Name, Fontname, Fontsize\nStyle: Default,Sans,16\n\n"
                                 "[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, "
                                 "MarginR, MarginV, Effect, Text\n";

static void text_subtitles_can_be_muxed(void **state)
{
    (void)state;
    static const enum AVCodecID codecs[] = {AV_CODEC_ID_SUBRIP, AV_CODEC_ID_ASS, AV_CODEC_ID_WEBVTT,
                                            AV_CODEC_ID_MOV_TEXT};
    int combinations = 0;
    for (const struct format *format = format_table(); format->name; format++) {
        for (size_t i = 0; i < COUNT(codecs); i++) {
            if (!format_room(format, AVMEDIA_TYPE_SUBTITLE) || !format_takes(format, codecs[i])) {
                continue;
            }
            const AVCodec *codec = avcodec_find_encoder(codecs[i]);
            AVCodecContext *encoder = avcodec_alloc_context3(codec);
            encoder->time_base = (AVRational){1, 1000};
            encoder->subtitle_header = (uint8_t *)av_strdup(ass_header);
            encoder->subtitle_header_size = (int)strlen(ass_header);
            assert_true(avcodec_open2(encoder, codec, NULL) >= 0);
            AVFormatContext *muxer = NULL;
            avformat_alloc_output_context2(&muxer, NULL, format->muxer, NULL);
            struct memory memory = {0};
            muxer->pb = memory_open(&memory, true);
            AVStream *stream = avformat_new_stream(muxer, NULL);
            avcodec_parameters_from_context(stream->codecpar, encoder);
            stream->time_base = encoder->time_base;
            int averror = avformat_write_header(muxer, NULL);
            if (averror < 0) {
                fail_msg("%s in %s: %s", codec->name, format->name, av_err2str(averror));
            }
            assert_true(av_write_trailer(muxer) >= 0);
            memory_close(&muxer->pb);
            free(memory.bytes);
            avformat_free_context(muxer);
            avcodec_free_context(&encoder);
            combinations++;
        }
    }
    assert_true(combinations >= 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_aliases),
        cmocka_unit_test(the_table_is_whole),
        cmocka_unit_test(players_decide),
        cmocka_unit_test(media_have_families),
        cmocka_unit_test(what_is_taken_can_be_muxed),
        cmocka_unit_test(text_subtitles_can_be_muxed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
