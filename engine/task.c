/*
 * Threads of a run: start, end, ports, and the holding back of sources.
 *
 * The group's lock covers everything that several threads look at; queues have their own. It is
 * never held while a queue or a task is waited for. A queue's lock may be taken inside the
 * group's, never the other way round.
 */
#include "engine/task.h"

#include <libavutil/avutil.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How far a source may be ahead of the slowest track before it is held back; as in ffmpeg 7. */
static const int64_t TOLERANCE = AV_TIME_BASE / 10;

/* ---- making ---- */

int task_group_init(struct task_group *group, struct error *e)
{
    *group = (struct task_group){0};
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for a run");
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&group->lock, NULL);
    pthread_cond_init(&group->proceed, NULL);
    pthread_cond_init(&group->ended, &attributes);
    pthread_condattr_destroy(&attributes);
    return 0;
}

void task_group_finish(struct task_group *group)
{
    pthread_mutex_destroy(&group->lock);
    pthread_cond_destroy(&group->proceed);
    pthread_cond_destroy(&group->ended);
    free(group->tasks);
    free(group->tracks);
    *group = (struct task_group){0};
}

static int no_memory(struct error *e)
{
    return error_set(e, ERROR_OUT_OF_MEMORY, "no memory for the stages of a run");
}

int task_init(struct task *task, struct task_group *group, const char *name,
              int (*run)(struct task *task), int inputs, int max_items, size_t max_bytes, int ports,
              struct error *e)
{
    struct task **tasks =
        realloc(group->tasks, (size_t)(group->task_count + 1) * sizeof(struct task *));
    if (!tasks)
        return no_memory(e);
    group->tasks = tasks;

    task->group = group;
    snprintf(task->name, sizeof task->name, "%s", name);
    task->run = run;
    task->input_count = inputs;
    task->port_count = ports;
    task->ports = calloc((size_t)ports + 1, sizeof *task->ports);
    task->from = calloc((size_t)inputs + 1, sizeof(struct port *));
    task->lacks = calloc((size_t)inputs + 1, sizeof *task->lacks);
    if (inputs > 0)
        task->queue = queue_create(inputs, max_items, max_bytes);
    if (!task->ports || !task->from || !task->lacks || (inputs > 0 && !task->queue)) {
        task_finish(task);
        return no_memory(e);
    }
    for (int i = 0; i < inputs; i++)
        task->lacks[i] = true;
    for (int i = 0; i < ports; i++) {
        task->ports[i].owner = task;
        task->ports[i].frame_rate = (AVRational){0, 1};
    }
    group->tasks[group->task_count++] = task;
    if (inputs == 0)
        group->source_count++;
    return 0;
}

void task_finish(struct task *task)
{
    for (int i = 0; task->ports && i < task->port_count; i++)
        free(task->ports[i].links);
    free(task->ports);
    free(task->from);
    free(task->lacks);
    queue_destroy(&task->queue);
    task->ports = NULL;
    task->from = NULL;
    task->lacks = NULL;
}

int task_connect(struct port *port, struct task *consumer, int input, struct error *e)
{
    struct port_link *links = realloc(port->links, (size_t)(port->link_count + 1) * sizeof *links);
    if (!links)
        return no_memory(e);
    port->links = links;
    links[port->link_count++] = (struct port_link){.queue = consumer->queue, .input = input};
    consumer->from[input] = port;
    return 0;
}

int task_group_add_track(struct task_group *group, struct task *from, bool sparse, struct error *e)
{
    struct task_track *tracks =
        realloc(group->tracks, (size_t)(group->track_count + 1) * sizeof *tracks);
    if (!tracks)
        return no_memory(e);
    group->tracks = tracks;
    tracks[group->track_count] =
        (struct task_track){.from = from, .time = AV_NOPTS_VALUE, .sparse = sparse};
    return group->track_count++;
}

/* ---- holding back sources; all with the lock held ---- */

static int64_t slowest_track(const struct task_group *group)
{
    int64_t slowest = INT64_MAX;
    for (int i = 0; i < group->track_count; i++) {
        const struct task_track *track = &group->tracks[i];
        if (track->ended || track->sparse)
            continue;
        if (track->time == AV_NOPTS_VALUE)
            return AV_NOPTS_VALUE;
        if (track->time < slowest)
            slowest = track->time;
    }
    return slowest;
}

