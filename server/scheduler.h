/*
 * Who runs, and how many at a time: heavy slots (LUMA_WORKERS) and light ones beside them
 * (LUMA_LIGHT_WORKERS). Every job starts light; one whose plan turns out heavy goes on in a free
 * heavy slot, or is given back and waits for one. Whose turn it is among those that wait is for
 * fairness.h to say.
 *
 * Slots are held from the start of a worker until it has been reaped. While a heavy slot is free
 * nobody waits for one, because every release claims: so a heavy plan may take it at once.
 */
#ifndef LUMA_SERVER_SCHEDULER_H
#define LUMA_SERVER_SCHEDULER_H

#include <jansson.h>
#include <stdbool.h>

#include "server/journal.h"

struct job;
struct run;
struct scheduler;
struct server;

/* Watches the server's journal, and takes up the ranks of what waits in it. 0 or -ENOMEM. */
int scheduler_create(struct scheduler **scheduler, struct server *server);
/* Before its journal is closed. */
void scheduler_destroy(struct scheduler **scheduler);

/* Starts what waits from an earlier life of the server. */
void scheduler_wake(struct scheduler *scheduler);

/* The inputs of a job are there in a moment: if it can start at once then, its process is made
 * beforehand. */
void scheduler_expect(struct scheduler *scheduler);
/* The inputs of the job are there: it joins the queue of light jobs, and may start at once. */
void scheduler_enqueue(struct scheduler *scheduler, struct job *job);
/* What to do with a run whose plan is heavy; cost in seconds of a processor, 0: unknown. */
enum scheduler_verdict { SCHEDULER_GO, SCHEDULER_DEFER };
enum scheduler_verdict scheduler_planned(struct scheduler *scheduler, struct run *run, double cost);
/* After a deferral: the job joins the queue of heavy jobs. */
void scheduler_defer(struct scheduler *scheduler, struct job *job, int attempt, double cost);
/* What a job that waits, by its record, has been charged for its place. */
double scheduler_charge(const json_t *record);
/* The job ends without having been started from where it waits. */
void scheduler_withdraw(struct scheduler *scheduler, struct job *job);
/* A run's worker has been reaped; it took so many seconds of a processor. */
void scheduler_released(struct scheduler *scheduler, const struct run *run, double cpu_seconds);

/* Threads for a run that goes on as a heavy one. */
int scheduler_threads(const struct scheduler *scheduler);
/* Seconds that a queued job is likely to wait, with so many before it; NAN: nothing is known. */
double scheduler_wait(const struct scheduler *scheduler, enum journal_lane lane, int position);
int scheduler_running(const struct scheduler *scheduler);
int scheduler_slots(const struct scheduler *scheduler, enum journal_lane lane);

#endif
