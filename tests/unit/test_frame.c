/*
 * Binary messages: lengths at their limits, strict headers, and what we send ourselves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/frame.h"

static void test_prefix(void **state)
{
    (void)state;
    static const struct {
        uint8_t length[4];
        size_t have;
        bool whole;
        int expected;
    } cases[] = {
        {{0}, 0, false, 0},
        {{0}, 0, true, -1},
        {{0, 0, 0, 0}, 3, false, 0},
        {{0, 0, 0, 0}, 3, true, -1},
        {{0, 0, 0, 0}, 4, false, -1},
        {{0, 0, 0, 5}, 4, false, 0},
        {{0, 0, 0, 5}, 8, false, 0},
        {{0, 0, 0, 5}, 8, true, -1},
        {{0, 0, 0, 5}, 9, true, 9},
        {{0, 0, 0, 5}, 100, false, 9},
        {{0, 0, 0x10, 0}, 4100, true, 4100},
        {{0, 0, 0x10, 0}, 4099, false, 0},
        {{0, 0, 0x10, 1}, 4101, true, -1},
        {{0, 0, 0x10, 1}, 4, false, -1},
        {{0x7f, 0xff, 0xff, 0xff}, 4, false, -1},
        {{0x80, 0, 0, 0}, 4, false, -1},
        {{0xff, 0xff, 0xff, 0xff}, 4096, false, -1},
        {{0xff, 0xff, 0xff, 0xfc}, 4096, true, -1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t *bytes = calloc(1, cases[i].have + 1);
        assert_non_null(bytes);
        memcpy(bytes, cases[i].length, cases[i].have < 4 ? cases[i].have : 4);
        struct problem problem = {0};
        int size = frame_prefix_size(bytes, cases[i].have, cases[i].whole, &problem);
        assert_int_equal(size, cases[i].expected);
        if (size < 0)
            assert_string_equal(problem.code, "invalid_header");
        problem_finish(&problem);
        free(bytes);
    }
}

#define JOB "0123456789abcdef0123456789abcdef"

static void test_headers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *path; /* NULL with `bad`: not about one field */
        bool bad;
    } cases[] = {
        {"{\"type\":\"upload\",\"job_id\":\"" JOB "\",\"input\":0,\"offset\":0}", NULL, false},
        {"{\"type\":\"upload\",\"job_id\":\"x\",\"input\":0,\"offset\":0,\"last\":true}", NULL,
         false},
        {"{\"type\":\"output\",\"job_id\":\"x\",\"input\":0,\"offset\":0}", "type", true},
        {"{\"type\":\"upload\",\"input\":0,\"offset\":0}", "job_id", true},
        {"{\"type\":\"upload\",\"job_id\":\"x\",\"input\":\"0\",\"offset\":0}", "input", true},
        {"{\"type\":\"upload\",\"job_id\":\"x\",\"input\":-1,\"offset\":0}", "input", true},
        {"{\"type\":\"upload\",\"job_id\":\"x\",\"input\":0,\"offset\":1.0}", "offset", true},
        {"{\"type\":\"upload\",\"job_id\":\"x\",\"input\":0,\"offset\":9223372036854775807}",
         "offset", true},
        {"{\"type\":\"upload\",\"job_id\":\"x\",\"input\":0,\"offset\":0,\"last\":1}", "last",
         true},
        {"{\"type\":\"upload\",\"job_id\":\"x\",\"input\":0,\"offset\":0,\"request_id\":\"r\"}",
         "request_id", true},
        {"{\"type\":\"upload\"", NULL, true},
        {"[]", NULL, true},
        {"", NULL, true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct problem problem = {0};
        struct frame_upload upload;
        int status = frame_parse_upload(cases[i].text, strlen(cases[i].text), &upload, &problem);
        assert_int_equal(status, cases[i].bad ? -1 : 0);
        if (cases[i].bad)
            assert_string_equal(problem.code, "invalid_header");
        if (cases[i].path)
            assert_string_equal(json_string_value(json_object_get(problem.details, "path")),
                                cases[i].path);
        problem_finish(&problem);
    }
}

static void test_header_values(void **state)
{
    (void)state;
    const char *text = "{\"type\":\"upload\",\"job_id\":\"" JOB
                       "\",\"input\":3,\"offset\":5000000000,\"last\":true}";
    struct problem problem = {0};
    struct frame_upload upload;
    assert_int_equal(frame_parse_upload(text, strlen(text), &upload, &problem), 0);
    assert_string_equal(upload.job, JOB);
    assert_int_equal(upload.input, 3);
    assert_int_equal(upload.offset, 5000000000);
    assert_true(upload.last);
    text = "{\"type\":\"upload\",\"job_id\":\"../../x\",\"input\":0,\"offset\":0}";
    assert_int_equal(frame_parse_upload(text, strlen(text), &upload, &problem), 0);
    assert_string_equal(upload.job, ""); /* names no job */
}

static void test_output(void **state)
{
    (void)state;
    uint8_t *buffer = malloc(FRAME_PREFIX_MAX);
    assert_non_null(buffer);
    uint8_t *payload = buffer + FRAME_PREFIX_MAX;
    const struct frame_output output = {
        .job = JOB,
        .output = 2,
        .attempt = 1,
        .name = "a \"b\".mp4",
        .offset = 5000000000,
        .size = 6000000000,
        .last = true,
    };
    size_t prefix = frame_put_output(payload, &output);
    assert_true(prefix > FRAME_LENGTH_SIZE && prefix <= FRAME_PREFIX_MAX);
    struct problem problem = {0};
    assert_int_equal(frame_prefix_size(payload - prefix, prefix, true, &problem), prefix);
    json_t *header = json_loadb((char *)payload - prefix + FRAME_LENGTH_SIZE,
                                prefix - FRAME_LENGTH_SIZE, 0, NULL);
    assert_non_null(header);
    assert_string_equal(json_string_value(json_object_get(header, "type")), "output");
    assert_string_equal(json_string_value(json_object_get(header, "name")), "a \"b\".mp4");
    assert_int_equal(json_integer_value(json_object_get(header, "offset")), 5000000000);
    assert_int_equal(json_integer_value(json_object_get(header, "size")), 6000000000);
    assert_true(json_is_true(json_object_get(header, "last")));
    assert_null(json_object_get(header, "request_id"));
    json_decref(header);
    free(buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prefix),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_header_values),
        cmocka_unit_test(test_output),
    };
    return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
