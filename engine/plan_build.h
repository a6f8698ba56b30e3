/*
 * What the files that build plans share.
 */
#ifndef LUMA_ENGINE_PLAN_BUILD_H
#define LUMA_ENGINE_PLAN_BUILD_H

#include <libavutil/opt.h>

#include "engine/plan_internal.h"

/* A node over a copy of the given edges, each of which is checked to exist. Fails when the plan is
 * full, an edge is none, or memory is gone. Free it with plan_node_free() unless plan_append() has
 * taken it. */
int plan_node_alloc(struct plan_node **out, const struct plan *plan, enum plan_kind kind,
                    const struct plan_edge *inputs, int input_count, struct error *e);
void plan_node_free(struct plan_node *node);

/* Adds the node, which is consumed whatever happens. Its number, or an error code. */
int plan_append(struct plan *plan, struct plan_node *node, struct error *e);

int plan_settings_copy(struct plan_settings *to, const struct plan_option *options, int count,
                       struct error *e);

static inline int plan_out_of_memory(struct error *e)
{
    error_set(e, ERROR_OUT_OF_MEMORY, "not enough memory for the plan");
    return ERROR_OUT_OF_MEMORY;
}

/* The stream that an edge is, if it is a pad of an input node; else NULL. */
const struct media_stream *plan_edge_stream(const struct plan *plan, struct plan_edge edge);

/* The edge can give frames: it carries frames, or it is a stream that this build decodes. 0 or an
 * error code; `what` names who asks ("filter 'scale'"). */
int plan_check_frames(const struct plan *plan, struct plan_edge edge, const char *what,
                      struct error *e);

/* ERROR_INVALID_OPTION if the edge is a palette's, of which only encoders take frames. */
int plan_refuse_palette(const struct plan *plan, struct plan_edge edge, const char *what,
                        struct error *e);

/* Whether encoded and copied segments of video can be joined, and how; on failure *out is NULL. */
int plan_join_create(struct plan_join **out, const struct plan *plan,
                     const struct plan_segment *segments, int count, struct error *e);
void plan_join_destroy(struct plan_join **join);
/* Copied segments behind others begin where a decoder can go on. Reads the inputs. */
int plan_check_begins(const struct plan *plan, const struct plan_segment *segments, int count,
                      struct error *e);

/* Reads the options common to tracks (language, title, default, forced): 1 if it is one and is
 * good, 0 if it is another, or an error code. */
int plan_check_track_option(const struct plan_option *option, struct error *e);

/* An option's text that must be a number in a range, with libav's suffixes (k, M, Ki). */
int plan_check_number(const struct plan_option *option, double least, double most, bool whole,
                      struct error *e);

/* An option of the engine's own nodes: a number in a range, or what check() says. */
struct plan_known_option {
    const char *name;
    double least, most;
    bool whole;
    int (*check)(const struct plan_option *option, struct error *e); /* instead of the range */
};

/* An option that must be one of these, and good; `whose` ("a palette") is for the sentence. */
int plan_check_known(const struct plan_option *option, const char *whose,
                     const struct plan_known_option *known, size_t count, struct error *e);

/* Why av_opt_set() refused a value, as ERROR_INVALID_OPTION with its range or names. */
int plan_refuse_value(struct error *e, const char *what, const char *path,
                      const struct plan_option *option, const AVOption *known, const AVClass *class,
                      int averror);

#endif
