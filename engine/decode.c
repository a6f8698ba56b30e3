/*
 * The decode stage: packets of one stream in, frames upright and in time out.
 *
 * One decode serves all consumers of a stream. Damage in single packets is skipped, as ffmpeg
 * does; a stream of which nothing can be decoded is an error. Every frame leaves with a timestamp
 * (guessed where the stream has none), a time base, and without a display matrix: pictures are
 * turned by a small graph of their own. What lies outside the input's range is cut here, pictures
 * by frame and sound by sample.
 */
#include <libavutil/avutil.h>
#include <libavutil/channel_layout.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/compat.h"
#include "engine/pipeline_internal.h"
#include "engine/sound.h"
#include "engine/turn.h"

/* Room in front: packets are small, so bytes bound them. */
enum { QUEUE_PACKETS = 64, QUEUE_BYTES = 4 << 20 };

struct decode {
    struct stage stage;
    const struct plan_file *file;
    const char *codec_name;
    int stream;
    bool audio;
    bool as_coded; /* not turned upright */
    AVCodecParameters *parameters;
    AVRational time_base, frame_rate;
    struct turn turn;
    bool ranged;
    int64_t stop; /* AV_TIME_BASE units from the range's start; INT64_MAX: none */

    /* the task's own */
    AVCodecContext *codec;
    AVFrame *frame;
    int64_t next;    /* expected timestamp, on the frames' time base */
    int64_t rescale; /* state of av_rescale_delta */
    int sample_rate; /* that `next` counts in */
    int64_t last;    /* timestamp of the last picture */
    int64_t frames;
};

static void decode_finish(struct stage *stage)
{
    struct decode *decode = (struct decode *)stage;
    avcodec_parameters_free(&decode->parameters);
    avcodec_free_context(&decode->codec);
    av_frame_free(&decode->frame);
    turn_finish(&decode->turn);
}

static struct port *output(struct decode *decode)
{
    return &decode->stage.task.ports[0];
}

/* ---- opening ---- */

static int open_decoder(struct decode *decode)
{
    struct error *e = &decode->stage.task.error;
    const struct pipeline_options *options = decode->stage.run->options;
    const struct policy_limits *limits = &decode->stage.run->plan->limits;
    const AVCodec *codec = avcodec_find_decoder(decode->parameters->codec_id);
    if (!codec) {
        return error_set(e, ERROR_UNSUPPORTED_MEDIA, "no decoder for stream %d of '%s' (%s)",
                         decode->stream, decode->file->label, decode->codec_name);
    }
    decode->codec = avcodec_alloc_context3(codec);
    decode->frame = av_frame_alloc();
    if (!decode->codec || !decode->frame ||
        avcodec_parameters_to_context(decode->codec, decode->parameters) < 0)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a decoder");
    decode->codec->pkt_timebase = decode->time_base;
    decode->codec->framerate = decode->frame_rate;
    decode->codec->thread_count = options->threads;
    decode->codec->max_pixels = limits->max_pixels;
    decode->codec->codec_whitelist = av_strdup(policy_decoders());
    int code = avcodec_open2(decode->codec, codec, NULL);
    if (code < 0) {
        return error_set_av(e, ERROR_UNSUPPORTED_MEDIA, code,
                            "the %s decoder can't open stream %d of '%s'", codec->name,
                            decode->stream, decode->file->label);
    }
    return 0;
}

/* ---- timestamps ---- */

static void time_audio(struct decode *decode, AVFrame *frame)
{
    AVRational samples = {1, frame->sample_rate};
    if (decode->sample_rate != frame->sample_rate) {
        if (decode->sample_rate > 0 && decode->next != AV_NOPTS_VALUE) {
            decode->next =
                av_rescale_q(decode->next, (AVRational){1, decode->sample_rate}, samples);
        }
        decode->sample_rate = frame->sample_rate;
        decode->rescale = AV_NOPTS_VALUE;
    }
    int64_t pts = frame->best_effort_timestamp;
    if (pts != AV_NOPTS_VALUE) {
        frame->pts = av_rescale_delta(decode->time_base, pts, samples, frame->nb_samples,
                                      &decode->rescale, samples);
    } else {
        frame->pts = decode->next != AV_NOPTS_VALUE ? decode->next : 0;
    }
    frame->time_base = samples;
    compat_frame_set_duration(frame, frame->nb_samples);
    decode->next = frame->pts + frame->nb_samples;
}

