/*
 * The sandboxed state: its memory, its hook, its protected runs and how they fail.
 *
 * Everything that can raise happens inside one lua_pcall (an error outside of one makes Lua abort
 * the process), the creation of the libraries included. lua_newstate itself is protected by Lua.
 */
#include "lua/sandbox.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lua/sandbox_internal.h"

#define HOOK_INSTRUCTIONS 5000        /* between two looks at the clock */
#define MAX_SWALLOWED     1000        /* how often a script may swallow that its time is over */
#define ERROR_RESERVE     (64 * 1024) /* bytes beyond the limit, to describe an error */

/* ---- memory ---- */

static void *allocate(void *opaque, void *block, size_t old_size, size_t size)
{
    struct sandbox *sandbox = opaque;
    size_t limit = sandbox->settings.memory + sandbox->reserve;

    if (!block) {
        old_size = 0; /* then it is a type, not a size */
    }
    if (size == 0) {
        free(block);
        sandbox->memory -= old_size;
        return NULL;
    }
    if (size > old_size && (sandbox->memory > limit || size - old_size > limit - sandbox->memory)) {
        sandbox->memory_refused = true;
        return NULL;
    }
    void *grown = realloc(block, size);
    if (!grown) {
        return size <= old_size ? block : NULL; /* Lua relies on shrinking */
    }
    sandbox->memory += size;
    sandbox->memory -= old_size;
    return grown;
}

size_t sandbox_memory(const struct sandbox *sandbox)
{
    return sandbox->memory;
}

/* ---- time ---- */

static int raise_verdict(lua_State *L, struct sandbox *sandbox)
{
    /* from now on at every instruction, in this coroutine; others get here on their own */
    void (*hook)(lua_State *, lua_Debug *) = lua_gethook(L);
    lua_sethook(L, hook, LUA_MASKCOUNT, 1);
    if (++sandbox->swallowed > MAX_SWALLOWED) {
        clock_kill(sandbox);
    }
    lua_pushstring(L, sandbox->verdict.message);
    return lua_error(L);
}

static void on_count(lua_State *L, lua_Debug *record)
{
    struct sandbox *sandbox = sandbox_of(L);
    (void)record;

    if (sandbox->verdict.code != ERROR_NONE && !sandbox->final) {
        raise_verdict(L, sandbox);
    } else if (clock_expired(&sandbox->clock)) {
        error_set(&sandbox->verdict, ERROR_LIMIT_EXCEEDED,
                  "the script used more than its %g seconds of processor time",
                  sandbox->settings.seconds);
        error_place(&sandbox->verdict, "lua_time", NULL, NULL);
        sandbox->final = false;
        raise_verdict(L, sandbox);
    } else if (sandbox->settings.cancel && atomic_load(sandbox->settings.cancel)) {
        error_set(&sandbox->verdict, ERROR_CANCELLED, "cancelled");
        sandbox->final = false;
        raise_verdict(L, sandbox);
    }
}

void sandbox_pause(lua_State *L)
{
    clock_pause(&sandbox_of(L)->clock);
}

void sandbox_resume(lua_State *L)
{
    clock_resume(&sandbox_of(L)->clock);
}

/* ---- creation ---- */

struct sandbox *sandbox_of(lua_State *L)
{
    /* a new coroutine gets a copy of the main thread's extra space */
    return *(struct sandbox **)lua_getextraspace(L);
}

static int set_up(lua_State *L)
{
    luaL_checkstack(L, LUA_MINSTACK, NULL);
    lua_sethook(L, on_count, LUA_MASKCOUNT, HOOK_INSTRUCTIONS);
    return sandbox_open_libraries(L);
}

int sandbox_create(struct sandbox **out, const struct sandbox_settings *settings, struct error *e)
{
    struct sandbox *sandbox = calloc(1, sizeof *sandbox);
    struct sandbox_failure failure;
    int status;

    *out = NULL;
    if (!sandbox) {
        return error_set(e, ERROR_OUT_OF_MEMORY, "out of memory while starting Lua");
    }
    sandbox->settings = *settings;
    status = clock_init(&sandbox->clock, settings->seconds, e);
    if (status != 0) {
        free(sandbox);
        return status;
    }
    sandbox->L = lua_newstate(allocate, sandbox);
    if (!sandbox->L) {
        sandbox_destroy(&sandbox);
        return error_set(e, ERROR_OUT_OF_MEMORY, "the Lua memory limit is too small to start");
    }
    *(struct sandbox **)lua_getextraspace(sandbox->L) = sandbox;
    status = sandbox_run(sandbox, set_up, NULL, &failure);
    if (status != 0) {
        if (e) {
            *e = failure.error;
        }
        sandbox_destroy(&sandbox);
        return status;
    }
    *out = sandbox;
    return 0;
}

