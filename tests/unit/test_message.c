/* Framing between server and worker: what goes in comes out, and nothing else does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/message.h"

static json_t *event(int number)
{
    return json_pack("{s:s, s:i}", "event", "log", "number", number);
}

static void feed_header(struct message_parser *parser, uint32_t length, int expected)
{
    unsigned char header[4] = {(unsigned char)(length >> 24), (unsigned char)(length >> 16),
                               (unsigned char)(length >> 8), (unsigned char)length};
    assert_int_equal(message_parser_feed(parser, header, sizeof(header)), expected);
}

static void feed_text(struct message_parser *parser, const char *text)
{
    feed_header(parser, (uint32_t)strlen(text), 0);
    assert_int_equal(message_parser_feed(parser, text, strlen(text)), 0);
}

static void test_bytes_in_any_pieces(void **state)
{
    (void)state;
    unsigned char stream[8192];
    size_t total = 0;
    for (int i = 0; i < 100; i++) {
        json_t *message = event(i);
        size_t size;
        unsigned char *bytes = message_encode(message, &size);
        assert_non_null(bytes);
        assert_true(total + size <= sizeof(stream));
        memcpy(stream + total, bytes, size);
        total += size;
        free(bytes);
        json_decref(message);
    }
    for (size_t piece = 1; piece < total; piece = piece * 2 + 1) {
        struct message_parser parser;
        message_parser_init(&parser);
        int taken = 0;
        for (size_t at = 0; at < total; at += piece) {
            size_t size = total - at < piece ? total - at : piece;
            assert_int_equal(message_parser_feed(&parser, stream + at, size), 0);
            json_t *message;
            int status;
            while ((status = message_parser_next(&parser, &message)) == 1) {
                assert_int_equal(json_integer_value(json_object_get(message, "number")), taken++);
                json_decref(message);
            }
            assert_int_equal(status, 0);
        }
        assert_int_equal(taken, 100);
        message_parser_finish(&parser);
    }
}

static void test_malformed_documents(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "[1]",
        "1",
        "\"event\"",
        "null",
        "{",
        "{\"a\":1}x",
        "{\"a\":1,\"a\":2}",
        "{\"a\":\"\\u0000\"}",
        "{\"a\":\"\xff\"}",
        "{\"a\":1e999}",
        " ",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct message_parser parser;
        message_parser_init(&parser);
        feed_text(&parser, texts[i]);
        json_t *message;
        assert_int_equal(message_parser_next(&parser, &message), -1);
        assert_int_equal(message_parser_next(&parser, &message), -1);
        message_parser_finish(&parser);
    }
}

static void test_deep_nesting_is_refused(void **state)
{
    (void)state;
    enum { DEPTH = 100000 };
    char *text = malloc(DEPTH + 6);
    memcpy(text, "{\"a\":", 5);
    memset(text + 5, '[', DEPTH);
    text[DEPTH + 5] = '\0';
    struct message_parser parser;
    message_parser_init(&parser);
    feed_text(&parser, text);
    json_t *message;
    assert_int_equal(message_parser_next(&parser, &message), -1);
    message_parser_finish(&parser);
    free(text);
}

static void test_lengths_out_of_bounds(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {0, MESSAGE_MAX + 1, 0x7fffffff, 0x80000000, 0xffffffff};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct message_parser parser;
        message_parser_init(&parser);
        feed_header(&parser, lengths[i], -1);
        json_t *message;
        assert_int_equal(message_parser_next(&parser, &message), -1);
        message_parser_finish(&parser);
    }
    /* The second message's length is looked at when its turn comes. */
    struct message_parser parser;
    message_parser_init(&parser);
    feed_text(&parser, "{}");
    feed_header(&parser, MESSAGE_MAX + 1, 0);
    json_t *message;
    assert_int_equal(message_parser_next(&parser, &message), 1);
    json_decref(message);
    assert_int_equal(message_parser_next(&parser, &message), -1);
    message_parser_finish(&parser);
}

