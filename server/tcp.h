/*
 * What the kernel counts of a TCP connection. Apart, because the kernel's own header, which knows
 * this counter, and the C library's, which libuv includes, define the same names.
 */
#ifndef LUMA_SERVER_TCP_H
#define LUMA_SERVER_TCP_H

#include <stdint.h>

/* Bytes that came and were read, or negative where the kernel doesn't tell. */
int64_t tcp_bytes_read(int fd);

#endif
