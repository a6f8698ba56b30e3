/*
 * A sequence of packets: which of a copied segment belong to it, and their times.
 *
 * The decoding times of video are made anew, because they must rise over joins where one segment
 * decodes further ahead than the other: with a delay of n packets, each is decoded when the
 * picture n places before it in the order of showing is shown, which is never later than its own
 * and always rises. It needs no packet that hasn't come yet.
 */
#include <libavutil/avutil.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/sequence_internal.h"

void sequence_begin_segment(struct sequence *sequence)
{
    const struct plan *plan = sequence->stage.run->plan;
    const struct plan_node *node = plan->nodes[sequence->node->inputs[sequence->segment].node];
    sequence->started = false;
    sequence->shift = 0;
    sequence->range = INT64_MAX;
    sequence->whole = false;
    if (!sequence->node->packets)
        return;
    const struct plan_node *input = plan->nodes[node->inputs[0].node];
    if (node->kind == PLAN_COPY && input->kind == PLAN_INPUT) {
        if (isfinite(input->stop))
            sequence->range = llrint((input->stop - input->start) * SEQUENCE_CLOCK);
        sequence->whole = input->start <= 0;
    }
}

int sequence_open(struct sequence *sequence, const struct track_format *format,
                  const AVCodecParameters *parameters, struct error *e)
{
    struct port *port = sequence_port(sequence);
    if (port->format)
        return 0;
    sequence->delay = FFMAX(sequence->delay, FFMIN(sequence->node->delay, REORDER_MOST));
    int code = track_format_init(&sequence->format);
    if (code >= 0)
        code = track_format_copy(&sequence->format, format->stream);
    if (code >= 0 && parameters)
        code = avcodec_parameters_copy(sequence->format.stream->codecpar, parameters);
    if (code < 0)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a track");
    sequence->format.stream->time_base = sequence->node->time_base;
    sequence->prefix = nal_prefix(sequence->format.stream->codecpar);
    port->format = &sequence->format;
    code = port_send_opened(port);
    sequence->finished |= code == TASK_STOP;
    return code;
}

static int send(struct sequence *sequence, AVPacket *packet, int64_t time, int64_t length)
{
    AVRational clock = sequence->node->time_base;
    packet->time_base = clock;
    packet->duration = av_rescale_q(time + length, SEQUENCE_TIME_BASE, clock) -
                       av_rescale_q(time, SEQUENCE_TIME_BASE, clock);
    sequence_note(sequence, time + length);
    sequence->started = true;
    int code = port_send_packet(sequence_port(sequence), packet);
    sequence->finished |= code == TASK_STOP;
    return code;
}

/* Where the segment's packets end, on its own clock. */
static int64_t segment_stop(const struct sequence *sequence)
{
    return FFMIN(sequence->range, sequence->length);
}

static int64_t to_clock(int64_t time, AVRational time_base)
{
    return av_rescale_q(time, time_base, SEQUENCE_TIME_BASE);
}

/* ---- video ---- */

/* Before anything is sent the input's own distance between decoding and showing may still be taken
 * for the delay, where that is more than the header says. */
static void learn_delay(struct sequence *sequence, const AVPacket *packet)
{
    if (sequence->begun || sequence->delay == 0 || packet->duration <= 0 ||
        packet->dts == AV_NOPTS_VALUE || packet->pts <= packet->dts)
        return;
    int64_t own = (packet->pts - packet->dts + packet->duration / 2) / packet->duration;
    sequence->delay = FFMAX(sequence->delay, (int)FFMIN(own, REORDER_MOST));
}

/* `decoded` is when the packet's own file decodes it, on the packet's time base, if that is known:
 * a first keyframe may have pictures behind it that are shown before. */
static void decode_in_time(struct sequence *sequence, AVPacket *packet, int64_t length,
                           int64_t decoded)
{
    int64_t *shown = sequence->shown;
    int delay = sequence->delay;
    if (sequence->shown_count == 0) {
        int64_t step = FFMAX(av_rescale_q(length, SEQUENCE_TIME_BASE, packet->time_base), 1);
        int64_t first = packet->pts - delay * step;
        if (decoded != AV_NOPTS_VALUE)
            first = FFMIN(first, decoded);
        for (int i = 0; i < delay; i++)
            shown[i] = first + i * step;
        sequence->shown_count = delay;
    }
    int at = sequence->shown_count++;
    for (; at > 0 && shown[at - 1] > packet->pts; at--)
        shown[at] = shown[at - 1];
    shown[at] = packet->pts;
    packet->dts = shown[0];
    for (int i = 1; i < sequence->shown_count; i++)
        shown[i - 1] = shown[i];
    sequence->shown_count--;
    if (delay == 0) /* nothing is kept: don't begin again */
        sequence->shown_count = 0;
    if (sequence->last_dts != AV_NOPTS_VALUE && packet->dts <= sequence->last_dts)
        packet->dts = sequence->last_dts + 1;
    sequence->last_dts = packet->dts;
}

static int refuse_start(const struct sequence *sequence, const char *why, struct error *e)
{
    return error_set(e, ERROR_INVALID_INPUT, "segment %d can't be copied: %s",
                     sequence->segment + 1, why);
}

/* 1 for a packet of the segment, 0 for one before it, or an error. */
static int belongs(const struct sequence *sequence, const AVPacket *packet, int64_t time,
                   int64_t slack, struct error *e)
{
    bool key = (packet->flags & AV_PKT_FLAG_KEY) != 0;
    if (sequence->started)
        return sequence->whole || time >= -slack;
    if (!key)
        return 0;
    if (sequence->whole) {
        return time < -slack && sequence->segment > 0
                   ? refuse_start(sequence, "it begins with pictures that aren't shown", e)
                   : 1;
    }
    if (time < -slack)
        return 0;
    return time <= slack ? 1 : refuse_start(sequence, "no keyframe is where it begins", e);
}

