/* products_i8_avx2.c: integer products with AVX2, tiles of up to two rows by 16 outputs.
 *
 * maddubs multiplies unsigned by signed bytes and adds pairs into 16 bits. For
 * nibbles a block of 16 columns fits 16 bits (4 * 2 * 15 * 127 = 15240), so one
 * widening serves the block, and the offset of 8 comes as the bias of jt_acts.
 * For bytes |w| is multiplied by q with the sign of w: 2 * 128 * 127 = 32512 fits,
 * -128 included, and each group of four columns is widened. Columns go in chunks,
 * whose nibbles are unpacked once for all rows; y holds the running sums between
 * chunks. */
#include "tensor/x86/avx2.h"

enum { CHUNK_BLOCKS = 16, GROUP = 64 /* bytes of 4 columns of 16 rows */ };

/* Quants of block b at quants + b * quant_stride as 8 groups, halfs (d, then m) at scales + b * scale_stride. */
typedef struct chunk_avx2 {
    const char *quants, *scales;
    size_t quant_stride, scale_stride;
    int blocks;
    bool first; /* sums start from zero */
} chunk_avx2;

/* Activations of a tile's first row, from the chunk's first block on. */
typedef struct rows_avx2 {
    const int8_t *q;
    const float *d, *s;
    const int32_t *bias;
    size_t blocks; /* in a whole row */
} rows_avx2;

JT_INLINE __m256i four_bytes_avx2(const int8_t *p) {
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm256_set1_epi32(v);
}

/* The exact sums over 16 columns (4 groups at w) for the rows of a tile. */
JT_INLINE void sums_avx2(jt_panel_kind kind, int tile, const char *w, const rows_avx2 *a, size_t half_block, __m256i sum[2][2]) {
    const __m256i ones = _mm256_set1_epi16(1);
    JT_UNROLL
    for (int g = 0; g < 4; g++) {
        __m256i v[2], abs[2];
        JT_UNROLL
        for (int h = 0; h < 2; h++) {
            v[h] = _mm256_loadu_si256((const __m256i *)(w + GROUP * g + 32 * h));
            if (kind == JT_PANEL_I8) abs[h] = _mm256_abs_epi8(v[h]);
        }
        JT_UNROLL
        for (int r = 0; r < tile; r++) {
            __m256i q = four_bytes_avx2(a->q + (size_t)r * a->blocks * 32 + 16 * half_block + 4 * (size_t)g);
            JT_UNROLL
            for (int h = 0; h < 2; h++) {
                if (kind == JT_PANEL_I8) {
                    __m256i t = _mm256_madd_epi16(_mm256_maddubs_epi16(abs[h], _mm256_sign_epi8(q, v[h])), ones);
                    sum[r][h] = g ? _mm256_add_epi32(sum[r][h], t) : t;
                    JT_IN_ORDER(sum[r][h]);
                } else {
                    __m256i t = _mm256_maddubs_epi16(v[h], q);
                    sum[r][h] = g ? _mm256_add_epi16(sum[r][h], t) : t;
                    JT_IN_ORDER(sum[r][h]);
                }
            }
        }
    }
    if (kind == JT_PANEL_I8) return;
    JT_UNROLL
    for (int r = 0; r < tile; r++) {
        JT_UNROLL
        for (int h = 0; h < 2; h++) {
            sum[r][h] = _mm256_madd_epi16(sum[r][h], ones);
            if (kind == JT_PANEL_I4)
                sum[r][h] = _mm256_add_epi32(sum[r][h], _mm256_set1_epi32(a->bias[(size_t)r * a->blocks * 2 + half_block]));
        }
    }
}

