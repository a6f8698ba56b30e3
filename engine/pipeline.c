/*
 * Running a plan: its stages (stages.c) started, watched and taken down.
 *
 * The calling thread only wakes for progress, pause and cancel; the end of the last task wakes it
 * at once.
 */
#include "engine/pipeline.h"

#include <libavutil/avstring.h>
#include <libavutil/mem.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/compat.h"
#include "engine/measure.h"
#include "engine/passes.h"
#include "engine/pipeline_internal.h"

enum { WAKE_MS = 50, DEFAULT_PERIOD_MS = 500 };

/* ---- what stages ask of the run ---- */

void *run_new_stage(struct run *run, size_t size, void (*finish)(struct stage *stage),
                    struct error *e)
{
    struct stage **stages =
        realloc(run->stages, (size_t)(run->stage_count + 1) * sizeof(struct stage *));
    struct stage *stage = calloc(1, size);
    if (stages)
        run->stages = stages;
    if (!stages || !stage) {
        free(stage);
        error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a stage");
        return NULL;
    }
    stage->run = run;
    stage->finish = finish;
    run->stages[run->stage_count++] = stage;
    return stage;
}

int run_output_path(struct run *run, int output, int number, const char *name, char *path,
                    size_t size, struct error *e)
{
    const struct pipeline_options *options = run->options;
    pthread_mutex_lock(&run->path_lock);
    int code = options->output_path(options->opaque, output, number, name, path, size);
    pthread_mutex_unlock(&run->path_lock);
    return code < 0 ? error_set(e, code, "there is no place for '%s'", name) : 0;
}

int run_scratch(struct run *run, char *path, size_t size, struct error *e)
{
    int output = 0;
    while (output < run->plan->node_count &&
           !(run->asked[output] && run->plan->nodes[output]->kind == PLAN_OUTPUT))
        output++;
    if (output == run->plan->node_count)
        return error_set(e, ERROR_INTERNAL, "there is no output to put frames aside for");
    char name[256];
    plan_output_name(run->plan, output, 0, name, sizeof name);
    int code = run_output_path(run, output, 0, name, path, size, e);
    if (code < 0)
        return code;
    char *slash = strrchr(path, '/');
    if (slash) {
        slash[slash == path] = '\0';
    } else {
        av_strlcpy(path, ".", size);
    }
    return 0;
}

static const struct plan_node *node_of(const struct run *run, int node)
{
    return run->plan->nodes[node];
}

static bool reached(const struct run *run, int node, enum plan_kind kind)
{
    return run->reached[node] && node_of(run, node)->kind == kind;
}

/* ---- a run's memory ---- */

/* Like plan_reach(), but a sequence is the end: what stands behind it belongs to runs of its own.
 */
static void reach(struct run *run)
{
    const struct plan *plan = run->plan;
    for (int i = plan->node_count - 1; i >= 0; i--) {
        const struct plan_node *node = plan->nodes[i];
        for (int k = 0; run->reached[i] && k < node->input_count; k++) {
            if (node->kind != PLAN_SEQUENCE || (i == run->sequence && k == run->segment))
                run->reached[node->inputs[k].node] = true;
        }
    }
}

int run_init(struct run *run, struct plan *plan, const struct pipeline_options *options,
             struct error *e)
{
    run->plan = plan;
    run->options = options;
    run->sequence = -1;
    run->cancel = &run->own_cancel;
    int code = task_group_init(&run->group, e);
    if (code < 0)
        return code;
    pthread_mutex_init(&run->path_lock, NULL);
    run->reached = calloc((size_t)plan->node_count + 1, sizeof *run->reached);
    run->asked = calloc((size_t)plan->node_count + 1, sizeof *run->asked);
    run->nodes = calloc((size_t)plan->node_count + 1, sizeof *run->nodes);
    if (!run->reached || !run->asked || !run->nodes)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a run");
    return 0;
}

