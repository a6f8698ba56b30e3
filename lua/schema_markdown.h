/*
 * Operations as a page of the documentation, made from what their scripts declare.
 */
#ifndef LUMA_LUA_SCHEMA_MARKDOWN_H
#define LUMA_LUA_SCHEMA_MARKDOWN_H

#include <jansson.h>
#include <stdio.h>

/* Writes one operation, as operation_describe() gives it: a heading, what it does, a table of its
 * options and its examples. */
void schema_markdown(FILE *out, const json_t *description);

#endif
