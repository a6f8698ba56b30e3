/*
 * Which filters may be used, and with which of their options.
 *
 * Allowed are filters that compute: they take frames, they give frames. Not here are those that
 * open files, devices, sockets, plugins, models or programs by their nature (movie, subtitles,
 * ass, ladspa, frei0r, zmq, sendcmd, sofalizer, dnn_*, *_opencl, *_vaapi, vidstab*, ...), those
 * that wait on the clock (realtime, cue), and those that hoard without a bound (fifo). Of the
 * allowed ones, options that name something outside are refused.
 */
#include <libavutil/avstring.h>
#include <libavutil/mem.h>
#include <libavutil/opt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/asset.h"
#include "engine/policy_internal.h"

/* FFmpeg 5.1 to 7.1 */
static const char filters[] =
    /* sound */
    "aap acompressor acontrast acopy acrossfade acrossover acrusher adeclick adeclip adecorrelate "
    "adelay adenorm aderivative adrc adynamicequalizer adynamicsmooth aecho aemphasis aeval "
    "aexciter "
    "afade afftdn afftfilt afir aformat afreqshift afwtdn agate aiir aintegral ainterleave "
    "alimiter "
    "allpass aloop amerge ametadata amix amultiply anequalizer anlmdn anlmf anlms anull apad "
    "aphaser "
    "aphaseshift apsnr apsyclip apulsator aresample areverse arls asdr asegment aselect "
    "asetnsamples "
    "asetpts asetrate asettb ashowinfo asidedata asisdr asoftclip aspectralstats asplit astats "
    "astreamselect asubboost asubcut asupercut asuperpass asuperstop atempo atilt atrim "
    "axcorrelate "
    "bandpass bandreject bass biquad bs2b channelmap channelsplit chorus compand compensationdelay "
    "crossfeed crystalizer dcshift deesser dialoguenhance drmeter dynaudnorm earwax ebur128 "
    "equalizer "
    "extrastereo firequalizer flanger haas hdcd headphone highpass highshelf join loudnorm lowpass "
    "lowshelf mcompand pan replaygain rubberband sidechaincompress sidechaingate silencedetect "
    "silenceremove speechnorm stereotools stereowiden superequalizer surround tiltshelf treble "
    "tremolo vibrato virtualbass volume volumedetect "
    /* sound from nothing */
    "aevalsrc afdelaysrc afireqsrc afirsrc anoisesrc anullsrc flite hilbert sinc sine "
    /* picture */
    "addroi alphaextract alphamerge amplify atadenoise avgblur backgroundkey bbox bilateral "
    "bitplanenoise blackdetect blackframe blend blockdetect blurdetect bm3d boxblur bwdif cas "
    "ccrepack chromahold chromakey chromanr chromashift ciescope codecview colorbalance "
    "colorchannelmixer colorcontrast colorcorrect colordetect colorhold colorize colorkey "
    "colorlevels colormap colormatrix colorspace colortemperature convolution convolve copy corr "
    "crop cropdetect curves datascope dblur dctdnoiz deband deblock decimate deconvolve dedot "
    "deflate deflicker dejudder delogo deshake despill detelecine dilation displace doubleweave "
    "drawbox drawgraph drawgrid drawtext edgedetect elbg entropy epx eq erosion estdif exposure "
    "extractplanes fade fftdnoiz fftfilt field fieldmatch fieldorder fillborders floodfill format "
    "fps framepack framerate framestep freezedetect freezeframes fspp gblur geq gradfun grayworld "
    "greyedge guided haldclut hflip histeq histogram hqdn3d hqx hstack hsvhold hsvkey hue "
    "huesaturation hysteresis identity idet il inflate interlace interleave kerndeint kirsch "
    "lagfun "
    "lenscorrection limitdiff limiter loop lumakey lut lut1d lut2 lut3d lutrgb lutyuv maskedclamp "
    "maskedmax maskedmerge maskedmin maskedthreshold maskfun median mergeplanes mestimate metadata "
    "midequalizer minterpolate mix monochrome morpho mpdecimate msad multiply negate nlmeans "
    "noformat noise normalize null oscilloscope overlay owdenoise pad palettegen paletteuse perms "
    "perspective phase photosensitivity pixelize pixscope pp pp7 premultiply prewitt pseudocolor "
    "psnr pullup qp quirc random readeia608 readvitc remap removegrain repeatfields reverse "
    "rgbashift roberts rotate sab scale scale2ref scdet scharr scroll segment select "
    "selectivecolor "
    "separatefields setdar setfield setparams setpts setrange setsar settb shear showinfo "
    "showpalette shuffleframes shufflepixels shuffleplanes sidedata signalstats siti smartblur "
    "sobel "
    "split spp ssim ssim360 stereo3d streamselect super2xsai swaprect swapuv tblend telecine "
    "thistogram threshold thumbnail tile tiltandshift tinterlace tlut2 tmedian tmidequalizer tmix "
    "tonemap tpad transpose trim unpremultiply unsharp untile v360 vaguedenoiser varblur "
    "vectorscope "
    "vflip vfrdet vibrance vif vignette vmafmotion vstack w3fdif waveform weave xbr xcorrelate "
    "xfade "
    "xmedian xpsnr xstack yadif yaepblur zoompan zscale "
    /* picture from nothing */
    "allrgb allyuv cellauto color colorchart colorspectrum gradients haldclutsrc life mandelbrot "
    "mptestsrc nullsrc pal100bars pal75bars perlin rgbtestsrc sierpinski smptebars smptehdbars "
    "testsrc testsrc2 yuvtestsrc zoneplate "
    /* one to the other */
    "a3dscope abitscope adrawgraph ahistogram aphasemeter avectorscope avsynctest concat showcqt "
    "showcwt showfreqs showspatial showspectrum showspectrumpic showvolume showwaves showwavespic "
    "spectrumsynth";

