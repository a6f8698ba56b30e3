/*
 * Slots: how many run, who is deferred, who comes next. Runs are made up here; the journal is the
 * real one.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/job.h"
#include "server/run.h"
#include "server/scheduler.h"
#include "server/server.h"

#define JOBS 8

/* The made-up runs, in the order of their start. */
static struct run runs[4 * JOBS];
static int started, threads_last;
static struct job jobs[JOBS];
static struct server host;

struct job *job_find(const struct server *server, const char *id)
{
    (void)server;
    for (int i = 0; i < JOBS; i++) {
        if (strcmp(jobs[i].id, id) == 0)
            return &jobs[i];
    }
    return NULL;
}

bool job_ended(const struct job *job)
{
    return job->state >= JOB_COMPLETED;
}

void job_fail(struct job *job, struct problem *problem)
{
    job->state = JOB_FAILED;
    problem_finish(problem);
}

int run_start(struct job *job, enum journal_lane lane, int attempt, int threads)
{
    runs[started] =
        (struct run){.server = &host, .job = job, .owner = job, .lane = lane, .attempt = attempt};
    job->run = &runs[started++];
    job->state = JOB_RUNNING;
    threads_last = threads;
    return 0;
}

static int setup(void **state)
{
    (void)state;
    started = 0;
    memset(&host, 0, sizeof(host));
    host.config.workers = 2;
    host.config.light_workers = 2;
    host.config.job_threads = 3;
    if (journal_open_memory(&host.journal, 100) || scheduler_create(&host.scheduler, &host))
        return -1;
    scheduler_wake(host.scheduler);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scheduler_destroy(&host.scheduler);
    journal_close(&host.journal);
    return 0;
}

static void enqueue_for(char *caller, int number)
{
    struct job *job = &jobs[number];
    *job = (struct job){.server = &host, .caller = caller, .state = JOB_UPLOADING};
    (void)snprintf(job->id, sizeof(job->id), "%032x", (unsigned)number);
    json_t *record = json_pack("{s:s, s:s, s:s, s:i}", "id", job->id, "caller", caller, "state",
                               "uploading", "attempt", 1);
    assert_int_equal(journal_enqueue(host.journal, record), 0);
    json_decref(record);
    job->state = JOB_QUEUED;
    scheduler_enqueue(host.scheduler, job);
}

static void enqueue(int number)
{
    enqueue_for("c", number);
}

/* The run's plan turned out heavy: as run.c does it. */
static enum scheduler_verdict planned_heavy(struct run *run)
{
    enum scheduler_verdict verdict = scheduler_planned(host.scheduler, run, 60);
    if (verdict == SCHEDULER_DEFER) {
        run->job->state = JOB_QUEUED;
        scheduler_defer(host.scheduler, run->job, run->attempt, 60);
    }
    return verdict;
}

static void end(const struct run *run)
{
    scheduler_released(host.scheduler, run, 1);
}

/* While jobs of before are taken up, one of them that is ready must not start the others. */
static void test_nothing_starts_before_the_first_wake(void **state)
{
    (void)state;
    scheduler_destroy(&host.scheduler);
    assert_int_equal(scheduler_create(&host.scheduler, &host), 0);
    enqueue(0);
    enqueue(1);
    assert_int_equal(started, 0);
    scheduler_wake(host.scheduler);
    assert_int_equal(started, 2);
}

static void test_light_slots(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        enqueue(i);
    assert_int_equal(started, 2);
    assert_int_equal(scheduler_running(host.scheduler), 2);
    assert_int_equal(threads_last, 3);
    end(&runs[0]);
    assert_int_equal(started, 3);
    assert_ptr_equal(runs[2].job, &jobs[2]);
    end(&runs[1]);
    end(&runs[2]);
    end(&runs[3]);
    assert_int_equal(started, 4);
    assert_int_equal(scheduler_running(host.scheduler), 0);
}

