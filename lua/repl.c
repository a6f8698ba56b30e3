/*
 * The session of the REPL; see repl.h.
 *
 * A statement is first compiled as an expression, by putting `return` before it. What ends too
 * early for Lua is incomplete.
 */
#include "lua/repl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lua/repl_internal.h"
#include "lua/repl_print.h"
#include "lua/script.h"

#define LUA_MEMORY ((size_t)256 * 1024 * 1024)
#define MAX_NODES  100000 /* of the plan of a whole session */

static const char told_key = 0; /* its address: the texts that this statement has printed */

/* ---- files ---- */

static bool same_file(const struct repl_file *file, const char *path, const struct stat *info)
{
    return strcmp(file->path, path) == 0 && file->device == info->st_dev &&
           file->inode == info->st_ino && file->size == info->st_size &&
           file->changed.tv_sec == info->st_mtim.tv_sec &&
           file->changed.tv_nsec == info->st_mtim.tv_nsec;
}

int repl_open_file(struct repl *repl, const char *path, struct error *e)
{
    int number = repl->bind.input_count;
    struct stat info;
    bool there = stat(path, &info) == 0;
    for (int i = number - 1; there && i >= 0; i--) {
        if (same_file(&repl->files[i], path, &info)) {
            return i;
        }
    }
    if (number == REPL_MAX_INPUTS) {
        return error_set(e, ERROR_LIMIT_EXCEEDED, "a session opens at most %d files",
                         REPL_MAX_INPUTS);
    }
    const char *slash = strrchr(path, '/');
    const char *label = slash && slash[1] ? slash + 1 : path;
    int node = plan_add_input(repl->plan, path, label, &repl->settings.control->cancel, e);
    if (node < 0) {
        return node;
    }
    struct repl_file file = {.path = strdup(path), .label = strdup(label)};
    if (!file.path || !file.label) {
        free(file.path);
        free(file.label);
        return error_set(e, ERROR_OUT_OF_MEMORY, "out of memory");
    }
    if (there) {
        file.device = info.st_dev;
        file.inode = info.st_ino;
        file.size = info.st_size;
        file.changed = info.st_mtim;
    }
    repl->files[number] = file;
    repl->inputs[number] = node;
    repl->bind.input_count++;
    return number;
}

/* ---- functions that only the REPL has ---- */

