/*
 * The pool: keeps a template alive, asks it for workers, and reaps everything.
 *
 * The server is the subreaper of its descendants, so whatever loses its parent below it becomes
 * its child: workers by intention, and what a killed template leaves half-way. All children are
 * reaped here; the server starts no others.
 *
 * A worker answers its request itself, so an answer always comes before its worker's death, and
 * the end of a template's socket after the last answer (see template.h). These two orders are what
 * the code relies on: an unknown dead child is looked for in the answers not read yet; at a
 * socket's end the open requests are made again. So are those of workers that died before they
 * could answer: the template tells which process a request became, sooner or later than the death.
 *
 * Loop thread only.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "server/template.h"
#include "server/worker_internal.h"

/* Requests that may be on their way at a time; the kernel counts descriptors in flight. */
#define ASKED_MAX 32
#define RETRY_MS  50
/* A worker may die as often before it can answer; then it is given up. */
#define EARLY_DEATHS_MAX 3
/* A template that lived shorter than this counts as a quick death; each one in a row doubles the
 * wait for the next. */
#define QUICK_DEATH_MS    1000
#define RESPAWN_MIN_MS    50
#define RESPAWN_MAX_MS    2000
#define ANSWER_TIMEOUT_MS 30000
/* How long destroy waits for killed processes to be gone. */
#define REAP_PATIENCE_MS 500

static void template_start_again(uv_timer_t *timer);
static void template_hangs(uv_timer_t *timer);
static void later_due(uv_timer_t *timer);

/* ---- workers ---- */

void worker_pool_add(struct worker_pool *pool, struct worker *worker)
{
    worker->previous = pool->last;
    if (pool->last) {
        pool->last->next = worker;
    } else {
        pool->first = worker;
    }
    pool->last = worker;
}

void worker_pool_remove(struct worker_pool *pool, struct worker *worker)
{
    if (worker->previous) {
        worker->previous->next = worker->next;
    } else {
        pool->first = worker->next;
    }
    if (worker->next) {
        worker->next->previous = worker->previous;
    } else {
        pool->last = worker->previous;
    }
    worker->previous = worker->next = NULL;
}

static struct worker *worker_in_state(const struct worker_pool *pool, enum worker_state state)
{
    for (struct worker *worker = pool->first; worker; worker = worker->next) {
        if (worker->state == state)
            return worker;
    }
    return NULL;
}

static struct worker *worker_by_request(const struct worker_pool *pool, uint64_t request)
{
    for (struct worker *worker = pool->first; worker; worker = worker->next) {
        if (worker->state == WORKER_ASKED && worker->request == request)
            return worker;
    }
    return NULL;
}

static struct worker *worker_by_pid(const struct worker_pool *pool, pid_t pid)
{
    for (struct worker *worker = pool->first; worker; worker = worker->next) {
        if (worker->state == WORKER_RUNNING && worker->pid == pid)
            return worker;
    }
    return NULL;
}

static struct worker *worker_by_forked(const struct worker_pool *pool, pid_t pid)
{
    for (struct worker *worker = pool->first; worker; worker = worker->next) {
        if (worker->state == WORKER_ASKED && worker->forked == pid)
            return worker;
    }
    return NULL;
}

/* ---- requests ---- */

static int request_send(int fd, uint64_t id, int end)
{
    struct template_request request = {.id = id};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {.iov_base = &request, .iov_len = sizeof(request)};
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &end, sizeof(int));
    ssize_t size;
    do {
        size = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (size < 0 && errno == EINTR);
    return size < 0 ? -errno : 0;
}

/* The watchdog runs while answers are owed, anew from each answer. */
static void watchdog_update(struct worker_pool *pool)
{
    if (pool->asked > 0) {
        uv_timer_start(&pool->watchdog, template_hangs, ANSWER_TIMEOUT_MS, 0);
    } else {
        uv_timer_stop(&pool->watchdog);
    }
}

