/* layer_norm.c: y = (x - mean(x)) / sqrt(var(x) + eps) * w + b (Ba et al. 2016, arXiv 1607.06450). Written for all instruction
 * sets at once: sums in 16 lanes, no fused operations. */
#include <math.h>

#include "tensor/op.h"

static float layer_norm_tree(float a[16]) {
    for (int h = 8; h; h /= 2)
        for (int j = 0; j < h; j++) a[j] += a[j + h];
    return a[0];
}

static float layer_norm_sum(const float *x, int n) {
    float a[16] = {0};
    int i = 0;
    for (; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++) a[j] += x[i + j];
    for (int j = 0; i + j < n; j++) a[j] += x[i + j];
    return layer_norm_tree(a);
}

static float layer_norm_squares(const float *d, int n) {
    float a[16] = {0};
    int i = 0;
    for (; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++) a[j] += d[i + j] * d[i + j];
    for (int j = 0; i + j < n; j++) a[j] += d[i + j] * d[i + j];
    return layer_norm_tree(a);
}

static void layer_norm_row(const float *x, const float *w, const float *b, int n, float eps, float *y) {
    float mean = layer_norm_sum(x, n) / (float)n;
    for (int i = 0; i < n; i++) y[i] = x[i] - mean;
    float inv = 1 / sqrtf(layer_norm_squares(y, n) / (float)n + eps);
    for (int i = 0; i < n; i++) y[i] = y[i] * inv * w[i];
    for (int i = 0; b && i < n; i++) y[i] += b[i];
}

static void layer_norm_forward(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    const float *x = jt_env_f32(e, n->in[0]), *w = e->set[n->weight[0].set]->w[n->weight[0].tensor].vector;
    const float *b = n->weight[1].tensor == JT_NO_TENSOR ? NULL : e->set[n->weight[1].set]->w[n->weight[1].tensor].vector;
    float *y = jt_env_f32(e, n->out[0]);
    int width = e->list->value[n->in[0]].width, first, end;
    jt_share_rows(s, jt_env_rows(e, n->in[0]), &first, &end);
    for (size_t r = (size_t)first; r < (size_t)end; r++) layer_norm_row(x + r * (size_t)width, w, b, width, n->f[0], y + r * (size_t)width);
}

static void layer_norm_heads(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    const float *x = jt_env_f32(e, n->in[0]), *w = e->set[n->weight[0].set]->w[n->weight[0].tensor].vector;
    float *y = jt_env_f32(e, n->out[0]);
    size_t width = (size_t)e->list->value[n->in[0]].width, dim = width / (size_t)n->i[0];
    int first, end;
    jt_share_rows(s, jt_env_rows(e, n->in[0]), &first, &end);
    for (size_t r = (size_t)first; r < (size_t)end; r++)
        for (size_t at = 0; at < width; at += dim) layer_norm_row(x + r * width + at, w + at, NULL, (int)dim, n->f[0], y + r * width + at);
}

const jt_op jt_op_head_layer_norm = {.name = "head-layer-norm", .split = JT_SPLIT_ROWS, .keep_in = 1, .forward = layer_norm_heads};

const jt_op jt_op_layer_norm = {.name = "layer-norm", .split = JT_SPLIT_ROWS, .keep_in = 1, .forward = layer_norm_forward};
