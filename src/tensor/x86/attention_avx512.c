/* attention_avx512.c: an attention tile with AVX-512, up to six queries sharing each load of keys and values. */
#include "tensor/x86/avx512.h"

enum { QUERIES = 6, WIDEN_DIM = 128, WIDEN_QUERIES = 24 };

/* fma(*x, y, sum) in all lanes. The compiler would load *x into a register for its uses; on Zen 4 those loads by themselves
 * cost a fifth of a loop over keys, and as operands nothing. */
JT_INLINE __m512 fma_all(const float *x, __m512 y, __m512 sum) {
    __asm__("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(y), "m"(*x));
    return sum;
}

/* Elements i.. of keys or values; `scale` is that of JT_Q8_0. */
JT_INLINE __m512 cache16_avx512(jt_type type, const void *p, size_t i, __m512 scale) {
    switch (type) {
    case JT_F16: return jt_avx512_load_halfs((const uint16_t *)p + i);
    case JT_Q8_0: return _mm512_mul_ps(scale, jt_avx512_load_bytes((const int8_t *)p + i, 0xffff));
    default: return _mm512_loadu_ps((const float *)p + i);
    }
}

/* Elements from j of value k; lanes past the end are not read. */
JT_INLINE __m512 values16_avx512(jt_type type, const jt_attn_tile *t, int k, int j, __mmask16 lanes) {
    size_t i = (size_t)k * (size_t)t->vdim + (size_t)j;
    __m512 scale = _mm512_setzero_ps();
    if (type == JT_Q8_0)
        scale = _mm512_cvtph_ps(_mm256_set1_epi16((short)jt_attn_value_scales(t)[k * jt_kv_blocks(t->vdim) + j / JT_KV_BLOCK]));
    if (lanes == 0xffff) return cache16_avx512(type, t->v, i, scale);
    switch (type) {
    case JT_F16: return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lanes, (const uint16_t *)t->v + i));
    case JT_Q8_0: return _mm512_mul_ps(scale, jt_avx512_load_bytes((const int8_t *)t->v + i, lanes));
    default: return _mm512_maskz_loadu_ps(lanes, (const float *)t->v + i);
    }
}

/* As jt_soft_cap. */
static inline __m512 cap16_avx512(float cap, __m512 s) {
    __m512 e = jt_avx512_exp16(_mm512_mul_ps(s, _mm512_set1_ps(2 / cap)));
    return _mm512_sub_ps(_mm512_set1_ps(cap), _mm512_div_ps(_mm512_set1_ps(2 * cap), _mm512_add_ps(e, _mm512_set1_ps(1))));
}

/* Scales the chains of a query, caps them, adds its biases; gives the largest visible score. */
JT_INLINE float scores_avx512(uint32_t visible, float scale, float cap, const float *bias, __m512 s[2]) {
    __m512 top = _mm512_set1_ps(-INFINITY);
    JT_UNROLL
    for (int i = 0; i < 2; i++) {
        s[i] = _mm512_mul_ps(_mm512_set1_ps(scale), s[i]);
        if (cap > 0) s[i] = cap16_avx512(cap, s[i]);
        if (bias) s[i] = _mm512_add_ps(s[i], _mm512_loadu_ps(bias + 16 * i));
        top = _mm512_mask_max_ps(top, (__mmask16)(visible >> 16 * i), s[i], top);
    }
    return jt_avx2_max8(_mm256_max_ps(_mm512_castps512_ps256(top), _mm512_extractf32x8_ps(top, 1))) + 0.0f;
}

/* Weights from scores; gives their total. Invisible keys get +0, which leaves a sum as it is. */
JT_INLINE float weights_avx512(uint32_t visible, float max, const __m512 s[2], float p[JT_TILE]) {
    __m512 w[2];
    JT_UNROLL
    for (int i = 0; i < 2; i++) {
        w[i] = _mm512_maskz_mov_ps((__mmask16)(visible >> 16 * i), jt_avx512_exp16(_mm512_sub_ps(s[i], _mm512_set1_ps(max))));
        _mm512_storeu_ps(p + 16 * i, w[i]);
    }
    return jt_avx512_tree(_mm512_add_ps(w[0], w[1]));
}

/* What value k adds to 16 * wide elements from j; `all`: the keys that every query sees. */
JT_INLINE void value_avx512(jt_type type, int nq, int wide, __mmask16 lanes, const jt_attn_tile *t, int first, int j, int k, uint32_t all,
                            const float p[QUERIES][JT_TILE], __m512 acc[QUERIES][4]) {
    __m512 v[4];
    if (!first && !j) jt_attn_soon_values(t, type, k);
    JT_UNROLL
    for (int h = 0; h < wide; h++) v[h] = values16_avx512(type, t, k, j + 16 * h, lanes);
    bool shared = all >> k & 1;
    JT_UNROLL
    for (int n = 0; n < nq; n++) {
        if (!shared && !(t->visible[first + n] >> k & 1)) continue;
        JT_UNROLL
        for (int h = 0; h < wide; h++) acc[n][h] = fma_all(&p[n][k], v[h], acc[n][h]);
    }
}

