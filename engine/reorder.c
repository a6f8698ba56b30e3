/*
 * Display order out of picture order counts.
 *
 * A coded video sequence begins with a picture whose count is 0 (ITU-T H.264, 8.2.1; H.265,
 * 8.3.1); within it a frame's count tells its place, in steps of 2 for H.264 as encoders write it
 * (each field counts) and of 1 for HEVC. So a frame's place is known when its packet is seen, and
 * nothing has to wait.
 */
#include "engine/reorder.h"

#include <stdlib.h>
#include <string.h>

struct reorder {
    AVCodecParserContext *parser;
    AVCodecContext *codec;
    int step;       /* of the count from frame to frame */
    int delay;      /* frames that decoding runs ahead of display */
    int64_t count;  /* packets so far */
    int64_t begins; /* packets before the present sequence */
    int64_t zero;   /* decoding time of the first packet */
};

struct reorder *reorder_create(const AVCodecParameters *parameters)
{
    enum AVCodecID id = parameters->codec_id;
    if ((id != AV_CODEC_ID_H264 && id != AV_CODEC_ID_HEVC) || parameters->video_delay <= 0)
        return NULL;
    struct reorder *reorder = calloc(1, sizeof *reorder);
    if (!reorder)
        return NULL;
    reorder->step = id == AV_CODEC_ID_H264 ? 2 : 1;
    reorder->delay = parameters->video_delay;
    reorder->zero = AV_NOPTS_VALUE;
    reorder->parser = av_parser_init((int)id);
    reorder->codec = avcodec_alloc_context3(NULL);
    if (!reorder->parser || !reorder->codec ||
        avcodec_parameters_to_context(reorder->codec, parameters) < 0) {
        reorder_destroy(&reorder);
    } else {
        reorder->parser->flags |= PARSER_FLAG_COMPLETE_FRAMES;
    }
    return reorder;
}

void reorder_destroy(struct reorder **pointer)
{
    struct reorder *reorder = *pointer;
    if (!reorder)
        return;
    if (reorder->parser)
        av_parser_close(reorder->parser);
    avcodec_free_context(&reorder->codec);
    free(reorder);
    *pointer = NULL;
}

void reorder_packet(struct reorder *reorder, AVPacket *packet, int64_t duration)
{
    uint8_t *data = NULL;
    int size = 0;
    av_parser_parse2(reorder->parser, reorder->codec, &data, &size, packet->data, packet->size,
                     packet->pts, packet->dts, packet->pos);
    int order = reorder->parser->output_picture_number;
    if (order == 0)
        reorder->begins = reorder->count;
    if (order % 2 != 0)
        reorder->step = 1;
    reorder->count++;
    if (packet->dts == AV_NOPTS_VALUE)
        return;
    if (reorder->zero == AV_NOPTS_VALUE)
        reorder->zero = packet->dts;
    if (packet->pts == AV_NOPTS_VALUE) {
        packet->pts = reorder->zero + (reorder->begins + order / reorder->step + reorder->delay) *
                                          FFMAX(duration, 1);
    }
}