static int64_t picture_duration(const struct decode *decode, const AVFrame *frame)
{
    int64_t duration = compat_frame_duration(frame);
    if (duration > 0)
        return duration;
    AVRational rate = decode->frame_rate;
    if (rate.num <= 0 && decode->codec->framerate.num > 0)
        rate = decode->codec->framerate;
    if (rate.num <= 0)
        return decode->last != AV_NOPTS_VALUE ? FFMAX(frame->pts - decode->last, 1) : 0;
    /* repeat_pict counts extra half frames. */
    AVRational half = {rate.den, 2 * rate.num};
    return av_rescale_q(2 + frame->repeat_pict, half, decode->time_base);
}

static void time_picture(struct decode *decode, AVFrame *frame)
{
    int64_t pts = frame->best_effort_timestamp;
    if (pts == AV_NOPTS_VALUE)
        pts = decode->next != AV_NOPTS_VALUE ? decode->next : 0;
    frame->pts = pts;
    frame->time_base = decode->time_base;
    int64_t duration = picture_duration(decode, frame);
    compat_frame_set_duration(frame, duration);
    decode->next = pts + duration;
    decode->last = pts;
}

/* ---- the range ---- */

enum cut { CUT_KEEP, CUT_DROP, CUT_END };

static enum cut cut_audio(const struct decode *decode, AVFrame *frame)
{
    AVRational samples = {1, frame->sample_rate};
    int64_t stop =
        decode->stop == INT64_MAX ? INT64_MAX : av_rescale_q(decode->stop, AV_TIME_BASE_Q, samples);
    if (frame->pts >= stop)
        return CUT_END;
    if (frame->pts + frame->nb_samples <= 0)
        return CUT_DROP;
    if (frame->pts < 0)
        sound_skip(frame, (int)-frame->pts);
    if (stop < frame->pts + frame->nb_samples)
        frame->nb_samples = (int)(stop - frame->pts);
    compat_frame_set_duration(frame, frame->nb_samples);
    return CUT_KEEP;
}

static enum cut cut_picture(const struct decode *decode, AVFrame *frame)
{
    if (frame->pts < 0)
        return CUT_DROP;
    if (decode->stop == INT64_MAX)
        return CUT_KEEP;
    int64_t stop = av_rescale_q(decode->stop, AV_TIME_BASE_Q, frame->time_base);
    if (frame->pts >= stop)
        return CUT_END;
    if (frame->pts + compat_frame_duration(frame) > stop)
        compat_frame_set_duration(frame, stop - frame->pts);
    return CUT_KEEP;
}

/* ---- frames out ---- */

static int send_frame(struct decode *decode, AVFrame *frame)
{
    if (decode->frames++ == 0) {
        struct port *port = output(decode);
        port->frame_rate = decode->frame_rate;
    }
    return port_send_frame(output(decode), frame);
}

static int handle_frame(struct decode *decode)
{
    AVFrame *frame = decode->frame;
    if (decode->audio) {
        if (frame->ch_layout.order == AV_CHANNEL_ORDER_UNSPEC)
            av_channel_layout_default(&frame->ch_layout, frame->ch_layout.nb_channels);
        if (frame->sample_rate <= 0 || frame->nb_samples <= 0)
            return 0;
        time_audio(decode, frame);
    } else {
        time_picture(decode, frame);
    }
    if (decode->ranged) {
        enum cut cut = decode->audio ? cut_audio(decode, frame) : cut_picture(decode, frame);
        if (cut != CUT_KEEP)
            return cut == CUT_END ? TASK_STOP : 0;
    }
    int code = 0;
    if (!decode->audio && !decode->as_coded)
        code = turn_frame(&decode->turn, frame, decode->frame_rate, &decode->stage.task.error);
    return code == 0 ? send_frame(decode, frame) : code;
}

/* ---- the loop ---- */

static int no_decode(struct decode *decode, int averror)
{
    return error_set_av(&decode->stage.task.error, ERROR_CORRUPT_MEDIA, averror,
                        "decoding stream %d of '%s' (%s) failed", decode->stream,
                        decode->file->label, decode->codec_name);
}

