/*
 * The bounded queue in front of a consumer.
 *
 * A queue has one consumer and any number of inputs, each fed by one producer, and hands out what
 * comes in the order in which it came. It is full by items or by bytes; a full queue stops the
 * producer, except that ends and openings always find room and an empty queue takes an item of any
 * size. Both sides may close an input: the producer by queue_finish_send(), which the consumer
 * meets as an item, the consumer by queue_finish_receive(), which the producer meets as
 * QUEUE_NO_MORE. An aborted queue answers QUEUE_ABORTED to everybody at once.
 *
 * Every function may be called from any thread, but each input has one sender at a time.
 */
#ifndef LUMA_ENGINE_QUEUE_H
#define LUMA_ENGINE_QUEUE_H

#include <libavcodec/packet.h>
#include <libavutil/frame.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum queue_kind {
    QUEUE_FRAME,
    QUEUE_PACKET,
    QUEUE_OPENED, /* the producer's parameters are known now; no payload */
    QUEUE_END,    /* the input ends, at `end` */
};

struct queue_item {
    int input;
    enum queue_kind kind;
    AVFrame *frame;
    AVPacket *packet;
    int64_t end; /* AV_TIME_BASE units, or AV_NOPTS_VALUE */
};

/* What the calls return beside 0; none of them is an error. */
enum {
    QUEUE_NO_MORE = 1, /* send: the consumer wants nothing more of this input */
    QUEUE_DRY = 2,     /* receive: all inputs have ended, and it has been said of each */
    QUEUE_ABORTED = 3,
};

struct queue;

/* NULL when out of memory. max_items and max_bytes bound frames and packets that wait. */
struct queue *queue_create(int inputs, int max_items, size_t max_bytes);
/* Frees what still waits. Nobody may be inside. */
void queue_destroy(struct queue **pointer);

/* Consumes the item's payload on success (0); otherwise the caller still owns it. Blocks while the
 * queue is full. */
int queue_send(struct queue *queue, const struct queue_item *item);
/* Blocks while there is nothing. With 0 the caller owns the payload. QUEUE_END comes once for each
 * input that the producer closed and the consumer didn't. */
int queue_receive(struct queue *queue, struct queue_item *item);

void queue_finish_send(struct queue *queue, int number, int64_t end);
/* Drops what waits of that input. */
void queue_finish_receive(struct queue *queue, int number);
/* True until the consumer has closed the input, or the queue was aborted. */
bool queue_wants(struct queue *queue, int input);
void queue_abort(struct queue *queue);

/* Frees the payload. */
void queue_item_clear(struct queue_item *item);

#endif
