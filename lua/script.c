/*
 * Operation scripts as files; see script.h. Paths never appear in what a script can see: chunks
 * are named by their place in the scripts folder ("compress.lua", "lib/tempo.lua").
 */
#include "lua/script.h"

#include <fcntl.h>
#include <lauxlib.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lua/bind.h"
#include "lua/json_lua.h"
#include "lua/sandbox.h"
#include "lua/schema.h"
#include "lua/schema_internal.h"

static const char loaded_key = 0; /* its address: the table of loaded libraries */

#define MAX_INPUTS 100

bool script_name_valid(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return length > 0 && length < SCRIPT_MAX_NAME && name[length] == '\0' && name[0] >= 'a' &&
           name[0] <= 'z';
}

/* ---- files ---- */

/* Size of a regular file, -1 if there is none. */
static off_t file_size(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode) ? status.st_size : -1;
}

/* Reads up to size bytes; -1 on failure. */
static ssize_t read_file(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    size_t used = 0;
    ssize_t count = fd < 0 ? -1 : 1;

    while (count > 0 && used < size) {
        count = read(fd, text + used, size - used);
        if (count > 0) {
            used += (size_t)count;
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    return count < 0 ? -1 : (ssize_t)used;
}

/* Pushes the chunk of scripts/FILE as a function; raises. Nothing is open when it does. */
static void push_chunk(lua_State *L, const char *scripts, const char *file)
{
    char path[PATH_MAX], chunk[SCRIPT_MAX_NAME * 3];

    int length = snprintf(path, sizeof path, "%s/%s", scripts, file);
    off_t size = length < (int)sizeof path ? file_size(path) : -1;
    if (size < 0) {
        luaL_error(L, "there is no script '%s'", file);
    }
    if (size > SCRIPT_MAX_SIZE) {
        luaL_error(L, "the script '%s' is larger than %d bytes", file, SCRIPT_MAX_SIZE);
    }
    char *text = lua_newuserdatauv(L, (size_t)size + 1, 0);
    ssize_t read = read_file(path, text, (size_t)size);
    if (read < 0) {
        luaL_error(L, "the script '%s' can't be read", file);
    }
    snprintf(chunk, sizeof chunk, "@%s", file);
    if (luaL_loadbufferx(L, text, (size_t)read, chunk, "t") != LUA_OK) {
        lua_error(L);
    }
    lua_remove(L, -2);
}

/* ---- require ---- */

/* "lib.encoding" or "lib.a.b" to "lib/encoding.lua"; false if malformed. */
static bool library_file(const char *name, char *file, size_t size)
{
    size_t length = strlen(name);
    if (strncmp(name, "lib.", 4) != 0 || length >= SCRIPT_MAX_NAME || length + 5 > size) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        bool dot = name[i] == '.';
        if (dot ? i + 1 == length || name[i + 1] == '.'
                : !strchr("abcdefghijklmnopqrstuvwxyz0123456789_", name[i])) {
            return false;
        }
        file[i] = dot ? '/' : name[i];
    }
    snprintf(file + length, size - length, ".lua");
    return true;
}

static int require(lua_State *L)
{
    const char *scripts = lua_touserdata(L, lua_upvalueindex(1));
    const char *name = luaL_checkstring(L, 1);
    char file[SCRIPT_MAX_NAME + 8];

    lua_settop(L, 1);
    if (!library_file(name, file, sizeof file)) {
        return luaL_error(L, "require finds scripts under lib only, as in require \"lib.tempo\"");
    }
    lua_rawgetp(L, LUA_REGISTRYINDEX, &loaded_key);
    int type = lua_getfield(L, 2, name);
    if (type == LUA_TBOOLEAN) {
        return luaL_error(L, "'%s' requires itself, perhaps through another", name);
    }
    if (type != LUA_TNIL) {
        return 1;
    }
    lua_pushboolean(L, 0);
    lua_setfield(L, 2, name);
    push_chunk(L, scripts, file);
    lua_call(L, 0, 1);
    if (lua_isnil(L, -1) || lua_isboolean(L, -1)) {
        return luaL_error(L, "'%s' must return a table", file);
    }
    lua_pushvalue(L, -1);
    lua_setfield(L, 2, name);
    return 1;
}

void script_open_require(lua_State *L, const char *scripts)
{
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &loaded_key);
    lua_pushlightuserdata(L, (void *)scripts);
    lua_pushcclosure(L, require, 1);
    sandbox_set_global(L, "require");
}

