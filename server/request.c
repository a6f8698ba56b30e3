/*
 * The handlers of client messages. A handler returns 0 after it has answered, or -1 with the
 * problem that becomes the answer.
 */
#include "server/request.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "engine/error.h"
#include "lua/schema.h"
#include "server/admission.h"
#include "server/job.h"
#include "server/journal.h"
#include "server/log.h"
#include "server/operations.h"
#include "server/request_internal.h"
#include "server/session.h"

int request_answer_safe(const struct request *request, json_t *message, uint64_t ticket)
{
    if (message && request->id)
        (void)json_object_set_new(message, "request_id", json_string(request->id));
    session_send_safe(request->session, message, ticket);
    return 0;
}

int request_answer(const struct request *request, json_t *message)
{
    return request_answer_safe(request, message, 0);
}

const char *request_text(const struct request *request, const char *name)
{
    return json_string_value(json_object_get(request->message, name));
}

/* ---- hello, ping, describe ---- */

static int on_hello(struct request *request)
{
    struct session *session = request->session;
    const struct server *server = session->server;
    const char *token = request_text(request, "token");
    if (callers_required(&server->callers) && token) {
        const char *name = callers_find(&server->callers, token);
        bool other = name && session->authorized && strcmp(name, session->caller) != 0;
        char *caller = name && !other ? strdup(name) : NULL;
        if (!caller) {
            session_refuse_unauthorized(session, request->id);
            return 0;
        }
        free(session->caller);
        session->caller = caller;
        session->authorized = true;
    }
    if (!session->authorized) {
        session_refuse_unauthorized(session, request->id);
        return 0;
    }
    json_t *names = json_array();
    size_t index;
    json_t *operation;
    json_array_foreach((json_t *)operations_list(server->operations), index, operation)(void)
        json_array_append(names, json_object_get(operation, "name"));
    const struct config *config = &server->config;
    return request_answer(
        request,
        json_pack("{s:s, s:s, s:s, s:i, s:{s:I, s:I, s:I, s:I, s:I, s:i}, s:o}", "type", "welcome",
                  "server", "luma", "version", LUMA_VERSION, "protocol", PROTOCOL_VERSION, "limits",
                  "max_upload_bytes", (json_int_t)config->max_upload, "max_upload_frame",
                  (json_int_t)SERVER_UPLOAD_FRAME_MAX, "max_message_bytes",
                  (json_int_t)config->max_message, "max_inputs", (json_int_t)config->max_inputs,
                  "messages_per_second", (json_int_t)config->messages_per_second,
                  "max_metadata_bytes", 4096, "operations", names));
}

static int on_ping(struct request *request)
{
    char now[32];
    protocol_format_time(protocol_now(), now);
    return request_answer(request,
                          json_pack("{s:s, s:O*, s:s}", "type", "pong", "data",
                                    json_object_get(request->message, "data"), "time", now));
}

static int refuse_operation(struct request *request, const char *name)
{
    char expected[512] = "";
    size_t length = 0, index;
    json_t *operation;
    json_array_foreach((json_t *)operations_list(request->session->server->operations), index,
                       operation)
    {
        if (length < sizeof(expected)) {
            length += (size_t)snprintf(expected + length, sizeof(expected) - length, "%s%s",
                                       length ? ", " : "",
                                       json_string_value(json_object_get(operation, "name")));
        }
    }
    problem_set(&request->problem, "unknown_operation", "there is no operation \"%s\"", name);
    return problem_place(&request->problem, "operation", name, expected);
}

static int on_describe(struct request *request)
{
    const struct operations *operations = request->session->server->operations;
    const char *name = request_text(request, "operation");
    json_t *message = operations_message(operations, name);
    return message ? request_answer(request, message) : refuse_operation(request, name);
}

/* ---- start_job ---- */

static int refuse_error(struct request *request, const struct error *error)
{
    problem_set(&request->problem, error_name(error->code), "%s", error->message);
    return problem_place(&request->problem, error->path[0] ? error->path : NULL,
                         error->got[0] ? error->got : NULL,
                         error->expected[0] ? error->expected : NULL);
}

static int check_options(struct request *request, const struct operation_entry *operation)
{
    struct error error = {0};
    json_t *given = json_object_get(request->message, "options");
    json_t *none = json_is_object(given) ? NULL : json_object();
    json_t *valid = schema_validate(operation->schema, none ? none : given, &error);
    json_decref(none);
    json_decref(valid);
    return valid ? 0 : refuse_error(request, &error);
}

static int start_job(struct request *request, json_t *inputs)
{
    struct session *session = request->session;
    const char *name = request_text(request, "operation");
    struct operation_entry operation;
    if (!operations_find(session->server->operations, name, &operation))
        return refuse_operation(request, name);
    if (request_check_inputs(request, &operation, inputs) < 0 ||
        check_options(request, &operation) < 0 ||
        admission_job(session, inputs, &request->problem) < 0)
        return -1;
    struct job *job = job_create(session, request->message, inputs, &request->problem);
    if (!job)
        return -1;
    (void)request_answer(request, job_ack(job, NULL));
    job_begin(job);
    return 0;
}

