/* products_i8_avx2.c: integer products with AVX2, tiles of up to four rows by 16 outputs.
 *
 * maddubs multiplies unsigned by signed bytes and adds pairs into 16 bits. Of integers to
 * 31 a block of 16 columns fits 16 bits (4 * 2 * 31 * 127 = 31496), so one widening serves
 * the block; of integers to 63 eight columns do (2 * 2 * 63 * 127 = 32004), so that two
 * serve it. The offset of unsigned integers comes as the bias of jt_acts.
 *
 * Bytes, for few rows: |w| is multiplied by q with the sign of w; 2 * 128 * 127 = 32512
 * fits, -128 included, and each group of four columns is widened. For many rows weights
 * and activations are first made 16 bits wide, even columns and odd columns apart, and
 * maddwd adds pairs into 32 bits: as many products, but no signs and no widening.
 *
 * Columns go in chunks, unpacked once for all rows; y holds the running sums between chunks. */
#include "tensor/x86/panel_avx2.h"

enum {
    CHUNK_BLOCKS = 16,
    GROUP = 64, /* bytes of 4 columns of 16 rows */
    TILE_ROWS = 4,
    FEW_ROWS = 15 /* up to here making bytes wide costs more than it saves */
};

/* How the integers of a chunk lie: bytes as packed; unsigned to 31, or to 63, a byte each; 16 bits. */
typedef enum form_avx2 { FORM_BYTES, FORM_TO_31, FORM_TO_63, FORM_WIDE } form_avx2;

/* Integers of block b at quants + b * quant_stride as 8 groups. */
typedef struct chunk_avx2 {
    const char *quants;
    size_t quant_stride;
    size_t quant_stride_half; /* from the first 16 columns of a block to the others */
    const char *groups;       /* of the panel, from the chunk's first block on */
    size_t ahead;             /* from the chunk to memory to ask for meanwhile; 0: to none */
    int blocks;
    bool first; /* sums start from zero */
} chunk_avx2;

/* Activations of a tile's first row, from the chunk's first block on. */
typedef struct rows_avx2 {
    const int8_t *q;
    const float *d, *s;
    const int32_t *bias;
    size_t blocks;       /* in a whole row */
    const int32_t *wide; /* FORM_WIDE: [tile][CHUNK_BLOCKS][2][8] */
} rows_avx2;

JT_INLINE __m256i four_bytes_avx2(const void *p) {
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm256_set1_epi32(v);
}

/* Even and odd columns of the four in each lane, as two 16-bit numbers each. */
JT_INLINE __m256i even_columns_avx2(__m256i v) { return _mm256_srai_epi16(_mm256_slli_epi16(v, 8), 8); }
JT_INLINE __m256i odd_columns_avx2(__m256i v) { return _mm256_srai_epi16(v, 8); }

/* Step g of the sums over 16 columns (half a block at w): four columns, or two of 16 bits. */
JT_INLINE void step_avx2(form_avx2 form, int tile, int g, const char *w, const rows_avx2 *a, size_t half, __m256i sum[TILE_ROWS][2]) {
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i v[2], abs[2];
    JT_UNROLL
    for (int h = 0; h < 2; h++) {
        v[h] = _mm256_loadu_si256((const __m256i *)(w + GROUP * g + 32 * h));
        if (form == FORM_BYTES) abs[h] = _mm256_abs_epi8(v[h]);
    }
    JT_UNROLL
    for (int r = 0; r < tile; r++) {
        __m256i q = form == FORM_WIDE ? four_bytes_avx2(a->wide + ((size_t)r * CHUNK_BLOCKS * 2 + half) * 8 + (size_t)g)
                                      : four_bytes_avx2(a->q + (size_t)r * a->blocks * 32 + 16 * half + 4 * (size_t)g);
        JT_UNROLL
        for (int h = 0; h < 2; h++) {
            __m256i t;
            if (form == FORM_WIDE)
                t = _mm256_madd_epi16(v[h], q);
            else if (form == FORM_BYTES)
                t = _mm256_madd_epi16(_mm256_maddubs_epi16(abs[h], _mm256_sign_epi8(q, v[h])), ones);
            else
                t = _mm256_maddubs_epi16(v[h], q);
            bool narrow = form == FORM_TO_31 || form == FORM_TO_63;
            sum[r][h] = g == 0 ? t : narrow ? _mm256_add_epi16(sum[r][h], t) : _mm256_add_epi32(sum[r][h], t);
            JT_IN_ORDER(sum[r][h]);
        }
    }
}

