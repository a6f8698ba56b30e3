/*
 * An input's file as a result, byte for byte: what is left when everything that was made of it came
 * out larger.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/io.h"
#include "lua/operation_internal.h"

enum { PIECE = 1 << 20 };

/* Bytes copied, or a negative error code. */
static int64_t copy_bytes(struct job *job, struct io_reader *reader, struct io_writer *writer)
{
    const struct pipeline_control *control = job->request->control;
    struct error *e = &job->outcome->error;
    uint8_t *bytes = malloc(PIECE);
    int64_t at = 0;

    if (!bytes) {
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory to copy a file");
    }
    while (e->code == 0) {
        int count = reader->read_at(reader, bytes, PIECE, at);
        int status = count > 0 ? writer->write_at(writer, bytes, count, at) : count;
        if (status < 0) {
            error_set_av(e, ERROR_INTERNAL, status, "an input can't be copied");
        } else if (count == 0) {
            break;
        } else if (control && atomic_load(&control->cancel)) {
            error_set(e, ERROR_CANCELLED, "cancelled");
        }
        at += count;
    }
    free(bytes);
    return e->code != 0 ? e->code : at;
}

int operation_keep_input(struct job *job, int input, const char *path, int64_t *size)
{
    struct error *e = &job->outcome->error;
    struct io_reader *reader = NULL;
    struct io_writer *writer = NULL;
    int64_t copied = -1;

    if (io_reader_open_file(&reader, job->request->inputs[input].path, "input", e) == 0 &&
        io_writer_create_file(&writer, path, "output", e) == 0) {
        copied = copy_bytes(job, reader, writer);
    }
    io_writer_close(&writer);
    io_reader_close(&reader);
    if (copied < 0) {
        return e->code;
    }
    *size = copied;
    return 0;
}
