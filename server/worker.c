/*
 * A worker as the server sees it: a socket from which messages come, and a process that ends.
 *
 * The socket is read by libuv only once the pid is known; until then messages to the worker wait
 * here, because the request may have to be made again with a new socket. Its end counts as
 * reached when the process has been reaped and its socket has been read empty: whatever it said
 * comes before its end, whatever it died of.
 *
 * Loop thread only.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/worker_internal.h"

/* More than any job has to say. */
#define RECEIVED_MAX ((int64_t)256 * 1024 * 1024)

/* ---- its socket, before it runs ---- */

void worker_pair_close(struct worker *worker)
{
    if (worker->local >= 0)
        close(worker->local);
    if (worker->remote >= 0)
        close(worker->remote);
    worker->local = worker->remote = -1;
}

int worker_pair(struct worker *worker)
{
    int ends[2];
    worker_pair_close(worker);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    worker->local = ends[0];
    worker->remote = ends[1];
    return 0;
}

/* ---- to the worker ---- */

static void outgoing_free(struct worker_outgoing *outgoing)
{
    free(outgoing->bytes);
    free(outgoing);
}

static void outgoing_written(uv_write_t *write, int status)
{
    (void)status; /* if it is gone, its end is on the way */
    outgoing_free(write->data);
}

static void outgoing_write(struct worker *worker, struct worker_outgoing *outgoing)
{
    uv_buf_t buffer = uv_buf_init((char *)outgoing->bytes, (unsigned int)outgoing->size);
    outgoing->write.data = outgoing;
    if (uv_write(&outgoing->write, (uv_stream_t *)&worker->pipe, &buffer, 1, outgoing_written) < 0)
        outgoing_free(outgoing);
}

static struct worker_outgoing *outgoing_take(struct worker *worker)
{
    struct worker_outgoing *outgoing = worker->first_outgoing;
    if (outgoing)
        worker->first_outgoing = outgoing->next;
    if (!worker->first_outgoing)
        worker->last_outgoing = NULL;
    return outgoing;
}

static int outgoing_add(struct worker *worker, const json_t *message)
{
    struct worker_outgoing *outgoing = calloc(1, sizeof(*outgoing));
    if (!outgoing)
        return -1;
    outgoing->bytes = message_encode(message, &outgoing->size);
    if (!outgoing->bytes) {
        free(outgoing);
        return -1;
    }
    if (worker->last_outgoing) {
        worker->last_outgoing->next = outgoing;
    } else {
        worker->first_outgoing = outgoing;
    }
    worker->last_outgoing = outgoing;
    return 0;
}

static void outgoing_flush(struct worker *worker)
{
    struct worker_outgoing *outgoing;
    while (worker->pipe_open && (outgoing = outgoing_take(worker)))
        outgoing_write(worker, outgoing);
}

void worker_send(struct worker *worker, const json_t *message)
{
    if (worker->state == WORKER_ENDED || worker->state == WORKER_UNBORN)
        return;
    if (outgoing_add(worker, message) < 0) {
        worker_kill(worker);
        return;
    }
    if (worker->state == WORKER_RUNNING)
        outgoing_flush(worker);
}

/* ---- from the worker ---- */

/* True while there is somebody to deliver messages to. */
static bool worker_heard(const struct worker *worker)
{
    return !worker->broken && !worker->pool->destroyed;
}

static void worker_break(struct worker *worker, const char *reason)
{
    worker->broken = true;
    worker_kill(worker);
    if (worker->pipe_open)
        uv_read_stop((uv_stream_t *)&worker->pipe);
    if (worker->events.broken)
        worker->events.broken(worker, reason, worker->opaque);
}

static void bytes_received(struct worker *worker, const void *bytes, size_t size)
{
    worker->received += (int64_t)size;
    if (worker->received > RECEIVED_MAX) {
        worker_break(worker, "it sent too much");
        return;
    }
    if (message_parser_feed(&worker->parser, bytes, size) < 0) {
        worker_break(worker, "it sent a message of a length that can't be");
        return;
    }
    while (worker_heard(worker)) {
        json_t *message;
        int status = message_parser_next(&worker->parser, &message);
        if (status == 0)
            return;
        if (status < 0) {
            worker_break(worker, "it sent a malformed message");
            return;
        }
        if (worker->events.message)
            worker->events.message(worker, message, worker->opaque);
        json_decref(message);
    }
}

static void buffer_lend(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)suggested;
    struct worker *worker = handle->data;
    *buffer = uv_buf_init((char *)worker->pool->buffer, WORKER_READ_SIZE);
}

static void pipe_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    struct worker *worker = stream->data;
    if (count > 0) {
        bytes_received(worker, buffer->base, (size_t)count);
    } else if (count < 0 && worker->state == WORKER_RUNNING) {
        worker_kill(worker); /* one that has closed its socket without ending has no use */
    }
}

/* What was sent before the end and has not been read yet; the process is gone, so this ends. */
static void pipe_drain(struct worker *worker)
{
    uv_os_fd_t fd;
    if (!worker->pipe_open || uv_fileno((uv_handle_t *)&worker->pipe, &fd) < 0)
        return;
    uv_read_stop((uv_stream_t *)&worker->pipe);
    while (worker_heard(worker)) {
        ssize_t count = recv(fd, worker->pool->buffer, WORKER_READ_SIZE, MSG_DONTWAIT);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return;
        bytes_received(worker, worker->pool->buffer, (size_t)count);
    }
}

