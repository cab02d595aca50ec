/* products_i8_vnni256.h: integer products with vpdpbusd on 256 bits, tiles of up to four rows by 16 outputs.
 *
 * Written once and compiled in two encodings: VEX for processors with AVX-VNNI, and EVEX for those with the
 * 256-bit forms of AVX-512 VNNI, so that the same source runs, and is tested, on both. Whoever includes it defines
 * VNNI256(name), a name of the encoding, and VNNI256_DPBUSD, its intrinsic.
 *
 * vpdpbusd multiplies unsigned by signed bytes and adds four products to 32 bits. Weights are the unsigned side:
 * nibbles as they are, bytes with 128 added (the top bit flipped); the bias of jt_acts takes the offset back. For
 * more rows than one tile has, a chunk of columns is unpacked once for all; y holds the running sums between chunks. */
#ifndef JT_TENSOR_VNNI256_H
#define JT_TENSOR_VNNI256_H

#include "tensor/x86/avx2.h"

enum { VNNI256_CHUNK = 16 /* blocks */, VNNI256_TILE = 4 };

typedef struct vnni256_chunk {
    const char *quants, *scales; /* of block b at quants + b * quant_stride, scales + b * scale_stride */
    size_t quant_stride, scale_stride;
    int block, blocks;
} vnni256_chunk;

#endif

JT_INLINE __m256i VNNI256(four_bytes)(const int8_t *p) {
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm256_set1_epi32(v);
}

/* Group g of a half block, outputs 8h to 8h + 7, as unsigned bytes. */
JT_INLINE __m256i VNNI256(weights)(jt_panel_kind kind, bool unpacked, const char *block, int half, int g, int h) {
    const __m256i low = _mm256_set1_epi8(15), flip = _mm256_set1_epi8(-128);
    if (unpacked || kind == JT_PANEL_I8) {
        __m256i v = _mm256_loadu_si256((const __m256i *)(block + 256 * half + 64 * g + 32 * h));
        return unpacked ? v : _mm256_xor_si256(v, flip);
    }
    __m256i v = _mm256_loadu_si256((const __m256i *)(block + 64 * g + 32 * h));
    return _mm256_and_si256(half ? _mm256_srli_epi16(v, 4) : v, low);
}

/* The exact sums over a half block of `tile` rows. */
JT_INLINE void VNNI256(sums)(jt_panel_kind kind, bool unpacked, int tile, const char *block, int half, const int8_t *q, const int32_t *bias,
                             size_t blocks, __m256i sum[VNNI256_TILE][2]) {
    JT_UNROLL
    for (int r = 0; r < tile; r++)
        sum[r][0] = sum[r][1] =
            kind == JT_PANEL_I4M ? _mm256_setzero_si256() : _mm256_set1_epi32(bias[(size_t)r * blocks * 2 + (size_t)half]);
    JT_UNROLL
    for (int g = 0; g < 4; g++) {
        __m256i w0 = VNNI256(weights)(kind, unpacked, block, half, g, 0), w1 = VNNI256(weights)(kind, unpacked, block, half, g, 1);
        JT_UNROLL
        for (int r = 0; r < tile; r++) {
            __m256i v = VNNI256(four_bytes)(q + (size_t)r * blocks * 32 + 16 * half + 4 * g);
            sum[r][0] = VNNI256_DPBUSD(sum[r][0], w0, v);
            sum[r][1] = VNNI256_DPBUSD(sum[r][1], w1, v);
        }
    }
}

