/*
 * Reads, checks and shows settings by the table. Values are looked up in the environment first,
 * then in the .env file, else the table's default is taken through the same parser.
 */
#include "server/config.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define ENV_FILE_MAX (1024 * 1024)

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit size_units[] = {
    {"", 1},
    {"B", 1},
    {"K", 1000},
    {"KB", 1000},
    {"M", 1000000},
    {"MB", 1000000},
    {"G", 1000000000},
    {"GB", 1000000000},
    {"T", INT64_C(1000000000000)},
    {"TB", INT64_C(1000000000000)},
    {"KIB", INT64_C(1) << 10},
    {"MIB", INT64_C(1) << 20},
    {"GIB", INT64_C(1) << 30},
    {"TIB", INT64_C(1) << 40},
    {NULL, 0},
};

static const struct unit duration_units[] = {
    {"", 1000}, {"MS", 1}, {"S", 1000}, {"M", 60000}, {"H", 3600000}, {"D", 86400000}, {NULL, 0},
};

static int __attribute__((format(printf, 2, 3)))
refuse(struct config_error *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(error->message, sizeof(error->message), format, arguments);
    va_end(arguments);
    return -1;
}

/* A decimal number and a unit; false when it isn't one, or too large. */
static bool parse_quantity(const char *text, const struct unit *units, int64_t *value)
{
    if (!isdigit((unsigned char)*text))
        return false;
    char *end;
    errno = 0;
    double number = strtod(text, &end);
    if (errno || strcspn(text, "xXpP") < (size_t)(end - text))
        return false;
    while (*end == ' ')
        end++;
    for (const struct unit *unit = units; unit->name; unit++) {
        if (strcasecmp(end, unit->name) != 0)
            continue;
        double scaled = number * (double)unit->factor;
        if (!(scaled < 9e18))
            return false;
        *value = (int64_t)(scaled + 0.5);
        return true;
    }
    return false;
}

static bool parse_integer(const char *text, int64_t *value)
{
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno || end == text || *end || isspace((unsigned char)*text))
        return false;
    *value = number;
    return true;
}

static bool parse_boolean(const char *text, bool *value)
{
    static const char *const words[2][4] = {{"0", "false", "no", "off"},
                                            {"1", "true", "yes", "on"}};
    for (size_t truth = 0; truth < 2; truth++) {
        for (size_t i = 0; i < 4; i++) {
            if (strcasecmp(text, words[truth][i]) == 0) {
                *value = truth;
                return true;
            }
        }
    }
    return false;
}

static bool is_choice(const char *text, const char *choices)
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

static void describe_quantity(const struct config_setting *setting, int64_t value, char *text,
                              size_t size)
{
    const char *unit = "";
    if (setting->type == CONFIG_DURATION) {
        bool seconds = value % 1000 == 0;
        unit = seconds ? "s" : "ms";
        if (seconds)
            value /= 1000;
        if (seconds && value > 0 && value % 86400 == 0) {
            value /= 86400;
            unit = "d";
        } else if (seconds && value > 0 && value % 3600 == 0) {
            value /= 3600;
            unit = "h";
        }
    } else if (setting->type == CONFIG_SIZE) {
        static const char *const names[] = {"", "KB", "MB", "GB", "TB"};
        size_t i = 0;
        while (i < 4 && value > 0 && value % 1000 == 0) {
            value /= 1000;
            i++;
        }
        unit = names[i];
    }
    (void)snprintf(text, size, "%" PRId64 "%s", value, unit);
}

/* What the setting takes, in words. */
static void describe_expected(const struct config_setting *setting, char *text, size_t size)
{
    static const char *const kinds[] = {
        [CONFIG_TEXT] = "text",
        [CONFIG_INTEGER] = "a whole number",
        [CONFIG_SIZE] = "a size such as 500MB",
        [CONFIG_DURATION] = "a duration such as 30s, 5m or 1h",
        [CONFIG_BOOLEAN] = "1 or 0",
    };
    char min[32], max[32];
    if (setting->type == CONFIG_CHOICE) {
        (void)snprintf(text, size, "one of %s", setting->expected);
    } else if (setting->type == CONFIG_TEXT || setting->type == CONFIG_BOOLEAN) {
        (void)snprintf(text, size, "%s", kinds[setting->type]);
    } else {
        describe_quantity(setting, setting->min, min, sizeof(min));
        describe_quantity(setting, setting->max, max, sizeof(max));
        (void)snprintf(text, size, "%s from %s to %s", kinds[setting->type], min, max);
    }
}

