/*
 * What worker.c (one worker: its socket, its messages, its end) and worker_pool.c (the template,
 * requests to it, reaping) share.
 *
 *            worker_start          asked            answered          reaped
 *   WAITING ------------- WAITING ------- ASKED ------------- RUNNING -------- ENDED
 *              template gone, could not fork, or the worker died at once: back to WAITING
 *              the same death for the third time: ENDED
 *              worker_kill while WAITING: UNBORN, which ends from the loop
 */
#ifndef LUMA_SERVER_WORKER_INTERNAL_H
#define LUMA_SERVER_WORKER_INTERNAL_H

#include <stdbool.h>

#include "server/message.h"
#include "server/worker.h"

/* One read takes this much. libuv reads up to 32 times before it looks at other sockets, so this
 * also bounds how long one worker can hold the loop. */
#define WORKER_READ_SIZE 16384

enum worker_state {
    WORKER_WAITING, /* nobody has been asked for it yet */
    WORKER_ASKED,   /* the template has the request */
    WORKER_RUNNING, /* the pid is known, the socket is open */
    WORKER_UNBORN,  /* killed before it was asked for */
    WORKER_ENDED,   /* reaped */
};

struct worker_outgoing {
    uv_write_t write;
    struct worker_outgoing *next;
    unsigned char *bytes;
    size_t size;
};

struct worker {
    struct worker_pool *pool;
    struct worker *previous, *next;
    struct worker_events events;
    void *opaque;

    enum worker_state state;
    uint64_t request;
    int local, remote; /* both ends of its socket, -1: none; local until RUNNING */
    pid_t pid;
    pid_t forked;     /* its process while ASKED, as the template tells it; 0: not told yet */
    int early_deaths; /* before its process could answer */
    bool kill_wanted; /* and done as soon as the pid is known */
    bool broken;

    uv_pipe_t pipe; /* open if pipe_open */
    bool pipe_open;
    struct worker_outgoing *first_outgoing, *last_outgoing; /* until RUNNING */
    struct message_parser parser;
    int64_t received; /* bytes */
};

struct template_link {
    struct worker_pool *pool;
    uv_poll_t poll;
    int fd;
    pid_t pid; /* 0 once it has been reaped */
    uint64_t started;
};

/* A child that was reaped before anybody said what it was. */
struct worker_stranger {
    pid_t pid;
    int status;
};

#define WORKER_STRANGERS 16

struct worker_pool {
    uv_loop_t *loop;
    struct worker_settings settings; /* strings are owned */
    uv_signal_t child;
    uv_timer_t later;    /* unborn workers' ends; requests that could not be made */
    uv_timer_t respawn;  /* the next template */
    uv_timer_t watchdog; /* for a template that doesn't answer */
    uv_timer_t unwanted; /* ends the worker that stands ready */
    int open_handles;    /* the pool is freed when they are closed */
    bool destroyed;
    struct template_link *template; /* NULL: none */
    unsigned int quick_deaths;      /* of templates, in a row */
    uint64_t last_request;
    int asked;                                          /* workers that are ASKED */
    struct worker_stranger strangers[WORKER_STRANGERS]; /* the latest; a ring */
    unsigned int strangers_seen;
    struct worker *first, *last;
    struct worker *ready; /* one of them, which has no task yet; NULL: none */
    unsigned char buffer[WORKER_READ_SIZE];
};

/* ---- worker.c ---- */

/* Makes a new socket pair in place of what there was. 0 or -errno. */
int worker_pair(struct worker *worker);
void worker_pair_close(struct worker *worker);
/* The template has answered. */
void worker_begin(struct worker *worker, pid_t pid);
/* It has been reaped, or never was: delivers what it had sent, then its end. Frees it. */
void worker_finish(struct worker *worker, const struct worker_exit *how);
/* Closes and frees it without callbacks. */
void worker_discard(struct worker *worker);

/* ---- worker_pool.c ---- */

void worker_pool_add(struct worker_pool *pool, struct worker *worker);
void worker_pool_remove(struct worker_pool *pool, struct worker *worker);
/* Asks for those that wait, as far as the template takes requests. */
void worker_pool_pump(struct worker_pool *pool);
/* Looks at unborn and waiting workers again from the loop, in that many milliseconds or sooner. */
void worker_pool_later(struct worker_pool *pool, uint64_t milliseconds);
/* Counts a handle out; the last one frees a destroyed pool. */
void worker_pool_handle_closed(struct worker_pool *pool);

#endif