static void test_largest_message(void **state)
{
    (void)state;
    static const size_t overhead = sizeof("{\"a\":\"\"}") - 1;
    char *text = malloc(MESSAGE_MAX + 1);
    memset(text, 'x', MESSAGE_MAX);
    json_t *fits = json_pack("{s:s#}", "a", text, (int)(MESSAGE_MAX - overhead));
    json_t *too_large = json_pack("{s:s#}", "a", text, (int)(MESSAGE_MAX - overhead + 1));
    size_t size;
    assert_null(message_encode(too_large, &size));
    unsigned char *bytes = message_encode(fits, &size);
    assert_non_null(bytes);
    assert_int_equal(size, MESSAGE_MAX + 4);

    struct message_parser parser;
    message_parser_init(&parser);
    json_t *message = NULL;
    for (size_t at = 0; at < size; at += 65536) {
        size_t piece = size - at < 65536 ? size - at : 65536;
        assert_int_equal(message_parser_feed(&parser, bytes + at, piece), 0);
        int status = message_parser_next(&parser, &message);
        assert_int_equal(status, at + piece == size ? 1 : 0);
    }
    assert_true(json_equal(message, fits));
    assert_true(parser.capacity <= 65536);
    json_decref(message);
    message_parser_finish(&parser);
    free(bytes);
    json_decref(fits);
    json_decref(too_large);
    free(text);
}

static void test_nobody_takes(void **state)
{
    (void)state;
    struct message_parser parser;
    message_parser_init(&parser);
    char *chunk = calloc(1, 65536);
    memcpy(chunk, "\0\0\0\2{}", 6);
    int fed = 0;
    while (fed < 1000 && message_parser_feed(&parser, chunk, 65536) == 0)
        fed++;
    assert_in_range(fed, 100, 200);
    message_parser_finish(&parser);
    free(chunk);
}

static void test_noise(void **state)
{
    (void)state;
    uint32_t seed = 1;
    for (int round = 0; round < 2000; round++) {
        struct message_parser parser;
        message_parser_init(&parser);
        for (int piece = 0; piece < 8; piece++) {
            unsigned char bytes[64];
            for (size_t i = 0; i < sizeof(bytes); i++) {
                seed = seed * 1664525 + 1013904223;
                bytes[i] = (unsigned char)(seed >> 24);
            }
            if (piece == 0) /* a length that is let through, so that the text is looked at */
                memcpy(bytes, "\0\0\0\x20{", 5);
            if (message_parser_feed(&parser, bytes, sizeof(bytes)) < 0)
                break;
            json_t *message;
            int status;
            while ((status = message_parser_next(&parser, &message)) == 1)
                json_decref(message);
            if (status < 0)
                break;
        }
        message_parser_finish(&parser);
    }
}

struct sender {
    int fd;
    const json_t *message;
    int status;
};

static void *send_one(void *opaque)
{
    struct sender *sender = opaque;
    sender->status = message_send(sender->fd, sender->message);
    return NULL;
}

static void test_blocking_ends(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    char *text = malloc(1000000);
    memset(text, 'y', 1000000);
    json_t *message = json_pack("{s:s#}", "a", text, 1000000);
    struct sender sender = {.fd = fds[0], .message = message, .status = -2};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, send_one, &sender), 0);
    json_t *received = NULL;
    assert_int_equal(message_receive(fds[1], &received), 0);
    pthread_join(thread, NULL);
    assert_int_equal(sender.status, 0);
    assert_true(json_equal(message, received));
    json_decref(received);

    /* Half a message and the end. */
    assert_int_equal(send(fds[0], "\0\0\0\5{\"", 6, 0), 6);
    shutdown(fds[0], SHUT_WR);
    assert_int_equal(message_receive(fds[1], &received), -1);
    assert_int_equal(message_receive(fds[1], &received), -1);

    /* Nobody there: an error, no signal. */
    close(fds[1]);
    assert_int_equal(message_send(fds[0], message), -1);
    close(fds[0]);
    json_decref(message);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_in_any_pieces),
        cmocka_unit_test(test_malformed_documents),
        cmocka_unit_test(test_deep_nesting_is_refused),
        cmocka_unit_test(test_lengths_out_of_bounds),
        cmocka_unit_test(test_largest_message),
        cmocka_unit_test(test_nobody_takes),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_blocking_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
