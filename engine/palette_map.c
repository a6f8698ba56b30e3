/*
 * The mapper: rows of RGB become rows of palette entries.
 *
 * A row goes through flat loops that compilers turn into vector code (unpack, compare with the
 * frame before, add what the rows above left), then through one that can't be: each pixel waits for
 * the error of the one before. That loop only adds, looks up and subtracts.
 */
#include <libavutil/imgutils.h>
#include <libavutil/mem.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/palette.h"
#include "engine/palette_internal.h"

enum {
    REACH = 2, /* how far a kernel spreads, in pixels and rows */
    SPREAD = 2 * REACH + 1,
    ROWS = REACH + 1,
    CHUNK = 64,
    BAYER_SIDE = 8,
    BAYER_MAX_SCALE = 5,
    MAX_TOLERANCE = 32,
    NEIGHBOURS = 3, /* with a colour itself, the corners of a tetrahedron */
};

/* The weights of an error, in 1 / (1 << shift): to the right, and in the rows below from -2 to 2.
 */
struct kernel {
    const char *name;
    int shift;
    int right[REACH];
    int below[REACH][SPREAD];
};

/* Floyd and Steinberg 1976; Burkes 1988; Sierra 1989, with his two smaller filters; Atkinson, as in
 * HyperScan; Heckbert's three weights as in paletteuse. */
static const struct kernel kernels[PALETTE_DITHERS] = {
    [PALETTE_DITHER_NONE] = {"none", 0, {0}, {{0}}},
    [PALETTE_DITHER_BAYER] = {"bayer", 0, {0}, {{0}}},
    [PALETTE_DITHER_HECKBERT] = {"heckbert", 3, {3, 0}, {{0, 0, 3, 2, 0}}},
    [PALETTE_DITHER_FLOYD_STEINBERG] = {"floyd_steinberg", 4, {7, 0}, {{0, 3, 5, 1, 0}}},
    [PALETTE_DITHER_SIERRA2] = {"sierra2", 4, {4, 3}, {{1, 2, 3, 2, 1}}},
    [PALETTE_DITHER_SIERRA2_4A] = {"sierra2_4a", 2, {2, 0}, {{0, 1, 1, 0, 0}}},
    [PALETTE_DITHER_SIERRA3] = {"sierra3", 5, {5, 3}, {{2, 4, 5, 4, 2}, {0, 2, 3, 2, 0}}},
    [PALETTE_DITHER_BURKES] = {"burkes", 5, {8, 4}, {{2, 4, 8, 4, 2}}},
    [PALETTE_DITHER_ATKINSON] = {"atkinson", 3, {1, 1}, {{0, 1, 1, 1, 0}, {0, 0, 1, 0, 0}}},
};

struct palette_mapper {
    struct palette palette;
    struct palette_mapper_options options;
    struct palette_search search;
    struct choice choice;
    const struct kernel *kernel;
    int bayer[BAYER_SIDE][BAYER_SIDE];

    int width, height;
    bool warm;           /* reference and previous hold the frame before */
    uint32_t *reference; /* pixels as they were when their entry was chosen; 0: transparent */
    uint8_t *previous;   /* that entry */

    uint32_t *row; /* 0xAARRGGBB: alpha 255, or the whole 0 where transparent */
    struct {
        int32_t *values; /* see struct choice_row */
        uint8_t *states;
    } work[2];
    int16_t *errors[ROWS]; /* of three rows in turn; REACH points of 0 at both ends */
};

const char *palette_dither_name(enum palette_dither dither)
{
    return (unsigned)dither < PALETTE_DITHERS ? kernels[dither].name : NULL;
}

int palette_dither_from_name(const char *name)
{
    for (int i = 0; name && i < PALETTE_DITHERS; i++) {
        if (!strcmp(kernels[i].name, name)) {
            return i;
        }
    }
    return -1;
}

void palette_mapper_options_init(struct palette_mapper_options *options)
{
    *options = (struct palette_mapper_options){
        .dither = PALETTE_DITHER_SIERRA2_4A,
        .bayer_scale = 2,
        .alpha_threshold = 128,
        .stable = true,
    };
}

