/*
 * What is looked for in an SQLite journal, where some of it is in memory and newer there than in
 * the file: keys, lists, and what has expired.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "server/journal_sqlite_internal.h"
#include "server/log.h"

#define REAP_MAX 256 /* records at a time */

const json_t *sqlite_find_key(struct journal *base, const char *caller, const char *key)
{
    struct sqlite *journal = sqlite_of(base);
    store_forget_unreadable(journal->store);
    const json_t *json = journal_find_key(journal->front, caller, key);
    if (json)
        return json;
    const struct recent *recent;
    TAILQ_FOREACH(recent, &journal->recents, link)
    {
        if (recent->json && strcmp(record_text(recent->json, "job_key"), key) == 0 &&
            strcmp(record_text(recent->json, "caller"), caller) == 0)
            return recent->json;
    }
    json_t *stored = store_find_key(journal->store, caller, key);
    char id[IDENTIFIER_SIZE] = "";
    (void)snprintf(id, sizeof(id), "%s", record_text(stored, "id"));
    json_decref(stored);
    recent = stored ? recent_get(journal, id) : NULL; /* NULL if it has been deleted since */
    return recent ? recent->json : NULL;
}

/* ---- lists ---- */

struct listing {
    struct sqlite *journal;
    json_t *list;
    size_t limit;
};

static int64_t number_of(const json_t *json)
{
    return json_integer_value(json_object_get(json, "number"));
}

/* Into the list, newest first, unless it is full of newer ones. */
static void listing_add(struct listing *listing, json_t *json)
{
    size_t place = json_array_size(listing->list);
    while (place > 0 && number_of(json_array_get(listing->list, place - 1)) < number_of(json))
        place--;
    if (place >= listing->limit)
        return;
    (void)json_array_insert(listing->list, place, json);
    if (json_array_size(listing->list) > listing->limit)
        (void)json_array_remove(listing->list, listing->limit);
}

/* One from the file; those that are in memory have been looked at there. */
static bool listing_visit(json_t *json, void *opaque)
{
    struct listing *listing = opaque;
    struct sqlite *journal = listing->journal;
    const char *id = record_text(json, "id");
    size_t size = json_array_size(listing->list);
    bool full = size >= listing->limit &&
                number_of(json_array_get(listing->list, size - 1)) > number_of(json);
    if (!full && !journal_get(journal->front, id) && !table_get(&journal->recent_by_id, id))
        listing_add(listing, json);
    json_decref(json);
    return !full;
}

json_t *sqlite_list(struct journal *base, const char *caller, const char *state, const char *before,
                    int limit)
{
    struct sqlite *journal = sqlite_of(base);
    struct listing listing = {journal, json_array(), limit > 0 ? (size_t)limit : 0};
    const json_t *end = before ? journal_get(base, before) : NULL;
    int64_t below = before ? number_of(end) : INT64_MAX;
    if (!listing.list || (before && !end) || listing.limit == 0)
        return listing.list;
    json_t *fronts = journal_list(journal->front, caller, state, NULL, INT_MAX);
    size_t index;
    json_t *json;
    json_array_foreach(fronts, index, json)
    {
        if (json_array_size(listing.list) >= listing.limit)
            break;
        if (number_of(json) < below)
            listing_add(&listing, json);
    }
    json_decref(fronts);
    const struct recent *recent;
    TAILQ_FOREACH(recent, &journal->recents, link)
    {
        if (recent->json && number_of(recent->json) < below &&
            (!caller || strcmp(record_text(recent->json, "caller"), caller) == 0) &&
            (!state || strcmp(record_text(recent->json, "state"), state) == 0))
            listing_add(&listing, recent->json);
    }
    if (store_list(journal->store, caller, state, below, listing_visit, &listing) < 0)
        log_error("journal_failed", LOG_TEXT("reason", "the journal could not be read"));
    return listing.list;
}

/* ---- ends ---- */

/* Ids of what is to be reaped. */
struct reaping {
    char ids[REAP_MAX][IDENTIFIER_SIZE];
    int count;
};

static void reaping_add(struct reaping *reaping, const json_t *json)
{
    const char *id = record_text(json, "id");
    if (reaping->count < REAP_MAX)
        (void)snprintf(reaping->ids[reaping->count++], IDENTIFIER_SIZE, "%s", id);
}

static bool reaping_visit(json_t *json, void *opaque)
{
    struct reaping *reaping = opaque;
    reaping_add(reaping, json);
    json_decref(json);
    return reaping->count < REAP_MAX;
}

/* Those that ended at `when` or before, in memory and in the file. */
static void reaping_fill(struct sqlite *journal, struct reaping *reaping, double when, bool results)
{
    const struct recent *recent;
    reaping->count = 0;
    TAILQ_FOREACH(recent, &journal->recents, link)
    {
        const json_t *end = json_object_get(recent->json, "ended");
        if (end && json_number_value(end) <= when &&
            !(results && json_object_get(recent->json, "results_gone")))
            reaping_add(reaping, recent->json);
    }
    (void)store_ended(journal->store, when, results, reaping_visit, reaping);
}

static void results_expire(struct sqlite *journal, const char *id, const struct journal_reap *reap)
{
    struct recent *recent = recent_get(journal, id);
    if (!recent || json_object_get(recent->json, "results_gone"))
        return; /* it only isn't written yet */
    (void)json_object_set_new(recent->json, "results_gone", json_true());
    recent_changed(journal, recent);
    reap->expired(id, EXPIRED_RESULTS, reap->opaque);
}

static void record_expire(struct sqlite *journal, const char *id, const struct journal_reap *reap)
{
    if (!recent_get(journal, id))
        return;
    results_expire(journal, id, reap); /* its turn may not have come */
    reap->expired(id, EXPIRED_RECORD, reap->opaque);
    (void)journal_delete(&journal->base, id);
}

void sqlite_reap(struct journal *base, const struct journal_reap *reap)
{
    struct sqlite *journal = sqlite_of(base);
    struct reaping *reaping = malloc(sizeof(*reaping));
    double longer = reap->record_ttl > reap->result_ttl ? reap->record_ttl : reap->result_ttl;
    if (reaping) {
        batch_enter(journal);
        reaping_fill(journal, reaping, reap->now - reap->result_ttl, true);
        for (int i = 0; i < reaping->count; i++)
            results_expire(journal, reaping->ids[i], reap);
        reaping_fill(journal, reaping, reap->now - longer, false);
        for (int i = 0; i < reaping->count; i++)
            record_expire(journal, reaping->ids[i], reap);
        batch_leave(journal);
        free(reaping);
    }
    if (journal->failing < 0)
        batch_pump(journal);
}
