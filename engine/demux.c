/*
 * The demux stage: reads one range of one file and hands each packet to who wants its stream.
 *
 * All timestamps leave here relative to the range's start (for a whole file: the earliest
 * timestamp of its streams), so that sound and picture keep their distance and a transport stream
 * that starts at 1.4 s starts at 0. Missing ones are guessed from what came before, jumps of
 * formats that may jump are taken out; the rules follow ffmpeg's process_input_packet(). A port
 * for each stream; streams that nobody wants are not read.
 */
#include <libavutil/avutil.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/compat.h"
#include "engine/pipeline_internal.h"
#include "engine/reorder.h"
#include "engine/timestamp.h"

enum {
    JUMP_SECONDS = 10, /* further than this, timestamps have jumped (ffmpeg's default) */
    BACK_MICROSECONDS = 100000,
    KEYFRAME_PATIENCE = 300, /* packets to wait for a copy's first keyframe */
    SETTLE_PACKETS = 20000,  /* packets to look for a keyframe at, after a seek */
    MAX_READ_ERRORS = 100,   /* in a row */
};

static const double AUDIO_PREROLL = 0.3; /* decoders need something before the first sample */

struct demux_stream {
    bool wanted, copied, decoded, picture;
    bool ended, started;
    int waited; /* packets before the first keyframe */
    enum AVMediaType kind;
    AVRational time_base;
    AVRational frame_rate;
    int64_t base; /* the range's zero on the stream's clock */
    int64_t stop; /* on the range's clock; INT64_MAX: none */
    int64_t expected, end;
    int64_t jump; /* taken off its timestamps, AV_TIME_BASE units */
    int64_t lead; /* taken off its decoding times */
    bool begun;   /* the first packet has come */
    bool may_reorder;
    struct reorder *reorder; /* where a copy may lack presentation times, else NULL */
    struct track_format format;
};

struct demux {
    struct stage stage;
    struct source source;
    double start, stop;
    struct demux_stream *streams;
    int stream_count;
    int64_t jump; /* the newest, AV_TIME_BASE units */
    bool copies_video;
    int video; /* wanted video stream to seek by, or -1 */
    struct source_progress progress;
};

static int demux_run(struct task *task);

static void finish_stream(struct demux_stream *stream)
{
    track_format_finish(&stream->format);
    reorder_destroy(&stream->reorder);
}

static void demux_finish(struct stage *stage)
{
    struct demux *demux = (struct demux *)stage;
    for (int i = 0; i < demux->stream_count; i++)
        finish_stream(&demux->streams[i]);
    free(demux->streams);
    source_close(&demux->source);
}

const struct source_progress *demux_progress(const struct stage *stage)
{
    return &((const struct demux *)stage)->progress;
}

/* ---- making ---- */

static void find_uses(struct demux *demux, int node)
{
    const struct run *run = demux->stage.run;
    for (int i = 0; i < run->plan->node_count; i++) {
        const struct plan_node *user = run->plan->nodes[i];
        for (int k = 0; k < user->input_count; k++) {
            if (user->inputs[k].node != node || user->inputs[k].pad >= demux->stream_count ||
                !run_uses(run, i, k))
                continue;
            struct demux_stream *stream = &demux->streams[user->inputs[k].pad];
            stream->wanted = true;
            if (user->kind == PLAN_COPY) {
                stream->copied = true;
            } else {
                stream->decoded = true;
            }
        }
    }
}

static int64_t to_ticks(double seconds, AVRational time_base)
{
    if (!isfinite(seconds))
        return INT64_MAX;
    return av_rescale_q(llrint(seconds * AV_TIME_BASE), AV_TIME_BASE_Q, time_base);
}

/* Formats that always say when a frame is shown. */
static bool knows_pts(const AVInputFormat *format)
{
    return (format->flags & AVFMT_SEEK_TO_PTS) || strstr(format->name, "matroska") ||
           strcmp(format->name, "flv") == 0 || strcmp(format->name, "mpegts") == 0;
}

