/*
 * How values print themselves; see repl_print.h.
 *
 * A table is shown to a depth and a number of items, a text to a length: enough to see what it is.
 * No code of a script's runs here, but for a table's __tostring.
 */
#include "lua/repl_print.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lua/operation.h"
#include "lua/repl_internal.h"
#include "lua/summary.h"

enum {
    DEPTH_MAX = 4,
    ITEMS_MAX = 40,   /* of one table */
    TOTAL_MAX = 120,  /* of one value, at all depths */
    TEXT_MAX = 2000,  /* bytes of a text that is printed alone */
    INSIDE_MAX = 120, /* bytes of a text in a table */
    EDGE_MAX = 1000,
};

/* ---- texts ---- */

/* Length of the UTF-8 sequence at text, of at most `left` bytes; 0 if it is none, or one that
 * controls. */
static size_t printable(const unsigned char *text, size_t left)
{
    static const struct {
        unsigned char mask, lead, least;
        size_t length;
    } forms[] = {
        {0x80, 0, 0x20, 1}, {0xE0, 0xC0, 0xC2, 2}, {0xF0, 0xE0, 0xE0, 3}, {0xF8, 0xF0, 0xF0, 4}};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if ((*text & forms[i].mask) != forms[i].lead) {
            continue;
        }
        size_t length = forms[i].length;
        if (*text < forms[i].least || *text == 0x7F || length > left) {
            return 0;
        }
        for (size_t k = 1; k < length; k++) {
            if ((text[k] & 0xC0) != 0x80) {
                return 0;
            }
        }
        return text[0] == 0xC2 && text[1] < 0xA0 && length == 2 ? 0 : length; /* C1 controls */
    }
    return 0;
}

void repl_print_text(const struct terminal *terminal, const char *text)
{
    size_t left = strlen(text);
    while (left > 0) {
        size_t length = printable((const unsigned char *)text, left);
        if (length) {
            fwrite(text, 1, length, terminal->stream);
        } else {
            fputc(*text == '\n' || *text == '\t' ? *text : '?', terminal->stream);
            length = 1;
        }
        text += length;
        left -= length;
    }
}

/* As Lua would read it back, but for what is too long. */
static void print_quoted(FILE *stream, const char *text, size_t size, size_t most)
{
    size_t i = 0;
    fputc('"', stream);
    while (i < size && i < most) {
        unsigned char c = (unsigned char)text[i];
        size_t length = printable((const unsigned char *)text + i, size - i);
        if (c == '"' || c == '\\') {
            fprintf(stream, "\\%c", c);
        } else if (length) {
            fwrite(text + i, 1, length, stream);
        } else if (c == '\n' || c == '\t') {
            fputs(c == '\n' ? "\\n" : "\\t", stream);
        } else {
            fprintf(stream, "\\x%02X", c);
        }
        i += length ? length : 1;
    }
    fputc('"', stream);
    if (i < size) {
        fprintf(stream, "... (%zu bytes)", size);
    }
}

/* What a terminal would obey becomes '?', in place. */
static void clean_text(char *text)
{
    for (size_t left = strlen(text); left > 0;) {
        size_t length = printable((const unsigned char *)text, left);
        if (!length) {
            *text = '?';
            length = 1;
        }
        text += length;
        left -= length;
    }
}

/* Replaces the texts of a JSON value by ones that are safe to print. */
static void clean_json(json_t *value)
{
    size_t i;
    json_t *item;
    const char *key;
    if (json_is_string(value)) {
        char *text = strdup(json_string_value(value));
        if (text) {
            clean_text(text);
            json_string_set(value, text);
        }
        free(text);
    } else if (json_is_array(value)) {
        json_array_foreach(value, i, item)
        {
            clean_json(item);
        }
    } else if (json_is_object(value)) {
        json_object_foreach(value, key, item)
        {
            clean_json(item);
        }
    }
}

/* ---- what the bindings have ---- */

static json_t *media_json(const struct plan *plan, int node)
{
    const struct media *media = plan_input_media(plan, node);
    json_t *json = media ? operation_media_json(media) : NULL;
    clean_json(json);
    return json;
}

static void print_input(const struct plan *plan, const struct bind_input *input,
                        const struct terminal *terminal)
{
    json_t *json = media_json(plan, input->node);
    repl_print_text(terminal, plan_input_media(plan, input->node)->label);
    if (input->node != input->whole) {
        fprintf(terminal->stream, ", from %g s", input->start);
        if (isfinite(input->stop)) {
            fprintf(terminal->stream, " to %g s", input->stop);
        }
    }
    fputc('\n', terminal->stream);
    summary_print(json, terminal);
    json_decref(json);
}

