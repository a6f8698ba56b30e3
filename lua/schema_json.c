/*
 * A schema as a JSON Schema 2020-12 object, for clients and for the console's forms.
 *
 * What JSON Schema can't say stands in annotations of our own: "x-type" (the option's type) and
 * "x-unit". Properties keep the schema's order.
 */
#include <string.h>

#include "lua/json_build.h"
#include "lua/schema.h"
#include "lua/schema_internal.h"

static json_t *type_json(const json_t *option);

static json_t *string_type(const char *pattern)
{
    json_t *type = json_put(json_object(), "type", json_string("string"));
    return pattern ? json_put(type, "pattern", json_string(pattern)) : type;
}

static json_t *object_json(const json_t *fields)
{
    json_t *properties = json_object();
    json_t *required = json_array();
    json_t *object = json_put(json_object(), "type", json_string("object"));

    for (size_t i = 0; i < json_array_size(fields); i++) {
        const json_t *field = json_array_get(fields, i);
        const char *name = json_string_value(json_object_get(field, "name"));
        properties = json_put(properties, name, type_json(field));
        if (json_is_true(json_object_get(field, "required"))) {
            required = json_add(required, json_string(name));
        }
    }
    object = json_put(object, "properties", properties);
    if (!required || json_array_size(required) > 0) {
        object = json_put(object, "required", required);
    } else {
        json_decref(required);
    }
    return json_put(object, "additionalProperties", json_false());
}

/* A number, or one of the texts that stand for it: a time, a bit rate, a size. */
static json_t *scaled_json(const json_t *option, int type)
{
    static const char *const patterns[SCHEMA_TYPE_COUNT] = {
        [SCHEMA_TIME] = SCHEMA_PATTERN_TIME,
        [SCHEMA_BITRATE] = SCHEMA_PATTERN_BITRATE,
        [SCHEMA_SIZE] = SCHEMA_PATTERN_SIZE,
    };
    json_t *min = json_object_get(option, "min");
    const char *name = type == SCHEMA_TIME ? "number" : "integer";
    json_t *number = json_put(json_object(), "type", json_string(name));
    double bound;

    if (schema_lower_bound(option, &bound)) {
        number = json_put(number, "minimum", min ? json_incref(min) : json_integer((int)bound));
    }
    number = json_put_borrowed(number, "maximum", json_object_get(option, "max"));
    json_t *choices = json_add(json_array(), number);
    choices = json_add(choices, string_type(patterns[type]));
    if (json_is_true(json_object_get(option, "percent"))) {
        choices = json_add(choices, string_type(SCHEMA_PATTERN_PERCENT));
    }
    return json_put(json_object(), "oneOf", choices);
}

static json_t *list_json(const json_t *option)
{
    json_t *max = json_object_get(option, "max");
    json_t *item = type_json(json_object_get(option, "of"));
    json_t *list = json_put(json_object(), "type", json_string("array"));

    list = json_put(list, "items", json_incref(item));
    list = json_put_borrowed(list, "minItems", json_object_get(option, "min"));
    list = json_put(list, "maxItems", max ? json_incref(max) : json_integer(SCHEMA_MAX_ITEMS));
    if (json_is_true(json_object_get(option, "single"))) {
        json_t *choices = json_add(json_array(), json_incref(item));
        list = json_put(json_object(), "anyOf", json_add(choices, list));
    }
    json_decref(item);
    return list;
}

static json_t *plain_json(const json_t *option, int type)
{
    static const struct {
        const char *name;
        const char *min, *max;
    } table[SCHEMA_TYPE_COUNT] = {
        [SCHEMA_NUMBER] = {"number", "minimum", "maximum"},
        [SCHEMA_INTEGER] = {"integer", "minimum", "maximum"},
        [SCHEMA_BOOLEAN] = {"boolean", "", ""},
        [SCHEMA_STRING] = {"string", "minLength", "maxLength"},
        [SCHEMA_ENUM] = {"string", "", ""},
        [SCHEMA_COLOR] = {"string", "", ""},
    };
    json_t *plain = json_put(json_object(), "type", json_string(table[type].name));

    plain = json_put_borrowed(plain, table[type].min, json_object_get(option, "min"));
    plain = json_put_borrowed(plain, table[type].max, json_object_get(option, "max"));
    plain = json_put_borrowed(plain, "enum", json_object_get(option, "values"));
    plain = json_put_borrowed(plain, "pattern", json_object_get(option, "pattern"));
    if (type == SCHEMA_COLOR) {
        plain = json_put(plain, "pattern", json_string(SCHEMA_PATTERN_COLOR));
    }
    if (json_is_true(json_object_get(option, "decibel"))) {
        json_t *choices = json_add(json_array(), plain);
        choices = json_add(choices, string_type(SCHEMA_PATTERN_DECIBEL));
        plain = json_put(json_object(), "oneOf", choices);
    }
    return plain;
}

static json_t *type_json(const json_t *option)
{
    int type = schema_type_of(option);
    json_t *result;

    switch (type) {
    case SCHEMA_TIME:
    case SCHEMA_BITRATE:
    case SCHEMA_SIZE:
        result = scaled_json(option, type);
        break;
    case SCHEMA_LIST:
        result = list_json(option);
        break;
    case SCHEMA_OBJECT:
        result = object_json(json_object_get(option, "fields"));
        break;
    default:
        result = plain_json(option, type);
        break;
    }
    result = json_put_borrowed(result, "default", json_object_get(option, "default"));
    result = json_put_borrowed(result, "description", json_object_get(option, "help"));
    result = json_put_borrowed(result, "x-type", json_object_get(option, "type"));
    return json_put_borrowed(result, "x-unit", json_object_get(option, "unit"));
}

json_t *schema_to_json_schema(const json_t *schema)
{
    json_t *object = object_json(schema);
    json_t *dialect = json_string("https://json-schema.org/draft/2020-12/schema");
    json_t *result = json_put(json_object(), "$schema", dialect);

    if (!object || !result || json_object_update(result, object) != 0) {
        json_decref(result);
        result = NULL;
    }
    json_decref(object);
    return result;
}
