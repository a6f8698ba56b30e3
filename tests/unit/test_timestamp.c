/*
 * What counts as a time of media.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/timestamp.h"

static const AVRational seconds = {1, 1}, nanoseconds = {1, 1000000000};

static void test_times(void **state)
{
    (void)state;
    static const struct {
        int64_t time, zero;
        AVRational time_base;
        bool fits;
    } cases[] = {
        {0, 0, {1, 90000}, true},
        {AV_NOPTS_VALUE, 0, {1, 1}, true},
        {TIMESTAMP_MOST_SECONDS, 0, {1, 1}, true},
        {-TIMESTAMP_MOST_SECONDS, 0, {1, 1}, true},
        {TIMESTAMP_MOST_SECONDS + 1, 0, {1, 1}, false},
        {INT64_MAX, 0, {1, 1000000000}, false},
        {INT64_MIN + 1, 0, {1, 1000000000}, false},
        {INT64_MAX, INT64_MIN + 1, {1, 1}, false},
        {INT64_MAX, INT64_MAX - 5, {1, 1}, true},
        /* a recording that counts from 1970 */
        {INT64_C(1700000000000), INT64_C(1699999990000), {1, 1000}, true},
        {INT64_C(1700000000000), 0, {1, 1000}, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t tame = timestamp_tame(cases[i].time, cases[i].zero, cases[i].time_base);
        assert_int_equal(timestamp_fits(cases[i].time, cases[i].zero, cases[i].time_base),
                         cases[i].fits);
        assert_true(tame == (cases[i].fits ? cases[i].time : AV_NOPTS_VALUE));
    }
}

static void test_lengths(void **state)
{
    (void)state;
    assert_int_equal(timestamp_tame_length(40, seconds), 40);
    assert_int_equal(timestamp_tame_length(0, seconds), 0);
    assert_int_equal(timestamp_tame_length(-1, seconds), 0);
    assert_int_equal(timestamp_tame_length(INT64_MAX, nanoseconds), 0);
    assert_int_equal(timestamp_tame_length(AV_NOPTS_VALUE, nanoseconds), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
