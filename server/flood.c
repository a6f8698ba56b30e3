/*
 * Every connection is looked at about once a second, a part of them at each tick, so that
 * thousands of idle ones don't make a pause.
 */
#include "server/flood.h"

#include <sys/socket.h>

#include "server/tcp.h"

#define TICK_MS         200
#define TICKS_A_ROUND   5
#define FRAME_HEADER    14  /* RFC 6455, 5.2: at most */
#define TLS_RECORDS     128 /* two records around a header and a payload */
#define TLS_SHARE       64  /* and one byte in so many, for the records of a long payload */
#define EXCESS_A_SECOND (128 * 1024)
#define EXCESS_AT_ONCE  (256 * 1024) /* a handshake, what is cached while input is paused */

/* Whether there was too much since the last look. */
static bool look(struct flood *flood, uint64_t now)
{
    int64_t read = tcp_bytes_read(flood->fd);
    if (read < 0)
        return false;
    int64_t excess = read - flood->explained;
    int64_t allowed = EXCESS_AT_ONCE + (int64_t)(now - flood->looked) * EXCESS_A_SECOND / 1000;
    bool flooded = excess - flood->excess > allowed;
    flood->excess = excess;
    flood->looked = now;
    return flooded;
}

static void on_tick(uv_timer_t *timer)
{
    struct flood_watch *watch = timer->data;
    uint64_t now = uv_now(timer->loop);
    for (int i = watch->count / TICKS_A_ROUND; i >= 0; i--) {
        struct flood *flood = TAILQ_FIRST(&watch->floods);
        TAILQ_REMOVE(&watch->floods, flood, link);
        TAILQ_INSERT_TAIL(&watch->floods, flood, link);
        if (!look(flood, now))
            continue;
        if (flood->told) {
            (void)shutdown(flood->fd, SHUT_RDWR); /* it doesn't wait for the end of its close */
        } else {
            flood->told = true;
            watch->flooded(flood->opaque);
        }
    }
}

void flood_watch_init(struct flood_watch *watch, uv_loop_t *loop, void (*flooded)(void *opaque))
{
    TAILQ_INIT(&watch->floods);
    watch->count = 0;
    watch->flooded = flooded;
    (void)uv_timer_init(loop, &watch->timer);
    watch->timer.data = watch;
}

void flood_watch_close(struct flood_watch *watch)
{
    uv_close((uv_handle_t *)&watch->timer, NULL);
}

void flood_add(struct flood_watch *watch, struct flood *flood, void *opaque, int fd, bool tls)
{
    *flood = (struct flood){
        .opaque = opaque,
        .fd = fd,
        .tls = tls,
        .looked = uv_now(watch->timer.loop),
    };
    TAILQ_INSERT_TAIL(&watch->floods, flood, link);
    if (watch->count++ == 0)
        (void)uv_timer_start(&watch->timer, on_tick, TICK_MS, TICK_MS);
}

void flood_remove(struct flood_watch *watch, struct flood *flood)
{
    if (!flood->opaque)
        return;
    flood->opaque = NULL;
    TAILQ_REMOVE(&watch->floods, flood, link);
    if (--watch->count == 0 && !uv_is_closing((uv_handle_t *)&watch->timer))
        (void)uv_timer_stop(&watch->timer);
}

void flood_received(struct flood *flood, size_t size)
{
    flood->explained += (int64_t)size + FRAME_HEADER;
    if (flood->tls)
        flood->explained += TLS_RECORDS + (int64_t)(size / TLS_SHARE);
}
