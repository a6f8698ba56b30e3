/*
 * The bounded queue: a ring under one lock, with a condition for each side.
 *
 * The ring has room for max_items payloads and, beyond them, for one opening and one end of each
 * input, so that saying either never blocks and never fails.
 */
#include "engine/queue.h"

#include <pthread.h>
#include <stdlib.h>

struct input_state {
    bool send_finished, receive_finished;
    bool opened; /* one opening is in the ring's reserve */
};

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t can_send, can_receive;
    /* all of the following under lock */
    struct queue_item *ring;
    int capacity, first, count;
    int payloads, max_items;
    int sleepers; /* senders that wait for room */
    size_t bytes, max_bytes;
    struct input_state *inputs;
    int input_count, open_inputs; /* open: not yet reported as ended, nor closed */
    bool aborted;
};

static size_t item_bytes(const struct queue_item *item)
{
    size_t bytes = 0;
    if (item->packet)
        bytes = (size_t)item->packet->size;
    for (int i = 0; item->frame && i < AV_NUM_DATA_POINTERS && item->frame->buf[i]; i++)
        bytes += item->frame->buf[i]->size;
    return bytes;
}

void queue_item_clear(struct queue_item *item)
{
    av_frame_free(&item->frame);
    av_packet_free(&item->packet);
}

struct queue *queue_create(int inputs, int max_items, size_t max_bytes)
{
    struct queue *queue = calloc(1, sizeof *queue);
    if (!queue)
        return NULL;
    queue->max_items = max_items;
    queue->max_bytes = max_bytes;
    queue->input_count = queue->open_inputs = inputs;
    queue->capacity = max_items + 2 * inputs;
    queue->ring = calloc((size_t)queue->capacity, sizeof *queue->ring);
    queue->inputs = calloc((size_t)inputs, sizeof *queue->inputs);
    if (!queue->ring || !queue->inputs) {
        free(queue->ring);
        free(queue->inputs);
        free(queue);
        return NULL;
    }
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->can_send, NULL);
    pthread_cond_init(&queue->can_receive, NULL);
    return queue;
}

void queue_destroy(struct queue **pointer)
{
    struct queue *queue = *pointer;
    if (!queue)
        return;
    for (int i = 0; i < queue->count; i++)
        queue_item_clear(&queue->ring[(queue->first + i) % queue->capacity]);
    pthread_mutex_destroy(&queue->lock);
    pthread_cond_destroy(&queue->can_send);
    pthread_cond_destroy(&queue->can_receive);
    free(queue->ring);
    free(queue->inputs);
    free(queue);
    *pointer = NULL;
}

static void push(struct queue *queue, const struct queue_item *item)
{
    queue->ring[(queue->first + queue->count++) % queue->capacity] = *item;
    pthread_cond_signal(&queue->can_receive);
}

static bool full(const struct queue *queue, size_t bytes)
{
    return queue->payloads >= queue->max_items ||
           (queue->payloads > 0 && queue->bytes + bytes > queue->max_bytes);
}

int queue_send(struct queue *queue, const struct queue_item *item)
{
    size_t bytes = item_bytes(item);
    bool payload = item->frame || item->packet;
    int result = 0;

    pthread_mutex_lock(&queue->lock);
    struct input_state *input = &queue->inputs[item->input];
    while (payload && !queue->aborted && !input->receive_finished && !input->send_finished &&
           full(queue, bytes)) {
        queue->sleepers++;
        pthread_cond_wait(&queue->can_send, &queue->lock);
        queue->sleepers--;
    }
    if (queue->aborted) {
        result = QUEUE_ABORTED;
    } else if (input->receive_finished || input->send_finished) {
        result = QUEUE_NO_MORE;
    } else if (payload) {
        queue->payloads++;
        queue->bytes += bytes;
        push(queue, item);
    } else if (!input->opened) {
        input->opened = true;
        push(queue, item);
    }
    pthread_mutex_unlock(&queue->lock);
    return result;
}

static void pop(struct queue *queue, struct queue_item *item)
{
    *item = queue->ring[queue->first];
    queue->ring[queue->first] = (struct queue_item){0};
    queue->first = (queue->first + 1) % queue->capacity;
    queue->count--;
    if (item->frame || item->packet) {
        queue->payloads--;
        queue->bytes -= item_bytes(item);
        /* Senders sleep until half is free, so that they are not woken for each item. They wait
         * for different amounts of room: all look again. */
        if (queue->sleepers > 0 && queue->payloads <= queue->max_items / 2 &&
            queue->bytes <= queue->max_bytes / 2)
            pthread_cond_broadcast(&queue->can_send);
    }
}

int queue_receive(struct queue *queue, struct queue_item *item)
{
    int result = QUEUE_ABORTED;
    *item = (struct queue_item){0};

    pthread_mutex_lock(&queue->lock);
    while (!queue->aborted) {
        if (queue->count > 0) {
            pop(queue, item);
            struct input_state *input = &queue->inputs[item->input];
            if (input->receive_finished) {
                queue_item_clear(item);
                continue;
            }
            if (item->kind == QUEUE_END) {
                input->receive_finished = true;
                queue->open_inputs--;
            }
            result = 0;
            break;
        }
        if (queue->open_inputs == 0) {
            result = QUEUE_DRY;
            break;
        }
        pthread_cond_wait(&queue->can_receive, &queue->lock);
    }
    pthread_mutex_unlock(&queue->lock);
    return result;
}

void queue_finish_send(struct queue *queue, int number, int64_t end)
{
    pthread_mutex_lock(&queue->lock);
    struct input_state *input = &queue->inputs[number];
    if (!input->send_finished && !input->receive_finished)
        push(queue, &(struct queue_item){.input = number, .kind = QUEUE_END, .end = end});
    input->send_finished = true;
    pthread_mutex_unlock(&queue->lock);
}

void queue_finish_receive(struct queue *queue, int number)
{
    pthread_mutex_lock(&queue->lock);
    struct input_state *input = &queue->inputs[number];
    if (!input->receive_finished) {
        input->receive_finished = true;
        queue->open_inputs--;
        pthread_cond_broadcast(&queue->can_send);
        pthread_cond_broadcast(&queue->can_receive);
    }
    pthread_mutex_unlock(&queue->lock);
}

bool queue_wants(struct queue *queue, int number)
{
    pthread_mutex_lock(&queue->lock);
    bool wants = !queue->aborted && !queue->inputs[number].receive_finished;
    pthread_mutex_unlock(&queue->lock);
    return wants;
}

void queue_abort(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->aborted = true;
    pthread_cond_broadcast(&queue->can_send);
    pthread_cond_broadcast(&queue->can_receive);
    pthread_mutex_unlock(&queue->lock);
}
