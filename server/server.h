/*
 * The server's parts, in one place. Everything runs on the one thread of the one loop; disk writes
 * and reads go through libuv's thread pool and come back to the loop.
 *
 *   listen     sockets, vhosts, who may connect
 *   http       requests that are no WebSocket
 *   session    a connection: messages in, messages out
 *   request    what a client's message asks for
 *   job        a record and its state machine; outlives its session
 *   upload     bytes in      delivery   bytes out
 *   fetch      bytes in that a URL names
 *   run        a job's worker
 *   scheduler  who runs next, and how many at a time
 *   admission  who may start one more, and send one more message
 *   journal    what is known of every job
 *   operations what the scripts offer
 */
#ifndef LUMA_SERVER_SERVER_H
#define LUMA_SERVER_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uv.h>

#include "server/caller.h"
#include "server/config.h"
#include "server/link.h"
#include "server/table.h"

struct fetcher;
struct journal;
struct listener;
struct metrics;
struct operations;
struct scheduler;
struct run;
struct session;
struct worker_pool;

LIST_HEAD(http_transfer_list, http_transfer);
LIST_HEAD(session_list, session);
LIST_HEAD(run_list, run);

struct server {
    uv_loop_t *loop;
    struct config config;
    struct callers callers;
    struct listener *listener;
    struct worker_pool *pool;
    struct operations *operations;
    struct scheduler *scheduler;
    struct journal *journal;
    struct fetcher *fetcher;
    struct table jobs;          /* those in memory, by id (struct job) */
    struct table accounts;      /* of callers and addresses (account.h) */
    LIST_HEAD(, job) unsettled; /* ended ones whose end isn't safe in the journal yet */
    struct session_list sessions;
    int session_count;
    struct run_list runs;                /* workers that have not been reaped */
    struct http_transfer_list transfers; /* results on their way by HTTP */
    int transfer_count;
    struct metrics *metrics;
    struct link_key link_key;
    double started;         /* protocol_now() at the start */
    bool draining;          /* no new jobs */
    uint64_t sessions_made; /* number of the next session, for the log */
    struct {
        int64_t total, completed, failed, cancelled;
    } jobs_counted;
    int disk_tasks; /* in the thread pool, for folders to be removed */
};

/* The upload frame's largest payload. */
#define SERVER_UPLOAD_FRAME_MAX (64 * 1024 * 1024)

/* Runs the server until it is told to end. The process's exit status. */
int server_run(const struct config *config);
/* Removes a job's folder, or only its inputs, in the thread pool. */
void server_remove_folder(struct server *server, const char *job);
void server_remove_inputs(struct server *server, const char *job, int count);
/* A session or job has ended: drains that wait for it go on. */
void server_check_drain(struct server *server);

#endif
