/*
 * A worker's voice. The lock makes a message whole; the last words are written from buffers of
 * their own, because they are said when memory is gone, or on a thread that can't wait for it.
 */
#include "server/worker_report.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/error.h"
#include "server/message.h"
#include "server/worker_confine.h"

/* A process that crashes with less than this part of its memory left died for want of memory. */
#define MEMORY_RESERVE 8

#define MEMORY_GONE                                                                                \
    "{\"event\":\"failed\",\"code\":\"out_of_memory\",\"message\":\"the job ran out of memory\"}"

static size_t memory_probe; /* bytes; set before signals can come */
static pthread_mutex_t send_lock = PTHREAD_MUTEX_INITIALIZER;

/* Under send_lock. */
static void bytes_send(const unsigned char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t count = write(WORKER_CONTROL_FD, bytes, size);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0) /* the server is gone */
            _exit(EXIT_SUCCESS);
        bytes += count;
        size -= (size_t)count;
    }
}

/* Under send_lock; the text is short. */
static noreturn void text_send_and_end(const char *text)
{
    size_t size = strlen(text);
    const unsigned char header[4] = {0, 0, (unsigned char)(size >> 8), (unsigned char)size};
    bytes_send(header, sizeof(header));
    bytes_send((const unsigned char *)text, size);
    _exit(EXIT_SUCCESS);
}

noreturn void report_memory_gone(void)
{
    pthread_mutex_lock(&send_lock);
    text_send_and_end(MEMORY_GONE);
}

noreturn void report_limit_and_end(const char *limit, const char *text)
{
    char event[512];
    snprintf(event, sizeof(event),
             "{\"event\":\"failed\",\"code\":\"%s\",\"message\":\"%s\","
             "\"details\":{\"limit\":\"%s\"}}",
             error_name(ERROR_LIMIT_EXCEEDED), text, limit);
    pthread_mutex_lock(&send_lock);
    text_send_and_end(event);
}

int report_event(json_t *event)
{
    if (!event)
        report_memory_gone();
    size_t size;
    unsigned char *bytes = message_encode(event, &size);
    json_decref(event);
    if (!bytes)
        return -1;
    pthread_mutex_lock(&send_lock);
    bytes_send(bytes, size);
    pthread_mutex_unlock(&send_lock);
    free(bytes);
    return 0;
}

void report_failure(const char *code, const char *text)
{
    report_event(json_pack("{s:s, s:s, s:s}", "event", "failed", "code", code, "message", text));
}

void report_limit(const char *limit, const char *text)
{
    report_event(json_pack("{s:s, s:s, s:s, s:{s:s}}", "event", "failed", "code",
                           error_name(ERROR_LIMIT_EXCEEDED), "message", text, "details", "limit",
                           limit));
}

/* A signal handler. When another report is half said, the crash speaks for itself. */
static void crash_judge(int number)
{
    void *memory =
        mmap(NULL, memory_probe, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED && pthread_mutex_trylock(&send_lock) == 0)
        text_send_and_end(MEMORY_GONE);
    signal(number, SIG_DFL);
    raise(number);
}

void report_crashes_for_want_of_memory(int64_t limit)
{
    memory_probe = (size_t)limit / MEMORY_RESERVE;
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGABRT};
    struct sigaction action = {.sa_handler = crash_judge, .sa_flags = SA_NODEFER};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++)
        sigaction(crashes[i], &action, NULL);
}
