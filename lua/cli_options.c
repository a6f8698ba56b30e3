/*
 * The parser of cli_options.h.
 */
#include "lua/cli_options.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "engine/introspect.h"
#include "lua/schema.h"

enum { NAME_MAX_LENGTH = 64, NAMES_MAX = 128 };

struct parser {
    int argc;
    char **argv;
    int next; /* first argument that hasn't been read */
    const struct cli_flag *flags;
    int flag_count;
    const json_t *schema;
    json_t *options;
};

/* "max-width" and "max_width" are the same name. */
static bool same_name(const char *a, const char *b)
{
    for (; *a && *b; a++, b++) {
        if ((*a == '-' ? '_' : *a) != (*b == '-' ? '_' : *b)) {
            return false;
        }
    }
    return *a == *b;
}

static const struct cli_flag *find_flag(const struct parser *parser, const char *name, char letter)
{
    for (int i = 0; i < parser->flag_count; i++) {
        const struct cli_flag *flag = &parser->flags[i];
        if (letter ? flag->letter == letter : same_name(flag->name, name)) {
            return flag;
        }
    }
    return NULL;
}

static const char *option_text(const json_t *option, const char *field)
{
    const char *text = json_string_value(json_object_get(option, field));
    return text ? text : "";
}

static const json_t *find_option(const json_t *schema, const char *name)
{
    size_t i;
    json_t *option;
    json_array_foreach(schema, i, option)
    {
        if (same_name(option_text(option, "name"), name)) {
            return option;
        }
    }
    return NULL;
}

static bool is_type(const json_t *option, const char *type)
{
    return !strcmp(option_text(option, "type"), type);
}

static int unknown_option(const struct parser *parser, const char *name, struct error *e)
{
    const char *names[NAMES_MAX];
    size_t count = 0;
    for (int i = 0; i < parser->flag_count && count < NAMES_MAX; i++) {
        names[count++] = parser->flags[i].name;
    }
    size_t i;
    json_t *option;
    json_array_foreach(parser->schema, i, option)
    {
        if (count < NAMES_MAX) {
            names[count++] = option_text(option, "name");
        }
    }
    char plain[NAME_MAX_LENGTH];
    snprintf(plain, sizeof plain, "%s", name);
    for (char *c = plain; *c; c++) {
        *c = (char)(*c == '-' ? '_' : *c);
    }
    const char *near = introspect_nearest(plain, names, count);
    if (near) {
        return error_set(e, ERROR_INVALID_OPTION, "unknown option '--%s'; did you mean '--%s'?",
                         name, near);
    }
    return error_set(e, ERROR_INVALID_OPTION, "unknown option '--%s'", name);
}

/* The value after "=", or the next argument. NULL with e if there is none. */
static const char *take_value(struct parser *parser, const char *name, const char *inline_value,
                              struct error *e)
{
    if (inline_value) {
        return inline_value;
    }
    if (parser->next < parser->argc) {
        return parser->argv[parser->next++];
    }
    error_set(e, ERROR_INVALID_OPTION, "--%s needs a value", name);
    return NULL;
}

static int set_integer(const struct cli_flag *flag, const char *text, struct error *e)
{
    char *end;
    long number = strtol(text, &end, 10);
    if (end == text || *end || number < 0 || number > INT_MAX) {
        return error_set(e, ERROR_INVALID_OPTION, "--%s takes a whole number, not '%s'", flag->name,
                         text);
    }
    *(int *)flag->target = (int)number;
    return 0;
}

static int set_json(const struct cli_flag *flag, const char *text, struct error *e)
{
    json_error_t reason;
    json_t *value = json_loads(text, JSON_REJECT_DUPLICATES, &reason);
    if (!json_is_object(value)) {
        json_decref(value);
        return error_set(e, ERROR_INVALID_OPTION, "--%s takes a JSON object%s%s", flag->name,
                         value ? "" : ": ", value ? "" : reason.text);
    }
    json_t **target = flag->target;
    json_decref(*target);
    *target = value;
    return 0;
}

