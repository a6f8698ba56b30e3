/*
 * A job that is made again from its record, after the server that had it was killed or stopped.
 *
 * What was received of an upload is what the file holds: a file system makes a file longer only
 * after the bytes are in it. An input is complete if it has as many bytes as were announced, or as
 * the journal was told at its end; a fetch that isn't complete begins anew. A job whose inputs are
 * all there waits for its turn; else it waits for them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/admission.h"
#include "server/blob.h"
#include "server/job_internal.h"
#include "server/journal.h"
#include "server/log.h"
#include "server/scheduler.h"
#include "server/upload.h"

#define ATTEMPTS_MAX 3

/* How many bytes the whole of it has; negative: nobody has said so. */
static int64_t length_of(const struct upload *upload, const json_t *record)
{
    char name[24];
    (void)snprintf(name, sizeof(name), "length-%d", upload->input);
    const json_t *told = json_object_get(record, name);
    return json_is_integer(told) ? json_integer_value(told) : upload->size;
}

static void upload_restore(struct upload *upload, const json_t *record)
{
    char id[BLOB_ID_MAX];
    blob_id(id, upload->job->id, BLOB_IN, upload->input);
    int64_t length = length_of(upload, record), there = blob_size(id);
    if (length == 0) {
        int fd = blob_open_write(id);
        if (fd >= 0)
            close(fd);
    }
    there = there > 0 ? there : 0;
    bool complete = length >= 0 && there >= length;
    if (!complete && upload->fetched)
        return;
    upload->received = complete ? length : there;
    upload->written = upload->acknowledged = upload->received;
    upload->complete = upload->done = complete;
    if (complete)
        upload->job->uploads_missing--;
}

struct job *job_restore(struct server *server, const json_t *record)
{
    struct job *job = calloc(1, sizeof(*job));
    const char *id = json_string_value(json_object_get(record, "id"));
    const char *caller = json_string_value(json_object_get(record, "caller"));
    if (!job)
        return NULL;
    bool filled = job_fill(job, server, caller, record, json_object_get(record, "inputs"));
    memcpy(job->id, id, sizeof(job->id));
    if (!filled || !table_put(&server->jobs, job->id, job)) {
        job_free(job);
        return NULL;
    }
    job->attempt = (int)json_integer_value(json_object_get(record, "attempt"));
    job->lane = (enum journal_lane)json_integer_value(json_object_get(record, "lane"));
    job->created = json_number_value(json_object_get(record, "created"));
    job->push = false; /* who attaches says what it wants */
    job->seq = json_integer_value(json_object_get(record, "seq"));
    job->seq_limit = job->seq; /* the next number reserves more */
    job->queued = protocol_now();
    job_link_describe(job, record);
    for (int i = 0; i < job->input_count; i++)
        upload_restore(&job->uploads[i], record);
    admission_keep(job);
    (void)uv_timer_init(server->loop, &job->timer);
    job->timer.data = job;
    server->jobs_counted.total++;
    return job;
}

static bool used_up(const json_t *record)
{
    return json_is_true(json_object_get(record, "claimed")) &&
           json_integer_value(json_object_get(record, "attempt")) >= ATTEMPTS_MAX;
}

void job_go_on(struct job *job)
{
    struct server *server = job->server;
    const json_t *record = journal_get(server->journal, job->id);
    const char *state = json_string_value(json_object_get(record, "state"));
    bool waits = job->uploads_missing == 0 && strcmp(state, "uploading") != 0;
    if (waits) {
        job->state = JOB_QUEUED;
        job->charge = scheduler_charge(record);
    }
    if (used_up(record)) {
        struct problem problem = {0};
        problem_set(&problem, "interrupted",
                    "the job was run %d times, and each time the server was stopped", ATTEMPTS_MAX);
        job_fail(job, &problem);
        return;
    }
    if (!job->detach) {
        uint64_t grace = (uint64_t)server->config.reconnect_grace;
        job->grace_deadline = uv_now(server->loop) + grace + 1;
    }
    if (job->uploads_missing > 0) {
        job_await_upload(job);
        job_fetch_begin(job);
    } else if (!waits) {
        job_inputs_done(job);
    }
    if (!job_ended(job))
        job_schedule(job);
}
