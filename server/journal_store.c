/*
 * Statements are prepared once. Each is reset as soon as its rows have been read, so that no read
 * transaction stays open and the write-ahead log can be started over.
 */
#include "server/journal_store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "server/log.h"

#define APPLICATION_ID 0x4c754d61 /* "LuMa" */
#define WRITE_BUSY_MS  5000
#define READ_BUSY_MS   100
#define STRING(x)      STRING_(x)
#define STRING_(x)     #x

#define SPARE_SIZE  (1024 * 1024)
#define SPARE_TIMES 8 /* it is made where there is that many times as much room */

/* Pages that may lie unused in the file before some are given back. */
#define FREE_PAGES_MAX 2000

static const char *const migrations[] = {
    /* 1: columns are read from the record, so that there is one truth */
    "CREATE TABLE jobs ("
    "  number INTEGER PRIMARY KEY,"
    "  id TEXT NOT NULL UNIQUE,"
    "  record TEXT NOT NULL,"
    "  caller TEXT AS (json_extract(record, '$.caller')),"
    "  job_key TEXT AS (json_extract(record, '$.job_key')),"
    "  state TEXT AS (json_extract(record, '$.state')),"
    "  ended REAL AS (json_extract(record, '$.ended')),"
    "  results_gone INTEGER AS (json_extract(record, '$.results_gone')));"
    "CREATE UNIQUE INDEX jobs_key ON jobs (caller, job_key) WHERE job_key IS NOT NULL;"
    "CREATE INDEX jobs_caller ON jobs (caller, number);"
    "CREATE INDEX jobs_caller_state ON jobs (caller, state, number);"
    "CREATE INDEX jobs_unfinished ON jobs (number) WHERE ended IS NULL;"
    "CREATE INDEX jobs_ended ON jobs (ended) WHERE ended IS NOT NULL;"
    "CREATE INDEX jobs_results ON jobs (ended)"
    "  WHERE ended IS NOT NULL AND results_gone IS NULL;",
};
#define VERSION ((int)(sizeof(migrations) / sizeof(migrations[0])))

enum statement {
    READ_ID,
    READ_KEY,
    READ_NUMBER,
    READ_UNFINISHED,
    READ_ALL,
    READ_CALLER,
    READ_CALLER_STATE,
    READ_ENDED,
    READ_RESULTS,
    WRITE_BEGIN,
    WRITE_PUT,
    WRITE_DROP,
    WRITE_COMMIT,
    WRITE_ROLLBACK,
    WRITE_FREE,
    WRITE_SHRINK,
    STATEMENT_COUNT
};

static const char *const texts[STATEMENT_COUNT] = {
    [READ_ID] = "SELECT record FROM jobs WHERE id = ?1",
    [READ_KEY] = "SELECT record FROM jobs WHERE caller = ?1 AND job_key = ?2",
    [READ_NUMBER] = "SELECT max(number) FROM jobs",
    [READ_UNFINISHED] = "SELECT record FROM jobs WHERE ended IS NULL ORDER BY number",
    [READ_ALL] = "SELECT record FROM jobs WHERE number < ?1 AND (?2 IS NULL OR state = ?2)"
                 " ORDER BY number DESC",
    [READ_CALLER] = "SELECT record FROM jobs WHERE caller = ?3 AND number < ?1"
                    " ORDER BY number DESC",
    [READ_CALLER_STATE] = "SELECT record FROM jobs WHERE caller = ?3 AND state = ?2"
                          " AND number < ?1 ORDER BY number DESC",
    [READ_ENDED] = "SELECT record FROM jobs WHERE ended IS NOT NULL AND ended <= ?1 ORDER BY ended",
    [READ_RESULTS] = "SELECT record FROM jobs WHERE ended IS NOT NULL AND results_gone IS NULL"
                     " AND ended <= ?1 ORDER BY ended",
    [WRITE_BEGIN] = "BEGIN IMMEDIATE",
    [WRITE_PUT] = "INSERT INTO jobs (number, id, record) VALUES (?1, ?2, ?3)"
                  " ON CONFLICT (id) DO UPDATE SET record = excluded.record",
    [WRITE_DROP] = "DELETE FROM jobs WHERE id = ?1",
    [WRITE_COMMIT] = "COMMIT",
    [WRITE_ROLLBACK] = "ROLLBACK",
    [WRITE_FREE] = "PRAGMA freelist_count",
    [WRITE_SHRINK] = "PRAGMA incremental_vacuum(200)",
};

struct store {
    char *spare; /* path of the spare file */
    sqlite3 *reader, *writer;
    sqlite3_stmt *statements[STATEMENT_COUNT];
    bool unreadable; /* the last record that was asked for */
};

/* ---- opening ---- */

