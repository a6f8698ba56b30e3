/*
 * Shared by the files that hold handlers of client messages.
 */
#ifndef LUMA_SERVER_REQUEST_INTERNAL_H
#define LUMA_SERVER_REQUEST_INTERNAL_H

#include <jansson.h>
#include <stdbool.h>

#include "server/protocol.h"

struct session;

struct request {
    struct session *session;
    const json_t *message;
    const char *id; /* request_id, NULL without one */
    struct problem problem;
};

/* A handler returns 0 after it has answered, or -1 with the problem that becomes the answer. */

/* Echoes the request's id and sends (consumed). Returns 0. */
int request_answer(const struct request *request, json_t *message);
/* The same for an answer that tells what a ticket of the journal stands for. */
int request_answer_safe(const struct request *request, json_t *message, uint64_t ticket);
/* A text field of the message, or NULL. */
const char *request_text(const struct request *request, const char *name);

/* request_inputs.c */
struct operation_entry;
/* Whether the operation takes such inputs, and each of them can be had. 0, or -1. */
int request_check_inputs(struct request *request, const struct operation_entry *operation,
                         const json_t *inputs);

/* request_jobs.c */
/* The record of a job, NULL if there is none that the session may know of. */
const json_t *request_record(const struct session *session, const char *id);
int request_cancel_job(struct request *request);
int request_attach(struct request *request);
int request_fetch(struct request *request);
int request_get_job(struct request *request);
int request_list_jobs(struct request *request);
int request_delete_job(struct request *request);
/* Attaches to the job of a record, for start_job with a job_key that was used before. `outputs`
 * as in attach, NULL pushes nothing. 0, or -1 with the problem. */
int request_attach_to(struct request *request, const json_t *record, const json_t *outputs,
                      bool duplicate);

/* The journal has what was looked for, or may have it: the problem of that. -1. */
int request_refuse_unreadable(struct request *request);

#endif
