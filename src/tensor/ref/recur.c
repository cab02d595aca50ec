/* recur.c: scalar kernels of recurrent layers (docs/numbers.md, Recurrences). */
#include <math.h>

#include "tensor/ref/ref.h"
#include "tensor/scalar_math.h"

void jt_ref_conv(const float *const *x, const float *w, int stride, const float *bias, int taps, int n, float *y) {
    for (int i = 0; i < n; i++) {
        float a = bias ? bias[i] : 0;
        for (int k = 0; k < taps; k++)
            if (x[k]) a = fmaf(w[k * stride + i], x[k][i], a);
        y[i] = a / (1 + jt_expf(-a));
    }
}

void jt_ref_recur(const jt_recur *r) {
    for (int p = 0; p < r->dim; p++) {
        const float *in = r->in ? r->in + (long)p * r->n : NULL;
        float *out = r->out + (long)p * r->n, u = r->dt * r->x[p], acc[16] = {0};
        for (int i = 0; i < r->n; i++) {
            float s = fmaf(u, r->b[i], r->a * (in ? in[i] : 0));
            out[i] = s;
            acc[i % 16] = fmaf(r->c[i], s, acc[i % 16]);
        }
        for (int h = 8; h; h /= 2)
            for (int j = 0; j < h; j++) acc[j] += acc[j + h];
        if (r->y) r->y[p] = fmaf(r->d, r->x[p], acc[0]);
    }
}
