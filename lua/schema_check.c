/*
 * The check of a schema itself. Operators write schemas by hand, so every mistake is told with the
 * option it is in, what is wrong, and the nearest name.
 */
#include <math.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>

#include "engine/introspect.h"
#include "lua/schema.h"
#include "lua/schema_internal.h"

enum attribute {
    RANGE = 1,
    VALUES = 2,
    PATTERN = 4,
    OF = 8,
    FIELDS = 16,
    UNIT = 32,
    PERCENT = 64,
    SINGLE = 128,
    ALWAYS = 256,
    DECIBEL = 512,
};

static const int allowed[SCHEMA_TYPE_COUNT] = {
    [SCHEMA_NUMBER] = RANGE | VALUES | UNIT | DECIBEL,
    [SCHEMA_INTEGER] = RANGE | VALUES | UNIT,
    [SCHEMA_BOOLEAN] = 0,
    [SCHEMA_STRING] = RANGE | PATTERN,
    [SCHEMA_ENUM] = VALUES,
    [SCHEMA_TIME] = RANGE | UNIT | PERCENT,
    [SCHEMA_BITRATE] = RANGE | UNIT,
    [SCHEMA_SIZE] = RANGE | UNIT,
    [SCHEMA_COLOR] = 0,
    [SCHEMA_LIST] = RANGE | OF | SINGLE,
    [SCHEMA_OBJECT] = FIELDS,
};

enum shape { TEXT, NUMBER, FLAG, LIST, TABLE, ANY };

static const struct {
    const char *name;
    enum attribute attribute;
    enum shape shape;
} attributes[] = {
    {"name", ALWAYS, TEXT},     {"type", ALWAYS, TEXT},   {"required", ALWAYS, FLAG},
    {"default", ALWAYS, ANY},   {"help", ALWAYS, TEXT},   {"min", RANGE, NUMBER},
    {"max", RANGE, NUMBER},     {"values", VALUES, LIST}, {"pattern", PATTERN, TEXT},
    {"of", OF, TABLE},          {"fields", FIELDS, LIST}, {"unit", UNIT, TEXT},
    {"percent", PERCENT, FLAG}, {"single", SINGLE, FLAG}, {"decibel", DECIBEL, FLAG},
};
#define ATTRIBUTE_COUNT (sizeof attributes / sizeof *attributes)

static bool has_shape(const json_t *value, enum shape shape, const char **expected)
{
    switch (shape) {
    case TEXT:
        *expected = "text";
        return json_is_string(value);
    case NUMBER:
        *expected = "a number";
        return json_is_number(value) && isfinite(json_number_value(value));
    case FLAG:
        *expected = "true or false";
        return json_is_boolean(value);
    case LIST:
        *expected = "a list";
        return json_is_array(value);
    case TABLE:
        *expected = "a type";
        return json_is_object(value);
    case ANY:
        break;
    }
    return true;
}

static int check_attributes(const json_t *option, int type, const char *place, struct error *e)
{
    const char *key;
    json_t *value;
    const char *names[ATTRIBUTE_COUNT];
    for (size_t i = 0; i < ATTRIBUTE_COUNT; i++) {
        names[i] = attributes[i].name;
    }

    json_object_foreach((json_t *)option, key, value)
    {
        size_t i = 0;
        const char *expected;
        while (i < ATTRIBUTE_COUNT && strcmp(attributes[i].name, key) != 0) {
            i++;
        }
        if (i == ATTRIBUTE_COUNT) {
            const char *nearest = introspect_nearest(key, names, ATTRIBUTE_COUNT);
            return error_set(e, ERROR_SCRIPT, "%s: unknown field '%.64s'%s%s%s", place, key,
                             nearest ? "; did you mean '" : "", nearest ? nearest : "",
                             nearest ? "'?" : "");
        }
        if (!has_shape(value, attributes[i].shape, &expected)) {
            return error_set(e, ERROR_SCRIPT, "%s: '%s' must be %s", place, key, expected);
        }
        if (attributes[i].attribute != ALWAYS && !(allowed[type] & (int)attributes[i].attribute)) {
            return error_set(e, ERROR_SCRIPT, "%s: a %s has no '%s'", place,
                             schema_type_name((enum schema_type)type), key);
        }
    }
    return 0;
}

static int check_type(const json_t *option, const char *place, struct error *e)
{
    const char *name = json_string_value(json_object_get(option, "type"));
    int type = schema_type_of(option);
    const char *names[SCHEMA_TYPE_COUNT];

    if (type >= 0) {
        return type;
    }
    for (int i = 0; i < SCHEMA_TYPE_COUNT; i++) {
        names[i] = schema_type_name((enum schema_type)i);
    }
    if (!name) {
        return error_set(e, ERROR_SCRIPT, "%s: it has no type", place);
    }
    const char *nearest = introspect_nearest(name, names, SCHEMA_TYPE_COUNT);
    return error_set(e, ERROR_SCRIPT, "%s: unknown type '%.64s'%s%s%s", place, name,
                     nearest ? "; did you mean '" : "", nearest ? nearest : "",
                     nearest ? "'?" : "");
}

static int check_values(const json_t *option, int type, const char *place, struct error *e)
{
    const json_t *values = json_object_get(option, "values");
    size_t count = json_array_size(values);

    if (type == SCHEMA_ENUM && count == 0) {
        return error_set(e, ERROR_SCRIPT, "%s: an enum needs 'values'", place);
    }
    if (count > SCHEMA_MAX_OPTIONS) {
        return error_set(e, ERROR_SCRIPT, "%s: more than %d values", place, SCHEMA_MAX_OPTIONS);
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(values, i);
        bool fits = type == SCHEMA_ENUM ? json_is_string(value) : json_is_number(value);
        if (!fits) {
            return error_set(e, ERROR_SCRIPT, "%s: every one of 'values' must be %s", place,
                             type == SCHEMA_ENUM ? "text" : "a number");
        }
        for (size_t j = 0; j < i; j++) {
            if (json_equal(value, json_array_get(values, j))) {
                return error_set(e, ERROR_SCRIPT, "%s: a value is there twice", place);
            }
        }
    }
    return 0;
}

