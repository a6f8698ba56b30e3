/*
 * Between http.c (what is asked for, short answers) and http_result.c (results).
 */
#ifndef LUMA_SERVER_HTTP_INTERNAL_H
#define LUMA_SERVER_HTTP_INTERNAL_H

#include <stdbool.h>

#include "server/http.h"
#include "server/http_head.h"

struct http_call {
    struct server *server;
    struct lws *wsi;
    struct http_exchange *exchange;
    const char *path;
    bool head_only;
};

/* A whole answer; 0, or nonzero: the connection must be closed. */
int http_answer(const struct http_call *call, int status, const char *type, const char *body,
                size_t size);
/* The answer is a text for people. */
int http_refuse(const struct http_call *call, int status, const char *sentence);
/* The headers that let a listed origin's page read the answer. */
void http_add_origin(struct http_head *head, const struct http_call *call);
/* A head that is the whole answer. */
int http_answer_head(struct http_head *head, const struct http_call *call);

#endif
