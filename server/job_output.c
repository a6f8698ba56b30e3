/*
 * A job and its listener: who is attached, what is pushed to it, and the last word, which waits
 * until every byte before it is on its way.
 */
#include "server/job_internal.h"

#include <string.h>

#include "server/blob.h"
#include "server/delivery.h"
#include "server/journal.h"
#include "server/log.h"
#include "server/session.h"
#include "server/upload.h"

/* Says the last word, if there is anyone to hear it. */
void job_say(struct job *job)
{
    if (job->session && !job->said) {
        job->said = true;
        session_send_safe(job->session, json_incref(job->word), job->ticket);
    }
    job_settle(job);
}

static void on_delivered(struct delivery *delivery, int status, void *opaque)
{
    struct job *job = opaque;
    (void)delivery;
    job->delivery = NULL;
    if (status < 0) {
        log_error("delivery_failed", LOG_TEXT("job", job->id),
                  LOG_TEXT("reason", strerror(-status)));
    }
    if (job_ended(job))
        job_say(job);
}

/* The delivery to the attached session, made when first needed; NULL where none is wanted. */
static struct delivery *delivery_of(struct job *job)
{
    if (!job->delivery && job->session && job->push) {
        job->delivery =
            delivery_create(job->session, job->id, job->attempt, NULL, on_delivered, job);
    }
    if (job->delivery)
        job->delivery->ticket = job->ticket;
    return job->delivery;
}

static void push_output(struct job *job, const json_t *entry, int64_t from)
{
    struct delivery *delivery = delivery_of(job);
    int64_t size = json_integer_value(json_object_get(entry, "size"));
    if (!delivery || from > size)
        return;
    int index = (int)json_integer_value(json_object_get(entry, "index"));
    const char *name = json_string_value(json_object_get(entry, "name"));
    if (delivery_add(delivery, index, name, size, from, size) < 0)
        log_error("delivery_failed", LOG_TEXT("job", job->id), LOG_TEXT("reason", "out of memory"));
}

static json_int_t index_at(const json_t *list, size_t position)
{
    const json_t *index = json_object_get(json_array_get(list, position), "index");
    return index ? json_integer_value(index) : -1;
}

/* Whether the event speaks of a file of this job that comes after all before. */
static bool announces(const struct job *job, const json_t *event)
{
    const json_t *index = json_object_get(event, "index");
    const char *blob = json_string_value(json_object_get(event, "blob"));
    char own[BLOB_ID_MAX];
    if (!json_is_integer(index) || json_integer_value(index) >= JOB_OUTPUTS_MAX ||
        json_integer_value(index) <= index_at(job->made, json_array_size(job->made) - 1) || !blob)
        return false;
    blob_id(own, job->id, BLOB_OUT, (int)json_integer_value(index));
    return strcmp(own, blob) == 0;
}

static void refuse_output(struct job *job)
{
    struct problem problem = {0};
    problem_set(&problem, "internal", "the worker announced an output that isn't one");
    job_fail(job, &problem);
}

void job_add_made(struct job *job, const json_t *event)
{
    const json_t *size = json_object_get(event, "size");
    const char *name = json_string_value(json_object_get(event, "name"));
    if (!announces(job, event) || !json_is_integer(size) || json_integer_value(size) < 0 || !name ||
        strlen(name) > JOB_NAME_MAX) {
        refuse_output(job);
        return;
    }
    json_t *entry = json_copy((json_t *)event);
    (void)json_array_append_new(job->made, entry);
    job_moved(job);
    push_output(job, entry, 0);
}

void job_add_output(struct job *job, const json_t *event)
{
    json_t *entry = job_output_entry(job, event);
    json_int_t expected = index_at(job->made, json_array_size(job->outputs));
    if (!entry || json_integer_value(json_object_get(entry, "index")) != expected) {
        json_decref(entry);
        refuse_output(job);
        return;
    }
    (void)json_array_append_new(job->outputs, entry);
    job_moved(job);
}

void job_deliver_rest(struct job *job)
{
    if (!job_ended(job))
        return;
    if (job->delivery) {
        delivery_end(job->delivery);
    } else {
        job_say(job);
    }
}

void job_attach(struct job *job, struct session *session)
{
    delivery_destroy(&job->delivery);
    if (job->session)
        LIST_REMOVE(job, attached);
    job->session = session;
    job->grace_deadline = 0;
    LIST_INSERT_HEAD(&session->jobs, job, attached);
    session_remember(session, job->id);
    /* It goes on from all that came, which is on its way to the disk, though the connection that
     * sent it may still seem to be there. */
    for (int i = 0; i < job->input_count; i++) {
        struct upload *upload = &job->uploads[i];
        if (session->upload != upload)
            upload->acknowledged = upload->received;
    }
}

const json_t *job_find_output(const json_t *outputs, json_int_t number)
{
    size_t index;
    json_t *entry;
    json_array_foreach((json_t *)outputs, index, entry)
    {
        if (json_integer_value(json_object_get(entry, "index")) == number)
            return entry;
    }
    return NULL;
}

int64_t job_received(const json_t *received, int output, int attempt, int64_t size)
{
    size_t index;
    json_t *entry;
    json_array_foreach((json_t *)received, index, entry)
    {
        if (json_integer_value(json_object_get(entry, "output")) != output ||
            json_integer_value(json_object_get(entry, "attempt")) != attempt)
            continue;
        int64_t bytes = json_integer_value(json_object_get(entry, "received"));
        return bytes < size ? bytes : size;
    }
    return 0;
}

void job_catch_up(struct job *job, const json_t *received)
{
    job->push = received && job->deliver != DELIVER_PULL;
    if (job->said)
        job->seq = job->seq_limit; /* what is said again comes after the word that was said */
    job->said = false;
    job_send_progress(job);
    size_t index;
    json_t *entry;
    json_array_foreach(job->made, index, entry)
    {
        int output = (int)json_integer_value(json_object_get(entry, "index"));
        int64_t size = json_integer_value(json_object_get(entry, "size"));
        if (job->state < JOB_FAILED)
            push_output(job, entry, job_received(received, output, job->attempt, size));
    }
    job_schedule(job);
    job_deliver_rest(job);
}

void job_detach_all(struct session *session)
{
    struct job *job;
    while ((job = LIST_FIRST(&session->jobs))) {
        LIST_REMOVE(job, attached);
        job->session = NULL;
        delivery_destroy(&job->delivery);
        if (!job_ended(job) && !job->detach) {
            uint64_t grace = (uint64_t)job->server->config.reconnect_grace;
            job->grace_deadline = uv_now(job->server->loop) + grace + 1;
        }
        job_schedule(job);
        job_settle(job);
    }
}