static int set_text(char **field, const char *value)
{
    char *copy = strdup(value);
    if (!copy)
        return -1;
    free(*field);
    *field = copy;
    return 0;
}

static int setting_apply(struct config *config, const struct config_setting *setting,
                         const char *value, struct config_error *error)
{
    void *field = (char *)config + setting->offset;
    bool fits = true;
    int64_t number = 0;
    switch (setting->type) {
    case CONFIG_TEXT:
        break;
    case CONFIG_CHOICE:
        fits = is_choice(value, setting->expected);
        break;
    case CONFIG_BOOLEAN:
        fits = parse_boolean(value, field);
        break;
    case CONFIG_INTEGER:
        fits = parse_integer(value, &number);
        break;
    case CONFIG_SIZE:
        fits = parse_quantity(value, size_units, &number);
        break;
    case CONFIG_DURATION:
        fits = parse_quantity(value, duration_units, &number);
        break;
    }
    bool quantity = setting->type != CONFIG_TEXT && setting->type != CONFIG_CHOICE &&
                    setting->type != CONFIG_BOOLEAN;
    if (quantity)
        fits = fits && number >= setting->min && number <= setting->max;
    if (!fits) {
        char expected[160];
        describe_expected(setting, expected, sizeof(expected));
        return refuse(error, "%s is \"%.80s\", expected %s", setting->name,
                      setting->secret ? "(hidden)" : value, expected);
    }
    if (quantity) {
        *(int64_t *)field = number;
    } else if (setting->type != CONFIG_BOOLEAN && set_text(field, value) < 0) {
        return refuse(error, "%s: out of memory", setting->name);
    }
    return 0;
}

/* The value of NAME in "NAME=value" texts, NULL if it isn't there. */
static const char *environment_get(char *const *environment, const char *name)
{
    size_t length = strlen(name);
    for (char *const *entry = environment; entry && *entry; entry++) {
        if (strncmp(*entry, name, length) == 0 && (*entry)[length] == '=')
            return *entry + length + 1;
    }
    return NULL;
}

/* Ends a value: quotes taken off, or what follows " #" and trailing blanks. */
static void value_trim(char **value)
{
    char quote = **value;
    char *close = quote == '"' || quote == '\'' ? strchr(*value + 1, quote) : NULL;
    if (close) {
        *close = '\0';
        (*value)++;
        return;
    }
    char *comment = strstr(*value, " #");
    if (comment)
        *comment = '\0';
    size_t length = strlen(*value);
    while (length > 0 && isspace((unsigned char)(*value)[length - 1]))
        (*value)[--length] = '\0';
}

/* Cuts the file's text into "NAME=value" texts in place; the list ends with NULL. */
static char **env_file_parse(char *text)
{
    size_t count = 0, lines = 2;
    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    char **entries = calloc(lines, sizeof(*entries));
    if (!entries)
        return NULL;
    char *rest = text, *line;
    while ((line = strsep(&rest, "\n"))) {
        while (isspace((unsigned char)*line))
            line++;
        if (strncmp(line, "export ", 7) == 0)
            line += 7;
        char *equals = strchr(line, '=');
        if (*line == '#' || !equals)
            continue;
        char *value = equals + 1;
        value_trim(&value);
        memmove(equals + 1, value, strlen(value) + 1);
        entries[count++] = line;
    }
    return entries;
}

/* The file's text, NULL if there is none; *failed if it is there and can't be read. */
static char *env_file_read(const char *file, bool *failed)
{
    *failed = false;
    FILE *stream = file ? fopen(file, "re") : NULL;
    if (!stream) {
        *failed = file && errno != ENOENT;
        return NULL;
    }
    char *text = malloc(ENV_FILE_MAX + 1);
    size_t size = text ? fread(text, 1, ENV_FILE_MAX, stream) : 0;
    *failed = !text || ferror(stream) || size == ENV_FILE_MAX;
    (void)fclose(stream);
    if (*failed) {
        free(text);
        return NULL;
    }
    text[size] = '\0';
    return text;
}

