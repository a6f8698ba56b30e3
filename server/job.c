/*
 * The state machine of a job and what hangs on it: deadlines (one timer), progress (paced), the
 * last word and its delivery, and the moment at which memory and folder can go.
 */
#include "server/job.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/admission.h"
#include "server/blob.h"
#include "server/delivery.h"
#include "server/job_internal.h"
#include "server/journal.h"
#include "server/log.h"
#include "server/run.h"
#include "server/scheduler.h"
#include "server/session.h"
#include "server/upload.h"

#define PROGRESS_MIN_MS 260 /* at most four in any second */
#define PROGRESS_MAX_MS 1800
#define ACK_EVERY       (4 * 1024 * 1024)
#define EXPECT_BYTES    (4 * 1024 * 1024) /* when so little is missing, the job's process is made */

bool job_ended(const struct job *job)
{
    return job->state >= JOB_COMPLETED;
}

struct job *job_find(const struct server *server, const char *id)
{
    return table_get(&server->jobs, id);
}

static void release_dropped(struct job *job);

static uint64_t loop_now(const struct job *job)
{
    return uv_now(job->server->loop);
}

/* ---- making one ---- */

void job_free(struct job *job)
{
    free(job->caller);
    free(job->operation);
    free(job->uploads);
    json_decref(job->inputs);
    json_decref(job->options);
    json_decref(job->metadata);
    json_decref(job->linked);
    json_decref(job->made);
    json_decref(job->outputs);
    json_decref(job->word);
    free(job);
}

static void on_timer_closed(uv_handle_t *handle)
{
    job_free(handle->data);
}

static enum job_delivery delivery_mode(const json_t *request)
{
    const char *mode = json_string_value(json_object_get(request, "delivery"));
    if (mode && strcmp(mode, "pull") == 0)
        return DELIVER_PULL;
    return mode && strcmp(mode, "stream") == 0 ? DELIVER_STREAM : DELIVER_PUSH;
}

bool job_fill(struct job *job, struct server *server, const char *caller, const json_t *request,
              json_t *inputs)
{
    json_t *options = json_object_get(request, "options");
    json_t *metadata = json_object_get(request, "metadata");
    identifier_make(job->id);
    job->server = server;
    job->caller = strdup(caller);
    job->operation = strdup(json_string_value(json_object_get(request, "operation")));
    job->inputs = json_incref(inputs);
    job->options = json_is_object(options) ? json_incref(options) : json_object();
    job->metadata = json_is_null(metadata) ? NULL : json_incref(metadata);
    job->made = json_array();
    job->outputs = json_array();
    job->deliver = delivery_mode(request);
    job->push = job->deliver != DELIVER_PULL;
    job->detach = json_is_true(json_object_get(request, "detach"));
    job->attempt = 1;
    job->seq_limit = JOB_SEQ_ROOM;
    job->created = protocol_now();
    job->progress = (struct job_progress){.percent = 0, .eta = NAN};
    job->input_count = (int)json_array_size(inputs);
    job->uploads_missing = job->input_count;
    job->uploads = calloc((size_t)job->input_count + 1, sizeof(*job->uploads));
    if (!job->caller || !job->operation || !job->uploads || !job->options || !job->made ||
        !job->outputs)
        return false;
    for (int i = 0; i < job->input_count; i++) {
        const json_t *size = json_object_get(json_array_get(inputs, (size_t)i), "size");
        upload_init(&job->uploads[i], job, i,
                    json_is_integer(size) ? json_integer_value(size) : -1);
        job->uploads[i].fetched = json_object_get(json_array_get(inputs, (size_t)i), "url");
    }
    return true;
}

/* Folder, then record: a folder without a record is swept at the next start. */
static int store(struct job *job, const char *job_key, struct problem *problem)
{
    int status = blob_make_job(job->id);
    if (status < 0) {
        return problem_set(problem, status == -ENOSPC ? "disk_full" : "internal",
                           "the job's folder can't be made: %s", strerror(-status));
    }
    if (job_link_inputs(job, problem) < 0) {
        server_remove_folder(job->server, job->id);
        return -1;
    }
    json_t *record = job_record(job, job_key);
    status = record ? journal_enqueue(job->server->journal, record) : -ENOMEM;
    json_decref(record);
    job->ticket = journal_ticket(job->server->journal);
    if (status < 0) {
        server_remove_folder(job->server, job->id);
        return problem_set(problem, status == -ENOSPC ? "disk_full" : "internal",
                           "the job can't be recorded: %s", strerror(-status));
    }
    return 0;
}

