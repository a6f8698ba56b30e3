/*
 * Inputs that are outputs of earlier jobs. The file gets a second name in the new job's folder, so
 * nothing is copied, and the earlier job may expire or be deleted at any time: the bytes live as
 * long as either needs them. What the file is called and how long it is goes into the new job's
 * record ("linked": {input: {name, size}}), for a restart to find.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "server/blob.h"
#include "server/job_internal.h"
#include "server/journal.h"
#include "server/upload.h"

static void key_of(char key[16], int input)
{
    (void)snprintf(key, 16, "%d", input);
}

void job_link_describe(struct job *job, const json_t *record)
{
    json_t *linked = json_object_get(record, "linked");
    job->linked = json_is_object(linked) ? json_incref(linked) : NULL;
    for (int i = 0; i < job->input_count && job->linked; i++) {
        char key[16];
        key_of(key, i);
        const json_t *entry = json_object_get(job->linked, key);
        job->uploads[i].linked = entry != NULL;
        if (entry)
            job->uploads[i].size = json_integer_value(json_object_get(entry, "size"));
    }
}

static int refuse(struct problem *problem, int input, int status)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "inputs[%d].job_id", input);
    if (status == -ENOENT) {
        problem_set(problem, "job_not_found", "the job's results are no longer there");
    } else {
        problem_set(problem, status == -ENOSPC ? "disk_full" : "internal",
                    "an output can't be taken as an input: %s", strerror(-status));
    }
    return problem_place(problem, path, NULL, NULL);
}

static int link_input(struct job *job, int input, const char *source, json_int_t number)
{
    const json_t *record = journal_get(job->server->journal, source);
    const json_t *output = job_find_output(json_object_get(record, "outputs"), number);
    char from[BLOB_ID_MAX], to[BLOB_ID_MAX], key[16];
    blob_id(from, source, BLOB_OUT, (int)number);
    blob_id(to, job->id, BLOB_IN, input);
    int64_t size = output ? blob_size(from) : -ENOENT;
    if (size < 0)
        return (int)size;
    if (size != json_integer_value(json_object_get(output, "size")))
        return -EIO;
    int status = blob_link(from, to);
    if (status < 0)
        return status;
    key_of(key, input);
    if (!job->linked)
        job->linked = json_object();
    json_t *entry =
        json_pack("{s:O, s:I}", "name", json_object_get(output, "name"), "size", (json_int_t)size);
    if (json_object_set_new(job->linked, key, entry) < 0)
        return -ENOMEM;
    job->uploads[input].linked = true;
    job->uploads[input].size = size;
    return 0;
}

int job_link_inputs(struct job *job, struct problem *problem)
{
    for (int i = 0; i < job->input_count; i++) {
        const json_t *input = json_array_get(job->inputs, (size_t)i);
        const char *source = json_string_value(json_object_get(input, "job_id"));
        if (!source)
            continue;
        int status =
            link_input(job, i, source, json_integer_value(json_object_get(input, "output")));
        if (status < 0)
            return refuse(problem, i, status);
    }
    return 0;
}

json_t *job_link_name(const struct job *job, int input)
{
    char key[16];
    key_of(key, input);
    return json_object_get(json_object_get(job->linked, key), "name");
}
