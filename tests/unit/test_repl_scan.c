/*
 * Where completion thinks the cursor is, for begun statements of every kind. The cursor is at the
 * end of the text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lua/repl_scan.h"

/* The scan as one line: what is typed and what it may be. */
static void describe(const char *text, char *line, size_t size)
{
    struct repl_scan scan;
    repl_scan(text, &scan);
    if (scan.nothing) {
        snprintf(line, size, "nothing");
        return;
    }
    snprintf(line, size, "%s'%s'", scan.quoted ? "quoted " : "", scan.typed);
    for (int i = 0; i < scan.step_count; i++) {
        char step[REPL_NAME_MAX + 16];
        snprintf(step, sizeof step, "%s%s", i ? "," : " of ", scan.steps[i].name);
        if (!*scan.steps[i].name) {
            snprintf(step, sizeof step, "%s[%ld]", i ? "," : " of ", scan.steps[i].index);
        }
        snprintf(line + strlen(line), size - strlen(line), "%s", step);
    }
    const struct {
        const char *label, *value;
    } parts[] = {{"made by", scan.maker},   {"field", scan.field}, {"in", scan.callee},
                 {"first", scan.operation}, {"codec", scan.codec}, {"a key", scan.key ? "!" : ""}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (*parts[i].value) {
            snprintf(line + strlen(line), size - strlen(line), " %s %s", parts[i].label,
                     parts[i].value);
        }
    }
}

static void test_places(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"", "''"},
        {"sou", "'sou'"},
        {"x = sou", "'sou'"},
        {"a..sou", "'sou'"},
        {"12", "nothing"},
        {"-- sou", "nothing"},
        {"-- a\nsou", "'sou'"},
        {"--[[ a\n sou", "nothing"},
        {"--[==[ a ]] ]==] sou", "'sou'"},
        {"[[ sou", "nothing"},
        {"x = [=[ ]] ]=] .. sou", "'sou'"},
        {"source.vi", "'vi' of source"},
        {"source.", "'' of source"},
        {"f(source.streams[12].vi", "'vi' of source,streams,[12]"},
        {"source.video:sc", "'sc' of source,video"},
        {"source:to(2).vi", "'vi' made by to"},
        {"a:scale{ w=1 }:hu", "'hu' made by scale"},
        {"(a):hu", "'hu'"},
        {"a[b].c", "'c'"},
        {"a:scale{ w", "'w' in scale a key !"},
        {"a:scale{ w = 1, h", "'h' in scale a key !"},
        {"a:scale{ w = h", "'h' in scale"},
        {"a:scale({ w", "'w' in scale a key !"},
        {"a:overlay(b, {\n x", "'x' in overlay a key !"},
        {"a:scale(1, b", "'b' in scale"},
        {"a:encode{ codec = \"h264\", pr", "'pr' in encode codec h264 a key !"},
        {"a:encode{ codec=\"h2", "quoted 'h2' field codec in encode codec h2"},
        {"run(\"comp", "quoted 'comp' in run first comp"},
        {"run \"comp", "quoted 'comp' in run"},
        {"run('compress', s, { pr", "'pr' in run first compress a key !"},
        {"run('compress', s, { preset='h", "quoted 'h' field preset in run first compress"},
        {"av.open(\"a b/c", "quoted 'a b/c' in open first a b/c"},
        {"\"a\\\"b", "quoted 'a\\\"b'"},
        {"'it' .. sou", "'sou'"},
        {"{ a, { b = 1, c", "'c' a key !"},
        {"f(function() return { x", "'x' in return a key !"},
        {")]} sou", "'sou'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char line[1024];
        describe(cases[i].text, line, sizeof line);
        if (strcmp(line, cases[i].expected) != 0) {
            fail_msg("%s\n  is %s\n  not %s", cases[i].text, line, cases[i].expected);
        }
    }
}

/* Names and nesting beyond any bound, and every cut of a text: nothing is read that isn't there. */
static void test_extremes(void **state)
{
    (void)state;
    static const char pieces[] = "({[\"'=-.:,]})\\ a1\n";
    struct repl_scan scan;
    uint32_t random = 1;
    for (int round = 0; round < 20000; round++) {
        char text[64];
        size_t length = (size_t)round % (sizeof text - 1);
        for (size_t i = 0; i < length; i++) {
            random = random * 1664525 + 1013904223;
            text[i] = pieces[(random >> 16) % (sizeof pieces - 1)];
        }
        text[length] = '\0';
        char *exact = strdup(text); /* of its exact size, for AddressSanitizer */
        assert_non_null(exact);
        repl_scan(exact, &scan);
        assert_true(scan.typed >= exact && scan.typed <= exact + length);
        free(exact);
    }
    char *longest = malloc(100001);
    assert_non_null(longest);
    static const char *const repeated[] = {"a", "a.", "(", "{ codec=\"", "a[1]", "[", "-"};
    for (size_t i = 0; i < sizeof repeated / sizeof *repeated; i++) {
        size_t size = strlen(repeated[i]);
        for (size_t at = 0; at < 100000; at++) {
            longest[at] = repeated[i][at % size];
        }
        longest[100000] = '\0';
        repl_scan(longest, &scan);
    }
    free(longest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
