#include "cli/view_terminal.h"

#include <curses.h>
#include <locale.h>
#include <stdlib.h>

#include "cli/command.h"
#include "cli/out.h"
#include "core/mem.h"

/* Light tints that dark text stands on, where the terminal has 256 colours; else the common eight. */
static void terminal_colours(void) {
    static const short many[] = {229, 222, 215, 209}, few[] = {COLOR_CYAN, COLOR_GREEN, COLOR_YELLOW, COLOR_RED};
    if (!jt_colour(1) || start_color() == ERR) return;
    use_default_colors();
    for (short i = 0; i < 4; i++) init_pair((short)(i + 1), COLOR_BLACK, COLORS >= 256 ? many[i] : few[i]);
}

static attr_t terminal_ink(const jt_cell *c) {
    static const attr_t plain[] = {[JT_INK_PLAIN] = A_NORMAL,
                                   [JT_INK_LEVEL1] = A_UNDERLINE,
                                   [JT_INK_LEVEL2] = A_BOLD,
                                   [JT_INK_LEVEL3] = A_BOLD | A_UNDERLINE,
                                   [JT_INK_LEVEL4] = A_BOLD | A_UNDERLINE | A_BLINK};
    bool colour = jt_colour(1) && has_colors();
    attr_t a = c->here ? A_REVERSE : A_NORMAL;
    if (c->ink == JT_INK_BAR) return a | A_REVERSE;
    if (c->ink == JT_INK_SOFT) return a | A_DIM;
    if (c->ink == JT_INK_STRONG) return a | A_BOLD;
    if (c->ink == JT_INK_PLAIN) return a;
    return colour ? a | (attr_t)COLOR_PAIR(c->ink) | (c->here ? A_BOLD : A_NORMAL)
                  : a | (plain[c->ink] & ~A_BLINK) | (c->ink == JT_INK_LEVEL4 ? A_STANDOUT : A_NORMAL);
}

static void terminal_show(const jt_screen *s) {
    erase();
    for (int r = 0; r < s->rows; r++)
        for (int c = 0; c < s->cols; c++) {
            const jt_cell *x = &s->cell[r * s->cols + c];
            if (!x->s[0]) continue;
            (void)attrset(terminal_ink(x));
            mvaddstr(r, c, x->s);
        }
    refresh();
}

/* Terminals send arrows in either of two ways, whichever the database names. */
static void terminal_arrows(void) {
    static const struct {
        const char *sent;
        int key;
    } arrow[] = {{"\x1b[A", KEY_UP}, {"\x1b[B", KEY_DOWN}, {"\x1b[C", KEY_RIGHT}, {"\x1b[D", KEY_LEFT}};
    for (size_t i = 0; i < sizeof arrow / sizeof *arrow; i++)
        if (key_defined(arrow[i].sent) <= 0) define_key(arrow[i].sent, arrow[i].key);
}

static int terminal_key(int key) {
    switch (key) {
    case KEY_LEFT: return JT_KEY_LEFT;
    case KEY_RIGHT: return JT_KEY_RIGHT;
    case KEY_UP: return JT_KEY_UP;
    case KEY_DOWN: return JT_KEY_DOWN;
    case KEY_HOME: return JT_KEY_HOME;
    case KEY_END: return JT_KEY_END;
    case KEY_PPAGE: return JT_KEY_PAGE_UP;
    case KEY_NPAGE: return JT_KEY_PAGE_DOWN;
    case KEY_ENTER:
    case '\n':
    case '\r': return JT_KEY_ENTER;
    default: return key;
    }
}

/* A screen of the terminal's size; cells are NULL when memory is short. */
static void terminal_size(jt_screen *s) {
    int rows = getmaxy(stdscr), cols = getmaxx(stdscr);
    if (s->cell && rows == s->rows && cols == s->cols) return;
    jt_free(s->cell);
    s->rows = rows, s->cols = cols;
    s->cell = jt_alloc((size_t)rows * (size_t)cols, sizeof *s->cell);
}

int jt_view_terminal(jt_looking *v, void (*take)(void *self, jt_looking *v), void *self) {
    jt_screen s = {0};
    int code = JT_EXIT_OK;
    const char *term = getenv("TERM");
    (void)setlocale(LC_CTYPE, "");
    SCREEN *screen = newterm(term, stdout, stdin);
    if (!screen) {
        jt_say("the terminal \"%s\" is not known; set TERM, or write a page with 'jeton inspect html'", term ? term : "");
        return JT_EXIT_FAILURE;
    }
    set_escdelay(50);
    cbreak(), noecho(), keypad(stdscr, TRUE), curs_set(0);
    terminal_colours();
    terminal_arrows();
    for (;;) {
        terminal_size(&s);
        if (!s.cell) break;
        jt_view_draw(v, &s);
        terminal_show(&s);
        int key = getch();
        if (key == KEY_RESIZE) continue;
        if (key == ERR) break; /* the terminal is gone */
        jt_view_act act = jt_view_press(v, terminal_key(key));
        if (act == JT_VIEW_QUIT) break;
        if (act == JT_VIEW_TAKE && take) {
            snprintf(v->note, sizeof v->note, " going on ...");
            jt_view_draw(v, &s);
            terminal_show(&s);
            v->note[0] = 0;
            take(self, v);
        }
    }
    endwin();
    delscreen(screen);
    if (!s.cell) code = JT_EXIT_FAILURE, jt_say("memory is short");
    jt_free(s.cell);
    return code;
}
