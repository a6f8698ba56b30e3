/*
 * Framing of JSON documents: a length in four bytes, big-endian, then the text.
 *
 * The parser keeps what has come and not been taken in one buffer; `start` moves over taken
 * messages and the rest is moved to the front only when room is needed, so that many small
 * messages in one read cost one move, not one each.
 */
#include "server/message.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADER_SIZE 4
/* What may be waiting in a parser: one whole message and one more on its way. */
#define PENDING_MAX (2 * ((size_t)MESSAGE_MAX + HEADER_SIZE))
/* An empty parser gives back a buffer that is larger than this. */
#define CAPACITY_KEPT ((size_t)64 * 1024)

static size_t header_read(const unsigned char *bytes)
{
    return (size_t)bytes[0] << 24 | (size_t)bytes[1] << 16 | (size_t)bytes[2] << 8 | bytes[3];
}

bool message_depth_allowed(const char *text, size_t size, int most)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > most)
                return false;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return true;
}

static json_t *document_parse(const unsigned char *text, size_t size)
{
    if (!message_depth_allowed((const char *)text, size, MESSAGE_DEPTH_MAX))
        return NULL;
    json_t *message = json_loadb((const char *)text, size, JSON_REJECT_DUPLICATES, NULL);
    if (message && !json_is_object(message)) {
        json_decref(message);
        return NULL;
    }
    return message;
}

unsigned char *message_encode(const json_t *message, size_t *size)
{
    size_t length = json_dumpb(message, NULL, 0, JSON_COMPACT);
    if (length == 0 || length > MESSAGE_MAX)
        return NULL;
    unsigned char *bytes = malloc(HEADER_SIZE + length);
    if (!bytes)
        return NULL;
    if (json_dumpb(message, (char *)bytes + HEADER_SIZE, length, JSON_COMPACT) != length) {
        free(bytes);
        return NULL;
    }
    for (int i = 0; i < HEADER_SIZE; i++)
        bytes[i] = (unsigned char)(length >> (8 * (HEADER_SIZE - 1 - i)));
    *size = HEADER_SIZE + length;
    return bytes;
}

int message_send(int fd, const json_t *message)
{
    size_t size;
    unsigned char *bytes = message_encode(message, &size);
    if (!bytes)
        return -1;
    size_t sent = 0;
    while (sent < size) {
        ssize_t count = send(fd, bytes + sent, size - sent, MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            break;
        sent += (size_t)count;
    }
    free(bytes);
    return sent == size ? 0 : -1;
}

static int receive_exactly(int fd, unsigned char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t count = recv(fd, bytes, size, 0);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return -1;
        bytes += count;
        size -= (size_t)count;
    }
    return 0;
}

int message_receive(int fd, json_t **message)
{
    unsigned char header[HEADER_SIZE];
    if (receive_exactly(fd, header, sizeof(header)) < 0)
        return -1;
    size_t length = header_read(header);
    if (length == 0 || length > MESSAGE_MAX)
        return -1;
    unsigned char *text = malloc(length);
    if (!text)
        return -1;
    *message = receive_exactly(fd, text, length) < 0 ? NULL : document_parse(text, length);
    free(text);
    return *message ? 0 : -1;
}

void message_parser_init(struct message_parser *parser)
{
    *parser = (struct message_parser){0};
}

void message_parser_finish(struct message_parser *parser)
{
    free(parser->data);
    *parser = (struct message_parser){0};
}

/* Room for `size` more bytes behind the pending ones. */
static int parser_reserve(struct message_parser *parser, size_t size)
{
    size_t pending = parser->size - parser->start;
    if (size > PENDING_MAX - pending)
        return -1;
    if (parser->start > 0) {
        memmove(parser->data, parser->data + parser->start, pending);
        parser->start = 0;
        parser->size = pending;
    }
    if (pending + size <= parser->capacity)
        return 0;
    size_t capacity = parser->capacity ? parser->capacity : 4096;
    while (capacity < pending + size)
        capacity *= 2;
    unsigned char *data = realloc(parser->data, capacity);
    if (!data)
        return -1;
    parser->data = data;
    parser->capacity = capacity;
    return 0;
}

/* The length of the message at the front; 0 if its header isn't whole, -1 if it is refused. */
static int64_t parser_length(const struct message_parser *parser)
{
    if (parser->size - parser->start < HEADER_SIZE)
        return 0;
    size_t length = header_read(parser->data + parser->start);
    return length == 0 || length > MESSAGE_MAX ? -1 : (int64_t)length;
}

int message_parser_feed(struct message_parser *parser, const void *bytes, size_t size)
{
    if (size == 0)
        return 0;
    if (parser_reserve(parser, size) < 0)
        return -1;
    memcpy(parser->data + parser->size, bytes, size);
    parser->size += size;
    return parser_length(parser) < 0 ? -1 : 0;
}

int message_parser_next(struct message_parser *parser, json_t **message)
{
    int64_t length = parser_length(parser);
    if (length < 0)
        return -1;
    if (length == 0 || parser->size - parser->start < HEADER_SIZE + (size_t)length)
        return 0;
    *message = document_parse(parser->data + parser->start + HEADER_SIZE, (size_t)length);
    if (!*message)
        return -1;
    parser->start += HEADER_SIZE + (size_t)length;
    if (parser->start == parser->size) {
        parser->start = parser->size = 0;
        if (parser->capacity > CAPACITY_KEPT)
            message_parser_finish(parser);
    }
    return 1;
}
