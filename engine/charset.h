/*
 * Text subtitles in whatever charset people have them.
 *
 * libavformat and libavcodec read subtitles as UTF-8; what is written in anything else they show
 * wrongly or drop. So a file of text subtitles is looked at before a demuxer sees it: UTF-16 and
 * UTF-32 are known by their mark or by their zero bytes, UTF-8 by being well-formed, everything
 * else is guessed by uchardet from the whole text. What isn't UTF-8 is translated in memory.
 *
 * Only what looks like text subtitles (by its beginning) is read as a whole, and only up to
 * CHARSET_MAX_BYTES; larger ones are refused, in whichever charset they are, since demuxers of
 * text keep all of it in memory. Everything else passes untouched. Any thread.
 */
#ifndef LUMA_ENGINE_CHARSET_H
#define LUMA_ENGINE_CHARSET_H

#include "engine/error.h"
#include "engine/io.h"

enum { CHARSET_MAX_BYTES = 32 << 20 };

/* Replaces a reader of text subtitles in another charset by one of the same text in UTF-8 and
 * closes the old one; any other reader stays as it is. Bytes that the charset doesn't have
 * become U+FFFD. On failure the caller still owns *reader. */
int charset_translate(struct io_reader **reader, const char *label, struct error *e);

/* Makes the C library load the conversions of the common charsets, for a process that will not be
 * able to later. They stay for the life of the process. */
void charset_warm(void);

#endif
