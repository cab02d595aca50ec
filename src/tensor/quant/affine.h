/* affine.h: the search for scales and minima where a weight is read back as d * scale * quant - dmin * min.
 *
 * For given quants scale and minimum of least weighted squared error solve two linear equations; for given ones the best
 * quants are the nearest. Each sub-block starts from several ranges and takes these two steps from each. In formats with
 * integer scales the minimum cannot be negative. A super-block compares integers near each sub-block's own fit by their
 * error, then fits d and dmin to the whole block, again two equations, as long as that lowers the error.
 *
 * Included once for each instruction set, which QUANT(name) names. */
#ifndef JT_TENSOR_QUANT_AFFINE_H
#define JT_TENSOR_QUANT_AFFINE_H

#include "tensor/quant/search.h"

typedef struct affine_line {
    float a, b; /* a * quant + b */
} affine_line;

/* The best line for given quants, and by how much it lowers the error from that of zeros. wx, ww: sums of w x and of w. */
static inline __attribute__((always_inline)) affine_line affine_solve(jt_quant_sums s, float wx, float ww, bool below, float *gain) {
    float det = ww * s.vv - s.v * s.v;
    affine_line f = {0, 0};
    if (det > 1e-6f * ww * s.vv) f = (affine_line){(ww * s.xv - s.v * wx) / det, (s.vv * wx - s.v * s.xv) / det};
    if ((below && f.b > 0) || !(det > 1e-6f * ww * s.vv)) f = (affine_line){s.vv > 0 ? s.xv / s.vv : 0, 0};
    if (f.a <= 0) f = (affine_line){0, below && wx > 0 ? 0 : wx / ww};
    /* w x^2 - w (x - a v - b)^2, summed */
    *gain = 2 * (f.a * s.xv + f.b * wx) - f.a * f.a * s.vv - 2 * f.a * f.b * s.v - f.b * f.b * ww;
    return f;
}

enum { AFFINE_TRIES = 16, AFFINE_KEPT = 3, AFFINE_STEPS = 3 };

/* Keeps the lines of the largest gains. */
static inline __attribute__((always_inline)) void affine_keep(affine_line f, float gain, affine_line *kept, float *gains) {
    for (int i = 0; i < AFFINE_KEPT; i++)
        if (gain > gains[i]) {
            affine_line g = kept[i];
            float was = gains[i];
            gains[i] = gain, kept[i] = f, gain = was, f = g;
        }
}

/* Sums of w and of w x. */
static inline __attribute__((always_inline)) float affine_weight(int n, const float *x, const float *w, float *wx) {
    jt_quant_lanes a = {0}, b = {0};
    for (int i = 0; i < n; i += 8) a += JT_QUANT_LOAD(w + i), b += JT_QUANT_LOAD(w + i) * JT_QUANT_LOAD(x + i);
    *wx = JT_QUANT_SUM(b);
    return JT_QUANT_SUM(a);
}

static inline __attribute__((always_inline)) affine_line affine_fit(int n, const jt_quant_levels *l, const float *x, const float *w,
                                                                    bool below) {
    float v[JT_QUANT_LEN], low = x[0], high = x[0], gain, gains[AFFINE_KEPT], wx, ww = affine_weight(n, x, w, &wx), top = l->high;
    affine_line kept[AFFINE_KEPT] = {{0, 0}};
    for (int i = 0; i < AFFINE_KEPT; i++) gains[i] = -INFINITY;
    for (int i = 0; i < n; i++) low = x[i] < low ? x[i] : low, high = x[i] > high ? x[i] : high;
    if (below && low > 0) low = 0;
    affine_line best = {0, below && wx > 0 ? 0 : wx / ww};
    if (high - low < JT_QUANT_TINY) return best;
    float wide = top < 8 ? 1.0f : 2.0f;
    for (int k = 0; k < AFFINE_TRIES; k += JT_QUANT_LANES) {
        /* The whole range on more or fewer steps than there are: the middle stays, or the lower end. */
        jt_quant_lanes from, r;
        jt_quant_tries t;
        for (int i = 0; i < JT_QUANT_LANES; i++) {
            bool middle = k + i < 10;
            float steps = middle ? top + ((float)(k + i) * 0.2f - 0.25f) * wide : top + (float)(k + i - 11) * 0.4f * wide;
            from[i] = middle ? (high + low - top * (high - low) / steps) / 2 : low;
            r[i] = steps / (high - low);
        }
        jt_quant_try(n, l, x, w, &from, &r, &t);
        for (int i = 0; i < JT_QUANT_LANES; i++) {
            affine_line f = affine_solve((jt_quant_sums){t.v[i], t.vv[i], t.xv[i]}, wx, ww, below, &gain);
            affine_keep(f, gain, kept, gains);
        }
    }
    float least = jt_quant_error(n, l, x, w, 0, best.b);
    for (int i = 0; i < AFFINE_KEPT; i++) {
        affine_line f = kept[i];
        for (int k = 0; k < AFFINE_STEPS && f.a > JT_QUANT_TINY; k++) {
            jt_quant_round(n, l, x, f.b, 1 / f.a, v);
            float error = jt_quant_distance(n, x, w, v, f.a, f.b);
            if (error < least) least = error, best = f;
            f = affine_solve(jt_quant_moments(n, x, w, v), wx, ww, below, &gain);
        }
    }
    return best;
}

