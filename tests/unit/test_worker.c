/*
 * Workers and their template, as real processes.
 *
 * The pool starts /proc/self/exe as its template, so this program is its own template. With the
 * scripts folder "hostile" or "reluctant" it is a template whose workers misbehave as their task
 * says; with any other, it is the product's, and the operations are small scripts written here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "server/blob.h"
#include "server/message.h"
#include "server/template.h"
#include "server/worker.h"

#define HOSTILE     "hostile"
#define RELUCTANT   "reluctant" /* hostile, and can't fork the first few times */
#define SICKLY      "sickly"    /* hostile, and its first workers die before they answer */
#define HOPELESS    "hopeless"  /* all of them do */
#define JOB         "00000000000000000000000000000001"
#define PATIENCE_MS 20000
#ifdef __SANITIZE_THREAD__ /* forks a hundred times slower */
#define MANY 60
#else
#define MANY 200
#endif

static char folder[64], blobs[96], scripts[96];

/* ---- the hostile template ---- */

static void raw_send(int fd, const void *bytes, size_t size)
{
    if (write(fd, bytes, size) != (ssize_t)size)
        _exit(9);
}

static void event_send(int fd, int number)
{
    json_t *event = json_pack("{s:s, s:i}", "event", "log", "number", number);
    if (message_send(fd, event) < 0)
        _exit(9);
    json_decref(event);
}

static void act_signal(int fd, int number)
{
    for (int i = 0; i < 100; i++)
        event_send(fd, i);
    signal(number, SIG_DFL);
    raise(number);
}

static void act_garbage(int fd, int number)
{
    (void)number;
    raw_send(fd, "\0\0\0\6garbag", 10);
    pause();
}

static void act_length(int fd, int number)
{
    (void)number;
    raw_send(fd, "\x7f\xff\xff\xff{}", 6);
    pause();
}

static void act_list(int fd, int number)
{
    (void)number;
    event_send(fd, 0);
    raw_send(fd, "\0\0\0\3[1]", 7);
    pause();
}

static void act_half(int fd, int number)
{
    event_send(fd, 0);
    raw_send(fd, "\0\0\0\x20{\"event\":", 14);
    _exit(number);
}

static void act_flood(int fd, int number)
{
    (void)number;
    for (int i = 0;; i++)
        event_send(fd, i);
}

static void act_large(int fd, int number)
{
    char *text = malloc(MESSAGE_MAX);
    memset(text, 'x', MESSAGE_MAX);
    json_t *event = json_pack("{s:s#}", "text", text, MESSAGE_MAX - 11);
    if (message_send(fd, event) < 0)
        _exit(9);
    _exit(number);
}

/* Closes its socket and lives on. */
static void act_deaf(int fd, int number)
{
    (void)number;
    close(fd);
    for (;;)
        pause();
}

/* Leaves a child behind that holds the socket. */
static void act_offspring(int fd, int number)
{
    event_send(fd, 0);
    if (fork() == 0) {
        for (;;)
            pause();
    }
    _exit(number);
}

static void act_noise(int fd, int number)
{
    uint32_t seed = (uint32_t)number;
    for (int i = 0; i < 2000; i++) {
        unsigned char bytes[97];
        for (size_t j = 0; j < sizeof(bytes); j++) {
            seed = seed * 1664525 + 1013904223;
            bytes[j] = (unsigned char)(seed >> 24);
        }
        if (i == 0)
            bytes[0] = 0;
        raw_send(fd, bytes, sizeof(bytes));
    }
    _exit(0);
}

static const struct {
    const char *name;
    void (*act)(int fd, int number);
} acts[] = {
    {"signal", act_signal}, {"garbage", act_garbage}, {"length", act_length},
    {"list", act_list},     {"half", act_half},       {"flood", act_flood},
    {"large", act_large},   {"deaf", act_deaf},       {"offspring", act_offspring},
    {"noise", act_noise},
};

static void hostile_worker(uint64_t id, int fd)
{
    setpgid(0, 0);
    signal(SIGPIPE, SIG_DFL);
    struct template_answer answer = {.id = id, .pid = getpid()};
    raw_send(TEMPLATE_FD, &answer, sizeof(answer));
    close(TEMPLATE_FD);
    json_t *task;
    if (message_receive(fd, &task) < 0)
        _exit(0);
    const char *name = json_string_value(json_object_get(task, "act"));
    for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
        if (name && strcmp(acts[i].name, name) == 0)
            acts[i].act(fd, (int)json_integer_value(json_object_get(task, "number")));
    }
    _exit(7);
}

