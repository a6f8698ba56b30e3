/*
 * Inside a worker: one task, told as events, then _exit.
 *
 * Two threads of ours: the main thread does the task; the watcher blocks on the control socket. It
 * passes on the one message that may come after the task, "go", and ends the process at once when
 * the socket ends, for then the server is gone or has given the job up. Nothing is closed tidily
 * in the end: the process's end does that, and some encoders hang when they are closed early.
 */
#include "server/worker_main.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lua/operation.h"
#include "server/blob.h"
#include "server/hash.h"
#include "server/message.h"
#include "server/worker_confine.h"

#if LUMA_SANITIZED && defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#endif

/* A plan that is likely to cost more processor seconds than this waits for a heavy slot. */
#define HEAVY_COST         2.0
#define PROGRESS_PERIOD    0.2
#define LOG_TEXT_MAX       4096
#define INPUTS_MAX         1024
#define WATCHER_STACK_SIZE ((size_t)256 * 1024)
#define FAILED_FOR_WANT_OF_MEMORY                                                                  \
    "{\"event\":\"failed\",\"code\":\"out_of_memory\",\"message\":\"the worker ran out of "        \
    "memory\"}"

struct run {
    const struct worker_settings *settings;
    char job[BLOB_ID_MAX];
    double began;         /* of the run proper, after the plan */
    double progress_sent; /* when the last progress event was sent */
};

/* ---- the end ---- */

static noreturn void process_end(int status)
{
#ifdef LUMA_COVERAGE
    extern void __gcov_dump(void);
    __gcov_dump();
#endif
    _exit(status);
}

/* ---- the control socket ---- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool go; /* under lock */
} permission = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};

/* Sends are whole messages, from any thread. */
static pthread_mutex_t send_lock = PTHREAD_MUTEX_INITIALIZER;

static void *control_watch(void *opaque)
{
    (void)opaque;
    json_t *message;
    while (message_receive(WORKER_CONTROL_FD, &message) == 0) {
        bool go = json_is_true(json_object_get(message, "go"));
        json_decref(message);
        if (!go)
            break;
        pthread_mutex_lock(&permission.lock);
        permission.go = true;
        pthread_cond_signal(&permission.changed);
        pthread_mutex_unlock(&permission.lock);
    }
    process_end(EXIT_SUCCESS);
}

static void permission_wait(void)
{
    pthread_mutex_lock(&permission.lock);
    while (!permission.go)
        pthread_cond_wait(&permission.changed, &permission.lock);
    pthread_mutex_unlock(&permission.lock);
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

static void bytes_send(const unsigned char *bytes, size_t size)
{
    pthread_mutex_lock(&send_lock);
    while (size > 0) {
        ssize_t count = write(WORKER_CONTROL_FD, bytes, size);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0) /* the server is gone */
            process_end(EXIT_SUCCESS);
        bytes += count;
        size -= (size_t)count;
    }
    pthread_mutex_unlock(&send_lock);
}

/* The verdict that needs no memory. */
static noreturn void memory_gone(void)
{
    static const char text[] = FAILED_FOR_WANT_OF_MEMORY;
    unsigned char bytes[4 + sizeof(text) - 1] = {0, 0, 0, sizeof(text) - 1};
    memcpy(bytes + 4, text, sizeof(text) - 1);
    bytes_send(bytes, sizeof(bytes));
    process_end(EXIT_SUCCESS);
}

/* Consumes the event. 0, or -1 if it is larger than a message may be. NULL is out of memory. */
static int event_send(json_t *event)
{
    if (!event)
        memory_gone();
    size_t size;
    unsigned char *bytes = message_encode(event, &size);
    json_decref(event);
    if (!bytes)
        return -1;
    bytes_send(bytes, size);
    free(bytes);
    return 0;
}

static void failure_send(const char *code, const char *text)
{
    event_send(json_pack("{s:s, s:s, s:s}", "event", "failed", "code", code, "message", text));
}

static void limit_failure_send(const char *limit, const char *text)
{
    event_send(json_pack("{s:s, s:s, s:s, s:{s:s}}", "event", "failed", "code",
                         error_name(ERROR_LIMIT_EXCEEDED), "message", text, "details", "limit",
                         limit));
}

