#include "cli/eval_stat.h"

#include <math.h>
#include <stdlib.h>

#include "core/mem.h"
#include "core/random.h"

static const double normal_95 = 1.959963984540054;

jt_interval jt_wilson(double successes, double n) {
    double z = normal_95, p = successes / n, den = 1 + z * z / n;
    double mid = (p + z * z / (2 * n)) / den, half = z / den * sqrt(p * (1 - p) / n + z * z / (4 * n * n));
    return (jt_interval){fmax(mid - half, 0), fmin(mid + half, 1)};
}

double jt_mean_error(const double *x, size_t n, size_t stride) {
    double sum = 0, squares = 0;
    if (n < 2) return NAN;
    for (size_t i = 0; i < n; i++) sum += x[i * stride];
    double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++) squares += (x[i * stride] - mean) * (x[i * stride] - mean);
    return sqrt(squares / (double)(n - 1) / (double)n);
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The q-quantile of sorted x, between neighbours by distance. */
static double quantile(const double *x, int n, double q) {
    double at = q * (n - 1);
    int i = (int)at;
    return i + 1 < n ? x[i] + (at - i) * (x[i + 1] - x[i]) : x[n - 1];
}

jt_status jt_bootstrap_run(jt_estimate *f, const void *self, size_t n, int resamples, uint64_t seed, jt_bootstrap *out, jt_error *err) {
    if (!n || n > UINT32_MAX) return jt_error_set(err, JT_INVALID, "an interval over %zu items", n);
    uint32_t *pick = jt_alloc(n, sizeof *pick);
    double *x = jt_alloc((size_t)resamples, sizeof *x);
    jt_status s = pick && x ? JT_OK : jt_nomem(err, "a bootstrap", n, sizeof *pick);
    if (!s) {
        for (size_t i = 0; i < n; i++) pick[i] = (uint32_t)i;
        *out = (jt_bootstrap){.value = f(self, pick, n)};
        double other = 0;
        for (int r = 0; r < resamples; r++) {
            jt_address a = {.seed = seed, .stream = 1, .position = (uint32_t)r, .site = 1};
            for (size_t i = 0; i < n; i += 2) { /* four words of an address are two numbers of 64 bits */
                uint32_t w[4];
                a.index = (uint32_t)(i / 2);
                jt_random_words(&a, w);
                pick[i] = (uint32_t)(((uint64_t)w[0] * n + (((uint64_t)w[1] * n) >> 32)) >> 32);
                if (i + 1 < n) pick[i + 1] = (uint32_t)(((uint64_t)w[2] * n + (((uint64_t)w[3] * n) >> 32)) >> 32);
            }
            x[r] = f(self, pick, n);
            other += out->value == 0 || (out->value > 0 ? x[r] <= 0 : x[r] >= 0);
        }
        qsort(x, (size_t)resamples, sizeof *x, ascending);
        out->range = (jt_interval){quantile(x, resamples, 0.025), quantile(x, resamples, 0.975)};
        out->sign = fmin(2 * other / resamples, 1);
    }
    jt_free(pick);
    jt_free(x);
    return s;
}
