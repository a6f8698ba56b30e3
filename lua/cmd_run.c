/*
 * luma run OP INPUT... [-o OUT] [options]: runs an operation on local files.
 *
 * The first Ctrl-C cancels the job, which then tidies up as after any failure; a second ends the
 * program at once. Progress goes to stderr, what was made to stdout.
 */
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lua/cli_job.h"
#include "lua/command.h"
#include "lua/delivery.h"
#include "lua/summary.h"

/* What the signal handler needs. */
static struct pipeline_control control;
static struct delivery delivery;

struct run {
    struct terminal terminal;
    struct terminal_progress bar;
    bool quiet;
    bool named;           /* the first file has told its name */
    struct error refused; /* what is wrong with -o, known once it has */
};

static void on_signal(int number)
{
    if (atomic_exchange(&control.cancel, 1)) {
        delivery_discard(&delivery);
        _exit(128 + number);
    }
}

static void catch_signals(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        sigaction(signals[i], &action, NULL);
    }
    signal(SIGPIPE, SIG_IGN);
}

static int give_path(void *opaque, int index, const char *name, char *path, size_t size)
{
    struct run *run = opaque;
    int code = 0;
    if (index == 0 && !run->named) {
        run->named = true;
        code = delivery_check_name(&delivery, name, &run->refused);
    } else if (index == 1) {
        code = delivery_check_count(&delivery, &run->refused);
    }
    if (code) {
        return code;
    }
    return delivery_path(&delivery, index, path, size);
}

static int show_progress(void *opaque, const struct pipeline_progress *progress)
{
    struct run *run = opaque;
    if (!run->quiet) {
        terminal_progress_show(&run->bar, progress);
    }
    return 0;
}

static void show_log(void *opaque, const char *text)
{
    struct run *run = opaque;
    terminal_progress_clear(&run->bar);
    fprintf(run->terminal.stream, "%s\n", text);
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void print_json(const struct operation_outcome *outcome, double elapsed)
{
    json_t *document = json_pack("{s:O?, s:O?, s:O?, s:{s:f}}", "outputs", outcome->outputs,
                                 "result", outcome->result, "notes", outcome->notes, "stats",
                                 "run_s", round(elapsed * 1000) / 1000);
    json_dumpf(document, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    fputc('\n', stdout);
    json_decref(document);
}

static void print_text(const struct operation_outcome *outcome, const struct run *run)
{
    struct terminal terminal;
    terminal_init(&terminal, stdout);
    size_t i;
    json_t *output, *note;
    json_array_foreach(outcome->outputs, i, output)
    {
        char bytes[32], line[256];
        terminal_size(bytes, sizeof bytes, json_number_value(json_object_get(output, "size")));
        summary_line(json_object_get(output, "media"), line, sizeof line);
        printf("%s%s%s  %s%s%s\n", terminal_style(&terminal, TERMINAL_BOLD),
               json_string_value(json_object_get(output, "path")), terminal_plain(&terminal), bytes,
               *line ? ", " : "", line);
    }
    if (outcome->result && !json_is_null(outcome->result)) {
        json_dumpf(outcome->result, stdout,
                   JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
        fputc('\n', stdout);
    }
    if (run->quiet) {
        return;
    }
    json_array_foreach(outcome->notes, i, note)
    {
        fprintf(stderr, "%snote: %s%s\n", terminal_style(&run->terminal, TERMINAL_DIM),
                json_string_value(note), terminal_plain(&run->terminal));
    }
}

/* Runs the parsed job; returns the exit status. */
static int run_job(const struct cli_job *job)
{
    struct run run = {.quiet = job->quiet};
    struct operation_request request;
    struct operation_outcome outcome = {0};
    struct error e = {0};
    int status = STATUS_FAILED;
    terminal_init(&run.terminal, stderr);
    terminal_progress_init(&run.bar, &run.terminal, job->operation);
    if (delivery_begin(&delivery, &e)) {
        cli_report(&e, job->json);
        return STATUS_USAGE;
    }
    catch_signals();

    cli_job_request(job, &request);
    request.control = &control;
    request.output_path = give_path;
    request.progress = show_progress;
    request.log = show_log;
    request.opaque = &run;
    double start = seconds_now();
    int code = operation_run(&request, &outcome);
    double elapsed = seconds_now() - start;
    terminal_progress_clear(&run.bar);
    if (code && run.refused.code) {
        cli_report(&run.refused, job->json);
        status = STATUS_USAGE;
    } else if (code) {
        cli_report_outcome(&outcome, job->json);
    } else if (delivery_commit(&delivery, outcome.outputs, &e)) {
        cli_report(&e, job->json);
        status = e.code == ERROR_INVALID_OPTION ? STATUS_USAGE : STATUS_FAILED;
    } else {
        status = STATUS_OK;
        if (job->json) {
            print_json(&outcome, elapsed);
        } else {
            print_text(&outcome, &run);
        }
    }
    delivery_discard(&delivery);
    operation_outcome_finish(&outcome);
    return status;
}

int cmd_run(int argc, char **argv)
{
    const struct cli_flag more[] = {
        {"force", 'y', CLI_FLAG, &delivery.force, NULL, "overwrite files (never an input)"},
    };
    struct cli_job job;
    struct error e = {0};
    int status;
    if (cli_job_parse(&job, argc, argv, more, sizeof more / sizeof *more, &e)) {
        cli_report(&e, job.json);
        status = STATUS_USAGE;
    } else if (job.help) {
        status = STATUS_OK;
    } else {
        delivery.target = job.output;
        delivery.operation = job.operation;
        delivery.inputs = job.inputs;
        delivery.input_count = job.input_count;
        status = run_job(&job);
    }
    cli_job_finish(&job);
    return status;
}
