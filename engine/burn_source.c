/*
 * Pulling subtitle events out of a file.
 */
#include "engine/burn_source.h"

#include <libavutil/avstring.h>
#include <math.h>

#include "engine/policy.h"
#include "engine/timestamp.h"

static int open_decoder(struct burn_source *source, const AVStream *stream, struct error *e)
{
    const char *label = source->source.file->label;
    const AVCodec *codec = policy_decoder(stream->codecpar->codec_id);
    const AVCodecDescriptor *descriptor = avcodec_descriptor_get(stream->codecpar->codec_id);
    source->text = descriptor && (descriptor->props & AV_CODEC_PROP_TEXT_SUB);
    if (!codec) {
        return error_set(e, ERROR_UNSUPPORTED_MEDIA, "no decoder for the subtitles of '%s'", label);
    }
    source->packet = av_packet_alloc();
    source->decoder = avcodec_alloc_context3(codec);
    if (!source->packet || !source->decoder ||
        avcodec_parameters_to_context(source->decoder, stream->codecpar) < 0)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for subtitles");
    source->decoder->pkt_timebase = stream->time_base;
    source->decoder->codec_whitelist = av_strdup(policy_decoders());
    int averror = avcodec_open2(source->decoder, codec, NULL);
    return averror < 0 ? error_set_av(e, ERROR_UNSUPPORTED_MEDIA, averror,
                                      "the subtitles of '%s' can't be decoded", label)
                       : 0;
}

int burn_source_init(struct burn_source *source, struct run *run, struct plan_edge edge,
                     struct error *e)
{
    const struct plan_node *input = run->plan->nodes[edge.node];
    *source = (struct burn_source){.stream = edge.pad, .zero = input->file->start + input->start};
    int code = source_open(&source->source, run, input->file, e);
    if (code < 0)
        return code;
    AVFormatContext *context = source->source.context;
    if (edge.pad >= (int)context->nb_streams)
        return error_set(e, ERROR_CORRUPT_MEDIA, "'%s' has changed", input->file->label);
    for (int i = 0; i < (int)context->nb_streams; i++)
        context->streams[i]->discard = i == edge.pad ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
    return open_decoder(source, context->streams[edge.pad], e);
}

void burn_source_finish(struct burn_source *source)
{
    av_packet_free(&source->packet);
    avcodec_free_context(&source->decoder);
    source_close(&source->source);
}

/* 0 with a packet of the stream, 1 at the end. */
static int read_packet(struct burn_source *source, struct error *e)
{
    while (true) {
        int code = av_read_frame(source->source.context, source->packet);
        if (code == AVERROR(ENOMEM))
            return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for subtitles");
        if (code < 0) /* damage: what was read so far is shown */
            return 1;
        if (source->packet->stream_index == source->stream)
            return 0;
        av_packet_unref(source->packet);
    }
}

static int64_t to_milliseconds(int64_t time, AVRational time_base)
{
    return av_rescale_q(time, time_base, (AVRational){1, 1000});
}

static AVRational time_base_of(const struct burn_source *source)
{
    return source->source.context->streams[source->stream]->time_base;
}

/* Whether the packet says when its event is shown. */
static bool is_timed(const struct burn_source *source)
{
    AVRational time_base = time_base_of(source);
    int64_t pts = source->packet->pts;
    int64_t zero = av_rescale_q(llrint(source->zero * AV_TIME_BASE), AV_TIME_BASE_Q, time_base);
    return pts != AV_NOPTS_VALUE && timestamp_fits(pts, zero, time_base);
}

static void time_event(const struct burn_source *source, struct burn_event *event)
{
    const AVPacket *packet = source->packet;
    AVRational time_base = time_base_of(source);
    int64_t length = timestamp_tame_length(packet->duration, time_base);
    int64_t zero = llrint(source->zero * 1000);
    uint32_t begin = event->subtitle.start_display_time;
    uint32_t end = event->subtitle.end_display_time;
    event->start = to_milliseconds(packet->pts, time_base) - zero + begin;
    event->duration = -1;
    if (end != 0 && end != UINT32_MAX && end > begin) {
        event->duration = (int64_t)end - begin;
    } else if (length > 0) {
        event->duration = to_milliseconds(length, time_base);
    }
}

int burn_source_next(struct burn_source *source, struct burn_event *event, struct error *e)
{
    while (!source->ended) {
        int code = read_packet(source, e);
        if (code < 0)
            return code;
        source->ended = code == 1;
        if (source->ended)
            break;
        int got = 0;
        *event = (struct burn_event){0};
        int result =
            avcodec_decode_subtitle2(source->decoder, &event->subtitle, &got, source->packet);
        bool timed = is_timed(source);
        if (result >= 0 && got && timed)
            time_event(source, event);
        av_packet_unref(source->packet);
        if (result == AVERROR(ENOMEM))
            return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for subtitles");
        if (result >= 0 && got && timed)
            return 1;
        if (got)
            avsubtitle_free(&event->subtitle);
    }
    return 0;
}
