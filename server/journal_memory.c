/*
 * The journal in memory: a table of records, a queue for each lane sorted by rank, and a list in
 * order of arrival. What has ended is kept with its details up to a bound, then only by its id, so
 * that memory stays flat however many jobs there were.
 */
#include "server/journal_driver.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "server/table.h"

#define REDUCED_MAX 65536 /* ended jobs that are remembered by their id */

struct record {
    char id[IDENTIFIER_SIZE];
    json_t *json;
    const char *caller; /* in json, NULL once reduced */
    char *key;          /* "caller\njob_key", NULL without one */
    bool ended, queued, claimed_before, results_gone;
    enum journal_lane lane;
    double rank, ended_at;
    TAILQ_ENTRY(record) arrival;
    TAILQ_ENTRY(record) waiting; /* in a lane, or among the ended */
};

TAILQ_HEAD(record_list, record);

struct memory {
    struct journal base; /* first: a journal is its memory */
    struct table by_id, by_key;
    struct record_list arrivals; /* oldest first */
    struct record_list lanes[LANE_COUNT];
    struct record_list ended;   /* with details, oldest first */
    struct record_list reduced; /* by id only, oldest first */
    int ended_count, ended_max, reduced_count;
    json_t *outlines[3]; /* what is left of the reduced: {"state"}, shared */
    struct journal_counts counts;
    void (*changed)(void *opaque);
    void *opaque;
};

static struct memory *memory_of(struct journal *journal)
{
    return (struct memory *)journal;
}

static void key_forget(struct memory *journal, struct record *record)
{
    if (record->key)
        (void)table_remove(&journal->by_key, record->key);
    free(record->key);
    record->key = NULL;
}

static void record_free(struct memory *journal, struct record *record)
{
    key_forget(journal, record);
    (void)table_remove(&journal->by_id, record->id);
    json_decref(record->json);
    free(record);
}

static void memory_close(struct journal *base)
{
    struct memory *journal = memory_of(base);
    struct record_list *lists[] = {&journal->arrivals, &journal->reduced};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        struct record *record;
        while ((record = TAILQ_FIRST(lists[i]))) {
            TAILQ_REMOVE(lists[i], record, arrival);
            record_free(journal, record);
        }
    }
    for (size_t i = 0; i < sizeof(journal->outlines) / sizeof(journal->outlines[0]); i++)
        json_decref(journal->outlines[i]);
    table_finish(&journal->by_id);
    table_finish(&journal->by_key);
    free(journal);
}

static const char *text_of(const json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));
    return text ? text : "";
}

static char *key_make(const char *caller, const char *key)
{
    size_t size = strlen(caller) + strlen(key) + 2;
    char *made = malloc(size);
    if (made)
        (void)snprintf(made, size, "%s\n%s", caller, key);
    return made;
}

static enum journal_lane lane_of(const json_t *json)
{
    bool heavy = json_integer_value(json_object_get(json, "lane")) == LANE_HEAVY;
    return heavy ? LANE_HEAVY : LANE_LIGHT;
}

static void state_set(struct record *record, const char *state)
{
    (void)json_object_set_new(record->json, "state", json_string(state));
}

static void claimed_set(struct record *record, bool claimed)
{
    record->claimed_before = claimed;
    (void)json_object_set_new(record->json, "claimed", json_boolean(claimed));
}

/* Into its lane, behind those of the same rank. */
static void lane_insert(struct memory *journal, struct record *record)
{
    struct record_list *lane = &journal->lanes[record->lane];
    struct record *after = TAILQ_LAST(lane, record_list);
    while (after && after->rank > record->rank)
        after = TAILQ_PREV(after, record_list, waiting);
    if (after) {
        TAILQ_INSERT_AFTER(lane, after, record, waiting);
    } else {
        TAILQ_INSERT_HEAD(lane, record, waiting);
    }
    record->queued = true;
    journal->counts.queued++;
    state_set(record, "queued");
}

static void lane_remove(struct memory *journal, struct record *record)
{
    if (!record->queued)
        return;
    TAILQ_REMOVE(&journal->lanes[record->lane], record, waiting);
    record->queued = false;
    journal->counts.queued--;
}

static void tell(const struct memory *journal)
{
    if (journal->changed)
        journal->changed(journal->opaque);
}

static const json_t *memory_find_key(struct journal *base, const char *caller, const char *key)
{
    struct memory *journal = memory_of(base);
    char *made = key_make(caller, key);
    const struct record *record = made ? table_get(&journal->by_key, made) : NULL;
    free(made);
    return record ? record->json : NULL;
}

