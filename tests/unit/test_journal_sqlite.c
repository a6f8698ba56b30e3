/*
 * The journal in a file: what outlives a process that was killed, what is refused at the start, and
 * what happens while nothing can be written.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/log.h"
#include "tests/unit/journal_fixture.h"

static uv_loop_t loop;
static char folder[] = "/tmp/luma-journal-XXXXXX";
static char path[sizeof(folder) + 16];
static char error[512];

static int reset(void **state)
{
    (void)state;
    static const char *const suffixes[] = {"", "-wal", "-shm", "-spare"};
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        char name[sizeof(path) + 8];
        (void)snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
        (void)unlink(name);
    }
    return 0;
}

static struct journal *open_journal(void)
{
    struct journal *journal = NULL;
    error[0] = '\0';
    if (journal_open_sqlite(&journal, &loop, path, error, sizeof(error)) < 0)
        assert_string_equal(error, "");
    return journal;
}

static void end(struct journal *journal, int number, double when)
{
    json_t *changes = json_pack("{s:s, s:f, s:{s:s}}", "state", "completed", "ended", when, "word",
                                "type", "completed");
    assert_int_equal(journal_cancel(journal, id_of(number), changes), 0);
    json_decref(changes);
}

/* The loop runs until all changes are on the disk. */
static void await_safety(struct journal *journal)
{
    uint64_t ticket = journal_ticket(journal);
    for (int i = 0; i < 200 && !journal_safe(journal, ticket); i++)
        (void)uv_run(&loop, UV_RUN_ONCE);
    assert_true(journal_safe(journal, ticket));
}

static void assert_text(const json_t *record, const char *key, const char *expected)
{
    assert_string_equal(json_string_value(json_object_get(record, key)), expected);
}

static void assert_claims(struct journal *journal, enum journal_lane lane, int number, int expected)
{
    char id[IDENTIFIER_SIZE];
    int attempt = 0;
    assert_int_equal(journal_claim(journal, lane, id, &attempt), 1);
    assert_string_equal(id, id_of(number));
    assert_int_equal(attempt, expected);
}

/* ---- what outlives a kill ---- */

/* Runs the work in a process of its own, which is killed as soon as it is safe. */
static void killed_after(void (*work)(struct journal *journal))
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)uv_loop_fork(&loop);
        struct journal *journal = NULL;
        if (journal_open_sqlite(&journal, &loop, path, error, sizeof(error)) < 0)
            _exit(1);
        work(journal);
        uint64_t ticket = journal_ticket(journal);
        while (!journal_safe(journal, ticket))
            (void)uv_run(&loop, UV_RUN_ONCE);
        (void)kill(getpid(), SIGKILL);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void work_of_every_kind(struct journal *journal)
{
    char id[IDENTIFIER_SIZE];
    int attempt;
    (void)enqueue(journal, 0, "queued", "key");
    (void)enqueue(journal, 1, "queued", NULL);
    (void)enqueue(journal, 2, "uploading", "key two");
    (void)enqueue(journal, 3, "queued", NULL);
    (void)enqueue(journal, 4, "queued", NULL);
    (void)enqueue(journal, 5, "queued", NULL);
    (void)journal_claim(journal, LANE_LIGHT, id, &attempt); /* 0 */
    (void)journal_claim(journal, LANE_LIGHT, id, &attempt); /* 1 */
    (void)journal_give_back(journal, id, attempt, LANE_HEAVY, 7, 0);
    json_t *changes = json_pack("{s:s, s:f, s:i}", "state", "cancelled", "ended", 50.0, "seq", 9);
    (void)journal_cancel(journal, id_of(4), changes);
    (void)journal_cancel(journal, id_of(5), changes);
    json_decref(changes);
    (void)journal_delete(journal, id_of(5));
}

static void visit_resume(const json_t *record, void *opaque)
{
    struct journal *journal = opaque;
    const char *state = json_string_value(json_object_get(record, "state"));
    char id[IDENTIFIER_SIZE];
    (void)snprintf(id, sizeof(id), "%s", json_string_value(json_object_get(record, "id")));
    if (strcmp(state, "running") == 0)
        assert_int_equal(journal_resume(journal, id, true), 0);
}

