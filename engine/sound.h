/*
 * Small work on frames of sound.
 */
#ifndef LUMA_ENGINE_SOUND_H
#define LUMA_ENGINE_SOUND_H

#include <libavutil/frame.h>

/* Drops samples from the front by moving the data pointers; the timestamp, on a clock of samples,
 * moves along. */
void sound_skip(AVFrame *frame, int samples);

/* A new frame of silence in the format of another, without a timestamp; NULL when out of memory. */
AVFrame *sound_silence(const AVFrame *like, int samples);

#endif
