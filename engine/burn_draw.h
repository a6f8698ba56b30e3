/*
 * Colours and coverage onto pictures of any planar format.
 *
 * Subtitles come as sRGB colours with a mask, or as pictures of sRGB colours; frames have luma and
 * chroma, 8 to 16 bits, full range or not, and may be HDR. A struct burn_ink knows how colours come
 * out in frames of one kind: by their matrix, range and depth; in PQ and HLG, white is the
 * reference white of ITU-R BT.2408 (203 cd/m2, 75 % HLG), not the brightest that the format has.
 *
 * Where chroma is subsampled, coverage is averaged over the pixels that share it. What lies outside
 * of the picture is cut off. A frame must be writable. Plain functions; an ink is plain data.
 */
#ifndef LUMA_ENGINE_BURN_DRAW_H
#define LUMA_ENGINE_BURN_DRAW_H

#include <libavutil/frame.h>
#include <stdbool.h>
#include <stdint.h>

/* What can be drawn on; ends with AV_PIX_FMT_NONE. */
extern const enum AVPixelFormat burn_formats[];

struct burn_ink {
    enum AVPixelFormat format;
    enum AVColorSpace space;
    enum AVColorRange range;
    enum AVColorTransferCharacteristic transfer;
    int height; /* tells the matrix where the frame doesn't */

    int components; /* of colour: 1 or 3 */
    int depth;      /* bits */
    double luma[3]; /* weights of red, green and blue */
    bool rgb, full;
};

/* True if the ink was made for frames like this one. */
bool burn_ink_fits(const struct burn_ink *ink, const AVFrame *frame);

/* Fits the ink to frames like this one, whose format must be one of burn_formats. */
void burn_ink_fit(struct burn_ink *ink, const AVFrame *frame);

/* The values of the frame's components for a colour: luma and chroma, or red, green and blue. */
void burn_ink_mix(const struct burn_ink *ink, const uint8_t rgb[3], uint16_t value[3]);

struct burn_mask {
    const uint8_t *bytes; /* coverage */
    int stride, width, height;
    int x, y; /* in the frame */
};

/* One colour through a mask; opacity 0 to 255. */
void burn_draw_mask(const struct burn_ink *ink, AVFrame *frame, const struct burn_mask *mask,
                    const uint16_t value[3], uint8_t opacity);

/* A picture in the frame's own components. */
struct burn_picture {
    int width, height;
    int x, y;           /* in the frame */
    uint16_t *alpha;    /* 0 to 65535 */
    uint16_t *value[3]; /* of burn_ink_mix(), brought to 16 bits, times alpha */
};

void burn_draw_picture(const struct burn_ink *ink, AVFrame *frame,
                       const struct burn_picture *picture);

#endif
