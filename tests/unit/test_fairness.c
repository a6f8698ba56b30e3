/*
 * Ranks: who goes before whom, whatever each of them has queued before.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "server/fairness.h"

#define STRANGERS 5000

static struct fairness fairness;

static int setup(void **state)
{
    (void)state;
    fairness_init(&fairness);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fairness_finish(&fairness);
    return 0;
}

static double stamp(const char *caller, double cost)
{
    return fairness_stamp(&fairness, LANE_HEAVY, caller, cost);
}

static void taken(double rank)
{
    fairness_taken(&fairness, LANE_HEAVY, rank);
}

static void assert_rank(double rank, double expected)
{
    assert_float_equal(rank, expected, 1e-9);
}

static void test_a_callers_jobs_follow_each_other(void **state)
{
    (void)state;
    assert_rank(stamp("a", 10), 0);
    assert_rank(stamp("a", 20), 10);
    assert_rank(stamp("a", 1), 30);
}

static void test_a_newcomer_goes_before_those_that_wait(void **state)
{
    (void)state;
    double ranks[4];
    for (int i = 0; i < 4; i++)
        ranks[i] = stamp("many", 10);
    taken(ranks[0]);
    taken(ranks[1]);
    double rank = stamp("few", 500); /* its own cost doesn't hold its first job back */
    assert_true(rank >= ranks[1] && rank < ranks[2]);
}

static void test_shares_go_by_cost(void **state)
{
    (void)state;
    double large[2], small[4];
    for (int i = 0; i < 2; i++)
        large[i] = stamp("large", 30);
    for (int i = 0; i < 4; i++)
        small[i] = stamp("small", 10);
    assert_true(small[2] < large[1]); /* three small ones for a large one */
    assert_rank(small[3], large[1]);
}

static void test_the_real_cost_is_made_up_for(void **state)
{
    (void)state;
    taken(stamp("a", 10));
    fairness_settle(&fairness, LANE_HEAVY, "a", 10, 70);
    assert_rank(stamp("a", 10), 70);
    fairness_settle(&fairness, LANE_HEAVY, "a", 10, 0); /* withdrawn */
    assert_rank(stamp("a", 10), 70);
    assert_rank(stamp("b", 10), 0);
}

/* A caller that was charged too much doesn't overtake itself. */
static void test_own_order_is_kept(void **state)
{
    (void)state;
    (void)stamp("a", 10);
    double last = stamp("a", 10);
    fairness_settle(&fairness, LANE_HEAVY, "a", 10, 1);
    fairness_settle(&fairness, LANE_HEAVY, "a", 10, 1);
    assert_rank(stamp("a", 10), last);
}

static void test_idleness_saves_nothing_up(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        taken(stamp("a", 10));
    assert_rank(stamp("b", 10), 90);
    assert_rank(stamp("a", 10), 100);
}

static void test_an_idle_server_forgets(void **state)
{
    (void)state;
    taken(stamp("a", 1000));
    fairness_idle(&fairness);
    assert_rank(stamp("a", 10), stamp("b", 10));
}

static void test_lanes_are_apart(void **state)
{
    (void)state;
    (void)stamp("a", 100);
    assert_rank(fairness_stamp(&fairness, LANE_LIGHT, "a", 1), 0);
    assert_rank(stamp("a", 1), 100);
}

static void test_restored(void **state)
{
    (void)state;
    fairness_restore(&fairness, LANE_HEAVY, "a", 40, 10);
    fairness_restore(&fairness, LANE_HEAVY, "a", 30, 10);
    taken(30);
    assert_rank(stamp("a", 5), 50);
    assert_rank(stamp("b", 5), 30);
}

/* What ran after a restart costs no more than it would have without one. */
static void test_restored_jobs_are_charged_once(void **state)
{
    (void)state;
    double first = stamp("a", 10), second = stamp("a", 10);
    teardown(NULL);
    setup(NULL);
    fairness_restore(&fairness, LANE_HEAVY, "a", second, 10);
    fairness_restore(&fairness, LANE_HEAVY, "a", first, 10);
    fairness_settle(&fairness, LANE_HEAVY, "a", 10, 12);
    fairness_settle(&fairness, LANE_HEAVY, "a", 10, 12);
    assert_rank(stamp("a", 10), 24);
}

/* Callers that make no difference don't stay for ever. */
static void test_many_callers(void **state)
{
    (void)state;
    (void)stamp("a", 1e6);
    for (int i = 0; i < STRANGERS; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "caller-%d", i);
        double rank = stamp(name, 1);
        taken(rank + 2);
    }
    assert_true(fairness.callers.count < STRANGERS);
    assert_rank(stamp("a", 1), 1e6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_callers_jobs_follow_each_other, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_newcomer_goes_before_those_that_wait, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_shares_go_by_cost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_real_cost_is_made_up_for, setup, teardown),
        cmocka_unit_test_setup_teardown(test_own_order_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_idleness_saves_nothing_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_idle_server_forgets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lanes_are_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restored, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restored_jobs_are_charged_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_callers, setup, teardown),
    };
    return cmocka_run_group_tests_name("fairness", tests, NULL, NULL);
}