static void print_edge(const struct plan *plan, struct plan_edge edge,
                       const struct terminal *terminal)
{
    char text[EDGE_MAX];
    if (bind_edge_stream(plan, edge)) {
        json_t *json = media_json(plan, edge.node);
        size_t pad = (size_t)edge.pad;
        summary_print_stream(json_array_get(json_object_get(json, "streams"), pad), terminal);
        json_decref(json);
        return;
    }
    plan_explain_edge(plan, edge, text, sizeof text);
    repl_print_text(terminal, text);
    fputc('\n', terminal->stream);
}

static void print_plan(const struct plan *plan, const int *outputs, int count,
                       const struct terminal *terminal)
{
    struct error e = {0};
    char *text = NULL;
    if (plan_explain(plan, outputs, count, PLAN_STYLE_TEXT, &text, &e)) {
        fprintf(terminal->stream, "%s\n", e.message);
    } else {
        repl_print_text(terminal, text);
    }
    free(text);
}

static void print_job(const struct bind *bind, const struct terminal *terminal)
{
    int nodes[BIND_MAX_OUTPUTS], count = 0;
    for (int i = 0; i < bind->output_count; i++) {
        if (bind->outputs[i].node >= 0) {
            nodes[count++] = bind->outputs[i].node;
        }
    }
    fprintf(terminal->stream, "job of %d input%s and %d output%s\n", bind->input_count,
            bind->input_count == 1 ? "" : "s", bind->output_count,
            bind->output_count == 1 ? "" : "s");
    if (count) {
        print_plan(bind->plan, nodes, count, terminal);
    }
}

static void print_output(const struct bind *bind, int number, const struct terminal *terminal)
{
    const struct bind_output *output = &bind->outputs[number];
    if (output->node >= 0) {
        print_plan(bind->plan, &output->node, 1, terminal);
    } else {
        fprintf(terminal->stream, "text file ");
        repl_print_text(terminal, output->name);
        fputc('\n', terminal->stream);
    }
}

/* True if the value was one of the bindings', and is printed. */
static bool print_bound(lua_State *L, int index, const struct terminal *terminal)
{
    const struct bind *bind = bind_of(L);
    const struct bind_input *input = bind_test_input(L, index);
    const struct bind_stream *stream = bind_test_stream(L, index);
    const struct bind_track *track = bind_test_track(L, index);
    int output = bind_test_output(L, index);
    if (input) {
        print_input(bind->plan, input, terminal);
    } else if (stream) {
        print_edge(bind->plan, stream->edge, terminal);
    } else if (track) {
        print_edge(bind->plan, track->edge, terminal);
    } else if (output >= 0) {
        print_output(bind, output, terminal);
    } else if (bind_test_job(L, index)) {
        print_job(bind, terminal);
    } else {
        return false;
    }
    return true;
}

/* ---- tables ---- */

struct listing {
    const struct terminal *terminal;
    int left; /* items that may still be printed */
};

static void print_inside(lua_State *L, int index, int depth, struct listing *listing);

static bool is_word(const char *text, size_t length)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    size_t first = strspn(text, letters);
    return first > 0 && first + strspn(text + first, "0123456789_abcdefghijklmnopqrstuvwxyz"
                                                     "ABCDEFGHIJKLMNOPQRSTUVWXYZ") ==
                            length;
}

