/*
 * HTTP's texts: ranges and entity tags, the head of an answer, and the signatures of links.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/http_head.h"
#include "server/http_range.h"
#include "server/link.h"

static void test_ranges(void **state)
{
    (void)state;
    static const struct {
        const char *range;
        int64_t size;
        enum http_range expected;
        int64_t from, end;
    } cases[] = {
        {"bytes=0-0", 100, RANGE_PART, 0, 1},
        {"bytes=0-99", 100, RANGE_PART, 0, 100},
        {"bytes=0-100", 100, RANGE_PART, 0, 100},
        {"bytes=99-", 100, RANGE_PART, 99, 100},
        {"bytes=100-", 100, RANGE_NOWHERE, 0, 0},
        {"bytes=-1", 100, RANGE_PART, 99, 100},
        {"bytes=-100", 100, RANGE_PART, 0, 100},
        {"bytes=-101", 100, RANGE_PART, 0, 100},
        {"bytes=-0", 100, RANGE_NOWHERE, 0, 0},
        {"bytes=0-", 0, RANGE_NOWHERE, 0, 0},
        {"bytes=-5", 0, RANGE_NOWHERE, 0, 0},
        {"BYTES=1-2 ", 100, RANGE_PART, 1, 3},
        {"bytes=999999999999999999-", 100, RANGE_NOWHERE, 0, 0},
        {"bytes=1-999999999999999999", 100, RANGE_PART, 1, 100},
        {"bytes=1-9999999999999999999", 100, RANGE_WHOLE, 0, 0},
        {"bytes=18446744073709551616-", 100, RANGE_WHOLE, 0, 0},
        {"bytes=2-1", 100, RANGE_WHOLE, 0, 0},
        {"bytes=0-1,3-4", 100, RANGE_WHOLE, 0, 0},
        {"bytes=0-1,", 100, RANGE_WHOLE, 0, 0},
        {"bytes=", 100, RANGE_WHOLE, 0, 0},
        {"bytes=-", 100, RANGE_WHOLE, 0, 0},
        {"bytes=1", 100, RANGE_WHOLE, 0, 0},
        {"bytes=+1-2", 100, RANGE_WHOLE, 0, 0},
        {"bytes=1-+2", 100, RANGE_WHOLE, 0, 0},
        {"bytes=1-2x", 100, RANGE_WHOLE, 0, 0},
        {"bytes", 100, RANGE_WHOLE, 0, 0},
        {"", 100, RANGE_WHOLE, 0, 0},
        {"pages=1-2", 100, RANGE_WHOLE, 0, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t from = -1, end = -1;
        enum http_range found = http_range_parse(cases[i].range, cases[i].size, &from, &end);
        if (found != cases[i].expected ||
            (found == RANGE_PART && (from != cases[i].from || end != cases[i].end)))
            fail_msg("%s: %d, %lld to %lld", cases[i].range, found, (long long)from,
                     (long long)end);
    }
}

static void test_tags(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        bool expected;
    } cases[] = {
        {"\"abc\"", true},
        {"*", true},
        {" * ", true},
        {"W/\"abc\"", true},
        {"\"x\",\"abc\"", true},
        {"\"x\", W/\"abc\" , \"y\"", true},
        {"", false},
        {"abc", false},
        {"\"ab\"", false},
        {"\"abcd\"", false},
        {"\"x, \"abc", false},
        {"w/\"abc\"", false},
        {"\"a,b\", c", false},
        {"\"", false},
        {"**", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (http_tags_have(cases[i].list, "\"abc\"") != cases[i].expected)
            fail_msg("tags %s", cases[i].list);
    }
}

/* The head's text, ended. */
static const char *text_of(struct http_head *head)
{
    head->text[LWS_PRE + head->size] = '\0';
    return (const char *)head->text + LWS_PRE;
}

