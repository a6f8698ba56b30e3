/*
 * Option schemas: declared once in a script, and from that one declaration come validation, the
 * JSON Schema that clients get, --help and the documentation.
 *
 * A schema document is plain JSON, so that the server can validate without running Lua:
 *   [{"name": "crf", "type": "number", "min": 0, "max": 63, "required": false, "default": 23,
 *     "values": [...], "pattern": "...", "of": {...}, "fields": [...], "unit": "...", "help":
 * ".."}] Types: number, integer, boolean, string, enum, time, bitrate, size, color, list, object.
 *
 * min and max bound a number's value (of a time seconds, of a bitrate bits per second, of a size
 * bytes), a string's length in characters, a list's length. Without min a time begins at 0, a
 * bitrate and a size at 1. values is for enum (texts), number and integer (numbers); pattern, a
 * POSIX extended expression, for string; of for list; fields for object.
 *   "percent": true   a time may be given as "50%" too, and then stays that text
 *   "decibel": true   a number may be given as "-6dB" too, and becomes the factor that this is
 *   "single": true    a list may be given as one item without the brackets
 */
#ifndef LUMA_LUA_SCHEMA_H
#define LUMA_LUA_SCHEMA_H

#include <jansson.h>

#include "engine/error.h"

/* Checks a schema document itself (operators write them): 0, or ERROR_SCRIPT with the place. */
int schema_check(const json_t *schema, struct error *e);

/* Validates options against a schema document: unknown names (with the nearest), types, ranges,
 * required ones. Returns a new object with defaults filled in and values normalised (time to
 * seconds, bitrate to bits per second, size to bytes, as numbers); NULL with ERROR_INVALID_OPTION,
 * whose path is like "options.segments[2].start". A JSON null means "not given". */
json_t *schema_validate(const json_t *schema, const json_t *options, struct error *e);

/* The JSON Schema 2020-12 object. */
json_t *schema_to_json_schema(const json_t *schema);

/* A value of the given option from command-line text: "1.5", "true", "a,b" for lists of scalars,
 * JSON for objects and lists of objects. NULL with the error. */
json_t *schema_parse_text(const json_t *option, const char *text, struct error *e);

/* Help text for a terminal of the given width: one option a paragraph. malloc'ed. */
char *schema_help(const json_t *schema, int width);

#endif
