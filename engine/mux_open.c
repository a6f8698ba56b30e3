/*
 * Making a container: the file, its tracks, tags, chapters and header.
 *
 * Everything that comes from an input is copied before the run starts; afterwards the input
 * belongs to its own task. The muxer can open nothing but the output's own file, which it needs
 * to move an index to the front.
 */
#include <libavutil/avstring.h>
#include <libavutil/eval.h>
#include <libavutil/opt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/compat.h"
#include "engine/mux_internal.h"

int mux_failed(struct mux *mux, int averror, const char *what)
{
    struct error *e = &mux->stage.task.error;
    if (mux->account.failure < 0)
        averror = mux->account.failure;
    if (mux->account.over_limit) {
        long long limit =
            (long long)(mux->account.limit > 0 ? mux->account.limit : mux->account.shared_limit);
        error_set(e, ERROR_LIMIT_EXCEEDED, "'%s' would be larger than %lld bytes", mux->name,
                  limit);
        return error_place(e, "output_bytes", NULL, NULL), ERROR_LIMIT_EXCEEDED;
    }
    return error_set_av(e, ERROR_ENCODE_FAILED, averror, "%s '%s' failed", what, mux->name);
}

/* ---- tags ---- */

/* Facts of the input's container or encoder, which a muxer states anew. */
static bool is_stale(const char *key, bool encoded)
{
    static const char *const container[] = {"major_brand", "minor_version", "compatible_brands",
                                            "duration"};
    static const char *const statistics[] = {"DURATION", "BPS", "NUMBER_OF_FRAMES",
                                             "NUMBER_OF_BYTES", "_STATISTICS_"};
    for (size_t i = 0; i < sizeof container / sizeof *container; i++) {
        if (av_strcasecmp(key, container[i]) == 0)
            return true;
    }
    for (size_t i = 0; i < sizeof statistics / sizeof *statistics; i++) {
        if (strncmp(key, statistics[i], strlen(statistics[i])) == 0)
            return true;
    }
    return encoded && (av_strcasecmp(key, "encoder") == 0 || av_strcasecmp(key, "rotate") == 0);
}

static int copy_tags(AVDictionary **to, const AVDictionary *from, bool encoded)
{
    const AVDictionaryEntry *entry = NULL;
    int code = 0;
    while (code >= 0 && (entry = av_dict_get(from, "", entry, AV_DICT_IGNORE_SUFFIX))) {
        if (!is_stale(entry->key, encoded))
            code = av_dict_set(to, entry->key, entry->value, 0);
    }
    return code;
}

static void set_flag(int *flags, int flag, const char *value)
{
    if (!value)
        return;
    bool on = strcmp(value, "1") == 0 || strcmp(value, "true") == 0;
    *flags = on ? *flags | flag : *flags & ~flag;
}

/* Matroska keeps covers as attached files, which have a name and stand before all packets. */
static int prepare_cover(struct mux_track *track, const AVPacket *picture, enum AVCodecID codec)
{
    bool png = codec == AV_CODEC_ID_PNG;
    track->picture = av_packet_clone(picture);
    if (!track->picture)
        return AVERROR(ENOMEM);
    int code = av_dict_set(&track->tags, "filename", png ? "cover.png" : "cover.jpg",
                           AV_DICT_DONT_OVERWRITE);
    return code < 0 ? code
                    : av_dict_set(&track->tags, "mimetype", png ? "image/png" : "image/jpeg", 0);
}

/* What a copy will bring, by what its container says of the stream. */
static void expect(struct mux_track *track, const struct media_stream *stream,
                   const struct plan_node *input)
{
    if (!(stream->duration > 0) || stream->bit_rate <= 0)
        return;
    double length = fmin(input->stop - input->start, stream->duration);
    track->expected_packets = (int64_t)ceil((double)stream->packets * length / stream->duration);
    track->expected_bytes = (double)stream->bit_rate / 8 * length;
}

