/*
 * Small clips for tests of plans: made once by the ffmpeg program in a folder of their own, which
 * clips_finish() removes.
 */
#ifndef LUMA_TESTS_UNIT_PLAN_CLIPS_H
#define LUMA_TESTS_UNIT_PLAN_CLIPS_H

#include <libavformat/avformat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct clips {
    char folder[64];
    char mp4[96]; /* 2 s: h264 320x240 25 fps, aac 48000 Hz stereo */
    char mkv[96]; /* 2 s: mpeg4 320x240, vorbis, subrip */
    char mp3[96]; /* 1 s, with a cover in png */
    char pgs[96]; /* bitmap subtitles only */
};

static inline int clips_make(struct clips *clips, const char *file, size_t size, char *path,
                             const char *arguments)
{
    char command[1024];
    snprintf(path, size, "%s/%s", clips->folder, file);
    snprintf(command, sizeof command, "ffmpeg -v error -nostdin -y %s '%s'", arguments, path);
    return system(command);
}

/* A Matroska file with one PGS track, which no encoder makes. */
static inline int clips_make_pgs(struct clips *clips)
{
    AVFormatContext *muxer = NULL;
    snprintf(clips->pgs, sizeof clips->pgs, "%s/bitmap.mkv", clips->folder);
    if (avformat_alloc_output_context2(&muxer, NULL, "matroska", clips->pgs) < 0 ||
        avio_open(&muxer->pb, clips->pgs, AVIO_FLAG_WRITE) < 0) {
        return -1;
    }
    AVStream *stream = avformat_new_stream(muxer, NULL);
    stream->codecpar->codec_type = AVMEDIA_TYPE_SUBTITLE;
    stream->codecpar->codec_id = AV_CODEC_ID_HDMV_PGS_SUBTITLE;
    stream->time_base = (AVRational){1, 1000};
    int result = avformat_write_header(muxer, NULL);
    AVPacket *packet = av_packet_alloc();
    for (int i = 0; result >= 0 && i < 3; i++) {
        av_new_packet(packet, 3);
        memset(packet->data, 0, 3);
        packet->data[0] = 0x80; /* end of a display set */
        packet->pts = packet->dts = i * 500;
        packet->duration = 500;
        packet->flags = AV_PKT_FLAG_KEY;
        result = av_write_frame(muxer, packet);
        av_packet_unref(packet);
    }
    av_packet_free(&packet);
    result = result < 0 ? result : av_write_trailer(muxer);
    avio_closep(&muxer->pb);
    avformat_free_context(muxer);
    return result;
}

static inline int clips_init(struct clips *clips)
{
    const char *base = getenv("TMPDIR");
    snprintf(clips->folder, sizeof clips->folder, "%.40s/luma-plan-XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(clips->folder)) {
        return -1;
    }
    char srt[96];
    snprintf(srt, sizeof srt, "%s/s.srt", clips->folder);
    FILE *file = fopen(srt, "w");
    if (!file) {
        return -1;
    }
    fputs("1\n00:00:00,100 --> 00:00:01,000\nHello\n", file);
    fclose(file);
    char with_srt[512];
    snprintf(with_srt, sizeof with_srt,
             "-f lavfi -i testsrc2=s=320x240:r=25:d=2 -f lavfi -i sine=d=2:r=48000 -i '%s' "
             "-c:v mpeg4 -c:a libvorbis -ac 2 -c:s srt -metadata:s:a:0 language=deu",
             srt);
    return clips_make(clips, "clip.mp4", sizeof clips->mp4, clips->mp4,
                      "-f lavfi -i testsrc2=s=320x240:r=25:d=2 -f lavfi -i sine=d=2:r=48000 "
                      "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac -ac 2 "
                      "-metadata:s:a:0 language=eng") ||
           clips_make(clips, "clip.mkv", sizeof clips->mkv, clips->mkv, with_srt) ||
           clips_make(clips, "cover.mp3", sizeof clips->mp3, clips->mp3,
                      "-f lavfi -i sine=d=1:r=44100 -f lavfi -i color=red:s=64x64:d=0.04 -map 0 "
                      "-map 1 -c:a libmp3lame -c:v png -disposition:v attached_pic") ||
           clips_make_pgs(clips) < 0;
}

static inline void clips_finish(struct clips *clips)
{
    char command[96];
    snprintf(command, sizeof command, "rm -rf '%s'", clips->folder);
    if (system(command) != 0) {
        fprintf(stderr, "%s is left behind\n", clips->folder);
    }
}

#endif