JT_INLINE void VNNI256(tile)(jt_panel_kind kind, bool unpacked, int tile, const vnni256_chunk *c, const jt_acts *a, int row, float *y,
                             int ldy) {
    size_t blocks = (size_t)a->cols / 32, at = (size_t)row * blocks + (size_t)c->block;
    const int8_t *q = a->q + 32 * at;
    const float *d = a->d + 2 * at, *s = a->s + at;
    const int32_t *bias = kind == JT_PANEL_I4M ? NULL : a->bias + 2 * at;
    __m256 acc[VNNI256_TILE][2];
    JT_UNROLL
    for (int r = 0; r < tile; r++) {
        JT_UNROLL
        for (int h = 0; h < 2; h++) acc[r][h] = c->block ? _mm256_loadu_ps(y + (size_t)r * (size_t)ldy + 8 * h) : _mm256_setzero_ps();
    }
    for (size_t b = 0; b < (size_t)c->blocks; b++) {
        const char *w = c->quants + b * c->quant_stride, *scales = c->scales + b * c->scale_stride;
        const int32_t *offset = kind == JT_PANEL_I4M ? NULL : bias + 2 * b;
        if (!unpacked && tile <= 2)
            for (size_t i = 0; i < c->scale_stride; i += 64) _mm_prefetch(w + 2048 + i, _MM_HINT_T0);
        __m256i sum[VNNI256_TILE][2];
        __m256 t[VNNI256_TILE][2];
        VNNI256(sums)(kind, unpacked, tile, w, 0, q + 32 * b, offset, blocks, sum);
        JT_UNROLL
        for (int r = 0; r < tile; r++) {
            __m256 d0 = _mm256_broadcast_ss(d + (size_t)r * blocks * 2 + 2 * b);
            JT_UNROLL
            for (int h = 0; h < 2; h++) t[r][h] = _mm256_mul_ps(d0, _mm256_cvtepi32_ps(sum[r][h]));
        }
        VNNI256(sums)(kind, unpacked, tile, w, 1, q + 32 * b, offset, blocks, sum);
        __m256 dw[2], mw[2];
        JT_UNROLL
        for (int h = 0; h < 2; h++) {
            dw[h] = jt_avx2_load_halfs(scales + 16 * h);
            if (kind == JT_PANEL_I4M) mw[h] = jt_avx2_load_halfs(scales + 32 + 16 * h);
        }
        JT_UNROLL
        for (int r = 0; r < tile; r++) {
            __m256 d1 = _mm256_broadcast_ss(d + (size_t)r * blocks * 2 + 2 * b + 1);
            JT_UNROLL
            for (int h = 0; h < 2; h++) {
                acc[r][h] = _mm256_fmadd_ps(dw[h], _mm256_fmadd_ps(d1, _mm256_cvtepi32_ps(sum[r][h]), t[r][h]), acc[r][h]);
                if (kind == JT_PANEL_I4M) acc[r][h] = _mm256_fmadd_ps(mw[h], _mm256_broadcast_ss(s + (size_t)r * blocks + b), acc[r][h]);
            }
        }
    }
    JT_UNROLL
    for (int r = 0; r < tile; r++) {
        JT_UNROLL
        for (int h = 0; h < 2; h++) _mm256_storeu_ps(y + (size_t)r * (size_t)ldy + 8 * h, acc[r][h]);
    }
}

JT_INLINE void VNNI256(unpack)(jt_panel_kind kind, const char *in, size_t stride, int blocks, char *out) {
    for (int b = 0; b < blocks; b++, in += stride)
        for (int half = 0; half < 2; half++) {
            JT_UNROLL
            for (int g = 0; g < 4; g++, out += 64) {
                _mm256_store_si256((__m256i *)out, VNNI256(weights)(kind, false, in, half, g, 0));
                _mm256_store_si256((__m256i *)(out + 32), VNNI256(weights)(kind, false, in, half, g, 1));
            }
        }
}

JT_INLINE void VNNI256(panel)(jt_panel_kind kind, bool unpack, const char *panel, const jt_acts *a, int row, int rows, float *y, int ldy) {
    _Alignas(32) char unpacked[VNNI256_CHUNK * 512];
    size_t quants = kind == JT_PANEL_I8 ? 512 : 256, stride = quants + (kind == JT_PANEL_I4M ? 64 : 32);
    int blocks = a->cols / 32;
    for (int b = 0; b < blocks; b += VNNI256_CHUNK) {
        const char *in = panel + (size_t)b * stride;
        vnni256_chunk c = {.quants = in, .scales = in + quants, .quant_stride = stride, .scale_stride = stride, .block = b};
        c.blocks = blocks - b < VNNI256_CHUNK ? blocks - b : VNNI256_CHUNK;
        if (unpack) {
            VNNI256(unpack)(kind, in, stride, c.blocks, unpacked);
            c.quants = unpacked, c.quant_stride = 512;
        }
        int r = 0;
        for (; r + 4 <= rows; r += 4) VNNI256(tile)(kind, unpack, 4, &c, a, row + r, y + (size_t)r * (size_t)ldy, ldy);
        if (rows & 2) VNNI256(tile)(kind, unpack, 2, &c, a, row + r, y + (size_t)r * (size_t)ldy, ldy), r += 2;
        if (rows & 1) VNNI256(tile)(kind, unpack, 1, &c, a, row + r, y + (size_t)r * (size_t)ldy, ldy);
    }
}

static void VNNI256(kind)(jt_panel_kind kind, const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy) {
    bool unpack = rows > VNNI256_TILE;
    switch (kind) {
    case JT_PANEL_I4:
        unpack ? VNNI256(panel)(JT_PANEL_I4, true, panel, a, row, rows, y, ldy)
               : VNNI256(panel)(JT_PANEL_I4, false, panel, a, row, rows, y, ldy);
        break;
    case JT_PANEL_I4M:
        unpack ? VNNI256(panel)(JT_PANEL_I4M, true, panel, a, row, rows, y, ldy)
               : VNNI256(panel)(JT_PANEL_I4M, false, panel, a, row, rows, y, ldy);
        break;
    default:
        unpack ? VNNI256(panel)(JT_PANEL_I8, true, panel, a, row, rows, y, ldy)
               : VNNI256(panel)(JT_PANEL_I8, false, panel, a, row, rows, y, ldy);
    }
}
