/*
 * The journal's file: one SQLite table of records as JSON text, with indexes over what is looked
 * for in them.
 *
 * Two connections. One reads, on the loop's thread: single records by an index, which the page
 * cache mostly holds. The other writes, whole batches in one transaction, from the thread pool; its
 * commit returns when the write-ahead log is on the disk (synchronous=FULL). In WAL mode neither
 * waits for the other. Whoever else opens the file (a backup, say) is waited for within bounds.
 *
 * A spare file beside it keeps some room: it is given up when a batch finds the disk full, so that
 * jobs which end for that reason can still be written, and made again when there is room.
 *
 * The file says what it is (application_id) and in which version (user_version). An older version
 * is brought up to date in one transaction when it is opened; a newer one is refused, for an old
 * server must not guess. A migration is appended to the list in journal_store.c and never changed
 * afterwards.
 */
#ifndef LUMA_SERVER_JOURNAL_STORE_H
#define LUMA_SERVER_JOURNAL_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/identifier.h"

struct store;

/* What is to be written: the record of an id, or that it is gone (NULL). */
struct store_change {
    char id[IDENTIFIER_SIZE];
    int64_t number; /* in order of arrival */
    char *record;
};

/* 0, or -1 with a sentence in `error`. */
int store_open(struct store **store, const char *path, char *error, size_t size);
void store_close(struct store **store);

/* All or none of the changes. 0 or -errno. From any thread, one at a time. */
int store_write(struct store *store, const struct store_change *changes, size_t count);

/* The rest is for the thread that opened it. Records are new references; NULL: there is none. */
bool store_unreadable(const struct store *store); /* why the last of these two was NULL */
void store_forget_unreadable(struct store *store);
json_t *store_get(struct store *store, const char *id);
json_t *store_find_key(struct store *store, const char *caller, const char *key);
/* The number of the newest record that was ever written, 0 without any. */
int64_t store_last_number(struct store *store);

/* Shows records until `visit` (which owns the reference) returns false. 0, or -1 if the file can't
 * be read. */
typedef bool store_visit(json_t *record, void *opaque);
/* Those that have not ended, the oldest first. */
int store_unfinished(struct store *store, store_visit *visit, void *opaque);
/* Those of a caller (NULL: everyone's), in a state (NULL: any), with numbers below `before`, the
 * newest first. */
int store_list(struct store *store, const char *caller, const char *state, int64_t before,
               store_visit *visit, void *opaque);
/* Those that ended at a time or before; only those whose results are still there, if asked for. */
int store_ended(struct store *store, double when, bool with_results, store_visit *visit,
                void *opaque);

#endif
