/*
 * Files on their way to the user; see delivery.h. One thread, besides the signal handler that may
 * call delivery_discard() just before the process ends.
 */
#include "lua/delivery.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/formats.h"

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static bool exists(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0;
}

/* A device, a pipe, a socket: moving a file there would take it away. */
static bool is_special(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode);
}

/* The input that is the file at path, or NULL. */
static const struct operation_input *input_at(const struct delivery *delivery, const char *path)
{
    struct stat there, input;
    if (stat(path, &there)) {
        return NULL;
    }
    for (int i = 0; i < delivery->input_count; i++) {
        if (stat(delivery->inputs[i].path, &input) == 0 && input.st_dev == there.st_dev &&
            input.st_ino == there.st_ino) {
            return &delivery->inputs[i];
        }
    }
    return NULL;
}

static int check_free(const struct delivery *delivery, const char *path, struct error *e)
{
    if (input_at(delivery, path)) {
        return error_set(e, ERROR_INVALID_OPTION,
                         "the output would replace the input '%s'; give it another name", path);
    }
    if (is_folder(path)) {
        return error_set(e, ERROR_INVALID_OPTION, "'%s' is a folder", path);
    }
    if (is_special(path)) {
        return error_set(e, ERROR_INVALID_OPTION, "'%s' is not a regular file", path);
    }
    if (exists(path) && !delivery->force) {
        return error_set(e, ERROR_INVALID_OPTION, "'%s' is there already; %s overwrites it", path,
                         delivery->how_force ? delivery->how_force : "--force");
    }
    return 0;
}

/* The folder that the target stands in. */
static void choose_place(struct delivery *delivery)
{
    const char *target = delivery->target;
    delivery->folder = !target || is_folder(target);
    if (!target) {
        snprintf(delivery->place, sizeof delivery->place, ".");
        return;
    }
    if (delivery->folder) {
        snprintf(delivery->place, sizeof delivery->place, "%s", target);
        return;
    }
    size_t length = strlen(target);
    while (length > 1 && target[length - 1] == '/') {
        length--;
    }
    while (length > 0 && target[length - 1] != '/') {
        length--;
    }
    while (length > 1 && target[length - 1] == '/') {
        length--;
    }
    snprintf(delivery->place, sizeof delivery->place, "%.*s", length ? (int)length : 1,
             length ? target : ".");
}

int delivery_begin(struct delivery *delivery, struct error *e)
{
    delivery->hidden[0] = '\0';
    delivery->made = 0;
    if (delivery->target && strlen(delivery->target) > PATH_MAX - 300) {
        return error_set(e, ERROR_INVALID_OPTION, "the output's path is too long");
    }
    choose_place(delivery);
    if (!is_folder(delivery->place)) {
        return error_set(e, ERROR_INVALID_OPTION, "there is no folder '%s'", delivery->place);
    }
    if (!delivery->folder) {
        int code = check_free(delivery, delivery->target, e);
        if (code) {
            return code;
        }
    }
    char hidden[PATH_MAX];
    int length = snprintf(hidden, sizeof hidden, "%s/.luma-XXXXXX", delivery->place);
    if (length >= (int)sizeof hidden || !mkdtemp(hidden)) {
        return error_set(e, ERROR_INVALID_OPTION, "nothing can be written in '%s': %s",
                         delivery->place, strerror(errno));
    }
    memcpy(delivery->hidden, hidden, sizeof hidden);
    return 0;
}

/* The format that a name's ending stands for, or NULL. */
static const struct format *format_of_name(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && !strchr(dot, '/') ? format_find(dot + 1) : NULL;
}

int delivery_check_name(const struct delivery *delivery, const char *name, struct error *e)
{
    if (!delivery->target || delivery->folder) {
        return 0;
    }
    const struct format *wanted = format_of_name(delivery->target);
    const struct format *made = format_of_name(name);
    bool same =
        wanted == made || (wanted && made && !made->picture && !strcmp(wanted->muxer, made->muxer));
    if (!wanted || !made || same) {
        return 0;
    }
    return error_set(e, ERROR_INVALID_OPTION,
                     "%s makes %s here, and '%s' says %s; end the name in .%s", delivery->operation,
                     made->name, delivery->target, wanted->name, made->name);
}

int delivery_check_count(const struct delivery *delivery, struct error *e)
{
    if (!delivery->target || delivery->folder || !format_of_name(delivery->target)) {
        return 0;
    }
    return error_set(e, ERROR_INVALID_OPTION,
                     "%s makes several files here, and '%s' is the name of one; name a folder",
                     delivery->operation, delivery->target);
}

int delivery_path(struct delivery *delivery, int index, char *path, size_t size)
{
    if (index < 0 || index >= DELIVERY_FILES_MAX) {
        return ERROR_LIMIT_EXCEEDED;
    }
    if (index >= delivery->made) {
        delivery->made = index + 1;
    }
    int length = snprintf(path, size, "%s/%d", delivery->hidden, index);
    return length < (int)size ? 0 : ERROR_INTERNAL;
}

