/*
 * What a plan is likely to cost, in processor seconds of one core of today.
 *
 * For every node an amount of work is carried along: picture size, number of pictures, seconds and
 * samples of sound. Each node adds its own price by picture element or sample. The prices were
 * taken on a 2.x GHz server core with FFmpeg 5.1, and need only be right to a factor of two or
 * three: they decide what may run at once and whose turn it is.
 */
#include <libavutil/avstring.h>
#include <libavutil/parseutils.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/plan_build.h"

struct price {
    const char *names;  /* separated by spaces */
    double nanoseconds; /* per picture element or sample */
};

static const double default_seconds = 60; /* where nothing says how long it is */
static const double default_rate = 25;

static const struct price decode_prices[] = {
    {"h264", 3.5},
    {"hevc av1 vvc", 5},
    {"vp9", 4},
    {"vp8", 3},
    {"mpeg4", 3},
    {"mpeg2video", 2},
    {"mjpeg", 4},
    {"prores dnxhd cfhd", 6},
    {"rawvideo", 0.5},
    {"png apng ffv1", 12},
    {"jpeg2000 libjxl", 100},
    {"webp", 15},
};

static const struct price encode_prices[] = {
    {"libx264 libx264rgb", 32},
    {"libopenh264", 15},
    {"libx265", 180},
    {"libkvazaar", 100},
    {"libsvtav1", 40},
    {"libaom-av1", 1500},
    {"librav1e", 500},
    {"libvpx-vp9", 200},
    {"libvpx", 60},
    {"libtheora", 40},
    {"mpeg4 libxvid mpeg2video h263 flv", 10},
    {"mjpeg", 6},
    {"png apng", 60},
    {"libwebp libwebp_anim", 80},
    {"gif", 15},
    {"prores prores_ks prores_aw", 30},
    {"ffv1 huffyuv ffvhuff utvideo", 15},
    {"rawvideo", 1},
    {"jpeg2000 libopenjpeg libjxl", 200},
};

static const struct price sound_encode_prices[] = {
    {"aac libfdk_aac", 225},       {"libopus", 150},
    {"libmp3lame libshine", 150},  {"libvorbis", 150},
    {"flac alac wavpack tta", 30}, {"ac3 eac3 mp2", 60},
};

/* How many times the medium preset's price another costs. */
static const struct price x26x_presets[] = {
    {"ultrafast", 0.15}, {"superfast", 0.25}, {"veryfast", 0.4}, {"faster", 0.6}, {"fast", 0.8},
    {"medium", 1},       {"slow", 1.8},       {"slower", 4},     {"veryslow", 7}, {"placebo", 20},
};

static const struct price filter_prices[] = {
    /* these only look at the frame, or change how it is described */
    {"null anull copy acopy setpts asetpts settb asettb setsar setdar setparams setrange setfield "
     "trim atrim fps framestep select aselect split asplit concat interleave ainterleave metadata "
     "ametadata showinfo ashowinfo sidedata asidedata format aformat crop shuffleframes "
     "separatefields streamselect astreamselect asetrate asetnsamples apad tpad loop aloop",
     0.1},
    {"scale scale2ref", 3},
    {"zscale tonemap colorspace", 10},
    {"overlay xfade blend drawtext", 2},
    {"yadif", 4},
    {"bwdif w3fdif estdif", 8},
    {"hqdn3d unsharp gblur boxblur lut3d curves smartblur", 8},
    {"nlmeans bm3d", 500},
    {"fftdnoiz fspp spp pp7 owdenoise vaguedenoiser dctdnoiz nnedi", 80},
    {"minterpolate mestimate", 400},
    {"geq", 150},
    {"paletteuse elbg", 40},
    {"palettegen", 10},
    {"v360 lenscorrection perspective rotate deshake", 15},
};

static const struct price sound_filter_prices[] = {
    {"anull acopy asetpts asettb atrim asplit aselect ametadata concat aformat", 1},
    {"volume pan amix amerge join channelmap", 5},
    {"loudnorm dynaudnorm afftdn rubberband anlmdn arnndn", 200},
    {"ebur128 aresample", 50},
};

