/*
 * Signals of the REPL. While a line is typed, Ctrl-C clears it; while a statement runs, it cancels
 * the statement, and insisting (the third time) ends the program, tidied up as far as that goes.
 * SIGTERM and SIGHUP end the session: at the prompt at once, else by cancelling what runs.
 */
#ifndef LUMA_LUA_REPL_SIGNAL_H
#define LUMA_LUA_REPL_SIGNAL_H

#include <signal.h>
#include <stdbool.h>

#include "engine/pipeline.h"

/* What came while a line was being typed. */
struct repl_signals {
    volatile sig_atomic_t interrupted, resized, continued;
    volatile sig_atomic_t ending; /* at any time */
};
extern struct repl_signals repl_signals;

/* Catches them; what is to be cancelled is in control. */
void repl_signal_catch(struct pipeline_control *control);

/* Says whether a line is being typed, or a statement runs. */
void repl_signal_typing(bool typing);

/* Waits until the descriptor can be read; false if a signal came first, or already was there. */
bool repl_signal_wait(int fd);

#endif
