/* search.h: the inner loops of the searches for scales.
 *
 * Loops run over a constant number of weights, eight sums side by side or eight tries side by side, so that the vectors of
 * any processor can be used and give the same bits. */
#ifndef JT_TENSOR_QUANT_SEARCH_H
#define JT_TENSOR_QUANT_SEARCH_H

#include <math.h>
#include <string.h>

#include "tensor/quant/block.h"

/* A scale below this counts as zero: weights are below 1. */
#define JT_QUANT_TINY 1e-20f

/* Calls f(.., n) with the length of a sub-block as a constant. */
#define JT_QUANT_LENGTH(len, f, ...) ((len) == 16 ? f(16, __VA_ARGS__) : f(32, __VA_ARGS__))

/* To the nearest integer, ties to even, for magnitudes below 2^22; vectors of every processor can do it. */
static inline float jt_quant_rint(float x) { return (x + 0x1.8p23f) - 0x1.8p23f; }

static inline float jt_quant_clamp(float x, float low, float high) {
    x = x < low ? low : x;
    return x > high ? high : x;
}

/* Eight numbers side by side. No function takes or gives them by value: how that is done depends on the instruction set. */
enum { JT_QUANT_LANES = 8 };
typedef float jt_quant_lanes __attribute__((vector_size(32)));
typedef float jt_quant_at __attribute__((vector_size(32), aligned(4), may_alias));
typedef int32_t jt_quant_mask __attribute__((vector_size(32)));

#define JT_QUANT_LOAD(p) (*(const jt_quant_at *)(p))
#define JT_QUANT_SUM(s) ((((s)[0] + (s)[4]) + ((s)[2] + (s)[6])) + (((s)[1] + (s)[5]) + ((s)[3] + (s)[7])))
/* a where it is below b (or above it), else b. */
#define JT_QUANT_PICK(mask, a, b) ((jt_quant_lanes)(((mask) & (jt_quant_mask)(a)) | (~(mask) & (jt_quant_mask)(b))))
#ifdef __AVX2__
#define JT_QUANT_MIN(a, b) ((jt_quant_lanes)_mm256_min_ps((__m256)(a), (__m256)(b)))
#define JT_QUANT_MAX(a, b) ((jt_quant_lanes)_mm256_max_ps((__m256)(a), (__m256)(b)))
#else
#define JT_QUANT_MIN(a, b) JT_QUANT_PICK((a) < (b), a, b)
#define JT_QUANT_MAX(a, b) JT_QUANT_PICK((a) > (b), a, b)
#endif

/* The half nearest to d * 2^exponent, within the finite ones; *value is what it is worth, divided by that power. */
static inline uint16_t jt_quant_half(float d, int exponent, float *value) {
    float top = jt_quant_clamp(ldexpf(d, exponent), -65504, 65504);
    uint16_t h = jt_f32_to_f16(top);
    *value = ldexpf(jt_f16_to_f32(h), -exponent);
    return h;
}

/* What all of a block's scales are multiplied with, so that the errors have no part along the weights: sums of w x^2 and of
 * w x y, y the weight read back. Least squares leave y too small by the share of the error (y is then orthogonal to the
 * error, not x), and products with y too, in every layer alike; this costs the square of that share. */
static inline float jt_quant_stretch(double xx, double xy) {
    double c = xy > 0 ? xx / xy : 1;
    return c > 1 && c < 1.5 ? (float)c : 1;
}

static inline uint8_t jt_quant_index(const jt_quant_levels *l, float t) {
    t = jt_quant_clamp(t, l->low, l->high);
    return l->values ? l->nearest[(int)(2 * (t - l->low))] : (uint8_t)(int)(jt_quant_rint(t) - l->low);
}

/* The values nearest to (x - b) * r. */
static inline __attribute__((always_inline)) void jt_quant_round(int n, const jt_quant_levels *l, const float *restrict x, float b, float r,
                                                                 float *restrict v) {
    const float low = l->low, high = l->high;
    if (l->values) {
        int at[JT_QUANT_LEN];
        for (int i = 0; i < n; i++) at[i] = (int)(2 * (jt_quant_clamp((x[i] - b) * r, low, high) - low));
        for (int i = 0; i < n; i++) v[i] = l->value[at[i]];
    } else {
        for (int i = 0; i < n; i++) v[i] = jt_quant_rint(jt_quant_clamp((x[i] - b) * r, low, high));
    }
}

/* The sum of w * (x - b - a * v)^2. */
static inline __attribute__((always_inline)) float jt_quant_distance(int n, const float *x, const float *w, const float *v, float a,
                                                                     float b) {
    jt_quant_lanes sum = {0};
    for (int i = 0; i < n; i += 8) {
        jt_quant_lanes e = JT_QUANT_LOAD(x + i) - b - a * JT_QUANT_LOAD(v + i);
        sum += JT_QUANT_LOAD(w + i) * e * e;
    }
    return JT_QUANT_SUM(sum);
}

/* The same with the best values. */
static inline __attribute__((always_inline)) float jt_quant_error(int n, const jt_quant_levels *l, const float *x, const float *w, float a,
                                                                  float b) {
    float v[JT_QUANT_LEN] = {0};
    if (fabsf(a) >= JT_QUANT_TINY) jt_quant_round(n, l, x, b, 1 / a, v);
    return jt_quant_distance(n, x, w, v, fabsf(a) >= JT_QUANT_TINY ? a : 0, b);
}

/* Sums over a sub-block, weighted: of values, of their squares, and of values times weights. */
typedef struct jt_quant_sums {
    float v, vv, xv;
} jt_quant_sums;

static inline __attribute__((always_inline)) jt_quant_sums jt_quant_moments(int n, const float *x, const float *w, const float *v) {
    jt_quant_lanes a = {0}, b = {0}, c = {0};
    for (int i = 0; i < n; i += 8) {
        jt_quant_lanes value = JT_QUANT_LOAD(v + i), p = JT_QUANT_LOAD(w + i) * value;
        a += p;
        b += p * value;
        c += p * JT_QUANT_LOAD(x + i);
    }
    return (jt_quant_sums){JT_QUANT_SUM(a), JT_QUANT_SUM(b), JT_QUANT_SUM(c)};
}

/* The same sums for the values nearest to (x - b) * r, of eight pairs of b and r side by side. */
typedef struct jt_quant_tries {
    jt_quant_lanes v, vv, xv;
} jt_quant_tries;

static inline __attribute__((always_inline)) void jt_quant_try(int n, const jt_quant_levels *l, const float *x, const float *w,
                                                               const jt_quant_lanes *b, const jt_quant_lanes *r, jt_quant_tries *s) {
    const jt_quant_lanes zero = {0}, low = zero + l->low, high = zero + l->high, at_b = *b, by = *r;
    jt_quant_lanes sum = zero, squares = zero, products = zero;
    for (int i = 0; i < n; i++) {
        jt_quant_lanes v = (x[i] - at_b) * by;
        v = JT_QUANT_MAX(v, low);
        v = JT_QUANT_MIN(v, high);
        if (l->values) {
            for (int k = 0; k < JT_QUANT_LANES; k++) v[k] = l->value[(int)(2 * (v[k] - l->low))];
        } else {
            v = (v + 0x1.8p23f) - 0x1.8p23f; /* jt_quant_rint */
        }
        jt_quant_lanes p = w[i] * v;
        sum += p;
        squares += p * v;
        products += p * x[i];
    }
    s->v = sum, s->vv = squares, s->xv = products;
}

#endif
