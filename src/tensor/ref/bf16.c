/* bf16.c: scalar products in bfloat16 (docs/numbers.md): the operation of vdpbf16ps as Intel's manual describes it. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "tensor/ref/ref.h"

/* Denormals are zero, of their sign. */
static float ref_bf16_value(uint16_t h) { return jt_bf16_to_f32(h & 0x7f80 ? h : h & 0x8000); }

/* a * b + c rounded once, and zero where the result, rounded to 24 bits whatever its exponent, is below the normal numbers. The
 * sum in double is exact wherever it is near that border. */
static float ref_bf16_step(float a, float b, float c) {
    float y = fmaf(a, b, c);
    if (fabsf(y) <= FLT_MIN && fabs((double)a * b + c) < 0x1p-126 - 0x1p-151) y = copysignf(0, y);
    return y;
}

void jt_ref_panel_bf16(const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy) {
    size_t stride = jt_bf16_stride(a->cols), pairs = ((size_t)a->cols + 1) / 2;
    for (int r = 0; r < rows; r++) {
        const uint16_t *x = a->b + (size_t)(row + r) * stride;
        for (size_t o = 0; o < JT_PANEL; o++) {
            float acc = 0;
            for (size_t p = 0; p < pairs; p++) {
                uint16_t w[2];
                memcpy(w, (const char *)panel + 64 * p + 4 * o, sizeof w);
                acc = ref_bf16_step(ref_bf16_value(x[2 * p + 1]), ref_bf16_value(w[1]), acc);
                acc = ref_bf16_step(ref_bf16_value(x[2 * p]), ref_bf16_value(w[0]), acc);
            }
            y[(size_t)r * (size_t)ldy + o] = acc;
        }
    }
}

void jt_ref_panel_pairs(jt_panel_kind kind, const void *panel, int cols, void *out) {
    size_t size = kind == JT_PANEL_F32 ? 4 : 2, n = (size_t)cols;
    for (size_t c = 0; c < n + n % 2; c++)
        for (size_t o = 0; o < JT_PANEL; o++) {
            uint16_t h = 0;
            float x = 0;
            if (c < n) memcpy(size == 4 ? (void *)&x : (void *)&h, (const char *)panel + (c * JT_PANEL + o) * size, size);
            if (size == 2) x = kind == JT_PANEL_F16 ? jt_f16_to_f32(h) : jt_bf16_to_f32(h);
            h = jt_f32_to_bf16(x);
            memcpy((char *)out + c / 2 * 64 + 4 * o + c % 2 * 2, &h, sizeof h);
        }
}

void jt_ref_to_bf16(const float *x, int n, uint16_t *y) {
    for (int i = 0; i < n; i++) y[i] = jt_f32_to_bf16(x[i]);
    if (n % 2) y[n] = 0;
}
