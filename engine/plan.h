/*
 * The plan: what is to be done, before any of it is done.
 *
 * A plan is a graph of nodes that only grows. A node is checked when it is added (names, options,
 * kinds and number of pads, whether the container takes the codec) and never changes afterwards,
 * so an edge, a (node, pad) pair, can be copied and kept like a number. Nodes that no output
 * reaches cost nothing. An edge may be used any number of times: the pipeline splits frames and
 * packets where it has to.
 *
 * The nodes:
 *
 *   input   a range of one media file; a pad for each of its streams, in their order. Pads carry
 *           packets; what needs frames decodes them, once for all consumers.
 *   pick    some single frames of a video stream, each found by seeking; one pad of frames.
 *   filter  one libavfilter filter; pads as the filter has them.
 *   burn    subtitles drawn onto frames; one pad of frames.
 *   palette frames in few colours, all from one palette; one pad of frames, for an encoder.
 *   encode  one encoder; one pad of packets.
 *   copy    packets as they are, possibly through a bitstream filter; one pad of packets.
 *   sequence  segments end to end: frames, or packets that are copied and encoded; one pad.
 *   measure frames to nowhere, for what filters say of them; no pads.
 *   output  one file (or one file a picture); no pads.
 *
 * Geometry speaks of the picture as shown: where a video stream with a display matrix is decoded,
 * its frames are turned upright before anything sees them, and the matrix is dropped; where it is
 * copied, the matrix stays.
 *
 * A plan is built by one thread. While a pipeline runs it, nobody may add to it.
 * Functions that add return the new node's number (>= 0) or a negative error code.
 */
#ifndef LUMA_ENGINE_PLAN_H
#define LUMA_ENGINE_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/error.h"
#include "engine/media.h"
#include "engine/policy.h"

struct plan;

enum plan_kind {
    PLAN_INPUT,
    PLAN_PICK,
    PLAN_FILTER,
    PLAN_BURN,
    PLAN_PALETTE,
    PLAN_ENCODE,
    PLAN_COPY,
    PLAN_SEQUENCE,
    PLAN_MEASURE,
    PLAN_OUTPUT,
};

struct plan_edge {
    int node; /* -1: none */
    int pad;
};

enum plan_flow { PLAN_PACKETS, PLAN_FRAMES };

/* What an edge carries, as far as it is known before the run. Unknown values are 0, NAN or "". */
struct plan_type {
    enum plan_flow flow;
    enum AVMediaType kind;
    int source_node, source_stream; /* the input stream whose language, title, disposition and
                                       duration this follows; -1 if there is no single one */
    const char *codec;              /* packets only */
};

struct plan_option {
    const char *name;
    const char *value; /* as av_opt_set takes it */
};

/* limits may be NULL for the defaults of policy.h; it is copied. NULL when out of memory. */
struct plan *plan_create(const struct policy_limits *limits);
void plan_destroy(struct plan **plan);

/* The folder of the assets that filters' options may name (asset.h); copied. NULL: none. */
int plan_set_assets(struct plan *plan, const char *folder, struct error *e);
const char *plan_assets(const struct plan *plan);

/* Opens and probes a file. The path is for opening only; label is what messages and default
 * output names use. cancel (may be NULL) must outlive the plan. */
int plan_add_input(struct plan *plan, const char *path, const char *label, atomic_int *cancel,
                   struct error *e);

/* The same file as an earlier input node, limited to [start, stop) in seconds from its beginning
 * (the earliest timestamp of its streams is 0). stop may be INFINITY. A range of a range is what
 * both have in common. Nothing is opened anew. */
int plan_add_range(struct plan *plan, int input, double start, double stop, struct error *e);

/* Single frames of an input's video stream: for each time (seconds from the input's beginning,
 * any order) the frame that is shown then, or with nearest_keyframe the nearest keyframe, which
 * costs one decoded frame each. Frames come out in ascending time, duplicates kept. A time at or
 * past the end gives the last frame. times is copied. */
