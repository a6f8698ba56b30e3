/*
 * Encoding what stands between copied segments: like the copied stream in all that a decoder is
 * told once. See plan_join.c.
 */
#include <libavutil/avstring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/encode_internal.h"
#include "engine/nal.h"

void encode_join_prepare(struct encode *encode)
{
    const struct media_stream *leader = encode->leader;
    struct frame_spec *spec = &encode->spec;
    spec->pixel_formats[0] = leader->pixel_format;
    spec->pixel_format_count = 1;
    spec->width = leader->width;
    spec->height = leader->height;
    spec->even = false;
}

void encode_join_context(struct encode *encode)
{
    AVCodecContext *codec = encode->codec;
    const AVCodecParameters *leader = encode->leader->parameters;
    codec->color_range = leader->color_range;
    codec->color_primaries = leader->color_primaries;
    codec->color_trc = leader->color_trc;
    codec->colorspace = leader->color_space;
    codec->chroma_sample_location = leader->chroma_location;
    codec->sample_aspect_ratio = leader->sample_aspect_ratio;
    if (encode->leader->frame_rate.num > 0)
        codec->framerate = encode_constant_rate(encode, encode->leader->frame_rate);
    codec->flags &= ~AV_CODEC_FLAG_GLOBAL_HEADER;
    /* Sets that are numbered go into the track's header. */
    if (leader->codec_id == AV_CODEC_ID_H264 || leader->codec_id == AV_CODEC_ID_HEVC)
        codec->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    if (leader->codec_id == AV_CODEC_ID_H264) {
        codec->level = leader->level > 0 ? leader->level : codec->level;
    }
    /* What an encoder of MPEG-4 says of itself switches decoders to its habits. */
    if (leader->codec_id == AV_CODEC_ID_MPEG4)
        codec->flags |= AV_CODEC_FLAG_BITEXACT;
}

static const char *x264_profile(int profile)
{
    static const struct {
        int profile;
        const char *name;
    } names[] = {
        {66, "baseline"}, {66 | 1 << 9, "baseline"}, {77, "main"},     {100, "high"},
        {110, "high10"},  {122, "high422"},          {244, "high444"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (names[i].profile == profile)
            return names[i].name;
    }
    return NULL;
}

/* Appends to a list that a setting may have begun. */
static int add_params(AVDictionary **options, const char *list, const char *params)
{
    const AVDictionaryEntry *own = av_dict_get(*options, list, NULL, 0);
    char *joined = av_asprintf("%s%s%s", own ? own->value : "", own ? ":" : "", params);
    return joined ? av_dict_set(options, list, joined, AV_DICT_DONT_STRDUP_VAL) : AVERROR(ENOMEM);
}

/* Frames that a decoder of the level has room for (H.264, table A-1). */
static int most_references(const AVCodecParameters *leader)
{
    static const struct {
        int level, macroblocks;
    } rooms[] = {{10, 396},    {11, 900},    {12, 2376},  {20, 2376},  {21, 4752},
                 {22, 8100},   {31, 18000},  {32, 20480}, {41, 32768}, {42, 34816},
                 {50, 110400}, {52, 184320}, {62, 696320}};
    int64_t picture = (int64_t)((leader->width + 15) / 16) * ((leader->height + 15) / 16);
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms && picture > 0; i++) {
        if (leader->level > 0 && leader->level <= rooms[i].level)
            return (int)av_clip64(rooms[i].macroblocks / picture, 1, 16);
    }
    return 16;
}

static int x264_options(const struct encode *encode, AVDictionary **options)
{
    const AVCodecParameters *leader = encode->leader->parameters;
    const AVDictionaryEntry *own = av_dict_get(*options, "refs", NULL, 0);
    char params[128];
    int most = most_references(leader);
    int refs = own ? atoi(own->value) : 3;
    /* Headers that don't depend on the pictures: they are needed before the first one comes. */
    snprintf(params, sizeof params, "sps-id=%d:stitchable=1:open-gop=0", encode->join_id);
    int code = add_params(options, "x264-params", params);
    if (code >= 0)
        code = av_dict_set(options, "profile", x264_profile(leader->profile), 0);
    if (code >= 0 && (refs > most || own))
        code = av_dict_set_int(options, "refs", FFMIN(refs, most), 0);
    if (code >= 0 && leader->video_delay == 1)
        code = av_dict_set(options, "b-pyramid", "none", 0);
    return code;
}

