/* Random access points: a few bytes of every codec, whole and cut short at every place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <libavutil/mem.h>
#include <stdlib.h>
#include <string.h>

#include "engine/access.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

struct sample {
    const char *what;
    enum AVCodecID codec;
    bool lengths; /* NAL units with a length in front, as in MP4 */
    bool point;
    uint8_t bytes[32];
    int size;
};

static const struct sample samples[] = {
    {"h264: IDR behind its headers",
     AV_CODEC_ID_H264,
     false,
     true,
     {0, 0, 0, 1, 0x67, 9, 0, 0, 1, 0x68, 9, 0, 0, 1, 0x65, 0x88},
     16},
    {"h264: IDR behind a unit of nothing",
     AV_CODEC_ID_H264,
     false,
     true,
     {0, 0, 1, 0, 0, 1, 0x65, 0x88},
     8},
    {"h264: IDR in mp4", AV_CODEC_ID_H264, true, true, {0, 0, 0, 1, 9, 0, 0, 0, 2, 0x65, 0x88}, 11},
    {"h264: a picture with a recovery point",
     AV_CODEC_ID_H264,
     true,
     true,
     {0, 0, 0, 5, 6, 6, 1, 0x84, 0x80, 0, 0, 0, 2, 0x41, 0x88},
     15},
    {"h264: recovery after several pictures",
     AV_CODEC_ID_H264,
     true,
     false,
     {0, 0, 0, 5, 6, 6, 1, 0x44, 0x80, 0, 0, 0, 2, 0x41, 0x88},
     15},
    {"h264: another message before",
     AV_CODEC_ID_H264,
     true,
     true,
     {0, 0, 0, 7, 6, 1, 1, 0, 6, 1, 0x84, 0, 0, 0, 2, 0x41, 0x88},
     17},
    {"h264: a picture without a word", AV_CODEC_ID_H264, false, false, {0, 0, 1, 0x41, 0x88}, 5},
    {"h264: a message longer than it is",
     AV_CODEC_ID_H264,
     true,
     false,
     {0, 0, 0, 5, 6, 1, 200, 6, 1, 0, 0, 0, 2, 0x41, 0x88},
     15},
    {"h264: a length past the end", AV_CODEC_ID_H264, true, false, {0, 0, 9, 9, 0x65}, 5},
    {"hevc: IDR", AV_CODEC_ID_HEVC, false, true, {0, 0, 1, 0x26, 1, 9}, 6},
    {"hevc: CRA behind a parameter set",
     AV_CODEC_ID_HEVC,
     true,
     true,
     {0, 0, 0, 2, 0x40, 1, 0, 0, 0, 3, 0x2A, 1, 9},
     13},
    {"hevc: a trailing picture", AV_CODEC_ID_HEVC, false, false, {0, 0, 1, 0x02, 1, 9}, 6},
    {"mpeg2: sequence header, I picture",
     AV_CODEC_ID_MPEG2VIDEO,
     false,
     true,
     {0, 0, 1, 0xB3, 9, 9, 9, 0, 0, 1, 0, 0, 0x08, 9},
     14},
    {"mpeg2: I picture alone", AV_CODEC_ID_MPEG2VIDEO, false, false, {0, 0, 1, 0, 0, 0x08, 9}, 7},
    {"mpeg2: P picture",
     AV_CODEC_ID_MPEG2VIDEO,
     false,
     false,
     {0, 0, 1, 0xB3, 9, 9, 9, 0, 0, 1, 0, 0, 0x10, 9},
     14},
    {"mpeg4: I picture", AV_CODEC_ID_MPEG4, false, true, {0, 0, 1, 0xB6, 0x10, 9}, 6},
    {"mpeg4: P picture", AV_CODEC_ID_MPEG4, false, false, {0, 0, 1, 0xB6, 0x50, 9}, 6},
    {"vp8: key", AV_CODEC_ID_VP8, false, true, {0x10, 9}, 2},
    {"vp8: inter", AV_CODEC_ID_VP8, false, false, {0x11, 9}, 2},
    {"vp9: key", AV_CODEC_ID_VP9, false, true, {0x82, 0x49}, 2},
    {"vp9: inter", AV_CODEC_ID_VP9, false, false, {0x86, 0x49}, 2},
    {"vp9: one shown again", AV_CODEC_ID_VP9, false, false, {0x88}, 1},
    {"vp9: key of profile 3", AV_CODEC_ID_VP9, false, true, {0xB1, 0x49}, 2},
    {"vp9: inter of profile 3", AV_CODEC_ID_VP9, false, false, {0xB2, 0x49}, 2},
    {"vp9: something else", AV_CODEC_ID_VP9, false, false, {0x02, 0x49}, 2},
    {"av1: key behind its header",
     AV_CODEC_ID_AV1,
     false,
     true,
     {0x12, 0, 0x0A, 2, 9, 9, 0x32, 2, 0x10, 9},
     10},
    {"av1: key without header", AV_CODEC_ID_AV1, false, false, {0x12, 0, 0x32, 2, 0x10, 9}, 6},
    {"av1: key that isn't shown",
     AV_CODEC_ID_AV1,
     false,
     false,
     {0x12, 0, 0x0A, 2, 9, 9, 0x32, 2, 0x00, 9},
     10},
    {"av1: inter", AV_CODEC_ID_AV1, false, false, {0x0A, 2, 9, 9, 0x32, 2, 0x30, 9}, 8},
    {"av1: a size past the end", AV_CODEC_ID_AV1, false, false, {0x0A, 200, 1, 9, 0x32}, 5},
    {"prores: any", AV_CODEC_ID_PRORES, false, true, {9}, 1},
};

