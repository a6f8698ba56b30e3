/*
 * JSON and Lua values, both ways; see json_lua.h.
 *
 * The way out of Lua is plain C that allocates nothing in Lua, so that it can hold JSON values
 * without a raise ever losing them. Tables are walked raw: a script's metamethods would run with
 * no protection, and could answer for ever.
 */
#include "lua/json_lua.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct json_lua_limits json_lua_result_limits = {32, 100000, (size_t)1024 * 1024, false};

static const char array_key = 0; /* its address: the metatable that marks arrays in the registry */

/* ---- texts ---- */

/* Length of the well-formed UTF-8 sequence at s, 0 if there is none (Unicode, table 3-7). */
static size_t sequence_length(const unsigned char *s, size_t left)
{
    static const struct {
        unsigned char first, last, low, high;
        size_t length;
    } forms[] = {
        {0x00, 0x7F, 0, 0, 1},       {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3},
        {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3},
        {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (s[0] < forms[i].first || s[0] > forms[i].last) {
            continue;
        }
        size_t length = forms[i].length;
        if (length > left || (length > 1 && (s[1] < forms[i].low || s[1] > forms[i].high))) {
            return 0;
        }
        for (size_t j = 2; j < length; j++) {
            if (s[j] < 0x80 || s[j] > 0xBF) {
                return 0;
            }
        }
        return length;
    }
    return 0;
}

json_t *json_text(const char *text, size_t length)
{
    json_t *string = json_stringn(text, length);
    if (string || length > SIZE_MAX / 4) {
        return string;
    }

    char *clean = malloc(length * 3 + 1);
    size_t used = 0;
    if (!clean) {
        return NULL;
    }
    for (size_t at = 0; at < length;) {
        size_t step = sequence_length((const unsigned char *)text + at, length - at);
        memcpy(clean + used, step ? text + at : "\xEF\xBF\xBD", step ? step : 3);
        used += step ? step : 3;
        at += step ? step : 1;
    }
    string = json_stringn(clean, used);
    free(clean);
    return string;
}

/* ---- from Lua ---- */

struct walk {
    lua_State *L;
    struct error *e;
    struct json_lua_limits left;
    char path[160];
};

static json_t *walk_value(struct walk *walk, int depth);

static json_t *refuse(struct walk *walk, const char *reason)
{
    error_set(walk->e, ERROR_SCRIPT, "%s: %s", walk->path, reason);
    return NULL;
}

static bool take_bytes(struct walk *walk, size_t length)
{
    if (length > walk->left.bytes) {
        refuse(walk, "too much text");
        return false;
    }
    walk->left.bytes -= length;
    return true;
}

static json_t *walk_number(lua_State *L)
{
    if (lua_isinteger(L, -1)) {
        return json_integer(lua_tointeger(L, -1));
    }
    lua_Number number = lua_tonumber(L, -1);
    return isfinite(number) ? json_real(number) : json_null();
}

static json_t *walk_string(struct walk *walk)
{
    size_t length;
    const char *text = lua_tolstring(walk->L, -1, &length);
    return take_bytes(walk, length) ? json_text(text, length) : NULL;
}

static json_t *walk_array(struct walk *walk, lua_Unsigned count, int depth)
{
    json_t *array = json_array();
    size_t mark = strlen(walk->path);

    for (lua_Unsigned i = 1; array && i <= count; i++) {
        snprintf(walk->path + mark, sizeof walk->path - mark, "[%llu]", (unsigned long long)i);
        lua_rawgeti(walk->L, -1, (lua_Integer)i);
        json_t *value = walk_value(walk, depth + 1);
        lua_pop(walk->L, 1);
        if (json_array_append_new(array, value) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    walk->path[mark] = '\0';
    return array;
}

/* The key of the pair on top as text, without making a string of a number in place. */
static const char *key_text(struct walk *walk, char number[32], size_t *length)
{
    lua_State *L = walk->L;
    if (lua_type(L, -2) == LUA_TSTRING) {
        return lua_tolstring(L, -2, length);
    }
    if (!walk->left.mixed || !lua_isinteger(L, -2)) {
        refuse(walk, "a table with both names and other keys");
        return NULL;
    }
    *length = (size_t)snprintf(number, 32, "%lld", (long long)lua_tointeger(L, -2));
    return number;
}

static bool set_field(json_t *object, const char *key, size_t length, json_t *value)
{
    json_t *name = json_text(key, length);
    bool done =
        name && value &&
        json_object_setn(object, json_string_value(name), json_string_length(name), value) == 0;
    json_decref(name);
    json_decref(value);
    return done;
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The same fields in the order of their names: a Lua table has none that lasts. Consumes the
 * object. */
static json_t *sort_fields(json_t *object)
{
    size_t count = json_object_size(object), i = 0;
    const char **keys = malloc((count ? count : 1) * sizeof *keys);
    json_t *sorted = keys ? json_object() : NULL;
    const char *key;
    json_t *value;

    json_object_foreach(object, key, value)
    {
        if (keys) {
            keys[i++] = key;
        }
    }
    if (sorted) {
        qsort(keys, count, sizeof *keys, compare_keys);
    }
    for (i = 0; sorted && i < count; i++) {
        json_object_set(sorted, keys[i], json_object_get(object, keys[i]));
    }
    free(keys);
    json_decref(object);
    return sorted;
}

static json_t *walk_object(struct walk *walk, int depth)
{
    lua_State *L = walk->L;
    json_t *object = json_object();
    size_t mark = strlen(walk->path);

    lua_pushnil(L);
    while (object && lua_next(L, -2)) {
        char number[32];
        size_t length;
        const char *key = key_text(walk, number, &length);
        if (!key || !take_bytes(walk, length)) {
            goto fail;
        }
        snprintf(walk->path + mark, sizeof walk->path - mark, ".%.40s", key);
        if (!set_field(object, key, length, walk_value(walk, depth + 1))) {
            goto fail;
        }
        lua_pop(L, 1);
    }
    walk->path[mark] = '\0';
    return object ? sort_fields(object) : NULL;

fail:
    lua_pop(L, 2);
    json_decref(object);
    return NULL;
}

/* Puts what is behind a read-only view on top in its place; true if it is marked as an array. */
static bool look_behind(lua_State *L)
{
    bool array = false;

    if (!lua_getmetatable(L, -1)) {
        return false;
    }
    lua_rawgetp(L, LUA_REGISTRYINDEX, &array_key);
    array = lua_rawequal(L, -1, -2);
    lua_pop(L, 1);
    lua_pushnil(L); /* raw, without making a string for the key: that could raise */
    while (lua_next(L, -2)) {
        if (lua_type(L, -2) == LUA_TSTRING && lua_type(L, -1) == LUA_TTABLE &&
            strcmp(lua_tostring(L, -2), "__readonly") == 0) {
            lua_replace(L, -4); /* the view; the metatable and the key go */
            lua_pop(L, 2);
            return look_behind(L) || array;
        }
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return array;
}

static json_t *walk_table(struct walk *walk, int depth)
{
    lua_State *L = walk->L;
    json_t *result;

    lua_pushvalue(L, -1);
    bool array = look_behind(L);
    lua_Unsigned count = lua_rawlen(L, -1);
    if (count > walk->left.items) {
        result = refuse(walk, "too many values");
    } else if (count == 0 && !array) {
        result = walk_object(walk, depth);
    } else {
        lua_Unsigned keys = 0;
        lua_pushnil(L);
        while (lua_next(L, -2)) {
            lua_pop(L, 1);
            keys++;
        }
        result = keys == count ? walk_array(walk, count, depth) : walk_object(walk, depth);
    }
    lua_pop(L, 1);
    return result;
}

static json_t *walk_value(struct walk *walk, int depth)
{
    lua_State *L = walk->L;

    if (depth > walk->left.depth) {
        return refuse(walk, "nested too deep");
    }
    if (walk->left.items == 0) {
        return refuse(walk, "too many values");
    }
    if (!lua_checkstack(L, 8)) {
        return refuse(walk, "too little memory");
    }
    walk->left.items--;
    switch (lua_type(L, -1)) {
    case LUA_TNIL:
        return json_null();
    case LUA_TBOOLEAN:
        return json_boolean(lua_toboolean(L, -1));
    case LUA_TNUMBER:
        return walk_number(L);
    case LUA_TSTRING:
        return walk_string(walk);
    case LUA_TTABLE:
        return walk_table(walk, depth);
    case LUA_TLIGHTUSERDATA:
        if (!lua_touserdata(L, -1)) {
            return json_null();
        }
        break;
    default:
        break;
    }
    error_set(walk->e, ERROR_SCRIPT, "%s: a %s can't be JSON", walk->path, luaL_typename(L, -1));
    return NULL;
}

json_t *json_from_lua(lua_State *L, int index, const char *what,
                      const struct json_lua_limits *limits, struct error *e)
{
    struct error reason = {0};
    struct walk walk = {.L = L, .e = &reason, .left = *limits};
    int top = lua_gettop(L);

    snprintf(walk.path, sizeof walk.path, "%s", what);
    if (!lua_checkstack(L, 1)) {
        error_set(e, ERROR_OUT_OF_MEMORY, "out of memory while reading %s", what);
        return NULL;
    }
    lua_pushvalue(L, index);
    json_t *value = walk_value(&walk, 1);
    lua_settop(L, top);
    if (!value) {
        if (reason.code == ERROR_NONE) {
            error_set(&reason, ERROR_OUT_OF_MEMORY, "out of memory while reading %s", what);
        }
        if (e) {
            *e = reason;
        }
    }
    return value;
}

/* ---- to Lua ---- */

static void mark_array(lua_State *L)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &array_key) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &array_key);
    }
    lua_setmetatable(L, -2);
}

void json_push_lua(lua_State *L, const json_t *value)
{
    luaL_checkstack(L, 6, "JSON nested too deep");
    switch (value ? json_typeof(value) : JSON_NULL) {
    case JSON_OBJECT: {
        const char *key;
        json_t *field;
        lua_createtable(L, 0, (int)json_object_size(value));
        json_object_foreach((json_t *)value, key, field)
        {
            json_push_lua(L, field);
            lua_setfield(L, -2, key);
        }
        break;
    }
    case JSON_ARRAY: {
        size_t count = json_array_size(value);
        lua_createtable(L, (int)count, 0);
        for (size_t i = 0; i < count; i++) {
            json_push_lua(L, json_array_get(value, i));
            lua_rawseti(L, -2, (lua_Integer)i + 1);
        }
        mark_array(L);
        break;
    }
    case JSON_STRING:
        lua_pushlstring(L, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        lua_pushinteger(L, json_integer_value(value));
        break;
    case JSON_REAL:
        lua_pushnumber(L, json_real_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        lua_pushboolean(L, json_is_true(value));
        break;
    case JSON_NULL:
        lua_pushlightuserdata(L, NULL);
        break;
    }
}
