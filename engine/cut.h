/*
 * Where a stream of video can be cut without decoding it.
 *
 * A range is exact when it holds the pictures shown from its start on and before its stop, no more
 * and no fewer. Copying is exact only where decoding may begin with the first of them (access.h),
 * and where those kept at the end are the first in decoding order too. So a range becomes up to
 * three parts, end to end: a head that is encoded, whole groups of pictures and the beginning of
 * the last one that are copied, and a tail that is encoded where its last pictures need later ones.
 *
 * Only packets near the two cuts are read, found by seeking, and only times are kept of them.
 *
 * Times are seconds from the input's beginning, as in plan_add_range(). A part begins and ends
 * on the stream's own clock, so that no rounding moves a picture from one part to the next.
 */
#ifndef LUMA_ENGINE_CUT_H
#define LUMA_ENGINE_CUT_H

#include <stdbool.h>

#include "engine/plan.h"

struct cut_part {
    double start, stop; /* the last one's stop may be INFINITY */
    bool copied;        /* else it has to be encoded */
};

struct cut {
    struct cut_part parts[3];
    int count;        /* 1 at least */
    char reason[160]; /* why no part is copied; "" if one is */
};

/* The parts of an input's video stream that together are exactly [start, stop); stop may be
 * INFINITY. A cut between two pictures moves to the later one, unless that comes so late that a gap
 * is meant: so every part lasts as long as its pictures. For the whole file, also of a range. 0 or
 * an error code. On the thread that builds the plan. */
int cut_exactly(const struct plan *plan, struct plan_edge video, double start, double stop,
                bool behind, struct cut *cut, struct error *e);

/* One part, copied, that holds all of [start, stop): from the last point before it at which
 * decoding may begin, to where the pictures kept end in decoding order too. If that can't be told,
 * the part is not copied, and the reason is there. Otherwise like cut_exactly(). */
int cut_at_keyframes(const struct plan *plan, struct plan_edge video, double start, double stop,
                     struct cut *cut, struct error *e);

/* The times in [from, to) of the packets that the container marks as keyframes, ascending;
 * malloc'ed into *times, *count of them. More than `most` are ERROR_LIMIT_EXCEEDED. Reads all of
 * the range, unless the container can skip what isn't asked for. Otherwise like cut_exactly(). */
int cut_list_keyframes(const struct plan *plan, struct plan_edge video, double from, double to,
                       int most, double **times, int *count, struct error *e);

#endif
