/* view_draw.c: what the inspector shows where.
 *
 *   a line that says what is looked at
 *   the tokens, about a third of the rows, with the cursor's in sight
 *   a line on the token, one on the draw, one on the stages
 *   the candidates: probability and logit by the model, then the logit after each stage
 *   a line of keys */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/str.h"
#include "inspect/trace.h"
#include "inspect/view.h"

/* ---- cells ---- */

/* Columns of a character: 2 for what East Asian scripts and pictures take, 0 for what joins the one before. */
static int draw_width(uint32_t c) {
    if ((c >= 0x300 && c < 0x370) || c == 0x200B || c == 0x200C || c == 0x200D || (c >= 0xFE00 && c < 0xFE10) ||
        (c >= 0x20D0 && c < 0x2100))
        return 0;
    return (c >= 0x1100 && c < 0x1160) || (c >= 0x2E80 && c < 0xA4D0) || (c >= 0xAC00 && c < 0xD7A4) || (c >= 0xF900 && c < 0xFB00) ||
                   (c >= 0xFE30 && c < 0xFE70) || (c >= 0xFF00 && c < 0xFF61) || (c >= 0xFFE0 && c < 0xFFE7) ||
                   (c >= 0x1F300 && c < 0x1FB00) || (c >= 0x20000 && c < 0x3FFFE)
               ? 2
               : 1;
}

static jt_cell *draw_cell(const jt_screen *s, int row, int col) {
    return row >= 0 && row < s->rows && col >= 0 && col < s->cols ? &s->cell[row * s->cols + col] : NULL;
}

/* One character, if it fits; its columns. */
static int draw_one(const jt_screen *s, int row, int col, const char *t, int bytes, uint32_t cp, jt_view_ink ink, bool here) {
    int w = draw_width(cp);
    jt_cell *c = draw_cell(s, row, col), *right = w == 2 ? draw_cell(s, row, col + 1) : NULL;
    if (!w || !c || (w == 2 && !right)) return w;
    memcpy(c->s, t, (size_t)bytes);
    c->s[bytes] = 0, c->ink = (unsigned char)ink, c->here = here;
    if (right) right->s[0] = 0, right->ink = (unsigned char)ink, right->here = here;
    return w;
}

/* The text from a column on, cut at `end`; control characters are dots. The column after it. */
static int draw_text(const jt_screen *s, int row, int col, int end, const char *t, jt_view_ink ink, bool here) {
    size_t n = strlen(t);
    for (size_t i = 0; i < n && col < end;) {
        uint32_t cp = 0;
        int len = jt_utf8_next(t + i, n - i, &cp);
        bool odd = !len || cp < 32 || (cp >= 0x7F && cp < 0xA0);
        int w = odd ? 1 : draw_width(cp);
        if (col + w > end) break;
        col += draw_one(s, row, col, odd ? "." : t + i, odd ? 1 : len, odd ? '.' : cp, ink, here);
        i += len ? (size_t)len : 1;
    }
    return col;
}

static void draw_bar(const jt_screen *s, int row, const char *t) {
    for (int c = 0; c < s->cols; c++) draw_one(s, row, c, " ", 1, ' ', JT_INK_BAR, false);
    (void)draw_text(s, row, 0, s->cols, t, JT_INK_BAR, false);
}

/* ---- tokens ---- */

typedef struct draw_place {
    int row, col;
} draw_place;

/* Walks the tokens over the columns; draws them from row `from` of the walk on, if there is a screen. Where token `at` begins. */
static draw_place draw_tokens(const jt_looking *v, const jt_trace_answer *a, int cols, size_t at, const jt_screen *s, int from, int top,
                              int rows) {
    draw_place p = {0}, found = {0};
    for (size_t i = 0; i < a->n_token; i++) {
        const char *t = *a->token[i].text ? a->token[i].text : "#";
        size_t n = strlen(t);
        jt_view_ink ink = (jt_view_ink)jt_view_level(a, &a->token[i], v->mode);
        bool here = i == v->at;
        for (size_t k = 0; k < n;) {
            uint32_t cp = 0;
            int len = jt_utf8_next(t + k, n - k, &cp);
            bool line = cp == '\n', odd = !len || cp < 32 || (cp >= 0x7F && cp < 0xA0);
            int w = line ? 2 : odd ? 1 : draw_width(cp), row;
            if (p.col + w > cols) p.row++, p.col = 0;
            if (i == at && !k) found = p;
            row = p.row - from;
            if (s && row >= 0 && row < rows) {
                if (line)
                    (void)draw_text(s, top + row, p.col, cols, "\\n", here ? ink : JT_INK_SOFT, here);
                else
                    (void)draw_one(s, top + row, p.col, odd ? "." : t + k, odd ? 1 : len, odd ? '.' : cp, ink, here);
            }
            p.col += w;
            if (line) p.row++, p.col = 0;
            k += len ? (size_t)len : 1;
        }
    }
    return found;
}

