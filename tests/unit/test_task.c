/*
 * Tasks without any media in them: ends, errors, pause, and which sources are held back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/task.h"

static void sleep_ms(int milliseconds)
{
    nanosleep(&(struct timespec){.tv_nsec = milliseconds * 1000000L}, NULL);
}

/* Sends packets of a second each until it has sent `limit`, or nobody wants more. */
struct source {
    struct task task;
    int limit;
    atomic_int sent;
    bool fails; /* at the end */
};

static int run_source(struct task *task)
{
    struct source *source = (struct source *)task;
    AVPacket *packet = av_packet_alloc();
    int code = 0;
    while (code == 0 && atomic_load(&source->sent) < source->limit &&
           (code = task_proceed(task)) == 0) {
        assert_int_equal(av_new_packet(packet, 10), 0);
        packet->dts = packet->pts = atomic_load(&source->sent);
        code = port_send_packet(&task->ports[0], packet);
        atomic_fetch_add(&source->sent, code == 0);
    }
    av_packet_free(&packet);
    if (source->fails && code == 0)
        code = error_set(&task->error, ERROR_CORRUPT_MEDIA, "the source failed");
    return code;
}

/* Takes what comes; stops after `limit` packets. Lacks only what `lacks` says. */
struct sink {
    struct task task;
    int limit;
    atomic_int received[2], ends;
    atomic_bool lacks[2];
    int tracks[2];
    bool reports;
};

static int run_sink(struct task *task)
{
    struct sink *sink = (struct sink *)task;
    struct queue_item item;
    int code = 0, total = 0;
    while (code == 0 && (code = task_receive(task, &item)) == 0) {
        if (item.kind == QUEUE_END) {
            atomic_fetch_add(&sink->ends, 1);
            atomic_store(&sink->lacks[item.input], false);
            if (sink->reports)
                task_group_end_track(task->group, sink->tracks[item.input]);
        } else if (item.kind == QUEUE_PACKET) {
            atomic_fetch_add(&sink->received[item.input], 1);
            if (sink->reports)
                task_group_report(task->group, sink->tracks[item.input],
                                  item.packet->dts * AV_TIME_BASE);
        }
        queue_item_clear(&item);
        if (task->input_count > 1 && !sink->reports) {
            bool lacks[2] = {atomic_load(&sink->lacks[0]), atomic_load(&sink->lacks[1])};
            task_lacks(task, lacks);
        }
        if (sink->limit && ++total >= sink->limit)
            return 0;
    }
    return code;
}

struct run {
    struct task_group group;
    struct source sources[2];
    struct sink sink;
    struct task *failed; /* after finish() */
};

static void setup(struct run *run, int sources, int packets)
{
    struct error e = {0};
    memset(run, 0, sizeof *run);
    assert_int_equal(task_group_init(&run->group, &e), 0);
    assert_int_equal(
        task_init(&run->sink.task, &run->group, "sink", run_sink, sources, 4, 1000, 1, &e), 0);
    for (int i = 0; i < sources; i++) {
        run->sources[i].limit = packets;
        assert_int_equal(
            task_init(&run->sources[i].task, &run->group, "source", run_source, 0, 0, 0, 1, &e), 0);
        assert_int_equal(task_connect(&run->sources[i].task.ports[0], &run->sink.task, i, &e), 0);
    }
}

static void teardown(struct run *run)
{
    task_group_join(&run->group);
    run->failed = run->group.failed;
    for (int i = 0; i < 2; i++)
        task_finish(&run->sources[i].task);
    task_finish(&run->sink.task);
    task_group_finish(&run->group);
}

static void finish(struct run *run)
{
    while (!task_group_wait(&run->group, 1000))
        ;
    teardown(run);
}

static void test_everything_arrives(void **state)
{
    (void)state;
    struct run run;
    struct error e = {0};
    setup(&run, 2, 1000);
    assert_int_equal(task_group_start(&run.group, &e), 0);
    finish(&run);
    assert_int_equal(run.sink.received[0], 1000);
    assert_int_equal(run.sink.received[1], 1000);
    assert_int_equal(run.sink.ends, 2);
    assert_null(run.failed);
}