static int prepare_stream(struct demux *demux, int index, struct error *e)
{
    struct demux_stream *stream = &demux->streams[index];
    AVFormatContext *context = demux->source.context;
    AVStream *from = context->streams[index];
    stream->kind = from->codecpar->codec_type;
    stream->picture = (from->disposition & AV_DISPOSITION_ATTACHED_PIC) != 0;
    stream->time_base = from->time_base;
    stream->frame_rate = av_guess_frame_rate(context, from, NULL);
    stream->base = to_ticks(demux->source.file->start + demux->start, stream->time_base);
    stream->stop = to_ticks(demux->stop - demux->start, stream->time_base);
    stream->expected = AV_NOPTS_VALUE;
    stream->may_reorder = from->codecpar->video_delay > 0;
    from->discard = stream->wanted ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
    if (stream->wanted && !stream->picture && stream->kind == AVMEDIA_TYPE_VIDEO) {
        if (demux->video < 0)
            demux->video = index;
        demux->copies_video |= stream->copied;
    }
    if (stream->copied && !stream->picture && !knows_pts(context->iformat)) {
        stream->reorder = reorder_create(from->codecpar);
        if (!stream->reorder) /* libavformat can tell by itself for older codecs */
            context->flags |= AVFMT_FLAG_GENPTS;
    }
    if (track_format_init(&stream->format) < 0 || track_format_copy(&stream->format, from) < 0) {
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory to read '%s'",
                         demux->source.file->label);
    }
    struct port *port = &demux->stage.task.ports[index];
    port->format = &stream->format;
    port->frame_rate = stream->frame_rate.num > 0 ? stream->frame_rate : (AVRational){0, 1};
    return 0;
}

static void prepare_progress(struct demux *demux)
{
    const struct media *media = demux->source.file->media;
    double length = media->duration;
    if (isfinite(demux->stop) && (isnan(length) || demux->stop < length))
        length = demux->stop;
    length -= demux->start;
    if (length > 0)
        demux->progress.duration = llrint(length * AV_TIME_BASE);
    if (media->size > 0)
        demux->progress.size = media->size;
}

int demux_create(struct run *run, int node, struct stage **out, struct error *e)
{
    const struct plan_node *input = run->plan->nodes[node];
    struct demux *demux = run_new_stage(run, sizeof *demux, demux_finish, e);
    if (!demux)
        return e->code;
    *out = &demux->stage;
    demux->start = input->start;
    demux->stop = input->stop;
    demux->video = -1;
    int code = source_open(&demux->source, run, input->file, e);
    if (code < 0)
        return code;
    int count = FFMIN(input->pad_count, (int)demux->source.context->nb_streams);
    demux->streams = calloc((size_t)count + 1, sizeof *demux->streams);
    if (!demux->streams)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a demuxer");
    demux->stream_count = count;
    find_uses(demux, node);
    code = task_init(&demux->stage.task, &run->group, "demux", demux_run, 0, 0, 0, input->pad_count,
                     e);
    for (int i = 0; i < count && code == 0; i++)
        code = prepare_stream(demux, i, e);
    prepare_progress(demux);
    return code;
}

/* ---- seeking ---- */

static int seek_to(struct demux *demux, double seconds)
{
    AVFormatContext *context = demux->source.context;
    int64_t target = llrint(FFMAX(seconds, demux->source.file->start) * AV_TIME_BASE);
    int index = demux->video;
    if (index >= 0) {
        AVRational time_base = context->streams[index]->time_base;
        target = av_rescale_q(target, AV_TIME_BASE_Q, time_base);
    }
    return avformat_seek_file(context, index, INT64_MIN, target, target, 0);
}

/* Where an index only knows decoding times, a keyframe that is shown later than asked for could be
 * found; ffmpeg steps back by the same amount. */
static double reorder_allowance(const struct demux *demux)
{
    const AVFormatContext *context = demux->source.context;
    if (context->iformat->flags & AVFMT_SEEK_TO_PTS)
        return 0;
    for (unsigned i = 0; i < context->nb_streams; i++) {
        if (context->streams[i]->codecpar->video_delay > 0)
            return 3.0 / 23;
    }
    return 0;
}

