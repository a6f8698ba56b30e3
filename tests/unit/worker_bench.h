/*
 * A pool of workers on a loop of its own, and what is seen of each worker.
 *
 * The pool starts /proc/self/exe as its template, so a program that uses this is its own template:
 * the product's, or that of worker_hostile.h.
 */
#ifndef LUMA_TESTS_UNIT_WORKER_BENCH_H
#define LUMA_TESTS_UNIT_WORKER_BENCH_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "server/worker.h"

#define JOB         "00000000000000000000000000000001" /* has one input */
#define PATIENCE_MS 20000

struct seen {
    struct worker *worker;
    json_t *messages;
    int exits, breaks;
    struct worker_exit how;
    bool after_exit; /* a message came after the end */
    bool kill_at_first;
};

struct bench {
    uv_loop_t loop;
    struct worker_pool *pool;
};

/* For worker_start(): they fill a struct seen. */
extern const struct worker_events bench_events;

/* Made by bench_setup(): the folder of jobs, and small operations. */
extern char blobs[96], scripts[96];

int bench_setup(void **state);
int bench_teardown(void **state);
/* Signals sent here are to end workers as they would without a sanitizer. */
void bench_signals_unhandled(void);

void bench_open_with(struct bench *bench, const struct worker_settings *settings);
void bench_open(struct bench *bench, const char *with_scripts);
/* Nothing is left of it, no process either. */
void bench_close(struct bench *bench);

/* Turns the loop until `*value` has reached `least`; false when patience (ms) is over. */
bool turn_until(struct bench *bench, const int *value, int least, uint64_t patience);
void turn_for(struct bench *bench, uint64_t milliseconds);

/* The task is consumed. */
void start(struct bench *bench, struct seen *seen, json_t *task);
void await_exit(struct bench *bench, const struct seen *seen);
void await_pid(struct bench *bench, const struct seen *seen);
void forget(struct seen *seen);
const json_t *last_message(const struct seen *seen);
const char *text_of(const json_t *message, const char *key);

json_t *act(const char *name, int number);
int open_descriptors(void);
/* Waits until a process is gone altogether. */
void await_gone(pid_t pid);

#endif
