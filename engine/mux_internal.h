/*
 * What the files of the mux stage share: mux.c puts packets in order and writes them, mux_open.c
 * makes the container with its tracks, tags and chapters, mux_room.c leaves room for an index.
 */
#ifndef LUMA_ENGINE_MUX_INTERNAL_H
#define LUMA_ENGINE_MUX_INTERNAL_H

#include <libavcodec/bsf.h>

#include "engine/io.h"
#include "engine/pipeline_internal.h"

/* A packet that waits for its turn. */
struct mux_packet {
    struct mux_packet *next;
    AVPacket *packet;
};

struct mux_track {
    const struct plan_node *node; /* encode or copy */
    int input_node;               /* where the track's language and the like come from; -1 none */
    int input_stream;
    enum AVMediaType kind;
    bool sparse; /* few packets: nobody waits for it */
    bool cover;  /* an attached picture */
    const struct port *from;
    AVDictionary *tags; /* of the source, with the plan's own */
    AVPacket *picture;  /* a cover that the container stores as an attachment, else NULL */
    int disposition;
    const char *demuxer;             /* copies: where it was, "" else */
    double time_factor, time_offset; /* its times are multiplied and moved so many seconds */
    int64_t expected_packets;        /* copies: by what their container says; 0 unknown */
    double expected_bytes;

    AVStream *stream;
    AVBSFContext *bsf;
    bool ready, ended;
    int scheduled; /* the group's number of this track */
    struct mux_packet *first, **last;

    int64_t last_dts; /* on the stream's time base */
    int64_t received, packets, bytes;
    double reached; /* seconds: the furthest end of a packet that came */
    double start, end;
    _Atomic int64_t time; /* AV_TIME_BASE units written; AV_NOPTS_VALUE before */
    _Atomic bool finished;
};

struct mux {
    struct stage stage;
    const struct plan_node *node;
    int number; /* the node's */
    char name[256];
    struct mux_track *tracks;
    int track_count;
    AVDictionary *tags;
    AVChapter **chapters;
    unsigned chapter_count;

    AVFormatContext *context;
    struct io_writer *writer;
    struct io_account account;
    AVPacket *packet;
    bool header_written, interleaved; /* interleaved: the first packets went out */
    bool finished;                    /* the trailer is written */
    size_t held;                      /* bytes that wait */
    int64_t room, room_at;            /* left in front for the index: bytes (0: none), offset */
};

/* Before the start: what is taken from the plan and the inputs. */
int mux_prepare(struct mux *mux, struct error *e);
/* Creates the file and its container; the tracks come with mux_add_streams(). */
int mux_open(struct mux *mux);
/* Called once every track's parameters are known; writes the header. */
int mux_write_header(struct mux *mux);
/* Sets up a track whose parameters have just become known: its bitstream filters. */
int mux_open_track(struct mux *mux, struct mux_track *track);
/* With all streams made: bytes to leave in front for the index, 0: none. */
int64_t mux_room_wanted(const struct mux *mux);
/* The header has been written, with so much room left. */
void mux_room_note(struct mux *mux, int64_t room);
/* Before the trailer: gives up room that is too small. 0 or an AVERROR. */
int mux_room_check(struct mux *mux);
/* Why writing failed, as an error code with its sentence. */
int mux_failed(struct mux *mux, int averror, const char *what);

#endif
