/* products_i8_avx512.c: integer products with AVX-512 VNNI.
 *
 * vpdpbusd multiplies unsigned by signed bytes and adds four products to 32
 * bits. Weights are the unsigned side: up to 6 bits as they are, bytes with 128
 * added (the top bit flipped); the bias of jt_acts takes the offset back. One
 * vector is a group of four columns of 16 rows; the eight groups of a block stay
 * in registers while a tile of up to 8 rows of activations passes. */
#include "tensor/panel.h"
#include "tensor/x86/avx512.h"

enum { TILE = 8, PAIR = 2 }; /* rows, with 16 of which Clang runs out of registers; panels */

JT_INLINE __m512i four_bytes_avx512(const int8_t *p) {
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm512_set1_epi32(v);
}

/* Bits 4 and up of six-bit integers: v holds two of each of four groups. */
JT_INLINE void add_pairs_avx512(__m512i v, __m512i w[4]) {
    const __m512i mask = _mm512_set1_epi8(0x30);
    enum { merge = 0xf8 }; /* w | (v & mask) */
    w[0] = _mm512_ternarylogic_epi32(w[0], _mm512_slli_epi16(v, 4), mask, merge);
    w[1] = _mm512_ternarylogic_epi32(w[1], _mm512_slli_epi16(v, 2), mask, merge);
    w[2] = _mm512_ternarylogic_epi32(w[2], v, mask, merge);
    w[3] = _mm512_ternarylogic_epi32(w[3], _mm512_srli_epi16(v, 2), mask, merge);
}

/* Bit 4 of five-bit integers: v holds one of each of eight groups. */
JT_INLINE void add_bits_avx512(__m512i v, __m512i w[8]) {
    const __m512i mask = _mm512_set1_epi8(0x10);
    enum { merge = 0xf8 };
    w[0] = _mm512_ternarylogic_epi32(w[0], _mm512_slli_epi16(v, 4), mask, merge);
    w[1] = _mm512_ternarylogic_epi32(w[1], _mm512_slli_epi16(v, 3), mask, merge);
    w[2] = _mm512_ternarylogic_epi32(w[2], _mm512_slli_epi16(v, 2), mask, merge);
    w[3] = _mm512_ternarylogic_epi32(w[3], _mm512_slli_epi16(v, 1), mask, merge);
    w[4] = _mm512_ternarylogic_epi32(w[4], v, mask, merge);
    w[5] = _mm512_ternarylogic_epi32(w[5], _mm512_srli_epi16(v, 1), mask, merge);
    w[6] = _mm512_ternarylogic_epi32(w[6], _mm512_srli_epi16(v, 2), mask, merge);
    w[7] = _mm512_ternarylogic_epi32(w[7], _mm512_srli_epi16(v, 3), mask, merge);
}

/* Bit 2 of three-bit integers, as above. */
JT_INLINE void add_thirds_avx512(__m512i v, __m512i w[8]) {
    const __m512i mask = _mm512_set1_epi8(4);
    enum { merge = 0xf8 };
    w[0] = _mm512_ternarylogic_epi32(w[0], _mm512_slli_epi16(v, 2), mask, merge);
    w[1] = _mm512_ternarylogic_epi32(w[1], _mm512_slli_epi16(v, 1), mask, merge);
    w[2] = _mm512_ternarylogic_epi32(w[2], v, mask, merge);
    w[3] = _mm512_ternarylogic_epi32(w[3], _mm512_srli_epi16(v, 1), mask, merge);
    w[4] = _mm512_ternarylogic_epi32(w[4], _mm512_srli_epi16(v, 2), mask, merge);
    w[5] = _mm512_ternarylogic_epi32(w[5], _mm512_srli_epi16(v, 3), mask, merge);
    w[6] = _mm512_ternarylogic_epi32(w[6], _mm512_srli_epi16(v, 4), mask, merge);
    w[7] = _mm512_ternarylogic_epi32(w[7], _mm512_srli_epi16(v, 5), mask, merge);
}

