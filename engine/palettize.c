/*
 * The palettize stage: frames in any format in, AV_PIX_FMT_PAL8 out, all with one palette.
 *
 * The palette is of the whole clip, so nothing goes out before the last frame has come in: until
 * then frames are counted into a histogram and put aside in a spool. Then they are read back,
 * mapped and sent one by one, while the encoder works on those before. Memory doesn't grow with the
 * clip; the spool has a bound, and lies beside the run's outputs in a file without a name.
 */
#include <libavutil/avutil.h>
#include <libavutil/eval.h>
#include <stdlib.h>
#include <string.h>

#include "engine/compat.h"
#include "engine/palette.h"
#include "engine/pipeline_internal.h"
#include "engine/spool.h"

enum { QUEUE_FRAMES = 4, QUEUE_BYTES = 16 << 20 };

struct palettize {
    struct stage stage;
    struct frame_spec spec;
    int colors;
    bool transparency;
    struct palette_mapper_options mapping;

    /* the task's own */
    struct palette_histogram *histogram;
    struct spool *spool;
    struct palette_mapper *mapper;
    struct chain convert;
    AVFrame *frame, *mapped;
    AVRational frame_rate;
    bool began;
    int64_t taken; /* end of the last frame taken in, AV_TIME_BASE units */
};

static void palettize_finish(struct stage *stage)
{
    struct palettize *palettize = (struct palettize *)stage;
    palette_histogram_destroy(&palettize->histogram);
    palette_mapper_destroy(&palettize->mapper);
    spool_destroy(&palettize->spool);
    chain_finish(&palettize->convert);
    frame_spec_finish(&palettize->spec);
    av_frame_free(&palettize->frame);
    av_frame_free(&palettize->mapped);
}

const struct frame_spec *palettize_spec(const struct stage *stage)
{
    return &((const struct palettize *)stage)->spec;
}

static struct error *error_of(struct palettize *palettize)
{
    return &palettize->stage.task.error;
}

static struct port *output(struct palettize *palettize)
{
    return &palettize->stage.task.ports[0];
}

/* ---- pass 1 ---- */

static int begin(struct palettize *palettize)
{
    struct run *run = palettize->stage.run;
    const struct port *from = palettize->stage.task.from[0];
    struct error *e = error_of(palettize);
    char folder[4096];
    palettize->began = true;
    palettize->frame_rate = from->frame_rate;
    output(palettize)->frame_rate = from->frame_rate;
    output(palettize)->steady = from->steady;
    palettize->histogram = palette_histogram_create();
    if (!palettize->histogram)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a palette");
    int code = run_scratch(run, folder, sizeof folder, e);
    return code < 0 ? code
                    : spool_create(&palettize->spool, folder, run->plan->limits.max_spool_bytes, e);
}

/* The frame is in one of palette_formats. */
static int put_aside(struct palettize *palettize, const AVFrame *frame)
{
    struct error *e = error_of(palettize);
    const struct policy_limits *limits = &palettize->stage.run->plan->limits;
    int code = 0;
    if (spool_count(palettize->spool) == 0 && frame_spec_pin(&palettize->spec, frame) < 0)
        code = error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a palette");
    if (code == 0 && spool_count(palettize->spool) >= limits->max_frames) {
        code = error_set(e, ERROR_LIMIT_EXCEEDED, "a track has more than %lld frames",
                         (long long)limits->max_frames);
    }
    if (code == 0)
        code = palette_histogram_add(palettize->histogram, frame, e);
    if (code == 0)
        code = spool_write(palettize->spool, frame, e);
    return code;
}

static int drain_convert(struct palettize *palettize)
{
    int code = 0;
    while (code == 0 &&
           (code = chain_pull(&palettize->convert, palettize->frame, error_of(palettize))) == 1) {
        code = put_aside(palettize, palettize->frame);
        av_frame_unref(palettize->frame);
    }
    return code;
}

static int flush_convert(struct palettize *palettize, int64_t end)
{
    if (!palettize->convert.graph)
        return 0;
    int code = chain_end(&palettize->convert, end != AV_NOPTS_VALUE ? end : palettize->taken,
                         error_of(palettize));
    if (code == 0)
        code = drain_convert(palettize);
    chain_finish(&palettize->convert);
    return code;
}

static int begin_convert(struct palettize *palettize, const AVFrame *frame)
{
    struct error *e = error_of(palettize);
    int threads = palettize->stage.run->options->threads;
    int code = chain_begin(&palettize->convert, frame, palettize->frame_rate, threads, e);
    if (code == 0)
        code = chain_convert(&palettize->convert, &palettize->spec, e);
    if (code == 0)
        code = chain_configure(&palettize->convert, e);
    return code;
}

