/* rows_neon.c: kernels on rows of floats with NEON. The 16 virtual accumulators are four vectors; what is left past the
 * last multiple of 16 goes to its accumulators one by one. */
#include "tensor/arm/neon.h"

void jt_neon_rms_norm(const float *x, const float *w, int n, float eps, float *y, float *inv) {
    float32x4_t a[4];
    JT_UNROLL
    for (int k = 0; k < 4; k++) a[k] = vdupq_n_f32(0);
    int i = 0;
    for (; i + 16 <= n; i += 16) {
        JT_UNROLL
        for (int k = 0; k < 4; k++) {
            float32x4_t v = vld1q_f32(x + i + 4 * k);
            a[k] = vfmaq_f32(a[k], v, v);
        }
    }
    if (i < n) {
        float left[16];
        for (int k = 0; k < 4; k++) vst1q_f32(left + 4 * k, a[k]);
        for (int j = 0; i < n; i++, j++) left[j] = fmaf(x[i], x[i], left[j]);
        for (int k = 0; k < 4; k++) a[k] = vld1q_f32(left + 4 * k);
    }
    float r = 1 / sqrtf(jt_neon_tree(a) / (float)n + eps);
    for (i = 0; i + 4 <= n; i += 4) vst1q_f32(y + i, vmulq_f32(vmulq_n_f32(vld1q_f32(x + i), r), vld1q_f32(w + i)));
    for (; i < n; i++) y[i] = x[i] * r * w[i];
    if (inv) *inv = r;
}

void jt_neon_add(const float *a, const float *b, int n, float *y) {
    int i = 0;
    for (; i + 4 <= n; i += 4) vst1q_f32(y + i, vaddq_f32(vld1q_f32(a + i), vld1q_f32(b + i)));
    for (; i < n; i++) y[i] = a[i] + b[i];
}

static inline float32x4_t swiglu4_neon(float32x4_t g, float32x4_t u) {
    return vmulq_f32(vdivq_f32(g, vaddq_f32(vdupq_n_f32(1), jt_neon_exp4(vnegq_f32(g)))), u);
}

void jt_neon_swiglu(const float *g, const float *u, int n, float *y) {
    int i = 0;
    for (; i + 4 <= n; i += 4) vst1q_f32(y + i, swiglu4_neon(vld1q_f32(g + i), vld1q_f32(u + i)));
    if (i < n) jt_neon_store_part(y + i, n - i, swiglu4_neon(jt_neon_load_part(g + i, n - i), jt_neon_load_part(u + i, n - i)));
}

static inline void rope_pair_neon(float *pa, float *pb, float c, float s) {
    float a = *pa, b = *pb;
    *pa = fmaf(a, c, -(b * s));
    *pb = fmaf(b, c, a * s);
}

static inline float32x4x2_t rope4_neon(float32x4_t a, float32x4_t b, const float *c, const float *s) {
    float32x4_t vc = vld1q_f32(c), vs = vld1q_f32(s);
    float32x4x2_t y;
    y.val[0] = vfmaq_f32(vnegq_f32(vmulq_f32(b, vs)), a, vc);
    y.val[1] = vfmaq_f32(vmulq_f32(a, vs), b, vc);
    return y;
}

static void rope_halves_neon(float *x, int half, const float *c, const float *s) {
    int i = 0;
    for (; i + 4 <= half; i += 4) {
        float32x4x2_t y = rope4_neon(vld1q_f32(x + i), vld1q_f32(x + half + i), c + i, s + i);
        vst1q_f32(x + i, y.val[0]);
        vst1q_f32(x + half + i, y.val[1]);
    }
    for (; i < half; i++) rope_pair_neon(x + i, x + half + i, c[i], s[i]);
}

