/*
 * The bindings: what scripts see of the engine. `av`, the job, inputs, streams, tracks.
 *
 * All of it hangs on one struct bind, which the sandbox's user pointer leads to. Userdata hold
 * numbers (nodes and pads of the plan), no pointers, so nothing needs closing: the plan outlives
 * the Lua state. A binding checks its arguments, makes what Lua needs, calls the engine in plain C,
 * and raises only when it holds nothing.
 */
#ifndef LUMA_LUA_BIND_H
#define LUMA_LUA_BIND_H

#include <jansson.h>
#include <lauxlib.h>
#include <stdbool.h>

#include "engine/plan.h"

#define BIND_MAX_OUTPUTS 100
#define BIND_MAX_NOTES   100
#define BIND_MAX_NOTE    500       /* bytes */
#define BIND_MAX_OPTIONS 64        /* of one filter, encoder or copy */
#define BIND_MAX_EDGES   64        /* into one filter, tracks of one output */
#define BIND_MAX_TAGS    (1 << 20) /* bytes of an output's tags, and of all its chapters' */

struct pipeline_result;

/* A file that the script declared. */
struct bind_output {
    int node;                  /* of the plan; -1 for a text file */
    char name[256];            /* text file: its name */
    int text;                  /* text file: registry reference of the string or function */
    int64_t largest, smallest; /* a result out of these is dropped, if otherwise is set; 0: none */
    int otherwise;             /* reference of the function that declares the result to make then */
    bool each_picture;
};

struct bind {
    struct plan *plan;
    const char *operation;
    const int *inputs; /* input nodes */
    int input_count;
    bool unnamed;          /* the first input has no name that outputs could be called after */
    const json_t *options; /* validated; NULL: {} */
    const json_t *schema;  /* for the nearest names; may be NULL */
    json_t *notes;
    struct bind_output outputs[BIND_MAX_OUTPUTS];
    int output_count;
    /* Runs a measure node with `owner`, as pipeline_run does; NULL: with no limits. */
    int (*measure)(void *owner, int node, struct pipeline_result *result, struct error *e);
    void *owner;
};

/* The world of a running binding; raises where there is none (a script's top level). */
struct bind *bind_of(lua_State *L);

/* Makes the metatables and the global `av`. Raises. */
void bind_open(lua_State *L);

/* Raises an engine's failure: what a script asked for wrongly is its own error (script_error),
 * what is wrong with the media or the machine keeps its code. */
int bind_raise(lua_State *L, struct error *e);

/* Makes a userdata type from its functions; "__index" may be among them. */
void bind_type(lua_State *L, const char *name, const luaL_Reg *functions);

/* "; did you mean 'x'?" or "", from names that end with NULL. */
void bind_hint(const char *name, const char *const *names, char *hint, size_t size);

/* ---- options, bind_options.c ---- */

struct bind_options {
    struct plan_option list[BIND_MAX_OPTIONS];
    int count;
    int anchor; /* stack index of the table that keeps the texts alive */
};

/* Pushes the anchor. */
void bind_options_begin(lua_State *L, struct bind_options *options);
/* Adds an option whose value is at the index; the name must live as long as the anchor. `what`
 * ("filter 'scale'") is for the error. Trailing "_" of names that Lua reserves is taken off. */
void bind_options_add(lua_State *L, struct bind_options *options, const char *name, int index,
                      const char *what);
/* Adds all fields of a table, in the order of their names, but for those in `except` (ends with
 * NULL, may be NULL). */
void bind_options_add_table(lua_State *L, struct bind_options *options, int table, const char *what,
                            const char *const *except);
bool bind_options_have(const struct bind_options *options, const char *name);

/* Seconds from a number or a text like "1:30"; raises. */
double bind_check_time(lua_State *L, int index);

/* ---- assets, bind_asset.c ---- */

/* av.asset(name): a file of the operators' that an option of a filter may name. */
int bind_asset(lua_State *L);
void bind_open_asset(lua_State *L);
/* What stands for it in an option; NULL if the value at the index is no asset. */
const char *bind_test_asset(lua_State *L, int index);

