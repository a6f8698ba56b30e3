/*
 * What the files of the sequence stage share.
 *
 * A sequence is a source: its thread runs what gives each segment as a run of its own (a child of
 * the task group), one after the other, so that only one segment's inputs, decoders and graphs
 * exist at a time. Such a run ends in a segment stage (segment.c), which hands what comes to the
 * sequence's one port with its time moved: sequence_frames.c for frames, sequence_packets.c for
 * packets. While a segment runs, the struct belongs to the segment's thread; in between, to the
 * sequence's own.
 *
 * Time is kept in units of 1/705600000 s, in which a frame of every usual rate (24000/1001 and its
 * like too), a sample of every usual rate and a tick of 90 kHz last a whole number: nothing adds
 * up over any number of joins.
 */
#ifndef LUMA_ENGINE_SEQUENCE_INTERNAL_H
#define LUMA_ENGINE_SEQUENCE_INTERNAL_H

#include "engine/hevc_ids.h"
#include "engine/nal.h"
#include "engine/pipeline_internal.h"

enum { SEQUENCE_CLOCK = 705600000, REORDER_MOST = 16 };
#define SEQUENCE_TIME_BASE ((AVRational){1, SEQUENCE_CLOCK})

struct sequence {
    struct stage stage;
    const struct plan_node *node;
    int number; /* the node's */
    struct source_progress progress;

    int segment;
    int64_t zero;   /* where the segment begins */
    int64_t length; /* it lasts exactly so long; INT64_MAX: as long as it is */
    int64_t end;    /* the furthest end of what has been sent */
    bool begun;     /* something has been sent */
    bool finished;  /* nobody wants more */

    /* frames */
    AVFrame *last; /* the last that was sent */
    int64_t step;  /* from picture to picture; 0 unless the rate is steady */

    /* packets */
    struct track_format format;
    int64_t range; /* of a copy: where it stops, on its own clock; INT64_MAX: nowhere */
    bool whole;    /* of a copy: from the very beginning of its input */
    bool started;  /* the segment's first packet has been sent */
    int64_t shift; /* of sound: what the segment's packets are moved by beside zero */
    int delay;     /* packets by which decoding runs ahead of showing */
    int64_t shown[REORDER_MOST + 1]; /* of the latest packets, ascending, on the track's clock */
    int shown_count;
    int64_t last_dts;
    int prefix; /* of NAL units, in H.264 and HEVC */

    /* packets, some of which are encoded (the node has a join) */
    struct nal_bytes sets[NAL_IDS]; /* of encoders, by their number */
    struct hevc_ids ids[NAL_IDS];   /* of HEVC: how they get that number */
};

/* Runs the segment that is due to its end. 0 or an error code, also when the run was aborted. */
int sequence_run_segment(struct sequence *sequence);

/* Before a segment's first item. */
void sequence_begin_segment(struct sequence *sequence);

/* Take what a segment gives: 0, TASK_STOP if it needs give no more, or an error code with its
 * sentence in e. `from` is the port that it comes from. */
int sequence_take_frame(struct sequence *sequence, const struct port *from, AVFrame *frame,
                        struct error *e);
int sequence_take_packet(struct sequence *sequence, bool copied, AVPacket *packet, struct error *e);
/* The first segment's parameters are known; parameters may be NULL for those of the format. */
int sequence_open(struct sequence *sequence, const struct track_format *format,
                  const AVCodecParameters *parameters, struct error *e);

/* The copied stream of a join is turned by the player, so what is encoded isn't turned here. */
bool sequence_is_turned(const struct sequence *sequence);
/* With a join, before the first segment. */
int sequence_join_open(struct sequence *sequence, struct error *e);
/* Makes a packet of video fit to the track. */
int sequence_join_packet(struct sequence *sequence, bool copied, AVPacket *packet, struct error *e);

/* Fills with held pictures or silence up to a time. */
int sequence_fill(struct sequence *sequence, int64_t until, struct error *e);

/* Notes how far the track has come. */
void sequence_note(struct sequence *sequence, int64_t end);

static inline struct port *sequence_port(struct sequence *sequence)
{
    return &sequence->stage.task.ports[0];
}

#endif