struct repl *repl_of(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

void repl_push_function(lua_State *L, struct repl *repl, lua_CFunction function)
{
    lua_pushlightuserdata(L, repl);
    lua_pushcclosure(L, function, 1);
}

void repl_push_behind(lua_State *L, int index)
{
    lua_pushvalue(L, index);
    if (!lua_istable(L, -1) || !lua_getmetatable(L, -1)) {
        return;
    }
    lua_pushliteral(L, "__readonly");
    if (lua_rawget(L, -2) == LUA_TTABLE) {
        lua_replace(L, -3);
        lua_pop(L, 1);
    } else {
        lua_pop(L, 2);
    }
}

/* av.open(path): an input. A file that hasn't changed is opened once. */
static int av_open(lua_State *L)
{
    struct repl *repl = repl_of(L);
    const char *path = luaL_checkstring(L, 1);
    struct error e = {0};
    int number = repl_open_file(repl, path, &e);
    if (number < 0) {
        return bind_raise(L, &e);
    }
    bind_push_input(L, repl->inputs[number]);
    return 1;
}

/* output{...}: the same as job:output{...} */
static int declare_output(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    bind_push_output(L, bind_add_output(L, 1));
    return 1;
}

/* ---- the state ---- */

/* Makes the session's table: what isn't in it is looked up among the globals. */
static void make_environment(lua_State *L, struct repl *repl)
{
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushglobaltable(L);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    repl_push_function(L, repl, declare_output);
    lua_setfield(L, -2, "output");
    repl_open_make(L, repl);
    repl->environment = luaL_ref(L, LUA_REGISTRYINDEX);
}

static int open_body(lua_State *L)
{
    struct repl *repl = lua_touserdata(L, 1);
    bind_open(L);
    if (repl->settings.scripts) {
        script_open_require(L, repl->settings.scripts);
    }
    bind_push_job(L);
    sandbox_set_global(L, "job");
    lua_getglobal(L, "av");
    repl_push_behind(L, lua_gettop(L));
    repl_push_function(L, repl, av_open);
    lua_setfield(L, -2, "open");
    make_environment(L, repl);
    return 0;
}

static void on_log(void *opaque, const char *text)
{
    struct repl *repl = opaque;
    repl_print_text(&repl->out, text);
    fputc('\n', repl->out.stream);
}

static int start(struct repl *repl, struct error *e)
{
    const struct sandbox_settings settings = {
        .memory = LUA_MEMORY,
        .seconds = REPL_NO_BUDGET,
        .cancel = &repl->settings.control->cancel,
        .log = on_log,
        .opaque = repl,
    };
    struct policy_limits limits;
    policy_limits_init(&limits);
    limits.max_nodes = MAX_NODES;
    repl->plan = plan_create(&limits);
    repl->bind.plan = repl->plan;
    repl->bind.operation = "output";
    repl->bind.inputs = repl->inputs;
    repl->bind.notes = json_array();
    repl->bind.measure = repl_measure;
    repl->bind.owner = repl;
    if (!repl->plan || !repl->bind.notes) {
        return error_set(e, ERROR_OUT_OF_MEMORY, "out of memory");
    }
    int code = plan_set_assets(repl->plan, repl->settings.assets, e);
    if (code == 0) {
        code = sandbox_create(&repl->sandbox, &settings, e);
    }
    if (code) {
        return code;
    }
    sandbox_set_user(repl->sandbox, &repl->bind);
    struct sandbox_failure failure;
    if (sandbox_run(repl->sandbox, open_body, repl, &failure)) {
        *e = failure.error;
    }
    return e->code;
}

int repl_create(struct repl **out, const struct repl_settings *settings, struct error *e)
{
    struct repl *repl = calloc(1, sizeof *repl);
    *out = NULL;
    if (!repl) {
        return error_set(e, ERROR_OUT_OF_MEMORY, "out of memory");
    }
    repl->settings = *settings;
    terminal_init(&repl->out, stdout);
    terminal_init(&repl->err, stderr);
    if (start(repl, e)) {
        repl_destroy(&repl);
        return e->code;
    }
    *out = repl;
    return 0;
}

void repl_destroy(struct repl **repl)
{
    if (!*repl) {
        return;
    }
    sandbox_destroy(&(*repl)->sandbox);
    plan_destroy(&(*repl)->plan);
    for (int i = 0; i < (*repl)->bind.input_count; i++) {
        free((*repl)->files[i].path);
        free((*repl)->files[i].label);
    }
    json_decref((*repl)->bind.notes);
    free(*repl);
    *repl = NULL;
}

/* ---- source and sources ---- */

static int sources_body(lua_State *L)
{
    struct repl *repl = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, repl->environment);
    lua_createtable(L, repl->bind.input_count, 0);
    for (int i = 0; i < repl->bind.input_count; i++) {
        bind_push_input(L, repl->inputs[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "sources");
    bind_push_input(L, repl->inputs[0]);
    lua_setfield(L, -2, "source");
    return 0;
}

int repl_open(struct repl *repl, const char *path, struct error *e)
{
    int number = repl_open_file(repl, path, e);
    if (number < 0) {
        return number;
    }
    struct sandbox_failure failure;
    if (sandbox_run(repl->sandbox, sources_body, repl, &failure)) {
        *e = failure.error;
        return e->code;
    }
    return 0;
}

/* ---- statements ---- */

struct statement {
    struct repl *repl;
    const char *text;
    bool incomplete;
};

/* True if the message of a syntax error on top says that the text ended too early. */
static bool ends_early(lua_State *L)
{
    static const char mark[] = "<eof>";
    size_t length;
    const char *message = lua_tolstring(L, -1, &length);
    return message && length >= sizeof mark - 1 &&
           strcmp(message + length - (sizeof mark - 1), mark) == 0;
}

/* Pushes the statement as a function; false if it is incomplete. */
static bool compile(lua_State *L, struct statement *statement)
{
    lua_pushfstring(L, "return %s", statement->text);
    size_t length;
    const char *expression = lua_tolstring(L, -1, &length);
    if (luaL_loadbufferx(L, expression, length, "=" REPL_CHUNK, "t") == LUA_OK) {
        return true;
    }
    bool early = ends_early(L);
    if (luaL_loadbufferx(L, statement->text, strlen(statement->text), "=" REPL_CHUNK, "t") ==
        LUA_OK) {
        return true;
    }
    statement->incomplete = early || ends_early(L);
    if (!statement->incomplete) {
        lua_error(L);
    }
    return false;
}

void repl_tell(lua_State *L, int index)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &told_key);
    lua_pushvalue(L, index);
    lua_pushboolean(L, 1);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

static bool is_told(lua_State *L, int index)
{
    if (lua_type(L, index) != LUA_TSTRING) {
        return false;
    }
    lua_rawgetp(L, LUA_REGISTRYINDEX, &told_key);
    lua_pushvalue(L, index);
    bool told = lua_rawget(L, -2) != LUA_TNIL;
    lua_pop(L, 2);
    return told;
}

static int statement_body(lua_State *L)
{
    struct statement *statement = lua_touserdata(L, 1);
    struct repl *repl = statement->repl;
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &told_key);
    if (!compile(L, statement)) {
        return 0;
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, repl->environment);
    lua_setupvalue(L, -2, 1); /* a chunk's only upvalue is _ENV */
    int function = lua_gettop(L);
    lua_call(L, 0, LUA_MULTRET);
    int top = lua_gettop(L);
    luaL_checkstack(L, LUA_MINSTACK, "too many values");
    for (int i = function; i <= top; i++) {
        if (!is_told(L, i)) {
            repl_print_value(L, i, &repl->out);
        }
    }
    if (top >= function) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, repl->environment);
        lua_pushvalue(L, function);
        lua_setfield(L, -2, "_");
    }
    return 0;
}