/* In the process between template and worker. The word on the worker comes soon after the fork, or
 * well after the worker's death. */
static void hostile_fork(uint64_t id, int fd, bool dies, bool late)
{
    pid_t pid = fork();
    if (pid == 0 && dies)
        raise(SIGKILL);
    if (pid == 0)
        hostile_worker(id, fd);
    if (late)
        nanosleep(&(struct timespec){.tv_nsec = 100 * 1000000}, NULL);
    struct template_answer word = {.id = id, .pid = pid, .word = TEMPLATE_FORKED};
    raw_send(TEMPLATE_FD, &word, sizeof(word));
    _exit(0);
}

static int hostile_main(int refusals, int early_deaths)
{
    for (;;) {
        struct template_request request;
        char control[CMSG_SPACE(sizeof(int))];
        struct iovec part = {&request, sizeof(request)};
        struct msghdr message = {.msg_iov = &part,
                                 .msg_iovlen = 1,
                                 .msg_control = control,
                                 .msg_controllen = sizeof(control)};
        int fd;
        if (recvmsg(TEMPLATE_FD, &message, 0) != sizeof(request))
            _exit(0);
        const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        if (!header)
            _exit(0);
        memcpy(&fd, CMSG_DATA(header), sizeof(fd));
        if (refusals-- > 0) {
            struct template_answer answer = {.id = request.id, .pid = -EAGAIN};
            raw_send(TEMPLATE_FD, &answer, sizeof(answer));
            close(fd);
            continue;
        }
        pid_t between = fork();
        if (between == 0)
            hostile_fork(request.id, fd, early_deaths > 0, early_deaths % 2);
        early_deaths--;
        close(fd);
        waitpid(between, NULL, 0);
    }
}

/* ---- the server's side ---- */

struct seen {
    struct worker *worker;
    json_t *messages;
    int exits, breaks;
    struct worker_exit how;
    bool after_exit; /* a message came after the end */
    bool kill_at_first;
};

struct bench {
    uv_loop_t loop;
    struct worker_pool *pool;
};

static void on_message(struct worker *worker, const json_t *message, void *opaque)
{
    struct seen *seen = opaque;
    seen->after_exit |= seen->exits > 0;
    if (json_array_size(seen->messages) < 10000)
        json_array_append_new(seen->messages, json_deep_copy(message));
    if (seen->kill_at_first)
        worker_kill(worker);
}

static void on_broken(struct worker *worker, const char *reason, void *opaque)
{
    (void)worker;
    assert_non_null(reason);
    ((struct seen *)opaque)->breaks++;
}

static void on_exited(struct worker *worker, const struct worker_exit *how, void *opaque)
{
    (void)worker;
    struct seen *seen = opaque;
    seen->exits++;
    seen->how = *how;
    seen->worker = NULL;
}

static const struct worker_events events = {on_message, on_broken, on_exited};

static void bench_open_with(struct bench *bench, const struct worker_settings *settings)
{
    assert_int_equal(uv_loop_init(&bench->loop), 0);
    assert_int_equal(worker_pool_create(&bench->pool, &bench->loop, settings), 0);
}

static void bench_open(struct bench *bench, const char *with_scripts)
{
    bench_open_with(bench, &(struct worker_settings){.blobs = blobs, .scripts = with_scripts});
}

