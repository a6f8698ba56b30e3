/*
 * Written here because it is thirty lines and libsystemd is a library more. A message that can't be
 * sent is dropped: the manager's own timeouts are the answer to that.
 */
#include "server/notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void send_state(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = path ? strlen(path) : 0;
    if (length < 2 || length >= sizeof(address.sun_path) || (*path != '/' && *path != '@'))
        return;
    memcpy(address.sun_path, path, length);
    if (*path == '@')
        address.sun_path[0] = '\0'; /* an abstract socket */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address, size);
    close(fd);
}

/* A loop that hangs is noticed after twice this time. */
static uint64_t watchdog_period(void)
{
    const char *period = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    if (!period || (pid && strtoll(pid, NULL, 10) != getpid()))
        return 0;
    long long microseconds = strtoll(period, NULL, 10);
    return microseconds >= 2000 ? (uint64_t)microseconds / 2000 : 0;
}

void notify_init(struct notifier *notifier, uv_loop_t *loop)
{
    (void)uv_timer_init(loop, &notifier->watchdog);
    notifier->period = watchdog_period();
}

static void on_watchdog(uv_timer_t *timer)
{
    (void)timer;
    send_state("WATCHDOG=1");
}

void notify_ready(struct notifier *notifier)
{
    send_state("READY=1");
    if (notifier->period)
        (void)uv_timer_start(&notifier->watchdog, on_watchdog, 0, notifier->period);
}

void notify_stopping(void)
{
    send_state("STOPPING=1");
}
