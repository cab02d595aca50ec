/* truncate.c: the truncation samplers: one walk down the order of candidates, which ends
 * where the sampler's predicate says no. The first candidate is always kept. Three do more:
 * tail-free sums over the whole order first, typical walks in another order, and XTC takes
 * away the beginning instead of the end. */
#include <stddef.h>

#include "jeton/method.h"
#include "tensor/scalar_math.h"

#define MIN_KEEP(X, T) X(T, INT, min_keep, 1, JT_RANGE(1, 1048576), "candidates kept in any case")

/* Logits are rounded to floats. What their rounding can move over a border counts as being on it: logits and ln p within
 * NEAR_LN, masses within NEAR_MASS; so a probability of 0.1 reaches a border of 0.1. */
#define NEAR_LN 1e-6
#define NEAR_MASS 0x1p-23

/* Predicates that compare what a candidate says of itself with a border. */
static bool logit_reaches(const jt_walk *w, const void *border) { return (double)w->logit >= *(const double *)border; }
static bool lnp_reaches(const jt_walk *w, const void *border) { return w->lnp >= *(const double *)border; }

static void keep_logits_from(jt_dist *d, double border, int least) { jt_dist_trim(d, JT_WALK_OWN, least, logit_reaches, &border); }
static void keep_lnp_from(jt_dist *d, double border, int least) {
    border -= NEAR_LN;
    jt_dist_trim(d, JT_WALK_OWN | JT_WALK_MASS, least, lnp_reaches, &border);
}

#define TOP_K(X, T)                                                                                                                        \
    X(T, INT, k, 40, JT_RANGE(0, 16777216), "candidates kept; 0 keeps all")                                                                \
    X(T, CHOICE, ties, 0, JT_ONE_OF("exact|keep"), "candidates as likely as the last one kept: by lower id, or all of them")
JT_PARAMS(top_k, TOP_K)

static jt_status top_k_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const struct top_k *a = par;
    (void)state, (void)s;
    if (!a->k || a->k >= jt_dist_count(d)) return JT_OK;
    if (a->ties)
        keep_logits_from(d, (double)jt_dist_top(d, a->k)[a->k - 1].logit, a->k);
    else
        jt_dist_cut(d, a->k);
    return JT_OK;
}

JT_METHOD(top_k) = {.name = "top-k",
                    .kind = JT_STAGE,
                    .summary = "keeps the k most likely tokens",
                    .formula = "keep x with rank(x) < k",
                    .paper = "Fan, Lewis, Dauphin 2018, arXiv:1805.04833",
                    .cost = "one pass over the candidates and a sort of about k",
                    .neutral = "k=0",
                    .card = "decoding/common-samplers",
                    JT_PARAMETERS(top_k),
                    .stage = {.run = top_k_run}};

#define TOP_P(X, T) X(T, REAL, p, 0.95, JT_RANGE(0, 1), "probability mass kept; 1 keeps all") MIN_KEEP(X, T)
JT_PARAMS(top_p, TOP_P)

static bool top_p_keep(const jt_walk *w, const void *par) { return w->before < ((const struct top_p *)par)->p - NEAR_MASS; }

static jt_status top_p_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const struct top_p *a = par;
    (void)state, (void)s;
    if (a->p < 1) jt_dist_trim(d, JT_WALK_MASS, a->min_keep, top_p_keep, a);
    return JT_OK;
}

JT_METHOD(top_p) = {.name = "top-p",
                    .kind = JT_STAGE,
                    .summary = "keeps the fewest most likely tokens that hold mass p (nucleus sampling)",
                    .formula = "keep the shortest prefix of the order with sum of p(x) >= p",
                    .paper = "Holtzman et al. 2020, arXiv:1904.09751",
                    .cost = "two passes over the candidates and a sort of those kept",
                    .neutral = "p=1",
                    .card = "decoding/common-samplers",
                    JT_PARAMETERS(top_p),
                    .stage = {.run = top_p_run}};

#define MIN_P(X, T) X(T, REAL, m, 0.05, JT_RANGE(0, 1), "least probability kept, as a share of the largest; 0 keeps all") MIN_KEEP(X, T)
JT_PARAMS(min_p, MIN_P)

