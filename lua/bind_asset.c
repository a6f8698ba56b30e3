/*
 * Handles of assets: a script names a file of the operators' assets folder and gets a value that
 * goes where a filter's option names a file. What it leads to is looked up at once, so that a wrong
 * name is told where it is written, and again when the filter is made.
 */
#include <limits.h>
#include <string.h>

#include "engine/asset.h"
#include "engine/plan.h"
#include "lua/bind.h"

#define ASSET_TYPE "luma.asset"

const char *bind_test_asset(lua_State *L, int index)
{
    return luaL_testudata(L, index, ASSET_TYPE);
}

int bind_asset(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    char path[PATH_MAX];
    struct error e = {0};

    if (asset_path(plan_assets(bind_of(L)->plan), name, path, sizeof path, &e) < 0) {
        return bind_raise(L, &e);
    }
    const char *value = lua_pushfstring(L, "asset:%s", name);
    size_t size = strlen(value) + 1;
    memcpy(lua_newuserdatauv(L, size, 0), value, size);
    luaL_setmetatable(L, ASSET_TYPE);
    return 1;
}

static int asset_tostring(lua_State *L)
{
    lua_pushstring(L, luaL_checkudata(L, 1, ASSET_TYPE));
    return 1;
}

void bind_open_asset(lua_State *L)
{
    static const luaL_Reg functions[] = {{"__tostring", asset_tostring}, {NULL, NULL}};
    bind_type(L, ASSET_TYPE, functions);
}
