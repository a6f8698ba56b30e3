/*
 * The sockets: libwebsockets on the server's loop, for the main port and for health. Who may
 * connect is decided here, in the handshake: path, subprotocol, Host, Origin, token, and how many
 * there are already.
 */
#ifndef LUMA_SERVER_LISTEN_H
#define LUMA_SERVER_LISTEN_H

#include "server/config.h"

struct listener;
struct server;

/* Opens both ports. 0, or -1 with the error. */
int listener_create(struct listener **listener, struct server *server, struct config_error *error);
/* Closes the ports and every connection; the loop must run on until listener_closed(). */
void listener_destroy(struct listener *listener);
/* Frees what is left after the loop has ended. */
void listener_finish(struct listener **listener);
int listener_port(const struct listener *listener);
int listener_health_port(const struct listener *listener);

#endif
