/* block.h: how a block format with scales is written.
 *
 * A plan says what a block is made of; a search (scaled.h, affine.h) finds scales and quants; the plan's `pack` lays
 * them out. A sub-block's weights are read back as d * scale * value (scaled), or d * scale * quant - dmin * min
 * (affine), value and quant chosen per weight. Where a block has one sub-block, its scale is d alone. */
#ifndef JT_TENSOR_QUANT_BLOCK_H
#define JT_TENSOR_QUANT_BLOCK_H

#include "tensor/kernels.h"

enum {
    JT_QUANT_MOST = 256, /* weights of a block */
    JT_QUANT_SUBS = 16,  /* its sub-blocks */
    JT_QUANT_LEN = 32,   /* weights of a sub-block */
    JT_QUANT_STEPS = 481 /* halves from -127 to 113 */
};

/* What a search found. */
typedef struct jt_quant_block {
    uint16_t d, dmin;             /* halfs */
    int16_t scale[JT_QUANT_SUBS]; /* a sub-block's own; 1 where it has none */
    int16_t min[JT_QUANT_SUBS];   /* affine; -1 where it has none: dmin is added */
    uint8_t q[JT_QUANT_MOST];     /* the value's number, from 0 */
} jt_quant_block;

struct jt_quant_plan {
    uint32_t type;
    uint8_t subs, len;             /* sub-blocks of a block, weights of a sub-block: 16 or 32 */
    bool affine;                   /* with minima */
    int16_t scale_low, scale_high; /* a sub-block's integer scale, and in affine formats its minimum; both 1: it has none */
    int16_t low, high;             /* the integers that q stands for, q = 0 for low; affine: low is 0 */
    const int8_t *values;          /* 16 ascending values from low to high in their stead; NULL: none */
    void (*pack)(const jt_quant_block *b, unsigned char *out);
};

/* The values of a plan and how to find the nearest one; made once for many blocks. */
typedef struct jt_quant_levels {
    float low, high, unit; /* unit: what one value is from the next, on average */
    const int8_t *values;
    /* The number of the value that is nearest to each half step, and the value. */
    uint8_t nearest[JT_QUANT_STEPS];
    float value[JT_QUANT_STEPS];
} jt_quant_levels;

/* A block to be written: weights divided by a power of two, so that the largest magnitude lies in [0.5, 1), and what each counts. */
typedef struct jt_quant_job {
    const jt_quant_plan *plan;
    const jt_quant_levels *levels;
    const float *x, *w; /* [plan->subs * plan->len] */
    int exponent;       /* of the power of two */
} jt_quant_job;

/* NULL: the format has none. */
const jt_quant_plan *jt_quant_plan_of(uint32_t type);
void jt_quant_levels_init(jt_quant_levels *l, const jt_quant_plan *p);

/* n blocks; x is finite, of magnitudes up to 65504; importance may be NULL. */
void jt_quant_write_mxfp4(const float *x, const float *importance, size_t blocks, unsigned char *out);

#endif