int plan_add_pick(struct plan *plan, struct plan_edge video, const double *times, int count,
                  bool nearest_keyframe, struct error *e);

/* A filter by name over the given edges, one for each of its input pads. Refused: filters and
 * options that policy.h refuses; unknown names, with the nearest one; more frames kept at once than
 * the policy allows. The error's path is the option's ("scale.w") or the filter's. Source filters
 * (color, sine, ...) take no edges. */
int plan_add_filter(struct plan *plan, const char *filter, const struct plan_edge *inputs,
                    int input_count, const struct plan_option *options, int option_count,
                    struct error *e);

/* Draws subtitles onto video (frames, or an input's stream, which is then decoded). `subtitle` is a
 * pad of an input or range, of text or of pictures; the beginning of its range is shown with the
 * beginning of the video's. Options, for text: font (a family), size (of a line) and outline (its
 * thickness), both in percent of the picture's height, color, outline_color, position (bottom,
 * middle, top); what isn't given is as the subtitles have it. */
int plan_add_burn(struct plan *plan, struct plan_edge video, struct plan_edge subtitle,
                  const struct plan_option *options, int option_count, struct error *e);

/* Brings video (frames, or an input's stream, which is then decoded) down to the colours of one
 * palette, which is made of all its frames (palette.h); an encoder takes them from there. They are
 * put aside on disk until the last has come. Options: colors (2 to 256; 256), dither (sierra2_4a),
 * bayer_scale, alpha_threshold, stable, tolerance as in struct palette_mapper_options, transparency
 * (true: keep an entry for it). */
int plan_add_palette(struct plan *plan, struct plan_edge input, const struct plan_option *options,
                     int option_count, struct error *e);

/* Encodes frames (or an input's stream, which is then decoded). codec is a codec's name ("h264",
 * for which the engine picks the encoder) or an encoder's ("libx264"). Options that the engine
 * reads itself:
 *   bitrate, max_bitrate, buffer_size, quality (qscale), gop, passes (1 or 2), pixel_format,
 * sample_format, sample_rate, channels, layout, frame_rate, threads, profile, level, language,
 * title, default, forced (of the track) time_factor, time_offset (of a subtitle: its times are
 * multiplied, then so many seconds added) Every other option goes to the encoder and is checked
 * against its own. Pixel format, sample format and rate that the encoder can't take are converted
 * to the nearest it can. Subtitles: text to text only. */
int plan_add_encode(struct plan *plan, struct plan_edge input, const char *codec,
                    const struct plan_option *options, int option_count, struct error *e);

/* Copies an input's packets. bsf is a bitstream filter list ("h264_mp4toannexb") or NULL; what
 * the container itself demands is added by the muxer. Options: language, title, default, forced,
 * and, except of video and audio, time_factor and time_offset. */
int plan_add_copy(struct plan *plan, struct plan_edge input, const char *bsf,
                  const struct plan_option *options, int option_count, struct error *e);

struct plan_segment {
    struct plan_edge edge;
    double duration; /* seconds until the next segment begins; 0 or NAN: as long as it is itself */
};

/* One track out of segments, each of which begins where the one before ends; every segment's own
 * time 0 (of a range: its start) is its beginning. They are of one kind, and either frames or
 * packets.
 *
 * Frames (or streams of inputs, which are then decoded): the sequence is frames, to be filtered or
 * encoded as a whole. Sound that ends before its segment's duration is followed by silence, of
 * pictures the last is held; what is longer is cut. So tracks whose segments have the same
 * durations stay in step, to the sample.
 *
 * Packets, from copy and encode nodes of one codec: the sequence is packets, for an output. Of a
 * copied range of video come exactly the packets shown in it: its start is the time of a keyframe,
 * whose leading pictures are left out, and it ends with the first packet that is shown at its stop
 * or later. They are the input's own, bit for bit, except that behind other segments the first of
 * MPEG-4 may have the stream's header put in front, and the first of an open group of HEVC says
 * that coding begins anew. Copied sound is cut to the packet, at most half a packet off, which
 * never adds up. Video may mix both: where that can't be joined so that a decoder doesn't notice,
 * it is refused with the reason. Sound may not, since an encoder begins with silence of its own.
 *
 * Inputs are opened when their segment is due and closed behind it. The list is copied. */