static int prepare_track(struct mux *mux, struct mux_track *track, struct plan_edge edge)
{
    const struct plan *plan = mux->stage.run->plan;
    struct plan_type type = {.source_node = -1, .source_stream = -1};
    plan_edge_type(plan, edge, &type);
    track->node = plan->nodes[edge.node];
    track->kind = type.kind;
    track->last = &track->first;
    track->last_dts = AV_NOPTS_VALUE;
    track->start = track->end = track->reached = NAN;
    track->demuxer = "";
    atomic_store(&track->time, AV_NOPTS_VALUE);

    bool encoded = track->node->kind == PLAN_ENCODE;
    const struct media *media =
        type.source_node >= 0 ? plan_input_media(plan, type.source_node) : NULL;
    int code = 0;
    if (media && type.source_stream >= 0) {
        const struct media_stream *stream = &media->streams[type.source_stream];
        track->cover = stream->attached_picture && type.kind == AVMEDIA_TYPE_VIDEO &&
                       !mux->node->format->picture;
        track->disposition = stream->disposition;
        if (!track->cover)
            track->disposition &= ~AV_DISPOSITION_ATTACHED_PIC;
        if (!encoded)
            track->demuxer = media->format;
        if (track->node->kind == PLAN_COPY)
            expect(track, stream, plan->nodes[type.source_node]);
        code = copy_tags(&track->tags, stream->metadata, encoded);
        bool files = strcmp(mux->node->format->muxer, "matroska") == 0;
        if (code >= 0 && track->cover && !encoded && files && stream->picture)
            code = prepare_cover(track, stream->picture, stream->parameters->codec_id);
    }
    track->sparse =
        track->cover || (track->kind != AVMEDIA_TYPE_VIDEO && track->kind != AVMEDIA_TYPE_AUDIO);
    const char *language = plan_setting(track->node, "language");
    const char *title = plan_setting(track->node, "title");
    const char *factor = plan_setting(track->node, "time_factor");
    const char *offset = plan_setting(track->node, "time_offset");
    track->time_factor = factor ? av_strtod(factor, NULL) : 1;
    track->time_offset = offset ? av_strtod(offset, NULL) : 0;
    if (code >= 0 && language)
        code = av_dict_set(&track->tags, "language", language, 0);
    if (code >= 0 && title)
        code = av_dict_set(&track->tags, "title", title, 0);
    set_flag(&track->disposition, AV_DISPOSITION_DEFAULT, plan_setting(track->node, "default"));
    set_flag(&track->disposition, AV_DISPOSITION_FORCED, plan_setting(track->node, "forced"));
    return code;
}

/* ---- chapters ---- */

static int add_chapter(struct mux *mux, const AVDictionary *tags, double start, double end)
{
    AVChapter *chapter = av_mallocz(sizeof *chapter);
    if (!chapter)
        return AVERROR(ENOMEM);
    chapter->id = mux->chapter_count + 1;
    chapter->time_base = AV_TIME_BASE_Q;
    chapter->start = llrint(start * AV_TIME_BASE);
    chapter->end = llrint(end * AV_TIME_BASE);
    mux->chapters[mux->chapter_count++] = chapter;
    return av_dict_copy(&chapter->metadata, tags, 0);
}

static int prepare_own_chapters(struct mux *mux)
{
    const struct plan_node *node = mux->node;
    int code = 0;
    mux->chapters = av_calloc((size_t)node->chapter_count, sizeof(AVChapter *));
    if (!mux->chapters)
        return AVERROR(ENOMEM);
    for (int i = 0; i < node->chapter_count && code >= 0; i++) {
        const struct plan_chapter *chapter = &node->chapters[i];
        if (chapter->stop > 0)
            code = add_chapter(mux, chapter->metadata, fmax(chapter->start, 0), chapter->stop);
    }
    return code;
}

/* Chapters of a range begin and end with it. */
static int prepare_chapters(struct mux *mux)
{
    const struct plan *plan = mux->stage.run->plan;
    if (mux->node->chapter_count > 0)
        return prepare_own_chapters(mux);
    if (mux->node->chapters_from < 0)
        return 0;
    const struct plan_node *input = plan->nodes[mux->node->chapters_from];
    const struct media *media = input->file->media;
    if (media->chapter_count == 0)
        return 0;
    mux->chapters = av_calloc((size_t)media->chapter_count, sizeof(AVChapter *));
    if (!mux->chapters)
        return AVERROR(ENOMEM);
    double length = input->stop - input->start;
    int code = 0;
    for (int i = 0; i < media->chapter_count && code >= 0; i++) {
        double zero = input->file->start + input->start;
        double start = media->chapters[i].start - zero, end = media->chapters[i].end - zero;
        if (!isnan(start) && !isnan(end) && end > 0 && start < length)
            code = add_chapter(mux, media->chapters[i].metadata, fmax(start, 0), fmin(end, length));
    }
    return code;
}

