/*
 * What is known of an input before anything is decoded, and what is said of a file that isn't one.
 */
#include "engine_fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/orientation.h"

struct opened {
    struct io_reader *reader;
    AVFormatContext *context;
    struct media *media;
};

static int open_media(struct opened *opened, const char *path, atomic_int *cancel, struct error *e)
{
    *opened = (struct opened){0};
    int code = io_reader_open_file(&opened->reader, path, "clip.mp4", e);
    if (code == 0)
        code = media_open_context(&opened->context, opened->reader, "clip.mp4", cancel, NULL, e);
    if (code == 0)
        code = media_describe(&opened->media, opened->context, "clip.mp4", e);
    return code;
}

static void close_media(struct opened *opened)
{
    media_destroy(&opened->media);
    media_close_context(&opened->context);
    io_reader_close(&opened->reader);
}

static struct opened open_good(const char *path)
{
    struct opened opened;
    struct error e = {0};
    if (open_media(&opened, path, NULL, &e) != 0)
        fail_msg("%s: %s", error_name(e.code), e.message);
    return opened;
}

static void test_description(void **state)
{
    (void)state;
    FILE *chapters = fopen(fixture_path("chapters.txt"), "w");
    assert_non_null(chapters);
    fputs(";FFMETADATA1\ntitle=A film\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=900\ntitle=One\n"
          "[CHAPTER]\nTIMEBASE=1/1000\nSTART=900\nEND=2000\ntitle=Two\n",
          chapters);
    fclose(chapters);
    struct opened opened = open_good(fixture_clip(
        "described.mkv",
        "-f lavfi -i testsrc2=s=320x240:r=30000/1001:d=2 -f lavfi -i sine=d=2:r=44100 -f lavfi -i "
        "sine=d=2:r=48000 -i @chapters.txt -map 0 -map 1 -map 2 -map_metadata 3 -c:v libx264 "
        "-preset ultrafast -pix_fmt yuv420p -vf setsar=4/3,setparams=color_primaries=bt709:"
        "color_trc=bt709:colorspace=bt709 -c:a flac -ac 1 -metadata:s:a:0 language=deu "
        "-metadata:s:a:1 "
        "title=Second -disposition:a:1 default -disposition:a:0 0"));
    const struct media *media = opened.media;
    assert_string_equal(media->label, "clip.mp4");
    assert_non_null(strstr(media->format, "matroska"));
    assert_near(media->duration, 2, 0.05);
    assert_true(media->size > 1000);
    assert_int_equal(media->stream_count, 3);
    assert_int_equal(media->chapter_count, 2);
    assert_string_equal(media->chapters[1].title, "Two");
    assert_near(media->chapters[1].start, 0.9, 1e-9);
    assert_string_equal(av_dict_get(media->metadata, "title", NULL, 0)->value, "A film");

    const struct media_stream *video = &media->streams[0];
    assert_int_equal(video->kind, AVMEDIA_TYPE_VIDEO);
    assert_string_equal(video->codec, "h264");
    assert_int_equal(video->width, 320);
    assert_int_equal(video->display_width, 427);
    assert_int_equal(video->display_height, 240);
    assert_int_equal(video->frame_rate.num, 30000);
    assert_false(video->variable_frame_rate);
    assert_false(video->interlaced);
    assert_int_equal(video->rotation, 0);
    assert_string_equal(video->color.primaries, "bt709");
    assert_false(video->color.hdr);
    assert_int_equal(video->pixel_format, AV_PIX_FMT_YUV420P);

    assert_string_equal(media->streams[1].language, "deu");
    assert_int_equal(media->streams[1].sample_rate, 44100);
    assert_int_equal(media->streams[1].channels, 1);
    assert_string_equal(media->streams[1].layout, "mono");
    assert_string_equal(media->streams[2].title, "Second");

    assert_int_equal(media_best_stream(media, AVMEDIA_TYPE_VIDEO), 0);
    assert_int_equal(media_best_stream(media, AVMEDIA_TYPE_AUDIO), 2); /* by disposition */
    assert_int_equal(media_best_stream(media, AVMEDIA_TYPE_SUBTITLE), -1);
    close_media(&opened);
}

static void test_turned(void **state)
{
    (void)state;
    const char *clip = fixture_clip("av.mp4", CLIP_AV);
    static const int turns[] = {90, 180, 270};
    for (size_t i = 0; i < sizeof turns / sizeof *turns; i++) {
        char name[32];
        snprintf(name, sizeof name, "turned-%d.mp4", turns[i]);
        struct opened opened = open_good(fixture_turned(name, clip, turns[i]));
        const struct media_stream *video = &opened.media->streams[0];
        assert_int_equal(video->rotation, turns[i]);
        assert_false(video->flipped);
        assert_int_equal(video->display_width, turns[i] == 180 ? 320 : 240);
        close_media(&opened);
    }
}

