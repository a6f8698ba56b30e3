/*
 * Lines from a terminal; see repl_line.h.
 *
 * libedit reads its characters through read_character(), which waits for input and signals at
 * once. The history is a file of libedit's own format in $XDG_STATE_HOME/luma (else
 * ~/.local/state/luma), written anew beside itself after every statement and moved into its place.
 */
#include "lua/repl_line.h"

#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <limits.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#include "lua/repl_complete.h"
#include "lua/repl_signal.h"
#include "lua/terminal.h"

enum {
    HISTORY_MAX = 1000,           /* statements */
    HISTORY_BYTES = 4 << 20,      /* a larger file isn't read */
    HISTORY_TEXT_MAX = 16 * 1024, /* a longer statement isn't kept */
    SHOWN_MAX = 200,              /* names listed at once */
};

struct repl_line {
    EditLine *editor;
    History *history;
    struct repl *repl;
    const char *begun;
    char history_path[PATH_MAX]; /* "": not kept */
    char text[REPL_MAX_STATEMENT];
};

static struct repl_line *line_of(EditLine *editor)
{
    struct repl_line *line = NULL;
    el_get(editor, EL_CLIENTDATA, &line);
    return line;
}

static char *prompt(EditLine *editor)
{
    static char first[] = "luma> ", more[] = "   -> ";
    return *line_of(editor)->begun ? more : first;
}

/* ---- characters ---- */

/* What signals ask for while a line is edited; false if its reading ends with that. */
static bool obey_signals(EditLine *editor)
{
    if (repl_signals.interrupted || repl_signals.ending) {
        return false;
    }
    if (repl_signals.resized) {
        repl_signals.resized = 0;
        el_resize(editor);
    }
    if (repl_signals.continued) {
        repl_signals.continued = 0;
        el_set(editor, EL_PREP_TERM, 1);
        el_set(editor, EL_REFRESH);
    }
    return true;
}

/* libedit's source of characters: 1, 0 at the end, -1 where reading is to end. */
static int read_character(EditLine *editor, wchar_t *out)
{
    mbstate_t state = {0};
    for (;;) {
        char byte;
        if (!repl_signal_wait(STDIN_FILENO)) {
            if (!obey_signals(editor)) {
                return -1;
            }
            continue;
        }
        ssize_t count = read(STDIN_FILENO, &byte, 1);
        if (count < 0 && (errno == EINTR || errno == EAGAIN)) {
            continue;
        }
        if (count <= 0) {
            return 0;
        }
        size_t length = mbrtowc(out, &byte, 1, &state);
        if (length == (size_t)-2) {
            continue;
        }
        if (length == (size_t)-1) {
            *out = L'?';
        }
        return 1;
    }
}

/* ---- completion ---- */

static size_t common_prefix(const struct repl_completions *found)
{
    size_t length = strlen(found->names[0]);
    for (int i = 1; i < found->count; i++) {
        size_t same = 0;
        while (same < length && found->names[i][same] == found->names[0][same]) {
            same++;
        }
        length = same;
    }
    return length;
}

/* The names in columns, below the line. */
static void list_names(const struct repl_completions *found)
{
    struct terminal terminal;
    terminal_init(&terminal, stdout);
    int shown = found->count < SHOWN_MAX ? found->count : SHOWN_MAX;
    size_t widest = 1;
    for (int i = 0; i < shown; i++) {
        size_t length = strlen(found->names[i]);
        widest = length > widest ? length : widest;
    }
    int columns = terminal.width / (int)(widest + 2);
    columns = columns < 1 ? 1 : columns;
    int rows = (shown + columns - 1) / columns;
    putchar('\n');
    for (int row = 0; row < rows; row++) {
        for (int i = row; i < shown; i += rows) {
            printf("%-*s", i + rows < shown ? (int)widest + 2 : 0, found->names[i]);
        }
        putchar('\n');
    }
    if (shown < found->count) {
        printf("... %d more\n", found->count - shown);
    }
    fflush(stdout);
}

static unsigned char complete(EditLine *editor, int character)
{
    (void)character;
    struct repl_line *line = line_of(editor);
    const LineInfo *info = el_line(editor);
    size_t before = (size_t)(info->cursor - info->buffer), begun = strlen(line->begun);
    if (before == 0 || strspn(info->buffer, " \t") >= before) {
        return el_insertstr(editor, "  ") ? CC_ERROR : CC_REFRESH;
    }
    if (begun + before + 1 >= sizeof line->text) {
        return CC_ERROR;
    }
    memcpy(line->text, line->begun, begun);
    memcpy(line->text + begun, info->buffer, before);
    line->text[begun + before] = '\0';
    struct repl_completions found = {0};
    repl_complete(line->repl, line->text, &found);
    unsigned char result = CC_ERROR;
    if (found.count > 0) {
        size_t length = common_prefix(&found);
        if (length > found.typed) {
            char *rest = strndup(found.names[0] + found.typed, length - found.typed);
            result = rest && el_insertstr(editor, rest) == 0 ? CC_REFRESH : CC_ERROR;
            free(rest);
        } else if (found.count > 1) {
            list_names(&found);
            result = CC_REDISPLAY;
        } else {
            result = CC_NORM;
        }
    }
    repl_completions_finish(&found);
    return result;
}

/* ---- history ---- */

static bool make_folder(const char *path)
{
    struct stat info;
    return mkdir(path, 0700) == 0 || (stat(path, &info) == 0 && S_ISDIR(info.st_mode));
}

