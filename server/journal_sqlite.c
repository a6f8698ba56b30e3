/*
 * The journal in an SQLite file.
 *
 * What has not ended is kept by a journal in memory, `front`, which knows the rules; what has ended
 * is in the file alone. Every change marks its record; the marked ones are written as a batch in
 * one transaction by a thread of libuv's pool, the next batch when that one is on the disk. So the
 * loop never waits for a disk, a busy server shares one sync among many jobs, and an idle one
 * writes at once. On the loop's thread there is left: to make text of a record when it is written
 * (some ten microseconds for a usual one), and to read single records of ended jobs.
 *
 * A record that has ended stays at hand (`recent`) until its batch is safe, so that what is read is
 * always the newest; a few stay longer because they are likely to be asked for. A deleted one
 * leaves a recent without a record until its deletion is safe.
 *
 * Marks are numbered. A batch takes them in order, so a ticket is safe once the oldest mark that is
 * not written is younger.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "server/journal_driver.h"
#include "server/journal_store.h"
#include "server/log.h"
#include "server/table.h"

#define BATCH_MAX  256
#define RECENT_MAX 64
#define REAP_MAX   256 /* records at a time */

struct mark {
    char id[IDENTIFIER_SIZE];
    uint64_t number;
    TAILQ_ENTRY(mark) link;
};
TAILQ_HEAD(mark_list, mark);

struct recent {
    char id[IDENTIFIER_SIZE];
    json_t *json;    /* NULL: deleted */
    uint64_t ticket; /* of its last change */
    TAILQ_ENTRY(recent) link;
};

struct sqlite {
    struct journal base; /* first: a journal is its memory */
    uv_loop_t *loop;
    struct store *store;
    struct journal *front;
    int64_t arrivals; /* number of the newest record */

    struct table recent_by_id;
    TAILQ_HEAD(recent_list, recent) recents; /* the one that was used last comes last */
    int recent_count;

    struct table marked_by_id; /* those in `marked` */
    struct mark_list marked;   /* to be written */
    struct mark_list taken;    /* being written */
    uint64_t marks;
    int depth;   /* calls inside each other: one batch takes what they do */
    int failing; /* -errno of the last batch, 0 if it went well */

    uv_work_t work;
    struct store_change *changes; /* NULL: no batch is on its way */
    size_t change_count;
    int written; /* the batch's status */

    void (*safe)(void *opaque);
    void *opaque;
};

static struct sqlite *sqlite_of(struct journal *journal)
{
    return (struct sqlite *)journal;
}

static const char *text_of(const json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));
    return text ? text : "";
}

/* ---- batches ---- */

static uint64_t unsafe_from(const struct sqlite *journal)
{
    const struct mark *oldest = TAILQ_FIRST(&journal->taken);
    if (!oldest)
        oldest = TAILQ_FIRST(&journal->marked);
    return oldest ? oldest->number : journal->marks + 1;
}

static uint64_t sqlite_ticket(struct journal *base)
{
    return sqlite_of(base)->marks;
}

static bool sqlite_safe(struct journal *base, uint64_t ticket)
{
    return ticket < unsafe_from(sqlite_of(base));
}

/* The newest state of a record that may have to be written; NULL: it is gone. */
static const json_t *present(const struct sqlite *journal, const char *id)
{
    const json_t *json = journal_get(journal->front, id);
    const struct recent *recent = json ? NULL : table_get(&journal->recent_by_id, id);
    return recent ? recent->json : json;
}

static void changes_free(struct sqlite *journal)
{
    for (size_t i = 0; i < journal->change_count; i++)
        free(journal->changes[i].record);
    free(journal->changes);
    journal->changes = NULL;
    journal->change_count = 0;
}

