/*
 * Ranges and the list of exceptions. IPv4 names what is refused, IPv6 what is allowed (the global
 * unicast range) and what is refused of that. The ranges are those of the special-purpose address
 * registries (RFC 6890 and what it was extended by), and one address that a cloud gives its own
 * services.
 */
#include "server/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct network {
    int family;
    unsigned char bytes[16];
    unsigned bits;
};

/* An entry of the list: a network, or a host on a port. */
struct exception {
    struct network network; /* family AF_UNSPEC: it is a host */
    char host[ADDRESS_HOST_MAX];
    uint16_t port;
};

struct address_rules {
    size_t count, network_count;
    struct exception exceptions[];
};

struct range4 {
    unsigned char bytes[4];
    unsigned bits;
};

struct range6 {
    unsigned char bytes[16];
    unsigned bits;
};

static const struct range4 refused4[] = {
    {{0}, 8},                 /* this network */
    {{10}, 8},                /* private */
    {{100, 64}, 10},          /* shared by carriers */
    {{127}, 8},               /* loopback */
    {{168, 63, 129, 16}, 32}, /* Azure's own services */
    {{169, 254}, 16},         /* link-local; metadata of clouds */
    {{172, 16}, 12},          /* private */
    {{192, 0, 0}, 24},        /* protocol assignments */
    {{192, 0, 2}, 24},        /* documentation */
    {{192, 31, 196}, 24},     /* AS112 */
    {{192, 52, 193}, 24},     /* AMT relays */
    {{192, 88, 99}, 24},      /* 6to4 relays */
    {{192, 168}, 16},         /* private */
    {{192, 175, 48}, 24},     /* AS112 */
    {{198, 18}, 15},          /* benchmarks */
    {{198, 51, 100}, 24},     /* documentation */
    {{203, 0, 113}, 24},      /* documentation */
    {{224}, 4},               /* multicast */
    {{240}, 4},               /* reserved; broadcast */
};

static const struct range6 global6 = {{0x20}, 3};

/* Of the global ones. */
static const struct range6 refused6[] = {
    {{0x20, 0x01}, 23},                         /* protocol assignments; Teredo */
    {{0x20, 0x01, 0x0d, 0xb8}, 32},             /* documentation */
    {{0x20, 0x02}, 16},                         /* 6to4 */
    {{0x26, 0x20, 0x00, 0x4f, 0x80, 0x00}, 48}, /* AS112 */
    {{0x3f, 0xff}, 20},                         /* documentation */
};

static bool prefix_equal(const unsigned char *a, const unsigned char *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    if (memcmp(a, b, whole) != 0)
        return false;
    return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

/* The bytes of an IPv4 or IPv6 address in network order, NULL for any other family. */
static const unsigned char *bytes_of(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *four = (const void *)address;
        return (const unsigned char *)&four->sin_addr;
    }
    if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const void *)address;
        return (const unsigned char *)&six->sin6_addr;
    }
    return NULL;
}

static bool public4(const unsigned char *bytes)
{
    for (size_t i = 0; i < sizeof(refused4) / sizeof(refused4[0]); i++) {
        if (prefix_equal(bytes, refused4[i].bytes, refused4[i].bits))
            return false;
    }
    return true;
}

static bool public6(const unsigned char *bytes)
{
    if (!prefix_equal(bytes, global6.bytes, global6.bits))
        return false;
    for (size_t i = 0; i < sizeof(refused6) / sizeof(refused6[0]); i++) {
        if (prefix_equal(bytes, refused6[i].bytes, refused6[i].bits))
            return false;
    }
    return true;
}

bool address_public(const struct sockaddr *address)
{
    const unsigned char *bytes = bytes_of(address);
    if (!bytes)
        return false;
    return address->sa_family == AF_INET ? public4(bytes) : public6(bytes);
}

bool address_own(const struct sockaddr *address)
{
    const unsigned char *bytes = bytes_of(address);
    struct ifaddrs *list;
    if (!bytes || getifaddrs(&list) < 0)
        return true;
    size_t size = address->sa_family == AF_INET ? 4 : 16;
    bool own = false;
    for (const struct ifaddrs *entry = list; entry && !own; entry = entry->ifa_next) {
        if (entry->ifa_addr && entry->ifa_addr->sa_family == address->sa_family)
            own = memcmp(bytes_of(entry->ifa_addr), bytes, size) == 0;
    }
    freeifaddrs(list);
    return own;
}

bool address_parse(const char *text, struct sockaddr_storage *address)
{
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    memset(address, 0, sizeof(*address));
    if (inet_pton(AF_INET, text, &four.sin_addr) == 1) {
        memcpy(address, &four, sizeof(four));
        return true;
    }
    if (inet_pton(AF_INET6, text, &six.sin6_addr) == 1) {
        memcpy(address, &six, sizeof(six));
        return true;
    }
    return false;
}

/* ---- the list ---- */

/* One way to write a host: addresses in their usual form, names in lower case without the dot at
 * the end. False if it doesn't fit, or is empty. */
static bool host_normalise(const char *text, size_t length, char host[ADDRESS_HOST_MAX])
{
    if (length > 2 && text[0] == '[' && text[length - 1] == ']') {
        text++;
        length -= 2;
    }
    if (length > 1 && text[length - 1] == '.')
        length--;
    if (length == 0 || length >= ADDRESS_HOST_MAX)
        return false;
    for (size_t i = 0; i < length; i++)
        host[i] = (char)tolower((unsigned char)text[i]);
    host[length] = '\0';
    struct sockaddr_storage address;
    if (address_parse(host, &address)) {
        (void)inet_ntop(address.ss_family, bytes_of((struct sockaddr *)&address), host,
                        ADDRESS_HOST_MAX);
    }
    return true;
}

