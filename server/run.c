/*
 * A worker and its job. The job lets go of its run when it ends, and the run of its job when the
 * worker has said its last word; the worker's end is always waited for, because until then its
 * files are in use.
 */
#include "server/run.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "server/blob.h"
#include "server/job.h"
#include "server/job_internal.h"
#include "server/log.h"
#include "server/scheduler.h"
#include "server/server.h"
#include "server/worker.h"

#define EXIT_PATIENCE_MS 5000 /* after the last word; leak checkers take a while */

static json_t *inputs_of(const struct job *job)
{
    json_t *list = json_array();
    for (int i = 0; i < job->input_count; i++) {
        char id[BLOB_ID_MAX];
        blob_id(id, job->id, BLOB_IN, i);
        (void)json_array_append_new(
            list, json_pack("{s:s, s:o*}", "blob", id, "name", job_input_name(job, i)));
    }
    return list;
}

static json_t *task_of(const struct job *job, int attempt, int threads)
{
    const struct config *config = &job->server->config;
    return json_pack("{s:s, s:s, s:i, s:s, s:o, s:O, s:i, s:{s:I, s:f, s:I}}", "task", "run",
                     "job_id", job->id, "attempt", attempt, "operation", job->operation, "inputs",
                     inputs_of(job), "options", job->options, "threads", threads, "limits",
                     "lua_memory", (json_int_t)config->lua_memory, "lua_time",
                     (double)config->lua_time / 1000, "output_bytes",
                     (json_int_t)config->max_output);
}

/* The worker has nothing more to say for its job. */
static struct job *let_go(struct run *run)
{
    struct job *job = run->job;
    run->job = NULL;
    if (job && job->run == run)
        job->run = NULL;
    return job;
}

static void on_patience_over(uv_timer_t *timer)
{
    struct run *run = timer->data;
    if (run->worker)
        worker_kill(run->worker);
}

static void last_word(struct run *run)
{
    run->has_spoken = true;
    (void)uv_timer_start(&run->timer, on_patience_over, EXIT_PATIENCE_MS, 0);
}

static void on_planned(struct run *run, const json_t *event)
{
    if (!json_is_true(json_object_get(event, "heavy")))
        return;
    struct job *job = run->job;
    double cost = json_number_value(json_object_get(event, "cost"));
    if (scheduler_planned(run->server->scheduler, run, cost) == SCHEDULER_GO) {
        run_go(run);
        return;
    }
    log_debug("job_deferred", LOG_TEXT("job", job->id), LOG_NUMBER("cost", cost));
    (void)let_go(run);
    worker_kill(run->worker);
    job_deferred(job);
    scheduler_defer(run->server->scheduler, job, run->attempt, cost);
}

static void on_progress(struct run *run, const json_t *event)
{
    job_set_progress(run->job, event);
}

static void on_made(struct run *run, const json_t *event)
{
    job_add_made(run->job, event);
}

static void on_output(struct run *run, const json_t *event)
{
    job_add_output(run->job, event);
}

static void on_log(struct run *run, const json_t *event)
{
    log_debug("script_log", LOG_TEXT("job", run->job->id),
              LOG_TEXT("text", json_string_value(json_object_get(event, "text"))));
}

static void on_completed(struct run *run, const json_t *event)
{
    last_word(run);
    job_complete(let_go(run), event);
}

static void on_failed(struct run *run, const json_t *event)
{
    const char *code = json_string_value(json_object_get(event, "code"));
    const char *message = json_string_value(json_object_get(event, "message"));
    json_t *details = json_object_get(event, "details");
    struct problem problem = {0};
    bool known = code && protocol_code_known(code);
    problem_set(&problem, known ? code : "internal", "%s", message ? message : "the job failed");
    if (json_is_object(details))
        problem.details = json_incref(details);
    last_word(run);
    job_fail(let_go(run), &problem);
}

static const struct {
    const char *name;
    void (*handle)(struct run *run, const json_t *event);
} events[] = {
    {"planned", on_planned}, {"progress", on_progress},   {"log", on_log},       {"made", on_made},
    {"output", on_output},   {"completed", on_completed}, {"failed", on_failed},
};

static void fail_run(struct run *run, const char *code, const char *reason)
{
    struct problem problem = {0};
    problem_set(&problem, code, "%s", reason);
    job_fail(let_go(run), &problem);
}

