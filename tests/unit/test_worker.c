/* Workers that misbehave, as real processes: the server must not notice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/worker_internal.h"
#include "worker_bench.h"
#include "worker_hostile.h"

static void test_death_by_signal(void **state)
{
    (void)state;
    struct bench bench;
    struct seen seen;
    bench_open(&bench, HOSTILE);
    static const int signals[] = {SIGSEGV, SIGABRT, SIGKILL, SIGBUS, SIGXCPU, SIGTERM};
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        start(&bench, &seen, act("signal", signals[i]));
        await_exit(&bench, &seen);
        assert_true(WIFSIGNALED(seen.how.status));
        assert_int_equal(WTERMSIG(seen.how.status), signals[i]);
        assert_int_equal(json_array_size(seen.messages), 100);
        assert_int_equal(json_integer_value(json_object_get(last_message(&seen), "number")), 99);
        assert_int_equal(seen.breaks, 0);
        assert_true(seen.how.peak_memory_bytes > 0);
        forget(&seen);
    }
    bench_close(&bench);
}

static void test_broken_protocol(void **state)
{
    (void)state;
    static const struct {
        const char *act;
        size_t messages;
    } cases[] = {{"garbage", 0}, {"length", 0}, {"list", 1}, {"flood", 10000}};
    struct bench bench;
    struct seen seen;
    bench_open(&bench, HOSTILE);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        start(&bench, &seen, act(cases[i].act, 0));
        if (strcmp(cases[i].act, "flood") == 0) { /* would take its time to reach the bound */
            const int *count = &seen.exits;
            turn_until(&bench, count, 1, 200);
            worker_kill(seen.worker);
            await_exit(&bench, &seen);
            assert_true(json_array_size(seen.messages) > 0);
        } else {
            await_exit(&bench, &seen);
            assert_int_equal(seen.breaks, 1);
            assert_int_equal(json_array_size(seen.messages), cases[i].messages);
        }
        assert_int_equal(WTERMSIG(seen.how.status), SIGKILL);
        forget(&seen);
    }
    for (int seed = 1; seed <= 20; seed++) {
        start(&bench, &seen, act("noise", seed));
        await_exit(&bench, &seen);
        assert_true(seen.breaks <= 1);
        forget(&seen);
    }
    bench_close(&bench);
}

static void test_half_a_message_then_exit(void **state)
{
    (void)state;
    struct bench bench;
    struct seen seen;
    bench_open(&bench, HOSTILE);
    start(&bench, &seen, act("half", 3));
    await_exit(&bench, &seen);
    assert_true(WIFEXITED(seen.how.status));
    assert_int_equal(WEXITSTATUS(seen.how.status), 3);
    assert_int_equal(json_array_size(seen.messages), 1);
    forget(&seen);
    bench_close(&bench);
}

static void test_largest_message_then_exit(void **state)
{
    (void)state;
    struct bench bench;
    struct seen seen;
    bench_open(&bench, HOSTILE);
    start(&bench, &seen, act("large", 4));
    await_exit(&bench, &seen);
    assert_int_equal(WEXITSTATUS(seen.how.status), 4);
    assert_int_equal(json_array_size(seen.messages), 1);
    assert_int_equal(json_string_length(json_object_get(last_message(&seen), "text")),
                     MESSAGE_MAX - 11);
    forget(&seen);
    bench_close(&bench);
}

static void test_closed_socket_is_the_end(void **state)
{
    (void)state;
    struct bench bench;
    struct seen seen;
    bench_open(&bench, HOSTILE);
    start(&bench, &seen, act("deaf", 0));
    await_exit(&bench, &seen);
    assert_int_equal(WTERMSIG(seen.how.status), SIGKILL);
    forget(&seen);
    bench_close(&bench);
}

static void test_offspring_holds_nothing_up(void **state)
{
    (void)state;
    struct bench bench;
    struct seen seen;
    bench_open(&bench, HOSTILE);
    start(&bench, &seen, act("offspring", 5));
    await_exit(&bench, &seen);
    assert_int_equal(WEXITSTATUS(seen.how.status), 5);
    assert_int_equal(json_array_size(seen.messages), 1);
    forget(&seen);
    bench_close(&bench); /* finds no child left, though nobody has killed the offspring by name */
}

static void test_kill_from_a_message(void **state)
{
    (void)state;
    struct bench bench;
    struct seen seen;
    bench_open(&bench, HOSTILE);
    start(&bench, &seen, act("flood", 0));
    seen.kill_at_first = true;
    await_exit(&bench, &seen);
    assert_int_equal(WTERMSIG(seen.how.status), SIGKILL);
    forget(&seen);
    bench_close(&bench);
}

static void test_a_fork_that_fails_is_tried_again(void **state)
{
    (void)state;
    struct bench bench;
    struct seen seen, given_up;
    bench_open(&bench, RELUCTANT);
    start(&bench, &given_up, act("half", 3));
    start(&bench, &seen, act("half", 3));
    worker_kill(given_up.worker);
    await_exit(&bench, &given_up);
    assert_int_equal(WTERMSIG(given_up.how.status), SIGKILL);
    await_exit(&bench, &seen);
    assert_int_equal(WEXITSTATUS(seen.how.status), 3);
    forget(&seen);
    forget(&given_up);
    bench_close(&bench);
}

static void test_a_worker_that_dies_at_once_is_made_again(void **state)
{
    (void)state;
    struct bench bench;
    struct seen seen;
    bench_open(&bench, SICKLY);
    start(&bench, &seen, act("half", 3));
    await_exit(&bench, &seen); /* long before the template counts as hung */
    assert_int_equal(WEXITSTATUS(seen.how.status), 3);
    forget(&seen);
    bench_close(&bench);
}