static int status_of(int result)
{
    switch (result & 0xff) {
    case SQLITE_OK:
    case SQLITE_DONE:
    case SQLITE_ROW:
        return 0;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return -EACCES;
    default:
        return -EIO;
    }
}

static int refuse(char *error, size_t size, const char *reason)
{
    (void)snprintf(error, size, "LUMA_DIR: journal.db %s", reason);
    return -1;
}

/* What SQLite says of a file that it can't use. */
static int refuse_result(sqlite3 *database, int result, char *error, size_t size)
{
    int primary = result & 0xff;
    if (primary == SQLITE_NOTADB)
        return refuse(error, size, "is not a journal: move it away to start with an empty one");
    if (primary == SQLITE_CORRUPT) {
        return refuse(error, size,
                      "is damaged: put a copy back, or move it away to start with an empty one");
    }
    char reason[256];
    (void)snprintf(reason, sizeof(reason), "can't be opened: %s",
                   database ? sqlite3_errmsg(database) : sqlite3_errstr(result));
    return refuse(error, size, reason);
}

/* The first column of the first row of a statement. */
static int ask(sqlite3 *database, const char *text, int64_t *answer)
{
    sqlite3_stmt *statement = NULL;
    int result = sqlite3_prepare_v2(database, text, -1, &statement, NULL);
    if (result == SQLITE_OK)
        result = sqlite3_step(statement);
    if (result == SQLITE_ROW)
        *answer = sqlite3_column_int64(statement, 0);
    (void)sqlite3_finalize(statement);
    return result == SQLITE_ROW ? SQLITE_OK : result;
}

static int migrate(sqlite3 *database, int version)
{
    int result = SQLITE_OK;
    if (version == 0) {
        /* Both only take effect before there is a table. */
        result = sqlite3_exec(database, "PRAGMA auto_vacuum=INCREMENTAL", NULL, NULL, NULL);
    }
    for (int i = version; i < VERSION && result == SQLITE_OK; i++) {
        char after[160];
        (void)snprintf(
            after, sizeof(after),
            "PRAGMA application_id=" STRING(APPLICATION_ID) ";"
                                                            "PRAGMA user_version=%d; COMMIT",
            i + 1);
        result = sqlite3_exec(database, "BEGIN IMMEDIATE", NULL, NULL, NULL);
        if (result == SQLITE_OK)
            result = sqlite3_exec(database, migrations[i], NULL, NULL, NULL);
        if (result == SQLITE_OK)
            result = sqlite3_exec(database, after, NULL, NULL, NULL);
    }
    return result;
}

/* Whether it is ours, sound, and of a version that we know. */
static int examine(sqlite3 *database, char *error, size_t size)
{
    int64_t tables = 0, application = 0, version = 0;
    int result = ask(database, "SELECT count(*) FROM sqlite_master", &tables);
    if (result == SQLITE_OK)
        result = ask(database, "PRAGMA application_id", &application);
    if (result == SQLITE_OK)
        result = ask(database, "PRAGMA user_version", &version);
    if (result != SQLITE_OK)
        return refuse_result(database, result, error, size);
    bool empty = tables == 0 && application == 0 && version == 0;
    if (!empty && (application != APPLICATION_ID || version < 1))
        return refuse_result(database, SQLITE_NOTADB, error, size);
    if (version > VERSION) {
        char reason[160];
        (void)snprintf(reason, sizeof(reason),
                       "was written by a newer luma (version %" PRId64 ", this one knows %d): "
                       "start that one",
                       version, VERSION);
        return refuse(error, size, reason);
    }
    sqlite3_stmt *check = NULL;
    result = sqlite3_prepare_v2(database, "PRAGMA quick_check(1)", -1, &check, NULL);
    if (result == SQLITE_OK)
        result = sqlite3_step(check);
    const char *verdict = result == SQLITE_ROW ? (const char *)sqlite3_column_text(check, 0) : NULL;
    if (verdict)
        result = strcmp(verdict, "ok") == 0 ? SQLITE_OK : SQLITE_CORRUPT;
    (void)sqlite3_finalize(check);
    if (result == SQLITE_OK)
        result = migrate(database, (int)version);
    return result == SQLITE_OK ? 0 : refuse_result(database, result, error, size);
}