static int check(const struct palette *palette, const struct palette_mapper_options *o,
                 struct error *e)
{
    const struct {
        const char *name;
        int value, max;
    } bounds[] = {
        {"dither", (int)o->dither, PALETTE_DITHERS - 1},
        {"bayer_scale", o->bayer_scale, BAYER_MAX_SCALE},
        {"alpha_threshold", o->alpha_threshold, 255},
        {"tolerance", o->tolerance, MAX_TOLERANCE},
    };
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        if (bounds[i].value < 0 || bounds[i].value > bounds[i].max) {
            return error_set(e, ERROR_INVALID_OPTION, "%s must be from 0 to %d, not %d",
                             bounds[i].name, bounds[i].max, bounds[i].value);
        }
    }
    if (palette->count > PALETTE_MAX_COLORS || palette->transparent >= palette->count ||
        palette->count - (palette->transparent >= 0) < 1) {
        return error_set(e, ERROR_INVALID_OPTION, "a palette has 1 to %d colours",
                         PALETTE_MAX_COLORS);
    }
    return 0;
}

/* How far an error may grow: see palette.h. Colours that are there twice don't count. */
static void set_limits(struct palette_mapper *m)
{
    const struct palette_search *s = &m->search;
    for (int i = 0; i < s->count; i++) {
        int32_t least[NEIGHBOURS] = {0};
        int found = 0;
        for (int j = 0; j < s->count; j++) {
            int32_t distance = 0;
            for (int k = 0; k < 3; k++) {
                int32_t d = s->axis[k][i] - s->axis[k][j];
                distance += d * d;
            }
            if (!distance || (found == NEIGHBOURS && distance >= least[found - 1])) {
                continue;
            }
            int at = found < NEIGHBOURS ? found++ : NEIGHBOURS - 1;
            for (; at > 0 && least[at - 1] > distance; at--) {
                least[at] = least[at - 1];
            }
            least[at] = distance;
        }
        double limit = found ? sqrt(least[found - 1]) : SPACE_MAX;
        for (int k = 0; k < 3; k++) {
            m->choice.limits[s->entries[i]][k] = (int16_t)fmin(limit, SPACE_MAX);
        }
    }
}

/* The bits of x ^ y and y, interleaved from the lowest up (B. Bayer, "An optimum method for
 * two-level rendition of continuous-tone pictures", ICC 1973), less the middle. */
static void set_bayer(struct palette_mapper *m)
{
    const int scale = m->options.bayer_scale;
    for (int y = 0; y < BAYER_SIDE; y++) {
        for (int x = 0; x < BAYER_SIDE; x++) {
            int rank = 0;
            for (int bit = 0; bit < 3; bit++) {
                rank = rank << 2 | ((x ^ y) >> bit & 1) << 1 | (y >> bit & 1);
            }
            m->bayer[y][x] = (rank >> scale) - (BAYER_SIDE * BAYER_SIDE / 2 >> scale);
        }
    }
}

int palette_mapper_create(struct palette_mapper **mapper, const struct palette *palette,
                          const struct palette_mapper_options *options, struct error *e)
{
    *mapper = NULL;
    struct palette_mapper_options defaults;
    palette_mapper_options_init(&defaults);
    options = options ? options : &defaults;
    int result = check(palette, options, e);
    if (result < 0) {
        return result;
    }
    struct palette_mapper *m = av_mallocz(sizeof *m);
    if (!m || palette_search_init(&m->search, palette) < 0) {
        av_free(m);
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for the search in a palette");
    }
    m->palette = *palette;
    m->options = *options;
    m->kernel = &kernels[options->dither];
    m->choice.search = &m->search;
    m->choice.shift = m->kernel->shift;
    m->choice.near = m->kernel->right[0];
    m->choice.far = m->kernel->right[1];
    m->choice.transparent = (uint8_t)FFMAX(palette->transparent, 0);
    set_limits(m);
    set_bayer(m);
    *mapper = m;
    return 0;
}

static void free_buffers(struct palette_mapper *m)
{
    av_freep(&m->reference);
    av_freep(&m->previous);
    av_freep(&m->row);
    for (int i = 0; i < 2; i++) {
        av_freep(&m->work[i].values);
        av_freep(&m->work[i].states);
    }
    for (int i = 0; i < ROWS; i++) {
        av_freep(&m->errors[i]);
    }
    m->width = m->height = 0;
    m->warm = false;
}

void palette_mapper_destroy(struct palette_mapper **mapper)
{
    if (*mapper) {
        free_buffers(*mapper);
        palette_search_finish(&(*mapper)->search);
        av_freep(mapper);
    }
}

