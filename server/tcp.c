/*
 * TCP_INFO has tcpi_bytes_received since Linux 4.1.
 */
#include "server/tcp.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

int64_t tcp_bytes_read(int fd)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof(info);
    int unread = 0;
    size_t needed = offsetof(struct tcp_info, tcpi_bytes_received) + sizeof(uint64_t);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0 || size < needed ||
        ioctl(fd, FIONREAD, &unread) < 0)
        return -1;
    return (int64_t)info.tcpi_bytes_received - unread;
}
