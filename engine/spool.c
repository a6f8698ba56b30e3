/*
 * Frames in a file without a name. A record is a struct record and the picture's planes, in the
 * layout that av_image_fill_arrays() knows, so that a read needs no copy.
 */
#include "engine/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <libavutil/imgutils.h>
#include <libavutil/mem.h>
#include <libavutil/pixdesc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/compat.h"

enum {
    LINE_ALIGN = 64, /* as av_frame_get_buffer() does for the widest vectors */
    PADDING = 64,    /* vector code may read past the end */
};

struct spool {
    int fd;
    int64_t max_bytes;
    int64_t end;  /* of the last record */
    int64_t next; /* record to be read */
    int64_t count;
    uint8_t *buffer; /* a record on its way out */
    size_t capacity;
};

struct record {
    int64_t pts, duration;
    AVRational time_base, aspect;
    int32_t width, height, format, bytes;
    int32_t range, primaries, transfer, matrix, chroma_location;
};

/* The kernel's nameless file where the file system has it, else one whose name is taken away. */
static int open_nameless(const char *directory)
{
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0) {
        return fd;
    }
    char path[4096];
    int length = snprintf(path, sizeof path, "%s/spool-XXXXXX", directory);
    if (length < 0 || (size_t)length >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0) {
        unlink(path);
    }
    return fd;
}

int spool_create(struct spool **spool, const char *directory, int64_t max_bytes, struct error *e)
{
    *spool = NULL;
    struct spool *s = av_mallocz(sizeof *s);
    if (!s) {
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory to put frames aside");
    }
    s->max_bytes = max_bytes;
    s->fd = open_nameless(directory);
    if (s->fd < 0) {
        int code = errno;
        av_free(s);
        return error_set_av(e, ERROR_INTERNAL, AVERROR(code), "can't put frames aside");
    }
    *spool = s;
    return 0;
}

void spool_destroy(struct spool **spool)
{
    if (*spool) {
        close((*spool)->fd);
        av_freep(&(*spool)->buffer);
        av_freep(spool);
    }
}

static int write_all(int fd, const uint8_t *data, size_t size, int64_t at)
{
    while (size) {
        ssize_t done = pwrite(fd, data, size, at);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return done ? -errno : -EIO;
        }
        data += done;
        size -= (size_t)done;
        at += done;
    }
    return 0;
}

static int read_all(int fd, uint8_t *data, size_t size, int64_t at)
{
    while (size) {
        ssize_t done = pread(fd, data, size, at);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return done ? -errno : -EIO;
        }
        data += done;
        size -= (size_t)done;
        at += done;
    }
    return 0;
}

/* Bytes of the picture, or an error if it isn't one that can be stored. */
static int measure(const AVFrame *frame, struct error *e)
{
    const AVPixFmtDescriptor *format = av_pix_fmt_desc_get((enum AVPixelFormat)frame->format);
    int bytes = -1;
    if (format && !(format->flags & AV_PIX_FMT_FLAG_HWACCEL) && frame->width > 0 &&
        frame->height > 0 && frame->data[0]) {
        bytes = av_image_get_buffer_size((enum AVPixelFormat)frame->format, frame->width,
                                         frame->height, LINE_ALIGN);
    }
    return bytes > 0
               ? bytes
               : error_set(e, ERROR_INVALID_INPUT, "only pictures in memory can be put aside");
}

static int grow(struct spool *s, size_t size)
{
    if (size > s->capacity) {
        s->capacity = 0;
        av_freep(&s->buffer);
        s->buffer = av_malloc(size);
        if (!s->buffer) {
            return ERROR_OUT_OF_MEMORY;
        }
        s->capacity = size;
    }
    return 0;
}

