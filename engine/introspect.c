/*
 * What this build of libav has: names, nearest names, options.
 *
 * The lists of names are made once and live as long as the process; everything else reads libav's
 * constant tables. Any thread may call anything here.
 */
#include "engine/introspect.h"

#include <ctype.h>
#include <float.h>
#include <libavutil/avstring.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/asset.h"
#include "engine/introspect_internal.h"
#include "engine/policy.h"

enum { NAME_MAX_LENGTH = 48 };

/* Edit distance with swaps of neighbours (optimal string alignment), letters' case ignored.
 * Longer names than the bound are never near. */
static int distance(const char *a, const char *b)
{
    size_t m = strlen(a);
    size_t n = strlen(b);
    if (m > NAME_MAX_LENGTH || n > NAME_MAX_LENGTH) {
        return INT_MAX;
    }
    int rows[3][NAME_MAX_LENGTH + 1];
    for (size_t j = 0; j <= n; j++) {
        rows[0][j] = (int)j;
    }
    for (size_t i = 1; i <= m; i++) {
        int *row = rows[i % 3];
        const int *above = rows[(i - 1) % 3];
        const int *before = rows[(i + 1) % 3]; /* i - 2 */
        row[0] = (int)i;
        for (size_t j = 1; j <= n; j++) {
            int same = tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[j - 1]);
            int best = above[j - 1] + !same;
            best = FFMIN(best, FFMIN(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                best = FFMIN(best, before[j - 2] + 1);
            }
            row[j] = best;
        }
    }
    return rows[m % 3][n];
}

const char *introspect_nearest(const char *name, const char *const *names, size_t count)
{
    size_t length = strlen(name);
    /* One slip in a short name, two in a longer one, three in a long one; never all of it. */
    int limit = length <= 1 ? 0 : length <= 4 ? 1 : length <= 8 ? 2 : 3;
    const char *best = NULL;
    for (size_t i = 0; i < count; i++) {
        int d = distance(name, names[i]);
        if (d <= limit && (size_t)d < strlen(names[i])) {
            best = names[i];
            limit = d - 1;
        }
    }
    return best;
}

/* A growing list of borrowed names. */
struct name_list {
    const char **names;
    size_t count;
};

static void list_add(struct name_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (!strcmp(list->names[i], name)) {
            return;
        }
    }
    const char **names = realloc(list->names, (list->count + 1) * sizeof *names);
    if (names) { /* without memory the list is shorter, which only makes messages poorer */
        list->names = names;
        names[list->count++] = name;
    }
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void list_sort(struct name_list *list)
{
    if (list->count) {
        qsort(list->names, list->count, sizeof *list->names, compare_names);
    }
}

static struct name_list all_filters;
static struct name_list all_encoders;
static pthread_once_t lists_once = PTHREAD_ONCE_INIT;

static void make_lists(void)
{
    void *state = NULL;
    for (const AVFilter *filter; (filter = av_filter_iterate(&state));) {
        if (policy_filter(filter->name, NULL)) {
            list_add(&all_filters, filter->name);
        }
    }
    state = NULL;
    for (const AVCodec *codec; (codec = av_codec_iterate(&state));) {
        if (av_codec_is_encoder(codec) && policy_encoder(codec->name, NULL)) {
            list_add(&all_encoders, codec->name);
            list_add(&all_encoders, avcodec_get_name(codec->id));
        }
    }
    list_sort(&all_filters);
    list_sort(&all_encoders);
}

const char *const *introspect_filters(size_t *count)
{
    pthread_once(&lists_once, make_lists);
    *count = all_filters.count;
    return all_filters.names;
}

const char *const *introspect_encoders(size_t *count)
{
    pthread_once(&lists_once, make_lists);
    *count = all_encoders.count;
    return all_encoders.names;
}

/* "unknown <what> 'scal'; did you mean 'scale'?" */
static void set_unknown(struct error *e, const char *what, const char *owner, const char *name,
                        const char *nearest)
{
    error_set(e, ERROR_INVALID_OPTION, "unknown %s '%.64s'%s%s%s%s%s", what, name,
              owner ? " of " : "", owner ? owner : "", nearest ? "; did you mean '" : "",
              nearest ? nearest : "", nearest ? "'?" : "");
    error_place(e, name, name, nearest);
}