/* A name with something put before its extension. */
static void rename_with(char *out, size_t size, const char *name, const char *more)
{
    const char *dot = strrchr(name, '.');
    int stem = dot && dot != name ? (int)(dot - name) : (int)strlen(name);
    snprintf(out, size, "%.*s-%s%s", stem, name, more, name + stem);
}

/* True if an output before `count` already goes to path. */
static bool taken(const json_t *outputs, size_t count, const char *path)
{
    for (size_t i = 0; i < count; i++) {
        const char *other = json_string_value(json_object_get(json_array_get(outputs, i), "path"));
        if (other && !strcmp(other, path)) {
            return true;
        }
    }
    return false;
}

/* Where output `index` goes: a name of the script's that is an input's, or another output's, is
 * changed; a file that is there and isn't ours to replace is an error. */
static int choose_path(const struct delivery *delivery, const json_t *outputs, size_t index,
                       char *path, size_t size, struct error *e)
{
    const char *folder = delivery->target ? delivery->target : "";
    const char *separator = *folder && folder[strlen(folder) - 1] != '/' ? "/" : "";
    const char *name = json_string_value(json_object_get(json_array_get(outputs, index), "name"));
    if (!name || !*name || strchr(name, '/') || strlen(name) > 250) {
        return error_set(e, ERROR_INTERNAL, "an output has no usable name");
    }
    snprintf(path, size, "%s%s%s", folder, separator, name);
    char other[PATH_MAX];
    if (input_at(delivery, path)) {
        rename_with(other, sizeof other, name, delivery->operation);
        snprintf(path, size, "%s%s%s", folder, separator, other);
    }
    for (int n = 2; taken(outputs, index, path) && n <= DELIVERY_FILES_MAX + 1; n++) {
        char number[16];
        snprintf(number, sizeof number, "%d", n);
        rename_with(other, sizeof other, name, number);
        snprintf(path, size, "%s%s%s", folder, separator, other);
    }
    return check_free(delivery, path, e);
}

/* Decides on all paths before any file is moved. */
static int choose_paths(struct delivery *delivery, json_t *outputs, struct error *e)
{
    size_t count = json_array_size(outputs);
    bool single = count == 1 && !delivery->folder;
    if (!single && !delivery->folder) {
        if (exists(delivery->target)) {
            return error_set(e, ERROR_INVALID_OPTION,
                             "the job made %zu files and '%s' is not a folder", count,
                             delivery->target);
        }
        if (count && mkdir(delivery->target, 0777)) {
            return error_set(e, ERROR_INVALID_OPTION, "the folder '%s' can't be made: %s",
                             delivery->target, strerror(errno));
        }
    }
    for (size_t i = 0; i < count; i++) {
        char path[PATH_MAX + 512];
        if (single) {
            snprintf(path, sizeof path, "%s", delivery->target);
        }
        int code = single ? check_free(delivery, path, e)
                          : choose_path(delivery, outputs, i, path, sizeof path, e);
        if (code) {
            return code;
        }
        if (json_object_set_new(json_array_get(outputs, i), "path", json_string(path))) {
            return error_set(e, ERROR_INTERNAL, "the name of an output is not UTF-8");
        }
    }
    return 0;
}

int delivery_commit(struct delivery *delivery, json_t *outputs, struct error *e)
{
    int code = choose_paths(delivery, outputs, e);
    size_t i;
    json_t *output;
    json_array_foreach(outputs, i, output)
    {
        char from[PATH_MAX + 16];
        json_t *index = json_object_get(output, "index");
        const char *path = json_string_value(json_object_get(output, "path"));
        if (code) {
            return code;
        }
        snprintf(from, sizeof from, "%s/%lld", delivery->hidden,
                 json_is_integer(index) ? (long long)json_integer_value(index) : (long long)i);
        if (rename(from, path)) {
            code = error_set(e, ERROR_INTERNAL, "'%s' can't be written: %s", path, strerror(errno));
        }
    }
    return code;
}

/* Decimal digits of a number, without stdio. */
static void digits(char text[16], int number)
{
    char reversed[16];
    int length = 0;
    do {
        reversed[length++] = (char)('0' + number % 10);
        number /= 10;
    } while (number && length < 15);
    for (int i = 0; i < length; i++) {
        text[i] = reversed[length - 1 - i];
    }
    text[length] = '\0';
}

void delivery_discard(struct delivery *delivery)
{
    if (!delivery->hidden[0]) {
        return;
    }
    int folder = open(delivery->hidden, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0) {
        for (int i = 0; i < delivery->made; i++) {
            char name[16];
            digits(name, i);
            unlinkat(folder, name, 0);
        }
        close(folder);
    }
    rmdir(delivery->hidden);
    delivery->hidden[0] = '\0';
}
