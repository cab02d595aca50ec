/* products_i8_neon.c: integer products with sdot, tiles of four rows by 8 outputs, or of one or two by 16.
 *
 * sdot multiplies signed bytes and adds four products to 32 bits; by lane it takes four columns out of a vector of 16
 * activations, which is one block. Nibbles stay as they are, 0 to 15; the bias of jt_acts brings their offset of 8. The kinds
 * beyond Q4_0, Q4_1 and Q8_0 are the scalar kernels. */
#include "tensor/arm/neon.h"
#include "tensor/ref/ref.h"

/* Four outputs by four columns: group g of a half block. */
JT_INLINE int8x16_t weights_neon(jt_panel_kind kind, const int8_t *block, int half, int g, int v) {
    if (kind == JT_PANEL_I8) return vld1q_s8(block + 256 * half + 64 * g + 16 * v);
    uint8x16_t b = vreinterpretq_u8_s8(vld1q_s8(block + 64 * g + 16 * v));
    return vreinterpretq_s8_u8(half ? vshrq_n_u8(b, 4) : vandq_u8(b, vdupq_n_u8(15)));
}

/* One step of sdot with lane g of q, which must be a constant. */
JT_INLINE int32x4_t dot_neon(int32x4_t sum, int8x16_t w, int8x16_t q, int g) {
    switch (g) {
    case 0: return vdotq_laneq_s32(sum, w, q, 0);
    case 1: return vdotq_laneq_s32(sum, w, q, 1);
    case 2: return vdotq_laneq_s32(sum, w, q, 2);
    default: return vdotq_laneq_s32(sum, w, q, 3);
    }
}

/* The exact sums over a half block, for outputs 4 * first on. */
JT_INLINE void sums_neon(jt_panel_kind kind, int tile, int wide, int first, const int8_t *block, int half, const int8_t *q,
                         const int32_t *bias, size_t blocks, int32x4_t sum[4][4]) {
    int8x16_t v[4];
    JT_UNROLL
    for (int r = 0; r < tile; r++) {
        v[r] = vld1q_s8(q + (size_t)r * blocks * 32 + 16 * half);
        JT_UNROLL
        for (int o = 0; o < wide; o++) sum[r][o] = vdupq_n_s32(kind == JT_PANEL_I4 ? bias[(size_t)r * blocks * 2 + (size_t)half] : 0);
    }
    JT_UNROLL
    for (int g = 0; g < 4; g++) {
        JT_UNROLL
        for (int o = 0; o < wide; o++) {
            int8x16_t w = weights_neon(kind, block, half, g, first + o);
            JT_UNROLL
            for (int r = 0; r < tile; r++) sum[r][o] = dot_neon(sum[r][o], w, v[r], g);
        }
    }
}

/* `tile` rows by 4 * wide outputs, from output 4 * first on. */
JT_INLINE void tile_i8_neon(jt_panel_kind kind, int tile, int wide, int first, const char *panel, const jt_acts *a, int row, float *y,
                            int ldy) {
    size_t blocks = (size_t)a->cols / 32, at = (size_t)row * blocks;
    size_t quants = kind == JT_PANEL_I8 ? 512 : 256, stride = quants + (kind == JT_PANEL_I4M ? 64 : 32);
    const int8_t *q = a->q + 32 * at;
    const float *d = a->d + 2 * at, *s = a->s + at;
    const int32_t *bias = kind == JT_PANEL_I4 ? a->bias + 2 * at : NULL;
    float32x4_t acc[4][4], t[4][4];
    int32x4_t sum[4][4];
    JT_UNROLL
    for (int r = 0; r < tile; r++) {
        JT_UNROLL
        for (int o = 0; o < wide; o++) acc[r][o] = vdupq_n_f32(0);
    }
    for (size_t b = 0; b < blocks; b++) {
        const int8_t *w = (const int8_t *)panel + b * stride;
        const char *scales = panel + b * stride + quants;
        const int32_t *offset = kind == JT_PANEL_I4 ? bias + 2 * b : NULL;
        sums_neon(kind, tile, wide, first, w, 0, q + 32 * b, offset, blocks, sum);
        JT_UNROLL
        for (int r = 0; r < tile; r++) {
            JT_UNROLL
            for (int o = 0; o < wide; o++) t[r][o] = vmulq_n_f32(vcvtq_f32_s32(sum[r][o]), d[(size_t)r * blocks * 2 + 2 * b]);
        }
        sums_neon(kind, tile, wide, first, w, 1, q + 32 * b, offset, blocks, sum);
        JT_UNROLL
        for (int o = 0; o < wide; o++) {
            float32x4_t dw = jt_neon_load_halfs(scales + 8 * (first + o)), mw = dw;
            if (kind == JT_PANEL_I4M) mw = jt_neon_load_halfs(scales + 32 + 8 * (first + o));
            JT_UNROLL
            for (int r = 0; r < tile; r++) {
                t[r][o] = vfmaq_n_f32(t[r][o], vcvtq_f32_s32(sum[r][o]), d[(size_t)r * blocks * 2 + 2 * b + 1]);
                acc[r][o] = vfmaq_f32(acc[r][o], dw, t[r][o]);
                if (kind == JT_PANEL_I4M) acc[r][o] = vfmaq_n_f32(acc[r][o], mw, s[(size_t)r * blocks + b]);
            }
        }
    }
    JT_UNROLL
    for (int r = 0; r < tile; r++) {
        JT_UNROLL
        for (int o = 0; o < wide; o++) vst1q_f32(y + (size_t)r * (size_t)ldy + 4 * (first + o), acc[r][o]);
    }
}

JT_INLINE void panel_i8_neon(jt_panel_kind kind, const char *panel, const jt_acts *a, int row, int rows, float *y, int ldy) {
    for (; rows >= 4; rows -= 4, row += 4, y += 4 * (size_t)ldy) {
        tile_i8_neon(kind, 4, 2, 0, panel, a, row, y, ldy);
        tile_i8_neon(kind, 4, 2, 2, panel, a, row, y, ldy);
    }
    if (rows & 2) tile_i8_neon(kind, 2, 4, 0, panel, a, row, y, ldy), row += 2, y += 2 * (size_t)ldy;
    if (rows & 1) tile_i8_neon(kind, 1, 4, 0, panel, a, row, y, ldy);
}

void jt_neon_panel_i8(jt_panel_kind kind, const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy) {
    switch (kind) {
    case JT_PANEL_I4: panel_i8_neon(JT_PANEL_I4, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_I4M: panel_i8_neon(JT_PANEL_I4M, panel, a, row, rows, y, ldy); break;
    case JT_PANEL_I8: panel_i8_neon(JT_PANEL_I8, panel, a, row, rows, y, ldy); break;
    default: jt_ref_panel_i8(kind, panel, a, row, rows, y, ldy); break;
    }
}
