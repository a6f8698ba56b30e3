/*
 * A run: a worker that has a job. It translates what the worker says into calls of job.c, and
 * outlives the job's end until the worker has been reaped.
 */
#ifndef LUMA_SERVER_RUN_H
#define LUMA_SERVER_RUN_H

#include <stdbool.h>
#include <sys/queue.h>
#include <uv.h>

#include "server/journal.h"

struct job;
struct server;
struct worker;

struct run {
    LIST_ENTRY(run) link; /* in server->runs */
    struct server *server;
    struct job *job;   /* NULL once the job has ended, or was given back */
    struct job *owner; /* whose folder the worker lives in; told when it is reaped */
    struct worker *worker;
    enum journal_lane lane; /* whose slot it holds */
    double charge;          /* what its caller was charged for it, in that lane (scheduler.c) */
    uint64_t slot_since;    /* uv_hrtime() (scheduler.c) */
    int attempt;
    bool has_spoken;  /* the last word came */
    uv_timer_t timer; /* ends a worker that doesn't end after its last word */
};

/* Starts a worker for the job. 0 or -1 (out of memory or descriptors). */
int run_start(struct job *job, enum journal_lane lane, int attempt, int threads);
/* The plan may go on, with the threads that the scheduler gives it now. */
void run_go(struct run *run);
/* The job is no longer this run's: the worker is killed, and only reaped. */
void run_abandon(struct run *run);
/* At the end of the server, before its worker pool is destroyed. */
void run_drop_all(struct server *server);

#endif