static int worker_ask(struct worker_pool *pool, struct worker *worker)
{
    int status = worker->remote < 0 ? worker_pair(worker) : 0;
    if (status == 0)
        status = request_send(pool->template->fd, pool->last_request + 1, worker->remote);
    if (status < 0)
        return status;
    worker->request = ++pool->last_request;
    worker->state = WORKER_ASKED;
    worker->forked = 0;
    close(worker->remote);
    worker->remote = -1;
    if (pool->asked++ == 0)
        watchdog_update(pool);
    return 0;
}

void worker_pool_pump(struct worker_pool *pool)
{
    while (pool->template && pool->asked < ASKED_MAX) {
        struct worker *worker = worker_in_state(pool, WORKER_WAITING);
        if (!worker)
            return;
        int status = worker_ask(pool, worker);
        if (status == -EPIPE || status == -ECONNRESET)
            return; /* its end will be read */
        if (status < 0) {
            worker_pool_later(pool, RETRY_MS);
            return;
        }
    }
}

/* The request of a worker that was asked for has come to nothing. */
static void worker_unask(struct worker_pool *pool, struct worker *worker)
{
    pool->asked--;
    worker_pair_close(worker);
    worker->state = WORKER_WAITING;
    if (worker->kill_wanted)
        worker_kill(worker);
}

void worker_pool_later(struct worker_pool *pool, uint64_t milliseconds)
{
    if (!uv_is_active((uv_handle_t *)&pool->later) ||
        uv_timer_get_due_in(&pool->later) > milliseconds)
        uv_timer_start(&pool->later, later_due, milliseconds, 0);
}

static void later_due(uv_timer_t *timer)
{
    struct worker_pool *pool = timer->data;
    const struct worker_exit how = {.status = SIGKILL};
    struct worker *worker;
    while (!pool->destroyed && (worker = worker_in_state(pool, WORKER_UNBORN)))
        worker_finish(worker, &how);
    if (!pool->destroyed)
        worker_pool_pump(pool);
}

/* ---- the template ---- */

static void template_closed(uv_handle_t *handle)
{
    struct template_link *template = handle->data;
    worker_pool_handle_closed(template->pool);
    free(template);
}

static void template_kill(const struct template_link *template)
{
    if (template->pid > 0)
        kill(template->pid, SIGKILL);
}

static void template_drop(struct worker_pool *pool)
{
    struct template_link *template = pool->template;
    pool->template = NULL;
    template_kill(template);
    uv_close((uv_handle_t *)&template->poll, template_closed);
    close(template->fd);
}

static void respawn_schedule(struct worker_pool *pool, bool quick_death)
{
    uint64_t wait = 0;
    pool->quick_deaths = quick_death ? pool->quick_deaths + 1 : 0;
    if (pool->quick_deaths > 1) {
        unsigned int doublings = pool->quick_deaths - 2;
        wait = doublings < 10 ? (uint64_t)RESPAWN_MIN_MS << doublings : RESPAWN_MAX_MS;
    }
    uv_timer_start(&pool->respawn, template_start_again,
                   wait < RESPAWN_MAX_MS ? wait : RESPAWN_MAX_MS, 0);
}

/* The end of its socket: whoever has not answered by now never will. */
static void template_ended(struct worker_pool *pool)
{
    bool quick = uv_now(pool->loop) - pool->template->started < QUICK_DEATH_MS;
    template_drop(pool);
    struct worker *worker;
    while ((worker = worker_in_state(pool, WORKER_ASKED)))
        worker_unask(pool, worker);
    watchdog_update(pool);
    respawn_schedule(pool, quick);
}

/* The worker's process is gone and has not said a word. */
static void worker_died_early(struct worker_pool *pool, struct worker *worker,
                              const struct worker_exit *how)
{
    if (++worker->early_deaths < EARLY_DEATHS_MAX) {
        worker_unask(pool, worker);
        worker_pool_later(pool, RETRY_MS);
    } else {
        pool->asked--;
        worker_finish(worker, how);
    }
    watchdog_update(pool);
}

static void stranger_remember(struct worker_pool *pool, pid_t pid, int status)
{
    pool->strangers[pool->strangers_seen++ % WORKER_STRANGERS] =
        (struct worker_stranger){.pid = pid, .status = status};
}

