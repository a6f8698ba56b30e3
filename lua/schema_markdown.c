/*
 * The documentation's side of a schema: Markdown for `luma ops --markdown`, from which
 * docs/operations.md is made. What it prints depends on the scripts alone.
 */
#include "lua/schema_markdown.h"

#include <stdlib.h>
#include <string.h>

#include "lua/schema_internal.h"

/* Text in a cell of a table, where a bar would begin the next one. */
static void print_cell(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|') {
            fputc('\\', out);
        }
        fputc(*text == '\n' ? ' ' : *text, out);
    }
}

static void print_json(FILE *out, const json_t *value)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_SORT_KEYS | JSON_REAL_PRECISION(12));
    fputs(text ? text : "", out);
    free(text);
}

/* What a value must be: "a whole number from 1 to 100, in pixels". Fields of objects have rows of
 * their own. */
static void print_expected(FILE *out, const json_t *option)
{
    const json_t *of = json_object_get(option, "of");
    const char *unit = json_string_value(json_object_get(option, "unit"));
    char expected[320];

    if (schema_type_of(option) == SCHEMA_OBJECT) {
        print_cell(out, "an object");
    } else {
        schema_expected(option, expected, sizeof expected);
        print_cell(out, expected);
    }
    if (of) {
        fputs(", each ", out);
        print_expected(out, of);
    }
    if (unit) {
        fputs(", in ", out);
        print_cell(out, unit);
    }
}

/* True if the options of the operation say the same of the same name. */
static bool is_option(const json_t *options, const json_t *field)
{
    for (size_t i = 0; i < json_array_size(options); i++) {
        if (json_equal(json_array_get(options, i), field)) {
            return true;
        }
    }
    return false;
}

/* A row for the option, and one for each field that it has and that isn't one of the operation's
 * options; `prefix` is where it stands. */
static void print_option(FILE *out, const json_t *options, const json_t *option, const char *prefix)
{
    const char *name = json_string_value(json_object_get(option, "name"));
    const char *help = json_string_value(json_object_get(option, "help"));
    const json_t *preset = json_object_get(option, "default");
    const json_t *of = json_object_get(option, "of");
    const json_t *fields = json_object_get(of ? of : option, "fields");
    char place[160];
    size_t known = 0;

    for (size_t i = 0; i < json_array_size(fields); i++) {
        known += is_option(options, json_array_get(fields, i));
    }
    fprintf(out, "| `%s%s` | ", prefix, name ? name : "");
    print_expected(out, option);
    fputs(known ? " with the fields that are options above" : "", out);
    fputs(" | ", out);
    if (preset) {
        fputc('`', out);
        print_json(out, preset);
        fputc('`', out);
    } else if (json_is_true(json_object_get(option, "required"))) {
        fputs("required", out);
    }
    fputs(" | ", out);
    print_cell(out, help ? help : "");
    fputs(" |\n", out);
    snprintf(place, sizeof place, "%.100s%.40s%s.", prefix, name ? name : "", of ? "[]" : "");
    for (size_t i = 0; i < json_array_size(fields); i++) {
        const json_t *field = json_array_get(fields, i);
        if (!is_option(options, field)) {
            print_option(out, options, field, place);
        }
    }
}

/* "One input.", "2 to 100 inputs.", "Inputs: media, subtitles." */
static void print_inputs(FILE *out, const json_t *inputs)
{
    json_int_t min = json_integer_value(json_object_get(inputs, "min"));
    json_int_t max = json_integer_value(json_object_get(inputs, "max"));
    const json_t *roles = json_object_get(inputs, "roles");

    if (min == max) {
        fprintf(out, "%lld input%s", (long long)min, min == 1 ? "" : "s");
    } else {
        fprintf(out, "%lld to %lld inputs", (long long)min, (long long)max);
    }
    for (size_t i = 0; i < json_array_size(roles); i++) {
        fprintf(out, "%s%s", i ? ", " : ": ", json_string_value(json_array_get(roles, i)));
    }
    fputs(".\n", out);
}

void schema_markdown(FILE *out, const json_t *description)
{
    const json_t *options = json_object_get(description, "options");
    const json_t *examples = json_object_get(description, "examples");

    fprintf(out, "\n## %s\n\n%s. ", json_string_value(json_object_get(description, "name")),
            json_string_value(json_object_get(description, "summary")));
    print_inputs(out, json_object_get(description, "inputs"));
    if (json_array_size(options) > 0) {
        fputs("\n| option | takes | default | what it does |\n|---|---|---|---|\n", out);
    }
    for (size_t i = 0; i < json_array_size(options); i++) {
        print_option(out, options, json_array_get(options, i), "");
    }
    if (json_array_size(examples) > 0) {
        fputs("\nFor example:\n\n```json\n", out);
        for (size_t i = 0; i < json_array_size(examples); i++) {
            print_json(out, json_array_get(examples, i));
            fputc('\n', out);
        }
        fputs("```\n", out);
    }
}
