/*
 * Palettes: few colours for many pictures.
 *
 * GIF knows at most 256 colours a picture. Three things make a film out of that, in two passes:
 *
 *   pass 1   palette_histogram_add() for every frame      what colours are there, and how often
 *   between  palette_build()                              the colours that stand for them best
 *   pass 2   palette_mapper_map() for every frame         RGB in, AV_PIX_FMT_PAL8 out, dithered
 *
 * Both passes need the same frames (scaled, at the output's rate), so whoever drives this either
 * decodes twice or puts the frames of pass 1 into a spool (engine/spool.h) and reads them back.
 * Memory doesn't grow with the number of frames: a histogram has a fixed size, a mapper keeps one
 * picture. This file knows frames of libavutil and nothing else of libav.
 *
 * Histogram: colours are counted exactly while there are at most 256 of them, so that pictures with
 * few colours come out unchanged; beside that, 64 x 64 x 64 bins (6 bits a channel) with the sum
 * of what fell into each.
 *
 * Palette: boxes of bins are cut where the sum of squared errors falls most, the box with the
 * largest error next (X. Wu, "Efficient statistical computations for optimal color quantization",
 * Graphics Gems II, 1991), then moved by a few rounds of k-means (S. Lloyd, "Least squares
 * quantization in PCM", IEEE Trans. Inf. Theory 28, 1982).
 *
 * Mapper: the nearest colour is found exactly, in a grid whose cells list the colours that can be
 * nearest to a point inside; the lists are made when first needed. Errors are diffused in integers
 * with 4 fractional bits. An error is cut at the distance from the entry that was chosen to its
 * third nearest neighbour: among colours that the palette surrounds, errors stay below that by
 * themselves, and the average of an area is that of the picture; beyond the palette's rim they
 * would pile up and come out as noise far away. And it is passed on less one level, which nobody
 * sees, but which in a dense palette is most of the noise and much of the file.
 *
 * Pixels: a frame is packed 8-bit RGB with or without alpha, in one of palette_formats. A pixel
 * whose alpha is below the mapper's threshold is transparent: it isn't counted, and is mapped to
 * the palette's transparent entry, if there is one; otherwise alpha is ignored.
 *
 * Threads: a histogram or a mapper belongs to one thread at a time; different ones don't share
 * anything. A struct palette is plain data.
 *
 * Errors: 0 or an enum error_code, with a sentence in e (which may be NULL).
 */
#ifndef LUMA_ENGINE_PALETTE_H
#define LUMA_ENGINE_PALETTE_H

#include <libavutil/frame.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/error.h"

enum {
    PALETTE_MIN_COLORS = 2,
    PALETTE_MAX_COLORS = 256,
    PALETTE_MAX_SIDE = 65535, /* what GIF can say */
};

/* The pixel formats that frames may have, ended by AV_PIX_FMT_NONE; the first is the fastest. */
extern const enum AVPixelFormat palette_formats[];

/* The colours, as AV_PIX_FMT_PAL8 holds them: 0xAARRGGBB, in the machine's byte order. */
struct palette {
    uint32_t argb[PALETTE_MAX_COLORS]; /* from count on: copies of the first colour */
    int count;                         /* entries that are used, the transparent one among them */
    int transparent;                   /* the entry with alpha 0, or -1 */
};

struct palette_histogram;

/* NULL if there is no memory. About 8 MiB, touched as colours need it. */
struct palette_histogram *palette_histogram_create(void);

void palette_histogram_destroy(struct palette_histogram **h);

/* Counts every pixel of a frame whose alpha is at least 128. Sizes may differ between frames. */
int palette_histogram_add(struct palette_histogram *h, const AVFrame *rgb, struct error *e);

/*
 * Makes a palette of at most `colors` entries (2 to 256); with `transparency` the last of them is
 * kept for transparent pixels. GIF encoders need that entry to leave out what didn't change, so
 * leave it out only for single pictures. The colours are those of the pictures if these have no
 * more; pictures without any opaque pixel give one black. The order is by luma. The histogram may
 * go on counting afterwards. The same histogram always gives the same palette.
 */
int palette_build(const struct palette_histogram *h, int colors, bool transparency,
                  struct palette *palette, struct error *e);

/* How the error of a pixel is spread; names and weights are those of FFmpeg's paletteuse. */
enum palette_dither {
    PALETTE_DITHER_NONE,
    PALETTE_DITHER_BAYER, /* ordered, 8 x 8 */
    PALETTE_DITHER_HECKBERT,
    PALETTE_DITHER_FLOYD_STEINBERG,
    PALETTE_DITHER_SIERRA2,
    PALETTE_DITHER_SIERRA2_4A, /* the default */
    PALETTE_DITHER_SIERRA3,
    PALETTE_DITHER_BURKES,
    PALETTE_DITHER_ATKINSON, /* spreads three quarters of the error only: more contrast */
    PALETTE_DITHERS,
};

/* "sierra2_4a", or NULL outside the table. */
const char *palette_dither_name(enum palette_dither dither);

/* The other way; -1 for an unknown name. */
int palette_dither_from_name(const char *name);

struct palette_mapper_options {
    enum palette_dither dither;
    int bayer_scale;     /* 0 to 5: 0 is the strongest pattern */
    int alpha_threshold; /* 0 to 255: lower alpha is transparent */
    /*
     * A pixel that is as it was in the frame before keeps its entry, so that still parts of the
     * picture don't crawl and cost a GIF encoder nothing. Off: frames are mapped one by one, and
     * the result doesn't depend on what came before.
     */
    bool stable;
    /* With `stable`: how far, in levels of each channel, a pixel may move away from where its entry
     * was chosen before it counts as changed. 0 to 32; above 0, pictures are altered a little in
     * favour of smaller files. */
    int tolerance;
};

/* sierra2_4a, bayer scale 2, alpha threshold 128, stable, tolerance 0. */
void palette_mapper_options_init(struct palette_mapper_options *options);

struct palette_mapper;

/* Copies what it needs of both; options NULL: the defaults. *mapper is NULL after a failure. */
int palette_mapper_create(struct palette_mapper **mapper, const struct palette *palette,
                          const struct palette_mapper_options *options, struct error *e);

void palette_mapper_destroy(struct palette_mapper **mapper);

/*
 * Maps one frame. pal8 is an empty frame of the caller's; it gets buffers of its own and the
 * properties of rgb (timestamps, aspect, metadata), and stays empty after a failure. A frame whose
 * size differs from the one before starts anew, as after palette_mapper_reset().
 */
int palette_mapper_map(struct palette_mapper *mapper, const AVFrame *rgb, AVFrame *pal8,
                       struct error *e);

/* Forgets the frame before: the next one is mapped as if it were the first. */
void palette_mapper_reset(struct palette_mapper *mapper);

#endif
