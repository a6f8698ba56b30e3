/*
 * Running a plan: the stages that its outputs need, connected, started, watched and taken down.
 *
 * Everything is made on the calling thread, sources first, so that a stage finds the ports that
 * it reads from. The calling thread then only wakes for progress, pause and cancel; the end of
 * the last task wakes it at once.
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

/* ---- from plan to stages ---- */

static const struct plan_node *node_of(const struct run *run, int node)
{
    return run->plan->nodes[node];
}

static bool reached(const struct run *run, int node, enum plan_kind kind)
{
    return run->reached[node] && node_of(run, node)->kind == kind;
}

static bool is_subtitle(const struct run *run, int node)
{
    return node_of(run, node)->encoder->type == AVMEDIA_TYPE_SUBTITLE;
}

/* What is needed of each pad of an input node: bit 0 packets, bit 1 frames. */
enum { NEEDS_PACKETS = 1, NEEDS_FRAMES = 2 };

static int pad_needs(const struct run *run, int node, int pad)
{
    int needs = 0;
    for (int i = 0; i < run->plan->node_count; i++) {
        const struct plan_node *user = node_of(run, i);
        if (!run->reached[i] || user->kind == PLAN_OUTPUT || user->kind == PLAN_PICK)
            continue;
        for (int k = 0; k < user->input_count; k++) {
            if (user->inputs[k].node != node || user->inputs[k].pad != pad)
                continue;
            bool packets =
                user->kind == PLAN_COPY || (user->kind == PLAN_ENCODE && is_subtitle(run, i));
            needs |= packets ? NEEDS_PACKETS : NEEDS_FRAMES;
        }
    }
    return needs;
}

static int make_input(struct run *run, int node, struct error *e)
{
    const struct plan_node *input = node_of(run, node);
    struct run_node *entry = &run->nodes[node];
    int needs = 0;
    for (int i = 0; i < input->pad_count; i++)
        needs |= pad_needs(run, node, i);
    if (!needs) /* only picked from */
        return 0;
    entry->packets = calloc((size_t)input->pad_count, sizeof(struct port *));
    entry->frames = calloc((size_t)input->pad_count, sizeof(struct port *));
    if (!entry->packets || !entry->frames)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a run");
    int code = demux_create(run, node, &entry->stage, e);
    for (int i = 0; i < input->pad_count && code == 0; i++)
        entry->packets[i] = &entry->stage->task.ports[i];
    for (int i = 0; i < input->pad_count && code == 0; i++) {
        struct stage *decode = NULL;
        if (!(pad_needs(run, node, i) & NEEDS_FRAMES))
            continue;
        code = decode_create(run, node, i, &decode, e);
        if (code == 0)
            entry->frames[i] = &decode->task.ports[0];
    }
    return code;
}

/* One stage for all pick nodes of a file; its ports are in the nodes' order. */
static int make_picks(struct run *run, struct plan_file *file, struct error *e)
{
    struct stage *stage = NULL;
    int port = 0;
    for (int i = 0; i < run->plan->node_count; i++) {
        if (!reached(run, i, PLAN_PICK) || node_of(run, i)->file != file)
            continue;
        int code = stage ? 0 : pick_create(run, file, &stage, e);
        if (code < 0)
            return code;
        run->nodes[i].stage = stage;
        run->nodes[i].frames = calloc(1, sizeof(struct port *));
        if (!run->nodes[i].frames)
            return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a run");
        run->nodes[i].frames[0] = &stage->task.ports[port++];
    }
    return 0;
}

/* Encoders are made before the filters, which ask them what they take. */
static int make_encode(struct run *run, int node, struct error *e)
{
    struct run_node *entry = &run->nodes[node];
    int code = is_subtitle(run, node) ? subtitle_create(run, node, &entry->stage, e)
                                      : encode_create(run, node, &entry->stage, e);
    if (code < 0)
        return code;
    entry->packets = calloc(1, sizeof(struct port *));
    if (!entry->packets)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a run");
    entry->packets[0] = &entry->stage->task.ports[0];
    return 0;
}

static int make_measure(struct run *run, int node, struct error *e)
{
    return measure_create(run, node, &run->nodes[node].stage, e);
}

static int make_palette(struct run *run, int node, struct error *e)
{
    struct run_node *entry = &run->nodes[node];
    int code = palettize_create(run, node, &entry->stage, e);
    if (code < 0)
        return code;
    entry->frames = calloc(1, sizeof(struct port *));
    if (!entry->frames)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a run");
    entry->frames[0] = &entry->stage->task.ports[0];
    return 0;
}

static struct port *find_feed(const struct run *run, int node)
{
    struct plan_edge edge = node_of(run, node)->inputs[0];
    return run->nodes[node].feed ? run->nodes[node].feed : run->nodes[edge.node].frames[edge.pad];
}

static int feed_measure(struct run *run, int node, struct error *e)
{
    return measure_connect(run->nodes[node].stage, find_feed(run, node), e);
}

static int feed_palette(struct run *run, int node, struct error *e)
{
    struct run_node *entry = &run->nodes[node];
    entry->feed = find_feed(run, node);
    return task_connect(entry->feed, &entry->stage->task, 0, e);
}

static int feed_encode(struct run *run, int node, struct error *e)
{
    struct run_node *entry = &run->nodes[node];
    if (is_subtitle(run, node))
        return 0;
    entry->feed = find_feed(run, node);
    int code = task_connect(entry->feed, &entry->stage->task, 0, e);
    if (code == 0 && run->pass == RUN_FIRST)
        code = encode_schedule(entry->stage, entry->feed, e);
    return code;
}

