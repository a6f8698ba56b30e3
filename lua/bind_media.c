/*
 * Inputs as Lua values: what is known of them, their streams, ranges and single frames.
 */
#include <math.h>
#include <string.h>

#include "engine/formats.h"
#include "engine/length.h"
#include "lua/bind.h"
#include "lua/json_lua.h"
#include "lua/operation.h"
#include "lua/sandbox.h"

#define INPUT_TYPE "luma.input"

#define MAX_PICKS 10000 /* frames that one call of at() asks for */

void bind_push_input(lua_State *L, int node)
{
    struct bind_input *input = lua_newuserdatauv(L, sizeof *input, 0);
    *input = (struct bind_input){node, node, 0, INFINITY};
    luaL_setmetatable(L, INPUT_TYPE);
}

const struct bind_input *bind_test_input(lua_State *L, int index)
{
    return luaL_testudata(L, index, INPUT_TYPE);
}

static const struct bind_input *check_self(lua_State *L)
{
    return luaL_checkudata(L, 1, INPUT_TYPE);
}

static const struct media *media_of(lua_State *L, const struct bind_input *input)
{
    return plan_input_media(bind_of(L)->plan, input->node);
}

/* ---- streams ---- */

static void push_stream(lua_State *L, const struct bind_input *input, int index)
{
    if (index < 0) {
        lua_pushnil(L);
    } else {
        bind_push_stream(L, (struct plan_edge){input->node, index}, input->start, input->stop);
    }
}

/* The streams of a kind (-1: all) that are, or are not, attached pictures. */
static void push_streams(lua_State *L, const struct bind_input *input, int kind, bool pictures)
{
    const struct media *media = media_of(L, input);
    int count = 0;

    lua_newtable(L);
    for (int i = 0; i < media->stream_count; i++) {
        const struct media_stream *stream = &media->streams[i];
        if (kind >= 0 && ((int)stream->kind != kind || stream->attached_picture != pictures)) {
            continue;
        }
        push_stream(L, input, i);
        lua_rawseti(L, -2, ++count);
    }
}

/* ---- fields ---- */

static void push_known(lua_State *L, int64_t number)
{
    if (number > 0) {
        lua_pushinteger(L, number);
    } else {
        lua_pushnil(L);
    }
}

static void push_time(lua_State *L, double seconds)
{
    if (isfinite(seconds)) {
        lua_pushnumber(L, seconds);
    } else {
        lua_pushnil(L);
    }
}

static void get_format(lua_State *L, const struct bind_input *input)
{
    lua_pushstring(L, media_of(L, input)->format);
}

static void get_family(lua_State *L, const struct bind_input *input)
{
    lua_pushstring(L, format_of_media(media_of(L, input))->name);
}

static void get_name(lua_State *L, const struct bind_input *input)
{
    lua_pushstring(L, media_of(L, input)->label);
}

static void get_duration(lua_State *L, const struct bind_input *input)
{
    push_time(L, bind_range_duration(media_of(L, input)->duration, input->start, input->stop));
}

static void get_size(lua_State *L, const struct bind_input *input)
{
    push_known(L, media_of(L, input)->size);
}

static void get_bit_rate(lua_State *L, const struct bind_input *input)
{
    push_known(L, media_of(L, input)->bit_rate);
}

static void get_metadata(lua_State *L, const struct bind_input *input)
{
    bind_push_tags(L, media_of(L, input)->metadata);
}

static void get_chapters(lua_State *L, const struct bind_input *input)
{
    bind_push_chapters(L, media_of(L, input));
}

static void get_streams(lua_State *L, const struct bind_input *input)
{
    push_streams(L, input, -1, false);
}

static void get_video(lua_State *L, const struct bind_input *input)
{
    push_stream(L, input, media_best_stream(media_of(L, input), AVMEDIA_TYPE_VIDEO));
}

static void get_audio(lua_State *L, const struct bind_input *input)
{
    push_stream(L, input, media_best_stream(media_of(L, input), AVMEDIA_TYPE_AUDIO));
}

static void get_subtitle(lua_State *L, const struct bind_input *input)
{
    push_stream(L, input, media_best_stream(media_of(L, input), AVMEDIA_TYPE_SUBTITLE));
}

static void get_videos(lua_State *L, const struct bind_input *input)
{
    push_streams(L, input, AVMEDIA_TYPE_VIDEO, false);
}

static void get_audios(lua_State *L, const struct bind_input *input)
{
    push_streams(L, input, AVMEDIA_TYPE_AUDIO, false);
}

