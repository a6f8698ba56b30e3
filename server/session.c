/*
 * A connection's input and output. See session.h; everything runs in libwebsockets' callbacks or
 * in the loop's others.
 *
 * Two of its habits shape this file: a close frame asked for in the writable callback is never
 * sent on this loop, so closing goes through the connection's timer; and that timer is only armed
 * by a callback of libwebsockets, so it is set in the writable callback.
 */
#include "server/session.h"

#include <stdlib.h>
#include <string.h>

#include "server/delivery.h"
#include "server/job.h"
#include "server/journal.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/request.h"
#include "server/upload.h"

#define QUEUE_MAX        (256 * 1024) /* bytes to be sent; then reading stops */
#define WRITES_AT_A_TIME 32
#define MALFORMED_MAX    3
#define HELLO_TIMEOUT_US (10 * LWS_US_PER_SEC)
#define SEEN_MAX         1000
#define TEXT_FIRST       1024

static double seconds_now(const struct session *session)
{
    return (double)uv_now(session->server->loop) / 1000;
}

int session_established(struct server *server, struct lws *wsi, struct session **slot,
                        const char *caller, const char *address)
{
    struct session *session = calloc(1, sizeof(*session));
    if (!session)
        return -1;
    session->server = server;
    session->wsi = wsi;
    session->number = ++server->sessions_made;
    session->caller = strdup(caller ? caller : "");
    if (!session->caller) {
        free(session);
        return -1;
    }
    (void)snprintf(session->address, sizeof(session->address), "%s", address);
    session->authorized = caller != NULL;
    session->receiving = RECEIVE_DISCARD;
    TAILQ_INIT(&session->queue);
    TAILQ_INIT(&session->deliveries);
    LIST_INIT(&session->jobs);
    LIST_INSERT_HEAD(&server->sessions, session, link);
    server->session_count++;
    metrics_add(server->metrics, METRIC_CONNECTIONS, NULL, NULL, 1);
    *slot = session;
    if (!session->authorized)
        lws_set_timer_usecs(wsi, HELLO_TIMEOUT_US);
    log_debug("connected", LOG_INTEGER("session", (int64_t)session->number),
              LOG_TEXT("address", address));
    return 0;
}

static void text_drop(struct session *session)
{
    free(session->text);
    session->text = NULL;
    session->text_size = session->text_capacity = 0;
}

void session_closed(struct session *session)
{
    struct server *server = session->server;
    session->close_code = session->close_code ? session->close_code : CLOSE_NORMAL;
    session->wsi = NULL;
    if (session->upload)
        upload_release(session->upload, session);
    job_detach_all(session);
    struct delivery *delivery;
    while ((delivery = TAILQ_FIRST(&session->deliveries)))
        delivery_destroy(&delivery);
    struct outgoing *outgoing;
    while ((outgoing = TAILQ_FIRST(&session->queue))) {
        TAILQ_REMOVE(&session->queue, outgoing, link);
        free(outgoing);
    }
    json_decref(session->deferred);
    json_decref(session->seen);
    text_drop(session);
    LIST_REMOVE(session, link);
    server->session_count--;
    log_debug("disconnected", LOG_INTEGER("session", (int64_t)session->number));
    free(session->caller);
    free(session);
    server_check_drain(server);
}

void session_remember(struct session *session, const char *job)
{
    if (!session->seen)
        session->seen = json_object();
    (void)json_object_del(session->seen, job); /* to be the newest again */
    (void)json_object_set_new(session->seen, job, json_true());
    if (json_object_size(session->seen) <= SEEN_MAX)
        return;
    void *oldest = json_object_iter(session->seen);
    char id[IDENTIFIER_SIZE];
    (void)snprintf(id, sizeof(id), "%s", json_object_iter_key(oldest));
    (void)json_object_del(session->seen, id);
}

/* ---- output ---- */

void session_wake(struct session *session)
{
    if (session->wsi)
        (void)lws_callback_on_writable(session->wsi);
}

void session_send(struct session *session, json_t *message)
{
    session_send_safe(session, message, 0);
}

void session_send_safe(struct session *session, json_t *message, uint64_t ticket)
{
    size_t size = message ? json_dumpb(message, NULL, 0, JSON_COMPACT) : 0;
    struct outgoing *outgoing = size ? malloc(sizeof(*outgoing) + LWS_PRE + size) : NULL;
    if (outgoing) {
        outgoing->ticket = ticket;
        outgoing->size = size;
        outgoing->data = (unsigned char *)(outgoing + 1) + LWS_PRE;
        (void)json_dumpb(message, (char *)outgoing->data, size, JSON_COMPACT);
        TAILQ_INSERT_TAIL(&session->queue, outgoing, link);
        session->queued += size;
        if (session->queued > QUEUE_MAX)
            session_pause(session, PAUSE_OUTPUT);
    } else {
        session_close(session, LWS_CLOSE_STATUS_UNEXPECTED_CONDITION, "out of memory");
    }
    json_decref(message);
    session_wake(session);
}

