/*
 * Errors that a person reads: codes, names, and texts that are always valid UTF-8 on one line.
 *
 * Texts come from file tags, option values and libav, so none of it can be trusted to be well
 * formed; what goes to a client as JSON must be. Nothing here allocates.
 */
#include "engine/error.h"

#include <errno.h>
#include <libavutil/error.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#undef error_set
#undef error_set_av

static const struct {
    int code;
    const char *name;
} names[] = {
    {ERROR_INVALID_OPTION, "invalid_option"},
    {ERROR_INVALID_INPUT, "invalid_input"},
    {ERROR_UNSUPPORTED_MEDIA, "unsupported_media"},
    {ERROR_CORRUPT_MEDIA, "corrupt_media"},
    {ERROR_NO_SUCH_STREAM, "no_such_stream"},
    {ERROR_SCRIPT, "script_error"},
    {ERROR_ENCODE_FAILED, "encode_failed"},
    {ERROR_TIMEOUT, "timeout"},
    {ERROR_STALLED, "stalled"},
    {ERROR_CANCELLED, "cancelled"},
    {ERROR_OUT_OF_MEMORY, "out_of_memory"},
    {ERROR_LIMIT_EXCEEDED, "limit_exceeded"},
    {ERROR_DISK_FULL, "disk_full"},
    {ERROR_INTERNAL, "internal"},
};

const char *error_name(int code)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (names[i].code == code) {
            return names[i].name;
        }
    }
    return "internal";
}

int error_from_name(const char *name)
{
    for (size_t i = 0; name && i < sizeof names / sizeof *names; i++) {
        if (!strcmp(names[i].name, name)) {
            return names[i].code;
        }
    }
    return ERROR_NONE;
}

/* Length of the well-formed UTF-8 sequence at s (Unicode 15, table 3-7), 0 if there is none. */
static size_t sequence_length(const unsigned char *s)
{
    if (s[0] < 0x80) {
        return 1;
    }
    size_t length = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4) {
        return 0;
    }
    unsigned low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
    unsigned high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;
    if (s[1] < low || s[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < length; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return length;
}

/* Makes a text valid UTF-8 without control characters, in place. A sequence that was cut at the
 * buffer's end is dropped, anything else that is malformed becomes '?'. */
static void text_clean(char *text, bool cut)
{
    unsigned char *s = (unsigned char *)text;
    while (*s) {
        size_t length = sequence_length(s);
        if (length == 1 && (*s < 0x20 || *s == 0x7f)) {
            *s = ' ';
        } else if (!length) {
            size_t tail = strlen((char *)s);
            size_t wanted = *s >= 0xf0 ? 4 : *s >= 0xe0 ? 3 : 2;
            if (cut && *s >= 0xc2 && tail < wanted) {
                *s = '\0';
                break;
            }
            *s = '?';
            length = 1;
        }
        s += length;
    }
}

void error_clean_text(char *text)
{
    text_clean(text, false);
}

/* Appends as much of a text as fits. */
static void text_append(char *to, size_t size, const char *from)
{
    size_t have = strlen(to);
    size_t more = strlen(from);
    size_t room = size - have - 1;
    memcpy(to + have, from, more < room ? more : room);
    to[have + (more < room ? more : room)] = '\0';
    text_clean(to + have, more > room);
}

static void text_copy(char *to, size_t size, const char *from)
{
    size_t length = strlen(from);
    memmove(to, from, length < size ? length + 1 : size - 1);
    to[size - 1] = '\0';
    text_clean(to, length >= size);
}

/* The arguments may point into e itself, so the text is made beside it. */
__attribute__((format(printf, 3, 0))) static void set_message(struct error *e, int code,
                                                              const char *format, va_list arguments)
{
    char message[sizeof e->message];
    int length = vsnprintf(message, sizeof message, format, arguments);
    if (length < 0) {
        message[0] = '\0';
    }
    text_clean(message, (size_t)length >= sizeof message);
    memcpy(e->message, message, sizeof message);
    e->code = code;
    e->path[0] = e->got[0] = e->expected[0] = '\0';
}

int error_set(struct error *e, int code, const char *format, ...)
{
    if (e) {
        va_list arguments;
        va_start(arguments, format);
        set_message(e, code, format, arguments);
        va_end(arguments);
    }
    return code;
}

int error_set_av(struct error *e, int code, int averror, const char *format, ...)
{
    if (averror == AVERROR(ENOMEM)) {
        code = ERROR_OUT_OF_MEMORY;
    } else if (averror == AVERROR(ENOSPC) || averror == AVERROR(EDQUOT)) {
        code = ERROR_DISK_FULL;
    } else if (averror == AVERROR_EXIT) {
        code = ERROR_CANCELLED;
    }
    if (e) {
        va_list arguments;
        va_start(arguments, format);
        set_message(e, code, format, arguments);
        va_end(arguments);
        char words[AV_ERROR_MAX_STRING_SIZE] = "";
        av_strerror(averror, words, sizeof words);
        text_append(e->message, sizeof e->message, ": ");
        text_append(e->message, sizeof e->message, words);
    }
    return code;
}

int error_place(struct error *e, const char *path, const char *got, const char *expected)
{
    if (!e) {
        return ERROR_INTERNAL;
    }
    if (path) {
        text_copy(e->path, sizeof e->path, path);
    }
    if (got) {
        text_copy(e->got, sizeof e->got, got);
    }
    if (expected) {
        text_copy(e->expected, sizeof e->expected, expected);
    }
    return e->code;
}

int error_prefix(struct error *e, const char *format, ...)
{
    if (!e) {
        return ERROR_INTERNAL;
    }
    char message[sizeof e->message] = "";
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    if (length >= 0) {
        text_clean(message, (size_t)length >= sizeof message);
        text_append(message, sizeof message, ": ");
        text_append(message, sizeof message, e->message);
        memcpy(e->message, message, sizeof message);
    }
    return e->code;
}
