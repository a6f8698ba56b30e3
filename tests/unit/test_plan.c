/* Plans: what is accepted, and for everything else the code, the sentence and the place. Filters
 * have a file of their own. */
#include "tests/unit/plan_fixture.h"

#include <math.h>

#include "engine/introspect.h"
#include "engine/plan_internal.h"

/* ---- inputs ---- */

static void inputs_are_described(void **state)
{
    struct plan *plan = *state;
    assert_int_equal(plan_node_count(plan), 4);
    assert_int_equal(plan_node_kind(plan, MP4), PLAN_INPUT);
    assert_int_equal(plan_pad_count(plan, MP4), 2);
    assert_int_equal(plan_pad_count(plan, 99), 0);
    assert_int_equal(plan_pad_count(plan, -1), 0);
    assert_string_equal(plan_input_media(plan, MP4)->label, "holiday.mp4");
    assert_null(plan_input_media(plan, 99));
    struct plan_type type;
    assert_true(plan_edge_type(plan, EDGE(MP4, 0), &type));
    assert_int_equal(type.flow, PLAN_PACKETS);
    assert_int_equal(type.kind, AVMEDIA_TYPE_VIDEO);
    assert_string_equal(type.codec, "h264");
    assert_int_equal(type.source_node, MP4);
    assert_int_equal(type.source_stream, 0);
    static const struct plan_edge none[] = {{-1, 0}, {0, -1}, {0, 2}, {99, 0}};
    for (size_t i = 0; i < COUNT(none); i++) {
        assert_false(plan_edge_type(plan, none[i], &type));
    }
}

static void inputs_that_are_none_are_refused(void **state)
{
    (void)state;
    struct plan *plan = plan_create(NULL);
    struct error e = {0};
    char path[128];
    snprintf(path, sizeof path, "%s/s.txt", clips.folder);
    assert_true(plan_add_input(plan, path, "missing.mp4", NULL, &e) < 0);
    assert_true(e.message[0] && !strstr(e.message, clips.folder));
    FILE *file = fopen(path, "w");
    fputs("this is no media at all, only a few words", file);
    fclose(file);
    memset(&e, 0, sizeof e);
    int code = plan_add_input(plan, path, "words.mp4", NULL, &e);
    assert_true(code == ERROR_UNSUPPORTED_MEDIA || code == ERROR_CORRUPT_MEDIA);
    assert_non_null(strstr(e.message, "words.mp4"));
    assert_null(strstr(e.message, clips.folder));
    assert_int_equal(plan_node_count(plan), 0);
    plan_destroy(&plan);
}

static void ranges_are_parts_of_inputs(void **state)
{
    struct plan *plan = *state;
    struct error e = {0};
    int range = plan_add_range(plan, MP4, 0.5, 1.5, &e);
    assert_int_equal(range, 4);
    assert_int_equal(plan_pad_count(plan, range), 2);
    assert_ptr_equal(plan_input_media(plan, range), plan_input_media(plan, MP4));
    int inner = plan_add_range(plan, range, 0, 1, &e);
    assert_true(plan->nodes[inner]->start == 0.5 && plan->nodes[inner]->stop == 1);
    assert_true(plan_add_range(plan, MP4, 1, INFINITY, &e) > 0);
    int count = plan_node_count(plan);

    static const struct {
        double start, stop;
        const char *path;
    } bad[] = {{-1, 2, "start"}, {NAN, 2, "start"}, {INFINITY, INFINITY, "start"}, {1, 1, "stop"},
               {2, 1, "stop"},   {0, NAN, "stop"},  {1e300, 1e301, "start"}};
    for (size_t i = 0; i < COUNT(bad); i++) {
        memset(&e, 0, sizeof e);
        assert_int_equal(plan_add_range(plan, MP4, bad[i].start, bad[i].stop, &e),
                         ERROR_INVALID_OPTION);
        assert_string_equal(e.path, bad[i].path);
        assert_true(e.message[0]);
    }
    assert_int_equal(plan_add_range(plan, range, 1.6, 1.8, &e), ERROR_INVALID_OPTION);
    assert_int_equal(plan_add_range(plan, 99, 0, 1, &e), ERROR_INTERNAL);
    assert_int_equal(plan_add_range(plan, -1, 0, 1, NULL), ERROR_INTERNAL);
    assert_int_equal(plan_node_count(plan), count);
}

