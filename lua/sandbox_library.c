/*
 * What a script finds: an allow list of Lua's own functions, some of them behind a guard.
 *
 * Not there, each for its reason:
 *   load, loadfile, dofile, string.dump    code from data; bytecode breaks memory safety
 *   package, io, os                        the system
 *   debug                                  undoes the hook, reaches private metatables
 *   collectgarbage                         5.4's generational mode has had memory bugs
 *   rawget, rawset, rawequal, rawlen       get round read-only views
 *   warn                                   writes to stderr
 *   coroutine.close                        nested, it crashes 5.4.4
 * coroutine.wrap is ours: Lua's own closes a failed coroutine, which crashes as close does.
 */
#include <lualib.h>
#include <string.h>

#include "lua/sandbox_internal.h"

static const char *const base_names[] = {
    "_VERSION", "assert", "error",        "getmetatable", "ipairs",   "next", "pairs",  "pcall",
    "print",    "select", "setmetatable", "tonumber",     "tostring", "type", "xpcall", NULL,
};

static const char *const coroutine_names[] = {
    "create", "isyieldable", "resume", "running", "status", "wrap", "yield", NULL,
};

static const char *const string_names[] = {
    "byte", "char",     "find", "format",  "gmatch", "gsub",   "len",   "lower", "match",
    "pack", "packsize", "rep",  "reverse", "sub",    "unpack", "upper", NULL,
};

static const char *const table_names[] = {
    "concat", "insert", "move", "pack", "remove", "sort", "unpack", NULL,
};

static const char *const math_names[] = {
    "abs", "acos",       "asin", "atan",      "ceil", "cos",    "deg",
    "exp", "floor",      "fmod", "huge",      "log",  "max",    "maxinteger",
    "min", "mininteger", "modf", "pi",        "rad",  "random", "randomseed",
    "sin", "sqrt",       "tan",  "tointeger", "type", "ult",    NULL,
};

static const char *const utf8_names[] = {
    "char", "charpattern", "codepoint", "codes", "len", "offset", NULL,
};

static const char environment_key = 0; /* its address: the table behind the globals */

/* ---- texts ---- */

const char *sandbox_tostring(lua_State *L, int index, size_t *length)
{
    index = lua_absindex(L, index);
    switch (lua_type(L, index)) {
    case LUA_TNUMBER:
    case LUA_TSTRING:
    case LUA_TBOOLEAN:
    case LUA_TNIL:
        /* these have no metamethods that a script can set */
        return luaL_tolstring(L, index, length);
    case LUA_TUSERDATA:
        if (luaL_callmeta(L, index, "__tostring")) { /* ours */
            return lua_tolstring(L, -1, length);
        }
        break;
    default:
        break;
    }
    lua_pushstring(L, luaL_typename(L, index));
    return lua_tolstring(L, -1, length);
}

/* tostring() as scripts know it, with their own __tostring. */
static const char *push_text(lua_State *L, int index, size_t *length)
{
    if (lua_type(L, index) == LUA_TTABLE && luaL_callmeta(L, index, "__tostring")) {
        if (!lua_isstring(L, -1)) {
            luaL_error(L, "'__tostring' must return a string");
        }
        return lua_tolstring(L, -1, length);
    }
    return sandbox_tostring(L, index, length);
}

static int base_tostring(lua_State *L)
{
    luaL_checkany(L, 1);
    push_text(L, 1, NULL);
    return 1;
}

static int base_print(lua_State *L)
{
    int count = lua_gettop(L);
    luaL_Buffer buffer;

    luaL_checkstack(L, LUA_MINSTACK, "too many values to print");
    luaL_buffinit(L, &buffer);
    for (int i = 1; i <= count && luaL_bufflen(&buffer) <= SANDBOX_LOG_LINE; i++) {
        if (i > 1) {
            luaL_addchar(&buffer, '\t');
        }
        push_text(L, i, NULL);
        luaL_addvalue(&buffer);
    }
    luaL_pushresult(&buffer);
    size_t length;
    const char *text = lua_tolstring(L, -1, &length);
    sandbox_log(L, text, length);
    return 0;
}

/* ---- metatables and read-only views ---- */

static int base_getmetatable(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    if (!lua_getmetatable(L, 1)) {
        lua_pushnil(L);
    } else {
        luaL_getmetafield(L, 1, "__metatable"); /* that, or the metatable itself */
    }
    return 1;
}

static int base_setmetatable(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    if (lua_istable(L, 2)) {
        lua_pushliteral(L, "__gc");
        if (lua_rawget(L, 2) != LUA_TNIL) {
            return luaL_error(L, "a metatable can't have '__gc' here");
        }
        lua_pop(L, 1);
    }
    return sandbox_call_original(L);
}

/* If the value at the index is a read-only view, replaces it by what is behind. */
static void look_behind(lua_State *L, int index)
{
    if (!lua_getmetatable(L, index)) {
        return;
    }
    lua_pushliteral(L, "__readonly");
    if (lua_rawget(L, -2) == LUA_TTABLE) {
        lua_replace(L, index);
        lua_pop(L, 1);
    } else {
        lua_pop(L, 2);
    }
}

static int base_next(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 2);
    look_behind(L, 1);
    if (lua_next(L, 1)) {
        return 2;
    }
    lua_pushnil(L);
    return 1;
}

static int readonly_assign(lua_State *L)
{
    const char *what = lua_tostring(L, lua_upvalueindex(1));
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
    if (*what == '\0') {
        return luaL_error(L, "globals are read-only: put 'local' in front of '%s'", key);
    }
    return luaL_error(L, "%s is read-only: '%s' can't be set", what, key);
}

