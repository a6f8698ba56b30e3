/*
 * A transfer is either idle, being read (in the thread pool) or ready to be written. Its connection
 * may go while it is being read: then the read's end frees it.
 */
#include "server/http_result.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/uio.h>
#include <unistd.h>
#include <uv.h>

#include "server/blob.h"
#include "server/buffer.h"
#include "server/caller.h"
#include "server/http_internal.h"
#include "server/http_range.h"
#include "server/job.h"
#include "server/journal.h"
#include "server/link.h"
#include "server/metrics.h"
#include "server/peer.h"
#include "server/server.h"

#define STALL_S 60 /* for a chunk to be taken */

struct http_transfer {
    LIST_ENTRY(http_transfer) link; /* in server->transfers */
    struct server *server;
    struct lws *wsi; /* NULL: it went while a chunk was being read */
    char job[IDENTIFIER_SIZE];
    int fd;
    int64_t offset, end;
    enum { TRANSFER_IDLE, TRANSFER_READING, TRANSFER_READY } state;
    unsigned char *buffer;
    size_t filled;
    uv_fs_t request;
    uv_buf_t target;
};

/* ---- the transfer ---- */

static void transfer_free(struct http_transfer *transfer)
{
    buffer_give(transfer->buffer);
    close(transfer->fd);
    free(transfer);
}

void http_result_drop(struct http_exchange *exchange)
{
    struct http_transfer *transfer = exchange->transfer;
    exchange->transfer = NULL;
    if (!transfer)
        return;
    LIST_REMOVE(transfer, link);
    transfer->server->transfer_count--;
    transfer->wsi = NULL;
    if (transfer->state != TRANSFER_READING)
        transfer_free(transfer);
}

static void cut_off(struct lws *wsi)
{
    lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_CONTENT, LWS_TO_KILL_ASYNC);
}

void http_results_end(struct server *server, const char *job)
{
    struct http_transfer *transfer;
    LIST_FOREACH(transfer, &server->transfers, link)
    {
        if (strcmp(transfer->job, job) == 0)
            cut_off(transfer->wsi);
    }
}

static void on_read(uv_fs_t *request)
{
    struct http_transfer *transfer = request->data;
    ssize_t result = request->result;
    uv_fs_req_cleanup(request);
    transfer->state = TRANSFER_IDLE;
    if (!transfer->wsi) {
        transfer_free(transfer);
        return;
    }
    if (result <= 0) { /* shorter than it was, or not to be read */
        cut_off(transfer->wsi);
        return;
    }
    transfer->filled = (size_t)result;
    transfer->state = TRANSFER_READY;
    lws_callback_on_writable(transfer->wsi);
}

static int read_chunk(struct http_transfer *transfer)
{
    int64_t left = transfer->end - transfer->offset;
    size_t size = left < BUFFER_CHUNK ? (size_t)left : BUFFER_CHUNK;
    transfer->buffer = buffer_take();
    if (!transfer->buffer)
        return -1;
    transfer->state = TRANSFER_READING;
    transfer->request.data = transfer;
    transfer->target = uv_buf_init((char *)transfer->buffer, (unsigned)size);
    int status = uv_fs_read(transfer->server->loop, &transfer->request, transfer->fd,
                            &transfer->target, 1, transfer->offset, on_read);
    if (status < 0)
        transfer->state = TRANSFER_IDLE;
    return status;
}

int http_result_writable(struct lws *wsi, struct http_exchange *exchange)
{
    struct http_transfer *transfer = exchange->transfer;
    if (transfer->state == TRANSFER_READING)
        return 0;
    if (transfer->state == TRANSFER_IDLE) {
        (void)lws_http_headers_detach(wsi); /* others may need their room, this may take long */
        return read_chunk(transfer) < 0 ? -1 : 0;
    }
    bool last = transfer->offset + (int64_t)transfer->filled >= transfer->end;
    int written = lws_write(wsi, transfer->buffer, transfer->filled,
                            last ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP);
    buffer_give(transfer->buffer);
    transfer->buffer = NULL;
    transfer->state = TRANSFER_IDLE;
    if (written < 0)
        return -1;
    transfer->offset += (int64_t)transfer->filled;
    metrics_add(transfer->server->metrics, METRIC_OUTPUT_BYTES, "http", NULL,
                (double)transfer->filled);
    lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_CONTENT, STALL_S);
    if (!last) {
        lws_callback_on_writable(wsi);
        return 0;
    }
    http_result_drop(exchange);
    return lws_http_transaction_completed(wsi) ? -1 : 0;
}

/* ---- the request ---- */

