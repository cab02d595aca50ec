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
    if (!k) {
        print_message(known ? "this processor lacks %s\n" : "this build is for processors of another kind than %s\n", name);
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

static void test_avxvnni_equals_scalar(void **state) {
    (void)state;
    compare("avxvnni");
}

static void test_avx512_equals_scalar(void **state) {
    (void)state;
    compare("avx512");
}

static void test_avx512bf16_equals_scalar(void **state) {
    (void)state;
    compare("avx512bf16");
}

static void test_neon_equals_scalar(void **state) {
    (void)state;
    compare("neon");
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

/* One row by one output, the columns' products given as pairs of factors: what the scalar kernel makes of them. */
static float bf16_chain(const float (*xw)[2], int cols) {
    float panel[8 * JT_PANEL] = {0}, x[8], y[JT_PANEL];
    uint16_t pairs[8 * JT_PANEL], b[32];
    for (int c = 0; c < cols; c++) x[c] = xw[c][0], panel[c * JT_PANEL] = xw[c][1];
    jt_kernels_scalar.panel_pairs(JT_PANEL_F32, panel, cols, pairs);
    jt_kernels_scalar.to_bf16(x, cols, b);
    jt_kernels_scalar.panel_bf16(pairs, &(jt_acts){.rows = 1, .cols = cols, .b = b}, 0, 1, y, JT_PANEL);
    return y[0];
}

static bool is_float(float a, float b) { return !memcmp(&a, &b, sizeof a); }

/* docs/numbers.md, bfloat16, by hand. */
static void test_scalar_bf16(void **state) {
    (void)state;
    /* The second of a pair goes first: 2^24 + 1 is rounded to 2^24 before that is taken away. */
    assert_true(is_float(bf16_chain((const float[][2]){{1, 1}, {0x1p12f, 0x1p12f}, {-0x1p12f, 0x1p12f}, {1, 1}}, 4), 0));
    assert_true(is_float(bf16_chain((const float[][2]){{1, 1}, {0x1p12f, 0x1p12f}, {1, 1}, {-0x1p12f, 0x1p12f}}, 4), 1));
    /* Numbers are rounded to nearest even: 1 + 2^-8 is 1, 1 + 3 * 2^-8 is 1 + 2^-6; an odd column has a zero beside it. */
    assert_true(is_float(bf16_chain((const float[][2]){{1 + 0x1p-8f, 1}, {0, 0}, {1 + 0x3p-8f, 1 + 0x3p-8f}}, 3),
                         1 + (1 + 0x1p-6f) * (1 + 0x1p-6f)));
    /* Denormal factors are zero; results below the normal numbers become zero of their sign. */
    assert_true(is_float(bf16_chain((const float[][2]){{0x1p-130f, 0x1p20f}}, 1), 0));
    assert_true(is_float(bf16_chain((const float[][2]){{-0x1p-70f, 0x1p-60f}}, 1), -0.0f));
    /* At the border the result counts as rounded to 24 bits: 2^-126 - 2^-151 becomes 2^-126, a little less becomes zero. */
    assert_true(is_float(bf16_chain((const float[][2]){{0x1p-75f, -0x1p-76f}, {0x1p-63f, 0x1p-63f}}, 2), 0x1p-126f));
    assert_true(is_float(bf16_chain((const float[][2]){{0x1.02p-75f, -0x1p-76f}, {0x1p-63f, 0x1p-63f}}, 2), 0));
    assert_true(isnan(bf16_chain((const float[][2]){{INFINITY, 0x1p-130f}}, 1)));
    assert_true(is_float(bf16_chain((const float[][2]){{0x1p100f, 0x1p100f}}, 1), INFINITY));
    assert_true(is_float(bf16_chain((const float[][2]){{FLT_MAX, 1}}, 1), INFINITY));
}

/* What a processor could do otherwise. */
static enum { OTHER_LAST_BIT, OTHER_ORDER, OTHER_DENORMALS, OTHER_RESULTS, OTHER_BORDER, OTHER_SUM, OTHER_ONCE, OTHERS } other;

static float other_in(uint16_t h) {
    return other == OTHER_DENORMALS || other == OTHER_RESULTS || h & 0x7f80 ? jt_bf16_to_f32(h) : jt_bf16_to_f32(h & 0x8000);
}
static float other_out(double exact) {
    double border = other == OTHER_BORDER ? 0x1p-126 - 0x1p-150 : 0x1p-126 - 0x1p-151; /* rounded as a denormal, or as any number */
    return other != OTHER_DENORMALS && fabs(exact) < border ? copysignf(0, (float)exact) : (float)exact;
}

static void other_bf16(const void *panel, const jt_acts *a, int row, int rows, float *y, int ldy) {
    jt_kernels_scalar.panel_bf16(panel, a, row, rows, y, ldy);
    for (int r = 0; r < rows && other != OTHER_LAST_BIT; r++)
        for (int o = 0; o < JT_PANEL; o++) {
            float acc = 0;
            for (int p = 0; p < a->cols / 2; p++) {
                const uint16_t *x = a->b + (size_t)r * jt_bf16_stride(a->cols) + 2 * p, *w = (const uint16_t *)panel + 32 * p + 2 * o;
                double even = (double)other_in(x[0]) * other_in(w[0]), odd = (double)other_in(x[1]) * other_in(w[1]);
                if (other == OTHER_SUM)
                    acc = other_out((double)other_out(even + odd) + acc);
                else if (other == OTHER_ONCE)
                    acc = other_out(even + odd + acc);
                else
                    acc = other_out((other == OTHER_ORDER ? odd : even) + other_out((other == OTHER_ORDER ? even : odd) + acc));
            }
            y[r * ldy + o] = acc;
        }
    uint32_t last;
    memcpy(&last, &y[(rows - 1) * ldy + 3], sizeof last);
    last ^= other == OTHER_LAST_BIT;
    memcpy(&y[(rows - 1) * ldy + 3], &last, sizeof last);
}

static void test_a_processor_that_does_otherwise_is_found_out(void **state) {
    (void)state;
    jt_kernels k = jt_kernels_scalar;
    assert_true(jt_bf16_agrees(&k));
    k.panel_bf16 = other_bf16;
    for (int i = 0; i < OTHERS; i++) {
        other = i;
        if (jt_bf16_agrees(&k)) fail_msg("other way %d is not found out", i);
    }
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

static void test_scalar_recurrence(void **state) {
    (void)state;
    float y[2], out[2] = {0};
    const float *x[2] = {(float[]){1, 2}, (float[]){10, 20}};
    jt_kernels_scalar.conv(x, (float[]){1, 2, 99, 0.5f, -0.2f, 99}, 3, (float[]){-6, 1}, 2, 2, y);
    assert_true(y[0] == 0 && fabsf(y[1] - 0.73105858f) < 1e-6f); /* silu(-6 + 1 + 5), silu(1 + 4 - 4) */
    x[0] = NULL;
    jt_kernels_scalar.conv(x, (float[]){1, 2, 99, 0.1f, -0.2f, 99}, 3, NULL, 2, 2, y);
    assert_true(fabsf(y[0] - 0.73105858f) < 1e-6f && fabsf(y[1] + 0.07194484f) < 1e-6f); /* silu(1), silu(-4) */
    /* s = 0.5 * (4, -2) + 3 * 2 * (1, 10), y = (2, 0.5) . s + 7 * 2 */
    jt_kernels_scalar.recur(&(jt_recur){1, 2, (float[]){4, -2}, out, (float[]){2}, (float[]){1, 10}, (float[]){2, 0.5f}, 3, 0.5f, 7, y});
    assert_true(out[0] == 8 && out[1] == 59 && y[0] == 16 + 29.5f + 14);
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
        .nq = 1, .dim = 2, .vdim = 2, .type = JT_F32, .k = k, .v = v, .scale = 1, .q = &qp, .visible = &mask, .m = &m, .l = &l, .acc = &ap};
    jt_kernels_scalar.attn_tile(&t);
    k[4] = 2, v[8] = 0, v[9] = 8, bias[4] = -2, t.bias = &biases;
    jt_kernels_scalar.attn_tile(&t);
    jt_kernels_scalar.attn_end(acc, l, 2, out);
    assert_true(fabsf(out[0] - 6) < 1e-5f && fabsf(out[1] - 5) < 1e-5f);
    assert_true(fabsf(m - logf(3)) < 1e-6f && fabsf(l - 4.0f / 3) < 1e-6f);
}

static float from_half(uint16_t h) {
    float x;
    jt_kernels_scalar.from_f16(&h, 1, &x);
    return x;
}

static void test_scalar_values_of_8_bits(void **state) {
    (void)state;
    float x[70] = {0};
    int8_t q[70];
    uint16_t d[3];
    x[0] = 254, x[1] = -127, x[2] = 1, x[3] = 3, x[4] = -1;            /* scale 2: halves go to the even neighbour */
    x[32] = 1, x[33] = -0.5f;                                          /* 1 / 127 is no half */
    x[64] = 190 * 0x1p-24f, x[65] = -190 * 0x1p-24f, x[66] = 0x1p-24f; /* 190 / 127 units of the smallest half: one */
    jt_kernels_scalar.to_q8(x, 70, q, d);
    assert_int_equal(d[0], 0x4000);
    assert_true(q[0] == 127 && q[1] == -64 && q[2] == 0 && q[3] == 2 && q[4] == 0 && q[5] == 0);
    assert_int_equal(d[1], 0x2008);
    assert_true(q[32] == 127 && q[33] == -64);
    assert_int_equal(d[2], 1);
    assert_true(q[64] == 127 && q[65] == -127 && q[66] == 1 && q[69] == 0);

    x[0] = 60 * 0x1p-24f, x[1] = x[2] = x[3] = x[4] = 0; /* below half of 127 of the smallest half */
    x[33] = -INFINITY, x[65] = NAN;
    jt_kernels_scalar.to_q8(x, 70, q, d);
    assert_true(d[0] == 0 && q[0] == 0);
    assert_true(d[1] == 0x7e00 && q[32] == 0 && q[33] == 0);
    assert_true(d[2] == 0x7e00 && q[64] == 0 && q[65] == 0);
    x[0] = 127 * 65520.0f; /* the first scale that no half holds */
    jt_kernels_scalar.to_q8(x, 1, q, d);
    assert_true(d[0] == 0x7e00 && q[0] == 0);
    x[0] = nextafterf(x[0], 0);
    jt_kernels_scalar.to_q8(x, 1, q, d);
    assert_true(d[0] == 0x7bff && q[0] == 127);
}

/* What is read back lies within half a step of what was written; rounding it again changes nothing where scales are
 * not denormal. */
static void test_8_bits_there_and_back(void **state) {
    (void)state;
    cases c = {.random = 11};
    for (int round = 0; round < 2000; round++) {
        float x[80], back[80], size = ldexpf(1, cases_below(&c, 20) - 6);
        int8_t q[80], again[80];
        uint16_t d[3], dd[3];
        int n = 1 + cases_below(&c, 80);
        for (int i = 0; i < n; i++) x[i] = cases_uniform(&c) * size;
        jt_kernels_scalar.to_q8(x, n, q, d);
        for (int i = 0; i < n; i++) {
            float scale = from_half(d[i / 32]);
            back[i] = scale * (float)q[i];
            assert_true(scale * 127 <= size * 1.001f + 1e-5f);
            assert_true(fabsf(back[i] - x[i]) <= scale * 0.5001f + 127 * 0x1p-25f);
        }
        bool coarse = false;
        for (int b = 0; b < jt_kv_blocks(n); b++) coarse |= d[b] < 0x0400;
        if (coarse) continue;
        jt_kernels_scalar.to_q8(back, n, again, dd);
        assert_memory_equal(q, again, (size_t)n);
        assert_memory_equal(d, dd, (size_t)jt_kv_blocks(n) * 2);
    }
}

/* A tile in 8 bits gives the bits of a tile that holds the products of scale and quant as floats. */
static void test_scalar_attention_in_8_bits(void **state) {
    (void)state;
    enum { DIM = 45, NQ = 3 };
    cases c = {.random = 5};
    int8_t tile[2][JT_TILE * DIM + 2 * JT_TILE * 2];
    float wide[2][JT_TILE * DIM], x[JT_TILE * DIM], qs[NQ * DIM], acc[2][NQ * DIM] = {{0}}, m[2][NQ], l[2][NQ] = {{0}};
    for (int values = 0; values < 2; values++) {
        for (int i = 0; i < JT_TILE * DIM; i++) x[i] = cases_float(&c, FLOATS_PLAIN);
        cases_tile_q8(&c, x, DIM, values, 1, tile[values]);
        for (int i = 0; i < JT_TILE; i++)
            for (int j = 0; j < DIM; j++) {
                uint16_t d;
                int at = values ? i * DIM + j : j * JT_TILE + i, scale = values ? i * 2 + j / 32 : j / 32 * JT_TILE + i;
                memcpy(&d, tile[values] + JT_TILE * DIM + 2 * scale, 2);
                wide[values][at] = from_half(d) * (float)tile[values][at];
            }
    }
    for (int i = 0; i < NQ * DIM; i++) qs[i] = cases_float(&c, FLOATS_PLAIN);
    for (int v = 0; v < 2; v++) {
        const float *q[NQ];
        float *to[NQ];
        uint32_t visible[NQ] = {~0u, 0xff00ff01, 8};
        for (int i = 0; i < NQ; i++) q[i] = qs + i * DIM, to[i] = acc[v] + i * DIM, m[v][i] = -INFINITY;
        jt_attn_tile t = {.nq = NQ,
                          .dim = DIM,
                          .vdim = DIM,
                          .type = v ? JT_Q8_0 : JT_F32,
                          .k = v ? (void *)tile[0] : wide[0],
                          .v = v ? (void *)tile[1] : wide[1],
                          .scale = 0.2f,
                          .q = q,
                          .visible = visible,
                          .m = m[v],
                          .l = l[v],
                          .acc = to};
        jt_kernels_scalar.attn_tile(&t);
    }
    assert_true(same_floats(acc[0], acc[1], NQ * DIM) && same_floats(m[0], m[1], NQ) && same_floats(l[0], l[1], NQ));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_avx2_equals_scalar),
        cmocka_unit_test(test_avxvnni_equals_scalar),
        cmocka_unit_test(test_avx512_equals_scalar),
        cmocka_unit_test(test_avx512bf16_equals_scalar),
        cmocka_unit_test(test_neon_equals_scalar),
        cmocka_unit_test(test_the_comparison_sees_a_wrong_kernel),
        cmocka_unit_test(test_variants_are_picked_by_name),
        cmocka_unit_test(test_scalar_values),
        cmocka_unit_test(test_scalar_bf16),
        cmocka_unit_test(test_a_processor_that_does_otherwise_is_found_out),
        cmocka_unit_test(test_scalar_recurrence),
        cmocka_unit_test(test_scalar_attention),
        cmocka_unit_test(test_scalar_values_of_8_bits),
        cmocka_unit_test(test_8_bits_there_and_back),
        cmocka_unit_test(test_scalar_attention_in_8_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
