/*
 * Inside a worker: one task, told as events, then _exit.
 *
 * Two threads of ours: the main thread does the task; the watcher blocks on the control socket. It
 * passes on the one message that may come after the task, "go", and ends the process at once when
 * the socket ends, for then the server is gone or has given the job up. Nothing is closed tidily
 * in the end: the process's end does that, and some encoders hang when they are closed early.
 */
#include "server/worker_main.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lua/operation.h"
#include "server/message.h"
#include "server/worker_confine.h"
#include "server/worker_report.h"
#include "server/worker_run.h"

#if LUMA_SANITIZED && defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#endif

#define WATCHER_STACK_SIZE ((size_t)256 * 1024)

/* ---- the control socket ---- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool go; /* under lock, like the next */
    int threads;
} permission = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0};

static void *control_watch(void *opaque)
{
    (void)opaque;
    json_t *message;
    while (message_receive(WORKER_CONTROL_FD, &message) == 0) {
        bool go = json_is_true(json_object_get(message, "go"));
        int threads = (int)json_integer_value(json_object_get(message, "threads"));
        json_decref(message);
        if (!go)
            break;
        pthread_mutex_lock(&permission.lock);
        permission.go = true;
        permission.threads = threads;
        pthread_cond_signal(&permission.changed);
        pthread_mutex_unlock(&permission.lock);
    }
    _exit(EXIT_SUCCESS);
}

int worker_wait_for_go(void)
{
    pthread_mutex_lock(&permission.lock);
    while (!permission.go)
        pthread_cond_wait(&permission.changed, &permission.lock);
    int threads = permission.threads;
    pthread_mutex_unlock(&permission.lock);
    return threads;
}

static int watcher_start(void)
{
    pthread_attr_t attributes;
    int status = pthread_attr_init(&attributes);
    if (status != 0)
        return -status;
    if (!LUMA_SANITIZED)
        pthread_attr_setstacksize(&attributes, WATCHER_STACK_SIZE);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_t thread;
    status = pthread_create(&thread, &attributes, control_watch, NULL);
    pthread_attr_destroy(&attributes);
    return -status;
}

/* ---- the describe task ---- */

/* What is wrong with a script, and where, as far as that is known. */
static json_t *broken_script(const char *name, const struct operation_outcome *outcome)
{
    if (!outcome->script[0])
        return json_pack("{s:s, s:s}", "name", name, "message", outcome->error.message);
    char message[sizeof(outcome->error.message) + sizeof(outcome->script) + 16];
    snprintf(message, sizeof(message), "%s:%d: %s", outcome->script, outcome->line,
             outcome->error.message);
    return json_pack("{s:s, s:s}", "name", name, "message", message);
}

static void task_describe(const struct worker_settings *settings, const json_t *task)
{
    (void)task;
    json_t *names = operation_list(settings->scripts);
    json_t *list = json_array();
    json_t *broken = json_array();
    if (!names || !list || !broken)
        report_memory_gone();
    size_t position;
    json_t *entry;
    json_array_foreach(names, position, entry)
    {
        const char *name = json_string_value(entry);
        struct operation_outcome outcome = {0};
        json_t *document = operation_describe(settings->scripts, name, &outcome);
        int status = 0;
        if (document) {
            status = json_array_append_new(list, document);
        } else {
            status = json_array_append_new(broken, broken_script(name, &outcome));
        }
        operation_outcome_finish(&outcome);
        if (status < 0)
            report_memory_gone();
    }
    json_decref(names);
    if (report_event(json_pack("{s:s, s:o, s:o}", "event", "operations", "list", list, "broken",
                               broken)) < 0)
        report_failure("internal", "the descriptions of the operations are too large");
}

/* ---- the process ---- */

static const struct {
    const char *name;
    void (*run)(const struct worker_settings *settings, const json_t *task);
} tasks[] = {
    {"run", worker_run},
    {"describe", task_describe},
};

static void task_dispatch(const struct worker_settings *settings, const json_t *task)
{
    const char *name = json_string_value(json_object_get(task, "task"));
    for (size_t i = 0; name && i < sizeof(tasks) / sizeof(tasks[0]); i++) {
        if (strcmp(tasks[i].name, name) == 0) {
            tasks[i].run(settings, task);
            return;
        }
    }
    report_failure("internal", "there is no such task");
}

static int leaks_check(void)
{
#if LUMA_SANITIZED && defined(__SANITIZE_ADDRESS__)
    return __lsan_do_recoverable_leak_check();
#else
    return 0;
#endif
}

noreturn void worker_main(int control, const struct worker_settings *settings)
{
    int status = worker_confine(control, settings);
    if (status < 0) {
        fprintf(stderr, "lumad: a worker could not be confined: %s\n", strerror(-status));
        _exit(EXIT_FAILURE);
    }
    if (!LUMA_SANITIZED && settings->memory > 0)
        report_crashes_for_want_of_memory(settings->memory);
    json_t *task;
    if (message_receive(WORKER_CONTROL_FD, &task) < 0)
        _exit(EXIT_SUCCESS);
    if (watcher_start() < 0)
        report_memory_gone();
    task_dispatch(settings, task);
    json_decref(task);
    _exit(leaks_check() ? EXIT_FAILURE : EXIT_SUCCESS);
}
