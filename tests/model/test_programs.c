/* Random programs of the primitives: new, fork, truncate, eval, tap, lists of keys, adapters and free on several sequences, with failed
 * allocations, cancellations, failing functions and refused calls between. Two references that keep nothing compute what was wanted anew
 * from what the program's record (program_record.h) says the row saw:
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
#include "hybrid_gguf.h"
#include "program_check.h"
#include "tiny_adapter.h"

static jt_engine *engine[3];
static char folder[] = "/tmp/jeton-programs-XXXXXX";

static struct mode modes[MODES] = {
    {"f32, float, f32", JT_F32, JT_ACT_FLOAT, JT_KV_F32, 2e-4, {0}, NULL, {NULL}, NULL, {NULL}},
    {"q4_1, int8, f16", JT_Q4_1, JT_ACT_INT8, JT_KV_F16, 0, {0}, NULL, {NULL}, NULL, {NULL}},
    {"f16, float, f16", JT_F16, JT_ACT_FLOAT, JT_KV_F16, 4e-3, {0}, NULL, {NULL}, NULL, {NULL}},
    {"q8_0, int8, f32", JT_Q8_0, JT_ACT_INT8, JT_KV_F32, 0, {0}, NULL, {NULL}, NULL, {NULL}},
    {"q4_1, float, f32", JT_Q4_1, JT_ACT_FLOAT, JT_KV_F32, 2e-4, {0}, NULL, {NULL}, NULL, {NULL}},
    {"q4_0, int8, f16", JT_Q4_0, JT_ACT_INT8, JT_KV_F16, 0, {0}, NULL, {NULL}, NULL, {NULL}},
    {"q8_0, float, q8_0", JT_Q8_0, JT_ACT_FLOAT, JT_KV_Q8_0, 0, {0}, NULL, {NULL}, NULL, {NULL}},
    {"f16, bf16, f16", JT_F16, JT_ACT_BF16, JT_KV_F16, 0, {0}, NULL, {NULL}, NULL, {NULL}},
    {"hybrid, int8, f16", JT_Q8_0, JT_ACT_INT8, JT_KV_F16, 0, {0}, NULL, {NULL}, NULL, {NULL}, true},
    {"hf-tiny", JT_F32, JT_ACT_FLOAT, JT_KV_F32, 2e-4, {0}, NULL, {NULL}, NULL, {NULL}},
    {"gemma2", JT_BF16, JT_ACT_FLOAT, JT_KV_F32, 0, {0}, NULL, {NULL}, NULL, {NULL}},
    {"gemma3", JT_BF16, JT_ACT_FLOAT, JT_KV_F16, 0, {0}, NULL, {NULL}, NULL, {NULL}},
    {"qwen2", JT_BF16, JT_ACT_FLOAT, JT_KV_Q8_0, 0, {0}, NULL, {NULL}, NULL, {NULL}},
    {"qwen3", JT_BF16, JT_ACT_BF16, JT_KV_F16, 0, {0}, NULL, {NULL}, NULL, {NULL}},
    {"phi4-mini", JT_BF16, JT_ACT_FLOAT, JT_KV_F32, 0, {0}, NULL, {NULL}, NULL, {NULL}},
    {"olmo2", JT_BF16, JT_ACT_FLOAT, JT_KV_F16, 0, {0}, NULL, {NULL}, NULL, {NULL}},
    {"stablelm-parallel", JT_BF16, JT_ACT_FLOAT, JT_KV_F32, 0, {0}, NULL, {NULL}, NULL, {NULL}},
    {"starcoder2", JT_BF16, JT_ACT_FLOAT, JT_KV_F16, 0, {0}, NULL, {NULL}, NULL, {NULL}},
    {"moe/mixtral.gguf", JT_Q8_0, JT_ACT_INT8, JT_KV_F16, 0, {0}, NULL, {NULL}, NULL, {NULL}},
    {"moe/gpt-oss.gguf", JT_Q8_0, JT_ACT_INT8, JT_KV_Q8_0, 0, {0}, NULL, {NULL}, NULL, {NULL}},
    {"moe/granite-hybrid-moe.gguf", JT_Q8_0, JT_ACT_INT8, JT_KV_F16, 0, {0}, NULL, {NULL}, NULL, {NULL}, true},
    {"moe/deepseek-v3.gguf", JT_Q8_0, JT_ACT_INT8, JT_KV_F16, 0, {0}, NULL, {NULL}, NULL, {NULL}},
};
enum { FIRST_FAMILY = MODES - FAMILIES, HYBRID = FIRST_FAMILY - 2, HF = FIRST_FAMILY - 1, OF_FAMILIES = 1 << 20 };

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
    *s = (struct slot){.context = chance(p, 4) ? 48 : REC_NODES, .seq = {.taps = -1, .keys = -1, .raw = p->wild && chance(p, 3)}};
    sabotage(p, 2);
    if (!spared(p, new_sequence(p->model, s->context, s->seq.raw, &s->s, &err), &err)) s->s = NULL;
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

static void call_keys(struct program *p) {
    struct slot *s = any(p, true);
    jt_error err;
    if (!s || p->n_lists == SETS) return;
    struct key_lists *l = &p->lists[p->n_lists];
    *l = (struct key_lists){.n = (int)pick(p, LISTS + 1)};
    for (int i = 0; i < l->n; i++) {
        jt_keys *k = &l->k[i];
        uint32_t layers = (uint32_t)p->mode->ref.layers;
        for (int d = (int)pick(p, 4); d < s->context && k->n < LISTED; d += 1 + (int)pick(p, 3))
            l->position[i][k->n] = (int32_t)pick(p, 150), l->depth[i][k->n++] = d;
        k->depth = l->depth[i], k->local = chance(p, 2) ? (int)pick(p, 30) : 0;
        if (s->seq.raw && chance(p, 3)) k->position = l->position[i];
        if (s->seq.raw && chance(p, 2)) k->renumber = 1;
        if (chance(p, 2)) k->layer_first = (int)pick(p, layers), k->layer_end = k->layer_first + 1;
        if (chance(p, 3)) k->row_first = (int)pick(p, 30), k->row_end = chance(p, 2) ? 0 : k->row_first + 1 + (int)pick(p, 30);
        l->head[i] = (int)pick(p, (uint32_t)p->mode->ref.kv);
        if (chance(p, 3)) k->heads = &l->head[i], k->n_heads = 1;
    }
    uint64_t mode = jt_state_mode(s->s);
    sabotage(p, 6);
    if (spared(p, jt_state_set_keys(s->s, l->k, l->n, &err), &err))
        s->seq.keys = l->n ? p->n_lists++ : -1;
    else
        assert_true(jt_state_mode(s->s) == mode);
}

static void call_adapter(struct program *p) {
    static const float scales[] = {0, 0, 1, -0.75f};
    struct slot *s = any(p, true);
    jt_error err;
    if (!s || !p->adapter) return;
    float scale = scales[pick(p, 4)];
    sabotage(p, 3);
    bool named = scale != 0 || chance(p, 2); /* a scale of 0 is no adapter */
    if (spared(p, jt_state_set_adapter(s->s, named ? p->adapter : NULL, scale, &err), &err)) s->seq.adapter = scale;
}

