/* Products over packed and mapped matrices: equal to each other, to themselves in any cut, and close to exact arithmetic. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "tensor/kernel_cases.h"

static void no_report(const char *what) { print_error("%s\n", what); }

/* A matrix of random weights, activations in both forms, and room for results. */
typedef struct setting {
    cases c;
    jt_matrix m;
    jt_acts a;
    unsigned char *weights;
    float *x, *y, *z;
    void *scratch;
} setting;

static void setup(setting *s, const jt_kernels *k, const char *format, int rows, int cols, int acts) {
    const jt_format *f = jt_format_named(format);
    jt_error err;
    s->c = (cases){.k = k, .random = 11, .report = no_report};
    size_t n = (size_t)rows * (size_t)cols;
    s->weights = cases_memory(n * 4);
    cases_weights(&s->c, f, n, WEIGHTS_RANDOM, s->weights);
    assert_int_equal(jt_matrix_init(&s->m, f, rows, cols, s->weights, &err), JT_OK);
    s->x = cases_floats(&s->c, (size_t)acts * (size_t)cols, FLOATS_PLAIN);
    s->a = (jt_acts){.rows = acts, .cols = cols, .x = s->x};
    if (f->quantised) {
        size_t cells = (size_t)acts * (size_t)cols;
        int8_t *q = cases_memory(cells);
        float *d = cases_memory(cells / 4), *sums = cases_memory(cells / 8);
        for (int r = 0; r < acts; r++) {
            size_t at = (size_t)r * (size_t)cols;
            k->quantise(s->x + at, cols, q + at, d + at / 16, sums + at / 32);
        }
        s->a.q = q, s->a.d = d, s->a.s = sums;
    }
    s->y = cases_memory((size_t)acts * (size_t)rows * 4);
    s->z = cases_memory((size_t)acts * (size_t)rows * 4);
    s->scratch = cases_memory(jt_matmul_scratch(&s->m, 0) + jt_matmul_scratch(&s->m, 1));
}

static void teardown(setting *s) {
    jt_matrix_free_packed(&s->m);
    jt_free(s->weights);
    jt_free(s->x);
    jt_free((void *)s->a.q);
    jt_free((void *)s->a.d);
    jt_free((void *)s->a.s);
    jt_free(s->y);
    jt_free(s->z);
    jt_free(s->scratch);
}

/* At least one format of every kind of panel. */
static const char *const names[] = {"f32",  "f16",  "bf16",  "q8_0",  "q4_0",   "q4_1",   "q5_0",  "q5_1",  "q2_k",  "q3_k", "q4_k",
                                    "q5_k", "q6_k", "mxfp4", "nvfp4", "iq4_nl", "iq4_xs", "iq1_s", "iq2_s", "iq3_s", "tq1_0"};
enum { NAMES = sizeof names / sizeof *names, MOST_COLS = 512 };
static int cols_for(const char *format, int cols) { return jt_format_named(format)->block > 32 ? 512 : cols; }

static void test_products_are_near_the_exact_ones(void **state) {
    (void)state;
    for (int i = 0; i < NAMES; i++) {
        setting s;
        int cols = cols_for(names[i], 96);
        setup(&s, jt_kernels_pick(NULL, NULL), names[i], 37, cols, 5);
        float w[MOST_COLS];
        for (int int8 = 0; int8 <= (s.m.format->quantised ? 1 : 0); int8++) {
            jt_matmul(s.c.k, &s.m, &s.a, int8, 0, jt_matrix_panels(&s.m), s.y, 37, s.scratch);
            for (int r = 0; r < 5; r++)
                for (int o = 0; o < 37; o++) {
                    double exact = 0, size = 0, top = 0;
                    jt_matrix_row(&s.m, o, w);
                    for (int k = 0; k < cols; k++) {
                        double x = s.x[r * cols + k], p = x * w[k];
                        exact += p, size += fabs(p), top = fmax(top, fabs((double)w[k]));
                    }
                    /* In 8 bits each activation is off by half a step of at most 3 / 127. */
                    double bound = size * (cols + 1) * 0x1p-24 + (int8 ? cols * top * 0.5001 * 3 / 127 : 0);
                    assert_true(fabs(s.y[r * 37 + o] - exact) <= bound);
                    if (int8) assert_true(fabs(s.y[r * 37 + o] - exact) <= 0.02 * size + 1e-6);
                }
        }
        teardown(&s);
    }
}

