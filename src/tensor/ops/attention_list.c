/* attention_list.c: attention over lists of keys, and over keys kept before the rotation (jeton/keys.h).
 *
 * Tiles are cut by the place in the list and gathered. Rows next to each other whose keys are the same share them. */
#include <math.h>
#include <string.h>

#include "jeton/tap.h"
#include "tensor/ops/attention.h"

/* Rows [r, end) of an item that begins with row r0, with the list that they have in common. */
struct run {
    const jt_env_seq *q;
    const jt_env_path *path;
    const jt_key_list *l;
    int r0, r, end, h, keys; /* keys: entries that any of them could see */
};

static bool list_same(const jt_key_list *a, const jt_key_list *b) {
    return a->n == b->n && a->from == b->from && a->renumber == b->renumber && a->raw == b->raw &&
           (!a->n || (a->depth == b->depth && a->position == b->position));
}

static uint32_t list_visible(const jt_env *e, const jt_opnode *n, const struct run *x, int r, int base, int count) {
    uint32_t see = 0;
    int nearest = n->i[1] ? e->depth[r] - n->i[1] + 1 : 0;
    for (int i = 0; i < count; i++) {
        int d = jt_key_list_depth(x->l, base + i);
        if (d >= nearest && jt_path_rank(x->path, d) <= e->rank[r] && jt_path_ran(x->path, d, n->layer)) see |= 1u << i;
    }
    return see;
}

/* Biases of a row's keys in a tile, for one query head; a bias of -inf takes the key out of *see. */
static bool list_bias(const jt_env_row_taps *t, const struct run *x, int layer, int head, int base, int count, float *bias, uint32_t *see) {
    bool any = false;
    for (int i = 0; i < t->n; i++) {
        const jt_env_tap *y = &t->tap[i];
        if (y->op != JT_TAP_KEY_BIAS || layer < y->layer_first || layer >= y->layer_end || t->depth < y->row_first ||
            t->depth >= y->row_end || (y->head && !y->head[head]))
            continue;
        if (!any) memset(bias, 0, JT_TILE * sizeof *bias);
        any = true;
        for (int k = 0; k < count; k++) {
            int d = jt_key_list_depth(x->l, base + k);
            if (d >= y->key_first && d < y->key_end) bias[k] += y->value;
        }
    }
    for (int k = 0; any && k < count; k++)
        if (bias[k] == -INFINITY) *see &= ~(1u << k);
    return any;
}

static int list_position(const struct run *x, int i) {
    if (x->l->renumber) return i;
    return i < x->l->n && x->l->position ? x->l->position[i] : jt_path_position(x->path, jt_key_list_depth(x->l, i));
}

/* Brings the entries base + i with bit i of `want` into the tile of w. */
static void list_gather(const jt_env *e, const jt_opnode *n, struct jt_attention_work *w, const struct run *x, int base, uint32_t want) {
    size_t dim = (size_t)e->kv->dim, vdim = (size_t)e->kv->vdim;
    for (int i = 0; i < JT_TILE; i++) {
        if (!(want >> i & 1)) continue;
        int slot = jt_path_slot(x->path, jt_key_list_depth(x->l, base + i)), at = slot % JT_TILE;
        const char *k = jt_page_head(e, x->q, slot, n->layer, x->h, false), *v = jt_page_head(e, x->q, slot, n->layer, x->h, true);
        if (!x->l->raw) {
            jt_kv_copy(e->kv, false, w->k, i, k, at);
            jt_kv_copy(e->kv, true, w->v, i, v, at);
            continue;
        }
        jt_kv_read(e->kv, e->engine->kernels, false, k, at, w->raw, w->half);
        jt_turn(e, &x->q->rope[n->i[4]], n->i[2], n->i[3], list_position(x, base + i), w->raw + n->i[6], 1, w->turn);
        for (size_t j = 0; j < dim; j++) w->raw_k[j * JT_TILE + (size_t)i] = w->raw[j];
        jt_kv_read(e->kv, e->engine->kernels, true, v, at, w->raw_v + (size_t)i * vdim, w->half);
    }
}

static void list_tile(const jt_env *e, const jt_opnode *n, struct jt_attention_work *w, const struct run *x, int base) {
    int group = n->i[0] / e->kv->heads, got = 0, count = x->keys - base < JT_TILE ? x->keys - base : JT_TILE;
    uint32_t want = 0;
    for (int r = x->r; r < x->end; r++) {
        uint32_t see = list_visible(e, n, x, r, base, count);
        for (int g = 0; g < group; g++) {
            int i = (r - x->r0) * group + g;
            w->visible[i] = see;
            w->biased[i] =
                see && e->taps &&
                list_bias(&e->taps[r], x, n->layer, x->h * group + g, base, count, w->bias + (size_t)i * JT_TILE, &w->visible[i]);
            if (w->visible[i]) w->of[got++] = i;
            want |= w->visible[i];
        }
    }
    if (!got) return;
    list_gather(e, n, w, x, base, want);
    if (x->l->raw)
        jt_attention_meet(e, n, w, got, JT_F32, w->raw_k, w->raw_v);
    else
        jt_attention_meet(e, n, w, got, e->kv->type, w->k, w->v);
}

void jt_attention_list_item(const jt_env *e, const jt_opnode *n, struct jt_attention_work *w, const jt_env_seq *q, int r0, int r1, int h) {
    int nq = jt_attention_begin(e, n, w, r0, r1, h);
    for (int r = r0, end; r < r1; r = end) {
        const jt_env_path *p = e->path[r];
        jt_key_list l = jt_key_list_of(e, r, n->layer, h), other;
        int last = 0;
        for (end = r; end < r1 && e->path[end] == p && (other = jt_key_list_of(e, end, n->layer, h), list_same(&l, &other)); end++) {
            int d = p->more ? p->trunk + p->more : p->trunk <= e->rank[end] ? p->trunk : e->rank[end] + 1;
            if (d > last) last = d;
        }
        struct run x = {q, p, &l, r0, r, end, h, l.n + (last > l.from ? last - l.from : 0)};
        for (int base = 0; base < x.keys; base += JT_TILE) list_tile(e, n, w, &x, base);
    }
    jt_attention_end(e, n, w, nq, r0, h);
}
