/*
 * Settings: types, ranges, the .env file, what is hidden, and the errors that stop a start.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/config.h"

static int load(struct config *config, char *setting, const char *file, struct config_error *error)
{
    char *environment[] = {"HOME=/", setting, NULL};
    return config_load(config, environment, file, error);
}

static void test_defaults(void **state)
{
    (void)state;
    struct config config;
    struct config_error error;
    assert_int_equal(load(&config, NULL, NULL, &error), 0);
    assert_string_equal(config.host, "127.0.0.1");
    assert_int_equal(config.port, 8080);
    assert_int_equal(config.health_port, 8081);
    assert_int_equal(config.light_workers, 2);
    assert_int_equal(config.upload_timeout, 60000);
    assert_int_equal(config.job_timeout, 3600000);
    assert_int_equal(config.result_ttl, 3600000);
    assert_int_equal(config.record_ttl, 24 * 3600000);
    assert_int_equal(config.max_inputs, 100);
    assert_int_equal(config.lua_memory, 64000000);
    assert_false(config.allow_anonymous);
    config_finish(&config);
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        char *setting;
        size_t offset;
        int64_t expected;
    } cases[] = {
        {"LUMA_PORT=0", offsetof(struct config, port), 0},
        {"LUMA_MAX_UPLOAD=123", offsetof(struct config, max_upload), 123},
        {"LUMA_MAX_UPLOAD=10GB", offsetof(struct config, max_upload), 10000000000},
        {"LUMA_MAX_UPLOAD=1.5 mb", offsetof(struct config, max_upload), 1500000},
        {"LUMA_MAX_UPLOAD=2MiB", offsetof(struct config, max_upload), 2097152},
        {"LUMA_JOB_TIMEOUT=90", offsetof(struct config, job_timeout), 90000},
        {"LUMA_JOB_TIMEOUT=30s", offsetof(struct config, job_timeout), 30000},
        {"LUMA_JOB_TIMEOUT=5m", offsetof(struct config, job_timeout), 300000},
        {"LUMA_JOB_TIMEOUT=1.5h", offsetof(struct config, job_timeout), 5400000},
        {"LUMA_STALL_TIMEOUT=250ms", offsetof(struct config, stall_timeout), 250},
        {"LUMA_STALL_TIMEOUT=", offsetof(struct config, stall_timeout), 60000},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct config config;
        struct config_error error;
        assert_int_equal(load(&config, cases[i].setting, NULL, &error), 0);
        assert_int_equal(*(int64_t *)((char *)&config + cases[i].offset), cases[i].expected);
        config_finish(&config);
    }
}

static void test_refusals_name_the_setting(void **state)
{
    (void)state;
    static char *const cases[] = {
        "LUMA_PORT=65536",      "LUMA_PORT=-1",           "LUMA_PORT=80x",
        "LUMA_PORT= 80",        "LUMA_PORT=0x50",         "LUMA_MAX_UPLOAD=10 elephants",
        "LUMA_MAX_UPLOAD=-5",   "LUMA_MAX_UPLOAD=0x10",   "LUMA_MAX_UPLOAD=1e300",
        "LUMA_MAX_UPLOAD=nan",  "LUMA_JOB_TIMEOUT=soon",  "LUMA_JOB_TIMEOUT=5 parsecs",
        "LUMA_LOG_LEVEL=loud",  "LUMA_LOG_FORMAT=tex",    "LUMA_ALLOW_ANONYMOUS=maybe",
        "LUMA_LIGHT_WORKERS=0", "LUMA_TLS_CERT=cert.pem",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct config config;
        struct config_error error;
        char name[64];
        (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(cases[i], "="), cases[i]);
        assert_int_equal(load(&config, cases[i], NULL, &error), -1);
        assert_non_null(strstr(error.message, name));
        config_finish(&config);
    }
}

static void test_env_file(void **state)
{
    (void)state;
    char path[] = "/tmp/luma-test-env-XXXXXX";
    int fd = mkstemp(path);
    FILE *file = fdopen(fd, "w");
    assert_non_null(file);
    (void)fputs("# a comment\n\nexport LUMA_HOST=\"10.0.0.1\" # why\nLUMA_PORT=99\n"
                "  LUMA_LOG_LEVEL=debug   # loud\nLUMA_ALLOWED_HOSTS='a # b'\nnonsense\n"
                "LUMA_HEALTH_PORT=77",
                file);
    (void)fclose(file);
    struct config config;
    struct config_error error;
    assert_int_equal(load(&config, "LUMA_PORT=100", path, &error), 0);
    assert_string_equal(config.host, "10.0.0.1");
    assert_int_equal(config.port, 100); /* the environment goes first */
    assert_string_equal(config.log_level, "debug");
    assert_string_equal(config.allowed_hosts, "a # b");
    assert_int_equal(config.health_port, 77);
    config_finish(&config);
    (void)unlink(path);
    assert_int_equal(load(&config, NULL, path, &error), 0); /* no file is no mistake */
    config_finish(&config);
}

