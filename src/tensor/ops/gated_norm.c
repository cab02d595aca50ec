/* gated_norm.c: y = rms_norm(x * silu(z)) * w, each group of columns by itself (Dao and Gu 2024, arXiv 2405.21060).
 * z is the first columns of a value that may be wider. */
#include "tensor/op.h"

static void op_gated_norm_forward(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    size_t w = (size_t)e->list->value[n->in[0]].width, wide = (size_t)e->list->value[n->in[1]].width;
    const float *x = jt_env_f32(e, n->in[0]), *z = jt_env_f32(e, n->in[1]), *by = e->set[n->weight[0].set]->w[n->weight[0].tensor].vector;
    float *y = jt_env_f32(e, n->out[0]), *gated = s->scratch;
    size_t groups = (size_t)n->i[0], part = w / groups;
    int first, end;
    jt_share_rows(s, jt_env_rows(e, n->in[0]), &first, &end);
    for (size_t r = (size_t)first; r < (size_t)end; r++) {
        e->engine->kernels->swiglu(z + r * wide, x + r * w, (int)w, gated);
        for (size_t g = 0; g < groups; g++)
            e->engine->kernels->rms_norm(gated + g * part, by + g * part, (int)part, n->f[0], y + r * w + g * part, NULL);
    }
}

static size_t op_gated_norm_scratch(const jt_env *e, const jt_opnode *n) { return (size_t)e->list->value[n->in[0]].width * sizeof(float); }

const jt_op jt_op_gated_norm = {
    .name = "gated-norm", .split = JT_SPLIT_ROWS, .alias_in = 1, .forward = op_gated_norm_forward, .scratch = op_gated_norm_scratch};
