/*
 * libwebsockets' contexts, vhosts and callbacks. Every callback comes on the loop's thread.
 *
 * Each port has a context of its own, and so its own room for requests whose headers are being
 * read: however full the main port is, health answers. There is one protocol on each. On the main
 * one it serves HTTP requests, and WebSockets whether or not the client named the subprotocol; what
 * the handshake refuses is refused in HTTP_CONFIRM_UPGRADE, where a status can still be sent.
 */
#include "server/listen.h"

#include <libwebsockets.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "server/admission.h"
#include "server/caller.h"
#include "server/crowd.h"
#include "server/flood.h"
#include "server/http.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/origin.h"
#include "server/peer.h"
#include "server/server.h"
#include "server/session.h"

#define HEADER_MAX     8192 /* all of a request's headers */
#define HEADER_POOL    512  /* requests whose headers are being read */
#define HANDSHAKE_S    10
#define KEEPALIVE_S    60     /* TCP's, against peers that vanish */
#define UNACKED_MS     120000 /* what was sent and nobody takes, not even the peer's system */
#define SOCKETS_SPARE  256    /* beside the WebSockets: HTTP, handshakes */
#define ADDRESS_SPARE  64     /* of an address: to tell those who are too many */
#define HEALTH_SOCKETS 64
#define WEBSOCKET_PATH "/ws"

/* User data of a connection: libwebsockets makes it, zeroed, for HTTP and WebSocket alike. */
struct connection {
    struct session *session; /* NULL unless it is a WebSocket */
    struct flood flood;
    struct http_exchange http;
};

/* One of them; its context's user data. */
struct port {
    struct listener *listener;
    enum http_port kind;
    struct lws_context *context;
    struct lws_vhost *vhost;
    int64_t sockets, sockets_max; /* open, of whatever kind */
};

struct listener {
    struct server *server;
    struct port main, health;
    struct flood_watch floods;
    struct crowd crowd; /* of the main port */
};

static struct port *port_of(struct lws *wsi)
{
    return lws_context_user(lws_get_context(wsi));
}

static struct server *server_of(struct lws *wsi)
{
    return port_of(wsi)->listener->server;
}

/* ---- the handshake ---- */

/* Whether a Sec-WebSocket-Protocol header offers ours; true without one. */
static bool subprotocol_offered(struct lws *wsi)
{
    char offered[512];
    if (lws_hdr_total_length(wsi, WSI_TOKEN_PROTOCOL) <= 0)
        return true;
    if (!peer_header(wsi, WSI_TOKEN_PROTOCOL, offered, sizeof(offered)))
        return false;
    char *rest = offered, *item;
    while ((item = strsep(&rest, ","))) {
        item += strspn(item, " \t");
        item[strcspn(item, " \t")] = '\0';
        if (strcmp(item, PROTOCOL_SUBPROTOCOL) == 0)
            return true;
    }
    return false;
}

/* Why an upgrade is refused. */
enum refusal {
    REFUSE_NOT,
    REFUSE_PATH,
    REFUSE_HOST,
    REFUSE_ORIGIN,
    REFUSE_SUBPROTOCOL,
    REFUSE_TOKEN,
    REFUSE_FULL,
    REFUSE_ADDRESS,
    REFUSE_BODY,
    REFUSE_RATE,
};

static const struct {
    const char *reason, *status, *header, *text;
} refusals[] = {
    [REFUSE_PATH] = {"path", "404 Not Found", "", "the WebSocket is at " WEBSOCKET_PATH "\n"},
    [REFUSE_HOST] = {"host", "403 Forbidden", "", "this host is not served\n"},
    [REFUSE_ORIGIN] = {"origin", "403 Forbidden", "", "this origin may not connect\n"},
    [REFUSE_SUBPROTOCOL] = {"subprotocol", "400 Bad Request", "",
                            "the subprotocol is " PROTOCOL_SUBPROTOCOL "\n"},
    [REFUSE_TOKEN] = {"token", "401 Unauthorized", "WWW-Authenticate: Bearer\r\n", "wrong token\n"},
    [REFUSE_FULL] = {"connections", "503 Service Unavailable", "Retry-After: 5\r\n",
                     "too many connections, or shutting down\n"},
    [REFUSE_ADDRESS] = {"connections", "429 Too Many Requests", "Retry-After: 5\r\n",
                        "too many connections from this address\n"},
    [REFUSE_BODY] = {"body", "413 Content Too Large", "", "no request here has a body\n"},
    [REFUSE_RATE] = {"rate_limited", "429 Too Many Requests", "Retry-After: 1\r\n",
                     "too many requests from this address\n"},
};

/* A body is neither read nor skipped: it might be endless, and what is behind it is not to be taken
 * for a request that a proxy has let through. */