static struct access judge(const struct sample *sample)
{
    struct access access;
    uint8_t extra[32] = {1};
    extra[4] = extra[21] = 3;
    AVCodecParameters parameters = {
        .codec_id = sample->codec,
        .extradata = sample->lengths ? extra : NULL,
        .extradata_size = sample->lengths ? (int)sizeof extra : 0,
    };
    assert_true(access_init(&access, &parameters));
    return access;
}

static void points_are_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(samples); i++) {
        struct access access = judge(&samples[i]);
        uint8_t bytes[32];
        memcpy(bytes, samples[i].bytes, sizeof bytes);
        AVPacket packet = {.data = bytes, .size = samples[i].size, .flags = AV_PKT_FLAG_KEY};
        if (access_is_point(&access, &packet) != samples[i].point)
            fail_msg("%s", samples[i].what);
        bool recovers = strcmp(samples[i].what, "h264: a picture with a recovery point") == 0 ||
                        strcmp(samples[i].what, "h264: another message before") == 0;
        assert_int_equal(access_is_fresh(&access, &packet), samples[i].point && !recovers);
        packet.flags = 0; /* a container that doesn't call it a keyframe knows why */
        assert_int_equal(access_is_point(&access, &packet), access.intra_only);
    }
}

/* Under the address sanitizer: each in memory of its own, of just that size. */
static void cut_short(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(samples); i++) {
        struct access access = judge(&samples[i]);
        for (int size = 0; size < samples[i].size; size++) {
            uint8_t *bytes = malloc((size_t)size + !size);
            assert_non_null(bytes);
            memcpy(bytes, samples[i].bytes, (size_t)size);
            AVPacket packet = {.data = bytes, .size = size, .flags = AV_PKT_FLAG_KEY};
            access_is_point(&access, &packet);
            access_is_packed(&access, &packet);
            free(bytes);
        }
    }
}

static void packed_packets_are_told(void **state)
{
    (void)state;
    struct access access;
    AVCodecParameters parameters = {.codec_id = AV_CODEC_ID_MPEG4};
    uint8_t bytes[] = {0, 0, 1, 0xB6, 0x50, 9, 0, 0, 1, 0xB6, 0x90, 9};
    AVPacket packet = {.data = bytes, .size = sizeof bytes};
    assert_true(access_init(&access, &parameters));
    assert_true(access_is_packed(&access, &packet));
    packet.size = 6;
    assert_false(access_is_packed(&access, &packet));
    access.codec = AV_CODEC_ID_MPEG2VIDEO;
    packet.size = sizeof bytes;
    assert_false(access_is_packed(&access, &packet));
}

static void codecs_that_are_not_known(void **state)
{
    (void)state;
    struct access access;
    AVCodecParameters parameters = {.codec_id = AV_CODEC_ID_VC1};
    uint8_t bytes[] = {1};
    AVPacket packet = {.data = bytes, .size = 1, .flags = AV_PKT_FLAG_KEY};
    assert_false(access_init(&access, &parameters));
    assert_true(access_is_point(&access, &packet));
    parameters.codec_id = AV_CODEC_ID_THEORA;
    assert_true(access_init(&access, &parameters));
    assert_true(access_is_point(&access, &packet));
}

/* 00 00 01 B8, a time code of 25 bits, closed_gop. */
static void closed_groups_are_told(void **state)
{
    (void)state;
    uint8_t bytes[] = {0, 0, 1, 0xB3, 9, 9, 9, 0, 0, 1, 0xB8, 0, 8, 0, 0x40, 0, 0, 1, 0, 0, 8, 9};
    AVPacket packet = {.data = bytes, .size = (int)sizeof bytes, .flags = AV_PKT_FLAG_KEY};
    struct access access;
    const AVCodecParameters mpeg2 = {.codec_id = AV_CODEC_ID_MPEG2VIDEO};
    const AVCodecParameters mpeg4 = {.codec_id = AV_CODEC_ID_MPEG4};
    assert_true(access_init(&access, &mpeg2));
    assert_true(access_is_closed(&access, &packet));
    for (int size = 0; size < 15; size++) {
        packet.size = size;
        assert_false(access_is_closed(&access, &packet)); /* cut off */
    }
    packet.size = (int)sizeof bytes;
    bytes[14] = 0x3F;
    assert_false(access_is_closed(&access, &packet));
    bytes[14] = 0x40;
    assert_true(access_init(&access, &mpeg4));
    assert_false(access_is_closed(&access, &packet));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(points_are_told),
        cmocka_unit_test(closed_groups_are_told),
        cmocka_unit_test(cut_short),
        cmocka_unit_test(packed_packets_are_told),
        cmocka_unit_test(codecs_that_are_not_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
