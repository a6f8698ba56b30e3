/*
 * The REPL's session: one sandboxed state that lives on, one plan that grows, and the files that
 * were opened for it. See docs/repl.md for what a person finds in it.
 *
 * A statement is evaluated in the same state as the one before it. Assignments go to a table of the
 * session's own, over the read-only globals that scripts have; `local` ends with its statement.
 * Lua code has no budget of time here: the person at the keyboard interrupts it, by
 * control.cancel, which a signal handler may set.
 *
 * One thread. Values are printed on stdout, what is said about them on stderr.
 */
#ifndef LUMA_LUA_REPL_H
#define LUMA_LUA_REPL_H

#include <stdbool.h>

#include "engine/error.h"
#include "engine/pipeline.h"

#define REPL_MAX_STATEMENT ((size_t)64 * 1024) /* bytes */

struct repl;

struct repl_settings {
    const char *scripts, *assets; /* folders; may be NULL: no operations */
    int threads;                  /* of a run; 0: all */
    struct pipeline_control *control;
};

int repl_create(struct repl **out, const struct repl_settings *settings, struct error *e);
void repl_destroy(struct repl **repl);

/* Opens a file as the statement `av.open(path)` does, as one of `sources`. */
int repl_open(struct repl *repl, const char *path, struct error *e);

enum repl_status {
    REPL_DONE,
    REPL_INCOMPLETE, /* the statement goes on in the next line: nothing has been run */
    REPL_FAILED,     /* and the error is told */
};

/* Evaluates a statement of one or several lines, or an expression, whose values are printed. */
enum repl_status repl_evaluate(struct repl *repl, const char *text);

/* Removes what a run has begun to write; async-signal-safe, as the last act of a process. */
void repl_discard(void);

#endif
