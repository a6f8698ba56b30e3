/*
 * The hashes of a job's outputs, taken on a thread of their own while the outputs are described,
 * and on another thread the files' way to the disk: each of the three takes as long as copying a
 * few megabytes does, and none needs the others. When a hash can be taken, its file is on the disk.
 *
 * The threads start with the first file and end when hash_ahead_take() has been called for the
 * first time and all files are done. One thread gives and takes.
 */
#ifndef LUMA_SERVER_WORKER_HASH_H
#define LUMA_SERVER_WORKER_HASH_H

#include <stdint.h>

#include "server/hash.h"

struct hash_ahead;

/* NULL: out of memory. */
struct hash_ahead *hash_ahead_create(void);
/* Waits for the threads. */
void hash_ahead_destroy(struct hash_ahead **ahead);

/* Queues a file, whose number is its key. 0, or -errno if there is no memory or no thread. */
int hash_ahead_add(struct hash_ahead *ahead, int number, const char *path);
/* What hash_file() found for a number, or why the file isn't on the disk: 0 or -errno; -ENOENT for
 * one that was never added. Nothing is added after the first call. */
int hash_ahead_take(struct hash_ahead *ahead, int number, char text[HASH_TEXT_SIZE], int64_t *size);

#endif
