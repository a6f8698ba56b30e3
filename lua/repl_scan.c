/*
 * See repl_scan.h. One pass forward finds texts, comments and open brackets; what stands before the
 * end is then read backward from there.
 */
#include "lua/repl_scan.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BRACKETS_MAX = 64 };

struct brackets {
    size_t open[BRACKETS_MAX];
    int count;
    size_t last_open, last_close; /* of the bracket that was closed last */
    char quote;                   /* the end is in a text that begins so, or 0 */
    size_t quote_at;
    bool lost; /* in a comment or long text, or too deep */
};

/* Length of a long bracket's opening ("[[", "[==["), or 0. */
static size_t long_bracket(const char *text)
{
    size_t level = *text == '[' ? strspn(text + 1, "=") : 0;
    return *text == '[' && text[1 + level] == '[' ? level + 2 : 0;
}

/* The end of what a long bracket opened; NULL if it has none. */
static const char *long_end(const char *text, size_t opening)
{
    for (const char *at = text + opening; (at = strchr(at, ']')); at++) {
        if (strspn(at + 1, "=") == opening - 2 && at[opening - 1] == ']') {
            return at + opening;
        }
    }
    return NULL;
}

/* Past a comment or long text at `at`; the same place if there is none, NULL if it doesn't end. */
static const char *skip_long(const char *at)
{
    bool comment = at[0] == '-' && at[1] == '-';
    size_t opening = long_bracket(comment ? at + 2 : at);
    if (opening) {
        return long_end(comment ? at + 2 : at, opening);
    }
    return comment ? strchr(at, '\n') : at;
}

/* Past a text between quotes, or NULL. */
static const char *skip_quoted(const char *at)
{
    char quote = *at++;
    while (*at && *at != quote) {
        at += at[0] == '\\' && at[1] ? 2 : 1;
    }
    return *at ? at + 1 : NULL;
}

static void find_brackets(const char *text, struct brackets *found)
{
    for (const char *at = text; *at;) {
        const char *next = skip_long(at);
        if (!next) {
            found->lost = true;
            return;
        }
        if (next != at) {
            at = next;
            continue;
        }
        if (*at == '"' || *at == '\'') {
            next = skip_quoted(at);
            if (!next) {
                found->quote = *at;
                found->quote_at = (size_t)(at - text);
                return;
            }
            at = next;
            continue;
        }
        if (strchr("({[", *at)) {
            if (found->count == BRACKETS_MAX) {
                found->lost = true;
                return;
            }
            found->open[found->count++] = (size_t)(at - text);
        } else if (strchr(")}]", *at) && found->count > 0) {
            found->last_open = found->open[--found->count];
            found->last_close = (size_t)(at - text);
        }
        at++;
    }
}

/* ---- backward ---- */

