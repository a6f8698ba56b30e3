/*
 * The sequence stage: runs its segments one after the other. See sequence_internal.h.
 */
#include <libavutil/avutil.h>
#include <math.h>

#include "engine/sequence_internal.h"

static int sequence_run(struct task *task);

static void sequence_finish(struct stage *stage)
{
    struct sequence *sequence = (struct sequence *)stage;
    av_frame_free(&sequence->last);
    track_format_finish(&sequence->format);
    for (int i = 0; i < NAL_IDS; i++)
        nal_bytes_finish(&sequence->sets[i]);
}

const struct source_progress *sequence_progress(const struct stage *stage)
{
    return &((const struct sequence *)stage)->progress;
}

/* ---- time ---- */

void sequence_note(struct sequence *sequence, int64_t end)
{
    sequence->begun = true;
    sequence->end = FFMAX(sequence->end, end);
    int64_t time = av_rescale_q(end, SEQUENCE_TIME_BASE, AV_TIME_BASE_Q);
    if (time > atomic_load(&sequence->progress.time))
        atomic_store(&sequence->progress.time, time);
}

static double planned(const struct plan *plan, const struct plan_node *node)
{
    double seconds = 0;
    for (int i = 0; i < node->input_count; i++) {
        seconds += isfinite(node->durations[i]) ? node->durations[i]
                                                : plan_estimate(plan, node->inputs[i]).seconds;
    }
    return seconds;
}

/* ---- running ---- */

static int run_stages(struct sequence *sequence, struct run *run, struct error *e)
{
    struct run *outer = sequence->stage.run;
    int code = run_init(run, outer->plan, outer->options, e);
    if (code < 0)
        return code;
    run->cancel = outer->cancel;
    run->target = sequence;
    run->as_coded = sequence_is_turned(sequence);
    run_reach_segment(run, sequence->number, sequence->segment);
    if ((code = run_make_stages(run, e)) < 0)
        return code;
    task_group_adopt(&outer->group, &run->group);
    code = task_group_start(&run->group, e);
    task_group_join(&run->group);
    task_group_release(&outer->group, &run->group);
    if (code == 0 && run->group.failed) {
        *e = run->group.failed->error;
        code = e->code;
    }
    return code;
}

int sequence_run_segment(struct sequence *sequence)
{
    struct run run = {.pass = RUN_ONLY};
    sequence_begin_segment(sequence);
    int code = run_stages(sequence, &run, &sequence->stage.task.error);
    run_finish(&run);
    return code;
}

/* Of pictures in packets something must come: nothing else could stand for them. */
static bool is_missing(const struct sequence *sequence)
{
    return sequence->node->packets && sequence->node->kind_of_track == AVMEDIA_TYPE_VIDEO &&
           !sequence->started && !sequence->finished;
}

/* Where durations are given, every segment begins at their sum, rounded once. */
static int run_segments(struct sequence *sequence)
{
    const struct plan_node *node = sequence->node;
    struct task *task = &sequence->stage.task;
    double rest = 0; /* what rounding has left of the durations so far */
    int code = 0;
    for (int i = 0; i < node->input_count && code == 0 && !sequence->finished; i++) {
        double length = node->durations[i] * SEQUENCE_CLOCK + rest;
        sequence->segment = i;
        sequence->length = isnan(length) ? INT64_MAX : llrint(length);
        rest = isnan(length) ? 0 : length - (double)sequence->length;
        code = task_proceed(task);
        if (code == 0)
            code = sequence_run_segment(sequence);
        if (code == 0 && atomic_load(&task->group->aborted))
            code = TASK_STOP;
        if (code == 0 && is_missing(sequence)) {
            code = error_set(&task->error, ERROR_CORRUPT_MEDIA, "segment %d is empty: nothing came",
                             i + 1);
        }
        if (code != 0 || sequence->finished)
            break;
        if (sequence->length != INT64_MAX) {
            sequence->zero += sequence->length;
            code = sequence_fill(sequence, sequence->zero, &task->error);
        } else {
            sequence->zero = FFMAX(sequence->zero, sequence->end);
        }
    }
    return code;
}

static int sequence_run(struct task *task)
{
    struct sequence *sequence = (struct sequence *)task;
    int code = sequence->node->join ? sequence_join_open(sequence, &task->error) : 0;
    if (code == 0)
        code = run_segments(sequence);
    if (code >= 0) {
        port_end(sequence_port(sequence),
                 av_rescale_q(sequence->zero, SEQUENCE_TIME_BASE, AV_TIME_BASE_Q));
    }
    return code;
}

int sequence_create(struct run *run, int node, struct stage **out, struct error *e)
{
    struct sequence *sequence = run_new_stage(run, sizeof *sequence, sequence_finish, e);
    if (!sequence)
        return e->code;
    *out = &sequence->stage;
    sequence->node = run->plan->nodes[node];
    sequence->number = node;
    sequence->last_dts = AV_NOPTS_VALUE;
    double seconds = planned(run->plan, sequence->node);
    if (isfinite(seconds) && seconds > 0)
        sequence->progress.duration = llrint(seconds * AV_TIME_BASE);
    return task_init(&sequence->stage.task, &run->group, "sequence", sequence_run, 0, 0, 0, 1, e);
}
