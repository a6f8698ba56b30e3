/*
 * Bounds on the table library: a length can lie (__len), and then one C call works for years.
 */
#include "lua/sandbox_internal.h"

#define MAX_ELEMENTS 1000000
#define MAX_SORTED   100000
#define MAX_UNPACKED 10000

/* Raises unless from..to are few enough. */
static void check_range(lua_State *L, lua_Integer from, lua_Integer to, lua_Unsigned max)
{
    if (to >= from && (lua_Unsigned)to - (lua_Unsigned)from >= max) {
        luaL_error(L, "too many elements: at most %d", (int)max);
    }
}

static void check_length(lua_State *L, lua_Unsigned max)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    check_range(L, 1, luaL_len(L, 1), max);
}

static int guarded_length(lua_State *L) /* insert, remove */
{
    check_length(L, MAX_ELEMENTS);
    return sandbox_call_original(L);
}

static int guarded_sort(lua_State *L)
{
    check_length(L, MAX_SORTED);
    return sandbox_call_original(L);
}

/* Fills in the range at index and the one after, so that the length is asked for once. */
static void fix_range(lua_State *L, int index, lua_Unsigned max)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_Integer from = luaL_optinteger(L, index, 1);
    lua_Integer to = luaL_opt(L, luaL_checkinteger, index + 1, luaL_len(L, 1));
    check_range(L, from, to, max);
    lua_settop(L, index - 1);
    lua_pushinteger(L, from);
    lua_pushinteger(L, to);
}

static int guarded_concat(lua_State *L)
{
    fix_range(L, 3, MAX_ELEMENTS);
    return sandbox_call_original(L);
}

static int guarded_unpack(lua_State *L)
{
    fix_range(L, 2, MAX_UNPACKED);
    return sandbox_call_original(L);
}

static int guarded_move(lua_State *L)
{
    check_range(L, luaL_checkinteger(L, 2), luaL_checkinteger(L, 3), MAX_ELEMENTS);
    return sandbox_call_original(L);
}

void sandbox_guard_table(lua_State *L)
{
    sandbox_wrap(L, "insert", guarded_length);
    sandbox_wrap(L, "remove", guarded_length);
    sandbox_wrap(L, "sort", guarded_sort);
    sandbox_wrap(L, "concat", guarded_concat);
    sandbox_wrap(L, "unpack", guarded_unpack);
    sandbox_wrap(L, "move", guarded_move);
}
