/*
 * What the files of the encode stage share: encode.c runs it, encode_open.c turns a plan's
 * settings and a first frame into an open encoder.
 */
#ifndef LUMA_ENGINE_ENCODE_INTERNAL_H
#define LUMA_ENGINE_ENCODE_INTERNAL_H

#include "engine/pipeline_internal.h"

/* How long each frame is shown, kept until its packet comes out. */
enum { FRAME_TIMES = 1024 };

struct frame_time {
    int64_t pts, duration; /* on the encoder's time base */
};

struct encode {
    struct stage stage;
    const struct plan_node *node;
    struct frame_spec spec;

    /* what the outputs ask for; fixed before the start */
    bool global_header;
    bool constant_rate; /* a container or a codec without room for other timing */
    bool on_grid;       /* timestamps count frames, some may be missing */
    bool in_order;      /* no times are told: pictures are shown in the order of their packets */
    AVRational forced_rate; /* the setting frame_rate; num 0 without */
    bool pictures;          /* every packet is a file */
    enum AVCodecID codec_id;
    bool direct;     /* frames come straight from a decoder, with their own durations */
    int source_bits; /* significant bits of the source's samples, 0 unknown */

    /* between copied segments: the stream that it is to be like, else NULL */
    const struct media_stream *leader;
    int join_id; /* of its parameter sets */
    AVRational join_time_base;

    /* the task's own */
    AVCodecContext *codec;
    struct track_format format;
    AVRational frame_rate; /* of what is encoded; num 0 if it varies */
    bool steady;
    struct chain convert, chunk;
    AVFrame *frame;
    AVPacket *packet, *held;
    int64_t origin;    /* timestamp of the first frame, where the grid of a steady rate begins */
    int64_t last;      /* timestamp of the last frame, on the encoder's time base */
    int64_t last_from; /* the same before rounding, on the frames' time base */
    int64_t step;      /* between the last two */
    int64_t taken;     /* end of the last frame taken in, AV_TIME_BASE units */
    struct frame_time times[FRAME_TIMES];
    int64_t time_count;
    int64_t frames, packets;
    int64_t dropped;
    int scheduled; /* first pass: the track by which its sources are held back */
};

/* Fills in spec, codec_id and what the outputs ask for. */
int encode_prepare(struct encode *encode, struct error *e);

/* Opens the encoder for frames like this one (converted already). */
int encode_open(struct encode *encode, const AVFrame *frame);

/* Of an encode that is a segment of a sequence: sets leader and what belongs to it, if it stands
 * between copied segments; then the spec; the context and the options of
 * an encoder that is about to open. */
void encode_join(struct encode *encode, const struct plan *plan, const struct plan_node *sequence,
                 int segment);
void encode_join_prepare(struct encode *encode);
void encode_join_context(struct encode *encode);
int encode_join_options(struct encode *encode, AVDictionary **options);

/* What such an encoder's header will be, before it runs, and by how many packets it reorders. sets
 * is the caller's to finish. */
struct nal_bytes;
int encode_join_header(struct run *run, const struct plan_node *sequence, int segment,
                       struct nal_bytes *sets, int *delay, struct error *e);

/* In a first pass, whose packets go nowhere: it stands for the output's track. */
int encode_schedule(struct stage *stage, struct port *from, struct error *e);

/* A constant rate that the encoder takes. */
AVRational encode_constant_rate(const struct encode *encode, AVRational rate);

#endif
