/* Operations that run on small clips: their files, and what stops them. */
#include "tests/unit/operation_fixture.h"

static const json_t *output_field(const struct operation_outcome *outcome, size_t i,
                                  const char *name)
{
    return json_object_get(json_array_get(outcome->outputs, i), name);
}

static void test_copy(void **state)
{
    (void)state;
    struct operation_outcome outcome;
    write_run("job:note('copied') job:output { format = 'mkv', source.video:copy(), nil, false, "
              "[7] = source.audio:copy() }");
    if (run_script(&outcome) != 0)
        fail_msg("%s", outcome.error.message);
    assert_int_equal(json_array_size(outcome.outputs), 1);
    assert_string_equal(json_string_value(output_field(&outcome, 0, "name")), "holiday.mkv");
    assert_string_equal(json_string_value(output_field(&outcome, 0, "mime")), "video/x-matroska");
    assert_true(json_integer_value(output_field(&outcome, 0, "size")) > 1000);
    const json_t *streams = json_object_get(output_field(&outcome, 0, "media"), "streams");
    assert_int_equal(json_array_size(streams), 2);
    assert_int_equal(json_array_size(outcome.notes), 1);
    assert_true(json_is_null(outcome.result));
    operation_outcome_finish(&outcome);
}

static void test_name_of_an_unnamed_input(void **state)
{
    (void)state;
    struct operation_request request;
    struct operation_input input;
    struct operation_outcome outcome;
    write_run("return { job:output { format = 'mkv', source.video:copy() }.name,\n"
              "  job:output { format = 'mkv', name = 'own', source.video:copy() }.name }");
    request_init(&request, &input);
    input.label = NULL;
    request.explain_only = true;
    assert_int_equal(operation_run(&request, &outcome), 0);
    assert_string_equal(json_string_value(json_array_get(outcome.result, 0)), "test.mkv");
    assert_string_equal(json_string_value(json_array_get(outcome.result, 1)), "own.mkv");
    operation_outcome_finish(&outcome);
}

static void test_several_outputs(void **state)
{
    (void)state;
    struct operation_outcome outcome;
    write_run("job:output { name = 'list.vtt', text = function(made)\n"
              "  return 'WEBVTT ' .. #made .. ' ' .. made[1].name end }\n"
              "job:output { format = 'jpg', each_picture = true,\n"
              "  source:at({ 0.2, 0.9, 1.4 }):scale(64, 48):encode { codec = 'mjpeg' } }\n"
              "job:output { format = 'm4a', source.audio:copy() }\n"
              "return { made = true }");
    if (run_script(&outcome) != 0)
        fail_msg("%s", outcome.error.message);
    static const char *const mimes[] = {"text/vtt", "audio/mp4", "image/jpeg", "image/jpeg",
                                        "image/jpeg"};
    assert_int_equal(json_array_size(outcome.outputs), 5);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(json_integer_value(output_field(&outcome, i, "index")), i);
        assert_string_equal(json_string_value(output_field(&outcome, i, "mime")), mimes[i]);
        assert_string_equal(json_string_value(output_field(&outcome, i, "name")), path_names[i]);
    }
    const json_t *media = output_field(&outcome, 3, "media");
    assert_in_range((int)(json_number_value(json_object_get(media, "time")) * 1000), 850, 950);
    char path[200], text[64] = "";
    snprintf(path, sizeof path, "%s/out-0", clips.folder);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof text - 1, file) > 0);
    fclose(file);
    assert_memory_equal(text, "WEBVTT 4 ", 9);
    operation_outcome_finish(&outcome);
}

static void test_alternative(void **state)
{
    (void)state;
    struct operation_outcome outcome;
    write_run("job:output { format = 'mp4', source.video:encode { codec = 'h264', crf = 1 },\n"
              "  not_larger_than = 1000, otherwise = function()\n"
              "    job:note('kept') return { format = 'mkv', source.video:copy() } end }");
    if (run_script(&outcome) != 0)
        fail_msg("%s", outcome.error.message);
    assert_int_equal(json_array_size(outcome.outputs), 1);
    assert_string_equal(json_string_value(output_field(&outcome, 0, "name")), "holiday.mkv");
    assert_int_equal(json_integer_value(output_field(&outcome, 0, "index")), 0);
    assert_string_equal(json_string_value(json_array_get(outcome.notes, 0)), "kept");
    operation_outcome_finish(&outcome);
}

