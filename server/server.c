/*
 * Starting, draining and ending.
 *
 * The end comes in steps, on the loop: no new jobs; running ones finish, up to a limit; then their
 * workers are killed, connections and handles closed, and the loop runs until nothing is left.
 */
#include "server/server.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lua/paths.h"
#include "server/account.h"
#include "server/blob.h"
#include "server/buffer.h"
#include "server/fetch.h"
#include "server/http_result.h"
#include "server/job.h"
#include "server/journal.h"
#include "server/listen.h"
#include "server/log.h"
#include "server/loop_watch.h"
#include "server/metrics.h"
#include "server/notify.h"
#include "server/operations.h"
#include "server/origin.h"
#include "server/recovery.h"
#include "server/request.h"
#include "server/run.h"
#include "server/scheduler.h"
#include "server/session.h"
#include "server/worker.h"

#define REAP_EVERY_MS  2000
#define CLOSING_MS     2000 /* for close frames and workers to go */
#define MMAP_THRESHOLD (64 * 1024)

/* The server and its own handles. */
struct running {
    struct server server;
    uv_signal_t terminate, interrupt;
    uv_timer_t reap, drain;
    struct loop_watch watch;
    struct notifier notifier;
    bool closing; /* the drain is over, everything closes */
    int lock;     /* on the folder of jobs; negative: none yet */
    int open_handles;
};

/* ---- folders ---- */

struct folder_task {
    uv_work_t work;
    struct server *server;
    char job[IDENTIFIER_SIZE];
    int inputs; /* only these; negative: all of the folder */
};

static void folder_work(uv_work_t *work)
{
    struct folder_task *task = work->data;
    if (task->inputs < 0)
        (void)blob_remove_job(task->job);
    for (int i = 0; i < task->inputs; i++) {
        char id[BLOB_ID_MAX];
        blob_id(id, task->job, BLOB_IN, i);
        (void)blob_remove(id);
    }
}

static void folder_done(uv_work_t *work, int status)
{
    struct folder_task *task = work->data;
    (void)status;
    task->server->disk_tasks--;
    free(task);
}

static void folder_task_start(struct server *server, const char *job, int inputs)
{
    struct folder_task *task = calloc(1, sizeof(*task));
    if (!task)
        return; /* the next start sweeps it */
    task->work.data = task;
    task->server = server;
    task->inputs = inputs;
    memcpy(task->job, job, sizeof(task->job));
    server->disk_tasks++;
    (void)uv_queue_work(server->loop, &task->work, folder_work, folder_done);
}

void server_remove_folder(struct server *server, const char *job)
{
    http_results_end(server, job);
    folder_task_start(server, job, -1);
}

void server_remove_inputs(struct server *server, const char *job, int count)
{
    folder_task_start(server, job, count);
}

static bool environment_folder(char *path, size_t size, const char *name, const char *suffix)
{
    const char *value = getenv(name);
    return value && *value == '/' &&
           snprintf(path, size, "%.*s%s", (int)strcspn(value, ":"), value, suffix) < (int)size;
}

/* Where jobs and results lie, if nobody says. */
static void state_folder(const struct config *config, char *path, size_t size)
{
    if (*config->dir) {
        (void)snprintf(path, size, "%s", config->dir);
    } else if (environment_folder(path, size, "STATE_DIRECTORY", "") ||
               environment_folder(path, size, "XDG_STATE_HOME", "/luma")) {
        return;
    } else if (geteuid() == 0 || !environment_folder(path, size, "HOME", "/.local/state/luma")) {
        (void)snprintf(path, size, "/var/lib/luma");
    }
}

/* One server a folder: a second one would take the first one's jobs for its own. */
static int lock_folder(const char *state)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/lock", state);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
        close(fd);
        return -EWOULDBLOCK;
    }
    return fd < 0 ? -errno : fd;
}

