/*
 * The file is opened with the first byte and closed with the last. A buffer goes to the thread pool
 * when less than a whole receive fits into it, so what one callback hands over always fits.
 */
#include "server/upload.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "server/admission.h"
#include "server/blob.h"
#include "server/buffer.h"
#include "server/fetch.h"
#include "server/job.h"
#include "server/metrics.h"
#include "server/session.h"

static void write_rest(struct upload *upload);
static void flush(struct upload *upload);

void upload_init(struct upload *upload, struct job *job, int input, int64_t size)
{
    *upload = (struct upload){.job = job, .input = input, .size = size, .expected = -1, .fd = -1};
}

/* A problem of this upload, with its place. */
static int problem_here(const struct upload *upload, struct problem *problem)
{
    (void)problem_detail(problem, "input", json_integer(upload->input));
    (void)problem_detail(problem, "received", json_integer(upload->received));
    return -1;
}

static int problem_disk(struct problem *problem, int status)
{
    bool full = status == -ENOSPC || status == -EDQUOT;
    return problem_set(problem, full ? "disk_full" : "internal", "an input can't be stored: %s",
                       strerror(-status));
}

static void close_file(struct upload *upload)
{
    if (upload->fd >= 0)
        close(upload->fd);
    upload->fd = -1;
}

static void session_unlink(struct session *session)
{
    LIST_REMOVE(session, sending);
    session->upload = NULL;
    session_upload_room(session);
}

static void unlink_all(struct upload *upload)
{
    struct session *session;
    while ((session = LIST_FIRST(&upload->sessions)))
        session_unlink(session);
}

/* As long as there is room: each may send more, or bring what it had when there was none. */
static void resume_sessions(struct upload *upload)
{
    struct session *session = LIST_FIRST(&upload->sessions);
    while (session && !upload_crowded(upload)) {
        struct session *next = LIST_NEXT(session, sending);
        session_upload_room(session);
        session = upload->stopped || upload->done ? NULL : next; /* then there are none */
    }
}

/* Everything is on disk. */
static void finish(struct upload *upload)
{
    upload->done = true;
    close_file(upload);
    buffer_give(upload->filling);
    upload->filling = NULL;
    unlink_all(upload);
    job_upload_done(upload->job, upload);
}

static void on_written(uv_fs_t *request)
{
    struct upload *upload = request->data;
    ssize_t result = request->result;
    uv_fs_req_cleanup(request);
    if (result > 0) {
        upload->writing_done += (size_t)result;
        upload->written += result;
    }
    if (result <= 0 || upload->stopped || upload->writing_done == upload->writing_size) {
        buffer_give(upload->writing);
        upload->writing = NULL;
    }
    if (upload->stopped) {
        close_file(upload);
        job_upload_idle(upload->job);
        return;
    }
    if (result <= 0) {
        struct problem problem = {0};
        problem_disk(&problem, result < 0 ? (int)result : -ENOSPC);
        job_fail(upload->job, &problem);
        return;
    }
    if (upload->writing) {
        write_rest(upload); /* it was a short write */
        return;
    }
    flush(upload);
    resume_sessions(upload);
    if (upload->stopped || upload->done)
        return;
    if (upload->fetch)
        fetch_resume(upload->fetch);
    if (upload->complete && !upload->writing) {
        finish(upload);
    } else {
        job_upload_moved(upload->job, upload);
    }
}

static void write_rest(struct upload *upload)
{
    uv_buf_t part = uv_buf_init((char *)upload->writing + upload->writing_done,
                                (unsigned)(upload->writing_size - upload->writing_done));
    upload->request.data = upload;
    (void)uv_fs_write(upload->job->server->loop, &upload->request, upload->fd, &part, 1,
                      upload->written, on_written);
}

/* Sends the next buffer, if none is on its way and it is full enough or the last. */
static void flush(struct upload *upload)
{
    bool full = upload->filled + SESSION_RECEIVE_MAX > BUFFER_SIZE;
    bool deserted =
        LIST_EMPTY(&upload->sessions) && !upload->fetched; /* who knows when more comes */
    if (upload->writing || upload->filled == 0 || !(full || deserted || upload->complete))
        return;
    upload->writing = upload->filling;
    upload->writing_size = upload->filled;
    upload->writing_done = 0;
    upload->filling = NULL;
    upload->filled = 0;
    write_rest(upload);
}

static int open_file(struct upload *upload, struct problem *problem)
{
    if (upload->fd >= 0)
        return 0;
    char id[BLOB_ID_MAX];
    blob_id(id, upload->job->id, BLOB_IN, upload->input);
    int fd = blob_open_write(id);
    if (fd < 0)
        return problem_disk(problem, fd);
    upload->fd = fd;
    return 0;
}

