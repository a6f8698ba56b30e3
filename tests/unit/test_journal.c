/*
 * What every driver of the journal must do. The drivers are opened in `drivers`; nothing else here
 * knows which one it is. What only a journal that outlives its process can do is tested in
 * test_journal_sqlite.c.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/journal_fixture.h"

#define KEPT 4 /* ended records with details, where the driver bounds them */

static uv_loop_t loop;
static char folder[] = "/tmp/luma-journal-XXXXXX";
static char path[sizeof(folder) + 32];

static int open_memory(struct journal **journal)
{
    return journal_open_memory(journal, KEPT);
}

static int open_sqlite(struct journal **journal)
{
    char error[256];
    (void)unlink(path);
    int status = journal_open_sqlite(journal, &loop, path, error, sizeof(error));
    if (status < 0)
        print_error("%s\n", error);
    return status;
}

/* ---- helpers ---- */

static int setup_memory(void **state)
{
    return open_memory((struct journal **)state);
}

static int setup_sqlite(void **state)
{
    return open_sqlite((struct journal **)state);
}

static int teardown(void **state)
{
    journal_close((struct journal **)state);
    return 0;
}

static int finish(struct journal *journal, int number, int attempt, double when)
{
    json_t *changes = json_pack("{s:s, s:f}", "state", "completed", "ended", when);
    int status = journal_finish(journal, id_of(number), attempt, changes);
    json_decref(changes);
    return status;
}

static int cancel(struct journal *journal, int number, double when)
{
    json_t *changes = json_pack("{s:s, s:f}", "state", "cancelled", "ended", when);
    int status = journal_cancel(journal, id_of(number), changes);
    json_decref(changes);
    return status;
}

static void assert_state(struct journal *journal, int number, const char *expected)
{
    const json_t *record = journal_get(journal, id_of(number));
    assert_non_null(record);
    assert_string_equal(json_string_value(json_object_get(record, "state")), expected);
}

static void assert_claims(struct journal *journal, enum journal_lane lane, int number, int expected)
{
    char id[IDENTIFIER_SIZE];
    int attempt = 0;
    assert_int_equal(journal_claim(journal, lane, id, &attempt), 1);
    assert_string_equal(id, id_of(number));
    assert_int_equal(attempt, expected);
}

static void assert_nothing(struct journal *journal, enum journal_lane lane)
{
    char id[IDENTIFIER_SIZE];
    int attempt;
    assert_int_equal(journal_claim(journal, lane, id, &attempt), 0);
}

static void test_life(void **state)
{
    struct journal *journal = *state;
    struct journal_counts counts;
    assert_int_equal(enqueue(journal, 1, "uploading", NULL), 0);
    assert_int_equal(enqueue(journal, 1, "uploading", NULL), -EEXIST);
    assert_nothing(journal, LANE_LIGHT);
    assert_int_equal(journal_position(journal, id_of(1)), -1);
    assert_int_equal(journal_ready(journal, id_of(1), 0), 0);
    assert_int_equal(journal_ready(journal, id_of(1), 0), -ESTALE);
    assert_state(journal, 1, "queued");
    journal_counts(journal, &counts);
    assert_int_equal(counts.unfinished, 1);
    assert_int_equal(counts.queued, 1);
    assert_nothing(journal, LANE_HEAVY);
    assert_claims(journal, LANE_LIGHT, 1, 1);
    assert_state(journal, 1, "running");
    assert_nothing(journal, LANE_LIGHT);
    assert_int_equal(finish(journal, 1, 1, 10), 0);
    assert_state(journal, 1, "completed");
    assert_int_equal(finish(journal, 1, 1, 10), -ESTALE);
    assert_int_equal(cancel(journal, 1, 10), -EALREADY);
    journal_counts(journal, &counts);
    assert_int_equal(counts.unfinished, 0);
    assert_int_equal(counts.queued, 0);
    assert_int_equal(journal_ready(journal, id_of(2), 0), -ENOENT);
}

static void test_first_come_first_served(void **state)
{
    struct journal *journal = *state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(enqueue(journal, i, "queued", NULL), 0);
    assert_int_equal(journal_position(journal, id_of(2)), 2);
    assert_claims(journal, LANE_LIGHT, 0, 1);
    assert_int_equal(journal_position(journal, id_of(2)), 1);
    assert_claims(journal, LANE_LIGHT, 1, 1);
    assert_claims(journal, LANE_LIGHT, 2, 1);
}

static void test_rank_goes_first(void **state)
{
    struct journal *journal = *state;
    static const double ranks[] = {5, 1, 3, 1};
    static const int order[] = {1, 3, 2, 0};
    for (int i = 0; i < 4; i++) {
        json_t *record = json_pack("{s:s, s:s, s:s, s:i, s:f}", "id", id_of(i), "caller", "c",
                                   "state", "queued", "attempt", 1, "rank", ranks[i]);
        assert_int_equal(journal_enqueue(journal, record), 0);
        json_decref(record);
    }
    for (int i = 0; i < 4; i++)
        assert_claims(journal, LANE_LIGHT, order[i], 1);
}

