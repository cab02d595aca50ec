/* block.h: how a block format with scales is written.
 *
 * A plan says what a block is made of; a search (scaled.c, affine.c) finds scales and quants; the plan's `pack` lays
 * them out. A sub-block's weights are read back as d * scale * value (scaled), or d * scale * quant - dmin * min
 * (affine), value and quant chosen per weight. Where a block has one sub-block, its scale is d alone. */
#ifndef JT_TENSOR_QUANT_BLOCK_H
#define JT_TENSOR_QUANT_BLOCK_H

#include "tensor/format.h"

enum { JT_QUANT_MOST = 256 /* weights of a block */, JT_QUANT_SUBS = 16 };

/* What a search found. */
typedef struct jt_quant_block {
    uint16_t d, dmin;             /* halfs */
    int16_t scale[JT_QUANT_SUBS]; /* a sub-block's own; 1 where it has none */
    int16_t min[JT_QUANT_SUBS];   /* affine; -1 where it has none, so that dmin is added */
    uint8_t q[JT_QUANT_MOST];     /* the value's number, from 0 */
} jt_quant_block;

typedef struct jt_quant_plan {
    uint32_t type;
    uint8_t subs, len;             /* sub-blocks of a block, weights of a sub-block */
    int16_t scale_low, scale_high; /* a sub-block's integer scale; equal: it has none */
    int16_t low, high;             /* the integers that q stands for, from low (affine: 0) up */
    const int8_t *values;          /* 16 ascending values in their stead, NULL: none */
    bool affine;
    void (*pack)(const jt_quant_block *b, unsigned char *out);
    /* Formats with a rule of their own: the whole of the writing. */
    void (*write)(const float *x, const float *w, unsigned char *out);
} jt_quant_plan;

/* NULL: the format has none. */
const jt_quant_plan *jt_quant_plan_of(uint32_t type);

/* One block. */
void jt_quant_block_write(const jt_quant_plan *p, const float *x, const float *importance, unsigned char *out);

#endif
