/*
 * Handlers of the messages that concern a job which is there already. A job may be in memory, or
 * only in the journal, where those are whose last word has been said.
 */
#include <stdlib.h>
#include <string.h>

#include "server/delivery.h"
#include "server/job.h"
#include "server/journal.h"
#include "server/request_internal.h"
#include "server/session.h"

#define FETCHES_MAX   64 /* of one connection at a time */
#define LIST_STANDARD 100

int request_refuse_unreadable(struct request *request)
{
    return problem_set(&request->problem, "internal", "the job's record can't be read");
}

static int refuse_job(struct request *request)
{
    if (journal_unreadable(request->session->server->journal))
        return request_refuse_unreadable(request);
    problem_set(&request->problem, "job_not_found", "there is no such job");
    return problem_place(&request->problem, "job_id", request_text(request, "job_id"), NULL);
}

/* With tokens, only the caller's own jobs are there at all. */
static bool foreign(const struct session *session, const json_t *record)
{
    const char *caller = json_string_value(json_object_get(record, "caller"));
    return callers_required(&session->server->callers) &&
           (!caller || strcmp(caller, session->caller) != 0);
}

const json_t *request_record(const struct session *session, const char *id)
{
    const json_t *record = journal_get(session->server->journal, id);
    return record && !foreign(session, record) ? record : NULL;
}

/* The record that the message's job_id names; NULL with the problem. */
static const json_t *find(struct request *request)
{
    const json_t *record = request_record(request->session, request_text(request, "job_id"));
    if (record)
        return record;
    (void)refuse_job(request);
    return NULL;
}

/* The same, but one of which more is left than its id. */
static const json_t *find_whole(struct request *request)
{
    const json_t *record = find(request);
    if (!record || json_object_get(record, "operation"))
        return record;
    (void)refuse_job(request);
    return NULL;
}

int request_cancel_job(struct request *request)
{
    const json_t *record = find(request);
    if (!record)
        return -1;
    struct job *job = job_find(request->session->server, request_text(request, "job_id"));
    if (!job || job_ended(job)) {
        json_t *state = json_object_get(record, "state");
        problem_set(&request->problem, "job_finished", "the job has ended: %s",
                    json_string_value(state));
        return problem_detail(&request->problem, "status", json_incref(state));
    }
    (void)request_answer(request, json_pack("{s:s, s:s, s:s}", "type", "ack", "job_id", job->id,
                                            "status", "cancelled"));
    (void)job_cancel(job, "a client asked for it");
    return 0;
}

/* ---- attach ---- */

static bool record_is(const json_t *record, const char *key, const char *text)
{
    const char *value = json_string_value(json_object_get(record, key));
    return value && strcmp(value, text) == 0;
}

/* A message of an ended job's record, said again under the next number. */
static json_t *say_again(const json_t *record, const char *what, json_int_t *seq)
{
    json_t *message = json_copy(json_object_get(record, what));
    (void)json_object_set_new(message, "seq", json_integer(++*seq));
    return message;
}

/* They may have expired, or a client deletes the job. */
static void on_sent(struct delivery *delivery, int status, void *opaque)
{
    (void)opaque;
    if (status == 0)
        return;
    struct problem problem = {0};
    problem_set(&problem, "job_not_found", "the job's results are no longer there");
    session_send_error(delivery->session, &problem, delivery->request_id, delivery->job);
}

