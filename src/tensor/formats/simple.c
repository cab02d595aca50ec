/* simple.c: blocks of 32 weights with one scale (Q*_0) or a scale and a minimum (Q*_1) in front of the quants.
 *
 * Nibbles: the low ones of 16 bytes are elements 0 to 15, the high ones 16 to 31. The fifth bit of element i of
 * Q5_0 and Q5_1 is bit i of a 32-bit word before the nibbles. */
#include "tensor/formats/formats.h"

void jt_expand_q4_0(const void *in, float *out, size_t n) {
    const unsigned char *p = in;
    for (; n; n -= 32, p += 18, out += 32) {
        float d = jt_half_at(p);
        for (int j = 0; j < 16; j++) {
            out[j] = d * (float)((p[2 + j] & 15) - 8);
            out[16 + j] = d * (float)((p[2 + j] >> 4) - 8);
        }
    }
}

void jt_expand_q4_1(const void *in, float *out, size_t n) {
    const unsigned char *p = in;
    for (; n; n -= 32, p += 20, out += 32) {
        float d = jt_half_at(p), m = jt_half_at(p + 2);
        for (int j = 0; j < 16; j++) {
            out[j] = d * (float)(p[4 + j] & 15) + m;
            out[16 + j] = d * (float)(p[4 + j] >> 4) + m;
        }
    }
}

static void codes_fifth(const unsigned char *fifth, const unsigned char *nibbles, int offset, jt_codes *c) {
    uint32_t bits = jt_u32_at(fifth);
    for (int j = 0; j < 16; j++) {
        c->code[j] = (int8_t)((int)((nibbles[j] & 15u) | (bits >> j & 1) << 4) - offset);
        c->code[16 + j] = (int8_t)((int)(nibbles[j] >> 4 | (bits >> (16 + j) & 1) << 4) - offset);
    }
}

void jt_codes_q5_0(const unsigned char *p, jt_codes *c) {
    c->d = jt_u16_at(p);
    c->scale[0] = c->scale[1] = jt_half_at(p);
    codes_fifth(p + 2, p + 6, 16, c);
}

void jt_codes_q5_1(const unsigned char *p, jt_codes *c) {
    c->d = jt_u16_at(p), c->dmin = jt_u16_at(p + 2);
    c->scale[0] = c->scale[1] = jt_half_at(p);
    c->min[0] = c->min[1] = jt_half_at(p + 2);
    codes_fifth(p + 4, p + 8, 0, c);
}

void jt_expand_q8_0(const void *in, float *out, size_t n) {
    const unsigned char *p = in;
    for (; n; n -= 32, p += 34, out += 32) {
        float d = jt_half_at(p);
        for (int j = 0; j < 32; j++) out[j] = d * (float)(int8_t)p[2 + j];
    }
}
