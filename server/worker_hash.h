/*
 * The hashes of a job's outputs, taken on a thread of their own while the outputs are described:
 * each of the two takes as long as copying a few megabytes does, and neither needs the other. When
 * a hash can be taken, its file is on the disk.
 *
 * The thread starts with the first file and ends when hash_ahead_take() has been called for the
 * first time and all files are done. One thread gives and takes.
 */
#ifndef LUMA_SERVER_WORKER_HASH_H
#define LUMA_SERVER_WORKER_HASH_H

#include <stdint.h>

#include "server/hash.h"

struct hash_ahead;

/* NULL: out of memory. */
struct hash_ahead *hash_ahead_create(void);
/* Waits for the thread. */
void hash_ahead_destroy(struct hash_ahead **ahead);

/* Queues a file, whose number is its key. 0, or -errno if there is no memory or no thread. */
int hash_ahead_add(struct hash_ahead *ahead, int number, const char *path);
/* What hash_file() found for a number: 0 or -errno; -ENOENT for one that was never added. Nothing
 * is added after the first call. */
int hash_ahead_take(struct hash_ahead *ahead, int number, char text[HASH_TEXT_SIZE], int64_t *size);

#endif
