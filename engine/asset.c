/*
 * Names of assets, and what they lead to.
 */
#include "engine/asset.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_NAME = 200, MAX_BYTES = 64 << 20 };

static const char prefix[] = "asset:";

const char *asset_name(const char *value)
{
    size_t length = sizeof prefix - 1;
    return strncmp(value, prefix, length) == 0 ? value + length : NULL;
}

bool asset_allowed(const char *filter, const char *option)
{
    static const struct {
        const char *filter, *option;
    } readers[] = {
        {"lut1d", "file"},
        {"lut3d", "file"},
        {"curves", "psfile"},
        {"drawtext", "fontfile"},
    };
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++) {
        if (strcmp(filter, readers[i].filter) == 0 && strcmp(option, readers[i].option) == 0)
            return true;
    }
    return false;
}

static bool is_name(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789_-+,. ";
    size_t length = strlen(name);
    if (length == 0 || length > MAX_NAME)
        return false;
    while (true) {
        size_t part = strcspn(name, "/");
        if (part == 0 || *name == '.' || strspn(name, letters) < part)
            return false;
        if (!name[part])
            return true;
        name += part + 1;
    }
}

static int refuse(struct error *e, const char *name, const char *why)
{
    error_set(e, ERROR_INVALID_OPTION, "there is no asset '%.100s'%s", name, why);
    error_place(e, "asset", name, "the name of a file in the assets folder");
    return ERROR_INVALID_OPTION;
}

/* Links followed, and still inside. */
static bool lies_in(const char *folder, const char *path)
{
    char *real_folder = realpath(folder, NULL);
    char *real_path = realpath(path, NULL);
    size_t length = real_folder ? strlen(real_folder) : 0;
    bool inside = real_folder && real_path && strncmp(real_path, real_folder, length) == 0 &&
                  real_path[length] == '/';
    free(real_folder);
    free(real_path);
    return inside;
}

int asset_path(const char *folder, const char *name, char *path, size_t size, struct error *e)
{
    struct stat info;
    if (!is_name(name))
        return refuse(e, name, ": that is no name of one");
    if (!folder)
        return refuse(e, name, ": this machine has no assets folder");
    if (snprintf(path, size, "%s/%s", folder, name) >= (int)size || stat(path, &info) != 0 ||
        !lies_in(folder, path))
        return refuse(e, name, "");
    if (!S_ISREG(info.st_mode))
        return refuse(e, name, ": it is no file");
    if (info.st_size > MAX_BYTES)
        return refuse(e, name, ": it is too large");
    return 0;
}
