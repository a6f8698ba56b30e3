/*
 * Slots, and the mean time for which they are held: from that comes what a job that waits is told.
 */
#include "server/scheduler.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>

#include "server/fairness.h"
#include "server/job.h"
#include "server/log.h"
#include "server/run.h"
#include "server/server.h"
#include "server/worker.h"

/* What jobs are charged before more is known of them, in seconds of a processor. */
#define LIGHT_COST    0.5
#define HEAVY_COST    30
#define MEAN_NEW_PART 0.2 /* of the newest time in the mean */

struct lane {
    int slots, running;
    double held;     /* mean seconds for which a slot is held, 0: not known yet */
    double expected; /* the sum of what the running ones were estimated to cost */
};

struct scheduler {
    struct server *server;
    struct lane lanes[LANE_COUNT];
    struct fairness fairness;
    int cores;
    bool claiming;
};

/* Of `running` jobs each gets its share; alone, a job may use the machine. */
static int share_of_threads(const struct scheduler *scheduler, int running)
{
    int fixed = (int)scheduler->server->config.job_threads;
    if (fixed > 0)
        return fixed;
    int share = scheduler->cores / (running > 0 ? running : 1);
    return share > 1 ? share : 1;
}

int scheduler_threads(const struct scheduler *scheduler)
{
    return share_of_threads(scheduler, scheduler->lanes[LANE_HEAVY].running);
}

static void slot_take(struct scheduler *scheduler, struct run *run, enum journal_lane lane,
                      double charge)
{
    run->lane = lane;
    run->charge = charge;
    run->slot_since = uv_hrtime();
    scheduler->lanes[lane].running++;
    scheduler->lanes[lane].expected += charge;
}

static void slot_give(struct scheduler *scheduler, const struct run *run)
{
    scheduler->lanes[run->lane].running--;
    scheduler->lanes[run->lane].expected -= run->charge;
}

static void start(struct scheduler *scheduler, enum journal_lane lane, const char *id, int attempt)
{
    const json_t *record = journal_get(scheduler->server->journal, id);
    fairness_taken(&scheduler->fairness, lane, json_number_value(json_object_get(record, "rank")));
    struct job *job = job_find(scheduler->server, id);
    if (!job || job_ended(job))
        return;
    int running =
        lane == LANE_HEAVY ? scheduler->lanes[lane].running : scheduler_running(scheduler);
    double charge = job->charge;
    if (run_start(job, lane, attempt, share_of_threads(scheduler, running + 1)) == 0) {
        job->charge = 0;
        slot_take(scheduler, job->run, lane, charge);
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
        while (scheduler->lanes[lane].running < scheduler->lanes[lane].slots &&
               journal_claim(scheduler->server->journal, (enum journal_lane)lane, id, &attempt) > 0)
            start(scheduler, (enum journal_lane)lane, id, attempt);
    }
    scheduler->claiming = false;
}

void scheduler_wake(struct scheduler *scheduler)
{
    scheduler->claiming = false;
    claim(scheduler);
}

double scheduler_charge(const json_t *record)
{
    bool heavy = json_integer_value(json_object_get(record, "lane")) == LANE_HEAVY;
    return heavy ? json_number_value(json_object_get(record, "cost")) : LIGHT_COST;
}

/* The ranks of what waits from before. */
static void restore(struct scheduler *scheduler)
{
    double least[LANE_COUNT] = {INFINITY, INFINITY};
    json_t *list = journal_list(scheduler->server->journal, NULL, "queued", NULL, INT_MAX);
    size_t index;
    json_t *record;
    json_array_foreach(list, index, record)
    {
        json_int_t lane = json_integer_value(json_object_get(record, "lane"));
        double rank = json_number_value(json_object_get(record, "rank"));
        const char *caller = json_string_value(json_object_get(record, "caller"));
        if (lane < 0 || lane >= LANE_COUNT || !caller)
            continue;
        least[lane] = fmin(least[lane], rank);
        fairness_restore(&scheduler->fairness, (enum journal_lane)lane, caller, rank,
                         scheduler_charge(record));
    }
    json_decref(list);
    for (int lane = 0; lane < LANE_COUNT; lane++) {
        if (isfinite(least[lane]))
            fairness_taken(&scheduler->fairness, (enum journal_lane)lane, least[lane]);
    }
}

int scheduler_create(struct scheduler **scheduler, struct server *server)
{
    struct scheduler *made = calloc(1, sizeof(*made));
    if (!made)
        return -ENOMEM;
    made->server = server;
    made->cores = (int)uv_available_parallelism();
    made->lanes[LANE_HEAVY].slots =
        server->config.workers > 0 ? (int)server->config.workers : made->cores;
    made->lanes[LANE_LIGHT].slots = (int)server->config.light_workers;
    made->claiming =
        true; /* until scheduler_wake(): what is taken up from before is not all there */
    fairness_init(&made->fairness);
    restore(made);
    journal_watch(server->journal, claim, made);
    *scheduler = made;
    return 0;
}

