/* ternary.c: TQ1_0 and TQ2_0, weights -d, 0 and d. */
#include "tensor/formats/formats.h"

/* Digit `i` of a byte that holds five (or four) base-3 digits as a fraction: byte = ceil(256 * number / 243). */
static int8_t ternary_digit(unsigned byte, int i) {
    static const uint8_t power[5] = {1, 3, 9, 27, 81};
    unsigned rest = byte * power[i] & 255;
    return (int8_t)((int)(rest * 3 >> 8) - 1);
}

static void ternary_scale(const unsigned char *d, jt_codes *c) {
    c->d = jt_u16_at(d);
    memset(c->small, 1, sizeof c->small);
    jt_codes_scale(c, 1);
}

/* five digits a byte: [32] at 0 for weights 0 to 159, [16] at 32 for 160 to 239; four digits a byte: [4] at 48; d at 52.
 * The first digits of all bytes of a group come first, then the second ones. */
void jt_codes_tq1_0(const unsigned char *p, jt_codes *c) {
    int8_t *out = c->code;
    ternary_scale(p + 52, c);
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 32; j++) *out++ = ternary_digit(p[j], i);
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 16; j++) *out++ = ternary_digit(p[32 + j], i);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) *out++ = ternary_digit(p[48 + j], i);
}

/* two bits of each weight [64] at 0, d at 64 */
void jt_codes_tq2_0(const unsigned char *p, jt_codes *c) {
    ternary_scale(p + 64, c);
    for (int i = 0; i < 256; i++) c->code[i] = (int8_t)((p[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3) - 1);
}
