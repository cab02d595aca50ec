/* list.c: building, planning and running lists of operators (op.h). */
#include <string.h>

#include "core/mem.h"
#include "tensor/op.h"

static void list_fail(jt_list *l, jt_status s) {
    if (!l->status) l->status = s;
}

static size_t row_bytes(jt_elem elem, int width) {
    size_t w = (size_t)width, b = w * 4;
    if (elem == JT_ELEM_ACT) b = w + w / JT_ACT_BLOCK * 4 + w / 32 * 4;
    if (elem == JT_ELEM_BF16) b = jt_bf16_stride(width) * 2;
    return (b + JT_ALIGN - 1) & ~(size_t)(JT_ALIGN - 1);
}

jt_val jt_list_value(jt_list *l, jt_rows rows, jt_elem elem, int width) {
    jt_status s = l->n_value >= JT_NOVAL ? JT_LIMIT : jt_grow((void **)&l->value, &l->cap_value, l->n_value + 1, sizeof *l->value, NULL);
    if (s) {
        list_fail(l, s);
        return JT_NOVAL;
    }
    l->value[l->n_value] =
        (jt_value){.rows = rows, .elem = elem, .width = width, .alias = JT_NOVAL, .born = -1, .dies = -1, .bytes = row_bytes(elem, width)};
    return (jt_val)l->n_value++;
}

jt_opnode *jt_list_node(jt_list *l, const jt_op *op, int layer) {
    jt_status s = jt_grow((void **)&l->node, &l->cap_node, l->n_node + 1, sizeof *l->node, NULL);
    if (s) list_fail(l, s);
    jt_opnode *n = s ? &l->spare : &l->node[l->n_node++];
    *n = (jt_opnode){.op = op, .layer = (int16_t)layer};
    for (int i = 0; i < JT_MAX_IN; i++) n->in[i] = JT_NOVAL;
    for (int i = 0; i < JT_MAX_OUT; i++) n->out[i] = JT_NOVAL;
    return n;
}

void jt_list_export(jt_list *l, jt_val v, int site, int layer) {
    jt_status s = v == JT_NOVAL ? JT_NOMEM : jt_grow((void **)&l->exports, &l->cap_export, l->n_export + 1, sizeof *l->exports, NULL);
    if (s) {
        list_fail(l, s);
        return;
    }
    l->exports[l->n_export++] = (jt_export){v, (int16_t)site, (int16_t)layer};
    l->value[v].keep = true;
}

void jt_list_free(jt_list *l) {
    jt_free(l->value), jt_free(l->node), jt_free(l->exports);
    *l = (jt_list){0};
}

/* ---- planner ---- */

static void mark_lives(jt_list *l) {
    for (size_t i = 0; i < l->n_node; i++) {
        const jt_opnode *n = &l->node[i];
        for (int k = 0; k < JT_MAX_OUT; k++)
            if (n->out[k] != JT_NOVAL) l->value[n->out[k]].born = l->value[n->out[k]].dies = (int32_t)i;
        for (int k = 0; k < JT_MAX_IN; k++)
            if (n->in[k] != JT_NOVAL) l->value[n->in[k]].dies = (int32_t)i;
    }
    for (size_t v = 0; v < l->n_value; v++)
        if (l->value[v].keep) l->value[v].dies = INT32_MAX;
}

/* The lowest offset at which `v` fits beside the values alive when it is born. */
static void list_place(jt_list *l, jt_val v) {
    jt_value *x = &l->value[v];
    size_t at = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t u = 0; u < l->n_value; u++) {
            const jt_value *y = &l->value[u];
            if (u == v || y->rows != x->rows || y->born < 0 || y->born > x->born || y->dies < x->born) continue;
            if (y->born == x->born && u > v) continue; /* a sibling output not yet placed */
            if (y->at < at + x->bytes && at < y->at + y->bytes) at = y->at + y->bytes, moved = true;
        }
    }
    x->at = at;
    if (at + x->bytes > l->row_bytes[x->rows]) l->row_bytes[x->rows] = at + x->bytes;
}

static void place_outputs(jt_list *l, int32_t i) {
    const jt_opnode *n = &l->node[i];
    for (int k = 0; k < JT_MAX_OUT; k++) {
        if (n->out[k] == JT_NOVAL) continue;
        jt_value *x = &l->value[n->out[k]];
        jt_val from = k == 0 && n->op->alias_in ? n->in[n->op->alias_in - 1] : JT_NOVAL;
        const jt_value *y = from == JT_NOVAL ? NULL : &l->value[from];
        if (from != JT_NOVAL && !y->keep && y->dies == i && y->rows == x->rows && y->elem == x->elem && y->bytes == x->bytes)
            x->alias = from, x->at = y->at;
        else
            list_place(l, n->out[k]);
    }
}

static bool list_overlap(const jt_value *a, const jt_value *b) {
    return a->rows == b->rows && a->at < b->at + b->bytes && b->at < a->at + a->bytes;
}

/* Two nodes may run without a barrier between them if neither writes what the other
 * reads or writes, or if both cut the same rows the same way and meet only in values
 * that lie at the same place. */
static bool list_meet(const jt_list *l, const jt_opnode *a, const jt_opnode *b) {
    if (a->op->effects && b->op->reads_pages && a->layer == b->layer) return true;
    for (int i = 0; i < JT_MAX_IN + JT_MAX_OUT; i++) {
        jt_val va = i < JT_MAX_IN ? a->in[i] : a->out[i - JT_MAX_IN];
        if (va == JT_NOVAL) continue;
        for (int j = 0; j < JT_MAX_IN + JT_MAX_OUT; j++) {
            jt_val vb = j < JT_MAX_IN ? b->in[j] : b->out[j - JT_MAX_IN];
            if (vb == JT_NOVAL || (i < JT_MAX_IN && j < JT_MAX_IN)) continue;
            const jt_value *x = &l->value[va], *y = &l->value[vb];
            bool alike = a->op->split == JT_SPLIT_ROWS && b->op->split == JT_SPLIT_ROWS;
            if (list_overlap(x, y) && !(alike && x->at == y->at && x->elem == y->elem && x->width == y->width)) return true;
        }
    }
    return false;
}

