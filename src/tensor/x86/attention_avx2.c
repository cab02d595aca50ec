/* attention_avx2.c: an attention tile with AVX2, up to four queries sharing each load of keys and values. */
#include "tensor/x86/avx2.h"

enum { WIDEN_DIM_AVX2 = 128, WIDEN_QUERIES_AVX2 = 16 };

/* 8 elements from i; `scale` is that of JT_Q8_0. */
JT_INLINE __m256 cache8_avx2(jt_type type, const void *p, size_t i, __m256 scale) {
    switch (type) {
    case JT_F16: return jt_avx2_load_halfs((const uint16_t *)p + i);
    case JT_Q8_0: return _mm256_mul_ps(scale, jt_avx2_load_bytes((const int8_t *)p + i));
    default: return _mm256_loadu_ps((const float *)p + i);
    }
}

/* The scale of element j of value k, in all lanes. */
JT_INLINE __m256 value_scale_avx2(jt_type type, const jt_attn_tile *t, int k, int j) {
    if (type != JT_Q8_0) return _mm256_setzero_ps();
    return _mm256_cvtph_ps(_mm_set1_epi16((short)jt_attn_value_scales(t)[k * jt_kv_blocks(t->vdim) + j / JT_KV_BLOCK]));
}

JT_INLINE float value1_avx2(jt_type type, const jt_attn_tile *t, int k, int j) {
    size_t i = (size_t)k * (size_t)t->vdim + (size_t)j;
    switch (type) {
    case JT_F16: return _cvtsh_ss(((const uint16_t *)t->v)[i]);
    case JT_Q8_0: return _mm256_cvtss_f32(value_scale_avx2(type, t, k, j)) * (float)((const int8_t *)t->v)[i];
    default: return ((const float *)t->v)[i];
    }
}

/* scale * (query . key) for 32 keys, 16 at a time. */
JT_INLINE void scores_avx2(jt_type type, int nq, const jt_attn_tile *t, int first, float p[4][JT_TILE]) {
    const __m256 scale = _mm256_set1_ps(t->scale);
    for (int k = 0; k < JT_TILE; k += 16) {
        __m256 acc[4][2];
        JT_UNROLL
        for (int n = 0; n < nq; n++) acc[n][0] = acc[n][1] = _mm256_setzero_ps();
        for (int b = 0, end; b < t->dim; b = end) { /* dimensions with one scale a key */
            __m256 d0 = _mm256_setzero_ps(), d1 = d0;
            end = type == JT_Q8_0 && b + JT_KV_BLOCK < t->dim ? b + JT_KV_BLOCK : t->dim;
            if (type == JT_Q8_0) {
                const uint16_t *d = jt_attn_key_scales(t) + b / JT_KV_BLOCK * JT_TILE + k;
                d0 = jt_avx2_load_halfs(d), d1 = jt_avx2_load_halfs(d + 8);
            }
            for (int j = b; j < end; j++) {
                if (!first && !k) jt_attn_soon_keys(t, type, j);
                size_t at = (size_t)j * JT_TILE + (size_t)k;
                __m256 k0 = cache8_avx2(type, t->k, at, d0), k1 = cache8_avx2(type, t->k, at + 8, d1);
                JT_UNROLL
                for (int n = 0; n < nq; n++) {
                    __m256 q = _mm256_broadcast_ss(t->q[first + n] + j);
                    acc[n][0] = _mm256_fmadd_ps(q, k0, acc[n][0]);
                    acc[n][1] = _mm256_fmadd_ps(q, k1, acc[n][1]);
                }
            }
        }
        JT_UNROLL
        for (int n = 0; n < nq; n++) {
            _mm256_storeu_ps(p[n] + k, _mm256_mul_ps(scale, acc[n][0]));
            _mm256_storeu_ps(p[n] + k + 8, _mm256_mul_ps(scale, acc[n][1]));
        }
    }
}

