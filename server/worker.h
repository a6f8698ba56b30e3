/*
 * Workers, seen from the server.
 *
 * The template is a process that the server starts from its own binary (/proc/self/exe
 * --template) with posix_spawn; it has one thread and the libraries loaded, and does nothing but
 * fork workers on request. A worker's control socket is one end of a socketpair that the server
 * made; the other end travels to the template with the request (SCM_RIGHTS). A worker is
 * re-parented to the server (PR_SET_CHILD_SUBREAPER and a double fork in the template), so the
 * server reaps every worker itself, whether or not the template still lives; a template that dies
 * is replaced, requests that it had not answered are sent to the next one.
 *
 * Everything here runs on the server's loop thread; callbacks come from the loop, never from
 * inside a call.
 */
#ifndef LUMA_SERVER_WORKER_H
#define LUMA_SERVER_WORKER_H

#include <jansson.h>
#include <sys/types.h>
#include <uv.h>

struct worker_pool;
struct worker;

struct worker_settings { /* passed on to the template; strings are borrowed until pool_create
                            returns */
    const char *blobs;   /* the blob root */
    const char *scripts;
    const char *assets;
    int64_t memory;      /* bytes of RLIMIT_DATA, 0: none */
    int64_t file_size;   /* bytes of RLIMIT_FSIZE, 0: none */
    int64_t cpu_seconds; /* RLIMIT_CPU, 0: none */
};

/* How a worker ended. */
struct worker_exit {
    int status;                /* as wait4 gives it; SIGKILL if killed before it was forked */
    double cpu_seconds;        /* user and system, from wait4 */
    int64_t peak_memory_bytes; /* ru_maxrss */
};

struct worker_events {
    /* A message came; borrowed. Messages go on coming after worker_kill() until exited: those that
     * it had sent before it died. */
    void (*message)(struct worker *worker, const json_t *message, void *opaque);
    /* It broke the protocol (and has been killed; exited follows). */
    void (*broken)(struct worker *worker, const char *reason, void *opaque);
    /* It has ended, been reaped, and all its messages have been delivered. The last callback; the
     * worker is freed when it returns. */
    void (*exited)(struct worker *worker, const struct worker_exit *how, void *opaque);
};

/* Starts the template. 0 or a negative libuv error. The process becomes a subreaper and ignores
 * SIGPIPE, and every child that it has is reaped by the pool: it must start no others (no
 * uv_spawn). One pool a process. */
int worker_pool_create(struct worker_pool **pool, uv_loop_t *loop,
                       const struct worker_settings *settings);
/* Kills what still runs, without callbacks, and closes its handles; the loop must run on for them
 * to be closed. */
void worker_pool_destroy(struct worker_pool **pool);
/* The template's process id, 0 while there is none (for /health and tests). */
pid_t worker_pool_template(const struct worker_pool *pool);

/* How many workers there are, by what they are at. */
enum worker_stage {
    WORKER_STAGE_WAITING, /* not forked yet, or without a task */
    WORKER_STAGE_RUNNING,
    WORKER_STAGE_ENDING, /* killed, not yet reaped */
    WORKER_STAGE_COUNT
};
void worker_pool_count(const struct worker_pool *pool, int counts[WORKER_STAGE_COUNT]);

/* A task is about to come: a worker is forked for it already, if none stands ready. One that has
 * stood ready for WORKER_READY_MS goes away. */
#define WORKER_READY_MS 250
void worker_expect(struct worker_pool *pool);
/* Starts a worker, or takes the one that stands ready, and sends it the task (borrowed). NULL only
 * when out of memory or descriptors. */
struct worker *worker_start(struct worker_pool *pool, const json_t *task,
                            const struct worker_events *events, void *opaque);
/* Sends a further message. */
void worker_send(struct worker *worker, const json_t *message);
/* SIGKILL to its process group; exited follows. Safe at any time before exited. */
void worker_kill(struct worker *worker);
pid_t worker_pid(const struct worker *worker); /* 0 until known */

/* The template's and the worker's own side: main() of `lumad --template`; never returns. */
int template_main(int argc, char **argv);

#endif
