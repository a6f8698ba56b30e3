/* Filters of plans: which are accepted, how they are explained, and what they may cost. */
#include "tests/unit/plan_fixture.h"

#include <math.h>

#include "engine/introspect.h"
#include "engine/plan_internal.h"

static void filters_have_pads_as_they_should(void **state)
{
    struct plan *plan = *state;
    struct error e = {0};
    struct plan_type type;
    int scale = add_filter(plan, "scale", EDGE(MP4, 0), "w", "160", "h", "-2", &e);
    assert_int_equal(plan_pad_count(plan, scale), 1);
    int split = add_filter(plan, "split", EDGE(scale, 0), "outputs", "3", NULL, NULL, &e);
    assert_int_equal(plan_pad_count(plan, split), 3);
    const struct plan_edge two[] = {{split, 0}, {split, 2}};
    int overlay = plan_add_filter(plan, "overlay", two, 2, NULL, 0, &e);
    assert_int_equal(plan_pad_count(plan, overlay), 1);
    const struct plan_option hstack_options[] = {{"inputs", "2"}};
    assert_true(plan_add_filter(plan, "hstack", two, 2, hstack_options, 1, &e) > 0);

    const struct plan_option av[] = {{"n", "2"}, {"v", "1"}, {"a", "1"}};
    const struct plan_edge four[] = {{MP4, 0}, {MP4, 1}, {MKV, 0}, {MKV, 1}};
    int concat = plan_add_filter(plan, "concat", four, 4, av, 3, &e);
    assert_int_equal(plan_pad_count(plan, concat), 2);
    assert_true(plan_edge_type(plan, EDGE(concat, 1), &type));
    assert_int_equal(type.kind, AVMEDIA_TYPE_AUDIO);
    assert_int_equal(type.source_node, MP4);
    assert_int_equal(type.source_stream, 1);

    int waves = add_filter(plan, "showwaves", EDGE(MP4, 1), "size", "320x100", NULL, NULL, &e);
    assert_true(plan_edge_type(plan, EDGE(waves, 0), &type));
    assert_int_equal(type.kind, AVMEDIA_TYPE_VIDEO);
    assert_int_equal(type.source_stream, 1);
    int color = plan_add_filter(plan, "color", NULL, 0,
                                (const struct plan_option[]){{"size", "64x64"}, {"d", "1"}}, 2, &e);
    assert_true(plan_edge_type(plan, EDGE(color, 0), &type));
    assert_int_equal(type.source_node, -1);
    assert_int_equal(type.source_stream, -1);
    assert_int_equal(e.code, 0);
}

