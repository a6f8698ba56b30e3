/* What is refused: by name, by what an option could name, by what an option could cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/avstring.h>
#include <libavutil/opt.h>
#include <string.h>

#include "engine/introspect.h"
#include "engine/policy.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void assert_refused(bool allowed, const struct error *e, const char *what)
{
    if (allowed || e->code != ERROR_INVALID_OPTION || !e->message[0]) {
        fail_msg("%s: allowed %d, code %d, '%s'", what, allowed, e->code, e->message);
    }
}

static void limits_have_defaults(void **state)
{
    (void)state;
    struct policy_limits limits;
    memset(&limits, 0xff, sizeof limits);
    policy_limits_init(&limits);
    assert_true(limits.max_alloc > 0 && limits.max_pixels > 0 && limits.max_output_bytes > 0);
    assert_int_equal(limits.max_streams, 32);
    assert_true(limits.max_nodes >= 1000 && limits.max_frames > 0 && limits.max_pixel_rate > 0);
}

static void demuxers_that_open_more_are_never_allowed(void **state)
{
    (void)state;
    static const char *const never[] = {
        "hls",
        "dash",
        "concat",
        "sdp",
        "rtp",
        "rtsp",
        "sap",
        "image2",
        "imf",
        "vobsub",
        "mlv",
        "ffmetadata",
        "tty",
        "libgme",
        "libopenmpt",
        "lavfi",
        "rawvideo",
        "svg_pipe",
        "webm_dash_manifest",
        "x11grab",
        "alsa",
        "v4l2",
        "fbdev",
        "kmsgrab",
        "s16le",
        "image2pipe",
        "libcdio",
        "tedcaptions",
        "bluray",
    };
    for (size_t i = 0; i < COUNT(never); i++) {
        assert_int_equal(av_match_list(never[i], policy_demuxers(), ','), 0);
    }
    static const char *const wanted[] = {
        "mov,mp4,m4a,3gp,3g2,mj2",
        "matroska,webm",
        "avi",
        "mpegts",
        "flv",
        "ogg",
        "wav",
        "flac",
        "mp3",
        "aac",
        "ac3",
        "gif",
        "png_pipe",
        "jpeg_pipe",
        "webp_pipe",
        "srt",
        "ass",
        "webvtt",
        "asf",
        "mxf",
        "dv",
        "yuv4mpegpipe",
        "caf",
        "aiff",
        "au",
        "w64",
        "mpeg",
    };
    for (size_t i = 0; i < COUNT(wanted); i++) {
        assert_true(av_match_list(wanted[i], policy_demuxers(), ',') > 0);
        char name[64];
        av_strlcpy(name, wanted[i], sizeof name);
        name[strcspn(name, ",")] = '\0';
        assert_non_null(av_find_input_format(name));
    }
}

static void decoders_are_software(void **state)
{
    (void)state;
    static const char *const never[] = {
        "librsvg",  "ansi",         "wrapped_avframe",    "h264_cuvid",
        "hevc_qsv", "h264_v4l2m2m", "libzvbi_teletextdec"};
    for (size_t i = 0; i < COUNT(never); i++) {
        assert_int_equal(av_match_list(never[i], policy_decoders(), ','), 0);
    }
    void *iterator = NULL;
    for (const AVCodec *codec; (codec = av_codec_iterate(&iterator));) {
        if (av_codec_is_decoder(codec) && av_match_list(codec->name, policy_decoders(), ',') > 0) {
            assert_int_equal(codec->capabilities & AV_CODEC_CAP_HARDWARE, 0);
        }
    }
    assert_string_equal(policy_decoder(AV_CODEC_ID_H264)->name, "h264");
    assert_string_equal(policy_decoder(AV_CODEC_ID_AV1)->name, "libdav1d");
    assert_null(policy_decoder(AV_CODEC_ID_SVG));
    assert_null(policy_decoder(AV_CODEC_ID_NONE));
}

static void filters_that_reach_out_are_refused(void **state)
{
    (void)state;
    static const char *const never[] = {
        "subtitles",
        "ass",
        "movie",
        "amovie",
        "sendcmd",
        "asendcmd",
        "zmq",
        "azmq",
        "ladspa",
        "lv2",
        "frei0r",
        "frei0r_src",
        "program_opencl",
        "openclsrc",
        "libplacebo",
        "asr",
        "dnn_processing",
        "dnn_detect",
        "dnn_classify",
        "sr",
        "derain",
        "arnndn",
        "sofalizer",
        "nnedi",
        "cover_rect",
        "find_rect",
        "removelogo",
        "vidstabdetect",
        "vidstabtransform",
        "signature",
        "fieldhint",
        "realtime",
        "arealtime",
        "cue",
        "acue",
        "fifo",
        "afifo",
        "buffer",
        "buffersink",
        "abuffer",
        "abuffersink",
        "nullsink",
        "anullsink",
        "hwupload",
        "hwmap",
        "scale_vaapi",
        "overlay_cuda",
        "libvmaf",
        "ocr",
        "lensfun",
        "whisper",
        "fsync",
        "nonsense",
        "",
        "scale crop",
        " scale",
        "scale ",
    };
    for (size_t i = 0; i < COUNT(never); i++) {
        struct error e = {0};
        assert_refused(policy_filter(never[i], &e), &e, never[i]);
    }
    static const char *const wanted[] = {"scale",   "overlay", "loudnorm",
                                         "ebur128", "color",   "sine"};
    for (size_t i = 0; i < COUNT(wanted); i++) {
        struct error e = {0};
        assert_true(policy_filter(wanted[i], &e));
        assert_int_equal(e.code, 0);
    }
}

/* Names of options that look as if they named something outside, and don't. */
static bool harmless(const char *filter, const char *option)
{
    static const struct {
        const char *filter, *option, *why;
    } known[] = {
        {"afwtdn", "profile", "noise profile"},
        {"bs2b", "profile", "crossfeed level"},
        {"drawtext", "reload", "of the text file that is refused"},
        {"drawtext", "text", "the text itself"},
        {"ebur128", "framelog", "a log level"},
        {"firequalizer", "dumpscale", "of the dump file that is refused"},
        {"showcqt", "fontcolor", "an expression"},
        {"psnr", "stats_version", "of the file that is refused"},
        {"psnr", "stats_add_max", "of the file that is refused"},
        {"palettegen", "stats_mode", "of the palette"},
        {"showfreqs", "fscale", "a scale"},
        {"showspectrum", "fscale", "a scale"},
        {"drawtext", "font", "a family, checked"},
        {"drawtext", "fontsize", "a number"},
        {"drawtext", "fontcolor", "a colour"},
        {"drawtext", "fontcolor_expr", "an expression"},
        {"showcqt", "font", "a family"},
        {"metadata", "direct", "of the file that is refused"},
        {"ametadata", "direct", "of the file that is refused"},
        {"ssim360", "heatmap_str", "the numbers themselves"},
    };
    for (size_t i = 0; i < COUNT(known); i++) {
        if (!strcmp(known[i].filter, filter) && !strcmp(known[i].option, option)) {
            return true;
        }
    }
    return false;
}

