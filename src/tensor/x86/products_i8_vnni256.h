/* products_i8_vnni256.h: integer products with vpdpbusd on 256 bits, tiles of up to four rows by 16 outputs.
 *
 * Written once and compiled in two encodings: VEX for processors with AVX-VNNI, and EVEX for those with the
 * 256-bit forms of AVX-512 VNNI, so that the same source runs, and is tested, on both. Whoever includes it defines
 * VNNI256(name), a name of the encoding, and VNNI256_DPBUSD, its intrinsic.
 *
 * vpdpbusd multiplies unsigned by signed bytes and adds four products to 32 bits. Weights are the unsigned side:
 * up to 6 bits as they are, bytes with 128 added (the top bit flipped); the bias of jt_acts takes the offset back. For
 * more rows than one tile has, a chunk of columns is unpacked once for all; y holds the running sums between chunks. */
#ifndef JT_TENSOR_VNNI256_H
#define JT_TENSOR_VNNI256_H

#include "tensor/x86/panel_avx2.h"

enum { VNNI256_CHUNK = 16 /* blocks */, VNNI256_TILE = 4 };

typedef struct vnni256_chunk {
    const char *groups;   /* of the panel, from the chunk's first block on */
    const char *unpacked; /* NULL, or integers a byte each, 512 bytes a block */
    int block, blocks;
} vnni256_chunk;

#endif

JT_INLINE __m256i VNNI256(four_bytes)(const int8_t *p) {
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm256_set1_epi32(v);
}

/* Group g of a half block, outputs 8h to 8h + 7, as unsigned bytes. */
JT_INLINE __m256i VNNI256(weights)(jt_panel_kind kind, bool unpacked, __m256i table, const char *block, int half, int g, int h) {
    if (unpacked) return _mm256_load_si256((const __m256i *)(block + 256 * half + 64 * g + 32 * h));
    const jt_panel_facts f = jt_panel_facts_of(kind);
    __m256i v = jt_avx2_group(kind, table, block, 4 * half + g, h);
    return f.by == -128 ? _mm256_xor_si256(v, _mm256_set1_epi8(-128)) : v;
}