/* Lane i all ones when bit i of the mask is set. */
static inline __m256 mask8_avx2(uint32_t mask) {
    const __m256i bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    return _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32((int)mask), bits), bits));
}

/* Scores to weights of the tile; gives its maximum and total. Invisible keys get +0, which leaves a sum as it is. */
static inline void weights_avx2(uint32_t visible, float p[JT_TILE], float *max, float *total) {
    __m256 top = _mm256_set1_ps(-INFINITY), v[4], mask[4];
    JT_UNROLL
    for (int i = 0; i < 4; i++) {
        mask[i] = mask8_avx2(visible >> 8 * i);
        v[i] = _mm256_loadu_ps(p + 8 * i);
        top = _mm256_max_ps(_mm256_blendv_ps(top, v[i], mask[i]), top);
    }
    *max = jt_avx2_max8(top) + 0.0f;
    JT_UNROLL
    for (int i = 0; i < 4; i++) {
        v[i] = _mm256_and_ps(mask[i], jt_avx2_exp8(_mm256_sub_ps(v[i], _mm256_set1_ps(*max))));
        _mm256_storeu_ps(p + 8 * i, v[i]);
    }
    *total = jt_avx2_tree(_mm256_add_ps(v[0], v[2]), _mm256_add_ps(v[1], v[3]));
}

/* 8 * wide elements from j of the weighted sums of values, merged into acc. */
JT_INLINE void values_avx2(jt_type type, int nq, int wide, const jt_attn_tile *t, int first, int j, const float p[4][JT_TILE],
                           const float c[4], const float ct[4]) {
    __m256 acc[4][2];
    uint32_t all = ~0u, any = 0;
    JT_UNROLL
    for (int n = 0; n < nq; n++) {
        JT_UNROLL
        for (int h = 0; h < wide; h++) acc[n][h] = _mm256_setzero_ps();
        all &= t->visible[first + n];
        any |= t->visible[first + n];
    }
    for (; any; any &= any - 1) {
        int k = __builtin_ctz(any);
        if (!first && !j) jt_attn_soon_values(t, type, k);
        __m256 v[2], d = value_scale_avx2(type, t, k, j);
        JT_UNROLL
        for (int h = 0; h < wide; h++) v[h] = cache8_avx2(type, t->v, (size_t)k * (size_t)t->vdim + (size_t)(j + 8 * h), d);
        bool shared = all >> k & 1;
        JT_UNROLL
        for (int n = 0; n < nq; n++) {
            if (!shared && !(t->visible[first + n] >> k & 1)) continue;
            __m256 w = _mm256_broadcast_ss(&p[n][k]);
            JT_UNROLL
            for (int h = 0; h < wide; h++) acc[n][h] = _mm256_fmadd_ps(w, v[h], acc[n][h]);
        }
    }
    JT_UNROLL
    for (int n = 0; n < nq; n++) {
        JT_UNROLL
        for (int h = 0; h < wide; h++) {
            float *to = t->acc[first + n] + j + 8 * h;
            _mm256_storeu_ps(to,
                             _mm256_fmadd_ps(acc[n][h], _mm256_set1_ps(ct[n]), _mm256_mul_ps(_mm256_loadu_ps(to), _mm256_set1_ps(c[n]))));
        }
    }
}

