/* view.h: the terminal inspector without a terminal: what the screen shows is a pure
 * function of a jt_looking, what a key does changes the jt_looking alone. Who owns a terminal
 * copies the cells out and the keys in. */
#ifndef JT_INSPECT_VIEW_H
#define JT_INSPECT_VIEW_H

#include <stdbool.h>

#include "jeton/trace.h"

typedef enum jt_view_mode { JT_VIEW_PROBABILITY, JT_VIEW_ENTROPY, JT_VIEW_RANK, JT_VIEW_COST, JT_VIEW_MODES } jt_view_mode;

/* How a cell looks. Levels are 1 to 4, the higher the more remarkable; without colour they are told by underline and bold. */
typedef enum jt_view_ink {
    JT_INK_PLAIN,
    JT_INK_LEVEL1,
    JT_INK_LEVEL2,
    JT_INK_LEVEL3,
    JT_INK_LEVEL4,
    JT_INK_BAR,
    JT_INK_SOFT,
    JT_INK_STRONG
} jt_view_ink;

typedef struct jt_cell {
    char s[5]; /* one character, UTF-8; "": the right half of the one before it */
    unsigned char ink;
    bool here; /* what the cursor is on */
} jt_cell;

typedef struct jt_screen {
    int rows, cols;
    jt_cell *cell; /* [rows * cols] */
} jt_screen;

typedef struct jt_looking {
    const jt_trace *trace;
    const char *name;       /* of the trace, for the title */
    size_t job, answer, at; /* the token that is looked at */
    int candidate;          /* that is pointed at, of jt_view_candidates */
    int column;             /* the first stage that the table shows */
    jt_view_mode mode;
    char note[160]; /* in place of the help; the next key takes it away */
} jt_looking;

/* Keys that are no characters. */
enum {
    JT_KEY_LEFT = 0x110000,
    JT_KEY_RIGHT,
    JT_KEY_UP,
    JT_KEY_DOWN,
    JT_KEY_HOME,
    JT_KEY_END,
    JT_KEY_PAGE_UP,
    JT_KEY_PAGE_DOWN,
    JT_KEY_ENTER
};

typedef enum jt_view_act { JT_VIEW_STAY, JT_VIEW_QUIT, JT_VIEW_TAKE } jt_view_act;

void jt_view_init(jt_looking *v, const jt_trace *t, const char *name);
/* JT_VIEW_TAKE: go on from the token with the candidate that is pointed at. */
jt_view_act jt_view_press(jt_looking *v, int key);
/* Writes every cell. */
void jt_view_draw(const jt_looking *v, jt_screen *s);

const jt_trace_answer *jt_view_answer(const jt_looking *v); /* NULL: the trace has none */
const jt_trace_token *jt_view_token(const jt_looking *v);   /* NULL: the answer has none */
/* The candidates that are told of the token: the model's first, then those that stages brought up. */
enum { JT_VIEW_CANDIDATES = 256 };
int jt_view_candidates(const jt_trace_token *k, int32_t id[JT_VIEW_CANDIDATES]);
/* 0 to 4. */
int jt_view_level(const jt_trace_answer *a, const jt_trace_token *k, jt_view_mode m);

/* The answer as it stands up to token `at`, then `id`, then what the pipeline goes on with: a trace of one job, to `put`. What
 * comes before is decided for, not drawn, and the driver's kept states spare most of its evaluation. */
jt_status jt_trace_continue(const jt_trace_job *j, const jt_trace_answer *a, size_t at, int32_t id, jt_driver *d, const jt_methods *extra,
                            jt_trace_put put, void *self, jt_error *err);

#endif
