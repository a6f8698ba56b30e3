/*
 * What a driver of the journal is: the calls of journal.h as a table. A driver's own state begins
 * with its struct journal.
 */
#ifndef LUMA_SERVER_JOURNAL_DRIVER_H
#define LUMA_SERVER_JOURNAL_DRIVER_H

#include "server/journal.h"

struct journal_driver {
    void (*close)(struct journal *journal);
    int (*enqueue)(struct journal *journal, const json_t *json);
    int (*ready)(struct journal *journal, const char *id, double rank);
    int (*claim)(struct journal *journal, enum journal_lane lane, char id[IDENTIFIER_SIZE],
                 int *attempt);
    int (*beat)(struct journal *journal, const char *id, int attempt, const json_t *changes);
    int (*finish)(struct journal *journal, const char *id, int attempt, const json_t *changes);
    int (*give_back)(struct journal *journal, const char *id, int attempt, enum journal_lane lane,
                     double cost, double rank);
    int (*resume)(struct journal *journal, const char *id, bool ready);
    int (*cancel)(struct journal *journal, const char *id, const json_t *changes);
    int (*note)(struct journal *journal, const char *id, const json_t *changes);
    const json_t *(*get)(struct journal *journal, const char *id);
    const json_t *(*find_key)(struct journal *journal, const char *caller, const char *key);
    json_t *(*list)(struct journal *journal, const char *caller, const char *state,
                    const char *before, int limit);
    void (*unfinished)(struct journal *journal, void (*visit)(const json_t *record, void *opaque),
                       void *opaque);
    int (*position)(struct journal *journal, const char *id);
    int (*remove)(struct journal *journal, const char *id);
    void (*reap)(struct journal *journal, const struct journal_reap *reap);
    void (*watch)(struct journal *journal, void (*changed)(void *opaque), void *opaque);
    void (*counts)(struct journal *journal, struct journal_counts *counts);
    int (*count_caller)(struct journal *journal, const char *caller);
    bool (*unreadable)(const struct journal *journal); /* NULL: never */
    uint64_t (*ticket)(struct journal *journal);
    bool (*safe)(struct journal *journal, uint64_t ticket);
    void (*watch_safe)(struct journal *journal, void (*safe)(void *opaque), void *opaque);
};

struct journal {
    const struct journal_driver *driver;
};

#endif
