/*
 * `run` and `save`: the REPL's ways to make files.
 *
 *   run(operation, inputs, options, where)   an operation, as `luma run` does it
 *   save(output, where)                      an output, or the table of one
 *
 * Inputs are inputs, paths, or a list of these. `where` is a path, or { path =, force = true }, or
 * nothing for the present folder and the output's own name. Both return the paths of what was
 * made; an operation that makes nothing returns its result.
 *
 * All that is held for a run hangs on one userdata, so that Lua may raise at any time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/formats.h"
#include "lua/cli_job.h"
#include "lua/delivery.h"
#include "lua/json_lua.h"
#include "lua/operation_declared.h"
#include "lua/repl_internal.h"
#include "lua/repl_print.h"
#include "lua/summary.h"

#define MAKING_TYPE        "luma.making"
#define PROGRESS_PERIOD_MS 250

/* Of the run that is going on; static for the signal handler that ends the process. */
static struct delivery delivery;

struct making {
    struct repl *repl;
    struct operation_input open[REPL_MAX_INPUTS]; /* all files that are open: never overwritten */
    struct operation_input inputs[REPL_MAX_INPUTS];
    int input_count;
    const char *path;
    bool force;
    json_t *options, *description;
    struct operation_outcome outcome;
    struct terminal_progress bar;
};

void repl_discard(void)
{
    delivery_discard(&delivery);
}

static int making_free(lua_State *L)
{
    struct making *making = luaL_checkudata(L, 1, MAKING_TYPE);
    json_decref(making->options);
    json_decref(making->description);
    making->options = making->description = NULL;
    operation_outcome_finish(&making->outcome);
    return 0;
}

static struct making *push_making(lua_State *L, struct repl *repl, const char *title)
{
    struct making *making = lua_newuserdatauv(L, sizeof *making, 0);
    memset(making, 0, sizeof *making);
    luaL_setmetatable(L, MAKING_TYPE);
    making->repl = repl;
    for (int i = 0; i < repl->bind.input_count; i++) {
        making->open[i] = (struct operation_input){repl->files[i].path, repl->files[i].label};
    }
    terminal_progress_init(&making->bar, &repl->err, title);
    return making;
}

/* ---- arguments ---- */

/* The file that an input is, or that a path names, as one of making's inputs. */
static void add_input(lua_State *L, struct making *making, int index)
{
    struct repl *repl = making->repl;
    const struct bind_input *input = bind_test_input(L, index);
    struct error e = {0};
    int number = -1;
    if (making->input_count == REPL_MAX_INPUTS) {
        luaL_error(L, "an operation takes at most %d inputs", REPL_MAX_INPUTS);
    }
    if (input && input->node != input->whole) {
        luaL_error(L, "an operation takes whole files: this input is a part of one");
    }
    if (input) {
        for (int i = 0; i < repl->bind.input_count; i++) {
            number = repl->inputs[i] == input->node ? i : number;
        }
    } else if (lua_type(L, index) == LUA_TSTRING) {
        number = repl_open_file(repl, lua_tostring(L, index), &e);
        if (number < 0) {
            bind_raise(L, &e);
        }
    }
    if (number < 0) {
        luaL_error(L, "run takes inputs or paths, not a %s", luaL_typename(L, index));
    }
    making->open[number] =
        (struct operation_input){repl->files[number].path, repl->files[number].label};
    making->inputs[making->input_count++] = making->open[number];
}

static void read_inputs(lua_State *L, struct making *making, int index)
{
    if (!lua_istable(L, index)) {
        add_input(L, making, index);
        return;
    }
    lua_Integer count = luaL_len(L, index);
    for (lua_Integer i = 1; i <= count; i++) {
        lua_geti(L, index, i);
        add_input(L, making, lua_gettop(L));
        lua_pop(L, 1);
    }
}

/* A path, { path =, force = }, or nil; a text that it finds stays on the stack. */
static void read_where(lua_State *L, struct making *making, int index)
{
    static const char *const names[] = {"force", "path", NULL};
    char hint[96];
    if (lua_isnoneornil(L, index)) {
        return;
    }
    if (!lua_istable(L, index)) {
        making->path = luaL_checkstring(L, index);
        return;
    }
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
        bind_hint(name, names, hint, sizeof hint);
        if (strcmp(name, "path") != 0 && strcmp(name, "force") != 0) {
            luaL_error(L, "where to write is { path =, force = }: there is no '%s'%s", name, hint);
        }
    }
    lua_getfield(L, index, "force");
    making->force = lua_toboolean(L, -1);
    lua_getfield(L, index, "path");
    making->path = lua_isnil(L, -1) ? NULL : luaL_checkstring(L, -1);
}

/* ---- the run ---- */

static int give_path(void *opaque, int index, const char *name, char *path, size_t size)
{
    (void)opaque, (void)name;
    return delivery_path(&delivery, index, path, size);
}

