/* select.c: functions that choose the keys of a group of rows (jeton/keys.h). The first thread calls them; what they may
 * ask is computed here, so that they see numbers and never memory of the cache. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "tensor/ops/key_list.h"

enum { LANES = JT_PANEL };

struct jt_select {
    const jt_env *e;
    const jt_opnode *n;
    const jt_env_keys *keys; /* whose function is called */
    int first, end;          /* rows of the pass */
    int rank;                /* the highest of them */
    /* Scratch: keys as a panel [dim][LANES], one key, its halves, products [heads of a group][LANES], a position. */
    float *panel, *key, *y, *turn;
    uint16_t *half;
};

static size_t select_carve(struct jt_select *x, char *p, size_t dim, size_t group) {
    char *start = p;
#define TAKE(field, n) x->field = (void *)p, p += (((n) * sizeof *x->field) + 63) & ~(size_t)63
    TAKE(panel, dim * LANES);
    TAKE(key, dim);
    TAKE(half, dim);
    TAKE(y, group * LANES);
    TAKE(turn, dim);
#undef TAKE
    return (size_t)(p - start);
}

int jt_select_layer(const jt_select *x) { return x->n->layer; }
int jt_select_rows(const jt_select *x) { return x->end - x->first; }
int jt_select_keys(const jt_select *x) { return x->e->keys[x->first].own; }

static const jt_env_rope *select_rope(const jt_select *x) { return &x->e->seq[x->e->row_seq[x->first]].rope[x->n->i[5]]; }
static bool select_runs(const jt_select *x, int row) { return !x->e->layers || jt_layer_in(x->e->layers[row], x->n->layer); }

void jt_select_query(const jt_select *x, int row, int position, float *q) {
    int heads = x->n->i[0];
    size_t width = (size_t)heads * (size_t)x->n->i[1];
    memcpy(q, jt_env_f32(x->e, x->n->out[0]) + (size_t)(x->first + row) * width, width * sizeof *q);
    if (position) jt_turn(x->e, select_rope(x), x->n->i[2], x->n->i[3], position, q + x->n->i[6], heads, x->turn);
}

void jt_select_mean_query(const jt_select *x, int position, float *q) {
    int heads = x->n->i[0], dim = x->n->i[1], count = 0;
    memset(q, 0, (size_t)heads * (size_t)dim * sizeof *q);
    for (int r = x->first; r < x->end; r++) {
        const float *from = jt_env_f32(x->e, x->n->out[0]) + (size_t)r * (size_t)heads * (size_t)dim;
        int at = position + r - x->first;
        if (!select_runs(x, r)) continue;
        for (int h = 0; h < heads; h++) {
            memcpy(x->key, from + (size_t)h * (size_t)dim, (size_t)dim * sizeof *x->key);
            if (at) jt_turn(x->e, select_rope(x), x->n->i[2], x->n->i[3], at, x->key + x->n->i[6], 1, x->turn);
            for (int j = 0; j < dim; j++) q[h * dim + j] += x->key[j];
        }
        count++;
    }
    for (int i = 0; count && i < heads * dim; i++) q[i] /= (float)count;
}

/* Scores of nq query heads that share key-value head h: out[i * ld + k - first]. */
static void select_scores(const jt_select *x, const float *q, int nq, int h, int first, int end, float *out, size_t ld) {
    const jt_env *e = x->e;
    const jt_env_path *p = e->path[x->first];
    const jt_env_seq *s = &e->seq[e->row_seq[x->first]];
    int dim = x->n->i[1];
    jt_acts acts = {.rows = nq, .cols = dim, .x = q};
    for (int base = first; base < end; base += LANES) {
        int n = end - base < LANES ? end - base : LANES;
        bool see[LANES];
        for (int k = 0; k < n; k++) {
            int d = base + k, slot = jt_path_slot(p, d);
            see[k] = jt_path_rank(p, d) <= x->rank && jt_path_ran(p, d, x->n->layer);
            if (!see[k]) continue;
            jt_kv_read(e->kv, e->engine->kernels, false, jt_page_head(e, s, slot, x->n->layer, h, false), slot % JT_TILE, x->key, x->half);
            for (int j = 0; j < dim; j++) x->panel[j * LANES + k] = x->key[j];
        }
        e->engine->kernels->panel_f32(JT_PANEL_F32, x->panel, &acts, 0, nq, x->y, LANES);
        for (int i = 0; i < nq; i++)
            for (int k = 0; k < n; k++) out[(size_t)i * ld + (size_t)(base + k - first)] = see[k] ? x->y[i * LANES + k] : -INFINITY;
    }
}

void jt_select_score(const jt_select *x, const float *q, int head, int first, int end, float *score) {
    int group = x->n->i[0] / x->e->kv->heads;
    select_scores(x, q + (size_t)head * (size_t)x->n->i[1], 1, head / group, first, end, score, 0);
}

jt_status jt_select_vote(const jt_select *x, const float *q, int first, int end, float scale, float *vote) {
    const jt_kernels *k = x->e->engine->kernels;
    jt_env_select *memory = x->e->select;
    int group = x->n->i[0] / x->e->kv->heads, n = end - first;
    if (n <= 0) return JT_OK;
    size_t ld = (size_t)n;
    jt_status e = jt_grow((void **)&memory->x, &memory->cap_x, ld * (size_t)group, sizeof *memory->x, x->e->select_error);
    if (e) return e;
    memset(vote, 0, ld * sizeof *vote);
    for (int h = 0; h < x->e->kv->heads; h++) {
        select_scores(x, q + (size_t)h * (size_t)group * (size_t)x->n->i[1], group, h, first, end, memory->x, ld);
        for (int g = 0; g < group; g++) {
            float *s = memory->x + (size_t)g * ld;
            double total;
            for (int i = 0; i < n; i++)
                if (s[i] > -INFINITY) s[i] *= scale;
            float most = k->max(s, n);
            if (most == -INFINITY) continue;
            k->sum_exp(s, n, most, &total, NULL);
            for (int i = 0; i < n; i++) s[i] -= most;
            k->exp(s, n, s);
            for (int i = 0; i < n; i++) vote[i] += s[i] / (float)total;
        }
    }
    return JT_OK;
}

