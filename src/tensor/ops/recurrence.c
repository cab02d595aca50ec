/* recurrence.c: a layer's state as a recurrence: the selective state space of Mamba-2 (Dao and Gu 2024, arXiv 2405.21060).
 *
 * A node's state follows from that of the node before it on its path and from the node's own inputs in the pages. A sequence
 * gives the nodes of an eval as steps (op.h): rows, and earlier nodes that run again because no state is kept where a row
 * goes on. Threads share heads; a head walks the steps in order, and its states lie side by side (docs/numbers.md). */
#include <math.h>

#include "core/mem.h"
#include "tensor/ops/inputs.h"
#include "tensor/scalar_math.h"

/* A head at work. */
struct recurring {
    const jt_env *e;
    const jt_opnode *n;
    const jt_env_seq *q;
    jt_conv_of conv;
    int h, heads, dim, state, groups;
    float a, d, bias;
    size_t bytes; /* of its state */
    char *locals; /* places: the one that the steps go on in, then the local ones */
    float *c;     /* x [dim], B [state], C [state] of a node that runs again */
    float *room;
};

static size_t op_recurrence_up(size_t bytes) { return (bytes + JT_ALIGN - 1) & ~(size_t)(JT_ALIGN - 1); }
static size_t op_recurrence_bytes(const jt_opnode *n) { return (size_t)n->i[1] * (size_t)n->i[2] * sizeof(float); }

/* softplus(x) = log(1 + exp(x)); far out it is x, or exp(x), to the last bit but one. */
static float op_recurrence_softplus(float x) {
    if (x > 20 || x != x) return x;
    double y = jt_exp((double)x);
    return (float)(x < -16 ? y : jt_log(1 + y));
}

static float op_recurrence_input(const struct recurring *w, int slot, int i) {
    const void *p = jt_input_at(w->e, w->q, w->n->layer, slot);
    float x;
    if (w->e->kv->input_type == JT_F32) return ((const float *)p)[i];
    w->e->engine->kernels->from_f16((const uint16_t *)p + i, 1, &x);
    return x;
}

static float *op_recurrence_place(const struct recurring *w, int place) {
    size_t at = (size_t)(w->n->i[5] * w->heads + w->h) * w->bytes;
    if (place & JT_STEP_LOCAL) return (float *)(void *)(w->locals + op_recurrence_up(w->bytes) * (size_t)(1 + (place & ~JT_STEP_LOCAL)));
    return jt_buffer_at(w->e->mark[place], at);
}

/* x, B and C of a step. */
static void op_recurrence_read(const struct recurring *w, const jt_env_step *t, const float **x, const float **b, const float **c) {
    int inner = w->heads * w->dim, group = w->h / (w->heads / w->groups) * w->state;
    int at[] = {w->h * w->dim, inner + group, inner + w->groups * w->state + group};
    if (t->row >= 0) {
        const float *row = jt_env_f32(w->e, w->n->in[0]) + (size_t)t->row * (size_t)w->conv.width;
        *x = row + at[0], *b = row + at[1], *c = row + at[2];
        return;
    }
    *x = w->c, *b = w->c + w->dim, *c = *b + w->state;
    jt_conv_at(w->e, w->q, &w->conv, t->path, t->depth, t->slot, at[0], w->dim, w->c, w->room);
    jt_conv_at(w->e, w->q, &w->conv, t->path, t->depth, t->slot, at[1], w->state, w->c + w->dim, w->room);
    jt_conv_at(w->e, w->q, &w->conv, t->path, t->depth, t->slot, at[2], w->state, w->c + w->dim + w->state, w->room);
}

/* The state after a step; `in` is that before it, NULL for zeros. */
static const float *op_recurrence_step(const struct recurring *w, const jt_env_step *t, const float *in) {
    float *out = t->save == JT_STEP_ON ? (float *)(void *)w->locals : op_recurrence_place(w, t->save);
    bool runs = t->row >= 0 ? !w->e->layers || jt_layer_in(w->e->layers[t->row], w->n->layer) : jt_path_ran(t->path, t->depth, w->n->layer);
    if (!runs) {
        if (t->save == JT_STEP_ON) return in;
        if (in == out) return out;
        if (in)
            memcpy(out, in, w->bytes);
        else
            memset(out, 0, w->bytes);
        return out;
    }
    float dt = op_recurrence_softplus(op_recurrence_input(w, t->slot, w->conv.width + w->h) + w->bias);
    jt_recur r = {.dim = w->dim, .n = w->state, .in = in, .out = out, .dt = dt, .a = jt_expf(dt * w->a), .d = w->d};
    op_recurrence_read(w, t, &r.x, &r.b, &r.c);
    if (t->row >= 0) r.y = jt_env_f32(w->e, w->n->out[0]) + ((size_t)t->row * (size_t)w->heads + (size_t)w->h) * (size_t)w->dim;
    w->e->engine->kernels->recur(&r);
    return out;
}

static void op_recurrence_head(struct recurring *w) {
    const jt_opnode *n = w->n;
    const float *last = NULL;
    w->a = w->e->set[n->weight[0].set]->w[n->weight[0].tensor].vector[w->h];
    w->d = w->e->set[n->weight[1].set]->w[n->weight[1].tensor].vector[w->h];
    w->bias = w->e->set[n->weight[2].set]->w[n->weight[2].tensor].vector[w->h];
    for (int i = 0; i < w->q->steps; i++) {
        const jt_env_step *t = &w->q->step[i];
        last = op_recurrence_step(w, t, t->from == JT_STEP_ON ? last : t->from == JT_STEP_ZERO ? NULL : op_recurrence_place(w, t->from));
    }
}

static void op_recurrence_forward(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    struct recurring w = {.e = e, .n = n, .heads = n->i[0], .dim = n->i[1], .state = n->i[2], .groups = n->i[3], .locals = s->scratch};
    int turn = 0;
    w.conv = jt_conv_make(e, n, 3, n->i[4]);
    w.bytes = op_recurrence_bytes(n);
    w.c = (float *)(void *)(w.locals + op_recurrence_up(w.bytes) * (size_t)(1 + e->step_locals));
    w.room = w.c + w.dim + 2 * w.state;
    for (int k = 0; k < e->n_seq; k++) {
        w.q = &e->seq[k];
        for (w.h = 0; w.h < w.heads; w.h++)
            if (turn++ % s->threads == s->thread) op_recurrence_head(&w);
    }
}

static size_t op_recurrence_scratch(const jt_env *e, const jt_opnode *n) {
    size_t row = (size_t)n->i[1] + 2 * (size_t)n->i[2], most = (size_t)(n->i[1] > n->i[2] ? n->i[1] : n->i[2]);
    return op_recurrence_up(op_recurrence_bytes(n)) * (size_t)(1 + e->step_locals) + (row + (size_t)n->i[4] * most) * sizeof(float);
}

/* The states of rows that skip the layer pass through it. */
const jt_op jt_op_recurrence = {.name = "recurrence",
                                .split = JT_SPLIT_OTHER,
                                .reads_pages = true,
                                .passes = true,
                                .forward = op_recurrence_forward,
                                .scratch = op_recurrence_scratch};
