/* The product's template and its workers, as real processes that run small operations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/blob.h"
#include "server/template.h"
#include "worker_bench.h"

#ifdef __SANITIZE_THREAD__ /* forks a hundred times slower */
#define MANY 60
#else
#define MANY 200
#endif

static json_t *run_task(const char *operation)
{
    return json_pack("{s:s, s:s, s:i, s:s, s:[{s:s, s:s}], s:{}, s:i, s:{s:i, s:f, s:i}}", "task",
                     "run", "job_id", JOB, "attempt", 1, "operation", operation, "inputs", "blob",
                     JOB "/in-0", "name", "tone.wav", "options", "threads", 1, "limits",
                     "lua_memory", 64 << 20, "lua_time", 120.0, "output_bytes", 1 << 30);
}

static void run_and_await(struct bench *bench, struct seen *seen, json_t *task)
{
    start(bench, seen, task);
    await_exit(bench, seen);
    assert_int_equal(seen->breaks, 0);
    assert_int_equal(seen->how.status, 0);
}

static void test_tasks_that_cannot_be(void **state)
{
    (void)state;
    struct bench bench;
    struct seen seen;
    bench_open(&bench, scripts);
    json_t *tasks[] = {
        json_pack("{s:s}", "task", "nonsense"),
        json_pack("{}"),
        json_pack("{s:s}", "task", "run"),
        json_pack("{s:s, s:s, s:s}", "task", "run", "job_id", "../..", "operation", "note"),
        json_pack("{s:s, s:s, s:s, s:[{s:s}]}", "task", "run", "job_id", JOB, "operation", "note",
                  "inputs", "blob", "../../etc/passwd"),
    };
    for (size_t i = 0; i < sizeof(tasks) / sizeof(tasks[0]); i++) {
        run_and_await(&bench, &seen, tasks[i]);
        assert_string_equal(text_of(last_message(&seen), "event"), "failed");
        assert_string_equal(text_of(last_message(&seen), "code"), "internal");
        forget(&seen);
    }
    bench_close(&bench);
}

static void test_run_tells_everything(void **state)
{
    (void)state;
    struct bench bench;
    struct seen seen;
    bench_open(&bench, scripts);
    run_and_await(&bench, &seen, run_task("text"));
    bool planned = false, logged = false, made = false;
    size_t position;
    json_t *message;
    json_array_foreach(seen.messages, position, message)
    {
        const char *event = text_of(message, "event");
        planned |= strcmp(event, "planned") == 0;
        logged |= strcmp(event, "log") == 0 && strstr(text_of(message, "text"), "hello") != NULL;
        if (strcmp(event, "output") != 0)
            continue;
        made = true;
        assert_int_equal(json_integer_value(json_object_get(message, "index")), 0);
        assert_int_equal(json_integer_value(json_object_get(message, "size")), 5);
        assert_string_equal(text_of(message, "name"), "greeting.txt");
        assert_string_equal(text_of(message, "blob"), JOB "/out-0");
        assert_string_equal(text_of(message, "sha256"),
                            "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    }
    assert_true(planned && logged && made);
    message = (json_t *)last_message(&seen);
    assert_string_equal(text_of(message, "event"), "completed");
    assert_string_equal(json_string_value(json_array_get(json_object_get(message, "notes"), 0)),
                        "said");
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(message, "result"), "answer")), 42);
    assert_true(json_number_value(
                    json_object_get(json_object_get(message, "stats"), "peak_memory_bytes")) > 0);
    forget(&seen);
    bench_close(&bench);
}

static void test_failures_have_their_code(void **state)
{
    (void)state;
    static const struct {
        const char *operation, *code;
    } cases[] = {{"refuse", "no_such_stream"}, {"mistake", "script_error"}};
    struct bench bench;
    struct seen seen;
    bench_open(&bench, scripts);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        run_and_await(&bench, &seen, run_task(cases[i].operation));
        assert_string_equal(text_of(last_message(&seen), "event"), "failed");
        assert_string_equal(text_of(last_message(&seen), "code"), cases[i].code);
        assert_true(strlen(text_of(last_message(&seen), "message")) > 0);
        forget(&seen);
    }
    bench_close(&bench);
}

static void test_describe(void **state)
{
    (void)state;
    struct bench bench;
    struct seen seen;
    bench_open(&bench, scripts);
    run_and_await(&bench, &seen, json_pack("{s:s}", "task", "describe"));
    const json_t *message = last_message(&seen);
    assert_string_equal(text_of(message, "event"), "operations");
    const json_t *broken = json_object_get(message, "broken");
    assert_int_equal(json_array_size(broken), 1);
    assert_string_equal(text_of(json_array_get(broken, 0), "name"), "broken");
    assert_true(json_array_size(json_object_get(message, "list")) >= 4);
    forget(&seen);
    bench_close(&bench);
}

