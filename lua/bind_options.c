/*
 * Lua values as the texts that av_opt_set takes.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lua/bind.h"
#include "lua/schema_internal.h"

/* Names of options that are words of Lua, and so are written with a "_" behind in a table. */
static const char *const reserved[] = {"end",  "in", "function", "not",    "or",
                                       "and",  "if", "for",      "repeat", "until",
                                       "then", "do", "local",    "return", NULL};

void bind_options_begin(lua_State *L, struct bind_options *options)
{
    luaL_checkstack(L, 8, NULL);
    lua_newtable(L);
    options->count = 0;
    options->anchor = lua_gettop(L);
}

static const char *strip_underscore(const char *name)
{
    size_t length = strlen(name);
    for (int i = 0; length > 1 && name[length - 1] == '_' && reserved[i]; i++) {
        if (strlen(reserved[i]) == length - 1 && memcmp(reserved[i], name, length - 1) == 0) {
            return reserved[i];
        }
    }
    return name;
}

/* A number as the shortest text that reads back the same, with a point in any locale. */
static void push_number(lua_State *L, lua_Number number)
{
    char text[40];
    snprintf(text, sizeof text, "%.15g", number);
    if (strtod(text, NULL) != number) {
        snprintf(text, sizeof text, "%.17g", number);
    }
    char *comma = strchr(text, ',');
    if (comma) {
        *comma = '.';
    }
    lua_pushstring(L, text);
}

/* Pushes the text of the value at the index. */
static void push_value(lua_State *L, int index, const char *name, const char *what)
{
    switch (lua_type(L, index)) {
    case LUA_TBOOLEAN:
        lua_pushstring(L, lua_toboolean(L, index) ? "1" : "0");
        return;
    case LUA_TNUMBER:
        if (lua_isinteger(L, index)) {
            lua_pushvalue(L, index);
            lua_tostring(L, -1);
        } else if (!isfinite(lua_tonumber(L, index))) {
            luaL_error(L, "option '%s' of %s is not a finite number", name, what);
        } else {
            push_number(L, lua_tonumber(L, index));
        }
        return;
    case LUA_TSTRING: {
        size_t length;
        const char *text = lua_tolstring(L, index, &length);
        if (strlen(text) != length) {
            luaL_error(L, "option '%s' of %s has a zero byte in it", name, what);
        }
        lua_pushvalue(L, index);
        return;
    }
    case LUA_TUSERDATA:
        if (bind_test_asset(L, index)) {
            lua_pushstring(L, bind_test_asset(L, index));
            return;
        }
        /* fall through */
    default:
        luaL_error(L, "option '%s' of %s must be a number, text, true or false, not a %s", name,
                   what, luaL_typename(L, index));
    }
}

void bind_options_add(lua_State *L, struct bind_options *options, const char *name, int index,
                      const char *what)
{
    if (options->count == BIND_MAX_OPTIONS) {
        luaL_error(L, "%s has more than %d options", what, BIND_MAX_OPTIONS);
    }
    push_value(L, index, name, what);
    struct plan_option *option = &options->list[options->count++];
    option->name = strip_underscore(name);
    option->value = lua_tostring(L, -1);
    lua_rawseti(L, options->anchor, options->count);
}

bool bind_options_have(const struct bind_options *options, const char *name)
{
    for (int i = 0; i < options->count; i++) {
        if (strcmp(options->list[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool listed(const char *name, const char *const *names)
{
    for (; names && *names; names++) {
        if (strcmp(*names, name) == 0) {
            return true;
        }
    }
    return false;
}

void bind_options_add_table(lua_State *L, struct bind_options *options, int table, const char *what,
                            const char *const *except)
{
    const char *names[BIND_MAX_OPTIONS];
    size_t count = 0;

    /* a table has no order of its own, a plan must always come out the same */
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING) {
            luaL_error(L, "the options of %s are given by name: a %s is no name", what,
                       luaL_typename(L, -2));
        }
        const char *name = lua_tostring(L, -2);
        if (listed(name, except)) {
            continue;
        }
        if (count == BIND_MAX_OPTIONS) {
            luaL_error(L, "%s has more than %d options", what, BIND_MAX_OPTIONS);
        }
        names[count++] = name; /* the table keeps it */
    }
    qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 0; i < count; i++) {
        lua_pushstring(L, names[i]);
        lua_rawget(L, table);
        bind_options_add(L, options, names[i], lua_gettop(L), what);
        lua_pop(L, 1);
    }
}

double bind_check_time(lua_State *L, int index)
{
    double seconds;
    if (lua_type(L, index) == LUA_TSTRING && schema_read_time(lua_tostring(L, index), &seconds)) {
        return seconds;
    }
    if (lua_type(L, index) != LUA_TNUMBER || !isfinite(lua_tonumber(L, index))) {
        luaL_argerror(L, index, "a time in seconds or like \"1:30\" expected");
    }
    return lua_tonumber(L, index);
}
