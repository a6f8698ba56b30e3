/*
 * Names for completion; see repl_complete.h. Where the cursor stands is repl_scan's business; here
 * is what may stand there. Lua values are looked into without running a script's code: fields of
 * tables are read raw, fields of the bindings' values by the bindings themselves.
 */
#include "lua/repl_complete.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/formats.h"
#include "engine/introspect.h"
#include "lua/cli_job.h"
#include "lua/media_fields.h"
#include "lua/repl_internal.h"
#include "lua/repl_scan.h"

enum { NAMES_MAX = 5000, OPTIONS_MAX = 1000 };

struct finder {
    struct repl *repl;
    struct repl_scan scan;
    struct repl_completions *found;
};

/* ---- the list ---- */

/* Adds a name, with something behind it, if it begins with what is typed. */
static void add(struct finder *finder, const char *name, const char *more)
{
    struct repl_completions *found = finder->found;
    char *text = NULL;
    if (strncmp(name, finder->scan.typed, found->typed) != 0 || found->count == NAMES_MAX) {
        return;
    }
    if ((found->count & (found->count + 1)) == 0) { /* full at 1, 3, 7, ... and empty */
        size_t room = ((size_t)found->count + 1) * 2;
        char **names = realloc(found->names, room * sizeof *names);
        if (!names) {
            return;
        }
        found->names = names;
    }
    if (asprintf(&text, "%s%s", name, more) >= 0) {
        found->names[found->count++] = text;
    }
}