int spool_write(struct spool *s, const AVFrame *frame, struct error *e)
{
    int bytes = measure(frame, e);
    if (bytes < 0) {
        return bytes;
    }
    const size_t size = sizeof(struct record) + (size_t)bytes;
    if ((int64_t)size > s->max_bytes - s->end) {
        return error_set(e, ERROR_LIMIT_EXCEEDED,
                         "more than %lld bytes of frames would have to be put aside",
                         (long long)s->max_bytes);
    }
    if (grow(s, size) < 0) {
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory to put a frame aside");
    }
    struct record record;
    memset(&record, 0, sizeof record);
    record = (struct record){
        .pts = frame->pts,
        .duration = compat_frame_duration(frame),
        .time_base = frame->time_base,
        .aspect = frame->sample_aspect_ratio,
        .width = frame->width,
        .height = frame->height,
        .format = frame->format,
        .bytes = bytes,
        .range = frame->color_range,
        .primaries = frame->color_primaries,
        .transfer = frame->color_trc,
        .matrix = frame->colorspace,
        .chroma_location = frame->chroma_location,
    };
    memcpy(s->buffer, &record, sizeof record);
    int result = av_image_copy_to_buffer(
        s->buffer + sizeof record, bytes, (const uint8_t *const *)frame->data, frame->linesize,
        (enum AVPixelFormat)frame->format, frame->width, frame->height, LINE_ALIGN);
    if (result < 0) {
        return error_set_av(e, ERROR_INTERNAL, result, "can't lay a frame out");
    }
    result = write_all(s->fd, s->buffer, size, s->end);
    if (result == -EFBIG) {
        return error_set(e, ERROR_LIMIT_EXCEEDED,
                         "the frames put aside are larger than a file may be");
    }
    if (result < 0) {
        return error_set_av(e, ERROR_INTERNAL, AVERROR(-result), "can't put a frame aside");
    }
    s->end += (int64_t)size;
    s->count++;
    return 0;
}

void spool_rewind(struct spool *s)
{
    s->next = 0;
}

/* The picture's buffer, read from the file. */
static int read_picture(struct spool *s, const struct record *record, AVFrame *frame)
{
    frame->buf[0] = av_buffer_alloc((size_t)record->bytes + PADDING);
    if (!frame->buf[0]) {
        return AVERROR(ENOMEM);
    }
    memset(frame->buf[0]->data + record->bytes, 0, PADDING);
    int result = read_all(s->fd, frame->buf[0]->data, (size_t)record->bytes,
                          s->next + (int64_t)sizeof *record);
    if (result < 0) {
        return AVERROR(-result);
    }
    return av_image_fill_arrays(frame->data, frame->linesize, frame->buf[0]->data,
                                (enum AVPixelFormat)record->format, record->width, record->height,
                                LINE_ALIGN);
}

int spool_read(struct spool *s, AVFrame *frame, struct error *e)
{
    if (s->next >= s->end) {
        return 0;
    }
    struct record record;
    int result = AVERROR(-read_all(s->fd, (uint8_t *)&record, sizeof record, s->next));
    if (result >= 0) {
        result = read_picture(s, &record, frame);
    }
    if (result < 0) {
        av_frame_unref(frame);
        return error_set_av(e, ERROR_INTERNAL, result, "can't read a frame that was put aside");
    }
    frame->extended_data = frame->data;
    frame->width = record.width;
    frame->height = record.height;
    frame->format = record.format;
    frame->pts = record.pts;
    compat_frame_set_duration(frame, record.duration);
    frame->time_base = record.time_base;
    frame->sample_aspect_ratio = record.aspect;
    frame->color_range = (enum AVColorRange)record.range;
    frame->color_primaries = (enum AVColorPrimaries)record.primaries;
    frame->color_trc = (enum AVColorTransferCharacteristic)record.transfer;
    frame->colorspace = (enum AVColorSpace)record.matrix;
    frame->chroma_location = (enum AVChromaLocation)record.chroma_location;
    s->next += (int64_t)sizeof record + record.bytes;
    return 1;
}

int64_t spool_count(const struct spool *s)
{
    return s->count;
}

int64_t spool_size(const struct spool *s)
{
    return s->end;
}
