/*
 * Slots are held from the start of a worker until it has been reaped. While a heavy slot is free
 * nobody waits for one, because every release claims: so a heavy plan may take it at once.
 */
#include "server/scheduler.h"

#include <errno.h>
#include <stdlib.h>

#include "server/job.h"
#include "server/log.h"
#include "server/run.h"
#include "server/server.h"

struct scheduler {
    struct server *server;
    int slots[LANE_COUNT];
    int running[LANE_COUNT];
    int cores;
    bool claiming;
};

/* Alone, a job may use the machine; when it is full, each gets its share. */
static int threads_for_next(const struct scheduler *scheduler)
{
    int fixed = (int)scheduler->server->config.job_threads;
    if (fixed > 0)
        return fixed;
    int share = scheduler->cores / (scheduler_running(scheduler) + 1);
    return share > 1 ? share : 1;
}

static void start(struct scheduler *scheduler, enum journal_lane lane, const char *id, int attempt)
{
    struct job *job = job_find(scheduler->server, id);
    if (!job || job_ended(job))
        return;
    if (run_start(job, lane, attempt, threads_for_next(scheduler)) == 0) {
        scheduler->running[lane]++;
        return;
    }
    struct problem problem = {0};
    problem_set(&problem, "internal", "no process could be started for the job");
    job_fail(job, &problem);
}

/* Fills the free slots from the journal. */
static void claim(void *opaque)
{
    struct scheduler *scheduler = opaque;
    if (scheduler->claiming || scheduler->server->draining)
        return;
    scheduler->claiming = true;
    for (int lane = 0; lane < LANE_COUNT; lane++) {
        char id[IDENTIFIER_SIZE];
        int attempt;
        while (scheduler->running[lane] < scheduler->slots[lane] &&
               journal_claim(scheduler->server->journal, (enum journal_lane)lane, id, &attempt) > 0)
            start(scheduler, (enum journal_lane)lane, id, attempt);
    }
    scheduler->claiming = false;
}

int scheduler_create(struct scheduler **scheduler, struct server *server)
{
    struct scheduler *made = calloc(1, sizeof(*made));
    if (!made)
        return -ENOMEM;
    made->server = server;
    made->cores = (int)uv_available_parallelism();
    made->slots[LANE_HEAVY] =
        server->config.workers > 0 ? (int)server->config.workers : made->cores;
    made->slots[LANE_LIGHT] = (int)server->config.light_workers;
    journal_watch(server->journal, claim, made);
    *scheduler = made;
    return 0;
}

void scheduler_destroy(struct scheduler **scheduler)
{
    free(*scheduler);
    *scheduler = NULL;
}

enum scheduler_verdict scheduler_planned(struct scheduler *scheduler, struct run *run)
{
    if (run->lane == LANE_HEAVY)
        return SCHEDULER_GO;
    bool free_slot = scheduler->running[LANE_HEAVY] < scheduler->slots[LANE_HEAVY];
    if (!free_slot)
        return SCHEDULER_DEFER;
    run->lane = LANE_HEAVY;
    scheduler->running[LANE_LIGHT]--;
    scheduler->running[LANE_HEAVY]++;
    claim(scheduler);
    return SCHEDULER_GO;
}

void scheduler_released(struct scheduler *scheduler, enum journal_lane lane)
{
    scheduler->running[lane]--;
    claim(scheduler);
}

int scheduler_running(const struct scheduler *scheduler)
{
    return scheduler->running[LANE_LIGHT] + scheduler->running[LANE_HEAVY];
}

int scheduler_slots(const struct scheduler *scheduler, enum journal_lane lane)
{
    return scheduler->slots[lane];
}
