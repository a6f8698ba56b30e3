/*
 * job:output{...}: files that a script declares, and their handles.
 */
#include <libavutil/dict.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/formats.h"
#include "lua/bind.h"
#include "lua/sandbox.h"
#include "lua/schema_internal.h"

#define OUTPUT_TYPE "luma.output"
#define MAX_TAGS    100

static const char *const field_names[] = {
    "name",      "format",       "metadata", "chapters",        "faststart",
    "max_size",  "each_picture", "text",     "not_larger_than", "not_smaller_than",
    "otherwise", "options",      NULL,
};

const char *const *bind_output_fields(void)
{
    return field_names;
}

void bind_push_output(lua_State *L, int number)
{
    int *handle = lua_newuserdatauv(L, sizeof *handle, 0);
    *handle = number;
    luaL_setmetatable(L, OUTPUT_TYPE);
}

int bind_test_output(lua_State *L, int index)
{
    const int *handle = luaL_testudata(L, index, OUTPUT_TYPE);
    return handle ? *handle : -1;
}

/* ---- tracks ---- */

struct numbered {
    lua_Integer key;
    struct plan_edge edge;
};

static int compare_keys(const void *a, const void *b)
{
    lua_Integer left = ((const struct numbered *)a)->key;
    lua_Integer right = ((const struct numbered *)b)->key;
    return left < right ? -1 : left > right;
}

/* The track in the value on top, which has the key. */
static struct plan_edge check_track(lua_State *L, lua_Integer key)
{
    const struct bind_track *track = bind_test_track(L, -1);
    if (track) {
        return track->edge;
    }
    if (bind_test_stream(L, -1)) {
        luaL_error(L, "track %d is a stream: end it with :encode{...} or :copy()", (int)key);
    }
    luaL_error(L, "track %d is a %s: a stream with :encode{...} or :copy() is expected", (int)key,
               luaL_typename(L, -1));
    return (struct plan_edge){-1, 0};
}

/* Tracks in the order of their keys; nil and false leave one out. Names are checked as well. */
static int collect_tracks(lua_State *L, int table, struct plan_edge *tracks)
{
    struct numbered found[BIND_MAX_EDGES];
    char hint[96];
    int count = 0;

    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        if (lua_type(L, -2) == LUA_TSTRING) {
            const char *name = lua_tostring(L, -2);
            int i = 0;
            while (field_names[i] && strcmp(field_names[i], name) != 0) {
                i++;
            }
            bind_hint(name, field_names, hint, sizeof hint);
            if (!field_names[i]) {
                luaL_error(L, "an output has no '%s'%s", name, hint);
            }
        } else if (!lua_isinteger(L, -2)) {
            luaL_error(L, "an output has tracks and named fields, not a %s", luaL_typename(L, -2));
        } else if (lua_toboolean(L, -1)) {
            if (count == BIND_MAX_EDGES) {
                luaL_error(L, "an output has at most %d tracks", BIND_MAX_EDGES);
            }
            lua_Integer key = lua_tointeger(L, -2);
            found[count++] = (struct numbered){key, check_track(L, key)};
        }
    }
    qsort(found, (size_t)count, sizeof *found, compare_keys);
    for (int i = 0; i < count; i++) {
        tracks[i] = found[i].edge;
    }
    return count;
}

/* ---- fields; each leaves its value on the stack, so that texts stay ---- */

static int push_field(lua_State *L, int table, const char *name)
{
    lua_pushstring(L, name);
    return lua_rawget(L, table);
}

static const char *text_field(lua_State *L, int table, const char *name)
{
    int type = push_field(L, table, name);
    if (type == LUA_TNIL) {
        return NULL;
    }
    if (type != LUA_TSTRING) {
        luaL_error(L, "'%s' of an output must be text, not a %s", name, lua_typename(L, type));
    }
    return lua_tostring(L, -1);
}

static bool flag_field(lua_State *L, int table, const char *name, bool otherwise)
{
    int type = push_field(L, table, name);
    if (type != LUA_TNIL && type != LUA_TBOOLEAN) {
        luaL_error(L, "'%s' of an output must be true or false, not a %s", name,
                   lua_typename(L, type));
    }
    return type == LUA_TNIL ? otherwise : lua_toboolean(L, -1);
}

