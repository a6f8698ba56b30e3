/*
 * The burn stage: subtitles drawn onto frames as they pass.
 *
 * Frames come through the queue, subtitles from a source of the stage's own (burn_source.h), which
 * is read as far as the frame's time needs: text some seconds further, as events of a track may
 * stand a little out of order, pictures up to the first that comes later. Frames in a format that
 * can't be drawn on are brought to the nearest that can.
 *
 * The fonts are looked for when the first frame comes, on the stage's thread.
 */
#include <libavutil/avutil.h>
#include <libavutil/eval.h>
#include <libavutil/parseutils.h>
#include <stdlib.h>
#include <string.h>

#include "engine/burn_picture.h"
#include "engine/burn_source.h"
#include "engine/burn_text.h"
#include "engine/compat.h"
#include "engine/pipeline_internal.h"

enum { QUEUE_FRAMES = 4, QUEUE_BYTES = 16 << 20, LOOK_AHEAD_MS = 10000 };

struct burn {
    struct stage stage;
    struct frame_spec spec; /* any size, what can be drawn on */
    struct burn_source source;
    struct burn_style style;
    struct burn_canvas canvas;

    /* the task's own */
    struct burn_text *text; /* of these two the one that the stream needs */
    struct burn_pictures *pictures;
    struct burn_ink ink;
    struct burn_event next; /* pictures: read, but not shown yet */
    bool has_next;
    int64_t shown_until; /* pictures: INT64_MAX while only the next one ends them */
    int64_t read_until;  /* text */
    struct chain convert;
    AVFrame *frame;
    bool began;
    int64_t taken; /* end of the last frame taken in, AV_TIME_BASE units */
};

static void burn_finish(struct stage *stage)
{
    struct burn *burn = (struct burn *)stage;
    burn_text_destroy(&burn->text);
    burn_pictures_destroy(&burn->pictures);
    avsubtitle_free(&burn->next.subtitle);
    burn_source_finish(&burn->source);
    chain_finish(&burn->convert);
    frame_spec_finish(&burn->spec);
    av_frame_free(&burn->frame);
}

const struct frame_spec *burn_spec(const struct stage *stage)
{
    return &((const struct burn *)stage)->spec;
}

static struct error *error_of(struct burn *burn)
{
    return &burn->stage.task.error;
}

static struct port *output(struct burn *burn)
{
    return &burn->stage.task.ports[0];
}

/* ---- subtitles up to a time ---- */

/* Reading on to the next event may mean reading a whole film. */
static bool stopped(struct burn *burn)
{
    return atomic_load(burn->stage.run->cancel) || atomic_load(&burn->stage.task.group->aborted);
}

static int add_text(struct burn *burn, const struct burn_event *event)
{
    int code = 0;
    for (unsigned i = 0; i < event->subtitle.num_rects && code == 0; i++) {
        const AVSubtitleRect *rect = event->subtitle.rects[i];
        /* Without a duration nothing says when it ends: a few seconds are usual. */
        int64_t duration = event->duration >= 0 ? event->duration : 5000;
        if (rect->ass)
            code = burn_text_add(burn->text, rect->ass, event->start, duration, error_of(burn));
    }
    return code;
}

static int read_text(struct burn *burn, int64_t time)
{
    int code = 1;
    while (code == 1 && burn->read_until - LOOK_AHEAD_MS < time) {
        struct burn_event event;
        code = burn_source_next(&burn->source, &event, error_of(burn));
        if (code != 1)
            break;
        burn->read_until = FFMAX(burn->read_until, event.start);
        int added = add_text(burn, &event);
        avsubtitle_free(&event.subtitle);
        code = added < 0 ? added : 1;
        if (stopped(burn))
            return TASK_STOP;
    }
    if (code == 0)
        burn->read_until = INT64_MAX;
    return FFMIN(code, 0);
}

