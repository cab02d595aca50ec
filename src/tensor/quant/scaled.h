/* scaled.h: the search for scales where a weight is read back as d * scale * value.
 *
 * For given values the scale of least weighted squared error is sum(w x v) / sum(w v v), and lowers the error by
 * sum(w x v)^2 / sum(w v v); for a given scale the best values are the nearest ones. Each sub-block starts from a row of
 * scales, takes these two steps from each and keeps the best. A super-block then does the same with d: integer scales
 * near each sub-block's own are compared by their error, d is fitted to the whole block and rounded, as long as that
 * lowers the error.
 *
 * Included once for each instruction set, which QUANT(name) names. */
#ifndef JT_TENSOR_QUANT_SCALED_H
#define JT_TENSOR_QUANT_SCALED_H

#include "tensor/quant/search.h"

enum { SCALED_TRIES = 24, SCALED_KEPT = 2, SCALED_STEPS = 3 };

/* The fitted scale of the values nearest to x * r, and by how much it lowers the error. */
static inline __attribute__((always_inline)) float scaled_step(int n, const jt_quant_levels *l, const float *x, const float *w, float r,
                                                               float *gain) {
    float v[JT_QUANT_LEN];
    jt_quant_round(n, l, x, 0, r, v);
    jt_quant_sums s = jt_quant_moments(n, x, w, v);
    *gain = s.vv > 0 ? s.xv * s.xv / s.vv : 0;
    return s.vv > 0 ? s.xv / s.vv : 0;
}

/* Keeps the scales of the largest gains. */
static inline __attribute__((always_inline)) void scaled_keep(float d, float gain, float *kept, float *gains) {
    for (int i = 0; i < SCALED_KEPT; i++)
        if (gain > gains[i]) {
            float g = gains[i], e = kept[i];
            gains[i] = gain, kept[i] = d, gain = g, d = e;
        }
}

/* The scale of one sub-block. */
static inline __attribute__((always_inline)) float scaled_fit(int n, const jt_quant_levels *l, const float *x, const float *w) {
    float top = 0, kept[SCALED_KEPT] = {0}, gains[SCALED_KEPT] = {0};
    for (int i = 0; i < n; i++) top = fabsf(x[i]) > top ? fabsf(x[i]) : top;
    if (top < JT_QUANT_TINY) return 0;
    float span = -l->low > l->high ? -l->low : l->high, shrink = 1 / top;
    float below = 0.4f * span < 2.5f * l->unit ? 0.4f * span : 2.5f * l->unit;
    for (int sign = 0; sign < 1 + (l->low != -l->high); sign++)
        for (int k = 0; k < SCALED_TRIES; k += JT_QUANT_LANES) {
            /* The largest magnitude lands where, in values: around the last one, and a few times far beyond it. */
            jt_quant_lanes r, none = {0};
            jt_quant_tries s;
            for (int i = 0; i < JT_QUANT_LANES; i++) {
                float at = k + i < 17 ? span - below + (float)(k + i) * 0.25f * l->unit : span * (1.2f + 0.3f * (float)(k + i - 17));
                r[i] = (sign ? -at : at) * shrink;
            }
            jt_quant_try(n, l, x, w, &none, &r, &s);
            jt_quant_lanes fit = s.xv / s.vv, gain = s.xv * fit; /* no number, which is below any, where all values are 0 */
            for (int i = 0; i < JT_QUANT_LANES; i++) scaled_keep(fit[i], gain[i], kept, gains);
        }
    float best = 0, least = INFINITY;
    for (int i = 0; i < SCALED_KEPT; i++) {
        float d = kept[i];
        for (int k = 0; k < SCALED_STEPS && fabsf(d) >= JT_QUANT_TINY; k++) {
            float gain, error = jt_quant_error(n, l, x, w, d, 0);
            if (error < least) least = error, best = d;
            d = k + 1 < SCALED_STEPS ? scaled_step(n, l, x, w, 1 / d, &gain) : 0;
        }
    }
    return best;
}

static inline __attribute__((always_inline)) jt_quant_sums scaled_moments(int n, const jt_quant_levels *l, const float *x, const float *w,
                                                                          float a) {
    float v[JT_QUANT_LEN];
    jt_quant_round(n, l, x, 0, 1 / a, v);
    return jt_quant_moments(n, x, w, v);
}

