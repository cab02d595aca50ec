/* kernel_cases.h: every kernel of a table against the scalar one, on random and worst-case input.
 *
 * Included by the test of the kernels and by bench/check-kernels.c. Results must be
 * equal bit for bit, but that a NaN equals any NaN; memory past the outputs must
 * stay as it was. cases_run gives the number of comparisons that failed and names
 * each by calling `report`. */
#ifndef TESTS_KERNEL_CASES_H
#define TESTS_KERNEL_CASES_H

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "tensor/kernels.h"
#include "tensor/pack.h"
#include "tensor/panel.h"

typedef struct cases {
    const jt_kernels *k;
    uint64_t random;
    int compared, failed;
    int widest; /* columns of integer products; 0: all */
    void (*report)(const char *what);
} cases;

/* splitmix64 (Steele, Lea and Flood 2014) */
static uint64_t cases_bits(cases *c) {
    uint64_t z = c->random += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}
static int cases_below(cases *c, int n) { return (int)(cases_bits(c) % (uint64_t)n); }
static float cases_uniform(cases *c) { return (float)(int64_t)cases_bits(c) * 0x1p-63f; }

static void *cases_memory(size_t n) {
    void *p = jt_alloc_aligned(n + 64, 1);
    if (!p) abort();
    return p;
}

enum { FLOATS_PLAIN, FLOATS_ZERO, FLOATS_WIDE, FLOATS_TINY, FLOATS_LARGE, FLOATS_BROKEN, FLOATS_KINDS };

/* One float of a kind: ordinary; zeros of both signs; any exponent; denormals; overflowing; infinities and NaN among others. */
static float cases_float(cases *c, int kind) {
    float x = cases_uniform(c);
    switch (kind) {
    case FLOATS_ZERO: return cases_bits(c) & 1 ? 0.0f : -0.0f;
    case FLOATS_WIDE: return ldexpf(x, cases_below(c, 60) - 40);
    case FLOATS_TINY: return cases_below(c, 3) ? x * 1e-39f : x * 1e-37f;
    case FLOATS_LARGE: return cases_below(c, 4) ? x * 80 : x > 0 ? FLT_MAX : -FLT_MAX;
    case FLOATS_BROKEN: {
        static const float odd[] = {INFINITY, -INFINITY, NAN, -0.0f, FLT_MIN, -FLT_MAX};
        return cases_below(c, 40) ? x * 4 : odd[cases_below(c, 6)];
    }
    default: return x * 3;
    }
}