static bool is_letter(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static size_t skip_spaces(const char *text, size_t end)
{
    while (end > 0 && isspace((unsigned char)text[end - 1])) {
        end--;
    }
    return end;
}

/* The name that ends at `end`; returns where it begins (== end: there is none). */
static size_t read_name(const char *text, size_t end, char name[REPL_NAME_MAX])
{
    size_t begin = end;
    while (begin > 0 && is_letter(text[begin - 1])) {
        begin--;
    }
    snprintf(name, REPL_NAME_MAX, "%.*s", (int)(end - begin), text + begin);
    if (begin < end && isdigit((unsigned char)text[begin])) {
        *name = '\0';
    }
    return begin;
}

/* `a.b[1].c` that ends at `end`, into steps from the last to the first; false if it is more. */
static bool read_steps(const char *text, size_t end, struct repl_scan *scan)
{
    struct repl_step steps[REPL_STEPS_MAX];
    int count = 0;
    while (count < REPL_STEPS_MAX) {
        struct repl_step *step = &steps[count++];
        *step = (struct repl_step){0};
        if (end > 0 && text[end - 1] == ']') {
            size_t begin = end - 1;
            while (begin > 0 && isdigit((unsigned char)text[begin - 1])) {
                begin--;
            }
            if (begin == 0 || text[begin - 1] != '[' || begin == end - 1) {
                return false;
            }
            step->index = strtol(text + begin, NULL, 10);
            end = begin - 1;
            continue;
        }
        end = read_name(text, end, step->name);
        if (!*step->name) {
            return false;
        }
        if (end == 0 || (text[end - 1] != '.' && text[end - 1] != ':')) {
            for (int i = 0; i < count; i++) {
                scan->steps[i] = steps[count - 1 - i];
            }
            scan->step_count = count;
            return true;
        }
        if (text[--end] == ':') {
            return false;
        }
    }
    return false;
}

/* The function that is called by what opens at `open`: `name(`, `x:name{`, `x.name "..."`. */
static void read_callee(const char *text, size_t open, struct repl_scan *scan)
{
    size_t begin = read_name(text, skip_spaces(text, open), scan->callee);
    scan->method = *scan->callee && begin > 0 && text[begin - 1] == ':';
}

/* ---- what surrounds ---- */

/* A text after `key` and "=" in text[from..to), the last of them. */
static void find_setting(const char *text, size_t from, size_t to, const char *key,
                         char value[REPL_NAME_MAX])
{
    size_t length = strlen(key);
    for (size_t i = from; i + length < to; i++) {
        if (strncmp(text + i, key, length) != 0 || is_letter(text[i - 1])) {
            continue;
        }
        const char *at = text + i + length;
        at += strspn(at, " \t\n");
        if (*at++ != '=') {
            continue;
        }
        at += strspn(at, " \t\n");
        if (*at == '"' || *at == '\'') {
            snprintf(value, REPL_NAME_MAX, "%.*s", (int)strcspn(at + 1, "\"'"), at + 1);
        }
    }
}

/* What the innermost open bracket is of: a call's arguments, or a table that is one. */
static void read_surroundings(const char *text, size_t end, const struct brackets *brackets,
                              struct repl_scan *scan)
{
    if (brackets->count == 0) {
        return;
    }
    size_t open = brackets->open[brackets->count - 1];
    size_t before = skip_spaces(text, end);
    if (text[open] == '{') {
        scan->key = before > 0 && strchr("{,;", text[before - 1]);
        find_setting(text, open + 1, end, "codec", scan->codec);
        read_callee(text, open, scan);
        if (*scan->callee || brackets->count < 2) {
            return;
        }
        open = brackets->open[brackets->count - 2];
    }
    if (text[open] != '(') {
        return;
    }
    read_callee(text, open, scan);
    scan->first = before == open + 1;
    const char *at = text + open + 1;
    at += strspn(at, " \t\n");
    if (*at == '"' || *at == '\'') {
        snprintf(scan->operation, REPL_NAME_MAX, "%.*s", (int)strcspn(at + 1, "\"'"), at + 1);
    }
}

static void scan_quoted(const char *text, const struct brackets *brackets, struct repl_scan *scan)
{
    size_t end = skip_spaces(text, brackets->quote_at);
    scan->quoted = true;
    scan->typed = text + brackets->quote_at + 1;
    read_surroundings(text, brackets->quote_at, brackets, scan);
    if (end > 0 && text[end - 1] == '=') {
        read_name(text, skip_spaces(text, end - 1), scan->field);
    } else if (end > 0 && is_letter(text[end - 1])) {
        read_callee(text, end, scan); /* run "compress" */
        scan->first = true;
    }
}

static void scan_name(const char *text, const struct brackets *brackets, struct repl_scan *scan)
{
    size_t size = strlen(text), begin = size;
    while (begin > 0 && is_letter(text[begin - 1])) {
        begin--;
    }
    scan->typed = text + begin;
    char before = '\0';
    if (begin > 0) {
        before = text[begin - 1];
    }
    bool concatenation = begin > 1 && before == '.' && text[begin - 2] == '.';
    if (isdigit((unsigned char)*scan->typed)) {
        scan->nothing = true;
    } else if ((before == '.' && !concatenation) || before == ':') {
        size_t end = begin - 1;
        scan->separator = before;
        if (!read_steps(text, end, scan) && end > 0 && brackets->last_close == end - 1 &&
            text[end - 1] != ']') {
            read_name(text, skip_spaces(text, brackets->last_open), scan->maker);
        }
    } else {
        read_surroundings(text, begin, brackets, scan);
    }
}

void repl_scan(const char *text, struct repl_scan *scan)
{
    struct brackets brackets = {0};
    memset(scan, 0, sizeof *scan);
    scan->typed = text + strlen(text);
    find_brackets(text, &brackets);
    if (brackets.lost) {
        scan->nothing = true;
    } else if (brackets.quote) {
        scan_quoted(text, &brackets, scan);
    } else {
        scan_name(text, &brackets, scan);
    }
}