static int show_progress(void *opaque, const struct pipeline_progress *progress)
{
    struct making *making = opaque;
    terminal_progress_show(&making->bar, progress);
    return 0;
}

static void show_log(void *opaque, const char *text)
{
    struct making *making = opaque;
    terminal_progress_clear(&making->bar);
    repl_print_text(&making->repl->err, text);
    fputc('\n', making->repl->err.stream);
}

static struct operation_request make_request(struct making *making)
{
    const struct repl_settings *settings = &making->repl->settings;
    return (struct operation_request){
        .scripts = settings->scripts,
        .assets = settings->assets,
        .name = making->bar.title,
        .inputs = making->inputs,
        .input_count = making->input_count,
        .options = making->options,
        .threads = settings->threads,
        .lua_time = REPL_NO_BUDGET,
        .control = settings->control,
        .output_path = give_path,
        .progress = show_progress,
        .log = show_log,
        .opaque = making,
    };
}

static int begin(struct making *making, struct error *e)
{
    delivery = (struct delivery){
        .target = making->path,
        .operation = making->bar.title,
        .inputs = making->open,
        .input_count = making->repl->bind.input_count,
        .force = making->force,
        .how_force = "{ path =, force = true }",
    };
    return delivery_begin(&delivery, e);
}

/* Moves what was made to its place; whatever happened, nothing stays behind. */
static int finish(struct making *making)
{
    struct operation_outcome *outcome = &making->outcome;
    terminal_progress_clear(&making->bar);
    if (outcome->error.code == ERROR_NONE) {
        delivery_commit(&delivery, outcome->outputs, &outcome->error);
    }
    delivery_discard(&delivery);
    return outcome->error.code;
}

/* Plain C from here to the outcome. */
static int run_operation(struct making *making, const char *name)
{
    struct error *e = &making->outcome.error;
    making->description = cli_describe(making->repl->settings.scripts, name, e);
    if (!making->description) {
        return e->code;
    }
    cli_format_from_output(making->path, json_object_get(making->description, "options"),
                           making->options);
    if (begin(making, e)) {
        return e->code;
    }
    const struct operation_request request = make_request(making);
    operation_run(&request, &making->outcome);
    return finish(making);
}

static int run_output(lua_State *L, struct making *making, int number)
{
    struct error *e = &making->outcome.error;
    if (begin(making, e)) {
        return e->code;
    }
    struct operation_request request = make_request(making);
    request.inputs = making->open;
    request.input_count = making->repl->bind.input_count;
    operation_make_declared(making->repl->sandbox, L, number, &request, &making->outcome);
    return finish(making);
}

/* ---- measuring ---- */

static int show_measuring(void *opaque, const struct pipeline_progress *progress)
{
    terminal_progress_show(opaque, progress);
    return 0;
}

int repl_measure(void *owner, int node, struct pipeline_result *result, struct error *e)
{
    struct repl *repl = owner;
    struct terminal_progress bar;
    terminal_progress_init(&bar, &repl->err, "measure");
    const struct pipeline_options options = {
        .outputs = &node,
        .output_count = 1,
        .threads = repl->settings.threads,
        .control = repl->settings.control,
        .progress = show_measuring,
        .period_ms = PROGRESS_PERIOD_MS,
        .opaque = &bar,
    };
    int code = pipeline_run(repl->plan, &options, result, e);
    terminal_progress_clear(&bar);
    return code;
}

/* ---- what is told ---- */

static void print_made(const struct making *making)
{
    const struct terminal *out = &making->repl->out;
    size_t i;
    json_t *output, *note;
    json_array_foreach(making->outcome.outputs, i, output)
    {
        char bytes[32], line[256];
        terminal_size(bytes, sizeof bytes, json_number_value(json_object_get(output, "size")));
        summary_line(json_object_get(output, "media"), line, sizeof line);
        fputs(terminal_style(out, TERMINAL_BOLD), out->stream);
        repl_print_text(out, json_string_value(json_object_get(output, "path")));
        fprintf(out->stream, "%s  %s%s%s\n", terminal_plain(out), bytes, *line ? ", " : "", line);
    }
    json_array_foreach(making->outcome.notes, i, note)
    {
        fprintf(stderr, "%snote: ", terminal_style(&making->repl->err, TERMINAL_DIM));
        repl_print_text(&making->repl->err, json_string_value(note));
        fprintf(stderr, "%s\n", terminal_plain(&making->repl->err));
    }
}

/* Raises what went wrong; a script's own mistake says where it is. */
static int raise_outcome(lua_State *L, const struct making *making)
{
    struct error e = making->outcome.error;
    if (making->outcome.line > 0 && strcmp(making->outcome.script, REPL_CHUNK) != 0) {
        error_prefix(&e, "%s, line %d", making->outcome.script, making->outcome.line);
    }
    return e.code == ERROR_CANCELLED ? sandbox_raise_final(L, &e) : sandbox_raise(L, &e);
}

