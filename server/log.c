/*
 * Lines are made in a buffer on the stack and written with one write(2), so lines of several
 * threads don't mix, and what was logged before a crash is there.
 */
#include "server/log.h"

#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_SIZE    4096
#define LINE_RESERVE 256 /* for what ends a line, so that a long one is still whole */

struct line {
    char text[LINE_SIZE];
    size_t length;
};

static enum log_level log_lowest = LOG_INFO_LEVEL;
static bool log_json;

void log_init(enum log_level level, bool json)
{
    log_lowest = level;
    log_json = json;
}

/* Appends; what doesn't fit is cut, with room left for the line's end. */
static void __attribute__((format(printf, 2, 3))) add(struct line *line, const char *format, ...)
{
    size_t room = LINE_SIZE - 4 - line->length;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line->text + line->length, room, format, arguments);
    va_end(arguments);
    if (length > 0)
        line->length += (size_t)length < room ? (size_t)length : room - 1;
}

/* Bytes of the UTF-8 sequence that begins here; 0: it isn't one (RFC 3629). */
static size_t sequence_size(const unsigned char *c)
{
    size_t size = *c < 0x80 ? 1 : *c < 0xc2 ? 0 : *c < 0xe0 ? 2 : *c < 0xf0 ? 3 : *c < 0xf5 ? 4 : 0;
    for (size_t i = 1; i < size; i++) {
        if ((c[i] & 0xc0) != 0x80)
            return 0;
    }
    bool overlong = (*c == 0xe0 && c[1] < 0xa0) || (*c == 0xf0 && c[1] < 0x90);
    bool beyond = (*c == 0xed && c[1] > 0x9f) || (*c == 0xf4 && c[1] > 0x8f);
    return overlong || beyond ? 0 : size;
}

static bool has_room(const struct line *line)
{
    return line->length + LINE_RESERVE < LINE_SIZE;
}

static void add_quoted(struct line *line, const char *text)
{
    add(line, "\"");
    const unsigned char *c = (const unsigned char *)text;
    while (*c && has_room(line)) {
        size_t size = sequence_size(c);
        if (size == 0) {
            add(line, "\\ufffd");
        } else if (*c == '"' || *c == '\\') {
            add(line, "\\%c", *c);
        } else if (*c == '\n') {
            add(line, "\\n");
        } else if (*c < 0x20 || *c == 0x7f) {
            add(line, "\\u%04x", *c);
        } else {
            add(line, "%.*s", (int)size, (const char *)c);
        }
        c += size > 0 ? size : 1;
    }
    add(line, *c ? " (cut)\"" : "\"");
}

static bool plain(const char *text)
{
    if (!*text)
        return false;
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c <= ' ' || *c == '"' || *c == '=' || *c == '\\' || *c >= 0x7f)
            return false;
    }
    return strlen(text) < LINE_RESERVE / 2;
}

static void add_text(struct line *line, const char *text)
{
    if (!log_json && plain(text)) {
        add(line, "%s", text);
    } else {
        add_quoted(line, text);
    }
}

static void add_key(struct line *line, const char *key)
{
    if (log_json) {
        add(line, "%s\"%s\":", line->length > 1 ? "," : "", key);
    } else {
        add(line, "%s%s=", line->length ? " " : "", key);
    }
}

static void add_field(struct line *line, const struct log_field *field)
{
    if ((field->kind == LOG_TEXT_FIELD && !field->text) || !has_room(line))
        return;
    add_key(line, field->key);
    if (field->kind == LOG_TEXT_FIELD) {
        add_text(line, field->text);
    } else if (field->kind == LOG_INTEGER_FIELD) {
        add(line, "%lld", (long long)field->integer);
    } else if (isfinite(field->number)) {
        add(line, "%.6g", field->number);
    } else {
        add(line, "null");
    }
}

void log_write(enum log_level level, const char *event, const struct log_field *fields)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    if (level < log_lowest)
        return;
    struct line line = {.length = 0};
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct tm parts;
    gmtime_r(&now.tv_sec, &parts);
    char stamp[40];
    size_t length = strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &parts);
    (void)snprintf(stamp + length, sizeof(stamp) - length, ".%03ldZ", now.tv_nsec / 1000000);

    if (log_json)
        add(&line, "{");
    add_key(&line, "event");
    add_text(&line, event);
    for (const struct log_field *field = fields; field && field->kind != LOG_END; field++)
        add_field(&line, field);
    add_key(&line, "level");
    add_text(&line, names[level]);
    add_key(&line, "time");
    add_text(&line, stamp);
    if (log_json)
        line.text[line.length++] = '}';
    line.text[line.length++] = '\n';
    ssize_t written = write(STDERR_FILENO, line.text, line.length);
    (void)written; /* nowhere to complain */
}
