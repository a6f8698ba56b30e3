/*
 * Adding files: the name made safe, every track fit for the container.
 */
#include <libavutil/avstring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "engine/introspect_internal.h"
#include "engine/plan_build.h"
#include "engine/policy_internal.h"

enum { NAME_BYTES = 200 };

/* ---- what a container takes ---- */

/* A track as the container sees it. */
struct track {
    enum AVMediaType kind;
    enum AVCodecID codec;
    const AVCodecParameters *parameters; /* copies only */
    bool cover;
};

static int refuse_codec(const struct format *format, const struct track *track, const char *path,
                        struct error *e)
{
    char fits[256];
    format_list_codecs(format, track->kind, fits, sizeof fits);
    const char *name = avcodec_get_name(track->codec);
    if (track->cover) {
        error_set(e, ERROR_INVALID_OPTION, "%s can't hold a cover picture in %s", format->name,
                  name);
    } else if (!*fits) {
        error_set(e, ERROR_INVALID_OPTION, "%s holds no %s", format->name,
                  introspect_kind(track->kind));
    } else if (track->codec == AV_CODEC_ID_NONE) {
        error_set(e, ERROR_INVALID_OPTION, "%s can't hold %s of an unknown codec", format->name,
                  introspect_kind(track->kind));
    } else {
        error_set(e, ERROR_INVALID_OPTION, "%s can't hold %s; it takes %s", format->name, name,
                  fits);
    }
    error_place(e, path, name, fits);
    return ERROR_INVALID_OPTION;
}

/* Codecs that a container takes at some sample rates only. */
static int check_rate(const struct format *format, const struct track *track, const char *path,
                      struct error *e)
{
    static const struct {
        const char *format;
        enum AVCodecID codec;
        int rates[4];
    } limited[] = {
        {"flv", AV_CODEC_ID_MP3, {44100, 22050, 11025}},
        {"3gp", AV_CODEC_ID_AMR_NB, {8000}},
        {"3gp", AV_CODEC_ID_AMR_WB, {16000}},
    };
    for (size_t i = 0; track->parameters && i < sizeof limited / sizeof *limited; i++) {
        if (limited[i].codec != track->codec || strcmp(limited[i].format, format->name) != 0) {
            continue;
        }
        bool fits = false;
        for (size_t k = 0; k < 4 && limited[i].rates[k]; k++) {
            fits |= limited[i].rates[k] == track->parameters->sample_rate;
        }
        if (!fits) {
            char got[32];
            snprintf(got, sizeof got, "%d Hz", track->parameters->sample_rate);
            error_set(e, ERROR_INVALID_OPTION, "%s can't hold %s at %s", format->name,
                      avcodec_get_name(track->codec), got);
            error_place(e, path, got, NULL);
            return ERROR_INVALID_OPTION;
        }
    }
    return 0;
}

static int check_fit(const struct format *format, const struct track *track, const char *path,
                     struct error *e)
{
    bool attachment = track->kind == AVMEDIA_TYPE_ATTACHMENT;
    bool fits = track->cover ? format_takes_cover(format, track->codec)
                             : format_room(format, track->kind) > 0 &&
                                   (attachment || format_takes(format, track->codec));
    return fits ? check_rate(format, track, path, e) : refuse_codec(format, track, path, e);
}

/* False if the edge isn't a track, which encodes and copies give. */
static bool track_of_edge(const struct plan *plan, struct plan_edge edge,
                          const struct format *format, struct track *track)
{
    struct plan_type type;
    if (!plan_edge_type(plan, edge, &type)) {
        return false;
    }
    const struct plan_node *node = plan->nodes[edge.node];
    struct plan_edge source = {type.source_node, type.source_stream};
    const struct media_stream *stream = plan_edge_stream(plan, source);
    *track = (struct track){.kind = type.kind};
    if (node->kind == PLAN_ENCODE) {
        track->codec = node->encoder->id;
    } else if ((node->kind == PLAN_COPY || node->kind == PLAN_INPUT) && stream) {
        track->codec = stream->parameters->codec_id;
        track->parameters = stream->parameters;
    } else if (node->kind == PLAN_SEQUENCE && node->packets) {
        track->codec = node->codec;
        track->parameters = stream ? stream->parameters : NULL;
    } else {
        return false;
    }
    /* A cover stays one, unless it is what a picture file or a video is made of. */
    track->cover = stream && stream->attached_picture && type.kind == AVMEDIA_TYPE_VIDEO &&
                   !format->picture && *format_covers(format);
    return true;
}

