/*
 * The template process: how the server starts it, and what it does.
 *
 * It exists because forking is cheap only from a small process with one thread, and because
 * loading and initialising the media libraries costs more than many a job. It does that once, and
 * then forks a worker for each request. It never looks at anything that comes from outside, and
 * ends when the server's end of its socket does.
 *
 * A worker is made by a double fork: the process in between ends at once, so that the worker
 * becomes a child of the nearest subreaper, the server. The process in between is made by vfork():
 * copying the map of two hundred libraries once instead of twice halves the cost of a worker
 * (1.8 ms against 3.8). It only forks, and this process has one thread, which stands still
 * meanwhile, so that fork() finds everything as if this process had called it. One thing would be
 * lost on the way, the registration of restartable sequences, so they are switched off by tunable.
 */
#include "server/template.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libavcodec/avcodec.h>
#include <libavfilter/avfilter.h>
#include <libavformat/avformat.h>
#include <locale.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/charset.h"
#include "server/blob.h"
#include "server/hash.h"
#include "server/worker_main.h"

/* ---- starting it ---- */

/*
 * All that a template has for an environment.
 *
 * Symbols are bound once, here, instead of in every worker. The heap grows in steps that huge pages
 * fit in, and keeps what is freed: a worker is a young process, and taking its memory a page at a
 * time was a fifth of what a light job costs. (Restartable sequences: see above.) SVT-AV1 writes
 * fatal errors and nothing else.
 */
static char tunables[] = "GLIBC_TUNABLES=glibc.pthread.rseq=0:glibc.malloc.hugetlb=1:"
                         "glibc.malloc.top_pad=4194304:glibc.malloc.trim_threshold=67108864";
static char *const fresh[] = {"LC_ALL=C.UTF-8", "LD_BIND_NOW=1", "SVT_LOG=0", tunables};
#define ENVIRONMENT_COUNT (sizeof(fresh) / sizeof(fresh[0]))

/* Read by the runtimes of sanitizer builds; nothing else of the server's environment goes on. */
static const char *const inherited[] = {"ASAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS",
                                        "UBSAN_OPTIONS"};
#define INHERITED_COUNT (sizeof(inherited) / sizeof(inherited[0]))

enum argument {
    ARGUMENT_PROGRAM,
    ARGUMENT_TEMPLATE,
    ARGUMENT_BLOBS,
    ARGUMENT_SCRIPTS,
    ARGUMENT_ASSETS,
    ARGUMENT_MEMORY,
    ARGUMENT_FILE_SIZE,
    ARGUMENT_CPU_SECONDS,
    ARGUMENT_COUNT
};

static int attributes_set(posix_spawnattr_t *attributes)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(attributes, &none);
    posix_spawnattr_setsigdefault(attributes, &all);
    /* A group of its own: the terminal's Ctrl-C is for the server alone. */
    posix_spawnattr_setpgroup(attributes, 0);
    return posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                    POSIX_SPAWN_SETPGROUP);
}

/* The socket first: its present number may be one of those that are overwritten next. */
static int actions_add(posix_spawn_file_actions_t *actions, int end)
{
    int status = posix_spawn_file_actions_adddup2(actions, end, TEMPLATE_FD);
    if (status == 0)
        status = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);
    if (status == 0)
        status = posix_spawn_file_actions_addopen(actions, 1, "/dev/null", O_WRONLY, 0);
    if (status == 0)
        status = posix_spawn_file_actions_addclosefrom_np(actions, TEMPLATE_FD + 1);
    return status;
}

static int program_spawn(pid_t *pid, int end, char *const argv[], char *const environment[])
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int status = posix_spawn_file_actions_init(&actions);
    if (status != 0)
        return -status;
    status = posix_spawnattr_init(&attributes);
    if (status != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return -status;
    }
    status = actions_add(&actions, end);
    if (status == 0)
        status = attributes_set(&attributes);
    if (status == 0)
        status = posix_spawn(pid, "/proc/self/exe", &actions, &attributes, argv, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return -status;
}

int template_spawn(pid_t *pid, int end, const struct worker_settings *settings)
{
    char numbers[3][24];
    snprintf(numbers[0], sizeof(numbers[0]), "%" PRId64, settings->memory);
    snprintf(numbers[1], sizeof(numbers[1]), "%" PRId64, settings->file_size);
    snprintf(numbers[2], sizeof(numbers[2]), "%" PRId64, settings->cpu_seconds);
    char *const argv[ARGUMENT_COUNT + 1] = {
        "lumad",
        "--template",
        (char *)settings->blobs,
        (char *)settings->scripts,
        (char *)(settings->assets ? settings->assets : ""),
        numbers[0],
        numbers[1],
        numbers[2],
        NULL,
    };

    char *environment[ENVIRONMENT_COUNT + INHERITED_COUNT + 1];
    memcpy(environment, fresh, sizeof(fresh));
    char *copies[INHERITED_COUNT] = {NULL};
    size_t count = ENVIRONMENT_COUNT;
    int status = 0;
    for (size_t i = 0; LUMA_SANITIZED && i < INHERITED_COUNT; i++) {
        const char *value = getenv(inherited[i]);
        if (!value)
            continue;
        if (asprintf(&copies[i], "%s=%s", inherited[i], value) < 0) {
            copies[i] = NULL;
            status = -ENOMEM;
            break;
        }
        environment[count++] = copies[i];
    }
    environment[count] = NULL;
    if (status == 0)
        status = program_spawn(pid, end, argv, environment);
    for (size_t i = 0; i < INHERITED_COUNT; i++)
        free(copies[i]);
    return status;
}

/* ---- the process ---- */

