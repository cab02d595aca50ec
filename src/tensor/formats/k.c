/* k.c: Q2_K to Q6_K, super-blocks of 256 weights in sub-blocks of 16 or 32.
 *
 * A sub-block has an integer scale (and in Q2_K, Q4_K and Q5_K an integer minimum); the super-block's halfs d and
 * dmin multiply them. Element i has n = i / 128, g = i % 128 / 32, l = i % 32. */
#include "tensor/formats/formats.h"

void jt_k_scales(const unsigned char in[12], uint8_t scale[8], uint8_t min[8]) {
    for (int j = 0; j < 4; j++) {
        scale[j] = in[j] & 63;
        min[j] = in[j + 4] & 63;
        scale[j + 4] = (uint8_t)((in[j + 8] & 15) | (in[j] >> 6) << 4);
        min[j + 4] = (uint8_t)(in[j + 8] >> 4 | (in[j + 4] >> 6) << 4);
    }
}

void jt_q3_k_scales(const unsigned char in[12], uint8_t scale[16]) {
    for (int j = 0; j < 16; j++) {
        int low = j < 8 ? in[j] & 15 : in[j - 8] >> 4, high = in[8 + j % 4] >> 2 * (j / 4) & 3;
        scale[j] = (uint8_t)(low | high << 4);
    }
}

/* scale and minimum [16] at 0, two bits of each weight [64] at 16, d at 80, dmin at 82 */
void jt_codes_q2_k(const unsigned char *p, jt_codes *c) {
    c->d = jt_u16_at(p + 80), c->dmin = jt_u16_at(p + 82);
    for (int j = 0; j < 16; j++) {
        c->small[j] = (int8_t)(p[j] & 15);
        c->least[j] = p[j] >> 4;
        const unsigned char *q = p + 16 + j / 8 * 32 + j % 2 * 16;
        for (int l = 0; l < 16; l++) c->code[16 * j + l] = q[l] >> j % 8 / 2 * 2 & 3;
    }
    jt_codes_scale(c, 1);
    jt_codes_least(c);
}

/* third bit [32] at 0, two bits of each weight [64] at 32, scales [12] at 96, d at 108; 4 is taken off where the third
 * bit is clear */
void jt_codes_q3_k(const unsigned char *p, jt_codes *c) {
    uint8_t scale[16];
    c->d = jt_u16_at(p + 108);
    jt_q3_k_scales(p + 96, scale);
    for (int j = 0; j < 16; j++) {
        c->small[j] = (int8_t)(scale[j] - 32);
        const unsigned char *third = p + j % 2 * 16, *q = p + 32 + j / 8 * 32 + j % 2 * 16;
        for (int l = 0; l < 16; l++) c->code[16 * j + l] = (int8_t)((q[l] >> j % 8 / 2 * 2 & 3) - (third[l] >> j / 2 & 1 ? 0 : 4));
    }
    jt_codes_scale(c, 1);
}

/* The scales and minima of Q4_K and Q5_K: d, dmin, scales [12] at 4. */
static void codes_k_scales(const unsigned char *p, jt_codes *c) {
    uint8_t scale[8], min[8];
    jt_k_scales(p + 4, scale, min);
    c->d = jt_u16_at(p), c->dmin = jt_u16_at(p + 2);
    for (int j = 0; j < 16; j++) c->small[j] = (int8_t)scale[j / 2], c->least[j] = min[j / 2];
    jt_codes_scale(c, 1);
    jt_codes_least(c);
}

/* nibbles [128] at 16: a sub-block of 32 the low, the next the high ones of 32 bytes */
void jt_codes_q4_k(const unsigned char *p, jt_codes *c) {
    codes_k_scales(p, c);
    for (int j = 0; j < 8; j++)
        for (int l = 0; l < 32; l++) c->code[32 * j + l] = p[16 + j / 2 * 32 + l] >> j % 2 * 4 & 15;
}

/* as Q4_K, with the fifth bits [32] at 16 and the nibbles at 48 */
void jt_codes_q5_k(const unsigned char *p, jt_codes *c) {
    codes_k_scales(p, c);
    for (int j = 0; j < 8; j++)
        for (int l = 0; l < 32; l++) c->code[32 * j + l] = (int8_t)((p[48 + j / 2 * 32 + l] >> j % 2 * 4 & 15) | (p[16 + l] >> j & 1) << 4);
}

/* low nibbles [128] at 0, two high bits [64] at 128, signed scales [16] at 192, d at 208 */
void jt_codes_q6_k(const unsigned char *p, jt_codes *c) {
    c->d = jt_u16_at(p + 208);
    memcpy(c->small, p + 192, 16);
    jt_codes_scale(c, 1);
    for (int j = 0; j < 8; j++) {
        int half = j / 4, g = j % 4;
        const unsigned char *low = p + 64 * half + 32 * (g & 1), *high = p + 128 + 32 * half;
        for (int l = 0; l < 32; l++) c->code[32 * j + l] = (int8_t)(((low[l] >> g / 2 * 4 & 15) | (high[l] >> 2 * g & 3) << 4) - 32);
    }
}
