/* Plans explained: compared word by word, and the ffmpeg command run for real. What they cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <libavutil/bprint.h>
#include <math.h>
#include <unistd.h>

#include "engine/plan.h"
#include "engine/plan_internal.h"
#include "tests/unit/plan_clips.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define EDGE(n, p)   ((struct plan_edge){(n), (p)})

static struct clips clips;

static struct plan *open_plan(const char *path, const char *label)
{
    struct error e = {0};
    struct plan *plan = plan_create(NULL);
    if (plan_add_input(plan, path, label, NULL, &e) != 0) {
        fail_msg("%s", e.message);
    }
    return plan;
}

static struct plan_edge filter(struct plan *plan, const char *name, const struct plan_edge *edges,
                               int count, const char *option, const char *value)
{
    struct error e = {0};
    const struct plan_option options[] = {{option, value}};
    int node = plan_add_filter(plan, name, edges, count, options, option != NULL, &e);
    if (node < 0) {
        fail_msg("%s: %s", name, e.message);
    }
    return EDGE(node, 0);
}

static struct plan_edge encode(struct plan *plan, struct plan_edge edge, const char *codec,
                               const char *option, const char *value)
{
    struct error e = {0};
    const struct plan_option options[] = {{option, value}};
    int node = plan_add_encode(plan, edge, codec, options, option != NULL, &e);
    if (node < 0) {
        fail_msg("%s: %s", codec, e.message);
    }
    return EDGE(node, 0);
}

static struct plan_edge copy(struct plan *plan, struct plan_edge edge)
{
    struct error e = {0};
    int node = plan_add_copy(plan, edge, NULL, NULL, 0, &e);
    assert_true(node > 0);
    return EDGE(node, 0);
}

static int output(struct plan *plan, const char *name, const char *format,
                  const struct plan_edge *tracks, int count)
{
    struct error e = {0};
    const struct plan_output file = {.name = name,
                                     .format = format,
                                     .tracks = tracks,
                                     .track_count = count,
                                     .metadata_from = 0,
                                     .chapters_from = 0,
                                     .faststart = !strcmp(format, "mp4")};
    int node = plan_add_output(plan, &file, &e);
    if (node < 0) {
        fail_msg("%s: %s", format, e.message);
    }
    return node;
}

static void assert_explained(const struct plan *plan, enum plan_style style, const char *expected)
{
    struct error e = {0};
    char *text = NULL;
    assert_int_equal(plan_explain(plan, NULL, 0, style, &text, &e), 0);
    if (strcmp(text, expected) != 0) {
        fail_msg("it is:\n%s\nnot:\n%s", text, expected);
    }
    free(text);
}

/* Scaled picture, copied sound, and a second file with the sound alone. */
static struct plan *typical_plan(const char *label)
{
    struct plan *plan = open_plan(clips.mp4, label);
    const struct plan_edge video = {0, 0};
    struct plan_edge scaled = filter(plan, "scale", &video, 1, "size", "160x120");
    const struct plan_edge tracks[] = {encode(plan, scaled, "h264", "crf", "30"),
                                       copy(plan, EDGE(0, 1))};
    output(plan, NULL, "mp4", tracks, 2);
    const struct plan_edge sound = encode(plan, EDGE(0, 1), "mp3", "bitrate", "96k");
    output(plan, "sound", "mp3", &sound, 1);
    return plan;
}

static void text_names_every_decision(void **state)
{
    (void)state;
    struct plan *plan = typical_plan("holiday.mp4");
    assert_explained(plan, PLAN_STYLE_TEXT,
                     "[0] input holiday.mp4: mp4, 2.0 s\n"
                     "    [0:0] video h264 320x240 25 fps, decoded\n"
                     "    [0:1] audio aac 48000 Hz stereo eng, decoded and copied\n"
                     "[1] filter scale(size=160x120) from [0:0]\n"
                     "[2] encode libx264(crf=30) from [1]\n"
                     "[3] copy from [0:1]\n"
                     "[4] output holiday.mp4: mp4, index in front, tags of [0], chapters of [0]\n"
                     "    video [2]: encoded by libx264, filtered by scale\n"
                     "    audio [3]: copied, aac fits mp4\n"
                     "[5] encode libmp3lame(bitrate=96k) from [0:1]\n"
                     "[6] output sound.mp3: mp3, tags of [0], chapters of [0]\n"
                     "    audio [5]: encoded by libmp3lame, aac doesn't fit mp3\n");
    /* Only the second file: the picture isn't needed. */
    char *text = NULL;
    const int second = 6;
    assert_int_equal(plan_explain(plan, &second, 1, PLAN_STYLE_TEXT, &text, NULL), 0);
    assert_non_null(strstr(text, "video h264 320x240 25 fps, not used"));
    assert_null(strstr(text, "scale"));
    free(text);
    plan_destroy(&plan);
}