static int open_blobs(const char *state, char *jobs, size_t size, int *lock, struct link_key *key,
                      struct config_error *error)
{
    (void)snprintf(jobs, size, "%s/jobs", state);
    int status = blob_init(jobs);
    if (status < 0) {
        (void)snprintf(error->message, sizeof(error->message),
                       "LUMA_DIR: the folder of jobs can't be made: %s", strerror(-status));
        return -1;
    }
    *lock = lock_folder(state);
    if (*lock < 0) {
        (void)snprintf(error->message, sizeof(error->message), "LUMA_DIR: %s",
                       *lock == -EWOULDBLOCK ? "the folder is in use by another lumad"
                                             : strerror(-*lock));
        return -1;
    }
    status = link_key_load(key, state);
    if (status < 0) {
        (void)snprintf(error->message, sizeof(error->message),
                       "LUMA_DIR: the key of result links can't be read or made: %s",
                       strerror(-status));
        return -1;
    }
    return 0;
}

/* ---- the end ---- */

static void on_closed(uv_handle_t *handle)
{
    struct running *running = handle->data;
    running->open_handles--;
}

static void close_own(struct running *running)
{
    uv_handle_t *handles[] = {(uv_handle_t *)&running->terminate,
                              (uv_handle_t *)&running->interrupt, (uv_handle_t *)&running->reap,
                              (uv_handle_t *)&running->drain,
                              (uv_handle_t *)&running->notifier.watchdog};
    for (size_t i = 0; i < sizeof(handles) / sizeof(handles[0]); i++) {
        if (!uv_is_closing(handles[i]))
            uv_close(handles[i], on_closed);
    }
}

/* Whether the job runs, or has a last word that its client is still to get. */
static bool is_busy(const struct job *job)
{
    return job->state == JOB_RUNNING || (job_ended(job) && job->session && !job->said);
}

static bool is_awaited(const struct session *session)
{
    const struct job *job;
    LIST_FOREACH(job, &session->jobs, attached)
    {
        if (is_busy(job))
            return true;
    }
    return false;
}

/* Whether a drain has something to wait for. What waits for its turn or its bytes stays in the
 * journal, for the next start. */
static bool is_at_work(const struct server *server)
{
    if (!LIST_EMPTY(&server->runs) || !LIST_EMPTY(&server->unsettled))
        return true;
    for (size_t i = 0; i < server->jobs.bucket_count; i++) {
        const struct table_entry *entry = server->jobs.buckets[i];
        for (; entry; entry = entry->next) {
            if (is_busy(entry->value))
                return true;
        }
    }
    return false;
}

static struct running *running_of(struct server *server)
{
    return (struct running *)((char *)server - offsetof(struct running, server));
}

/* Closes everything at once; the loop ends when all of it is gone. */
static void on_closing_over(uv_timer_t *timer)
{
    struct running *running = timer->data;
    uv_stop(running->server.loop);
}

static void close_all(struct running *running)
{
    if (running->closing)
        return;
    struct server *server = &running->server;
    running->closing = true;
    struct session *session;
    LIST_FOREACH(session, &server->sessions, link)
    {
        session_close(session, CLOSE_GOING_AWAY, "shutting down");
    }
    (void)uv_timer_start(&running->drain, on_closing_over, CLOSING_MS, 0);
    server_check_drain(server);
}

void server_check_drain(struct server *server)
{
    struct running *running = running_of(server);
    if (!server->draining)
        return;
    struct session *session;
    LIST_FOREACH(session, &server->sessions, link)
    {
        if (!is_awaited(session))
            session_close(session, CLOSE_GOING_AWAY, "shutting down");
    }
    if (running->closing) {
        if (LIST_EMPTY(&server->sessions))
            uv_stop(server->loop);
    } else if (!is_at_work(server)) {
        close_all(running);
    }
}

static void on_drain_over(uv_timer_t *timer)
{
    close_all(timer->data);
}

