/*
 * What the sandbox's own files share: its state, its clock, its libraries.
 */
#ifndef LUMA_LUA_SANDBOX_INTERNAL_H
#define LUMA_LUA_SANDBOX_INTERNAL_H

#include <lauxlib.h>
#include <pthread.h>
#include <stdint.h>

#include "lua/sandbox.h"

#define SANDBOX_LOG_LINES 1000
#define SANDBOX_LOG_LINE  1000  /* bytes of one line */
#define SANDBOX_LOG_BYTES 65536 /* of all lines */

/* The clock of one Lua thread. All fields but the first two are under the lock. */
struct sandbox_clock {
    clockid_t cpu;  /* the Lua thread's processor time; set before the watcher starts */
    int64_t budget; /* ns */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t watcher;
    bool watching; /* the watcher thread exists */
    bool active;   /* between clock_start and clock_stop */
    bool ending;   /* the watcher is to end */
    bool running;  /* active and not paused */
    int64_t since; /* cpu when it began to run */
    int64_t used;  /* ns, before that */
};

struct sandbox {
    lua_State *L;
    struct sandbox_settings settings;
    void *user;

    size_t memory;       /* in use */
    size_t reserve;      /* more than settings.memory, while an error is described */
    bool memory_refused; /* an allocation failed since the last run began */

    struct sandbox_clock clock;
    struct error verdict; /* code non-zero: the script has been told to end */
    bool final;           /* the verdict stands whatever the script does */
    int swallowed;        /* how often it was told again */

    struct error raised;    /* the last failure that a binding raised */
    char raised_text[1280]; /* and the Lua message that was made of it */

    int log_lines;
    size_t log_bytes;
    struct sandbox_failure *failure; /* of the present run */
};

struct sandbox *sandbox_of(lua_State *L);

/* sandbox_clock.c */
int clock_init(struct sandbox_clock *clock, double seconds, struct error *e);
void clock_finish(struct sandbox_clock *clock);
/* From the Lua thread: a run begins and ends. */
int clock_start(struct sandbox *sandbox, struct error *e);
void clock_stop(struct sandbox *sandbox);
void clock_pause(struct sandbox_clock *clock);
void clock_resume(struct sandbox_clock *clock);
bool clock_expired(struct sandbox_clock *clock);
/* Writes the verdict and ends the process. */
_Noreturn void clock_kill(struct sandbox *sandbox);

/* sandbox_library.c: fills the state's globals; raises. */
int sandbox_open_libraries(lua_State *L);
/* sandbox_string.c, sandbox_table.c: each replaces functions of the library table on top by ones
 * with bounds on their arguments. */
void sandbox_guard_string(lua_State *L);
void sandbox_guard_table(lua_State *L);
/* Replaces field `name` of the table on top by `guard`, whose first upvalue is the original. */
void sandbox_wrap(lua_State *L, const char *name, lua_CFunction guard);
/* Calls upvalue 1 with all arguments and returns all of its results. */
int sandbox_call_original(lua_State *L);

#endif