static void log_nothing(void *context, int level, const char *format, va_list arguments)
{
    (void)context;
    (void)level;
    (void)format;
    (void)arguments;
}

/* Decoders make their tables when the first of their kind is opened. */
static void decoders_warm(void)
{
    static const enum AVCodecID usual[] = {
        AV_CODEC_ID_H264, AV_CODEC_ID_HEVC, AV_CODEC_ID_MPEG4, AV_CODEC_ID_VP9,
        AV_CODEC_ID_AAC,  AV_CODEC_ID_MP3,  AV_CODEC_ID_OPUS,
    };
    for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
        const AVCodec *codec = avcodec_find_decoder(usual[i]);
        AVCodecContext *context = avcodec_alloc_context3(codec);
        if (context) {
            context->thread_count = 1;
            (void)avcodec_open2(context, codec, NULL); /* one that can't be opened isn't warm */
        }
        avcodec_free_context(&context);
    }
}

/* Touches what every job needs, so that it is initialised once and its pages are shared. */
static void libraries_warm(void)
{
    av_log_set_callback(log_nothing);
    void *position = NULL;
    while (av_codec_iterate(&position))
        continue;
    position = NULL;
    while (av_demuxer_iterate(&position))
        continue;
    position = NULL;
    while (av_filter_iterate(&position))
        continue;
    decoders_warm();
    hash_warm();
    charset_warm();
}

/* A request and the descriptor that came with it: 1; 0 at the end. */
static int request_receive(struct template_request *request, int *end)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {.iov_base = request, .iov_len = sizeof(*request)};
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };
    ssize_t size;
    do {
        size = recvmsg(TEMPLATE_FD, &message, MSG_CMSG_CLOEXEC);
    } while (size < 0 && errno == EINTR);
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (size != sizeof(*request) || !header || header->cmsg_level != SOL_SOCKET ||
        header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof(int)))
        return 0;
    memcpy(end, CMSG_DATA(header), sizeof(int));
    return 1;
}

static int answer_send(uint64_t id, int64_t pid, enum template_word word)
{
    struct template_answer answer = {.id = id, .pid = pid, .word = word};
    ssize_t size;
    do {
        size = send(TEMPLATE_FD, &answer, sizeof(answer), MSG_NOSIGNAL);
    } while (size < 0 && errno == EINTR);
    return size == sizeof(answer) ? 0 : -1;
}

/* The group is made before the pid is told: who knows the pid can kill the group. */
static noreturn void worker_begin(const struct template_request *request, int end,
                                  const struct worker_settings *settings)
{
    if (setpgid(0, 0) < 0 || answer_send(request->id, getpid(), TEMPLATE_ANSWER) < 0)
        _exit(EXIT_FAILURE);
    prctl(PR_SET_NAME, "luma-worker");
    worker_main(end, settings);
}

/* What the process in between does; shares this process's memory, and so leaves the worker's number
 * there, or -errno. */
static noreturn void between_run(const struct template_request *request, int end,
                                 const struct worker_settings *settings, volatile int64_t *pid)
{
    pid_t worker = fork(); // NOLINT(clang-analyzer-unix.Vfork)
    if (worker == 0)
        worker_begin(request, end, settings);
    *pid = worker < 0 ? -errno : worker;
    _exit(EXIT_SUCCESS);
}

static void worker_fork(const struct template_request *request, int end,
                        const struct worker_settings *settings)
{
    volatile int64_t pid = -EAGAIN; /* if the process in between is killed */
    pid_t between = vfork();        // NOLINT(clang-analyzer-security.insecureAPI.vfork)
    if (between == 0)
        between_run(request, end, settings, &pid); // NOLINT(clang-analyzer-unix.Vfork)
    if (between < 0)
        pid = -errno;
    while (between > 0 && waitpid(between, NULL, 0) < 0 && errno == EINTR)
        continue;
    (void)answer_send(request->id, pid, pid > 0 ? TEMPLATE_FORKED : TEMPLATE_ANSWER);
}

static bool settings_read(struct worker_settings *settings, int argc, char **argv)
{
    if (argc != ARGUMENT_COUNT)
        return false;
    *settings = (struct worker_settings){
        .blobs = argv[ARGUMENT_BLOBS],
        .scripts = argv[ARGUMENT_SCRIPTS],
        .assets = argv[ARGUMENT_ASSETS][0] ? argv[ARGUMENT_ASSETS] : NULL,
        .memory = strtoll(argv[ARGUMENT_MEMORY], NULL, 10),
        .file_size = strtoll(argv[ARGUMENT_FILE_SIZE], NULL, 10),
        .cpu_seconds = strtoll(argv[ARGUMENT_CPU_SECONDS], NULL, 10),
    };
    return true;
}

int template_main(int argc, char **argv)
{
    struct worker_settings settings;
    int type;
    socklen_t size = sizeof(type);
    if (!settings_read(&settings, argc, argv) ||
        getsockopt(TEMPLATE_FD, SOL_SOCKET, SO_TYPE, &type, &size) < 0) {
        fputs("lumad --template is started by lumad itself\n", stderr);
        _exit(EXIT_FAILURE);
    }
    /* Whoever stops the service signals all of its processes; the server alone decides when a
     * worker ends. */
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGXFSZ};
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], SIG_IGN);
    prctl(PR_SET_NAME, "luma-template");
    fcntl(TEMPLATE_FD, F_SETFD, FD_CLOEXEC);
    setlocale(LC_CTYPE, "C.UTF-8");
    if (blob_init(settings.blobs) < 0)
        _exit(EXIT_FAILURE);
    libraries_warm();

    struct template_request request;
    int end;
    while (request_receive(&request, &end)) {
        worker_fork(&request, end, &settings);
        close(end);
    }
    _exit(EXIT_SUCCESS);
}
