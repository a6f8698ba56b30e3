/*
 * The line that a person types: prompt, editing, history, completion by the tab key (libedit).
 */
#ifndef LUMA_LUA_REPL_LINE_H
#define LUMA_LUA_REPL_LINE_H

#include "engine/error.h"
#include "lua/repl.h"

struct repl_line;

enum repl_line_event {
    REPL_LINE_TEXT,
    REPL_LINE_CLEARED, /* by Ctrl-C */
    REPL_LINE_END,     /* Ctrl-D, or the terminal is gone */
};

/* The session is asked for completions; borrowed. */
int repl_line_create(struct repl_line **out, struct repl *repl, struct error *e);
void repl_line_destroy(struct repl_line **line);

/* Reads a line; `begun` is the statement so far ("" for a new one), which decides on the prompt
 * and helps to complete. The text lives until the next call and has no line end. */
enum repl_line_event repl_line_read(struct repl_line *line, const char *begun, const char **text);

/* Adds a statement to the history, and the history to its file. */
void repl_line_remember(struct repl_line *line, const char *statement);

#endif