/* ---- what operation_run() asks ---- */

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static json_t *number_or_null(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static int output_path(void *opaque, int index, const char *name, char *path, size_t size)
{
    (void)name;
    const struct run *run = opaque;
    char id[BLOB_ID_MAX];
    blob_id(id, run->job, BLOB_OUT, index);
    return blob_path(id, path, size) < 0 ? ERROR_INTERNAL : 0;
}

static int planned(void *opaque, double cost)
{
    struct run *run = opaque;
    bool heavy = !(cost <= HEAVY_COST);
    event_send(json_pack("{s:s, s:o, s:b}", "event", "planned", "cost", number_or_null(cost),
                         "heavy", heavy));
    if (heavy)
        permission_wait();
    run->began = seconds_now();
    return 0;
}

static int progress(void *opaque, const struct pipeline_progress *now)
{
    struct run *run = opaque;
    double time = seconds_now();
    if (time - run->progress_sent < PROGRESS_PERIOD)
        return 0;
    run->progress_sent = time;
    double elapsed = now->elapsed > 0 ? now->elapsed : NAN;
    double left = now->percent > 0 ? elapsed * (100 - now->percent) / now->percent : NAN;
    event_send(json_pack(
        "{s:s, s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:I}", "event", "progress", "percent",
        number_or_null(now->percent), "time", number_or_null(now->time), "duration",
        number_or_null(now->duration), "frames", (json_int_t)now->frames, "fps",
        number_or_null((double)now->frames / elapsed), "speed", number_or_null(now->time / elapsed),
        "eta", number_or_null(left), "output_bytes", (json_int_t)now->output_bytes));
    return 0;
}

/* A script's text is bytes: what isn't UTF-8 is shown as question marks. */
static void script_log(void *opaque, const char *text)
{
    (void)opaque;
    char line[LOG_TEXT_MAX + 1];
    size_t length = strnlen(text, LOG_TEXT_MAX);
    while (length > 0 && text[length] && ((unsigned char)text[length] & 0xc0) == 0x80)
        length--; /* never in the middle of a character */
    memcpy(line, text, length);
    json_t *value = json_stringn(line, length);
    if (!value) {
        for (size_t i = 0; i < length; i++)
            line[i] = (unsigned char)line[i] < 0x80 ? line[i] : '?';
        value = json_stringn(line, length);
    }
    if (!value)
        memory_gone();
    event_send(json_pack("{s:s, s:o}", "event", "log", "text", value));
}

/* ---- the run task ---- */

/* True if a file of the job ran into RLIMIT_FSIZE: a write across the limit fills it exactly. */
static bool file_limit_met(const struct run *run)
{
    if (run->settings->file_size <= 0)
        return false;
    for (int i = 0; i < INPUTS_MAX; i++) {
        char id[BLOB_ID_MAX];
        blob_id(id, run->job, BLOB_OUT, i);
        int64_t size = blob_size(id);
        if (size == -ENOENT)
            return false;
        if (size >= run->settings->file_size)
            return true;
    }
    return false;
}

static void outcome_failed(const struct run *run, const struct operation_outcome *outcome)
{
    if (outcome->error.code != ERROR_LIMIT_EXCEEDED && outcome->error.code != ERROR_DISK_FULL &&
        file_limit_met(run)) {
        limit_failure_send("output_bytes", "an output is larger than this server allows");
        return;
    }
    json_t *event = operation_error_json(outcome);
    if (!event || json_object_set_new(event, "event", json_string("failed")) < 0)
        memory_gone();
    if (event_send(event) < 0)
        failure_send(error_name(outcome->error.code), "the job failed; the details are too large");
}

/* Tells of every output, with its hash. 0, or -1 after the failure has been told. */
static int outputs_tell(const struct run *run, const json_t *outputs)
{
    size_t position;
    json_t *output;
    json_array_foreach(outputs, position, output)
    {
        int index = (int)json_integer_value(json_object_get(output, "index"));
        char id[BLOB_ID_MAX], path[PATH_MAX], hash[HASH_TEXT_SIZE];
        int64_t size = 0;
        blob_id(id, run->job, BLOB_OUT, index);
        int status = blob_path(id, path, sizeof(path));
        if (status == 0)
            status = hash_file(path, hash, &size);
        if (status == -ENOMEM)
            memory_gone();
        if (status < 0) {
            failure_send("internal", "an output could not be read again");
            return -1;
        }
        json_t *event = json_copy(output);
        json_t *parts = json_pack("{s:s, s:s, s:s, s:I}", "event", "output", "blob", id, "sha256",
                                  hash, "size", (json_int_t)size);
        if (!event || !parts || json_object_update(event, parts) < 0)
            memory_gone();
        json_decref(parts);
        if (event_send(event) < 0) {
            limit_failure_send("message", "the description of an output is too large");
            return -1;
        }
    }
    return 0;
}

static void outcome_completed(const struct run *run, const struct operation_outcome *outcome)
{
    if (outputs_tell(run, outcome->outputs) < 0)
        return;
    struct rusage usage = {0};
    getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    json_t *event = json_pack("{s:s, s:O?, s:O?, s:{s:f, s:I}}", "event", "completed", "result",
                              outcome->result, "notes", outcome->notes, "stats", "cpu_s", cpu,
                              "peak_memory_bytes", (json_int_t)usage.ru_maxrss * 1024);
    if (event_send(event) < 0)
        limit_failure_send("result", "what the script returned is too large");
}

/* The request's inputs, from blob ids; the array is the caller's. -1 if one isn't as it must be. */
static int inputs_take(const json_t *list, struct operation_input *inputs)
{
    size_t position;
    json_t *input;
    json_array_foreach(list, position, input)
    {
        const char *id = json_string_value(json_object_get(input, "blob"));
        char path[PATH_MAX];
        if (!id || blob_path(id, path, sizeof(path)) < 0)
            return -1;
        inputs[position].path = strdup(path);
        if (!inputs[position].path)
            memory_gone();
        inputs[position].label = json_string_value(json_object_get(input, "name"));
    }
    return 0;
}

static void inputs_free(struct operation_input *inputs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free((char *)inputs[i].path);
    free(inputs);
}

static void run_with(struct run *run, const json_t *task, struct operation_input *inputs,
                     size_t count)
{
    const json_t *limits = json_object_get(task, "limits");
    struct policy_limits policy;
    policy_limits_init(&policy);
    json_int_t output_bytes = json_integer_value(json_object_get(limits, "output_bytes"));
    if (output_bytes > 0)
        policy.max_output_bytes = output_bytes;
    struct operation_request request = {
        .scripts = run->settings->scripts,
        .assets = run->settings->assets,
        .name = json_string_value(json_object_get(task, "operation")),
        .inputs = inputs,
        .input_count = (int)count,
        .options = json_object_get(task, "options"),
        .threads = (int)json_integer_value(json_object_get(task, "threads")),
        .limits = &policy,
        .lua_memory = (size_t)json_integer_value(json_object_get(limits, "lua_memory")),
        .lua_time = json_number_value(json_object_get(limits, "lua_time")),
        .output_path = output_path,
        .planned = planned,
        .progress = progress,
        .log = script_log,
        .opaque = run,
    };
    struct operation_outcome outcome;
    if (operation_run(&request, &outcome) == 0)
        outcome_completed(run, &outcome);
    else
        outcome_failed(run, &outcome);
    if (LUMA_SANITIZED) /* else the process's end does it */
        operation_outcome_finish(&outcome);
}

static void task_run(const struct worker_settings *settings, const json_t *task)
{
    const char *job = json_string_value(json_object_get(task, "job_id"));
    const json_t *list = json_object_get(task, "inputs");
    size_t count = json_array_size(list);
    struct run run = {.settings = settings};
    char id[BLOB_ID_MAX];
    blob_id(id, job ? job : "", BLOB_OUT, 0);
    if (!blob_id_valid(id) || count > INPUTS_MAX ||
        !json_is_string(json_object_get(task, "operation"))) {
        failure_send("internal", "the task isn't as a task must be");
        return;
    }
    snprintf(run.job, sizeof(run.job), "%s", job);
    struct operation_input *inputs = calloc(count + 1, sizeof(*inputs));
    if (!inputs)
        memory_gone();
    if (inputs_take(list, inputs) == 0)
        run_with(&run, task, inputs, count);
    else
        failure_send("internal", "the task names an input that can't be");
    if (LUMA_SANITIZED)
        inputs_free(inputs, count);
}

/* ---- the describe task ---- */

static void task_describe(const struct worker_settings *settings, const json_t *task)
{
    (void)task;
    json_t *names = operation_list(settings->scripts);
    json_t *list = json_array();
    json_t *broken = json_array();
    if (!names || !list || !broken)
        memory_gone();
    size_t position;
    json_t *entry;
    json_array_foreach(names, position, entry)
    {
        const char *name = json_string_value(entry);
        struct operation_outcome outcome;
        json_t *document = operation_describe(settings->scripts, name, &outcome);
        int status = 0;
        if (document)
            status = json_array_append_new(list, document);
        else
            status = json_array_append_new(
                broken, json_pack("{s:s, s:s}", "name", name, "message", outcome.error.message));
        operation_outcome_finish(&outcome);
        if (status < 0)
            memory_gone();
    }
    json_decref(names);
    if (event_send(json_pack("{s:s, s:o, s:o}", "event", "operations", "list", list, "broken",
                             broken)) < 0)
        failure_send("internal", "the descriptions of the operations are too large");
}

/* ---- the process ---- */

static const struct {
    const char *name;
    void (*run)(const struct worker_settings *settings, const json_t *task);
} tasks[] = {
    {"run", task_run},
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
    failure_send("internal", "there is no such task");
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
        process_end(EXIT_FAILURE);
    }
    json_t *task;
    if (message_receive(WORKER_CONTROL_FD, &task) < 0)
        process_end(EXIT_SUCCESS);
    if (watcher_start() < 0)
        memory_gone();
    task_dispatch(settings, task);
    json_decref(task);
    process_end(leaks_check() ? EXIT_FAILURE : EXIT_SUCCESS);
}
