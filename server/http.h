/*
 * HTTP/1.1 on both ports: what is asked for, and short answers. Results, which are long, are
 * http_result.c's.
 *
 * On the main port every request is held to the Host rule first. Pages of LUMA_ALLOWED_ORIGINS may
 * read the answers (CORS); an answer to HEAD is that to GET without its body.
 */
#ifndef LUMA_SERVER_HTTP_H
#define LUMA_SERVER_HTTP_H

#include <libwebsockets.h>
#include <stddef.h>

struct http_transfer;
struct server;

enum http_port { HTTP_MAIN, HTTP_HEALTH };

/* What is being answered on a connection; zeroed at its start. */
struct http_exchange {
    unsigned char *body; /* a short answer, with LWS_PRE before it; NULL: none */
    size_t size;
    struct http_transfer *transfer; /* a result; NULL: none */
};

/* libwebsockets' events of a connection that isn't a WebSocket. The results are the callback's. */
int http_request(struct server *server, struct lws *wsi, struct http_exchange *exchange,
                 enum http_port port, const char *path);
int http_writable(struct lws *wsi, struct http_exchange *exchange);
/* The connection goes away, or is used for something else. */
void http_closed(struct http_exchange *exchange);

#endif
