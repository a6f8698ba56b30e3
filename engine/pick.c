/*
 * The pick stage: single frames of one file, each found by seeking.
 *
 * All pick nodes of a file share one context and go through it once, forwards. A nearest keyframe
 * costs one decoded packet: the decoder, single-threaded, is given that packet alone and drained.
 * An exact frame is decoded from the keyframe before it, unless the last one lies in the same
 * group of pictures, in which case decoding goes on from there; frames that nothing refers to are
 * skipped until shortly before the time. Past the end the last frame is given. All frames of a node
 * have the size and format of its first.
 */
#include <libavutil/avutil.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/compat.h"
#include "engine/pipeline_internal.h"
#include "engine/turn.h"
#include "engine/uniform.h"

enum { KEY_PACKETS = 100 /* that a decoder may want before it gives a picture */ };

/* Before the time in which nothing is skipped: seconds, and, where it is less, frames. */
static const double SKIP_MARGIN = 0.5, SKIP_MARGIN_FRAMES = 2.5;
static const double FORWARD_REACH = 2; /* without an index: decode on rather than seek */

struct pick_time {
    double time; /* seconds from the file's beginning */
    int port;
    bool keyframe;
    int stream;
};

/* What a node's frames have in common. */
struct pick_port {
    int64_t last; /* the last timestamp sent, AV_TIME_BASE units */
    struct uniform uniform;
};

struct pick {
    struct stage stage;
    struct source source;
    struct pick_time *times;
    int time_count;
    struct pick_port *ports;
    int port_count;

    /* of the stream at hand */
    int stream;
    AVStream *from;
    AVCodecContext *codec;
    bool for_keyframes; /* how the decoder was opened */
    struct turn turn;
    AVPacket *packet;
    AVFrame *shown, *next; /* exact: the last frame at or before the time, and the one after */
    int64_t shown_key;     /* nearest keyframe: the timestamp of the one in `shown` */
    bool at_end, has_next;
    bool skipped, keep_all; /* frames that nothing refers to */
    double margin;          /* seconds: the longest time in which none was */
    int64_t fed;            /* decoding time of the last packet given to the decoder */
};

static void close_stream(struct pick *pick)
{
    avcodec_free_context(&pick->codec);
    turn_finish(&pick->turn);
    av_frame_unref(pick->shown);
    av_frame_unref(pick->next);
    pick->has_next = pick->at_end = false;
    pick->from = NULL;
}

static void pick_finish(struct stage *stage)
{
    struct pick *pick = (struct pick *)stage;
    avcodec_free_context(&pick->codec);
    turn_finish(&pick->turn);
    av_packet_free(&pick->packet);
    av_frame_free(&pick->shown);
    av_frame_free(&pick->next);
    source_close(&pick->source);
    free(pick->times);
    for (int i = 0; i < pick->port_count; i++)
        uniform_finish(&pick->ports[i].uniform);
    free(pick->ports);
}

static struct error *error_of(struct pick *pick)
{
    return &pick->stage.task.error;
}

static const char *label_of(const struct pick *pick)
{
    return pick->source.file->label;
}

/* ---- the stream at hand ---- */

static int open_stream(struct pick *pick, int stream, bool for_keyframes)
{
    struct error *e = error_of(pick);
    const struct run *run = pick->stage.run;
    close_stream(pick);
    AVFormatContext *context = pick->source.context;
    if (stream >= (int)context->nb_streams)
        return error_set(e, ERROR_CORRUPT_MEDIA, "'%s' has changed", label_of(pick));
    for (unsigned i = 0; i < context->nb_streams; i++)
        context->streams[i]->discard = (int)i == stream ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
    pick->stream = stream;
    pick->from = context->streams[stream];
    pick->for_keyframes = for_keyframes;
    pick->fed = AV_NOPTS_VALUE;
    const AVCodec *codec = avcodec_find_decoder(pick->from->codecpar->codec_id);
    if (!codec) {
        return error_set(e, ERROR_UNSUPPORTED_MEDIA, "no decoder for stream %d of '%s'", stream,
                         label_of(pick));
    }
    pick->codec = avcodec_alloc_context3(codec);
    if (!pick->codec || avcodec_parameters_to_context(pick->codec, pick->from->codecpar) < 0)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a decoder");
    pick->codec->pkt_timebase = pick->from->time_base;
    pick->codec->thread_count = for_keyframes ? 1 : run->options->threads;
    if (for_keyframes)
        pick->codec->flags |= AV_CODEC_FLAG_LOW_DELAY;
    pick->codec->max_pixels = run->plan->limits.max_pixels;
    pick->codec->codec_whitelist = av_strdup(policy_decoders());
    int code = avcodec_open2(pick->codec, codec, NULL);
    if (code < 0) {
        return error_set_av(e, ERROR_UNSUPPORTED_MEDIA, code,
                            "the %s decoder can't open stream %d of '%s'", codec->name, stream,
                            label_of(pick));
    }
    turn_init(&pick->turn, pick->from, run->options->threads);
    return 0;
}