/* The rank that a job gets when it joins a queue is the one that counts. */
static void test_rank_given_later(void **state)
{
    struct journal *journal = *state;
    static const double ranks[] = {2, 1, 3};
    for (int i = 0; i < 3; i++)
        assert_int_equal(enqueue(journal, i, "uploading", NULL), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(journal_ready(journal, id_of(i), ranks[i]), 0);
    const json_t *rank = json_object_get(journal_get(journal, id_of(2)), "rank");
    assert_true(json_number_value(rank) == 3);
    assert_claims(journal, LANE_LIGHT, 1, 1);
    assert_claims(journal, LANE_LIGHT, 0, 1);
    assert_int_equal(journal_give_back(journal, id_of(0), 1, LANE_HEAVY, 1, 8), 0);
    assert_int_equal(journal_give_back(journal, id_of(1), 1, LANE_HEAVY, 1, 9), 0);
    assert_int_equal(journal_position(journal, id_of(1)), 1);
    assert_claims(journal, LANE_HEAVY, 0, 1);
    assert_claims(journal, LANE_HEAVY, 1, 1);
    const json_t *lane = json_object_get(journal_get(journal, id_of(1)), "lane");
    assert_int_equal(json_integer_value(lane), LANE_HEAVY);
}

static void test_given_back(void **state)
{
    struct journal *journal = *state;
    assert_int_equal(enqueue(journal, 1, "queued", NULL), 0);
    assert_claims(journal, LANE_LIGHT, 1, 1);
    assert_int_equal(journal_give_back(journal, id_of(1), 2, LANE_HEAVY, 9, 0), -ESTALE);
    assert_int_equal(journal_give_back(journal, id_of(1), 1, LANE_HEAVY, 9, 0), 0);
    assert_state(journal, 1, "queued");
    assert_int_equal(finish(journal, 1, 1, 10), -ESTALE); /* it holds it no more */
    assert_nothing(journal, LANE_LIGHT);
    assert_claims(journal, LANE_HEAVY, 1, 1); /* a deferral is no attempt */
    json_t *changes = json_pack("{s:i}", "seq", 7);
    assert_int_equal(journal_beat(journal, id_of(1), 1, changes), 0);
    assert_int_equal(journal_beat(journal, id_of(1), 3, changes), -ESTALE);
    json_decref(changes);
    const json_t *record = journal_get(journal, id_of(1));
    assert_int_equal(json_integer_value(json_object_get(record, "seq")), 7);
    assert_true(json_number_value(json_object_get(record, "cost")) == 9);
    assert_int_equal(finish(journal, 1, 1, 10), 0);
}

static void test_nothing_uncancels(void **state)
{
    struct journal *journal = *state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(enqueue(journal, i, i ? "queued" : "uploading", NULL), 0);
    assert_claims(journal, LANE_LIGHT, 1, 1);
    for (int i = 0; i < 3; i++) { /* uploading, running, queued */
        assert_int_equal(cancel(journal, i, 5), 0);
        assert_state(journal, i, "cancelled");
    }
    assert_nothing(journal, LANE_LIGHT);
    assert_int_equal(journal_ready(journal, id_of(0), 0), -ESTALE);
    assert_int_equal(finish(journal, 1, 1, 10), -ESTALE);
    assert_int_equal(journal_give_back(journal, id_of(1), 1, LANE_LIGHT, 0, 0), -ESTALE);
    assert_state(journal, 1, "cancelled");
}

static void test_keys(void **state)
{
    struct journal *journal = *state;
    assert_int_equal(enqueue(journal, 1, "queued", "k"), 0);
    assert_int_equal(enqueue(journal, 3, "queued", "k"), -EEXIST);
    assert_int_equal(enqueue(journal, 2, "queued", "k"), 0); /* another caller's */
    const json_t *record = journal_find_key(journal, "odd", "k");
    assert_non_null(record);
    assert_string_equal(json_string_value(json_object_get(record, "id")), id_of(1));
    assert_null(journal_find_key(journal, "odd", "other"));
    assert_null(journal_find_key(journal, "nobody", "k"));
    assert_int_equal(journal_delete(journal, id_of(1)), -EBUSY);
    assert_int_equal(cancel(journal, 1, 5), 0);
    assert_int_equal(journal_delete(journal, id_of(1)), 0);
    assert_null(journal_get(journal, id_of(1)));
    assert_null(journal_find_key(journal, "odd", "k"));
    assert_int_equal(journal_delete(journal, id_of(1)), -ENOENT);
}

static void assert_list(json_t *list, int count, const int *numbers)
{
    assert_int_equal(json_array_size(list), count);
    for (int i = 0; i < count; i++) {
        const json_t *record = json_array_get(list, (size_t)i);
        assert_string_equal(json_string_value(json_object_get(record, "id")), id_of(numbers[i]));
    }
    json_decref(list);
}

static void test_lists(void **state)
{
    struct journal *journal = *state;
    for (int i = 0; i < 5; i++)
        assert_int_equal(enqueue(journal, i, "queued", NULL), 0);
    assert_claims(journal, LANE_LIGHT, 0, 1);
    assert_list(journal_list(journal, NULL, NULL, NULL, 10), 5, (const int[]){4, 3, 2, 1, 0});
    assert_list(journal_list(journal, "odd", NULL, NULL, 10), 2, (const int[]){3, 1});
    assert_list(journal_list(journal, NULL, "running", NULL, 10), 1, (const int[]){0});
    assert_list(journal_list(journal, NULL, NULL, id_of(3), 2), 2, (const int[]){2, 1});
    assert_list(journal_list(journal, NULL, NULL, id_of(7), 2), 0, NULL);
    assert_int_equal(journal_count_caller(journal, "odd"), 2);
}

struct reaped {
    int results, records;
};

static void on_expired(const char *id, enum journal_expiry what, void *opaque)
{
    struct reaped *reaped = opaque;
    assert_true(identifier_valid(id));
    reaped->results += what == EXPIRED_RESULTS;
    reaped->records += what == EXPIRED_RECORD;
}

static void assert_reaps(struct journal *journal, double now, int results, int records)
{
    struct reaped reaped = {0};
    const struct journal_reap reap = {now, 10, 20, on_expired, &reaped};
    journal_reap(journal, &reap);
    assert_int_equal(reaped.results, results);
    assert_int_equal(reaped.records, records);
}

static void test_reaping(void **state)
{
    struct journal *journal = *state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(enqueue(journal, i, "queued", NULL), 0);
        assert_claims(journal, LANE_LIGHT, i, 1);
        if (i < 2)
            assert_int_equal(finish(journal, i, 1, 100 + i), 0);
    }
    assert_reaps(journal, 105, 0, 0);
    assert_reaps(journal, 110.5, 1, 0);
    assert_reaps(journal, 110.6, 0, 0); /* told once */
    assert_non_null(journal_get(journal, id_of(0)));
    assert_reaps(journal, 120.5, 1, 1);
    assert_null(journal_get(journal, id_of(0)));
    assert_reaps(journal, 1000, 0, 1);
    assert_state(journal, 2, "running"); /* what runs is never reaped */
}

