/* program_check.h: a program of primitive calls (test_programs.c), and the two references that compute anew what one of
 * its rows gave, from the record alone. */
#ifndef TESTS_PROGRAM_CHECK_H
#define TESTS_PROGRAM_CHECK_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/random.h"
#include "jeton/adapter.h"
#include "jeton/keys.h"
#include "jeton/tap.h"
#include "llama_reference.h"
#include "program_record.h"
#include "tiny_llama.h"

enum {
    SLOTS = 8,
    CALLS = 1000,
    SPANS = 4,
    ROWS = 44, /* of a span, at most */
    TOP = 8,
    FAMILIES = 12,
    WIDEST = 96, /* of a row at a site, at most */
    MODES = 10 + FAMILIES,
    LAYERS = 8, /* of a model, at most */
    FAST = 3,
    SETS = 1024,
    TAPS = 3,
    CAPTURES = 16384,
    LISTS = 2,
    LISTED = 40
};

/* One numeric mode: the slow model, and models of the same mode on other machinery. */
struct mode {
    const char *name;
    jt_type type;
    jt_activations act;
    jt_kv_type kv;
    double bound; /* on logits, against double precision; 0: not compared */
    ref_model ref;
    jt_model *slow, *fast[FAST];
    jt_adapter *slow_adapter, *fast_adapter[FAST]; /* NULL: none for this model */
    bool recurrent;                                /* ranks are as the path is */
};

/* What one wanted row gave; what was not wanted keeps its pattern. */
struct result {
    float logits[REF_VOCAB], final[REF_HIDDEN];
    double logprob[2], lse, entropy;
    int32_t top[TOP];
    float top_logits[TOP];
};

struct wish {
    unsigned kinds; /* bits: logits, final, targets, log-sum-exp, entropy, best */
    int32_t target[2];
    int n_top;
};

struct capture {
    int span, node, layer, tag, width;
    float x[WIDEST];
};
struct captures {
    int n;
    struct capture c[CAPTURES];
};

struct program;
struct tap_set {
    int n;
    jt_tap tap[TAPS];
    float vec[TAPS][WIDEST];
    int head[TAPS][2];
    bool host;
};

struct key_lists {
    int n;
    jt_keys k[LISTS];
    int32_t depth[LISTS][LISTED], position[LISTS][LISTED];
    int head[LISTS];
};

struct slot {
    jt_state *s;
    int context;
    rec_seq seq;
};

struct program {
    uint32_t seed, at;
    bool wild; /* else only what gives linear paths */
    int often; /* one eval in so many is checked */
    struct mode *mode;
    jt_model *model;
    jt_adapter *adapter;
    int ubatch;
    struct slot slot[SLOTS];
    rec_pool pool;
    struct tap_set set[SETS];
    struct key_lists lists[SETS];
    int n_lists, groups;
    int sets, evals, call;
    int host_calls; /* functions of taps fail when this reaches 0 */
    int passes;     /* evals are cancelled when this reaches 0 */
};

/* What all programs of a test did, so that it is known to have tested something. */
static struct { long evals, bits, doubles, neither, nomem, cancelled, host, refused, limits, captured, projected, adapted, listed; } did;

#define wrong(p, ...)                                                                                                                      \
    do {                                                                                                                                   \
        print_error("program %u (%s), call %d: ", (p)->seed, (p)->mode->name, (p)->call);                                                  \
        fail_msg(__VA_ARGS__);                                                                                                             \
    } while (0)

static uint32_t pick(struct program *p, uint32_t below) {
    uint32_t w[4];
    jt_philox((uint32_t[4]){p->at++, 3, 0, 0}, (uint32_t[2]){p->seed, 11}, w);
    return w[0] % below;
}
static bool chance(struct program *p, uint32_t of) { return pick(p, of) == 0; }
static float part(struct program *p) { return (float)pick(p, 2001) / 1000 - 1; }

/* ---- rows ---- */

