/*
 * libwebsockets' context, vhosts and callbacks. Every callback comes on the loop's thread.
 *
 * There is one protocol on each vhost. On the main one it serves HTTP requests, and WebSockets
 * whether or not the client named the subprotocol; what the handshake refuses is refused in
 * HTTP_CONFIRM_UPGRADE, where a status can still be sent.
 */
#include "server/listen.h"

#include <libwebsockets.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "server/caller.h"
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
#define SOCKETS_SPARE  256    /* beside the WebSockets: health, HTTP, handshakes */
#define WEBSOCKET_PATH "/ws"

/* User data of a connection: libwebsockets makes it, zeroed, for HTTP and WebSocket alike. */
struct connection {
    struct session *session; /* NULL unless it is a WebSocket */
    struct flood flood;
    struct http_exchange http;
};

struct listener {
    struct server *server;
    struct lws_context *context;
    struct lws_vhost *main, *health;
    struct flood_watch floods;
    int64_t sockets; /* open, of whatever kind */
};

static struct server *server_of(struct lws *wsi)
{
    struct listener *listener = lws_context_user(lws_get_context(wsi));
    return listener->server;
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
    REFUSE_FULL
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
};

static enum refusal upgrade_refusal(struct lws *wsi, const char *what)
{
    struct listener *listener = lws_context_user(lws_get_context(wsi));
    struct server *server = listener->server;
    bool tokens = callers_required(&server->callers);
    char path[64], host[300], origin[300];
    if (!peer_host_allowed(wsi, server) || !peer_header(wsi, WSI_TOKEN_HOST, host, sizeof(host)))
        return REFUSE_HOST;
    if (lws_get_vhost(wsi) != listener->main || strcasecmp(what, "websocket") != 0 ||
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

/* libwebsockets' own answer would be HTTP/1.0 here, which clients don't take: so it is written by
 * hand. 0 lets the upgrade go on, -1 closes after what was written. */
static int confirm_upgrade(struct lws *wsi, const char *what)
{
    enum refusal refusal = upgrade_refusal(wsi, what);
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
    struct listener *listener = lws_context_user(lws_get_context(wsi));
    flood_add(&listener->floods, &connection->flood, connection->session, lws_get_socket_fd(wsi),
              *server->config.tls_cert);
    if (others >= server->config.connections_per_address) {
        metrics_add(server->metrics, METRIC_REJECTED, "connections", NULL, 1);
        session_close(connection->session, CLOSE_TOO_MANY, "too many connections");
    }
    return 0;
}

static int on_http_event(struct lws *wsi, enum lws_callback_reasons reason,
                         struct connection *connection, void *in)
{
    struct listener *listener = lws_context_user(lws_get_context(wsi));
    switch (reason) {
    case LWS_CALLBACK_HTTP:
        return http_request(listener->server, wsi, &connection->http,
                            lws_get_vhost(wsi) == listener->health ? HTTP_HEALTH : HTTP_MAIN, in);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return http_writable(wsi, &connection->http);
    case LWS_CALLBACK_CLOSED_HTTP:
    case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
        http_closed(&connection->http);
        return 0;
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return confirm_upgrade(wsi, in);
    default:
        return 0;
    }
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t size)
{
    struct listener *listener = lws_context_user(lws_get_context(wsi));
    if (reason == LWS_CALLBACK_FILTER_NETWORK_CONNECTION) /* `user` is none of ours here */
        return listener->sockets >= listener->server->config.max_connections + SOCKETS_SPARE;
    if (reason == LWS_CALLBACK_WSI_CREATE)
        listener->sockets++;
    if (reason == LWS_CALLBACK_WSI_DESTROY)
        listener->sockets--;
    struct connection *connection = user;
    if (!connection) /* of the vhost, or of a connection that has asked for nothing yet */
        return reason == LWS_CALLBACK_HTTP_CONFIRM_UPGRADE ? confirm_upgrade(wsi, in) : 0;
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
            flood_remove(&listener->floods, &connection->flood);
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

static struct lws_vhost *open_vhost(struct listener *listener, const char *name, const char *host,
                                    int64_t port, const struct lws_protocols *protocols, bool tls)
{
    const struct config *config = &listener->server->config;
    struct lws_context_creation_info info = {0};
    info.port = (int)port;
    info.iface = any_address(host) ? NULL : strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    info.protocols = protocols;
    info.vhost_name = name;
    info.options = LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND;
    if (!strchr(host, ':'))
        info.options |= LWS_SERVER_OPTION_DISABLE_IPV6;
    info.timeout_secs = HANDSHAKE_S;
    info.keepalive_timeout = HANDSHAKE_S;
    info.retry_and_idle_policy = &no_pings;
    info.alpn = "http/1.1"; /* http_head.c speaks nothing else */
    if (tls) {
        info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
        info.ssl_cert_filepath = config->tls_cert;
        info.ssl_private_key_filepath = config->tls_key;
    }
    return lws_create_vhost(listener->context, &info);
}

static int open_context(struct listener *listener)
{
    void *loops[] = {listener->server->loop};
    struct lws_context_creation_info info = {0};
    info.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
    if (*listener->server->config.tls_cert)
        info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    info.foreign_loops = loops;
    info.user = listener;
    info.pt_serv_buf_size = SESSION_RECEIVE_MAX; /* bounds what is read, so a pause holds */
    info.max_http_header_data = HEADER_MAX;
    info.max_http_header_pool = HEADER_POOL;
    info.timeout_secs = HANDSHAKE_S;
    info.timeout_secs_ah_idle = HANDSHAKE_S;
    info.ka_time = KEEPALIVE_S;
    info.ka_probes = 3;
    info.ka_interval = 10;
    listener->context = lws_create_context(&info);
    return listener->context ? 0 : -1;
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
    flood_watch_init(&made->floods, server->loop, on_flood);
    *listener = made;
    if (open_context(made) < 0) {
        (void)snprintf(error->message, sizeof(error->message), "libwebsockets can't start");
        return -1;
    }
    made->main =
        open_vhost(made, "main", config->host, config->port, main_protocols, *config->tls_cert);
    if (!made->main) {
        (void)snprintf(error->message, sizeof(error->message),
                       "LUMA_HOST, LUMA_PORT: can't listen on %.100s port %lld%s", config->host,
                       (long long)config->port, *config->tls_cert ? " with this certificate" : "");
        return -1;
    }
    made->health = open_vhost(made, "health", config->health_host, config->health_port,
                              health_protocols, false);
    if (!made->health) {
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
    if (listener->context)
        lws_context_destroy(listener->context);
}

void listener_finish(struct listener **listener)
{
    if (*listener && (*listener)->context)
        lws_context_destroy((*listener)->context); /* its second half */
    free(*listener);
    *listener = NULL;
}

int listener_port(const struct listener *listener)
{
    return lws_get_vhost_listen_port(listener->main);
}

int listener_health_port(const struct listener *listener)
{
    return lws_get_vhost_listen_port(listener->health);
}
