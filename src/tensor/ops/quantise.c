/* quantise.c: rows of activations to 8 bits, in blocks of 16 (docs/numbers.md). */
#include "tensor/op.h"

static void quantise_forward(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    const float *x = jt_env_f32(e, n->in[0]);
    int width = e->list->value[n->in[0]].width, first, end;
    size_t w = (size_t)width;
    int8_t *q;
    float *d, *sum;
    jt_env_act(e, n->out[0], &q, &d, &sum);
    jt_share_rows(s, jt_env_rows(e, n->in[0]), &first, &end);
    for (size_t r = (size_t)first; r < (size_t)end; r++)
        e->engine->kernels->quantise(x + r * w, width, q + r * w, d + r * (w / JT_ACT_BLOCK), sum + r * (w / 32));
}

const jt_op jt_op_quantise = {.name = "quantise", .split = JT_SPLIT_ROWS, .forward = quantise_forward};