/* ---- one token ---- */

static void draw_head(const jt_looking *v, const jt_trace_answer *a, const jt_screen *s) {
    static const char *const mode[] = {"probability", "entropy", "rank", "cost"};
    char t[256];
    const jt_trace_job *j = &v->trace->job[v->job];
    snprintf(t, sizeof t, " token %zu of %zu  job %zu/%zu answer %zu/%zu  colour: %s  %.80s%s", v->at + (a->n_token > 0), a->n_token,
             v->job + 1, v->trace->n_job, v->answer + 1, j->n_answer, mode[v->mode], v->name, v->trace->note ? " (cut or altered)" : "");
    draw_bar(s, 0, t);
}

static void draw_facts(const jt_trace_token *k, const jt_screen *s, int row) {
    const jt_decision *d = &k->decision;
    char t[256];
    snprintf(t, sizeof t, "\"%.60s\" (%d) at %d: p %.4g %% by the model, %.4g %% staged, entropy %.4g, %.3g ms", k->text, (int)d->id,
             (int)d->position, 100 * exp((double)d->raw_logprob), 100 * exp((double)d->logprob), (double)d->entropy,
             1000 * (double)k->eval_seconds);
    (void)draw_text(s, row, 0, s->cols, t, JT_INK_STRONG, false);
    if (d->by == JT_CHOSEN_DRAWN)
        snprintf(t, sizeof t, "drawn: number %.10g, attempt %u, stream %016llx; %d candidates", d->u, d->attempt,
                 k->evidence ? (unsigned long long)k->evidence->stream : 0ULL, (int)d->candidates);
    else
        snprintf(t, sizeof t, "%s; %d candidates", d->by == JT_CHOSEN_BEST ? "the first in order" : "named by the strategy",
                 (int)d->candidates);
    (void)draw_text(s, row + 1, 0, s->cols, t, JT_INK_PLAIN, false);
}

static void draw_stages(const jt_evidence *e, const jt_screen *s, int row) {
    int col = 0;
    for (int i = 0; i < e->n_stage && col < s->cols; i++) {
        const jt_stage_evidence *x = &e->stage[i];
        char t[128];
        snprintf(t, sizeof t, "%s%.32s %d>%d %.3g%%", i ? " | " : "", x->method, (int)x->before, (int)x->after, 100 * (double)x->mass);
        col = draw_text(s, row, col, s->cols, t, JT_INK_PLAIN, false);
        if (x->n_drawn) {
            snprintf(t, sizeof t, " %.16s=%.4g", x->drawn[0].purpose, x->drawn[0].u);
            col = draw_text(s, row, col, s->cols, t, JT_INK_SOFT, false);
        }
    }
    if (!e->n_stage) (void)draw_text(s, row, 0, s->cols, "no stages", JT_INK_SOFT, false);
}

/* ---- candidates ---- */

enum { DRAW_NAME = 18, DRAW_COLUMN = 11 };

static void draw_logit(const jt_cand *c, int n, int all, int32_t id, const jt_screen *s, int row, int col, bool here) {
    char t[32];
    int i = 0;
    while (i < n && c[i].id != id) i++;
    if (i < n)
        snprintf(t, sizeof t, "%10.5g ", (double)c[i].logit);
    else
        snprintf(t, sizeof t, "%10s ", n == all ? "out" : "...");
    (void)draw_text(s, row, col, col + DRAW_COLUMN, t, i < n ? JT_INK_PLAIN : JT_INK_SOFT, here);
}

