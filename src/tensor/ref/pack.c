/* pack.c: scalar packing of weight panels and quantising of activations. */
#include <math.h>
#include <string.h>

#include "tensor/formats/formats.h"
#include "tensor/ref/pack_codes.h"
#include "tensor/ref/ref.h"

/* Columns of elements of `size` bytes: [16][cols] to [cols][16]. */
static void ref_pack_elements(const void *const rows[JT_PANEL], int cols, size_t size, unsigned char *out) {
    for (int o = 0; o < JT_PANEL; o++) {
        const unsigned char *in = rows[o];
        for (int c = 0; c < cols; c++) {
            unsigned char *to = out + ((size_t)c * JT_PANEL + (size_t)o) * size;
            if (in)
                memcpy(to, in + (size_t)c * size, size);
            else
                memset(to, 0, size);
        }
    }
}

/* The integers of a block of 32, unsigned, as words of four bytes in the order of a panel. Gives the number of words. */
static size_t ref_fold(int bits, const uint8_t u[32], uint32_t out[8]) {
    uint32_t w[8], more[2] = {0, 0}, bit = 0;
    size_t n = 0;
    memcpy(w, u, sizeof w);
    for (int g = 0; g < 4 && bits >= 4; g++) out[n++] = (w[g] & 0x0f0f0f0f) | (w[4 + g] & 0x0f0f0f0f) << 4;
    int at = bits == 6 ? 4 : 0; /* two bits from here on */
    for (int g = 0; g < 8; g++) {
        more[g / 4] |= (w[g] >> at & 0x03030303) << 2 * (g % 4);
        bit |= (w[g] >> (bits - 1) & 0x01010101) << g;
    }
    if (bits == 2 || bits == 3 || bits == 6) out[n++] = more[0], out[n++] = more[1];
    if (bits == 3 || bits == 5) out[n++] = bit;
    return n;
}

/* Formats whose integers are taken out of their blocks (jt_format.codes). */
static void ref_pack_codes(const jt_format *f, const void *const rows[JT_PANEL], int cols, unsigned char *panel) {
    jt_panel_facts facts = jt_panel_facts_of(f->panel);
    size_t blocks = f->block / 32u;
    jt_ref_places places = {0};
    for (size_t o = 0; o < JT_PANEL; o++)
        for (size_t b = 0; b < (size_t)cols / 32; b += blocks) {
            jt_codes c = {0};
            if (rows[o]) f->codes((const unsigned char *)rows[o] + b / blocks * f->bytes, &c);
            if (facts.lookup) jt_ref_places_of(&places, c.values);
            if (facts.k) jt_ref_pack_header(f->panel, &c, o, panel + jt_panel_group(facts, b));
            for (size_t j = 0; j < blocks; j++) {
                unsigned char *out = panel + jt_panel_codes(facts, b + j);
                uint8_t u[32];
                uint32_t words[8];
                for (int i = 0; i < 32; i++) {
                    int8_t code = c.code[32 * j + (size_t)i];
                    u[i] = facts.lookup ? places.of[(uint8_t)code] : (uint8_t)(code - (facts.by < 0 ? facts.by : 0));
                }
                size_t n = ref_fold(facts.bits, u, words);
                for (size_t i = 0; i < n; i++) memcpy(out + 64 * i + 4 * o, &words[i], 4);
                if (!facts.k) jt_ref_pack_scales(f->panel, &c, j, o, out + facts.step);
            }
        }
}

void jt_ref_pack_panel(const jt_format *f, const void *const rows[JT_PANEL], int cols, void *panel) {
    if (!f->quantised) {
        ref_pack_elements(rows, cols, f->bytes, panel);
        return;
    }
    if (f->codes) {
        ref_pack_codes(f, rows, cols, panel);
        return;
    }
    /* A block is its halfs (d, or d and m), then quants; a row's quants move in groups of four bytes. */
    size_t halfs = f->panel == JT_PANEL_I4M ? 2 : 1, quants = (size_t)f->bytes - 2 * halfs;
    size_t stride = JT_PANEL * (quants + 2 * halfs);
    for (int b = 0; b < cols / 32; b++) {
        unsigned char *out = (unsigned char *)panel + (size_t)b * stride;
        for (size_t o = 0; o < JT_PANEL; o++) {
            unsigned char block[34] = {0};
            if (rows[o]) memcpy(block, (const unsigned char *)rows[o] + (size_t)b * f->bytes, f->bytes);
            for (size_t i = 0; i < quants / 4; i++) memcpy(out + i * 64 + o * 4, block + 2 * halfs + 4 * i, 4);
            for (size_t i = 0; i < halfs; i++) memcpy(out + 16 * quants + 32 * i + 2 * o, block + 2 * i, 2);
        }
    }
}

/* One block of 16: quants and scale; returns the quants' sum. */
static int ref_quantise_block(const float *x, int8_t *q, float *d) {
    /* The largest magnitude by its bits, so that NaN, above all numbers there, is found. */
    uint32_t top = 0;
    for (int i = 0; i < JT_ACT_BLOCK; i++) {
        uint32_t u;
        memcpy(&u, &x[i], sizeof u);
        u &= 0x7fffffff;
        if (u > top) top = u;
    }
    memset(q, 0, JT_ACT_BLOCK);
    if (top >= 0x7f800000) {
        *d = NAN;
        return 0;
    }
    float a, scale;
    memcpy(&a, &top, sizeof a);
    scale = 127 / a;
    *d = 0;
    if (isinf(scale)) return 0;
    *d = a / 127;
    int sum = 0;
    for (int i = 0; i < JT_ACT_BLOCK; i++) {
        q[i] = (int8_t)rintf(x[i] * scale);
        sum += q[i];
    }
    return sum;
}

void jt_ref_quantise(const float *x, int cols, int8_t *q, float *d, float *s) {
    for (int b = 0; b < cols / 32; b++) {
        float s0 = (float)ref_quantise_block(x + 32 * b, q + 32 * b, d + 2 * b);
        float s1 = (float)ref_quantise_block(x + 32 * b + 16, q + 32 * b + 16, d + 2 * b + 1);
        s[b] = fmaf(d[2 * b + 1], s1, d[2 * b] * s0);
    }
}

void jt_ref_block_sums(const int8_t *q, int cols, int by, int32_t *out) {
    for (int b = 0; b < cols / JT_ACT_BLOCK; b++) {
        int32_t sum = 0;
        for (int i = 0; i < JT_ACT_BLOCK; i++) sum += q[b * JT_ACT_BLOCK + i];
        out[b] = by * sum;
    }
}
