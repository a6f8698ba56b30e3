/*
 * Pure functions on header texts.
 */
#include "server/origin.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "server/caller.h"

bool origin_host_name(const char *host, char *name, size_t size)
{
    size_t length;
    const char *start = host, *rest;
    if (*host == '[') {
        start++;
        length = strcspn(start, "]");
        rest = start + length;
        if (*rest != ']')
            return false;
        rest++;
    } else {
        length = strcspn(start, ":");
        rest = start + length;
    }
    if (length == 0 || length >= size || (*rest && *rest != ':'))
        return false;
    if (*rest == ':' && rest[1 + strspn(rest + 1, "0123456789")] != '\0')
        return false;
    memcpy(name, start, length);
    name[length] = '\0';
    return true;
}

bool origin_is_loopback(const char *address)
{
    if (strncmp(address, "::ffff:", 7) == 0)
        address += 7;
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0 ||
           strcasecmp(address, "localhost") == 0;
}

/* All of it an IPv4 address, so that 127.evil.example isn't taken for loopback. */
static bool is_address(const char *name)
{
    return name[strspn(name, "0123456789.")] == '\0' || strchr(name, ':');
}

bool origin_host_allowed(const struct config *config, bool tokens, const char *host)
{
    char name[256];
    if (!origin_host_name(host, name, sizeof(name)))
        return false;
    if (*config->allowed_hosts) {
        return caller_list_has(config->allowed_hosts, "*") ||
               caller_list_has(config->allowed_hosts, name) ||
               caller_list_has(config->allowed_hosts, host);
    }
    if (tokens || strcasecmp(name, config->host) == 0 || strcasecmp(name, "localhost") == 0)
        return true;
    return is_address(name) && origin_is_loopback(name);
}

bool origin_allowed(const struct config *config, const char *origin, const char *host)
{
    if (!origin || !*origin)
        return true;
    if (caller_list_has(config->allowed_origins, origin))
        return true;
    const char *scheme_end = strstr(origin, "://");
    if (!scheme_end)
        return false;
    size_t scheme = (size_t)(scheme_end - origin);
    bool web = (scheme == 4 && strncasecmp(origin, "http", 4) == 0) ||
               (scheme == 5 && strncasecmp(origin, "https", 5) == 0);
    return web && strcasecmp(scheme_end + 3, host) == 0;
}
