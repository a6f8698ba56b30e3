/*
 * Times that files tell, before anything is reckoned with them.
 *
 * Containers have up to 64 bits for a time, and a damaged or hostile file uses them: sums and
 * conversions of such times don't fit. What lies more than TIMESTAMP_MOST_SECONDS from where it is
 * counted is no time of media; without it, what is added up fits 64 bits on any clock from one
 * second to a nanosecond, also that of a hundred files in a row. Plain functions.
 */
#ifndef LUMA_ENGINE_TIMESTAMP_H
#define LUMA_ENGINE_TIMESTAMP_H

#include <libavutil/avutil.h>
#include <stdbool.h>
#include <stdint.h>

enum { TIMESTAMP_MOST_SECONDS = 100000000 }; /* three years */

/* False for times that are too far from a zero on the same clock; what isn't known is fine. */
static inline bool timestamp_fits(int64_t time, int64_t zero, AVRational time_base)
{
    double distance = ((double)time - (double)zero) * av_q2d(time_base);
    return time == AV_NOPTS_VALUE ||
           (distance >= -TIMESTAMP_MOST_SECONDS && distance <= TIMESTAMP_MOST_SECONDS);
}

/* The time, or AV_NOPTS_VALUE if it doesn't fit. */
static inline int64_t timestamp_tame(int64_t time, int64_t zero, AVRational time_base)
{
    return timestamp_fits(time, zero, time_base) ? time : AV_NOPTS_VALUE;
}

/* A duration, or 0 for one that is none. */
static inline int64_t timestamp_tame_length(int64_t duration, AVRational time_base)
{
    return duration > 0 && timestamp_fits(duration, 0, time_base) ? duration : 0;
}

#endif
