/*
 * The scripts' descriptions. The server runs no Lua: a describe-worker does, whenever a fingerprint
 * of the folder (names, sizes, times) is not that of what is known. If it fails, what was known
 * before stays in force, and the next request a moment later tries again.
 */
#include "server/operations.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lua/schema.h"
#include "server/log.h"
#include "server/server.h"
#include "server/worker.h"

#define DESCRIBE_TIMEOUT_MS 30000
#define RETRY_MS            1000

struct operations {
    struct server *server;
    char *scripts;
    void (*ready)(struct server *server);
    uint64_t fingerprint; /* of what is known, or was tried last */
    uint64_t trying;      /* of what the worker reads now */
    bool known, failed;
    uint64_t retry_at;
    struct worker *worker;
    bool answered;
    uv_timer_t timer;
    json_t *documents; /* as the worker told them: options are schema documents */
    json_t *described; /* as clients get them: options are JSON Schemas */
    json_t *broken;    /* [{name, message}] of scripts that don't work, NULL: none */
};

static uint64_t mix(uint64_t hash, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * 1099511628211u; /* FNV-1a */
    return hash;
}

/* Order doesn't count: the entries' hashes are added up. */
static uint64_t folder_fingerprint(const char *path)
{
    uint64_t sum = 0;
    DIR *folder = opendir(path);
    if (!folder)
        return sum;
    const struct dirent *entry;
    while ((entry = readdir(folder))) {
        size_t length = strlen(entry->d_name);
        struct stat info;
        if (length < 5 || strcmp(entry->d_name + length - 4, ".lua") != 0 ||
            fstatat(dirfd(folder), entry->d_name, &info, 0) < 0)
            continue;
        uint64_t hash = mix(14695981039346656037u, entry->d_name, length);
        hash = mix(hash, &info.st_mtim, sizeof(info.st_mtim));
        hash = mix(hash, &info.st_size, sizeof(info.st_size));
        hash = mix(hash, &info.st_ino, sizeof(info.st_ino));
        sum += hash;
    }
    closedir(folder);
    return sum;
}

static uint64_t fingerprint_of(const struct operations *operations)
{
    char path[4096];
    (void)snprintf(path, sizeof(path), "%s/lib", operations->scripts);
    return folder_fingerprint(operations->scripts) * 31 + folder_fingerprint(path);
}

int operations_create(struct operations **operations, struct server *server, const char *scripts,
                      void (*ready)(struct server *server))
{
    struct operations *made = calloc(1, sizeof(*made));
    if (!made)
        return -ENOMEM;
    made->scripts = strdup(scripts);
    made->documents = json_array();
    made->described = json_array();
    if (!made->scripts || !made->documents || !made->described) {
        free(made->scripts);
        json_decref(made->documents);
        json_decref(made->described);
        free(made);
        return -ENOMEM;
    }
    made->server = server;
    made->ready = ready;
    (void)uv_timer_init(server->loop, &made->timer);
    made->timer.data = made;
    *operations = made;
    return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct operations *operations = handle->data;
    free(operations->scripts);
    json_decref(operations->documents);
    json_decref(operations->described);
    json_decref(operations->broken);
    free(operations);
}

void operations_destroy(struct operations **operations)
{
    if (*operations)
        uv_close((uv_handle_t *)&(*operations)->timer, on_timer_closed);
    *operations = NULL;
}

/* Whether the server can work with a description; why not is added to the broken ones. */
static bool sound(const json_t *document, json_t *broken)
{
    const char *name = json_string_value(json_object_get(document, "name"));
    const json_t *inputs = json_object_get(document, "inputs");
    struct error error = {0};
    if (!name || !json_is_integer(json_object_get(inputs, "min")) ||
        !json_is_integer(json_object_get(inputs, "max")))
        return false;
    if (schema_check(json_object_get(document, "options"), &error) == 0)
        return true;
    (void)json_array_append_new(broken,
                                json_pack("{s:s, s:s}", "name", name, "message", error.message));
    return false;
}

static bool contains(const json_t *list, const json_t *value)
{
    size_t index;
    json_t *entry;
    json_array_foreach((json_t *)list, index, entry)
    {
        if (json_equal(entry, (json_t *)value))
            return true;
    }
    return false;
}

/* What is broken now; each is logged when it breaks, not again at every change of another file. */
static void take_broken(struct operations *operations, json_t *broken)
{
    size_t index;
    json_t *entry;
    json_array_foreach(broken, index, entry)
    {
        if (contains(operations->broken, entry))
            continue;
        log_error("operation_broken",
                  LOG_TEXT("operation", json_string_value(json_object_get(entry, "name"))),
                  LOG_TEXT("reason", json_string_value(json_object_get(entry, "message"))));
    }
    json_decref(operations->broken);
    operations->broken = broken;
}