/* The last tick at or before a time; a thousandth of one is what a sum of doubles may lack. */
static int64_t to_ticks(const struct pick *pick, double time)
{
    return (int64_t)floor((time + pick->source.file->start) / av_q2d(pick->from->time_base) + 1e-3);
}

/* ---- reading and seeking ---- */

/* The next packet of the stream: 0, or TASK_STOP at the end or when the run is over. */
static int read_packet(struct pick *pick)
{
    while (true) {
        int code = task_proceed(&pick->stage.task);
        if (code != 0)
            return code;
        if (av_read_frame(pick->source.context, pick->packet) < 0)
            return TASK_STOP;
        if (pick->packet->stream_index == pick->stream)
            return 0;
        av_packet_unref(pick->packet);
    }
}

static void forget_frames(struct pick *pick)
{
    avcodec_flush_buffers(pick->codec);
    av_frame_unref(pick->shown);
    av_frame_unref(pick->next);
    pick->has_next = pick->at_end = pick->skipped = false;
    pick->fed = AV_NOPTS_VALUE;
}

static bool seek_before(struct pick *pick, int64_t ticks)
{
    int result = avformat_seek_file(pick->source.context, pick->stream, INT64_MIN, ticks, ticks, 0);
    if (result < 0)
        result = av_seek_frame(pick->source.context, pick->stream, ticks, AVSEEK_FLAG_BACKWARD);
    return result >= 0;
}

static int64_t stamp(const AVPacket *packet)
{
    return packet->pts != AV_NOPTS_VALUE ? packet->pts : packet->dts;
}

/* ---- the nearest keyframe ---- */

/* A time at which a backward seek finds the index's keyframe after `ticks`; false if unknown. */
static bool keyframe_after(const struct pick *pick, int64_t ticks, int64_t *found, int64_t *target)
{
    int index = av_index_search_timestamp(pick->from, ticks, 0);
    const AVIndexEntry *entry = index >= 0 ? avformat_index_get_entry(pick->from, index) : NULL;
    if (!entry)
        return false;
    *found = entry->timestamp;
    int following = av_index_search_timestamp(pick->from, entry->timestamp + 1, 0);
    const AVIndexEntry *next =
        following >= 0 ? avformat_index_get_entry(pick->from, following) : NULL;
    /* Indexes count in decoding time, seeking may count in presentation time: aim behind it. */
    int64_t reach = av_rescale_q(1, (AVRational){1, 2}, pick->from->time_base);
    if (next)
        reach = FFMIN(reach, (next->timestamp - entry->timestamp) / 2);
    *target = entry->timestamp + reach;
    return true;
}

/* Reads up to the next keyframe's packet. */
static int read_keyframe(struct pick *pick)
{
    int code;
    while ((code = read_packet(pick)) == 0 && !(pick->packet->flags & AV_PKT_FLAG_KEY))
        av_packet_unref(pick->packet);
    return code;
}

/* Stands on the packet of the last keyframe before the time, found from further and further back.
 */
static int read_last_keyframe(struct pick *pick, int64_t ticks)
{
    int64_t second = llrint(1 / av_q2d(pick->from->time_base)), zero = to_ticks(pick, 0);
    int64_t end = pick->from->duration > 0 ? zero + pick->from->duration : ticks;
    ticks = FFMIN(ticks, end);
    for (int64_t back = 1; true; back *= 4) {
        int64_t from = ticks - back * second;
        bool begin = from <= zero || !seek_before(pick, from);
        if (begin)
            source_rewind(&pick->source);
        int code = read_keyframe(pick);
        if (code == 0 || begin || atomic_load(&pick->stage.task.group->aborted))
            return code;
    }
}

