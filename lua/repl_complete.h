/*
 * What could be meant by a name that is only begun: globals, fields, methods, filters, options of
 * filters, encoders and operations, and within quotes the names of files, formats, codecs and
 * operations.
 */
#ifndef LUMA_LUA_REPL_COMPLETE_H
#define LUMA_LUA_REPL_COMPLETE_H

#include <stddef.h>

#include "lua/repl.h"

struct repl_completions {
    char **names; /* sorted, each once; all begin with what is typed */
    int count;
    size_t typed; /* bytes of the name that are there already */
};

/* Completes the end of a text (a statement up to the cursor). Runs no code of a script's. Not while
 * a statement is evaluated. Finish the completions afterwards. */
void repl_complete(struct repl *repl, const char *text, struct repl_completions *completions);
void repl_completions_finish(struct repl_completions *completions);

#endif
