/*
 * The walls of a worker process that need nothing but Linux: limits, descriptors, no new
 * privileges. The order matters: what a later step needs (opening files, changing limits) must not
 * have been given up by an earlier one.
 */
#include "server/worker_confine.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* A hundred inputs, their outputs, and a reserve. */
#define OPEN_FILES_MAX 512
/* glibc's default of 8 MiB a thread would count against RLIMIT_DATA, used or not. Codecs are built
 * for platforms whose threads have half of this. */
#define THREAD_STACK_SIZE ((size_t)1024 * 1024)
/* SIGXCPU ends a worker; one that has blocked it gets this much longer. */
#define CPU_GRACE_SECONDS 2

static int descriptors_close(int control)
{
    if (control != WORKER_CONTROL_FD && dup3(control, WORKER_CONTROL_FD, O_CLOEXEC) < 0)
        return -errno;
    if (close_range(WORKER_CONTROL_FD + 1, ~0U, 0) < 0)
        return -errno;
    /* Some encoders print to the error output whatever they are told; sanitizers report there. */
    if (LUMA_SANITIZED)
        return 0;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return -errno;
    int status = dup2(null, STDERR_FILENO) < 0 ? -errno : 0;
    close(null);
    return status;
}

/* A limit never rises above what the process already has. */
static int limit_set(int resource, rlim_t soft, rlim_t hard)
{
    struct rlimit present;
    if (getrlimit(resource, &present) < 0)
        return -errno;
    struct rlimit wanted = {
        .rlim_cur = soft < present.rlim_max ? soft : present.rlim_max,
        .rlim_max = hard < present.rlim_max ? hard : present.rlim_max,
    };
    return setrlimit(resource, &wanted) < 0 ? -errno : 0;
}

static int limits_set(const struct worker_settings *settings)
{
    const struct {
        int resource;
        int64_t value; /* 0: unlimited */
        int64_t grace;
    } limits[] = {
        /* The sanitizers' shadow memory would count as data. */
        {RLIMIT_DATA, LUMA_SANITIZED ? 0 : settings->memory, 0},
        {RLIMIT_FSIZE, settings->file_size, 0},
        {RLIMIT_CPU, settings->cpu_seconds, CPU_GRACE_SECONDS},
        {RLIMIT_NOFILE, OPEN_FILES_MAX, 0},
    };
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        if (limits[i].value <= 0)
            continue;
        rlim_t soft = (rlim_t)limits[i].value;
        int status = limit_set(limits[i].resource, soft, soft + (rlim_t)limits[i].grace);
        if (status < 0)
            return status;
    }
    return limit_set(RLIMIT_CORE, 0, 0);
}

static int stacks_shrink(void)
{
    if (LUMA_SANITIZED)
        return 0;
    pthread_attr_t attributes;
    int status = pthread_attr_init(&attributes);
    if (status != 0)
        return -status;
    status = pthread_attr_setstacksize(&attributes, THREAD_STACK_SIZE);
    if (status == 0)
        status = pthread_setattr_default_np(&attributes);
    pthread_attr_destroy(&attributes);
    return -status;
}

int worker_confine(int control, const struct worker_settings *settings)
{
    umask(077);
    int status = descriptors_close(control);
    if (status == 0)
        status = stacks_shrink();
    if (status == 0)
        status = limits_set(settings);
    if (status == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        status = -errno;
    return status;
}
