/*
 * Who may ask, by the headers of a request: Host against DNS rebinding, Origin against foreign web
 * pages.
 */
#ifndef LUMA_SERVER_ORIGIN_H
#define LUMA_SERVER_ORIGIN_H

#include <stdbool.h>

#include "server/config.h"

/* Whether a Host header names this server: LUMA_ALLOWED_HOSTS, or, where that is empty, anything
 * with tokens, else the bound address, localhost and loopback. Ports don't count. */
bool origin_host_allowed(const struct config *config, bool tokens, const char *host);
/* Whether a page of this origin may connect: that of the Host itself, or one that is listed. NULL
 * and empty: not a browser. */
bool origin_allowed(const struct config *config, const char *origin, const char *host);
/* Whether an address is one of this machine's loopback. */
bool origin_is_loopback(const char *address);
/* The name of a Host header without its port and brackets; false if it doesn't fit or is none. */
bool origin_host_name(const char *host, char *name, size_t size);

#endif
