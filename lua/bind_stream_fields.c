/*
 * The fields of a stream, as Lua values.
 *
 * All of them are known for a stream straight from an input. Once it has been through a filter
 * only what follows the source is (its kind, language, title, ...); the others are nil, not
 * guesses. The shown size of a stream straight from an input is a number, or an error.
 */
#include <math.h>
#include <string.h>

#include "lua/bind.h"
#include "lua/media_fields.h"

void bind_push_tags(lua_State *L, const AVDictionary *tags)
{
    const AVDictionaryEntry *tag = NULL;
    lua_newtable(L);
    while ((tag = av_dict_get(tags, "", tag, AV_DICT_IGNORE_SUFFIX))) {
        lua_pushstring(L, tag->value);
        lua_setfield(L, -2, tag->key);
    }
}

static void set_text(lua_State *L, const char *name, const char *text)
{
    if (!text || !*text) {
        return;
    }
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}

static void push_color(lua_State *L, const struct media_color *color)
{
    lua_createtable(L, 0, 6);
    set_text(L, "primaries", color->primaries);
    set_text(L, "transfer", color->transfer);
    set_text(L, "matrix", color->matrix);
    set_text(L, "range", color->range);
    lua_pushboolean(L, color->hdr);
    lua_setfield(L, -2, "hdr");
    lua_pushboolean(L, color->dolby_vision);
    lua_setfield(L, -2, "dolby_vision");
}

static void push_value(lua_State *L, const struct media_value *value)
{
    switch (value->kind) {
    case MEDIA_UNKNOWN:
        lua_pushnil(L);
        break;
    case MEDIA_FLAG:
        lua_pushboolean(L, value->flag);
        break;
    case MEDIA_INTEGER:
        lua_pushinteger(L, value->integer);
        break;
    case MEDIA_NUMBER:
        lua_pushnumber(L, value->number);
        break;
    case MEDIA_TEXT:
        lua_pushstring(L, value->text);
        break;
    case MEDIA_COLOR:
        push_color(L, value->color);
        break;
    case MEDIA_TAGS:
        bind_push_tags(L, value->tags);
        break;
    }
}

double bind_range_duration(double duration, double start, double stop)
{
    if (!isfinite(duration) && !isfinite(stop)) {
        return NAN;
    }
    return fmax(0, (isfinite(duration) ? fmin(duration, stop) : stop) - start);
}

/* Nothing can be made of pictures whose size isn't known; that is the file's fault, and not that of
 * a script which reckons with it. */
static void refuse_sizeless(lua_State *L, struct plan_edge edge)
{
    const struct media *media = plan_input_media(bind_of(L)->plan, edge.node);
    struct error e;
    error_set(&e, ERROR_CORRUPT_MEDIA,
              "the size of the pictures of '%s' (stream %d) can't be told: nothing at its "
              "beginning says it",
              media->label, edge.pad);
    bind_raise(L, &e);
}

bool bind_push_stream_field(lua_State *L, const struct bind_stream *handle, const char *name)
{
    const struct plan *plan = bind_of(L)->plan;
    const struct media_field *field = media_fields;
    struct media_value value = {.kind = MEDIA_UNKNOWN};
    struct plan_type type;

    while (field->name && strcmp(field->name, name) != 0) {
        field++;
    }
    if (!field->name || !plan_edge_type(plan, handle->edge, &type)) {
        return false;
    }
    const struct media_stream *stream = bind_edge_stream(plan, handle->edge);
    bool whole = stream != NULL;
    if (!stream && type.source_node >= 0) {
        stream = bind_edge_stream(
            plan, (struct plan_edge){.node = type.source_node, .pad = type.source_stream});
    }

    if (strcmp(name, "kind") == 0) {
        lua_pushstring(L, media_kind_name(type.kind));
        return true;
    }
    if (stream && (whole || field->lasting) &&
        (field->kind < 0 || field->kind == (int)stream->kind)) {
        field->read(stream, &value);
    }
    if (whole && value.kind == MEDIA_UNKNOWN && stream->kind == AVMEDIA_TYPE_VIDEO &&
        (strcmp(name, "display_width") == 0 || strcmp(name, "display_height") == 0)) {
        refuse_sizeless(L, handle->edge);
    }
    if (value.kind == MEDIA_NUMBER && strcmp(name, "duration") == 0) {
        value.number = bind_range_duration(value.number, handle->start, handle->stop);
    }
    push_value(L, &value);
    return true;
}
