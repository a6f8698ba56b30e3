/*
 * One transfer: a request, or several where it is sent on, each with its URL judged first.
 *
 * A body that isn't wanted (of a redirect, of an error) is not read: the first of it ends the
 * request, and what to make of it is decided by its status.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "server/fetch_internal.h"

#define REDIRECTS_MAX      5
#define HEADERS_MAX        (64 * 1024)
#define CONNECT_TIMEOUT_MS 10000
#define SPEED_MIN          1000         /* bytes a second, over the time of a standstill */
#define RECEIVE_SIZE       (128 * 1024) /* from the socket at a time */
#define STATUS_OK          200

_Static_assert(FETCH_DATA_MAX >= CURL_MAX_WRITE_SIZE, "libcurl hands over more than is promised");

/* ---- what libcurl asks ---- */

static curl_socket_t on_socket_wanted(void *opaque, curlsocktype purpose,
                                      struct curl_sockaddr *address)
{
    struct fetch *fetch = opaque;
    fetch->resolved = true;
    if (fetch->abandoned)
        return CURL_SOCKET_BAD;
    if (purpose != CURLSOCKTYPE_IPCXN ||
        !address_allowed(fetch->fetcher->rules, fetch->url.host, &address->addr, fetch->url.port)) {
        fetch->forbidden = true;
        return CURL_SOCKET_BAD;
    }
    fetch->connecting = true;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* The connection is there, even if it should be one that is used again; nothing has been said on
 * it. */
static int on_connected(void *opaque, char *address, char *local, int port, int local_port)
{
    struct fetch *fetch = opaque;
    struct sockaddr_storage parsed;
    (void)local;
    (void)local_port;
    fetch->resolved = true;
    if (fetch->abandoned)
        return CURL_PREREQFUNC_ABORT;
    if (port == fetch->url.port && address_parse(address, &parsed) &&
        address_allowed(fetch->fetcher->rules, fetch->url.host, (struct sockaddr *)&parsed,
                        fetch->url.port))
        return CURL_PREREQFUNC_OK;
    fetch->forbidden = true;
    fetch->connecting = false;
    return CURL_PREREQFUNC_ABORT;
}

/* Whether the line is a Transfer-Encoding that isn't plain chunked: compression nobody asked for,
 * which libcurl would undo. */
static bool packs_transfer(const char *line, size_t size)
{
    static const char name[] = "transfer-encoding:", plain[] = "chunked";
    if (size < sizeof(name) - 1 || strncasecmp(line, name, sizeof(name) - 1) != 0)
        return false;
    line += sizeof(name) - 1;
    size -= sizeof(name) - 1;
    while (size > 0 && (*line == ' ' || *line == '\t')) {
        line++;
        size--;
    }
    while (size > 0 && strchr(" \t\r\n", line[size - 1]))
        size--;
    return size != sizeof(plain) - 1 || strncasecmp(line, plain, size) != 0;
}

static size_t on_header(char *line, size_t unit, size_t count, void *opaque)
{
    struct fetch *fetch = opaque;
    size_t size = unit * count;
    fetch->header_bytes += size;
    if (fetch->header_bytes > HEADERS_MAX) {
        problem_set(&fetch->problem, "download_failed",
                    "the answer has more than %d bytes of headers", HEADERS_MAX);
        return 0;
    }
    if (packs_transfer(line, size)) {
        problem_set(&fetch->problem, "download_failed",
                    "the answer comes in a form that was not "
                    "asked for");
        return 0;
    }
    return size;
}

static int refuse_size(struct fetch *fetch)
{
    problem_set(&fetch->problem, "download_too_large",
                "what the URL names has more than the %lld bytes that this server takes",
                (long long)fetch->fetcher->max_bytes);
    return -1;
}

/* Whether this body is the one that is wanted, and not too large by its own account. */
static int begin_body(struct fetch *fetch)
{
    long status = 0;
    curl_off_t size = -1;
    fetch->body_begun = true;
    (void)curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status != STATUS_OK)
        return -1;
    (void)curl_easy_getinfo(fetch->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &size);
    if (size > fetch->fetcher->max_bytes)
        return refuse_size(fetch);
    if (size >= 0)
        fetch->events->announced(fetch->opaque, size);
    return 0;
}

