/*
 * Headers of ASS as Matroska keeps them.
 *
 * A block of Matroska has the fields of an event in one order (matroska.org, "Subtitles",
 * SSA/ASS: ReadOrder, Layer, Style, Name, MarginL, MarginR, MarginV, Effect, Text), whatever the
 * header, which may come from a file with fewer or other fields, says of it. Who reads both by the
 * header shows commas before the text; so the header is made to tell the order that is there.
 */
#ifndef LUMA_ENGINE_ASS_HEADER_H
#define LUMA_ENGINE_ASS_HEADER_H

#include <libavcodec/codec_par.h>

/* Corrects the order of events in the parameters' header, if there is one and it is another: 0, or
 * AVERROR(ENOMEM). */
int ass_header_fix(AVCodecParameters *parameters);

#endif