static int check_pattern(const json_t *option, const char *place, struct error *e)
{
    const char *pattern = json_string_value(json_object_get(option, "pattern"));
    regex_t compiled;

    if (!pattern) {
        return 0;
    }
    if (strlen(pattern) > 256) {
        return error_set(e, ERROR_SCRIPT, "%s: the pattern is longer than 256 bytes", place);
    }
    int status = regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB);
    if (status != 0) {
        char reason[128];
        regerror(status, &compiled, reason, sizeof reason);
        return error_set(e, ERROR_SCRIPT, "%s: the pattern is malformed: %s", place, reason);
    }
    regfree(&compiled);
    return 0;
}

static int check_default(const json_t *option, const char *place, struct error *e)
{
    json_t *value = json_object_get(option, "default");
    const char *name = json_string_value(json_object_get(option, "name"));
    struct error reason = {.code = ERROR_OUT_OF_MEMORY};

    if (!value) {
        return 0;
    }
    if (json_is_true(json_object_get(option, "required"))) {
        return error_set(e, ERROR_SCRIPT, "%s: it is required, so its default never counts", place);
    }
    json_t *schema = json_pack("[O]", option);
    json_t *options = json_pack("{s:O}", name ? name : "", value);
    json_t *checked = schema && options ? schema_validate(schema, options, &reason) : NULL;
    json_decref(schema);
    json_decref(options);
    if (!checked && reason.code == ERROR_OUT_OF_MEMORY) {
        return error_set(e, reason.code, "out of memory while checking the options");
    }
    if (!checked) {
        return error_set(e, ERROR_SCRIPT, "%s: the default doesn't fit: %s", place, reason.message);
    }
    json_decref(checked);
    return 0;
}

static int check_list(const json_t *options, const char *parent, int depth, struct error *e);

static int check_option(const json_t *option, const char *place, int depth, struct error *e)
{
    if (!json_is_object(option)) {
        return error_set(e, ERROR_SCRIPT, "%s: it must be a table", place);
    }
    if (depth > SCHEMA_MAX_DEPTH) {
        return error_set(e, ERROR_SCRIPT, "%s: nested deeper than %d levels", place,
                         SCHEMA_MAX_DEPTH);
    }
    int type = check_type(option, place, e);
    if (type < 0) {
        return type;
    }
    int status = check_attributes(option, type, place, e);
    if (status == 0) {
        status = check_values(option, type, place, e);
    }
    if (status == 0) {
        status = check_pattern(option, place, e);
    }
    if (status < 0) {
        return status;
    }

    const json_t *min = json_object_get(option, "min");
    const json_t *max = json_object_get(option, "max");
    if (min && max && json_number_value(min) > json_number_value(max)) {
        return error_set(e, ERROR_SCRIPT, "%s: min is above max", place);
    }
    if (type == SCHEMA_LIST) {
        const json_t *of = json_object_get(option, "of");
        char inner[200];
        if (!of) {
            return error_set(e, ERROR_SCRIPT, "%s: a list needs 'of'", place);
        }
        if (json_object_get(of, "name") || json_object_get(of, "required") ||
            json_object_get(of, "default")) {
            return error_set(e, ERROR_SCRIPT,
                             "%s: 'of' is a type, without name, required or default", place);
        }
        snprintf(inner, sizeof inner, "%.180s, its items", place);
        status = check_option(of, inner, depth + 1, e);
    } else if (type == SCHEMA_OBJECT) {
        if (json_array_size(json_object_get(option, "fields")) == 0) {
            return error_set(e, ERROR_SCRIPT, "%s: an object needs 'fields'", place);
        }
        status = check_list(json_object_get(option, "fields"), place, depth + 1, e);
    }
    return status < 0 ? status : check_default(option, place, e);
}

static bool valid_name(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return length > 0 && length <= 64 && name[length] == '\0' && name[0] >= 'a' && name[0] <= 'z';
}

static int check_list(const json_t *options, const char *parent, int depth, struct error *e)
{
    size_t count = json_array_size(options);

    if (count > SCHEMA_MAX_OPTIONS) {
        return error_set(e, ERROR_SCRIPT, "%s%smore than %d options", parent, *parent ? ": " : "",
                         SCHEMA_MAX_OPTIONS);
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *option = json_array_get(options, i);
        const char *name = json_string_value(json_object_get(option, "name"));
        char place[200];

        if (!name || !valid_name(name)) {
            return error_set(e, ERROR_SCRIPT,
                             "%s%soption %zu needs a name of lower-case letters, digits and _",
                             parent, *parent ? ", " : "", i + 1);
        }
        for (size_t j = 0; j < i; j++) {
            const json_t *other = json_object_get(json_array_get(options, j), "name");
            if (strcmp(json_string_value(other), name) == 0) {
                return error_set(e, ERROR_SCRIPT, "%s%soption '%s' is there twice", parent,
                                 *parent ? ", " : "", name);
            }
        }
        snprintf(place, sizeof place, "%.120s%soption '%s'", parent, *parent ? ", " : "", name);
        int status = check_option(option, place, depth, e);
        if (status < 0) {
            return status;
        }
    }
    return 0;
}

int schema_check(const json_t *schema, struct error *e)
{
    if (!json_is_array(schema)) {
        return error_set(e, ERROR_SCRIPT, "the options must be a list");
    }
    return check_list(schema, "", 1, e);
}
