/*
 * Floods: bytes that nothing explains end a connection, explained ones don't. Over real TCP, since
 * the kernel does the counting.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/flood.h"

struct pair {
    int client, server;
};

static struct pair connect_pair(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(address);
    struct pair pair;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    pair.client = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(pair.client, (struct sockaddr *)&address, sizeof(address)), 0);
    pair.server = accept(listener, NULL, NULL);
    assert_true(pair.server >= 0);
    (void)close(listener);
    return pair;
}

static struct {
    struct pair pair;
    struct flood flood;
    bool explain;
    int told;
    size_t sent;
} fixture;

static void on_flooded(void *opaque)
{
    assert_ptr_equal(opaque, &fixture);
    fixture.told++;
}

/* A good part of a megabyte a tick, read at once as libwebsockets would. */
static void on_send(uv_timer_t *timer)
{
    static char bytes[16384];
    (void)timer;
    for (int i = 0; i < 16; i++) {
        ssize_t sent = send(fixture.pair.client, bytes, sizeof(bytes), MSG_NOSIGNAL);
        ssize_t size = sent > 0 ? recv(fixture.pair.server, bytes, sizeof(bytes), 0) : 0;
        if (size <= 0)
            return;
        fixture.sent += (size_t)size;
        if (fixture.explain)
            flood_received(&fixture.flood, (size_t)size);
    }
}

static void on_over(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static void run(bool explain)
{
    uv_loop_t loop;
    struct flood_watch watch;
    uv_timer_t sender, over;
    memset(&fixture, 0, sizeof(fixture));
    fixture.pair = connect_pair();
    fixture.explain = explain;
    assert_int_equal(uv_loop_init(&loop), 0);
    flood_watch_init(&watch, &loop, on_flooded);
    flood_add(&watch, &fixture.flood, &fixture, fixture.pair.server, false);
    (void)uv_timer_init(&loop, &sender);
    (void)uv_timer_start(&sender, on_send, 0, 100);
    (void)uv_timer_init(&loop, &over);
    (void)uv_timer_start(&over, on_over, 2500, 0);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    flood_remove(&watch, &fixture.flood);
    flood_remove(&watch, &fixture.flood); /* once more does nothing */
    assert_int_equal(watch.count, 0);
    uv_close((uv_handle_t *)&sender, NULL);
    uv_close((uv_handle_t *)&over, NULL);
    flood_watch_close(&watch);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    (void)close(fixture.pair.client);
    (void)close(fixture.pair.server);
}

static void test_a_flood_is_told_once_then_cut(void **state)
{
    (void)state;
    run(false);
    assert_int_equal(fixture.told, 1);
    assert_true(fixture.sent < 6 * 1024 * 1024); /* of some that would have come */
}

static void test_payload_is_no_flood(void **state)
{
    (void)state;
    run(true);
    assert_int_equal(fixture.told, 0);
    assert_true(fixture.sent > 1024 * 1024);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_flood_is_told_once_then_cut),
        cmocka_unit_test(test_payload_is_no_flood),
    };
    return cmocka_run_group_tests_name("flood", tests, NULL, NULL);
}
