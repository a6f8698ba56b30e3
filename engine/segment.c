/*
 * The end of a segment's own run: whatever comes is handed to the sequence that runs it.
 *
 * Before each item it asks the sequence's task whether to go on, so that a sequence that is held
 * back or paused holds its segment.
 */
#include <libavcodec/bsf.h>
#include <libavutil/avutil.h>
#include <string.h>

#include "engine/sequence_internal.h"

enum { QUEUE_ITEMS = 4, QUEUE_SOUND = 32, QUEUE_PACKETS = 64, QUEUE_BYTES = 16 << 20 };

struct segment {
    struct stage stage;
    struct sequence *sequence;
    const struct plan_node *node; /* what gives it */
    struct frame_spec spec;
    int scheduled;
    AVBSFContext *bsf;
    AVPacket *packet;
};

static void segment_finish(struct stage *stage)
{
    struct segment *segment = (struct segment *)stage;
    av_bsf_free(&segment->bsf);
    av_packet_free(&segment->packet);
}

const struct frame_spec *segment_spec(const struct stage *stage)
{
    return &((const struct segment *)stage)->spec;
}

/* ---- bitstream filters of copies ---- */

static const char *needed_filter(const struct segment *segment)
{
    const struct plan *plan = segment->stage.run->plan;
    if (segment->node->bsf)
        return segment->node->bsf;
    const struct plan_node *input = plan->nodes[segment->node->inputs[0].node];
    bool avi = strcmp(input->file->media->format, "avi") == 0;
    return avi && segment->sequence->node->codec == AV_CODEC_ID_MPEG4 ? "mpeg4_unpack_bframes"
                                                                      : NULL;
}

static int open_copy(struct segment *segment)
{
    const struct track_format *format = segment->stage.task.from[0]->format;
    struct error *e = &segment->stage.task.error;
    const char *filters = needed_filter(segment);
    segment->packet = av_packet_alloc();
    if (!segment->packet)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a packet");
    int code = filters ? av_bsf_list_parse_str(filters, &segment->bsf) : 0;
    if (code >= 0 && filters)
        code = avcodec_parameters_copy(segment->bsf->par_in, format->stream->codecpar);
    if (code >= 0 && filters) {
        segment->bsf->time_base_in = format->stream->time_base;
        code = av_bsf_init(segment->bsf);
    }
    if (code < 0) {
        return error_set_av(e, ERROR_ENCODE_FAILED, code, "bitstream filter %s can't be used",
                            filters);
    }
    return sequence_open(segment->sequence, format, filters ? segment->bsf->par_out : NULL, e);
}

static int take_filtered(struct segment *segment, AVPacket *packet)
{
    struct error *e = &segment->stage.task.error;
    int result = av_bsf_send_packet(segment->bsf, packet), code = 0;
    while (result >= 0 && code == 0) {
        result = av_bsf_receive_packet(segment->bsf, segment->packet);
        if (result < 0)
            break;
        segment->packet->time_base = segment->bsf->time_base_out;
        code = sequence_take_packet(segment->sequence, true, segment->packet, e);
        av_packet_unref(segment->packet);
    }
    if (result < 0 && result != AVERROR(EAGAIN) && result != AVERROR_EOF) {
        return error_set_av(e, ERROR_ENCODE_FAILED, result, "bitstream filter %s failed",
                            segment->bsf->filter->name);
    }
    return code;
}

/* ---- running ---- */

static void report(struct segment *segment, int64_t time, AVRational time_base)
{
    if (time != AV_NOPTS_VALUE) {
        task_group_report(segment->stage.task.group, segment->scheduled,
                          av_rescale_q(time, time_base, AV_TIME_BASE_Q));
    }
}

static int take_item(struct segment *segment, struct queue_item *item)
{
    struct sequence *sequence = segment->sequence;
    const struct port *from = segment->stage.task.from[0];
    struct error *e = &segment->stage.task.error;
    switch (item->kind) {
    case QUEUE_FRAME:
        report(segment, item->frame->pts, item->frame->time_base);
        return sequence_take_frame(sequence, from, item->frame, e);
    case QUEUE_PACKET:
        return segment->bsf ? take_filtered(segment, item->packet)
                            : sequence_take_packet(sequence, segment->node->kind == PLAN_COPY,
                                                   item->packet, e);
    case QUEUE_OPENED:
        return sequence_open(sequence, from->format, NULL, e);
    case QUEUE_END:
        return segment->bsf ? take_filtered(segment, NULL) : 0;
    }
    return 0;
}

static int segment_run(struct task *task)
{
    struct segment *segment = (struct segment *)task;
    struct queue_item item = {0};
    int code = segment->node->kind == PLAN_COPY ? open_copy(segment) : 0;
    while (code == 0 && (code = task_receive(task, &item)) == 0) {
        code = task_proceed(&segment->sequence->stage.task);
        if (code == 0)
            code = take_item(segment, &item);
        queue_item_clear(&item);
    }
    return code;
}

/* ---- making ---- */

int segment_create(struct run *run, struct stage **out, struct error *e)
{
    struct segment *segment = run_new_stage(run, sizeof *segment, segment_finish, e);
    if (!segment)
        return e->code;
    *out = &segment->stage;
    segment->sequence = run->target;
    segment->node = run->plan->nodes[run_feed_edge(run, run->sequence).node];
    const struct plan_node *sequence = run->plan->nodes[run->sequence];
    segment->spec.kind = sequence->kind_of_track;
    int most = sequence->packets                               ? QUEUE_PACKETS
               : sequence->kind_of_track == AVMEDIA_TYPE_AUDIO ? QUEUE_SOUND
                                                               : QUEUE_ITEMS;
    return task_init(&segment->stage.task, &run->group, "segment", segment_run, 1, most,
                     QUEUE_BYTES, 0, e);
}

int segment_connect(struct stage *stage, struct port *from, struct error *e)
{
    struct segment *segment = (struct segment *)stage;
    int code = task_connect(from, &stage->task, 0, e);
    if (code < 0)
        return code;
    segment->scheduled = task_group_add_track(&stage->run->group, from->owner, false, e);
    return FFMIN(segment->scheduled, 0);
}
