/*
 * The bounded queue: order, bounds, ends in both directions, and that nobody waits for ever.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <libavutil/avutil.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "engine/queue.h"

static struct queue_item make_packet(int input, int size, int64_t number)
{
    struct queue_item item = {.input = input, .kind = QUEUE_PACKET, .packet = av_packet_alloc()};
    assert_non_null(item.packet);
    assert_int_equal(av_new_packet(item.packet, size), 0);
    item.packet->pts = number;
    return item;
}

static int send(struct queue *queue, int input, int size, int64_t number)
{
    struct queue_item item = make_packet(input, size, number);
    int result = queue_send(queue, &item);
    if (result != 0)
        queue_item_clear(&item);
    return result;
}

static void expect(struct queue *queue, int input, enum queue_kind kind, int64_t number)
{
    struct queue_item item;
    assert_int_equal(queue_receive(queue, &item), 0);
    assert_int_equal(item.input, input);
    assert_int_equal(item.kind, kind);
    if (kind == QUEUE_PACKET)
        assert_int_equal(item.packet->pts, number);
    if (kind == QUEUE_END)
        assert_int_equal(item.end, number);
    queue_item_clear(&item);
}

/* A sender on a thread of its own, to see whether it is held. */
struct sender {
    struct queue *queue;
    int input, size, result;
    atomic_bool done;
    pthread_t thread;
};

static void *sender_main(void *opaque)
{
    struct sender *sender = opaque;
    sender->result = send(sender->queue, sender->input, sender->size, 99);
    atomic_store(&sender->done, true);
    return NULL;
}

static void sender_start(struct sender *sender, struct queue *queue, int input, int size)
{
    *sender = (struct sender){.queue = queue, .input = input, .size = size};
    assert_int_equal(pthread_create(&sender->thread, NULL, sender_main, sender), 0);
}

static void sleep_ms(int milliseconds)
{
    nanosleep(&(struct timespec){.tv_nsec = milliseconds * 1000000L}, NULL);
}

static void assert_held(struct sender *sender)
{
    sleep_ms(30);
    assert_false(atomic_load(&sender->done));
}

static int sender_join(struct sender *sender)
{
    pthread_join(sender->thread, NULL);
    return sender->result;
}

static void test_order(void **state)
{
    (void)state;
    struct queue *queue = queue_create(2, 8, 1000);
    assert_int_equal(send(queue, 1, 1, 10), 0);
    assert_int_equal(send(queue, 0, 1, 11), 0);
    struct queue_item opened = {.input = 0, .kind = QUEUE_OPENED};
    assert_int_equal(queue_send(queue, &opened), 0);
    assert_int_equal(send(queue, 1, 1, 12), 0);
    queue_finish_send(queue, 1, 5000);
    assert_int_equal(send(queue, 0, 1, 13), 0);
    queue_finish_send(queue, 0, AV_NOPTS_VALUE);

    expect(queue, 1, QUEUE_PACKET, 10);
    expect(queue, 0, QUEUE_PACKET, 11);
    expect(queue, 0, QUEUE_OPENED, 0);
    expect(queue, 1, QUEUE_PACKET, 12);
    expect(queue, 1, QUEUE_END, 5000);
    expect(queue, 0, QUEUE_PACKET, 13);
    expect(queue, 0, QUEUE_END, AV_NOPTS_VALUE);
    struct queue_item item;
    assert_int_equal(queue_receive(queue, &item), QUEUE_DRY);
    assert_int_equal(queue_receive(queue, &item), QUEUE_DRY);
    queue_destroy(&queue);
    assert_null(queue);
    queue_destroy(&queue);
}