static jt_status min_p_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const struct min_p *a = par;
    (void)state, (void)s;
    if (a->m > 0 && jt_dist_count(d)) keep_logits_from(d, (double)jt_dist_top(d, 1)->logit + jt_log(a->m) - NEAR_LN, a->min_keep);
    return JT_OK;
}

JT_METHOD(min_p) = {.name = "min-p",
                    .kind = JT_STAGE,
                    .summary = "keeps tokens at least m times as likely as the most likely one",
                    .formula = "keep x with l(x) >= max l + ln m",
                    .paper = "Nguyen et al. 2024, arXiv:2407.01082",
                    .cost = "one pass over the candidates",
                    .neutral = "m=0",
                    .card = "decoding/common-samplers",
                    JT_PARAMETERS(min_p),
                    .stage = {.run = min_p_run}};

#define TOP_A(X, T)                                                                                                                        \
    X(T, REAL, a, 0.2, JT_RANGE(0, 1), "least probability kept, as a share of the square of the largest; 0 keeps all") MIN_KEEP(X, T)
JT_PARAMS(top_a, TOP_A)

static jt_status top_a_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const struct top_a *a = par;
    (void)state, (void)s;
    if (a->a > 0 && jt_dist_count(d)) keep_lnp_from(d, jt_log(a->a) + 2 * jt_dist_lnp(d, jt_dist_top(d, 1)->id), a->min_keep);
    return JT_OK;
}

JT_METHOD(top_a) = {.name = "top-a",
                    .kind = JT_STAGE,
                    .summary = "keeps the more tokens the less sure the model is",
                    .formula = "keep x with p(x) >= a * (max p)^2",
                    .paper = "BlinkDL 2022, the RWKV-LM repository",
                    .cost = "two passes over the candidates",
                    .neutral = "a=0",
                    JT_PARAMETERS(top_a),
                    .stage = {.run = top_a_run}};

#define EPSILON(X, T) X(T, REAL, p, 0.0003, JT_RANGE(0, 1), "least probability kept; 0 keeps all") MIN_KEEP(X, T)
JT_PARAMS(epsilon, EPSILON)

static jt_status epsilon_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const struct epsilon *a = par;
    (void)state, (void)s;
    if (a->p > 0) keep_lnp_from(d, jt_log(a->p), a->min_keep);
    return JT_OK;
}

JT_METHOD(epsilon) = {.name = "epsilon",
                      .kind = JT_STAGE,
                      .summary = "keeps tokens of at least a fixed probability",
                      .formula = "keep x with p(x) >= epsilon",
                      .paper = "Hewitt, Manning, Liang 2022, arXiv:2210.15191",
                      .cost = "two passes over the candidates",
                      .neutral = "p=0",
                      JT_PARAMETERS(epsilon),
                      .stage = {.run = epsilon_run}};

#define ETA(X, T) X(T, REAL, epsilon, 0.0003, JT_RANGE(0, 1), "the cut where the entropy is low; 0 keeps all") MIN_KEEP(X, T)
JT_PARAMS(eta, ETA)

static jt_status eta_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const struct eta *a = par;
    (void)state, (void)s;
    if (a->epsilon > 0) keep_lnp_from(d, fmin(jt_log(a->epsilon), jt_log(a->epsilon) / 2 - jt_dist_entropy(d)), a->min_keep);
    return JT_OK;
}

JT_METHOD(eta) = {.name = "eta",
                  .kind = JT_STAGE,
                  .summary = "keeps tokens of at least a probability that falls as the entropy rises",
                  .formula = "keep x with p(x) >= min(epsilon, sqrt(epsilon) exp(-H))",
                  .paper = "Hewitt, Manning, Liang 2022, arXiv:2210.15191",
                  .cost = "two passes over the candidates",
                  .neutral = "epsilon=0",
                  JT_PARAMETERS(eta),
                  .stage = {.run = eta_run}};

#define TOP_N_SIGMA(X, T)                                                                                                                  \
    X(T, REAL, n, 1, JT_RANGE(0, 1000), "standard deviations below the largest logit that are kept; 0 keeps all") MIN_KEEP(X, T)
JT_PARAMS(top_n_sigma, TOP_N_SIGMA)