/* Beyond the bound, an ended job is remembered by id and state. */
static void test_ended_records_are_bounded(void **state)
{
    struct journal *journal = *state;
    for (int i = 0; i < KEPT + 3; i++) {
        assert_int_equal(enqueue(journal, i, "queued", i < 2 ? "key" : NULL), 0);
        assert_claims(journal, LANE_LIGHT, i, 1);
        assert_int_equal(finish(journal, i, 1, 100 + i), 0);
    }
    assert_state(journal, 0, "completed");
    assert_null(json_object_get(journal_get(journal, id_of(0)), "operation"));
    assert_null(journal_find_key(journal, "even", "key"));
    assert_non_null(json_object_get(journal_get(journal, id_of(KEPT + 2)), "operation"));
    assert_int_equal(cancel(journal, 0, 5), -EALREADY);
    assert_reaps(journal, 1000, KEPT + 3, KEPT + 3);
    assert_null(journal_get(journal, id_of(KEPT + 2)));
}

static void on_changed(void *opaque)
{
    ++*(int *)opaque;
}

static void test_watching(void **state)
{
    struct journal *journal = *state;
    int changes = 0;
    journal_watch(journal, on_changed, &changes);
    assert_int_equal(enqueue(journal, 1, "uploading", NULL), 0);
    assert_int_equal(changes, 0);
    assert_int_equal(journal_ready(journal, id_of(1), 0), 0);
    assert_int_equal(changes, 1);
    assert_claims(journal, LANE_LIGHT, 1, 1);
    assert_int_equal(journal_give_back(journal, id_of(1), 1, LANE_HEAVY, 1, 0), 0);
    assert_int_equal(changes, 2);
}

