/*
 * Operation scripts as files: loading one in a sandbox, its table, `require` of lib/.
 */
#ifndef LUMA_LUA_SCRIPT_H
#define LUMA_LUA_SCRIPT_H

#include <jansson.h>
#include <lua.h>
#include <stdbool.h>

#include "engine/error.h"

#define SCRIPT_MAX_SIZE (1024 * 1024)
#define SCRIPT_MAX_NAME 64

/* Lower-case letters, digits and _, beginning with a letter. */
bool script_name_valid(const char *name);

/* Makes the global `require`, which finds lib/ in the folder (borrowed for the state's life).
 * Raises. */
void script_open_require(lua_State *L, const char *scripts);

/* Loads and runs scripts/NAME.lua and pushes the table that it returns, whose fields have been
 * checked. Raises; a file that isn't there is ERROR_SCRIPT as well. */
void script_load(lua_State *L, const char *scripts, const char *name);

/* From the script's table at the index, as plain JSON: {name, summary, inputs: {min, max, roles?},
 * options: schema document, examples}. NULL with e; never raises. */
json_t *script_describe(lua_State *L, int index, const char *name, struct error *e);

#endif