/* Makes the changes of the oldest marks, which move to `taken`. */
static int batch_make(struct sqlite *journal)
{
    journal->changes = calloc(BATCH_MAX, sizeof(*journal->changes));
    struct mark *mark;
    while (journal->changes && journal->change_count < BATCH_MAX &&
           (mark = TAILQ_FIRST(&journal->marked))) {
        struct store_change *change = &journal->changes[journal->change_count];
        const json_t *json = present(journal, mark->id);
        memcpy(change->id, mark->id, sizeof(change->id));
        change->number = json_integer_value(json_object_get(json, "number"));
        change->record = json ? json_dumps(json, JSON_COMPACT) : NULL;
        if (json && !change->record)
            break; /* out of memory: what there is goes first */
        journal->change_count++;
        (void)table_remove(&journal->marked_by_id, mark->id);
        TAILQ_REMOVE(&journal->marked, mark, link);
        TAILQ_INSERT_TAIL(&journal->taken, mark, link);
    }
    if (journal->change_count > 0)
        return 0;
    changes_free(journal);
    return -ENOMEM;
}

static void taken_forget(struct sqlite *journal)
{
    struct mark *mark;
    while ((mark = TAILQ_FIRST(&journal->taken))) {
        TAILQ_REMOVE(&journal->taken, mark, link);
        free(mark);
    }
}

/* They were not written after all: back to the front, unless the record was marked again. */
static void taken_return(struct sqlite *journal)
{
    struct mark *mark;
    while ((mark = TAILQ_LAST(&journal->taken, mark_list))) {
        struct mark *again = table_remove(&journal->marked_by_id, mark->id);
        TAILQ_REMOVE(&journal->taken, mark, link);
        if (again) {
            TAILQ_REMOVE(&journal->marked, again, link);
            free(again);
        }
        (void)table_put(&journal->marked_by_id, mark->id, mark);
        TAILQ_INSERT_HEAD(&journal->marked, mark, link);
    }
}

static void recent_drop(struct sqlite *journal, struct recent *recent)
{
    (void)table_remove(&journal->recent_by_id, recent->id);
    TAILQ_REMOVE(&journal->recents, recent, link);
    journal->recent_count--;
    json_decref(recent->json);
    free(recent);
}

/* Those that are too many or deleted, if nothing of them is left to be written. */
static void recents_trim(struct sqlite *journal)
{
    struct recent *recent = TAILQ_FIRST(&journal->recents);
    while (recent) {
        struct recent *next = TAILQ_NEXT(recent, link);
        bool spare = !recent->json || journal->recent_count > RECENT_MAX;
        if (spare && sqlite_safe(&journal->base, recent->ticket))
            recent_drop(journal, recent);
        recent = next;
    }
}

static void batch_done(struct sqlite *journal)
{
    int status = journal->written;
    int64_t count = (int64_t)journal->change_count;
    changes_free(journal);
    if (status == 0) {
        taken_forget(journal);
        recents_trim(journal);
    } else {
        taken_return(journal);
    }
    if (status < 0 && status != journal->failing) {
        log_error("journal_failed", LOG_TEXT("reason", strerror(-status)));
    } else if (status == 0 && journal->failing < 0) {
        log_info("journal_recovered", LOG_INTEGER("records", count));
    }
    journal->failing = status;
}

static void batch_write(uv_work_t *work)
{
    struct sqlite *journal = work->data;
    journal->written = store_write(journal->store, journal->changes, journal->change_count);
}

static void pump(struct sqlite *journal);

static void on_batch_written(uv_work_t *work, int status)
{
    struct sqlite *journal = work->data;
    (void)status;
    batch_done(journal);
    if (journal->failing < 0)
        return; /* journal_reap() tries again */
    pump(journal);
    if (journal->safe)
        journal->safe(journal->opaque);
}

/* Sends the next batch, if there is something to write and none is on its way. */
static void pump(struct sqlite *journal)
{
    if (journal->changes || TAILQ_EMPTY(&journal->marked) || batch_make(journal) < 0)
        return;
    journal->work.data = journal;
    (void)uv_queue_work(journal->loop, &journal->work, batch_write, on_batch_written);
}

