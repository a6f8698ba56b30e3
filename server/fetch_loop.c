/*
 * libcurl's multi_socket interface on a libuv loop: libcurl says which sockets to watch and when to
 * be called at the latest, a uv_poll each and one uv_timer do it.
 *
 * libcurl resolves names in threads of its own; everything else is on the loop. The memory goes
 * when the loop has closed the last handle.
 */
#include <stdlib.h>

#include "server/fetch_internal.h"

struct fetch_loop {
    uv_loop_t *loop;
    CURLM *multi;
    uv_timer_t timer;
    LIST_HEAD(, watch) watches;
    int handles; /* that have not been closed */
};

/* A socket of libcurl's. */
struct watch {
    uv_poll_t poll;
    LIST_ENTRY(watch) link;
    struct fetch_loop *curl;
    curl_socket_t socket;
};

static void handle_gone(struct fetch_loop *curl)
{
    if (--curl->handles == 0)
        free(curl);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct watch *watch = handle->data;
    handle_gone(watch->curl);
    free(watch);
}

static void on_timer_closed(uv_handle_t *handle)
{
    handle_gone(handle->data);
}

static void watch_close(struct watch *watch)
{
    LIST_REMOVE(watch, link);
    (void)uv_poll_stop(&watch->poll);
    uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
}

/* Hands finished transfers on. That may add, remove and free transfers, hence one at a time. */
static void tell_finished(struct fetch_loop *curl)
{
    const CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(curl->multi, &left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        CURL *easy = message->easy_handle;
        CURLcode result = message->data.result;
        struct fetch *fetch = NULL;
        (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&fetch);
        (void)curl_multi_remove_handle(curl->multi, easy);
        fetch_transfer_over(fetch, result);
    }
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    const struct watch *watch = poll->data;
    struct fetch_loop *curl = watch->curl;
    int flags = status < 0 ? CURL_CSELECT_ERR : 0;
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    int running;
    (void)curl_multi_socket_action(curl->multi, watch->socket, flags, &running);
    tell_finished(curl);
}

static void on_timeout(uv_timer_t *timer)
{
    struct fetch_loop *curl = timer->data;
    int running;
    (void)curl_multi_socket_action(curl->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    tell_finished(curl);
}

static int on_timer_change(CURLM *multi, long milliseconds, void *opaque)
{
    struct fetch_loop *curl = opaque;
    (void)multi;
    if (uv_is_closing((uv_handle_t *)&curl->timer))
        return 0;
    if (milliseconds < 0)
        return uv_timer_stop(&curl->timer) < 0 ? -1 : 0;
    return uv_timer_start(&curl->timer, on_timeout, (uint64_t)milliseconds, 0) < 0 ? -1 : 0;
}

static struct watch *watch_create(struct fetch_loop *curl, curl_socket_t socket)
{
    struct watch *watch = calloc(1, sizeof(*watch));
    if (!watch)
        return NULL;
    if (uv_poll_init_socket(curl->loop, &watch->poll, socket) < 0) {
        free(watch);
        return NULL;
    }
    watch->poll.data = watch;
    watch->curl = curl;
    watch->socket = socket;
    curl->handles++;
    LIST_INSERT_HEAD(&curl->watches, watch, link);
    return watch;
}

static int on_socket_change(CURL *easy, curl_socket_t socket, int what, void *opaque,
                            void *socket_opaque)
{
    struct fetch_loop *curl = opaque;
    struct watch *watch = socket_opaque;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        (void)curl_multi_assign(curl->multi, socket, NULL);
        if (watch)
            watch_close(watch);
        return 0;
    }
    if (!watch) {
        watch = watch_create(curl, socket);
        if (!watch)
            return -1;
        (void)curl_multi_assign(curl->multi, socket, watch);
    }
    int events = 0;
    if (what & CURL_POLL_IN)
        events |= UV_READABLE;
    if (what & CURL_POLL_OUT)
        events |= UV_WRITABLE;
    return uv_poll_start(&watch->poll, events, on_ready) < 0 ? -1 : 0;
}

int fetch_loop_create(struct fetch_loop **curl, uv_loop_t *loop)
{
    struct fetch_loop *made = calloc(1, sizeof(*made));
    if (!made || !(made->multi = curl_multi_init()) || uv_timer_init(loop, &made->timer) < 0) {
        if (made)
            (void)curl_multi_cleanup(made->multi);
        free(made);
        return -1;
    }
    made->loop = loop;
    made->timer.data = made;
    made->handles = 1;
    LIST_INIT(&made->watches);
    (void)curl_multi_setopt(made->multi, CURLMOPT_SOCKETFUNCTION, on_socket_change);
    (void)curl_multi_setopt(made->multi, CURLMOPT_SOCKETDATA, made);
    (void)curl_multi_setopt(made->multi, CURLMOPT_TIMERFUNCTION, on_timer_change);
    (void)curl_multi_setopt(made->multi, CURLMOPT_TIMERDATA, made);
    *curl = made;
    return 0;
}

void fetch_loop_destroy(struct fetch_loop **curl)
{
    struct fetch_loop *closing = *curl;
    if (!closing)
        return;
    *curl = NULL;
    (void)curl_multi_cleanup(closing->multi);
    while (!LIST_EMPTY(&closing->watches))
        watch_close(LIST_FIRST(&closing->watches));
    (void)uv_timer_stop(&closing->timer);
    uv_close((uv_handle_t *)&closing->timer, on_timer_closed);
}

int fetch_loop_add(struct fetch_loop *curl, CURL *easy)
{
    return curl_multi_add_handle(curl->multi, easy) == CURLM_OK ? 0 : -1;
}

void fetch_loop_remove(struct fetch_loop *curl, CURL *easy)
{
    (void)curl_multi_remove_handle(curl->multi, easy);
}
