/*
 * What isn't understood is no error but ignored, as the RFC wants it.
 */
#include "server/http_range.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

/* Digits at *text, which moves on; -1: there are none, or more than a size has. */
static int64_t take_number(const char **text)
{
    size_t digits = strspn(*text, "0123456789");
    if (digits == 0 || digits > 18)
        return -1;
    int64_t number = 0;
    for (size_t i = 0; i < digits; i++)
        number = number * 10 + ((*text)[i] - '0');
    *text += digits;
    return number;
}

enum http_range http_range_parse(const char *range, int64_t size, int64_t *from, int64_t *end)
{
    static const char unit[] = "bytes=";
    if (strncasecmp(range, unit, sizeof(unit) - 1) != 0)
        return RANGE_WHOLE;
    range += sizeof(unit) - 1;
    range += strspn(range, " \t");
    bool suffix = *range == '-';
    int64_t first = suffix ? 0 : take_number(&range);
    if (first < 0 || *range != '-')
        return RANGE_WHOLE;
    range++;
    bool open = !suffix && !isdigit((unsigned char)*range);
    int64_t last = open ? INT64_MAX - 1 : take_number(&range);
    range += strspn(range, " \t");
    if (last < 0 || *range || (!suffix && last < first))
        return RANGE_WHOLE;
    if (suffix) { /* the last so many */
        *from = last < size ? size - last : 0;
        *end = size;
        return last == 0 || size == 0 ? RANGE_NOWHERE : RANGE_PART;
    }
    *from = first;
    *end = last < size ? last + 1 : size;
    return first < size ? RANGE_PART : RANGE_NOWHERE;
}

bool http_tags_have(const char *list, const char *tag)
{
    size_t length = strlen(tag);
    while (*list) {
        list += strspn(list, ", \t");
        if (*list == '*' && list[1 + strspn(list + 1, " \t")] == '\0')
            return true;
        if (strncmp(list, "W/", 2) == 0)
            list += 2;
        if (strncmp(list, tag, length) == 0)
            return true;
        if (*list == '"') {
            const char *close = strchr(list + 1, '"');
            list = close ? close + 1 : list + strlen(list);
        } else {
            list += strcspn(list, ",");
        }
    }
    return false;
}
