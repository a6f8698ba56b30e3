/*
 * What a worker says: events to the server, and the sentences of failures that are not an
 * operation's own.
 *
 * Any thread may report; a report is a whole message. When the server is gone, reporting ends the
 * process.
 */
#ifndef LUMA_SERVER_WORKER_REPORT_H
#define LUMA_SERVER_WORKER_REPORT_H

#include <jansson.h>
#include <stdint.h>
#include <stdnoreturn.h>

/* Consumes the event. 0, or -1 if it is larger than a message may be. NULL is taken for want of
 * memory. */
int report_event(json_t *event);
void report_failure(const char *code, const char *text);
/* limit_exceeded, with the limit's name. */
void report_limit(const char *limit, const char *text);

/* Last words that need no memory; they end the process. */
noreturn void report_memory_gone(void);
noreturn void report_limit_and_end(const char *limit, const char *text);

/* From now on SIGSEGV and SIGABRT for want of memory are reported as that: libraries that don't
 * check their allocations die of those. Any other crash stays what it is. limit: the bytes of
 * RLIMIT_DATA. */
void report_crashes_for_want_of_memory(int64_t limit);

#endif
