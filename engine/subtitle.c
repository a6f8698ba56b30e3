/*
 * The subtitle stage: text subtitles of one codec in, of another out.
 *
 * Decoding and encoding are one task, as an event is small and rare. Events that can't be decoded
 * are skipped; timestamps and lengths are the packets' own.
 */
#include <libavutil/avutil.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/compat.h"
#include "engine/pipeline_internal.h"

enum { QUEUE_PACKETS = 64, QUEUE_BYTES = 4 << 20, EVENT_BYTES = 1 << 20 };

struct subtitle {
    struct stage stage;
    const struct plan_node *node;
    const char *label;
    AVCodecParameters *parameters;
    AVRational time_base;
    AVCodecContext *decoder, *encoder;
    struct track_format format;
    uint8_t *buffer;
    int64_t end;
};

static void subtitle_finish(struct stage *stage)
{
    struct subtitle *subtitle = (struct subtitle *)stage;
    avcodec_parameters_free(&subtitle->parameters);
    avcodec_free_context(&subtitle->decoder);
    avcodec_free_context(&subtitle->encoder);
    track_format_finish(&subtitle->format);
    free(subtitle->buffer);
}

static int no_memory(struct subtitle *subtitle)
{
    return error_set(&subtitle->stage.task.error, ERROR_OUT_OF_MEMORY, "no memory for subtitles");
}

static int open_decoder(struct subtitle *subtitle)
{
    struct error *e = &subtitle->stage.task.error;
    const AVCodec *codec = avcodec_find_decoder(subtitle->parameters->codec_id);
    if (!codec) {
        return error_set(e, ERROR_UNSUPPORTED_MEDIA, "no decoder for subtitles of '%s'",
                         subtitle->label);
    }
    subtitle->decoder = avcodec_alloc_context3(codec);
    if (!subtitle->decoder ||
        avcodec_parameters_to_context(subtitle->decoder, subtitle->parameters) < 0)
        return no_memory(subtitle);
    subtitle->decoder->pkt_timebase = subtitle->time_base;
    subtitle->decoder->codec_whitelist = av_strdup(policy_decoders());
    int code = avcodec_open2(subtitle->decoder, codec, NULL);
    return code < 0 ? error_set_av(e, ERROR_UNSUPPORTED_MEDIA, code,
                                   "subtitles of '%s' can't be decoded", subtitle->label)
                    : 0;
}

static int open_encoder(struct subtitle *subtitle)
{
    struct error *e = &subtitle->stage.task.error;
    AVCodecContext *from = subtitle->decoder;
    subtitle->encoder = avcodec_alloc_context3(subtitle->node->encoder);
    if (!subtitle->encoder)
        return no_memory(subtitle);
    AVCodecContext *to = subtitle->encoder;
    to->time_base = AV_TIME_BASE_Q;
    if (from->subtitle_header_size > 0) {
        /* One byte more: some encoders read it as a string. */
        to->subtitle_header = av_mallocz((size_t)from->subtitle_header_size + 1);
        if (!to->subtitle_header)
            return no_memory(subtitle);
        memcpy(to->subtitle_header, from->subtitle_header, (size_t)from->subtitle_header_size);
        to->subtitle_header_size = from->subtitle_header_size;
    }
    int code = avcodec_open2(to, subtitle->node->encoder, NULL);
    if (code < 0) {
        return error_set_av(e, ERROR_ENCODE_FAILED, code, "subtitle encoder %s can't be opened",
                            subtitle->node->encoder->name);
    }
    if (track_format_init(&subtitle->format) < 0 ||
        avcodec_parameters_from_context(subtitle->format.stream->codecpar, to) < 0)
        return no_memory(subtitle);
    subtitle->format.stream->time_base = (AVRational){1, 1000};
    subtitle->stage.task.ports[0].format = &subtitle->format;
    return 0;
}

