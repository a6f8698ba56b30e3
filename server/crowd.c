/*
 * An entry for each address that has a socket open, and no longer.
 */
#include "server/crowd.h"

#include <stdio.h>
#include <stdlib.h>

void crowd_init(struct crowd *crowd)
{
    table_init(&crowd->table);
}

void crowd_finish(struct crowd *crowd)
{
    for (size_t i = 0; i < crowd->table.bucket_count; i++) {
        struct table_entry *entry;
        while ((entry = crowd->table.buckets[i])) {
            struct crowd_member *member = entry->value;
            (void)table_remove(&crowd->table, member->address);
            free(member);
        }
    }
    table_finish(&crowd->table);
}

int crowd_count(const struct crowd *crowd, const char *address)
{
    const struct crowd_member *member = table_get(&crowd->table, address);
    return member ? member->sockets : 0;
}

struct crowd_member *crowd_enter(struct crowd *crowd, const char *address)
{
    struct crowd_member *member = table_get(&crowd->table, address);
    if (!member) {
        member = calloc(1, sizeof(*member));
        if (!member)
            return NULL;
        (void)snprintf(member->address, sizeof(member->address), "%s", address);
        if (!table_put(&crowd->table, member->address, member)) {
            free(member);
            return NULL;
        }
    }
    member->sockets++;
    return member;
}

void crowd_leave(struct crowd *crowd, struct crowd_member *member)
{
    if (!member || --member->sockets > 0)
        return;
    (void)table_remove(&crowd->table, member->address);
    free(member);
}
