/*
 * The chunk's buffer is taken when a read begins and given back as soon as libwebsockets has the
 * bytes, so that a client which doesn't read costs what libwebsockets holds of one chunk, no more.
 */
#include "server/delivery.h"

#include <errno.h>
#include <libwebsockets.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "server/blob.h"
#include "server/buffer.h"
#include "server/frame.h"
#include "server/journal.h"
#include "server/metrics.h"
#include "server/session.h"

_Static_assert(BUFFER_ROOM >= FRAME_PREFIX_MAX + LWS_PRE, "no room for a frame's header");

static void pump(struct session *session);

static void item_free(struct delivery_item *item)
{
    free(item->name);
    free(item);
}

static void delivery_free(struct delivery *delivery)
{
    struct delivery_item *item;
    while ((item = TAILQ_FIRST(&delivery->items))) {
        TAILQ_REMOVE(&delivery->items, item, link);
        item_free(item);
    }
    if (delivery->fd >= 0)
        close(delivery->fd);
    buffer_give(delivery->buffer);
    json_decref(delivery->farewell);
    free(delivery->request_id);
    free(delivery);
}

struct delivery *delivery_create(struct session *session, const char *job, int attempt,
                                 const char *request_id,
                                 void (*done)(struct delivery *, int, void *), void *opaque)
{
    struct delivery *delivery = calloc(1, sizeof(*delivery));
    if (!delivery)
        return NULL;
    delivery->session = session;
    (void)snprintf(delivery->job, sizeof(delivery->job), "%s", job);
    delivery->attempt = attempt;
    delivery->fd = -1;
    delivery->done = done;
    delivery->opaque = opaque;
    TAILQ_INIT(&delivery->items);
    if (request_id && !(delivery->request_id = strdup(request_id))) {
        free(delivery);
        return NULL;
    }
    TAILQ_INSERT_TAIL(&session->deliveries, delivery, link);
    return delivery;
}

int delivery_add(struct delivery *delivery, int output, const char *name, int64_t size,
                 int64_t offset, int64_t end)
{
    struct delivery_item *item = calloc(1, sizeof(*item));
    if (!item || !(item->name = strdup(name))) {
        free(item);
        return -ENOMEM;
    }
    item->output = output;
    item->size = size;
    item->offset = offset;
    item->end = end;
    TAILQ_INSERT_TAIL(&delivery->items, item, link);
    pump(delivery->session);
    return 0;
}

/* Takes it out of the session's turn. */
static void delivery_unlink(struct delivery *delivery)
{
    struct session *session = delivery->session;
    TAILQ_REMOVE(&session->deliveries, delivery, link);
    if (session->delivering == delivery)
        session->delivering = NULL;
}

static void conclude(struct delivery *delivery, int status)
{
    struct session *session = delivery->session;
    delivery_unlink(delivery);
    if (delivery->done)
        delivery->done(delivery, status, delivery->opaque);
    if (delivery->farewell)
        session_send(session, json_incref(delivery->farewell));
    delivery_free(delivery);
    pump(session);
}

void delivery_end(struct delivery *delivery)
{
    delivery->ended = true;
    delivery->held = false;
    if (TAILQ_EMPTY(&delivery->items)) {
        conclude(delivery, 0);
    } else {
        pump(delivery->session);
    }
}

void delivery_destroy(struct delivery **delivery)
{
    struct delivery *going = *delivery;
    *delivery = NULL;
    if (!going)
        return;
    struct session *session = going->session;
    delivery_unlink(going);
    if (going->state == DELIVERY_READING) {
        going->destroyed = true;
    } else {
        delivery_free(going);
    }
    pump(session);
}

static void on_read(uv_fs_t *request)
{
    struct delivery *delivery = request->data;
    ssize_t result = request->result;
    uv_fs_req_cleanup(request);
    if (delivery->destroyed) {
        delivery_free(delivery);
        return;
    }
    const struct delivery_item *item = TAILQ_FIRST(&delivery->items);
    if (result < 0 || (result == 0 && item->offset < item->end)) {
        conclude(delivery, result < 0 ? (int)result : -EIO); /* shorter than it was */
        return;
    }
    delivery->filled = (size_t)result;
    delivery->state = DELIVERY_READY;
    session_wake(delivery->session);
}

