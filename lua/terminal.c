/*
 * The bar and the lines of terminal.h. One thread; writes only to the stream that it was given.
 */
#include "lua/terminal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { LINE_SECONDS = 5, BAR_LEAST = 10, BAR_MOST = 40 };

static int columns(int fd)
{
    struct winsize window;
    if (ioctl(fd, TIOCGWINSZ, &window) == 0 && window.ws_col > 0) {
        return window.ws_col;
    }
    const char *named = getenv("COLUMNS");
    long width = named ? strtol(named, NULL, 10) : 0;
    return width >= 20 && width <= 1000 ? (int)width : 80;
}

void terminal_init(struct terminal *terminal, FILE *stream)
{
    int fd = fileno(stream);
    const char *kind = getenv("TERM");
    const char *no_color = getenv("NO_COLOR");
    *terminal = (struct terminal){.stream = stream, .width = columns(fd)};
    terminal->tty = isatty(fd) && !(kind && !strcmp(kind, "dumb"));
    terminal->color = terminal->tty && !(no_color && *no_color);
}

const char *terminal_style(const struct terminal *terminal, enum terminal_style style)
{
    static const char *const codes[] = {
        [TERMINAL_BOLD] = "\033[1m",
        [TERMINAL_DIM] = "\033[2m",
        [TERMINAL_RED] = "\033[31m",
        [TERMINAL_GREEN] = "\033[32m",
    };
    return terminal->color ? codes[style] : "";
}

const char *terminal_plain(const struct terminal *terminal)
{
    return terminal->color ? "\033[0m" : "";
}

void terminal_clock(char *text, size_t size, double seconds)
{
    if (!isfinite(seconds) || seconds < 0 || seconds > 1e8) {
        snprintf(text, size, "?");
        return;
    }
    long whole = lround(seconds);
    if (whole >= 3600) {
        snprintf(text, size, "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
    } else {
        snprintf(text, size, "%ld:%02ld", whole / 60, whole % 60);
    }
}

void terminal_size(char *text, size_t size, double bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    int unit = 0;
    while (bytes >= 999.5 && unit < 4) {
        bytes /= 1000;
        unit++;
    }
    snprintf(text, size, unit && bytes < 99.95 ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
}

void terminal_progress_init(struct terminal_progress *bar, struct terminal *terminal,
                            const char *title)
{
    *bar = (struct terminal_progress){.terminal = terminal, .title = title};
}

/* "12.3 of 30.0 s, 3.1x, 0:06 left", as much of it as is known. */
static void describe(char *text, size_t size, const struct pipeline_progress *now)
{
    char left[32] = "", total[32] = "", speed[32] = "";
    if (isfinite(now->duration)) {
        snprintf(total, sizeof total, " of %.1f", now->duration);
    }
    if (now->elapsed > 0.2 && now->time > 0) {
        snprintf(speed, sizeof speed, ", %.2gx", now->time / now->elapsed);
    }
    if (now->elapsed > 0.5 && now->percent >= 1) {
        char clock[24];
        terminal_clock(clock, sizeof clock, now->elapsed * (100 - now->percent) / now->percent);
        snprintf(left, sizeof left, ", %s left", clock);
    }
    snprintf(text, size, "%.1f%s s%s%s", isfinite(now->time) ? now->time : 0, total, speed, left);
}

static void draw(struct terminal_progress *bar, const struct pipeline_progress *now)
{
    const struct terminal *terminal = bar->terminal;
    char detail[160], percent[16];
    describe(detail, sizeof detail, now);
    if (isfinite(now->percent)) {
        snprintf(percent, sizeof percent, "%3.0f %%", now->percent);
    } else {
        snprintf(percent, sizeof percent, "  ? %%");
    }
    int room = terminal->width - (int)(strlen(bar->title) + strlen(detail) + strlen(percent)) - 8;
    int length = room > BAR_MOST ? BAR_MOST : room;
    fprintf(terminal->stream, "\r\033[K%s ", bar->title);
    if (length >= BAR_LEAST) {
        int full = isfinite(now->percent) ? (int)(now->percent * length / 100) : 0;
        fprintf(terminal->stream, "[%s", terminal_style(terminal, TERMINAL_GREEN));
        for (int i = 0; i < length; i++) {
            fputc(i < full ? '=' : i == full ? '>' : ' ', terminal->stream);
        }
        fprintf(terminal->stream, "%s] ", terminal_plain(terminal));
    }
    fprintf(terminal->stream, "%s  %s", percent, detail);
    fflush(terminal->stream);
    bar->drawn = true;
}

void terminal_progress_show(struct terminal_progress *bar, const struct pipeline_progress *now)
{
    if (bar->terminal->tty) {
        draw(bar, now);
        return;
    }
    if (now->elapsed - bar->said < LINE_SECONDS) {
        return;
    }
    bar->said = now->elapsed;
    char detail[160];
    describe(detail, sizeof detail, now);
    if (isfinite(now->percent)) {
        fprintf(bar->terminal->stream, "%s: %.0f %%, %s\n", bar->title, now->percent, detail);
    } else {
        fprintf(bar->terminal->stream, "%s: %s\n", bar->title, detail);
    }
    fflush(bar->terminal->stream);
}

void terminal_progress_clear(struct terminal_progress *bar)
{
    if (bar->drawn) {
        fputs("\r\033[K", bar->terminal->stream);
        fflush(bar->terminal->stream);
        bar->drawn = false;
    }
}