static int connect_to(sqlite3 **database, const char *path, int flags, int busy_ms)
{
    int result = sqlite3_open_v2(path, database, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (result == SQLITE_OK)
        result = sqlite3_extended_result_codes(*database, 1);
    if (result == SQLITE_OK)
        result = sqlite3_busy_timeout(*database, busy_ms);
    return result;
}

static int prepare(struct store *store)
{
    int result = SQLITE_OK;
    for (int i = 0; i < STATEMENT_COUNT && result == SQLITE_OK; i++) {
        result = sqlite3_prepare_v3(i < WRITE_BEGIN ? store->reader : store->writer, texts[i], -1,
                                    SQLITE_PREPARE_PERSISTENT, &store->statements[i], NULL);
    }
    return result;
}

/* Options and URLs are in it: nobody else is to read it. SQLite gives its other files the same
 * mode. */
static int make_file(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return SQLITE_CANTOPEN;
    close(fd);
    return SQLITE_OK;
}

/* Makes the spare file where it is missing and there is room. */
static void spare_make(const struct store *store)
{
    struct statvfs info;
    int fd = open(store->spare, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return; /* mostly because it is there */
    bool roomy = fstatvfs(fd, &info) == 0 &&
                 info.f_bavail * info.f_frsize >= (uint64_t)SPARE_SIZE * SPARE_TIMES;
    if (!roomy || posix_fallocate(fd, 0, SPARE_SIZE) != 0)
        (void)unlink(store->spare);
    close(fd);
}

int store_open(struct store **store, const char *path, char *error, size_t size)
{
    static const char writes[] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                                 "PRAGMA journal_size_limit=8000000; PRAGMA cache_size=-2000;";
    static const char reads[] = "PRAGMA query_only=1; PRAGMA cache_size=-2000;";
    struct store *made = calloc(1, sizeof(*made));
    if (!made)
        return refuse(error, size, "can't be opened: out of memory");
    if (asprintf(&made->spare, "%s-spare", path) < 0)
        made->spare = NULL;
    int result = made->spare ? make_file(path) : SQLITE_NOMEM;
    if (result == SQLITE_OK)
        result = connect_to(&made->writer, path, SQLITE_OPEN_READWRITE, WRITE_BUSY_MS);
    sqlite3 *failed = made->writer;
    if (result != SQLITE_OK)
        goto fail;
    if (examine(made->writer, error, size) < 0) {
        store_close(&made);
        return -1;
    }
    result = sqlite3_exec(made->writer, writes, NULL, NULL, NULL);
    if (result != SQLITE_OK)
        goto fail;
    result = connect_to(&made->reader, path, SQLITE_OPEN_READWRITE, READ_BUSY_MS);
    failed = made->reader;
    if (result == SQLITE_OK)
        result = sqlite3_exec(made->reader, reads, NULL, NULL, NULL);
    if (result == SQLITE_OK)
        result = prepare(made);
    if (result != SQLITE_OK)
        goto fail;
    spare_make(made);
    *store = made;
    return 0;
fail:
    (void)refuse_result(failed, result, error, size);
    store_close(&made);
    return -1;
}

void store_close(struct store **store)
{
    struct store *closing = *store;
    *store = NULL;
    if (!closing)
        return;
    for (int i = 0; i < STATEMENT_COUNT; i++)
        (void)sqlite3_finalize(closing->statements[i]);
    (void)sqlite3_close(closing->reader);
    (void)sqlite3_close(closing->writer); /* the last one: the log goes into the file */
    free(closing->spare);
    free(closing);
}

/* ---- writing ---- */

static int step_once(sqlite3_stmt *statement)
{
    int result = sqlite3_step(statement);
    int after = sqlite3_reset(statement);
    (void)sqlite3_clear_bindings(statement);
    return result == SQLITE_DONE || result == SQLITE_ROW ? SQLITE_OK : after;
}

static int put(struct store *store, const struct store_change *change)
{
    sqlite3_stmt *statement = store->statements[change->record ? WRITE_PUT : WRITE_DROP];
    if (!change->record) {
        (void)sqlite3_bind_text(statement, 1, change->id, -1, SQLITE_STATIC);
        return step_once(statement);
    }
    (void)sqlite3_bind_int64(statement, 1, change->number);
    (void)sqlite3_bind_text(statement, 2, change->id, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(statement, 3, change->record, -1, SQLITE_STATIC);
    return step_once(statement);
}

/* Gives a part of the unused pages back, where records were dropped. */
static void shrink(struct store *store)
{
    sqlite3_stmt *count = store->statements[WRITE_FREE];
    int64_t pages = sqlite3_step(count) == SQLITE_ROW ? sqlite3_column_int64(count, 0) : 0;
    (void)sqlite3_reset(count);
    sqlite3_stmt *vacuum = store->statements[WRITE_SHRINK];
    while (pages > FREE_PAGES_MAX && sqlite3_step(vacuum) == SQLITE_ROW)
        continue;
    (void)sqlite3_reset(vacuum);
}

static int write_all(struct store *store, const struct store_change *changes, size_t count)
{
    bool dropped = false;
    int result = step_once(store->statements[WRITE_BEGIN]);
    if (result != SQLITE_OK)
        return status_of(result);
    for (size_t i = 0; i < count && result == SQLITE_OK; i++) {
        dropped = dropped || !changes[i].record;
        result = put(store, &changes[i]);
        bool doubled = sqlite3_extended_errcode(store->writer) == SQLITE_CONSTRAINT_UNIQUE;
        if (result != SQLITE_OK && (doubled || (result & 0xff) == SQLITE_TOOBIG)) {
            /* Trying again can't help, and the others must not wait for it. */
            log_error("journal_refused", LOG_TEXT("job", changes[i].id));
            result = SQLITE_OK;
        }
    }
    if (result == SQLITE_OK && dropped)
        shrink(store);
    if (result == SQLITE_OK)
        result = step_once(store->statements[WRITE_COMMIT]);
    if (result != SQLITE_OK && !sqlite3_get_autocommit(store->writer))
        (void)step_once(store->statements[WRITE_ROLLBACK]);
    return status_of(result);
}

int store_write(struct store *store, const struct store_change *changes, size_t count)
{
    int status = write_all(store, changes, count);
    if (status == 0) {
        spare_make(store);
    } else if (unlink(store->spare) == 0) {
        status = write_all(store, changes, count);
    }
    return status;
}

/* ---- reading ---- */

static json_t *record_at(sqlite3_stmt *statement)
{
    const char *text = (const char *)sqlite3_column_text(statement, 0);
    int size = sqlite3_column_bytes(statement, 0);
    return text ? json_loadb(text, (size_t)size, JSON_ALLOW_NUL, NULL) : NULL;
}

static json_t *read_one(struct store *store, sqlite3_stmt *statement)
{
    int result = sqlite3_step(statement);
    json_t *record = result == SQLITE_ROW ? record_at(statement) : NULL;
    store->unreadable = !record && result != SQLITE_DONE;
    if (store->unreadable) {
        log_error("record_unreadable",
                  LOG_TEXT("reason", result == SQLITE_ROW ? "it can't be parsed"
                                                          : sqlite3_errmsg(store->reader)));
    }
    (void)sqlite3_reset(statement);
    (void)sqlite3_clear_bindings(statement);
    return record;
}

bool store_unreadable(const struct store *store)
{
    return store->unreadable;
}

void store_forget_unreadable(struct store *store)
{
    store->unreadable = false;
}

json_t *store_get(struct store *store, const char *id)
{
    sqlite3_stmt *statement = store->statements[READ_ID];
    (void)sqlite3_bind_text(statement, 1, id, -1, SQLITE_STATIC);
    return read_one(store, statement);
}

json_t *store_find_key(struct store *store, const char *caller, const char *key)
{
    sqlite3_stmt *statement = store->statements[READ_KEY];
    (void)sqlite3_bind_text(statement, 1, caller, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(statement, 2, key, -1, SQLITE_STATIC);
    return read_one(store, statement);
}

int64_t store_last_number(struct store *store)
{
    sqlite3_stmt *statement = store->statements[READ_NUMBER];
    int64_t number = sqlite3_step(statement) == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    (void)sqlite3_reset(statement);
    return number;
}

static int read_all(sqlite3_stmt *statement, store_visit *visit, void *opaque)
{
    int result = SQLITE_ROW;
    bool more = true;
    while (more && (result = sqlite3_step(statement)) == SQLITE_ROW) {
        json_t *record = record_at(statement);
        if (!record) {
            result = SQLITE_CORRUPT;
            break;
        }
        more = visit(record, opaque);
    }
    (void)sqlite3_reset(statement);
    (void)sqlite3_clear_bindings(statement);
    return result == SQLITE_ROW || result == SQLITE_DONE ? 0 : -1;
}

int store_unfinished(struct store *store, store_visit *visit, void *opaque)
{
    return read_all(store->statements[READ_UNFINISHED], visit, opaque);
}

int store_list(struct store *store, const char *caller, const char *state, int64_t before,
               store_visit *visit, void *opaque)
{
    enum statement wanted = state ? READ_CALLER_STATE : READ_CALLER;
    sqlite3_stmt *statement = store->statements[caller ? wanted : READ_ALL];
    (void)sqlite3_bind_int64(statement, 1, before);
    if (state)
        (void)sqlite3_bind_text(statement, 2, state, -1, SQLITE_STATIC);
    if (caller)
        (void)sqlite3_bind_text(statement, 3, caller, -1, SQLITE_STATIC);
    return read_all(statement, visit, opaque);
}

int store_ended(struct store *store, double when, bool with_results, store_visit *visit,
                void *opaque)
{
    sqlite3_stmt *statement = store->statements[with_results ? READ_RESULTS : READ_ENDED];
    (void)sqlite3_bind_double(statement, 1, when);
    return read_all(statement, visit, opaque);
}
