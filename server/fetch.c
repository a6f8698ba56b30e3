/*
 * Whose turn it is: a bounded number of transfers at a time, in all and for one caller, and callers
 * take turns. So a hundred URLs that hang delay only those who asked for them.
 */
#include "server/fetch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/fetch_internal.h"

#define ACTIVE_MAX        64
#define ACTIVE_CALLER_MAX 16

/* ---- callers ---- */

static struct fetch_caller *caller_get(struct fetcher *fetcher, const char *name)
{
    struct fetch_caller *caller = table_get(&fetcher->callers_by_name, name);
    if (caller)
        return caller;
    caller = calloc(1, sizeof(*caller));
    char *copy = strdup(name);
    if (!caller || !copy || !table_put(&fetcher->callers_by_name, copy, caller)) {
        free(copy);
        free(caller);
        return NULL;
    }
    caller->name = copy;
    TAILQ_INIT(&caller->waiting);
    TAILQ_INSERT_TAIL(&fetcher->callers, caller, link);
    return caller;
}

static void caller_release(struct fetcher *fetcher, struct fetch_caller *caller)
{
    if (--caller->count > 0)
        return;
    TAILQ_REMOVE(&fetcher->callers, caller, link);
    (void)table_remove(&fetcher->callers_by_name, caller->name);
    free(caller->name);
    free(caller);
}

/* ---- turns ---- */

/* The fetch whose turn is next, NULL if none may begin now. Its caller goes to the end. */
static struct fetch *next_turn(struct fetcher *fetcher)
{
    if (fetcher->active >= ACTIVE_MAX)
        return NULL;
    struct fetch_caller *caller;
    TAILQ_FOREACH(caller, &fetcher->callers, link)
    {
        struct fetch *fetch = TAILQ_FIRST(&caller->waiting);
        if (!fetch || caller->active >= ACTIVE_CALLER_MAX)
            continue;
        TAILQ_REMOVE(&fetcher->callers, caller, link);
        TAILQ_INSERT_TAIL(&fetcher->callers, caller, link);
        return fetch;
    }
    return NULL;
}

static void on_turn(uv_timer_t *timer)
{
    struct fetcher *fetcher = timer->data;
    struct fetch *fetch;
    while ((fetch = TAILQ_FIRST(&fetcher->broken))) {
        TAILQ_REMOVE(&fetcher->broken, fetch, link);
        fetch->broken = false;
        fetch_end(fetch);
    }
    while ((fetch = next_turn(fetcher))) {
        TAILQ_REMOVE(&fetch->caller->waiting, fetch, link);
        fetch->active = true;
        fetch->caller->active++;
        fetcher->active++;
        if (fetch_transfer_begin(fetch) < 0)
            fetch_end_soon(fetch);
    }
}

static void give_turns(struct fetcher *fetcher)
{
    (void)uv_timer_start(&fetcher->turn, on_turn, 0, 0);
}

/* ---- fetches ---- */

static void fetch_free(struct fetch *fetch)
{
    struct fetcher *fetcher = fetch->fetcher;
    if (fetch->broken)
        TAILQ_REMOVE(&fetcher->broken, fetch, link);
    if (fetch->abandoned)
        TAILQ_REMOVE(&fetcher->abandoned, fetch, link);
    if (fetch->active) {
        fetch->caller->active--;
        fetcher->active--;
        give_turns(fetcher);
    } else {
        TAILQ_REMOVE(&fetch->caller->waiting, fetch, link);
    }
    caller_release(fetcher, fetch->caller);
    if (fetch->easy) {
        fetch_loop_remove(fetcher->curl, fetch->easy);
        curl_easy_cleanup(fetch->easy);
    }
    fetch_url_finish(&fetch->url);
    problem_finish(&fetch->problem);
    free(fetch);
}

struct fetch *fetch_start(struct fetcher *fetcher, const char *url, const char *caller,
                          const struct fetch_events *events, void *opaque)
{
    struct fetch *fetch = calloc(1, sizeof(*fetch));
    if (!fetch || !(fetch->caller = caller_get(fetcher, caller))) {
        free(fetch);
        return NULL;
    }
    fetch->fetcher = fetcher;
    fetch->text = url;
    fetch->events = events;
    fetch->opaque = opaque;
    fetch->caller->count++;
    TAILQ_INSERT_TAIL(&fetch->caller->waiting, fetch, link);
    give_turns(fetcher);
    return fetch;
}

