/*
 * Where a script may cut: source:keyframes() and video:parts().
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/cut.h"
#include "lua/bind.h"

enum { MOST_KEYFRAMES = 100000 };

/* Keeps what C allocated for as long as Lua may raise. */
struct times {
    double *list;
    int count;
};

#define TIMES_TYPE "luma.times"

static int times_free(lua_State *L)
{
    struct times *times = luaL_checkudata(L, 1, TIMES_TYPE);
    free(times->list);
    times->list = NULL;
    return 0;
}

int bind_keyframes(lua_State *L, const struct bind_input *input)
{
    struct bind *bind = bind_of(L);
    double from = lua_isnoneornil(L, 2) ? input->start : bind_check_time(L, 2);
    double to = lua_isnoneornil(L, 3) ? input->stop : bind_check_time(L, 3);
    const struct media *media = plan_input_media(bind->plan, input->node);
    int best = media_best_stream(media, AVMEDIA_TYPE_VIDEO);
    struct error e = {0};

    struct times *times = lua_newuserdatauv(L, sizeof *times, 0);
    *times = (struct times){0};
    luaL_setmetatable(L, TIMES_TYPE);
    if (best < 0) {
        error_set(&e, ERROR_NO_SUCH_STREAM, "'%s' has no video", media->label);
        return bind_raise(L, &e);
    }
    if (cut_list_keyframes(bind->plan, (struct plan_edge){input->whole, best}, from, to,
                           MOST_KEYFRAMES, &times->list, &times->count, &e) < 0)
        return bind_raise(L, &e);
    lua_createtable(L, times->count, 0);
    for (int i = 0; i < times->count; i++) {
        lua_pushnumber(L, times->list[i]);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

struct wishes {
    bool keyframes, behind;
};

/* The table at index 2, if there is one. */
static struct wishes check_wishes(lua_State *L)
{
    struct wishes wishes = {false, false};
    if (lua_isnoneornil(L, 2)) {
        return wishes;
    }
    luaL_checktype(L, 2, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) {
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
        bool value = lua_toboolean(L, -1);
        if (strcmp(name, "keyframes") == 0) {
            wishes.keyframes = value;
        } else if (strcmp(name, "behind") == 0) {
            wishes.behind = value;
        } else {
            luaL_error(L, "parts() knows the options 'keyframes' and 'behind' only");
        }
    }
    return wishes;
}

/* The node of the whole file that a range was taken of: the first one with its media. */
static int whole_input(const struct plan *plan, int node)
{
    const struct media *media = plan_input_media(plan, node);
    int whole = 0;
    while (plan_input_media(plan, whole) != media) {
        whole++;
    }
    return whole;
}

static void set_number(lua_State *L, const char *name, double value)
{
    lua_pushnumber(L, value);
    lua_setfield(L, -2, name);
}

/* { start =, stop =, duration =, copied =, stream = } of a part; pushed. */
static int push_part(lua_State *L, struct plan_edge edge, const struct cut_part *part)
{
    struct error e = {0};
    int node = plan_add_range(bind_of(L)->plan, edge.node, part->start, part->stop, &e);
    if (node < 0) {
        return bind_raise(L, &e);
    }
    lua_createtable(L, 0, 5);
    set_number(L, "start", part->start);
    if (isfinite(part->stop)) {
        set_number(L, "stop", part->stop);
        set_number(L, "duration", part->stop - part->start);
    }
    lua_pushboolean(L, part->copied);
    lua_setfield(L, -2, "copied");
    bind_push_stream(L, (struct plan_edge){node, edge.pad}, part->start, part->stop);
    lua_setfield(L, -2, "stream");
    return 1;
}

int bind_parts(lua_State *L, const struct bind_stream *stream)
{
    struct bind *bind = bind_of(L);
    struct cut cut;
    struct error e = {0};

    if (!bind_edge_stream(bind->plan, stream->edge)) {
        return luaL_error(L, "only video straight from an input has parts");
    }
    struct wishes wishes = check_wishes(L);
    int code = wishes.keyframes ? cut_at_keyframes(bind->plan, stream->edge, stream->start,
                                                   stream->stop, &cut, &e)
                                : cut_exactly(bind->plan, stream->edge, stream->start, stream->stop,
                                              wishes.behind, &cut, &e);
    if (code < 0) {
        return bind_raise(L, &e);
    }
    struct plan_edge edge = {whole_input(bind->plan, stream->edge.node), stream->edge.pad};
    lua_createtable(L, cut.count, 0);
    for (int i = 0; i < cut.count; i++) {
        push_part(L, edge, &cut.parts[i]);
        lua_rawseti(L, -2, i + 1);
    }
    if (!*cut.reason) {
        return 1;
    }
    lua_pushstring(L, cut.reason);
    return 2;
}

void bind_open_cut(lua_State *L)
{
    static const luaL_Reg times[] = {{"__gc", times_free}, {NULL, NULL}};
    bind_type(L, TIMES_TYPE, times);
}