static void show_next(struct burn *burn)
{
    struct burn_canvas canvas = burn->canvas;
    canvas.width = burn->source.decoder->width;
    canvas.height = burn->source.decoder->height;
    if (canvas.width <= 0 && burn->source.decoder->codec_id == AV_CODEC_ID_DVB_SUBTITLE) {
        canvas.width = 720; /* without a display definition (ETSI EN 300 743, 7.2.1) */
        canvas.height = 576;
    }
    burn->shown_until =
        burn->next.duration >= 0 ? burn->next.start + burn->next.duration : INT64_MAX;
    burn_pictures_show(burn->pictures, &burn->next.subtitle, &canvas);
    burn->has_next = false;
}

static int read_pictures(struct burn *burn, int64_t time)
{
    int code = 1;
    while (code == 1 && (!burn->has_next || burn->next.start <= time)) {
        if (burn->has_next)
            show_next(burn);
        code = burn_source_next(&burn->source, &burn->next, error_of(burn));
        burn->has_next = code == 1;
        if (stopped(burn))
            return TASK_STOP;
    }
    return FFMIN(code, 0);
}

static int draw(struct burn *burn, AVFrame *frame)
{
    if (frame->pts == AV_NOPTS_VALUE)
        return 0;
    int64_t time = av_rescale_q(frame->pts, frame->time_base, (AVRational){1, 1000});
    int code = burn->text ? read_text(burn, time) : read_pictures(burn, time);
    if (code != 0)
        return code;
    if (burn->text)
        return burn_text_draw(burn->text, &burn->ink, frame, time, error_of(burn));
    return time < burn->shown_until
               ? burn_pictures_draw(burn->pictures, &burn->ink, frame, error_of(burn))
               : 0;
}

/* ---- frames ---- */

static int begin(struct burn *burn)
{
    const struct port *from = burn->stage.task.from[0];
    struct error *e = error_of(burn);
    burn->began = true;
    output(burn)->frame_rate = from->frame_rate;
    output(burn)->steady = from->steady;
    burn->read_until = INT64_MIN / 2;
    if (!burn->source.text) {
        burn->pictures = burn_pictures_create();
        return burn->pictures ? 0 : error_set(e, ERROR_OUT_OF_MEMORY, "no memory for subtitles");
    }
    const AVCodecContext *decoder = burn->source.decoder;
    struct burn_text_settings settings = {
        .header = decoder->subtitle_header,
        .header_size = decoder->subtitle_header_size,
        .attachments = burn->source.source.context,
        .ass = decoder->codec_id == AV_CODEC_ID_ASS || decoder->codec_id == AV_CODEC_ID_SSA,
        .stored_width = burn->canvas.stored_width,
        .stored_height = burn->canvas.stored_height,
        .style = &burn->style,
    };
    return burn_text_create(&burn->text, &settings, e);
}

static int pass_on(struct burn *burn, AVFrame *frame)
{
    int code = draw(burn, frame);
    return code == 0 ? port_send_frame(output(burn), frame) : code;
}

static int drain_convert(struct burn *burn)
{
    int code = 0;
    while (code == 0 && (code = chain_pull(&burn->convert, burn->frame, error_of(burn))) == 1) {
        code = pass_on(burn, burn->frame);
        av_frame_unref(burn->frame);
    }
    return code;
}

static int flush_convert(struct burn *burn, int64_t end)
{
    if (!burn->convert.graph)
        return 0;
    int code = chain_end(&burn->convert, end != AV_NOPTS_VALUE ? end : burn->taken, error_of(burn));
    if (code == 0)
        code = drain_convert(burn);
    chain_finish(&burn->convert);
    return code;
}

static int begin_convert(struct burn *burn, const AVFrame *frame)
{
    struct error *e = error_of(burn);
    int threads = burn->stage.run->options->threads;
    int code = chain_begin(&burn->convert, frame, output(burn)->frame_rate, threads, e);
    if (code == 0)
        code = chain_convert(&burn->convert, &burn->spec, e);
    if (code == 0)
        code = chain_configure(&burn->convert, e);
    return code;
}

