/*
 * The histogram, and the palette made from it. See palette.h for the algorithms.
 */
#include "engine/palette.h"

#include <libavutil/mem.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/palette_internal.h"

enum {
    BIN_BITS = 6,
    BIN_SHIFT = 8 - BIN_BITS,
    BINS = 1 << (3 * BIN_BITS),
    EXACT_SLOTS = 1024, /* a power of two, well above the 256 colours that are kept */
    OPAQUE_ALPHA = 128,
    BUCKETS = 128, /* of a box, along one axis */
    ROUNDS = 2,    /* of k-means: more gain next to nothing */
};

struct bin {
    uint64_t count;
    uint64_t sum[3]; /* of what r, g and b are above the bin's own */
};

struct palette_histogram {
    struct bin *bins;
    uint32_t exact[EXACT_SLOTS]; /* open addressing; 0 is free, colours have alpha 255 */
    int exact_count;             /* above PALETTE_MAX_COLORS: too many, no longer kept */
};

/* A bin that was hit: the mean of its pixels, and their number. */
struct point {
    float c[3];
    float weight;
};

/* Some of the points, and where a cut would help most. */
struct box {
    int first, count;
    double weight, error; /* error: sum of squared distances from the mean */
    double mean[3];
};

struct palette_histogram *palette_histogram_create(void)
{
    struct palette_histogram *h = av_mallocz(sizeof *h);
    if (h) {
        h->bins = av_calloc(BINS, sizeof *h->bins);
        if (!h->bins) {
            av_freep(&h);
        }
    }
    return h;
}

void palette_histogram_destroy(struct palette_histogram **h)
{
    if (*h) {
        av_freep(&(*h)->bins);
        av_freep(h);
    }
}

static void count_exact(struct palette_histogram *h, uint32_t color)
{
    uint32_t slot = (color * 2654435761u) >> 22;
    while (h->exact[slot] && h->exact[slot] != color) {
        slot = (slot + 1) & (EXACT_SLOTS - 1);
    }
    if (!h->exact[slot]) {
        h->exact[slot] = color;
        h->exact_count++;
    }
}

static void count_row(struct palette_histogram *h, const uint32_t *row, int width)
{
    const uint32_t low = (1 << BIN_SHIFT) - 1;
    uint32_t before = 0;
    for (int x = 0; x < width; x++) {
        uint32_t p = row[x];
        if (p >> 24 < OPAQUE_ALPHA) {
            continue;
        }
        if (h->exact_count <= PALETTE_MAX_COLORS && p != before) {
            count_exact(h, p | 0xff000000);
            before = p;
        }
        uint32_t r = p >> 16 & 255, g = p >> 8 & 255, b = p & 255;
        struct bin *bin = &h->bins[(r >> BIN_SHIFT) << (2 * BIN_BITS) |
                                   (g >> BIN_SHIFT) << BIN_BITS | b >> BIN_SHIFT];
        bin->count++;
        bin->sum[0] += r & low;
        bin->sum[1] += g & low;
        bin->sum[2] += b & low;
    }
}

int palette_histogram_add(struct palette_histogram *h, const AVFrame *rgb, struct error *e)
{
    int result = pixel_check(rgb, e);
    if (result < 0) {
        return result;
    }
    const struct pixel_layout *layout = pixel_layout_find(rgb->format);
    uint32_t *row = av_malloc_array((size_t)rgb->width, sizeof *row);
    if (!row) {
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory to count colours");
    }
    for (int y = 0; y < rgb->height; y++) {
        pixel_row(layout, rgb->data[0] + (ptrdiff_t)y * rgb->linesize[0], rgb->width, row);
        count_row(h, row, rgb->width);
    }
    av_free(row);
    return 0;
}

static struct point *collect(const struct palette_histogram *h, int *count)
{
    enum { MASK = (1 << BIN_BITS) - 1 };

    int used = 0;
    for (int i = 0; i < BINS; i++) {
        used += h->bins[i].count > 0;
    }
    struct point *points = av_malloc_array((size_t)FFMAX(used, 1), sizeof *points);
    *count = 0;
    for (int i = 0; points && i < BINS; i++) {
        const struct bin *bin = &h->bins[i];
        if (!bin->count) {
            continue;
        }
        struct point *p = &points[(*count)++];
        const int base[3] = {i >> (2 * BIN_BITS), i >> BIN_BITS & MASK, i & MASK};
        for (int k = 0; k < 3; k++) {
            double above = (double)bin->sum[k] / (double)bin->count;
            p->c[k] = (float)((base[k] << BIN_SHIFT) + above);
        }
        p->weight = (float)bin->count;
    }
    return points;
}

