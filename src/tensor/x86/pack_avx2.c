/* pack_avx2.c: packing of weight panels and quantising of activations with AVX2. */
#include "tensor/ref/ref.h"
#include "tensor/x86/avx2.h"

/* The 16 rows to pack; a missing one reads the same zeros again and again. */
typedef struct sources_avx2 {
    const char *at[JT_PANEL];
    size_t step[JT_PANEL]; /* 1, or 0 for a missing row */
} sources_avx2;

static const char no_row_avx2[64];

/* Four rows of 16 bytes to four vectors of four bytes a row, GROUP bytes apart. */
static inline void pack_4x16_avx2(const char *const in[4], char *out) {
    __m128i a = _mm_loadu_si128((const __m128i *)in[0]), b = _mm_loadu_si128((const __m128i *)in[1]);
    __m128i c = _mm_loadu_si128((const __m128i *)in[2]), d = _mm_loadu_si128((const __m128i *)in[3]);
    __m128i ab0 = _mm_unpacklo_epi32(a, b), ab1 = _mm_unpackhi_epi32(a, b);
    __m128i cd0 = _mm_unpacklo_epi32(c, d), cd1 = _mm_unpackhi_epi32(c, d);
    _mm_storeu_si128((__m128i *)out, _mm_unpacklo_epi64(ab0, cd0));
    _mm_storeu_si128((__m128i *)(out + 64), _mm_unpackhi_epi64(ab0, cd0));
    _mm_storeu_si128((__m128i *)(out + 128), _mm_unpacklo_epi64(ab1, cd1));
    _mm_storeu_si128((__m128i *)(out + 192), _mm_unpackhi_epi64(ab1, cd1));
}

/* `halfs` scales, then `quants` bytes a block. */
JT_INLINE void pack_blocks_avx2(const sources_avx2 *s, int cols, size_t halfs, size_t quants, char *out) {
    size_t bytes = 2 * halfs + quants;
    for (size_t b = 0; b < (size_t)cols / 32; b++, out += JT_PANEL * bytes) {
        const char *in[JT_PANEL];
        JT_UNROLL
        for (int o = 0; o < JT_PANEL; o++) in[o] = s->at[o] + s->step[o] * b * bytes;
        JT_UNROLL
        for (int o = 0; o < JT_PANEL; o++) {
            memcpy(out + JT_PANEL * quants + 2 * o, in[o], 2);
            if (halfs == 2) memcpy(out + JT_PANEL * quants + 32 + 2 * o, in[o] + 2, 2);
        }
        JT_UNROLL
        for (int o = 0; o < JT_PANEL; o += 4) {
            for (size_t at = 2 * halfs; at < bytes; at += 16) {
                const char *const four[4] = {in[o] + at, in[o + 1] + at, in[o + 2] + at, in[o + 3] + at};
                pack_4x16_avx2(four, out + 16 * (at - 2 * halfs) + 4 * o);
            }
        }
    }
}

static void pack_words_avx2(const sources_avx2 *s, int cols, char *out) {
    int c = 0;
    for (; c + 4 <= cols; c += 4)
        for (int o = 0; o < JT_PANEL; o += 4) {
            const char *four[4];
            for (int i = 0; i < 4; i++) four[i] = s->at[o + i] + s->step[o + i] * (size_t)c * 4;
            pack_4x16_avx2(four, out + (size_t)c * 64 + 4 * o);
        }
    for (; c < cols; c++)
        for (int o = 0; o < JT_PANEL; o++) memcpy(out + (size_t)c * 64 + 4 * o, s->at[o] + s->step[o] * (size_t)c * 4, 4);
}