/* The value of one int8 product written out from docs/numbers.md, without panels. */
static void test_int8_product_by_hand(void **state) {
    (void)state;
    setting s;
    setup(&s, &jt_kernels_scalar, "q4_1", 16, 64, 1);
    for (int o = 0; o < 16; o++) {
        float acc = 0;
        for (int b = 0; b < 2; b++) {
            const unsigned char *block = s.weights + (o * 2 + b) * 20;
            const int8_t *q = s.a.q + 32 * b;
            const float *d = s.a.d + 2 * b;
            uint16_t h[2];
            memcpy(h, block, 4);
            int sums[2] = {0, 0}, plain[2] = {0, 0};
            for (int j = 0; j < 16; j++) {
                sums[0] += (block[4 + j] & 15) * q[j];
                sums[1] += (block[4 + j] >> 4) * q[16 + j];
                plain[0] += q[j], plain[1] += q[16 + j];
            }
            float t = fmaf(d[1], (float)sums[1], d[0] * (float)sums[0]);
            float u = fmaf(d[1], (float)plain[1], d[0] * (float)plain[0]);
            acc = fmaf(jt_f16_to_f32(h[0]), t, acc);
            acc = fmaf(jt_f16_to_f32(h[1]), u, acc);
        }
        jt_matmul(s.c.k, &s.m, &s.a, 1, 0, 1, s.y, 16, s.scratch);
        assert_memory_equal(&acc, &s.y[o], sizeof acc);
    }
    teardown(&s);
}

static void test_packed_equals_mapped_and_any_cut(void **state) {
    (void)state;
    static const int rows[] = {1, 15, 16, 17, 50};
    static const int acts[] = {1, 63, 64, 65, 130};
    for (int i = 0; i < NAMES; i++)
        for (int shape = 0; shape < 5; shape++)
            for (int int8 = 0; int8 < 2; int8++) {
                setting s;
                int cols = cols_for(names[i], 64);
                setup(&s, jt_kernels_pick(NULL, NULL), names[i], rows[shape], cols, acts[shape]);
                int panels = jt_matrix_panels(&s.m), n = rows[shape];
                size_t bytes = (size_t)n * (size_t)acts[shape] * 4;
                if (int8 && !s.m.format->quantised) {
                    teardown(&s);
                    continue;
                }
                memset(s.y, 0xff, bytes + 64);
                jt_matmul(s.c.k, &s.m, &s.a, int8, 0, panels, s.y, n, s.scratch);
                for (int j = 0; j < 64; j++) assert_int_equal(((unsigned char *)s.y)[bytes + (size_t)j], 0xff);
                assert_int_equal(jt_matrix_alloc_packed(&s.m, NULL), JT_OK);
                for (int p = 0; p < panels; p++) jt_matrix_pack_panels(s.c.k, &s.m, p, p + 1);
                jt_matmul(s.c.k, &s.m, &s.a, int8, 0, panels, s.z, n, s.scratch);
                assert_memory_equal(s.y, s.z, bytes);

                /* Panel by panel and row by row, with scratch at an odd address. */
                memset(s.z, 0, bytes);
                for (int r = 0; r < acts[shape]; r++) {
                    jt_acts one = {.rows = 1, .cols = cols, .x = s.x + r * cols};
                    if (int8) one.q = s.a.q + r * cols, one.d = s.a.d + r * cols / 16, one.s = s.a.s + r * cols / 32;
                    for (int p = 0; p < panels; p++)
                        jt_matmul(s.c.k, &s.m, &one, int8, p, p + 1, s.z + r * n, n, (char *)s.scratch + r % 5);
                }
                assert_memory_equal(s.y, s.z, bytes);
                teardown(&s);
            }
}

static void test_a_matrix_row_is_its_expansion(void **state) {
    (void)state;
    setting s;
    setup(&s, jt_kernels_pick(NULL, NULL), "q8_0", 20, 64, 1);
    float got[64], want[64];
    jt_matrix_row(&s.m, 19, got);
    s.m.format->expand(s.weights + 19 * 68, want, 64);
    assert_memory_equal(got, want, sizeof got);
    teardown(&s);
}

