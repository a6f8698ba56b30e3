/*
 * Between job.c (states) and job_message.c (what is said of them).
 */
#ifndef LUMA_SERVER_JOB_INTERNAL_H
#define LUMA_SERVER_JOB_INTERNAL_H

#include "server/job.h"

/* The record as the journal takes it. */
json_t *job_record(const struct job *job, const char *job_key);
/* The progress message of now; counts seq up. */
json_t *job_progress_message(struct job *job);
/* The last word of a job that completed, without its seq. */
json_t *job_completed_message(const struct job *job, const json_t *event);
/* One entry of completed's outputs, from the worker's event; NULL if the event makes no sense. */
json_t *job_output_entry(const struct job *job, const json_t *event);
/* Takes over what a progress event of the worker says; true if the work has moved. */
bool job_progress_take(struct job_progress *progress, const json_t *event);

#endif