static void test_no_more_goes_backward(void **state)
{
    (void)state;
    struct run run;
    struct error e = {0};
    setup(&run, 1, 1000000);
    run.sink.limit = 10;
    assert_int_equal(task_group_start(&run.group, &e), 0);
    finish(&run);
    assert_int_equal(run.sink.received[0], 10);
    assert_true(run.sources[0].sent < 20);
    assert_null(run.failed);
}

static void test_the_first_error_ends_all(void **state)
{
    (void)state;
    struct run run;
    struct error e = {0};
    setup(&run, 2, 5);
    run.sources[0].fails = true;
    run.sources[1].limit = 1000000000;
    assert_int_equal(task_group_start(&run.group, &e), 0);
    finish(&run);
    assert_ptr_equal(run.failed, &run.sources[0].task);
    assert_int_equal(run.failed->error.code, ERROR_CORRUPT_MEDIA);
}

static void test_abort(void **state)
{
    (void)state;
    struct run run;
    struct error e = {0};
    setup(&run, 1, 1000000000);
    assert_int_equal(task_group_start(&run.group, &e), 0);
    assert_false(task_group_wait(&run.group, 20));
    task_group_abort(&run.group);
    finish(&run);
    assert_null(run.failed);
}

static void test_pause(void **state)
{
    (void)state;
    struct run run;
    struct error e = {0};
    setup(&run, 1, 100);
    task_group_pause(&run.group, true);
    assert_int_equal(task_group_start(&run.group, &e), 0);
    assert_false(task_group_wait(&run.group, 30));
    assert_int_equal(atomic_load(&run.sources[0].sent), 0);
    task_group_pause(&run.group, false);
    finish(&run);
    assert_int_equal(run.sink.received[0], 100);
}

/* A sink that lacks only its first input has the source of the second wait. */
static void test_what_is_not_lacked_waits(void **state)
{
    (void)state;
    struct run run;
    struct error e = {0};
    setup(&run, 2, 200000);
    assert_true(task_group_add_track(&run.group, &run.sink.task, false, &e) >= 0);
    atomic_store(&run.sink.lacks[0], true);
    assert_int_equal(task_group_start(&run.group, &e), 0);
    while (!task_group_wait(&run.group, 1000))
        ;
    /* At its end the first hands over; until then the second had sent next to nothing. */
    assert_int_equal(atomic_load(&run.sink.received[0]), 200000);
    assert_int_equal(atomic_load(&run.sink.received[1]), 200000);
    teardown(&run);
}

static void test_held_source_counts(void **state)
{
    (void)state;
    struct run run;
    struct error e = {0};
    setup(&run, 2, 1000000000);
    assert_true(task_group_add_track(&run.group, &run.sink.task, false, &e) >= 0);
    atomic_store(&run.sink.lacks[0], true);
    assert_int_equal(task_group_start(&run.group, &e), 0);
    sleep_ms(50);
    int first = atomic_load(&run.sources[0].sent), second = atomic_load(&run.sources[1].sent);
    sleep_ms(50);
    assert_true(atomic_load(&run.sources[0].sent) > first);
    assert_int_equal(atomic_load(&run.sources[1].sent), second);
    task_group_abort(&run.group);
    finish(&run);
}

/* Two tracks of one output from two sources stay together. */
static void test_tracks_stay_together(void **state)
{
    (void)state;
    struct run run;
    struct error e = {0};
    setup(&run, 2, 1000000000);
    run.sink.reports = true;
    for (int i = 0; i < 2; i++)
        run.sink.tracks[i] = task_group_add_track(&run.group, &run.sources[i].task, false, &e);
    assert_int_equal(task_group_start(&run.group, &e), 0);
    for (int i = 0; i < 20; i++) {
        sleep_ms(5);
        int a = atomic_load(&run.sink.received[0]), b = atomic_load(&run.sink.received[1]);
        assert_true(abs(a - b) < 20);
    }
    task_group_abort(&run.group);
    finish(&run);
}

int main(void)
{
    alarm(100);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_arrives),
        cmocka_unit_test(test_no_more_goes_backward),
        cmocka_unit_test(test_the_first_error_ends_all),
        cmocka_unit_test(test_abort),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_what_is_not_lacked_waits),
        cmocka_unit_test(test_held_source_counts),
        cmocka_unit_test(test_tracks_stay_together),
    };
    return cmocka_run_group_tests_name("task", tests, NULL, NULL);
}
