/*
 * A stack of free buffers. Loop thread only.
 */
#include "server/buffer.h"

#include <stdlib.h>

#define KEPT_MAX 8

static unsigned char *kept[KEPT_MAX];
static int kept_count;

unsigned char *buffer_take(void)
{
    if (kept_count > 0)
        return kept[--kept_count];
    unsigned char *start = malloc(BUFFER_ROOM + BUFFER_SIZE);
    return start ? start + BUFFER_ROOM : NULL;
}

void buffer_give(unsigned char *payload)
{
    if (!payload)
        return;
    if (kept_count < KEPT_MAX) {
        kept[kept_count++] = payload;
    } else {
        free(payload - BUFFER_ROOM);
    }
}

void buffer_finish(void)
{
    while (kept_count > 0)
        free(kept[--kept_count] - BUFFER_ROOM);
}
