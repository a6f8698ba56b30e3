/*
 * Errors that a person reads.
 *
 * A function that can fail returns 0 (or a useful non-negative number) or a negative error code
 * from the table below. The sentence is written once, where the detail is known, into a struct
 * error that the caller owns; callers on the way up may add context with error_prefix() but never
 * report the same failure a second time. A struct error holds no pointers: it can be copied, kept
 * on the stack, and filled when memory is gone.
 *
 * Any function here takes NULL for the error and then only returns the code; error_place() and
 * error_prefix(), which can't know it then, return ERROR_INTERNAL: never success.
 */
#ifndef LUMA_ENGINE_ERROR_H
#define LUMA_ENGINE_ERROR_H

#include <stdbool.h>

/* Stable codes; error_name() gives the name that clients see. */
enum error_code {
    ERROR_NONE = 0,
    ERROR_INVALID_OPTION = -1,    /* an option's name, type, range or combination */
    ERROR_INVALID_INPUT = -2,     /* the inputs don't fit the operation */
    ERROR_UNSUPPORTED_MEDIA = -3, /* not media, or a format or codec that this build can't read */
    ERROR_CORRUPT_MEDIA = -4,     /* media, but too damaged to use */
    ERROR_NO_SUCH_STREAM = -5,
    ERROR_SCRIPT = -6,
    ERROR_ENCODE_FAILED =
        -7, /* an encoder, filter or muxer failed, or the result isn't as planned */
    ERROR_TIMEOUT = -8,
    ERROR_STALLED = -9,
    ERROR_CANCELLED = -10,
    ERROR_OUT_OF_MEMORY = -11,
    ERROR_LIMIT_EXCEEDED = -12,
    ERROR_DISK_FULL = -13,
    ERROR_INTERNAL = -14,
};

struct error {
    int code;           /* enum error_code */
    char message[1024]; /* one sentence, no trailing full stop needed */
    char path[160];     /* where in the request: "options.crf"; empty if nowhere in particular */
    char got[160];      /* what was given, as text; may be empty */
    char expected[320]; /* what would be accepted, as text; may be empty */
};

/* Makes e the given failure with no place; returns code. */
int error_set(struct error *e, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Same, with the sentence made from an AVERROR: "<text>: <libav's words>". ENOMEM, ENOSPC, EDQUOT
 * and AVERROR_EXIT choose out_of_memory, disk_full and cancelled over the code given. */
int error_set_av(struct error *e, int code, int averror, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#ifdef __clang_analyzer__
/* The analyser can't see into a variadic function: it is told that what comes back is the code. */
void error_seen(const char *format, ...);
#define error_set(e, code, ...) ((void)(e), error_seen(__VA_ARGS__), (code))
#define error_set_av(e, code, averror, ...)                                                        \
    ((void)(e), (void)(averror), error_seen(__VA_ARGS__), (code))
#endif

/* Says where an already set failure is; any of the strings may be NULL. Returns e->code. */
int error_place(struct error *e, const char *path, const char *got, const char *expected);

/* Puts "<text>: " in front of the message. Returns e->code. */
int error_prefix(struct error *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Makes any text valid UTF-8 on one line, in place: what is malformed becomes '?', control
 * characters become spaces. All texts of a struct error have been through it. */
void error_clean_text(char *text);

/* "invalid_option"; "internal" for anything not in the table. */
const char *error_name(int code);

/* The code of a name, or 0. */
int error_from_name(const char *name);

#endif
