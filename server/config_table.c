/*
 * Every setting of the server. Texts that people read come from here: --help, --print-config and
 * the page of settings in the documentation.
 */
#include "server/config.h"

#define FIELD(name) offsetof(struct config, name)
#define KB          INT64_C(1000)
#define MB          (1000 * KB)
#define GB          (1000 * MB)
#define TB          (1000 * GB)
#define SECOND      INT64_C(1000)
#define HOUR        (3600 * SECOND)
#define DAY         (24 * HOUR)

#define TEXT(name, field, standard, help)                                                          \
    {                                                                                              \
        name, CONFIG_TEXT, FIELD(field), standard, 0, 0, NULL, false, help                         \
    }
#define SECRET(name, field, help)                                                                  \
    {                                                                                              \
        name, CONFIG_TEXT, FIELD(field), "", 0, 0, NULL, true, help                                \
    }
#define NUMBER(name, field, standard, min, max, help)                                              \
    {                                                                                              \
        name, CONFIG_INTEGER, FIELD(field), standard, min, max, NULL, false, help                  \
    }
#define SIZE(name, field, standard, min, max, help)                                                \
    {                                                                                              \
        name, CONFIG_SIZE, FIELD(field), standard, min, max, NULL, false, help                     \
    }
#define DURATION(name, field, standard, min, max, help)                                            \
    {                                                                                              \
        name, CONFIG_DURATION, FIELD(field), standard, min, max, NULL, false, help                 \
    }
#define BOOLEAN(name, field, standard, help)                                                       \
    {                                                                                              \
        name, CONFIG_BOOLEAN, FIELD(field), standard, 0, 1, NULL, false, help                      \
    }
#define CHOICE(name, field, standard, values, help)                                                \
    {                                                                                              \
        name, CONFIG_CHOICE, FIELD(field), standard, 0, 0, values, false, help                     \
    }

