/*
 * Everything that is known of an input, as JSON: what `probe` answers and what `completed` says of
 * each output.
 *
 * {format, brand, duration, start, size, bit_rate, metadata: {..}, chapters: [{start, end, title,
 *  metadata}], streams: [{index, kind, codec, ..., tags: {..}}]}
 * What isn't known is null. Fields that a kind of stream can't have are left out.
 */
#include <math.h>
#include <string.h>

#include "lua/json_build.h"
#include "lua/json_lua.h"
#include "lua/media_fields.h"
#include "lua/operation.h"

static json_t *number_json(double number)
{
    return isfinite(number) ? json_real(number) : json_null();
}

static json_t *known_json(int64_t number)
{
    return number > 0 ? json_integer(number) : json_null();
}

static json_t *text_json(const char *text)
{
    return text && *text ? json_text(text, strlen(text)) : json_null();
}

static json_t *tags_json(const AVDictionary *tags)
{
    json_t *object = json_object();
    const AVDictionaryEntry *tag = NULL;

    while (object && (tag = av_dict_get(tags, "", tag, AV_DICT_IGNORE_SUFFIX))) {
        json_t *key = json_text(tag->key, strlen(tag->key));
        object = json_put(object, key ? json_string_value(key) : "", text_json(tag->value));
        json_decref(key);
    }
    return object;
}

static json_t *color_json(const struct media_color *color)
{
    json_t *object = json_object();
    object = json_put(object, "primaries", text_json(color->primaries));
    object = json_put(object, "transfer", text_json(color->transfer));
    object = json_put(object, "matrix", text_json(color->matrix));
    object = json_put(object, "range", text_json(color->range));
    object = json_put(object, "hdr", json_boolean(color->hdr));
    return json_put(object, "dolby_vision", json_boolean(color->dolby_vision));
}

static json_t *value_json(const struct media_value *value)
{
    switch (value->kind) {
    case MEDIA_UNKNOWN:
        break;
    case MEDIA_FLAG:
        return json_boolean(value->flag);
    case MEDIA_INTEGER:
        return json_integer(value->integer);
    case MEDIA_NUMBER:
        return json_real(value->number);
    case MEDIA_TEXT:
        return text_json(value->text);
    case MEDIA_COLOR:
        return color_json(value->color);
    case MEDIA_TAGS:
        return tags_json(value->tags);
    }
    return json_null();
}

static json_t *stream_json(const struct media_stream *stream)
{
    json_t *object = json_object();

    for (const struct media_field *field = media_fields; field->name; field++) {
        struct media_value value = {.kind = MEDIA_UNKNOWN};
        if (field->kind >= 0 && field->kind != (int)stream->kind) {
            continue;
        }
        field->read(stream, &value);
        object = json_put(object, field->name, value_json(&value));
    }
    return object;
}

static json_t *chapter_json(const struct media_chapter *chapter)
{
    json_t *object = json_object();
    object = json_put(object, "start", number_json(chapter->start));
    object = json_put(object, "end", number_json(chapter->end));
    object = json_put(object, "title", text_json(chapter->title));
    return json_put(object, "metadata", tags_json(chapter->metadata));
}

json_t *operation_media_json(const struct media *media)
{
    json_t *object = json_object();
    json_t *chapters = json_array();
    json_t *streams = json_array();

    for (int i = 0; i < media->chapter_count; i++) {
        chapters = json_add(chapters, chapter_json(&media->chapters[i]));
    }
    for (int i = 0; i < media->stream_count; i++) {
        streams = json_add(streams, stream_json(&media->streams[i]));
    }
    object = json_put(object, "format", text_json(media->format));
    object = json_put(object, "brand", text_json(media->brand));
    object = json_put(object, "duration", number_json(media->duration));
    object = json_put(object, "start", number_json(media->start));
    object = json_put(object, "size", known_json(media->size));
    object = json_put(object, "bit_rate", known_json(media->bit_rate));
    object = json_put(object, "metadata", tags_json(media->metadata));
    object = json_put(object, "chapters", chapters);
    return json_put(object, "streams", streams);
}