/* The template tells which process a request has become; it may be dead already. Should another
 * process have had its number before, a worker that lives loses its socket and ends. */
static void forked_take(struct worker_pool *pool, const struct template_answer *answer)
{
    struct worker *worker = worker_by_request(pool, answer->id);
    if (!worker)
        return; /* it has answered */
    worker->forked = (pid_t)answer->pid;
    for (size_t i = 0; i < WORKER_STRANGERS; i++) {
        if (pool->strangers[i].pid == worker->forked) {
            const struct worker_exit how = {.status = pool->strangers[i].status};
            pool->strangers[i].pid = 0;
            worker_died_early(pool, worker, &how);
            return;
        }
    }
}

static void answer_take(struct worker_pool *pool, const struct template_answer *answer)
{
    if (answer->word == TEMPLATE_FORKED) {
        forked_take(pool, answer);
        return;
    }
    struct worker *worker = worker_by_request(pool, answer->id);
    if (!worker)
        return;
    if (answer->pid > 0) {
        pool->asked--;
        worker_begin(worker, (pid_t)answer->pid);
    } else {
        worker_unask(pool, worker);
        worker_pool_later(pool, RETRY_MS);
    }
    watchdog_update(pool);
}

/* Takes all answers that are there. A reset is reported once and before what is still queued
 * (the template died with requests unread), so it doesn't end the reading. */
static void template_read(struct worker_pool *pool)
{
    while (!pool->destroyed && pool->template) {
        struct template_answer answer;
        ssize_t size = recv(pool->template->fd, &answer, sizeof(answer), MSG_DONTWAIT);
        if (size == sizeof(answer)) {
            answer_take(pool, &answer);
        } else if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return;
        } else if (size >= 0 || (errno != EINTR && errno != ECONNRESET)) {
            template_ended(pool);
        }
    }
}

static void template_readable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct template_link *template = poll->data;
    struct worker_pool *pool = template->pool;
    template_read(pool);
    if (!pool->destroyed)
        worker_pool_pump(pool);
}

static int template_start(struct worker_pool *pool)
{
    int ends[2];
    struct template_link *template = calloc(1, sizeof(*template));
    if (!template)
        return -ENOMEM;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
        int status = -errno;
        free(template);
        return status;
    }
    template->pool = pool;
    template->fd = ends[0];
    template->started = uv_now(pool->loop);
    template->poll.data = template;
    int status = template_spawn(&template->pid, ends[1], &pool->settings);
    close(ends[1]);
    if (status == 0)
        status = uv_poll_init(pool->loop, &template->poll, template->fd);
    if (status < 0) {
        template_kill(template);
        close(template->fd);
        free(template);
        return status;
    }
    pool->open_handles++;
    pool->template = template;
    uv_poll_start(&template->poll, UV_READABLE, template_readable);
    return 0;
}

static void template_start_again(uv_timer_t *timer)
{
    struct worker_pool *pool = timer->data;
    if (template_start(pool) < 0) {
        respawn_schedule(pool, true);
    } else {
        worker_pool_pump(pool);
    }
}

static void template_hangs(uv_timer_t *timer)
{
    struct worker_pool *pool = timer->data;
    if (pool->template)
        template_kill(pool->template);
}

/* ---- reaping ---- */

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

/* The child is dead and not reaped: its number, and its group's, can't be anybody else's yet. */
static void child_reap(struct worker_pool *pool, pid_t pid)
{
    struct worker *worker = worker_by_pid(pool, pid);
    if (!worker) {
        template_read(pool);
        worker = worker_by_pid(pool, pid);
    }
    if (worker)
        kill(-pid, SIGKILL); /* whatever it may have started */
    struct rusage usage = {0};
    int status = 0;
    if (wait4(pid, &status, 0, &usage) != pid)
        return;
    const struct worker_exit how = {
        .status = status,
        .cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime),
        .peak_memory_bytes = (int64_t)usage.ru_maxrss * 1024,
    };
    if (worker) {
        worker_finish(worker, &how);
    } else if (pool->template && pool->template->pid == pid) {
        pool->template->pid = 0;
    } else if ((worker = worker_by_forked(pool, pid))) {
        worker_died_early(pool, worker, &how);
    } else {
        stranger_remember(pool, pid, status);
    }
}