static int send_event(struct subtitle *subtitle, AVSubtitle *event, const AVPacket *from)
{
    struct error *e = &subtitle->stage.task.error;
    int64_t start = av_rescale_q(from->pts, from->time_base, (AVRational){1, 1000});
    int64_t length = av_rescale_q(from->duration, from->time_base, (AVRational){1, 1000});
    if (event->end_display_time != 0 && event->end_display_time != UINT32_MAX)
        length = (int64_t)event->end_display_time - event->start_display_time;
    start += event->start_display_time;
    event->pts = av_rescale_q(start, (AVRational){1, 1000}, AV_TIME_BASE_Q);
    event->start_display_time = 0;
    event->end_display_time = (uint32_t)FFMAX(length, 0);
    int size = avcodec_encode_subtitle(subtitle->encoder, subtitle->buffer, EVENT_BYTES, event);
    if (size < 0) {
        return error_set_av(e, ERROR_ENCODE_FAILED, size, "subtitle encoder %s failed",
                            subtitle->node->encoder->name);
    }
    if (size == 0)
        return 0;
    AVPacket *packet = av_packet_alloc();
    if (!packet || av_new_packet(packet, size) < 0) {
        av_packet_free(&packet);
        return no_memory(subtitle);
    }
    memcpy(packet->data, subtitle->buffer, (size_t)size);
    packet->pts = packet->dts = start;
    packet->duration = FFMAX(length, 0);
    packet->time_base = (AVRational){1, 1000};
    packet->flags |= AV_PKT_FLAG_KEY;
    subtitle->end = FFMAX(subtitle->end, (start + packet->duration) * 1000);
    int code = port_send_packet(&subtitle->stage.task.ports[0], packet);
    av_packet_free(&packet);
    return code;
}

static int convert_packet(struct subtitle *subtitle, AVPacket *packet)
{
    AVSubtitle event = {0};
    int got = 0;
    int result = avcodec_decode_subtitle2(subtitle->decoder, &event, &got, packet);
    if (result < 0 || !got)
        return result == AVERROR(ENOMEM) ? no_memory(subtitle) : 0;
    int code = event.num_rects > 0 && packet->pts != AV_NOPTS_VALUE
                   ? send_event(subtitle, &event, packet)
                   : 0;
    avsubtitle_free(&event);
    return code;
}

static int subtitle_run(struct task *task)
{
    struct subtitle *subtitle = (struct subtitle *)task;
    struct queue_item item = {0};
    int code = open_decoder(subtitle);
    if (code == 0)
        code = open_encoder(subtitle);
    if (code == 0)
        code = port_send_opened(&task->ports[0]);
    while (code == 0 && (code = task_receive(task, &item)) == 0) {
        if (item.kind == QUEUE_PACKET)
            code = convert_packet(subtitle, item.packet);
        queue_item_clear(&item);
    }
    if (code >= 0)
        port_end(&task->ports[0], subtitle->end);
    return code;
}

int subtitle_create(struct run *run, int node, struct stage **out, struct error *e)
{
    struct subtitle *subtitle = run_new_stage(run, sizeof *subtitle, subtitle_finish, e);
    if (!subtitle)
        return e->code;
    *out = &subtitle->stage;
    subtitle->node = run->plan->nodes[node];
    struct plan_edge edge = subtitle->node->inputs[0];
    subtitle->label = run->plan->nodes[edge.node]->file->label;
    struct port *port = run->nodes[edge.node].packets[edge.pad];
    const struct track_format *format = port->format;
    subtitle->buffer = malloc(EVENT_BYTES);
    subtitle->parameters = avcodec_parameters_alloc();
    if (!subtitle->buffer || !subtitle->parameters || !format ||
        avcodec_parameters_copy(subtitle->parameters, format->stream->codecpar) < 0)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for subtitles");
    subtitle->time_base = format->stream->time_base;
    int code = task_init(&subtitle->stage.task, &run->group, "subtitle", subtitle_run, 1,
                         QUEUE_PACKETS, QUEUE_BYTES, 1, e);
    if (code == 0)
        code = task_connect(port, &subtitle->stage.task, 0, e);
    return code;
}
