/*
 * What the scripts offer: their descriptions, read by a describe-worker and kept until a file of
 * the scripts' folder changes.
 */
#ifndef LUMA_SERVER_OPERATIONS_H
#define LUMA_SERVER_OPERATIONS_H

#include <jansson.h>
#include <stdbool.h>

struct operations;
struct server;

/* What the server needs of an operation. */
struct operation_entry {
    const char *name;
    const json_t *schema; /* the schema document, for schema_validate() */
    int inputs_min, inputs_max;
};

/* `ready` is called (from the loop) whenever operations_fresh() was false and now isn't. */
int operations_create(struct operations **operations, struct server *server, const char *scripts,
                      void (*ready)(struct server *server));
/* The describe-worker ends with the worker pool. */
void operations_destroy(struct operations **operations);

/* Whether what is known matches the files. If not, a describe-worker has been started, and the
 * answer is to be asked for again after `ready`. */
bool operations_fresh(struct operations *operations);
/* Whether the scripts have been read, or tried, at least once. */
bool operations_known(const struct operations *operations);
/* The operations as describe tells them (borrowed): [{name, summary, inputs, options (JSON Schema),
 * examples}]. */
const json_t *operations_list(const struct operations *operations);
/* The answer to describe: {"type": "operations", "operations"}, with "broken": [{name, message}]
 * where scripts are. With a name, of that one; NULL if there is none. */
json_t *operations_message(const struct operations *operations, const char *name);
/* False if there is no such operation. */
bool operations_find(const struct operations *operations, const char *name,
                     struct operation_entry *entry);

#endif
