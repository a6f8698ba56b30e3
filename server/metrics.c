/*
 * A metric has a list of series, one for each combination of label values; they are few and never
 * go away. A histogram's series counts each observation in the lowest bucket that it fits, and adds
 * them up when it is printed.
 */
#include "server/metrics.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define LABELS_MAX  2
#define BUCKETS_MAX 16
#define SERIES_MAX  200
#define OVERFLOW    "other"

/* Upper bounds, as they are printed; NULL ends them. */
static const char *const run_buckets[] = {"0.01", "0.05", "0.1",  "0.25", "0.5", "1",
                                          "2.5",  "5",    "10",   "30",   "60",  "120",
                                          "300",  "900",  "3600", NULL};
static const char *const lag_buckets[] = {"0.001", "0.0025", "0.005", "0.01", "0.025", "0.05",
                                          "0.1",   "0.25",   "0.5",   "1",    "2.5",   NULL};

static const struct metric_kind {
    const char *name, *help;
    const char *labels[LABELS_MAX];
    const char *const *buckets; /* NULL: a counter */
} kinds[METRIC_COUNT] = {
    [METRIC_JOBS_ACCEPTED] = {"luma_jobs_accepted_total",
                              "Jobs that were acknowledged.",
                              {"operation", NULL},
                              NULL},
    [METRIC_JOBS_ENDED] = {"luma_jobs_ended_total",
                           "Jobs that have had their end.",
                           {"operation", "outcome"},
                           NULL},
    [METRIC_JOB_START_DELAY] = {"luma_job_start_delay_seconds",
                                "Time from a job's place in a queue to its start.",
                                {"lane", NULL},
                                run_buckets},
    [METRIC_JOB_RUN] = {"luma_job_run_seconds",
                        "Time from a job's start to its end.",
                        {"operation", "outcome"},
                        run_buckets},
    [METRIC_JOB_CPU] = {"luma_job_cpu_seconds_total",
                        "Processor time of workers.",
                        {"operation", NULL},
                        NULL},
    [METRIC_INPUT_BYTES] = {"luma_input_bytes_total",
                            "Bytes of inputs that were received.",
                            {"source", NULL},
                            NULL},
    [METRIC_OUTPUT_BYTES] = {"luma_output_bytes_total",
                             "Bytes of outputs that were sent.",
                             {"channel", NULL},
                             NULL},
    [METRIC_REJECTED] = {"luma_rejected_total",
                         "Requests and connections that were refused.",
                         {"reason", NULL},
                         NULL},
    [METRIC_CONNECTIONS] = {"luma_connections_total",
                            "WebSockets that were opened.",
                            {NULL, NULL},
                            NULL},
    [METRIC_LOOP_LAG] = {"luma_event_loop_lag_seconds",
                         "How late the event loop came to what was due.",
                         {NULL, NULL},
                         lag_buckets},
};

struct series {
    struct series *next;
    char *labels[LABELS_MAX]; /* NULL: the metric has fewer */
    double sum;               /* a counter's value */
    double count;
    double buckets[BUCKETS_MAX];
};

struct metrics {
    struct series *series[METRIC_COUNT];
    int counts[METRIC_COUNT];
};

struct metrics *metrics_create(void)
{
    return calloc(1, sizeof(struct metrics));
}

static void series_free(struct series *series)
{
    for (int i = 0; i < LABELS_MAX; i++)
        free(series->labels[i]);
    free(series);
}

void metrics_destroy(struct metrics **metrics)
{
    for (int i = 0; *metrics && i < METRIC_COUNT; i++) {
        struct series *series;
        while ((series = (*metrics)->series[i])) {
            (*metrics)->series[i] = series->next;
            series_free(series);
        }
    }
    free(*metrics);
    *metrics = NULL;
}

static bool matches(const struct series *series, const char *const values[LABELS_MAX])
{
    for (int i = 0; i < LABELS_MAX; i++) {
        if (series->labels[i] && strcmp(series->labels[i], values[i]) != 0)
            return false;
    }
    return true;
}

static struct series *series_find(struct metrics *metrics, enum metric metric,
                                  const char *const values[LABELS_MAX])
{
    for (struct series *series = metrics->series[metric]; series; series = series->next) {
        if (matches(series, values))
            return series;
    }
    return NULL;
}