/* The exact sums over a half block of `tile` rows. */
JT_INLINE void VNNI256(sums)(jt_panel_kind kind, bool unpacked, int tile, __m256i table, const char *block, int half, const int8_t *q,
                             const int32_t *bias, size_t blocks, __m256i sum[VNNI256_TILE][2]) {
    const bool biased = jt_panel_facts_of(kind).by < 0;
    if (biased) JT_GIVEN(bias);
    JT_UNROLL
    for (int r = 0; r < tile; r++)
        sum[r][0] = sum[r][1] = biased ? _mm256_set1_epi32(bias[(size_t)r * blocks * 2 + (size_t)half]) : _mm256_setzero_si256();
    JT_UNROLL
    for (int g = 0; g < 4; g++) {
        __m256i w0 = VNNI256(weights)(kind, unpacked, table, block, half, g, 0),
                w1 = VNNI256(weights)(kind, unpacked, table, block, half, g, 1);
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
    const jt_panel_facts f = jt_panel_facts_of(kind);
    size_t blocks = (size_t)a->cols / 32, at = (size_t)row * blocks + (size_t)c->block;
    const int8_t *q = a->q + 32 * at;
    const float *d = a->d + 2 * at, *s = a->s + at;
    const int32_t *bias = f.by ? a->bias + 2 * at : NULL;
    __m256 acc[VNNI256_TILE][2];
    JT_UNROLL
    for (int r = 0; r < tile; r++) {
        JT_UNROLL
        for (int h = 0; h < 2; h++) acc[r][h] = c->block ? _mm256_loadu_ps(y + (size_t)r * (size_t)ldy + 8 * h) : _mm256_setzero_ps();
    }
    for (size_t b = 0; b < (size_t)c->blocks; b++) {
        const char *group = c->groups + jt_panel_group(f, b), *w = unpacked ? c->unpacked + 512 * b : c->groups + jt_panel_codes(f, b);
        const int32_t *offset = f.by ? bias + 2 * b : NULL;
        const __m256i table = jt_avx2_table(kind, group);
        if (!unpacked && tile <= 2)
            for (size_t i = 0; i < jt_panel_stride(f); i += 64) _mm_prefetch(c->groups + b * jt_panel_stride(f) + 2048 + i, _MM_HINT_T0);
        __m256i sum[VNNI256_TILE][2];
        __m256 t[VNNI256_TILE][2], dw[2][2], mw[2][2];
        VNNI256(sums)(kind, unpacked, tile, table, w, 0, q + 32 * b, offset, blocks, sum);
        JT_UNROLL
        for (int h = 0; h < 2; h++) jt_avx2_scales(kind, group, b % (size_t)f.blocks, h, dw[h], mw[h]);
        JT_UNROLL
        for (int r = 0; r < tile; r++) {
            __m256 d0 = _mm256_broadcast_ss(d + (size_t)r * blocks * 2 + 2 * b);
            JT_UNROLL
            for (int h = 0; h < 2; h++) {
                t[r][h] = _mm256_mul_ps(d0, _mm256_cvtepi32_ps(sum[r][h]));
                if (f.halves) acc[r][h] = _mm256_fmadd_ps(dw[h][0], t[r][h], acc[r][h]);
            }
        }
        VNNI256(sums)(kind, unpacked, tile, table, w, 1, q + 32 * b, offset, blocks, sum);
        JT_UNROLL
        for (int r = 0; r < tile; r++) {
            const float *two = d + (size_t)r * blocks * 2 + 2 * b;
            const int32_t *sums = f.by ? offset + (size_t)r * blocks * 2 : NULL;
            __m256 d1 = _mm256_broadcast_ss(two + 1);
            JT_UNROLL
            for (int h = 0; h < 2; h++) {
                __m256 u = _mm256_cvtepi32_ps(sum[r][h]);
                u = f.halves ? _mm256_mul_ps(d1, u) : _mm256_fmadd_ps(d1, u, t[r][h]);
                acc[r][h] = _mm256_fmadd_ps(dw[h][f.halves], u, acc[r][h]);
                if (f.minimum && f.halves) {
                    JT_GIVEN(sums);
                    acc[r][h] = _mm256_fmadd_ps(mw[h][0], _mm256_set1_ps(two[0] * (float)sums[0]), acc[r][h]);
                    acc[r][h] = _mm256_fmadd_ps(mw[h][1], _mm256_set1_ps(two[1] * (float)sums[1]), acc[r][h]);
                } else if (f.minimum) {
                    acc[r][h] = _mm256_fmadd_ps(mw[h][0], _mm256_broadcast_ss(s + (size_t)r * blocks + b), acc[r][h]);
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

JT_INLINE void VNNI256(unpack)(jt_panel_kind kind, const char *in, int blocks, char *out) {
    for (int b = 0; b < blocks; b++) {
        const char *codes = in + jt_panel_codes(jt_panel_facts_of(kind), (size_t)b);
        const __m256i table = jt_avx2_table(kind, in + jt_panel_group(jt_panel_facts_of(kind), (size_t)b));
        for (int half = 0; half < 2; half++) {
            JT_UNROLL
            for (int g = 0; g < 4; g++, out += 64) {
                _mm256_store_si256((__m256i *)out, VNNI256(weights)(kind, false, table, codes, half, g, 0));
                _mm256_store_si256((__m256i *)(out + 32), VNNI256(weights)(kind, false, table, codes, half, g, 1));
            }
        }
    }
}

JT_INLINE void VNNI256(panel)(jt_panel_kind kind, bool unpack, const char *panel, const jt_acts *a, int row, int rows, float *y, int ldy) {
    _Alignas(32) char unpacked[VNNI256_CHUNK * 512];
    int blocks = a->cols / 32;
    for (int b = 0; b < blocks; b += VNNI256_CHUNK) {
        const char *in = panel + jt_panel_group(jt_panel_facts_of(kind), (size_t)b);
        vnni256_chunk c = {.groups = in, .unpacked = unpack ? unpacked : NULL, .block = b};
        c.blocks = blocks - b < VNNI256_CHUNK ? blocks - b : VNNI256_CHUNK;
        if (unpack) VNNI256(unpack)(kind, in, c.blocks, unpacked);
        int r = 0;
        for (; r + 4 <= rows; r += 4) VNNI256(tile)(kind, unpack, 4, &c, a, row + r, y + (size_t)r * (size_t)ldy, ldy);
        if (rows & 2) VNNI256(tile)(kind, unpack, 2, &c, a, row + r, y + (size_t)r * (size_t)ldy, ldy), r += 2;
        if (rows & 1) VNNI256(tile)(kind, unpack, 1, &c, a, row + r, y + (size_t)r * (size_t)ldy, ldy);
    }
}

JT_INLINE void VNNI256(rows)(jt_panel_kind kind, const char *panel, const jt_acts *a, int row, int rows, float *y, int ldy) {
    if (rows > VNNI256_TILE)
        VNNI256(panel)(kind, true, panel, a, row, rows, y, ldy);
    else
        VNNI256(panel)(kind, false, panel, a, row, rows, y, ldy);
}

static void VNNI256(kind)(jt_panel_kind kind, const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy) {
    switch (kind) {
    case JT_PANEL_I4: VNNI256(rows)(JT_PANEL_I4, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_I4M: VNNI256(rows)(JT_PANEL_I4M, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_I5: VNNI256(rows)(JT_PANEL_I5, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_I5M: VNNI256(rows)(JT_PANEL_I5M, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_L4: VNNI256(rows)(JT_PANEL_L4, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_L4E: VNNI256(rows)(JT_PANEL_L4E, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_L4N: VNNI256(rows)(JT_PANEL_L4N, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_K2: VNNI256(rows)(JT_PANEL_K2, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_K3: VNNI256(rows)(JT_PANEL_K3, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_K4: VNNI256(rows)(JT_PANEL_K4, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_K5: VNNI256(rows)(JT_PANEL_K5, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_K6: VNNI256(rows)(JT_PANEL_K6, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_T2: VNNI256(rows)(JT_PANEL_T2, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_KL4: VNNI256(rows)(JT_PANEL_KL4, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_KL3: VNNI256(rows)(JT_PANEL_KL3, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_KL3H: VNNI256(rows)(JT_PANEL_KL3H, panel, a, row, rows, y, ldy); break;
    default: VNNI256(rows)(JT_PANEL_I8, panel, a, row, rows, y, ldy); break;
    }
}
