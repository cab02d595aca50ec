/* rows_avx512.c: the kernels on rows whose exponentials profit from 16 lanes. */
#include "tensor/x86/avx512.h"

static inline __mmask16 first_lanes_avx512(int n) { return n >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << n) - 1); }

void jt_avx512_swiglu(const float *g, const float *u, int n, float *y) {
    for (int i = 0; i < n; i += 16) {
        __mmask16 mask = first_lanes_avx512(n - i);
        __m512 vg = _mm512_maskz_loadu_ps(mask, g + i), vu = _mm512_maskz_loadu_ps(mask, u + i);
        __m512 e = jt_avx512_exp16(_mm512_xor_ps(vg, _mm512_set1_ps(-0.0f)));
        _mm512_mask_storeu_ps(y + i, mask, _mm512_mul_ps(_mm512_div_ps(vg, _mm512_add_ps(_mm512_set1_ps(1), e)), vu));
    }
}

void jt_avx512_exp(const float *x, int n, float *y) {
    for (int i = 0; i < n; i += 16) {
        __mmask16 mask = first_lanes_avx512(n - i);
        _mm512_mask_storeu_ps(y + i, mask, jt_avx512_exp16(_mm512_maskz_loadu_ps(mask, x + i)));
    }
}

void jt_avx512_sum_exp(const float *x, int n, float m, double *S, double *T) {
    __m512d a0 = _mm512_setzero_pd(), a1 = a0, b0 = a0, b1 = a0;
    const __m512 top = _mm512_set1_ps(m);
    for (int i = 0; i < n; i += 16) {
        __mmask16 mask = first_lanes_avx512(n - i);
        __m512 z = _mm512_sub_ps(_mm512_maskz_loadu_ps(mask, x + i), top);
        /* Lanes past the end add +0 to sums that are never -0 (S) or are kept by the mask (T). */
        __m512 e = _mm512_maskz_mov_ps(mask, jt_avx512_exp16(z));
        __mmask16 counts = _mm512_mask_cmp_ps_mask(mask, e, _mm512_setzero_ps(), _CMP_NEQ_UQ);
        z = _mm512_maskz_mov_ps(counts, z);
        __m512d e0 = _mm512_cvtps_pd(_mm512_castps512_ps256(e)), e1 = _mm512_cvtps_pd(_mm512_extractf32x8_ps(e, 1));
        __m512d z0 = _mm512_cvtps_pd(_mm512_castps512_ps256(z)), z1 = _mm512_cvtps_pd(_mm512_extractf32x8_ps(z, 1));
        a0 = _mm512_add_pd(a0, e0);
        a1 = _mm512_add_pd(a1, e1);
        b0 = _mm512_mask3_fmadd_pd(e0, z0, b0, (__mmask8)mask);
        b1 = _mm512_mask3_fmadd_pd(e1, z1, b1, (__mmask8)(mask >> 8));
    }
    __m512d sums[2] = {_mm512_add_pd(a0, a1), _mm512_add_pd(b0, b1)};
    double out[2];
    for (int i = 0; i < 2; i++) {
        __m256d h = _mm256_add_pd(_mm512_castpd512_pd256(sums[i]), _mm512_extractf64x4_pd(sums[i], 1));
        __m128d g = _mm_add_pd(_mm256_castpd256_pd128(h), _mm256_extractf128_pd(h, 1));
        out[i] = _mm_cvtsd_f64(_mm_add_sd(g, _mm_unpackhi_pd(g, g)));
    }
    *S = out[0];
    if (T) *T = out[1];
}

int jt_avx512_collect(const float *x, int n, float lo, float hi, int most, int32_t *place, float *value) {
    const __m512 low = _mm512_set1_ps(lo), high = _mm512_set1_ps(hi);
    __m512i at = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    int got = 0;
    for (int i = 0; i < n && got <= most; i += 16, at = _mm512_add_epi32(at, _mm512_set1_epi32(16))) {
        __mmask16 mask = first_lanes_avx512(n - i);
        __m512 v = _mm512_maskz_loadu_ps(mask, x + i);
        mask = _mm512_mask_cmp_ps_mask(_mm512_mask_cmp_ps_mask(mask, v, low, _CMP_GE_OQ), v, high, _CMP_LE_OQ);
        if (!mask) continue;
        _mm512_storeu_ps(value + got, _mm512_maskz_compress_ps(mask, v));
        if (place) _mm512_storeu_si512(place + got, _mm512_maskz_compress_epi32(mask, at));
        got += __builtin_popcount(mask);
    }
    return got <= most ? got : most + 1;
}
