/*
 * Streams and tracks as Lua values: fields, filters as methods, encode and copy.
 *
 * A stream is an edge of the plan; a method adds a node and returns a new stream. A track is what
 * encode and copy give, and what an output takes; it has no filters, so that a wrong order of
 * calls is told in words.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/introspect.h"
#include "lua/bind.h"
#include "lua/media_fields.h"
#include "lua/sandbox.h"

#define STREAM_TYPE "luma.stream"
#define TRACK_TYPE  "luma.track"

const struct media_stream *bind_edge_stream(const struct plan *plan, struct plan_edge edge)
{
    if (edge.node < 0 || plan_node_kind(plan, edge.node) != PLAN_INPUT) {
        return NULL;
    }
    const struct media *media = plan_input_media(plan, edge.node);
    return media && edge.pad >= 0 && edge.pad < media->stream_count ? &media->streams[edge.pad]
                                                                    : NULL;
}

void bind_push_stream(lua_State *L, struct plan_edge edge, double start, double stop)
{
    struct bind_stream *stream = lua_newuserdatauv(L, sizeof *stream, 0);
    *stream = (struct bind_stream){edge, start, stop, 1, 0};
    luaL_setmetatable(L, STREAM_TYPE);
}

const struct bind_stream *bind_test_stream(lua_State *L, int index)
{
    return luaL_testudata(L, index, STREAM_TYPE);
}

const struct bind_track *bind_test_track(lua_State *L, int index)
{
    return luaL_testudata(L, index, TRACK_TYPE);
}

void bind_push_track(lua_State *L, int node)
{
    struct bind_track *track = lua_newuserdatauv(L, sizeof *track, 0);
    track->edge = (struct plan_edge){node, 0};
    luaL_setmetatable(L, TRACK_TYPE);
}

/* The stream that a method was called on. */
static const struct bind_stream *check_self(lua_State *L, const char *method)
{
    const struct bind_stream *stream = bind_test_stream(L, 1);
    if (!stream) {
        luaL_error(L, "call it with a colon, on a stream: stream:%s(...)", method);
    }
    return stream;
}

/* ---- filters ---- */

int bind_add_filter(lua_State *L, const char *filter, const struct plan_edge *edges, int count,
                    const struct bind_options *options)
{
    struct bind *bind = bind_of(L);
    struct error e = {0};
    int node = plan_add_filter(bind->plan, filter, edges, count, options->list, options->count, &e);

    if (node < 0) {
        return bind_raise(L, &e);
    }
    int pads = plan_pad_count(bind->plan, node);
    luaL_checkstack(L, pads, "too many outputs");
    for (int pad = 0; pad < pads; pad++) {
        bind_push_stream(L, (struct plan_edge){node, pad}, 0, INFINITY);
    }
    return pads;
}

/* Filters that take any number of streams want to be told how many. */
static void add_input_count(lua_State *L, struct bind_options *options, const AVFilter *filter,
                            int count, const char *what)
{
    static const char *const names[] = {"inputs", "nb_inputs"};

    if (!(filter->flags & AVFILTER_FLAG_DYNAMIC_INPUTS) || count < 2) {
        return;
    }
    for (size_t i = 0; i < 2; i++) {
        if (bind_options_have(options, names[i])) {
            return;
        }
        if (introspect_filter_option(filter, names[i], NULL)) {
            lua_pushinteger(L, count);
            bind_options_add(L, options, names[i], lua_gettop(L), what);
            lua_pop(L, 1);
            return;
        }
    }
}

/* Up to four values without names, in the order of FFmpeg's documentation. */
static int add_positional(lua_State *L, struct bind_options *options, const AVFilter *filter,
                          int index, int top, const char *what)
{
    const char *names[4];
    int known = introspect_positional(filter, names);
    int given = 0;

    for (; index <= top && !lua_istable(L, index); index++, given++) {
        if (bind_test_stream(L, index)) {
            return luaL_error(L, "%s takes its other streams before its values", what);
        }
        if (given >= known) {
            return luaL_error(L,
                              "%s takes at most %d values without names: give them as {name=...}",
                              what, known);
        }
        if (!lua_isnil(L, index)) {
            bind_options_add(L, options, names[given], index, what);
        }
    }
    return index;
}

