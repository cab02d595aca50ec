/* kernels.h: the table of kernels, one per instruction set.
 *
 * Every variant gives the same bits as the scalar one (docs/numbers.md); the
 * check tool compares them with memcmp. A table is constant; jt_kernels_best
 * picks from the processor's features. Pointers never overlap unless said. */
#ifndef JT_TENSOR_KERNELS_H
#define JT_TENSOR_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "tensor/format.h"

enum {
    JT_PANEL = 16,     /* weight rows in a panel */
    JT_ACT_BLOCK = 16, /* activations with one scale */
    JT_TILE = 32,      /* keys in an attention tile, and positions in a page */
    JT_SCAN = 64,      /* logits whose largest is kept */
    JT_KV_BLOCK = 32   /* elements of a key or value with one scale in a cache of 8 bits */
};

/* Scales of one key or value of `dim` elements in a cache of 8 bits: the last block may be short. */
static inline int jt_kv_blocks(int dim) { return (dim + JT_KV_BLOCK - 1) / JT_KV_BLOCK; }

/* How rows of activations meet weights in products. */
typedef enum jt_by { JT_BY_FLOAT, JT_BY_INT8, JT_BY_BF16 } jt_by;

/* From one row of bfloat16 activations to the next, in elements: whole lines, an odd number of them, so that rows of a tile
 * lie in different sets of the cache. A row of an odd number of columns ends with a zero. */
static inline size_t jt_bf16_stride(int cols) { return (((size_t)cols * 2 + 63) / 64 | 1) * 32; }

/* Rows of activations ready for products. Float: x [rows][cols]. Quantised: q [rows][cols],
 * d [rows][cols / 16] scales, s [rows][cols / 32] sums (the s of docs/numbers.md). bfloat16: b [rows][jt_bf16_stride(cols)]. */
typedef struct jt_acts {
    int rows, cols;
    const float *x;
    const uint16_t *b;
    const int8_t *q;
    const float *d, *s;
    /* For panel_i8 only: `by` of panel.h (minus 8 for JT_PANEL_I4) times the exact sum of each block of 16 q,
     * [rows][cols / 16]. jt_matmul makes it in its scratch where it is NULL (jt_matmul_bias). */
    const int32_t *bias;
} jt_acts;

/* One tile of keys for nq queries that share a key-value head. The tile is computed by itself (its own
 * maximum, total and chain from +0) and then merged into m, l and acc: docs/numbers.md, Attention. */
typedef struct jt_attn_tile {
    int nq, dim, vdim; /* of queries and keys, and of values */
    jt_type type;      /* of k and v: JT_F16, JT_F32 or JT_Q8_0 */
    const void *k;     /* [dim][JT_TILE]: transposed. JT_Q8_0: int8, then halves [jt_kv_blocks(dim)][JT_TILE] */
    const void *v;     /* [JT_TILE][vdim]. JT_Q8_0: int8, then halves [JT_TILE][jt_kv_blocks(vdim)] */
    float scale;
    float cap;                   /* 0, or scaled scores become cap * tanh(score / cap) */
    const float *const *q;       /* nq pointers to [dim] */
    const uint32_t *visible;     /* nq masks, bit i: key i of the tile; none empty */
    const float *const *bias;    /* NULL, or nq pointers: NULL, or [JT_TILE] added to the scaled, capped scores */
    float *m, *l;                /* nq running maxima and totals */
    float *const *acc;           /* nq pointers to [vdim] */
    const void *next_k, *next_v; /* NULL, or k and v of the tile to come: a hint */
} jt_attn_tile;

/* One step of one head of Mamba-2's recurrence, [dim][n] states: s = a * s + (dt * x[p]) * b, y[p] = c . s + d * x[p]. */
typedef struct jt_recur {
    int dim, n;
    const float *in;    /* NULL: zeros */
    float *out;         /* may be in */
    const float *x;     /* [dim] */
    const float *b, *c; /* [n] */
    float dt, a, d;
    float *y; /* [dim]; NULL: not wanted */
} jt_recur;

typedef struct jt_quant_plan jt_quant_plan; /* quant/block.h */

