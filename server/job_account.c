/*
 * What is counted and logged of a job. Its line in the log comes once, when it has ended and its
 * workers have been reaped, since only then is it known what it took; or when the server ends.
 */
#include "server/job_internal.h"

#include "server/log.h"
#include "server/metrics.h"
#include "server/run.h"
#include "server/upload.h"
#include "server/worker.h"

void job_account_accepted(const struct job *job)
{
    job->server->jobs_counted.total++;
    metrics_add(job->server->metrics, METRIC_JOBS_ACCEPTED, job->operation, NULL, 1);
    log_info("job_accepted", LOG_TEXT("job", job->id), LOG_TEXT("operation", job->operation),
             LOG_TEXT("caller", job->caller), LOG_INTEGER("inputs", job->input_count));
}

void job_account_started(const struct job *job)
{
    metrics_observe(job->server->metrics, METRIC_JOB_START_DELAY,
                    job->run->lane == LANE_HEAVY ? "heavy" : "light", NULL,
                    job->started - job->queued);
}

static double run_seconds(const struct job *job)
{
    return job->started > 0 ? job->ended - job->started : 0;
}

static int64_t input_bytes(const struct job *job)
{
    int64_t bytes = 0;
    for (int i = 0; i < job->input_count; i++)
        bytes += job->uploads[i].received;
    return bytes;
}

static int64_t output_bytes(const struct job *job)
{
    int64_t bytes = 0;
    size_t index;
    const json_t *entry;
    json_array_foreach(job->outputs, index, entry)
    {
        bytes += json_integer_value(json_object_get(entry, "size"));
    }
    return bytes;
}

static const char *word_text(const struct job *job, const char *key)
{
    return json_string_value(json_object_get(job->word, key));
}

/* A detail of the error that is a name of ours, never a client's. */
static const char *detail_text(const struct job *job, const char *key)
{
    return json_string_value(json_object_get(json_object_get(job->word, "details"), key));
}

static void log_end(struct job *job)
{
    if (job->logged)
        return;
    job->logged = true;
    log_info("job_ended", LOG_TEXT("job", job->id), LOG_TEXT("operation", job->operation),
             LOG_TEXT("caller", job->caller), LOG_TEXT("state", job_state_name(job->state)),
             LOG_TEXT("code", word_text(job, "code")), LOG_TEXT("limit", detail_text(job, "limit")),
             LOG_TEXT("signal", detail_text(job, "signal")), LOG_INTEGER("attempt", job->attempt),
             LOG_INTEGER("inputs", job->input_count), LOG_INTEGER("input_bytes", input_bytes(job)),
             LOG_INTEGER("outputs", (int64_t)json_array_size(job->outputs)),
             LOG_INTEGER("output_bytes", output_bytes(job)), LOG_NUMBER("queued_s", job->waited),
             LOG_NUMBER("run_s", run_seconds(job)),
             LOG_NUMBER("total_s", job->ended - job->created),
             LOG_NUMBER("cpu_s", job->cpu_seconds),
             LOG_INTEGER("peak_memory_bytes", job->peak_memory_bytes));
}

void job_account_ended(struct job *job)
{
    struct server *server = job->server;
    const char *outcome = job_state_name(job->state);
    if (job->state == JOB_COMPLETED) {
        server->jobs_counted.completed++;
    } else if (job->state == JOB_FAILED) {
        server->jobs_counted.failed++;
    } else {
        server->jobs_counted.cancelled++;
    }
    metrics_add(server->metrics, METRIC_JOBS_ENDED, job->operation, outcome, 1);
    if (job->started > 0)
        metrics_observe(server->metrics, METRIC_JOB_RUN, job->operation, outcome, run_seconds(job));
    if (job->unreaped == 0)
        log_end(job);
}

void job_account_reaped(struct job *job, const struct worker_exit *how)
{
    job->cpu_seconds += how->cpu_seconds;
    if (how->peak_memory_bytes > job->peak_memory_bytes)
        job->peak_memory_bytes = how->peak_memory_bytes;
    metrics_add(job->server->metrics, METRIC_JOB_CPU, job->operation, NULL, how->cpu_seconds);
    if (job_ended(job) && job->unreaped == 0)
        log_end(job);
}

void job_account_dropped(struct job *job)
{
    if (job_ended(job))
        log_end(job);
}
