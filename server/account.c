/*
 * A table of accounts, swept from the server's timer.
 */
#include "server/account.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define RATE_SECONDS 2 /* what a bucket holds */

bool rate_take(struct rate *rate, double per_second, double now)
{
    double most = RATE_SECONDS * per_second;
    rate->allowance = rate->time > 0 ? rate->allowance + (now - rate->time) * per_second : most;
    rate->allowance = fmin(rate->allowance, most);
    rate->time = now;
    if (rate->allowance < 1)
        return false;
    rate->allowance -= 1;
    return true;
}

double rate_wait(const struct rate *rate, double per_second)
{
    return fmax(0, (1 - rate->allowance) / per_second);
}

struct account *account_get(struct table *accounts, const char *name, double now)
{
    struct account *account = table_get(accounts, name);
    if (!account) {
        size_t size = strlen(name) + 1;
        account = calloc(1, sizeof(*account) + size);
        if (!account)
            return NULL;
        memcpy(account->name, name, size);
        if (!table_put(accounts, account->name, account)) {
            free(account);
            return NULL;
        }
    }
    account->used = now;
    return account;
}

void account_keep(struct table *accounts, const char *caller, int64_t bytes, double now)
{
    struct account *account = bytes ? account_get(accounts, caller, now) : NULL;
    if (account)
        account->bytes += bytes;
}

static void forget(struct table *accounts, double before, bool all)
{
    for (size_t i = 0; i < accounts->bucket_count; i++) {
        struct table_entry *entry = accounts->buckets[i];
        while (entry) {
            struct table_entry *next = entry->next;
            struct account *account = entry->value;
            if (all || (account->bytes == 0 && account->used < before)) {
                (void)table_remove(accounts, account->name);
                free(account);
            }
            entry = next;
        }
    }
}

void accounts_sweep(struct table *accounts, double now)
{
    forget(accounts, now - 2 * RATE_SECONDS, false);
}

void accounts_finish(struct table *accounts)
{
    forget(accounts, 0, true);
    table_finish(accounts);
}
