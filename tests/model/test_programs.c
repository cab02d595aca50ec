/* Random programs of the primitives: new, fork, truncate, eval, tap and free on several sequences, with failed allocations,
 * cancellations, failing functions and refused calls between. Two references that keep nothing compute what was wanted
 * anew from what the program's record (program_record.h) says the row saw:
 *   - the engine with one thread and scalar kernels on a fresh state, in as few evals as give the same view: bit for bit;
 *   - the double-precision forward pass (llama_reference.h), where activations are not rounded to 8 bits.
 * JETON_TEST_LONG=1: 10,000 programs; JETON_TEST_SEED=n: that program alone. */
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "core/random.h"
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
    MODES = 7,
    FAST = 3,
    SETS = 1024,
    TAPS = 3,
    CAPTURES = 16384
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
};

static struct mode modes[MODES] = {
    {"f32, float, f32", JT_F32, JT_ACT_FLOAT, JT_KV_F32, 2e-4, {0}, NULL, {NULL}},
    {"q4_1, int8, f16", JT_Q4_1, JT_ACT_INT8, JT_KV_F16, 0, {0}, NULL, {NULL}},
    {"f16, float, f16", JT_F16, JT_ACT_FLOAT, JT_KV_F16, 4e-3, {0}, NULL, {NULL}},
    {"q8_0, int8, f32", JT_Q8_0, JT_ACT_INT8, JT_KV_F32, 0, {0}, NULL, {NULL}},
    {"q4_1, float, f32", JT_Q4_1, JT_ACT_FLOAT, JT_KV_F32, 2e-4, {0}, NULL, {NULL}},
    {"q4_0, int8, f16", JT_Q4_0, JT_ACT_INT8, JT_KV_F16, 0, {0}, NULL, {NULL}},
    {"hf-tiny", JT_F32, JT_ACT_FLOAT, JT_KV_F32, 2e-4, {0}, NULL, {NULL}},
};
enum { HF = MODES - 1 };

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
    float x[REF_HIDDEN];
};
struct captures {
    int n;
    struct capture c[CAPTURES];
};

struct program;
struct tap_set {
    int n;
    jt_tap tap[TAPS];
    float vec[TAPS][REF_HIDDEN];
    int head[TAPS][2];
    bool host;
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
    int ubatch;
    struct slot slot[SLOTS];
    rec_pool pool;
    struct tap_set set[SETS];
    int sets, evals, call;
    int host_calls; /* functions of taps fail when this reaches 0 */
    int passes;     /* evals are cancelled when this reaches 0 */
};

/* What all programs of a test did, so that it is known to have tested something. */
static struct { long evals, bits, doubles, neither, nomem, cancelled, host, refused, limits, captured, projected; } did;

static jt_engine *engine[3];
static char folder[] = "/tmp/jeton-programs-XXXXXX";

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
        a->rank[k] = r->rank, a->position[k] = r->position;
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
    assert_true(c->n < CAPTURES && width <= REF_HIDDEN);
    struct capture *to = &c->c[c->n++];
    *to = (struct capture){.span = span, .node = node, .layer = layer, .tag = tag, .width = width};
    memcpy(to->x, x, (size_t)width * sizeof *x);
}

/* ---- the references ---- */