bool job_awaits_upload(const struct job *job)
{
    for (int i = 0; i < job->input_count; i++) {
        if (!job->uploads[i].fetched && !job->uploads[i].complete)
            return true;
    }
    return false;
}

void job_await_upload(struct job *job)
{
    job->upload_deadline =
        job_awaits_upload(job) ? loop_now(job) + (uint64_t)job->server->config.upload_timeout : 0;
}

struct job *job_create(struct session *session, const json_t *request, json_t *inputs,
                       struct problem *problem)
{
    struct server *server = session->server;
    struct job *job = calloc(1, sizeof(*job));
    if (!job || !job_fill(job, server, session->caller, request, inputs) ||
        !table_put(&server->jobs, job->id, job)) {
        problem_set(problem, "internal", "out of memory");
        if (job)
            job_free(job);
        return NULL;
    }
    const char *key = json_string_value(json_object_get(request, "job_key"));
    if (store(job, key, problem) < 0) {
        (void)table_remove(&server->jobs, job->id);
        job_free(job);
        return NULL;
    }
    admission_keep(job);
    (void)uv_timer_init(server->loop, &job->timer);
    job->timer.data = job;
    job_await_upload(job);
    job_attach(job, session);
    job_account_accepted(job);
    return job;
}

void job_begin(struct job *job)
{
    for (int i = 0; i < job->input_count && !job_ended(job); i++) {
        struct upload *upload = &job->uploads[i];
        if (upload->size != 0 && !upload->linked)
            continue;
        char id[BLOB_ID_MAX];
        blob_id(id, job->id, BLOB_IN, i);
        int fd = upload->linked ? -1 : blob_open_write(id);
        if (fd >= 0)
            close(fd);
        upload->received = upload->written = upload->size;
        upload->complete = upload->done = true;
        job_upload_done(job, upload);
    }
    if (!job_ended(job))
        job_fetch_begin(job);
    job->progress_news = true;
    job_schedule(job);
}

/* ---- deadlines and progress: one timer ---- */

void job_send_progress(struct job *job)
{
    job->progress_news = false;
    job->progress_sent = loop_now(job);
    if (job->session && session_idle(job->session))
        session_send_safe(job->session, job_progress_message(job), job->ticket);
}

static void fail_late(struct job *job, const char *code, const char *what, int64_t milliseconds)
{
    struct problem problem = {0};
    problem_set(&problem, code, "%s for %.3g s", what, (double)milliseconds / 1000);
    job_fail(job, &problem);
}

static bool due(uint64_t deadline, uint64_t now)
{
    return deadline != 0 && deadline <= now;
}

static void on_timer(uv_timer_t *timer)
{
    struct job *job = timer->data;
    const struct config *config = &job->server->config;
    uint64_t now = loop_now(job);
    if (due(job->grace_deadline, now)) {
        (void)job_cancel(job, "its connection was lost and did not come back");
    } else if (due(job->upload_deadline, now)) {
        fail_late(job, "upload_timeout", "no byte of an upload came", config->upload_timeout);
    } else if (due(job->run_deadline, now)) {
        fail_late(job, "timeout", "the job ran", config->job_timeout);
    } else if (due(job->stall_deadline, now)) {
        fail_late(job, "stalled", "the job made no progress", config->stall_timeout);
    }
    if (job->released)
        return;
    uint64_t since = now - job->progress_sent;
    if (!job->said && since >= (job->progress_news ? PROGRESS_MIN_MS : PROGRESS_MAX_MS))
        job_send_progress(job);
    job_schedule(job);
}

static void earlier(uint64_t *next, uint64_t deadline)
{
    if (deadline && deadline < *next)
        *next = deadline;
}

/* Sets the timer to whatever comes first. */
void job_schedule(struct job *job)
{
    uint64_t next = UINT64_MAX, now = loop_now(job);
    if (job->released)
        return;
    if (!job_ended(job)) {
        earlier(&next, job->upload_deadline);
        earlier(&next, job->run_deadline);
        earlier(&next, job->stall_deadline);
        earlier(&next, job->grace_deadline);
    }
    if (job->session && !job->said) {
        uint64_t pace = job->progress_news ? PROGRESS_MIN_MS : PROGRESS_MAX_MS;
        earlier(&next, job->progress_sent + pace);
    }
    if (next == UINT64_MAX) {
        (void)uv_timer_stop(&job->timer);
    } else {
        (void)uv_timer_start(&job->timer, on_timer, next > now ? next - now : 0, 0);
    }
}

static void news(struct job *job)
{
    bool was = job->progress_news;
    job->progress_news = true;
    if (!was)
        job_schedule(job);
}

/* ---- uploads ---- */

