/*
 * Blending onto planes. Every component of the formats here has a plane of its own.
 */
#include "engine/burn_draw.h"

#include <libavutil/macros.h>
#include <libavutil/pixdesc.h>
#include <math.h>
#include <string.h>

const enum AVPixelFormat burn_formats[] = {
    AV_PIX_FMT_YUV420P,    AV_PIX_FMT_YUV422P,    AV_PIX_FMT_YUV444P,    AV_PIX_FMT_YUV440P,
    AV_PIX_FMT_YUV411P,    AV_PIX_FMT_YUV410P,    AV_PIX_FMT_YUVJ420P,   AV_PIX_FMT_YUVJ422P,
    AV_PIX_FMT_YUVJ444P,   AV_PIX_FMT_YUVJ440P,   AV_PIX_FMT_YUVJ411P,   AV_PIX_FMT_YUV420P9,
    AV_PIX_FMT_YUV422P9,   AV_PIX_FMT_YUV444P9,   AV_PIX_FMT_YUV420P10,  AV_PIX_FMT_YUV422P10,
    AV_PIX_FMT_YUV444P10,  AV_PIX_FMT_YUV440P10,  AV_PIX_FMT_YUV420P12,  AV_PIX_FMT_YUV422P12,
    AV_PIX_FMT_YUV444P12,  AV_PIX_FMT_YUV440P12,  AV_PIX_FMT_YUV420P14,  AV_PIX_FMT_YUV422P14,
    AV_PIX_FMT_YUV444P14,  AV_PIX_FMT_YUV420P16,  AV_PIX_FMT_YUV422P16,  AV_PIX_FMT_YUV444P16,
    AV_PIX_FMT_YUVA420P,   AV_PIX_FMT_YUVA422P,   AV_PIX_FMT_YUVA444P,   AV_PIX_FMT_YUVA420P10,
    AV_PIX_FMT_YUVA422P10, AV_PIX_FMT_YUVA444P10, AV_PIX_FMT_YUVA422P12, AV_PIX_FMT_YUVA444P12,
    AV_PIX_FMT_YUVA420P16, AV_PIX_FMT_YUVA422P16, AV_PIX_FMT_YUVA444P16, AV_PIX_FMT_GBRP,
    AV_PIX_FMT_GBRP9,      AV_PIX_FMT_GBRP10,     AV_PIX_FMT_GBRP12,     AV_PIX_FMT_GBRP14,
    AV_PIX_FMT_GBRP16,     AV_PIX_FMT_GBRAP,      AV_PIX_FMT_GBRAP10,    AV_PIX_FMT_GBRAP12,
    AV_PIX_FMT_GBRAP16,    AV_PIX_FMT_GRAY8,      AV_PIX_FMT_GRAY9,      AV_PIX_FMT_GRAY10,
    AV_PIX_FMT_GRAY12,     AV_PIX_FMT_GRAY14,     AV_PIX_FMT_GRAY16,     AV_PIX_FMT_NONE,
};

/* ---- colours ---- */

/* Weights of red and blue (ITU-T H.273, table 4). */
static const struct {
    enum AVColorSpace space;
    double red, blue;
} matrices[] = {
    {AVCOL_SPC_BT709, 0.2126, 0.0722},     {AVCOL_SPC_FCC, 0.30, 0.11},
    {AVCOL_SPC_BT470BG, 0.299, 0.114},     {AVCOL_SPC_SMPTE170M, 0.299, 0.114},
    {AVCOL_SPC_SMPTE240M, 0.212, 0.087},   {AVCOL_SPC_BT2020_NCL, 0.2627, 0.0593},
    {AVCOL_SPC_BT2020_CL, 0.2627, 0.0593}, {AVCOL_SPC_ICTCP, 0.2627, 0.0593},
};

static bool always_full(enum AVPixelFormat format)
{
    static const enum AVPixelFormat full[] = {AV_PIX_FMT_YUVJ420P, AV_PIX_FMT_YUVJ422P,
                                              AV_PIX_FMT_YUVJ444P, AV_PIX_FMT_YUVJ440P,
                                              AV_PIX_FMT_YUVJ411P};
    for (size_t i = 0; i < sizeof full / sizeof *full; i++) {
        if (full[i] == format)
            return true;
    }
    return false;
}

