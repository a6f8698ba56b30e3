/*
 * Text messages: strict JSON, tables of fields, paths in errors.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/protocol.h"

static void test_bad_json(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t size; /* 0: the text's */
        const char *code;
    } cases[] = {
        {"", 0, "invalid_json"},
        {"{", 0, "invalid_json"},
        {"{} {}", 0, "invalid_json"},
        {"{\"a\":1,\"a\":2}", 0, "invalid_json"},
        {"{\"a\":\"\\u0000\"}", 0, "invalid_json"},
        {"{\"a\":\"\0\"}", 9, "invalid_json"},
        {"{\"a\":\"\xff\"}", 0, "invalid_json"},
        {"{\"a\":\"\xed\xa0\x80\"}", 0, "invalid_json"},
        {"{\"a\":1e999}", 0, "invalid_json"},
        {"{\"a\":01}", 0, "invalid_json"},
        {"{\"a\":NaN}", 0, "invalid_json"},
        {"{'a':1}", 0, "invalid_json"},
        {"[]", 0, "invalid_message"},
        {"\"text\"", 0, "invalid_message"},
        {"17", 0, "invalid_message"},
        {"null", 0, "invalid_message"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct problem problem = {0};
        size_t size = cases[i].size ? cases[i].size : strlen(cases[i].text);
        assert_null(protocol_parse(cases[i].text, size, &problem));
        assert_string_equal(problem.code, cases[i].code);
        problem_finish(&problem);
    }
}

/* {"type":"ping","data":[[…]]} with that many brackets in all. */
static char *nested(int depth)
{
    char *text = malloc(2 * (size_t)depth + 64);
    assert_non_null(text);
    char *end = text + sprintf(text, "{\"type\":\"ping\",\"data\":");
    for (int i = 1; i < depth; i++)
        *end++ = '[';
    for (int i = 1; i < depth; i++)
        *end++ = ']';
    (void)strcpy(end, "}");
    return text;
}

static void test_depth(void **state)
{
    (void)state;
    struct problem problem = {0};
    char *allowed = nested(PROTOCOL_DEPTH_MAX), *deeper = nested(PROTOCOL_DEPTH_MAX + 1);
    char *abyss = nested(100000);
    json_t *message = protocol_parse(allowed, strlen(allowed), &problem);
    assert_non_null(message);
    json_decref(message);
    assert_null(protocol_parse(deeper, strlen(deeper), &problem));
    assert_string_equal(problem.code, "invalid_json");
    assert_null(protocol_parse(abyss, strlen(abyss), &problem));
    problem_finish(&problem);
    free(allowed);
    free(deeper);
    free(abyss);
    /* Brackets in strings don't nest. */
    const char *text =
        "{\"type\":\"ping\",\"data\":\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"}";
    message = protocol_parse(text, strlen(text), &problem);
    assert_non_null(message);
    json_decref(message);
}

static const char job_text[] = "0123456789abcdef0123456789abcdef";

struct check_case {
    const char *text;
    const char *code; /* NULL: valid */
    const char *path;
};

static void check_all(const struct check_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct problem problem = {0};
        enum message_type type;
        json_t *message = protocol_parse(cases[i].text, strlen(cases[i].text), &problem);
        assert_non_null(message);
        int status = protocol_check(message, &type, &problem);
        if (cases[i].code) {
            assert_int_equal(status, -1);
            assert_string_equal(problem.code, cases[i].code);
            const char *path = json_string_value(json_object_get(problem.details, "path"));
            assert_string_equal(path, cases[i].path);
        } else {
            if (status < 0)
                print_message("%s: %s\n", cases[i].text, problem.message);
            assert_int_equal(status, 0);
        }
        problem_finish(&problem);
        json_decref(message);
    }
}

static void test_fields(void **state)
{
    (void)state;
    static const struct check_case cases[] = {
        {"{}", "invalid_message", "type"},
        {"{\"type\":5}", "invalid_message", "type"},
        {"{\"type\":\"dance\"}", "unknown_type", "type"},
        {"{\"type\":\"ping\"}", NULL, NULL},
        {"{\"type\":\"ping\",\"data\":null,\"request_id\":\"x\"}", NULL, NULL},
        {"{\"type\":\"ping\",\"extra\":1}", "invalid_message", "extra"},
        {"{\"type\":\"ping\",\"request_id\":7}", "invalid_message", "request_id"},
        {"{\"type\":\"hello\",\"token\":5}", "invalid_message", "token"},
        {"{\"type\":\"hello\",\"token\":null}", NULL, NULL},
        {"{\"type\":\"cancel_job\"}", "invalid_message", "job_id"},
        {"{\"type\":\"cancel_job\",\"job_id\":1}", "invalid_message", "job_id"},
        {"{\"type\":\"cancel_job\",\"job_id\":\"nope\"}", NULL, NULL}, /* there is none: later */
        {"{\"type\":\"attach\",\"job_id\":\"a\",\"outputs\":[{\"output\":0}]}", "invalid_message",
         "outputs[0].received"},
        {"{\"type\":\"attach\",\"job_id\":\"a\",\"outputs\":[5]}", "invalid_message", "outputs[0]"},
        {"{\"type\":\"fetch\",\"job_id\":\"a\",\"output\":-1}", "invalid_message", "output"},
        {"{\"type\":\"fetch\",\"job_id\":\"a\",\"output\":1.5}", "invalid_message", "output"},
        {"{\"type\":\"list_jobs\",\"status\":\"lost\"}", "invalid_message", "status"},
        {"{\"type\":\"list_jobs\",\"status\":\"run\"}", "invalid_message", "status"},
        {"{\"type\":\"list_jobs\",\"status\":\"running\",\"limit\":5}", NULL, NULL},
    };
    check_all(cases, sizeof(cases) / sizeof(cases[0]));
}