static void test_head(void **state)
{
    (void)state;
    struct http_head head;
    http_head_begin(&head, 206);
    http_head_add(&head, "Content-Type", "%s", "video/mp4");
    http_head_add(&head, "X-Evil", "%s", "a\r\nSet-Cookie: b");
    assert_false(head.full);
    const char *text = text_of(&head);
    assert_ptr_equal(strstr(text, "HTTP/1.1 206 Partial Content\r\nDate: "), text);
    assert_non_null(strstr(text, "\r\nX-Content-Type-Options: nosniff\r\n"));
    assert_non_null(strstr(text, "\r\nContent-Type: video/mp4\r\n"));
    assert_null(strstr(text, "Evil"));
    assert_null(strstr(text, "Cookie"));
}

static void test_disposition(void **state)
{
    (void)state;
    static const struct {
        const char *name, *expected;
    } cases[] = {
        {"a.mp4", "inline; filename=\"a.mp4\"; filename*=UTF-8''a.mp4\r\n"},
        {"a \"b\".mp4", "inline; filename=\"a _b_.mp4\"; filename*=UTF-8''a%20%22b%22.mp4\r\n"},
        {"\xc3\xa9\\/%", "inline; filename=\"_____\"; filename*=UTF-8''%C3%A9%5C%2F%25\r\n"},
        {"x\r\nSet-Cookie: b", "inline; filename=\"x__Set-Cookie: b\"; "
                               "filename*=UTF-8''x%0D%0ASet-Cookie%3A%20b\r\n"},
    };
    struct http_head head;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        http_head_begin(&head, 200);
        http_head_add_disposition(&head, true, cases[i].name);
        const char *found = strstr(text_of(&head), "Content-Disposition: ");
        assert_non_null(found);
        assert_string_equal(found + strlen("Content-Disposition: "), cases[i].expected);
    }
    char endless[2000];
    memset(endless, 0xff, sizeof(endless) - 1);
    endless[sizeof(endless) - 1] = '\0';
    http_head_begin(&head, 200);
    http_head_add_disposition(&head, false, endless);
    assert_false(head.full);
    assert_non_null(strstr(text_of(&head), "Content-Disposition: attachment; filename=\"___"));
}

static void test_a_head_has_a_bound(void **state)
{
    (void)state;
    struct http_head head;
    http_head_begin(&head, 200);
    for (int i = 0; i < 200; i++)
        http_head_add(&head, "X-Filler", "%0100d", i);
    assert_true(head.full);
    assert_true(head.size <= HTTP_HEAD_MAX);
    assert_int_equal(http_head_write(&head, NULL), -1);
}

#define JOB   "0123456789abcdef0123456789abcdef"
#define OTHER "0123456789abcdef0123456789abcdee"

static void test_links(void **state)
{
    (void)state;
    char folder[] = "/tmp/luma-link-XXXXXX", path[64], signature[LINK_SIGNATURE_SIZE];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/link.key", folder);
    struct link_key key, again, other;
    assert_int_equal(link_key_load(&key, folder), 0);
    assert_int_equal(link_key_load(&again, folder), 0);
    assert_memory_equal(&key, &again, sizeof(key));
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    link_sign(&key, JOB, 3, signature);
    assert_int_equal(strlen(signature), 32);
    assert_true(link_verify(&again, JOB, 3, signature));
    assert_false(link_verify(&key, JOB, 4, signature));
    assert_false(link_verify(&key, OTHER, 3, signature));
    assert_false(link_verify(&key, JOB, 3, NULL));
    assert_false(link_verify(&key, JOB, 3, ""));
    signature[31] = signature[31] == '0' ? '1' : '0';
    assert_false(link_verify(&key, JOB, 3, signature));

    assert_int_equal(unlink(path), 0);
    assert_int_equal(link_key_load(&other, folder), 0);
    assert_memory_not_equal(&key, &other, sizeof(key));
    assert_int_equal(truncate(path, 5), 0); /* half a key is none */
    assert_int_equal(link_key_load(&other, folder), -EINVAL);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(link_key_load(&other, folder), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_disposition),
        cmocka_unit_test(test_a_head_has_a_bound),
        cmocka_unit_test(test_links),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