bool burn_ink_fits(const struct burn_ink *ink, const AVFrame *frame)
{
    return ink->depth > 0 && ink->format == frame->format && ink->space == frame->colorspace &&
           ink->range == frame->color_range && ink->transfer == frame->color_trc &&
           ink->height == frame->height;
}

void burn_ink_fit(struct burn_ink *ink, const AVFrame *frame)
{
    if (burn_ink_fits(ink, frame))
        return;
    const AVPixFmtDescriptor *descriptor = av_pix_fmt_desc_get(frame->format);
    *ink = (struct burn_ink){
        .format = frame->format,
        .space = frame->colorspace,
        .range = frame->color_range,
        .transfer = frame->color_trc,
        .height = frame->height,
        .components = descriptor->nb_components < 3 ? 1 : 3,
        .depth = descriptor->comp[0].depth,
        .rgb = (descriptor->flags & AV_PIX_FMT_FLAG_RGB) != 0,
    };
    ink->full = ink->rgb ? frame->color_range != AVCOL_RANGE_MPEG
                         : frame->color_range == AVCOL_RANGE_JPEG || always_full(ink->format);
    enum AVColorSpace space = frame->colorspace;
    if (space == AVCOL_SPC_UNSPECIFIED || space == AVCOL_SPC_RGB)
        space = frame->height >= 720 ? AVCOL_SPC_BT709 : AVCOL_SPC_SMPTE170M;
    double red = matrices[0].red;
    double blue = matrices[0].blue;
    for (size_t i = 0; i < sizeof matrices / sizeof *matrices; i++) {
        if (matrices[i].space == space) {
            red = matrices[i].red;
            blue = matrices[i].blue;
        }
    }
    ink->luma[0] = red;
    ink->luma[1] = 1 - red - blue;
    ink->luma[2] = blue;
}

/* IEC 61966-2-1 */
static double linear_of_srgb(double value)
{
    return value <= 0.04045 ? value / 12.92 : pow((value + 0.055) / 1.055, 2.4);
}

/* SMPTE ST 2084; 1 is 10,000 cd/m2. */
static double pq_of_linear(double light)
{
    double power = pow(fmax(light, 0), 0.1593017578125);
    return pow((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power), 78.84375);
}

/* ITU-R BT.2100's OETF; 1 is the brightest that a scene has. */
static double hlg_of_linear(double light)
{
    return light <= 1.0 / 12 ? sqrt(3 * fmax(light, 0))
                             : 0.17883277 * log(12 * light - 0.28466892) + 0.55991073;
}

/* Into the light of an HDR picture, whose colours are those of BT.2020 (matrix of BT.2087). */
static void to_hdr(enum AVColorTransferCharacteristic transfer, double rgb[3])
{
    static const double matrix[3][3] = {
        {0.6274, 0.3293, 0.0433}, {0.0691, 0.9195, 0.0114}, {0.0164, 0.0880, 0.8956}};
    static const double pq_white = 203.0 / 10000;
    static const double hlg_white = 0.2650; /* comes out as 75 % */
    double linear[3];
    for (int i = 0; i < 3; i++)
        linear[i] = linear_of_srgb(rgb[i]);
    for (int i = 0; i < 3; i++) {
        double light =
            matrix[i][0] * linear[0] + matrix[i][1] * linear[1] + matrix[i][2] * linear[2];
        rgb[i] = transfer == AVCOL_TRC_SMPTE2084 ? pq_of_linear(light * pq_white)
                                                 : hlg_of_linear(light * hlg_white);
    }
}

static uint16_t level(const struct burn_ink *ink, double value, double low, double high)
{
    double top = (1 << ink->depth) - 1;
    double scale = 1 << (ink->depth - 8);
    double at = ink->full ? value * top : low * scale + value * (high - low) * scale;
    return (uint16_t)lrint(fmin(fmax(at, 0), top));
}