/* In every format a float product is the chain of docs/numbers.md over the expanded row, packed and mapped. */
static void test_float_products_in_every_format(void **state) {
    (void)state;
    enum { ROWS = 18, COLS = 768, ACTS = 2 };
    const jt_kernels *k = jt_kernels_pick(NULL, NULL);
    cases c = {.k = k, .random = 5, .report = no_report};
    float *x = cases_floats(&c, ACTS * COLS, FLOATS_PLAIN), w[COLS], want[ACTS * ROWS], y[ACTS * ROWS];
    unsigned char *data = cases_memory(ROWS * COLS * 4);
    jt_acts a = {.rows = ACTS, .cols = COLS, .x = x};
    int n;
    const jt_format *f = jt_formats(&n);
    for (int i = 0; i < n; i++) {
        if (!f[i].expand) continue;
        for (int b = 0; b < ROWS * COLS * 4; b++) data[b] = (unsigned char)cases_bits(&c);
        jt_matrix m;
        assert_int_equal(jt_matrix_init(&m, &f[i], ROWS, COLS, data, NULL), JT_OK);
        for (int o = 0; o < ROWS; o++) {
            jt_matrix_row(&m, o, w);
            for (int r = 0; r < ACTS; r++) {
                float acc = 0;
                for (int j = 0; j < COLS; j++) acc = fmaf(x[r * COLS + j], w[j], acc);
                want[r * ROWS + o] = acc;
            }
        }
        void *scratch = cases_memory(jt_matmul_scratch(&m, 0));
        jt_matmul(k, &m, &a, 0, 0, jt_matrix_panels(&m), y, ROWS, scratch);
        if (!same_floats(want, y, ACTS * ROWS)) print_error("%s, mapped\n", f[i].name);
        assert_true(same_floats(want, y, ACTS * ROWS));
        assert_int_equal(jt_matrix_alloc_packed(&m, NULL), JT_OK);
        jt_matrix_pack_panels(k, &m, 0, jt_matrix_panels(&m));
        memset(y, 0, sizeof y);
        jt_matmul(k, &m, &a, 0, 0, jt_matrix_panels(&m), y, ROWS, scratch);
        assert_true(same_floats(want, y, ACTS * ROWS));
        jt_matrix_free_packed(&m);
        jt_free(scratch);
    }
    jt_free(x);
    jt_free(data);
}

/* What docs/numbers.md asks of one step: denormals are zero, and results below the normal numbers. */
static float bf16_step(float a, float b, float c) {
    float x = fmaf(fabsf(a) < FLT_MIN ? copysignf(0, a) : a, fabsf(b) < FLT_MIN ? copysignf(0, b) : b, c);
    return fabsf(x) < FLT_MIN ? copysignf(0, x) : x;
}

/* In every format a product in bfloat16 is the chain over the expanded, rounded row, the second of each pair first; packed, mapped,
 * and in any cut. */
