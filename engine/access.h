/*
 * Where decoding may begin: random access points, told by their packets, without decoding.
 *
 * Containers mark packets as keyframes, but mean different things by it: that decoding may begin
 * there at once, after some pictures, or only that the picture itself needs no other. A point, as
 * it is called here, is stricter: whatever is shown after it is decoded right from it on, and a
 * decoder that begins there needs nothing from outside the packets. Pictures that are decoded
 * after a point but shown before it (an open group of pictures) may need what came earlier.
 *
 * Belongs to one task.
 */
#ifndef LUMA_ENGINE_ACCESS_H
#define LUMA_ENGINE_ACCESS_H

#include <libavcodec/avcodec.h>
#include <stdbool.h>

struct access {
    enum AVCodecID codec;
    bool intra_only; /* every packet is a point */
    int prefix;      /* bytes of a NAL unit's length; 0: start codes separate them */
};

/* False for a codec whose packets can't be judged; access_is_point() then goes by the container's
 * mark alone. */
bool access_init(struct access *access, const AVCodecParameters *parameters);

bool access_is_point(const struct access *access, const AVPacket *packet);

/* True for a point that can also follow other pictures than those it followed first: all but those
 * of H.264 that are no IDR picture, whose numbers go on from the pictures before (8.2.1). */
bool access_is_fresh(const struct access *access, const AVPacket *packet);

/* True for a point that says of the pictures shown before it that they need none before. Only
 * MPEG-1 and MPEG-2 say so. */
bool access_is_closed(const struct access *access, const AVPacket *packet);

/* True for a packet that holds more than one picture, as AVI files of DivX have them: what is shown
 * when can't be told of it. */
bool access_is_packed(const struct access *access, const AVPacket *packet);

#endif
