/*
 * The timer is set anew each time: a repeating one would make up for its delays.
 */
#include "server/loop_watch.h"

#include "server/metrics.h"

#define EVERY_MS 250

static void on_timer(uv_timer_t *timer);

static void set(struct loop_watch *watch)
{
    uv_update_time(watch->timer.loop);
    watch->due = uv_hrtime() + EVERY_MS * UINT64_C(1000000);
    (void)uv_timer_start(&watch->timer, on_timer, EVERY_MS, 0);
}

static void on_timer(uv_timer_t *timer)
{
    struct loop_watch *watch = timer->data;
    uint64_t now = uv_hrtime();
    double late = now > watch->due ? (double)(now - watch->due) / 1e9 : 0;
    metrics_observe(watch->metrics, METRIC_LOOP_LAG, NULL, NULL, late);
    set(watch);
}

void loop_watch_start(struct loop_watch *watch, uv_loop_t *loop, struct metrics *metrics)
{
    watch->metrics = metrics;
    (void)uv_timer_init(loop, &watch->timer);
    uv_unref((uv_handle_t *)&watch->timer); /* it keeps no loop alive */
    watch->timer.data = watch;
    set(watch);
}

void loop_watch_close(struct loop_watch *watch)
{
    if (!uv_is_closing((uv_handle_t *)&watch->timer))
        uv_close((uv_handle_t *)&watch->timer, NULL);
}
