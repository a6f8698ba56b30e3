/*
 * Schemas: what is taken, what is refused and in which words, JSON Schema, command-line text.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lua/schema.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static json_t *parse(const char *text)
{
    json_error_t reason;
    json_t *value = json_loads(text, JSON_DECODE_ANY, &reason);
    if (!value) {
        fail_msg("%s: %s", text, reason.text);
    }
    return value;
}

static const char *const SCHEMA =
    "[{\"name\":\"factor\",\"type\":\"number\",\"min\":0.25,\"max\":10,\"required\":true},"
    "{\"name\":\"count\",\"type\":\"integer\",\"min\":1,\"max\":100},"
    "{\"name\":\"angle\",\"type\":\"integer\",\"values\":[90,180,270]},"
    "{\"name\":\"pitch\",\"type\":\"boolean\",\"default\":true},"
    "{\"name\":\"preset\",\"type\":\"enum\",\"values\":[\"low\",\"medium\",\"high\"]},"
    "{\"name\":\"start\",\"type\":\"time\"},"
    "{\"name\":\"offset\",\"type\":\"time\",\"min\":-10},"
    "{\"name\":\"rate\",\"type\":\"bitrate\",\"max\":100000000},"
    "{\"name\":\"target\",\"type\":\"size\"},"
    "{\"name\":\"back\",\"type\":\"color\"},"
    "{\"name\":\"tag\",\"type\":\"string\",\"pattern\":\"^[a-z]+$\",\"max\":5},"
    "{\"name\":\"times\",\"type\":\"list\",\"max\":3,\"single\":true,"
    " \"of\":{\"type\":\"time\",\"percent\":true}},"
    "{\"name\":\"cuts\",\"type\":\"list\",\"of\":{\"type\":\"object\",\"fields\":["
    " {\"name\":\"start\",\"type\":\"time\",\"default\":0},"
    " {\"name\":\"end\",\"type\":\"time\",\"required\":true}]}}]";

static void test_accepts(void **state)
{
    (void)state;
    static const struct {
        const char *given, *result; /* beside factor 2 and pitch true */
    } cases[] = {
        {"{}", "{}"},
        {"{\"count\":3.0}", "{\"count\":3}"},
        {"{\"count\":null}", "{}"},
        {"{\"angle\":180}", "{\"angle\":180}"},
        {"{\"preset\":\"low\"}", "{\"preset\":\"low\"}"},
        {"{\"start\":12}", "{\"start\":12.0}"},
        {"{\"start\":\"12.5\"}", "{\"start\":12.5}"},
        {"{\"start\":\"01:02:03.5\"}", "{\"start\":3723.5}"},
        {"{\"start\":\"90:15\"}", "{\"start\":5415.0}"},
        {"{\"offset\":\"-0:02\"}", "{\"offset\":-2.0}"},
        {"{\"rate\":\"2M\"}", "{\"rate\":2000000}"},
        {"{\"rate\":\"128k\"}", "{\"rate\":128000}"},
        {"{\"rate\":\"1.5M\"}", "{\"rate\":1500000}"},
        {"{\"rate\":96000}", "{\"rate\":96000}"},
        {"{\"target\":\"20MB\"}", "{\"target\":20000000}"},
        {"{\"target\":\"1.5GiB\"}", "{\"target\":1610612736}"},
        {"{\"target\":\"500 kB\"}", NULL},
        {"{\"back\":\"red\"}", "{\"back\":\"red\"}"},
        {"{\"back\":\"#00ff0080\"}", "{\"back\":\"#00ff0080\"}"},
        {"{\"tag\":\"abc\"}", "{\"tag\":\"abc\"}"},
        {"{\"times\":[1,\"50%\",\"0:03\"]}", "{\"times\":[1.0,\"50%\",3.0]}"},
        {"{\"times\":\"50%\"}", "{\"times\":[\"50%\"]}"},
        {"{\"cuts\":[{\"end\":\"1:00\"}]}", "{\"cuts\":[{\"start\":0.0,\"end\":60.0}]}"},
    };
    json_t *schema = parse(SCHEMA);
    struct error e;
    assert_int_equal(schema_check(schema, &e), 0);

    for (size_t i = 0; i < COUNT(cases); i++) {
        json_t *given = parse(cases[i].given);
        json_object_set_new(given, "factor", json_integer(2));
        json_t *result = schema_validate(schema, given, &e);
        if (!cases[i].result) {
            assert_null(result);
        } else {
            json_t *wanted = parse(cases[i].result);
            json_object_set_new(wanted, "factor", json_integer(2));
            json_object_set_new(wanted, "pitch", json_true());
            if (!result) {
                fail_msg("%s: %s", cases[i].given, e.message);
            }
            if (!json_equal(result, wanted)) {
                fail_msg("%s: %s", cases[i].given, json_dumps(result, 0));
            }
            json_decref(wanted);
        }
        json_decref(result);
        json_decref(given);
    }
    json_decref(schema);
}

