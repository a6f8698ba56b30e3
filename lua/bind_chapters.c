/*
 * Chapters as Lua values: a list of { start, stop, title, metadata } with a method retime, and the
 * way back from such a list to an output.
 */
#include <libavutil/dict.h>
#include <math.h>
#include <string.h>

#include "lua/bind.h"
#include "lua/sandbox.h"

#define LIST_TYPE    "luma.chapters"
#define CHOSEN_TYPE  "luma.chosen_chapters"
#define MAX_CHAPTERS 5000

/* ---- from an input ---- */

void bind_push_chapters(lua_State *L, const struct media *media)
{
    double zero = isfinite(media->start) ? media->start : 0;
    lua_createtable(L, media->chapter_count, 0);
    for (int i = 0; i < media->chapter_count; i++) {
        const struct media_chapter *chapter = &media->chapters[i];
        lua_createtable(L, 0, 4);
        lua_pushnumber(L, chapter->start - zero);
        lua_setfield(L, -2, "start");
        lua_pushnumber(L, chapter->end - zero);
        lua_setfield(L, -2, "stop");
        if (chapter->title && *chapter->title) {
            lua_pushstring(L, chapter->title);
            lua_setfield(L, -2, "title");
        }
        bind_push_tags(L, chapter->metadata);
        lua_setfield(L, -2, "metadata");
        lua_rawseti(L, -2, i + 1);
    }
    luaL_setmetatable(L, LIST_TYPE);
}

/* ---- retime ---- */

/* The times of the chapter on top multiplied and moved, in place. */
static void move_time(lua_State *L, const char *name, double factor, double offset)
{
    lua_pushstring(L, name);
    lua_rawget(L, -2);
    if (lua_type(L, -1) != LUA_TNUMBER) {
        luaL_error(L, "a chapter's '%s' must be a number of seconds", name);
    }
    double time = lua_tonumber(L, -1) * factor + offset;
    lua_pop(L, 1);
    lua_pushstring(L, name);
    lua_pushnumber(L, time);
    lua_rawset(L, -3);
}

/* chapters:retime(factor [, offset]): a new list, all times multiplied, then moved by so many
 * seconds */
static int chapters_retime(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    double factor = luaL_checknumber(L, 2), offset = luaL_optnumber(L, 3, 0);
    luaL_argcheck(L, factor >= 0.001 && factor <= 1000, 2, "a factor from 0.001 to 1000");
    luaL_argcheck(L, fabs(offset) <= 1e6, 3, "seconds, at most a million");
    lua_settop(L, 1);
    lua_Integer count = (lua_Integer)lua_rawlen(L, 1);
    lua_newtable(L);
    for (lua_Integer i = 1; i <= count; i++) {
        if (lua_rawgeti(L, 1, i) != LUA_TTABLE) {
            return luaL_error(L, "chapter %d is a %s, not a table", (int)i, luaL_typename(L, -1));
        }
        lua_newtable(L); /* list, new list, chapter, copy */
        for (lua_pushnil(L); lua_next(L, 3); lua_pop(L, 1)) {
            lua_pushvalue(L, -2);
            lua_pushvalue(L, -2);
            lua_rawset(L, 4);
        }
        move_time(L, "start", factor, offset);
        move_time(L, "stop", factor, offset);
        lua_rawseti(L, 2, i);
        lua_settop(L, 2);
    }
    luaL_setmetatable(L, LIST_TYPE);
    return 1;
}

/* ---- to an output ---- */

struct chosen {
    int count;
    size_t bytes; /* of all tags */
    struct plan_chapter list[];
};

static int chosen_free(lua_State *L)
{
    struct chosen *chosen = luaL_checkudata(L, 1, CHOSEN_TYPE);
    for (int i = 0; i < chosen->count; i++) {
        av_dict_free((AVDictionary **)&chosen->list[i].metadata);
    }
    chosen->count = 0;
    return 0;
}

