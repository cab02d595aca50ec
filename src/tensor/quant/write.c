/* write.c: the searches on any processor, and MXFP4, whose scales are powers of two and need none. */
#include <string.h>

#include "tensor/formats/formats.h"
#include "tensor/ref/ref.h"

#define QUANT(name) name##_ref
#include "tensor/quant/blocks.h"

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

void jt_ref_quant_write(const jt_quant_plan *p, const float *x, const float *importance, size_t blocks, unsigned char *out) {
    QUANT(quant_write)(p, x, importance, blocks, out);
}

#undef QUANT

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
