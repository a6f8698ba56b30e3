/*
 * luma explain OP INPUT... [options]: the plan that `luma run` would carry out, as text, as DOT or
 * as the nearest ffmpeg command. Inputs are probed, nothing is decoded or written.
 */
#include <stdlib.h>

#include "lua/cli_job.h"
#include "lua/command.h"

static int no_output(void *opaque, int index, const char *name, char *path, size_t size)
{
    (void)opaque, (void)index, (void)name, (void)path, (void)size;
    return ERROR_INTERNAL;
}

static void print(const struct operation_outcome *outcome, bool dot, bool ffmpeg, bool json)
{
    if (json) {
        json_t *document = json_pack("{s:s?, s:s?, s:s?, s:O?}", "text", outcome->explain_text,
                                     "dot", outcome->explain_dot, "ffmpeg", outcome->explain_ffmpeg,
                                     "notes", outcome->notes);
        json_dumpf(document, stdout, JSON_INDENT(2));
        fputc('\n', stdout);
        json_decref(document);
        return;
    }
    const char *text = dot      ? outcome->explain_dot
                       : ffmpeg ? outcome->explain_ffmpeg
                                : outcome->explain_text;
    fputs(text ? text : "", stdout);
    if (dot || ffmpeg) {
        return;
    }
    size_t i;
    json_t *note;
    json_array_foreach(outcome->notes, i, note)
    {
        printf("note: %s\n", json_string_value(note));
    }
}

int cmd_explain(int argc, char **argv)
{
    bool dot = false, ffmpeg = false;
    const struct cli_flag more[] = {
        {"dot", 0, CLI_FLAG, &dot, NULL, "as a graph for Graphviz"},
        {"ffmpeg", 0, CLI_FLAG, &ffmpeg, NULL, "as the nearest ffmpeg command"},
    };
    struct cli_job job;
    struct error e = {0};
    int status = STATUS_USAGE;
    if (cli_job_parse(&job, argc, argv, more, sizeof more / sizeof *more, &e)) {
        cli_report(&e, job.json);
        goto done;
    }
    if (job.help) {
        status = STATUS_OK;
        goto done;
    }
    struct operation_request request;
    struct operation_outcome outcome = {0};
    cli_job_request(&job, &request);
    request.output_path = no_output;
    request.explain_only = true;
    if (operation_run(&request, &outcome)) {
        cli_report_outcome(&outcome, job.json);
        status = STATUS_FAILED;
    } else {
        print(&outcome, dot, ffmpeg, job.json);
        status = STATUS_OK;
    }
    operation_outcome_finish(&outcome);
done:
    cli_job_finish(&job);
    return status;
}
