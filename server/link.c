/*
 * The key file is made under another name and renamed, so that it is whole or not there.
 */
#include "server/link.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEY_NAME "link.key"

static int read_key(struct link_key *key, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    ssize_t count = read(fd, key->bytes, sizeof(key->bytes));
    int status = count < 0 ? -errno : 0;
    close(fd);
    if (status == 0 && count != (ssize_t)sizeof(key->bytes))
        status = -EINVAL;
    return status;
}

static int write_key(const struct link_key *key, const char *path)
{
    char fresh[PATH_MAX];
    int length = snprintf(fresh, sizeof(fresh), "%s.new", path);
    if (length < 0 || (size_t)length >= sizeof(fresh))
        return -ENAMETOOLONG;
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    ssize_t count = write(fd, key->bytes, sizeof(key->bytes));
    int status = count == (ssize_t)sizeof(key->bytes) ? 0 : -EIO;
    if (status == 0 && fsync(fd) < 0)
        status = -errno;
    if (close(fd) < 0 && status == 0)
        status = -errno;
    if (status == 0 && rename(fresh, path) < 0)
        status = -errno;
    return status;
}

int link_key_load(struct link_key *key, const char *folder)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof(path), "%s/" KEY_NAME, folder);
    if (length < 0 || (size_t)length >= sizeof(path))
        return -ENAMETOOLONG;
    int status = read_key(key, path);
    if (status != -ENOENT)
        return status;
    if (RAND_bytes(key->bytes, sizeof(key->bytes)) != 1)
        return -EIO;
    return write_key(key, path);
}

void link_sign(const struct link_key *key, const char *job, int output,
               char signature[LINK_SIGNATURE_SIZE])
{
    unsigned char hash[EVP_MAX_MD_SIZE] = {0};
    unsigned size = 0;
    char text[128];
    int length = snprintf(text, sizeof(text), "result/%s/%d", job, output);
    if (!HMAC(EVP_sha256(), key->bytes, sizeof(key->bytes), (const unsigned char *)text,
              (size_t)length, hash, &size))
        abort(); /* nothing signed with zeros may pass */
    for (size_t i = 0; i < (LINK_SIGNATURE_SIZE - 1) / 2; i++)
        (void)snprintf(signature + 2 * i, 3, "%02x", hash[i]);
}

bool link_verify(const struct link_key *key, const char *job, int output, const char *signature)
{
    char right[LINK_SIGNATURE_SIZE];
    if (!signature || strlen(signature) != LINK_SIGNATURE_SIZE - 1)
        return false;
    link_sign(key, job, output, right);
    return CRYPTO_memcmp(signature, right, LINK_SIGNATURE_SIZE - 1) == 0;
}