static void picks_are_sorted(void **state)
{
    struct plan *plan = *state;
    struct error e = {0};
    const double times[] = {1.5, 0.25, 1.5, 0};
    int pick = plan_add_pick(plan, EDGE(MP4, 0), times, 4, true, &e);
    assert_true(pick > 0);
    const double sorted[] = {0, 0.25, 1.5, 1.5};
    assert_memory_equal(plan->nodes[pick]->times, sorted, sizeof sorted);
    struct plan_type type;
    assert_true(plan_edge_type(plan, EDGE(pick, 0), &type));
    assert_int_equal(type.flow, PLAN_FRAMES);
    assert_int_equal(type.kind, AVMEDIA_TYPE_VIDEO);
    assert_int_equal(type.source_node, MP4);

    const double wrong[] = {NAN, -1, INFINITY, 1e300};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        assert_int_equal(plan_add_pick(plan, EDGE(MP4, 0), &wrong[i], 1, false, &e),
                         ERROR_INVALID_OPTION);
        assert_string_equal(e.path, "at");
    }
    assert_int_equal(plan_add_pick(plan, EDGE(MP4, 1), times, 1, false, &e), ERROR_INVALID_OPTION);
    assert_string_equal(e.got, "audio");
    assert_int_equal(plan_add_pick(plan, EDGE(pick, 0), times, 1, false, &e), ERROR_INVALID_OPTION);
    assert_int_equal(plan_add_pick(plan, EDGE(MP4, 0), times, 0, false, &e), ERROR_LIMIT_EXCEEDED);
}

/* ---- encoders and copies ---- */

