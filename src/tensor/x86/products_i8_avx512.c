/* products_i8_avx512.c: integer products with AVX-512 VNNI.
 *
 * vpdpbusd multiplies unsigned by signed bytes and adds four products to 32
 * bits. Weights are the unsigned side: nibbles as they are, bytes with 128
 * added (the top bit flipped); the bias of jt_acts takes the offset back. One
 * vector is a group of four columns of 16 rows; the eight groups of a block stay
 * in registers while a tile of up to 8 rows of activations passes. */
#include "tensor/x86/avx512.h"

enum { TILE = 8 }; /* with 16, Clang runs out of registers */

JT_INLINE __m512i four_bytes_avx512(const int8_t *p) {
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm512_set1_epi32(v);
}

/* The block's eight groups as unsigned bytes. */
JT_INLINE void load_block_avx512(jt_panel_kind kind, const char *in, __m512i w[8]) {
    const __m512i low = _mm512_set1_epi8(15), flip = _mm512_set1_epi8(-128);
    const int groups = kind == JT_PANEL_I8 ? 8 : 4;
    JT_UNROLL
    for (int g = 0; g < groups; g++) {
        __m512i v = _mm512_loadu_si512(in + 64 * g);
        if (kind == JT_PANEL_I8) {
            w[g] = _mm512_xor_si512(v, flip);
        } else {
            w[g] = _mm512_and_si512(v, low);
            w[4 + g] = _mm512_and_si512(_mm512_srli_epi16(v, 4), low);
        }
    }
}

/* The exact sums of one half (16 columns) of a block. */
JT_INLINE __m512 half_avx512(jt_panel_kind kind, const __m512i w[4], const int8_t *q, const int32_t *bias) {
    __m512i sum = kind == JT_PANEL_I4M ? _mm512_setzero_si512() : _mm512_set1_epi32(*bias);
    JT_UNROLL
    for (int g = 0; g < 4; g++) sum = _mm512_dpbusd_epi32(sum, w[g], four_bytes_avx512(q + 4 * g));
    return _mm512_cvtepi32_ps(sum);
}

/* Lines [first, end) of a block, to come from memory into the second-level cache. */
JT_INLINE void fetch_lines_avx512(const char *in, int first, int end) {
    for (int i = first; i < end; i++) _mm_prefetch(in + 64 * i, _MM_HINT_T1);
}

/* For few rows, which wait for memory alone: the block's lines, to be used soon. Long blocks keep the first-level cache's
 * few buffers free for what comes next. */
JT_INLINE void fetch_soon_avx512(jt_panel_kind kind, const char *in) {
    const int lines = kind == JT_PANEL_I8 ? 9 : 5;
    JT_UNROLL
    for (int i = 0; i < lines; i++) {
        if (kind == JT_PANEL_I8) {
            _mm_prefetch(in + 3072 + 64 * i, _MM_HINT_T1);
            _mm_prefetch(in + 544 + 64 * i, _MM_HINT_T0);
        } else {
            _mm_prefetch(in + 2048 + 64 * i, _MM_HINT_T0);
        }
    }
}

/* `ahead`: from where lines [first, end) of each block are asked for, 0: from right before this panel's next blocks. */
JT_INLINE void tile_i8_avx512(jt_panel_kind kind, int tile, const char *in, size_t ahead, int first, int end, const jt_acts *a, int row,
                              float *y, int ldy) {
    size_t blocks = (size_t)a->cols / 32, at = (size_t)row * blocks;
    size_t quants = kind == JT_PANEL_I8 ? 512 : 256, stride = quants + (kind == JT_PANEL_I4M ? 64 : 32);
    const int8_t *q = a->q + 32 * at;
    const float *d = a->d + 2 * at, *s = a->s + at;
    const int32_t *bias = kind == JT_PANEL_I4M ? NULL : a->bias + 2 * at;
    __m512 acc[TILE];
    JT_UNROLL
    for (int r = 0; r < tile; r++) acc[r] = _mm512_setzero_ps();
    for (size_t b = 0; b < blocks; b++, in += stride) {
        __m512i w[8];
        load_block_avx512(kind, in, w);
        __m512 dw = jt_avx512_load_halfs(in + quants), mw = dw;
        if (kind == JT_PANEL_I4M) mw = jt_avx512_load_halfs(in + quants + 32);
        if (ahead)
            fetch_lines_avx512(in + ahead, first, end);
        else
            fetch_soon_avx512(kind, in);
        JT_UNROLL
        for (int r = 0; r < tile; r++) {
            size_t i = (size_t)r * blocks + b;
            __m512 t = _mm512_mul_ps(_mm512_set1_ps(d[2 * i]), half_avx512(kind, w, q + 32 * i, bias + 2 * i));
            t = _mm512_fmadd_ps(_mm512_set1_ps(d[2 * i + 1]), half_avx512(kind, w + 4, q + 32 * i + 16, bias + 2 * i + 1), t);
            acc[r] = _mm512_fmadd_ps(dw, t, acc[r]);
            if (kind == JT_PANEL_I4M) acc[r] = _mm512_fmadd_ps(mw, _mm512_set1_ps(s[i]), acc[r]);
        }
    }
    JT_UNROLL
    for (int r = 0; r < tile; r++) _mm512_storeu_ps(y + (size_t)r * (size_t)ldy, acc[r]);
}

/* One or two rows wait for memory alone and ask for what they need soon. More rows compute for a while on a panel that is in
 * the cache by then; each tile of them asks for its part of the next panel, so that memory is asked evenly. */
JT_INLINE void panel_i8_avx512(jt_panel_kind kind, const char *panel, const jt_acts *a, int row, int rows, float *y, int ldy) {
    const int lines = kind == JT_PANEL_I8 ? 9 : 5;
    size_t next = (size_t)a->cols / 32 * (kind == JT_PANEL_I8 ? 544 : kind == JT_PANEL_I4M ? 320 : 288);
    int parts = (rows + 4) / TILE, part = 0;
    for (; rows >= TILE; rows -= TILE, row += TILE, y += TILE * (size_t)ldy, part++)
        tile_i8_avx512(kind, TILE, panel, next, part * lines / parts, (part + 1) * lines / parts, a, row, y, ldy);
    if (rows & 4) {
        tile_i8_avx512(kind, 4, panel, next, part * lines / parts, lines, a, row, y, ldy);
        row += 4, y += 4 * (size_t)ldy;
    }
    if (rows & 2) tile_i8_avx512(kind, 2, panel, 0, 0, 0, a, row, y, ldy), row += 2, y += 2 * (size_t)ldy;
    if (rows & 1) tile_i8_avx512(kind, 1, panel, 0, 0, 0, a, row, y, ldy);
}

void jt_avx512_panel_i8(jt_panel_kind kind, const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy) {
    switch (kind) {
    case JT_PANEL_I4: panel_i8_avx512(JT_PANEL_I4, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_I4M: panel_i8_avx512(JT_PANEL_I4M, panel, a, row, rows, y, ldy); break;
    default: panel_i8_avx512(JT_PANEL_I8, panel, a, row, rows, y, ldy); break;
    }
}
