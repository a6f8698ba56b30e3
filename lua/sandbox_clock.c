/*
 * The processor time of Lua code, and the thread that watches it.
 *
 * The hook in sandbox.c asks clock_expired() every few thousand instructions. That is enough for
 * most scripts, but hooks don't run inside one C call (a pattern that backtracks), nor in the
 * message handler of an error that a hook raised. So a thread sleeps until the budget could be
 * gone twice over; if it then is, it ends the process. It sleeps on the wall clock, which never
 * runs faster than the processor time of one thread.
 */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lua/sandbox_internal.h"

#define NS 1000000000LL

/* What the watcher allows beyond the budget: as much again, so that the hook comes first. */
#define WATCHER_FACTOR 2

static int64_t read_clock(clockid_t id)
{
    struct timespec now = {0};
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * NS + now.tv_nsec;
}

static int64_t used_locked(const struct sandbox_clock *clock)
{
    return clock->used + (clock->running ? read_clock(clock->cpu) - clock->since : 0);
}

int clock_init(struct sandbox_clock *clock, double seconds, struct error *e)
{
    memset(clock, 0, sizeof *clock);
    clock->budget = llround(seconds * (double)NS);
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0) {
        return error_set(e, ERROR_OUT_OF_MEMORY, "out of memory while starting Lua");
    }
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&clock->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&clock->lock, NULL);
    return 0;
}

void clock_finish(struct sandbox_clock *clock)
{
    if (clock->watching) {
        pthread_mutex_lock(&clock->lock);
        clock->ending = true;
        pthread_cond_signal(&clock->changed);
        pthread_mutex_unlock(&clock->lock);
        pthread_join(clock->watcher, NULL);
        clock->watching = false;
    }
    pthread_cond_destroy(&clock->changed);
    pthread_mutex_destroy(&clock->lock);
}

static _Noreturn void kill_locked(const struct sandbox *sandbox)
{
    /* the lock is held to the end: the Lua thread can't finish its run meanwhile and say
     * something else */
    if (sandbox->settings.killed) {
        sandbox->settings.killed(sandbox->settings.opaque, "lua_time");
    } else {
        fprintf(stderr, "limit_exceeded: the script used more than its processor time\n");
    }
    _exit(SANDBOX_EXIT);
}

void clock_kill(struct sandbox *sandbox)
{
    pthread_mutex_lock(&sandbox->clock.lock);
    kill_locked(sandbox);
}

static void *watch(void *argument)
{
    struct sandbox *sandbox = argument;
    struct sandbox_clock *clock = &sandbox->clock;

    pthread_mutex_lock(&clock->lock);
    while (!clock->ending) {
        if (!clock->active) {
            pthread_cond_wait(&clock->changed, &clock->lock);
            continue;
        }
        int64_t left = clock->budget * WATCHER_FACTOR - used_locked(clock);
        if (left <= 0) {
            kill_locked(sandbox);
        }
        int64_t until = read_clock(CLOCK_MONOTONIC) + left;
        struct timespec when = {until / NS, until % NS};
        pthread_cond_timedwait(&clock->changed, &clock->lock, &when);
    }
    pthread_mutex_unlock(&clock->lock);
    return NULL;
}

static int start_watcher(struct sandbox *sandbox, struct error *e)
{
    struct sandbox_clock *clock = &sandbox->clock;
    pthread_attr_t attributes;
    sigset_t all, before;

    if (pthread_getcpuclockid(pthread_self(), &clock->cpu) != 0) {
        return error_set(e, ERROR_INTERNAL, "the system has no clock of a thread's time");
    }
    if (pthread_attr_init(&attributes) != 0) {
        return error_set(e, ERROR_OUT_OF_MEMORY, "out of memory while starting Lua");
    }
    pthread_attr_setstacksize(&attributes, (size_t)256 * 1024);
    /* signals are for the program's own threads */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int status = pthread_create(&clock->watcher, &attributes, watch, sandbox);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (status != 0) {
        return error_set(e, ERROR_OUT_OF_MEMORY, "no thread to watch the script: %s",
                         strerror(status));
    }
    clock->watching = true;
    return 0;
}

int clock_start(struct sandbox *sandbox, struct error *e)
{
    struct sandbox_clock *clock = &sandbox->clock;

    if (!clock->watching) {
        int status = start_watcher(sandbox, e);
        if (status != 0) {
            return status;
        }
    }
    pthread_mutex_lock(&clock->lock);
    clock->active = clock->running = true;
    clock->since = read_clock(clock->cpu);
    pthread_cond_signal(&clock->changed);
    pthread_mutex_unlock(&clock->lock);
    return 0;
}

void clock_stop(struct sandbox *sandbox)
{
    clock_pause(&sandbox->clock);
    pthread_mutex_lock(&sandbox->clock.lock);
    sandbox->clock.active = false;
    pthread_mutex_unlock(&sandbox->clock.lock);
}

void clock_pause(struct sandbox_clock *clock)
{
    pthread_mutex_lock(&clock->lock);
    clock->used = used_locked(clock);
    clock->running = false;
    pthread_mutex_unlock(&clock->lock);
}

void clock_resume(struct sandbox_clock *clock)
{
    pthread_mutex_lock(&clock->lock);
    clock->since = read_clock(clock->cpu);
    clock->running = true;
    pthread_mutex_unlock(&clock->lock);
}

bool clock_expired(struct sandbox_clock *clock)
{
    pthread_mutex_lock(&clock->lock);
    bool expired = used_locked(clock) >= clock->budget;
    pthread_mutex_unlock(&clock->lock);
    return expired;
}
