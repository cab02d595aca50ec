/* gated.c: silu(x G^T) * (x U^T) (Shazeer 2020, arXiv 2002.05202), rounded where that is wanted: the products with the
 * gate's and the upper matrix, the gate and the rounding in one, so that their rows of full width are never written.
 *
 * Threads take columns of the result by 64, a multiple of what one scale sum of docs/numbers.md covers. */
#include "tensor/op.h"

/* At once: what stays in the second-level cache, and long stretches of weights where the rows are few. */
enum { GATED_ROWS = JT_PASS_ROWS, GATED_CELLS = 1 << 15, GATED_COLS = 64 };

typedef struct gated_work {
    const jt_matrix *gate, *up;
    jt_by by;
    int32_t *bias; /* of the rows at hand */
    float *a, *b;  /* [rows][cols]: products with gate and up */
    int cols;
    void *scratch; /* of jt_matmul */
} gated_work;

static size_t gated_up(size_t n) { return (n + JT_ALIGN - 1) & ~(size_t)(JT_ALIGN - 1); }

/* Bytes of scratch; sets the pointers into it. */
static size_t gated_carve(gated_work *w, const jt_env *e, const jt_opnode *n, char *scratch) {
    const jt_weight *set = e->set[n->weight[0].set]->w;
    w->gate = &set[n->weight[0].tensor].matrix, w->up = &e->set[n->weight[1].set]->w[n->weight[1].tensor].matrix;
    w->by = jt_elem_by(e->list->value[n->in[0]].elem);
    size_t rows = (size_t)(jt_env_rows(e, n->in[0]) < GATED_ROWS ? jt_env_rows(e, n->in[0]) : GATED_ROWS);
    size_t most = (size_t)w->gate->rows, cols = rows ? GATED_CELLS / rows / GATED_COLS * GATED_COLS : GATED_COLS;
    w->cols = (int)(cols < most ? cols : (most + GATED_COLS - 1) / GATED_COLS * GATED_COLS);
    size_t product = rows * (size_t)w->cols * sizeof(float), bias = gated_up((size_t)w->gate->cols / JT_ACT_BLOCK * rows * sizeof(int32_t));
    size_t g = jt_matmul_scratch(w->gate, w->by), u = jt_matmul_scratch(w->up, w->by);
    w->a = (float *)(void *)scratch, w->b = (float *)(void *)(scratch + product);
    w->bias = (int32_t *)(void *)(scratch + 2 * product);
    w->scratch = scratch + 2 * product + bias;
    return 2 * product + bias + (g > u ? g : u);
}

/* Rows [row, row + block->rows), columns [first, end) of the result. */
static void gated_part(const jt_env *e, const jt_opnode *n, const jt_share *s, const gated_work *w, const jt_acts *gate, const jt_acts *up,
                       int row, int first, int end) {
    const jt_kernels *k = e->engine->kernels;
    int p0 = first / JT_PANEL, p1 = (end + JT_PANEL - 1) / JT_PANEL, cols = end - first;
    size_t read = jt_matmul_panels(k, w->gate, gate, w->by, p0, p1, w->a, w->cols, w->scratch);
    read += jt_matmul_panels(k, w->up, up, w->by, p0, p1, w->b, w->cols, w->scratch);
    jt_engine_count(e->engine, s->thread, read);
    size_t width = (size_t)e->list->value[n->out[0]].width, c = (size_t)first;
    if (e->list->value[n->out[0]].elem == JT_ELEM_F32) {
        float *y = jt_env_f32(e, n->out[0]) + (size_t)row * width + c;
        for (int r = 0; r < gate->rows; r++) k->swiglu(w->a + r * w->cols, w->b + r * w->cols, cols, y + (size_t)r * width);
        return;
    }
    for (int r = 0; r < gate->rows; r++) {
        float *a = w->a + r * w->cols;
        k->swiglu(a, w->b + r * w->cols, cols, a);
        jt_env_round(e, n->out[0], row + r, first, cols, a);
    }
}

/* Columns [first, end) for the rows of `gate`, which begin with `row`. */
static void gated_columns(const jt_env *e, const jt_opnode *n, const jt_share *s, const gated_work *w, const jt_acts *gate, int row,
                          int first, int end) {
    jt_acts up = *gate;
    if (w->up->panel != w->gate->panel) up.bias = NULL;
    for (int c = first; c < end; c += w->cols) gated_part(e, n, s, w, gate, &up, row, c, c + w->cols < end ? c + w->cols : end);
}

static void gated_forward(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    gated_work w;
    gated_carve(&w, e, n, s->scratch);
    int rows = jt_env_rows(e, n->in[0]), width = w.gate->rows, units = (width + GATED_COLS - 1) / GATED_COLS, first, end;
    int least = (jt_matmul_least(w.gate, rows, s->threads) * JT_PANEL + GATED_COLS - 1) / GATED_COLS,
        made = -1; /* rows whose bias is there */
    jt_acts a = {0};
    while (rows && jt_turns_part(s->taken, units, least, s->threads, &first, &end)) {
        first *= GATED_COLS, end = end * GATED_COLS < width ? end * GATED_COLS : width;
        for (int row = 0; row < rows; row += GATED_ROWS) {
            if (row != made) {
                a = jt_env_acts(e, n->in[0], row, rows - row < GATED_ROWS ? rows - row : GATED_ROWS), made = row;
                if (w.by == JT_BY_INT8) a.bias = jt_matmul_bias(e->engine->kernels, w.gate, &a, w.bias);
            }
            gated_columns(e, n, s, &w, &a, row, first, end);
        }
    }
}

static size_t gated_scratch(const jt_env *e, const jt_opnode *n) {
    gated_work w;
    return gated_carve(&w, e, n, (char *)(uintptr_t)JT_ALIGN);
}

const jt_op jt_op_gated = {.name = "gated", .split = JT_SPLIT_OTHER, .forward = gated_forward, .scratch = gated_scratch};