/* The word stands in the text, not merely inside another ("profile"). */
static bool has_word(const char *text, const char *word)
{
    const char *found = av_stristr(text, word);
    return found && (found == text || found[-1] == ' ');
}

static bool suspicious(const AVOption *option)
{
    static const char *const words[] = {
        "file",   "path", "url",  "dump", "plugin", "model",   "shader", "device", "socket",
        "script", "font", "sofa", "plot", "server", "address", "stats",  "kdtree", "framelog"};
    for (size_t i = 0; i < COUNT(words); i++) {
        if (av_stristr(option->name, words[i]) && strcmp(option->name, "profile") != 0) {
            return true;
        }
    }
    static const char *const helps[] = {"file",   "path to", "directory", "plugin",
                                        "device", "socket",  "url"};
    for (size_t i = 0; option->type == AV_OPT_TYPE_STRING && option->help && i < COUNT(helps);
         i++) {
        if (has_word(option->help, helps[i])) {
            return true;
        }
    }
    return false;
}

/* Every option of every allowed filter whose name or help smells of a file is refused. */
static void options_that_name_files_are_refused(void **state)
{
    (void)state;
    size_t count = 0;
    const char *const *names = introspect_filters(&count);
    int refused = 0;
    for (size_t i = 0; i < count; i++) {
        const AVFilter *filter = avfilter_get_by_name(names[i]);
        const AVOption *option = NULL;
        while (filter->priv_class && (option = av_opt_next(&filter->priv_class, option))) {
            if (option->type == AV_OPT_TYPE_CONST || !suspicious(option)) {
                continue;
            }
            if (policy_filter_option(names[i], option->name, "x", NULL)) {
                if (!harmless(names[i], option->name)) {
                    fail_msg("%s.%s (%s) is allowed", names[i], option->name,
                             option->help ? option->help : "");
                }
            } else {
                refused++;
            }
        }
    }
    assert_true(refused >= 20);
}

