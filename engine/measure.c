/*
 * The measure stage: takes frames to their end and keeps what filters said of them.
 *
 * Filters write what they find into the metadata of the frames they pass on, as text. The same
 * keys come with every frame in the same order, so each is looked for right behind the last one.
 */
#include "engine/measure.h"

#include <ctype.h>
#include <libavutil/avstring.h>
#include <libavutil/avutil.h>
#include <libavutil/dict.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/compat.h"
#include "engine/pipeline_internal.h"

enum { QUEUE_FRAMES = 16, QUEUE_BYTES = 16 << 20 };

enum role { ROLE_IGNORED, ROLE_VALUE, ROLE_PEAK, ROLE_START, ROLE_END, ROLE_EVENT, ROLE_SCORE };

struct measure {
    struct stage stage;
    const struct plan_node *node;
    struct frame_spec spec;
    struct measurement *found;
    int hint; /* where the next key is likely to be */
    int value_room, span_room, row_room;
    struct measure_row *row; /* of the frame at hand, or NULL */
    int scheduled;
    double score;          /* the last of scdet */
    double least_black;    /* seconds of the shortest black interval that was asked for */
    bool peaks_in_decibel; /* a negative peak has been seen */
};

void measurement_destroy(struct measurement **measurement)
{
    if (!*measurement)
        return;
    free((*measurement)->values);
    free((*measurement)->spans);
    free((*measurement)->rows);
    free(*measurement);
    *measurement = NULL;
}

static void measure_finish(struct stage *stage)
{
    struct measure *measure = (struct measure *)stage;
    measurement_destroy(&measure->found);
    frame_spec_finish(&measure->spec);
}

static int no_memory(struct measure *measure)
{
    return error_set(&measure->stage.task.error, ERROR_OUT_OF_MEMORY, "no memory for a measure");
}

/* ---- names ---- */

/* Keys that don't follow the pattern "lavfi.FILTER.NAME", by how they begin. */
static const struct {
    const char *prefix;
    enum role role;
    const char *name; /* filter of intervals and events; of values what the prefix becomes */
} known_keys[] = {
    {"lavfi.r128.sample_peak", ROLE_PEAK, "ebur128.sample_peak"},
    {"lavfi.r128.true_peak", ROLE_PEAK, "ebur128.true_peak"},
    {"lavfi.r128.M", ROLE_VALUE, "ebur128.momentary"},
    {"lavfi.r128.S", ROLE_VALUE, "ebur128.short_term"},
    {"lavfi.r128.I", ROLE_VALUE, "ebur128.integrated"},
    {"lavfi.r128.LRA.", ROLE_VALUE, "ebur128.range_"},
    {"lavfi.r128.LRA", ROLE_VALUE, "ebur128.range"},
    {"lavfi.r128.", ROLE_VALUE, "ebur128."},
    {"lavfi.scd.time", ROLE_EVENT, "scdet"},
    {"lavfi.scd.score", ROLE_SCORE, "scdet"},
    {"lavfi.scd.", ROLE_IGNORED, ""},
    {"lavfi.black_start", ROLE_START, "blackdetect"},
    {"lavfi.black_end", ROLE_END, "blackdetect"},
    {"lavfi.silence_start", ROLE_START, "silencedetect"},
    {"lavfi.silence_end", ROLE_END, "silencedetect"},
    {"lavfi.silence_duration", ROLE_IGNORED, ""},
    {"lavfi.freezedetect.freeze_start", ROLE_START, "freezedetect"},
    {"lavfi.freezedetect.freeze_end", ROLE_END, "freezedetect"},
    {"lavfi.freezedetect.", ROLE_IGNORED, ""},
    {"lavfi.scene_score", ROLE_VALUE, "select.scene_score"},
    {"lavfi.", ROLE_VALUE, ""},
};
enum { KNOWN_KEYS = sizeof known_keys / sizeof *known_keys };

static const char *const detectors[] = {"blackdetect", "freezedetect", "scdet", "silencedetect"};

/* "true_peaks_ch0" becomes "true_peaks.1". */
static void count_from_one(char *name, size_t size)
{
    char *channel = strstr(name, "_ch");
    if (channel && isdigit((unsigned char)channel[3])) {
        long number = strtol(channel + 3, NULL, 10);
        snprintf(channel, size - (size_t)(channel - name), ".%ld", number + 1);
    }
}

