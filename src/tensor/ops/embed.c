/* embed.c: rows of the embedding table, expanded exactly. */
#include "tensor/op.h"

static void forward(const jt_env *e, const jt_node *n, const jt_share *s) {
    const jt_matrix *m = &e->set[n->weight[0].set]->w[n->weight[0].tensor].matrix;
    float *x = jt_env_f32(e, n->out[0]);
    int first, end;
    jt_share_rows(s, jt_env_rows(e, n->out[0]), &first, &end);
    for (int r = first; r < end; r++) jt_matrix_row(m, e->id[r], x + (size_t)r * (size_t)m->cols);
}

const jt_op jt_op_embed = {.name = "embed", .split = JT_SPLIT_ROWS, .forward = forward};