static void get_subtitles(lua_State *L, const struct bind_input *input)
{
    push_streams(L, input, AVMEDIA_TYPE_SUBTITLE, false);
}

static void get_pictures(lua_State *L, const struct bind_input *input)
{
    push_streams(L, input, AVMEDIA_TYPE_VIDEO, true);
}

static const struct {
    const char *name;
    void (*get)(lua_State *L, const struct bind_input *input);
} fields[] = {
    {"format", get_format},     {"family", get_family},     {"name", get_name},
    {"duration", get_duration}, {"size", get_size},         {"bit_rate", get_bit_rate},
    {"metadata", get_metadata}, {"chapters", get_chapters}, {"streams", get_streams},
    {"video", get_video},       {"audio", get_audio},       {"subtitle", get_subtitle},
    {"videos", get_videos},     {"audios", get_audios},     {"subtitles", get_subtitles},
    {"pictures", get_pictures},
};
#define FIELD_COUNT (sizeof fields / sizeof *fields)

/* ---- methods ---- */

/* Times count from the file's beginning, also on what is a range already. */
static int push_range(lua_State *L, const struct bind_input *input, double start, double stop)
{
    struct error e = {0};

    if (start < 0 || !(stop > start)) {
        return luaL_error(L, "a range must begin at 0 or later and end after it begins");
    }
    int node = plan_add_range(bind_of(L)->plan, input->whole, start, stop, &e);
    if (node < 0) {
        return bind_raise(L, &e);
    }
    struct bind_input *range = lua_newuserdatauv(L, sizeof *range, 0);
    *range = (struct bind_input){node, input->whole, start, stop};
    luaL_setmetatable(L, INPUT_TYPE);
    return 1;
}

static int input_from(lua_State *L)
{
    const struct bind_input *input = check_self(L);
    return push_range(L, input, bind_check_time(L, 2), input->stop);
}

static int input_to(lua_State *L)
{
    const struct bind_input *input = check_self(L);
    return push_range(L, input, input->start, bind_check_time(L, 2));
}

static int input_between(lua_State *L)
{
    const struct bind_input *input = check_self(L);
    double start = lua_isnoneornil(L, 2) ? input->start : bind_check_time(L, 2);
    double stop = lua_isnoneornil(L, 3) ? input->stop : bind_check_time(L, 3);
    return push_range(L, input, start, stop);
}

/* Times from the value at index 2 (one, or a list) into a new userdata; pushed. */
static double *push_times(lua_State *L, int *count)
{
    bool list = lua_istable(L, 2);
    lua_Integer length = list ? luaL_len(L, 2) : 1;

    if (length < 1 || length > MAX_PICKS) {
        luaL_error(L, "at() takes 1 to %d times, not %d", MAX_PICKS, (int)length);
    }
    double *times = lua_newuserdatauv(L, (size_t)length * sizeof *times, 0);
    for (lua_Integer i = 0; i < length; i++) {
        if (list) {
            lua_geti(L, 2, i + 1);
        } else {
            lua_pushvalue(L, 2);
        }
        if (lua_type(L, -1) != LUA_TNUMBER && lua_type(L, -1) != LUA_TSTRING) {
            luaL_error(L, "at() takes times in seconds: number %d is a %s", (int)i + 1,
                       luaL_typename(L, -1));
        }
        times[i] = bind_check_time(L, lua_gettop(L));
        if (times[i] < 0) {
            luaL_error(L, "at() takes times from 0: number %d is below", (int)i + 1);
        }
        lua_pop(L, 1);
    }
    *count = (int)length;
    return times;
}

static bool keyframe_option(lua_State *L, int index)
{
    if (lua_isnoneornil(L, index)) {
        return false;
    }
    luaL_checktype(L, index, LUA_TTABLE);
    bool keyframe = false;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING || strcmp(lua_tostring(L, -2), "keyframe") != 0) {
            luaL_error(L, "at() knows the option 'keyframe' only");
        }
        keyframe = lua_toboolean(L, -1);
    }
    return keyframe;
}

static int input_at(lua_State *L)
{
    const struct bind_input *input = check_self(L);
    struct bind *bind = bind_of(L);
    int best = media_best_stream(media_of(L, input), AVMEDIA_TYPE_VIDEO);
    struct error e = {0};
    int count;

    lua_settop(L, 3);
    bool keyframe = keyframe_option(L, 3);
    double *times = push_times(L, &count);
    if (best < 0) {
        error_set(&e, ERROR_NO_SUCH_STREAM, "'%s' has no video", media_of(L, input)->label);
        return bind_raise(L, &e);
    }
    for (int i = 0; i < count; i++) {
        times[i] += input->start; /* of a range: from its beginning */
    }
    int node = plan_add_pick(bind->plan, (struct plan_edge){input->whole, best}, times, count,
                             keyframe, &e);
    if (node < 0) {
        return bind_raise(L, &e);
    }
    bind_push_stream(L, (struct plan_edge){node, 0}, 0, INFINITY);
    return 1;
}

