/* encoder_repetition.c: tokens of the prompt are made more likely, which keeps an answer
 * to the words that it was given: the penalty of CTRL turned round, on the prompt alone. */
#include "jeton/method.h"

#define ENCODER_REPETITION(X, T)                                                                                                           \
    X(T, REAL, penalty, JT_REQUIRED, JT_RANGE(0.01, 100), "multiplies positive and divides negative logits; 1 changes nothing")
JT_PARAMS(encoder_repetition, ENCODER_REPETITION)

static jt_status encoder_repetition_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    double r = ((const struct encoder_repetition *)par)->penalty;
    int n, all;
    (void)state;
    if (r == 1) return JT_OK;
    const int32_t *x = jt_step_history(s, &all);
    const jt_count *c = jt_step_counts(s, 0, &n);
    for (int i = 0, p = 0; i < n; i++, p++) {
        while (x[p] != c[i].id) p++; /* where it stands first */
        if (p >= jt_step_prompt(s)) break;
        double l = (double)jt_dist_logit(d, c[i].id);
        if (l > -INFINITY) jt_dist_set(d, c[i].id, (float)fmin(fmax(l > 0 ? l * r : l / r, -3e38), 3e38));
    }
    return JT_OK;
}

JT_METHOD(encoder_repetition) = {.name = "encoder-repetition",
                                 .kind = JT_STAGE,
                                 .summary = "makes tokens of the prompt more likely",
                                 .formula = "l = l * r if l > 0, else l / r, for tokens of the prompt",
                                 .paper = "Keskar et al. 2019, arXiv:1909.05858, turned round",
                                 .card = "decoding/common-samplers",
                                 .cost = "O(tokens) a token",
                                 .neutral = "penalty=1",
                                 .needs = JT_NEEDS_HISTORY,
                                 JT_PARAMETERS(encoder_repetition),
                                 .stage = {.run = encoder_repetition_run}};
