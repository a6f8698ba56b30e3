/*
 * An operation's run: load, validate, open, build the plan, run it, tell. See operation.h.
 *
 * Lua runs in sandbox_run only, on the calling thread, and never while the pipeline works.
 */
#include "lua/operation.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lua/json_build.h"
#include "lua/json_lua.h"
#include "lua/operation_internal.h"
#include "lua/schema.h"
#include "lua/script.h"

#define DEFAULT_MEMORY  ((size_t)64 * 1024 * 1024)
#define DEFAULT_SECONDS 5.0

/* describe runs a script's top level only */
#define DESCRIBE_MEMORY  ((size_t)16 * 1024 * 1024)
#define DESCRIBE_SECONDS 1.0

/* ---- Lua's part ---- */

int operation_run_lua(struct job *job, lua_CFunction body, void *argument)
{
    struct operation_outcome *outcome = job->outcome;
    struct sandbox_failure failure;

    int code = job->running ? sandbox_call(job->running, body, argument, &failure)
                            : sandbox_run(job->sandbox, body, argument, &failure);
    if (code == 0) {
        return 0;
    }
    outcome->error = failure.error;
    if (failure.error.code == ERROR_SCRIPT) {
        memcpy(outcome->script, failure.script, sizeof outcome->script);
        memcpy(outcome->traceback, failure.traceback, sizeof outcome->traceback);
        outcome->line = failure.line;
    }
    return failure.error.code;
}

static void on_log(void *opaque, const char *text)
{
    const struct operation_request *request = opaque;
    if (request->log) {
        request->log(request->opaque, text);
    }
}

static void on_killed(void *opaque, const char *limit)
{
    const struct operation_request *request = opaque;
    if (request->killed) {
        request->killed(request->opaque, limit);
    } else {
        fprintf(stderr, "limit_exceeded: the script used more than its processor time\n");
    }
}