static void draw_candidate(const jt_looking *v, const jt_trace_token *k, int32_t id, bool here, const jt_screen *s, int row) {
    const jt_evidence *e = k->evidence;
    char t[64];
    int i = 0, col = DRAW_NAME;
    const char *text = id == k->decision.id ? k->text : v->trace->text[id] ? v->trace->text[id] : "";
    (void)draw_text(s, row, 0, 2, id == k->decision.id ? "* " : "  ", JT_INK_STRONG, here);
    for (int c = 2; c < DRAW_NAME; c++) draw_one(s, row, c, " ", 1, ' ', JT_INK_PLAIN, here);
    (void)draw_text(s, row, 2, DRAW_NAME - 8, text, JT_INK_PLAIN, here);
    snprintf(t, sizeof t, "%7d ", (int)id);
    (void)draw_text(s, row, DRAW_NAME - 8, DRAW_NAME, t, JT_INK_SOFT, here);
    while (i < e->n_raw && e->raw[i].id != id) i++;
    if (i < e->n_raw)
        snprintf(t, sizeof t, "%8.3f%% ", 100 * exp((double)e->raw[i].logit - e->log_sum));
    else
        snprintf(t, sizeof t, "%8s  ", "...");
    col = draw_text(s, row, col, col + 10, t, JT_INK_PLAIN, here);
    draw_logit(e->raw, e->n_raw, v->trace->vocab, id, s, row, col, here);
    col += DRAW_COLUMN;
    for (int x = v->column; x < e->n_stage && col + DRAW_COLUMN <= s->cols; x++, col += DRAW_COLUMN)
        draw_logit(e->stage[x].cand, e->stage[x].n_cand, e->stage[x].after, id, s, row, col, here);
}

static void draw_table(const jt_looking *v, const jt_trace_token *k, const jt_screen *s, int top, int rows) {
    int32_t id[JT_VIEW_CANDIDATES];
    int n = jt_view_candidates(k, id), from = v->candidate >= rows - 1 ? v->candidate - rows + 2 : 0, col = DRAW_NAME + 10 + DRAW_COLUMN;
    char t[128];
    snprintf(t, sizeof t, "  %-*s%7s %9s %10s ", DRAW_NAME - 10, "candidate", "id", "p", "model");
    (void)draw_text(s, top, 0, col, t, JT_INK_SOFT, false);
    for (int x = v->column; x < k->evidence->n_stage && col + DRAW_COLUMN <= s->cols; x++, col += DRAW_COLUMN) {
        snprintf(t, sizeof t, "%10.10s ", k->evidence->stage[x].method);
        (void)draw_text(s, top, col, col + DRAW_COLUMN, t, JT_INK_SOFT, false);
    }
    for (int i = from; i < n && i - from < rows - 1; i++) draw_candidate(v, k, id[i], i == v->candidate, s, top + 1 + i - from);
}

/* ---- the screen ---- */

static void draw_blank(const jt_screen *s) {
    for (int i = 0; i < s->rows * s->cols; i++) s->cell[i] = (jt_cell){.s = " "};
}

void jt_view_draw(const jt_looking *v, jt_screen *s) {
    const jt_trace_answer *a = jt_view_answer(v);
    const jt_trace_token *k = jt_view_token(v);
    int rows = s->rows / 3 > 1 ? s->rows / 3 : 1, next = 1 + rows;
    draw_blank(s);
    if (s->rows < 1) return;
    if (!a) {
        (void)draw_text(s, 0, 0, s->cols, "the trace tells of no answer; q leaves", JT_INK_PLAIN, false);
        return;
    }
    draw_head(v, a, s);
    int line = draw_tokens(v, a, s->cols, v->at, NULL, 0, 0, 0).row, from = line >= rows ? line - rows / 2 : 0;
    (void)draw_tokens(v, a, s->cols, v->at, s, from, 1, rows);
    if (next + 2 < s->rows && k) draw_facts(k, s, next + 1);
    if (next + 3 < s->rows && k && k->evidence) draw_stages(k->evidence, s, next + 3);
    if (next + 7 < s->rows && k && k->evidence) draw_table(v, k, s, next + 5, s->rows - next - 6);
    draw_bar(s, s->rows - 1, v->note[0] ? v->note : " arrows move  Enter takes a candidate  c colour  <> stages  Tab answer  q quit");
}
