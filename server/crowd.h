/*
 * How many sockets each address has open, of whatever kind: what is asked of a connection before
 * anything is known of it.
 */
#ifndef LUMA_SERVER_CROWD_H
#define LUMA_SERVER_CROWD_H

#include "server/table.h"

struct crowd {
    struct table table; /* address: its member */
};

struct crowd_member {
    char address[64];
    int sockets;
};

void crowd_init(struct crowd *crowd);
/* Members that are still in it are freed. */
void crowd_finish(struct crowd *crowd);
int crowd_count(const struct crowd *crowd, const char *address);
/* One socket more, or NULL when memory is gone; given back with crowd_leave(). */
struct crowd_member *crowd_enter(struct crowd *crowd, const char *address);
void crowd_leave(struct crowd *crowd, struct crowd_member *member); /* NULL is allowed */

#endif
