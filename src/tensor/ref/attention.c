/* attention.c: one tile of keys for some queries, merged into their running maximum and total (online softmax:
 * Milakov and Gimelshein 2018, arXiv 1805.02867), in the order of docs/numbers.md. */
#include <math.h>

#include "tensor/ref/ref.h"
#include "tensor/scalar_math.h"

/* Element i of k or v; `scale` is its block's. */
static float ref_cache_at(const jt_attn_tile *t, const void *p, size_t i, const uint16_t *scale) {
    switch (t->type) {
    case JT_F16: return jt_f16_to_f32(((const uint16_t *)p)[i]);
    case JT_Q8_0: return jt_f16_to_f32(*scale) * (float)((const int8_t *)p)[i];
    default: return ((const float *)p)[i];
    }
}

static float ref_key_at(const jt_attn_tile *t, size_t k, size_t j) {
    return ref_cache_at(t, t->k, j * JT_TILE + k, jt_attn_key_scales(t) + (j / JT_KV_BLOCK * JT_TILE + k));
}

static float ref_value_at(const jt_attn_tile *t, size_t k, size_t j) {
    return ref_cache_at(t, t->v, k * (size_t)t->vdim + j, jt_attn_value_scales(t) + (k * (size_t)jt_kv_blocks(t->vdim) + j / JT_KV_BLOCK));
}

void jt_ref_attn_tile(const jt_attn_tile *t) {
    for (int n = 0; n < t->nq; n++) {
        const float *q = t->q[n];
        float *acc = t->acc[n], p[JT_TILE] = {0}, mt = -INFINITY, lt[16] = {0};
        for (size_t k = 0; k < JT_TILE; k++) {
            if (!(t->visible[n] >> k & 1)) continue;
            float s = 0;
            for (int j = 0; j < t->dim; j++) s = fmaf(q[j], ref_key_at(t, k, (size_t)j), s);
            p[k] = t->scale * s;
            if (t->cap > 0) jt_soft_cap(jt_ref_exp, t->cap, &p[k], 1);
            if (t->bias && t->bias[n]) p[k] += t->bias[n][k];
            if (p[k] > mt) mt = p[k];
        }
        mt += 0.0f; /* -0 becomes +0 */
        for (size_t k = 0; k < JT_TILE; k++) {
            if (!(t->visible[n] >> k & 1)) continue;
            p[k] = jt_expf(p[k] - mt);
            lt[k % 16] += p[k];
        }
        for (int h = 8; h; h /= 2)
            for (int j = 0; j < h; j++) lt[j] += lt[j + h];

        float m = mt > t->m[n] ? mt : t->m[n];
        float c = jt_expf(t->m[n] - m), ct = jt_expf(mt - m);
        t->l[n] = fmaf(lt[0], ct, t->l[n] * c);
        t->m[n] = m;
        for (int j = 0; j < t->vdim; j++) {
            float at = 0;
            for (size_t k = 0; k < JT_TILE; k++)
                if (t->visible[n] >> k & 1) at = fmaf(p[k], ref_value_at(t, k, (size_t)j), at);
            acc[j] = fmaf(at, ct, acc[j] * c);
        }
    }
}

void jt_ref_attn_end(const float *acc, float l, int dim, float *out) {
    for (int j = 0; j < dim; j++) out[j] = acc[j] / l;
}