static float *cases_floats(cases *c, size_t n, int kind) {
    float *x = cases_memory(n * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = cases_float(c, kind);
    return x;
}

static void cases_count(cases *c, bool ok, const char *fmt, ...) {
    char what[256];
    c->compared++;
    if (ok) return;
    c->failed++;
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    c->report(what);
}

static bool same_floats(const float *a, const float *b, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (memcmp(a + i, b + i, sizeof *a) != 0 && !(isnan(a[i]) && isnan(b[i]))) return false;
    return true;
}

/* ---- weights */

enum { WEIGHTS_RANDOM, WEIGHTS_LOW, WEIGHTS_HIGH, WEIGHTS_ODD, WEIGHTS_KINDS };

/* Where the halfs of a block lie, which random bytes would make broken too often; -1: nowhere. */
static void cases_halfs(const jt_format *f, int at[2]) {
    at[0] = 0, at[1] = -1;
    switch ((jt_type)f->type) {
    case JT_Q4_1:
    case JT_Q5_1:
    case JT_Q4_K:
    case JT_Q5_K: at[1] = 2; break;
    case JT_Q2_K: at[0] = 80, at[1] = 82; break;
    case JT_Q3_K: at[0] = 108; break;
    case JT_Q6_K: at[0] = 208; break;
    case JT_TQ1_0: at[0] = 52; break;
    case JT_TQ2_0: at[0] = 64; break;
    case JT_IQ1_M: /* in pieces */
    case JT_MXFP4:
    case JT_NVFP4: at[0] = -1; break;
    default: break;
    }
}

/* `n` weights of the format: random; all quants 0x80 (-128 in Q8_0); all 0xff; random with odd scales. */
static void cases_weights(cases *c, const jt_format *f, size_t n, int kind, unsigned char *out) {
    static const uint16_t odd[] = {0x0001, 0x83ff, 0x7bff, 0x8000, 0x7c00, 0x7e00};
    size_t blocks = n / f->block;
    int halfs[2];
    cases_halfs(f, halfs);
    for (size_t b = 0; b < blocks; b++, out += f->bytes) {
        for (size_t i = 0; i < f->bytes; i++)
            out[i] = kind == WEIGHTS_LOW ? 0x80 : kind == WEIGHTS_HIGH ? 0xff : (unsigned char)cases_bits(c);
        if (f->type == JT_MXFP4 && kind == WEIGHTS_RANDOM) out[0] = (unsigned char)(120 + cases_below(c, 8));
        if (f->quantised || f->panel == JT_PANEL_F16) {
            for (size_t i = 0; i < 2; i++) {
                uint16_t h = jt_f32_to_f16(cases_float(c, FLOATS_PLAIN) * (f->quantised ? 0.01f : 1.0f));
                if (kind == WEIGHTS_ODD && !cases_below(c, 8)) h = odd[cases_below(c, 6)];
                if (halfs[i] >= 0) memcpy(out + halfs[i], &h, 2);
            }
        } else {
            float x = cases_float(c, kind == WEIGHTS_ODD ? FLOATS_BROKEN : FLOATS_PLAIN);
            uint16_t h = jt_f32_to_bf16(x);
            if (f->panel == JT_PANEL_F32)
                memcpy(out, &x, 4);
            else
                memcpy(out, &h, 2);
        }
    }
}

/* A scalar-packed panel of random weights; the last `missing` rows absent. Compares the variant's packing on the way. */
static void *cases_panel(cases *c, const jt_format *f, int cols, int kind, int missing) {
    size_t row = (size_t)(cols / f->block) * f->bytes, bytes = jt_panel_bytes(f->panel, cols);
    unsigned char *weights = cases_memory(row * JT_PANEL);
    const void *rows[JT_PANEL];
    cases_weights(c, f, (size_t)cols * JT_PANEL, kind, weights);
    for (int o = 0; o < JT_PANEL; o++) rows[o] = o < JT_PANEL - missing ? weights + (size_t)o * row : NULL;
    void *want = cases_memory(bytes), *got = cases_memory(bytes);
    memset(got, 0x5a, bytes + 64);
    memset((char *)want + bytes, 0x5a, 64);
    jt_kernels_scalar.pack_panel(f, rows, cols, want);
    c->k->pack_panel(f, rows, cols, got);
    cases_count(c, !memcmp(want, got, bytes + 64), "pack_panel %s, %d columns, %d rows missing", f->name, cols, missing);
    jt_free(weights);
    jt_free(got);
    return want;
}

/* ---- products */

enum { LDY = 21 };

static void cases_product(cases *c, const jt_format *f, const void *panel, const jt_acts *a, int int8, int rows, const char *about) {
    size_t n = (size_t)rows * LDY;
    float *want = cases_memory(n * sizeof *want), *got = cases_memory(n * sizeof *got);
    for (size_t i = 0; i < n; i++) want[i] = got[i] = -7;
    (int8 ? jt_kernels_scalar.panel_i8 : jt_kernels_scalar.panel_f32)(f->panel, panel, a, a->rows - rows, rows, want, LDY);
    (int8 ? c->k->panel_i8 : c->k->panel_f32)(f->panel, panel, a, a->rows - rows, rows, got, LDY);
    cases_count(c, same_floats(want, got, n), "%s %s, %d columns, %d rows, %s", int8 ? "panel_i8" : "panel_f32", f->name, a->cols, rows,
                about);
    jt_free(want);
    jt_free(got);
}

/* Rows of floats as bfloat16 of the scalar kernel. */
static uint16_t *cases_bf16(const float *x, int rows, int cols) {
    size_t stride = jt_bf16_stride(cols);
    uint16_t *b = cases_memory((size_t)rows * stride * sizeof *b);
    for (size_t r = 0; r < (size_t)rows; r++) jt_kernels_scalar.to_bf16(x + r * (size_t)cols, cols, b + r * stride);
    return b;
}

/* Products in bfloat16 with a panel of `f`, from its packing on. */
static void cases_products_bf16(cases *c, const jt_format *f, const void *panel, const float *x, int rows, int cols, const char *about) {
    size_t bytes = jt_panel_bytes(JT_PANEL_PAIRS, cols), n = (size_t)rows * LDY;
    char *pairs[2] = {cases_memory(bytes), cases_memory(bytes)};
    float *y[2] = {cases_memory(n * sizeof(float)), cases_memory(n * sizeof(float))};
    uint16_t *b = cases_bf16(x, rows, cols);
    jt_acts a = {.rows = rows, .cols = cols, .b = b};
    for (int v = 0; v < 2; v++) {
        const jt_kernels *k = v ? c->k : &jt_kernels_scalar;
        memset(pairs[v] + bytes, 0x5a, 64);
        for (size_t i = 0; i < n; i++) y[v][i] = -7;
        k->panel_pairs(f->panel, panel, cols, pairs[v]);
        k->panel_bf16(pairs[0], &a, 0, rows, y[v], LDY);
    }
    cases_count(c, !memcmp(pairs[0], pairs[1], bytes + 64), "panel_pairs %s, %d columns, %s", f->name, cols, about);
    cases_count(c, same_floats(y[0], y[1], n), "panel_bf16 %s, %d columns, %d rows, %s", f->name, cols, rows, about);
    for (int v = 0; v < 2; v++) jt_free(pairs[v]), jt_free(y[v]);
    jt_free(b);
}

/* Two panels at once, where the variant does that. */
static void cases_pair(cases *c, const jt_format *f, const void *panel, const jt_acts *a, int rows) {
    enum { STEP = 2 * JT_PANEL + 5 };
    size_t n = (size_t)rows * STEP, bytes = jt_panel_bytes(f->panel, a->cols);
    char *two = cases_memory(2 * bytes);
    void *other = cases_panel(c, f, a->cols, WEIGHTS_RANDOM, 0);
    memcpy(two, panel, bytes), memcpy(two + bytes, other, bytes);
    float *want = cases_memory(n * sizeof *want), *got = cases_memory(n * sizeof *got);
    for (size_t i = 0; i < n; i++) want[i] = got[i] = -7;
    for (int p = 0; p < 2; p++)
        jt_kernels_scalar.panel_i8(f->panel, two + (size_t)p * bytes, a, a->rows - rows, rows, want + (size_t)p * JT_PANEL, STEP);
    if (c->k->pair_i8(f->panel, two, a, a->rows - rows, rows, got, STEP))
        cases_count(c, same_floats(want, got, n), "pair_i8 %s, %d columns, %d rows", f->name, a->cols, rows);
    else
        cases_count(c, got[0] == -7, "pair_i8 %s leaves what it does not do", f->name);
    jt_free(two);
    jt_free(other);
    jt_free(want);
    jt_free(got);
}

static void cases_products_f32(cases *c, const jt_format *f) {
    static const int widths[] = {1, 2, 7, 32, 67, 130, 512},
                     heights[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 33, 65};
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
        for (int kind = 0; kind < FLOATS_KINDS; kind++) {
            void *panel = cases_panel(c, f, widths[w], kind % WEIGHTS_KINDS, kind);
            float *x = cases_floats(c, 66 * (size_t)widths[w], kind);
            jt_acts a = {.rows = 66, .cols = widths[w], .x = x};
            for (size_t h = 0; h < sizeof heights / sizeof *heights; h++)
                if (kind == FLOATS_PLAIN || heights[h] == 1 || heights[h] == 17 || heights[h] == 33)
                    cases_product(c, f, panel, &a, 0, heights[h], kind == FLOATS_PLAIN ? "plain" : "worst cases");
            for (size_t h = 0; h < sizeof heights / sizeof *heights; h++)
                if (kind == FLOATS_PLAIN || heights[h] == 3 || heights[h] == 33)
                    cases_products_bf16(c, f, panel, x, heights[h], widths[w], kind == FLOATS_PLAIN ? "plain" : "worst cases");
            jt_free(x);
            jt_free(panel);
        }
}

/* Activations of a kind in 8 bits; kind FLOATS_KINDS: all quants +-127. */
static jt_acts cases_acts(cases *c, int rows, int cols, int kind, int by) {
    size_t n = (size_t)rows * (size_t)cols;
    float *x = cases_floats(c, n, kind % FLOATS_KINDS);
    int8_t *q = cases_memory(n);
    float *d = cases_memory(n / 16 * sizeof *d), *s = cases_memory(n / 32 * sizeof *s);
    int32_t *bias = cases_memory(n / 16 * sizeof *bias);
    if (kind == FLOATS_KINDS)
        for (size_t i = 0; i < n; i++) x[i] = i % 3 ? 1 : -1;
    for (int r = 0; r < rows; r++) {
        size_t at = (size_t)r * (size_t)cols;
        jt_kernels_scalar.quantise(x + at, cols, q + at, d + at / 16, s + at / 32);
        jt_kernels_scalar.block_sums(q + at, cols, by, bias + at / 16);
    }
    jt_free(x);
    return (jt_acts){.rows = rows, .cols = cols, .q = q, .d = d, .s = s, .bias = bias};
}

static void cases_products_i8(cases *c, const jt_format *f) {
    static const int narrow[] = {32, 64, 160, 512, 544, 1056}, wide[] = {256, 512, 768, 1280},
                     heights[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 33, 65};
    const int *widths = f->block > 32 ? wide : narrow;
    for (size_t w = 0; w < (f->block > 32 ? sizeof wide / sizeof *wide : sizeof narrow / sizeof *narrow); w++)
        for (int kind = 0; kind <= FLOATS_KINDS; kind++) {
            if ((widths[w] > 600 && kind) || (c->widest && w && widths[w] > c->widest)) continue;
            void *panel = cases_panel(c, f, widths[w], kind % WEIGHTS_KINDS, kind);
            jt_acts a = cases_acts(c, 66, widths[w], kind, jt_panel_facts_of(f->panel).by);
            for (size_t h = 0; h < sizeof heights / sizeof *heights; h++)
                if (kind == FLOATS_PLAIN || heights[h] == 1 || heights[h] == 17 || heights[h] == 33)
                    cases_product(c, f, panel, &a, 1, heights[h], kind == FLOATS_PLAIN ? "plain" : "worst cases");
            for (int rows = 1; c->k->pair_i8 && rows < 14; rows += 3) cases_pair(c, f, panel, &a, rows);
            jt_free((void *)a.q);
            jt_free((void *)a.d);
            jt_free((void *)a.s);
            jt_free((void *)a.bias);

            size_t n = (size_t)widths[w] * JT_PANEL;
            float *want = cases_memory(n * sizeof *want), *got = cases_memory(n * sizeof *got);
            jt_kernels_scalar.panel_expand(f->panel, panel, widths[w], want);
            c->k->panel_expand(f->panel, panel, widths[w], got);
            cases_count(c, same_floats(want, got, n + 16), "panel_expand %s, %d columns", f->name, widths[w]);
            jt_free(want);
            jt_free(got);
            jt_free(panel);
        }
    for (int cols = f->block; cols < 12 * f->block; cols += f->block) jt_free(cases_panel(c, f, cols, WEIGHTS_RANDOM, cols % 16));
}

static void cases_quantise(cases *c) {
    for (int cols = 32; cols <= 1280; cols += cols < 384 ? 32 : 448)
        for (int round = 0; round < 4 * FLOATS_KINDS; round++) {
            int kind = round % FLOATS_KINDS;
            float *x = cases_floats(c, (size_t)cols, kind);
            if (round >= FLOATS_KINDS) /* a different kind for each block */
                for (int i = 0; i < cols; i++) x[i] = cases_float(c, (i / 16 + round) % FLOATS_KINDS);
            size_t n = (size_t)cols;
            int8_t *q[2] = {cases_memory(n), cases_memory(n)};
            float *d[2] = {cases_memory(n), cases_memory(n)}, *s[2] = {cases_memory(n), cases_memory(n)};
            int32_t *b[2] = {cases_memory(n), cases_memory(n)};
            for (int v = 0; v < 2; v++) {
                const jt_kernels *k = v ? c->k : &jt_kernels_scalar;
                k->quantise(x, cols, q[v], d[v], s[v]);
                k->block_sums(q[0], cols, -8, b[v]);
            }
            bool ok = !memcmp(q[0], q[1], n + 64) && same_floats(d[0], d[1], n / 4) && same_floats(s[0], s[1], n / 4);
            cases_count(c, ok, "quantise, %d columns, floats of kind %d", cols, kind);
            cases_count(c, !memcmp(b[0], b[1], n), "block_sums, %d columns", cols);
            for (int v = 0; v < 2; v++) jt_free(q[v]), jt_free(d[v]), jt_free(s[v]), jt_free(b[v]);
            jt_free(x);
        }
}

/* ---- rows */

static void cases_to_q8(cases *c, const float *x, int n, int kind) {
    size_t room = (size_t)n + 40, scales = (size_t)jt_kv_blocks(n) + 8;
    int8_t *q[2] = {cases_memory(room), cases_memory(room)};
    uint16_t *d[2] = {cases_memory(scales * 2), cases_memory(scales * 2)};
    for (int v = 0; v < 2; v++) {
        memset(q[v], 0x5a, room), memset(d[v], 0x5a, scales * 2);
        (v ? c->k : &jt_kernels_scalar)->to_q8(x, n, q[v], d[v]);
    }
    cases_count(c, !memcmp(q[0], q[1], room) && !memcmp(d[0], d[1], scales * 2), "to_q8, n %d, kind %d", n, kind);
    for (int v = 0; v < 2; v++) jt_free(q[v]), jt_free(d[v]);
}

/* ---- recurrent layers */

static void cases_conv(cases *c, int n, int taps, int kind) {
    size_t room = (size_t)n + 8, stride = room + 3;
    float *rows = cases_floats(c, room * (size_t)taps, kind), *w = cases_floats(c, stride * (size_t)taps, kind);
    float *bias = cases_floats(c, room, kind), *y[2] = {cases_memory(room * 4), cases_memory(room * 4)};
    for (int gone = 0; gone < taps; gone++) { /* taps before the path's beginning */
        const float *x[16] = {NULL};
        for (int k = gone; k < taps; k++) x[k] = rows + (size_t)k * room;
        for (int v = 0; v < 2; v++) (v ? c->k : &jt_kernels_scalar)->conv(x, w, (int)stride, gone % 2 ? NULL : bias, taps, n, y[v]);
        cases_count(c, same_floats(y[0], y[1], room), "conv, n %d, %d of %d taps, kind %d", n, taps - gone, taps, kind);
    }
    jt_free(rows), jt_free(w), jt_free(bias), jt_free(y[0]), jt_free(y[1]);
}

static void cases_recur(cases *c, int dim, int n, int kind) {
    size_t room = (size_t)dim * (size_t)n + 8;
    float *in = cases_floats(c, room, kind), *x = cases_floats(c, (size_t)dim, kind), *b = cases_floats(c, 2 * (size_t)n, kind);
    float *number = cases_floats(c, 3, kind), *out[2] = {cases_memory(room * 4), cases_memory(room * 4)};
    float *y[2] = {cases_memory(((size_t)dim + 8) * 4), cases_memory(((size_t)dim + 8) * 4)};
    for (int how = 0; how < 3; how++) { /* from a state, from nothing, in place and without outputs */
        for (int v = 0; v < 2; v++) {
            memcpy(out[v], in, room * 4);
            jt_recur r = {dim, n, how == 0 ? in : how == 1 ? NULL : out[v], out[v], x, b, b + n, number[0], number[1], number[2], NULL};
            if (how < 2) r.y = y[v];
            (v ? c->k : &jt_kernels_scalar)->recur(&r);
        }
        bool ok = same_floats(out[0], out[1], room) && same_floats(y[0], y[1], (size_t)dim + 8);
        cases_count(c, ok, "recur, %d x %d, form %d, kind %d", dim, n, how, kind);
    }
    jt_free(in), jt_free(x), jt_free(b), jt_free(number);
    for (int v = 0; v < 2; v++) jt_free(out[v]), jt_free(y[v]);
}

static void cases_recurrent(cases *c) {
    for (int kind = 0; kind < FLOATS_KINDS; kind++) {
        for (int n = 1; n <= 34; n++) cases_conv(c, n, 1 + n % 4, kind), cases_recur(c, 1 + n % 7, n, kind);
        cases_conv(c, 1792, 4, kind), cases_recur(c, 64, 128, kind);
    }
}

static void cases_row(cases *c, int n, int kind) {
    const jt_kernels *ref = &jt_kernels_scalar, *k = c->k;
    size_t room = (size_t)n + 8;
    float *x = cases_floats(c, room, kind), *w = cases_floats(c, room, kind);
    float *want = cases_memory(room * 4), *got = cases_memory(room * 4);
    float inv[2] = {0, 0};
    ref->rms_norm(x, w, n, 1e-5f, want, &inv[0]);
    k->rms_norm(x, w, n, 1e-5f, got, &inv[1]);
    cases_count(c, same_floats(want, got, room) && same_floats(&inv[0], &inv[1], 1), "rms_norm, n %d, kind %d", n, kind);
    ref->add(x, w, n, want);
    k->add(x, w, n, got);
    cases_count(c, same_floats(want, got, room), "add, n %d, kind %d", n, kind);
    ref->swiglu(x, w, n, want);
    k->swiglu(x, w, n, got);
    cases_count(c, same_floats(want, got, room), "swiglu, n %d, kind %d", n, kind);
    ref->exp(x, n, want);
    k->exp(x, n, got);
    cases_count(c, same_floats(want, got, room), "exp, n %d, kind %d", n, kind);

    uint16_t *h[2] = {cases_memory(room * 2), cases_memory(room * 2)};
    ref->to_f16(x, n, h[0]);
    k->to_f16(x, n, h[1]);
    cases_count(c, !memcmp(h[0], h[1], room * 2), "to_f16, n %d, kind %d", n, kind);
    ref->to_bf16(x, n, h[0]);
    k->to_bf16(x, n, h[1]);
    cases_count(c, !memcmp(h[0], h[1], room * 2), "to_bf16, n %d, kind %d", n, kind);
    ref->to_f16(x, n, h[0]);
    ref->from_f16(h[0], n, want);
    k->from_f16(h[0], n, got);
    cases_count(c, same_floats(want, got, room), "from_f16, n %d, kind %d", n, kind);
    jt_free(h[0]);
    jt_free(h[1]);
    cases_to_q8(c, x, n, kind);

    inv[0] = ref->max(x, n), inv[1] = k->max(x, n);
    cases_count(c, !memcmp(&inv[0], &inv[1], 4), "max, n %d, kind %d", n, kind);
    double s[2], t[2];
    float m = isfinite(inv[0]) ? inv[0] : 0;
    ref->sum_exp(x, n, m, &s[0], &t[0]);
    k->sum_exp(x, n, m, &s[1], &t[1]);
    bool ok = (!memcmp(&s[0], &s[1], 8) || (isnan(s[0]) && isnan(s[1]))) && (!memcmp(&t[0], &t[1], 8) || (isnan(t[0]) && isnan(t[1])));
    cases_count(c, ok, "sum_exp, n %d, kind %d", n, kind);
    k->sum_exp(x, n, m, &s[1], NULL);
    cases_count(c, !memcmp(&s[0], &s[1], 8) || isnan(s[0]), "sum_exp without T, n %d, kind %d", n, kind);
    for (int i = 0; i < 3; i++) { /* all, a part, the upper end; once with an end before it */
        float lo = i == 0 ? -INFINITY : i == 1 ? -1 : 0.5f, hi = i == 1 ? 1.0f : INFINITY;
        int32_t *place[2] = {cases_memory(((size_t)n + 32) * 4), cases_memory(((size_t)n + 32) * 4)};
        float *value[2] = {cases_memory(((size_t)n + 32) * 4), cases_memory(((size_t)n + 32) * 4)};
        for (int most = n; most >= 0; most = most == n && n > 8 ? 5 : -1) {
            int a = ref->collect(x, n, lo, hi, most, place[0], value[0]), b = k->collect(x, n, lo, hi, most, place[1], value[1]);
            size_t same = (size_t)(a < most ? a : most);
            cases_count(c, a == b && !memcmp(place[0], place[1], same * 4) && !memcmp(value[0], value[1], same * 4),
                        "collect, n %d, kind %d, part %d, most %d", n, kind, i, most);
            b = k->collect(x, n, lo, hi, most, NULL, value[1]);
            cases_count(c, a == b && !memcmp(value[0], value[1], same * 4), "collect without places, n %d, kind %d", n, kind);
        }
        ref->clip(x, n, lo, hi, want);
        k->clip(x, n, lo, hi, got);
        cases_count(c, same_floats(want, got, room), "clip, n %d, kind %d, part %d", n, kind, i);
        bool some = ref->scan(x, n, value[0]) != 0;
        cases_count(c, some == (k->scan(x, n, value[1]) != 0) && !memcmp(value[0], value[1], ((size_t)n + JT_SCAN - 1) / JT_SCAN * 4),
                    "scan, n %d, kind %d", n, kind);
        for (int side = 0; side < 2; side++) jt_free(place[side]), jt_free(value[side]);
    }
    jt_free(x);
    jt_free(w);
    jt_free(want);
    jt_free(got);
}

static void cases_rows(cases *c) {
    static const int lengths[] = {0, 64, 100, 257, 576, 1001};
    for (int kind = 0; kind < FLOATS_KINDS; kind++) {
        for (int n = 1; n <= 50; n++) cases_row(c, n, kind);
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) cases_row(c, lengths[i], kind);
    }
    /* exp over its whole range, borders included, and every half. */
    enum { N = 4000 };
    static float x[65536], want[65536], got[65536];
    static uint16_t h[65536];
    for (int i = 0; i < N; i++) x[i] = -90 + (float)i * (180.0f / N);
    for (int i = 0; i < 20; i++) x[i] = nextafterf(i ? x[i - 1] : -87.33656f, 0), x[40 + i] = nextafterf(i ? x[39 + i] : 88.7228f, 100);
    jt_kernels_scalar.exp(x, N, want);
    c->k->exp(x, N, got);
    cases_count(c, !memcmp(want, got, N * sizeof *got), "exp over its range");
    for (int i = 0; i < 65536; i++) h[i] = (uint16_t)i;
    jt_kernels_scalar.from_f16(h, 65536, want);
    c->k->from_f16(h, 65536, got);
    cases_count(c, !memcmp(want, got, sizeof got), "from_f16 of every half");
    for (int i = 0; i < 65536; i++) { /* halves, what lies between them, and ties */
        uint32_t u;
        memcpy(&u, &want[i], 4);
        u += (uint32_t)(i % 5 == 0 ? 0x1000 : i % 5 == 1 ? 0x0fff : i % 5 == 2 ? 0x1001 : 0);
        memcpy(&x[i], &u, 4);
    }
    static uint16_t back[2][65536];
    jt_kernels_scalar.to_f16(x, 65536, back[0]);
    c->k->to_f16(x, 65536, back[1]);
    cases_count(c, !memcmp(back[0], back[1], sizeof back[0]), "to_f16 around every half");
}

