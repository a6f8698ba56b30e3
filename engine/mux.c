/*
 * The mux stage: the packets of all tracks into one file.
 *
 * Packets wait in a list for each track until every track that is due to have more has one, then
 * the one with the lowest decoding time is written; tracks with few packets (subtitles, covers)
 * are not waited for, nor are tracks that have ended, and what waits is bounded. So the stage
 * always takes what comes, and neither an early end nor a rare subtitle piles anything up. The
 * header is written once every track's parameters are known.
 *
 * Timestamps are repaired as ffmpeg's muxing code does, and everything that is written is counted
 * and checked.
 */
#include <libavutil/avutil.h>
#include <libavutil/opt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/compat.h"
#include "engine/mux_internal.h"

/* Seconds by which a track may end before its input does: sound in packets, pictures left out. */
static const double LENGTH_TOLERANCE = 1;

enum {
    QUEUE_PACKETS = 64,
    QUEUE_BYTES = 8 << 20,
    HELD_BYTES = 32 << 20,          /* waiting for the order; beyond it the lowest goes first */
    HELD_BEFORE_HEADER = 256 << 20, /* waiting for a track's parameters */
};

static void drop_packets(struct mux_track *track)
{
    while (track->first) {
        struct mux_packet *next = track->first->next;
        av_packet_free(&track->first->packet);
        free(track->first);
        track->first = next;
    }
    track->last = &track->first;
}

static void close_container(struct mux *mux)
{
    /* After a failure: the GIF muxer lets go of its last packet only here. */
    if (mux->header_written && !mux->finished && strcmp(mux->context->oformat->name, "gif") == 0)
        av_write_trailer(mux->context);
    if (mux->context)
        io_free_write(&mux->context->pb);
    avformat_free_context(mux->context);
    mux->context = NULL;
    io_writer_close(&mux->writer);
}

static void mux_finish(struct stage *stage)
{
    struct mux *mux = (struct mux *)stage;
    close_container(mux);
    for (int i = 0; i < mux->track_count; i++) {
        struct mux_track *track = &mux->tracks[i];
        drop_packets(track);
        av_bsf_free(&track->bsf);
        av_packet_free(&track->picture);
        av_dict_free(&track->tags);
    }
    free(mux->tracks);
    for (unsigned i = 0; i < mux->chapter_count; i++) {
        av_dict_free(&mux->chapters[i]->metadata);
        av_free(mux->chapters[i]);
    }
    av_free(mux->chapters);
    av_dict_free(&mux->tags);
    av_packet_free(&mux->packet);
}

/* ---- what waits ---- */

static int hold(struct mux *mux, struct mux_track *track, AVPacket *packet)
{
    struct mux_packet *entry = calloc(1, sizeof *entry);
    if (entry)
        entry->packet = av_packet_alloc();
    if (!entry || !entry->packet) {
        free(entry);
        return error_set(&mux->stage.task.error, ERROR_OUT_OF_MEMORY, "no memory for packets");
    }
    av_packet_move_ref(entry->packet, packet);
    mux->held += (size_t)entry->packet->size;
    *track->last = entry;
    track->last = &entry->next;
    return 0;
}

static AVPacket *take_held(struct mux *mux, struct mux_track *track)
{
    struct mux_packet *entry = track->first;
    AVPacket *packet = entry->packet;
    mux->held -= (size_t)packet->size;
    track->first = entry->next;
    if (!track->first)
        track->last = &track->first;
    free(entry);
    return packet;
}

static bool goes_before(const struct mux_track *a, const struct mux_track *b)
{
    const AVPacket *first = a->first->packet, *second = b->first->packet;
    if (first->dts == AV_NOPTS_VALUE || second->dts == AV_NOPTS_VALUE)
        return first->dts == AV_NOPTS_VALUE && second->dts != AV_NOPTS_VALUE;
    return av_compare_ts(first->dts, first->time_base, second->dts, second->time_base) < 0;
}

