/* fake.h: a model for tests of the driver. Logits are a hash of all tokens before,
 * so that any mistake in what is evaluated changes them. The tokenizer's ids 0 to
 * 255 are the bytes, 256 on are a few words, then <end>. */
#ifndef TESTS_DECODE_FAKE_H
#define TESTS_DECODE_FAKE_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"
#include "core/mem.h"
#include "decode/driver.h"
#include "text/tokenizer.h"

enum { FAKE_WORDS = 256, FAKE_END = 264, FAKE_VOCAB = 265, FAKE_CONTEXT = 200 };

/* Nodes of a tree; what a node holds is its id, or a hash of what else it was made from. */
struct jt_state {
    int n, context;
    int32_t *ids, *parent, *path;
    const jt_tap *tap; /* [n_tap]; the driver's */
    int n_tap;
    uint64_t adapter;    /* 0: none */
    const jt_keys *keys; /* [n_keys]; the driver's */
    int n_keys;
    bool raw;
};

/* An adapter is a number. */
struct jt_adapter {
    uint64_t number;
};

typedef struct fake {
    jt_evaluator ev;
    jt_tokenizer *tokenizer;
    int evals, rows, open;
    int most_rows; /* of one evaluation */
    int hungry;    /* evals that fail for want of memory */
    int fail_at;   /* evals that hold this token id fail; -1: none */
    float (*logit)(const int32_t *ids, int n, int32_t id);
    double clock, tick; /* seconds, and what each look at the clock adds */
    jt_driver *cancel_in;
    jt_job cancel_job; /* cancelled while the first evaluation runs */
} fake;

/* A few likely tokens, the end token now and then. */
static float fake_logit(const int32_t *ids, int n, int32_t id) {
    uint64_t h = jt_hash_u64(jt_hash_bytes(7, ids, (size_t)n * sizeof *ids), (uint64_t)id);
    float x = (float)(h % 10000) / 1000.0f;
    return id == FAKE_END ? x - 3 : id >= FAKE_WORDS || (id >= 'a' && id <= 'z') || id == ' ' ? x : x - 12;
}

static void fake_close(void *self, jt_state *s) {
    ((fake *)self)->open--;
    jt_free(s->ids), jt_free(s->parent), jt_free(s->path);
    jt_free(s);
}

static jt_status fake_open(void *self, int context, jt_state **out, jt_error *err) {
    fake *f = self;
    jt_state *s = jt_alloc(1, sizeof *s);
    if (s) s->ids = jt_alloc(2 * (size_t)context + 300, sizeof *s->ids), s->parent = jt_alloc(2 * (size_t)context + 300, sizeof *s->parent);
    if (s) s->path = jt_alloc(2 * (size_t)context + 300, sizeof *s->path);
    if (!s || !s->ids || !s->parent || !s->path) {
        f->open++;
        if (s)
            fake_close(f, s);
        else
            f->open--;
        return jt_nomem(err, "a fake state", (size_t)context, sizeof *s->ids);
    }
    s->context = context;
    f->open++;
    *out = s;
    return JT_OK;
}

static jt_status fake_fork(void *self, const jt_state *s, jt_state **out, jt_error *err) {
    jt_status e = fake_open(self, s->context, out, err);
    if (e != JT_OK) return e;
    (*out)->n = s->n;
    memcpy((*out)->ids, s->ids, (size_t)s->n * sizeof *s->ids);
    memcpy((*out)->parent, s->parent, (size_t)s->n * sizeof *s->parent);
    (*out)->tap = s->tap, (*out)->n_tap = s->n_tap, (*out)->adapter = s->adapter;
    (*out)->keys = s->keys, (*out)->n_keys = s->n_keys, (*out)->raw = s->raw;
    return JT_OK;
}

static jt_status fake_truncate(void *self, jt_state *s, int n, jt_error *err) {
    (void)self;
    if (n < 0 || n > s->n) return jt_error_set(err, JT_INVALID, "the fake state has %d nodes, not %d", s->n, n);
    s->n = n;
    return JT_OK;
}

/* The values from the root to the node, into s->path; their number. */
static int fake_path(jt_state *s, int node) {
    int n = 0;
    for (int k = node; k >= 0; k = s->parent[k]) n++;
    for (int k = node, at = n; k >= 0; k = s->parent[k]) s->path[--at] = s->ids[k];
    return n;
}

