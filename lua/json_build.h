/*
 * Building JSON so that a lack of memory anywhere gives NULL in the end, and nothing in between
 * has to be checked: each takes the references that it is given, and gives back the container, or
 * NULL when anything was NULL or couldn't be added.
 */
#ifndef LUMA_LUA_JSON_BUILD_H
#define LUMA_LUA_JSON_BUILD_H

#include <jansson.h>

static inline json_t *json_put(json_t *object, const char *key, json_t *value)
{
    if (object && value && json_object_set_new(object, key, value) == 0)
        return object;
    if (!object)
        json_decref(value); /* else it is gone already */
    json_decref(object);
    return NULL;
}

static inline json_t *json_add(json_t *array, json_t *value)
{
    if (array && value && json_array_append_new(array, value) == 0)
        return array;
    if (!array)
        json_decref(value);
    json_decref(array);
    return NULL;
}

/* Puts a borrowed value where there is one. */
static inline json_t *json_put_borrowed(json_t *object, const char *key, json_t *value)
{
    return value ? json_put(object, key, json_incref(value)) : object;
}

#endif
