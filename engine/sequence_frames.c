/*
 * A sequence of frames: times moved, what is too long cut, what is too short filled.
 */
#include <libavutil/avutil.h>

#include "engine/compat.h"
#include "engine/sequence_internal.h"
#include "engine/sound.h"

/* A gap in sound that is no rounding of a coarse clock. */
static const int64_t GAP = SEQUENCE_CLOCK / 100;

static int no_memory(struct error *e)
{
    return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a frame");
}

static int send(struct sequence *sequence, AVFrame *frame, int64_t end, struct error *e)
{
    if (!sequence->last)
        sequence->last = av_frame_alloc();
    if (!sequence->last)
        return no_memory(e);
    av_frame_unref(sequence->last);
    if (av_frame_ref(sequence->last, frame) < 0)
        return no_memory(e);
    sequence_note(sequence, end);
    int code = port_send_frame(sequence_port(sequence), frame);
    sequence->finished |= code == TASK_STOP;
    return code;
}

/* ---- sound ---- */

static int64_t sample_time(int64_t sample, int rate)
{
    return av_rescale_q(sample, (AVRational){1, rate}, SEQUENCE_TIME_BASE);
}

static int64_t time_sample(int64_t time, int rate)
{
    return av_rescale_q(time, SEQUENCE_TIME_BASE, (AVRational){1, rate});
}

/* From the end of what was sent, in the format of a frame. */
static int send_silence(struct sequence *sequence, const AVFrame *like, int64_t until,
                        struct error *e)
{
    enum { MOST_SAMPLES = 4096 };
    int rate = like->sample_rate, code = 0;
    int64_t at = time_sample(sequence->end, rate), stop = time_sample(until, rate);
    AVFrame *format = av_frame_alloc();
    if (!format || av_frame_ref(format, like) < 0)
        code = no_memory(e);
    while (code == 0 && at < stop) {
        AVFrame *silence = sound_silence(format, (int)FFMIN(stop - at, MOST_SAMPLES));
        if (!silence) {
            code = no_memory(e);
            break;
        }
        silence->pts = at;
        at += silence->nb_samples;
        code = task_proceed(&sequence->stage.task);
        if (code == 0)
            code = send(sequence, silence, sample_time(at, rate), e);
        av_frame_free(&silence);
    }
    av_frame_free(&format);
    return code;
}

static int take_sound(struct sequence *sequence, AVFrame *frame, struct error *e)
{
    int rate = frame->sample_rate;
    int64_t time = av_rescale_q(frame->pts, frame->time_base, SEQUENCE_TIME_BASE);
    int64_t limit = sequence->length == INT64_MAX ? INT64_MAX : sequence->zero + sequence->length;
    time += sequence->zero;
    if (time >= limit)
        return TASK_STOP;
    bool continues = sequence->begun || sequence->segment > 0;
    if (continues && time > sequence->end + (sequence->started ? GAP : 0)) {
        int code = send_silence(sequence, frame, time, e);
        if (code != 0)
            return code;
    }
    if (continues && sequence->started && time > sequence->end)
        time = sequence->end;
    frame->time_base = (AVRational){1, rate};
    frame->pts = time_sample(time, rate);
    int64_t behind = continues ? time_sample(sequence->end, rate) - frame->pts : 0;
    if (behind >= frame->nb_samples)
        return 0;
    if (behind > 0)
        sound_skip(frame, (int)behind);
    if (limit != INT64_MAX)
        frame->nb_samples = (int)FFMIN(frame->nb_samples, time_sample(limit, rate) - frame->pts);
    if (frame->nb_samples <= 0)
        return TASK_STOP;
    compat_frame_set_duration(frame, frame->nb_samples);
    sequence->started = true;
    return send(sequence, frame, sample_time(frame->pts + frame->nb_samples, rate), e);
}

/* ---- pictures ---- */

/* Repeats the last picture at its rate, so that it is shown until then. */
static int hold_picture(struct sequence *sequence, int64_t until, struct error *e)
{
    int code = 0;
    while (code == 0 && sequence->step > 0 &&
           sequence->last->pts + sequence->step + sequence->step / 2 <= until) {
        AVFrame *again = av_frame_clone(sequence->last);
        if (!again)
            return no_memory(e);
        again->pts += sequence->step;
        int64_t end = again->pts + sequence->step;
        code = task_proceed(&sequence->stage.task);
        if (code == 0)
            code = send(sequence, again, FFMIN(end, until), e);
        av_frame_free(&again);
    }
    return code;
}

static int64_t picture_length(const struct sequence *sequence, const struct port *from,
                              const AVFrame *frame)
{
    if (from->frame_rate.num > 0 && from->steady)
        return av_rescale_q(1, av_inv_q(from->frame_rate), SEQUENCE_TIME_BASE);
    int64_t own = compat_frame_duration(frame);
    if (own > 0)
        return av_rescale_q(own, frame->time_base, SEQUENCE_TIME_BASE);
    return from->frame_rate.num > 0
               ? av_rescale_q(1, av_inv_q(from->frame_rate), SEQUENCE_TIME_BASE)
               : FFMAX(sequence->step, 1);
}

static int take_picture(struct sequence *sequence, const struct port *from, AVFrame *frame,
                        struct error *e)
{
    int64_t time = av_rescale_q(frame->pts, frame->time_base, SEQUENCE_TIME_BASE);
    int64_t length = picture_length(sequence, from, frame);
    struct port *port = sequence_port(sequence);
    /* The rounding of a second's fraction mustn't let a picture in that begins where the next
     * segment does. */
    if (sequence->length != INT64_MAX &&
        time >= sequence->length - FFMIN(length / 8, SEQUENCE_CLOCK / 1000))
        return TASK_STOP;
    time += sequence->zero;
    if (!sequence->begun) {
        port->frame_rate = from->frame_rate;
        port->steady = from->steady;
        sequence->step = from->steady ? length : 0;
    } else if (!sequence->started) {
        int code = hold_picture(sequence, time, e);
        if (code != 0)
            return code;
    }
    if (sequence->begun && time <= sequence->last->pts)
        return 0;
    sequence->started = true;
    int64_t end = time + length;
    if (sequence->length != INT64_MAX)
        end = FFMIN(end, sequence->zero + sequence->length);
    frame->pts = time;
    frame->time_base = SEQUENCE_TIME_BASE;
    compat_frame_set_duration(frame, end - time);
    return send(sequence, frame, end, e);
}

/* ---- both ---- */

int sequence_take_frame(struct sequence *sequence, const struct port *from, AVFrame *frame,
                        struct error *e)
{
    if (frame->pts == AV_NOPTS_VALUE) {
        return error_set(e, ERROR_CORRUPT_MEDIA, "a frame of segment %d has no time",
                         sequence->segment + 1);
    }
    return sequence->node->kind_of_track == AVMEDIA_TYPE_AUDIO
               ? take_sound(sequence, frame, e)
               : take_picture(sequence, from, frame, e);
}

int sequence_fill(struct sequence *sequence, int64_t until, struct error *e)
{
    if (sequence->node->packets || !sequence->last)
        return 0;
    return sequence->node->kind_of_track == AVMEDIA_TYPE_AUDIO
               ? send_silence(sequence, sequence->last, until, e)
               : hold_picture(sequence, until, e);
}
