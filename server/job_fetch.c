/*
 * Inputs that are named by a URL: what a fetch brings is written as an upload is, so that the rest
 * of a job doesn't know the difference.
 */
#include "server/fetch.h"

#include <string.h>

#include "server/blob.h"
#include "server/fetch_url.h"
#include "server/job_internal.h"
#include "server/upload.h"

#define NAME_MAX_BYTES 256

static void on_announced(void *opaque, int64_t size)
{
    struct upload *upload = opaque;
    upload->expected = size;
}

static enum fetch_taken on_data(void *opaque, const void *data, size_t size,
                                struct problem *problem)
{
    struct upload *upload = opaque;
    bool ends_job;
    if (!upload_has_room(upload, size))
        return FETCH_PAUSED;
    if (upload_begin(upload, NULL, upload->received, problem, &ends_job) < 0 ||
        upload_write(upload, upload->received, data, size, problem, &ends_job) < 0)
        return FETCH_FAILED;
    return FETCH_TAKEN;
}

static void fail(struct upload *upload, struct problem *problem)
{
    (void)problem_detail(problem, "input", json_integer(upload->input));
    job_fail(upload->job, problem);
}

static void on_done(void *opaque, struct problem *problem)
{
    struct upload *upload = opaque;
    struct problem own = {0};
    bool ends_job;
    upload->fetch = NULL;
    if (problem) {
        fail(upload, problem);
    } else if (upload_begin(upload, NULL, upload->received, &own, &ends_job) < 0 ||
               upload_end(upload, true, &own, &ends_job) < 0) {
        fail(upload, &own);
    }
}

void job_fetch_begin(struct job *job)
{
    static const struct fetch_events events = {on_announced, on_data, on_done};
    for (int i = 0; i < job->input_count; i++) {
        struct upload *upload = &job->uploads[i];
        if (!upload->fetched || upload->complete)
            continue;
        const json_t *input = json_array_get(job->inputs, (size_t)i);
        const char *url = json_string_value(json_object_get(input, "url"));
        char blob[BLOB_ID_MAX];
        blob_id(blob, job->id, BLOB_IN, i);
        (void)blob_remove(blob); /* an attempt that was broken off; a fetch begins anew */
        upload->fetch = fetch_start(job->server->fetcher, url, job->caller, &events, upload);
        if (upload->fetch)
            continue;
        struct problem problem = {0};
        problem_set(&problem, "internal", "out of memory");
        job_fail(job, &problem);
        return;
    }
}

void job_fetch_describe(const struct job *job, json_t *message)
{
    int64_t received = 0, size = 0;
    int count = 0;
    bool known = true;
    for (int i = 0; i < job->input_count; i++) {
        const struct upload *upload = &job->uploads[i];
        if (!upload->fetched)
            continue;
        int64_t all = upload->complete ? upload->received : upload->expected;
        count++;
        received += upload->received;
        size += all;
        known = known && all >= 0;
    }
    if (count == 0)
        return;
    (void)json_object_set_new(message, "downloaded_bytes", json_integer(received));
    (void)json_object_set_new(message, "download_size", known ? json_integer(size) : json_null());
}

json_t *job_input_name(const struct job *job, int input)
{
    const json_t *described = json_array_get(job->inputs, (size_t)input);
    const char *url = json_string_value(json_object_get(described, "url"));
    char name[NAME_MAX_BYTES];
    if (job->uploads[input].linked)
        return json_incref(job_link_name(job, input));
    if (!url)
        return json_incref(json_object_get(described, "name"));
    return fetch_url_name(url, name, sizeof(name)) ? json_string(name) : NULL;
}