/* The exact sums over 16 columns for the rows of a tile. */
JT_INLINE void sums_avx2(jt_panel_kind kind, form_avx2 form, int tile, const char *w, const rows_avx2 *a, size_t half,
                         __m256i sum[TILE_ROWS][2]) {
    const __m256i ones = _mm256_set1_epi16(1);
    const int by = jt_panel_facts_of(kind).by;
    if (form == FORM_TO_63) {
        __m256i more[TILE_ROWS][2];
        rows_avx2 later = *a;
        later.q += 8;
        JT_UNROLL
        for (int g = 0; g < 2; g++) step_avx2(form, tile, g, w, a, half, sum);
        JT_UNROLL
        for (int g = 0; g < 2; g++) step_avx2(form, tile, g, w + 2 * GROUP, &later, half, more);
        JT_UNROLL
        for (int r = 0; r < tile; r++) {
            JT_UNROLL
            for (int h = 0; h < 2; h++)
                sum[r][h] = _mm256_add_epi32(_mm256_madd_epi16(sum[r][h], ones), _mm256_madd_epi16(more[r][h], ones));
        }
    } else {
        JT_UNROLL
        for (int g = 0; g < 4; g++) step_avx2(form, tile, g, w, a, half, sum);
    }
    if (form == FORM_WIDE) {
        JT_UNROLL
        for (int g = 4; g < 8; g++) step_avx2(form, tile, g, w, a, half, sum);
    }
    if (form == FORM_WIDE || form == FORM_BYTES) return;
    JT_UNROLL
    for (int r = 0; r < tile; r++) {
        JT_UNROLL
        for (int h = 0; h < 2; h++) {
            if (form == FORM_TO_31) sum[r][h] = _mm256_madd_epi16(sum[r][h], ones);
            if (by >= 0) continue;
            JT_GIVEN(a->bias);
            sum[r][h] = _mm256_add_epi32(sum[r][h], _mm256_set1_epi32(a->bias[(size_t)r * a->blocks * 2 + half]));
        }
    }
}

/* `tile` rows by 16 outputs. */
JT_INLINE void tile_i8_avx2(jt_panel_kind kind, form_avx2 form, int tile, const chunk_avx2 *c, const rows_avx2 *a, float *y, int ldy) {
    const jt_panel_facts f = jt_panel_facts_of(kind);
    __m256 acc[TILE_ROWS][2];
    JT_UNROLL
    for (int r = 0; r < tile; r++) {
        JT_UNROLL
        for (int h = 0; h < 2; h++) acc[r][h] = c->first ? _mm256_setzero_ps() : _mm256_loadu_ps(y + (size_t)r * (size_t)ldy + 8 * h);
    }
    for (size_t b = 0; b < (size_t)c->blocks; b++) {
        const char *w = c->quants + b * c->quant_stride;
        __m256i sum[TILE_ROWS][2];
        __m256 t[TILE_ROWS][2], dw[2][2], mw[2][2];
        if (c->ahead)
            for (size_t i = 0; i < jt_panel_stride(f); i += 64)
                _mm_prefetch(c->groups + c->ahead + b * jt_panel_stride(f) + i, _MM_HINT_T0);
        sums_avx2(kind, form, tile, w, a, 2 * b, sum);
        if (f.halves) {
            JT_UNROLL
            for (int h = 0; h < 2; h++) jt_avx2_scales(kind, c->groups + jt_panel_group(f, b), b % (size_t)f.blocks, h, dw[h], mw[h]);
        }
        JT_UNROLL
        for (int r = 0; r < tile; r++) {
            __m256 d = _mm256_broadcast_ss(a->d + (size_t)r * a->blocks * 2 + 2 * b);
            JT_UNROLL
            for (int h = 0; h < 2; h++) {
                t[r][h] = _mm256_mul_ps(d, _mm256_cvtepi32_ps(sum[r][h]));
                if (f.halves) acc[r][h] = _mm256_fmadd_ps(dw[h][0], t[r][h], acc[r][h]);
            }
        }
        sums_avx2(kind, form, tile, w + c->quant_stride_half, a, 2 * b + 1, sum);
        if (!f.halves) {
            JT_UNROLL
            for (int h = 0; h < 2; h++) jt_avx2_scales(kind, c->groups + jt_panel_group(f, b), b % (size_t)f.blocks, h, dw[h], mw[h]);
        }
        JT_UNROLL
        for (int r = 0; r < tile; r++) {
            const float *two = a->d + (size_t)r * a->blocks * 2 + 2 * b;
            const int32_t *sums = f.by ? a->bias + (size_t)r * a->blocks * 2 + 2 * b : NULL;
            __m256 d = _mm256_broadcast_ss(two + 1);
            JT_UNROLL
            for (int h = 0; h < 2; h++) {
                __m256 u = _mm256_cvtepi32_ps(sum[r][h]);
                u = f.halves ? _mm256_mul_ps(d, u) : _mm256_fmadd_ps(d, u, t[r][h]);
                acc[r][h] = _mm256_fmadd_ps(dw[h][f.halves], u, acc[r][h]);
                if (f.minimum && f.halves) {
                    JT_GIVEN(sums);
                    acc[r][h] = _mm256_fmadd_ps(mw[h][0], _mm256_set1_ps(two[0] * (float)sums[0]), acc[r][h]);
                    acc[r][h] = _mm256_fmadd_ps(mw[h][1], _mm256_set1_ps(two[1] * (float)sums[1]), acc[r][h]);
                } else if (f.minimum) {
                    acc[r][h] = _mm256_fmadd_ps(mw[h][0], _mm256_broadcast_ss(a->s + (size_t)r * a->blocks + b), acc[r][h]);
                }
            }
        }
    }
    JT_UNROLL
    for (int r = 0; r < tile; r++) {
        JT_UNROLL
        for (int h = 0; h < 2; h++) _mm256_storeu_ps(y + (size_t)r * (size_t)ldy + 8 * h, acc[r][h]);
    }
}