/* The track whose packet is next, or NULL while one must be waited for. */
static struct mux_track *next_track(struct mux *mux)
{
    struct mux_track *next = NULL;
    bool complete = true;
    for (int i = 0; i < mux->track_count; i++) {
        struct mux_track *track = &mux->tracks[i];
        if (!track->first) {
            complete &= track->ended || track->sparse;
        } else if (!next || goes_before(track, next)) {
            next = track;
        }
    }
    return complete || mux->held > HELD_BYTES ? next : NULL;
}

/* ---- writing ---- */

static int64_t middle(int64_t a, int64_t b, int64_t c)
{
    return a + b + c - FFMIN3(a, b, c) - FFMAX3(a, b, c);
}

/* Decoding times must rise and not come after presentation times. */
static void repair(const struct mux *mux, struct mux_track *track, AVPacket *packet)
{
    int flags = mux->context->oformat->flags;
    if (flags & AVFMT_NOTIMESTAMPS)
        return;
    if (packet->pts == AV_NOPTS_VALUE)
        packet->pts = packet->dts;
    if (packet->dts == AV_NOPTS_VALUE)
        packet->dts = packet->pts;
    int64_t least = track->last_dts == AV_NOPTS_VALUE
                        ? INT64_MIN
                        : track->last_dts + !(flags & AVFMT_TS_NONSTRICT);
    if (packet->dts != AV_NOPTS_VALUE && packet->dts > packet->pts && least != INT64_MIN) {
        packet->pts = packet->dts = middle(packet->pts, packet->dts, track->last_dts + 1);
    } else if (packet->dts != AV_NOPTS_VALUE && packet->dts > packet->pts) {
        packet->dts = packet->pts;
    }
    if (packet->dts != AV_NOPTS_VALUE && packet->dts < least) {
        if (packet->pts >= packet->dts)
            packet->pts = FFMAX(packet->pts, least);
        packet->dts = least;
    }
    if (packet->duration < 0)
        packet->duration = 0;
}

static void note_written(struct mux *mux, struct mux_track *track, const AVPacket *packet)
{
    double base = av_q2d(track->stream->time_base);
    track->last_dts = packet->dts;
    track->packets++;
    track->bytes += packet->size;
    if (packet->pts != AV_NOPTS_VALUE) {
        double start = (double)packet->pts * base;
        double end = (double)(packet->pts + packet->duration) * base;
        track->start = isnan(track->start) ? start : fmin(track->start, start);
        track->end = isnan(track->end) ? end : fmax(track->end, end);
        int64_t time = llrint(end * AV_TIME_BASE);
        if (time > atomic_load(&track->time))
            atomic_store(&track->time, time);
    }
    if (track->kind == AVMEDIA_TYPE_VIDEO)
        atomic_fetch_add(&mux->stage.run->frames, 1);
}

static int write_one(struct mux *mux, struct mux_track *track, bool interleaved)
{
    AVPacket *packet = take_held(mux, track);
    av_packet_rescale_ts(packet, packet->time_base, track->stream->time_base);
    packet->time_base = track->stream->time_base;
    packet->stream_index = track->stream->index;
    packet->pos = -1;
    repair(mux, track, packet);
    note_written(mux, track, packet);
    int code = interleaved ? av_interleaved_write_frame(mux->context, packet)
                           : av_write_frame(mux->context, packet);
    av_packet_free(&packet);
    if (code >= 0 && mux->account.failure < 0)
        code = mux->account.failure;
    return code < 0 ? mux_failed(mux, code, "writing") : 0;
}

/* The first packet of each track goes through libavformat's own interleaving, because that is
 * where it decides how far to move timestamps that are below zero. */
static int write_first(struct mux *mux)
{
    int code = 0;
    bool done = false;
    mux->interleaved = true;
    while (!done && code == 0) {
        struct mux_track *next = NULL;
        for (int i = 0; i < mux->track_count; i++) {
            struct mux_track *track = &mux->tracks[i];
            if (track->first && track->packets == 0 && (!next || goes_before(track, next)))
                next = track;
        }
        done = !next;
        if (next)
            code = write_one(mux, next, true);
    }
    if (code == 0) {
        int result = av_interleaved_write_frame(mux->context, NULL);
        code = result < 0 ? mux_failed(mux, result, "writing") : 0;
    }
    return code;
}

