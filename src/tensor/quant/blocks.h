/* blocks.h: blocks made ready for the search, searched and laid out.
 *
 * Included once for each instruction set, which QUANT(name) names. */
#include "tensor/quant/affine.h"
#include "tensor/quant/scaled.h"

#ifndef JT_TENSOR_QUANT_BLOCKS_H
#define JT_TENSOR_QUANT_BLOCKS_H

/* What an error of each weight counts: the importance of its column (in ratio to the mean, and never nothing, so that what
 * was not seen is not lost). Where that is not known it is sqrt(mean of x^2 + x^2): large weights lie where inputs are large
 * more often than not, so that their errors cost more than errors of small ones. n is a multiple of 4. */
static inline __attribute__((always_inline)) void quant_counts(const float *x, const float *importance, int n, float *w) {
    double sum[4] = {0}, squares[4] = {0};
    for (int i = 0; i < n; i += 4)
        for (int k = 0; k < 4; k++) {
            if (importance) sum[k] += importance[i + k] > 0 ? (double)importance[i + k] : 0;
            squares[k] += (double)x[i + k] * (double)x[i + k];
        }
    double mean = ((sum[0] + sum[2]) + (sum[1] + sum[3])) / n;
    float square = (float)(((squares[0] + squares[2]) + (squares[1] + squares[3])) / n);
    if (!importance || !(mean > 0) || isinf(mean)) {
        for (int i = 0; i < n; i += 4)
            for (int k = 0; k < 4; k++) w[i + k] = sqrtf(square + x[i + k] * x[i + k]);
        return;
    }
    for (int i = 0; i < n; i++) {
        double ratio = importance[i] > 0 ? (double)importance[i] / mean : 0;
        w[i] = ratio > 1e-4 ? (float)ratio : 1e-4f;
    }
}

/* Divides by a power of two; false when all are zero. n is a multiple of 4. */
static inline __attribute__((always_inline)) bool quant_normalise(const float *x, int n, float *out, int *exponent) {
    float top = 0;
    for (int i = 0; i < n; i++) top = fabsf(x[i]) > top ? fabsf(x[i]) : top;
    if (top == 0) return false;
    frexpf(top, exponent);
    double by = ldexp(1, -*exponent); /* which a float could not hold */
    for (int i = 0; i < n; i += 4)
        for (int k = 0; k < 4; k++) out[i + k] = (float)((double)x[i + k] * by);
    return true;
}

#endif

static void QUANT(quant_write)(const jt_quant_plan *p, const float *x, const float *importance, size_t blocks, unsigned char *out) {
    jt_quant_levels levels;
    jt_quant_levels_init(&levels, p);
    int n = p->subs * p->len;
    size_t bytes = jt_format_of(p->type)->bytes;
    float unit[JT_QUANT_MOST], w[JT_QUANT_MOST];
    for (size_t i = 0; i < blocks; i++, x += n, out += bytes) {
        jt_quant_block b;
        memset(&b, 0, sizeof b);
        jt_quant_job job = {.plan = p, .levels = &levels, .x = unit, .w = w};
        if (quant_normalise(x, n, unit, &job.exponent)) {
            quant_counts(unit, importance ? importance + i * (size_t)n : NULL, n, w);
            if (p->affine)
                QUANT(quant_affine)(&job, &b);
            else
                QUANT(quant_scaled)(&job, &b);
        } else {
            memset(b.q, jt_quant_index(&levels, 0), sizeof b.q);
        }
        p->pack(&b, out);
    }
}
