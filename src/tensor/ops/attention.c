/* attention.c: softmax(scale q K^T) V over the keys that each row may see, in tiles of
 * JT_TILE keys by logical index, the depth along the row's path (docs/numbers.md).
 *
 * Where depth and slot agree (the trunk of a sequence) a tile is a page; elsewhere its
 * keys are gathered. Threads take blocks of rows of one sequence and one key-value
 * head, or several heads where the rows are few; the query heads of a group, and rows of a block, share the loads of keys. */
#include <limits.h>
#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "jeton/tap.h"
#include "tensor/ops/attention.h"

static size_t op_attention_carve(struct jt_attention_work *w, char *p, size_t nq, const jt_kv_layout *kv) {
    size_t vdim = (size_t)kv->vdim, dim = (size_t)kv->dim > vdim ? (size_t)kv->dim : vdim;
    char *start = p;
#define TAKE(field, n) w->field = (void *)p, p += (((n) * sizeof *w->field) + 63) & ~(size_t)63
    TAKE(q, nq);
    TAKE(acc, nq);
    TAKE(m, nq);
    TAKE(l, nq);
    TAKE(sum, nq * vdim);
    TAKE(tile_q, nq);
    TAKE(tile_acc, nq);
    TAKE(tile_m, nq);
    TAKE(tile_l, nq);
    TAKE(visible, nq);
    TAKE(tile_visible, nq);
    TAKE(tile_bias, nq);
    TAKE(bias, nq * JT_TILE);
    TAKE(biased, nq);
    TAKE(of, nq);
    TAKE(k, kv->head_bytes);
    TAKE(v, kv->value_bytes);
    TAKE(raw_k, dim * JT_TILE);
    TAKE(raw_v, vdim * JT_TILE);
    TAKE(raw, dim);
    TAKE(turn, dim);
    TAKE(half, dim);
#undef TAKE
    w->next_k = w->next_v = NULL;
    return (size_t)(p - start);
}

/* The first n of a tile's bits. */
static uint32_t first_bits(int n) { return n <= 0 ? 0 : n >= JT_TILE ? 0xffffffffu : (1u << n) - 1u; }

/* Keys of tile t that a row of this path and rank sees; *moved: one of them is not in the slot of its depth. */
static uint32_t op_attention_visible(const jt_env_path *p, int rank, int layer, int t, bool *moved) {
    int base = t * JT_TILE, below = p->trunk <= rank ? p->trunk : rank < 0 ? 0 : rank + 1;
    uint32_t see = first_bits(below - base);
    int first = p->trunk > base ? p->trunk : base, end = p->trunk + p->more < base + JT_TILE ? p->trunk + p->more : base + JT_TILE;
    *moved = false;
    for (int d = first; d < end; d++)
        if (p->rank[d - p->trunk] <= rank && (!p->layers || jt_layer_in(p->layers[d - p->trunk], layer)))
            see |= 1u << (d - base), *moved |= p->slot[d - p->trunk] != d;
    return see;
}

/* Of tile t, the keys within the window of a row at this depth. */
static uint32_t op_attention_window(int depth, int window, bool ahead, int t) {
    uint32_t see = ~first_bits(depth - window + 1 - t * JT_TILE);
    return ahead ? see & first_bits(depth + window - t * JT_TILE) : see;
}

/* A head's keys of a page; its values follow. */
static const char *op_attention_keys(const jt_env *e, const jt_opnode *n, const jt_env_seq *q, int page, int h) {
    return jt_page_head(e, q, page * JT_TILE, n->layer, h, false);
}

/* Copies the keys of tile t of a path into w->k and w->v. */
static void op_attention_gather(const jt_env *e, const jt_opnode *n, struct jt_attention_work *w, const jt_env_seq *q, const jt_env_path *p,
                                int t, int h) {
    int base = t * JT_TILE;
    for (int i = 0; i < JT_TILE && base + i < p->trunk + p->more; i++) {
        int slot = base + i < p->trunk ? base + i : p->slot[base + i - p->trunk];
        const char *k = op_attention_keys(e, n, q, slot / JT_TILE, h);
        jt_kv_copy(e->kv, false, w->k, i, k, slot % JT_TILE);
        jt_kv_copy(e->kv, true, w->v, i, k + e->kv->head_bytes, slot % JT_TILE);
    }
}