/* One picture out of as few packets as the decoder is content with. */
static int decode_alone(struct pick *pick, AVFrame *frame)
{
    int code = 0;
    for (int i = 0; i < KEY_PACKETS && code == 0; i++) {
        avcodec_send_packet(pick->codec, pick->packet);
        av_packet_unref(pick->packet);
        if (avcodec_receive_frame(pick->codec, frame) >= 0)
            return 0;
        avcodec_send_packet(pick->codec, NULL);
        if (avcodec_receive_frame(pick->codec, frame) >= 0)
            return 0;
        avcodec_flush_buffers(pick->codec);
        code = read_keyframe(pick);
    }
    return code != 0 ? code : TASK_STOP;
}

/* The picture of the keyframe whose packet was read; that of the last one is at hand. */
static int decode_keyframe(struct pick *pick, AVFrame *frame)
{
    int64_t key = stamp(pick->packet);
    int code = 0;
    if (pick->shown->buf[0] && key != AV_NOPTS_VALUE && key == pick->shown_key) {
        av_packet_unref(pick->packet);
    } else {
        av_frame_unref(pick->shown);
        code = decode_alone(pick, pick->shown);
        pick->shown_key = key;
    }
    if (code == 0 && av_frame_ref(frame, pick->shown) < 0)
        code = error_set(error_of(pick), ERROR_OUT_OF_MEMORY, "no memory for a frame");
    return code;
}

static int find_keyframe(struct pick *pick, double time, AVFrame *frame)
{
    int64_t ticks = to_ticks(pick, time);
    avcodec_flush_buffers(pick->codec);
    if (ticks <= to_ticks(pick, 0) || !seek_before(pick, ticks))
        source_rewind(&pick->source);
    int code = read_keyframe(pick);
    if (code == TASK_STOP) /* past the last one, in a format that doesn't go back by itself */
        code = read_last_keyframe(pick, ticks);
    if (code != 0)
        return code;
    int64_t before = stamp(pick->packet), after = 0, target = 0;
    if (before < ticks && keyframe_after(pick, ticks, &after, &target) &&
        after - ticks < ticks - before) {
        av_packet_unref(pick->packet);
        if (seek_before(pick, target))
            code = read_keyframe(pick);
        if (code == TASK_STOP) /* the index promised one that isn't there */
            code = read_last_keyframe(pick, ticks);
        if (code != 0)
            return code;
    }
    return decode_keyframe(pick, frame);
}

/* ---- the exact frame ---- */

static int64_t frame_time(const AVFrame *frame)
{
    return frame->best_effort_timestamp != AV_NOPTS_VALUE ? frame->best_effort_timestamp
                                                          : frame->pts;
}

/* A packet without a time of presentation may hold a frame that is shown a little later. */
static double skip_margin(const struct pick *pick)
{
    double rate = av_q2d(pick->from->avg_frame_rate);
    bool known = pick->packet->pts != AV_NOPTS_VALUE && rate > 0 && isfinite(rate);
    return known ? fmin(SKIP_MARGIN, SKIP_MARGIN_FRAMES / rate) : SKIP_MARGIN;
}

/* The next decoded frame into pick->next: 0, TASK_STOP at the end of the stream. */
static int decode_next(struct pick *pick, int64_t ticks)
{
    while (true) {
        int result = avcodec_receive_frame(pick->codec, pick->next);
        if (result >= 0) {
            pick->has_next = true;
            return 0;
        }
        if (result == AVERROR_EOF || pick->at_end) {
            pick->at_end = true;
            return TASK_STOP;
        }
        int code = read_packet(pick);
        if (code != 0) {
            if (atomic_load(&pick->stage.task.group->aborted))
                return code;
            avcodec_send_packet(pick->codec, NULL);
            result = avcodec_receive_frame(pick->codec, pick->next);
            pick->has_next = result >= 0;
            pick->at_end = result < 0;
            return result >= 0 ? 0 : TASK_STOP;
        }
        int64_t at = stamp(pick->packet);
        pick->margin = skip_margin(pick);
        int64_t margin = llrint(pick->margin / av_q2d(pick->from->time_base));
        bool skip = !pick->keep_all && at != AV_NOPTS_VALUE && at < ticks - margin;
        pick->codec->skip_frame = skip ? AVDISCARD_NONREF : AVDISCARD_DEFAULT;
        pick->skipped |= skip;
        if (pick->packet->dts != AV_NOPTS_VALUE)
            pick->fed = pick->packet->dts;
        avcodec_send_packet(pick->codec, pick->packet);
        av_packet_unref(pick->packet);
    }
}

