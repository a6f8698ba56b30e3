/*
 * Contexts on the plan's files, one for each task that reads.
 *
 * A context that the plan has kept has been probed already and stands at the beginning, so the
 * first task that reads the file gets it; everybody else opens the path again. It happens on the
 * thread that calls pipeline_run(), before any task runs, and on those of sequences, which open the
 * inputs of one segment after the other.
 */
#include <math.h>

#include "engine/charset.h"
#include "engine/compat.h"
#include "engine/io.h"
#include "engine/pipeline_internal.h"

int source_open(struct source *source, struct run *run, struct plan_file *file, struct error *e)
{
    *source = (struct source){.file = file};
    if (file->context && !atomic_exchange(&file->taken, true)) {
        source->context = file->context;
        io_watch(source->context->pb, run->cancel);
        return 0;
    }
    int code = io_reader_open_file(&source->reader, file->path, file->label, e);
    if (code < 0)
        return code;
    code = charset_translate(&source->reader, file->label, e);
    if (code >= 0) {
        code = media_open_context(&source->context, source->reader, file->label, file->cancel, NULL,
                                  e);
    }
    if (code < 0) {
        io_reader_close(&source->reader);
        return code;
    }
    io_watch(source->context->pb, run->cancel);
    return 0;
}

void source_close(struct source *source)
{
    if (!source->context)
        return;
    io_watch(source->context->pb, NULL);
    if (source->reader)
        media_close_context(&source->context);
    io_reader_close(&source->reader);
    source->context = NULL;
}

void source_rewind(struct source *source)
{
    AVFormatContext *context = source->context;
    /* Formats without an index begin again at any byte. */
    bool by_bytes = (context->iformat->flags & AVFMT_TS_DISCONT) &&
                    !(context->iformat->flags & AVFMT_NO_BYTE_SEEK);
    if (by_bytes && avformat_seek_file(context, -1, 0, 0, 0, AVSEEK_FLAG_BYTE) >= 0)
        return;
    int64_t start = llrint(source->file->start * AV_TIME_BASE);
    if (avformat_seek_file(context, -1, INT64_MIN, start, start, 0) < 0)
        av_seek_frame(context, -1, start, AVSEEK_FLAG_BACKWARD);
}

int track_format_init(struct track_format *format)
{
    format->holder = avformat_alloc_context();
    format->stream = format->holder ? avformat_new_stream(format->holder, NULL) : NULL;
    return format->stream ? 0 : AVERROR(ENOMEM);
}

int track_format_copy(struct track_format *format, const AVStream *stream)
{
    return media_copy_stream(format->stream, stream);
}

void track_format_finish(struct track_format *format)
{
    avformat_free_context(format->holder);
    *format = (struct track_format){0};
}
