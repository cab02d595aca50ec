/* recur_neon.c: kernels of recurrent layers with NEON. */
#include "tensor/arm/neon.h"

static inline float32x4_t silu4_neon(float32x4_t a) { return vdivq_f32(a, vaddq_f32(vdupq_n_f32(1), jt_neon_exp4(vnegq_f32(a)))); }

void jt_neon_conv(const float *const *x, const float *w, int stride, const float *bias, int taps, int n, float *y) {
    int i = 0;
    for (; i + 4 <= n; i += 4) {
        float32x4_t a = bias ? vld1q_f32(bias + i) : vdupq_n_f32(0);
        for (int k = 0; k < taps; k++)
            if (x[k]) a = vfmaq_f32(a, vld1q_f32(w + (long)k * stride + i), vld1q_f32(x[k] + i));
        vst1q_f32(y + i, silu4_neon(a));
    }
    if (i == n) return;
    float left[4] = {0};
    for (int j = 0; i + j < n; j++) {
        left[j] = bias ? bias[i + j] : 0;
        for (int k = 0; k < taps; k++)
            if (x[k]) left[j] = fmaf(w[(long)k * stride + i + j], x[k][i + j], left[j]);
    }
    jt_neon_store_part(y + i, n - i, silu4_neon(vld1q_f32(left)));
}

/* What is left of a row of the state past its last multiple of 16, element by element. */
static void recur_tail_neon(const jt_recur *r, const float *in, float *out, float u, int i, float32x4_t acc[4]) {
    float left[16];
    for (int k = 0; k < 4; k++) vst1q_f32(left + 4 * k, acc[k]);
    for (int j = 0; i < r->n; i++, j++) {
        float s = fmaf(u, r->b[i], r->a * (in ? in[i] : 0));
        out[i] = s;
        left[j] = fmaf(r->c[i], s, left[j]);
    }
    for (int k = 0; k < 4; k++) acc[k] = vld1q_f32(left + 4 * k);
}

void jt_neon_recur(const jt_recur *r) {
    const float32x4_t a = vdupq_n_f32(r->a);
    for (int p = 0; p < r->dim; p++) {
        const float *in = r->in ? r->in + (long)p * r->n : NULL;
        float *out = r->out + (long)p * r->n, u = r->dt * r->x[p];
        float32x4_t acc[4];
        for (int k = 0; k < 4; k++) acc[k] = vdupq_n_f32(0);
        int i = 0;
        for (; i + 16 <= r->n; i += 16) {
            JT_UNROLL
            for (int k = 0; k < 4; k++) {
                float32x4_t s = in ? vld1q_f32(in + i + 4 * k) : vdupq_n_f32(0);
                s = vfmaq_n_f32(vmulq_f32(a, s), vld1q_f32(r->b + i + 4 * k), u);
                vst1q_f32(out + i + 4 * k, s);
                acc[k] = vfmaq_f32(acc[k], vld1q_f32(r->c + i + 4 * k), s);
            }
        }
        if (i < r->n) recur_tail_neon(r, in, out, u, i, acc);
        if (r->y) r->y[p] = fmaf(r->d, r->x[p], jt_neon_tree(acc));
    }
}