static const struct format *find_format(const char *name, struct error *e)
{
    const struct format *format = format_find(name);
    if (!format) {
        enum { MOST = 64 };
        const char *names[MOST];
        size_t count = 0;
        for (const struct format *f = format_table(); f->name && count < MOST; f++) {
            names[count++] = f->name;
        }
        const char *nearest = introspect_nearest(name, names, count);
        error_set(e, ERROR_INVALID_OPTION, "unknown format '%.64s'%s%s%s", name,
                  nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
        error_place(e, "format", name, "mp4, mov, mkv, webm, ...");
        return NULL;
    }
    const AVOutputFormat *muxer = av_guess_format(format->muxer, NULL, NULL);
    if (!muxer || !policy_muxer(format->muxer, NULL)) {
        error_set(e, ERROR_INVALID_OPTION, "this build of FFmpeg can't write %s", format->name);
        error_place(e, "format", name, NULL);
        return NULL;
    }
    return format;
}

bool plan_can_copy(const struct plan *plan, struct plan_edge input, const char *format_name,
                   struct error *e)
{
    const struct media_stream *stream = plan_edge_stream(plan, input);
    if (!stream) {
        error_set(e, ERROR_INVALID_OPTION, "only a stream straight from an input can be copied");
        error_place(e, "copy", "frames", "a stream of an input that no filter has changed");
        return false;
    }
    const struct format *format = find_format(format_name, e);
    struct track track;
    return format && track_of_edge(plan, input, format, &track) &&
           check_fit(format, &track, "format", e) >= 0;
}

static int check_tracks(const struct plan *plan, const struct plan_output *output,
                        const struct format *format, struct error *e)
{
    if (output->track_count < 1) {
        error_set(e, ERROR_INVALID_OPTION, "an output needs at least one track");
        error_place(e, "tracks", "none", "a stream that is encoded or copied");
        return ERROR_INVALID_OPTION;
    }
    int counts[AVMEDIA_TYPE_NB] = {0};
    for (int i = 0; i < output->track_count; i++) {
        char path[32];
        snprintf(path, sizeof path, "tracks[%d]", i + 1);
        struct track track;
        enum plan_kind kind =
            output->tracks[i].node >= 0 && output->tracks[i].node < plan->node_count
                ? plan->nodes[output->tracks[i].node]->kind
                : PLAN_OUTPUT;
        if ((kind != PLAN_ENCODE && kind != PLAN_COPY && kind != PLAN_SEQUENCE) ||
            !track_of_edge(plan, output->tracks[i], format, &track)) {
            error_set(e, ERROR_INVALID_OPTION, "track %d is neither encoded nor copied", i + 1);
            error_place(e, path, NULL, "a stream with encode or copy");
            return ERROR_INVALID_OPTION;
        }
        int code = check_fit(format, &track, path, e);
        if (code < 0) {
            return code;
        }
        if (!track.cover && ++counts[track.kind] > format_room(format, track.kind)) {
            error_set(e, ERROR_INVALID_OPTION, "%s holds only %d track%s of %s", format->name,
                      format_room(format, track.kind),
                      format_room(format, track.kind) == 1 ? "" : "s", introspect_kind(track.kind));
            error_place(e, path, NULL, NULL);
            return ERROR_INVALID_OPTION;
        }
    }
    for (int i = 0; i < output->track_count; i++) {
        /* One picture can be had of what never ends. */
        struct plan_edge from = plan->nodes[output->tracks[i].node]->inputs[0];
        if (plan->nodes[from.node]->endless && (!format->picture || output->each_picture)) {
            char path[32];
            snprintf(path, sizeof path, "tracks[%d]", i + 1);
            error_set(e, ERROR_INVALID_OPTION, "track %d would never end", i + 1);
            error_place(e, path, NULL, "a source with a duration, or a trim after it");
            return ERROR_INVALID_OPTION;
        }
    }
    if (output->each_picture && (output->track_count != 1 || !counts[AVMEDIA_TYPE_VIDEO])) {
        error_set(e, ERROR_INVALID_OPTION, "a file a picture is made of one video track");
        error_place(e, "each_picture", NULL, NULL);
        return ERROR_INVALID_OPTION;
    }
    if (output->each_picture && !format->picture && strcmp(format->name, "webp") != 0) {
        error_set(e, ERROR_INVALID_OPTION, "a file a picture can't be %s", format->name);
        error_place(e, "format", format->name, "jpg, png, webp, bmp or tiff");
        return ERROR_INVALID_OPTION;
    }
    return 0;
}

/* The others would pile up until the palette's last frame has been read. */
static int check_palettes(const struct plan *plan, const struct plan_output *output,
                          struct error *e)
{
    for (int i = 0; output->track_count > 1 && i < output->track_count; i++) {
        struct plan_edge from = plan->nodes[output->tracks[i].node]->inputs[0];
        if (plan->nodes[from.node]->kind == PLAN_PALETTE) {
            char path[32];
            snprintf(path, sizeof path, "tracks[%d]", i + 1);
            error_set(e, ERROR_INVALID_OPTION,
                      "track %d has a palette of its own: no other fits beside it", i + 1);
            error_place(e, path, NULL, "a file with this track only");
            return ERROR_INVALID_OPTION;
        }
    }
    return 0;
}

/* Options of muxers that scripts may set. */
static const struct {
    const char *muxer, *option;
} muxer_options[] = {{"gif", "loop"}, {"webp", "loop"}, {"apng", "plays"}};

static int check_option(const struct format *format, AVFormatContext *scratch,
                        const struct plan_option *option, struct error *e)
{
    bool allowed = false;
    char names[64] = "";
    for (size_t i = 0; i < sizeof muxer_options / sizeof *muxer_options; i++) {
        if (!strcmp(muxer_options[i].muxer, format->muxer)) {
            allowed |= !strcmp(muxer_options[i].option, option->name);
            av_strlcatf(names, sizeof names, "%s%s", *names ? ", " : "", muxer_options[i].option);
        }
    }
    const AVClass *class = scratch->oformat->priv_class;
    const AVOption *known =
        allowed ? av_opt_find(&class, option->name, NULL, 0, AV_OPT_SEARCH_FAKE_OBJ) : NULL;
    if (!known) {
        error_set(e, ERROR_INVALID_OPTION, "%s has no option '%.64s'", format->name, option->name);
        error_place(e, option->name, option->value, *names ? names : NULL);
        return ERROR_INVALID_OPTION;
    }
    int averror = av_opt_set(scratch->priv_data, option->name, option->value, 0);
    return averror < 0
               ? plan_refuse_value(e, format->name, option->name, option, known, class, averror)
               : 0;
}

static int check_options(const struct plan_output *output, const struct format *format,
                         struct error *e)
{
    AVFormatContext *scratch = NULL;
    int code = 0;
    if (output->option_count > 0) {
        const AVOutputFormat *muxer = av_guess_format(format->muxer, NULL, NULL);
        code = avformat_alloc_output_context2(&scratch, muxer, NULL, NULL) < 0
                   ? plan_out_of_memory(e)
                   : 0;
    }
    for (int i = 0; code >= 0 && i < output->option_count; i++) {
        code = check_option(format, scratch, &output->options[i], e);
    }
    avformat_free_context(scratch);
    return code;
}

static int check_references(const struct plan *plan, const struct plan_output *output,
                            struct error *e)
{
    const int inputs[] = {output->metadata_from, output->chapters_from};
    for (size_t i = 0; i < 2; i++) {
        if (inputs[i] >= 0 && !plan_input_media(plan, inputs[i])) {
            return error_set(e, ERROR_INTERNAL, "node %d is no input", inputs[i]);
        }
    }
    for (int i = 0; i < output->chapter_count; i++) {
        const struct plan_chapter *chapter = &output->chapters[i];
        if (!isfinite(chapter->start) || !isfinite(chapter->stop) ||
            chapter->stop < chapter->start || fabs(chapter->start) > 1e9 ||
            fabs(chapter->stop) > 1e9) {
            error_set(e, ERROR_INVALID_OPTION, "chapter %d can't go from %g s to %g s", i + 1,
                      chapter->start, chapter->stop);
            error_place(e, "chapters", NULL, "a start, and a stop that isn't before it");
            return ERROR_INVALID_OPTION;
        }
    }
    if (output->max_size < 0) {
        error_set(e, ERROR_INVALID_OPTION, "a file can't have a negative size");
        error_place(e, "max_size", NULL, "bytes");
        return ERROR_INVALID_OPTION;
    }
    return 0;
}

/* ---- names ---- */

/* Cuts a text to so many bytes, between characters. */
static void cut(char *text, size_t size)
{
    size_t length = strlen(text);
    if (length > size) {
        while (size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80) {
            size--;
        }
        text[size] = '\0';
    }
}

/* A label made a file name: the part after the last slash, without control characters, leading
 * dots, and what file systems reserve. */
static void clean_name(char *name, size_t size, const char *label)
{
    const char *start = label;
    for (const char *p = label; *p; p++) {
        if ((*p == '/' || *p == '\\') && p[1]) {
            start = p + 1;
        }
    }
    start += strspn(start, ". ");
    av_strlcpy(name, start, size);
    cut(name, size - 1);
    for (char *p = name; *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f || strchr("/\\:*?\"<>|", *p)) {
            *p = '_';
        }
    }
    for (size_t length = strlen(name); length && strchr(" .", name[length - 1]); length--) {
        name[length - 1] = '\0';
    }
}

