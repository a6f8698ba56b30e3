/*
 * One scaler, made anew whenever what comes in changes again.
 */
#include "engine/uniform.h"

#include <libswscale/swscale.h>

int uniform_frame(struct uniform *uniform, AVFrame *frame, struct error *e)
{
    if (!uniform->width) {
        *uniform = (struct uniform){.width = frame->width,
                                    .height = frame->height,
                                    .format = frame->format,
                                    .aspect = frame->sample_aspect_ratio};
    }
    if (frame->width == uniform->width && frame->height == uniform->height &&
        frame->format == uniform->format)
        return 0;
    uniform->scaler = sws_getCachedContext(uniform->scaler, frame->width, frame->height,
                                           frame->format, uniform->width, uniform->height,
                                           uniform->format, SWS_BICUBIC, NULL, NULL, NULL);
    if (!uniform->scaler) {
        return error_set(e, ERROR_UNSUPPORTED_MEDIA,
                         "the picture changes on the way, to a format that can't be converted");
    }
    AVFrame *scaled = av_frame_alloc();
    if (!scaled)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a frame");
    scaled->width = uniform->width;
    scaled->height = uniform->height;
    scaled->format = uniform->format;
    int code = av_frame_get_buffer(scaled, 0);
    if (code >= 0)
        code = av_frame_copy_props(scaled, frame);
    if (code >= 0) {
        code = sws_scale(uniform->scaler, (const uint8_t *const *)frame->data, frame->linesize, 0,
                         frame->height, scaled->data, scaled->linesize);
    }
    if (code >= 0) {
        scaled->sample_aspect_ratio = uniform->aspect;
        av_frame_unref(frame);
        av_frame_move_ref(frame, scaled);
    }
    av_frame_free(&scaled);
    return code < 0 ? error_set_av(e, ERROR_INTERNAL, code, "a frame can't be scaled") : 0;
}

void uniform_finish(struct uniform *uniform)
{
    sws_freeContext(uniform->scaler);
    *uniform = (struct uniform){0};
}
