/* products_f32_neon.c: float32 products with NEON, tiles of up to 6 activation rows by 16 outputs in registers; and the
 * exact expansion of quantised panels for them. */
#include "tensor/arm/neon.h"
#include "tensor/ref/ref.h"

/* Four weights from element i of a panel of floats. */
JT_INLINE float32x4_t load_weights_neon(jt_panel_kind kind, const char *panel, size_t i) {
    if (kind == JT_PANEL_F32) return vld1q_f32((const float *)panel + i);
    if (kind == JT_PANEL_F16) return jt_neon_load_halfs(panel + 2 * i);
    uint16x4_t h;
    memcpy(&h, panel + 2 * i, sizeof h);
    return vreinterpretq_f32_u32(vshll_n_u16(h, 16));
}

JT_INLINE void tile_f32_neon(jt_panel_kind kind, int tile, const char *panel, const float *x, int cols, float *y, int ldy) {
    float32x4_t acc[6][4];
    JT_UNROLL
    for (int r = 0; r < tile; r++) {
        JT_UNROLL
        for (int o = 0; o < 4; o++) acc[r][o] = vdupq_n_f32(0);
    }
    for (int c = 0; c < cols; c++) {
        float32x4_t w[4];
        JT_UNROLL
        for (int o = 0; o < 4; o++) w[o] = load_weights_neon(kind, panel, (size_t)c * JT_PANEL + 4 * (size_t)o);
        JT_UNROLL
        for (int r = 0; r < tile; r++) {
            float v = x[(size_t)r * (size_t)cols + (size_t)c];
            JT_UNROLL
            for (int o = 0; o < 4; o++) acc[r][o] = vfmaq_n_f32(acc[r][o], w[o], v);
        }
    }
    JT_UNROLL
    for (int r = 0; r < tile; r++) {
        JT_UNROLL
        for (int o = 0; o < 4; o++) vst1q_f32(y + (size_t)r * (size_t)ldy + 4 * o, acc[r][o]);
    }
}

JT_INLINE void rows_f32_neon(jt_panel_kind kind, const char *panel, const float *x, int cols, int rows, float *y, int ldy) {
    for (; rows >= 6; rows -= 6, x += 6 * (size_t)cols, y += 6 * (size_t)ldy) tile_f32_neon(kind, 6, panel, x, cols, y, ldy);
    switch (rows) {
    case 5: tile_f32_neon(kind, 5, panel, x, cols, y, ldy); break;
    case 4: tile_f32_neon(kind, 4, panel, x, cols, y, ldy); break;
    case 3: tile_f32_neon(kind, 3, panel, x, cols, y, ldy); break;
    case 2: tile_f32_neon(kind, 2, panel, x, cols, y, ldy); break;
    case 1: tile_f32_neon(kind, 1, panel, x, cols, y, ldy); break;
    default: break;
    }
}

void jt_neon_panel_f32(jt_panel_kind kind, const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy) {
    const float *x = a->x + (size_t)row * (size_t)a->cols;
    switch (kind) {
    case JT_PANEL_F32: rows_f32_neon(JT_PANEL_F32, panel, x, a->cols, rows, y, ldy); break;
    case JT_PANEL_F16: rows_f32_neon(JT_PANEL_F16, panel, x, a->cols, rows, y, ldy); break;
    default: rows_f32_neon(JT_PANEL_BF16, panel, x, a->cols, rows, y, ldy); break;
    }
}

/* A vector of a panel holds four rows in lanes of four bytes, which are four columns. */
JT_INLINE void expand_vector_neon(jt_panel_kind kind, int8x16_t bytes, float32x4_t d, float32x4_t m, float *out) {
    int32x4_t v = vreinterpretq_s32_s8(bytes);
    JT_UNROLL
    for (int j = 0; j < 4; j++) {
        int32x4_t q = vshrq_n_s32(vshlq_s32(v, vdupq_n_s32(24 - 8 * j)), 24);
        if (kind == JT_PANEL_I4) q = vsubq_s32(q, vdupq_n_s32(8));
        float32x4_t x = vmulq_f32(d, vcvtq_f32_s32(q));
        if (kind == JT_PANEL_I4M) x = vaddq_f32(x, m);
        vst1q_f32(out + j * JT_PANEL, x);
    }
}

JT_INLINE void expand_neon(jt_panel_kind kind, const char *in, int cols, float *out) {
    for (int b = 0; b < cols / 32; b++, out += 32 * JT_PANEL) {
        const char *scales = in + (kind == JT_PANEL_I8 ? 512 : 256);
        for (int o = 0; o < 4; o++) {
            float32x4_t d = jt_neon_load_halfs(scales + 8 * o), m = d;
            if (kind == JT_PANEL_I4M) m = jt_neon_load_halfs(scales + 32 + 8 * o);
            for (int g = 0; g < (kind == JT_PANEL_I8 ? 8 : 4); g++) {
                int8x16_t v = vld1q_s8((const int8_t *)in + 64 * g + 16 * o);
                uint8x16_t u = vreinterpretq_u8_s8(v);
                float *to = out + 4 * g * JT_PANEL + 4 * o;
                if (kind == JT_PANEL_I8) {
                    expand_vector_neon(kind, v, d, m, to);
                } else {
                    expand_vector_neon(kind, vreinterpretq_s8_u8(vandq_u8(u, vdupq_n_u8(15))), d, m, to);
                    expand_vector_neon(kind, vreinterpretq_s8_u8(vshrq_n_u8(u, 4)), d, m, to + 16 * JT_PANEL);
                }
            }
        }
        in = scales + (kind == JT_PANEL_I4M ? 64 : 32);
    }
}

void jt_neon_panel_expand(jt_panel_kind kind, const void *panel, int cols, float *out) {
    switch (kind) {
    case JT_PANEL_I4: expand_neon(JT_PANEL_I4, panel, cols, out); break;
    case JT_PANEL_I4M: expand_neon(JT_PANEL_I4M, panel, cols, out); break;
    case JT_PANEL_I8: expand_neon(JT_PANEL_I8, panel, cols, out); break;
    default: jt_ref_panel_expand(kind, panel, cols, out); break;
    }
}