static void take_documents(struct operations *operations, const json_t *list, json_t *broken)
{
    json_t *documents = json_array(), *described = json_array();
    size_t index;
    json_t *document;
    json_array_foreach(list, index, document)
    {
        if (!sound(document, broken))
            continue;
        json_t *public = json_copy(document);
        (void)json_object_set_new(public, "options",
                                  schema_to_json_schema(json_object_get(document, "options")));
        (void)json_array_append(documents, document);
        (void)json_array_append_new(described, public);
    }
    json_decref(operations->documents);
    json_decref(operations->described);
    operations->documents = documents;
    operations->described = described;
}

static void on_message(struct worker *worker, const json_t *message, void *opaque)
{
    struct operations *operations = opaque;
    const char *event = json_string_value(json_object_get(message, "event"));
    if (!event || strcmp(event, "operations") != 0 || operations->answered ||
        worker != operations->worker)
        return;
    operations->answered = true;
    json_t *told = json_object_get(message, "broken");
    json_t *broken = json_is_array(told) ? json_copy(told) : json_array();
    take_documents(operations, json_object_get(message, "list"), broken);
    take_broken(operations, broken);
    log_info("operations_read",
             LOG_INTEGER("count", (int64_t)json_array_size(operations->documents)),
             LOG_INTEGER("broken", (int64_t)json_array_size(operations->broken)));
    operations->fingerprint = operations->trying;
    operations->known = true;
    operations->failed = false;
    operations->ready(operations->server);
}

static void on_broken(struct worker *worker, const char *reason, void *opaque)
{
    (void)worker;
    (void)opaque;
    log_error("describe_broken", LOG_TEXT("reason", reason));
}

static void give_up(struct operations *operations)
{
    operations->failed = true;
    operations->fingerprint = operations->trying;
    operations->known = true;
    operations->retry_at = uv_now(operations->server->loop) + RETRY_MS;
    log_error("describe_failed",
              LOG_INTEGER("kept", (int64_t)json_array_size(operations->documents)));
    operations->ready(operations->server);
}

static void on_exited(struct worker *worker, const struct worker_exit *how, void *opaque)
{
    struct operations *operations = opaque;
    (void)how;
    if (worker != operations->worker)
        return; /* another one is at work already */
    operations->worker = NULL;
    (void)uv_timer_stop(&operations->timer);
    if (!operations->answered)
        give_up(operations);
}

static void on_timeout(uv_timer_t *timer)
{
    struct operations *operations = timer->data;
    if (operations->worker)
        worker_kill(operations->worker);
}

bool operations_fresh(struct operations *operations)
{
    static const struct worker_events handlers = {on_message, on_broken, on_exited};
    if (operations->worker && !operations->answered)
        return false;
    uint64_t now = fingerprint_of(operations);
    bool retry = operations->failed && uv_now(operations->server->loop) >= operations->retry_at;
    if (operations->known && operations->fingerprint == now && !retry)
        return true;
    /* A worker that has answered may still be ending; it isn't waited for. */
    json_t *task = json_pack("{s:s}", "task", "describe");
    operations->trying = now;
    operations->answered = false;
    operations->worker =
        task ? worker_start(operations->server->pool, task, &handlers, operations) : NULL;
    json_decref(task);
    if (!operations->worker)
        return true; /* out of descriptors: what is known must do */
    (void)uv_timer_start(&operations->timer, on_timeout, DESCRIBE_TIMEOUT_MS, 0);
    return false;
}

bool operations_known(const struct operations *operations)
{
    return operations->known;
}

const json_t *operations_list(const struct operations *operations)
{
    return operations->described;
}

static const json_t *find(const json_t *list, const char *name)
{
    size_t index;
    json_t *entry;
    json_array_foreach((json_t *)list, index, entry)
    {
        if (strcmp(json_string_value(json_object_get(entry, "name")), name) == 0)
            return entry;
    }
    return NULL;
}

json_t *operations_message(const struct operations *operations, const char *name)
{
    const json_t *one = name ? find(operations->described, name) : NULL;
    if (name && !one)
        return NULL;
    json_t *list = one ? json_pack("[O]", one) : json_incref(operations->described);
    json_t *message = json_pack("{s:s, s:o}", "type", "operations", "operations", list);
    if (message && !name && json_array_size(operations->broken) > 0)
        (void)json_object_set(message, "broken", operations->broken);
    return message;
}

bool operations_find(const struct operations *operations, const char *name,
                     struct operation_entry *entry)
{
    const json_t *document = find(operations->documents, name);
    if (!document)
        return false;
    const json_t *inputs = json_object_get(document, "inputs");
    *entry = (struct operation_entry){
        .name = json_string_value(json_object_get(document, "name")),
        .schema = json_object_get(document, "options"),
        .inputs_min = (int)json_integer_value(json_object_get(inputs, "min")),
        .inputs_max = (int)json_integer_value(json_object_get(inputs, "max")),
    };
    return true;
}