static int take_video(struct sequence *sequence, bool copied, AVPacket *packet, struct error *e)
{
    int64_t length = to_clock(FFMAX(packet->duration, 0), packet->time_base);
    /* Ranges lie on the stream's own clock: rounding takes half a tick of it at most. */
    int64_t slack = to_clock(1, packet->time_base) / 2;
    int64_t time = to_clock(packet->pts, packet->time_base);
    int code = copied ? belongs(sequence, packet, time, slack, e) : 1;
    if (code <= 0)
        return code;
    if (time >= segment_stop(sequence) - slack) {
        return copied ? TASK_STOP
                      : error_set(e, ERROR_INVALID_INPUT,
                                  "segment %d is longer than the duration it is given",
                                  sequence->segment + 1);
    }
    if ((code = sequence_join_packet(sequence, copied, packet, e)) < 0)
        return code;
    if (copied)
        learn_delay(sequence, packet);
    time += sequence->zero;
    int64_t decoded = packet->dts;
    if (decoded != AV_NOPTS_VALUE) {
        decoded = av_rescale_q(to_clock(decoded, packet->time_base) + sequence->zero,
                               SEQUENCE_TIME_BASE, sequence->node->time_base);
    }
    packet->time_base = sequence->node->time_base;
    packet->pts = av_rescale_q(time, SEQUENCE_TIME_BASE, packet->time_base);
    decode_in_time(sequence, packet, length, decoded);
    if (packet->dts > packet->pts) {
        return error_set(e, ERROR_CORRUPT_MEDIA,
                         "pictures of segment %d are further out of order than its header says",
                         sequence->segment + 1);
    }
    return send(sequence, packet, time, length);
}

/* ---- sound ---- */

/* Of a coarse clock the length is only nearly known; that of a codec's frame exactly, and however
 * much shorter a container says that the last one of a file is, in the middle all of it is heard.
 */
static int64_t sound_length(const struct sequence *sequence, const AVPacket *packet, bool last)
{
    AVCodecParameters *par = sequence->format.stream->codecpar;
    int64_t told = to_clock(FFMAX(packet->duration, 0), packet->time_base);
    int samples = par->sample_rate > 0 ? av_get_audio_frame_duration2(par, packet->size) : 0;
    if (samples <= 0)
        return told;
    int64_t exact = to_clock(samples, (AVRational){1, par->sample_rate});
    bool cut = told < exact && !last;
    return told <= 0 || cut || llabs(exact - told) <= to_clock(1, packet->time_base) ? exact : told;
}

/* Samples to leave out are for the beginning and the end of a whole track. */
static void keep_samples(AVPacket *packet)
{
    size_t size = 0;
    uint8_t *skip = av_packet_get_side_data(packet, AV_PKT_DATA_SKIP_SAMPLES, &size);
    if (skip)
        memset(skip, 0, size);
}

static int take_sound(struct sequence *sequence, AVPacket *packet)
{
    bool last = sequence->segment == sequence->node->input_count - 1;
    int64_t length = sound_length(sequence, packet, last);
    int64_t time = to_clock(packet->pts, packet->time_base);
    int64_t stop = segment_stop(sequence);
    if (stop != INT64_MAX && time + sequence->shift >= stop - length / 2)
        return TASK_STOP;
    if (sequence->begun && !sequence->started) {
        /* The packet nearest to where the one before ended goes on from there. */
        int64_t due = sequence->end - sequence->zero;
        if (time + length / 2 < due)
            return 0;
        sequence->shift = llabs(due - time) <= length ? due - time : 0;
    }
    time += sequence->zero + sequence->shift;
    if (sequence->begun && (time < sequence->end || time - sequence->end < length / 4))
        time = sequence->end;
    if (sequence->segment > 0 || !last)
        keep_samples(packet);
    packet->pts = packet->dts = av_rescale_q(time, SEQUENCE_TIME_BASE, sequence->node->time_base);
    return send(sequence, packet, time, length);
}

/* ---- subtitles ---- */

static int take_subtitle(struct sequence *sequence, AVPacket *packet)
{
    int64_t length = to_clock(FFMAX(packet->duration, 0), packet->time_base);
    int64_t time = to_clock(packet->pts, packet->time_base);
    int64_t stop = segment_stop(sequence);
    if (time >= stop)
        return TASK_STOP;
    if (time < 0 && time + length <= 0)
        return 0;
    int64_t end = FFMIN(time + length, stop);
    time = FFMAX(time, 0);
    packet->pts = packet->dts =
        av_rescale_q(sequence->zero + time, SEQUENCE_TIME_BASE, sequence->node->time_base);
    return send(sequence, packet, sequence->zero + time, end - time);
}

int sequence_take_packet(struct sequence *sequence, bool copied, AVPacket *packet, struct error *e)
{
    if (packet->pts == AV_NOPTS_VALUE) {
        return error_set(e, ERROR_CORRUPT_MEDIA, "a packet of segment %d has no time",
                         sequence->segment + 1);
    }
    switch (sequence->node->kind_of_track) {
    case AVMEDIA_TYPE_VIDEO:
        return take_video(sequence, copied, packet, e);
    case AVMEDIA_TYPE_AUDIO:
        return take_sound(sequence, packet);
    default:
        return take_subtitle(sequence, packet);
    }
}
