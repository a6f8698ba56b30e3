/*
 * The encode stage: frames in, packets out.
 *
 * The encoder opens when the first frame comes. Frames that it can't take as they are pass through
 * a small graph first; for sound another one cuts them to the encoder's frame size. Timestamps
 * that enter the encoder strictly rise: a picture that is not later than the one before is
 * dropped, sound is moved up. A packet is held back until the next one, so that each carries the
 * time for which its picture is really shown; the last takes it from the end of its input.
 */
#include <libavfilter/buffersink.h>
#include <libavutil/avutil.h>
#include <stdlib.h>
#include <string.h>

#include "engine/compat.h"
#include "engine/passes.h"

enum { QUEUE_FRAMES = 4, QUEUE_AUDIO_FRAMES = 32, QUEUE_BYTES = 16 << 20 };

static void encode_finish(struct stage *stage)
{
    struct encode *encode = (struct encode *)stage;
    if (encode->codec)
        encode->codec->stats_in = NULL; /* the passes' own */
    avcodec_free_context(&encode->codec);
    chain_finish(&encode->convert);
    chain_finish(&encode->chunk);
    track_format_finish(&encode->format);
    frame_spec_finish(&encode->spec);
    av_frame_free(&encode->frame);
    av_packet_free(&encode->packet);
    av_packet_free(&encode->held);
}

const struct frame_spec *encode_spec(const struct stage *stage)
{
    return &((const struct encode *)stage)->spec;
}

static struct port *output(struct encode *encode)
{
    return &encode->stage.task.ports[0];
}

static bool is_video(const struct encode *encode)
{
    return encode->spec.kind == AVMEDIA_TYPE_VIDEO;
}

/* What is made now is only learned from. */
static bool is_first_pass(const struct encode *encode)
{
    return encode->stage.run->pass == RUN_FIRST;
}

static int failed(struct encode *encode, int averror, const char *what)
{
    return error_set_av(&encode->stage.task.error, ERROR_ENCODE_FAILED, averror,
                        "encoder %s failed %s", encode->node->encoder->name, what);
}

/* ---- packets out ---- */

static struct frame_time *find_time(struct encode *encode, int64_t pts)
{
    int64_t oldest = FFMAX(0, encode->time_count - FRAME_TIMES);
    for (int64_t i = encode->time_count - 1; i >= oldest; i--) {
        if (encode->times[i % FRAME_TIMES].pts == pts)
            return &encode->times[i % FRAME_TIMES];
    }
    return NULL;
}

static int release_held(struct encode *encode)
{
    AVPacket *held = encode->held;
    if (!held->data && held->side_data_elems == 0)
        return 0;
    const struct frame_time *time = is_video(encode) ? find_time(encode, held->pts) : NULL;
    if (time && time->duration > 0)
        held->duration = time->duration;
    return port_send_packet(output(encode), held);
}

/* Takes out all packets that are ready. */
static int receive_packets(struct encode *encode)
{
    int code = 0;
    while (code == 0) {
        int result = avcodec_receive_packet(encode->codec, encode->packet);
        if (result == AVERROR(EAGAIN) || result == AVERROR_EOF)
            break;
        if (result < 0)
            return failed(encode, result, "while it made packets");
        encode->packets++;
        if (is_first_pass(encode)) {
            code = passes_learn(encode, false);
            continue;
        }
        encode->packet->time_base = encode->codec->time_base;
        if (encode->packet->dts == AV_NOPTS_VALUE)
            encode->packet->dts = encode->packet->pts;
        code = release_held(encode);
        av_packet_move_ref(encode->held, encode->packet);
    }
    av_packet_unref(encode->packet);
    return code;
}

static int encode_frame(struct encode *encode, AVFrame *frame)
{
    const struct policy_limits *limits = &encode->stage.run->plan->limits;
    if (frame && ++encode->frames > limits->max_frames) {
        return error_set(&encode->stage.task.error, ERROR_LIMIT_EXCEEDED,
                         "a track has more than %lld frames", (long long)limits->max_frames);
    }
    int result = avcodec_send_frame(encode->codec, frame);
    if (result == AVERROR(EAGAIN)) {
        int code = receive_packets(encode);
        if (code != 0)
            return code;
        result = avcodec_send_frame(encode->codec, frame);
    }
    if (result < 0 && !(result == AVERROR_EOF && !frame))
        return failed(encode, result, "on a frame");
    return receive_packets(encode);
}

/* ---- pictures in ---- */

static void note_time(struct encode *encode, int64_t pts, int64_t duration)
{
    if (encode->time_count > 0) {
        struct frame_time *before = &encode->times[(encode->time_count - 1) % FRAME_TIMES];
        before->duration = pts - before->pts;
    }
    encode->times[encode->time_count++ % FRAME_TIMES] = (struct frame_time){pts, duration};
}

