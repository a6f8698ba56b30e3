/*
 * Presentation times for H.264 and HEVC packets that come without any, as from raw streams and
 * AVI: from the picture order counts that the slices carry. Belongs to one task.
 */
#ifndef LUMA_ENGINE_REORDER_H
#define LUMA_ENGINE_REORDER_H

#include <libavcodec/avcodec.h>

struct reorder;

/* NULL if the codec needs none of this, or when out of memory. */
struct reorder *reorder_create(const AVCodecParameters *parameters);
void reorder_destroy(struct reorder **pointer);

/* Every packet of the stream, in order, with a decoding time; sets a missing pts. duration is that
 * of a frame, on the packet's time base. */
void reorder_packet(struct reorder *reorder, AVPacket *packet, int64_t duration);

#endif