static void other_names_of_refused_options_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *filter, *option;
    } cases[] = {
        {"psnr", "f"},
        {"ssim", "f"},
        {"life", "f"},
        {"cellauto", "f"},
        {"drawtext", "textfile"},
        {"drawtext", "fontfile"},
        {"metadata", "file"},
        {"ametadata", "file"},
        {"curves", "plot"},
        {"curves", "psfile"},
        {"lut3d", "file"},
        {"lut1d", "file"},
        {"paletteuse", "debug_kdtree"},
        {"firequalizer", "dumpfile"},
        {"deshake", "filename"},
        {"showcqt", "axisfile"},
        {"showcqt", "fontfile"},
        {"selectivecolor", "psfile"},
        {"flite", "textfile"},
        {"vmafmotion", "stats_file"},
        {"haldclut", "file"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error e = {0};
        assert_refused(policy_filter_option(cases[i].filter, cases[i].option, "/etc/passwd", &e),
                       &e, cases[i].option);
        assert_string_equal(e.path, cases[i].option);
    }
    struct error e = {0};
    assert_refused(policy_filter_option("drawtext", "font", "Sans:file=/etc/passwd", &e), &e,
                   "font");
    assert_true(policy_filter_option("drawtext", "font", "DejaVu Sans:bold", &e));
    assert_true(policy_filter_option("fps", "fps", "25", &e));
}

static void expressions_must_end(void **state)
{
    (void)state;
    static const char *const endless[] = {
        "while(1,1)",           "if(gt(a,b), while (1, 1))", "wh ile\t(1,1)",
        "%{expr:w'h'ile(1,1)}", "%{e:wh\\ile(1,1)}",         "taylor(taylor(1,1),1)",
        "root(root(1,1),1)",    "root(taylor(1,1),1)",
    };
    for (size_t i = 0; i < COUNT(endless); i++) {
        struct error e = {0};
        assert_refused(policy_filter_option("geq", "lum", endless[i], &e), &e, endless[i]);
        assert_refused(policy_encoder_option("mpeg4", "rc_eq", endless[i], &e), &e, endless[i]);
    }
    static const char *const fine[] = {"taylor(1,x)", "meanwhile", "PTS/2", "while",
                                       "a*(while_)",  "root(x,2)", ""};
    for (size_t i = 0; i < COUNT(fine); i++) {
        assert_true(policy_filter_option("geq", "lum", fine[i], NULL));
    }
    static char huge[70000];
    memset(huge, '1', sizeof huge - 1);
    struct error e = {0};
    assert_refused(policy_filter_option("geq", "lum", huge, &e), &e, "huge");
}

/* Sets options on a fresh context and asks whether they are within bounds. */
static bool bounded(const char *filter, const char *options, struct error *e)
{
    struct policy_limits limits;
    policy_limits_init(&limits);
    AVFilterGraph *graph = avfilter_graph_alloc();
    AVFilterContext *context =
        avfilter_graph_alloc_filter(graph, avfilter_get_by_name(filter), "x");
    assert_non_null(context);
    assert_true(av_set_options_string(context->priv, options, "=", ":") >= 0);
    bool good = policy_filter_bounds(context, &limits, e);
    avfilter_graph_free(&graph);
    return good;
}

