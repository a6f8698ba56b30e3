/*
 * Conditions and ranges of a request (RFC 9110, sections 13 and 14): pure functions on header
 * texts.
 */
#ifndef LUMA_SERVER_HTTP_RANGE_H
#define LUMA_SERVER_HTTP_RANGE_H

#include <stdbool.h>
#include <stdint.h>

enum http_range {
    RANGE_WHOLE,   /* no range, one that isn't understood, or several: the whole is sent */
    RANGE_PART,    /* *from up to, without, *end */
    RANGE_NOWHERE, /* none of it is there */
};

/* Reads a Range header for a thing of so many bytes. */
enum http_range http_range_parse(const char *range, int64_t size, int64_t *from, int64_t *end);

/* Whether a list of entity tags (If-None-Match) has this one, which is given in its quotes, or is
 * "*". Weak tags match too. */
bool http_tags_have(const char *list, const char *tag);

#endif
