/*
 * Room for the index in front of the media, in files of the mp4 family.
 *
 * The index of such a file is known when all packets are written, and belongs in front, where a
 * player finds it first. The muxer's usual way is a second pass that moves the whole file. If most
 * of the packets are copied, it is known beforehand about how many will come: then room is left for
 * the index, and what isn't needed of it becomes a free box. Room is left only where it is small
 * beside the media. When the packets are counted in the end and the room turns out too small, it
 * becomes a free box as a whole, and the second pass comes after all.
 */
#include <libavutil/opt.h>
#include <string.h>

#include "engine/compat.h"
#include "engine/mux_internal.h"

enum {
    /* The most that the tables of a track say of a packet: stts 8, ctts 8, stsz 4, stss 4, stsc 12,
     * co64 8, sdtp 1, sbgp 8, and alignment; ISO/IEC 14496-12, 8.6 to 8.9. */
    PACKET_ENTRIES = 56,
    BOXES = 4096,    /* all that doesn't grow with the packets, of the file and of each track */
    TAG_BOXES = 64,  /* around a tag or a chapter's title */
    MDAT_HEAD = 16,  /* what the muxer writes behind the room before the first packet */
    SMALL_PART = 64, /* the media is at least so many times as large as the room */
    SLACK = 4096,    /* tags of the muxer's own, a packet more than was said */
};

static int64_t tag_bytes(const AVDictionary *tags)
{
    const AVDictionaryEntry *entry = NULL;
    int64_t sum = 0;
    while ((entry = av_dict_get(tags, "", entry, AV_DICT_IGNORE_SUFFIX)))
        sum += (int64_t)(strlen(entry->key) + strlen(entry->value)) + TAG_BOXES;
    return sum;
}

/* The most that the index can take, with so many packets in all tracks. */
static int64_t index_most(const struct mux *mux, int64_t packets)
{
    const AVFormatContext *context = mux->context;
    int64_t sum = BOXES + tag_bytes(context->metadata);
    for (unsigned i = 0; i < context->nb_chapters; i++) /* once as a list, once as a track */
        sum += 2 * (tag_bytes(context->chapters[i]->metadata) + PACKET_ENTRIES);
    for (unsigned i = 0; i < context->nb_streams; i++) {
        const AVStream *stream = context->streams[i];
        int count = 0;
        const AVPacketSideData *side = compat_stream_side_data_list(stream, &count);
        sum += 2 * BOXES + stream->codecpar->extradata_size + tag_bytes(stream->metadata);
        for (int k = 0; k < count; k++)
            sum += (int64_t)side[k].size + TAG_BOXES;
    }
    return sum + packets * PACKET_ENTRIES;
}

int64_t mux_room_wanted(const struct mux *mux)
{
    int64_t packets = 0;
    double bytes = 0;
    for (int i = 0; i < mux->track_count; i++) {
        const struct mux_track *track = &mux->tracks[i];
        if (track->cover || track->expected_packets <= 0)
            return 0;
        packets += track->expected_packets;
        bytes += track->expected_bytes;
    }
    int64_t room = index_most(mux, packets) + SLACK;
    return (double)room * SMALL_PART <= bytes ? room : 0;
}

int mux_room_check(struct mux *mux)
{
    int64_t packets = 0;
    for (int i = 0; i < mux->track_count; i++)
        packets += mux->tracks[i].packets;
    if (mux->room == 0 || index_most(mux, packets) <= mux->room)
        return 0;
    AVIOContext *io = mux->context->pb;
    int64_t end = avio_tell(io);
    avio_seek(io, mux->room_at, SEEK_SET);
    avio_wb32(io, (unsigned)mux->room);
    avio_wl32(io, MKTAG('f', 'r', 'e', 'e'));
    avio_seek(io, end, SEEK_SET);
    int code = av_opt_set_int(mux->context->priv_data, "moov_size", 0, 0);
    return code < 0 ? code : av_opt_set(mux->context->priv_data, "movflags", "+faststart", 0);
}

void mux_room_note(struct mux *mux, int64_t room)
{
    mux->room = room;
    mux->room_at = avio_tell(mux->context->pb) - MDAT_HEAD - room;
}
