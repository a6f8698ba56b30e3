/*
 * What a service manager is told (systemd's sd_notify protocol, by datagrams to $NOTIFY_SOCKET):
 * that the server is ready, that it is stopping, and, where the manager watches it
 * ($WATCHDOG_USEC), that its loop still turns. Without a manager nothing is sent.
 */
#ifndef LUMA_SERVER_NOTIFY_H
#define LUMA_SERVER_NOTIFY_H

#include <stdint.h>
#include <uv.h>

struct notifier {
    uv_timer_t watchdog;
    uint64_t period; /* milliseconds; 0: nobody watches */
};

/* The timer is the caller's to close, as its other handles; its data is the caller's too. */
void notify_init(struct notifier *notifier, uv_loop_t *loop);
void notify_ready(struct notifier *notifier);
void notify_stopping(void);

#endif