/* A costly plan waits for its "go", and does nothing until then. */
static void test_heavy_plans_wait(void **state)
{
    (void)state;
    struct bench bench;
    struct seen seen;
    bench_open(&bench, scripts);
    (void)blob_remove(JOB "/out-0"); /* other tests' */
    start(&bench, &seen, run_task("heavy"));
    for (int i = 0; i < PATIENCE_MS / 10 && json_array_size(seen.messages) == 0; i++)
        turn_for(&bench, 10);
    assert_string_equal(text_of(last_message(&seen), "event"), "planned");
    assert_true(json_is_true(json_object_get(last_message(&seen), "heavy")));
    assert_true(json_number_value(json_object_get(last_message(&seen), "cost")) > 2);
    turn_for(&bench, 300);
    assert_int_equal(json_array_size(seen.messages), 1);
    assert_int_equal(blob_size(JOB "/out-0"), -ENOENT);

    json_t *go = json_pack("{s:b}", "go", 1);
    worker_send(seen.worker, go);
    json_decref(go);
    await_exit(&bench, &seen);
    assert_int_equal(seen.how.status, 0);
    assert_string_equal(text_of(last_message(&seen), "event"), "completed");
    size_t position;
    json_t *message;
    double percent = 0;
    json_array_foreach(seen.messages, position, message)
    {
        if (strcmp(text_of(message, "event"), "progress") != 0)
            continue;
        double now = json_number_value(json_object_get(message, "percent"));
        assert_true(now >= percent && now <= 100);
        percent = now;
    }
    assert_true(json_array_size(seen.messages) < 5 * 60); /* five a second at the most */
    assert_true(blob_size(JOB "/out-0") > 1000);
    assert_int_equal(blob_remove(JOB "/out-0"), 0);
    forget(&seen);

    /* Deferred: killed instead. */
    start(&bench, &seen, run_task("heavy"));
    for (int i = 0; i < PATIENCE_MS / 10 && json_array_size(seen.messages) == 0; i++)
        turn_for(&bench, 10);
    worker_kill(seen.worker);
    await_exit(&bench, &seen);
    assert_int_equal(json_array_size(seen.messages), 1);
    forget(&seen);
    bench_close(&bench);
}

static void test_real_workers_die_by_signals(void **state)
{
    (void)state;
    static const int signals[] = {SIGKILL, SIGSEGV, SIGABRT};
    struct bench bench;
    struct seen seen;
    bench_open(&bench, scripts);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        start(&bench, &seen, run_task("forever"));
        await_pid(&bench, &seen);
        turn_for(&bench, 50);
        assert_int_equal(seen.exits, 0);
        kill(worker_pid(seen.worker), signals[i]);
        await_exit(&bench, &seen);
        assert_int_equal(WTERMSIG(seen.how.status), signals[i]);
        forget(&seen);
    }
    start(&bench, &seen, run_task("forever"));
    await_pid(&bench, &seen);
    turn_for(&bench, 50);
    worker_kill(seen.worker);
    worker_kill(seen.worker);
    await_exit(&bench, &seen);
    assert_int_equal(WTERMSIG(seen.how.status), SIGKILL);
    assert_true(seen.how.cpu_seconds > 0);
    forget(&seen);
    bench_close(&bench);
}

static void test_signals_for_the_service_leave_workers_alone(void **state)
{
    (void)state;
    struct bench bench;
    struct seen seen;
    bench_open(&bench, scripts);
    start(&bench, &seen, run_task("forever"));
    await_pid(&bench, &seen);
    kill(worker_pid(seen.worker), SIGTERM);
    kill(worker_pid(seen.worker), SIGINT);
    pid_t template = worker_pool_template(bench.pool);
    kill(template, SIGTERM);
    turn_for(&bench, 50);
    assert_int_equal(seen.exits, 0);
    assert_int_equal(worker_pool_template(bench.pool), template);
    worker_kill(seen.worker);
    await_exit(&bench, &seen);
    forget(&seen);
    bench_close(&bench);
}

