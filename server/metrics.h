/*
 * Metrics: what an operator graphs and is woken up by, in Prometheus' text format 0.0.4.
 *
 * Counters and histograms are counted where things happen, by one table of names (metrics.c):
 *
 *     metrics_add(server->metrics, METRIC_OUTPUT_BYTES, "http", NULL, size);
 *     metrics_observe(server->metrics, METRIC_JOB_RUN, operation, "completed", seconds);
 *
 * Gauges are read when somebody asks (gauges.c). Base units, the prefix luma_, and no label whose
 * values clients choose: ids, names, addresses. Labels are bounded all the same: past a number of
 * series, a metric counts the rest under "other".
 *
 * Loop thread only. A NULL for the metrics counts nothing.
 */
#ifndef LUMA_SERVER_METRICS_H
#define LUMA_SERVER_METRICS_H

#include <stdio.h>

enum metric {
    METRIC_JOBS_ACCEPTED,   /* operation */
    METRIC_JOBS_ENDED,      /* operation, outcome */
    METRIC_JOB_START_DELAY, /* lane; seconds in the queue */
    METRIC_JOB_RUN,         /* operation, outcome; seconds */
    METRIC_JOB_CPU,         /* operation; seconds */
    METRIC_INPUT_BYTES,     /* source: upload, url */
    METRIC_OUTPUT_BYTES,    /* channel: websocket, http */
    METRIC_REJECTED,        /* reason: an error code, or what the handshake refused for */
    METRIC_CONNECTIONS,     /* no label */
    METRIC_LOOP_LAG,        /* no label; seconds */
    METRIC_COUNT
};

struct metrics;

/* NULL: out of memory. */
struct metrics *metrics_create(void);
void metrics_destroy(struct metrics **metrics);

/* Label values in the table's order; NULL where the metric has no such label. */
void metrics_add(struct metrics *metrics, enum metric metric, const char *first, const char *second,
                 double amount);
void metrics_observe(struct metrics *metrics, enum metric metric, const char *first,
                     const char *second, double value);

/* The lines of all counters and histograms. */
void metrics_print(const struct metrics *metrics, FILE *stream);

/* For others that print: # HELP and # TYPE; a label's value, escaped; a number. */
void metrics_print_head(FILE *stream, const char *name, const char *type, const char *help);
void metrics_print_label(FILE *stream, const char *name, const char *value);
void metrics_print_number(FILE *stream, double number);

#endif