static double time_of(lua_State *L, int chapter, const char *name, int number)
{
    lua_pushstring(L, name);
    if (lua_rawget(L, chapter) != LUA_TNUMBER) {
        luaL_error(L, "chapter %d needs a '%s' in seconds, not a %s", number, name,
                   luaL_typename(L, -1));
    }
    double time = lua_tonumber(L, -1);
    lua_pop(L, 1);
    return time;
}

/* Copied for each chapter, however often Lua has the text only once. */
static void add_tag(lua_State *L, struct chosen *chosen, const char *name, const char *value)
{
    AVDictionary **tags = (AVDictionary **)&chosen->list[chosen->count - 1].metadata;
    chosen->bytes += strlen(name) + strlen(value);
    if (chosen->bytes > BIND_MAX_TAGS) {
        luaL_error(L, "the chapters of an output have more than %d KB of tags",
                   BIND_MAX_TAGS >> 10);
    }
    if (av_dict_set(tags, name, value, 0) < 0) {
        struct error e;
        error_set(&e, ERROR_OUT_OF_MEMORY, "out of memory while keeping chapters");
        sandbox_raise(L, &e);
    }
}

/* Tags of the last chapter into the list, which the userdata frees if something raises. */
static void read_tags(lua_State *L, int chapter, struct chosen *chosen, int number)
{
    lua_pushliteral(L, "metadata");
    int type = lua_rawget(L, chapter);
    if (type != LUA_TNIL && type != LUA_TTABLE) {
        luaL_error(L, "'metadata' of chapter %d must be a table", number);
    }
    if (type == LUA_TTABLE) {
        for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
            if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING) {
                luaL_error(L, "'metadata' of chapter %d has names with texts", number);
            }
            add_tag(L, chosen, lua_tostring(L, -2), lua_tostring(L, -1));
        }
    }
    lua_pop(L, 1);
    lua_pushliteral(L, "title");
    type = lua_rawget(L, chapter);
    if (type != LUA_TNIL && type != LUA_TSTRING) {
        luaL_error(L, "'title' of chapter %d must be text", number);
    }
    if (type == LUA_TSTRING) {
        add_tag(L, chosen, "title", lua_tostring(L, -1));
    }
    lua_pop(L, 1);
}

const struct plan_chapter *bind_check_chapters(lua_State *L, int index, int *count)
{
    lua_Integer length = (lua_Integer)lua_rawlen(L, index);
    if (length > MAX_CHAPTERS) {
        luaL_error(L, "an output has at most %d chapters", MAX_CHAPTERS);
    }
    luaL_checkstack(L, 12, NULL);
    struct chosen *chosen =
        lua_newuserdatauv(L, sizeof *chosen + (size_t)length * sizeof *chosen->list, 0);
    chosen->count = 0;
    chosen->bytes = 0;
    luaL_setmetatable(L, CHOSEN_TYPE);
    for (int i = 1; i <= (int)length; i++) {
        if (lua_rawgeti(L, index, i) != LUA_TTABLE) {
            luaL_error(L, "chapter %d is a %s, not a table", i, luaL_typename(L, -1));
        }
        int chapter = lua_gettop(L);
        struct plan_chapter *to = &chosen->list[chosen->count++];
        *to = (struct plan_chapter){0};
        to->start = time_of(L, chapter, "start", i);
        to->stop = time_of(L, chapter, "stop", i);
        read_tags(L, chapter, chosen, i);
        lua_pop(L, 1);
    }
    *count = chosen->count;
    return chosen->list;
}

void bind_open_chapters(lua_State *L)
{
    static const luaL_Reg list[] = {{"retime", chapters_retime}, {NULL, NULL}};
    static const luaL_Reg chosen[] = {{"__gc", chosen_free}, {NULL, NULL}};

    bind_type(L, CHOSEN_TYPE, chosen);
    luaL_newmetatable(L, LIST_TYPE);
    luaL_newlib(L, list);
    sandbox_make_readonly(L, "chapters");
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}
