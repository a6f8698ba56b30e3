/*
 * Which way up a picture is shown: the eight ways that a display matrix can turn and mirror it by
 * quarter turns. Other angles are taken for the nearest.
 */
#ifndef LUMA_ENGINE_ORIENTATION_H
#define LUMA_ENGINE_ORIENTATION_H

#include <stdbool.h>
#include <stdint.h>

struct orientation {
    const char *name;
    int rotation;    /* degrees clockwise that show it upright, after mirroring top to bottom */
    bool flipped;    /* it is mirrored as well */
    bool transposed; /* width and height change places */
    /* Up to two filters that turn it upright, NULL-terminated: name, option, value. */
    const char *filters[3][3];
};

/* Of a 3x3 display matrix as in libavutil/display.h; NULL gives the upright one. */
const struct orientation *orientation_of_matrix(const int32_t *matrix);
bool orientation_is_upright(const struct orientation *orientation);

#endif
