/*
 * A plan with some inputs for each test, and short ways to add to it.
 */
#ifndef LUMA_TESTS_UNIT_PLAN_FIXTURE_H
#define LUMA_TESTS_UNIT_PLAN_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/plan.h"
#include "tests/unit/plan_clips.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define EDGE(n, p)   ((struct plan_edge){(n), (p)})

static struct clips clips;

/* A plan with the mp4, the mkv, the mp3 and the bitmap subtitles as nodes 0 to 3. */
enum { MP4, MKV, MP3, PGS };

static inline int make_plan(void **state)
{
    struct error e = {0};
    struct plan *plan = plan_create(NULL);
    assert_non_null(plan);
    const struct {
        const char *path, *label;
    } files[] = {{clips.mp4, "holiday.mp4"},
                 {clips.mkv, "clip.mkv"},
                 {clips.mp3, "song.mp3"},
                 {clips.pgs, "bitmap.mkv"}};
    for (size_t i = 0; i < COUNT(files); i++) {
        int node = plan_add_input(plan, files[i].path, files[i].label, NULL, &e);
        if (node != (int)i) {
            fail_msg("%s: %d %s", files[i].label, node, e.message);
        }
    }
    *state = plan;
    return 0;
}

static inline int drop_plan(void **state)
{
    struct plan *plan = *state;
    plan_destroy(&plan);
    assert_null(plan);
    plan_destroy(&plan);
    plan_destroy(NULL);
    return 0;
}

/* A filter over one edge with up to two options. */
static inline int add_filter(struct plan *plan, const char *name, struct plan_edge input,
                             const char *a, const char *a_value, const char *b, const char *b_value,
                             struct error *e)
{
    const struct plan_option options[] = {{a, a_value}, {b, b_value}};
    return plan_add_filter(plan, name, &input, 1, options, (a != NULL) + (b != NULL), e);
}

static inline int add_encode(struct plan *plan, struct plan_edge input, const char *codec,
                             const char *option, const char *value, struct error *e)
{
    const struct plan_option options[] = {{option, value}};
    return plan_add_encode(plan, input, codec, options, option != NULL, e);
}

static inline int add_output(struct plan *plan, const char *name, const char *format,
                             const struct plan_edge *tracks, int count, struct error *e)
{
    const struct plan_output output = {.name = name,
                                       .format = format,
                                       .tracks = tracks,
                                       .track_count = count,
                                       .metadata_from = -1,
                                       .chapters_from = -1};
    return plan_add_output(plan, &output, e);
}

static inline int make_clips(void **state)
{
    (void)state;
    av_log_set_level(AV_LOG_QUIET);
    return clips_init(&clips);
}

static inline int drop_clips(void **state)
{
    (void)state;
    clips_finish(&clips);
    return 0;
}

#define PLAN_TEST(f) cmocka_unit_test_setup_teardown(f, make_plan, drop_plan)

#endif
