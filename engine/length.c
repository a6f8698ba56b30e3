/*
 * Reads a second context on the input's own reader, which nobody else uses while a plan is built.
 */
#include "engine/length.h"

#include <math.h>

#include "engine/plan_internal.h"
#include "engine/timestamp.h"

/* What the latest packet lasts to, in seconds from the file's start; NAN if none has a time. */
static int read_to_end(AVFormatContext *context, const struct plan_file *file, double *end,
                       struct error *e)
{
    AVPacket *packet = av_packet_alloc();
    if (!packet) {
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a packet");
    }
    int code = 0;
    *end = NAN;
    while (code == 0 && av_read_frame(context, packet) >= 0) {
        const AVStream *stream = context->streams[packet->stream_index];
        int64_t time = packet->pts != AV_NOPTS_VALUE ? packet->pts : packet->dts;
        double at = (double)time * av_q2d(stream->time_base) - file->start;
        bool timed = time != AV_NOPTS_VALUE && fabs(at) <= TIMESTAMP_MOST_SECONDS;
        if (timed && !(stream->disposition & AV_DISPOSITION_ATTACHED_PIC)) {
            int64_t length = timestamp_tame_length(packet->duration, stream->time_base);
            at += (double)length * av_q2d(stream->time_base);
            *end = fmax(at, *end); /* fmax takes the other for a NAN */
        }
        av_packet_unref(packet);
        if (file->cancel && atomic_load(file->cancel)) {
            code = error_set(e, ERROR_CANCELLED, "cancelled");
        }
    }
    av_packet_free(&packet);
    return code;
}

int length_of_input(const struct plan *plan, int input, double *seconds, struct error *e)
{
    const struct media *media = plan_input_media(plan, input);
    if (!media) {
        return error_set(e, ERROR_INTERNAL, "node %d is no input", input);
    }
    *seconds = media->duration;
    if (isfinite(media->duration) && media->duration > 0) {
        return 0;
    }
    const struct plan_file *file = plan->nodes[input]->file;
    AVFormatContext *context = NULL;
    int code = media_open_context(&context, file->reader, file->label, file->cancel, NULL, e);
    if (code < 0) {
        return code;
    }
    code = read_to_end(context, file, seconds, e);
    media_close_context(&context);
    return code;
}
