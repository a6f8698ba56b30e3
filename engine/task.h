/*
 * Tasks, the ports between them, and the group that runs them together.
 *
 * A task is one thread with at most one queue in front of it and any number of ports behind it. A
 * port leads to any number of queues; what is sent to it goes to each that still wants it. The
 * task's function returns 0 or TASK_STOP when it has nothing more to do, or an error code with the
 * sentence in task->error; however it returns, the wrapper closes its inputs and ports. The first
 * error aborts the whole group.
 *
 * Sources (tasks without a queue) ask task_proceed() before each item. With several of them the
 * group holds back those whose tracks run ahead: it looks for the track that is furthest behind
 * and walks from there, through what each filter graph lacks, to the sources that must go on.
 * Decoders are held with their sources, as what waits before one would come out many times larger.
 *
 * A task may run a group of its own on its thread (the stages of one segment after the other do
 * so): a child group, which is aborted and paused with its parent. Of two groups' locks the
 * parent's is taken first.
 */
#ifndef LUMA_ENGINE_TASK_H
#define LUMA_ENGINE_TASK_H

#include <libavcodec/avcodec.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "engine/error.h"
#include "engine/queue.h"

/* Returned where a task should end quietly: nobody wants more, or the run is over. */
enum { TASK_STOP = 1 };

struct task;
struct task_group;

struct port_link {
    struct queue *queue;
    int input;
    bool closed; /* either side has */
};

struct port {
    struct task *owner;
    struct port_link *links;
    int link_count;
    /* Written by the owner before its first item, then fixed. */
    AVRational frame_rate; /* of frames; 0/1 if unknown */
    bool steady;           /* frames: timestamps follow the frame rate */
    const void *format;    /* packets: struct track_format, once it is ready */
};

struct task {
    struct task_group *group;
    char name[16]; /* the thread's */
    int (*run)(struct task *task);
    struct error error;

    struct queue *queue; /* NULL for sources */
    struct port **from;  /* the port behind each input */
    int input_count;
    struct port *ports;
    int port_count;

    /* under the group's lock */
    bool ended;
    bool *lacks;      /* filter tasks: inputs without which nothing comes out now */
    bool needed;      /* scratch of the scheduler */
    bool dense;       /* leads to a track of many packets; fixed before the start */
    bool holdable;    /* not a source, but waits like one: asks task_proceed() before each item */
    atomic_bool held; /* must wait; written under the lock */

    pthread_t thread;
    bool started;
};

/* How far a track of an output has come, for holding back sources. */
struct task_track {
    struct task *from;
    int64_t time; /* AV_TIME_BASE units; AV_NOPTS_VALUE before the first packet */
    bool ended;
    bool sparse; /* has few packets: nobody waits for it */
};

struct task_group {
    pthread_mutex_t lock;
    pthread_cond_t proceed; /* sources wait here */
    pthread_cond_t ended;   /* whoever waits for the end */
    struct task **tasks;
    int task_count, running, source_count;
    struct task_track *tracks;
    int track_count;
    bool paused;
    atomic_bool aborted;
    struct task *failed;                   /* the first whose error is real */
    struct task_group *children, *sibling; /* under the parent's lock */
};

int task_group_init(struct task_group *group, struct error *e);
/* No task may be running. Tasks are the caller's and are not freed. */
void task_group_finish(struct task_group *group);

/* Sets up a task in memory of the caller's that is zeroed otherwise and outlives the group.
 * inputs 0 makes a source. */
int task_init(struct task *task, struct task_group *group, const char *name,
              int (*run)(struct task *task), int inputs, int max_items, size_t max_bytes, int ports,
              struct error *e);
void task_finish(struct task *task);

/* Leads a port to an input of another task. */
int task_connect(struct port *port, struct task *consumer, int input, struct error *e);

/* Adds a track that `from` feeds; returns its number, or an error code. */
int task_group_add_track(struct task_group *group, struct task *from, bool sparse, struct error *e);

/* Makes the group one that is aborted and paused with its parent, until it is released. */
void task_group_adopt(struct task_group *parent, struct task_group *child);
void task_group_release(struct task_group *parent, struct task_group *child);

int task_group_start(struct task_group *group, struct error *e);
/* Waits for the end of all tasks, at most so many milliseconds; true once they have ended. */
bool task_group_wait(struct task_group *group, int milliseconds);
void task_group_join(struct task_group *group);
void task_group_abort(struct task_group *group);
void task_group_pause(struct task_group *group, bool paused);

/* ---- for the tasks ---- */

/* Sources and holdable tasks, before each item: 0, or TASK_STOP. Waits while paused or held back.
 */
int task_proceed(struct task *task);

/* The next item: 0, TASK_STOP when all inputs have ended (and it has been said of each) or the
 * run is over. */
int task_receive(struct task *task, struct queue_item *item);
void task_close_input(struct task *task, int input);

/* Sends to whoever still wants it: 0, TASK_STOP if nobody does, or an error. The payload is
 * always consumed, and becomes a blank one. */
int port_send_frame(struct port *port, AVFrame *frame);
int port_send_packet(struct port *port, AVPacket *packet);
int port_send_opened(struct port *port);
void port_end(struct port *port, int64_t end);
bool port_wanted(struct port *port);

/* Filter tasks: which inputs the graph waits for. */
void task_lacks(struct task *task, const bool *lacks);
void task_group_report(struct task_group *group, int track, int64_t time);
void task_group_end_track(struct task_group *group, int track);

#endif
