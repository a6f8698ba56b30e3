/*
 * Option schemas: the table of types, what an option takes in words, and the validation of what a
 * client sent. The check of a schema itself is in schema_check.c, JSON Schema in schema_json.c,
 * command-line text and help in schema_text.c.
 *
 * Pure functions over JSON; any thread.
 */
#include "lua/schema.h"

#include <math.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "engine/introspect.h"
#include "lua/schema_internal.h"

static const struct {
    const char *name;
    const char *phrase;
} types[SCHEMA_TYPE_COUNT] = {
    [SCHEMA_NUMBER] = {"number", "a number"},
    [SCHEMA_INTEGER] = {"integer", "a whole number"},
    [SCHEMA_BOOLEAN] = {"boolean", "true or false"},
    [SCHEMA_STRING] = {"string", "text"},
    [SCHEMA_ENUM] = {"enum", "one of"},
    [SCHEMA_TIME] = {"time", "a time in seconds or as HH:MM:SS.mmm"},
    [SCHEMA_BITRATE] = {"bitrate", "a bit rate such as 128000, \"128k\" or \"2M\""},
    [SCHEMA_SIZE] = {"size", "a size in bytes or such as \"500kB\" or \"20MB\""},
    [SCHEMA_COLOR] = {"color", "a colour by name or as #rrggbb or #rrggbbaa"},
    [SCHEMA_LIST] = {"list", "a list"},
    [SCHEMA_OBJECT] = {"object", "an object"},
};

const char *schema_type_name(enum schema_type type)
{
    return types[type].name;
}

int schema_type_of(const json_t *option)
{
    const char *name = json_string_value(json_object_get(option, "type"));
    for (int type = 0; name && type < SCHEMA_TYPE_COUNT; type++) {
        if (strcmp(types[type].name, name) == 0) {
            return type;
        }
    }
    return -1;
}

bool schema_lower_bound(const json_t *option, double *bound)
{
    const json_t *min = json_object_get(option, "min");
    int type = schema_type_of(option);

    if (json_is_number(min)) {
        *bound = json_number_value(min);
        return true;
    }
    *bound = type == SCHEMA_TIME ? 0 : 1;
    return type == SCHEMA_TIME || type == SCHEMA_BITRATE || type == SCHEMA_SIZE;
}

/* ---- in words ---- */

static void append(char *text, size_t size, const char *more)
{
    size_t length = strlen(text);
    snprintf(text + length, size - length, "%s", more);
}

/* " from 2 to 9", or with a unit " of 2 to 9 items". */
static void append_range(const json_t *option, const char *unit, char *text, size_t size)
{
    const json_t *min = json_object_get(option, "min");
    const json_t *max = json_object_get(option, "max");
    char low[32], high[32], range[128] = "";

    schema_show_number(json_number_value(min), low, sizeof low);
    schema_show_number(json_number_value(max), high, sizeof high);
    if (min && max) {
        snprintf(range, sizeof range, " %s %s to %s%s", *unit ? "of" : "from", low, high, unit);
    } else if (min) {
        snprintf(range, sizeof range, " of at least %s%s", low, unit);
    } else if (max) {
        snprintf(range, sizeof range, " of at most %s%s", high, unit);
    }
    append(text, size, range);
}

static void append_names(const json_t *list, const char *field, char *text, size_t size)
{
    size_t index;
    const json_t *entry;
    const char *separator = " ";

    json_array_foreach(list, index, entry)
    {
        char shown[96];
        const json_t *name = field ? json_object_get(entry, field) : entry;
        if (json_is_string(name)) {
            snprintf(shown, sizeof shown, "%s", json_string_value(name));
        } else {
            schema_show(name, shown, sizeof shown);
        }
        append(text, size, separator);
        append(text, size, shown);
        separator = ", ";
    }
}

