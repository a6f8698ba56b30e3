/*
 * Text subtitles drawn by libass.
 *
 * A struct burn_text keeps the events of one track and renders what is shown at a time, at the size
 * of the frame that it is given. ASS is laid out as its header says (PlayRes, LayoutRes), relative
 * to the picture as it is stored; text that was no ASS keeps the shape of its letters where pixels
 * aren't square.
 *
 * Fonts: those that come with the media first, then what fontconfig finds. They are looked for when
 * the first text is made (15 ms with fontconfig's cache), never before: a job that burns nothing
 * doesn't pay for it, and libass shares nothing that a process could have ready. Where there is no
 * font at all, or none that has most of the letters, it fails with a sentence, as pictures without
 * text, or with boxes, would be a silent loss.
 *
 * Events are kept, up to BURN_TEXT_MAX_EVENTS and BURN_TEXT_MAX_BYTES; libass's caches are bounded.
 * Everything belongs to one thread.
 */
#ifndef LUMA_ENGINE_BURN_TEXT_H
#define LUMA_ENGINE_BURN_TEXT_H

#include <libavformat/avformat.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/burn_draw.h"
#include "engine/error.h"

enum { BURN_TEXT_MAX_EVENTS = 200000, BURN_TEXT_MAX_BYTES = 64 << 20 };

enum burn_position {
    BURN_POSITION_OWN,
    BURN_POSITION_BOTTOM,
    BURN_POSITION_MIDDLE,
    BURN_POSITION_TOP
};

/* What is asked for instead of the track's own look; sizes in percent of the picture's height. */
struct burn_style {
    const char *font; /* family; NULL: the track's */
    double size;      /* of a line; 0: the track's */
    double outline;   /* thickness of the edge; below 0: the track's */
    bool colored, outline_colored;
    uint8_t color[4], outline_color[4]; /* red, green, blue, alpha */
    enum burn_position position;
};

/* "bottom", "middle" or "top"; BURN_POSITION_OWN for any other name. */
enum burn_position burn_position_from_name(const char *name);

struct burn_text;

/* header: the ASS header of the decoder. attachments: streams of the media that may be fonts.
 * ass: the track was ASS. stored_width and stored_height: of the video before any filter, upright;
 * 0 if unknown. style is only read. */
struct burn_text_settings {
    const uint8_t *header;
    int header_size;
    const AVFormatContext *attachments;
    bool ass;
    int stored_width, stored_height;
    const struct burn_style *style;
};

int burn_text_create(struct burn_text **out, const struct burn_text_settings *settings,
                     struct error *e);
void burn_text_destroy(struct burn_text **text);

/* An event as libavcodec's decoders give it ("0,0,Default,,0,0,0,,Hello"); milliseconds. */
int burn_text_add(struct burn_text *text, const char *event, int64_t start, int64_t duration,
                  struct error *e);
int burn_text_count(const struct burn_text *text);

/* Draws what is shown at a time, if anything: makes the frame writable only then. */
int burn_text_draw(struct burn_text *text, struct burn_ink *ink, AVFrame *frame, int64_t time,
                   struct error *e);

#endif