/* Lets the queries listed in w->of meet one tile. */
void jt_attention_meet(const jt_env *e, const jt_opnode *n, struct jt_attention_work *w, int got, jt_type type, const void *k,
                       const void *v) {
    for (int i = 0; i < got; i++) {
        int of = w->of[i];
        w->tile_q[i] = w->q[of], w->tile_acc[i] = w->acc[of], w->tile_m[i] = w->m[of], w->tile_l[i] = w->l[of];
        w->tile_visible[i] = w->visible[of];
        w->tile_bias[i] = w->biased[of] ? w->bias + (size_t)of * JT_TILE : NULL;
    }
    jt_attn_tile a = {.nq = got,
                      .dim = e->kv->dim,
                      .vdim = e->kv->vdim,
                      .type = type,
                      .scale = n->f[0],
                      .cap = n->f[1],
                      .q = w->tile_q,
                      .visible = w->tile_visible,
                      .bias = w->tile_bias,
                      .m = w->tile_m,
                      .l = w->tile_l,
                      .acc = w->tile_acc,
                      .k = k,
                      .v = v,
                      .next_k = w->next_k,
                      .next_v = w->next_v};
    if (got) e->engine->kernels->attn_tile(&a);
    for (int i = 0; i < got; i++) w->m[w->of[i]] = w->tile_m[i], w->l[w->of[i]] = w->tile_l[i];
}

/* Biases of a row's keys in tile t, for one query. */
static bool op_attention_bias_of(const jt_env_row_taps *r, int layer, int head, int t, float bias[JT_TILE]) {
    bool any = false;
    for (int i = 0; i < r->n; i++) {
        const jt_env_tap *x = &r->tap[i];
        if (x->op != JT_TAP_KEY_BIAS || layer < x->layer_first || layer >= x->layer_end || r->depth < x->row_first ||
            r->depth >= x->row_end || (x->head && !x->head[head]))
            continue;
        for (int k = 0; k < JT_TILE; k++) {
            int d = t * JT_TILE + k;
            if (!any && k == 0) memset(bias, 0, JT_TILE * sizeof *bias);
            if (d >= x->key_first && d < x->key_end) bias[k] += x->value;
        }
        any = true;
    }
    return any;
}

static void op_attention_tile(const jt_env *e, const jt_opnode *n, struct jt_attention_work *w, const jt_env_seq *q, int r0, int r1, int h,
                              int group, int t) {
    int direct = 0;
    for (int r = r0; r < r1; r++) { /* those that can read the page itself */
        bool moved;
        uint32_t see = op_attention_visible(e->path[r], e->rank[r], n->layer, t, &moved);
        if (n->i[1]) see &= op_attention_window(e->depth[r], n->i[1], n->i[7] & JT_ATTENTION_AHEAD, t);
        for (int g = 0; g < group; g++) {
            int i = (r - r0) * group + g;
            w->visible[i] = see;
            float *bias = w->bias + (size_t)i * JT_TILE;
            w->biased[i] = see && e->taps && op_attention_bias_of(&e->taps[r], n->layer, h * group + g, t, bias);
            for (int k = 0; w->biased[i] && k < JT_TILE; k++) /* a tile of nothing but -inf would have no maximum */
                if (bias[k] == -INFINITY) w->visible[i] &= ~(1u << k);
            if (w->visible[i] && !moved) w->of[direct++] = i;
        }
    }
    const char *keys = direct ? op_attention_keys(e, n, q, t, h) : NULL;
    jt_attention_meet(e, n, w, direct, e->kv->type, keys, direct ? keys + e->kv->head_bytes : NULL);
    for (int r = r0, end; r < r1; r = end) { /* runs of rows with one path share a gathered tile */
        int got = 0;
        for (end = r; end < r1 && e->path[end] == e->path[r]; end++) {
            bool moved;
            if (!op_attention_visible(e->path[end], e->rank[end], n->layer, t, &moved) || !moved) continue;
            for (int g = 0; g < group; g++)
                if (w->visible[(end - r0) * group + g]) w->of[got++] = (end - r0) * group + g;
        }
        if (!got) continue;
        op_attention_gather(e, n, w, q, e->path[r], t, h);
        jt_attention_meet(e, n, w, got, e->kv->type, w->k, w->v);
    }
}