static void amounts_are_bounded(void **state)
{
    (void)state;
    static const struct {
        const char *filter, *options;
        bool good;
    } cases[] = {
        {"loop", "loop=-1:size=10", false},
        {"loop", "loop=3:size=10", true},
        {"loop", "loop=3:size=30000", false},
        {"aloop", "loop=-1:size=10", false},
        {"aloop", "loop=2:size=48000", true},
        {"tpad", "stop=-1", false},
        {"tpad", "stop_duration=2", true},
        {"apad", "", false},
        {"apad", "pad_dur=2", true},
        {"apad", "whole_dur=20", true},
        {"apad", "pad_len=100", true},
        {"split", "outputs=1000000", false},
        {"concat", "n=2000000000", false},
        {"concat", "n=100:v=1:a=1", true},
        {"color", "size=100000x100000", false},
        {"color", "size=640x360:rate=30", true},
        {"color", "rate=1000000", false},
        {"thumbnail", "n=100000000", false},
        {"tmix", "frames=1024", false},
        {"fps", "fps=1000000000", false},
        {"fps", "fps=5000/2", false},
        {"fps", "fps=30000/1001", true},
        {"fps", "fps=source_fps", true},
        {"scale", "w=640", true},
        {"null", "", true},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error e = {0};
        bool good = bounded(cases[i].filter, cases[i].options, &e);
        if (good != cases[i].good || (!good && (!e.code || !e.message[0] || !e.path[0]))) {
            fail_msg("%s=%s: %d, '%s' at '%s'", cases[i].filter, cases[i].options, good, e.message,
                     e.path);
        }
    }
}

static void encoders_are_software_and_stable(void **state)
{
    (void)state;
    static const char *const never[] = {
        "h264_omx",        "mpeg4_omx", "h264_nvenc", "h264_vaapi", "hevc_qsv", "h264_v4l2m2m",
        "wrapped_avframe", "sonic",     "vorbis",     "opus",       "",         "libx264 libx265"};
    for (size_t i = 0; i < COUNT(never); i++) {
        struct error e = {0};
        assert_refused(policy_encoder(never[i], &e), &e, never[i]);
    }
    void *iterator = NULL;
    for (const AVCodec *codec; (codec = av_codec_iterate(&iterator));) {
        if (av_codec_is_encoder(codec) && policy_encoder(codec->name, NULL)) {
            if (codec->capabilities & (AV_CODEC_CAP_HARDWARE | AV_CODEC_CAP_EXPERIMENTAL)) {
                fail_msg("%s is allowed", codec->name);
            }
        }
    }
}