static void encoders_take_good_options(void **state)
{
    struct plan *plan = *state;
    static const struct {
        int node, pad;
        const char *codec, *option, *value;
    } cases[] = {
        {MP4, 0, "h264", "crf", "23"},
        {MP4, 0, "h264", "preset", "medium"},
        {MP4, 0, "h264", "tune", "film,fastdecode"},
        {MP4, 0, "h264", "profile", "high"},
        {MP4, 0, "h264", "level", "4.1"},
        {MP4, 0, "h264", "bitrate", "2M"},
        {MP4, 0, "h264", "bitrate", "2000000"},
        {MP4, 0, "h264", "max_bitrate", "2500k"},
        {MP4, 0, "h264", "pixel_format", "yuv422p10le"},
        {MP4, 0, "h264", "frame_rate", "30000/1001"},
        {MP4, 0, "h264", "threads", "2"},
        {MP4, 0, "h264", "gop", "250"},
        {MP4, 0, "h264", "bf", "2"},
        {MP4, 0, "h264", "flags", "+cgop"},
        {MP4, 0, "h264", "x264-params", "scenecut=0:keyint=60"},
        {MP4, 0, "libx264", "title", "A: film, \"quoted\""},
        {MP4, 0, "mjpeg", "quality", "3"},
        {MP4, 0, "vp9", "cpu-used", "4"},
        {MP4, 0, "av1", "preset", "8"},
        {MP4, 1, "aac", "bitrate", "128k"},
        {MP4, 1, "aac", "layout", "5.1"},
        {MP4, 1, "aac", "channels", "1"},
        {MP4, 1, "aac", "sample_rate", "44100"},
        {MP4, 1, "mp3", "quality", "2"},
        {MP4, 1, "opus", "vbr", "on"},
        {MP4, 1, "flac", "sample_format", "s16"},
        {MP4, 1, "aac", "language", "pt-BR"},
        {MP4, 1, "aac", "default", "true"},
        {MP4, 1, "aac", "forced", "0"},
        {MKV, 2, "mov_text", "language", "eng"},
        {MKV, 2, "webvtt", NULL, NULL},
        {MP3, 1, "mjpeg", NULL, NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error e = {0};
        int node = add_encode(plan, EDGE(cases[i].node, cases[i].pad), cases[i].codec,
                              cases[i].option, cases[i].value, &e);
        struct plan_type type;
        if (node < 0 || !plan_edge_type(plan, EDGE(node, 0), &type) || type.flow != PLAN_PACKETS ||
            type.source_node != cases[i].node || type.source_stream != cases[i].pad) {
            fail_msg("%s %s: '%s' at '%s'", cases[i].codec, cases[i].option, e.message, e.path);
        }
        if (cases[i].option) {
            assert_string_equal(plan_setting(plan->nodes[node], cases[i].option), cases[i].value);
        }
    }
}

static void wrong_encoder_options_are_explained(void **state)
{
    struct plan *plan = *state;
    static const struct {
        int pad;
        const char *codec, *option, *value, *path, *message;
    } cases[] = {
        {0, "h246", NULL, NULL, "codec", "unknown codec 'h246'; did you mean 'h264'?"},
        {0, "aac", NULL, NULL, "codec", "'aac' encodes audio, not video"},
        {1, "h264", NULL, NULL, "codec", "'h264' encodes video, not audio"},
        {0, "h264", "presett", "fast", "presett",
         "unknown option 'presett' of encoder 'libx264'; did you mean 'preset'?"},
        {0, "h264", "preset", "medum", "preset",
         "option 'preset' of encoder 'libx264' can't be 'medum'; did you mean 'medium'?"},
        {0, "h264", "crf", "abc", "crf",
         "option 'crf' of encoder 'libx264' can't be 'abc'; it takes a number, at least -1"},
        {0, "h264", "crf", "-5", "crf", NULL},
        {0, "h264", "qmax", "5000", "qmax",
         "option 'qmax' of encoder 'libx264' can't be '5000'; it takes an integer from -1 to 1024"},
        {0, "h264", "bitrate", "fast", "bitrate",
         "option 'bitrate' can't be 'fast'; it takes an integer from 1 to 2000000000"},
        {0, "h264", "bitrate", "0", "bitrate", NULL},
        {0, "h264", "bitrate", "nan", "bitrate", NULL},
        {0, "h264", "bitrate", "1e300", "bitrate", NULL},
        {0, "h264", "bitrate", "", "bitrate", NULL},
        {0, "h264", "pixel_format", "yuv420", "pixel_format",
         "option 'pixel_format' can't be 'yuv420'; it takes yuv420p"},
        {0, "h264", "pixel_format", "vaapi", "pixel_format", NULL},
        {0, "h264", "frame_rate", "1000000", "frame_rate", NULL},
        {0, "h264", "frame_rate", "0", "frame_rate", NULL},
        {0, "h264", "threads", "1000", "threads", NULL},
        {0, "h264", "sample_rate", "48000", "sample_rate",
         "option 'sample_rate' means nothing for video"},
        {0, "h264", "x264-params", "stats=/tmp/x", "x264-params",
         "'stats' in option 'x264-params' is refused: it can name a file, program or device"},
        {0, "h264", "stats", "/tmp/x", "stats",
         "option 'stats' of encoder 'libx264' is refused: it can name a file or device"},
        {0, "h264", "language", "e n g", "language",
         "option 'language' can't be 'e n g'; it takes a language tag like eng or pt-BR"},
        {0, "h264", "default", "yes", "default",
         "option 'default' can't be 'yes'; it takes true or false"},
        {1, "aac", "layout", "seven", "layout", NULL},
        {1, "aac", "sample_format", "s17", "sample_format", NULL},
        {1, "aac", "pixel_format", "yuv420p", "pixel_format",
         "option 'pixel_format' means nothing for audio"},
        {1, "aac", "sample_rate", "44100.5", "sample_rate", NULL},
        {1, "aac", "channels", "0", "channels", NULL},
        {0, "h264_nvenc", NULL, NULL, "codec", "encoder 'h264_nvenc' is not allowed"},
    };
    int count = plan_node_count(plan);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error e = {0};
        int code = add_encode(plan, EDGE(MP4, cases[i].pad), cases[i].codec, cases[i].option,
                              cases[i].value, &e);
        if (code != ERROR_INVALID_OPTION || e.code != code || strcmp(e.path, cases[i].path) != 0 ||
            !e.message[0] || (cases[i].message && strcmp(e.message, cases[i].message) != 0)) {
            fail_msg("%s %s: %d, '%s' at '%s'", cases[i].codec, cases[i].option, code, e.message,
                     e.path);
        }
        if (cases[i].value) {
            bool unknown = strstr(e.message, "unknown") != NULL;
            assert_string_equal(e.got, unknown ? cases[i].option : cases[i].value);
        }
        assert_int_equal(add_encode(plan, EDGE(MP4, cases[i].pad), cases[i].codec, cases[i].option,
                                    cases[i].value, NULL),
                         code);
    }
    assert_int_equal(plan_node_count(plan), count);
    assert_int_equal(add_encode(plan, EDGE(50, 0), "h264", NULL, NULL, NULL), ERROR_INTERNAL);
}

