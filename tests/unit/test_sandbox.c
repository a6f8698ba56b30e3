/*
 * The sandbox: what is there, what a script can't do, how its failures are told.
 *
 * Attacks are files, tests/lua/attacks and, where it is there, the folder that LUMA_TEST_SECURITY
 * names. Each runs in a process of its own, since some must be ended from outside.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lua/bind.h"
#include "lua/json_lua.h"
#include "lua/sandbox.h"
#include "lua/script.h"

#define MEMORY  ((size_t)16 * 1024 * 1024)
#define SECONDS 0.25

struct chunk {
    const char *text;
    json_t *value;
};

static int run_chunk(lua_State *L)
{
    struct chunk *chunk = lua_touserdata(L, 1);
    struct error e = {0};

    if (luaL_loadbufferx(L, chunk->text, strlen(chunk->text), "@test.lua", "t") != LUA_OK) {
        return lua_error(L);
    }
    lua_call(L, 0, 1);
    chunk->value = json_from_lua(L, -1, "result", &json_lua_result_limits, &e);
    return chunk->value ? 0 : sandbox_raise(L, &e);
}

/* Runs a text in a new sandbox; the value, or NULL and the failure. */
static json_t *run_text(const struct sandbox_settings *settings, const char *text,
                        struct sandbox_failure *failure)
{
    struct sandbox *sandbox;
    struct chunk chunk = {text, NULL};
    struct error e;

    memset(failure, 0, sizeof *failure);
    if (sandbox_create(&sandbox, settings, &e) != 0) {
        failure->error = e;
        return NULL;
    }
    if (sandbox_run(sandbox, run_chunk, &chunk, failure) != 0) {
        json_decref(chunk.value);
        chunk.value = NULL;
    }
    sandbox_destroy(&sandbox);
    return chunk.value;
}

static json_t *evaluate(const char *text, struct sandbox_failure *failure)
{
    const struct sandbox_settings settings = {.memory = MEMORY, .seconds = 20};
    return run_text(&settings, text, failure);
}

/* ---- what works ---- */

static void test_values(void **state)
{
    (void)state;
    static const struct {
        const char *text, *value;
    } cases[] = {
        {"return 1 + 1", "2"},
        {"return ('%s-%5.1f'):format('a', 2)", "\"a-  2.0\""},
        {"return table.concat({1, 2, 3}, ',')", "\"1,2,3\""},
        {"return { a = { 1, 2 }, b = true }", "{\"a\": [1, 2], \"b\": true}"},
        {"local t = { 3, 1, 2 } table.sort(t) return t", "[1, 2, 3]"},
        {"return (('a,b'):gsub(',', ';'))", "\"a;b\""},
        {"local f = coroutine.wrap(function(a) local b = coroutine.yield(a + 1) return b end) "
         "return { f(1), f(5) }",
         "[2, 5]"},
        {"local n = 0 for _ in pairs(math) do n = n + 1 end return n > 10", "true"},
        {"return { math.type(1), utf8.len('\\u{e9}') }", "[\"integer\", 1]"},
        {"return select('#', table.unpack({1, 2, nil, 4}, 1, 4))", "4"},
        {"return { pcall(error, 'x', 0) }", "[false, \"x\"]"},
        {"return next({}) == nil and next(string) ~= nil", "true"},
        {"return (1/0 - 1/0)", "null"},
        {"return { '\\xff\\xfe', 'a\\0b' }", NULL},
        {"return tostring(setmetatable({}, { __tostring = function() return 'mine' end }))",
         "\"mine\""},
        {"return ('%s'):format(setmetatable({}, { __tostring = function() return 'm' end }))",
         "\"m\""},
        {"local t = setmetatable({}, { __index = function(_, k) return k end }) return t.x",
         "\"x\""},
        {"return nil", "null"},
        {"return undefined_name", "null"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sandbox_failure failure;
        json_t *value = evaluate(cases[i].text, &failure);
        char *shown = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_SORT_KEYS) : NULL;
        if (!shown) {
            fail_msg("%s: %s", cases[i].text, failure.error.message);
        }
        if (cases[i].value) {
            assert_string_equal(shown, cases[i].value);
        }
        free(shown);
        json_decref(value);
    }
}

