/*
 * What encoders learn in a first pass, on its way to the second. See passes.h.
 *
 * Libav's own encoders tell a line of each picture, libvpx and libaom everything at the end; x264
 * and x265 write files whose names derive from one that they are given. That one is made here
 * first, so that it is nobody else's.
 */
#include "engine/passes.h"

#include <errno.h>
#include <libavutil/avstring.h>
#include <libavutil/bprint.h>
#include <libavutil/mem.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/compat.h"

enum learning { LEARN_EACH, LEARN_AT_END, LEARN_FILE, LEARN_PARAMS };

static const struct {
    const char *encoder;
    enum learning learning;
} learners[] = {
    {"libx264", LEARN_FILE},   {"libx264rgb", LEARN_FILE},   {"libx265", LEARN_PARAMS},
    {"libvpx", LEARN_AT_END},  {"libvpx-vp9", LEARN_AT_END}, {"libaom-av1", LEARN_AT_END},
    {"mpeg4", LEARN_EACH},     {"mpeg2video", LEARN_EACH},   {"mpeg1video", LEARN_EACH},
    {"msmpeg4v2", LEARN_EACH}, {"msmpeg4", LEARN_EACH},      {"h263", LEARN_EACH},
    {"h263p", LEARN_EACH},     {"flv", LEARN_EACH},          {"wmv1", LEARN_EACH},
    {"wmv2", LEARN_EACH},
};

/* What libraries add to the name they are given. */
static const char *const endings[] = {
    "", ".temp", ".mbtree", ".mbtree.temp", ".cutree", ".cutree.temp",
};

struct pass_log {
    AVBPrint text;
    char *path; /* NULL where there is no file */
    bool given_up;
};

struct passes {
    struct pass_log *logs; /* of the nodes, in their order */
    int *nodes;
    int count;
};

static int find_learner(const char *encoder)
{
    for (size_t i = 0; i < sizeof learners / sizeof *learners; i++) {
        if (strcmp(learners[i].encoder, encoder) == 0)
            return (int)learners[i].learning;
    }
    return -1;
}

bool passes_possible(const char *encoder)
{
    return find_learner(encoder) >= 0;
}

/* ---- making ---- */

int passes_create(struct passes **out, const struct plan *plan, const int *outputs,
                  int output_count, struct error *e)
{
    size_t room = (size_t)plan->node_count + 1;
    bool *reached = calloc(room, sizeof *reached);
    struct passes *passes = calloc(1, sizeof *passes);
    *out = NULL;
    if (passes) {
        passes->nodes = calloc(room, sizeof *passes->nodes);
        passes->logs = calloc(room, sizeof *passes->logs);
    }
    if (!reached || !passes || !passes->nodes || !passes->logs) {
        free(reached);
        passes_destroy(&passes);
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for two passes");
    }
    plan_reach(plan, outputs, output_count, reached);
    for (int i = 0; i < plan->node_count; i++) {
        if (reached[i] && plan_two_passes(plan->nodes[i])) {
            av_bprint_init(&passes->logs[passes->count].text, 0, AV_BPRINT_SIZE_UNLIMITED);
            passes->nodes[passes->count++] = i;
        }
    }
    free(reached);
    if (passes->count == 0)
        passes_destroy(&passes);
    *out = passes;
    return 0;
}

static void remove_files(const char *path)
{
    char name[PATH_MAX];
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        snprintf(name, sizeof name, "%s%s", path, endings[i]);
        unlink(name);
    }
}

void passes_destroy(struct passes **passes)
{
    if (!passes || !*passes)
        return;
    for (int i = 0; i < (*passes)->count; i++) {
        struct pass_log *log = &(*passes)->logs[i];
        av_bprint_finalize(&log->text, NULL);
        if (log->path)
            remove_files(log->path);
        free(log->path);
    }
    free((*passes)->logs);
    free((*passes)->nodes);
    free(*passes);
    *passes = NULL;
}

const int *passes_nodes(const struct passes *passes, int *count)
{
    *count = passes->count;
    return passes->nodes;
}

/* ---- for the encoders ---- */

