/* mirostat.c: truncation that is steered so that the surprise of the tokens stays near a
 * target (Basu et al. 2021). The state is mu, in bits, where the cut is; what a token's
 * surprise was moves it. Surprise is that of the distribution before the cut, as in the
 * paper; lc=yes takes what it is after all stages, and the cut of version 1 one lower,
 * as llama.cpp does. */
#include "jeton/method.h"
#include "tensor/scalar_math.h"

static const double mirostat_ln2 = 0.69314718055994530942, mirostat_off = 1e6;

#define MIROSTAT(X, T)                                                                                                                     \
    X(T, REAL, tau, 5, JT_RANGE(0, 1000000), "surprise aimed at, bits a token; 1000000 keeps all")                                         \
    X(T, REAL, eta, 0.1, JT_RANGE(0, 10), "how fast the cut follows")                                                                      \
    X(T, CHOICE, lc, 0, JT_ONE_OF("no|yes"), "yes: surprise as llama.cpp takes it")
#define MIROSTAT_1(X, T) MIROSTAT(X, T) X(T, INT, m, 100, JT_RANGE(3, 1048576), "tokens that the exponent is estimated from")
JT_PARAMS(mirostat_1, MIROSTAT_1)
JT_PARAMS(mirostat_2, MIROSTAT)

struct mirostat_state {
    double mu;
};

/* The probability that the token's surprise is taken of. */
static double mirostat_p(bool lc, const jt_decision *made, const jt_step *s) {
    double p = jt_step_arrived(s);
    return lc && p > 0 ? jt_exp((double)made->logprob) : p;
}

/* p: what the token had; 0 where the stages did not choose it. */
static void mirostat_follow(struct mirostat_state *m, double tau, double eta, double p) {
    if (p > 0) m->mu -= eta * (-jt_log(p) / mirostat_ln2 - tau);
}

static jt_status mirostat_1_open(const void *par, void *state, const jt_setup *u, jt_error *err) {
    (void)u, (void)err;
    *(struct mirostat_state *)state = (struct mirostat_state){2 * ((const struct mirostat_1 *)par)->tau};
    return JT_OK;
}

static void mirostat_1_push(const void *par, void *state, const jt_decision *made, jt_step *s) {
    const struct mirostat_1 *a = par;
    mirostat_follow(state, a->tau, a->eta, mirostat_p(a->lc, made, s));
}

/* The exponent of Zipf's law through the first m probabilities, by least squares. */
static double mirostat_exponent(jt_dist *d, int m) {
    double tb = 0, tt = 0;
    for (int i = 0; i + 1 < m && i + 1 < jt_dist_count(d); i++) {
        double p = jt_dist_p_at(d, i), q = jt_dist_p_at(d, i + 1), t = jt_log((i + 2.0) / (i + 1.0));
        if (q > 0) tb += t * jt_log(p / q), tt += t * t;
    }
    return tt > 0 ? tb / tt : 0;
}

/* ln of the k at which Zipf's law of that exponent over v tokens has surprise mu. */
static double mirostat_ln_k(double s, double mu, int v) {
    double e = s - 1, ln_v = jt_log(v), ratio; /* e / (1 - v^-e), which is 1 / ln v at e = 0 */
    if (s < 1e-6) return INFINITY;
    ratio = fabs(e * ln_v) < 1e-9 ? 1 / ln_v : e / (1 - jt_exp(-e * ln_v));
    return (jt_log(ratio) + mu * mirostat_ln2) / s;
}

static jt_status mirostat_1_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const struct mirostat_1 *a = par;
    const struct mirostat_state *m = state;
    (void)s;
    if (jt_dist_count(d) < 2 || a->tau >= mirostat_off) return JT_OK;
    double ln_k = mirostat_ln_k(mirostat_exponent(d, a->m), m->mu, jt_dist_vocab(d));
    if (ln_k > 20) return JT_OK;
    double k = jt_exp(ln_k);
    jt_dist_cut(d, a->lc ? (int)k : (int)nearbyint(k) + 1);
    return JT_OK;
}

JT_METHOD(mirostat_1) = {
    .name = "mirostat-1",
    .kind = JT_STAGE,
    .summary = "top-k whose k keeps the surprise near tau bits a token",
    .formula = "k = (e 2^mu / (1 - V^-e))^(1/s), e = s - 1, s Zipf's exponent; mu = mu - eta (-log2 p(x) - tau), at first 2 tau",
    .paper = "Basu et al. 2021, arXiv:2007.14966",
    .cost = "two passes over the candidates and a sort of about k; the stages before it run twice",
    .neutral = "tau=1000000",
    .needs = JT_NEEDS_ARRIVED,
    JT_PARAMETERS(mirostat_1),
    .state_size = sizeof(struct mirostat_state),
    .open = mirostat_1_open,
    .stage = {.run = mirostat_1_run, .push = mirostat_1_push}};

static jt_status mirostat_2_open(const void *par, void *state, const jt_setup *u, jt_error *err) {
    (void)u, (void)err;
    *(struct mirostat_state *)state = (struct mirostat_state){2 * ((const struct mirostat_2 *)par)->tau};
    return JT_OK;
}

static void mirostat_2_push(const void *par, void *state, const jt_decision *made, jt_step *s) {
    const struct mirostat_2 *a = par;
    mirostat_follow(state, a->tau, a->eta, mirostat_p(a->lc, made, s));
}

static bool mirostat_2_keep(const jt_walk *w, const void *par) {
    return -w->lnp <= ((const struct mirostat_state *)par)->mu * mirostat_ln2;
}

static jt_status mirostat_2_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    (void)s;
    if (((const struct mirostat_2 *)par)->tau < mirostat_off) jt_dist_trim(d, JT_WALK_OWN | JT_WALK_MASS, 1, mirostat_2_keep, state);
    return JT_OK;
}

JT_METHOD(mirostat_2) = {.name = "mirostat-2",
                         .kind = JT_STAGE,
                         .summary = "keeps tokens of at most so much surprise that the mean stays near tau bits a token",
                         .formula = "keep x with -log2 p(x) <= mu; mu = mu - eta (-log2 p(x) - tau), at first 2 tau",
                         .paper = "Basu et al. 2021, arXiv:2007.14966; its second form is of the authors' code",
                         .cost = "two passes over the candidates; the stages before it run twice",
                         .neutral = "tau=1000000",
                         .needs = JT_NEEDS_ARRIVED,
                         JT_PARAMETERS(mirostat_2),
                         .state_size = sizeof(struct mirostat_state),
                         .open = mirostat_2_open,
                         .stage = {.run = mirostat_2_run, .push = mirostat_2_push}};
