/*
 * Parsing and the tables of messages and errors. Stateless; any thread.
 */
#include "server/protocol.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/identifier.h"
#include "server/message.h"

struct code {
    const char *name;
    bool retryable;
};

static const struct code codes[] = {
    {"invalid_json", false},
    {"invalid_message", false},
    {"unknown_type", false},
    {"invalid_header", false},
    {"message_too_large", false},
    {"unauthorized", false},
    {"rate_limited", true},
    {"unknown_operation", false},
    {"invalid_option", false},
    {"invalid_input", false},
    {"too_many_inputs", false},
    {"job_key_conflict", false},
    {"job_not_found", false},
    {"job_finished", false},
    {"output_not_ready", true},
    {"queue_full", true},
    {"quota_exceeded", true},
    {"shutting_down", true},
    {"upload_gap", true},
    {"upload_too_large", false},
    {"upload_timeout", true},
    {"upload_incomplete", true},
    {"url_forbidden", false},
    {"download_failed", true},
    {"download_too_large", false},
    {"download_timeout", true},
    {"unsupported_media", false},
    {"corrupt_media", false},
    {"no_such_stream", false},
    {"script_error", false},
    {"encode_failed", false},
    {"timeout", true},
    {"stalled", true},
    {"cancelled", true},
    {"out_of_memory", false},
    {"limit_exceeded", false},
    {"worker_crashed", false},
    {"disk_full", true},
    {"interrupted", true},
    {"internal", true},
};

static const struct code *code_find(const char *name)
{
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (strcmp(codes[i].name, name) == 0)
            return &codes[i];
    }
    return NULL;
}

bool protocol_code_known(const char *code)
{
    return code_find(code) != NULL;
}

bool protocol_code_retryable(const char *code)
{
    const struct code *found = code_find(code);
    return found && found->retryable;
}

int problem_set(struct problem *problem, const char *code, const char *format, ...)
{
    problem->code = code;
    problem->permanent = false;
    json_decref(problem->details);
    problem->details = NULL;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(problem->message, sizeof(problem->message), format, arguments);
    va_end(arguments);
    return -1;
}

int problem_detail(struct problem *problem, const char *key, json_t *value)
{
    if (!problem->details)
        problem->details = json_object();
    (void)json_object_set_new(problem->details, key, value);
    return -1;
}

/* A JSON string of the text; bytes that aren't UTF-8 become question marks. */
static json_t *string_of(const char *text)
{
    json_t *string = json_string(text);
    if (string)
        return string;
    char *copy = strdup(text);
    for (char *c = copy; c && *c; c++) {
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    }
    string = json_string(copy ? copy : "");
    free(copy);
    return string;
}

int problem_place(struct problem *problem, const char *path, const char *got, const char *expected)
{
    if (path)
        (void)problem_detail(problem, "path", string_of(path));
    if (got)
        (void)problem_detail(problem, "got", string_of(got));
    if (expected)
        (void)problem_detail(problem, "expected", string_of(expected));
    return -1;
}

void problem_finish(struct problem *problem)
{
    json_decref(problem->details);
    problem->details = NULL;
}

json_t *protocol_error(const struct problem *problem, const char *request_id, const char *job_id,
                       bool final)
{
    bool retryable = protocol_code_retryable(problem->code) && !problem->permanent;
    json_t *error = json_pack("{s:s, s:s, s:o, s:b}", "type", "error", "code", problem->code,
                              "message", string_of(problem->message), "retryable", retryable);
    if (!error)
        return NULL;
    if (request_id)
        (void)json_object_set_new(error, "request_id", json_string(request_id));
    if (job_id)
        (void)json_object_set_new(error, "job_id", json_string(job_id));
    if (final)
        (void)json_object_set_new(error, "final", json_true());
    if (problem->details)
        (void)json_object_set(error, "details", problem->details);
    return error;
}