static void name_value(struct measure_value *value)
{
    int known = 0;
    while (known < KNOWN_KEYS && !av_strstart(value->key, known_keys[known].prefix, NULL))
        known++;
    if (known == KNOWN_KEYS) { /* a tag of the media's own */
        value->role = ROLE_IGNORED;
        return;
    }
    const char *rest = value->key + strlen(known_keys[known].prefix);
    value->role = (int)known_keys[known].role;
    if (value->role != ROLE_VALUE && value->role != ROLE_PEAK)
        return;
    snprintf(value->name, sizeof value->name, "%s%s", known_keys[known].name, rest);
    for (char *p = value->name; *p; p++) {
        unsigned char c = (unsigned char)*p;
        *p = isalnum(c) ? (char)tolower(c) : c == '.' ? '.' : '_';
    }
    if (value->role == ROLE_PEAK)
        count_from_one(value->name, sizeof value->name);
}

/* The filter of a key that tells of an interval or an event. */
static const char *filter_of(const struct measure_value *value)
{
    for (int i = 0; i < KNOWN_KEYS; i++) {
        if (av_strstart(value->key, known_keys[i].prefix, NULL))
            return known_keys[i].name;
    }
    return "";
}

/* Finds a key's place, or makes one. NULL when there are too many; *code tells of no memory. */
static struct measure_value *find_value(struct measure *measure, const char *key, int *code)
{
    struct measurement *found = measure->found;
    int count = found->value_count;
    for (int i = 0; i < count; i++) {
        int at = (measure->hint + i) % count;
        if (strcmp(found->values[at].key, key) == 0) {
            measure->hint = at + 1;
            return &found->values[at];
        }
    }
    if (count == MEASURE_VALUES || strlen(key) + 8 >= MEASURE_NAME) {
        found->truncated = true;
        return NULL;
    }
    if (count == measure->value_room) {
        int room = measure->value_room ? measure->value_room * 2 : 32;
        struct measure_value *values = realloc(found->values, (size_t)room * sizeof *values);
        if (!values) {
            *code = no_memory(measure);
            return NULL;
        }
        found->values = values;
        measure->value_room = room;
    }
    struct measure_value *value = &found->values[found->value_count++];
    *value = (struct measure_value){.last = NAN, .highest = NAN, .lowest = NAN};
    av_strlcpy(value->key, key, sizeof value->key);
    name_value(value);
    measure->hint = count + 1;
    return value;
}

/* ---- intervals and events ---- */

static int add_span(struct measure *measure, const struct measure_span *span)
{
    struct measurement *found = measure->found;
    if (found->span_count == MEASURE_SPANS) {
        found->truncated = true;
        return 0;
    }
    if (found->span_count == measure->span_room) {
        int room = measure->span_room ? measure->span_room * 2 : 16;
        struct measure_span *spans = realloc(found->spans, (size_t)room * sizeof *spans);
        if (!spans)
            return no_memory(measure);
        found->spans = spans;
        measure->span_room = room;
    }
    found->spans[found->span_count++] = *span;
    return 0;
}

/* The last interval of a filter and channel, or NULL. */
static struct measure_span *last_span(struct measurement *found, const char *filter, int channel)
{
    for (int i = found->span_count - 1; i >= 0; i--) {
        if (found->spans[i].channel == channel && strcmp(found->spans[i].filter, filter) == 0)
            return &found->spans[i];
    }
    return NULL;
}

/* Filters print times with six digits, which are few after an hour; most of the times are the
 * frame's own. */
static double exact_time(double told, double time)
{
    return fabs(told - time) <= 1e-5 * fabs(told) + 1e-6 ? time : told;
}

/* A frame that a later filter doubled tells the same twice. */
static int begin_span(struct measure *measure, const char *filter, int channel, double start)
{
    const struct measure_span *last = last_span(measure->found, filter, channel);
    if (last && (last->open || start < last->stop))
        return 0;
    const struct measure_span span = {
        .filter = filter, .channel = channel, .start = start, .stop = start, .open = true};
    return add_span(measure, &span);
}

static void end_span(struct measure *measure, const char *filter, int channel, double stop)
{
    struct measure_span *last = last_span(measure->found, filter, channel);
    if (!last || !last->open)
        return;
    last->open = false;
    last->stop = fmax(stop, last->start);
}

