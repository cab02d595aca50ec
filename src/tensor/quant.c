#include "tensor/quant.h"

#include <math.h>
#include <string.h>

#include "tensor/quant/block.h"

static bool quant_is_plain(const jt_format *f) { return f->type == JT_F32 || f->type == JT_F16 || f->type == JT_BF16; }

bool jt_format_is_written(const jt_format *f) { return quant_is_plain(f) || f->type == JT_MXFP4 || jt_quant_plan_of(f->type); }

static jt_status quant_plain(const jt_format *f, const float *x, size_t n, unsigned char *out, jt_error *err) {
    for (size_t i = 0; i < n; i++) {
        uint16_t h = f->type == JT_F16 ? jt_f32_to_f16(x[i]) : jt_f32_to_bf16(x[i]);
        if (f->type == JT_F32)
            memcpy(out + 4 * i, &x[i], 4);
        else
            memcpy(out + 2 * i, &h, 2);
        if (f->type == JT_F16 && (h & 0x7fff) == 0x7c00 && isfinite(x[i]))
            return jt_error_set(err, JT_INVALID, "weight %zu is %g, which f16 cannot hold; use bf16 or f32", i, (double)x[i]);
    }
    return JT_OK;
}

jt_status jt_quantise_row(const jt_kernels *k, const jt_format *f, const float *x, size_t n, const float *importance, void *out,
                          jt_error *err) {
    if (n % f->block)
        return jt_error_set(err, JT_INVALID, "a row of %zu weights cannot be in format %s, whose blocks have %d", n, f->name, f->block);
    if (quant_is_plain(f)) return quant_plain(f, x, n, out, err);
    const jt_quant_plan *plan = jt_quant_plan_of(f->type);
    if (!plan && f->type != JT_MXFP4) return jt_error_set(err, JT_UNSUPPORTED, "format %s is read but not written", f->name);
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(x[i]) <= 65504))
            return jt_error_set(err, JT_INVALID, "weight %zu is %g, which %s cannot hold; use bf16 or f32", i, (double)x[i], f->name);
    if (plan)
        k->quant_write(plan, x, importance, n / f->block, out);
    else
        jt_quant_write_mxfp4(x, importance, n / f->block, out);
    return JT_OK;
}

const jt_format *jt_format_fallback(const jt_format *f, uint64_t cols) {
    uint32_t type = JT_F16;
    if (cols % f->block == 0) return f;
    switch (f->type) {
    case JT_TQ1_0:
    case JT_TQ2_0:
    case JT_Q2_K:
    case JT_Q3_K: type = JT_Q4_0; break;
    case JT_IQ1_S:
    case JT_IQ1_M:
    case JT_IQ2_XXS:
    case JT_IQ2_XS:
    case JT_IQ2_S:
    case JT_IQ3_XXS:
    case JT_IQ3_S:
    case JT_IQ4_XS: type = JT_IQ4_NL; break;
    case JT_Q4_K: type = JT_Q5_0; break;
    case JT_Q5_K: type = JT_Q5_1; break;
    case JT_Q6_K: type = JT_Q8_0; break;
    default: break;
    }
    f = jt_format_of(type);
    return cols % f->block ? jt_format_of(JT_F16) : f;
}
