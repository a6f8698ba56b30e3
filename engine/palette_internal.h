/*
 * What the palette's files share: the loading of pixels and the search for the nearest colour.
 */
#ifndef LUMA_ENGINE_PALETTE_INTERNAL_H
#define LUMA_ENGINE_PALETTE_INTERNAL_H

#include <stdint.h>

#include "engine/palette.h"

/* Where the channels of a packed format lie. */
struct pixel_layout {
    enum AVPixelFormat format;
    int step;       /* bytes a pixel */
    int r, g, b, a; /* offsets in bytes; a is -1 where there is none */
};

/* NULL if the format isn't one of palette_formats. */
const struct pixel_layout *pixel_layout_find(int format);

/* Checks format and size of a frame. */
int pixel_check(const AVFrame *frame, struct error *e);

/* One row as 0xAARRGGBB; alpha is 255 where the format has none. */
void pixel_row(const struct pixel_layout *layout, const uint8_t *source, int width, uint32_t *argb);

/*
 * The search. Its space is RGB with 4 fractional bits, which error diffusion needs: coordinates are
 * 0..SPACE_MAX, SPACE_ONE for one level of a channel.
 */
enum {
    SPACE_BITS = 4,
    SPACE_ONE = 1 << SPACE_BITS,
    SPACE_MAX = 255 * SPACE_ONE,
    SEARCH_BITS = 5, /* cells along an axis, as a power of two */
    SEARCH_SHIFT = 8 + SPACE_BITS - SEARCH_BITS,
    SEARCH_CELLS = 1 << (3 * SEARCH_BITS),
    SEARCH_LISTS = 1 << 20, /* bytes of lists; when they are full, all are made anew */
};

struct palette_search {
    int count;                                  /* opaque entries */
    int16_t coordinates[PALETTE_MAX_COLORS][4]; /* r, g, b, and one unused */
    int32_t axis[3][PALETTE_MAX_COLORS];        /* the same by channel */
    uint8_t entry[PALETTE_MAX_COLORS];          /* their places in the palette */
    uint32_t *cells; /* offset of the cell's list << 8 | its length - 1; 0: not made yet */
    uint8_t *lists;  /* indices into coordinates, ascending */
    uint32_t used;   /* bytes of lists */
};

/* Takes the opaque entries of a palette; 0 or ERROR_OUT_OF_MEMORY. */
int palette_search_init(struct palette_search *s, const struct palette *palette);
void palette_search_finish(struct palette_search *s);

/* Makes the list of a cell, and returns what cells then holds for it. */
uint32_t palette_search_fill(struct palette_search *s, uint32_t cell);

/* The index (into coordinates and entry) of the colour nearest to a point; of several the first.
 * The arrays are parameters so that callers can keep them in registers. */
static inline int palette_search_nearest(struct palette_search *s, const uint32_t *cells,
                                         const uint8_t *lists, const int16_t (*coordinates)[4],
                                         int r, int g, int b)
{
    uint32_t cell = (uint32_t)(r >> SEARCH_SHIFT) << (2 * SEARCH_BITS) |
                    (uint32_t)(g >> SEARCH_SHIFT) << SEARCH_BITS | (uint32_t)(b >> SEARCH_SHIFT);
    uint32_t reference = cells[cell];
    if (__builtin_expect(!reference, 0)) {
        reference = palette_search_fill(s, cell);
    }
    const uint8_t *list = lists + (reference >> 8);
    int best = 0;
    int32_t least = INT32_MAX;
    for (uint32_t i = 0; i <= (reference & 255); i++) {
        int index = list[i];
        const int16_t *p = coordinates[index];
        int32_t dr = r - p[0], dg = g - p[1], db = b - p[2];
        int32_t distance = dr * dr + dg * dg + db * db;
        best = distance < least ? index : best;
        least = distance < least ? distance : least;
    }
    return best;
}

#endif