static void subtitles_stay_text(void **state)
{
    struct plan *plan = *state;
    struct error e = {0};
    assert_int_equal(add_encode(plan, EDGE(PGS, 0), "subrip", NULL, NULL, &e),
                     ERROR_INVALID_OPTION);
    assert_string_equal(e.message, "hdmv_pgs_subtitle subtitles can't be turned into subrip, which "
                                   "is text: they are pictures");
    assert_int_equal(add_encode(plan, EDGE(MKV, 2), "dvbsub", NULL, NULL, &e),
                     ERROR_INVALID_OPTION);
    assert_true(plan_add_copy(plan, EDGE(PGS, 0), NULL, NULL, 0, &e) > 0);
}

static void copies_are_of_inputs(void **state)
{
    struct plan *plan = *state;
    struct error e = {0};
    const struct plan_option good[] = {{"language", "eng"}, {"forced", "1"}};
    int copy = plan_add_copy(plan, EDGE(MP4, 0), "h264_mp4toannexb,dump_extra=freq=k", good, 2, &e);
    assert_true(copy > 0);
    struct plan_type type;
    assert_true(plan_edge_type(plan, EDGE(copy, 0), &type));
    assert_int_equal(type.kind, AVMEDIA_TYPE_VIDEO);
    assert_string_equal(type.codec, "h264");

    int scale = add_filter(plan, "scale", EDGE(MP4, 0), NULL, NULL, NULL, NULL, &e);
    assert_int_equal(plan_add_copy(plan, EDGE(scale, 0), NULL, NULL, 0, &e), ERROR_INVALID_OPTION);
    assert_string_equal(e.message, "only a stream straight from an input can be copied");
    assert_string_equal(e.path, "copy");

    static const struct {
        const char *bsf, *message;
    } bad[] = {
        {"nonsense", "bitstream filter 'nonsense' is not allowed"},
        {"trace_headers", "bitstream filter 'trace_headers' is not allowed"},
        {"aac_adtstoasc", "bitstream filter 'aac_adtstoasc' doesn't take h264"},
        {"h264_metadata=no_such=1", NULL},
        {"h264_metadata='x'", "quotes, backslashes and loops are refused in 'bsf'"},
        {"setts=pts=while(1\\,1)", "quotes, backslashes and loops are refused in 'bsf'"},
        {"setts=pts=while(1)", "quotes, backslashes and loops are refused in 'bsf'"},
        {"h264_mp4toannexb,,", NULL},
        {",", NULL},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        memset(&e, 0, sizeof e);
        int code = plan_add_copy(plan, EDGE(MP4, 0), bad[i].bsf, NULL, 0, &e);
        if (code != ERROR_INVALID_OPTION || strcmp(e.path, "bsf") != 0 ||
            (bad[i].message && strcmp(e.message, bad[i].message) != 0)) {
            fail_msg("%s: %d, '%s' at '%s'", bad[i].bsf, code, e.message, e.path);
        }
    }
    const struct plan_option wrong = {"langage", "eng"};
    assert_int_equal(plan_add_copy(plan, EDGE(MP4, 0), NULL, &wrong, 1, &e), ERROR_INVALID_OPTION);
    assert_string_equal(e.message, "a copy has no option 'langage'; did you mean 'language'?");
    assert_string_equal(e.path, "langage");
}

