/*
 * Which charset a text of subtitles is in, and its translation: uchardet guesses, iconv converts.
 */
#include "engine/charset.h"

#include <errno.h>
#include <iconv.h>
#include <libavutil/avstring.h>
#include <libavutil/macros.h>
#include <stdlib.h>
#include <string.h>
#include <uchardet/uchardet.h>

enum {
    HEAD_BYTES = 16 << 10, /* in which a text of subtitles shows what it is */
    MAX_GROWTH = 3,        /* of a translation: from one byte to three */
    REPLACEMENT_BYTES = 3, /* U+FFFD in UTF-8 */
    DAMAGE_RATIO = 20,     /* good sequences to a bad one in UTF-8 that is only damaged */
    GUESS_BYTES = 1 << 20, /* more than this uchardet needn't see */
};

struct text {
    uint8_t *bytes;
    size_t size;
};

/* ---- a reader over memory ---- */

struct text_reader {
    struct io_reader base;
    struct text text;
};

static int text_read_at(struct io_reader *reader, uint8_t *buffer, int size, int64_t offset)
{
    const struct text *text = &((struct text_reader *)reader)->text;
    if (offset < 0 || (uint64_t)offset >= text->size)
        return 0;
    size_t count = FFMIN((size_t)size, text->size - (size_t)offset);
    memcpy(buffer, text->bytes + offset, count);
    return (int)count;
}

static int64_t text_size(struct io_reader *reader)
{
    return (int64_t)((struct text_reader *)reader)->text.size;
}

static void text_close(struct io_reader *reader)
{
    free(((struct text_reader *)reader)->text.bytes);
    free(reader);
}

/* Reads from the beginning as much as there is, at most `most` bytes. */
static int read_start(struct io_reader *reader, struct text *text, size_t most, const char *label,
                      struct error *e)
{
    *text = (struct text){.bytes = malloc(most)};
    if (!text->bytes)
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory to read '%s'", label);
    int got = 1;
    while (got > 0 && text->size < most) {
        got = reader->read_at(reader, text->bytes + text->size, (int)(most - text->size),
                              (int64_t)text->size);
        text->size += got > 0 ? (size_t)got : 0;
    }
    if (got < 0) {
        free(text->bytes);
        *text = (struct text){0};
        return error_set_av(e, ERROR_CORRUPT_MEDIA, got, "can't read '%s'", label);
    }
    return 0;
}

/* ---- what it is ---- */

static const struct {
    const char *mark;
    size_t length;
    const char *charset;
} marks[] = {
    {"\xFF\xFE\0\0", 4, "UTF-32LE"}, {"\0\0\xFE\xFF", 4, "UTF-32BE"}, {"\xFF\xFE", 2, "UTF-16LE"},
    {"\xFE\xFF", 2, "UTF-16BE"},     {"\xEF\xBB\xBF", 3, "UTF-8"},
};

/* UTF-16 without a mark: the digits and line ends of its times have zero bytes, all on one side. */
static const char *wide_charset(const struct text *head)
{
    size_t zeros[2] = {0, 0};
    for (size_t i = 0; i < head->size; i++)
        zeros[i & 1] += head->bytes[i] == 0;
    size_t half = head->size / 2;
    if (zeros[1] > half / 8 && zeros[0] == 0)
        return "UTF-16LE";
    if (zeros[0] > half / 8 && zeros[1] == 0)
        return "UTF-16BE";
    return NULL;
}

static const char *plain_charset(const struct text *head)
{
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        if (head->size >= marks[i].length &&
            memcmp(head->bytes, marks[i].mark, marks[i].length) == 0)
            return marks[i].charset;
    }
    return wide_charset(head);
}

/* Only the characters that are ASCII, and how wide they stand. False if it can't be text. */
static bool skeleton(const struct text *head, const char *charset, char *out)
{
    size_t width = charset && strncmp(charset, "UTF-16", 6) == 0 ? 2 : 1;
    if (charset && strncmp(charset, "UTF-32", 6) == 0)
        width = 4;
    bool big = charset && av_strstart(charset + strlen(charset) - 2, "BE", NULL);
    size_t length = 0;
    for (size_t i = 0; i + width <= head->size; i += width) {
        uint32_t unit = 0;
        for (size_t k = 0; k < width; k++)
            unit = unit << 8 | head->bytes[big ? i + k : i + width - 1 - k];
        /* 0x1A ended texts once, 0x1B begins a shift of ISO-2022. */
        if (unit < ' ' && !strchr("\t\r\n\f\x1A\x1B", (int)unit))
            return false;
        if (unit == 0)
            return false;
        if (unit < 0x80)
            out[length++] = (char)unit;
    }
    out[length] = '\0';
    return true;
}

