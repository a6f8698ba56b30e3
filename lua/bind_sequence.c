/*
 * av.sequence{ segment, ... }: one track out of segments, end to end.
 *
 * A segment is a stream or a track, or a table { stream, duration = seconds }. Of streams comes a
 * stream, of tracks a track.
 */
#include <math.h>

#include "lua/bind.h"

/* The value on top of the stack, as the nth segment; raises if it is none. */
static struct plan_edge check_part(lua_State *L, int number, bool *tracks)
{
    const struct bind_stream *stream = bind_test_stream(L, -1);
    const struct bind_track *track = bind_test_track(L, -1);
    *tracks = track != NULL;
    if (track) {
        return track->edge;
    }
    if (stream) {
        return stream->edge;
    }
    luaL_error(L, "segment %d of a sequence must be a stream or a track, not a %s", number,
               luaL_typename(L, -1));
    return (struct plan_edge){-1, 0}; /* never: luaL_error() doesn't return */
}

static double check_seconds(lua_State *L, int number)
{
    int type = lua_getfield(L, -1, "duration");
    if (type != LUA_TNIL && type != LUA_TNUMBER) {
        luaL_error(L, "the duration of segment %d must be a number of seconds", number);
    }
    double seconds = type == LUA_TNUMBER ? lua_tonumber(L, -1) : NAN;
    lua_pop(L, 1);
    return seconds;
}

int bind_sequence(lua_State *L)
{
    enum { MOST = 4096 };
    struct bind *bind = bind_of(L);
    struct error e = {0};
    bool tracks = false;

    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_Integer count = luaL_len(L, 1);
    luaL_argcheck(L, count >= 0 && count <= MOST, 1, "at most 4096 segments");
    struct plan_segment *segments = lua_newuserdatauv(L, ((size_t)count + 1) * sizeof *segments, 0);
    for (int i = 0; i < (int)count; i++) {
        int type = lua_geti(L, 1, i + 1);
        segments[i].duration = NAN;
        if (type == LUA_TTABLE) {
            segments[i].duration = check_seconds(L, i + 1);
            lua_geti(L, -1, 1);
            lua_remove(L, -2);
        }
        segments[i].edge = check_part(L, i + 1, &tracks);
        lua_pop(L, 1);
    }
    int node = plan_add_sequence(bind->plan, segments, (int)count, &e);
    if (node < 0) {
        return bind_raise(L, &e);
    }
    if (tracks) {
        bind_push_track(L, node);
    } else {
        bind_push_stream(L, (struct plan_edge){node, 0}, 0, INFINITY);
    }
    return 1;
}
