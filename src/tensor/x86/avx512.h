/* avx512.h: what the AVX-512 (F, BW, VL, DQ, VNNI) kernel files share. Include only from files compiled for them. */
#ifndef JT_TENSOR_AVX512_H
#define JT_TENSOR_AVX512_H

#include "tensor/x86/avx2.h"

void jt_avx512_panel_f32(jt_panel_kind kind, const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy);
void jt_avx512_panel_i8(jt_panel_kind kind, const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy);
void jt_avx512_panel_bf16(const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy);
void jt_avx512bf16_panel_bf16(const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy);
int jt_avx512_pair_i8(jt_panel_kind kind, const void *panels, const jt_acts *a, int row, int rows, float *y, int ldy);
void jt_avx512_swiglu(const float *g, const float *u, int n, float *y);
void jt_avx512_exp(const float *x, int n, float *y);
void jt_avx512_sum_exp(const float *x, int n, float m, double *S, double *T);
int jt_avx512_collect(const float *x, int n, float lo, float hi, int most, int32_t *place, float *value);
void jt_avx512_conv(const float *const *x, const float *w, int stride, const float *bias, int taps, int n, float *y);
void jt_avx512_recur(const jt_recur *r);
void jt_avx512_attn_tile(const jt_attn_tile *t);

/* jt_expf on 16 lanes. */
static inline __m512 jt_avx512_exp16(__m512 x) {
    const __m512 round = _mm512_set1_ps(JT_EXP_ROUND), one = _mm512_set1_ps(1);
    __m512 k = _mm512_fmadd_ps(x, _mm512_set1_ps(JT_EXP_LOG2E), round);
    __m512i n = _mm512_slli_epi32(_mm512_castps_si512(k), 23);
    k = _mm512_sub_ps(k, round);
    __m512 r = _mm512_fmadd_ps(k, _mm512_set1_ps(-JT_EXP_LN2_HI), x);
    r = _mm512_fmadd_ps(k, _mm512_set1_ps(-JT_EXP_LN2_LO), r);
    __m512 p = _mm512_set1_ps(JT_EXP_C6);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(JT_EXP_C5));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(JT_EXP_C4));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(JT_EXP_C3));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(JT_EXP_C2));
    p = _mm512_fmadd_ps(p, r, one);
    p = _mm512_fmadd_ps(p, r, one);
    p = _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), n));
    p = _mm512_mask_mov_ps(p, _mm512_cmp_ps_mask(x, _mm512_set1_ps(JT_EXP_MAX), _CMP_GT_OQ), _mm512_set1_ps(INFINITY));
    p = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, _mm512_set1_ps(JT_EXP_MIN), _CMP_NLT_UQ), p);
    return _mm512_mask_mov_ps(p, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), x);
}

/* The tree of docs/numbers.md. */
static inline float jt_avx512_tree(__m512 a) { return jt_avx2_tree(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1)); }

static inline __m512 jt_avx512_load_halfs(const void *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }

/* Those of 16 quants of 8 bits that `lanes` names, as floats; the others zero. */
static inline __m512 jt_avx512_load_bytes(const void *p, __mmask16 lanes) {
    __m128i q = lanes == 0xffff ? _mm_loadu_si128((const __m128i *)p) : _mm_maskz_loadu_epi8(lanes, p);
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(q));
}

#endif