/* `tile` rows by 16 outputs. */
JT_INLINE void tile_i8_avx2(jt_panel_kind kind, int tile, const chunk_avx2 *c, const rows_avx2 *a, float *y, int ldy) {
    __m256 acc[2][2];
    JT_UNROLL
    for (int r = 0; r < tile; r++) {
        JT_UNROLL
        for (int h = 0; h < 2; h++) acc[r][h] = c->first ? _mm256_setzero_ps() : _mm256_loadu_ps(y + (size_t)r * (size_t)ldy + 8 * h);
    }
    for (int b = 0; b < c->blocks; b++) {
        const char *w = c->quants + (size_t)b * c->quant_stride, *scales = c->scales + (size_t)b * c->scale_stride;
        __m256i sum[2][2];
        __m256 t[2][2];
        sums_avx2(kind, tile, w, a, 2 * (size_t)b, sum);
        JT_UNROLL
        for (int r = 0; r < tile; r++) {
            __m256 d = _mm256_broadcast_ss(a->d + (size_t)r * a->blocks * 2 + 2 * (size_t)b);
            JT_UNROLL
            for (int h = 0; h < 2; h++) t[r][h] = _mm256_mul_ps(d, _mm256_cvtepi32_ps(sum[r][h]));
        }
        sums_avx2(kind, tile, w + 4 * GROUP, a, 2 * (size_t)b + 1, sum);
        JT_UNROLL
        for (int r = 0; r < tile; r++) {
            __m256 d = _mm256_broadcast_ss(a->d + (size_t)r * a->blocks * 2 + 2 * (size_t)b + 1);
            JT_UNROLL
            for (int h = 0; h < 2; h++) {
                __m256 u = _mm256_fmadd_ps(d, _mm256_cvtepi32_ps(sum[r][h]), t[r][h]);
                acc[r][h] = _mm256_fmadd_ps(jt_avx2_load_halfs(scales + 16 * h), u, acc[r][h]);
                if (kind == JT_PANEL_I4M)
                    acc[r][h] = _mm256_fmadd_ps(jt_avx2_load_halfs(scales + 32 + 16 * h),
                                                _mm256_broadcast_ss(a->s + (size_t)r * a->blocks + (size_t)b), acc[r][h]);
            }
        }
    }
    JT_UNROLL
    for (int r = 0; r < tile; r++) {
        JT_UNROLL
        for (int h = 0; h < 2; h++) _mm256_storeu_ps(y + (size_t)r * (size_t)ldy + 8 * h, acc[r][h]);
    }
}

static void unpack_nibbles_avx2(const char *in, size_t stride, int blocks, char *out) {
    const __m256i low = _mm256_set1_epi8(15);
    for (int b = 0; b < blocks; b++, in += stride, out += 8 * GROUP)
        for (int i = 0; i < 256; i += 32) {
            __m256i v = _mm256_loadu_si256((const __m256i *)(in + i));
            _mm256_store_si256((__m256i *)(out + i), _mm256_and_si256(v, low));
            _mm256_store_si256((__m256i *)(out + 256 + i), _mm256_and_si256(_mm256_srli_epi16(v, 4), low));
        }
}

JT_INLINE rows_avx2 rows_at_avx2(const jt_acts *a, int row, int block) {
    size_t blocks = (size_t)a->cols / 32, at = (size_t)row * blocks + (size_t)block;
    return (rows_avx2){
        .q = a->q + 32 * at, .d = a->d + 2 * at, .s = a->s + at, .bias = a->bias ? a->bias + 2 * at : NULL, .blocks = blocks};
}

JT_INLINE void panel_i8_avx2(jt_panel_kind kind, const char *panel, const jt_acts *a, int row, int rows, float *y, int ldy) {
    _Alignas(32) char unpacked[CHUNK_BLOCKS * 8 * GROUP];
    size_t quants = kind == JT_PANEL_I8 ? 512 : 256, stride = quants + (kind == JT_PANEL_I4M ? 64 : 32);
    int blocks = a->cols / 32;
    for (int r = 0; r < rows && !blocks; r++) memset(y + (size_t)r * (size_t)ldy, 0, JT_PANEL * sizeof *y);
    for (int b = 0; b < blocks; b += CHUNK_BLOCKS) {
        const char *in = panel + (size_t)b * stride;
        chunk_avx2 c = {.quants = in, .scales = in + quants, .quant_stride = stride, .scale_stride = stride, .first = !b};
        c.blocks = blocks - b < CHUNK_BLOCKS ? blocks - b : CHUNK_BLOCKS;
        if (kind != JT_PANEL_I8) {
            unpack_nibbles_avx2(in, stride, c.blocks, unpacked);
            c.quants = unpacked, c.quant_stride = 8 * GROUP;
        }
        int r = 0;
        for (; r + 2 <= rows; r += 2) {
            rows_avx2 at = rows_at_avx2(a, row + r, b);
            tile_i8_avx2(kind, 2, &c, &at, y + (size_t)r * (size_t)ldy, ldy);
        }
        if (r < rows) {
            rows_avx2 at = rows_at_avx2(a, row + r, b);
            tile_i8_avx2(kind, 1, &c, &at, y + (size_t)r * (size_t)ldy, ldy);
        }
    }
}

void jt_avx2_panel_i8(jt_panel_kind kind, const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy) {
    switch (kind) {
    case JT_PANEL_I4: panel_i8_avx2(JT_PANEL_I4, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_I4M: panel_i8_avx2(JT_PANEL_I4M, panel, a, row, rows, y, ldy); break;
    default: panel_i8_avx2(JT_PANEL_I8, panel, a, row, rows, y, ldy); break;
    }
}
