/*
 * Who runs, and how many at a time: heavy slots (LUMA_WORKERS) and light ones beside them
 * (LUMA_LIGHT_WORKERS). Every job starts light; one whose plan turns out heavy goes on in a free
 * heavy slot, or is given back and waits for one.
 */
#ifndef LUMA_SERVER_SCHEDULER_H
#define LUMA_SERVER_SCHEDULER_H

#include <stdbool.h>

#include "server/journal.h"

struct run;
struct scheduler;
struct server;

/* Watches the server's journal. 0 or -ENOMEM. */
int scheduler_create(struct scheduler **scheduler, struct server *server);
void scheduler_destroy(struct scheduler **scheduler);

/* What to do with a run whose plan is heavy. */
enum scheduler_verdict { SCHEDULER_GO, SCHEDULER_DEFER };
enum scheduler_verdict scheduler_planned(struct scheduler *scheduler, struct run *run);
/* A run's worker has been reaped. */
void scheduler_released(struct scheduler *scheduler, enum journal_lane lane);
int scheduler_running(const struct scheduler *scheduler);
int scheduler_slots(const struct scheduler *scheduler, enum journal_lane lane);

#endif