/* ---- its life ---- */

static void worker_free(struct worker *worker)
{
    struct worker_outgoing *outgoing;
    while ((outgoing = outgoing_take(worker)))
        outgoing_free(outgoing);
    message_parser_finish(&worker->parser);
    worker_pair_close(worker);
    free(worker);
}

static void pipe_closed(uv_handle_t *handle)
{
    struct worker *worker = handle->data;
    worker_pool_handle_closed(worker->pool);
    worker_free(worker);
}

void worker_discard(struct worker *worker)
{
    worker->state = WORKER_ENDED;
    if (worker->pipe_open) {
        worker->pipe_open = false;
        uv_close((uv_handle_t *)&worker->pipe, pipe_closed);
    } else {
        worker_free(worker);
    }
}

/* Without a task. */
static struct worker *worker_create(struct worker_pool *pool)
{
    struct worker *worker = calloc(1, sizeof(*worker));
    if (!worker)
        return NULL;
    worker->pool = pool;
    worker->local = worker->remote = -1;
    message_parser_init(&worker->parser);
    if (worker_pair(worker) < 0) {
        worker_free(worker);
        return NULL;
    }
    worker_pool_add(pool, worker);
    return worker;
}

void worker_expect(struct worker_pool *pool)
{
    if (pool->ready || !(pool->ready = worker_create(pool)))
        return;
    worker_pool_pump(pool);
}

/* The one that stands ready, or a new one. */
static struct worker *worker_obtain(struct worker_pool *pool)
{
    struct worker *worker = pool->ready;
    pool->ready = NULL;
    uv_timer_stop(&pool->unwanted);
    return worker ? worker : worker_create(pool);
}

/* No task came for the one that stands ready. */
static void unwanted(uv_timer_t *timer)
{
    struct worker_pool *pool = timer->data;
    struct worker *worker = pool->ready;
    pool->ready = NULL;
    if (worker)
        worker_kill(worker);
}

struct worker *worker_start(struct worker_pool *pool, const json_t *task,
                            const struct worker_events *events, void *opaque)
{
    struct worker *worker = worker_obtain(pool);
    if (!worker)
        return NULL;
    if (outgoing_add(worker, task) < 0) {
        worker_kill(worker); /* nobody hears of it */
        return NULL;
    }
    worker->events = *events;
    worker->opaque = opaque;
    if (worker->state == WORKER_RUNNING)
        outgoing_flush(worker);
    worker_pool_pump(pool);
    return worker;
}

void worker_begin(struct worker *worker, pid_t pid)
{
    worker->state = WORKER_RUNNING;
    worker->pid = pid;
    uv_pipe_init(worker->pool->loop, &worker->pipe, 0);
    worker->pipe.data = worker;
    worker->pipe_open = true;
    worker->pool->open_handles++;
    int status = uv_pipe_open(&worker->pipe, worker->local);
    if (status == 0) {
        worker->local = -1; /* the pipe's now */
        status = uv_read_start((uv_stream_t *)&worker->pipe, buffer_lend, pipe_read);
    }
    if (worker == worker->pool->ready)
        uv_timer_start(&worker->pool->unwanted, unwanted, WORKER_READY_MS, 0);
    if (worker->kill_wanted) {
        worker_kill(worker);
    } else if (status < 0) {
        worker_break(worker, "its socket could not be opened");
    } else {
        outgoing_flush(worker);
    }
}

void worker_finish(struct worker *worker, const struct worker_exit *how)
{
    worker->state = WORKER_ENDED;
    worker_pool_remove(worker->pool, worker);
    if (worker->pool->ready == worker) {
        worker->pool->ready = NULL;
        uv_timer_stop(&worker->pool->unwanted);
    }
    pipe_drain(worker);
    if (worker->events.exited && !worker->pool->destroyed)
        worker->events.exited(worker, how, worker->opaque);
    worker_discard(worker);
}

void worker_kill(struct worker *worker)
{
    switch (worker->state) {
    case WORKER_WAITING:
        worker->state = WORKER_UNBORN;
        worker_pair_close(worker);
        worker_pool_later(worker->pool, 0);
        break;
    case WORKER_ASKED:
        worker->kill_wanted = true;
        break;
    case WORKER_RUNNING: /* not reaped yet, so the number is still its own */
        worker->kill_wanted = true;
        kill(-worker->pid, SIGKILL);
        kill(worker->pid, SIGKILL);
        break;
    case WORKER_UNBORN:
    case WORKER_ENDED:
        break;
    }
}

pid_t worker_pid(const struct worker *worker)
{
    return worker->pid;
}

void worker_pool_count(const struct worker_pool *pool, int counts[WORKER_STAGE_COUNT])
{
    memset(counts, 0, WORKER_STAGE_COUNT * sizeof(*counts));
    for (const struct worker *worker = pool->first; worker; worker = worker->next) {
        enum worker_stage stage = worker->kill_wanted ? WORKER_STAGE_ENDING
                                  : worker->state == WORKER_RUNNING && worker != pool->ready
                                      ? WORKER_STAGE_RUNNING
                                      : WORKER_STAGE_WAITING;
        counts[stage]++;
    }
}
