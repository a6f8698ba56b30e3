/*
 * The wire's text messages: strict parsing of what a client sends, and the errors it gets.
 *
 * Parsing believes nothing: depth, duplicate keys, NUL and size are refused before any meaning is
 * read; then the message is held against the table of its type, where an unknown field, a missing
 * one or one of the wrong kind is the error invalid_message with its path.
 */
#ifndef LUMA_SERVER_PROTOCOL_H
#define LUMA_SERVER_PROTOCOL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define PROTOCOL_VERSION     1
#define PROTOCOL_SUBPROTOCOL "luma.v1"
#define PROTOCOL_DEPTH_MAX   32
#define REQUEST_ID_MAX       128

/* Close codes beside WebSocket's own. */
enum protocol_close {
    CLOSE_NORMAL = 1000,
    CLOSE_GOING_AWAY = 1001,
    CLOSE_TOO_LARGE = 1009,
    CLOSE_MALFORMED = 4400,
    CLOSE_UNAUTHORIZED = 4401,
    CLOSE_HELLO_TIMEOUT = 4408,
    CLOSE_TOO_MANY = 4429,
};

/* Why something was refused or failed: an error on its way to a client. */
struct problem {
    const char *code; /* one of the table's; NULL: no problem */
    char message[1024];
    json_t *details; /* owned, may be NULL */
    bool permanent;  /* not to be tried again, though its code usually is */
};

/* Sets code and sentence, drops old details. Returns -1. */
int problem_set(struct problem *problem, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Adds details.path, .got and .expected; NULL leaves one out. Returns -1. */
int problem_place(struct problem *problem, const char *path, const char *got, const char *expected);
/* Adds one detail; the value is consumed. Returns -1. */
int problem_detail(struct problem *problem, const char *key, json_t *value);
void problem_finish(struct problem *problem);

/* Whether the code is in the protocol's table, and whether the same request may succeed later. */
bool protocol_code_known(const char *code);
bool protocol_code_retryable(const char *code);

/* The error message of a problem; request_id and job_id may be NULL. Final: a job's last word. */
json_t *protocol_error(const struct problem *problem, const char *request_id, const char *job_id,
                       bool final);

enum message_type {
    MESSAGE_HELLO,
    MESSAGE_PING,
    MESSAGE_DESCRIBE,
    MESSAGE_START_JOB,
    MESSAGE_CANCEL_JOB,
    MESSAGE_ATTACH,
    MESSAGE_FETCH,
    MESSAGE_GET_JOB,
    MESSAGE_LIST_JOBS,
    MESSAGE_DELETE_JOB,
    MESSAGE_TYPE_COUNT
};

/* An object from JSON text, or NULL with invalid_json, or invalid_message for another value. */
json_t *protocol_parse(const char *text, size_t size, struct problem *problem);
/* The message's request_id where it is one, else NULL. */
const char *protocol_request_id(const json_t *message);
/* Holds a message against the table of its type. 0, or -1 with unknown_type, invalid_message or,
 * for the inputs of start_job, invalid_input. */
int protocol_check(const json_t *message, enum message_type *type, struct problem *problem);
/* Holds the header of an upload frame against its table: invalid_header. */
int protocol_check_upload(const json_t *header, struct problem *problem);

/* Seconds since the epoch as RFC 3339 in UTC with milliseconds. */
void protocol_format_time(double seconds, char text[32]);
/* Seconds since the epoch. */
double protocol_now(void);

#endif
