/*
 * What a client's text message asks for: one handler a type. A handler answers, or sets a problem;
 * messages that need the scripts wait for them (session->deferred).
 */
#ifndef LUMA_SERVER_REQUEST_H
#define LUMA_SERVER_REQUEST_H

#include <stddef.h>

struct server;
struct session;

/* A whole text message. */
void request_receive(struct session *session, const char *text, size_t size);
/* The scripts have been read: what waited for them goes on. */
void request_resume(struct server *server);

#endif
