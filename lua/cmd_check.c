/*
 * luma check [FILE...]: does a script load, is its schema one, do its examples fit it? Without
 * files, all operations of the script folder.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "lua/cli_job.h"
#include "lua/command.h"
#include "lua/paths.h"
#include "lua/schema.h"

/* Checks the examples of a loaded script. */
static int check_examples(const json_t *description, struct error *e)
{
    const json_t *schema = json_object_get(description, "options");
    size_t i;
    json_t *example;
    json_array_foreach(json_object_get(description, "examples"), i, example)
    {
        json_t *valid = schema_validate(schema, example, e);
        if (!valid) {
            return error_prefix(e, "example %d", (int)i + 1);
        }
        json_decref(valid);
    }
    return 0;
}

/* Options that `luma run` can't be given, since it has flags of that name. */
static int check_names(const json_t *description, struct error *e)
{
    static const char *const taken[] = {"output", "force", "json", "options", "scripts",
                                        "assets", "quiet", "help", "threads"};
    size_t i;
    json_t *option;
    json_array_foreach(json_object_get(description, "options"), i, option)
    {
        const char *name = json_string_value(json_object_get(option, "name"));
        for (size_t k = 0; name && k < sizeof taken / sizeof *taken; k++) {
            if (!strcmp(name, taken[k])) {
                return error_set(e, ERROR_SCRIPT,
                                 "the option '%s' has the name of a flag of the command line",
                                 name);
            }
        }
    }
    return 0;
}

/* One script; the result goes to `list` (json) or to the terminal. Returns 0 or an error code. */
static int check_script(const char *scripts, const char *name, json_t *list)
{
    struct error e = {0};
    json_t *description = cli_describe(scripts, name, &e);
    const json_t *schema = json_object_get(description, "options");
    int code = description ? schema_check(schema, &e) : e.code;
    code = code ? code : check_names(description, &e);
    code = code ? code : check_examples(description, &e);
    int options = (int)json_array_size(schema);
    int examples = (int)json_array_size(json_object_get(description, "examples"));
    if (list) {
        json_t *entry = json_pack("{s:s, s:b, s:i, s:i}", "name", name, "ok", !code, "options",
                                  options, "examples", examples);
        if (code) {
            json_object_set_new(entry, "message", json_string(e.message));
        }
        json_array_append_new(list, entry);
    } else if (code) {
        printf("%s: %s\n", name, e.message);
    } else {
        printf("%s: ok (%d option%s, %d example%s)\n", name, options, options == 1 ? "" : "s",
               examples, examples == 1 ? "" : "s");
    }
    json_decref(description);
    return code;
}

/* "some/folder/name.lua" as its folder and its name. */
static bool split_path(const char *path, char folder[PATH_MAX], char name[NAME_MAX + 1])
{
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    size_t length = strlen(base);
    if (length <= 4 || length > NAME_MAX || strcmp(base + length - 4, ".lua") != 0) {
        return false;
    }
    snprintf(name, NAME_MAX + 1, "%.*s", (int)(length - 4), base);
    if (slash) {
        snprintf(folder, PATH_MAX, "%.*s", (int)(slash - path), path);
    } else {
        snprintf(folder, PATH_MAX, ".");
    }
    return true;
}

static int check_files(char **files, int count, json_t *list, struct error *e)
{
    int failures = 0;
    for (int i = 0; i < count; i++) {
        char folder[PATH_MAX], name[NAME_MAX + 1];
        if (!split_path(files[i], folder, name)) {
            return error_set(e, ERROR_INVALID_INPUT, "'%s' is not a Lua script", files[i]);
        }
        failures += check_script(folder, name, list) != 0;
    }
    return failures;
}

static int check_folder(const char *scripts, json_t *list)
{
    json_t *names = operation_list(scripts);
    int failures = 0;
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name)
    {
        failures += check_script(scripts, json_string_value(name), list) != 0;
    }
    json_decref(names);
    return failures;
}

int cmd_check(int argc, char **argv)
{
    const char *scripts = paths_scripts();
    bool json = false, help = false;
    const struct cli_flag flags[] = {
        {"json", 0, CLI_FLAG, &json, NULL, "one JSON document on stdout"},
        {"scripts", 0, CLI_TEXT, &scripts, "DIR", "where the operations are"},
        {"help", 'h', CLI_FLAG, &help, NULL, "this text"},
    };
    enum { FLAGS = sizeof flags / sizeof *flags };
    struct error e = {0};
    int count = cli_parse(argc, argv, flags, FLAGS, NULL, NULL, &e);
    if (count >= 0 && help) {
        printf("luma check [FILE...]: check operation scripts against their own examples\n\n");
        cli_print_flags(stdout, flags, FLAGS);
        return STATUS_OK;
    }
    int failures = count;
    json_t *list = json ? json_array() : NULL;
    if (count > 0) {
        failures = check_files(argv, count, list, &e);
    } else if (count == 0 && scripts) {
        failures = check_folder(scripts, list);
    } else if (count == 0) {
        failures = error_set(&e, ERROR_INVALID_OPTION,
                             "no folder of scripts was found; name one with --scripts");
    }
    if (failures < 0) {
        cli_report(&e, json);
    } else if (json) {
        json_dumpf(list, stdout, JSON_INDENT(2));
        fputc('\n', stdout);
    }
    json_decref(list);
    return failures < 0 ? STATUS_USAGE : failures ? STATUS_FAILED : STATUS_OK;
}