/* Takes the chunk from the page cache, where an output that was made just now is; true if all of it
 * was there. */
static bool read_cached(struct delivery *delivery, size_t size, int64_t offset)
{
    const struct iovec part = {.iov_base = delivery->buffer, .iov_len = size};
    if (preadv2(delivery->fd, &part, 1, offset, RWF_NOWAIT) != (ssize_t)size)
        return false;
    delivery->filled = size;
    delivery->state = DELIVERY_READY;
    session_wake(delivery->session);
    return true;
}

/* Reads the next chunk of the delivery's first item. 0 or -errno. */
static int read_chunk(struct delivery *delivery)
{
    const struct delivery_item *item = TAILQ_FIRST(&delivery->items);
    if (delivery->fd < 0) {
        char id[BLOB_ID_MAX];
        blob_id(id, delivery->job, BLOB_OUT, item->output);
        delivery->fd = blob_open_read(id);
        if (delivery->fd < 0)
            return delivery->fd;
    }
    delivery->buffer = buffer_take();
    if (!delivery->buffer)
        return -ENOMEM;
    int64_t left = item->end - item->offset;
    size_t size = left < BUFFER_CHUNK ? (size_t)left : BUFFER_CHUNK;
    if (read_cached(delivery, size, item->offset))
        return 0;
    delivery->state = DELIVERY_READING;
    delivery->request.data = delivery;
    delivery->target = uv_buf_init((char *)delivery->buffer, (unsigned)size);
    return uv_fs_read(delivery->session->server->loop, &delivery->request, delivery->fd,
                      &delivery->target, 1, item->offset, on_read);
}

/* Starts reading for whoever's turn it is, unless a chunk is under way. */
static void pump(struct session *session)
{
    if (session->delivering || session->close_code)
        return;
    struct delivery *delivery;
    TAILQ_FOREACH(delivery, &session->deliveries, link)
    {
        bool wanted = !TAILQ_EMPTY(&delivery->items) && !delivery->held;
        if (wanted && journal_safe(session->server->journal, delivery->ticket))
            break;
        session->held = session->held || wanted;
    }
    if (!delivery)
        return;
    session->delivering = delivery;
    int status = read_chunk(delivery);
    if (status < 0) {
        delivery->state = DELIVERY_IDLE;
        conclude(delivery, status);
    }
}

void delivery_resume(struct session *session)
{
    pump(session);
}

bool delivery_ready(const struct session *session)
{
    return session->delivering && session->delivering->state == DELIVERY_READY;
}

int delivery_write(struct session *session)
{
    if (!delivery_ready(session))
        return 0;
    struct delivery *delivery = session->delivering;
    struct delivery_item *item = TAILQ_FIRST(&delivery->items);
    bool last = item->offset + (int64_t)delivery->filled >= item->end;
    const struct frame_output frame = {
        .job = delivery->job,
        .output = item->output,
        .attempt = delivery->attempt,
        .name = item->name,
        .offset = item->offset,
        .size = item->size,
        .last = last,
        .request_id = delivery->request_id,
    };
    size_t prefix = frame_put_output(delivery->buffer, &frame);
    if (prefix == 0)
        return -1;
    int written = lws_write(session->wsi, delivery->buffer - prefix, prefix + delivery->filled,
                            LWS_WRITE_BINARY);
    buffer_give(delivery->buffer);
    delivery->buffer = NULL;
    delivery->state = DELIVERY_IDLE;
    session->delivering = NULL;
    if (written < 0)
        return -1;
    item->offset += (int64_t)delivery->filled;
    metrics_add(session->server->metrics, METRIC_OUTPUT_BYTES, "websocket", NULL,
                (double)delivery->filled);
    if (last) {
        TAILQ_REMOVE(&delivery->items, item, link);
        item_free(item);
        close(delivery->fd);
        delivery->fd = -1;
    }
    /* The others' turn. */
    TAILQ_REMOVE(&session->deliveries, delivery, link);
    TAILQ_INSERT_TAIL(&session->deliveries, delivery, link);
    if (delivery->ended && TAILQ_EMPTY(&delivery->items)) {
        conclude(delivery, 0);
    } else {
        pump(session);
    }
    return 1;
}