/* Timestamps near the grid of a steady rate are jitter of a coarse clock. */
static int64_t snap(const struct encode *encode, int64_t pts, AVRational from)
{
    AVRational time_base = encode->codec->time_base;
    if (!encode->steady || encode->frame_rate.num <= 0)
        return pts;
    int64_t frame = av_rescale_q(1, av_inv_q(encode->frame_rate), time_base);
    int64_t jitter = FFMAX(av_rescale_q_rnd(1, from, time_base, AV_ROUND_UP),
                           av_rescale_q(1, (AVRational){1, 1000}, time_base));
    if (frame <= 1 || jitter * 4 > frame)
        return pts;
    AVRational step = av_inv_q(encode->frame_rate);
    int64_t index = av_rescale_q(pts - encode->origin, time_base, step);
    int64_t grid = encode->origin + av_rescale_q(index, step, time_base);
    return llabs(grid - pts) <= jitter ? grid : pts;
}

/* A length that is that of a steady frame but for the rounding of a coarse clock. */
static int64_t steady_length(const struct encode *encode, int64_t duration)
{
    AVRational time_base = encode->codec->time_base;
    if (!encode->steady)
        return duration;
    int64_t frame = FFMAX(av_rescale_q(1, av_inv_q(encode->frame_rate), time_base), 1);
    int64_t jitter = av_rescale_q(1, (AVRational){1, 1000}, time_base);
    return llabs(duration - frame) <= jitter ? frame : duration;
}

static int64_t nominal_duration(const struct encode *encode, const AVFrame *frame, bool direct)
{
    AVRational time_base = encode->codec->time_base;
    int64_t own = direct ? compat_frame_duration(frame) : 0;
    if (own > 0)
        return steady_length(encode, FFMAX(av_rescale_q(own, frame->time_base, time_base), 1));
    if (encode->frame_rate.num > 0 && (encode->steady || encode->step <= 0))
        return FFMAX(av_rescale_q(1, av_inv_q(encode->frame_rate), time_base), 1);
    return FFMAX(encode->step, 1);
}

/* False if the frame must be dropped. */
static bool time_picture(struct encode *encode, AVFrame *frame)
{
    AVRational time_base = encode->codec->time_base;
    int64_t from = frame->pts;
    if (from == AV_NOPTS_VALUE)
        from = encode->last_from == AV_NOPTS_VALUE ? 0 : encode->last_from + 1;
    if (encode->last_from != AV_NOPTS_VALUE && from <= encode->last_from) {
        encode->dropped++;
        return false;
    }
    int64_t pts = av_rescale_q(from, frame->time_base, time_base);
    if (encode->last == AV_NOPTS_VALUE)
        encode->origin = pts;
    pts = snap(encode, pts, frame->time_base);
    if (encode->last != AV_NOPTS_VALUE && pts <= encode->last)
        pts = encode->last + 1;
    if (encode->last != AV_NOPTS_VALUE)
        encode->step = pts - encode->last;
    encode->last_from = from;
    encode->last = pts;
    bool direct = !encode->convert.graph && encode->direct;
    int64_t duration = nominal_duration(encode, frame, direct);
    note_time(encode, pts, duration);
    frame->pts = pts;
    frame->time_base = time_base;
    compat_frame_set_duration(frame, duration);
    return true;
}

static int open_once(struct encode *encode, const AVFrame *frame)
{
    if (encode->codec)
        return 0;
    int code = encode_open(encode, frame);
    if (code == 0 && !is_first_pass(encode))
        code = port_send_opened(output(encode));
    return code;
}

static int take_picture(struct encode *encode, AVFrame *frame)
{
    int code = 0;
    if (!encode->codec) {
        code = open_once(encode, frame);
        if (code == 0 && frame_spec_pin(&encode->spec, frame) < 0)
            code = error_set(&encode->stage.task.error, ERROR_OUT_OF_MEMORY, "no memory");
    }
    if (code != 0 || !time_picture(encode, frame))
        return code;
    frame->pict_type = AV_PICTURE_TYPE_NONE;
    frame->quality = encode->codec->global_quality;
    return encode_frame(encode, frame);
}

/* ---- sound in ---- */

static int take_chunk(struct encode *encode, AVFrame *frame)
{
    AVRational time_base = encode->codec->time_base;
    int64_t pts = frame->pts == AV_NOPTS_VALUE
                      ? encode->last
                      : av_rescale_q(frame->pts, frame->time_base, time_base);
    if (pts == AV_NOPTS_VALUE)
        pts = 0;
    if (encode->last != AV_NOPTS_VALUE && pts < encode->last)
        pts = encode->last;
    frame->pts = pts;
    frame->time_base = time_base;
    encode->last = pts + frame->nb_samples;
    return encode_frame(encode, frame);
}