static int take_flag(struct parser *parser, const struct cli_flag *flag, const char *inline_value,
                     struct error *e)
{
    if (flag->kind == CLI_FLAG) {
        if (inline_value) {
            return error_set(e, ERROR_INVALID_OPTION, "--%s takes no value", flag->name);
        }
        *(bool *)flag->target = true;
        return 0;
    }
    const char *text = take_value(parser, flag->name, inline_value, e);
    if (!text) {
        return e->code;
    }
    if (flag->kind == CLI_INTEGER) {
        return set_integer(flag, text, e);
    }
    if (flag->kind == CLI_JSON) {
        return set_json(flag, text, e);
    }
    *(const char **)flag->target = text;
    return 0;
}

/* Puts an option's value into the object; a list that is given again is continued. Consumes the
 * value. */
static int store(json_t *options, const char *name, json_t *value, struct error *e)
{
    json_t *before = json_object_get(options, name);
    int failed;
    if (json_is_array(before) && json_is_array(value)) {
        failed = json_array_extend(before, value);
        json_decref(value);
    } else {
        failed = json_object_set_new(options, name, value);
    }
    return failed ? error_set(e, ERROR_OUT_OF_MEMORY, "out of memory") : 0;
}

/* The words of an option's value: a boolean may go without, and so may an object, which is empty
 * then. NULL with e if there are none. */
static const char *option_words(struct parser *parser, const json_t *option, const char *name,
                                const char *inline_value, struct error *e)
{
    const char *following = parser->next < parser->argc ? parser->argv[parser->next] : "";
    if (is_type(option, "boolean") && !inline_value) {
        bool said = !strcmp(following, "true") || !strcmp(following, "false");
        return said ? parser->argv[parser->next++] : "true";
    }
    if (is_type(option, "object") && !inline_value && (!*following || *following == '-')) {
        return "{}";
    }
    return take_value(parser, name, inline_value, e);
}

static int take_option(struct parser *parser, const json_t *option, const char *inline_value,
                       struct error *e)
{
    const char *name = option_text(option, "name");
    const char *text = option_words(parser, option, name, inline_value, e);
    if (!text) {
        return e->code;
    }
    json_t *value = schema_parse_text(option, text, e);
    return value ? store(parser->options, name, value, e) : e->code;
}

static int unknown_field(const json_t *object, const char *field, struct error *e)
{
    const char *names[NAMES_MAX];
    size_t count = 0, i;
    json_t *option;
    json_array_foreach(json_object_get(object, "fields"), i, option)
    {
        if (count < NAMES_MAX) {
            names[count++] = option_text(option, "name");
        }
    }
    const char *outer = option_text(object, "name");
    const char *near = introspect_nearest(field, names, count);
    if (near) {
        return error_set(e, ERROR_INVALID_OPTION,
                         "unknown option '--%s.%s'; did you mean '--%s.%s'?", outer, field, outer,
                         near);
    }
    return error_set(e, ERROR_INVALID_OPTION, "unknown option '--%s.%s'", outer, field);
}

/* --object.field: puts the field's value into the object, which is made by its first field. */
static int take_field(struct parser *parser, const json_t *object, const char *field,
                      const char *inline_value, struct error *e)
{
    const json_t *option = find_option(json_object_get(object, "fields"), field);
    if (!option) {
        return unknown_field(object, field, e);
    }
    const char *outer = option_text(object, "name"), *inner = option_text(option, "name");
    char name[2 * NAME_MAX_LENGTH];
    snprintf(name, sizeof name, "%s.%s", outer, inner);
    const char *text = option_words(parser, option, name, inline_value, e);
    if (!text) {
        return e->code;
    }
    json_t *named = json_copy((json_t *)option); /* an error says the whole name */
    if (!named || json_object_set_new(named, "name", json_string(name))) {
        json_decref(named);
        return error_set(e, ERROR_OUT_OF_MEMORY, "out of memory");
    }
    json_t *value = schema_parse_text(named, text, e);
    json_decref(named);
    if (!value) {
        return e->code;
    }
    json_t *target = json_object_get(parser->options, outer);
    if (!json_is_object(target)) {
        target = json_object();
        if (json_object_set_new(parser->options, outer, target)) {
            json_decref(value);
            return error_set(e, ERROR_OUT_OF_MEMORY, "out of memory");
        }
    }
    return store(target, inner, value, e);
}

