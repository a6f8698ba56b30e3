/*
 * What a worker gives up before it looks at anything that came from outside.
 */
#ifndef LUMA_SERVER_WORKER_CONFINE_H
#define LUMA_SERVER_WORKER_CONFINE_H

#include "server/worker.h"

/* The only descriptor besides 0, 1 and 2 that is open afterwards. */
#define WORKER_CONTROL_FD 3

/* Moves the control socket to WORKER_CONTROL_FD, closes every other descriptor, sets the limits and
 * gives up new privileges. For a process with one thread that leads its own process group. 0 or
 * -errno; on failure the process must end. */
int worker_confine(int control, const struct worker_settings *settings);

#endif