static jt_status fake_truncate_to(void *self, jt_state *s, int node, jt_error *err) {
    (void)self;
    if (node < 0 || node >= s->n) return jt_error_set(err, JT_INVALID, "the fake state has no node %d", node);
    s->n = fake_path(s, node);
    memcpy(s->ids, s->path, (size_t)s->n * sizeof *s->ids);
    for (int k = 0; k < s->n; k++) s->parent[k] = k - 1;
    return JT_OK;
}

/* What a node is made from besides its id, as one number; 0: nothing. */
static uint64_t fake_mark(const jt_tap *tap, int n_tap, uint64_t adapter, const jt_layers *layers, int depth) {
    uint64_t h = 0;
    for (int i = 0; i < n_tap; i++)
        if (tap[i].op == JT_TAP_ADD && depth >= tap[i].row_first && (!tap[i].row_end || depth < tap[i].row_end))
            h = jt_hash_bytes(jt_hash_bytes(h, &tap[i].value, sizeof tap[i].value), tap[i].vec, 2 * sizeof *tap[i].vec);
    if (adapter) h = jt_hash_u64(h, adapter);
    for (int k = 0; layers && k < 4; k++)
        if (layers->word[k] != UINT64_MAX) h = jt_hash_u64(jt_hash_u64(h, (uint64_t)k), layers->word[k]);
    return h;
}

static int32_t fake_marked(int32_t id, uint64_t mark) { return mark ? (int32_t)(jt_hash_u64(mark, (uint64_t)id) % 1000000) + 2000000 : id; }

/* A mixture or vector as one number; one id with weight 1 is that id. */
static int32_t fake_mixed(const jt_input *in) {
    if (in->n == 1 && in->w[0] == 1) return in->ids[0];
    uint64_t h =
        jt_hash_bytes(in->n ? 3 : 4, in->n ? (const void *)in->w : (const void *)in->vec, (in->n ? (size_t)in->n : 2) * sizeof(float));
    return (int32_t)(jt_hash_bytes(h, in->ids, (size_t)in->n * sizeof *in->ids) % 1000000) + 1000;
}

/* Keys count by the first number of each list, groups by their rows and the place among them. */
static uint64_t fake_mark_keys(uint64_t h, const jt_keys *k, int n, int rows, int place) {
    for (int i = 0; i < n; i++) h = jt_hash_u64(jt_hash_u64(h, (uint64_t)k[i].local), (uint64_t)k[i].depth[0]);
    return rows > 1 ? jt_hash_u64(jt_hash_u64(h, (uint64_t)rows), (uint64_t)place) : h;
}

static int32_t fake_value(const jt_span *p, int k, int depth) {
    const jt_state *s = p->state;
    uint64_t mark = fake_mark(s->tap, s->n_tap, s->adapter, p->layers ? &p->layers[k] : NULL, depth);
    int first = k, end = k + 1;
    while (p->group && first && p->group[first - 1] == p->group[k]) first--;
    while (p->group && end < p->n && p->group[end] == p->group[k]) end++;
    mark = fake_mark_keys(mark, s->keys, s->n_keys, end - first, k - first);
    return fake_marked(p->input ? fake_mixed(&p->input[k]) : p->ids[k], mark);
}

static jt_status fake_set_taps(void *self, jt_state *s, const jt_tap *t, int n, jt_error *err) {
    void *room = jt_alloc(1, 32);
    (void)self;
    if (!room) return jt_nomem(err, "fake taps", 1, 32);
    jt_free(room);
    for (int i = 0; i < n; i++)
        if (!t[i].site || strcmp(t[i].site, "residual") != 0) return jt_error_set(err, JT_UNKNOWN, "the fake has no such site");
    s->tap = t, s->n_tap = n;
    return JT_OK;
}

static jt_status fake_set_keys(void *self, jt_state *s, const jt_keys *k, int n, jt_error *err) {
    void *room = jt_alloc(1, 32);
    (void)self;
    if (!room) return jt_nomem(err, "fake keys", 1, 32);
    jt_free(room);
    for (int i = 0; i < n; i++)
        if (k[i].n < 1 || (k[i].position && !s->raw)) return jt_error_set(err, JT_INVALID, "the fake has no such keys");
    s->keys = k, s->n_keys = n;
    return JT_OK;
}

