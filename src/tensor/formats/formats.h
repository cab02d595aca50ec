/* formats.h: what the files of block formats share: their expansions to float32, or to integers with scales, and the pieces of
 * their layouts.
 *
 * Each expansion takes n weights, a whole number of blocks, at any address. Scales and products are rounded as
 * docs/formats.md writes them, one float32 operation at a time. */
#ifndef JT_TENSOR_FORMATS_FORMATS_H
#define JT_TENSOR_FORMATS_FORMATS_H

#include <string.h>

#include "tensor/format.h"

void jt_expand_q4_0(const void *in, float *out, size_t n);
void jt_expand_q4_1(const void *in, float *out, size_t n);
void jt_expand_q8_0(const void *in, float *out, size_t n);

/* One block as integers and scales. */
void jt_codes_q5_0(const unsigned char *p, jt_codes *c);
void jt_codes_q5_1(const unsigned char *p, jt_codes *c);
void jt_codes_q2_k(const unsigned char *p, jt_codes *c);
void jt_codes_q3_k(const unsigned char *p, jt_codes *c);
void jt_codes_q4_k(const unsigned char *p, jt_codes *c);
void jt_codes_q5_k(const unsigned char *p, jt_codes *c);
void jt_codes_q6_k(const unsigned char *p, jt_codes *c);
void jt_codes_iq4_nl(const unsigned char *p, jt_codes *c);
void jt_codes_iq4_xs(const unsigned char *p, jt_codes *c);
void jt_codes_mxfp4(const unsigned char *p, jt_codes *c);
void jt_codes_nvfp4(const unsigned char *p, jt_codes *c);
void jt_codes_tq1_0(const unsigned char *p, jt_codes *c);
void jt_codes_tq2_0(const unsigned char *p, jt_codes *c);
void jt_codes_iq2_xxs(const unsigned char *p, jt_codes *c);
void jt_codes_iq2_xs(const unsigned char *p, jt_codes *c);
void jt_codes_iq2_s(const unsigned char *p, jt_codes *c);
void jt_codes_iq3_xxs(const unsigned char *p, jt_codes *c);
void jt_codes_iq3_s(const unsigned char *p, jt_codes *c);
void jt_codes_iq1_s(const unsigned char *p, jt_codes *c);
void jt_codes_iq1_m(const unsigned char *p, jt_codes *c);

/* The 16 values of IQ4_NL and IQ4_XS, and those of MXFP4 and NVFP4 (twice the E2M1 numbers). */
extern const int8_t jt_values_iq4[16], jt_values_fp4[16];
/* The scale byte of MXFP4 (half the E8M0 power of two, since the values are doubled), and of NVFP4 (half its E4M3 number). */
float jt_scale_mxfp4(uint8_t e);
float jt_scale_nvfp4(uint8_t e);

/* The 6-bit scales and minima of the 8 sub-blocks of Q4_K and Q5_K. */
void jt_k_scales(const unsigned char in[12], uint8_t scale[8], uint8_t min[8]);
/* The 6-bit scales of the 16 sub-blocks of Q3_K, 0 to 63, of which 32 is to be taken off. */
void jt_q3_k_scales(const unsigned char in[12], uint8_t scale[16]);

/* The codebooks: entry i's elements, the first lowest. 8 of 2 bits: 0, 1, 2 for 8, 25, 43 in IQ2 and for -1, 0, 1 in IQ1.
 * 4 of 4 bits: 0 to 7 for the values of jt_values_iq3_xxs, and for 1, 3, ... 15 in IQ3_S. */
extern const uint16_t jt_grid_iq2_xxs[256], jt_grid_iq2_xs[512], jt_grid_iq2_s[1024], jt_grid_iq3_xxs[256], jt_grid_iq3_s[512],
    jt_grid_iq1[2048];

static inline uint16_t jt_u16_at(const unsigned char *p) {
    uint16_t u;
    memcpy(&u, p, sizeof u);
    return u;
}

static inline uint32_t jt_u32_at(const unsigned char *p) {
    uint32_t u;
    memcpy(&u, p, sizeof u);
    return u;
}

static inline float jt_half_at(const unsigned char *p) { return jt_f16_to_f32(jt_u16_at(p)); }

/* The scales, and the minima, of a block of 256 from d, dmin and the integers of jt_codes. */
static inline void jt_codes_scale(jt_codes *c, float unit) {
    float d = jt_f16_to_f32(c->d) * unit;
    c->unit = unit;
    for (int i = 0; i < 16; i++) c->scale[i] = d * (float)c->small[i];
}
static inline void jt_codes_least(jt_codes *c) {
    float dmin = jt_f16_to_f32(c->dmin);
    for (int i = 0; i < 16; i++) c->min[i] = -(dmin * (float)c->least[i]);
}

#endif
