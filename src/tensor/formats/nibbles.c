/* nibbles.c: four bits that choose one of 16 values: IQ4_NL, IQ4_XS, MXFP4 (OCP Microscaling Formats 1.0) and NVFP4.
 *
 * The values of the FP4 formats are twice the E2M1 numbers, so that they are integers; their scales are halved. */
#include "tensor/formats/formats.h"

const int8_t jt_values_iq4[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
const int8_t jt_values_fp4[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/* The low nibbles first, then the high ones. */
static void codes_nibbles(const unsigned char *q, int bytes, const int8_t values[16], jt_codes *c, int at) {
    int8_t *out = c->code + at;
    c->values = values;
    for (int j = 0; j < bytes; j++) {
        out[j] = values[q[j] & 15];
        out[bytes + j] = values[q[j] >> 4];
    }
}

/* d, nibbles [16] at 2 */
void jt_codes_iq4_nl(const unsigned char *p, jt_codes *c) {
    c->d = jt_u16_at(p);
    c->scale[0] = c->scale[1] = jt_half_at(p);
    codes_nibbles(p + 2, 16, jt_values_iq4, c, 0);
}

/* d, two high bits of 8 scales at 2, their low nibbles [4] at 4, nibbles [128] at 8; 32 is taken off a scale */
void jt_codes_iq4_xs(const unsigned char *p, jt_codes *c) {
    int high = jt_u16_at(p + 2);
    c->d = jt_u16_at(p);
    for (int j = 0; j < 8; j++) {
        int scale = (p[4 + j / 2] >> j % 2 * 4 & 15) | (high >> 2 * j & 3) << 4;
        c->small[2 * j] = c->small[2 * j + 1] = (int8_t)(scale - 32);
        codes_nibbles(p + 8 + 16 * j, 16, jt_values_iq4, c, 32 * j);
    }
    jt_codes_scale(c, 1);
}

/* 2^(e - 128): below 2 a denormal. */
float jt_scale_mxfp4(uint8_t e) {
    uint32_t u = e < 2 ? 0x200000u << e : (e - 1u) << 23;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* exponent at 0, nibbles [16] at 1 */
void jt_codes_mxfp4(const unsigned char *p, jt_codes *c) {
    c->small[0] = c->small[1] = (int8_t)p[0];
    c->scale[0] = c->scale[1] = jt_scale_mxfp4(p[0]);
    codes_nibbles(p + 1, 16, jt_values_fp4, c, 0);
}

/* Four bits of exponent with bias 7, three of mantissa, all exact in float32; 0x7f stands for no number and counts as 0. The
 * eighth bit is no sign: it is passed over, but 0xff is then no 0x7f. */
float jt_scale_nvfp4(uint8_t e) {
    int exponent = e >> 3 & 15, mantissa = e & 7;
    if (e == 0x7f) return 0;
    if (!exponent) return (float)mantissa * 0x1p-10f;
    return (float)(8 + mantissa) * (float)(1 << exponent) * 0x1p-11f;
}

/* four scales [4] at 0, for each 16 weights in 8 bytes of nibbles */
void jt_codes_nvfp4(const unsigned char *p, jt_codes *c) {
    for (int j = 0; j < 4; j++) {
        c->small[j] = p[j] == 0x7f ? 0 : (int8_t)(p[j] & 0x7f);
        c->scale[j] = jt_scale_nvfp4(p[j]);
        codes_nibbles(p + 4 + 8 * j, 8, jt_values_fp4, c, 16 * j);
    }
}