static void test_bounds(void **state)
{
    (void)state;
    static const struct {
        int items, sizes[3]; /* what waits already; 0 ends */
        int next;
        bool held;
    } cases[] = {
        {2, {10, 10, 0}, 1, true},    /* by items */
        {8, {600, 0, 0}, 600, true},  /* by bytes */
        {8, {600, 0, 0}, 400, false}, /* just fits */
        {8, {0, 0, 0}, 5000, false},  /* anything goes into an empty queue */
        {8, {5000, 0, 0}, 1, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct queue *queue = queue_create(1, cases[i].items, 1000);
        int waiting = 0;
        for (; waiting < 3 && cases[i].sizes[waiting]; waiting++)
            assert_int_equal(send(queue, 0, cases[i].sizes[waiting], waiting), 0);
        struct sender sender;
        sender_start(&sender, queue, 0, cases[i].next);
        if (cases[i].held)
            assert_held(&sender);
        for (int k = 0; k < waiting; k++)
            expect(queue, 0, QUEUE_PACKET, k);
        assert_int_equal(sender_join(&sender), 0);
        expect(queue, 0, QUEUE_PACKET, 99);
        queue_destroy(&queue);
    }
}

static void test_frames_count_by_their_buffers(void **state)
{
    (void)state;
    struct queue *queue = queue_create(1, 8, 100000);
    AVFrame *frame = av_frame_alloc();
    frame->format = AV_PIX_FMT_YUV420P;
    frame->width = frame->height = 256;
    assert_int_equal(av_frame_get_buffer(frame, 0), 0);
    struct queue_item item = {.kind = QUEUE_FRAME, .frame = frame};
    assert_int_equal(queue_send(queue, &item), 0);
    struct sender sender;
    sender_start(&sender, queue, 0, 20000);
    assert_held(&sender);
    expect(queue, 0, QUEUE_FRAME, 0);
    assert_int_equal(sender_join(&sender), 0);
    queue_destroy(&queue);
}

static void test_end_fits_into_a_full_queue(void **state)
{
    (void)state;
    struct queue *queue = queue_create(2, 1, 10);
    assert_int_equal(send(queue, 0, 10, 1), 0);
    struct queue_item opened = {.input = 1, .kind = QUEUE_OPENED};
    assert_int_equal(queue_send(queue, &opened), 0);
    assert_int_equal(queue_send(queue, &opened), 0); /* said once */
    queue_finish_send(queue, 0, 7);
    queue_finish_send(queue, 1, 8);
    queue_finish_send(queue, 1, 9); /* only the first counts */
    assert_int_equal(send(queue, 0, 1, 2), QUEUE_NO_MORE);
    expect(queue, 0, QUEUE_PACKET, 1);
    expect(queue, 1, QUEUE_OPENED, 0);
    expect(queue, 0, QUEUE_END, 7);
    expect(queue, 1, QUEUE_END, 8);
    struct queue_item item;
    assert_int_equal(queue_receive(queue, &item), QUEUE_DRY);
    queue_destroy(&queue);
}

static void test_no_more(void **state)
{
    (void)state;
    struct queue *queue = queue_create(2, 1, 1000);
    assert_true(queue_wants(queue, 0));
    assert_int_equal(send(queue, 0, 1, 1), 0);
    struct sender sender;
    sender_start(&sender, queue, 0, 1);
    assert_held(&sender);
    queue_finish_receive(queue, 0);
    assert_int_equal(sender_join(&sender), QUEUE_NO_MORE);
    assert_false(queue_wants(queue, 0));
    assert_true(queue_wants(queue, 1));
    /* What waited of it is never seen, the other input goes on. */
    sender_start(&sender, queue, 1, 1);
    expect(queue, 1, QUEUE_PACKET, 99);
    assert_int_equal(sender_join(&sender), 0);
    queue_finish_receive(queue, 1);
    struct queue_item item;
    assert_int_equal(queue_receive(queue, &item), QUEUE_DRY);
    queue_destroy(&queue);
}

static void *receiver_main(void *opaque)
{
    struct queue_item item;
    return (void *)(intptr_t)queue_receive(opaque, &item);
}

static void test_abort_wakes_everybody(void **state)
{
    (void)state;
    struct queue *full = queue_create(1, 1, 10), *empty = queue_create(1, 1, 10);
    assert_int_equal(send(full, 0, 10, 1), 0);
    struct sender sender;
    sender_start(&sender, full, 0, 1);
    pthread_t receiver;
    assert_int_equal(pthread_create(&receiver, NULL, receiver_main, empty), 0);
    assert_held(&sender);
    queue_abort(full);
    queue_abort(empty);
    void *result = NULL;
    pthread_join(receiver, &result);
    assert_int_equal((intptr_t)result, QUEUE_ABORTED);
    assert_int_equal(sender_join(&sender), QUEUE_ABORTED);
    assert_int_equal(send(full, 0, 1, 1), QUEUE_ABORTED);
    assert_false(queue_wants(full, 0));
    queue_destroy(&full); /* with something left in it */
    queue_destroy(&empty);
}

/* Four producers, one consumer that closes one of them early: nothing lost, order kept. */
enum { PRODUCERS = 4, ITEMS = 2000 };

struct producer {
    struct queue *queue;
    int input, sent;
};

static void *producer_main(void *opaque)
{
    struct producer *producer = opaque;
    while (producer->sent < ITEMS &&
           send(producer->queue, producer->input, 1 + producer->sent % 50, producer->sent) == 0)
        producer->sent++;
    queue_finish_send(producer->queue, producer->input, producer->sent);
    return NULL;
}

static void test_many_producers(void **state)
{
    (void)state;
    struct queue *queue = queue_create(PRODUCERS, 5, 100);
    struct producer producers[PRODUCERS];
    pthread_t threads[PRODUCERS];
    int seen[PRODUCERS] = {0}, ends = 0;
    for (int i = 0; i < PRODUCERS; i++) {
        producers[i] = (struct producer){.queue = queue, .input = i};
        assert_int_equal(pthread_create(&threads[i], NULL, producer_main, &producers[i]), 0);
    }
    struct queue_item item;
    int result;
    while ((result = queue_receive(queue, &item)) == 0) {
        if (item.kind == QUEUE_END) {
            assert_int_equal(item.end, ITEMS);
            ends++;
            continue;
        }
        assert_int_equal(item.packet->pts, seen[item.input]);
        if (++seen[item.input] == 100 && item.input == 2)
            queue_finish_receive(queue, 2);
        queue_item_clear(&item);
    }
    assert_int_equal(result, QUEUE_DRY);
    assert_int_equal(ends, PRODUCERS - 1);
    for (int i = 0; i < PRODUCERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(seen[i], i == 2 ? 100 : ITEMS);
    }
    assert_true(producers[2].sent < ITEMS);
    queue_destroy(&queue);
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_frames_count_by_their_buffers),
        cmocka_unit_test(test_end_fits_into_a_full_queue),
        cmocka_unit_test(test_no_more),
        cmocka_unit_test(test_abort_wakes_everybody),
        cmocka_unit_test(test_many_producers),
    };
    return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
