/*
 * The mapper: rows of RGB become rows of palette entries.
 *
 * A row goes through flat loops that compilers turn into vector code (unpack, compare with the
 * frame before, add what the rows above left), then through one that can't be: each pixel waits for
 * the error of the one before. That loop only adds, looks up and subtracts.
 */
#include <libavutil/mem.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/palette.h"
#include "engine/palette_internal.h"

enum {
    REACH = 2, /* how far a kernel spreads, in pixels and rows */
    ROWS = REACH + 1,
    BAYER_SIDE = 8,
    BAYER_MAX_SCALE = 5,
    MAX_TOLERANCE = 32,
    NEIGHBOURS = 3, /* with a colour itself, the corners of a tetrahedron */
};

enum pixel_state { PIXEL_SEARCH, PIXEL_KEEP, PIXEL_TRANSPARENT };

/* The weights of an error, in 1 / (1 << shift): to the right, and in the rows below from -2 to 2.
 */
struct kernel {
    const char *name;
    int shift;
    int right[REACH];
    int below[REACH][2 * REACH + 1];
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
    int limit[PALETTE_MAX_COLORS]; /* of an error, by the search's index */
    const struct kernel *kernel;
    int8_t bayer[BAYER_SIDE][BAYER_SIDE];

    int width, height;
    bool warm;           /* reference and chosen hold the frame before */
    uint32_t *reference; /* pixels as they were when their entry was chosen; 0: transparent */
    uint8_t *chosen;     /* the search's index of that entry */

    /* of the row at hand */
    uint32_t *row;           /* 0xAARRGGBB: alpha 255, or the whole 0 where transparent */
    uint8_t *state;          /* enum pixel_state */
    int32_t *value[3];       /* in the search's space, shifted left by the kernel's shift */
    int16_t *error[ROWS][3]; /* of this row and those above; REACH zeros at both ends */
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
        m->limit[i] = found ? (int)sqrt(least[found - 1]) : SPACE_MAX;
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
            m->bayer[y][x] = (int8_t)((rank >> scale) - (BAYER_SIDE * BAYER_SIDE / 2 >> scale));
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
    set_limits(m);
    set_bayer(m);
    *mapper = m;
    return 0;
}