static void reach_outputs(struct run *run)
{
    const struct pipeline_options *options = run->options;
    int count = options->output_count;
    const int *makes =
        run->pass == RUN_FIRST ? passes_nodes(run->passes, &count) : options->outputs;
    plan_reach(run->plan, options->outputs, options->output_count, run->asked);
    for (int i = 0; i < run->plan->node_count; i++)
        run->reached[i] = !makes && node_of(run, i)->kind == PLAN_OUTPUT;
    for (int i = 0; makes && i < count; i++) {
        if (makes[i] >= 0 && makes[i] < run->plan->node_count)
            run->reached[makes[i]] = true;
    }
    reach(run);
}

void run_reach_segment(struct run *run, int sequence, int segment)
{
    run->sequence = sequence;
    run->segment = segment;
    run->reached[sequence] = true;
    reach(run);
}

void run_finish(struct run *run)
{
    for (int i = run->stage_count - 1; i >= 0; i--) {
        struct stage *stage = run->stages[i];
        if (stage->finish)
            stage->finish(stage);
    }
    for (int i = 0; i < run->stage_count; i++) {
        task_finish(&run->stages[i]->task);
        free(run->stages[i]);
    }
    free(run->stages);
    for (int i = 0; run->nodes && i < run->plan->node_count; i++) {
        free(run->nodes[i].packets);
        free(run->nodes[i].frames);
    }
    free(run->nodes);
    free(run->reached);
    free(run->asked);
    pthread_mutex_destroy(&run->path_lock);
    task_group_finish(&run->group);
}

/* ---- progress ---- */

/* Which part of the work a run is. */
struct stretch {
    double began;       /* all of it, on the monotonic clock */
    double from, share; /* percent */
};

struct watch {
    struct run *run;
    const struct stretch *stretch;
    double percent;  /* the highest told so far; NAN before */
    double expected; /* seconds of output; NAN if unknown */
    bool by_source;  /* output time says nothing about how much is done */
    bool twice;      /* everything passes twice: once read, once written */
};

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Filters after which a second of output isn't a second of input. */
static bool changes_time(const struct plan_node *node)
{
    static const char *const names[] = {
        "setpts",     "asetpts", "atempo",    "concat",     "trim",     "atrim",    "loop",
        "aloop",      "select",  "tpad",      "apad",       "reverse",  "areverse", "xfade",
        "acrossfade", "adelay",  "framestep", "rubberband", "asetrate", "aselect"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (node->filter && strcmp(node->filter->name, names[i]) == 0)
            return true;
    }
    return false;
}

/* That of what reads a node's media; NULL if the node doesn't. */
static const struct source_progress *progress_of(const struct run *run, int node)
{
    const struct stage *stage = run->nodes[node].stage;
    if (stage && reached(run, node, PLAN_SEQUENCE))
        return sequence_progress(stage);
    return stage && reached(run, node, PLAN_INPUT) ? demux_progress(stage) : NULL;
}

static void watch_init(struct watch *watch, struct run *run, const struct stretch *stretch)
{
    *watch = (struct watch){.run = run, .stretch = stretch, .percent = NAN, .expected = NAN};
    watch->by_source = run->pass == RUN_FIRST; /* it writes nothing */
    if (stretch->from > 0)
        watch->percent = stretch->from;
    int sources = 0;
    for (int i = 0; i < run->plan->node_count; i++) {
        if (!run->reached[i])
            continue;
        const struct plan_node *node = node_of(run, i);
        watch->twice |= node->kind == PLAN_PALETTE;
        if (node->kind == PLAN_PICK || node->kind == PLAN_MEASURE ||
            (node->kind == PLAN_FILTER && changes_time(node)))
            watch->by_source = true;
        const struct source_progress *source = progress_of(run, i);
        if (!source)
            continue;
        double duration = (double)source->duration / AV_TIME_BASE;
        sources++;
        if (source->duration > 0) {
            watch->expected = isnan(watch->expected) ? duration : fmax(watch->expected, duration);
        } else {
            watch->by_source = true;
        }
    }
    if (watch->by_source || sources == 0)
        watch->expected = NAN;
}