static void test_heavy_jobs_leave_the_light_slots(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        enqueue(i);
    assert_int_equal(planned_heavy(&runs[0]), SCHEDULER_GO); /* frees a light slot */
    assert_int_equal(started, 3);
    assert_int_equal(planned_heavy(&runs[1]), SCHEDULER_GO);
    assert_int_equal(started, 4);
    assert_int_equal(scheduler_running(host.scheduler), 4);
    /* Both heavy slots are taken: the third waits, its light slot goes to the fifth. */
    assert_int_equal(planned_heavy(&runs[2]), SCHEDULER_DEFER);
    end(&runs[2]);
    assert_int_equal(started, 5);
    assert_ptr_equal(runs[4].job, &jobs[4]);
    /* A heavy slot is free: the third has it before anyone else. */
    end(&runs[0]);
    assert_int_equal(started, 6);
    assert_ptr_equal(runs[5].job, &jobs[2]);
    assert_int_equal(runs[5].lane, LANE_HEAVY);
    assert_int_equal(runs[5].attempt, 1);
    assert_int_equal(planned_heavy(&runs[5]), SCHEDULER_GO);
    assert_int_equal(planned_heavy(&runs[3]), SCHEDULER_DEFER);
}

static void test_light_jobs_pass_heavy_ones(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        enqueue(i);
    for (int i = 0; i < 4; i++) {
        if (planned_heavy(&runs[i]) == SCHEDULER_DEFER)
            end(&runs[i]);
    }
    assert_int_equal(started, 4);
    assert_int_equal(scheduler_running(host.scheduler), 2);
    enqueue(4);
    assert_int_equal(started, 5);
    assert_int_equal(runs[4].lane, LANE_LIGHT);
}

static void test_cancelled_jobs_are_not_started(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        enqueue(i);
    json_t *changes = json_pack("{s:s, s:f}", "state", "cancelled", "ended", 1.0);
    assert_int_equal(journal_cancel(host.journal, jobs[2].id, changes), 0);
    json_decref(changes);
    scheduler_withdraw(host.scheduler, &jobs[2]);
    end(&runs[0]);
    assert_int_equal(started, 2);
}

static void test_draining_starts_nothing(void **state)
{
    (void)state;
    host.draining = true;
    enqueue(0);
    assert_int_equal(started, 0);
}

static void test_threads_are_shared(void **state)
{
    (void)state;
    host.config.job_threads = 0;
    enqueue(0);
    int alone = threads_last;
    assert_true(alone >= 1);
    enqueue(1);
    assert_true(threads_last >= 1 && threads_last <= alone);
    /* What light jobs take doesn't count for one that goes on as the only heavy one. */
    assert_int_equal(planned_heavy(&runs[0]), SCHEDULER_GO);
    assert_int_equal(scheduler_threads(host.scheduler), alone);
    assert_int_equal(planned_heavy(&runs[1]), SCHEDULER_GO);
    int share = alone / 2 > 1 ? alone / 2 : 1;
    assert_int_equal(scheduler_threads(host.scheduler), share);
}

/* One caller has five heavy jobs; the first of another goes before all of those that wait. */
static void test_callers_take_turns(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        enqueue_for("many", i);
    assert_int_equal(planned_heavy(&runs[0]), SCHEDULER_GO);
    assert_int_equal(planned_heavy(&runs[1]), SCHEDULER_GO);
    assert_int_equal(started, 4);
    for (int i = 2; i < 4; i++) { /* each makes room for one more in the light lane */
        assert_int_equal(planned_heavy(&runs[i]), SCHEDULER_DEFER);
        end(&runs[i]);
    }
    assert_int_equal(planned_heavy(&runs[4]), SCHEDULER_DEFER);
    end(&runs[4]);
    assert_int_equal(started, 5);
    enqueue_for("few", 5);
    assert_int_equal(planned_heavy(&runs[5]), SCHEDULER_DEFER);
    end(&runs[5]);
    assert_int_equal(started, 6);
    assert_int_equal(journal_position(host.journal, jobs[5].id), 0);
    assert_int_equal(journal_position(host.journal, jobs[2].id), 1);
    end(&runs[0]);
    assert_ptr_equal(runs[6].job, &jobs[5]);
    end(&runs[1]);
    assert_ptr_equal(runs[7].job, &jobs[2]);
}