static void test_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *given, *path, *message;
    } cases[] = {
        {"{}", "options.factor", "option 'factor' is required: a number from 0.25 to 10"},
        {"{\"factor\":12}", "options.factor",
         "option 'factor' must be a number from 0.25 to 10, not 12"},
        {"{\"factor\":\"2\"}", "options.factor",
         "option 'factor' must be a number from 0.25 to 10, not \"2\""},
        {"{\"factr\":2}", "options.factr", "unknown option 'factr'; did you mean 'factor'?"},
        {"{\"factor\":2,\"count\":2.5}", "options.count",
         "option 'count' must be a whole number from 1 to 100, not 2.5"},
        {"{\"factor\":2,\"angle\":45}", "options.angle",
         "option 'angle' must be one of 90, 180, 270, not 45"},
        {"{\"factor\":2,\"pitch\":1}", "options.pitch",
         "option 'pitch' must be true or false, not 1"},
        {"{\"factor\":2,\"preset\":\"mediun\"}", "options.preset",
         "option 'preset' must be one of low, medium, high, not \"mediun\"; did you mean "
         "'medium'?"},
        {"{\"factor\":2,\"start\":-1}", "options.start", NULL},
        {"{\"factor\":2,\"start\":\"1:99\"}", "options.start", NULL},
        {"{\"factor\":2,\"start\":\"50%\"}", "options.start", NULL},
        {"{\"factor\":2,\"start\":\"1e3\"}", "options.start", NULL},
        {"{\"factor\":2,\"start\":\"nan\"}", "options.start", NULL},
        {"{\"factor\":2,\"offset\":-11}", "options.offset", NULL},
        {"{\"factor\":2,\"rate\":\"2 MB\"}", "options.rate", NULL},
        {"{\"factor\":2,\"rate\":\"200M\"}", "options.rate", NULL},
        {"{\"factor\":2,\"rate\":0}", "options.rate", NULL},
        {"{\"factor\":2,\"target\":\"99999999999999999999\"}", "options.target", NULL},
        {"{\"factor\":2,\"back\":\"random\"}", "options.back", NULL},
        {"{\"factor\":2,\"back\":\"#12345\"}", "options.back", NULL},
        {"{\"factor\":2,\"tag\":\"ABC\"}", "options.tag",
         "option 'tag' must be text of at most 5 characters that matches ^[a-z]+$, not \"ABC\""},
        {"{\"factor\":2,\"tag\":\"abcdef\"}", "options.tag", NULL},
        {"{\"factor\":2,\"times\":[1,2,3,4]}", "options.times",
         "option 'times' must be a list of at most 3 items, not of 4"},
        {"{\"factor\":2,\"times\":[1,\"150%\"]}", "options.times[1]", NULL},
        {"{\"factor\":2,\"cuts\":[{}]}", "options.cuts[0].end",
         "option 'cuts[0].end' is required: a time in seconds or as HH:MM:SS.mmm"},
        {"{\"factor\":2,\"cuts\":[{\"end\":1,\"stop\":2}]}", "options.cuts[0].stop", NULL},
        {"{\"factor\":2,\"cuts\":{}}", "options.cuts",
         "option 'cuts' must be a list, not an object"},
        {"[]", "options", "the options must be an object, not a list"},
    };
    json_t *schema = parse(SCHEMA);

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error e;
        json_t *given = parse(cases[i].given);
        json_t *result = schema_validate(schema, given, &e);
        if (result) {
            fail_msg("%s was taken", cases[i].given);
        }
        assert_int_equal(e.code, ERROR_INVALID_OPTION);
        assert_string_equal(e.path, cases[i].path);
        if (cases[i].message) {
            assert_string_equal(e.message, cases[i].message);
        }
        assert_true(e.expected[0] != '\0');
        json_decref(given);
    }
    json_decref(schema);
}