/* Whether index a is worse than index b: smaller, or equal and later. */
static bool select_worse(const float *v, int a, int b) { return v[a] < v[b] || (v[a] == v[b] && a > b); }

static void select_sink(const float *v, int32_t *heap, int n, int at) {
    for (int c = 2 * at + 1; c < n; at = c, c = 2 * at + 1) {
        if (c + 1 < n && select_worse(v, heap[c + 1], heap[c])) c++;
        if (!select_worse(v, heap[c], heap[at])) return;
        int32_t t = heap[at];
        heap[at] = heap[c], heap[c] = t;
    }
}

static int select_ascending(const void *a, const void *b) {
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

int jt_select_top(const float *v, int n, int k, int32_t *index) {
    int got = 0;
    for (int i = 0; i < n && k > 0; i++) {
        if (!(v[i] > -INFINITY)) continue;
        if (got < k) {
            index[got++] = i;
            for (int at = got / 2 - 1; got == k && at >= 0; at--) select_sink(v, index, got, at);
        } else if (select_worse(v, index[0], i)) {
            index[0] = i;
            select_sink(v, index, got, 0);
        }
    }
    qsort(index, (size_t)got, sizeof *index, select_ascending);
    return got;
}

static jt_status select_copy(jt_env_choice *c, const jt_keys *k, jt_error *err) {
    size_t n = (size_t)k->n;
    jt_status e = jt_grow((void **)&c->depth, &c->cap_depth, n, sizeof *c->depth, err);
    if (!e && k->position) e = jt_grow((void **)&c->position, &c->cap_position, n, sizeof *c->position, err);
    if (e) return e;
    if (n) memcpy(c->depth, k->depth, n * sizeof *c->depth);
    if (n && k->position) memcpy(c->position, k->position, n * sizeof *c->position);
    c->used = true;
    c->keys = (jt_env_keys){
        .depth = c->depth, .position = k->position ? c->position : NULL, .n = k->n, .local = k->local, .renumber = k->renumber};
    return JT_OK;
}

jt_status jt_select_use(jt_select *x, const jt_keys *k) {
    const jt_env_row_keys *row = &x->e->keys[x->first];
    int heads = x->e->kv->heads;
    jt_status e = jt_keys_check(k, row->raw, row->own, heads, x->e->select_error);
    for (int h = 0; h < heads && !e; h++) {
        bool named = !k->heads && (!x->keys->head || x->keys->head[h]);
        for (int i = 0; k->heads && i < k->n_heads; i++) named |= k->heads[i] == h;
        if (named) e = select_copy(&x->e->select->choice[row->choice + h], k, x->e->select_error);
    }
    return e;
}

/* Asks the functions of the group that begins at row `first`. */
static jt_status select_ask(const jt_env *e, const jt_opnode *n, jt_select *x) {
    const jt_env_row_keys *row = &e->keys[x->first];
    jt_status s = JT_OK;
    bool runs = false;
    for (int h = 0; h < e->kv->heads; h++) e->select->choice[row->choice + h].used = false;
    for (int r = x->first; r < x->end; r++) runs |= select_runs(x, r);
    for (int i = 0; i < row->n && runs && !s; i++) {
        const jt_env_keys *k = &row->keys[i];
        if (!k->select || n->layer < k->layer_first || n->layer >= k->layer_end || row->own < k->row_first || row->own >= k->row_end)
            continue;
        for (int h = 0; h < e->kv->heads; h++)
            if (!k->head || k->head[h]) e->select->choice[row->choice + h].used = false;
        x->keys = k;
        s = k->select(k->self, x);
    }
    return s;
}

static void select_forward(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    float *q = jt_env_f32(e, n->out[0]);
    const float *from = jt_env_f32(e, n->in[0]);
    int rows = jt_env_rows(e, n->in[0]);
    jt_select x = {.e = e, .n = n};
    if (s->thread) return;
    if (q != from) memcpy(q, from, (size_t)rows * (size_t)n->i[0] * (size_t)n->i[1] * sizeof *q);
    select_carve(&x, s->scratch, (size_t)n->i[1], (size_t)(n->i[0] / e->kv->heads));
    for (int r = 0, end; r < rows && !*e->select_status; r = end) {
        for (end = r + 1; end < rows && e->keys[end].first == r;) end++;
        if (e->keys[r].choice < 0) continue;
        x.first = r, x.end = end, x.rank = e->rank[r];
        for (int i = r; i < end; i++) x.rank = e->rank[i] > x.rank ? e->rank[i] : x.rank;
        *e->select_status = select_ask(e, n, &x);
    }
}

static size_t select_scratch(const jt_env *e, const jt_opnode *n) {
    struct jt_select x;
    return select_carve(&x, (char *)(uintptr_t)JT_ALIGN, (size_t)n->i[1], (size_t)(n->i[0] / e->kv->heads));
}

const jt_op jt_op_select = {
    .name = "select", .split = JT_SPLIT_OTHER, .alias_in = 1, .reads_pages = true, .forward = select_forward, .scratch = select_scratch};