static void cases_rope(cases *c) {
    for (int rot = 2; rot <= 70; rot += rot < 36 ? 2 : 14)
        for (int interleaved = 0; interleaved < 2; interleaved++)
            for (int kind = 0; kind < FLOATS_KINDS; kind++) {
                int dim = rot + 2 * (rot % 3), heads = 3;
                size_t n = (size_t)(dim * heads);
                float *want = cases_floats(c, n, kind), *got = cases_memory(n * 4), *cs = cases_floats(c, (size_t)rot, FLOATS_PLAIN);
                memcpy(got, want, n * 4 + 64);
                jt_kernels_scalar.rope(want, heads, dim, rot, interleaved, cs, cs + rot / 2);
                c->k->rope(got, heads, dim, rot, interleaved, cs, cs + rot / 2);
                cases_count(c, same_floats(want, got, n + 16), "rope, rot %d, interleaved %d, kind %d", rot, interleaved, kind);
                jt_free(want);
                jt_free(got);
                jt_free(cs);
            }
}

/* ---- attention */

enum { CASES_QUERIES = 40 };

/* A tile's keys or values in 8 bits, from one vector a position; now and then a scale or a quant that to_q8 never gives. */
static void cases_tile_q8(cases *c, const float *x, int dim, bool values, int kind, void *out) {
    static const uint16_t odd[] = {0x0001, 0x83ff, 0x7bff, 0x8000, 0x7c00, 0x7e00};
    int8_t *q = out, row[512];
    int blocks = jt_kv_blocks(dim);
    uint16_t *d = (uint16_t *)(q + dim * JT_TILE), scale[16];
    for (int i = 0; i < JT_TILE; i++) {
        jt_kernels_scalar.to_q8(x + i * dim, dim, row, scale);
        if (kind && !cases_below(c, 20)) row[cases_below(c, dim)] = -128;
        if (kind && !cases_below(c, 60)) scale[cases_below(c, blocks)] = odd[cases_below(c, 6)];
        for (int j = 0; j < dim; j++) q[values ? i * dim + j : j * JT_TILE + i] = row[j];
        for (int b = 0; b < blocks; b++) d[values ? i * blocks + b : b * JT_TILE + i] = scale[b];
    }
}

