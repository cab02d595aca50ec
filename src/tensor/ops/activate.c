/* activate.c: what an MLP does to its rows: SiLU, GELU by tanh and GELU by the error function (Hendrycks and Gimpel 2016, arXiv
 * 1606.08415), times a second row where the MLP is gated. Everything but the exponential is plain arithmetic on lanes; the
 * error function is the fit of Press et al., Numerical Recipes, 6.2 (relative error below 1.2e-7). */
#include <math.h>

#include "tensor/op.h"

enum { ACTIVATE_LANES = 256 };

/* What the exponential is taken of. */
static void activate_before(jt_activation fn, const float *x, int n, float *t) {
    static const float c[] = {0.17087277f,  -0.82215223f, 1.48851587f, -1.13520398f, 0.27886807f,
                              -0.18628806f, 0.09678418f,  0.37409196f, 1.00002368f};
    switch (fn) {
    case JT_FN_TANH:
        for (int i = 0; i < n; i++) t[i] = x[i] * 2;
        break;
    case JT_FN_SILU:
        for (int i = 0; i < n; i++) t[i] = -x[i];
        break;
    case JT_FN_GELU_TANH: /* -2 sqrt(2 / pi) (x + 0.044715 x^3) */
        for (int i = 0; i < n; i++) t[i] = x[i] * -1.5957691216f * (x[i] * x[i] * 0.044715f + 1);
        break;
    case JT_FN_GELU:
        for (int i = 0; i < n; i++) {
            float z = fabsf(x[i]) * 0.70710678119f, u = 1 / (z * 0.5f + 1), p = c[0];
            for (int k = 1; k < 9; k++) p = p * u + c[k];
            t[i] = p * u - 1.26551223f - z * z;
        }
        break;
    }
}

static void activate_after(jt_activation fn, const float *x, const float *t, int n, float *y) {
    if (fn == JT_FN_GELU)
        for (int i = 0; i < n; i++) {
            float z = fabsf(x[i]) * 0.70710678119f, tail = t[i] / (z * 0.5f + 1) * 0.5f;
            y[i] = x[i] * (x[i] < 0 ? tail : 1 - tail);
        }
    else if (fn == JT_FN_TANH)
        for (int i = 0; i < n; i++) y[i] = 1 - 2 / (t[i] + 1);
    else
        for (int i = 0; i < n; i++) y[i] = x[i] / (t[i] + 1);
}

static void activate_forward(const jt_env *e, const jt_opnode *n, const jt_share *s) {
    size_t w = (size_t)e->list->value[n->in[0]].width;
    const float *x = jt_env_f32(e, n->in[0]), *up = n->in[1] == JT_NOVAL ? NULL : jt_env_f32(e, n->in[1]);
    float *y = jt_env_f32(e, n->out[0]), t[ACTIVATE_LANES];
    jt_activation fn = (jt_activation)n->i[0];
    int first, end;
    jt_share_rows(s, jt_env_rows(e, n->in[0]), &first, &end);
    for (size_t at = (size_t)first * w, last = (size_t)end * w; at < last; at += ACTIVATE_LANES) {
        int m = last - at < ACTIVATE_LANES ? (int)(last - at) : ACTIVATE_LANES;
        activate_before(fn, x + at, m, t);
        e->engine->kernels->exp(t, m, t);
        activate_after(fn, x + at, t, m, y + at);
        for (int i = 0; up && i < m; i++) y[at + (size_t)i] *= up[at + (size_t)i];
    }
}

const jt_op jt_op_activate = {.name = "activate", .split = JT_SPLIT_ROWS, .alias_in = 1, .keep_in = 3, .forward = activate_forward};
