/* codebook.c: IQ2, IQ3 and IQ1, where an index chooses 8 (or 4) weights together from a codebook (grids.c).
 *
 * Magnitudes come from the codebook; in IQ2 and IQ3 signs are stored apart, bit i for weight i of 8. The formats
 * ending in xxs, and IQ2_XS, store seven of the eight: the last makes their number even. */
#include "tensor/formats/formats.h"

static const uint8_t values_iq2[4] = {8, 25, 43, 0}, values_iq3_xxs[8] = {4, 12, 20, 28, 36, 44, 52, 62};
/* With their signs, for panels. */
static const int8_t codes_of_iq2[16] = {8, 25, 43, 0, -8, -25, -43}, codes_of_iq1[16] = {-9, -7, -1, 1, 7, 9},
                    codes_of_iq3_xxs[16] = {4, 12, 20, 28, 36, 44, 52, 62, -4, -12, -20, -28, -36, -44, -52, -62},
                    codes_of_iq3_s[16] = {1, 3, 5, 7, 9, 11, 13, 15, -1, -3, -5, -7, -9, -11, -13, -15};

static unsigned signs_of_seven(unsigned seven) {
    unsigned parity = seven ^ seven >> 4;
    parity ^= parity >> 2;
    return seven | ((parity ^ parity >> 1) & 1) << 7;
}

/* 8 weights of IQ2: the codebook's magnitude, then the sign. */
static void codes_iq2(int8_t *out, unsigned entry, unsigned signs) {
    for (int i = 0; i < 8; i++) {
        int w = values_iq2[entry >> 2 * i & 3];
        out[i] = (int8_t)(signs >> i & 1 ? -w : w);
    }
}

/* d at 0; for each 32 weights [8] at 2: four indexes, then a word of four times seven signs and a scale of four bits */
void jt_codes_iq2_xxs(const unsigned char *p, jt_codes *c) {
    c->d = jt_u16_at(p), c->values = codes_of_iq2;
    for (int j = 0; j < 8; j++) {
        const unsigned char *q = p + 2 + 8 * j;
        uint32_t word = jt_u32_at(q + 4);
        c->small[2 * j] = c->small[2 * j + 1] = (int8_t)(2 * (word >> 28) + 1);
        for (int i = 0; i < 4; i++) codes_iq2(c->code + 32 * j + 8 * i, jt_grid_iq2_xxs[q[i]], signs_of_seven(word >> 7 * i & 127));
    }
    jt_codes_scale(c, 0.125f);
}

/* The scales of 16 weights in nibbles. */
static void codes_iq2_scales(const unsigned char *in, const unsigned char *d, jt_codes *c) {
    c->d = jt_u16_at(d), c->values = codes_of_iq2;
    for (int j = 0; j < 16; j++) c->small[j] = (int8_t)(2 * (in[j / 2] >> j % 2 * 4 & 15) + 1);
    jt_codes_scale(c, 0.125f);
}

/* d at 0; for each 8 weights a word [32] at 2 of nine bits of index and seven signs; scales of 16 weights in nibbles [8] at 66 */
void jt_codes_iq2_xs(const unsigned char *p, jt_codes *c) {
    codes_iq2_scales(p + 66, p, c);
    for (int j = 0; j < 32; j++) {
        unsigned q = jt_u16_at(p + 2 + 2 * j);
        codes_iq2(c->code + 8 * j, jt_grid_iq2_xs[q & 511], signs_of_seven(q >> 9));
    }
}

/* d at 0; low eight bits of 32 indexes at 2, signs [32] at 34, two high bits of the indexes [8] at 66, scales [8] at 74 */
void jt_codes_iq2_s(const unsigned char *p, jt_codes *c) {
    codes_iq2_scales(p + 74, p, c);
    for (int j = 0; j < 32; j++) {
        unsigned index = p[2 + j] | (p[66 + j / 4] >> j % 4 * 2 & 3u) << 8;
        codes_iq2(c->code + 8 * j, jt_grid_iq2_s[index], p[34 + j]);
    }
}

