/* Writing rows in block formats: what is refused, which format a row falls back to, and how near the weights come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "tensor/quant.h"

static const jt_kernels *k_of(void) { return jt_kernels_pick(NULL, NULL); }

static void test_plain_formats_are_rounded(void **state) {
    (void)state;
    const float x[4] = {1.0f / 3, -1e-9f, 65504, -0.0f};
    uint16_t h[4];
    float y[4];
    assert_int_equal(jt_quantise_row(k_of(), jt_format_of(JT_F32), x, 4, NULL, y, NULL), JT_OK);
    assert_memory_equal(x, y, sizeof x);
    assert_int_equal(jt_quantise_row(k_of(), jt_format_of(JT_F16), x, 4, NULL, h, NULL), JT_OK);
    for (int i = 0; i < 4; i++) assert_int_equal(h[i], jt_f32_to_f16(x[i]));
    assert_int_equal(jt_quantise_row(k_of(), jt_format_of(JT_BF16), x, 4, NULL, h, NULL), JT_OK);
    for (int i = 0; i < 4; i++) assert_int_equal(h[i], jt_f32_to_bf16(x[i]));
    /* What is broken already stays visible; what would become so is refused. */
    assert_int_equal(jt_quantise_row(k_of(), jt_format_of(JT_F16), (float[]){INFINITY, NAN}, 2, NULL, h, NULL), JT_OK);
    assert_int_equal(h[0], 0x7c00);
    assert_int_equal(h[1], 0x7e00);
    jt_error err;
    assert_int_equal(jt_quantise_row(k_of(), jt_format_of(JT_F16), (float[]){0, -1e5f}, 2, NULL, h, &err), JT_INVALID);
    assert_non_null(strstr(err.message, "weight 1 is -100000"));
}

enum { MOST = 2048 };