typedef struct affine_state {
    uint16_t half[2];
    float d, dmin, error;
    int16_t scale[JT_QUANT_SUBS], min[JT_QUANT_SUBS];
} affine_state;

/* The best offset for a scale, starting from b: one step of the alternation. */
static inline __attribute__((always_inline)) float affine_offset(int n, const jt_quant_levels *l, const float *x, const float *w, float a,
                                                                 float b) {
    float v[JT_QUANT_LEN] = {0};
    if (a > JT_QUANT_TINY) jt_quant_round(n, l, x, b, 1 / a, v);
    jt_quant_lanes p = {0}, q = {0};
    for (int i = 0; i < n; i += 8) {
        p += JT_QUANT_LOAD(w + i) * (JT_QUANT_LOAD(x + i) - a * JT_QUANT_LOAD(v + i));
        q += JT_QUANT_LOAD(w + i);
    }
    return JT_QUANT_SUM(p) / JT_QUANT_SUM(q);
}

/* Sums over a block for d and dmin: of (scale v)^2, scale v min, min^2, x scale v, x min. */
typedef struct affine_sums {
    float vv, vm, mm, xv, xm;
} affine_sums;

static inline __attribute__((always_inline)) void affine_add(int n, const jt_quant_job *job, int j, const affine_state *now,
                                                             affine_sums *t) {
    const float *x = job->x + j * n, *w = job->w + j * n, s = now->scale[j], m = now->min[j];
    float v[JT_QUANT_LEN] = {0}, a = now->d * s, wx, ww = affine_weight(n, x, w, &wx);
    if (a > JT_QUANT_TINY) jt_quant_round(n, job->levels, x, -now->dmin * m, 1 / a, v);
    jt_quant_sums z = jt_quant_moments(n, x, w, v);
    t->vv += s * s * z.vv, t->vm += s * m * z.v, t->xv += s * z.xv, t->mm += m * m * ww, t->xm += m * wx;
}

#endif

/* The best integers of sub-block j near its own fit. */
static float QUANT(affine_choose)(const jt_quant_job *job, int j, affine_line fit, affine_state *now) {
    const jt_quant_plan *p = job->plan;
    const float *x = job->x + j * p->len, *w = job->w + j * p->len;
    if (p->scale_low == p->scale_high) {
        now->scale[j] = 1, now->min[j] = -1;
        return JT_QUANT_LENGTH(p->len, jt_quant_error, job->levels, x, w, now->d, now->dmin);
    }
    float least = INFINITY;
    int middle = now->d < JT_QUANT_TINY ? 0 : (int)jt_quant_rint(jt_quant_clamp(fit.a / now->d, 0, p->scale_high));
    for (int s = middle - 1; s <= middle + 1; s++) {
        if (s < 0 || s > p->scale_high) continue;
        float a = now->d * (float)s, b = JT_QUANT_LENGTH(p->len, affine_offset, job->levels, x, w, a, fit.b);
        int from = now->dmin < JT_QUANT_TINY ? 0 : (int)jt_quant_rint(jt_quant_clamp(-b / now->dmin, 0, p->scale_high));
        for (int m = from - 1; m <= from + 1; m++) {
            if (m < 0 || m > p->scale_high) continue;
            float e = JT_QUANT_LENGTH(p->len, jt_quant_error, job->levels, x, w, a, -now->dmin * (float)m);
            if (e < least) least = e, now->scale[j] = (int16_t)s, now->min[j] = (int16_t)m;
        }
    }
    return least;
}