/* How much of all that is to be read has been, 0 to 1; NAN if that can't be known. */
static double source_fraction(const struct run *run)
{
    double done = 0, total = 0, bytes_done = 0, bytes_total = 0;
    bool timed = true;
    for (int i = 0; i < run->plan->node_count; i++) {
        const struct source_progress *source = progress_of(run, i);
        if (!source)
            continue;
        timed &= source->duration > 0;
        done += fmin((double)atomic_load(&source->time), (double)source->duration);
        total += (double)source->duration;
        bytes_done += (double)atomic_load(&source->bytes);
        bytes_total += (double)source->size;
    }
    if (timed && total > 0)
        return done / total;
    return bytes_total > 0 ? fmin(bytes_done / bytes_total, 1) : NAN;
}

static double slowest_output(const struct run *run)
{
    double slowest = NAN;
    for (int i = 0; i < run->plan->node_count; i++) {
        if (!reached(run, i, PLAN_OUTPUT))
            continue;
        const struct stage *stage = run->nodes[i].stage;
        double time = node_of(run, i)->each_picture ? pictures_time(stage) : mux_time(stage);
        if (!isnan(time)) {
            slowest = isnan(slowest) ? time : fmin(slowest, time);
        } else {
            return 0;
        }
    }
    return isnan(slowest) ? 0 : slowest;
}

static int planned_pictures(const struct run *run)
{
    int count = 0;
    for (int i = 0; i < run->plan->node_count; i++) {
        if (reached(run, i, PLAN_PICK))
            count += node_of(run, i)->time_count;
    }
    return count;
}

static void watch_measure(struct watch *watch, struct pipeline_progress *progress, bool ended)
{
    struct run *run = watch->run;
    double time = slowest_output(run);
    double fraction = time / watch->expected;
    int pictures = planned_pictures(run);
    if (watch->by_source || isnan(watch->expected)) {
        fraction = source_fraction(run);
    } else if (watch->twice) {
        fraction = (fmax(source_fraction(run), 0) + fmin(fraction, 1)) / 2;
    }
    if (isnan(fraction) && pictures > 0)
        fraction = (double)atomic_load(&run->frames) / pictures;
    double part = ended ? 1 : fmin(fraction, 0.999);
    double percent = watch->stretch->from + part * watch->stretch->share;
    if (!isnan(percent) && (isnan(watch->percent) || percent > watch->percent))
        watch->percent = fmax(percent, 0);
    *progress = (struct pipeline_progress){
        .percent = watch->percent,
        .time = time,
        .duration = watch->expected,
        .frames = atomic_load(&run->frames),
        .elapsed = now() - watch->stretch->began,
        .output_bytes = atomic_load(&run->output_bytes),
    };
}

static void tell(struct watch *watch, bool ended)
{
    const struct pipeline_options *options = watch->run->options;
    struct pipeline_progress progress;
    if (!options->progress)
        return;
    watch_measure(watch, &progress, ended);
    if (options->progress(options->opaque, &progress) != 0 && !ended)
        atomic_store(watch->run->cancel, 1);
}

/* ---- running ---- */

/* Waits for the end, passing on cancel and pause. True if it was cancelled. */
static bool watch_run(struct watch *watch)
{
    struct run *run = watch->run;
    struct pipeline_control *control = run->options->control;
    int period = run->options->period_ms > 0 ? run->options->period_ms : DEFAULT_PERIOD_MS;
    double next = now() + period / 1000.0;
    bool paused = false, cancelled = false;
    while (!task_group_wait(&run->group, FFMIN(period, WAKE_MS))) {
        if (control && atomic_load(&control->cancel))
            atomic_store(run->cancel, 1);
        if (control && (atomic_load(&control->pause) != 0) != paused) {
            paused = !paused;
            task_group_pause(&run->group, paused);
        }
        if (now() >= next && !cancelled) {
            tell(watch, false);
            next = now() + period / 1000.0;
        }
        if (atomic_load(run->cancel) && !cancelled) {
            cancelled = true;
            task_group_abort(&run->group);
        }
    }
    /* Readers see a cancel by themselves, and may have ended everything before it was seen here. */
    return cancelled || (control && atomic_load(&control->cancel));
}

