/*
 * `av`: what this build of the engine has, and questions about a plan.
 */
#include <libavcodec/avcodec.h>
#include <stdlib.h>
#include <string.h>

#include "engine/formats.h"
#include "engine/introspect.h"
#include "lua/bind.h"
#include "lua/media_fields.h"
#include "lua/sandbox.h"

/* ---- what there is: made when first asked for ---- */

static void set_text(lua_State *L, const char *name, const char *text)
{
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}

/* How many tracks of each kind fit, by the kind's name. */
static void set_room(lua_State *L, const struct format *format)
{
    static const enum AVMediaType kinds[] = {AVMEDIA_TYPE_VIDEO, AVMEDIA_TYPE_AUDIO,
                                             AVMEDIA_TYPE_SUBTITLE};
    lua_createtable(L, 0, 3);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        lua_pushinteger(L, format_room(format, kinds[i]));
        lua_setfield(L, -2, media_kind_name(kinds[i]));
    }
    lua_setfield(L, -2, "room");
}

/* An alias ("mpegts") finds its format as well. */
static int formats_index(lua_State *L)
{
    const struct format *format =
        lua_type(L, 2) == LUA_TSTRING ? format_find(lua_tostring(L, 2)) : NULL;
    if (format) {
        lua_pushstring(L, format->name);
        lua_rawget(L, 1);
    } else {
        lua_pushnil(L);
    }
    return 1;
}

static void push_formats(lua_State *L)
{
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, formats_index);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    for (const struct format *format = format_table(); format->name; format++) {
        lua_createtable(L, 0, 9);
        set_text(L, "name", format->name);
        set_text(L, "muxer", format->muxer);
        set_text(L, "mime", format->mime_video);
        set_text(L, "mime_audio", *format->mime_audio ? format->mime_audio : format->mime_video);
        set_text(L, "video", format->video);
        set_text(L, "audio", format->audio);
        set_text(L, "subtitle", format->subtitle);
        set_text(L, "covers", format_covers(format));
        set_room(L, format);
        lua_pushboolean(L, format->picture);
        lua_setfield(L, -2, "picture");
        lua_setfield(L, -2, format->name);
    }
}

