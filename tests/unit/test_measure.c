/*
 * Measures of what is known beforehand: tones of a known level, silence, black, cuts. Everything
 * comes from source filters, so that no file is needed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <libavutil/log.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/measure.h"
#include "engine/pipeline.h"

enum { MOST_OPTIONS = 8 };

static struct plan_edge filter(struct plan *plan, const char *name, const struct plan_edge *inputs,
                               int input_count, const char *const *options)
{
    struct plan_option list[MOST_OPTIONS] = {0};
    struct error e = {0};
    int count = 0;
    for (; options && options[2 * count]; count++)
        list[count] = (struct plan_option){options[2 * count], options[2 * count + 1]};
    int node = plan_add_filter(plan, name, inputs, input_count, list, count, &e);
    if (node < 0)
        fail_msg("%s: %s", name, e.message);
    return (struct plan_edge){node, 0};
}

static struct plan_edge after(struct plan *plan, struct plan_edge input, const char *name,
                              const char *const *options)
{
    return filter(plan, name, &input, 1, options);
}

static struct plan_edge tone(struct plan *plan, const char *samples, const char *seconds)
{
    return filter(plan, "aevalsrc", NULL, 0,
                  (const char *[]){"exprs", samples, "d", seconds, "s", "48000", NULL});
}

static struct plan_edge picture(struct plan *plan, const char *color, const char *seconds)
{
    return filter(plan, "color", NULL, 0,
                  (const char *[]){"c", color, "d", seconds, "s", "320x240", "r", "25", NULL});
}

/* Runs measures of all the edges in one go; the result is the caller's. */
static struct pipeline_result measure(struct plan *plan, const struct plan_edge *edges, int count)
{
    int nodes[4];
    struct error e = {0};
    struct pipeline_result result;
    for (int i = 0; i < count; i++) {
        nodes[i] = plan_add_measure(plan, edges[i], false, &e);
        if (nodes[i] < 0)
            fail_msg("%s", e.message);
    }
    struct pipeline_options options = {.outputs = nodes, .output_count = count};
    if (pipeline_run(plan, &options, &result, &e) < 0)
        fail_msg("%s", e.message);
    assert_int_equal(result.file_count, 0);
    assert_int_equal(result.measurement_count, count);
    for (int i = 0; i < count; i++)
        assert_int_equal(result.measurements[i]->node, nodes[i]);
    return result;
}

static const struct measure_value *value_of(const struct measurement *found, const char *name)
{
    for (int i = 0; i < found->value_count; i++)
        if (strcmp(found->values[i].name, name) == 0)
            return &found->values[i];
    fail_msg("there is no %s", name);
    return NULL;
}

static void near(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%g is not %g", value, expected);
}

static void test_loudness_in_decibel(void **state)
{
    (void)state;
    static const char *const meter[] = {"metadata", "1", "peak", "true+sample", NULL};
    struct plan *plan = plan_create(NULL);
    /* a stereo sine of 1 kHz at -20 dBFS is -20 LUFS (EBU Tech 3341); its peak is its amplitude */
    struct plan_edge edge =
        after(plan, tone(plan, "0.1*sin(997*2*PI*t)|0.1*sin(997*2*PI*t)", "3"), "ebur128", meter);
    struct pipeline_result result = measure(plan, &edge, 1);
    const struct measurement *found = result.measurements[0];
    near(value_of(found, "ebur128.integrated")->last, -20, 0.1);
    near(value_of(found, "ebur128.true_peak")->last, -20, 0.1);
    near(value_of(found, "ebur128.sample_peak")->last, -20, 0.1);
    near(value_of(found, "ebur128.true_peaks.2")->last, -20, 0.1);
    near(value_of(found, "ebur128.momentary")->highest, -20, 0.1);
    assert_true(value_of(found, "ebur128.range_low")->last <= 0);
    near(found->start, 0, 0.001);
    near(found->end, 3, 0.001);
    assert_false(found->truncated);
    assert_null(found->detectors[0]);
    pipeline_result_finish(&result);
    plan_destroy(&plan);
}

static void test_digital_silence_has_no_peak(void **state)
{
    (void)state;
    static const char *const meter[] = {"metadata", "1", "peak", "true", NULL};
    struct plan *plan = plan_create(NULL);
    struct plan_edge edge = after(plan, tone(plan, "0", "1"), "ebur128", meter);
    struct pipeline_result result = measure(plan, &edge, 1);
    const struct measure_value *peak = value_of(result.measurements[0], "ebur128.true_peak");
    assert_true(isinf(peak->last) && peak->last < 0);
    assert_true(value_of(result.measurements[0], "ebur128.integrated")->last <= -70);
    pipeline_result_finish(&result);
    plan_destroy(&plan);
}