static void add_all(struct finder *finder, const char *const *names, size_t count, const char *more)
{
    for (size_t i = 0; i < count; i++) {
        add(finder, names[i], more);
    }
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort(struct repl_completions *found)
{
    int kept = 0;
    if (found->count > 1) {
        qsort(found->names, (size_t)found->count, sizeof *found->names, compare_names);
    }
    for (int i = 0; i < found->count; i++) {
        if (kept > 0 && strcmp(found->names[kept - 1], found->names[i]) == 0) {
            free(found->names[i]);
        } else {
            found->names[kept++] = found->names[i];
        }
    }
    found->count = kept;
}

void repl_completions_finish(struct repl_completions *completions)
{
    for (int i = 0; i < completions->count; i++) {
        free(completions->names[i]);
    }
    free(completions->names);
    *completions = (struct repl_completions){0};
}

/* ---- within quotes ---- */

static void add_operations(struct finder *finder)
{
    const char *scripts = finder->repl->settings.scripts;
    json_t *names = scripts ? operation_list(scripts) : NULL, *name;
    size_t i;
    json_array_foreach(names, i, name)
    {
        add(finder, json_string_value(name), "");
    }
    json_decref(names);
}

/* The path that is typed, up to its last slash, and what its folder has that goes on so. */
static void add_files(struct finder *finder)
{
    const char *typed = finder->scan.typed, *slash = strrchr(typed, '/');
    size_t length = slash ? (size_t)(slash - typed) + 1 : 0;
    char folder[PATH_MAX], path[PATH_MAX + NAME_MAX];
    if (length >= sizeof folder) {
        return;
    }
    snprintf(folder, sizeof folder, "%.*s", (int)length, typed);
    DIR *stream = opendir(length ? folder : ".");
    for (struct dirent *entry; stream && (entry = readdir(stream));) {
        struct stat info;
        bool hidden = entry->d_name[0] == '.' && typed[length] != '.';
        bool writable = !strpbrk(entry->d_name, "\"'\\\n");
        snprintf(path, sizeof path, "%s%s", folder, entry->d_name);
        if (!hidden && writable && strcmp(entry->d_name, ".") != 0 &&
            strcmp(entry->d_name, "..") != 0) {
            add(finder, path, stat(path, &info) == 0 && S_ISDIR(info.st_mode) ? "/" : "");
        }
    }
    if (stream) {
        closedir(stream);
    }
}

static void add_formats(struct finder *finder)
{
    for (const struct format *format = format_table(); format->name; format++) {
        add(finder, format->name, "");
    }
}

static void add_encoders(struct finder *finder)
{
    size_t count;
    const char *const *names = introspect_encoders(&count);
    add_all(finder, names, count, "");
}

/* The options of the operation that is run, or with a name the values of that one. */
static void add_operation_options(struct finder *finder, const char *name)
{
    struct error e = {0};
    json_t *description = cli_describe(finder->repl->settings.scripts, finder->scan.operation, &e);
    size_t i, k;
    json_t *option, *value;
    json_array_foreach(json_object_get(description, "options"), i, option)
    {
        const char *own = json_string_value(json_object_get(option, "name"));
        if (own && !name) {
            add(finder, own, "=");
        }
        json_array_foreach(own && name && strcmp(own, name) == 0 ? json_object_get(option, "values")
                                                                 : NULL,
                           k, value)
        {
            if (json_is_string(value)) {
                add(finder, json_string_value(value), "");
            }
        }
    }
    json_decref(description);
}

static bool is_run(const struct repl_scan *scan)
{
    return !scan->method && strcmp(scan->callee, "run") == 0;
}

static void find_quoted(struct finder *finder)
{
    const struct repl_scan *scan = &finder->scan;
    size_t count;
    if (*scan->field && is_run(scan)) {
        add_operation_options(finder, scan->field);
    } else if (strcmp(scan->field, "codec") == 0) {
        add_encoders(finder);
    } else if (strcmp(scan->field, "format") == 0) {
        add_formats(finder);
    } else if (!*scan->field && is_run(scan) && scan->first) {
        add_operations(finder);
    } else if (!*scan->field && strcmp(scan->callee, "source") == 0) {
        const char *const *filters = introspect_filters(&count);
        add_all(finder, filters, count, "");
    } else if (!*scan->field || strcmp(scan->field, "path") == 0) {
        add_files(finder);
    }
}

/* ---- keys of tables ---- */

static void add_filter_options(struct finder *finder, const char *name)
{
    const char *names[OPTIONS_MAX];
    const AVFilter *filter = introspect_filter(name, NULL);
    if (filter) {
        add_all(finder, names, introspect_filter_options(filter, names, OPTIONS_MAX), "=");
    }
}

static void add_encoder_options(struct finder *finder)
{
    const char *names[OPTIONS_MAX];
    const char *codec = *finder->scan.codec ? finder->scan.codec : "libx264";
    const AVCodec *encoder = introspect_encoder(codec, AVMEDIA_TYPE_UNKNOWN, NULL);
    add(finder, "codec", "=");
    if (encoder) {
        add_all(finder, names, introspect_encoder_options(encoder, names, OPTIONS_MAX), "=");
    }
}

/* True if only keys can stand there. */
static bool find_key(struct finder *finder)
{
    static const char *const copy[] = {"bsf", "default", "forced", "language", "title"};
    static const char *const where[] = {"force", "path"};
    const struct repl_scan *scan = &finder->scan;
    if (is_run(scan)) {
        add_operation_options(finder, NULL);
        add_all(finder, where, 2, "=");
    } else if (strcmp(scan->callee, "encode") == 0) {
        add_encoder_options(finder);
    } else if (strcmp(scan->callee, "copy") == 0) {
        add_all(finder, copy, sizeof copy / sizeof *copy, "=");
    } else if (strcmp(scan->callee, "output") == 0 || strcmp(scan->callee, "save") == 0) {
        for (const char *const *field = bind_output_fields(); *field; field++) {
            add(finder, *field, "=");
        }
        return false;
    } else if (scan->method) {
        add_filter_options(finder, scan->callee);
    } else {
        return false;
    }
    return true;
}

/* ---- values of the session ---- */

/* The names in the table at the index, itself or behind its view; of functions only, or of all. */
static void add_table(lua_State *L, struct finder *finder, int index, bool functions)
{
    repl_push_behind(L, index);
    int table = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        if (lua_type(L, -2) == LUA_TSTRING && (!functions || lua_isfunction(L, -1))) {
            const char *name = lua_tostring(L, -2);
            if (strlen(name) < REPL_NAME_MAX && *name &&
                strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") ==
                    strlen(name)) {
                add(finder, name, "");
            }
        }
    }
    lua_pop(L, 1);
}

static void add_globals(lua_State *L, struct finder *finder)
{
    static const char *const words[] = {"and",   "break", "do",       "else",   "elseif", "end",
                                        "false", "for",   "function", "if",     "in",     "local",
                                        "nil",   "not",   "or",       "repeat", "return", "then",
                                        "true",  "until", "while"};
    lua_rawgeti(L, LUA_REGISTRYINDEX, finder->repl->environment);
    add_table(L, finder, lua_gettop(L), false);
    lua_pushglobaltable(L);
    add_table(L, finder, lua_gettop(L), false);
    lua_pop(L, 2);
    if (finder->found->typed > 0) {
        add_all(finder, words, sizeof words / sizeof *words, "");
    }
}

/* Replaces the value on top by its field, raw; false if it has none. */
static bool push_step(lua_State *L, const struct repl_step *step)
{
    if (lua_isuserdata(L, -1) && !lua_islightuserdata(L, -1) && *step->name) {
        lua_getfield(L, -1, step->name); /* of the bindings: raises if there is none */
    } else if (lua_istable(L, -1)) {
        repl_push_behind(L, lua_gettop(L));
        if (*step->name) {
            lua_pushstring(L, step->name);
            lua_rawget(L, -2);
        } else {
            lua_rawgeti(L, -1, step->index);
        }
        lua_remove(L, -2);
    } else {
        return false;
    }
    lua_remove(L, -2);
    return !lua_isnil(L, -1);
}

