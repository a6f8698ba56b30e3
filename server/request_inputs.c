/*
 * What start_job says of its inputs: how many there are, and whether each can be had.
 */
#include <inttypes.h>
#include <string.h>

#include "server/blob.h"
#include "server/fetch.h"
#include "server/job.h"
#include "server/journal.h"
#include "server/operations.h"
#include "server/request_internal.h"
#include "server/session.h"

static int check_count(struct request *request, const struct operation_entry *operation,
                       size_t count)
{
    const struct config *config = &request->session->server->config;
    char got[32], expected[64];
    (void)snprintf(got, sizeof(got), "%zu", count);
    if (count > (size_t)config->max_inputs) {
        (void)snprintf(expected, sizeof(expected), "at most %" PRId64, config->max_inputs);
        problem_set(&request->problem, "too_many_inputs", "a job has at most %" PRId64 " inputs",
                    config->max_inputs);
        return problem_place(&request->problem, "inputs", got, expected);
    }
    if (count >= (size_t)operation->inputs_min && count <= (size_t)operation->inputs_max)
        return 0;
    if (operation->inputs_min == operation->inputs_max) {
        (void)snprintf(expected, sizeof(expected), "%d", operation->inputs_min);
    } else {
        (void)snprintf(expected, sizeof(expected), "%d to %d", operation->inputs_min,
                       operation->inputs_max);
    }
    problem_set(&request->problem, "invalid_input", "%s takes %s input%s", operation->name,
                expected, strcmp(expected, "1") == 0 ? "" : "s");
    return problem_place(&request->problem, "inputs", got, expected);
}

/* Where in the request: "inputs[2].url". */
struct place {
    char path[64];
};

static const char *place_of(struct place *place, size_t index, const char *field)
{
    (void)snprintf(place->path, sizeof(place->path), "inputs[%zu].%s", index, field);
    return place->path;
}

static int check_upload(struct request *request, const json_t *input, size_t index)
{
    int64_t limit = request->session->server->config.max_upload;
    json_int_t size = json_integer_value(json_object_get(input, "size"));
    if (size <= limit)
        return 0;
    struct place place;
    char got[32], expected[64];
    (void)snprintf(got, sizeof(got), "%lld", (long long)size);
    (void)snprintf(expected, sizeof(expected), "at most %" PRId64, limit);
    problem_set(&request->problem, "upload_too_large", "an input has at most %" PRId64 " bytes",
                limit);
    return problem_place(&request->problem, place_of(&place, index, "size"), got, expected);
}

static int check_url(struct request *request, const json_t *input, size_t index)
{
    const char *url = json_string_value(json_object_get(input, "url"));
    if (fetcher_check(request->session->server->fetcher, url, &request->problem) == 0)
        return 0;
    struct place place;
    return problem_place(&request->problem, place_of(&place, index, "url"), NULL, NULL);
}

/* An output of a job that has completed; what becomes of that job afterwards doesn't matter. */
static int check_job(struct request *request, const json_t *input, size_t index)
{
    struct place place;
    struct problem *problem = &request->problem;
    const char *id = json_string_value(json_object_get(input, "job_id"));
    json_int_t number = json_integer_value(json_object_get(input, "output"));
    const json_t *record = request_record(request->session, id);
    const char *state = json_string_value(json_object_get(record, "state"));
    if (!record && journal_unreadable(request->session->server->journal))
        return request_refuse_unreadable(request);
    if (!record || !json_object_get(record, "operation")) {
        problem_set(problem, "job_not_found", "there is no such job");
        return problem_place(problem, place_of(&place, index, "job_id"), id, NULL);
    }
    const struct job *job = job_find(request->session->server, id);
    if (strcmp(state, "completed") != 0 && job && !job_ended(job)) {
        problem_set(problem, "output_not_ready", "the job whose output is wanted has not ended");
        return problem_place(problem, place_of(&place, index, "job_id"), id, NULL);
    }
    if (strcmp(state, "completed") != 0) {
        problem_set(problem, "invalid_input", "the job has no outputs: it ended as %s", state);
        return problem_place(problem, place_of(&place, index, "job_id"), id, NULL);
    }
    if (!job_find_output(json_object_get(record, "outputs"), number)) {
        problem_set(problem, "invalid_input", "the job has no output %lld", (long long)number);
        return problem_place(problem, place_of(&place, index, "output"), NULL, NULL);
    }
    return 0;
}

static const struct {
    const char *kind;
    int (*check)(struct request *request, const json_t *input, size_t index);
} kinds[] = {
    {"upload", check_upload},
    {"url", check_url},
    {"job", check_job},
};

int request_check_inputs(struct request *request, const struct operation_entry *operation,
                         const json_t *inputs)
{
    if (check_count(request, operation, json_array_size(inputs)) < 0)
        return -1;
    size_t index;
    json_t *input;
    json_array_foreach((json_t *)inputs, index, input)
    {
        const char *kind = json_string_value(json_object_get(input, "kind"));
        for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
            if (strcmp(kinds[i].kind, kind) == 0 && kinds[i].check(request, input, index) < 0)
                return -1;
        }
    }
    return 0;
}