/* Filters whose options belong to objects inside of them, or whose init does much. */
static void unusual_filters_work(void **state)
{
    struct plan *plan = *state;
    static const struct {
        const char *name;
        int pad; /* of the mp4; -1: a source */
        const char *option, *value;
    } cases[] = {
        {"aresample", 1, "async", "1"},
        {"aresample", 1, "osr", "44100"},
        {"scale", 0, "sws_dither", "bayer"},
        {"scale", 0, "flags", "lanczos+accurate_rnd"},
        {"overlay", -2, "shortest", "1"},
        {"drawtext", 0, "text", "x',movie=nothing,nullsink;[0:v]null"},
        {"drawtext", 0, "text", "a:b\\c%{pts}"},
        {"volume", 1, "volume", "-3dB"},
        {"ebur128", 1, "video", "1"},
        {"aeval", 1, "exprs", "val(0)|val(1)"},
        {"firequalizer", 1, "gain", "1"},
        {"pan", 1, "args", "mono|c0=c0"},
        {"amix", -2, "inputs", "2"},
        {"flite", -1, "text", "hello"},
        {"lut3d", 0, NULL, NULL},
        {"fps", 0, "fps", "30000/1001"},
        {"format", 0, "pix_fmts", "yuv420p|rgb24"},
        {"crop", 0, "w", "iw/2"},
        {"setpts", 0, "expr", "PTS/2"},
        {"hue", 0, "enable", "between(t,0,1)"},
        {"sine", -1, "duration", "1"},
        {"aevalsrc", -1, "exprs", "sin(440*2*PI*t)"},
        {"loudnorm", 1, "I", "-16"},
        {"channelsplit", 1, "channel_layout", "5.1"},
        {"palettegen", 0, "max_colors", "64"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error e = {0};
        const struct plan_option option = {cases[i].option, cases[i].value};
        bool sound = !strcmp(cases[i].name, "amix");
        const struct plan_edge edges[] = {{MP4, cases[i].pad >= 0 ? cases[i].pad : sound},
                                          {MKV, sound}};
        int count = cases[i].pad == -1 ? 0 : cases[i].pad == -2 ? 2 : 1;
        int node = plan_add_filter(plan, cases[i].name, edges, count, &option,
                                   cases[i].option != NULL, &e);
        if (node < 0) {
            fail_msg("%s: '%s' at '%s'", cases[i].name, e.message, e.path);
        }
    }
}

/* With no options at all: it opens, or says why not; most do. */
static void every_filter_opens_or_explains(void **state)
{
    struct plan *plan = *state;
    const struct plan_settings none = {0};
    size_t count = 0;
    size_t opened = 0;
    const char *const *names = introspect_filters(&count);
    for (size_t i = 0; i < count; i++) {
        struct error e = {0};
        AVFilterGraph *graph = avfilter_graph_alloc();
        AVFilterContext *context = NULL;
        int code =
            plan_filter_open(graph, avfilter_get_by_name(names[i]), "x", &none, plan, &context, &e);
        if (code < 0 ? code != ERROR_INVALID_OPTION || !e.message[0] || !e.path[0] : !context) {
            fail_msg("%s: %d, '%s'", names[i], code, e.message);
        }
        opened += code == 0;
        avfilter_graph_free(&graph);
    }
    assert_true(opened + 40 > count);
}

/* A value may hold anything: it stays a value. */
static void values_are_never_graphs(void **state)
{
    struct plan *plan = *state;
    struct error e = {0};
    const char *evil = "x',movie=/etc/passwd,nullsink;[0:v]null";
    int text = add_filter(plan, "drawtext", EDGE(MP4, 0), "text", evil, NULL, NULL, &e);
    assert_true(text > 0);
    AVFilterGraph *graph = avfilter_graph_alloc();
    AVFilterContext *context = NULL;
    const struct plan_node *node = plan->nodes[text];
    assert_int_equal(
        plan_filter_open(graph, node->filter, "x", &node->settings, plan, &context, &e), 0);
    assert_int_equal(graph->nb_filters, 1);
    avfilter_graph_free(&graph);
}

static void wrong_filters_are_explained(void **state)
{
    struct plan *plan = *state;
    static const struct {
        const char *filter;
        int pad;
        const char *option, *value;
        const char *path, *message;
    } cases[] = {
        {"scal", 0, NULL, NULL, "scal", "unknown filter 'scal'; did you mean 'scale'?"},
        {"movie", 0, NULL, NULL, "movie", "filter 'movie' is not allowed"},
        {"scale", 0, "widht", "1", "scale.widht",
         "unknown option 'widht' of filter 'scale'; did you mean 'width'?"},
        {"fade", 0, "type", "outt", "fade.type",
         "option 'type' of filter 'fade' can't be 'outt'; did you mean 'out'?"},
        {"drawtext", 0, "textfile", "/etc/passwd", "drawtext.textfile",
         "option 'textfile' of filter 'drawtext' is refused: it names a file, device or plugin"},
        {"geq", 0, "lum", "while(1,1)", "geq.lum",
         "while() in option 'lum' is refused: it may never end"},
        {"loop", 0, "loop", "-1", "loop.loop",
         "option 'loop' of filter 'loop' is -1; allowed is 0 to 100000"},
        {"apad", 1, NULL, NULL, "apad.pad_len", "filter 'apad' would never end"},
        {"overlay", 0, NULL, NULL, "overlay", "filter 'overlay' takes 2 inputs, 1 given"},
        {"split", 0, "outputs", "0", "split.outputs", NULL},
        {"volume", 0, NULL, NULL, "volume", "input 1 of filter 'volume' takes audio, video given"},
        {"atempo", 1, "tempo", "1000", "atempo.tempo",
         "option 'tempo' of filter 'atempo' can't be '1000'; it takes a number from 0.5 to 100"},
        {"color", 0, NULL, NULL, "color", "filter 'color' takes 0 inputs, 1 given"},
        {"color", 0, "size", "90000x90000", "color.size",
         "90000x90000 pixels in option 'size' of filter 'color'"},
        {"scale", 0, "w", "nonsense(", "scale", NULL},
        {"fps", 0, "fps", "1000000000", "fps.fps",
         "more than 1000 frames a second in option 'fps' of filter 'fps'"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error e = {0};
        int count = plan_node_count(plan);
        int code = add_filter(plan, cases[i].filter, EDGE(MP4, cases[i].pad), cases[i].option,
                              cases[i].value, NULL, NULL, &e);
        if (code >= 0 || code != e.code || strcmp(e.path, cases[i].path) != 0 ||
            (cases[i].message && strcmp(e.message, cases[i].message) != 0)) {
            fail_msg("%s: %d, '%s' at '%s'", cases[i].filter, code, e.message, e.path);
        }
        assert_int_equal(add_filter(plan, cases[i].filter, EDGE(MP4, cases[i].pad), cases[i].option,
                                    cases[i].value, NULL, NULL, NULL),
                         code);
        assert_int_equal(plan_node_count(plan), count);
    }
}

static void what_never_ends_is_refused(void **state)
{
    struct plan *plan = *state;
    struct error e = {0};
    int color = plan_add_filter(plan, "color", NULL, 0, NULL, 0, &e);
    int tone = plan_add_filter(plan, "sine", NULL, 0, NULL, 0, &e);
    const struct plan_option second = {"duration", "1"};
    int short_color = plan_add_filter(plan, "color", NULL, 0, &second, 1, &e);
    int trimmed = add_filter(plan, "trim", EDGE(color, 0), "duration", "1", NULL, NULL, &e);
    int flipped = add_filter(plan, "hflip", EDGE(color, 0), NULL, NULL, NULL, NULL, &e);
    const struct plan_edge endless_first[] = {{color, 0}, {MP4, 0}};
    const struct plan_edge endless_second[] = {{MP4, 0}, {color, 0}};
    const struct plan_option shortest = {"shortest", "1"};
    const struct {
        int node;
        const char *codec;
        bool ends;
    } cases[] = {
        {color, "h264", false},
        {tone, "aac", false},
        {short_color, "h264", true},
        {trimmed, "h264", true},
        {flipped, "h264", false},
        {plan_add_filter(plan, "overlay", endless_first, 2, NULL, 0, &e), "h264", false},
        {plan_add_filter(plan, "overlay", endless_first, 2, &shortest, 1, &e), "h264", true},
        {plan_add_filter(plan, "overlay", endless_second, 2, NULL, 0, &e), "h264", true},
        {plan_add_filter(plan, "concat", endless_second, 2, NULL, 0, &e), "h264", false},
        {plan_add_filter(plan, "hstack", endless_second, 2, NULL, 0, &e), "h264", false},
        {plan_add_filter(plan, "hstack", endless_second, 2, &shortest, 1, &e), "h264", true},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct plan_edge track = {
            add_encode(plan, EDGE(cases[i].node, 0), cases[i].codec, NULL, NULL, &e), 0};
        assert_true(track.node > 0);
        memset(&e, 0, sizeof e);
        int code = add_output(plan, NULL, "mkv", &track, 1, &e);
        if (cases[i].ends ? code < 0
                          : code != ERROR_INVALID_OPTION || strcmp(e.path, "tracks[1]") != 0) {
            fail_msg("%zu: %d, '%s'", i, code, e.message);
        }
    }
    const struct plan_edge picture = {add_encode(plan, EDGE(color, 0), "png", NULL, NULL, &e), 0};
    assert_true(add_output(plan, NULL, "png", &picture, 1, &e) > 0);
}

static void hoarders_are_refused_what_is_too_much(void **state)
{
    (void)state;
    struct policy_limits limits;
    policy_limits_init(&limits);
    limits.max_alloc = 1 << 20;
    struct plan *plan = plan_create(&limits);
    struct error e = {0};
    assert_int_equal(plan_add_input(plan, clips.mp4, "clip.mp4", NULL, &e), 0);
    assert_int_equal(add_filter(plan, "reverse", EDGE(0, 0), NULL, NULL, NULL, NULL, &e),
                     ERROR_LIMIT_EXCEEDED);
    assert_string_equal(e.message, "filter 'reverse' would have to hold 6 MB of frames at once");
    assert_string_equal(e.path, "reverse");
    assert_true(add_filter(plan, "areverse", EDGE(0, 1), NULL, NULL, NULL, NULL, &e) > 0);
    int trimmed = add_filter(plan, "trim", EDGE(0, 0), "duration", "0.5", NULL, NULL, &e);
    assert_true(add_filter(plan, "reverse", EDGE(trimmed, 0), NULL, NULL, NULL, NULL, &e) > 0);
    int small = add_filter(plan, "scale", EDGE(0, 0), "w", "80", "h", "60", &e);
    assert_true(add_filter(plan, "reverse", EDGE(small, 0), NULL, NULL, NULL, NULL, &e) > 0);
    int color = plan_add_filter(plan, "color", NULL, 0, NULL, 0, &e);
    assert_int_equal(add_filter(plan, "reverse", EDGE(color, 0), NULL, NULL, NULL, NULL, &e),
                     ERROR_LIMIT_EXCEEDED);
    plan_destroy(&plan);
}

static void filters_take_frames(void **state)
{
    struct plan *plan = *state;
    struct error e = {0};
    int encode = add_encode(plan, EDGE(MP4, 0), "h264", NULL, NULL, &e);
    int copy = plan_add_copy(plan, EDGE(MP4, 0), NULL, NULL, 0, &e);
    assert_true(encode > 0 && copy > 0);
    const int nodes[] = {encode, copy};
    for (size_t i = 0; i < COUNT(nodes); i++) {
        assert_int_equal(add_filter(plan, "scale", EDGE(nodes[i], 0), NULL, NULL, NULL, NULL, &e),
                         ERROR_INVALID_OPTION);
        assert_non_null(strstr(e.message, "filter 'scale' needs frames"));
        assert_string_equal(e.path, "scale");
    }
    assert_int_equal(add_filter(plan, "scale", EDGE(MKV, 2), NULL, NULL, NULL, NULL, &e),
                     ERROR_INVALID_OPTION);
    assert_string_equal(e.message, "input 1 of filter 'scale' takes video, subtitles given");
    assert_int_equal(add_filter(plan, "scale", EDGE(77, 0), NULL, NULL, NULL, NULL, &e),
                     ERROR_INTERNAL);
}

static void the_number_of_nodes_is_bounded(void **state)
{
    (void)state;
    struct policy_limits limits;
    policy_limits_init(&limits);
    limits.max_nodes = 3;
    struct plan *plan = plan_create(&limits);
    struct error e = {0};
    int input = plan_add_input(plan, clips.mp4, NULL, NULL, &e);
    assert_int_equal(input, 0);
    assert_int_equal(add_filter(plan, "null", EDGE(0, 0), NULL, NULL, NULL, NULL, &e), 1);
    assert_int_equal(add_filter(plan, "null", EDGE(1, 0), NULL, NULL, NULL, NULL, &e), 2);
    assert_int_equal(add_filter(plan, "null", EDGE(2, 0), NULL, NULL, NULL, NULL, &e),
                     ERROR_LIMIT_EXCEEDED);
    assert_int_equal(plan_add_range(plan, 0, 0, 1, &e), ERROR_LIMIT_EXCEEDED);
    assert_int_equal(plan_add_copy(plan, EDGE(0, 0), NULL, NULL, 0, &e), ERROR_LIMIT_EXCEEDED);
    assert_int_equal(add_encode(plan, EDGE(0, 0), "h264", NULL, NULL, &e), ERROR_LIMIT_EXCEEDED);
    assert_int_equal(plan_add_input(plan, clips.mp4, NULL, NULL, &e), ERROR_LIMIT_EXCEEDED);
    plan_destroy(&plan);
}

static void a_hundred_filters_in_a_row(void **state)
{
    struct plan *plan = *state;
    struct error e = {0};
    struct plan_edge edge = {MP4, 0};
    for (int i = 0; i < 100; i++) {
        edge = EDGE(add_filter(plan, "hflip", edge, NULL, NULL, NULL, NULL, &e), 0);
        assert_true(edge.node > 0);
    }
    struct plan_type type;
    assert_true(plan_edge_type(plan, edge, &type));
    assert_int_equal(type.source_node, MP4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAN_TEST(filters_have_pads_as_they_should),
        PLAN_TEST(unusual_filters_work),
        PLAN_TEST(every_filter_opens_or_explains),
        PLAN_TEST(values_are_never_graphs),
        PLAN_TEST(wrong_filters_are_explained),
        PLAN_TEST(what_never_ends_is_refused),
        cmocka_unit_test(hoarders_are_refused_what_is_too_much),
        PLAN_TEST(filters_take_frames),
        cmocka_unit_test(the_number_of_nodes_is_bounded),
        PLAN_TEST(a_hundred_filters_in_a_row),
    };
    return cmocka_run_group_tests(tests, make_clips, drop_clips);
}
