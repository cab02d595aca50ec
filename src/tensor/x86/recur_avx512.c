/* recur_avx512.c: kernels of recurrent layers with AVX-512: one vector is the 16 virtual accumulators. */
#include "tensor/x86/avx512.h"

static inline __mmask16 recur_lanes_avx512(int n) { return n >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << n) - 1); }

void jt_avx512_conv(const float *const *x, const float *w, int stride, const float *bias, int taps, int n, float *y) {
    for (int i = 0; i < n; i += 16) {
        __mmask16 mask = recur_lanes_avx512(n - i);
        __m512 a = bias ? _mm512_maskz_loadu_ps(mask, bias + i) : _mm512_setzero_ps();
        for (int k = 0; k < taps; k++)
            if (x[k]) a = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, w + (long)k * stride + i), _mm512_maskz_loadu_ps(mask, x[k] + i), a);
        __m512 e = jt_avx512_exp16(_mm512_xor_ps(a, _mm512_set1_ps(-0.0f)));
        _mm512_mask_storeu_ps(y + i, mask, _mm512_div_ps(a, _mm512_add_ps(_mm512_set1_ps(1), e)));
    }
}

/* Sixteen columns of `rows` rows of the state: s = a * s + u * b, acc += c * s. */
static inline __attribute__((always_inline)) void recur_columns_avx512(const jt_recur *r, long at, int i, int rows, __mmask16 mask,
                                                                       __m512 a, const __m512 u[4], __m512 acc[4]) {
    __m512 b = _mm512_maskz_loadu_ps(mask, r->b + i), c = _mm512_maskz_loadu_ps(mask, r->c + i);
    JT_UNROLL
    for (int q = 0; q < rows; q++) {
        long to = at + (long)q * r->n + i;
        __m512 s = r->in ? _mm512_maskz_loadu_ps(mask, r->in + to) : _mm512_setzero_ps();
        s = _mm512_fmadd_ps(u[q], b, _mm512_mul_ps(a, s));
        _mm512_mask_storeu_ps(r->out + to, mask, s);
        acc[q] = _mm512_mask3_fmadd_ps(c, s, acc[q], mask);
    }
}

/* Several rows at a time, so that their sums need not wait for one another. */
static inline __attribute__((always_inline)) void recur_rows_avx512(const jt_recur *r, int p, int rows) {
    __m512 u[4], acc[4], a = _mm512_set1_ps(r->a);
    int i = 0;
    JT_UNROLL
    for (int q = 0; q < rows; q++) u[q] = _mm512_set1_ps(r->dt * r->x[p + q]), acc[q] = _mm512_setzero_ps();
    for (; i + 16 <= r->n; i += 16) recur_columns_avx512(r, (long)p * r->n, i, rows, 0xffff, a, u, acc);
    if (i < r->n) recur_columns_avx512(r, (long)p * r->n, i, rows, recur_lanes_avx512(r->n - i), a, u, acc);
    JT_UNROLL
    for (int q = 0; q < rows; q++)
        if (r->y) r->y[p + q] = fmaf(r->d, r->x[p + q], jt_avx512_tree(acc[q]));
}

void jt_avx512_recur(const jt_recur *given) {
    const jt_recur copy = *given, *r = &copy; /* no store can reach it, so it stays in registers */
    int p = 0;
    for (; p + 4 <= r->dim; p += 4) recur_rows_avx512(r, p, 4);
    for (; p < r->dim; p++) recur_rows_avx512(r, p, 1);
}