/* From d and dmin on: the integers, then d and dmin again. */
static void QUANT(affine_descend)(const jt_quant_job *job, const affine_line *fit, float d, float dmin, affine_state *best) {
    const jt_quant_plan *p = job->plan;
    for (int round = 0; round < 4; round++) {
        affine_state now = {.error = 0};
        affine_sums t = {0};
        now.half[0] = jt_quant_half(d, job->exponent, &now.d);
        now.half[1] = jt_quant_half(dmin, job->exponent, &now.dmin);
        for (int j = 0; j < p->subs; j++) {
            now.error += QUANT(affine_choose)(job, j, fit[j], &now);
            if (p->len == 16)
                affine_add(16, job, j, &now, &t);
            else
                affine_add(32, job, j, &now, &t);
        }
        if (!(now.error < best->error)) return;
        *best = now;
        /* x = d (s v) - dmin m */
        float det = t.vv * t.mm - t.vm * t.vm;
        bool both = det > 1e-6f * t.vv * t.mm;
        d = both ? (t.xv * t.mm - t.xm * t.vm) / det : t.vv > 0 ? t.xv / t.vv : 0;
        dmin = both ? (t.xv * t.vm - t.xm * t.vv) / det : 0;
        if (!(d > 0) || (dmin < 0 && p->subs > 1)) return;
    }
}

/* Where d and dmin stand alone: the halfs next to d, each with those next to its best offset; and next to the offset one
 * quant higher or lower, where halfs may lie closer. */
static void QUANT(affine_polish)(const jt_quant_job *job, affine_state *best) {
    const affine_state from = *best;
    int len = job->plan->len;
    for (int k = -3; k <= 3; k++) {
        int step = k == -3 || k == 3 ? 0 : k;
        float higher = k == -3 ? -1 : k == 3 ? 1 : 0;
        affine_state now = from;
        now.half[0] = (uint16_t)(from.half[0] + step);
        if ((now.half[0] & 0x7fff) >= 0x7c00) continue;
        now.d = ldexpf(jt_f16_to_f32(now.half[0]), -job->exponent);
        float b = JT_QUANT_LENGTH(len, affine_offset, job->levels, job->x, job->w, now.d, from.dmin + higher * now.d);
        uint16_t middle = jt_quant_half(b, job->exponent, &b);
        for (int m = -1; m <= 1; m++) {
            now.half[1] = (uint16_t)(middle + m);
            if ((now.half[1] & 0x7fff) >= 0x7c00) continue;
            now.dmin = ldexpf(jt_f16_to_f32(now.half[1]), -job->exponent);
            now.error = JT_QUANT_LENGTH(len, jt_quant_error, job->levels, job->x, job->w, now.d, now.dmin);
            if (now.error < best->error) *best = now;
        }
    }
}

static void QUANT(quant_affine)(const jt_quant_job *job, jt_quant_block *b) {
    const jt_quant_plan *p = job->plan;
    bool whole = p->scale_low == p->scale_high;
    affine_line fit[JT_QUANT_SUBS] = {{0, 0}};
    float scale = 0, min = 0;
    for (int j = 0; j < p->subs; j++) {
        fit[j] = JT_QUANT_LENGTH(p->len, affine_fit, job->levels, job->x + j * p->len, job->w + j * p->len, !whole);
        scale = fit[j].a > scale ? fit[j].a : scale, min = -fit[j].b > min ? -fit[j].b : min;
    }
    affine_state best = {.error = INFINITY};
    if (whole) {
        QUANT(affine_descend)(job, fit, fit[0].a, fit[0].b, &best);
        QUANT(affine_polish)(job, &best);
    } else {
        float top = p->scale_high;
        QUANT(affine_descend)(job, fit, scale / top, min / top, &best);
        QUANT(affine_descend)(job, fit, scale / (top - 0.7f), min / (top - 0.7f), &best);
        if (top < 16)
            for (int k = 1; k < 4; k++)
                QUANT(affine_descend)(job, fit, scale / (top - (float)(k & 1) * 1.5f), min / (top - (float)(k & 2) * 0.75f), &best);
    }
    double xx = 0, xy = 0;
    for (int j = 0; j < p->subs; j++) {
        float a = best.d * (float)best.scale[j], offset = -best.dmin * (float)best.min[j], r = a > JT_QUANT_TINY ? 1 / a : 0;
        b->scale[j] = best.scale[j], b->min[j] = best.min[j];
        for (int i = j * p->len; i < (j + 1) * p->len; i++) {
            b->q[i] = jt_quant_index(job->levels, (job->x[i] - offset) * r);
            float y = a * (float)b->q[i] + offset;
            xx += (double)(job->w[i] * job->x[i]) * (double)job->x[i], xy += (double)(job->w[i] * job->x[i]) * (double)y;
        }
    }
    float stretch = jt_quant_stretch(xx, xy);
    b->d = jt_quant_half(best.d * stretch, job->exponent, &best.d);
    b->dmin = jt_quant_half(best.dmin * stretch, job->exponent, &best.dmin);
}