#define START "{\"type\":\"start_job\",\"operation\":\"probe\","

static void test_start_job(void **state)
{
    (void)state;
    static const struct check_case cases[] = {
        {START "\"inputs\":[{\"kind\":\"upload\"}]}", NULL, NULL},
        {START "\"input\":{\"kind\":\"upload\",\"name\":\"a\",\"size\":5}}", NULL, NULL},
        {START "\"input\":{\"kind\":\"upload\",\"size\":null}}", NULL, NULL},
        {START "\"inputs\":[{\"kind\":\"url\",\"url\":\"http://x\"}]}", NULL, NULL},
        {START "\"detach\":true}", "invalid_message", "inputs"},
        {START "\"input\":{\"kind\":\"upload\"},\"inputs\":[]}", "invalid_message", "inputs"},
        {START "\"inputs\":{}}", "invalid_message", "inputs"},
        {START "\"inputs\":[{\"kind\":\"upload\"},{\"kind\":\"tape\"}]}", "invalid_input",
         "inputs[1].kind"},
        {START "\"inputs\":[{}]}", "invalid_message", "inputs[0].kind"},
        {START "\"inputs\":[{\"kind\":\"upload\",\"url\":\"x\"}]}", "invalid_message",
         "inputs[0].url"},
        {START "\"inputs\":[{\"kind\":\"upload\",\"size\":-1}]}", "invalid_message",
         "inputs[0].size"},
        {START "\"inputs\":[{\"kind\":\"upload\",\"size\":99999999999999999}]}", "invalid_message",
         "inputs[0].size"},
        {START "\"inputs\":[{\"kind\":\"url\"}]}", "invalid_message", "inputs[0].url"},
        {START "\"inputs\":[],\"options\":[]}", "invalid_message", "options"},
        {START "\"inputs\":[],\"delivery\":\"post\"}", "invalid_message", "delivery"},
        {START "\"inputs\":[],\"detach\":1}", "invalid_message", "detach"},
        {START "\"inputs\":[],\"priority\":1}", "invalid_message", "priority"},
    };
    check_all(cases, sizeof(cases) / sizeof(cases[0]));
}

static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *format;
        int length;
        bool valid;
    } cases[] = {
        {"{\"type\":\"ping\",\"request_id\":\"%s\"}", REQUEST_ID_MAX, true},
        {"{\"type\":\"ping\",\"request_id\":\"%s\"}", REQUEST_ID_MAX + 1, false},
        {"{\"type\":\"ping\",\"data\":\"%s\"}", 1022, true}, /* with its quotes */
        {"{\"type\":\"ping\",\"data\":\"%s\"}", 1023, false},
        {START "\"inputs\":[],\"metadata\":\"%s\"}", 4094, true},
        {START "\"inputs\":[],\"metadata\":\"%s\"}", 4095, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char filling[5000], text[6000];
        memset(filling, 'x', (size_t)cases[i].length);
        filling[cases[i].length] = '\0';
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void)snprintf(text, sizeof(text), cases[i].format, filling);
#pragma GCC diagnostic pop
        struct problem problem = {0};
        enum message_type type;
        json_t *message = protocol_parse(text, strlen(text), &problem);
        assert_non_null(message);
        assert_int_equal(protocol_check(message, &type, &problem), cases[i].valid ? 0 : -1);
        problem_finish(&problem);
        json_decref(message);
    }
}

static void test_errors(void **state)
{
    (void)state;
    struct problem problem = {0};
    problem_set(&problem, "queue_full", "no more than %d", 5);
    problem_place(&problem, "options.crf", "\xff", NULL);
    json_t *error = protocol_error(&problem, "r1", job_text, true);
    assert_string_equal(json_string_value(json_object_get(error, "code")), "queue_full");
    assert_string_equal(json_string_value(json_object_get(error, "message")), "no more than 5");
    assert_string_equal(json_string_value(json_object_get(error, "request_id")), "r1");
    assert_string_equal(json_string_value(json_object_get(error, "job_id")), job_text);
    assert_true(json_is_true(json_object_get(error, "final")));
    assert_true(json_is_true(json_object_get(error, "retryable")));
    const json_t *details = json_object_get(error, "details");
    assert_string_equal(json_string_value(json_object_get(details, "path")), "options.crf");
    assert_string_equal(json_string_value(json_object_get(details, "got")), "?");
    json_decref(error);
    problem_finish(&problem);
    assert_true(protocol_code_known("worker_crashed"));
    assert_false(protocol_code_known("whatever"));
    assert_false(protocol_code_retryable("invalid_option"));
}

static void test_what_is_not_to_be_tried_again(void **state)
{
    (void)state;
    struct problem problem = {0};
    for (int permanent = 0; permanent < 2; permanent++) {
        problem_set(&problem, "download_failed", "the URL was answered with HTTP status 404");
        assert_false(problem.permanent);
        problem.permanent = permanent;
        json_t *error = protocol_error(&problem, NULL, NULL, false);
        assert_true(json_is_true(json_object_get(error, "retryable")) == !permanent);
        json_decref(error);
    }
    problem_finish(&problem);
}

static void test_time(void **state)
{
    (void)state;
    char text[32];
    protocol_format_time(0.5, text);
    assert_string_equal(text, "1970-01-01T00:00:00.500Z");
    protocol_format_time(1700000000.25, text);
    assert_string_equal(text, "2023-11-14T22:13:20.250Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_json),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_start_job),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_what_is_not_to_be_tried_again),
        cmocka_unit_test(test_time),
    };
    return cmocka_run_group_tests_name("protocol", tests, NULL, NULL);
}