static void test_all_is_there_after_a_kill(void **state)
{
    (void)state;
    killed_after(work_of_every_kind);
    struct journal *journal = open_journal();
    struct journal_counts counts;
    journal_counts(journal, &counts);
    assert_int_equal(counts.unfinished, 4);
    assert_int_equal(counts.queued, 2);
    assert_text(journal_get(journal, id_of(0)), "state", "running");
    assert_text(journal_get(journal, id_of(2)), "state", "uploading");
    assert_text(journal_get(journal, id_of(4)), "state", "cancelled");
    assert_null(journal_get(journal, id_of(5)));
    assert_text(journal_find_key(journal, "even", "key two"), "id", id_of(2));
    assert_null(journal_find_key(journal, "odd", "key two"));
    assert_int_equal(enqueue(journal, 6, "queued", "key"), -EEXIST);
    journal_unfinished(journal, visit_resume, journal);
    assert_claims(journal, LANE_LIGHT, 3, 1);
    assert_claims(journal, LANE_LIGHT, 0, 2);
    assert_claims(journal, LANE_HEAVY, 1, 1);
    assert_int_equal(enqueue(journal, 6, "queued", NULL), 0);
    json_t *list = journal_list(journal, "even", NULL, NULL, 10);
    static const int newest_first[] = {6, 4, 2, 0};
    assert_int_equal(json_array_size(list), 4);
    for (size_t i = 0; i < 4; i++)
        assert_text(json_array_get(list, i), "id", id_of(newest_first[i]));
    json_decref(list);
    journal_close(&journal);
}

/* An attempt that was broken off before its successor began still counts. */
static void test_attempts_count_across_kills(void **state)
{
    (void)state;
    struct journal *journal = open_journal();
    assert_int_equal(enqueue(journal, 1, "queued", NULL), 0);
    assert_claims(journal, LANE_LIGHT, 1, 1);
    journal_close(&journal);
    for (int i = 0; i < 2; i++) {
        journal = open_journal();
        assert_int_equal(journal_resume(journal, id_of(1), true), 0);
        journal_close(&journal);
    }
    journal = open_journal();
    assert_claims(journal, LANE_LIGHT, 1, 2);
    journal_close(&journal);
}

static void test_a_list_joins_what_is_written_with_what_is_not(void **state)
{
    (void)state;
    struct journal *journal = open_journal();
    for (int i = 0; i < 200; i++) {
        assert_int_equal(enqueue(journal, i, "queued", NULL), 0);
        if (i % 4 != 3)
            end(journal, i, 10);
        if (i == 120)
            await_safety(journal);
    }
    char before[IDENTIFIER_SIZE];
    memcpy(before, id_of(1000), sizeof(before));
    const char *from = NULL;
    int seen = 0, last = 200;
    for (int page = 0; page < 20; page++) {
        json_t *list = journal_list(journal, "odd", "completed", from, 7);
        size_t index;
        json_t *record;
        json_array_foreach(list, index, record)
        {
            int number = (int)strtol(json_string_value(json_object_get(record, "id")), NULL, 16);
            assert_true(number < last && number % 4 == 1);
            last = number;
            seen++;
            (void)snprintf(before, sizeof(before), "%032x", (unsigned)number);
        }
        from = before;
        json_decref(list);
    }
    assert_int_equal(seen, 50);
    journal_close(&journal);
}

static void count_expired(const char *id, enum journal_expiry what, void *opaque)
{
    int *counts = opaque;
    assert_true(identifier_valid(id));
    counts[what]++;
}

/* Time goes on while the server doesn't run; what expired leaves no growing file. */
static void test_expiry_across_starts(void **state)
{
    (void)state;
    int counts[2] = {0, 0};
    struct journal_reap reap = {105, 10, 100, count_expired, counts};
    struct journal *journal = open_journal();
    for (int i = 0; i < 300; i++) {
        assert_int_equal(enqueue(journal, i, "queued", NULL), 0);
        end(journal, i, 100);
    }
    journal_reap(journal, &reap);
    assert_int_equal(counts[EXPIRED_RESULTS], 0);
    journal_close(&journal);
    for (int start = 0; start < 3; start++) {
        journal = open_journal();
        reap.now = start ? 201 : 120;
        journal_reap(journal, &reap);
        await_safety(journal);
        journal_reap(journal, &reap);
        await_safety(journal);
        assert_int_equal(counts[EXPIRED_RESULTS], 300);
        assert_int_equal(counts[EXPIRED_RECORD], start ? 300 : 0);
        assert_int_equal(journal_get(journal, id_of(7)) == NULL, start > 0);
        journal_close(&journal);
    }
}

