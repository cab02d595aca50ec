/* convert_quant.h: a row of float32 in a block format, by the simple rules. */
#ifndef JT_MODEL_CONVERT_QUANT_H
#define JT_MODEL_CONVERT_QUANT_H

#include "tensor/format.h"

/* Whether rows can be written in the format. */
bool jt_convert_writes(const jt_format *f);
/* n numbers (a multiple of the format's block) to `out`. `weight` [n], or NULL: how much each matters. */
void jt_convert_quantise(const jt_format *f, const float *x, void *out, size_t n, const float *weight);

#endif
