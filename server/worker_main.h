/*
 * What runs inside a worker.
 */
#ifndef LUMA_SERVER_WORKER_MAIN_H
#define LUMA_SERVER_WORKER_MAIN_H

#include <stdnoreturn.h>

#include "server/worker.h"

/* Confines the process, takes the task from the control socket, does it, and ends. To be called
 * with one thread, in a process that was made for this and leads its own process group. */
noreturn void worker_main(int control, const struct worker_settings *settings);

#endif
