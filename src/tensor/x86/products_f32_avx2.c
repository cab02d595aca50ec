/* products_f32_avx2.c: float32 products with AVX2, tiles of up to 6 activation rows by 16 outputs in registers. */
#include "tensor/x86/panel_avx2.h"

/* Eight weights from element i of a panel of floats. */
JT_INLINE __m256 load_weights_avx2(jt_panel_kind kind, const char *panel, size_t i) {
    if (kind == JT_PANEL_F32) return _mm256_loadu_ps((const float *)panel + i);
    __m128i h = _mm_loadu_si128((const __m128i *)(panel + 2 * i));
    if (kind == JT_PANEL_F16) return _mm256_cvtph_ps(h);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

JT_INLINE void tile_f32_avx2(jt_panel_kind kind, int tile, const char *panel, const float *x, int cols, float *y, int ldy) {
    __m256 acc[6][2];
    JT_UNROLL
    for (int r = 0; r < tile; r++) acc[r][0] = acc[r][1] = _mm256_setzero_ps();
    for (int c = 0; c < cols; c++) {
        __m256 w0 = load_weights_avx2(kind, panel, (size_t)c * JT_PANEL), w1 = load_weights_avx2(kind, panel, (size_t)c * JT_PANEL + 8);
        JT_UNROLL
        for (int r = 0; r < tile; r++) {
            __m256 v = _mm256_broadcast_ss(x + (size_t)r * (size_t)cols + c);
            acc[r][0] = _mm256_fmadd_ps(v, w0, acc[r][0]);
            acc[r][1] = _mm256_fmadd_ps(v, w1, acc[r][1]);
        }
    }
    JT_UNROLL
    for (int r = 0; r < tile; r++) {
        _mm256_storeu_ps(y + (size_t)r * (size_t)ldy, acc[r][0]);
        _mm256_storeu_ps(y + (size_t)r * (size_t)ldy + 8, acc[r][1]);
    }
}

JT_INLINE void rows_f32_avx2(jt_panel_kind kind, const char *panel, const float *x, int cols, int rows, float *y, int ldy) {
    for (; rows >= 6; rows -= 6, x += 6 * (size_t)cols, y += 6 * (size_t)ldy) tile_f32_avx2(kind, 6, panel, x, cols, y, ldy);
    switch (rows) {
    case 5: tile_f32_avx2(kind, 5, panel, x, cols, y, ldy); break;
    case 4: tile_f32_avx2(kind, 4, panel, x, cols, y, ldy); break;
    case 3: tile_f32_avx2(kind, 3, panel, x, cols, y, ldy); break;
    case 2: tile_f32_avx2(kind, 2, panel, x, cols, y, ldy); break;
    case 1: tile_f32_avx2(kind, 1, panel, x, cols, y, ldy); break;
    default: break;
    }
}

void jt_avx2_panel_f32(jt_panel_kind kind, const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy) {
    const float *x = a->x + (size_t)row * (size_t)a->cols;
    switch (kind) {
    case JT_PANEL_F32: rows_f32_avx2(JT_PANEL_F32, panel, x, a->cols, rows, y, ldy); break;
    case JT_PANEL_F16: rows_f32_avx2(JT_PANEL_F16, panel, x, a->cols, rows, y, ldy); break;
    default: rows_f32_avx2(JT_PANEL_BF16, panel, x, a->cols, rows, y, ldy); break;
    }
}

/* Eight bytes, widened, times the scales, plus the minima if there are some. */
JT_INLINE void expand8_avx2(__m256i q, __m256 d, __m256 m, bool minimum, float *out) {
    __m256 v = _mm256_mul_ps(d, _mm256_cvtepi32_ps(q));
    if (minimum) v = _mm256_add_ps(v, m);
    _mm256_storeu_ps(out, v);
}

/* A vector of a panel holds eight rows in lanes of four bytes, which are four columns. */
JT_INLINE void expand_vector_avx2(jt_panel_facts f, __m256i v, __m256 d, __m256 m, float *out) {
    JT_UNROLL
    for (int j = 0; j < 4; j++) {
        __m256i byte = _mm256_srai_epi32(_mm256_slli_epi32(v, 24 - 8 * j), 24);
        if (f.by < 0 && f.by != -128) byte = _mm256_add_epi32(byte, _mm256_set1_epi32(f.by));
        expand8_avx2(byte, d, m, f.minimum, out + j * JT_PANEL);
    }
}

JT_INLINE void expand_avx2(jt_panel_kind kind, const char *in, int cols, float *out) {
    const jt_panel_facts f = jt_panel_facts_of(kind);
    for (size_t b = 0; b < (size_t)cols / 32; b++, out += 32 * JT_PANEL)
        for (int h = 0; h < 2; h++) {
            __m256 d[2], m[2];
            const char *group = in + jt_panel_group(f, b);
            const __m256i table = jt_avx2_table(kind, group);
            jt_avx2_scales(kind, group, b % (size_t)f.blocks, h, d, m);
            JT_UNROLL
            for (int g = 0; g < 8; g++)
                expand_vector_avx2(f, jt_avx2_group(kind, table, in + jt_panel_codes(f, b), g, h), d[g / 4], m[g / 4],
                                   out + 4 * g * JT_PANEL + 8 * h);
        }
}

void jt_avx2_panel_expand(jt_panel_kind kind, const void *panel, int cols, float *out) {
    switch (kind) {
    case JT_PANEL_I4: expand_avx2(JT_PANEL_I4, panel, cols, out); break;
    case JT_PANEL_I4M: expand_avx2(JT_PANEL_I4M, panel, cols, out); break;
    case JT_PANEL_I5: expand_avx2(JT_PANEL_I5, panel, cols, out); break;
    case JT_PANEL_I5M: expand_avx2(JT_PANEL_I5M, panel, cols, out); break;
    case JT_PANEL_L4: expand_avx2(JT_PANEL_L4, panel, cols, out); break;
    case JT_PANEL_L4E: expand_avx2(JT_PANEL_L4E, panel, cols, out); break;
    case JT_PANEL_L4N: expand_avx2(JT_PANEL_L4N, panel, cols, out); break;
    case JT_PANEL_K2: expand_avx2(JT_PANEL_K2, panel, cols, out); break;
    case JT_PANEL_K3: expand_avx2(JT_PANEL_K3, panel, cols, out); break;
    case JT_PANEL_K4: expand_avx2(JT_PANEL_K4, panel, cols, out); break;
    case JT_PANEL_K5: expand_avx2(JT_PANEL_K5, panel, cols, out); break;
    case JT_PANEL_K6: expand_avx2(JT_PANEL_K6, panel, cols, out); break;
    case JT_PANEL_T2: expand_avx2(JT_PANEL_T2, panel, cols, out); break;
    case JT_PANEL_KL4: expand_avx2(JT_PANEL_KL4, panel, cols, out); break;
    case JT_PANEL_KL3: expand_avx2(JT_PANEL_KL3, panel, cols, out); break;
    case JT_PANEL_KL3H: expand_avx2(JT_PANEL_KL3H, panel, cols, out); break;
    default: expand_avx2(JT_PANEL_I8, panel, cols, out); break;
    }
}
