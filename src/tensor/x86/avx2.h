/* avx2.h: what the AVX2 (with FMA and F16C) kernel files share. Include only from files compiled for them. */
#ifndef JT_TENSOR_AVX2_H
#define JT_TENSOR_AVX2_H

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "tensor/exp_constants.h"
#include "tensor/kernels.h"
#include "tensor/unroll.h"

/* Of MXCSR: denormals are zero as operands, and as results. */
enum { JT_X86_FLUSH = 0x8040 };

void jt_avx2_panel_f32(jt_panel_kind kind, const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy);
void jt_avx2_panel_i8(jt_panel_kind kind, const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy);
/* With vpdpbusd on 256 bits, in the two encodings of products_i8_vnni256.h. */
void jt_avxvnni_panel_i8(jt_panel_kind kind, const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy);
void jt_avxvnni_evex_panel_i8(jt_panel_kind kind, const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy);
void jt_avx2_panel_bf16(const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy);
void jt_avx2_panel_pairs(jt_panel_kind kind, const void *panel, int cols, void *out);
void jt_avx2_to_bf16(const float *x, int n, uint16_t *y);
void jt_avx2_panel_expand(jt_panel_kind kind, const void *panel, int cols, float *out);
void jt_avx2_pack_panel(const jt_format *f, const void *const rows[JT_PANEL], int cols, void *panel);
void jt_avx2_pack_codes(const jt_format *f, const void *const rows[JT_PANEL], int cols, void *panel);
void jt_avx2_quant_write(const jt_quant_plan *p, const float *x, const float *importance, size_t blocks, unsigned char *out);
void jt_avx2_quantise(const float *x, int cols, int8_t *q, float *d, float *s);
void jt_avx2_block_sums(const int8_t *q, int cols, int by, int32_t *out);

void jt_avx2_rms_norm(const float *x, const float *w, int n, float eps, float *y, float *inv);
void jt_avx2_add(const float *a, const float *b, int n, float *y);
void jt_avx2_swiglu(const float *g, const float *u, int n, float *y);
void jt_avx2_rope(float *x, int heads, int dim, int rot, int interleaved, const float *c, const float *s);
void jt_avx2_exp(const float *x, int n, float *y);
void jt_avx2_to_f16(const float *x, int n, uint16_t *y);
void jt_avx2_from_f16(const uint16_t *x, int n, float *y);
void jt_avx2_to_q8(const float *x, int n, int8_t *q, uint16_t *d);
float jt_avx2_max(const float *x, int n);
void jt_avx2_sum_exp(const float *x, int n, float m, double *S, double *T);
int jt_avx2_scan(const float *x, int n, float *top);
int jt_avx2_collect(const float *x, int n, float lo, float hi, int most, int32_t *place, float *value);
void jt_avx2_clip(const float *x, int n, float lo, float hi, float *y);

void jt_avx2_conv(const float *const *x, const float *w, int stride, const float *bias, int taps, int n, float *y);
void jt_avx2_recur(const jt_recur *r);

void jt_avx2_attn_tile(const jt_attn_tile *t);
/* Keys and values of a tile as floats, [dim][JT_TILE] and [JT_TILE][dim]. */
void jt_avx2_attn_widen(const jt_attn_tile *t, float *k, float *v);
void jt_avx2_attn_end(const float *acc, float l, int dim, float *out);

/* jt_expf on 8 lanes. */
static inline __m256 jt_avx2_exp8(__m256 x) {
    const __m256 round = _mm256_set1_ps(JT_EXP_ROUND), one = _mm256_set1_ps(1);
    __m256 k = _mm256_fmadd_ps(x, _mm256_set1_ps(JT_EXP_LOG2E), round);
    __m256i n = _mm256_slli_epi32(_mm256_castps_si256(k), 23);
    k = _mm256_sub_ps(k, round);
    __m256 r = _mm256_fmadd_ps(k, _mm256_set1_ps(-JT_EXP_LN2_HI), x);
    r = _mm256_fmadd_ps(k, _mm256_set1_ps(-JT_EXP_LN2_LO), r);
    __m256 p = _mm256_set1_ps(JT_EXP_C6);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(JT_EXP_C5));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(JT_EXP_C4));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(JT_EXP_C3));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(JT_EXP_C2));
    p = _mm256_fmadd_ps(p, r, one);
    p = _mm256_fmadd_ps(p, r, one);
    p = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), n));
    p = _mm256_blendv_ps(p, _mm256_set1_ps(INFINITY), _mm256_cmp_ps(x, _mm256_set1_ps(JT_EXP_MAX), _CMP_GT_OQ));
    p = _mm256_andnot_ps(_mm256_cmp_ps(x, _mm256_set1_ps(JT_EXP_MIN), _CMP_LT_OQ), p);
    return _mm256_blendv_ps(p, x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}

/* The tree of docs/numbers.md over accumulators 0..7 in a and 8..15 in b. */
static inline float jt_avx2_tree(__m256 a, __m256 b) {
    a = _mm256_add_ps(a, b);
    __m128 h = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    h = _mm_add_ps(h, _mm_movehl_ps(h, h));
    h = _mm_add_ss(h, _mm_movehdup_ps(h));
    return _mm_cvtss_f32(h);
}

/* The largest of 8 lanes, none of them NaN. */
static inline float jt_avx2_max8(__m256 a) {
    __m128 h = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    h = _mm_max_ps(h, _mm_movehl_ps(h, h));
    h = _mm_max_ss(h, _mm_movehdup_ps(h));
    return _mm_cvtss_f32(h);
}

/* Merges the maxima mt and totals lt of a tile into m and l of nq (at most 8) queries; gives the factors of what was
 * summed before (c) and of the tile (ct). All arrays but m and l have room for 8. */
static inline void jt_avx2_merge(int nq, const float *mt, const float *lt, float *m, float *l, float *c, float *ct) {
    __m256i lanes = _mm256_cmpgt_epi32(_mm256_set1_epi32(nq), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    __m256 tile = _mm256_loadu_ps(mt), old = _mm256_maskload_ps(m, lanes), top = _mm256_max_ps(tile, old);
    __m256 vc = jt_avx2_exp8(_mm256_sub_ps(old, top)), vct = jt_avx2_exp8(_mm256_sub_ps(tile, top));
    _mm256_maskstore_ps(l, lanes, _mm256_fmadd_ps(_mm256_loadu_ps(lt), vct, _mm256_mul_ps(_mm256_maskload_ps(l, lanes), vc)));
    _mm256_maskstore_ps(m, lanes, top);
    _mm256_storeu_ps(c, vc);
    _mm256_storeu_ps(ct, vct);
}

static inline __m256 jt_avx2_load_halfs(const void *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }

/* 8 quants of 8 bits as floats. */
static inline __m256 jt_avx2_load_bytes(const void *p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}

#endif
