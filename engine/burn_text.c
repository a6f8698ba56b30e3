/*
 * libass behind burn_text: a library, a renderer and a track each.
 */
#include "engine/burn_text.h"

#include <ass/ass.h>
#include <libavutil/avstring.h>
#include <libavutil/dict.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_FONT_BYTES = 64 << 20, /* of all attached fonts */
    CACHED_GLYPHS = 2000,
    CACHED_MEGABYTES = 48,
    CODE_POINTS = 0x110000,
    MAX_PLAY_RES = 16384,
    DEFAULT_PLAY_RES_Y = 288, /* libass's own */
    MAX_LETTER = 2,           /* heights of the picture */
    PROBE_SIZE = 64,          /* of the picture that tells whether there is a font */
};

/* Different code points. */
struct letters {
    uint8_t bits[CODE_POINTS / 8];
    int count;
};

struct burn_text {
    struct letters used, missing;
    uint32_t example; /* a missing one */
    ASS_Library *library;
    ASS_Renderer *renderer;
    ASS_Track *track;
    bool ass;
    int events;
    int64_t bytes;
    int width, height; /* of the last frame */
    AVRational aspect;
};

static void add_letter(struct letters *letters, uint32_t code)
{
    if (code >= CODE_POINTS || letters->bits[code / 8] & 1 << code % 8)
        return;
    letters->bits[code / 8] |= (uint8_t)(1 << code % 8);
    letters->count++;
}

/* Only here does libass say that no font has a letter. */
static void hear(int level, const char *format, va_list arguments, void *opaque)
{
    struct burn_text *text = opaque;
    (void)level;
    if (strstr(format, "failed to find any fallback with glyph 0x%X")) {
        text->example = va_arg(arguments, unsigned);
        add_letter(&text->missing, text->example);
    }
}

void burn_text_destroy(struct burn_text **text)
{
    if (!*text)
        return;
    if ((*text)->track)
        ass_free_track((*text)->track);
    if ((*text)->renderer)
        ass_renderer_done((*text)->renderer);
    if ((*text)->library)
        ass_library_done((*text)->library);
    free(*text);
    *text = NULL;
}

/* ---- fonts ---- */

static const char *tag(const AVStream *stream, const char *name)
{
    const AVDictionaryEntry *entry = av_dict_get(stream->metadata, name, NULL, 0);
    return entry ? entry->value : "";
}

static bool is_font(const AVStream *stream)
{
    static const char types[] = "application/x-truetype-font,application/x-font-ttf,"
                                "application/x-font-otf,application/vnd.ms-opentype,"
                                "application/font-sfnt,font/ttf,font/otf,font/sfnt,"
                                "font/collection,application/x-font";
    const AVCodecParameters *par = stream->codecpar;
    if (par->codec_type != AVMEDIA_TYPE_ATTACHMENT || par->extradata_size <= 0)
        return false;
    return par->codec_id == AV_CODEC_ID_TTF || par->codec_id == AV_CODEC_ID_OTF ||
           av_match_list(tag(stream, "mimetype"), types, ',');
}

static void add_fonts(struct burn_text *text, const AVFormatContext *media)
{
    int64_t room = MAX_FONT_BYTES;
    for (unsigned i = 0; media && i < media->nb_streams; i++) {
        const AVStream *stream = media->streams[i];
        const AVCodecParameters *par = stream->codecpar;
        if (!is_font(stream) || par->extradata_size > room)
            continue;
        room -= par->extradata_size;
        ass_add_font(text->library, tag(stream, "filename"), (const char *)par->extradata,
                     par->extradata_size);
    }
}

/* Whether a letter leaves anything on a picture. */
static bool has_font(struct burn_text *text)
{
    static char header[] = "[Script Info]\nScriptType: v4.00+\nPlayResX: 64\nPlayResY: 64\n"
                           "[V4+ Styles]\nFormat: Name, Fontname, Fontsize\n"
                           "Style: Default,Arial,40\n[Events]\n"
                           "Format: Layer, Start, End, Style, Text\n";
    char event[] = "0,0,Default,,0,0,0,,x";
    ASS_Track *track = ass_new_track(text->library);
    if (!track)
        return false;
    ass_process_codec_private(track, header, (int)sizeof header - 1);
    ass_process_chunk(track, event, (int)sizeof event - 1, 0, 1000);
    ass_set_frame_size(text->renderer, PROBE_SIZE, PROBE_SIZE);
    bool drawn = ass_render_frame(text->renderer, track, 0, NULL) != NULL;
    ass_free_track(track);
    return drawn;
}

