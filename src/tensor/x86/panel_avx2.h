/* panel_avx2.h: the integers and scales of quantised panels in 256-bit vectors. Include only from files compiled for AVX2.
 * A vector holds outputs 8h to 8h + 7 of a panel. */
#ifndef JT_TENSOR_PANEL_AVX2_H
#define JT_TENSOR_PANEL_AVX2_H

#include "tensor/panel.h"
#include "tensor/x86/avx2.h"

/* Group g (0 to 7) of four columns of the block whose integers are at `in`, as unsigned bytes; of eight bits as they lie. */
JT_INLINE __m256i jt_avx2_group(jt_panel_kind kind, const char *in, int g, int h) {
    const jt_panel_facts f = jt_panel_facts_of(kind);
    const __m256i low = _mm256_set1_epi8(15);
    if (f.bits == 8) return _mm256_loadu_si256((const __m256i *)(in + 64 * g + 32 * h));
    __m256i v = _mm256_loadu_si256((const __m256i *)(in + g % 4 * 64 + 32 * h));
    v = _mm256_and_si256(g < 4 ? v : _mm256_srli_epi16(v, 4), low);
    if (f.bits == 4) return v;
    __m256i high = _mm256_loadu_si256((const __m256i *)(in + 256 + (f.bits == 6 ? g / 4 * 64 : 0) + 32 * h));
    int by = f.bits == 5 ? 4 - g : 4 - 2 * (g % 4);
    high = by > 0 ? _mm256_slli_epi16(high, by) : by < 0 ? _mm256_srli_epi16(high, -by) : high;
    return _mm256_or_si256(v, _mm256_and_si256(high, _mm256_set1_epi8(f.bits == 5 ? 0x10 : 0x30)));
}

JT_INLINE __m256 jt_avx2_small(const char *p, bool is_signed) {
    __m128i v = _mm_loadl_epi64((const __m128i *)p);
    return _mm256_cvtepi32_ps(is_signed ? _mm256_cvtepi8_epi32(v) : _mm256_cvtepu8_epi32(v));
}

/* Scales and minima of block j of a group, of both halves where they differ. */
JT_INLINE void jt_avx2_scales(jt_panel_kind kind, const char *group, size_t j, int h, __m256 d[2], __m256 m[2]) {
    const jt_panel_facts f = jt_panel_facts_of(kind);
    const char *small = group + JT_PANEL_K_SCALES + 8 * h, *after = group + f.step;
    m[0] = m[1] = _mm256_setzero_ps();
    if (kind == JT_PANEL_K6) {
        __m256 all = _mm256_loadu_ps((const float *)(const void *)(group + 32 * h));
        d[0] = _mm256_mul_ps(all, jt_avx2_small(small + 32 * j, true));
        d[1] = _mm256_mul_ps(all, jt_avx2_small(small + 32 * j + 16, true));
    } else if (f.k) {
        d[0] = d[1] = _mm256_mul_ps(jt_avx2_load_halfs(group + 16 * h), jt_avx2_small(small + 16 * j, false));
        m[0] = _mm256_mul_ps(jt_avx2_load_halfs(group + JT_PANEL_K_MIN + 16 * h),
                             jt_avx2_small(group + JT_PANEL_K_MINIMA + 16 * j + 8 * h, false));
        m[0] = m[1] = _mm256_xor_ps(m[0], _mm256_set1_ps(-0.0f));
    } else if (f.halves) {
        const float *at = (const float *)(const void *)(after + 32 * h);
        d[0] = _mm256_loadu_ps(at), d[1] = _mm256_loadu_ps(at + 16);
        if (f.minimum) m[0] = _mm256_loadu_ps(at + 32), m[1] = _mm256_loadu_ps(at + 48);
    } else {
        d[0] = d[1] = jt_avx2_load_halfs(after + 16 * h);
        if (f.minimum) m[0] = m[1] = jt_avx2_load_halfs(after + 32 + 16 * h);
    }
}

#endif