static void test_random_is_the_same_in_every_run(void **state)
{
    (void)state;
    struct sandbox_failure failure;
    json_t *first = evaluate("return math.random(1 << 50)", &failure);
    json_t *second = evaluate("return math.random(1 << 50)", &failure);
    assert_true(json_is_integer(first));
    assert_true(json_equal(first, second));
    json_decref(first);
    json_decref(second);
}

/* ---- how failures are told ---- */

static void test_failure_has_place_and_traceback(void **state)
{
    (void)state;
    struct sandbox_failure failure;
    assert_null(evaluate("local function inner()\n  error('broken')\nend\n\ninner()", &failure));
    assert_int_equal(failure.error.code, ERROR_SCRIPT);
    assert_string_equal(failure.error.message, "broken");
    assert_string_equal(failure.script, "test.lua");
    assert_int_equal(failure.line, 2);
    assert_non_null(strstr(failure.traceback, "test.lua:5"));

    assert_null(evaluate("local x = \n\n)", &failure));
    assert_string_equal(failure.error.message, "unexpected symbol near ')'");
    assert_int_equal(failure.line, 3);

    assert_null(evaluate("\nlocal t\nreturn t.x", &failure));
    assert_string_equal(failure.error.message, "attempt to index a nil value (local 't')");
    assert_int_equal(failure.line, 3);

    assert_null(evaluate("error({ message = 'in a table' })", &failure));
    assert_string_equal(failure.error.message, "in a table");
    assert_int_equal(failure.line, 1);

    assert_null(evaluate("\27Lua", &failure));
    assert_int_equal(failure.error.code, ERROR_SCRIPT);
}

static int raise_structured(lua_State *L)
{
    struct error e;
    error_set(&e, ERROR_NO_SUCH_STREAM, "there is no audio");
    error_place(&e, "options.track", "3", "1 or 2");
    return lua_toboolean(L, 1) ? sandbox_raise_final(L, &e) : sandbox_raise(L, &e);
}

static int add_raise(lua_State *L)
{
    lua_pushcfunction(L, raise_structured);
    sandbox_set_global(L, "fail");
    return 0;
}

static void run_with_fail(const char *text, struct chunk *chunk, struct sandbox_failure *failure)
{
    const struct sandbox_settings settings = {.memory = MEMORY, .seconds = 20};
    struct sandbox *sandbox;
    assert_int_equal(sandbox_create(&sandbox, &settings, NULL), 0);
    assert_int_equal(sandbox_run(sandbox, add_raise, NULL, failure), 0);
    *chunk = (struct chunk){text, NULL};
    sandbox_run(sandbox, run_chunk, chunk, failure);
    sandbox_destroy(&sandbox);
}

static void test_bindings_raise_with_their_code(void **state)
{
    (void)state;
    struct sandbox_failure failure;
    struct chunk chunk;

    run_with_fail("\nfail(false)", &chunk, &failure);
    assert_int_equal(failure.error.code, ERROR_NO_SUCH_STREAM);
    assert_string_equal(failure.error.message, "there is no audio");
    assert_string_equal(failure.error.path, "options.track");
    assert_int_equal(failure.line, 2);

    run_with_fail("return { pcall(fail, false) }", &chunk, &failure);
    assert_int_equal(failure.error.code, 0);
    assert_string_equal(json_string_value(json_array_get(chunk.value, 1)), "there is no audio");
    json_decref(chunk.value);

    run_with_fail("pcall(fail, false) error('other')", &chunk, &failure);
    assert_int_equal(failure.error.code, ERROR_SCRIPT);
    assert_string_equal(failure.error.message, "other");

    run_with_fail("pcall(fail, true) return 1", &chunk, &failure);
    assert_int_equal(failure.error.code, ERROR_NO_SUCH_STREAM);
    json_decref(chunk.value);
}

/* ---- limits ---- */

static int lines;
static size_t bytes;

static void count_line(void *opaque, const char *text)
{
    (void)opaque;
    lines++;
    bytes += strlen(text);
}

static void test_print_has_a_quota(void **state)
{
    (void)state;
    const struct sandbox_settings settings = {.memory = MEMORY, .seconds = 20, .log = count_line};
    struct sandbox_failure failure;

    lines = 0, bytes = 0;
    json_t *value = run_text(&settings, "for i = 1, 100000 do print(i, {}, nil) end", &failure);
    assert_non_null(value);
    json_decref(value);
    assert_int_equal(lines, 1001);

    lines = 0, bytes = 0;
    value = run_text(&settings, "for i = 1, 100 do log(('x'):rep(5000)) end", &failure);
    assert_non_null(value);
    json_decref(value);
    assert_in_range(bytes, 60000, 68000);
}

