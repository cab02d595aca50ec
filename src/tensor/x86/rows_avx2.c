/* rows_avx2.c: kernels on rows of floats with AVX2. The 16 virtual accumulators are two vectors of 8;
 * what is left past the last multiple of 16 goes to its accumulators one by one. */
#include "tensor/x86/avx2.h"

/* The first n (below 8) of 8 lanes. */
static inline __m256i first_lanes_avx2(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

void jt_avx2_rms_norm(const float *x, const float *w, int n, float eps, float *y, float *inv) {
    __m256 a = _mm256_setzero_ps(), b = a;
    int i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256 u = _mm256_loadu_ps(x + i), v = _mm256_loadu_ps(x + i + 8);
        a = _mm256_fmadd_ps(u, u, a);
        b = _mm256_fmadd_ps(v, v, b);
    }
    if (i < n) {
        float left[16];
        _mm256_storeu_ps(left, a);
        _mm256_storeu_ps(left + 8, b);
        for (int j = 0; i < n; i++, j++) left[j] = fmaf(x[i], x[i], left[j]);
        a = _mm256_loadu_ps(left), b = _mm256_loadu_ps(left + 8);
    }
    float r = 1 / sqrtf(jt_avx2_tree(a, b) / (float)n + eps);
    __m256 scale = _mm256_set1_ps(r);
    for (i = 0; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, _mm256_mul_ps(_mm256_mul_ps(_mm256_loadu_ps(x + i), scale), _mm256_loadu_ps(w + i)));
    for (; i < n; i++) y[i] = x[i] * r * w[i];
    if (inv) *inv = r;
}

void jt_avx2_add(const float *a, const float *b, int n, float *y) {
    int i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(y + i, _mm256_add_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i)));
    for (; i < n; i++) y[i] = a[i] + b[i];
}

static inline __m256 swiglu8_avx2(__m256 g, __m256 u) {
    __m256 e = jt_avx2_exp8(_mm256_xor_ps(g, _mm256_set1_ps(-0.0f)));
    return _mm256_mul_ps(_mm256_div_ps(g, _mm256_add_ps(_mm256_set1_ps(1), e)), u);
}

void jt_avx2_swiglu(const float *g, const float *u, int n, float *y) {
    int i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(y + i, swiglu8_avx2(_mm256_loadu_ps(g + i), _mm256_loadu_ps(u + i)));
    if (i < n) {
        __m256i mask = first_lanes_avx2(n - i);
        _mm256_maskstore_ps(y + i, mask, swiglu8_avx2(_mm256_maskload_ps(g + i, mask), _mm256_maskload_ps(u + i, mask)));
    }
}

static inline void rope_pair_avx2(float *pa, float *pb, float c, float s) {
    float a = *pa, b = *pb;
    *pa = fmaf(a, c, -(b * s));
    *pb = fmaf(b, c, a * s);
}

static void rope_halves_avx2(float *x, int half, const float *c, const float *s) {
    int i = 0;
    for (; i + 8 <= half; i += 8) {
        __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(x + half + i), vc = _mm256_loadu_ps(c + i), vs = _mm256_loadu_ps(s + i);
        _mm256_storeu_ps(x + i, _mm256_fmsub_ps(a, vc, _mm256_mul_ps(b, vs)));
        _mm256_storeu_ps(x + half + i, _mm256_fmadd_ps(b, vc, _mm256_mul_ps(a, vs)));
    }
    for (; i < half; i++) rope_pair_avx2(x + i, x + half + i, c[i], s[i]);
}

static void rope_pairs_avx2(float *x, int half, const float *c, const float *s) {
    const __m256i twice = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
    int i = 0;
    for (; i + 4 <= half; i += 4) {
        __m256 v = _mm256_loadu_ps(x + 2 * i), swapped = _mm256_permute_ps(v, 0xb1);
        __m256 vc = _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(c + i)), twice);
        __m256 vs = _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(s + i)), twice);
        _mm256_storeu_ps(x + 2 * i, _mm256_fmaddsub_ps(v, vc, _mm256_mul_ps(swapped, vs)));
    }
    for (; i < half; i++) rope_pair_avx2(x + 2 * i, x + 2 * i + 1, c[i], s[i]);
}

void jt_avx2_rope(float *x, int heads, int dim, int rot, int interleaved, const float *c, const float *s) {
    for (int h = 0; h < heads; h++, x += dim) {
        if (interleaved)
            rope_pairs_avx2(x, rot / 2, c, s);
        else
            rope_halves_avx2(x, rot / 2, c, s);
    }
}

void jt_avx2_exp(const float *x, int n, float *y) {
    int i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(y + i, jt_avx2_exp8(_mm256_loadu_ps(x + i)));
    if (i < n) {
        __m256i mask = first_lanes_avx2(n - i);
        _mm256_maskstore_ps(y + i, mask, jt_avx2_exp8(_mm256_maskload_ps(x + i, mask)));
    }
}

