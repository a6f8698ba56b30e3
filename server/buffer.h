/*
 * Buffers for bytes on their way between sockets and disk: all of one size, a few kept for the next
 * use, so that a busy server doesn't map and unmap memory for every frame.
 */
#ifndef LUMA_SERVER_BUFFER_H
#define LUMA_SERVER_BUFFER_H

#define BUFFER_SIZE (1024 * 1024)
/* As much of it is filled from a result at a time: that is what a slow reader costs. An upload
 * fills it whole, so that a busy machine's thread pool is waited for less often. */
#define BUFFER_CHUNK (256 * 1024)
/* Room before the payload, for the frame's header and libwebsockets' own. */
#define BUFFER_ROOM (8 * 1024)

/* The payload of a buffer, BUFFER_SIZE bytes with BUFFER_ROOM before them; NULL: out of memory. */
unsigned char *buffer_take(void);
/* NULL is allowed. */
void buffer_give(unsigned char *payload);
/* Frees those that are kept. */
void buffer_finish(void);

#endif
