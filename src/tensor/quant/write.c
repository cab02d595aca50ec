/* write.c: blocks made ready for the search, and MXFP4, whose scales are powers of two and need none. */
#include <string.h>

#include "tensor/formats/formats.h"
#include "tensor/quant/search.h"

void jt_quant_levels_init(jt_quant_levels *l, const jt_quant_plan *p) {
    int count = p->values ? 16 : p->high - p->low + 1;
    *l = (jt_quant_levels){.low = p->low, .high = p->high, .unit = (float)(p->high - p->low) / (float)(count - 1), .values = p->values};
    if (!p->values) return;
    /* What lies half way between two values is a whole number of half steps. */
    for (int i = 0, v = 0; i < JT_QUANT_STEPS; i++) {
        while (v < 15 && p->low * 2 + i >= p->values[v] + p->values[v + 1]) v++;
        l->nearest[i] = (uint8_t)v, l->value[i] = p->values[v];
    }
}

/* What an error of each weight counts: the importance of its column (in ratio to the mean, and never nothing, so that what
 * was not seen is not lost). Where that is not known it is sqrt(mean of x^2 + x^2): large weights lie where inputs are large
 * more often than not, so that their errors cost more than errors of small ones. */
static void quant_counts(const float *x, const float *importance, int n, float *w) {
    double sum = 0, squares = 0;
    for (int i = 0; i < n; i++) {
        sum += importance && importance[i] > 0 ? (double)importance[i] : 0;
        squares += (double)x[i] * (double)x[i];
    }
    double mean = sum / n;
    bool known = importance && mean > 0 && !isinf(mean);
    for (int i = 0; i < n; i++) {
        double ratio = known && importance[i] > 0 ? (double)importance[i] / mean : 0;
        w[i] = !known ? sqrtf((float)(squares / n) + x[i] * x[i]) : ratio > 1e-4 ? (float)ratio : 1e-4f;
    }
}

/* Divides by a power of two; false when all are zero. */
static bool quant_normalise(const float *x, int n, float *out, int *exponent) {
    float top = 0;
    for (int i = 0; i < n; i++) top = fabsf(x[i]) > top ? fabsf(x[i]) : top;
    if (top == 0) return false;
    frexpf(top, exponent);
    for (int i = 0; i < n; i++) out[i] = ldexpf(x[i], -*exponent);
    return true;
}

void jt_quant_write(const jt_quant_plan *p, const float *x, const float *importance, size_t blocks, unsigned char *out) {
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
                jt_quant_affine(&job, &b);
            else
                jt_quant_scaled(&job, &b);
        } else {
            memset(b.q, jt_quant_index(&levels, 0), sizeof b.q);
        }
        p->pack(&b, out);
    }
}

/* The number of the nearest of 0, 1, 2, 3, 4, 6, 8, 12, with 8 added for negative ones. */
static unsigned nearest_fp4(float t) {
    static const float edge[7] = {0.5f, 1.5f, 2.5f, 3.5f, 5, 7, 10};
    unsigned n = 0;
    for (int i = 0; i < 7; i++) n += fabsf(t) > edge[i];
    return n && t < 0 ? n + 8 : n;
}

/* Powers of two around the one that just holds the largest weight. */
void jt_quant_write_mxfp4(const float *x, const float *importance, size_t blocks, unsigned char *out) {
    float unit[32], w[32];
    for (size_t i = 0; i < blocks; i++, x += 32, out += 17) {
        int exponent = 0, best = 0;
        memset(out, 0, 17);
        if (!quant_normalise(x, 32, unit, &exponent)) continue;
        quant_counts(unit, importance ? importance + 32 * i : NULL, 32, w);
        double least = INFINITY;
        /* 12 * 2^-4 holds 0.5 to 0.75, 12 * 2^-3 the rest. */
        for (int at = -6; at <= -2; at++) {
            float scale = ldexpf(1, at), error = 0;
            if (exponent + at + 128 < 0 || exponent + at + 128 > 254) continue;
            for (int j = 0; j < 32; j++) {
                float e = unit[j] - scale * (float)jt_values_fp4[nearest_fp4(unit[j] / scale)];
                error += w[j] * e * e;
            }
            if ((double)error < least) least = (double)error, best = at;
        }
        if (isinf(least)) continue;
        out[0] = (unsigned char)(exponent + best + 128);
        for (int j = 0; j < 16; j++)
            out[1 + j] = (unsigned char)(nearest_fp4(ldexpf(unit[j], -best)) | nearest_fp4(ldexpf(unit[16 + j], -best)) << 4);
    }
}