/* Around each call that may change something. */
static void enter(struct sqlite *journal)
{
    journal->depth++;
}

static void leave(struct sqlite *journal)
{
    if (--journal->depth == 0 && journal->failing == 0)
        pump(journal);
}

/* The record is to be written. */
static void mark(struct sqlite *journal, const char *id)
{
    journal->marks++;
    if (table_get(&journal->marked_by_id, id))
        return;
    struct mark *made = calloc(1, sizeof(*made));
    if (made) {
        memcpy(made->id, id, sizeof(made->id));
        made->number = journal->marks;
        if (table_put(&journal->marked_by_id, made->id, made)) {
            TAILQ_INSERT_TAIL(&journal->marked, made, link);
            return;
        }
        free(made);
    }
    log_error("journal_failed", LOG_TEXT("job", id), LOG_TEXT("reason", "out of memory"));
}

/* ---- ended records ---- */

/* Takes over the reference to the record. NULL: out of memory. */
static struct recent *recent_add(struct sqlite *journal, const char *id, json_t *json)
{
    struct recent *recent = calloc(1, sizeof(*recent));
    if (!recent || !json) {
        json_decref(json);
        free(recent);
        return NULL;
    }
    memcpy(recent->id, id, sizeof(recent->id));
    recent->json = json;
    if (!table_put(&journal->recent_by_id, recent->id, recent)) {
        json_decref(json);
        free(recent);
        return NULL;
    }
    TAILQ_INSERT_TAIL(&journal->recents, recent, link);
    journal->recent_count++;
    return recent;
}

/* An ended record, from the file if need be; NULL: there is none. */
static struct recent *recent_get(struct sqlite *journal, const char *id)
{
    struct recent *recent = table_get(&journal->recent_by_id, id);
    if (!recent) {
        json_t *json = identifier_valid(id) ? store_get(journal->store, id) : NULL;
        if (journal->recent_count > RECENT_MAX)
            recents_trim(journal); /* before: the newest is borrowed by the caller */
        return json ? recent_add(journal, id, json) : NULL;
    }
    TAILQ_REMOVE(&journal->recents, recent, link);
    TAILQ_INSERT_TAIL(&journal->recents, recent, link);
    return recent->json ? recent : NULL;
}

static void recent_changed(struct sqlite *journal, struct recent *recent)
{
    mark(journal, recent->id);
    recent->ticket = journal->marks;
}

/* A record of the front has ended. */
static void settle(struct sqlite *journal, const char *id)
{
    json_t *json = json_incref((json_t *)journal_get(journal->front, id));
    struct recent *recent = recent_add(journal, id, json);
    if (!recent)
        return; /* it stays in the front, which is as good but for its memory */
    (void)journal_delete(journal->front, id);
}

/* ---- the calls ---- */

static int sqlite_enqueue(struct journal *base, const json_t *json)
{
    struct sqlite *journal = sqlite_of(base);
    const char *id = text_of(json, "id"), *key = text_of(json, "job_key");
    if (journal->failing < 0)
        return journal->failing;
    if (recent_get(journal, id) || (*key && journal_find_key(base, text_of(json, "caller"), key)))
        return -EEXIST;
    json_t *numbered = json_copy((json_t *)json);
    if (!numbered)
        return -ENOMEM;
    enter(journal);
    (void)json_object_set_new(numbered, "number", json_integer(++journal->arrivals));
    int status = journal_enqueue(journal->front, numbered);
    if (status == 0)
        mark(journal, id);
    json_decref(numbered);
    leave(journal);
    return status;
}

/* After a call to the front that came to this status. */
static int changed(struct sqlite *journal, const char *id, int status)
{
    if (status >= 0)
        mark(journal, id);
    leave(journal);
    return status;
}

