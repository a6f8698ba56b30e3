/*
 * A delivery: outputs on their way to a session as binary frames, one chunk at a time, read when
 * the client has taken the one before: at once if the page cache has it, else in the thread pool.
 * Deliveries of one session take turns.
 */
#ifndef LUMA_SERVER_DELIVERY_H
#define LUMA_SERVER_DELIVERY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uv.h>

#include "server/identifier.h"

struct session;

struct delivery_item {
    TAILQ_ENTRY(delivery_item) link;
    int output;
    char *name;
    int64_t size;        /* of the whole output */
    int64_t offset, end; /* what is to be sent of it */
};

struct delivery {
    TAILQ_ENTRY(delivery) link; /* in session->deliveries */
    struct session *session;
    char job[IDENTIFIER_SIZE];
    int attempt;
    uint64_t ticket;  /* of the journal: nothing is sent before it is safe */
    char *request_id; /* of fetch, else NULL */
    TAILQ_HEAD(, delivery_item) items;
    bool ended;     /* no more items come */
    bool held;      /* nothing is read before delivery_end() */
    bool destroyed; /* a read is still in flight */
    int fd;
    enum { DELIVERY_IDLE, DELIVERY_READING, DELIVERY_READY } state;
    unsigned char *buffer;
    size_t filled;
    uv_fs_t request;
    uv_buf_t target;
    json_t *farewell; /* sent when everything has been written; owned */
    /* Everything has been written (0), or reading failed (-errno). The last callback; the delivery
     * is destroyed after it. May be NULL. */
    void (*done)(struct delivery *delivery, int status, void *opaque);
    void *opaque;
};

/* NULL: out of memory. */
struct delivery *delivery_create(struct session *session, const char *job, int attempt,
                                 const char *request_id,
                                 void (*done)(struct delivery *, int, void *), void *opaque);
/* Adds the part of an output from `offset` to `end`. 0 or -ENOMEM. */
int delivery_add(struct delivery *delivery, int output, const char *name, int64_t size,
                 int64_t offset, int64_t end);
/* Nothing more comes: done follows, perhaps at once. */
void delivery_end(struct delivery *delivery);
/* Without done. */
void delivery_destroy(struct delivery **delivery);

/* From the session's writable event: writes the chunk that is ready. 1 if it wrote, 0 if nothing
 * was ready, -1 if the connection is to be closed. */
int delivery_write(struct session *session);
/* Tickets have become safe. */
void delivery_resume(struct session *session);
/* Whether a chunk is ready. */
bool delivery_ready(const struct session *session);

#endif
