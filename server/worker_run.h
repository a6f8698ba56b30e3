/*
 * The run task: one operation, from its request to its last word.
 */
#ifndef LUMA_SERVER_WORKER_RUN_H
#define LUMA_SERVER_WORKER_RUN_H

#include <jansson.h>

#include "server/worker.h"

/* Runs what the task says (see message.h) and reports all of it. */
void worker_run(const struct worker_settings *settings, const json_t *task);

/* Blocks until the server has sent "go". worker_main.c has it, which reads the control socket. */
void worker_wait_for_go(void);

#endif