/* Takes an extension off that the format's own replaces: one that names a container. */
static void strip_extension(char *name)
{
    char *dot = strrchr(name, '.');
    if (dot && dot != name && format_find(dot + 1)) {
        *dot = '\0';
    }
}

static bool name_taken(const struct plan *plan, const char *name)
{
    for (int i = 0; i < plan->node_count; i++) {
        if (plan->nodes[i]->kind == PLAN_OUTPUT && !strcasecmp(plan->nodes[i]->name, name)) {
            return true;
        }
    }
    return false;
}

static const char *first_label(const struct plan *plan)
{
    return plan->file_count ? plan->files[0]->label : "output";
}

/* malloc'ed; NULL without memory. */
static char *make_name(const struct plan *plan, const char *given, const struct format *format)
{
    char stem[NAME_BYTES * 4];
    clean_name(stem, sizeof stem, given && *given ? given : first_label(plan));
    /* A name may keep another spelling of its extension ("jpeg"). */
    const char *dot = strrchr(stem, '.');
    char extension[16] = "";
    bool own = given && dot && dot != stem && format_find(dot + 1) == format;
    av_strlcpy(extension, own ? dot + 1 : format->name, sizeof extension);
    strip_extension(stem);
    if (!*stem) {
        av_strlcpy(stem, "output", sizeof stem);
    }
    cut(stem, NAME_BYTES - sizeof extension - 16);
    char name[NAME_BYTES + 32];
    snprintf(name, sizeof name, "%.180s.%s", stem, extension);
    for (int n = 2; name_taken(plan, name); n++) {
        snprintf(name, sizeof name, "%.180s-%d.%s", stem, n, extension);
    }
    return strdup(name);
}

