/* Our own functions against libm's in long double. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "tensor/scalar_math.h"

/* n points spread evenly over [low, high]. */
static double point(int i, int n, double low, double high) { return low + (high - low) * ((i + 0.37) / n); }

static double relative(double got, long double want) { return (double)fabsl(((long double)got - want) / want); }

static void test_float_exp_is_within_two_ulp(void **state) {
    (void)state;
    double worst = 0;
    for (int i = 0; i < 400000; i++) {
        float x = (float)point(i, 400000, -87.3365, 88.7228);
        long double want = expl((long double)x);
        float rounded = (float)want;
        if (isinf(rounded)) continue;
        float ulp = rounded - nextafterf(rounded, 0);
        double error = (double)fabsl(((long double)jt_expf(x) - want) / ulp);
        if (error > worst) worst = error;
    }
    assert_true(worst > 0.4 && worst < 2);
    for (int i = 0; i < 20000; i++) { /* beside zero */
        float x = (float)point(i, 20000, -1e-4, 1e-4);
        assert_true(relative(jt_expf(x), expl((long double)x)) < 1.3e-7);
    }
}

static void test_float_exp_at_its_borders(void **state) {
    (void)state;
    assert_true(jt_expf(0.0f) == 1 && jt_expf(-0.0f) == 1);
    assert_true(jt_expf(INFINITY) == INFINITY && jt_expf(88.73f) == INFINITY && jt_expf(1e30f) == INFINITY);
    assert_true(jt_expf(-INFINITY) == 0 && jt_expf(-87.34f) == 0 && jt_expf(-1e30f) == 0 && !signbit(jt_expf(-1e30f)));
    assert_true(jt_expf(88.7228f) < INFINITY && jt_expf(88.7228f) > 3.4e38f);
    assert_true(isnormal(jt_expf(-87.3365f)));
    assert_true(isnan(jt_expf(NAN)));
    float previous = 0;
    for (float x = 88.722f; x < 88.724f; x = nextafterf(x, INFINITY)) {
        assert_true(jt_expf(x) >= previous * 0.9999998f);
        previous = jt_expf(x);
    }
}

static void test_double_exp(void **state) {
    (void)state;
    for (int i = 0; i < 100000; i++) {
        double x = point(i, 100000, -708.3, 709.78);
        assert_true(relative(jt_exp(x), expl((long double)x)) < 1e-15);
    }
    /* Denormal results are right to their last place, and a little more. */
    for (int i = 0; i < 1000; i++) {
        double x = point(i, 1000, -745, -708.3);
        assert_true(fabsl((long double)jt_exp(x) - expl((long double)x)) < 0x1p-1074L);
    }
    assert_true(jt_exp(0) == 1 && jt_exp(-INFINITY) == 0 && jt_exp(INFINITY) == INFINITY && jt_exp(710) == INFINITY && jt_exp(-800) == 0);
    assert_true(isnan(jt_exp(NAN)));
}

static void test_log(void **state) {
    (void)state;
    for (int i = 0; i < 100000; i++) {
        double x = exp(point(i, 100000, -745, 709));
        if (x == 1) continue;
        assert_true(relative(jt_log(x), logl((long double)x)) < 1e-15);
    }
    for (int i = 0; i < 100000; i++) {
        double x = point(i, 100000, 0.4, 2.5);
        assert_true(relative(jt_log(x), logl((long double)x)) < 1e-15);
    }
    for (int i = 1; i < 52; i++) { /* close to 1 */
        double e = ldexp(1, -i);
        assert_true(relative(jt_log(1 + e), log1pl((long double)e)) < 1e-15);
        assert_true(relative(jt_log(1 - e / 2), log1pl(-(long double)e / 2)) < 1e-15);
    }
    assert_true(jt_log(1) == 0 && jt_log(0) == -INFINITY && jt_log(INFINITY) == INFINITY);
    assert_true(isnan(jt_log(-1)) && isnan(jt_log(NAN)));
    assert_true(relative(jt_log(0x1p-1074), logl(0x1p-1074L)) < 1e-15);
}

static void test_sincos(void **state) {
    (void)state;
    const double ranges[] = {1e-3, 4, 1000, 131072, 67108863};
    for (unsigned k = 0; k < sizeof ranges / sizeof *ranges; k++)
        for (int i = 0; i < 50000; i++) {
            double x = point(i, 50000, -ranges[k], ranges[k]), s, c;
            jt_sincos(x, &s, &c);
            assert_true(fabsl((long double)s - sinl((long double)x)) < 1e-14L);
            assert_true(fabsl((long double)c - cosl((long double)x)) < 1e-14L);
        }
    double s, c;
    jt_sincos(0, &s, &c);
    assert_true(s == 0 && c == 1);
    jt_sincos(INFINITY, &s, &c);
    assert_true(isnan(s) && isnan(c));
    jt_sincos(1e9, &s, &c);
    assert_true(isnan(s) && isnan(c));
}

static void test_pow(void **state) {
    (void)state;
    for (int i = 0; i < 100000; i++) {
        double x = exp(point(i % 317, 317, -20, 20)), y = point(i % 331, 331, -30, 30);
        assert_true(relative(jt_pow(x, y), powl((long double)x, (long double)y)) < 2e-15);
    }
    /* Frequencies of rotary embeddings round to the same float32 as exact arithmetic does. */
    for (int i = 0; i < 64; i++) {
        assert_true((float)jt_pow(10000, -i / 64.0) == (float)powl(10000, -(long double)i / 64));
        assert_true((float)jt_pow(500000, -i / 64.0) == (float)powl(500000, -(long double)i / 64));
    }
    assert_true(jt_pow(7, 0) == 1 && jt_pow(1, 1e300) == 1 && jt_pow(2, 10) == 1024 && jt_pow(10, 400) == INFINITY &&
                jt_pow(10, -400) == 0);
    assert_true(jt_pow(2, 1e300) == INFINITY && jt_pow(2, -1e300) == 0 && isnan(jt_pow(-1, 2)) && isnan(jt_pow(2, NAN)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_float_exp_is_within_two_ulp),
        cmocka_unit_test(test_float_exp_at_its_borders),
        cmocka_unit_test(test_double_exp),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_sincos),
        cmocka_unit_test(test_pow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