/* Eight rows of 8 halfs to eight columns, 32 bytes apart. */
static inline void pack_8x8_halfs_avx2(const char *const in[8], char *out) {
    __m128i a[8], b[8];
    JT_UNROLL
    for (int i = 0; i < 8; i++) a[i] = _mm_loadu_si128((const __m128i *)in[i]);
    JT_UNROLL
    for (int i = 0; i < 4; i++) {
        b[2 * i] = _mm_unpacklo_epi16(a[2 * i], a[2 * i + 1]);
        b[2 * i + 1] = _mm_unpackhi_epi16(a[2 * i], a[2 * i + 1]);
    }
    JT_UNROLL
    for (int i = 0; i < 8; i += 4) {
        a[i] = _mm_unpacklo_epi32(b[i], b[i + 2]);
        a[i + 1] = _mm_unpackhi_epi32(b[i], b[i + 2]);
        a[i + 2] = _mm_unpacklo_epi32(b[i + 1], b[i + 3]);
        a[i + 3] = _mm_unpackhi_epi32(b[i + 1], b[i + 3]);
    }
    JT_UNROLL
    for (int i = 0; i < 4; i++) {
        _mm_storeu_si128((__m128i *)(out + 64 * i), _mm_unpacklo_epi64(a[i], a[4 + i]));
        _mm_storeu_si128((__m128i *)(out + 64 * i + 32), _mm_unpackhi_epi64(a[i], a[4 + i]));
    }
}

static void pack_halfs_avx2(const sources_avx2 *s, int cols, char *out) {
    int c = 0;
    for (; c + 8 <= cols; c += 8)
        for (int o = 0; o < JT_PANEL; o += 8) {
            const char *eight[8];
            for (int i = 0; i < 8; i++) eight[i] = s->at[o + i] + s->step[o + i] * (size_t)c * 2;
            pack_8x8_halfs_avx2(eight, out + (size_t)c * 32 + 2 * o);
        }
    for (; c < cols; c++)
        for (int o = 0; o < JT_PANEL; o++) memcpy(out + (size_t)c * 32 + 2 * o, s->at[o] + s->step[o] * (size_t)c * 2, 2);
}

void jt_avx2_pack_panel(const jt_format *f, const void *const rows[JT_PANEL], int cols, void *panel) {
    sources_avx2 s;
    for (int o = 0; o < JT_PANEL; o++) s.at[o] = rows[o] ? rows[o] : no_row_avx2, s.step[o] = rows[o] ? 1 : 0;
    switch (f->panel) {
    case JT_PANEL_F32: pack_words_avx2(&s, cols, panel); break;
    case JT_PANEL_F16:
    case JT_PANEL_BF16: pack_halfs_avx2(&s, cols, panel); break;
    case JT_PANEL_I4: pack_blocks_avx2(&s, cols, 1, 16, panel); break;
    case JT_PANEL_I4M: pack_blocks_avx2(&s, cols, 2, 16, panel); break;
    case JT_PANEL_I8: pack_blocks_avx2(&s, cols, 1, 32, panel); break;
    default: jt_avx2_pack_codes(f, rows, cols, panel);
    }
}

/* Two blocks of 16 at a time: their values live in the two 128-bit halves of a vector. */
static inline __m256i halves_max_avx2(__m256i a, __m256i b) {
    __m256i m = _mm256_max_epi32(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31));
    m = _mm256_max_epi32(m, _mm256_shuffle_epi32(m, 0x4e));
    return _mm256_max_epi32(m, _mm256_shuffle_epi32(m, 0xb1));
}

static inline __m256i halves_sum_avx2(__m256i a, __m256i b) {
    __m256i m = _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31));
    m = _mm256_add_epi32(m, _mm256_shuffle_epi32(m, 0x4e));
    return _mm256_add_epi32(m, _mm256_shuffle_epi32(m, 0xb1));
}