static void test_any_small_memory_is_an_error(void **state)
{
    (void)state;
    int made = 0;
    for (size_t memory = 0; memory < (size_t)100 * 1024; memory += 1024) {
        const struct sandbox_settings settings = {.memory = memory, .seconds = 20};
        struct sandbox_failure failure;
        json_t *value = run_text(&settings,
                                 "local t = {} for i = 1, 300 do t[i] = ('%s %d'):format({}, i) end"
                                 " return #table.concat(t)",
                                 &failure);
        assert_true(value || failure.error.code == ERROR_OUT_OF_MEMORY);
        made += value != NULL;
        json_decref(value);
    }
    assert_true(made > 0 && made < 95);
}

static void test_cancel(void **state)
{
    (void)state;
    atomic_int cancel = 1;
    const struct sandbox_settings settings = {.memory = MEMORY, .seconds = 20, .cancel = &cancel};
    struct sandbox_failure failure;
    assert_null(run_text(&settings, "while true do end", &failure));
    assert_int_equal(failure.error.code, ERROR_CANCELLED);
}

static int work_without_lua(lua_State *L)
{
    struct timespec now, start;
    sandbox_pause(L);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
    do {
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    } while ((double)(now.tv_sec - start.tv_sec) + (double)(now.tv_nsec - start.tv_nsec) / 1e9 <
             SECONDS * 3);
    sandbox_resume(L);
    return 0;
}

static int call_engine(lua_State *L)
{
    lua_pushcfunction(L, work_without_lua);
    lua_call(L, 0, 0);
    if (luaL_loadstring(L, "for i = 1, 100000 do end") != LUA_OK) {
        return lua_error(L);
    }
    lua_call(L, 0, 0);
    return 0;
}

static void test_engine_time_is_not_counted(void **state)
{
    (void)state;
    const struct sandbox_settings settings = {.memory = MEMORY, .seconds = SECONDS};
    struct sandbox *sandbox;
    struct sandbox_failure failure;
    assert_int_equal(sandbox_create(&sandbox, &settings, NULL), 0);
    assert_int_equal(sandbox_run(sandbox, call_engine, NULL, &failure), 0);
    sandbox_destroy(&sandbox);
}

/* ---- the environment ---- */

struct listing {
    char *lines[400];
    int count;
};

/* Adds "prefix.name type" for each field of what is behind the read-only view on top. */
static void list_fields(lua_State *L, struct listing *listing, const char *prefix)
{
    assert_true(lua_getmetatable(L, -1));
    lua_getfield(L, -1, "__readonly");
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        char name[100];
        snprintf(name, sizeof name, "%s%s%s", prefix, *prefix ? "." : "", lua_tostring(L, -2));
        assert_in_range(listing->count, 0, 399);
        assert_true(
            asprintf(&listing->lines[listing->count++], "%s %s", name, luaL_typename(L, -1)) > 0);
        if (lua_istable(L, -1)) {
            list_fields(L, listing, name);
        }
    }
    lua_pop(L, 2);
}

