/* A queue that one thread fills and another empties; see worker_hash.h. */
#include "server/worker_hash.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct entry {
    int number;
    char *path;
    char text[HASH_TEXT_SIZE];
    int64_t size;
    int status;
};

struct hash_ahead {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    bool started, closed;
    struct entry *entries; /* may move while the lock is free */
    size_t count, room, done;
};

struct hash_ahead *hash_ahead_create(void)
{
    struct hash_ahead *ahead = calloc(1, sizeof(*ahead));
    if (!ahead)
        return NULL;
    pthread_mutex_init(&ahead->lock, NULL);
    pthread_cond_init(&ahead->changed, NULL);
    return ahead;
}

/* Lets the disk begin with what it will be asked for. */
static void file_write_out(const char *path)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    close(fd);
}

static int file_sync(const char *path)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int status = fdatasync(fd) < 0 ? -errno : 0;
    close(fd);
    return status;
}

static void *hash_all(void *opaque)
{
    struct hash_ahead *ahead = opaque;
    pthread_mutex_lock(&ahead->lock);
    while (ahead->done < ahead->count || !ahead->closed) {
        if (ahead->done == ahead->count) {
            pthread_cond_wait(&ahead->changed, &ahead->lock);
            continue;
        }
        struct entry entry = ahead->entries[ahead->done];
        pthread_mutex_unlock(&ahead->lock);
        file_write_out(entry.path);
        entry.status = hash_file(entry.path, entry.text, &entry.size);
        pthread_mutex_lock(&ahead->lock);
        ahead->entries[ahead->done++] = entry;
    }
    pthread_mutex_unlock(&ahead->lock);
    for (size_t i = 0; i < ahead->done; i++) {
        struct entry *entry = &ahead->entries[i]; /* nobody adds any more */
        if (entry->status == 0)
            entry->status = file_sync(entry->path);
    }
    return NULL;
}

/* Under the lock. */
static int entry_append(struct hash_ahead *ahead, int number, const char *path)
{
    if (ahead->count == ahead->room) {
        size_t room = ahead->room ? ahead->room * 2 : 8;
        struct entry *entries = realloc(ahead->entries, room * sizeof(*entries));
        if (!entries)
            return -ENOMEM;
        ahead->entries = entries;
        ahead->room = room;
    }
    struct entry entry = {.number = number, .path = strdup(path)};
    if (!entry.path)
        return -ENOMEM;
    ahead->entries[ahead->count++] = entry;
    return 0;
}

int hash_ahead_add(struct hash_ahead *ahead, int number, const char *path)
{
    pthread_mutex_lock(&ahead->lock);
    int status = entry_append(ahead, number, path);
    pthread_cond_signal(&ahead->changed);
    pthread_mutex_unlock(&ahead->lock);
    if (status == 0 && !ahead->started) {
        status = -pthread_create(&ahead->thread, NULL, hash_all, ahead);
        ahead->started = status == 0;
    }
    return status;
}

/* After this the thread is gone, and the entries belong to the caller's thread. */
static void finish(struct hash_ahead *ahead)
{
    pthread_mutex_lock(&ahead->lock);
    ahead->closed = true;
    pthread_cond_signal(&ahead->changed);
    pthread_mutex_unlock(&ahead->lock);
    if (ahead->started)
        pthread_join(ahead->thread, NULL);
    ahead->started = false;
}

int hash_ahead_take(struct hash_ahead *ahead, int number, char text[HASH_TEXT_SIZE], int64_t *size)
{
    finish(ahead);
    for (size_t i = 0; i < ahead->done; i++) {
        const struct entry *entry = &ahead->entries[i];
        if (entry->number == number) {
            memcpy(text, entry->text, HASH_TEXT_SIZE);
            *size = entry->size;
            return entry->status;
        }
    }
    return -ENOENT;
}

void hash_ahead_destroy(struct hash_ahead **ahead)
{
    struct hash_ahead *going = *ahead;
    *ahead = NULL;
    if (!going)
        return;
    finish(going);
    for (size_t i = 0; i < going->count; i++)
        free(going->entries[i].path);
    free(going->entries);
    pthread_cond_destroy(&going->changed);
    pthread_mutex_destroy(&going->lock);
    free(going);
}
