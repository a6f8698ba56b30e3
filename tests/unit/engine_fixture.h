/*
 * What the tests of the pipeline share: clips that the ffmpeg program makes in a folder of their
 * own, plans in few words, and the facts of a file as libav reads it back.
 */
#ifndef LUMA_TESTS_UNIT_ENGINE_FIXTURE_H
#define LUMA_TESTS_UNIT_ENGINE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <libavformat/avformat.h>
#include <stdbool.h>

#include "engine/pipeline.h"

/* ---- files ---- */

extern char fixture_folder[64];

/* cmocka group set-up and tear-down: makes the folder, removes it. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* "<folder>/<name>"; lives for ever. */
const char *fixture_path(const char *name);
/* Runs ffmpeg with the arguments and the file as its output, unless it is there already. Every
 * "@name" among the arguments becomes a path in the folder. */
const char *fixture_clip(const char *name, const char *arguments);
/* Puts files of the folder end to end. */
const char *fixture_join(const char *name, const char *first, const char *second);
/* Copies the file with a display matrix that turns its video by so many degrees clockwise. */
const char *fixture_turned(const char *name, const char *from, int degrees);

/* The usual clips: testsrc2 with a sine. */
#define CLIP_AV                                                                                    \
    "-f lavfi -i testsrc2=s=320x240:r=25:d=2 -f lavfi -i sine=d=2:r=48000 -c:v libx264 "           \
    "-preset ultrafast -g 10 -bf 2 -pix_fmt yuv420p -c:a aac -ac 2"

/* ---- plans ---- */

struct plan_option;
/* All of these assert success. Options are name, value, ..., NULL. */
struct plan *make_plan(const char *path, int *input);
struct plan_edge add_filter(struct plan *plan, const char *filter, const struct plan_edge *inputs,
                            int count, const char *const *options);
struct plan_edge add_filter1(struct plan *plan, const char *filter, struct plan_edge input,
                             const char *const *options);
struct plan_edge add_encode(struct plan *plan, struct plan_edge input, const char *codec,
                            const char *const *options);
struct plan_edge add_h264(struct plan *plan, struct plan_edge input); /* ultrafast */
struct plan_edge add_copy(struct plan *plan, struct plan_edge input);
int add_output(struct plan *plan, const char *format, const struct plan_edge *tracks, int count);
int add_pictures(struct plan *plan, const char *format, struct plan_edge track);
/* The first stream of a kind. */
struct plan_edge stream_of(struct plan *plan, int input, enum AVMediaType kind);

/* The file that an output node's nth file was written to. */
const char *output_file(int output, int number);
/* Runs the plan with outputs in the folder. `options` may be NULL, or hold anything but
 * output_path. */
int run_plan(struct plan *plan, const struct pipeline_options *options,
             struct pipeline_result *result, struct error *e);
/* The same where it must succeed. */
struct pipeline_result run_good(struct plan *plan);

/* ---- facts ---- */

enum { SIGNATURE = 24 }; /* pixels a side of a frame's small grey likeness */

struct frame_facts {
    double time;
    int width, height;
    uint8_t likeness[SIGNATURE * SIGNATURE];
};

struct track_facts {
    enum AVMediaType kind;
    enum AVCodecID codec;
    int64_t packets;
    double start, end; /* of packets, seconds */
    bool rising;       /* decoding times strictly */
    uint64_t hash;     /* of all payloads, in order */
    int width, height;
    int rotation;
    const char *language, *title; /* good until facts_free() */
    int disposition;
    /* decoded */
    struct frame_facts *frames;
    int frame_count;
    int64_t samples;
};

struct file_facts {
    AVFormatContext *context; /* for tags and chapters */
    struct track_facts *tracks;
    int track_count;
};

struct file_facts facts_read(const char *path);
void facts_free(struct file_facts *facts);
struct track_facts *facts_track(struct file_facts *facts, enum AVMediaType kind);
/* Mean difference of two likenesses, 0 to 255. */
double likeness_difference(const struct frame_facts *a, const struct frame_facts *b);
/* The index of the frame that looks most like this one. */
int most_alike(const struct track_facts *track, const struct frame_facts *frame);

void assert_near(double value, double expected, double tolerance);

#endif
