/* Names, nearest names, options and their words, against whichever libav is linked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <libavfilter/version.h>
#include <stdio.h>
#include <string.h>

#include "engine/asset.h"
#include "engine/introspect_internal.h"
#include "engine/policy.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void slips_of_the_fingers_are_near(void **state)
{
    (void)state;
    static const char *const names[] = {"scale", "crop", "overlay", "fps", "volume", "TP", "I"};
    static const struct {
        const char *typed, *nearest;
    } cases[] = {
        {"scal", "scale"},   {"sacle", "scale"},     {"Scale", "scale"}, {"scalle", "scale"},
        {"corp", "crop"},    {"overaly", "overlay"}, {"fsp", "fps"},     {"vloume", "volume"},
        {"tp", "TP"},        {"zzzzz", NULL},        {"", NULL},         {"q", NULL},
        {"something", NULL}, {"ov", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *nearest = introspect_nearest(cases[i].typed, names, COUNT(names));
        if (!nearest != !cases[i].nearest || (nearest && strcmp(nearest, cases[i].nearest) != 0)) {
            fail_msg("'%s' is near '%s'", cases[i].typed, nearest ? nearest : "nothing");
        }
    }
    char longest[1000];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_null(introspect_nearest(longest, names, COUNT(names)));
    assert_null(introspect_nearest("scale", NULL, 0));
}

static void filters_are_found_or_explained(void **state)
{
    (void)state;
    struct error e = {0};
    assert_string_equal(introspect_filter("scale", &e)->name, "scale");
    assert_int_equal(e.code, 0);

    assert_null(introspect_filter("scal", &e));
    assert_int_equal(e.code, ERROR_INVALID_OPTION);
    assert_string_equal(e.message, "unknown filter 'scal'; did you mean 'scale'?");
    assert_string_equal(e.path, "scal");
    assert_string_equal(e.expected, "scale");

    assert_null(introspect_filter("movie", &e));
    assert_string_equal(e.message, "filter 'movie' is not allowed");
    assert_null(introspect_filter("qqqqqqqq", &e));
    assert_string_equal(e.message, "unknown filter 'qqqqqqqq'");
    assert_null(introspect_filter("scal", NULL));
}

static void filters_are_listed_in_order(void **state)
{
    (void)state;
    size_t count = 0;
    const char *const *names = introspect_filters(&count);
    assert_true(count > 300);
    for (size_t i = 0; i < count; i++) {
        assert_true(policy_filter(names[i], NULL));
        assert_non_null(avfilter_get_by_name(names[i]));
        assert_true(i == 0 || strcmp(names[i - 1], names[i]) < 0);
    }
}

/* libavfilter's own order, as it reads positional values itself, less what is refused. */
static int own_order(const AVFilter *filter, const char *names[4])
{
    int count = 0;
    int offset = -1;
    const AVOption *option = NULL;
    while (count < 4 && filter->priv_class && (option = av_opt_next(&filter->priv_class, option))) {
        if (option->type == AV_OPT_TYPE_CONST || option->offset == offset) {
            continue;
        }
        offset = option->offset;
        bool reads = !strcmp(option->name, "file") && asset_allowed(filter->name, option->name);
        if (reads || policy_filter_option(filter->name, option->name, "", NULL)) {
            names[count++] = option->name;
        }
    }
    return count;
}

static void positional_order_is_that_of_5_1(void **state)
{
    (void)state;
    static const struct {
        const char *filter, *names[4];
    } documented[] = {
        {"scale", {"w", "h", "flags", "interl"}},
        {"crop", {"out_w", "out_h", "x", "y"}},
        {"pad", {"width", "height", "x", "y"}},
        {"fps", {"fps", "start_time", "round", "eof_action"}},
        {"overlay", {"x", "y", "eof_action", "eval"}},
        {"setpts", {"expr"}},
        {"volume", {"volume", "precision", "eval", "replaygain"}},
        {"drawtext", {"text", "fontcolor", "fontcolor_expr", "boxcolor"}},
        {"lut3d", {"file", "clut", "interp"}},
        {"null", {NULL}},
    };
    for (size_t i = 0; i < COUNT(documented); i++) {
        const char *names[4] = {NULL};
        int count = introspect_positional(avfilter_get_by_name(documented[i].filter), names);
        for (int k = 0; k < count; k++) {
            assert_non_null(documented[i].names[k]);
            assert_string_equal(names[k], documented[i].names[k]);
        }
        assert_true(count == 4 || !documented[i].names[count]);
    }
    /* The table is 5.1's; with a later libavfilter it only has to name options that are there. */
    size_t count = 0;
    const char *const *all = introspect_filters(&count);
    for (size_t i = 0; i < count; i++) {
        const AVFilter *filter = avfilter_get_by_name(all[i]);
        const char *names[4] = {NULL};
        int mine = introspect_positional(filter, names);
        for (int k = 0; k < mine; k++) {
            assert_non_null(introspect_filter_option(filter, names[k], NULL));
        }
#if LIBAVFILTER_VERSION_MAJOR == 8
        const char *own[4] = {NULL};
        assert_int_equal(own_order(filter, own), mine);
        for (int k = 0; k < mine; k++) {
            assert_string_equal(own[k], names[k]);
        }
#else
        (void)own_order;
#endif
    }
}