static double price_of(const char *name, const struct price *prices, size_t count, double otherwise)
{
    for (size_t i = 0; i < count; i++) {
        if (av_match_list(name, prices[i].names, ' ') > 0) {
            return prices[i].nanoseconds;
        }
    }
    return otherwise;
}
#define PRICE(name, prices, otherwise)                                                             \
    price_of(name, prices, sizeof(prices) / sizeof *(prices), otherwise)

static double number(const char *text, double otherwise)
{
    char *end = NULL;
    double value = text ? strtod(text, &end) : 0;
    return text && end != text && !*end && isfinite(value) ? value : otherwise;
}

/* A setting by the first of its names that was given. */
static const char *setting(const struct plan_node *node, const char *a, const char *b)
{
    const char *value = plan_setting(node, a);
    return value ? value : plan_setting(node, b);
}

/* ---- amounts ---- */

/* Where the container doesn't say, 2 Mbit/s are assumed; a picture is a picture. */
static double media_seconds(const struct media *media)
{
    if (strstr(media->format, "_pipe")) {
        return 1 / default_rate;
    }
    if (isfinite(media->duration) && media->duration > 0) {
        return media->duration;
    }
    return media->size > 0 ? fmin(fmax((double)media->size * 8 / 2e6, 10), 86400) : default_seconds;
}

static double range_seconds(const struct plan_node *input)
{
    return fmax(0, fmin(input->stop, media_seconds(input->file->media)) - input->start);
}

static struct plan_load load_of_stream(const struct plan_node *input, int pad)
{
    const struct media_stream *stream = &input->file->media->streams[pad];
    struct plan_load load = {.seconds = range_seconds(input)};
    if (stream->kind == AVMEDIA_TYPE_VIDEO) {
        double rate = stream->frame_rate.num > 0 ? av_q2d(stream->frame_rate) : default_rate;
        load.width = stream->width;
        load.height = stream->height;
        load.frames = stream->attached_picture ? 1 : fmax(1, load.seconds * rate);
    } else if (stream->kind == AVMEDIA_TYPE_AUDIO) {
        load.samples = load.seconds * stream->sample_rate * stream->channels;
    }
    return load;
}

static void scaled_size(const struct plan_node *node, struct plan_load *load)
{
    double width = number(setting(node, "w", "width"), 0);
    double height = number(setting(node, "h", "height"), 0);
    double aspect = load->height > 0 ? load->width / load->height : 1;
    if (width > 0 && height > 0) {
        load->width = width;
        load->height = height;
    } else if (width > 0) {
        load->width = width;
        load->height = width / aspect;
    } else if (height > 0) {
        load->width = height * aspect;
        load->height = height;
    }
}

static void cut_size(const struct plan_node *node, struct plan_load *load)
{
    load->width =
        number(setting(node, "w", node->filter->name[0] == 'c' ? "out_w" : "width"), load->width);
    load->height =
        number(setting(node, "h", node->filter->name[0] == 'c' ? "out_h" : "height"), load->height);
}

static void changed_rate(const struct plan_node *node, struct plan_load *load)
{
    AVRational rate;
    const char *text = plan_setting(node, "fps");
    if (text && av_parse_video_rate(&rate, text) >= 0) {
        load->frames = fmax(1, load->seconds * fmin(av_q2d(rate), 1000));
    }
}

static void trimmed(const struct plan_node *node, struct plan_load *load)
{
    double start = number(plan_setting(node, "start"), 0);
    double end = number(plan_setting(node, "end"), INFINITY);
    double most = number(plan_setting(node, "duration"), INFINITY);
    double seconds = fmax(0, fmin(most, fmin(end, load->seconds) - start));
    double part = load->seconds > 0 ? fmin(1, seconds / load->seconds) : 1;
    load->frames *= part;
    load->samples *= part;
    load->seconds *= part;
}

static void thinned(const struct plan_node *node, struct plan_load *load)
{
    double n =
        number(setting(node, "n", "step"), !strcmp(node->filter->name, "thumbnail") ? 100 : 1);
    load->frames = fmax(1, load->frames / fmax(1, n));
}

