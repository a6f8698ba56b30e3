/*
 * luma ops [OP]: the operations of the script folder, or all that one of them declares. With
 * --markdown the page docs/operations.md.
 */
#include <stdlib.h>
#include <string.h>

#include "lua/cli_job.h"
#include "lua/command.h"
#include "lua/paths.h"
#include "lua/schema.h"
#include "lua/schema_markdown.h"

/* How everything is shown. */
enum view { VIEW_TEXT, VIEW_JSON, VIEW_MARKDOWN };

static const char page[] =
    "# The operations\n"
    "\n"
    "What each operation that ships takes, as its script in `scripts/` declares it. This page is\n"
    "made by `luma ops --markdown`, and the same is shown by `luma run NAME --help` and told to\n"
    "clients by `describe`. Options that aren't required and have no default may be left out.\n"
    "Times are seconds or text like `\"1:02:03.5\"`, bit rates and sizes numbers or text like\n"
    "`\"2M\"` and `\"20MB\"`; see [scripting](scripting.md). On the command line the fields of an\n"
    "object are options of their own, as `--scale.width 320`; a list of objects is JSON.\n";

static void print_json(const json_t *document)
{
    json_dumpf(document, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    fputc('\n', stdout);
}

/* A client's view of a description: its options as a JSON Schema. */
static json_t *for_clients(const json_t *description)
{
    json_t *view = json_copy((json_t *)description);
    json_t *schema = schema_to_json_schema(json_object_get(description, "options"));
    if (!view || !schema || json_object_set_new(view, "options", schema)) {
        json_decref(view);
        return NULL;
    }
    return view;
}

static int show_one(const char *scripts, const char *name, enum view view, struct error *e)
{
    json_t *description = cli_describe(scripts, name, e);
    if (!description) {
        return e->code;
    }
    if (view == VIEW_JSON) {
        json_t *document = for_clients(description);
        print_json(document);
        json_decref(document);
    } else if (view == VIEW_MARKDOWN) {
        schema_markdown(stdout, description);
    } else {
        struct terminal terminal;
        terminal_init(&terminal, stdout);
        cli_print_operation(description, &terminal);
    }
    json_decref(description);
    return 0;
}

/* A broken script is named and doesn't hide the others. */
static int show_all(const char *scripts, enum view view, struct error *e)
{
    json_t *names = operation_list(scripts);
    json_t *list = json_array();
    size_t i;
    json_t *name;
    if (view == VIEW_MARKDOWN) {
        fputs(page, stdout);
    }
    json_array_foreach(names, i, name)
    {
        json_t *description = cli_describe(scripts, json_string_value(name), e);
        if (!description) {
            fprintf(stderr, "luma: %s: %s\n", json_string_value(name), e->message);
        } else if (view == VIEW_JSON) {
            json_array_append_new(list, for_clients(description));
        } else if (view == VIEW_MARKDOWN) {
            schema_markdown(stdout, description);
        } else {
            printf("  %-16s %s\n", json_string_value(name),
                   json_string_value(json_object_get(description, "summary")));
        }
        json_decref(description);
    }
    if (view == VIEW_JSON) {
        print_json(list);
    }
    json_decref(list);
    int code = json_array_size(names)
                   ? 0
                   : error_set(e, ERROR_INVALID_OPTION,
                               "there are no operations in the folder '%s'", scripts);
    json_decref(names);
    return code;
}

int cmd_ops(int argc, char **argv)
{
    const char *scripts = paths_scripts();
    bool json = false, markdown = false, help = false;
    const struct cli_flag flags[] = {
        {"json", 0, CLI_FLAG, &json, NULL, "one JSON document on stdout"},
        {"markdown", 0, CLI_FLAG, &markdown, NULL, "the page of the documentation"},
        {"scripts", 0, CLI_TEXT, &scripts, "DIR", "where the operations are"},
        {"help", 'h', CLI_FLAG, &help, NULL, "this text"},
    };
    enum { FLAGS = sizeof flags / sizeof *flags };
    struct error e = {0};
    int count = cli_parse(argc, argv, flags, FLAGS, NULL, NULL, &e);
    if (count >= 0 && help) {
        printf("luma ops [OP]: list the operations, or explain one\n\n");
        cli_print_flags(stdout, flags, FLAGS);
        return STATUS_OK;
    }
    int code = count < 0 ? count : 0;
    if (!code && count > 1) {
        code = error_set(&e, ERROR_INVALID_OPTION, "one operation at a time");
    } else if (!code && !scripts) {
        code = error_set(&e, ERROR_INVALID_OPTION,
                         "no folder of scripts was found; name one with --scripts");
    } else if (!code) {
        enum view view = json ? VIEW_JSON : markdown ? VIEW_MARKDOWN : VIEW_TEXT;
        code = count ? show_one(scripts, argv[0], view, &e) : show_all(scripts, view, &e);
    }
    if (code) {
        cli_report(&e, json);
        return e.code == ERROR_SCRIPT ? STATUS_FAILED : STATUS_USAGE;
    }
    return STATUS_OK;
}