int plan_add_sequence(struct plan *plan, const struct plan_segment *segments, int count,
                      struct error *e);

/* Runs frames (or an input's stream, which is then decoded) to nowhere; what filters before it
 * reported is in the pipeline's result (measure.h), with each_frame also that of every frame. A
 * measure runs only when it is asked for by its number among the outputs of a run. */
int plan_add_measure(struct plan *plan, struct plan_edge input, bool each_frame, struct error *e);

struct plan_chapter {
    double start, stop;           /* seconds of the output */
    const AVDictionary *metadata; /* its title and other tags; may be NULL */
};

struct plan_output {
    const char *name; /* file name for people, a label, never a path; NULL: from the first input */
    const char *format;             /* "mp4", "mkv", "webm", "mp3", "jpg", ...: see formats.h */
    const struct plan_edge *tracks; /* of encode and copy nodes */
    int track_count;
    const AVDictionary *metadata;        /* global tags; copied */
    int metadata_from;                   /* input node whose global tags come first, or -1 */
    int chapters_from;                   /* input node whose chapters are kept, or -1 */
    const struct plan_chapter *chapters; /* else, if not NULL, these; copied */
    int chapter_count;
    bool faststart;    /* mp4 family: index in front; others: nothing */
    int64_t max_size;  /* bytes; 0: only the policy's limit. Exceeded: limit_exceeded */
    bool each_picture; /* one file a packet of the only track, named "<stem>-<n>.<ext>" */
    const struct plan_option *options; /* the muxer's own: loop of gif and webp, plays of apng */
    int option_count;
};

/* A track of a palette stands alone in its file, since the others would wait for its last frame.
 * Checks that the container takes every codec, and so many tracks of a kind; that no track goes on
 * for ever; and makes the name safe: no folder, the format's extension, not the same twice. */
int plan_add_output(struct plan *plan, const struct plan_output *output, struct error *e);

/* ---- looking at a plan ---- */

int plan_node_count(const struct plan *plan);
enum plan_kind plan_node_kind(const struct plan *plan, int node);
int plan_pad_count(const struct plan *plan, int node);
/* False if there is no such edge. */
bool plan_edge_type(const struct plan *plan, struct plan_edge edge, struct plan_type *type);
/* The media of an input (or range) node. Lives as long as the plan. */
const struct media *plan_input_media(const struct plan *plan, int input);
/* The file name that an output will have ("holiday.mp4"); for each_picture that of its nth file
 * (from 0) into the caller's buffer, else n is ignored. */
void plan_output_name(const struct plan *plan, int output, int n, char *name, size_t size);

/* True if the container takes the stream's packets as they are; else the reason is in e (with
 * ERROR_INVALID_OPTION). */
bool plan_can_copy(const struct plan *plan, struct plan_edge input, const char *format,
                   struct error *e);

/* Processor seconds that the outputs are likely to cost on one core of today: a coarse estimate
 * from pixels, samples, codecs and presets. outputs NULL: all of the plan's. */
double plan_cost(const struct plan *plan, const int *outputs, int output_count);

enum plan_style { PLAN_STYLE_TEXT, PLAN_STYLE_DOT, PLAN_STYLE_FFMPEG };

/* The plan as a person reads it, deterministic and without paths; *text is malloc'ed. FFMPEG: the
 * nearest ffmpeg command line. outputs NULL: all. */
int plan_explain(const struct plan *plan, const int *outputs, int output_count,
                 enum plan_style style, char **text, struct error *e);

/* What an edge carries and how it came about, as one line: "video: scale(w=320, h=-2) of
 * hue(s=0) of stream 0 of clip.mp4". Cut where the text is full. */
void plan_explain_edge(const struct plan *plan, struct plan_edge edge, char *text, size_t size);

#endif
