/*
 * luma repl [FILE...]: Lua statements at a prompt, in the world that operations have.
 *
 * Without a terminal, statements are read from stdin as they come and the first that fails ends
 * it, as in a script.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lua/cli_job.h"
#include "lua/command.h"
#include "lua/paths.h"
#include "lua/repl.h"
#include "lua/repl_line.h"
#include "lua/repl_signal.h"

static struct pipeline_control control;

/* The statement so far; lines are joined until it is complete. */
struct statement {
    char *text;
    size_t length;
};

/* Adds a line; false if the statement gets too long. */
static bool add_line(struct statement *statement, const char *line)
{
    size_t length = strlen(line);
    if (statement->length + length + 2 > REPL_MAX_STATEMENT) {
        return false;
    }
    memcpy(statement->text + statement->length, line, length);
    statement->length += length;
    statement->text[statement->length++] = '\n';
    statement->text[statement->length] = '\0';
    return true;
}

static void clear(struct statement *statement)
{
    statement->length = 0;
    statement->text[0] = '\0';
}

static void tell_length(void)
{
    fprintf(stderr, "a statement has at most %zu bytes\n", REPL_MAX_STATEMENT - 2);
}

static bool is_leaving(const char *line)
{
    return !strcmp(line, "exit") || !strcmp(line, "quit");
}

static int talk(struct repl *repl, struct statement *statement)
{
    struct repl_line *line = NULL;
    struct error e = {0};
    const char *text;
    if (repl_line_create(&line, repl, &e)) {
        cli_report(&e, false);
        return STATUS_FAILED;
    }
    printf("luma %s. Tab completes, Ctrl-C interrupts, Ctrl-D leaves.\n", LUMA_VERSION);
    enum repl_line_event event;
    while (!repl_signals.ending &&
           (event = repl_line_read(line, statement->text, &text)) != REPL_LINE_END) {
        if (event == REPL_LINE_CLEARED) {
            clear(statement);
            continue;
        }
        if (!statement->length && is_leaving(text)) {
            break;
        }
        if (!add_line(statement, text)) {
            tell_length();
            clear(statement);
            continue;
        }
        if (repl_evaluate(repl, statement->text) != REPL_INCOMPLETE) {
            repl_line_remember(line, statement->text);
            clear(statement);
        }
    }
    repl_line_destroy(&line);
    return STATUS_OK;
}

static int read_statements(struct repl *repl, struct statement *statement)
{
    enum repl_status status = REPL_DONE;
    char *text = NULL;
    size_t room = 0;
    ssize_t length;
    while (status != REPL_FAILED && !repl_signals.ending &&
           (length = getline(&text, &room, stdin)) >= 0) {
        while (length > 0 && strchr("\r\n", text[length - 1])) {
            text[--length] = '\0';
        }
        if (strlen(text) != (size_t)length || !add_line(statement, text)) {
            tell_length();
            status = REPL_FAILED;
            break;
        }
        status = repl_evaluate(repl, statement->text);
        if (status != REPL_INCOMPLETE) {
            clear(statement);
        }
    }
    free(text);
    if (status == REPL_INCOMPLETE) {
        fprintf(stderr, "the last statement is incomplete\n");
    }
    return status == REPL_DONE && !repl_signals.ending ? STATUS_OK : STATUS_FAILED;
}

static int start(const struct repl_settings *settings, char **files, int count)
{
    struct statement statement = {.text = calloc(1, REPL_MAX_STATEMENT)};
    struct repl *repl = NULL;
    struct error e = {0};
    int status = STATUS_FAILED;
    int code = statement.text ? repl_create(&repl, settings, &e)
                              : error_set(&e, ERROR_OUT_OF_MEMORY, "out of memory");
    repl_signal_catch(&control);
    for (int i = 0; i < count && code == 0; i++) {
        code = repl_open(repl, files[i], &e);
    }
    if (code || !statement.text) {
        cli_report(&e, false);
    } else {
        status = isatty(STDIN_FILENO) ? talk(repl, &statement) : read_statements(repl, &statement);
    }
    repl_destroy(&repl);
    free(statement.text);
    return status;
}

int cmd_repl(int argc, char **argv)
{
    struct repl_settings settings = {
        .scripts = paths_scripts(), .assets = paths_assets(), .control = &control};
    bool help = false;
    const struct cli_flag flags[] = {
        {"scripts", 0, CLI_TEXT, &settings.scripts, "DIR", "where the operations are"},
        {"assets", 0, CLI_TEXT, &settings.assets, "DIR", "where fonts and LUTs are"},
        {"threads", 0, CLI_INTEGER, &settings.threads, "N", "threads to use (0: all)"},
        {"help", 'h', CLI_FLAG, &help, NULL, "this text"},
    };
    enum { FLAGS = sizeof flags / sizeof *flags };
    struct error e = {0};
    int count = cli_parse(argc, argv, flags, FLAGS, NULL, NULL, &e);
    if (count < 0) {
        cli_report(&e, false);
        return STATUS_USAGE;
    }
    if (help) {
        printf("luma repl [FILE...]: Lua at a prompt; the files are `source` and `sources`\n\n");
        cli_print_flags(stdout, flags, FLAGS);
        return STATUS_OK;
    }
    return start(&settings, argv, count);
}
