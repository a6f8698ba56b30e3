/*
 * Running one operation: paths from blob ids, the engine's callbacks to events, outputs hashed.
 *
 * The script sees neither paths nor ids. Outputs are named by their number alone; what the script
 * calls them goes to the client as a label.
 */
#include "server/worker_run.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "lua/operation.h"
#include "server/blob.h"
#include "server/worker_hash.h"
#include "server/worker_report.h"

/* A plan that is likely to cost more processor seconds than this waits for a heavy slot. */
#define HEAVY_COST      2.0
#define HEAVY_NICENESS  5 /* the server and light jobs go first */
#define PROGRESS_PERIOD 0.2
#define LOG_TEXT_MAX    4096
#define INPUTS_MAX      1024
#define MEMORY_RESERVE  8 /* a job that fails with less than this part of it left ran out of it */

struct run {
    const struct worker_settings *settings;
    char job[BLOB_ID_MAX];
    double progress_sent; /* when the last progress event was sent */
    struct operation_request *request;
    struct hash_ahead *hashes;
};

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
    const struct run *run = opaque;
    bool heavy = !(cost <= HEAVY_COST);
    report_event(json_pack("{s:s, s:o, s:b}", "event", "planned", "cost", number_or_null(cost),
                           "heavy", heavy));
    if (!heavy)
        return 0;
    int threads = worker_wait_for_go();
    if (threads > 0)
        run->request->threads = threads;
    (void)setpriority(PRIO_PROCESS, 0, HEAVY_NICENESS); /* threads to come inherit it */
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
    report_event(json_pack(
        "{s:s, s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:I}", "event", "progress", "percent",
        number_or_null(now->percent), "time", number_or_null(now->time), "duration",
        number_or_null(now->duration), "frames", (json_int_t)now->frames, "fps",
        number_or_null((double)now->frames / elapsed), "speed", number_or_null(now->time / elapsed),
        "eta", number_or_null(left), "output_bytes", (json_int_t)now->output_bytes));
    return 0;
}

/* Its bytes can go to the client while the rest is found out about it. */
static void made(void *opaque, int index, const char *name, int64_t size)
{
    struct run *run = opaque;
    char id[BLOB_ID_MAX], path[PATH_MAX];
    blob_id(id, run->job, BLOB_OUT, index);
    if (blob_path(id, path, sizeof(path)) < 0 || hash_ahead_add(run->hashes, index, path) < 0)
        report_memory_gone();
    report_event(json_pack("{s:s, s:s, s:i, s:s, s:I}", "event", "made", "blob", id, "index", index,
                           "name", name, "size", (json_int_t)size));
}

/* A script's text is bytes: what isn't UTF-8 is shown as question marks. */
static void script_log(void *opaque, const char *text)
{
    (void)opaque;
    size_t length = strnlen(text, LOG_TEXT_MAX);
    while (length > 0 && text[length] && ((unsigned char)text[length] & 0xc0) == 0x80)
        length--; /* never in the middle of a character */
    json_t *value = json_stringn(text, length);
    if (!value) {
        char line[LOG_TEXT_MAX];
        for (size_t i = 0; i < length; i++)
            line[i] = (unsigned char)text[i] < 0x80 ? text[i] : '?';
        value = json_stringn(line, length);
    }
    if (!value)
        report_memory_gone();
    report_event(json_pack("{s:s, s:o}", "event", "log", "text", value));
}

