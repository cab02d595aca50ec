/* Addressed randomness: Philox against the known answers of its authors, addresses against a second implementation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/random.h"

/* kat_vectors of Random123 1.14, philox 4x32-10. */
static void test_philox(void **state) {
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } row[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        uint32_t out[4];
        jt_philox(row[i].counter, row[i].key, out);
        assert_memory_equal(out, row[i].out, sizeof out);
    }
}

/* The values are part of what a seed means: a change would change every generated text. */
static void test_address(void **state) {
    (void)state;
    assert_true(jt_random_site("temp", 0, "draw") == 0x3df46b4d);
    assert_true(jt_random_site("temp", 1, "draw") == 0x0656c8c2);
    assert_true(jt_stream_choice(3) == 0x8f57a1298ce15a68);
    assert_true(jt_stream_fork(5, 9) == 0x7036340d229419d8);
    jt_address a = {.seed = 42, .stream = jt_stream_choice(0), .position = 5, .site = jt_random_site("sample", 0, "token")};
    uint32_t w[4];
    jt_random_words(&a, w);
    assert_memory_equal(w, ((uint32_t[]){0xb1d1af89, 0x0e17c43f, 0x673b7dbe, 0xdc70565d}), sizeof w);
    assert_true(jt_random_u(&a) == 0x1.c2f887f63a350p-5);
}

/* Every part of the address matters, and nothing else does. */
static void test_independence(void **state) {
    (void)state;
    jt_address base = {1, 2, 3, 4, 5, 6}, v[7];
    for (int i = 0; i < 7; i++) v[i] = base;
    v[1].seed++, v[2].stream++, v[3].position++, v[4].site++, v[5].attempt++, v[6].index++;
    for (int i = 0; i < 7; i++)
        for (int j = i + 1; j < 7; j++) assert_true(jt_random_u(&v[i]) != jt_random_u(&v[j]));
    assert_true(jt_random_u(&base) == jt_random_u(&v[0]));
    v[0].seed += UINT64_C(1) << 40, v[1] = base, v[1].stream += UINT64_C(1) << 40;
    assert_true(jt_random_u(&v[0]) != jt_random_u(&base) && jt_random_u(&v[1]) != jt_random_u(&base));
}

/* 100,000 draws of neighbouring addresses: open interval, mean, variance, and correlation of neighbours. */
static void test_uniform(void **state) {
    (void)state;
    enum { N = 100000 };
    double sum = 0, square = 0, product = 0, before = 0.5;
    int bin[16] = {0};
    for (uint32_t i = 0; i < N; i++) {
        double u = jt_random_u(&(jt_address){.seed = 7, .position = i});
        assert_true(u > 0 && u < 1);
        sum += u, square += (u - 0.5) * (u - 0.5), product += (u - 0.5) * (before - 0.5), before = u;
        bin[(int)(u * 16)]++;
    }
    assert_true(sum / N > 0.496 && sum / N < 0.504);
    assert_true(square / N > 1 / 12.0 - 0.002 && square / N < 1 / 12.0 + 0.002);
    assert_true(product / N > -0.002 && product / N < 0.002);
    double chi = 0;
    for (int i = 0; i < 16; i++) chi += (bin[i] - N / 16.0) * (bin[i] - N / 16.0) / (N / 16.0);
    assert_true(chi < 37.7); /* 15 degrees of freedom, 0.1 % */
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_philox), cmocka_unit_test(test_address), cmocka_unit_test(test_independence),
                                       cmocka_unit_test(test_uniform)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
