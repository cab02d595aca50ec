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

static void test_plain_formats_are_rounded(void **state) {
    (void)state;
    const float x[4] = {1.0f / 3, -1e-9f, 65504, -0.0f};
    uint16_t h[4];
    float y[4];
    assert_int_equal(jt_quantise_row(jt_format_of(JT_F32), x, 4, NULL, y, NULL), JT_OK);
    assert_memory_equal(x, y, sizeof x);
    assert_int_equal(jt_quantise_row(jt_format_of(JT_F16), x, 4, NULL, h, NULL), JT_OK);
    for (int i = 0; i < 4; i++) assert_int_equal(h[i], jt_f32_to_f16(x[i]));
    assert_int_equal(jt_quantise_row(jt_format_of(JT_BF16), x, 4, NULL, h, NULL), JT_OK);
    for (int i = 0; i < 4; i++) assert_int_equal(h[i], jt_f32_to_bf16(x[i]));
    /* What is broken already stays visible; what would become so is refused. */
    assert_int_equal(jt_quantise_row(jt_format_of(JT_F16), (float[]){INFINITY, NAN}, 2, NULL, h, NULL), JT_OK);
    assert_int_equal(h[0], 0x7c00);
    assert_int_equal(h[1], 0x7e00);
    jt_error err;
    assert_int_equal(jt_quantise_row(jt_format_of(JT_F16), (float[]){0, -1e5f}, 2, NULL, h, &err), JT_INVALID);
    assert_non_null(strstr(err.message, "weight 1 is -100000"));
}

static void test_rows_that_do_not_fit_fall_back(void **state) {
    (void)state;
    static const struct {
        const char *from;
        int cols;
        const char *to;
    } cases[] = {{"q4_k", 512, "q4_k"},   {"q4_k", 576, "q5_0"},  {"q5_k", 576, "q5_1"},     {"q6_k", 576, "q8_0"},
                 {"q2_k", 576, "iq4_nl"}, {"q3_k", 32, "iq4_nl"}, {"iq4_xs", 96, "iq4_nl"},  {"iq1_m", 96, "iq4_nl"},
                 {"iq3_s", 96, "iq4_nl"}, {"tq1_0", 576, "q4_0"}, {"tq2_0", 576, "q4_0"},    {"q4_k", 48, "f16"},
                 {"q4_0", 48, "f16"},     {"mxfp4", 33, "f16"},   {"f16", 33, "f16"},        {"bf16", 1, "bf16"},
                 {"q8_0", 64, "q8_0"},    {"nvfp4", 96, "f16"},   {"iq2_xxs", 288, "iq4_nl"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(jt_format_fallback(jt_format_named(cases[i].from), (uint64_t)cases[i].cols)->name, cases[i].to);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_formats_are_rounded),
        cmocka_unit_test(test_rows_that_do_not_fit_fall_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
