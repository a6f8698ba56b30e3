/*
 * From points to entries, the one loop of the mapper that can't be cut into independent pieces:
 * what a pixel is compared with depends on the error of the pixel before.
 *
 * Each step is short, but a chain of loads and comparisons, so a processor mostly waits. With SSE2,
 * which every 64-bit x86 has, a point is half a register, four candidates are compared at once, and
 * two rows take turns, so that the waiting of one is the other's time. Both versions choose the
 * same entries.
 */
#include "engine/palette_internal.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* What an error loses when it is passed on: one level can't be seen, and would be mere noise. */
enum { UNSEEN = SPACE_ONE };

static inline int clip(int value, int low, int high)
{
    value = value < low ? low : value;
    return value > high ? high : value;
}

void palette_choose_plain(const struct choice *c, struct choice_row *row, int from, int to)
{
    const int near = c->near, far = c->far, shift = c->shift;
    int last[3], before[3];
    for (int k = 0; k < 3; k++) {
        last[k] = row->last[k];
        before[k] = row->before[k];
    }
    for (int x = from; x < to; x++) {
        const int32_t *value = row->values + LANES * (ptrdiff_t)x;
        int16_t *error = row->errors + LANES * (ptrdiff_t)x;
        int point[3], now[3] = {0};
        for (int k = 0; k < 3; k++) {
            point[k] = clip((value[k] + near * last[k] + far * before[k]) >> shift, 0, SPACE_MAX);
        }
        int entry = c->transparent;
        if (row->states[x] != PIXEL_TRANSPARENT) {
            entry = row->states[x] == PIXEL_KEEP
                        ? row->previous[x]
                        : palette_search_nearest(c->search, point[0], point[1], point[2]);
            const int limit = c->limits[entry][0];
            for (int k = 0; k < 3; k++) {
                now[k] = clip(point[k] - c->search->points[entry][k], -limit, limit);
                now[k] -= clip(now[k], -UNSEEN, UNSEEN);
            }
        }
        row->entries[x] = (uint8_t)entry;
        error[LANES - 1] = 0;
        for (int k = 0; k < 3; k++) {
            error[k] = (int16_t)now[k];
            before[k] = last[k];
            last[k] = now[k];
        }
    }
    for (int k = 0; k < 3; k++) {
        row->last[k] = (int16_t)last[k];
        row->before[k] = (int16_t)before[k];
    }
}

#ifdef __SSE2__

/* What stays the same, in registers. */
struct constants {
    __m128i high;    /* of a point; 0 in the last lane, which clears it */
    __m128i weights; /* near, far, three times over */
    __m128i shift;
    __m128i place; /* of a cell, from its coordinates */
    __m128i number;
    const uint32_t *cells;
    const uint8_t (*blocks)[BLOCK];
    const int16_t (*points)[LANES];
    const int16_t (*limits)[LANES];
    struct palette_search *search;
    uint8_t transparent;
};

struct walker {
    const int32_t *values;
    const uint8_t *states, *previous;
    uint8_t *entries;
    int16_t *errors;
    __m128i last, before;
};

static inline __m128i load_point(const int16_t *point)
{
    return _mm_loadl_epi64((const __m128i *)point);
}

static inline void store_point(int16_t *point, __m128i value)
{
    _mm_storel_epi64((__m128i *)point, value);
}

static struct constants constants_of(const struct choice *c)
{
    const short near = (short)c->near, far = (short)c->far;
    return (struct constants){
        .high = _mm_setr_epi16(SPACE_MAX, SPACE_MAX, SPACE_MAX, 0, 0, 0, 0, 0),
        .weights = _mm_setr_epi16(near, far, near, far, near, far, 0, 0),
        .shift = _mm_cvtsi32_si128(c->shift),
        .place = _mm_setr_epi16(1 << (2 * CELL_BITS), 1 << CELL_BITS, 1, 0, 0, 0, 0, 0),
        .number = _mm_setr_epi32(0, 1, 2, 3),
        .cells = c->search->cells,
        .blocks = (const uint8_t(*)[BLOCK])c->search->blocks,
        .points = (const int16_t(*)[LANES])c->search->points,
        .limits = c->limits,
        .search = c->search,
        .transparent = c->transparent,
    };
}

static struct walker walker_of(const struct choice_row *row)
{
    return (struct walker){
        .values = row->values,
        .states = row->states,
        .previous = row->previous,
        .entries = row->entries,
        .errors = row->errors,
        .last = load_point(row->last),
        .before = load_point(row->before),
    };
}

static void keep_errors(struct choice_row *row, const struct walker *w)
{
    store_point(row->last, w->last);
    store_point(row->before, w->before);
}

