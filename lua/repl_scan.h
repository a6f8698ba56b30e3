/*
 * Where the end of a begun Lua statement stands: in a text, in a table of somebody's options,
 * behind a dot. For completion; it reads the text as Lua's lexer does, and guesses no more than
 * that.
 */
#ifndef LUMA_LUA_REPL_SCAN_H
#define LUMA_LUA_REPL_SCAN_H

#include <stdbool.h>
#include <stddef.h>

enum { REPL_NAME_MAX = 64, REPL_STEPS_MAX = 16 };

/* `sources[2].video`: a name, and what follows it. */
struct repl_step {
    char name[REPL_NAME_MAX]; /* "": the index below */
    long index;
};

struct repl_scan {
    bool nothing;      /* in a comment or a number: there is nothing to complete */
    bool quoted;       /* in a text, which begins at typed */
    const char *typed; /* the begun name or text */

    char separator;                         /* '.' or ':' before typed, or 0 */
    struct repl_step steps[REPL_STEPS_MAX]; /* what stands before the separator ... */
    int step_count;                         /* ... or 0 if it isn't that simple */
    char maker[REPL_NAME_MAX]; /* then: the function whose call ends before the separator, or "" */

    bool key;                      /* typed may be a key of a table */
    char field[REPL_NAME_MAX];     /* quoted: the key that the text is the value of, or "" */
    char callee[REPL_NAME_MAX];    /* the function whose arguments, or table, typed is in, or "" */
    bool method;                   /* that was called with a colon */
    bool first;                    /* typed is the first argument */
    char operation[REPL_NAME_MAX]; /* callee's first argument, if it is a text */
    char codec[REPL_NAME_MAX];     /* `codec = "..."` in the same table, or "" */
};

void repl_scan(const char *text, struct repl_scan *scan);

#endif