/* What the path and the records say of the output that is asked for. */
struct wanted {
    char job[IDENTIFIER_SIZE];
    int output;
    const char *name, *mime; /* borrowed */
    char tag[80];            /* the entity tag in its quotes */
    int64_t size;
};

/* /jobs/JOB/outputs/N, and whatever name is behind it. */
static bool parse_path(const char *path, struct wanted *wanted)
{
    static const char before[] = "/jobs/", between[] = "/outputs/";
    const char *rest = path + sizeof(before) - 1;
    size_t length = strcspn(rest, "/");
    if (length != IDENTIFIER_SIZE - 1)
        return false;
    memcpy(wanted->job, rest, length);
    wanted->job[length] = '\0';
    rest += length;
    if (!identifier_valid(wanted->job) || strncmp(rest, between, sizeof(between) - 1) != 0)
        return false;
    rest += sizeof(between) - 1;
    size_t digits = strspn(rest, "0123456789");
    if (digits == 0 || digits > 6 || (rest[digits] && rest[digits] != '/'))
        return false;
    wanted->output = atoi(rest);
    return true;
}

/* Whether the link's signature is right. */
static bool is_signed(const struct http_call *call, const struct wanted *wanted)
{
    static const char name[] = "signature=";
    char text[128];
    const char *signature = lws_get_urlarg_by_name(call->wsi, name, text, sizeof(text));
    return link_verify(&call->server->link_key, wanted->job, wanted->output, signature);
}

static const json_t *find_entry(const json_t *outputs, int output)
{
    size_t index;
    json_t *entry;
    json_array_foreach((json_t *)outputs, index, entry)
    {
        if (json_integer_value(json_object_get(entry, "index")) == output)
            return entry;
    }
    return NULL;
}

static void describe(struct wanted *wanted, const json_t *entry)
{
    const char *sha256 = json_string_value(json_object_get(entry, "sha256"));
    const char *name = json_string_value(json_object_get(entry, "name"));
    const char *mime = json_string_value(json_object_get(entry, "mime"));
    (void)snprintf(wanted->tag, sizeof(wanted->tag), "\"%.64s\"", sha256 ? sha256 : "");
    wanted->name = name ? name : "output";
    wanted->mime = mime ? mime : "application/octet-stream";
    wanted->size = json_integer_value(json_object_get(entry, "size"));
}