JT_INLINE void unpack_avx2(jt_panel_kind kind, const char *in, int blocks, char *out) {
    const jt_panel_facts f = jt_panel_facts_of(kind);
    for (size_t b = 0; b < (size_t)blocks; b++, out += 8 * GROUP) {
        const char *codes = in + jt_panel_codes(f, b);
        const __m256i table = jt_avx2_table(kind, in + jt_panel_group(f, b));
        JT_UNROLL
        for (int g = 0; g < 8; g++) {
            JT_UNROLL
            for (int h = 0; h < 2; h++) _mm256_store_si256((__m256i *)(out + GROUP * g + 32 * h), jt_avx2_group(kind, table, codes, g, h));
        }
    }
}

JT_INLINE rows_avx2 rows_at_avx2(const jt_acts *a, int row, int block) {
    size_t blocks = (size_t)a->cols / 32, at = (size_t)row * blocks + (size_t)block;
    return (rows_avx2){
        .q = a->q + 32 * at, .d = a->d + 2 * at, .s = a->s + at, .bias = a->bias ? a->bias + 2 * at : NULL, .blocks = blocks};
}

static void widen_weights_avx2(const char *in, size_t stride, int blocks, char *out) {
    for (int b = 0; b < blocks; b++, in += stride)
        for (int g = 0; g < 8; g++, out += 2 * GROUP)
            for (int h = 0; h < 2; h++) {
                __m256i v = _mm256_loadu_si256((const __m256i *)(in + GROUP * g + 32 * h));
                _mm256_store_si256((__m256i *)(out + 32 * h), even_columns_avx2(v));
                _mm256_store_si256((__m256i *)(out + GROUP + 32 * h), odd_columns_avx2(v));
            }
}

/* Activations of a tile in the order of widened weights: in each half block even and odd columns of four by four. */
static void widen_rows_avx2(const rows_avx2 *a, int tile, int blocks, int32_t *out) {
    for (int r = 0; r < tile; r++)
        for (int b = 0; b < blocks; b++) {
            __m256i v = _mm256_loadu_si256((const __m256i *)(a->q + ((size_t)r * a->blocks + (size_t)b) * 32));
            __m256i even = even_columns_avx2(v), odd = odd_columns_avx2(v);
            __m256i low = _mm256_unpacklo_epi32(even, odd), high = _mm256_unpackhi_epi32(even, odd);
            int32_t *to = out + ((size_t)r * CHUNK_BLOCKS + (size_t)b) * 16;
            _mm256_store_si256((__m256i *)to, _mm256_permute2x128_si256(low, high, 0x20));
            _mm256_store_si256((__m256i *)(to + 8), _mm256_permute2x128_si256(low, high, 0x31));
        }
}

JT_INLINE void tile_rows_avx2(jt_panel_kind kind, form_avx2 form, int tile, const chunk_avx2 *c, const jt_acts *a, int row, int block,
                              float *y, int ldy) {
    _Alignas(32) int32_t wide[TILE_ROWS * CHUNK_BLOCKS * 16];
    rows_avx2 at = rows_at_avx2(a, row, block);
    if (form == FORM_WIDE) widen_rows_avx2(&at, tile, c->blocks, wide);
    at.wide = wide;
    tile_i8_avx2(kind, form, tile, c, &at, y, ldy);
}