static void print_key(lua_State *L, int index, FILE *stream)
{
    size_t length;
    if (lua_type(L, index) == LUA_TSTRING) {
        const char *text = lua_tolstring(L, index, &length);
        if (is_word(text, length)) {
            fprintf(stream, "%s = ", text);
            return;
        }
        fputc('[', stream);
        print_quoted(stream, text, length, INSIDE_MAX);
    } else {
        fputc('[', stream);
        fputs(sandbox_tostring(L, index, NULL), stream);
        lua_pop(L, 1);
    }
    fputs("] = ", stream);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void begin_item(struct listing *listing, int depth, int *count)
{
    fprintf(listing->terminal->stream, "%s%*s", *count ? ",\n" : "\n", depth * 2 + 2, "");
    (*count)++;
    listing->left--;
}

/* The items 1, 2, ... of the table; returns how many. */
static lua_Integer print_list(lua_State *L, int table, int depth, struct listing *listing,
                              int *count)
{
    lua_Integer i = 1;
    for (; *count < ITEMS_MAX && listing->left > 0; i++) {
        if (lua_rawgeti(L, table, i) == LUA_TNIL) {
            lua_pop(L, 1);
            break;
        }
        begin_item(listing, depth, count);
        print_inside(L, lua_gettop(L), depth + 1, listing);
        lua_pop(L, 1);
    }
    return i - 1;
}

/* The items with names, in their order, at most so many; the names are in the table. */
static void print_names(lua_State *L, int table, int depth, struct listing *listing, int *count)
{
    const char *names[ITEMS_MAX * 4];
    size_t found = 0;
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        if (lua_type(L, -2) == LUA_TSTRING && found < sizeof names / sizeof *names) {
            names[found++] = lua_tostring(L, -2);
        }
    }
    qsort(names, found, sizeof *names, compare_names);
    for (size_t i = 0; i < found && *count < ITEMS_MAX && listing->left > 0; i++) {
        lua_pushstring(L, names[i]);
        lua_pushvalue(L, -1);
        lua_rawget(L, table);
        begin_item(listing, depth, count);
        print_key(L, lua_gettop(L) - 1, listing->terminal->stream);
        print_inside(L, lua_gettop(L), depth + 1, listing);
        lua_pop(L, 2);
    }
}

static void print_others(lua_State *L, int table, int depth, lua_Integer listed,
                         struct listing *listing, int *count)
{
    int all = 0;
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        all++;
        lua_Integer key = lua_isinteger(L, -2) ? lua_tointeger(L, -2) : 0;
        if (lua_type(L, -2) == LUA_TSTRING || (key >= 1 && key <= listed) || *count >= ITEMS_MAX ||
            listing->left <= 0) {
            continue;
        }
        begin_item(listing, depth, count);
        print_key(L, lua_gettop(L) - 1, listing->terminal->stream);
        print_inside(L, lua_gettop(L), depth + 1, listing);
    }
    if (all > *count) {
        fprintf(listing->terminal->stream, ",\n%*s... %d more", depth * 2 + 2, "", all - *count);
    }
}

static void print_table(lua_State *L, int index, int depth, struct listing *listing)
{
    FILE *stream = listing->terminal->stream;
    int top = lua_gettop(L), count = 0;
    luaL_checkstack(L, LUA_MINSTACK, "a table that is too deep");
    repl_push_behind(L, index);
    int table = lua_gettop(L);
    lua_pushnil(L);
    if (!lua_next(L, table)) {
        fputs("{}", stream);
    } else if (depth >= DEPTH_MAX || listing->left <= 0) {
        fputs("{...}", stream);
    } else {
        lua_settop(L, table);
        fputc('{', stream);
        lua_Integer listed = print_list(L, table, depth, listing, &count);
        print_names(L, table, depth, listing, &count);
        print_others(L, table, depth, listed, listing, &count);
        fprintf(stream, "\n%*s}", depth * 2, "");
    }
    lua_settop(L, top);
}

static void print_inside(lua_State *L, int index, int depth, struct listing *listing)
{
    FILE *stream = listing->terminal->stream;
    const struct bind_track *track = bind_test_track(L, index);
    size_t length;
    if (lua_type(L, index) == LUA_TSTRING) {
        const char *text = lua_tolstring(L, index, &length);
        print_quoted(stream, text, length, depth ? INSIDE_MAX : TEXT_MAX);
    } else if (lua_type(L, index) == LUA_TLIGHTUSERDATA && !lua_touserdata(L, index)) {
        fputs("av.null", stream);
    } else if (lua_istable(L, index)) {
        print_table(L, index, depth, listing);
    } else if (track) {
        char text[EDGE_MAX];
        plan_explain_edge(bind_of(L)->plan, track->edge, text, sizeof text);
        repl_print_text(listing->terminal, text);
    } else {
        repl_print_text(listing->terminal, sandbox_tostring(L, index, NULL));
        lua_pop(L, 1);
    }
}

void repl_print_value(lua_State *L, int index, const struct terminal *terminal)
{
    struct listing listing = {terminal, TOTAL_MAX};
    if (print_bound(L, index, terminal)) {
        return;
    }
    if (lua_istable(L, index) && luaL_getmetafield(L, index, "__tostring") != LUA_TNIL) {
        lua_pop(L, 1);
        repl_print_text(terminal, luaL_tolstring(L, index, NULL));
        lua_pop(L, 1);
    } else {
        print_inside(L, index, 0, &listing);
    }
    fputc('\n', terminal->stream);
}