static void test_long_texts_stay_valid(void **state)
{
    (void)state;
    json_t *schema = parse("[{\"name\":\"preset\",\"type\":\"enum\",\"values\":[\"low\"]}]");
    char text[4001] = "";
    for (int i = 0; i < 2000; i++) {
        memcpy(text + i * 2, "\xC3\xA9", 3);
    }
    json_t *given = json_pack("{s:s}", "preset", text);
    struct error e;
    assert_null(schema_validate(schema, given, &e));
    json_t *message = json_string(e.message);
    json_t *got = json_string(e.got);
    assert_non_null(message);
    assert_non_null(got);
    json_decref(message);
    json_decref(got);
    json_decref(given);

    given = json_object();
    json_object_set_new(given, text, json_true());
    assert_null(schema_validate(schema, given, &e));
    json_t *path = json_string(e.path);
    assert_non_null(path);
    json_decref(path);
    json_decref(given);
    json_decref(schema);
}

static void test_check(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *message;
    } cases[] = {
        {"{}", "the options must be a list"},
        {"[{\"type\":\"number\"}]", "option 1 needs a name of lower-case letters, digits and _"},
        {"[{\"name\":\"a\",\"type\":\"number\"},{\"name\":\"a\",\"type\":\"number\"}]",
         "option 'a' is there twice"},
        {"[{\"name\":\"a\"}]", "option 'a': it has no type"},
        {"[{\"name\":\"a\",\"type\":\"nummber\"}]",
         "option 'a': unknown type 'nummber'; did you mean 'number'?"},
        {"[{\"name\":\"a\",\"type\":\"number\",\"minn\":2}]",
         "option 'a': unknown field 'minn'; did you mean 'min'?"},
        {"[{\"name\":\"a\",\"type\":\"number\",\"min\":\"2\"}]",
         "option 'a': 'min' must be a number"},
        {"[{\"name\":\"a\",\"type\":\"boolean\",\"min\":2}]", "option 'a': a boolean has no 'min'"},
        {"[{\"name\":\"a\",\"type\":\"number\",\"min\":2,\"max\":1}]",
         "option 'a': min is above max"},
        {"[{\"name\":\"a\",\"type\":\"number\",\"max\":1,\"default\":2}]",
         "option 'a': the default doesn't fit: option 'a' must be a number of at most 1, not 2"},
        {"[{\"name\":\"a\",\"type\":\"number\",\"required\":true,\"default\":2}]",
         "option 'a': it is required, so its default never counts"},
        {"[{\"name\":\"a\",\"type\":\"enum\"}]", "option 'a': an enum needs 'values'"},
        {"[{\"name\":\"a\",\"type\":\"enum\",\"values\":[1]}]",
         "option 'a': every one of 'values' must be text"},
        {"[{\"name\":\"a\",\"type\":\"list\"}]", "option 'a': a list needs 'of'"},
        {"[{\"name\":\"a\",\"type\":\"list\",\"of\":{\"type\":\"nix\"}}]",
         "option 'a', its items: unknown type 'nix'"},
        {"[{\"name\":\"a\",\"type\":\"object\"}]", "option 'a': an object needs 'fields'"},
        {"[{\"name\":\"a\",\"type\":\"object\",\"fields\":[{\"name\":\"B\"}]}]",
         "option 'a', option 1 needs a name of lower-case letters, digits and _"},
        {"[{\"name\":\"a\",\"type\":\"string\",\"pattern\":\"(\"}]", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error e;
        json_t *schema = parse(cases[i].schema);
        assert_int_equal(schema_check(schema, &e), ERROR_SCRIPT);
        if (cases[i].message) {
            assert_string_equal(e.message, cases[i].message);
        }
        json_decref(schema);
    }
}

