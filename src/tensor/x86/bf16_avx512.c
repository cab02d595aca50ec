/* bf16_avx512.c: products in bfloat16 with fused multiply-adds of AVX-512: see bf16_avx2.c. */
#include "tensor/x86/avx512.h"

enum { TILE_BF16_AVX512 = 16 };

JT_INLINE void tile_bf16_avx512(int tile, const char *panel, const uint16_t *x, size_t stride, size_t pairs, float *y, size_t ldy) {
    const __m512i high = _mm512_set1_epi32(-65536);
    __m512 acc[TILE_BF16_AVX512];
    JT_UNROLL
    for (int r = 0; r < tile; r++) acc[r] = _mm512_setzero_ps();
    for (size_t p = 0; p < pairs; p++) {
        __m512i w = _mm512_loadu_si512(panel + 64 * p);
        __m512 odd = _mm512_castsi512_ps(_mm512_and_si512(w, high)), even = _mm512_castsi512_ps(_mm512_slli_epi32(w, 16));
        JT_UNROLL
        for (int r = 0; r < tile; r++) {
            int32_t pair;
            memcpy(&pair, x + (size_t)r * stride + 2 * p, sizeof pair);
            __m512i v = _mm512_set1_epi32(pair);
            acc[r] = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(v, high)), odd, acc[r]);
            acc[r] = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(v, 16)), even, acc[r]);
        }
    }
    JT_UNROLL
    for (int r = 0; r < tile; r++) _mm512_storeu_ps(y + (size_t)r * ldy, acc[r]);
}

/* Not inlined: nothing of it may move to where denormals count. */
__attribute__((noinline)) static void rows_bf16_avx512(const char *panel, const uint16_t *x, size_t stride, size_t pairs, int rows,
                                                       float *y, size_t ldy) {
    for (; rows >= TILE_BF16_AVX512; rows -= TILE_BF16_AVX512, x += TILE_BF16_AVX512 * stride, y += TILE_BF16_AVX512 * ldy)
        tile_bf16_avx512(TILE_BF16_AVX512, panel, x, stride, pairs, y, ldy);
    if (rows & 8) tile_bf16_avx512(8, panel, x, stride, pairs, y, ldy), x += 8 * stride, y += 8 * ldy;
    if (rows & 4) tile_bf16_avx512(4, panel, x, stride, pairs, y, ldy), x += 4 * stride, y += 4 * ldy;
    if (rows & 2) tile_bf16_avx512(2, panel, x, stride, pairs, y, ldy), x += 2 * stride, y += 2 * ldy;
    if (rows & 1) tile_bf16_avx512(1, panel, x, stride, pairs, y, ldy);
}

void jt_avx512_panel_bf16(const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy) {
    size_t stride = jt_bf16_stride(a->cols);
    unsigned usual = _mm_getcsr();
    _mm_setcsr(usual | JT_X86_FLUSH);
    rows_bf16_avx512(panel, a->b + (size_t)row * stride, stride, ((size_t)a->cols + 1) / 2, rows, y, (size_t)ldy);
    _mm_setcsr(usual);
}
