/* conv.c: a layer's state as a window: what a recurrent layer reads of each position is rounded and written to its page, and
 * a causal convolution reads the last few positions of a row's own path from the pages (docs/numbers.md, Recurrences). */
#include "tensor/ops/inputs.h"

static void op_input_write_forward(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    const jt_kv_layout *kv = e->kv;
    const float *x = jt_env_f32(e, n->in[0]);
    size_t width = (size_t)e->list->value[n->in[0]].width;
    int first, end;
    jt_share_rows(s, jt_env_rows(e, n->in[0]), &first, &end);
    for (int r = first; r < end; r++) {
        const float *from = x + (size_t)r * width + n->i[0];
        void *to = jt_input_at(e, &e->seq[e->row_seq[r]], n->layer, e->slot[r]);
        if (kv->input_type == JT_F16)
            e->engine->kernels->to_f16(from, kv->inputs, to);
        else
            memcpy(to, from, kv->row_bytes);
    }
}

/* Inputs [first, first + n) of a slot as floats, in place or in `room`. */
static const float *op_conv_inputs(const jt_env *e, const jt_env_seq *q, int layer, int slot, int first, int n, float *room) {
    const void *p = jt_input_at(e, q, layer, slot);
    if (e->kv->input_type == JT_F32) return (const float *)p + first;
    e->engine->kernels->from_f16((const uint16_t *)p + first, n, room);
    return room;
}

void jt_conv_at(const jt_env *e, const jt_env_seq *q, const jt_conv_of *c, const jt_env_path *p, int depth, int slot, int first, int n,
                float *y, float *room) {
    const float *x[JT_MAX_TAPS] = {0};
    for (int k = c->taps - 1, d = depth; k >= 0; k--, d--) {
        if (k < c->taps - 1) {
            while (d >= 0 && !jt_path_ran(p, d, c->layer)) d--;
            if (d < 0) break;
            slot = jt_path_slot(p, d);
        }
        x[k] = op_conv_inputs(e, q, c->layer, slot, first, n, room + (size_t)k * (size_t)n);
    }
    e->engine->kernels->conv(x, c->w + first, c->width, c->bias ? c->bias + first : NULL, c->taps, n, y);
}

static void op_conv_forward(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    jt_conv_of c = jt_conv_make(e, n, 0, n->i[0]);
    float *y = jt_env_f32(e, n->out[0]);
    int turn = 0;
    for (int k = 0; k < e->n_seq; k++)
        for (int i = 0; i < e->seq[k].steps; i++) {
            const jt_env_step *t = &e->seq[k].step[i];
            if (t->row < 0 || turn++ % s->threads != s->thread || (e->layers && !jt_layer_in(e->layers[t->row], n->layer))) continue;
            jt_conv_at(e, &e->seq[k], &c, t->path, t->depth, t->slot, 0, c.width, y + (size_t)t->row * (size_t)c.width, s->scratch);
        }
}

static size_t op_conv_scratch(const jt_env *e, const jt_opnode *n) {
    return (size_t)n->i[0] * (size_t)e->list->value[n->out[0]].width * sizeof(float);
}

const jt_op jt_op_input_write = {.name = "input-write", .split = JT_SPLIT_ROWS, .effects = true, .forward = op_input_write_forward};
const jt_op jt_op_conv = {
    .name = "conv", .split = JT_SPLIT_OTHER, .reads_pages = true, .forward = op_conv_forward, .scratch = op_conv_scratch};