static void start_drain(struct running *running)
{
    struct server *server = &running->server;
    server->draining = true;
    notify_stopping();
    double grace = (double)server->config.drain_timeout / 1000;
    log_info("draining", LOG_NUMBER("grace_s", grace),
             LOG_INTEGER("jobs", (int64_t)server->jobs.count));
    struct session *session;
    LIST_FOREACH(session, &server->sessions, link)
    {
        session_send(session, json_pack("{s:s, s:f}", "type", "draining", "grace_s", grace));
    }
    (void)uv_timer_start(&running->drain, on_drain_over, (uint64_t)server->config.drain_timeout, 0);
    server_check_drain(server);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct running *running = handle->data;
    (void)number;
    if (!running->server.draining) {
        start_drain(running);
    } else if (!running->closing) {
        close_all(running);
    } else {
        uv_stop(running->server.loop);
    }
}

/* ---- the start ---- */

static void on_expired(const char *id, enum journal_expiry what, void *opaque)
{
    if (what == EXPIRED_RESULTS)
        server_remove_folder(opaque, id);
}

/* What waited for the journal goes on. */
static void on_safe(void *opaque)
{
    struct server *server = opaque;
    struct session *session;
    LIST_FOREACH(session, &server->sessions, link)
    {
        session_release(session);
    }
    job_settle_all(server);
}

static void on_reap(uv_timer_t *timer)
{
    struct running *running = timer->data;
    const struct config *config = &running->server.config;
    const struct journal_reap reap = {
        .now = protocol_now(),
        .result_ttl = (double)config->result_ttl / 1000,
        .record_ttl = (double)config->record_ttl / 1000,
        .expired = on_expired,
        .opaque = &running->server,
    };
    journal_reap(running->server.journal, &reap);
    accounts_sweep(&running->server.accounts, (double)uv_now(running->server.loop) / 1000);
}

static void open_own(struct running *running)
{
    uv_loop_t *loop = running->server.loop;
    (void)uv_signal_init(loop, &running->terminate);
    (void)uv_signal_init(loop, &running->interrupt);
    (void)uv_timer_init(loop, &running->reap);
    (void)uv_timer_init(loop, &running->drain);
    notify_init(&running->notifier, loop);
    running->terminate.data = running->interrupt.data = running->reap.data = running->drain.data =
        running->notifier.watchdog.data = running;
    running->open_handles = 5;
    (void)uv_signal_start(&running->terminate, on_signal, SIGTERM);
    (void)uv_signal_start(&running->interrupt, on_signal, SIGINT);
    (void)uv_timer_start(&running->reap, on_reap, REAP_EVERY_MS, REAP_EVERY_MS);
}