/* What the front doesn't know has ended, or is unknown: -ENOENT becomes `ended` for the former. */
static int ended_status(struct sqlite *journal, const char *id, int status, int ended)
{
    return status == -ENOENT && recent_get(journal, id) ? ended : status;
}

static int sqlite_ready(struct journal *base, const char *id, double rank)
{
    struct sqlite *journal = sqlite_of(base);
    enter(journal);
    int status = changed(journal, id, journal_ready(journal->front, id, rank));
    return ended_status(journal, id, status, -ESTALE);
}

static int sqlite_claim(struct journal *base, enum journal_lane lane, char id[IDENTIFIER_SIZE],
                        int *attempt)
{
    struct sqlite *journal = sqlite_of(base);
    enter(journal);
    int status = journal_claim(journal->front, lane, id, attempt);
    if (status > 0)
        mark(journal, id);
    leave(journal);
    return status;
}

static int sqlite_beat(struct journal *base, const char *id, int attempt, const json_t *changes)
{
    struct sqlite *journal = sqlite_of(base);
    enter(journal);
    int status = changed(journal, id, journal_beat(journal->front, id, attempt, changes));
    return ended_status(journal, id, status, -ESTALE);
}

/* The same for a change that ends a job. */
static int ended(struct sqlite *journal, const char *id, int status)
{
    if (status == 0) {
        settle(journal, id);
        struct recent *recent = table_get(&journal->recent_by_id, id);
        mark(journal, id);
        if (recent)
            recent->ticket = journal->marks;
    }
    leave(journal);
    return status;
}

static int sqlite_finish(struct journal *base, const char *id, int attempt, const json_t *changes)
{
    struct sqlite *journal = sqlite_of(base);
    enter(journal);
    int status = ended(journal, id, journal_finish(journal->front, id, attempt, changes));
    return ended_status(journal, id, status, -ESTALE);
}

static int sqlite_cancel(struct journal *base, const char *id, const json_t *changes)
{
    struct sqlite *journal = sqlite_of(base);
    enter(journal);
    int status = ended(journal, id, journal_cancel(journal->front, id, changes));
    return ended_status(journal, id, status, -EALREADY);
}

static int sqlite_give_back(struct journal *base, const char *id, int attempt,
                            enum journal_lane lane, double cost, double rank)
{
    struct sqlite *journal = sqlite_of(base);
    enter(journal);
    int status = journal_give_back(journal->front, id, attempt, lane, cost, rank);
    return ended_status(journal, id, changed(journal, id, status), -ESTALE);
}

static int sqlite_resume(struct journal *base, const char *id, bool ready)
{
    struct sqlite *journal = sqlite_of(base);
    enter(journal);
    int status = changed(journal, id, journal_resume(journal->front, id, ready));
    return ended_status(journal, id, status, -EALREADY);
}

static int sqlite_note(struct journal *base, const char *id, const json_t *changes)
{
    struct sqlite *journal = sqlite_of(base);
    enter(journal);
    int status = journal_note(journal->front, id, changes);
    struct recent *recent = status == -ENOENT ? recent_get(journal, id) : NULL;
    if (recent) {
        (void)json_object_update(recent->json, (json_t *)changes);
        recent_changed(journal, recent);
        status = 0;
    } else if (status == 0) {
        mark(journal, id);
    }
    leave(journal);
    return status;
}

static const json_t *sqlite_get(struct journal *base, const char *id)
{
    struct sqlite *journal = sqlite_of(base);
    const json_t *json = journal_get(journal->front, id);
    const struct recent *recent = json ? NULL : recent_get(journal, id);
    return recent ? recent->json : json;
}