/* Two intervals; the second is open when the stream ends. */
static void test_silence_to_the_end(void **state)
{
    (void)state;
    struct plan *plan = plan_create(NULL);
    struct plan_edge edge = after(plan, tone(plan, "0.5*sin(440*2*PI*t)*between(t,1,2)", "3.5"),
                                  "silencedetect", (const char *[]){"d", "0.3", NULL});
    struct pipeline_result result = measure(plan, &edge, 1);
    const struct measurement *found = result.measurements[0];
    assert_int_equal(found->span_count, 2);
    assert_string_equal(found->spans[0].filter, "silencedetect");
    near(found->spans[0].start, 0, 0.001);
    near(found->spans[0].stop, 1, 0.002);
    near(found->spans[1].start, 2, 0.002);
    near(found->spans[1].stop, 3.5, 0.001);
    assert_string_equal(found->detectors[0], "silencedetect");
    assert_null(found->detectors[1]);
    pipeline_result_finish(&result);
    plan_destroy(&plan);
}

static void test_silence_of_channels(void **state)
{
    (void)state;
    struct plan *plan = plan_create(NULL);
    struct plan_edge edge =
        after(plan, tone(plan, "0.5*sin(440*2*PI*t)|0.5*sin(440*2*PI*t)*lt(t,1)", "2"),
              "silencedetect", (const char *[]){"d", "0.3", "mono", "1", NULL});
    struct pipeline_result result = measure(plan, &edge, 1);
    const struct measurement *found = result.measurements[0];
    assert_int_equal(found->span_count, 1);
    assert_int_equal(found->spans[0].channel, 2);
    near(found->spans[0].start, 1, 0.002);
    near(found->spans[0].stop, 2, 0.001);
    pipeline_result_finish(&result);
    plan_destroy(&plan);
}

/* Black, white, black for less than was asked for, white, black to the end. */
static void test_black_and_cuts(void **state)
{
    (void)state;
    struct plan *plan = plan_create(NULL);
    static const char *const colors[] = {"black", "white", "black", "white", "black"};
    static const char *const seconds[] = {"1", "1", "0.2", "0.8", "1"};
    struct plan_edge parts[5];
    for (int i = 0; i < 5; i++)
        parts[i] = picture(plan, colors[i], seconds[i]);
    struct plan_edge edge = filter(plan, "concat", parts, 5, (const char *[]){"n", "5", NULL});
    edge = after(plan, edge, "blackdetect", (const char *[]){"d", "0.5", NULL});
    edge = after(plan, edge, "scdet", NULL);
    edge = after(plan, edge, "fps", (const char *[]){"fps", "50", NULL}); /* doubles frames */
    struct pipeline_result result = measure(plan, &edge, 1);
    const struct measurement *found = result.measurements[0];
    static const double times[] = {1, 2, 2.2, 3};
    double black[2][2] = {{0}};
    int cuts = 0, blacks = 0;
    for (int i = 0; i < found->span_count; i++) {
        const struct measure_span *span = &found->spans[i];
        if (strcmp(span->filter, "scdet") == 0) {
            assert_true(cuts < 4 && span->score > 10);
            near(span->start, times[cuts++], 0.021);
        } else {
            assert_true(blacks < 2);
            black[blacks][0] = span->start;
            black[blacks++][1] = span->stop;
        }
    }
    assert_int_equal(cuts, 4);
    assert_int_equal(blacks, 2);
    near(black[0][0], 0, 0.001);
    near(black[0][1], 1, 0.021);
    near(black[1][0], 3, 0.021);
    near(black[1][1], 4, 0.041);
    assert_string_equal(found->detectors[0], "blackdetect");
    assert_string_equal(found->detectors[1], "scdet");
    pipeline_result_finish(&result);
    plan_destroy(&plan);
}

static void test_crop_and_statistics(void **state)
{
    (void)state;
    struct plan *plan = plan_create(NULL);
    struct plan_edge video =
        after(plan, picture(plan, "white", "1"), "pad",
              (const char *[]){"w", "400", "h", "300", "x", "40", "y", "30", NULL});
    struct plan_edge edges[2] = {
        after(plan, video, "cropdetect", (const char *[]){"round", "2", NULL}),
        after(plan, tone(plan, "0.5*sin(440*2*PI*t)", "1"), "astats",
              (const char *[]){"metadata", "1", NULL}),
    };
    struct pipeline_result result = measure(plan, edges, 2);
    near(value_of(result.measurements[0], "cropdetect.w")->last, 320, 2);
    near(value_of(result.measurements[0], "cropdetect.x")->last, 40, 2);
    assert_int_equal(result.measurements[0]->frames, 25);
    const struct measure_value *level = value_of(result.measurements[1], "astats.1.rms_level");
    near(level->last, -9.03, 0.05);
    assert_true(level->count > 1 && level->lowest <= level->highest);
    near(value_of(result.measurements[1], "astats.overall.peak_level")->last, -6.02, 0.05);
    pipeline_result_finish(&result);
    plan_destroy(&plan);
}

/* A flicker makes more intervals than are kept. */
static void test_memory_is_bounded(void **state)
{
    (void)state;
    struct plan *plan = plan_create(NULL);
    struct plan_edge edge =
        filter(plan, "aevalsrc", NULL, 0,
               (const char *[]){"exprs", "0.5*gt(mod(n,4),1)", "d", "8", "s", "8000", NULL});
    edge = after(plan, edge, "asetnsamples", (const char *[]){"n", "4", NULL});
    edge = after(plan, edge, "silencedetect", (const char *[]){"d", "0.0001", NULL});
    struct pipeline_result result = measure(plan, &edge, 1);
    assert_int_equal(result.measurements[0]->span_count, MEASURE_SPANS);
    assert_true(result.measurements[0]->truncated);
    pipeline_result_finish(&result);
    plan_destroy(&plan);
}