/* True if decoding on is no more work than seeking: no keyframe lies in between. */
static bool can_go_on(const struct pick *pick, int64_t ticks)
{
    if (pick->fed == AV_NOPTS_VALUE || !pick->shown->buf[0] || frame_time(pick->shown) > ticks)
        return false;
    int index = av_index_search_timestamp(pick->from, ticks, AVSEEK_FLAG_BACKWARD);
    const AVIndexEntry *entry = index >= 0 ? avformat_index_get_entry(pick->from, index) : NULL;
    if (entry)
        return entry->timestamp <= pick->fed;
    return (double)(ticks - pick->fed) * av_q2d(pick->from->time_base) < FORWARD_REACH;
}

/* Decodes until the frame after the time is known; pick->shown is the one before it. */
static int decode_until(struct pick *pick, int64_t ticks)
{
    while (true) {
        if (pick->has_next) {
            bool first = !pick->shown->buf[0];
            if (frame_time(pick->next) > ticks && !first)
                return 0;
            av_frame_unref(pick->shown);
            av_frame_move_ref(pick->shown, pick->next);
            pick->has_next = false;
            if (frame_time(pick->shown) > ticks)
                return 0; /* nothing is shown earlier */
        }
        int code = pick->at_end ? TASK_STOP : decode_next(pick, ticks);
        if (code != 0)
            return pick->shown->buf[0] && !atomic_load(&pick->stage.task.group->aborted) ? 0 : code;
    }
}

static int find_from(struct pick *pick, int64_t ticks, int64_t seek)
{
    forget_frames(pick);
    if (seek <= to_ticks(pick, 0) || !seek_before(pick, seek))
        source_rewind(&pick->source);
    return decode_until(pick, ticks);
}

static int find_exact(struct pick *pick, double time, AVFrame *frame)
{
    int64_t ticks = to_ticks(pick, time);
    double base = av_q2d(pick->from->time_base);
    int code = can_go_on(pick, ticks) ? decode_until(pick, ticks) : find_from(pick, ticks, ticks);
    /* A seek may have gone too far, or past the last keyframe: look from further back. */
    for (double back = 1; !atomic_load(&pick->stage.task.group->aborted) &&
                          (code != 0 || frame_time(pick->shown) > ticks);
         back *= 4) {
        double from = fmax(time - back, 0);
        code = find_from(pick, ticks, to_ticks(pick, from));
        if (from <= 0)
            break;
    }
    if (code != 0)
        return code;
    /* With a long gap before the time, the frame may have been among those skipped. */
    double gap = (double)(ticks - frame_time(pick->shown)) * base;
    if (pick->skipped && gap > pick->margin - base && !pick->at_end) {
        pick->keep_all = true;
        code = find_from(pick, ticks, frame_time(pick->shown));
        pick->keep_all = false;
    }
    if (code == 0 && av_frame_ref(frame, pick->shown) < 0)
        code = error_set(error_of(pick), ERROR_OUT_OF_MEMORY, "no memory for a frame");
    return code;
}

/* ---- cover pictures ---- */

static int find_cover(struct pick *pick, AVFrame *frame)
{
    if (av_packet_ref(pick->packet, &pick->from->attached_pic) < 0)
        return error_set(error_of(pick), ERROR_OUT_OF_MEMORY, "no memory for a packet");
    avcodec_flush_buffers(pick->codec);
    return decode_alone(pick, frame);
}

/* ---- the loop ---- */

static int send_picked(struct pick *pick, const struct pick_time *at, AVFrame *frame)
{
    struct pick_port *port = &pick->ports[at->port];
    AVRational base = pick->from->time_base;
    int64_t time = frame_time(frame);
    int64_t zero = llrint(pick->source.file->start * AV_TIME_BASE);
    time = time == AV_NOPTS_VALUE ? 0 : av_rescale_q(time, base, AV_TIME_BASE_Q) - zero;
    /* Frames that are asked for twice stay apart by a tick, or an encoder would drop one. */
    if (port->last != AV_NOPTS_VALUE && time <= port->last)
        time = port->last + 1;
    port->last = time;
    frame->pts = time;
    frame->time_base = AV_TIME_BASE_Q;
    compat_frame_set_duration(frame, 0);
    int code = turn_frame(&pick->turn, frame, (AVRational){0, 1}, error_of(pick));
    if (code == 0)
        code = uniform_frame(&port->uniform, frame, error_of(pick));
    if (code == 0)
        code = port_send_frame(&pick->stage.task.ports[at->port], frame);
    return FFMIN(code, 0);
}