static char *printed(const struct config *config)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    assert_non_null(stream);
    config_print(config, stream);
    (void)fclose(stream);
    return text;
}

static void test_print_hides_secrets(void **state)
{
    (void)state;
    struct config config;
    struct config_error error;
    assert_int_equal(load(&config, "LUMA_TOKENS=ann:geheim", NULL, &error), 0);
    char *text = printed(&config);
    assert_null(strstr(text, "geheim"));
    assert_non_null(strstr(text, "LUMA_TOKENS=(hidden)\n"));
    assert_non_null(strstr(text, "LUMA_JOB_TIMEOUT=1h\n"));
    assert_non_null(strstr(text, "LUMA_MAX_UPLOAD=10GB\n"));
    free(text);
    config_finish(&config);
}

/* What --print-config says is a .env file that means the same. */
static void test_print_can_be_read_back(void **state)
{
    (void)state;
    struct config config, again;
    struct config_error error;
    assert_int_equal(load(&config, "LUMA_STALL_TIMEOUT=1500ms", NULL, &error), 0);
    char *text = printed(&config);
    char path[] = "/tmp/luma-test-env-XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    (void)close(fd);
    assert_int_equal(load(&again, NULL, path, &error), 0);
    char *text_again = printed(&again);
    assert_string_equal(text, text_again);
    free(text);
    free(text_again);
    config_finish(&config);
    config_finish(&again);
    (void)unlink(path);
}

static void test_every_setting_is_described(void **state)
{
    (void)state;
    for (size_t i = 0; i < config_setting_count; i++) {
        const struct config_setting *setting = &config_settings[i];
        assert_int_equal(strncmp(setting->name, "LUMA_", 5), 0);
        assert_true(strlen(setting->help) > 5);
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(setting->name, config_settings[k].name);
            assert_int_not_equal(setting->offset, config_settings[k].offset);
        }
    }
}

static void test_unknown_names_are_found(void **state)
{
    (void)state;
    char *environment[] = {"LUMA_PROT=1", "LUMA_PORT=1",   "LUMA_TEST_MEDIA=x",
                           "PATH=y",      "LUMA_WORKER=2", NULL};
    char name[64];
    size_t position = 0;
    assert_string_equal(config_unknown(environment, &position, name, sizeof(name)), "LUMA_PROT");
    assert_string_equal(config_unknown(environment, &position, name, sizeof(name)), "LUMA_WORKER");
    assert_null(config_unknown(environment, &position, name, sizeof(name)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_refusals_name_the_setting),
        cmocka_unit_test(test_env_file),
        cmocka_unit_test(test_print_hides_secrets),
        cmocka_unit_test(test_print_can_be_read_back),
        cmocka_unit_test(test_every_setting_is_described),
        cmocka_unit_test(test_unknown_names_are_found),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
