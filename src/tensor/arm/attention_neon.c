/* attention_neon.c: an attention tile with NEON, up to four queries sharing each load of keys and values. */
#include "tensor/arm/neon.h"

/* 16 elements from i; `scale` is that of JT_Q8_0 for each four of them. */
JT_INLINE void cache16_neon(jt_type type, const void *p, size_t i, const float32x4_t scale[4], float32x4_t out[4]) {
    if (type == JT_Q8_0) {
        jt_neon_bytes16(vld1q_s8((const int8_t *)p + i), out);
        JT_UNROLL
        for (int k = 0; k < 4; k++) out[k] = vmulq_f32(scale[k], out[k]);
        return;
    }
    JT_UNROLL
    for (int k = 0; k < 4; k++)
        out[k] = type == JT_F16 ? jt_neon_load_halfs((const uint16_t *)p + i + 4 * k) : vld1q_f32((const float *)p + i + 4 * k);
}

/* The scale of element j of value k. */
JT_INLINE float value_scale_neon(const jt_attn_tile *t, int k, int j) {
    return vgetq_lane_f32(jt_neon_widen4(vdup_n_u16(jt_attn_value_scales(t)[k * jt_kv_blocks(t->vdim) + j / JT_KV_BLOCK])), 0);
}

JT_INLINE float value1_neon(jt_type type, const jt_attn_tile *t, int k, int j) {
    size_t i = (size_t)k * (size_t)t->vdim + (size_t)j;
    switch (type) {
    case JT_F16: return vgetq_lane_f32(jt_neon_widen4(vdup_n_u16(((const uint16_t *)t->v)[i])), 0);
    case JT_Q8_0: return value_scale_neon(t, k, j) * (float)((const int8_t *)t->v)[i];
    default: return ((const float *)t->v)[i];
    }
}

/* scale * (query . key) for 32 keys, 16 at a time. */
JT_INLINE void scores_neon(jt_type type, int nq, const jt_attn_tile *t, int first, float p[4][JT_TILE]) {
    for (int k = 0; k < JT_TILE; k += 16) {
        float32x4_t acc[4][4], d[4], key[4];
        JT_UNROLL
        for (int n = 0; n < nq; n++) {
            JT_UNROLL
            for (int i = 0; i < 4; i++) acc[n][i] = vdupq_n_f32(0);
        }
        for (int i = 0; i < 4; i++) d[i] = vdupq_n_f32(0);
        for (int b = 0, end; b < t->dim; b = end) { /* dimensions with one scale a key */
            end = type == JT_Q8_0 && b + JT_KV_BLOCK < t->dim ? b + JT_KV_BLOCK : t->dim;
            if (type == JT_Q8_0) {
                JT_UNROLL
                for (int i = 0; i < 4; i++) d[i] = jt_neon_load_halfs(jt_attn_key_scales(t) + b / JT_KV_BLOCK * JT_TILE + k + 4 * i);
            }
            for (int j = b; j < end; j++) {
                cache16_neon(type, t->k, (size_t)j * JT_TILE + (size_t)k, d, key);
                JT_UNROLL
                for (int n = 0; n < nq; n++) {
                    float q = t->q[first + n][j];
                    JT_UNROLL
                    for (int i = 0; i < 4; i++) acc[n][i] = vfmaq_n_f32(acc[n][i], key[i], q);
                }
            }
        }
        JT_UNROLL
        for (int n = 0; n < nq; n++) {
            JT_UNROLL
            for (int i = 0; i < 4; i++) vst1q_f32(p[n] + k + 4 * i, vmulq_n_f32(acc[n][i], t->scale));
        }
    }
}

/* Scores to weights of the tile; gives its maximum and total. Invisible keys get +0, which leaves a sum as it is. */
static inline void weights_of_tile_neon(uint32_t visible, float p[JT_TILE], float *max, float *total) {
    static const uint32_t bits[4] = {1, 2, 4, 8};
    const uint32x4_t bit = vld1q_u32(bits);
    float32x4_t top = vdupq_n_f32(-INFINITY), v[8], sum[4];
    uint32x4_t mask[8];
    JT_UNROLL
    for (int i = 0; i < 8; i++) {
        mask[i] = vtstq_u32(vdupq_n_u32(visible >> 4 * i), bit);
        v[i] = vld1q_f32(p + 4 * i);
        top = jt_neon_larger(vbslq_f32(mask[i], v[i], top), top);
    }
    *max = jt_neon_max4(top) + 0.0f;
    JT_UNROLL
    for (int i = 0; i < 8; i++) {
        float32x4_t e = jt_neon_exp4(vsubq_f32(v[i], vdupq_n_f32(*max)));
        v[i] = vreinterpretq_f32_u32(vandq_u32(mask[i], vreinterpretq_u32_f32(e)));
        vst1q_f32(p + 4 * i, v[i]);
    }
    JT_UNROLL
    for (int i = 0; i < 4; i++) sum[i] = vaddq_f32(v[i], v[4 + i]);
    *total = jt_neon_tree(sum);
}