static int drain_chunks(struct encode *encode)
{
    AVFrame *chunk = av_frame_alloc();
    struct error *e = &encode->stage.task.error;
    int code = chunk ? 0 : error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a frame");
    while (code == 0 && (code = chain_pull(&encode->chunk, chunk, e)) == 1) {
        code = take_chunk(encode, chunk);
        av_frame_unref(chunk);
    }
    av_frame_free(&chunk);
    return code;
}

/* Frames here are already in the encoder's format. */
static int take_sound(struct encode *encode, AVFrame *frame)
{
    struct error *e = &encode->stage.task.error;
    bool first = !encode->codec;
    int code = open_once(encode, frame);
    if (code == 0 && first && frame_spec_pin(&encode->spec, frame) < 0)
        code = error_set(e, ERROR_OUT_OF_MEMORY, "no memory");
    int size = code == 0 ? encode->codec->frame_size : 0;
    bool any_size =
        code == 0 && (encode->codec->codec->capabilities & AV_CODEC_CAP_VARIABLE_FRAME_SIZE);
    if (code == 0 && first && size > 0 && !any_size) {
        code = chain_begin(&encode->chunk, frame, (AVRational){0, 1}, 1, e);
        if (code == 0)
            code = chain_configure(&encode->chunk, e);
        if (code == 0)
            av_buffersink_set_frame_size(encode->chunk.sink, (unsigned)size);
    }
    if (code != 0 || !encode->chunk.graph)
        return code != 0 ? code : take_chunk(encode, frame);
    code = chain_push(&encode->chunk, frame, e);
    return code == 0 ? drain_chunks(encode) : code;
}

/* ---- conversion ---- */

static int take_converted(struct encode *encode, AVFrame *frame)
{
    return is_video(encode) ? take_picture(encode, frame) : take_sound(encode, frame);
}

static int drain_convert(struct encode *encode)
{
    AVFrame *converted = av_frame_alloc();
    struct error *e = &encode->stage.task.error;
    int code = converted ? 0 : error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a frame");
    while (code == 0 && (code = chain_pull(&encode->convert, converted, e)) == 1) {
        code = take_converted(encode, converted);
        av_frame_unref(converted);
    }
    av_frame_free(&converted);
    return code;
}

static int flush_convert(struct encode *encode, int64_t end)
{
    if (!encode->convert.graph)
        return 0;
    int code = chain_end(&encode->convert, end != AV_NOPTS_VALUE ? end : encode->taken,
                         &encode->stage.task.error);
    if (code == 0)
        code = drain_convert(encode);
    chain_finish(&encode->convert);
    return code;
}

static bool is_constant(const struct encode *encode)
{
    return encode->constant_rate || encode->forced_rate.num > 0;
}

static int begin_convert(struct encode *encode, const AVFrame *frame)
{
    struct error *e = &encode->stage.task.error;
    int threads = encode->stage.run->options->threads;
    struct frame_spec spec = encode->spec; /* borrows the layouts */
    if (is_constant(encode)) {
        spec.constant_rate = encode_constant_rate(
            encode, encode->forced_rate.num > 0 ? encode->forced_rate : encode->frame_rate);
    }
    int code = chain_begin(&encode->convert, frame, encode->frame_rate, threads, e);
    if (code == 0)
        code = chain_convert(&encode->convert, &spec, e);
    if (code == 0)
        code = chain_configure(&encode->convert, e);
    return code;
}

static void learn_rate(struct encode *encode)
{
    const struct port *from = encode->stage.task.from[0];
    encode->frame_rate = from->frame_rate;
    /* Between copies pictures keep the times that they have there. */
    encode->steady = from->steady && from->frame_rate.num > 0 && !encode->leader;
}

/* On the frame's own time base, as far as it is known. */
static int64_t frame_length(const struct encode *encode, const AVFrame *frame)
{
    if (!is_video(encode))
        return frame->nb_samples;
    int64_t own = encode->direct ? compat_frame_duration(frame) : 0;
    if (own <= 0 && encode->frame_rate.num > 0)
        own = av_rescale_q(1, av_inv_q(encode->frame_rate), frame->time_base);
    return own;
}