static void test_workers_that_all_die_at_once(void **state)
{
    (void)state;
    struct bench bench;
    struct seen seen, given_up;
    bench_open(&bench, HOPELESS);
    start(&bench, &seen, act("half", 3));
    start(&bench, &given_up, act("half", 3));
    worker_kill(given_up.worker);
    await_exit(&bench, &seen);
    assert_int_equal(WTERMSIG(seen.how.status), SIGKILL);
    await_exit(&bench, &given_up);
    forget(&seen);
    forget(&given_up);
    bench_close(&bench);
}

static void test_no_descriptors_left(void **state)
{
    (void)state;
    struct bench bench;
    struct seen seen;
    bench_open(&bench, HOSTILE);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit tight = {.rlim_cur = 3, .rlim_max = before.rlim_max};
    json_t *task = act("half", 3);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    struct worker *worker = worker_start(bench.pool, task, &bench_events, &seen);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_null(worker);
    json_decref(task);
    start(&bench, &seen, act("half", 3));
    await_exit(&bench, &seen);
    forget(&seen);
    bench_close(&bench);
}

/* Turns the loop until the worker that was asked for beforehand stands there; its process. */
static pid_t await_ready(struct bench *bench)
{
    const struct worker *ready = bench->pool->ready;
    assert_non_null(ready);
    for (int i = 0; i < PATIENCE_MS && worker_pid(ready) == 0 && bench->pool->ready; i++)
        uv_run(&bench->loop, UV_RUN_ONCE);
    assert_ptr_equal(bench->pool->ready, ready);
    return worker_pid(ready);
}

static void await_none(struct bench *bench)
{
    for (int i = 0; i < PATIENCE_MS && bench->pool->first; i++)
        turn_for(bench, 1);
    assert_null(bench->pool->first);
    assert_null(bench->pool->ready);
}

static void test_a_task_that_is_expected(void **state)
{
    (void)state;
    struct bench bench;
    struct seen seen = {.messages = json_array()};
    bench_open(&bench, HOSTILE);
    worker_expect(bench.pool);
    worker_expect(bench.pool); /* one is enough */
    int counts[WORKER_STAGE_COUNT];
    worker_pool_count(bench.pool, counts);
    assert_int_equal(counts[WORKER_STAGE_WAITING], 1);
    pid_t ready = await_ready(&bench);
    worker_pool_count(bench.pool, counts);
    assert_int_equal(counts[WORKER_STAGE_WAITING], 1);
    assert_int_equal(counts[WORKER_STAGE_RUNNING], 0);
    json_t *task = act("half", 3);
    seen.worker = worker_start(bench.pool, task, &bench_events, &seen);
    json_decref(task);
    assert_int_equal(worker_pid(seen.worker), ready);
    assert_null(bench.pool->ready);
    await_exit(&bench, &seen);
    assert_int_equal(WEXITSTATUS(seen.how.status), 3);
    forget(&seen);
    await_none(&bench);
    bench_close(&bench);
}

static void test_a_task_that_is_expected_and_comes_at_once(void **state)
{
    (void)state;
    struct bench bench;
    struct seen seen, second;
    bench_open(&bench, HOSTILE);
    worker_expect(bench.pool);
    start(&bench, &seen, act("half", 3));
    start(&bench, &second, act("half", 4));
    await_exit(&bench, &seen);
    await_exit(&bench, &second);
    assert_int_equal(WEXITSTATUS(seen.how.status), 3);
    assert_int_equal(WEXITSTATUS(second.how.status), 4);
    forget(&seen);
    forget(&second);
    await_none(&bench);
    bench_close(&bench);
}

static void test_a_task_that_is_expected_and_does_not_come(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench, HOSTILE);
    worker_expect(bench.pool);
    pid_t ready = await_ready(&bench);
    await_none(&bench);
    await_gone(ready);
    bench_close(&bench);
}

static void test_a_worker_that_dies_while_it_stands_ready(void **state)
{
    (void)state;
    struct bench bench;
    struct seen seen;
    bench_open(&bench, HOSTILE);
    worker_expect(bench.pool);
    kill(await_ready(&bench), SIGKILL);
    await_none(&bench);
    start(&bench, &seen, act("half", 3));
    await_exit(&bench, &seen);
    assert_int_equal(WEXITSTATUS(seen.how.status), 3);
    forget(&seen);
    bench_close(&bench);
}

int main(int argc, char **argv)
{
    hostile_main(argc, argv);
    bench_signals_unhandled();

    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_death_by_signal),
        cmocka_unit_test(test_broken_protocol),
        cmocka_unit_test(test_half_a_message_then_exit),
        cmocka_unit_test(test_largest_message_then_exit),
        cmocka_unit_test(test_closed_socket_is_the_end),
        cmocka_unit_test(test_offspring_holds_nothing_up),
        cmocka_unit_test(test_kill_from_a_message),
        cmocka_unit_test(test_a_fork_that_fails_is_tried_again),
        cmocka_unit_test(test_a_worker_that_dies_at_once_is_made_again),
        cmocka_unit_test(test_workers_that_all_die_at_once),
        cmocka_unit_test(test_no_descriptors_left),
        cmocka_unit_test(test_a_task_that_is_expected),
        cmocka_unit_test(test_a_task_that_is_expected_and_comes_at_once),
        cmocka_unit_test(test_a_task_that_is_expected_and_does_not_come),
        cmocka_unit_test(test_a_worker_that_dies_while_it_stands_ready),
    };
    return cmocka_run_group_tests(tests, bench_setup, bench_teardown);
}
