/* pages.c: how pages are laid out, and keys and values rounded to the cache type and written to them.
 * Keys lie transposed, [dim][JT_TILE], so that one vector holds one dimension of many keys. In 8 bits the scales of all
 * positions follow the quants, [blocks][JT_TILE] for keys and [JT_TILE][blocks] for values. */
#include <string.h>

#include "tensor/op.h"

static size_t kv_size(const jt_kv_layout *kv) { return kv->type == JT_F32 ? 4 : kv->type == JT_F16 ? 2 : 1; }

/* Where the scales of a head of JT_Q8_0 begin. */
static size_t kv_scales(const jt_kv_layout *kv, bool values) { return (size_t)jt_kv_dim(kv, values) * JT_TILE; }

static size_t kv_head_bytes(const jt_kv_layout *kv, int dim) {
    size_t scales = kv->type == JT_Q8_0 ? (size_t)jt_kv_blocks(dim) * sizeof(uint16_t) : 0;
    return ((size_t)dim * kv_size(kv) + scales) * JT_TILE;
}

void jt_kv_lay_out(jt_kv_layout *kv) {
    if (!kv->vdim) kv->vdim = kv->dim;
    kv->head_bytes = kv_head_bytes(kv, kv->dim), kv->value_bytes = kv_head_bytes(kv, kv->vdim);
    kv->input_type = kv->type == JT_F32 ? JT_F32 : JT_F16;
    kv->row_bytes = (size_t)kv->inputs * (kv->input_type == JT_F32 ? 4 : 2);
    kv->page_bytes = 0;
    for (int i = 0; i < kv->layers; i++) {
        if (kv->at) kv->at[i] = kv->page_bytes;
        kv->page_bytes += jt_kv_recurrent(kv, i) ? kv->row_bytes * JT_TILE : (size_t)kv->heads * (kv->head_bytes + kv->value_bytes);
    }
}

/* Moves n elements of `size` bytes from every from_step-th to every to_step-th place. */
static void kv_scatter(size_t size, void *to, size_t to_step, const void *from, size_t from_step, size_t n) {
    char *t = to;
    const char *f = from;
    switch (size) { /* a copy of constant size is one move */
    case 1:
        for (size_t i = 0; i < n; i++) t[i * to_step] = f[i * from_step];
        break;
    case 2:
        for (size_t i = 0; i < n; i++) memcpy(t + 2 * i * to_step, f + 2 * i * from_step, 2);
        break;
    default:
        for (size_t i = 0; i < n; i++) memcpy(t + 4 * i * to_step, f + 4 * i * from_step, 4);
    }
}

/* One position's n elements to slot `slot` of [n][JT_TILE] (keys) or [JT_TILE][n] (values). */
static void kv_put(bool values, size_t size, char *to, int slot, const void *x, int n) {
    size_t s = (size_t)slot, m = (size_t)n;
    if (values)
        memcpy(to + s * m * size, x, m * size);
    else
        kv_scatter(size, to + s * size, JT_TILE, x, 1, m);
}

static void kv_move(bool values, size_t size, char *to, int to_slot, const char *from, int from_slot, int n) {
    size_t m = (size_t)n, t = (size_t)to_slot * size, f = (size_t)from_slot * size;
    if (values)
        memmove(to + t * m, from + f * m, m * size);
    else
        kv_scatter(size, to + t, JT_TILE, from + f, JT_TILE, m);
}

void jt_kv_copy(const jt_kv_layout *kv, bool values, void *to, int to_slot, const void *from, int from_slot) {
    int dim = jt_kv_dim(kv, values);
    size_t scales = kv_scales(kv, values);
    kv_move(values, kv_size(kv), to, to_slot, from, from_slot, dim);
    if (kv->type == JT_Q8_0)
        kv_move(values, sizeof(uint16_t), (char *)to + scales, to_slot, (const char *)from + scales, from_slot, jt_kv_blocks(dim));
}