int upload_begin(struct upload *upload, struct session *session, int64_t offset,
                 struct problem *problem, bool *ends_job)
{
    *ends_job = false;
    if (offset > upload->received) {
        problem_set(problem, "upload_gap",
                    "input %d has %lld bytes by now, the frame begins at %lld", upload->input,
                    (long long)upload->received, (long long)offset);
        return problem_here(upload, problem);
    }
    if (!upload->done && open_file(upload, problem) < 0) {
        *ends_job = true;
        return -1;
    }
    if (session && session->upload != upload) {
        session->upload = upload;
        LIST_INSERT_HEAD(&upload->sessions, session, sending);
    }
    return 0;
}

/* How much an input may have, and what it is that would be exceeded. */
static int check_size(const struct upload *upload, int64_t end, struct problem *problem)
{
    int64_t largest = upload->job->server->config.max_upload;
    bool announced = upload->size >= 0 && upload->size <= largest;
    int64_t limit = announced ? upload->size : largest;
    if (end <= limit)
        return 0;
    problem_set(problem, "upload_too_large",
                announced ? "input %d has more than the %lld bytes that were announced"
                          : "input %d has more than the %lld bytes that this server takes",
                upload->input, (long long)limit);
    return problem_here(upload, problem);
}

static void pause_sessions(struct upload *upload)
{
    struct session *session;
    LIST_FOREACH(session, &upload->sessions, sending)
    {
        session_pause(session, PAUSE_UPLOAD);
    }
}

bool upload_has_room(const struct upload *upload, size_t size)
{
    return size <= BUFFER_SIZE - upload->filled;
}

bool upload_ready(const struct upload *upload, int64_t offset, size_t size)
{
    int64_t more = offset + (int64_t)size - upload->received;
    return upload->complete || more <= 0 || upload_has_room(upload, (size_t)more);
}

bool upload_crowded(const struct upload *upload)
{
    return upload->writing && !upload_has_room(upload, SESSION_RECEIVE_MAX);
}

int upload_write(struct upload *upload, int64_t offset, const void *data, size_t size,
                 struct problem *problem, bool *ends_job)
{
    *ends_job = false;
    if (check_size(upload, offset + (int64_t)size, problem) < 0) {
        *ends_job = true;
        return -1;
    }
    if (upload->complete || offset + (int64_t)size <= upload->received)
        return 0;
    size_t known = (size_t)(upload->received - offset);
    if (!upload->filling && !(upload->filling = buffer_take())) {
        *ends_job = true;
        return problem_set(problem, "out_of_memory", "no memory for an upload");
    }
    if (size - known > BUFFER_SIZE - upload->filled) {
        *ends_job = true;
        return problem_set(problem, "internal", "an upload came faster than it was asked for");
    }
    if (upload->size < 0 && admission_bytes(upload->job, (int64_t)(size - known), problem) < 0) {
        *ends_job = true;
        return problem_here(upload, problem);
    }
    memcpy(upload->filling + upload->filled, (const char *)data + known, size - known);
    upload->filled += size - known;
    upload->received += (int64_t)(size - known);
    metrics_add(upload->job->server->metrics, METRIC_INPUT_BYTES,
                upload->fetched ? "url" : "upload", NULL, (double)(size - known));
    upload->complete = upload->received == upload->size;
    flush(upload);
    if (upload_crowded(upload))
        pause_sessions(upload);
    job_upload_moved(upload->job, upload);
    return 0;
}

int upload_end(struct upload *upload, bool last, struct problem *problem, bool *ends_job)
{
    *ends_job = false;
    if (upload->done || (upload->complete && (upload->writing || upload->filled > 0)))
        return 0;
    if (!upload->complete && last) {
        if (upload->size >= 0 && upload->received < upload->size) {
            problem_set(problem, "upload_incomplete", "input %d ended after %lld of %lld bytes",
                        upload->input, (long long)upload->received, (long long)upload->size);
            *ends_job = true;
            return problem_here(upload, problem);
        }
        upload->complete = true;
        flush(upload);
    }
    if (upload->complete && !upload->writing)
        finish(upload);
    return 0;
}

void upload_release(struct upload *upload, struct session *session)
{
    if (session->upload != upload)
        return;
    session_unlink(session);
    flush(upload);
}

bool upload_stop(struct upload *upload)
{
    upload->stopped = true;
    unlink_all(upload);
    fetch_cancel(&upload->fetch);
    buffer_give(upload->filling);
    upload->filling = NULL;
    upload->filled = 0;
    if (upload->writing)
        return true;
    close_file(upload);
    return false;
}