/* The parent of the first row of a row's group. */
static int group_parent(const struct program *p, int row) {
    while (row > 0 && p->pool.row[row - 1].group == p->pool.row[row].group) row--;
    return p->pool.row[row].up;
}

/* One new row of a sequence, with its parent (a node). It joins the group of the row before where it may and `joins` says so. */
static void random_row(struct program *p, struct slot *s, int parent, unsigned kinds, bool joins) {
    const ref_model *m = &p->mode->ref;
    int at = p->pool.n;
    rec_row *r = rec_add(&p->pool);
    r->n_in = kinds & 1 && chance(p, 2) ? 1 + (int)pick(p, 3) : REC_PLAIN;
    r->seed = p->at, r->eval = p->evals, r->taps = s->seq.taps, r->adapter = s->seq.adapter;
    for (int i = 0; i < 2; i++) r->id[i] = (int32_t)pick(p, (uint32_t)m->vocab), r->w[i] = 0.6f + part(p) / 2;
    r->up = parent < 0 ? -1 : s->seq.row[parent];
    r->depth = r->up < 0 ? 0 : p->pool.row[r->up].depth + 1;
    r->keys = s->seq.keys, r->raw = s->seq.raw;
    const rec_row *last = joins ? &p->pool.row[at - 1] : NULL, *up = r->up < 0 ? NULL : &p->pool.row[r->up];
    bool joined = last && ((up && up->group == last->group) || (r->depth == last->own && r->up == group_parent(p, at - 1)));
    r->group = joined ? last->group : ++p->groups, r->own = joined ? last->own : r->depth;
    r->rank = kinds & 2 ? r->depth + (int)pick(p, 5) - 2 : r->depth;
    r->position = kinds & 4 ? r->depth + (int)pick(p, 60) : r->depth;
    r->runs = kinds & 8 ? pick(p, 1u << m->layers) : (1u << m->layers) - 1;
    rec_append(&s->seq, at, parent);
}