static void measure(const struct point *points, struct box *box)
{
    double sum[3] = {0}, square = 0;
    box->weight = 0;
    for (int i = box->first; i < box->first + box->count; i++) {
        const struct point *p = &points[i];
        box->weight += p->weight;
        for (int k = 0; k < 3; k++) {
            sum[k] += (double)p->weight * p->c[k];
            square += (double)p->weight * p->c[k] * p->c[k];
        }
    }
    box->error = square;
    for (int k = 0; k < 3; k++) {
        box->mean[k] = sum[k] / box->weight;
        box->error -= sum[k] * box->mean[k];
    }
}

struct bucket {
    double weight, sum[3];
};

/* Where to cut along an axis so that the sum of both halves' errors is least; returns how much that
 * gains, and the coordinate below which the first half lies. */
static double best_cut(const struct point *points, const struct box *box, int axis, float *cut)
{
    float low = points[box->first].c[axis], high = low;
    for (int i = box->first; i < box->first + box->count; i++) {
        low = fminf(low, points[i].c[axis]);
        high = fmaxf(high, points[i].c[axis]);
    }
    if (high <= low) {
        return 0;
    }
    struct bucket buckets[BUCKETS] = {0};
    float scale = (BUCKETS - 1) / (high - low);
    for (int i = box->first; i < box->first + box->count; i++) {
        const struct point *p = &points[i];
        struct bucket *bucket = &buckets[(int)((p->c[axis] - low) * scale)];
        bucket->weight += p->weight;
        for (int k = 0; k < 3; k++) {
            bucket->sum[k] += (double)p->weight * p->c[k];
        }
    }
    /* The error of a set is its sum of squares less |sum|^2 / weight; the former is the same
     * whatever the cut, so the latter's growth is the gain. */
    double whole = 0, best = 0;
    for (int k = 0; k < 3; k++) {
        whole += box->mean[k] * box->mean[k] * box->weight;
    }
    struct bucket left = {0};
    for (int i = 0; i < BUCKETS - 1; i++) {
        left.weight += buckets[i].weight;
        double right = box->weight - left.weight, gain = -whole;
        for (int k = 0; k < 3; k++) {
            left.sum[k] += buckets[i].sum[k];
            double rest = box->mean[k] * box->weight - left.sum[k];
            gain += left.weight > 0 ? left.sum[k] * left.sum[k] / left.weight : 0;
            gain += right > 0 ? rest * rest / right : 0;
        }
        if (gain > best && left.weight > 0 && right > 0) {
            best = gain;
            *cut = low + (float)(i + 1) / scale;
        }
    }
    return best;
}

/* Cuts a box in two; false if it can't be. */
static bool split(struct point *points, struct box *box, struct box *other)
{
    double best = 0;
    float cut = 0;
    int axis = -1;
    for (int k = 0; k < 3; k++) {
        float at = 0;
        double gain = best_cut(points, box, k, &at);
        if (gain > best) {
            best = gain;
            cut = at;
            axis = k;
        }
    }
    if (axis < 0) {
        return false;
    }
    int left = box->first, right = box->first + box->count - 1;
    while (left <= right) {
        if (points[left].c[axis] < cut) {
            left++;
        } else {
            struct point p = points[left];
            points[left] = points[right];
            points[right--] = p;
        }
    }
    if (left == box->first || left == box->first + box->count) {
        return false;
    }
    *other = (struct box){.first = left, .count = box->first + box->count - left};
    box->count = left - box->first;
    measure(points, box);
    measure(points, other);
    return true;
}

static int cut_boxes(struct point *points, int point_count, int colors, double means[][3])
{
    struct box boxes[PALETTE_MAX_COLORS] = {{.count = point_count}};
    measure(points, &boxes[0]);
    int count = 1;
    while (count < colors) {
        int worst = 0;
        for (int i = 1; i < count; i++) {
            worst = boxes[i].error > boxes[worst].error ? i : worst;
        }
        if (boxes[worst].error <= 0) {
            break;
        }
        if (split(points, &boxes[worst], &boxes[count])) {
            count++;
        } else {
            boxes[worst].error = 0;
        }
    }
    for (int i = 0; i < count; i++) {
        memcpy(means[i], boxes[i].mean, sizeof boxes[i].mean);
    }
    return count;
}