static void free_buffers(struct palette_mapper *m)
{
    av_freep(&m->reference);
    av_freep(&m->chosen);
    av_freep(&m->row);
    av_freep(&m->state);
    for (int k = 0; k < 3; k++) {
        av_freep(&m->value[k]);
        for (int i = 0; i < ROWS; i++) {
            av_freep(&m->error[i][k]);
        }
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
    m->state = av_malloc_array(w, sizeof *m->state);
    bool whole = m->row && m->state;
    if (m->options.stable) {
        m->reference = av_malloc_array(pixels, sizeof *m->reference);
        m->chosen = av_malloc_array(pixels, sizeof *m->chosen);
        whole = whole && m->reference && m->chosen;
    }
    for (int k = 0; k < 3; k++) {
        m->value[k] = av_malloc_array(w, sizeof *m->value[k]);
        whole = whole && m->value[k];
        for (int i = 0; i < ROWS; i++) {
            m->error[i][k] = av_malloc_array(w + 2 * REACH, sizeof *m->error[i][k]);
            whole = whole && m->error[i][k];
        }
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
static void find_transparent(struct palette_mapper *m)
{
    const int width = m->width;
    const uint32_t threshold =
        m->palette.transparent < 0 ? 0 : (uint32_t)m->options.alpha_threshold;
    uint32_t *restrict row = m->row;
    uint8_t *restrict state = m->state;
    for (int x = 0; x < width; x++) {
        row[x] = row[x] >> 24 < threshold ? 0 : row[x] | 0xff000000;
    }
    for (int x = 0; x < width; x++) {
        state[x] = row[x] ? PIXEL_SEARCH : PIXEL_TRANSPARENT;
    }
}

static inline bool is_near(uint32_t p, uint32_t q, int tolerance)
{
    return p && q && abs((int)(p >> 16 & 255) - (int)(q >> 16 & 255)) <= tolerance &&
           abs((int)(p >> 8 & 255) - (int)(q >> 8 & 255)) <= tolerance &&
           abs((int)(p & 255) - (int)(q & 255)) <= tolerance;
}

/* Which pixels of the row keep the entry of the frame before. */
static void find_still(struct palette_mapper *m, int y)
{
    const int width = m->width, tolerance = m->options.tolerance;
    const uint32_t *restrict row = m->row;
    uint32_t *restrict reference = m->reference + (size_t)y * (size_t)width;
    uint8_t *restrict state = m->state;
    if (!m->warm) {
        memcpy(reference, row, (size_t)width * sizeof *row);
        return;
    }
    if (!tolerance) {
        for (int x = 0; x < width; x++) {
            state[x] = row[x] && row[x] == reference[x] ? PIXEL_KEEP : state[x];
        }
        memcpy(reference, row, (size_t)width * sizeof *row);
        return;
    }
    for (int x = 0; x < width; x++) {
        if (is_near(row[x], reference[x], tolerance)) {
            state[x] = PIXEL_KEEP;
        } else {
            reference[x] = row[x];
        }
    }
}

static void add_bayer(struct palette_mapper *m, int y)
{
    const int8_t *bayer = m->bayer[y % BAYER_SIDE];
    for (int x = 0; x < m->width; x++) {
        const int add = bayer[x % BAYER_SIDE];
        uint32_t p = m->row[x], sum = 0xff;
        for (int shift = 16; shift >= 0; shift -= 8) {
            sum = sum << 8 | av_clip_uint8((int)(p >> shift & 255) + add);
        }
        m->row[x] = sum;
    }
}

/* The row's pixels in the search's space, with what the rows above left for them, and a half so
 * that the shift in choose() rounds. */
static void gather(struct palette_mapper *m, int y)
{
    const struct kernel *kernel = m->kernel;
    const int width = m->width, half = (1 << kernel->shift) / 2;
    const int32_t one = SPACE_ONE << kernel->shift;
    for (int k = 0; k < 3; k++) {
        const uint32_t *restrict row = m->row;
        int32_t *restrict value = m->value[k];
        const int shift = 16 - 8 * k;
        for (int x = 0; x < width; x++) {
            value[x] = (int32_t)(row[x] >> shift & 255) * one + half;
        }
        for (int tap = 0; tap < REACH * (2 * REACH + 1); tap++) {
            const int up = 1 + tap / (2 * REACH + 1), dx = tap % (2 * REACH + 1);
            const int32_t weight = kernel->below[up - 1][dx];
            const int16_t *restrict error = m->error[(y + ROWS - up) % ROWS][k] + 2 * REACH - dx;
            for (int x = 0; weight && x < width; x++) {
                value[x] += weight * error[x];
            }
        }
    }
}

static inline int clip(int value, int low, int high)
{
    value = value < low ? low : value;
    return value > high ? high : value;
}

/* Chooses an entry for each pixel, and leaves the errors for the rows below. */
static void choose(struct palette_mapper *m, int y, uint8_t *restrict out)
{
    struct palette_search *search = &m->search;
    const uint32_t *cells = search->cells;
    const uint8_t *lists = search->lists, *entry = search->entry, *state = m->state;
    const int16_t(*coordinates)[4] = (const int16_t(*)[4])search->coordinates;
    const int width = m->width, shift = m->kernel->shift;
    const int near = m->kernel->right[0], far = m->kernel->right[1];
    const int32_t *r = m->value[0], *g = m->value[1], *b = m->value[2];
    int16_t *er = m->error[y % ROWS][0] + REACH, *eg = m->error[y % ROWS][1] + REACH,
            *eb = m->error[y % ROWS][2] + REACH;
    uint8_t *restrict chosen = m->chosen ? m->chosen + (size_t)y * (size_t)width : NULL;
    int last[3] = {0}, before[3] = {0}; /* the errors one and two pixels back */

    for (int x = 0; x < width; x++) {
        int now[3] = {0};
        if (state[x] == PIXEL_TRANSPARENT) {
            out[x] = (uint8_t)m->palette.transparent;
        } else {
            int c0 = clip((r[x] + near * last[0] + far * before[0]) >> shift, 0, SPACE_MAX);
            int c1 = clip((g[x] + near * last[1] + far * before[1]) >> shift, 0, SPACE_MAX);
            int c2 = clip((b[x] + near * last[2] + far * before[2]) >> shift, 0, SPACE_MAX);
            int index;
            if (state[x] == PIXEL_KEEP) {
                index = chosen[x];
            } else {
                index = palette_search_nearest(search, cells, lists, coordinates, c0, c1, c2);
                if (chosen) {
                    chosen[x] = (uint8_t)index;
                }
            }
            const int limit = m->limit[index];
            now[0] = clip(c0 - coordinates[index][0], -limit, limit);
            now[1] = clip(c1 - coordinates[index][1], -limit, limit);
            now[2] = clip(c2 - coordinates[index][2], -limit, limit);
            out[x] = entry[index];
        }
        er[x] = (int16_t)now[0];
        eg[x] = (int16_t)now[1];
        eb[x] = (int16_t)now[2];
        for (int k = 0; k < 3; k++) {
            before[k] = last[k];
            last[k] = now[k];
        }
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
        for (int k = 0; k < 3; k++) {
            memset(m->error[i][k], 0, ((size_t)m->width + 2 * REACH) * sizeof *m->error[i][k]);
        }
    }
    const struct pixel_layout *layout = pixel_layout_find(rgb->format);
    for (int y = 0; y < m->height; y++) {
        pixel_row(layout, rgb->data[0] + (ptrdiff_t)y * rgb->linesize[0], m->width, m->row);
        find_transparent(m);
        if (m->options.stable) {
            find_still(m, y);
        }
        if (m->options.dither == PALETTE_DITHER_BAYER) {
            add_bayer(m, y);
        }
        gather(m, y);
        choose(m, y, pal8->data[0] + (ptrdiff_t)y * pal8->linesize[0]);
    }
    memcpy(pal8->data[1], m->palette.argb, sizeof m->palette.argb);
    m->warm = true;
    return 0;
}
