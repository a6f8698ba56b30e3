/*
 * The pipeline runs a plan.
 *
 * Every stage is a task with a thread of its own: demux (or pick), decode, filter, encode, mux.
 * Between them stand bounded queues, and these rules hold everywhere:
 *
 *  - A consumer has one queue for all of its inputs, bounded by items and by bytes, and takes what
 *    comes, in order. A full queue stops the producer. So a graph with one source can't deadlock.
 *  - With several sources, one whose output track runs ahead of the slowest is held back until the
 *    others have caught up, so that nothing piles up behind a consumer that waits for another.
 *  - End of stream goes forward as data and carries the time at which the stream ends. "I need no
 *    more" goes backward as the result of a send, and is success: a producer that none of its
 *    consumers needs any more ends.
 *  - However a task ends, its wrapper closes its inputs and outputs, so that no neighbour waits
 *    for ever. The first real error is the run's result; end of stream and "no more" never are.
 *  - Encoders open when their first frame comes, from the frame's own parameters. A change of size
 *    or format mid-stream drains the filter graph and builds a new one; the encoder's input keeps
 *    the size and format that it started with.
 *  - Memory is bounded by the queues, whatever the media's length.
 *  - Every output is checked while it is written: packets, timestamps that rise, duration against
 *    what the plan promised. A result that isn't as planned is an error.
 *
 * Copy-only work starts a demux and a mux task and nothing else.
 */
#ifndef LUMA_ENGINE_PIPELINE_H
#define LUMA_ENGINE_PIPELINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/error.h"
#include "engine/plan.h"

/* Set by any thread (also from a signal handler); seen by every wait and every read. */
struct pipeline_control {
    atomic_int cancel; /* once non-zero the run ends with ERROR_CANCELLED */
    atomic_int pause;  /* while non-zero sources wait */
};

struct pipeline_progress {
    double percent;  /* 0-100, never falling; NAN only while it can't be known */
    double time;     /* seconds of media written, of the slowest track */
    double duration; /* seconds of media expected; NAN if unknown */
    int64_t frames;  /* video frames written, all outputs */
    double elapsed;  /* seconds since the run began */
    int64_t output_bytes;
};

struct pipeline_track {
    enum AVMediaType kind;
    const char *codec;
    int64_t packets;
    int64_t bytes;
    double start, end; /* seconds: first timestamp, last timestamp plus its duration */
};

struct pipeline_file {
    int output; /* the plan's output node */
    int number; /* from 0; counts the pictures of an each_picture output */
    char name[256];
    int64_t size;
    double time;       /* pictures: the source frame's time in seconds; else NAN */
    int width, height; /* pictures */
    struct pipeline_track *tracks;
    int track_count;
};

struct pipeline_result {
    struct pipeline_file *files; /* in the order of output node, then number */
    int file_count;
    struct measurement **measurements; /* of the measure nodes, in their order: measure.h */
    int measurement_count;
};

struct pipeline_options {
    const int *outputs; /* output and measure nodes to make; NULL: all of the plan's outputs */
    int output_count;
    int threads; /* for decoders, filters and encoders each; 0: as they choose by the machine */
    bool synced; /* the files will be synced: the disk may begin while they are written */
    struct pipeline_control *control; /* may be NULL */
    /* Writes the path to create for the nth file of an output; returns 0 or an error code. Called
     * on pipeline threads, one call at a time; for some files more than once, as stages put frames
     * aside in files without a name in the folder of the first output. */
    int (*output_path)(void *opaque, int output, int number, const char *name, char *path,
                       size_t size);
    /* Called on the thread that runs the pipeline, about every period_ms, and once at the end.
     * May be NULL. A non-zero return cancels. */
    int (*progress)(void *opaque, const struct pipeline_progress *progress);
    int period_ms;
    void *opaque;
};

/* Runs to the end; blocks. The plan may be run again afterwards. On failure the files made so far
 * are left for the caller to remove, and result is empty. */
int pipeline_run(struct plan *plan, const struct pipeline_options *options,
                 struct pipeline_result *result, struct error *e);
void pipeline_result_finish(struct pipeline_result *result);

#endif