static void test_json_schema(void **state)
{
    (void)state;
    json_t *schema = parse(SCHEMA);
    json_t *made = schema_to_json_schema(schema);
    json_t *factor = json_object_get(json_object_get(made, "properties"), "factor");
    json_t *times = json_object_get(json_object_get(made, "properties"), "times");
    json_t *start = json_object_get(json_object_get(made, "properties"), "start");

    assert_string_equal(json_string_value(json_object_get(made, "type")), "object");
    assert_true(json_is_false(json_object_get(made, "additionalProperties")));
    assert_int_equal(json_array_size(json_object_get(made, "required")), 1);
    assert_true(json_real_value(json_object_get(factor, "minimum")) == 0.25);
    assert_int_equal(json_array_size(json_object_get(times, "anyOf")), 2);
    assert_int_equal(json_array_size(json_object_get(start, "oneOf")), 2);
    json_decref(made);
    json_decref(schema);
}

static void test_parse_text(void **state)
{
    (void)state;
    static const struct {
        const char *option, *text, *value;
    } cases[] = {
        {"{\"name\":\"a\",\"type\":\"number\"}", "1.5", "1.5"},
        {"{\"name\":\"a\",\"type\":\"number\"}", "nan", NULL},
        {"{\"name\":\"a\",\"type\":\"integer\"}", "7", "7"},
        {"{\"name\":\"a\",\"type\":\"boolean\"}", "yes", "true"},
        {"{\"name\":\"a\",\"type\":\"boolean\"}", "maybe", NULL},
        {"{\"name\":\"a\",\"type\":\"time\"}", "1:30", "\"1:30\""},
        {"{\"name\":\"a\",\"type\":\"list\",\"of\":{\"type\":\"integer\"}}", "1,2", "[1,2]"},
        {"{\"name\":\"a\",\"type\":\"list\",\"of\":{\"type\":\"integer\"}}", "1,x", NULL},
        {"{\"name\":\"a\",\"type\":\"list\",\"of\":{\"type\":\"string\"}}", "[\"a,b\"]",
         "[\"a,b\"]"},
        {"{\"name\":\"a\",\"type\":\"list\",\"of\":{\"type\":\"string\"}}", "", "[]"},
        {"{\"name\":\"a\",\"type\":\"object\",\"fields\":[]}", "{\"x\":1}", "{\"x\":1}"},
        {"{\"name\":\"a\",\"type\":\"object\",\"fields\":[]}", "{x", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error e;
        json_t *option = parse(cases[i].option);
        json_t *value = schema_parse_text(option, cases[i].text, &e);
        if (cases[i].value) {
            json_t *wanted = parse(cases[i].value);
            assert_true(json_equal(value, wanted));
            json_decref(wanted);
        } else {
            assert_null(value);
            assert_string_equal(e.path, "options.a");
        }
        json_decref(value);
        json_decref(option);
    }
}

/* Decibels become a factor; without the flag they are no number. */
static void test_decibel(void **state)
{
    (void)state;
    json_t *schema = parse("[{\"name\":\"volume\",\"type\":\"number\",\"decibel\":true,"
                           "\"min\":0,\"max\":10}]");
    static const struct {
        const char *given;
        double factor; /* -1: refused */
    } cases[] = {
        {"0.5", 0.5},       {"2", 2},          {"\"-20dB\"", 0.1}, {"\"+20 dB\"", 10},
        {"\"0dB\"", 1},     {"\"40dB\"", -1},  {"\"-20\"", -1},    {"\"dB\"", -1},
        {"\"-20dBx\"", -1}, {"\"- 2dB\"", -1}, {"\"--2dB\"", -1},  {"-1", -1},
    };
    struct error e = {0};
    assert_int_equal(schema_check(schema, &e), 0);
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[64];
        snprintf(text, sizeof text, "{\"volume\":%s}", cases[i].given);
        json_t *options = parse(text);
        json_t *made = schema_validate(schema, options, &e);
        if (cases[i].factor < 0) {
            assert_null(made);
            assert_non_null(strstr(e.expected, "-6dB"));
        } else {
            assert_non_null(made);
            double factor = json_number_value(json_object_get(made, "volume"));
            assert_true(fabs(factor - cases[i].factor) < 1e-9);
        }
        json_decref(made);
        json_decref(options);
    }
    json_t *typed = schema_parse_text(json_array_get(schema, 0), "-6dB", &e);
    assert_true(json_is_string(typed));
    json_decref(typed);
    json_t *document = schema_to_json_schema(schema);
    json_t *volume = json_object_get(json_object_get(document, "properties"), "volume");
    assert_int_equal(json_array_size(json_object_get(volume, "oneOf")), 2);
    json_decref(document);
    json_decref(schema);
    schema = parse("[{\"name\":\"volume\",\"type\":\"integer\",\"decibel\":true}]");
    assert_int_equal(schema_check(schema, &e), ERROR_SCRIPT);
    json_decref(schema);
}

