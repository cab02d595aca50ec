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

/* State: a byte for each token, not 0 for those that end a repetition. */
static size_t dry_bytes(const void *par, const jt_setup *u) {
    (void)par;
    return (size_t)u->vocab;
}

static jt_status dry_open(const void *par, void *state, const jt_setup *u, jt_error *err) {
    const struct dry *a = par;
    unsigned char *stops = state;
    const char *breakers = a->breakers[0] ? a->breakers : "\n:\"*";
    if (!u->tokenizer && a->breakers[0])
        return jt_error_set(err, JT_UNSUPPORTED, "dry: breakers are text, and this model has no tokenizer");
    for (int32_t id = 0; u->tokenizer && id < u->vocab; id++) {
        size_t n;
        const char *text = jt_token_bytes(u->tokenizer, id, &n);
        for (size_t i = 0; i < n; i++) stops[id] |= text[i] && strchr(breakers, text[i]) != NULL;
    }
    return JT_OK;
}

static jt_status dry_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const struct dry *a = par;
    double most = a->base > 1 ? 88.72 / jt_log(a->base) : 1e9;
    int n;
    if (a->multiplier == 0) return JT_OK;
    const jt_count *c = jt_step_repeats(s, a->window < 0 ? 0 : jt_step_position(s) - a->window, state, &n);
    for (int i = 0; i < n; i++)
        if (c[i].count >= a->allowed)
            jt_dist_add(d, c[i].id, (float)-fmin(a->multiplier * jt_pow(a->base, fmin(c[i].count - a->allowed, most)), 3e38));
    return JT_OK;
}

JT_METHOD(dry) = {.name = "dry",
                  .kind = JT_STAGE,
                  .summary = "makes tokens less likely that would continue a repetition, the more the longer it is",
                  .formula = "l(x) = l(x) - m * base ^ (L(x) - allowed), L: the longest suffix that x once followed, if L >= allowed",
                  .paper = "p-e-w 2024, text-generation-webui #5677",
                  .cost = "O(tokens) a token",
                  .neutral = "multiplier=0",
                  .card = "decoding/common-samplers",
                  .needs = JT_NEEDS_HISTORY | JT_NEEDS_TOKENIZER,
                  JT_PARAMETERS(dry),
                  .state_bytes = dry_bytes,
                  .open = dry_open,
                  .stage = {.run = dry_run}};
