/* imatrix_collect.c: adding up importance matrices while a model evaluates, and writing them (imatrix.c has the form). */
#include <string.h>

#include "model/gguf_write.h"
#include "model/imatrix.h"
#include "model/model.h"
#include "tensor/ops/experts.h"

/* One matrix, or those of the experts of one layer. */
struct imatrix_sum {
    const char *name; /* in GGUF; NULL: not collected */
    double *sum;      /* [experts][cols] of squares; NULL until it is met */
    uint64_t *count;  /* [experts] rows */
    int cols, experts;
};

struct jt_imatrix_sums {
    jt_model *model;
    struct imatrix_sum *of; /* [tensors of the model's set] */
    size_t n;
    void *order; /* memory for jt_expert_order_make */
    size_t cap_order;
    jt_status status; /* of the first failure */
    jt_arena arena;
};

jt_status jt_imatrix_collect(jt_model *m, jt_imatrix_sums **out, jt_error *err) {
    jt_imatrix_sums *s = jt_alloc(1, sizeof *s);
    if (!s) return jt_nomem(err, "importance matrix", 1, sizeof *s);
    s->model = m, s->n = m->weights.n;
    s->of = jt_arena_alloc(&s->arena, s->n, sizeof *s->of);
    bool fits = s->of != NULL;
    for (int layer = 0; fits && layer < m->config.layers; layer++)
        for (int r = JT_W_GLOBAL; fits && r < JT_W_TAIL; r++) {
            const jt_role_row *row = &m->config.family->role[r];
            char name[160];
            if (!row->gguf || row->vector || !jt_net_has(m->ref, layer, (jt_role)r)) continue;
            int n = snprintf(name, sizeof name, "blk.%d.%s", layer, row->gguf);
            uint16_t at = m->ref[jt_net_ref_index(layer, (jt_role)r)].tensor;
            if (!s->of[at].name) fits = (s->of[at].name = jt_arena_copy(&s->arena, name, (size_t)n)) != NULL;
        }
    if (!fits) {
        jt_imatrix_stop(s);
        return jt_nomem(err, "importance matrix", m->weights.n, sizeof *s->of);
    }
    m->sums = *out = s;
    return JT_OK;
}

/* The place of a weight, made when it is first met; NULL: it is not collected. */
static struct imatrix_sum *imatrix_place(jt_imatrix_sums *s, jt_ref ref, int cols, int experts) {
    struct imatrix_sum *x = ref.tensor < s->n ? &s->of[ref.tensor] : NULL;
    if (!x || !x->name || s->status) return NULL;
    if (x->sum) return x;
    x->cols = cols, x->experts = experts;
    x->sum = jt_arena_alloc(&s->arena, (size_t)cols * (size_t)experts, sizeof *x->sum);
    x->count = jt_arena_alloc(&s->arena, (size_t)experts, sizeof *x->count);
    if (x->sum && x->count) return x;
    s->status = JT_NOMEM;
    x->sum = NULL;
    return NULL;
}

/* Adds row r of the node's first input. */
static void imatrix_row(const jt_env *e, const jt_opnode *n, int r, struct imatrix_sum *x, int expert) {
    double *to = x->sum + (size_t)expert * (size_t)x->cols;
    size_t at = (size_t)r * (size_t)x->cols;
    x->count[expert]++;
    if (e->list->value[n->in[0]].elem == JT_ELEM_ACT) {
        int8_t *q;
        float *d, *sum;
        jt_env_act(e, n->in[0], &q, &d, &sum);
        for (int i = 0; i < x->cols; i++) {
            double v = (double)q[at + (size_t)i] * (double)d[(at + (size_t)i) / JT_ACT_BLOCK];
            to[i] += v * v;
        }
        return;
    }
    if (e->list->value[n->in[0]].elem == JT_ELEM_BF16) {
        int places = e->list->value[n->in[0]].width / x->cols; /* of one row, side by side */
        const uint16_t *b = jt_env_acts(e, n->in[0], r / places, 1).b + (size_t)(r % places) * (size_t)x->cols;
        for (int i = 0; i < x->cols; i++) to[i] += (double)jt_bf16_to_f32(b[i]) * (double)jt_bf16_to_f32(b[i]);
        return;
    }
    const float *v = jt_env_f32(e, n->in[0]) + at;
    for (int i = 0; i < x->cols; i++) to[i] += (double)v[i] * (double)v[i];
}

static void imatrix_all(jt_imatrix_sums *s, const jt_env *e, const jt_opnode *n, jt_ref ref) {
    struct imatrix_sum *x = imatrix_place(s, ref, e->set[ref.set]->w[ref.tensor].matrix.cols, 1);
    for (int r = 0; x && r < jt_env_rows(e, n->in[0]); r++) imatrix_row(e, n, r, x, 0);
}

