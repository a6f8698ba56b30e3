/*
 * A Lua state that a script can't get out of, use up, or keep busy.
 *
 * What a script finds is an allow list (sandbox_library.c); all of it is read-only. Memory is
 * counted and bounded. Processor time is counted while Lua code runs, with the bindings that it
 * calls, but for those whose work takes long and which stop the clock meanwhile; it has a budget:
 *
 *  - when the budget is gone, the next Lua instruction raises limit_exceeded, and so does every
 *    one after it, in whatever coroutine or handler it is;
 *  - a script that goes on nevertheless, by swallowing the error again and again or inside one C
 *    call that no hook can interrupt, is ended with the whole process: `killed` is called, which
 *    must not return to the script's work but write the verdict, then _exit(SANDBOX_EXIT).
 *
 * One thread uses a sandbox. A thread of its own watches the time; `killed` may come from it, and
 * must touch nothing but what it needs to write the verdict.
 */
#ifndef LUMA_LUA_SANDBOX_H
#define LUMA_LUA_SANDBOX_H

#include <lua.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "engine/error.h"

#define SANDBOX_EXIT 70 /* exit status of a process whose script had to be ended from outside */

struct sandbox;

struct sandbox_settings {
    size_t memory;      /* bytes of Lua memory */
    double seconds;     /* processor time of Lua code */
    atomic_int *cancel; /* once non-zero Lua code ends with ERROR_CANCELLED; may be NULL */
    /* A line that the script printed; bounded in length and number. May be NULL. */
    void (*log)(void *opaque, const char *text);
    /* See above. limit is "lua_time". NULL: a line on stderr. */
    void (*killed)(void *opaque, const char *limit);
    void *opaque;
};

/* How Lua code failed. */
struct sandbox_failure {
    struct error error;
    /* ERROR_SCRIPT and others that have a place in a script; else "" and 0 */
    char script[128]; /* "speed.lua", "lib/tempo.lua" */
    int line;
    char traceback[2048];
};

int sandbox_create(struct sandbox **out, const struct sandbox_settings *settings, struct error *e);
void sandbox_destroy(struct sandbox **sandbox);

/* Runs a C function that uses Lua, protected and timed: body finds `argument` as a light userdata
 * at index 1 of a fresh stack and may raise. 0, or the failure's code. Not to be nested. */
int sandbox_run(struct sandbox *sandbox, lua_CFunction body, void *argument,
                struct sandbox_failure *failure);

/* Between two runs of a state that lives on (the REPL's): a verdict on the script is lifted, and it
 * may print as much again. */
void sandbox_renew(struct sandbox *sandbox);

/* ---- for bindings, inside sandbox_run ---- */

/* Runs body as sandbox_run does, from C code that was itself called by Lua and must not be left by
 * an error. The stack stays as it was. */
int sandbox_call(lua_State *L, lua_CFunction body, void *argument, struct sandbox_failure *failure);

/* A pointer of the caller's, for bindings to find their world. */
void sandbox_set_user(struct sandbox *sandbox, void *user);
void *sandbox_user(lua_State *L);

/* Stops and starts the clock around engine work. */
void sandbox_pause(lua_State *L);
void sandbox_resume(lua_State *L);

/* Raises a failure with its code, at the script's line that called the binding. Never returns. */
int sandbox_raise(lua_State *L, const struct error *e);
/* The same, and nothing that the script does can undo it: sandbox_run ends with this failure. */
int sandbox_raise_final(lua_State *L, const struct error *e);

/* Makes the value on top a global of that name, and pops it. Scripts can't change it. */
void sandbox_set_global(lua_State *L, const char *name);

/* Replaces the table on top by a view that can't be written to. `what` names it in the error, as
 * in "job.options is read-only". Nested tables are not touched. */
void sandbox_make_readonly(lua_State *L, const char *what);

/* Text of any value without addresses and without running script code; left on the stack. */
const char *sandbox_tostring(lua_State *L, int index, size_t *length);

/* Hands a line to the log, within the quota. */
void sandbox_log(lua_State *L, const char *text, size_t length);

/* Lua memory in use, bytes. */
size_t sandbox_memory(const struct sandbox *sandbox);

#endif
