/*
 * libwebsockets' own functions for this know neither the reason phrases nor the bounds that are
 * wanted here; on HTTP/1.1, the only version that is served, a head is plain text.
 */
#include "server/http_head.h"

#include <ctype.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

static const struct {
    int status;
    const char *reason;
} reasons[] = {
    {200, "OK"},
    {204, "No Content"},
    {206, "Partial Content"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {409, "Conflict"},
    {416, "Range Not Satisfiable"},
    {426, "Upgrade Required"},
    {500, "Internal Server Error"},
    {503, "Service Unavailable"},
};

static void append(struct http_head *head, const char *text, size_t size)
{
    if (size > HTTP_HEAD_MAX - head->size) {
        head->full = true;
        return;
    }
    memcpy(head->text + LWS_PRE + head->size, text, size);
    head->size += size;
}

static void append_text(struct http_head *head, const char *text)
{
    append(head, text, strlen(text));
}

void http_head_begin(struct http_head *head, int status)
{
    const char *reason = "";
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (reasons[i].status == status)
            reason = reasons[i].reason;
    }
    head->size = 0;
    head->full = false;
    char line[64], date[64];
    (void)snprintf(line, sizeof(line), "HTTP/1.1 %d %s\r\n", status, reason);
    append_text(head, line);
    time_t now = time(NULL);
    struct tm parts;
    gmtime_r(&now, &parts);
    (void)strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &parts);
    http_head_add(head, "Date", "%s", date);
    http_head_add(head, "X-Content-Type-Options", "nosniff");
}

void http_head_add(struct http_head *head, const char *name, const char *format, ...)
{
    char value[2048];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(value, sizeof(value), format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof(value)) {
        head->full = true;
        return;
    }
    for (const unsigned char *c = (const unsigned char *)value; *c; c++) {
        if (*c < 0x20 || *c == 0x7f)
            return;
    }
    append_text(head, name);
    append_text(head, ": ");
    append(head, value, (size_t)length);
    append_text(head, "\r\n");
}

/* The two forms of a file name: one for everybody, in plain ASCII, and the exact one. */
void http_head_add_disposition(struct http_head *head, bool show, const char *name)
{
    char simple[256], exact[3 * 256 + 1];
    size_t length = 0, used = 0;
    for (const unsigned char *c = (const unsigned char *)name; *c && length + 1 < sizeof(simple);
         c++) {
        bool token = isalnum(*c) || strchr("-._~", *c);
        bool plain = *c >= 0x20 && *c < 0x7f && !strchr("\"\\%/", *c);
        simple[length++] = plain ? (char)*c : '_';
        used += (size_t)snprintf(exact + used, sizeof(exact) - used, token ? "%c" : "%%%02X", *c);
    }
    simple[length] = '\0';
    exact[used] = '\0';
    http_head_add(head, "Content-Disposition", "%s; filename=\"%s\"; filename*=UTF-8''%s",
                  show ? "inline" : "attachment", simple, exact);
}

int http_head_write(struct http_head *head, struct lws *wsi)
{
    append_text(head, "\r\n");
    if (head->full)
        return -1;
    return lws_write(wsi, head->text + LWS_PRE, head->size, LWS_WRITE_HTTP_HEADERS) < 0 ? -1 : 0;
}
