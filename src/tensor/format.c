/* format.c: the table of block formats, and the 16-bit floats.
 *
 * Numbers, block sizes and layouts are those of the GGUF format (ggml), little
 * endian; the expansions of blocks are in formats/. */
#include "tensor/format.h"

#include <assert.h>
#include <string.h>

#include "tensor/formats/formats.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "weights are read as little-endian values"
#endif

static float float_of_bits(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static uint32_t bits_of_float(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

float jt_f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, e = h >> 10 & 31, m = h & 1023;
    if (e == 31) return float_of_bits(sign | 0x7f800000 | m << 13 | (m ? 0x400000 : 0));
    if (e) return float_of_bits(sign | (e + 112) << 23 | m << 13);
    float f = (float)m * 0x1p-24f;
    return sign ? -f : f;
}

uint16_t jt_f32_to_f16(float x) {
    uint32_t u = bits_of_float(x), a = u & 0x7fffffff;
    uint16_t sign = (uint16_t)(u >> 16 & 0x8000);
    if (a > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (a >> 13 & 0x3ff));
    if (a >= 0x477ff000) return sign | 0x7c00;
    if (a < 0x38800000) {
        /* Below the smallest normal half: adding 0.5 leaves the multiple of 2^-24, rounded to even, in the low bits. */
        return (uint16_t)(sign | (bits_of_float(float_of_bits(a) + 0.5f) - 0x3f000000));
    }
    return (uint16_t)(sign | (a - 0x38000000 + 0xfff + (a >> 13 & 1)) >> 13);
}

float jt_bf16_to_f32(uint16_t h) { return float_of_bits((uint32_t)h << 16); }

uint16_t jt_f32_to_bf16(float x) {
    uint32_t u = bits_of_float(x);
    if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static void expand_f32(const void *in, float *out, size_t n) { memcpy(out, in, n * sizeof *out); }

static void expand_f16(const void *in, float *out, size_t n) {
    const unsigned char *p = in;
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, p + 2 * i, 2);
        out[i] = jt_f16_to_f32(h);
    }
}

static void expand_bf16(const void *in, float *out, size_t n) {
    const unsigned char *p = in;
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, p + 2 * i, 2);
        out[i] = jt_bf16_to_f32(h);
    }
}

/* Blocks by way of their integers. */
static void expand_codes(void (*codes)(const unsigned char *, jt_codes *), size_t block, size_t bytes, bool minima, const void *in,
                         float *out, size_t n) {
    const unsigned char *p = in;
    jt_codes c;
    for (; n; n -= block, p += bytes) {
        codes(p, &c);
        for (size_t i = 0; i < block; i++) {
            float w = c.scale[i / 16] * (float)c.code[i];
            *out++ = minima ? w + c.min[i / 16] : w;
        }
    }
}

#define EXPAND(name, block, bytes, minima)                                                                                                 \
    static void expand_##name(const void *in, float *out, size_t n) { expand_codes(jt_codes_##name, block, bytes, minima, in, out, n); }
EXPAND(q5_0, 32, 22, false)
EXPAND(q5_1, 32, 24, true)
EXPAND(q2_k, 256, 84, true)
EXPAND(q3_k, 256, 110, false)
EXPAND(q4_k, 256, 144, true)
EXPAND(q5_k, 256, 176, true)
EXPAND(q6_k, 256, 210, false)
EXPAND(iq4_nl, 32, 18, false)
EXPAND(iq4_xs, 256, 136, false)
EXPAND(mxfp4, 32, 17, false)
EXPAND(nvfp4, 64, 36, false)
EXPAND(tq1_0, 256, 54, false)
EXPAND(tq2_0, 256, 66, false)
EXPAND(iq2_xxs, 256, 66, false)
EXPAND(iq2_xs, 256, 74, false)
EXPAND(iq2_s, 256, 82, false)
EXPAND(iq3_xxs, 256, 98, false)
EXPAND(iq3_s, 256, 110, false)
EXPAND(iq1_s, 256, 50, false)
EXPAND(iq1_m, 256, 56, false)
#undef EXPAND