struct outgoing *session_newest(struct session *session)
{
    return TAILQ_LAST(&session->queue, outgoing_list);
}

void session_hold_after(struct session *session, struct outgoing *message, uint64_t ticket)
{
    message = message ? TAILQ_NEXT(message, link) : TAILQ_FIRST(&session->queue);
    for (; message; message = TAILQ_NEXT(message, link))
        message->ticket = message->ticket > ticket ? message->ticket : ticket;
}

void session_send_error(struct session *session, struct problem *problem, const char *request_id,
                        const char *job_id)
{
    metrics_add(session->server->metrics, METRIC_REJECTED, problem->code, NULL, 1);
    session_send(session, protocol_error(problem, request_id, job_id, false));
    problem_finish(problem);
}

bool session_idle(const struct session *session)
{
    return session->queued < QUEUE_MAX / 4;
}

void session_close(struct session *session, int code, const char *reason)
{
    if (session->close_code)
        return;
    session->close_code = code;
    session->close_reason = reason;
    log_debug("closing", LOG_INTEGER("session", (int64_t)session->number),
              LOG_INTEGER("code", code), LOG_TEXT("reason", reason));
    session_wake(session);
}

/* Whether the next text message still waits for the journal. */
static bool holds(struct session *session)
{
    const struct outgoing *outgoing = TAILQ_FIRST(&session->queue);
    if (!outgoing)
        return false;
    uint64_t ticket = outgoing->ticket; // NOLINT(clang-analyzer-unix.Malloc): what was freed is out
    if (journal_safe(session->server->journal, ticket))
        return false;
    session->held = true;
    return true;
}

void session_release(struct session *session)
{
    if (!session->held)
        return;
    session->held = false;
    session_wake(session);
    delivery_resume(session);
}

/* Writes the first text message. 0, or -1 if the connection is broken. */
static int write_text(struct session *session)
{
    struct outgoing *outgoing = TAILQ_FIRST(&session->queue);
    TAILQ_REMOVE(&session->queue, outgoing, link);
    session->queued -= outgoing->size;
    int written = lws_write(session->wsi, outgoing->data, outgoing->size, LWS_WRITE_TEXT);
    free(outgoing);
    if (session->queued < QUEUE_MAX / 2)
        session_resume(session, PAUSE_OUTPUT);
    return written < 0 ? -1 : 0;
}

int session_writable(struct session *session)
{
    for (int i = 0; i < WRITES_AT_A_TIME && !lws_partial_buffered(session->wsi); i++) {
        if (holds(session))
            return 0;
        if (!TAILQ_EMPTY(&session->queue)) {
            if (write_text(session) < 0)
                return -1;
            continue;
        }
        int written = session->close_code ? 0 : delivery_write(session);
        if (written < 0)
            return -1;
        if (written == 0)
            break;
    }
    bool more = !TAILQ_EMPTY(&session->queue);
    if (more || (!session->close_code && delivery_ready(session))) {
        session_wake(session);
    } else if (session->close_code && !session->close_now) {
        if (lws_partial_buffered(session->wsi)) {
            session_wake(session);
        } else {
            session->close_now = true;
            lws_set_timer_usecs(session->wsi, 1);
        }
    }
    return 0;
}

int session_timer(struct session *session)
{
    if (!session->close_code) {
        if (!session->authorized)
            session_close(session, CLOSE_HELLO_TIMEOUT, "no hello");
        return 0;
    }
    if (!session->close_now)
        return 0;
    const char *reason = session->close_reason;
    lws_close_reason(session->wsi, (enum lws_close_status)session->close_code,
                     (unsigned char *)reason, strlen(reason));
    return -1;
}

/* ---- input ---- */

static void apply_pauses(struct session *session, unsigned paused)
{
    bool was = session->paused != 0, is = paused != 0;
    session->paused = paused;
    if (was != is && session->wsi)
        (void)lws_rx_flow_control(session->wsi, !is);
}

void session_pause(struct session *session, enum session_pause why)
{
    apply_pauses(session, session->paused | (unsigned)why);
}

void session_resume(struct session *session, enum session_pause why)
{
    apply_pauses(session, session->paused & ~(unsigned)why);
}

/* False: too many. */
static bool allowed(struct session *session)
{
    int64_t limit = session->server->config.messages_per_second;
    if (rate_take(&session->messages, (double)limit, seconds_now(session)))
        return true;
    struct problem problem = {0};
    problem_set(&problem, "rate_limited", "more than %lld messages a second", (long long)limit);
    session_send_error(session, &problem, NULL, NULL);
    session_close(session, CLOSE_TOO_MANY, "too many messages");
    return false;
}