static void imatrix_experts(jt_imatrix_sums *s, const jt_env *e, const jt_opnode *n) {
    int rows = e->rows[e->list->value[n->in[1]].rows], k = n->i[0], experts = n->i[1];
    struct imatrix_sum *x = imatrix_place(s, n->weight[0], e->set[n->weight[0].set]->w[n->weight[0].tensor].matrix.cols, experts);
    jt_expert_order o;
    size_t bytes = jt_expert_order_bytes(rows, k, experts);
    if (!x || !rows) return;
    if (jt_grow(&s->order, &s->cap_order, bytes, 1, NULL)) {
        s->status = JT_NOMEM;
        return;
    }
    jt_expert_order_make(&o, jt_env_f32(e, n->in[1]), rows, k, experts, s->order);
    for (int expert = 0; expert < experts; expert++)
        for (int at = o.start[expert]; at < o.start[expert + 1]; at++) imatrix_row(e, n, n->i[2] ? at : o.row[at], x, expert);
}

void jt_imatrix_watch(void *self, const jt_env *e, const jt_opnode *n) {
    jt_imatrix_sums *s = self;
    if (n->op == &jt_op_experts) {
        imatrix_experts(s, e, n);
    } else if (n->op == &jt_op_matmul || n->op == &jt_op_gated) {
        imatrix_all(s, e, n, n->weight[0]);
        if (n->op == &jt_op_gated) imatrix_all(s, e, n, n->weight[1]);
    }
}

size_t jt_imatrix_met(const jt_imatrix_sums *s) {
    size_t met = 0;
    for (size_t i = 0; i < s->n; i++) met += s->of[i].sum != NULL;
    return met;
}

/* Two tensors for each matrix; of parts of one tensor the first is written, all having the same input. */
static jt_status imatrix_specs(const jt_imatrix_sums *s, jt_gguf_spec *spec, size_t *which, size_t *n, jt_arena *a, jt_error *err) {
    *n = 0;
    for (size_t i = 0; i < s->n; i++) {
        const struct imatrix_sum *x = &s->of[i];
        bool again = !x->sum;
        for (size_t k = 0; !again && k < *n; k++) again = !strcmp(s->of[which[k]].name, x->name);
        if (again) continue;
        for (int k = 0; k < 2; k++) {
            char name[200];
            int len = snprintf(name, sizeof name, "%s.%s", x->name, k ? "counts" : "in_sum2");
            char *copy = jt_arena_copy(a, name, (size_t)len);
            if (!copy) return jt_nomem(err, "a tensor's name", (size_t)len, 1);
            spec[2 * *n + (size_t)k] =
                (jt_gguf_spec){copy, jt_format_of(JT_F32), 2, {k ? 1 : (uint64_t)x->cols, (uint64_t)x->experts, 1, 1}};
        }
        which[(*n)++] = i;
    }
    return *n ? JT_OK : jt_error_set(err, JT_INVALID, "nothing was evaluated, so that there is no importance matrix to write");
}

static jt_status imatrix_write(const struct imatrix_sum *x, jt_gguf_writer *w, jt_error *err) {
    jt_status s = JT_OK;
    for (size_t i = 0; !s && i < (size_t)x->cols * (size_t)x->experts; i++) {
        float v = (float)x->sum[i];
        s = jt_gguf_write(w, &v, sizeof v, err);
    }
    for (int i = 0; !s && i < x->experts; i++) {
        float v = (float)x->count[i];
        s = jt_gguf_write(w, &v, sizeof v, err);
    }
    return s;
}

jt_status jt_imatrix_save(const jt_imatrix_sums *s, const char *path, const char *text, uint64_t chunks, uint64_t chunk, jt_error *err) {
    jt_gguf_meta m = {0};
    jt_gguf_writer *w = NULL;
    jt_arena a = {0};
    size_t n = 0, *which = jt_arena_alloc(&a, s->n, sizeof *which);
    jt_gguf_spec *spec = jt_arena_alloc(&a, 2 * s->n, sizeof *spec);
    jt_status e = s->status || !which || !spec ? jt_nomem(err, "importance matrix", s->n, sizeof *spec) : JT_OK;
    if (!e) e = imatrix_specs(s, spec, which, &n, &a, err);
    jt_gguf_meta_text(&m, "general.type", "imatrix", 7);
    jt_gguf_meta_array(&m, "imatrix.datasets", JT_GGUF_STRING, 1);
    jt_gguf_meta_item_text(&m, text, strlen(text));
    jt_gguf_meta_u32(&m, "imatrix.chunk_count", chunks);
    jt_gguf_meta_u32(&m, "imatrix.chunk_size", chunk);
    if (!e) e = jt_gguf_create(path, &m, spec, 2 * n, 0, &w, err);
    for (size_t i = 0; !e && i < n; i++) e = imatrix_write(&s->of[which[i]], w, err);
    if (!e) {
        e = jt_gguf_commit(w, err);
        w = NULL;
    }
    jt_gguf_abandon(w);
    jt_gguf_meta_free(&m);
    jt_arena_free(&a);
    return e;
}

void jt_imatrix_stop(jt_imatrix_sums *s) {
    if (!s) return;
    if (s->model->sums == s) s->model->sums = NULL;
    jt_free(s->order);
    jt_arena_free(&s->arena);
    jt_free(s);
}
