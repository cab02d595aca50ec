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

/* name, GGUF number, weights a block, bytes a block, panel, quantised, expansion. */
#define FORMATS(X)                                                                                                                         \
    X("f32", 0, 1, 4, JT_PANEL_F32, false, expand_f32)                                                                                     \
    X("f16", 1, 1, 2, JT_PANEL_F16, false, expand_f16)                                                                                     \
    X("q4_0", 2, 32, 18, JT_PANEL_I4, true, jt_expand_q4_0)                                                                                \
    X("q4_1", 3, 32, 20, JT_PANEL_I4M, true, jt_expand_q4_1)                                                                               \
    X("q5_0", 6, 32, 22, JT_PANEL_F32, false, jt_expand_q5_0)                                                                              \
    X("q5_1", 7, 32, 24, JT_PANEL_F32, false, jt_expand_q5_1)                                                                              \
    X("q8_0", 8, 32, 34, JT_PANEL_I8, true, jt_expand_q8_0)                                                                                \
    X("q8_1", 9, 32, 36, JT_PANEL_NONE, true, NULL)                                                                                        \
    X("q2_k", 10, 256, 84, JT_PANEL_F32, false, jt_expand_q2_k)                                                                            \
    X("q3_k", 11, 256, 110, JT_PANEL_F32, false, jt_expand_q3_k)                                                                           \
    X("q4_k", 12, 256, 144, JT_PANEL_F32, false, jt_expand_q4_k)                                                                           \
    X("q5_k", 13, 256, 176, JT_PANEL_F32, false, jt_expand_q5_k)                                                                           \
    X("q6_k", 14, 256, 210, JT_PANEL_F32, false, jt_expand_q6_k)                                                                           \
    X("q8_k", 15, 256, 292, JT_PANEL_NONE, true, NULL)                                                                                     \
    X("iq2_xxs", 16, 256, 66, JT_PANEL_F32, false, jt_expand_iq2_xxs)                                                                      \
    X("iq2_xs", 17, 256, 74, JT_PANEL_F32, false, jt_expand_iq2_xs)                                                                        \
    X("iq3_xxs", 18, 256, 98, JT_PANEL_F32, false, jt_expand_iq3_xxs)                                                                      \
    X("iq1_s", 19, 256, 50, JT_PANEL_F32, false, jt_expand_iq1_s)                                                                          \
    X("iq4_nl", 20, 32, 18, JT_PANEL_F32, false, jt_expand_iq4_nl)                                                                         \
    X("iq3_s", 21, 256, 110, JT_PANEL_F32, false, jt_expand_iq3_s)                                                                         \
    X("iq2_s", 22, 256, 82, JT_PANEL_F32, false, jt_expand_iq2_s)                                                                          \
    X("iq4_xs", 23, 256, 136, JT_PANEL_F32, false, jt_expand_iq4_xs)                                                                       \
    X("i8", 24, 1, 1, JT_PANEL_NONE, false, NULL)                                                                                          \
    X("i16", 25, 1, 2, JT_PANEL_NONE, false, NULL)                                                                                         \
    X("i32", 26, 1, 4, JT_PANEL_NONE, false, NULL)                                                                                         \
    X("i64", 27, 1, 8, JT_PANEL_NONE, false, NULL)                                                                                         \
    X("f64", 28, 1, 8, JT_PANEL_NONE, false, NULL)                                                                                         \
    X("iq1_m", 29, 256, 56, JT_PANEL_F32, false, jt_expand_iq1_m)                                                                          \
    X("bf16", 30, 1, 2, JT_PANEL_BF16, false, expand_bf16)                                                                                 \
    X("tq1_0", 34, 256, 54, JT_PANEL_F32, false, jt_expand_tq1_0)                                                                          \
    X("tq2_0", 35, 256, 66, JT_PANEL_F32, false, jt_expand_tq2_0)                                                                          \
    X("mxfp4", 39, 32, 17, JT_PANEL_F32, false, jt_expand_mxfp4)                                                                           \
    X("nvfp4", 40, 64, 36, JT_PANEL_F32, false, jt_expand_nvfp4)                                                                           \
    X("q1_0", 41, 128, 18, JT_PANEL_NONE, true, NULL)                                                                                      \
    X("q2_0", 42, 64, 18, JT_PANEL_NONE, true, NULL)

/* Products in 8 bits go by 32 columns. */
#define CHECK(name, type, block, bytes, panel, quantised, expand)                                                                          \
    static_assert((panel) == JT_PANEL_NONE || !(quantised) || 32 % (block) == 0 || (block) % 32 == 0, name " must fit 32 columns");
FORMATS(CHECK)
#undef CHECK

#define ROW(name, type, block, bytes, panel, quantised, expand) {name, type, block, bytes, panel, quantised, expand},
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