static void filter_options_are_found_or_explained(void **state)
{
    (void)state;
    static const struct {
        const char *filter, *option;
        bool there;
    } cases[] = {
        {"scale", "w", true},          {"scale", "width", true},
        {"scale", "sws_dither", true},                               /* of the scaler inside */
        {"aresample", "async", true},                                /* of the resampler inside */
        {"overlay", "shortest", true},                               /* of the frame sync inside */
        {"overlay", "enable", true},                                 /* timeline */
        {"scale", "enable", false},                                  /* no timeline */
        {"scale", "widht", false},     {"scale", "bilinear", false}, /* a constant */
        {"null", "x", false},                                        /* no options at all */
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error e = {0};
        const AVFilter *filter = avfilter_get_by_name(cases[i].filter);
        const AVOption *option = introspect_filter_option(filter, cases[i].option, &e);
        if (!option == cases[i].there || (!option && e.code != ERROR_INVALID_OPTION)) {
            fail_msg("%s.%s: %d, '%s'", cases[i].filter, cases[i].option, option != NULL,
                     e.message);
        }
    }
    struct error e = {0};
    assert_null(introspect_filter_option(avfilter_get_by_name("scale"), "widht", &e));
    assert_string_equal(e.message,
                        "unknown option 'widht' of filter 'scale'; did you mean 'width'?");
    assert_null(introspect_filter_option(avfilter_get_by_name("overlay"), "shortes", &e));
    assert_string_equal(e.expected, "shortest");
}

static void encoders_are_chosen_by_preference(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum AVMediaType kind;
        const char *encoder;
    } cases[] = {
        {"h264", AVMEDIA_TYPE_VIDEO, "libx264"},
        {"libx264", AVMEDIA_TYPE_VIDEO, "libx264"},
        {"hevc", AVMEDIA_TYPE_VIDEO, "libx265"},
        {"vp9", AVMEDIA_TYPE_VIDEO, "libvpx-vp9"},
        {"vp8", AVMEDIA_TYPE_VIDEO, "libvpx"},
        {"av1", AVMEDIA_TYPE_VIDEO, "libsvtav1"},
        {"mpeg4", AVMEDIA_TYPE_VIDEO, "mpeg4"},
        {"mjpeg", AVMEDIA_TYPE_VIDEO, "mjpeg"},
        {"webp", AVMEDIA_TYPE_VIDEO, "libwebp"},
        {"gif", AVMEDIA_TYPE_VIDEO, "gif"},
        {"prores", AVMEDIA_TYPE_VIDEO, "prores_ks"},
        {"aac", AVMEDIA_TYPE_AUDIO, "aac"},
        {"opus", AVMEDIA_TYPE_AUDIO, "libopus"},
        {"mp3", AVMEDIA_TYPE_AUDIO, "libmp3lame"},
        {"vorbis", AVMEDIA_TYPE_AUDIO, "libvorbis"},
        {"flac", AVMEDIA_TYPE_AUDIO, "flac"},
        {"pcm_s16le", AVMEDIA_TYPE_AUDIO, "pcm_s16le"},
        {"ac3", AVMEDIA_TYPE_AUDIO, "ac3"},
        {"subrip", AVMEDIA_TYPE_SUBTITLE, "subrip"},
        {"mov_text", AVMEDIA_TYPE_SUBTITLE, "mov_text"},
        {"webvtt", AVMEDIA_TYPE_SUBTITLE, "webvtt"},
        {"aac", AVMEDIA_TYPE_UNKNOWN, "aac"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error e = {0};
        const AVCodec *encoder = introspect_encoder(cases[i].name, cases[i].kind, &e);
        if (!encoder || (cases[i].encoder && strcmp(encoder->name, cases[i].encoder) != 0)) {
            fail_msg("%s: %s '%s'", cases[i].name, encoder ? encoder->name : "none", e.message);
        }
    }
}

