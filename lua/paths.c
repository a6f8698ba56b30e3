/*
 * The lookup of paths.h. An installed program has its scripts in ../share/luma/scripts; one that
 * was built in the tree lies in build/bin or build/PRESET/bin below the folder that has scripts/.
 */
#include "lua/paths.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* The folder of the running program, without a slash at the end. */
static bool program_folder(char *path, size_t size)
{
    ssize_t length = readlink("/proc/self/exe", path, size - 1);
    if (length <= 0) {
        return false;
    }
    path[length] = '\0';
    char *slash = strrchr(path, '/');
    if (!slash) {
        return false;
    }
    *slash = '\0';
    return true;
}

static const char *find_scripts(char found[PATH_MAX])
{
    static const char *const places[] = {"../share/luma/scripts", "../../scripts",
                                         "../../../scripts"};
    const char *named = getenv("LUMA_SCRIPTS");
    if (named && *named) {
        return named;
    }
    char folder[PATH_MAX];
    if (program_folder(folder, sizeof folder)) {
        for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
            char path[PATH_MAX + 32];
            snprintf(path, sizeof path, "%s/%s", folder, places[i]);
            if (is_folder(path) && realpath(path, found)) {
                return found;
            }
        }
    }
    return NULL;
}

const char *paths_scripts(void)
{
    static char found[PATH_MAX];
    static const char *scripts;
    if (!scripts) {
        scripts = find_scripts(found);
    }
    return scripts;
}

const char *paths_assets(void)
{
    static char found[PATH_MAX + 8];
    const char *named = getenv("LUMA_ASSETS");
    if (named && *named) {
        return named;
    }
    const char *scripts = paths_scripts();
    if (!scripts) {
        return NULL;
    }
    snprintf(found, sizeof found, "%s/assets", scripts);
    return is_folder(found) ? found : NULL;
}