JT_INLINE void panel_i8_avx2(jt_panel_kind kind, form_avx2 form, const char *panel, const jt_acts *a, int row, int rows, float *y,
                             int ldy) {
    _Alignas(32) char unpacked[CHUNK_BLOCKS * 16 * GROUP]; /* but for FORM_WIDE half of it is used */
    _Alignas(32) char bytes[CHUNK_BLOCKS * 8 * GROUP];
    const jt_panel_facts f = jt_panel_facts_of(kind);
    int blocks = a->cols / 32;
    for (int r = 0; r < rows && !blocks; r++) memset(y + (size_t)r * (size_t)ldy, 0, JT_PANEL * sizeof *y);
    for (int b = 0; b < blocks; b += CHUNK_BLOCKS) {
        const char *in = panel + jt_panel_group(f, (size_t)b);
        chunk_avx2 c = {.quants = unpacked,
                        .quant_stride = (form == FORM_WIDE ? 16 : 8) * GROUP,
                        .quant_stride_half = (form == FORM_WIDE ? 8 : 4) * GROUP,
                        .groups = in,
                        .first = !b};
        c.blocks = blocks - b < CHUNK_BLOCKS ? blocks - b : CHUNK_BLOCKS;
        if (form == FORM_WIDE && f.bits < 8)
            unpack_avx2(kind, in, c.blocks, bytes), widen_weights_avx2(bytes, 8 * GROUP, c.blocks, unpacked);
        else if (form == FORM_WIDE)
            widen_weights_avx2(in, jt_panel_stride(f), c.blocks, unpacked);
        else if (f.bits < 8)
            unpack_avx2(kind, in, c.blocks, unpacked);
        else
            c.quants = in, c.quant_stride = jt_panel_stride(f);
        int r = 0;
        c.ahead = (size_t)c.blocks * jt_panel_stride(f); /* the next chunk, or the next panel */
        for (; r + 4 <= rows; r += 4, c.ahead = 0) tile_rows_avx2(kind, form, 4, &c, a, row + r, b, y + (size_t)r * (size_t)ldy, ldy);
        if (rows & 2) tile_rows_avx2(kind, form, 2, &c, a, row + r, b, y + (size_t)r * (size_t)ldy, ldy), r += 2;
        if (rows & 1) tile_rows_avx2(kind, form, 1, &c, a, row + r, b, y + (size_t)r * (size_t)ldy, ldy);
    }
}

/* Signed bytes, in the form that suits the number of rows. */
JT_INLINE void bytes_i8_avx2(jt_panel_kind kind, const char *panel, const jt_acts *a, int row, int rows, float *y, int ldy) {
    if (rows <= FEW_ROWS)
        panel_i8_avx2(kind, FORM_BYTES, panel, a, row, rows, y, ldy);
    else
        panel_i8_avx2(kind, FORM_WIDE, panel, a, row, rows, y, ldy);
}

void jt_avx2_panel_i8(jt_panel_kind kind, const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy) {
    switch (kind) {
    case JT_PANEL_I4: panel_i8_avx2(JT_PANEL_I4, FORM_TO_31, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_I4M: panel_i8_avx2(JT_PANEL_I4M, FORM_TO_31, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_I5: panel_i8_avx2(JT_PANEL_I5, FORM_TO_31, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_I5M: panel_i8_avx2(JT_PANEL_I5M, FORM_TO_31, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_L4: bytes_i8_avx2(JT_PANEL_L4, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_L4E: panel_i8_avx2(JT_PANEL_L4E, FORM_TO_31, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_L4N: panel_i8_avx2(JT_PANEL_L4N, FORM_TO_31, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_K2: panel_i8_avx2(JT_PANEL_K2, FORM_TO_31, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_K3: panel_i8_avx2(JT_PANEL_K3, FORM_TO_31, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_K4: panel_i8_avx2(JT_PANEL_K4, FORM_TO_31, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_K5: panel_i8_avx2(JT_PANEL_K5, FORM_TO_31, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_K6: panel_i8_avx2(JT_PANEL_K6, FORM_TO_63, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_T2: panel_i8_avx2(JT_PANEL_T2, FORM_TO_31, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_KL4: bytes_i8_avx2(JT_PANEL_KL4, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_KL3: bytes_i8_avx2(JT_PANEL_KL3, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_KL3H: bytes_i8_avx2(JT_PANEL_KL3H, panel, a, row, rows, y, ldy); break;
    default: bytes_i8_avx2(JT_PANEL_I8, panel, a, row, rows, y, ldy); break;
    }
}