JT_INLINE void queries_avx2(jt_type type, int nq, const jt_attn_tile *t, int first) {
    float p[4][JT_TILE], c[8], ct[8], mt[8] = {0}, lt[8] = {0};
    scores_avx2(type, nq, t, first, p);
    for (int n = 0; t->cap > 0 && n < nq; n++) jt_soft_cap(jt_avx2_exp, t->cap, p[n], JT_TILE);
    for (int n = 0; t->bias && n < nq; n++)
        for (int k = 0; t->bias[first + n] && k < JT_TILE; k++) p[n][k] += t->bias[first + n][k];
    for (int n = 0; n < nq; n++) weights_avx2(t->visible[first + n], p[n], &mt[n], &lt[n]);
    jt_avx2_merge(nq, mt, lt, t->m + first, t->l + first, c, ct);
    int j = 0;
    for (; j + 16 <= t->vdim; j += 16) values_avx2(type, nq, 2, t, first, j, p, c, ct);
    if (j + 8 <= t->vdim) values_avx2(type, nq, 1, t, first, j, p, c, ct), j += 8;
    for (; j < t->vdim; j++)
        for (int n = 0; n < nq; n++) {
            float at = 0, *to = t->acc[first + n] + j;
            for (int k = 0; k < JT_TILE; k++)
                if (t->visible[first + n] >> k & 1) at = fmaf(p[n][k], value1_avx2(type, t, k, j), at);
            *to = fmaf(at, ct[n], *to * c[n]);
        }
}

JT_INLINE void attn_avx2(jt_type type, const jt_attn_tile *t) {
    int n = 0;
    for (; n + 4 <= t->nq; n += 4) queries_avx2(type, 4, t, n);
    switch (t->nq - n) {
    case 3: queries_avx2(type, 3, t, n); break;
    case 2: queries_avx2(type, 2, t, n); break;
    case 1: queries_avx2(type, 1, t, n); break;
    default: break;
    }
}

void jt_avx2_attn_widen(const jt_attn_tile *t, float *k, float *v) {
    if (t->type == JT_F16) {
        jt_avx2_from_f16(t->k, t->dim * JT_TILE, k);
        jt_avx2_from_f16(t->v, t->vdim * JT_TILE, v);
        return;
    }
    const int8_t *kq = t->k, *vq = t->v;
    const uint16_t *d = jt_attn_key_scales(t);
    for (int j = 0; j < t->dim; j++, kq += JT_TILE, k += JT_TILE) JT_UNROLL
    for (int i = 0; i < JT_TILE; i += 8)
        _mm256_storeu_ps(k + i, cache8_avx2(JT_Q8_0, kq, (size_t)i, jt_avx2_load_halfs(d + j / JT_KV_BLOCK * JT_TILE + i)));
    for (int i = 0; i < JT_TILE; i++, vq += t->vdim, v += t->vdim) {
        int j = 0;
        for (; j + 8 <= t->vdim; j += 8) _mm256_storeu_ps(v + j, cache8_avx2(JT_Q8_0, vq, (size_t)j, value_scale_avx2(JT_Q8_0, t, i, j)));
        for (; j < t->vdim; j++) v[j] = value1_avx2(JT_Q8_0, t, i, j);
    }
}

void jt_avx2_attn_tile(const jt_attn_tile *t) {
    if (t->type == JT_F32) {
        attn_avx2(JT_F32, t);
    } else if (t->type == JT_F16) {
        attn_avx2(JT_F16, t);
    } else if (t->nq >= WIDEN_QUERIES_AVX2 && t->dim <= WIDEN_DIM_AVX2 && t->vdim <= WIDEN_DIM_AVX2) {
        /* Many queries: keys and values are widened once for all of them. Halves, one instruction each, gain nothing. */
        _Alignas(64) float k[WIDEN_DIM_AVX2 * JT_TILE], v[WIDEN_DIM_AVX2 * JT_TILE];
        jt_attn_tile wide = *t;
        jt_avx2_attn_widen(t, k, v);
        wide.type = JT_F32, wide.k = k, wide.v = v;
        attn_avx2(JT_F32, &wide);
    } else {
        attn_avx2(JT_Q8_0, t);
    }
}

void jt_avx2_attn_end(const float *acc, float l, int dim, float *out) {
    const __m256 total = _mm256_set1_ps(l);
    int j = 0;
    for (; j + 8 <= dim; j += 8) _mm256_storeu_ps(out + j, _mm256_div_ps(_mm256_loadu_ps(acc + j), total));
    for (; j < dim; j++) out[j] = acc[j] / l;
}
