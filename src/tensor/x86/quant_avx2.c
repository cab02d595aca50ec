/* quant_avx2.c: the searches for scales with AVX2. */
#include "tensor/x86/avx2.h"

#define QUANT(name) name##_avx2
#include "tensor/quant/blocks.h"

void jt_avx2_quant_write(const jt_quant_plan *p, const float *x, const float *importance, size_t blocks, unsigned char *out) {
    QUANT(quant_write)(p, x, importance, blocks, out);
}

#undef QUANT
