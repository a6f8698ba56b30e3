/*
 * The differences between FFmpeg 5.1, 6.1 and 7.1, in one place. The rest of the tree is written
 * against the newer names and includes this.
 */
#ifndef LUMA_ENGINE_COMPAT_H
#define LUMA_ENGINE_COMPAT_H

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/frame.h>

#endif