static void acknowledge(struct job *job, struct upload *upload)
{
    if (upload->acknowledged < upload->written)
        upload->acknowledged = upload->written;
    if (job->session)
        session_send_safe(job->session, job_ack(job, NULL), job->ticket);
}

/* Bytes of all inputs that have not come yet; INT64_MAX: not known. */
static int64_t bytes_missing(const struct job *job)
{
    int64_t missing = 0;
    for (int i = 0; i < job->input_count; i++) {
        const struct upload *upload = &job->uploads[i];
        if (!upload->complete && (upload->fetched || upload->size < 0))
            return INT64_MAX;
        missing += upload->complete ? 0 : upload->size - upload->received;
    }
    return missing;
}

void job_upload_moved(struct job *job, struct upload *upload)
{
    if (!job->expected && bytes_missing(job) <= EXPECT_BYTES) {
        job->expected = true;
        scheduler_expect(job->server->scheduler);
    }
    if (!upload->fetched) {
        job_await_upload(job);
        if (upload->written - upload->acknowledged >= ACK_EVERY)
            acknowledge(job, upload);
    }
    news(job);
}

/* The journal learns how long an input is, where nobody had said it: after a restart, that many
 * bytes are all of it. */
static void note_length(struct job *job, const struct upload *upload)
{
    char name[24];
    (void)snprintf(name, sizeof(name), "length-%d", upload->input);
    json_t *changes = json_pack("{s:I}", name, (json_int_t)upload->received);
    (void)journal_note(job->server->journal, job->id, changes);
    json_decref(changes);
    job->ticket = journal_ticket(job->server->journal);
}

void job_inputs_done(struct job *job)
{
    job->upload_deadline = 0;
    job->state = JOB_QUEUED;
    job->queued = protocol_now();
    job->progress_news = true;
    scheduler_enqueue(job->server->scheduler, job);
    job->ticket = journal_ticket(job->server->journal);
}

void job_upload_done(struct job *job, struct upload *upload)
{
    if (upload->size < 0)
        note_length(job, upload);
    if (--job->uploads_missing == 0)
        job_inputs_done(job);
    if (!upload->fetched && !upload->linked)
        acknowledge(job, upload);
    job_schedule(job);
}

void job_upload_idle(struct job *job)
{
    job->writes_in_flight--;
    if (job->dropped) {
        release_dropped(job);
    } else {
        job_settle(job);
    }
}

/* ---- running ---- */

void job_started(struct job *job, struct run *run, int attempt)
{
    const struct config *config = &job->server->config;
    double now = protocol_now();
    job->run = run;
    job->unreaped++;
    job->attempt = attempt;
    job->state = JOB_RUNNING;
    job->ticket = journal_ticket(job->server->journal); /* the claim's */
    job->waited += now - job->queued;
    job->started = now;
    job_account_started(job);
    if (!job->run_deadline)
        job->run_deadline = loop_now(job) + (uint64_t)config->job_timeout;
    job->stall_deadline = loop_now(job) + (uint64_t)config->stall_timeout;
    job->progress_news = true;
    job_schedule(job);
}

void job_deferred(struct job *job)
{
    job->run = NULL;
    job->state = JOB_QUEUED;
    job->queued = protocol_now();
    job->started = 0;
    job->stall_deadline = job->run_deadline = 0; /* what waits doesn't run */
    job->progress_news = true;
    job_schedule(job);
}

void job_moved(struct job *job)
{
    job->stall_deadline = loop_now(job) + (uint64_t)job->server->config.stall_timeout;
}

void job_set_progress(struct job *job, const json_t *event)
{
    if (job_progress_take(&job->progress, event))
        job_moved(job);
    news(job);
}

/* ---- the end ---- */

/* Whatever was going on for the job stops. */
static void stop_work(struct job *job)
{
    job->upload_deadline = job->run_deadline = job->stall_deadline = job->grace_deadline = 0;
    for (int i = 0; i < job->input_count; i++) {
        if (upload_stop(&job->uploads[i]))
            job->writes_in_flight++;
    }
    struct run *run = job->run;
    job->run = NULL;
    if (run)
        run_abandon(run);
}

/* The one way in which a job ends. The word is consumed. */
static void end(struct job *job, enum job_state state, json_t *word)
{
    bool held = job->state == JOB_RUNNING;
    job->ended = protocol_now();
    if (job->state == JOB_QUEUED) {
        scheduler_withdraw(job->server->scheduler, job);
        job->waited += job->ended - job->queued;
    }
    job->state = state;
    job->word = word ? word : json_object();
    json_t *changes = job_end_changes(job);
    int status = held ? journal_finish(job->server->journal, job->id, job->attempt, changes)
                      : journal_cancel(job->server->journal, job->id, changes);
    json_decref(changes);
    job->ticket = journal_ticket(job->server->journal);
    if (status < 0) {
        log_error("journal_failed", LOG_TEXT("job", job->id),
                  LOG_TEXT("reason", strerror(-status)));
    }
    job_account_ended(job);
}