static void test_orientations(void **state)
{
    (void)state;
    enum { ONE = 1 << 16 };
    static const struct {
        int a, b, c, d;
        int rotation;
        bool flipped, transposed;
    } cases[] = {
        {1, 0, 0, 1, 0, false, false},     {0, 1, -1, 0, 90, false, true},
        {-1, 0, 0, -1, 180, false, false}, {0, -1, 1, 0, 270, false, true},
        {1, 0, 0, -1, 0, true, false},     {-1, 0, 0, 1, 180, true, false},
        {0, 1, 1, 0, 90, true, true},      {0, -1, -1, 0, 270, true, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int32_t matrix[9] = {
            cases[i].a * ONE, cases[i].b * ONE, 0, cases[i].c * ONE, cases[i].d * ONE, 0, 0, 0,
            1 << 30};
        const struct orientation *orientation = orientation_of_matrix(matrix);
        assert_int_equal(orientation->rotation, cases[i].rotation);
        assert_int_equal(orientation->flipped, cases[i].flipped);
        assert_int_equal(orientation->transposed, cases[i].transposed);
        assert_int_equal(orientation_is_upright(orientation), i == 0);
        assert_int_equal(orientation->filters[0][0] == NULL, i == 0);
    }
    assert_true(orientation_is_upright(orientation_of_matrix(NULL)));
}

static void test_cover_is_no_video(void **state)
{
    (void)state;
    struct opened opened = open_good(fixture_clip(
        "cover.mp3", "-f lavfi -i sine=d=1:r=44100 -f lavfi -i color=red:s=64x48:d=0.04 -map 0 "
                     "-map 1 -c:a libmp3lame -c:v png -disposition:v attached_pic"));
    assert_int_equal(opened.media->stream_count, 2);
    assert_true(opened.media->streams[1].attached_picture);
    assert_int_equal(media_best_stream(opened.media, AVMEDIA_TYPE_VIDEO), -1);
    close_media(&opened);
}

static const char *write_file(const char *name, const void *bytes, size_t size)
{
    const char *path = fixture_path(name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
    return path;
}

static void test_what_is_no_media(void **state)
{
    (void)state;
    static const char text[] = "Just some words.\nAnd some more.\n";
    static const char playlist[] = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n"
                                   "http://127.0.0.1/secret.ts\n#EXT-X-ENDLIST\n";
    static const char concat[] = "ffconcat version 1.0\nfile /etc/passwd\n";
    char zeros[4096] = {0};
    const struct {
        const char *path;
        int code;
    } cases[] = {
        {write_file("text.mp4", text, sizeof text - 1), ERROR_UNSUPPORTED_MEDIA},
        {write_file("list.m3u8", playlist, sizeof playlist - 1), ERROR_UNSUPPORTED_MEDIA},
        {write_file("list.ffconcat", concat, sizeof concat - 1), ERROR_UNSUPPORTED_MEDIA},
        {write_file("zeros.bin", zeros, sizeof zeros), ERROR_UNSUPPORTED_MEDIA},
        {write_file("empty.bin", "", 0), ERROR_UNSUPPORTED_MEDIA},
        {fixture_folder, ERROR_INVALID_INPUT},
        {"/nonexistent/file", ERROR_INVALID_INPUT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct opened opened;
        struct error e = {0};
        assert_int_equal(open_media(&opened, cases[i].path, NULL, &e), cases[i].code);
        assert_non_null(strstr(e.message, "clip.mp4"));
        assert_null(strstr(e.message, fixture_folder));
        close_media(&opened);
    }
}

/* A tag that says what a track lasts may say anything. */
static void test_absurd_durations(void **state)
{
    (void)state;
    static const char *const tags[] = {"999999999:00:00.00", "00:00:inf         ",
                                       "-9:00:00.000000000", "00:00:1.2.30000000"};
    FILE *file = fopen(
        fixture_clip("tagged.mkv", "-f lavfi -i sine=d=2:r=48000 -c:a flac -metadata title=x"),
        "rb");
    assert_non_null(file);
    static char bytes[400000];
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    char *tag = memmem(bytes, size, "00:00:02.0", 10);
    assert_non_null(tag);
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
        memcpy(tag, tags[i], strlen(tags[i]));
        struct opened opened = open_good(write_file("tagged-anew.mkv", bytes, size));
        assert_near(opened.media->duration, 2, 0.1);
        assert_near(opened.media->streams[0].duration, 2, 0.1);
        close_media(&opened);
    }
}

/* Cut anywhere, a file is corrupt or still good for something, and never a crash. */
static void test_truncated(void **state)
{
    (void)state;
    FILE *file = fopen(fixture_clip("av.mp4", CLIP_AV), "rb");
    assert_non_null(file);
    static char bytes[2000000];
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    for (size_t part = 1; part < 10; part++) {
        struct opened opened;
        struct error e = {0};
        const char *path = write_file("cut.mp4", bytes, size * part / 10);
        int code = open_media(&opened, path, NULL, &e);
        assert_true(code == 0 || code == ERROR_CORRUPT_MEDIA || code == ERROR_UNSUPPORTED_MEDIA);
        close_media(&opened);
    }
}

static void test_cancelled(void **state)
{
    (void)state;
    atomic_int cancel = 1;
    struct opened opened;
    struct error e = {0};
    int code = open_media(&opened, fixture_clip("av.mp4", CLIP_AV), &cancel, &e);
    assert_int_equal(code, ERROR_CANCELLED);
    close_media(&opened);
}

int main(void)
{
    alarm(200);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_description),      cmocka_unit_test(test_turned),
        cmocka_unit_test(test_orientations),     cmocka_unit_test(test_cover_is_no_video),
        cmocka_unit_test(test_what_is_no_media), cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_cancelled),        cmocka_unit_test(test_absurd_durations),
    };
    return cmocka_run_group_tests_name("media", tests, fixture_setup, fixture_teardown);
}
