/*
 * From arguments to a request; see cli_job.h.
 */
#include "lua/cli_job.h"

#include <stdlib.h>
#include <string.h>

#include "engine/formats.h"
#include "engine/introspect.h"
#include "lua/paths.h"
#include "lua/schema.h"

enum { FLAGS_MAX = 16, NAMES_MAX = 128 };

static const char *text_of(const json_t *object, const char *field)
{
    const char *text = json_string_value(json_object_get(object, field));
    return text ? text : "";
}

static void unknown_operation(const char *scripts, const char *operation, const json_t *names,
                              struct error *e)
{
    const char *list[NAMES_MAX];
    size_t count = 0, i;
    json_t *name;
    json_array_foreach(names, i, name)
    {
        if (count < NAMES_MAX) {
            list[count++] = json_string_value(name);
        }
    }
    if (!count) {
        error_set(e, ERROR_INVALID_OPTION, "there are no operations in the folder '%s'", scripts);
        return;
    }
    const char *near = introspect_nearest(operation, list, count);
    if (near) {
        error_set(e, ERROR_INVALID_OPTION, "there is no operation '%s'; did you mean '%s'?",
                  operation, near);
    } else {
        error_set(e, ERROR_INVALID_OPTION, "there is no operation '%s'; see `luma ops`", operation);
    }
}

json_t *cli_describe(const char *scripts, const char *operation, struct error *e)
{
    if (!scripts) {
        error_set(e, ERROR_INVALID_OPTION,
                  "no folder of scripts was found; name one with --scripts or LUMA_SCRIPTS");
        return NULL;
    }
    json_t *names = operation_list(scripts);
    bool known = false;
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name)
    {
        known = known || !strcmp(json_string_value(name), operation);
    }
    json_t *description = NULL;
    if (known) {
        struct operation_outcome outcome = {0};
        description = operation_describe(scripts, operation, &outcome);
        *e = outcome.error;
        if (!description && outcome.line > 0) {
            error_prefix(e, "%s, line %d", outcome.script, outcome.line);
        }
        operation_outcome_finish(&outcome);
    } else {
        unknown_operation(scripts, operation, names, e);
    }
    json_decref(names);
    return description;
}

void cli_print_operation(const json_t *description, const struct terminal *terminal)
{
    const char *name = text_of(description, "name");
    FILE *stream = terminal->stream;
    fprintf(stream, "%s%s%s: %s\n\n", terminal_style(terminal, TERMINAL_BOLD), name,
            terminal_plain(terminal), text_of(description, "summary"));
    json_int_t most =
        json_integer_value(json_object_get(json_object_get(description, "inputs"), "max"));
    fprintf(stream, "  luma run %s INPUT%s [-o OUT] [options]\n\n", name, most > 1 ? "..." : "");
    const json_t *schema = json_object_get(description, "options");
    if (json_array_size(schema)) {
        char *help = schema_help(schema, terminal->width < 100 ? terminal->width : 100);
        fprintf(stream, "%s", help ? help : "");
        free(help);
    }
    const json_t *examples = json_object_get(description, "examples");
    if (json_array_size(examples)) {
        fprintf(stream, "\nExamples of options, as JSON for --options:\n");
    }
    size_t i;
    json_t *example;
    json_array_foreach(examples, i, example)
    {
        char *text = json_dumps(example, JSON_SORT_KEYS | JSON_REAL_PRECISION(12));
        fprintf(stream, "  %s\n", text ? text : "");
        free(text);
    }
}

void cli_format_from_output(const char *output, const json_t *schema, json_t *options)
{
    const char *dot = output ? strrchr(output, '.') : NULL;
    if (!dot || strchr(dot, '/') || json_object_get(options, "format")) {
        return;
    }
    const struct format *wanted = format_find(dot + 1);
    size_t i, k;
    json_t *option, *value;
    json_array_foreach(schema, i, option)
    {
        if (strcmp(text_of(option, "name"), "format") != 0) {
            continue;
        }
        json_array_foreach(json_object_get(option, "values"), k, value)
        {
            const char *name = json_string_value(value);
            if (name && (!strcasecmp(name, dot + 1) || (wanted && format_find(name) == wanted))) {
                json_object_set(options, "format", value);
            }
        }
    }
}

static int take_inputs(struct cli_job *job, char **names, int count, struct error *e)
{
    job->inputs = calloc((size_t)count + 1, sizeof *job->inputs);
    if (!job->inputs) {
        return error_set(e, ERROR_OUT_OF_MEMORY, "out of memory");
    }
    for (int i = 0; i < count; i++) {
        const char *slash = strrchr(names[i], '/');
        job->inputs[i].path = names[i];
        job->inputs[i].label = slash ? slash + 1 : names[i];
    }
    job->input_count = count;
    return 0;
}

