/*
 * Between job.c (states), job_output.c (who hears of them) and job_message.c (what is said).
 */
#ifndef LUMA_SERVER_JOB_INTERNAL_H
#define LUMA_SERVER_JOB_INTERNAL_H

#include "server/job.h"

#define JOB_OUTPUTS_MAX 10000
#define JOB_NAME_MAX    255 /* bytes */

#define JOB_SEQ_ROOM 10000 /* numbers that are reserved at a time */

/* What a request, or a record of the same fields, says of a job. False: out of memory. */
bool job_fill(struct job *job, struct server *server, const char *caller, const json_t *request,
              json_t *inputs);
/* One that is in no table and has no timer. */
void job_free(struct job *job);
/* The record as the journal takes it. */
json_t *job_record(const struct job *job, const char *job_key);
/* What the record is to say of a job that has just ended. */
json_t *job_end_changes(struct job *job);
/* The number of the next message. The journal always holds a number that none has had yet, so that
 * numbers go on rising when the server is started again. */
int64_t job_seq_next(struct job *job);
/* The progress message of now; counts seq up. */
json_t *job_progress_message(struct job *job);
/* The last word of a job that completed, without its seq. */
json_t *job_completed_message(const struct job *job, const json_t *event);
/* One entry of completed's outputs, from the worker's event; NULL if the event makes no sense. */
json_t *job_output_entry(const struct job *job, const json_t *event);
/* Takes over what a progress event of the worker says; true if the work has moved. */
bool job_progress_take(struct job_progress *progress, const json_t *event);

/* job.c */
void job_send_progress(struct job *job);
/* Sets the timer to whatever comes first. */
void job_schedule(struct job *job);
/* The work has moved: it isn't stalled. */
void job_moved(struct job *job);
/* Frees what an ended job needs no more, and the job itself once nothing waits for it. */
void job_settle(struct job *job);

/* The next byte of an upload has its time from now on. */
void job_await_upload(struct job *job);
/* All inputs are there. */
void job_inputs_done(struct job *job);

/* Whether bytes of the job's inputs are still to come from a client. */
bool job_awaits_upload(const struct job *job);

/* job_account.c: metrics and the log */
void job_account_accepted(const struct job *job);
void job_account_started(const struct job *job);
void job_account_ended(struct job *job);
void job_account_reaped(struct job *job, const struct worker_exit *how);
void job_account_dropped(struct job *job);

/* job_fetch.c */
/* Starts to fetch what its inputs name by URL. May end the job. */
void job_fetch_begin(struct job *job);
/* Adds to a progress message how far its fetches are; nothing without any. */
void job_fetch_describe(const struct job *job, json_t *message);
/* job_link.c */
/* Takes up what a record knows of inputs that are outputs of other jobs. */
void job_link_describe(struct job *job, const json_t *record);
/* Makes them inputs. 0, or -1 with job_not_found, disk_full or internal. */
int job_link_inputs(struct job *job, struct problem *problem);
json_t *job_link_name(const struct job *job, int input); /* borrowed; NULL: not linked */

/* What an input is called, for scripts and the names of outputs; NULL: nothing is known. */
json_t *job_input_name(const struct job *job, int input);

/* job_output.c */
/* Says the last word, if there is anyone to hear it. */
void job_say(struct job *job);
/* The last word after what is still to be delivered. Nothing for a job that has not ended. */
void job_deliver_rest(struct job *job);

#endif
