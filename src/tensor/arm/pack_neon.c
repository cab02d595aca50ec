/* pack_neon.c: packing of weight panels and quantising of activations with NEON. */
#include "tensor/arm/neon.h"
#include "tensor/ref/ref.h"

/* The 16 rows to pack; a missing one reads the same zeros again and again. */
typedef struct sources_neon {
    const char *at[JT_PANEL];
    size_t step[JT_PANEL]; /* 1, or 0 for a missing row */
} sources_neon;

static const char no_row_neon[64];

static inline uint32x4_t words_neon(const char *p) { return vreinterpretq_u32_u8(vld1q_u8((const uint8_t *)p)); }
static inline void put_pair_neon(char *out, uint32x4_t ab, uint32x4_t cd, int high) {
    uint64x2_t a = vreinterpretq_u64_u32(ab), c = vreinterpretq_u64_u32(cd);
    vst1q_u8((uint8_t *)out, vreinterpretq_u8_u64(high ? vzip2q_u64(a, c) : vzip1q_u64(a, c)));
}

/* Four rows of 16 bytes to four vectors of four bytes a row, 64 bytes apart. */
static inline void pack_4x16_neon(const char *const in[4], char *out) {
    uint32x4_t a = words_neon(in[0]), b = words_neon(in[1]), c = words_neon(in[2]), d = words_neon(in[3]);
    uint32x4_t ab0 = vzip1q_u32(a, b), ab1 = vzip2q_u32(a, b), cd0 = vzip1q_u32(c, d), cd1 = vzip2q_u32(c, d);
    put_pair_neon(out, ab0, cd0, 0);
    put_pair_neon(out + 64, ab0, cd0, 1);
    put_pair_neon(out + 128, ab1, cd1, 0);
    put_pair_neon(out + 192, ab1, cd1, 1);
}

/* `halfs` scales, then `quants` bytes a block. */
JT_INLINE void pack_blocks_neon(const sources_neon *s, int cols, size_t halfs, size_t quants, char *out) {
    size_t bytes = 2 * halfs + quants;
    for (size_t b = 0; b < (size_t)cols / 32; b++, out += JT_PANEL * bytes) {
        const char *in[JT_PANEL];
        for (int o = 0; o < JT_PANEL; o++) {
            in[o] = s->at[o] + s->step[o] * b * bytes;
            memcpy(out + JT_PANEL * quants + 2 * o, in[o], 2);
            if (halfs == 2) memcpy(out + JT_PANEL * quants + 32 + 2 * o, in[o] + 2, 2);
        }
        for (int o = 0; o < JT_PANEL; o += 4)
            for (size_t at = 2 * halfs; at < bytes; at += 16) {
                const char *const four[4] = {in[o] + at, in[o + 1] + at, in[o + 2] + at, in[o + 3] + at};
                pack_4x16_neon(four, out + 16 * (at - 2 * halfs) + 4 * o);
            }
    }
}

static void pack_words_neon(const sources_neon *s, int cols, char *out) {
    int c = 0;
    for (; c + 4 <= cols; c += 4)
        for (int o = 0; o < JT_PANEL; o += 4) {
            const char *four[4];
            for (int i = 0; i < 4; i++) four[i] = s->at[o + i] + s->step[o + i] * (size_t)c * 4;
            pack_4x16_neon(four, out + (size_t)c * 64 + 4 * o);
        }
    for (; c < cols; c++)
        for (int o = 0; o < JT_PANEL; o++) memcpy(out + (size_t)c * 64 + 4 * o, s->at[o] + s->step[o] * (size_t)c * 4, 4);
}

/* Eight rows of 8 halfs to eight columns, 32 bytes apart. */
static inline void pack_8x8_halfs_neon(const char *const in[8], char *out) {
    uint16x8_t a[8];
    uint32x4_t b[8], c[8];
    JT_UNROLL
    for (int i = 0; i < 8; i++) a[i] = vreinterpretq_u16_u8(vld1q_u8((const uint8_t *)in[i]));
    JT_UNROLL
    for (int i = 0; i < 4; i++) {
        b[2 * i] = vreinterpretq_u32_u16(vzip1q_u16(a[2 * i], a[2 * i + 1]));
        b[2 * i + 1] = vreinterpretq_u32_u16(vzip2q_u16(a[2 * i], a[2 * i + 1]));
    }
    JT_UNROLL
    for (int i = 0; i < 8; i += 4) {
        c[i] = vzip1q_u32(b[i], b[i + 2]);
        c[i + 1] = vzip2q_u32(b[i], b[i + 2]);
        c[i + 2] = vzip1q_u32(b[i + 1], b[i + 3]);
        c[i + 3] = vzip2q_u32(b[i + 1], b[i + 3]);
    }
    JT_UNROLL
    for (int i = 0; i < 4; i++) {
        put_pair_neon(out + 64 * i, c[i], c[4 + i], 0);
        put_pair_neon(out + 64 * i + 32, c[i], c[4 + i], 1);
    }
}

