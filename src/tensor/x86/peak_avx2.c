/* peak_avx2.c: measuring loops for AVX2. The integer loop is maddubs, madd and a 32-bit addition, which holds for bytes of
 * any value; sums in 16 bits, where the range allows them, may lie above it. */
#include <immintrin.h>

#include "tensor/peak_loops.h"
#include "tensor/unroll.h"

enum { CHAINS_AVX2 = 10 };

double jt_peak_loop_int8_avx2(long rounds) {
    __m256i acc[CHAINS_AVX2], w = _mm256_set1_epi8(3), q = _mm256_set1_epi8(-5), ones = _mm256_set1_epi16(1);
    JT_UNROLL
    for (int j = 0; j < CHAINS_AVX2; j++) acc[j] = _mm256_setzero_si256();
    for (long i = 0; i < rounds; i++) {
        JT_UNROLL
        for (int j = 0; j < CHAINS_AVX2; j++) {
            JT_KEEP("x", q); /* else one product, made before the loop, serves all */
            __m256i product = _mm256_madd_epi16(_mm256_maddubs_epi16(w, q), ones);
            JT_KEEP("x", product);
            acc[j] = _mm256_add_epi32(acc[j], product);
            JT_KEEP("x", acc[j]);
        }
    }
    return 64.0 * CHAINS_AVX2 * (double)rounds;
}

double jt_peak_loop_float_avx2(long rounds) {
    __m256 acc[CHAINS_AVX2], w = _mm256_set1_ps(0.5f), x = _mm256_set1_ps(1);
    JT_UNROLL
    for (int j = 0; j < CHAINS_AVX2; j++) acc[j] = x;
    for (long i = 0; i < rounds; i++) {
        JT_UNROLL
        for (int j = 0; j < CHAINS_AVX2; j++) {
            acc[j] = _mm256_fmadd_ps(acc[j], w, x);
            JT_KEEP("x", acc[j]);
        }
    }
    return 16.0 * CHAINS_AVX2 * (double)rounds;
}

uint64_t jt_read_loop_avx2(const void *p, size_t bytes) {
    const char *at = p;
    __m256i sum[4];
    JT_UNROLL
    for (int j = 0; j < 4; j++) sum[j] = _mm256_setzero_si256();
    for (size_t i = 0; i + 128 <= bytes; i += 128) {
        _mm_prefetch(at + i + 2048, _MM_HINT_T0);
        _mm_prefetch(at + i + 2048 + 64, _MM_HINT_T0);
        JT_UNROLL
        for (int j = 0; j < 4; j++) sum[j] = _mm256_add_epi64(sum[j], _mm256_loadu_si256((const __m256i *)(at + i + 32 * j)));
    }
    __m256i all = _mm256_add_epi64(_mm256_add_epi64(sum[0], sum[1]), _mm256_add_epi64(sum[2], sum[3]));
    return (uint64_t)_mm256_extract_epi64(all, 0) ^ (uint64_t)_mm256_extract_epi64(all, 1) ^ (uint64_t)_mm256_extract_epi64(all, 2) ^
           (uint64_t)_mm256_extract_epi64(all, 3);
}
