/*
 * A job as the command line describes it: what `luma run` and `luma explain` have in common, from
 * the arguments to a request for operation_run().
 */
#ifndef LUMA_LUA_CLI_JOB_H
#define LUMA_LUA_CLI_JOB_H

#include <jansson.h>
#include <stdbool.h>

#include "lua/cli_options.h"
#include "lua/operation.h"
#include "lua/terminal.h"

struct cli_job {
    const char *operation, *scripts, *assets;
    const char *output;  /* -o; NULL if it wasn't given */
    json_t *description; /* operation_describe() of the operation */
    json_t *options;     /* as given, an object */
    struct operation_input *inputs;
    int input_count;
    int threads;
    bool json, help, quiet;
};

/* Parses argv ("run OP INPUT... [options]") with the command's own further flags. When help was
 * asked for it is printed, and job->help is set. Returns 0 or a negative code with the sentence in
 * e; every such error is one of usage. Finish the job either way. */
int cli_job_parse(struct cli_job *job, int argc, char **argv, const struct cli_flag *more,
                  int more_count, struct error *e);
void cli_job_finish(struct cli_job *job);

/* The request, without callbacks. Borrows from the job. */
void cli_job_request(const struct cli_job *job, struct operation_request *request);

/* Describes an operation; an unknown one is an error that names the nearest. NULL with e. */
json_t *cli_describe(const char *scripts, const char *operation, struct error *e);

/* A file name like "out.mkv" answers the question of `format` where the operation asks it and the
 * options don't say. */
void cli_format_from_output(const char *output, const json_t *schema, json_t *options);

/* Prints an operation's summary, options and examples for a person. */
void cli_print_operation(const json_t *description, const struct terminal *terminal);

/* Says on stderr what went wrong, and with json also on stdout as {"error": {...}}. */
void cli_report(const struct error *e, bool json);
void cli_report_outcome(const struct operation_outcome *outcome, bool json);

#endif
