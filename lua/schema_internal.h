/*
 * What the schema's own files share: the table of types, and the texts that stand for values.
 */
#ifndef LUMA_LUA_SCHEMA_INTERNAL_H
#define LUMA_LUA_SCHEMA_INTERNAL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/error.h"

enum schema_type {
    SCHEMA_NUMBER,
    SCHEMA_INTEGER,
    SCHEMA_BOOLEAN,
    SCHEMA_STRING,
    SCHEMA_ENUM,
    SCHEMA_TIME,
    SCHEMA_BITRATE,
    SCHEMA_SIZE,
    SCHEMA_COLOR,
    SCHEMA_LIST,
    SCHEMA_OBJECT,
    SCHEMA_TYPE_COUNT,
};

/* Bounds on what a script may declare and a client may send. */
#define SCHEMA_MAX_DEPTH   6
#define SCHEMA_MAX_OPTIONS 100
#define SCHEMA_MAX_TEXT    65536 /* bytes of a string */
#define SCHEMA_MAX_MATCHED 4096  /* bytes of a string that a pattern is tried on */
#define SCHEMA_MAX_ITEMS   1000  /* of a list that names no max */

/* The name of a type ("number"), and the type of an option; -1 if it has none that is known. */
const char *schema_type_name(enum schema_type type);
int schema_type_of(const json_t *option);

/* The lowest value of a time, bitrate, size or number when the option names no min; false: any. */
bool schema_lower_bound(const json_t *option, double *bound);

/* "a number from 0.25 to 10": what the option takes. */
void schema_expected(const json_t *option, char *text, size_t size);

/* A JSON value as a person would write it, cut short: "12", "\"abc\"", "a list". */
void schema_show(const json_t *value, char *text, size_t size);

/* A number without trailing zeros, with a point whatever the locale. */
void schema_show_number(double value, char *text, size_t size);

/* Texts to values; false if malformed.
 * time: "12.5", "MM:SS", "HH:MM:SS.mmm", each with an optional sign; to seconds.
 * percent: "50%", 0 to 100.
 * decibel: "-6dB", "+3.5 dB"; to the factor of an amplitude.
 * bitrate: "128000", "128k", "2M"; to bits per second.
 * size: "1000", "500kB", "20MB", "1.5GiB" (kB, MB, GB, TB count by 1000; KiB.. by 1024); to bytes.
 * color: a name, "#rrggbb" or "#rrggbbaa". */
bool schema_read_time(const char *text, double *seconds);
bool schema_read_percent(const char *text, double *percent);
bool schema_read_decibel(const char *text, double *factor);
bool schema_read_bitrate(const char *text, int64_t *bits);
bool schema_read_size(const char *text, int64_t *bytes);
bool schema_read_color(const char *text);

/* Regular expressions that take exactly these texts, for JSON Schema. */
#define SCHEMA_PATTERN_TIME    "^-?([0-9]+:([0-5]?[0-9]:)?[0-5]?[0-9]|[0-9]+)(\\.[0-9]+)?$"
#define SCHEMA_PATTERN_PERCENT "^[0-9]+(\\.[0-9]+)?%$"
#define SCHEMA_PATTERN_DECIBEL "^[-+]?[0-9]+(\\.[0-9]+)? ?dB$"
#define SCHEMA_PATTERN_BITRATE "^[0-9]+(\\.[0-9]+)?[kKMG]?$"
#define SCHEMA_PATTERN_SIZE    "^[0-9]+(\\.[0-9]+)?([kKMGT]i?)?B?$"
#define SCHEMA_PATTERN_COLOR   "^(#[0-9a-fA-F]{6}([0-9a-fA-F]{2})?|[A-Za-z]+)$"

#endif