void jt_avx2_quantise(const float *x, int cols, int8_t *q, float *d, float *s) {
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff), largest = _mm256_set1_epi32(0x7f7fffff);
    const __m256 full = _mm256_set1_ps(127);
    for (int b = 0; b < cols / 32; b++, x += 32, q += 32) {
        __m256 v[4];
        __m256i u[4], n[4];
        JT_UNROLL
        for (int i = 0; i < 4; i++) {
            v[i] = _mm256_loadu_ps(x + 8 * i);
            u[i] = _mm256_and_si256(_mm256_castps_si256(v[i]), magnitude);
        }
        __m256i top = halves_max_avx2(_mm256_max_epi32(u[0], u[1]), _mm256_max_epi32(u[2], u[3]));
        __m256 a = _mm256_castsi256_ps(top), scale = _mm256_div_ps(full, a), step = _mm256_div_ps(a, full);
        __m256 broken = _mm256_castsi256_ps(_mm256_cmpgt_epi32(top, largest));
        __m256 tiny = _mm256_cmp_ps(scale, _mm256_set1_ps(INFINITY), _CMP_EQ_OQ);
        step = _mm256_andnot_ps(tiny, step);
        step = _mm256_blendv_ps(step, _mm256_set1_ps(NAN), broken);
        scale = _mm256_andnot_ps(tiny, scale);
        __m256 scales[2] = {_mm256_permute2f128_ps(scale, scale, 0), _mm256_permute2f128_ps(scale, scale, 0x11)};
        __m256i zero[2] = {_mm256_castps_si256(_mm256_permute2f128_ps(broken, broken, 0)),
                           _mm256_castps_si256(_mm256_permute2f128_ps(broken, broken, 0x11))};
        JT_UNROLL
        for (int i = 0; i < 4; i++) n[i] = _mm256_andnot_si256(zero[i / 2], _mm256_cvtps_epi32(_mm256_mul_ps(v[i], scales[i / 2])));
        __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(n[0], n[1]), _mm256_packs_epi32(n[2], n[3]));
        bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
        _mm256_storeu_si256((__m256i *)q, bytes);
        __m256 sum = _mm256_cvtepi32_ps(halves_sum_avx2(_mm256_add_epi32(n[0], n[1]), _mm256_add_epi32(n[2], n[3])));
        __m128 d0 = _mm256_castps256_ps128(step), d1 = _mm256_extractf128_ps(step, 1);
        _mm_store_ss(d + 2 * b, d0);
        _mm_store_ss(d + 2 * b + 1, d1);
        _mm_store_ss(s + b, _mm_fmadd_ss(d1, _mm256_extractf128_ps(sum, 1), _mm_mul_ss(d0, _mm256_castps256_ps128(sum))));
    }
}

void jt_avx2_block_sums(const int8_t *q, int cols, int by, int32_t *out) {
    const __m256i bytes = _mm256_set1_epi8(1), words = _mm256_set1_epi16(1), factor = _mm256_set1_epi32(by);
    int c = 0;
    for (; c + 128 <= cols; c += 128) {
        __m256i v[4];
        JT_UNROLL
        for (int i = 0; i < 4; i++)
            v[i] = _mm256_madd_epi16(_mm256_maddubs_epi16(bytes, _mm256_loadu_si256((const __m256i *)(q + c + 32 * i))), words);
        __m256i h = _mm256_hadd_epi32(_mm256_hadd_epi32(v[0], v[1]), _mm256_hadd_epi32(v[2], v[3]));
        h = _mm256_permutevar8x32_epi32(h, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
        _mm256_storeu_si256((__m256i *)(out + c / 16), _mm256_mullo_epi32(h, factor));
    }
    for (; c < cols; c += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(q + c));
        v = _mm_madd_epi16(_mm_maddubs_epi16(_mm256_castsi256_si128(bytes), v), _mm256_castsi256_si128(words));
        v = _mm_add_epi32(v, _mm_shuffle_epi32(v, 0x4e));
        v = _mm_add_epi32(v, _mm_shuffle_epi32(v, 0xb1));
        out[c / 16] = by * _mm_cvtsi128_si32(v);
    }
}
