/*
 * What all bindings lean on: see bind.h.
 */
#include "lua/bind.h"

#include <stdio.h>
#include <string.h>

#include "engine/introspect.h"
#include "lua/sandbox.h"

struct bind *bind_of(lua_State *L)
{
    struct bind *bind = sandbox_user(L);
    if (!bind || !bind->plan) {
        luaL_error(L, "there is no job yet: this belongs into run() or check()");
    }
    return bind;
}

int bind_raise(lua_State *L, struct error *e)
{
    if (e->code == ERROR_INVALID_OPTION || e->code == ERROR_INVALID_INPUT) {
        e->code = ERROR_SCRIPT;
    }
    return sandbox_raise(L, e);
}

void bind_type(lua_State *L, const char *name, const luaL_Reg *functions)
{
    luaL_newmetatable(L, name);
    luaL_setfuncs(L, functions, 0);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}

void bind_hint(const char *name, const char *const *names, char *hint, size_t size)
{
    size_t count = 0;
    while (names[count]) {
        count++;
    }
    const char *nearest = introspect_nearest(name, names, count);
    *hint = '\0';
    if (nearest) {
        snprintf(hint, size, "; did you mean '%s'?", nearest);
    }
}

void bind_open(lua_State *L)
{
    bind_open_media(L);
    bind_open_stream(L);
    bind_open_job(L);
    bind_open_output(L);
    bind_open_measure(L);
    bind_open_asset(L);
    bind_open_chapters(L);
    bind_open_cut(L);
    bind_open_av(L);
}