static size_t on_body(char *data, size_t unit, size_t count, void *opaque)
{
    struct fetch *fetch = opaque;
    size_t size = unit * count;
    if (!fetch->body_begun && begin_body(fetch) < 0)
        return CURL_WRITEFUNC_ERROR;
    if (size == 0)
        return 0;
    if ((int64_t)size > fetch->fetcher->max_bytes - fetch->received) {
        (void)refuse_size(fetch);
        return CURL_WRITEFUNC_ERROR;
    }
    switch (fetch->events->data(fetch->opaque, data, size, &fetch->problem)) {
    case FETCH_PAUSED:
        fetch->paused = true;
        return CURL_WRITEFUNC_PAUSE;
    case FETCH_FAILED:
        return CURL_WRITEFUNC_ERROR;
    default:
        fetch->received += (int64_t)size;
        return size;
    }
}

/* ---- a request ---- */

static int fail_setup(struct fetch *fetch)
{
    return problem_set(&fetch->problem, "internal", "a download could not be set up");
}

/* What doesn't change from one request to the next. */
static bool set_options(CURL *easy, struct fetch *fetch)
{
    long stall = (long)((fetch->fetcher->stall_timeout + 999) / 1000);
    const struct {
        CURLoption option;
        long value;
    } numbers[] = {
        {CURLOPT_NOSIGNAL, 1},
        {CURLOPT_QUICK_EXIT, 1},   /* the end of a fetch doesn't wait for a name server */
        {CURLOPT_FORBID_REUSE, 1}, /* what one answer leaves behind is not for another job */
        {CURLOPT_FOLLOWLOCATION, 0},
        {CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1},
        {CURLOPT_HTTP09_ALLOWED, 0},
        {CURLOPT_HTTP_CONTENT_DECODING, 0},
        {CURLOPT_NETRC, CURL_NETRC_IGNORED},
        {CURLOPT_BUFFERSIZE, RECEIVE_SIZE},
        {CURLOPT_LOW_SPEED_LIMIT, SPEED_MIN},
        {CURLOPT_LOW_SPEED_TIME, stall},
        {CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS},
        {CURLOPT_TCP_KEEPALIVE, 1},
    };
    static const struct {
        CURLoption option;
        const char *value;
    } texts[] = {
        {CURLOPT_PROTOCOLS_STR, "http,https"},
        {CURLOPT_PROXY, ""},
        {CURLOPT_USERAGENT, "luma/" LUMA_VERSION},
    };
    bool good = true;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        good = good && curl_easy_setopt(easy, numbers[i].option, numbers[i].value) == CURLE_OK;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        good = good && curl_easy_setopt(easy, texts[i].option, texts[i].value) == CURLE_OK;
    (void)curl_easy_setopt(easy, CURLOPT_PRIVATE, fetch);
    (void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_socket_wanted);
    (void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, fetch);
    (void)curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_connected);
    (void)curl_easy_setopt(easy, CURLOPT_PREREQDATA, fetch);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, fetch);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, fetch);
    return good;
}

/* Milliseconds that are left of its time. */
static int64_t time_left(const struct fetch *fetch)
{
    uint64_t now = uv_now(fetch->fetcher->loop);
    return fetch->deadline > now ? (int64_t)(fetch->deadline - now) : 0;
}

static int fail_late(struct fetch *fetch)
{
    return problem_set(&fetch->problem, "download_timeout", "the download took longer than %.3g s",
                       (double)fetch->fetcher->timeout / 1000);
}

static int send_request(struct fetch *fetch)
{
    int64_t left = time_left(fetch);
    if (left == 0)
        return fail_late(fetch);
    fetch->header_bytes = 0;
    fetch->body_begun = fetch->resolved = fetch->connecting = fetch->forbidden = false;
    if (curl_easy_setopt(fetch->easy, CURLOPT_CURLU, fetch->url.parts) != CURLE_OK ||
        curl_easy_setopt(fetch->easy, CURLOPT_TIMEOUT_MS, (long)left) != CURLE_OK ||
        fetch_loop_add(fetch->fetcher->curl, fetch->easy) < 0)
        return fail_setup(fetch);
    return 0;
}

int fetch_transfer_begin(struct fetch *fetch)
{
    const struct fetcher *fetcher = fetch->fetcher;
    fetch->deadline = uv_now(fetcher->loop) + (uint64_t)fetcher->timeout;
    if (fetch_url_set(&fetch->url, fetch->text, fetcher->rules, &fetch->problem) < 0)
        return -1;
    fetch->easy = curl_easy_init();
    if (!fetch->easy || !set_options(fetch->easy, fetch))
        return fail_setup(fetch);
    return send_request(fetch);
}

/* ---- the end of a request ---- */

/* The same request would fail again. */
static int fail_for_good(struct fetch *fetch, const char *what)
{
    problem_set(&fetch->problem, "download_failed", "%s", what);
    fetch->problem.permanent = true;
    return -1;
}