/* True if the packets from here on begin (for the video) with a keyframe shown at or before the
 * target. Reads on; the caller seeks again. */
static bool key_comes_first(struct demux *demux, double target)
{
    AVFormatContext *context = demux->source.context;
    AVPacket *packet = av_packet_alloc();
    bool found = false, before = false;
    for (int i = 0; packet && i < SETTLE_PACKETS && !found; i++) {
        if (av_read_frame(context, packet) < 0)
            break;
        if (packet->stream_index == demux->video && (packet->flags & AV_PKT_FLAG_KEY)) {
            int64_t time = packet->pts != AV_NOPTS_VALUE ? packet->pts : packet->dts;
            found = true;
            before =
                time == AV_NOPTS_VALUE ||
                (double)time * av_q2d(context->streams[demux->video]->time_base) <= target + 1e-4;
        }
        av_packet_unref(packet);
    }
    av_packet_free(&packet);
    return before;
}

/* An mp4 file's index knows decoding times. A keyframe of an open group is decoded before pictures
 * that are shown before it, so that it may be found for a time at which one of those is shown. */
static bool seeks_exactly(const struct demux *demux)
{
    const AVFormatContext *context = demux->source.context;
    bool reorders = context->streams[demux->video]->codecpar->video_delay > 0;
    return ((context->iformat->flags & AVFMT_SEEK_TO_PTS) && !reorders) ||
           strstr(context->iformat->name, "matroska");
}

/* Stands so that everything from the range's start on comes; earlier where keyframes or decoders
 * need it. A format that can't seek is read from its beginning. */
static void seek_to_start(struct demux *demux)
{
    double target = demux->source.file->start + demux->start;
    double from = target - (demux->video < 0 ? AUDIO_PREROLL : reorder_allowance(demux));
    if (seek_to(demux, from) < 0)
        return;
    if (demux->video < 0 || seeks_exactly(demux))
        return;
    for (double step = 1; !key_comes_first(demux, target); step *= 2) {
        from = target - step;
        if (from <= demux->source.file->start) {
            source_rewind(&demux->source);
            return;
        }
        seek_to(demux, from);
    }
    seek_to(demux, from);
}

/* ---- timestamps ---- */

static int64_t packet_duration(const struct demux *demux, const struct demux_stream *stream,
                               const AVPacket *packet)
{
    if (packet->duration > 0)
        return packet->duration;
    AVCodecParameters *par = demux->source.context->streams[packet->stream_index]->codecpar;
    if (stream->kind == AVMEDIA_TYPE_AUDIO && par->sample_rate > 0) {
        int samples = av_get_audio_frame_duration2(par, packet->size);
        return av_rescale_q(samples, (AVRational){1, par->sample_rate}, stream->time_base);
    }
    if (stream->kind == AVMEDIA_TYPE_VIDEO && stream->frame_rate.num > 0)
        return av_rescale_q(1, av_inv_q(stream->frame_rate), stream->time_base);
    return 0;
}

/* How far a packet is off what its stream expects with a jump taken out, AV_TIME_BASE units. */
static int64_t off_expected(const struct demux_stream *stream, const AVPacket *packet, int64_t jump)
{
    return av_rescale_q(packet->dts - stream->expected, stream->time_base, AV_TIME_BASE_Q) - jump;
}

static bool fits(int64_t off)
{
    return off > -BACK_MICROSECONDS && off < JUMP_SECONDS * INT64_C(1000000);
}

/* Transport streams and the like may jump: what is more than JUMP_SECONDS ahead, or clearly back,
 * is moved to where the stream was expected to go on. The other streams follow when their own
 * packets ask for it, as some of before the jump may still come. */
