/*
 * What the headers of a request say of who asks: for the handshake and for HTTP alike.
 */
#ifndef LUMA_SERVER_PEER_H
#define LUMA_SERVER_PEER_H

#include <libwebsockets.h>
#include <stdbool.h>
#include <stddef.h>

struct server;

/* A header's text; false, and an empty text, if it is absent or doesn't fit. */
bool peer_header(struct lws *wsi, enum lws_token_indexes token, char *text, size_t size);

/* The caller that a bearer token names (borrowed from the server's); "" for a wrong one, NULL
 * without one. */
const char *peer_caller(struct lws *wsi, const struct server *server);

/* An IPv4 address that came in the clothes of an IPv6 one loses them. */
void peer_plain_address(char *address);

/* The peer's address, or what a trusted proxy says it is: the last one that isn't a proxy's. */
void peer_address(struct lws *wsi, const struct server *server, char *address, size_t size);

/* Whether the Host header names this server. */
bool peer_host_allowed(struct lws *wsi, const struct server *server);

#endif