static void cases_attention(cases *c, int nq, int dim, jt_type type, int kind, int masks) {
    int vdim = masks == 1 ? dim : masks ? dim / 2 + 1 : dim + 5;
    size_t cells = (size_t)dim * JT_TILE, vcells = (size_t)vdim * JT_TILE, size = type == JT_Q8_0 ? 2 : type == JT_F16 ? 2 : 4;
    float *kf = cases_floats(c, cells, kind), *vf = cases_floats(c, vcells, kind), *qs = cases_floats(c, (size_t)(nq * dim), kind);
    void *kk = cases_memory(cells * size), *vv = cases_memory(vcells * size);
    if (type == JT_F16) {
        jt_kernels_scalar.to_f16(kf, (int)cells, kk);
        jt_kernels_scalar.to_f16(vf, (int)vcells, vv);
    } else if (type == JT_Q8_0) {
        cases_tile_q8(c, kf, dim, false, kind, kk);
        cases_tile_q8(c, vf, vdim, true, kind, vv);
    } else {
        memcpy(kk, kf, cells * 4);
        memcpy(vv, vf, vcells * 4);
    }
    size_t n = (size_t)(nq * vdim);
    float *acc[2] = {cases_memory(n * 4), cases_memory(n * 4)};
    float m[2][CASES_QUERIES], l[2][CASES_QUERIES];
    const float *q[CASES_QUERIES];
    float *to[2][CASES_QUERIES];
    uint32_t visible[CASES_QUERIES];
    float biases[CASES_QUERIES][JT_TILE];
    const float *bias[CASES_QUERIES];
    for (int i = 0; i < nq; i++) {
        for (int k = 0; k < JT_TILE; k++) biases[i][k] = cases_below(c, 9) ? cases_uniform(c) : -INFINITY;
        bias[i] = i % 3 == masks ? NULL : biases[i];
        q[i] = qs + i * dim;
        to[0][i] = acc[0] + i * vdim, to[1][i] = acc[1] + i * vdim;
        m[0][i] = m[1][i] = -INFINITY, l[0][i] = l[1][i] = 0;
    }
    bool ok = true;
    for (int tile = 0; tile < 3; tile++) {
        for (int i = 0; i < nq; i++) {
            uint32_t any = (uint32_t)cases_bits(c) & (uint32_t)cases_bits(c);
            visible[i] = masks == 0 ? ~0u : masks == 1 ? ~0u >> (31 - (i + 5 * tile) % 32) : any | 1u << cases_below(c, 32);
        }
        for (int v = 0; v < 2; v++) {
            jt_attn_tile t = {.nq = nq,
                              .dim = dim,
                              .vdim = vdim,
                              .type = type,
                              .k = kk,
                              .v = vv,
                              .scale = 0.125f * (float)(tile + 1),
                              .cap = tile == 2 ? 0.5f * (float)nq : 0,
                              .q = q,
                              .visible = visible,
                              .bias = tile == 1 ? bias : NULL,
                              .m = m[v],
                              .l = l[v],
                              .acc = to[v]};
            (v ? c->k : &jt_kernels_scalar)->attn_tile(&t);
        }
        ok = ok && same_floats(m[0], m[1], (size_t)nq) && same_floats(l[0], l[1], (size_t)nq) && same_floats(acc[0], acc[1], n + 16);
    }
    cases_count(c, ok, "attn_tile, %d queries, dim %d, type %d, kind %d, masks %d", nq, dim, (int)type, kind, masks);
    jt_kernels_scalar.attn_end(acc[0], l[0][0], vdim, acc[0]);
    c->k->attn_end(acc[1], l[1][0], vdim, acc[1]);
    cases_count(c, same_floats(acc[0], acc[1], n), "attn_end, dim %d", vdim);
    jt_free(kf);
    jt_free(vf);
    jt_free(qs);
    jt_free(kk);
    jt_free(vv);
    jt_free(acc[0]);
    jt_free(acc[1]);
}

