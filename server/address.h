/*
 * Which addresses the fetcher may connect to.
 *
 * The public internet on the ports of http and https, and what LUMA_FETCH_ALLOW names besides:
 *
 *     10.20.0.0/16        a network; every port of it
 *     192.168.1.7         one address; every port of it
 *     media.internal:8080 a host on one port, whatever address its name has
 *
 * Everything else is refused: private, reserved and shared ranges, multicast, documentation, the
 * forms of IPv6 that carry an IPv4 address (mapped, 6to4, NAT64, Teredo), and the addresses of this
 * very host. What is judged is the address that a connection is about to be made to, not the one
 * that a name had when somebody looked.
 *
 * Rules don't change once they are made; any thread may ask.
 */
#ifndef LUMA_SERVER_ADDRESS_H
#define LUMA_SERVER_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define ADDRESS_HOST_MAX 256

struct address_rules;

/* Reads a list such as LUMA_FETCH_ALLOW's. 0; -EINVAL, with the entry that is neither a network
 * nor host:port in `bad`; -ENOMEM. */
int address_rules_create(struct address_rules **rules, const char *allow, char *bad, size_t size);
void address_rules_destroy(struct address_rules **rules);

/* Whether the range that an address lies in may be reached by anybody; knows neither rules nor
 * this host. Families other than IPv4 and IPv6: false. */
bool address_public(const struct sockaddr *address);
/* Whether it is one of this host's own. True also where that can't be found out. */
bool address_own(const struct sockaddr *address);

/* Whether a URL's host (no brackets) may be connected to at this address and port. */
bool address_allowed(const struct address_rules *rules, const char *host,
                     const struct sockaddr *address, uint16_t port);
/* What can be said before anything is looked up: false if no address of the host could be allowed,
 * with whether it is the port that rules it out. */
bool address_host_possible(const struct address_rules *rules, const char *host, uint16_t port,
                           bool *port_refused);

/* The address that a text is, without brackets and scope; false if it isn't one. */
bool address_parse(const char *text, struct sockaddr_storage *address);

#endif
