/*
 * The texts that stand for times, bit rates, sizes and colours, read and shown.
 *
 * Numbers are read by hand: strtod obeys the locale, and takes "inf", "nan" and "0x1p3" as well.
 */
#include <libavutil/parseutils.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lua/schema_internal.h"

#define MAX_DIGITS 15 /* a double holds any decimal number of so many digits */

/* Digits with an optional fraction; moves *text behind them. */
static bool read_decimal(const char **text, bool fraction, double *value)
{
    const char *at = *text;
    int digits = 0;
    double number = 0;

    for (; *at >= '0' && *at <= '9'; at++, digits++) {
        number = number * 10 + (*at - '0');
    }
    if (digits == 0 || digits > MAX_DIGITS) {
        return false;
    }
    if (fraction && *at == '.') {
        double unit = 1;
        double part = 0;
        int places = 0;
        for (at++; *at >= '0' && *at <= '9'; at++, places++) {
            if (digits + places < MAX_DIGITS) {
                part = part * 10 + (*at - '0');
                unit *= 10;
            }
        }
        if (places == 0) {
            return false;
        }
        number += part / unit;
    }
    *value = number;
    *text = at;
    return true;
}

bool schema_read_time(const char *text, double *seconds)
{
    const char *at = text;
    bool negative = *at == '-';
    double total = 0;

    if (negative) {
        at++;
    }
    for (int field = 0; field < 3; field++) {
        double value;
        if (field > 0 && strspn(at, "0123456789") > 2) {
            return false;
        }
        if (!read_decimal(&at, true, &value) || (field > 0 && value >= 60)) {
            return false;
        }
        total = total * 60 + value;
        if (*at == '\0') {
            *seconds = negative ? -total : total;
            return true;
        }
        /* only the last field has a fraction */
        if (*at != ':' || memchr(text, '.', (size_t)(at - text))) {
            return false;
        }
        at++;
    }
    return false;
}

bool schema_read_percent(const char *text, double *percent)
{
    const char *at = text;
    return read_decimal(&at, true, percent) && strcmp(at, "%") == 0 && *percent <= 100;
}

bool schema_read_decibel(const char *text, double *factor)
{
    const char *at = text + (*text == '-' || *text == '+');
    double decibel;

    if (!read_decimal(&at, true, &decibel)) {
        return false;
    }
    at += *at == ' ';
    *factor = pow(10, (*text == '-' ? -decibel : decibel) / 20);
    return strcmp(at, "dB") == 0;
}

struct suffix {
    const char *text;
    double factor;
};

static bool read_scaled(const char *text, const struct suffix *table, bool exact_case,
                        int64_t *value)
{
    const char *at = text;
    double number;

    if (!read_decimal(&at, true, &number)) {
        return false;
    }
    for (; table->text; table++) {
        if ((exact_case ? strcmp(at, table->text) : strcasecmp(at, table->text)) != 0) {
            continue;
        }
        number *= table->factor;
        if (number > 9e15) {
            return false;
        }
        *value = llround(number);
        return true;
    }
    return false;
}

bool schema_read_bitrate(const char *text, int64_t *bits)
{
    static const struct suffix suffixes[] = {
        {"", 1}, {"k", 1e3}, {"K", 1e3}, {"M", 1e6}, {"G", 1e9}, {NULL, 0},
    };
    return read_scaled(text, suffixes, true, bits);
}

bool schema_read_size(const char *text, int64_t *bytes)
{
    static const struct suffix suffixes[] = {
        {"", 1},
        {"B", 1},
        {"k", 1e3},
        {"kB", 1e3},
        {"M", 1e6},
        {"MB", 1e6},
        {"G", 1e9},
        {"GB", 1e9},
        {"T", 1e12},
        {"TB", 1e12},
        {"Ki", 1024.0},
        {"KiB", 1024.0},
        {"Mi", 1048576.0},
        {"MiB", 1048576.0},
        {"Gi", 1073741824.0},
        {"GiB", 1073741824.0},
        {"Ti", 1099511627776.0},
        {"TiB", 1099511627776.0},
        {NULL, 0},
    };
    return read_scaled(text, suffixes, false, bytes);
}

bool schema_read_color(const char *text)
{
    if (*text == '#') {
        size_t digits = strspn(text + 1, "0123456789abcdefABCDEF");
        return (digits == 6 || digits == 8) && text[1 + digits] == '\0';
    }
    size_t letters = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    if (letters == 0 || letters > 24 || text[letters] != '\0') {
        return false;
    }
    /* libavutil knows these as well; what they give changes from call to call */
    if (strcasecmp(text, "random") == 0 || strcasecmp(text, "bikeshed") == 0) {
        return false;
    }
    uint8_t rgba[4];
    return av_parse_color(rgba, text, -1, NULL) >= 0;
}

void schema_show_number(double value, char *text, size_t size)
{
    snprintf(text, size, "%.12g", value);
    char *comma = strchr(text, ',');
    if (comma) {
        *comma = '.';
    }
}

/* The length of text, cut to at most limit bytes, never inside a UTF-8 sequence. */
static size_t cut_utf8(const char *text, size_t limit)
{
    size_t length = strnlen(text, limit + 1);
    if (length <= limit) {
        return length;
    }
    length = limit;
    while (length > 0 && ((unsigned char)text[length] & 0xC0) == 0x80) {
        length--;
    }
    return length;
}

void schema_show(const json_t *value, char *text, size_t size)
{
    switch (json_typeof(value)) {
    case JSON_STRING: {
        const char *string = json_string_value(value);
        size_t limit = size > 16 ? size - 16 : 0;
        if (limit > 80) {
            limit = 80;
        }
        size_t length = cut_utf8(string, limit);
        snprintf(text, size, "\"%.*s%s\"", (int)length, string, string[length] ? "..." : "");
        break;
    }
    case JSON_INTEGER:
        snprintf(text, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        break;
    case JSON_REAL:
        schema_show_number(json_real_value(value), text, size);
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        snprintf(text, size, "%s", json_is_true(value) ? "true" : "false");
        break;
    case JSON_NULL:
        snprintf(text, size, "nothing");
        break;
    case JSON_ARRAY:
        snprintf(text, size, "a list");
        break;
    case JSON_OBJECT:
        snprintf(text, size, "an object");
        break;
    }
}
