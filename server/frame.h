/*
 * Binary messages: [4 bytes: length N of the header, big-endian][N bytes: JSON][payload].
 */
#ifndef LUMA_SERVER_FRAME_H
#define LUMA_SERVER_FRAME_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/identifier.h"
#include "server/protocol.h"

#define FRAME_LENGTH_SIZE 4
#define FRAME_HEADER_MAX  4096
/* Room that a frame of ours needs before its payload. */
#define FRAME_PREFIX_MAX (FRAME_LENGTH_SIZE + FRAME_HEADER_MAX)

struct frame_upload {
    char job[IDENTIFIER_SIZE]; /* empty where the id has not even the form of one */
    int input;
    int64_t offset;
    bool last;
};

struct frame_output {
    const char *job;
    int output;
    int attempt;
    const char *name;
    int64_t offset;
    int64_t size; /* negative: not known */
    bool last;
    const char *request_id; /* NULL: not an answer to fetch */
};

/* The bytes of length and header together, of a message that begins with these bytes and has
 * `have` of them by now, and is complete if `whole`. 0: more bytes are needed. -1: invalid_header
 * (shorter than 4 bytes, N over 4096 or past the end). */
int frame_prefix_size(const uint8_t *bytes, size_t have, bool whole, struct problem *problem);
/* Parses the JSON header of an upload frame. 0 or -1 with invalid_header. */
int frame_parse_upload(const char *text, size_t size, struct frame_upload *upload,
                       struct problem *problem);
/* Writes length and header so that they end right before `payload`; returns their size, at most
 * FRAME_PREFIX_MAX, or 0 when memory is gone. */
size_t frame_put_output(uint8_t *payload, const struct frame_output *output);

#endif
