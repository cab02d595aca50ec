/* The table of block formats, their expansion against the Python package gguf, and the 16-bit floats. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/format.h"

static void test_rows_are_found(void **state) {
    (void)state;
    int n;
    const jt_format *all = jt_formats(&n);
    for (int i = 0; i < n; i++) {
        assert_ptr_equal(jt_format_of(all[i].type), &all[i]);
        assert_ptr_equal(jt_format_named(all[i].name), &all[i]);
        assert_true(i == 0 || all[i].type > all[i - 1].type);
        assert_true((all[i].expand != NULL) == (all[i].panel != JT_PANEL_NONE));
    }
    assert_null(jt_format_of(4));
    assert_null(jt_format_of(31));
    assert_null(jt_format_of(0xffffffff));
    assert_null(jt_format_named("Q4_1"));
    assert_null(jt_format_named(""));
    assert_int_equal(jt_format_named("q4_1")->type, JT_Q4_1);
    assert_int_equal(jt_format_of(JT_BF16)->panel, JT_PANEL_BF16);
    assert_string_equal(jt_format_of(JT_Q6_K)->name, "q6_k");
    assert_string_equal(jt_format_of(JT_IQ1_M)->name, "iq1_m");
    assert_string_equal(jt_format_of(JT_NVFP4)->name, "nvfp4");
}

/* Sizes as the Python package gguf 0.19.0 has them (q8_1 and q2_0 as ggml.h of August 2026). */
static void test_sizes(void **state) {
    (void)state;
    static const struct {
        uint32_t type;
        int block, bytes;
    } sizes[] = {{0, 1, 4},      {1, 1, 2},     {2, 32, 18},    {3, 32, 20},    {6, 32, 22},    {7, 32, 24},    {8, 32, 34},
                 {9, 32, 36},    {10, 256, 84}, {11, 256, 110}, {12, 256, 144}, {13, 256, 176}, {14, 256, 210}, {15, 256, 292},
                 {16, 256, 66},  {17, 256, 74}, {18, 256, 98},  {19, 256, 50},  {20, 32, 18},   {21, 256, 110}, {22, 256, 82},
                 {23, 256, 136}, {24, 1, 1},    {25, 1, 2},     {26, 1, 4},     {27, 1, 8},     {28, 1, 8},     {29, 256, 56},
                 {30, 1, 2},     {34, 256, 54}, {35, 256, 66},  {39, 32, 17},   {40, 64, 36},   {41, 128, 18},  {42, 64, 18}};
    int n;
    jt_formats(&n);
    assert_int_equal(n, sizeof sizes / sizeof *sizes);
    for (int i = 0; i < n; i++) {
        const jt_format *f = jt_format_of(sizes[i].type);
        assert_non_null(f);
        assert_int_equal(f->block, sizes[i].block);
        assert_int_equal(f->bytes, sizes[i].bytes);
    }
}

static void test_bytes_of_weights(void **state) {
    (void)state;
    uint64_t bytes;
    const jt_format *f = jt_format_named("q4_1");
    assert_true(jt_format_bytes(f, 64, &bytes));
    assert_int_equal(bytes, 40);
    assert_true(jt_format_bytes(f, 0, &bytes));
    assert_int_equal(bytes, 0);
    assert_false(jt_format_bytes(f, 33, &bytes));
    assert_true(jt_format_bytes(f, UINT64_MAX / 32 * 32, &bytes));
    assert_false(jt_format_bytes(jt_format_named("f32"), UINT64_MAX / 2, &bytes));
    assert_false(jt_format_bytes(jt_format_named("q8_0"), UINT64_MAX / 32 * 32, &bytes));
}

static void test_expansion_equals_gguf(void **state) {
    (void)state;
    FILE *in = fopen(FIXTURES "/tensor/blocks.bin", "rb");
    assert_non_null(in);
    uint32_t head[2];
    int formats = 0;
    while (fread(head, sizeof head, 1, in) == 1) {
        const jt_format *f = jt_format_of(head[0]);
        uint64_t bytes;
        assert_non_null(f);
        assert_true(jt_format_bytes(f, head[1], &bytes));
        /* One byte off, as rows in a file may lie. */
        unsigned char *blocks = malloc(bytes + 1);
        float *want = malloc(head[1] * sizeof *want), *got = malloc(head[1] * sizeof *got);
        assert_non_null(blocks);
        assert_non_null(want);
        assert_non_null(got);
        assert_int_equal(fread(blocks + 1, 1, bytes, in), bytes);
        assert_int_equal(fread(want, sizeof *want, head[1], in), head[1]);
        f->expand(blocks + 1, got, head[1]);
        assert_memory_equal(want, got, head[1] * sizeof *want);
        free(blocks);
        free(want);
        free(got);
        formats++;
    }
    fclose(in);
    assert_int_equal(formats, 25);

    float x[3] = {1, -0.0f, 3e38f}, y[3];
    jt_format_of(JT_F32)->expand(x, y, 3);
    assert_memory_equal(x, y, sizeof x);
}