/* As many descriptors as the connections need, as far as the system allows. */
static void raise_descriptors(const struct config *config)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    rlim_t wanted = (rlim_t)config->max_connections + 1024;
    if (limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int check_exposure(const struct server *server, struct config_error *error)
{
    const struct config *config = &server->config;
    if (origin_is_loopback(config->host) || callers_required(&server->callers) ||
        config->allow_anonymous)
        return 0;
    (void)snprintf(error->message, sizeof(error->message),
                   "LUMA_HOST is %.100s, which others can reach: set LUMA_TOKENS, or "
                   "LUMA_ALLOW_ANONYMOUS=1 if everyone may use the server",
                   config->host);
    return -1;
}

static int open_parts(struct running *running, struct config_error *error)
{
    struct server *server = &running->server;
    const struct config *config = &server->config;
    char state[PATH_MAX - 16], jobs[PATH_MAX], path[PATH_MAX];
    state_folder(config, state, sizeof(state));
    (void)snprintf(path, sizeof(path), "%s/journal.db", state);
    const char *scripts = *config->scripts ? config->scripts : paths_scripts();
    const char *assets = *config->assets ? config->assets : paths_assets();
    if (callers_init(&server->callers, config, error) < 0 || check_exposure(server, error) < 0 ||
        open_blobs(state, jobs, sizeof(jobs), &running->lock, &server->link_key, error) < 0 ||
        fetcher_create(&server->fetcher, server->loop, config, error) < 0)
        return -1;
    if (!scripts || access(scripts, R_OK | X_OK) < 0) {
        (void)snprintf(error->message, sizeof(error->message),
                       "LUMA_SCRIPTS: the folder of operation scripts can't be read");
        return -1;
    }
    const struct worker_settings settings = {
        .blobs = jobs,
        .scripts = scripts,
        .assets = assets,
        .memory = config->job_memory,
        .file_size = config->max_output,
        .cpu_seconds = (config->job_cpu + 999) / 1000,
    };
    (void)snprintf(error->message, sizeof(error->message), "out of memory or descriptors");
    if (worker_pool_create(&server->pool, server->loop, &settings) < 0 ||
        journal_open_sqlite(&server->journal, server->loop, path, error->message,
                            sizeof(error->message)) < 0 ||
        recovery_begin(server, error) < 0 ||
        operations_create(&server->operations, server, scripts, request_resume) < 0 ||
        scheduler_create(&server->scheduler, server) < 0)
        return -1;
    return listener_create(&server->listener, server, error);
}

static void drop_jobs(struct server *server)
{
    for (size_t i = 0; i < server->jobs.bucket_count; i++) {
        while (server->jobs.buckets[i])
            job_drop(server->jobs.buckets[i]->value);
    }
}

/* Lets the loop close what is left, and frees the rest. */
static void close_parts(struct running *running)
{
    struct server *server = &running->server;
    server->draining = true;
    sigset_t signals; /* another one now would end the process before it is tidy */
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    listener_destroy(server->listener);
    drop_jobs(server);
    run_drop_all(server);
    fetcher_destroy(&server->fetcher);
    operations_destroy(&server->operations);
    worker_pool_destroy(&server->pool);
    close_own(running);
    loop_watch_close(&running->watch);
    for (int i = 0; i < 1000 && uv_run(server->loop, UV_RUN_ONCE); i++)
        continue;
    listener_finish(&server->listener);
    scheduler_destroy(&server->scheduler);
    journal_close(&server->journal);
    callers_finish(&server->callers);
    metrics_destroy(&server->metrics);
    table_finish(&server->jobs);
    accounts_finish(&server->accounts);
    buffer_finish();
    if (running->lock >= 0)
        close(running->lock);
}

int server_run(const struct config *config)
{
    /* Buffers that are not in use go back to the system, and untouched parts of those that are
     * cost nothing. */
    (void)mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD);
    (void)signal(SIGPIPE, SIG_IGN);
    raise_descriptors(config);

    struct running *running = calloc(1, sizeof(*running));
    uv_loop_t loop;
    struct config_error error = {"out of memory"};
    if (!running || uv_loop_init(&loop) < 0) {
        free(running);
        log_error("start_failed", LOG_TEXT("reason", error.message));
        return 1;
    }
    struct server *server = &running->server;
    running->lock = -1;
    server->loop = &loop;
    server->config = *config;
    server->started = protocol_now();
    LIST_INIT(&server->sessions);
    LIST_INIT(&server->unsettled);
    LIST_INIT(&server->runs);
    LIST_INIT(&server->transfers);
    table_init(&server->jobs);
    server->metrics = metrics_create();
    table_init(&server->accounts);
    open_own(running);
    loop_watch_start(&running->watch, &loop, server->metrics);
    int status = open_parts(running, &error);
    if (status == 0) {
        log_info("listening", LOG_INTEGER("port", listener_port(server->listener)),
                 LOG_INTEGER("health_port", listener_health_port(server->listener)),
                 LOG_TEXT("version", LUMA_VERSION));
        (void)operations_fresh(server->operations);
        journal_watch_safe(server->journal, on_safe, server);
        recovery_end(server);
        notify_ready(&running->notifier);
        (void)uv_run(&loop, UV_RUN_DEFAULT);
        log_info("stopped", LOG_INTEGER("jobs", server->jobs_counted.total));
    } else {
        log_error("start_failed", LOG_TEXT("reason", error.message));
    }
    close_parts(running);
    if (uv_loop_close(&loop) < 0)
        log_warning("handles_left", LOG_TEXT("reason", "some handles did not close"));
    free(running);
    return status < 0 ? 1 : 0;
}
