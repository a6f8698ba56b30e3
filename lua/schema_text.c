/*
 * The command line's side of a schema: values read from words, and the help text.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lua/schema.h"
#include "lua/schema_internal.h"

static json_t *refuse_text(const json_t *option, const char *text, struct error *e)
{
    char expected[320], path[96];
    const char *name = json_string_value(json_object_get(option, "name"));

    schema_expected(option, expected, sizeof expected);
    snprintf(path, sizeof path, "options.%.64s", name ? name : "");
    error_set(e, ERROR_INVALID_OPTION, "option '%s' must be %s, not '%.64s'", name ? name : "",
              expected, text);
    error_place(e, path, text, expected);
    return NULL;
}

static json_t *parse_json(const char *text)
{
    return json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
}

static json_t *parse_number(const char *text)
{
    json_t *value = parse_json(text);
    if (json_is_number(value)) {
        return value;
    }
    json_decref(value);
    return NULL;
}

static json_t *parse_boolean(const char *text)
{
    static const struct {
        const char *word;
        bool value;
    } words[] = {{"true", true},   {"yes", true}, {"on", true},   {"1", true},
                 {"false", false}, {"no", false}, {"off", false}, {"0", false}};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcasecmp(words[i].word, text) == 0) {
            return json_boolean(words[i].value);
        }
    }
    return NULL;
}

/* "a,b" as a list of scalars; JSON where it begins like JSON. */
static json_t *parse_list(const json_t *option, const char *text, struct error *e)
{
    const json_t *of = json_object_get(option, "of");
    int type = schema_type_of(of);
    size_t start = strspn(text, " \t\n");

    if (text[start] == '[' || type == SCHEMA_LIST || type == SCHEMA_OBJECT) {
        json_t *value = parse_json(text);
        return value ? value : refuse_text(option, text, e);
    }
    json_t *list = json_array();
    json_t *item_option = json_copy((json_t *)of);
    char *copy = strdup(text);
    bool failed = !list || !item_option || !copy;

    if (failed) {
        error_set(e, ERROR_OUT_OF_MEMORY, "out of memory while reading an option");
    } else {
        json_object_set(item_option, "name", json_object_get(option, "name"));
    }
    for (char *rest = copy, *item; !failed && *text && (item = strsep(&rest, ",")) != NULL;) {
        json_t *value = schema_parse_text(item_option, item, e);
        failed = json_array_append_new(list, value) != 0;
    }
    free(copy);
    json_decref(item_option);
    if (!failed) {
        return list;
    }
    json_decref(list);
    return NULL;
}

json_t *schema_parse_text(const json_t *option, const char *text, struct error *e)
{
    json_t *value = NULL;

    switch (schema_type_of(option)) {
    case SCHEMA_NUMBER:
    case SCHEMA_INTEGER:
        value = parse_number(text);
        if (!value && json_is_true(json_object_get(option, "decibel"))) {
            value = json_string(text);
        }
        break;
    case SCHEMA_BOOLEAN:
        value = parse_boolean(text);
        break;
    case SCHEMA_OBJECT:
        value = parse_json(text);
        break;
    case SCHEMA_LIST:
        return parse_list(option, text, e);
    default:
        value = json_string(text);
        break;
    }
    return value ? value : refuse_text(option, text, e);
}

/* ---- help ---- */

/* Appends words, wrapped at width behind an indent. */
static void print_wrapped(FILE *out, const char *text, int indent, int width)
{
    int column = 0;

    while (*text) {
        int length = (int)strcspn(text, " \n");
        if (column > 0 && column + 1 + length > width) {
            fputc('\n', out);
            column = 0;
        }
        if (column == 0) {
            column = fprintf(out, "%*s", indent, "");
        } else {
            column += fprintf(out, " ");
        }
        column += fprintf(out, "%.*s", length, text);
        text += length;
        text += strspn(text, " \n");
    }
    if (column > 0) {
        fputc('\n', out);
    }
}

static void capital(char *text)
{
    if (*text >= 'a' && *text <= 'z') {
        *text = (char)(*text - 'a' + 'A');
    }
}

/* `before` is what stands before the name: dashes, an object's name, or nothing. */
static void describe_option(FILE *out, const json_t *option, const char *before, int indent,
                            int width)
{
    const char *name = json_string_value(json_object_get(option, "name"));
    const char *help = json_string_value(json_object_get(option, "help"));
    const char *unit = json_string_value(json_object_get(option, "unit"));
    const json_t *preset = json_object_get(option, "default");
    const json_t *of = json_object_get(option, "of");
    char expected[320];

    fprintf(out, "%*s%s%s  (%s)\n", indent, "", before, name,
            json_is_true(json_object_get(option, "required")) ? "required" : "optional");
    if (help) {
        print_wrapped(out, help, indent + 4, width);
    }

    char *shown = preset ? json_dumps(preset, JSON_ENCODE_ANY | JSON_REAL_PRECISION(12)) : NULL;
    char line[640];
    schema_expected(option, expected, sizeof expected);
    capital(expected);
    int length = snprintf(line, sizeof line, "%s", expected);
    if (of && schema_type_of(of) != SCHEMA_OBJECT) {
        char item[240];
        schema_expected(of, item, sizeof item);
        length += snprintf(line + length, sizeof line - (size_t)length, ", each %.200s", item);
    }
    if (unit) {
        length += snprintf(line + length, sizeof line - (size_t)length, ", in %.32s", unit);
    }
    if (shown) {
        snprintf(line + length, sizeof line - (size_t)length, "; default %.64s", shown);
    }
    print_wrapped(out, line, indent + 4, width);
    free(shown);

    const json_t *fields = json_object_get(of ? of : option, "fields");
    char within[160] = "";
    if (!of && *before) {
        snprintf(within, sizeof within, "%s%.64s.", before, name);
    }
    for (size_t i = 0; i < json_array_size(fields); i++) {
        describe_option(out, json_array_get(fields, i), within, indent + 4, width);
    }
}

char *schema_help(const json_t *schema, int width)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    if (!out) {
        return NULL;
    }
    for (size_t i = 0; i < json_array_size(schema); i++) {
        if (i > 0) {
            fputc('\n', out);
        }
        describe_option(out, json_array_get(schema, i), "--", 2, width < 30 ? 30 : width);
    }
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
