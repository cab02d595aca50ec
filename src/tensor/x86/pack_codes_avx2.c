/* pack_codes_avx2.c: packing of the formats whose integers are taken out of their blocks, with AVX2.
 *
 * The integers of a block of the file become unsigned bytes, one a column, by a few vector operations where the format is
 * regular, else by way of jt_format.codes; then four rows at a time are transposed and folded into the bits of a panel. */
#include "tensor/ref/pack_codes.h"
#include "tensor/x86/avx2.h"

/* A block of the file: its integers as a panel counts them, and what its scales are made of. */
typedef struct block_avx2 {
    _Alignas(32) uint8_t u[256];
    jt_codes c;
} block_avx2;

JT_INLINE __m256i bytes_at_avx2(const unsigned char *p) { return _mm256_loadu_si256((const __m256i *)p); }
JT_INLINE void put_columns_avx2(block_avx2 *b, int block, __m256i v) { _mm256_store_si256((__m256i *)(b->u + 32 * block), v); }
/* `bits` bits of each byte from bit `from` on. */
JT_INLINE __m256i bits_of_avx2(__m256i v, int from, int bits) {
    return _mm256_and_si256(_mm256_srli_epi16(v, from), _mm256_set1_epi8((char)((1 << bits) - 1)));
}
/* Bit `from` of each byte, as bit `to`. */
JT_INLINE __m256i moved_bit_avx2(__m256i v, int from, int to) {
    v = to > from ? _mm256_slli_epi16(v, to - from) : _mm256_srli_epi16(v, from - to);
    return _mm256_and_si256(v, _mm256_set1_epi8((char)(1 << to)));
}
/* 16 bytes of nibbles: the low ones, then the high ones. */
JT_INLINE __m256i nibbles_avx2(const unsigned char *p) {
    __m128i v = _mm_loadu_si128((const __m128i *)p);
    return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(v, 4), v), _mm256_set1_epi8(15));
}

JT_INLINE void k_scales_avx2(const unsigned char *p, jt_codes *c) {
    uint8_t scale[8], min[8];
    jt_k_scales(p + 4, scale, min);
    c->d = jt_u16_at(p), c->dmin = jt_u16_at(p + 2);
    for (int j = 0; j < 16; j++) c->small[j] = (int8_t)scale[j / 2], c->least[j] = min[j / 2];
}