static void take_out_jump(struct demux *demux, struct demux_stream *stream, AVPacket *packet)
{
    bool may_jump = (demux->source.context->iformat->flags & AVFMT_TS_DISCONT) != 0;
    bool timed = stream->kind == AVMEDIA_TYPE_VIDEO || stream->kind == AVMEDIA_TYPE_AUDIO;
    if (may_jump && timed && packet->dts != AV_NOPTS_VALUE && stream->expected != AV_NOPTS_VALUE) {
        if (!fits(off_expected(stream, packet, stream->jump))) {
            if (!fits(off_expected(stream, packet, demux->jump)))
                demux->jump = off_expected(stream, packet, 0);
            stream->jump = demux->jump;
        }
    } else if (!timed || stream->expected == AV_NOPTS_VALUE) {
        stream->jump = demux->jump;
    }
    int64_t ticks = av_rescale_q(stream->jump, AV_TIME_BASE_Q, stream->time_base);
    if (packet->dts != AV_NOPTS_VALUE)
        packet->dts -= ticks;
    if (packet->pts != AV_NOPTS_VALUE)
        packet->pts -= ticks;
}

static int64_t first_guess(const struct demux_stream *stream, const AVCodecParameters *par)
{
    if (stream->frame_rate.num <= 0 || par->video_delay <= 0)
        return 0;
    return -av_rescale_q(par->video_delay, av_inv_q(stream->frame_rate), stream->time_base);
}

/* In a clip that was cut out of a longer one, reordered frames may have decoding times after those
 * at which they are shown, and the first packet no distance between the two. Then decoding moves
 * ahead, for no muxer takes such packets. */
static void give_room(const struct demux *demux, struct demux_stream *stream, AVPacket *packet)
{
    const AVFormatContext *context = demux->source.context;
    if (packet->dts == AV_NOPTS_VALUE)
        return;
    if (!stream->begun && stream->copied && stream->may_reorder && packet->pts == packet->dts &&
        strstr(context->iformat->name, "mov"))
        stream->lead = -first_guess(stream, context->streams[packet->stream_index]->codecpar);
    stream->begun = true;
    packet->dts -= stream->lead;
}

/* What no time can be isn't one; false for text that nobody can show then. */
static bool tame_timestamps(const struct demux_stream *stream, AVPacket *packet)
{
    bool text = stream->kind == AVMEDIA_TYPE_SUBTITLE;
    if (text && !timestamp_fits(packet->pts, stream->base, stream->time_base))
        return false;
    packet->pts = timestamp_tame(packet->pts, stream->base, stream->time_base);
    packet->dts = timestamp_tame(packet->dts, stream->base, stream->time_base);
    packet->duration = timestamp_tame_length(packet->duration, stream->time_base);
    return true;
}

static void fix_timestamps(struct demux *demux, struct demux_stream *stream, AVPacket *packet)
{
    const AVCodecParameters *par = demux->source.context->streams[packet->stream_index]->codecpar;
    if (packet->dts != AV_NOPTS_VALUE)
        packet->dts -= stream->base;
    if (packet->pts != AV_NOPTS_VALUE)
        packet->pts -= stream->base;
    take_out_jump(demux, stream, packet);
    give_room(demux, stream, packet);

    if (packet->dts == AV_NOPTS_VALUE && stream->kind != AVMEDIA_TYPE_SUBTITLE) {
        if (stream->expected == AV_NOPTS_VALUE) {
            stream->expected = packet->pts != AV_NOPTS_VALUE && !stream->may_reorder
                                   ? packet->pts
                                   : first_guess(stream, par);
        }
        packet->dts = stream->expected;
        if (packet->pts != AV_NOPTS_VALUE && packet->dts > packet->pts)
            packet->dts = packet->pts;
    }
    if (packet->dts == AV_NOPTS_VALUE)
        packet->dts = packet->pts;
    if (packet->pts == AV_NOPTS_VALUE && !stream->may_reorder)
        packet->pts = packet->dts;
    int64_t duration = packet_duration(demux, stream, packet);
    if (stream->reorder)
        reorder_packet(stream->reorder, packet, duration);
    if (packet->duration <= 0 && stream->kind != AVMEDIA_TYPE_SUBTITLE)
        packet->duration = duration;
    packet->time_base = stream->time_base;
    if (packet->dts != AV_NOPTS_VALUE)
        stream->expected = packet->dts + duration;
    int64_t shown = packet->pts != AV_NOPTS_VALUE ? packet->pts : packet->dts;
    if (shown != AV_NOPTS_VALUE)
        stream->end = FFMAX(stream->end, shown + duration);
}

