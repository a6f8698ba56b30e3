/*
 * What a measure node finds: the facts that filters report through the metadata of frames.
 *
 * A measure runs a stream to nowhere. Of each thing that is reported there is one of:
 *
 *   a value      the last that was told, the lowest, highest and sum ("ebur128.integrated",
 *                "cropdetect.w", "astats.overall.rms_level"); peaks of ebur128 are in dB with
 *                every version of FFmpeg
 *   an interval  from blackdetect, freezedetect, silencedetect; one that is still open when the
 *                stream ends, ends there
 *   an event     a change of scene from scdet
 *
 * Names are those of the metadata, in lower case, with '_' for what isn't a letter or a digit, and
 * parts apart by '.'; what is counted (channels) counts from 1. Times are seconds on the measured
 * stream's clock. However long the stream, there are at most MEASURE_VALUES values and
 * MEASURE_SPANS intervals and events; the rest is dropped, and `truncated` set.
 *
 * A measure of each frame keeps what was told with every single one as well: of the first
 * MEASURE_ROWS frames the first MEASURE_ROW_VALUES values.
 */
#ifndef LUMA_ENGINE_MEASURE_H
#define LUMA_ENGINE_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

enum { MEASURE_VALUES = 1024, MEASURE_SPANS = 10000, MEASURE_NAME = 96 };
enum { MEASURE_ROWS = 4096, MEASURE_ROW_VALUES = 64 };

struct measure_value {
    char key[MEASURE_NAME];  /* as the filter writes it */
    char name[MEASURE_NAME]; /* "FILTER.NAME", or "" for what is kept elsewhere */
    int role;                /* measure.c's own */
    /* may be infinite; NAN only if nothing else was ever told */
    double last, lowest, highest, sum;
    int64_t count; /* of what is in the sum */
};

/* An interval, or an event (start equals stop). */
struct measure_span {
    const char *filter; /* "blackdetect" */
    int channel;        /* silencedetect of single channels: from 1; else 0 */
    double start, stop;
    double score; /* events; else 0 */
    bool open;
};

/* What was told with one frame. */
struct measure_row {
    double time;                       /* NAN if unknown */
    double values[MEASURE_ROW_VALUES]; /* as measurement.values; NAN: not told with this frame */
};

struct measurement {
    int node;          /* of the plan */
    double start, end; /* seconds: of the first frame, and where the stream ends; NAN if empty */
    int64_t frames;
    struct measure_value *values;
    int value_count;
    struct measure_span *spans; /* in the order of their ends as told */
    int span_count;
    struct measure_row *rows; /* a measure of each frame only */
    int row_count;
    const char *detectors[5]; /* filters of intervals and events before the node; NULL behind */
    bool truncated;
};

void measurement_destroy(struct measurement **measurement);

#endif