int jt_attention_begin(const jt_env *e, const jt_opnode *n, struct jt_attention_work *w, int r0, int r1, int h) {
    const float *x = jt_env_f32(e, n->in[0]),
                *sink = n->i[7] & JT_ATTENTION_SINKS ? e->set[n->weight[0].set]->w[n->weight[0].tensor].vector : NULL;
    int heads = n->i[0], group = heads / e->kv->heads, nq = (r1 - r0) * group;
    size_t dim = (size_t)e->kv->dim, vdim = (size_t)e->kv->vdim, width = (size_t)heads * dim;
    for (int i = 0; i < nq; i++) {
        int r = r0 + i / group, head = h * group + i % group;
        w->q[i] = x + (size_t)r * width + (size_t)head * dim;
        w->acc[i] = w->sum + (size_t)i * vdim;
        w->m[i] = sink ? sink[head] : -INFINITY, w->l[i] = sink ? 1 : 0;
        memset(w->acc[i], 0, vdim * sizeof **w->acc);
    }
    return nq;
}

void jt_attention_end(const jt_env *e, const jt_opnode *n, struct jt_attention_work *w, int nq, int r0, int h) {
    float *y = jt_env_f32(e, n->out[0]), *stat = n->out[1] == JT_NOVAL ? NULL : jt_env_f32(e, n->out[1]);
    int heads = n->i[0], group = heads / e->kv->heads;
    size_t dim = (size_t)e->kv->vdim, width = (size_t)heads * dim;
    for (int i = 0; i < nq; i++) {
        size_t r = (size_t)r0 + (size_t)(i / group), head = (size_t)h * (size_t)group + (size_t)(i % group);
        if (w->l[i] == 0) /* it saw no key at all */
            memset(y + r * width + head * dim, 0, dim * sizeof *y);
        else
            e->engine->kernels->attn_end(w->acc[i], w->l[i], e->kv->vdim, y + r * width + head * dim);
        if (stat) stat[(r * (size_t)heads + head) * 2] = w->m[i], stat[(r * (size_t)heads + head) * 2 + 1] = w->l[i];
    }
}

/* The k-th head's part of the work. */
static struct jt_attention_work op_attention_view(const struct jt_attention_work *w, size_t k, size_t nq, size_t vdim) {
    struct jt_attention_work v = *w;
    v.q += k * nq, v.acc += k * nq, v.m += k * nq, v.l += k * nq, v.sum += k * nq * vdim;
    v.visible += k * nq, v.bias += k * nq * JT_TILE, v.biased += k * nq;
    return v;
}

/* Rows [r0, r1) of sequence q, key-value heads [h0, h1), of which there are at most JT_ATTENTION_ROWS / rows. Tile by tile,
 * for the keys and values of the heads of a page, and of the pages made together, lie beside each other in memory. */
static void op_attention_item(const jt_env *e, const jt_opnode *n, const struct jt_attention_work *w, const jt_env_seq *q, int r0, int r1,
                              int h0, int h1) {
    int group = n->i[0] / e->kv->heads, nq = (r1 - r0) * group, first = INT_MAX, depth = 0;
    struct jt_attention_work view[JT_ATTENTION_ROWS];
    for (int h = h0; h < h1; h++) {
        view[h - h0] = op_attention_view(w, (size_t)(h - h0), (size_t)nq, (size_t)e->kv->vdim);
        jt_attention_begin(e, n, &view[h - h0], r0, r1, h);
    }
    for (int r = r0; r < r1; r++) {
        const jt_env_path *p = e->path[r];
        int d = p->more ? p->trunk + p->more : p->trunk <= e->rank[r] ? p->trunk : e->rank[r] + 1;
        if (n->i[7] & JT_ATTENTION_AHEAD && n->i[1] && e->depth[r] < d - n->i[1]) d = e->depth[r] + n->i[1];
        if (d > depth) depth = d;
        d = n->i[1] && e->depth[r] >= n->i[1] ? e->depth[r] - n->i[1] + 1 : 0;
        if (d < first) first = d;
    }
    for (int t = first / JT_TILE; t * JT_TILE < depth; t++)
        for (int h = h0; h < h1; h++) {
            struct jt_attention_work *v = &view[h - h0];
            int page = h + 1 < h1 ? t : t + 1, head = h + 1 < h1 ? h + 1 : h0;
            bool more = page * JT_TILE < depth;
            v->next_k = more ? op_attention_keys(e, n, q, page, head) : NULL;
            v->next_v = more ? (const char *)v->next_k + e->kv->head_bytes : NULL;
            op_attention_tile(e, n, v, q, r0, r1, h, group, t);
        }
    for (int h = h0; h < h1; h++) jt_attention_end(e, n, &view[h - h0], nq, r0, h);
}

