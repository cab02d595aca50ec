/* rows.c: scalar kernels on rows of floats. Sums use 16 virtual accumulators and one tree (docs/numbers.md). */
#include <math.h>

#include "tensor/ref/ref.h"
#include "tensor/scalar_math.h"

static float ref_tree_f32(float a[16]) {
    for (int h = 8; h; h /= 2)
        for (int j = 0; j < h; j++) a[j] += a[j + h];
    return a[0];
}

static double ref_tree_f64(double a[16]) {
    for (int h = 8; h; h /= 2)
        for (int j = 0; j < h; j++) a[j] += a[j + h];
    return a[0];
}

void jt_ref_rms_norm(const float *x, const float *w, int n, float eps, float *y, float *inv) {
    float a[16] = {0};
    for (int i = 0; i < n; i++) a[i % 16] = fmaf(x[i], x[i], a[i % 16]);
    float r = 1 / sqrtf(ref_tree_f32(a) / (float)n + eps);
    for (int i = 0; i < n; i++) y[i] = x[i] * r * w[i];
    if (inv) *inv = r;
}

void jt_ref_add(const float *a, const float *b, int n, float *y) {
    for (int i = 0; i < n; i++) y[i] = a[i] + b[i];
}

void jt_ref_swiglu(const float *g, const float *u, int n, float *y) {
    for (int i = 0; i < n; i++) y[i] = g[i] / (1 + jt_expf(-g[i])) * u[i];
}

void jt_ref_rope(float *x, int heads, int dim, int rot, int interleaved, const float *c, const float *s) {
    for (int h = 0; h < heads; h++, x += dim)
        for (int i = 0; i < rot / 2; i++) {
            float *pa = interleaved ? x + 2 * i : x + i, *pb = interleaved ? pa + 1 : pa + rot / 2;
            float a = *pa, b = *pb;
            *pa = fmaf(a, c[i], -(b * s[i]));
            *pb = fmaf(b, c[i], a * s[i]);
        }
}

void jt_ref_exp(const float *x, int n, float *y) {
    for (int i = 0; i < n; i++) y[i] = jt_expf(x[i]);
}

void jt_ref_to_f16(const float *x, int n, uint16_t *y) {
    for (int i = 0; i < n; i++) y[i] = jt_f32_to_f16(x[i]);
}

void jt_ref_from_f16(const uint16_t *x, int n, float *y) {
    for (int i = 0; i < n; i++) y[i] = jt_f16_to_f32(x[i]);
}

void jt_ref_to_q8(const float *x, int n, int8_t *q, uint16_t *d) {
    for (int b = 0; b < n; b += JT_KV_BLOCK, d++) {
        int end = n < b + JT_KV_BLOCK ? n : b + JT_KV_BLOCK;
        float a = 0;
        for (int i = b; i < end; i++) {
            float size = isnan(x[i]) ? INFINITY : fabsf(x[i]);
            if (size > a) a = size;
        }
        *d = jt_f32_to_f16(a / 127);
        float scale = jt_f16_to_f32(*d);
        if (isinf(scale)) *d = 0x7e00; /* NaN */
        for (int i = b; i < end; i++) {
            float r = scale == 0 || isinf(scale) ? 0 : rintf(x[i] / scale);
            q[i] = (int8_t)(r > 127 ? 127 : r < -127 ? -127 : r);
        }
    }
}

float jt_ref_max(const float *x, int n) {
    float m = -INFINITY;
    for (int i = 0; i < n; i++)
        if (x[i] > m) m = x[i];
    return m + 0.0f; /* -0 becomes +0 */
}

void jt_ref_sum_exp(const float *x, int n, float m, double *S, double *T) {
    double a[16] = {0}, b[16] = {0};
    for (int i = 0; i < n; i++) {
        float z = x[i] - m, e = jt_expf(z);
        a[i % 16] += e;
        b[i % 16] = fma(e, e == 0 ? 0 : z, b[i % 16]);
    }
    *S = ref_tree_f64(a);
    if (T) *T = ref_tree_f64(b);
}

int jt_ref_scan(const float *x, int n, float *top) {
    int special = 0;
    for (int b = 0; b < n; b += JT_SCAN) {
        int len = n - b < JT_SCAN ? n - b : JT_SCAN;
        top[b / JT_SCAN] = jt_ref_max(x + b, len);
        for (int i = b; i < b + len; i++) special |= !isfinite(x[i]);
    }
    return special;
}

int jt_ref_collect(const float *x, int n, float lo, float hi, int most, int32_t *place, float *value) {
    int got = 0;
    for (int i = 0; i < n && got <= most; i++)
        if (x[i] >= lo && x[i] <= hi) {
            if (place) place[got] = i;
            value[got++] = x[i];
        }
    return got <= most ? got : most + 1;
}

void jt_ref_clip(const float *x, int n, float lo, float hi, float *y) {
    for (int i = 0; i < n; i++) y[i] = x[i] >= lo && x[i] <= hi ? x[i] : -INFINITY;
}