/* Slices that hevc_ids.h can renumber. */
static int x265_options(const struct encode *encode, AVDictionary **options)
{
    const AVCodecParameters *leader = encode->leader->parameters;
    char params[256];
    snprintf(params, sizeof params,
             "open-gop=0:wpp=0:slices=1:weightp=0:weightb=0:scaling-list=off:repeat-headers=0:"
             "annexb=1:aud=0:hrd=0:info=0%s",
             leader->video_delay == 0   ? ":bframes=0"
             : leader->video_delay == 1 ? ":b-pyramid=0"
                                        : "");
    return add_params(options, "x265-params", params);
}

int encode_join_options(struct encode *encode, AVDictionary **options)
{
    const AVCodecParameters *leader = encode->leader->parameters;
    bool older =
        leader->codec_id == AV_CODEC_ID_MPEG4 || leader->codec_id == AV_CODEC_ID_MPEG2VIDEO;
    int code = 0;
    static const char *const followed[] = {"level", "profile"};
    for (size_t i = 0; i < sizeof followed / sizeof *followed && code >= 0; i++)
        code = av_dict_set(options, followed[i], NULL, 0);
    if (code >= 0 && leader->codec_id == AV_CODEC_ID_H264)
        code = x264_options(encode, options);
    if (code >= 0 && leader->codec_id == AV_CODEC_ID_HEVC)
        code = x265_options(encode, options);
    /* Decoding may not run further ahead than for what is copied; nor, in older codecs, less, since
     * their headers say whether it does, and a decoder that changes over shows a picture twice. */
    if (code >= 0 && leader->video_delay == 0)
        code = av_dict_set(options, "bf", "0", 0);
    if (code >= 0 && leader->video_delay > 0 && older)
        code = av_dict_set(options, "bf", "2", 0);
    return code;
}

void encode_join(struct encode *encode, const struct plan *plan, const struct plan_node *sequence,
                 int segment)
{
    struct plan_edge edge = sequence->inputs[segment];
    if (!sequence->join || plan->nodes[edge.node] != encode->node)
        return;
    struct plan_edge leader = sequence->join->leader;
    encode->leader = &plan->nodes[leader.node]->file->media->streams[leader.pad];
    encode->join_id = sequence->join->ids[segment];
    encode->join_time_base = sequence->time_base;
}

/* A frame of the kind that will come. */
static AVFrame *example_frame(const struct media_stream *leader, AVRational time_base)
{
    AVFrame *frame = av_frame_alloc();
    if (!frame)
        return NULL;
    frame->width = leader->width;
    frame->height = leader->height;
    frame->format = leader->pixel_format;
    frame->sample_aspect_ratio = leader->parameters->sample_aspect_ratio;
    frame->time_base = time_base;
    frame->color_range = leader->parameters->color_range;
    frame->color_primaries = leader->parameters->color_primaries;
    frame->color_trc = leader->parameters->color_trc;
    frame->colorspace = leader->parameters->color_space;
    frame->chroma_location = leader->parameters->chroma_location;
    return frame;
}

int encode_join_header(struct run *run, const struct plan_node *sequence, int segment,
                       struct nal_bytes *sets, int *delay, struct error *e)
{
    struct port port = {0};
    struct encode *encode = calloc(1, sizeof *encode); /* the times in it are many */
    AVFrame *frame = NULL;
    int code = encode ? 0 : error_set(e, ERROR_OUT_OF_MEMORY, "no memory for an encoder");
    if (code == 0) {
        encode->stage.run = run;
        encode->stage.task.ports = &port;
        encode->node = run->plan->nodes[sequence->inputs[segment].node];
        encode_join(encode, run->plan, sequence, segment);
        if (!encode->leader)
            code = error_set(e, ERROR_INTERNAL, "segment %d has nothing to be like", segment + 1);
    }
    if (code == 0) {
        encode->frame_rate = encode->leader->frame_rate;
        encode->codec_id = encode->node->encoder->id;
        encode->spec.kind = AVMEDIA_TYPE_VIDEO;
        frame = example_frame(encode->leader, encode->join_time_base);
        code = frame ? encode_open(encode, frame)
                     : error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a frame");
        if (code < 0 && frame)
            *e = encode->stage.task.error;
    }
    if (code == 0) {
        const AVCodecContext *codec = encode->codec;
        *delay = codec->has_b_frames;
        if (nal_pick_sets(codec->codec_id, codec->extradata, (size_t)codec->extradata_size, sets) <
            0)
            code = error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a header");
    }
    if (encode) {
        avcodec_free_context(&encode->codec);
        track_format_finish(&encode->format);
    }
    av_frame_free(&frame);
    free(encode);
    return code;
}
