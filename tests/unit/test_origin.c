/*
 * Who may connect: hosts, origins, tokens; and identifiers and the table, which are small.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/caller.h"
#include "server/identifier.h"
#include "server/origin.h"
#include "server/table.h"

static void test_hosts(void **state)
{
    (void)state;
    static const struct {
        char *bound, *allowed;
        bool tokens;
        const char *host;
        bool expected;
    } cases[] = {
        {"127.0.0.1", "", false, "127.0.0.1:8080", true},
        {"127.0.0.1", "", false, "127.0.0.1", true},
        {"127.0.0.1", "", false, "127.0.0.2:1", true},
        {"127.0.0.1", "", false, "localhost:8080", true},
        {"127.0.0.1", "", false, "LOCALHOST", true},
        {"127.0.0.1", "", false, "[::1]:8080", true},
        {"127.0.0.1", "", false, "evil.example:8080", false},
        {"127.0.0.1", "", false, "127.0.0.1.evil.example", false},
        {"127.0.0.1", "", false, "127.evil.example", false},
        {"127.0.0.1", "", false, "localhost.evil.example", false},
        {"127.0.0.1", "", false, "[::1", false},
        {"127.0.0.1", "", false, "localhost:80:80", false},
        {"127.0.0.1", "", false, "localhost:http", false},
        {"127.0.0.1", "", false, ":80", false},
        {"10.1.2.3", "", false, "10.1.2.3:80", true},
        {"10.1.2.3", "", false, "10.1.2.4:80", false},
        {"127.0.0.1", "", true, "anything.example", true},
        {"127.0.0.1", "a.example, b.example", true, "b.example:443", true},
        {"127.0.0.1", "a.example, b.example", true, "c.example", false},
        {"127.0.0.1", "a.example", false, "localhost", false},
        {"127.0.0.1", "*", false, "c.example", true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct config config = {.host = cases[i].bound, .allowed_hosts = cases[i].allowed};
        if (origin_host_allowed(&config, cases[i].tokens, cases[i].host) != cases[i].expected)
            fail_msg("host %s", cases[i].host);
    }
}

static void test_origins(void **state)
{
    (void)state;
    static const struct {
        const char *origin, *host;
        bool expected;
    } cases[] = {
        {NULL, "a:80", true},
        {"", "a:80", true},
        {"http://a:80", "a:80", true},
        {"https://A:80", "a:80", true},
        {"http://a", "a", true},
        {"http://a", "a:80", false},
        {"http://b:80", "a:80", false},
        {"null", "null", false},
        {"ftp://a:80", "a:80", false},
        {"a:80", "a:80", false},
        {"https://app.example", "a:80", true},
        {"https://app.example.evil", "a:80", false},
        {"https://app.exampl", "a:80", false},
    };
    const struct config config = {.allowed_origins = "https://other.example, https://app.example"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (origin_allowed(&config, cases[i].origin, cases[i].host) != cases[i].expected)
            fail_msg("origin %s", cases[i].origin);
    }
}

static void test_tokens(void **state)
{
    (void)state;
    struct callers callers;
    struct config_error error;
    const struct config config = {.tokens = "ann:one, bob:two:three ,", .tokens_file = ""};
    assert_int_equal(callers_init(&callers, &config, &error), 0);
    assert_true(callers_required(&callers));
    assert_string_equal(callers_find(&callers, "one"), "ann");
    assert_string_equal(callers_find(&callers, "two:three"), "bob");
    assert_null(callers_find(&callers, "two"));
    assert_null(callers_find(&callers, ""));
    assert_null(callers_find(&callers, "ann:one"));
    callers_finish(&callers);

    static char *const wrong[] = {"justatoken", ":x", "name:", "a:1,a:2"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        const struct config bad = {.tokens = wrong[i], .tokens_file = ""};
        assert_int_equal(callers_init(&callers, &bad, &error), -1);
        assert_non_null(strstr(error.message, "LUMA_TOKENS"));
        callers_finish(&callers);
    }
    const struct config none = {.tokens = "", .tokens_file = ""};
    assert_int_equal(callers_init(&callers, &none, &error), 0);
    assert_false(callers_required(&callers));
    callers_finish(&callers);
}

static void test_identifiers(void **state)
{
    (void)state;
    char first[IDENTIFIER_SIZE], second[IDENTIFIER_SIZE];
    identifier_make(first);
    identifier_make(second);
    assert_true(identifier_valid(first));
    assert_string_not_equal(first, second);
    assert_false(identifier_valid(""));
    assert_false(identifier_valid("0123456789abcdef0123456789abcde"));
    assert_false(identifier_valid("0123456789abcdef0123456789abcdef0"));
    assert_false(identifier_valid("0123456789ABCDEF0123456789abcdef"));
    assert_false(identifier_valid("../3456789abcdef0123456789abcdef"));
}

static void test_table(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    static char keys[COUNT][IDENTIFIER_SIZE];
    struct table table;
    table_init(&table);
    assert_null(table_get(&table, "nothing"));
    assert_null(table_remove(&table, "nothing"));
    for (int i = 0; i < COUNT; i++) {
        identifier_make(keys[i]);
        assert_true(table_put(&table, keys[i], keys[i]));
    }
    assert_int_equal(table.count, COUNT);
    for (int i = 0; i < COUNT; i += 2)
        assert_ptr_equal(table_remove(&table, keys[i]), keys[i]);
    for (int i = 0; i < COUNT; i++)
        assert_ptr_equal(table_get(&table, keys[i]), i % 2 ? keys[i] : NULL);
    table_finish(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts),  cmocka_unit_test(test_origins),
        cmocka_unit_test(test_tokens), cmocka_unit_test(test_identifiers),
        cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests_name("origin", tests, NULL, NULL);
}