/* ---- the script's table ---- */

static void check_fields(lua_State *L, int table, const char *file)
{
    static const struct {
        const char *name;
        int type;
        bool required;
    } fields[] = {
        {"summary", LUA_TSTRING, true}, {"inputs", LUA_TNIL, true},
        {"options", LUA_TTABLE, true},  {"check", LUA_TFUNCTION, false},
        {"run", LUA_TFUNCTION, true},   {"examples", LUA_TTABLE, false},
    };
    enum { COUNT = sizeof fields / sizeof *fields };
    const char *names[COUNT + 1] = {NULL};
    char hint[96];

    for (int i = 0; i < COUNT; i++) {
        names[i] = fields[i].name;
        int type = lua_getfield(L, table, fields[i].name);
        lua_pop(L, 1);
        if (type == LUA_TNIL && fields[i].required) {
            luaL_error(L, "%s: its table has no '%s'", file, fields[i].name);
        }
        if (type != LUA_TNIL && fields[i].type != LUA_TNIL && type != fields[i].type) {
            luaL_error(L, "%s: '%s' must be a %s, not a %s", file, fields[i].name,
                       lua_typename(L, fields[i].type), lua_typename(L, type));
        }
    }
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
        int i = 0;
        while (i < COUNT && strcmp(names[i], name) != 0) {
            i++;
        }
        bind_hint(name, names, hint, sizeof hint);
        if (i == COUNT) {
            luaL_error(L, "%s: its table has an unknown field '%s'%s", file, name, hint);
        }
    }
}

void script_load(lua_State *L, const char *scripts, const char *name)
{
    char file[SCRIPT_MAX_NAME + 8];

    if (!script_name_valid(name)) {
        luaL_error(L, "'%s' is no name of an operation", name);
    }
    snprintf(file, sizeof file, "%s.lua", name);
    push_chunk(L, scripts, file);
    lua_call(L, 0, 1);
    if (!lua_istable(L, -1)) {
        luaL_error(L, "%s: it must return a table, not a %s", file, luaL_typename(L, -1));
    }
    if (lua_getmetatable(L, -1)) {
        luaL_error(L, "%s: its table can't have a metatable", file);
    }
    check_fields(L, lua_gettop(L), file);
}

/* ---- description ---- */

static const struct json_lua_limits declaration_limits = {16, 5000, (size_t)256 * 1024, true};

/* A list that may be empty: Lua doesn't tell an empty list from an empty object. */
static json_t *as_list(json_t *value)
{
    if (json_is_object(value) && json_object_size(value) == 0) {
        json_decref(value);
        return json_array();
    }
    return value;
}

static json_t *option_document(json_t *given, bool named, struct error *e);