static void refuse_size(struct session *session, const char *what, int64_t limit)
{
    struct problem problem = {0};
    problem_set(&problem, "message_too_large", "%s has more than %lld bytes", what,
                (long long)limit);
    problem_detail(&problem, "limit", json_integer(limit));
    session_send_error(session, &problem, NULL, NULL);
    session_close(session, CLOSE_TOO_LARGE, "message too large");
    session->receiving = RECEIVE_DISCARD;
}

static void count_malformed(struct session *session)
{
    if (++session->malformed >= MALFORMED_MAX)
        session_close(session, CLOSE_MALFORMED, "malformed messages");
}

/* The error of a message that could not be read. */
static void refuse_header(struct session *session, struct problem *problem)
{
    session->receiving = RECEIVE_DISCARD;
    session_send_error(session, problem, NULL, NULL);
    count_malformed(session);
}

void session_malformed(struct session *session, struct problem *problem, const char *request_id)
{
    session_send_error(session, problem, request_id, NULL);
    count_malformed(session);
}

void session_refuse_unauthorized(struct session *session, const char *request_id)
{
    struct problem problem = {0};
    problem_set(&problem, "unauthorized", "this server wants a token it knows");
    session_send_error(session, &problem, request_id, NULL);
    session_close(session, CLOSE_UNAUTHORIZED, "unauthorized");
    session->receiving = RECEIVE_DISCARD;
}

static bool text_append(struct session *session, const void *data, size_t size)
{
    size_t need = session->text_size + size;
    if (need > session->text_capacity) {
        size_t capacity = session->text_capacity ? session->text_capacity : TEXT_FIRST;
        while (capacity < need)
            capacity *= 2;
        unsigned char *grown = realloc(session->text, capacity);
        if (!grown) {
            session_close(session, LWS_CLOSE_STATUS_UNEXPECTED_CONDITION, "out of memory");
            return false;
        }
        session->text = grown;
        session->text_capacity = capacity;
    }
    if (size)
        memcpy(session->text + session->text_size, data, size);
    session->text_size = need;
    return true;
}

static void receive_text(struct session *session, const char *data, size_t size, bool final)
{
    size_t limit = (size_t)session->server->config.max_message;
    size_t announced = lws_remaining_packet_payload(session->wsi);
    if (session->message_size > limit || announced > limit - session->message_size) {
        refuse_size(session, "a text message", (int64_t)limit);
        return;
    }
    if (final && session->text_size == 0) {
        request_receive(session, data, size);
    } else if (text_append(session, data, size) && final) {
        request_receive(session, (const char *)session->text, session->text_size);
    }
    if (final)
        text_drop(session);
}

/* An upload ended in a way that concerns its job, or the request only. */
static void refuse_upload(struct session *session, struct job *job, struct problem *problem,
                          bool ends_job)
{
    session->receiving = RECEIVE_DISCARD;
    if (session->upload)
        upload_release(session->upload, session);
    if (ends_job) {
        job_fail(job, problem);
    } else {
        session_send_error(session, problem, NULL, job->id);
    }
}

/* The upload that a header names; NULL with the problem, or without one: drop it silently. */
static struct upload *find_upload(struct session *session, const struct frame_upload *frame,
                                  struct problem *problem)
{
    struct job *job = job_find(session->server, frame->job);
    bool foreign =
        job && session->server->callers.count && strcmp(job->caller, session->caller) != 0;
    if (!job || foreign) {
        if (foreign || !journal_get(session->server->journal, frame->job))
            problem_set(problem, "job_not_found", "there is no such job");
        return NULL;
    }
    if (job_ended(job))
        return NULL;
    if (frame->input >= job->input_count) {
        problem_set(problem, "invalid_header", "the job has %d inputs, there is no input %d",
                    job->input_count, frame->input);
        problem_place(problem, "input", NULL, NULL);
        return NULL;
    }
    const struct upload *upload = &job->uploads[frame->input];
    if (upload->fetched || upload->linked) {
        problem_set(problem, "invalid_header", "input %d comes from %s, not from a client",
                    frame->input, upload->linked ? "another job" : "a URL");
        problem_place(problem, "input", NULL, NULL);
        return NULL;
    }
    return &job->uploads[frame->input];
}

