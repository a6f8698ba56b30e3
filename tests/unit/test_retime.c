/*
 * Changed times of what no filter reaches: subtitles and chapters, as scripts ask for it, and what
 * is refused.
 */
#include "tests/unit/operation_fixture.h"

#include <math.h>

/* Runs a body of run(job) on the Matroska clip, whose subtitle is shown from 0.1 to 1 s, a few
 * milliseconds later on the clock of its earliest stream. */
static int run_body(const char *body, struct operation_outcome *outcome)
{
    struct operation_request request;
    struct operation_input input;
    write_run(body);
    request_init(&request, &input);
    input.path = clips.mkv;
    return operation_run(&request, outcome);
}

static AVFormatContext *open_output(void)
{
    char path[96];
    AVFormatContext *context = NULL;
    snprintf(path, sizeof path, "%s/out-0", clips.folder);
    assert_int_equal(avformat_open_input(&context, path, NULL, NULL), 0);
    assert_true(avformat_find_stream_info(context, NULL) >= 0);
    return context;
}

static void near(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%g is not %g", value, expected);
}

static void run_good(const char *body)
{
    struct operation_outcome outcome;
    if (run_body(body, &outcome) != 0)
        fail_msg("%s: %s", body, outcome.error.message);
    operation_outcome_finish(&outcome);
}

static void test_subtitles(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        double start, length;
    } cases[] = {
        {"job:output{ format='srt', source.subtitle:retime(2):encode{codec='srt'} }", 0.2, 1.8},
        {"job:output{ format='srt', source.subtitle:retime(2, 3):encode{codec='srt'} }", 3.2, 1.8},
        {"job:output{ format='srt', source.subtitle:retime(2, 3):retime(0.5):copy() }", 1.6, 0.9},
        {"job:output{ format='srt', source.subtitle:retime(1, -0.5):copy() }", 0, 0.5},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run_good(cases[i].body);
        AVFormatContext *context = open_output();
        AVPacket *packet = av_packet_alloc();
        assert_int_equal(av_read_frame(context, packet), 0);
        double base = av_q2d(context->streams[0]->time_base);
        near((double)packet->pts * base, cases[i].start, 0.008);
        near((double)packet->duration * base, cases[i].length, 0.008);
        av_packet_free(&packet);
        avformat_close_input(&context);
    }
}

static void test_chapters(void **state)
{
    (void)state;
    run_good("local list = { {start=0, stop=1, title='One'},\n"
             "{start=1, stop=2, metadata={title='Two', mood='blue'}} }\n"
             "job:output{ format='mkv', source.video:copy(), chapters=list }");
    char rename_from[96], rename_to[96];
    snprintf(rename_from, sizeof rename_from, "%s/out-0", clips.folder);
    snprintf(rename_to, sizeof rename_to, "%s", clips.mkv);
    AVFormatContext *context = open_output();
    assert_int_equal(context->nb_chapters, 2);
    near((double)context->chapters[1]->start * av_q2d(context->chapters[1]->time_base), 1, 0.001);
    assert_string_equal(av_dict_get(context->chapters[0]->metadata, "title", NULL, 0)->value,
                        "One");
    assert_string_equal(av_dict_get(context->chapters[1]->metadata, "MOOD", NULL, 0)->value,
                        "blue");
    avformat_close_input(&context);

    /* and back: what an input has, retimed */
    assert_int_equal(rename(rename_from, rename_to), 0);
    run_good("assert(#source.chapters == 2 and source.chapters[2].metadata.MOOD == 'blue')\n"
             "job:output{ format='mkv', source.video:copy(), "
             "chapters=source.chapters:retime(0.5, 0.25) }");
    context = open_output();
    assert_int_equal(context->nb_chapters, 2);
    near((double)context->chapters[1]->start * av_q2d(context->chapters[1]->time_base), 0.75,
         0.002);
    near((double)context->chapters[1]->end * av_q2d(context->chapters[1]->time_base), 1.25, 0.002);
    assert_string_equal(av_dict_get(context->chapters[0]->metadata, "title", NULL, 0)->value,
                        "One");
    avformat_close_input(&context);
    run_good("job:output{ format='mkv', source.video:copy(), chapters={} }");
    context = open_output();
    assert_int_equal(context->nb_chapters, 0);
    avformat_close_input(&context);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *body, *says;
    } cases[] = {
        {"source.video:retime(2)", "isn't retimed but filtered"},
        {"source.audio:retime(2)", "isn't retimed but filtered"},
        {"source.subtitle:retime(0)", "a factor from 0.001 to 1000"},
        {"source.subtitle:retime(1, 1e9)", "at most a million"},
        {"source.subtitle.retime(2)", "call it with a colon"},
        {"source.audio:copy{time_factor=2}", "gets other times by filters"},
        {"source.audio:encode{codec='aac', time_offset=2}", "gets other times by filters"},
        {"source.subtitle:copy{time_factor=0}", "time_factor"},
        {"source.subtitle:copy{time_offset='x'}", "time_offset"},
        {"source.chapters:retime()", "number expected"},
        {"source.chapters:retime(0)", "a factor from 0.001 to 1000"},
        {"source.chapters.retime({1}, 2)", "chapter 1 is a number"},
        {"source.chapters.retime({{start=1}}, 2)", "'stop' must be a number"},
        {"source.chapters.retime({{start=1}}, 1, 1e9)", "at most a million"},
        {"job:output{ format='mkv', source.video:copy(), chapters=3 }", "an input or a list"},
        {"job:output{ format='mkv', source.video:copy(), chapters={1} }", "chapter 1 is a number"},
        {"job:output{ format='mkv', source.video:copy(), chapters={{start=1}} }",
         "chapter 1 needs a 'stop'"},
        {"job:output{ format='mkv', source.video:copy(), chapters={{start=2, stop=1}} }",
         "chapter 1 can't go from 2 s to 1 s"},
        {"job:output{ format='mkv', source.video:copy(), chapters={{start=0, stop=1/0}} }",
         "chapter 1 can't go"},
        {"job:output{ format='mkv', source.video:copy(), chapters={{start=0, stop=1, title=3}} }",
         "'title' of chapter 1 must be text"},
        {"job:output{ format='mkv', source.video:copy(), "
         "chapters={{start=0, stop=1, metadata=3}} }",
         "'metadata' of chapter 1 must be a table"},
        {"job:output{ format='mkv', source.video:copy(), "
         "chapters={{start=0, stop=1, metadata={3}}} }",
         "names with texts"},
        {"local list = {} for i = 1, 5001 do list[i] = {start=i, stop=i} end\n"
         "job:output{ format='mkv', source.video:copy(), chapters=list }",
         "at most 5000 chapters"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct operation_outcome outcome;
        assert_int_equal(run_body(cases[i].body, &outcome), ERROR_SCRIPT);
        if (!strstr(outcome.error.message, cases[i].says))
            fail_msg("%s: %s", cases[i].body, outcome.error.message);
        operation_outcome_finish(&outcome);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_subtitles), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_chapters), /* changes the clip, so last */
    };
    return cmocka_run_group_tests(tests, make_world, remove_world);
}
