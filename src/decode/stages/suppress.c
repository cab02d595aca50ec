/* suppress.c: tokens that are never written, or not as the first one of an answer. */
#include "decode/sequences.h"

#define SUPPRESS(X, T)                                                                                                                     \
    X(T, TEXT, ids, 0, JT_FROM_FILE, "token ids, parted by spaces, commas or lines")                                                       \
    X(T, TEXT, texts, 0, JT_FROM_FILE, "further tokens, each as its text, in lines")                                                       \
    X(T, CHOICE, at, 0, JT_ONE_OF("always|begin"), "begin: as the first token of the answer alone")
JT_PARAMS(suppress, SUPPRESS)

static size_t suppress_bytes(const void *par, const jt_setup *u) {
    const struct suppress *a = par;
    (void)u;
    return jt_sequences_bytes(a->texts, a->ids);
}

static jt_status suppress_open(const void *par, void *state, const jt_setup *u, jt_error *err) {
    const struct suppress *a = par;
    return jt_sequences_open("suppress", JT_SEQUENCES_SINGLE, a->texts, a->ids, u, state, err);
}

static jt_status suppress_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const struct suppress *a = par;
    if (a->at && jt_step_position(s) != jt_step_prompt(s)) return JT_OK;
    for (const int32_t *w = state; *w; w += 1 + *w) jt_dist_add(d, w[1], -INFINITY);
    return JT_OK;
}

JT_METHOD(suppress) = {.name = "suppress",
                       .kind = JT_STAGE,
                       .summary = "bans tokens, everywhere or at the beginning of the answer",
                       .formula = "ban x if x is listed",
                       .paper = "",
                       .card = "decoding/common-samplers",
                       .cost = "O(tokens named)",
                       .neutral = "ids=\"\"",
                       .needs = JT_NEEDS_TOKENIZER,
                       JT_PARAMETERS(suppress),
                       .state_bytes = suppress_bytes,
                       .open = suppress_open,
                       .stage = {.run = suppress_run}};