static struct pass_log *log_of(const struct encode *encode)
{
    const struct run *run = encode->stage.run;
    struct passes *passes = run->pass == RUN_ONLY ? NULL : run->passes;
    for (int i = 0; passes && i < passes->count; i++) {
        if (run->plan->nodes[passes->nodes[i]] == encode->node)
            return &passes->logs[i];
    }
    return NULL;
}

/* A name in the scratch folder; the file is there from now on. */
static int name_file(struct run *run, struct pass_log *log, struct error *e)
{
    char folder[PATH_MAX - 64], path[PATH_MAX];
    int code = run_scratch(run, folder, sizeof folder, e);
    if (code < 0)
        return code;
    snprintf(path, sizeof path, "%s/.pass-XXXXXX", folder);
    int fd = mkstemp(path);
    if (fd < 0)
        return error_set_av(e, ERROR_INTERNAL, AVERROR(errno), "no file for a first pass");
    close(fd);
    log->path = strdup(path);
    if (!log->path)
        remove_files(path);
    return log->path ? 0 : error_set(e, ERROR_OUT_OF_MEMORY, "no memory for two passes");
}

/* x265 counts passes by its own parameters. A first one that is as slow as the second gains
 * nothing worth its time. */
static int set_params(const struct pass_log *log, bool first, AVDictionary **options)
{
    char *name = NULL;
    if (av_escape(&name, log->path, ":=", AV_ESCAPE_MODE_BACKSLASH, 0) < 0)
        return AVERROR(ENOMEM);
    const AVDictionaryEntry *own = av_dict_get(*options, "x265-params", NULL, 0);
    char *params = av_asprintf("%s%spass=%d:slow-firstpass=0:stats=%s", own ? own->value : "",
                               own && *own->value ? ":" : "", first ? 1 : 2, name);
    av_free(name);
    if (!params)
        return AVERROR(ENOMEM);
    return av_dict_set(options, "x265-params", params, AV_DICT_DONT_STRDUP_VAL);
}

int passes_open(struct encode *encode, AVDictionary **options)
{
    struct run *run = encode->stage.run;
    struct pass_log *log = log_of(encode);
    if (!log || log->given_up)
        return 0;
    struct error *e = &encode->stage.task.error;
    bool first = run->pass == RUN_FIRST;
    int learning = find_learner(encode->node->encoder->name);
    encode->codec->flags |= first ? AV_CODEC_FLAG_PASS1 : AV_CODEC_FLAG_PASS2;
    bool in_file = learning == LEARN_FILE || learning == LEARN_PARAMS;
    int code = in_file && first ? name_file(run, log, e) : 0;
    if (code < 0)
        return code;
    if (!first && !in_file)
        encode->codec->stats_in = log->text.str;
    /* these share out bits by how long pictures are shown */
    if (learning == LEARN_AT_END) {
        AVRational step = av_inv_q(encode->codec->framerate);
        compat_encoder_set_step(encode->codec, av_rescale_q(1, step, encode->codec->time_base));
    }
    if (learning == LEARN_FILE)
        code = av_dict_set(options, "stats", log->path, 0);
    if (learning == LEARN_PARAMS)
        code = set_params(log, first, options);
    return code < 0 ? error_set(e, ERROR_OUT_OF_MEMORY, "no memory for two passes") : 0;
}

bool passes_give_up(struct encode *encode)
{
    struct pass_log *log = log_of(encode);
    bool again = log && encode->stage.run->pass == RUN_SECOND && !log->given_up;
    if (again)
        log->given_up = true;
    return again;
}

int passes_learn(struct encode *encode, bool ended)
{
    struct pass_log *log = log_of(encode);
    int learning = find_learner(encode->node->encoder->name);
    if (!log || !encode->codec->stats_out || learning != (ended ? LEARN_AT_END : LEARN_EACH))
        return 0;
    av_bprintf(&log->text, "%s", encode->codec->stats_out);
    return av_bprint_is_complete(&log->text)
               ? 0
               : error_set(&encode->stage.task.error, ERROR_OUT_OF_MEMORY,
                           "no memory for two passes");
}