static void rope_pairs_neon(float *x, int half, const float *c, const float *s) {
    int i = 0;
    for (; i + 4 <= half; i += 4) {
        float32x4x2_t v = vld2q_f32(x + 2 * i);
        vst2q_f32(x + 2 * i, rope4_neon(v.val[0], v.val[1], c + i, s + i));
    }
    for (; i < half; i++) rope_pair_neon(x + 2 * i, x + 2 * i + 1, c[i], s[i]);
}

void jt_neon_rope(float *x, int heads, int dim, int rot, int interleaved, const float *c, const float *s) {
    for (int h = 0; h < heads; h++, x += dim) {
        if (interleaved)
            rope_pairs_neon(x, rot / 2, c, s);
        else
            rope_halves_neon(x, rot / 2, c, s);
    }
}

void jt_neon_exp(const float *x, int n, float *y) {
    int i = 0;
    for (; i + 4 <= n; i += 4) vst1q_f32(y + i, jt_neon_exp4(vld1q_f32(x + i)));
    if (i < n) jt_neon_store_part(y + i, n - i, jt_neon_exp4(jt_neon_load_part(x + i, n - i)));
}

static inline uint16x4_t narrow4_neon(float32x4_t x) { return vreinterpret_u16_f16(vcvt_f16_f32(x)); }

void jt_neon_to_f16(const float *x, int n, uint16_t *y) {
    int i = 0;
    for (; i + 4 <= n; i += 4) vst1_u16(y + i, narrow4_neon(vld1q_f32(x + i)));
    if (i < n) {
        uint16_t last[4];
        vst1_u16(last, narrow4_neon(jt_neon_load_part(x + i, n - i)));
        memcpy(y + i, last, (size_t)(n - i) * sizeof *last);
    }
}

void jt_neon_from_f16(const uint16_t *x, int n, float *y) {
    int i = 0;
    for (; i + 4 <= n; i += 4) vst1q_f32(y + i, jt_neon_load_halfs(x + i));
    if (i < n) {
        uint16_t last[4] = {0};
        memcpy(last, x + i, (size_t)(n - i) * sizeof *last);
        jt_neon_store_part(y + i, n - i, jt_neon_load_halfs(last));
    }
}

/* 32 elements to quants and their scale. */
static inline void to_q8_block_neon(const float32x4_t x[8], int8_t *q, uint16_t *d) {
    uint32x4_t top = vdupq_n_u32(0);
    JT_UNROLL
    for (int i = 0; i < 8; i++) top = vmaxq_u32(top, vreinterpretq_u32_f32(vabsq_f32(x[i])));
    uint32_t bits = vmaxvq_u32(top); /* NaN lies above all numbers */
    if (bits > 0x7f800000) bits = 0x7f800000;
    float a;
    memcpy(&a, &bits, sizeof a);
    *d = vget_lane_u16(narrow4_neon(vdupq_n_f32(a / 127)), 0);
    if (*d == 0 || *d == 0x7c00) {
        if (*d) *d = 0x7e00;
        memset(q, 0, 32);
        return;
    }
    float32x4_t scale = jt_neon_widen4(vdup_n_u16(*d));
    int16x8_t n[4];
    JT_UNROLL
    for (int i = 0; i < 4; i++) {
        int32x4_t low = vcvtnq_s32_f32(vdivq_f32(x[2 * i], scale)), high = vcvtnq_s32_f32(vdivq_f32(x[2 * i + 1], scale));
        n[i] = vqmovn_high_s32(vqmovn_s32(low), high);
    }
    const int8x16_t least = vdupq_n_s8(-127);
    vst1q_s8(q, vmaxq_s8(vqmovn_high_s16(vqmovn_s16(n[0]), n[1]), least));
    vst1q_s8(q + 16, vmaxq_s8(vqmovn_high_s16(vqmovn_s16(n[2]), n[3]), least));
}