static void bench_close(struct bench *bench)
{
    worker_pool_destroy(&bench->pool);
    assert_null(bench->pool);
    uv_run(&bench->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&bench->loop), 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void ring(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

/* Turns the loop until `*value` has reached `least`; false when patience is over. */
static bool turn_until(struct bench *bench, const int *value, int least, uint64_t patience)
{
    uv_timer_t timer;
    bool over = false;
    uv_timer_init(&bench->loop, &timer);
    timer.data = &over;
    uv_timer_start(&timer, ring, patience, 0);
    while (!over && *value < least)
        uv_run(&bench->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&bench->loop, UV_RUN_NOWAIT);
    return *value >= least;
}

static void turn_for(struct bench *bench, uint64_t milliseconds)
{
    const int never = 0;
    turn_until(bench, &never, 1, milliseconds);
}

static void start(struct bench *bench, struct seen *seen, json_t *task)
{
    *seen = (struct seen){.messages = json_array()};
    assert_non_null(task);
    seen->worker = worker_start(bench->pool, task, &events, seen);
    assert_non_null(seen->worker);
    assert_int_equal(worker_pid(seen->worker), 0);
    json_decref(task);
}

static void await_exit(struct bench *bench, const struct seen *seen)
{
    assert_true(turn_until(bench, &seen->exits, 1, PATIENCE_MS));
    assert_int_equal(seen->exits, 1);
    assert_false(seen->after_exit);
}

static void await_pid(struct bench *bench, const struct seen *seen)
{
    for (int i = 0; i < PATIENCE_MS && worker_pid(seen->worker) == 0; i++)
        turn_for(bench, 1);
    assert_true(worker_pid(seen->worker) > 0);
}

static void forget(struct seen *seen)
{
    json_decref(seen->messages);
    seen->messages = NULL;
}

static const json_t *last_message(const struct seen *seen)
{
    return json_array_get(seen->messages, json_array_size(seen->messages) - 1);
}

static const char *text_of(const json_t *message, const char *key)
{
    const char *text = json_string_value(json_object_get(message, key));
    return text ? text : "";
}

static json_t *act(const char *name, int number)
{
    return json_pack("{s:s, s:i}", "act", name, "number", number);
}

static int open_descriptors(void)
{
    int count = 0;
    DIR *list = opendir("/proc/self/fd");
    while (readdir(list))
        count++;
    closedir(list);
    return count;
}

/* Waits until a process is gone altogether. */
static void await_gone(pid_t pid)
{
    for (int i = 0; i < 2000 && kill(pid, 0) == 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    assert_int_equal(kill(pid, 0), -1);
}

/* ---- hostile workers ---- */

static void test_death_by_signal(void **state)
{
    (void)state;
    struct bench bench;
    struct seen seen;
    bench_open(&bench, HOSTILE);
    static const int signals[] = {SIGSEGV, SIGABRT, SIGKILL, SIGBUS, SIGXCPU, SIGTERM};
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        start(&bench, &seen, act("signal", signals[i]));
        await_exit(&bench, &seen);
        assert_true(WIFSIGNALED(seen.how.status));
        assert_int_equal(WTERMSIG(seen.how.status), signals[i]);
        assert_int_equal(json_array_size(seen.messages), 100);
        assert_int_equal(json_integer_value(json_object_get(last_message(&seen), "number")), 99);
        assert_int_equal(seen.breaks, 0);
        assert_true(seen.how.peak_memory_bytes > 0);
        forget(&seen);
    }
    bench_close(&bench);
}

static void test_broken_protocol(void **state)
{
    (void)state;
    static const struct {
        const char *act;
        size_t messages;
    } cases[] = {{"garbage", 0}, {"length", 0}, {"list", 1}, {"flood", 10000}};
    struct bench bench;
    struct seen seen;
    bench_open(&bench, HOSTILE);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        start(&bench, &seen, act(cases[i].act, 0));
        if (strcmp(cases[i].act, "flood") == 0) { /* would take its time to reach the bound */
            const int *count = &seen.exits;
            turn_until(&bench, count, 1, 200);
            worker_kill(seen.worker);
            await_exit(&bench, &seen);
            assert_true(json_array_size(seen.messages) > 0);
        } else {
            await_exit(&bench, &seen);
            assert_int_equal(seen.breaks, 1);
            assert_int_equal(json_array_size(seen.messages), cases[i].messages);
        }
        assert_int_equal(WTERMSIG(seen.how.status), SIGKILL);
        forget(&seen);
    }
    for (int seed = 1; seed <= 20; seed++) {
        start(&bench, &seen, act("noise", seed));
        await_exit(&bench, &seen);
        assert_true(seen.breaks <= 1);
        forget(&seen);
    }
    bench_close(&bench);
}

static void test_half_a_message_then_exit(void **state)
{
    (void)state;
    struct bench bench;
    struct seen seen;
    bench_open(&bench, HOSTILE);
    start(&bench, &seen, act("half", 3));
    await_exit(&bench, &seen);
    assert_true(WIFEXITED(seen.how.status));
    assert_int_equal(WEXITSTATUS(seen.how.status), 3);
    assert_int_equal(json_array_size(seen.messages), 1);
    forget(&seen);
    bench_close(&bench);
}

static void test_largest_message_then_exit(void **state)
{
    (void)state;
    struct bench bench;
    struct seen seen;
    bench_open(&bench, HOSTILE);
    start(&bench, &seen, act("large", 4));
    await_exit(&bench, &seen);
    assert_int_equal(WEXITSTATUS(seen.how.status), 4);
    assert_int_equal(json_array_size(seen.messages), 1);
    assert_int_equal(json_string_length(json_object_get(last_message(&seen), "text")),
                     MESSAGE_MAX - 11);
    forget(&seen);
    bench_close(&bench);
}

static void test_closed_socket_is_the_end(void **state)
{
    (void)state;
    struct bench bench;
    struct seen seen;
    bench_open(&bench, HOSTILE);
    start(&bench, &seen, act("deaf", 0));
    await_exit(&bench, &seen);
    assert_int_equal(WTERMSIG(seen.how.status), SIGKILL);
    forget(&seen);
    bench_close(&bench);
}

static void test_offspring_holds_nothing_up(void **state)
{
    (void)state;
    struct bench bench;
    struct seen seen;
    bench_open(&bench, HOSTILE);
    start(&bench, &seen, act("offspring", 5));
    await_exit(&bench, &seen);
    assert_int_equal(WEXITSTATUS(seen.how.status), 5);
    assert_int_equal(json_array_size(seen.messages), 1);
    forget(&seen);
    bench_close(&bench); /* finds no child left, though nobody has killed the offspring by name */
}

static void test_kill_from_a_message(void **state)
{
    (void)state;
    struct bench bench;
    struct seen seen;
    bench_open(&bench, HOSTILE);
    start(&bench, &seen, act("flood", 0));
    seen.kill_at_first = true;
    await_exit(&bench, &seen);
    assert_int_equal(WTERMSIG(seen.how.status), SIGKILL);
    forget(&seen);
    bench_close(&bench);
}

static void test_a_fork_that_fails_is_tried_again(void **state)
{
    (void)state;
    struct bench bench;
    struct seen seen, given_up;
    bench_open(&bench, RELUCTANT);
    start(&bench, &given_up, act("half", 3));
    start(&bench, &seen, act("half", 3));
    worker_kill(given_up.worker);
    await_exit(&bench, &given_up);
    assert_int_equal(WTERMSIG(given_up.how.status), SIGKILL);
    await_exit(&bench, &seen);
    assert_int_equal(WEXITSTATUS(seen.how.status), 3);
    forget(&seen);
    forget(&given_up);
    bench_close(&bench);
}

static void test_a_worker_that_dies_at_once_is_made_again(void **state)
{
    (void)state;
    struct bench bench;
    struct seen seen;
    bench_open(&bench, SICKLY);
    start(&bench, &seen, act("half", 3));
    await_exit(&bench, &seen); /* long before the template counts as hung */
    assert_int_equal(WEXITSTATUS(seen.how.status), 3);
    forget(&seen);
    bench_close(&bench);
}

static void test_workers_that_all_die_at_once(void **state)
{
    (void)state;
    struct bench bench;
    struct seen seen, given_up;
    bench_open(&bench, HOPELESS);
    start(&bench, &seen, act("half", 3));
    start(&bench, &given_up, act("half", 3));
    worker_kill(given_up.worker);
    await_exit(&bench, &seen);
    assert_int_equal(WTERMSIG(seen.how.status), SIGKILL);
    await_exit(&bench, &given_up);
    forget(&seen);
    forget(&given_up);
    bench_close(&bench);
}

static void test_no_descriptors_left(void **state)
{
    (void)state;
    struct bench bench;
    struct seen seen;
    bench_open(&bench, HOSTILE);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit tight = {.rlim_cur = 3, .rlim_max = before.rlim_max};
    json_t *task = act("half", 3);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    struct worker *worker = worker_start(bench.pool, task, &events, &seen);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_null(worker);
    json_decref(task);
    start(&bench, &seen, act("half", 3));
    await_exit(&bench, &seen);
    forget(&seen);
    bench_close(&bench);
}

/* ---- the product's template ---- */

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

/* ---- files ---- */

static void file_write(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "we");
    if (!file || fwrite(bytes, 1, size, file) != size || fclose(file) != 0)
        abort();
}