/* stream:FILTER(other streams..., up to four values, {name=value...}); upvalue 1 is the name. */
static int call_filter(lua_State *L)
{
    const char *name = lua_tostring(L, lua_upvalueindex(1));
    struct plan_edge edges[BIND_MAX_EDGES];
    struct bind_options options;
    int top = lua_gettop(L), index = 2, count = 1;
    char what[80];
    struct error e;

    edges[0] = check_self(L, name)->edge;
    snprintf(what, sizeof what, "filter '%s'", name);
    const AVFilter *filter = introspect_filter(name, &e);
    if (!filter) {
        return bind_raise(L, &e);
    }
    for (; index <= top && bind_test_stream(L, index); index++) {
        if (count == BIND_MAX_EDGES) {
            return luaL_error(L, "%s has more than %d streams", what, BIND_MAX_EDGES);
        }
        edges[count++] = bind_test_stream(L, index)->edge;
    }
    bind_options_begin(L, &options);
    index = add_positional(L, &options, filter, index, top, what);
    if (index <= top) {
        bind_options_add_table(L, &options, index, what, NULL);
        if (index < top) {
            return luaL_error(L, "%s takes its table of options last", what);
        }
    }
    add_input_count(L, &options, filter, count, what);
    return bind_add_filter(L, name, edges, count, &options);
}

/* ---- encode and copy ---- */

static void check_options_table(lua_State *L, const char *method)
{
    if (lua_isnoneornil(L, 2)) {
        lua_settop(L, 1);
        lua_newtable(L);
    }
    if (!lua_istable(L, 2)) {
        luaL_error(L, "%s takes a table: stream:%s{...}", method, method);
    }
    lua_settop(L, 2);
}

/* A text field of the table at index 2, left on the stack; NULL if it isn't there. */
static const char *text_field(lua_State *L, const char *name, const char *method)
{
    lua_pushstring(L, name);
    if (lua_rawget(L, 2) == LUA_TNIL) {
        return NULL;
    }
    if (lua_type(L, -1) != LUA_TSTRING) {
        luaL_error(L, "'%s' of %s must be text, not a %s", name, method, luaL_typename(L, -1));
    }
    return lua_tostring(L, -1);
}

/* What retime() has asked for, as options of the track. */
static void add_retiming(lua_State *L, struct bind_options *options,
                         const struct bind_stream *stream, const char *what)
{
    const double numbers[] = {stream->factor, stream->offset};
    static const char *const names[] = {"time_factor", "time_offset"};

    for (int i = 0; i < 2; i++) {
        if (numbers[i] != (i == 0 ? 1 : 0)) {
            lua_pushnumber(L, numbers[i]);
            bind_options_add(L, options, names[i], lua_gettop(L), what);
            lua_pop(L, 1);
        }
    }
}

/* subtitle:retime(factor [, offset]): all its times multiplied, then moved by so many seconds */
static int stream_retime(lua_State *L)
{
    const struct bind_stream *stream = check_self(L, "retime");
    struct plan_type type = {0};
    double factor = luaL_checknumber(L, 2), offset = luaL_optnumber(L, 3, 0);

    plan_edge_type(bind_of(L)->plan, stream->edge, &type);
    if (type.kind == AVMEDIA_TYPE_VIDEO || type.kind == AVMEDIA_TYPE_AUDIO) {
        return luaL_error(L, "%s isn't retimed but filtered: video:setpts, audio:atempo",
                          media_kind_name(type.kind));
    }
    luaL_argcheck(L, factor >= 0.001 && factor <= 1000, 2, "a factor from 0.001 to 1000");
    luaL_argcheck(L, fabs(offset) <= 1e6, 3, "seconds, at most a million");
    struct bind_stream *retimed = lua_newuserdatauv(L, sizeof *retimed, 0);
    *retimed = *stream;
    retimed->factor = stream->factor * factor;
    retimed->offset = stream->offset * factor + offset;
    luaL_setmetatable(L, STREAM_TYPE);
    return 1;
}

static int stream_encode(lua_State *L)
{
    static const char *const read_here[] = {"codec", NULL};
    const struct bind_stream *stream = check_self(L, "encode");
    struct plan_edge edge = stream->edge;
    struct bind *bind = bind_of(L);
    struct bind_options options;
    struct error e = {0};

    check_options_table(L, "encode");
    const char *codec = text_field(L, "codec", "encode");
    if (!codec) {
        return luaL_error(L, "encode needs a codec: stream:encode{ codec=\"h264\" }");
    }
    bind_options_begin(L, &options);
    bind_options_add_table(L, &options, 2, "encode", read_here);
    add_retiming(L, &options, stream, "encode");
    int node = plan_add_encode(bind->plan, edge, codec, options.list, options.count, &e);
    if (node < 0) {
        return bind_raise(L, &e);
    }
    bind_push_track(L, node);
    return 1;
}