static void fill_vector(const rec_row *r, int hidden, float *v) {
    for (int i = 0; i < hidden; i++) {
        uint32_t w[4];
        jt_philox((uint32_t[4]){(uint32_t)i, 4, 0, 0}, (uint32_t[2]){r->seed, 12}, w);
        v[i] = (float)(w[0] % 4001) / 1000 - 2;
    }
}

/* The arrays of a span for rows of the pool, in the plainest form that says the same. */
struct arrays {
    int32_t ids[REC_NODES], parent[REC_NODES], rank[REC_NODES], position[REC_NODES];
    int32_t group[REC_NODES];
    jt_layers layers[REC_NODES];
    jt_input input[REC_NODES];
    int32_t mixed[REC_NODES][2]; /* copies: the pool may move */
    float weight[REC_NODES][2];
    float vec[REC_NODES][REF_HIDDEN];
};

static jt_span make_span(const struct program *p, jt_state *s, const rec_seq *seq, int from, struct arrays *a) {
    jt_span out = {.state = s, .ids = a->ids, .n = seq->n - from};
    unsigned all = (1u << p->mode->ref.layers) - 1;
    for (int i = from; i < seq->n; i++) {
        const rec_row *r = &p->pool.row[seq->row[i]];
        int k = i - from;
        a->ids[k] = r->n_in == REC_PLAIN ? r->id[0] : -1;
        memcpy(a->mixed[k], r->id, sizeof r->id), memcpy(a->weight[k], r->w, sizeof r->w);
        if (r->n_in == REC_PLAIN) a->weight[k][0] = 1; /* the token, among inputs */
        a->input[k] = (jt_input){.n = r->n_in == REC_PLAIN ? 1 : r->n_in, .ids = a->mixed[k], .w = a->weight[k]};
        if (r->n_in == REC_VECTOR) {
            fill_vector(r, p->mode->ref.hidden, a->vec[k]);
            a->input[k] = (jt_input){.vec = a->vec[k]};
        }
        a->parent[k] = seq->parent[i] < 0 ? JT_NO_PARENT : seq->parent[i] == i - 1 ? JT_PREVIOUS : seq->parent[i];
        a->rank[k] = r->rank, a->position[k] = r->position, a->group[k] = r->group;
        if (k && a->group[k] == a->group[k - 1]) out.group = a->group;
        a->layers[k] = (jt_layers){{r->runs, 0, 0, 0}};
        if (r->n_in != REC_PLAIN) out.input = a->input;
        if (seq->parent[i] != i - 1) out.parent = a->parent;
        if (r->rank != r->depth) out.rank = a->rank;
        if (r->position != r->depth) out.position = a->position;
        if (r->runs != all) out.layers = a->layers;
    }
    if (out.input) out.ids = NULL;
    return out;
}

static jt_want make_want(const struct wish *w, int row, struct result *r) {
    jt_want out = {.row = row};
    memset(r, 0xA5, sizeof *r);
    if (w->kinds & 1) out.logits = r->logits;
    if (w->kinds & 2) out.final = r->final;
    if (w->kinds & 4) out.targets = w->target, out.n_targets = 2, out.target_logprob = r->logprob;
    if (w->kinds & 8) out.log_sum_exp = &r->lse;
    if (w->kinds & 16) out.entropy = &r->entropy;
    if (w->kinds & 32) out.n_top = w->n_top, out.top_ids = r->top, out.top_logits = r->top_logits;
    return out;
}

static void captured(void *self, int span, int node, int layer, int tag, const float *x, int width) {
    struct captures *c = self;
    assert_true(c->n < CAPTURES && width <= WIDEST);
    struct capture *to = &c->c[c->n++];
    *to = (struct capture){.span = span, .node = node, .layer = layer, .tag = tag, .width = width};
    memcpy(to->x, x, (size_t)width * sizeof *x);
}

/* ---- the references ---- */