static void place_barriers(jt_list *l) {
    size_t since = 0;
    for (size_t i = 0; i < l->n_node; i++) {
        bool need = false;
        for (size_t k = since; k < i && !need; k++) need = list_meet(l, &l->node[k], &l->node[i]);
        if (need) l->node[i].barrier = true, since = i;
    }
}

jt_status jt_list_plan(jt_list *l, jt_error *err) {
    if (l->status)
        return jt_error_set(err, l->status, "building the network's list of operators: %s",
                            l->status == JT_NOMEM ? "out of memory" : "too many values");
    mark_lives(l);
    for (size_t i = 0; i < l->n_node; i++) place_outputs(l, (int32_t)i);
    place_barriers(l);
    l->planned = true;
    return JT_OK;
}

/* ---- running ---- */

size_t jt_list_storage(const jt_list *l, const int rows[JT_ROWS_CLASSES], size_t class_at[JT_ROWS_CLASSES]) {
    size_t at = 0;
    for (int c = 0; c < JT_ROWS_CLASSES; c++) class_at[c] = at, at += l->row_bytes[c] * (size_t)rows[c];
    return at + l->n_node * sizeof(jt_turns);
}

size_t jt_list_scratch(const jt_list *l, const jt_env *e) {
    size_t most = 0;
    for (size_t i = 0; i < l->n_node; i++) {
        const jt_opnode *n = &l->node[i];
        size_t need = n->op->scratch ? n->op->scratch(e, n) : 0;
        if (need > most) most = need;
    }
    return most;
}

void jt_env_act(const jt_env *e, jt_val v, int8_t **q, float **d, float **s) {
    size_t rows = (size_t)jt_env_rows(e, v), w = (size_t)e->list->value[v].width;
    char *p = jt_buffer_at(e->storage, jt_env_at(e, v));
    *q = (int8_t *)p;
    *d = (float *)(p + rows * w);
    *s = *d + rows * (w / JT_ACT_BLOCK);
}

static uint16_t *list_bf16(const jt_env *e, jt_val v, int row) {
    return (uint16_t *)jt_buffer_at(e->storage, jt_env_at(e, v)) + (size_t)row * jt_bf16_stride(e->list->value[v].width);
}

jt_acts jt_env_acts(const jt_env *e, jt_val v, int row, int rows) {
    const jt_value *x = &e->list->value[v];
    size_t at = (size_t)row * (size_t)x->width;
    jt_acts a = {.rows = rows, .cols = x->width};
    if (x->elem == JT_ELEM_BF16) {
        a.b = list_bf16(e, v, row);
    } else if (x->elem == JT_ELEM_ACT) {
        int8_t *q;
        float *d, *s;
        jt_env_act(e, v, &q, &d, &s);
        a.q = q + at, a.d = d + at / JT_ACT_BLOCK, a.s = s + at / 32;
    } else {
        a.x = jt_env_f32(e, v) + at;
    }
    return a;
}

void jt_env_round(const jt_env *e, jt_val v, int row, int first, int n, const float *x) {
    const jt_value *y = &e->list->value[v];
    if (y->elem == JT_ELEM_BF16) {
        e->engine->kernels->to_bf16(x, n, list_bf16(e, v, row) + first);
        return;
    }
    size_t at = (size_t)row * (size_t)y->width + (size_t)first;
    int8_t *q;
    float *d, *s;
    jt_env_act(e, v, &q, &d, &s);
    e->engine->kernels->quantise(x, n, q + at, d + at / JT_ACT_BLOCK, s + at / 32);
}

typedef struct list_work {
    const jt_env *env;
    jt_turns *taken; /* [nodes], behind the values */
} list_work;

static void list_walk(void *arg, int thread, int threads) {
    const list_work *w = arg;
    const jt_env *e = w->env;
    jt_share share = {thread, threads, e->scratch[thread], NULL};
    const char *timed = e->engine->time && !thread ? "" : NULL; /* the operator that runs */
    double since = timed ? jt_engine_clock() : 0;
    for (size_t i = 0; i < e->list->n_node; i++) {
        const jt_opnode *n = &e->list->node[i];
        if (n->barrier) jt_pool_barrier(e->engine->pool);
        if (timed) {
            double now = jt_engine_clock();
            if (i) jt_engine_timed(e->engine, timed, now - since);
            since = now, timed = n->op->name;
        }
        if (e->off && n->layer >= 0 && !n->op->passes && jt_layer_in(e->off, n->layer)) continue;
        share.taken = &w->taken[i];
        if (e->watch && !thread) e->watch(e->watch_self, e, n);
        n->op->forward(e, n, &share);
    }
    if (timed && *timed) jt_engine_timed(e->engine, timed, jt_engine_clock() - since);
}

void jt_list_run(const jt_env *e) {
    size_t at[JT_ROWS_CLASSES], end = jt_list_storage(e->list, e->rows, at) - e->list->n_node * sizeof(jt_turns);
    jt_backend_enter(e->engine->backend);
    list_work w = {e, jt_buffer_at(e->storage, end)};
    for (size_t i = 0; i < e->list->n_node; i++) jt_turns_reset(&w.taken[i]);
    jt_pool_run(e->engine->pool, list_walk, &w);
    jt_backend_leave(e->engine->backend);
}