static int add_event(struct measure *measure, const char *filter, double time)
{
    const struct measure_span *last = last_span(measure->found, filter, 0);
    if (last && time <= last->start)
        return 0;
    const struct measure_span span = {
        .filter = filter, .start = time, .stop = time, .score = measure->score};
    return add_span(measure, &span);
}

/* ---- frames ---- */

/* A row for the next frame, where each one's are kept. */
static int add_row(struct measure *measure, double time)
{
    struct measurement *found = measure->found;
    measure->row = NULL;
    if (!measure->node->each_frame)
        return 0;
    if (found->row_count == MEASURE_ROWS) {
        found->truncated = true;
        return 0;
    }
    if (found->row_count == measure->row_room) {
        int room = measure->row_room ? measure->row_room * 2 : 64;
        struct measure_row *rows = realloc(found->rows, (size_t)room * sizeof *rows);
        if (!rows)
            return no_memory(measure);
        found->rows = rows;
        measure->row_room = room;
    }
    measure->row = &found->rows[found->row_count++];
    measure->row->time = time;
    for (int i = 0; i < MEASURE_ROW_VALUES; i++)
        measure->row->values[i] = NAN;
    return 0;
}

static void keep_number(struct measure *measure, struct measure_value *value, double number)
{
    ptrdiff_t column = value - measure->found->values;
    if (measure->row && column < MEASURE_ROW_VALUES)
        measure->row->values[column] = number;
    if (value->role == ROLE_PEAK && number < 0)
        measure->peaks_in_decibel = true;
    if (isnan(number) && !isnan(value->last))
        return;
    value->last = number;
    value->highest = fmax(value->highest, number); /* fmax takes the other for a NAN */
    value->lowest = fmin(value->lowest, number);
    if (isfinite(number)) {
        value->sum += number;
        value->count++;
    }
}

static int take_entry(struct measure *measure, const AVDictionaryEntry *entry, double time)
{
    int code = 0;
    char *rest = NULL;
    struct measure_value *value = find_value(measure, entry->key, &code);
    if (!value || value->role == ROLE_IGNORED)
        return code;
    double number = strtod(entry->value, &rest);
    if (rest == entry->value)
        return 0;
    const char *dot = strrchr(entry->key, '.');
    int channel = dot ? atoi(dot + 1) : 0; /* "lavfi.silence_start.2" */
    switch (value->role) {
    case ROLE_START:
        return begin_span(measure, filter_of(value), channel, exact_time(number, time));
    case ROLE_END:
        end_span(measure, filter_of(value), channel, exact_time(number, time));
        return 0;
    case ROLE_EVENT:
        return add_event(measure, filter_of(value), exact_time(number, time));
    case ROLE_SCORE:
        measure->score = number;
        return 0;
    default:
        keep_number(measure, value, number);
        return 0;
    }
}

static int take_frame(struct measure *measure, const AVFrame *frame)
{
    struct measurement *found = measure->found;
    const AVDictionaryEntry *entry = NULL;
    int code = 0;
    double time = NAN;
    found->frames++;
    if (frame->pts != AV_NOPTS_VALUE) {
        double base = av_q2d(frame->time_base);
        int64_t length = frame->nb_samples > 0 && frame->sample_rate > 0
                             ? av_rescale_q(frame->nb_samples, (AVRational){1, frame->sample_rate},
                                            frame->time_base)
                             : compat_frame_duration(frame);
        time = (double)frame->pts * base;
        found->start = isnan(found->start) ? time : fmin(found->start, time);
        found->end = fmax(found->end, (double)(frame->pts + FFMAX(length, 0)) * base);
        task_group_report(measure->stage.task.group, measure->scheduled,
                          av_rescale_q(frame->pts, frame->time_base, AV_TIME_BASE_Q));
    }
    code = add_row(measure, time);
    while (code == 0 && (entry = av_dict_get(frame->metadata, "", entry, AV_DICT_IGNORE_SUFFIX)))
        code = take_entry(measure, entry, time);
    return code;
}

/* ---- the end ---- */

static double decibel(double linear)
{
    return linear > 0 ? 20 * log10(linear) : -INFINITY;
}

