/* Blobs: ids that are ids, folders that come and go, and nothing opened that isn't a plain file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/blob.h"

#define JOB "0123456789abcdef0123456789abcdef"

static char folder[64];
static char root[96];

static int setup(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/luma-blob-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(root, sizeof(root), "%s/deep/jobs", folder);
    return blob_init(root);
}

static int teardown(void **state)
{
    (void)state;
    char middle[96];
    snprintf(middle, sizeof(middle), "%s/deep", folder);
    return rmdir(root) || rmdir(middle) || rmdir(folder);
}

static void test_ids(void **state)
{
    (void)state;
    char id[BLOB_ID_MAX];
    blob_id(id, JOB, BLOB_IN, 0);
    assert_string_equal(id, JOB "/in-0");
    blob_id(id, JOB, BLOB_OUT, 12);
    assert_string_equal(id, JOB "/out-12");
    assert_true(blob_id_valid(id));
    blob_id(id, JOB, BLOB_OUT, -1);
    assert_string_equal(id, "");
    blob_id(id, "../../etc", BLOB_OUT, 1);
    assert_string_equal(id, "");

    static const char *const refused[] = {
        "",
        "/",
        JOB,
        JOB "/",
        JOB "/in-",
        JOB "/in-x",
        JOB "/in-01",
        JOB "/in-1 ",
        JOB "/in--1",
        JOB "/in-1/..",
        JOB "/../in-1",
        JOB "/other-1",
        JOB "/in-1234567",
        "a" JOB "/in-1",
        "0123456789ABCDEF0123456789abcdef/in-1",
        "./" JOB "/in-1",
        JOB "//in-1",
        "/in-1",
        JOB "/IN-1",
        JOB "/in-1\n",
        JOB "/out-+1",
    };
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        assert_false(blob_id_valid(refused[i]));
        assert_int_equal(blob_path(refused[i], path, sizeof(path)), -EINVAL);
        assert_int_equal(blob_open_read(refused[i]), -EINVAL);
        assert_int_equal(blob_open_write(refused[i]), -EINVAL);
        assert_int_equal(blob_size(refused[i]), -EINVAL);
    }
    static const char *const no_jobs[] = {"", ".", "..", JOB "/", JOB "0", "x", JOB "/in-0"};
    for (size_t i = 0; i < sizeof(no_jobs) / sizeof(no_jobs[0]); i++) {
        assert_int_equal(blob_make_job(no_jobs[i]), -EINVAL);
        assert_int_equal(blob_remove_job(no_jobs[i]), -EINVAL);
        assert_int_equal(blob_job_path(no_jobs[i], path, sizeof(path)), -EINVAL);
    }
}

static void test_paths(void **state)
{
    (void)state;
    char path[PATH_MAX], expected[PATH_MAX];
    snprintf(expected, sizeof(expected), "%s/%s", root, JOB "/in-3");
    assert_int_equal(blob_path(JOB "/in-3", path, sizeof(path)), 0);
    assert_string_equal(path, expected);
    assert_int_equal(blob_path(JOB "/in-3", path, 20), -ENAMETOOLONG);
}

static void test_write_read_remove(void **state)
{
    (void)state;
    assert_int_equal(blob_make_job(JOB), 0);
    assert_int_equal(blob_make_job(JOB), -EEXIST);
    char path[PATH_MAX];
    struct stat info;
    assert_int_equal(blob_job_path(JOB, path, sizeof(path)), 0);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);

    assert_int_equal(blob_open_read(JOB "/in-0"), -ENOENT);
    assert_int_equal(blob_size(JOB "/in-0"), -ENOENT);
    int fd = blob_open_write(JOB "/in-0");
    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(write(fd, "hello", 5), 5);
    close(fd);
    fd = blob_open_write(JOB "/in-0"); /* goes on, doesn't begin anew */
    assert_int_equal(pwrite(fd, "!", 1, 5), 1);
    close(fd);
    assert_int_equal(blob_size(JOB "/in-0"), 6);
    char text[16] = "";
    fd = blob_open_read(JOB "/in-0");
    assert_int_equal(read(fd, text, sizeof(text)), 6);
    assert_string_equal(text, "hello!");
    close(fd);

    assert_int_equal(blob_remove(JOB "/in-0"), 0);
    assert_int_equal(blob_remove(JOB "/in-0"), -ENOENT);
    assert_int_equal(blob_remove("elsewhere"), -EINVAL);

    assert_int_equal(blob_remove_job(JOB), 0);
    assert_int_equal(stat(path, &info), -1);
    assert_int_equal(blob_remove_job(JOB), -ENOENT);
}