static void on_message(struct worker *worker, const json_t *message, void *opaque)
{
    struct run *run = opaque;
    (void)worker;
    if (!run->job)
        return;
    const char *name = json_string_value(json_object_get(message, "event"));
    for (size_t i = 0; name && i < sizeof(events) / sizeof(events[0]); i++) {
        if (strcmp(events[i].name, name) == 0) {
            events[i].handle(run, message);
            return;
        }
    }
    worker_kill(run->worker);
    fail_run(run, "internal", "the worker sent something that isn't an event");
}

static void on_broken(struct worker *worker, const char *reason, void *opaque)
{
    struct run *run = opaque;
    (void)worker;
    log_warning("worker_broken", LOG_TEXT("reason", reason));
    if (run->job)
        fail_run(run, "internal", "the worker sent something that isn't an event");
}

/* "SIGSEGV", as people know it. */
static const char *signal_name(int number, char text[32])
{
    const char *abbreviation = sigabbrev_np(number);
    if (abbreviation) {
        (void)snprintf(text, 32, "SIG%s", abbreviation);
    } else {
        (void)snprintf(text, 32, "signal %d", number);
    }
    return text;
}

/* It ended without a last word. */
static void crashed(struct run *run, const struct worker_exit *how)
{
    struct problem problem = {0};
    char name[32];
    if (WIFSIGNALED(how->status) && WTERMSIG(how->status) == SIGXCPU) {
        problem_set(&problem, "limit_exceeded", "the job took more than %.3g s of processor time",
                    (double)run->server->config.job_cpu / 1000);
        problem_detail(&problem, "limit", json_string("cpu_time"));
        job_fail(let_go(run), &problem);
        return;
    }
    if (WIFSIGNALED(how->status)) {
        int number = WTERMSIG(how->status);
        problem_set(&problem, "worker_crashed", "the job's process was ended by %s",
                    signal_name(number, name));
        problem_detail(&problem, "signal", json_string(name));
    } else {
        problem_set(&problem, "worker_crashed", "the job's process ended without a result");
        problem_detail(&problem, "exit_status", json_integer(WEXITSTATUS(how->status)));
    }
    log_warning("worker_crashed", LOG_TEXT("job", run->job->id),
                LOG_TEXT("reason", problem.message));
    job_fail(let_go(run), &problem);
}

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_exited(struct worker *worker, const struct worker_exit *how, void *opaque)
{
    struct run *run = opaque;
    (void)worker;
    run->worker = NULL;
    LIST_REMOVE(run, link);
    if (run->job)
        crashed(run, how);
    scheduler_released(run->server->scheduler, run, how->cpu_seconds);
    job_run_reaped(run->owner, how);
    uv_close((uv_handle_t *)&run->timer, on_timer_closed);
}

int run_start(struct job *job, enum journal_lane lane, int attempt, int threads)
{
    static const struct worker_events handlers = {on_message, on_broken, on_exited};
    struct run *run = calloc(1, sizeof(*run));
    json_t *task = task_of(job, attempt, threads);
    if (!run || !task)
        goto fail;
    run->server = job->server;
    run->job = run->owner = job;
    run->lane = lane;
    run->attempt = attempt;
    run->worker = worker_start(job->server->pool, task, &handlers, run);
    if (!run->worker)
        goto fail;
    json_decref(task);
    (void)uv_timer_init(job->server->loop, &run->timer);
    run->timer.data = run;
    LIST_INSERT_HEAD(&job->server->runs, run, link);
    job_started(job, run, attempt);
    return 0;
fail:
    json_decref(task);
    free(run);
    return -1;
}

void run_go(struct run *run)
{
    json_t *go =
        json_pack("{s:b, s:i}", "go", 1, "threads", scheduler_threads(run->server->scheduler));
    if (go)
        worker_send(run->worker, go);
    json_decref(go);
}

void run_abandon(struct run *run)
{
    run->job = NULL;
    worker_kill(run->worker);
}

void run_drop_all(struct server *server)
{
    struct run *run;
    while ((run = LIST_FIRST(&server->runs))) {
        LIST_REMOVE(run, link);
        uv_close((uv_handle_t *)&run->timer, on_timer_closed);
    }
}
