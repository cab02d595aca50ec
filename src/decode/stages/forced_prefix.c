/* forced_prefix.c: an answer that begins with a given text. */
#include "decode/sequences.h"

#define FORCED_PREFIX(X, T)                                                                                                                \
    X(T, TEXT, text, 0, JT_FROM_FILE, "what the answer begins with; special tokens in their written form")                                 \
    X(T, TEXT, ids, 0, JT_FROM_FILE, "in place of a text: token ids")
JT_PARAMS(forced_prefix, FORCED_PREFIX)

static size_t forced_prefix_bytes(const void *par, const jt_setup *u) {
    const struct forced_prefix *a = par;
    (void)u;
    return jt_sequences_bytes(a->text, a->ids);
}

static jt_status forced_prefix_open(const void *par, void *state, const jt_setup *u, jt_error *err) {
    const struct forced_prefix *a = par;
    return jt_sequences_open("forced-prefix", JT_SEQUENCES_WHOLE, a->text, a->ids, u, state, err);
}

static jt_status forced_prefix_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const int32_t *w = state;
    int i = jt_step_position(s) - jt_step_prompt(s);
    (void)par;
    if (i < *w) jt_dist_only(d, w[1 + i]);
    return JT_OK;
}

JT_METHOD(forced_prefix) = {.name = "forced-prefix",
                            .kind = JT_STAGE,
                            .summary = "lets the answer begin with a given text",
                            .formula = "keep x if x = t(i), i: tokens of the answer so far",
                            .paper = "",
                            .card = "decoding/common-samplers",
                            .cost = "O(1)",
                            .neutral = "text=\"\"",
                            .needs = JT_NEEDS_TOKENIZER,
                            JT_PARAMETERS(forced_prefix),
                            .state_bytes = forced_prefix_bytes,
                            .open = forced_prefix_open,
                            .stage = {.run = forced_prefix_run}};