static struct series *series_make(struct metrics *metrics, enum metric metric,
                                  const char *const values[LABELS_MAX])
{
    struct series *series = calloc(1, sizeof(*series));
    if (!series)
        return NULL;
    for (int i = 0; i < LABELS_MAX; i++) {
        if (kinds[metric].labels[i] && !(series->labels[i] = strdup(values[i]))) {
            series_free(series);
            return NULL;
        }
    }
    series->next = metrics->series[metric];
    metrics->series[metric] = series;
    metrics->counts[metric]++;
    return series;
}

/* The series with those labels, made when first needed; NULL when memory is gone. */
static struct series *series_of(struct metrics *metrics, enum metric metric, const char *first,
                                const char *second)
{
    static const char *const overflow[LABELS_MAX] = {OVERFLOW, OVERFLOW};
    const char *const values[LABELS_MAX] = {first ? first : "", second ? second : ""};
    if (!metrics)
        return NULL;
    struct series *found = series_find(metrics, metric, values);
    if (found)
        return found;
    if (metrics->counts[metric] < SERIES_MAX)
        return series_make(metrics, metric, values);
    found = series_find(metrics, metric, overflow);
    return found ? found : series_make(metrics, metric, overflow);
}

void metrics_add(struct metrics *metrics, enum metric metric, const char *first, const char *second,
                 double amount)
{
    struct series *series = series_of(metrics, metric, first, second);
    if (series && amount > 0)
        series->sum += amount;
}

void metrics_observe(struct metrics *metrics, enum metric metric, const char *first,
                     const char *second, double value)
{
    struct series *series = series_of(metrics, metric, first, second);
    if (!series || !isfinite(value))
        return;
    value = value > 0 ? value : 0;
    series->sum += value;
    series->count += 1;
    for (int i = 0; kinds[metric].buckets[i]; i++) {
        if (value <= strtod(kinds[metric].buckets[i], NULL)) {
            series->buckets[i] += 1;
            break;
        }
    }
}

/* ---- the text ---- */

void metrics_print_head(FILE *stream, const char *name, const char *type, const char *help)
{
    (void)fprintf(stream, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void metrics_print_label(FILE *stream, const char *name, const char *value)
{
    (void)fprintf(stream, "%s=\"", name);
    for (const char *c = value; *c; c++) {
        if (*c == '\n') {
            (void)fputs("\\n", stream);
        } else {
            if (*c == '"' || *c == '\\')
                (void)fputc('\\', stream);
            (void)fputc(*c, stream);
        }
    }
    (void)fputc('"', stream);
}

void metrics_print_number(FILE *stream, double number)
{
    if (isnan(number)) {
        (void)fputs("NaN\n", stream);
    } else if (isinf(number)) {
        (void)fputs(number > 0 ? "+Inf\n" : "-Inf\n", stream);
    } else {
        (void)fprintf(stream, "%.16g\n", number);
    }
}

/* name suffix {labels, le} number */
static void print_line(FILE *stream, const struct metric_kind *kind, const char *suffix,
                       const struct series *series, const char *bound, double number)
{
    char before = '{';
    (void)fprintf(stream, "%s%s", kind->name, suffix);
    for (int i = 0; i < LABELS_MAX && kind->labels[i]; i++) {
        (void)fputc(before, stream);
        metrics_print_label(stream, kind->labels[i], series->labels[i]);
        before = ',';
    }
    if (bound) {
        (void)fputc(before, stream);
        metrics_print_label(stream, "le", bound);
        before = ',';
    }
    (void)fputs(before == ',' ? "} " : " ", stream);
    metrics_print_number(stream, number);
}

static void print_histogram(FILE *stream, const struct metric_kind *kind,
                            const struct series *series)
{
    double below = 0;
    for (int i = 0; kind->buckets[i]; i++) {
        below += series->buckets[i];
        print_line(stream, kind, "_bucket", series, kind->buckets[i], below);
    }
    print_line(stream, kind, "_bucket", series, "+Inf", series->count);
    print_line(stream, kind, "_sum", series, NULL, series->sum);
    print_line(stream, kind, "_count", series, NULL, series->count);
}

void metrics_print(const struct metrics *metrics, FILE *stream)
{
    static const struct series nothing;
    for (int i = 0; metrics && i < METRIC_COUNT; i++) {
        const struct metric_kind *kind = &kinds[i];
        metrics_print_head(stream, kind->name, kind->buckets ? "histogram" : "counter", kind->help);
        const struct series *series = metrics->series[i];
        if (!series && !kind->labels[0])
            series = &nothing;
        for (; series; series = series->next) {
            if (kind->buckets) {
                print_histogram(stream, kind, series);
            } else {
                print_line(stream, kind, "", series, NULL, series->sum);
            }
        }
    }
}
