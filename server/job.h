/*
 * A job: a record and its state machine.
 *
 *   uploading → queued → running → completed
 *                  ↑________|        failed, cancelled: from anywhere before
 *              (deferred)
 *
 * Whatever happens, a job ends once and has one last word; whoever comes later changes nothing. It
 * outlives its session: without one it runs on for the grace (or for good, detached), and its last
 * word stays in the journal. In memory it stays until the word has been said, its worker has been
 * reaped and no write of its uploads is in flight.
 */
#ifndef LUMA_SERVER_JOB_H
#define LUMA_SERVER_JOB_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uv.h>

#include "server/identifier.h"
#include "server/journal.h"
#include "server/protocol.h"
#include "server/server.h"

struct delivery;
struct run;
struct session;
struct upload;
struct worker_exit;

enum job_state {
    JOB_UPLOADING,
    JOB_QUEUED,
    JOB_RUNNING,
    JOB_COMPLETED,
    JOB_FAILED,
    JOB_CANCELLED,
};

enum job_delivery { DELIVER_PUSH, DELIVER_STREAM, DELIVER_PULL };

/* What the worker said last of how far it is. */
struct job_progress {
    double percent, eta; /* NAN: not known */
    double time, duration, fps, speed;
    int64_t frames, output_bytes;
};

struct job {
    struct server *server;
    char id[IDENTIFIER_SIZE];
    char *caller, *operation;
    json_t *inputs; /* as the client described them */
    json_t *options;
    json_t *metadata; /* NULL without */
    json_t *linked;   /* inputs that are outputs of other jobs (job_link.c), NULL without */
    enum job_delivery deliver;
    bool push;    /* outputs go to the session that is attached now */
    bool deleted; /* a client wants nothing to be left of it */
    bool detach;

    enum job_state state;
    int attempt;
    int64_t seq;       /* of the last message */
    int64_t seq_limit; /* by the journal, no message has had this one yet (job_message.c) */
    uint64_t ticket;   /* of the journal; what is said of the job waits until it is safe */
    double created, queued, started, ended; /* seconds since the epoch; 0: not yet */
    double waited;                          /* seconds in the queue, all told */
    double cpu_seconds;                     /* of workers that were reaped */
    int64_t peak_memory_bytes;
    bool expected;   /* a process has been made ready for it */
    bool logged;     /* its end is in the log */
    json_t *made;    /* [{index, name, size}]: what can be delivered */
    json_t *outputs; /* what is known of it; its last word has them */
    json_t *word;    /* the last one, as soon as it is known */
    bool said;

    struct upload *uploads; /* one an input */
    int input_count, uploads_missing;
    int64_t kept_bytes;     /* of inputs, counted for the caller (admission.c) */
    int writes_in_flight;   /* uploads that were stopped in mid-write */
    enum journal_lane lane; /* in whose queue it waits (scheduler.c) */
    double charge;          /* what its caller was charged for that, 0 once it runs */
    struct run *run;        /* that works for it */
    int unreaped;           /* workers that have not been reaped, `run` included */

    struct session *session; /* attached; NULL: none */
    LIST_ENTRY(job) attached;
    LIST_ENTRY(job) unsettled; /* in server->unsettled, while `settling` */
    bool settling;
    struct delivery *delivery;

    struct job_progress progress;
    bool progress_news;
    uint64_t progress_sent; /* loop time of the last message */

    /* Loop times in milliseconds; 0: none. */
    uint64_t upload_deadline, run_deadline, stall_deadline, grace_deadline;
    uv_timer_t timer;
    bool released;
    bool dropped; /* at the end of the server: it goes without having ended */
};

const char *job_state_name(enum job_state state);
bool job_ended(const struct job *job);

/* Makes the job that a checked start_job message asks for: folder, record. `schema`-checked
 * options are the caller's business. NULL with the problem. */
struct job *job_create(struct session *session, const json_t *request, json_t *inputs,
                       struct problem *problem);
/* Makes a job again from the record of one that had not ended when the server was; with what there
 * is of its inputs. NULL: out of memory. */
struct job *job_restore(struct server *server, const json_t *record);
/* Lets a restored job go on, as soon as the server can work. */
void job_go_on(struct job *job);
/* In memory, NULL if it isn't. */
struct job *job_find(const struct server *server, const char *id);
/* The ack with status, attempt, uploads and, queued, position. */
json_t *job_ack(const struct job *job, const char *request_id);
/* After the ack of start_job: the first progress; inputs without bytes are complete. */
void job_begin(struct job *job);

/* The session gets the job's messages from now on; another one doesn't any more. */
void job_attach(struct job *job, struct session *session);
/* Says and pushes what the session has missed; `received` is attach's list of outputs, NULL pushes
 * nothing. */
void job_catch_up(struct job *job, const json_t *received);
/* The entry of an output in a list of them, NULL if there is none. */
const json_t *job_find_output(const json_t *outputs, json_int_t number);
/* What `received` (attach's list) says of an output, at most its size; 0 if it doesn't. */
int64_t job_received(const json_t *received, int output, int attempt, int64_t size);
/* The session is gone: its jobs stay, for the grace or for good. */
void job_detach_all(struct session *session);

/* From uploads, of either kind. */
void job_upload_moved(struct job *job, struct upload *upload);
void job_upload_done(struct job *job, struct upload *upload);
void job_upload_idle(struct job *job);

/* From the scheduler and the worker. */
void job_started(struct job *job, struct run *run, int attempt);
void job_deferred(struct job *job);
void job_set_progress(struct job *job, const json_t *event);
/* A file can be delivered; job_add_output() follows, with what the client is told of it. */
void job_add_made(struct job *job, const json_t *event);
void job_add_output(struct job *job, const json_t *event);
void job_complete(struct job *job, const json_t *event);
void job_run_reaped(struct job *job, const struct worker_exit *how);

/* Ends. They do nothing to a job that has ended. The problem is finished. */
void job_fail(struct job *job, struct problem *problem);
bool job_cancel(struct job *job, const char *why);

/* Ends it if it hasn't, says its last word now, and leaves no file behind. */
void job_delete(struct job *job);

/* The public description of a job: its record, and what is newer of it in memory (NULL: it isn't
 * there). */
json_t *job_document(const json_t *record, const struct job *job);

/* Tickets of the journal have become safe: jobs whose end waited for that are settled. */
void job_settle_all(struct server *server);
/* At the end of the server: drops a job from memory, whatever it waits for. */
void job_drop(struct job *job);

#endif