static void finish_spans(struct measure *measure)
{
    struct measurement *found = measure->found;
    int kept = 0;
    for (int i = 0; i < found->span_count; i++) {
        struct measure_span *span = &found->spans[i];
        if (span->open && !isnan(found->end))
            span->stop = fmax(span->start, found->end);
        span->open = false;
        /* blackdetect tells of every one, however short */
        if (strcmp(span->filter, "blackdetect") != 0 ||
            span->stop - span->start >= measure->least_black - 1e-6)
            found->spans[kept++] = *span;
    }
    found->span_count = kept;
}

static void finish_measurement(struct measure *measure)
{
    struct measurement *found = measure->found;
    finish_spans(measure);
    for (int i = 0; i < found->value_count; i++) {
        struct measure_value *value = &found->values[i];
        if (value->role != ROLE_PEAK || measure->peaks_in_decibel)
            continue;
        value->last = decibel(value->last);
        value->highest = decibel(value->highest);
        value->lowest = decibel(value->lowest);
        value->count = 0; /* a mean of peaks says nothing */
    }
}

static int measure_run(struct task *task)
{
    struct measure *measure = (struct measure *)task;
    struct queue_item item = {0};
    int code = 0;
    while (code == 0 && (code = task_receive(task, &item)) == 0) {
        if (item.kind == QUEUE_FRAME) {
            code = take_frame(measure, item.frame);
        } else if (item.kind == QUEUE_END) {
            if (item.end != AV_NOPTS_VALUE)
                measure->found->end = fmax(measure->found->end, (double)item.end / AV_TIME_BASE);
            task_group_end_track(task->group, measure->scheduled);
        }
        queue_item_clear(&item);
    }
    if (code >= 0)
        finish_measurement(measure);
    return code;
}

/* ---- making ---- */

/* Which detectors stand before the node, so that having found nothing can be told from not having
 * looked. */
static void find_detectors(struct measure *measure)
{
    const struct run *run = measure->stage.run;
    size_t count = 0;
    for (size_t k = 0; k < sizeof detectors / sizeof *detectors; k++) {
        bool there = false;
        for (int i = 0; i < run->plan->node_count; i++) {
            const struct plan_node *node = run->plan->nodes[i];
            if (!run->reached[i] || node->kind != PLAN_FILTER ||
                strcmp(node->filter->name, detectors[k]) != 0)
                continue;
            there = true;
            const char *least = plan_setting(node, "d");
            if (!least)
                least = plan_setting(node, "black_min_duration");
            if (k == 0)
                measure->least_black = least ? strtod(least, NULL) : 2;
        }
        if (there)
            measure->found->detectors[count++] = detectors[k];
    }
}

int measure_create(struct run *run, int node, struct stage **out, struct error *e)
{
    struct measure *measure = run_new_stage(run, sizeof *measure, measure_finish, e);
    struct plan_type type;
    if (!measure)
        return e->code;
    *out = &measure->stage;
    measure->node = run->plan->nodes[node];
    plan_edge_type(run->plan, measure->node->inputs[0], &type);
    measure->spec.kind = type.kind;
    measure->found = calloc(1, sizeof *measure->found);
    if (!measure->found)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a measure");
    measure->found->node = node;
    measure->found->start = measure->found->end = NAN;
    find_detectors(measure);
    return task_init(&measure->stage.task, &run->group, "measure", measure_run, 1, QUEUE_FRAMES,
                     QUEUE_BYTES, 0, e);
}

int measure_connect(struct stage *stage, struct port *from, struct error *e)
{
    struct measure *measure = (struct measure *)stage;
    int code = task_connect(from, &stage->task, 0, e);
    if (code < 0)
        return code;
    measure->scheduled = task_group_add_track(&stage->run->group, from->owner, false, e);
    return FFMIN(measure->scheduled, 0);
}

const struct frame_spec *measure_spec(const struct stage *stage)
{
    return &((const struct measure *)stage)->spec;
}

int measure_collect(struct stage *stage, struct pipeline_result *result, struct error *e)
{
    struct measure *measure = (struct measure *)stage;
    struct measurement **list =
        realloc(result->measurements, (size_t)(result->measurement_count + 1) * sizeof *list);
    if (!list)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for the result");
    result->measurements = list;
    list[result->measurement_count++] = measure->found;
    measure->found = NULL; /* the result owns it now */
    return 0;
}
