/* See worker_bench.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "server/blob.h"
#include "worker_bench.h"

char blobs[96], scripts[96];
static char folder[64];

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

const struct worker_events bench_events = {on_message, on_broken, on_exited};

void bench_open_with(struct bench *bench, const struct worker_settings *settings)
{
    assert_int_equal(uv_loop_init(&bench->loop), 0);
    assert_int_equal(worker_pool_create(&bench->pool, &bench->loop, settings), 0);
}

void bench_open(struct bench *bench, const char *with_scripts)
{
    bench_open_with(bench, &(struct worker_settings){.blobs = blobs, .scripts = with_scripts});
}

void bench_close(struct bench *bench)
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

bool turn_until(struct bench *bench, const int *value, int least, uint64_t patience)
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

void turn_for(struct bench *bench, uint64_t milliseconds)
{
    const int never = 0;
    turn_until(bench, &never, 1, milliseconds);
}

void start(struct bench *bench, struct seen *seen, json_t *task)
{
    *seen = (struct seen){.messages = json_array()};
    assert_non_null(task);
    seen->worker = worker_start(bench->pool, task, &bench_events, seen);
    assert_non_null(seen->worker);
    assert_int_equal(worker_pid(seen->worker), 0);
    json_decref(task);
}

void await_exit(struct bench *bench, const struct seen *seen)
{
    assert_true(turn_until(bench, &seen->exits, 1, PATIENCE_MS));
    assert_int_equal(seen->exits, 1);
    assert_false(seen->after_exit);
}

void await_pid(struct bench *bench, const struct seen *seen)
{
    for (int i = 0; i < PATIENCE_MS && worker_pid(seen->worker) == 0; i++)
        turn_for(bench, 1);
    assert_true(worker_pid(seen->worker) > 0);
}

void forget(struct seen *seen)
{
    json_decref(seen->messages);
    seen->messages = NULL;
}

const json_t *last_message(const struct seen *seen)
{
    return json_array_get(seen->messages, json_array_size(seen->messages) - 1);
}

const char *text_of(const json_t *message, const char *key)
{
    const char *text = json_string_value(json_object_get(message, key));
    return text ? text : "";
}

json_t *act(const char *name, int number)
{
    return json_pack("{s:s, s:i}", "act", name, "number", number);
}

int open_descriptors(void)
{
    int count = 0;
    DIR *list = opendir("/proc/self/fd");
    while (readdir(list))
        count++;
    closedir(list);
    return count;
}

void await_gone(pid_t pid)
{
    for (int i = 0; i < 2000 && kill(pid, 0) == 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    assert_int_equal(kill(pid, 0), -1);
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

int bench_setup(void **state)
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

int bench_teardown(void **state)
{
    (void)state;
    char path[256];
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s.lua", scripts, operations[i].name);
        unlink(path);
    }
    return blob_remove_job(JOB) || rmdir(blobs) || rmdir(scripts) || rmdir(folder);
}

static void unhandled(const char *variable)
{
    const char *present = getenv(variable);
    char options[1024];
    snprintf(options, sizeof(options), "%s:handle_segv=0:handle_abort=0", present ? present : "");
    setenv(variable, options, 1);
}

void bench_signals_unhandled(void)
{
    unhandled("ASAN_OPTIONS");
    unhandled("TSAN_OPTIONS");
}
