/*
 * Requests are routed by a table for each port. A short answer is kept until the connection takes
 * it, with one write.
 */
#include "server/http.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "server/caller.h"
#include "server/gauges.h"
#include "server/health.h"
#include "server/http_internal.h"
#include "server/http_result.h"
#include "server/metrics.h"
#include "server/operations.h"
#include "server/peer.h"
#include "server/server.h"

#define STALL_S 20 /* for a short answer to be taken */

/* ---- answers ---- */

/* The Origin header, if it is one of those that may read answers. */
static bool listed_origin(const struct http_call *call, char *origin, size_t size)
{
    return peer_header(call->wsi, WSI_TOKEN_ORIGIN, origin, size) &&
           caller_list_has(call->server->config.allowed_origins, origin);
}

void http_add_origin(struct http_head *head, const struct http_call *call)
{
    char origin[300];
    if (*call->server->config.allowed_origins)
        http_head_add(head, "Vary", "Origin");
    if (!listed_origin(call, origin, sizeof(origin)))
        return;
    http_head_add(head, "Access-Control-Allow-Origin", "%s", origin);
    http_head_add(head, "Access-Control-Expose-Headers",
                  "Accept-Ranges, Content-Disposition, Content-Range, ETag");
}

int http_answer_head(struct http_head *head, const struct http_call *call)
{
    if (http_head_write(head, call->wsi) < 0)
        return -1;
    return lws_http_transaction_completed(call->wsi) ? -1 : 0;
}

/* Statuses that say more in a header. */
static const struct {
    int status;
    const char *name, *value;
} extras[] = {
    {401, "WWW-Authenticate", "Bearer"},
    {405, "Allow", "GET, HEAD, OPTIONS"},
    {426, "Upgrade", "websocket"},
};

int http_answer(const struct http_call *call, int status, const char *type, const char *body,
                size_t size)
{
    struct http_head head;
    struct http_exchange *exchange = call->exchange;
    http_head_begin(&head, status);
    http_head_add(&head, "Content-Type", "%s", type);
    http_head_add(&head, "Content-Length", "%zu", size);
    http_head_add(&head, "Cache-Control", "no-store");
    for (size_t i = 0; i < sizeof(extras) / sizeof(extras[0]); i++) {
        if (extras[i].status == status)
            http_head_add(&head, extras[i].name, "%s", extras[i].value);
    }
    http_add_origin(&head, call);
    if (call->head_only || size == 0)
        return http_answer_head(&head, call);
    http_closed(exchange);
    exchange->body = malloc(LWS_PRE + size);
    if (!exchange->body || http_head_write(&head, call->wsi) < 0)
        return -1;
    memcpy(exchange->body + LWS_PRE, body, size);
    exchange->size = size;
    lws_set_timeout(call->wsi, PENDING_TIMEOUT_HTTP_CONTENT, STALL_S);
    lws_callback_on_writable(call->wsi);
    return 0;
}

int http_refuse(const struct http_call *call, int status, const char *sentence)
{
    return http_answer(call, status, "text/plain; charset=utf-8", sentence, strlen(sentence));
}

/* The document is consumed. */
static int answer_json(const struct http_call *call, json_t *document)
{
    char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
    int status = text ? http_answer(call, 200, "application/json", text, strlen(text)) : -1;
    free(text);
    json_decref(document);
    return status;
}

int http_writable(struct lws *wsi, struct http_exchange *exchange)
{
    if (exchange->transfer)
        return http_result_writable(wsi, exchange);
    if (!exchange->body)
        return 0;
    int written = lws_write(wsi, exchange->body + LWS_PRE, exchange->size, LWS_WRITE_HTTP_FINAL);
    http_closed(exchange);
    return written < 0 || lws_http_transaction_completed(wsi) ? -1 : 0;
}

void http_closed(struct http_exchange *exchange)
{
    free(exchange->body);
    exchange->body = NULL;
    http_result_drop(exchange);
}

/* ---- requests ---- */