static void begin_payload(struct session *session)
{
    struct problem problem = {0};
    const struct frame_upload *frame = &session->frame;
    struct upload *upload = find_upload(session, frame, &problem);
    session->receiving = RECEIVE_DISCARD;
    if (session->upload && session->upload != upload)
        upload_release(session->upload, session);
    if (!upload) {
        if (problem.code)
            session_send_error(session, &problem, NULL, frame->job[0] ? frame->job : NULL);
        return;
    }
    bool ends_job;
    if (upload_begin(upload, session, frame->offset, &problem, &ends_job) < 0) {
        refuse_upload(session, upload->job, &problem, ends_job);
        return;
    }
    session->position = frame->offset;
    session->receiving = RECEIVE_PAYLOAD;
}

/* Takes bytes until length and header are there; returns how many of these were theirs. */
static size_t receive_header(struct session *session, const unsigned char *data, size_t size,
                             bool final)
{
    struct problem problem = {0};
    size_t before = session->text_size;
    size_t room = FRAME_PREFIX_MAX - before;
    size_t taken = size < room ? size : room;
    if (!text_append(session, data, taken))
        return size;
    int prefix =
        frame_prefix_size(session->text, session->text_size, final && taken == size, &problem);
    if (prefix == 0)
        return taken;
    if (prefix < 0 ||
        frame_parse_upload((const char *)session->text + FRAME_LENGTH_SIZE,
                           (size_t)prefix - FRAME_LENGTH_SIZE, &session->frame, &problem) < 0) {
        text_drop(session);
        refuse_header(session, &problem);
        return size;
    }
    text_drop(session);
    begin_payload(session);
    return (size_t)prefix - before;
}

/* Keeps a payload until the upload has room: another connection has filled it. */
static void keep_late(struct session *session, const unsigned char *data, size_t size, bool final)
{
    unsigned char *late = session->late ? NULL : malloc(size); /* while it is paused none comes */
    if (!late) {
        session_close(session, LWS_CLOSE_STATUS_UNEXPECTED_CONDITION, "no room for input");
        return;
    }
    session->late = late;
    memcpy(session->late, data, size);
    session->late_size = size;
    session->late_final = final;
    session_pause(session, PAUSE_UPLOAD);
}

static void receive_payload(struct session *session, const unsigned char *data, size_t size,
                            bool final)
{
    struct problem problem = {0};
    struct upload *upload = session->upload;
    if (!upload) { /* it is complete, or its job has ended */
        session->receiving = RECEIVE_DISCARD;
        return;
    }
    if (session->late || (size && !upload_ready(upload, session->position, size))) {
        keep_late(session, data, size, final);
        return;
    }
    struct job *job = upload->job;
    bool ends_job = false;
    int status = 0;
    if (size)
        status = upload_write(upload, session->position, data, size, &problem, &ends_job);
    session->position += (int64_t)size;
    if (status == 0 && final)
        status = upload_end(upload, session->frame.last, &problem, &ends_job);
    if (status < 0)
        refuse_upload(session, job, &problem, ends_job);
}

void session_upload_room(struct session *session)
{
    unsigned char *late = session->late;
    session->late = NULL;
    if (late && !session->close_code)
        receive_payload(session, late, session->late_size, session->late_final);
    free(late);
    if (!session->late && !(session->upload && upload_crowded(session->upload)))
        session_resume(session, PAUSE_UPLOAD);
}

static void receive_binary(struct session *session, const unsigned char *data, size_t size,
                           bool final)
{
    size_t limit = SERVER_UPLOAD_FRAME_MAX + FRAME_PREFIX_MAX;
    size_t announced = lws_remaining_packet_payload(session->wsi);
    if (session->message_size > limit || announced > limit - session->message_size) {
        refuse_size(session, "a binary message", (int64_t)limit);
        return;
    }
    if (session->receiving == RECEIVE_HEADER) {
        size_t taken = receive_header(session, data, size, final);
        data += taken;
        size -= taken;
    }
    if (session->receiving == RECEIVE_PAYLOAD)
        receive_payload(session, data, size, final);
}

int session_receive(struct session *session, void *data, size_t size)
{
    bool first = lws_is_first_fragment(session->wsi);
    bool final = lws_is_final_fragment(session->wsi);
    bool binary = lws_frame_is_binary(session->wsi);
    if (session->close_code)
        return 0;
    if (((first && !binary) || size == 0) && !allowed(session))
        return 0;
    if (first) {
        text_drop(session);
        session->message_size = 0;
        session->receiving = binary ? RECEIVE_HEADER : RECEIVE_TEXT;
        if (binary && !session->authorized) {
            session_refuse_unauthorized(session, NULL);
            return 0;
        }
    }
    session->message_size += size;
    if (session->receiving == RECEIVE_DISCARD)
        return 0;
    if (session->receiving == RECEIVE_TEXT) {
        receive_text(session, data, size, final);
    } else {
        receive_binary(session, data, size, final);
    }
    return 0;
}
