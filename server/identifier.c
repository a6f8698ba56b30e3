/*
 * Identifiers from getrandom(2): it needs no descriptor and can't fail once the kernel has
 * entropy, which it has long before a service starts.
 */
#include "server/identifier.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void identifier_make(char identifier[IDENTIFIER_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char bytes[(IDENTIFIER_SIZE - 1) / 2];
    size_t filled = 0;
    while (filled < sizeof(bytes)) {
        ssize_t count = getrandom(bytes + filled, sizeof(bytes) - filled, 0);
        if (count < 0 && errno != EINTR)
            abort(); /* a guessable id would be worse than none */
        if (count > 0)
            filled += (size_t)count;
    }
    for (size_t i = 0; i < sizeof(bytes); i++) {
        identifier[2 * i] = digits[bytes[i] >> 4];
        identifier[2 * i + 1] = digits[bytes[i] & 15];
    }
    identifier[IDENTIFIER_SIZE - 1] = '\0';
}

bool identifier_valid(const char *text)
{
    size_t length = strspn(text, "0123456789abcdef");
    return length == IDENTIFIER_SIZE - 1 && text[length] == '\0';
}