/* Pushes what the steps lead to; false, and nothing of use, if they lead nowhere. */
static bool push_value(lua_State *L, const struct finder *finder)
{
    const struct repl_scan *scan = &finder->scan;
    if (scan->step_count == 0) {
        return false;
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, finder->repl->environment);
    lua_pushstring(L, scan->steps[0].name);
    if (lua_rawget(L, -2) == LUA_TNIL) {
        lua_pushglobaltable(L);
        if (!push_step(L, &scan->steps[0])) {
            return false;
        }
    }
    for (int i = 1; i < scan->step_count; i++) {
        if (!push_step(L, &scan->steps[i])) {
            return false;
        }
    }
    return true;
}

static void add_input(struct finder *finder)
{
    const char *names[OPTIONS_MAX];
    int count = finder->scan.separator == ':' ? bind_input_methods(names, OPTIONS_MAX)
                                              : bind_input_fields(names, OPTIONS_MAX);
    add_all(finder, names, (size_t)count, "");
}

static void add_stream(struct finder *finder)
{
    const char *names[OPTIONS_MAX];
    size_t count;
    if (finder->scan.separator == '.') {
        for (const struct media_field *field = media_fields; field->name; field++) {
            add(finder, field->name, "");
        }
        return;
    }
    add_all(finder, names, (size_t)bind_stream_methods(names, OPTIONS_MAX), "");
    const char *const *filters = introspect_filters(&count);
    add_all(finder, filters, count, "");
}

/* What follows the value on top and the separator. */
static void add_members(lua_State *L, struct finder *finder)
{
    static const char *const made[] = {"encoders", "filters", "formats"}; /* when first asked for */
    const char *names[OPTIONS_MAX];
    const struct repl_scan *scan = &finder->scan;
    bool colon = scan->separator == ':';
    if (bind_test_input(L, -1)) {
        add_input(finder);
    } else if (bind_test_stream(L, -1)) {
        add_stream(finder);
    } else if (bind_test_job(L, -1)) {
        add_all(finder, names, (size_t)bind_job_members(names, OPTIONS_MAX), "");
    } else if (bind_test_output(L, -1) >= 0) {
        add(finder, "name", "");
    } else if (lua_istable(L, -1)) {
        add_table(L, finder, lua_gettop(L), colon);
        if (scan->step_count == 1 && strcmp(scan->steps[0].name, "av") == 0) {
            add_all(finder, made, sizeof made / sizeof *made, "");
        }
    } else if (lua_type(L, -1) == LUA_TSTRING && colon) {
        lua_getglobal(L, "string");
        add_table(L, finder, lua_gettop(L), true);
    }
}

/* What a call that can't be looked into gives, by the name of what is called. */
static void add_made(struct finder *finder)
{
    static const char *const inputs[] = {"between", "from", "open", "to"};
    static const char *const tracks[] = {"copy", "encode"};
    const char *maker = finder->scan.maker;
    for (size_t i = 0; i < sizeof tracks / sizeof *tracks; i++) {
        if (strcmp(maker, tracks[i]) == 0) {
            return;
        }
    }
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        if (strcmp(maker, inputs[i]) == 0) {
            add_input(finder);
            return;
        }
    }
    if (*maker) {
        add_stream(finder);
    }
}

static int find_body(lua_State *L)
{
    struct finder *finder = lua_touserdata(L, 1);
    luaL_checkstack(L, LUA_MINSTACK, NULL);
    if (!finder->scan.separator) {
        add_globals(L, finder);
    } else if (push_value(L, finder)) {
        add_members(L, finder);
    } else if (finder->scan.step_count == 0) {
        add_made(finder);
    }
    return 0;
}

void repl_complete(struct repl *repl, const char *text, struct repl_completions *completions)
{
    struct finder finder = {.repl = repl, .found = completions};
    struct sandbox_failure failure;
    *completions = (struct repl_completions){0};
    repl_scan(text, &finder.scan);
    completions->typed = strlen(finder.scan.typed);
    if (finder.scan.nothing) {
        return;
    }
    if (finder.scan.quoted) {
        find_quoted(&finder);
    } else if (!finder.scan.key || !find_key(&finder)) {
        atomic_store(&repl->settings.control->cancel, 0);
        sandbox_renew(repl->sandbox);
        sandbox_run(repl->sandbox, find_body, &finder, &failure); /* a failure: no names */
    }
    sort(completions);
}
