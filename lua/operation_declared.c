/*
 * One declared output, made at once; see operation_declared.h. It is put into a job of its own,
 * which the bindings see for as long as it is made.
 */
#include "lua/operation_declared.h"

#include <stdlib.h>
#include <string.h>

#include "lua/operation_internal.h"

int operation_make_declared(struct sandbox *sandbox, lua_State *L, int output,
                            const struct operation_request *request,
                            struct operation_outcome *outcome)
{
    struct bind *bind = sandbox_user(L);
    struct job *job = calloc(1, sizeof *job);

    memset(outcome, 0, sizeof *outcome);
    if (!job) {
        return error_set(&outcome->error, ERROR_OUT_OF_MEMORY, "out of memory");
    }
    job->request = request;
    job->outcome = outcome;
    job->sandbox = sandbox;
    job->running = L;
    job->plan = bind->plan;
    job->alternative = -1;
    job->bind = *bind;
    job->bind.outputs[0] = bind->outputs[output];
    job->bind.output_count = 1;
    sandbox_set_user(sandbox, &job->bind);
    int code = operation_make_files(job);
    if (code == 0) {
        outcome->outputs = operation_files_json(job, &outcome->error);
    }
    sandbox_set_user(sandbox, bind);
    operation_free_files(job);
    free(job);
    return outcome->error.code;
}