static void generated(const struct plan_node *node, struct plan_load *load)
{
    int64_t micro = 0;
    const char *duration = setting(node, "duration", "d");
    bool known = duration && av_parse_time(&micro, duration, 1) >= 0 && micro >= 0;
    load->seconds = known ? (double)micro / 1e6 : default_seconds;
    int width = 320;
    int height = 240;
    const char *size = setting(node, "size", "s");
    if (size && av_parse_video_size(&width, &height, size) < 0) {
        width = height = 0;
    }
    AVRational rate = {25, 1};
    const char *text = setting(node, "rate", "r");
    for (int i = 0; i < node->pad_count; i++) {
        if (node->pad_kinds[i] == AVMEDIA_TYPE_VIDEO) {
            load->width = width;
            load->height = height;
            load->frames = text && av_parse_video_rate(&rate, text) < 0
                               ? load->seconds * default_rate
                               : load->seconds * av_q2d(rate);
        } else {
            load->samples = load->seconds * 48000 * 2;
        }
    }
}

/* How filters change the amount that passes; all others leave it as it is. */
static const struct {
    const char *filters;
    void (*change)(const struct plan_node *node, struct plan_load *load);
} changes[] = {
    {"scale zscale", scaled_size},
    {"crop pad", cut_size},
    {"fps framerate minterpolate", changed_rate},
    {"trim atrim", trimmed},
    {"thumbnail framestep", thinned},
};

static void load_of_filter(const struct plan *plan, const struct plan_load *loads,
                           const struct plan_node *node, struct plan_load *load)
{
    bool adds = !strcmp(node->filter->name, "concat");
    for (int i = 0; i < node->input_count; i++) {
        struct plan_edge edge = node->inputs[i];
        const struct plan_node *from = plan->nodes[edge.node];
        struct plan_load in =
            from->kind == PLAN_INPUT ? load_of_stream(from, edge.pad) : loads[edge.node];
        load->seconds = adds ? load->seconds + in.seconds : fmax(load->seconds, in.seconds);
        load->frames = adds ? load->frames + in.frames : fmax(load->frames, in.frames);
        load->samples = adds ? load->samples + in.samples : fmax(load->samples, in.samples);
        load->width = fmax(load->width, in.width);
        load->height = fmax(load->height, in.height);
    }
    if (!node->input_count) {
        generated(node, load);
    }
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        if (av_match_list(node->filter->name, changes[i].filters, ' ') > 0) {
            changes[i].change(node, load);
        }
    }
}

static void load_of_sequence(const struct plan *plan, const struct plan_load *loads,
                             const struct plan_node *node, struct plan_load *load)
{
    for (int i = 0; i < node->input_count; i++) {
        struct plan_edge edge = node->inputs[i];
        const struct plan_node *from = plan->nodes[edge.node];
        struct plan_load in =
            from->kind == PLAN_INPUT ? load_of_stream(from, edge.pad) : loads[edge.node];
        double seconds = isnan(node->durations[i]) ? in.seconds : node->durations[i];
        double part = in.seconds > 0 ? fmin(seconds / in.seconds, 1) : 1;
        load->seconds += seconds;
        load->frames += in.frames * part;
        load->samples += in.samples * part;
        load->width = fmax(load->width, in.width);
        load->height = fmax(load->height, in.height);
    }
}

/* The load of each node up to the last, from first to last. */
static void load_nodes(const struct plan *plan, struct plan_load *loads, int last)
{
    for (int i = 0; i <= last; i++) {
        const struct plan_node *node = plan->nodes[i];
        struct plan_edge from = node->input_count ? node->inputs[0] : (struct plan_edge){-1, 0};
        const struct media_stream *stream = plan_edge_stream(plan, from);
        if (node->kind == PLAN_FILTER) {
            load_of_filter(plan, loads, node, &loads[i]);
        } else if (node->kind == PLAN_PICK) {
            loads[i].width = stream->width;
            loads[i].height = stream->height;
            loads[i].frames = node->time_count;
        } else if (node->kind == PLAN_SEQUENCE) {
            load_of_sequence(plan, loads, node, &loads[i]);
        } else if (node->kind == PLAN_ENCODE || node->kind == PLAN_COPY ||
                   node->kind == PLAN_PALETTE || node->kind == PLAN_BURN) {
            loads[i] = stream ? load_of_stream(plan->nodes[from.node], from.pad) : loads[from.node];
        }
    }
}