/* Options that name files and the like. The other names of the same option (psnr's f is its
 * stats_file) are found by where they are stored. */
static const char *const refused[] = {
    "file",   "filename", "textfile",     "fontfile", "axisfile", "stats_file",   "psfile",
    "plot",   "dumpfile", "debug_kdtree", "fontsdir", "log_path", "model",        "model_path",
    "shader", "sofa",     "hint",         "object",   "cover",    "bind_address",
};

/* Most that an option may ask for, where libav itself allows amounts of memory or time without
 * measure. */
static const struct {
    const char *filters, *option;
    int64_t least, most;
} bounds[] = {
    {"split asplit select aselect", "outputs", 0, 64},
    {"concat", "n", 0, 256},
    {"concat", "v", 0, 32},
    {"concat", "a", 0, 32},
    {"amix amerge join mix hstack vstack xstack xmedian streamselect astreamselect", "inputs", 0,
     256},
    {"interleave ainterleave", "nb_inputs", 0, 256},
    /* endless ones */
    {"loop aloop", "loop", 0, 100000},
    {"tpad", "stop", 0, 1000000},
    {"tpad", "start", 0, 1000000},
    /* hoarders, in frames or samples */
    {"loop", "size", 0, 1000},
    {"aloop", "size", 0, 30000000},
    {"thumbnail", "n", 0, 300},
    {"tmix", "frames", 0, 128},
    {"random", "frames", 0, 128},
    {"tmedian", "radius", 0, 64},
    {"asetnsamples", "nb_out_samples", 0, 1 << 20},
    {"acrossfade", "nb_samples", 0, 30000000},
    /* slow ones */
    {"elbg", "codebook_length", 0, 1024},
    {"elbg", "nb_steps", 0, 16},
    {"mestimate minterpolate", "search_param", 0, 64},
    {"bm3d", "range", 0, 64},
    {"yaepblur", "radius", 0, 128},
    {"mandelbrot", "maxiter", 0, 20000},
};

