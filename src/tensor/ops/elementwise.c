/* elementwise.c: sums, gates and the choice of rows. */
#include <string.h>

#include "tensor/op.h"

/* y = silu(gate) * up (Shazeer 2020, arXiv 2002.05202). */
static void op_elementwise_swiglu(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    size_t w = (size_t)e->list->value[n->in[0]].width;
    const float *g = jt_env_f32(e, n->in[0]), *u = jt_env_f32(e, n->in[1]);
    float *y = jt_env_f32(e, n->out[0]);
    int first, end;
    jt_share_rows(s, jt_env_rows(e, n->in[0]), &first, &end);
    for (size_t r = (size_t)first; r < (size_t)end; r++) e->engine->kernels->swiglu(g + r * w, u + r * w, (int)w, y + r * w);
}

/* GPT-OSS: y = (up + 1) * gate * sigmoid(alpha * gate), where the gate is at most `limit`, and up within it both ways. */
static void op_elementwise_swiglu_clamped(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    size_t w = (size_t)e->list->value[n->in[0]].width;
    const float *gate = jt_env_f32(e, n->in[0]), *up = jt_env_f32(e, n->in[1]);
    float *y = jt_env_f32(e, n->out[0]), *x = s->scratch, alpha = n->f[0], limit = n->f[1];
    int first, end;
    jt_share_rows(s, jt_env_rows(e, n->in[0]), &first, &end);
    for (size_t r = (size_t)first; r < (size_t)end; r++) {
        const float *g = gate + r * w, *u = up + r * w;
        for (size_t i = 0; i < w; i++) x[i] = -(alpha * (g[i] > limit ? limit : g[i]));
        e->engine->kernels->exp(x, (int)w, x);
        for (size_t i = 0; i < w; i++) {
            float a = g[i] > limit ? limit : g[i], b = u[i] > limit ? limit : u[i] < -limit ? -limit : u[i];
            y[r * w + i] = (b + 1.0f) * (a / (1.0f + x[i]));
        }
    }
}

static size_t op_elementwise_swiglu_clamped_scratch(const jt_env *e, const jt_opnode *n) {
    return (size_t)e->list->value[n->in[0]].width * sizeof(float);
}

static void op_elementwise_add(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    size_t w = (size_t)e->list->value[n->in[0]].width;
    const float *a = jt_env_f32(e, n->in[0]), *b = jt_env_f32(e, n->in[1]);
    float *y = jt_env_f32(e, n->out[0]);
    int first, end;
    jt_share_rows(s, jt_env_rows(e, n->in[0]), &first, &end);
    for (size_t r = (size_t)first; r < (size_t)end; r++) {
        if (!e->layers || jt_layer_in(e->layers[r], n->layer))
            e->engine->kernels->add(a + r * w, b + r * w, (int)w, y + r * w);
        else if (y != a)
            memcpy(y + r * w, a + r * w, w * sizeof *y);
    }
}

static void op_elementwise_scale(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    size_t w = (size_t)e->list->value[n->in[0]].width;
    const float *x = jt_env_f32(e, n->in[0]);
    float *y = jt_env_f32(e, n->out[0]), by = n->f[0];
    int first, end;
    jt_share_rows(s, jt_env_rows(e, n->in[0]), &first, &end);
    for (size_t i = (size_t)first * w; i < (size_t)end * w; i++) y[i] = x[i] * by;
}

static void op_elementwise_clamp(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    size_t w = (size_t)e->list->value[n->in[0]].width;
    const float *x = jt_env_f32(e, n->in[0]);
    float *y = jt_env_f32(e, n->out[0]), most = n->f[0];
    int first, end;
    jt_share_rows(s, jt_env_rows(e, n->in[0]), &first, &end);
    for (size_t i = (size_t)first * w; i < (size_t)end * w; i++) y[i] = x[i] > most ? most : x[i] < -most ? -most : x[i];
}

/* Qwen2-MoE: the expert that all rows go to counts by a gate of its own. */
static void op_elementwise_add_gated(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    size_t w = (size_t)e->list->value[n->in[0]].width;
    const float *a = jt_env_f32(e, n->in[0]), *b = jt_env_f32(e, n->in[1]), *z = jt_env_f32(e, n->in[2]);
    float *y = jt_env_f32(e, n->out[0]);
    int first, end;
    jt_share_rows(s, jt_env_rows(e, n->in[0]), &first, &end);
    for (size_t r = (size_t)first; r < (size_t)end; r++) {
        float gate = -z[r];
        e->engine->kernels->exp(&gate, 1, &gate);
        gate = 1.0f / (1.0f + gate);
        for (size_t i = r * w; i < (r + 1) * w; i++) y[i] = a[i] + gate * b[i];
    }
}

static void op_elementwise_gather(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    size_t w = (size_t)e->list->value[n->in[0]].width;
    const float *x = jt_env_f32(e, n->in[0]);
    float *y = jt_env_f32(e, n->out[0]);
    int first, end;
    jt_share_rows(s, jt_env_rows(e, n->out[0]), &first, &end);
    for (int r = first; r < end; r++) memcpy(y + (size_t)r * w, x + (size_t)e->wanted[r] * w, w * sizeof *y);
}

static void op_elementwise_vectors(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    size_t w = (size_t)e->list->value[n->out[0]].width;
    float *y = jt_env_f32(e, n->out[0]);
    int first, end;
    jt_share_rows(s, jt_env_rows(e, n->out[0]), &first, &end);
    for (int r = first; r < end; r++) memcpy(y + (size_t)r * w, e->vector[r], w * sizeof *y);
}

const jt_op jt_op_swiglu = {.name = "swiglu", .split = JT_SPLIT_ROWS, .alias_in = 1, .keep_in = 3, .forward = op_elementwise_swiglu};
const jt_op jt_op_swiglu_clamped = {.name = "swiglu-clamped",
                                    .split = JT_SPLIT_ROWS,
                                    .alias_in = 1,
                                    .keep_in = 3,
                                    .forward = op_elementwise_swiglu_clamped,
                                    .scratch = op_elementwise_swiglu_clamped_scratch};
const jt_op jt_op_add = {.name = "add", .split = JT_SPLIT_ROWS, .alias_in = 1, .passes = true, .forward = op_elementwise_add};
const jt_op jt_op_scale = {.name = "scale", .split = JT_SPLIT_ROWS, .alias_in = 1, .forward = op_elementwise_scale};
const jt_op jt_op_clamp = {.name = "clamp", .split = JT_SPLIT_ROWS, .alias_in = 1, .keep_in = 1, .forward = op_elementwise_clamp};
const jt_op jt_op_add_gated = {
    .name = "add-gated", .split = JT_SPLIT_ROWS, .alias_in = 1, .keep_in = 6, .forward = op_elementwise_add_gated};
/* Reads rows that other threads wrote: not row-wise in its input. */
const jt_op jt_op_gather = {.name = "gather", .split = JT_SPLIT_OTHER, .forward = op_elementwise_gather};
const jt_op jt_op_vectors = {.name = "vectors", .split = JT_SPLIT_ROWS, .forward = op_elementwise_vectors};