static int readonly_length(lua_State *L)
{
    lua_pushinteger(L, luaL_len(L, lua_upvalueindex(1)));
    return 1;
}

static int readonly_step(lua_State *L)
{
    lua_settop(L, 2);
    if (lua_next(L, lua_upvalueindex(1))) {
        return 2;
    }
    lua_pushnil(L);
    return 1;
}

static int readonly_pairs(lua_State *L)
{
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushcclosure(L, readonly_step, 1);
    return 1;
}

void sandbox_make_readonly(lua_State *L, const char *what)
{
    int table = lua_gettop(L);

    luaL_checkstack(L, 6, NULL);
    lua_newtable(L);
    lua_createtable(L, 0, 6);
    lua_pushvalue(L, table);
    lua_setfield(L, -2, "__index");
    lua_pushvalue(L, table);
    lua_setfield(L, -2, "__readonly");
    lua_pushstring(L, what);
    lua_pushcclosure(L, readonly_assign, 1);
    lua_setfield(L, -2, "__newindex");
    lua_pushvalue(L, table);
    lua_pushcclosure(L, readonly_length, 1);
    lua_setfield(L, -2, "__len");
    lua_pushvalue(L, table);
    lua_pushcclosure(L, readonly_pairs, 1);
    lua_setfield(L, -2, "__pairs");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_replace(L, table);
}

/* ---- coroutines ---- */

static int resume_wrapped(lua_State *L)
{
    lua_State *co = lua_tothread(L, lua_upvalueindex(1));
    int arguments = lua_gettop(L);
    int results;

    if (!lua_checkstack(co, arguments + 1)) {
        return luaL_error(L, "too many arguments to resume");
    }
    lua_xmove(L, co, arguments);
    int status = lua_resume(co, L, arguments, &results);
    if (status != LUA_OK && status != LUA_YIELD) {
        lua_xmove(co, L, 1);
        return lua_error(L);
    }
    if (!lua_checkstack(L, results + 1)) {
        lua_pop(co, results);
        return luaL_error(L, "too many results to resume");
    }
    lua_xmove(co, L, results);
    return results;
}

static int coroutine_wrap(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *co = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    lua_pushcclosure(L, resume_wrapped, 1);
    return 1;
}

/* ---- math ---- */

/* Without a seed, Lua's own takes one from an address and tells it. */
static int math_randomseed(lua_State *L)
{
    luaL_checknumber(L, 1);
    sandbox_call_original(L);
    return 0;
}

/* ---- putting it together ---- */

int sandbox_call_original(lua_State *L)
{
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

void sandbox_wrap(lua_State *L, const char *name, lua_CFunction guard)
{
    lua_getfield(L, -1, name);
    lua_pushcclosure(L, guard, 1);
    lua_setfield(L, -2, name);
}

/* Copies the named fields of the table on top into a new table, which replaces it. */
static void keep_only(lua_State *L, const char *const *names)
{
    lua_newtable(L);
    for (; *names; names++) {
        lua_getfield(L, -2, *names);
        lua_setfield(L, -2, *names);
    }
    lua_remove(L, -2);
}

/* Opens a library: its allowed functions, without its way into the globals. */
static void open_library(lua_State *L, lua_CFunction open, const char *name,
                         const char *const *names)
{
    lua_pushcfunction(L, open);
    lua_pushstring(L, name);
    lua_call(L, 1, 1);
    keep_only(L, names);
}

/* Pops the library on top, and makes a view of it a field of the table below. */
static void add_library(lua_State *L, const char *name)
{
    sandbox_make_readonly(L, name);
    lua_setfield(L, -2, name);
}

static void open_string(lua_State *L)
{
    open_library(L, luaopen_string, LUA_STRLIBNAME, string_names);
    sandbox_guard_string(L);
    /* methods of strings are looked up here as well, and nowhere else */
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 2);
}

int sandbox_open_libraries(lua_State *L)
{
    open_library(L, luaopen_base, LUA_GNAME, base_names);
    sandbox_wrap(L, "setmetatable", base_setmetatable);
    static const luaL_Reg ours[] = {
        {"getmetatable", base_getmetatable},
        {"next", base_next},
        {"print", base_print},
        {"log", base_print},
        {"tostring", base_tostring},
        {NULL, NULL},
    };
    luaL_setfuncs(L, ours, 0);

    open_library(L, luaopen_coroutine, LUA_COLIBNAME, coroutine_names);
    lua_pushcfunction(L, coroutine_wrap);
    lua_setfield(L, -2, "wrap");
    add_library(L, LUA_COLIBNAME);

    open_string(L);
    add_library(L, LUA_STRLIBNAME);

    open_library(L, luaopen_table, LUA_TABLIBNAME, table_names);
    sandbox_guard_table(L);
    add_library(L, LUA_TABLIBNAME);

    open_library(L, luaopen_math, LUA_MATHLIBNAME, math_names);
    sandbox_wrap(L, "randomseed", math_randomseed);
    lua_getfield(L, -1, "randomseed"); /* the same numbers in every run */
    lua_pushinteger(L, 1);
    lua_call(L, 1, 0);
    add_library(L, LUA_MATHLIBNAME);

    open_library(L, luaopen_utf8, LUA_UTF8LIBNAME, utf8_names);
    add_library(L, LUA_UTF8LIBNAME);

    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &environment_key);
    sandbox_make_readonly(L, "");
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    return 0;
}

void sandbox_set_global(lua_State *L, const char *name)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &environment_key);
    lua_insert(L, -2);
    lua_setfield(L, -2, name);
    lua_pop(L, 1);
}