struct plan_load plan_estimate(const struct plan *plan, struct plan_edge edge)
{
    struct plan_load load = {0};
    if (plan->nodes[edge.node]->kind == PLAN_INPUT) {
        return load_of_stream(plan->nodes[edge.node], edge.pad);
    }
    struct plan_load *loads = calloc((size_t)edge.node + 1, sizeof *loads);
    if (loads) {
        load_nodes(plan, loads, edge.node);
        load = loads[edge.node];
    }
    free(loads);
    return load;
}

/* ---- prices ---- */

static double pixels(const struct plan_load *load)
{
    return load->width * load->height * load->frames;
}

/* Nanoseconds to decode what an edge of an input carries. */
static double decode_cost(const struct media_stream *stream, const struct plan_load *load)
{
    return pixels(load) * PRICE(stream->codec, decode_prices, 6) + load->samples * 15;
}

/* A pick decodes from the keyframe in front, half a group of pictures on average. */
static double pick_cost(const struct plan_node *node, const struct media_stream *stream,
                        const struct plan_load *load)
{
    return decode_cost(stream, load) * (node->nearest_keyframe ? 1 : 30);
}

static double encode_factor(const struct plan_node *node)
{
    const char *preset = plan_setting(node, "preset");
    const char *name = node->encoder->name;
    if (preset && strstr(name, "x26")) {
        return PRICE(preset, x26x_presets, 1);
    }
    if (!strcmp(name, "libsvtav1")) { /* 0 to 13, each step about a third */
        return pow(1.45, 10 - number(preset, 10));
    }
    if (!strcmp(name, "libaom-av1") || !strcmp(name, "libvpx-vp9") || !strcmp(name, "libvpx")) {
        double speed = number(setting(node, "cpu-used", "speed"), 1);
        return pow(0.6, fmin(fmax(speed, 0), 8) - 1);
    }
    return 1;
}

static double encode_cost(const struct plan_node *node, const struct plan_load *load)
{
    double cost = 0;
    if (node->encoder->type == AVMEDIA_TYPE_VIDEO) {
        cost = pixels(load) * PRICE(node->encoder->name, encode_prices, 20) * encode_factor(node);
        /* A film keeps an encoder's threads and its look-ahead busy for a while in any case. */
        cost += load->frames > 50 ? 1e9 : 0;
    } else if (node->encoder->type == AVMEDIA_TYPE_AUDIO) {
        cost = load->samples * PRICE(node->encoder->name, sound_encode_prices, 20);
    }
    return cost;
}

static double copy_cost(const struct plan *plan, const struct plan_node *node)
{
    const struct plan_node *input = plan->nodes[node->inputs[0].node];
    const struct media *media = input->file->media;
    const struct media_stream *stream = &media->streams[node->inputs[0].pad];
    double rate = stream->bit_rate > 0  ? (double)stream->bit_rate
                  : media->bit_rate > 0 ? (double)media->bit_rate / media->stream_count
                                        : 2e6;
    /* However long: a copy waits for the disk, not for the processor. */
    return fmin(range_seconds(input) * rate / 8 * 0.2, 0.4e9);
}

static double filter_cost(const struct plan_node *node, const struct plan_load *load)
{
    const char *name = node->filter->name;
    return pixels(load) * PRICE(name, filter_prices, 4) +
           load->samples * PRICE(name, sound_filter_prices, 20);
}