/* Marks the sources that must run for something to come out of the task. */
static void need_sources(struct task *task)
{
    while (task->input_count == 1 && !task->needed) {
        task->needed = true;
        task = task->from[0]->owner;
    }
    if (task->needed)
        return;
    task->needed = true;
    bool any = false;
    for (int i = 0; i < task->input_count; i++)
        any |= task->lacks[i];
    for (int i = 0; i < task->input_count; i++) {
        if (task->lacks[i] || !any)
            need_sources(task->from[i]->owner);
    }
}

static bool track_waits(const struct task_track *track, int64_t slowest)
{
    if (track->ended)
        return false;
    if (slowest == AV_NOPTS_VALUE || slowest == INT64_MAX || track->time == AV_NOPTS_VALUE)
        return track->time == AV_NOPTS_VALUE || slowest == INT64_MAX;
    return track->time - slowest < TOLERANCE;
}

static bool wanted_by_any(struct task *source)
{
    for (int i = 0; i < source->port_count; i++) {
        for (int k = 0; k < source->ports[i].link_count; k++) {
            struct port_link *link = &source->ports[i].links[k];
            if (queue_wants(link->queue, link->input))
                return true;
        }
    }
    return false;
}

/* Marks whatever stands before a track that has many packets. */
static void mark_dense(struct task *task)
{
    if (task->dense)
        return;
    task->dense = true;
    for (int i = 0; i < task->input_count; i++)
        mark_dense(task->from[i]->owner);
}

static bool sources_dense(const struct task *task)
{
    if (task->input_count == 0)
        return task->dense;
    for (int i = 0; i < task->input_count; i++) {
        if (!sources_dense(task->from[i]->owner))
            return false;
    }
    return true;
}

static void schedule(struct task_group *group)
{
    if (group->source_count < 2 || atomic_load(&group->aborted))
        return;
    for (int i = 0; i < group->task_count; i++)
        group->tasks[i]->needed = false;
    int64_t slowest = slowest_track(group);
    for (int i = 0; i < group->track_count; i++) {
        struct task_track *track = &group->tracks[i];
        /* A sparse track comes along with the dense ones of its source. */
        bool carried = track->sparse && track->from->dense && slowest != INT64_MAX;
        if (!carried && track_waits(track, slowest))
            need_sources(track->from);
    }

    bool any = false;
    for (int i = 0; i < group->task_count; i++)
        any |= group->tasks[i]->needed && !group->tasks[i]->ended;
    bool changed = false;
    for (int i = 0; i < group->task_count; i++) {
        struct task *task = group->tasks[i];
        bool source = task->input_count == 0;
        if (!source && !task->holdable)
            continue;
        /* A decoder is only held with its source, which else could not get past it. One that
         * nobody wants is let go so that it can find out. */
        bool needed = task->needed || (!source && task->from[0]->owner->needed);
        bool hold = any && !needed && !task->ended && wanted_by_any(task);
        changed |= hold != atomic_load(&task->held);
        atomic_store(&task->held, hold);
    }
    if (changed)
        pthread_cond_broadcast(&group->proceed);
}

void task_lacks(struct task *task, const bool *lacks)
{
    struct task_group *group = task->group;
    if (group->source_count < 2)
        return;
    size_t size = (size_t)task->input_count * sizeof *lacks;
    pthread_mutex_lock(&group->lock);
    if (memcmp(task->lacks, lacks, size) != 0) {
        memcpy(task->lacks, lacks, size);
        schedule(group);
    }
    pthread_mutex_unlock(&group->lock);
}

void task_group_report(struct task_group *group, int track, int64_t time)
{
    if (group->source_count < 2)
        return;
    pthread_mutex_lock(&group->lock);
    if (group->tracks[track].time == AV_NOPTS_VALUE || time > group->tracks[track].time) {
        group->tracks[track].time = time;
        schedule(group);
    }
    pthread_mutex_unlock(&group->lock);
}