/* 200, or the status that refuses the request, with the sentence. */
static int look_up(const struct http_call *call, struct wanted *wanted, const char **sentence)
{
    struct server *server = call->server;
    bool tokens = callers_required(&server->callers);
    bool with_signature = is_signed(call, wanted);
    const char *caller = peer_caller(call->wsi, server);
    *sentence = "a token, or the signed link, is wanted\n";
    if (tokens && !with_signature && (!caller || !*caller))
        return 401;
    const json_t *record = journal_get(server->journal, wanted->job);
    *sentence = "the job's record can't be read\n";
    if (!record && journal_unreadable(server->journal))
        return 500;
    const char *owner = json_string_value(json_object_get(record, "caller"));
    *sentence = "there is no such result\n";
    if (!record || (tokens && !with_signature && (!owner || strcmp(owner, caller) != 0)))
        return 404;
    const struct job *job = job_find(server, wanted->job);
    bool ended = !job || job_ended(job);
    const json_t *entry =
        find_entry(job ? job->outputs : json_object_get(record, "outputs"), wanted->output);
    if (!entry && !ended) {
        *sentence = "the result is not made yet\n";
        return 409;
    }
    const char *state = json_string_value(json_object_get(record, "state"));
    if (!entry || (ended && (!state || strcmp(state, "completed") != 0)))
        return 404;
    describe(wanted, entry);
    return 200;
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* Pictures, sound and film: what a browser shows without running it. */
static bool inert(const char *mime)
{
    return (begins(mime, "image/") && !begins(mime, "image/svg")) || begins(mime, "audio/") ||
           begins(mime, "video/");
}

static void add_common(struct http_head *head, const struct http_call *call,
                       const struct wanted *wanted)
{
    http_head_add(head, "Accept-Ranges", "bytes");
    http_head_add(head, "ETag", "%s", wanted->tag);
    http_head_add(head, "Cache-Control", "private, no-cache");
    http_add_origin(head, call);
}

/* Which part of it the request wants. */
static enum http_range wanted_range(const struct http_call *call, const struct wanted *wanted,
                                    int64_t *from, int64_t *end)
{
    char range[256], condition[128];
    *from = 0;
    *end = wanted->size;
    if (call->head_only || !peer_header(call->wsi, WSI_TOKEN_HTTP_RANGE, range, sizeof(range)))
        return RANGE_WHOLE;
    if (lws_hdr_total_length(call->wsi, WSI_TOKEN_HTTP_IF_RANGE) > 0 &&
        (!peer_header(call->wsi, WSI_TOKEN_HTTP_IF_RANGE, condition, sizeof(condition)) ||
         strcmp(condition, wanted->tag) != 0))
        return RANGE_WHOLE;
    return http_range_parse(range, wanted->size, from, end);
}

static int start_transfer(const struct http_call *call, const struct wanted *wanted, int fd,
                          int64_t from, int64_t end)
{
    struct http_transfer *transfer = calloc(1, sizeof(*transfer));
    if (!transfer) {
        close(fd);
        return -1;
    }
    transfer->server = call->server;
    transfer->wsi = call->wsi;
    memcpy(transfer->job, wanted->job, sizeof(transfer->job));
    transfer->fd = fd;
    transfer->offset = from;
    transfer->end = end;
    LIST_INSERT_HEAD(&call->server->transfers, transfer, link);
    call->server->transfer_count++;
    call->exchange->transfer = transfer;
    lws_set_timeout(call->wsi, PENDING_TIMEOUT_HTTP_CONTENT, STALL_S);
    lws_callback_on_writable(call->wsi);
    return 0;
}

/* An answer of one chunk that is in the page cache goes out with its head. 1 if it did, 0 if it has
 * to be read first, -1 on failure. */
static int send_cached(const struct http_call *call, int fd, int64_t from, int64_t end)
{
    size_t size = (size_t)(end - from);
    unsigned char *buffer = end - from <= BUFFER_CHUNK ? buffer_take() : NULL;
    const struct iovec part = {.iov_base = buffer, .iov_len = size};
    int sent = 0;
    if (buffer && preadv2(fd, &part, 1, from, RWF_NOWAIT) == (ssize_t)size)
        sent = lws_write(call->wsi, buffer, size, LWS_WRITE_HTTP_FINAL) < 0 ? -1 : 1;
    buffer_give(buffer);
    if (sent > 0)
        metrics_add(call->server->metrics, METRIC_OUTPUT_BYTES, "http", NULL, (double)size);
    return sent;
}

/* The file is there and open; it is closed, or the transfer's. */
static int answer_with(const struct http_call *call, const struct wanted *wanted, int fd)
{
    struct http_head head;
    int64_t from, end;
    enum http_range range = wanted_range(call, wanted, &from, &end);
    http_head_begin(&head, range == RANGE_WHOLE ? 200 : range == RANGE_PART ? 206 : 416);
    add_common(&head, call, wanted);
    if (range == RANGE_NOWHERE) {
        http_head_add(&head, "Content-Range", "bytes */%lld", (long long)wanted->size);
        http_head_add(&head, "Content-Length", "0");
        close(fd);
        return http_answer_head(&head, call);
    }
    if (range == RANGE_PART) {
        http_head_add(&head, "Content-Range", "bytes %lld-%lld/%lld", (long long)from,
                      (long long)end - 1, (long long)wanted->size);
    }
    http_head_add(&head, "Content-Type", "%s", wanted->mime);
    http_head_add(&head, "Content-Length", "%lld", (long long)(end - from));
    http_head_add_disposition(&head, inert(wanted->mime), wanted->name);
    if (!inert(wanted->mime))
        http_head_add(&head, "Content-Security-Policy", "sandbox; default-src 'none'");
    if (call->head_only || from == end) {
        close(fd);
        return http_answer_head(&head, call);
    }
    int sent = http_head_write(&head, call->wsi) < 0 ? -1 : send_cached(call, fd, from, end);
    if (sent == 0)
        return start_transfer(call, wanted, fd, from, end);
    close(fd);
    return sent < 0 || lws_http_transaction_completed(call->wsi) ? -1 : 0;
}

int http_result_request(const struct http_call *call)
{
    struct wanted wanted;
    const char *sentence;
    if (!parse_path(call->path, &wanted))
        return http_refuse(call, 404, "not found\n");
    int status = look_up(call, &wanted, &sentence);
    if (status != 200)
        return http_refuse(call, status, sentence);
    char id[BLOB_ID_MAX], tags[1024];
    blob_id(id, wanted.job, BLOB_OUT, wanted.output);
    int fd = blob_open_read(id);
    if (fd < 0)
        return http_refuse(call, 404, "the result is no longer there\n");
    if (peer_header(call->wsi, WSI_TOKEN_HTTP_IF_NONE_MATCH, tags, sizeof(tags)) &&
        http_tags_have(tags, wanted.tag)) {
        close(fd);
        struct http_head head;
        http_head_begin(&head, 304);
        add_common(&head, call, &wanted);
        return http_answer_head(&head, call);
    }
    return answer_with(call, &wanted, fd);
}
