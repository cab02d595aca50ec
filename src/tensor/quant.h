/* quant.h: writing rows of weights in a block format.
 *
 * Scales are searched so that the sum of importance * (weight - what is read back)^2 over a block is small
 * (docs/formats.md). The bytes are the same on every processor. Nothing is allocated; rows may be written by many
 * threads at once. */
#ifndef JT_TENSOR_QUANT_H
#define JT_TENSOR_QUANT_H

#include "jeton/status.h"
#include "tensor/format.h"
#include "tensor/kernels.h"

/* Whether rows can be written in the format: F32, F16, BF16, Q*_0, Q*_1, Q*_K, IQ4_NL, IQ4_XS and MXFP4. */
bool jt_format_is_written(const jt_format *f);

/* n weights, a whole number of blocks, to n / f->block * f->bytes bytes. importance: NULL, or [n] numbers of which only the
 * ratios within a block count, such as the mean square of the activation that meets each column; a block without any
 * positive, finite one is written as if all were equal. Formats without scales ignore it.
 * JT_UNSUPPORTED: the format is not written. JT_INVALID: n does not fit it, or a weight is not finite (formats with scales),
 * or too large: in F16, and in formats with scales, magnitudes above 65504. */
jt_status jt_quantise_row(const jt_kernels *k, const jt_format *f, const float *x, size_t n, const float *importance, void *out,
                          jt_error *err);

/* The format that a tensor with rows of `cols` weights gets when `f` is asked for: f itself where its blocks divide the row,
 * else what llama.cpp takes, the next larger format in blocks of 32 (Q5_0 for Q4_K, Q5_1 for Q5_K, Q8_0 for Q6_K, IQ4_NL below,
 * Q4_0 for TQ), and F16 where 32 does not divide the row either. The caller says so where it differs from f. */
const jt_format *jt_format_fallback(const jt_format *f, uint64_t cols);

#endif