/* ---- inputs, bind_media.c ---- */

struct bind_input {
    int node;           /* of the whole file or of the range */
    int whole;          /* of the whole file */
    double start, stop; /* the range; 0 and INFINITY if whole */
};
void bind_open_media(lua_State *L);
void bind_push_input(lua_State *L, int node);
const struct bind_input *bind_test_input(lua_State *L, int index); /* NULL if it is none */
/* Names of what an input has; they live for ever. Returns how many, at most room. */
int bind_input_fields(const char **names, int room);
int bind_input_methods(const char **names, int room);

/* ---- streams and tracks, bind_stream.c, bind_stream_fields.c ---- */

struct bind_stream {
    struct plan_edge edge;
    double start, stop;    /* of the input's range; 0 and INFINITY if there is none */
    double factor, offset; /* what retime() asked for; 1 and 0 if nothing */
};
void bind_open_stream(lua_State *L);
void bind_push_stream(lua_State *L, struct plan_edge edge, double start, double stop);
const struct bind_stream *bind_test_stream(lua_State *L, int index);
/* Names of a stream's methods that are no filters; as bind_input_methods. */
int bind_stream_methods(const char **names, int room);
/* The input's stream that an edge is, or NULL if it has been through something. */
const struct media_stream *bind_edge_stream(const struct plan *plan, struct plan_edge edge);
/* Pushes a field of a stream and returns true; false if there is none of that name. */
bool bind_push_stream_field(lua_State *L, const struct bind_stream *stream, const char *name);
void bind_push_tags(lua_State *L, const AVDictionary *tags);
/* What of a duration lies in a range; NAN if it isn't known. */
double bind_range_duration(double duration, double start, double stop);
/* Adds a filter over the streams and pushes one stream for each of its pads; returns how many. */
int bind_add_filter(lua_State *L, const char *filter, const struct plan_edge *edges, int count,
                    const struct bind_options *options);

struct bind_track {
    struct plan_edge edge; /* of an encode or copy node, or a sequence of them */
};
void bind_push_track(lua_State *L, int node);
const struct bind_track *bind_test_track(lua_State *L, int index);

/* ---- the job and av, bind_job.c, bind_output.c, bind_av.c ---- */

void bind_open_job(lua_State *L);
void bind_push_job(lua_State *L);
bool bind_test_job(lua_State *L, int index);
/* Names of all that a job has; as bind_input_methods. */
int bind_job_members(const char **names, int room);
/* The validated options as a read-only table. */
void bind_push_options(lua_State *L);

void bind_open_output(lua_State *L);
/* Declares the output that the table at the index describes; returns its number in bind.outputs. */
int bind_add_output(lua_State *L, int table);
/* Pushes the handle of an output. */
void bind_push_output(lua_State *L, int number);
/* The number of an output's handle, or -1. */
int bind_test_output(lua_State *L, int index);
/* The named fields of the table that declares an output; ends with NULL. */
const char *const *bind_output_fields(void);

void bind_open_av(lua_State *L);

/* Chapters as a list of tables, bind_chapters.c. */
void bind_open_chapters(lua_State *L);
void bind_push_chapters(lua_State *L, const struct media *media);
/* The chapters in the table at the index, for an output; pushes what keeps them alive. Raises. */
const struct plan_chapter *bind_check_chapters(lua_State *L, int index, int *count);

/* source:keyframes() and video:parts(), bind_cut.c; arguments from index 2 on. */
int bind_keyframes(lua_State *L, const struct bind_input *input);
int bind_parts(lua_State *L, const struct bind_stream *stream);
void bind_open_cut(lua_State *L);
/* av.sequence{...}, bind_sequence.c */
int bind_sequence(lua_State *L);

/* av.measure(stream), bind_measure.c */
int bind_measure(lua_State *L);
void bind_open_measure(lua_State *L);

#endif
