/* temp.c: stages that reshape all logits: temperature (Ackley, Hinton, Sejnowski 1985), one
 * that follows the entropy, and the parabola below the largest logit. */
#include "jeton/method.h"
#include "tensor/scalar_math.h"

static void divide_or_cut(jt_dist *d, double t) {
    if (t == 0)
        jt_dist_cut(d, 1);
    else
        jt_dist_divide(d, t);
}

#define TEMP(X, T) X(T, REAL, t, 0.8, JT_RANGE(0, 100), "temperature; 1 changes nothing, 0 leaves the most likely token alone")
JT_PARAMS(temp, TEMP)

static jt_status temp_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const struct temp *a = par;
    (void)state, (void)s;
    divide_or_cut(d, a->t);
    return JT_OK;
}

JT_METHOD(temp) = {.name = "temp",
                   .kind = JT_STAGE,
                   .summary = "sharpens (below 1) or flattens (above 1) the distribution",
                   .formula = "l = l / t",
                   .paper = "Ackley, Hinton, Sejnowski 1985, Cognitive Science 9",
                   .cost = "one pass over the candidates",
                   .neutral = "t=1",
                   .card = "decoding/common-samplers",
                   JT_PARAMETERS(temp),
                   .stage = {.run = temp_run}};

#define DYN_TEMP(X, T)                                                                                                                     \
    X(T, REAL, t, 0.8, JT_RANGE(0, 100), "temperature in the middle")                                                                      \
    X(T, REAL, range, 0.5, JT_RANGE(0, 100), "how far it may go to either side; 0 is temp:t")                                              \
    X(T, REAL, exponent, 1, JT_RANGE(0, 100), "above 1 stays low for longer as the entropy rises")
JT_PARAMS(dyn_temp, DYN_TEMP)

static jt_status dyn_temp_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const struct dyn_temp *a = par;
    double low = fmax(0, a->t - a->range), share, n = jt_dist_count(d);
    (void)state, (void)s;
    if (a->range == 0) {
        divide_or_cut(d, a->t);
    } else if (n > 1) {
        share = jt_dist_entropy(d) / jt_log(n);
        divide_or_cut(d, low + (a->t + a->range - low) * (share > 0 ? jt_pow(share, a->exponent) : a->exponent == 0));
    }
    return JT_OK;
}

JT_METHOD(dyn_temp) = {.name = "dyn-temp",
                       .kind = JT_STAGE,
                       .summary = "a temperature that is low where the model is sure and high where it is not",
                       .formula = "l = l / (t0 + (t1 - t0) (H / ln n)^e), t0 = max(0, t - range), t1 = t + range, of n candidates",
                       .paper = "kalomaze 2023; llama.cpp pull request 4972",
                       .cost = "three passes over the candidates",
                       .neutral = "t=1,range=0",
                       JT_PARAMETERS(dyn_temp),
                       .stage = {.run = dyn_temp_run}};

#define QUADRATIC(X, T)                                                                                                                    \
    X(T, REAL, factor, 0.3, JT_RANGE(0, 100), "how steep; 0 changes nothing")                                                              \
    X(T, REAL, curve, 1, JT_RANGE(1, 10), "1 is the parabola; above it unlikely tokens fall faster")
JT_PARAMS(quadratic, QUADRATIC)

struct quadratic_curve {
    double max, square, cube;
};

static float quadratic_at(float logit, const void *par) {
    const struct quadratic_curve *c = par;
    double z = (double)logit - c->max;
    return (float)fmax(c->max - c->square * z * z + c->cube * z * z * z, -3e38);
}

static jt_status quadratic_run(const void *par, const void *state, jt_dist *d, jt_step *s) {
    const struct quadratic *a = par;
    (void)state, (void)s;
    if (a->factor == 0 || !jt_dist_count(d)) return JT_OK;
    struct quadratic_curve c = {(double)jt_dist_top(d, 1)->logit, a->factor * (3 - a->curve) / 2, a->factor * (a->curve - 1) / 2};
    jt_dist_map(d, quadratic_at, &c);
    return JT_OK;
}

JT_METHOD(quadratic) = {.name = "quadratic",
                        .kind = JT_STAGE,
                        .summary = "flattens what is near the largest logit and sharpens what is far from it (smoothing factor and curve)",
                        .formula = "l = m - f (3 - c) / 2 z^2 + f (c - 1) / 2 z^3, z = l - m, m = max l",
                        .paper = "kalomaze 2024, text-generation-webui pull requests 5403 and 5551",
                        .cost = "one pass over the candidates",
                        .neutral = "factor=0",
                        JT_PARAMETERS(quadratic),
                        .stage = {.run = quadratic_run}};