/* Takes out all frames that are ready. */
static int receive_frames(struct decode *decode)
{
    int code = 0;
    while (code == 0) {
        int result = avcodec_receive_frame(decode->codec, decode->frame);
        if (result == AVERROR(EAGAIN) || result == AVERROR_EOF)
            break;
        if (result == AVERROR(ENOMEM))
            return no_decode(decode, result);
        if (result < 0) /* damage: what comes after it may be good */
            continue;
        code = handle_frame(decode);
        av_frame_unref(decode->frame);
    }
    return code;
}

/* packet NULL: the end. */
static int decode_packet(struct decode *decode, const AVPacket *packet)
{
    if (packet && packet->size == 0)
        return 0; /* would be taken for the end */
    int result = avcodec_send_packet(decode->codec, packet);
    if (result == AVERROR(EAGAIN)) {
        int code = receive_frames(decode);
        if (code != 0)
            return code;
        result = avcodec_send_packet(decode->codec, packet);
    }
    if (result == AVERROR(ENOMEM))
        return no_decode(decode, result);
    return receive_frames(decode);
}

static int64_t end_time(const struct decode *decode)
{
    if (decode->next == AV_NOPTS_VALUE)
        return AV_NOPTS_VALUE;
    AVRational clock = decode->audio && decode->sample_rate > 0
                           ? (AVRational){1, decode->sample_rate}
                           : decode->time_base;
    return FFMIN(av_rescale_q(decode->next, clock, AV_TIME_BASE_Q), decode->stop);
}

static int decode_run(struct task *task)
{
    struct decode *decode = (struct decode *)task;
    struct queue_item item = {0};
    bool ended = false;
    int code = open_decoder(decode);
    while (code == 0 && (code = task_proceed(task)) == 0 &&
           (code = task_receive(task, &item)) == 0) {
        if (item.kind == QUEUE_PACKET || item.kind == QUEUE_END)
            code = decode_packet(decode, item.packet);
        ended |= item.kind == QUEUE_END;
        queue_item_clear(&item);
    }
    if (code == TASK_STOP && ended && decode->frames == 0 && !decode->ranged) {
        code = error_set(&task->error, ERROR_CORRUPT_MEDIA,
                         "nothing of stream %d of '%s' (%s) can be decoded", decode->stream,
                         decode->file->label, decode->codec_name);
    }
    if (code >= 0)
        port_end(output(decode), end_time(decode));
    /* Frames may still be used elsewhere; the decoder's own threads end here. */
    avcodec_free_context(&decode->codec);
    return code;
}

/* ---- making ---- */

int decode_create(struct run *run, int node, int pad, struct stage **out, struct error *e)
{
    const struct plan_node *input = run->plan->nodes[node];
    const struct media_stream *stream = &input->file->media->streams[pad];
    struct decode *decode = run_new_stage(run, sizeof *decode, decode_finish, e);
    if (!decode)
        return e->code;
    *out = &decode->stage;
    decode->file = input->file;
    decode->stream = pad;
    decode->codec_name = *stream->codec ? stream->codec : "unknown codec";
    decode->audio = stream->kind == AVMEDIA_TYPE_AUDIO;
    decode->as_coded = run->as_coded;
    decode->next = decode->last = decode->rescale = AV_NOPTS_VALUE;
    decode->ranged = input->start > 0 || isfinite(input->stop);
    decode->stop =
        isfinite(input->stop) ? llrint((input->stop - input->start) * AV_TIME_BASE) : INT64_MAX;

    const struct track_format *format = run->nodes[node].packets[pad]->format;
    decode->parameters = avcodec_parameters_alloc();
    if (!decode->parameters || !format ||
        avcodec_parameters_copy(decode->parameters, format->stream->codecpar) < 0)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a decoder");
    decode->time_base = format->stream->time_base;
    decode->frame_rate = run->nodes[node].packets[pad]->frame_rate;
    turn_init(&decode->turn, format->stream, run->options->threads);

    int code =
        task_init(&decode->stage.task, &run->group, decode->audio ? "decode audio" : "decode video",
                  decode_run, 1, QUEUE_PACKETS, QUEUE_BYTES, 1, e);
    if (code == 0) {
        decode->stage.task.holdable = true;
        output(decode)->frame_rate = decode->frame_rate;
        output(decode)->steady = decode->frame_rate.num > 0 && !stream->variable_frame_rate;
        code = task_connect(run->nodes[node].packets[pad], &decode->stage.task, 0, e);
    }
    return code;
}