static int pick_one(struct pick *pick, const struct pick_time *at, AVFrame *frame)
{
    int code = 0;
    if (!pick->from || pick->stream != at->stream || pick->for_keyframes != at->keyframe)
        code = open_stream(pick, at->stream, at->keyframe);
    if (code < 0)
        return code;
    if (pick->from->attached_pic.size > 0) {
        code = find_cover(pick, frame);
    } else if (at->keyframe) {
        code = find_keyframe(pick, at->time, frame);
    } else {
        code = find_exact(pick, at->time, frame);
    }
    if (code == TASK_STOP && !atomic_load(&pick->stage.task.group->aborted)) {
        code =
            error_set(error_of(pick), ERROR_CORRUPT_MEDIA,
                      "'%s' has no frame at %.3f s that can be decoded", label_of(pick), at->time);
    }
    return code == 0 ? send_picked(pick, at, frame) : code;
}

static int pick_run(struct task *task)
{
    struct pick *pick = (struct pick *)task;
    AVFrame *frame = av_frame_alloc();
    pick->packet = av_packet_alloc();
    pick->shown = av_frame_alloc();
    pick->next = av_frame_alloc();
    int code = 0;
    if (!frame || !pick->packet || !pick->shown || !pick->next)
        code = error_set(&task->error, ERROR_OUT_OF_MEMORY, "no memory for frames");
    for (int i = 0; i < pick->time_count && code == 0; i++) {
        if (!port_wanted(&task->ports[pick->times[i].port]))
            continue;
        code = pick_one(pick, &pick->times[i], frame);
        av_frame_unref(frame);
    }
    if (pick->shown && pick->next)
        close_stream(pick);
    av_frame_free(&frame);
    return code;
}

/* ---- making ---- */

/* Streams and ways of looking one after the other, each forwards. */
static int compare_times(const void *a, const void *b)
{
    const struct pick_time *x = a, *y = b;
    if (x->stream != y->stream)
        return x->stream - y->stream;
    if (x->keyframe != y->keyframe)
        return x->keyframe - y->keyframe;
    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    return x->port - y->port;
}

static int collect_times(struct pick *pick, struct error *e)
{
    const struct run *run = pick->stage.run;
    int port = 0, total = 0;
    for (int pass = 0; pass < 2; pass++) {
        port = total = 0;
        for (int i = 0; i < run->plan->node_count; i++) {
            const struct plan_node *node = run->plan->nodes[i];
            if (!run->reached[i] || node->kind != PLAN_PICK || node->file != pick->source.file)
                continue;
            const struct plan_node *input = run->plan->nodes[node->inputs[0].node];
            for (int k = 0; pass == 1 && k < node->time_count; k++) {
                pick->times[total + k] = (struct pick_time){
                    .time = fmin(input->start + node->times[k], input->stop),
                    .port = port,
                    .keyframe = node->nearest_keyframe,
                    .stream = node->inputs[0].pad,
                };
            }
            total += node->time_count;
            port++;
        }
        if (pass == 0) {
            pick->times = calloc((size_t)total + 1, sizeof *pick->times);
            pick->ports = calloc((size_t)port + 1, sizeof *pick->ports);
            if (!pick->times || !pick->ports)
                return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for picks");
        }
    }
    pick->time_count = total;
    pick->port_count = port;
    for (int i = 0; i < port; i++)
        pick->ports[i].last = AV_NOPTS_VALUE;
    qsort(pick->times, (size_t)total, sizeof *pick->times, compare_times);
    return port;
}

int pick_create(struct run *run, struct plan_file *file, struct stage **out, struct error *e)
{
    struct pick *pick = run_new_stage(run, sizeof *pick, pick_finish, e);
    if (!pick)
        return e->code;
    *out = &pick->stage;
    int code = source_open(&pick->source, run, file, e);
    if (code < 0)
        return code;
    int ports = collect_times(pick, e);
    if (ports < 0)
        return ports;
    return task_init(&pick->stage.task, &run->group, "pick", pick_run, 0, 0, 0, ports, e);
}
