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

#include "server/journal_sqlite_internal.h"

static uint64_t sqlite_ticket(struct journal *base)
{
    return sqlite_of(base)->marks;
}

static bool sqlite_safe(struct journal *base, uint64_t ticket)
{
    return ticket < batch_unsafe_from(sqlite_of(base));
}

static bool sqlite_unreadable(const struct journal *base)
{
    return store_unreadable(sqlite_of((struct journal *)base)->store);
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

static int sqlite_enqueue(struct journal *base, const json_t *json)
{
    struct sqlite *journal = sqlite_of(base);
    const char *id = record_text(json, "id"), *key = record_text(json, "job_key");
    if (journal->failing < 0)
        return journal->failing;
    store_forget_unreadable(journal->store);
    if (recent_get(journal, id) ||
        (*key && journal_find_key(base, record_text(json, "caller"), key)))
        return -EEXIST;
    if (sqlite_unreadable(base)) /* it may be there */
        return -EIO;
    json_t *numbered = json_copy((json_t *)json);
    if (!numbered)
        return -ENOMEM;
    batch_enter(journal);
    (void)json_object_set_new(numbered, "number", json_integer(++journal->arrivals));
    int status = journal_enqueue(journal->front, numbered);
    if (status == 0)
        batch_mark(journal, id);
    json_decref(numbered);
    batch_leave(journal);
    return status;
}

/* After a call to the front that came to this status. */
static int changed(struct sqlite *journal, const char *id, int status)
{
    if (status >= 0)
        batch_mark(journal, id);
    batch_leave(journal);
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
    batch_enter(journal);
    int status = changed(journal, id, journal_ready(journal->front, id, rank));
    return ended_status(journal, id, status, -ESTALE);
}

static int sqlite_claim(struct journal *base, enum journal_lane lane, char id[IDENTIFIER_SIZE],
                        int *attempt)
{
    struct sqlite *journal = sqlite_of(base);
    batch_enter(journal);
    int status = journal_claim(journal->front, lane, id, attempt);
    if (status > 0)
        batch_mark(journal, id);
    batch_leave(journal);
    return status;
}

static int sqlite_beat(struct journal *base, const char *id, int attempt, const json_t *changes)
{
    struct sqlite *journal = sqlite_of(base);
    batch_enter(journal);
    int status = changed(journal, id, journal_beat(journal->front, id, attempt, changes));
    return ended_status(journal, id, status, -ESTALE);
}

/* The same for a change that ends a job. */
static int ended(struct sqlite *journal, const char *id, int status)
{
    if (status == 0) {
        settle(journal, id);
        struct recent *recent = table_get(&journal->recent_by_id, id);
        batch_mark(journal, id);
        if (recent)
            recent->ticket = journal->marks;
    }
    batch_leave(journal);
    return status;
}

static int sqlite_finish(struct journal *base, const char *id, int attempt, const json_t *changes)
{
    struct sqlite *journal = sqlite_of(base);
    batch_enter(journal);
    int status = ended(journal, id, journal_finish(journal->front, id, attempt, changes));
    return ended_status(journal, id, status, -ESTALE);
}

static int sqlite_cancel(struct journal *base, const char *id, const json_t *changes)
{
    struct sqlite *journal = sqlite_of(base);
    batch_enter(journal);
    int status = ended(journal, id, journal_cancel(journal->front, id, changes));
    return ended_status(journal, id, status, -EALREADY);
}

static int sqlite_give_back(struct journal *base, const char *id, int attempt,
                            enum journal_lane lane, double cost, double rank)
{
    struct sqlite *journal = sqlite_of(base);
    batch_enter(journal);
    int status = journal_give_back(journal->front, id, attempt, lane, cost, rank);
    return ended_status(journal, id, changed(journal, id, status), -ESTALE);
}

static int sqlite_resume(struct journal *base, const char *id, bool ready)
{
    struct sqlite *journal = sqlite_of(base);
    batch_enter(journal);
    int status = changed(journal, id, journal_resume(journal->front, id, ready));
    return ended_status(journal, id, status, -EALREADY);
}

static int sqlite_note(struct journal *base, const char *id, const json_t *changes)
{
    struct sqlite *journal = sqlite_of(base);
    batch_enter(journal);
    int status = journal_note(journal->front, id, changes);
    struct recent *recent = status == -ENOENT ? recent_get(journal, id) : NULL;
    if (recent) {
        (void)json_object_update(recent->json, (json_t *)changes);
        recent_changed(journal, recent);
        status = 0;
    } else if (status == 0) {
        batch_mark(journal, id);
    }
    batch_leave(journal);
    return status;
}

static const json_t *sqlite_get(struct journal *base, const char *id)
{
    struct sqlite *journal = sqlite_of(base);
    store_forget_unreadable(journal->store);
    const json_t *json = journal_get(journal->front, id);
    const struct recent *recent = json ? NULL : recent_get(journal, id);
    return recent ? recent->json : json;
}

static int sqlite_delete(struct journal *base, const char *id)
{
    struct sqlite *journal = sqlite_of(base);
    if (journal_get(journal->front, id))
        return -EBUSY;
    struct recent *recent = recent_get(journal, id);
    if (!recent)
        return -ENOENT;
    batch_enter(journal);
    json_decref(recent->json);
    recent->json = NULL;
    recent_changed(journal, recent);
    batch_leave(journal);
    return 0;
}

static void sqlite_unfinished(struct journal *base, void (*visit)(const json_t *, void *),
                              void *opaque)
{
    struct sqlite *journal = sqlite_of(base);
    batch_enter(journal);
    journal_unfinished(journal->front, visit, opaque);
    batch_leave(journal);
}

static int sqlite_position(struct journal *base, const char *id)
{
    return journal_position(sqlite_of(base)->front, id);
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
    batch_finish(journal);
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
        .unreadable = sqlite_unreadable,
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