static void graphs_are_for_graphviz(void **state)
{
    (void)state;
    struct plan *plan = typical_plan("a \"quoted\"\nname.mp4");
    assert_explained(plan, PLAN_STYLE_DOT,
                     "digraph plan {\n  rankdir=LR;\n"
                     "  n0 [shape=folder label=\"a \\\"quoted\\\" name.mp4\\nmp4, 2.0 s\"];\n"
                     "  n1 [shape=ellipse label=\"scale\\nsize=160x120\"];\n"
                     "  n2 [shape=box label=\"libx264\\ncrf=30\"];\n"
                     "  n3 [shape=box label=\"copy\"];\n"
                     "  n4 [shape=note label=\"a _quoted__name.mp4\\nmp4\"];\n"
                     "  n5 [shape=box label=\"libmp3lame\\nbitrate=96k\"];\n"
                     "  n6 [shape=note label=\"sound.mp3\\nmp3\"];\n"
                     "  n0 -> n1 [label=\"video h264, decoded\" style=bold];\n"
                     "  n1 -> n2 [label=\"video\"];\n"
                     "  n0 -> n3 [label=\"audio aac\" style=bold];\n"
                     "  n2 -> n4 [label=\"video h264\" style=bold];\n"
                     "  n3 -> n4 [label=\"audio aac\" style=bold];\n"
                     "  n0 -> n5 [label=\"audio aac, decoded\" style=bold];\n"
                     "  n5 -> n6 [label=\"audio mp3\" style=bold];\n"
                     "}\n");
    plan_destroy(&plan);
}

static void commands_are_for_a_shell(void **state)
{
    (void)state;
    struct plan *plan = typical_plan("it's a film; rm -rf.mp4");
    assert_explained(plan, PLAN_STYLE_FFMPEG,
                     "ffmpeg -i 'it'\\''s a film; rm -rf.mp4'"
                     " -filter_complex '[0:0]scale=size=160x120[f1]'"
                     " -map '[f1]' -map 0:1 -c:0 libx264 -crf:0 30 -c:1 copy"
                     " -map_metadata 0 -map_chapters 0 -movflags +faststart"
                     " 'it'\\''s a film; rm -rf.mp4'"
                     " -map 0:1 -c:0 libmp3lame -b:0 96k -map_metadata 0 -map_chapters 0"
                     " sound.mp3\n");
    plan_destroy(&plan);
}

/* ---- commands that run ---- */

/* Runs the explained command in the clips' folder, where the label is the file's own name. */
static void run_command(const struct plan *plan)
{
    char *text = NULL;
    assert_int_equal(plan_explain(plan, NULL, 0, PLAN_STYLE_FFMPEG, &text, NULL), 0);
    text[strcspn(text, "\n")] = '\0';
    AVBPrint command;
    av_bprint_init(&command, 0, AV_BPRINT_SIZE_UNLIMITED);
    av_bprintf(&command, "cd '%s' && %s -v error -nostdin -y >log.txt 2>&1", clips.folder, text);
    if (system(command.str) != 0) {
        fail_msg("%s", command.str);
    }
    av_bprint_finalize(&command, NULL);
    free(text);
}

/* What the ffprobe program reports of a file in the clips' folder, in one line. */
static void assert_probed(const char *file, const char *entries, const char *expected)
{
    char command[512];
    snprintf(command, sizeof command,
             "cd '%s' && ffprobe -v error -show_entries %s -of csv=p=0 '%s' | tr '\\n' ' '",
             clips.folder, entries, file);
    char line[512] = "";
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t length = fread(line, 1, sizeof line - 1, pipe);
    line[length] = '\0';
    pclose(pipe);
    if (strncmp(line, expected, strlen(expected)) != 0) {
        fail_msg("%s is '%s', not '%s'", file, line, expected);
    }
}