/* Returns the paths of what was made, or the result of what made nothing. */
static int return_outcome(lua_State *L, struct making *making)
{
    size_t count = json_array_size(making->outcome.outputs);
    print_made(making);
    if (count == 0) {
        if (!making->outcome.result || json_is_null(making->outcome.result)) {
            return 0;
        }
        json_push_lua(L, making->outcome.result);
        return 1;
    }
    luaL_checkstack(L, (int)count + LUA_MINSTACK, "too many files");
    int first = lua_gettop(L) + 1;
    for (size_t i = 0; i < count; i++) {
        const json_t *output = json_array_get(making->outcome.outputs, i);
        lua_pushstring(L, json_string_value(json_object_get(output, "path")));
    }
    for (size_t i = 0; i < count; i++) {
        repl_tell(L, first + (int)i);
    }
    return (int)count;
}

/* ---- the functions ---- */

static int repl_run(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    struct error e = {0};
    lua_settop(L, 4);
    struct making *making = push_making(L, repl_of(L), name);
    if (!lua_isnil(L, 2)) {
        read_inputs(L, making, 2);
    }
    read_where(L, making, 4);
    if (lua_isnil(L, 3)) {
        making->options = json_object();
    } else {
        luaL_checktype(L, 3, LUA_TTABLE);
        making->options = json_from_lua(L, 3, "options", &json_lua_result_limits, &e);
    }
    if (!making->options) {
        return bind_raise(L, &e);
    }
    if (run_operation(making, name)) {
        return raise_outcome(L, making);
    }
    return return_outcome(L, making);
}

/* Replaces the table at index 1 by one that says its format, from the path's extension. */
static void format_from_path(lua_State *L, const char *path)
{
    const char *dot = path ? strrchr(path, '.') : NULL;
    const struct format *format = dot && !strchr(dot, '/') ? format_find(dot + 1) : NULL;
    int top = lua_gettop(L);
    if (!format || lua_getfield(L, 1, "format") != LUA_TNIL ||
        lua_getfield(L, 1, "text") != LUA_TNIL) {
        lua_settop(L, top);
        return;
    }
    lua_newtable(L);
    int copy = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, 1);) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, copy);
    }
    lua_pushstring(L, format->name);
    lua_setfield(L, copy, "format");
    lua_replace(L, 1);
    lua_settop(L, top);
}

/* An output that was declared for one save is forgotten again. */
static void forget(lua_State *L, struct repl *repl, int number)
{
    const struct bind_output *output = &repl->bind.outputs[number];
    luaL_unref(L, LUA_REGISTRYINDEX, output->text);
    luaL_unref(L, LUA_REGISTRYINDEX, output->otherwise);
    repl->bind.output_count = number;
}

/* Refuses a path whose extension is another format's than the output's. */
static void check_extension(lua_State *L, struct repl *repl, int number, const char *path, bool own)
{
    const struct bind_output *output = &repl->bind.outputs[number];
    const char *dot = path ? strrchr(path, '.') : NULL;
    char name[256];
    if (!dot || strchr(dot, '/') || output->node < 0 || output->each_picture) {
        return;
    }
    plan_output_name(repl->plan, output->node, 0, name, sizeof name);
    const char *made_dot = strrchr(name, '.');
    const struct format *named = format_find(dot + 1);
    const struct format *made = made_dot ? format_find(made_dot + 1) : NULL;
    if (named && made && named != made) {
        if (own) {
            forget(L, repl, number);
        }
        luaL_error(L, "the output is %s, and '%s' says %s", made->name, path, named->name);
    }
}

static int repl_save(lua_State *L)
{
    struct repl *repl = repl_of(L);
    int number = bind_test_output(L, 1);
    if (number < 0 && !lua_istable(L, 1)) {
        return luaL_error(L, "save takes an output, or the table of one, not a %s",
                          luaL_typename(L, 1));
    }
    lua_settop(L, 2);
    struct making *making = push_making(L, repl, "save");
    read_where(L, making, 2);
    bool own = number < 0;
    if (own) {
        format_from_path(L, making->path);
        number = bind_add_output(L, 1);
    }
    check_extension(L, repl, number, making->path, own);
    int code = run_output(L, making, number);
    if (own) {
        forget(L, repl, number);
    }
    return code ? raise_outcome(L, making) : return_outcome(L, making);
}

void repl_open_make(lua_State *L, struct repl *repl)
{
    static const luaL_Reg making[] = {{"__gc", making_free}, {NULL, NULL}};
    bind_type(L, MAKING_TYPE, making);
    repl_push_function(L, repl, repl_run);
    lua_setfield(L, -2, "run");
    repl_push_function(L, repl, repl_save);
    lua_setfield(L, -2, "save");
}
