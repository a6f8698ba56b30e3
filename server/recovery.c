/*
 * Recovery happens once, at the start, on the loop's thread and before the loop runs; so it may
 * wait, within bounds, and look at every folder.
 */
#include "server/recovery.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/blob.h"
#include "server/job.h"
#include "server/journal.h"
#include "server/log.h"
#include "server/scheduler.h"
#include "server/server.h"

#define PATIENCE_MS 5000 /* for the workers of a dead server to be gone, all told */
#define PAUSE_MS    5

struct recovering {
    struct server *server;
    json_t *ids; /* of what had not ended */
    int64_t waited_ms, ran, swept;
};

/* ---- jobs ---- */

static void note_id(const json_t *record, void *opaque)
{
    struct recovering *recovering = opaque;
    (void)json_array_append(recovering->ids, json_object_get(record, "id"));
}

/* Until no worker of the dead server holds the job's folder. */
static int await_free(struct recovering *recovering, const char *id)
{
    static const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};
    int status;
    while ((status = blob_check_free(id)) == -EWOULDBLOCK && recovering->waited_ms < PATIENCE_MS) {
        (void)nanosleep(&pause, NULL);
        recovering->waited_ms += PAUSE_MS;
    }
    return status == -ENOENT ? blob_make_job(id) : status;
}

static int restore(struct recovering *recovering, const char *id)
{
    struct server *server = recovering->server;
    int status = await_free(recovering, id);
    if (status == 0)
        status = blob_keep_only(id, BLOB_IN);
    if (status < 0)
        return status;
    const struct job *job = job_restore(server, journal_get(server->journal, id));
    if (!job)
        return -ENOMEM;
    const json_t *record = journal_get(server->journal, id);
    const char *state = json_string_value(json_object_get(record, "state"));
    recovering->ran += strcmp(state, "running") == 0;
    if (strcmp(state, "uploading") != 0)
        (void)journal_resume(server->journal, id, job->uploads_missing == 0);
    return 0;
}

static int restore_all(struct recovering *recovering, struct config_error *error)
{
    size_t index;
    json_t *id;
    journal_unfinished(recovering->server->journal, note_id, recovering);
    json_array_foreach(recovering->ids, index, id)
    {
        int status = restore(recovering, json_string_value(id));
        if (status == 0)
            continue;
        (void)snprintf(error->message, sizeof(error->message),
                       status == -EWOULDBLOCK
                           ? "LUMA_DIR: a worker of an earlier lumad still holds job %s"
                           : "LUMA_DIR: job %s can't be taken up again: %s",
                       json_string_value(id), strerror(-status));
        return -1;
    }
    return 0;
}

/* ---- folders ---- */

static bool sweep(const char *id, void *opaque)
{
    struct recovering *recovering = opaque;
    if (job_find(recovering->server, id))
        return true;
    const json_t *record = journal_get(recovering->server->journal, id);
    if (!record && journal_unreadable(recovering->server->journal)) {
        log_warning("folder_left", LOG_TEXT("job", id),
                    LOG_TEXT("reason", "its record can't be read"));
        return true;
    }
    const char *state = json_string_value(json_object_get(record, "state"));
    bool results =
        state && strcmp(state, "completed") == 0 && !json_object_get(record, "results_gone");
    recovering->swept += !results;
    int status = results ? blob_keep_only(id, BLOB_OUT) : blob_remove_job(id);
    if (status < 0) {
        log_warning("folder_left", LOG_TEXT("job", id), LOG_TEXT("reason", strerror(-status)));
    }
    return true;
}

int recovery_begin(struct server *server, struct config_error *error)
{
    struct recovering recovering = {.server = server, .ids = json_array()};
    int status = recovering.ids ? restore_all(&recovering, error) : -1;
    if (status == 0)
        (void)blob_jobs(sweep, &recovering);
    if (json_array_size(recovering.ids) > 0 || recovering.swept > 0) {
        log_info("recovered", LOG_INTEGER("jobs", (int64_t)json_array_size(recovering.ids)),
                 LOG_INTEGER("ran", recovering.ran), LOG_INTEGER("swept", recovering.swept));
    }
    json_decref(recovering.ids);
    return status;
}

static void note_job(const json_t *record, void *opaque)
{
    (void)json_array_append(opaque, json_object_get(record, "id"));
}

void recovery_end(struct server *server)
{
    json_t *ids = json_array();
    journal_unfinished(server->journal, note_job, ids);
    size_t index;
    json_t *id;
    json_array_foreach(ids, index, id)
    {
        struct job *job = job_find(server, json_string_value(id));
        if (job && !job_ended(job))
            job_go_on(job);
    }
    json_decref(ids);
    scheduler_wake(server->scheduler);
}