/* Two-bit integers: v holds one of each of four groups. */
JT_INLINE void take_pairs_avx512(__m512i v, __m512i w[4]) {
    const __m512i mask = _mm512_set1_epi8(3);
    w[0] = _mm512_and_si512(v, mask);
    w[1] = _mm512_and_si512(_mm512_srli_epi16(v, 2), mask);
    w[2] = _mm512_and_si512(_mm512_srli_epi16(v, 4), mask);
    w[3] = _mm512_and_si512(_mm512_srli_epi16(v, 6), mask);
}

/* The block's eight groups as unsigned bytes. */
JT_INLINE void load_block_avx512(jt_panel_kind kind, __m512i table, const char *in, __m512i w[8]) {
    const __m512i low = _mm512_set1_epi8(15), flip = _mm512_set1_epi8(-128);
    const jt_panel_facts f = jt_panel_facts_of(kind);
    if (f.bits == 8) {
        JT_UNROLL
        for (int g = 0; g < 8; g++) {
            w[g] = _mm512_loadu_si512(in + 64 * g);
            if (f.by < 0) w[g] = _mm512_xor_si512(w[g], flip);
        }
        return;
    }
    if (f.bits < 4) {
        take_pairs_avx512(_mm512_loadu_si512(in), w);
        take_pairs_avx512(_mm512_loadu_si512(in + 64), w + 4);
        if (f.bits == 3) add_thirds_avx512(_mm512_loadu_si512(in + 128), w);
    } else {
        JT_UNROLL
        for (int g = 0; g < 4; g++) {
            __m512i v = _mm512_loadu_si512(in + 64 * g);
            w[g] = _mm512_and_si512(v, low);
            w[4 + g] = _mm512_and_si512(_mm512_srli_epi16(v, 4), low);
        }
    }
    if (f.bits == 5) add_bits_avx512(_mm512_loadu_si512(in + 256), w);
    if (f.bits == 6) {
        add_pairs_avx512(_mm512_loadu_si512(in + 256), w);
        add_pairs_avx512(_mm512_loadu_si512(in + 320), w + 4);
    }
    if (!f.lookup) return;
    JT_UNROLL
    for (int g = 0; g < 8; g++) w[g] = _mm512_shuffle_epi8(table, w[g]);
}

/* 16 small integers, signed or not, as floats. */
JT_INLINE __m512 small_avx512(const char *p, bool is_signed) {
    __m128i v = _mm_loadu_si128((const __m128i *)p);
    return _mm512_cvtepi32_ps(is_signed ? _mm512_cvtepi8_epi32(v) : _mm512_cvtepu8_epi32(v));
}

/* The scales of MXFP4 and NVFP4: see panel_avx2.h. */
JT_INLINE __m512 exponents_avx512(const char *p) {
    __m512i e = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
    __m512i v = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
    __mmask16 tiny = _mm512_cmplt_epi32_mask(e, _mm512_set1_epi32(2));
    return _mm512_castsi512_ps(_mm512_mask_sllv_epi32(v, tiny, _mm512_set1_epi32(0x200000), e));
}
JT_INLINE __m512 small_numbers_avx512(const char *p) {
    __m256i e = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)p));
    return _mm512_mul_ps(_mm512_cvtph_ps(_mm256_slli_epi16(e, 7)), _mm512_set1_ps(128));
}

/* What a group of k kinds has for all its blocks, and the values of a lookup, unsigned. */
typedef struct header_avx512 {
    __m512 d, m;
    __m512i table;
} header_avx512;

JT_INLINE header_avx512 header_of_avx512(jt_panel_kind kind, const char *group) {
    const jt_panel_facts f = jt_panel_facts_of(kind);
    header_avx512 h = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_si512()};
    if (f.lookup) {
        __m128i values = _mm_loadu_si128((const __m128i *)(const void *)jt_panel_table(kind, group));
        h.table = _mm512_broadcast_i32x4(_mm_sub_epi8(values, _mm_set1_epi8((char)f.by)));
    }
    if (f.k) {
        h.d = jt_avx512_load_halfs(group);
        if (f.minimum)
            h.m = _mm512_xor_ps(jt_avx512_load_halfs(group + JT_PANEL_K_MIN), _mm512_set1_ps(-0.0f));
        else
            h.d = _mm512_mul_ps(h.d, _mm512_set1_ps(*(const float *)(const void *)(group + JT_PANEL_K_UNIT)));
    }
    return h;
}