void jt_neon_to_q8(const float *x, int n, int8_t *q, uint16_t *d) {
    float32x4_t v[8];
    for (; n >= JT_KV_BLOCK; n -= JT_KV_BLOCK, x += JT_KV_BLOCK, q += JT_KV_BLOCK) {
        JT_UNROLL
        for (int i = 0; i < 8; i++) v[i] = vld1q_f32(x + 4 * i);
        to_q8_block_neon(v, q, d++);
    }
    if (n > 0) {
        float padded[JT_KV_BLOCK] = {0};
        int8_t last[JT_KV_BLOCK];
        memcpy(padded, x, (size_t)n * sizeof *x);
        JT_UNROLL
        for (int i = 0; i < 8; i++) v[i] = vld1q_f32(padded + 4 * i);
        to_q8_block_neon(v, last, d);
        memcpy(q, last, (size_t)n);
    }
}

float jt_neon_max(const float *x, int n) {
    float32x4_t a[4];
    JT_UNROLL
    for (int k = 0; k < 4; k++) a[k] = vdupq_n_f32(-INFINITY);
    int i = 0;
    for (; i + 16 <= n; i += 16) {
        JT_UNROLL
        for (int k = 0; k < 4; k++) a[k] = jt_neon_larger(vld1q_f32(x + i + 4 * k), a[k]);
    }
    float m = jt_neon_max4(vmaxq_f32(vmaxq_f32(a[0], a[1]), vmaxq_f32(a[2], a[3])));
    for (; i < n; i++)
        if (x[i] > m) m = x[i];
    return m + 0.0f;
}

/* Adds e and e * z of 4 terms to two accumulators of S and of T each. */
static inline void sum_exp4_neon(float32x4_t z, float32x4_t e, float64x2_t S[2], float64x2_t T[2]) {
    z = vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(z), vceqzq_f32(e)));
    float64x2_t e0 = vcvt_f64_f32(vget_low_f32(e)), e1 = vcvt_high_f64_f32(e);
    S[0] = vaddq_f64(S[0], e0);
    S[1] = vaddq_f64(S[1], e1);
    T[0] = vfmaq_f64(T[0], e0, vcvt_f64_f32(vget_low_f32(z)));
    T[1] = vfmaq_f64(T[1], e1, vcvt_high_f64_f32(z));
}

static inline double tree_f64_neon(const float64x2_t a[8]) {
    float64x2_t b[4];
    JT_UNROLL
    for (int i = 0; i < 4; i++) b[i] = vaddq_f64(a[i], a[i + 4]);
    return vpaddd_f64(vaddq_f64(vaddq_f64(b[0], b[2]), vaddq_f64(b[1], b[3])));
}

void jt_neon_sum_exp(const float *x, int n, float m, double *S, double *T) {
    float64x2_t a[8], b[8];
    JT_UNROLL
    for (int k = 0; k < 8; k++) a[k] = b[k] = vdupq_n_f64(0);
    const float32x4_t top = vdupq_n_f32(m);
    int i = 0;
    for (; i + 16 <= n; i += 16) {
        JT_UNROLL
        for (int k = 0; k < 4; k++) {
            float32x4_t z = vsubq_f32(vld1q_f32(x + i + 4 * k), top);
            sum_exp4_neon(z, jt_neon_exp4(z), a + 2 * k, b + 2 * k);
        }
    }
    if (i < n) {
        double left[2][16];
        float z[16], e[16];
        for (int k = 0; k < 8; k++) vst1q_f64(left[0] + 2 * k, a[k]), vst1q_f64(left[1] + 2 * k, b[k]);
        for (int j = 0; i + j < n; j++) z[j] = x[i + j] - m;
        jt_neon_exp(z, n - i, e);
        for (int j = 0; i < n; i++, j++) {
            left[0][j] += e[j];
            left[1][j] = fma(e[j], e[j] == 0 ? 0 : z[j], left[1][j]);
        }
        for (int k = 0; k < 8; k++) a[k] = vld1q_f64(left[0] + 2 * k), b[k] = vld1q_f64(left[1] + 2 * k);
    }
    *S = tree_f64_neon(a);
    if (T) *T = tree_f64_neon(b);
}
