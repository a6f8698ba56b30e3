/*
 * Opens the file anew, since a run may have taken the plan's own context, or it isn't open any
 * more.
 */
#include <math.h>
#include <string.h>

#include "engine/cut_internal.h"
#include "engine/timestamp.h"

enum {
    JUMP_SECONDS = 10,      /* further than this, timestamps have jumped */
    MAX_READ_ERRORS = 100,  /* in a row */
    KEYFRAME_WAIT = 100000, /* packets to look for a keyframe at, after a seek */
};

int cut_reader_open(struct cut_reader *reader, const struct plan *plan, struct plan_edge edge,
                    struct error *e)
{
    *reader = (struct cut_reader){.pts = AV_NOPTS_VALUE, .dts = AV_NOPTS_VALUE};
    const struct media *media = plan_input_media(plan, edge.node);
    if (!media || edge.pad < 0 || edge.pad >= media->stream_count ||
        media->streams[edge.pad].kind != AVMEDIA_TYPE_VIDEO ||
        media->streams[edge.pad].attached_picture)
        return error_set(e, ERROR_INVALID_INPUT, "only video straight from an input can be cut");
    reader->file = plan->nodes[edge.node]->file;
    const char *label = reader->file->label;
    int code = io_reader_open_file(&reader->bytes, reader->file->path, label, e);
    if (code == 0) {
        code = media_open_context(&reader->context, reader->bytes, label, reader->file->cancel,
                                  NULL, e);
    }
    if (code == 0 && edge.pad >= (int)reader->context->nb_streams)
        code = error_set(e, ERROR_CORRUPT_MEDIA, "'%s' has changed", label);
    if (code == 0 && !(reader->packet = av_packet_alloc()))
        code = error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a packet");
    if (code < 0) {
        cut_reader_close(reader);
        return code;
    }
    for (unsigned i = 0; i < reader->context->nb_streams; i++) {
        reader->context->streams[i]->discard =
            (int)i == edge.pad ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
    }
    reader->stream = reader->context->streams[edge.pad];
    reader->judged = access_init(&reader->access, reader->stream->codecpar);
    return 0;
}

void cut_reader_close(struct cut_reader *reader)
{
    av_packet_free(&reader->packet);
    if (reader->context)
        media_close_context(&reader->context);
    io_reader_close(&reader->bytes);
}

int64_t cut_reader_ticks(const struct cut_reader *reader, double seconds, enum AVRounding rounding)
{
    if (!(seconds <= TIMESTAMP_MOST_SECONDS))
        return INT64_MAX;
    seconds = fmax(seconds, -TIMESTAMP_MOST_SECONDS);
    int64_t time = llrint((reader->file->start + seconds) * AV_TIME_BASE);
    /* Who took the time of a picture may have rounded it. */
    time += rounding == AV_ROUND_UP ? -1 : 1;
    return av_rescale_q_rnd(time, AV_TIME_BASE_Q, reader->stream->time_base, rounding);
}

double cut_reader_seconds(const struct cut_reader *reader, int64_t ticks)
{
    if (ticks == INT64_MAX)
        return INFINITY;
    /* Ranges are kept in microseconds: on a finer clock the one before the tick. */
    int64_t time =
        av_rescale_q_rnd(ticks, reader->stream->time_base, AV_TIME_BASE_Q, AV_ROUND_DOWN);
    bool finer = av_cmp_q(reader->stream->time_base, (AVRational){2, AV_TIME_BASE}) < 0;
    double seconds =
        finer ? (double)time / AV_TIME_BASE : (double)ticks * av_q2d(reader->stream->time_base);
    return fmax(seconds - reader->file->start, 0);
}

/* ---- reading ---- */

static void note_trouble(struct cut_reader *reader, int64_t last)
{
    const AVPacket *packet = reader->packet;
    bool reordered = reader->stream->codecpar->video_delay > 0;
    if (packet->pts == AV_NOPTS_VALUE && (reordered || packet->dts == AV_NOPTS_VALUE)) {
        reader->trouble = "the container doesn't say when its pictures are shown";
    } else if (access_is_packed(&reader->access, packet)) {
        reader->trouble = "several pictures share a packet";
    } else if (last != AV_NOPTS_VALUE && packet->dts != AV_NOPTS_VALUE) {
        double step = (double)(packet->dts - last) * av_q2d(reader->stream->time_base);
        bool may_jump = (reader->context->iformat->flags & AVFMT_TS_DISCONT) != 0;
        if (step < 0 || (may_jump && step > JUMP_SECONDS))
            reader->trouble = "its timestamps jump";
    }
}

