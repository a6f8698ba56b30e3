/*
 * The run task: one operation, from its request to its last word.
 */
#ifndef LUMA_SERVER_WORKER_RUN_H
#define LUMA_SERVER_WORKER_RUN_H

#include <jansson.h>

#include "server/worker.h"

/* Runs what the task says (see message.h) and reports all of it. */
void worker_run(const struct worker_settings *settings, const json_t *task);

/* Blocks until the server has sent "go"; the threads that it gives the job now, 0: as before.
 * worker_main.c has it, which reads the control socket. */
int worker_wait_for_go(void);

#endif