/* A file that is too small is made anew, or kept after all. */
static void test_too_small(void **state)
{
    (void)state;
    struct operation_outcome outcome;
    write_run("job:output { format = 'mp4', source.video:encode { codec = 'h264', crf = 51 },\n"
              "  not_smaller_than = 1000000, otherwise = function(size)\n"
              "    job:note('first ' .. tostring(size < 1000000))\n"
              "    return { format = 'mp4', source.video:encode { codec = 'h264', crf = 1 },\n"
              "      not_larger_than = 90000000, not_smaller_than = 80000000,\n"
              "      otherwise = function() job:note('second') end }\n"
              "  end }");
    if (run_script(&outcome) != 0)
        fail_msg("%s", outcome.error.message);
    assert_int_equal(json_array_size(outcome.outputs), 1);
    assert_string_equal(json_string_value(json_array_get(outcome.notes, 0)), "first true");
    assert_string_equal(json_string_value(json_array_get(outcome.notes, 1)), "second");
    operation_outcome_finish(&outcome);

    /* what is too large can't be kept by saying nothing */
    write_run("job:output { format = 'mp4', source.video:encode { codec = 'h264', crf = 1 },\n"
              "  not_larger_than = 1000, otherwise = function() end }");
    assert_int_equal(run_script(&outcome), ERROR_SCRIPT);
    operation_outcome_finish(&outcome);
}

