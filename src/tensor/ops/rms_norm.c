/* rms_norm.c: y = x / sqrt(mean(x^2) + eps) * w (Zhang and Sennrich 2019, arXiv 1910.07467). */
#include "tensor/op.h"

static void rms_norm_forward(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    const float *x = jt_env_f32(e, n->in[0]), *w = e->set[n->weight[0].set]->w[n->weight[0].tensor].vector;
    float *y = jt_env_f32(e, n->out[0]), *inv = n->out[1] == JT_NOVAL ? NULL : jt_env_f32(e, n->out[1]);
    int width = e->list->value[n->in[0]].width, first, end;
    jt_share_rows(s, jt_env_rows(e, n->in[0]), &first, &end);
    for (int r = first; r < end; r++)
        e->engine->kernels->rms_norm(x + (size_t)r * (size_t)width, w, width, n->f[0], y + (size_t)r * (size_t)width, inv ? inv + r : NULL);
}

const jt_op jt_op_rms_norm = {.name = "rms-norm", .split = JT_SPLIT_ROWS, .keep_in = 1, .keep_out = 2, .forward = rms_norm_forward};

static void head_norm_forward(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    const float *x = jt_env_f32(e, n->in[0]), *w = e->set[n->weight[0].set]->w[n->weight[0].tensor].vector;
    float *y = jt_env_f32(e, n->out[0]);
    int heads = n->i[0], dim = e->list->value[n->in[0]].width / heads, first, end;
    jt_share_rows(s, jt_env_rows(e, n->in[0]), &first, &end);
    for (size_t h = (size_t)first * (size_t)heads; h < (size_t)end * (size_t)heads; h++)
        e->engine->kernels->rms_norm(x + h * (size_t)dim, w, dim, n->f[0], y + h * (size_t)dim, NULL);
}

const jt_op jt_op_head_norm = {.name = "head-norm", .split = JT_SPLIT_ROWS, .keep_in = 1, .forward = head_norm_forward};

static void rms_norm_quantise_forward(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    const jt_kernels *k = e->engine->kernels;
    const float *x = jt_env_f32(e, n->in[0]), *w = e->set[n->weight[0].set]->w[n->weight[0].tensor].vector;
    int width = e->list->value[n->in[0]].width, first, end;
    float *y = s->scratch;
    jt_share_rows(s, jt_env_rows(e, n->in[0]), &first, &end);
    for (int r = first; r < end; r++) {
        k->rms_norm(x + (size_t)r * (size_t)width, w, width, n->f[0], y, NULL);
        jt_env_round(e, n->out[0], r, 0, width, y);
    }
}

static size_t rms_norm_quantise_scratch(const jt_env *e, const jt_opnode *n) {
    return (size_t)e->list->value[n->in[0]].width * sizeof(float);
}

const jt_op jt_op_rms_norm_quantise = {
    .name = "rms-norm-quantise", .split = JT_SPLIT_ROWS, .forward = rms_norm_quantise_forward, .scratch = rms_norm_quantise_scratch};