static int memory_enqueue(struct journal *base, const json_t *json)
{
    struct memory *journal = memory_of(base);
    const char *id = text_of(json, "id"), *job_key = text_of(json, "job_key");
    if (!identifier_valid(id))
        return -EINVAL;
    if (table_get(&journal->by_id, id))
        return -EEXIST;
    if (*job_key && memory_find_key(base, text_of(json, "caller"), job_key))
        return -EEXIST;
    struct record *record = calloc(1, sizeof(*record));
    if (!record)
        return -ENOMEM;
    memcpy(record->id, id, sizeof(record->id));
    record->json = json_copy((json_t *)json);
    record->rank = json_number_value(json_object_get(json, "rank"));
    record->claimed_before = json_is_true(json_object_get(json, "claimed"));
    record->lane = lane_of(json);
    if (!record->json || !table_put(&journal->by_id, record->id, record))
        goto fail;
    record->caller = text_of(record->json, "caller");
    if (*job_key) {
        record->key = key_make(record->caller, job_key);
        if (!record->key || !table_put(&journal->by_key, record->key, record))
            goto fail;
    }
    TAILQ_INSERT_TAIL(&journal->arrivals, record, arrival);
    journal->counts.unfinished++;
    if (strcmp(text_of(json, "state"), "queued") == 0) {
        lane_insert(journal, record);
        tell(journal);
    }
    return 0;
fail:
    record_free(journal, record);
    return -ENOMEM;
}

static void rank_set(struct record *record, double rank)
{
    record->rank = rank;
    (void)json_object_set_new(record->json, "rank", json_real(rank));
}

static int memory_ready(struct journal *base, const char *id, double rank)
{
    struct memory *journal = memory_of(base);
    struct record *record = table_get(&journal->by_id, id);
    if (!record)
        return -ENOENT;
    if (record->ended || strcmp(text_of(record->json, "state"), "uploading") != 0)
        return -ESTALE;
    rank_set(record, rank);
    lane_insert(journal, record);
    tell(journal);
    return 0;
}

static int attempt_of(const struct record *record)
{
    return (int)json_integer_value(json_object_get(record->json, "attempt"));
}

static int memory_claim(struct journal *base, enum journal_lane lane, char id[IDENTIFIER_SIZE],
                        int *attempt)
{
    struct memory *journal = memory_of(base);
    struct record *record = TAILQ_FIRST(&journal->lanes[lane]);
    if (!record)
        return 0;
    lane_remove(journal, record);
    state_set(record, "running");
    if (record->claimed_before)
        (void)json_object_set_new(record->json, "attempt", json_integer(attempt_of(record) + 1));
    claimed_set(record, true);
    memcpy(id, record->id, IDENTIFIER_SIZE);
    *attempt = attempt_of(record);
    return 1;
}

/* The record, if this attempt of it still holds it. */
static int held(const struct memory *journal, const char *id, int attempt, struct record **record)
{
    *record = table_get(&journal->by_id, id);
    if (!*record)
        return -ENOENT;
    bool running = !(*record)->ended && !(*record)->queued;
    return running && attempt_of(*record) == attempt ? 0 : -ESTALE;
}

static int memory_beat(struct journal *base, const char *id, int attempt, const json_t *changes)
{
    struct memory *journal = memory_of(base);
    struct record *record;
    int status = held(journal, id, attempt, &record);
    if (status == 0)
        (void)json_object_update(record->json, (json_t *)changes);
    return status;
}

/* {"state": …} as all reduced records of that state have it. */
static json_t *outline_of(struct memory *journal, const json_t *json)
{
    const char *state = text_of(json, "state");
    json_t **outline = journal->outlines;
    while (outline < journal->outlines + 2 && *outline &&
           strcmp(text_of(*outline, "state"), state) != 0)
        outline++;
    if (!*outline)
        *outline = json_pack("{s:s}", "state", state);
    return json_incref(*outline);
}

/* Only the id and the state are kept. */
static void record_reduce(struct memory *journal, struct record *record)
{
    json_t *reduced = outline_of(journal, record->json);
    key_forget(journal, record);
    record->caller = NULL;
    json_decref(record->json);
    record->json = reduced;
    TAILQ_REMOVE(&journal->arrivals, record, arrival);
    TAILQ_REMOVE(&journal->ended, record, waiting);
    journal->ended_count--;
    TAILQ_INSERT_TAIL(&journal->reduced, record, arrival);
    journal->reduced_count++;
}