/* A measure of each frame; the result is the caller's. */
static struct pipeline_result measure_each(struct plan *plan, struct plan_edge edge)
{
    struct error e = {0};
    struct pipeline_result result;
    int node = plan_add_measure(plan, edge, true, &e);
    struct pipeline_options options = {.outputs = &node, .output_count = 1};
    if (node < 0 || pipeline_run(plan, &options, &result, &e) < 0)
        fail_msg("%s", e.message);
    return result;
}

static void test_each_frame(void **state)
{
    (void)state;
    struct plan *plan = plan_create(NULL);
    struct plan_edge edge = after(plan, picture(plan, "white", "1"), "format",
                                  (const char *[]){"pix_fmts", "yuv420p", NULL});
    edge = after(plan, edge, "fade", (const char *[]){"n", "25", NULL});
    edge = after(plan, edge, "signalstats", NULL);
    struct pipeline_result result = measure_each(plan, edge);
    const struct measurement *found = result.measurements[0];
    ptrdiff_t column = value_of(found, "signalstats.yavg") - found->values;
    assert_int_equal(found->row_count, 25);
    for (int i = 0; i < found->row_count; i++) {
        near(found->rows[i].time, i / 25.0, 1e-6);
        near(found->rows[i].values[column], 16 + 219 * i / 25.0, 2);
    }
    assert_false(found->truncated);
    pipeline_result_finish(&result);

    edge = after(plan, tone(plan, "0.1", "1"), "asetnsamples", (const char *[]){"n", "4", NULL});
    edge = after(plan, edge, "astats", (const char *[]){"metadata", "1", NULL});
    result = measure_each(plan, edge);
    assert_int_equal(result.measurements[0]->row_count, MEASURE_ROWS);
    assert_int_equal(result.measurements[0]->frames, 12000);
    assert_true(result.measurements[0]->truncated);
    pipeline_result_finish(&result);
    plan_destroy(&plan);
}

static void test_what_cannot_be_measured(void **state)
{
    (void)state;
    struct plan *plan = plan_create(NULL);
    struct error e = {0};
    struct plan_edge endless = filter(plan, "anullsrc", NULL, 0, NULL);
    assert_int_equal(plan_add_measure(plan, endless, false, &e), ERROR_INVALID_OPTION);
    assert_non_null(strstr(e.message, "never end"));
    int encoded = plan_add_encode(plan, tone(plan, "0", "1"), "flac", NULL, 0, &e);
    assert_true(encoded >= 0);
    assert_int_equal(plan_add_measure(plan, (struct plan_edge){encoded, 0}, false, &e),
                     ERROR_INVALID_OPTION);
    assert_non_null(strstr(e.message, "frames"));
    assert_int_equal(plan_add_measure(plan, (struct plan_edge){99, 0}, false, &e), ERROR_INTERNAL);
    plan_destroy(&plan);
}

/* A measure of the plan runs only when it is asked for, and is part of no explanation else. */
static void test_it_stands_aside(void **state)
{
    (void)state;
    struct plan *plan = plan_create(NULL);
    struct error e = {0};
    char *text = NULL;
    struct plan_edge edge = after(plan, tone(plan, "0", "1"), "astats", NULL);
    int node = plan_add_measure(plan, edge, false, &e);
    assert_true(node >= 0);
    assert_int_equal(plan_node_kind(plan, node), PLAN_MEASURE);
    assert_int_equal(plan_pad_count(plan, node), 0);
    assert_true(plan_cost(plan, &node, 1) > plan_cost(plan, NULL, 0));
    assert_int_equal(plan_explain(plan, NULL, 0, PLAN_STYLE_TEXT, &text, &e), 0);
    assert_null(strstr(text, "measure"));
    free(text);
    assert_int_equal(plan_explain(plan, &node, 1, PLAN_STYLE_TEXT, &text, &e), 0);
    assert_non_null(strstr(text, "measure from [1]"));
    free(text);
    assert_int_equal(plan_explain(plan, &node, 1, PLAN_STYLE_DOT, &text, &e), 0);
    assert_non_null(strstr(text, "measure"));
    free(text);
    plan_destroy(&plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loudness_in_decibel),
        cmocka_unit_test(test_digital_silence_has_no_peak),
        cmocka_unit_test(test_silence_to_the_end),
        cmocka_unit_test(test_silence_of_channels),
        cmocka_unit_test(test_black_and_cuts),
        cmocka_unit_test(test_crop_and_statistics),
        cmocka_unit_test(test_memory_is_bounded),
        cmocka_unit_test(test_each_frame),
        cmocka_unit_test(test_what_cannot_be_measured),
        cmocka_unit_test(test_it_stands_aside),
    };
    av_log_set_level(AV_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