static void script_killed(void *opaque, const char *limit)
{
    (void)opaque;
    report_limit_and_end(limit, "the script used up its time and would not stop");
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

/* Bytes of a field of /proc/self/status, 0 if it isn't there. */
static int64_t status_bytes(const char *status, const char *field)
{
    const char *line = strstr(status, field);
    long long kilobytes = 0;
    return line && sscanf(line + strlen(field), ": %lld kB", &kilobytes) == 1 ? kilobytes * 1024
                                                                              : 0;
}

/* True if the process came close to RLIMIT_DATA at its worst: most libraries don't say that memory
 * is what they lacked. The kernel keeps the peak of all that is mapped; what isn't data in it
 * (libraries, above all) hardly changes. */
static bool memory_limit_met(const struct run *run)
{
    int64_t limit = run->settings->memory;
    char status[4096] = "";
    FILE *file = limit > 0 && !LUMA_SANITIZED ? fopen("/proc/self/status", "re") : NULL;
    if (!file)
        return false;
    size_t length = fread(status, 1, sizeof(status) - 1, file);
    fclose(file);
    status[length] = '\0';
    int64_t other = status_bytes(status, "VmSize") - status_bytes(status, "VmData");
    return status_bytes(status, "VmPeak") - other > limit - limit / MEMORY_RESERVE;
}

static void outcome_failed(const struct run *run, const struct operation_outcome *outcome)
{
    if (outcome->error.code != ERROR_LIMIT_EXCEEDED && outcome->error.code != ERROR_DISK_FULL &&
        file_limit_met(run)) {
        report_limit("output_bytes", "an output is larger than this server allows");
        return;
    }
    if (outcome->error.code == ERROR_ENCODE_FAILED && memory_limit_met(run)) {
        report_failure(error_name(ERROR_OUT_OF_MEMORY),
                       "the job needs more memory than this server allows");
        return;
    }
    json_t *event = operation_error_json(outcome);
    if (!event || json_object_set_new(event, "event", json_string("failed")) < 0)
        report_memory_gone();
    if (report_event(event) < 0) {
        report_failure(error_name(outcome->error.code),
                       "the job failed; the details are too large");
    }
}

/* What was written doesn't get to the disk. */
static void outputs_unsafe(int status)
{
    if (status == -ENOSPC || status == -EDQUOT) {
        report_failure(error_name(ERROR_DISK_FULL), "the disk is full");
    } else {
        report_failure("internal", "an output could not be read again, or made safe");
    }
}

/* Tells of every output, with its hash. 0, or -1 after the failure has been told. */
static int outputs_tell(const struct run *run, const json_t *outputs)
{
    size_t position;
    json_t *output;
    json_array_foreach(outputs, position, output)
    {
        int index = (int)json_integer_value(json_object_get(output, "index"));
        char id[BLOB_ID_MAX], hash[HASH_TEXT_SIZE];
        int64_t size = 0;
        blob_id(id, run->job, BLOB_OUT, index);
        int status = hash_ahead_take(run->hashes, index, hash, &size);
        if (status == -ENOMEM)
            report_memory_gone();
        if (status < 0) {
            outputs_unsafe(status);
            return -1;
        }
        json_t *event = json_copy(output);
        json_t *parts = json_pack("{s:s, s:s, s:s, s:I}", "event", "output", "blob", id, "sha256",
                                  hash, "size", (json_int_t)size);
        if (!event || !parts || json_object_update(event, parts) < 0)
            report_memory_gone();
        json_decref(parts);
        if (report_event(event) < 0) {
            report_limit("message", "the description of an output is too large");
            return -1;
        }
    }
    return 0;
}

static void outcome_completed(const struct run *run, const struct operation_outcome *outcome)
{
    if (outputs_tell(run, outcome->outputs) < 0)
        return;
    int status = json_array_size(outcome->outputs) > 0 ? blob_sync_folders(run->job) : 0;
    if (status < 0) {
        outputs_unsafe(status);
        return;
    }
    struct rusage usage = {0};
    getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    json_t *event = json_pack("{s:s, s:O?, s:O?, s:{s:f, s:I}}", "event", "completed", "result",
                              outcome->result, "notes", outcome->notes, "stats", "cpu_s", cpu,
                              "peak_memory_bytes", (json_int_t)usage.ru_maxrss * 1024);
    if (report_event(event) < 0)
        report_limit("result", "what the script returned is too large");
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
            report_memory_gone();
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
        .synced = true,
        .output_path = output_path,
        .planned = planned,
        .progress = progress,
        .made = made,
        .log = script_log,
        .killed = script_killed,
        .opaque = run,
    };
    run->request = &request;
    struct operation_outcome outcome;
    run->hashes = hash_ahead_create();
    if (!run->hashes)
        report_memory_gone();
    if (operation_run(&request, &outcome) == 0) {
        outcome_completed(run, &outcome);
    } else {
        outcome_failed(run, &outcome);
    }
    if (LUMA_SANITIZED) { /* else the process's end does it */
        hash_ahead_destroy(&run->hashes);
        operation_outcome_finish(&outcome);
    }
}

void worker_run(const struct worker_settings *settings, const json_t *task)
{
    const char *job = json_string_value(json_object_get(task, "job_id"));
    const json_t *list = json_object_get(task, "inputs");
    size_t count = json_array_size(list);
    struct run run = {.settings = settings};
    char id[BLOB_ID_MAX];
    blob_id(id, job ? job : "", BLOB_OUT, 0);
    if (!blob_id_valid(id) || count > INPUTS_MAX ||
        !json_is_string(json_object_get(task, "operation"))) {
        report_failure("internal", "the task isn't as a task must be");
        return;
    }
    snprintf(run.job, sizeof(run.job), "%s", job);
    if (blob_hold_job(job) < 0) {
        report_failure("internal", "the job's folder can't be used");
        return;
    }
    struct operation_input *inputs = calloc(count + 1, sizeof(*inputs));
    if (!inputs)
        report_memory_gone();
    if (inputs_take(list, inputs) == 0) {
        run_with(&run, task, inputs, count);
    } else {
        report_failure("internal", "the task names an input that can't be");
    }
    inputs_free(inputs, count);
}