/* The layouts of the formats: formats/k.c, nibbles.c, simple.c, ternary.c. False where it is for jt_format.codes. */
JT_INLINE bool regular_block_avx2(jt_type type, const unsigned char *p, block_avx2 *b) {
    jt_codes *c = &b->c;
    switch (type) {
    case JT_Q4_K:
    case JT_Q5_K: {
        const unsigned char *q = p + (type == JT_Q5_K ? 48 : 16);
        k_scales_avx2(p, c);
        JT_UNROLL
        for (int j = 0; j < 8; j++) {
            __m256i v = bits_of_avx2(bytes_at_avx2(q + j / 2 * 32), j % 2 * 4, 4);
            if (type == JT_Q5_K) v = _mm256_or_si256(v, moved_bit_avx2(bytes_at_avx2(p + 16), j, 4));
            put_columns_avx2(b, j, v);
        }
        return true;
    }
    case JT_Q6_K:
        c->d = jt_u16_at(p + 208), c->unit = 1;
        memcpy(c->small, p + 192, 16);
        JT_UNROLL
        for (int j = 0; j < 8; j++) {
            __m256i v = bits_of_avx2(bytes_at_avx2(p + j / 4 * 64 + j % 2 * 32), j % 4 / 2 * 4, 4);
            __m256i high = bits_of_avx2(bytes_at_avx2(p + 128 + j / 4 * 32), j % 4 * 2, 2);
            put_columns_avx2(b, j, _mm256_or_si256(v, _mm256_slli_epi16(high, 4)));
        }
        return true;
    case JT_Q2_K:
        c->d = jt_u16_at(p + 80), c->dmin = jt_u16_at(p + 82);
        for (int j = 0; j < 16; j++) c->small[j] = (int8_t)(p[j] & 15), c->least[j] = p[j] >> 4;
        JT_UNROLL
        for (int j = 0; j < 8; j++) put_columns_avx2(b, j, bits_of_avx2(bytes_at_avx2(p + 16 + j / 4 * 32), j % 4 * 2, 2));
        return true;
    case JT_Q3_K: {
        uint8_t scale[16];
        jt_q3_k_scales(p + 96, scale);
        c->d = jt_u16_at(p + 108), c->unit = 1;
        for (int j = 0; j < 16; j++) c->small[j] = (int8_t)(scale[j] - 32);
        JT_UNROLL
        for (int j = 0; j < 8; j++) {
            __m256i v = bits_of_avx2(bytes_at_avx2(p + 32 + j / 4 * 32), j % 4 * 2, 2);
            put_columns_avx2(b, j, _mm256_or_si256(v, moved_bit_avx2(bytes_at_avx2(p), j, 2)));
        }
        return true;
    }
    case JT_TQ2_0:
        c->d = jt_u16_at(p + 64), c->unit = 1;
        JT_UNROLL
        for (int j = 0; j < 8; j++) put_columns_avx2(b, j, bits_of_avx2(bytes_at_avx2(p + j / 4 * 32), j % 4 * 2, 2));
        return true;
    case JT_IQ4_XS: {
        unsigned high = jt_u16_at(p + 2);
        c->d = jt_u16_at(p), c->unit = 1, c->values = jt_values_iq4;
        for (int j = 0; j < 8; j++) {
            int scale = (p[4 + j / 2] >> j % 2 * 4 & 15) | (int)(high >> 2 * j & 3) << 4;
            c->small[2 * j] = c->small[2 * j + 1] = (int8_t)(scale - 32);
            put_columns_avx2(b, j, nibbles_avx2(p + 8 + 16 * j));
        }
        return true;
    }
    case JT_IQ4_NL:
        c->d = jt_u16_at(p);
        put_columns_avx2(b, 0, nibbles_avx2(p + 2));
        return true;
    case JT_MXFP4: {
        __m256i v = nibbles_avx2(p + 1);
        c->small[0] = (int8_t)p[0];
        put_columns_avx2(b, 0, _mm256_andnot_si256(_mm256_cmpeq_epi8(v, _mm256_set1_epi8(8)), v)); /* the other zero */
        return true;
    }
    case JT_Q5_0:
    case JT_Q5_1: {
        const unsigned char *after = p + (type == JT_Q5_1 ? 4 : 2);
        const __m256i byte = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
        const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
        __m256i v = _mm256_shuffle_epi8(_mm256_set1_epi32((int)jt_u32_at(after)), byte);
        v = _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(v, bit), bit), _mm256_set1_epi8(16));
        c->d = jt_u16_at(p);
        if (type == JT_Q5_1) c->dmin = jt_u16_at(p + 2);
        put_columns_avx2(b, 0, _mm256_or_si256(v, nibbles_avx2(after + 4)));
        return true;
    }
    default: return false;
    }
}

/* 16 bytes of four rows, which begin `apart` bytes from each other, as four groups of four columns. */
JT_INLINE void transpose_avx2(const uint8_t *u, size_t apart, __m128i t[4]) {
    __m128i r[4];
    JT_UNROLL
    for (size_t i = 0; i < 4; i++) r[i] = _mm_load_si128((const __m128i *)(const void *)(u + i * apart));
    __m128i ab0 = _mm_unpacklo_epi32(r[0], r[1]), ab1 = _mm_unpackhi_epi32(r[0], r[1]);
    __m128i cd0 = _mm_unpacklo_epi32(r[2], r[3]), cd1 = _mm_unpackhi_epi32(r[2], r[3]);
    t[0] = _mm_unpacklo_epi64(ab0, cd0), t[1] = _mm_unpackhi_epi64(ab0, cd0);
    t[2] = _mm_unpacklo_epi64(ab1, cd1), t[3] = _mm_unpackhi_epi64(ab1, cd1);
}

/* The 32 columns of four rows, folded into the bits of a panel; vectors of 16 rows are 64 bytes apart. */
JT_INLINE void fold_avx2(int bits, const uint8_t *u, size_t apart, unsigned char *out) {
    __m128i t[8];
    transpose_avx2(u, apart, t);
    transpose_avx2(u + 16, apart, t + 4);
    if (bits >= 4) {
        const __m128i low = _mm_set1_epi8(15);
        JT_UNROLL
        for (int g = 0; g < 4; g++, out += 64)
            _mm_storeu_si128((__m128i *)out, _mm_or_si128(_mm_and_si128(t[g], low), _mm_slli_epi16(_mm_and_si128(t[4 + g], low), 4)));
    }
    if (bits == 2 || bits == 3 || bits == 6) {
        JT_UNROLL
        for (int v = 0; v < 8; v += 4, out += 64) {
            __m128i all = _mm_setzero_si128();
            JT_UNROLL
            for (int g = 0; g < 4; g++) {
                __m128i two = _mm_and_si128(_mm_srli_epi16(t[v + g], bits == 6 ? 4 : 0), _mm_set1_epi8(3));
                all = _mm_or_si128(all, _mm_slli_epi16(two, 2 * g));
            }
            _mm_storeu_si128((__m128i *)out, all);
        }
    }
    if (bits == 3 || bits == 5) {
        __m128i all = _mm_setzero_si128();
        JT_UNROLL
        for (int g = 0; g < 8; g++)
            all = _mm_or_si128(all, _mm_slli_epi16(_mm_and_si128(_mm_srli_epi16(t[g], bits - 1), _mm_set1_epi8(1)), g));
        _mm_storeu_si128((__m128i *)out, all);
    }
}