/* Scales and minima of block j of a group, of both halves where they differ. */
JT_INLINE void scales_avx512(jt_panel_kind kind, const char *group, header_avx512 h, size_t j, __m512 d[2], __m512 m[2]) {
    const jt_panel_facts f = jt_panel_facts_of(kind);
    const char *small = group + JT_PANEL_K_SCALES, *least = group + jt_panel_minima(f), *after = group + f.step;
    const size_t parts = (size_t)jt_panel_parts(f);
    if (kind == JT_PANEL_T2) {
        d[0] = h.d;
    } else if (f.k) {
        JT_UNROLL
        for (size_t i = 0; i < parts; i++) {
            size_t at = 16 * (parts * j + i);
            d[i] = _mm512_mul_ps(h.d, small_avx512(small + at, !f.minimum));
            if (f.minimum) m[i] = _mm512_mul_ps(h.m, small_avx512(least + at, false));
        }
    } else if (kind == JT_PANEL_L4E) {
        d[0] = exponents_avx512(after);
    } else if (kind == JT_PANEL_L4N) {
        d[0] = small_numbers_avx512(after), d[1] = small_numbers_avx512(after + 16);
    } else {
        d[0] = jt_avx512_load_halfs(after);
        if (f.minimum) m[0] = jt_avx512_load_halfs(after + 32);
    }
}

/* A value that several instructions take is loaded once, and not by each of them from memory. */
JT_INLINE __m512i kept_avx512(__m512i x) {
    __asm__("" : "+v"(x));
    return x;
}

/* The exact sums of one half (16 columns) of a block of each panel. */
JT_INLINE void half_avx512(jt_panel_kind kind, int panels, const __m512i w[][8], const int8_t *q, const int32_t *bias, int half,
                           __m512 out[]) {
    const bool biased = jt_panel_facts_of(kind).by < 0;
    __m512i sum[PAIR], first = _mm512_setzero_si512();
    if (biased) {
        JT_GIVEN(bias);
        first = _mm512_set1_epi32(bias[half]);
    }
    JT_UNROLL
    for (int p = 0; p < panels; p++) sum[p] = first;
    JT_UNROLL
    for (int g = 4 * half; g < 4 * half + 4; g++) {
        __m512i x = four_bytes_avx512(q + 4 * g);
        if (panels > 1) x = kept_avx512(x);
        JT_UNROLL
        for (int p = 0; p < panels; p++) sum[p] = _mm512_dpbusd_epi32(sum[p], w[p][g], x);
    }
    JT_UNROLL
    for (int p = 0; p < panels; p++) out[p] = _mm512_cvtepi32_ps(sum[p]);
}

/* One block of one row, of each panel: the order of docs/numbers.md. */
JT_INLINE void block_avx512(jt_panel_kind kind, int panels, const __m512i w[][8], const __m512 dw[][2], const __m512 mw[][2],
                            const int8_t *q, const float *d, const float *s, const int32_t *bias, __m512 acc[]) {
    const jt_panel_facts f = jt_panel_facts_of(kind);
    __m512 t[PAIR], x[PAIR], d0 = _mm512_set1_ps(d[0]), d1 = _mm512_set1_ps(d[1]);
    half_avx512(kind, panels, w, q, bias, 0, t);
    half_avx512(kind, panels, w, q, bias, 1, x);
    JT_UNROLL
    for (int p = 0; p < panels; p++) {
        t[p] = _mm512_mul_ps(d0, t[p]);
        if (f.halves) {
            acc[p] = _mm512_fmadd_ps(dw[p][0], t[p], acc[p]);
            t[p] = _mm512_mul_ps(d1, x[p]);
            acc[p] = _mm512_fmadd_ps(dw[p][f.apart], t[p], acc[p]);
        } else {
            t[p] = _mm512_fmadd_ps(d1, x[p], t[p]);
            acc[p] = _mm512_fmadd_ps(dw[p][0], t[p], acc[p]);
        }
        if (!f.minimum) continue;
        if (f.halves) {
            JT_GIVEN(bias);
            acc[p] = _mm512_fmadd_ps(mw[p][0], _mm512_set1_ps(d[0] * (float)bias[0]), acc[p]);
            acc[p] = _mm512_fmadd_ps(mw[p][1], _mm512_set1_ps(d[1] * (float)bias[1]), acc[p]);
        } else {
            acc[p] = _mm512_fmadd_ps(mw[p][0], _mm512_set1_ps(*s), acc[p]);
        }
    }
}

