/* neon.h: what the NEON (AArch64 with the dot product of 8-bit numbers) kernel files share. Include only from files
 * compiled for it. The 16 virtual accumulators of docs/numbers.md are four vectors. */
#ifndef JT_TENSOR_NEON_H
#define JT_TENSOR_NEON_H

#include <arm_neon.h>
#include <math.h>
#include <string.h>

#include "tensor/exp_constants.h"
#include "tensor/kernels.h"
#include "tensor/unroll.h"

void jt_neon_panel_f32(jt_panel_kind kind, const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy);
void jt_neon_panel_i8(jt_panel_kind kind, const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy);
void jt_neon_panel_expand(jt_panel_kind kind, const void *panel, int cols, float *out);
void jt_neon_pack_panel(const jt_format *f, const void *const rows[JT_PANEL], int cols, void *panel);
void jt_neon_quantise(const float *x, int cols, int8_t *q, float *d, float *s);
void jt_neon_block_sums(const int8_t *q, int cols, int by, int32_t *out);

void jt_neon_rms_norm(const float *x, const float *w, int n, float eps, float *y, float *inv);
void jt_neon_add(const float *a, const float *b, int n, float *y);
void jt_neon_swiglu(const float *g, const float *u, int n, float *y);
void jt_neon_rope(float *x, int heads, int dim, int rot, int interleaved, const float *c, const float *s);
void jt_neon_exp(const float *x, int n, float *y);
void jt_neon_to_f16(const float *x, int n, uint16_t *y);
void jt_neon_from_f16(const uint16_t *x, int n, float *y);
void jt_neon_to_q8(const float *x, int n, int8_t *q, uint16_t *d);
void jt_neon_conv(const float *const *x, const float *w, int stride, const float *bias, int taps, int n, float *y);
void jt_neon_recur(const jt_recur *r);
float jt_neon_max(const float *x, int n);
void jt_neon_sum_exp(const float *x, int n, float m, double *S, double *T);

void jt_neon_attn_tile(const jt_attn_tile *t);
void jt_neon_attn_end(const float *acc, float l, int dim, float *out);

/* The first n of 4 numbers, the others zero; and writing them. */
static inline float32x4_t jt_neon_load_part(const float *p, int n) {
    float v[4] = {0};
    memcpy(v, p, (size_t)n * sizeof *v);
    return vld1q_f32(v);
}
static inline void jt_neon_store_part(float *p, int n, float32x4_t x) {
    float v[4];
    vst1q_f32(v, x);
    memcpy(p, v, (size_t)n * sizeof *v);
}

/* jt_expf on 4 lanes. */
static inline float32x4_t jt_neon_exp4(float32x4_t x) {
    const float32x4_t round = vdupq_n_f32(JT_EXP_ROUND), one = vdupq_n_f32(1);
    float32x4_t k = vfmaq_f32(round, x, vdupq_n_f32(JT_EXP_LOG2E));
    uint32x4_t n = vshlq_n_u32(vreinterpretq_u32_f32(k), 23);
    k = vsubq_f32(k, round);
    float32x4_t r = vfmaq_f32(x, k, vdupq_n_f32(-JT_EXP_LN2_HI));
    r = vfmaq_f32(r, k, vdupq_n_f32(-JT_EXP_LN2_LO));
    float32x4_t p = vdupq_n_f32(JT_EXP_C6);
    p = vfmaq_f32(vdupq_n_f32(JT_EXP_C5), p, r);
    p = vfmaq_f32(vdupq_n_f32(JT_EXP_C4), p, r);
    p = vfmaq_f32(vdupq_n_f32(JT_EXP_C3), p, r);
    p = vfmaq_f32(vdupq_n_f32(JT_EXP_C2), p, r);
    p = vfmaq_f32(one, p, r);
    p = vfmaq_f32(one, p, r);
    uint32x4_t bits = vaddq_u32(vreinterpretq_u32_f32(p), n);
    bits = vbslq_u32(vcgtq_f32(x, vdupq_n_f32(JT_EXP_MAX)), vdupq_n_u32(0x7f800000), bits);
    bits = vbicq_u32(bits, vcltq_f32(x, vdupq_n_f32(JT_EXP_MIN)));
    return vreinterpretq_f32_u32(vbslq_u32(vceqq_f32(x, x), bits, vreinterpretq_u32_f32(x)));
}

/* The tree of docs/numbers.md over accumulators 4i to 4i + 3 in a[i]. */
static inline float jt_neon_tree(const float32x4_t a[4]) {
    float32x4_t b = vaddq_f32(vaddq_f32(a[0], a[2]), vaddq_f32(a[1], a[3]));
    return vpadds_f32(vadd_f32(vget_low_f32(b), vget_high_f32(b)));
}

/* x where it is larger, else m: NaN is passed over. */
static inline float32x4_t jt_neon_larger(float32x4_t x, float32x4_t m) { return vbslq_f32(vcgtq_f32(x, m), x, m); }

/* The largest of 4 lanes, none of them NaN. */
static inline float jt_neon_max4(float32x4_t a) { return vmaxvq_f32(a); }

static inline float32x4_t jt_neon_widen4(uint16x4_t h) { return vcvt_f32_f16(vreinterpret_f16_u16(h)); }
static inline float32x4_t jt_neon_load_halfs(const void *p) {
    uint16x4_t h;
    memcpy(&h, p, sizeof h);
    return jt_neon_widen4(h);
}

/* 16 quants of 8 bits as floats. */
static inline void jt_neon_bytes16(int8x16_t q, float32x4_t out[4]) {
    int16x8_t low = vmovl_s8(vget_low_s8(q)), high = vmovl_s8(vget_high_s8(q));
    out[0] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(low)));
    out[1] = vcvtq_f32_s32(vmovl_s16(vget_high_s16(low)));
    out[2] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(high)));
    out[3] = vcvtq_f32_s32(vmovl_s16(vget_high_s16(high)));
}

#endif