static int list_environment(lua_State *L)
{
    struct listing *listing = lua_touserdata(L, 1);
    bind_open(L);
    script_open_require(L, "");
    lua_pushglobaltable(L);
    list_fields(L, listing, "");
    return 0;
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Whatever a script can name; a new function must be looked at and written down. */
static void test_environment_is_as_listed(void **state)
{
    (void)state;
    const struct sandbox_settings settings = {.memory = MEMORY, .seconds = 20};
    struct sandbox *sandbox;
    struct sandbox_failure failure;
    struct listing listing = {.count = 0};
    assert_int_equal(sandbox_create(&sandbox, &settings, NULL), 0);
    assert_int_equal(sandbox_run(sandbox, list_environment, &listing, &failure), 0);
    sandbox_destroy(&sandbox);
    qsort(listing.lines, (size_t)listing.count, sizeof *listing.lines, compare_lines);

    FILE *file = fopen(SOURCE_DIR "/tests/lua/environment.txt", "re");
    assert_non_null(file);
    for (int i = 0; i <= listing.count; i++) {
        char line[200] = "";
        bool there = fgets(line, sizeof line, file) != NULL;
        line[strcspn(line, "\n")] = '\0';
        if (there != (i < listing.count) || (there && strcmp(line, listing.lines[i]) != 0)) {
            fail_msg("environment.txt says '%s', there is '%s'", line,
                     i < listing.count ? listing.lines[i] : "nothing more");
        }
        if (i < listing.count) {
            free(listing.lines[i]);
        }
    }
    fclose(file);
}

/* ---- attacks ---- */

static int verdict_fd;

static void write_verdict(void *opaque, const char *limit)
{
    (void)opaque;
    dprintf(verdict_fd, "killed %s", limit);
}

/* In the child: runs the script and writes how it ended. */
static _Noreturn void run_attack(const char *text, double seconds, int fd)
{
    const struct sandbox_settings settings = {
        .memory = MEMORY, .seconds = seconds, .log = count_line, .killed = write_verdict};
    struct sandbox_failure failure;

    verdict_fd = fd;
    alarm(60);
    json_t *value = run_text(&settings, text, &failure);
    if (json_is_string(value)) {
        dprintf(fd, "value %s", json_string_value(value));
    } else if (value) {
        char *shown = json_dumps(value, JSON_ENCODE_ANY);
        dprintf(fd, "value %s", shown);
        free(shown);
    } else {
        dprintf(fd, "%s %s", error_name(failure.error.code), failure.error.message);
    }
    json_decref(value);
    _exit(0);
}

/* Returns the exit status; what the child wrote is in verdict. */
static int attack(const char *text, double seconds, char *verdict, size_t size)
{
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        run_attack(text, seconds, ends[1]);
    }
    close(ends[1]);
    size_t used = 0;
    ssize_t count;
    while (used < size - 1 && (count = read(ends[0], verdict + used, size - 1 - used)) > 0) {
        used += (size_t)count;
    }
    verdict[used] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

static char *read_text(const char *folder, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "re");
    char *text = calloc(1, 65536);
    assert_non_null(file);
    assert_non_null(text);
    assert_true(fread(text, 1, 65535, file) > 0);
    fclose(file);
    return text;
}

static int is_script(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return length > 4 && strcmp(entry->d_name + length - 4, ".lua") == 0;
}

/* "-- expect: script_error some words": the first word begins the verdict, the rest is in it.
 * "stopped" is what runs out of time: by an error, or from outside. */
static void compare_verdict(const char *name, const char *text, const char *verdict, int status)
{
    char kind[32], words[200];
    assert_int_equal(sscanf(text, "-- expect: %31s", kind), 1);
    const char *rest = text + strlen("-- expect: ") + strlen(kind);
    rest += *rest == ' ';
    snprintf(words, sizeof words, "%.*s", (int)strcspn(rest, "\n"), rest);
    if (strcmp(kind, "stopped") == 0) {
        snprintf(kind, sizeof kind, "%s", status == SANDBOX_EXIT ? "killed" : "limit_exceeded");
    }
    bool killed = strcmp(kind, "killed") == 0;
    if (status != (killed ? SANDBOX_EXIT : 0) || strncmp(verdict, kind, strlen(kind)) != 0 ||
        !strstr(verdict, words)) {
        fail_msg("%s: status %d, \"%s\"; expected %s %s", name, status, verdict, kind, words);
    }
}

static void test_attacks(void **state)
{
    (void)state;
    const char *folder = SOURCE_DIR "/tests/lua/attacks";
    struct dirent **entries;
    int count = scandir(folder, &entries, is_script, alphasort);
    assert_true(count > 40);
    for (int i = 0; i < count; i++) {
        char verdict[2000];
        char *text = read_text(folder, entries[i]->d_name);
        /* those that are to be stopped by something else get the time to come so far */
        bool timed = strstr(text, "expect: stopped") || strstr(text, "expect: killed");
        int status = attack(text, timed ? SECONDS : 20, verdict, sizeof verdict);
        compare_verdict(entries[i]->d_name, text, verdict, status);
        free(text);
        free(entries[i]);
    }
    free(entries);
}

