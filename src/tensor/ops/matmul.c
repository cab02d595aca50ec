/* matmul.c: y = x W^T + b, W a weight matrix [outputs][inputs]. Threads take panels of outputs. */
#include "tensor/op.h"

static const jt_matrix *op_matmul_matrix(const jt_env *e, const jt_opnode *n) {
    return &e->set[n->weight[0].set]->w[n->weight[0].tensor].matrix;
}

static jt_by op_matmul_by(const jt_env *e, const jt_opnode *n) { return jt_elem_by(e->list->value[n->in[0]].elem); }

/* Adds the bias to columns of panels [first, end). */
static void matmul_add_bias(const jt_env *e, const jt_opnode *n, int first, int end) {
    int width = e->list->value[n->out[0]].width, at = first * JT_PANEL, to = end * JT_PANEL < width ? end * JT_PANEL : width;
    const float *b = e->set[n->weight[1].set]->w[n->weight[1].tensor].vector;
    float *y = jt_env_f32(e, n->out[0]) + at;
    for (int r = 0; r < jt_env_rows(e, n->out[0]); r++, y += width) e->engine->kernels->add(y, b + at, to - at, y);
}

static void matmul_forward(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    const jt_matrix *m = op_matmul_matrix(e, n);
    jt_acts a = jt_env_acts(e, n->in[0], 0, jt_env_rows(e, n->in[0]));
    jt_by by = op_matmul_by(e, n);
    int first, end, panels = jt_matrix_panels(m), least = jt_matmul_least(m, a.rows, s->threads);
    size_t read = 0;
    for (bool begun = false; a.rows && jt_turns_part(s->taken, panels, least, s->threads, &first, &end); begun = true) {
        if (!begun && by == JT_BY_INT8 && a.rows <= JT_PASS_ROWS) a.bias = jt_matmul_bias(e->engine->kernels, m, &a, s->scratch);
        read += jt_matmul(e->engine->kernels, m, &a, by, first, end, jt_env_f32(e, n->out[0]), m->rows, s->scratch);
        if (n->i[0]) matmul_add_bias(e, n, first, end);
    }
    jt_engine_count(e->engine, s->thread, read);
}

static size_t matmul_scratch(const jt_env *e, const jt_opnode *n) { return jt_matmul_scratch(op_matmul_matrix(e, n), op_matmul_by(e, n)); }

const jt_op jt_op_matmul = {.name = "matmul", .split = JT_SPLIT_OTHER, .keep_in = 1, .forward = matmul_forward, .scratch = matmul_scratch};
