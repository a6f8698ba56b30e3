/*
 * An upload: an input whose bytes come from a socket and go to the disk through the thread pool.
 * They come from a session, or from a fetch where the input is a URL (job_fetch.c).
 *
 * Two buffers: one is filled while the other is written. When both are taken, the sessions or the
 * fetch are paused. What was received before is skipped, a gap is an error that changes nothing.
 *
 * More than one session may send the same input: a client that comes back, and what its lost
 * connection had still sent. Each brings its frames in order, and none begins behind a gap, so that
 * together they do no harm: whoever has the next byte adds it.
 */
#ifndef LUMA_SERVER_UPLOAD_H
#define LUMA_SERVER_UPLOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uv.h>

#include "server/protocol.h"

struct fetch;
struct job;
struct session;

struct upload {
    struct job *job;
    int input;
    int64_t size;         /* announced; negative: not */
    int64_t received;     /* in order, without a gap */
    int64_t written;      /* of those, on disk */
    int64_t acknowledged; /* the client knows of these */
    bool complete;        /* all received */
    bool done;            /* and all written, the file closed */
    bool stopped;         /* the job has ended */

    bool fetched;        /* from a URL: no session sends it */
    bool linked;         /* an output of another job: it is there from the start */
    int64_t expected;    /* by what the other side says; negative: it doesn't */
    struct fetch *fetch; /* that brings it now; NULL: none */

    int fd;                        /* negative: not open */
    LIST_HEAD(, session) sessions; /* that send now */
    unsigned char *filling, *writing;
    size_t filled, writing_size, writing_done;
    uv_fs_t request; /* in flight while writing isn't NULL */
};

void upload_init(struct upload *upload, struct job *job, int input, int64_t size);
/* A frame of the session (NULL: a fetch) begins. 0, or -1 with the problem; *ends_job says that it
 * is the job's end too. */
int upload_begin(struct upload *upload, struct session *session, int64_t offset,
                 struct problem *problem, bool *ends_job);
/* Its payload, in order; at most SESSION_RECEIVE_MAX bytes, for which there must be room. May pause
 * the sessions. */
int upload_write(struct upload *upload, int64_t offset, const void *data, size_t size,
                 struct problem *problem, bool *ends_job);
/* Whether so many new bytes can be taken now. */
bool upload_has_room(const struct upload *upload, size_t size);
/* Whether what a session has can be taken now; if not, it waits for session_upload_room(). */
bool upload_ready(const struct upload *upload, int64_t offset, size_t size);
/* Whether sessions wait for room. */
bool upload_crowded(const struct upload *upload);
/* The frame ended. */
int upload_end(struct upload *upload, bool last, struct problem *problem, bool *ends_job);
/* The session goes away or does something else. */
void upload_release(struct upload *upload, struct session *session);
/* The job has ended: nothing more is taken. True if a write is still in flight; then
 * job_upload_idle() is called when it isn't any more. */
bool upload_stop(struct upload *upload);

#endif