int mux_prepare(struct mux *mux, struct error *e)
{
    const struct plan *plan = mux->stage.run->plan;
    const struct plan_node *node = mux->node;
    int code = 0;
    mux->tracks = calloc((size_t)node->input_count, sizeof *mux->tracks);
    if (!mux->tracks)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for an output");
    mux->track_count = node->input_count;
    for (int i = 0; i < node->input_count && code >= 0; i++)
        code = prepare_track(mux, &mux->tracks[i], node->inputs[i]);
    if (code >= 0 && node->metadata_from >= 0)
        code = copy_tags(&mux->tags, plan_input_media(plan, node->metadata_from)->metadata, true);
    if (code >= 0)
        code = av_dict_copy(&mux->tags, node->metadata, 0);
    if (code >= 0)
        code = prepare_chapters(mux);
    return code < 0 ? error_set(e, ERROR_OUT_OF_MEMORY, "no memory for an output") : 0;
}

/* ---- the container ---- */

static const char own_url[] = "output";

/* What the muxer may open beside its own context: the same file again, to read. */
static int open_own(AVFormatContext *context, AVIOContext **io, const char *url, int flags,
                    AVDictionary **options)
{
    (void)options;
    struct mux *mux = context->opaque;
    if (strcmp(url, own_url) != 0 || (flags & AVIO_FLAG_WRITE))
        return AVERROR(EPERM);
    *io = io_alloc_reread(mux->writer, &mux->account);
    return *io ? 0 : AVERROR(ENOMEM);
}

static int close_own(AVFormatContext *context, AVIOContext *io)
{
    (void)context;
    return io_free_write(&io);
}

int mux_open(struct mux *mux)
{
    struct error *e = &mux->stage.task.error;
    struct run *run = mux->stage.run;
    char path[4096];
    int code = run_output_path(run, mux->number, 0, mux->name, path, sizeof path, e);
    if (code < 0)
        return code;
    if ((code = io_writer_create_file(&mux->writer, path, mux->name, e)) < 0)
        return code;
    mux->account.limit = mux->node->max_size;
    mux->account.shared = &run->output_bytes;
    mux->account.shared_limit = run->plan->limits.max_output_bytes;

    const AVOutputFormat *format = av_guess_format(mux->node->format->muxer, NULL, NULL);
    code = avformat_alloc_output_context2(&mux->context, format, NULL, NULL);
    if (code < 0)
        return mux_failed(mux, code, "making");
    AVFormatContext *context = mux->context;
    context->opaque = mux;
    context->io_open = open_own;
    context->flush_packets = 0; /* a write for each full buffer, not for each packet */
    context->io_close2 = close_own;
    context->flags |= AVFMT_FLAG_CUSTOM_IO;
    context->strict_std_compliance = FF_COMPLIANCE_EXPERIMENTAL;
    context->max_delay = 7 * AV_TIME_BASE / 10; /* ffmpeg's default; transport streams need it */
    context->url = av_strdup(own_url);
    context->pb = io_alloc_write(mux->writer, &mux->account);
    if (!context->url || !context->pb)
        return mux_failed(mux, AVERROR(ENOMEM), "making");
    return 0;
}

/* ---- tracks ---- */