static void print_notes(struct repl *repl)
{
    size_t i;
    json_t *note;
    json_array_foreach(repl->bind.notes, i, note)
    {
        fprintf(stderr, "%snote: ", terminal_style(&repl->err, TERMINAL_DIM));
        repl_print_text(&repl->err, json_string_value(note));
        fprintf(stderr, "%s\n", terminal_plain(&repl->err));
    }
    json_array_clear(repl->bind.notes);
}

static void print_failure(const struct repl *repl, const struct sandbox_failure *failure)
{
    const struct error *e = &failure->error;
    fprintf(stderr, "%s", terminal_style(&repl->err, TERMINAL_RED));
    if (e->code == ERROR_CANCELLED) {
        fprintf(stderr, "cancelled%s\n", terminal_plain(&repl->err));
        return;
    }
    if (failure->line > 0 && strcmp(failure->script, REPL_CHUNK) != 0) {
        fprintf(stderr, "%s, line %d: ", failure->script, failure->line);
    } else if (failure->line > 0) {
        fprintf(stderr, "line %d: ", failure->line);
    } else {
        fprintf(stderr, "error: ");
    }
    repl_print_text(&repl->err, e->message);
    fprintf(stderr, "%s\n", terminal_plain(&repl->err));
    if (e->expected[0] && !strstr(e->message, e->expected)) {
        fprintf(stderr, "  expected: %s\n", e->expected);
    }
}

static void tell_local(struct repl *repl, const char *text)
{
    static const char word[] = "local ";
    text += strspn(text, " \t\n");
    if (repl->told_local || strncmp(text, word, sizeof word - 1) != 0 ||
        strcspn(text, ";\n") + 1 < strlen(text)) {
        return;
    }
    repl->told_local = true;
    fprintf(stderr, "%snote: a local ends with its statement; without 'local' it stays%s\n",
            terminal_style(&repl->err, TERMINAL_DIM), terminal_plain(&repl->err));
}

enum repl_status repl_evaluate(struct repl *repl, const char *text)
{
    struct statement statement = {.repl = repl, .text = text};
    struct sandbox_failure failure;
    terminal_init(&repl->out, stdout); /* its width may have changed */
    terminal_init(&repl->err, stderr);
    atomic_store(&repl->settings.control->cancel, 0);
    sandbox_renew(repl->sandbox);
    int code = sandbox_run(repl->sandbox, statement_body, &statement, &failure);
    fflush(stdout);
    if (statement.incomplete) {
        return REPL_INCOMPLETE;
    }
    print_notes(repl);
    if (code) {
        print_failure(repl, &failure);
        return REPL_FAILED;
    }
    tell_local(repl, text);
    return REPL_DONE;
}