/* ---- what is refused ---- */

static void run_sql(const char *text)
{
    sqlite3 *database;
    assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
    (void)sqlite3_busy_timeout(database, 5000);
    assert_int_equal(sqlite3_exec(database, text, NULL, NULL, NULL), SQLITE_OK);
    (void)sqlite3_close(database);
}

static void assert_refused(const char *part)
{
    struct journal *journal = NULL;
    error[0] = '\0';
    assert_int_equal(journal_open_sqlite(&journal, &loop, path, error, sizeof(error)), -1);
    assert_null(journal);
    assert_non_null(strstr(error, part));
    assert_non_null(strstr(error, "LUMA_DIR"));
}

static void write_file(const char *text, off_t offset, size_t size)
{
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    assert_true(fd >= 0);
    for (size_t done = 0; done < size; done += strlen(text))
        assert_true(pwrite(fd, text, strlen(text), offset + (off_t)done) > 0);
    close(fd);
}

static void test_a_foreign_file_is_refused(void **state)
{
    write_file("this is no database. ", 0, 10000);
    assert_refused("is not a journal");
    (void)reset(state);
    run_sql("CREATE TABLE addresses (name TEXT)");
    assert_refused("is not a journal");
    (void)reset(state);
    run_sql("PRAGMA user_version=1");
    assert_refused("is not a journal");
}

static void test_a_newer_file_is_refused(void **state)
{
    (void)state;
    struct journal *journal = open_journal();
    journal_close(&journal);
    run_sql("PRAGMA user_version=99");
    assert_refused("newer luma (version 99");
}

static void test_a_damaged_file_is_refused(void **state)
{
    struct journal *journal = open_journal();
    for (int i = 0; i < 300; i++)
        assert_int_equal(enqueue(journal, i, "queued", NULL), 0);
    journal_close(&journal);
    write_file("garbage!", 8192, 60000);
    assert_refused("is damaged");
    (void)reset(state);
    journal = open_journal();
    assert_int_equal(enqueue(journal, 1, "queued", NULL), 0);
    journal_close(&journal);
    run_sql("UPDATE jobs SET record = json_remove(record, '$.id')");
    assert_refused("can't be read");
}

static void test_a_file_that_cannot_be_opened_is_refused(void **state)
{
    (void)state;
    assert_int_equal(mkdir(path, 0700), 0);
    assert_refused("can't be opened");
    assert_int_equal(rmdir(path), 0);
}

static void test_the_file_is_private(void **state)
{
    (void)state;
    struct journal *journal = open_journal();
    assert_int_equal(enqueue(journal, 1, "queued", NULL), 0);
    await_safety(journal);
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < 3; i++) {
        char name[sizeof(path) + 8];
        struct stat info;
        (void)snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
        assert_int_equal(stat(name, &info), 0);
        assert_int_equal(info.st_mode & 0777, 0600);
    }
    journal_close(&journal);
}

/* ---- while nothing can be written ---- */

/* No new job is taken, nothing is safe; and afterwards nothing is lost. */
static void test_a_disk_that_fails_for_a_while(void **state)
{
    (void)state;
    int counts[2] = {0, 0};
    const struct journal_reap reap = {10, 100, 100, count_expired, counts};
    struct journal *journal = open_journal();
    assert_int_equal(enqueue(journal, 1, "queued", NULL), 0);
    await_safety(journal);
    run_sql("CREATE TRIGGER refuse BEFORE INSERT ON jobs BEGIN SELECT RAISE(ABORT, 'no'); END");
    assert_claims(journal, LANE_LIGHT, 1, 1);
    uint64_t ticket = journal_ticket(journal);
    for (int i = 0; i < 10; i++)
        (void)uv_run(&loop, UV_RUN_ONCE);
    assert_false(journal_safe(journal, ticket));
    assert_int_equal(enqueue(journal, 2, "queued", NULL), -EIO);
    end(journal, 1, 5);
    assert_text(journal_get(journal, id_of(1)), "state", "completed");
    journal_reap(journal, &reap);
    (void)uv_run(&loop, UV_RUN_ONCE);
    assert_false(journal_safe(journal, ticket));
    run_sql("DROP TRIGGER refuse");
    journal_reap(journal, &reap);
    await_safety(journal);
    assert_int_equal(enqueue(journal, 2, "queued", NULL), 0);
    journal_close(&journal);
    journal = open_journal();
    assert_text(journal_get(journal, id_of(1)), "state", "completed");
    assert_text(journal_get(journal, id_of(2)), "state", "queued");
    journal_close(&journal);
}