static jt_status top_n_sigma_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const struct top_n_sigma *a = par;
    (void)state, (void)s;
    double mean, variance;
    if (a->n == 0) return JT_OK;
    jt_dist_moments(d, &mean, &variance);
    if (jt_dist_count(d)) keep_logits_from(d, (double)jt_dist_top(d, 1)->logit - a->n * sqrt(variance), a->min_keep);
    return JT_OK;
}

JT_METHOD(top_n_sigma) = {.name = "top-n-sigma",
                          .kind = JT_STAGE,
                          .summary = "keeps tokens whose logits lie within n standard deviations of the largest",
                          .formula = "keep x with l(x) >= max l - n * sigma(l)",
                          .paper = "Tang et al. 2024, arXiv:2411.07641",
                          .cost = "two passes over the candidates",
                          .neutral = "n=0",
                          JT_PARAMETERS(top_n_sigma),
                          .stage = {.run = top_n_sigma_run}};

#define TOP_H(X, T)                                                                                                                        \
    X(T, REAL, h, 0.4, JT_RANGE(0.000001, 1), "share of the entropy that may be left; 1 keeps all")                                        \
    X(T, CHOICE, rule, 0, JT_ONE_OF("paper|hf"), "the entropy of what is kept, or sums among the first candidates as transformers has it") \
    X(T, INT, candidates, 100, JT_RANGE(1, 1048576), "that rule=hf looks at")
JT_PARAMS(top_h, TOP_H)

/* What the kept may have: entropy `most`; rule=hf: among the first `n`, which hold `mass`. */
struct top_h_budget {
    double most, mass;
    int n;
};

/* Entropies that are equal but for rounding are equal. */
static bool top_h_within(double entropy, double most) { return entropy <= most + 1e-12 * fabs(most); }

static bool top_h_keep(const jt_walk *w, const void *par) {
    const struct top_h_budget *b = par;
    double mass = w->before + w->p, sum = w->entropy - (w->p > 0 ? w->p * w->lnp : 0);
    return top_h_within(sum / mass + jt_log(mass), b->most);
}

static bool top_h_keep_hf(const jt_walk *w, const void *par) {
    const struct top_h_budget *b = par;
    double mass = w->before + w->p, sum = w->entropy - (w->p > 0 ? w->p * w->lnp : 0);
    return w->i < b->n && top_h_within((sum + mass * jt_log(b->mass)) / b->mass, b->most);
}

/* The budget among the first candidates. */
static void top_h_first(jt_dist *d, const struct top_h *a, struct top_h_budget *b) {
    double sum = 0;
    b->n = a->candidates < jt_dist_count(d) ? a->candidates : jt_dist_count(d), b->mass = 0;
    for (int i = 0; i < b->n; i++) {
        double p = jt_dist_p_at(d, i);
        b->mass += p, sum -= p > 0 ? p * jt_log(p) : 0;
    }
    b->most = a->h * (sum / b->mass + jt_log(b->mass));
}

static jt_status top_h_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const struct top_h *a = par;
    (void)state, (void)s;
    if (a->h >= 1 || !jt_dist_count(d)) return JT_OK;
    struct top_h_budget b = {.mass = 1, .most = a->h * jt_dist_entropy(d)};
    if (a->rule) top_h_first(d, a, &b);
    jt_dist_trim(d, JT_WALK_MASS, 1, a->rule ? top_h_keep_hf : top_h_keep, &b);
    return JT_OK;
}

JT_METHOD(top_h) = {.name = "top-h",
                    .kind = JT_STAGE,
                    .summary = "keeps the most likely tokens whose own entropy is at most a share of the entropy of all",
                    .formula = "keep the longest prefix q of the order with H(q) <= h * H(p)",
                    .paper = "Potraghloo et al. 2025, arXiv:2509.02510",
                    .cost = "two passes over the candidates and a sort of those kept",
                    .neutral = "h=1",
                    JT_PARAMETERS(top_h),
                    .stage = {.run = top_h_run}};

#define TFS(X, T) X(T, REAL, z, 0.95, JT_RANGE(0, 1), "share of the curvature kept; 1 keeps all") MIN_KEEP(X, T)
JT_PARAMS(tfs, TFS)

/* The curvature of sorted probabilities at each of n ranks. */
struct tfs_bend {
    jt_dist *d;
    int n;
    double all, z;
    int min_keep;
};

