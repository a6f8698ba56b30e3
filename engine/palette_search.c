/*
 * The nearest colour, exactly, at the cost of a few comparisons: space is divided into cells, and a
 * cell knows which colours can be nearest to a point inside. A film touches a few thousand cells,
 * so they are filled when first asked for.
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

int palette_search_init(struct palette_search *s, const struct palette *palette)
{
    memset(s, 0, sizeof *s);
    s->cells = av_calloc(SEARCH_CELLS, sizeof *s->cells);
    s->lists = av_malloc(SEARCH_LISTS);
    if (!s->cells || !s->lists) {
        palette_search_finish(s);
        return ERROR_OUT_OF_MEMORY;
    }
    s->used = 1; /* so that no reference is 0 */
    for (int i = 0; i < palette->count; i++) {
        if (i == palette->transparent) {
            continue;
        }
        for (int k = 0; k < 3; k++) {
            int value = (int)(palette->argb[i] >> (16 - 8 * k) & 255) * SPACE_ONE;
            s->coordinates[s->count][k] = (int16_t)value;
            s->axis[k][s->count] = value;
        }
        s->entry[s->count++] = (uint8_t)i;
    }
    return 0;
}

void palette_search_finish(struct palette_search *s)
{
    av_freep(&s->cells);
    av_freep(&s->lists);
}

uint32_t palette_search_fill(struct palette_search *s, uint32_t cell)
{
    enum { EDGE = 1 << SEARCH_SHIFT, MASK = (1 << SEARCH_BITS) - 1 };

    if (s->used + PALETTE_MAX_COLORS > SEARCH_LISTS) {
        memset(s->cells, 0, SEARCH_CELLS * sizeof *s->cells);
        s->used = 1;
    }
    const int32_t centre[3] = {
        (int32_t)(cell >> (2 * SEARCH_BITS)) * EDGE + EDGE / 2,
        (int32_t)(cell >> SEARCH_BITS & MASK) * EDGE + EDGE / 2,
        (int32_t)(cell & MASK) * EDGE + EDGE / 2,
    };
    const int32_t *r = s->axis[0], *g = s->axis[1], *b = s->axis[2];
    int32_t distance[PALETTE_MAX_COLORS];
    for (int i = 0; i < s->count; i++) {
        int32_t dr = r[i] - centre[0], dg = g[i] - centre[1], db = b[i] - centre[2];
        distance[i] = dr * dr + dg * dg + db * db;
    }
    int m = 0;
    for (int i = 1; i < s->count; i++) {
        m = distance[i] < distance[m] ? i : m;
    }
    const int32_t limit = distance[m];
    for (int i = 0; i < s->count; i++) {
        distance[i] -= EDGE * (abs(r[i] - r[m]) + abs(g[i] - g[m]) + abs(b[i] - b[m]));
    }
    uint8_t *list = s->lists + s->used;
    uint32_t length = 0;
    for (int i = 0; i < s->count; i++) {
        list[length] = (uint8_t)i;
        length += distance[i] <= limit;
    }
    uint32_t reference = s->used << 8 | (length - 1);
    s->used += length;
    s->cells[cell] = reference;
    return reference;
}