static uint64_t random_bits(uint64_t *state) { /* splitmix64 */
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* Nearly normal, exact in float32: the sum of eight uniform numbers of 16 bits. */
static float random_weight(uint64_t *state) {
    int sum = 0;
    for (int i = 0; i < 8; i++) sum += (int)(random_bits(state) & 0xffff) - 0x8000;
    return (float)sum * 0x1p-15f * 0.625f;
}

static void random_row(uint64_t seed, float scale, float *x, int n) {
    for (int i = 0; i < n; i++) x[i] = random_weight(&seed) * scale;
}

/* Written and read back; the weighted squared error. */
static double there_and_back(const jt_format *f, const float *x, int n, const float *importance, float *y) {
    unsigned char bytes[MOST * 4];
    jt_error err;
    jt_status s = jt_quantise_row(k_of(), f, x, (size_t)n, importance, bytes, &err);
    if (s) print_error("%s: %s\n", f->name, err.message);
    assert_int_equal(s, JT_OK);
    f->expand(bytes, y, (size_t)n);
    double error = 0;
    for (int i = 0; i < n; i++) {
        assert_true(isfinite(y[i]));
        error += (importance ? (double)importance[i] : 1) * ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
    }
    return error;
}

static double energy(const float *x, int n, const float *importance) {
    double e = 0;
    for (int i = 0; i < n; i++) e += (importance ? (double)importance[i] : 1) * (double)x[i] * (double)x[i];
    return e;
}

/* Formats with scales, and the relative error (root of the sum of squares) that nearly normal weights have at most; the
 * bound is about a tenth above what the search reaches. */
static const struct {
    const char *name;
    double error;
} written[] = {{"q4_0", 0.096}, {"q4_1", 0.084}, {"q5_0", 0.048},  {"q5_1", 0.041},   {"q8_0", 0.0057},  {"q2_k", 0.30},  {"q3_k", 0.165},
               {"q4_k", 0.076}, {"q5_k", 0.038}, {"q6_k", 0.0185}, {"iq4_nl", 0.087}, {"iq4_xs", 0.088}, {"mxfp4", 0.125}};
enum { WRITTEN = sizeof written / sizeof *written };

static void test_the_formats_that_are_written(void **state) {
    (void)state;
    int n, count = 0;
    const jt_format *f = jt_formats(&n);
    for (int i = 0; i < n; i++) count += jt_format_is_written(&f[i]);
    assert_int_equal(count, WRITTEN + 3);
    for (int i = 0; i < WRITTEN; i++) assert_true(jt_format_is_written(jt_format_named(written[i].name)));
    jt_error err;
    float x[256] = {0};
    unsigned char out[256];
    assert_int_equal(jt_quantise_row(k_of(), jt_format_of(JT_IQ2_S), x, 256, NULL, out, &err), JT_UNSUPPORTED);
    assert_non_null(strstr(err.message, "iq2_s"));
    assert_int_equal(jt_quantise_row(k_of(), jt_format_of(JT_Q6_K), x, 128, NULL, out, &err), JT_INVALID);
    assert_non_null(strstr(err.message, "128"));
}

static void test_broken_and_too_large_weights_are_refused(void **state) {
    (void)state;
    const float bad[] = {INFINITY, -INFINITY, NAN, 65505, -1e30f};
    float x[256] = {0};
    unsigned char out[1024];
    jt_error err;
    for (int i = 0; i < WRITTEN; i++)
        for (int k = 0; k < 5; k++) {
            x[77] = bad[k];
            assert_int_equal(jt_quantise_row(k_of(), jt_format_named(written[i].name), x, 256, NULL, out, &err), JT_INVALID);
            assert_non_null(strstr(err.message, "weight 77"));
        }
}

static void test_errors_of_normal_weights(void **state) {
    (void)state;
    float x[MOST], y[MOST];
    for (int i = 0; i < WRITTEN; i++)
        for (int k = 0; k < 3; k++) {
            random_row(7 + (uint64_t)k, k == 2 ? 300.0f : 0.02f, x, MOST);
            double e = sqrt(there_and_back(jt_format_named(written[i].name), x, MOST, NULL, y) / energy(x, MOST, NULL));
            if (!(e < written[i].error && e > 0.5 * written[i].error)) print_error("%s: %.4f\n", written[i].name, e);
            assert_true(e < written[i].error);
            assert_true(e > 0.5 * written[i].error);
        }
}

/* Weights that a format holds exactly come back as they were, or nearly where scales have scales. */
static void test_weights_on_the_grid_stay(void **state) {
    (void)state;
    float x[256], y[256];
    for (int i = 0; i < WRITTEN; i++) {
        const jt_format *f = jt_format_named(written[i].name);
        for (uint64_t seed = 1; seed < 9; seed++) {
            random_row(seed, 0.05f, y, 256);
            double first = there_and_back(f, y, 256, NULL, x), again = there_and_back(f, x, 256, NULL, y);
            double part = sqrt(again / first), most = f->block == 256 ? 0.5 : 0.02;
            if (!(part <= most)) print_error("%s: %.4f\n", f->name, part);
            assert_true(part <= most);
        }
    }
    for (int i = 0; i < 256; i++) x[i] = 0.25f * (float)(i % 16 - 8);
    assert_true(there_and_back(jt_format_of(JT_Q4_0), x, 256, NULL, y) == 0);
    assert_true(there_and_back(jt_format_of(JT_Q4_1), x, 256, NULL, y) == 0);
    assert_true(there_and_back(jt_format_of(JT_Q5_0), x, 256, NULL, y) == 0);
    for (int i = 0; i < 256; i++) x[i] = 0.5f * (float)(i % 32 == 0 ? 127 : i % 32 * 7 - 100);
    assert_true(there_and_back(jt_format_of(JT_Q8_0), x, 256, NULL, y) == 0);
}

/* Heavier weights come nearer, and the weighted error is below that of a search that knows of no weights. */
static void test_importance_counts(void **state) {
    (void)state;
    float x[MOST], y[MOST], importance[MOST];
    for (int i = 0; i < WRITTEN; i++) {
        const jt_format *f = jt_format_named(written[i].name);
        uint64_t seed = 3;
        random_row(11, 0.02f, x, MOST);
        for (int k = 0; k < MOST; k++) importance[k] = k % 8 ? 1 : 60;
        double with = there_and_back(f, x, MOST, importance, y), without = 0;
        there_and_back(f, x, MOST, NULL, y);
        for (int k = 0; k < MOST; k++) without += (double)importance[k] * ((double)x[k] - (double)y[k]) * ((double)x[k] - (double)y[k]);
        /* MXFP4 has but a few powers of two to choose from. */
        if (!(with < (f->type == JT_MXFP4 ? 0.98 : 0.9) * without)) print_error("%s: %g\n", f->name, with / without);
        assert_true(with < (f->type == JT_MXFP4 ? 0.98 : 0.9) * without);
        /* Only ratios count, and what is no weight counts as nothing. */
        unsigned char a[MOST * 4], b[MOST * 4];
        assert_int_equal(jt_quantise_row(k_of(), f, x, MOST, importance, a, NULL), JT_OK);
        for (int k = 0; k < MOST; k++) importance[k] *= 0x1p-70f;
        assert_int_equal(jt_quantise_row(k_of(), f, x, MOST, importance, b, NULL), JT_OK);
        assert_memory_equal(a, b, MOST / f->block * f->bytes);
        assert_int_equal(jt_quantise_row(k_of(), f, x, MOST, NULL, a, NULL), JT_OK);
        for (int k = 0; k < MOST; k++) importance[k] = random_bits(&seed) & 1 ? 0 : -3;
        assert_int_equal(jt_quantise_row(k_of(), f, x, MOST, importance, b, NULL), JT_OK);
        assert_memory_equal(a, b, MOST / f->block * f->bytes);
        for (int k = 0; k < MOST; k++) importance[k] = k % 3 == 0 ? NAN : k % 3 == 1 ? INFINITY : 1;
        there_and_back(f, x, MOST, NULL, y);
        assert_int_equal(jt_quantise_row(k_of(), f, x, MOST, importance, b, NULL), JT_OK);
    }
}

/* Every processor writes the same bytes. */
static void test_variants_write_the_same(void **state) {
    (void)state;
    static const char *const names[] = {"avx2", "avxvnni", "avx512", "neon"};
    float x[MOST], importance[MOST];
    unsigned char a[MOST * 4], b[MOST * 4];
    for (int v = 0; v < (int)(sizeof names / sizeof *names); v++) {
        const jt_kernels *k = jt_kernels_pick(names[v], NULL);
        for (int i = 0; k && i < WRITTEN; i++)
            for (uint64_t seed = 1; seed < 9; seed++) {
                const jt_format *f = jt_format_named(written[i].name);
                uint64_t s = seed;
                random_row(seed, ldexpf(1, (int)seed * 4 - 24), x, MOST);
                for (int n = 0; n < MOST; n++) importance[n] = (float)(random_bits(&s) % 1000);
                for (int n = 0; n < MOST; n += 37) x[n] *= 9;
                const float *w = seed & 1 ? importance : NULL;
                assert_int_equal(jt_quantise_row(&jt_kernels_scalar, f, x, MOST, w, a, NULL), JT_OK);
                assert_int_equal(jt_quantise_row(k, f, x, MOST, w, b, NULL), JT_OK);
                assert_memory_equal(a, b, MOST / f->block * f->bytes);
            }
    }
}

/* Zeros, denormals, the largest weights, one weight among zeros, all equal, a few far beyond the rest: what is read back is
 * finite and never farther from the weights than zeros are. */
static void test_hostile_weights(void **state) {
    (void)state;
    enum { KINDS = 12 };
    float x[256], y[256], importance[256], wild[256];
    for (int i = 0; i < WRITTEN; i++) {
        const jt_format *f = jt_format_named(written[i].name);
        for (int kind = 0; kind < KINDS; kind++)
            for (uint64_t seed = 1; seed < 6; seed++) {
                uint64_t s = seed;
                random_row(seed, 1, x, 256);
                for (int k = 0; k < 256; k++) {
                    importance[k] = ldexpf(1, (int)(random_bits(&s) % 13) - 6), wild[k] = ldexpf(1, (int)(random_bits(&s) % 200) - 100);
                    switch (kind) {
                    case 0: x[k] = k & 1 ? -0.0f : 0; break;
                    case 1: x[k] *= 1e-39f; break;
                    case 2: x[k] *= 1e-7f; break;
                    case 3: x[k] = x[k] > 0 ? 65504 : -65504; break;
                    case 4: x[k] = k == (int)(seed * 40) ? -1.5f : 0; break;
                    case 5: x[k] = 0.3f; break;
                    case 6: x[k] = fabsf(x[k]); break;
                    case 7: x[k] = -fabsf(x[k]); break;
                    case 8: x[k] *= random_bits(&s) % 50 ? 1e-3f : 1e4f; break;
                    case 9: x[k] = ldexpf(x[k] > 0 ? 1 : -1, (int)(random_bits(&s) % 140) - 125); break;
                    case 10: x[k] = 5 + x[k] * 1e-3f; break;
                    default: x[k] = k < 240 ? 0 : x[k] * 1e-4f; break;
                    }
                }
                for (int with = 0; with < 2; with++) {
                    const float *w = with ? importance : NULL;
                    double e = there_and_back(f, x, 256, w, y), zeros = energy(x, 256, w);
                    if (!(e <= zeros * 1.001)) print_error("%s, kind %d, seed %d: %g of %g\n", f->name, kind, (int)seed, e, zeros);
                    assert_true(e <= zeros * 1.001);
                    for (int k = 0; kind == 0 && k < 256; k++) assert_true(y[k] == 0);
                }
                there_and_back(f, x, 256, wild, y);
            }
    }
}

/* A block depends on its own weights alone. */
static void test_blocks_stand_alone(void **state) {
    (void)state;
    float x[MOST];
    unsigned char all[MOST * 4], one[1024];
    random_row(23, 0.02f, x, MOST);
    for (int i = 0; i < WRITTEN; i++) {
        const jt_format *f = jt_format_named(written[i].name);
        assert_int_equal(jt_quantise_row(k_of(), f, x, MOST, NULL, all, NULL), JT_OK);
        for (int b = 0; b < MOST / f->block; b++) {
            assert_int_equal(jt_quantise_row(k_of(), f, x + b * f->block, f->block, NULL, one, NULL), JT_OK);
            assert_memory_equal(one, all + b * f->bytes, f->bytes);
        }
    }
}

/* The bytes are the same with every compiler and on every processor. They change with the search alone. */
static void test_bytes_are_the_same_everywhere(void **state) {
    (void)state;
    static const uint64_t want[WRITTEN] = {0x59c7b98f95a9eb32, 0x083fcafe873e2ea1, 0x85359f2a0af5174f, 0xda8a53a4d86129f0,
                                           0x8c76c422faf72969, 0xffa203fe45526711, 0xa68466417be9ef78, 0x3d54706493e63b0c,
                                           0x9a3fc02243fe5493, 0xc50a8c5b0d9ccfea, 0x43c691582eac55b3, 0x3691663ab0520168,
                                           0xd696348ed42fdbce};
    float x[MOST], importance[MOST];
    unsigned char out[MOST * 4];
    random_row(99, 0.02f, x, MOST);
    uint64_t seed = 98;
    for (int k = 0; k < MOST; k++) {
        float fraction = 1 + random_weight(&seed) / 8;
        importance[k] = ldexpf(fraction, (int)(random_bits(&seed) % 4));
    }
    bool same = true;
    for (int i = 0; i < WRITTEN; i++) {
        const jt_format *f = jt_format_named(written[i].name);
        uint64_t hash = 0;
        for (int with = 0; with < 2; with++) {
            assert_int_equal(jt_quantise_row(k_of(), f, x, MOST, with ? importance : NULL, out, NULL), JT_OK);
            for (int k = 0; k < MOST / f->block * f->bytes; k++) {
                uint64_t at = hash + out[k];
                hash = random_bits(&at);
            }
        }
        if (hash != want[i]) print_error("%s: 0x%016llx\n", f->name, (unsigned long long)hash), same = false;
    }
    assert_true(same);
}

static void test_rows_that_do_not_fit_fall_back(void **state) {
    (void)state;
    static const struct {
        const char *from;
        int cols;
        const char *to;
    } cases[] = {{"q4_k", 512, "q4_k"},   {"q4_k", 576, "q5_0"},  {"q5_k", 576, "q5_1"},     {"q6_k", 576, "q8_0"},
                 {"q2_k", 576, "q4_0"},   {"q3_k", 32, "q4_0"},   {"iq4_xs", 96, "iq4_nl"},  {"iq1_m", 96, "iq4_nl"},
                 {"iq3_s", 96, "iq4_nl"}, {"tq1_0", 576, "q4_0"}, {"tq2_0", 576, "q4_0"},    {"q4_k", 48, "f16"},
                 {"q4_0", 48, "f16"},     {"mxfp4", 33, "f16"},   {"f16", 33, "f16"},        {"bf16", 1, "bf16"},
                 {"q8_0", 64, "q8_0"},    {"nvfp4", 96, "f16"},   {"iq2_xxs", 288, "iq4_nl"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(jt_format_fallback(jt_format_named(cases[i].from), (uint64_t)cases[i].cols)->name, cases[i].to);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_formats_are_rounded),
        cmocka_unit_test(test_the_formats_that_are_written),
        cmocka_unit_test(test_broken_and_too_large_weights_are_refused),
        cmocka_unit_test(test_errors_of_normal_weights),
        cmocka_unit_test(test_weights_on_the_grid_stay),
        cmocka_unit_test(test_importance_counts),
        cmocka_unit_test(test_variants_write_the_same),
        cmocka_unit_test(test_hostile_weights),
        cmocka_unit_test(test_blocks_stand_alone),
        cmocka_unit_test(test_bytes_are_the_same_everywhere),
        cmocka_unit_test(test_rows_that_do_not_fit_fall_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