static const struct {
    const char *name, *text;
} operations[] = {
    {"text", "return { summary = 'A text', inputs = 1, options = {}, run = function(job)\n"
             "  log('hello')\n"
             "  job:note('said')\n"
             "  job:output { name = 'greeting.txt', text = 'hello' }\n"
             "  return { answer = 42 }\n"
             "end }\n"},
    {"long_text", "return { summary = 'A long text', inputs = 1, options = {},\n"
                  "  run = function(job)\n"
                  "    job:output { name = 'long.txt', text = string.rep('long ', 1000) }\n"
                  "  end }\n"},
    {"refuse", "return { summary = 'Refuses', inputs = 1, options = {}, run = function(job)\n"
               "  job:fail('no_such_stream', 'there is nothing here')\n"
               "end }\n"},
    {"mistake", "return { summary = 'Has a mistake', inputs = 1, options = {},\n"
                "  run = function(job) return nothing.at_all end }\n"},
    {"heavy", "return { summary = 'Takes long', inputs = 1, options = {}, run = function(job)\n"
              "  job:output { format = 'mka', job.input.audio:encode { codec = 'opus' } }\n"
              "end }\n"},
    {"forever", "return { summary = 'Never ends', inputs = 1, options = {},\n"
                "  run = function(job) while true do end end }\n"},
    {"broken", "return { summary = 'Not Lua' run = }\n"},
};

