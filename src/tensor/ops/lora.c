/* lora.c: y + B (s (A x)), what an adapter adds to a linear map (Hu et al. 2021, arXiv 2106.09685).
 *
 * Two operators, so that all threads share both products: s (A x), by rows and panels of A; and the sum, by
 * panels of outputs. A run is a stretch of rows with one adapter and scale; its part of the value between the
 * two lies [rows][rank], without gaps. Rows without adapter are not touched. */
#include <string.h>

#include "tensor/op.h"

enum { OP_LORA_ROWS = 64 };

struct op_lora_run {
    int first, rows;
    const jt_lora *lora;
    float scale;
};

/* The next run after *run among `rows` rows; false at the end. Begin with zeros. */
static bool op_lora_next(const jt_env *e, const jt_opnode *n, int rows, struct op_lora_run *run) {
    for (int at = run->first + run->rows, end; at < rows; at = end) {
        const jt_env_lora *x = &e->lora[at];
        for (end = at + 1; end < rows && e->lora[end].lora == x->lora && e->lora[end].scale == x->scale;) end++;
        const jt_lora *l = x->lora ? &x->lora[n->i[0]] : NULL;
        if (!l || !l->a.rows) continue;
        *run = (struct op_lora_run){at, end - at, l, (float)((double)x->scale * l->scale)};
        return true;
    }
    return false;
}

/* Products of up to OP_LORA_ROWS rows x with panel p: part [rows][JT_PANEL]. Gives the number of outputs that there are. */
static int op_lora_product(const jt_env *e, const jt_matrix *m, int p, const float *x, int rows, float *part) {
    jt_acts acts = {.rows = rows, .cols = m->cols, .x = x};
    int left = m->rows - p * JT_PANEL;
    e->engine->kernels->panel_f32(JT_PANEL_F32, (const char *)m->packed + (size_t)p * m->panel_bytes, &acts, 0, rows, part, JT_PANEL);
    return left < JT_PANEL ? left : JT_PANEL;
}

/* Rows [from, to) of the run, outputs of panel p of A. */
static void op_lora_scaled(const jt_env *e, const struct op_lora_run *run, const float *x, float *t, int p, int from, int to) {
    const jt_matrix *a = &run->lora->a;
    float part[OP_LORA_ROWS * JT_PANEL];
    for (int row = from; row < to; row += OP_LORA_ROWS) {
        int rows = to - row < OP_LORA_ROWS ? to - row : OP_LORA_ROWS;
        int n = op_lora_product(e, a, p, x + (size_t)row * (size_t)a->cols, rows, part);
        for (int r = 0; r < rows; r++) {
            float *y = t + (size_t)(row + r) * (size_t)a->rows + (size_t)p * JT_PANEL;
            for (int o = 0; o < n; o++) y[o] = part[r * JT_PANEL + o] * run->scale;
        }
    }
}

static void op_lora_down_forward(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    int rows = jt_env_rows(e, n->in[0]), width = e->list->value[n->out[0]].width, total = 0, first, end;
    const float *x = jt_env_f32(e, n->in[0]);
    float *t = jt_env_f32(e, n->out[0]);
    for (struct op_lora_run run = {0}; op_lora_next(e, n, rows, &run);) total += run.rows * jt_matrix_panels(&run.lora->a);
    jt_share_rows(s, total, &first, &end);
    for (struct op_lora_run run = {0}; op_lora_next(e, n, rows, &run);) {
        const float *at = x + (size_t)run.first * (size_t)run.lora->a.cols;
        for (int p = 0; p < jt_matrix_panels(&run.lora->a); p++, first -= run.rows, end -= run.rows) {
            int from = first > 0 ? first : 0, to = end < run.rows ? end : run.rows;
            if (from < to) op_lora_scaled(e, &run, at, t + (size_t)run.first * (size_t)width, p, from, to);
        }
    }
}

/* Adds panel p of B to the run's rows y. */
static void op_lora_add(const jt_env *e, const struct op_lora_run *run, const float *t, float *y, int p) {
    const jt_matrix *b = &run->lora->b;
    float part[OP_LORA_ROWS * JT_PANEL];
    for (int row = 0; row < run->rows; row += OP_LORA_ROWS) {
        int rows = run->rows - row < OP_LORA_ROWS ? run->rows - row : OP_LORA_ROWS;
        int n = op_lora_product(e, b, p, t + (size_t)row * (size_t)b->cols, rows, part);
        for (int r = 0; r < rows; r++) {
            float *to = y + (size_t)(row + r) * (size_t)b->rows + (size_t)p * JT_PANEL;
            e->engine->kernels->add(to, part + r * JT_PANEL, n, to);
        }
    }
}

static void op_lora_up_forward(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    int rows = jt_env_rows(e, n->in[0]), outputs = e->list->value[n->in[0]].width, rank = e->list->value[n->in[1]].width, first, end;
    const float *from = jt_env_f32(e, n->in[0]), *t = jt_env_f32(e, n->in[1]);
    float *y = jt_env_f32(e, n->out[0]);
    jt_share_rows(s, (outputs + JT_PANEL - 1) / JT_PANEL, &first, &end);
    int at = first * JT_PANEL, to = end * JT_PANEL < outputs ? end * JT_PANEL : outputs;
    for (int r = 0; y != from && r < rows && at < to; r++) {
        size_t k = (size_t)r * (size_t)outputs + (size_t)at;
        memcpy(y + k, from + k, (size_t)(to - at) * sizeof *y);
    }
    for (struct op_lora_run run = {0}; op_lora_next(e, n, rows, &run);)
        for (int p = first; p < end; p++)
            op_lora_add(e, &run, t + (size_t)run.first * (size_t)rank, y + (size_t)run.first * (size_t)outputs, p);
}

const jt_op jt_op_lora_down = {.name = "lora_down", .split = JT_SPLIT_OTHER, .keep_in = 1, .forward = op_lora_down_forward};
const jt_op jt_op_lora_up = {.name = "lora_up", .split = JT_SPLIT_OTHER, .alias_in = 1, .keep_in = 2, .forward = op_lora_up_forward};