/* Their first line says in prose what must happen. A value is right only where it may be one. */
static void test_shared_attacks(void **state)
{
    (void)state;
    const char *root = getenv("LUMA_TEST_SECURITY");
    char folder[4096];
    snprintf(folder, sizeof folder, "%s/lua_attacks",
             root ? root : SOURCE_DIR "/../shared/security");
    struct dirent **entries;
    int count = scandir(folder, &entries, is_script, alphasort);
    if (count <= 0) {
        print_message("skipped: no attack scripts (set LUMA_TEST_SECURITY)\n");
        skip();
    }
    for (int i = 0; i < count; i++) {
        char verdict[2000];
        char *text = read_text(folder, entries[i]->d_name);
        int status = attack(text, SECONDS, verdict, sizeof verdict);
        char must[512];
        snprintf(must, sizeof must, "%.*s", (int)strcspn(text, "\n"), text);
        bool may_return =
            strstr(must, "stay inside") || strstr(must, "not exceed") || strstr(must, "not reveal");
        bool value = strncmp(verdict, "value ", 6) == 0;
        bool bad_value =
            value && (!may_return || strstr(verdict, "ESCAPED") || strstr(verdict, "LEAKS"));
        if ((status != 0 && status != SANDBOX_EXIT) || bad_value || !*verdict) {
            fail_msg("%s: status %d, \"%s\"; %s", entries[i]->d_name, status, verdict, must);
        }
        if (getenv("LUMA_TEST_VERBOSE")) {
            print_message("%s: %s\n", entries[i]->d_name, verdict);
        }
        free(text);
        free(entries[i]);
    }
    free(entries);
}

/* ---- a state that lives on ---- */

static int raise_inside(lua_State *L)
{
    struct error e;
    (void)lua_touserdata(L, 1);
    error_set(&e, ERROR_NO_SUCH_STREAM, "nothing there");
    return sandbox_raise(L, &e);
}

static int call_inside(lua_State *L)
{
    struct sandbox_failure inner;
    int number = *(int *)lua_touserdata(L, 1);

    lua_pushinteger(L, number);
    assert_int_equal(sandbox_call(L, raise_inside, NULL, &inner), ERROR_NO_SUCH_STREAM);
    assert_string_equal(inner.error.message, "nothing there");
    assert_int_equal(lua_gettop(L), 2);
    assert_int_equal(lua_tointeger(L, 2), number);
    return luaL_error(L, "the outer one");
}

static void test_a_call_inside_a_run_fails_alone(void **state)
{
    (void)state;
    const struct sandbox_settings settings = {.memory = MEMORY, .seconds = SECONDS};
    struct sandbox *sandbox;
    struct sandbox_failure failure;
    struct error e;
    int number = 42;

    assert_int_equal(sandbox_create(&sandbox, &settings, &e), 0);
    assert_int_equal(sandbox_run(sandbox, call_inside, &number, &failure), ERROR_SCRIPT);
    assert_string_equal(failure.error.message, "the outer one");
    sandbox_destroy(&sandbox);
}

static void test_a_renewed_state_runs_again(void **state)
{
    (void)state;
    atomic_int cancel = 1;
    const struct sandbox_settings settings = {.memory = MEMORY, .seconds = 1000, .cancel = &cancel};
    struct sandbox *sandbox;
    struct sandbox_failure failure;
    struct chunk chunk = {"while true do end", NULL};
    struct error e;

    assert_int_equal(sandbox_create(&sandbox, &settings, &e), 0);
    assert_int_equal(sandbox_run(sandbox, run_chunk, &chunk, &failure), ERROR_CANCELLED);
    atomic_store(&cancel, 0);
    chunk.text = "return 6 * 7";
    assert_int_equal(sandbox_run(sandbox, run_chunk, &chunk, &failure), ERROR_CANCELLED);
    json_decref(chunk.value);
    sandbox_renew(sandbox);
    assert_int_equal(sandbox_run(sandbox, run_chunk, &chunk, &failure), 0);
    assert_int_equal(json_integer_value(chunk.value), 42);
    json_decref(chunk.value);
    sandbox_destroy(&sandbox);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_call_inside_a_run_fails_alone),
        cmocka_unit_test(test_a_renewed_state_runs_again),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_random_is_the_same_in_every_run),
        cmocka_unit_test(test_failure_has_place_and_traceback),
        cmocka_unit_test(test_bindings_raise_with_their_code),
        cmocka_unit_test(test_print_has_a_quota),
        cmocka_unit_test(test_any_small_memory_is_an_error),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_engine_time_is_not_counted),
        cmocka_unit_test(test_environment_is_as_listed),
        cmocka_unit_test(test_attacks),
        cmocka_unit_test(test_shared_attacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