static void hard_values_survive_quoting(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "plain",    "it's", "a:b", "a,b;c[d]", "back\\slash", "'quoted'",
        " spaces ", "100%", "\\'", ":",        "a=b",
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct plan *plan = open_plan(clips.mp4, "clip.mp4");
        const struct plan_edge video = {0, 0};
        /* The text goes into a frame's metadata, from where ffprobe could read it: what counts is
         * that the graph is one filter, which the command's success shows. */
        const struct plan_option options[] = {{"mode", "add"}, {"key", "k"}, {"value", texts[i]}};
        struct error e = {0};
        int node = plan_add_filter(plan, "metadata", &video, 1, options, 3, &e);
        assert_true(node > 0);
        struct plan_edge printed =
            filter(plan, "metadata", &(struct plan_edge){node, 0}, 1, "mode", "print");
        const struct plan_edge track = encode(plan, printed, "mpeg4", "threads", "1");
        output(plan, "quoted", "mkv", &track, 1);
        char *text = NULL;
        assert_int_equal(plan_explain(plan, NULL, 0, PLAN_STYLE_FFMPEG, &text, NULL), 0);
        text[strcspn(text, "\n")] = '\0';
        char command[2048];
        snprintf(command, sizeof command, "cd '%s' && %s -v info -nostdin -y 2>log.txt",
                 clips.folder, text);
        assert_int_equal(system(command), 0);
        free(text);

        char path[128];
        char log[65536] = "";
        char wanted[128];
        snprintf(path, sizeof path, "%s/log.txt", clips.folder);
        FILE *file = fopen(path, "r");
        size_t length = fread(log, 1, sizeof log - 1, file);
        log[length] = '\0';
        fclose(file);
        snprintf(wanted, sizeof wanted, "] k=%s\n", texts[i]);
        if (!strstr(log, wanted)) {
            fail_msg("'%s' got lost", texts[i]);
        }
        plan_destroy(&plan);
    }
}

static void the_command_does_the_same(void **state)
{
    (void)state;
    struct error e = {0};
    struct plan *plan = open_plan(clips.mp4, "clip.mp4");
    int range = plan_add_range(plan, 0, 0.5, 1.5, &e);
    const struct plan_edge video = {range, 0};
    struct plan_edge scaled = filter(plan, "scale", &video, 1, "size", "160x120");
    struct plan_edge split = filter(plan, "split", &scaled, 1, "outputs", "2");
    struct plan_edge flipped =
        filter(plan, "hflip", &(struct plan_edge){split.node, 1}, 1, NULL, NULL);
    const struct plan_edge both[] = {split, flipped};
    struct plan_edge stacked = filter(plan, "hstack", both, 2, NULL, NULL);
    /* The stacked picture goes into two files, the flipped one into a third track. */
    const struct plan_edge first[] = {encode(plan, stacked, "mpeg4", "quality", "5"),
                                      encode(plan, EDGE(range, 1), "aac", "channels", "1")};
    output(plan, "first", "mp4", first, 2);
    const struct plan_edge second[] = {encode(plan, stacked, "mjpeg", NULL, NULL),
                                       encode(plan, flipped, "mjpeg", NULL, NULL)};
    output(plan, "second", "mkv", second, 2);
    run_command(plan);
    assert_probed("first.mp4", "stream=codec_name,width,height,channels", "mpeg4,320,120 aac,1 ");
    assert_probed("second.mkv", "stream=codec_name,width,height", "mjpeg,320,120 mjpeg,160,120 ");
    assert_probed("first.mp4", "format=duration", "1.0");
    plan_destroy(&plan);
}

static void picks_become_inputs(void **state)
{
    (void)state;
    struct error e = {0};
    struct plan *plan = open_plan(clips.mp4, "clip.mp4");
    const double times[] = {0.5, 1.2, 1.8};
    int pick = plan_add_pick(plan, EDGE(0, 0), times, 3, false, &e);
    const struct plan_edge picked = {pick, 0};
    struct plan_edge small = filter(plan, "scale", &picked, 1, "size", "80x60");
    const struct plan_edge track = encode(plan, small, "mjpeg", NULL, NULL);
    struct plan_output pictures = {.name = "shot",
                                   .format = "jpg",
                                   .tracks = &track,
                                   .track_count = 1,
                                   .metadata_from = -1,
                                   .chapters_from = -1,
                                   .each_picture = true};
    assert_true(plan_add_output(plan, &pictures, &e) > 0);
    assert_explained(plan, PLAN_STYLE_TEXT,
                     "[0] input clip.mp4: mp4, 2.0 s\n"
                     "    [0:0] video h264 320x240 25 fps, decoded\n"
                     "    [0:1] audio aac 48000 Hz stereo eng, not used\n"
                     "[1] pick frames at 0.5, 1.2, 1.8 s from [0:0]\n"
                     "[2] filter scale(size=80x60) from [1]\n"
                     "[3] encode mjpeg from [2]\n"
                     "[4] output shot.jpg: jpg, a file a picture\n"
                     "    video [3]: encoded by mjpeg, of single frames filtered by scale\n");
    run_command(plan);
    assert_probed("shot-1.jpg", "stream=codec_name,width,height", "mjpeg,80,60 ");
    assert_probed("shot-3.jpg", "stream=codec_name,width,height", "mjpeg,80,60 ");
    char fourth[128];
    snprintf(fourth, sizeof fourth, "%s/shot-4.jpg", clips.folder);
    assert_int_not_equal(access(fourth, F_OK), 0);
    plan_destroy(&plan);
}

