/*
 * The journal: every job that the server answers for, and the queues of those that wait to run.
 *
 * A record is one JSON object:
 *   {"id", "caller", "operation", "inputs", "options", "delivery", "detach", "metadata",
 *    "job_key"?, "state", "attempt", "seq", "lane", "rank", "cost", "created", …}
 * with "state" one of uploading, queued, running, completed, failed, cancelled. What else is in it
 * belongs to job.c. Ended records carry "ended" (seconds since the epoch) and "word", the job's
 * last word.
 *
 * A claim gives a queued job to a worker and counts its attempt up; whoever holds it names that
 * attempt with every later call, so that a holder that was given up for dead changes nothing any
 * more (-ESTALE). Nothing un-cancels: after journal_cancel() a finish is stale too.
 *
 * Drivers stand behind this interface (journal_driver.h). The server's keeps the journal in an
 * SQLite file; another keeps it in memory and forgets it at the end. All calls come from the
 * server's loop and return 0 or -errno, unless said otherwise; -ENOENT: no such job.
 *
 * A call takes effect at once and is made safe afterwards, so that nobody waits for a disk. Who
 * tells the world of a change takes a ticket after it and keeps silent until the ticket is safe
 * (session_send_safe() does that); what must not be undone, such as deleting a job's inputs, waits
 * in the same way. Changes become safe in the order in which they were made. Where they can't be
 * written the driver tries again, tickets stay unsafe, and no new job is taken.
 *
 * At a start, the records that had not ended are there in the state in which they were written;
 * journal_unfinished() shows them, and journal_resume() says for each of them how it goes on.
 */
#ifndef LUMA_SERVER_JOURNAL_H
#define LUMA_SERVER_JOURNAL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "server/identifier.h"

enum journal_lane { LANE_LIGHT, LANE_HEAVY, LANE_COUNT };

struct journal_counts {
    int64_t unfinished; /* uploading, queued or running */
    int64_t queued;
};

/* What has run out of its time. */
enum journal_expiry {
    EXPIRED_RESULTS, /* the job's files may go */
    EXPIRED_RECORD,  /* nobody may ask for it any more; its files are gone already */
};

struct journal_reap {
    double now;        /* seconds since the epoch */
    double result_ttl; /* seconds */
    double record_ttl;
    void (*expired)(const char *id, enum journal_expiry what, void *opaque);
    void *opaque;
};

struct journal;

/* The driver that keeps everything in memory: at most `ended_max` ended records with their
 * details, older ones only by their id. */
int journal_open_memory(struct journal **journal, int ended_max);
/* The driver that keeps everything in the file, which is made if it isn't there. 0, or -1 with a
 * sentence in `error`: the file is damaged, or isn't a journal, or is one of a newer version. */
int journal_open_sqlite(struct journal **journal, uv_loop_t *loop, const char *path, char *error,
                        size_t size);
/* Makes everything safe that can be made safe. The loop may be run for it. */
void journal_close(struct journal **journal);

/* Takes a new record (copied), uploading or queued. -EEXIST: the id, or the caller's job_key, is
 * taken; another error: changes can't be written at present. */
int journal_enqueue(struct journal *journal, const json_t *json);
/* The inputs are there: uploading becomes queued, with the rank. */
int journal_ready(struct journal *journal, const char *id, double rank);
/* Gives out the lane's job of the lowest rank, of these the one that came first: 1, its id and its
 * new attempt; 0: none. A job that was given back keeps the attempt that it had. */
int journal_claim(struct journal *journal, enum journal_lane lane, char id[IDENTIFIER_SIZE],
                  int *attempt);
/* The holder lives; changes are merged into the record. */
int journal_beat(struct journal *journal, const char *id, int attempt, const json_t *changes);
/* The job is over; changes ("state", "word", …) are merged into the record. */
int journal_finish(struct journal *journal, const char *id, int attempt, const json_t *changes);
/* Back into a queue, without an attempt having been used up. The record gets "lane", "cost" and
 * "rank". */
int journal_give_back(struct journal *journal, const char *id, int attempt, enum journal_lane lane,
                      double cost, double rank);
/* The holder of a running job, or the input of a queued one, was lost with a server that died: back
 * to the place in the queue that its record names (`ready`), or to uploading. What ran has used an
 * attempt up. */
int journal_resume(struct journal *journal, const char *id, bool ready);
/* The job is over, from outside, in whatever state it is: -EALREADY if it had ended. */
int journal_cancel(struct journal *journal, const char *id, const json_t *changes);
/* Merges changes that don't concern the state, whoever holds the job. */
int journal_note(struct journal *journal, const char *id, const json_t *changes);

/* The record (borrowed until the next call; NULL if unknown). A record that was reduced to its id
 * has "state" only. */
const json_t *journal_get(struct journal *journal, const char *id);
/* The record of a caller's job_key, or NULL. */
const json_t *journal_find_key(struct journal *journal, const char *caller, const char *key);
/* New references to records, newest first: the caller's (NULL: everyone's), in the state (NULL:
 * any), older than `before` (NULL: from the newest), at most `limit`. */
json_t *journal_list(struct journal *journal, const char *caller, const char *state,
                     const char *before, int limit);
/* Shows every record that has not ended, the oldest first. */
void journal_unfinished(struct journal *journal, void (*visit)(const json_t *record, void *opaque),
                        void *opaque);
/* How many jobs of its lane are to be claimed before this one; -1: it isn't queued. */
int journal_position(struct journal *journal, const char *id);
/* Drops an ended record. */
int journal_delete(struct journal *journal, const char *id);
/* Tells what expired, and drops expired records. */
void journal_reap(struct journal *journal, const struct journal_reap *reap);
/* Called whenever something may have become claimable; never from inside a journal call's
 * caller's own claim. */
void journal_watch(struct journal *journal, void (*changed)(void *opaque), void *opaque);
void journal_counts(struct journal *journal, struct journal_counts *counts);
int journal_count_caller(struct journal *journal, const char *caller);

/* Whether what journal_get() or journal_find_key() looked for last could not be read: then their
 * NULL doesn't mean that there is none. */
bool journal_unreadable(const struct journal *journal);

/* A ticket for all changes that were made so far. */
uint64_t journal_ticket(struct journal *journal);
bool journal_safe(struct journal *journal, uint64_t ticket);
/* Called when tickets have become safe. */
void journal_watch_safe(struct journal *journal, void (*safe)(void *opaque), void *opaque);

#endif
