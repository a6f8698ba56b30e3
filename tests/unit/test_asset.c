/*
 * Assets: names that lead to a file in the folder, and all those that must not.
 */
#include "engine/asset.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/policy.h"

static char base[] = "/tmp/luma-asset-XXXXXX";
static char folder[64];

static void write_file(const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", base, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs("x", file);
    assert_int_equal(fclose(file), 0);
}

static void in_base(char *path, const char *name)
{
    snprintf(path, PATH_MAX, "%s/%s", base, name);
}

static int setup(void **state)
{
    char path[PATH_MAX];
    (void)state;
    if (!mkdtemp(base))
        return -1;
    snprintf(folder, sizeof folder, "%s/assets", base);
    in_base(path, "assets/luts");
    if (mkdir(folder, 0755) < 0 || mkdir(path, 0755) < 0)
        return -1;
    write_file("secret.cube");
    write_file("assets/film.cube");
    write_file("assets/.hidden");
    write_file("assets/luts/warm light-2.cube");
    in_base(path, "assets/out.cube");
    if (symlink("../secret.cube", path) < 0)
        return -1;
    in_base(path, "assets/in.cube");
    if (symlink("film.cube", path) < 0)
        return -1;
    in_base(path, "assets/up");
    if (symlink("..", path) < 0)
        return -1;
    in_base(path, "assets-other");
    return mkdir(path, 0755);
}

static int teardown(void **state)
{
    static const char *const files[] = {
        "secret.cube",     "assets/film.cube", "assets/.hidden", "assets/luts/warm light-2.cube",
        "assets/out.cube", "assets/in.cube",   "assets/up"};
    static const char *const folders[] = {"assets/luts", "assets", "assets-other", "."};
    char path[PATH_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        in_base(path, files[i]);
        unlink(path);
    }
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        in_base(path, folders[i]);
        rmdir(strcmp(folders[i], ".") == 0 ? base : path);
    }
    return 0;
}

static void test_found(void **state)
{
    static const char *const names[] = {"film.cube", "luts/warm light-2.cube", "in.cube"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[PATH_MAX];
        struct error e = {0};
        if (asset_path(folder, names[i], path, sizeof path, &e) != 0)
            fail_msg("%s: %s", names[i], e.message);
        assert_int_equal(access(path, R_OK), 0);
    }
}

static void test_refused(void **state)
{
    static const char *const names[] = {
        "",
        ".",
        "..",
        "../secret.cube",
        "luts/../film.cube",
        "/etc/passwd",
        ".hidden",
        "luts//x",
        "luts/",
        "/film.cube",
        "out.cube",
        "up/secret.cube",
        "up",
        "luts",
        "missing.cube",
        "film.cube\n",
        "film:cube",
        "film\\cube",
        "film.cube%s",
        "../assets-other",
    };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[PATH_MAX];
        struct error e = {0};
        if (asset_path(folder, names[i], path, sizeof path, &e) != ERROR_INVALID_OPTION)
            fail_msg("'%s' was taken", names[i]);
        assert_string_equal(e.path, "asset");
        assert_null(strstr(e.message, base));
    }
    char path[PATH_MAX];
    struct error e = {0};
    assert_int_equal(asset_path(NULL, "film.cube", path, sizeof path, &e), ERROR_INVALID_OPTION);
    assert_non_null(strstr(e.message, "no assets folder"));
    char small[8];
    assert_int_equal(asset_path(folder, "film.cube", small, sizeof small, &e),
                     ERROR_INVALID_OPTION);
}

/* Only options that read take a handle, and nothing but a handle. */
static void test_policy(void **state)
{
    static const struct {
        const char *filter, *option, *value;
        bool good;
    } cases[] = {
        {"lut3d", "file", "asset:film.cube", true},
        {"lut1d", "file", "asset:film.cube", true},
        {"curves", "psfile", "asset:film.acv", true},
        {"drawtext", "fontfile", "asset:film.ttf", true},
        {"lut3d", "file", "film.cube", false},
        {"lut3d", "file", "/tmp/asset:film.cube", false},
        {"psnr", "stats_file", "asset:film.cube", false},
        {"ssim", "f", "asset:film.cube", false},
        {"drawtext", "textfile", "asset:film.cube", false},
        {"metadata", "file", "asset:film.cube", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error e = {0};
        if (policy_filter_option(cases[i].filter, cases[i].option, cases[i].value, &e) !=
            cases[i].good)
            fail_msg("%s of %s: %s", cases[i].option, cases[i].filter, cases[i].value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_policy),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
