/*
 * SHA-256 of a file, by libcrypto (which has the processor's instructions for it).
 */
#ifndef LUMA_SERVER_HASH_H
#define LUMA_SERVER_HASH_H

#include <stdint.h>

#define HASH_TEXT_SIZE 65

/* Loads what libcrypto loads at its first use; optional, for a process that will be forked. */
void hash_warm(void);

/* The hash as 64 lower-case hex digits, and the size that was read. 0 or -errno. */
int hash_file(const char *path, char text[HASH_TEXT_SIZE], int64_t *size);

#endif
