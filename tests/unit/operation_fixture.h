/*
 * A world for tests of operations: clips, a folder of scripts that are written here, and a request
 * that takes its outputs to the clips' folder.
 */
#ifndef LUMA_TESTS_UNIT_OPERATION_FIXTURE_H
#define LUMA_TESTS_UNIT_OPERATION_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lua/operation.h"
#include "tests/unit/plan_clips.h"

static struct clips clips;
static char scripts[96];

static inline int make_world(void **state)
{
    char lib[128];
    (void)state;
    av_log_set_level(AV_LOG_FATAL);
    if (clips_init(&clips) != 0)
        return -1;
    snprintf(scripts, sizeof scripts, "%s/scripts", clips.folder);
    snprintf(lib, sizeof lib, "%s/lib", scripts);
    return mkdir(scripts, 0700) != 0 || mkdir(lib, 0700) != 0 ? -1 : 0;
}

static inline int remove_world(void **state)
{
    (void)state;
    clips_finish(&clips);
    return 0;
}

static inline void write_script(const char *name, const char *text)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s.lua", scripts, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* The operation "test" with a body for run(job), or with a table of its own. */
static inline void write_run(const char *body)
{
    char text[8192];
    snprintf(text, sizeof text,
             "return { summary = 's', inputs = { min = 1, max = 2 }, options = {\n"
             "{ 'factor', type = 'number', default = 2 }, { 'name', type = 'string' } },\n"
             "run = function(job) local source = job.input\n%s\nend }\n",
             body);
    write_script("test", text);
}
#define BODY_LINE 4 /* where the body stands */

static int paths_given;
static char path_names[64][64];

static inline int give_path(void *opaque, int index, const char *name, char *path, size_t size)
{
    (void)opaque;
    paths_given++;
    assert_in_range(index, 0, 63);
    snprintf(path_names[index], sizeof path_names[index], "%s", name);
    snprintf(path, size, "%s/out-%d", clips.folder, index);
    return 0;
}

static inline void request_init(struct operation_request *request, struct operation_input *input)
{
    *input = (struct operation_input){clips.mp4, "holiday.mp4"};
    *request = (struct operation_request){
        .scripts = scripts,
        .name = "test",
        .inputs = input,
        .input_count = 1,
        .output_path = give_path,
    };
    paths_given = 0;
}

static inline int run_script(struct operation_outcome *outcome)
{
    struct operation_request request;
    struct operation_input input;
    request_init(&request, &input);
    return operation_run(&request, outcome);
}

/* Runs a body that returns a value; its JSON text, malloc'ed. */
static inline char *run_for_value(const char *body)
{
    struct operation_outcome outcome;
    write_run(body);
    if (run_script(&outcome) != 0)
        fail_msg("%s: %s (%s:%d)", body, outcome.error.message, outcome.script, outcome.line);
    char *text =
        json_dumps(outcome.result, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6));
    operation_outcome_finish(&outcome);
    return text;
}

#endif