static json_t *option_list(const json_t *given, struct error *e)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < json_array_size(given); i++) {
        json_t *option = option_document(json_array_get(given, i), true, e);
        if (json_array_append_new(list, option) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* Puts what stands under a key through a function; false if that fails. */
static bool replace(json_t *object, const char *key, json_t *value)
{
    return value && json_object_set_new(object, key, value) == 0;
}

/* An option as a script writes it ({ "crf", type = "number" } has come over as an object with the
 * key "1"), or a mere type ("time"), as the schema's document. A new reference. */
static json_t *option_document(json_t *given, bool named, struct error *e)
{
    if (!named && json_is_string(given)) {
        return json_pack("{s:O}", "type", given);
    }
    if (!json_is_object(given)) {
        error_set(e, ERROR_SCRIPT, "an option must be a table like { \"crf\", type = \"number\" }");
        return NULL;
    }
    json_t *option = json_copy(given);
    json_t *of = json_object_get(option, "of");
    json_t *fields = json_object_get(option, "fields");
    json_t *name = json_object_get(option, "1");
    json_t *preset = json_object_get(option, "default");
    bool fine = option != NULL;

    if (fine && named && name) {
        fine = json_object_set(option, "name", name) == 0;
        json_object_del(option, "1");
    }
    if (fine && of) {
        fine = replace(option, "of", option_document(of, false, e));
    }
    if (fine && preset && schema_type_of(option) == SCHEMA_LIST) {
        fine = replace(option, "default", as_list(json_incref(preset)));
    }
    if (fine && json_is_array(fields)) {
        fine = replace(option, "fields", option_list(fields, e));
    }
    if (!fine) {
        json_decref(option);
        return NULL;
    }
    return option;
}

/* A number of inputs, or {min=, max=, roles=}, as {min, max, roles?}. */
static json_t *inputs_document(json_t *given, struct error *e)
{
    json_t *roles = json_object_get(given, "roles");
    json_int_t min = 1, max = 1;

    if (json_is_integer(given)) {
        min = max = json_integer_value(given);
    } else if (json_is_object(given)) {
        json_t *least = json_object_get(given, "min");
        json_t *most = json_object_get(given, "max");
        json_int_t count = roles ? (json_int_t)json_array_size(roles) : 1;
        min = least ? json_integer_value(least) : most && !roles ? 1 : count;
        max = most ? json_integer_value(most) : min > count ? min : count;
    }
    bool fits = (json_is_integer(given) || json_is_object(given)) && min >= 0 && max >= min &&
                max >= 1 && max <= MAX_INPUTS && (!roles || json_is_array(roles));
    for (size_t i = 0; fits && i < json_array_size(roles); i++) {
        fits = json_is_string(json_array_get(roles, i));
    }
    if (!fits) {
        error_set(e, ERROR_SCRIPT,
                  "'inputs' must be a number from 1 to %d, or {min=, max=, roles={names}}",
                  MAX_INPUTS);
        return NULL;
    }
    return json_pack("{s:I, s:I, s:O*}", "min", min, "max", max, "roles", roles);
}

/* The field of the table at the index, as JSON; `what` for errors. */
static json_t *field_json(lua_State *L, int index, const char *name, struct error *e)
{
    /* no text is made of the name here: that could raise */
    json_t *value = NULL;
    lua_pushnil(L);
    while (lua_next(L, index)) {
        if (lua_type(L, -2) == LUA_TSTRING && strcmp(lua_tostring(L, -2), name) == 0) {
            value = json_from_lua(L, -1, name, &declaration_limits, e);
            lua_pop(L, 2);
            return value;
        }
        lua_pop(L, 1);
    }
    return json_array(); /* examples may be missing */
}

json_t *script_describe(lua_State *L, int index, const char *name, struct error *e)
{
    struct error reason = {0};
    json_t *summary = field_json(L, index, "summary", &reason);
    json_t *inputs = field_json(L, index, "inputs", &reason);
    json_t *options = as_list(field_json(L, index, "options", &reason));
    json_t *examples = as_list(field_json(L, index, "examples", &reason));
    json_t *description = NULL;

    json_t *input_range = inputs ? inputs_document(inputs, &reason) : NULL;
    json_t *schema = NULL;
    if (json_is_array(options)) {
        schema = option_list(options, &reason);
    } else if (reason.code == ERROR_NONE) {
        error_set(&reason, ERROR_SCRIPT, "'options' must be a list");
    }
    if (schema && schema_check(schema, &reason) != 0) {
        json_decref(schema), schema = NULL;
    }
    if (schema && !json_is_array(examples)) {
        error_set(&reason, ERROR_SCRIPT, "'examples' must be a list of tables");
    } else if (summary && input_range && schema) {
        description = json_pack("{s:s, s:O, s:O, s:O, s:O}", "name", name, "summary", summary,
                                "inputs", input_range, "options", schema, "examples", examples);
    }
    if (!description) {
        if (reason.code == ERROR_NONE) {
            error_set(&reason, ERROR_OUT_OF_MEMORY, "out of memory");
        }
        error_prefix(&reason, "%s.lua", name);
        if (e) {
            *e = reason;
        }
    }
    json_decref(summary);
    json_decref(inputs);
    json_decref(options);
    json_decref(examples);
    json_decref(input_range);
    json_decref(schema);
    return description;
}
