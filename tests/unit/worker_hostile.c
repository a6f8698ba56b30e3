/* What a worker can do to its server; see worker_hostile.h. */
#include "worker_hostile.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "server/message.h"
#include "server/template.h"

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

static int serve(int refusals, int early_deaths)
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

void hostile_main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int refusals, early_deaths;
    } templates[] = {
        {HOSTILE, 0, 0},
        {RELUCTANT, 3, 0},
        {SICKLY, 0, 2},
        {HOPELESS, 0, INT_MAX},
    };
    for (size_t i = 0; i < sizeof(templates) / sizeof(templates[0]); i++) {
        if (argc > 3 && strcmp(argv[1], "--template") == 0 &&
            strcmp(argv[3], templates[i].name) == 0)
            serve(templates[i].refusals, templates[i].early_deaths);
    }
}