void burn_ink_mix(const struct burn_ink *ink, const uint8_t rgb[3], uint16_t value[3])
{
    double color[3] = {rgb[0] / 255.0, rgb[1] / 255.0, rgb[2] / 255.0};
    if (ink->transfer == AVCOL_TRC_SMPTE2084 || ink->transfer == AVCOL_TRC_ARIB_STD_B67)
        to_hdr(ink->transfer, color);
    if (ink->rgb) {
        for (int i = 0; i < 3; i++)
            value[i] = level(ink, color[i], 16, 235);
        return;
    }
    double luma = ink->luma[0] * color[0] + ink->luma[1] * color[1] + ink->luma[2] * color[2];
    double blue = (color[2] - luma) / (2 * (1 - ink->luma[2]));
    double red = (color[0] - luma) / (2 * (1 - ink->luma[0]));
    double middle = ink->full ? (double)(1 << (ink->depth - 1)) / ((1 << ink->depth) - 1) : 0.5;
    value[0] = level(ink, luma, 16, 235);
    value[1] = level(ink, blue + middle, 16, 240);
    value[2] = level(ink, red + middle, 16, 240);
}

/* ---- planes ---- */

struct plane {
    uint8_t *bytes;
    int stride;
    bool wide;            /* two bytes a sample */
    int shift_x, shift_y; /* of the subsampling */
    int width, height;    /* in samples */
};

static struct plane plane_of(const AVFrame *frame, int component)
{
    const AVPixFmtDescriptor *descriptor = av_pix_fmt_desc_get(frame->format);
    const AVComponentDescriptor *part = &descriptor->comp[component];
    bool chroma = !(descriptor->flags & AV_PIX_FMT_FLAG_RGB) && (component == 1 || component == 2);
    struct plane plane = {
        .bytes = frame->data[part->plane],
        .stride = frame->linesize[part->plane],
        .wide = part->depth > 8,
        .shift_x = chroma ? descriptor->log2_chroma_w : 0,
        .shift_y = chroma ? descriptor->log2_chroma_h : 0,
    };
    plane.width = AV_CEIL_RSHIFT(frame->width, plane.shift_x);
    plane.height = AV_CEIL_RSHIFT(frame->height, plane.shift_y);
    return plane;
}

/* Samples that an area of the frame touches: from..to in each direction. */
struct span {
    int from_x, to_x, from_y, to_y;
};

static struct span span_of(const struct plane *plane, int x, int y, int width, int height)
{
    int round_x = (1 << plane->shift_x) - 1;
    int round_y = (1 << plane->shift_y) - 1;
    return (struct span){
        .from_x = FFMAX(x, 0) >> plane->shift_x,
        .to_x = FFMIN((x + width + round_x) >> plane->shift_x, plane->width),
        .from_y = FFMAX(y, 0) >> plane->shift_y,
        .to_y = FFMIN((y + height + round_y) >> plane->shift_y, plane->height),
    };
}

static uint32_t get_sample(const struct plane *plane, const uint8_t *row, int x)
{
    return plane->wide ? ((const uint16_t *)row)[x] : row[x];
}

static void put_sample(const struct plane *plane, uint8_t *row, int x, uint32_t value)
{
    if (plane->wide) {
        ((uint16_t *)row)[x] = (uint16_t)value;
    } else {
        row[x] = (uint8_t)value;
    }
}

/* ---- masks ---- */

/* The mean coverage of a sample, 0 to 255. */
static uint32_t coverage(const struct burn_mask *mask, const struct plane *plane, int x, int y)
{
    int left = (x << plane->shift_x) - mask->x;
    int top = (y << plane->shift_y) - mask->y;
    if (plane->shift_x == 0 && plane->shift_y == 0)
        return mask->bytes[(ptrdiff_t)top * mask->stride + left];
    uint32_t sum = 0;
    int across = 1 << plane->shift_x;
    int down = 1 << plane->shift_y;
    for (int k = FFMAX(top, 0); k < FFMIN(top + down, mask->height); k++) {
        for (int i = FFMAX(left, 0); i < FFMIN(left + across, mask->width); i++)
            sum += mask->bytes[(ptrdiff_t)k * mask->stride + i];
    }
    return sum >> (plane->shift_x + plane->shift_y);
}

