/*
 * Blobs: the only layer that knows where bytes lie.
 *
 * A blob is an id, "JOB/in-N" or "JOB/out-N", under the blob root (LUMA_DIR/jobs). Ids are made
 * here from a job's id (32 lower-case hex digits) and a number, and checked here when they come
 * from elsewhere; client's names never become part of one. Job folders are made with mode 0700.
 */
#ifndef LUMA_SERVER_BLOB_H
#define LUMA_SERVER_BLOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLOB_ID_MAX 64

enum blob_kind { BLOB_IN, BLOB_OUT };

/* The root folder; made if it isn't there. 0 or -errno. Call once at start. */
int blob_init(const char *root);

void blob_id(char id[BLOB_ID_MAX], const char *job, enum blob_kind kind, int number);
bool blob_id_valid(const char *id);

/* Makes, or removes with all that is in it, the folder of a job. 0 or -errno. */
int blob_make_job(const char *job);
int blob_remove_job(const char *job);
/* Removes from a job's folder whatever isn't a blob of that kind. 0 or -errno. */
int blob_keep_only(const char *job, enum blob_kind kind);
/* Shows every job that has a folder, until `visit` returns false. 0 or -errno. */
int blob_jobs(bool (*visit)(const char *job, void *opaque), void *opaque);

/*
 * A worker holds its job's folder from its start until its process has ended. A server that starts
 * makes sure that nobody does before it lets another worker in: those of a server that was killed
 * end by themselves, but not before the kernel lets them.
 */
int blob_hold_job(const char *job);   /* for good. 0 or -errno; -EWOULDBLOCK: it is being checked */
int blob_check_free(const char *job); /* 0, -EWOULDBLOCK if it is held, or -errno */

/* Makes sure that the folders of a job's blobs are on the disk. 0 or -errno. */
int blob_sync_folders(const char *job);

/* Removes one blob. 0 or -errno. */
int blob_remove(const char *id);
/* A second name for a blob, which lives until both are removed. 0 or -errno. */
int blob_link(const char *from, const char *to);

/* The path of a blob; 0, or -EINVAL for an id that isn't one. */
int blob_path(const char *id, char *path, size_t size);
/* The path of a job's folder. */
int blob_job_path(const char *job, char *path, size_t size);

/* Opens for reading, or for writing (created, not truncated); a descriptor or -errno. */
int blob_open_read(const char *id);
int blob_open_write(const char *id);
/* Size in bytes or -errno. */
int64_t blob_size(const char *id);

/* Bytes of the disk on which blobs lie: all, and what may still be filled. 0 or -errno. */
int blob_space(int64_t *all, int64_t *available);

#endif
