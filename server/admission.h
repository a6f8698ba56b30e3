/*
 * Whether the server takes one more message, or one more job: rates for each caller and address,
 * the length of the queue, what a caller may have in it, and room on the disk.
 *
 * The room that is asked for is what is free, less what the inputs on their way have announced,
 * less a reserve (LUMA_DISK_RESERVE, on a small disk a twentieth of it). So new jobs are refused
 * while those that were taken can still be worked off; one that fills the disk nevertheless fails
 * alone, where the write fails.
 */
#ifndef LUMA_SERVER_ADMISSION_H
#define LUMA_SERVER_ADMISSION_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/protocol.h"

struct job;
struct server;
struct session;

/* A text message of the session. 0, or -1 with rate_limited. */
int admission_message(struct session *session, struct problem *problem);
/* A plain request from the address; it counts as a message of it. */
bool admission_request(struct server *server, const char *address);
/* A job with these inputs. 0, or -1 with shutting_down, rate_limited, queue_full, quota_exceeded or
 * disk_full. */
int admission_job(struct session *session, const json_t *inputs, struct problem *problem);
/* More bytes of an input that had not announced its size. 0, or -1 with quota_exceeded. */
int admission_bytes(struct job *job, int64_t bytes, struct problem *problem);
/* What the job's inputs have announced is kept from now on, until it is no longer. */
void admission_keep(struct job *job);
void admission_release(struct job *job);

/* Bytes that jobs may still fill: free, less the reserve; negative where the reserve is broken
 * into. INT64_MAX if the disk can't be asked. */
int64_t admission_room(const struct server *server);

#endif
