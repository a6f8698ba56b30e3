/*
 * Headers are copied out of libwebsockets' table, which it keeps only while it handles a request.
 */
#include "server/peer.h"

#include <string.h>

#include "server/caller.h"
#include "server/origin.h"
#include "server/server.h"

bool peer_header(struct lws *wsi, enum lws_token_indexes token, char *text, size_t size)
{
    text[0] = '\0';
    return lws_hdr_copy(wsi, text, (int)size, token) > 0;
}

const char *peer_caller(struct lws *wsi, const struct server *server)
{
    char text[4200];
    if (!peer_header(wsi, WSI_TOKEN_HTTP_AUTHORIZATION, text, sizeof(text)))
        return NULL;
    const char *name = NULL;
    if (strncasecmp(text, "Bearer ", 7) == 0)
        name = callers_find(&server->callers, text + 7 + strspn(text + 7, " "));
    lws_explicit_bzero(text, sizeof(text));
    return name ? name : "";
}

void peer_plain_address(char *address)
{
    if (strncmp(address, "::ffff:", 7) == 0)
        memmove(address, address + 7, strlen(address + 7) + 1);
}

void peer_address(struct lws *wsi, const struct server *server, char *address, size_t size)
{
    (void)lws_get_peer_simple(wsi, address, size);
    peer_plain_address(address);
    const char *proxies = server->config.trusted_proxies;
    char forwarded[1024];
    if (!caller_list_has(proxies, address) ||
        !peer_header(wsi, WSI_TOKEN_X_FORWARDED_FOR, forwarded, sizeof(forwarded)))
        return;
    char *comma;
    do {
        comma = strrchr(forwarded, ',');
        char *item = comma ? comma + 1 : forwarded;
        item += strspn(item, " ");
        item[strcspn(item, " ")] = '\0';
        if (item[strspn(item, "0123456789abcdefABCDEF.:")] != '\0' || !*item)
            return;
        (void)snprintf(address, size, "%s", item);
        if (comma)
            *comma = '\0';
    } while (comma && caller_list_has(proxies, address));
}

bool peer_host_allowed(struct lws *wsi, const struct server *server)
{
    char host[300];
    return peer_header(wsi, WSI_TOKEN_HOST, host, sizeof(host)) &&
           origin_host_allowed(&server->config, callers_required(&server->callers), host);
}