static int64_t size_field(lua_State *L, int table, const char *name)
{
    int64_t bytes = 0;
    int type = push_field(L, table, name);
    if (type == LUA_TNIL) {
        return 0;
    }
    if (type == LUA_TSTRING && schema_read_size(lua_tostring(L, -1), &bytes) && bytes > 0) {
        return bytes;
    }
    lua_Number number = lua_tonumber(L, -1);
    if (type != LUA_TNUMBER || !(number >= 1) || number > 9e15) {
        luaL_error(L, "'%s' of an output must be a size in bytes or like \"20MB\"", name);
    }
    return (int64_t)number;
}

/* The input that the first track comes from, else the first input; -1 if there is none. */
static int source_of(const struct bind *bind, const struct plan_edge *tracks, int count)
{
    struct plan_type type;
    for (int i = 0; i < count; i++) {
        if (plan_edge_type(bind->plan, tracks[i], &type) && type.source_node >= 0 &&
            plan_node_kind(bind->plan, type.source_node) == PLAN_INPUT) {
            return type.source_node;
        }
    }
    return bind->input_count > 0 ? bind->inputs[0] : -1;
}

/* chapters: true (default) keeps those of the source, an input those of that one, a list is what
 * they are. */
static void chapters_field(lua_State *L, int table, int source, struct plan_output *output)
{
    int type = push_field(L, table, "chapters");
    const struct bind_input *input = bind_test_input(L, -1);
    output->chapters_from = -1;
    if (input) {
        output->chapters_from = input->node;
    } else if (type == LUA_TTABLE) {
        output->chapters = bind_check_chapters(L, lua_gettop(L), &output->chapter_count);
    } else if (type != LUA_TNIL && type != LUA_TBOOLEAN) {
        luaL_error(L, "'chapters' of an output must be true, false, an input or a list");
    } else if (type == LUA_TNIL || lua_toboolean(L, -1)) {
        output->chapters_from = source;
    }
}

/* options: a table of the container's own. */
static void options_field(lua_State *L, int table, struct bind_options *options)
{
    int type = push_field(L, table, "options");
    if (type != LUA_TNIL && type != LUA_TTABLE) {
        luaL_error(L, "'options' of an output must be a table, not a %s", lua_typename(L, type));
    }
    int given = lua_gettop(L);
    bind_options_begin(L, options);
    if (type == LUA_TTABLE) {
        bind_options_add_table(L, options, given, "an output", NULL);
    }
}

struct tags {
    const char *names[MAX_TAGS], *values[MAX_TAGS];
    int count;
    int from; /* input whose tags come first, or -1 */
};

/* metadata: false drops all; a table adds to the source's, or takes one away with false. */
static void metadata_field(lua_State *L, int table, int source, struct tags *tags)
{
    int type = push_field(L, table, "metadata");
    int index = lua_gettop(L);

    tags->count = 0;
    tags->from = type == LUA_TBOOLEAN && !lua_toboolean(L, -1) ? -1 : source;
    if (type == LUA_TNIL || type == LUA_TBOOLEAN) {
        return;
    }
    if (type != LUA_TTABLE) {
        luaL_error(L, "'metadata' of an output must be a table or false");
    }
    lua_newtable(L); /* keeps texts of numbers */
    int texts = lua_gettop(L);
    size_t bytes = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING || tags->count == MAX_TAGS) {
            luaL_error(L, "'metadata' of an output has at most %d names with texts", MAX_TAGS);
        }
        bool removed = lua_type(L, -1) == LUA_TBOOLEAN && !lua_toboolean(L, -1);
        if (!removed && !lua_isstring(L, -1)) {
            luaL_error(L, "'metadata' of an output: '%s' must be text", lua_tostring(L, -2));
        }
        tags->names[tags->count] = lua_tostring(L, -2);
        lua_pushvalue(L, -1);
        tags->values[tags->count] = removed ? "" : lua_tostring(L, -1);
        bytes += strlen(tags->names[tags->count]) + strlen(tags->values[tags->count]);
        lua_rawseti(L, texts, ++tags->count);
        if (bytes > BIND_MAX_TAGS) {
            luaL_error(L, "'metadata' of an output has more than %d KB", BIND_MAX_TAGS >> 10);
        }
    }
}

/* Plain C: the dictionary lives only here. */
static int add_to_plan(struct bind *bind, struct plan_output *output, const struct tags *tags,
                       struct error *e)
{
    AVDictionary *metadata = NULL;
    int status = 0;

    for (int i = 0; i < tags->count && status >= 0; i++) {
        status = av_dict_set(&metadata, tags->names[i], tags->values[i], 0);
    }
    if (status < 0) {
        status = error_set(e, ERROR_OUT_OF_MEMORY, "out of memory while adding an output");
    } else {
        output->metadata = metadata;
        output->metadata_from = tags->from;
        status = plan_add_output(bind->plan, output, e);
    }
    av_dict_free(&metadata);
    return status;
}