static int write_ready(struct mux *mux)
{
    struct mux_track *track = next_track(mux);
    int code = 0;
    if (track && !mux->interleaved)
        code = write_first(mux);
    while (code == 0 && (track = next_track(mux)))
        code = write_one(mux, track, false);
    return code;
}

/* ---- taking in ---- */

static bool all_ready(const struct mux *mux)
{
    for (int i = 0; i < mux->track_count; i++) {
        if (!mux->tracks[i].ready)
            return false;
    }
    return true;
}

static int run_filters(struct mux *mux, struct mux_track *track, AVPacket *packet)
{
    int result = av_bsf_send_packet(track->bsf, packet);
    while (result >= 0) {
        result = av_bsf_receive_packet(track->bsf, mux->packet);
        if (result < 0)
            break;
        mux->packet->time_base = track->bsf->time_base_out;
        int code = hold(mux, track, mux->packet);
        if (code < 0)
            return code;
    }
    return result == AVERROR(EAGAIN) || result == AVERROR_EOF
               ? 0
               : error_set_av(&mux->stage.task.error, ERROR_ENCODE_FAILED, result,
                              "bitstream filter %s failed", track->bsf->filter->name);
}

/* Moves a packet in time. False if all of it is then before the beginning. */
static bool retime(const struct mux_track *track, AVPacket *packet)
{
    double base = av_q2d(packet->time_base), factor = track->time_factor;
    double offset = base > 0 ? track->time_offset / base : 0;
    if (factor == 1 && offset == 0)
        return true;
    int64_t *times[] = {&packet->pts, &packet->dts};
    for (int i = 0; i < 2; i++) {
        if (*times[i] != AV_NOPTS_VALUE)
            *times[i] = llrint((double)*times[i] * factor + offset);
    }
    packet->duration = llrint((double)packet->duration * factor);
    if (packet->pts == AV_NOPTS_VALUE || packet->pts >= 0)
        return true;
    int64_t stop = packet->pts + packet->duration;
    packet->duration = stop;
    packet->pts = packet->dts = 0;
    return stop > 0;
}

static int take_packet(struct mux *mux, struct mux_track *track, AVPacket *packet)
{
    if (!retime(track, packet))
        return 0;
    track->received++;
    if (packet->pts != AV_NOPTS_VALUE) {
        double reached = (double)(packet->pts + packet->duration) * av_q2d(packet->time_base);
        track->reached = isnan(track->reached) ? reached : fmax(track->reached, reached);
    }
    if (track->picture) { /* it is in the header */
        track->packets++;
        track->bytes += packet->size;
        return 0;
    }
    if (packet->dts != AV_NOPTS_VALUE) {
        task_group_report(&mux->stage.run->group, track->scheduled,
                          av_rescale_q(packet->dts, packet->time_base, AV_TIME_BASE_Q));
    }
    int code = track->bsf ? run_filters(mux, track, packet) : hold(mux, track, packet);
    if (code == 0 && !mux->header_written && mux->held > HELD_BEFORE_HEADER) {
        code = error_set(&mux->stage.task.error, ERROR_ENCODE_FAILED,
                         "a track of '%s' begins too long after the others", mux->name);
    }
    return code;
}

static const char *kind_name(enum AVMediaType kind)
{
    const char *name = av_get_media_type_string(kind);
    return name ? name : "data";
}

/* What was written of a track must reach as far as its producer says that it goes. */
static int check_length(struct mux *mux, int number, int64_t end)
{
    const struct mux_track *track = &mux->tracks[number];
    double promised = (double)end / AV_TIME_BASE;
    bool retimed = track->time_factor != 1 || track->time_offset != 0;
    if (end == AV_NOPTS_VALUE || track->sparse || retimed || isnan(track->reached) ||
        track->reached + LENGTH_TOLERANCE >= promised)
        return 0;
    return error_set(&mux->stage.task.error, ERROR_ENCODE_FAILED,
                     "track %d of '%s' (%s) ends at %.2f s, its input at %.2f s", number + 1,
                     mux->name, kind_name(track->kind), track->reached, promised);
}