void sandbox_destroy(struct sandbox **sandbox)
{
    if (!*sandbox) {
        return;
    }
    if ((*sandbox)->L) {
        lua_close((*sandbox)->L);
    }
    clock_finish(&(*sandbox)->clock);
    free(*sandbox);
    *sandbox = NULL;
}

void sandbox_set_user(struct sandbox *sandbox, void *user)
{
    sandbox->user = user;
}

void *sandbox_user(lua_State *L)
{
    return sandbox_of(L)->user;
}

/* ---- failures ---- */

int sandbox_raise(lua_State *L, const struct error *e)
{
    struct sandbox *sandbox = sandbox_of(L);
    sandbox->raised = *e;
    luaL_where(L, 1);
    lua_pushstring(L, e->message);
    lua_concat(L, 2);
    snprintf(sandbox->raised_text, sizeof sandbox->raised_text, "%s", lua_tostring(L, -1));
    return lua_error(L);
}

int sandbox_raise_final(lua_State *L, const struct error *e)
{
    struct sandbox *sandbox = sandbox_of(L);
    if (sandbox->verdict.code == ERROR_NONE) {
        sandbox->verdict = *e;
        sandbox->final = true;
    }
    return sandbox_raise(L, e);
}

/* "speed.lua:12: text": takes the place off the message. */
static void take_place(struct sandbox_failure *failure, const char **message)
{
    const char *suffix = strstr(*message, ".lua:");
    if (!suffix || memchr(*message, ' ', (size_t)(suffix - *message))) {
        return;
    }
    char *end;
    long line = strtol(suffix + 5, &end, 10);
    if (end == suffix + 5 || strncmp(end, ": ", 2) != 0 || line <= 0 || line > 10000000) {
        return;
    }
    snprintf(failure->script, sizeof failure->script, "%.*s", (int)(suffix + 4 - *message),
             *message);
    failure->line = (int)line;
    *message = end + 2;
}

/* The innermost line of Lua code that is being run. */
static void find_place(lua_State *L, struct sandbox_failure *failure)
{
    lua_Debug frame;
    for (int level = 0; level < 50 && lua_getstack(L, level, &frame); level++) {
        if (lua_getinfo(L, "Sl", &frame) && frame.currentline > 0) {
            snprintf(failure->script, sizeof failure->script, "%s", frame.short_src);
            failure->line = frame.currentline;
            return;
        }
    }
}

static void set_error(struct sandbox *sandbox, struct sandbox_failure *failure, const char *message)
{
    if (strcmp(message, sandbox->raised_text) == 0 && sandbox->raised.code != ERROR_NONE) {
        take_place(failure, &message);
        failure->error = sandbox->raised;
        return;
    }
    take_place(failure, &message);
    error_set(&failure->error, ERROR_SCRIPT, "%s", message);
}

/* The message handler of every run: keeps what is known of the error, in C. */
static int on_error(lua_State *L)
{
    struct sandbox *sandbox = sandbox_of(L);
    struct sandbox_failure *failure = sandbox->failure;

    sandbox->reserve = ERROR_RESERVE;
    if (lua_isstring(L, 1)) {
        set_error(sandbox, failure, lua_tostring(L, 1));
    } else if (lua_istable(L, 1)) {
        /* raw: the handler runs without the hook, so no script code from here */
        lua_pushliteral(L, "message");
        lua_rawget(L, 1);
        const char *text = lua_isstring(L, -1) ? lua_tostring(L, -1) : "(an error that is a table)";
        set_error(sandbox, failure, text);
    } else {
        error_set(&failure->error, ERROR_SCRIPT, "(an error that is a %s)", luaL_typename(L, 1));
    }
    if (failure->line == 0) {
        find_place(L, failure);
    }
    luaL_traceback(L, L, NULL, 1);
    snprintf(failure->traceback, sizeof failure->traceback, "%s", lua_tostring(L, -1));
    sandbox->reserve = 0;
    lua_settop(L, 1);
    return 1;
}