static void test_kill_before_the_pid_is_known(void **state)
{
    (void)state;
    struct bench bench;
    struct seen seen[4];
    bench_open(&bench, scripts);
    pid_t template = worker_pool_template(bench.pool);
    /* One that the template has not answered yet. */
    start(&bench, &seen[0], run_task("forever"));
    worker_kill(seen[0].worker);
    assert_int_equal(seen[0].exits, 0);
    await_exit(&bench, &seen[0]);
    assert_int_equal(WTERMSIG(seen[0].how.status), SIGKILL);
    assert_int_equal(json_array_size(seen[0].messages), 0);
    /* The template dies before it answers. */
    kill(template, SIGSTOP);
    start(&bench, &seen[1], run_task("forever"));
    worker_kill(seen[1].worker);
    start(&bench, &seen[2], run_task("text"));
    turn_for(&bench, 20);
    assert_int_equal(seen[1].exits, 0);
    kill(template, SIGKILL);
    await_exit(&bench, &seen[1]);
    assert_int_equal(WTERMSIG(seen[1].how.status), SIGKILL);
    await_exit(&bench, &seen[2]);
    assert_string_equal(text_of(last_message(&seen[2]), "event"), "completed");
    /* One that nobody has been asked for. */
    kill(worker_pool_template(bench.pool), SIGKILL);
    turn_for(&bench, 1);
    start(&bench, &seen[3], run_task("forever"));
    worker_kill(seen[3].worker);
    assert_int_equal(seen[3].exits, 0);
    await_exit(&bench, &seen[3]);
    for (int i = 0; i < 4; i++)
        forget(&seen[i]);
    bench_close(&bench);
}

static void test_template_dies_workers_live(void **state)
{
    (void)state;
    struct bench bench;
    struct seen before, after;
    bench_open(&bench, scripts);
    start(&bench, &before, run_task("forever"));
    await_pid(&bench, &before);
    pid_t first = worker_pool_template(bench.pool);
    kill(first, SIGKILL);
    start(&bench, &after, run_task("text"));
    await_exit(&bench, &after);
    assert_string_equal(text_of(last_message(&after), "event"), "completed");
    assert_int_equal(before.exits, 0);
    assert_true(worker_pool_template(bench.pool) > 0);
    assert_int_not_equal(worker_pool_template(bench.pool), first);
    await_gone(first);
    worker_kill(before.worker);
    await_exit(&bench, &before);
    assert_int_equal(WTERMSIG(before.how.status), SIGKILL);
    forget(&before);
    forget(&after);
    bench_close(&bench);
}

/* Templates are killed at any moment while jobs are started: each job runs exactly once. */
static void test_no_job_is_lost_or_doubled(void **state)
{
    (void)state;
    enum { JOBS = 60 };
    static struct seen seen[JOBS];
    struct bench bench;
    bench_open(&bench, scripts);
    int descriptors = open_descriptors();
    for (int i = 0; i < JOBS; i++) {
        start(&bench, &seen[i], run_task("text"));
        if (i % 10 == 9) {
            turn_for(&bench, (uint64_t)(i / 10));
            pid_t template = worker_pool_template(bench.pool);
            if (template > 0)
                kill(template, SIGKILL);
        }
    }
    for (int i = 0; i < JOBS; i++) {
        await_exit(&bench, &seen[i]);
        assert_int_equal(seen[i].how.status, 0);
        int completed = 0;
        size_t position;
        json_t *message;
        json_array_foreach(seen[i].messages, position, message) completed +=
            strcmp(text_of(message, "event"), "completed") == 0;
        assert_int_equal(completed, 1);
        forget(&seen[i]);
    }
    assert_in_range(open_descriptors(), 1, descriptors + 2); /* there may be a template more */
    bench_close(&bench);
}

static void test_server_gone_worker_gone(void **state)
{
    (void)state;
    struct bench bench;
    struct seen seen;
    bench_open(&bench, scripts);
    start(&bench, &seen, run_task("forever"));
    await_pid(&bench, &seen);
    pid_t worker = worker_pid(seen.worker), template = worker_pool_template(bench.pool);
    turn_for(&bench, 50);
    bench_close(&bench);
    assert_int_equal(kill(worker, 0), -1);
    assert_int_equal(kill(template, 0), -1);
    assert_int_equal(seen.exits, 0); /* destroy calls nobody back */
    forget(&seen);
}

static void test_limits(void **state)
{
    (void)state;
    struct bench bench;
    struct seen seen;
    bench_open_with(&bench,
                    &(struct worker_settings){
                        .blobs = blobs, .scripts = scripts, .file_size = 1000, .cpu_seconds = 1});
    run_and_await(&bench, &seen, run_task("long_text"));
    assert_string_equal(text_of(last_message(&seen), "event"), "failed");
    assert_string_equal(text_of(last_message(&seen), "code"), "limit_exceeded");
    forget(&seen);
    start(&bench, &seen, run_task("forever"));
    await_exit(&bench, &seen);
    assert_int_equal(WTERMSIG(seen.how.status), SIGXCPU);
    assert_true(seen.how.cpu_seconds > 0.5);
    forget(&seen);
    bench_close(&bench);
}