static void pack_halfs_neon(const sources_neon *s, int cols, char *out) {
    int c = 0;
    for (; c + 8 <= cols; c += 8)
        for (int o = 0; o < JT_PANEL; o += 8) {
            const char *eight[8];
            for (int i = 0; i < 8; i++) eight[i] = s->at[o + i] + s->step[o + i] * (size_t)c * 2;
            pack_8x8_halfs_neon(eight, out + (size_t)c * 32 + 2 * o);
        }
    for (; c < cols; c++)
        for (int o = 0; o < JT_PANEL; o++) memcpy(out + (size_t)c * 32 + 2 * o, s->at[o] + s->step[o] * (size_t)c * 2, 2);
}

void jt_neon_pack_panel(const jt_format *f, const void *const rows[JT_PANEL], int cols, void *panel) {
    sources_neon s;
    for (int o = 0; o < JT_PANEL; o++) s.at[o] = rows[o] ? rows[o] : no_row_neon, s.step[o] = rows[o] ? 1 : 0;
    switch (f->panel) {
    case JT_PANEL_F32: pack_words_neon(&s, cols, panel); break;
    case JT_PANEL_F16:
    case JT_PANEL_BF16: pack_halfs_neon(&s, cols, panel); break;
    case JT_PANEL_I4: pack_blocks_neon(&s, cols, 1, 16, panel); break;
    case JT_PANEL_I4M: pack_blocks_neon(&s, cols, 2, 16, panel); break;
    case JT_PANEL_I8: pack_blocks_neon(&s, cols, 1, 32, panel); break;
    default: jt_ref_pack_panel(f, rows, cols, panel);
    }
}

/* One block of 16: quants and scale; gives the quants' sum. */
static inline float quantise_block_neon(const float *x, int8_t *q, float *d) {
    float32x4_t v[4];
    uint32x4_t top = vdupq_n_u32(0);
    JT_UNROLL
    for (int i = 0; i < 4; i++) {
        v[i] = vld1q_f32(x + 4 * i);
        top = vmaxq_u32(top, vreinterpretq_u32_f32(vabsq_f32(v[i]))); /* NaN lies above all numbers */
    }
    uint32_t bits = vmaxvq_u32(top);
    float a, scale;
    memcpy(&a, &bits, sizeof a);
    scale = 127 / a;
    if (bits >= 0x7f800000 || isinf(scale)) {
        *d = bits >= 0x7f800000 ? NAN : 0;
        vst1q_s8(q, vdupq_n_s8(0));
        return 0;
    }
    int32x4_t n[4];
    JT_UNROLL
    for (int i = 0; i < 4; i++) n[i] = vcvtnq_s32_f32(vmulq_n_f32(v[i], scale));
    int16x8_t low = vqmovn_high_s32(vqmovn_s32(n[0]), n[1]), high = vqmovn_high_s32(vqmovn_s32(n[2]), n[3]);
    int8x16_t bytes = vqmovn_high_s16(vqmovn_s16(low), high);
    vst1q_s8(q, bytes);
    *d = a / 127;
    return (float)vaddlvq_s8(bytes);
}

void jt_neon_quantise(const float *x, int cols, int8_t *q, float *d, float *s) {
    for (int b = 0; b < cols / 32; b++, x += 32, q += 32, d += 2) {
        float s0 = quantise_block_neon(x, q, d), s1 = quantise_block_neon(x + 16, q + 16, d + 1);
        s[b] = fmaf(d[1], s1, d[0] * s0);
    }
}

void jt_neon_block_sums(const int8_t *q, int cols, int by, int32_t *out) {
    for (int c = 0; c < cols; c += 16) out[c / 16] = by * vaddlvq_s8(vld1q_s8(q + c));
}