/* Whether the rows, evaluated in pieces, see what they saw: a new piece begins where taps or the adapter change, and with `apart` at every
 * eval of the program. The sequence that it makes, and where its pieces end. */
static bool same_view(const struct program *p, const int *row, int n, bool apart, rec_seq *seq, int *end, int *pieces) {
    static uint8_t sees[REC_NODES][REC_NODES];
    seq->n = 0, *pieces = 0;
    for (int i = 0, from = 0; i < n; i++) {
        const rec_row *r = &p->pool.row[row[i]], *next = &p->pool.row[row[i + 1 < n ? i + 1 : i]];
        int up = -1;
        for (int k = 0; k < i; k++)
            if (row[k] == r->up) up = k;
        rec_append(seq, row[i], up);
        if (i + 1 < n && next->taps == r->taps && next->adapter == r->adapter && next->keys == r->keys && (!apart || next->eval == r->eval))
            continue;
        rec_look(&p->pool, seq, from, sees);
        for (int q = from; q <= i; q++) {
            const rec_row *x = &p->pool.row[row[q]];
            int count = 0;
            for (int k = 0; k <= i; k++) {
                if (!sees[q - from][k]) continue;
                count++;
                bool saw = false;
                for (int j = 0; j < x->n_sees && !saw; j++) saw = p->pool.sees[x->sees_at + j] == row[k];
                if (!saw) return false;
            }
            if (count != x->n_sees) return false;
        }
        end[(*pieces)++] = from = i + 1;
    }
    return true;
}

static jt_status set_taps(const struct program *p, jt_state *s, int taps, jt_error *err) {
    return jt_state_set_taps(s, taps < 0 ? NULL : p->set[taps].tap, taps < 0 ? 0 : p->set[taps].n, err);
}

static jt_status set_keys(const struct program *p, jt_state *s, int lists, jt_error *err) {
    return jt_state_set_keys(s, lists < 0 ? NULL : p->lists[lists].k, lists < 0 ? 0 : p->lists[lists].n, err);
}

static jt_status new_sequence(jt_model *m, int context, bool raw, jt_state **out, jt_error *err) {
    return raw ? jt_state_new_raw(m, context, out, err) : jt_state_new(m, context, out, err);
}

/* What row[at] gives on a fresh state of the slow model, with what is captured of it. */
static void replay(struct program *p, int context, const rec_seq *seq, const int *end, int pieces, int at, const struct wish *wish,
                   struct result *out, struct captures *c) {
    static struct arrays a;
    jt_error err;
    jt_state *s;
    c->n = 0;
    if (new_sequence(p->mode->slow, context, p->pool.row[seq->row[0]].raw, &s, &err)) wrong(p, "%s", err.message);
    for (int i = 0, from = 0; i < pieces; from = end[i++]) {
        rec_seq upto = *seq;
        upto.n = end[i];
        const rec_row *first = &p->pool.row[seq->row[from]];
        if (set_taps(p, s, first->taps, &err) || set_keys(p, s, first->keys, &err)) wrong(p, "%s", err.message);
        if (jt_state_set_adapter(s, first->adapter == 0 ? NULL : p->mode->slow_adapter, first->adapter, &err)) wrong(p, "%s", err.message);
        jt_span span = make_span(p, s, &upto, from, &a);
        bool here = at >= from && at < end[i];
        jt_want want = make_want(wish, at - from, out);
        jt_batch b = {.span = &span, .n_span = 1, .want = &want, .n_want = here, .captured = here ? captured : NULL, .captured_self = c};
        if (jt_eval(p->mode->slow, &b, &err)) wrong(p, "the reference: %s", err.message);
        if (here) break;
    }
    jt_state_free(s);
}

/* The double-precision pass over a closure. */
struct pass {
    const struct program *p;
    const int *row;
    int of;                   /* the row whose captures are compared */
    int node, span, compared; /* its node and span in the eval */
    const struct captures *c;
    double bound;
};