static int stream_copy(lua_State *L)
{
    static const char *const read_here[] = {"bsf", NULL};
    const struct bind_stream *stream = check_self(L, "copy");
    struct plan_edge edge = stream->edge;
    struct bind *bind = bind_of(L);
    struct bind_options options;
    struct error e = {0};

    check_options_table(L, "copy");
    const char *bsf = text_field(L, "bsf", "copy");
    bind_options_begin(L, &options);
    bind_options_add_table(L, &options, 2, "copy", read_here);
    add_retiming(L, &options, stream, "copy");
    int node = plan_add_copy(bind->plan, edge, bsf, options.list, options.count, &e);
    if (node < 0) {
        return bind_raise(L, &e);
    }
    bind_push_track(L, node);
    return 1;
}

/* split and asplit differ only in the kind of stream, which the stream knows. */
static int stream_split(lua_State *L)
{
    const struct bind_stream *stream = check_self(L, "split");
    struct plan_edge edge = stream->edge;
    struct plan_type type = {0};
    struct bind_options options;

    plan_edge_type(bind_of(L)->plan, edge, &type);
    lua_Integer count = luaL_optinteger(L, 2, 2);
    luaL_argcheck(L, count >= 1 && count <= BIND_MAX_EDGES, 2, "1 to 64 streams");
    lua_settop(L, 2);
    lua_pushinteger(L, count);
    bind_options_begin(L, &options);
    bind_options_add(L, &options, "outputs", 3, "split");
    return bind_add_filter(L, type.kind == AVMEDIA_TYPE_AUDIO ? "asplit" : "split", &edge, 1,
                           &options);
}

/* stream:palette{...}: the engine's own, called like a filter */
static int stream_palette(lua_State *L)
{
    struct plan_edge edge = check_self(L, "palette")->edge;
    struct bind_options options;
    struct error e = {0};

    check_options_table(L, "palette");
    bind_options_begin(L, &options);
    bind_options_add_table(L, &options, 2, "palette", NULL);
    int node = plan_add_palette(bind_of(L)->plan, edge, options.list, options.count, &e);
    if (node < 0) {
        return bind_raise(L, &e);
    }
    bind_push_stream(L, (struct plan_edge){node, 0}, 0, INFINITY);
    return 1;
}

/* video:parts{...}: what of it can be copied and what has to be encoded */
static int stream_parts(lua_State *L)
{
    return bind_parts(L, check_self(L, "parts"));
}

/* The subtitles at the index: a stream, or an input, of which the usual ones are taken. */
static struct plan_edge check_subtitles(lua_State *L, int index)
{
    const struct bind_input *input = bind_test_input(L, index);
    const struct bind_stream *stream = bind_test_stream(L, index);
    if (stream) {
        luaL_argcheck(L, stream->factor == 1 && stream->offset == 0, index,
                      "subtitles that are burned can't be retimed; retime the video after it");
        return stream->edge;
    }
    if (!input) {
        luaL_typeerror(L, index, "a subtitle stream, or an input with one");
        return (struct plan_edge){-1, 0};
    }
    const struct media *media = plan_input_media(bind_of(L)->plan, input->node);
    int best = media_best_stream(media, AVMEDIA_TYPE_SUBTITLE);
    if (best < 0) {
        struct error e;
        error_set(&e, ERROR_NO_SUCH_STREAM, "'%s' has no subtitles", media->label);
        bind_raise(L, &e);
    }
    return (struct plan_edge){input->node, best};
}

/* video:burn(subtitles [, {font=, size=, ...}]) */
static int stream_burn(lua_State *L)
{
    struct plan_edge video = check_self(L, "burn")->edge;
    struct plan_edge subtitle = check_subtitles(L, 2);
    struct bind_options options;
    struct error e = {0};

    lua_settop(L, 3);
    bind_options_begin(L, &options);
    if (!lua_isnil(L, 3)) {
        luaL_checktype(L, 3, LUA_TTABLE);
        bind_options_add_table(L, &options, 3, "burn", NULL);
    }
    int node = plan_add_burn(bind_of(L)->plan, video, subtitle, options.list, options.count, &e);
    if (node < 0) {
        return bind_raise(L, &e);
    }
    bind_push_stream(L, (struct plan_edge){node, 0}, 0, INFINITY);
    return 1;
}