/* New rows of a slot's copy. Returns whether a depth reaches the declared context. */
static bool random_rows(struct program *p, struct slot *s) {
    int from = s->seq.n, n = 1 + (int)pick(p, chance(p, 6) ? ROWS : 6), back = s->seq.n < 6 ? s->seq.n : 6;
    unsigned kinds = p->wild && chance(p, 3) ? pick(p, 16) : 0;
    bool tree = chance(p, 4), over = false, block = p->wild && chance(p, 8), grouped = p->wild && chance(p, 3);
    if (n > REC_NODES - from) n = REC_NODES - from;
    if (p->mode->recurrent) kinds &= ~2u, block = false;
    for (int i = 0; i < n; i++) {
        int parent = s->seq.n - 1;
        if (tree) parent -= (int)pick(p, (uint32_t)(back + i + 1));
        if (parent < -1 || (p->wild && chance(p, 60))) parent = -1;
        random_row(p, s, parent, kinds, i > 0 && grouped && chance(p, 2));
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
    float residual[(LAYERS + 1) * SPANS * ROWS * REF_HIDDEN];
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
        j->ranks |= (x->rank || x->group) && p->ubatch && x->n > p->ubatch;
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
        random_row(p, s, last, 0, false);
        rec_saw(&p->pool, &s->seq, last + 1);
        span[n] = make_span(p, s->s, &s->seq, last + 1, &a[n]);
        want[n] = make_want(&wish, n, &result[n]);
        of[n++] = i;
    }
    jt_batch b = {.span = span, .n_span = n, .want = want, .n_want = n, .captured = captured, .captured_self = &c};
    if (jt_eval(p->model, &b, &err)) wrong(p, "%s", err.message);
    for (int i = 0; i < n; i++)
        if (p->often < 10 || chance(p, 2)) check(p, &p->slot[of[i]], p->slot[of[i]].seq.n - 1, &wish, &result[i], i, &c);
}