/* Whether a row's keys are not simply those of its path. */
static bool op_attention_lists(const jt_env *e, int layer, int r0, int r1, int h) {
    for (int r = r0; e->keys && r < r1; r++) {
        jt_key_list l = jt_key_list_of(e, r, layer, h);
        if (!jt_key_list_plain(&l)) return true;
    }
    return false;
}

static void op_attention_heads(const jt_env *e, const jt_opnode *n, struct jt_attention_work *w, const jt_env_seq *q, int r0, int r1,
                               int h0, int h1) {
    bool lists = false;
    for (int h = h0; h < h1 && e->keys; h++) lists |= op_attention_lists(e, n->layer, r0, r1, h);
    for (int h = h0; h < h1 && lists; h++) {
        if (op_attention_lists(e, n->layer, r0, r1, h))
            jt_attention_list_item(e, n, w, q, r0, r1, h);
        else
            op_attention_item(e, n, w, q, r0, r1, h, h + 1);
    }
    if (!lists) op_attention_item(e, n, w, q, r0, r1, h0, h1);
}

static int op_attention_blocks(const jt_env_seq *q) { return (q->rows + JT_ATTENTION_ROWS - 1) / JT_ATTENTION_ROWS; }

/* Key-value heads of an item: as many as there is room for while every thread has an item. */
static int op_attention_together(const jt_env_seq *q, int kv, int most) {
    int together = q->rows < JT_ATTENTION_ROWS ? JT_ATTENTION_ROWS / q->rows : 1;
    if (together > most) together = most > 1 ? most : 1;
    return together < kv ? together : kv;
}

/* Items are taken from the last rows, which see most, to the first. */
static void op_attention_forward(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    struct jt_attention_work w;
    int blocks = 0, items = 0, at = 0, kv = e->kv->heads;
    op_attention_carve(&w, s->scratch, (size_t)JT_ATTENTION_ROWS * (size_t)(n->i[0] / kv), e->kv);
    for (int k = 0; k < e->n_seq; k++) blocks += op_attention_blocks(&e->seq[k]);
    int most = (int)((int64_t)blocks * kv / s->threads);
    for (int k = 0; k < e->n_seq; k++) {
        int together = op_attention_together(&e->seq[k], kv, most);
        items += op_attention_blocks(&e->seq[k]) * ((kv + together - 1) / together);
    }
    for (int k = e->n_seq - 1, i = jt_turns_take(s->taken, items); k >= 0 && i >= 0; k--) {
        const jt_env_seq *q = &e->seq[k];
        int together = op_attention_together(q, kv, most), groups = (kv + together - 1) / together, last = q->first + q->rows;
        for (; i >= 0 && i - at < op_attention_blocks(q) * groups; i = jt_turns_take(s->taken, items)) {
            int h = (i - at) % groups * together, r = q->first + (op_attention_blocks(q) - 1 - (i - at) / groups) * JT_ATTENTION_ROWS;
            op_attention_heads(e, n, &w, q, r, r + JT_ATTENTION_ROWS < last ? r + JT_ATTENTION_ROWS : last, h,
                               h + together < kv ? h + together : kv);
        }
        at += op_attention_blocks(q) * groups;
    }
}

static size_t op_attention_scratch(const jt_env *e, const jt_opnode *n) {
    struct jt_attention_work w;
    return op_attention_carve(&w, (char *)(uintptr_t)JT_ALIGN, (size_t)JT_ATTENTION_ROWS * (size_t)(n->i[0] / e->kv->heads), e->kv);
}

const jt_op jt_op_attention = {.name = "attention",
                               .split = JT_SPLIT_OTHER,
                               .reads_pages = true,
                               .keep_in = 1,
                               .keep_out = 3,
                               .forward = op_attention_forward,
                               .scratch = op_attention_scratch};