void jt_avx2_to_f16(const float *x, int n, uint16_t *y) {
    int i = 0;
    for (; i + 8 <= n; i += 8) _mm_storeu_si128((__m128i *)(y + i), _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
    for (; i < n; i++) y[i] = _cvtss_sh(x[i], _MM_FROUND_TO_NEAREST_INT);
}

void jt_avx2_from_f16(const uint16_t *x, int n, float *y) {
    int i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(y + i, jt_avx2_load_halfs(x + i));
    for (; i < n; i++) y[i] = _cvtsh_ss(x[i]);
}

/* 32 elements to quants and their scale. */
static inline __m256i to_q8_block_avx2(const __m256 x[4], uint16_t *d) {
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff), order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i top = _mm256_setzero_si256(), r[4];
    JT_UNROLL
    for (int i = 0; i < 4; i++) top = _mm256_max_epi32(top, _mm256_and_si256(_mm256_castps_si256(x[i]), magnitude));
    __m128i h = _mm_max_epi32(_mm256_castsi256_si128(top), _mm256_extracti128_si256(top, 1)); /* NaN lies above all numbers */
    h = _mm_max_epi32(h, _mm_shuffle_epi32(h, 0x4e));
    h = _mm_max_epi32(h, _mm_shuffle_epi32(h, 0xb1));
    h = _mm_min_epi32(h, _mm_set1_epi32(0x7f800000));
    *d = _cvtss_sh(_mm_cvtss_f32(_mm_castsi128_ps(h)) / 127, _MM_FROUND_TO_NEAREST_INT);
    if (*d == 0) return _mm256_setzero_si256();
    if (*d == 0x7c00) {
        *d = 0x7e00;
        return _mm256_setzero_si256();
    }
    const __m256 scale = _mm256_set1_ps(_cvtsh_ss(*d));
    JT_UNROLL
    for (int i = 0; i < 4; i++) r[i] = _mm256_cvtps_epi32(_mm256_div_ps(x[i], scale));
    __m256i q = _mm256_packs_epi16(_mm256_packs_epi32(r[0], r[1]), _mm256_packs_epi32(r[2], r[3]));
    return _mm256_max_epi8(_mm256_permutevar8x32_epi32(q, order), _mm256_set1_epi8(-127));
}

void jt_avx2_to_q8(const float *x, int n, int8_t *q, uint16_t *d) {
    __m256 v[4];
    for (; n >= JT_KV_BLOCK; n -= JT_KV_BLOCK, x += JT_KV_BLOCK, q += JT_KV_BLOCK) {
        JT_UNROLL
        for (int i = 0; i < 4; i++) v[i] = _mm256_loadu_ps(x + 8 * i);
        _mm256_storeu_si256((__m256i *)q, to_q8_block_avx2(v, d++));
    }
    if (n > 0) {
        int8_t last[JT_KV_BLOCK];
        for (int i = 0; i < 4; i++) v[i] = n > 8 * i ? _mm256_maskload_ps(x + 8 * i, first_lanes_avx2(n - 8 * i)) : _mm256_setzero_ps();
        _mm256_storeu_si256((__m256i *)last, to_q8_block_avx2(v, d));
        memcpy(q, last, (size_t)n);
    }
}

float jt_avx2_max(const float *x, int n) {
    /* maxps gives its second operand when one is NaN: the running maximum. */
    __m256 a = _mm256_set1_ps(-INFINITY), b = a;
    int i = 0;
    for (; i + 16 <= n; i += 16) {
        a = _mm256_max_ps(_mm256_loadu_ps(x + i), a);
        b = _mm256_max_ps(_mm256_loadu_ps(x + i + 8), b);
    }
    float m = jt_avx2_max8(_mm256_max_ps(a, b));
    for (; i < n; i++)
        if (x[i] > m) m = x[i];
    return m + 0.0f;
}

/* Adds e and e * z of 8 terms to four accumulators of S and of T each. */
static inline void sum_exp8_avx2(__m256 z, __m256 e, __m256d S[2], __m256d T[2]) {
    z = _mm256_andnot_ps(_mm256_cmp_ps(e, _mm256_setzero_ps(), _CMP_EQ_OQ), z);
    __m256d e0 = _mm256_cvtps_pd(_mm256_castps256_ps128(e)), e1 = _mm256_cvtps_pd(_mm256_extractf128_ps(e, 1));
    __m256d z0 = _mm256_cvtps_pd(_mm256_castps256_ps128(z)), z1 = _mm256_cvtps_pd(_mm256_extractf128_ps(z, 1));
    S[0] = _mm256_add_pd(S[0], e0);
    S[1] = _mm256_add_pd(S[1], e1);
    T[0] = _mm256_fmadd_pd(e0, z0, T[0]);
    T[1] = _mm256_fmadd_pd(e1, z1, T[1]);
}