/* The least of four distances << 2 | their number. */
static inline int32_t least_of(__m128i distances)
{
    __m128i other = _mm_shuffle_epi32(distances, _MM_SHUFFLE(1, 0, 3, 2));
    __m128i less = _mm_cmplt_epi32(other, distances);
    distances = _mm_or_si128(_mm_and_si128(less, other), _mm_andnot_si128(less, distances));
    int32_t a = _mm_cvtsi128_si32(distances);
    int32_t b = _mm_cvtsi128_si32(_mm_shuffle_epi32(distances, 1));
    return b < a ? b : a;
}

static inline __m128i load_two(const struct constants *c, int entry, int entry2)
{
    return _mm_unpacklo_epi64(load_point(c->points[entry]), load_point(c->points[entry2]));
}

/* The entry nearest to a point. */
static inline int nearest(const struct constants *c, __m128i point)
{
    __m128i place = _mm_madd_epi16(_mm_srli_epi16(point, CELL_SHIFT), c->place);
    place = _mm_add_epi32(place, _mm_shuffle_epi32(place, 1));
    uint32_t cell = c->cells[_mm_cvtsi128_si32(place)];
    if (__builtin_expect(!cell || cell & CELL_DIVIDED, 0)) {
        cell = palette_search_cell(c->search, _mm_extract_epi16(point, 0),
                                   _mm_extract_epi16(point, 1), _mm_extract_epi16(point, 2));
    }
    const uint8_t(*block)[BLOCK] = &c->blocks[cell >> 8];
    int best = 0;
    int32_t least = INT32_MAX;
    point = _mm_unpacklo_epi64(point, point);
    for (int left = (int)(cell & 255); left >= 0; left -= BLOCK, block++) {
        const uint8_t *entries = *block;
        __m128i a = _mm_sub_epi16(load_two(c, entries[0], entries[1]), point);
        __m128i b = _mm_sub_epi16(load_two(c, entries[2], entries[3]), point);
        __m128 p = _mm_castsi128_ps(_mm_madd_epi16(a, a));
        __m128 q = _mm_castsi128_ps(_mm_madd_epi16(b, b));
        __m128i sum =
            _mm_add_epi32(_mm_castps_si128(_mm_shuffle_ps(p, q, _MM_SHUFFLE(2, 0, 2, 0))),
                          _mm_castps_si128(_mm_shuffle_ps(p, q, _MM_SHUFFLE(3, 1, 3, 1))));
        int32_t found = least_of(_mm_or_si128(_mm_slli_epi32(sum, 2), c->number));
        best = found >> 2 < least ? entries[found & 3] : best;
        least = found >> 2 < least ? found >> 2 : least;
    }
    return best;
}

static inline __attribute__((always_inline)) void step(const struct constants *c, struct walker *w,
                                                       int x)
{
    __m128i error = _mm_setzero_si128();
    int entry = c->transparent;
    if (__builtin_expect(w->states[x] != PIXEL_TRANSPARENT, 1)) {
        __m128i value = _mm_loadu_si128((const __m128i *)(w->values + LANES * (ptrdiff_t)x));
        __m128i errors = _mm_unpacklo_epi16(w->last, w->before);
        value = _mm_add_epi32(value, _mm_madd_epi16(errors, c->weights));
        value = _mm_sra_epi32(value, c->shift);
        __m128i point = _mm_packs_epi32(value, value);
        point = _mm_min_epi16(_mm_max_epi16(point, _mm_setzero_si128()), c->high);
        entry = w->states[x] == PIXEL_KEEP ? w->previous[x] : nearest(c, point);
        __m128i limit = load_point(c->limits[entry]);
        error = _mm_sub_epi16(point, load_point(c->points[entry]));
        error = _mm_max_epi16(error, _mm_sub_epi16(_mm_setzero_si128(), limit));
        error = _mm_min_epi16(error, limit);
        __m128i unseen = _mm_max_epi16(error, _mm_set1_epi16(-UNSEEN));
        error = _mm_sub_epi16(error, _mm_min_epi16(unseen, _mm_set1_epi16(UNSEEN)));
    }
    w->entries[x] = (uint8_t)entry;
    store_point(w->errors + LANES * (ptrdiff_t)x, error);
    w->before = w->last;
    w->last = error;
}

void palette_choose(const struct choice *choice, struct choice_row *row, int from, int to,
                    struct choice_row *row2, int from2, int to2)
{
    const struct constants c = constants_of(choice);
    struct walker a = walker_of(row);
    if (row2) {
        struct walker b = walker_of(row2);
        for (; from < to && from2 < to2; from++, from2++) {
            step(&c, &a, from);
            step(&c, &b, from2);
        }
        for (; from2 < to2; from2++) {
            step(&c, &b, from2);
        }
        keep_errors(row2, &b);
    }
    for (; from < to; from++) {
        step(&c, &a, from);
    }
    keep_errors(row, &a);
}

#else

void palette_choose(const struct choice *choice, struct choice_row *row, int from, int to,
                    struct choice_row *row2, int from2, int to2)
{
    palette_choose_plain(choice, row, from, to);
    if (row2) {
        palette_choose_plain(choice, row2, from2, to2);
    }
}

#endif
