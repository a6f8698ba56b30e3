/*
 * Bounds on the string library. One C call is one step to the hook, so what a call can cost is
 * bounded by its arguments' sizes; what a pattern can cost is not, and is left to the watcher of
 * sandbox_clock.c.
 */
#include <string.h>

#include "lua/sandbox_internal.h"

#define MAX_RESULT  (32 * 1024 * 1024) /* bytes that rep makes */
#define MAX_SUBJECT (1024 * 1024)      /* bytes that a pattern is tried on */
#define MAX_PATTERN 1024
#define MAX_FORMAT  (64 * 1024)

static int guarded_rep(lua_State *L)
{
    size_t length, separator = 0;
    luaL_checklstring(L, 1, &length);
    lua_Integer count = luaL_checkinteger(L, 2);
    if (!lua_isnoneornil(L, 3)) {
        luaL_checklstring(L, 3, &separator);
    }

    if (count <= 0 || length + separator == 0) {
        lua_pushliteral(L, ""); /* of nothing, Lua's own makes as many as it is told, one by one */
        return 1;
    }
    if (length > MAX_RESULT || separator > MAX_RESULT ||
        (lua_Unsigned)count > MAX_RESULT / (length + separator)) {
        return luaL_error(L, "resulting string too large");
    }
    return sandbox_call_original(L);
}

/* find, match, gmatch, gsub */
static int guarded_pattern(lua_State *L)
{
    size_t subject, pattern;
    luaL_checklstring(L, 1, &subject);
    luaL_checklstring(L, 2, &pattern);
    if (subject > MAX_SUBJECT) {
        return luaL_error(L, "text too long for a pattern: at most %d bytes", MAX_SUBJECT);
    }
    if (pattern > MAX_PATTERN) {
        return luaL_error(L, "pattern too long: at most %d bytes", MAX_PATTERN);
    }
    return sandbox_call_original(L);
}

/* %s shows no address, and %p, which shows nothing else, is refused. */
static int guarded_format(lua_State *L)
{
    size_t length;
    const char *format = luaL_checklstring(L, 1, &length);
    int argument = 1;

    if (length > MAX_FORMAT) {
        return luaL_error(L, "format too long: at most %d bytes", MAX_FORMAT);
    }
    for (const char *at = format; (at = memchr(at, '%', length - (size_t)(at - format))); at++) {
        at++;
        if (*at == '%') {
            continue;
        }
        at += strspn(at, "-+ #0123456789.");
        argument++;
        if (*at == 'p') {
            return luaL_error(L, "invalid conversion '%%p' to 'format'");
        }
        if (*at == '\0') {
            break; /* Lua's own tells */
        }
        if (*at != 's' || argument > lua_gettop(L) || lua_isstring(L, argument)) {
            continue;
        }
        if (lua_type(L, argument) != LUA_TTABLE || !luaL_callmeta(L, argument, "__tostring")) {
            sandbox_tostring(L, argument, NULL);
        }
        if (!lua_isstring(L, -1)) {
            return luaL_error(L, "'__tostring' must return a string");
        }
        lua_replace(L, argument);
    }
    return sandbox_call_original(L);
}

void sandbox_guard_string(lua_State *L)
{
    sandbox_wrap(L, "rep", guarded_rep);
    sandbox_wrap(L, "find", guarded_pattern);
    sandbox_wrap(L, "match", guarded_pattern);
    sandbox_wrap(L, "gmatch", guarded_pattern);
    sandbox_wrap(L, "gsub", guarded_pattern);
    sandbox_wrap(L, "format", guarded_format);
}
