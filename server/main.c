/*
 * `lumad`: the server, and, with --template, the process that workers are forked from.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/config.h"
#include "server/log.h"
#include "server/server.h"
#include "server/worker.h"

extern char **environ;

static const char usage[] =
    "lumad: a media server that runs Lua operations for WebSocket clients\n"
    "\n"
    "usage: lumad [--help | --version | --print-config | --check-config | --config-page]\n"
    "\n"
    "  --print-config  show the settings in force, secrets hidden\n"
    "  --check-config  check the settings and say nothing if they are right\n"
    "  --config-page   all settings as a page of the documentation (Markdown)\n"
    "\n"
    "Settings are environment variables, or lines of the file .env in the working folder\n"
    "(another one: LUMA_ENV_FILE):\n"
    "\n";

enum action { ACTION_START, ACTION_HELP, ACTION_VERSION, ACTION_PRINT, ACTION_CHECK, ACTION_PAGE };

static const struct {
    const char *option;
    enum action action;
} actions[] = {
    {"--help", ACTION_HELP},          {"-h", ACTION_HELP},
    {"--version", ACTION_VERSION},    {"--print-config", ACTION_PRINT},
    {"--check-config", ACTION_CHECK}, {"--config-page", ACTION_PAGE},
};

static int parse(int argc, char **argv, enum action *action)
{
    *action = ACTION_START;
    for (int i = 1; i < argc; i++) {
        size_t known = sizeof(actions) / sizeof(actions[0]), k = 0;
        while (k < known && strcmp(argv[i], actions[k].option) != 0)
            k++;
        if (k == known) {
            (void)fprintf(stderr, "lumad: unknown option %s; see lumad --help\n", argv[i]);
            return -1;
        }
        *action = actions[k].action;
    }
    return 0;
}

static enum log_level level_of(const char *name)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    int level = 0;
    while (level < 3 && strcmp(names[level], name) != 0)
        level++;
    return (enum log_level)level;
}

static int start(const struct config *config)
{
    log_init(level_of(config->log_level), strcmp(config->log_format, "json") == 0);
    char name[128];
    size_t position = 0;
    while (config_unknown(environ, &position, name, sizeof(name)))
        log_warning("unknown_setting", LOG_TEXT("name", name));
    return server_run(config);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--template") == 0)
        return template_main(argc, argv);
    enum action action;
    if (parse(argc, argv, &action) < 0)
        return 2;
    if (action == ACTION_HELP) {
        (void)fputs(usage, stdout);
        config_help(stdout);
        return 0;
    }
    if (action == ACTION_PAGE) {
        config_markdown(stdout);
        return 0;
    }
    if (action == ACTION_VERSION) {
        (void)puts("lumad " LUMA_VERSION);
        return 0;
    }
    struct config config;
    struct config_error error;
    const char *file = getenv("LUMA_ENV_FILE");
    int status = 0;
    if (config_load(&config, environ, file ? file : ".env", &error) < 0) {
        (void)fprintf(stderr, "lumad: %s\n", error.message);
        status = 2;
    } else if (action == ACTION_PRINT) {
        config_print(&config, stdout);
    } else if (action == ACTION_START) {
        status = start(&config);
    }
    config_finish(&config);
    return status;
}