static bool has_body(struct lws *wsi)
{
    char length[32];
    if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0)
        return true;
    return lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) > 0 &&
           (!peer_header(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH, length, sizeof(length)) ||
            length[strspn(length, "0")] != '\0');
}

static enum refusal upgrade_refusal(struct lws *wsi, const char *what)
{
    struct server *server = server_of(wsi);
    bool tokens = callers_required(&server->callers);
    char path[64], host[300], origin[300];
    if (has_body(wsi))
        return REFUSE_BODY;
    if (!peer_host_allowed(wsi, server) || !peer_header(wsi, WSI_TOKEN_HOST, host, sizeof(host)))
        return REFUSE_HOST;
    if (port_of(wsi)->kind != HTTP_MAIN || strcasecmp(what, "websocket") != 0 ||
        !peer_header(wsi, WSI_TOKEN_GET_URI, path, sizeof(path)) ||
        strcmp(path, WEBSOCKET_PATH) != 0)
        return REFUSE_PATH;
    bool has_origin = lws_hdr_total_length(wsi, WSI_TOKEN_ORIGIN) > 0;
    if (has_origin && (!peer_header(wsi, WSI_TOKEN_ORIGIN, origin, sizeof(origin)) ||
                       !origin_allowed(&server->config, origin, host)))
        return REFUSE_ORIGIN;
    if (!subprotocol_offered(wsi))
        return REFUSE_SUBPROTOCOL;
    const char *caller = tokens ? peer_caller(wsi, server) : NULL;
    if (caller && !*caller)
        return REFUSE_TOKEN;
    if (server->draining || server->session_count >= server->config.max_connections)
        return REFUSE_FULL;
    return REFUSE_NOT;
}

/* libwebsockets' own answer to an upgrade would be HTTP/1.0, which clients don't take: so it is
 * written by hand. 0 lets the connection go on, -1 closes after what was written. */
static int refuse(struct lws *wsi, enum refusal refusal)
{
    if (refusal == REFUSE_NOT)
        return 0;
    metrics_add(server_of(wsi)->metrics, METRIC_REJECTED, refusals[refusal].reason, NULL, 1);
    log_debug("refused", LOG_TEXT("reason", refusals[refusal].reason));
    unsigned char buffer[LWS_PRE + 512];
    int size = snprintf((char *)buffer + LWS_PRE, sizeof(buffer) - LWS_PRE,
                        "HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
                        "Content-Length: %zu\r\n%sConnection: close\r\n\r\n%s",
                        refusals[refusal].status, strlen(refusals[refusal].text),
                        refusals[refusal].header, refusals[refusal].text);
    (void)lws_write(wsi, buffer + LWS_PRE, (size_t)size, LWS_WRITE_HTTP_HEADERS);
    return -1;
}

static int sessions_from(const struct server *server, const char *address)
{
    int count = 0;
    const struct session *session;
    LIST_FOREACH(session, &server->sessions, link)
    {
        count += strcmp(session->address, address) == 0;
    }
    return count;
}

static void on_flood(void *opaque)
{
    struct session *session = opaque;
    struct problem problem = {0};
    problem_set(&problem, "rate_limited", "too many control frames");
    session_send_error(session, &problem, NULL, NULL);
    session_close(session, CLOSE_TOO_MANY, "too many control frames");
}

static int established(struct lws *wsi, struct connection *connection)
{
    struct server *server = server_of(wsi);
    char address[64];
    peer_address(wsi, server, address, sizeof(address));
    const char *caller = address;
    if (callers_required(&server->callers)) {
        caller = peer_caller(wsi, server);
        if (caller && !*caller)
            return -1;
    }
    int others = sessions_from(server, address);
    unsigned patience = UNACKED_MS;
    (void)setsockopt(lws_get_socket_fd(wsi), IPPROTO_TCP, TCP_USER_TIMEOUT, &patience,
                     sizeof(patience));
    if (session_established(server, wsi, &connection->session, caller, address) < 0)
        return -1;
    struct listener *listener = port_of(wsi)->listener;
    flood_add(&listener->floods, &connection->flood, connection->session, lws_get_socket_fd(wsi),
              *server->config.tls_cert);
    if (others >= server->config.connections_per_address) {
        metrics_add(server->metrics, METRIC_REJECTED, "connections", NULL, 1);
        session_close(connection->session, CLOSE_TOO_MANY, "too many connections");
    }
    return 0;
}

/* Whether a request may be made on this connection, of all those from its address. */
static enum refusal request_refusal(struct lws *wsi)
{
    struct server *server = server_of(wsi);
    const struct crowd_member *member = lws_get_opaque_user_data(wsi);
    if (has_body(wsi))
        return REFUSE_BODY;
    if (member && member->sockets > server->config.connections_per_address)
        return REFUSE_ADDRESS;
    if (port_of(wsi)->kind != HTTP_MAIN)
        return REFUSE_NOT;
    char address[64];
    peer_address(wsi, server, address, sizeof(address));
    return admission_request(server, address) ? REFUSE_NOT : REFUSE_RATE;
}