/* Whether the request that made the record was this one. */
static bool same_request(const struct request *request, const json_t *record, const json_t *inputs)
{
    const json_t *options = json_object_get(request->message, "options");
    const json_t *metadata = json_object_get(request->message, "metadata");
    const json_t *made = json_object_get(record, "options");
    const char *delivery = request_text(request, "delivery");
    bool options_same = json_is_object(options) ? json_equal((json_t *)options, (json_t *)made)
                                                : json_object_size(made) == 0;
    json_t *made_metadata = json_object_get(record, "metadata");
    bool metadata_same =
        metadata ? json_equal((json_t *)metadata, made_metadata) : json_is_null(made_metadata);
    return options_same && metadata_same &&
           json_equal((json_t *)inputs, json_object_get(record, "inputs")) &&
           strcmp(request_text(request, "operation"),
                  json_string_value(json_object_get(record, "operation"))) == 0 &&
           strcmp(delivery ? delivery : "push",
                  json_string_value(json_object_get(record, "delivery"))) == 0 &&
           json_is_true(json_object_get(request->message, "detach")) ==
               json_is_true(json_object_get(record, "detach"));
}

static int start_or_find(struct request *request, json_t *inputs)
{
    const struct session *session = request->session;
    const char *key = request_text(request, "job_key");
    const json_t *record =
        key ? journal_find_key(session->server->journal, session->caller, key) : NULL;
    if (!record && key && journal_unreadable(session->server->journal))
        return request_refuse_unreadable(request);
    if (!record)
        return start_job(request, inputs);
    if (!same_request(request, record, inputs)) {
        problem_set(&request->problem, "job_key_conflict",
                    "the job_key was used for a different request");
        return problem_place(&request->problem, "job_key", key, NULL);
    }
    json_t *none = json_array();
    int status = request_attach_to(request, record, none, true);
    json_decref(none);
    return status;
}

static int on_start_job(struct request *request)
{
    json_t *one = json_object_get(request->message, "input");
    json_t *inputs = json_object_get(request->message, "inputs");
    inputs = json_is_array(inputs) ? json_incref(inputs) : json_pack("[O]", one);
    int status = inputs ? start_or_find(request, inputs)
                        : problem_set(&request->problem, "internal", "out of memory");
    json_decref(inputs);
    return status;
}

/* ---- dispatch ---- */

static const struct {
    int (*handle)(struct request *request);
    bool needs_operations;
} handlers[MESSAGE_TYPE_COUNT] = {
    [MESSAGE_HELLO] = {on_hello, true},
    [MESSAGE_PING] = {on_ping, false},
    [MESSAGE_DESCRIBE] = {on_describe, true},
    [MESSAGE_START_JOB] = {on_start_job, true},
    [MESSAGE_CANCEL_JOB] = {request_cancel_job, false},
    [MESSAGE_ATTACH] = {request_attach, false},
    [MESSAGE_FETCH] = {request_fetch, false},
    [MESSAGE_GET_JOB] = {request_get_job, false},
    [MESSAGE_LIST_JOBS] = {request_list_jobs, false},
    [MESSAGE_DELETE_JOB] = {request_delete_job, false},
};

/* True if it is to be handled again when the scripts have been read. */
static bool handle(struct request *request)
{
    struct session *session = request->session;
    enum message_type type;
    if (protocol_check(request->message, &type, &request->problem) < 0) {
        if (!session->authorized) {
            session_refuse_unauthorized(session, request->id);
        } else if (strcmp(request->problem.code, "invalid_message") == 0) {
            session_malformed(session, &request->problem, request->id);
        } else {
            session_send_error(session, &request->problem, request->id, NULL);
        }
        return false;
    }
    if (!session->authorized && type != MESSAGE_HELLO) {
        session_refuse_unauthorized(session, request->id);
        return false;
    }
    if (handlers[type].needs_operations && !operations_fresh(session->server->operations))
        return true;
    struct journal *journal = session->server->journal;
    struct outgoing *newest = session_newest(session);
    uint64_t ticket = journal_ticket(journal);
    if (handlers[type].handle(request) < 0)
        session_send_error(session, &request->problem, request->id, NULL);
    if (journal_ticket(journal) != ticket) /* what is answered tells of a change */
        session_hold_after(session, newest, journal_ticket(journal));
    return false;
}

/* Handles the message (consumed), or puts it off. */
static void handle_or_defer(struct session *session, json_t *message)
{
    struct request request = {
        .session = session,
        .message = message,
        .id = protocol_request_id(message),
    };
    bool defer = handle(&request);
    problem_finish(&request.problem);
    if (defer) {
        session->deferred = message;
        session_pause(session, PAUSE_OPERATIONS);
    } else {
        json_decref(message);
    }
}

void request_receive(struct session *session, const char *text, size_t size)
{
    struct problem problem = {0};
    json_t *message = protocol_parse(text, size, &problem);
    if (message && admission_message(session, &problem) < 0) {
        session_send_error(session, &problem, protocol_request_id(message), NULL);
        json_decref(message);
        return;
    }
    if (message) {
        handle_or_defer(session, message);
        return;
    }
    if (session->authorized) {
        session_malformed(session, &problem, NULL);
    } else {
        session_refuse_unauthorized(session, NULL);
    }
    problem_finish(&problem);
}

void request_resume(struct server *server)
{
    struct session *session;
    LIST_FOREACH(session, &server->sessions, link)
    {
        json_t *message = session->deferred;
        if (!message)
            continue;
        session->deferred = NULL;
        handle_or_defer(session, message);
        if (!session->deferred)
            session_resume(session, PAUSE_OPERATIONS);
    }
}
