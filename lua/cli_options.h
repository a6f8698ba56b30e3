/*
 * Arguments of a command: the command's own flags, and the options of an operation as its schema
 * declares them.
 *
 * Understood: --name value, --name=value, --flag, --no-flag, -o VALUE, -oVALUE; `-` and `_` are the
 * same inside a name; `--` ends the options. A list may be given as "a,b" or by repeating its
 * option; an object as JSON, field by field (--crop.width 100), or empty, with no value. Where both
 * know a name, the command's own flag wins.
 */
#ifndef LUMA_LUA_CLI_OPTIONS_H
#define LUMA_LUA_CLI_OPTIONS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "engine/error.h"

enum cli_kind {
    CLI_FLAG,    /* target: bool */
    CLI_TEXT,    /* target: const char *, borrowed from argv */
    CLI_INTEGER, /* target: int, not negative */
    CLI_JSON,    /* target: json_t *, an object; the caller's to decref */
};

struct cli_flag {
    const char *name; /* without dashes */
    char letter;      /* or 0 */
    enum cli_kind kind;
    void *target;
    const char *value; /* "DIR", for help; NULL for flags */
    const char *help;
};

/* Parses argv[1..]. Values of the schema's options (a document of schema.h, may be NULL) are put
 * into `options`. What is left, the positional arguments, is moved to the front: argv[0..n-1].
 * Returns n, or a negative code with the sentence in e. */
int cli_parse(int argc, char **argv, const struct cli_flag *flags, int flag_count,
              const json_t *schema, json_t *options, struct error *e);

/* The last value of a text flag anywhere in argv, before any parsing; NULL if it isn't there. */
const char *cli_peek(int argc, char **argv, const char *name);

/* The help lines of flags. */
void cli_print_flags(FILE *stream, const struct cli_flag *flags, int flag_count);

#endif