/* Texts whose length costs time before a frame is asked for. */
static const struct {
    const char *filter, *option;
    int64_t most; /* bytes */
} lengths[] = {
    {"flite", "text", 2000},
};

/* A filter that goes on for ever unless one of these is set. */
static const struct {
    const char *filter, *ends[4];
} endless[] = {
    {"apad", {"pad_len", "whole_len", "pad_dur", "whole_dur"}},
};

bool policy_filter(const char *filter, struct error *e)
{
    if (policy_listed(filter, filters)) {
        return true;
    }
    error_set(e, ERROR_INVALID_OPTION, "filter '%s' is not allowed", filter);
    error_place(e, filter, filter, NULL);
    return false;
}

bool policy_expression(const char *option, const char *value, struct error *e)
{
    enum { LONGEST = 64 << 10 };
    /* libav drops white space, and in drawtext quotes and backslashes, before it reads words. */
    char word[16] = "";
    size_t length = 0;
    int loops = 0;
    bool endless_loop = false;
    size_t i = 0;
    for (; value[i] && i <= LONGEST; i++) {
        if (strchr(" \t\n\v\f\r'\\", value[i])) {
            continue;
        }
        if (length == sizeof word - 1) {
            memmove(word, word + 1, length--);
        }
        word[length++] = value[i];
        word[length] = '\0';
        if (value[i] == '(') {
            endless_loop |= length >= 6 && !strcmp(word + length - 6, "while(");
            loops += length >= 7 && !strcmp(word + length - 7, "taylor(");
            loops += length >= 5 && !strcmp(word + length - 5, "root(");
        }
    }
    if (i > LONGEST) {
        error_set(e, ERROR_INVALID_OPTION, "the value of option '%s' is too long", option);
        error_place(e, option, NULL, "at most 65536 bytes");
        return false;
    }
    if (endless_loop || loops > 1) {
        error_set(e, ERROR_INVALID_OPTION, "%s in option '%s' is refused: it may never end",
                  endless_loop ? "while()" : "more than one taylor() or root()", option);
        error_place(e, option, value, NULL);
        return false;
    }
    return true;
}

/* The option itself, or another that is kept in the same place, is one of the refused. */
static bool option_refused(const char *filter, const char *option)
{
    const AVFilter *f = avfilter_get_by_name(filter);
    const AVOption *asked = NULL;
    if (f && f->priv_class) {
        const AVClass *class = f->priv_class;
        asked = av_opt_find(&class, option, NULL, 0, AV_OPT_SEARCH_FAKE_OBJ);
    }
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        if (!strcmp(option, refused[i])) {
            return true;
        }
        if (asked) {
            const AVClass *class = f->priv_class;
            const AVOption *other =
                av_opt_find(&class, refused[i], NULL, 0, AV_OPT_SEARCH_FAKE_OBJ);
            if (other && other->offset == asked->offset) {
                return true;
            }
        }
    }
    return false;
}

bool policy_filter_option(const char *filter, const char *option, const char *value,
                          struct error *e)
{
    if (asset_name(value) && asset_allowed(filter, option)) {
        return true;
    }
    if (option_refused(filter, option)) {
        error_set(e, ERROR_INVALID_OPTION,
                  asset_allowed(filter, option)
                      ? "option '%s' of filter '%s' takes an asset, not the name of a file"
                      : "option '%s' of filter '%s' is refused: it names a file, device or plugin",
                  option, filter);
        error_place(e, option, value, NULL);
        return false;
    }
    /* drawtext asks fontconfig by a pattern, in which a file can be named. */
    if (!strcmp(filter, "drawtext") && !strcmp(option, "font") && av_stristr(value, "file")) {
        error_set(e, ERROR_INVALID_OPTION, "a font is chosen by its family, not by a file");
        error_place(e, option, value, "a family's name");
        return false;
    }
    return policy_expression(option, value, e);
}