/* "{12}{34}" and "[12][34]" at the beginning of a line: MicroDVD and MPL2 */
static bool has_frame_numbers(const char *text)
{
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        const char *p = line;
        int pairs = 0;
        while ((*p == '{' || *p == '[') && p[1] >= '0' && p[1] <= '9') {
            p += 1 + strspn(p + 1, "0123456789");
            if (*p != '}' && *p != ']')
                break;
            p++;
            pairs++;
        }
        if (pairs >= 2)
            return true;
    }
    return false;
}

static bool is_subtitles(const struct text *head, const char *charset)
{
    static const char *const signs[] = {"-->",      "[Script Info]", "WEBVTT",
                                        "<SAMI",    "<sami",         "[INFORMATION]",
                                        "Dialogue", "<window",       "<Window"};
    char *text = malloc(head->size + 1);
    bool found = false;
    if (text && skeleton(head, charset, text)) {
        for (size_t i = 0; i < sizeof signs / sizeof *signs && !found; i++)
            found = strstr(text, signs[i]) != NULL;
        found = found || has_frame_numbers(text);
    }
    free(text);
    return found;
}

/* ---- which charset ---- */

/* 1 if all of it is well-formed, 0 if it is UTF-8 with damage, -1 if it is something else. */
static int check_utf8(const struct text *text)
{
    const uint8_t *p = text->bytes;
    const uint8_t *end = p + text->size;
    size_t good = 0;
    size_t bad = 0;
    while (p < end) {
        int32_t code = 0;
        const uint8_t *before = p;
        if (*p < 0x80) {
            p++;
        } else if (av_utf8_decode(&code, &p, end, 0) < 0) {
            p = before + 1;
            bad++;
        } else {
            good++;
        }
    }
    if (bad == 0)
        return 1;
    return good > bad * DAMAGE_RATIO ? 0 : -1;
}

/* POSIX has no other way to say that there is none. */
static bool is_open(iconv_t converter)
{
    return converter != (iconv_t)-1; // NOLINT(performance-no-int-to-ptr)
}

/* What is control characters in ISO 8859 is letters in its sisters of Windows, which are far more
 * common; texts have none of the former. */
static void prefer_windows(const struct text *text, char *name, size_t size)
{
    static const struct {
        const char *iso, *windows;
    } sisters[] = {
        {"ISO-8859-1", "WINDOWS-1252"},  {"ISO-8859-2", "WINDOWS-1250"},
        {"ISO-8859-4", "WINDOWS-1257"},  {"ISO-8859-7", "WINDOWS-1253"},
        {"ISO-8859-8", "WINDOWS-1255"},  {"ISO-8859-9", "WINDOWS-1254"},
        {"ISO-8859-13", "WINDOWS-1257"}, {"ISO-8859-15", "WINDOWS-1252"},
    };
    bool controls = false;
    for (size_t i = 0; i < text->size && !controls; i++)
        controls = text->bytes[i] >= 0x80 && text->bytes[i] < 0xA0;
    for (size_t i = 0; controls && i < sizeof sisters / sizeof *sisters; i++) {
        if (av_strcasecmp(name, sisters[i].iso) == 0) {
            av_strlcpy(name, sisters[i].windows, size);
            return;
        }
    }
}

/* The guess is written to name; Windows-1252 where there is none that can be used. */
static void guess_charset(const struct text *text, char *name, size_t size)
{
    uchardet_t guess = uchardet_new();
    av_strlcpy(name, "", size);
    if (guess && uchardet_handle_data(guess, (const char *)text->bytes,
                                      FFMIN(text->size, (size_t)GUESS_BYTES)) == 0) {
        uchardet_data_end(guess);
        av_strlcpy(name, uchardet_get_charset(guess), size);
    }
    if (guess)
        uchardet_delete(guess);
    prefer_windows(text, name, size);
    iconv_t known = iconv_open("UTF-8", *name ? name : "ASCII");
    if (!is_open(known) || !*name || av_strcasecmp(name, "ASCII") == 0)
        av_strlcpy(name, "WINDOWS-1252", size);
    if (is_open(known))
        iconv_close(known);
}

/* ---- translating ---- */

static void put_replacement(char **out, size_t *room)
{
    if (*room < REPLACEMENT_BYTES)
        return;
    memcpy(*out, "\xEF\xBF\xBD", REPLACEMENT_BYTES);
    *out += REPLACEMENT_BYTES;
    *room -= REPLACEMENT_BYTES;
}

