/*
 * Lines of the log: JSON that is whole whatever is in it, and texts that don't break a line.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "server/log.h"

static char line[8192];

/* What the call writes to stderr, with its line's end. */
#define LOGGED(call)                                                                               \
    do {                                                                                           \
        int ends[2], standard = dup(STDERR_FILENO);                                                \
        assert_int_equal(pipe(ends), 0);                                                           \
        assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);                             \
        call;                                                                                      \
        assert_int_equal(dup2(standard, STDERR_FILENO), STDERR_FILENO);                            \
        ssize_t size = read(ends[0], line, sizeof(line) - 1);                                      \
        assert_true(size > 0);                                                                     \
        line[size] = '\0';                                                                         \
        close(standard);                                                                           \
        close(ends[0]);                                                                            \
        close(ends[1]);                                                                            \
    } while (0)

static void test_json(void **state)
{
    (void)state;
    static char endless[20000], control[20000];
    memset(endless, 'x', sizeof(endless) - 1);
    memset(control, 1, sizeof(control) - 1);
    const char *texts[] = {
        "", "plain", "a \"b\" \\ c", "\n\t\x01\x7f", "\xc3\xa9\xf0\x9f\x98\x80", endless, control};
    log_init(LOG_INFO_LEVEL, true);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        LOGGED(log_info("event", LOG_TEXT("text", texts[i]), LOG_TEXT("none", NULL),
                        LOG_INTEGER("n", 7), LOG_NUMBER("x", NAN)));
        json_error_t error;
        json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, &error);
        if (!object)
            fail_msg("%s: %s", error.text, line);
        assert_string_equal(json_string_value(json_object_get(object, "event")), "event");
        assert_non_null(json_object_get(object, "level"));
        assert_non_null(json_object_get(object, "time"));
        const char *text = json_string_value(json_object_get(object, "text"));
        if (strlen(texts[i]) < 1000) {
            assert_string_equal(text, texts[i]);
            assert_int_equal(json_integer_value(json_object_get(object, "n")), 7);
        }
        json_decref(object);
    }
}

static void test_bytes_that_are_no_text(void **state)
{
    (void)state;
    static const char *const texts[] = {"\xff",
                                        "\xc3",
                                        "\xc0\xaf",
                                        "\xe0\x80\xaf",
                                        "\xed\xa0\x80",
                                        "\xf5\x80\x80\x80",
                                        "\xf4\x90\x80\x80",
                                        "\x80",
                                        "\xe2\x82"};
    log_init(LOG_INFO_LEVEL, true);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        LOGGED(log_info("event", LOG_TEXT("text", texts[i])));
        json_t *object = json_loads(line, 0, NULL);
        if (!object)
            fail_msg("text %zu: %s", i, line);
        assert_ptr_equal(strstr(json_string_value(json_object_get(object, "text")), "\xef\xbf\xbd"),
                         json_string_value(json_object_get(object, "text")));
        json_decref(object);
    }
}

static void test_text(void **state)
{
    (void)state;
    log_init(LOG_INFO_LEVEL, false);
    LOGGED(log_info("event", LOG_TEXT("a", "b c"), LOG_TEXT("d", "e=f"), LOG_TEXT("g", "h\ni"),
                    LOG_INTEGER("j", -3), LOG_NUMBER("k", 0.25)));
    assert_ptr_equal(
        strstr(line, "event=event a=\"b c\" d=\"e=f\" g=\"h\\ni\" j=-3 k=0.25 level=info time="),
        line);
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_bytes_that_are_no_text),
        cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