static bool refuse_number(struct error *e, const char *filter, const char *option, int64_t value,
                          int64_t least, int64_t most)
{
    char got[32];
    char range[64];
    snprintf(got, sizeof got, "%lld", (long long)value);
    snprintf(range, sizeof range, "%lld to %lld", (long long)least, (long long)most);
    error_set(e, ERROR_INVALID_OPTION, "option '%s' of filter '%s' is %s; allowed is %s", option,
              filter, got, range);
    error_place(e, option, got, range);
    return false;
}

static bool numbers_bounded(const AVFilterContext *context, struct error *e)
{
    const char *filter = context->filter->name;
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        int64_t value = 0;
        if (policy_listed(filter, bounds[i].filters) &&
            av_opt_get_int(context->priv, bounds[i].option, 0, &value) >= 0 &&
            (value < bounds[i].least || value > bounds[i].most)) {
            return refuse_number(e, filter, bounds[i].option, value, bounds[i].least,
                                 bounds[i].most);
        }
    }
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        uint8_t *text = NULL;
        if (!strcmp(filter, lengths[i].filter) &&
            av_opt_get(context->priv, lengths[i].option, AV_OPT_ALLOW_NULL, &text) >= 0 && text) {
            int64_t length = (int64_t)strlen((const char *)text);
            av_free(text);
            if (length > lengths[i].most) {
                return refuse_number(e, filter, lengths[i].option, length, 0, lengths[i].most);
            }
        }
    }
    for (size_t i = 0; i < sizeof endless / sizeof *endless; i++) {
        bool ends = strcmp(filter, endless[i].filter) != 0;
        for (size_t k = 0; !ends && k < sizeof endless[i].ends / sizeof(char *); k++) {
            int64_t value = -1;
            ends = endless[i].ends[k] &&
                   av_opt_get_int(context->priv, endless[i].ends[k], 0, &value) >= 0 && value > 0;
        }
        if (!ends) {
            error_set(e, ERROR_INVALID_OPTION, "filter '%s' would never end", filter);
            error_place(e, endless[i].ends[0], NULL,
                        "an end: whole_dur, pad_dur, whole_len or pad_len");
            return false;
        }
    }
    return true;
}

/* As text, since libavutil 57 can't give a frame rate as a number. 0 for expressions. */
static double option_rate(const AVFilterContext *context, const char *option)
{
    uint8_t *text = NULL;
    double rate = 0;
    if (av_opt_get(context->priv, option, 0, &text) >= 0) {
        char *end = NULL;
        double below = 1;
        rate = strtod((const char *)text, &end);
        if (*end == '/') {
            below = strtod(end + 1, &end);
        }
        rate = *end || below == 0 ? 0 : rate / below;
    }
    av_free(text);
    return rate;
}

bool policy_filter_bounds(const AVFilterContext *context, const struct policy_limits *limits,
                          struct error *e)
{
    const char *filter = context->filter->name;
    if (!context->priv || !context->filter->priv_class) {
        return true;
    }
    const AVOption *option = NULL;
    while ((option = av_opt_next(context->priv, option))) {
        int width = 0;
        int height = 0;
        if (option->type == AV_OPT_TYPE_IMAGE_SIZE &&
            av_opt_get_image_size(context->priv, option->name, 0, &width, &height) >= 0 &&
            (int64_t)width * height > limits->max_pixels) {
            error_set(e, ERROR_LIMIT_EXCEEDED, "%dx%d pixels in option '%s' of filter '%s'", width,
                      height, option->name, filter);
            error_place(e, option->name, NULL, "a smaller picture");
            return false;
        }
        bool rate = option->type == AV_OPT_TYPE_VIDEO_RATE ||
                    (!strcmp(filter, "fps") && !strcmp(option->name, "fps"));
        if (rate && option_rate(context, option->name) > 1000) {
            error_set(e, ERROR_INVALID_OPTION,
                      "more than 1000 frames a second in option '%s' of "
                      "filter '%s'",
                      option->name, filter);
            error_place(e, option->name, NULL, "at most 1000");
            return false;
        }
    }
    return numbers_bounded(context, e);
}