/* 16 * wide elements from j (the last vector's lanes given) of the weighted sums of values, merged into acc. */
JT_INLINE void values_avx512(jt_type type, int nq, int wide, __mmask16 lanes, const jt_attn_tile *t, int first, int j,
                             const float p[QUERIES][JT_TILE], const float c[QUERIES], const float ct[QUERIES]) {
    __m512 acc[QUERIES][4];
    uint32_t all = ~0u, any = 0;
    JT_UNROLL
    for (int n = 0; n < nq; n++) {
        JT_UNROLL
        for (int h = 0; h < wide; h++) acc[n][h] = _mm512_setzero_ps();
        all &= t->visible[first + n];
        any |= t->visible[first + n];
    }
    if (all == ~0u) /* as most tiles are */
        for (int k = 0; k < JT_TILE; k++) value_avx512(type, nq, wide, lanes, t, first, j, k, ~0u, p, acc);
    else
        for (; any; any &= any - 1) value_avx512(type, nq, wide, lanes, t, first, j, __builtin_ctz(any), all, p, acc);
    JT_UNROLL
    for (int n = 0; n < nq; n++) {
        JT_UNROLL
        for (int h = 0; h < wide; h++) {
            float *to = t->acc[first + n] + j + 16 * h;
            __m512 old = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, to), _mm512_set1_ps(c[n]));
            _mm512_mask_storeu_ps(to, lanes, _mm512_fmadd_ps(acc[n][h], _mm512_set1_ps(ct[n]), old));
        }
    }
}

JT_INLINE void queries_avx512(jt_type type, int nq, const jt_attn_tile *t, int first) {
    float p[QUERIES][JT_TILE], c[8], ct[8], mt[8] = {0}, lt[8] = {0};
    __m512 s[QUERIES][2];
    JT_UNROLL
    for (int n = 0; n < nq; n++) s[n][0] = s[n][1] = _mm512_setzero_ps();
    for (int b = 0, end; b < t->dim; b = end) { /* dimensions with one scale a key */
        __m512 d0 = _mm512_setzero_ps(), d1 = d0;
        end = type == JT_Q8_0 && b + JT_KV_BLOCK < t->dim ? b + JT_KV_BLOCK : t->dim;
        if (type == JT_Q8_0) {
            const uint16_t *d = jt_attn_key_scales(t) + b / JT_KV_BLOCK * JT_TILE;
            d0 = jt_avx512_load_halfs(d), d1 = jt_avx512_load_halfs(d + 16);
        }
        for (int j = b; j < end; j++) {
            if (!first) jt_attn_soon_keys(t, type, j);
            size_t at = (size_t)j * JT_TILE;
            __m512 k0 = cache16_avx512(type, t->k, at, d0), k1 = cache16_avx512(type, t->k, at + 16, d1);
            JT_UNROLL
            for (int n = 0; n < nq; n++) {
                s[n][0] = fma_all(&t->q[first + n][j], k0, s[n][0]);
                s[n][1] = fma_all(&t->q[first + n][j], k1, s[n][1]);
            }
        }
    }
    JT_UNROLL
    for (int n = 0; n < nq; n++) mt[n] = scores_avx512(t->visible[first + n], t->scale, t->cap, t->bias ? t->bias[first + n] : NULL, s[n]);
    JT_UNROLL
    for (int n = 0; n < nq; n++) lt[n] = weights_avx512(t->visible[first + n], mt[n], s[n], p[n]);
    jt_avx2_merge(nq, mt, lt, t->m + first, t->l + first, c, ct);
    int j = 0;
    for (; j + 64 <= t->vdim; j += 64) values_avx512(type, nq, 4, 0xffff, t, first, j, p, c, ct);
    for (; j + 16 <= t->vdim; j += 16) values_avx512(type, nq, 1, 0xffff, t, first, j, p, c, ct);
    if (j < t->vdim) values_avx512(type, nq, 1, (__mmask16)((1u << (t->vdim - j)) - 1), t, first, j, p, c, ct);
}

JT_INLINE void attn_avx512(jt_type type, const jt_attn_tile *t) {
    int n = 0;
    for (; n + QUERIES <= t->nq; n += QUERIES) queries_avx512(type, QUERIES, t, n);
    switch (t->nq - n) {
    case 5: queries_avx512(type, 5, t, n); break;
    case 4: queries_avx512(type, 4, t, n); break;
    case 3: queries_avx512(type, 3, t, n); break;
    case 2: queries_avx512(type, 2, t, n); break;
    case 1: queries_avx512(type, 1, t, n); break;
    default: break;
    }
}

void jt_avx512_attn_tile(const jt_attn_tile *t) {
    if (t->type == JT_F32) {
        attn_avx512(JT_F32, t);
    } else if (t->nq >= WIDEN_QUERIES && t->dim <= WIDEN_DIM && t->vdim <= WIDEN_DIM) {
        /* Many queries: keys and values are widened once for all of them. */
        _Alignas(64) float k[WIDEN_DIM * JT_TILE], v[WIDEN_DIM * JT_TILE];
        jt_attn_tile wide = *t;
        jt_avx2_attn_widen(t, k, v);
        wide.type = JT_F32, wide.k = k, wide.v = v;
        attn_avx512(JT_F32, &wide);
    } else if (t->type == JT_F16) {
        attn_avx512(JT_F16, t);
    } else {
        attn_avx512(JT_Q8_0, t);
    }
}
