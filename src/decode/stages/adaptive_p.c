/* adaptive_p.c: makes tokens whose probability is near a target the most likely ones. The
 * state is a decaying mean of the probabilities that the chosen tokens had; the target
 * moves against it. It stands last. */
#include "jeton/method.h"
#include "tensor/scalar_math.h"

#define ADAPTIVE_P(X, T)                                                                                                                   \
    X(T, REAL, target, 0.5, JT_RANGE(-1, 1), "probability that chosen tokens shall have; below 0 nothing changes")                         \
    X(T, REAL, decay, 0.9, JT_RANGE(0, 0.99), "how long the mean remembers")
JT_PARAMS(adaptive_p, ADAPTIVE_P)

/* Sum of probabilities and their number, both decaying. */
struct adaptive_p_state {
    double sum, n;
};

static jt_status adaptive_p_open(const void *par, void *state, const jt_setup *u, jt_error *err) {
    const struct adaptive_p *a = par;
    (void)u, (void)err;
    *(struct adaptive_p_state *)state = (struct adaptive_p_state){a->target / (1 - a->decay), 1 / (1 - a->decay)};
    return JT_OK;
}

struct adaptive_p_curve {
    double log_sum, target;
};

/* 5 at the target; a parabola near it and a straight line far from it, 0.3 wide. */
static float adaptive_p_at(float logit, const void *par) {
    const struct adaptive_p_curve *c = par;
    double far = fabs(jt_exp((double)logit - c->log_sum) - c->target) / 0.3;
    return (float)(5 - 10 * far * far / (1 + far));
}

static jt_status adaptive_p_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const struct adaptive_p *a = par;
    const struct adaptive_p_state *mean = state;
    (void)s;
    if (a->target < 0 || !jt_dist_count(d)) return JT_OK;
    struct adaptive_p_curve c = {jt_dist_log_sum(d), fmin(fmax(2 * a->target - mean->sum / mean->n, 0), 1)};
    jt_dist_map(d, adaptive_p_at, &c);
    return JT_OK;
}

static void adaptive_p_push(const void *par, void *state, const jt_decision *made, jt_step *s) {
    const struct adaptive_p *a = par;
    struct adaptive_p_state *mean = state;
    double p = jt_step_arrived(s);
    (void)made;
    if (p > 0) *mean = (struct adaptive_p_state){p + a->decay * mean->sum, 1 + a->decay * mean->n};
}

JT_METHOD(adaptive_p) = {
    .name = "adaptive-p",
    .kind = JT_STAGE,
    .summary = "favours tokens whose probability is near a target, which moves so that the mean of the chosen meets it",
    .formula = "l = 5 - 10 z^2 / (1 + z), z = |p(x) - u| / 0.3, u = 2 target - the decaying mean of p of chosen tokens",
    .paper = "MrJackSpade 2025; llama.cpp pull request 17927",
    .cost = "three passes over the candidates; the stages before it run twice",
    .neutral = "target=-1",
    .needs = JT_NEEDS_ARRIVED,
    JT_PARAMETERS(adaptive_p),
    .state_size = sizeof(struct adaptive_p_state),
    .open = adaptive_p_open,
    .stage = {.run = adaptive_p_run, .push = adaptive_p_push}};
