/*
 * The argument parser of the command line, case by case: what is given, what comes out.
 */
#include "lua/cli_options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char schema_text[] =
    "[{'name': 'crf', 'type': 'number', 'min': 0, 'max': 63},"
    " {'name': 'max_width', 'type': 'integer'},"
    " {'name': 'exact', 'type': 'boolean', 'default': true},"
    " {'name': 'codec', 'type': 'enum', 'values': ['h264', 'hevc']},"
    " {'name': 'bitrate', 'type': 'bitrate'},"
    " {'name': 'start', 'type': 'time'},"
    " {'name': 'times', 'type': 'list', 'of': {'type': 'time', 'percent': true}},"
    " {'name': 'crop', 'type': 'object', 'fields': [{'name': 'w', 'type': 'integer'},"
    "   {'name': 'exact', 'type': 'boolean'}]}]";

enum { WORDS_MAX = 12 };

struct parsed {
    char text[WORDS_MAX][128];
    char *argv[WORDS_MAX + 1];
    int count; /* of positional arguments, or the error's code */
    const char *output;
    int threads;
    bool json;
    json_t *object, *options;
    struct error e;
};

static json_t *schema(void)
{
    char text[sizeof schema_text];
    memcpy(text, schema_text, sizeof text);
    for (char *c = text; *c; c++) {
        *c = (char)(*c == '\'' ? '"' : *c);
    }
    json_t *document = json_loads(text, 0, NULL);
    assert_non_null(document);
    return document;
}

/* Parses the words of a line that are separated by spaces. */
static void parse(struct parsed *p, const char *line)
{
    *p = (struct parsed){.options = json_object()};
    int argc = 1;
    snprintf(p->text[0], sizeof p->text[0], "run");
    for (const char *at = line; *at;) {
        size_t length = strcspn(at, " ");
        assert_true(argc < WORDS_MAX && length < sizeof p->text[0]);
        memcpy(p->text[argc], at, length);
        p->text[argc++][length] = '\0';
        at += length + (at[length] == ' ');
    }
    for (int i = 0; i < argc; i++) {
        p->argv[i] = p->text[i];
    }
    const struct cli_flag flags[] = {
        {"output", 'o', CLI_TEXT, &p->output, "FILE", ""},
        {"json", 'j', CLI_FLAG, &p->json, NULL, ""},
        {"threads", 0, CLI_INTEGER, &p->threads, "N", ""},
        {"options", 0, CLI_JSON, &p->object, "JSON", ""},
    };
    json_t *document = schema();
    p->count =
        cli_parse(argc, p->argv, flags, sizeof flags / sizeof *flags, document, p->options, &p->e);
    json_decref(document);
}

static void finish(struct parsed *p)
{
    json_decref(p->options);
    json_decref(p->object);
}