static int collect(struct run *run, struct pipeline_result *result, struct error *e)
{
    int code = 0;
    for (int i = 0; i < run->plan->node_count && code == 0; i++) {
        struct stage *stage = run->nodes[i].stage;
        if (reached(run, i, PLAN_MEASURE))
            code = measure_collect(stage, result, e);
        if (!reached(run, i, PLAN_OUTPUT))
            continue;
        code = node_of(run, i)->each_picture ? pictures_collect(stage, result, e)
                                             : mux_collect(stage, result, e);
    }
    return code;
}

static int run_group(struct run *run, const struct stretch *stretch, struct pipeline_result *result,
                     struct error *e)
{
    struct watch watch;
    watch_init(&watch, run, stretch);
    int code = task_group_start(&run->group, e);
    bool cancelled = watch_run(&watch);
    task_group_join(&run->group);
    if (code < 0)
        return code;
    if (run->group.failed) {
        *e = run->group.failed->error;
        return e->code;
    }
    if (cancelled)
        return error_set(e, ERROR_CANCELLED, "cancelled");
    tell(&watch, true);
    return collect(run, result, e);
}

static int run_pass(struct plan *plan, const struct pipeline_options *options, enum run_pass pass,
                    struct passes *passes, const struct stretch *stretch,
                    struct pipeline_result *result, struct error *e)
{
    struct run run = {.pass = pass, .passes = passes};
    int code = run_init(&run, plan, options, e);
    if (plan->limits.max_alloc > 0)
        av_max_alloc((size_t)plan->limits.max_alloc);
    if (code == 0) {
        reach_outputs(&run);
        code = run_make_stages(&run, e);
    }
    if (code == 0 && run.stage_count == 0)
        code = error_set(e, ERROR_INVALID_INPUT, "there is nothing to make");
    if (code == 0)
        code = run_group(&run, stretch, result, e);
    run_finish(&run);
    return code;
}

static int run_both(struct plan *plan, const struct pipeline_options *options,
                    struct passes *passes, struct stretch *stretch, struct pipeline_result *result,
                    struct error *e)
{
    double first = plan_first_pass_cost(plan, options->outputs, options->output_count);
    double all = plan_cost(plan, options->outputs, options->output_count);
    stretch->share = 100 * fmin(fmax(first / all, 0), 1);
    int code = run_pass(plan, options, RUN_FIRST, passes, stretch, result, e);
    stretch->from = stretch->share;
    stretch->share = 100 - stretch->from;
    return code == 0 ? run_pass(plan, options, RUN_SECOND, passes, stretch, result, e) : code;
}

int pipeline_run(struct plan *plan, const struct pipeline_options *options,
                 struct pipeline_result *result, struct error *e)
{
    struct error local;
    struct passes *passes = NULL;
    struct stretch stretch = {.began = now(), .share = 100};
    e = e ? e : &local;
    *result = (struct pipeline_result){0};
    *e = (struct error){0};
    int code = passes_create(&passes, plan, options->outputs, options->output_count, e);
    if (code == 0) {
        code = passes ? run_both(plan, options, passes, &stretch, result, e)
                      : run_pass(plan, options, RUN_ONLY, NULL, &stretch, result, e);
    }
    passes_destroy(&passes);
    if (code < 0)
        pipeline_result_finish(result);
    return code;
}

void pipeline_result_finish(struct pipeline_result *result)
{
    for (int i = 0; i < result->file_count; i++)
        free(result->files[i].tracks);
    free(result->files);
    for (int i = 0; i < result->measurement_count; i++)
        measurement_destroy(&result->measurements[i]);
    free(result->measurements);
    *result = (struct pipeline_result){0};
}
