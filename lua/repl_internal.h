/*
 * What the files of the REPL's session share.
 */
#ifndef LUMA_LUA_REPL_INTERNAL_H
#define LUMA_LUA_REPL_INTERNAL_H

#include <sys/types.h>
#include <time.h>

#include "lua/bind.h"
#include "lua/operation.h"
#include "lua/repl.h"
#include "lua/sandbox.h"
#include "lua/terminal.h"

#define REPL_MAX_INPUTS 100
#define REPL_CHUNK      "repl.lua" /* how errors name what was typed */
#define REPL_NO_BUDGET  1e9        /* seconds of processor time: thirty years */

/* A file that was opened, and what it was then. */
struct repl_file {
    char *path, *label;
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
};

struct repl {
    struct repl_settings settings;
    struct sandbox *sandbox;
    struct plan *plan;
    struct bind bind;
    struct repl_file files[REPL_MAX_INPUTS];
    int inputs[REPL_MAX_INPUTS]; /* the files' nodes of the plan */
    int environment;             /* registry reference: the table of the session's variables */
    bool told_local;             /* that a local doesn't last */
    struct terminal out, err;
};

/* The session of a function that was made with repl_push_function. */
struct repl *repl_of(lua_State *L);
void repl_push_function(lua_State *L, struct repl *repl, lua_CFunction function);

/* Pushes the table behind a read-only view, or the value itself. */
void repl_push_behind(lua_State *L, int index);

/* Marks the text at the index as printed: as a value of this statement it isn't again. */
void repl_tell(lua_State *L, int index);

/* Opens a file, or finds it among those that are open; its number in files, or a code. */
int repl_open_file(struct repl *repl, const char *path, struct error *e);

/* repl_make.c: adds `run` and `save` to the session's table, which is on top. */
void repl_open_make(lua_State *L, struct repl *repl);
/* The session's bind.measure: with progress, and to be cancelled. */
int repl_measure(void *owner, int node, struct pipeline_result *result, struct error *e);

#endif
