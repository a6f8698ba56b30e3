/*
 * The job as a Lua value: its inputs and options, and what a script tells the client.
 */
#include <stdio.h>
#include <string.h>

#include "lua/bind.h"
#include "lua/json_lua.h"
#include "lua/sandbox.h"

#define JOB_TYPE "luma.job"

static const char options_key = 0; /* its address: the options table in the registry */

void bind_push_job(lua_State *L)
{
    lua_newuserdatauv(L, 0, 0);
    luaL_setmetatable(L, JOB_TYPE);
}

bool bind_test_job(lua_State *L, int index)
{
    return luaL_testudata(L, index, JOB_TYPE) != NULL;
}

/* ---- options ---- */

/* Reading an option that isn't set: nil, but an error if there is no such option. */
static int options_index(lua_State *L)
{
    const json_t *schema = bind_of(L)->schema;
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
    const char *names[128];
    char hint[96];
    int count = 0;

    for (size_t i = 0; i < json_array_size(schema) && count < 127; i++) {
        const char *known = json_string_value(json_object_get(json_array_get(schema, i), "name"));
        if (known && strcmp(known, name) == 0) {
            lua_pushnil(L);
            return 1;
        }
        names[count++] = known ? known : "";
    }
    names[count] = NULL;
    bind_hint(name, names, hint, sizeof hint);
    return luaL_error(L, "the operation has no option '%s'%s", name, hint);
}

void bind_push_options(lua_State *L)
{
    struct bind *bind = bind_of(L);

    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &options_key) != LUA_TNIL) {
        return;
    }
    lua_pop(L, 1);
    if (bind->options) {
        json_push_lua(L, bind->options);
    } else {
        lua_newtable(L);
    }
    if (bind->schema) {
        lua_createtable(L, 0, 1);
        lua_pushcfunction(L, options_index);
        lua_setfield(L, -2, "__index");
        lua_setmetatable(L, -2);
    }
    sandbox_make_readonly(L, "job.options");
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &options_key);
}

/* ---- methods ---- */

static void check_self(lua_State *L, const char *method)
{
    if (!bind_test_job(L, 1)) {
        luaL_error(L, "call it with a colon: job:%s(...)", method);
    }
}

static int job_note(lua_State *L)
{
    size_t length;

    check_self(L, "note");
    struct bind *bind = bind_of(L);
    const char *text = luaL_checklstring(L, 2, &length);
    size_t count = json_array_size(bind->notes);
    if (count > BIND_MAX_NOTES) {
        return 0;
    }
    if (count == BIND_MAX_NOTES) {
        text = "(further notes are dropped)";
        length = strlen(text);
    }
    if (length > BIND_MAX_NOTE) {
        length = BIND_MAX_NOTE; /* a character that is cut shows as U+FFFD */
    }
    if (json_array_append_new(bind->notes, json_text(text, length)) != 0) {
        struct error e;
        error_set(&e, ERROR_OUT_OF_MEMORY, "out of memory while keeping a note");
        return sandbox_raise(L, &e);
    }
    return 0;
}

static const char *details_field(lua_State *L, const char *name)
{
    lua_getfield(L, 4, name);
    if (lua_isnil(L, -1)) {
        return NULL;
    }
    return sandbox_tostring(L, -1, NULL);
}

/* job:fail(code, message [, the option it is about | {path=, got=, expected=}]) */
static int job_fail(lua_State *L)
{
    struct error e = {0};

    check_self(L, "fail");
    const char *name = luaL_checkstring(L, 2);
    const char *message = luaL_checkstring(L, 3);
    int code = error_from_name(name);
    if (code == 0) {
        return luaL_error(L, "there is no error code '%s' (the message was: %s)", name, message);
    }
    error_set(&e, code, "%s", message);
    if (lua_type(L, 4) == LUA_TSTRING) {
        char path[160];
        snprintf(path, sizeof path, "options.%s", lua_tostring(L, 4));
        error_place(&e, path, NULL, NULL);
    } else if (lua_istable(L, 4)) {
        const char *path = details_field(L, "path");
        const char *got = details_field(L, "got");
        error_place(&e, path, got, details_field(L, "expected"));
    }
    return sandbox_raise_final(L, &e);
}

static int job_output(lua_State *L)
{
    check_self(L, "output");
    if (!lua_istable(L, 2)) {
        return luaL_error(L, "output takes a table: job:output{...}");
    }
    bind_push_output(L, bind_add_output(L, 2));
    return 1;
}

/* ---- the type ---- */

static void push_inputs(lua_State *L)
{
    struct bind *bind = bind_of(L);
    lua_createtable(L, bind->input_count, 0);
    for (int i = 0; i < bind->input_count; i++) {
        bind_push_input(L, bind->inputs[i]);
        lua_rawseti(L, -2, i + 1);
    }
}

static void push_input(lua_State *L)
{
    struct bind *bind = bind_of(L);
    if (bind->input_count > 0) {
        bind_push_input(L, bind->inputs[0]);
    } else {
        lua_pushnil(L);
    }
}

static void push_name(lua_State *L)
{
    lua_pushstring(L, bind_of(L)->operation);
}

static const struct {
    const char *name;
    void (*push)(lua_State *L);
    lua_CFunction method;
} members[] = {
    {"input", push_input, NULL},
    {"inputs", push_inputs, NULL},
    {"options", bind_push_options, NULL},
    {"name", push_name, NULL},
    {"output", NULL, job_output},
    {"note", NULL, job_note},
    {"fail", NULL, job_fail},
};
enum { COUNT = sizeof members / sizeof *members };

int bind_job_members(const char **names, int room)
{
    int count = 0;
    for (int i = 0; i < COUNT && count < room; i++) {
        names[count++] = members[i].name;
    }
    return count;
}

static int job_index(lua_State *L)
{
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
    const char *names[COUNT + 1] = {NULL};
    char hint[96];

    for (int i = 0; i < COUNT; i++) {
        names[i] = members[i].name;
        if (strcmp(members[i].name, name) != 0) {
            continue;
        }
        if (members[i].push) {
            members[i].push(L);
        } else {
            lua_pushcfunction(L, members[i].method);
        }
        return 1;
    }
    bind_hint(name, names, hint, sizeof hint);
    return luaL_error(L, "a job has no '%s'%s", name, hint);
}

static int job_assign(lua_State *L)
{
    return luaL_error(L, "a job can't be changed");
}

static int job_tostring(lua_State *L)
{
    lua_pushliteral(L, "job");
    return 1;
}

void bind_open_job(lua_State *L)
{
    static const luaL_Reg job[] = {
        {"__index", job_index},
        {"__newindex", job_assign},
        {"__tostring", job_tostring},
        {NULL, NULL},
    };
    bind_type(L, JOB_TYPE, job);
}
