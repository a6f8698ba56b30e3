/*
 * Reads only what operation_media_json() wrote; a field that is missing is left out of the text.
 */
#include "lua/summary.h"

#include <string.h>

static const char *text_of(const json_t *object, const char *field)
{
    const char *text = json_string_value(json_object_get(object, field));
    return text ? text : "";
}

static double number_of(const json_t *object, const char *field)
{
    return json_number_value(json_object_get(object, field));
}

static bool is_true(const json_t *object, const char *field)
{
    return json_is_true(json_object_get(object, field));
}

/* Appends formatted text, cutting it at the end of the buffer. */
static void append(char *text, size_t size, const char *separator, const char *more)
{
    size_t used = strlen(text);
    if (*more && used < size) {
        snprintf(text + used, size - used, "%s%s", used ? separator : "", more);
    }
}

static void describe_video(const json_t *stream, char *text, size_t size)
{
    char more[96];
    double width = number_of(stream, "width"), height = number_of(stream, "height");
    double shown_width = number_of(stream, "display_width");
    double shown_height = number_of(stream, "display_height");
    snprintf(more, sizeof more, "%.0fx%.0f", width, height);
    append(text, size, ", ", more);
    if (shown_width > 0 && (shown_width != width || shown_height != height)) {
        snprintf(more, sizeof more, " (shown %.0fx%.0f)", shown_width, shown_height);
        append(text, size, "", more);
    }
    append(text, size, ", ", text_of(stream, "pixel_format"));
    double rate = number_of(stream, "frame_rate");
    if (rate > 0) {
        snprintf(more, sizeof more, "%.5g fps%s", rate,
                 is_true(stream, "variable_frame_rate") ? " (variable)" : "");
        append(text, size, ", ", more);
    }
    if (number_of(stream, "rotation") > 0) {
        snprintf(more, sizeof more, "rotated %.0f degrees", number_of(stream, "rotation"));
        append(text, size, ", ", more);
    }
    if (is_true(json_object_get(stream, "color"), "hdr")) {
        append(text, size, ", ", "HDR");
    }
    if (is_true(stream, "attached_picture")) {
        append(text, size, ", ", "cover picture");
    }
}

static void describe_audio(const json_t *stream, char *text, size_t size)
{
    char more[64];
    if (number_of(stream, "sample_rate") > 0) {
        snprintf(more, sizeof more, "%.0f Hz", number_of(stream, "sample_rate"));
        append(text, size, ", ", more);
    }
    append(text, size, ", ", text_of(stream, "layout"));
}

void summary_print_stream(const json_t *stream, const struct terminal *terminal)
{
    char text[512] = "", more[64];
    const char *kind = text_of(stream, "kind");
    const char *codec = text_of(stream, "codec");
    append(text, sizeof text, ", ", *codec ? codec : "unknown codec");
    if (!strcmp(kind, "video")) {
        describe_video(stream, text, sizeof text);
    } else if (!strcmp(kind, "audio")) {
        describe_audio(stream, text, sizeof text);
    }
    if (number_of(stream, "bit_rate") > 0) {
        snprintf(more, sizeof more, "%.0f kb/s", number_of(stream, "bit_rate") / 1000);
        append(text, sizeof text, ", ", more);
    }
    if (strcmp(text_of(stream, "language"), "und") != 0) {
        append(text, sizeof text, ", ", text_of(stream, "language"));
    }
    if (text_of(stream, "title")[0]) {
        snprintf(more, sizeof more, "\"%.60s\"", text_of(stream, "title"));
        append(text, sizeof text, ", ", more);
    }
    fprintf(terminal->stream, "  %s%2.0f %-9s%s %s\n", terminal_style(terminal, TERMINAL_BOLD),
            number_of(stream, "index"), kind, terminal_plain(terminal), text);
}

static void print_chapters(const json_t *chapters, FILE *stream)
{
    size_t i;
    json_t *chapter;
    json_array_foreach(chapters, i, chapter)
    {
        char start[24], end[24];
        terminal_clock(start, sizeof start, number_of(chapter, "start"));
        terminal_clock(end, sizeof end, number_of(chapter, "end"));
        fprintf(stream, "  chapter %zu: %s to %s %s\n", i + 1, start, end,
                text_of(chapter, "title"));
    }
}

void summary_print(const json_t *media, const struct terminal *terminal)
{
    char text[256] = "", more[64];
    append(text, sizeof text, ", ", text_of(media, "format"));
    if (number_of(media, "duration") > 0) {
        terminal_clock(more, sizeof more, number_of(media, "duration"));
        append(text, sizeof text, ", ", more);
        snprintf(more, sizeof more, "%.3f s", number_of(media, "duration"));
        append(text, sizeof text, ", ", more);
    }
    if (number_of(media, "size") > 0) {
        terminal_size(more, sizeof more, number_of(media, "size"));
        append(text, sizeof text, ", ", more);
    }
    if (number_of(media, "bit_rate") > 0) {
        snprintf(more, sizeof more, "%.0f kb/s", number_of(media, "bit_rate") / 1000);
        append(text, sizeof text, ", ", more);
    }
    fprintf(terminal->stream, "  %s\n", text);
    size_t i;
    json_t *stream;
    json_array_foreach(json_object_get(media, "streams"), i, stream)
    {
        summary_print_stream(stream, terminal);
    }
    print_chapters(json_object_get(media, "chapters"), terminal->stream);
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(media, "metadata"), key, value)
    {
        fprintf(terminal->stream, "  %s: %s\n", key,
                json_is_string(value) ? json_string_value(value) : "");
    }
}

void summary_line(const json_t *media, char *text, size_t size)
{
    char more[64];
    text[0] = '\0';
    if (number_of(media, "duration") > 0) {
        terminal_clock(more, sizeof more, number_of(media, "duration"));
        append(text, size, ", ", more);
    }
    size_t i;
    json_t *stream;
    json_array_foreach(json_object_get(media, "streams"), i, stream)
    {
        const char *kind = text_of(stream, "kind");
        if (!strcmp(kind, "video") && number_of(stream, "width") > 0) {
            snprintf(more, sizeof more, "%.0fx%.0f %s", number_of(stream, "width"),
                     number_of(stream, "height"), text_of(stream, "codec"));
        } else {
            snprintf(more, sizeof more, "%s", text_of(stream, "codec"));
        }
        append(text, size, ", ", more);
    }
}
