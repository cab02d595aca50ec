/* attention.c: softmax(scale q K^T) V over the keys of each row's own path, in tiles of
 * JT_TILE keys by logical index (docs/numbers.md). Threads share blocks of rows of one
 * sequence and one key-value head; the query heads of a group share the loads of keys. */
#include <math.h>

#include "tensor/op.h"

enum { ROWS = 16 }; /* rows of one work item: their queries share the loads of a tile */

struct work {
    const float **q;
    float **acc;
    uint32_t *visible;
    float *m, *l, *sum;
    const float **tile_q;
    float **tile_acc;
    float *tile_m, *tile_l;
    uint16_t *of;
};

static void carve(struct work *w, void *scratch, size_t nq, size_t dim) {
    char *p = scratch;
#define TAKE(field, n) w->field = (void *)p, p += (((n) * sizeof *w->field) + 63) & ~(size_t)63
    TAKE(q, nq);
    TAKE(acc, nq);
    TAKE(visible, nq);
    TAKE(m, nq);
    TAKE(l, nq);
    TAKE(sum, nq * dim);
    TAKE(tile_q, nq);
    TAKE(tile_acc, nq);
    TAKE(tile_m, nq);
    TAKE(tile_l, nq);
    TAKE(of, nq);
#undef TAKE
}

/* Keys of tile t that a query with `keys` visible keys sees. */
static uint32_t mask(int keys, int t) {
    int n = keys - t * JT_TILE;
    return n <= 0 ? 0 : n >= JT_TILE ? 0xffffffffu : (1u << n) - 1u;
}

/* Rows [r0, r1) of sequence q, key-value head h. */
static void item(const jt_env *e, const jt_node *n, struct work *w, const jt_env_seq *q, int r0, int r1, int h) {
    const jt_kv_layout *kv = e->kv;
    const float *x = jt_env_f32(e, n->in[0]);
    float *y = jt_env_f32(e, n->out[0]), *stat = n->out[1] == JT_NOVAL ? NULL : jt_env_f32(e, n->out[1]);
    int heads = n->i[0], group = heads / kv->heads, nq = (r1 - r0) * group;
    size_t dim = (size_t)kv->dim, width = (size_t)heads * dim;
    for (int i = 0; i < nq; i++) {
        int r = r0 + i / group, head = h * group + i % group;
        w->q[i] = x + (size_t)r * width + (size_t)head * dim;
        w->acc[i] = w->sum + (size_t)i * dim;
        w->m[i] = -INFINITY, w->l[i] = 0;
        for (size_t j = 0; j < dim; j++) w->acc[i][j] = 0;
    }
    int last = q->past + r1 - q->first; /* keys that the last row sees */
    for (int t = 0; t * JT_TILE < last; t++) {
        size_t layer = (size_t)n->layer * 2 * (size_t)kv->heads;
        int got = 0;
        for (int i = 0; i < nq; i++) {
            uint32_t see = mask(q->past + r0 + i / group - q->first + 1, t);
            if (!see) continue;
            w->of[got] = (uint16_t)i, w->tile_q[got] = w->q[i], w->tile_acc[got] = w->acc[i];
            w->tile_m[got] = w->m[i], w->tile_l[got] = w->l[i], w->visible[got++] = see;
        }
        jt_attn_tile a = {.nq = got,
                          .dim = kv->dim,
                          .type = kv->type,
                          .scale = n->f[0],
                          .q = w->tile_q,
                          .visible = w->visible,
                          .m = w->tile_m,
                          .l = w->tile_l,
                          .acc = w->tile_acc,
                          .k = jt_buffer_at(q->page[t], (layer + (size_t)h) * kv->head_bytes),
                          .v = jt_buffer_at(q->page[t], (layer + (size_t)(kv->heads + h)) * kv->head_bytes)};
        e->engine->kernels->attn_tile(&a);
        for (int i = 0; i < got; i++) w->m[w->of[i]] = w->tile_m[i], w->l[w->of[i]] = w->tile_l[i];
    }
    for (int i = 0; i < nq; i++) {
        size_t r = (size_t)(r0 + i / group), head = (size_t)(h * group + i % group);
        e->engine->kernels->attn_end(w->acc[i], w->l[i], kv->dim, y + r * width + head * dim);
        if (stat) stat[(r * (size_t)heads + head) * 2] = w->m[i], stat[(r * (size_t)heads + head) * 2 + 1] = w->l[i];
    }
}

static void forward(const jt_env *e, const jt_node *n, const jt_share *s) {
    struct work w;
    int turn = 0;
    carve(&w, s->scratch, (size_t)ROWS * (size_t)(n->i[0] / e->kv->heads), (size_t)e->kv->dim);
    for (int k = 0; k < e->n_seq; k++) {
        const jt_env_seq *q = &e->seq[k];
        for (int r = q->first; r < q->first + q->rows; r += ROWS)
            for (int h = 0; h < e->kv->heads; h++)
                if (turn++ % s->threads == s->thread)
                    item(e, n, &w, q, r, r + ROWS < q->first + q->rows ? r + ROWS : q->first + q->rows, h);
    }
}

static size_t scratch(const jt_env *e, const jt_node *n) {
    size_t nq = (size_t)ROWS * (size_t)(n->i[0] / e->kv->heads), dim = (size_t)e->kv->dim;
    return nq * (dim * 4 + 4 * sizeof(void *) + 5 * 4 + 2) + 11 * 64;
}

const jt_op jt_op_attention = {
    .name = "attention", .split = JT_SPLIT_OTHER, .reads_pages = true, .keep_in = 1, .keep_out = 3, .forward = forward, .scratch = scratch};
