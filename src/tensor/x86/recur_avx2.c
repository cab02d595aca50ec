/* recur_avx2.c: kernels of recurrent layers with AVX2. */
#include "tensor/x86/avx2.h"

/* The first n (at most 8) of 8 lanes. */
static inline __m256i recur_lanes_avx2(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

void jt_avx2_conv(const float *const *x, const float *w, int stride, const float *bias, int taps, int n, float *y) {
    for (int i = 0; i < n; i += 8) {
        __m256i mask = recur_lanes_avx2(n - i);
        __m256 a = bias ? _mm256_maskload_ps(bias + i, mask) : _mm256_setzero_ps();
        for (int k = 0; k < taps; k++)
            if (x[k]) a = _mm256_fmadd_ps(_mm256_maskload_ps(w + (long)k * stride + i, mask), _mm256_maskload_ps(x[k] + i, mask), a);
        __m256 e = jt_avx2_exp8(_mm256_xor_ps(a, _mm256_set1_ps(-0.0f)));
        _mm256_maskstore_ps(y + i, mask, _mm256_div_ps(a, _mm256_add_ps(_mm256_set1_ps(1), e)));
    }
}

/* Eight columns of `rows` rows of the state: s = a * s + u * b, acc += c * s. */
static inline __attribute__((always_inline)) void recur_columns_avx2(const jt_recur *r, long at, int i, int rows, __m256 a,
                                                                     const __m256 u[4], __m256 acc[4]) {
    __m256 b = _mm256_loadu_ps(r->b + i), c = _mm256_loadu_ps(r->c + i);
    JT_UNROLL
    for (int q = 0; q < rows; q++) {
        long to = at + (long)q * r->n + i;
        __m256 s = r->in ? _mm256_loadu_ps(r->in + to) : _mm256_setzero_ps();
        s = _mm256_fmadd_ps(u[q], b, _mm256_mul_ps(a, s));
        _mm256_storeu_ps(r->out + to, s);
        acc[q] = _mm256_fmadd_ps(c, s, acc[q]);
    }
}

/* What is left of a row past its last multiple of 16, element by element. */
static void recur_tail_avx2(const jt_recur *r, int p, int i, __m256 *lo, __m256 *hi) {
    float left[16], u = r->dt * r->x[p];
    _mm256_storeu_ps(left, *lo);
    _mm256_storeu_ps(left + 8, *hi);
    for (int j = 0; i < r->n; i++, j++) {
        long at = (long)p * r->n + i;
        float s = fmaf(u, r->b[i], r->a * (r->in ? r->in[at] : 0));
        r->out[at] = s;
        left[j] = fmaf(r->c[i], s, left[j]);
    }
    *lo = _mm256_loadu_ps(left), *hi = _mm256_loadu_ps(left + 8);
}

/* Several rows at a time, so that their sums need not wait for one another. */
static inline __attribute__((always_inline)) void recur_rows_avx2(const jt_recur *r, int p, int rows) {
    __m256 u[4], lo[4], hi[4], a = _mm256_set1_ps(r->a);
    int i = 0;
    JT_UNROLL
    for (int q = 0; q < rows; q++) u[q] = _mm256_set1_ps(r->dt * r->x[p + q]), lo[q] = hi[q] = _mm256_setzero_ps();
    for (; i + 16 <= r->n; i += 16) {
        recur_columns_avx2(r, (long)p * r->n, i, rows, a, u, lo);
        recur_columns_avx2(r, (long)p * r->n, i + 8, rows, a, u, hi);
    }
    JT_UNROLL
    for (int q = 0; q < rows; q++) {
        if (i < r->n) recur_tail_avx2(r, p + q, i, &lo[q], &hi[q]);
        if (r->y) r->y[p + q] = fmaf(r->d, r->x[p + q], jt_avx2_tree(lo[q], hi[q]));
    }
}

void jt_avx2_recur(const jt_recur *given) {
    const jt_recur copy = *given, *r = &copy; /* no store can reach it, so it stays in registers */
    int p = 0;
    for (; p + 2 <= r->dim; p += 2) recur_rows_avx2(r, p, 2);
    if (p < r->dim) recur_rows_avx2(r, p, 1);
}
