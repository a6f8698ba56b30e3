/*
 * Jobs for tests of journals.
 */
#ifndef LUMA_TESTS_UNIT_JOURNAL_FIXTURE_H
#define LUMA_TESTS_UNIT_JOURNAL_FIXTURE_H

#include <stdio.h>

#include "server/identifier.h"
#include "server/journal.h"

static inline const char *id_of(int number)
{
    static char ids[8][IDENTIFIER_SIZE];
    char *id = ids[number % 8];
    (void)snprintf(id, IDENTIFIER_SIZE, "%032x", (unsigned)number);
    return id;
}

static inline int enqueue(struct journal *journal, int number, const char *state, const char *key)
{
    json_t *record = json_pack("{s:s, s:s, s:s, s:s, s:i, s:i}", "id", id_of(number), "caller",
                               number % 2 ? "odd" : "even", "operation", "probe", "state", state,
                               "attempt", 1, "seq", 0);
    if (key)
        (void)json_object_set_new(record, "job_key", json_string(key));
    int status = journal_enqueue(journal, record);
    json_decref(record);
    return status;
}

#endif
