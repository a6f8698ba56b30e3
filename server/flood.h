/*
 * Floods of what no callback tells of: libwebsockets answers pings itself, drops pongs and parses
 * endless frame headers, and says nothing. So what TCP has received is compared with what was
 * handed over, a few connections at a time; of one whose difference grows too fast the holder is
 * told, who ends it; if it is still at it a round later, its socket is shut down.
 */
#ifndef LUMA_SERVER_FLOOD_H
#define LUMA_SERVER_FLOOD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uv.h>

/* A connection's account; part of whatever holds the connection. */
struct flood {
    TAILQ_ENTRY(flood) link;
    void *opaque; /* the holder's, NULL: not watched */
    int fd;
    bool tls, told;
    int64_t explained; /* bytes, with what may have been around them */
    int64_t excess;    /* received beyond that, at the last look */
    uint64_t looked;   /* loop time of that */
};

struct flood_watch {
    TAILQ_HEAD(, flood) floods; /* the one to be looked at next is first */
    int count;
    uv_timer_t timer; /* runs while there are any */
    void (*flooded)(void *opaque);
};

void flood_watch_init(struct flood_watch *watch, uv_loop_t *loop, void (*flooded)(void *opaque));
/* Closes its handle; the watch must live until the loop has done so. */
void flood_watch_close(struct flood_watch *watch);

/* `opaque`, never NULL, is what `flooded` is called with. */
void flood_add(struct flood_watch *watch, struct flood *flood, void *opaque, int fd, bool tls);
void flood_remove(struct flood_watch *watch, struct flood *flood);
/* That many bytes of payload were handed over in one call. */
void flood_received(struct flood *flood, size_t size);

#endif
