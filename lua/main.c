/*
 * `luma`: the command line in front of the operations. It finds the command and calls it; all else
 * is in the cmd_*.c files.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libavutil/log.h>

#include "engine/introspect.h"
#include "lua/command.h"

static int cmd_help(int argc, char **argv);

/* Sorted by name. */
static const struct command commands[] = {
    {"check", cmd_check, "[FILE...]", "check operation scripts against their own examples"},
    {"explain", cmd_explain, "OP INPUT... [options]", "show the plan of a job without running it"},
    {"help", cmd_help, "[COMMAND]", "this text, or that of a command"},
    {"ops", cmd_ops, "[OP]", "list the operations, or explain one"},
    {"probe", cmd_probe, "FILE...", "tell what is known of a media file"},
    {"repl", cmd_repl, "[FILE...]", "try things out: Lua at a prompt"},
    {"run", cmd_run, "OP INPUT... [-o OUT] [options]", "run an operation"},
};
enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static const struct command *command_find(const char *name)
{
    for (int i = 0; i < COMMAND_COUNT; i++) {
        if (!strcmp(commands[i].name, name)) {
            return &commands[i];
        }
    }
    return NULL;
}

static int unknown_command(const char *name)
{
    const char *names[COMMAND_COUNT];
    for (int i = 0; i < COMMAND_COUNT; i++) {
        names[i] = commands[i].name;
    }
    const char *near = introspect_nearest(name, names, COMMAND_COUNT);
    fprintf(stderr, "luma: there is no command '%s'", name);
    if (near) {
        fprintf(stderr, "; did you mean '%s'?", near);
    }
    fprintf(stderr, "\nTry `luma help`.\n");
    return STATUS_USAGE;
}

static void print_help(FILE *stream)
{
    fprintf(stream, "luma %s: media operations as scripts\n\n", LUMA_VERSION);
    for (int i = 0; i < COMMAND_COUNT; i++) {
        char usage[80];
        snprintf(usage, sizeof usage, "luma %s %s", commands[i].name, commands[i].arguments);
        fprintf(stream, "  %-40s %s\n", usage, commands[i].summary);
    }
    fprintf(stream, "\n"
                    "`luma ops` lists the operations, `luma run OP --help` shows the options of\n"
                    "one. Every command takes --help, and all but repl take --json.\n");
}

static int cmd_help(int argc, char **argv)
{
    if (argc < 2 || argv[1][0] == '-') {
        print_help(stdout);
        return STATUS_OK;
    }
    const struct command *command = command_find(argv[1]);
    if (!command || command->run == cmd_help) {
        return command ? (print_help(stdout), STATUS_OK) : unknown_command(argv[1]);
    }
    char name[16], flag[] = "--help";
    snprintf(name, sizeof name, "%s", command->name);
    char *arguments[] = {name, flag, NULL};
    return command->run(2, arguments);
}

int main(int argc, char **argv)
{
    av_log_set_level(AV_LOG_QUIET);
    setenv("SVT_LOG", "0", 0); /* SVT-AV1 writes to stderr by itself: fatal errors only */
    if (argc < 2) {
        print_help(stderr);
        return STATUS_USAGE;
    }
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
        printf("luma %s\n", LUMA_VERSION);
        return STATUS_OK;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        print_help(stdout);
        return STATUS_OK;
    }
    const struct command *command = command_find(argv[1]);
    return command ? command->run(argc - 1, argv + 1) : unknown_command(argv[1]);
}