/* The duration, where the container doesn't tell found by reading to the end; or nil. */
static int input_length(lua_State *L)
{
    const struct bind_input *input = check_self(L);
    double seconds = NAN;
    struct error e = {0};

    if (length_of_input(bind_of(L)->plan, input->whole, &seconds, &e) < 0)
        return bind_raise(L, &e);
    push_time(L, bind_range_duration(seconds, input->start, input->stop));
    return 1;
}

struct description {
    json_t *json;
};

static int description_free(lua_State *L)
{
    struct description *description = luaL_checkudata(L, 1, "luma.description");
    json_decref(description->json);
    description->json = NULL;
    return 0;
}

/* All that is known, as the table that probe gives out; what isn't known is av.null. */
static int input_describe(lua_State *L)
{
    const struct bind_input *input = check_self(L);
    /* the userdata frees the JSON if pushing it raises */
    struct description *description = lua_newuserdatauv(L, sizeof *description, 0);
    description->json = NULL;
    luaL_setmetatable(L, "luma.description");
    description->json = operation_media_json(media_of(L, input));
    if (!description->json) {
        struct error e;
        error_set(&e, ERROR_OUT_OF_MEMORY, "out of memory while describing an input");
        return sandbox_raise(L, &e);
    }
    json_push_lua(L, description->json);
    json_decref(description->json);
    description->json = NULL;
    return 1;
}

/* source:keyframes([from [, to]]): their times, without decoding */
static int input_keyframes(lua_State *L)
{
    return bind_keyframes(L, check_self(L));
}

static const luaL_Reg methods[] = {
    {"from", input_from},           {"to", input_to},
    {"between", input_between},     {"at", input_at},
    {"describe", input_describe},   {"length", input_length},
    {"keyframes", input_keyframes}, {NULL, NULL},
};

/* ---- the type ---- */

int bind_input_fields(const char **names, int room)
{
    int count = 0;
    for (size_t i = 0; i < FIELD_COUNT && count < room; i++) {
        names[count++] = fields[i].name;
    }
    return count;
}

int bind_input_methods(const char **names, int room)
{
    int count = 0;
    for (const luaL_Reg *method = methods; method->name && count < room; method++) {
        names[count++] = method->name;
    }
    return count;
}

static int input_index(lua_State *L)
{
    const struct bind_input *input = check_self(L);
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
    const char *names[64];
    char hint[96];

    for (size_t i = 0; i < FIELD_COUNT; i++) {
        if (strcmp(fields[i].name, name) == 0) {
            fields[i].get(L, input);
            return 1;
        }
    }
    for (const luaL_Reg *method = methods; method->name; method++) {
        if (strcmp(method->name, name) == 0) {
            lua_pushcfunction(L, method->func);
            return 1;
        }
    }
    int count = bind_input_fields(names, 63);
    count += bind_input_methods(names + count, 63 - count);
    names[count] = NULL;
    bind_hint(name, names, hint, sizeof hint);
    return luaL_error(L, "an input has no '%s'%s", name, hint);
}

static int input_assign(lua_State *L)
{
    return luaL_error(L, "an input can't be changed");
}

static int input_equal(lua_State *L)
{
    const struct bind_input *a = luaL_testudata(L, 1, INPUT_TYPE);
    const struct bind_input *b = luaL_testudata(L, 2, INPUT_TYPE);
    lua_pushboolean(L, a && b && a->node == b->node);
    return 1;
}

static int input_tostring(lua_State *L)
{
    const struct bind_input *input = check_self(L);
    struct bind *bind = sandbox_user(L);
    const struct media *media =
        bind && bind->plan ? plan_input_media(bind->plan, input->node) : NULL;
    lua_pushfstring(L, "input '%s'", media ? media->label : "");
    return 1;
}

void bind_open_media(lua_State *L)
{
    static const luaL_Reg input[] = {
        {"__index", input_index},
        {"__newindex", input_assign},
        {"__eq", input_equal},
        {"__tostring", input_tostring},
        {NULL, NULL},
    };
    static const luaL_Reg description[] = {{"__gc", description_free}, {NULL, NULL}};
    bind_type(L, INPUT_TYPE, input);
    bind_type(L, "luma.description", description);
}