json_t *protocol_parse(const char *text, size_t size, struct problem *problem)
{
    if (!message_depth_allowed(text, size, PROTOCOL_DEPTH_MAX)) {
        problem_set(problem, "invalid_json", "the message nests deeper than %d levels",
                    PROTOCOL_DEPTH_MAX);
        return NULL;
    }
    json_error_t error;
    json_t *message = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!message) {
        problem_set(problem, "invalid_json",
                    "the message is not valid JSON: %s (line %d, column %d)", error.text,
                    error.line, error.column);
        return NULL;
    }
    if (!json_is_object(message)) {
        problem_set(problem, "invalid_message", "a message is a JSON object");
        json_decref(message);
        return NULL;
    }
    return message;
}

const char *protocol_request_id(const json_t *message)
{
    const json_t *id = json_object_get(message, "request_id");
    return json_is_string(id) && json_string_length(id) <= REQUEST_ID_MAX ? json_string_value(id)
                                                                          : NULL;
}

enum field_kind {
    FIELD_TEXT,    /* at most `max` bytes */
    FIELD_JOB,     /* a job's id */
    FIELD_INTEGER, /* 0 to `max` */
    FIELD_BOOLEAN,
    FIELD_OBJECT, /* at most `max` bytes of JSON; 0: no bound of its own */
    FIELD_ANY,    /* the same */
    FIELD_LIST,   /* of objects with `fields`; without: checked elsewhere */
    FIELD_CHOICE, /* one of `choices`, separated by '|' */
};

struct field {
    const char *name;
    enum field_kind kind;
    bool required;
    int64_t max;
    const char *choices;
    const struct field *fields;
};

#define OFFSET_MAX (INT64_C(1) << 52)
#define NUMBER_MAX 999999

static const struct field hello_fields[] = {
    {"token", FIELD_TEXT, false, 4096, NULL, NULL},
    {"client", FIELD_TEXT, false, 256, NULL, NULL},
    {0},
};
static const struct field ping_fields[] = {
    {"data", FIELD_ANY, false, 1024, NULL, NULL},
    {0},
};
static const struct field describe_fields[] = {
    {"operation", FIELD_TEXT, false, 64, NULL, NULL},
    {0},
};
static const struct field start_fields[] = {
    {"operation", FIELD_TEXT, true, 64, NULL, NULL},
    {"job_key", FIELD_TEXT, false, 128, NULL, NULL},
    {"input", FIELD_OBJECT, false, 0, NULL, NULL},
    {"inputs", FIELD_LIST, false, 0, NULL, NULL},
    {"options", FIELD_OBJECT, false, 0, NULL, NULL},
    {"delivery", FIELD_CHOICE, false, 0, "push|stream|pull", NULL},
    {"detach", FIELD_BOOLEAN, false, 0, NULL, NULL},
    {"metadata", FIELD_ANY, false, 4096, NULL, NULL},
    {0},
};
static const struct field job_fields[] = {
    {"job_id", FIELD_JOB, true, 0, NULL, NULL},
    {0},
};
static const struct field received_fields[] = {
    {"output", FIELD_INTEGER, true, NUMBER_MAX, NULL, NULL},
    {"received", FIELD_INTEGER, true, OFFSET_MAX, NULL, NULL},
    {"attempt", FIELD_INTEGER, true, NUMBER_MAX, NULL, NULL},
    {0},
};
static const struct field attach_fields[] = {
    {"job_id", FIELD_JOB, true, 0, NULL, NULL},
    {"outputs", FIELD_LIST, false, 0, NULL, received_fields},
    {0},
};
static const struct field fetch_fields[] = {
    {"job_id", FIELD_JOB, true, 0, NULL, NULL},
    {"output", FIELD_INTEGER, true, NUMBER_MAX, NULL, NULL},
    {"offset", FIELD_INTEGER, false, OFFSET_MAX, NULL, NULL},
    {"length", FIELD_INTEGER, false, OFFSET_MAX, NULL, NULL},
    {0},
};
static const struct field list_fields[] = {
    {"status", FIELD_CHOICE, false, 0, "uploading|queued|running|completed|failed|cancelled", NULL},
    {"limit", FIELD_INTEGER, false, 1000, NULL, NULL},
    {"before", FIELD_JOB, false, 0, NULL, NULL},
    {0},
};

