/*
 * What the files of introspect share, and helpers that the plan uses for its messages.
 */
#ifndef LUMA_ENGINE_INTROSPECT_INTERNAL_H
#define LUMA_ENGINE_INTROSPECT_INTERNAL_H

#include "engine/introspect.h"

/* FFmpeg 5.1's order of a filter's first options, as "w h flags interl"; NULL if not in the table.
 */
const char *introspect_positional_table(const char *filter);

/* Names of the encode options that the engine reads itself; NULL-terminated. */
const char *const *introspect_engine_options(void);

/* "video", "audio", "subtitles": for sentences. */
const char *introspect_kind(enum AVMediaType kind);

/* The range or the named values of an option, for error.expected: "a number from 0 to 51". */
void introspect_expected(const AVOption *option, const AVClass *class, char *text, size_t size);

/* The nearest of an option's named values, or NULL. */
const char *introspect_nearest_value(const AVOption *option, const AVClass *class,
                                     const char *value);

#endif
