/* quantise.c: rows of activations to 8 bits, in blocks of 16, or to bfloat16 (docs/numbers.md). */
#include "tensor/op.h"

static void quantise_forward(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    const float *x = jt_env_f32(e, n->in[0]);
    int width = e->list->value[n->in[0]].width, first, end;
    jt_share_rows(s, jt_env_rows(e, n->in[0]), &first, &end);
    for (int r = first; r < end; r++) jt_env_round(e, n->out[0], r, 0, width, x + (size_t)r * (size_t)width);
}

const jt_op jt_op_quantise = {.name = "quantise", .split = JT_SPLIT_ROWS, .forward = quantise_forward};
