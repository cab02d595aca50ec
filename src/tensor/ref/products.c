/* products.c: scalar products of activations with packed panels, as docs/numbers.md writes them. */
#include <math.h>
#include <string.h>

#include "tensor/panel.h"
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
static void ref_quants(jt_panel_kind kind, const unsigned char *panel, size_t b, int o, int w[32]) {
    jt_panel_facts f = jt_panel_facts_of(kind);
    const unsigned char *block = panel + jt_panel_codes(f, b);
    const char *table = jt_panel_table(kind, (const char *)panel + jt_panel_group(f, b));
    for (int c = 0; c < 32; c++) {
        int g = c / 4, at = o * 4 + c % 4;
        if (f.bits == 8) {
            int byte = block[g * 64 + at];
            w[c] = byte < 128 ? byte : byte - 256;
            continue;
        }
        int u;
        if (f.bits < 4) {
            u = block[g / 4 * 64 + at] >> 2 * (g % 4) & 3;
            if (f.bits == 3) u |= (block[128 + at] >> g & 1) << 2;
        } else {
            u = c < 16 ? block[g % 4 * 64 + at] & 15 : block[g % 4 * 64 + at] >> 4;
            if (f.bits == 5) u |= (block[256 + at] >> g & 1) << 4;
            if (f.bits == 6) u |= (block[256 + g / 4 * 64 + at] >> 2 * (g % 4) & 3) << 4;
        }
        w[c] = f.lookup ? (signed char)table[u] : u + (f.by < 0 ? f.by : 0);
    }
}

static float ref_float(const unsigned char *p, int i) {
    float x;
    memcpy(&x, p + 4 * i, 4);
    return x;
}

/* Scales and minima of row o for both halves of block j of a group. */
static void ref_scales(jt_panel_kind kind, const unsigned char *group, int j, int o, float d[2], float m[2]) {
    jt_panel_facts f = jt_panel_facts_of(kind);
    const unsigned char *small = group + JT_PANEL_K_SCALES, *after = group + f.codes + f.step;
    m[0] = m[1] = 0;
    for (int h = 0; h < 2 && f.k; h++) {
        int at = 16 * (jt_panel_parts(f) * j + (f.apart ? h : 0)) + o;
        d[h] = ref_half(group, o);
        if (!f.minimum) d[h] *= ref_float(group + JT_PANEL_K_UNIT, 0);
        if (kind != JT_PANEL_T2) d[h] *= f.minimum ? (float)small[at] : (float)(int8_t)small[at];
        if (f.minimum) m[h] = -(ref_half(group + JT_PANEL_K_MIN, o) * (float)group[jt_panel_minima(f) + (size_t)at]);
    }
    if (kind == JT_PANEL_L4E) {
        d[0] = d[1] = jt_scale_mxfp4(after[o]);
    } else if (kind == JT_PANEL_L4N) {
        for (int h = 0; h < 2; h++) d[h] = jt_f16_to_f32((uint16_t)(after[16 * h + o] << 7)) * 128;
    } else if (!f.k) {
        d[0] = d[1] = ref_half(after, o);
        if (f.minimum) m[0] = m[1] = ref_half(after + 32, o);
    }
}

void jt_ref_panel_i8(jt_panel_kind kind, const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy) {
    jt_panel_facts f = jt_panel_facts_of(kind);
    size_t blocks = (size_t)a->cols / 32;
    for (int r = 0; r < rows; r++)
        for (int o = 0; o < JT_PANEL; o++) y[(size_t)r * (size_t)ldy + (size_t)o] = 0;
    for (size_t b = 0; b < blocks; b++) {
        const unsigned char *group = (const unsigned char *)panel + jt_panel_group(f, b);
        for (int o = 0; o < JT_PANEL; o++) {
            int w[32];
            float dw[2], mw[2];
            ref_quants(kind, panel, b, o, w);
            ref_scales(kind, group, (int)(b % (size_t)f.blocks), o, dw, mw);
            for (int r = 0; r < rows; r++) {
                size_t at = (size_t)(row + r) * blocks + b;
                const int8_t *q = a->q + 32 * at;
                const float *d = a->d + 2 * at;
                int sum[2] = {0, 0}, plain[2] = {0, 0};
                for (int c = 0; c < 32; c++) {
                    sum[c / 16] += w[c] * q[c];
                    plain[c / 16] += q[c];
                }
                float *acc = y + (size_t)r * (size_t)ldy + (size_t)o;
                if (f.halves) {
                    for (int h = 0; h < 2; h++) *acc = fmaf(dw[h], d[h] * (float)sum[h], *acc);
                    for (int h = 0; h < 2 && f.minimum; h++) *acc = fmaf(mw[h], d[h] * (float)plain[h], *acc);
                    continue;
                }
                *acc = fmaf(dw[0], fmaf(d[1], (float)sum[1], d[0] * (float)sum[0]), *acc);
                if (f.minimum) *acc = fmaf(mw[0], a->s[at], *acc);
            }
        }
    }
}

void jt_ref_panel_expand(jt_panel_kind kind, const void *panel, int cols, float *out) {
    jt_panel_facts f = jt_panel_facts_of(kind);
    for (size_t b = 0; b < (size_t)cols / 32; b++)
        for (int o = 0; o < JT_PANEL; o++) {
            int w[32];
            float d[2], m[2];
            ref_quants(kind, panel, b, o, w);
            ref_scales(kind, (const unsigned char *)panel + jt_panel_group(f, b), (int)(b % (size_t)f.blocks), o, d, m);
            for (size_t c = 0; c < 32; c++) {
                float v = d[c / 16] * (float)w[c];
                out[(b * 32 + c) * JT_PANEL + (size_t)o] = f.minimum ? v + m[c / 16] : v;
            }
        }
}