static double tfs_at(jt_dist *d, int i) { return fabs(jt_dist_p_at(d, i) - 2 * jt_dist_p_at(d, i + 1) + jt_dist_p_at(d, i + 2)); }

/* How many are kept: all where the sum never passes z. */
static int tfs_end(const struct tfs_bend *b) {
    double sum = 0;
    for (int i = 0; i < b->n; i++) {
        sum += b->all < 1e-6 ? 1.0 / b->n : tfs_at(b->d, i) / b->all;
        if (sum > b->z && i >= b->min_keep) return i;
    }
    return b->n + 2;
}

static jt_status tfs_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const struct tfs *a = par;
    (void)state, (void)s;
    if (a->z >= 1 || jt_dist_count(d) <= 2) return JT_OK;
    struct tfs_bend b = {d, jt_dist_count(d) - 2, 0, a->z, a->min_keep};
    for (int i = 0; i < b.n; i++) b.all += tfs_at(d, i);
    jt_dist_cut(d, tfs_end(&b));
    return JT_OK;
}

JT_METHOD(tfs) = {.name = "tfs",
                  .kind = JT_STAGE,
                  .summary = "keeps the tokens before the tail, where the curve of sorted probabilities has become flat",
                  .formula = "d(i) = |p(i) - 2 p(i+1) + p(i+2)| / their sum; keep the longest prefix with sum of d <= z",
                  .paper = "Phoenix, Egan 2019, trentbrick.github.io/Tail-Free-Sampling",
                  .cost = "a sort of all candidates",
                  .neutral = "z=1",
                  JT_PARAMETERS(tfs),
                  .stage = {.run = tfs_run}};

#define TYPICAL(X, T) X(T, REAL, p, 0.95, JT_RANGE(0, 1), "probability mass kept; 1 keeps all") MIN_KEEP(X, T)
JT_PARAMS(typical, TYPICAL)

static bool typical_keep(const jt_walk *w, const void *par) { return w->before < ((const struct typical *)par)->p - NEAR_MASS; }

static jt_status typical_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const struct typical *a = par;
    (void)state, (void)s;
    if (a->p < 1 && jt_dist_count(d)) jt_dist_trim_near(d, jt_dist_log_sum(d) - jt_dist_entropy(d), a->min_keep, typical_keep, a);
    return JT_OK;
}

JT_METHOD(typical) = {
    .name = "typical",
    .kind = JT_STAGE,
    .summary = "keeps the fewest tokens that hold mass p, those whose surprise is closest to the entropy first; the most likely one may go",
    .formula = "keep the shortest prefix by |-ln p(x) - H| with sum of p(x) >= p",
    .paper = "Meister et al. 2023, arXiv:2202.00666",
    .cost = "three passes over the candidates and a sort of those near the border",
    .neutral = "p=1",
    JT_PARAMETERS(typical),
    .stage = {.run = typical_run}};

#define XTC(X, T)                                                                                                                          \
    X(T, REAL, probability, 0.5, JT_RANGE(0, 1), "how often it acts; 0 is never")                                                          \
    X(T, REAL, threshold, 0.1, JT_RANGE(0, 1), "probability from which a token is a top choice; above 0.5 nothing is removed")             \
    MIN_KEEP(X, T)
JT_PARAMS(xtc, XTC)

static jt_status xtc_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const struct xtc *a = par;
    (void)state;
    if (a->probability == 0 || a->threshold > 0.5 || jt_step_u(s, "act", 0) > a->probability) return JT_OK;
    double border = a->threshold > 0 ? jt_log(a->threshold) - NEAR_LN : -INFINITY;
    int n = jt_dist_walk(d, JT_WALK_MASS, lnp_reaches, &border);
    if (jt_dist_count(d) - (n - 1) >= a->min_keep) jt_dist_drop(d, n - 1);
    return JT_OK;
}

JT_METHOD(xtc) = {.name = "xtc",
                  .kind = JT_STAGE,
                  .summary = "now and then removes the top choices, all but the least likely of them",
                  .formula = "with probability q remove every x with p(x) >= t but the last",
                  .paper = "Weidmann 2024, text-generation-webui pull request 6335",
                  .cost = "one pass over the candidates and a sort of the top choices",
                  .neutral = "probability=0",
                  JT_PARAMETERS(xtc),
                  .stage = {.run = xtc_run}};