static void record_end(struct memory *journal, struct record *record, const json_t *changes)
{
    lane_remove(journal, record);
    (void)json_object_update(record->json, (json_t *)changes);
    record->caller = text_of(record->json, "caller");
    record->ended = true;
    record->ended_at = json_number_value(json_object_get(record->json, "ended"));
    journal->counts.unfinished--;
    TAILQ_INSERT_TAIL(&journal->ended, record, waiting);
    if (++journal->ended_count > journal->ended_max)
        record_reduce(journal, TAILQ_FIRST(&journal->ended));
}

static int memory_finish(struct journal *base, const char *id, int attempt, const json_t *changes)
{
    struct memory *journal = memory_of(base);
    struct record *record;
    int status = held(journal, id, attempt, &record);
    if (status == 0)
        record_end(journal, record, changes);
    return status;
}

static int memory_give_back(struct journal *base, const char *id, int attempt,
                            enum journal_lane lane, double cost, double rank)
{
    struct memory *journal = memory_of(base);
    struct record *record;
    int status = held(journal, id, attempt, &record);
    if (status < 0)
        return status;
    (void)json_object_set_new(record->json, "cost", json_real(cost));
    (void)json_object_set_new(record->json, "lane", json_integer(lane));
    rank_set(record, rank);
    claimed_set(record, false); /* a deferral is no attempt */
    record->lane = lane;
    lane_insert(journal, record);
    tell(journal);
    return 0;
}

static int memory_cancel(struct journal *base, const char *id, const json_t *changes)
{
    struct memory *journal = memory_of(base);
    struct record *record = table_get(&journal->by_id, id);
    if (!record)
        return -ENOENT;
    if (record->ended)
        return -EALREADY;
    record_end(journal, record, changes);
    return 0;
}

static int memory_resume(struct journal *base, const char *id, bool ready)
{
    struct memory *journal = memory_of(base);
    struct record *record = table_get(&journal->by_id, id);
    if (!record)
        return -ENOENT;
    if (record->ended)
        return -EALREADY;
    lane_remove(journal, record);
    if (!ready) {
        state_set(record, "uploading");
        return 0;
    }
    record->lane = lane_of(record->json);
    record->rank = json_number_value(json_object_get(record->json, "rank"));
    lane_insert(journal, record);
    tell(journal);
    return 0;
}

static int memory_note(struct journal *base, const char *id, const json_t *changes)
{
    struct memory *journal = memory_of(base);
    struct record *record = table_get(&journal->by_id, id);
    if (!record)
        return -ENOENT;
    if (record->caller) /* details of a reduced one are gone for good */
        (void)json_object_update(record->json, (json_t *)changes);
    return 0;
}

static const json_t *memory_get(struct journal *base, const char *id)
{
    struct memory *journal = memory_of(base);
    const struct record *record = table_get(&journal->by_id, id);
    return record ? record->json : NULL;
}

static json_t *memory_list(struct journal *base, const char *caller, const char *state,
                           const char *before, int limit)
{
    struct memory *journal = memory_of(base);
    json_t *list = json_array();
    struct record *record = TAILQ_LAST(&journal->arrivals, record_list);
    if (before) {
        record = table_get(&journal->by_id, before);
        record = record && record->caller ? TAILQ_PREV(record, record_list, arrival) : NULL;
    }
    while (record && json_array_size(list) < (size_t)limit) {
        bool wanted = !caller || strcmp(record->caller, caller) == 0;
        wanted = wanted && (!state || strcmp(text_of(record->json, "state"), state) == 0);
        if (wanted)
            (void)json_array_append(list, record->json);
        record = TAILQ_PREV(record, record_list, arrival);
    }
    return list;
}

static void memory_unfinished(struct journal *base, void (*visit)(const json_t *, void *),
                              void *opaque)
{
    struct memory *journal = memory_of(base);
    struct record *record = TAILQ_FIRST(&journal->arrivals);
    while (record) {
        struct record *next = TAILQ_NEXT(record, arrival);
        if (!record->ended)
            visit(record->json, opaque);
        record = next;
    }
}

static int memory_position(struct journal *base, const char *id)
{
    struct memory *journal = memory_of(base);
    const struct record *record = table_get(&journal->by_id, id);
    if (!record || !record->queued)
        return -1;
    int position = 0;
    const struct record *other;
    TAILQ_FOREACH(other, &journal->lanes[record->lane], waiting)
    {
        if (other == record)
            break;
        position++;
    }
    return position;
}

