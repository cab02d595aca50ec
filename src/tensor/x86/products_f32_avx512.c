/* products_f32_avx512.c: float32 products with AVX-512, tiles of up to 16 activation rows by 16 outputs. */
#include "tensor/x86/avx512.h"

enum { TILE_F32 = 16, TILE_ALIKE_F32 = 8 };

/* Rows of a tile. Rows whose distance is a multiple of half a page all lie in one or two sets of the first-level cache, which
 * holds eight or twelve lines of a set: sixteen of them drive each other out before their lines are used up. */
JT_INLINE int tile_rows_f32(int cols) { return cols % 512 ? TILE_F32 : TILE_ALIKE_F32; }

/* The 16 weights of column c. */
JT_INLINE __m512 load_weights_avx512(jt_panel_kind kind, const char *panel, size_t c) {
    if (kind == JT_PANEL_F32) return _mm512_loadu_ps(panel + 64 * c);
    __m256i h = _mm256_loadu_si256((const __m256i *)(panel + 32 * c));
    if (kind == JT_PANEL_F16) return _mm512_cvtph_ps(h);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

JT_INLINE void tile_f32_avx512(jt_panel_kind kind, int tile, const char *panel, const float *x, int cols, float *y, int ldy) {
    __m512 acc[TILE_F32];
    JT_UNROLL
    for (int r = 0; r < tile; r++) acc[r] = _mm512_setzero_ps();
    for (size_t c = 0; c < (size_t)cols; c++) {
        __m512 w = load_weights_avx512(kind, panel, c);
        JT_UNROLL
        for (int r = 0; r < tile; r++) acc[r] = _mm512_fmadd_ps(_mm512_set1_ps(x[(size_t)r * (size_t)cols + c]), w, acc[r]);
    }
    JT_UNROLL
    for (int r = 0; r < tile; r++) _mm512_storeu_ps(y + (size_t)r * (size_t)ldy, acc[r]);
}

JT_INLINE void rows_f32_avx512(jt_panel_kind kind, const char *panel, const float *x, int cols, int rows, float *y, int ldy) {
    size_t k = (size_t)cols, ld = (size_t)ldy;
    for (; rows >= TILE_F32 && tile_rows_f32(cols) == TILE_F32; rows -= TILE_F32, x += TILE_F32 * k, y += TILE_F32 * ld)
        tile_f32_avx512(kind, TILE_F32, panel, x, cols, y, ldy);
    for (; rows >= TILE_ALIKE_F32; rows -= TILE_ALIKE_F32, x += TILE_ALIKE_F32 * k, y += TILE_ALIKE_F32 * ld)
        tile_f32_avx512(kind, TILE_ALIKE_F32, panel, x, cols, y, ldy);
    if (rows & 4) tile_f32_avx512(kind, 4, panel, x, cols, y, ldy), x += 4 * k, y += 4 * ld;
    if (rows & 2) tile_f32_avx512(kind, 2, panel, x, cols, y, ldy), x += 2 * k, y += 2 * ld;
    if (rows & 1) tile_f32_avx512(kind, 1, panel, x, cols, y, ldy);
}

void jt_avx512_panel_f32(jt_panel_kind kind, const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy) {
    const float *x = a->x + (size_t)row * (size_t)a->cols;
    switch (kind) {
    case JT_PANEL_F32: rows_f32_avx512(JT_PANEL_F32, panel, x, a->cols, rows, y, ldy); break;
    case JT_PANEL_F16: rows_f32_avx512(JT_PANEL_F16, panel, x, a->cols, rows, y, ldy); break;
    default: rows_f32_avx512(JT_PANEL_BF16, panel, x, a->cols, rows, y, ldy); break;
    }
}
