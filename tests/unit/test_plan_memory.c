/*
 * A plan without memory: every allocation that the planning half makes fails once, in turn. The
 * linker sends the calls through here (--wrap); libav's own allocations are not touched, only the
 * calls that make its objects.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/plan.h"
#include "engine/plan_internal.h"
#include "tests/unit/plan_clips.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Allocations until one fails; below zero none does. */
static int left = -1;

static bool fails(void)
{
    return left >= 0 && left-- == 0;
}

#define WRAP(type, name, parameters, arguments)                                                    \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        return fails() ? NULL : __real_##name arguments;                                           \
    }

WRAP(void *, malloc, (size_t size), (size))
WRAP(void *, calloc, (size_t count, size_t size), (count, size))
WRAP(void *, realloc, (void *old, size_t size), (old, size))
WRAP(char *, strdup, (const char *text), (text))
WRAP(AVFilterGraph *, avfilter_graph_alloc, (void), ())
WRAP(AVFilterContext *, avfilter_graph_alloc_filter,
     (AVFilterGraph * graph, const AVFilter *filter, const char *name), (graph, filter, name))
WRAP(AVCodecContext *, avcodec_alloc_context3, (const AVCodec *codec), (codec))

static struct clips clips;

/* Everything that a plan can do, up to the first failure. */
static int build(struct plan *plan, struct error *e)
{
    const struct plan_option scale[] = {{"w", "160"}, {"h", "-2"}};
    const struct plan_option crf[] = {{"crf", "30"}, {"title", "x"}};
    const double times[] = {1, 0};
    int code = plan_add_input(plan, clips.mp4, "clip.mp4", NULL, e);
    code = code < 0 ? code : plan_add_range(plan, 0, 0, 1, e);
    code = code < 0 ? code : plan_add_pick(plan, (struct plan_edge){0, 0}, times, 2, false, e);
    code =
        code < 0 ? code : plan_add_filter(plan, "scale", &(struct plan_edge){1, 0}, 1, scale, 2, e);
    code = code < 0 ? code : plan_add_encode(plan, (struct plan_edge){3, 0}, "h264", crf, 2, e);
    code = code < 0 ? code : plan_add_copy(plan, (struct plan_edge){1, 1}, "null", crf + 1, 1, e);
    const struct plan_edge tracks[] = {{4, 0}, {5, 0}};
    const struct plan_output output = {.format = "mp4",
                                       .tracks = tracks,
                                       .track_count = 2,
                                       .metadata_from = 0,
                                       .chapters_from = -1};
    code = code < 0 ? code : plan_add_output(plan, &output, e);
    static const enum plan_style styles[] = {PLAN_STYLE_TEXT, PLAN_STYLE_DOT, PLAN_STYLE_FFMPEG};
    for (size_t i = 0; i < COUNT(styles) && code >= 0; i++) {
        char *text = NULL;
        code = plan_explain(plan, NULL, 0, styles[i], &text, e);
        assert_int_equal(code < 0, text == NULL);
        free(text);
    }
    if (code >= 0) {
        assert_true(plan_cost(plan, NULL, 0) > 0);
    }
    return code;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    int failures = 0;
    for (int n = 0;; n++) {
        struct error e = {0};
        left = n;
        struct plan *plan = plan_create(NULL);
        int code = plan ? build(plan, &e) : ERROR_OUT_OF_MEMORY;
        bool all_made = left >= 0;
        left = -1;
        plan_destroy(&plan);
        if (all_made) {
            assert_true(code >= 0);
            break;
        }
        failures += code < 0;
        /* A few make only a text shorter, or the estimate careful. */
        if (code < 0 && (code != ERROR_OUT_OF_MEMORY || (e.code && e.code != code))) {
            fail_msg("allocation %d: %d, '%s'", n, code, e.message);
        }
    }
    assert_true(failures > 25);
}

static int make_clips(void **state)
{
    (void)state;
    av_log_set_level(AV_LOG_QUIET);
    return clips_init(&clips);
}

static int drop_clips(void **state)
{
    (void)state;
    clips_finish(&clips);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, make_clips, drop_clips);
}
