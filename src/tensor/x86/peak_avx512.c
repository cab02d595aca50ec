/* peak_avx512.c: measuring loops for AVX-512 with VNNI. */
#include <immintrin.h>

#include "tensor/peak_loops.h"
#include "tensor/unroll.h"

enum { CHAINS_AVX512 = 12 };

double jt_peak_loop_int8_avx512(long rounds) {
    __m512i acc[CHAINS_AVX512], w = _mm512_set1_epi8(3), q = _mm512_set1_epi8(-5);
    JT_UNROLL
    for (int j = 0; j < CHAINS_AVX512; j++) acc[j] = _mm512_setzero_si512();
    for (long i = 0; i < rounds; i++) {
        JT_UNROLL
        for (int j = 0; j < CHAINS_AVX512; j++) {
            acc[j] = _mm512_dpbusd_epi32(acc[j], w, q);
            JT_KEEP("v", acc[j]);
        }
    }
    return 128.0 * CHAINS_AVX512 * (double)rounds;
}

double jt_peak_loop_float_avx512(long rounds) {
    __m512 acc[CHAINS_AVX512], w = _mm512_set1_ps(0.5f), x = _mm512_set1_ps(1);
    JT_UNROLL
    for (int j = 0; j < CHAINS_AVX512; j++) acc[j] = x;
    for (long i = 0; i < rounds; i++) {
        JT_UNROLL
        for (int j = 0; j < CHAINS_AVX512; j++) {
            acc[j] = _mm512_fmadd_ps(acc[j], w, x);
            JT_KEEP("v", acc[j]);
        }
    }
    return 32.0 * CHAINS_AVX512 * (double)rounds;
}

uint64_t jt_read_loop_avx512(const void *p, size_t bytes) {
    const char *at = p;
    __m512i sum[4];
    JT_UNROLL
    for (int j = 0; j < 4; j++) sum[j] = _mm512_setzero_si512();
    for (size_t i = 0; i + 256 <= bytes; i += 256) {
        JT_UNROLL
        for (int j = 0; j < 4; j++) _mm_prefetch(at + i + 64 * j + 2048, _MM_HINT_T0);
        JT_UNROLL
        for (int j = 0; j < 4; j++) sum[j] = _mm512_add_epi64(sum[j], _mm512_loadu_si512(at + i + 64 * j));
    }
    uint64_t all[8], x = 0;
    _mm512_storeu_si512(all, _mm512_add_epi64(_mm512_add_epi64(sum[0], sum[1]), _mm512_add_epi64(sum[2], sum[3])));
    for (int j = 0; j < 8; j++) x ^= all[j];
    return x;
}
