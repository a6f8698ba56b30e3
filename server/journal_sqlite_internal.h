/*
 * Between journal_sqlite.c (the calls), journal_batch.c (what is to be written, and what has ended
 * and is at hand) and journal_query.c (what is looked for).
 */
#ifndef LUMA_SERVER_JOURNAL_SQLITE_INTERNAL_H
#define LUMA_SERVER_JOURNAL_SQLITE_INTERNAL_H

#include <sys/queue.h>

#include "server/journal_driver.h"
#include "server/journal_store.h"
#include "server/table.h"

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

static inline struct sqlite *sqlite_of(struct journal *journal)
{
    return (struct sqlite *)journal;
}

/* A text of a record, "" without it. */
static inline const char *record_text(const json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));
    return text ? text : "";
}

/* ---- journal_batch.c ---- */

/* Around each call that may change something. */
void batch_enter(struct sqlite *journal);
void batch_leave(struct sqlite *journal);
/* The record is to be written. */
void batch_mark(struct sqlite *journal, const char *id);
/* Sends the next batch, if there is something to write and none is on its way. */
void batch_pump(struct sqlite *journal);
/* Tickets from this one on are not safe. */
uint64_t batch_unsafe_from(const struct sqlite *journal);
/* Writes what is left, as far as it can be written, and frees the rest. The loop may be run. */
void batch_finish(struct sqlite *journal);

/* Takes over the reference to the record. NULL: out of memory. */
struct recent *recent_add(struct sqlite *journal, const char *id, json_t *json);
/* An ended record, from the file if need be; NULL: there is none. */
struct recent *recent_get(struct sqlite *journal, const char *id);
/* It is to be written. */
void recent_changed(struct sqlite *journal, struct recent *recent);

/* ---- journal_query.c ---- */

const json_t *sqlite_find_key(struct journal *base, const char *caller, const char *key);
json_t *sqlite_list(struct journal *base, const char *caller, const char *state, const char *before,
                    int limit);
void sqlite_reap(struct journal *base, const struct journal_reap *reap);

#endif