static const struct {
    const char *name;
    const struct field *fields;
} messages[MESSAGE_TYPE_COUNT] = {
    [MESSAGE_HELLO] = {"hello", hello_fields},
    [MESSAGE_PING] = {"ping", ping_fields},
    [MESSAGE_DESCRIBE] = {"describe", describe_fields},
    [MESSAGE_START_JOB] = {"start_job", start_fields},
    [MESSAGE_CANCEL_JOB] = {"cancel_job", job_fields},
    [MESSAGE_ATTACH] = {"attach", attach_fields},
    [MESSAGE_FETCH] = {"fetch", fetch_fields},
    [MESSAGE_GET_JOB] = {"get_job", job_fields},
    [MESSAGE_LIST_JOBS] = {"list_jobs", list_fields},
    [MESSAGE_DELETE_JOB] = {"delete_job", job_fields},
};

static const struct field upload_input_fields[] = {
    {"kind", FIELD_TEXT, true, 16, NULL, NULL},
    {"name", FIELD_TEXT, false, 1024, NULL, NULL},
    {"size", FIELD_INTEGER, false, OFFSET_MAX, NULL, NULL},
    {0},
};
static const struct field url_input_fields[] = {
    {"kind", FIELD_TEXT, true, 16, NULL, NULL},
    {"url", FIELD_TEXT, true, 8192, NULL, NULL},
    {0},
};
static const struct field job_input_fields[] = {
    {"kind", FIELD_TEXT, true, 16, NULL, NULL},
    {"job_id", FIELD_JOB, true, 0, NULL, NULL},
    {"output", FIELD_INTEGER, true, NUMBER_MAX, NULL, NULL},
    {0},
};

static const struct {
    const char *kind;
    const struct field *fields;
} input_kinds[] = {
    {"upload", upload_input_fields},
    {"url", url_input_fields},
    {"job", job_input_fields},
};

static const struct field upload_fields[] = {
    {"type", FIELD_TEXT, true, 16, NULL, NULL},
    {"job_id", FIELD_JOB, true, 0, NULL, NULL},
    {"input", FIELD_INTEGER, true, NUMBER_MAX, NULL, NULL},
    {"offset", FIELD_INTEGER, true, OFFSET_MAX, NULL, NULL},
    {"last", FIELD_BOOLEAN, false, 0, NULL, NULL},
    {0},
};

/* What is being checked, and where. */
struct check {
    const char *code;
    const char *prefix; /* "inputs[2]." */
    struct problem *problem;
};

static int refuse_field(const struct check *check, const char *name, const json_t *value,
                        const char *expected)
{
    char path[256], got[80];
    (void)snprintf(path, sizeof(path), "%s%s", check->prefix, name);
    problem_set(check->problem, check->code, "%s must be %s", path, expected);
    char *text =
        value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    (void)snprintf(got, sizeof(got), "%s", text ? text : "nothing");
    free(text);
    return problem_place(check->problem, path, got, expected);
}

static bool is_one_of(const char *text, const char *choices)
{
    size_t length = strlen(text);
    for (const char *choice = choices; *choice;) {
        size_t size = strcspn(choice, "|");
        if (size == length && strncmp(choice, text, size) == 0)
            return true;
        choice += size + (choice[size] == '|');
    }
    return false;
}

static int check_fields(const struct check *check, const json_t *object, const struct field *fields,
                        bool envelope);

static int check_list(const struct check *check, const struct field *field, const json_t *list)
{
    if (!json_is_array(list))
        return refuse_field(check, field->name, list, "a list");
    size_t index;
    json_t *item;
    json_array_foreach(list, index, item)
    {
        char name[64], prefix[160];
        (void)snprintf(name, sizeof(name), "%s[%zu]", field->name, index);
        if (!json_is_object(item))
            return refuse_field(check, name, item, "an object");
        (void)snprintf(prefix, sizeof(prefix), "%s%s.", check->prefix, name);
        struct check inner = {check->code, prefix, check->problem};
        if (field->fields && check_fields(&inner, item, field->fields, false) < 0)
            return -1;
    }
    return 0;
}

