#include "cli/line.h"

#include <errno.h>
#include <histedit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/interrupt.h"
#include "core/file.h"
#include "core/mem.h"

enum { HISTORY = 1000 };

struct jt_line {
    bool person, cleared;
    const char *prompt;
    EditLine *el;
    History *history;
    jt_str file; /* of the history; empty: not kept */
};

static const char *show_prompt(EditLine *el) {
    jt_line *l = NULL;
    el_get(el, EL_CLIENTDATA, &l);
    return l && l->prompt ? l->prompt : "";
}

/* Ctrl-C while editing: the line ends, and the reader learns why. */
static unsigned char on_interrupt(EditLine *el, int c) {
    (void)c;
    jt_line *l = NULL;
    el_get(el, EL_CLIENTDATA, &l);
    if (l) l->cleared = true;
    return CC_EOF;
}

/* "$XDG_STATE_HOME/jeton/history" or "~/.local/state/jeton/history"; without a home there is no file. */
static void find_history(jt_str *path) {
    const char *x = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (x && x[0] == '/')
        jt_str_printf(path, "%s/jeton", x);
    else if (home && *home)
        jt_str_printf(path, "%s/.local/state/jeton", home);
    if (path->n && (path->failed || jt_make_folder(path->s, NULL))) jt_str_clear(path);
    if (path->n) jt_str_puts(path, "/history");
}

static jt_status open_editor(jt_line *l, jt_error *err) {
    HistEvent ev;
    l->history = history_init();
    l->el = el_init("jeton", stdin, isatty(STDOUT_FILENO) ? stdout : stderr, stderr);
    if (!l->history || !l->el) return jt_nomem(err, "line editing", 1, sizeof(void *));
    history(l->history, &ev, H_SETSIZE, HISTORY);
    history(l->history, &ev, H_SETUNIQUE, 1);
    el_set(l->el, EL_CLIENTDATA, l);
    el_set(l->el, EL_PROMPT, show_prompt);
    el_set(l->el, EL_EDITOR, "emacs");
    el_set(l->el, EL_HIST, history, l->history);
    el_set(l->el, EL_SIGNAL, 0);
    el_set(l->el, EL_ADDFN, "jeton-interrupt", "Drop the line", on_interrupt);
    el_source(l->el, NULL); /* the user's .editrc */
    el_set(l->el, EL_SETTY, "-d", "intr=", NULL);
    el_set(l->el, EL_BIND, "^C", "jeton-interrupt", NULL);
    el_set(l->el, EL_BIND, "^R", "em-inc-search-prev", NULL);
    find_history(&l->file);
    if (l->file.n && !l->file.failed) history(l->history, &ev, H_LOAD, l->file.s);
    return JT_OK;
}

jt_status jt_line_new(jt_line **out, jt_error *err) {
    jt_line *l = jt_alloc(1, sizeof *l);
    if (!l) return jt_nomem(err, "line editing", 1, sizeof *l);
    l->person = isatty(STDIN_FILENO) && (isatty(STDOUT_FILENO) || isatty(STDERR_FILENO));
    jt_status s = l->person ? open_editor(l, err) : JT_OK;
    if (s)
        jt_line_free(l);
    else
        *out = l;
    return s;
}

void jt_line_free(jt_line *l) {
    if (!l) return;
    HistEvent ev;
    if (l->history && l->file.n && !l->file.failed) {
        FILE *f = fopen(l->file.s, "ae"); /* made with the right mode before libedit writes it */
        if (f) {
            (void)fchmod(fileno(f), 0600);
            fclose(f);
            history(l->history, &ev, H_SAVE, l->file.s);
        }
    }
    if (l->el) el_end(l->el);
    if (l->history) history_end(l->history);
    jt_str_free(&l->file);
    jt_free(l);
}

bool jt_line_person(const jt_line *l) { return l->person; }

static jt_line_result read_person(jt_line *l, jt_str *out, jt_error *err) {
    int n = 0;
    l->cleared = false;
    errno = 0;
    el_resize(l->el);
    const char *s = el_gets(l->el, &n);
    if (l->cleared || (n < 0 && errno == EINTR)) {
        fputs("\n", isatty(STDOUT_FILENO) ? stdout : stderr);
        return jt_interrupt_to_end() ? JT_LINE_END : JT_LINE_CLEARED;
    }
    if (!s || n <= 0) return JT_LINE_END;
    if (s[n - 1] == '\n') n--;
    jt_str_add(out, s, (size_t)n);
    return jt_str_check(out, err) ? JT_LINE_FAILED : JT_LINE_OK;
}

static jt_line_result read_pipe(jt_str *out, jt_error *err) {
    int c;
    bool any = false;
    while ((c = getchar()) != EOF && c != '\n') jt_str_putc(out, (char)c), any = true;
    if (c == EOF && ferror(stdin)) {
        bool signalled = errno == EINTR;
        clearerr(stdin);
        if (signalled) return jt_interrupt_to_end() ? JT_LINE_END : JT_LINE_CLEARED;
        jt_error_set(err, JT_IO, "standard input cannot be read");
        return JT_LINE_FAILED;
    }
    if (c == EOF && !any) return JT_LINE_END;
    return jt_str_check(out, err) ? JT_LINE_FAILED : JT_LINE_OK;
}

jt_line_result jt_line_read(jt_line *l, const char *prompt, jt_str *out, jt_error *err) {
    l->prompt = prompt;
    return l->person ? read_person(l, out, err) : read_pipe(out, err);
}

void jt_line_remember(jt_line *l, const char *text) {
    HistEvent ev;
    if (l->person && *text) history(l->history, &ev, H_ENTER, text);
}