/* Tickets become safe in their order, and whoever watches is told. */
static void test_tickets(void **state)
{
    struct journal *journal = *state;
    int told = 0;
    journal_watch_safe(journal, on_changed, &told);
    assert_int_equal(enqueue(journal, 1, "uploading", NULL), 0);
    uint64_t first = journal_ticket(journal);
    assert_int_equal(journal_ready(journal, id_of(1), 0), 0);
    uint64_t second = journal_ticket(journal);
    assert_true(second >= first);
    bool waited = !journal_safe(journal, second);
    for (int i = 0; i < 100 && !journal_safe(journal, second); i++)
        (void)uv_run(&loop, UV_RUN_ONCE);
    assert_true(journal_safe(journal, first));
    assert_true(journal_safe(journal, second));
    assert_true(told > 0 || !waited);
}

/* What a server finds of its predecessor goes on where it was, in the old order. */
static void test_resuming(void **state)
{
    struct journal *journal = *state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(enqueue(journal, i, i == 3 ? "uploading" : "queued", NULL), 0);
    assert_claims(journal, LANE_LIGHT, 0, 1);
    json_t *place = json_pack("{s:i, s:f}", "lane", LANE_HEAVY, "rank", 1.0);
    assert_int_equal(journal_beat(journal, id_of(0), 1, place), 0);
    json_decref(place);
    assert_int_equal(journal_resume(journal, id_of(0), true), 0);
    assert_int_equal(journal_resume(journal, id_of(1), false), 0); /* its input was lost */
    assert_int_equal(journal_resume(journal, id_of(2), true), 0);
    assert_state(journal, 1, "uploading");
    assert_int_equal(finish(journal, 0, 1, 10), -ESTALE); /* the first attempt is over */
    assert_claims(journal, LANE_HEAVY, 0, 2);
    assert_claims(journal, LANE_LIGHT, 2, 1);
    assert_nothing(journal, LANE_LIGHT);
    assert_int_equal(journal_ready(journal, id_of(1), 0), 0);
    assert_claims(journal, LANE_LIGHT, 1, 1);
    assert_int_equal(finish(journal, 0, 2, 10), 0);
    assert_int_equal(journal_resume(journal, id_of(0), true), -EALREADY);
    assert_int_equal(journal_resume(journal, id_of(7), true), -ENOENT);
}

static void count_visit(const json_t *record, void *opaque)
{
    int *next = opaque;
    assert_string_equal(json_string_value(json_object_get(record, "id")), id_of(*next));
    *next += 2;
}

static void test_unfinished(void **state)
{
    struct journal *journal = *state;
    for (int i = 0; i < 6; i++)
        assert_int_equal(enqueue(journal, i, i % 4 ? "queued" : "uploading", NULL), 0);
    for (int i = 1; i < 6; i += 2)
        assert_int_equal(cancel(journal, i, 5), 0);
    int next = 0;
    journal_unfinished(journal, count_visit, &next);
    assert_int_equal(next, 6);
}

#define FOR_EVERY_DRIVER(setup)                                                                    \
    cmocka_unit_test_setup_teardown(test_life, setup, teardown),                                   \
        cmocka_unit_test_setup_teardown(test_first_come_first_served, setup, teardown),            \
        cmocka_unit_test_setup_teardown(test_rank_goes_first, setup, teardown),                    \
        cmocka_unit_test_setup_teardown(test_rank_given_later, setup, teardown),                   \
        cmocka_unit_test_setup_teardown(test_given_back, setup, teardown),                         \
        cmocka_unit_test_setup_teardown(test_nothing_uncancels, setup, teardown),                  \
        cmocka_unit_test_setup_teardown(test_keys, setup, teardown),                               \
        cmocka_unit_test_setup_teardown(test_lists, setup, teardown),                              \
        cmocka_unit_test_setup_teardown(test_reaping, setup, teardown),                            \
        cmocka_unit_test_setup_teardown(test_watching, setup, teardown),                           \
        cmocka_unit_test_setup_teardown(test_tickets, setup, teardown),                            \
        cmocka_unit_test_setup_teardown(test_resuming, setup, teardown),                           \
        cmocka_unit_test_setup_teardown(test_unfinished, setup, teardown)

int main(void)
{
    const struct CMUnitTest memory[] = {
        FOR_EVERY_DRIVER(setup_memory),
        cmocka_unit_test_setup_teardown(test_ended_records_are_bounded, setup_memory, teardown),
    };
    const struct CMUnitTest sqlite[] = {FOR_EVERY_DRIVER(setup_sqlite)};
    if (!mkdtemp(folder) || uv_loop_init(&loop) < 0)
        return 1;
    (void)snprintf(path, sizeof(path), "%s/journal.db", folder);
    int failures = cmocka_run_group_tests_name("journal in memory", memory, NULL, NULL) +
                   cmocka_run_group_tests_name("journal in sqlite", sqlite, NULL, NULL);
    (void)unlink(path);
    (void)snprintf(path, sizeof(path), "%s/journal.db-spare", folder);
    (void)unlink(path);
    (void)rmdir(folder);
    (void)uv_loop_close(&loop);
    return failures;
}
