/* A list that one thread fills and two others go through; see worker_hash.h. */
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
    int status; /* of the hash */
    int synced; /* 0 or -errno */
};

/* One of the threads: it goes through the entries in their order. */
struct walker {
    pthread_t thread;
    struct hash_ahead *ahead;
    void (*step)(struct hash_ahead *ahead, size_t position, struct entry *entry);
    size_t done;
};

struct hash_ahead {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct walker hasher, syncer;
    int started; /* threads */
    bool closed;
    struct entry *entries; /* may move while the lock is free */
    size_t count, room;
    size_t written_out; /* the syncer's: files whose writing has begun */
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

/* Steps: the lock is held before and after, not meanwhile; paths stay where they are. */

static void step_hash(struct hash_ahead *ahead, size_t position, struct entry *entry)
{
    pthread_mutex_unlock(&ahead->lock);
    entry->status = hash_file(entry->path, entry->text, &entry->size);
    pthread_mutex_lock(&ahead->lock);
    struct entry *kept = &ahead->entries[position];
    memcpy(kept->text, entry->text, sizeof(kept->text));
    kept->size = entry->size;
    kept->status = entry->status;
}

/* All that are there are begun before one is waited for: the disk takes many together. */
static void step_sync(struct hash_ahead *ahead, size_t position, struct entry *entry)
{
    while (ahead->written_out < ahead->count) {
        const char *path = ahead->entries[ahead->written_out++].path;
        pthread_mutex_unlock(&ahead->lock);
        file_write_out(path);
        pthread_mutex_lock(&ahead->lock);
    }
    pthread_mutex_unlock(&ahead->lock);
    int synced = file_sync(entry->path);
    pthread_mutex_lock(&ahead->lock);
    ahead->entries[position].synced = synced;
}

static void *walk(void *opaque)
{
    struct walker *walker = opaque;
    struct hash_ahead *ahead = walker->ahead;
    pthread_mutex_lock(&ahead->lock);
    while (walker->done < ahead->count || !ahead->closed) {
        if (walker->done == ahead->count) {
            pthread_cond_wait(&ahead->changed, &ahead->lock);
            continue;
        }
        struct entry entry = ahead->entries[walker->done];
        walker->step(ahead, walker->done, &entry);
        walker->done++;
    }
    pthread_mutex_unlock(&ahead->lock);
    return NULL;
}

static int walker_start(struct hash_ahead *ahead, struct walker *walker,
                        void (*step)(struct hash_ahead *, size_t, struct entry *))
{
    walker->ahead = ahead;
    walker->step = step;
    int status = pthread_create(&walker->thread, NULL, walk, walker);
    ahead->started += status == 0;
    return -status;
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
    pthread_cond_broadcast(&ahead->changed);
    pthread_mutex_unlock(&ahead->lock);
    if (status == 0 && ahead->started == 0)
        status = walker_start(ahead, &ahead->hasher, step_hash);
    if (status == 0 && ahead->started == 1)
        status = walker_start(ahead, &ahead->syncer, step_sync);
    return status;
}

/* After this the threads are gone, and the entries belong to the caller's thread. */
static void finish(struct hash_ahead *ahead)
{
    pthread_mutex_lock(&ahead->lock);
    ahead->closed = true;
    pthread_cond_broadcast(&ahead->changed);
    pthread_mutex_unlock(&ahead->lock);
    if (ahead->started > 0)
        pthread_join(ahead->hasher.thread, NULL);
    if (ahead->started > 1)
        pthread_join(ahead->syncer.thread, NULL);
    ahead->started = 0;
}

int hash_ahead_take(struct hash_ahead *ahead, int number, char text[HASH_TEXT_SIZE], int64_t *size)
{
    finish(ahead);
    for (size_t i = 0; i < ahead->count; i++) {
        const struct entry *entry = &ahead->entries[i];
        if (entry->number == number) {
            memcpy(text, entry->text, HASH_TEXT_SIZE);
            *size = entry->size;
            return entry->status < 0 ? entry->status : entry->synced;
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
