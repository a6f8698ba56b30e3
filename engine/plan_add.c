/*
 * Adding what a plan reads: inputs, ranges of them, picked frames; and what only looks: measures.
 */
#include <inttypes.h>
#include <libavutil/avstring.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/charset.h"
#include "engine/introspect_internal.h"
#include "engine/plan_build.h"
#include "engine/timestamp.h"

/* Recordings may count from 1970, some from the year 0; whoever goes further is wrong. */
static const double LATEST_START = 1e11;

/* The earliest timestamp of the streams (covers have none of their own); 0 if none has one. The
 * first subtitle says nothing of when a film begins, and a file of subtitles begins at 0. */
static double media_first_time(const struct media *media)
{
    double first = NAN;
    bool only_subtitles = media->stream_count > 0;
    for (int i = 0; i < media->stream_count; i++) {
        const struct media_stream *stream = &media->streams[i];
        bool subtitle = stream->kind == AVMEDIA_TYPE_SUBTITLE;
        only_subtitles = only_subtitles && subtitle;
        if (!stream->attached_picture && !subtitle && isfinite(stream->start)) {
            first = isnan(first) ? stream->start : fmin(first, stream->start);
        }
    }
    if (isnan(first) && isfinite(media->start) && !only_subtitles) {
        first = media->start;
    }
    return isnan(first) || fabs(first) > LATEST_START ? 0 : first;
}

static int file_open(struct plan *plan, struct plan_file *file, struct error *e)
{
    int code = io_reader_open_file(&file->reader, file->path, file->label, e);
    if (code >= 0) {
        code = charset_translate(&file->reader, file->label, e);
    }
    if (code >= 0) {
        code = media_open_context(&file->context, file->reader, file->label, file->cancel, NULL, e);
    }
    if (code >= 0) {
        code = media_describe(&file->media, file->context, file->label, e);
    }
    if (code < 0) {
        return code;
    }
    if (file->media->stream_count > plan->limits.max_streams) {
        error_set(e, ERROR_LIMIT_EXCEEDED, "'%s' has %d streams", file->label,
                  file->media->stream_count);
        return ERROR_LIMIT_EXCEEDED;
    }
    file->start = media_first_time(file->media);
    return 0;
}

/* An open demuxer keeps its index and buffers; of many inputs only the first stay open. */
static void close_further(const struct plan *plan, struct plan_file *file)
{
    enum { MOST_OPEN = 4 };
    int open = 0;
    for (int i = 0; i < plan->file_count; i++) {
        open += plan->files[i]->context != NULL;
    }
    if (open > MOST_OPEN) {
        media_close_context(&file->context);
    }
}

/* Takes the file into the plan in any case, so that plan_destroy() closes what was opened. */
static int file_adopt(struct plan *plan, struct plan_file *file, struct error *e)
{
    struct plan_file **files =
        realloc(plan->files, ((size_t)plan->file_count + 1) * sizeof *plan->files);
    if (!files) {
        free(file->path);
        free(file->label);
        free(file);
        return plan_out_of_memory(e);
    }
    plan->files = files;
    files[plan->file_count++] = file;
    return 0;
}

int plan_add_input(struct plan *plan, const char *path, const char *label, atomic_int *cancel,
                   struct error *e)
{
    struct plan_node *node = NULL;
    int code = plan_node_alloc(&node, plan, PLAN_INPUT, NULL, 0, e);
    if (code < 0) {
        return code;
    }
    struct plan_file *file = calloc(1, sizeof *file);
    if (!file) {
        plan_node_free(node);
        return plan_out_of_memory(e);
    }
    file->path = strdup(path);
    file->label = strdup(label && *label ? label : "input");
    file->cancel = cancel;
    code = file_adopt(plan, file, e);
    if (code >= 0 && (!file->path || !file->label)) {
        code = plan_out_of_memory(e);
    }
    if (code >= 0) {
        code = file_open(plan, file, e);
    }
    if (code < 0) {
        plan_node_free(node);
        return code;
    }
    close_further(plan, file);
    node->file = file;
    node->pad_count = file->media->stream_count;
    node->start = 0;
    node->stop = INFINITY;
    return plan_append(plan, node, e);
}

