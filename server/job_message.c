/*
 * What is told of a job: its record, its acks, its progress, its last word. What a worker said is
 * believed only where its form is right.
 */
#include "server/job_internal.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

#include "server/journal.h"
#include "server/scheduler.h"
#include "server/session.h"
#include "server/upload.h"

static const char *const state_names[] = {
    [JOB_UPLOADING] = "uploading", [JOB_QUEUED] = "queued", [JOB_RUNNING] = "running",
    [JOB_COMPLETED] = "completed", [JOB_FAILED] = "failed", [JOB_CANCELLED] = "cancelled",
};

static const char *const delivery_names[] = {
    [DELIVER_PUSH] = "push",
    [DELIVER_STREAM] = "stream",
    [DELIVER_PULL] = "pull",
};

const char *job_state_name(enum job_state state)
{
    return state_names[state];
}

json_t *job_record(const struct job *job, const char *job_key)
{
    json_t *record = json_pack(
        "{s:s, s:s, s:s, s:O, s:O, s:s, s:b, s:O?, s:s, s:i, s:I, s:f}", "id", job->id, "caller",
        job->caller, "operation", job->operation, "inputs", job->inputs, "options", job->options,
        "delivery", delivery_names[job->deliver], "detach", job->detach, "metadata", job->metadata,
        "state", state_names[job->state], "attempt", job->attempt, "seq",
        (json_int_t)job->seq_limit, "created", job->created);
    if (record && job->linked)
        (void)json_object_set(record, "linked", job->linked);
    if (record && job_key)
        (void)json_object_set_new(record, "job_key", json_string(job_key));
    return record;
}

/* While bytes come, only those on the disk are acknowledged, beside those that an attach has told
 * of. */
static int64_t upload_known(const struct upload *upload)
{
    if (LIST_EMPTY(&upload->sessions))
        return upload->received;
    return upload->written > upload->acknowledged ? upload->written : upload->acknowledged;
}

static json_t *upload_list(const struct job *job)
{
    json_t *list = json_array();
    for (int i = 0; i < job->input_count; i++) {
        const struct upload *upload = &job->uploads[i];
        if (upload->fetched || upload->linked)
            continue;
        json_t *entry =
            json_pack("{s:i, s:I}", "input", i, "received", (json_int_t)upload_known(upload));
        int64_t size = upload->complete ? upload->received : upload->size;
        if (size >= 0)
            (void)json_object_set_new(entry, "size", json_integer(size));
        (void)json_array_append_new(list, entry);
    }
    return list;
}

json_t *job_ack(const struct job *job, const char *request_id)
{
    json_t *ack =
        json_pack("{s:s, s:s, s:s, s:i, s:o}", "type", "ack", "job_id", job->id, "status",
                  state_names[job->state], "attempt", job->attempt, "uploads", upload_list(job));
    if (ack && request_id)
        (void)json_object_set_new(ack, "request_id", json_string(request_id));
    int position = job->state == JOB_QUEUED ? journal_position(job->server->journal, job->id) : -1;
    if (ack && position >= 0)
        (void)json_object_set_new(ack, "position", json_integer(position));
    return ack;
}

static json_t *time_text(double seconds)
{
    char text[32];
    protocol_format_time(seconds, text);
    return json_string(text);
}

/* The last word has a number that leaves room for what is said while outputs are delivered. */
json_t *job_end_changes(struct job *job)
{
    json_t *progress = job_progress_message(job);
    (void)json_object_set_new(job->word, "seq", json_integer(job->seq_limit));
    json_t *changes =
        json_pack("{s:s, s:f, s:O, s:O, s:o, s:o, s:I}", "state", state_names[job->state], "ended",
                  job->ended, "word", job->word, "outputs", job->outputs, "uploads",
                  upload_list(job), "progress", progress, "seq", (json_int_t)job->seq_limit);
    if (changes && job->started > 0)
        (void)json_object_set_new(changes, "started", json_real(job->started));
    return changes;
}

int64_t job_seq_next(struct job *job)
{
    if (job->seq + JOB_SEQ_ROOM / 2 < job->seq_limit)
        return ++job->seq;
    job->seq_limit = job->seq + JOB_SEQ_ROOM;
    json_t *changes = json_pack("{s:I}", "seq", (json_int_t)job->seq_limit);
    if (job->word) {
        (void)json_object_set_new(job->word, "seq", json_integer(job->seq_limit));
        (void)json_object_set(changes, "word", job->word);
    }
    (void)journal_note(job->server->journal, job->id, changes);
    json_decref(changes);
    return ++job->seq;
}

