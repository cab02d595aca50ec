/* plans.c: which block formats are written, and how their blocks are laid out (docs/formats.md). */
#include <string.h>

#include "tensor/formats/formats.h"
#include "tensor/quant/block.h"

static void put_half(uint16_t h, unsigned char *out) { memcpy(out, &h, 2); }

/* The low nibbles of the bytes first, then the high ones. */
static void put_nibbles(const uint8_t *q, int bytes, unsigned char *out) {
    for (int i = 0; i < bytes; i++) out[i] = (unsigned char)((q[i] & 15) | (q[bytes + i] & 15) << 4);
}

static void put_fifth_bits(const uint8_t *q, unsigned char *out) {
    for (int i = 0; i < 4; i++) {
        unsigned bits = 0;
        for (int j = 0; j < 8; j++) bits |= (unsigned)(q[8 * i + j] >> 4) << j;
        out[i] = (unsigned char)bits;
    }
}

static void pack_x_0(const jt_quant_block *b, unsigned char *out) {
    put_half(b->d, out);
    put_nibbles(b->q, 16, out + 2);
}

static void pack_x_1(const jt_quant_block *b, unsigned char *out) {
    put_half(b->d, out);
    put_half(b->dmin, out + 2);
    put_nibbles(b->q, 16, out + 4);
}

static void pack_q5_0(const jt_quant_block *b, unsigned char *out) {
    put_half(b->d, out);
    put_fifth_bits(b->q, out + 2);
    put_nibbles(b->q, 16, out + 6);
}

static void pack_q5_1(const jt_quant_block *b, unsigned char *out) {
    put_half(b->d, out);
    put_half(b->dmin, out + 2);
    put_fifth_bits(b->q, out + 4);
    put_nibbles(b->q, 16, out + 8);
}

static void pack_q8_0(const jt_quant_block *b, unsigned char *out) {
    put_half(b->d, out);
    for (int i = 0; i < 32; i++) out[2 + i] = (unsigned char)(b->q[i] - 127);
}

/* Two bits, `from` on, of each of 256 quants: 32 weights a shift. */
static void put_pairs(const uint8_t *q, int from, unsigned char *out) {
    for (int i = 0; i < 64; i++) {
        const uint8_t *at = q + i / 32 * 128 + i % 32;
        unsigned bits = 0;
        for (int g = 0; g < 4; g++) bits |= (at[32 * g] >> from & 3u) << 2 * g;
        out[i] = (unsigned char)bits;
    }
}

/* One bit, `bit`, of each of 256 quants: weight i in bit i / 32 of byte i % 32. */
static void put_bits(const uint8_t *q, int bit, unsigned char *out) {
    for (int i = 0; i < 32; i++) {
        unsigned bits = 0;
        for (int j = 0; j < 8; j++) bits |= (q[32 * j + i] >> bit & 1u) << j;
        out[i] = (unsigned char)bits;
    }
}

static void pack_q2_k(const jt_quant_block *b, unsigned char *out) {
    for (int j = 0; j < 16; j++) out[j] = (unsigned char)(b->scale[j] | b->min[j] << 4);
    put_pairs(b->q, 0, out + 16);
    put_half(b->d, out + 80);
    put_half(b->dmin, out + 82);
}

static void pack_q3_k(const jt_quant_block *b, unsigned char *out) {
    put_bits(b->q, 2, out);
    put_pairs(b->q, 0, out + 32);
    memset(out + 96, 0, 12);
    for (int j = 0; j < 16; j++) {
        int s = b->scale[j] + 32;
        out[96 + j % 8] |= (unsigned char)((s & 15) << j / 8 * 4);
        out[104 + j % 4] |= (unsigned char)((s >> 4) << j / 4 * 2);
    }
    put_half(b->d, out + 108);
}

static void put_k_scales(const jt_quant_block *b, unsigned char *out) {
    put_half(b->d, out);
    put_half(b->dmin, out + 2);
    for (int j = 0; j < 4; j++) {
        out[4 + j] = (unsigned char)(b->scale[j] | (b->scale[j + 4] >> 4) << 6);
        out[8 + j] = (unsigned char)(b->min[j] | (b->min[j + 4] >> 4) << 6);
        out[12 + j] = (unsigned char)((b->scale[j + 4] & 15) | (b->min[j + 4] & 15) << 4);
    }
}

static void pack_q4_k(const jt_quant_block *b, unsigned char *out) {
    put_k_scales(b, out);
    for (int j = 0; j < 4; j++) put_nibbles(b->q + 64 * j, 32, out + 16 + 32 * j);
}

static void pack_q5_k(const jt_quant_block *b, unsigned char *out) {
    put_k_scales(b, out);
    put_bits(b->q, 4, out + 16);
    for (int j = 0; j < 4; j++) put_nibbles(b->q + 64 * j, 32, out + 48 + 32 * j);
}

static void pack_q6_k(const jt_quant_block *b, unsigned char *out) {
    for (int half = 0; half < 2; half++) put_nibbles(b->q + 128 * half, 64, out + 64 * half);
    put_pairs(b->q, 4, out + 128);
    for (int j = 0; j < 16; j++) out[192 + j] = (unsigned char)b->scale[j];
    put_half(b->d, out + 208);
}

static void pack_iq4_xs(const jt_quant_block *b, unsigned char *out) {
    put_half(b->d, out);
    memset(out + 2, 0, 6);
    unsigned high = 0;
    for (int j = 0; j < 8; j++) {
        unsigned s = (unsigned)(b->scale[j] + 32);
        out[4 + j / 2] |= (unsigned char)((s & 15) << j % 2 * 4);
        high |= (s >> 4) << 2 * j;
        put_nibbles(b->q + 32 * j, 16, out + 8 + 16 * j);
    }
    put_half((uint16_t)high, out + 2);
}

static const jt_quant_plan plans[] = {
    {JT_Q4_0, 1, 32, false, 1, 1, -8, 7, NULL, pack_x_0},
    {JT_Q4_1, 1, 32, true, 1, 1, 0, 15, NULL, pack_x_1},
    {JT_Q5_0, 1, 32, false, 1, 1, -16, 15, NULL, pack_q5_0},
    {JT_Q5_1, 1, 32, true, 1, 1, 0, 31, NULL, pack_q5_1},
    {JT_Q8_0, 1, 32, false, 1, 1, -127, 127, NULL, pack_q8_0},
    {JT_Q2_K, 16, 16, true, 0, 15, 0, 3, NULL, pack_q2_k},
    {JT_Q3_K, 16, 16, false, -32, 31, -4, 3, NULL, pack_q3_k},
    {JT_Q4_K, 8, 32, true, 0, 63, 0, 15, NULL, pack_q4_k},
    {JT_Q5_K, 8, 32, true, 0, 63, 0, 31, NULL, pack_q5_k},
    {JT_Q6_K, 16, 16, false, -128, 127, -32, 31, NULL, pack_q6_k},
    {JT_IQ4_NL, 1, 32, false, 1, 1, -127, 113, jt_values_iq4, pack_x_0},
    {JT_IQ4_XS, 8, 32, false, -32, 31, -127, 113, jt_values_iq4, pack_iq4_xs},
};

const jt_quant_plan *jt_quant_plan_of(uint32_t type) {
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++)
        if (plans[i].type == type) return &plans[i];
    return NULL;
}
