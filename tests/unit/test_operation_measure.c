/*
 * av.measure as scripts see it: what it gives, how it fails, and what the caller hears of a job
 * that measures before it runs.
 */
#include "tests/unit/operation_fixture.h"

#include <math.h>

/* What the callbacks heard. */
static struct {
    int planned, progress;
    double cost;
    int refuse; /* what `planned` answers */
    double percent, highest_before_end;
    bool fell;
} heard;

static int on_planned(void *opaque, double cost)
{
    (void)opaque;
    heard.planned++;
    heard.cost = cost;
    return heard.refuse;
}

static int on_progress(void *opaque, const struct pipeline_progress *progress)
{
    (void)opaque;
    heard.progress++;
    if (isfinite(progress->percent)) {
        heard.fell |= progress->percent < heard.percent;
        heard.percent = progress->percent;
        if (progress->percent < 100)
            heard.highest_before_end = progress->percent;
    }
    return 0;
}

/* Runs a body of run(job) on the clip; `answer` is what planned() says. */
static int run_body(const char *body, int answer, struct operation_outcome *outcome)
{
    struct operation_request request;
    struct operation_input input;
    write_run(body);
    request_init(&request, &input);
    request.planned = on_planned;
    request.progress = on_progress;
    memset(&heard, 0, sizeof heard);
    heard.refuse = answer;
    return operation_run(&request, outcome);
}

static void assert_value(const char *body, const char *expected)
{
    struct operation_outcome outcome;
    if (run_body(body, 0, &outcome) != 0)
        fail_msg("%s: %s", body, outcome.error.message);
    char *text =
        json_dumps(outcome.result, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6));
    assert_string_equal(text, expected);
    free(text);
    operation_outcome_finish(&outcome);
}

static void test_tables_by_filter(void **state)
{
    (void)state;
    /* the sine of lavfi has an amplitude of 1/8, and 3 dB less in each of two channels: -21.07 dBFS
     */
    assert_value("local m = av.measure(source.audio:ebur128{metadata=1, peak='true'})\n"
                 "local peak, loud = m.ebur128.true_peak, m.ebur128.integrated\n"
                 "return { peak > -21.6 and peak < -20.6, loud > -24 and loud < -15,\n"
                 "m.highest.ebur128.momentary >= loud, #m.ebur128.true_peaks, m.truncated }",
                 "[true,true,true,2,false]");
    assert_value("local m = av.measure(source.audio:astats{metadata=1})\n"
                 "return { m.astats[1].peak_level < -17, m.astats.overall.rms_level < -17,\n"
                 "m.lowest.astats[1].rms_level <= m.mean.astats[1].rms_level, #m.astats }",
                 "[true,true,true,2]");
    assert_value("local m = av.measure(source.video:cropdetect{round=2, skip=0})\n"
                 "return { m.cropdetect.w, m.cropdetect.h, m.frames }",
                 "[320.0,240.0,50]");
}

static void test_each_frame(void **state)
{
    (void)state;
    assert_value("local m = av.measure(source.video:signalstats(), { each = true })\n"
                 "local last = m.each[#m.each]\n"
                 "return { #m.each, last.time, last.signalstats.yavg == m.signalstats.yavg }",
                 "[50,1.96,true]");
    assert_value("return { av.measure(source.video:signalstats(), { each = false }).each == nil }",
                 "[true]");
}

static void test_lists_of_intervals(void **state)
{
    (void)state;
    assert_value("local m = av.measure(source.audio:volume(0):silencedetect{d=0.5})\n"
                 "local one = m.silencedetect[1]\n"
                 "return { #m.silencedetect, one.start, math.abs(one.stop - 2) < 0.03,\n"
                 "one.stop == m.stop, m.blackdetect == nil }",
                 "[1,0.0,true,true,true]");
    assert_value("local m = av.measure(source.video:blackdetect():scdet())\n"
                 "return { #m.blackdetect, #m.scdet, m.start, m.stop }",
                 "[0,0,0.0,2.0]");
    assert_value("local part = source:between(0.5, 1.5)\n"
                 "local m = av.measure(part.audio:silencedetect())\n"
                 "return { math.abs(m.stop - m.start - 1) < 0.03, #m.silencedetect }",
                 "[true,0]");
}

/* The lights go out once, progress goes up, and a run after the measures ends at 100. */
static void test_permission_and_progress(void **state)
{
    (void)state;
    struct operation_outcome outcome;
    const char *body = "av.measure(source.video:scdet())\n"
                       "av.measure(source.video:scdet())\n"
                       "job:output{ format='mp4', source.video:encode{codec='libx264', "
                       "preset='ultrafast'} }";
    assert_int_equal(run_body(body, 0, &outcome), 0);
    assert_int_equal(heard.planned, 1);
    assert_true(heard.cost > 2);
    assert_true(heard.progress >= 3);
    assert_false(heard.fell);
    assert_true(heard.highest_before_end >= 75 - 0.001);
    assert_true(heard.percent == 100);
    operation_outcome_finish(&outcome);
}

static void test_failures(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        int code;
        const char *says;
    } cases[] = {
        {"av.measure()", ERROR_SCRIPT, "a stream expected"},
        {"av.measure(source)", ERROR_SCRIPT, "a stream expected"},
        {"av.measure(av.source('anullsrc'))", ERROR_SCRIPT, "never end"},
        {"av.measure(source.video, {every = 1})", ERROR_SCRIPT, "'each' only"},
        {"av.measure(source.video, 1)", ERROR_SCRIPT, "table expected"},
        {"av.measre(source.audio)", ERROR_SCRIPT, "did you mean 'measure'?"},
    };
    struct operation_outcome outcome;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(run_body(cases[i].body, 0, &outcome), cases[i].code);
        if (!strstr(outcome.error.message, cases[i].says))
            fail_msg("%s: %s", cases[i].body, outcome.error.message);
        operation_outcome_finish(&outcome);
    }
    /* a caller that says no is asked again, whatever the script makes of it */
    const char *stubborn =
        "pcall(av.measure, source.audio)\nreturn pcall(av.measure, source.audio)";
    run_body(stubborn, ERROR_CANCELLED, &outcome);
    assert_true(heard.planned >= 2);
    operation_outcome_finish(&outcome);
    assert_int_equal(run_body("av.measure(source.audio)", ERROR_CANCELLED, &outcome),
                     ERROR_CANCELLED);
    assert_int_equal(heard.progress, 0);
    operation_outcome_finish(&outcome);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables_by_filter),   cmocka_unit_test(test_each_frame),
        cmocka_unit_test(test_lists_of_intervals), cmocka_unit_test(test_permission_and_progress),
        cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, make_world, remove_world);
}