/* Lines [first, end) of a block, to come from memory into the second-level cache. */
JT_INLINE void fetch_lines_avx512(const char *in, int first, int end) {
    for (int i = first; i < end; i++) _mm_prefetch(in + 64 * i, _MM_HINT_T1);
}

/* For few rows, which wait for memory alone: the block's lines, to be used soon. Long blocks keep the first-level cache's
 * few buffers free for what comes next. */
JT_INLINE void fetch_soon_avx512(jt_panel_kind kind, const char *in) {
    const jt_panel_facts f = jt_panel_facts_of(kind);
    const int lines = jt_panel_lines(f);
    JT_UNROLL
    for (int i = 0; i < lines; i++) {
        if (f.bits == 8) {
            _mm_prefetch(in + 3072 + 64 * i, _MM_HINT_T1);
            _mm_prefetch(in + jt_panel_stride(f) + 64 * i, _MM_HINT_T0);
        } else {
            _mm_prefetch(in + 2048 + 64 * i, _MM_HINT_T0);
        }
    }
}

/* Panels that follow each other by `second` bytes. `ahead`: from where lines [first, end) of each block are asked for, 0: from
 * right before this panel's next blocks. */
JT_INLINE void tile_i8_avx512(jt_panel_kind kind, int panels, int tile, const char *panel, size_t second, size_t ahead, int first, int end,
                              const jt_acts *a, int row, float *y, int ldy) {
    const jt_panel_facts f = jt_panel_facts_of(kind);
    size_t blocks = (size_t)a->cols / 32, at = (size_t)row * blocks, per = (size_t)f.blocks;
    const int8_t *q = a->q + 32 * at;
    const float *d = a->d + 2 * at, *s = a->s + at;
    const int32_t *bias = f.by ? a->bias + 2 * at : NULL;
    const char *near = panel;
    header_avx512 header[PAIR];
    __m512 acc[TILE][PAIR];
    JT_UNROLL
    for (int p = 0; p < panels; p++) header[p] = header_of_avx512(kind, panel + (size_t)p * second);
    JT_UNROLL
    for (int r = 0; r < tile; r++) JT_UNROLL
    for (int p = 0; p < panels; p++) acc[r][p] = _mm512_setzero_ps();
    for (size_t b = 0; b < blocks; b++, near += jt_panel_stride(f)) {
        const char *group = panel + jt_panel_group(f, b), *codes = panel + jt_panel_codes(f, b);
        __m512i w[PAIR][8];
        __m512 dw[PAIR][2], mw[PAIR][2];
        JT_UNROLL
        for (int p = 0; p < panels; p++) {
            if (f.k && b && b % per == 0) header[p] = header_of_avx512(kind, group + (size_t)p * second);
            load_block_avx512(kind, header[p].table, codes + (size_t)p * second, w[p]);
            scales_avx512(kind, group + (size_t)p * second, header[p], b % per, dw[p], mw[p]);
        }
        for (int p = 0; ahead && p < panels; p++) fetch_lines_avx512(near + ahead + (size_t)p * second, first, end);
        if (!ahead) fetch_soon_avx512(kind, near);
        JT_UNROLL
        for (int r = 0; r < tile; r++) {
            size_t i = (size_t)r * blocks + b;
            block_avx512(kind, panels, w, dw, mw, q + 32 * i, d + 2 * i, s + i, f.by ? bias + 2 * i : NULL, acc[r]);
        }
    }
    JT_UNROLL
    for (int r = 0; r < tile; r++) JT_UNROLL
    for (int p = 0; p < panels; p++) _mm512_storeu_ps(y + (size_t)r * (size_t)ldy + JT_PANEL * p, acc[r][p]);
}

