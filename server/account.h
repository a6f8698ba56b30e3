/*
 * What each caller, and each address, takes of the server at present: how fast its messages and
 * jobs come, and how many bytes of inputs are kept for it. Callers and addresses are accounts
 * alike; without tokens they are the same.
 *
 * A rate is a bucket that holds two seconds' worth. An account is forgotten when nothing is kept
 * for it and its buckets must be full again.
 */
#ifndef LUMA_SERVER_ACCOUNT_H
#define LUMA_SERVER_ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "server/table.h"

struct rate {
    double allowance; /* how many may come now */
    double time;      /* seconds, of the last look; 0: never */
};

/* Whether one more may come now, at so many a second; it is counted then. Starts from zeroes. */
bool rate_take(struct rate *rate, double per_second, double now);
/* Seconds until the next one may come. */
double rate_wait(const struct rate *rate, double per_second);

struct account {
    struct rate messages, starts;
    int64_t bytes; /* of inputs, announced or received, until their jobs are over */
    double used;   /* seconds; when it was last looked for */
    char name[];
};

/* The account of a name; NULL only when memory is gone. `now` in seconds, as for the rates. */
struct account *account_get(struct table *accounts, const char *name, double now);
/* Adds to what is kept for a caller, or takes away from it. */
void account_keep(struct table *accounts, const char *caller, int64_t bytes, double now);
/* Forgets those that make no difference. */
void accounts_sweep(struct table *accounts, double now);
/* Forgets all, and the table. */
void accounts_finish(struct table *accounts);

#endif
