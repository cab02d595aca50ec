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

struct jt_state {
    int n, context;
    int32_t *ids;
};

typedef struct fake {
    jt_evaluator ev;
    jt_tokenizer *tokenizer;
    int evals, rows, open;
    int most_rows; /* of one evaluation */
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

static jt_status fake_open(void *self, int context, jt_state **out, jt_error *err) {
    fake *f = self;
    jt_state *s = jt_alloc(1, sizeof *s);
    if (s) s->ids = jt_alloc((size_t)context, sizeof *s->ids);
    if (!s || !s->ids) {
        jt_free(s);
        return jt_nomem(err, "a fake state", (size_t)context, sizeof *s->ids);
    }
    s->context = context;
    f->open++;
    *out = s;
    return JT_OK;
}

static void fake_close(void *self, jt_state *s) {
    ((fake *)self)->open--;
    jt_free(s->ids);
    jt_free(s);
}

static jt_status fake_eval(void *self, const jt_batch *b, jt_error *err) {
    fake *f = self;
    void *room = jt_alloc(1, 64); /* as a model may need memory: fails when tests say so */
    int row = 0, want = 0;
    if (!room) return jt_nomem(err, "a fake evaluation", 1, 64);
    jt_free(room);
    f->evals++;
    if (f->cancel_in) jt_driver_cancel(f->cancel_in, f->cancel_job);
    if (b->cancelled && b->cancelled(b->cancelled_self)) return jt_error_set(err, JT_CANCELLED, "cancelled");
    for (int i = 0; i < b->n_span; i++)
        for (int k = 0; k < b->span[i].n; k++)
            if (b->span[i].ids[k] == f->fail_at) return jt_error_set(err, JT_IO, "the fake model fails at token %d", f->fail_at);
    for (int i = 0; i < b->n_span; i++) {
        jt_state *s = b->span[i].state;
        if (s->n + b->span[i].n > s->context) return jt_error_set(err, JT_LIMIT, "the fake context is full");
        for (int k = 0; k < b->span[i].n; k++, row++) {
            s->ids[s->n++] = b->span[i].ids[k];
            if (want == b->n_want || b->want[want].row != row) continue;
            const jt_want *w = &b->want[want++];
            double max = -INFINITY, S = 0, T = 0;
            for (int32_t id = 0; id < FAKE_VOCAB; id++) {
                w->logits[id] = f->logit(s->ids, s->n, id);
                max = fmax(max, (double)w->logits[id]);
            }
            for (int32_t id = 0; id < FAKE_VOCAB; id++) {
                double e = exp((double)w->logits[id] - max);
                S += e, T += e > 0 ? e * ((double)w->logits[id] - max) : 0;
            }
            *w->log_sum_exp = max + log(S);
            if (w->entropy) *w->entropy = log(S) - T / S;
        }
    }
    f->rows += row;
    if (row > f->most_rows) f->most_rows = row;
    return want == b->n_want ? JT_OK : jt_error_set(err, JT_INVALID, "wants are not rows of the batch");
}

static double fake_now(void *self) {
    fake *f = self;
    return f->clock += f->tick;
}

static jt_tokenizer *fake_tokenizer(void) {
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
    tokens[FAKE_END] = (jt_view){"<end>", 5}, types[FAKE_END] = JT_TOKEN_CONTROL;
    jt_tokenizer_spec spec;
    jt_tokenizer *t = NULL;
    jt_error err;
    jt_tokenizer_spec_init(&spec);
    spec.model = (jt_view){"gpt2", 4}, spec.pre = (jt_view){"gpt-2", 5};
    spec.tokens = tokens, spec.types = types, spec.vocab = FAKE_VOCAB;
    spec.eos = FAKE_END;
    if (jt_tokenizer_new(&spec, &t, &err) != JT_OK) {
        fprintf(stderr, "%s\n", err.message);
        abort();
    }
    return t;
}

static void fake_make(fake *f) {
    int known;
    *f = (fake){.fail_at = -1, .logit = fake_logit, .tick = 1e-4, .tokenizer = fake_tokenizer()};
    f->ev = (jt_evaluator){.self = f,
                           .vocab = FAKE_VOCAB,
                           .context = FAKE_CONTEXT,
                           .tokenizer = f->tokenizer,
                           .kernels = jt_kernels_pick(NULL, &known),
                           .open = fake_open,
                           .close = fake_close,
                           .eval = fake_eval,
                           .now = fake_now};
}

static void fake_free(fake *f) { jt_tokenizer_free(f->tokenizer); }

#endif
