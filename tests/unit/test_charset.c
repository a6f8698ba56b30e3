/*
 * Charsets of text subtitles: every common one comes out as the same UTF-8.
 */
#include "engine/charset.h"

#include <iconv.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define EVENT(number, text)                                                                        \
    number "\r\n00:00:0" number ",000 --> 00:00:0" number ",900\r\n" text "\r\n\r\n"

static const char russian[] = EVENT("1", "Съешь же ещё этих мягких французских булок")
    EVENT("2", "да выпей чаю, и не забудь выключить свет") EVENT("3", "Где здесь вокзал?");
static const char polish[] = EVENT("1", "Zażółć gęślą jaźń, proszę pana, już się ściemnia")
    EVENT("2", "Pchnąć w tę łódź jeża lub ośm skrzyń fig") EVENT("3", "Dziękuję, świetnie!");
static const char czech[] = EVENT("1", "Kam teď jdeš, příteli?")
    EVENT("2", "Nevím, jsem velmi unavený, šťastný člověče.") EVENT("3", "Dobrou noc.");
static const char german[] = EVENT("1", "Zwölf Boxkämpfer jagen Viktor quer über den großen Deich")
    EVENT("2", "Fräulein, können Sie mir überhaupt hören?") EVENT("3", "Größe ist schön");
static const char japanese[] = EVENT("1", "左に見えるのは古い町の景色です")
    EVENT("2", "右に見えるのは新しい駅でございます") EVENT("3", "どうもありがとうございました");
static const char chinese[] = EVENT("1", "我们明天早上去北京看长城,你们来不来?")
    EVENT("2", "这个城市的历史非常悠久,值得一看") EVENT("3", "谢谢你们的帮助,再见");
static const char traditional[] = EVENT("1", "我們明天早上去臺北看電影,你們來不來?")
    EVENT("2", "這個城市的歷史非常悠久,值得一看") EVENT("3", "謝謝你們的幫助,再見");
static const char korean[] = EVENT("1", "우리는 내일 아침에 서울에 갑니다")
    EVENT("2", "이 도시의 역사는 아주 오래되었습니다") EVENT("3", "도와주셔서 감사합니다");

static struct io_reader *reader_of(const void *bytes, size_t size)
{
    char path[] = "/tmp/luma-charset-XXXXXX";
    struct io_reader *reader = NULL;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), (ssize_t)size);
    close(fd);
    assert_int_equal(io_reader_open_file(&reader, path, "x.srt", NULL), 0);
    unlink(path);
    return reader;
}

static size_t encode(const char *charset, const char *text, char *out, size_t room)
{
    iconv_t converter = iconv_open(charset, "UTF-8");
    assert_true(converter != (iconv_t)-1); // NOLINT(performance-no-int-to-ptr)
    char *in = (char *)text;
    char *to = out;
    size_t left = strlen(text);
    size_t size = room;
    assert_int_equal(iconv(converter, &in, &left, &to, &size), 0);
    iconv_close(converter);
    return room - size;
}

/* Translates and reads all; true if it was left as it is. */
static bool translate(const void *bytes, size_t size, char *out, size_t room)
{
    struct error e = {0};
    struct io_reader *reader = reader_of(bytes, size);
    struct io_reader *before = reader;
    assert_int_equal(charset_translate(&reader, "x.srt", &e), 0);
    bool same = reader == before;
    int got = reader->read_at(reader, (uint8_t *)out, (int)room - 1, 0);
    assert_true(got >= 0);
    out[got] = '\0';
    assert_int_equal(reader->size(reader), got);
    assert_int_equal(reader->read_at(reader, (uint8_t *)out, 1, got), 0);
    io_reader_close(&reader);
    return same;
}

