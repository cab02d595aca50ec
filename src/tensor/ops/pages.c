/* pages.c: keys and values rounded to the cache type and written to their pages.
 * Keys lie transposed, [dim][JT_TILE], so that one vector holds one dimension of many keys. */
#include <string.h>

#include "tensor/op.h"

static void op_pages_put_key(const jt_kv_layout *kv, void *at, int slot, const float *x, const uint16_t *half) {
    if (kv->type == JT_F16)
        for (int j = 0; j < kv->dim; j++) ((uint16_t *)at)[j * JT_TILE + slot] = half[j];
    else
        for (int j = 0; j < kv->dim; j++) ((float *)at)[j * JT_TILE + slot] = x[j];
}

static void put_value(const jt_kv_layout *kv, void *at, int slot, const float *x, const uint16_t *half) {
    if (kv->type == JT_F16)
        for (int j = 0; j < kv->dim; j++) ((uint16_t *)at)[slot * kv->dim + j] = half[j];
    else
        for (int j = 0; j < kv->dim; j++) ((float *)at)[slot * kv->dim + j] = x[j];
}

static void op_pages_forward(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    const jt_kv_layout *kv = e->kv;
    const float *k = jt_env_f32(e, n->in[0]), *v = jt_env_f32(e, n->in[1]);
    uint16_t *half = s->scratch;
    size_t width = (size_t)kv->heads * (size_t)kv->dim;
    int first, end;
    jt_share_rows(s, jt_env_rows(e, n->in[0]), &first, &end);
    for (int r = first; r < end; r++) {
        const jt_env_seq *q = &e->seq[e->row_seq[r]];
        int at = e->slot[r], slot = at % JT_TILE;
        for (int h = 0; h < kv->heads; h++) {
            const float *kh = k + (size_t)r * width + (size_t)h * (size_t)kv->dim,
                        *vh = v + (size_t)r * width + (size_t)h * (size_t)kv->dim;
            size_t layer = (size_t)n->layer * 2 * (size_t)kv->heads;
            void *pk = jt_buffer_at(q->page[at / JT_TILE], (layer + (size_t)h) * kv->head_bytes);
            void *pv = jt_buffer_at(q->page[at / JT_TILE], (layer + (size_t)(kv->heads + h)) * kv->head_bytes);
            if (kv->type == JT_F16) e->engine->kernels->to_f16(kh, kv->dim, half);
            op_pages_put_key(kv, pk, slot, kh, half);
            if (kv->type == JT_F16) e->engine->kernels->to_f16(vh, kv->dim, half);
            put_value(kv, pv, slot, vh, half);
        }
    }
}

void jt_page_move(const jt_kv_layout *kv, jt_buffer *to, int to_slot, const jt_buffer *from, int from_slot) {
    size_t size = kv->type == JT_F16 ? 2 : 4, dim = (size_t)kv->dim;
    for (size_t i = 0; i < (size_t)kv->layers * 2 * (size_t)kv->heads; i++) {
        char *t = jt_buffer_at(to, i * kv->head_bytes);
        const char *f = jt_buffer_at(from, i * kv->head_bytes);
        bool keys = i / (size_t)kv->heads % 2 == 0;
        if (keys)
            for (size_t j = 0; j < dim; j++)
                memcpy(t + (j * JT_TILE + (size_t)to_slot) * size, f + (j * JT_TILE + (size_t)from_slot) * size, size);
        else
            memcpy(t + (size_t)to_slot * dim * size, f + (size_t)from_slot * dim * size, dim * size);
    }
}

static size_t op_pages_scratch(const jt_env *e, const jt_opnode *n) {
    (void)n;
    return (size_t)e->kv->dim * sizeof(uint16_t);
}

const jt_op jt_op_page_write = {
    .name = "page-write", .split = JT_SPLIT_ROWS, .effects = true, .forward = op_pages_forward, .scratch = op_pages_scratch};
