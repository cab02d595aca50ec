/* length.c: how long an answer is: no end before so many tokens, an end at so many. */
#include "jeton/method.h"
#include "jeton/text.h"

enum { LENGTH_ENDS = 63 };

/* State: the tokens that end an answer. */
struct length_ends {
    int32_t n, id[LENGTH_ENDS];
};

static jt_status length_open(const char *name, int tokens, struct length_ends *e, const jt_setup *u, jt_error *err) {
    if (!tokens) return JT_OK;
    if (!u->tokenizer) return jt_error_set(err, JT_UNSUPPORTED, "%s: this model has no tokenizer that tells which tokens end a text", name);
    for (int32_t id = 0; id < u->vocab; id++) {
        if (!jt_token_is_end(u->tokenizer, id)) continue;
        if (e->n == LENGTH_ENDS) return jt_error_set(err, JT_LIMIT, "%s: the model has more than %d end tokens", name, LENGTH_ENDS);
        e->id[e->n++] = id;
    }
    return e->n ? JT_OK : jt_error_set(err, JT_UNSUPPORTED, "%s: this model has no end token", name);
}

#define MIN_LENGTH(X, T) X(T, INT, tokens, JT_REQUIRED, JT_RANGE(0, 16777216), "tokens of the answer before an end token; 0: none")
JT_PARAMS(min_length, MIN_LENGTH)

static jt_status min_length_open(const void *par, void *state, const jt_setup *u, jt_error *err) {
    return length_open("min-length", ((const struct min_length *)par)->tokens, state, u, err);
}

static jt_status min_length_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const struct length_ends *e = state;
    if (jt_step_position(s) - jt_step_prompt(s) >= ((const struct min_length *)par)->tokens) return JT_OK;
    for (int i = 0; i < e->n; i++) jt_dist_add(d, e->id[i], -INFINITY);
    return JT_OK;
}

JT_METHOD(min_length) = {.name = "min-length",
                         .kind = JT_STAGE,
                         .summary = "bans end tokens until the answer has so many tokens",
                         .formula = "ban x if x ends a text and the answer has fewer than n tokens",
                         .paper = "",
                         .card = "decoding/common-samplers",
                         .cost = "O(end tokens)",
                         .neutral = "tokens=0",
                         .needs = JT_NEEDS_TOKENIZER,
                         JT_PARAMETERS(min_length),
                         .state_size = sizeof(struct length_ends),
                         .open = min_length_open,
                         .stage = {.run = min_length_run}};

#define FORCED_END(X, T)                                                                                                                   \
    X(T, INT, tokens, JT_REQUIRED, JT_RANGE(0, 16777216), "tokens of the answer, the end token included; 0: any number")
JT_PARAMS(forced_end, FORCED_END)

static jt_status forced_end_open(const void *par, void *state, const jt_setup *u, jt_error *err) {
    return length_open("forced-end", ((const struct forced_end *)par)->tokens, state, u, err);
}

static bool length_ends_with(const struct length_ends *e, int32_t id) {
    for (int i = 0; i < e->n; i++)
        if (e->id[i] == id) return true;
    return false;
}

static jt_status forced_end_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    if (jt_step_position(s) - jt_step_prompt(s) + 1 != ((const struct forced_end *)par)->tokens) return JT_OK;
    for (int32_t id = jt_dist_next(d, -1); id >= 0; id = jt_dist_next(d, id))
        if (!length_ends_with(state, id)) jt_dist_add(d, id, -INFINITY);
    return JT_OK;
}

JT_METHOD(forced_end) = {.name = "forced-end",
                         .kind = JT_STAGE,
                         .summary = "lets only end tokens be the n-th token of the answer",
                         .formula = "at the n-th token ban x unless x ends a text",
                         .paper = "",
                         .card = "decoding/common-samplers",
                         .cost = "one pass over the vocabulary, once an answer",
                         .neutral = "tokens=0",
                         .needs = JT_NEEDS_TOKENIZER,
                         JT_PARAMETERS(forced_end),
                         .state_size = sizeof(struct length_ends),
                         .open = forced_end_open,
                         .stage = {.run = forced_end_run}};
