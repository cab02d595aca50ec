/* products.c: scalar products of activations with packed panels, as docs/numbers.md writes them. */
#include <math.h>
#include <string.h>

#include "tensor/ref/ref.h"

/* Scale i of the 16 halfs at p. */
static float ref_half(const unsigned char *p, int i) {
    uint16_t h;
    memcpy(&h, p + 2 * i, 2);
    return jt_f16_to_f32(h);
}

/* Weight (row o, column c) of a panel of floats. */
static float ref_float_weight(jt_panel_kind kind, const unsigned char *panel, int c, int o) {
    size_t i = (size_t)c * JT_PANEL + (size_t)o;
    if (kind == JT_PANEL_F32) {
        float w;
        memcpy(&w, panel + 4 * i, 4);
        return w;
    }
    uint16_t h;
    memcpy(&h, panel + 2 * i, 2);
    return kind == JT_PANEL_F16 ? jt_f16_to_f32(h) : jt_bf16_to_f32(h);
}

void jt_ref_panel_f32(jt_panel_kind kind, const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy) {
    for (int r = 0; r < rows; r++) {
        const float *x = a->x + (size_t)(row + r) * (size_t)a->cols;
        for (int o = 0; o < JT_PANEL; o++) {
            float acc = 0;
            for (int c = 0; c < a->cols; c++) acc = fmaf(x[c], ref_float_weight(kind, panel, c, o), acc);
            y[(size_t)r * (size_t)ldy + (size_t)o] = acc;
        }
    }
}

/* The 32 integers of row o in one block of a quantised panel. */
static void ref_quants(jt_panel_kind kind, const unsigned char *block, int o, int w[32]) {
    for (int c = 0; c < 32; c++) {
        if (kind == JT_PANEL_I8) {
            int byte = block[c / 4 * 64 + o * 4 + c % 4];
            w[c] = byte < 128 ? byte : byte - 256;
        } else {
            int byte = block[c % 16 / 4 * 64 + o * 4 + c % 4];
            w[c] = (c < 16 ? byte & 15 : byte >> 4) - (kind == JT_PANEL_I4 ? 8 : 0);
        }
    }
}

static size_t ref_quant_bytes(jt_panel_kind kind) { return kind == JT_PANEL_I8 ? 512 : 256; }
static size_t ref_block_bytes(jt_panel_kind kind) { return ref_quant_bytes(kind) + (kind == JT_PANEL_I4M ? 64 : 32); }

void jt_ref_panel_i8(jt_panel_kind kind, const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy) {
    size_t blocks = (size_t)a->cols / 32;
    for (int r = 0; r < rows; r++)
        for (int o = 0; o < JT_PANEL; o++) y[(size_t)r * (size_t)ldy + (size_t)o] = 0;
    for (size_t b = 0; b < blocks; b++) {
        const unsigned char *block = (const unsigned char *)panel + b * ref_block_bytes(kind);
        const unsigned char *scales = block + ref_quant_bytes(kind);
        for (int o = 0; o < JT_PANEL; o++) {
            int w[32];
            ref_quants(kind, block, o, w);
            float dw = ref_half(scales, o);
            for (int r = 0; r < rows; r++) {
                size_t at = (size_t)(row + r) * blocks + b;
                const int8_t *q = a->q + 32 * at;
                int sum[2] = {0, 0};
                for (int c = 0; c < 32; c++) sum[c / 16] += w[c] * q[c];
                float d0 = a->d[2 * at], d1 = a->d[2 * at + 1];
                float *acc = y + (size_t)r * (size_t)ldy + (size_t)o;
                float t = fmaf(d1, (float)sum[1], d0 * (float)sum[0]);
                *acc = fmaf(dw, t, *acc);
                if (kind == JT_PANEL_I4M) *acc = fmaf(ref_half(scales + 32, o), a->s[at], *acc);
            }
        }
    }
}

void jt_ref_panel_expand(jt_panel_kind kind, const void *panel, int cols, float *out) {
    for (int b = 0; b < cols / 32; b++) {
        const unsigned char *block = (const unsigned char *)panel + (size_t)b * ref_block_bytes(kind);
        const unsigned char *scales = block + ref_quant_bytes(kind);
        for (int o = 0; o < JT_PANEL; o++) {
            int w[32];
            ref_quants(kind, block, o, w);
            float d = ref_half(scales, o);
            for (int c = 0; c < 32; c++) {
                float v = d * (float)w[c];
                if (kind == JT_PANEL_I4M) v = v + ref_half(scales + 32, o);
                out[((size_t)b * 32 + (size_t)c) * JT_PANEL + (size_t)o] = v;
            }
        }
    }
}