/* ---- look ---- */

static uint32_t ass_color(const uint8_t color[4])
{
    return (uint32_t)color[0] << 24 | (uint32_t)color[1] << 16 | (uint32_t)color[2] << 8 |
           (255U - color[3]);
}

enum burn_position burn_position_from_name(const char *name)
{
    static const char *const names[] = {[BURN_POSITION_BOTTOM] = "bottom",
                                        [BURN_POSITION_MIDDLE] = "middle",
                                        [BURN_POSITION_TOP] = "top"};
    for (int i = BURN_POSITION_BOTTOM; i <= BURN_POSITION_TOP; i++) {
        if (strcmp(name, names[i]) == 0)
            return (enum burn_position)i;
    }
    return BURN_POSITION_OWN;
}

static int restyle(ASS_Track *track, const struct burn_style *wanted)
{
    static const int aligned[] = {
        [BURN_POSITION_BOTTOM] = VALIGN_SUB | HALIGN_CENTER,
        [BURN_POSITION_MIDDLE] = VALIGN_CENTER | HALIGN_CENTER,
        [BURN_POSITION_TOP] = VALIGN_TOP | HALIGN_CENTER,
    };
    double percent = (track->PlayResY > 0 ? track->PlayResY : DEFAULT_PLAY_RES_Y) / 100.0;
    for (int i = 0; i < track->n_styles; i++) {
        ASS_Style *style = &track->styles[i];
        if (wanted->font) {
            char *name = strdup(wanted->font);
            if (!name)
                return ERROR_OUT_OF_MEMORY;
            free(style->FontName); /* libass takes and gives malloc's memory */
            style->FontName = name;
        }
        if (wanted->size > 0)
            style->FontSize = wanted->size * percent;
        if (wanted->outline >= 0) {
            style->Outline = wanted->outline * percent;
            track->ScaledBorderAndShadow = 1;
        }
        if (wanted->colored)
            style->PrimaryColour = ass_color(wanted->color);
        if (wanted->outline_colored)
            style->OutlineColour = ass_color(wanted->outline_color);
        if (wanted->position != BURN_POSITION_OWN)
            style->Alignment = aligned[wanted->position];
    }
    return 0;
}

/* ---- making ---- */

/* Sizes that no picture has make every letter a picture of its own, larger than any cache. */
static void tame(ASS_Track *track)
{
    if (track->PlayResX > MAX_PLAY_RES || track->PlayResY > MAX_PLAY_RES)
        track->PlayResX = track->PlayResY = 0; /* libass has a default */
    double height = track->PlayResY > 0 ? track->PlayResY : DEFAULT_PLAY_RES_Y;
    for (int i = 0; i < track->n_styles; i++) {
        ASS_Style *style = &track->styles[i];
        style->FontSize = fmin(style->FontSize, MAX_LETTER * height);
        style->Outline = fmin(style->Outline, height);
        style->Shadow = fmin(style->Shadow, height);
    }
}

static int make_parts(struct burn_text *text, const struct burn_text_settings *settings)
{
    text->library = ass_library_init();
    if (!text->library)
        return ERROR_OUT_OF_MEMORY;
    ass_set_message_cb(text->library, hear, text);
    ass_set_extract_fonts(text->library, 1);
    add_fonts(text, settings->attachments);
    text->renderer = ass_renderer_init(text->library);
    text->track = ass_new_track(text->library);
    if (!text->renderer || !text->track)
        return ERROR_OUT_OF_MEMORY;
    ass_set_cache_limits(text->renderer, CACHED_GLYPHS, CACHED_MEGABYTES);
    ass_set_check_readorder(text->track, 0);
    if (settings->header_size > 0)
        ass_process_codec_private(text->track, (char *)settings->header, settings->header_size);
    tame(text->track);
    if (settings->style && restyle(text->track, settings->style) < 0)
        return ERROR_OUT_OF_MEMORY;
    /* Only now, as the header may bring fonts with it. */
    ass_set_fonts(text->renderer, NULL, "sans-serif", ASS_FONTPROVIDER_AUTODETECT, NULL, 1);
    return 0;
}