/* One round of k-means. */
static void refine(const struct point *points, int point_count, int colors, double means[][3])
{
    enum { STRIP = 256 };
    double sum[PALETTE_MAX_COLORS][4] = {{0}};
    for (int first = 0; first < point_count; first += STRIP) {
        int n = FFMIN(STRIP, point_count - first);
        float c0[STRIP] = {0}, c1[STRIP] = {0}, c2[STRIP] = {0}, least[STRIP];
        int nearest[STRIP] = {0};
        for (int i = 0; i < n; i++) {
            c0[i] = points[first + i].c[0];
            c1[i] = points[first + i].c[1];
            c2[i] = points[first + i].c[2];
        }
        for (int i = 0; i < STRIP; i++) {
            least[i] = INFINITY;
        }
        for (int k = 0; k < colors; k++) {
            float m0 = (float)means[k][0], m1 = (float)means[k][1], m2 = (float)means[k][2];
            for (int i = 0; i < STRIP; i++) {
                float d0 = c0[i] - m0, d1 = c1[i] - m1, d2 = c2[i] - m2;
                float d = d0 * d0 + d1 * d1 + d2 * d2;
                nearest[i] = d < least[i] ? k : nearest[i];
                least[i] = d < least[i] ? d : least[i];
            }
        }
        for (int i = 0; i < n; i++) {
            const struct point *p = &points[first + i];
            double *to = sum[nearest[i]];
            to[0] += (double)p->weight * p->c[0];
            to[1] += (double)p->weight * p->c[1];
            to[2] += (double)p->weight * p->c[2];
            to[3] += p->weight;
        }
    }
    for (int k = 0; k < colors; k++) {
        for (int axis = 0; sum[k][3] > 0 && axis < 3; axis++) {
            means[k][axis] = sum[k][axis] / sum[k][3];
        }
    }
}

/* By luma (ITU-R BT.601, in 256ths), then by value. */
static int compare_luma(const void *a, const void *b)
{
    uint32_t p = *(const uint32_t *)a, q = *(const uint32_t *)b;
    uint32_t v = 77 * (p >> 16 & 255) + 150 * (p >> 8 & 255) + 29 * (p & 255);
    uint32_t w = 77 * (q >> 16 & 255) + 150 * (q >> 8 & 255) + 29 * (q & 255);
    return v != w ? (v > w) - (v < w) : (p > q) - (p < q);
}

static int exact_colors(const struct palette_histogram *h, uint32_t *argb)
{
    int count = 0;
    for (int i = 0; i < EXACT_SLOTS; i++) {
        if (h->exact[i]) {
            argb[count++] = h->exact[i];
        }
    }
    return count;
}

static int chosen_colors(const struct palette_histogram *h, int colors, uint32_t *argb)
{
    int point_count;
    struct point *points = collect(h, &point_count);
    if (!points) {
        return ERROR_OUT_OF_MEMORY;
    }
    double means[PALETTE_MAX_COLORS][3];
    int count = cut_boxes(points, point_count, colors, means);
    for (int round = 0; round < ROUNDS; round++) {
        refine(points, point_count, count, means);
    }
    av_free(points);
    for (int i = 0; i < count; i++) {
        argb[i] = 0xff;
        for (int k = 0; k < 3; k++) {
            argb[i] = argb[i] << 8 | (uint32_t)lrint(fmin(fmax(means[i][k], 0), 255));
        }
    }
    return count;
}

int palette_build(const struct palette_histogram *h, int colors, bool transparency,
                  struct palette *palette, struct error *e)
{
    if (colors < PALETTE_MIN_COLORS || colors > PALETTE_MAX_COLORS) {
        return error_set(e, ERROR_INVALID_OPTION, "a palette has %d to %d colours, not %d",
                         PALETTE_MIN_COLORS, PALETTE_MAX_COLORS, colors);
    }
    int opaque = colors - transparency;
    int count = h->exact_count <= opaque ? exact_colors(h, palette->argb)
                                         : chosen_colors(h, opaque, palette->argb);
    if (count < 0) {
        return error_set(e, count, "no memory to choose colours");
    }
    if (!count) {
        palette->argb[count++] = 0xff000000;
    }
    qsort(palette->argb, (size_t)count, sizeof *palette->argb, compare_luma);
    palette->transparent = transparency ? count : -1;
    if (transparency) {
        palette->argb[count++] = 0;
    }
    palette->count = count;
    for (int i = count; i < PALETTE_MAX_COLORS; i++) {
        palette->argb[i] = palette->argb[0];
    }
    return 0;
}
