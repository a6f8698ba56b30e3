/*
 * Between fetch.c (whose turn it is), fetch_transfer.c (one transfer and its rules) and
 * fetch_loop.c (libcurl on the loop).
 */
#ifndef LUMA_SERVER_FETCH_INTERNAL_H
#define LUMA_SERVER_FETCH_INTERNAL_H

#include <curl/curl.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "server/fetch.h"
#include "server/fetch_url.h"
#include "server/table.h"

struct fetch_loop;

/* A caller with fetches. */
struct fetch_caller {
    TAILQ_ENTRY(fetch_caller) link; /* in fetcher->callers: the next turn is the first one's */
    char *name;
    int count, active; /* fetches; of those, the ones that don't wait */
    TAILQ_HEAD(, fetch) waiting;
};

struct fetcher {
    uv_loop_t *loop;
    struct fetch_loop *curl;
    struct address_rules *rules;
    int64_t max_bytes;
    int64_t timeout, stall_timeout; /* milliseconds */
    int active;
    TAILQ_HEAD(, fetch) broken;    /* failed where nobody may be called; their end is near */
    TAILQ_HEAD(, fetch) abandoned; /* cancelled while a name is looked up */
    TAILQ_HEAD(, fetch_caller) callers;
    struct table callers_by_name;
    uv_timer_t turn; /* gives out turns, never from within a caller's call */
};

struct fetch {
    TAILQ_ENTRY(fetch) link; /* in its caller's waiting list until it is active */
    struct fetcher *fetcher;
    struct fetch_caller *caller;
    const char *text; /* the URL as it was given */
    const struct fetch_events *events;
    void *opaque;
    bool active, paused;
    bool broken, abandoned; /* in that list of the fetcher's, by link */
    struct problem problem; /* why it fails */

    CURL *easy;
    struct fetch_url url;
    uint64_t deadline; /* loop time */
    int redirects;
    int64_t received;
    /* Of the present request. */
    size_t header_bytes;
    bool body_begun;
    bool resolved;   /* an address is known */
    bool connecting; /* a socket was made for it */
    bool forbidden;  /* an address was refused */
};

/* fetch.c: it is over, with fetch->problem or without; the fetch is gone afterwards. */
void fetch_end(struct fetch *fetch);
/* The same, as soon as the loop comes round. */
void fetch_end_soon(struct fetch *fetch);

/* fetch_transfer.c */
/* Its turn has come. 0, or -1 with fetch->problem. */
int fetch_transfer_begin(struct fetch *fetch);
/* libcurl is done with it, one way or the other: the next request, or the end. */
void fetch_transfer_over(struct fetch *fetch, CURLcode result);

/* fetch_loop.c: transfers whose CURLOPT_PRIVATE is their fetch, until fetch_transfer_over(). */
int fetch_loop_create(struct fetch_loop **curl, uv_loop_t *loop);
void fetch_loop_destroy(struct fetch_loop **curl);
int fetch_loop_add(struct fetch_loop *curl, CURL *easy);
void fetch_loop_remove(struct fetch_loop *curl, CURL *easy);

#endif
