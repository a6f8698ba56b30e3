/*
 * Watches the loop: how late it comes to a timer is how long something kept it busy.
 */
#ifndef LUMA_SERVER_LOOP_WATCH_H
#define LUMA_SERVER_LOOP_WATCH_H

#include <stdint.h>
#include <uv.h>

struct metrics;

struct loop_watch {
    uv_timer_t timer;
    uint64_t due; /* uv_hrtime() */
    struct metrics *metrics;
};

/* The metrics must live as long as the watch runs. */
void loop_watch_start(struct loop_watch *watch, uv_loop_t *loop, struct metrics *metrics);
/* Closes its handle; the watch must live until the loop has done so. */
void loop_watch_close(struct loop_watch *watch);

#endif