void task_group_end_track(struct task_group *group, int track)
{
    pthread_mutex_lock(&group->lock);
    group->tracks[track].ended = true;
    schedule(group);
    pthread_mutex_unlock(&group->lock);
}

/* ---- what tasks call ---- */

int task_proceed(struct task *task)
{
    struct task_group *group = task->group;
    if (atomic_load(&group->aborted))
        return TASK_STOP;
    pthread_mutex_lock(&group->lock);
    while ((group->paused || atomic_load(&task->held)) && !atomic_load(&group->aborted))
        pthread_cond_wait(&group->proceed, &group->lock);
    pthread_mutex_unlock(&group->lock);
    return atomic_load(&group->aborted) ? TASK_STOP : 0;
}

int task_receive(struct task *task, struct queue_item *item)
{
    return queue_receive(task->queue, item) == 0 ? 0 : TASK_STOP;
}

void task_close_input(struct task *task, int input)
{
    struct task_group *group = task->group;
    queue_finish_receive(task->queue, input);
    pthread_mutex_lock(&group->lock);
    task->lacks[input] = false;
    schedule(group);
    pthread_mutex_unlock(&group->lock);
}

/* Sends one item to one link; closes the link if it is unwanted. */
static int send_link(struct port *port, struct port_link *link, struct queue_item *item)
{
    item->input = link->input;
    int result = queue_send(link->queue, item);
    if (result == 0)
        return 0;
    queue_item_clear(item);
    link->closed = true;
    return port_wanted(port) ? 0 : TASK_STOP;
}

bool port_wanted(struct port *port)
{
    for (int i = 0; i < port->link_count; i++) {
        if (!port->links[i].closed)
            return true;
    }
    return false;
}

static struct port_link *next_open(struct port *port, struct port_link *after)
{
    struct port_link *link = after ? after + 1 : port->links;
    while (link < port->links + port->link_count && link->closed)
        link++;
    return link < port->links + port->link_count ? link : NULL;
}

static int port_no_memory(struct port *port)
{
    return error_set(&port->owner->error, ERROR_OUT_OF_MEMORY, "no memory to pass on data");
}

int port_send_frame(struct port *port, AVFrame *frame)
{
    int result = port_wanted(port) ? 0 : TASK_STOP;
    struct port_link *link = next_open(port, NULL);
    while (link && result == 0) {
        struct port_link *next = next_open(port, link);
        struct queue_item item = {.kind = QUEUE_FRAME, .frame = av_frame_alloc()};
        if (!item.frame || (next && av_frame_ref(item.frame, frame) < 0)) {
            queue_item_clear(&item);
            result = port_no_memory(port);
            break;
        }
        if (!next)
            av_frame_move_ref(item.frame, frame);
        result = send_link(port, link, &item);
        link = next;
    }
    av_frame_unref(frame);
    return result;
}

int port_send_packet(struct port *port, AVPacket *packet)
{
    int result = port_wanted(port) ? 0 : TASK_STOP;
    struct port_link *link = next_open(port, NULL);
    while (link && result == 0) {
        struct port_link *next = next_open(port, link);
        struct queue_item item = {.kind = QUEUE_PACKET, .packet = av_packet_alloc()};
        if (!item.packet || (next && av_packet_ref(item.packet, packet) < 0)) {
            queue_item_clear(&item);
            result = port_no_memory(port);
            break;
        }
        if (!next)
            av_packet_move_ref(item.packet, packet);
        result = send_link(port, link, &item);
        link = next;
    }
    av_packet_unref(packet);
    return result;
}

int port_send_opened(struct port *port)
{
    int result = port_wanted(port) ? 0 : TASK_STOP;
    for (struct port_link *link = next_open(port, NULL); link; link = next_open(port, link)) {
        struct queue_item item = {.kind = QUEUE_OPENED};
        result = send_link(port, link, &item);
    }
    return result;
}

void port_end(struct port *port, int64_t end)
{
    for (int i = 0; i < port->link_count; i++) {
        struct port_link *link = &port->links[i];
        if (!link->closed)
            queue_finish_send(link->queue, link->input, end);
        link->closed = true;
    }
}

/* ---- running ---- */

