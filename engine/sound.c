/*
 * Sound in frames: see sound.h.
 */
#include "engine/sound.h"

#include <libavutil/channel_layout.h>
#include <libavutil/samplefmt.h>

#include "engine/compat.h"

void sound_skip(AVFrame *frame, int samples)
{
    int bytes = av_get_bytes_per_sample(frame->format);
    int planes = frame->ch_layout.nb_channels;
    if (!av_sample_fmt_is_planar(frame->format)) {
        bytes *= planes;
        planes = 1;
    }
    for (int i = 0; i < planes; i++)
        frame->extended_data[i] += (ptrdiff_t)samples * bytes;
    for (int i = 0; i < planes && i < AV_NUM_DATA_POINTERS; i++)
        frame->data[i] = frame->extended_data[i];
    frame->nb_samples -= samples;
    frame->pts += samples;
    compat_frame_set_duration(frame, frame->nb_samples);
}

AVFrame *sound_silence(const AVFrame *like, int samples)
{
    AVFrame *frame = av_frame_alloc();
    if (!frame)
        return NULL;
    frame->format = like->format;
    frame->sample_rate = like->sample_rate;
    frame->time_base = like->time_base;
    frame->nb_samples = samples;
    if (av_channel_layout_copy(&frame->ch_layout, &like->ch_layout) < 0 ||
        av_frame_get_buffer(frame, 0) < 0 ||
        av_samples_set_silence(frame->extended_data, 0, samples, frame->ch_layout.nb_channels,
                               frame->format) < 0)
        av_frame_free(&frame);
    if (frame)
        compat_frame_set_duration(frame, samples);
    return frame;
}
