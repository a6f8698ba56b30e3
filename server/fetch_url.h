/*
 * The URL of an input, read by libcurl's own parser and judged by what can be seen of it: http and
 * https only, no user or password in it, a host and a port that address.h lets through.
 *
 * Nothing of a URL is ever part of a message but its scheme and its port: a path or a query may be
 * a secret.
 */
#ifndef LUMA_SERVER_FETCH_URL_H
#define LUMA_SERVER_FETCH_URL_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/address.h"
#include "server/protocol.h"

#define FETCH_URL_MAX 8192

struct fetch_url {
    CURLU *parts; /* owned; NULL before the first fetch_url_set() */
    char host[ADDRESS_HOST_MAX];
    uint16_t port;
};

/* Reads and judges a URL; where the struct holds one already, a relative text is resolved against
 * it. 0, or -1 with url_forbidden, or with invalid_input for a text that is no URL. The struct
 * begins as zeros and needs fetch_url_finish() either way. */
int fetch_url_set(struct fetch_url *url, const char *text, const struct address_rules *rules,
                  struct problem *problem);
/* A name for what a URL leads to: the last part of its path. False if there is none. */
bool fetch_url_name(const char *text, char *name, size_t size);
void fetch_url_finish(struct fetch_url *url);

#endif