static bool acts(const jt_tap *t, const struct program *p, int site, int layer, int depth) {
    bool all = !t->layer_first && !t->layer_end;
    (void)p;
    return !strcmp(t->site, jt_site_name(site)) && (all || (layer >= t->layer_first && layer < t->layer_end)) && depth >= t->row_first &&
           (!t->row_end || depth < t->row_end);
}

static double host_shift(int layer, int i) { return 0.125 * ((i * 7 + layer) % 5 - 2); }

static void edit(void *self, int node, int layer, int site, double *x, int width) {
    struct pass *f = self;
    const rec_row *r = &f->p->pool.row[f->row[node]];
    if (r->taps < 0) return;
    const struct tap_set *set = &f->p->set[r->taps];
    for (int k = 0; k < set->n; k++) {
        const jt_tap *t = &set->tap[k];
        double xv = 0, vv = 0;
        if (!acts(t, f->p, site, layer, r->depth)) continue;
        switch (t->op) {
        case JT_TAP_ADD:
            for (int i = 0; i < width; i++) x[i] += (double)t->value * (double)t->vec[i];
            break;
        case JT_TAP_SCALE:
            for (int i = 0; i < width; i++) x[i] *= (double)t->value;
            break;
        case JT_TAP_PROJECT_OUT:
            for (int i = 0; i < width; i++) xv += x[i] * (double)t->vec[i], vv += (double)t->vec[i] * (double)t->vec[i];
            for (int i = 0; i < width; i++) x[i] -= (double)t->value * xv / vv * (double)t->vec[i];
            break;
        case JT_TAP_HOST:
            for (int i = 0; i < width; i++) x[i] += host_shift(layer, i);
            break;
        case JT_TAP_CAPTURE:
            for (int i = 0; node == f->of && i < f->c->n; i++) {
                const struct capture *c = &f->c->c[i];
                if (c->span != f->span || c->node != f->node || c->layer != layer || c->tag != t->tag) continue;
                f->compared++;
                for (int j = 0; j < width; j++)
                    if (!(fabs((double)c->x[j] - x[j]) <= f->bound * (1 + fabs(x[j]))))
                        wrong(f->p, "captured at %s, layer %d: %g, not %g", t->site, layer, (double)c->x[j], x[j]);
            }
            break;
        default: break;
        }
    }
}

/* The list that a row follows; NULL: none. */
static const jt_keys *list_at(const struct program *p, const rec_row *r, int layer, int head) {
    const struct key_lists *s = r->keys < 0 ? NULL : &p->lists[r->keys];
    for (int i = s ? s->n - 1 : -1; i >= 0; i--) {
        const jt_keys *k = &s->k[i];
        bool all = !k->layer_first && !k->layer_end;
        if ((all || (layer >= k->layer_first && layer < k->layer_end)) && r->own >= k->row_first && (!k->row_end || r->own < k->row_end) &&
            (!k->heads || k->heads[0] == head / (p->mode->ref.heads / p->mode->ref.kv)))
            return k;
    }
    return NULL;
}

/* The place of a depth in the order of a list; -1: it is not there. */
static int place_in(const jt_keys *k, int own, int depth, int *entry) {
    int from = own - k->local < 0 ? 0 : own - k->local, n = 0;
    *entry = -1;
    for (int i = 0; i < k->n && k->depth[i] < from; i++, n++)
        if (k->depth[i] == depth) *entry = i;
    return depth >= from ? n + depth - from : *entry;
}

static int place(void *self, int node, int key, int layer, int head) {
    const struct pass *f = self;
    const rec_row *r = &f->p->pool.row[f->row[node]], *k = &f->p->pool.row[f->row[key]];
    const jt_keys *l = list_at(f->p, r, layer, head);
    int entry, at = l ? place_in(l, r->own, k->depth, &entry) : -1;
    if (at < 0) return k->position;
    return l->renumber ? at : entry >= 0 && l->position ? l->position[entry] : k->position;
}