typedef struct scaled_state {
    uint16_t half;
    float d, error;
    int16_t scale[JT_QUANT_SUBS];
} scaled_state;

#endif

/* The best integer scale of sub-block j near its own fit. */
static float QUANT(scaled_choose)(const jt_quant_job *job, int j, float fit, float d, int16_t *scale) {
    const jt_quant_plan *p = job->plan;
    const float *x = job->x + j * p->len, *w = job->w + j * p->len;
    if (p->scale_low == p->scale_high) {
        *scale = p->scale_low;
        return JT_QUANT_LENGTH(p->len, jt_quant_error, job->levels, x, w, d, 0);
    }
    int middle = fabsf(d) < JT_QUANT_TINY ? 0 : (int)jt_quant_rint(jt_quant_clamp(fit / d, p->scale_low, p->scale_high));
    float least = INFINITY;
    for (int s = middle - 1; s <= middle + 1; s++) {
        if (s < p->scale_low || s > p->scale_high) continue;
        float e = JT_QUANT_LENGTH(p->len, jt_quant_error, job->levels, x, w, d * (float)s, 0);
        if (e < least) least = e, *scale = (int16_t)s;
    }
    return least;
}

/* From d on: the integer scales, then d again. */
static void QUANT(scaled_descend)(const jt_quant_job *job, const float *fit, float d, scaled_state *best) {
    const jt_quant_plan *p = job->plan;
    for (int round = 0; round < 4; round++) {
        scaled_state now = {.error = 0};
        float xv = 0, vv = 0;
        now.half = jt_quant_half(d, job->exponent, &now.d);
        for (int j = 0; j < p->subs; j++) {
            now.error += QUANT(scaled_choose)(job, j, fit[j], now.d, &now.scale[j]);
            float s = (float)now.scale[j];
            if (fabsf(now.d * s) < JT_QUANT_TINY) continue;
            jt_quant_sums m = JT_QUANT_LENGTH(p->len, scaled_moments, job->levels, job->x + j * p->len, job->w + j * p->len, now.d * s);
            xv += s * m.xv;
            vv += s * s * m.vv;
        }
        if (!(now.error < best->error)) return;
        *best = now;
        if (!(vv > 0)) return;
        d = xv / vv;
    }
}

static void QUANT(quant_scaled)(const jt_quant_job *job, jt_quant_block *b) {
    const jt_quant_plan *p = job->plan;
    float fit[JT_QUANT_SUBS] = {0}, top = 0;
    for (int j = 0; j < p->subs; j++) {
        fit[j] = JT_QUANT_LENGTH(p->len, scaled_fit, job->levels, job->x + j * p->len, job->w + j * p->len);
        if (fabsf(fit[j]) > fabsf(top)) top = fit[j];
    }
    scaled_state best = {.error = INFINITY};
    if (p->scale_low == p->scale_high) {
        QUANT(scaled_descend)(job, fit, top, &best);
    } else {
        /* The largest scale at the end of the integers, and a little before it, on either side. */
        QUANT(scaled_descend)(job, fit, top / p->scale_low, &best);
        QUANT(scaled_descend)(job, fit, top / ((float)p->scale_low + 1.5f), &best);
        QUANT(scaled_descend)(job, fit, top / p->scale_high, &best);
    }
    double xx = 0, xy = 0;
    for (int j = 0; j < p->subs; j++) {
        float a = best.d * (float)best.scale[j], r = fabsf(a) < JT_QUANT_TINY ? 0 : 1 / a;
        b->scale[j] = best.scale[j];
        for (int i = j * p->len; i < (j + 1) * p->len; i++) {
            b->q[i] = jt_quant_index(job->levels, job->x[i] * r);
            float v = job->levels->values ? (float)job->levels->values[b->q[i]] : (float)b->q[i] + job->levels->low;
            xx += (double)(job->w[i] * job->x[i]) * (double)job->x[i], xy += (double)(job->w[i] * job->x[i]) * (double)(a * v);
        }
    }
    b->d = jt_quant_half(best.d * jt_quant_stretch(xx, xy), job->exponent, &best.d);
}