static void test_input_kept(void **state)
{
    (void)state;
    struct operation_outcome outcome;
    write_run("job:output { format = 'mp4', source.video:encode { codec = 'h264', crf = 1 },\n"
              "  not_larger_than = 1000, otherwise = function() return source end }");
    if (run_script(&outcome) != 0)
        fail_msg("%s", outcome.error.message);
    assert_int_equal(json_array_size(outcome.outputs), 1);
    struct stat before;
    assert_int_equal(stat(clips.mp4, &before), 0);
    assert_int_equal(json_integer_value(output_field(&outcome, 0, "size")), before.st_size);
    operation_outcome_finish(&outcome);

    /* It is called as the output would be, with the extension that it has, if that is one. */
    static const struct {
        const char *label, *name;
    } cases[] = {{"holiday.m4v", "holiday.m4v"}, {"holiday.a/b", "holiday.mp4"},
                 {"holiday.\n", "holiday.mp4"},  {"holiday.", "holiday.mp4"},
                 {"holiday", "holiday.mp4"},     {"holiday.longest8", "holiday.mp4"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct operation_request request;
        struct operation_input input;
        request_init(&request, &input);
        input.label = cases[i].label;
        assert_int_equal(operation_run(&request, &outcome), 0);
        const char *name = json_string_value(output_field(&outcome, 0, "name"));
        size_t stem = strcspn(name, "/\n");
        if (name[stem] || strcmp(strrchr(name, '.'), strrchr(cases[i].name, '.')) != 0)
            fail_msg("'%s' became '%s'", cases[i].label, name);
        operation_outcome_finish(&outcome);
    }
}

/* An alternative may have one of its own; each is told the size that was too large. */
static void test_alternatives_in_a_row(void **state)
{
    (void)state;
    struct operation_outcome outcome;
    static const char body[] =
        "local function animation(width, tries)\n"
        "  local frames = source.video:scale(width, -2):palette { colors = 16, dither = 'none' }\n"
        "  return { format = 'gif', options = { loop = 2 }, frames:encode { codec = 'gif' },\n"
        "    not_larger_than = %s, otherwise = function(size)\n"
        "      job:note(('%%d %%s'):format(width, size > %s))\n"
        "      return animation(width // 2, tries + 1) end }\n"
        "end\n"
        "job:output(animation(256, 0))";
    char text[1024];
    snprintf(text, sizeof text, body, "20000", "20000");
    write_run(text);
    if (run_script(&outcome) != 0)
        fail_msg("%s", outcome.error.message);
    assert_int_equal(json_array_size(outcome.outputs), 1);
    assert_string_equal(json_string_value(output_field(&outcome, 0, "name")), "holiday.gif");
    assert_true(json_integer_value(output_field(&outcome, 0, "size")) <= 20000);
    assert_string_equal(json_string_value(json_array_get(outcome.notes, 0)), "256 true");
    operation_outcome_finish(&outcome);

    /* nothing ever fits */
    write_run("local function same()\n"
              "  return { format = 'mkv', source.video:copy(), not_larger_than = 10,\n"
              "    otherwise = same }\n"
              "end\n"
              "job:output(same())");
    assert_int_equal(run_script(&outcome), ERROR_LIMIT_EXCEEDED);
    assert_non_null(strstr(outcome.error.message, "tries"));
    operation_outcome_finish(&outcome);
}

static void test_palettes_and_options(void **state)
{
    (void)state;
    static const struct {
        const char *body, *says;
    } cases[] = {
        {"source.video:palette { colors = 1 }", "colors"},
        {"source.video:palette { colours = 16 }", "did you mean 'colors'"},
        {"source.video:palette(16)", "takes a table"},
        {"source.video:palette():hflip()", "goes to an encoder"},
        {"job:output { format = 'mkv', options = 5, source.video:copy() }", "must be a table"},
        {"job:output { format = 'mkv', options = { loop = 1 }, source.video:copy() }", "no option"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct operation_outcome outcome;
        write_run(cases[i].body);
        assert_int_equal(run_script(&outcome), ERROR_SCRIPT);
        if (!strstr(outcome.error.message, cases[i].says))
            fail_msg("%s", outcome.error.message);
        operation_outcome_finish(&outcome);
    }
}

static void test_explain(void **state)
{
    (void)state;
    struct operation_request request;
    struct operation_input input;
    struct operation_outcome outcome;
    write_run(
        "job:output { format = 'mp4', source.video:scale(64, 48):encode { codec = 'h264' } }");
    request_init(&request, &input);
    request.explain_only = true;
    assert_int_equal(operation_run(&request, &outcome), 0);
    assert_non_null(strstr(outcome.explain_text, "scale"));
    assert_non_null(strstr(outcome.explain_dot, "digraph"));
    assert_non_null(strstr(outcome.explain_ffmpeg, "ffmpeg"));
    assert_int_equal(paths_given, 0);
    operation_outcome_finish(&outcome);

    char *text = run_for_value(
        "local o = job:output { format = 'mp4', source.video:copy() }\n"
        "return { av.explain(o) ~= '', av.explain(job, 'dot'):find('digraph') ~= nil,\n"
        "  av.explain(o, 'ffmpeg'):find('ffmpeg') ~= nil }");
    assert_string_equal(text, "[true,true,true]");
    free(text);
}

/* ---- without memory ---- */

static int allocations_left;

static void *scarce_malloc(size_t size)
{
    return allocations_left-- > 0 ? malloc(size) : NULL;
}

static const char *const greedy = "job:note('note')\n"
                                  "local v = source.video:scale(32, 32):setsar(1)\n"
                                  "job:output { format = 'mkv', metadata = { title = 't', n = 1 }, "
                                  "source:from(0.5).video:copy() }\n"
                                  "return { list = { 1, 2, { a = 'b' } }, d = source:describe(), e "
                                  "= av.explain(job), v = v.kind,\n"
                                  "  f = av.formats.mp4.video, o = job.options.factor }";

static void test_any_failing_json_allocation(void **state)
{
    (void)state;
    write_run(greedy);
    int code = ERROR_OUT_OF_MEMORY;
    for (int count = 0; code != 0 && count < 5000; count += 5) {
        struct operation_request request;
        struct operation_input input;
        struct operation_outcome outcome;
        request_init(&request, &input);
        json_set_alloc_funcs(scarce_malloc, free);
        allocations_left = count;
        code = operation_run(&request, &outcome);
        json_t *shown = operation_error_json(&outcome);
        json_decref(shown);
        json_set_alloc_funcs(malloc, free);
        if (code != 0 && code != ERROR_OUT_OF_MEMORY)
            fail_msg("%d: %s: %s", count, error_name(code), outcome.error.message);
        operation_outcome_finish(&outcome);
    }
    assert_int_equal(code, 0);
}

static void test_any_small_lua_memory(void **state)
{
    (void)state;
    write_run(greedy);
    int code = ERROR_OUT_OF_MEMORY;
    size_t memory = 0;
    for (; code != 0 && memory < (size_t)2 * 1024 * 1024; memory += 2000) {
        struct operation_request request;
        struct operation_input input;
        struct operation_outcome outcome;
        request_init(&request, &input);
        request.lua_memory = memory;
        code = operation_run(&request, &outcome);
        if (code != 0 && code != ERROR_OUT_OF_MEMORY)
            fail_msg("%zu: %s: %s", memory, error_name(code), outcome.error.message);
        operation_outcome_finish(&outcome);
    }
    assert_int_equal(code, 0);
}

static double planned_cost;

static int refuse_cost(void *opaque, double cost)
{
    (void)opaque;
    planned_cost = cost;
    return ERROR_CANCELLED;
}

static void test_planned_may_stop(void **state)
{
    (void)state;
    struct operation_request request;
    struct operation_input input;
    struct operation_outcome outcome;
    write_run("job:output { format = 'mp4', source.video:encode { codec = 'h264' } }");
    request_init(&request, &input);
    request.planned = refuse_cost;
    assert_int_equal(operation_run(&request, &outcome), ERROR_CANCELLED);
    assert_true(planned_cost > 0);
    assert_int_equal(paths_given, 0);
    operation_outcome_finish(&outcome);
}

static void test_cancel(void **state)
{
    (void)state;
    struct operation_request request;
    struct operation_input input;
    struct operation_outcome outcome;
    struct pipeline_control control = {.cancel = 1};
    write_run("while true do end");
    request_init(&request, &input);
    request.control = &control;
    assert_int_equal(operation_run(&request, &outcome), ERROR_CANCELLED);
    operation_outcome_finish(&outcome);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_name_of_an_unnamed_input),
        cmocka_unit_test(test_several_outputs),
        cmocka_unit_test(test_alternative),
        cmocka_unit_test(test_too_small),
        cmocka_unit_test(test_input_kept),
        cmocka_unit_test(test_alternatives_in_a_row),
        cmocka_unit_test(test_palettes_and_options),
        cmocka_unit_test(test_explain),
        cmocka_unit_test(test_any_failing_json_allocation),
        cmocka_unit_test(test_any_small_lua_memory),
        cmocka_unit_test(test_planned_may_stop),
        cmocka_unit_test(test_cancel),
    };
    return cmocka_run_group_tests(tests, make_world, remove_world);
}
