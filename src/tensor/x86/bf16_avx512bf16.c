/* bf16_avx512bf16.c: products in bfloat16 with vdpbf16ps, which multiplies a pair and adds it in one instruction: the odd
 * element first, each sum rounded to nearest even, denormals zero (Intel SDM, VDPBF16PS). */
#include "tensor/peak_loops.h"
#include "tensor/x86/avx512.h"

enum { TILE_DPBF16 = 16, CHAINS_DPBF16 = 12 };

/* A pair of activations in all lanes. */
JT_INLINE __m512bh pair_dpbf16(const uint16_t *x) {
    int32_t pair;
    memcpy(&pair, x, sizeof pair);
    return (__m512bh)_mm512_set1_epi32(pair);
}

JT_INLINE void tile_dpbf16(int tile, const char *panel, const uint16_t *x, size_t stride, size_t pairs, float *y, size_t ldy) {
    __m512 acc[TILE_DPBF16];
    JT_UNROLL
    for (int r = 0; r < tile; r++) acc[r] = _mm512_setzero_ps();
    for (size_t p = 0; p < pairs; p++) {
        __m512bh w = (__m512bh)_mm512_loadu_si512(panel + 64 * p);
        JT_UNROLL
        for (int r = 0; r < tile; r++) acc[r] = _mm512_dpbf16_ps(acc[r], w, pair_dpbf16(x + (size_t)r * stride + 2 * p));
    }
    JT_UNROLL
    for (int r = 0; r < tile; r++) _mm512_storeu_ps(y + (size_t)r * ldy, acc[r]);
}

void jt_avx512bf16_panel_bf16(const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy) {
    size_t stride = jt_bf16_stride(a->cols), pairs = ((size_t)a->cols + 1) / 2, ld = (size_t)ldy;
    const uint16_t *x = a->b + (size_t)row * stride;
    for (; rows >= TILE_DPBF16; rows -= TILE_DPBF16, x += TILE_DPBF16 * stride, y += TILE_DPBF16 * ld)
        tile_dpbf16(TILE_DPBF16, panel, x, stride, pairs, y, ld);
    if (rows & 8) tile_dpbf16(8, panel, x, stride, pairs, y, ld), x += 8 * stride, y += 8 * ld;
    if (rows & 4) tile_dpbf16(4, panel, x, stride, pairs, y, ld), x += 4 * stride, y += 4 * ld;
    if (rows & 2) tile_dpbf16(2, panel, x, stride, pairs, y, ld), x += 2 * stride, y += 2 * ld;
    if (rows & 1) tile_dpbf16(1, panel, x, stride, pairs, y, ld);
}

double jt_peak_loop_bf16_avx512bf16(long rounds) {
    __m512 acc[CHAINS_DPBF16];
    __m512bh w = (__m512bh)_mm512_set1_epi32(0x3f003f00), x = (__m512bh)_mm512_set1_epi32(0x3f803f80);
    JT_UNROLL
    for (int j = 0; j < CHAINS_DPBF16; j++) acc[j] = _mm512_setzero_ps();
    for (long i = 0; i < rounds; i++) {
        JT_UNROLL
        for (int j = 0; j < CHAINS_DPBF16; j++) {
            acc[j] = _mm512_dpbf16_ps(acc[j], w, x);
            JT_KEEP("v", acc[j]);
        }
    }
    return 64.0 * CHAINS_DPBF16 * (double)rounds;
}