int plan_add_range(struct plan *plan, int input, double start, double stop, struct error *e)
{
    if (!plan_input_media(plan, input)) {
        return error_set(e, ERROR_INTERNAL, "node %d is no input", input);
    }
    char got[64];
    if (!isfinite(start) || start < 0 || start > TIMESTAMP_MOST_SECONDS) {
        snprintf(got, sizeof got, "%g", start);
        error_set(e, ERROR_INVALID_OPTION, "a range can't start at %s", got);
        error_place(e, "start", got, "seconds from the beginning, 0 or more");
        return ERROR_INVALID_OPTION;
    }
    if (isnan(stop) || stop <= start) {
        snprintf(got, sizeof got, "%g", stop);
        error_set(e, ERROR_INVALID_OPTION, "a range from %g s can't end at %s s", start, got);
        error_place(e, "stop", got, "a time after the start");
        return ERROR_INVALID_OPTION;
    }
    const struct plan_node *whole = plan->nodes[input];
    /* A range of a range is what both have in common. */
    double first = fmax(start, whole->start);
    double last = fmin(stop > TIMESTAMP_MOST_SECONDS ? INFINITY : stop, whole->stop);
    if (last <= first) {
        error_set(e, ERROR_INVALID_OPTION,
                  "the range from %g s to %g s lies outside of the one from %g s to %g s", start,
                  stop, whole->start, whole->stop);
        error_place(e, "start", NULL, NULL);
        return ERROR_INVALID_OPTION;
    }
    struct plan_node *node = NULL;
    int code = plan_node_alloc(&node, plan, PLAN_INPUT, NULL, 0, e);
    if (code < 0) {
        return code;
    }
    node->file = whole->file;
    node->pad_count = whole->pad_count;
    node->start = first;
    node->stop = last;
    return plan_append(plan, node, e);
}

int plan_add_measure(struct plan *plan, struct plan_edge input, bool each_frame, struct error *e)
{
    int code = plan_check_frames(plan, input, "measure", e);
    if (code < 0) {
        return code;
    }
    code = plan_refuse_palette(plan, input, "a measure", e);
    if (code < 0) {
        return code;
    }
    if (plan->nodes[input.node]->endless) {
        error_set(e, ERROR_INVALID_OPTION, "what is to be measured would never end");
        error_place(e, "measure", NULL, "a source with a duration, or a trim after it");
        return ERROR_INVALID_OPTION;
    }
    struct plan_node *node = NULL;
    code = plan_node_alloc(&node, plan, PLAN_MEASURE, &input, 1, e);
    if (code < 0) {
        return code;
    }
    node->each_frame = each_frame;
    return plan_append(plan, node, e);
}

static int compare_times(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

int plan_add_pick(struct plan *plan, struct plan_edge video, const double *times, int count,
                  bool nearest_keyframe, struct error *e)
{
    enum { MOST = 10000 };
    const struct media_stream *stream = plan_edge_stream(plan, video);
    if (!stream || stream->kind != AVMEDIA_TYPE_VIDEO) {
        error_set(e, ERROR_INVALID_OPTION, "single frames can only be taken from an input's video");
        error_place(e, "at", stream ? introspect_kind(stream->kind) : NULL, "video");
        return ERROR_INVALID_OPTION;
    }
    int code = plan_check_frames(plan, video, "at", e);
    if (code < 0) {
        return code;
    }
    if (count < 1 || count > MOST) {
        error_set(e, ERROR_LIMIT_EXCEEDED, "%d frames at once can't be taken", count);
        error_place(e, "at", NULL, "1 to 10000 times");
        return ERROR_LIMIT_EXCEEDED;
    }
    for (int i = 0; i < count; i++) {
        if (!isfinite(times[i]) || times[i] < 0 || times[i] > TIMESTAMP_MOST_SECONDS) {
            char got[64];
            snprintf(got, sizeof got, "%g", times[i]);
            error_set(e, ERROR_INVALID_OPTION, "there is no frame at %s s", got);
            error_place(e, "at", got, "seconds from the beginning, 0 or more");
            return ERROR_INVALID_OPTION;
        }
    }
    struct plan_node *node = NULL;
    code = plan_node_alloc(&node, plan, PLAN_PICK, &video, 1, e);
    if (code < 0) {
        return code;
    }
    node->times = malloc((size_t)count * sizeof *times);
    if (!node->times) {
        plan_node_free(node);
        return plan_out_of_memory(e);
    }
    memcpy(node->times, times, (size_t)count * sizeof *times);
    qsort(node->times, (size_t)count, sizeof *times, compare_times);
    node->time_count = count;
    node->nearest_keyframe = nearest_keyframe;
    node->file = plan->nodes[video.node]->file;
    node->pad_count = 1;
    return plan_append(plan, node, e);
}

int plan_check_known(const struct plan_option *option, const char *whose,
                     const struct plan_known_option *known, size_t count, struct error *e)
{
    enum { MOST = 16 };
    const char *names[MOST];
    char list[256] = "";
    for (size_t i = 0; i < count && i < MOST; i++) {
        if (strcmp(option->name, known[i].name) == 0) {
            return known[i].check ? known[i].check(option, e)
                                  : plan_check_number(option, known[i].least, known[i].most,
                                                      known[i].whole, e);
        }
        names[i] = known[i].name;
        av_strlcatf(list, sizeof list, "%s%s", i ? ", " : "", names[i]);
    }
    const char *nearest = introspect_nearest(option->name, names, FFMIN(count, (size_t)MOST));
    error_set(e, ERROR_INVALID_OPTION, "%s has no option '%.64s'%s%s%s", whose, option->name,
              nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
    error_place(e, option->name, option->value, list);
    return ERROR_INVALID_OPTION;
}
