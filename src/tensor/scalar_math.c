/* scalar_math.c: exp, log, sin, cos and pow from fused multiply-adds in a written order.
 *
 * Range reduction by Cody and Waite, then a polynomial. Doubles use the Taylor
 * coefficients of the function (they reach 1e-17 on the reduced range); the
 * float exp uses a weighted least-squares fit on Chebyshev nodes of the reduced
 * range. jt_log carries the logarithm as a sum of two doubles, for jt_pow. */
#include "tensor/scalar_math.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "tensor/exp_constants.h"

float jt_expf(float x) {
    if (x != x) return x;
    if (x > JT_EXP_MAX) return INFINITY;
    if (x < JT_EXP_MIN) return 0;
    float k = fmaf(x, JT_EXP_LOG2E, JT_EXP_ROUND);
    uint32_t n, bits;
    memcpy(&n, &k, sizeof n);
    k -= JT_EXP_ROUND;
    float r = fmaf(k, -JT_EXP_LN2_HI, x);
    r = fmaf(k, -JT_EXP_LN2_LO, r);
    float p = JT_EXP_C6;
    p = fmaf(p, r, JT_EXP_C5);
    p = fmaf(p, r, JT_EXP_C4);
    p = fmaf(p, r, JT_EXP_C3);
    p = fmaf(p, r, JT_EXP_C2);
    p = fmaf(p, r, 1);
    p = fmaf(p, r, 1);
    memcpy(&bits, &p, sizeof bits);
    bits += n << 23;
    memcpy(&p, &bits, sizeof p);
    return p;
}

/* 2^n for n of a normal double. */
static double power_of_two(int n) {
    uint64_t u = (uint64_t)(n + 1023) << 52;
    double d;
    memcpy(&d, &u, sizeof d);
    return d;
}

static const double round_double = 0x1.8p52; /* added and subtracted: the nearest integer, ties to even */

double jt_exp(double x) {
    if (x != x) return x;
    if (x > 709.8) return INFINITY;
    if (x < -745.2) return 0;
    double k = fma(x, 0x1.71547652b82fep+0, round_double) - round_double;
    double r = fma(k, -0x1.62e42fefa39efp-1, x);
    r = fma(k, -0x1.abc9e3b39803fp-56, r);
    static const double c[] = {1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040,
                               1.0 / 720,        1.0 / 120,       1.0 / 24,       1.0 / 6,       1.0 / 2,      1,           1};
    double p = c[0];
    for (unsigned i = 1; i < sizeof c / sizeof *c; i++) p = fma(p, r, c[i]);
    /* Two factors, so that results beside overflow and in the denormals come out right. */
    int n = (int)k, half = n / 2;
    return p * power_of_two(half) * power_of_two(n - half);
}

/* log x = hi + lo for a positive finite x: x = 2^k m, m near 1, log m = 2 atanh(s), s = (m - 1) / (m + 1). */
static void log_pair(double x, double *hi, double *lo) {
    int k = 0;
    uint64_t u;
    if (x < 0x1p-1022) x *= 0x1p54, k = -54;
    memcpy(&u, &x, sizeof u);
    k += (int)(u >> 52) - 1023;
    u = (u & 0xfffffffffffff) | (uint64_t)1023 << 52;
    double m;
    memcpy(&m, &u, sizeof m);
    if (m > 0x1.6a09e667f3bcdp+0) m *= 0.5, k++;

    double f = m - 1, g = 2 + f, g_lo = f - (g - 2);
    double s = f / g, s_lo = fma(-s, g_lo, fma(-s, g, f)) / g;
    double z = s * s, p = 1.0 / 25;
    for (int i = 23; i >= 3; i -= 2) p = fma(p, z, 1.0 / i);
    double tail = fma(2 * s * z, p, 2 * s_lo);
    /* 33 bits of log 2, so that the product with k is exact. */
    double a = (double)k * 0x1.62e42fef00000p-1, b = 2 * s;
    double sum = a + b, rest = fabs(a) > fabs(b) ? b - (sum - a) : a - (sum - b);
    rest = fma((double)k, 0x1.473de6af278edp-34, rest + tail);
    *hi = sum + rest;
    *lo = rest - (*hi - sum);
}

double jt_log(double x) {
    if (x != x) return x;
    if (x < 0) return NAN;
    if (x == 0) return -INFINITY;
    if (x == INFINITY) return x;
    double hi, lo;
    log_pair(x, &hi, &lo);
    return hi;
}

double jt_pow(double x, double y) {
    if (y == 0 || x == 1) return 1;
    if (!(x > 0) || x == INFINITY || y != y || y == INFINITY || y == -INFINITY) return jt_exp(y * jt_log(x));
    double hi, lo;
    log_pair(x, &hi, &lo);
    double p = y * hi;
    if (!(p < 710 && p > -746)) return jt_exp(p);
    double rest = fma(y, lo, fma(y, hi, -p));
    double e = jt_exp(p);
    return e == INFINITY ? e : fma(e, rest, e);
}

void jt_sincos(double x, double *s, double *c) {
    if (!(fabs(x) < 0x1p26)) {
        *s = *c = NAN;
        return;
    }
    double k = fma(x, 0x1.45f306dc9c883p-1, round_double) - round_double;
    double r = fma(k, -0x1.921fb54442d18p+0, x);
    r = fma(k, -0x1.1a62633145c07p-54, r);
    static const double cs[] = {1.0 / 355687428096000, -1.0 / 1307674368000, 1.0 / 6227020800, -1.0 / 39916800,
                                1.0 / 362880,          -1.0 / 5040,          1.0 / 120,        -1.0 / 6};
    static const double cc[] = {1.0 / 20922789888000, -1.0 / 87178291200, 1.0 / 479001600, -1.0 / 3628800,
                                1.0 / 40320,          -1.0 / 720,         1.0 / 24,        -1.0 / 2};
    double z = r * r, ps = cs[0], pc = cc[0];
    for (unsigned i = 1; i < sizeof cs / sizeof *cs; i++) ps = fma(ps, z, cs[i]), pc = fma(pc, z, cc[i]);
    double sine = fma(ps * z, r, r), cosine = fma(pc, z, 1);
    switch ((int)k & 3) {
    case 0: *s = sine, *c = cosine; break;
    case 1: *s = cosine, *c = -sine; break;
    case 2: *s = -sine, *c = -cosine; break;
    default: *s = -cosine, *c = sine; break;
    }
}