void job_complete(struct job *job, const json_t *event)
{
    if (job_ended(job))
        return;
    job->ended = protocol_now();
    job->progress.percent = 100; /* before the record gets the last progress */
    job->progress.eta = 0;
    json_t *word = job_completed_message(job, event);
    end(job, JOB_COMPLETED, word);
    stop_work(job);
    job->progress_news = job->delivery != NULL;
    job_schedule(job);
    job_deliver_rest(job);
}

void job_fail(struct job *job, struct problem *problem)
{
    if (!job_ended(job)) {
        end(job, JOB_FAILED, protocol_error(problem, NULL, job->id, true));
        delivery_destroy(&job->delivery);
        stop_work(job);
        job_say(job);
    }
    problem_finish(problem);
}

bool job_cancel(struct job *job, const char *why)
{
    if (job_ended(job))
        return false;
    struct problem problem = {0};
    problem_set(&problem, "cancelled", "the job was cancelled: %s", why);
    end(job, JOB_CANCELLED, protocol_error(&problem, NULL, job->id, true));
    delivery_destroy(&job->delivery);
    stop_work(job);
    job_say(job);
    return true;
}

void job_delete(struct job *job)
{
    job->deleted = true;
    if (job_cancel(job, "a client deleted it"))
        return;
    delivery_destroy(&job->delivery);
    job_say(job);
}

void job_run_reaped(struct job *job, const struct worker_exit *how)
{
    job->unreaped--;
    job_account_reaped(job, how);
    job_settle(job);
}

/* Out of the table and out of memory, as soon as the loop has closed the timer. */
static void release(struct job *job)
{
    struct server *server = job->server;
    job->released = true;
    admission_release(job);
    (void)table_remove(&server->jobs, job->id);
    if (job->settling)
        LIST_REMOVE(job, unsettled);
    if (job->session)
        LIST_REMOVE(job, attached);
    job->session = NULL;
    (void)uv_timer_stop(&job->timer);
    uv_close((uv_handle_t *)&job->timer, on_timer_closed);
}

/* Whether its end may be undone by a crash yet; then it is settled when it can't be any more. */
static bool end_unsafe(struct job *job)
{
    struct server *server = job->server;
    if (journal_safe(server->journal, job->ticket))
        return false;
    if (!job->settling)
        LIST_INSERT_HEAD(&server->unsettled, job, unsettled);
    job->settling = true;
    return true;
}

void job_settle_all(struct server *server)
{
    struct job *job = LIST_FIRST(&server->unsettled);
    while (job) {
        struct job *next = LIST_NEXT(job, unsettled);
        LIST_REMOVE(job, unsettled);
        job->settling = false;
        job_settle(job);
        job = next;
    }
}

static bool filled_the_disk(const struct job *job)
{
    const char *code = json_string_value(json_object_get(job->word, "code"));
    return code && strcmp(code, "disk_full") == 0;
}

/* Frees what an ended job needs no more: the folder of one that failed, the inputs of one that is
 * done, and the job itself once its word has been said, or there is nobody to say it to. */
void job_settle(struct job *job)
{
    if (!job_ended(job) || job->released || job->unreaped > 0 || job->writes_in_flight > 0)
        return;
    if (filled_the_disk(job)) /* the journal may be waiting for just that room */
        server_remove_folder(job->server, job->id);
    if ((job->session && !job->said) || end_unsafe(job))
        return;
    struct server *server = job->server;
    if (job->state == JOB_COMPLETED && !job->deleted) {
        server_remove_inputs(server, job->id, job->input_count);
    } else {
        server_remove_folder(server, job->id);
    }
    release(job);
    server_check_drain(server);
}

/* A write of an upload that is under way still needs the job. */
static void release_dropped(struct job *job)
{
    if (job->writes_in_flight == 0)
        release(job);
}

void job_drop(struct job *job)
{
    job_account_dropped(job);
    delivery_destroy(&job->delivery);
    (void)table_remove(&job->server->jobs, job->id);
    job->dropped = true;
    for (int i = 0; i < job->input_count; i++) {
        if (upload_stop(&job->uploads[i]))
            job->writes_in_flight++;
    }
    release_dropped(job);
}