static const json_t *sqlite_find_key(struct journal *base, const char *caller, const char *key)
{
    struct sqlite *journal = sqlite_of(base);
    const json_t *json = journal_find_key(journal->front, caller, key);
    if (json)
        return json;
    const struct recent *recent;
    TAILQ_FOREACH(recent, &journal->recents, link)
    {
        if (recent->json && strcmp(text_of(recent->json, "job_key"), key) == 0 &&
            strcmp(text_of(recent->json, "caller"), caller) == 0)
            return recent->json;
    }
    json_t *stored = store_find_key(journal->store, caller, key);
    char id[IDENTIFIER_SIZE] = "";
    (void)snprintf(id, sizeof(id), "%s", text_of(stored, "id"));
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
    const char *id = text_of(json, "id");
    size_t size = json_array_size(listing->list);
    bool full = size >= listing->limit &&
                number_of(json_array_get(listing->list, size - 1)) > number_of(json);
    if (!full && !journal_get(journal->front, id) && !table_get(&journal->recent_by_id, id))
        listing_add(listing, json);
    json_decref(json);
    return !full;
}

static json_t *sqlite_list(struct journal *base, const char *caller, const char *state,
                           const char *before, int limit)
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
            (!caller || strcmp(text_of(recent->json, "caller"), caller) == 0) &&
            (!state || strcmp(text_of(recent->json, "state"), state) == 0))
            listing_add(&listing, recent->json);
    }
    if (store_list(journal->store, caller, state, below, listing_visit, &listing) < 0)
        log_error("journal_failed", LOG_TEXT("reason", "the journal could not be read"));
    return listing.list;
}

static void sqlite_unfinished(struct journal *base, void (*visit)(const json_t *, void *),
                              void *opaque)
{
    struct sqlite *journal = sqlite_of(base);
    enter(journal);
    journal_unfinished(journal->front, visit, opaque);
    leave(journal);
}

static int sqlite_position(struct journal *base, const char *id)
{
    return journal_position(sqlite_of(base)->front, id);
}

/* ---- ends ---- */

static int sqlite_delete(struct journal *base, const char *id)
{
    struct sqlite *journal = sqlite_of(base);
    if (journal_get(journal->front, id))
        return -EBUSY;
    struct recent *recent = recent_get(journal, id);
    if (!recent)
        return -ENOENT;
    enter(journal);
    json_decref(recent->json);
    recent->json = NULL;
    recent_changed(journal, recent);
    leave(journal);
    return 0;
}

/* Ids of what is to be reaped. */
struct reaping {
    char ids[REAP_MAX][IDENTIFIER_SIZE];
    int count;
};

static void reaping_add(struct reaping *reaping, const json_t *json)
{
    if (reaping->count < REAP_MAX)
        (void)snprintf(reaping->ids[reaping->count++], IDENTIFIER_SIZE, "%s", text_of(json, "id"));
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
    reap->expired(id, EXPIRED_RECORD, reap->opaque);
    (void)journal_delete(&journal->base, id);
}

static void sqlite_reap(struct journal *base, const struct journal_reap *reap)
{
    struct sqlite *journal = sqlite_of(base);
    struct reaping *reaping = malloc(sizeof(*reaping));
    double longer = reap->record_ttl > reap->result_ttl ? reap->record_ttl : reap->result_ttl;
    if (reaping) {
        enter(journal);
        reaping_fill(journal, reaping, reap->now - reap->result_ttl, true);
        for (int i = 0; i < reaping->count; i++)
            results_expire(journal, reaping->ids[i], reap);
        reaping_fill(journal, reaping, reap->now - longer, false);
        for (int i = 0; i < reaping->count; i++)
            record_expire(journal, reaping->ids[i], reap);
        leave(journal);
        free(reaping);
    }
    if (journal->failing < 0)
        pump(journal);
}

/* ---- the rest ---- */

static void sqlite_watch(struct journal *base, void (*watcher)(void *opaque), void *opaque)
{
    journal_watch(sqlite_of(base)->front, watcher, opaque);
}