static void tame_times(struct cut_reader *reader)
{
    AVRational time_base = reader->stream->time_base;
    int64_t zero = cut_reader_ticks(reader, 0, AV_ROUND_UP);
    reader->packet->pts = timestamp_tame(reader->packet->pts, zero, time_base);
    reader->packet->dts = timestamp_tame(reader->packet->dts, zero, time_base);
}

int cut_reader_next(struct cut_reader *reader, struct error *e)
{
    int64_t last = reader->dts;
    for (int errors = 0; errors < MAX_READ_ERRORS;) {
        av_packet_unref(reader->packet);
        if (reader->file->cancel && atomic_load(reader->file->cancel))
            return error_set(e, ERROR_CANCELLED, "cancelled");
        int result = av_read_frame(reader->context, reader->packet);
        if (result == AVERROR(ENOMEM) || result == AVERROR(EIO) || result == AVERROR_EXIT) {
            return error_set_av(e, ERROR_CORRUPT_MEDIA, result, "reading '%s' failed",
                                reader->file->label);
        }
        errors = result == AVERROR(EAGAIN) ? errors + 1 : 0;
        if (result < 0 && result != AVERROR(EAGAIN))
            return 0;
        if (result < 0 || reader->packet->stream_index != reader->stream->index)
            continue;
        tame_times(reader);
        note_trouble(reader, last);
        reader->dts = reader->packet->dts;
        reader->pts = reader->packet->pts != AV_NOPTS_VALUE ? reader->packet->pts : reader->dts;
        return 1;
    }
    return 0;
}

/* ---- seeking ---- */

static void rewind_to_begin(struct cut_reader *reader)
{
    AVFormatContext *context = reader->context;
    bool by_bytes = (context->iformat->flags & AVFMT_TS_DISCONT) &&
                    !(context->iformat->flags & AVFMT_NO_BYTE_SEEK);
    if (!by_bytes || avformat_seek_file(context, -1, 0, 0, 0, AVSEEK_FLAG_BYTE) < 0) {
        int64_t begin = llrint(reader->file->start * AV_TIME_BASE);
        if (avformat_seek_file(context, -1, INT64_MIN, begin, begin, 0) < 0)
            av_seek_frame(context, -1, begin, AVSEEK_FLAG_BACKWARD);
    }
    reader->from_begin = true;
}

static int read_keyframe(struct cut_reader *reader, struct error *e)
{
    int code = 1;
    reader->dts = AV_NOPTS_VALUE;
    for (int i = 0; i < KEYFRAME_WAIT; i++) {
        code = cut_reader_next(reader, e);
        if (code <= 0 || (reader->packet->flags & AV_PKT_FLAG_KEY))
            break;
    }
    return code;
}

/* What was read on the way doesn't count. */
static int landed(struct cut_reader *reader)
{
    reader->trouble = NULL;
    note_trouble(reader, AV_NOPTS_VALUE);
    return 1;
}

int cut_reader_seek(struct cut_reader *reader, int64_t ticks, struct error *e)
{
    int64_t begin = cut_reader_ticks(reader, 0, AV_ROUND_UP);
    int64_t second =
        FFMAX(av_rescale_q(AV_TIME_BASE, AV_TIME_BASE_Q, reader->stream->time_base), 1);
    reader->from_begin = false;
    for (int64_t back = 0; ticks - back > begin; back = back ? 2 * back : second) {
        int64_t target = ticks - back;
        if (avformat_seek_file(reader->context, reader->stream->index, INT64_MIN, target, target,
                               0) < 0)
            break;
        int code = read_keyframe(reader, e);
        if (code < 0)
            return code;
        if (code > 0 && reader->pts != AV_NOPTS_VALUE && reader->pts <= ticks)
            return landed(reader);
    }
    rewind_to_begin(reader);
    reader->dts = AV_NOPTS_VALUE;
    int code = cut_reader_next(reader, e);
    return code > 0 ? landed(reader) : code;
}