static inline double tree_f64_avx2(const __m256d a[4]) {
    __m256d b = _mm256_add_pd(_mm256_add_pd(a[0], a[2]), _mm256_add_pd(a[1], a[3]));
    __m128d h = _mm_add_pd(_mm256_castpd256_pd128(b), _mm256_extractf128_pd(b, 1));
    return _mm_cvtsd_f64(_mm_add_sd(h, _mm_unpackhi_pd(h, h)));
}

void jt_avx2_sum_exp(const float *x, int n, float m, double *S, double *T) {
    __m256d a[4], b[4];
    JT_UNROLL
    for (int i = 0; i < 4; i++) a[i] = b[i] = _mm256_setzero_pd();
    const __m256 top = _mm256_set1_ps(m);
    int i = 0;
    for (; i + 16 <= n; i += 16) {
        JT_UNROLL
        for (int h = 0; h < 4; h += 2) {
            __m256 z = _mm256_sub_ps(_mm256_loadu_ps(x + i + 4 * h), top);
            sum_exp8_avx2(z, jt_avx2_exp8(z), a + h, b + h);
        }
    }
    if (i < n) {
        double left[2][16];
        float z[16], e[16];
        JT_UNROLL
        for (int k = 0; k < 4; k++) _mm256_storeu_pd(left[0] + 4 * k, a[k]), _mm256_storeu_pd(left[1] + 4 * k, b[k]);
        for (int j = 0; i + j < n; j++) z[j] = x[i + j] - m;
        jt_avx2_exp(z, n - i, e);
        for (int j = 0; i < n; i++, j++) {
            left[0][j] += e[j];
            left[1][j] = fma(e[j], e[j] == 0 ? 0 : z[j], left[1][j]);
        }
        JT_UNROLL
        for (int k = 0; k < 4; k++) a[k] = _mm256_loadu_pd(left[0] + 4 * k), b[k] = _mm256_loadu_pd(left[1] + 4 * k);
    }
    *S = tree_f64_avx2(a);
    if (T) *T = tree_f64_avx2(b);
}

int jt_avx2_scan(const float *x, int n, float *top) {
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff), one = _mm256_set1_epi32(0x00800000);
    __m256i special = _mm256_setzero_si256(); /* the sign of a lane: an exponent of ones was there */
    int i = 0, rest = 0;
    for (; i + JT_SCAN <= n; i += JT_SCAN) {
        __m256 a = _mm256_set1_ps(-INFINITY), b = a;
        JT_UNROLL
        for (int k = 0; k < JT_SCAN; k += 16) {
            __m256 u = _mm256_loadu_ps(x + i + k), v = _mm256_loadu_ps(x + i + k + 8);
            a = _mm256_max_ps(u, a);
            b = _mm256_max_ps(v, b);
            __m256i s = _mm256_add_epi32(_mm256_and_si256(_mm256_castps_si256(u), magnitude), one);
            __m256i t = _mm256_add_epi32(_mm256_and_si256(_mm256_castps_si256(v), magnitude), one);
            special = _mm256_or_si256(special, _mm256_or_si256(s, t));
        }
        top[i / JT_SCAN] = jt_avx2_max8(_mm256_max_ps(a, b)) + 0.0f;
    }
    if (i < n) top[i / JT_SCAN] = jt_avx2_max(x + i, n - i);
    for (; i < n; i++) rest |= !isfinite(x[i]);
    return rest || _mm256_movemask_ps(_mm256_castsi256_ps(special));
}

int jt_avx2_collect(const float *x, int n, float lo, float hi, int most, int32_t *place, float *value) {
    const __m256 low = _mm256_set1_ps(lo), high = _mm256_set1_ps(hi);
    int i = 0, got = 0;
    for (; i + 8 <= n && got <= most; i += 8) {
        __m256 v = _mm256_loadu_ps(x + i);
        unsigned in = (unsigned)_mm256_movemask_ps(_mm256_and_ps(_mm256_cmp_ps(v, low, _CMP_GE_OQ), _mm256_cmp_ps(v, high, _CMP_LE_OQ)));
        for (; in; in &= in - 1) {
            int k = i + __builtin_ctz(in);
            if (place) place[got] = k;
            value[got++] = x[k];
        }
    }
    for (; i < n && got <= most; i++)
        if (x[i] >= lo && x[i] <= hi) {
            if (place) place[got] = i;
            value[got++] = x[i];
        }
    return got <= most ? got : most + 1;
}

void jt_avx2_clip(const float *x, int n, float lo, float hi, float *y) {
    const __m256 low = _mm256_set1_ps(lo), high = _mm256_set1_ps(hi), none = _mm256_set1_ps(-INFINITY);
    int i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 v = _mm256_loadu_ps(x + i);
        __m256 in = _mm256_and_ps(_mm256_cmp_ps(v, low, _CMP_GE_OQ), _mm256_cmp_ps(v, high, _CMP_LE_OQ));
        _mm256_storeu_ps(y + i, _mm256_blendv_ps(none, v, in));
    }
    for (; i < n; i++) y[i] = x[i] >= lo && x[i] <= hi ? x[i] : -INFINITY;
}