static jt_status fake_open_raw(void *self, int context, jt_state **out, jt_error *err) {
    jt_status e = fake_open(self, context, out, err);
    if (e == JT_OK) (*out)->raw = true;
    return e;
}

static int fake_site_width(void *self, const char *site) {
    (void)self;
    return strcmp(site, "residual") == 0 ? 2 : 0;
}

static jt_status fake_set_adapter(void *self, jt_state *s, const jt_wear *w, jt_error *err) {
    void *room = jt_alloc(1, 32);
    (void)self;
    if (!room) return jt_nomem(err, "a fake adapter", 1, 32);
    jt_free(room);
    s->adapter = w && w->adapter ? jt_hash_bytes(w->adapter->number, &w->scale, sizeof w->scale) : 0;
    return JT_OK;
}

/* Fills in what is wanted of the row whose path is ids[0..n). */
static void fake_row(const fake *f, const int32_t *ids, int n, const jt_want *w) {
    static float x[FAKE_VOCAB];
    double max = -INFINITY, S = 0, T = 0;
    for (int32_t id = 0; id < FAKE_VOCAB; id++) {
        x[id] = f->logit(ids, n, id);
        max = fmax(max, (double)x[id]);
    }
    for (int32_t id = 0; id < FAKE_VOCAB; id++) {
        double e = exp((double)x[id] - max);
        S += e, T += e > 0 ? e * ((double)x[id] - max) : 0;
    }
    if (w->logits) memcpy(w->logits, x, sizeof x);
    if (w->log_sum_exp) *w->log_sum_exp = max + log(S);
    if (w->entropy) *w->entropy = log(S) - T / S;
    if (w->final) w->final[0] = x[0], w->final[1] = (float)n;
    for (int k = 0; k < w->n_layer; k++) w->stream[2 * k] = x[1] + (float)w->layer[k], w->stream[2 * k + 1] = (float)n;
    for (int k = 0; k < w->n_targets; k++) w->target_logprob[k] = (double)x[w->targets[k]] - max - log(S);
    for (int k = 0; k < w->n_top; k++) {
        int32_t best = -1;
        for (int32_t id = 0; id < FAKE_VOCAB; id++) {
            bool had = false;
            for (int q = 0; q < k; q++) had |= w->top_ids[q] == id;
            if (!had && (best < 0 || x[id] > x[best])) best = id;
        }
        w->top_ids[k] = best, w->top_logits[k] = x[best];
    }
}

static jt_status fake_eval(void *self, const jt_batch *b, jt_error *err) {
    fake *f = self;
    void *room = jt_alloc(1, 64); /* as a model may need memory: fails when tests say so */
    int row = 0, want = 0;
    if (!room) return jt_nomem(err, "a fake evaluation", 1, 64);
    jt_free(room);
    if (f->hungry && f->hungry--) return jt_error_set(err, JT_NOMEM, "the fake model is hungry");
    f->evals++;
    if (f->cancel_in) jt_driver_cancel(f->cancel_in, f->cancel_job);
    if (b->cancelled && b->cancelled(b->cancelled_self)) return jt_error_set(err, JT_CANCELLED, "cancelled");
    for (int i = 0; i < b->n_span; i++) {
        for (int k = 0; k < i; k++)
            if (b->span[k].state == b->span[i].state) return jt_error_set(err, JT_INVALID, "one state in two spans");
        for (int k = 0; k < b->span[i].n; k++)
            if (b->span[i].ids[k] == f->fail_at) return jt_error_set(err, JT_IO, "the fake model fails at token %d", f->fail_at);
    }
    for (int i = 0; i < b->n_span; i++) {
        const jt_span *p = &b->span[i];
        jt_state *s = p->state;
        for (int k = 0; k < p->n; k++, row++) {
            int up = p->parent ? p->parent[k] : JT_PREVIOUS;
            s->parent[s->n] = up == JT_PREVIOUS ? s->n - 1 : up;
            s->n++;
            int n = fake_path(s, s->n - 1);
            s->ids[s->n - 1] = s->path[n - 1] = fake_value(p, k, n - 1);
            for (int t = 0; t < s->n_tap && b->captured; t++)
                if (s->tap[t].op == JT_TAP_CAPTURE && n > s->tap[t].row_first && (!s->tap[t].row_end || n <= s->tap[t].row_end))
                    b->captured(b->captured_self, i, s->n - 1, s->tap[t].layer_first, s->tap[t].tag,
                                (const float[]){(float)s->ids[s->n - 1], (float)n}, 2);
            if (n > s->context || s->n > 2 * s->context + 290) return jt_error_set(err, JT_LIMIT, "the fake context is full");
            if (want < b->n_want && b->want[want].row == row) fake_row(f, s->path, n, &b->want[want++]);
        }
    }
    f->rows += row;
    if (row > f->most_rows) f->most_rows = row;
    return want == b->n_want ? JT_OK : jt_error_set(err, JT_INVALID, "wants are not rows of the batch");
}

