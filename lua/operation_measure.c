/*
 * Measures that a script asks for while it makes its plan: passes over an input in the middle of
 * run(), which is why they need the same permission as the run itself, and a share of its
 * progress.
 */
#include <math.h>

#include "lua/operation_internal.h"

/* Whatever a measure costs, it reads a whole stream: the job is to wait its turn among those that
 * work for long. In seconds, above what any caller takes for a light plan. */
#define LEAST_COST 2.5

#define PROGRESS_PERIOD_MS 250

int operation_ask_to_run(struct job *job, double cost)
{
    const struct operation_request *request = job->request;

    if (!request->planned || job->allowed) {
        return 0;
    }
    int code = request->planned(request->opaque, cost);
    job->allowed = code == 0;
    return code;
}

int operation_tell_progress(void *opaque, const struct pipeline_progress *progress)
{
    struct job *job = opaque;
    struct pipeline_progress told = *progress;

    told.elapsed += job->elapsed;
    if (isfinite(told.percent)) {
        double percent = job->percent_from + told.percent * job->percent_share / 100;
        job->percent = fmax(job->percent, fmin(percent, 100));
        told.percent = job->percent;
    }
    job->told = told;
    return job->request->progress(job->request->opaque, &told);
}

/* Half of what is left belongs to a measure, the other half to whatever comes. */
static int on_progress(void *opaque, const struct pipeline_progress *progress)
{
    struct job *job = opaque;

    job->measure_elapsed = progress->elapsed;
    return job->request->progress ? operation_tell_progress(job, progress) : 0;
}

int operation_measure(void *owner, int node, struct pipeline_result *result, struct error *e)
{
    struct job *job = owner;
    const struct operation_request *request = job->request;
    const struct pipeline_options options = {
        .outputs = &node,
        .output_count = 1,
        .threads = request->threads,
        .control = request->control,
        .progress = on_progress,
        .period_ms = PROGRESS_PERIOD_MS,
        .opaque = job,
    };

    /* the run that follows is likely to cost as much again */
    int code = operation_ask_to_run(job, fmax(2 * plan_cost(job->plan, &node, 1), LEAST_COST));
    if (code != 0) {
        return error_set(e, code, "stopped before a measure");
    }
    job->percent_share = (100 - job->percent_from) / 2;
    code = pipeline_run(job->plan, &options, result, e);
    job->percent_from += job->percent_share;
    job->percent_share = 100 - job->percent_from;
    job->elapsed += job->measure_elapsed;
    return code;
}