static void abort_locked(struct task_group *group)
{
    if (atomic_exchange(&group->aborted, true))
        return;
    for (int i = 0; i < group->task_count; i++) {
        if (group->tasks[i]->queue)
            queue_abort(group->tasks[i]->queue);
    }
    pthread_cond_broadcast(&group->proceed);
    pthread_cond_broadcast(&group->ended);
    for (struct task_group *child = group->children; child; child = child->sibling)
        task_group_abort(child);
}

void task_group_adopt(struct task_group *parent, struct task_group *child)
{
    pthread_mutex_lock(&parent->lock);
    child->sibling = parent->children;
    parent->children = child;
    if (atomic_load(&parent->aborted))
        task_group_abort(child);
    task_group_pause(child, parent->paused);
    pthread_mutex_unlock(&parent->lock);
}

void task_group_release(struct task_group *parent, struct task_group *child)
{
    pthread_mutex_lock(&parent->lock);
    struct task_group **place = &parent->children;
    while (*place != child)
        place = &(*place)->sibling;
    *place = child->sibling;
    pthread_mutex_unlock(&parent->lock);
}

static void *task_main(void *opaque)
{
    struct task *task = opaque;
    struct task_group *group = task->group;
    pthread_setname_np(pthread_self(), task->name);
    int code = task->run(task);

    /* A failure is noted before the neighbours can notice and fail of it. */
    pthread_mutex_lock(&group->lock);
    task->ended = true;
    if (code < 0) {
        if (!group->failed && !atomic_load(&group->aborted))
            group->failed = task;
        abort_locked(group);
    }
    pthread_mutex_unlock(&group->lock);

    for (int i = 0; i < task->port_count; i++)
        port_end(&task->ports[i], AV_NOPTS_VALUE);
    for (int i = 0; i < task->input_count; i++)
        queue_finish_receive(task->queue, i);

    pthread_mutex_lock(&group->lock);
    schedule(group);
    if (--group->running == 0)
        pthread_cond_broadcast(&group->ended);
    pthread_mutex_unlock(&group->lock);
    return NULL;
}

int task_group_start(struct task_group *group, struct error *e)
{
    int code = 0;
    pthread_mutex_lock(&group->lock);
    for (int i = 0; i < group->track_count; i++) {
        if (!group->tracks[i].sparse)
            mark_dense(group->tracks[i].from);
    }
    for (int i = 0; i < group->track_count; i++) {
        if (group->tracks[i].sparse && !group->tracks[i].from->dense)
            group->tracks[i].from->dense = sources_dense(group->tracks[i].from);
    }
    schedule(group);
    for (int i = 0; i < group->task_count && code == 0; i++) {
        struct task *task = group->tasks[i];
        if (pthread_create(&task->thread, NULL, task_main, task) != 0) {
            code = error_set(e, ERROR_OUT_OF_MEMORY, "can't start a thread");
            abort_locked(group);
            break;
        }
        task->started = true;
        group->running++;
    }
    pthread_mutex_unlock(&group->lock);
    return code;
}

bool task_group_wait(struct task_group *group, int milliseconds)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += milliseconds / 1000;
    until.tv_nsec += milliseconds % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&group->lock);
    int code = 0;
    while (group->running > 0 && code == 0)
        code = pthread_cond_timedwait(&group->ended, &group->lock, &until);
    bool ended = group->running == 0;
    pthread_mutex_unlock(&group->lock);
    return ended;
}

void task_group_join(struct task_group *group)
{
    for (int i = 0; i < group->task_count; i++) {
        struct task *task = group->tasks[i];
        if (task->started)
            pthread_join(task->thread, NULL);
        task->started = false;
    }
}

void task_group_abort(struct task_group *group)
{
    pthread_mutex_lock(&group->lock);
    abort_locked(group);
    pthread_mutex_unlock(&group->lock);
}

void task_group_pause(struct task_group *group, bool paused)
{
    pthread_mutex_lock(&group->lock);
    group->paused = paused;
    pthread_cond_broadcast(&group->proceed);
    for (struct task_group *child = group->children; child; child = child->sibling)
        task_group_pause(child, paused);
    pthread_mutex_unlock(&group->lock);
}