/* What the last word says of the outcome. */
static void add_outcome(json_t *document, const json_t *word)
{
    static const char *const completed[] = {"result", "notes", "stats"};
    static const char *const failed[] = {"code", "message", "details", "retryable"};
    const json_t *code = json_object_get(word, "code");
    if (!code) {
        for (size_t i = 0; i < sizeof(completed) / sizeof(completed[0]); i++)
            (void)json_object_set(document, completed[i], json_object_get(word, completed[i]));
        return;
    }
    json_t *error = json_object();
    for (size_t i = 0; i < sizeof(failed) / sizeof(failed[0]); i++)
        (void)json_object_set(error, failed[i], json_object_get(word, failed[i]));
    (void)json_object_set_new(document, "error", error);
}

json_t *job_document(const json_t *record, const struct job *job)
{
    static const char *const copied[] = {"operation", "inputs",   "options", "delivery",
                                         "detach",    "metadata", "job_key", "attempt",
                                         "seq",       "outputs",  "uploads", "progress"};
    json_t *document = json_pack("{s:O, s:O}", "job_id", json_object_get(record, "id"), "status",
                                 json_object_get(record, "state"));
    for (size_t i = 0; document && i < sizeof(copied) / sizeof(copied[0]); i++)
        (void)json_object_set(document, copied[i], json_object_get(record, copied[i]));
    static const char *const times[][2] = {
        {"created", "created_at"}, {"started", "started_at"}, {"ended", "ended_at"}};
    for (size_t i = 0; document && i < sizeof(times) / sizeof(times[0]); i++) {
        double when = json_number_value(json_object_get(record, times[i][0]));
        if (when > 0)
            (void)json_object_set_new(document, times[i][1], time_text(when));
    }
    if (document && json_object_get(record, "word"))
        add_outcome(document, json_object_get(record, "word"));
    if (!document || !job || job_ended(job))
        return document;
    (void)json_object_set_new(document, "status", json_string(state_names[job->state]));
    (void)json_object_set_new(document, "attempt", json_integer(job->attempt));
    (void)json_object_set_new(document, "seq", json_integer(job->seq));
    (void)json_object_set(document, "outputs", job->outputs);
    (void)json_object_set_new(document, "uploads", upload_list(job));
    if (job->started > 0)
        (void)json_object_set_new(document, "started_at", time_text(job->started));
    return document;
}

static const char *stage_of(const struct job *job)
{
    switch (job->state) {
    case JOB_UPLOADING:
        return job_awaits_upload(job) ? "uploading" : "downloading";
    case JOB_QUEUED:
        return "queued";
    case JOB_RUNNING:
        return "processing";
    default:
        return "delivering";
    }
}

static json_t *number_or_null(double number)
{
    return isfinite(number) ? json_real(number) : json_null();
}

json_t *job_progress_message(struct job *job)
{
    const struct job_progress *progress = &job->progress;
    double eta = progress->eta;
    int position = 0;
    if (job->state == JOB_QUEUED) { /* it is told how long it is likely to wait */
        position = journal_position(job->server->journal, job->id);
        eta = scheduler_wait(job->server->scheduler, job->lane, position);
    }
    json_t *message = json_pack(
        "{s:s, s:s, s:I, s:i, s:s, s:o, s:f, s:f, s:I, s:f, s:f, s:o, s:I, s:i}", "type",
        "progress", "job_id", job->id, "seq", (json_int_t)job_seq_next(job), "attempt",
        job->attempt, "stage", stage_of(job), "percent", number_or_null(progress->percent), "time",
        progress->time, "duration", progress->duration, "frames", (json_int_t)progress->frames,
        "fps", progress->fps, "speed", progress->speed, "eta", number_or_null(eta), "output_bytes",
        (json_int_t)progress->output_bytes, "position", position < 0 ? 0 : position);
    if (message && job->state == JOB_UPLOADING)
        job_fetch_describe(job, message);
    return message;
}

