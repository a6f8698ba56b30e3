/*
 * av.measure(stream, {each=}): runs a stream to nowhere, while the script waits, and gives what its
 * filters reported as tables by filter.
 */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/measure.h"
#include "engine/pipeline.h"
#include "lua/bind.h"
#include "lua/sandbox.h"

#define RESULT_TYPE "luma.measurement"

static int result_free(lua_State *L)
{
    pipeline_result_finish(luaL_checkudata(L, 1, RESULT_TYPE));
    return 0;
}

/* ---- values: "astats.1.rms_level" is {astats = {{rms_level = ...}}} ---- */

/* Pushes a part of a name as the key that it is: a number where it is one. */
static void push_key(lua_State *L, const char *part, size_t length)
{
    bool number = length > 0 && length < 10;
    for (size_t i = 0; i < length; i++)
        number = number && isdigit((unsigned char)part[i]);
    if (number) {
        lua_pushinteger(L, (lua_Integer)strtol(part, NULL, 10));
    } else {
        lua_pushlstring(L, part, length);
    }
}

/* Sets a number in the table on top, in tables of its own for each part of the name. What is a
 * number already becomes no table. */
static void set_number(lua_State *L, const char *name, double number)
{
    int top = lua_gettop(L);
    luaL_checkstack(L, 8, NULL);
    lua_pushvalue(L, -1);
    for (const char *dot; (dot = strchr(name, '.')); name = dot + 1) {
        push_key(L, name, (size_t)(dot - name));
        lua_pushvalue(L, -1);
        int type = lua_rawget(L, -3); /* table, key, value */
        if (type == LUA_TNIL) {
            lua_pop(L, 1);
            lua_newtable(L);
            lua_pushvalue(L, -2);
            lua_pushvalue(L, -2);
            lua_rawset(L, -5);
        } else if (type != LUA_TTABLE) {
            lua_settop(L, top);
            return;
        }
        lua_replace(L, top + 1);
        lua_settop(L, top + 1);
    }
    push_key(L, name, strlen(name));
    lua_pushnumber(L, number);
    lua_rawset(L, -3);
    lua_settop(L, top);
}

enum view { VIEW_LAST, VIEW_LOWEST, VIEW_HIGHEST, VIEW_MEAN };

/* Adds all values to the table on top. */
static void set_values(lua_State *L, const struct measurement *found, enum view view)
{
    for (int i = 0; i < found->value_count; i++) {
        const struct measure_value *value = &found->values[i];
        const double numbers[] = {
            [VIEW_LAST] = value->last,
            [VIEW_LOWEST] = value->lowest,
            [VIEW_HIGHEST] = value->highest,
            [VIEW_MEAN] = value->count > 0 ? value->sum / (double)value->count : NAN,
        };
        if (*value->name && !isnan(numbers[view]))
            set_number(L, value->name, numbers[view]);
    }
}

static void set_view(lua_State *L, const struct measurement *found, const char *name,
                     enum view view)
{
    lua_newtable(L);
    set_values(L, found, view);
    lua_setfield(L, -2, name);
}

/* Sets `each`: a table for every frame, with its time and its values by filter. */
static void set_rows(lua_State *L, const struct measurement *found)
{
    lua_createtable(L, found->row_count, 0);
    for (int i = 0; i < found->row_count; i++) {
        const struct measure_row *row = &found->rows[i];
        lua_newtable(L);
        for (int k = 0; k < found->value_count && k < MEASURE_ROW_VALUES; k++) {
            if (*found->values[k].name && !isnan(row->values[k]))
                set_number(L, found->values[k].name, row->values[k]);
        }
        if (isfinite(row->time))
            set_number(L, "time", row->time);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "each");
}

/* ---- intervals and events ---- */

static void push_span(lua_State *L, const struct measure_span *span)
{
    bool event = strcmp(span->filter, "scdet") == 0;
    lua_createtable(L, 0, 3);
    lua_pushnumber(L, span->start);
    lua_setfield(L, -2, event ? "time" : "start");
    lua_pushnumber(L, event ? span->score : span->stop);
    lua_setfield(L, -2, event ? "score" : "stop");
    if (span->channel > 0) {
        lua_pushinteger(L, span->channel);
        lua_setfield(L, -2, "channel");
    }
}

static void set_list(lua_State *L, const struct measurement *found, const char *detector)
{
    int count = 0;
    lua_newtable(L);
    for (int i = 0; i < found->span_count; i++) {
        if (strcmp(found->spans[i].filter, detector) != 0)
            continue;
        push_span(L, &found->spans[i]);
        lua_rawseti(L, -2, ++count);
    }
    lua_setfield(L, -2, detector);
}

static void set_time(lua_State *L, const char *name, double seconds)
{
    if (isfinite(seconds)) {
        lua_pushnumber(L, seconds);
        lua_setfield(L, -2, name);
    }
}

static void push_measurement(lua_State *L, const struct measurement *found)
{
    lua_newtable(L);
    set_values(L, found, VIEW_LAST);
    set_view(L, found, "lowest", VIEW_LOWEST);
    set_view(L, found, "highest", VIEW_HIGHEST);
    set_view(L, found, "mean", VIEW_MEAN);
    for (int i = 0; found->detectors[i]; i++)
        set_list(L, found, found->detectors[i]);
    if (found->row_count > 0)
        set_rows(L, found);
    set_time(L, "start", found->start);
    set_time(L, "stop", found->end);
    lua_pushinteger(L, found->frames);
    lua_setfield(L, -2, "frames");
    lua_pushboolean(L, found->truncated);
    lua_setfield(L, -2, "truncated");
}

/* ---- the call ---- */

/* Plain C: nothing of Lua in here. */
static int run_measure(struct bind *bind, int node, struct pipeline_result *result, struct error *e)
{
    if (bind->measure)
        return bind->measure(bind->owner, node, result, e);
    const struct pipeline_options options = {.outputs = &node, .output_count = 1};
    return pipeline_run(bind->plan, &options, result, e);
}

/* True for `{each=true}` at index 2. */
static bool each_option(lua_State *L)
{
    bool each = false;
    if (lua_isnoneornil(L, 2))
        return false;
    luaL_checktype(L, 2, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING || strcmp(lua_tostring(L, -2), "each") != 0)
            luaL_error(L, "av.measure() knows the option 'each' only");
        each = lua_toboolean(L, -1);
    }
    return each;
}

int bind_measure(lua_State *L)
{
    const struct bind_stream *stream = bind_test_stream(L, 1);
    struct bind *bind = bind_of(L);
    struct error e = {0};

    luaL_argcheck(L, stream, 1, "a stream expected");
    int node = plan_add_measure(bind->plan, stream->edge, each_option(L), &e);
    if (node < 0)
        return bind_raise(L, &e);
    struct pipeline_result *result = lua_newuserdatauv(L, sizeof *result, 0);
    memset(result, 0, sizeof *result);
    luaL_setmetatable(L, RESULT_TYPE);
    sandbox_pause(L);
    int code = run_measure(bind, node, result, &e);
    sandbox_resume(L);
    if (code < 0)
        return bind_raise(L, &e);
    push_measurement(L, result->measurements[0]);
    pipeline_result_finish(result);
    return 1;
}

void bind_open_measure(lua_State *L)
{
    static const luaL_Reg result[] = {{"__gc", result_free}, {NULL, NULL}};
    bind_type(L, RESULT_TYPE, result);
}