/* ---- the type ---- */

static const luaL_Reg methods[] = {
    {"encode", stream_encode},   {"copy", stream_copy},
    {"retime", stream_retime},   {"split", stream_split},
    {"palette", stream_palette}, {"parts", stream_parts},
    {"burn", stream_burn},       {NULL, NULL},
};

int bind_stream_methods(const char **names, int room)
{
    int count = 0;
    for (const luaL_Reg *method = methods; method->name && count < room; method++) {
        names[count++] = method->name;
    }
    return count;
}

/* No method, no field, no filter: the nearest of all their names. */
static int refuse_name(lua_State *L, const char *name, const struct error *filter_error)
{
    enum { MOST = 1000 };
    const char *names[MOST + 1];
    char hint[96];
    size_t filter_count, count = 0;
    const char *const *filters = introspect_filters(&filter_count);

    if (avfilter_get_by_name(name)) { /* it is one, but refused */
        return luaL_error(L, "%s", filter_error->message);
    }
    for (const luaL_Reg *method = methods; method->name; method++) {
        names[count++] = method->name;
    }
    for (const struct media_field *field = media_fields; field->name; field++) {
        names[count++] = field->name;
    }
    for (size_t i = 0; i < filter_count && count < MOST; i++) {
        names[count++] = filters[i];
    }
    names[count] = NULL;
    bind_hint(name, names, hint, sizeof hint);
    return luaL_error(L, "a stream has no field and no filter '%s'%s", name, hint);
}

static int stream_index(lua_State *L)
{
    const struct bind_stream *stream = luaL_checkudata(L, 1, STREAM_TYPE);
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : NULL;
    struct error e = {0};

    if (!name) {
        return luaL_error(L, "a stream has no elements");
    }
    for (const luaL_Reg *method = methods; method->name; method++) {
        if (strcmp(method->name, name) == 0) {
            lua_pushcfunction(L, method->func);
            return 1;
        }
    }
    if (bind_push_stream_field(L, stream, name)) {
        return 1;
    }
    if (!introspect_filter(name, &e)) {
        return refuse_name(L, name, &e);
    }
    lua_settop(L, 2);
    lua_pushcclosure(L, call_filter, 1);
    return 1;
}

static int stream_equal(lua_State *L)
{
    const struct bind_stream *a = luaL_testudata(L, 1, STREAM_TYPE);
    const struct bind_stream *b = luaL_testudata(L, 2, STREAM_TYPE);
    lua_pushboolean(L, a && b && a->edge.node == b->edge.node && a->edge.pad == b->edge.pad);
    return 1;
}

static int stream_assign(lua_State *L)
{
    return luaL_error(L, "a stream can't be changed; its methods return new ones");
}

static int stream_tostring(lua_State *L)
{
    const struct bind_stream *stream = luaL_checkudata(L, 1, STREAM_TYPE);
    struct bind *bind = sandbox_user(L);
    struct plan_type type;

    if (!bind || !bind->plan || !plan_edge_type(bind->plan, stream->edge, &type)) {
        lua_pushliteral(L, "stream");
        return 1;
    }
    const struct media_stream *source = bind_edge_stream(bind->plan, stream->edge);
    if (source) {
        lua_pushfstring(L, "%s stream %d (%s)", media_kind_name(type.kind), source->index,
                        *source->codec ? source->codec : "unknown");
    } else {
        lua_pushfstring(L, "%s stream", media_kind_name(type.kind));
    }
    return 1;
}

static int track_index(lua_State *L)
{
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
    return luaL_error(L, "a track that is encoded or copied has no '%s'; it goes to job:output{}",
                      name);
}

static int track_tostring(lua_State *L)
{
    luaL_checkudata(L, 1, TRACK_TYPE);
    lua_pushliteral(L, "track");
    return 1;
}

void bind_open_stream(lua_State *L)
{
    static const luaL_Reg stream[] = {
        {"__index", stream_index},
        {"__newindex", stream_assign},
        {"__eq", stream_equal},
        {"__tostring", stream_tostring},
        {NULL, NULL},
    };
    static const luaL_Reg track[] = {
        {"__index", track_index},
        {"__newindex", stream_assign},
        {"__tostring", track_tostring},
        {NULL, NULL},
    };
    bind_type(L, STREAM_TYPE, stream);
    bind_type(L, TRACK_TYPE, track);
}