void fetch_end(struct fetch *fetch)
{
    struct problem problem = fetch->problem;
    const struct fetch_events *events = fetch->events;
    void *opaque = fetch->opaque;
    bool abandoned = fetch->abandoned;
    fetch->problem.details = NULL; /* the copy has them */
    fetch_free(fetch);
    if (!abandoned)
        events->done(opaque, problem.code ? &problem : NULL);
    problem_finish(&problem);
}

void fetch_end_soon(struct fetch *fetch)
{
    if (fetch->broken)
        return;
    fetch->broken = true;
    TAILQ_INSERT_TAIL(&fetch->fetcher->broken, fetch, link);
    if (fetch->easy)
        fetch_loop_remove(fetch->fetcher->curl, fetch->easy);
    give_turns(fetch->fetcher);
}

/* The thread that looks a name up can't be stopped. Until it is done, or the time for a connection
 * is over, the fetch keeps its place among the active: so their number bounds that of threads. */
void fetch_cancel(struct fetch **fetch)
{
    struct fetch *cancelled = *fetch;
    *fetch = NULL;
    if (!cancelled)
        return;
    if (cancelled->easy && !cancelled->resolved && !cancelled->broken) {
        cancelled->abandoned = true;
        TAILQ_INSERT_TAIL(&cancelled->fetcher->abandoned, cancelled, link);
    } else {
        fetch_free(cancelled);
    }
}

/* ---- the fetcher ---- */

int fetcher_check(const struct fetcher *fetcher, const char *url, struct problem *problem)
{
    struct fetch_url parsed = {0};
    int status = fetch_url_set(&parsed, url, fetcher->rules, problem);
    fetch_url_finish(&parsed);
    return status;
}

static int read_rules(struct fetcher *fetcher, const struct config *config,
                      struct config_error *error)
{
    char bad[128] = "";
    int status = address_rules_create(&fetcher->rules, config->fetch_allow, bad, sizeof(bad));
    if (status == 0)
        return 0;
    if (status == -EINVAL) {
        (void)snprintf(error->message, sizeof(error->message),
                       "LUMA_FETCH_ALLOW has \"%s\", expected networks such as 10.1.0.0/16 and "
                       "host:port, separated by commas",
                       bad);
    }
    return -1;
}

int fetcher_create(struct fetcher **fetcher, uv_loop_t *loop, const struct config *config,
                   struct config_error *error)
{
    (void)snprintf(error->message, sizeof(error->message), "the fetcher could not be started");
    struct fetcher *made = calloc(1, sizeof(*made));
    if (!made || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
        read_rules(made, config, error) < 0 || fetch_loop_create(&made->curl, loop) < 0) {
        if (made)
            address_rules_destroy(&made->rules);
        free(made);
        return -1;
    }
    made->loop = loop;
    made->max_bytes = config->max_upload;
    made->timeout = config->download_timeout;
    made->stall_timeout = config->stall_timeout;
    TAILQ_INIT(&made->broken);
    TAILQ_INIT(&made->abandoned);
    TAILQ_INIT(&made->callers);
    table_init(&made->callers_by_name);
    (void)uv_timer_init(loop, &made->turn);
    made->turn.data = made;
    *fetcher = made;
    return 0;
}

static void on_turn_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void fetcher_destroy(struct fetcher **fetcher)
{
    struct fetcher *closing = *fetcher;
    if (!closing)
        return;
    *fetcher = NULL;
    struct fetch *fetch;
    while ((fetch = TAILQ_FIRST(&closing->abandoned))) {
        TAILQ_REMOVE(&closing->abandoned, fetch, link);
        fetch->abandoned = false;
        fetch_free(fetch);
    }
    fetch_loop_destroy(&closing->curl);
    address_rules_destroy(&closing->rules);
    table_finish(&closing->callers_by_name);
    uv_close((uv_handle_t *)&closing->turn, on_turn_closed);
}