static void mask_plane(const struct plane *plane, const struct burn_mask *mask, uint32_t value,
                       uint32_t opacity)
{
    enum { WHOLE = 255 * 255 };
    struct span span = span_of(plane, mask->x, mask->y, mask->width, mask->height);
    for (int y = span.from_y; y < span.to_y; y++) {
        uint8_t *row = plane->bytes + (ptrdiff_t)y * plane->stride;
        for (int x = span.from_x; x < span.to_x; x++) {
            uint64_t weight = coverage(mask, plane, x, y) * opacity;
            if (weight == 0)
                continue;
            uint64_t under = get_sample(plane, row, x);
            uint64_t sum = under * (WHOLE - weight) + value * weight + WHOLE / 2;
            put_sample(plane, row, x, (uint32_t)(sum / WHOLE));
        }
    }
}

/* The component behind the colours, or -1. */
static int alpha_component(const AVFrame *frame)
{
    const AVPixFmtDescriptor *descriptor = av_pix_fmt_desc_get(frame->format);
    return descriptor->flags & AV_PIX_FMT_FLAG_ALPHA ? descriptor->nb_components - 1 : -1;
}

void burn_draw_mask(const struct burn_ink *ink, AVFrame *frame, const struct burn_mask *mask,
                    const uint16_t value[3], uint8_t opacity)
{
    if (mask->width <= 0 || mask->height <= 0 || opacity == 0)
        return;
    for (int i = 0; i < ink->components; i++) {
        struct plane plane = plane_of(frame, i);
        mask_plane(&plane, mask, value[i], opacity);
    }
    int alpha = alpha_component(frame);
    if (alpha >= 0) {
        struct plane plane = plane_of(frame, alpha);
        mask_plane(&plane, mask, (1U << ink->depth) - 1, opacity);
    }
}

/* ---- pictures ---- */

/* The mean of a picture's values over a sample. */
static uint32_t mean(const struct burn_picture *picture, const uint16_t *values,
                     const struct plane *plane, int x, int y)
{
    int left = (x << plane->shift_x) - picture->x;
    int top = (y << plane->shift_y) - picture->y;
    uint32_t sum = 0;
    int across = 1 << plane->shift_x;
    int down = 1 << plane->shift_y;
    for (int k = FFMAX(top, 0); k < FFMIN(top + down, picture->height); k++) {
        for (int i = FFMAX(left, 0); i < FFMIN(left + across, picture->width); i++)
            sum += values[(ptrdiff_t)k * picture->width + i];
    }
    return sum >> (plane->shift_x + plane->shift_y);
}

/* values NULL: the plane of alpha itself, which only becomes more opaque. */
static void picture_plane(const struct plane *plane, const struct burn_picture *picture,
                          const uint16_t *values, int depth)
{
    int shift = 16 - depth;
    struct span span = span_of(plane, picture->x, picture->y, picture->width, picture->height);
    for (int y = span.from_y; y < span.to_y; y++) {
        uint8_t *row = plane->bytes + (ptrdiff_t)y * plane->stride;
        for (int x = span.from_x; x < span.to_x; x++) {
            uint64_t alpha = mean(picture, picture->alpha, plane, x, y);
            if (alpha == 0)
                continue;
            uint64_t over = values ? mean(picture, values, plane, x, y) : alpha;
            uint64_t under = (uint64_t)get_sample(plane, row, x) << shift;
            uint64_t sum = under * (UINT16_MAX - alpha) / UINT16_MAX + over + (1 << shift) / 2;
            put_sample(plane, row, x, (uint32_t)FFMIN(sum >> shift, (1U << depth) - 1));
        }
    }
}

void burn_draw_picture(const struct burn_ink *ink, AVFrame *frame,
                       const struct burn_picture *picture)
{
    for (int i = 0; i < ink->components; i++) {
        struct plane plane = plane_of(frame, i);
        picture_plane(&plane, picture, picture->value[i], ink->depth);
    }
    int alpha = alpha_component(frame);
    if (alpha >= 0) {
        struct plane plane = plane_of(frame, alpha);
        picture_plane(&plane, picture, NULL, ink->depth);
    }
}