static inline int cases_run(cases *c) {
    static const jt_type types[] = {JT_F32, JT_F16, JT_Q8_0};
    int n;
    const jt_format *f = jt_formats(&n);
    for (int i = 0; i < n; i++) {
        if (f[i].panel == JT_PANEL_NONE) continue;
        if (f[i].quantised)
            cases_products_i8(c, &f[i]);
        else
            cases_products_f32(c, &f[i]);
    }
    cases_count(c, jt_bf16_agrees(c->k), "panel_bf16, cases that tell orders and roundings apart");
    cases_quantise(c);
    cases_rows(c);
    cases_recurrent(c);
    cases_rope(c);
    for (int nq = 1; nq <= 13; nq++)
        for (int type = 0; type < 3; type++)
            for (int masks = 0; masks < 3; masks++) cases_attention(c, nq, 8 * nq + masks * 3, types[type], FLOATS_PLAIN, masks);
    for (int masks = 0; masks < 3; masks++)
        for (int dim = 60; dim < 140; dim += 36)
            for (int type = 1; type < 3; type++) cases_attention(c, CASES_QUERIES - masks, dim, types[type], FLOATS_PLAIN, masks);
    for (int kind = 1; kind < FLOATS_KINDS; kind++)
        for (int dim = 1; dim <= 64; dim += 21) {
            for (int nq = 5; nq <= CASES_QUERIES; nq += 35) cases_attention(c, nq, dim, JT_Q8_0, kind, kind % 3);
            cases_attention(c, 5, dim, JT_F16, kind, kind % 3);
            cases_attention(c, 5, dim, JT_F32, kind, 1 + kind % 2);
        }
    return c->failed;
}

#endif
