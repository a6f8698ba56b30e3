/* SHA-256 of files; see hash.h. Reads in large pieces, past the page that stdio would copy. */
#include "server/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PIECE_SIZE ((size_t)256 * 1024)

void hash_warm(void)
{
    /* No configuration file: nothing outside of this program decides what a hash is. */
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_Digest("", 0, digest, NULL, EVP_sha256(), NULL);
}

static int file_digest(int fd, EVP_MD_CTX *context, int64_t *size)
{
    unsigned char *piece = malloc(PIECE_SIZE);
    if (!piece)
        return -ENOMEM;
    int status = 0;
    for (*size = 0;;) {
        ssize_t count = read(fd, piece, PIECE_SIZE);
        if (count == 0)
            break;
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0) {
            status = -errno;
            break;
        }
        if (!EVP_DigestUpdate(context, piece, (size_t)count)) {
            status = -ENOMEM;
            break;
        }
        *size += count;
    }
    free(piece);
    return status;
}

int hash_file(const char *path, char text[HASH_TEXT_SIZE], int64_t *size)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    int status = -ENOMEM;
    if (context && EVP_DigestInit_ex(context, EVP_sha256(), NULL))
        status = file_digest(fd, context, size);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int length = 0;
    if (status == 0 && !EVP_DigestFinal_ex(context, digest, &length))
        status = -ENOMEM;
    EVP_MD_CTX_free(context);
    close(fd);
    if (status < 0)
        return status;
    for (unsigned int i = 0; i < length; i++)
        snprintf(text + 2 * (size_t)i, 3, "%02x", digest[i]);
    return 0;
}