static void push_names(lua_State *L, const char *const *names, size_t count)
{
    lua_createtable(L, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        lua_pushstring(L, names[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

static void push_encoders(lua_State *L)
{
    size_t count;
    const char *const *names = introspect_encoders(&count);
    push_names(L, names, count);
}

static void push_filters(lua_State *L)
{
    size_t count;
    const char *const *names = introspect_filters(&count);
    push_names(L, names, count);
}

/* ---- questions ---- */

static const struct format *check_format(lua_State *L, int index)
{
    const char *name = luaL_checkstring(L, index);
    const struct format *format = format_find(name);
    const char *names[128];
    char hint[96];
    int count = 0;

    if (format) {
        return format;
    }
    for (const struct format *known = format_table(); known->name && count < 127; known++) {
        names[count++] = known->name;
    }
    names[count] = NULL;
    bind_hint(name, names, hint, sizeof hint);
    luaL_error(L, "unknown format '%s'%s", name, hint);
    return NULL;
}

/* av.can_copy(stream, format): true, or false and the reason */
static int av_can_copy(lua_State *L)
{
    const struct bind_stream *stream = bind_test_stream(L, 1);
    struct error e = {0};

    luaL_argcheck(L, stream, 1, "a stream expected");
    const struct format *format = check_format(L, 2);
    if (plan_can_copy(bind_of(L)->plan, stream->edge, format->name, &e)) {
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_pushboolean(L, 0);
    lua_pushstring(L, e.message);
    return 2;
}

/* av.holds(format, codec): whether a container takes a codec, by name */
static int av_holds(lua_State *L)
{
    const struct format *format = check_format(L, 1);
    const char *name = luaL_checkstring(L, 2);
    const AVCodecDescriptor *codec = avcodec_descriptor_get_by_name(name);
    const AVCodec *encoder = codec ? NULL : avcodec_find_encoder_by_name(name);

    if (!codec && !encoder) {
        return luaL_error(L, "unknown codec '%s'", name);
    }
    lua_pushboolean(L, format_takes(format, codec ? codec->id : encoder->id));
    return 1;
}

/* av.concat{ {v1, a1}, {v2, a2} }: joins segments end to end; as many streams as each has */
static int av_concat(lua_State *L)
{
    struct bind *bind = bind_of(L);
    struct plan_edge edges[BIND_MAX_EDGES];
    struct bind_options options;
    lua_Integer kinds[AVMEDIA_TYPE_NB] = {0};
    int count = 0;

    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_Integer segments = luaL_len(L, 1);
    for (lua_Integer i = 1; i <= segments; i++) {
        if (lua_geti(L, 1, i) != LUA_TTABLE) {
            return luaL_error(L, "concat takes a list of lists of streams");
        }
        lua_Integer streams = luaL_len(L, -1);
        for (lua_Integer j = 1; j <= streams; j++, count++) {
            lua_geti(L, -1, j);
            const struct bind_stream *stream = bind_test_stream(L, -1);
            struct plan_type type = {0};
            if (!stream || count == BIND_MAX_EDGES) {
                return luaL_error(L, "concat: segment %d, item %d: %s", (int)i, (int)j,
                                  stream ? "too many streams" : "a stream expected");
            }
            edges[count] = stream->edge;
            plan_edge_type(bind->plan, stream->edge, &type);
            if (i == 1 && (type.kind == AVMEDIA_TYPE_VIDEO || type.kind == AVMEDIA_TYPE_AUDIO)) {
                kinds[type.kind]++;
            }
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
    }
    lua_pushinteger(L, segments);
    lua_pushinteger(L, kinds[AVMEDIA_TYPE_VIDEO]);
    lua_pushinteger(L, kinds[AVMEDIA_TYPE_AUDIO]);
    bind_options_begin(L, &options);
    bind_options_add(L, &options, "n", 2, "concat");
    bind_options_add(L, &options, "v", 3, "concat");
    bind_options_add(L, &options, "a", 4, "concat");
    return bind_add_filter(L, "concat", edges, count, &options);
}

/* av.source("color", {c="black", size="640x360"}): a filter that makes streams of nothing */
static int av_source(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    struct bind_options options;
    struct error e = {0};

    bind_of(L);
    lua_settop(L, 2);
    if (!introspect_filter(name, &e)) {
        return bind_raise(L, &e);
    }
    bind_options_begin(L, &options);
    if (!lua_isnil(L, 2)) {
        luaL_checktype(L, 2, LUA_TTABLE);
        bind_options_add_table(L, &options, 2, name, NULL);
    }
    return bind_add_filter(L, name, NULL, 0, &options);
}

struct text {
    char *text;
};

static int text_free(lua_State *L)
{
    struct text *text = luaL_checkudata(L, 1, "luma.text");
    free(text->text);
    text->text = NULL;
    return 0;
}

/* av.explain(output or job [, "text" | "dot" | "ffmpeg"]) */
static int av_explain(lua_State *L)
{
    static const char *const styles[] = {"text", "dot", "ffmpeg", NULL};
    struct bind *bind = bind_of(L);
    struct error e = {0};
    int number = bind_test_output(L, 1);
    int style = luaL_checkoption(L, 2, "text", styles);

    luaL_argcheck(L, number >= 0 || bind_test_job(L, 1), 1, "an output or the job expected");
    if (number >= 0 && bind->outputs[number].node < 0) {
        return luaL_error(L, "an output of text has no plan");
    }
    struct text *text = lua_newuserdatauv(L, sizeof *text, 0);
    text->text = NULL;
    luaL_setmetatable(L, "luma.text");
    const int *outputs = number >= 0 ? &bind->outputs[number].node : NULL;
    int status = plan_explain(bind->plan, outputs, number >= 0 ? 1 : 0, (enum plan_style)style,
                              &text->text, &e);
    if (status < 0) {
        return bind_raise(L, &e);
    }
    lua_pushstring(L, text->text);
    return 1;
}

/* ---- the table ---- */

static int av_index(lua_State *L)
{
    static const struct {
        const char *name;
        void (*push)(lua_State *L);
    } made[] = {{"formats", push_formats}, {"encoders", push_encoders}, {"filters", push_filters}};
    static const char *const names[] = {"asset",    "can_copy", "concat", "encoders", "explain",
                                        "filters",  "formats",  "holds",  "measure",  "null",
                                        "sequence", "source",   NULL};
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
    char hint[96];

    for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
        if (strcmp(made[i].name, name) == 0) {
            made[i].push(L);
            sandbox_make_readonly(L, name);
            lua_pushvalue(L, -1);
            lua_setfield(L, 1, name);
            return 1;
        }
    }
    bind_hint(name, names, hint, sizeof hint);
    return luaL_error(L, "av has no '%s'%s", name, hint);
}

void bind_open_av(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"asset", bind_asset},     {"can_copy", av_can_copy},   {"holds", av_holds},
        {"concat", av_concat},     {"source", av_source},       {"explain", av_explain},
        {"measure", bind_measure}, {"sequence", bind_sequence}, {NULL, NULL},
    };
    static const luaL_Reg text[] = {{"__gc", text_free}, {NULL, NULL}};

    bind_type(L, "luma.text", text);
    luaL_newlib(L, functions);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, av_index);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    sandbox_make_readonly(L, "av");
    sandbox_set_global(L, "av");
}