const AVFilter *introspect_filter(const char *name, struct error *e)
{
    const AVFilter *filter = avfilter_get_by_name(name);
    if (filter) {
        return policy_filter(name, e) ? filter : NULL;
    }
    if (policy_filter(name, NULL)) {
        error_set(e, ERROR_INVALID_OPTION, "filter '%s' is not in this build of FFmpeg", name);
        error_place(e, name, name, NULL);
        return NULL;
    }
    size_t count = 0;
    const char *const *names = introspect_filters(&count);
    set_unknown(e, "filter", NULL, name, introspect_nearest(name, names, count));
    return NULL;
}

int introspect_positional(const AVFilter *filter, const char *names[4])
{
    int count = 0;
    const char *table = introspect_positional_table(filter->name);
    if (table) {
        for (const AVOption *option; *table && count < 4;) {
            char name[NAME_MAX_LENGTH] = "";
            size_t length = strcspn(table, " ");
            av_strlcpy(name, table, FFMIN(length + 1, sizeof name));
            option = introspect_filter_option(filter, name, NULL);
            if (option) {
                names[count++] = option->name;
            }
            table += length;
            table += *table == ' ';
        }
        return count;
    }
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

/* An option of a class or of the classes that its objects may contain (scale's scaler, overlay's
 * frame sync), by name. */
static const AVOption *find_option(const AVClass *class, const char *name)
{
    return av_opt_find(&class, name, NULL, 0, AV_OPT_SEARCH_FAKE_OBJ | AV_OPT_SEARCH_CHILDREN);
}

static void add_option_names(struct name_list *list, const AVClass *class, int flags)
{
    if (!class) {
        return;
    }
    const AVOption *option = NULL;
    while ((option = av_opt_next(&class, option))) {
        if (option->type != AV_OPT_TYPE_CONST && (option->flags & flags) == flags) {
            list_add(list, option->name);
        }
    }
}

static void set_unknown_option(struct error *e, const char *what, const char *owner,
                               const char *name, struct name_list *list)
{
    char of[96];
    snprintf(of, sizeof of, "%s '%s'", what, owner);
    set_unknown(e, "option", of, name, introspect_nearest(name, list->names, list->count));
    free(list->names);
}

const AVOption *introspect_filter_option(const AVFilter *filter, const char *name, struct error *e)
{
    const AVOption *option = filter->priv_class ? find_option(filter->priv_class, name) : NULL;
    if (option && option->type != AV_OPT_TYPE_CONST) {
        return option;
    }
    if (!strcmp(name, "enable") && (filter->flags & AVFILTER_FLAG_SUPPORT_TIMELINE)) {
        const AVClass *class = avfilter_get_class();
        return av_opt_find(&class, name, NULL, 0, AV_OPT_SEARCH_FAKE_OBJ);
    }
    struct name_list list = {0};
    if (e && filter->priv_class) {
        add_option_names(&list, filter->priv_class, 0);
        void *state = NULL;
        for (const AVClass *child;
             (child = av_opt_child_class_iterate(filter->priv_class, &state));) {
            add_option_names(&list, child, 0);
        }
    }
    set_unknown_option(e, "filter", filter->name, name, &list);
    return NULL;
}

/* What the pipeline decides itself, from the frames. */
static bool decided_by_engine(const char *name)
{
    static const char *const names[] = {"time_base",      "ar",         "ac",
                                        "ch_layout",      "s",          "pixel_format",
                                        "channel_layout", "video_size", "request_channel_layout"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!strcmp(names[i], name)) {
            return true;
        }
    }
    return false;
}

const AVOption *introspect_encoder_option(const AVCodec *encoder, const char *name, struct error *e)
{
    const AVOption *option = encoder->priv_class ? find_option(encoder->priv_class, name) : NULL;
    if (option && option->type != AV_OPT_TYPE_CONST) {
        return option;
    }
    int flags = AV_OPT_FLAG_ENCODING_PARAM;
    const AVClass *generic = avcodec_get_class();
    option = av_opt_find(&generic, name, NULL, flags, AV_OPT_SEARCH_FAKE_OBJ);
    if (option && option->type != AV_OPT_TYPE_CONST && !decided_by_engine(name)) {
        return option;
    }
    struct name_list list = {0};
    if (e) {
        add_option_names(&list, encoder->priv_class, 0);
        add_option_names(&list, generic, flags);
        for (const char *const *own = introspect_engine_options(); *own; own++) {
            list_add(&list, *own);
        }
    }
    set_unknown_option(e, "encoder", encoder->name, name, &list);
    return NULL;
}

