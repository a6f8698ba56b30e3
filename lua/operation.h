/*
 * An operation: one Lua script, run once, in a fresh sandboxed state.
 *
 * This is what the command line and the server's worker both call. It loads the script, opens the
 * inputs, validates the options against the script's schema, lets `run` build a plan, runs the
 * plan, and tells what was made. One call at a time in a process; blocks.
 */
#ifndef LUMA_LUA_OPERATION_H
#define LUMA_LUA_OPERATION_H

#include <jansson.h>
#include <stdbool.h>

#include "engine/error.h"
#include "engine/pipeline.h"
#include "engine/policy.h"

struct operation_input {
    const char *path;  /* for opening only; never visible to the script */
    const char *label; /* the client's name of it, may be NULL */
};

struct operation_request {
    const char *scripts; /* folder with the operations and lib/ */
    const char *assets;  /* folder for av.asset(), may be NULL */
    const char *name;    /* "compress": file compress.lua in scripts */
    const struct operation_input *inputs;
    int input_count;
    json_t *options; /* object as the client sent it; NULL: {} */
    int threads;
    bool synced;                        /* as in struct pipeline_options */
    const struct policy_limits *limits; /* NULL: defaults */
    size_t lua_memory;                  /* bytes; 0: 64 MiB */
    double lua_time;                    /* seconds of CPU in Lua code; 0: 5 */
    struct pipeline_control *control;   /* may be NULL */

    /* Path to create for output file `index` (from 0, in the order in which files are declared).
     * The name is a label made safe: no '/', no control bytes, not empty, at most 200 bytes. */
    int (*output_path)(void *opaque, int index, const char *name, char *path, size_t size);
    /* The plan is complete; cost in processor seconds (plan_cost). Returns 0 to go on; an error
     * code ends the job with it. May be NULL. */
    int (*planned)(void *opaque, double cost);
    int (*progress)(void *opaque, const struct pipeline_progress *progress); /* may be NULL */
    /* A file is made and will not change any more, though it has not been described yet. In the
     * order of their numbers, all in a row. May be NULL. */
    void (*made)(void *opaque, int index, const char *name, int64_t size);
    void (*log)(void *opaque, const char *text); /* print and log of the script; may be NULL */
    /* The script used up a limit ("lua_time") and can't be stopped otherwise: to report that and
     * _exit; from any thread (see sandbox.h). May be NULL. */
    void (*killed)(void *opaque, const char *limit);
    void *opaque;
    bool explain_only; /* stop at the plan; outcome.explain has it */
};

struct operation_outcome {
    struct error error; /* code 0: success */
    /* script_error only: where */
    char script[128];
    int line;
    char traceback[2048];

    json_t *outputs; /* [{index, name, size, mime, media}]; sha256 is for the caller to add */
    json_t *result;  /* what the script returned, or null */
    json_t *notes;   /* [text] */
    char *explain_text, *explain_dot, *explain_ffmpeg; /* explain_only */
};

/* Returns outcome->error.code. The outcome is filled in either way; finish it in the end. */
int operation_run(const struct operation_request *request, struct operation_outcome *outcome);
void operation_outcome_finish(struct operation_outcome *outcome);

/* Everything that is known of an input (probe): the JSON that completed.outputs[].media uses too.
 * NULL with e on failure. */
struct media;
json_t *operation_media_json(const struct media *media);

/* Describes one operation: {name, summary, inputs: {min, max, roles?}, options: [the schema
 * document of schema.h], examples}. Runs the script's top level in a sandbox. NULL with outcome's
 * error on failure. */
json_t *operation_describe(const char *scripts, const char *name,
                           struct operation_outcome *outcome);

/* Names of the operations in a folder (its *.lua files with a valid name), sorted: [name]. */
json_t *operation_list(const char *scripts);

/* The error as protocol fields: {code, message, details?}. */
json_t *operation_error_json(const struct operation_outcome *outcome);

#endif
