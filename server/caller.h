/*
 * Who is who: tokens, and the addresses of proxies that are believed.
 *
 * Tokens are kept as SHA-256 hashes and compared in constant time.
 */
#ifndef LUMA_SERVER_CALLER_H
#define LUMA_SERVER_CALLER_H

#include <stdbool.h>
#include <stddef.h>

#include "server/config.h"

struct caller_token;

struct callers {
    struct caller_token *tokens;
    size_t count;
};

/* Reads LUMA_TOKENS and LUMA_TOKENS_FILE. 0, or -1 with the error. */
int callers_init(struct callers *callers, const struct config *config, struct config_error *error);
void callers_finish(struct callers *callers);
/* Whether a token is required. */
bool callers_required(const struct callers *callers);
/* The name that belongs to the token, or NULL. */
const char *callers_find(const struct callers *callers, const char *token);

/* Whether an item of a comma-separated list is the text, letters compared without case. */
bool caller_list_has(const char *list, const char *item);

#endif