/* What a worker that was taken over might leave behind. */
static void test_mischief_in_the_folder(void **state)
{
    (void)state;
    assert_int_equal(blob_make_job(JOB), 0);
    char path[PATH_MAX], victim[PATH_MAX], inner[PATH_MAX + 8];
    snprintf(victim, sizeof(victim), "%s/victim", folder);
    int fd = open(victim, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "secret", 6), 6);
    close(fd);

    blob_path(JOB "/out-0", path, sizeof(path));
    assert_int_equal(symlink(victim, path), 0);
    assert_int_equal(blob_open_read(JOB "/out-0"), -ELOOP);
    assert_int_equal(blob_open_write(JOB "/out-0"), -ELOOP);
    assert_int_equal(blob_size(JOB "/out-0"), -EINVAL);

    blob_path(JOB "/out-1", path, sizeof(path));
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(blob_open_read(JOB "/out-1"), -EINVAL);
    assert_int_equal(blob_open_write(JOB "/out-1"), -ENXIO);
    assert_int_equal(blob_size(JOB "/out-1"), -EINVAL);

    blob_path(JOB "/out-2", path, sizeof(path));
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(blob_open_read(JOB "/out-2"), -EINVAL);
    snprintf(inner, sizeof(inner), "%s/a", path);
    assert_int_equal(symlink(folder, inner), 0);
    snprintf(inner, sizeof(inner), "%s/b", path);
    assert_int_equal(mkdir(inner, 0700), 0);

    assert_int_equal(blob_remove_job(JOB), 0);
    assert_int_equal(access(victim, F_OK), 0);
    assert_int_equal(unlink(victim), 0);
}

static void make(const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s/%s", root, JOB, name);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static bool there(const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s/%s", root, JOB, name);
    return access(path, F_OK) == 0;
}

static bool count_job(const char *job, void *opaque)
{
    assert_string_equal(job, JOB);
    ++*(int *)opaque;
    return true;
}

/* What a server finds in the folders of its predecessor. */
static void test_what_was_left(void **state)
{
    (void)state;
    char path[PATH_MAX];
    int jobs = 0;
    assert_int_equal(blob_keep_only(JOB, BLOB_IN), -ENOENT);
    assert_int_equal(blob_check_free(JOB), -ENOENT);
    assert_int_equal(blob_make_job(JOB), 0);
    snprintf(path, sizeof(path), "%s/%s/folder", root, JOB);
    assert_int_equal(mkdir(path, 0700), 0);
    static const char *const names[] = {"in-0", "in-1", "out-0", "palette", "folder/deep"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        make(names[i]);
    assert_int_equal(blob_sync_folders(JOB), 0);
    assert_int_equal(blob_keep_only(JOB, BLOB_IN), 0);
    assert_true(there("in-0") && there("in-1"));
    assert_false(there("out-0") || there("palette") || there("folder"));
    make("out-0");
    assert_int_equal(blob_keep_only(JOB, BLOB_OUT), 0);
    assert_true(there("out-0"));
    assert_false(there("in-0") || there("in-1"));
    snprintf(path, sizeof(path), "%s/no job", root);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(blob_jobs(count_job, &jobs), 0);
    assert_int_equal(jobs, 1);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(blob_remove_job(JOB), 0);
}

/* A process that holds a folder holds it until it ends. */
static void test_who_holds_a_folder(void **state)
{
    (void)state;
    int ready[2];
    char byte;
    assert_int_equal(blob_make_job(JOB), 0);
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        byte = blob_hold_job(JOB) == 0 ? 'y' : 'n';
        (void)!write(ready[1], &byte, 1);
        pause();
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    assert_int_equal(blob_check_free(JOB), -EWOULDBLOCK);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(blob_check_free(JOB), 0);
    close(ready[0]);
    close(ready[1]);
    assert_int_equal(blob_remove_job(JOB), 0);
}

static void test_bad_roots(void **state)
{
    (void)state;
    assert_int_equal(blob_init(""), -EINVAL);
    assert_int_equal(blob_init("/dev/null/jobs"), -ENOTDIR);
    assert_int_equal(blob_init("/dev/null"), -ENOTDIR);
    char path[PATH_MAX];
    assert_int_equal(blob_path(JOB "/in-0", path, sizeof(path)), 0);
    assert_memory_equal(path, root, strlen(root));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_write_read_remove),
        cmocka_unit_test(test_mischief_in_the_folder),
        cmocka_unit_test(test_what_was_left),
        cmocka_unit_test(test_who_holds_a_folder),
        cmocka_unit_test(test_bad_roots),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
