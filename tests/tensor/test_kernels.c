/* Every variant that this processor runs gives the bits of the scalar one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tensor/kernel_cases.h"

static void report(const char *what) { print_error("differs: %s\n", what); }

static void compare(const char *name) {
    int known;
    const jt_kernels *k = jt_kernels_pick(name, &known);
    assert_int_equal(known, 1);
    if (!k) {
        print_message("this processor lacks %s\n", name);
        skip();
    }
    cases c = {.k = k, .random = 3, .report = report};
    assert_int_equal(cases_run(&c), 0);
    assert_true(c.compared > 1000);
}

static void test_avx2_equals_scalar(void **state) {
    (void)state;
    compare("avx2");
}

static void test_avx512_equals_scalar(void **state) {
    (void)state;
    compare("avx512");
}

static void test_the_comparison_sees_a_wrong_kernel(void **state) {
    (void)state;
    float x[64], w[64], y[2][64];
    for (int i = 0; i < 64; i++) x[i] = w[i] = (float)i;
    jt_kernels_scalar.add(x, w, 64, y[0]);
    memcpy(y[1], y[0], sizeof y[0]);
    assert_true(same_floats(y[0], y[1], 64));
    y[1][63] = nextafterf(y[1][63], 0);
    assert_false(same_floats(y[0], y[1], 64));
    y[0][5] = 0, y[1][5] = -0.0f;
    assert_false(same_floats(y[0], y[1], 6));
}

static void test_variants_are_picked_by_name(void **state) {
    (void)state;
    int known = -1;
    assert_ptr_equal(jt_kernels_pick("scalar", &known), &jt_kernels_scalar);
    assert_int_equal(known, 1);
    assert_null(jt_kernels_pick("avx1024", &known));
    assert_int_equal(known, 0);
    const jt_kernels *best = jt_kernels_pick(NULL, &known);
    assert_non_null(best);
    assert_ptr_equal(jt_kernels_pick("auto", NULL), best);
    assert_ptr_equal(jt_kernels_pick(best->name, &known), best);
}

/* Outputs computed by hand, so that the scalar kernels do not only agree with themselves. */
static void test_scalar_values(void **state) {
    (void)state;
    const jt_kernels *k = &jt_kernels_scalar;
    float x[32] = {0}, d[2], s[1];
    int8_t q[32];
    x[0] = 254, x[1] = -127, x[2] = 1, x[3] = 3, x[4] = -1, x[16] = -1.27f, x[17] = 0.01f;
    k->quantise(x, 32, q, d, s);
    assert_true(d[0] == 2 && d[1] == 1.27f / 127);
    /* Halves go to the even neighbour: -63.5, 0.5, 1.5, -0.5. */
    assert_int_equal(q[0], 127);
    assert_int_equal(q[1], -64);
    assert_int_equal(q[2], 0);
    assert_int_equal(q[3], 2);
    assert_int_equal(q[4], 0);
    assert_int_equal(q[16], -127);
    assert_int_equal(q[17], 1);
    assert_true(s[0] == fmaf(d[1], -126, 2 * 65));

    x[20] = NAN;
    k->quantise(x, 32, q, d, s);
    assert_true(d[0] == 2 && isnan(d[1]) && isnan(s[0]) && q[16] == 0);

    float y[4], inv, three[3] = {1, 2, 2}, w[3] = {1, 10, -1};
    k->rms_norm(three, w, 3, 0, y, &inv);
    assert_true(fabsf(inv - 0.57735027f) < 1e-7f && fabsf(y[1] - 11.547005f) < 2e-6f && fabsf(y[2] + 1.1547005f) < 2e-7f);
    k->swiglu((float[]){0, 1}, (float[]){5, 2}, 2, y);
    assert_true(y[0] == 0 && fabsf(y[1] - 1.4621172f) < 3e-7f);

    float halves[4] = {1, 2, 3, 4}, pairs[4] = {1, 2, 3, 4}, c[2] = {0, 1}, sn[2] = {1, 0};
    k->rope(halves, 1, 4, 4, 0, c, sn); /* the first pair, 1 and 3, turns by 90 degrees */
    assert_true(halves[0] == -3 && halves[1] == 2 && halves[2] == 1 && halves[3] == 4);
    k->rope(pairs, 1, 4, 4, 1, c, sn);
    assert_true(pairs[0] == -2 && pairs[1] == 1 && pairs[2] == 3 && pairs[3] == 4);

    assert_true(k->max((float[]){-3, NAN, -0.0f}, 3) == 0 && !signbit(k->max((float[]){-0.0f}, 1)));
    double S, T;
    k->sum_exp((float[]){0, -1, -INFINITY}, 3, 0, &S, &T);
    assert_true(fabs(S - 1.36787944) < 1e-7 && fabs(T + 0.36787944) < 1e-7);
}

/* Two keys with weights 3/4 and 1/4 of two tiles, in float. */
static void test_scalar_attention(void **state) {
    (void)state;
    float k[2 * JT_TILE] = {0}, v[JT_TILE * 2] = {0}, q[2] = {1, 1}, acc[2] = {0}, m = -INFINITY, l = 0, out[2];
    const float *qp = q;
    float *ap = acc;
    uint32_t mask = 1u << 4;
    k[4] = logf(3), v[8] = 8, v[9] = 4, v[2] = NAN, k[2] = NAN; /* key 4; key 2 is not visible */
    float bias[JT_TILE] = {0};
    const float *biases = bias;
    jt_attn_tile t = {
        .nq = 1, .dim = 2, .type = JT_F32, .k = k, .v = v, .scale = 1, .q = &qp, .visible = &mask, .m = &m, .l = &l, .acc = &ap};
    jt_kernels_scalar.attn_tile(&t);
    k[4] = 2, v[8] = 0, v[9] = 8, bias[4] = -2, t.bias = &biases;
    jt_kernels_scalar.attn_tile(&t);
    jt_kernels_scalar.attn_end(acc, l, 2, out);
    assert_true(fabsf(out[0] - 6) < 1e-5f && fabsf(out[1] - 5) < 1e-5f);
    assert_true(fabsf(m - logf(3)) < 1e-6f && fabsf(l - 4.0f / 3) < 1e-6f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_avx2_equals_scalar),
        cmocka_unit_test(test_avx512_equals_scalar),
        cmocka_unit_test(test_the_comparison_sees_a_wrong_kernel),
        cmocka_unit_test(test_variants_are_picked_by_name),
        cmocka_unit_test(test_scalar_values),
        cmocka_unit_test(test_scalar_attention),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