/* All of the text, a decimal number up to `max`. */
static bool parse_number(const char *text, unsigned long max, unsigned long *number)
{
    char *end;
    if (!isdigit((unsigned char)*text))
        return false;
    errno = 0;
    *number = strtoul(text, &end, 10);
    return errno == 0 && *end == '\0' && *number <= max;
}

/* 10.0.0.0/8, fd00::/8, or one address. */
static bool parse_network(const char *text, struct network *network)
{
    char copy[INET6_ADDRSTRLEN + 1];
    size_t length = strcspn(text, "/");
    struct sockaddr_storage address;
    if (length >= sizeof(copy))
        return false;
    memcpy(copy, text, length);
    copy[length] = '\0';
    if (!address_parse(copy, &address))
        return false;
    unsigned long most = address.ss_family == AF_INET ? 32 : 128, bits = most;
    if (text[length] == '/' && !parse_number(text + length + 1, most, &bits))
        return false;
    network->family = address.ss_family;
    network->bits = (unsigned)bits;
    memcpy(network->bytes, bytes_of((struct sockaddr *)&address), most / 8);
    return true;
}

static bool parse_exception(const char *text, struct exception *exception)
{
    if (parse_network(text, &exception->network))
        return true;
    const char *colon = strrchr(text, ':');
    unsigned long port;
    if (!colon || !parse_number(colon + 1, UINT16_MAX, &port) || port == 0)
        return false;
    size_t length = (size_t)(colon - text);
    if (strcspn(text, "/@ ") < length || (text[0] != '[' && strcspn(text, ":") < length))
        return false;
    exception->port = (uint16_t)port;
    return host_normalise(text, length, exception->host);
}

/* Cuts surrounding blanks off, in place. */
static char *trimmed(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t length = strlen(text);
    while (length > 0 && isspace((unsigned char)text[length - 1]))
        text[--length] = '\0';
    return text;
}

int address_rules_create(struct address_rules **rules, const char *allow, char *bad, size_t size)
{
    size_t most = 1;
    for (const char *c = allow; *c; c++)
        most += *c == ',';
    struct address_rules *made = calloc(1, sizeof(*made) + most * sizeof(made->exceptions[0]));
    char *copy = strdup(allow);
    int status = made && copy ? 0 : -ENOMEM;
    char *rest = copy;
    while (status == 0 && rest) {
        const char *entry = trimmed(strsep(&rest, ","));
        if (!*entry)
            continue;
        struct exception *exception = &made->exceptions[made->count];
        if (parse_exception(entry, exception)) {
            made->network_count += exception->network.family != AF_UNSPEC;
            made->count++;
        } else {
            (void)snprintf(bad, size, "%s", entry);
            status = -EINVAL;
        }
    }
    free(copy);
    if (status < 0) {
        free(made);
        return status;
    }
    *rules = made;
    return 0;
}

void address_rules_destroy(struct address_rules **rules)
{
    free(*rules);
    *rules = NULL;
}

/* ---- judging ---- */

static bool in_network(const struct address_rules *rules, const struct sockaddr *address)
{
    const unsigned char *bytes = bytes_of(address);
    for (size_t i = 0; bytes && i < rules->count; i++) {
        const struct network *network = &rules->exceptions[i].network;
        if (network->family == address->sa_family &&
            prefix_equal(bytes, network->bytes, network->bits))
            return true;
    }
    return false;
}

static bool is_named(const struct address_rules *rules, const char *host, uint16_t port)
{
    char normal[ADDRESS_HOST_MAX];
    if (!host_normalise(host, strlen(host), normal))
        return false;
    for (size_t i = 0; i < rules->count; i++) {
        const struct exception *exception = &rules->exceptions[i];
        if (exception->network.family == AF_UNSPEC && exception->port == port &&
            strcmp(exception->host, normal) == 0)
            return true;
    }
    return false;
}

static bool web_port(uint16_t port)
{
    return port == 80 || port == 443;
}

bool address_allowed(const struct address_rules *rules, const char *host,
                     const struct sockaddr *address, uint16_t port)
{
    if (!bytes_of(address))
        return false;
    if (in_network(rules, address) || is_named(rules, host, port))
        return true;
    return web_port(port) && address_public(address) && !address_own(address);
}

/* localhost and everything below it are this host, by RFC 6761; nobody needs to look them up. */
static bool is_localhost(const char *normal)
{
    static const char name[] = "localhost";
    size_t length = strlen(normal), end = sizeof(name) - 1;
    return length >= end && strcmp(normal + length - end, name) == 0 &&
           (length == end || normal[length - end - 1] == '.');
}

static bool text_allowed(const struct address_rules *rules, const char *host, const char *text,
                         uint16_t port)
{
    struct sockaddr_storage address;
    return address_parse(text, &address) &&
           address_allowed(rules, host, (struct sockaddr *)&address, port);
}

bool address_host_possible(const struct address_rules *rules, const char *host, uint16_t port,
                           bool *port_refused)
{
    struct sockaddr_storage address;
    char normal[ADDRESS_HOST_MAX];
    *port_refused = false;
    if (!host_normalise(host, strlen(host), normal))
        return false;
    if (is_localhost(normal)) {
        return text_allowed(rules, host, "127.0.0.1", port) ||
               text_allowed(rules, host, "::1", port);
    }
    if (!address_parse(normal, &address)) {
        *port_refused =
            !web_port(port) && rules->network_count == 0 && !is_named(rules, host, port);
        return !*port_refused;
    }
    if (text_allowed(rules, host, normal, port))
        return true;
    *port_refused = !web_port(port) && address_public((struct sockaddr *)&address) &&
                    !address_own((struct sockaddr *)&address);
    return false;
}
