/*
 * Display matrices as quarter turns.
 *
 * A matrix (a b u; c d v; x y w) shows the point (p, q) at (a p + c q, b p + d q), with q downward
 * (ISO/IEC 14496-12, 6.2.2), so the signs of its four numbers tell the turn. Pure functions.
 */
#include "engine/orientation.h"

#include <stddef.h>
#include <stdlib.h>

static const struct orientation straight[2][2] = {
    /* [a < 0][d < 0] */
    {{"upright", 0, false, false, {{NULL}}}, {"mirrored", 0, true, false, {{"vflip"}}}},
    {{"mirrored, turned 180", 180, true, false, {{"hflip"}}},
     {"turned 180", 180, false, false, {{"hflip"}, {"vflip"}}}},
};

static const struct orientation turned[2][2] = {
    /* [b < 0][c < 0] */
    {{"mirrored, turned 90", 90, true, true, {{"transpose", "dir", "cclock_flip"}}},
     {"turned 90", 90, false, true, {{"transpose", "dir", "clock"}}}},
    {{"turned 270", 270, false, true, {{"transpose", "dir", "cclock"}}},
     {"mirrored, turned 270", 270, true, true, {{"transpose", "dir", "clock_flip"}}}},
};

const struct orientation *orientation_of_matrix(const int32_t *matrix)
{
    if (!matrix)
        return &straight[0][0];
    int64_t a = matrix[0], b = matrix[1], c = matrix[3], d = matrix[4];
    if (llabs(a) + llabs(d) >= llabs(b) + llabs(c))
        return &straight[a < 0][d < 0];
    return &turned[b < 0][c < 0];
}

bool orientation_is_upright(const struct orientation *orientation)
{
    return orientation == &straight[0][0];
}
