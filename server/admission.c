/*
 * The checks, in the order in which they are told. All of it is counting, but for one statvfs() for
 * a job.
 */
#include "server/admission.h"

#include <inttypes.h>
#include <string.h>

#include "server/account.h"
#include "server/blob.h"
#include "server/job.h"
#include "server/journal.h"
#include "server/session.h"
#include "server/upload.h"

#define RESERVE_PART 20 /* of a disk is the most that is kept free */

static double seconds_now(const struct server *server)
{
    return (double)uv_now(server->loop) / 1000;
}

/* ---- rates ---- */

static int refuse_rate(struct problem *problem, const struct rate *rate, const char *what,
                       int64_t per_second)
{
    problem_set(problem, "rate_limited", "more than %" PRId64 " %s a second", per_second, what);
    return problem_detail(problem, "retry_after_s", json_real(rate_wait(rate, (double)per_second)));
}

/* The accounts that a session's doings are counted for: its caller's, once that is known, and its
 * address's, which may be the same. */
static void accounts_of(struct session *session, struct account *accounts[2])
{
    struct table *table = &session->server->accounts;
    double now = seconds_now(session->server);
    bool other = !session->authorized || strcmp(session->caller, session->address) != 0;
    accounts[0] = session->authorized ? account_get(table, session->caller, now) : NULL;
    accounts[1] = other ? account_get(table, session->address, now) : NULL;
}

int admission_message(struct session *session, struct problem *problem)
{
    struct account *accounts[2];
    int64_t limit = session->server->config.caller_messages;
    accounts_of(session, accounts);
    for (int i = 0; i < 2; i++) {
        struct rate *rate = accounts[i] ? &accounts[i]->messages : NULL;
        if (rate && !rate_take(rate, (double)limit, seconds_now(session->server)))
            return refuse_rate(problem, rate, "messages", limit);
    }
    return 0;
}

bool admission_request(struct server *server, const char *address)
{
    double now = seconds_now(server);
    struct account *account = account_get(&server->accounts, address, now);
    return !account || rate_take(&account->messages, (double)server->config.caller_messages, now);
}

static int check_starts(struct session *session, struct problem *problem)
{
    struct account *accounts[2];
    int64_t limit = session->server->config.caller_starts;
    accounts_of(session, accounts);
    for (int i = 0; i < 2; i++) {
        struct rate *rate = accounts[i] ? &accounts[i]->starts : NULL;
        if (rate && !rate_take(rate, (double)limit, seconds_now(session->server)))
            return refuse_rate(problem, rate, "new jobs", limit);
    }
    return 0;
}

/* ---- counts ---- */

static int check_counts(const struct session *session, struct problem *problem)
{
    const struct server *server = session->server;
    struct journal_counts counts;
    journal_counts(server->journal, &counts);
    if (counts.unfinished >= server->config.queue_max) {
        return problem_set(problem, "queue_full",
                           "the server has %" PRId64 " jobs that have not ended, and takes no more",
                           counts.unfinished);
    }
    if (journal_count_caller(server->journal, session->caller) >= server->config.jobs_per_caller) {
        return problem_set(problem, "quota_exceeded",
                           "you have %" PRId64 " jobs that have not ended, and may have no more",
                           server->config.jobs_per_caller);
    }
    return 0;
}

/* ---- bytes ---- */

static int refuse_bytes(struct problem *problem, int64_t kept, int64_t limit)
{
    problem_set(problem, "quota_exceeded",
                "the inputs of your jobs that have not ended may have %" PRId64
                " bytes together, and %" PRId64 " of them are taken",
                limit, kept);
    return problem_detail(problem, "limit", json_integer(limit));
}

static int64_t announced_bytes(const json_t *inputs)
{
    int64_t sum = 0;
    size_t index;
    json_t *input;
    json_array_foreach((json_t *)inputs, index, input)
    {
        sum += json_integer_value(json_object_get(input, "size"));
    }
    return sum;
}

static int check_bytes(const struct session *session, int64_t announced, struct problem *problem)
{
    struct server *server = session->server;
    int64_t limit = server->config.bytes_per_caller;
    const struct account *account =
        account_get(&server->accounts, session->caller, seconds_now(server));
    int64_t kept = account ? account->bytes : 0;
    return announced > limit - kept ? refuse_bytes(problem, kept, limit) : 0;
}

int admission_bytes(struct job *job, int64_t bytes, struct problem *problem)
{
    struct server *server = job->server;
    int64_t limit = server->config.bytes_per_caller;
    struct account *account = account_get(&server->accounts, job->caller, seconds_now(server));
    if (!account)
        return problem_set(problem, "out_of_memory", "no memory for an account");
    if (bytes > limit - account->bytes)
        return refuse_bytes(problem, account->bytes, limit);
    account->bytes += bytes;
    job->kept_bytes += bytes;
    return 0;
}

void admission_keep(struct job *job)
{
    job->kept_bytes = 0;
    for (int i = 0; i < job->input_count; i++) {
        const struct upload *upload = &job->uploads[i];
        if (!upload->linked) /* that one is kept for the other job already */
            job->kept_bytes += upload->size >= 0 ? upload->size : upload->received;
    }
    struct server *server = job->server;
    account_keep(&server->accounts, job->caller, job->kept_bytes, seconds_now(server));
}

void admission_release(struct job *job)
{
    struct server *server = job->server;
    account_keep(&server->accounts, job->caller, -job->kept_bytes, seconds_now(server));
    job->kept_bytes = 0;
}

/* ---- the disk ---- */

/* What the inputs on their way have announced and not brought yet. */
static int64_t bytes_on_their_way(const struct server *server)
{
    int64_t sum = 0;
    for (size_t i = 0; i < server->jobs.bucket_count; i++) {
        for (const struct table_entry *entry = server->jobs.buckets[i]; entry;
             entry = entry->next) {
            const struct job *job = entry->value;
            for (int input = 0; job->uploads_missing > 0 && input < job->input_count; input++) {
                const struct upload *upload = &job->uploads[input];
                int64_t size = upload->size >= 0 ? upload->size : upload->expected;
                sum += !upload->done && size > upload->written ? size - upload->written : 0;
            }
        }
    }
    return sum;
}

int64_t admission_room(const struct server *server)
{
    int64_t all, available;
    if (blob_space(&all, &available) < 0)
        return INT64_MAX;
    int64_t reserve = server->config.disk_reserve;
    return available - (reserve < all / RESERVE_PART ? reserve : all / RESERVE_PART);
}

static int check_disk(const struct server *server, int64_t announced, struct problem *problem)
{
    int64_t room = admission_room(server);
    if (room > 0 && announced < room - bytes_on_their_way(server))
        return 0;
    return problem_set(problem, "disk_full", "the server's disk has no room for the job now");
}

int admission_job(struct session *session, const json_t *inputs, struct problem *problem)
{
    const struct server *server = session->server;
    int64_t announced = announced_bytes(inputs);
    if (server->draining)
        return problem_set(problem, "shutting_down", "the server is shutting down");
    if (check_starts(session, problem) < 0 || check_counts(session, problem) < 0 ||
        check_bytes(session, announced, problem) < 0)
        return -1;
    return check_disk(server, announced, problem);
}