/* Decoding is paid once a stream, however many nodes use its frames. */
static double input_decodes(const struct plan *plan, const bool *reached, int number_of_input)
{
    const struct plan_node *input = plan->nodes[number_of_input];
    double cost = 0;
    for (int pad = 0; pad < input->pad_count; pad++) {
        bool decoded = false;
        for (int i = number_of_input + 1; i < plan->node_count && !decoded; i++) {
            const struct plan_node *node = plan->nodes[i];
            bool frames = node->kind == PLAN_FILTER || node->kind == PLAN_ENCODE ||
                          node->kind == PLAN_MEASURE || node->kind == PLAN_PALETTE ||
                          node->kind == PLAN_SEQUENCE || node->kind == PLAN_BURN;
            for (int k = 0; reached[i] && frames && k < node->input_count; k++) {
                decoded |= node->inputs[k].node == number_of_input && node->inputs[k].pad == pad;
            }
        }
        if (decoded) {
            struct plan_load load = load_of_stream(input, pad);
            cost += decode_cost(&input->file->media->streams[pad], &load);
        }
    }
    return cost;
}

static double node_cost(const struct plan *plan, const bool *reached, const struct plan_load *load,
                        int number_of_node)
{
    const struct plan_node *node = plan->nodes[number_of_node];
    switch (node->kind) {
    case PLAN_INPUT:
        return 5e6 + input_decodes(plan, reached, number_of_node);
    case PLAN_PICK:
        return pick_cost(node, plan_edge_stream(plan, node->inputs[0]), load);
    case PLAN_FILTER:
        return filter_cost(node, load);
    case PLAN_BURN:
        return pixels(load) * 3;
    case PLAN_PALETTE: /* counted, put aside, read back, dithered */
        return pixels(load) * 20;
    case PLAN_ENCODE:
        return encode_cost(node, load);
    case PLAN_COPY:
        return copy_cost(plan, node);
    case PLAN_SEQUENCE: /* every segment opens its input again */
        return 5e6 * node->input_count;
    case PLAN_MEASURE:
        return 0;
    case PLAN_OUTPUT:
        return 10e6;
    }
    return 0;
}

/* The first passes of reached encoders: what leads to them is done twice, and the encoder's own
 * work is less than half of what it is later. `again` is scratch of node_count, all false. */
static double first_pass_cost(const struct plan *plan, const bool *reached, bool *again,
                              const struct plan_load *loads)
{
    double cost = 0;
    for (int i = plan->node_count - 1; i >= 0; i--) {
        const struct plan_node *node = plan->nodes[i];
        bool first = reached[i] && plan_two_passes(node);
        again[i] |= first;
        for (int k = 0; again[i] && k < node->input_count; k++) {
            again[node->inputs[k].node] = true;
        }
    }
    for (int i = 0; i < plan->node_count; i++) {
        double part = plan->nodes[i]->kind == PLAN_ENCODE ? 0.4 : 1;
        cost += again[i] ? part * node_cost(plan, again, &loads[i], i) : 0;
    }
    return cost;
}

/* Nanoseconds of the outputs; *first of them are their first passes. */
static double total_cost(const struct plan *plan, const int *outputs, int output_count,
                         double *first)
{
    size_t count = (size_t)plan->node_count + 1;
    struct plan_load *loads = calloc(count, sizeof *loads);
    bool *reached = calloc(count, sizeof *reached);
    bool *again = calloc(count, sizeof *again);
    double cost = 10e6;
    if (loads && reached && again) {
        plan_reach(plan, outputs, output_count, reached);
        load_nodes(plan, loads, plan->node_count - 1);
        for (int i = 0; i < plan->node_count; i++) {
            cost += reached[i] ? node_cost(plan, reached, &loads[i], i) : 0;
        }
        double passes = first_pass_cost(plan, reached, again, loads);
        *first = passes;
        cost += passes;
    } else {
        cost = 3600e9; /* without memory for the estimate it is no light job */
    }
    free(loads);
    free(reached);
    free(again);
    return cost;
}

double plan_cost(const struct plan *plan, const int *outputs, int output_count)
{
    double first = 0;
    return total_cost(plan, outputs, output_count, &first) / 1e9;
}

double plan_first_pass_cost(const struct plan *plan, const int *outputs, int output_count)
{
    double first = 0;
    total_cost(plan, outputs, output_count, &first);
    return first / 1e9;
}