/* ---- handing out ---- */

static void end_stream(struct demux *demux, int index)
{
    struct demux_stream *stream = &demux->streams[index];
    if (!stream->wanted || stream->ended)
        return;
    stream->ended = true;
    int64_t end = FFMIN(stream->end, stream->stop);
    port_end(&demux->stage.task.ports[index], av_rescale_q(end, stream->time_base, AV_TIME_BASE_Q));
}

static bool all_ended(const struct demux *demux)
{
    for (int i = 0; i < demux->stream_count; i++) {
        if (demux->streams[i].wanted && !demux->streams[i].ended)
            return false;
    }
    return true;
}

static bool past_stop(const struct demux_stream *stream, const AVPacket *packet)
{
    if (stream->stop == INT64_MAX)
        return false;
    int64_t time = stream->kind == AVMEDIA_TYPE_VIDEO ? packet->dts : packet->pts;
    return time != AV_NOPTS_VALUE && time >= stream->stop;
}

/* True for what comes before the range and that no consumer needs. */
static bool before_start(const struct demux *demux, struct demux_stream *stream, AVPacket *packet)
{
    if (stream->kind == AVMEDIA_TYPE_SUBTITLE && packet->pts != AV_NOPTS_VALUE && packet->pts < 0) {
        if (packet->pts + packet->duration <= 0)
            return true;
        packet->duration += packet->pts;
        packet->pts = packet->dts = 0;
        return false;
    }
    if (stream->kind == AVMEDIA_TYPE_VIDEO && stream->copied && !stream->decoded &&
        !stream->started) {
        stream->started = (packet->flags & AV_PKT_FLAG_KEY) || ++stream->waited > KEYFRAME_PATIENCE;
        return !stream->started;
    }
    /* Sound that is copied beside a copied picture starts where that one does. */
    if (stream->kind == AVMEDIA_TYPE_AUDIO && !stream->decoded && !demux->copies_video &&
        demux->start > 0 && packet->pts != AV_NOPTS_VALUE)
        return packet->pts + packet->duration <= 0;
    return false;
}

static int hand_out(struct demux *demux, AVPacket *packet)
{
    int index = packet->stream_index;
    if (index >= demux->stream_count)
        return 0;
    struct demux_stream *stream = &demux->streams[index];
    if (!stream->wanted || stream->ended || stream->picture)
        return 0;
    if (!tame_timestamps(stream, packet))
        return 0;
    fix_timestamps(demux, stream, packet);
    if (past_stop(stream, packet)) {
        end_stream(demux, index);
        return 0;
    }
    if (before_start(demux, stream, packet))
        return 0;
    if (packet->dts != AV_NOPTS_VALUE) {
        int64_t time = av_rescale_q(packet->dts, stream->time_base, AV_TIME_BASE_Q);
        if (time > atomic_load(&demux->progress.time))
            atomic_store(&demux->progress.time, time);
    }
    int code = port_send_packet(&demux->stage.task.ports[index], packet);
    if (code == TASK_STOP)
        stream->ended = true;
    return code < 0 ? code : 0;
}

/* Bytes of the AMR frame that begins with this byte, of 20 ms each (3GPP TS 26.101, 26.201). */
static int amr_frame_size(enum AVCodecID codec, uint8_t first)
{
    static const uint8_t narrow[16] = {13, 14, 16, 18, 20, 21, 27, 32, 6, 1, 1, 1, 1, 1, 1, 1};
    static const uint8_t wide[16] = {18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 1, 1, 1, 1, 1, 1};
    return (codec == AV_CODEC_ID_AMR_NB ? narrow : wide)[first >> 3 & 15];
}

