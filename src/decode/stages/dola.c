/* dola.c: decoding by contrasting layers (Chuang et al. 2023, arXiv:2309.03883): what the
 * last layer says against what an early one would, the one among the candidates that
 * differs most. Knowledge that comes in with the later layers counts more. */
#include "jeton/method.h"
#include "tensor/scalar_math.h"

enum { DOLA_MOST = 64 };

#define DOLA(X, T)                                                                                                                         \
    X(T, CHOICE, layers, 0, JT_ONE_OF("low|high"), "candidates: even layers of the lower or of the upper half")                            \
    X(T, INT, first, 0, JT_RANGE(0, 1024), "low: the first layer; 2 where the head is the embedding")                                      \
    X(T, INT, layer, -1, JT_RANGE(-1, 1024), "always this layer; -1: the candidate that differs most")                                     \
    X(T, REAL, relative_top, 0.1, JT_RANGE(0, 1), "tokens stay that are at least so many times as likely as the most likely; 0: all")      \
    X(T, REAL, weight, 1, JT_RANGE(0, 10), "of the early layer; 0 changes nothing")                                                        \
    X(T, CHOICE, norm, 0, JT_ONE_OF("none|final"), "streams go to the head as they are, as in the authors' code, or through the norm")     \
    X(T, CHOICE, js, 0, JT_ONE_OF("paper|code"), "divergence: from both to their mean, or, as in the authors' code, the other way")
JT_PARAMS(dola, DOLA)

/* The i-th candidate of a model with so many layers; -1: none. At most 20 from each end of a deep one. */
static int dola_layer(const void *par, int layers, int i) {
    const struct dola *a = par;
    if (a->weight == 0) return -1;
    if (a->layer >= 0) return i ? -1 : a->layer;
    int from = a->layers ? (layers > 40 ? layers - 20 : layers / 2) : a->first, end = a->layers ? layers : layers > 40 ? 20 : layers / 2;
    if (!i && from >= end && from <= layers) return from;
    return i < DOLA_MOST && from + 2 * i < end ? from + 2 * i : -1;
}

/* The divergence of Jensen and Shannon between what is left of both, times 2. `code`: from the mean to each. */
static double dola_js(jt_dist *p, jt_dist *q, bool code) {
    double sum = 0, zp = jt_dist_log_sum(p), zq = jt_dist_log_sum(q);
    for (int32_t id = jt_dist_next(p, -1); id >= 0; id = jt_dist_next(p, id)) {
        double lp = (double)jt_dist_logit(p, id) - zp, lq = (double)jt_dist_logit(q, id) - zq, a = jt_exp(lp), b = jt_exp(lq);
        double m = (a + b) / 2, lm = m > 0 ? jt_log(m) : 0;
        sum += code ? m * (2 * lm - lp - lq) : (a > 0 ? a * (lp - lm) : 0) + (b > 0 ? b * (lq - lm) : 0);
    }
    return sum;
}

/* What the layer says; NULL after a failure. */
static jt_dist *dola_early(const struct dola *a, jt_step *s, int layer) {
    int n;
    return jt_step_project(s, jt_step_stream(s, layer, &n), a->norm);
}

static bool dola_keep(const jt_walk *w, const void *par) {
    return (double)w->logit >= (double)w->max + jt_log(((const struct dola *)par)->relative_top);
}

static jt_status dola_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const struct dola *a = par;
    int layers = *(const int *)state, best = dola_layer(a, layers, 0);
    double most = -INFINITY;
    if (best < 0 || !jt_dist_count(d)) return JT_OK;
    for (int i = 0, layer; dola_layer(a, layers, 1) >= 0 && (layer = dola_layer(a, layers, i)) >= 0; i++) {
        jt_dist *early = dola_early(a, s, layer);
        if (!early) return JT_INVALID;
        double x = dola_js(jt_step_raw(s), early, a->js);
        if (x > most) most = x, best = layer;
    }
    jt_dist *early = dola_early(a, s, best);
    if (!early) return JT_INVALID;
    double zero = jt_dist_log_sum(d), zero2 = jt_dist_log_sum(early);
    if (a->relative_top > 0) jt_dist_cut(d, jt_dist_walk(d, JT_WALK_ORDER, dola_keep, a));
    for (int32_t id = jt_dist_next(d, -1); id >= 0; id = jt_dist_next(d, id)) {
        double l = (double)jt_dist_logit(d, id) - zero - a->weight * ((double)jt_dist_logit(early, id) - zero2);
        jt_dist_set(d, id, (float)fmin(fmax(l, -3e38), 3e38));
    }
    return JT_OK;
}

static jt_status dola_open(const void *par, void *state, const jt_setup *u, jt_error *err) {
    const struct dola *a = par;
    *(int *)state = u->layers;
    return a->layer > u->layers || a->first >= u->layers
               ? jt_error_set(err, JT_INVALID, "dola: layer %d of a model with %d", a->layer > u->layers ? a->layer : a->first, u->layers)
               : JT_OK;
}

JT_METHOD(dola) = {.name = "dola",
                   .kind = JT_STAGE,
                   .summary = "contrasts the last layer with the early one that differs most from it",
                   .formula = "l = ln p - weight * ln q, q: of the early layer with the largest JS(p, q), where p(x) >= relative_top max p",
                   .paper = "Chuang et al. 2023, arXiv:2309.03883",
                   .cost = "the head once for each candidate layer, and O(vocabulary) each",
                   .neutral = "weight=0",
                   .needs = JT_NEEDS_STREAM | JT_NEEDS_PROJECT | JT_NEEDS_RAW,
                   .stream = dola_layer,
                   JT_PARAMETERS(dola),
                   .state_size = sizeof(int),
                   .open = dola_open,
                   .stage = {.run = dola_run}};