void schema_expected(const json_t *option, char *text, size_t size)
{
    int type = schema_type_of(option);
    const json_t *values = json_object_get(option, "values");
    const char *pattern = json_string_value(json_object_get(option, "pattern"));

    snprintf(text, size, "%s", type < 0 ? "a value" : values ? "one of" : types[type].phrase);
    if (values) {
        append_names(values, NULL, text, size);
    } else if (type == SCHEMA_STRING) {
        append_range(option, " characters", text, size);
    } else if (type == SCHEMA_LIST) {
        append_range(option, " items", text, size);
    } else if (type == SCHEMA_OBJECT) {
        append(text, size, " with the fields");
        append_names(json_object_get(option, "fields"), "name", text, size);
    } else {
        append_range(option, "", text, size);
    }
    if (pattern) {
        append(text, size, " that matches ");
        append(text, size, pattern);
    }
    if (json_is_true(json_object_get(option, "percent"))) {
        append(text, size, ", or a percentage such as \"50%\"");
    }
    if (json_is_true(json_object_get(option, "decibel"))) {
        append(text, size, ", or decibels such as \"-6dB\"");
    }
}

/* ---- validation ---- */

struct place {
    char path[160]; /* "options.segments[2].start" */
};

static struct place place_item(const struct place *parent, size_t index)
{
    struct place place = *parent;
    size_t length = strlen(place.path);
    snprintf(place.path + length, sizeof place.path - length, "[%zu]", index);
    return place;
}

static struct place place_field(const struct place *parent, const char *name)
{
    struct place place = *parent;
    size_t length = strlen(place.path);
    snprintf(place.path + length, sizeof place.path - length, ".%.64s", name);
    return place;
}

/* The path as people say it: without the leading "options.". */
static const char *place_name(const struct place *place)
{
    return strncmp(place->path, "options.", 8) == 0 ? place->path + 8 : place->path;
}

/* What else people call a codec or a format. */
static const char *usual_name(const char *name)
{
    static const struct {
        const char *other, *usual;
    } names[] = {
        {"h265", "hevc"},  {"h.265", "hevc"}, {"x265", "hevc"},  {"avc", "h264"},
        {"x264", "h264"},  {"ts", "mpegts"},  {"jpeg", "jpg"},   {"matroska", "mkv"},
        {"webvtt", "vtt"}, {"subrip", "srt"}, {"h.264", "h264"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!strcasecmp(names[i].other, name)) {
            return names[i].usual;
        }
    }
    return NULL;
}

static const char *nearest_value(const json_t *option, const json_t *value)
{
    const json_t *values = json_object_get(option, "values");
    const char *names[SCHEMA_MAX_OPTIONS];
    size_t count = 0;

    if (!json_is_string(value)) {
        return NULL;
    }
    const char *usual = usual_name(json_string_value(value));
    for (size_t i = 0; i < json_array_size(values) && count < SCHEMA_MAX_OPTIONS; i++) {
        const char *name = json_string_value(json_array_get(values, i));
        if (name && usual && !strcmp(name, usual)) {
            return usual;
        }
        if (name) {
            names[count++] = name;
        }
    }
    return introspect_nearest(json_string_value(value), names, count);
}

static json_t *refuse(const json_t *option, const json_t *value, const struct place *place,
                      struct error *e)
{
    char expected[320], got[96], hint[96] = "";
    const char *nearest = nearest_value(option, value);

    schema_expected(option, expected, sizeof expected);
    schema_show(value, got, sizeof got);
    if (nearest) {
        snprintf(hint, sizeof hint, "; did you mean '%s'?", nearest);
    }
    error_set(e, ERROR_INVALID_OPTION, "option '%s' must be %s, not %s%s", place_name(place),
              expected, got, hint);
    error_place(e, place->path, got, expected);
    return NULL;
}

static json_t *out_of_memory(struct error *e)
{
    error_set(e, ERROR_OUT_OF_MEMORY, "out of memory while reading the options");
    return NULL;
}

static bool in_range(const json_t *option, double number)
{
    double bound;
    const json_t *max = json_object_get(option, "max");
    return isfinite(number) && (!schema_lower_bound(option, &bound) || number >= bound) &&
           (!max || number <= json_number_value(max));
}

static bool in_values(const json_t *option, const json_t *value)
{
    const json_t *values = json_object_get(option, "values");
    if (!values) {
        return true;
    }
    for (size_t i = 0; i < json_array_size(values); i++) {
        const json_t *allowed = json_array_get(values, i);
        if (json_is_number(allowed) && json_is_number(value)
                ? json_number_value(allowed) == json_number_value(value)
                : json_equal(allowed, value)) {
            return true;
        }
    }
    return false;
}

/* number, integer, time, bitrate and size: a JSON number, or the text that the type allows. NULL
 * with *fits false if it isn't one in range. */
