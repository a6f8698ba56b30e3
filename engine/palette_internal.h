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
 * The space in which colours are compared and errors diffused: blue, green and red with 4
 * fractional bits, 0..SPACE_MAX. A point takes four 16-bit numbers, so that it fits half a vector.
 */
enum {
    SPACE_BITS = 4,
    SPACE_ONE = 1 << SPACE_BITS, /* a level of a channel */
    SPACE_MAX = 255 * SPACE_ONE,
    LANES = 4,
};

/*
 * The search. A cell's list holds candidates, ascending entries, by the block; what the last block
 * has too many are copies of the last.
 */
enum {
    CELL_BITS = 5, /* cells along an axis, as a power of two */
    CELL_SHIFT = 8 + SPACE_BITS - CELL_BITS,
    CELLS = 1 << (3 * CELL_BITS),
    PART_BITS = 2, /* a crowded cell is divided, along each axis too */
    PART_SHIFT = CELL_SHIFT - PART_BITS,
    PARTS = 1 << (3 * PART_BITS),
    MAX_DIVIDED = 1024,
    BLOCK = 4,
    MAX_BLOCKS = 1 << 18, /* 1 MiB; when they are full, all lists are made anew */
};

/* What a cell holds: 0 if it wasn't asked for yet; first block of its list << 8 | candidates - 1;
 * or CELL_DIVIDED | index of its first part, which is a cell further on. */
#define CELL_DIVIDED 0x80000000u

struct palette_search {
    int16_t points[PALETTE_MAX_COLORS][LANES]; /* by entry: b, g, r, 0 */
    int count;                                 /* opaque entries */
    uint8_t entries[PALETTE_MAX_COLORS];       /* which these are */
    int32_t axis[3][PALETTE_MAX_COLORS];       /* their points */
    uint32_t *cells;
    uint8_t (*blocks)[BLOCK];
    uint32_t used;    /* blocks */
    uint32_t divided; /* cells */
};

/* Takes the opaque entries of a palette; 0 or ERROR_OUT_OF_MEMORY. */
int palette_search_init(struct palette_search *s, const struct palette *palette);
void palette_search_finish(struct palette_search *s);

/* What stands for the cell, or part of a cell, around a point; makes its list if there is none. */
uint32_t palette_search_cell(struct palette_search *s, int b, int g, int r);

/* The entry nearest to a point; of several the first. */
int palette_search_nearest(struct palette_search *s, int b, int g, int r);

/*
 * The choice: a row of points becomes a row of entries, and leaves its errors.
 */
enum pixel_state { PIXEL_SEARCH, PIXEL_KEEP, PIXEL_TRANSPARENT };

struct choice {
    struct palette_search *search;
    int16_t limits[PALETTE_MAX_COLORS][LANES]; /* of an error, by entry: l, l, l, 0 */
    int shift;                                 /* of the weights and values */
    int near, far;                             /* weights of the errors one and two pixels back */
    uint8_t transparent;
};

/* A row on its way. */
struct choice_row {
    const int32_t *values; /* points << shift, half a unit and errors from above added; LANES each,
                              the last without meaning */
    const uint8_t *states; /* enum pixel_state */
    const uint8_t *previous;            /* entries to keep */
    uint8_t *entries;                   /* to be written */
    int16_t *errors;                    /* to be written: LANES each, the last 0 */
    int16_t last[LANES], before[LANES]; /* errors one and two pixels back */
};

/* Chooses the pixels [from, to) of one row, and [from2, to2) of another that doesn't depend on
 * them, in turns where the machine gains by that. */
void palette_choose(const struct choice *c, struct choice_row *row, int from, int to,
                    struct choice_row *row2, int from2, int to2);

/* The same in plain C, for machines without vectors, and for tests. */
void palette_choose_plain(const struct choice *c, struct choice_row *row, int from, int to);

#endif