/* Whether the rows, evaluated in pieces, see what they saw: a new piece begins where taps change, and with `apart` at every
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
        if (i + 1 < n && next->taps == r->taps && (!apart || next->eval == r->eval)) continue;
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

/* What row[at] gives on a fresh state of the slow model, with what is captured of it. */
static void replay(struct program *p, int context, const rec_seq *seq, const int *end, int pieces, int at, const struct wish *wish,
                   struct result *out, struct captures *c) {
    static struct arrays a;
    jt_error err;
    jt_state *s;
    c->n = 0;
    if (jt_state_new(p->mode->slow, context, &s, &err)) wrong(p, "%s", err.message);
    for (int i = 0, from = 0; i < pieces; from = end[i++]) {
        rec_seq upto = *seq;
        upto.n = end[i];
        if (set_taps(p, s, p->pool.row[seq->row[from]].taps, &err)) wrong(p, "%s", err.message);
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

static double bias(void *self, int node, int key, int layer, int head) {
    const struct pass *f = self;
    const rec_row *r = &f->p->pool.row[f->row[node]], *k = &f->p->pool.row[f->row[key]];
    double sum = 0;
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
    memset(mask, 0, (size_t)n * (size_t)n);
    for (int i = 0; i < n; i++) {
        const rec_row *q = &p->pool.row[row[i]];
        float vec[REF_HIDDEN];
        double *to = x + i * m->hidden, e[REF_HIDDEN];
        position[i] = q->position, runs[i] = q->runs;
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
                            .edit = edit,
                            .bias = bias,
                            .self = &f,
                            .final = final,
                            .logits = logits});
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

/* ---- the program's calls ---- */

static void same_shape(struct program *p, const struct slot *s) {
    if (jt_state_length(s->s) != s->seq.n) wrong(p, "%d nodes, not %d", jt_state_length(s->s), s->seq.n);
    for (int i = 0; i < s->seq.n; i++)
        if (jt_state_parent(s->s, i) != s->seq.parent[i] || jt_state_depth(s->s, i) != p->pool.row[s->seq.row[i]].depth)
            wrong(p, "node %d: parent %d, depth %d, not %d and %d", i, jt_state_parent(s->s, i), jt_state_depth(s->s, i), s->seq.parent[i],
                  p->pool.row[s->seq.row[i]].depth);
}

/* Makes an allocation of the next call fail, now and then; what the call says to it is for `spared` to judge. */
static void sabotage(struct program *p, uint32_t most) {
    if (chance(p, 8)) alloc_fail_at((long)pick(p, most));
}
static bool spared(struct program *p, jt_status s, const jt_error *err) {
    alloc_fail_at(-1);
    if (s == JT_NOMEM) did.nomem++;
    if (s && s != JT_NOMEM) wrong(p, "%s", err->message);
    return s == JT_OK;
}

static struct slot *any(struct program *p, bool live) {
    int n = 0, at = (int)pick(p, SLOTS);
    while (n < SLOTS && !p->slot[(at + n) % SLOTS].s == live) n++;
    return n < SLOTS ? &p->slot[(at + n) % SLOTS] : NULL;
}

static void call_new(struct program *p) {
    struct slot *s = any(p, false);
    jt_error err;
    if (!s) return;
    *s = (struct slot){.context = chance(p, 4) ? 48 : REC_NODES, .seq = {.taps = -1}};
    sabotage(p, 2);
    if (!spared(p, jt_state_new(p->model, s->context, &s->s, &err), &err)) s->s = NULL;
}

static void call_fork(struct program *p) {
    struct slot *s = any(p, true), *t = any(p, false);
    jt_error err;
    if (!s || !t) return;
    jt_state *made = NULL;
    sabotage(p, 5);
    if (!spared(p, jt_state_fork(s->s, &made, &err), &err)) return same_shape(p, s);
    *t = *s, t->s = made;
    same_shape(p, t);
    assert_true(jt_state_mode(t->s) == jt_state_mode(s->s) && jt_state_context(made) == s->context && jt_state_model(made) == p->model);
}

static void call_truncate(struct program *p) {
    struct slot *s = any(p, true);
    jt_error err;
    if (!s) return;
    int n = chance(p, 3) ? (int)pick(p, (uint32_t)s->seq.n + 1) : s->seq.n - (int)pick(p, s->seq.n < 6 ? (uint32_t)s->seq.n + 1 : 6);
    if (chance(p, 20)) {
        if (jt_state_truncate(s->s, chance(p, 2) ? -1 : s->seq.n + 1, &err) != JT_INVALID) wrong(p, "a wrong truncation is not refused");
        did.refused++;
    } else {
        alloc_fail_at(0); /* truncation needs no memory */
        if (jt_state_truncate(s->s, n, &err)) wrong(p, "%s", err.message);
        alloc_fail_at(-1);
        s->seq.n = n;
    }
    same_shape(p, s);
}

static void call_truncate_to(struct program *p) {
    struct slot *s = any(p, true);
    jt_error err;
    if (!s || !s->seq.n) return;
    int node = s->seq.n - 1 - (int)pick(p, s->seq.n < 12 ? (uint32_t)s->seq.n : 12);
    sabotage(p, 4);
    if (spared(p, jt_state_truncate_to(s->s, node, &err), &err)) rec_keep_path(&s->seq, node);
    same_shape(p, s);
}

static void call_free(struct program *p) {
    struct slot *s = any(p, true);
    if (!s) return;
    jt_state_free(s->s);
    s->s = NULL;
}

static jt_status host(void *self, int layer, int node, float *x, int width) {
    struct program *p = self;
    (void)node;
    if (p->host_calls > 0 && --p->host_calls == 0) return JT_LIMIT;
    for (int i = 0; i < width; i++) x[i] = (float)((double)x[i] + host_shift(layer, i));
    return JT_OK;
}

static void random_tap(struct program *p, struct tap_set *set, int i) {
    const ref_model *m = &p->mode->ref;
    jt_tap *t = &set->tap[i];
    int site = (int)pick(p, 6), layers = m->layers + (site == REF_RESIDUAL),
        width = site == 5 ? 0 : jt_site_width(p->model, jt_site_name(site));
    *t = (jt_tap){.site = jt_site_name(site), .tag = 100 * i + site, .vec = set->vec[i], .host = host, .self = p};
    t->op = site == 5 ? JT_TAP_KEY_BIAS : (jt_tap_op)(int[]){JT_TAP_CAPTURE, JT_TAP_CAPTURE,     JT_TAP_ADD,
                                                             JT_TAP_SCALE,   JT_TAP_PROJECT_OUT, JT_TAP_HOST}[pick(p, 6)];
    t->value = part(p);
    for (int k = 0; k < width; k++) set->vec[i][k] = part(p) + (k ? 0 : 2);
    if (chance(p, 2))
        t->layer_first = (int)pick(p, (uint32_t)layers),
        t->layer_end = t->layer_first + 1 + (int)pick(p, (uint32_t)(layers - t->layer_first));
    if (chance(p, 2)) t->row_first = (int)pick(p, 40), t->row_end = chance(p, 2) ? 0 : t->row_first + 1 + (int)pick(p, 20);
    if (t->op == JT_TAP_HOST) set->host = true;
    if (site != 5) return;
    t->key_first = (int)pick(p, 40), t->key_end = t->key_first + 1 + (int)pick(p, 30);
    if (t->key_first && chance(p, 4)) t->key_end = 0;
    t->value = chance(p, 4) ? -INFINITY : 3 * t->value;
    set->head[i][0] = (int)pick(p, (uint32_t)m->heads), set->head[i][1] = (int)pick(p, (uint32_t)m->heads);
    if (chance(p, 2)) t->heads = set->head[i], t->n_heads = 2;
}

static void call_taps(struct program *p) {
    struct slot *s = any(p, true);
    jt_error err;
    if (!s || p->sets == SETS) return;
    struct tap_set *set = &p->set[p->sets];
    *set = (struct tap_set){.n = chance(p, 2) ? 0 : 1 + (int)pick(p, TAPS)};
    for (int i = 0; i < set->n; i++) random_tap(p, set, i);
    uint64_t mode = jt_state_mode(s->s);
    sabotage(p, 6);
    if (spared(p, jt_state_set_taps(s->s, set->tap, set->n, &err), &err))
        s->seq.taps = set->n ? p->sets++ : -1;
    else
        assert_true(jt_state_mode(s->s) == mode);
}

/* One new row of a sequence, with its parent (a node). */
static void random_row(struct program *p, struct slot *s, int parent, unsigned kinds) {
    const ref_model *m = &p->mode->ref;
    int at = p->pool.n;
    rec_row *r = rec_add(&p->pool);
    r->n_in = kinds & 1 && chance(p, 2) ? 1 + (int)pick(p, 3) : REC_PLAIN;
    r->seed = p->at, r->eval = p->evals, r->taps = s->seq.taps;
    for (int i = 0; i < 2; i++) r->id[i] = (int32_t)pick(p, (uint32_t)m->vocab), r->w[i] = 0.6f + part(p) / 2;
    r->up = parent < 0 ? -1 : s->seq.row[parent];
    r->depth = r->up < 0 ? 0 : p->pool.row[r->up].depth + 1;
    r->rank = kinds & 2 ? r->depth + (int)pick(p, 5) - 2 : r->depth;
    r->position = kinds & 4 ? r->depth + (int)pick(p, 60) : r->depth;
    r->runs = kinds & 8 ? pick(p, 1u << m->layers) : (1u << m->layers) - 1;
    rec_append(&s->seq, at, parent);
}

/* New rows of a slot's copy. Returns whether a depth reaches the declared context. */
static bool random_rows(struct program *p, struct slot *s) {
    int from = s->seq.n, n = 1 + (int)pick(p, chance(p, 6) ? ROWS : 6), back = s->seq.n < 6 ? s->seq.n : 6;
    unsigned kinds = p->wild && chance(p, 3) ? pick(p, 16) : 0;
    bool tree = chance(p, 4), over = false, block = p->wild && chance(p, 8);
    if (n > REC_NODES - from) n = REC_NODES - from;
    for (int i = 0; i < n; i++) {
        int parent = s->seq.n - 1;
        if (tree) parent -= (int)pick(p, (uint32_t)(back + i + 1));
        if (parent < -1 || (p->wild && chance(p, 60))) parent = -1;
        random_row(p, s, parent, kinds);
        over |= p->pool.row[p->pool.n - 1].depth >= s->context;
    }
    for (int i = from; block && i < s->seq.n; i++) p->pool.row[s->seq.row[i]].rank = p->pool.row[s->seq.row[s->seq.n - 1]].depth;
    return over;
}

static struct wish random_wish(struct program *p) {
    struct wish w = {.kinds = 1 + pick(p, 63), .n_top = 1 + (int)pick(p, TOP)};
    for (int i = 0; i < 2; i++) w.target[i] = (int32_t)pick(p, (uint32_t)p->mode->ref.vocab);
    return w;
}

static int cancel(void *self) {
    struct program *p = self;
    return p->passes > 0 && --p->passes == 0;
}

/* A batch under construction, with what it will have made. */
struct job {
    int n_span, n_want, rows;
    struct slot *from[SPANS + 1], to[SPANS]; /* the slots, and what they become */
    jt_span span[SPANS + 1];
    jt_want want[SPANS * ROWS];
    struct wish wish[SPANS * ROWS];
    struct result result[SPANS * ROWS];
    int of[SPANS * ROWS], node[SPANS * ROWS]; /* span and node of each wanted row */
    bool over, ranks, host;
    struct arrays a[SPANS];
    struct captures captures;
    float residual[(REF_LAYERS + 1) * SPANS * ROWS * REF_HIDDEN];
};

static void random_job(struct program *p, struct job *j) {
    int most = 1 + (int)pick(p, SPANS);
    j->n_span = j->n_want = j->rows = 0, j->over = j->ranks = j->host = false, j->captures.n = 0;
    for (int i = 0; i < most; i++) {
        struct slot *s = any(p, true);
        bool again = !s || s->seq.n == REC_NODES;
        for (int k = 0; k < j->n_span; k++) again |= j->from[k] == s;
        if (again) continue;
        struct slot *t = &j->to[j->n_span];
        j->from[j->n_span] = s, *t = *s;
        int from = s->seq.n;
        j->over |= random_rows(p, t);
        rec_saw(&p->pool, &t->seq, from);
        jt_span *x = &j->span[j->n_span];
        *x = make_span(p, t->s, &t->seq, from, &j->a[j->n_span]);
        j->ranks |= x->rank && p->ubatch && x->n > p->ubatch;
        j->host |= t->seq.taps >= 0 && p->set[t->seq.taps].host;
        for (int k = 0; k < x->n; k++) {
            if (!chance(p, 4)) continue;
            int w = j->n_want++;
            j->wish[w] = random_wish(p), j->of[w] = j->n_span, j->node[w] = from + k;
            j->want[w] = make_want(&j->wish[w], j->rows + k, &j->result[w]);
        }
        j->rows += x->n, j->n_span++;
    }
}

/* Makes the batch one that must be refused; false where this kind of mistake has no place in it. */
static bool spoil(struct program *p, struct job *j, jt_batch *b) {
    jt_span *x = &j->span[pick(p, (uint32_t)j->n_span)];
    switch (pick(p, 6)) {
    case 0: /* the same state twice */ j->span[b->n_span++] = j->span[0]; return true;
    case 1: /* a row that is not there */
        if (!j->n_want) return false;
        j->want[j->n_want - 1].row = j->rows;
        return true;
    case 2:
        if (!j->n_want) return false;
        j->want[0].n_top = p->mode->ref.vocab + 1;
        return true;
    case 3:
        if (!x->ids) return false;
        j->a[x - j->span].ids[x->n - 1] = p->mode->ref.vocab;
        return true;
    case 4:
        if (!x->parent) return false;
        j->a[x - j->span].parent[0] = jt_state_length(x->state);
        return true;
    default:
        if (!x->position) return false;
        j->a[x - j->span].position[x->n - 1] = chance(p, 2) ? -1 : 1 << 24;
        return true;
    }
}

/* The final norm and head over the exported stream must give the logits themselves. */
static void same_projection(struct program *p, struct job *j) {
    const ref_model *m = &p->mode->ref;
    jt_error err;
    for (int i = 0; i < j->n_want && i < 2; i++) {
        struct result r;
        jt_want w = make_want(&j->wish[i], j->want[i].row, &r);
        if (jt_project(p->model, j->residual + m->layers * j->rows * m->hidden, j->rows, &w, 1, &err)) wrong(p, "%s", err.message);
        if (memcmp(&r, &j->result[i], sizeof r)) wrong(p, "what left the last layer gives other logits when it is projected");
        did.projected++;
    }
}

static void call_eval(struct program *p) {
    static struct job job;
    struct job *j = &job;
    int rows = p->pool.n, sees = p->pool.n_sees;
    uint64_t mode[SPANS];
    bool refused = false, residual = chance(p, 8);
    jt_error err = {0};
    random_job(p, j);
    if (!j->n_span) return;
    jt_batch b = {.span = j->span,
                  .n_span = j->n_span,
                  .want = j->want,
                  .n_want = j->n_want,
                  .captured = captured,
                  .captured_self = &j->captures,
                  .cancelled = cancel,
                  .cancelled_self = p,
                  .residual = residual ? j->residual : NULL};
    for (int i = 0; i < j->n_span; i++) mode[i] = jt_state_mode(j->span[i].state);
    p->passes = p->host_calls = 0;
    switch (pick(p, 12)) {
    case 0: alloc_fail_at((long)pick(p, 24)); break;
    case 1: p->passes = 1 + (int)pick(p, 4); break;
    case 2: p->host_calls = 1 + (int)pick(p, 20); break;
    case 3: refused = spoil(p, j, &b); break;
    default: break;
    }
    jt_status s = jt_eval(p->model, &b, &err);
    alloc_fail_at(-1);
    p->passes = p->host_calls = 0;
    p->evals++;
    if (s) {
        did.nomem += s == JT_NOMEM, did.cancelled += s == JT_CANCELLED, did.refused += s == JT_INVALID;
        did.host += s == JT_LIMIT && !strncmp(err.message, "a tap's", 7), did.limits += s == JT_LIMIT && strncmp(err.message, "a tap's", 7);
        if (!(s == JT_NOMEM || s == JT_CANCELLED || (s == JT_INVALID && refused) || (s == JT_LIMIT && (j->over || j->ranks || j->host))))
            wrong(p, "%s", err.message);
        p->pool.n = rows, p->pool.n_sees = sees;
        for (int i = 0; i < j->n_span; i++) {
            same_shape(p, j->from[i]);
            assert_true(jt_state_mode(j->from[i]->s) == mode[i]);
        }
        return;
    }
    if (refused || j->over) wrong(p, "a batch that is wrong was evaluated");
    did.evals++;
    for (int i = 0; i < j->n_span; i++) {
        *j->from[i] = j->to[i];
        same_shape(p, j->from[i]);
    }
    if (residual) same_projection(p, j);
    if (!j->n_want) return;
    int w = (int)pick(p, (uint32_t)j->n_want); /* drawn always, so that a program is the same however often it is checked */
    if (!chance(p, (uint32_t)p->often)) return;
    check(p, &j->to[j->of[w]], j->node[w], &j->wish[w], &j->result[w], j->of[w], &j->captures);
}

/* Every sequence that is left is asked for one row more, all in one batch. */
static void last_rows(struct program *p) {
    static struct arrays a[SLOTS];
    static struct captures c;
    struct wish wish = {.kinds = 63, .target = {1, 2}, .n_top = TOP};
    static struct result result[SLOTS];
    jt_span span[SLOTS];
    jt_want want[SLOTS];
    int n = 0, of[SLOTS];
    jt_error err;
    c.n = 0;
    for (int i = 0; i < SLOTS; i++) {
        struct slot *s = &p->slot[i];
        int last = s->seq.n - 1;
        if (!s->s || s->seq.n == REC_NODES || (last >= 0 && p->pool.row[s->seq.row[last]].depth + 1 >= s->context)) continue;
        random_row(p, s, last, 0);
        rec_saw(&p->pool, &s->seq, last + 1);
        span[n] = make_span(p, s->s, &s->seq, last + 1, &a[n]);
        want[n] = make_want(&wish, n, &result[n]);
        of[n++] = i;
    }
    jt_batch b = {.span = span, .n_span = n, .want = want, .n_want = n, .captured = captured, .captured_self = &c};
    if (jt_eval(p->model, &b, &err)) wrong(p, "%s", err.message);
    for (int i = 0; i < n; i++) check(p, &p->slot[of[i]], p->slot[of[i]].seq.n - 1, &wish, &result[i], i, &c);
}

static void run(uint32_t seed, int often) {
    static struct program program;
    struct program *p = &program;
    static const int ubatch[FAST] = {0, 3, 7};
    int kind = seed % 97 == 6 ? HF : (int)(seed % (MODES - 1)), fast = (int)(seed / 6 % FAST);
    if (fast == 2 && seed % 32) fast = 1; /* the one with threads */
    memset(p, 0, sizeof *p);
    p->seed = seed, p->often = often, p->wild = seed % 4 != 3, p->mode = &modes[kind];
    p->model = p->mode->fast[fast], p->ubatch = ubatch[fast];
    for (p->call = 0; p->call < CALLS; p->call++) {
        uint32_t what = pick(p, 100);
        if (what < 8)
            call_new(p);
        else if (what < 28)
            call_fork(p);
        else if (what < 42)
            call_truncate(p);
        else if (what < 54)
            call_truncate_to(p);
        else if (what < 64)
            call_free(p);
        else if (what < 72 && p->wild)
            call_taps(p);
        else
            call_eval(p);
    }
    last_rows(p);
    for (int i = 0; i < SLOTS; i++) jt_state_free(p->slot[i].s);
    rec_free(&p->pool);
}

/* ---- the tests ---- */

static void random_programs(void **unused) {
    (void)unused;
    const char *lengthy = getenv("JETON_TEST_LONG"), *one = getenv("JETON_TEST_SEED");
    bool all = lengthy && *lengthy && strcmp(lengthy, "0") != 0;
    if (one && *one) {
        run((uint32_t)strtoul(one, NULL, 10), 1);
        return;
    }
    memset(&did, 0, sizeof did);
    for (uint32_t seed = 0; seed < (all ? 10000 : 16); seed++) run(seed, all ? 64 : 6);
    print_message("%ld evals; %ld rows bit for bit, %ld in double, %ld by neither; %ld captures, %ld projections; refused %ld, "
                  "out of memory %ld, cancelled %ld, failed in a function %ld, at a limit %ld\n",
                  did.evals, did.bits, did.doubles, did.neither, did.captured, did.projected, did.refused, did.nomem, did.cancelled,
                  did.host, did.limits);
    assert_true(did.bits > 200 && did.doubles > 200 && did.neither < (did.bits + did.doubles) / 4 && did.captured > 20);
    assert_true(did.projected && did.refused && did.nomem && did.cancelled && did.host && did.limits);
}

static int begin(void **unused) {
    (void)unused;
    jt_error err;
    if (!mkdtemp(folder)) return -1;
    if (jt_engine_new(&(jt_engine_options){.threads = 1, .kernels = "scalar"}, &engine[0], &err) ||
        jt_engine_new(&(jt_engine_options){.threads = 1}, &engine[1], &err) ||
        jt_engine_new(&(jt_engine_options){.threads = 3}, &engine[2], &err))
        return -1;
    for (int i = 0; i < MODES; i++) {
        struct mode *m = &modes[i];
        char path[256];
        tiny_llama t = {m->type, 96, 32, 3, 4, 2, 8, 32, 1024, 0, (uint32_t)i + 1};
        snprintf(path, sizeof path, "%s/%d.gguf", folder, i);
        m->ref = (ref_model){
            .vocab = t.vocab, .hidden = t.hidden, .layers = t.layers, .heads = t.heads, .kv = t.kv_heads, .dim = t.head_dim, .ffn = t.ffn};
        if (i == HF) {
            snprintf(path, sizeof path, "%s", FIXTURES "/hf-tiny/llama");
            ref_open_hf(&m->ref, path);
        } else {
            tiny_llama_write(path, &t);
            ref_open_gguf(&m->ref, path);
        }
        m->ref.half = m->kv == JT_KV_F16;
        jt_model_options o = {.activations = m->act, .kv_type = m->kv};
        jt_status s = jt_model_open(engine[0], path, &o, &m->slow, &err);
        if (!s) s = jt_model_open(engine[1], path, &o, &m->fast[0], &err);
        o.ubatch = 3, o.no_repack = 1;
        if (!s) s = jt_model_open(engine[1], path, &o, &m->fast[1], &err);
        o.ubatch = 7, o.no_repack = 0;
        if (!s) s = jt_model_open(engine[2], path, &o, &m->fast[2], &err);
        if (i != HF) unlink(path);
        if (s) return print_error("%s\n", err.message), -1;
    }
    return 0;
}

static int end(void **unused) {
    (void)unused;
    for (int i = 0; i < MODES; i++) {
        ref_close(&modes[i].ref);
        jt_model_free(modes[i].slow);
        for (int k = 0; k < FAST; k++) jt_model_free(modes[i].fast[k]);
    }
    for (int i = 0; i < 3; i++) jt_engine_free(engine[i]);
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_programs)};
    return cmocka_run_group_tests(tests, begin, end);
}