/* ---- output ---- */

static const struct format *choose_format(const struct plan *plan, const struct plan_output *output,
                                          struct error *e)
{
    if (output->format && *output->format) {
        return find_format(output->format, e);
    }
    const char *dot = output->name ? strrchr(output->name, '.') : NULL;
    const struct format *format = dot ? format_find(dot + 1) : NULL;
    if (!format && plan->file_count && plan->files[0]->media) {
        format = format_of_media(plan->files[0]->media);
    }
    return find_format(format ? format->name : "mp4", e);
}

static int copy_chapters(struct plan_node *node, const struct plan_output *output)
{
    if (!output->chapters) {
        return 0;
    }
    node->chapters_from = -1;
    node->chapters = calloc((size_t)output->chapter_count + 1, sizeof *node->chapters);
    if (!node->chapters) {
        return AVERROR(ENOMEM);
    }
    int averror = 0;
    for (int i = 0; i < output->chapter_count && averror >= 0; i++) {
        AVDictionary *tags = NULL;
        averror = av_dict_copy(&tags, output->chapters[i].metadata, 0);
        node->chapters[i] = output->chapters[i];
        node->chapters[i].metadata = tags;
        node->chapter_count++;
    }
    return averror;
}

int plan_add_output(struct plan *plan, const struct plan_output *output, struct error *e)
{
    const struct format *format = choose_format(plan, output, e);
    if (!format) {
        return ERROR_INVALID_OPTION;
    }
    int code = check_tracks(plan, output, format, e);
    if (code >= 0) {
        code = check_palettes(plan, output, e);
    }
    if (code >= 0) {
        code = check_references(plan, output, e);
    }
    if (code >= 0) {
        code = check_options(output, format, e);
    }
    if (code < 0) {
        return code;
    }
    struct plan_node *node = NULL;
    code = plan_node_alloc(&node, plan, PLAN_OUTPUT, output->tracks, output->track_count, e);
    if (code < 0) {
        return code;
    }
    code = plan_settings_copy(&node->settings, output->options, output->option_count, e);
    if (code < 0) {
        plan_node_free(node);
        return code;
    }
    node->name = make_name(plan, output->name, format);
    if (!node->name || av_dict_copy(&node->metadata, output->metadata, 0) < 0) {
        plan_node_free(node);
        return plan_out_of_memory(e);
    }
    node->format = format;
    node->metadata_from = output->metadata_from;
    node->chapters_from = output->chapters_from;
    if (copy_chapters(node, output) < 0) {
        plan_node_free(node);
        return plan_out_of_memory(e);
    }
    node->faststart = output->faststart && policy_listed(format->muxer, "mp4 mov ipod 3gp");
    node->each_picture = output->each_picture;
    node->max_size = output->max_size;
    return plan_append(plan, node, e);
}
