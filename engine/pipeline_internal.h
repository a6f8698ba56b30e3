/*
 * What the stages of a run share.
 *
 * A stage is a task with its own struct around it, made and destroyed by the thread that calls
 * pipeline_run(), and used by its own thread in between. Stages see each other only through ports
 * and queues; what a consumer must know of its producer stands on the port, written before the
 * first item.
 */
#ifndef LUMA_ENGINE_PIPELINE_INTERNAL_H
#define LUMA_ENGINE_PIPELINE_INTERNAL_H

#include "engine/graph.h"
#include "engine/pipeline.h"
#include "engine/plan_internal.h"
#include "engine/task.h"

struct run;

struct stage {
    struct task task; /* first: a task is cast to its stage */
    struct run *run;
    void (*finish)(struct stage *stage);
};

/* What a muxer must know of a track. A copy's is ready from the start, an encoder's once it has
 * opened, which port_send_opened() tells. The stream belongs to a context that is never written:
 * it only keeps parameters, side data and time base together. */
struct track_format {
    AVFormatContext *holder;
    AVStream *stream;
    bool annexb_outside; /* parameter sets are in extradata only (global header) */
};

int track_format_init(struct track_format *format);
/* Parameters, side data, rates, aspect and time base of another stream. */
int track_format_copy(struct track_format *format, const AVStream *stream);
void track_format_finish(struct track_format *format);

/* How far a source has read, for progress. */
struct source_progress {
    _Atomic int64_t time;  /* AV_TIME_BASE units from the range's start */
    _Atomic int64_t bytes; /* read of the file */
    int64_t duration;      /* of the range; 0 if unknown */
    int64_t size;          /* 0 if unknown */
};

/* Which of the runs that a plan needs: passes.h. */
enum run_pass { RUN_ONLY, RUN_FIRST, RUN_SECOND };

struct passes;

struct run {
    struct plan *plan;
    const struct pipeline_options *options;
    struct task_group group;
    atomic_int *cancel; /* what readers watch: follows the control's */
    atomic_int own_cancel;
    int sequence, segment;   /* what the run is for, if not for outputs; else -1 */
    struct sequence *target; /* ... and the stage that takes it */
    bool as_coded;           /* pictures aren't turned upright: their track says how */
    bool *reached;           /* by node */
    bool *asked;             /* by node: what the files need, also while a first pass makes none */
    enum run_pass pass;
    struct passes *passes; /* of both passes */
    struct stage **stages;
    int stage_count;
    pthread_mutex_t path_lock; /* around output_path */

    _Atomic int64_t output_bytes;
    _Atomic int64_t frames;

    /* by node; NULL where it makes nothing of the sort */
    struct run_node *nodes;
};

struct run_node {
    struct port **packets; /* input: by pad; encode, sequence: [0] */
    struct port **frames;  /* input (decoded), pick, burn, palette, sequence: by pad; filter: where
                              another graph takes them */
    struct port *feed;     /* encode, measure, burn, palette: where its frames come from */
    struct stage *stage;   /* encode, measure, burn, palette, sequence, output, input */
    int component;         /* filter: the graph it belongs to, from 1 */
    int level;             /* how many burns lie between it and the inputs */
};

/* A run is set up by run_init(), told what it is for, given its stages, and taken down by
 * run_finish(), also after any of this has failed. */
int run_init(struct run *run, struct plan *plan, const struct pipeline_options *options,
             struct error *e);
void run_reach_segment(struct run *run, int sequence, int segment);
int run_make_stages(struct run *run, struct error *e);
void run_finish(struct run *run);

/* True if the run has data flow into that input of a node (outputs and picks don't count). */
bool run_uses(const struct run *run, int node, int input);
/* What a consumer of one edge takes. */
struct plan_edge run_feed_edge(const struct run *run, int node);

/* A zeroed stage of the given size that the run will finish and free, however far its making got:
 * finish (may be NULL) must bear members that are still empty. NULL when out of memory. */
void *run_new_stage(struct run *run, size_t size, void (*finish)(struct stage *stage),
                    struct error *e);

/* A context on the file for one task: the plan's own the first time, a new one later. Give back
 * with source_close(). */
struct source {
    struct plan_file *file;
    struct io_reader *reader; /* NULL with the plan's own context */
    AVFormatContext *context;
};

int source_open(struct source *source, struct run *run, struct plan_file *file, struct error *e);
void source_close(struct source *source);
/* To the beginning, whatever the format can do. */
void source_rewind(struct source *source);

/* Puts everything between demuxer and consumers in order: see demux.c. */
int demux_create(struct run *run, int node, struct stage **out, struct error *e);
const struct source_progress *demux_progress(const struct stage *stage);

int decode_create(struct run *run, int node, int pad, struct stage **out, struct error *e);
int pick_create(struct run *run, struct plan_file *file, struct stage **out, struct error *e);
/* Who takes an edge of a filter graph: an encode, measure, burn or palette node, or (with node -1)
 * other filter graphs. */
struct filter_consumer {
    int node;
    struct plan_edge edge;
};

/* Ports: one for each consumer. */
int filter_create(struct run *run, int component, const struct filter_consumer *consumers,
                  int consumer_count, struct stage **out, struct error *e);
int encode_create(struct run *run, int node, struct stage **out, struct error *e);
/* What it takes, as known before the start. */
const struct frame_spec *encode_spec(const struct stage *stage);
int subtitle_create(struct run *run, int node, struct stage **out, struct error *e);
int mux_create(struct run *run, int node, struct stage **out, struct error *e);
int pictures_create(struct run *run, int node, struct stage **out, struct error *e);

int burn_create(struct run *run, int node, struct stage **out, struct error *e);
/* What it takes: any size, in formats that it can draw on. */
const struct frame_spec *burn_spec(const struct stage *stage);

int palettize_create(struct run *run, int node, struct stage **out, struct error *e);
/* What it takes: RGB of one size. */
const struct frame_spec *palettize_spec(const struct stage *stage);

/* A track of segments, each made by a run of its own: sequence.c. */
int sequence_create(struct run *run, int node, struct stage **out, struct error *e);
const struct source_progress *sequence_progress(const struct stage *stage);
/* The end of such a run: hands what comes on to the sequence. */
int segment_create(struct run *run, struct stage **out, struct error *e);
int segment_connect(struct stage *stage, struct port *from, struct error *e);
/* What it takes: anything. */
const struct frame_spec *segment_spec(const struct stage *stage);

int measure_create(struct run *run, int node, struct stage **out, struct error *e);
/* Leads the frames of a port to it. */
int measure_connect(struct stage *stage, struct port *from, struct error *e);
/* What it takes: anything. */
const struct frame_spec *measure_spec(const struct stage *stage);
/* Hands over what was found; after the run. */
int measure_collect(struct stage *stage, struct pipeline_result *result, struct error *e);

/* What a mux or pictures stage has made; after the run. */
int mux_collect(struct stage *stage, struct pipeline_result *result, struct error *e);
int pictures_collect(struct stage *stage, struct pipeline_result *result, struct error *e);
/* Seconds written of the slowest track; NAN before the first packet. From any thread. */
double mux_time(const struct stage *stage);
double pictures_time(const struct stage *stage);

/* Calls options->output_path, one at a time. */
int run_output_path(struct run *run, int output, int number, const char *name, char *path,
                    size_t size, struct error *e);
/* The folder for what a stage puts aside: that of the run's first output. */
int run_scratch(struct run *run, char *path, size_t size, struct error *e);

#endif