/* ---- text files ---- */

static int add_text(lua_State *L, int table, struct bind_output *declared)
{
    const char *name = text_field(L, table, "name");
    size_t length = 0;

    if (!name) {
        return luaL_error(L, "an output of text needs a name: job:output{ name=, text= }");
    }
    for (; *name; name++) { /* a label, never a path */
        bool fine = *name != '/' && *name != '\\' && (unsigned char)*name >= 0x20 && *name != 0x7f;
        if (length < 200 && !(length == 0 && *name == '.')) {
            declared->name[length++] = fine ? *name : '_';
        }
    }
    declared->name[length] = '\0';
    if (length == 0) {
        return luaL_error(L, "the name of an output is empty");
    }
    int type = push_field(L, table, "text");
    if (type != LUA_TSTRING && type != LUA_TFUNCTION) {
        return luaL_error(L, "'text' of an output must be text or a function, not a %s",
                          lua_typename(L, type));
    }
    declared->node = -1;
    declared->text = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

/* ---- adding ---- */

static void add_alternative(lua_State *L, int table, struct bind_output *declared)
{
    declared->otherwise = LUA_NOREF;
    declared->largest = size_field(L, table, "not_larger_than");
    declared->smallest = size_field(L, table, "not_smaller_than");
    int type = push_field(L, table, "otherwise");
    bool bounded = declared->largest > 0 || declared->smallest > 0;
    if (bounded != (type == LUA_TFUNCTION)) {
        luaL_error(L, "'not_larger_than' or 'not_smaller_than', and 'otherwise' (a function) go "
                      "together");
    }
    if (type == LUA_TFUNCTION) {
        declared->otherwise = luaL_ref(L, LUA_REGISTRYINDEX);
    }
}

int bind_add_output(lua_State *L, int table)
{
    struct bind *bind = bind_of(L);
    struct plan_edge tracks[BIND_MAX_EDGES];
    struct bind_output declared = {.text = LUA_NOREF, .otherwise = LUA_NOREF};
    struct bind_options options;
    struct tags tags;
    struct error e = {0};

    luaL_checkstack(L, 24, NULL);
    if (bind->output_count == BIND_MAX_OUTPUTS) {
        return luaL_error(L, "a job has at most %d outputs", BIND_MAX_OUTPUTS);
    }
    int count = collect_tracks(L, table, tracks);
    if (push_field(L, table, "text") != LUA_TNIL) {
        if (count > 0) {
            return luaL_error(L, "an output of text has no tracks");
        }
        add_text(L, table, &declared);
        bind->outputs[bind->output_count] = declared;
        return bind->output_count++;
    }
    int source = source_of(bind, tracks, count);
    struct plan_output output = {
        .name = text_field(L, table, "name"),
        .format = text_field(L, table, "format"),
        .tracks = tracks,
        .track_count = count,
        .faststart = flag_field(L, table, "faststart", true),
        .max_size = size_field(L, table, "max_size"),
        .each_picture = flag_field(L, table, "each_picture", false),
    };
    if (!output.name && bind->unnamed) {
        output.name = bind->operation;
    }
    chapters_field(L, table, source, &output);
    options_field(L, table, &options);
    output.options = options.list;
    output.option_count = options.count;
    add_alternative(L, table, &declared);
    metadata_field(L, table, source, &tags);
    declared.node = add_to_plan(bind, &output, &tags, &e);
    if (declared.node < 0) {
        return bind_raise(L, &e);
    }
    declared.each_picture = output.each_picture;
    bind->outputs[bind->output_count] = declared;
    return bind->output_count++;
}

/* ---- the type ---- */

static int output_index(lua_State *L)
{
    struct bind *bind = bind_of(L);
    int number = *(int *)luaL_checkudata(L, 1, OUTPUT_TYPE);
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";

    if (strcmp(name, "name") != 0) {
        return luaL_error(L, "an output has no '%s'; only its name", name);
    }
    const struct bind_output *output = &bind->outputs[number];
    char text[256];
    if (output->node < 0) {
        lua_pushstring(L, output->name);
    } else {
        plan_output_name(bind->plan, output->node, 0, text, sizeof text);
        lua_pushstring(L, text);
    }
    return 1;
}

void bind_open_output(lua_State *L)
{
    static const luaL_Reg output[] = {{"__index", output_index}, {NULL, NULL}};
    bind_type(L, OUTPUT_TYPE, output);
}