int burn_text_create(struct burn_text **out, const struct burn_text_settings *settings,
                     struct error *e)
{
    struct burn_text *text = calloc(1, sizeof *text);
    *out = text;
    if (!text || make_parts(text, settings) < 0) {
        burn_text_destroy(out);
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory to draw subtitles");
    }
    text->ass = settings->ass;
    if (!has_font(text)) {
        burn_text_destroy(out);
        return error_set(e, ERROR_ENCODE_FAILED,
                         "there is no font on this machine to draw subtitles with");
    }
    memset(&text->missing, 0, sizeof text->missing);
    if (settings->stored_width > 0 && settings->stored_height > 0)
        ass_set_storage_size(text->renderer, settings->stored_width, settings->stored_height);
    return 0;
}

int burn_text_count(const struct burn_text *text)
{
    return text->events;
}

/* The letters of an event, behind its eight fields, without overrides and line breaks. */
static void add_letters(struct burn_text *text, const char *event)
{
    for (int i = 0; i < 8 && event; i++) {
        event = strchr(event, ',');
        event += event != NULL;
    }
    const uint8_t *p = (const uint8_t *)event;
    const uint8_t *end = p ? p + strlen(event) : p;
    while (p && p < end) {
        int32_t code = 0;
        if (*p == '{') {
            const void *close = memchr(p, '}', (size_t)(end - p));
            p = close ? (const uint8_t *)close + 1 : end;
        } else if (*p == '\\' && p + 1 < end) {
            p += 2;
        } else if (av_utf8_decode(&code, &p, end, 0) >= 0 && code > ' ') {
            add_letter(&text->used, (uint32_t)code);
        }
    }
}

int burn_text_add(struct burn_text *text, const char *event, int64_t start, int64_t duration,
                  struct error *e)
{
    size_t length = strlen(event);
    if (text->events >= BURN_TEXT_MAX_EVENTS ||
        text->bytes + (int64_t)length > BURN_TEXT_MAX_BYTES) {
        return error_set(e, ERROR_LIMIT_EXCEEDED,
                         "a subtitle track has more than %d events or %d MB of text",
                         BURN_TEXT_MAX_EVENTS, BURN_TEXT_MAX_BYTES >> 20);
    }
    char *copy = strdup(event); /* libass writes into it for a moment */
    if (!copy)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for subtitles");
    ass_process_chunk(text->track, copy, (int)length, start, duration);
    free(copy);
    add_letters(text, event);
    text->events++;
    text->bytes += (int64_t)length;
    return 0;
}

/* ---- drawing ---- */

static void fit_frame(struct burn_text *text, const AVFrame *frame)
{
    AVRational aspect = frame->sample_aspect_ratio;
    if (aspect.num <= 0 || aspect.den <= 0)
        aspect = (AVRational){1, 1};
    if (frame->width == text->width && frame->height == text->height &&
        av_cmp_q(aspect, text->aspect) == 0)
        return;
    text->width = frame->width;
    text->height = frame->height;
    text->aspect = aspect;
    ass_set_frame_size(text->renderer, frame->width, frame->height);
    /* 0: as it was stored, which ASS means; else letters get back the shape that pixels take. */
    ass_set_pixel_aspect(text->renderer, text->ass ? 0 : 1 / av_q2d(aspect));
}

int burn_text_draw(struct burn_text *text, struct burn_ink *ink, AVFrame *frame, int64_t time,
                   struct error *e)
{
    if (text->events == 0)
        return 0;
    fit_frame(text, frame);
    const ASS_Image *image = ass_render_frame(text->renderer, text->track, time, NULL);
    if (text->missing.count * 2 > text->used.count) {
        return error_set(e, ERROR_ENCODE_FAILED,
                         "no font on this machine has most of the letters of these subtitles "
                         "(U+%04X, for one)",
                         text->example);
    }
    if (!image)
        return 0;
    int averror = av_frame_make_writable(frame);
    if (averror < 0)
        return error_set_av(e, ERROR_INTERNAL, averror, "a frame can't be drawn on");
    burn_ink_fit(ink, frame);
    for (; image; image = image->next) {
        const uint8_t rgb[3] = {(uint8_t)(image->color >> 24), (uint8_t)(image->color >> 16),
                                (uint8_t)(image->color >> 8)};
        struct burn_mask mask = {.bytes = image->bitmap,
                                 .stride = image->stride,
                                 .width = image->w,
                                 .height = image->h,
                                 .x = image->dst_x,
                                 .y = image->dst_y};
        uint16_t value[3] = {0};
        burn_ink_mix(ink, rgb, value);
        burn_draw_mask(ink, frame, &mask, value, (uint8_t)(255 - (image->color & 0xFF)));
    }
    return 0;
}
