/*
 * A hash table from text to pointers. The keys are borrowed: they live in what they point to, and
 * must stay as they are while they are in the table.
 */
#ifndef LUMA_SERVER_TABLE_H
#define LUMA_SERVER_TABLE_H

#include <stdbool.h>
#include <stddef.h>

struct table_entry {
    const char *key;
    void *value;
    struct table_entry *next;
};

struct table {
    struct table_entry **buckets;
    size_t bucket_count; /* a power of two, 0 before the first entry */
    size_t count;
};

void table_init(struct table *table);
/* Frees the table, not what its entries point to. */
void table_finish(struct table *table);
/* False when memory is gone. The key must not be in the table yet. */
bool table_put(struct table *table, const char *key, void *value);
void *table_get(const struct table *table, const char *key); /* NULL: not there */
void *table_remove(struct table *table, const char *key);    /* what was there */

#endif