int config_load(struct config *config, char *const *environment, const char *file,
                struct config_error *error)
{
    *config = (struct config){0};
    error->message[0] = '\0';
    bool failed;
    int status = 0;
    char *text = env_file_read(file, &failed);
    char **entries = text ? env_file_parse(text) : NULL;
    if (failed || (text && !entries))
        status = refuse(error, "the .env file can't be read");
    for (size_t i = 0; status == 0 && i < config_setting_count; i++) {
        const struct config_setting *setting = &config_settings[i];
        const char *value = environment_get(environment, setting->name);
        if (!value)
            value = environment_get(entries, setting->name);
        if (!value || (!*value && setting->type != CONFIG_TEXT))
            value = setting->standard;
        status = setting_apply(config, setting, value, error);
    }
    if (status == 0 && !*config->tls_cert != !*config->tls_key)
        status = refuse(error, "LUMA_TLS_CERT and LUMA_TLS_KEY belong together: one is empty");
    free(entries);
    free(text);
    return status;
}

void config_finish(struct config *config)
{
    for (size_t i = 0; i < config_setting_count; i++) {
        enum config_type type = config_settings[i].type;
        if (type != CONFIG_TEXT && type != CONFIG_CHOICE)
            continue;
        char **field = (char **)((char *)config + config_settings[i].offset);
        free(*field);
        *field = NULL;
    }
}

void config_print(const struct config *config, FILE *stream)
{
    for (size_t i = 0; i < config_setting_count; i++) {
        const struct config_setting *setting = &config_settings[i];
        const void *field = (const char *)config + setting->offset;
        char text[32];
        const char *value = text;
        if (setting->type == CONFIG_TEXT || setting->type == CONFIG_CHOICE) {
            value = *(char *const *)field;
        } else if (setting->type == CONFIG_BOOLEAN) {
            value = *(const bool *)field ? "1" : "0";
        } else {
            describe_quantity(setting, *(const int64_t *)field, text, sizeof(text));
        }
        if (setting->secret && *value)
            value = "(hidden)";
        (void)fprintf(stream, "%s=%s\n", setting->name, value);
    }
}

void config_help(FILE *stream)
{
    for (size_t i = 0; i < config_setting_count; i++) {
        const struct config_setting *setting = &config_settings[i];
        char expected[160];
        describe_expected(setting, expected, sizeof(expected));
        (void)fprintf(stream, "  %s\n      %s\n      %s; default: %s\n", setting->name,
                      setting->help, expected, *setting->standard ? setting->standard : "(empty)");
    }
}

void config_markdown(FILE *stream)
{
    (void)fputs(
        "# Settings of lumad\n\n"
        "Environment variables, or lines of the file `.env` in the working folder (another\n"
        "one: `LUMA_ENV_FILE`); the environment goes first. A value that isn't valid stops\n"
        "the start with its name. Sizes are bytes, or have a unit (`500MB`, `4GiB`);\n"
        "durations are seconds, or have one (`250ms`, `30s`, `5m`, `1h`, `7d`).\n\n"
        "`lumad --print-config` shows what is in force, `lumad --check-config` checks it.\n"
        "This page is made by `lumad --config-page`.\n\n"
        "| setting | default | what it is |\n|---|---|---|\n",
        stream);
    for (size_t i = 0; i < config_setting_count; i++) {
        const struct config_setting *setting = &config_settings[i];
        char expected[160];
        describe_expected(setting, expected, sizeof(expected));
        for (char *c = expected; *c; c++)
            *c = *c == '|' ? '/' : *c; /* it would end the cell */
        (void)fprintf(stream, "| `%s` | %s%s%s | %s", setting->name, *setting->standard ? "`" : "",
                      *setting->standard ? setting->standard : "empty",
                      *setting->standard ? "`" : "", setting->help);
        if (setting->type != CONFIG_TEXT)
            (void)fprintf(stream, " (%s)", expected);
        if (setting->secret)
            (void)fputs(" (secret: never shown)", stream);
        (void)fputs(" |\n", stream);
    }
}

const char *config_unknown(char *const *environment, size_t *position, char *name, size_t size)
{
    for (char *const *entry = environment + *position; *entry; entry++) {
        ++*position;
        size_t length = strcspn(*entry, "=");
        if (strncmp(*entry, "LUMA_", 5) != 0 || strncmp(*entry, "LUMA_TEST_", 10) == 0 ||
            length >= size)
            continue;
        memcpy(name, *entry, length);
        name[length] = '\0';
        bool known = strcmp(name, "LUMA_ENV_FILE") == 0;
        for (size_t i = 0; i < config_setting_count && !known; i++)
            known = strcmp(name, config_settings[i].name) == 0;
        if (!known)
            return name;
    }
    return NULL;
}
