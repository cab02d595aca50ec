#include "cli/progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/file.h"

enum { BAR = 30, LINE = 160 };

void jt_progress_begin(jt_progress *p, const char *what) {
    *p = (jt_progress){.what = what, .start = jt_seconds(), .terminal = isatty(STDERR_FILENO)};
}

static void time_left(double seconds, char *out, size_t cap) {
    unsigned s = seconds > 359999 ? 359999 : (unsigned)(seconds + 0.5);
    if (s >= 3600)
        snprintf(out, cap, "%u:%02u:%02u left", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(out, cap, "%u:%02u left", s / 60, s % 60);
}

static int terminal_width(void) {
    struct winsize w;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 ? w.ws_col : 80;
}

void jt_progress_set(jt_progress *p, double fraction, const char *note) {
    if (!p->terminal) return;
    double now = jt_seconds(), took = now - p->start;
    if (took < 0.2 || now - p->drawn_at < 0.1) return;
    if (!(fraction >= 0)) fraction = 0;
    if (fraction > 1) fraction = 1;
    bool begun = fraction > p->from;
    double left = begun ? took * (1 - fraction) / (fraction - p->from) : 0;
    if (!p->drawn && took + left < 1 && (begun || took < 1)) return;

    char bar[BAR + 1], eta[32] = "", line[LINE];
    int full = (int)(fraction * BAR);
    memset(bar, '-', BAR);
    memset(bar, '=', (size_t)full);
    if (full < BAR) bar[full] = '>';
    bar[BAR] = 0;
    if (begun) time_left(left, eta, sizeof eta);
    int n =
        snprintf(line, sizeof line, "%s [%s] %3d%% %s%s%s", p->what, bar, (int)(fraction * 100), eta, note ? "  " : "", note ? note : "");
    int width = terminal_width();
    if (n >= LINE) n = LINE - 1;
    if (n >= width) n = width - 1;
    fprintf(stderr, "\r%.*s\x1b[K", n, line);
    fflush(stderr);
    p->drawn = true;
    p->drawn_at = now;
}

void jt_progress_end(jt_progress *p) {
    if (p->drawn) fputs("\r\x1b[K", stderr), fflush(stderr);
    p->drawn = false;
}
