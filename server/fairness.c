/*
 * A table of callers, each with a time a lane. Whoever has no time ahead of a queue's is as good as
 * unknown, and is forgotten when there are many.
 */
#include "server/fairness.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define CALLERS_KEPT 1024 /* then those that are as good as unknown are looked for */

struct share {
    double ahead[LANE_COUNT]; /* up to where it has had its share */
    double last[LANE_COUNT];  /* the rank of its last job: its own jobs stay in their order */
    char name[];
};

void fairness_init(struct fairness *fairness)
{
    *fairness = (struct fairness){0};
    table_init(&fairness->callers);
}

static bool as_good_as_unknown(const struct fairness *fairness, const struct share *share)
{
    for (int lane = 0; lane < LANE_COUNT; lane++) {
        if (share->ahead[lane] > fairness->now[lane] || share->last[lane] > fairness->now[lane])
            return false;
    }
    return true;
}

/* Forgets all callers, or those that it makes no difference to. */
static void forget(struct fairness *fairness, bool all)
{
    for (size_t i = 0; i < fairness->callers.bucket_count; i++) {
        struct table_entry *entry = fairness->callers.buckets[i];
        while (entry) {
            struct table_entry *next = entry->next;
            struct share *share = entry->value;
            if (all || as_good_as_unknown(fairness, share)) {
                (void)table_remove(&fairness->callers, share->name);
                free(share);
            }
            entry = next;
        }
    }
}

void fairness_finish(struct fairness *fairness)
{
    forget(fairness, true);
    table_finish(&fairness->callers);
}

/* NULL when memory is gone: then the caller counts as new. */
static struct share *share_of(struct fairness *fairness, const char *caller)
{
    struct share *share = table_get(&fairness->callers, caller);
    if (share)
        return share;
    size_t count = fairness->callers.count;
    if (count >= CALLERS_KEPT && (count & (count - 1)) == 0)
        forget(fairness, false);
    size_t size = strlen(caller) + 1;
    share = calloc(1, sizeof(*share) + size);
    if (!share)
        return NULL;
    memcpy(share->name, caller, size);
    if (!table_put(&fairness->callers, share->name, share)) {
        free(share);
        return NULL;
    }
    return share;
}

double fairness_stamp(struct fairness *fairness, enum journal_lane lane, const char *caller,
                      double cost)
{
    struct share *share = share_of(fairness, caller);
    double rank = fairness->now[lane];
    if (!share)
        return rank;
    if (share->ahead[lane] < rank)
        share->ahead[lane] = rank;
    rank = fmax(share->ahead[lane], share->last[lane]);
    share->ahead[lane] += cost;
    share->last[lane] = rank;
    return rank;
}

void fairness_taken(struct fairness *fairness, enum journal_lane lane, double rank)
{
    if (rank > fairness->now[lane])
        fairness->now[lane] = rank;
}

void fairness_settle(struct fairness *fairness, enum journal_lane lane, const char *caller,
                     double estimate, double actual)
{
    struct share *share = table_get(&fairness->callers, caller);
    if (share)
        share->ahead[lane] += actual - estimate;
}

void fairness_restore(struct fairness *fairness, enum journal_lane lane, const char *caller,
                      double rank, double cost)
{
    struct share *share = share_of(fairness, caller);
    if (!share)
        return;
    share->ahead[lane] = fmax(share->ahead[lane], rank + cost);
    share->last[lane] = fmax(share->last[lane], rank);
}

void fairness_idle(struct fairness *fairness)
{
    forget(fairness, true);
}