static void test_charsets(void **state)
{
    static const struct {
        const char *charset, *text;
    } cases[] = {
        {"UTF-16LE", russian},     {"UTF-16BE", german},    {"UTF-16LE", japanese},
        {"WINDOWS-1251", russian}, {"KOI8-R", russian},     {"ISO-8859-5", russian},
        {"WINDOWS-1250", polish},  {"WINDOWS-1250", czech}, {"ISO-8859-2", polish},
        {"WINDOWS-1252", german},  {"ISO-8859-1", german},  {"SHIFT_JIS", japanese},
        {"EUC-JP", japanese},      {"GBK", chinese},        {"GB18030", chinese},
        {"BIG5", traditional},     {"EUC-KR", korean},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char bytes[4096];
        char out[4096];
        size_t size = encode(cases[i].charset, cases[i].text, bytes, sizeof bytes);
        if (translate(bytes, size, out, sizeof out))
            fail_msg("%s was left as it is", cases[i].charset);
        if (strcmp(out, cases[i].text) != 0)
            fail_msg("%s came out as\n%s", cases[i].charset, out);
    }
}

static void test_marks(void **state)
{
    static const struct {
        const char *charset, *mark;
        size_t length;
    } cases[] = {{"UTF-16LE", "\xFF\xFE", 2},
                 {"UTF-16BE", "\xFE\xFF", 2},
                 {"UTF-32LE", "\xFF\xFE\0\0", 4},
                 {"UTF-32BE", "\0\0\xFE\xFF", 4}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char bytes[8192];
        char out[8192];
        memcpy(bytes, cases[i].mark, cases[i].length);
        size_t size = encode(cases[i].charset, japanese, bytes + cases[i].length, 8000);
        assert_false(translate(bytes, size + cases[i].length, out, sizeof out));
        assert_string_equal(out, japanese);
    }
}

static void test_untouched(void **state)
{
    static const char binary[] = "\x1A\x45\xDF\xA3 --> \x01\x02 WEBVTT";
    static const char prose[] = "Gr\xFC\xDF"
                                "e, but no subtitle anywhere";
    char out[4096];
    (void)state;
    assert_true(translate(russian, strlen(russian), out, sizeof out));
    assert_true(translate("\xEF\xBB\xBFWEBVTT\n", 10, out, sizeof out));
    assert_true(translate(binary, sizeof binary, out, sizeof out));
    assert_true(translate(prose, sizeof prose - 1, out, sizeof out));
    assert_true(translate("", 0, out, sizeof out));
}

/* A few wrong bytes don't make another charset of UTF-8. */
static void test_damaged_utf8(void **state)
{
    char bytes[4096];
    char out[4096];
    (void)state;
    snprintf(bytes, sizeof bytes, "%s4\n00:00:04,000 --> 00:00:05,000\nx\xFFy\n", russian);
    assert_false(translate(bytes, strlen(bytes), out, sizeof out));
    assert_non_null(strstr(out, "мягких"));
    assert_non_null(strstr(out, "x\xEF\xBF\xBDy"));
    /* cut in the middle of a character */
    size_t size = encode("UTF-16LE", japanese, bytes, sizeof bytes);
    assert_false(translate(bytes, size - 9, out, sizeof out));
    assert_non_null(strstr(out, "ございま"));
}

static void test_too_large(void **state)
{
    size_t size = (size_t)CHARSET_MAX_BYTES + 1000;
    char *bytes = malloc(size);
    struct error e = {0};
    (void)state;
    assert_non_null(bytes);
    memset(bytes, 'x', size);
    memcpy(bytes, russian, sizeof russian - 1);
    struct io_reader *reader = reader_of(bytes, size);
    free(bytes);
    assert_int_equal(charset_translate(&reader, "x.srt", &e), ERROR_LIMIT_EXCEEDED);
    assert_non_null(strstr(e.message, "x.srt"));
    io_reader_close(&reader);
}

static void test_warm(void **state)
{
    (void)state;
    charset_warm();
    charset_warm();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_charsets),  cmocka_unit_test(test_marks),
        cmocka_unit_test(test_untouched), cmocka_unit_test(test_damaged_utf8),
        cmocka_unit_test(test_too_large), cmocka_unit_test(test_warm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
