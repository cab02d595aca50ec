/* truncate.c: the truncation samplers: walk down the order while a predicate keeps
 * the candidate. The first is always kept. */
#include <stddef.h>

#include "jeton/method.h"
#include "tensor/scalar_math.h"

#define TOP_K(X, T)                                                                                                                        \
    X(T, INT, k, 40, JT_RANGE(0, 16777216), "candidates kept; 0 keeps all")                                                                \
    X(T, CHOICE, ties, 0, JT_ONE_OF("exact|keep"), "candidates as likely as the last one kept: by lower id, or all of them")
JT_PARAMS(top_k, TOP_K)

struct top_k_tie {
    int k;
    float logit; /* of the k-th */
};

static bool top_k_keep(const jt_walk *w, const void *par) {
    const struct top_k_tie *a = par;
    return w->i < a->k || w->logit == a->logit;
}

static jt_status top_k_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const struct top_k *a = par;
    (void)state, (void)s;
    if (!a->k || a->k >= jt_dist_count(d)) return JT_OK;
    if (!a->ties) {
        jt_dist_cut(d, a->k);
    } else {
        struct top_k_tie t = {a->k, jt_dist_top(d, a->k)[a->k - 1].logit};
        jt_dist_cut(d, jt_dist_walk(d, JT_WALK_ORDER, top_k_keep, &t));
    }
    return JT_OK;
}

JT_METHOD(top_k) = {.name = "top-k",
                    .kind = JT_STAGE,
                    .summary = "keeps the k most likely tokens",
                    .formula = "keep x with rank(x) < k",
                    .paper = "Fan, Lewis, Dauphin 2018, arXiv:1805.04833",
                    .cost = "one pass over the candidates and a sort of about k",
                    .neutral = "k=0",
                    JT_PARAMETERS(top_k),
                    .stage = {.run = top_k_run}};

#define TOP_P(X, T)                                                                                                                        \
    X(T, REAL, p, 0.95, JT_RANGE(0, 1), "probability mass kept; 1 keeps all")                                                              \
    X(T, INT, min_keep, 1, JT_RANGE(1, 1048576), "candidates kept in any case")
JT_PARAMS(top_p, TOP_P)

static bool top_p_keep(const jt_walk *w, const void *par) {
    const struct top_p *a = par;
    return w->i < a->min_keep || w->before < a->p;
}

static jt_status top_p_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const struct top_p *a = par;
    (void)state, (void)s;
    if (a->p < 1) jt_dist_cut(d, jt_dist_walk(d, JT_WALK_MASS, top_p_keep, a));
    return JT_OK;
}

JT_METHOD(top_p) = {.name = "top-p",
                    .kind = JT_STAGE,
                    .summary = "keeps the fewest most likely tokens that hold mass p (nucleus sampling)",
                    .formula = "keep the shortest prefix of the order with sum of p(x) >= p",
                    .paper = "Holtzman et al. 2020, arXiv:1904.09751",
                    .cost = "two passes over the candidates and a sort of those kept",
                    .neutral = "p=1",
                    JT_PARAMETERS(top_p),
                    .stage = {.run = top_p_run}};

#define MIN_P(X, T)                                                                                                                        \
    X(T, REAL, m, 0.05, JT_RANGE(0, 1), "least probability kept, as a share of the largest; 0 keeps all")                                  \
    X(T, INT, min_keep, 1, JT_RANGE(1, 1048576), "candidates kept in any case")
JT_PARAMS(min_p, MIN_P)

struct min_p_least {
    int min_keep;
    double logit;
};

static bool min_p_keep(const jt_walk *w, const void *par) {
    const struct min_p_least *a = par;
    return w->i < a->min_keep || (double)w->logit >= a->logit;
}

static jt_status min_p_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const struct min_p *a = par;
    (void)state, (void)s;
    if (a->m == 0 || !jt_dist_count(d)) return JT_OK;
    struct min_p_least t = {a->min_keep, (double)jt_dist_top(d, 1)->logit + jt_log(a->m)};
    jt_dist_cut(d, jt_dist_walk(d, JT_WALK_ORDER, min_p_keep, &t));
    return JT_OK;
}

JT_METHOD(min_p) = {.name = "min-p",
                    .kind = JT_STAGE,
                    .summary = "keeps tokens at least m times as likely as the most likely one",
                    .formula = "keep x with l(x) >= max l + ln m",
                    .paper = "Nguyen et al. 2024, arXiv:2407.01082",
                    .cost = "one pass over the candidates and a sort of those kept",
                    .neutral = "m=0",
                    JT_PARAMETERS(min_p),
                    .stage = {.run = min_p_run}};
