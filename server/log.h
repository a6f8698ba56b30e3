/*
 * The server's log: one event a line on stderr, as key=value or JSON.
 *
 *     log_info("job_ended", LOG_TEXT("job", id), LOG_NUMBER("run_s", seconds));
 *
 * Fields are names and numbers that an operator may see. Tokens, query strings and paths never
 * are. Any thread may log; a line is written with one call.
 */
#ifndef LUMA_SERVER_LOG_H
#define LUMA_SERVER_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_DEBUG_LEVEL, LOG_INFO_LEVEL, LOG_WARNING_LEVEL, LOG_ERROR_LEVEL };
enum log_kind { LOG_END, LOG_TEXT_FIELD, LOG_INTEGER_FIELD, LOG_NUMBER_FIELD };

struct log_field {
    const char *key;
    enum log_kind kind;
    const char *text; /* NULL leaves the field out */
    int64_t integer;
    double number;
};

#define LOG_TEXT(name, value)                                                                      \
    {                                                                                              \
        .key = (name), .kind = LOG_TEXT_FIELD, .text = (value)                                     \
    }
#define LOG_INTEGER(name, value)                                                                   \
    {                                                                                              \
        .key = (name), .kind = LOG_INTEGER_FIELD, .integer = (value)                               \
    }
#define LOG_NUMBER(name, value)                                                                    \
    {                                                                                              \
        .key = (name), .kind = LOG_NUMBER_FIELD, .number = (value)                                 \
    }

#define log_event(level, event, ...)                                                               \
    log_write(level, event, (const struct log_field[]){__VA_ARGS__, {.kind = LOG_END}})
#define log_debug(event, ...)   log_event(LOG_DEBUG_LEVEL, event, __VA_ARGS__)
#define log_info(event, ...)    log_event(LOG_INFO_LEVEL, event, __VA_ARGS__)
#define log_warning(event, ...) log_event(LOG_WARNING_LEVEL, event, __VA_ARGS__)
#define log_error(event, ...)   log_event(LOG_ERROR_LEVEL, event, __VA_ARGS__)

/* Before any thread starts. */
void log_init(enum log_level level, bool json);
/* The fields end with LOG_END; NULL: none. */
void log_write(enum log_level level, const char *event, const struct log_field *fields);

#endif