/* Bitstream filters that the muxer doesn't put in by itself. */
static const char *needed_filter(const struct mux *mux, const struct mux_track *track,
                                 const struct track_format *format)
{
    enum AVCodecID codec = format->stream->codecpar->codec_id;
    bool wants_header = (mux->context->oformat->flags & AVFMT_GLOBALHEADER) != 0;
    if (track->node->kind != PLAN_ENCODE) {
        /* Two frames in one packet are a habit of AVI. */
        bool avi = strcmp(track->demuxer, "avi") == 0;
        bool to_avi = strcmp(mux->context->oformat->name, "avi") == 0;
        if (codec == AV_CODEC_ID_H264 && to_avi)
            return "h264_mp4toannexb";
        return codec == AV_CODEC_ID_MPEG4 && avi && !to_avi ? "mpeg4_unpack_bframes" : NULL;
    }
    bool in_band = codec == AV_CODEC_ID_H264 || codec == AV_CODEC_ID_HEVC ||
                   codec == AV_CODEC_ID_MPEG4 || codec == AV_CODEC_ID_MPEG2VIDEO ||
                   codec == AV_CODEC_ID_MPEG1VIDEO;
    return format->annexb_outside && !wants_header && in_band ? "dump_extra" : NULL;
}

int mux_open_track(struct mux *mux, struct mux_track *track)
{
    const struct track_format *format = track->from->format;
    const char *filters = track->node->bsf ? track->node->bsf : needed_filter(mux, track, format);
    track->ready = true;
    if (!filters)
        return 0;
    int code = av_bsf_list_parse_str(filters, &track->bsf);
    if (code >= 0)
        code = avcodec_parameters_copy(track->bsf->par_in, format->stream->codecpar);
    if (code >= 0) {
        track->bsf->time_base_in = format->stream->time_base;
        code = av_bsf_init(track->bsf);
    }
    return code < 0 ? error_set_av(&mux->stage.task.error, ERROR_ENCODE_FAILED, code,
                                   "bitstream filter %s can't be used", filters)
                    : 0;
}

/* A copied tag stays if the new container knows it for this codec, or knows none at all. */
static void choose_tag(const AVFormatContext *context, AVCodecParameters *par)
{
    static const char *const apple[] = {"mp4", "mov", "ipod", "3gp", "3g2"};
    const struct AVCodecTag *const *tags = context->oformat->codec_tag;
    unsigned known = 0;
    bool keep = !tags || av_codec_get_id(tags, par->codec_tag) == par->codec_id ||
                !av_codec_get_tag2(tags, par->codec_id, &known);
    if (!keep)
        par->codec_tag = 0;
    bool dolby =
        par->codec_tag == MKTAG('d', 'v', 'h', '1') || par->codec_tag == MKTAG('d', 'v', 'h', 'e');
    for (size_t i = 0; i < sizeof apple / sizeof *apple; i++) {
        if (par->codec_id == AV_CODEC_ID_HEVC && !dolby &&
            strcmp(context->oformat->name, apple[i]) == 0)
            par->codec_tag = MKTAG('h', 'v', 'c', '1');
    }
}

static int add_side_data(AVStream *stream, const AVStream *from)
{
    int count = 0, code = 0;
    const AVPacketSideData *side = compat_stream_side_data_list(from, &count);
    for (int i = 0; i < count && code >= 0; i++) {
        if (!compat_stream_side_data(stream, side[i].type, NULL))
            code = compat_stream_add_side_data(stream, side[i].type, side[i].data, side[i].size);
    }
    return code;
}

/* Makes a stream an attached file with the picture in it. */
static int attach_picture(AVStream *stream, const AVPacket *picture)
{
    AVCodecParameters *par = stream->codecpar;
    uint8_t *data = av_mallocz((size_t)picture->size + AV_INPUT_BUFFER_PADDING_SIZE);
    if (!data)
        return AVERROR(ENOMEM);
    memcpy(data, picture->data, (size_t)picture->size);
    av_freep(&par->extradata);
    par->extradata = data;
    par->extradata_size = picture->size;
    par->codec_type = AVMEDIA_TYPE_ATTACHMENT;
    stream->disposition = 0;
    return 0;
}

/* QuickTime's own list of languages knows only the bibliographic codes of ISO 639-2, where a
 * language has two. */