static void test_values(void **state)
{
    (void)state;
    static const struct {
        const char *line, *options; /* the options as compact, sorted JSON */
        int count;
    } cases[] = {
        {"a b", "{}", 2},
        {"--crf 28 a", "{\"crf\":28}", 1},
        {"a --crf=28.5", "{\"crf\":28.5}", 1},
        {"--max-width 10", "{\"max_width\":10}", 0},
        {"--max_width=10", "{\"max_width\":10}", 0},
        {"--exact a", "{\"exact\":true}", 1},
        {"--no-exact a", "{\"exact\":false}", 1},
        {"--exact=false a", "{\"exact\":false}", 1},
        {"--exact false a", "{\"exact\":false}", 1},
        {"--codec hevc", "{\"codec\":\"hevc\"}", 0},
        {"--times 1,50%", NULL, 0},
        {"--times 1 --times 2,3", NULL, 0},
        {"--crop {\"w\":3}", "{\"crop\":{\"w\":3}}", 0},
        {"--crop.w 3 a", "{\"crop\":{\"w\":3}}", 1},
        {"--crop.w=3 --crop.exact a", "{\"crop\":{\"exact\":true,\"w\":3}}", 1},
        {"--crop {\"w\":3} --crop.w 4", "{\"crop\":{\"w\":4}}", 0},
        {"a --crop", "{\"crop\":{}}", 1},
        {"--crop -o x", "{\"crop\":{}}", 0},
        {"-- --crf -o", "{}", 2},
        {"--crf 1 --crf 2", "{\"crf\":2}", 0},
        {"-", "{}", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct parsed p;
        parse(&p, cases[i].line);
        if (p.count != cases[i].count) {
            fail_msg("%s: %d (%s)", cases[i].line, p.count, p.e.message);
        }
        char *text = json_dumps(p.options, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(6));
        if (cases[i].options) {
            assert_string_equal(text, cases[i].options);
        }
        free(text);
        finish(&p);
    }
}

static void test_list_is_continued(void **state)
{
    (void)state;
    struct parsed p;
    parse(&p, "--times 1,50% in.mp4 --times=2");
    assert_int_equal(p.count, 1);
    assert_int_equal(json_array_size(json_object_get(p.options, "times")), 3);
    finish(&p);
}

static void test_positionals_come_first(void **state)
{
    (void)state;
    struct parsed p;
    parse(&p, "--crf 2 a -o x b -- --c");
    assert_int_equal(p.count, 3);
    assert_string_equal(p.argv[0], "a");
    assert_string_equal(p.argv[1], "b");
    assert_string_equal(p.argv[2], "--c");
    assert_string_equal(p.output, "x");
    finish(&p);
}

static void test_flags(void **state)
{
    (void)state;
    struct parsed p;
    parse(&p, "-oout.mp4 -j --threads 4 --options {\"crf\":1}");
    assert_int_equal(p.count, 0);
    assert_string_equal(p.output, "out.mp4");
    assert_true(p.json);
    assert_int_equal(p.threads, 4);
    assert_int_equal(json_integer_value(json_object_get(p.object, "crf")), 1);
    finish(&p);
    parse(&p, "--output=a=b");
    assert_string_equal(p.output, "a=b");
    finish(&p);
}

static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *line, *words;
    } cases[] = {
        {"--crv 1", "did you mean '--crf'"},
        {"--max-widht 1", "did you mean '--max_width'"},
        {"--outptu x", "did you mean '--output'"},
        {"--zzzzzzzz", "unknown option '--zzzzzzzz'"},
        {"-x", "unknown option '-x'"},
        {"-jx", "unknown option '-jx'"},
        {"--crf", "needs a value"},
        {"-o", "needs a value"},
        {"--crf many", "crf"},
        {"--crop.exat", "did you mean '--crop.exact'"},
        {"--crop.zzzzzz 1", "unknown option '--crop.zzzzzz'"},
        {"--crop.w", "--crop.w needs a value"},
        {"--crop.w wide", "option 'crop.w' must be"},
        {"--crop 3x3 --crop.w 1", "option 'crop' must be"},
        {"--crf.w 1", "unknown option '--crf.w'"},
        {"--json=1", "takes no value"},
        {"--threads=x", "whole number"},
        {"--threads=-1", "whole number"},
        {"--options [1]", "JSON object"},
        {"--options {", "JSON object"},
        {"--no-crf", "unknown option"},
        {"--aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=1",
         "unknown option"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct parsed p;
        parse(&p, cases[i].line);
        if (p.count != ERROR_INVALID_OPTION || !strstr(p.e.message, cases[i].words)) {
            fail_msg("%s: %d (%s)", cases[i].line, p.count, p.e.message);
        }
        finish(&p);
    }
}

static void test_peek(void **state)
{
    (void)state;
    char run[] = "run", name[] = "--scripts", value[] = "one", inline_value[] = "--scripts=two",
         longer[] = "--scriptsx=no", end[] = "--", last[] = "--scripts=three";
    char *argv[] = {run, longer, name, value, inline_value, end, last, NULL};
    assert_string_equal(cli_peek(4, argv, "scripts"), "one");
    assert_string_equal(cli_peek(7, argv, "scripts"), "two");
    assert_null(cli_peek(2, argv, "scripts"));
    assert_null(cli_peek(3, argv, "scripts"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_list_is_continued),
        cmocka_unit_test(test_positionals_come_first),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_peek),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