static json_t *validate_scalar(const json_t *option, int type, const json_t *value, bool *fits)
{
    const char *text = json_string_value(value);
    double number = json_number_value(value);
    int64_t whole = 0;

    *fits = true;
    if (json_is_integer(value)) {
        whole = json_integer_value(value);
    } else if (json_is_real(value) && number == floor(number) && fabs(number) < 9e15) {
        whole = (int64_t)number;
    } else if (text && type == SCHEMA_BITRATE && schema_read_bitrate(text, &whole)) {
        number = (double)whole;
    } else if (text && type == SCHEMA_SIZE && schema_read_size(text, &whole)) {
        number = (double)whole;
    } else if (text && type == SCHEMA_TIME && json_is_true(json_object_get(option, "percent")) &&
               schema_read_percent(text, &number)) {
        return json_string(text);
    } else if (text && type == SCHEMA_NUMBER && json_is_true(json_object_get(option, "decibel")) &&
               schema_read_decibel(text, &number)) {
        whole = 0; /* a factor now, like any number */
    } else if (text ? type != SCHEMA_TIME || !schema_read_time(text, &number)
                    : !json_is_real(value) || (type != SCHEMA_NUMBER && type != SCHEMA_TIME)) {
        *fits = false;
    }

    *fits = *fits && in_range(option, number) && in_values(option, value);
    if (!*fits) {
        return NULL;
    }
    if (type == SCHEMA_TIME) {
        return json_real(number);
    }
    if (type == SCHEMA_NUMBER) {
        return json_is_integer(value) ? json_integer(whole) : json_real(number);
    }
    return json_integer(whole);
}

static size_t count_characters(const char *text)
{
    size_t count = 0;
    for (; *text; text++) {
        count += ((unsigned char)*text & 0xC0) != 0x80;
    }
    return count;
}

static bool matches(const char *pattern, const char *text)
{
    regex_t compiled;
    if (strlen(text) > SCHEMA_MAX_MATCHED ||
        regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB) != 0) {
        return false;
    }
    bool found = regexec(&compiled, text, 0, NULL, 0) == 0;
    regfree(&compiled);
    return found;
}

static bool string_fits(const json_t *option, const json_t *value)
{
    const char *text = json_string_value(value);
    const char *pattern = json_string_value(json_object_get(option, "pattern"));

    return json_string_length(value) == strlen(text) && strlen(text) <= SCHEMA_MAX_TEXT &&
           in_range(option, (double)count_characters(text)) && in_values(option, value) &&
           (!pattern || matches(pattern, text));
}

static json_t *validate_object(const json_t *fields, const json_t *object,
                               const struct place *place, struct error *e);
static json_t *validate_list(const json_t *option, const json_t *value, const struct place *place,
                             struct error *e);

static json_t *validate_value(const json_t *option, const json_t *value, const struct place *place,
                              struct error *e)
{
    int type = schema_type_of(option);
    json_t *result = NULL;
    bool fits = false;

    switch (type) {
    case SCHEMA_BOOLEAN:
        if (json_is_boolean(value)) {
            return json_boolean(json_is_true(value));
        }
        break;
    case SCHEMA_STRING:
        fits = json_is_string(value) && string_fits(option, value);
        break;
    case SCHEMA_ENUM:
        fits = json_is_string(value) && in_values(option, value);
        break;
    case SCHEMA_COLOR:
        fits = json_is_string(value) && schema_read_color(json_string_value(value));
        break;
    case SCHEMA_LIST:
        return validate_list(option, value, place, e);
    case SCHEMA_OBJECT:
        if (json_is_object(value)) {
            return validate_object(json_object_get(option, "fields"), value, place, e);
        }
        break;
    default:
        result = validate_scalar(option, type, value, &fits);
        return result ? result : fits ? out_of_memory(e) : refuse(option, value, place, e);
    }
    if (!fits) {
        return refuse(option, value, place, e);
    }
    result = json_string(json_string_value(value));
    return result ? result : out_of_memory(e);
}

static json_t *validate_list(const json_t *option, const json_t *value, const struct place *place,
                             struct error *e)
{
    const json_t *of = json_object_get(option, "of");
    const json_t *max = json_object_get(option, "max");
    bool single = json_is_true(json_object_get(option, "single")) && !json_is_array(value);
    size_t count = single ? 1 : json_array_size(value);