/* Finds the history's path and makes its folder; "" if there is no place. */
static void find_history(char *path, size_t size)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char folder[PATH_MAX - 64] = "";
    *path = '\0';
    if (state && *state == '/' && strlen(state) + 32 < sizeof folder) {
        make_folder(state);
        snprintf(folder, sizeof folder, "%s/luma", state);
    } else if (home && *home == '/' && strlen(home) + 32 < sizeof folder) {
        snprintf(folder, sizeof folder, "%s/.local", home);
        make_folder(folder);
        snprintf(folder, sizeof folder, "%s/.local/state", home);
        make_folder(folder);
        snprintf(folder, sizeof folder, "%s/.local/state/luma", home);
    }
    if (*folder && make_folder(folder)) {
        snprintf(path, size, "%s/repl_history", folder);
    }
}

static void load_history(struct repl_line *line)
{
    HistEvent event;
    struct stat info;
    history(line->history, &event, H_SETSIZE, HISTORY_MAX);
    history(line->history, &event, H_SETUNIQUE, 1);
    find_history(line->history_path, sizeof line->history_path);
    if (*line->history_path && stat(line->history_path, &info) == 0 && S_ISREG(info.st_mode) &&
        info.st_size <= HISTORY_BYTES) {
        history(line->history, &event, H_LOAD, line->history_path);
    }
}

static void save_history(const struct repl_line *line)
{
    char beside[PATH_MAX + 16];
    HistEvent event;
    if (!*line->history_path) {
        return;
    }
    snprintf(beside, sizeof beside, "%s.XXXXXX", line->history_path);
    int fd = mkostemp(beside, O_CLOEXEC); /* 0600 */
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (!file) {
        if (fd >= 0) {
            close(fd);
            unlink(beside);
        }
        return;
    }
    bool written = history(line->history, &event, H_SAVE_FP, file) >= 0;
    written = fclose(file) == 0 && written;
    if (!written || rename(beside, line->history_path) != 0) {
        unlink(beside);
    }
}

/* True if the lines of a statement mean the same on one line. */
static bool can_be_joined(const char *statement)
{
    return !strstr(statement, "--") && !strstr(statement, "[[") && !strstr(statement, "[=") &&
           !strstr(statement, "\\\n") && !strstr(statement, "\\z");
}

void repl_line_remember(struct repl_line *line, const char *statement)
{
    HistEvent event;
    char *copy = strlen(statement) <= HISTORY_TEXT_MAX ? strdup(statement) : NULL;
    bool joined = copy && can_be_joined(copy), entered = false;
    for (char *at = joined ? copy : NULL; at && (at = strchr(at, '\n'));) {
        *at = ' ';
    }
    for (char *rest = copy, *text; (text = strsep(&rest, "\n"));) {
        size_t length = strlen(text);
        while (length > 0 && strchr(" \t", text[length - 1])) {
            text[--length] = '\0';
        }
        if (text[strspn(text, " \t")]) {
            history(line->history, &event, H_ENTER, text);
            entered = true;
        }
    }
    free(copy);
    if (entered) {
        save_history(line);
    }
}

/* ---- the line ---- */

int repl_line_create(struct repl_line **out, struct repl *repl, struct error *e)
{
    struct repl_line *line = calloc(1, sizeof *line);
    *out = NULL;
    setlocale(LC_CTYPE, ""); /* what is typed may be UTF-8 */
    if (line) {
        line->repl = repl;
        line->begun = "";
        line->history = history_init();
        line->editor = el_init("luma", stdin, stdout, stderr);
    }
    if (!line || !line->history || !line->editor) {
        repl_line_destroy(&line);
        return error_set(e, ERROR_OUT_OF_MEMORY, "the line editor can't be started");
    }
    load_history(line);
    el_set(line->editor, EL_CLIENTDATA, line);
    el_set(line->editor, EL_PROMPT, prompt);
    el_set(line->editor, EL_EDITOR, "emacs");
    el_set(line->editor, EL_SIGNAL, 0);
    el_set(line->editor, EL_GETCFN, read_character);
    el_set(line->editor, EL_HIST, history, line->history);
    /* the narrow form of this one keeps copies of the names that nothing frees */
    el_wset(line->editor, EL_ADDFN, L"luma-complete", L"complete a name", complete);
    el_set(line->editor, EL_BIND, "^I", "luma-complete", NULL);
    el_set(line->editor, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_source(line->editor, NULL);
    *out = line;
    return 0;
}

void repl_line_destroy(struct repl_line **line)
{
    if (!*line) {
        return;
    }
    if ((*line)->editor) {
        el_end((*line)->editor);
    }
    if ((*line)->history) {
        history_end((*line)->history);
    }
    free(*line);
    *line = NULL;
}

enum repl_line_event repl_line_read(struct repl_line *line, const char *begun, const char **text)
{
    int length = 0;
    line->begun = begun;
    repl_signal_typing(true);
    el_set(line->editor, EL_PREP_TERM,
           1); /* before the prompt: what is typed early isn't shown twice */
    const char *typed = repl_signals.ending ? NULL : el_gets(line->editor, &length);
    el_set(line->editor, EL_PREP_TERM, 0);
    bool interrupted = repl_signals.interrupted;
    repl_signal_typing(false);
    line->begun = "";
    if (interrupted) {
        fputs("^C\n", stdout);
        fflush(stdout);
        return REPL_LINE_CLEARED;
    }
    if (!typed || length <= 0) {
        fputc('\n', stdout);
        fflush(stdout);
        return REPL_LINE_END;
    }
    size_t size = (size_t)length;
    while (size > 0 && (typed[size - 1] == '\n' || typed[size - 1] == '\r')) {
        size--;
    }
    size = size < sizeof line->text ? size : sizeof line->text - 1;
    memcpy(line->text, typed, size);
    line->text[size] = '\0';
    *text = line->text;
    return REPL_LINE_TEXT;
}