static int check_length(const struct check *check, const struct field *field, const json_t *value)
{
    size_t size = json_dumpb(value, NULL, 0, JSON_ENCODE_ANY | JSON_COMPACT);
    if (size <= (size_t)field->max)
        return 0;
    char expected[64];
    (void)snprintf(expected, sizeof(expected), "at most %d bytes of JSON", (int)field->max);
    json_t *got = json_integer((json_int_t)size);
    int status = refuse_field(check, field->name, got, expected);
    json_decref(got);
    return status;
}

static int check_value(const struct check *check, const struct field *field, const json_t *value)
{
    char expected[160];
    switch (field->kind) {
    case FIELD_TEXT:
        if (json_is_string(value) && json_string_length(value) <= (size_t)field->max)
            return 0;
        (void)snprintf(expected, sizeof(expected), "a text of at most %d bytes", (int)field->max);
        return refuse_field(check, field->name, value, expected);
    case FIELD_JOB:
        if (json_is_string(value) && json_string_length(value) <= 64)
            return 0;
        return refuse_field(check, field->name, value, "a job's id");
    case FIELD_INTEGER:
        if (json_is_integer(value) && json_integer_value(value) >= 0 &&
            json_integer_value(value) <= field->max)
            return 0;
        (void)snprintf(expected, sizeof(expected), "a whole number from 0 to %lld",
                       (long long)field->max);
        return refuse_field(check, field->name, value, expected);
    case FIELD_BOOLEAN:
        return json_is_boolean(value) ? 0
                                      : refuse_field(check, field->name, value, "true or false");
    case FIELD_OBJECT:
    case FIELD_ANY:
        if (field->kind == FIELD_OBJECT && !json_is_object(value))
            return refuse_field(check, field->name, value, "an object");
        return field->max ? check_length(check, field, value) : 0;
    case FIELD_LIST:
        return check_list(check, field, value);
    case FIELD_CHOICE:
        if (json_is_string(value) && is_one_of(json_string_value(value), field->choices))
            return 0;
        (void)snprintf(expected, sizeof(expected), "one of %s", field->choices);
        return refuse_field(check, field->name, value, expected);
    }
    return 0;
}

static const struct field *field_find(const struct field *fields, const char *name)
{
    for (const struct field *field = fields; field->name; field++) {
        if (strcmp(field->name, name) == 0)
            return field;
    }
    return NULL;
}

/* The names of a table's fields, for the error about one that isn't there. */
static void list_names(const struct field *fields, char *text, size_t size)
{
    size_t length = 0;
    text[0] = '\0';
    for (const struct field *field = fields; field->name && length < size; field++) {
        length +=
            (size_t)snprintf(text + length, size - length, "%s%s", length ? ", " : "", field->name);
    }
}

/* An optional field that is null counts as not given. The envelope is type and request_id. */
static int check_fields(const struct check *check, const json_t *object, const struct field *fields,
                        bool envelope)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value)
    {
        if (envelope && (strcmp(name, "type") == 0 || strcmp(name, "request_id") == 0))
            continue;
        const struct field *field = field_find(fields, name);
        if (!field) {
            char path[256], names[256];
            (void)snprintf(path, sizeof(path), "%s%.100s", check->prefix, name);
            problem_set(check->problem, check->code, "unknown field %s", path);
            list_names(fields, names, sizeof(names));
            return problem_place(check->problem, path, NULL, names[0] ? names : "no field");
        }
        if (json_is_null(value) && !field->required && field->kind != FIELD_ANY)
            continue;
        if (check_value(check, field, value) < 0)
            return -1;
    }
    for (const struct field *field = fields; field->name; field++) {
        if (field->required && !json_object_get(object, field->name)) {
            char path[256];
            (void)snprintf(path, sizeof(path), "%s%s", check->prefix, field->name);
            problem_set(check->problem, check->code, "%s is missing", path);
            return problem_place(check->problem, path, NULL, NULL);
        }
    }
    return 0;
}

