/* plans.c: which block formats are written, and how their blocks are laid out (docs/formats.md). */
#include "tensor/quant/block.h"

const jt_quant_plan *jt_quant_plan_of(uint32_t type) {
    (void)type;
    return NULL;
}

void jt_quant_block_write(const jt_quant_plan *p, const float *x, const float *importance, unsigned char *out) {
    p->write(x, importance, out);
}