static int fit_language(const AVOutputFormat *format, AVDictionary **tags)
{
    static const char *const codes[][2] = {
        {"sqi", "alb"}, {"hye", "arm"}, {"eus", "baq"}, {"mya", "bur"}, {"zho", "chi"},
        {"ces", "cze"}, {"nld", "dut"}, {"fra", "fre"}, {"kat", "geo"}, {"deu", "ger"},
        {"ell", "gre"}, {"isl", "ice"}, {"mkd", "mac"}, {"mri", "mao"}, {"msa", "may"},
        {"fas", "per"}, {"ron", "rum"}, {"slk", "slo"}, {"bod", "tib"}, {"cym", "wel"},
    };
    const AVDictionaryEntry *language = av_dict_get(*tags, "language", NULL, 0);
    bool quicktime = strcmp(format->name, "mov") == 0;
    for (size_t i = 0; quicktime && language && i < sizeof codes / sizeof *codes; i++) {
        if (strcmp(language->value, codes[i][0]) == 0)
            return av_dict_set(tags, "language", codes[i][1], 0);
    }
    return 0;
}

static int add_stream(struct mux *mux, struct mux_track *track)
{
    const struct track_format *format = track->from->format;
    const AVStream *from = format->stream;
    AVStream *stream = avformat_new_stream(mux->context, NULL);
    if (!stream)
        return AVERROR(ENOMEM);
    track->stream = stream;
    int code = avcodec_parameters_copy(stream->codecpar,
                                       track->bsf ? track->bsf->par_out : from->codecpar);
    if (code >= 0)
        code = add_side_data(stream, from);
    if (code < 0)
        return code;
    choose_tag(mux->context, stream->codecpar);
    stream->time_base = track->bsf ? track->bsf->time_base_out : from->time_base;
    const char *muxer = mux->context->oformat->name;
    bool counts = strcmp(muxer, "avi") == 0 || strcmp(muxer, "mxf") == 0;
    if (counts && stream->codecpar->codec_type == AVMEDIA_TYPE_VIDEO &&
        from->avg_frame_rate.num > 0)
        stream->time_base = av_inv_q(from->avg_frame_rate);
    stream->avg_frame_rate = from->avg_frame_rate;
    stream->r_frame_rate = from->r_frame_rate;
    if (from->sample_aspect_ratio.num > 0)
        stream->codecpar->sample_aspect_ratio = from->sample_aspect_ratio;
    stream->sample_aspect_ratio = stream->codecpar->sample_aspect_ratio;
    stream->disposition = track->disposition;
    if (track->picture && (code = attach_picture(stream, track->picture)) < 0)
        return code;
    if ((code = fit_language(mux->context->oformat, &track->tags)) < 0)
        return code;
    return av_dict_copy(&stream->metadata, track->tags, 0);
}

/* `room`: bytes that are left in front for the index. */
static int header_options(struct mux *mux, AVDictionary **options, int64_t room)
{
    int code = 0;
    if (room > 0) {
        code = av_dict_set_int(options, "moov_size", room, 0);
    } else if (mux->node->faststart) {
        code = av_dict_set(options, "movflags", "+faststart", 0);
    }
    for (int i = 0; i < mux->node->settings.count && code >= 0; i++) {
        code = av_dict_set(options, mux->node->settings.list[i].name,
                           mux->node->settings.list[i].value, 0);
    }
    return code;
}

int mux_write_header(struct mux *mux)
{
    AVFormatContext *context = mux->context;
    AVDictionary *options = NULL;
    int code = 0;
    for (int i = 0; i < mux->track_count && code >= 0; i++)
        code = add_stream(mux, &mux->tracks[i]);
    if (code < 0)
        return mux_failed(mux, code, "making");
    context->metadata = mux->tags;
    context->chapters = mux->chapters;
    context->nb_chapters = mux->chapter_count;
    mux->tags = NULL;
    mux->chapters = NULL;
    mux->chapter_count = 0;
    int64_t room = mux->node->faststart ? mux_room_wanted(mux) : 0;
    code = header_options(mux, &options, room);
    if (code >= 0)
        code = avformat_write_header(context, &options);
    av_dict_free(&options);
    if (code < 0)
        return mux_failed(mux, code, "writing the header of");
    if (room > 0)
        mux_room_note(mux, room);
    mux->account.early = mux->stage.run->options->synced && (room > 0 || !mux->node->faststart);
    mux->header_written = true;
    return 0;
}