static int check_options(struct cli_job *job, json_t *given, struct error *e)
{
    const json_t *schema = json_object_get(job->description, "options");
    if (given && json_object_update_missing(job->options, given)) {
        return error_set(e, ERROR_OUT_OF_MEMORY, "out of memory");
    }
    cli_format_from_output(job->output, schema, job->options);
    json_t *valid = schema_validate(schema, job->options, e);
    if (!valid) {
        return e->code;
    }
    json_decref(valid);
    return 0;
}

static void print_help(const struct cli_job *job, const struct cli_flag *flags, int flag_count,
                       const char *command)
{
    struct terminal terminal;
    terminal_init(&terminal, stdout);
    if (job->description) {
        cli_print_operation(job->description, &terminal);
        fprintf(stdout, "\n");
    } else {
        fprintf(stdout, "luma %s OP INPUT... [options]\n\n", command);
        fprintf(stdout, "`luma ops` lists the operations, `luma %s OP --help` their options.\n\n",
                command);
    }
    fprintf(stdout, "Options of the command line:\n");
    cli_print_flags(stdout, flags, flag_count);
}

int cli_job_parse(struct cli_job *job, int argc, char **argv, const struct cli_flag *more,
                  int more_count, struct error *e)
{
    *job = (struct cli_job){.scripts = paths_scripts(), .assets = paths_assets()};
    json_t *given = NULL;
    const struct cli_flag common[] = {
        {"output", 'o', CLI_TEXT, &job->output, "OUT", "file or folder to write to"},
        {"json", 0, CLI_FLAG, &job->json, NULL, "one JSON document on stdout"},
        {"options", 0, CLI_JSON, &given, "JSON", "options as one JSON object"},
        {"scripts", 0, CLI_TEXT, &job->scripts, "DIR", "where the operations are"},
        {"assets", 0, CLI_TEXT, &job->assets, "DIR", "where fonts and LUTs are"},
        {"threads", 0, CLI_INTEGER, &job->threads, "N", "threads to use (0: all)"},
        {"quiet", 'q', CLI_FLAG, &job->quiet, NULL, "no progress, no notes"},
        {"help", 'h', CLI_FLAG, &job->help, NULL, "this text"},
    };
    enum { COMMON = sizeof common / sizeof *common };
    struct cli_flag flags[FLAGS_MAX];
    int flag_count = 0;
    for (int i = 0; i < more_count && flag_count < FLAGS_MAX - COMMON; i++) {
        flags[flag_count++] = more[i];
    }
    memcpy(flags + flag_count, common, sizeof common);
    flag_count += COMMON;

    const char *command = argv[0];
    const char *scripts = cli_peek(argc, argv, "scripts");
    int code = 0;
    job->options = json_object();
    if (argc > 1 && argv[1][0] != '-') {
        job->operation = argv[1];
        job->description = cli_describe(scripts ? scripts : job->scripts, job->operation, e);
        code = job->description ? 0 : e->code;
        argv++;
        argc--;
    }
    int count = code ? code
                     : cli_parse(argc, argv, flags, flag_count,
                                 json_object_get(job->description, "options"), job->options, e);
    if (count < 0) {
        code = count;
    } else if (job->help) {
        print_help(job, flags, flag_count, command);
    } else if (!job->operation) {
        code = error_set(e, ERROR_INVALID_OPTION, "which operation? luma %s OP INPUT...", command);
    } else if (count == 0) {
        code = error_set(e, ERROR_INVALID_INPUT, "%s needs an input file", job->operation);
    } else {
        code = take_inputs(job, argv, count, e);
        code = code ? code : check_options(job, given, e);
    }
    json_decref(given);
    return code;
}

void cli_job_finish(struct cli_job *job)
{
    json_decref(job->description);
    json_decref(job->options);
    free(job->inputs);
    *job = (struct cli_job){0};
}

void cli_job_request(const struct cli_job *job, struct operation_request *request)
{
    *request = (struct operation_request){
        .scripts = job->scripts,
        .assets = job->assets,
        .name = job->operation,
        .inputs = job->inputs,
        .input_count = job->input_count,
        .options = job->options,
        .threads = job->threads,
    };
}

void cli_report_outcome(const struct operation_outcome *outcome, bool json)
{
    struct terminal terminal;
    terminal_init(&terminal, stderr);
    fprintf(stderr, "%sluma: %s%s\n", terminal_style(&terminal, TERMINAL_RED),
            outcome->error.message, terminal_plain(&terminal));
    if (outcome->error.expected[0] && !strstr(outcome->error.message, outcome->error.expected)) {
        fprintf(stderr, "  expected: %s\n", outcome->error.expected);
    }
    if (outcome->traceback[0]) {
        fprintf(stderr, "%s\n", outcome->traceback);
    }
    if (json) {
        json_t *document = json_pack("{s:o}", "error", operation_error_json(outcome));
        json_dumpf(document, stdout, JSON_INDENT(2));
        fputc('\n', stdout);
        json_decref(document);
    }
}

void cli_report(const struct error *e, bool json)
{
    struct operation_outcome outcome = {.error = *e};
    cli_report_outcome(&outcome, json);
}
