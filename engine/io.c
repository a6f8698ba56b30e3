/*
 * Files behind io_reader and io_writer, and the AVIOContexts over them.
 *
 * Everything is positioned (pread, pwrite): a context keeps its own offset, so several may stand
 * on one file, as a muxer needs when it moves an index to the front.
 */
#include "engine/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/compat.h"

enum { BUFFER_SIZE = 64 * 1024, WRITE_BUFFER_SIZE = 256 * 1024, EARLY_BYTES = 512 * 1024 };

/* ---- files ---- */

struct file_reader {
    struct io_reader base;
    int fd;
};

struct file_writer {
    struct io_writer base;
    int fd;
};

static int read_fd(int fd, uint8_t *buffer, int size, int64_t offset)
{
    ssize_t got;
    do {
        got = pread(fd, buffer, (size_t)size, offset);
    } while (got < 0 && errno == EINTR);
    return got < 0 ? AVERROR(errno) : (int)got;
}

static int file_read_at(struct io_reader *reader, uint8_t *buffer, int size, int64_t offset)
{
    return read_fd(((struct file_reader *)reader)->fd, buffer, size, offset);
}

static int64_t file_size(struct io_reader *reader)
{
    struct stat info;
    if (fstat(((struct file_reader *)reader)->fd, &info) != 0)
        return -1;
    return info.st_size;
}

static void file_close(struct io_reader *reader)
{
    close(((struct file_reader *)reader)->fd);
    free(reader);
}

int io_reader_open_file(struct io_reader **out, const char *path, const char *label,
                        struct error *e)
{
    *out = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return error_set_av(e, ERROR_INVALID_INPUT, AVERROR(errno), "can't open '%s'", label);
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        close(fd);
        return error_set(e, ERROR_INVALID_INPUT, "'%s' is not a regular file", label);
    }
    struct file_reader *file = calloc(1, sizeof *file);
    if (!file) {
        close(fd);
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory to open '%s'", label);
    }
    file->base.read_at = file_read_at;
    file->base.size = file_size;
    file->base.close = file_close;
    file->fd = fd;
    *out = &file->base;
    return 0;
}

void io_reader_close(struct io_reader **reader)
{
    if (*reader)
        (*reader)->close(*reader);
    *reader = NULL;
}

static int file_write_at(struct io_writer *writer, const uint8_t *bytes, int size, int64_t offset)
{
    int fd = ((struct file_writer *)writer)->fd;
    while (size > 0) {
        ssize_t done = pwrite(fd, bytes, (size_t)size, offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return AVERROR(errno);
        bytes += done;
        offset += done;
        size -= (int)done;
    }
    return 0;
}

static int file_reread_at(struct io_writer *writer, uint8_t *buffer, int size, int64_t offset)
{
    return read_fd(((struct file_writer *)writer)->fd, buffer, size, offset);
}

static void file_write_out(struct io_writer *writer, int64_t offset, int64_t size)
{
    (void)sync_file_range(((struct file_writer *)writer)->fd, offset, size, SYNC_FILE_RANGE_WRITE);
}

static void file_finish(struct io_writer *writer)
{
    close(((struct file_writer *)writer)->fd);
    free(writer);
}

int io_writer_create_file(struct io_writer **out, const char *path, const char *label,
                          struct error *e)
{
    *out = NULL;
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) {
        return error_set_av(e, ERROR_INTERNAL, AVERROR(errno), "can't create the file for '%s'",
                            label);
    }
    struct file_writer *file = calloc(1, sizeof *file);
    if (!file) {
        close(fd);
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory to create '%s'", label);
    }
    file->base.write_at = file_write_at;
    file->base.read_at = file_reread_at;
    file->base.write_out = file_write_out;
    file->base.close = file_finish;
    file->fd = fd;
    *out = &file->base;
    return 0;
}

void io_writer_close(struct io_writer **writer)
{
    if (*writer)
        (*writer)->close(*writer);
    *writer = NULL;
}

/* ---- contexts that read ---- */

struct read_state {
    struct io_reader *reader;
    int64_t offset;
    atomic_int *cancel, *watch;
    _Atomic int64_t *position;
};

static int context_read(void *opaque, uint8_t *buffer, int size)
{
    struct read_state *state = opaque;
    if ((state->cancel && atomic_load(state->cancel)) ||
        (state->watch && atomic_load(state->watch)))
        return AVERROR_EXIT;
    int got = state->reader->read_at(state->reader, buffer, size, state->offset);
    if (got == 0)
        return AVERROR_EOF;
    if (got < 0)
        return got;
    state->offset += got;
    if (state->position && state->offset > atomic_load(state->position))
        atomic_store(state->position, state->offset);
    return got;
}