static double bias(void *self, int node, int key, int layer, int head) {
    const struct pass *f = self;
    const rec_row *r = &f->p->pool.row[f->row[node]], *k = &f->p->pool.row[f->row[key]];
    const jt_keys *l = list_at(f->p, r, layer, head);
    double sum = 0;
    int entry;
    if (l && place_in(l, r->own, k->depth, &entry) < 0) return -INFINITY;
    for (int i = 0; r->taps >= 0 && i < f->p->set[r->taps].n; i++) {
        const jt_tap *t = &f->p->set[r->taps].tap[i];
        bool on = !t->heads;
        for (int j = 0; t->heads && j < t->n_heads; j++) on |= t->heads[j] == head;
        if (t->op == JT_TAP_KEY_BIAS && on && acts(t, f->p, 5, layer, r->depth) && k->depth >= t->key_first &&
            (!t->key_end || k->depth < t->key_end))
            sum += (double)t->value;
    }
    return sum;
}

static int downwards(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

static void near(const struct program *p, double got, double want, const char *what) {
    if (!(fabs(got - want) <= p->mode->bound * (1 + fabs(want)))) wrong(p, "%s: %.9g, not %.9g", what, got, want);
}

/* A result against logits and final vector in double precision. */
static void near_result(struct program *p, const struct wish *w, const struct result *r, double *logits, const double *final) {
    const ref_model *m = &p->mode->ref;
    double most = -INFINITY, sum = 0, entropy = 0;
    for (int i = 0; i < m->vocab; i++) most = fmax(most, logits[i]);
    for (int i = 0; i < m->vocab; i++) sum += exp(logits[i] - most);
    for (int i = 0; i < m->vocab; i++) entropy -= exp(logits[i] - most) / sum * (logits[i] - most - log(sum));
    double lse = most + log(sum);
    for (int i = 0; w->kinds & 1 && i < m->vocab; i++) near(p, (double)r->logits[i], logits[i], "logit");
    for (int i = 0; w->kinds & 2 && i < m->hidden; i++) near(p, (double)r->final[i], final[i], "final vector");
    for (int i = 0; w->kinds & 4 && i < 2; i++) near(p, r->logprob[i], logits[w->target[i]] - lse, "logprob of a target");
    if (w->kinds & 8) near(p, r->lse, lse, "log-sum-exp");
    if (w->kinds & 16) near(p, r->entropy, entropy, "entropy");
    if (!(w->kinds & 32)) return;
    for (int i = 0; i < w->n_top; i++) near(p, (double)r->top_logits[i], logits[r->top[i]], "candidate's logit");
    qsort(logits, (size_t)m->vocab, sizeof *logits, downwards);
    for (int i = 0; i < w->n_top; i++) near(p, (double)r->top_logits[i], logits[i], "candidate in order");
}

/* Pass over a closure of n rows, the wanted one being row[at]. */
static void in_double(struct program *p, const int *row, int n, int at, const struct wish *w, const struct result *r, int span, int node,
                      const struct captures *c) {
    const ref_model *m = &p->mode->ref;
    static double x[REF_MAX * REF_HIDDEN], final[REF_MAX * REF_HIDDEN], logits[REF_MAX * REF_VOCAB];
    static uint8_t mask[REF_MAX * REF_MAX];
    int position[REF_MAX], expected = 0;
    unsigned runs[REF_MAX];
    float adapter[REF_MAX];
    memset(mask, 0, (size_t)n * (size_t)n);
    for (int i = 0; i < n; i++) {
        const rec_row *q = &p->pool.row[row[i]];
        float vec[REF_HIDDEN];
        double *to = x + i * m->hidden, e[REF_HIDDEN];
        position[i] = q->position, runs[i] = q->runs, adapter[i] = q->adapter;
        for (int k = 0; k < n; k++)
            for (int j = 0; j < q->n_sees && !mask[i * n + k]; j++) mask[i * n + k] = p->pool.sees[q->sees_at + j] == row[k];
        if (q->n_in == REC_PLAIN) ref_embed(m, q->id[0], to);
        if (q->n_in == REC_VECTOR) fill_vector(q, m->hidden, vec);
        for (int j = 0; q->n_in == REC_VECTOR && j < m->hidden; j++) to[j] = (double)vec[j];
        if (q->n_in != 1 && q->n_in != 2) continue;
        memset(to, 0, (size_t)m->hidden * sizeof *to);
        for (int k = 0; k < q->n_in; k++) {
            ref_embed(m, q->id[k], e);
            for (int j = 0; j < m->hidden; j++) to[j] += (double)q->w[k] * e[j];
        }
    }
    struct pass f = {p, row, at, node, span, 0, c, p->mode->bound};
    ref_run(m, &(ref_nodes){.n = n,
                            .x = x,
                            .position = position,
                            .mask = mask,
                            .runs = runs,
                            .adapter = adapter,
                            .edit = edit,
                            .bias = bias,
                            .place = p->pool.row[row[0]].raw ? place : NULL,
                            .self = &f,
                            .final = final,
                            .logits = logits});
    did.adapted += adapter[at] != 0, did.listed += p->pool.row[row[at]].keys >= 0;
    near_result(p, w, r, logits + at * m->vocab, final + at * m->hidden);
    for (int i = 0; i < c->n; i++) expected += c->c[i].span == span && c->c[i].node == node;
    if (f.compared != expected) wrong(p, "%d captures of a row, of which the reference knows %d", expected, f.compared);
    did.captured += expected;
    did.doubles++;
}

static void bit_for_bit(struct program *p, int context, const rec_seq *seq, const int *end, int pieces, int at, const struct wish *w,
                        const struct result *r, int span, int node, const struct captures *c) {
    static struct captures again;
    struct result slow;
    int k = 0;
    replay(p, context, seq, end, pieces, at, w, &slow, &again);
    if (memcmp(&slow, r, sizeof slow)) wrong(p, "node %d differs from the reference, on %d rows in %d pieces", node, seq->n, pieces);
    for (int i = 0; i < again.n; i++) {
        const struct capture *x = &again.c[i];
        if (x->node != at) continue;
        while (k < c->n && (c->c[k].span != span || c->c[k].node != node)) k++;
        const struct capture *y = &c->c[k++];
        if (k > c->n || x->layer != y->layer || x->tag != y->tag || x->width != y->width ||
            memcmp(x->x, y->x, (size_t)x->width * sizeof *x->x))
            wrong(p, "node %d: another capture at layer %d, tag %d", node, x->layer, x->tag);
    }
    while (k < c->n && (c->c[k].span != span || c->c[k].node != node)) k++;
    if (k < c->n) wrong(p, "node %d: captured at layer %d, tag %d; the reference captures nothing more", node, c->c[k].layer, c->c[k].tag);
    did.bits++;
}

/* Node `node` of a slot gave `r` as row of span `span`. */
static void check(struct program *p, const struct slot *s, int node, const struct wish *w, const struct result *r, int span,
                  const struct captures *c) {
    int row[REF_MAX], end[REC_NODES], pieces, at = 0, done = 0;
    static rec_seq seq;
    int n = rec_closure(&p->pool, s->seq.row[node], row, REF_MAX);
    while (n > 0 && row[at] != s->seq.row[node]) at++;
    if (n > 0 && n <= REC_NODES)
        for (int apart = 0; apart < 2 && !done; apart++)
            if ((done = same_view(p, row, n, apart, &seq, end, &pieces)))
                bit_for_bit(p, s->context, &seq, end, pieces, at, w, r, span, node, c);
    if (n > 0 && p->mode->bound > 0) in_double(p, row, n, at, w, r, span, node, c), done = 1;
    did.neither += !done;
}

#endif
