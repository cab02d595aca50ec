/* pack.c: scalar packing of weight panels and quantising of activations. */
#include <math.h>
#include <string.h>

#include "tensor/formats/formats.h"
#include "tensor/panel.h"
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

/* The integers of a block of 32 as words of four bytes in the order of a panel, those with an offset unsigned. Gives the number
 * of words. */
static size_t ref_fold_codes(jt_panel_facts f, const int8_t *code, uint32_t out[8]) {
    int8_t u[32];
    uint32_t w[8], high[2] = {0, 0};
    int offset = f.bits < 8 && f.by < 0 ? -f.by : 0;
    for (int i = 0; i < 32; i++) u[i] = (int8_t)(code[i] + offset);
    memcpy(w, u, sizeof w);
    if (f.bits == 8) {
        memcpy(out, w, sizeof w);
        return 8;
    }
    for (int g = 0; g < 4; g++) out[g] = (w[g] & 0x0f0f0f0f) | (w[4 + g] & 0x0f0f0f0f) << 4;
    if (f.bits == 4) return 4;
    for (int g = 0; g < 8; g++) {
        if (f.bits == 5)
            high[0] |= (w[g] >> 4 & 0x01010101) << g;
        else
            high[g / 4] |= (w[g] >> 4 & 0x03030303) << 2 * (g % 4);
    }
    memcpy(out + 4, high, sizeof high);
    return f.bits == 5 ? 5 : 6;
}

/* The header of a group of K panels for row o, from the block of the file (formats.h). */
static void ref_pack_k_header(jt_panel_kind kind, const unsigned char *block, size_t o, unsigned char *out) {
    unsigned char scale[16] = {0}, min[16] = {0};
    if (kind == JT_PANEL_K6) {
        float d = jt_half_at(block + 208);
        memcpy(out + 4 * o, &d, 4);
        memcpy(scale, block + 192, 16);
        for (size_t j = 0; j < 16; j++) out[JT_PANEL_K_SCALES + 16 * j + o] = scale[j];
        return;
    }
    memcpy(out + 2 * o, block, 2);
    memcpy(out + JT_PANEL_K_MIN + 2 * o, block + 2, 2);
    jt_k_scales(block + 4, scale, min);
    for (size_t j = 0; j < 8; j++) {
        out[JT_PANEL_K_SCALES + 16 * j + o] = scale[j];
        out[JT_PANEL_K_MINIMA + 16 * j + o] = min[j];
    }
}

/* Scales and minima of block j of a block of the file, for row o. */
static void ref_pack_scales(jt_panel_facts f, const jt_codes *c, size_t j, size_t o, unsigned char *out) {
    if (!f.halves) {
        uint16_t d = jt_f32_to_f16(c->scale[2 * j]), m = jt_f32_to_f16(c->min[2 * j]);
        memcpy(out + 2 * o, &d, 2);
        if (f.minimum) memcpy(out + 32 + 2 * o, &m, 2);
        return;
    }
    for (size_t i = 0; i < 2; i++) {
        memcpy(out + 64 * i + 4 * o, &c->scale[2 * j + i], 4);
        if (f.minimum) memcpy(out + 128 + 64 * i + 4 * o, &c->min[2 * j + i], 4);
    }
}

/* Formats whose integers are taken out of their blocks (jt_format.codes). */
static void ref_pack_codes(const jt_format *f, const void *const rows[JT_PANEL], int cols, unsigned char *panel) {
    static const unsigned char none[256];
    jt_panel_facts facts = jt_panel_facts_of(f->panel);
    size_t blocks = f->block / 32u;
    for (size_t o = 0; o < JT_PANEL; o++)
        for (size_t b = 0; b < (size_t)cols / 32; b += blocks) {
            const unsigned char *block = rows[o] ? (const unsigned char *)rows[o] + b / blocks * f->bytes : none;
            jt_codes c = {0};
            if (rows[o]) f->codes(block, &c);
            if (facts.k) ref_pack_k_header(f->panel, block, o, panel + jt_panel_group(facts, b));
            for (size_t j = 0; j < blocks; j++) {
                unsigned char *out = panel + jt_panel_codes(facts, b + j);
                uint32_t words[8];
                size_t n = ref_fold_codes(facts, c.code + 32 * j, words);
                for (size_t i = 0; i < n; i++) memcpy(out + 64 * i + 4 * o, &words[i], 4);
                if (!facts.k) ref_pack_scales(facts, &c, j, o, out + facts.step);
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