static void record_drop(struct memory *journal, struct record *record)
{
    if (record->caller) {
        TAILQ_REMOVE(&journal->arrivals, record, arrival);
        TAILQ_REMOVE(&journal->ended, record, waiting);
        journal->ended_count--;
    } else {
        TAILQ_REMOVE(&journal->reduced, record, arrival);
        journal->reduced_count--;
    }
    record_free(journal, record);
}

static int memory_delete(struct journal *base, const char *id)
{
    struct memory *journal = memory_of(base);
    struct record *record = table_get(&journal->by_id, id);
    if (!record)
        return -ENOENT;
    if (!record->ended)
        return -EBUSY;
    record_drop(journal, record);
    return 0;
}

/* True while there may be more to reap behind this one: the lists are in order of their ends. */
static bool record_reap(struct memory *journal, struct record *record,
                        const struct journal_reap *reap)
{
    bool crowded = !record->caller && journal->reduced_count > REDUCED_MAX;
    bool results = crowded || reap->now - record->ended_at >= reap->result_ttl;
    bool gone = crowded || (results && reap->now - record->ended_at >= reap->record_ttl);
    if (results && !record->results_gone) {
        record->results_gone = true;
        reap->expired(record->id, EXPIRED_RESULTS, reap->opaque);
    }
    if (gone) {
        reap->expired(record->id, EXPIRED_RECORD, reap->opaque);
        record_drop(journal, record);
    }
    return results;
}

static void memory_reap(struct journal *base, const struct journal_reap *reap)
{
    struct memory *journal = memory_of(base);
    struct record *record = TAILQ_FIRST(&journal->reduced);
    while (record) {
        struct record *next = TAILQ_NEXT(record, arrival);
        if (!record_reap(journal, record, reap))
            break;
        record = next;
    }
    record = TAILQ_FIRST(&journal->ended);
    while (record) {
        struct record *next = TAILQ_NEXT(record, waiting);
        if (!record_reap(journal, record, reap))
            break;
        record = next;
    }
}

static void memory_watch(struct journal *base, void (*changed)(void *opaque), void *opaque)
{
    struct memory *journal = memory_of(base);
    journal->changed = changed;
    journal->opaque = opaque;
}

static void memory_counts(struct journal *base, struct journal_counts *counts)
{
    struct memory *journal = memory_of(base);
    *counts = journal->counts;
}

static int memory_count_caller(struct journal *base, const char *caller)
{
    struct memory *journal = memory_of(base);
    int count = 0;
    const struct record *record;
    TAILQ_FOREACH(record, &journal->arrivals, arrival)
    {
        if (!record->ended && strcmp(record->caller, caller) == 0)
            count++;
    }
    return count;
}

/* Nothing here outlives the process, so everything is as safe as it gets at once. */
static uint64_t memory_ticket(struct journal *base)
{
    (void)base;
    return 0;
}

static bool memory_safe(struct journal *base, uint64_t ticket)
{
    (void)base;
    (void)ticket;
    return true;
}

static void memory_watch_safe(struct journal *base, void (*safe)(void *opaque), void *opaque)
{
    (void)base;
    (void)safe;
    (void)opaque;
}

int journal_open_memory(struct journal **journal, int ended_max)
{
    static const struct journal_driver driver = {
        .close = memory_close,
        .enqueue = memory_enqueue,
        .ready = memory_ready,
        .claim = memory_claim,
        .beat = memory_beat,
        .finish = memory_finish,
        .give_back = memory_give_back,
        .resume = memory_resume,
        .cancel = memory_cancel,
        .note = memory_note,
        .get = memory_get,
        .find_key = memory_find_key,
        .list = memory_list,
        .unfinished = memory_unfinished,
        .position = memory_position,
        .remove = memory_delete,
        .reap = memory_reap,
        .watch = memory_watch,
        .counts = memory_counts,
        .count_caller = memory_count_caller,
        .ticket = memory_ticket,
        .safe = memory_safe,
        .watch_safe = memory_watch_safe,
    };
    struct memory *made = calloc(1, sizeof(*made));
    if (!made)
        return -ENOMEM;
    made->base.driver = &driver;
    table_init(&made->by_id);
    table_init(&made->by_key);
    TAILQ_INIT(&made->arrivals);
    for (int lane = 0; lane < LANE_COUNT; lane++)
        TAILQ_INIT(&made->lanes[lane]);
    TAILQ_INIT(&made->ended);
    TAILQ_INIT(&made->reduced);
    made->ended_max = ended_max;
    *journal = &made->base;
    return 0;
}
