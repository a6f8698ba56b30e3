/*
 * The fetcher: gets what a URL names, whole and forward, by libcurl on the server's own loop.
 *
 * What it refuses: other schemes than http and https, users and passwords in URLs, addresses and
 * ports that address.h doesn't let through. A redirect is a new URL that is judged like the first;
 * there may be five. No proxy, no netrc, no cookies, no compression. The address is judged at the
 * moment at which a socket is made for it, so a name that changes its mind gains nothing.
 *
 * What bounds it: the bytes that were taken (LUMA_MAX_UPLOAD), the time of the whole and of a
 * standstill (LUMA_DOWNLOAD_TIMEOUT, LUMA_STALL_TIMEOUT), the headers of an answer, and the number
 * of transfers at a time, in all and for one caller; those beyond wait, and callers take turns.
 * Whoever takes the bytes may pause a transfer; then the socket is not read.
 *
 * What the other side said is never told to anybody, except for the number of its status.
 *
 * Loop thread only. Nothing calls back before the function that was called has returned.
 */
#ifndef LUMA_SERVER_FETCH_H
#define LUMA_SERVER_FETCH_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "server/config.h"
#include "server/protocol.h"

struct fetch;
struct fetcher;

enum fetch_taken {
    FETCH_TAKEN,
    FETCH_PAUSED, /* nothing was taken: the same bytes come again after fetch_resume() */
    FETCH_FAILED, /* the transfer ends with the problem */
};

struct fetch_events {
    /* How many bytes there will be, where the other side says it; before the first of them. */
    void (*announced)(void *opaque, int64_t size);
    enum fetch_taken (*data)(void *opaque, const void *data, size_t size, struct problem *problem);
    /* The end, and the last call: without a problem everything is there. The problem is borrowed;
     * its code is url_forbidden, one of download_*, what `data` gave, or internal. */
    void (*done)(void *opaque, struct problem *problem);
};

/* Most bytes of one `data`. */
#define FETCH_DATA_MAX (16 * 1024)

/* 0, or -1 with the error: LUMA_FETCH_ALLOW can't be read, or no memory. */
int fetcher_create(struct fetcher **fetcher, uv_loop_t *loop, const struct config *config,
                   struct config_error *error);
/* Every fetch must be gone. The memory goes when the loop has closed the handles. */
void fetcher_destroy(struct fetcher **fetcher);

/* What can be said of a URL by looking at it. 0, or -1: url_forbidden, invalid_input. */
int fetcher_check(const struct fetcher *fetcher, const char *url, struct problem *problem);

/* Starts a fetch, or lets it wait for its turn. URL, caller and events must live as long as it
 * does. NULL: out of memory. */
struct fetch *fetch_start(struct fetcher *fetcher, const char *url, const char *caller,
                          const struct fetch_events *events, void *opaque);
/* Bytes are welcome again; not from within `data`. `data` may be called before this returns. */
void fetch_resume(struct fetch *fetch);
/* Ends it at once, without another call; not from within `data` or `announced`. Clears the
 * pointer; NULL is allowed. */
void fetch_cancel(struct fetch **fetch);

#endif
