/*
 * The plan's insides, for the pipeline, explain and cost. Everything here is read-only once the
 * node has been added; the pipeline never writes to a plan except to open further contexts on a
 * plan_file.
 */
#ifndef LUMA_ENGINE_PLAN_INTERNAL_H
#define LUMA_ENGINE_PLAN_INTERNAL_H

#include <libavcodec/avcodec.h>
#include <libavfilter/avfilter.h>
#include <libavformat/avformat.h>

#include "engine/formats.h"
#include "engine/plan.h"

/* One file; shared by the input node, its ranges and its picks. The first task that reads it takes
 * over `context` (already probed, at its beginning), if the plan has kept it open: of many inputs
 * only the first few are. Others open again on path. */
struct plan_file {
    char *path;
    char *label;
    struct io_reader *reader;
    AVFormatContext *context; /* may be NULL */
    struct media *media;
    double start; /* seconds: earliest timestamp of its streams; time 0 of ranges and picks */
    atomic_int *cancel;
    atomic_bool taken; /* somebody has read from context: others open their own */
};

struct plan_settings { /* options as given, in order */
    struct plan_option *list;
    int count;
};

/* How segments that are encoded are made to fit to those that are copied. */
struct plan_join {
    struct plan_edge leader; /* the copied stream that all are like */
    int *ids; /* of each encoded segment: what its parameter sets are numbered; else -1 */
};

struct plan_node {
    enum plan_kind kind;
    struct plan_edge *inputs;
    int input_count;
    int pad_count;

    struct plan_file *file; /* input, pick */
    double start, stop;     /* input: range in seconds from the file's beginning */

    double *times; /* pick: ascending */
    int time_count;
    bool nearest_keyframe;

    const AVFilter *filter; /* filter */
    enum AVMediaType *pad_kinds;
    bool endless; /* a source without a duration, or only such inputs and nothing that ends them */

    const AVCodec *encoder; /* encode */
    char *bsf;              /* copy */
    bool each_frame;        /* measure */

    /* sequence: inputs are its segments */
    double *durations; /* of each, NAN: as long as it is */
    bool packets;      /* they are copies and encodes */
    enum AVMediaType kind_of_track;
    enum AVCodecID codec;   /* of packets */
    AVRational time_base;   /* of packets */
    struct plan_join *join; /* of packets, where some are encoded beside copied ones; else NULL */
    int delay;              /* of packets: by how many decoding runs ahead of showing */

    struct plan_settings settings; /* filter, burn, palette, encode, copy, output */

    /* output */
    const struct format *format;
    char *name;
    AVDictionary *metadata;
    int metadata_from, chapters_from;
    struct plan_chapter *chapters;
    int chapter_count;
    bool faststart, each_picture;
    int64_t max_size;
};

struct plan {
    struct plan_node **nodes;
    int node_count;
    struct plan_file **files;
    int file_count;
    struct policy_limits limits;
    char *assets; /* folder; NULL: there are none */
};

/* The value of a setting, or NULL. */
const char *plan_setting(const struct plan_node *node, const char *name);

/* True of an encode node that is to see its frames twice. */
bool plan_two_passes(const struct plan_node *node);

/* Allocates a filter in a graph, sets its options one by one with av_opt_set() under the policy,
 * and initialises it. For a node of a plan it has succeeded before. */
int plan_filter_open(AVFilterGraph *graph, const AVFilter *filter, const char *name,
                     const struct plan_settings *settings, const struct plan *plan,
                     AVFilterContext **context, struct error *e);

/* How much passes over an edge, as far as it can be known before the run: seconds, pictures and
 * their size, samples of all channels together. Guesses where an input doesn't say. */
struct plan_load {
    double seconds;
    double width, height, frames;
    double samples;
};
struct plan_load plan_estimate(const struct plan *plan, struct plan_edge edge);

/* Processor seconds of the first passes that the outputs need; 0 without any. */
double plan_first_pass_cost(const struct plan *plan, const int *outputs, int output_count);

/* Marks (in a caller's array of node_count) every node that the outputs need. */
void plan_reach(const struct plan *plan, const int *outputs, int output_count, bool *reached);

#endif
