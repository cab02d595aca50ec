/* Memory: checked sizes, growth, the arena. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "core/mem.h"

static void test_checked_sizes(void **state) {
    (void)state;
    size_t n;
    uint64_t u;
    assert_true(jt_mul(3, 4, &n) && n == 12);
    assert_true(jt_mul(0, SIZE_MAX, &n) && n == 0);
    assert_false(jt_mul(SIZE_MAX, 2, &n));
    assert_true(jt_add(SIZE_MAX - 1, 1, &n) && n == SIZE_MAX);
    assert_false(jt_add(SIZE_MAX, 1, &n));
    assert_true(jt_mul_u64(UINT64_C(1) << 32, UINT64_C(1) << 31, &u) && u == UINT64_C(1) << 63);
    assert_false(jt_mul_u64(UINT64_C(1) << 32, UINT64_C(1) << 32, &u));
    assert_false(jt_add_u64(UINT64_MAX, 1, &u));
    assert_true(jt_round_up(0, 64, &n) && n == 0);
    assert_true(jt_round_up(1, 64, &n) && n == 64);
    assert_true(jt_round_up(64, 64, &n) && n == 64);
    assert_false(jt_round_up(SIZE_MAX - 62, 64, &n));
}

static bool zero(const void *p, size_t n) {
    const char *c = p;
    for (size_t i = 0; i < n; i++)
        if (c[i]) return false;
    return true;
}

static void test_alloc(void **state) {
    (void)state;
    for (size_t n = 0; n < 300; n += 7) {
        void *p = jt_alloc(n, 3), *q = jt_alloc_aligned(n, 3);
        assert_non_null(p);
        assert_non_null(q);
        assert_true(zero(p, 3 * n) && zero(q, 3 * n));
        assert_int_equal((uintptr_t)q % JT_ALIGN, 0);
        memset(p, 1, 3 * n), memset(q, 1, 3 * n);
        void *r = jt_realloc(p, n + 1, 3);
        assert_non_null(r);
        assert_true(n == 0 || ((char *)r)[3 * n - 1] == 1);
        jt_free(r), jt_free(q);
    }
    /* Wraps around without overflow checks. */
    volatile size_t half = SIZE_MAX / 2 + 1;
    assert_null(jt_alloc(half, 2));
    assert_null(jt_alloc_aligned(half, 2));
    assert_null(jt_alloc_aligned(SIZE_MAX, 1));
    assert_null(jt_realloc(NULL, half, 2));
    jt_free(NULL);
    alloc_fail_at(0);
    assert_null(jt_alloc(1, 1));
    alloc_fail_at(0);
    assert_null(jt_alloc_aligned(1, 1));
    alloc_fail_at(-1);
}

static void test_large(void **state) {
    (void)state;
    static const size_t bytes[] = {0, 1, 1 << 20, (4 << 20) + 64, (6 << 20) - 1};
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++) {
        void *p = jt_alloc_large(bytes[i], 1);
        assert_non_null(p);
        assert_true(zero(p, bytes[i]));
        assert_int_equal((uintptr_t)p % (bytes[i] >= 2 * JT_HUGE ? JT_HUGE : JT_ALIGN), 0);
        memset(p, 1, bytes[i]);
        jt_free(p);
    }
    volatile size_t half = SIZE_MAX / 2 + 1;
    assert_null(jt_alloc_large(half, 2));
    assert_null(jt_alloc_unset(half, 2));
    alloc_fail_at(0);
    assert_null(jt_alloc_large(8 << 20, 1));
    alloc_fail_at(-1);
}

static void test_grow(void **state) {
    (void)state;
    int *p = NULL;
    size_t cap = 0;
    jt_error e;
    for (size_t n = 1; n < 1000; n++) {
        size_t before = cap;
        assert_int_equal(jt_grow((void **)&p, &cap, n, sizeof *p, &e), JT_OK);
        assert_true(cap >= n && (cap == before || cap >= 2 * before));
        p[n - 1] = (int)n;
    }
    for (int i = 0; i < 999; i++) assert_int_equal(p[i], i + 1);
    int *old = p;
    size_t was = cap;
    assert_int_equal(jt_grow((void **)&p, &cap, SIZE_MAX, sizeof *p, &e), JT_NOMEM);
    assert_true(p == old && cap == was);
    assert_non_null(strstr(e.message, "more than this machine can address"));
    alloc_fail_at(0);
    assert_int_equal(jt_grow((void **)&p, &cap, 5000, sizeof *p, &e), JT_NOMEM);
    alloc_fail_at(-1);
    assert_true(p == old && cap == was && p[998] == 999);
    assert_non_null(strstr(e.message, "out of memory"));
    jt_free(p);
}

static void test_arena(void **state) {
    (void)state;
    jt_arena a = {0};
    unsigned char *piece[500];
    for (size_t i = 0; i < 500; i++) {
        size_t n = i % 97 == 0 ? 100000 : i;
        piece[i] = jt_arena_alloc(&a, n, 1);
        assert_non_null(piece[i]);
        assert_int_equal((uintptr_t)piece[i] % 16, 0);
        assert_true(zero(piece[i], n));
        memset(piece[i], (int)(i & 255), n);
    }
    for (size_t i = 1; i < 500; i++) {
        size_t n = i % 97 == 0 ? 100000 : i;
        assert_int_equal(piece[i][0], i & 255);
        assert_int_equal(piece[i][n - 1], i & 255);
    }
    assert_true(a.total > 600000);
    char *s = jt_arena_copy(&a, "abcdef", 3);
    assert_string_equal(s, "abc");
    assert_string_equal(jt_arena_copy(&a, NULL, 0), "");
    volatile size_t half = SIZE_MAX / 2 + 1;
    assert_null(jt_arena_alloc(&a, half, 2));
    assert_null(jt_arena_alloc(&a, SIZE_MAX, 1));
    assert_null(jt_arena_alloc(&a, SIZE_MAX - 15, 1));
    assert_null(jt_arena_copy(&a, "", SIZE_MAX));
    alloc_fail_at(0);
    assert_null(jt_arena_alloc(&a, 1000000, 1));
    alloc_fail_at(-1);
    assert_string_equal(s, "abc");
    jt_arena_free(&a);
    assert_true(a.head == NULL && a.total == 0);
    jt_arena_free(&a);
}

static void test_nomem(void **state) {
    (void)state;
    jt_error e;
    assert_int_equal(jt_nomem(&e, "cache", 10, 4), JT_NOMEM);
    assert_int_equal(e.code, JT_NOMEM);
    assert_non_null(strstr(e.message, "cache: out of memory, 40 bytes wanted"));
    assert_int_equal(jt_nomem(NULL, "cache", 10, 4), JT_NOMEM);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_checked_sizes), cmocka_unit_test(test_alloc), cmocka_unit_test(test_large),
                                       cmocka_unit_test(test_grow),          cmocka_unit_test(test_arena), cmocka_unit_test(test_nomem)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