void palette_mapper_reset(struct palette_mapper *mapper)
{
    mapper->warm = false;
}

static int resize(struct palette_mapper *m, int width, int height)
{
    if (m->width == width && m->height == height) {
        return 0;
    }
    free_buffers(m);
    const size_t w = (size_t)width, pixels = w * (size_t)height;
    m->row = av_malloc_array(w, sizeof *m->row);
    bool whole = m->row != NULL;
    if (m->options.stable) {
        m->reference = av_malloc_array(pixels, sizeof *m->reference);
        m->previous = av_malloc_array(pixels, sizeof *m->previous);
        whole = whole && m->reference && m->previous;
    }
    for (int i = 0; i < 2; i++) {
        m->work[i].values = av_malloc_array(w, LANES * sizeof(int32_t));
        m->work[i].states = av_malloc_array(w, sizeof(uint8_t));
        whole = whole && m->work[i].values && m->work[i].states;
    }
    for (int i = 0; i < ROWS; i++) {
        m->errors[i] = av_malloc_array(w + 2 * REACH, LANES * sizeof(int16_t));
        whole = whole && m->errors[i];
    }
    if (!whole) {
        free_buffers(m);
        return ERROR_OUT_OF_MEMORY;
    }
    m->width = width;
    m->height = height;
    return 0;
}

/* Which pixels of the row are transparent. */
static void find_transparent(struct palette_mapper *m, uint8_t *restrict states)
{
    const int width = m->width;
    const uint32_t threshold =
        m->palette.transparent < 0 ? 0 : (uint32_t)m->options.alpha_threshold;
    uint32_t *restrict row = m->row;
    for (int x = 0; x < width; x++) {
        row[x] = row[x] >> 24 < threshold ? 0 : row[x] | 0xff000000;
        states[x] = row[x] ? PIXEL_SEARCH : PIXEL_TRANSPARENT;
    }
}

static inline bool is_near(uint32_t p, uint32_t q, int tolerance)
{
    return p && q && abs((int)(p >> 16 & 255) - (int)(q >> 16 & 255)) <= tolerance &&
           abs((int)(p >> 8 & 255) - (int)(q >> 8 & 255)) <= tolerance &&
           abs((int)(p & 255) - (int)(q & 255)) <= tolerance;
}

/* Which pixels of the row keep the entry of the frame before. */
static void find_still(struct palette_mapper *m, int y, uint8_t *restrict states)
{
    const int width = m->width, tolerance = m->options.tolerance;
    const uint32_t *restrict row = m->row;
    uint32_t *restrict reference = m->reference + (size_t)y * (size_t)width;
    if (!m->warm) {
        memcpy(reference, row, (size_t)width * sizeof *row);
        return;
    }
    if (!tolerance) {
        for (int x = 0; x < width; x++) {
            states[x] = row[x] && row[x] == reference[x] ? PIXEL_KEEP : states[x];
        }
        memcpy(reference, row, (size_t)width * sizeof *row);
        return;
    }
    for (int x = 0; x < width; x++) {
        if (is_near(row[x], reference[x], tolerance)) {
            states[x] = PIXEL_KEEP;
        } else {
            reference[x] = row[x];
        }
    }
}

static void add_bayer(struct palette_mapper *m, int y)
{
    const int *bayer = m->bayer[y % BAYER_SIDE];
    for (int x = 0; x < m->width; x++) {
        const int add = bayer[x % BAYER_SIDE];
        uint32_t p = m->row[x], sum = 0xff;
        for (int shift = 16; shift >= 0; shift -= 8) {
            sum = sum << 8 | av_clip_uint8((int)(p >> shift & 255) + add);
        }
        m->row[x] = sum;
    }
}

/* The row's pixels as points, shifted for the kernel's weights, and half a unit so that shifting
 * them back rounds. */
static void set_values(const struct palette_mapper *m, int32_t *restrict values)
{
    const uint32_t *restrict row = m->row;
    const int width = m->width;
    const int32_t one = SPACE_ONE << m->kernel->shift, half = (1 << m->kernel->shift) / 2;
    for (int x = 0; x < width; x++) {
        for (int k = 0; k < LANES; k++) {
            values[LANES * x + k] = (int32_t)(row[x] >> (8 * k) & 255) * one + half;
        }
    }
}

