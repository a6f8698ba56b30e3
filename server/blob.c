/*
 * Blobs on a local file system: LUMA_DIR/jobs/JOB/in-N and out-N.
 *
 * What lies in a job's folder was written by a worker, which may have been taken over by the media
 * it read: so nothing here follows a link, opens anything but a regular file, or blocks on a pipe.
 * The root is set once; everything else is stateless and may be called from any thread.
 */
#include "server/blob.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define JOB_ID_LENGTH 32
#define NUMBER_DIGITS 6
/* Folders in folders: operations make none, so a deep tree is somebody's mischief. */
#define DEPTH_MAX 32

static char blob_root[PATH_MAX];

/* Makes every folder of the path. */
static int folders_make(const char *path)
{
    char part[PATH_MAX];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof(part))
        return length ? -ENAMETOOLONG : -EINVAL;
    memcpy(part, path, length + 1);
    for (size_t i = 1; i <= length; i++) {
        if (part[i] != '/' && part[i] != '\0')
            continue;
        part[i] = '\0';
        if (mkdir(part, 0700) < 0 && errno != EEXIST)
            return -errno;
        part[i] = path[i];
    }
    return 0;
}

int blob_init(const char *root)
{
    int status = folders_make(root);
    if (status < 0)
        return status;
    char resolved[PATH_MAX];
    if (!realpath(root, resolved))
        return -errno;
    struct stat info;
    if (stat(resolved, &info) < 0)
        return -errno;
    if (!S_ISDIR(info.st_mode))
        return -ENOTDIR;
    memcpy(blob_root, resolved, strlen(resolved) + 1);
    return 0;
}

/* The length of the job id at the front of the text, 0 if there is none. */
static size_t job_id_length(const char *text)
{
    size_t length = strspn(text, "0123456789abcdef");
    return length == JOB_ID_LENGTH ? length : 0;
}

static bool job_id_valid(const char *job)
{
    size_t length = job_id_length(job);
    return length > 0 && job[length] == '\0';
}

bool blob_id_valid(const char *id)
{
    size_t length = job_id_length(id);
    if (length == 0 || id[length] != '/')
        return false;
    const char *number = id + length + 1;
    if (strncmp(number, "in-", 3) == 0) {
        number += 3;
    } else if (strncmp(number, "out-", 4) == 0) {
        number += 4;
    } else {
        return false;
    }
    size_t digits = strspn(number, "0123456789");
    if (digits == 0 || digits > NUMBER_DIGITS || number[digits] != '\0')
        return false;
    return digits == 1 || number[0] != '0';
}

void blob_id(char id[BLOB_ID_MAX], const char *job, enum blob_kind kind, int number)
{
    int length = snprintf(id, BLOB_ID_MAX, "%s/%s-%d", job, kind == BLOB_IN ? "in" : "out", number);
    if (length < 0 || length >= BLOB_ID_MAX || !blob_id_valid(id))
        id[0] = '\0';
}

/* root/name into path. */
static int path_join(const char *name, char *path, size_t size)
{
    int length = snprintf(path, size, "%s/%s", blob_root, name);
    return length < 0 || (size_t)length >= size ? -ENAMETOOLONG : 0;
}

int blob_path(const char *id, char *path, size_t size)
{
    return blob_id_valid(id) ? path_join(id, path, size) : -EINVAL;
}

int blob_job_path(const char *job, char *path, size_t size)
{
    return job_id_valid(job) ? path_join(job, path, size) : -EINVAL;
}

int blob_make_job(const char *job)
{
    char path[PATH_MAX];
    int status = blob_job_path(job, path, sizeof(path));
    if (status < 0)
        return status;
    return mkdir(path, 0700) < 0 ? -errno : 0;
}

static int folder_remove(int parent, const char *name, int depth)
{
    if (depth > DEPTH_MAX)
        return -ELOOP;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    DIR *folder = fdopendir(fd);
    if (!folder) {
        int status = -errno;
        close(fd);
        return status;
    }
    int status = 0;
    const struct dirent *entry;
    while (status == 0 && (entry = readdir(folder))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(fd, entry->d_name, 0) < 0)
            status = errno == EISDIR ? folder_remove(fd, entry->d_name, depth + 1) : -errno;
    }
    closedir(folder);
    if (status == 0 && unlinkat(parent, name, AT_REMOVEDIR) < 0)
        status = -errno;
    return status;
}