static void test_help(void **state)
{
    (void)state;
    json_t *schema = parse("[{\"name\":\"factor\",\"type\":\"number\",\"min\":0.25,\"max\":10,"
                           "\"required\":true,\"help\":\"2 plays twice as fast\"},"
                           "{\"name\":\"times\",\"type\":\"list\",\"of\":{\"type\":\"time\"}},"
                           "{\"name\":\"crop\",\"type\":\"object\",\"fields\":["
                           "{\"name\":\"width\",\"type\":\"number\"}]}]");
    char *text = schema_help(schema, 80);
    assert_string_equal(text, "  --factor  (required)\n"
                              "      2 plays twice as fast\n"
                              "      A number from 0.25 to 10\n"
                              "\n"
                              "  --times  (optional)\n"
                              "      A list, each a time in seconds or as HH:MM:SS.mmm\n"
                              "\n"
                              "  --crop  (optional)\n"
                              "      An object with the fields width\n"
                              "      --crop.width  (optional)\n"
                              "          A number\n");
    free(text);
    json_decref(schema);
}

/* ---- without memory ---- */

static int allocations_left;

static void *scarce_malloc(size_t size)
{
    return allocations_left-- > 0 ? malloc(size) : NULL;
}

static void test_any_failing_allocation(void **state)
{
    (void)state;
    json_t *schema = parse(SCHEMA);
    json_t *given = parse("{\"factor\":2,\"times\":[1,\"50%\"],\"cuts\":[{\"end\":1}]}");
    json_t *option = json_array_get(schema, 11);
    int made = 0;

    json_set_alloc_funcs(scarce_malloc, free);
    for (int count = 0; made < 3 && count < 2000; count++) {
        struct error e = {0};
        made = 0;
        allocations_left = count;
        json_t *result = schema_validate(schema, given, &e);
        if (!result && e.code != ERROR_OUT_OF_MEMORY) {
            fail_msg("%d: %s", count, e.message);
        }
        made += result != NULL;
        allocations_left = count;
        json_t *made_schema = schema_to_json_schema(schema);
        made += made_schema != NULL;
        allocations_left = count;
        json_t *list = schema_parse_text(option, "1,50%,3", &e);
        made += list != NULL;
        json_decref(result);
        json_decref(made_schema);
        json_decref(list);
    }
    json_set_alloc_funcs(malloc, free);
    assert_int_equal(made, 3);
    json_decref(given);
    json_decref(schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepts),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_long_texts_stay_valid),
        cmocka_unit_test(test_json_schema),
        cmocka_unit_test(test_parse_text),
        cmocka_unit_test(test_decibel),
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_any_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