/* Pushes the outputs of an ended job's record, then its last word. */
static void replay(struct request *request, const json_t *record, const json_t *received)
{
    struct session *session = request->session;
    const char *id = json_string_value(json_object_get(record, "id"));
    int attempt = (int)json_integer_value(json_object_get(record, "attempt"));
    session_remember(session, id);
    struct journal *journal = session->server->journal;
    json_int_t seq = json_integer_value(json_object_get(record, "seq"));
    session_send(session, say_again(record, "progress", &seq));
    json_t *word = say_again(record, "word", &seq);
    json_t *changes = json_pack("{s:I}", "seq", seq);
    (void)journal_note(journal, id, changes);
    json_decref(changes);
    const json_t *outputs = json_object_get(record, "outputs");
    bool push = received && record_is(record, "state", "completed") &&
                !record_is(record, "delivery", "pull") && json_array_size(outputs) > 0;
    struct delivery *delivery =
        push ? delivery_create(session, id, attempt, NULL, on_sent, NULL) : NULL;
    if (!delivery) {
        session_send(session, word);
        return;
    }
    delivery->ticket = journal_ticket(journal);
    delivery->farewell = word;
    delivery->held = true; /* until all of it is there */
    size_t index;
    json_t *entry;
    json_array_foreach((json_t *)outputs, index, entry)
    {
        int output = (int)json_integer_value(json_object_get(entry, "index"));
        int64_t size = json_integer_value(json_object_get(entry, "size"));
        (void)delivery_add(delivery, output, json_string_value(json_object_get(entry, "name")),
                           size, job_received(received, output, attempt, size), size);
    }
    delivery_end(delivery);
}

int request_attach_to(struct request *request, const json_t *record, const json_t *outputs,
                      bool duplicate)
{
    struct session *session = request->session;
    struct job *job = job_find(session->server, json_string_value(json_object_get(record, "id")));
    if (job)
        job_attach(job, session);
    json_t *ack =
        job ? job_ack(job, NULL)
            : json_pack("{s:s, s:O, s:O, s:O, s:O}", "type", "ack", "job_id",
                        json_object_get(record, "id"), "status", json_object_get(record, "state"),
                        "attempt", json_object_get(record, "attempt"), "uploads",
                        json_object_get(record, "uploads"));
    if (ack && duplicate)
        (void)json_object_set_new(ack, "duplicate", json_true());
    (void)request_answer_safe(request, ack, job ? job->ticket : 0);
    if (!job) {
        replay(request, record, outputs);
        return 0;
    }
    job_catch_up(job, outputs);
    return 0;
}

int request_attach(struct request *request)
{
    const json_t *record = find_whole(request);
    const json_t *outputs = json_object_get(request->message, "outputs");
    return record
               ? request_attach_to(request, record, json_is_array(outputs) ? outputs : NULL, false)
               : -1;
}

/* ---- fetch ---- */

static int deliveries(const struct session *session)
{
    int count = 0;
    const struct delivery *delivery;
    TAILQ_FOREACH(delivery, &session->deliveries, link)
    {
        count++;
    }
    return count;
}

static int start_fetch(struct request *request, const char *id, int attempt, const json_t *entry)
{
    struct session *session = request->session;
    const json_t *length = json_object_get(request->message, "length");
    int64_t offset = json_integer_value(json_object_get(request->message, "offset"));
    int64_t size = json_integer_value(json_object_get(entry, "size"));
    if (offset > size) {
        problem_set(&request->problem, "invalid_message", "the output has %lld bytes",
                    (long long)size);
        return problem_place(&request->problem, "offset", NULL, NULL);
    }
    int64_t end = size;
    if (json_is_integer(length) && json_integer_value(length) < size - offset)
        end = offset + json_integer_value(length);
    struct delivery *delivery = delivery_create(session, id, attempt, request->id, on_sent, NULL);
    if (!delivery)
        return problem_set(&request->problem, "internal", "out of memory");
    delivery->ended = true;
    (void)delivery_add(delivery, (int)json_integer_value(json_object_get(entry, "index")),
                       json_string_value(json_object_get(entry, "name")), size, offset, end);
    return 0;
}

