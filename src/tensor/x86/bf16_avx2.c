/* bf16_avx2.c: products in bfloat16 with fused multiply-adds of AVX2, and rounding to bfloat16.
 *
 * A bfloat16 is the upper half of a float, so that a pair becomes two vectors of floats by a mask and by a shift. Denormals
 * are zero on both sides of an operation, as docs/numbers.md asks: the processor does that while the kernel runs. */
#include "tensor/x86/avx2.h"

/* Tiles of up to 4 rows by 16 outputs: more rows, and the masks, would not fit the registers. */
JT_INLINE void tile_bf16_avx2(int tile, const char *panel, const uint16_t *x, size_t stride, size_t pairs, float *y, size_t ldy) {
    const __m256i high = _mm256_set1_epi32(-65536);
    __m256 acc[4][2];
    JT_UNROLL
    for (int r = 0; r < tile; r++) acc[r][0] = acc[r][1] = _mm256_setzero_ps();
    for (size_t p = 0; p < pairs; p++) {
        __m256i w0 = _mm256_loadu_si256((const __m256i *)(panel + 64 * p)), w1 = _mm256_loadu_si256((const __m256i *)(panel + 64 * p + 32));
        __m256 odd0 = _mm256_castsi256_ps(_mm256_and_si256(w0, high)), odd1 = _mm256_castsi256_ps(_mm256_and_si256(w1, high));
        JT_UNROLL
        for (int r = 0; r < tile; r++) {
            __m256i v = _mm256_castps_si256(_mm256_broadcast_ss((const float *)(const void *)(x + (size_t)r * stride + 2 * p)));
            __m256 odd = _mm256_castsi256_ps(_mm256_and_si256(v, high));
            acc[r][0] = _mm256_fmadd_ps(odd, odd0, acc[r][0]);
            acc[r][1] = _mm256_fmadd_ps(odd, odd1, acc[r][1]);
        }
        __m256 even0 = _mm256_castsi256_ps(_mm256_slli_epi32(w0, 16)), even1 = _mm256_castsi256_ps(_mm256_slli_epi32(w1, 16));
        JT_UNROLL
        for (int r = 0; r < tile; r++) {
            __m256i v = _mm256_castps_si256(_mm256_broadcast_ss((const float *)(const void *)(x + (size_t)r * stride + 2 * p)));
            __m256 even = _mm256_castsi256_ps(_mm256_slli_epi32(v, 16));
            acc[r][0] = _mm256_fmadd_ps(even, even0, acc[r][0]);
            acc[r][1] = _mm256_fmadd_ps(even, even1, acc[r][1]);
        }
    }
    JT_UNROLL
    for (int r = 0; r < tile; r++) {
        _mm256_storeu_ps(y + (size_t)r * ldy, acc[r][0]);
        _mm256_storeu_ps(y + (size_t)r * ldy + 8, acc[r][1]);
    }
}

/* Not inlined: nothing of it may move to where denormals count. */
__attribute__((noinline)) static void rows_bf16_avx2(const char *panel, const uint16_t *x, size_t stride, size_t pairs, int rows, float *y,
                                                     size_t ldy) {
    for (; rows >= 4; rows -= 4, x += 4 * stride, y += 4 * ldy) tile_bf16_avx2(4, panel, x, stride, pairs, y, ldy);
    switch (rows) {
    case 3: tile_bf16_avx2(3, panel, x, stride, pairs, y, ldy); break;
    case 2: tile_bf16_avx2(2, panel, x, stride, pairs, y, ldy); break;
    case 1: tile_bf16_avx2(1, panel, x, stride, pairs, y, ldy); break;
    default: break;
    }
}

void jt_avx2_panel_bf16(const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy) {
    size_t stride = jt_bf16_stride(a->cols);
    unsigned usual = _mm_getcsr();
    _mm_setcsr(usual | JT_X86_FLUSH);
    rows_bf16_avx2(panel, a->b + (size_t)row * stride, stride, ((size_t)a->cols + 1) / 2, rows, y, (size_t)ldy);
    _mm_setcsr(usual);
}

/* Eight floats rounded to bfloat16 in the upper halves; the lower halves are left over. */
JT_INLINE __m256i round_bf16_avx2(__m256 x) {
    __m256i u = _mm256_castps_si256(x), last = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7fff)), last);
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(rounded, _mm256_or_si256(u, _mm256_set1_epi32(0x400000)), nan);
}

/* Eight weights from element i of a panel of floats. */
JT_INLINE __m256 pairs_load_avx2(jt_panel_kind kind, const char *panel, size_t i) {
    if (kind == JT_PANEL_F32) return _mm256_loadu_ps((const float *)(const void *)panel + i);
    __m128i h = _mm_loadu_si128((const __m128i *)(panel + 2 * i));
    if (kind == JT_PANEL_F16) return _mm256_cvtph_ps(h);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

JT_INLINE void pairs_avx2(jt_panel_kind kind, const char *panel, size_t cols, char *out) {
    for (size_t c = 0; c < cols; c += 2, out += 64)
        for (size_t o = 0; o < JT_PANEL; o += 8) {
            __m256i even = _mm256_srli_epi32(round_bf16_avx2(pairs_load_avx2(kind, panel, c * JT_PANEL + o)), 16), odd;
            odd = c + 1 < cols ? round_bf16_avx2(pairs_load_avx2(kind, panel, (c + 1) * JT_PANEL + o)) : _mm256_setzero_si256();
            _mm256_storeu_si256((__m256i *)(out + 4 * o), _mm256_or_si256(even, _mm256_and_si256(odd, _mm256_set1_epi32(-65536))));
        }
}

void jt_avx2_panel_pairs(jt_panel_kind kind, const void *panel, int cols, void *out) {
    switch (kind) {
    case JT_PANEL_F32: pairs_avx2(JT_PANEL_F32, panel, (size_t)cols, out); break;
    case JT_PANEL_F16: pairs_avx2(JT_PANEL_F16, panel, (size_t)cols, out); break;
    default: pairs_avx2(JT_PANEL_BF16, panel, (size_t)cols, out); break;
    }
}

void jt_avx2_to_bf16(const float *x, int n, uint16_t *y) {
    int i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256i a = _mm256_srli_epi32(round_bf16_avx2(_mm256_loadu_ps(x + i)), 16);
        __m256i b = _mm256_srli_epi32(round_bf16_avx2(_mm256_loadu_ps(x + i + 8)), 16);
        _mm256_storeu_si256((__m256i *)(y + i), _mm256_permute4x64_epi64(_mm256_packus_epi32(a, b), 0xd8));
    }
    for (; i < n; i++) y[i] = jt_f32_to_bf16(x[i]);
    if (n % 2) y[n] = 0;
}
