/*
 * JSON and Lua values, both ways.
 *
 * A table with the keys 1 to n is an array, one with text keys an object. An empty table is an
 * object unless it came from a JSON array. JSON's null is a light userdata NULL on the Lua side
 * (scripts know it as av.null), since a table can't hold nil.
 */
#ifndef LUMA_LUA_JSON_LUA_H
#define LUMA_LUA_JSON_LUA_H

#include <jansson.h>
#include <lua.h>
#include <stdbool.h>

#include "engine/error.h"

struct json_lua_limits {
    int depth;    /* levels of nesting */
    size_t items; /* values in all */
    size_t bytes; /* of all texts, keys included */
    bool mixed;   /* a table with names and other keys is an object too: key 1 is named "1" */
};

/* What a script may return as its result. */
extern const struct json_lua_limits json_lua_result_limits;

/* The value at the index as JSON. Never raises, runs no metamethod, and leaves the stack as it
 * was; read-only views are looked through. Text that isn't UTF-8 gets U+FFFD for what is
 * malformed; NaN and infinities become null. NULL with ERROR_SCRIPT and the place ("result.a[2]")
 * for what JSON can't hold and for what is over a limit. `what` is the place's first word. */
json_t *json_from_lua(lua_State *L, int index, const char *what,
                      const struct json_lua_limits *limits, struct error *e);

/* Pushes a JSON value. Raises when memory is gone. */
void json_push_lua(lua_State *L, const json_t *value);

/* A JSON string of any bytes: what isn't UTF-8 becomes U+FFFD. NULL when out of memory. */
json_t *json_text(const char *text, size_t length);

#endif
