/*
 * What is to be written of an SQLite journal, batch by batch, and the ended records that are at
 * hand; journal_sqlite.c tells how that works.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/journal_sqlite_internal.h"
#include "server/log.h"

#define BATCH_MAX  256
#define RECENT_MAX 64

uint64_t batch_unsafe_from(const struct sqlite *journal)
{
    const struct mark *oldest = TAILQ_FIRST(&journal->taken);
    if (!oldest)
        oldest = TAILQ_FIRST(&journal->marked);
    return oldest ? oldest->number : journal->marks + 1;
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
        if (spare && recent->ticket < batch_unsafe_from(journal))
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

static void on_batch_written(uv_work_t *work, int status)
{
    struct sqlite *journal = work->data;
    (void)status;
    batch_done(journal);
    if (journal->failing < 0)
        return; /* journal_reap() tries again */
    batch_pump(journal);
    if (journal->safe)
        journal->safe(journal->opaque);
}

void batch_pump(struct sqlite *journal)
{
    if (journal->changes || TAILQ_EMPTY(&journal->marked) || batch_make(journal) < 0)
        return;
    journal->work.data = journal;
    (void)uv_queue_work(journal->loop, &journal->work, batch_write, on_batch_written);
}

void batch_enter(struct sqlite *journal)
{
    journal->depth++;
}

void batch_leave(struct sqlite *journal)
{
    if (--journal->depth == 0 && journal->failing == 0)
        batch_pump(journal);
}

void batch_mark(struct sqlite *journal, const char *id)
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

struct recent *recent_add(struct sqlite *journal, const char *id, json_t *json)
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

struct recent *recent_get(struct sqlite *journal, const char *id)
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

void recent_changed(struct sqlite *journal, struct recent *recent)
{
    batch_mark(journal, recent->id);
    recent->ticket = journal->marks;
}

/* ---- the end ---- */

void batch_finish(struct sqlite *journal)
{
    journal->safe = NULL;
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
}