typedef struct jt_kernels {
    const char *name;

    /* ---- products. `panel` is a packed panel (pack.h) of 16 weight rows by a->cols.
     * y[r * ldy + o] for r in 0..rows-1 of `a` starting at `row`, o in 0..15. */
    void (*panel_f32)(jt_panel_kind kind, const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy);
    void (*panel_i8)(jt_panel_kind kind, const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy);
    /* Both sides bfloat16; the panel is of kind JT_PANEL_PAIRS. */
    void (*panel_bf16)(const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy);
    /* A panel of kind JT_PANEL_F32, JT_PANEL_F16 or JT_PANEL_BF16 to one of JT_PANEL_PAIRS, rounded to nearest even. */
    void (*panel_pairs)(jt_panel_kind kind, const void *panel, int cols, void *out);
    /* n floats to bfloat16, rounded to nearest even; a zero after an odd number of them. */
    void (*to_bf16)(const float *x, int n, uint16_t *y);
    /* panel_i8 of two panels that follow each other, for outputs o in 0..31; gives 0, and nothing is done, where one after the
     * other is faster. May be NULL. */
    int (*pair_i8)(jt_panel_kind kind, const void *panels, const jt_acts *a, int row, int rows, float *y, int ldy);
    /* A quantised panel to float32 [cols][16], for panel_f32 of kind JT_PANEL_F32. */
    void (*panel_expand)(jt_panel_kind kind, const void *panel, int cols, float *out);
    /* 16 rows of `f` (rows[i] may be NULL: zeros) to a packed panel. */
    void (*pack_panel)(const jt_format *f, const void *const rows[JT_PANEL], int cols, void *panel);
    /* Blocks of a format with scales, from floats (quant/block.h). */
    void (*quant_write)(const jt_quant_plan *p, const float *x, const float *importance, size_t blocks, unsigned char *out);
    /* One row of activations to 8 bits (docs/numbers.md). cols is a multiple of 32. */
    void (*quantise)(const float *x, int cols, int8_t *q, float *d, float *s);
    /* `by` times the sum of each block of 16 q: the bias of jt_acts. */
    void (*block_sums)(const int8_t *q, int cols, int by, int32_t *out);

    /* ---- rows */
    void (*rms_norm)(const float *x, const float *w, int n, float eps, float *y, float *inv); /* inv may be NULL */
    void (*add)(const float *a, const float *b, int n, float *y);                             /* y may be a or b */
    void (*swiglu)(const float *g, const float *u, int n, float *y);                          /* y may be g or u */
    /* Rotates `heads` heads of `dim` in place; c, s: [rot / 2]. The first `rot` of each head are rotated.
     * interleaved: pairs (2i, 2i + 1); else (i, i + rot / 2). */
    void (*rope)(float *x, int heads, int dim, int rot, int interleaved, const float *c, const float *s);
    void (*exp)(const float *x, int n, float *y); /* y may be x */
    /* y[i] = silu(bias[i] + w[0][i] * x[0][i] + ...), a chain of `taps` steps in ascending order: tap k of x[k], NULL where there
     * is none, with w[k * stride + i]. bias may be NULL: +0. */
    void (*conv)(const float *const *x, const float *w, int stride, const float *bias, int taps, int n, float *y);
    void (*recur)(const jt_recur *r);
    void (*to_f16)(const float *x, int n, uint16_t *y);
    void (*from_f16)(const uint16_t *x, int n, float *y);
    /* A key or value to 8 bits (docs/numbers.md, Attention): q [n], d [jt_kv_blocks(n)]. */
    void (*to_q8)(const float *x, int n, int8_t *q, uint16_t *d);

    /* ---- attention, and reductions over a row of logits */
    void (*attn_tile)(const jt_attn_tile *t);
    void (*attn_end)(const float *acc, float l, int dim, float *out); /* acc / l; out may be acc */
    float (*max)(const float *x, int n);                              /* -inf for n = 0; NaN is passed over; never -0 */
    /* S and T of docs/numbers.md: sums of e = exp(x - m) and of e * (x - m). T may be NULL. */
    void (*sum_exp)(const float *x, int n, float m, double *S, double *T);
    /* The largest of each JT_SCAN elements (the last may be fewer) into top, as `max` has it; 0 if all of x is finite. */
    int (*scan)(const float *x, int n, float *top);
    /* Places (may be NULL) and values of those with lo <= x <= hi, in order; how many. Stops past `most` of them. Both arrays have
     * room for 16 more than there can be. */
    int (*collect)(const float *x, int n, float lo, float hi, int most, int32_t *place, float *value);
    /* y = x where lo <= x <= hi, else -inf; y may be x. */
    void (*clip)(const float *x, int n, float lo, float hi, float *y);
} jt_kernels;