static void test_waiting_time(void **state)
{
    (void)state;
    assert_true(isnan(scheduler_wait(host.scheduler, LANE_HEAVY, 0)));
    enqueue(0);
    assert_int_equal(planned_heavy(&runs[0]), SCHEDULER_GO);
    /* 60 s of a processor on three threads, and two slots */
    assert_float_equal(scheduler_wait(host.scheduler, LANE_HEAVY, 0), 10, 0.01);
    assert_float_equal(scheduler_wait(host.scheduler, LANE_HEAVY, 3), 40, 0.01);
    end(&runs[0]); /* what was measured counts from now on */
    double wait = scheduler_wait(host.scheduler, LANE_HEAVY, 0);
    assert_true(wait > 0 && wait < 1);
}

/* Ranks that are in the journal from before. */
static void test_ranks_are_taken_up(void **state)
{
    (void)state;
    scheduler_destroy(&host.scheduler);
    for (int i = 0; i < 2; i++) {
        jobs[i] = (struct job){.server = &host, .caller = "many", .state = JOB_QUEUED};
        (void)snprintf(jobs[i].id, sizeof(jobs[i].id), "%032x", (unsigned)i);
        json_t *record = json_pack("{s:s, s:s, s:s, s:i, s:f}", "id", jobs[i].id, "caller", "many",
                                   "state", "queued", "attempt", 1, "rank", 100.0 + i);
        assert_int_equal(journal_enqueue(host.journal, record), 0);
        json_decref(record);
    }
    host.draining = true; /* all shall wait */
    assert_int_equal(scheduler_create(&host.scheduler, &host), 0);
    scheduler_wake(host.scheduler);
    enqueue_for("many", 2);
    enqueue_for("few", 3);
    assert_int_equal(journal_position(host.journal, jobs[0].id), 0);
    assert_int_equal(journal_position(host.journal, jobs[3].id), 1);
    assert_int_equal(journal_position(host.journal, jobs[1].id), 2);
    assert_int_equal(journal_position(host.journal, jobs[2].id), 3);
}

/* By the record alone it is known what a job that waits was charged. */
static void test_charges_are_in_the_records(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        enqueue(i);
        (void)planned_heavy(&runs[i]);
        if (i >= 2)
            end(&runs[i]);
    }
    assert_int_equal(jobs[3].state, JOB_QUEUED);
    assert_float_equal(jobs[3].charge, 60, 1e-9);
    assert_float_equal(scheduler_charge(journal_get(host.journal, jobs[3].id)), 60, 1e-9);
    assert_float_equal(scheduler_charge(journal_get(host.journal, jobs[0].id)), 60, 1e-9);
    host.draining = true;
    enqueue(4);
    assert_true(jobs[4].charge > 0);
    assert_float_equal(scheduler_charge(journal_get(host.journal, jobs[4].id)), jobs[4].charge,
                       1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_starts_before_the_first_wake, setup, teardown),
        cmocka_unit_test_setup_teardown(test_light_slots, setup, teardown),
        cmocka_unit_test_setup_teardown(test_heavy_jobs_leave_the_light_slots, setup, teardown),
        cmocka_unit_test_setup_teardown(test_light_jobs_pass_heavy_ones, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancelled_jobs_are_not_started, setup, teardown),
        cmocka_unit_test_setup_teardown(test_draining_starts_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_threads_are_shared, setup, teardown),
        cmocka_unit_test_setup_teardown(test_callers_take_turns, setup, teardown),
        cmocka_unit_test_setup_teardown(test_waiting_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ranks_are_taken_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_charges_are_in_the_records, setup, teardown),
    };
    return cmocka_run_group_tests_name("scheduler", tests, NULL, NULL);
}