static uint64_t fake_mode(void *self, const jt_state *s) {
    (void)self;
    if (s->n_tap || s->n_keys) return 0;
    return jt_hash_u64(jt_hash_u64(s->raw ? 2 : 1, (uint64_t)s->context), s->adapter);
}

static double fake_now(void *self) {
    fake *f = self;
    return f->clock += f->tick;
}

/* With a chat template the last two words are the marks of a turn. */
static jt_tokenizer *fake_tokenizer(const char *chat) {
    static const char *const word[] = {"the", "\xc4\xa0the", "stop", "\xc4\xa0st", "op", "<|x|>", "ab", "abc"};
    static char bytes[256][3];
    jt_view tokens[FAKE_VOCAB];
    int32_t types[FAKE_VOCAB];
    int n = 0;
    for (int b = 0; b < 256; b++) { /* GPT-2's alphabet: printable bytes stand for themselves, others from U+0100 on */
        bool plain = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        int cp = plain ? b : 256 + n++, len = 0;
        if (cp < 128)
            bytes[b][len++] = (char)cp;
        else
            bytes[b][len++] = (char)(0xc0 | cp >> 6), bytes[b][len++] = (char)(0x80 | (cp & 63));
        tokens[b] = (jt_view){bytes[b], (size_t)len};
        types[b] = JT_TOKEN_NORMAL;
    }
    for (int i = 0; i < 8; i++) tokens[FAKE_WORDS + i] = (jt_view){word[i], strlen(word[i])}, types[FAKE_WORDS + i] = JT_TOKEN_NORMAL;
    types[FAKE_WORDS + 5] = JT_TOKEN_CONTROL;
    if (chat) tokens[FAKE_WORDS + 6] = (jt_view){"<|im_start|>", 12}, tokens[FAKE_WORDS + 7] = (jt_view){"<|im_end|>", 10};
    tokens[FAKE_END] = (jt_view){"<end>", 5}, types[FAKE_END] = JT_TOKEN_CONTROL;
    jt_tokenizer_spec spec;
    jt_tokenizer *t = NULL;
    jt_error err;
    jt_tokenizer_spec_init(&spec);
    spec.model = (jt_view){"gpt2", 4}, spec.pre = (jt_view){"gpt-2", 5};
    spec.tokens = tokens, spec.types = types, spec.vocab = FAKE_VOCAB;
    spec.eos = FAKE_END;
    if (chat) spec.chat_template = (jt_view){chat, strlen(chat)};
    if (jt_tokenizer_new(&spec, &t, &err) != JT_OK) {
        fprintf(stderr, "%s\n", err.message);
        abort();
    }
    return t;
}

static void fake_make(fake *f) {
    int known;
    *f = (fake){.fail_at = -1, .logit = fake_logit, .tick = 1e-4, .tokenizer = fake_tokenizer(NULL)};
    f->ev = (jt_evaluator){.self = f,
                           .vocab = FAKE_VOCAB,
                           .hidden = 2,
                           .layers = 4,
                           .context = FAKE_CONTEXT,
                           .tokenizer = f->tokenizer,
                           .kernels = jt_kernels_pick(NULL, &known),
                           .ubatch = 64,
                           .open = fake_open,
                           .open_raw = fake_open_raw,
                           .close = fake_close,
                           .fork = fake_fork,
                           .truncate = fake_truncate,
                           .truncate_to = fake_truncate_to,
                           .eval = fake_eval,
                           .mode = fake_mode,
                           .set_taps = fake_set_taps,
                           .site_width = fake_site_width,
                           .set_keys = fake_set_keys,
                           .set_adapter = fake_set_adapter,
                           .now = fake_now};
}

static void fake_free(fake *f) { jt_tokenizer_free(f->tokenizer); }

#endif