/* x becomes cap * tanh(x / cap), in the order of docs/numbers.md; `exp` is that of a table. */
static inline void jt_soft_cap(void (*exp)(const float *x, int n, float *y), float cap, float *x, int n) {
    float e[64], by = 2 / cap, twice = 2 * cap;
    for (int at = 0, m; at < n; at += m) {
        m = n - at < 64 ? n - at : 64;
        for (int i = 0; i < m; i++) e[i] = x[at + i] * by;
        exp(e, m, e);
        for (int i = 0; i < m; i++) x[at + i] = cap - twice / (e[i] + 1);
    }
}

/* Asks for the lines that begin in [at, at + bytes) of p, to come into the second-level cache. */
static inline void jt_attn_part(const void *p, size_t at, size_t bytes) {
    for (size_t i = (at + 63) & ~(size_t)63; i < at + bytes; i += 64) __builtin_prefetch((const char *)p + i, 0, 2);
}
/* For kernels to call with each dimension j of the keys, and each key k: memory is then asked evenly for the tile to come. */
static inline void jt_attn_soon_keys(const jt_attn_tile *t, jt_type type, int j) {
    size_t bytes = type == JT_F32 ? 4 : type == JT_F16 ? 2 : 1;
    if (t->next_k) jt_attn_part(t->next_k, (size_t)j * JT_TILE * bytes, JT_TILE * bytes);
}
static inline void jt_attn_soon_values(const jt_attn_tile *t, jt_type type, int k) {
    size_t bytes = type == JT_F32 ? 4 : type == JT_F16 ? 2 : 1;
    if (t->next_v) jt_attn_part(t->next_v, (size_t)k * (size_t)t->vdim * bytes, (size_t)t->vdim * bytes);
}

extern const jt_kernels jt_kernels_scalar;
/* The scales of k and of v in a tile of JT_Q8_0. */
static inline const uint16_t *jt_attn_key_scales(const jt_attn_tile *t) {
    return (const uint16_t *)((const char *)t->k + (size_t)t->dim * JT_TILE);
}
static inline const uint16_t *jt_attn_value_scales(const jt_attn_tile *t) {
    return (const uint16_t *)((const char *)t->v + (size_t)t->vdim * JT_TILE);
}

#if defined(__x86_64__)
extern const jt_kernels jt_kernels_avx2;
/* One variant in two encodings: for processors with AVX-VNNI (GCC 11, Clang 12 and later), and with AVX-512 VNNI. */
extern const jt_kernels jt_kernels_avxvnni, jt_kernels_avxvnni_evex;
#if __has_include(<avxvnniintrin.h>)
#define JT_HAS_AVXVNNI 1
#else
#define JT_HAS_AVXVNNI 0
#endif
extern const jt_kernels jt_kernels_avx512;
/* The same with vdpbf16ps (AVX512_BF16; GCC 10, Clang 9 and later). */
#if __has_include(<avx512bf16intrin.h>)
#define JT_HAS_AVX512BF16 1
extern const jt_kernels jt_kernels_avx512bf16;
#else
#define JT_HAS_AVX512BF16 0
#endif
#endif

#if defined(__aarch64__)
extern const jt_kernels jt_kernels_neon;
#endif

/* Whether panel_bf16 of `k` gives the bits of the scalar one on cases that tell orders, roundings and denormals apart. */
int jt_bf16_agrees(const jt_kernels *k);

/* The best table for this processor; NULL name or "auto" asks for it. An unknown
 * name gives NULL with *known = 0, one this processor lacks NULL with *known = 1. */
const jt_kernels *jt_kernels_pick(const char *name, int *known);

#endif
