/*
 * JSON and Lua values, both ways.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>

#include "lua/json_lua.h"

static int setup(void **state)
{
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    *state = L;
    return L ? 0 : -1;
}

static int teardown(void **state)
{
    lua_close(*state);
    return 0;
}

/* The value of a Lua expression as JSON text; NULL with the reason in e. malloc'ed. */
static char *convert(lua_State *L, const char *expression, const struct json_lua_limits *limits,
                     struct error *e)
{
    char chunk[512];
    snprintf(chunk, sizeof chunk, "return %s", expression);
    assert_int_equal(luaL_dostring(L, chunk), LUA_OK);
    int top = lua_gettop(L);
    json_t *value = json_from_lua(L, -1, "result", limits, e);
    assert_int_equal(lua_gettop(L), top);
    lua_settop(L, 0);
    char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    json_decref(value);
    return text;
}

static void test_from_lua(void **state)
{
    static const struct {
        const char *lua, *json;
    } cases[] = {
        {"nil", "null"},
        {"true", "true"},
        {"12", "12"},
        {"0.5", "0.5"},
        {"0/0", "null"},
        {"math.huge", "null"},
        {"'a\\nb'", "\"a\\nb\""},
        {"'a\\0b'", "\"a\\u0000b\""},
        {"'\\xff\\u{e9}'", "\"\uFFFD\u00e9\""},
        {"'\\xed\\xa0\\x80'", "\"\uFFFD\uFFFD\uFFFD\""},
        {"{}", "{}"},
        {"{1, {2}, 'x'}", "[1,[2],\"x\"]"},
        {"{b = 1, a = {c = false}}", "{\"a\":{\"c\":false},\"b\":1}"},
        {"setmetatable({1}, {__index = error, __len = error, __pairs = error})", "[1]"},
        {"setmetatable({}, {__readonly = {a = 1}})", "{\"a\":1}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error e;
        char *text = convert(*state, cases[i].lua, &json_lua_result_limits, &e);
        if (!text) {
            fail_msg("%s: %s", cases[i].lua, e.message);
        }
        assert_string_equal(text, cases[i].json);
        free(text);
    }
}

static void test_refused(void **state)
{
    static const struct json_lua_limits limits = {4, 20, 100, false};
    static const struct {
        const char *lua, *message;
    } cases[] = {
        {"print", "result: a function can't be JSON"},
        {"{a = {print}}", "result.a[1]: a function can't be JSON"},
        {"io.stdout", "result: a userdata can't be JSON"},
        {"{1, 2, x = 3}", "result: a table with both names and other keys"},
        {"{[1] = 1, [3] = 3}", "result: a table with both names and other keys"},
        {"{[1.5] = 1}", "result: a table with both names and other keys"},
        {"{{{{{}}}}}", "result[1][1][1][1]: nested too deep"},
        {"(function() local t = {} t.t = t return t end)()", "result.t.t.t.t: nested too deep"},
        {"table.pack(('x'):rep(30):byte(1, -1))", NULL},
        {"('x'):rep(101)", "result: too much text"},
        {"{[('x'):rep(101)] = 1}", "result: too much text"},
        {"{('x'):rep(60), ('x'):rep(60)}", "result[2]: too much text"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error e = {0};
        char *text = convert(*state, cases[i].lua, &limits, &e);
        if (text) {
            fail_msg("%s became %s", cases[i].lua, text);
        }
        assert_int_equal(e.code, ERROR_SCRIPT);
        if (cases[i].message) {
            assert_string_equal(e.message, cases[i].message);
        }
    }
}

static void test_mixed(void **state)
{
    static const struct json_lua_limits limits = {4, 20, 100, true};
    struct error e;
    char *text = convert(*state, "{'crf', type = 'number'}", &limits, &e);
    assert_string_equal(text, "{\"1\":\"crf\",\"type\":\"number\"}");
    free(text);
}

static void test_round_trip(void **state)
{
    static const char *const texts[] = {
        "{\"a\":[],\"b\":{},\"c\":[{\"d\":null}],\"e\":\"\u00e9\",\"f\":0.25,\"g\":true}",
        "[[],[[]]]",
        "null",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        lua_State *L = *state;
        json_t *value = json_loads(texts[i], JSON_DECODE_ANY, NULL);
        assert_non_null(value);
        json_push_lua(L, value);
        json_decref(value);
        value = json_from_lua(L, -1, "result", &json_lua_result_limits, NULL);
        lua_settop(L, 0);
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        assert_string_equal(text, texts[i]);
        free(text);
        json_decref(value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_from_lua, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mixed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
