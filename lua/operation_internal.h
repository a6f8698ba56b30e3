/*
 * What the files of an operation's run share.
 */
#ifndef LUMA_LUA_OPERATION_INTERNAL_H
#define LUMA_LUA_OPERATION_INTERNAL_H

#include "engine/pipeline.h"
#include "lua/bind.h"
#include "lua/operation.h"
#include "lua/sandbox.h"

#define OPERATION_MAX_INPUTS 100

/* A file that was made. */
struct job_file {
    int index;  /* as the caller counts */
    int output; /* in bind.outputs */
    int number; /* of the pictures of one output */
    char *path; /* malloc'ed */
    char name[256];
    int64_t size;
    double time; /* pictures: of the source frame; else NAN */
    int width, height;
    bool done; /* the pipeline has told of it */
};

struct job {
    const struct operation_request *request;
    struct operation_outcome *outcome;
    struct sandbox *sandbox;
    lua_State *running; /* the state that is running already and asks for this; else NULL */
    struct plan *plan;
    struct bind bind;
    json_t *description;
    json_t *options;
    int inputs[OPERATION_MAX_INPUTS];
    int script;           /* registry reference of the script's table */
    struct error refused; /* what check() said */

    struct job_file *files;
    int file_count, file_room;
    int next_index;     /* where the order of files isn't known beforehand */
    int alternative;    /* the plan node that is made in place of an output's own, or -1 */
    int alternative_of; /* that output */

    bool allowed;                       /* the caller's `planned` has been asked */
    double percent;                     /* highest told */
    struct pipeline_progress told;      /* the last */
    double percent_from, percent_share; /* where the current run's part begins, and its size */
    double elapsed, measure_elapsed;    /* seconds of all measures before, of the last one */
};

/* operation_files.c: makes all outputs; 0 or a code with the outcome's error set. */
int operation_make_files(struct job *job);
/* Their JSON, [{index, name, size, mime, media}]; NULL with e. */
json_t *operation_files_json(struct job *job, struct error *e);
void operation_free_files(struct job *job);

/* operation_keep.c: copies the bytes of an input to a path; 0 or a code with the outcome's error.
 */
int operation_keep_input(struct job *job, int input, const char *path, int64_t *size);

/* operation_measure.c: what bind.measure calls, with the job as its owner. */
int operation_measure(void *owner, int node, struct pipeline_result *result, struct error *e);
/* Asks the caller once for leave to do what costs so much; 0 or an error code. */
int operation_ask_to_run(struct job *job, double cost);
/* Progress of the current run as that of the job; the opaque is the job. */
int operation_tell_progress(void *opaque, const struct pipeline_progress *progress);

/* operation.c: runs a function of the sandbox for the job; a failure goes to the outcome. */
int operation_run_lua(struct job *job, lua_CFunction body, void *argument);

#endif