/* A finite number that isn't negative; else what stands for nothing. */
static double take_number(const json_t *event, const char *key, double nothing)
{
    const json_t *value = json_object_get(event, key);
    double number = json_is_number(value) ? json_number_value(value) : nothing;
    return isfinite(number) && number >= 0 ? number : nothing;
}

bool job_progress_take(struct job_progress *progress, const json_t *event)
{
    struct job_progress was = *progress;
    double percent = take_number(event, "percent", NAN);
    percent = percent > 100 ? 100 : percent;
    if (isfinite(percent) && !(percent <= was.percent))
        progress->percent = percent;
    progress->time = take_number(event, "time", was.time);
    progress->duration = take_number(event, "duration", was.duration);
    progress->fps = take_number(event, "fps", 0);
    progress->speed = take_number(event, "speed", 0);
    progress->eta = take_number(event, "eta", NAN);
    progress->frames = (int64_t)take_number(event, "frames", (double)was.frames);
    progress->output_bytes = (int64_t)take_number(event, "output_bytes", (double)was.output_bytes);
    return progress->time > was.time || progress->frames > was.frames ||
           progress->output_bytes > was.output_bytes || progress->percent > was.percent ||
           (isfinite(progress->percent) && !isfinite(was.percent));
}

/* The path of a result, its name escaped for a URL, with the signature that opens it. */
static json_t *output_url(const struct job *job, int index, const char *name)
{
    char url[3 * JOB_NAME_MAX + 128];
    size_t length = (size_t)snprintf(url, sizeof(url), "/jobs/%s/outputs/%d/", job->id, index);
    for (const unsigned char *c = (const unsigned char *)name; *c; c++) {
        bool plain = isalnum(*c) || strchr("-._~", *c);
        length += (size_t)snprintf(url + length, sizeof(url) - length, plain ? "%c" : "%%%02X", *c);
    }
    char signature[LINK_SIGNATURE_SIZE];
    link_sign(&job->server->link_key, job->id, index, signature);
    (void)snprintf(url + length, sizeof(url) - length, "?signature=%s", signature);
    return json_string(url);
}

json_t *job_output_entry(const struct job *job, const json_t *event)
{
    const json_t *index = json_object_get(event, "index");
    const json_t *size = json_object_get(event, "size");
    const char *name = json_string_value(json_object_get(event, "name"));
    const char *mime = json_string_value(json_object_get(event, "mime"));
    const char *sha256 = json_string_value(json_object_get(event, "sha256"));
    json_t *media = json_object_get(event, "media");
    bool sound = json_is_integer(index) && json_integer_value(index) >= 0 &&
                 json_integer_value(index) < JOB_OUTPUTS_MAX && json_is_integer(size) &&
                 json_integer_value(size) >= 0 && name && strlen(name) <= JOB_NAME_MAX && mime &&
                 sha256;
    if (!sound)
        return NULL;
    int number = (int)json_integer_value(index);
    return json_pack("{s:i, s:s, s:I, s:s, s:s, s:o, s:O*}", "index", number, "name", name, "size",
                     json_integer_value(size), "mime", mime, "sha256", sha256, "url",
                     output_url(job, number, name), "media", media);
}

static json_t *stats_of(const struct job *job, const json_t *event)
{
    const json_t *stats = json_object_get(event, "stats");
    double run = job->ended - job->started;
    double speed = job->progress.speed;
    if (run > 0 && job->progress.time > 0)
        speed = job->progress.time / run;
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:I}", "queued_s", job->waited, "run_s", run,
                     "total_s", job->ended - job->created, "speed", speed, "cpu_s",
                     take_number(stats, "cpu_s", 0), "peak_memory_bytes",
                     (json_int_t)take_number(stats, "peak_memory_bytes", 0));
}

json_t *job_completed_message(const struct job *job, const json_t *event)
{
    json_t *result = json_object_get(event, "result");
    json_t *notes = json_object_get(event, "notes");
    json_t *message = json_pack("{s:s, s:s, s:i, s:O, s:o, s:o, s:o}", "type", "completed",
                                "job_id", job->id, "attempt", job->attempt, "outputs", job->outputs,
                                "result", result ? json_incref(result) : json_null(), "notes",
                                json_is_array(notes) ? json_incref(notes) : json_array(), "stats",
                                stats_of(job, event));
    if (message && job->metadata)
        (void)json_object_set(message, "metadata", job->metadata);
    return message;
}