/* name, GGUF number, weights a block, bytes a block, panel, quantised, expansion, integers. */
#define FORMATS(X)                                                                                                                         \
    X("f32", 0, 1, 4, JT_PANEL_F32, false, expand_f32, NULL)                                                                               \
    X("f16", 1, 1, 2, JT_PANEL_F16, false, expand_f16, NULL)                                                                               \
    X("q4_0", 2, 32, 18, JT_PANEL_I4, true, jt_expand_q4_0, NULL)                                                                          \
    X("q4_1", 3, 32, 20, JT_PANEL_I4M, true, jt_expand_q4_1, NULL)                                                                         \
    X("q5_0", 6, 32, 22, JT_PANEL_I5, true, expand_q5_0, jt_codes_q5_0)                                                                    \
    X("q5_1", 7, 32, 24, JT_PANEL_I5M, true, expand_q5_1, jt_codes_q5_1)                                                                   \
    X("q8_0", 8, 32, 34, JT_PANEL_I8, true, jt_expand_q8_0, NULL)                                                                          \
    X("q8_1", 9, 32, 36, JT_PANEL_NONE, true, NULL, NULL)                                                                                  \
    X("q2_k", 10, 256, 84, JT_PANEL_K2, true, expand_q2_k, jt_codes_q2_k)                                                                  \
    X("q3_k", 11, 256, 110, JT_PANEL_K3, true, expand_q3_k, jt_codes_q3_k)                                                                 \
    X("q4_k", 12, 256, 144, JT_PANEL_K4, true, expand_q4_k, jt_codes_q4_k)                                                                 \
    X("q5_k", 13, 256, 176, JT_PANEL_K5, true, expand_q5_k, jt_codes_q5_k)                                                                 \
    X("q6_k", 14, 256, 210, JT_PANEL_K6, true, expand_q6_k, jt_codes_q6_k)                                                                 \
    X("q8_k", 15, 256, 292, JT_PANEL_NONE, true, NULL, NULL)                                                                               \
    X("iq2_xxs", 16, 256, 66, JT_PANEL_KL3, true, expand_iq2_xxs, jt_codes_iq2_xxs)                                                        \
    X("iq2_xs", 17, 256, 74, JT_PANEL_KL3H, true, expand_iq2_xs, jt_codes_iq2_xs)                                                          \
    X("iq3_xxs", 18, 256, 98, JT_PANEL_KL4, true, expand_iq3_xxs, jt_codes_iq3_xxs)                                                        \
    X("iq1_s", 19, 256, 50, JT_PANEL_KL3, true, expand_iq1_s, jt_codes_iq1_s)                                                              \
    X("iq4_nl", 20, 32, 18, JT_PANEL_L4, true, expand_iq4_nl, jt_codes_iq4_nl)                                                             \
    X("iq3_s", 21, 256, 110, JT_PANEL_KL4, true, expand_iq3_s, jt_codes_iq3_s)                                                             \
    X("iq2_s", 22, 256, 82, JT_PANEL_KL3H, true, expand_iq2_s, jt_codes_iq2_s)                                                             \
    X("iq4_xs", 23, 256, 136, JT_PANEL_KL4, true, expand_iq4_xs, jt_codes_iq4_xs)                                                          \
    X("i8", 24, 1, 1, JT_PANEL_NONE, false, NULL, NULL)                                                                                    \
    X("i16", 25, 1, 2, JT_PANEL_NONE, false, NULL, NULL)                                                                                   \
    X("i32", 26, 1, 4, JT_PANEL_NONE, false, NULL, NULL)                                                                                   \
    X("i64", 27, 1, 8, JT_PANEL_NONE, false, NULL, NULL)                                                                                   \
    X("f64", 28, 1, 8, JT_PANEL_NONE, false, NULL, NULL)                                                                                   \
    X("iq1_m", 29, 256, 56, JT_PANEL_KL3H, true, expand_iq1_m, jt_codes_iq1_m)                                                             \
    X("bf16", 30, 1, 2, JT_PANEL_BF16, false, expand_bf16, NULL)                                                                           \
    X("tq1_0", 34, 256, 54, JT_PANEL_T2, true, expand_tq1_0, jt_codes_tq1_0)                                                               \
    X("tq2_0", 35, 256, 66, JT_PANEL_T2, true, expand_tq2_0, jt_codes_tq2_0)                                                               \
    X("mxfp4", 39, 32, 17, JT_PANEL_L4E, true, expand_mxfp4, jt_codes_mxfp4)                                                               \
    X("nvfp4", 40, 64, 36, JT_PANEL_L4N, true, expand_nvfp4, jt_codes_nvfp4)                                                               \
    X("q1_0", 41, 128, 18, JT_PANEL_NONE, true, NULL, NULL)                                                                                \
    X("q2_0", 42, 64, 18, JT_PANEL_NONE, true, NULL, NULL)

/* Products in 8 bits go by 32 columns. */
#define CHECK(name, type, block, bytes, panel, quantised, expand, codes)                                                                   \
    static_assert((panel) == JT_PANEL_NONE || !(quantised) || 32 % (block) == 0 || (block) % 32 == 0, name " must fit 32 columns");
FORMATS(CHECK)
#undef CHECK

#define ROW(name, type, block, bytes, panel, quantised, expand, codes) {name, type, block, bytes, panel, quantised, expand, codes},
static const jt_format formats[] = {FORMATS(ROW)};
#undef ROW
enum { FORMAT_COUNT = sizeof formats / sizeof formats[0] };
static_assert((int)FORMAT_COUNT == 35, "the table has every type of the GGUF format");

const jt_format *jt_formats(int *n) {
    *n = FORMAT_COUNT;
    return formats;
}

const jt_format *jt_format_of(uint32_t type) {
    for (int i = 0; i < FORMAT_COUNT; i++)
        if (formats[i].type == type) return &formats[i];
    return NULL;
}

const jt_format *jt_format_named(const char *name) {
    for (int i = 0; i < FORMAT_COUNT; i++)
        if (!strcmp(formats[i].name, name)) return &formats[i];
    return NULL;
}

bool jt_format_bytes(const jt_format *f, uint64_t n, uint64_t *out) {
    if (n % f->block) return false;
    return !__builtin_mul_overflow(n / f->block, (uint64_t)f->bytes, out);
}
