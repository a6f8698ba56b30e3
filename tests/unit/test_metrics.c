/*
 * Counters, histograms and their text: escapes, buckets that add up, and the bound of series.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/metrics.h"

static char *text_of(const struct metrics *metrics)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    assert_non_null(stream);
    metrics_print(metrics, stream);
    assert_int_equal(fclose(stream), 0);
    return text;
}

static void assert_has(const struct metrics *metrics, const char *line)
{
    char *text = text_of(metrics);
    if (!strstr(text, line))
        fail_msg("no %s in\n%s", line, text);
    free(text);
}

static void test_counters(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_create();
    metrics_add(metrics, METRIC_OUTPUT_BYTES, "http", NULL, 5);
    metrics_add(metrics, METRIC_OUTPUT_BYTES, "http", NULL, 1e15);
    metrics_add(metrics, METRIC_OUTPUT_BYTES, "http", NULL, -7); /* they never fall */
    metrics_add(metrics, METRIC_REJECTED, "a \"b\" \\ \n", NULL, 1);
    metrics_add(metrics, METRIC_JOBS_ENDED, "probe", "failed", 1);
    assert_has(metrics, "\nluma_output_bytes_total{channel=\"http\"} 1000000000000005\n");
    assert_has(metrics, "\nluma_rejected_total{reason=\"a \\\"b\\\" \\\\ \\n\"} 1\n");
    assert_has(metrics, "\nluma_jobs_ended_total{operation=\"probe\",outcome=\"failed\"} 1\n");
    assert_has(metrics, "# TYPE luma_connections_total counter\nluma_connections_total 0\n");
    metrics_destroy(&metrics);
    assert_null(metrics);
    metrics_destroy(&metrics);
}

static void test_histograms(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_create();
    static const double values[] = {0.0005, 0.001, 0.002, 3, -1};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        metrics_observe(metrics, METRIC_LOOP_LAG, NULL, NULL, values[i]);
    metrics_observe(metrics, METRIC_LOOP_LAG, NULL, NULL, NAN);
    assert_has(metrics, "# TYPE luma_event_loop_lag_seconds histogram\n"
                        "luma_event_loop_lag_seconds_bucket{le=\"0.001\"} 3\n"
                        "luma_event_loop_lag_seconds_bucket{le=\"0.0025\"} 4\n");
    assert_has(metrics, "_bucket{le=\"2.5\"} 4\nluma_event_loop_lag_seconds_bucket{le=\"+Inf\"} 5\n"
                        "luma_event_loop_lag_seconds_sum 3.0035\n"
                        "luma_event_loop_lag_seconds_count 5\n");
    metrics_destroy(&metrics);
}

static void test_series_have_a_bound(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_create();
    for (int i = 0; i < 1000; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "name%d", i);
        metrics_add(metrics, METRIC_REJECTED, name, NULL, 1);
    }
    assert_has(metrics, "luma_rejected_total{reason=\"other\"} 800\n");
    metrics_add(metrics, METRIC_REJECTED, "name7", NULL, 1);
    assert_has(metrics, "luma_rejected_total{reason=\"name7\"} 2\n");
    metrics_destroy(&metrics);
}

static void test_without_metrics(void **state)
{
    (void)state;
    metrics_add(NULL, METRIC_REJECTED, "x", NULL, 1);
    metrics_observe(NULL, METRIC_LOOP_LAG, NULL, NULL, 1);
    char *text = text_of(NULL);
    assert_string_equal(text, "");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counters),
        cmocka_unit_test(test_histograms),
        cmocka_unit_test(test_series_have_a_bound),
        cmocka_unit_test(test_without_metrics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
