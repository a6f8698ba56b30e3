/*
 * Rates, and which accounts are kept.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/account.h"

static void test_a_burst_then_the_rate(void **state)
{
    (void)state;
    struct rate rate = {0};
    for (int i = 0; i < 20; i++)
        assert_true(rate_take(&rate, 10, 100));
    assert_false(rate_take(&rate, 10, 100));
    assert_float_equal(rate_wait(&rate, 10), 0.1, 1e-6);
    assert_false(rate_take(&rate, 10, 100.05));
    assert_float_equal(rate_wait(&rate, 10), 0.05, 1e-6);
    assert_true(rate_take(&rate, 10, 100.11));
    assert_false(rate_take(&rate, 10, 100.11));
    int taken = 0;
    for (int i = 0; i < 1000; i++)
        taken += rate_take(&rate, 10, 100.2 + i * 0.01);
    assert_in_range(taken, 99, 102);
}

static void test_rest_is_not_saved_up(void **state)
{
    (void)state;
    struct rate rate = {0};
    assert_true(rate_take(&rate, 10, 1));
    for (int i = 0; i < 20; i++)
        assert_true(rate_take(&rate, 10, 10000));
    assert_false(rate_take(&rate, 10, 10000));
}

static void test_accounts(void **state)
{
    (void)state;
    struct table accounts;
    table_init(&accounts);
    struct account *ann = account_get(&accounts, "ann", 1);
    assert_ptr_equal(account_get(&accounts, "ann", 2), ann);
    account_keep(&accounts, "ben", 100, 2);
    account_keep(&accounts, "ben", 50, 2);
    account_keep(&accounts, "nobody", 0, 2);
    assert_int_equal(accounts.count, 2);
    accounts_sweep(&accounts, 5); /* a bucket may not be full yet */
    assert_int_equal(accounts.count, 2);
    accounts_sweep(&accounts, 7); /* what is kept keeps the account */
    assert_int_equal(accounts.count, 1);
    assert_int_equal(account_get(&accounts, "ben", 7)->bytes, 150);
    account_keep(&accounts, "ben", -150, 7);
    accounts_sweep(&accounts, 20);
    assert_int_equal(accounts.count, 0);
    account_keep(&accounts, "cat", 1, 20);
    accounts_finish(&accounts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_burst_then_the_rate),
        cmocka_unit_test(test_rest_is_not_saved_up),
        cmocka_unit_test(test_accounts),
    };
    return cmocka_run_group_tests_name("account", tests, NULL, NULL);
}
