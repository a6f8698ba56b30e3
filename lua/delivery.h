/*
 * Where the command line puts what a job made.
 *
 * Files are written into a hidden folder beside their place and moved there at the end, so a job
 * that fails or is interrupted leaves nothing behind. `-o` names a file, or, when
 * it is a folder already or the job makes several files, a folder. A name that ends as another
 * format's than the file's is refused before the work begins: players go by it. Nothing is
 * overwritten unless that was asked for, and an input never.
 */
#ifndef LUMA_LUA_DELIVERY_H
#define LUMA_LUA_DELIVERY_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>

#include "engine/error.h"
#include "lua/operation.h"

enum { DELIVERY_FILES_MAX = 10000 };

struct delivery {
    const char *target;    /* -o, or NULL; borrowed */
    const char *operation; /* borrowed */
    const struct operation_input *inputs;
    int input_count;
    bool force;
    const char *how_force; /* what lets files be overwritten, in words; NULL: "--force" */
    bool folder;           /* target is a folder that exists */
    char place[PATH_MAX];  /* the folder that the files, or the target, are in */
    char hidden[PATH_MAX]; /* the temporary folder; empty: none */
    int made;              /* files begun in it: their names are 0, 1, ... */
};

/* Checks the target and makes the hidden folder. 0 or an error code with e. */
int delivery_begin(struct delivery *delivery, struct error *e);

/* Checks that the target's ending, if it is a format's, is that of the job's first file, which the
 * script calls `name`. 0 or an error code with e. */
int delivery_check_name(const struct delivery *delivery, const char *name, struct error *e);

/* Checks, once the job wants a second file, that the target doesn't name a file: a new folder has
 * no format's ending. 0 or an error code with e. */
int delivery_check_count(const struct delivery *delivery, struct error *e);

/* The path for file `index` of the job. */
int delivery_path(struct delivery *delivery, int index, char *path, size_t size);

/* Moves the files to where they belong, and sets "path" in each of the outputs. */
int delivery_commit(struct delivery *delivery, json_t *outputs, struct error *e);

/* Removes the hidden folder and what is left in it. Calls only async-signal-safe functions, so
 * that a signal handler may use it as a last act. */
void delivery_discard(struct delivery *delivery);

#endif