static uint64_t splitmix(uint64_t z) {
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* Every byte repeated, and random bytes, as tests/fixtures/tensor/make.py makes them: scales of every kind among them. */
static void test_expansion_of_hostile_blocks_equals_gguf(void **state) {
    (void)state;
    FILE *in = fopen(FIXTURES "/tensor/expansions.txt", "r");
    assert_non_null(in);
    unsigned type, blocks;
    unsigned long long want;
    int formats = 0;
    while (fscanf(in, "%u %u %llx", &type, &blocks, &want) == 3) {
        const jt_format *f = jt_format_of(type);
        uint64_t sum = 0, at = 0;
        float x[256];
        uint64_t words[128];
        for (uint64_t b = 0; b < blocks; b++) {
            for (uint64_t i = 0; i < 128; i++) words[i] = splitmix((1024 * b + i + 1) * 0x9e3779b97f4a7c15);
            if (b % 8 == 0) memset(words, (int)(b / 8 % 256), sizeof words);
            f->expand(words, x, f->block);
            for (int i = 0; i < f->block; i++, at++) {
                uint32_t bits;
                memcpy(&bits, &x[i], sizeof bits);
                sum += splitmix((isnan(x[i]) ? 0x7fc00000 : bits) | at << 32);
            }
        }
        if (sum != want) print_error("%s\n", f->name);
        assert_true(sum == want);
        formats++;
    }
    fclose(in);
    assert_int_equal(formats, 25);
}

static float from_bits(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* The value of a half by its definition. */
static double half_value(unsigned h) {
    int e = (int)(h >> 10 & 31), m = (int)(h & 1023);
    double v = e == 31 ? (m ? NAN : INFINITY) : e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);
    return h & 0x8000 ? -v : v;
}

static void test_every_half(void **state) {
    (void)state;
    for (unsigned h = 0; h < 65536; h++) {
        float f = jt_f16_to_f32((uint16_t)h);
        if ((h & 0x7fff) > 0x7c00) {
            assert_true(isnan(f));
            assert_int_equal(jt_f32_to_f16(f), h | 0x200);
            continue;
        }
        assert_true((double)f == half_value(h) && (signbit(f) != 0) == (h >> 15));
        assert_int_equal(jt_f32_to_f16(f), h);
    }
}

/* Between two neighbouring halves: below the middle down, above it up, in the middle to the even one. */
static void test_rounding_to_half(void **state) {
    (void)state;
    for (unsigned h = 0; h < 0x7c00; h++) {
        double low = half_value(h), high = h == 0x7bff ? 65536 : half_value(h + 1);
        float middle = (float)((low + high) / 2);
        for (unsigned sign = 0; sign <= 0x8000; sign += 0x8000) {
            float s = sign ? -1.0f : 1.0f;
            assert_int_equal(jt_f32_to_f16(s * nextafterf(middle, 0)), h | sign);
            assert_int_equal(jt_f32_to_f16(s * nextafterf(middle, INFINITY)), (h + 1) | sign);
            assert_int_equal(jt_f32_to_f16(s * middle), (h + (h & 1)) | sign);
        }
    }
    assert_int_equal(jt_f32_to_f16(1e30f), 0x7c00);
    assert_int_equal(jt_f32_to_f16(-INFINITY), 0xfc00);
    assert_int_equal(jt_f32_to_f16(1e-30f), 0);
    assert_int_equal(jt_f32_to_f16(from_bits(0x7f800001)), 0x7e00); /* a NaN whose payload would be lost */
}

static void test_every_bfloat16(void **state) {
    (void)state;
    for (unsigned h = 0; h < 65536; h++) {
        float f = jt_bf16_to_f32((uint16_t)h);
        if ((h & 0x7fff) > 0x7f80) {
            assert_true(isnan(f));
            assert_int_equal(jt_f32_to_bf16(f), h | 0x40);
            continue;
        }
        assert_true(!memcmp(&f, &(uint32_t){h << 16}, 4));
        assert_int_equal(jt_f32_to_bf16(f), h);
        if ((h & 0x7fff) == 0x7f80) continue;
        assert_int_equal(jt_f32_to_bf16(from_bits(h << 16 | 0x7fff)), h);
        assert_int_equal(jt_f32_to_bf16(from_bits(h << 16 | 0x8001)), h + 1);
        assert_int_equal(jt_f32_to_bf16(from_bits(h << 16 | 0x8000)), h + (h & 1));
    }
    assert_int_equal(jt_f32_to_bf16(from_bits(0x7f800001)), 0x7fc0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_are_found),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_bytes_of_weights),
        cmocka_unit_test(test_expansion_equals_gguf),
        cmocka_unit_test(test_expansion_of_hostile_blocks_equals_gguf),
        cmocka_unit_test(test_every_half),
        cmocka_unit_test(test_rounding_to_half),
        cmocka_unit_test(test_every_bfloat16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
