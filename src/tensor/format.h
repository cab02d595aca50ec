/* format.h: the block formats of weights, one row each.
 *
 * Layouts follow the GGUF format (ggml): see docs/formats.md. A format that has
 * `expand` can be computed with; the others are known by name and size, so that
 * files holding them can be listed and are refused by name. */
#ifndef JT_TENSOR_FORMAT_H
#define JT_TENSOR_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Numbers are those of the GGUF format. */
typedef enum jt_type {
    JT_F32 = 0,
    JT_F16 = 1,
    JT_Q4_0 = 2,
    JT_Q4_1 = 3,
    JT_Q5_0 = 6,
    JT_Q5_1 = 7,
    JT_Q8_0 = 8,
    JT_Q2_K = 10,
    JT_Q3_K = 11,
    JT_Q4_K = 12,
    JT_Q5_K = 13,
    JT_Q6_K = 14,
    JT_IQ2_XXS = 16,
    JT_IQ2_XS = 17,
    JT_IQ3_XXS = 18,
    JT_IQ1_S = 19,
    JT_IQ4_NL = 20,
    JT_IQ3_S = 21,
    JT_IQ2_S = 22,
    JT_IQ4_XS = 23,
    JT_IQ1_M = 29,
    JT_BF16 = 30,
    JT_TQ1_0 = 34,
    JT_TQ2_0 = 35,
    JT_MXFP4 = 39,
    JT_NVFP4 = 40
} jt_type;

/* How packed panels of the format are laid out (see pack.h). */
typedef enum jt_panel_kind {
    JT_PANEL_NONE,
    JT_PANEL_F32,
    JT_PANEL_F16,
    JT_PANEL_BF16,
    JT_PANEL_PAIRS, /* no format's own: what products in bfloat16 read */
    JT_PANEL_I4,
    JT_PANEL_I4M,
    JT_PANEL_I8,
    JT_PANEL_I5,
    JT_PANEL_I5M,
    JT_PANEL_L4,
    JT_PANEL_L4E,
    JT_PANEL_L4N,
    JT_PANEL_K2,
    JT_PANEL_K3,
    JT_PANEL_K4,
    JT_PANEL_K5,
    JT_PANEL_K6,
    JT_PANEL_T2,
    JT_PANEL_KL4,
    JT_PANEL_KL3,
    JT_PANEL_KL3H
} jt_panel_kind;

/* One block of up to 256 weights as integers: weight i is scale[i / 16] * code[i], the product rounded, plus min[i / 16] in
 * formats that have minima. */
typedef struct jt_codes {
    int8_t code[256];
    float scale[16], min[16];
    /* What panels keep of them. Blocks of 256: scale[i] = (d * unit) * (float)small[i], min[i] = -(dmin * (float)least[i]), d and
     * dmin halfs. Blocks of 32: d is the scale, dmin the minimum. MXFP4: small[i] is the exponent's byte; NVFP4: the number's, 0
     * where that is none. */
    uint16_t d, dmin;
    float unit;
    int8_t small[16];
    uint8_t least[16];
    const int8_t *values; /* NULL, or 16 values of which every code is one, of the first 8 where the panel has three bits */
} jt_codes;

typedef struct jt_format {
    const char *name; /* lower case, as people write it: "q4_1" */
    uint32_t type;    /* the GGUF number */
    uint16_t block;   /* weights a block */
    uint16_t bytes;   /* bytes a block */
    jt_panel_kind panel;
    bool quantised; /* products may use int8 activations */
    /* n weights (a multiple of `block`) to float32, exactly. NULL: not computed with. */
    void (*expand)(const void *in, float *out, size_t n);
    /* One block as integers. NULL in formats whose panels hold what the file holds. */
    void (*codes)(const unsigned char *block, jt_codes *out);
} jt_format;

/* The row of a GGUF type number or of a name, NULL if there is none. */
const jt_format *jt_format_of(uint32_t type);
const jt_format *jt_format_named(const char *name);
/* All rows, in GGUF order. */
const jt_format *jt_formats(int *n);
/* Bytes of n weights; false when n is no whole number of blocks or the product overflows. */
bool jt_format_bytes(const jt_format *f, uint64_t n, uint64_t *out);

/* IEEE half and bfloat16. Narrowing rounds to nearest even; NaN stays NaN. */
float jt_f16_to_f32(uint16_t h);
uint16_t jt_f32_to_f16(float x);
float jt_bf16_to_f32(uint16_t h);
uint16_t jt_f32_to_bf16(float x);

#endif