static void encoder_options_that_name_files_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *encoder, *option, *value;
    } bad[] = {
        {"libx264", "stats", "/tmp/x"},
        {"libx264", "passlogfile", "/tmp/x"},
        {"libx264", "x264-params", "stats=/tmp/x"},
        {"libx264", "x264-params", "crf=20:qpfile=/tmp/x"},
        {"libx264", "x264-params", "log_file=/tmp/x"},
        {"libx264", "x264-params", " dump_yuv = /tmp/x"},
        {"libx264", "x264-params", "DUMP-YUV=/tmp/x"},
        {"libx264", "x264-params", "cqmfile=/tmp/x"},
        {"libx264", "x264-params", "opencl=1"},
        {"libx264", "x264-params", "a='b:stats=/tmp/x'"},
        {"libx264", "x264-params", "a=\\:stats=/tmp/x"},
        {"libx264", "x264opts", "crf=20:stats=/tmp/x"},
        {"libx265", "x265-params", "csv=/tmp/x"},
        {"libx265", "x265-params", "recon=/tmp/x"},
        {"libx265", "x265-params", "recon-y4m-exec=sh"},
        {"libx265", "x265-params", "analysis-save=/tmp/x"},
        {"libx265", "x265-params", "scaling-list=/etc/passwd"},
        {"libx265", "x265-params", "lambda-file=/etc/passwd"},
        {"libx265", "x265-params", "dhdr10-info=/etc/passwd"},
        {"libx265", "x265-params", "dolby-vision-rpu=/etc/passwd"},
        {"libx265", "x265-params", "zonefile=/etc/passwd"},
        {"libx265", "x265-params", "no-stats=/tmp/x"},
        {"libaom-av1", "aom-params", "film-grain-table=/etc/passwd"},
        {"libaom-av1", "aom-params", "vmaf-model-path=/etc/passwd"},
        {"libaom-av1", "aom-params", "rate-distribution-info=/etc/passwd"},
        {"libsvtav1", "svtav1-params", "stats=/tmp/x"},
        {"libsvtav1", "svtav1-params", "fgs-table=/tmp/x"},
        {"libsvtav1", "svtav1-params", "new-file-thing=/tmp/x"},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct error e = {0};
        assert_refused(policy_encoder_option(bad[i].encoder, bad[i].option, bad[i].value, &e), &e,
                       bad[i].value);
        assert_string_equal(e.path, bad[i].option);
    }
    static const struct {
        const char *encoder, *option, *value;
    } good[] = {
        {"libx264", "x264-params", "keyint=60:min-keyint=60:scenecut=0:profile=high"},
        {"libx264", "x264-params", ""},
        {"libx264", "crf", "23"},
        {"libx265", "x265-params", "log-level=error:hdr10=1:master-display=G(1,2)B(3,4)"},
        {"libaom-av1", "aom-params", "enable-palette=1"},
        {"libsvtav1", "svtav1-params", "tune=0:film-grain-denoise=0"},
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        struct error e = {0};
        if (!policy_encoder_option(good[i].encoder, good[i].option, good[i].value, &e)) {
            fail_msg("%s: %s", good[i].value, e.message);
        }
    }
}

/* Every string option of every allowed encoder whose help or name smells of a file. */
static void encoders_have_no_other_file_options(void **state)
{
    (void)state;
    void *iterator = NULL;
    for (const AVCodec *codec; (codec = av_codec_iterate(&iterator));) {
        if (!av_codec_is_encoder(codec) || !policy_encoder(codec->name, NULL)) {
            continue;
        }
        const AVOption *option = NULL;
        while (codec->priv_class && (option = av_opt_next(&codec->priv_class, option))) {
            bool text = option->type == AV_OPT_TYPE_STRING;
            if (text && suspicious(option) &&
                policy_encoder_option(codec->name, option->name, "x", NULL)) {
                fail_msg("%s.%s (%s) is allowed", codec->name, option->name, option->help);
            }
        }
    }
}

static void muxers_and_bitstream_filters(void **state)
{
    (void)state;
    static const char *const muxers[] = {"tee",  "segment", "stream_segment", "fifo",   "rtp",
                                         "rtsp", "hls",     "dash",           "image2", "sdl",
                                         "alsa", "fbdev",   "ffmetadata",     "md5",    ""};
    struct error e = {0};
    for (size_t i = 0; i < COUNT(muxers); i++) {
        assert_refused(policy_muxer(muxers[i], &e), &e, muxers[i]);
    }
    assert_true(policy_muxer("mp4", &e));
    assert_true(policy_muxer("matroska", &e));
    static const char *const bsfs[] = {"trace_headers", "nonsense", "", "noise"};
    for (size_t i = 0; i < COUNT(bsfs); i++) {
        assert_refused(policy_bsf(bsfs[i], &e), &e, bsfs[i]);
    }
    assert_true(policy_bsf("h264_mp4toannexb", &e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_have_defaults),
        cmocka_unit_test(demuxers_that_open_more_are_never_allowed),
        cmocka_unit_test(decoders_are_software),
        cmocka_unit_test(filters_that_reach_out_are_refused),
        cmocka_unit_test(options_that_name_files_are_refused),
        cmocka_unit_test(other_names_of_refused_options_are_refused),
        cmocka_unit_test(expressions_must_end),
        cmocka_unit_test(amounts_are_bounded),
        cmocka_unit_test(encoders_are_software_and_stable),
        cmocka_unit_test(encoder_options_that_name_files_are_refused),
        cmocka_unit_test(encoders_have_no_other_file_options),
        cmocka_unit_test(muxers_and_bitstream_filters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
