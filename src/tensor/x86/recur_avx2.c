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

/* Two rows of the state at a time, so that their sums need not wait for one another. */
static inline void recur_rows_avx2(const jt_recur *r, int p, int rows) {
    __m256 u[2], lo[2], hi[2], a = _mm256_set1_ps(r->a);
    for (int q = 0; q < rows; q++) u[q] = _mm256_set1_ps(r->dt * r->x[p + q]), lo[q] = hi[q] = _mm256_setzero_ps();
    for (int i = 0; i < r->n; i += 8) {
        __m256i mask = recur_lanes_avx2(r->n - i);
        __m256 b = _mm256_maskload_ps(r->b + i, mask), c = _mm256_maskload_ps(r->c + i, mask);
        for (int q = 0; q < rows; q++) {
            long at = (long)(p + q) * r->n + i;
            __m256 s = r->in ? _mm256_maskload_ps(r->in + at, mask) : _mm256_setzero_ps();
            s = _mm256_fmadd_ps(u[q], b, _mm256_mul_ps(a, s));
            _mm256_maskstore_ps(r->out + at, mask, s);
            __m256 *to = i % 16 ? &hi[q] : &lo[q]; /* lanes past the end keep their sums: they are not added to */
            *to = _mm256_blendv_ps(*to, _mm256_fmadd_ps(c, s, *to), _mm256_castsi256_ps(mask));
        }
    }
    for (int q = 0; r->y && q < rows; q++) r->y[p + q] = fmaf(r->d, r->x[p + q], jt_avx2_tree(lo[q], hi[q]));
}

void jt_avx2_recur(const jt_recur *r) {
    int p = 0;
    for (; p + 2 <= r->dim; p += 2) recur_rows_avx2(r, p, 2);
    if (p < r->dim) recur_rows_avx2(r, p, 1);
}