static void test_bf16_products_in_every_format(void **state) {
    (void)state;
    enum { ROWS = 37, MORE = 768, ACTS = 19 };
    const jt_kernels *k = jt_kernels_pick(NULL, NULL);
    cases c = {.k = k, .random = 6, .report = no_report};
    float *x = cases_floats(&c, ACTS * MORE, FLOATS_PLAIN), w[MORE + 1];
    float *want = cases_memory(ACTS * ROWS * 4), *y = cases_memory(ACTS * ROWS * 4);
    unsigned char *data = cases_memory(ROWS * MORE * 4);
    int n;
    const jt_format *f = jt_formats(&n);
    for (int i = 0; i < n; i++) {
        if (!f[i].expand) continue;
        cases_weights(&c, &f[i], ROWS * MORE, i % 2 ? WEIGHTS_ODD : WEIGHTS_RANDOM, data);
        int cols = f[i].quantised ? MORE : MORE - 9;
        uint16_t *b = cases_bf16(x, ACTS, cols);
        jt_acts a = {.rows = ACTS, .cols = cols, .b = b};
        jt_matrix m;
        assert_int_equal(jt_matrix_init(&m, &f[i], ROWS, cols, data, NULL), JT_OK);
        jt_matrix_for_bf16(&m);
        for (int o = 0; o < ROWS; o++) {
            jt_matrix_row(&m, o, w);
            w[cols] = 0;
            for (int j = 0; j < cols; j++) w[j] = jt_bf16_to_f32(jt_f32_to_bf16(w[j]));
            for (int r = 0; r < ACTS; r++) {
                float acc = 0;
                const uint16_t *v = b + (size_t)r * jt_bf16_stride(cols);
                for (int j = 0; j < cols; j += 2)
                    acc = bf16_step(jt_bf16_to_f32(v[j]), w[j], bf16_step(jt_bf16_to_f32(v[j + 1]), w[j + 1], acc));
                want[r * ROWS + o] = acc;
            }
        }
        void *scratch = cases_memory(jt_matmul_scratch(&m, JT_BY_BF16));
        jt_matmul(k, &m, &a, JT_BY_BF16, 0, jt_matrix_panels(&m), y, ROWS, scratch);
        if (!same_floats(want, y, ACTS * ROWS)) print_error("%s, mapped\n", f[i].name);
        assert_true(same_floats(want, y, ACTS * ROWS));
        assert_int_equal(jt_matrix_alloc_packed(&m, NULL), JT_OK);
        jt_matrix_pack_panels(k, &m, 0, jt_matrix_panels(&m));
        memset(y, 0, ACTS * ROWS * 4);
        for (int r = 0; r < ACTS; r += 7) {
            jt_acts part = {.rows = ACTS - r < 7 ? ACTS - r : 7, .cols = cols, .b = b + (size_t)r * jt_bf16_stride(cols)};
            for (int p = 0; p < jt_matrix_panels(&m); p++)
                jt_matmul(k, &m, &part, JT_BY_BF16, p, p + 1, y + r * ROWS, ROWS, (char *)scratch + r % 5);
        }
        if (!same_floats(want, y, ACTS * ROWS)) print_error("%s, packed\n", f[i].name);
        assert_true(same_floats(want, y, ACTS * ROWS));
        jt_matrix_free_packed(&m);
        jt_free(scratch);
        jt_free(b);
    }
    jt_free(x), jt_free(want), jt_free(y), jt_free(data);
}

static void test_bad_matrices_are_refused_by_name(void **state) {
    (void)state;
    jt_matrix m;
    jt_error err;
    assert_int_equal(jt_matrix_init(&m, jt_format_named("q8_k"), 16, 256, NULL, &err), JT_UNSUPPORTED);
    assert_non_null(strstr(err.message, "q8_k"));
    assert_int_equal(jt_matrix_init(&m, jt_format_named("i32"), 16, 256, NULL, &err), JT_UNSUPPORTED);
    assert_int_equal(jt_matrix_init(&m, jt_format_named("q4_0"), 16, 48, NULL, &err), JT_INVALID);
    assert_non_null(strstr(err.message, "48"));
    assert_int_equal(jt_matrix_init(&m, jt_format_named("f32"), 0, 48, NULL, &err), JT_INVALID);
    assert_int_equal(jt_matrix_init(&m, jt_format_named("f32"), 3, -1, NULL, &err), JT_INVALID);
    assert_int_equal(jt_panel_bytes(JT_PANEL_NONE, 64), 0);
}

static void test_a_failed_allocation_leaves_the_matrix_mapped(void **state) {
    (void)state;
    setting s;
    jt_error err;
    setup(&s, jt_kernels_pick(NULL, NULL), "q4_0", 16, 32, 1);
    alloc_fail_at(0);
    assert_int_equal(jt_matrix_alloc_packed(&s.m, &err), JT_NOMEM);
    alloc_fail_at(-1);
    assert_null(s.m.packed);
    assert_int_equal(jt_matrix_alloc_packed(&s.m, &err), JT_OK);
    assert_int_equal((uintptr_t)s.m.packed % 64, 0);
    teardown(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products_are_near_the_exact_ones), cmocka_unit_test(test_int8_product_by_hand),
        cmocka_unit_test(test_packed_equals_mapped_and_any_cut), cmocka_unit_test(test_a_matrix_row_is_its_expansion),
        cmocka_unit_test(test_float_products_in_every_format),   cmocka_unit_test(test_bf16_products_in_every_format),
        cmocka_unit_test(test_bad_matrices_are_refused_by_name), cmocka_unit_test(test_a_failed_allocation_leaves_the_matrix_mapped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
