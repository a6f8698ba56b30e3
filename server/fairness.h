/*
 * Fairness between callers: start-time fair queueing (Goyal, Vin, Cheng: "Start-Time Fair
 * Queueing", 1996), once for each lane.
 *
 * A job that joins a queue gets a rank, the larger of two times: the one up to which its caller has
 * had its share, and the queue's own, which is the rank of whatever was taken last. The lowest rank
 * is taken next. The caller's time then moves on by what the job is likely to cost, in seconds of a
 * processor; once the real cost is known, the difference is made up for. So a caller with a
 * hundred jobs in the queue is a hundred costs ahead, and the first job of another goes before
 * them; and an idle caller saves nothing up.
 *
 * Ranks are in the journal with their jobs: `restore` takes them up after a restart.
 */
#ifndef LUMA_SERVER_FAIRNESS_H
#define LUMA_SERVER_FAIRNESS_H

#include "server/journal.h"
#include "server/table.h"

struct fairness {
    struct table callers;   /* struct share, by name */
    double now[LANE_COUNT]; /* the queues' own time */
};

void fairness_init(struct fairness *fairness);
void fairness_finish(struct fairness *fairness);

/* The rank of a job that joins the lane's queue now; its caller is charged the cost. */
double fairness_stamp(struct fairness *fairness, enum journal_lane lane, const char *caller,
                      double cost);
/* A job of that rank was taken from the queue. */
void fairness_taken(struct fairness *fairness, enum journal_lane lane, double rank);
/* A job that was charged `estimate` has cost `actual`; 0 for one that never ran. */
void fairness_settle(struct fairness *fairness, enum journal_lane lane, const char *caller,
                     double estimate, double actual);
/* A job that waits with that rank, from an earlier life of the server, and was charged that cost.
 */
void fairness_restore(struct fairness *fairness, enum journal_lane lane, const char *caller,
                      double rank, double cost);
/* Nobody waits and nothing runs: all callers are equal again. */
void fairness_idle(struct fairness *fairness);

#endif
