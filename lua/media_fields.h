/*
 * The fields of a stream by name: one table, from which scripts read fields and probe's JSON is
 * made, so that both always say the same.
 */
#ifndef LUMA_LUA_MEDIA_FIELDS_H
#define LUMA_LUA_MEDIA_FIELDS_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/media.h"

enum media_value_kind {
    MEDIA_UNKNOWN, /* null, nil */
    MEDIA_FLAG,
    MEDIA_INTEGER,
    MEDIA_NUMBER,
    MEDIA_TEXT,
    MEDIA_COLOR,
    MEDIA_TAGS,
};

struct media_value {
    enum media_value_kind kind;
    bool flag;
    int64_t integer;
    double number;
    const char *text; /* lives as long as the media; not always UTF-8 */
    const struct media_color *color;
    const AVDictionary *tags; /* may be NULL: none */
};

struct media_field {
    const char *name;
    int kind;     /* enum AVMediaType that has it, or -1: all */
    bool lasting; /* what a filter makes of the stream still has it */
    void (*read)(const struct media_stream *stream, struct media_value *value);
};

/* Ends with a NULL name. */
extern const struct media_field media_fields[];

/* "video", "audio", "subtitle", "attachment", "data". */
const char *media_kind_name(enum AVMediaType kind);

#endif