/* ---- filters that hang together ---- */

static void spread_component(struct run *run, int from, int component)
{
    bool changed = true;
    run->nodes[from].component = component;
    while (changed) {
        changed = false;
        for (int i = 0; i < run->plan->node_count; i++) {
            if (!reached(run, i, PLAN_FILTER))
                continue;
            const struct plan_node *node = node_of(run, i);
            for (int k = 0; k < node->input_count; k++) {
                int other = node->inputs[k].node;
                if (!reached(run, other, PLAN_FILTER))
                    continue;
                struct run_node *a = &run->nodes[i], *b = &run->nodes[other];
                if ((a->component == component) != (b->component == component)) {
                    a->component = b->component = component;
                    changed = true;
                }
            }
        }
    }
}

static int make_filter(struct run *run, int component, struct error *e)
{
    int *consumers = calloc((size_t)run->plan->node_count, sizeof *consumers);
    if (!consumers)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a run");
    int count = 0;
    for (int i = 0; i < run->plan->node_count; i++) {
        if ((reached(run, i, PLAN_ENCODE) || reached(run, i, PLAN_MEASURE) ||
             reached(run, i, PLAN_PALETTE)) &&
            run->nodes[node_of(run, i)->inputs[0].node].component == component)
            consumers[count++] = i;
    }
    struct stage *stage = NULL;
    int code = filter_create(run, component, consumers, count, &stage, e);
    free(consumers);
    return code;
}

static int make_filters(struct run *run, struct error *e)
{
    int component = 0, code = 0;
    for (int i = 0; i < run->plan->node_count && code == 0; i++) {
        if (!reached(run, i, PLAN_FILTER) || run->nodes[i].component)
            continue;
        spread_component(run, i, ++component);
        code = make_filter(run, component, e);
    }
    return code;
}

static int make_output(struct run *run, int node, struct error *e)
{
    struct stage **stage = &run->nodes[node].stage;
    return node_of(run, node)->each_picture ? pictures_create(run, node, stage, e)
                                            : mux_create(run, node, stage, e);
}

static int make_each(struct run *run, enum plan_kind kind,
                     int (*make)(struct run *run, int node, struct error *e), struct error *e)
{
    int code = 0;
    for (int i = 0; i < run->plan->node_count && code == 0; i++) {
        if (reached(run, i, kind))
            code = make(run, i, e);
    }
    return code;
}

static int make_stages(struct run *run, struct error *e)
{
    int code = make_each(run, PLAN_INPUT, make_input, e);
    for (int i = 0; i < run->plan->file_count && code == 0; i++)
        code = make_picks(run, run->plan->files[i], e);
    if (code == 0)
        code = make_each(run, PLAN_ENCODE, make_encode, e);
    if (code == 0)
        code = make_each(run, PLAN_MEASURE, make_measure, e);
    if (code == 0)
        code = make_each(run, PLAN_PALETTE, make_palette, e);
    if (code == 0)
        code = make_filters(run, e);
    if (code == 0)
        code = make_each(run, PLAN_PALETTE, feed_palette, e);
    if (code == 0)
        code = make_each(run, PLAN_ENCODE, feed_encode, e);
    if (code == 0)
        code = make_each(run, PLAN_MEASURE, feed_measure, e);
    if (code == 0)
        code = make_each(run, PLAN_OUTPUT, make_output, e);
    return code;
}

/* ---- a run's memory ---- */

static int run_init(struct run *run, struct plan *plan, const struct pipeline_options *options,
                    struct error *e)
{
    run->plan = plan;
    run->options = options;
    int code = task_group_init(&run->group, e);
    if (code < 0)
        return code;
    pthread_mutex_init(&run->path_lock, NULL);
    run->reached = calloc((size_t)plan->node_count + 1, sizeof *run->reached);
    run->asked = calloc((size_t)plan->node_count + 1, sizeof *run->asked);
    run->nodes = calloc((size_t)plan->node_count + 1, sizeof *run->nodes);
    if (!run->reached || !run->asked || !run->nodes)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a run");
    int count = options->output_count;
    const int *makes =
        run->pass == RUN_FIRST ? passes_nodes(run->passes, &count) : options->outputs;
    plan_reach(plan, makes, count, run->reached);
    plan_reach(plan, options->outputs, options->output_count, run->asked);
    if (plan->limits.max_alloc > 0)
        av_max_alloc((size_t)plan->limits.max_alloc);
    return 0;
}

static void run_finish(struct run *run)
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
        if (node->kind != PLAN_INPUT || !run->nodes[i].stage)
            continue;
        const struct source_progress *source = demux_progress(run->nodes[i].stage);
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
        if (!reached(run, i, PLAN_INPUT) || !run->nodes[i].stage)
            continue;
        const struct source_progress *source = demux_progress(run->nodes[i].stage);
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
        atomic_store(&watch->run->cancel, 1);
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
            atomic_store(&run->cancel, 1);
        if (control && (atomic_load(&control->pause) != 0) != paused) {
            paused = !paused;
            task_group_pause(&run->group, paused);
        }
        if (now() >= next && !cancelled) {
            tell(watch, false);
            next = now() + period / 1000.0;
        }
        if (atomic_load(&run->cancel) && !cancelled) {
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
    if (code == 0)
        code = make_stages(&run, e);
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
    if (code == 0 && passes)
        code = run_both(plan, options, passes, &stretch, result, e);
    else if (code == 0)
        code = run_pass(plan, options, RUN_ONLY, NULL, &stretch, result, e);
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