static int on_http_event(struct lws *wsi, enum lws_callback_reasons reason,
                         struct connection *connection, void *in)
{
    switch (reason) {
    case LWS_CALLBACK_HTTP:
        return refuse(wsi, request_refusal(wsi)) < 0
                   ? -1
                   : http_request(server_of(wsi), wsi, &connection->http, port_of(wsi)->kind, in);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return http_writable(wsi, &connection->http);
    case LWS_CALLBACK_CLOSED_HTTP:
    case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
        http_closed(&connection->http);
        return 0;
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return refuse(wsi, upgrade_refusal(wsi, in));
    default:
        return 0;
    }
}

/* ---- sockets ---- */

/* Of what is at the other end, as TCP knows it; false for a proxy, who brings many. */
static bool counted_address(const struct port *port, int fd, char *address, size_t size)
{
    (void)lws_get_peer_simple_fd(fd, address, size);
    peer_plain_address(address);
    return port->kind == HTTP_MAIN &&
           !caller_list_has(port->listener->server->config.trusted_proxies, address);
}

/* Whether a connection is closed before anything is read of it. */
static bool too_many(const struct port *port, int fd)
{
    char address[64];
    const struct listener *listener = port->listener;
    if (port->sockets >= port->sockets_max)
        return true;
    return counted_address(port, fd, address, sizeof(address)) &&
           crowd_count(&listener->crowd, address) >=
               listener->server->config.connections_per_address + ADDRESS_SPARE;
}

/* Keeps count. Every socket comes by here, once each way. */
static int on_socket(struct lws *wsi, enum lws_callback_reasons reason)
{
    char address[64];
    struct port *port = port_of(wsi);
    struct crowd *crowd = &port->listener->crowd;
    if (reason == LWS_CALLBACK_WSI_CREATE) {
        port->sockets++;
    } else if (reason == LWS_CALLBACK_WSI_DESTROY) {
        port->sockets--;
        crowd_leave(crowd, lws_get_opaque_user_data(wsi));
        lws_set_opaque_user_data(wsi, NULL);
    } else if (counted_address(port, lws_get_socket_fd(wsi), address, sizeof(address))) {
        lws_set_opaque_user_data(wsi, crowd_enter(crowd, address));
    }
    return 0;
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t size)
{
    if (reason == LWS_CALLBACK_FILTER_NETWORK_CONNECTION) /* `user` is none of ours here */
        return too_many(port_of(wsi), (int)(intptr_t)in);
    if (reason == LWS_CALLBACK_WSI_CREATE || reason == LWS_CALLBACK_WSI_DESTROY ||
        reason == LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED)
        return on_socket(wsi, reason);
    struct connection *connection = user;
    if (!connection) { /* of the vhost, or of a connection that has asked for nothing yet */
        bool upgrade = reason == LWS_CALLBACK_HTTP_CONFIRM_UPGRADE;
        return upgrade ? refuse(wsi, upgrade_refusal(wsi, in)) : 0;
    }
    struct session *session = connection->session;
    switch (reason) {
    case LWS_CALLBACK_ESTABLISHED:
        return established(wsi, connection);
    case LWS_CALLBACK_RECEIVE:
        flood_received(&connection->flood, size);
        return session ? session_receive(session, in, size) : -1;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return session ? session_writable(session) : -1;
    case LWS_CALLBACK_TIMER:
        return session ? session_timer(session) : 0;
    case LWS_CALLBACK_CLOSED:
        if (session) {
            flood_remove(&port_of(wsi)->listener->floods, &connection->flood);
            connection->session = NULL;
            session_closed(session);
        }
        return 0;
    default:
        return on_http_event(wsi, reason, connection, in);
    }
}

static const struct lws_protocols main_protocols[] = {
    {PROTOCOL_SUBPROTOCOL, on_event, sizeof(struct connection), SESSION_RECEIVE_MAX, 0, NULL,
     1024 * 1024},
    {NULL, NULL, 0, 0, 0, NULL, 0},
};
static const struct lws_protocols health_protocols[] = {
    {"http", on_event, sizeof(struct connection), 4096, 0, NULL, 0},
    {NULL, NULL, 0, 0, 0, NULL, 0},
};

/* ---- opening and closing ---- */

static bool any_address(const char *host)
{
    return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0 || strcmp(host, "*") == 0;
}

/* libwebsockets would hang up on whoever doesn't answer its pings, such as a client that is busy
 * sending and doesn't read meanwhile. Peers that vanish are TCP's business (KEEPALIVE_S). */
