/*
 * See repl_signal.h. The handler touches only flags, the control, and what a process ends with.
 */
#include "lua/repl_signal.h"

#include <poll.h>
#include <stddef.h>
#include <unistd.h>

#include "lua/repl.h"

enum { INSISTED = 3 };

struct repl_signals repl_signals;
static volatile sig_atomic_t at_prompt;
static struct pipeline_control *controlled;

static void on_signal(int number)
{
    if (number == SIGWINCH) {
        repl_signals.resized = 1;
    } else if (number == SIGCONT) {
        repl_signals.continued = 1;
    } else if (number == SIGINT && at_prompt) {
        repl_signals.interrupted = 1;
    } else {
        repl_signals.ending |= number != SIGINT;
        if (!at_prompt && atomic_fetch_add(&controlled->cancel, 1) + 1 >= INSISTED) {
            repl_discard();
            _exit(128 + number);
        }
    }
}

static const int caught[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGCONT};
enum { CAUGHT = sizeof caught / sizeof *caught };

void repl_signal_catch(struct pipeline_control *control)
{
    struct sigaction action = {.sa_handler = on_signal};
    controlled = control;
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < CAUGHT; i++) {
        /* a resize is no reason for a run's reads and writes to be interrupted */
        action.sa_flags = caught[i] == SIGWINCH || caught[i] == SIGCONT ? SA_RESTART : 0;
        sigaction(caught[i], &action, NULL);
    }
    signal(SIGPIPE, SIG_IGN);
}

void repl_signal_typing(bool typing)
{
    repl_signals.interrupted = 0;
    at_prompt = typing;
}

static bool any_signal(void)
{
    return repl_signals.interrupted || repl_signals.resized || repl_signals.continued ||
           repl_signals.ending;
}

bool repl_signal_wait(int fd)
{
    struct pollfd input = {.fd = fd, .events = POLLIN};
    sigset_t blocked, before;
    sigemptyset(&blocked);
    for (int i = 0; i < CAUGHT; i++) {
        sigaddset(&blocked, caught[i]);
    }
    /* none is lost between the look at the flags and the wait */
    sigprocmask(SIG_BLOCK, &blocked, &before);
    bool ready = !any_signal() && ppoll(&input, 1, NULL, &before) > 0;
    sigprocmask(SIG_SETMASK, &before, NULL);
    return ready;
}