static void child_changed(uv_signal_t *handle, int number)
{
    (void)number;
    struct worker_pool *pool = handle->data;
    while (!pool->destroyed) {
        siginfo_t info = {0};
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
            return;
        child_reap(pool, info.si_pid);
    }
}

/* ---- the pool ---- */

static void pool_free(struct worker_pool *pool)
{
    free((char *)pool->settings.blobs);
    free((char *)pool->settings.scripts);
    free((char *)pool->settings.assets);
    free(pool);
}

void worker_pool_handle_closed(struct worker_pool *pool)
{
    if (--pool->open_handles == 0 && pool->destroyed)
        pool_free(pool);
}

static void handle_closed(uv_handle_t *handle)
{
    worker_pool_handle_closed(handle->data);
}

static int settings_copy(struct worker_settings *to, const struct worker_settings *from)
{
    *to = *from;
    to->blobs = strdup(from->blobs);
    to->scripts = strdup(from->scripts);
    to->assets = from->assets ? strdup(from->assets) : NULL;
    return to->blobs && to->scripts && (to->assets || !from->assets) ? 0 : -ENOMEM;
}

static int handles_init(struct worker_pool *pool)
{
    uv_timer_t *const timers[] = {&pool->later, &pool->respawn, &pool->watchdog, &pool->unwanted};
    for (size_t i = 0; i < sizeof(timers) / sizeof(timers[0]); i++) {
        uv_timer_init(pool->loop, timers[i]);
        timers[i]->data = pool;
    }
    uv_signal_init(pool->loop, &pool->child);
    pool->child.data = pool;
    pool->open_handles = 5;
    return uv_signal_start(&pool->child, child_changed, SIGCHLD);
}

int worker_pool_create(struct worker_pool **pool, uv_loop_t *loop,
                       const struct worker_settings *settings)
{
    *pool = NULL;
    struct worker_pool *created = calloc(1, sizeof(*created));
    if (!created)
        return UV_ENOMEM;
    created->loop = loop;
    if (settings_copy(&created->settings, settings) < 0) {
        pool_free(created);
        return UV_ENOMEM;
    }
    signal(SIGPIPE, SIG_IGN); /* a worker's socket may end while it is written to */
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0) {
        int status = -errno;
        pool_free(created);
        return status;
    }
    int status = handles_init(created);
    if (status == 0)
        status = template_start(created);
    if (status < 0) {
        worker_pool_destroy(&created);
        return status;
    }
    *pool = created;
    return 0;
}

/* What has been killed is gone in a moment; one stuck in the kernel isn't waited for. */
static void children_reap(void)
{
    static const struct timespec pause = {.tv_nsec = 1000000};
    for (int i = 0; i < REAP_PATIENCE_MS; i++) {
        pid_t pid;
        do {
            pid = waitpid(-1, NULL, WNOHANG);
        } while (pid > 0);
        if (pid < 0)
            return;
        nanosleep(&pause, NULL);
    }
}

void worker_pool_destroy(struct worker_pool **pool)
{
    struct worker_pool *ended = *pool;
    *pool = NULL;
    if (!ended)
        return;
    ended->destroyed = true;
    if (ended->template)
        template_drop(ended);
    ended->ready = NULL;
    struct worker *worker;
    while ((worker = ended->first)) {
        worker_kill(worker);
        worker_pool_remove(ended, worker);
        worker_discard(worker);
    }
    children_reap();
    uv_close((uv_handle_t *)&ended->later, handle_closed);
    uv_close((uv_handle_t *)&ended->respawn, handle_closed);
    uv_close((uv_handle_t *)&ended->watchdog, handle_closed);
    uv_close((uv_handle_t *)&ended->unwanted, handle_closed);
    uv_close((uv_handle_t *)&ended->child, handle_closed);
}

pid_t worker_pool_template(const struct worker_pool *pool)
{
    return pool->template ? pool->template->pid : 0;
}