void jt_kv_read(const jt_kv_layout *kv, const jt_kernels *k, bool values, const void *from, int slot, float *x, uint16_t *scratch) {
    size_t dim = (size_t)jt_kv_dim(kv, values), step = values ? 1 : JT_TILE, s = (size_t)slot, at = values ? s * dim : s;
    switch (kv->type) {
    case JT_F16:
        kv_scatter(2, scratch, 1, (const uint16_t *)from + at, step, dim);
        k->from_f16(scratch, (int)dim, x);
        break;
    case JT_Q8_0: {
        const int8_t *q = (const int8_t *)from + at;
        const uint16_t *d = (const uint16_t *)((const char *)from + kv_scales(kv, values));
        size_t blocks = (size_t)jt_kv_blocks((int)dim);
        for (size_t j = 0; j < dim; j++) {
            size_t b = j / JT_KV_BLOCK;
            x[j] = jt_f16_to_f32(d[values ? s * blocks + b : b * JT_TILE + s]) * (float)q[j * step];
        }
        break;
    }
    default: kv_scatter(4, x, 1, (const float *)from + at, step, dim);
    }
}

void jt_page_move(const jt_kv_layout *kv, jt_buffer *to, int to_slot, const jt_buffer *from, int from_slot) {
    size_t bytes = kv->row_bytes;
    for (int l = 0; l < kv->layers; l++) {
        size_t at = jt_kv_layer_at(kv, l);
        if (jt_kv_recurrent(kv, l)) {
            memmove(jt_buffer_at(to, at + (size_t)to_slot * bytes), jt_buffer_at(from, at + (size_t)from_slot * bytes), bytes);
            continue;
        }
        for (int i = 0; i < 2 * kv->heads; i++) {
            bool values = i >= kv->heads;
            size_t head = at + jt_kv_head_at(kv, i % kv->heads, values);
            jt_kv_copy(kv, values, jt_buffer_at(to, head), to_slot, jt_buffer_at(from, head), from_slot);
        }
    }
}

/* Rounds one key or value and writes it. `scratch` has room for one in any type. */
static void op_pages_write(const jt_env *e, bool values, char *to, int slot, const float *x, void *scratch) {
    const jt_kv_layout *kv = e->kv;
    const jt_kernels *k = e->engine->kernels;
    int dim = jt_kv_dim(kv, values);
    uint16_t *half = scratch;
    switch (kv->type) {
    case JT_F16:
        k->to_f16(x, dim, half);
        kv_put(values, 2, to, slot, half, dim);
        break;
    case JT_Q8_0: {
        int blocks = jt_kv_blocks(dim);
        int8_t *q = (int8_t *)(half + blocks);
        k->to_q8(x, dim, q, half);
        kv_put(values, 1, to, slot, q, dim);
        kv_put(values, 2, to + kv_scales(kv, values), slot, half, blocks);
        break;
    }
    default: kv_put(values, 4, to, slot, x, dim);
    }
}

static void op_pages_forward(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    const jt_kv_layout *kv = e->kv;
    const float *k = jt_env_f32(e, n->in[0]), *v = jt_env_f32(e, n->in[1]);
    size_t dim = (size_t)kv->dim, vdim = (size_t)kv->vdim, heads = (size_t)kv->heads, layer = jt_kv_layer_at(kv, n->layer);
    int first, end;
    jt_share_rows(s, jt_env_rows(e, n->in[0]), &first, &end);
    for (int r = first; r < end; r++) {
        const jt_env_seq *q = &e->seq[e->row_seq[r]];
        int at = e->slot[r], slot = at % JT_TILE;
        jt_buffer *page = q->page[at / JT_TILE];
        for (size_t h = 0; h < heads; h++) {
            size_t x = (size_t)r * heads + h;
            op_pages_write(e, false, jt_buffer_at(page, layer + jt_kv_head_at(kv, (int)h, false)), slot, k + x * dim, s->scratch);
            op_pages_write(e, true, jt_buffer_at(page, layer + jt_kv_head_at(kv, (int)h, true)), slot, v + x * vdim, s->scratch);
        }
    }
}

static size_t op_pages_scratch(const jt_env *e, const jt_opnode *n) {
    (void)n;
    return (size_t)(e->kv->dim > e->kv->vdim ? e->kv->dim : e->kv->vdim) * sizeof(float);
}

const jt_op jt_op_page_write = {
    .name = "page-write", .split = JT_SPLIT_ROWS, .effects = true, .forward = op_pages_forward, .scratch = op_pages_scratch};
