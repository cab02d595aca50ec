/* penalties.c: making tokens that were already used less likely: the penalty of
 * CTRL (once per distinct token), and those by count and by presence. */
#include "jeton/method.h"

#define PENALTY_WINDOW "tokens looked back at; -1 all, 0 none"
#define PENALTY_SCOPE "what is looked at: prompt and answer, or the answer alone"

/* Distinct tokens in the window with their counts. */
static const jt_count *penalty_counts(jt_step *s, int window, bool output, int *n) {
    int first = window < 0 ? 0 : jt_step_position(s) - window;
    if (output && first < jt_step_prompt(s)) first = jt_step_prompt(s);
    return jt_step_counts(s, first, n);
}

#define REPEAT_PENALTY(X, T)                                                                                                               \
    X(T, REAL, penalty, JT_REQUIRED, JT_RANGE(0.01, 100), "divides positive and multiplies negative logits; 1 changes nothing")            \
    X(T, INT, window, 64, JT_RANGE(-1, 16777216), PENALTY_WINDOW)                                                                          \
    X(T, CHOICE, scope, 0, JT_ONE_OF("all|output"), PENALTY_SCOPE)                                                                         \
    X(T, CHOICE, base, 0, JT_ONE_OF("logits|logprobs"), "acts on logits, or on log-probabilities, which are never positive")
JT_PARAMS(repeat_penalty, REPEAT_PENALTY)

static jt_status repeat_penalty_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const struct repeat_penalty *a = par;
    int n;
    (void)state;
    if (a->penalty == 1 || !jt_dist_count(d)) return JT_OK;
    double zero = a->base ? jt_dist_log_sum(d) : 0;
    const jt_count *c = penalty_counts(s, a->window, a->scope, &n);
    for (int i = 0; i < n; i++) {
        double l = (double)jt_dist_logit(d, c[i].id) - zero;
        if (l == -INFINITY) continue;
        jt_dist_set(d, c[i].id, (float)fmax((l > 0 ? l / a->penalty : l * a->penalty) + zero, -3e38));
    }
    return JT_OK;
}

JT_METHOD(repeat_penalty) = {.name = "repeat-penalty",
                             .kind = JT_STAGE,
                             .summary = "makes every token that was used less likely, however often it was",
                             .formula = "l = l / r if l > 0, else l * r",
                             .paper = "Keskar et al. 2019, arXiv:1909.05858",
                             .cost = "O(window)",
                             .neutral = "penalty=1",
                             .card = "decoding/common-samplers",
                             .needs = JT_NEEDS_HISTORY,
                             JT_PARAMETERS(repeat_penalty),
                             .stage = {.run = repeat_penalty_run}};

#define FREQUENCY_PENALTY(X, T)                                                                                                            \
    X(T, REAL, penalty, JT_REQUIRED, JT_RANGE(-2, 2), "taken off the logit for each time the token was used; 0 changes nothing")           \
    X(T, INT, window, -1, JT_RANGE(-1, 16777216), PENALTY_WINDOW)                                                                          \
    X(T, CHOICE, scope, 1, JT_ONE_OF("all|output"), PENALTY_SCOPE)
JT_PARAMS(frequency_penalty, FREQUENCY_PENALTY)

static jt_status frequency_penalty_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const struct frequency_penalty *a = par;
    int n;
    (void)state;
    if (a->penalty == 0) return JT_OK;
    const jt_count *c = penalty_counts(s, a->window, a->scope, &n);
    for (int i = 0; i < n; i++) jt_dist_add(d, c[i].id, (float)(-a->penalty * c[i].count));
    return JT_OK;
}

JT_METHOD(frequency_penalty) = {.name = "frequency-penalty",
                                .kind = JT_STAGE,
                                .summary = "makes a token less likely each time it is used",
                                .formula = "l = l - f * count",
                                .paper = "",
                                .cost = "O(window)",
                                .neutral = "penalty=0",
                                .card = "decoding/common-samplers",
                                .needs = JT_NEEDS_HISTORY,
                                JT_PARAMETERS(frequency_penalty),
                                .stage = {.run = frequency_penalty_run}};

#define PRESENCE_PENALTY(X, T)                                                                                                             \
    X(T, REAL, penalty, JT_REQUIRED, JT_RANGE(-2, 2), "taken off the logit once the token was used; 0 changes nothing")                    \
    X(T, INT, window, -1, JT_RANGE(-1, 16777216), PENALTY_WINDOW)                                                                          \
    X(T, CHOICE, scope, 1, JT_ONE_OF("all|output"), PENALTY_SCOPE)
JT_PARAMS(presence_penalty, PRESENCE_PENALTY)

static jt_status presence_penalty_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const struct presence_penalty *a = par;
    int n;
    (void)state;
    if (a->penalty == 0) return JT_OK;
    const jt_count *c = penalty_counts(s, a->window, a->scope, &n);
    for (int i = 0; i < n; i++) jt_dist_add(d, c[i].id, (float)-a->penalty);
    return JT_OK;
}

JT_METHOD(presence_penalty) = {.name = "presence-penalty",
                               .kind = JT_STAGE,
                               .summary = "makes every token that was used less likely by a constant",
                               .formula = "l = l - f if count > 0",
                               .paper = "",
                               .cost = "O(window)",
                               .neutral = "penalty=0",
                               .card = "decoding/common-samplers",
                               .needs = JT_NEEDS_HISTORY,
                               JT_PARAMETERS(presence_penalty),
                               .stage = {.run = presence_penalty_run}};