static int take_long(struct parser *parser, const char *argument, struct error *e)
{
    const char *equals = strchr(argument, '=');
    size_t length = equals ? (size_t)(equals - argument) : strlen(argument);
    char name[NAME_MAX_LENGTH];
    if (length >= sizeof name) {
        return error_set(e, ERROR_INVALID_OPTION, "unknown option '--%.*s...'", 20, argument);
    }
    memcpy(name, argument, length);
    name[length] = '\0';
    const char *inline_value = equals ? equals + 1 : NULL;

    const struct cli_flag *flag = find_flag(parser, name, 0);
    if (flag) {
        return take_flag(parser, flag, inline_value, e);
    }
    const json_t *option = find_option(parser->schema, name);
    if (option) {
        return take_option(parser, option, inline_value, e);
    }
    if (!strncmp(name, "no-", 3) || !strncmp(name, "no_", 3)) {
        option = find_option(parser->schema, name + 3);
        if (option && is_type(option, "boolean") && !inline_value) {
            return store(parser->options, option_text(option, "name"), json_false(), e);
        }
    }
    char *dot = strchr(name, '.');
    if (dot) {
        *dot = '\0';
        option = find_option(parser->schema, name);
        if (option && is_type(option, "object")) {
            return take_field(parser, option, dot + 1, inline_value, e);
        }
        *dot = '.';
    }
    return unknown_option(parser, name, e);
}

static int take_short(struct parser *parser, const char *argument, struct error *e)
{
    const struct cli_flag *flag = find_flag(parser, "", argument[0]);
    if (!flag) {
        return error_set(e, ERROR_INVALID_OPTION, "unknown option '-%s'", argument);
    }
    const char *rest = argument + 1;
    if (flag->kind == CLI_FLAG && *rest) {
        return error_set(e, ERROR_INVALID_OPTION, "unknown option '-%s'", argument);
    }
    return take_flag(parser, flag, *rest ? rest : NULL, e);
}

int cli_parse(int argc, char **argv, const struct cli_flag *flags, int flag_count,
              const json_t *schema, json_t *options, struct error *e)
{
    struct parser parser = {.argc = argc,
                            .argv = argv,
                            .next = 1,
                            .flags = flags,
                            .flag_count = flag_count,
                            .schema = schema,
                            .options = options};
    int count = 0;
    bool ended = false;
    while (parser.next < argc) {
        char *argument = argv[parser.next++];
        int code = 0;
        if (ended || argument[0] != '-' || !argument[1]) {
            argv[count++] = argument;
        } else if (!strcmp(argument, "--")) {
            ended = true;
        } else if (argument[1] == '-') {
            code = take_long(&parser, argument + 2, e);
        } else {
            code = take_short(&parser, argument + 1, e);
        }
        if (code) {
            return code;
        }
    }
    return count;
}

const char *cli_peek(int argc, char **argv, const char *name)
{
    const char *found = NULL;
    size_t length = strlen(name);
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strncmp(argv[i], "--", 2) != 0 || strncmp(argv[i] + 2, name, length) != 0) {
            continue;
        }
        const char *rest = argv[i] + 2 + length;
        if (*rest == '=') {
            found = rest + 1;
        } else if (!*rest && i + 1 < argc) {
            found = argv[++i];
        }
    }
    return found;
}

void cli_print_flags(FILE *stream, const struct cli_flag *flags, int flag_count)
{
    for (int i = 0; i < flag_count; i++) {
        char usage[64], letter[8] = "";
        if (flags[i].letter) {
            snprintf(letter, sizeof letter, "-%c, ", flags[i].letter);
        }
        snprintf(usage, sizeof usage, "%s--%s%s%s", letter, flags[i].name,
                 flags[i].value ? " " : "", flags[i].value ? flags[i].value : "");
        fprintf(stream, "  %-24s %s\n", usage, flags[i].help);
    }
}
