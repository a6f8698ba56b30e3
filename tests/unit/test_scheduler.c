/*
 * Slots: how many run, who is deferred, who comes next. Runs are made up here; the journal is the
 * real one.
 */
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
static struct server server;

struct job *job_find(const struct server *of, const char *id)
{
    (void)of;
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
    runs[started] = (struct run){.server = &server, .job = job, .lane = lane, .attempt = attempt};
    job->run = &runs[started++];
    job->state = JOB_RUNNING;
    threads_last = threads;
    return 0;
}

static int setup(void **state)
{
    (void)state;
    started = 0;
    memset(&server, 0, sizeof(server));
    server.config.workers = 2;
    server.config.light_workers = 2;
    server.config.job_threads = 3;
    return journal_open_memory(&server.journal, 100) ||
           scheduler_create(&server.scheduler, &server);
}

static int teardown(void **state)
{
    (void)state;
    scheduler_destroy(&server.scheduler);
    journal_close(&server.journal);
    return 0;
}

static void enqueue(int number)
{
    jobs[number] = (struct job){.state = JOB_QUEUED};
    (void)snprintf(jobs[number].id, sizeof(jobs[number].id), "%032x", (unsigned)number);
    json_t *record = json_pack("{s:s, s:s, s:s, s:i}", "id", jobs[number].id, "caller", "c",
                               "state", "queued", "attempt", 1);
    assert_int_equal(journal_enqueue(server.journal, record), 0);
    json_decref(record);
}

/* The run's plan turned out heavy: as run.c does it. */
static enum scheduler_verdict planned_heavy(struct run *run)
{
    enum scheduler_verdict verdict = scheduler_planned(server.scheduler, run);
    if (verdict == SCHEDULER_DEFER) {
        run->job->state = JOB_QUEUED;
        assert_int_equal(
            journal_give_back(server.journal, run->job->id, run->attempt, LANE_HEAVY, 60), 0);
    }
    return verdict;
}

static void end(struct run *run)
{
    scheduler_released(server.scheduler, run->lane);
}

static void test_light_slots(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        enqueue(i);
    assert_int_equal(started, 2);
    assert_int_equal(scheduler_running(server.scheduler), 2);
    assert_int_equal(threads_last, 3);
    end(&runs[0]);
    assert_int_equal(started, 3);
    assert_ptr_equal(runs[2].job, &jobs[2]);
    end(&runs[1]);
    end(&runs[2]);
    end(&runs[3]);
    assert_int_equal(started, 4);
    assert_int_equal(scheduler_running(server.scheduler), 0);
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
    assert_int_equal(scheduler_running(server.scheduler), 4);
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
    assert_int_equal(scheduler_running(server.scheduler), 2);
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
    assert_int_equal(journal_cancel(server.journal, jobs[2].id, changes), 0);
    json_decref(changes);
    end(&runs[0]);
    assert_int_equal(started, 2);
}

static void test_draining_starts_nothing(void **state)
{
    (void)state;
    server.draining = true;
    enqueue(0);
    assert_int_equal(started, 0);
}

static void test_threads_are_shared(void **state)
{
    (void)state;
    server.config.job_threads = 0;
    enqueue(0);
    int alone = threads_last;
    assert_true(alone >= 1);
    enqueue(1);
    assert_true(threads_last >= 1 && threads_last <= alone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_light_slots, setup, teardown),
        cmocka_unit_test_setup_teardown(test_heavy_jobs_leave_the_light_slots, setup, teardown),
        cmocka_unit_test_setup_teardown(test_light_jobs_pass_heavy_ones, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancelled_jobs_are_not_started, setup, teardown),
        cmocka_unit_test_setup_teardown(test_draining_starts_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_threads_are_shared, setup, teardown),
    };
    return cmocka_run_group_tests_name("scheduler", tests, NULL, NULL);
}