static int health(const struct http_call *call)
{
    return answer_json(call, health_document(call->server));
}

/* Whether to send work here: 200, or 503 with the reason. */
static int ready(const struct http_call *call)
{
    const char *reason = gauges_unready(call->server);
    char text[128];
    (void)snprintf(text, sizeof(text), "%s\n", reason ? reason : "ready");
    return http_refuse(call, reason ? 503 : 200, text);
}

static int metrics(const struct http_call *call)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    if (!stream)
        return -1;
    metrics_print(call->server->metrics, stream);
    gauges_print(call->server, stream);
    bool whole = !ferror(stream);
    whole = fclose(stream) == 0 && whole;
    int status =
        whole ? http_answer(call, 200, "text/plain; version=0.0.4; charset=utf-8", text, size) : -1;
    free(text);
    return status;
}

/* What describe answers. */
static int operations(const struct http_call *call)
{
    struct server *server = call->server;
    const char *caller = peer_caller(call->wsi, server);
    if (callers_required(&server->callers) && (!caller || !*caller))
        return http_refuse(call, 401, "a token is wanted\n");
    (void)operations_fresh(server->operations); /* what is known must do for this once */
    if (!operations_known(server->operations))
        return http_refuse(call, 503, "the operations are being read; try again\n");
    return answer_json(call, operations_message(server->operations, NULL));
}

static int websocket(const struct http_call *call)
{
    return http_refuse(call, 426, "this is a WebSocket\n");
}

static const struct route {
    enum http_port port;
    const char *path;
    bool below; /* everything that begins with it */
    int (*handle)(const struct http_call *call);
} routes[] = {
    {HTTP_HEALTH, "/health", false, health},
    {HTTP_HEALTH, "/metrics", false, metrics},
    {HTTP_HEALTH, "/ready", false, ready},
    {HTTP_MAIN, "/operations", false, operations},
    {HTTP_MAIN, "/jobs/", true, http_result_request},
    {HTTP_MAIN, "/ws", false, websocket},
};

static const struct route *find_route(enum http_port port, const char *path)
{
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        const struct route *route = &routes[i];
        if (route->port == port && (route->below ? strncmp(path, route->path, strlen(route->path))
                                                 : strcmp(path, route->path)) == 0)
            return route;
    }
    return NULL;
}

/* A browser asks whether a page of another origin may ask. */
static int preflight(const struct http_call *call)
{
    char origin[300];
    if (!listed_origin(call, origin, sizeof(origin)))
        return http_refuse(call, 403, "this origin may not ask\n");
    struct http_head head;
    http_head_begin(&head, 204);
    http_add_origin(&head, call);
    http_head_add(&head, "Access-Control-Allow-Methods", "GET, HEAD");
    http_head_add(&head, "Access-Control-Allow-Headers",
                  "Authorization, If-None-Match, If-Range, Range");
    http_head_add(&head, "Access-Control-Max-Age", "600");
    return http_answer_head(&head, call);
}

static bool is_method(struct lws *wsi, enum lws_token_indexes token)
{
    return lws_hdr_total_length(wsi, token) > 0;
}

int http_request(struct server *server, struct lws *wsi, struct http_exchange *exchange,
                 enum http_port port, const char *path)
{
    const struct http_call call = {
        .server = server,
        .wsi = wsi,
        .exchange = exchange,
        .path = path,
        .head_only = is_method(wsi, WSI_TOKEN_HEAD_URI),
    };
    if (port == HTTP_MAIN && !peer_host_allowed(wsi, server))
        return http_refuse(&call, 403, "this host is not served\n");
    const struct route *route = find_route(port, path);
    if (port == HTTP_MAIN && route && is_method(wsi, WSI_TOKEN_OPTIONS_URI))
        return preflight(&call);
    if (!call.head_only && !is_method(wsi, WSI_TOKEN_GET_URI))
        return http_refuse(&call, 405, "only GET and HEAD\n");
    return route ? route->handle(&call) : http_refuse(&call, 404, "not found\n");
}