static void sources_and_unused_pads_run(void **state)
{
    (void)state;
    struct error e = {0};
    struct plan *plan = open_plan(clips.mkv, "clip.mkv");
    const struct plan_option size[] = {{"size", "320x240"}, {"duration", "1"}, {"rate", "25"}};
    int color = plan_add_filter(plan, "color", NULL, 0, size, 3, &e);
    const struct plan_edge segments[] = {{0, 0}, {color, 0}};
    struct plan_edge joined = filter(plan, "concat", segments, 2, "n", "2");
    struct plan_edge parts = filter(plan, "asplit", &(struct plan_edge){0, 1}, 1, "outputs", "2");
    const struct plan_edge tracks[] = {encode(plan, joined, "mpeg4", NULL, NULL),
                                       encode(plan, EDGE(parts.node, 1), "aac", NULL, NULL),
                                       encode(plan, EDGE(0, 2), "mov_text", "language", "eng")};
    output(plan, "joined", "mp4", tracks, 3);
    run_command(plan);
    assert_probed("joined.mp4", "stream=codec_name,channels", "mpeg4 aac,2 mov_text ");
    assert_probed("joined.mp4", "format=duration", "3.0");
    plan_destroy(&plan);
}

/* ---- cost ---- */

static double cost_of(const char *path, const char *codec, const char *option, const char *value)
{
    struct plan *plan = open_plan(path, "x.mp4");
    const struct plan_edge track =
        codec ? encode(plan, EDGE(0, 0), codec, option, value) : copy(plan, EDGE(0, 0));
    output(plan, NULL, "mkv", &track, 1);
    double cost = plan_cost(plan, NULL, 0);
    plan_destroy(&plan);
    return cost;
}

static void costs_tell_light_from_heavy(void **state)
{
    (void)state;
    struct error e = {0};
    char film[96];
    assert_int_equal(clips_make(&clips, "film.mp4", sizeof film, film,
                                "-f lavfi -i testsrc2=s=640x480:r=25:d=5 -c:v mpeg4 -g 50"),
                     0);
    struct plan *plan = open_plan(film, "film.mp4");
    assert_true(plan_cost(plan, NULL, 0) < 0.1); /* a probe */

    const double times[] = {0, 1, 2};
    int pick = plan_add_pick(plan, EDGE(0, 0), times, 3, false, &e);
    const struct plan_edge pictures = encode(plan, EDGE(pick, 0), "mjpeg", NULL, NULL);
    int jpg = output(plan, NULL, "jpg", &pictures, 1);
    assert_true(plan_cost(plan, &jpg, 1) < 0.5);
    plan_destroy(&plan);

    assert_true(cost_of(film, NULL, NULL, NULL) < 0.5);
    double medium = cost_of(film, "h264", "preset", "medium");
    assert_true(medium > 2 && medium < 20);
    assert_true(cost_of(film, "h264", "preset", "slow") > medium);
    assert_true(cost_of(film, "h264", "preset", "veryfast") < medium);
    assert_true(cost_of(film, "hevc", "preset", "medium") > medium);
    assert_true(cost_of(clips.mp4, "h264", "preset", "medium") < medium);
}

static int make_clips(void **state)
{
    (void)state;
    av_log_set_level(AV_LOG_QUIET);
    return clips_init(&clips);
}

static int drop_clips(void **state)
{
    (void)state;
    clips_finish(&clips);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_names_every_decision),
        cmocka_unit_test(graphs_are_for_graphviz),
        cmocka_unit_test(commands_are_for_a_shell),
        cmocka_unit_test(hard_values_survive_quoting),
        cmocka_unit_test(the_command_does_the_same),
        cmocka_unit_test(picks_become_inputs),
        cmocka_unit_test(sources_and_unused_pads_run),
        cmocka_unit_test(costs_tell_light_from_heavy),
    };
    return cmocka_run_group_tests(tests, make_clips, drop_clips);
}
