/*
 * A schema as a JSON Schema 2020-12 object, for clients and for the console's forms.
 *
 * What JSON Schema can't say stands in annotations of our own: "x-type" (the option's type) and
 * "x-unit". Properties keep the schema's order.
 */
#include <string.h>

#include "lua/schema.h"
#include "lua/schema_internal.h"

static json_t *type_json(const json_t *option);

static json_t *object_json(const json_t *fields)
{
    json_t *properties = json_object();
    json_t *required = json_array();
    json_t *object = json_pack("{s:s, s:O, s:b}", "type", "object", "properties", properties,
                               "additionalProperties", 0);

    for (size_t i = 0; i < json_array_size(fields); i++) {
        const json_t *field = json_array_get(fields, i);
        const char *name = json_string_value(json_object_get(field, "name"));
        json_object_set_new(properties, name, type_json(field));
        if (json_is_true(json_object_get(field, "required")))
            json_array_append_new(required, json_string(name));
    }
    if (json_array_size(required) > 0)
        json_object_set(object, "required", required);
    json_decref(properties);
    json_decref(required);
    return object;
}

/* A number, or one of the texts that stand for it. */
static json_t *number_or_text(const char *type, const json_t *option, const char *const *patterns)
{
    json_t *number = json_pack("{s:s}", "type", type);
    json_t *choices = json_pack("[O]", number);
    double bound;

    if (schema_lower_bound(option, &bound)) {
        json_t *min = json_object_get(option, "min");
        json_object_set_new(number, "minimum", min ? json_incref(min) : json_integer((int)bound));
    }
    if (json_object_get(option, "max"))
        json_object_set(number, "maximum", json_object_get(option, "max"));
    json_decref(number);
    for (; *patterns; patterns++)
        json_array_append_new(choices,
                              json_pack("{s:s, s:s}", "type", "string", "pattern", *patterns));
    return json_pack("{s:o}", "oneOf", choices);
}

static json_t *scaled_json(const json_t *option, int type)
{
    bool percent = json_is_true(json_object_get(option, "percent"));
    const char *pattern = type == SCHEMA_TIME      ? SCHEMA_PATTERN_TIME
                          : type == SCHEMA_BITRATE ? SCHEMA_PATTERN_BITRATE
                                                   : SCHEMA_PATTERN_SIZE;
    const char *const patterns[] = {pattern, percent ? SCHEMA_PATTERN_PERCENT : NULL, NULL};
    return number_or_text(type == SCHEMA_TIME ? "number" : "integer", option, patterns);
}

static json_t *list_json(const json_t *option)
{
    json_t *item = type_json(json_object_get(option, "of"));
    json_t *list = json_pack("{s:s, s:O}", "type", "array", "items", item);
    json_t *max = json_object_get(option, "max");

    if (json_object_get(option, "min"))
        json_object_set(list, "minItems", json_object_get(option, "min"));
    json_object_set_new(list, "maxItems", max ? json_incref(max) : json_integer(SCHEMA_MAX_ITEMS));
    if (json_is_true(json_object_get(option, "single")))
        list = json_pack("{s:[O, o]}", "anyOf", item, list);
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
        [SCHEMA_BOOLEAN] = {"boolean", NULL, NULL},
        [SCHEMA_STRING] = {"string", "minLength", "maxLength"},
        [SCHEMA_ENUM] = {"string", NULL, NULL},
        [SCHEMA_COLOR] = {"string", NULL, NULL},
    };
    json_t *plain = json_pack("{s:s}", "type", table[type].name);

    if (table[type].min && json_object_get(option, "min"))
        json_object_set(plain, table[type].min, json_object_get(option, "min"));
    if (table[type].max && json_object_get(option, "max"))
        json_object_set(plain, table[type].max, json_object_get(option, "max"));
    if (json_object_get(option, "values"))
        json_object_set(plain, "enum", json_object_get(option, "values"));
    if (json_object_get(option, "pattern"))
        json_object_set(plain, "pattern", json_object_get(option, "pattern"));
    if (type == SCHEMA_COLOR)
        json_object_set_new(plain, "pattern", json_string(SCHEMA_PATTERN_COLOR));
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
    json_object_set(result, "default", json_object_get(option, "default"));
    json_object_set(result, "description", json_object_get(option, "help"));
    json_object_set(result, "x-type", json_object_get(option, "type"));
    json_object_set(result, "x-unit", json_object_get(option, "unit"));
    return result;
}

json_t *schema_to_json_schema(const json_t *schema)
{
    json_t *object = object_json(schema);
    json_t *result = json_pack("{s:s}", "$schema", "https://json-schema.org/draft/2020-12/schema");

    json_object_update(result, object);
    json_decref(object);
    return result;
}
