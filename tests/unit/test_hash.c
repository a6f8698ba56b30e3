/* SHA-256 of files: the standard's own examples, and what isn't a file to be read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/hash.h"
#include "server/worker_hash.h"

static char path[64];

static int setup(void **state)
{
    (void)state;
    strcpy(path, "/tmp/luma-hash-XXXXXX");
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
    (void)state;
    return unlink(path);
}

/* FIPS 180-4's examples (NIST, "SHA256.pdf"). */
static void test_examples(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t repeat;
        const char *hash;
    } cases[] = {
        {"", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"a", 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
    };
    hash_warm();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        FILE *file = fopen(path, "we");
        assert_non_null(file);
        for (size_t j = 0; j < cases[i].repeat; j++)
            fputs(cases[i].text, file);
        assert_int_equal(fclose(file), 0);
        char hash[HASH_TEXT_SIZE];
        int64_t size = -1;
        assert_int_equal(hash_file(path, hash, &size), 0);
        assert_string_equal(hash, cases[i].hash);
        assert_int_equal(size, strlen(cases[i].text) * cases[i].repeat);
    }
}

static void test_what_cannot_be_read(void **state)
{
    (void)state;
    char hash[HASH_TEXT_SIZE], link[80];
    int64_t size;
    assert_int_equal(hash_file("/tmp/luma-hash-none", hash, &size), -ENOENT);
    assert_int_equal(hash_file("/tmp", hash, &size), -EISDIR);
    snprintf(link, sizeof(link), "%s-link", path);
    assert_int_equal(symlink(path, link), 0);
    assert_int_equal(hash_file(link, hash, &size), -ELOOP);
    assert_int_equal(unlink(link), 0);
}

/* More files than the queue begins with; each number keeps its own answer. */
static void test_ahead(void **state)
{
    (void)state;
    char hash[HASH_TEXT_SIZE], expected[HASH_TEXT_SIZE];
    int64_t size = -1;
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs("abc", file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(hash_file(path, expected, &size), 0);

    struct hash_ahead *ahead = hash_ahead_create();
    assert_non_null(ahead);
    for (int i = 0; i < 40; i++)
        assert_int_equal(hash_ahead_add(ahead, i, i % 2 ? "/tmp/luma-hash-none" : path), 0);
    for (int i = 39; i >= 0; i--) {
        size = -1;
        int status = hash_ahead_take(ahead, i, hash, &size);
        assert_int_equal(status, i % 2 ? -ENOENT : 0);
        if (status == 0) {
            assert_string_equal(hash, expected);
            assert_int_equal(size, 3);
        }
    }
    assert_int_equal(hash_ahead_take(ahead, 40, hash, &size), -ENOENT);
    hash_ahead_destroy(&ahead);
    assert_null(ahead);
}

/* Never taken: the thread is waited for. */
static void test_ahead_dropped(void **state)
{
    (void)state;
    struct hash_ahead *ahead = hash_ahead_create();
    assert_non_null(ahead);
    assert_int_equal(hash_ahead_add(ahead, 0, path), 0);
    hash_ahead_destroy(&ahead);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples),
        cmocka_unit_test(test_what_cannot_be_read),
        cmocka_unit_test(test_ahead),
        cmocka_unit_test(test_ahead_dropped),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