static int take_frame(struct encode *encode, AVFrame *frame)
{
    if (encode->frames == 0 && !encode->codec)
        learn_rate(encode);
    if (frame->pts != AV_NOPTS_VALUE) {
        encode->taken = av_rescale_q(frame->pts + frame_length(encode, frame), frame->time_base,
                                     AV_TIME_BASE_Q);
    }
    if (is_first_pass(encode))
        task_group_report(encode->stage.task.group, encode->scheduled, encode->taken);
    bool takes = frame_spec_takes(&encode->spec, frame) && !is_constant(encode);
    int code = 0;
    if (encode->convert.graph && (takes || !frame_shape_fits(&encode->convert.shape, frame)))
        code = flush_convert(encode, AV_NOPTS_VALUE);
    if (code != 0 || takes)
        return code != 0 ? code : take_converted(encode, frame);
    if (!encode->convert.graph)
        code = begin_convert(encode, frame);
    if (code == 0)
        code = chain_push(&encode->convert, frame, &encode->stage.task.error);
    return code == 0 ? drain_convert(encode) : code;
}

/* ---- the end ---- */

/* The last picture is shown until its input ends. */
static void time_last(struct encode *encode, int64_t end)
{
    if (!is_video(encode) || encode->time_count == 0 || end == AV_NOPTS_VALUE ||
        is_constant(encode))
        return;
    struct frame_time *last = &encode->times[(encode->time_count - 1) % FRAME_TIMES];
    AVRational time_base = encode->codec->time_base;
    int64_t duration = av_rescale_q(end, AV_TIME_BASE_Q, time_base) - last->pts;
    if (duration > 0)
        last->duration = steady_length(encode, duration);
}

static int finish_encoding(struct encode *encode, int64_t end)
{
    int code = flush_convert(encode, end);
    if (code == 0 && encode->chunk.graph) {
        code = chain_end(&encode->chunk, AV_NOPTS_VALUE, &encode->stage.task.error);
        if (code == 0)
            code = drain_chunks(encode);
    }
    if (code != 0 || !encode->codec)
        return code;
    time_last(encode, end);
    code = encode_frame(encode, NULL);
    if (code == 0 && is_first_pass(encode))
        return passes_learn(encode, true);
    if (code == 0)
        code = release_held(encode);
    if (code == 0 && encode->frames > 0 && encode->packets == 0) {
        code = error_set(&encode->stage.task.error, ERROR_ENCODE_FAILED,
                         "encoder %s made nothing of %lld frames", encode->node->encoder->name,
                         (long long)encode->frames);
    }
    return code;
}

static int encode_run(struct task *task)
{
    struct encode *encode = (struct encode *)task;
    struct queue_item item = {0};
    int64_t end = AV_NOPTS_VALUE;
    int code = 0;
    encode->packet = av_packet_alloc();
    encode->held = av_packet_alloc();
    if (!encode->packet || !encode->held)
        code = error_set(&task->error, ERROR_OUT_OF_MEMORY, "no memory for packets");
    while (code == 0 && (code = task_receive(task, &item)) == 0) {
        if (item.kind == QUEUE_FRAME) {
            code = take_frame(encode, item.frame);
        } else if (item.kind == QUEUE_END) {
            end = item.end;
            code = finish_encoding(encode, end);
        }
        queue_item_clear(&item);
    }
    if (is_first_pass(encode))
        task_group_end_track(task->group, encode->scheduled);
    if (code >= 0)
        port_end(output(encode), end);
    return code;
}

/* ---- making ---- */

static int known_bits(const struct run *run, const struct plan_node *node)
{
    struct plan_type type;
    if (!plan_edge_type(run->plan, node->inputs[0], &type) || type.source_node < 0 ||
        type.source_stream < 0)
        return 0;
    const struct media *media = plan_input_media(run->plan, type.source_node);
    return media ? media->streams[type.source_stream].bits_per_sample : 0;
}

int encode_schedule(struct stage *stage, struct port *from, struct error *e)
{
    struct encode *encode = (struct encode *)stage;
    encode->scheduled = task_group_add_track(&stage->run->group, from->owner, false, e);
    return FFMIN(encode->scheduled, 0);
}

int encode_create(struct run *run, int node, struct stage **out, struct error *e)
{
    struct encode *encode = run_new_stage(run, sizeof *encode, encode_finish, e);
    if (!encode)
        return e->code;
    *out = &encode->stage;
    encode->node = run->plan->nodes[node];
    encode->last = encode->last_from = AV_NOPTS_VALUE;
    encode->direct = run->plan->nodes[encode->node->inputs[0].node]->kind == PLAN_INPUT;
    if (run->sequence >= 0)
        encode_join(encode, run->plan, run->plan->nodes[run->sequence], run->segment);
    int code = encode_prepare(encode, e);
    if (code < 0)
        return code;
    if (!is_video(encode))
        encode->source_bits = known_bits(run, encode->node);
    return task_init(&encode->stage.task, &run->group,
                     is_video(encode) ? "encode video" : "encode audio", encode_run, 1,
                     is_video(encode) ? QUEUE_FRAMES : QUEUE_AUDIO_FRAMES, QUEUE_BYTES, 1, e);
}