static const lws_retry_bo_t no_pings = {.secs_since_valid_ping = 0};

static int open_vhost(struct port *port, const char *host, int64_t number,
                      const struct lws_protocols *protocols)
{
    const struct config *config = &port->listener->server->config;
    bool main = port->kind == HTTP_MAIN;
    struct lws_context_creation_info info = {0};
    info.port = (int)number;
    info.iface = any_address(host) ? NULL : strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    info.protocols = protocols;
    info.vhost_name = main ? "main" : "health";
    info.options = LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND;
    if (!strchr(host, ':'))
        info.options |= LWS_SERVER_OPTION_DISABLE_IPV6;
    info.timeout_secs = HANDSHAKE_S;
    info.keepalive_timeout = HANDSHAKE_S;
    info.retry_and_idle_policy = &no_pings;
    info.alpn = "http/1.1"; /* http_head.c speaks nothing else */
    if (main && *config->tls_cert) {
        info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
        info.ssl_cert_filepath = config->tls_cert;
        info.ssl_private_key_filepath = config->tls_key;
    }
    port->vhost = lws_create_vhost(port->context, &info);
    return port->vhost ? 0 : -1;
}

static int open_context(struct port *port)
{
    const struct server *server = port->listener->server;
    void *loops[] = {server->loop};
    struct lws_context_creation_info info = {0};
    info.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
    if (port->kind == HTTP_MAIN && *server->config.tls_cert)
        info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    info.foreign_loops = loops;
    info.user = port;
    info.pt_serv_buf_size = SESSION_RECEIVE_MAX; /* bounds what is read, so a pause holds */
    info.max_http_header_data = HEADER_MAX;
    info.max_http_header_pool = port->kind == HTTP_MAIN ? HEADER_POOL : HEALTH_SOCKETS;
    info.timeout_secs = HANDSHAKE_S;
    info.timeout_secs_ah_idle = HANDSHAKE_S;
    info.ka_time = KEEPALIVE_S;
    info.ka_probes = 3;
    info.ka_interval = 10;
    port->context = lws_create_context(&info);
    return port->context ? 0 : -1;
}

static void on_library_log(int level, const char *line)
{
    if (level & LLL_ERR)
        log_debug("libwebsockets", LOG_TEXT("text", line));
}

int listener_create(struct listener **listener, struct server *server, struct config_error *error)
{
    const struct config *config = &server->config;
    lws_set_log_level(LLL_ERR, on_library_log);
    struct listener *made = calloc(1, sizeof(*made));
    if (!made)
        return -1;
    made->server = server;
    made->main = (struct port){.listener = made, .kind = HTTP_MAIN};
    made->health = (struct port){.listener = made, .kind = HTTP_HEALTH};
    made->main.sockets_max = config->max_connections + SOCKETS_SPARE;
    made->health.sockets_max = HEALTH_SOCKETS;
    crowd_init(&made->crowd);
    flood_watch_init(&made->floods, server->loop, on_flood);
    *listener = made;
    if (open_context(&made->main) < 0 || open_context(&made->health) < 0) {
        (void)snprintf(error->message, sizeof(error->message), "libwebsockets can't start");
        return -1;
    }
    if (open_vhost(&made->main, config->host, config->port, main_protocols) < 0) {
        (void)snprintf(error->message, sizeof(error->message),
                       "LUMA_HOST, LUMA_PORT: can't listen on %.100s port %lld%s", config->host,
                       (long long)config->port, *config->tls_cert ? " with this certificate" : "");
        return -1;
    }
    if (open_vhost(&made->health, config->health_host, config->health_port, health_protocols) < 0) {
        (void)snprintf(error->message, sizeof(error->message),
                       "LUMA_HEALTH_HOST, LUMA_HEALTH_PORT: can't listen on %.100s port %lld",
                       config->health_host, (long long)config->health_port);
        return -1;
    }
    return 0;
}

void listener_destroy(struct listener *listener)
{
    if (!listener)
        return;
    flood_watch_close(&listener->floods);
    if (listener->main.context)
        lws_context_destroy(listener->main.context);
    if (listener->health.context)
        lws_context_destroy(listener->health.context);
}

void listener_finish(struct listener **listener)
{
    if (!*listener)
        return;
    if ((*listener)->main.context) /* their second halves */
        lws_context_destroy((*listener)->main.context);
    if ((*listener)->health.context)
        lws_context_destroy((*listener)->health.context);
    crowd_finish(&(*listener)->crowd);
    free(*listener);
    *listener = NULL;
}

int listener_port(const struct listener *listener)
{
    return lws_get_vhost_listen_port(listener->main.vhost);
}

int listener_health_port(const struct listener *listener)
{
    return lws_get_vhost_listen_port(listener->health.vhost);
}