/* Adds what the rows above left for pixels [from, to) of row y. */
static void gather(const struct palette_mapper *m, int y, int from, int to,
                   int32_t *restrict values)
{
    for (int tap = 0; tap < REACH * SPREAD; tap++) {
        const int up = 1 + tap / SPREAD, dx = tap % SPREAD - REACH;
        const int32_t weight = m->kernel->below[up - 1][dx + REACH];
        const int16_t *restrict errors = m->errors[(y + ROWS - up) % ROWS] + (REACH - dx) * LANES;
        for (int i = LANES * from; weight && i < LANES * to; i++) {
            values[i] += weight * errors[i];
        }
    }
}

/* Readies row y, all but the errors from above. */
static struct choice_row start_row(struct palette_mapper *m, const AVFrame *rgb, int y,
                                   AVFrame *pal8)
{
    int32_t *values = m->work[y % 2].values;
    uint8_t *states = m->work[y % 2].states;
    pixel_row(pixel_layout_find(rgb->format), rgb->data[0] + (ptrdiff_t)y * rgb->linesize[0],
              m->width, m->row);
    find_transparent(m, states);
    if (m->options.stable) {
        find_still(m, y, states);
    }
    if (m->options.dither == PALETTE_DITHER_BAYER) {
        add_bayer(m, y);
    }
    set_values(m, values);
    return (struct choice_row){
        .values = values,
        .states = states,
        .previous = m->previous ? m->previous + (ptrdiff_t)y * m->width : NULL,
        .entries = pal8->data[0] + (ptrdiff_t)y * pal8->linesize[0],
        .errors = m->errors[y % ROWS] + REACH * LANES,
    };
}

/* Two rows at a time, the lower one so far behind that the upper has left all its errors for it:
 * the two don't wait for each other, which is what a single row's pixels do. */
static void map_rows(struct palette_mapper *m, const AVFrame *rgb, int y, AVFrame *pal8)
{
    const int width = m->width;
    struct choice_row upper = start_row(m, rgb, y, pal8);
    gather(m, y, 0, width, m->work[y % 2].values);
    if (y + 1 == m->height) {
        palette_choose(&m->choice, &upper, 0, width, NULL, 0, 0);
        return;
    }
    struct choice_row lower = start_row(m, rgb, y + 1, pal8);
    int done = 0, ready = 0;
    while (done < width) {
        const int next = FFMIN(ready + CHUNK, width);
        const int behind = ready == width ? width : FFMAX(ready - REACH, 0);
        gather(m, y + 1, done, behind, m->work[(y + 1) % 2].values);
        palette_choose(&m->choice, &upper, ready, next, &lower, done, behind);
        ready = next;
        done = behind;
    }
}

static int prepare(const AVFrame *rgb, AVFrame *pal8, struct error *e)
{
    pal8->format = AV_PIX_FMT_PAL8;
    pal8->width = rgb->width;
    pal8->height = rgb->height;
    int result = av_frame_get_buffer(pal8, 0);
    if (result >= 0) {
        result = av_frame_copy_props(pal8, rgb);
    }
    if (result < 0) {
        av_frame_unref(pal8);
        return error_set_av(e, ERROR_OUT_OF_MEMORY, result, "no memory for a picture of %dx%d",
                            rgb->width, rgb->height);
    }
    return 0;
}

int palette_mapper_map(struct palette_mapper *mapper, const AVFrame *rgb, AVFrame *pal8,
                       struct error *e)
{
    struct palette_mapper *m = mapper;
    int result = pixel_check(rgb, e);
    if (result < 0) {
        return result;
    }
    if (resize(m, rgb->width, rgb->height) < 0) {
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory to map pictures of %dx%d", rgb->width,
                         rgb->height);
    }
    result = prepare(rgb, pal8, e);
    if (result < 0) {
        return result;
    }
    for (int i = 0; i < ROWS; i++) {
        memset(m->errors[i], 0, ((size_t)m->width + 2 * REACH) * LANES * sizeof(int16_t));
    }
    for (int y = 0; y < m->height; y += 2) {
        map_rows(m, rgb, y, pal8);
    }
    if (m->options.stable) {
        av_image_copy_plane(m->previous, m->width, pal8->data[0], pal8->linesize[0], m->width,
                            m->height);
    }
    memcpy(pal8->data[1], m->palette.argb, sizeof m->palette.argb);
    m->warm = true;
    return 0;
}