/* ---- outputs ---- */

static void names_are_labels(void **state)
{
    struct plan *plan = *state;
    struct error e = {0};
    int copy = plan_add_copy(plan, EDGE(MP4, 0), NULL, NULL, 0, &e);
    const struct plan_edge track = {copy, 0};
    char longest[1000];
    for (size_t i = 0; i + 3 < sizeof longest; i += 2) {
        memcpy(longest + i, "\xc3\xbc", 3);
    }
    static const struct {
        const char *name, *format, *result;
    } cases[] = {
        {NULL, "mp4", "holiday.mp4"},
        {NULL, "mp4", "holiday-2.mp4"},
        {"", "mp4", "holiday-3.mp4"},
        {NULL, "mkv", "holiday.mkv"},
        {"../../etc/passwd", "mp4", "passwd.mp4"},
        {"C:\\Users\\film.mov", "mp4", "film.mp4"},
        {"a/b/", "mp4", "b_.mp4"},
        {"...", "mp4", "output.mp4"},
        {".hidden", "mp4", "hidden.mp4"},
        {"new\nline\x7f", "mp4", "new_line_.mp4"},
        {"v1.2", "mp4", "v1.2.mp4"},
        {"film.MP4", "mp4", "film-2.MP4"},
        {"film.avi", "mkv", "film.mkv"},
        {"a?b*c", "mov", "a_b_c.mov"},
        {"trailing. ", "mp4", "trailing.mp4"},
        {".mp4", "mp4", "mp4.mp4"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        int output = add_output(plan, cases[i].name, cases[i].format, &track, 1, &e);
        assert_true(output > 0);
        char name[256];
        plan_output_name(plan, output, 0, name, sizeof name);
        if (strcmp(name, cases[i].result) != 0) {
            fail_msg("'%s' is '%s', not '%s'", cases[i].name ? cases[i].name : "none", name,
                     cases[i].result);
        }
    }
    int output = add_output(plan, longest, "mp4", &track, 1, &e);
    char name[256];
    plan_output_name(plan, output, 0, name, sizeof name);
    assert_true(strlen(name) <= 200 && strlen(name) > 100);
    assert_string_equal(name + strlen(name) - 6, "\xc3\xbc.mp4");
    output = add_output(plan, longest, "mp4", &track, 1, &e);
    plan_output_name(plan, output, 0, name, sizeof name);
    assert_true(strlen(name) <= 200);
    assert_string_equal(name + strlen(name) - 8, "\xc3\xbc-2.mp4");
}

static void pictures_are_numbered(void **state)
{
    struct plan *plan = *state;
    struct error e = {0};
    const double times[] = {0, 1};
    int pick = plan_add_pick(plan, EDGE(MP4, 0), times, 2, true, &e);
    int encode = add_encode(plan, EDGE(pick, 0), "mjpeg", "quality", "3", &e);
    const struct plan_edge track = {encode, 0};
    struct plan_output output = {.name = "shot.jpeg",
                                 .format = "jpg",
                                 .tracks = &track,
                                 .track_count = 1,
                                 .metadata_from = -1,
                                 .chapters_from = -1,
                                 .each_picture = true};
    int node = plan_add_output(plan, &output, &e);
    char name[256];
    plan_output_name(plan, node, 0, name, sizeof name);
    assert_string_equal(name, "shot-1.jpeg");
    plan_output_name(plan, node, 9, name, sizeof name);
    assert_string_equal(name, "shot-10.jpeg");

    output.format = "mp4";
    assert_int_equal(plan_add_output(plan, &output, &e), ERROR_INVALID_OPTION);
    int h264 = add_encode(plan, EDGE(pick, 0), "h264", NULL, NULL, &e);
    const struct plan_edge film = {h264, 0};
    output.tracks = &film;
    assert_int_equal(plan_add_output(plan, &output, &e), ERROR_INVALID_OPTION);
    assert_string_equal(e.message, "a file a picture can't be mp4");
}

static void containers_refuse_with_reasons(void **state)
{
    struct plan *plan = *state;
    struct error e = {0};
    int h264 = plan_add_copy(plan, EDGE(MP4, 0), NULL, NULL, 0, &e);
    int aac = plan_add_copy(plan, EDGE(MP4, 1), NULL, NULL, 0, &e);
    int vorbis = plan_add_copy(plan, EDGE(MKV, 1), NULL, NULL, 0, &e);
    int subrip = plan_add_copy(plan, EDGE(MKV, 2), NULL, NULL, 0, &e);
    int mp3 = plan_add_copy(plan, EDGE(MP3, 0), NULL, NULL, 0, &e);
    int cover = plan_add_copy(plan, EDGE(MP3, 1), NULL, NULL, 0, &e);
    int text = add_encode(plan, EDGE(MKV, 2), "mov_text", NULL, NULL, &e);
    const struct {
        const char *format;
        int tracks[3];
        const char *path, *message; /* NULL: accepted */
    } cases[] = {
        {"mp4", {h264, aac, text}, NULL, NULL},
        {"mkv", {h264, vorbis, subrip}, NULL, NULL},
        {"mp3", {mp3, cover}, NULL, NULL},
        {"mp4", {h264, cover}, NULL, NULL},
        {"png", {cover}, NULL, NULL},
        {"mp4",
         {h264, vorbis},
         "tracks[2]",
         "mp4 can't hold vorbis; it takes aac, mp3, ac3, eac3, opus, flac, alac"},
        {"mp4", {h264, subrip}, "tracks[2]", "mp4 can't hold subrip; it takes mov_text"},
        {"mkv", {text}, "tracks[1]", "mkv can't hold mov_text; it takes nearly everything"},
        {"webm", {h264}, "tracks[1]", "webm can't hold h264; it takes vp8, vp9, av1"},
        {"mp3", {h264}, "tracks[1]", "mp3 holds no video"},
        {"mp3", {mp3, mp3}, "tracks[2]", "mp3 holds only 1 track of audio"},
        {"avi", {subrip}, "tracks[1]", "avi holds no subtitles"},
        {"mov", {h264, cover}, NULL, NULL}, /* png is a video codec of mov */
        {"wav", {mp3}, "tracks[1]", NULL},
        {"nonsense", {h264}, "format", "unknown format 'nonsense'"},
        {"mp5", {h264}, "format", "unknown format 'mp5'; did you mean 'mp4'?"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct plan_edge tracks[3];
        int count = 0;
        while (count < 3 && cases[i].tracks[count]) {
            tracks[count] = EDGE(cases[i].tracks[count], 0);
            count++;
        }
        memset(&e, 0, sizeof e);
        int code = add_output(plan, NULL, cases[i].format, tracks, count, &e);
        bool good = cases[i].path ? code == ERROR_INVALID_OPTION && !strcmp(e.path, cases[i].path)
                                  : code > 0;
        if (!good || (cases[i].message && strcmp(e.message, cases[i].message) != 0)) {
            fail_msg("%zu %s: %d, '%s' at '%s'", i, cases[i].format, code, e.message, e.path);
        }
    }
}

static void outputs_need_tracks(void **state)
{
    struct plan *plan = *state;
    struct error e = {0};
    assert_int_equal(add_output(plan, NULL, "mp4", NULL, 0, &e), ERROR_INVALID_OPTION);
    assert_string_equal(e.message, "an output needs at least one track");
    int scale = add_filter(plan, "scale", EDGE(MP4, 0), NULL, NULL, NULL, NULL, &e);
    const struct plan_edge wrong[] = {{MP4, 0}, {scale, 0}, {99, 0}, {-1, 0}};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        assert_int_equal(add_output(plan, NULL, "mp4", &wrong[i], 1, &e), ERROR_INVALID_OPTION);
        assert_string_equal(e.message, "track 1 is neither encoded nor copied");
        assert_string_equal(e.path, "tracks[1]");
    }
    int copy = plan_add_copy(plan, EDGE(MP4, 0), NULL, NULL, 0, &e);
    const struct plan_edge track = {copy, 0};
    struct plan_output output = {.format = "mp4",
                                 .tracks = &track,
                                 .track_count = 1,
                                 .metadata_from = copy,
                                 .chapters_from = -1};
    assert_int_equal(plan_add_output(plan, &output, &e), ERROR_INTERNAL);
    output.metadata_from = MP4;
    output.max_size = -1;
    assert_int_equal(plan_add_output(plan, &output, &e), ERROR_INVALID_OPTION);
    assert_string_equal(e.path, "max_size");
    output.max_size = 1000;
    output.format = NULL;
    output.name = "x.mkv";
    int node = plan_add_output(plan, &output, &e);
    assert_string_equal(plan->nodes[node]->format->name, "mkv");
    output.name = NULL;
    node = plan_add_output(plan, &output, &e);
    assert_string_equal(plan->nodes[node]->format->name, "mp4");
}

static void can_copy_says_why_not(void **state)
{
    struct plan *plan = *state;
    struct error e = {0};
    assert_true(plan_can_copy(plan, EDGE(MP4, 0), "mp4", &e));
    assert_true(plan_can_copy(plan, EDGE(MP4, 0), "mkv", &e));
    assert_true(plan_can_copy(plan, EDGE(MP3, 1), "mp3", &e));
    assert_int_equal(e.code, 0);
    static const struct {
        int node, pad;
        const char *format, *message;
    } cases[] = {
        {MP4, 0, "webm", "webm can't hold h264; it takes vp8, vp9, av1"},
        {MKV, 2, "mp4", "mp4 can't hold subrip; it takes mov_text"},
        {MP4, 0, "mkvv", "unknown format 'mkvv'; did you mean 'mkv'?"},
        {MP4, 5, "mp4", "only a stream straight from an input can be copied"},
        {MP4, 1, "flv", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        memset(&e, 0, sizeof e);
        bool can = plan_can_copy(plan, EDGE(cases[i].node, cases[i].pad), cases[i].format, &e);
        assert_int_equal(can, !cases[i].message);
        assert_int_equal(e.code, cases[i].message ? ERROR_INVALID_OPTION : 0);
        assert_string_equal(e.message, cases[i].message ? cases[i].message : "");
        assert_int_equal(
            plan_can_copy(plan, EDGE(cases[i].node, cases[i].pad), cases[i].format, NULL), can);
    }
}

static void only_what_outputs_need_is_reached(void **state)
{
    struct plan *plan = *state;
    struct error e = {0};
    int copy = plan_add_copy(plan, EDGE(MP4, 0), NULL, NULL, 0, &e);
    int other = plan_add_copy(plan, EDGE(MKV, 0), NULL, NULL, 0, &e);
    add_filter(plan, "scale", EDGE(MP4, 0), NULL, NULL, NULL, NULL, &e);
    const struct plan_edge a = {copy, 0};
    const struct plan_edge b = {other, 0};
    int first = add_output(plan, NULL, "mp4", &a, 1, &e);
    int second = add_output(plan, NULL, "mkv", &b, 1, &e);
    bool reached[16];
    plan_reach(plan, &first, 1, reached);
    const bool only_first[] = {true, false, false, false, true, false, false, true, false};
    assert_memory_equal(reached, only_first, sizeof only_first);
    plan_reach(plan, NULL, 0, reached);
    assert_true(reached[MP4] && reached[MKV] && !reached[MP3] && reached[first] && reached[second]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAN_TEST(inputs_are_described),
        cmocka_unit_test(inputs_that_are_none_are_refused),
        PLAN_TEST(ranges_are_parts_of_inputs),
        PLAN_TEST(picks_are_sorted),
        PLAN_TEST(encoders_take_good_options),
        PLAN_TEST(wrong_encoder_options_are_explained),
        PLAN_TEST(subtitles_stay_text),
        PLAN_TEST(copies_are_of_inputs),
        PLAN_TEST(names_are_labels),
        PLAN_TEST(pictures_are_numbered),
        PLAN_TEST(containers_refuse_with_reasons),
        PLAN_TEST(outputs_need_tracks),
        PLAN_TEST(can_copy_says_why_not),
        PLAN_TEST(only_what_outputs_need_is_reached),
    };
    return cmocka_run_group_tests(tests, make_clips, drop_clips);
}