static int end_track(struct mux *mux, int number, int64_t end)
{
    struct mux_track *track = &mux->tracks[number];
    int code = 0;
    if (track->bsf)
        code = run_filters(mux, track, NULL);
    track->ended = true;
    atomic_store(&track->finished, true);
    task_group_end_track(&mux->stage.run->group, track->scheduled);
    if (code == 0 && track->received == 0 && (!track->ready || !track->sparse)) {
        code = error_set(&mux->stage.task.error, ERROR_ENCODE_FAILED,
                         "track %d of '%s' (%s) is empty: nothing came of its input", number + 1,
                         mux->name, kind_name(track->kind));
    }
    return code == 0 ? check_length(mux, number, end) : code;
}

static int take_item(struct mux *mux, struct queue_item *item)
{
    struct mux_track *track = &mux->tracks[item->input];
    int code = 0;
    switch (item->kind) {
    case QUEUE_OPENED:
        code = mux_open_track(mux, track);
        break;
    case QUEUE_PACKET:
        code = take_packet(mux, track, item->packet);
        break;
    case QUEUE_END:
        code = end_track(mux, item->input, item->end);
        break;
    case QUEUE_FRAME:
        break;
    }
    if (code == 0 && !mux->header_written && all_ready(mux))
        code = mux_write_header(mux);
    if (code == 0 && mux->header_written)
        code = write_ready(mux);
    return code;
}

/* ---- the end ---- */

/* Animations tell of each picture how long it is shown, which their muxers take from the next; the
 * last one's time they must be told. */
static void tell_last_delay(struct mux *mux)
{
    static const char *const animations[] = {"gif", "apng"};
    const struct mux_track *track = &mux->tracks[0];
    AVFormatContext *context = mux->context;
    if (track->packets == 0 || isnan(track->end))
        return;
    double start = (double)track->last_dts * av_q2d(track->stream->time_base);
    int64_t hundredths = llrint((track->end - start) * 100);
    AVRational delay = {(int)FFMIN(FFMAX(hundredths, 0), UINT16_MAX), 100};
    if (strcmp(context->oformat->name, animations[0]) == 0) {
        av_opt_set_int(context->priv_data, "final_delay", delay.num, 0);
    } else if (strcmp(context->oformat->name, animations[1]) == 0) {
        av_opt_set_q(context->priv_data, "final_delay", delay, 0);
    }
}

static int finish_file(struct mux *mux)
{
    tell_last_delay(mux);
    mux->finished = true;
    int code = mux_room_check(mux);
    if (code >= 0)
        code = av_write_trailer(mux->context);
    if (code >= 0) {
        avio_flush(mux->context->pb);
        code = mux->context->pb->error;
    }
    if (code < 0 || mux->account.failure < 0)
        return mux_failed(mux, code, "finishing");
    for (int i = 0; i < mux->track_count; i++) {
        const struct mux_track *track = &mux->tracks[i];
        if (track->first || (!track->bsf && track->packets != track->received)) {
            return error_set(&mux->stage.task.error, ERROR_INTERNAL,
                             "track %d of '%s' lost packets", i + 1, mux->name);
        }
    }
    return 0;
}

static int mux_run(struct task *task)
{
    struct mux *mux = (struct mux *)task;
    struct queue_item item = {0};
    mux->packet = av_packet_alloc();
    if (!mux->packet)
        return error_set(&task->error, ERROR_OUT_OF_MEMORY, "no memory for a packet");
    int code = mux_open(mux);
    for (int i = 0; i < mux->track_count && code == 0; i++) {
        if (mux->tracks[i].node->kind == PLAN_COPY)
            code = mux_open_track(mux, &mux->tracks[i]);
    }
    while (code == 0 && (code = task_receive(task, &item)) == 0) {
        code = take_item(mux, &item);
        queue_item_clear(&item);
    }
    if (code == TASK_STOP && !atomic_load(&task->group->aborted))
        code = finish_file(mux);
    return code;
}