static int take_frame(struct palettize *palettize, AVFrame *frame)
{
    int code = palettize->began ? 0 : begin(palettize);
    if (code != 0)
        return code;
    if (frame->pts != AV_NOPTS_VALUE) {
        palettize->taken = av_rescale_q(frame->pts + FFMAX(compat_frame_duration(frame), 0),
                                        frame->time_base, AV_TIME_BASE_Q);
    }
    bool takes = frame_spec_takes(&palettize->spec, frame);
    if (palettize->convert.graph && (takes || !frame_shape_fits(&palettize->convert.shape, frame)))
        code = flush_convert(palettize, AV_NOPTS_VALUE);
    if (code != 0 || takes)
        return code != 0 ? code : put_aside(palettize, frame);
    if (!palettize->convert.graph)
        code = begin_convert(palettize, frame);
    if (code == 0)
        code = chain_push(&palettize->convert, frame, error_of(palettize));
    return code == 0 ? drain_convert(palettize) : code;
}

/* ---- pass 2 ---- */

static int make_mapper(struct palettize *palettize)
{
    struct palette palette;
    int code = palette_build(palettize->histogram, palettize->colors, palettize->transparency,
                             &palette, error_of(palettize));
    palette_histogram_destroy(&palettize->histogram);
    return code < 0 ? code
                    : palette_mapper_create(&palettize->mapper, &palette, &palettize->mapping,
                                            error_of(palettize));
}

static int map_frames(struct palettize *palettize)
{
    struct error *e = error_of(palettize);
    int code = make_mapper(palettize);
    spool_rewind(palettize->spool);
    while (code == 0 && (code = spool_read(palettize->spool, palettize->frame, e)) == 1) {
        code = palette_mapper_map(palettize->mapper, palettize->frame, palettize->mapped, e);
        av_frame_unref(palettize->frame);
        if (code == 0)
            code = port_send_frame(output(palettize), palettize->mapped);
    }
    return code;
}

static int palettize_run(struct task *task)
{
    struct palettize *palettize = (struct palettize *)task;
    struct queue_item item = {0};
    int64_t end = AV_NOPTS_VALUE;
    int code = 0;
    palettize->frame = av_frame_alloc();
    palettize->mapped = av_frame_alloc();
    if (!palettize->frame || !palettize->mapped)
        code = error_set(&task->error, ERROR_OUT_OF_MEMORY, "no memory for a frame");
    while (code == 0 && (code = task_receive(task, &item)) == 0) {
        if (item.kind == QUEUE_FRAME) {
            code = port_wanted(output(palettize)) ? take_frame(palettize, item.frame) : TASK_STOP;
        } else if (item.kind == QUEUE_END) {
            end = item.end;
            code = flush_convert(palettize, end);
            if (code == 0 && palettize->began)
                code = map_frames(palettize);
        }
        queue_item_clear(&item);
    }
    if (code >= 0)
        port_end(output(palettize), end);
    return code;
}

/* ---- making ---- */

static int number(const struct plan_node *node, const char *name, int otherwise)
{
    const char *value = plan_setting(node, name);
    return value ? (int)av_strtod(value, NULL) : otherwise;
}

static bool flag(const struct plan_node *node, const char *name, bool otherwise)
{
    const char *value = plan_setting(node, name);
    return value ? strcmp(value, "1") == 0 || strcmp(value, "true") == 0 : otherwise;
}

static void read_settings(struct palettize *palettize, const struct plan_node *node)
{
    struct palette_mapper_options *mapping = &palettize->mapping;
    const char *dither = plan_setting(node, "dither");
    palette_mapper_options_init(mapping);
    palettize->colors = number(node, "colors", PALETTE_MAX_COLORS);
    palettize->transparency = flag(node, "transparency", true);
    if (dither)
        mapping->dither = (enum palette_dither)palette_dither_from_name(dither);
    mapping->bayer_scale = number(node, "bayer_scale", mapping->bayer_scale);
    mapping->alpha_threshold = number(node, "alpha_threshold", mapping->alpha_threshold);
    mapping->stable = flag(node, "stable", mapping->stable);
    mapping->tolerance = number(node, "tolerance", mapping->tolerance);
}

int palettize_create(struct run *run, int node, struct stage **out, struct error *e)
{
    struct palettize *palettize = run_new_stage(run, sizeof *palettize, palettize_finish, e);
    if (!palettize)
        return e->code;
    *out = &palettize->stage;
    palettize->spec.kind = AVMEDIA_TYPE_VIDEO;
    for (int i = 0; palette_formats[i] != AV_PIX_FMT_NONE; i++)
        palettize->spec.pixel_formats[palettize->spec.pixel_format_count++] = palette_formats[i];
    read_settings(palettize, run->plan->nodes[node]);
    return task_init(&palettize->stage.task, &run->group, "palettize", palettize_run, 1,
                     QUEUE_FRAMES, QUEUE_BYTES, 1, e);
}
