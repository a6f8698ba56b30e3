/*
 * The nearest colour, exactly, at the cost of a few comparisons: space is divided into cells, and a
 * cell knows which colours can be nearest to a point inside. A film touches a few thousand cells,
 * so they are filled when first asked for. Where many colours crowd (a dark scene, a gradient), a
 * cell is divided once more.
 *
 * Which can: let m be the colour nearest to the cell's centre. Another colour j can win somewhere
 * in the cell only if |x-j|^2 - |x-m|^2 isn't positive all over it. That difference is linear in x,
 * so its least value in the cell is the one at the centre less half the cell's edge times the sum
 * of its slopes' sizes, which are 2 |j-m| along each axis.
 */
#include <libavutil/mem.h>
#include <stdlib.h>
#include <string.h>

#include "engine/palette_internal.h"

enum {
    ALL_CELLS = CELLS + MAX_DIVIDED * PARTS,
    CROWDED = 8, /* candidates; dividing at fewer costs more than it saves */
};

int palette_search_init(struct palette_search *s, const struct palette *palette)
{
    memset(s, 0, sizeof *s);
    s->cells = av_calloc(ALL_CELLS, sizeof *s->cells);
    s->blocks = av_malloc_array(MAX_BLOCKS, sizeof *s->blocks);
    if (!s->cells || !s->blocks) {
        palette_search_finish(s);
        return ERROR_OUT_OF_MEMORY;
    }
    s->used = 1; /* so that no cell's value is 0 */
    for (int i = 0; i < palette->count; i++) {
        for (int k = 0; i != palette->transparent && k < 3; k++) {
            int value = (int)(palette->argb[i] >> (8 * k) & 255) * SPACE_ONE;
            s->points[i][k] = (int16_t)value;
            s->axis[k][s->count] = value;
        }
        s->entries[s->count] = (uint8_t)i;
        s->count += i != palette->transparent;
    }
    return 0;
}

void palette_search_finish(struct palette_search *s)
{
    av_freep(&s->cells);
    av_freep(&s->blocks);
}

/* Appends the list for the cell of a given edge around a point; returns what stands for it. */
static uint32_t make_list(struct palette_search *s, const int point[3], int edge)
{
    const int32_t *b = s->axis[0], *g = s->axis[1], *r = s->axis[2];
    const int32_t centre[3] = {(point[0] & -edge) + edge / 2, (point[1] & -edge) + edge / 2,
                               (point[2] & -edge) + edge / 2};
    int32_t distance[PALETTE_MAX_COLORS] = {0};
    for (int i = 0; i < s->count; i++) {
        int32_t db = b[i] - centre[0], dg = g[i] - centre[1], dr = r[i] - centre[2];
        distance[i] = db * db + dg * dg + dr * dr;
    }
    int m = 0;
    for (int i = 1; i < s->count; i++) {
        m = distance[i] < distance[m] ? i : m;
    }
    const int32_t limit = distance[m];
    for (int i = 0; i < s->count; i++) {
        distance[i] -= edge * (abs(b[i] - b[m]) + abs(g[i] - g[m]) + abs(r[i] - r[m]));
    }
    uint8_t *list = s->blocks[s->used];
    uint32_t length = 0;
    for (int i = 0; i < s->count; i++) {
        list[length] = s->entries[i];
        length += distance[i] <= limit;
    }
    for (uint32_t i = length; i % BLOCK; i++) {
        list[i] = list[length - 1];
    }
    return s->used << 8 | (length - 1);
}

static inline uint32_t place(int b, int g, int r, int shift, int bits)
{
    const int mask = (1 << bits) - 1;
    return (uint32_t)((b >> shift & mask) << (2 * bits) | (g >> shift & mask) << bits |
                      (r >> shift & mask));
}

uint32_t palette_search_cell(struct palette_search *s, int b, int g, int r)
{
    if (s->used + PALETTE_MAX_COLORS / BLOCK > MAX_BLOCKS) {
        memset(s->cells, 0, ALL_CELLS * sizeof *s->cells);
        s->used = 1;
        s->divided = 0;
    }
    uint32_t *cell = &s->cells[place(b, g, r, CELL_SHIFT, CELL_BITS)];
    if (!*cell) {
        uint32_t made = make_list(s, (int[]){b, g, r}, 1 << CELL_SHIFT);
        if ((made & 255) < CROWDED || s->divided == MAX_DIVIDED) {
            *cell = made;
            s->used += (made & 255) / BLOCK + 1;
            return made;
        }
        *cell = CELL_DIVIDED | (CELLS + PARTS * s->divided++);
    }
    if (*cell & CELL_DIVIDED) {
        cell = &s->cells[(*cell & ~CELL_DIVIDED) + place(b, g, r, PART_SHIFT, PART_BITS)];
        if (!*cell) {
            *cell = make_list(s, (int[]){b, g, r}, 1 << PART_SHIFT);
            s->used += (*cell & 255) / BLOCK + 1;
        }
    }
    return *cell;
}

int palette_search_nearest(struct palette_search *s, int b, int g, int r)
{
    uint32_t cell = s->cells[place(b, g, r, CELL_SHIFT, CELL_BITS)];
    if (!cell || cell & CELL_DIVIDED) {
        cell = palette_search_cell(s, b, g, r);
    }
    const uint8_t *list = s->blocks[cell >> 8];
    int best = 0;
    int32_t least = INT32_MAX;
    for (uint32_t i = 0; i <= (cell & 255); i++) {
        const int16_t *p = s->points[list[i]];
        int32_t db = b - p[0], dg = g - p[1], dr = r - p[2];
        int32_t distance = db * db + dg * dg + dr * dr;
        best = distance < least ? list[i] : best;
        least = distance < least ? distance : least;
    }
    return best;
}