static void sqlite_watch_safe(struct journal *base, void (*safe)(void *opaque), void *opaque)
{
    struct sqlite *journal = sqlite_of(base);
    journal->safe = safe;
    journal->opaque = opaque;
}

static void sqlite_counts(struct journal *base, struct journal_counts *counts)
{
    journal_counts(sqlite_of(base)->front, counts);
}

static int sqlite_count_caller(struct journal *base, const char *caller)
{
    return journal_count_caller(sqlite_of(base)->front, caller);
}

static void sqlite_close(struct journal *base)
{
    struct sqlite *journal = sqlite_of(base);
    journal->safe = NULL;
    journal->depth++; /* no more batches in the pool */
    while (journal->changes)
        (void)uv_run(journal->loop, UV_RUN_ONCE);
    while (!TAILQ_EMPTY(&journal->marked) && batch_make(journal) == 0) {
        batch_write(&(uv_work_t){.data = journal});
        batch_done(journal);
        if (journal->failing < 0)
            break;
    }
    taken_return(journal);
    struct mark *left;
    while ((left = TAILQ_FIRST(&journal->marked))) {
        TAILQ_REMOVE(&journal->marked, left, link);
        free(left);
    }
    struct recent *recent;
    while ((recent = TAILQ_FIRST(&journal->recents)))
        recent_drop(journal, recent);
    table_finish(&journal->marked_by_id);
    table_finish(&journal->recent_by_id);
    journal_close(&journal->front);
    store_close(&journal->store);
    free(journal);
}

static bool load(json_t *json, void *opaque)
{
    struct sqlite *journal = opaque;
    journal->failing = journal_enqueue(journal->front, json);
    json_decref(json);
    return journal->failing == 0;
}

static int fill(struct sqlite *journal, char *error, size_t size)
{
    if (journal_open_memory(&journal->front, INT_MAX) < 0) {
        (void)snprintf(error, size, "out of memory");
        return -1;
    }
    journal->arrivals = store_last_number(journal->store);
    int status = store_unfinished(journal->store, load, journal);
    if (status == 0 && journal->failing == 0)
        return 0;
    (void)snprintf(error, size,
                   "LUMA_DIR: journal.db holds a record that can't be read: put a copy back, or "
                   "move it away to start with an empty one");
    return -1;
}

int journal_open_sqlite(struct journal **journal, uv_loop_t *loop, const char *path, char *error,
                        size_t size)
{
    static const struct journal_driver driver = {
        .close = sqlite_close,
        .enqueue = sqlite_enqueue,
        .ready = sqlite_ready,
        .claim = sqlite_claim,
        .beat = sqlite_beat,
        .finish = sqlite_finish,
        .give_back = sqlite_give_back,
        .resume = sqlite_resume,
        .cancel = sqlite_cancel,
        .note = sqlite_note,
        .get = sqlite_get,
        .find_key = sqlite_find_key,
        .list = sqlite_list,
        .unfinished = sqlite_unfinished,
        .position = sqlite_position,
        .remove = sqlite_delete,
        .reap = sqlite_reap,
        .watch = sqlite_watch,
        .counts = sqlite_counts,
        .count_caller = sqlite_count_caller,
        .ticket = sqlite_ticket,
        .safe = sqlite_safe,
        .watch_safe = sqlite_watch_safe,
    };
    struct sqlite *made = calloc(1, sizeof(*made));
    if (!made) {
        (void)snprintf(error, size, "out of memory");
        return -1;
    }
    made->base.driver = &driver;
    made->loop = loop;
    table_init(&made->recent_by_id);
    table_init(&made->marked_by_id);
    TAILQ_INIT(&made->recents);
    TAILQ_INIT(&made->marked);
    TAILQ_INIT(&made->taken);
    if (store_open(&made->store, path, error, size) < 0 || fill(made, error, size) < 0) {
        sqlite_close(&made->base);
        return -1;
    }
    *journal = &made->base;
    return 0;
}