static void run(uint32_t seed, int often) {
    static struct program program;
    struct program *p = &program;
    static const int ubatch[FAST] = {0, 3, 7};
    int kind = seed % 97 == 6 ? HF : (int)(seed % HF), fast = (int)(seed / HF % FAST);
    if (seed >= OF_FAMILIES) kind = FIRST_FAMILY + (int)((seed - OF_FAMILIES) % FAMILIES);
    if (fast == 2 && seed % 5) fast = 1; /* the one with threads: slow where processors are taken */
    memset(p, 0, sizeof *p);
    p->seed = seed, p->often = often, p->wild = (seed + seed / HF) % 4 != 3, p->mode = &modes[kind];
    p->model = p->mode->fast[fast], p->ubatch = ubatch[fast], p->adapter = p->mode->fast_adapter[fast];
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
        else if (what < 70 && p->wild)
            call_taps(p);
        else if (what < 73 && p->wild)
            call_adapter(p);
        else if (what < 77 && p->wild)
            call_keys(p);
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
    for (uint32_t seed = 0; seed < (all ? 10000 : 21); seed++) run(seed, all ? 64 : 6);
    for (uint32_t seed = 0; seed < (all ? 2000 : FAMILIES); seed++) run(OF_FAMILIES + seed, all ? 64 : 8);
    print_message("%ld evals; %ld rows bit for bit, %ld in double (%ld adapted, %ld under lists of keys), %ld by neither; %ld captures, "
                  "%ld projections; refused %ld, "
                  "out of memory %ld, cancelled %ld, failed in a function %ld, at a limit %ld\n",
                  did.evals, did.bits, did.doubles, did.adapted, did.listed, did.neither, did.captured, did.projected, did.refused,
                  did.nomem, did.cancelled, did.host, did.limits);
    assert_true(did.bits > 200 && did.doubles > 200 && did.neither < (did.bits + did.doubles) / 4 && did.captured > 20 &&
                did.adapted > 20 && did.listed > 20);
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
        } else if (i >= FIRST_FAMILY) {
            snprintf(path, sizeof path, "%s/%s%s", FIXTURES, strchr(m->name, '/') ? "" : "families/", m->name);
        } else if (i == HYBRID) {
            hybrid_write(FIXTURES "/hybrid/one", path, 1);
            m->ref = (ref_model){.vocab = HYBRID_VOCAB,
                                 .hidden = HYBRID_HIDDEN,
                                 .layers = HYBRID_LAYERS,
                                 .heads = HYBRID_HEADS,
                                 .kv = HYBRID_KV,
                                 .dim = HYBRID_HIDDEN / HYBRID_HEADS};
        } else {
            tiny_llama_write(path, &t);
            ref_open_gguf(&m->ref, path);
        }
        m->ref.half = m->kv == JT_KV_F16;
        jt_model_options o = {.activations = m->act, .kv_type = m->kv};
        jt_status s = jt_model_open(engine[0], path, &o, &m->slow, &err);
        if (!s && i >= FIRST_FAMILY) {
            jt_model_info info;
            jt_model_get_info(m->slow, &info);
            m->ref = (ref_model){.vocab = info.vocab,
                                 .hidden = info.hidden,
                                 .layers = info.layers,
                                 .heads = info.heads,
                                 .kv = info.kv_heads,
                                 .dim = info.head_dim};
        }
        if (!s) s = jt_model_open(engine[1], path, &o, &m->fast[0], &err);
        o.ubatch = 3, o.no_repack = 1;
        if (!s) s = jt_model_open(engine[1], path, &o, &m->fast[1], &err);
        o.ubatch = 7, o.no_repack = 0;
        if (!s) s = jt_model_open(engine[2], path, &o, &m->fast[2], &err);
        if (i < HF) unlink(path);
        if (i < HYBRID && !s) {
            tiny_adapter_write(path, &t, 4, 127, JT_F32, 40u + (uint32_t)i);
            ref_open_adapter(&m->ref, path, 4, 3.5);
            s = jt_adapter_open(m->slow, path, &m->slow_adapter, &err);
            for (int k = 0; k < FAST && !s; k++) s = jt_adapter_open(m->fast[k], path, &m->fast_adapter[k], &err);
            unlink(path);
        }
        if (s) return print_error("%s\n", err.message), -1;
    }
    return 0;
}

static int end(void **unused) {
    (void)unused;
    for (int i = 0; i < MODES; i++) {
        if (i < FIRST_FAMILY) ref_close(&modes[i].ref);
        jt_adapter_free(modes[i].slow_adapter);
        jt_model_free(modes[i].slow);
        for (int k = 0; k < FAST; k++) jt_adapter_free(modes[i].fast_adapter[k]), jt_model_free(modes[i].fast[k]);
    }
    for (int i = 0; i < 3; i++) jt_engine_free(engine[i]);
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_programs)};
    return cmocka_run_group_tests(tests, begin, end);
}
