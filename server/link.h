/*
 * Links to results that carry their own permission: whoever has one may read that output, as long
 * as it is there.
 *
 * The permission is an HMAC-SHA256 over job and output, cut to 128 bits, under a key that is made
 * at the first start and kept in the state folder, so that links survive a restart.
 */
#ifndef LUMA_SERVER_LINK_H
#define LUMA_SERVER_LINK_H

#include <stdbool.h>

#define LINK_KEY_SIZE       32
#define LINK_SIGNATURE_SIZE 33 /* 32 hex digits and the terminating zero */

struct link_key {
    unsigned char bytes[LINK_KEY_SIZE];
};

/* Reads the folder's key, or makes one. 0 or -errno. */
int link_key_load(struct link_key *key, const char *folder);

void link_sign(const struct link_key *key, const char *job, int output,
               char signature[LINK_SIGNATURE_SIZE]);
/* In constant time; false for NULL too. */
bool link_verify(const struct link_key *key, const char *job, int output, const char *signature);

#endif