/* Merges the maxima mt and totals lt of a tile into m and l of nq (at most 4) queries; gives the factors of what was
 * summed before (c) and of the tile (ct). */
static inline void merge_neon(int nq, const float mt[4], const float lt[4], float *m, float *l, float c[4], float ct[4]) {
    float32x4_t tile = vld1q_f32(mt), old = jt_neon_load_part(m, nq), top = jt_neon_larger(tile, old);
    float32x4_t vc = jt_neon_exp4(vsubq_f32(old, top)), vct = jt_neon_exp4(vsubq_f32(tile, top));
    jt_neon_store_part(l, nq, vfmaq_f32(vmulq_f32(jt_neon_load_part(l, nq), vc), vld1q_f32(lt), vct));
    jt_neon_store_part(m, nq, top);
    vst1q_f32(c, vc);
    vst1q_f32(ct, vct);
}

/* 16 elements from j of the weighted sums of values, merged into acc. */
JT_INLINE void values_neon(jt_type type, int nq, const jt_attn_tile *t, int first, int j, const float p[4][JT_TILE], const float c[4],
                           const float ct[4]) {
    float32x4_t acc[4][4], v[4], d[4];
    uint32_t all = ~0u, any = 0;
    JT_UNROLL
    for (int n = 0; n < nq; n++) {
        JT_UNROLL
        for (int i = 0; i < 4; i++) acc[n][i] = vdupq_n_f32(0);
        all &= t->visible[first + n];
        any |= t->visible[first + n];
    }
    for (; any; any &= any - 1) {
        int k = __builtin_ctz(any);
        bool shared = all >> k & 1;
        JT_UNROLL
        for (int i = 0; i < 4; i++) d[i] = type == JT_Q8_0 ? vdupq_n_f32(value_scale_neon(t, k, j)) : vdupq_n_f32(0);
        cache16_neon(type, t->v, (size_t)k * (size_t)t->vdim + (size_t)j, d, v);
        JT_UNROLL
        for (int n = 0; n < nq; n++) {
            if (!shared && !(t->visible[first + n] >> k & 1)) continue;
            JT_UNROLL
            for (int i = 0; i < 4; i++) acc[n][i] = vfmaq_n_f32(acc[n][i], v[i], p[n][k]);
        }
    }
    JT_UNROLL
    for (int n = 0; n < nq; n++) {
        JT_UNROLL
        for (int i = 0; i < 4; i++) {
            float *to = t->acc[first + n] + j + 4 * i;
            vst1q_f32(to, vfmaq_n_f32(vmulq_n_f32(vld1q_f32(to), c[n]), acc[n][i], ct[n]));
        }
    }
}

JT_INLINE void queries_neon(jt_type type, int nq, const jt_attn_tile *t, int first) {
    float p[4][JT_TILE], c[4], ct[4], mt[4] = {0}, lt[4] = {0};
    scores_neon(type, nq, t, first, p);
    for (int n = 0; t->cap > 0 && n < nq; n++) jt_soft_cap(jt_neon_exp, t->cap, p[n], JT_TILE);
    for (int n = 0; t->bias && n < nq; n++)
        for (int k = 0; t->bias[first + n] && k < JT_TILE; k++) p[n][k] += t->bias[first + n][k];
    for (int n = 0; n < nq; n++) weights_of_tile_neon(t->visible[first + n], p[n], &mt[n], &lt[n]);
    merge_neon(nq, mt, lt, t->m + first, t->l + first, c, ct);
    int j = 0;
    for (; j + 16 <= t->vdim; j += 16) values_neon(type, nq, t, first, j, p, c, ct);
    for (; j < t->vdim; j++)
        for (int n = 0; n < nq; n++) {
            float at = 0, *to = t->acc[first + n] + j;
            for (int k = 0; k < JT_TILE; k++)
                if (t->visible[first + n] >> k & 1) at = fmaf(p[n][k], value1_neon(type, t, k, j), at);
            *to = fmaf(at, ct[n], *to * c[n]);
        }
}

JT_INLINE void attn_neon(jt_type type, const jt_attn_tile *t) {
    int n = 0;
    for (; n + 4 <= t->nq; n += 4) queries_neon(type, 4, t, n);
    switch (t->nq - n) {
    case 3: queries_neon(type, 3, t, n); break;
    case 2: queries_neon(type, 2, t, n); break;
    case 1: queries_neon(type, 1, t, n); break;
    default: break;
    }
}

void jt_neon_attn_tile(const jt_attn_tile *t) {
    switch (t->type) {
    case JT_F16: attn_neon(JT_F16, t); break;
    case JT_Q8_0: attn_neon(JT_Q8_0, t); break;
    default: attn_neon(JT_F32, t); break;
    }
}

void jt_neon_attn_end(const float *acc, float l, int dim, float *out) {
    const float32x4_t total = vdupq_n_f32(l);
    int j = 0;
    for (; j + 4 <= dim; j += 4) vst1q_f32(out + j, vdivq_f32(vld1q_f32(acc + j), total));
    for (; j < dim; j++) out[j] = acc[j] / l;
}