/* d at 0, indexes of 4 weights [64] at 2; for each 32 weights a word [8] at 66 of four times seven signs and a scale */
void jt_codes_iq3_xxs(const unsigned char *p, jt_codes *c) {
    c->d = jt_u16_at(p), c->values = codes_of_iq3_xxs;
    for (int j = 0; j < 64; j++) {
        uint32_t word = jt_u32_at(p + 66 + j / 8 * 4);
        c->small[j / 4] = (int8_t)(2 * (word >> 28) + 1);
        unsigned signs = signs_of_seven(word >> j / 2 % 4 * 7 & 127) >> j % 2 * 4, entry = jt_grid_iq3_xxs[p[2 + j]];
        for (int i = 0; i < 4; i++) {
            int w = values_iq3_xxs[entry >> 4 * i & 7];
            c->code[4 * j + i] = (int8_t)(signs >> i & 1 ? -w : w);
        }
    }
    jt_codes_scale(c, 0.25f);
}

/* d at 0, low eight bits of 64 indexes of 4 weights at 2, their ninth bits [8] at 66, signs [32] at 74, scales of 32 weights
 * in nibbles [4] at 106 */
void jt_codes_iq3_s(const unsigned char *p, jt_codes *c) {
    c->d = jt_u16_at(p), c->values = codes_of_iq3_s;
    for (int j = 0; j < 64; j++) {
        unsigned index = p[2 + j] | (p[66 + j / 8] >> j % 8 & 1u) << 8, scale = p[106 + j / 16] >> j / 8 % 2 * 4 & 15;
        unsigned signs = p[74 + j / 2] >> j % 2 * 4, entry = jt_grid_iq3_s[index];
        c->small[j / 4] = (int8_t)(1 + 2 * scale);
        for (int i = 0; i < 4; i++) {
            int w = 1 + 2 * (entry >> 4 * i & 7);
            c->code[4 * j + i] = (int8_t)(signs >> i & 1 ? -w : w);
        }
    }
    jt_codes_scale(c, 1);
}

/* 8 weights of IQ1, -1, 0 or 1, all moved by an eighth up or down: in eighths, and so is their scale. */
static void codes_iq1(int8_t *out, unsigned entry, bool down) {
    for (int i = 0; i < 8; i++) out[i] = (int8_t)(8 * ((int)(entry >> 2 * i & 3) - 1) + (down ? -1 : 1));
}

/* d at 0, low eight bits of 32 indexes at 2; for each 32 weights a word [8] at 34: four times three high bits of an index, a
 * scale of three bits, and the direction of the shift */
void jt_codes_iq1_s(const unsigned char *p, jt_codes *c) {
    c->d = jt_u16_at(p), c->values = codes_of_iq1;
    for (int j = 0; j < 32; j++) {
        unsigned word = jt_u16_at(p + 34 + j / 4 * 2), index = p[2 + j] | (word >> j % 4 * 3 & 7) << 8;
        c->small[j / 2] = (int8_t)(2 * (word >> 12 & 7) + 1);
        codes_iq1(c->code + 8 * j, jt_grid_iq1[index], word >> 15);
    }
    jt_codes_scale(c, 0.125f);
}

/* low eight bits of 32 indexes at 0; a nibble each [16] at 32 of three high bits and the direction of the shift; four words at
 * 48: each four scales of 16 weights, three bits each, and four bits of d, the lowest first */
void jt_codes_iq1_m(const unsigned char *p, jt_codes *c) {
    unsigned half = 0;
    for (int i = 0; i < 4; i++) half |= (jt_u16_at(p + 48 + 2 * i) >> 12u) << 4 * i;
    c->d = (uint16_t)half, c->values = codes_of_iq1;
    for (int j = 0; j < 32; j++) {
        unsigned nibble = p[32 + j / 2] >> j % 2 * 4 & 15, index = p[j] | (nibble & 7) << 8;
        unsigned scale = jt_u16_at(p + 48 + j / 8 * 2) >> j / 2 % 4 * 3 & 7;
        c->small[j / 2] = (int8_t)(2 * scale + 1);
        codes_iq1(c->code + 8 * j, jt_grid_iq1[index], nibble >> 3);
    }
    jt_codes_scale(c, 0.125f);
}
