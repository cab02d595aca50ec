/* parts_show.c: an answer's parts at the terminal, or in a pipe. */
#include <string.h>
#include <unistd.h>

#include "cli/answer.h"
#include "cli/out.h"
#include "cli/parts.h"

jt_parts_show jt_parts_show_new(const char *reasoning, const jt_parts *parts) {
    bool terminal = isatty(STDOUT_FILENO);
    return (jt_parts_show){.parts = parts,
                           .hide = strcmp(reasoning, "hide") == 0 || (strcmp(reasoning, "auto") == 0 && !terminal),
                           .colour = jt_colour(STDOUT_FILENO)};
}

static void parts_put(jt_parts_show *w, const char *s, size_t n) {
    if (!n) return;
    if (!jt_answer_print(s, n)) w->failed = true;
    w->open = s[n - 1] != '\n', w->said = true;
}

static void parts_style(jt_parts_show *w, const char *s) {
    if (w->colour && !jt_out_bytes(s, strlen(s))) w->failed = true;
}

static void parts_leave(jt_parts_show *w) {
    if (!w->inside) return;
    w->inside = false;
    parts_style(w, "\x1b[0m");
    if (w->open) parts_put(w, "\n", 1);
    if (!w->colour) parts_put(w, "</think>\n", 9);
    parts_put(w, "\n", 1);
}

static void parts_enter(jt_parts_show *w) {
    if (w->inside) return;
    if (w->open) parts_put(w, "\n", 1);
    w->inside = true;
    parts_style(w, "\x1b[2m");
    if (!w->colour) parts_put(w, "<think>\n", 8);
}

void jt_parts_print(void *self, jt_reader_part part, size_t call, const char *s, size_t n) {
    jt_parts_show *w = self;
    if (part == JT_PART_REASONING) {
        if (w->hide) return;
        parts_enter(w);
        parts_put(w, s, n);
    } else if (part == JT_PART_CONTENT) {
        parts_leave(w);
        parts_put(w, s, n);
    } else {
        const jt_reader_call c = jt_reader_call_at(w->parts->reader, call);
        parts_leave(w);
        if (w->open) parts_put(w, "\n", 1);
        parts_put(w, "-> ", 3);
        parts_put(w, c.name, strlen(c.name));
        parts_put(w, "(", 1);
        parts_put(w, c.arguments, strlen(c.arguments));
        parts_put(w, ")\n", 2);
    }
    if (!jt_out_flush()) w->failed = true;
}

void jt_parts_show_end(jt_parts_show *w) {
    parts_leave(w);
    if (w->open || !w->said) parts_put(w, "\n", 1);
    w->said = false;
}