/* One or two rows wait for memory alone and ask for what they need soon. More rows compute for a while on a panel that is in
 * the cache by then; each tile of them asks for its part of the next panel, so that memory is asked evenly. */
JT_INLINE void panel_i8_avx512(jt_panel_kind kind, const char *panel, const jt_acts *a, int row, int rows, float *y, int ldy) {
    const int lines = jt_panel_lines(jt_panel_facts_of(kind));
    size_t next = jt_panel_group(jt_panel_facts_of(kind), (size_t)a->cols / 32);
    int parts = (rows + 4) / TILE, part = 0;
    for (; rows >= TILE; rows -= TILE, row += TILE, y += TILE * (size_t)ldy, part++)
        tile_i8_avx512(kind, 1, TILE, panel, 0, next, part * lines / parts, (part + 1) * lines / parts, a, row, y, ldy);
    if (rows & 4) {
        tile_i8_avx512(kind, 1, 4, panel, 0, next, part * lines / parts, lines, a, row, y, ldy);
        row += 4, y += 4 * (size_t)ldy;
    }
    if (rows & 2) tile_i8_avx512(kind, 1, 2, panel, 0, 0, 0, 0, a, row, y, ldy), row += 2, y += 2 * (size_t)ldy;
    if (rows & 1) tile_i8_avx512(kind, 1, 1, panel, 0, 0, 0, 0, a, row, y, ldy);
}

void jt_avx512_panel_i8(jt_panel_kind kind, const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy) {
    switch (kind) {
    case JT_PANEL_I4: panel_i8_avx512(JT_PANEL_I4, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_I4M: panel_i8_avx512(JT_PANEL_I4M, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_I5: panel_i8_avx512(JT_PANEL_I5, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_I5M: panel_i8_avx512(JT_PANEL_I5M, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_L4: panel_i8_avx512(JT_PANEL_L4, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_L4E: panel_i8_avx512(JT_PANEL_L4E, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_L4N: panel_i8_avx512(JT_PANEL_L4N, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_K2: panel_i8_avx512(JT_PANEL_K2, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_K3: panel_i8_avx512(JT_PANEL_K3, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_K4: panel_i8_avx512(JT_PANEL_K4, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_K5: panel_i8_avx512(JT_PANEL_K5, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_K6: panel_i8_avx512(JT_PANEL_K6, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_T2: panel_i8_avx512(JT_PANEL_T2, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_KL4: panel_i8_avx512(JT_PANEL_KL4, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_KL3: panel_i8_avx512(JT_PANEL_KL3, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_KL3H: panel_i8_avx512(JT_PANEL_KL3H, panel, a, row, rows, y, ldy); break;
    default: panel_i8_avx512(JT_PANEL_I8, panel, a, row, rows, y, ldy); break;
    }
}

/* Products bound by loads: a pair takes each load of activations twice. Other kinds unpack more than four rows pay for. */
int jt_avx512_pair_i8(jt_panel_kind kind, const void *panels, const jt_acts *a, int row, int rows, float *y, int ldy) {
    if (kind != JT_PANEL_I4 || rows < 4) return 0;
    size_t second = jt_panel_group(jt_panel_facts_of(JT_PANEL_I4), (size_t)a->cols / 32);
    const int lines = jt_panel_lines(jt_panel_facts_of(JT_PANEL_I4)), parts = rows / 4;
    for (int part = 0; part < parts; part++, rows -= 4, row += 4, y += 4 * (size_t)ldy)
        tile_i8_avx512(JT_PANEL_I4, 2, 4, panels, second, 2 * second, part * lines / parts, (part + 1) * lines / parts, a, row, y, ldy);
    for (int p = 0; rows && p < 2; p++)
        panel_i8_avx512(JT_PANEL_I4, (const char *)panels + (size_t)p * second, a, row, rows, y + (size_t)p * JT_PANEL, ldy);
    return 1;
}