const struct config_setting config_settings[] = {
    TEXT("LUMA_HOST", host, "127.0.0.1", "address to listen on"),
    NUMBER("LUMA_PORT", port, "8080", 0, 65535,
           "port of the WebSocket and the console; 0 picks one"),
    TEXT("LUMA_HEALTH_HOST", health_host, "127.0.0.1", "address of the health port"),
    NUMBER("LUMA_HEALTH_PORT", health_port, "8081", 0, 65535, "health port; 0 picks one"),
    TEXT("LUMA_TLS_CERT", tls_cert, "", "certificate chain (PEM file); with it the port is wss://"),
    TEXT("LUMA_TLS_KEY", tls_key, "", "private key of the certificate (PEM file)"),
    TEXT("LUMA_ALLOWED_HOSTS", allowed_hosts, "",
         "names that a request may give as Host, separated by commas, * for any; empty: any with "
         "tokens, else the bound address, localhost and loopback"),
    TEXT("LUMA_ALLOWED_ORIGINS", allowed_origins, "",
         "origins of web pages that may connect, besides the server's own, separated by commas"),
    TEXT("LUMA_TRUSTED_PROXIES", trusted_proxies, "",
         "addresses whose X-Forwarded-For is believed, separated by commas"),
    SECRET("LUMA_TOKENS", tokens, "who may use the server: name:token, separated by commas"),
    TEXT("LUMA_TOKENS_FILE", tokens_file, "", "file with one name:token a line"),
    BOOLEAN("LUMA_ALLOW_ANONYMOUS", allow_anonymous, "0",
            "listen without tokens on an address that isn't loopback"),
    TEXT("LUMA_DIR", dir, "",
         "folder of jobs and results; empty: $STATE_DIRECTORY, else luma under $XDG_STATE_HOME, "
         "else /var/lib/luma for root, else ~/.local/state/luma"),
    TEXT("LUMA_SCRIPTS", scripts, "", "folder of operation scripts; empty: the installed one"),
    TEXT("LUMA_ASSETS", assets, "", "folder that scripts take assets from; empty: beside them"),
    NUMBER("LUMA_WORKERS", workers, "0", 0, 1024, "heavy jobs at a time; 0: as many as cores"),
    NUMBER("LUMA_LIGHT_WORKERS", light_workers, "2", 1, 1024,
           "light jobs (copies, probes, pictures) at a time, beside the heavy ones"),
    NUMBER("LUMA_JOB_THREADS", job_threads, "0", 0, 256,
           "threads of a job; 0: the cores, shared among the jobs that run"),
    TEXT("LUMA_FETCH_ALLOW", fetch_allow, "",
         "networks (CIDR) and host:port that url inputs may reach besides the public internet"),
    SIZE("LUMA_MAX_UPLOAD", max_upload, "10GB", 1, 100 * TB, "largest input"),
    SIZE("LUMA_MAX_OUTPUT", max_output, "20GB", 1, 100 * TB, "all that a job makes, together"),
    SIZE("LUMA_MAX_MESSAGE", max_message, "1MiB", 4 * KB, 64 * MB, "largest text message"),
    NUMBER("LUMA_MAX_INPUTS", max_inputs, "100", 1, 1000, "inputs of a job"),
    NUMBER("LUMA_MAX_CONNECTIONS", max_connections, "10000", 1, 1000000, "connections in all"),
    NUMBER("LUMA_CONNECTIONS_PER_ADDRESS", connections_per_address, "5000", 1, 1000000,
           "connections from one address"),
    NUMBER("LUMA_MESSAGES_PER_SECOND", messages_per_second, "2000", 1, 1000000,
           "text messages a second of a connection; a burst may be twice that"),
    NUMBER("LUMA_CALLER_MESSAGES_PER_SECOND", caller_messages, "10000", 1, 1000000,
           "the same of a caller, and of an address, on all of their connections"),
    NUMBER("LUMA_CALLER_JOBS_PER_SECOND", caller_starts, "1000", 1, 1000000,
           "new jobs a second of a caller, and of an address; a burst may be twice that"),
    DURATION("LUMA_JOB_TIMEOUT", job_timeout, "1h", SECOND, 30 * DAY, "longest run of a job"),
    DURATION("LUMA_UPLOAD_TIMEOUT", upload_timeout, "60s", 100, DAY,
             "longest wait for the next byte of an upload"),
    DURATION("LUMA_DOWNLOAD_TIMEOUT", download_timeout, "10m", SECOND, 7 * DAY,
             "longest download of a url input"),
    DURATION("LUMA_STALL_TIMEOUT", stall_timeout, "60s", 100, DAY,
             "longest standstill of a run, or of a download"),
    DURATION("LUMA_RECONNECT_GRACE", reconnect_grace, "30s", 0, DAY,
             "how long a job outlives its connection"),
    DURATION("LUMA_RESULT_TTL", result_ttl, "1h", 0, 365 * DAY, "how long results are kept"),
    DURATION("LUMA_RECORD_TTL", record_ttl, "24h", 0, 365 * DAY, "how long a job is remembered"),
    DURATION("LUMA_DRAIN_TIMEOUT", drain_timeout, "30s", 0, DAY,
             "how long running jobs may go on after SIGTERM"),
    NUMBER("LUMA_QUEUE_MAX", queue_max, "10000", 1, 10000000, "jobs that have not ended, in all"),
    NUMBER("LUMA_JOBS_PER_CALLER", jobs_per_caller, "1000", 1, 10000000,
           "jobs of one caller that have not ended"),
    SIZE("LUMA_BYTES_PER_CALLER", bytes_per_caller, "200GB", 1, 1000 * TB,
         "inputs of one caller's jobs that have not ended"),
    SIZE("LUMA_DISK_RESERVE", disk_reserve, "1GB", 0, 100 * TB,
         "room on the disk that new jobs leave free; at most a twentieth of the disk"),
    SIZE("LUMA_LUA_MEMORY", lua_memory, "64MB", MB, 4 * GB, "memory of a job's script"),
    DURATION("LUMA_LUA_TIME", lua_time, "5s", 10, HOUR, "processor time of a job's script"),
    SIZE("LUMA_JOB_MEMORY", job_memory, "4GB", 0, 100 * TB, "memory of a job; 0: no bound"),
    DURATION("LUMA_JOB_CPU", job_cpu, "0", 0, 365 * DAY,
             "processor time of a job, in whole seconds; 0: no bound"),
    CHOICE("LUMA_SANDBOX", sandbox, "best-effort", "on|best-effort|off",
           "whether the start fails where the kernel can't confine workers"),
    CHOICE("LUMA_LOG_LEVEL", log_level, "info", "debug|info|warning|error", "what is logged"),
    CHOICE("LUMA_LOG_FORMAT", log_format, "text", "text|json", "how: key=value or JSON lines"),
};

const size_t config_setting_count = sizeof(config_settings) / sizeof(config_settings[0]);