    if (!single && !json_is_array(value)) {
        return refuse(option, value, place, e);
    }
    if (!in_range(option, (double)count) || (!max && count > SCHEMA_MAX_ITEMS)) {
        char expected[320], got[40];
        schema_expected(option, expected, sizeof expected);
        snprintf(got, sizeof got, "%zu items", count);
        error_set(e, ERROR_INVALID_OPTION, "option '%s' must be %s, not of %zu", place_name(place),
                  max || json_object_get(option, "min") ? expected : "a list of at most 1000 items",
                  count);
        error_place(e, place->path, got, expected);
        return NULL;
    }

    json_t *list = json_array();
    if (!list) {
        return out_of_memory(e);
    }
    for (size_t i = 0; i < count; i++) {
        struct place inner = single ? *place : place_item(place, i);
        json_t *item = validate_value(of, single ? value : json_array_get(value, i), &inner, e);
        if (!item) {
            json_decref(list);
            return NULL;
        }
        if (json_array_append_new(list, item) != 0) {
            json_decref(list);
            return out_of_memory(e);
        }
    }
    return list;
}

static const json_t *find_field(const json_t *fields, const char *name)
{
    for (size_t i = 0; i < json_array_size(fields); i++) {
        const json_t *field = json_array_get(fields, i);
        const char *have = json_string_value(json_object_get(field, "name"));
        if (have && strcmp(have, name) == 0) {
            return field;
        }
    }
    return NULL;
}

static int refuse_unknown(const json_t *fields, const char *name, const struct place *place,
                          struct error *e)
{
    const char *names[SCHEMA_MAX_OPTIONS];
    size_t count = 0;
    char expected[320] = "one of";
    struct place inner = place_field(place, name);

    for (size_t i = 0; i < json_array_size(fields) && count < SCHEMA_MAX_OPTIONS; i++) {
        names[count++] = json_string_value(json_object_get(json_array_get(fields, i), "name"));
    }
    append_names(fields, "name", expected, sizeof expected);
    if (count == 0) {
        snprintf(expected, sizeof expected, "no options");
    }
    const char *nearest = introspect_nearest(name, names, count);
    if (nearest) {
        error_set(e, ERROR_INVALID_OPTION, "unknown option '%s'; did you mean '%s'?",
                  place_name(&inner), nearest);
    } else {
        error_set(e, ERROR_INVALID_OPTION, "unknown option '%s'; there is %s%s", place_name(&inner),
                  count ? "only " : "", count ? expected + strlen("one of ") : "none");
    }
    return error_place(e, inner.path, name, expected);
}

static json_t *validate_object(const json_t *fields, const json_t *object,
                               const struct place *place, struct error *e)
{
    json_t *result = json_object();
    if (!result) {
        return out_of_memory(e);
    }

    const char *given;
    json_t *ignored;
    json_object_foreach((json_t *)object, given, ignored)
    {
        if (!find_field(fields, given)) {
            refuse_unknown(fields, given, place, e);
            goto fail;
        }
    }
    for (size_t i = 0; i < json_array_size(fields); i++) {
        const json_t *field = json_array_get(fields, i);
        const char *name = json_string_value(json_object_get(field, "name"));
        const json_t *value = json_object_get(object, name);
        struct place inner = place_field(place, name);

        if (!value || json_is_null(value)) {
            if (json_is_true(json_object_get(field, "required"))) {
                char expected[320];
                schema_expected(field, expected, sizeof expected);
                error_set(e, ERROR_INVALID_OPTION, "option '%s' is required: %s",
                          place_name(&inner), expected);
                error_place(e, inner.path, "nothing", expected);
                goto fail;
            }
            value = json_object_get(field, "default");
            if (!value || json_is_null(value)) {
                continue;
            }
        }
        json_t *checked = validate_value(field, value, &inner, e);
        if (!checked) {
            goto fail;
        }
        if (json_object_set_new(result, name, checked) != 0) {
            out_of_memory(e);
            goto fail;
        }
    }
    return result;

fail:
    json_decref(result);
    return NULL;
}

json_t *schema_validate(const json_t *schema, const json_t *options, struct error *e)
{
    struct place place = {"options"};

    if (options && !json_is_object(options)) {
        char got[96];
        schema_show(options, got, sizeof got);
        error_set(e, ERROR_INVALID_OPTION, "the options must be an object, not %s", got);
        error_place(e, "options", got, "an object");
        return NULL;
    }
    return validate_object(schema, options, &place, e);
}