/* The offset that a seek asks for, or an AVERROR. */
static int64_t resolve_seek(int64_t here, int64_t size, int64_t offset, int whence)
{
    int64_t base = 0;
    switch (whence & ~AVSEEK_FORCE) {
    case SEEK_SET:
        break;
    case SEEK_CUR:
        base = here;
        break;
    case SEEK_END:
        base = size;
        break;
    default:
        return AVERROR(EINVAL);
    }
    if (base < 0 || offset > INT64_MAX - base || base + offset < 0)
        return AVERROR(EINVAL);
    return base + offset;
}

static int64_t context_seek(void *opaque, int64_t offset, int whence)
{
    struct read_state *state = opaque;
    int64_t size = state->reader->size(state->reader);
    if (whence & AVSEEK_SIZE)
        return size < 0 ? AVERROR(ENOSYS) : size;
    int64_t target = resolve_seek(state->offset, size, offset, whence);
    if (target >= 0)
        state->offset = target;
    return target;
}

AVIOContext *io_alloc_read(struct io_reader *reader, atomic_int *cancel, _Atomic int64_t *position)
{
    struct read_state *state = calloc(1, sizeof *state);
    uint8_t *buffer = av_malloc(BUFFER_SIZE);
    AVIOContext *io = NULL;
    if (state && buffer)
        io = avio_alloc_context(buffer, BUFFER_SIZE, 0, state, context_read, NULL, context_seek);
    if (!io) {
        free(state);
        av_free(buffer);
        return NULL;
    }
    state->reader = reader;
    state->cancel = cancel;
    state->position = position;
    return io;
}

void io_free_read(AVIOContext **io)
{
    if (!*io)
        return;
    free((*io)->opaque);
    av_freep(&(*io)->buffer);
    avio_context_free(io);
}

void io_watch(AVIOContext *io, atomic_int *cancel)
{
    ((struct read_state *)io->opaque)->watch = cancel;
}

/* ---- contexts that write ---- */

struct write_state {
    struct io_writer *writer;
    struct io_account *account;
    int64_t offset;
};

static int account_grow(struct io_account *account, int64_t end)
{
    int64_t growth = end - account->size;
    if (growth <= 0)
        return 0;
    bool over = account->limit > 0 && end > account->limit;
    if (!over && account->shared) {
        int64_t total = atomic_fetch_add(account->shared, growth) + growth;
        over = account->shared_limit > 0 && total > account->shared_limit;
    }
    if (over) {
        account->over_limit = true;
        return AVERROR(EFBIG);
    }
    account->size = end;
    return 0;
}

static int context_write(void *opaque, compat_written *bytes, int size)
{
    struct write_state *state = opaque;
    struct io_account *account = state->account;
    int code = account->failure;
    if (code == 0)
        code = account_grow(account, state->offset + size);
    if (code == 0)
        code = state->writer->write_at(state->writer, bytes, size, state->offset);
    if (code < 0) {
        account->failure = code;
        return code;
    }
    state->offset += size;
    if (account->early && state->offset - account->begun >= EARLY_BYTES) {
        state->writer->write_out(state->writer, account->begun, state->offset - account->begun);
        account->begun = state->offset;
    }
    return size;
}

static int context_reread(void *opaque, uint8_t *buffer, int size)
{
    struct write_state *state = opaque;
    int got = state->writer->read_at(state->writer, buffer, size, state->offset);
    if (got == 0)
        return AVERROR_EOF;
    if (got > 0)
        state->offset += got;
    return got;
}

static int64_t context_seek_written(void *opaque, int64_t offset, int whence)
{
    struct write_state *state = opaque;
    if (whence & AVSEEK_SIZE)
        return state->account->size;
    int64_t target = resolve_seek(state->offset, state->account->size, offset, whence);
    if (target >= 0)
        state->offset = target;
    return target;
}

static AVIOContext *alloc_written(struct io_writer *writer, struct io_account *account, bool write)
{
    struct write_state *state = calloc(1, sizeof *state);
    int size = write ? WRITE_BUFFER_SIZE : BUFFER_SIZE;
    uint8_t *buffer = av_malloc((size_t)size);
    AVIOContext *io = NULL;
    if (state && buffer) {
        io = avio_alloc_context(buffer, size, write, state, write ? NULL : context_reread,
                                write ? context_write : NULL, context_seek_written);
    }
    if (!io) {
        free(state);
        av_free(buffer);
        return NULL;
    }
    state->writer = writer;
    state->account = account;
    return io;
}

AVIOContext *io_alloc_write(struct io_writer *writer, struct io_account *account)
{
    return alloc_written(writer, account, true);
}

AVIOContext *io_alloc_reread(struct io_writer *writer, struct io_account *account)
{
    return alloc_written(writer, account, false);
}

int io_free_write(AVIOContext **io)
{
    if (!*io)
        return 0;
    if ((*io)->write_flag)
        avio_flush(*io);
    struct write_state *state = (*io)->opaque;
    int code = state->account->failure;
    free(state);
    av_freep(&(*io)->buffer);
    avio_context_free(io);
    return code;
}
