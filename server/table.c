/*
 * Chained hashing with FNV-1a. The keys are job ids and addresses: random or few, so no defence
 * against chosen collisions is needed.
 */
#include "server/table.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS_FIRST 64

static size_t bucket_of(const struct table *table, const char *key)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a, 64 bits */
    for (const char *c = key; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    return (size_t)(hash ^ (hash >> 32)) & (table->bucket_count - 1);
}

void table_init(struct table *table)
{
    *table = (struct table){0};
}

void table_finish(struct table *table)
{
    for (size_t i = 0; i < table->bucket_count; i++) {
        struct table_entry *entry = table->buckets[i];
        while (entry) {
            struct table_entry *next = entry->next;
            free(entry);
            entry = next;
        }
    }
    free(table->buckets);
    *table = (struct table){0};
}

static bool table_resize(struct table *table, size_t bucket_count)
{
    struct table resized = {.bucket_count = bucket_count, .count = table->count};
    if (bucket_count == 0)
        return false; /* it would have overflown */
    resized.buckets = calloc(bucket_count, sizeof(*resized.buckets));
    if (!resized.buckets)
        return false;
    for (size_t i = 0; i < table->bucket_count; i++) {
        struct table_entry *entry = table->buckets[i];
        while (entry) {
            struct table_entry *next = entry->next;
            struct table_entry **bucket = &resized.buckets[bucket_of(&resized, entry->key)];
            entry->next = *bucket;
            *bucket = entry;
            entry = next;
        }
    }
    free(table->buckets);
    *table = resized;
    return true;
}

bool table_put(struct table *table, const char *key, void *value)
{
    if (table->bucket_count == 0 && !table_resize(table, BUCKETS_FIRST))
        return false;
    if (table->count >= table->bucket_count)
        (void)table_resize(table, table->bucket_count * 2); /* failing, chains grow longer */
    struct table_entry *entry = malloc(sizeof(*entry));
    if (!entry)
        return false;
    struct table_entry **bucket = &table->buckets[bucket_of(table, key)];
    *entry = (struct table_entry){.key = key, .value = value, .next = *bucket};
    *bucket = entry;
    table->count++;
    return true;
}

static struct table_entry **place_of(const struct table *table, const char *key)
{
    if (table->bucket_count == 0)
        return NULL;
    struct table_entry **place = &table->buckets[bucket_of(table, key)];
    while (*place && strcmp((*place)->key, key) != 0)
        place = &(*place)->next;
    return *place ? place : NULL;
}

void *table_get(const struct table *table, const char *key)
{
    struct table_entry **place = place_of(table, key);
    return place ? (*place)->value : NULL;
}

void *table_remove(struct table *table, const char *key)
{
    struct table_entry **place = place_of(table, key);
    if (!place)
        return NULL;
    struct table_entry *entry = *place;
    void *value = entry->value;
    *place = entry->next;
    free(entry);
    table->count--;
    return value;
}
