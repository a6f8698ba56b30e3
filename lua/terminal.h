/*
 * What a person at a terminal sees while a job runs: a bar that redraws itself, or, where the
 * stream is a file or a pipe, a plain line now and then.
 */
#ifndef LUMA_LUA_TERMINAL_H
#define LUMA_LUA_TERMINAL_H

#include <stdbool.h>
#include <stdio.h>

#include "engine/pipeline.h"

struct terminal {
    FILE *stream;
    bool tty;   /* can be redrawn */
    bool color; /* a tty, and NO_COLOR isn't set */
    int width;  /* columns; 80 where nobody knows */
};

void terminal_init(struct terminal *terminal, FILE *stream);

enum terminal_style { TERMINAL_BOLD, TERMINAL_DIM, TERMINAL_RED, TERMINAL_GREEN };

/* The escape sequence that starts a style, and the one that ends any; "" without colours. */
const char *terminal_style(const struct terminal *terminal, enum terminal_style style);
const char *terminal_plain(const struct terminal *terminal);

struct terminal_progress {
    struct terminal *terminal;
    const char *title; /* borrowed */
    double said;       /* when the last plain line was written, by the run's clock */
    bool drawn;        /* a bar stands on the current line */
};

void terminal_progress_init(struct terminal_progress *bar, struct terminal *terminal,
                            const char *title);
void terminal_progress_show(struct terminal_progress *bar, const struct pipeline_progress *now);
/* Wipes the bar, so that something else can be written. */
void terminal_progress_clear(struct terminal_progress *bar);

/* "0:07", "1:02:03" for seconds; "?" for NAN. */
void terminal_clock(char *text, size_t size, double seconds);
/* "512 B", "4.1 MB" for bytes (decimal units). */
void terminal_size(char *text, size_t size, double bytes);

#endif