static int take_frame(struct burn *burn, AVFrame *frame)
{
    int code = burn->began ? 0 : begin(burn);
    if (code != 0)
        return code;
    if (frame->pts != AV_NOPTS_VALUE) {
        burn->taken = av_rescale_q(frame->pts + FFMAX(compat_frame_duration(frame), 0),
                                   frame->time_base, AV_TIME_BASE_Q);
    }
    bool takes = frame_spec_takes(&burn->spec, frame);
    if (burn->convert.graph && (takes || !frame_shape_fits(&burn->convert.shape, frame)))
        code = flush_convert(burn, AV_NOPTS_VALUE);
    if (code != 0 || takes)
        return code != 0 ? code : pass_on(burn, frame);
    if (!burn->convert.graph)
        code = begin_convert(burn, frame);
    if (code == 0)
        code = chain_push(&burn->convert, frame, error_of(burn));
    return code == 0 ? drain_convert(burn) : code;
}

static int burn_run(struct task *task)
{
    struct burn *burn = (struct burn *)task;
    struct queue_item item = {0};
    int64_t end = AV_NOPTS_VALUE;
    int code = 0;
    burn->frame = av_frame_alloc();
    if (!burn->frame)
        code = error_set(&task->error, ERROR_OUT_OF_MEMORY, "no memory for a frame");
    while (code == 0 && (code = task_receive(task, &item)) == 0) {
        if (item.kind == QUEUE_FRAME) {
            code = take_frame(burn, item.frame);
        } else if (item.kind == QUEUE_END) {
            end = item.end;
            code = flush_convert(burn, end);
        }
        queue_item_clear(&item);
    }
    if (code >= 0)
        port_end(output(burn), end);
    return code;
}

/* ---- making ---- */

static void read_style(struct burn_style *style, const struct plan_node *node)
{
    const char *size = plan_setting(node, "size");
    const char *outline = plan_setting(node, "outline");
    const char *color = plan_setting(node, "color");
    const char *outline_color = plan_setting(node, "outline_color");
    const char *position = plan_setting(node, "position");
    *style = (struct burn_style){
        .font = plan_setting(node, "font"),
        .size = size ? av_strtod(size, NULL) : 0,
        .outline = outline ? av_strtod(outline, NULL) : -1,
        .position = burn_position_from_name(position ? position : ""),
    };
    style->colored = color && av_parse_color(style->color, color, -1, NULL) >= 0;
    style->outline_colored =
        outline_color && av_parse_color(style->outline_color, outline_color, -1, NULL) >= 0;
}

/* The picture as it was stored, upright, which ASS and pictures refer to. */
static void read_stored_size(struct burn_canvas *canvas, const struct plan *plan, int node)
{
    struct plan_type type;
    struct plan_edge video = plan->nodes[node]->inputs[0];
    if (!plan_edge_type(plan, video, &type) || type.source_node < 0)
        return;
    const struct media_stream *stream =
        &plan->nodes[type.source_node]->file->media->streams[type.source_stream];
    bool turned = stream->rotation == 90 || stream->rotation == 270;
    canvas->stored_width = turned ? stream->height : stream->width;
    canvas->stored_height = turned ? stream->width : stream->height;
}

int burn_create(struct run *run, int node, struct stage **out, struct error *e)
{
    struct burn *burn = run_new_stage(run, sizeof *burn, burn_finish, e);
    if (!burn)
        return e->code;
    *out = &burn->stage;
    burn->spec.kind = AVMEDIA_TYPE_VIDEO;
    for (int i = 0; burn_formats[i] != AV_PIX_FMT_NONE; i++)
        burn->spec.pixel_formats[burn->spec.pixel_format_count++] = burn_formats[i];
    read_style(&burn->style, run->plan->nodes[node]);
    read_stored_size(&burn->canvas, run->plan, node);
    int code = burn_source_init(&burn->source, run, run->plan->nodes[node]->inputs[1], e);
    if (code < 0)
        return code;
    return task_init(&burn->stage.task, &run->group, "burn", burn_run, 1, QUEUE_FRAMES, QUEUE_BYTES,
                     1, e);
}