/* Into a buffer that holds whatever comes of it. */
static void convert(iconv_t converter, const struct text *from, struct text *to, size_t step)
{
    char *in = (char *)from->bytes;
    char *out = (char *)to->bytes;
    size_t left = from->size;
    size_t room = to->size;
    while (left > 0 && iconv(converter, &in, &left, &out, &room) == (size_t)-1 && left > 0) {
        if (errno == E2BIG)
            break;
        put_replacement(&out, &room);
        size_t skip = FFMIN(step, left);
        in += skip;
        left -= skip;
    }
    iconv(converter, NULL, NULL, &out, &room); /* a letter that might have got an accent yet */
    to->size -= room;
    if (to->size >= 3 && memcmp(to->bytes, "\xEF\xBB\xBF", 3) == 0)
        memmove(to->bytes, to->bytes + 3, to->size -= 3);
}

static int translate(const struct text *from, const char *charset, struct io_reader **out,
                     const char *label, struct error *e)
{
    struct text_reader *reader = calloc(1, sizeof *reader);
    iconv_t converter = iconv_open("UTF-8", charset);
    size_t room = from->size * MAX_GROWTH + 16;
    if (!is_open(converter)) {
        free(reader);
        return error_set(e, ERROR_UNSUPPORTED_MEDIA,
                         "'%s' is written in %s, which can't be read here", label, charset);
    }
    uint8_t *bytes = malloc(room);
    if (!reader || !bytes) {
        iconv_close(converter);
        free(reader);
        free(bytes);
        return error_set(e, ERROR_OUT_OF_MEMORY, "no memory to read '%s'", label);
    }
    reader->text = (struct text){bytes, room};
    size_t step = strncmp(charset, "UTF-16", 6) == 0 ? 2 : 1;
    convert(converter, from, &reader->text, strncmp(charset, "UTF-32", 6) == 0 ? 4 : step);
    iconv_close(converter);
    uint8_t *fitted = realloc(bytes, reader->text.size + 1);
    reader->text.bytes = fitted ? fitted : bytes;
    reader->base = (struct io_reader){text_read_at, text_size, text_close};
    *out = &reader->base;
    return 0;
}

static int translate_whole(struct io_reader **reader, const char *charset, const char *label,
                           struct error *e)
{
    struct text text = {0};
    struct io_reader *translated = NULL;
    char guessed[64];
    int code = read_start(*reader, &text, CHARSET_MAX_BYTES + 1, label, e);
    if (code < 0)
        return code;
    if (text.size > CHARSET_MAX_BYTES) {
        code = error_set(e, ERROR_LIMIT_EXCEEDED, "'%s' has more than %d MB of text", label,
                         CHARSET_MAX_BYTES >> 20);
    } else if (!charset || strcmp(charset, "UTF-8") == 0) {
        int fits = check_utf8(&text);
        if (fits < 0)
            guess_charset(&text, guessed, sizeof guessed);
        if (fits <= 0)
            code = translate(&text, fits < 0 ? guessed : "UTF-8", &translated, label, e);
    } else {
        code = translate(&text, charset, &translated, label, e);
    }
    free(text.bytes);
    if (translated) {
        io_reader_close(reader);
        *reader = translated;
    }
    return code;
}

int charset_translate(struct io_reader **reader, const char *label, struct error *e)
{
    struct text head;
    int code = read_start(*reader, &head, HEAD_BYTES, label, e);
    if (code < 0)
        return code;
    const char *charset = plain_charset(&head);
    bool text = is_subtitles(&head, charset);
    free(head.bytes);
    return text ? translate_whole(reader, charset, label, e) : 0;
}

void charset_warm(void)
{
    static const char *const names[] = {
        "UTF-16LE",     "UTF-16BE",     "UTF-32LE",     "UTF-32BE",     "WINDOWS-1250",
        "WINDOWS-1251", "WINDOWS-1252", "WINDOWS-1253", "WINDOWS-1254", "WINDOWS-1255",
        "WINDOWS-1256", "WINDOWS-1257", "WINDOWS-1258", "ISO-8859-1",   "ISO-8859-2",
        "ISO-8859-3",   "ISO-8859-4",   "ISO-8859-5",   "ISO-8859-6",   "ISO-8859-7",
        "ISO-8859-8",   "ISO-8859-9",   "ISO-8859-10",  "ISO-8859-11",  "ISO-8859-13",
        "ISO-8859-15",  "ISO-8859-16",  "KOI8-R",       "IBM852",       "IBM855",
        "IBM865",       "IBM866",       "TIS-620",      "VISCII",       "MAC-CYRILLIC",
        "SHIFT_JIS",    "EUC-JP",       "ISO-2022-JP",  "GB18030",      "GBK",
        "BIG5",         "EUC-TW",       "EUC-KR",       "UHC",          "ISO-2022-KR",
    };
    /* Open for ever: closing the last converter of a charset could unload it. */
    static iconv_t kept[sizeof names / sizeof *names];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!kept[i])
            kept[i] = iconv_open("UTF-8", names[i]);
    }
}