/* A block of the file, or of a missing row, whose integers count as 0. */
JT_INLINE void take_block_avx2(const jt_format *f, jt_type type, jt_panel_facts facts, const unsigned char *p, jt_ref_places *places,
                               block_avx2 *b) {
    if (p && regular_block_avx2(type, p, b)) return;
    if (!p) b->c = (jt_codes){0};
    if (p) f->codes(p, &b->c);
    if (facts.lookup) {
        jt_ref_places_of(places, b->c.values);
        for (int i = 0; i < f->block; i++) b->u[i] = places->of[(uint8_t)b->c.code[i]];
    } else {
        for (int i = 0; i < f->block; i++) b->u[i] = (uint8_t)(b->c.code[i] - (facts.by < 0 ? facts.by : 0));
    }
}

JT_INLINE void pack_codes_avx2(const jt_format *f, jt_type type, jt_panel_kind kind, const void *const rows[JT_PANEL], int cols,
                               unsigned char *panel) {
    const jt_panel_facts facts = jt_panel_facts_of(kind);
    const size_t blocks = f->block / 32u, all = (size_t)cols / f->block;
    jt_ref_places places = {0};
    block_avx2 four[4];
    memset(four, 0, sizeof four);
    for (size_t n = 0, b = 0; n < all; n++, b += blocks)
        for (size_t o = 0; o < JT_PANEL; o += 4) {
            for (size_t i = 0; i < 4; i++) {
                const unsigned char *row = rows[o + i];
                take_block_avx2(f, type, facts, row ? row + n * f->bytes : NULL, &places, &four[i]);
                if (facts.k) jt_ref_pack_header(kind, &four[i].c, o + i, panel + jt_panel_group(facts, b));
            }
            for (size_t j = 0; j < blocks; j++) {
                unsigned char *out = panel + jt_panel_codes(facts, b + j);
                fold_avx2(facts.bits, four->u + 32 * j, sizeof *four, out + 4 * o);
                for (size_t i = 0; i < 4 && !facts.k; i++) jt_ref_pack_scales(kind, &four[i].c, j, o + i, out + facts.step);
            }
        }
}

void jt_avx2_pack_codes(const jt_format *f, const void *const rows[JT_PANEL], int cols, void *panel) {
    switch ((jt_type)f->type) {
    case JT_Q5_0: pack_codes_avx2(f, JT_Q5_0, JT_PANEL_I5, rows, cols, panel); break;
    case JT_Q5_1: pack_codes_avx2(f, JT_Q5_1, JT_PANEL_I5M, rows, cols, panel); break;
    case JT_Q2_K: pack_codes_avx2(f, JT_Q2_K, JT_PANEL_K2, rows, cols, panel); break;
    case JT_Q3_K: pack_codes_avx2(f, JT_Q3_K, JT_PANEL_K3, rows, cols, panel); break;
    case JT_Q4_K: pack_codes_avx2(f, JT_Q4_K, JT_PANEL_K4, rows, cols, panel); break;
    case JT_Q5_K: pack_codes_avx2(f, JT_Q5_K, JT_PANEL_K5, rows, cols, panel); break;
    case JT_Q6_K: pack_codes_avx2(f, JT_Q6_K, JT_PANEL_K6, rows, cols, panel); break;
    case JT_TQ2_0: pack_codes_avx2(f, JT_TQ2_0, JT_PANEL_T2, rows, cols, panel); break;
    case JT_IQ4_XS: pack_codes_avx2(f, JT_IQ4_XS, JT_PANEL_KL4, rows, cols, panel); break;
    case JT_IQ4_NL: pack_codes_avx2(f, JT_IQ4_NL, JT_PANEL_L4, rows, cols, panel); break;
    case JT_MXFP4: pack_codes_avx2(f, JT_MXFP4, JT_PANEL_L4E, rows, cols, panel); break;
    default: /* codebooks, TQ1_0 and NVFP4 */ pack_codes_avx2(f, JT_F32, f->panel, rows, cols, panel);
    }
}