void scheduler_destroy(struct scheduler **scheduler)
{
    struct scheduler *ended = *scheduler;
    *scheduler = NULL;
    if (!ended)
        return;
    journal_watch(ended->server->journal, NULL, NULL);
    fairness_finish(&ended->fairness);
    free(ended);
}

/* Its place among those that wait in the lane. */
static double stamp(struct scheduler *scheduler, struct job *job, enum journal_lane lane,
                    double cost)
{
    job->lane = lane;
    job->charge = cost;
    return fairness_stamp(&scheduler->fairness, lane, job->caller, cost);
}

void scheduler_expect(struct scheduler *scheduler)
{
    const struct lane *lane = &scheduler->lanes[LANE_LIGHT];
    if (lane->running < lane->slots && !scheduler->server->draining)
        worker_expect(scheduler->server->pool);
}

void scheduler_enqueue(struct scheduler *scheduler, struct job *job)
{
    double rank = stamp(scheduler, job, LANE_LIGHT, LIGHT_COST);
    (void)journal_ready(scheduler->server->journal, job->id, rank);
}

/* If the server dies, the job is to go on before those that wait for what it has. */
static void note_place(struct scheduler *scheduler, const struct run *run, double cost, double rank)
{
    json_t *changes = json_pack("{s:i, s:f, s:f}", "lane", LANE_HEAVY, "cost", cost, "rank", rank);
    (void)journal_beat(scheduler->server->journal, run->owner->id, run->attempt, changes);
    json_decref(changes);
}

enum scheduler_verdict scheduler_planned(struct scheduler *scheduler, struct run *run, double cost)
{
    struct fairness *fairness = &scheduler->fairness;
    if (run->lane == LANE_HEAVY)
        return SCHEDULER_GO;
    if (scheduler->lanes[LANE_HEAVY].running >= scheduler->lanes[LANE_HEAVY].slots)
        return SCHEDULER_DEFER;
    const char *caller = run->owner->caller;
    cost = cost > 0 ? cost : HEAVY_COST;
    slot_give(scheduler, run);
    fairness_settle(fairness, LANE_LIGHT, caller, run->charge, 0);
    double rank = fairness_stamp(fairness, LANE_HEAVY, caller, cost);
    fairness_taken(fairness, LANE_HEAVY, rank);
    slot_take(scheduler, run, LANE_HEAVY, cost);
    note_place(scheduler, run, cost, rank);
    claim(scheduler);
    return SCHEDULER_GO;
}

void scheduler_defer(struct scheduler *scheduler, struct job *job, int attempt, double cost)
{
    cost = cost > 0 ? cost : HEAVY_COST;
    double rank = stamp(scheduler, job, LANE_HEAVY, cost);
    (void)journal_give_back(scheduler->server->journal, job->id, attempt, LANE_HEAVY, cost, rank);
}

void scheduler_withdraw(struct scheduler *scheduler, struct job *job)
{
    fairness_settle(&scheduler->fairness, job->lane, job->caller, job->charge, 0);
    job->charge = 0;
}

void scheduler_released(struct scheduler *scheduler, const struct run *run, double cpu_seconds)
{
    struct lane *lane = &scheduler->lanes[run->lane];
    double held = (double)(uv_hrtime() - run->slot_since) / 1e9;
    lane->held = lane->held > 0 ? lane->held + MEAN_NEW_PART * (held - lane->held) : held;
    slot_give(scheduler, run);
    fairness_settle(&scheduler->fairness, run->lane, run->owner->caller, run->charge, cpu_seconds);
    claim(scheduler);
    struct journal_counts counts;
    journal_counts(scheduler->server->journal, &counts);
    if (counts.queued == 0 && scheduler_running(scheduler) == 0)
        fairness_idle(&scheduler->fairness);
}

double scheduler_wait(const struct scheduler *scheduler, enum journal_lane lane, int position)
{
    const struct lane *of = &scheduler->lanes[lane];
    double held = of->held;
    if (!(held > 0) && of->running > 0) /* by what those that run were estimated to cost */
        held = of->expected / of->running / share_of_threads(scheduler, of->running);
    return held > 0 ? held * (position + 1) / of->slots : NAN;
}

int scheduler_running(const struct scheduler *scheduler)
{
    return scheduler->lanes[LANE_LIGHT].running + scheduler->lanes[LANE_HEAVY].running;
}

int scheduler_slots(const struct scheduler *scheduler, enum journal_lane lane)
{
    return scheduler->lanes[lane].slots;
}
