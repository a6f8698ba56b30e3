/*
 * The journal's calls go to its driver.
 */
#include "server/journal_driver.h"

void journal_close(struct journal **journal)
{
    if (*journal)
        (*journal)->driver->close(*journal);
    *journal = NULL;
}

int journal_enqueue(struct journal *journal, const json_t *json)
{
    return journal->driver->enqueue(journal, json);
}

int journal_ready(struct journal *journal, const char *id, double rank)
{
    return journal->driver->ready(journal, id, rank);
}

int journal_claim(struct journal *journal, enum journal_lane lane, char id[IDENTIFIER_SIZE],
                  int *attempt)
{
    return journal->driver->claim(journal, lane, id, attempt);
}

int journal_beat(struct journal *journal, const char *id, int attempt, const json_t *changes)
{
    return journal->driver->beat(journal, id, attempt, changes);
}

int journal_finish(struct journal *journal, const char *id, int attempt, const json_t *changes)
{
    return journal->driver->finish(journal, id, attempt, changes);
}

int journal_give_back(struct journal *journal, const char *id, int attempt, enum journal_lane lane,
                      double cost, double rank)
{
    return journal->driver->give_back(journal, id, attempt, lane, cost, rank);
}

int journal_resume(struct journal *journal, const char *id, bool ready)
{
    return journal->driver->resume(journal, id, ready);
}

int journal_cancel(struct journal *journal, const char *id, const json_t *changes)
{
    return journal->driver->cancel(journal, id, changes);
}

int journal_note(struct journal *journal, const char *id, const json_t *changes)
{
    return journal->driver->note(journal, id, changes);
}

const json_t *journal_get(struct journal *journal, const char *id)
{
    return journal->driver->get(journal, id);
}

const json_t *journal_find_key(struct journal *journal, const char *caller, const char *key)
{
    return journal->driver->find_key(journal, caller, key);
}

json_t *journal_list(struct journal *journal, const char *caller, const char *state,
                     const char *before, int limit)
{
    return journal->driver->list(journal, caller, state, before, limit);
}

void journal_unfinished(struct journal *journal, void (*visit)(const json_t *record, void *opaque),
                        void *opaque)
{
    journal->driver->unfinished(journal, visit, opaque);
}

int journal_position(struct journal *journal, const char *id)
{
    return journal->driver->position(journal, id);
}

int journal_delete(struct journal *journal, const char *id)
{
    return journal->driver->remove(journal, id);
}

void journal_reap(struct journal *journal, const struct journal_reap *reap)
{
    journal->driver->reap(journal, reap);
}

void journal_watch(struct journal *journal, void (*changed)(void *opaque), void *opaque)
{
    journal->driver->watch(journal, changed, opaque);
}

void journal_counts(struct journal *journal, struct journal_counts *counts)
{
    journal->driver->counts(journal, counts);
}

int journal_count_caller(struct journal *journal, const char *caller)
{
    return journal->driver->count_caller(journal, caller);
}

bool journal_unreadable(const struct journal *journal)
{
    return journal->driver->unreadable && journal->driver->unreadable(journal);
}

uint64_t journal_ticket(struct journal *journal)
{
    return journal->driver->ticket(journal);
}

bool journal_safe(struct journal *journal, uint64_t ticket)
{
    return journal->driver->safe(journal, ticket);
}

void journal_watch_safe(struct journal *journal, void (*safe)(void *opaque), void *opaque)
{
    journal->driver->watch_safe(journal, safe, opaque);
}
