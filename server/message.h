/*
 * What passes between the server and a worker: JSON documents over a stream socket, each with its
 * length (4 bytes, big-endian) in front. The server believes nothing: a length over MESSAGE_MAX, a
 * malformed document or an unknown event ends the worker.
 *
 * To the worker, first and only once:
 *   {"task": "run", "job_id", "attempt", "operation", "inputs": [{"blob", "name"?}],
 *    "options": {...}, "threads", "limits": {"lua_memory", "lua_time", "output_bytes"}}
 *   {"task": "describe"}
 * then, as the answer to a "planned" with "heavy": true:
 *   {"go": true}                      (to defer or cancel it, the server kills it)
 *
 * From the worker:
 *   {"event": "planned", "cost": seconds, "heavy": bool}
 *   {"event": "progress", "percent": 0-100 or null, "time", "duration", "frames", "fps", "speed",
 *    "eta", "output_bytes"}
 *   {"event": "log", "text"}
 *   {"event": "made", "index", "name", "size", "blob"}: may be sent on; "output" follows
 *   {"event": "output", "index", "name", "mime", "size", "sha256", "blob", "media"}
 *   {"event": "completed", "result", "notes": [text], "stats": {"cpu_s", "peak_memory_bytes"}}
 *   {"event": "failed", "code", "message", "details"?}
 *   {"event": "operations", "list": [describe documents], "broken": [{"name", "message"}]}
 * completed, failed and operations are the last word; then the worker ends with _exit.
 */
#ifndef LUMA_SERVER_MESSAGE_H
#define LUMA_SERVER_MESSAGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define MESSAGE_MAX       (4 * 1024 * 1024)
#define MESSAGE_DEPTH_MAX 200 /* levels; the journal's database reads no more than 1000 */

/* Whether brackets outside of strings nest in at most so many levels. */
bool message_depth_allowed(const char *text, size_t size, int most);

/* Blocking send and receive on a descriptor, for the worker's side. 0, or -1 (the other end is
 * gone or the message is malformed). */
int message_send(int fd, const json_t *message);
int message_receive(int fd, json_t **message);

/* Incremental parsing, for the server's side: feed bytes, take messages. */
struct message_parser {
    unsigned char *data;
    size_t start, size, capacity; /* pending: from start to size */
};
void message_parser_init(struct message_parser *parser);
void message_parser_finish(struct message_parser *parser);
/* Appends bytes; -1 if a length is 0 or over MESSAGE_MAX, if more than two messages' worth is
 * waiting to be taken, or if memory is gone. Take messages until there is none after each feed. */
int message_parser_feed(struct message_parser *parser, const void *bytes, size_t size);
/* 1 and *message (to be released by the caller); 0 if none is complete; -1 if malformed, and then
 * at every further call. */
int message_parser_next(struct message_parser *parser, json_t **message);

/* The bytes of a message, with its length, malloc'ed. NULL if it is no object or array, too large,
 * or memory is gone. */
unsigned char *message_encode(const json_t *message, size_t *size);

#endif