/* A record that the file will never take: the others don't wait for it. */
static void test_a_record_that_is_refused_holds_up_no_others(void **state)
{
    (void)state;
    char trigger[512];
    struct journal *journal = open_journal();
    run_sql("CREATE TABLE once (one UNIQUE)");
    run_sql("INSERT INTO once VALUES (1)");
    (void)snprintf(trigger, sizeof(trigger),
                   "CREATE TRIGGER refuse BEFORE INSERT ON jobs WHEN new.id = '%s'"
                   " BEGIN INSERT INTO once VALUES (1); END",
                   id_of(1));
    run_sql(trigger);
    assert_int_equal(enqueue(journal, 1, "queued", NULL), 0);
    assert_int_equal(enqueue(journal, 2, "queued", NULL), 0);
    await_safety(journal);
    journal_close(&journal);
    journal = open_journal();
    assert_null(journal_get(journal, id_of(1)));
    assert_text(journal_get(journal, id_of(2)), "state", "queued");
    journal_close(&journal);
}

/* Nor does a key count as unused because of it. */
static void test_a_record_that_cant_be_read(void **state)
{
    (void)state;
    struct journal *journal = open_journal();
    assert_int_equal(enqueue(journal, 1, "completed", "key"), 0);
    end(journal, 1, 5);
    await_safety(journal);
    journal_close(&journal);
    run_sql("UPDATE jobs SET record = '{\"huge\":1e999,' || substr(record, 2)");
    journal = open_journal();
    assert_null(journal_get(journal, id_of(1)));
    assert_true(journal_unreadable(journal));
    assert_null(journal_get(journal, id_of(2)));
    assert_false(journal_unreadable(journal));
    assert_int_equal(enqueue(journal, 1, "queued", NULL), -EIO);
    assert_int_equal(enqueue(journal, 3, "queued", "key"), -EIO);
    assert_int_equal(enqueue(journal, 3, "queued", "another"), 0);
    assert_null(journal_find_key(journal, "odd", "no key"));
    assert_false(journal_unreadable(journal));
    journal_close(&journal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_all_is_there_after_a_kill, reset),
        cmocka_unit_test_setup(test_attempts_count_across_kills, reset),
        cmocka_unit_test_setup(test_a_list_joins_what_is_written_with_what_is_not, reset),
        cmocka_unit_test_setup(test_expiry_across_starts, reset),
        cmocka_unit_test_setup(test_a_foreign_file_is_refused, reset),
        cmocka_unit_test_setup(test_a_newer_file_is_refused, reset),
        cmocka_unit_test_setup(test_a_damaged_file_is_refused, reset),
        cmocka_unit_test_setup(test_a_file_that_cannot_be_opened_is_refused, reset),
        cmocka_unit_test_setup(test_the_file_is_private, reset),
        cmocka_unit_test_setup(test_a_disk_that_fails_for_a_while, reset),
        cmocka_unit_test_setup(test_a_record_that_is_refused_holds_up_no_others, reset),
        cmocka_unit_test_setup(test_a_record_that_cant_be_read, reset),
    };
    if (!mkdtemp(folder) || uv_loop_init(&loop) < 0)
        return 1;
    (void)snprintf(path, sizeof(path), "%s/journal.db", folder);
    int failures = cmocka_run_group_tests_name("journal in a file", tests, NULL, NULL);
    (void)reset(NULL);
    (void)rmdir(folder);
    (void)uv_loop_close(&loop);
    return failures;
}
