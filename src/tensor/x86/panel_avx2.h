/* panel_avx2.h: the integers and scales of quantised panels in 256-bit vectors. Include only from files compiled for AVX2.
 * A vector holds outputs 8h to 8h + 7 of a panel. */
#ifndef JT_TENSOR_PANEL_AVX2_H
#define JT_TENSOR_PANEL_AVX2_H

#include "tensor/panel.h"
#include "tensor/x86/avx2.h"

/* A vector moved left (or right) by a constant number of bits; what crosses bytes is masked away later. */
JT_INLINE __m256i jt_avx2_shift(__m256i v, int left) {
    return left > 0 ? _mm256_slli_epi16(v, left) : left < 0 ? _mm256_srli_epi16(v, -left) : v;
}

/* The values of a lookup in both halves, as jt_avx2_group gives integers. */
JT_INLINE __m256i jt_avx2_table(jt_panel_kind kind, const char *group) {
    const jt_panel_facts f = jt_panel_facts_of(kind);
    if (!f.lookup) return _mm256_setzero_si256();
    __m256i v = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)jt_panel_table(kind, group)));
    return f.by == -128 ? v : _mm256_sub_epi8(v, _mm256_set1_epi8((char)f.by));
}

/* Group g (0 to 7) of four columns of the block whose integers are at `in`, as unsigned bytes with the offset of the kind; signed
 * where that is 128. */
JT_INLINE __m256i jt_avx2_group(jt_panel_kind kind, __m256i table, const char *in, int g, int h) {
    const jt_panel_facts f = jt_panel_facts_of(kind);
    const __m256i low = _mm256_set1_epi8(15);
    const char *more = in + (f.bits < 4 ? 0 : 256) + 32 * h;
    __m256i v;
    if (f.bits == 8) return _mm256_loadu_si256((const __m256i *)(in + 64 * g + 32 * h));
    if (f.bits < 4) {
        v = jt_avx2_shift(_mm256_loadu_si256((const __m256i *)(more + g / 4 * 64)), -2 * (g % 4));
        v = _mm256_and_si256(v, _mm256_set1_epi8(3));
        more += 128;
    } else {
        v = _mm256_loadu_si256((const __m256i *)(in + g % 4 * 64 + 32 * h));
        v = _mm256_and_si256(g < 4 ? v : _mm256_srli_epi16(v, 4), low);
    }
    if (f.bits == 6) {
        __m256i high = jt_avx2_shift(_mm256_loadu_si256((const __m256i *)(more + g / 4 * 64)), 4 - 2 * (g % 4));
        v = _mm256_or_si256(v, _mm256_and_si256(high, _mm256_set1_epi8(0x30)));
    }
    if (f.bits == 3 || f.bits == 5) {
        __m256i high = jt_avx2_shift(_mm256_loadu_si256((const __m256i *)more), f.bits - 1 - g);
        v = _mm256_or_si256(v, _mm256_and_si256(high, _mm256_set1_epi8((char)(1 << (f.bits - 1)))));
    }
    return f.lookup ? _mm256_shuffle_epi8(table, v) : v;
}

JT_INLINE __m256 jt_avx2_small(const char *p, bool is_signed) {
    __m128i v = _mm_loadl_epi64((const __m128i *)p);
    return _mm256_cvtepi32_ps(is_signed ? _mm256_cvtepi8_epi32(v) : _mm256_cvtepu8_epi32(v));
}

/* Eight scales of MXFP4: 2^(e - 128), below e = 2 a denormal. */
JT_INLINE __m256 jt_avx2_exponents(const char *p) {
    __m256i e = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
    __m256i v = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    __m256i tiny = _mm256_sllv_epi32(_mm256_set1_epi32(0x200000), e);
    return _mm256_castsi256_ps(_mm256_blendv_epi8(v, tiny, _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e)));
}

/* Eight scales of NVFP4: a half with the exponent and the mantissa of four and three bits is 128 times too small. */
JT_INLINE __m256 jt_avx2_small_numbers(const char *p) {
    __m128i e = _mm_cvtepu8_epi16(_mm_loadl_epi64((const __m128i *)p));
    return _mm256_mul_ps(_mm256_cvtph_ps(_mm_slli_epi16(e, 7)), _mm256_set1_ps(128));
}

/* Scales and minima of block j of a group, of both halves where they differ. */
JT_INLINE void jt_avx2_scales(jt_panel_kind kind, const char *group, size_t j, int h, __m256 d[2], __m256 m[2]) {
    const jt_panel_facts f = jt_panel_facts_of(kind);
    const char *small = group + JT_PANEL_K_SCALES + 8 * h, *least = group + jt_panel_minima(f) + 8 * h, *after = group + f.step;
    const size_t parts = (size_t)jt_panel_parts(f);
    m[0] = m[1] = _mm256_setzero_ps();
    if (f.k) {
        __m256 all = jt_avx2_load_halfs(group + 16 * h), min = m[0];
        if (f.minimum)
            min = _mm256_xor_ps(jt_avx2_load_halfs(group + JT_PANEL_K_MIN + 16 * h), _mm256_set1_ps(-0.0f));
        else
            all = _mm256_mul_ps(all, _mm256_broadcast_ss((const float *)(const void *)(group + JT_PANEL_K_UNIT)));
        JT_UNROLL
        for (size_t i = 0; i < parts; i++) {
            size_t at = 16 * (parts * j + i);
            d[i] = kind == JT_PANEL_T2 ? all : _mm256_mul_ps(all, jt_avx2_small(small + at, !f.minimum));
            if (f.minimum) m[i] = _mm256_mul_ps(min, jt_avx2_small(least + at, false));
        }
        if (parts == 1) d[1] = d[0], m[1] = m[0];
    } else if (kind == JT_PANEL_L4E) {
        d[0] = d[1] = jt_avx2_exponents(after + 8 * h);
    } else if (kind == JT_PANEL_L4N) {
        d[0] = jt_avx2_small_numbers(after + 8 * h);
        d[1] = jt_avx2_small_numbers(after + 16 + 8 * h);
    } else {
        d[0] = d[1] = jt_avx2_load_halfs(after + 16 * h);
        if (f.minimum) m[0] = m[1] = jt_avx2_load_halfs(after + 32 + 16 * h);
    }
}

#endif