static int check_input(const json_t *input, const char *path, struct problem *problem)
{
    char prefix[80];
    (void)snprintf(prefix, sizeof(prefix), "%s.", path);
    struct check check = {"invalid_message", prefix, problem};
    const json_t *kind = json_object_get(input, "kind");
    if (!json_is_string(kind))
        return refuse_field(&check, "kind", kind, "upload, url or job");
    for (size_t i = 0; i < sizeof(input_kinds) / sizeof(input_kinds[0]); i++) {
        if (strcmp(json_string_value(kind), input_kinds[i].kind) == 0)
            return check_fields(&check, input, input_kinds[i].fields, false);
    }
    check.code = "invalid_input";
    return refuse_field(&check, "kind", kind, "upload, url or job");
}

static int check_inputs(const json_t *message, struct problem *problem)
{
    const json_t *one = json_object_get(message, "input");
    const json_t *list = json_object_get(message, "inputs");
    bool has_one = one && !json_is_null(one), has_list = list && !json_is_null(list);
    if (has_one == has_list) {
        problem_set(problem, "invalid_message",
                    has_one ? "give input or inputs, not both" : "inputs is missing");
        return problem_place(problem, "inputs", NULL, NULL);
    }
    if (has_one)
        return check_input(one, "input", problem);
    size_t index;
    json_t *input;
    json_array_foreach(list, index, input)
    {
        char path[64];
        (void)snprintf(path, sizeof(path), "inputs[%zu]", index);
        if (check_input(input, path, problem) < 0)
            return -1;
    }
    return 0;
}

static int check_envelope(const json_t *message, struct problem *problem)
{
    struct check check = {"invalid_message", "", problem};
    const json_t *id = json_object_get(message, "request_id");
    if (id && !protocol_request_id(message)) {
        char expected[64];
        (void)snprintf(expected, sizeof(expected), "a text of at most %d bytes", REQUEST_ID_MAX);
        return refuse_field(&check, "request_id", id, expected);
    }
    const json_t *type = json_object_get(message, "type");
    return json_is_string(type) ? 0 : refuse_field(&check, "type", type, "a text");
}

int protocol_check(const json_t *message, enum message_type *type, struct problem *problem)
{
    if (check_envelope(message, problem) < 0)
        return -1;
    const char *name = json_string_value(json_object_get(message, "type"));
    int found = -1;
    for (int i = 0; i < MESSAGE_TYPE_COUNT && found < 0; i++) {
        if (strcmp(messages[i].name, name) == 0)
            found = i;
    }
    if (found < 0) {
        problem_set(problem, "unknown_type", "there is no message type \"%.100s\"", name);
        return problem_place(problem, "type", NULL, NULL);
    }
    *type = (enum message_type)found;
    struct check check = {"invalid_message", "", problem};
    if (check_fields(&check, message, messages[found].fields, true) < 0)
        return -1;
    return found == MESSAGE_START_JOB ? check_inputs(message, problem) : 0;
}

int protocol_check_upload(const json_t *header, struct problem *problem)
{
    struct check check = {"invalid_header", "", problem};
    if (check_fields(&check, header, upload_fields, false) < 0)
        return -1;
    const json_t *type = json_object_get(header, "type");
    return strcmp(json_string_value(type), "upload") == 0
               ? 0
               : refuse_field(&check, "type", type, "upload");
}

double protocol_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void protocol_format_time(double seconds, char text[32])
{
    int64_t milliseconds = (int64_t)(seconds * 1000);
    time_t whole = (time_t)(milliseconds / 1000);
    struct tm parts;
    gmtime_r(&whole, &parts);
    size_t length = strftime(text, 32, "%Y-%m-%dT%H:%M:%S", &parts);
    (void)snprintf(text + length, 32 - length, ".%03dZ", (int)(milliseconds % 1000));
}