static void finish_failure(struct sandbox *sandbox, lua_State *L, int status,
                           struct sandbox_failure *failure)
{
    sandbox->reserve = 0;
    if (sandbox->verdict.code != ERROR_NONE) {
        failure->error = sandbox->verdict;
        return;
    }
    if (status == LUA_OK) {
        return;
    }
    const char *message = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    if (status == LUA_ERRMEM ||
        (sandbox->memory_refused && message && strstr(message, "not enough memory"))) {
        error_set(&failure->error, ERROR_OUT_OF_MEMORY,
                  "the script used more than its %zu bytes of memory", sandbox->settings.memory);
        error_place(&failure->error, "lua_memory", NULL, NULL);
    } else if (failure->error.code == ERROR_NONE) {
        error_set(&failure->error, ERROR_SCRIPT, "%s", message ? message : "an error in an error");
    }
}

int sandbox_run(struct sandbox *sandbox, lua_CFunction body, void *argument,
                struct sandbox_failure *failure)
{
    lua_State *L = sandbox->L;

    memset(failure, 0, sizeof *failure);
    int status = clock_start(sandbox, &failure->error);
    if (status != 0) {
        return status;
    }
    sandbox->failure = failure;
    sandbox->memory_refused = false;
    lua_settop(L, 0); /* these four never allocate */
    lua_pushcfunction(L, on_error);
    lua_pushcfunction(L, body);
    lua_pushlightuserdata(L, argument);
    status = lua_pcall(L, 1, 0, 1);
    clock_stop(sandbox);
    finish_failure(sandbox, L, status, failure);
    lua_settop(L, 0);
    sandbox->failure = NULL;
    return failure->error.code;
}

int sandbox_call(lua_State *L, lua_CFunction body, void *argument, struct sandbox_failure *failure)
{
    struct sandbox *sandbox = sandbox_of(L);
    struct sandbox_failure *outer = sandbox->failure;
    int top = lua_gettop(L);

    memset(failure, 0, sizeof *failure);
    if (!lua_checkstack(L, 3)) {
        return error_set(&failure->error, ERROR_OUT_OF_MEMORY, "out of memory");
    }
    sandbox->failure = failure;
    lua_pushcfunction(L, on_error);
    lua_pushcfunction(L, body);
    lua_pushlightuserdata(L, argument);
    int status = lua_pcall(L, 1, 0, top + 1);
    finish_failure(sandbox, L, status, failure);
    lua_settop(L, top);
    sandbox->failure = outer;
    return failure->error.code;
}

void sandbox_renew(struct sandbox *sandbox)
{
    memset(&sandbox->verdict, 0, sizeof sandbox->verdict);
    sandbox->final = false;
    sandbox->swallowed = 0;
    sandbox->log_lines = 0;
    sandbox->log_bytes = 0;
    lua_sethook(sandbox->L, on_count, LUA_MASKCOUNT, HOOK_INSTRUCTIONS);
}

/* ---- the log ---- */

void sandbox_log(lua_State *L, const char *text, size_t length)
{
    struct sandbox *sandbox = sandbox_of(L);
    char line[SANDBOX_LOG_LINE + 1];

    if (!sandbox->settings.log || sandbox->log_lines > SANDBOX_LOG_LINES) {
        return;
    }
    if (sandbox->log_lines == SANDBOX_LOG_LINES || sandbox->log_bytes > SANDBOX_LOG_BYTES) {
        sandbox->log_lines = SANDBOX_LOG_LINES + 1;
        sandbox->settings.log(sandbox->settings.opaque, "(the script's further output is dropped)");
        return;
    }
    if (length >= sizeof line) {
        length = sizeof line - 1;
    }
    for (size_t i = 0; i < length; i++) {
        line[i] = text[i] == '\0' ? ' ' : text[i];
    }
    line[length] = '\0';
    sandbox->log_lines++;
    sandbox->log_bytes += length;
    sandbox->settings.log(sandbox->settings.opaque, line);
}