/* Containers may put many frames of AMR into one packet; decoders and muxers take single ones. */
static int hand_out_frames(struct demux *demux, AVPacket *packet)
{
    const AVStream *from = demux->source.context->streams[packet->stream_index];
    enum AVCodecID codec = from->codecpar->codec_id;
    if (codec != AV_CODEC_ID_AMR_NB && codec != AV_CODEC_ID_AMR_WB)
        return hand_out(demux, packet);
    AVPacket *frame = av_packet_alloc();
    int code = frame ? 0 : error_set(&demux->stage.task.error, ERROR_OUT_OF_MEMORY, "no memory");
    for (int at = 0, number = 0; code == 0 && at < packet->size; number++) {
        int size = FFMIN(amr_frame_size(codec, packet->data[at]), packet->size - at);
        int64_t after = av_rescale_q(number, (AVRational){1, 50}, from->time_base);
        if (av_packet_ref(frame, packet) < 0)
            code = error_set(&demux->stage.task.error, ERROR_OUT_OF_MEMORY, "no memory");
        frame->data = packet->data + at;
        frame->size = size;
        frame->duration = av_rescale_q(1, (AVRational){1, 50}, from->time_base);
        if (packet->pts != AV_NOPTS_VALUE)
            frame->pts += after;
        if (packet->dts != AV_NOPTS_VALUE)
            frame->dts += after;
        code = code == 0 ? hand_out(demux, frame) : code;
        av_packet_unref(frame);
        at += size;
    }
    av_packet_free(&frame);
    return code;
}

/* A cover picture is one packet that the context keeps. */
static int hand_out_pictures(struct demux *demux, AVPacket *packet)
{
    for (int i = 0; i < demux->stream_count; i++) {
        struct demux_stream *stream = &demux->streams[i];
        if (!stream->wanted || !stream->picture)
            continue;
        AVStream *from = demux->source.context->streams[i];
        if (from->attached_pic.size > 0 && av_packet_ref(packet, &from->attached_pic) >= 0) {
            packet->pts = packet->dts = 0;
            packet->time_base = stream->time_base;
            packet->stream_index = i;
            packet->flags |= AV_PKT_FLAG_KEY;
            int code = port_send_packet(&demux->stage.task.ports[i], packet);
            if (code < 0)
                return code;
        }
        end_stream(demux, i);
    }
    return 0;
}

static int read_failed(struct demux *demux, int code, int *errors)
{
    if (code == AVERROR_EOF || code == AVERROR_EXIT)
        return TASK_STOP;
    if (code == AVERROR(ENOMEM) || code == AVERROR(EIO)) {
        return error_set_av(&demux->stage.task.error, ERROR_CORRUPT_MEDIA, code,
                            "reading '%s' failed", demux->source.file->label);
    }
    /* Anything else is damage: what was read so far is used, as ffmpeg does. */
    return code == AVERROR(EAGAIN) && ++*errors < MAX_READ_ERRORS ? 0 : TASK_STOP;
}

static int demux_run(struct task *task)
{
    struct demux *demux = (struct demux *)task;
    AVFormatContext *context = demux->source.context;
    AVPacket *packet = av_packet_alloc();
    if (!packet)
        return error_set(&task->error, ERROR_OUT_OF_MEMORY, "no memory for a packet");

    if (demux->start > 0)
        seek_to_start(demux);
    int code = hand_out_pictures(demux, packet);
    int errors = 0;
    while (code == 0 && !all_ended(demux)) {
        if ((code = task_proceed(task)) != 0)
            break;
        int result = av_read_frame(context, packet);
        if (result < 0) {
            code = read_failed(demux, result, &errors);
            continue;
        }
        errors = 0;
        atomic_store(&demux->progress.bytes, avio_tell(context->pb));
        code = hand_out_frames(demux, packet);
        av_packet_unref(packet);
    }
    for (int i = 0; i < demux->stream_count && code >= 0; i++)
        end_stream(demux, i);
    av_packet_free(&packet);
    return code;
}
