/* ternary.c: TQ1_0 and TQ2_0, weights -d, 0 and d. */
#include "tensor/formats/formats.h"

/* Digit `i` of a byte that holds five (or four) base-3 digits as a fraction: byte = ceil(256 * number / 243). */
static float ternary_digit(unsigned byte, int i, float d) {
    static const uint8_t power[5] = {1, 3, 9, 27, 81};
    unsigned rest = byte * power[i] & 255;
    return d * (float)((int)(rest * 3 >> 8) - 1);
}

/* five digits a byte: [32] at 0 for weights 0 to 159, [16] at 32 for 160 to 239; four digits a byte: [4] at 48; d at 52.
 * The first digits of all bytes of a group come first, then the second ones. */
void jt_expand_tq1_0(const void *in, float *out, size_t n) {
    const unsigned char *p = in;
    for (; n; n -= 256, p += 54) {
        float d = jt_half_at(p + 52);
        for (int i = 0; i < 5; i++)
            for (int j = 0; j < 32; j++) *out++ = ternary_digit(p[j], i, d);
        for (int i = 0; i < 5; i++)
            for (int j = 0; j < 16; j++) *out++ = ternary_digit(p[32 + j], i, d);
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 4; j++) *out++ = ternary_digit(p[48 + j], i, d);
    }
}

/* two bits of each weight [64] at 0, d at 64 */
void jt_expand_tq2_0(const void *in, float *out, size_t n) {
    const unsigned char *p = in;
    for (; n; n -= 256, p += 66) {
        float d = jt_half_at(p + 64);
        for (int half = 0; half < 2; half++)
            for (int g = 0; g < 4; g++)
                for (int l = 0; l < 32; l++) *out++ = d * (float)((p[32 * half + l] >> 2 * g & 3) - 1);
    }
}