/* ---- making, and what was made ---- */

int mux_create(struct run *run, int node, struct stage **out, struct error *e)
{
    struct mux *mux = run_new_stage(run, sizeof *mux, mux_finish, e);
    if (!mux)
        return e->code;
    *out = &mux->stage;
    mux->node = run->plan->nodes[node];
    mux->number = node;
    plan_output_name(run->plan, node, 0, mux->name, sizeof mux->name);
    int code = mux_prepare(mux, e);
    if (code == 0) {
        code = task_init(&mux->stage.task, &run->group, "mux", mux_run, mux->track_count,
                         QUEUE_PACKETS, QUEUE_BYTES, 0, e);
    }
    for (int i = 0; i < mux->track_count && code == 0; i++) {
        struct mux_track *track = &mux->tracks[i];
        struct plan_edge edge = mux->node->inputs[i];
        if (track->node->kind == PLAN_COPY)
            edge = track->node->inputs[0];
        struct port *port = run->nodes[edge.node].packets[edge.pad];
        track->from = port;
        code = task_connect(port, &mux->stage.task, i, e);
        if (code == 0) {
            track->scheduled = task_group_add_track(&run->group, port->owner, track->sparse, e);
            code = FFMIN(track->scheduled, 0);
        }
    }
    return code;
}

double mux_time(const struct stage *stage)
{
    const struct mux *mux = (const struct mux *)stage;
    int64_t slowest = INT64_MAX, furthest = AV_NOPTS_VALUE;
    for (int i = 0; i < mux->track_count; i++) {
        struct mux_track *track = &mux->tracks[i];
        int64_t time = atomic_load(&track->time);
        furthest = FFMAX(furthest, time);
        if (!track->sparse && !atomic_load(&track->finished))
            slowest = FFMIN(slowest, time);
    }
    int64_t time = slowest == INT64_MAX ? furthest : slowest;
    return time == AV_NOPTS_VALUE ? NAN : (double)time / AV_TIME_BASE;
}

/* A file of one picture is described as the others of its kind are. */
static void describe_picture(const struct mux *mux, struct pipeline_file *file)
{
    const struct mux_track *track = &mux->tracks[0];
    if (mux->track_count != 1 || track->kind != AVMEDIA_TYPE_VIDEO || track->packets != 1 ||
        !track->stream)
        return;
    file->time = track->start;
    file->width = track->stream->codecpar->width;
    file->height = track->stream->codecpar->height;
}

int mux_collect(struct stage *stage, struct pipeline_result *result, struct error *e)
{
    const struct mux *mux = (const struct mux *)stage;
    struct pipeline_file *files =
        realloc(result->files, (size_t)(result->file_count + 1) * sizeof *files);
    if (!files)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for the result");
    result->files = files;
    struct pipeline_file *file = &files[result->file_count];
    *file = (struct pipeline_file){.output = mux->number, .time = NAN, .size = mux->account.size};
    memcpy(file->name, mux->name, sizeof file->name);
    file->tracks = calloc((size_t)mux->track_count, sizeof *file->tracks);
    if (!file->tracks)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for the result");
    file->track_count = mux->track_count;
    result->file_count++;
    for (int i = 0; i < mux->track_count; i++) {
        const struct mux_track *track = &mux->tracks[i];
        const AVCodecDescriptor *codec =
            track->stream ? avcodec_descriptor_get(track->stream->codecpar->codec_id) : NULL;
        file->tracks[i] = (struct pipeline_track){
            .kind = track->kind,
            .codec = codec ? codec->name : "",
            .packets = track->packets,
            .bytes = track->bytes,
            .start = track->start,
            .end = track->end,
        };
    }
    describe_picture(mux, file);
    return 0;
}