/* For each codec, the encoders in the order in which they are tried. */
static const struct {
    const char *codec, *encoders[3];
} preferred[] = {
    {"h264", {"libx264", "libopenh264"}},
    {"hevc", {"libx265", "libkvazaar"}},
    {"h265", {"libx265", "libkvazaar"}},
    {"av1", {"libsvtav1", "libaom-av1", "librav1e"}},
    {"vp9", {"libvpx-vp9"}},
    {"vp8", {"libvpx"}},
    {"mpeg4", {"mpeg4", "libxvid"}},
    {"theora", {"libtheora"}},
    {"prores", {"prores_ks", "prores"}},
    {"jpeg2000", {"libopenjpeg", "jpeg2000"}},
    {"jpegxl", {"libjxl"}},
    {"webp", {"libwebp"}},
    {"jpeg", {"mjpeg"}},
    {"jpg", {"mjpeg"}},
    {"aac", {"aac", "libfdk_aac"}},
    {"mp3", {"libmp3lame", "libshine"}},
    {"opus", {"libopus"}},
    {"vorbis", {"libvorbis"}},
    {"speex", {"libspeex"}},
    {"amr_nb", {"libopencore_amrnb"}},
    {"amr_wb", {"libvo_amrwbenc"}},
    {"mp2", {"mp2", "libtwolame"}},
    {"gsm", {"libgsm"}},
    {"subrip", {"subrip"}},
    {"srt", {"subrip"}},
    {"ass", {"ass"}},
    {"vtt", {"webvtt"}},
    {"ssa", {"ass"}},
};

static const AVCodec *usable(const AVCodec *encoder)
{
    return encoder && policy_encoder(encoder->name, NULL) ? encoder : NULL;
}

static const AVCodec *encoder_of_codec(const char *name)
{
    for (size_t i = 0; i < sizeof preferred / sizeof *preferred; i++) {
        for (size_t k = 0; k < 3 && !strcmp(name, preferred[i].codec) && preferred[i].encoders[k];
             k++) {
            const AVCodec *encoder = usable(avcodec_find_encoder_by_name(preferred[i].encoders[k]));
            if (encoder) {
                return encoder;
            }
        }
    }
    const AVCodecDescriptor *codec = avcodec_descriptor_get_by_name(name);
    if (!codec) {
        return NULL;
    }
    void *state = NULL;
    for (const AVCodec *encoder; (encoder = av_codec_iterate(&state));) {
        if (encoder->id == codec->id && av_codec_is_encoder(encoder) && usable(encoder)) {
            return encoder;
        }
    }
    return NULL;
}

const AVCodec *introspect_encoder(const char *name, enum AVMediaType kind, struct error *e)
{
    const AVCodec *encoder = encoder_of_codec(name);
    if (!encoder) {
        encoder = avcodec_find_encoder_by_name(name);
        if (encoder && !policy_encoder(encoder->name, e)) {
            return NULL;
        }
    }
    if (!encoder) {
        if (avcodec_descriptor_get_by_name(name)) {
            error_set(e, ERROR_INVALID_OPTION, "this build of FFmpeg has no encoder for '%s'",
                      name);
            error_place(e, "codec", name, NULL);
            return NULL;
        }
        size_t count = 0;
        const char *const *names = introspect_encoders(&count);
        set_unknown(e, "codec", NULL, name, introspect_nearest(name, names, count));
        error_place(e, "codec", NULL, NULL);
        return NULL;
    }
    if (kind != AVMEDIA_TYPE_UNKNOWN && encoder->type != kind) {
        error_set(e, ERROR_INVALID_OPTION, "'%s' encodes %s, not %s", name,
                  introspect_kind(encoder->type), introspect_kind(kind));
        error_place(e, "codec", name, NULL);
        return NULL;
    }
    return encoder;
}

const char *introspect_kind(enum AVMediaType kind)
{
    switch (kind) {
    case AVMEDIA_TYPE_VIDEO:
        return "video";
    case AVMEDIA_TYPE_AUDIO:
        return "audio";
    case AVMEDIA_TYPE_SUBTITLE:
        return "subtitles";
    case AVMEDIA_TYPE_DATA:
        return "data";
    case AVMEDIA_TYPE_ATTACHMENT:
        return "attachments";
    default:
        return "nothing known";
    }
}
