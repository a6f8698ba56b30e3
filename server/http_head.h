/*
 * The head of an HTTP/1.1 answer, made in a buffer of its own and written at once.
 *
 *     struct http_head head;
 *     http_head_begin(&head, 200);
 *     http_head_add(&head, "Content-Type", "%s", mime);
 *     if (http_head_write(&head, wsi) < 0) …
 *
 * Every answer has Date and X-Content-Type-Options: nosniff. A value with a control character in
 * it is not added: nobody splits an answer.
 */
#ifndef LUMA_SERVER_HTTP_HEAD_H
#define LUMA_SERVER_HTTP_HEAD_H

#include <libwebsockets.h>
#include <stdbool.h>
#include <stddef.h>

#define HTTP_HEAD_MAX 4096

struct http_head {
    unsigned char text[LWS_PRE + HTTP_HEAD_MAX];
    size_t size; /* without LWS_PRE */
    bool full;   /* something didn't fit: it can't be written */
};

void http_head_begin(struct http_head *head, int status);
void http_head_add(struct http_head *head, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Content-Disposition with a client's or script's name, whatever is in it (RFC 6266): to be shown
 * where a browser can, or to be saved. */
void http_head_add_disposition(struct http_head *head, bool show, const char *name);
/* 0, or -1: the connection must be closed. */
int http_head_write(struct http_head *head, struct lws *wsi);

#endif