/* Five minutes of silence, as one float after the other: 48 kHz, mono. Nothing of it is stored. */
static int input_write(const char *path)
{
    static const unsigned char header[44] = {
        'R',  'I',  'F', 'F', 0x24, 0xe8, 0x6e, 0x03, 'W', 'A',  'V',  'E',  'f',  'm',  't',
        ' ',  0x10, 0,   0,   0,    3,    0,    1,    0,   0x80, 0xbb, 0,    0,    0x00, 0xee,
        0x02, 0,    4,   0,   32,   0,    'd',  'a',  't', 'a',  0x00, 0xe8, 0x6e, 0x03,
    };
    file_write(path, header, sizeof(header));
    return truncate(path, (off_t)sizeof(header) + 57600000);
}

static int setup(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/luma-worker-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(blobs, sizeof(blobs), "%s/jobs", folder);
    snprintf(scripts, sizeof(scripts), "%s/scripts", folder);
    if (mkdir(scripts, 0700) < 0 || blob_init(blobs) < 0 || blob_make_job(JOB) < 0)
        return -1;
    char path[256];
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s.lua", scripts, operations[i].name);
        file_write(path, operations[i].text, strlen(operations[i].text));
    }
    if (blob_path(JOB "/in-0", path, sizeof(path)) < 0)
        return -1;
    return input_write(path);
}

static int teardown(void **state)
{
    (void)state;
    char path[256];
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s.lua", scripts, operations[i].name);
        unlink(path);
    }
    return blob_remove_job(JOB) || rmdir(blobs) || rmdir(scripts) || rmdir(folder);
}

/* Signals sent here are to end workers as they would without a sanitizer. */
static void signals_unhandled(const char *variable)
{
    const char *present = getenv(variable);
    char options[1024];
    snprintf(options, sizeof(options), "%s:handle_segv=0:handle_abort=0", present ? present : "");
    setenv(variable, options, 1);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--template") == 0) {
        if (argc > 3 && strcmp(argv[3], HOSTILE) == 0)
            return hostile_main(0, 0);
        if (argc > 3 && strcmp(argv[3], RELUCTANT) == 0)
            return hostile_main(3, 0);
        if (argc > 3 && strcmp(argv[3], SICKLY) == 0)
            return hostile_main(0, 2);
        if (argc > 3 && strcmp(argv[3], HOPELESS) == 0)
            return hostile_main(0, INT_MAX);
        return template_main(argc, argv);
    }
    signals_unhandled("ASAN_OPTIONS");
    signals_unhandled("TSAN_OPTIONS");

    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_death_by_signal),
        cmocka_unit_test(test_broken_protocol),
        cmocka_unit_test(test_half_a_message_then_exit),
        cmocka_unit_test(test_largest_message_then_exit),
        cmocka_unit_test(test_closed_socket_is_the_end),
        cmocka_unit_test(test_offspring_holds_nothing_up),
        cmocka_unit_test(test_kill_from_a_message),
        cmocka_unit_test(test_a_fork_that_fails_is_tried_again),
        cmocka_unit_test(test_a_worker_that_dies_at_once_is_made_again),
        cmocka_unit_test(test_workers_that_all_die_at_once),
        cmocka_unit_test(test_no_descriptors_left),
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
    return cmocka_run_group_tests(tests, setup, teardown);
}
