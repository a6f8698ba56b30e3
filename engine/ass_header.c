/*
 * The one line of an ASS header that Matroska decides.
 */
#include "engine/ass_header.h"

#include <libavcodec/defs.h>
#include <libavutil/avstring.h>
#include <libavutil/error.h>
#include <libavutil/mem.h>
#include <stdbool.h>
#include <string.h>

static const char standard[] =
    "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text";

/* SSA has Marked where ASS has Layer, and some call Name Actor. */
static bool is_standard(const char *line, size_t length)
{
    static const char *const fields[][2] = {
        {"layer", "marked"},    {"start", "start"},     {"end", "end"},
        {"style", "style"},     {"name", "actor"},      {"marginl", "marginl"},
        {"marginr", "marginr"}, {"marginv", "marginv"}, {"effect", "effect"},
        {"text", "text"},
    };
    enum { FIELDS = sizeof fields / sizeof *fields };
    const char *end = line + length;
    const char *p = line + strlen("Format:");
    for (int i = 0; i < FIELDS; i++) {
        p += strspn(p, " \t");
        size_t word = strcspn(p, " \t,\r\n");
        bool known = false;
        for (int k = 0; k < 2; k++) {
            known |= word == strlen(fields[i][k]) && av_strncasecmp(p, fields[i][k], word) == 0;
        }
        if (!known)
            return false;
        p += word;
        p += strspn(p, " \t");
        bool last = i + 1 == FIELDS;
        if (last ? p < end : p >= end || *p != ',')
            return false;
        p += !last;
    }
    return true;
}

int ass_header_fix(AVCodecParameters *parameters)
{
    /* Extradata is padded with zeros, so it ends as a text does. */
    const char *header = (const char *)parameters->extradata;
    const char *events = header ? av_stristr(header, "[Events]") : NULL;
    const char *line = events ? av_stristr(events, "\nFormat:") : NULL;
    if (!line)
        return 0;
    line++;
    size_t length = strcspn(line, "\r\n");
    if (is_standard(line, length))
        return 0;
    size_t before = (size_t)(line - header);
    size_t after = strlen(line + length);
    size_t size = before + sizeof standard - 1 + after;
    uint8_t *fixed = av_mallocz(size + AV_INPUT_BUFFER_PADDING_SIZE);
    if (!fixed)
        return AVERROR(ENOMEM);
    memcpy(fixed, header, before);
    memcpy(fixed + before, standard, sizeof standard - 1);
    memcpy(fixed + before + sizeof standard - 1, line + length, after);
    av_freep(&parameters->extradata);
    parameters->extradata = fixed;
    parameters->extradata_size = (int)size;
    return 0;
}