/* Loads the script: its table into the registry, its description as JSON. */
static int load_body(lua_State *L)
{
    struct job *job = lua_touserdata(L, 1);
    struct error e;

    bind_open(L);
    script_open_require(L, job->request->scripts);
    script_load(L, job->request->scripts, job->request->name);
    luaL_checkstack(L, 16, NULL);
    job->description = script_describe(L, lua_gettop(L), job->request->name, &e);
    if (!job->description) {
        return sandbox_raise(L, &e);
    }
    job->script = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static void push_inputs(lua_State *L, const struct bind *bind)
{
    lua_createtable(L, bind->input_count, 0);
    for (int i = 0; i < bind->input_count; i++) {
        bind_push_input(L, bind->inputs[i]);
        lua_rawseti(L, -2, i + 1);
    }
}

/* check(options, inputs): false if it refused, with job->refused set. The script is at index 2. */
static bool call_check(lua_State *L, struct job *job)
{
    if (lua_getfield(L, 2, "check") == LUA_TNIL) {
        return true;
    }
    bind_push_options(L);
    push_inputs(L, &job->bind);
    lua_call(L, 2, 2);
    if (!lua_toboolean(L, -2)) {
        return true;
    }
    if (!lua_isstring(L, -2)) {
        luaL_error(L, "check() must return a message and the option it is about, not a %s",
                   luaL_typename(L, -2));
    }
    error_set(&job->refused, ERROR_INVALID_OPTION, "%s", lua_tostring(L, -2));
    if (lua_type(L, -1) == LUA_TSTRING) {
        const char *option = lua_tostring(L, -1);
        char path[160];
        snprintf(path, sizeof path, "options.%s", option);
        char *got = json_dumps(json_object_get(job->options, option), JSON_ENCODE_ANY);
        error_place(&job->refused, path, got, NULL);
        free(got);
    }
    return false;
}

static int run_body(lua_State *L)
{
    struct job *job = lua_touserdata(L, 1);
    struct error e;

    lua_rawgeti(L, LUA_REGISTRYINDEX, job->script);
    bind_push_job(L);
    sandbox_set_global(L, "job");
    if (!call_check(L, job)) {
        return 0;
    }
    lua_settop(L, 2);
    lua_getfield(L, 2, "run");
    bind_push_job(L);
    lua_call(L, 1, 1);
    if (lua_isnil(L, -1) && job->bind.output_count == 0) {
        return luaL_error(L, "run() declared no output and returned no result");
    }
    job->outcome->result = json_from_lua(L, -1, "result", &json_lua_result_limits, &e);
    return job->outcome->result ? 0 : sandbox_raise(L, &e);
}

/* ---- C's part ---- */

static int start_sandbox(struct job *job)
{
    const struct operation_request *request = job->request;
    const struct sandbox_settings settings = {
        .memory = request->lua_memory ? request->lua_memory : DEFAULT_MEMORY,
        .seconds = request->lua_time > 0 ? request->lua_time : DEFAULT_SECONDS,
        .cancel = request->control ? &request->control->cancel : NULL,
        .log = on_log,
        .killed = on_killed,
        .opaque = (void *)request,
    };
    return sandbox_create(&job->sandbox, &settings, &job->outcome->error);
}

static int check_input_count(const json_t *description, int given, struct error *e)
{
    const json_t *inputs = json_object_get(description, "inputs");
    json_int_t min = json_integer_value(json_object_get(inputs, "min"));
    json_int_t max = json_integer_value(json_object_get(inputs, "max"));
    const char *name = json_string_value(json_object_get(description, "name"));
    char expected[64], got[16];

    if (given >= min && given <= max) {
        return 0;
    }
    if (min == max) {
        snprintf(expected, sizeof expected, "%lld input%s", (long long)min, min == 1 ? "" : "s");
    } else {
        snprintf(expected, sizeof expected, "%lld to %lld inputs", (long long)min, (long long)max);
    }
    snprintf(got, sizeof got, "%d", given);
    error_set(e, ERROR_INVALID_INPUT, "the operation '%s' takes %s, not %d", name, expected, given);
    return error_place(e, "inputs", got, expected);
}

static int open_inputs(struct job *job)
{
    const struct operation_request *request = job->request;
    struct operation_outcome *outcome = job->outcome;

    job->plan = plan_create(request->limits);
    if (!job->plan) {
        return error_set(&outcome->error, ERROR_OUT_OF_MEMORY, "out of memory");
    }
    int code = plan_set_assets(job->plan, request->assets, &outcome->error);
    if (code < 0) {
        return code;
    }
    for (int i = 0; i < request->input_count; i++) {
        const struct operation_input *input = &request->inputs[i];
        bool named = input->label && *input->label;
        job->inputs[i] =
            plan_add_input(job->plan, input->path, named ? input->label : "input",
                           request->control ? &request->control->cancel : NULL, &outcome->error);
        if (job->inputs[i] < 0) {
            char path[32];
            snprintf(path, sizeof path, "inputs[%d]", i);
            return error_place(&outcome->error, path, NULL, NULL);
        }
    }
    job->bind.plan = job->plan;
    job->bind.operation = request->name;
    job->bind.inputs = job->inputs;
    job->bind.input_count = request->input_count;
    job->bind.unnamed =
        request->input_count < 1 || !request->inputs[0].label || !*request->inputs[0].label;
    job->bind.options = job->options;
    job->bind.schema = json_object_get(job->description, "options");
    job->bind.measure = operation_measure;
    job->bind.owner = job;
    job->bind.notes = job->outcome->notes;
    sandbox_set_user(job->sandbox, &job->bind);
    return 0;
}

static int build_plan(struct job *job)
{
    struct operation_outcome *outcome = job->outcome;
    int code = start_sandbox(job);
    if (code == 0) {
        code = operation_run_lua(job, load_body, job);
    }
    if (code == 0) {
        code = check_input_count(job->description, job->request->input_count, &outcome->error);
    }
    if (code != 0) {
        return code;
    }
    job->options = schema_validate(json_object_get(job->description, "options"),
                                   job->request->options, &outcome->error);
    if (!job->options) {
        return outcome->error.code;
    }
    code = open_inputs(job);
    if (code == 0) {
        code = operation_run_lua(job, run_body, job);
    }
    if (code == 0 && job->refused.code != ERROR_NONE) {
        outcome->error = job->refused;
    }
    return outcome->error.code;
}

/* Text files are no part of the plan, but of what comes out. */
static int explain_texts(const struct job *job, char **text)
{
    for (int i = 0; i < job->bind.output_count; i++) {
        const struct bind_output *output = &job->bind.outputs[i];
        char *longer = NULL;
        if (output->node < 0 && asprintf(&longer, "%soutput %s: text\n", *text, output->name) < 0) {
            return error_set(&job->outcome->error, ERROR_OUT_OF_MEMORY, "out of memory");
        }
        if (longer) {
            free(*text);
            *text = longer;
        }
    }
    return 0;
}

static int explain(struct job *job)
{
    struct operation_outcome *outcome = job->outcome;
    const struct {
        enum plan_style style;
        char **text;
    } styles[] = {
        {PLAN_STYLE_TEXT, &outcome->explain_text},
        {PLAN_STYLE_DOT, &outcome->explain_dot},
        {PLAN_STYLE_FFMPEG, &outcome->explain_ffmpeg},
    };
    for (size_t i = 0; i < sizeof styles / sizeof *styles; i++) {
        int code =
            plan_explain(job->plan, NULL, 0, styles[i].style, styles[i].text, &outcome->error);
        if (code < 0) {
            return code;
        }
    }
    return explain_texts(job, &outcome->explain_text);
}

static int make_outputs(struct job *job)
{
    struct operation_outcome *outcome = job->outcome;
    int code = operation_ask_to_run(job, plan_cost(job->plan, NULL, 0));
    if (code != 0) {
        return error_set(&outcome->error, code, "stopped before the run");
    }
    code = operation_make_files(job);
    if (code == 0) {
        outcome->outputs = operation_files_json(job, &outcome->error);
    }
    return outcome->error.code;
}

int operation_run(const struct operation_request *request, struct operation_outcome *outcome)
{
    struct job *job = calloc(1, sizeof *job);

    memset(outcome, 0, sizeof *outcome);
    outcome->notes = json_array();
    if (!job || !outcome->notes) {
        free(job);
        return error_set(&outcome->error, ERROR_OUT_OF_MEMORY, "out of memory");
    }
    job->request = request;
    job->outcome = outcome;
    job->alternative = -1;
    job->percent_share = 100;
    int code = build_plan(job);
    if (code == 0) {
        code = request->explain_only ? explain(job) : make_outputs(job);
    }
    if (code == 0 && !outcome->outputs) {
        outcome->outputs = json_array();
    }
    sandbox_destroy(&job->sandbox);
    plan_destroy(&job->plan);
    operation_free_files(job);
    json_decref(job->description);
    json_decref(job->options);
    free(job);
    return code;
}

void operation_outcome_finish(struct operation_outcome *outcome)
{
    json_decref(outcome->outputs);
    json_decref(outcome->result);
    json_decref(outcome->notes);
    free(outcome->explain_text);
    free(outcome->explain_dot);
    free(outcome->explain_ffmpeg);
    memset(outcome, 0, sizeof *outcome);
}

/* ---- describe ---- */

json_t *operation_describe(const char *scripts, const char *name, struct operation_outcome *outcome)
{
    const struct operation_request request = {
        .scripts = scripts,
        .name = name,
        .lua_memory = DESCRIBE_MEMORY,
        .lua_time = DESCRIBE_SECONDS,
    };
    struct job *job = calloc(1, sizeof *job);
    json_t *description = NULL;

    memset(outcome, 0, sizeof *outcome);
    if (!job) {
        error_set(&outcome->error, ERROR_OUT_OF_MEMORY, "out of memory");
        return NULL;
    }
    job->request = &request;
    job->outcome = outcome;
    if (start_sandbox(job) == 0 && operation_run_lua(job, load_body, job) == 0) {
        description = json_incref(job->description);
    }
    sandbox_destroy(&job->sandbox);
    json_decref(job->description);
    free(job);
    return description;
}

static int is_operation(const struct dirent *entry)
{
    char name[SCRIPT_MAX_NAME];
    size_t length = strlen(entry->d_name);

    if (length <= 4 || length - 4 >= sizeof name ||
        strcmp(entry->d_name + length - 4, ".lua") != 0) {
        return 0;
    }
    snprintf(name, sizeof name, "%.*s", (int)(length - 4), entry->d_name);
    return script_name_valid(name);
}

json_t *operation_list(const char *scripts)
{
    struct dirent **entries;
    json_t *list = json_array();
    int count = scandir(scripts, &entries, is_operation, alphasort);

    for (int i = 0; i < count; i++) {
        size_t length = strlen(entries[i]->d_name);
        list = json_add(list, json_stringn(entries[i]->d_name, length - 4));
        free(entries[i]);
    }
    if (count >= 0) {
        free(entries);
    }
    return list;
}

/* ---- the error as JSON ---- */

/* "12" and "\"abc\"" as the values they show; other words as text. */
static json_t *shown_value(const char *text)
{
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
    return value ? value : json_text(text, strlen(text));
}

static json_t *put_text(json_t *object, const char *key, const char *text)
{
    return *text ? json_put(object, key, json_text(text, strlen(text))) : object;
}

json_t *operation_error_json(const struct operation_outcome *outcome)
{
    const struct error *e = &outcome->error;
    json_t *details = json_object();
    json_t *object = json_put(json_object(), "code", json_string(error_name(e->code)));

    details = put_text(details, e->code == ERROR_LIMIT_EXCEEDED ? "limit" : "path", e->path);
    if (*e->got) {
        details = json_put(details, "got", shown_value(e->got));
    }
    details = put_text(details, "expected", e->expected);
    if (e->code == ERROR_SCRIPT) {
        details = put_text(details, "script", outcome->script);
        if (outcome->line > 0) {
            details = json_put(details, "line", json_integer(outcome->line));
        }
        details = put_text(details, "traceback", outcome->traceback);
    }
    object = json_put(object, "message", json_text(e->message, strlen(e->message)));
    if (!details || json_object_size(details) > 0) {
        return json_put(object, "details", details);
    }
    json_decref(details);
    return object;
}
