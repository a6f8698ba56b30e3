/* Errors: names, truncation, valid UTF-8 whatever comes in, and NULL everywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <libavutil/error.h>
#include <string.h>

#include "engine/error.h"

static void names_go_both_ways(void **state)
{
    (void)state;
    for (int code = ERROR_INVALID_OPTION; code >= ERROR_INTERNAL; code--) {
        assert_int_equal(error_from_name(error_name(code)), code);
    }
    assert_string_equal(error_name(ERROR_SCRIPT), "script_error");
    assert_string_equal(error_name(-999), "internal");
    assert_int_equal(error_from_name("nonsense"), 0);
    assert_int_equal(error_from_name(NULL), 0);
}

static void null_errors_return_the_code(void **state)
{
    (void)state;
    assert_int_equal(error_set(NULL, ERROR_TIMEOUT, "%d", 1), ERROR_TIMEOUT);
    assert_int_equal(error_set_av(NULL, ERROR_INTERNAL, AVERROR(ENOMEM), "x"), ERROR_OUT_OF_MEMORY);
    assert_int_equal(error_place(NULL, "a", "b", "c"), ERROR_INTERNAL);
    assert_int_equal(error_prefix(NULL, "x"), ERROR_INTERNAL);
}

static void places_are_kept_and_cleared(void **state)
{
    (void)state;
    struct error e = {0};
    error_set(&e, ERROR_INVALID_OPTION, "crf is too large");
    assert_int_equal(error_place(&e, "options.crf", "99", NULL), ERROR_INVALID_OPTION);
    error_place(&e, NULL, NULL, "0 to 51");
    assert_string_equal(e.path, "options.crf");
    assert_string_equal(e.got, "99");
    assert_string_equal(e.expected, "0 to 51");
    error_prefix(&e, "track %d", 2);
    assert_string_equal(e.message, "track 2: crf is too large");
    assert_string_equal(e.path, "options.crf");
    error_set(&e, ERROR_INTERNAL, "again: %s", e.message);
    assert_string_equal(e.message, "again: track 2: crf is too large");
    assert_string_equal(e.path, "");
}

static void libav_errors_choose_the_code(void **state)
{
    (void)state;
    static const struct {
        int averror, code;
    } cases[] = {
        {AVERROR(ENOMEM), ERROR_OUT_OF_MEMORY}, {AVERROR(ENOSPC), ERROR_DISK_FULL},
        {AVERROR(EDQUOT), ERROR_DISK_FULL},     {AVERROR_EXIT, ERROR_CANCELLED},
        {AVERROR_INVALIDDATA, ERROR_INTERNAL},  {AVERROR(EINVAL), ERROR_INTERNAL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error e;
        assert_int_equal(error_set_av(&e, ERROR_INTERNAL, cases[i].averror, "reading '%s'", "a"),
                         cases[i].code);
        assert_int_equal(e.code, cases[i].code);
        assert_memory_equal(e.message, "reading 'a': ", 13);
        assert_true(strlen(e.message) > 13);
    }
}

static void long_texts_are_cut_between_characters(void **state)
{
    (void)state;
    struct error e;
    for (size_t ahead = 0; ahead < 8; ahead++) {
        char text[4096] = "";
        memset(text, 'x', ahead);
        while (strlen(text) < sizeof text - 8) {
            strcat(text, "\xf0\x9f\x8e\xac"); /* a clapper board, four bytes */
        }
        error_set(&e, ERROR_INTERNAL, "%s", text);
        error_place(&e, text, text, text);
        error_prefix(&e, "before");
        const char *const all[] = {e.message, e.path, e.got, e.expected};
        const size_t start[] = {ahead + 8, ahead, ahead, ahead};
        for (size_t i = 0; i < 4; i++) {
            assert_int_equal((strlen(all[i]) - start[i]) % 4, 0);
            assert_null(strchr(all[i], '?'));
        }
        assert_true(strlen(e.message) > sizeof e.message - 6);
    }
    char prefix[4096];
    memset(prefix, 'p', sizeof prefix);
    prefix[sizeof prefix - 1] = '\0';
    error_prefix(&e, "%s", prefix);
    assert_int_equal(strlen(e.message), sizeof e.message - 1);
}

static void malformed_texts_are_made_valid(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"a\nb\tc\x7f", "a b c "},
        {"\xff\xfe", "??"},
        {"\xc3", "?"},
        {"\xc0\xaf", "??"},           /* overlong */
        {"\xed\xa0\x80", "???"},      /* surrogate */
        {"\xf4\x90\x80\x80", "????"}, /* past U+10FFFF */
        {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
        {"\xe2\x82\xac\xe2\x82", "\xe2\x82\xac??"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error e;
        error_set(&e, ERROR_INTERNAL, "%s", cases[i].in);
        assert_string_equal(e.message, cases[i].out);
        error_place(&e, cases[i].in, cases[i].in, cases[i].in);
        assert_string_equal(e.got, cases[i].out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_go_both_ways),
        cmocka_unit_test(null_errors_return_the_code),
        cmocka_unit_test(places_are_kept_and_cleared),
        cmocka_unit_test(libav_errors_choose_the_code),
        cmocka_unit_test(long_texts_are_cut_between_characters),
        cmocka_unit_test(malformed_texts_are_made_valid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
