/*
 * URLs as they come from clients and from redirects: what is refused by looking at them, and that
 * no way to write an address gets past.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/fetch_url.h"

static struct address_rules *rules_of(const char *allow)
{
    struct address_rules *rules = NULL;
    char bad[64] = "";
    assert_int_equal(address_rules_create(&rules, allow, bad, sizeof(bad)), 0);
    return rules;
}

/* The code that a URL is refused with, "" if it isn't. */
static const char *judge(const char *text, const char *allow)
{
    struct address_rules *rules = rules_of(allow);
    struct fetch_url url = {0};
    struct problem problem = {0};
    int status = fetch_url_set(&url, text, rules, &problem);
    assert_true((status < 0) == (problem.code != NULL));
    if (problem.code) {
        assert_true(strlen(problem.message) > 10);
        assert_null(strstr(problem.message, "secret"));
    }
    fetch_url_finish(&url);
    problem_finish(&problem);
    address_rules_destroy(&rules);
    return problem.code ? problem.code : "";
}

static void test_judged(void **state)
{
    (void)state;
    static const struct {
        const char *text, *code;
    } cases[] = {
        {"http://example.com/", ""},
        {"https://example.com/a/b.mp4?token=secret#t=1", ""},
        {"HTTPS://EXAMPLE.COM", ""},
        {"https://example.com:443/", ""},
        {"http://example.com:443/", ""},
        {"http://example.com:80/a b", ""},
        {"http://example.com:8080/secret", "url_forbidden"},
        {"https://example.com:22/", "url_forbidden"},
        {"ftp://example.com/secret", "url_forbidden"},
        {"file:///etc/secret", "url_forbidden"},
        {"gopher://example.com/", "url_forbidden"},
        {"dict://example.com/", "url_forbidden"},
        {"data:text/plain,secret", "url_forbidden"},
        {"javascript:secret", "url_forbidden"},
        {"example.com/secret", "url_forbidden"},
        {"//example.com/secret", "url_forbidden"},
        {"", "url_forbidden"},
        {"http://user@example.com/", "url_forbidden"},
        {"http://user:secret@example.com/", "url_forbidden"},
        {"http://@example.com/", "url_forbidden"},
        {"http://example.com\\@127.0.0.1/", "url_forbidden"},
        {"http://", "invalid_input"},
        {"http://a b/", "invalid_input"},
        {"http://example.com:99999/", "invalid_input"},
        {"http://example.com:0/", "invalid_input"},
        {"http://[::1/", "invalid_input"},
        {"http://example.com\r\nX: secret/", "invalid_input"},
        {"http://127.0.0.1/", "url_forbidden"},
        {"http://127.1/", "url_forbidden"},
        {"http://0x7f.1/", "url_forbidden"},
        {"http://0177.0.0.1/", "url_forbidden"},
        {"http://2130706433/", "url_forbidden"},
        {"http://%31%32%37.0.0.1/", "url_forbidden"},
        {"http://127.0.0.1./", "url_forbidden"},
        {"http:///127.0.0.1/", "url_forbidden"},
        {"http://0/", "url_forbidden"},
        {"http://169.254.169.254/latest/secret", "url_forbidden"},
        {"http://[::1]/", "url_forbidden"},
        {"http://[::ffff:127.0.0.1]/", "url_forbidden"},
        {"http://[fe80::1%25eth0]/", "url_forbidden"},
        {"http://[64:ff9b::7f00:1]/", "url_forbidden"},
        {"http://localhost/", "url_forbidden"},
        {"http://a.LocalHost./", "url_forbidden"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *code = judge(cases[i].text, "");
        if (strcmp(code, cases[i].code) != 0)
            fail_msg("%s: \"%s\", expected \"%s\"", cases[i].text, code, cases[i].code);
    }
}

static void test_exceptions(void **state)
{
    (void)state;
    assert_string_equal(judge("http://127.0.0.1:9000/", "127.0.0.0/8"), "");
    assert_string_equal(judge("http://localhost:9000/", "127.0.0.0/8"), "");
    assert_string_equal(judge("http://[::1]:9000/", "127.0.0.0/8"), "url_forbidden");
    assert_string_equal(judge("http://[::1]:9000/", "[::1]:9000"), "");
    assert_string_equal(judge("http://media.internal:9000/", "media.internal:9000"), "");
    assert_string_equal(judge("http://media.internal:9001/", "media.internal:9000"),
                        "url_forbidden");
    assert_string_equal(judge("ftp://127.0.0.1/", "127.0.0.0/8"), "url_forbidden");
    assert_string_equal(judge("http://u:p@127.0.0.1/", "127.0.0.0/8"), "url_forbidden");
}

static void test_too_long(void **state)
{
    (void)state;
    static char text[FETCH_URL_MAX + 2] = "http://example.com/";
    memset(text + strlen(text), 'a', sizeof(text) - 1 - strlen(text));
    assert_string_equal(judge(text, ""), "invalid_input");
    text[FETCH_URL_MAX] = '\0';
    assert_string_equal(judge(text, ""), "");
}

/* Each is resolved against http://127.0.0.1:9000/a/b?q. */
static void test_redirects(void **state)
{
    (void)state;
    static const struct {
        const char *location, *result; /* an URL, or a code */
    } cases[] = {
        {"c", "http://127.0.0.1:9000/a/c"},
        {"../c d", "http://127.0.0.1:9000/c%20d"},
        {"/abs?x=1", "http://127.0.0.1:9000/abs?x=1"},
        {"?r", "http://127.0.0.1:9000/a/b?r"},
        {"//127.0.0.2/x", "http://127.0.0.2/x"},
        {"https://127.0.0.1/x", "https://127.0.0.1/x"},
        {"http://example.com/x", "http://example.com/x"},
        {"//10.0.0.1/x", "url_forbidden"},
        {"http://10.0.0.1/x", "url_forbidden"},
        {"http://8.8.8.8:22/x", "url_forbidden"},
        {"ftp://127.0.0.1/x", "url_forbidden"},
        {"file:///etc/passwd", "url_forbidden"},
        {"http://u@127.0.0.1/x", "url_forbidden"},
        {"http://a b/", "invalid_input"},
    };
    struct address_rules *rules = rules_of("127.0.0.0/8");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fetch_url url = {0};
        struct problem problem = {0};
        assert_int_equal(fetch_url_set(&url, "http://127.0.0.1:9000/a/b?q", rules, &problem), 0);
        assert_string_equal(url.host, "127.0.0.1");
        assert_int_equal(url.port, 9000);
        char *whole = NULL;
        if (fetch_url_set(&url, cases[i].location, rules, &problem) == 0)
            assert_int_equal(curl_url_get(url.parts, CURLUPART_URL, &whole, 0), CURLUE_OK);
        assert_string_equal(whole ? whole : problem.code, cases[i].result);
        curl_free(whole);
        fetch_url_finish(&url);
        problem_finish(&problem);
    }
    address_rules_destroy(&rules);
}

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *text, *name;
    } cases[] = {
        {"http://h/a/holiday.mov", "holiday.mov"},
        {"http://h/a/holiday.mov?x=y/z.mp4#f/g", "holiday.mov"},
        {"http://h/a%20b%2Fc.mp4", "c.mp4"},
        {"http://h/a%20b.mp4", "a b.mp4"},
        {"http://h/", ""},
        {"http://h", ""},
        {"http://h/a%00b", ""},
        {"http://h/a%0ab", ""},
        {"nonsense", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char name[32];
        assert_int_equal(fetch_url_name(cases[i].text, name, sizeof(name)), *cases[i].name != 0);
        assert_string_equal(name, cases[i].name);
    }
    char small[4];
    assert_false(fetch_url_name("http://h/abcd", small, sizeof(small)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_judged),   cmocka_unit_test(test_exceptions),
        cmocka_unit_test(test_too_long), cmocka_unit_test(test_redirects),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
