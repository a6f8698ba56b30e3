/*
 * The server's settings: LUMA_* environment variables, and a .env file for those that the
 * environment doesn't have. One table (config_table.c) says name, type, range, default and help;
 * --help, --print-config and the documentation come from it.
 *
 * A value that isn't valid stops the start, with the name of the setting.
 */
#ifndef LUMA_SERVER_CONFIG_H
#define LUMA_SERVER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Texts are never NULL: an unset one is empty. Sizes are bytes, durations milliseconds. */
struct config {
    char *host, *health_host;
    int64_t port, health_port;
    char *tls_cert, *tls_key;
    char *allowed_hosts, *allowed_origins, *trusted_proxies;
    char *tokens, *tokens_file;
    bool allow_anonymous;
    char *dir, *scripts, *assets;
    int64_t workers, light_workers, job_threads;
    char *fetch_allow;
    int64_t max_upload, max_output, max_message, max_inputs;
    int64_t max_connections, connections_per_address, messages_per_second;
    int64_t caller_messages, caller_starts;
    int64_t job_timeout, upload_timeout, download_timeout, stall_timeout;
    int64_t reconnect_grace, result_ttl, record_ttl, drain_timeout;
    int64_t queue_max, jobs_per_caller, bytes_per_caller, disk_reserve;
    int64_t lua_memory, lua_time, job_memory, job_cpu;
    char *sandbox, *log_level, *log_format;
};

struct config_error {
    char message[512]; /* names the setting, says what is expected */
};

enum config_type {
    CONFIG_TEXT,
    CONFIG_INTEGER,
    CONFIG_SIZE,     /* "10GB": bytes, powers of 1000; KiB, MiB … are powers of 1024 */
    CONFIG_DURATION, /* "30", "30s", "5m", "1h", "250ms" */
    CONFIG_BOOLEAN,  /* 1, 0, true, false, yes, no, on, off */
    CONFIG_CHOICE,   /* one of `expected`, separated by '|' */
};

struct config_setting {
    const char *name; /* with its LUMA_ */
    enum config_type type;
    size_t offset; /* in struct config */
    const char *standard;
    int64_t min, max;     /* in bytes or milliseconds where those are meant */
    const char *expected; /* CONFIG_CHOICE */
    bool secret;
    const char *help;
};

/* The table, in the order in which the documentation shows it. */
extern const struct config_setting config_settings[];
extern const size_t config_setting_count;

/* Reads the environment ("NAME=value" texts, NULL at the end) and, where it exists, the file.
 * 0, or -1 with the error; config needs config_finish either way. */
int config_load(struct config *config, char *const *environment, const char *file,
                struct config_error *error);
void config_finish(struct config *config);

/* The settings in force, as lines of a .env file; secrets are shown as "(hidden)". */
void config_print(const struct config *config, FILE *stream);
/* Every setting with type, range, default and help, for a terminal. */
void config_help(FILE *stream);
/* The same as a page of the documentation. */
void config_markdown(FILE *stream);

/* Names in the environment that look like ours and aren't: NAME, or NULL after the last. Start
 * with *position 0. */
const char *config_unknown(char *const *environment, size_t *position, char *name, size_t size);

#endif
