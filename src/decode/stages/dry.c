/* dry.c: "don't repeat yourself" (a proposal for text-generation-webui by p-e-w,
 * 2024, as llama.cpp has it): a token that would continue a repetition loses more the
 * longer the repetition is. */
#include <string.h>

#include "jeton/method.h"
#include "jeton/text.h"
#include "tensor/scalar_math.h"

#define DRY(X, T)                                                                                                                          \
    X(T, REAL, multiplier, 0.8, JT_RANGE(0, 100), "penalty of a repetition of `allowed` tokens; 0 changes nothing")                        \
    X(T, REAL, base, 1.75, JT_RANGE(1, 8), "growth of the penalty per token")                                                              \
    X(T, INT, allowed, 2, JT_RANGE(1, 1048576), "repetitions shorter than this are free")                                                  \
    X(T, INT, window, -1, JT_RANGE(-1, 16777216), "tokens looked back at; -1 all, 0 none")                                                 \
    X(T, TEXT, breakers, 0, JT_FROM_TEXT, "characters that end a repetition; empty: newline : \" and *")
JT_PARAMS(dry, DRY)

/* State: numbers, then breaker marks. length[i]: how long history[..i] and history[..n) end alike, without a breaker. */
struct dry_state {
    int32_t n, vocab, context, hits;
    int32_t number[]; /* length[context], id[context] of the hits, best[vocab], then vocab bytes of marks */
};

static int32_t *dry_length(const struct dry_state *s) { return (int32_t *)(size_t)s->number; }
static int32_t *dry_hit(const struct dry_state *s) { return dry_length(s) + s->context; }
static int32_t *dry_best(const struct dry_state *s) { return dry_hit(s) + s->context; }
static unsigned char *dry_mark(const struct dry_state *s) { return (unsigned char *)(dry_best(s) + s->vocab); }

static size_t dry_bytes(const void *par, const jt_setup *u) {
    (void)par;
    return sizeof(struct dry_state) + (2 * (size_t)u->context + (size_t)u->vocab) * sizeof(int32_t) + (size_t)u->vocab;
}

/* What a history of n tokens asks for, from its lengths: each candidate's longest repetition. `last` stands at n - 1. */
static void dry_collect(const struct dry *a, struct dry_state *s, const int32_t *history, int32_t last, int32_t n) {
    int32_t *length = dry_length(s), *hit = dry_hit(s), *best = dry_best(s), first = a->window < 0 || a->window > n ? 0 : n - a->window;
    for (int32_t k = 0; k < s->hits; k++) best[hit[k]] = 0;
    s->hits = 0;
    for (int32_t i = n - 2; i >= first; i--) {
        int32_t next = i + 2 < n ? history[i + 1] : last;
        int32_t len = length[i] < i - first + 1 ? length[i] : i - first + 1;
        if (len < a->allowed || dry_mark(s)[next]) continue;
        if (!best[next]) hit[s->hits++] = next;
        if (len > best[next]) best[next] = len;
    }
    s->n = n;
}

/* A token follows history[0..s->n): what ends alike grows by one, the last first, so that each reads the value of before. */
static void dry_append(const struct dry *a, struct dry_state *s, const int32_t *history, int32_t id) {
    int32_t *length = dry_length(s), n = s->n;
    for (int32_t i = n - 1; i >= 0; i--) length[i] = history[i] == id && !dry_mark(s)[id] ? (i ? length[i - 1] : 0) + 1 : 0;
    length[n] = 0;
    dry_collect(a, s, history, id, n + 1);
}

/* The lengths of a whole prompt by the Z algorithm, read backwards: z[k] is how long it ends like itself without its last k. */
static void dry_begin(const struct dry *a, struct dry_state *s, const int32_t *x, int32_t n) {
    int32_t *z = dry_hit(s), *length = dry_length(s), left = 0, right = 0, alike = 0;
    while (alike < n && !dry_mark(s)[x[n - 1 - alike]]) alike++;
    for (int32_t k = 1; k < n; k++) {
        int32_t m = k < right ? (z[k - left] < right - k ? z[k - left] : right - k) : 0;
        while (k + m < n && x[n - 1 - m] == x[n - 1 - k - m]) m++;
        z[k] = m;
        if (k + m > right) left = k, right = k + m;
    }
    for (int32_t k = 1; k < n; k++) length[n - 1 - k] = z[k] < alike ? z[k] : alike;
    dry_collect(a, s, x, x[n - 1], n);
}

static jt_status dry_open(const void *par, void *state, const jt_setup *u, jt_error *err) {
    const struct dry *a = par;
    struct dry_state *s = state;
    const char *breakers = a->breakers[0] ? a->breakers : "\n:\"*";
    s->vocab = u->vocab, s->context = u->context;
    for (int32_t id = 0; u->tokenizer && id < u->vocab; id++) {
        size_t n;
        const char *text = jt_token_bytes(u->tokenizer, id, &n);
        for (size_t i = 0; i < n; i++) dry_mark(s)[id] |= text[i] && strchr(breakers, text[i]) != NULL;
    }
    if (!u->tokenizer && a->breakers[0])
        return jt_error_set(err, JT_UNSUPPORTED, "dry: breakers are text, and this model has no tokenizer");
    if (a->multiplier > 0 && u->n_prompt) dry_begin(a, s, u->prompt, u->n_prompt);
    return JT_OK;
}

static jt_status dry_run(const void *par, const void *state, jt_dist *d, jt_step *t) {
    const struct dry *a = par;
    const struct dry_state *s = state;
    double most = a->base > 1 ? 88.72 / jt_log(a->base) : 1e9;
    (void)t;
    for (int32_t k = 0; a->multiplier > 0 && k < s->hits; k++) {
        int32_t id = dry_hit(s)[k];
        jt_dist_add(d, id, (float)-fmin(a->multiplier * jt_pow(a->base, fmin(dry_best(s)[id] - a->allowed, most)), 3e38));
    }
    return JT_OK;
}

static void dry_push(const void *par, void *state, const jt_decision *made, jt_step *t) {
    const struct dry *a = par;
    struct dry_state *s = state;
    int n;
    const int32_t *history = jt_step_history(t, &n);
    if (a->multiplier > 0 && s->n < s->context) dry_append(a, s, history, made->id);
}

JT_METHOD(dry) = {.name = "dry",
                  .kind = JT_STAGE,
                  .summary = "makes tokens less likely that would continue a repetition, the more the longer it is",
                  .formula = "l(x) = l(x) - m * base ^ (L(x) - allowed), L: the longest suffix that x once followed, if L >= allowed",
                  .paper = "p-e-w 2024, text-generation-webui #5677",
                  .cost = "O(tokens) a token; the prompt once, O(tokens)",
                  .neutral = "multiplier=0",
                  .needs = JT_NEEDS_HISTORY | JT_NEEDS_TOKENIZER,
                  JT_PARAMETERS(dry),
                  .state_bytes = dry_bytes,
                  .open = dry_open,
                  .stage = {.run = dry_run, .push = dry_push}};