static void test_memory_limit(void **state)
{
    (void)state;
    if (LUMA_SANITIZED)
        skip(); /* no such limit goes with sanitizers */
    struct bench bench;
    struct seen seen;
    bench_open_with(&bench, &(struct worker_settings){
                                .blobs = blobs, .scripts = scripts, .memory = (int64_t)40 << 20});
    start(&bench, &seen, run_task("heavy"));
    json_t *go = json_pack("{s:b}", "go", 1);
    worker_send(seen.worker, go);
    json_decref(go);
    await_exit(&bench, &seen);
    assert_int_equal(seen.how.status, 0);
    assert_string_equal(text_of(last_message(&seen), "code"), "out_of_memory");
    forget(&seen);
    bench_close(&bench);
}

static void test_confinement(void **state)
{
    (void)state;
    struct bench bench;
    struct seen seen;
    bench_open(&bench, scripts);
    start(&bench, &seen, run_task("forever"));
    await_pid(&bench, &seen);
    turn_for(&bench, 100);
    pid_t pid = worker_pid(seen.worker);
    assert_int_equal(getpgid(pid), pid);
    char path[64], line[256];
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    bool no_new_privs = false, child_of_mine = false;
    while (fgets(line, sizeof(line), file)) {
        int number;
        no_new_privs |= strcmp(line, "NoNewPrivs:\t1\n") == 0;
        child_of_mine |= sscanf(line, "PPid: %d", &number) == 1 && number == getpid();
    }
    fclose(file);
    assert_true(no_new_privs && child_of_mine);
    struct rlimit limit;
    assert_int_equal(prlimit(pid, RLIMIT_CORE, NULL, &limit), 0);
    assert_int_equal(limit.rlim_max, 0);
    /* Nothing of the server's is open in it: 0, 1, 2, the control socket, its input. */
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *list = opendir(path);
    int descriptors = -2;
    while (readdir(list))
        descriptors++;
    closedir(list);
    assert_in_range(descriptors, 4, 6);
    worker_kill(seen.worker);
    await_exit(&bench, &seen);
    forget(&seen);
    bench_close(&bench);
}

static long resident_kilobytes(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (fscanf(file, "%*d %ld", &pages) != 1)
        pages = 0;
    fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void test_many_in_turn(void **state)
{
    (void)state;
    struct bench bench;
    struct seen seen;
    bench_open(&bench, scripts);
    int descriptors = 0;
    long resident = 0;
    for (int i = 0; i < MANY; i++) {
        run_and_await(&bench, &seen, run_task("text"));
        forget(&seen);
        if (i == 49) {
            descriptors = open_descriptors();
            resident = resident_kilobytes();
        }
    }
    assert_int_equal(open_descriptors(), descriptors);
    /* The address sanitizer keeps freed memory for a while. */
    assert_in_range(resident_kilobytes(), 0, resident + (LUMA_SANITIZED ? 65536 : 1024));
    bench_close(&bench);
}

static void test_a_template_that_cannot_live(void **state)
{
    (void)state;
    struct bench bench;
    struct seen seen;
    bench_open_with(&bench,
                    &(struct worker_settings){.blobs = "/dev/null/none", .scripts = scripts});
    start(&bench, &seen, run_task("text"));
    struct rusage before, after;
    getrusage(RUSAGE_CHILDREN, &before);
    do { /* until one has been reaped */
        turn_for(&bench, 50);
        getrusage(RUSAGE_CHILDREN, &after);
    } while (after.ru_minflt == before.ru_minflt);
    turn_for(&bench, 300); /* it is tried again, */
    assert_int_equal(seen.exits, 0);
    worker_kill(seen.worker); /* and the job can still be given up */
    await_exit(&bench, &seen);
    forget(&seen);
    bench_close(&bench);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--template") == 0)
        return template_main(argc, argv);
    bench_signals_unhandled();

    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tasks_that_cannot_be),
        cmocka_unit_test(test_run_tells_everything),
        cmocka_unit_test(test_failures_have_their_code),
        cmocka_unit_test(test_describe),
        cmocka_unit_test(test_heavy_plans_wait),
        cmocka_unit_test(test_real_workers_die_by_signals),
        cmocka_unit_test(test_signals_for_the_service_leave_workers_alone),
        cmocka_unit_test(test_kill_before_the_pid_is_known),
        cmocka_unit_test(test_template_dies_workers_live),
        cmocka_unit_test(test_no_job_is_lost_or_doubled),
        cmocka_unit_test(test_server_gone_worker_gone),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_memory_limit),
        cmocka_unit_test(test_confinement),
        cmocka_unit_test(test_many_in_turn),
        cmocka_unit_test(test_a_template_that_cannot_live),
    };
    return cmocka_run_group_tests(tests, bench_setup, bench_teardown);
}
