/*
 * Media told to a person: the JSON of operation_media_json() as a few lines of text.
 */
#ifndef LUMA_LUA_SUMMARY_H
#define LUMA_LUA_SUMMARY_H

#include <jansson.h>
#include <stdio.h>

#include "lua/terminal.h"

/* Container, duration, each stream on a line, chapters, tags. */
void summary_print(const json_t *media, const struct terminal *terminal);

/* One of the streams, as that has it. */
void summary_print_stream(const json_t *stream, const struct terminal *terminal);

/* "0:30, 854x480 h264, aac": one line for a list of files. */
void summary_line(const json_t *media, char *text, size_t size);

#endif