static bool is_redirect(long status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static int follow(struct fetch *fetch)
{
    struct curl_header *location;
    if (++fetch->redirects > REDIRECTS_MAX)
        return fail_for_good(fetch, "the URL is sent on more often than is followed");
    if (curl_easy_header(fetch->easy, "Location", 0, CURLH_HEADER, -1, &location) != CURLHE_OK ||
        !*location->value)
        return fail_for_good(fetch, "the URL is sent on to nowhere");
    if (fetch_url_set(&fetch->url, location->value, fetch->fetcher->rules, &fetch->problem) < 0) {
        return strcmp(fetch->problem.code, "invalid_input") == 0
                   ? fail_for_good(fetch, "the URL is sent on to something that is no URL")
                   : -1;
    }
    return send_request(fetch);
}

static int fail_status(struct fetch *fetch, long status)
{
    problem_set(&fetch->problem, "download_failed", "the URL was answered with HTTP status %ld",
                status);
    fetch->problem.permanent = status < 500 && status != 408 && status != 425 && status != 429;
    return problem_detail(&fetch->problem, "http_status", json_integer(status));
}

static int fail_slow(struct fetch *fetch)
{
    curl_off_t connected = 0;
    (void)curl_easy_getinfo(fetch->easy, CURLINFO_CONNECT_TIME_T, &connected);
    uv_update_time(fetch->fetcher->loop);
    if (time_left(fetch) < 50)
        return fail_late(fetch);
    if (connected == 0) {
        return problem_set(&fetch->problem, "download_timeout",
                           "no connection was there after %d s", CONNECT_TIMEOUT_MS / 1000);
    }
    return problem_set(&fetch->problem, "download_timeout",
                       "fewer than %d bytes a second came for %.3g s", SPEED_MIN,
                       (double)fetch->fetcher->stall_timeout / 1000);
}

static int fail_transfer(struct fetch *fetch, CURLcode result)
{
    static const struct {
        CURLcode result;
        const char *what;
        bool for_good;
    } causes[] = {
        {CURLE_COULDNT_RESOLVE_HOST, "the host of the URL has no address", false},
        {CURLE_COULDNT_CONNECT, "no connection to the host of the URL could be made", false},
        {CURLE_GOT_NOTHING, "the connection ended without an answer", false},
        {CURLE_PARTIAL_FILE, "the connection ended before everything was there", false},
        {CURLE_RECV_ERROR, "the connection broke", false},
        {CURLE_SEND_ERROR, "the connection broke", false},
        {CURLE_SSL_CONNECT_ERROR, "no secure connection could be made", false},
        {CURLE_PEER_FAILED_VERIFICATION, "the certificate of the host is not valid", true},
        {CURLE_UNSUPPORTED_PROTOCOL, "the answer is not HTTP", true},
        {CURLE_WEIRD_SERVER_REPLY, "the answer is not HTTP", true},
    };
    for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++) {
        if (causes[i].result != result)
            continue;
        problem_set(&fetch->problem, "download_failed", "%s", causes[i].what);
        fetch->problem.permanent = causes[i].for_good;
        return -1;
    }
    return result == CURLE_OUT_OF_MEMORY
               ? fail_setup(fetch)
               : problem_set(&fetch->problem, "download_failed", "the download broke off");
}

/* 0: everything is there; 1: another request is on its way; -1 with the problem. */
static int judge(struct fetch *fetch, CURLcode result)
{
    long status = 0;
    if (fetch->problem.code)
        return -1;
    if (fetch->forbidden && !fetch->connecting) {
        return problem_set(&fetch->problem, "url_forbidden",
                           "this server does not fetch from the address that the URL leads to");
    }
    if (result == CURLE_OPERATION_TIMEDOUT)
        return fail_slow(fetch);
    (void)curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
    bool answered = result == CURLE_OK || (result == CURLE_WRITE_ERROR && fetch->body_begun);
    if (answered && is_redirect(status))
        return follow(fetch) < 0 ? -1 : 1;
    if (answered && status != STATUS_OK)
        return fail_status(fetch, status);
    return result == CURLE_OK ? 0 : fail_transfer(fetch, result);
}

void fetch_transfer_over(struct fetch *fetch, CURLcode result)
{
    if (fetch->abandoned || judge(fetch, result) <= 0)
        fetch_end(fetch);
}

void fetch_resume(struct fetch *fetch)
{
    if (!fetch->paused || fetch->broken)
        return;
    fetch->paused = false;
    CURLcode result = curl_easy_pause(fetch->easy, CURLPAUSE_CONT);
    if (result == CURLE_OK)
        return;
    if (!fetch->problem.code)
        (void)fail_transfer(fetch, result);
    fetch_end_soon(fetch);
}