int request_fetch(struct request *request)
{
    const json_t *record = find_whole(request);
    if (!record)
        return -1;
    const struct job *job = job_find(request->session->server, request_text(request, "job_id"));
    const json_t *outputs = job ? job->outputs : json_object_get(record, "outputs");
    json_int_t number = json_integer_value(json_object_get(request->message, "output"));
    const json_t *entry = job_find_output(outputs, number);
    if (!entry && job && !job_ended(job)) {
        return problem_set(&request->problem, "output_not_ready",
                           "output %lld is not made yet, or will not be", (long long)number);
    }
    if (!entry || (!record_is(record, "state", "completed") && (!job || job_ended(job)))) {
        problem_set(&request->problem, "invalid_message", "the job has no output %lld",
                    (long long)number);
        return problem_place(&request->problem, "output", NULL, NULL);
    }
    if (deliveries(request->session) >= FETCHES_MAX) {
        return problem_set(&request->problem, "rate_limited",
                           "%d fetches are under way on this connection", FETCHES_MAX);
    }
    int attempt = job ? job->attempt : (int)json_integer_value(json_object_get(record, "attempt"));
    return start_fetch(request, json_string_value(json_object_get(record, "id")), attempt, entry);
}

/* ---- records ---- */

static json_t *document_of(const struct session *session, const json_t *record)
{
    const char *id = json_string_value(json_object_get(record, "id"));
    return job_document(record, job_find(session->server, id));
}

int request_get_job(struct request *request)
{
    const json_t *record = find_whole(request);
    if (!record)
        return -1;
    return request_answer(request, json_pack("{s:s, s:o}", "type", "job", "job",
                                             document_of(request->session, record)));
}

/* Without tokens: what this connection started or attached to, newest first. */
static json_t *list_seen(const struct session *session, const char *status, const char *before,
                         int limit)
{
    json_t *list = json_array(), *newest_first = json_array();
    const char *id;
    json_t *value;
    size_t index;
    bool reached = false;
    json_object_foreach(session->seen, id, value)
    {
        reached = reached || (before && strcmp(id, before) == 0);
        if (!reached)
            (void)json_array_insert_new(newest_first, 0, json_string(id));
    }
    json_array_foreach(newest_first, index, value)
    {
        const json_t *record = journal_get(session->server->journal, json_string_value(value));
        if (json_array_size(list) >= (size_t)limit)
            break;
        if (record && json_object_get(record, "operation") &&
            (!status || record_is(record, "state", status)))
            (void)json_array_append(list, (json_t *)record);
    }
    json_decref(newest_first);
    return list;
}

int request_list_jobs(struct request *request)
{
    struct session *session = request->session;
    const char *status = request_text(request, "status");
    const char *before = request_text(request, "before");
    const json_t *wanted = json_object_get(request->message, "limit");
    int limit = json_is_integer(wanted) ? (int)json_integer_value(wanted) : LIST_STANDARD;
    json_t *records =
        callers_required(&session->server->callers)
            ? journal_list(session->server->journal, session->caller, status, before, limit)
            : list_seen(session, status, before, limit);
    json_t *documents = json_array();
    size_t index;
    json_t *record;
    json_array_foreach(records, index, record)
    {
        (void)json_array_append_new(documents, document_of(session, record));
    }
    json_decref(records);
    return request_answer(request, json_pack("{s:s, s:o}", "type", "jobs", "jobs", documents));
}

int request_delete_job(struct request *request)
{
    const json_t *record = find(request);
    if (!record)
        return -1;
    struct server *server = request->session->server;
    char id[IDENTIFIER_SIZE];
    (void)snprintf(id, sizeof(id), "%s", request_text(request, "job_id"));
    struct job *job = job_find(server, id);
    const char *status =
        job && !job_ended(job) ? "cancelled" : json_string_value(json_object_get(record, "state"));
    (void)request_answer(
        request, json_pack("{s:s, s:s, s:s}", "type", "ack", "job_id", id, "status", status));
    if (job) {
        job_delete(job);
    } else {
        server_remove_folder(server, id);
    }
    (void)journal_delete(server->journal, id);
    return 0;
}