static void wrong_encoders_are_explained(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum AVMediaType kind;
        const char *message;
    } cases[] = {
        {"h246", AVMEDIA_TYPE_VIDEO, "unknown codec 'h246'; did you mean 'h264'?"},
        {"aac", AVMEDIA_TYPE_VIDEO, "'aac' encodes audio, not video"},
        {"h264", AVMEDIA_TYPE_AUDIO, "'h264' encodes video, not audio"},
        {"h264_nvenc", AVMEDIA_TYPE_VIDEO, "encoder 'h264_nvenc' is not allowed"},
        {"indeo5", AVMEDIA_TYPE_VIDEO, "this build of FFmpeg has no encoder for 'indeo5'"},
        {"", AVMEDIA_TYPE_VIDEO, "unknown codec ''"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error e = {0};
        assert_null(introspect_encoder(cases[i].name, cases[i].kind, &e));
        assert_int_equal(e.code, ERROR_INVALID_OPTION);
        assert_string_equal(e.message, cases[i].message);
        assert_string_equal(e.path, "codec");
    }
    size_t count = 0;
    const char *const *names = introspect_encoders(&count);
    for (size_t i = 0; i < count; i++) {
        assert_non_null(introspect_encoder(names[i], AVMEDIA_TYPE_UNKNOWN, NULL));
    }
}

static void encoder_options_are_found_or_explained(void **state)
{
    (void)state;
    const AVCodec *x264 = avcodec_find_encoder_by_name("libx264");
    struct error e = {0};
    assert_non_null(introspect_encoder_option(x264, "crf", &e));
    assert_non_null(introspect_encoder_option(x264, "preset", &e));
    assert_non_null(introspect_encoder_option(x264, "bf", &e)); /* AVCodecContext's */
    assert_null(introspect_encoder_option(x264, "presett", &e));
    assert_string_equal(e.message,
                        "unknown option 'presett' of encoder 'libx264'; did you mean 'preset'?");
    assert_null(introspect_encoder_option(x264, "bitrat", &e));
    assert_string_equal(e.expected, "bitrate"); /* the engine's own */
    static const char *const engine[] = {"time_base", "ch_layout", "s", "pixel_format"};
    for (size_t i = 0; i < COUNT(engine); i++) {
        assert_null(introspect_encoder_option(x264, engine[i], NULL));
    }
}

static void options_are_described(void **state)
{
    (void)state;
    char text[512];
    const AVCodec *x264 = avcodec_find_encoder_by_name("libx264");
    const AVOption *crf = introspect_encoder_option(x264, "crf", NULL);
    introspect_describe_option(crf, text, sizeof text);
    assert_memory_equal(text, "crf: a number, at least -1, default -1", 38);
    introspect_expected(crf, x264->priv_class, text, sizeof text);
    assert_string_equal(text, "a number, at least -1");

    const AVFilter *fade = avfilter_get_by_name("fade");
    const AVOption *type = introspect_filter_option(fade, "type", NULL);
    introspect_expected(type, fade->priv_class, text, sizeof text);
    assert_string_equal(text, "an integer from 0 to 1; names: in, out");
    assert_string_equal(introspect_nearest_value(type, fade->priv_class, "oout"), "out");

    /* Every option of every filter, into every small size. */
    size_t count = 0;
    const char *const *names = introspect_filters(&count);
    for (size_t i = 0; i < count; i++) {
        const AVFilter *filter = avfilter_get_by_name(names[i]);
        const AVOption *option = NULL;
        while (filter->priv_class && (option = av_opt_next(&filter->priv_class, option))) {
            char small[24];
            introspect_describe_option(option, small, sizeof small);
            introspect_describe_option(option, text, sizeof text);
            introspect_expected(option, filter->priv_class, small, sizeof small);
            introspect_expected(option, filter->priv_class, text, sizeof text);
            assert_true(strlen(text) > 0 && strlen(small) < sizeof small);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slips_of_the_fingers_are_near),
        cmocka_unit_test(filters_are_found_or_explained),
        cmocka_unit_test(filters_are_listed_in_order),
        cmocka_unit_test(positional_order_is_that_of_5_1),
        cmocka_unit_test(filter_options_are_found_or_explained),
        cmocka_unit_test(encoders_are_chosen_by_preference),
        cmocka_unit_test(wrong_encoders_are_explained),
        cmocka_unit_test(encoder_options_are_found_or_explained),
        cmocka_unit_test(options_are_described),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
