#include "model/convert_quant.h"

#include <math.h>
#include <string.h>

enum { QUANT_BLOCK = 32 };

static void quant_put(uint8_t *p, uint16_t v) { memcpy(p, &v, sizeof v); }

/* Scale by the largest magnitude, 127 steps to each side. */
static void quant_q8_0(const float *x, uint8_t *out) {
    float most = 0;
    for (int i = 0; i < QUANT_BLOCK; i++) most = fmaxf(most, fabsf(x[i]));
    float d = most / 127, inv = d > 0 ? 1 / d : 0;
    quant_put(out, jt_f32_to_f16(d));
    for (int i = 0; i < QUANT_BLOCK; i++) out[2 + i] = (uint8_t)(int8_t)roundf(x[i] * inv);
}

/* The number of largest magnitude becomes -8. */
static void quant_q4_0(const float *x, uint8_t *out) {
    float most = 0;
    uint8_t q[QUANT_BLOCK];
    for (int i = 0; i < QUANT_BLOCK; i++)
        if (fabsf(x[i]) > fabsf(most)) most = x[i];
    float d = most / -8, inv = d != 0 ? 1 / d : 0;
    quant_put(out, jt_f32_to_f16(d));
    for (int i = 0; i < QUANT_BLOCK; i++) q[i] = (uint8_t)fminf(15, floorf(x[i] * inv + 8.5f));
    for (int i = 0; i < QUANT_BLOCK / 2; i++) out[2 + i] = (uint8_t)(q[i] | q[i + QUANT_BLOCK / 2] << 4);
}

bool jt_convert_writes(const jt_format *f) {
    return f->type == JT_F32 || f->type == JT_F16 || f->type == JT_BF16 || f->type == JT_Q8_0 || f->type == JT_Q4_0;
}

void jt_convert_quantise(const jt_format *f, const float *x, void *out, size_t n, const float *weight) {
    uint8_t *p = out;
    (void)weight;
    for (size_t i = 0; i < n; i += f->block, p += f->bytes) switch (f->type) {
        case JT_F32: memcpy(p, x + i, sizeof(float)); break;
        case JT_F16: quant_put(p, jt_f32_to_f16(x[i])); break;
        case JT_BF16: quant_put(p, jt_f32_to_bf16(x[i])); break;
        case JT_Q8_0: quant_q8_0(x + i, p); break;
        default: quant_q4_0(x + i, p); break;
        }
}