int blob_remove_job(const char *job)
{
    char path[PATH_MAX];
    int status = blob_job_path(job, path, sizeof(path));
    return status < 0 ? status : folder_remove(AT_FDCWD, path, 0);
}

int blob_keep_only(const char *job, enum blob_kind kind)
{
    char path[PATH_MAX];
    int status = blob_job_path(job, path, sizeof(path));
    DIR *folder = status == 0 ? opendir(path) : NULL;
    if (!folder)
        return status < 0 ? status : -errno;
    const char *prefix = kind == BLOB_IN ? "in-" : "out-";
    const struct dirent *entry;
    while (status == 0 && (entry = readdir(folder))) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
            strncmp(name, prefix, strlen(prefix)) == 0)
            continue;
        if (unlinkat(dirfd(folder), name, 0) < 0)
            status = errno == EISDIR ? folder_remove(dirfd(folder), name, 1) : -errno;
    }
    closedir(folder);
    return status;
}

int blob_jobs(bool (*visit)(const char *job, void *opaque), void *opaque)
{
    DIR *folder = opendir(blob_root);
    if (!folder)
        return -errno;
    const struct dirent *entry;
    while ((entry = readdir(folder))) {
        if (job_id_valid(entry->d_name) && !visit(entry->d_name, opaque))
            break;
    }
    closedir(folder);
    return 0;
}

/* The folder, locked; a descriptor or -errno. */
static int folder_lock(const char *job, int how)
{
    char path[PATH_MAX];
    int status = blob_job_path(job, path, sizeof(path));
    if (status < 0)
        return status;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (flock(fd, how | LOCK_NB) < 0) {
        status = -errno;
        close(fd);
        return status;
    }
    return fd;
}

int blob_hold_job(const char *job)
{
    int fd = folder_lock(job, LOCK_SH);
    return fd < 0 ? fd : 0; /* left open: the lock goes with the process */
}

int blob_check_free(const char *job)
{
    int fd = folder_lock(job, LOCK_EX);
    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

static int folder_sync(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int status = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return status;
}

int blob_sync_folders(const char *job)
{
    char path[PATH_MAX];
    int status = blob_job_path(job, path, sizeof(path));
    if (status == 0)
        status = folder_sync(path);
    return status == 0 ? folder_sync(blob_root) : status;
}

int blob_remove(const char *id)
{
    char path[PATH_MAX];
    int status = blob_path(id, path, sizeof(path));
    if (status < 0)
        return status;
    return unlink(path) < 0 ? -errno : 0;
}

int blob_link(const char *from, const char *to)
{
    char old[PATH_MAX], new[PATH_MAX];
    int status = blob_path(from, old, sizeof(old));
    if (status == 0)
        status = blob_path(to, new, sizeof(new));
    if (status < 0)
        return status;
    return link(old, new) < 0 ? -errno : 0;
}

static int blob_open(const char *id, int flags)
{
    char path[PATH_MAX];
    int status = blob_path(id, path, sizeof(path));
    if (status < 0)
        return status;
    int fd = open(path, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    struct stat info;
    if (fstat(fd, &info) < 0) {
        status = -errno;
        close(fd);
        return status;
    }
    if (!S_ISREG(info.st_mode)) {
        close(fd);
        return -EINVAL;
    }
    return fd;
}

int blob_open_read(const char *id)
{
    return blob_open(id, O_RDONLY);
}

int blob_open_write(const char *id)
{
    return blob_open(id, O_WRONLY | O_CREAT);
}

int64_t blob_size(const char *id)
{
    char path[PATH_MAX];
    int status = blob_path(id, path, sizeof(path));
    if (status < 0)
        return status;
    struct stat info;
    if (lstat(path, &info) < 0)
        return -errno;
    return S_ISREG(info.st_mode) ? (int64_t)info.st_size : -EINVAL;
}

int blob_space(int64_t *all, int64_t *available)
{
    struct statvfs info;
    if (statvfs(blob_root, &info) < 0)
        return -errno;
    *all = (int64_t)info.f_blocks * (int64_t)info.f_frsize;
    *available = (int64_t)info.f_bavail * (int64_t)info.f_frsize;
    return 0;
}
