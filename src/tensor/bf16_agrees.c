/* bf16_agrees.c: whether a processor's products in bfloat16 have the bits of the scalar ones.
 *
 * Intel's manual gives the order of the sums of vdpbf16ps and their rounding; AMD's processors have the instruction too. A
 * processor that does otherwise must not be trusted with it, so the table that uses it is picked only after this. */
#include <math.h>
#include <string.h>

#include "tensor/kernels.h"

enum { AGREES_ROWS = 24, AGREES_COLS = 8, AGREES_KINDS = 5 };

/* splitmix64 (Steele, Lea and Flood 2014) */
static uint64_t agrees_bits(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* A bfloat16 for column c: numbers of like size, whose sums are rounded; of any size; 2^-63, whose product is the smallest normal
 * number, and then what adds a few of its last digits; denormals, infinities and NaN among others; zeros and the least
 * numbers, and then products below the normal ones. */
static uint16_t agrees_number(uint64_t *state, int kind, int c) {
    static const uint16_t odd[] = {0x0000, 0x8000, 0x0001, 0x807f, 0x0080, 0x80ff, 0x7f7f, 0xff7f, 0x7f80, 0xff80, 0x7fc0, 0x3f80};
    uint64_t r = agrees_bits(state);
    uint16_t digits = r & 0x807f;
    unsigned any = (unsigned)(r >> 20 & 255);
    switch (kind) {
    case 0: return digits | (uint16_t)((124 + any % 8) << 7);
    case 1: return digits | (uint16_t)((any ? any : 1) % 255 << 7);
    case 2: return c == 0 ? 0 : c == 1 ? 0x2000 | (r & 0x8000) : digits | (uint16_t)((51 + any % 3) << 7);
    case 3: return any % 4 ? digits | (uint16_t)((120 + any % 16) << 7) : odd[any / 4 % 12];
    default: return c < 4 ? odd[any % 8] : digits | (uint16_t)((60 + any % 8) << 7);
    }
}

static bool agrees_float(float a, float b) {
    uint32_t x, y;
    memcpy(&x, &a, sizeof x), memcpy(&y, &b, sizeof y);
    return x == y || (isnan(a) && isnan(b));
}

int jt_bf16_agrees(const jt_kernels *k) {
    enum { STRIDE = 32 };
    uint64_t state = 1;
    for (int kind = 0; kind < AGREES_KINDS; kind++) {
        _Alignas(64) uint16_t x[AGREES_ROWS * STRIDE] = {0}, w[AGREES_COLS / 2 * 2 * JT_PANEL];
        float want[AGREES_ROWS * JT_PANEL], got[AGREES_ROWS * JT_PANEL];
        for (int r = 0; r < AGREES_ROWS; r++)
            for (int c = 0; c < AGREES_COLS; c++) x[r * STRIDE + c] = agrees_number(&state, kind, c);
        for (int i = 0; i < AGREES_COLS * JT_PANEL; i++) w[i] = agrees_number(&state, kind, i / (2 * JT_PANEL) * 2 + i % 2);
        jt_acts a = {.rows = AGREES_ROWS, .cols = AGREES_COLS, .b = x};
        jt_kernels_scalar.panel_bf16(w, &a, 0, AGREES_ROWS, want, JT_PANEL);
        k->panel_bf16(w, &a, 0, AGREES_ROWS, got, JT_PANEL);
        for (int i = 0; i < AGREES_ROWS * JT_PANEL; i++)
            if (!agrees_float(want[i], got[i])) return 0;
    }
    return 1;
}
