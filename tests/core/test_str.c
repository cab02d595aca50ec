/* Strings, numbers and UTF-8; decoding is compared with utf8proc. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <float.h>
#include <math.h>

#include <cmocka.h>
#include <utf8proc.h>

#include "alloc_wrap.h"
#include "core/str.h"

static void test_append(void **state) {
    (void)state;
    jt_str s = {0};
    jt_error e;
    assert_string_equal(jt_str_c(&s), "");
    jt_str_add(&s, "", 0);
    assert_int_equal(s.n, 0);
    jt_str_puts(&s, "ab");
    jt_str_putc(&s, 'c');
    jt_str_add(&s, "d\0e", 3);
    jt_str_printf(&s, "%s-%d", "f", 12);
    assert_int_equal(s.n, 10);
    assert_memory_equal(s.s, "abcd\0ef-12", 11);
    assert_int_equal(jt_str_check(&s, &e), JT_OK);
    for (int i = 0; i < 5000; i++) jt_str_putc(&s, (char)('a' + i % 26));
    assert_int_equal(s.n, 5010);
    assert_int_equal(s.s[5009], 'a' + 4999 % 26);
    assert_int_equal(s.s[5010], 0);
    jt_str_clear(&s);
    assert_string_equal(jt_str_c(&s), "");
    assert_true(s.cap >= 5011);
    jt_str_free(&s);
    assert_null(s.s);
    jt_str_clear(&s);
}

static void test_append_without_memory(void **state) {
    (void)state;
    jt_str s = {0};
    jt_error e = {0};
    jt_str_puts(&s, "kept");
    alloc_fail_at(0);
    for (int i = 0; i < 100; i++) jt_str_puts(&s, "more");
    alloc_fail_at(-1);
    assert_true(s.failed);
    assert_int_equal(strncmp(jt_str_c(&s), "keptmore", 4), 0);
    size_t n = s.n;
    jt_str_puts(&s, "nothing follows a failure");
    jt_str_printf(&s, "%d", 3);
    assert_int_equal(s.n, n);
    assert_int_equal(jt_str_check(&s, &e), JT_NOMEM);
    assert_true(e.message[0]);
    jt_str_clear(&s);
    assert_int_equal(jt_str_check(&s, &e), JT_OK);
    jt_str_add(&s, "x", SIZE_MAX);
    assert_true(s.failed);
    jt_str_free(&s);
}

static void expect_json(const char *in, size_t n, const char *want) {
    jt_str s = {0};
    jt_str_json(&s, in, n);
    assert_string_equal(jt_str_c(&s), want);
    jt_str_free(&s);
}

static void test_json(void **state) {
    (void)state;
    expect_json("", 0, "\"\"");
    expect_json("a\"b\\c/\n\t\r", 9, "\"a\\\"b\\\\c/\\n\\t\\r\"");
    expect_json("\0\x01\x1f\x7f", 4, "\"\\u0000\\u0001\\u001f\\u007f\"");
    expect_json("h\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 10, "\"h\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
    expect_json("\xff\xc3", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"");
    expect_json("\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void test_number(void **state) {
    (void)state;
    static const struct {
        double x;
        const char *want;
    } row[] = {{0, "0"},
               {-0.0, "-0"},
               {1, "1"},
               {0.1, "0.1"},
               {-2.5, "-2.5"},
               {1.0 / 3, "0.3333333333333333"},
               {1e300, "1e+300"},
               {INFINITY, "null"},
               {-INFINITY, "null"},
               {NAN, "null"},
               {123456789, "123456789"}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        jt_str s = {0};
        jt_str_number(&s, row[i].x);
        assert_string_equal(jt_str_c(&s), row[i].want);
        jt_str_free(&s);
    }
    uint64_t bits = 1;
    for (int i = 0; i < 2000; i++) {
        double x, back;
        bits = bits * 6364136223846793005u + 1442695040888963407u;
        memcpy(&x, &bits, sizeof x);
        if (!isfinite(x)) continue;
        jt_str s = {0};
        jt_str_number(&s, x);
        assert_true(jt_read_double(s.s, s.n, &back) && memcmp(&x, &back, sizeof x) == 0);
        jt_str_free(&s);
    }
}

static void test_read_integers(void **state) {
    (void)state;
    uint64_t u = 3;
    int64_t i = 3;
    static const char *const bad[] = {
        "", " 1", "1 ", "1x", "0x1", "--1", "+-1", "-", "+", "1.0", "18446744073709551616", "99999999999999999999"};
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        assert_false(jt_read_u64(bad[k], strlen(bad[k]), &u));
        assert_false(jt_read_i64(bad[k], strlen(bad[k]), &i));
    }
    assert_true(u == 3 && i == 3);
    assert_false(jt_read_u64("-1", 2, &u));
    assert_true(jt_read_u64("18446744073709551615", 20, &u) && u == UINT64_MAX);
    assert_true(jt_read_u64("0071", 4, &u) && u == 71);
    assert_true(jt_read_u64("123", 2, &u) && u == 12);
    assert_true(jt_read_i64("9223372036854775807", 19, &i) && i == INT64_MAX);
    assert_false(jt_read_i64("9223372036854775808", 19, &i));
    assert_true(jt_read_i64("-9223372036854775808", 20, &i) && i == INT64_MIN);
    assert_false(jt_read_i64("-9223372036854775809", 20, &i));
    assert_true(jt_read_i64("+5", 2, &i) && i == 5);
    assert_true(jt_read_i64("-0", 2, &i) && i == 0);
}

static void test_read_double(void **state) {
    (void)state;
    double d = 3;
    static const char *const bad[] = {"",   "nan",  "NAN",   "1,5", " 1",   "1 ",    "1e",    ".",
                                      "e5", "0x10", "1.2.3", "in",  "infi", "1_000", "1e999", "-1e999"};
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
        if (jt_read_double(bad[k], strlen(bad[k]), &d)) fail_msg("\"%s\" was read as %g", bad[k], d);
    assert_true(d == 3);
    assert_false(jt_read_double("1\0", 2, &d));
    char lengthy[600];
    memset(lengthy, '1', sizeof lengthy);
    assert_false(jt_read_double(lengthy, sizeof lengthy, &d));
    static const struct {
        const char *s;
        double x;
    } row[] = {{"1", 1},
               {"-2.5e-3", -0.0025},
               {".5", 0.5},
               {"5.", 5},
               {"+7", 7},
               {"inf", INFINITY},
               {"-inf", -INFINITY},
               {"1E3", 1000},
               {"4.9e-324", 4.9406564584124654e-324},
               {"1e-999", 0},
               {"1.7976931348623157e308", DBL_MAX}};
    for (size_t k = 0; k < sizeof row / sizeof *row; k++) {
        if (!jt_read_double(row[k].s, strlen(row[k].s), &d)) fail_msg("\"%s\" was not read", row[k].s);
        assert_true(d == row[k].x);
    }
}

/* utf8proc gives a negative length for what is invalid or cut. */
static void compare(const unsigned char *p, size_t n) {
    utf8proc_int32_t want;
    uint32_t got = 0;
    utf8proc_ssize_t len = utf8proc_iterate(p, (utf8proc_ssize_t)n, &want);
    int mine = jt_utf8_next((const char *)p, n, &got);
    if (mine != (len < 0 ? 0 : (int)len) || (mine && got != (uint32_t)want))
        fail_msg("%02x %02x %02x %02x of %zu: %d U+%04X, utf8proc %d U+%04X", p[0], p[1], p[2], p[3], n, mine, (unsigned)got, (int)len,
                 (unsigned)want);
}

static void test_utf8_next(void **state) {
    (void)state;
    unsigned char p[4] = {0};
    assert_int_equal(jt_utf8_next("", 0, NULL), 0);
    assert_int_equal(jt_utf8_next("a", 1, NULL), 1);
    for (int a = 0; a < 256; a++)
        for (int b = 0; b < 256; b++) {
            p[0] = (unsigned char)a, p[1] = (unsigned char)b, p[2] = 0x80, p[3] = 0x80;
            for (size_t n = 1; n <= 4; n++) compare(p, n);
        }
    static const unsigned char edge[] = {0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff};
    for (int a = 0xe0; a < 256; a++)
        for (int b = 0x70; b < 0xd0; b++)
            for (size_t c = 0; c < sizeof edge; c++)
                for (size_t d = 0; d < sizeof edge; d++) {
                    p[0] = (unsigned char)a, p[1] = (unsigned char)b, p[2] = edge[c], p[3] = edge[d];
                    for (size_t n = 3; n <= 4; n++) compare(p, n);
                }
}

static void test_utf8_put(void **state) {
    (void)state;
    char t[4];
    for (uint32_t cp = 0; cp < 0x110000; cp += cp < 0x3000 || cp > 0x10ff00 ? 1 : 7) {
        if (cp >= 0xd800 && cp < 0xe000) continue;
        uint32_t back;
        int n = jt_utf8_put(cp, t);
        if (jt_utf8_next(t, (size_t)n, &back) != n || back != cp) fail_msg("U+%04X", (unsigned)cp);
    }
}

/* Whether some bytes after s[0..n) would make one character that begins at s and is longer. */
static bool completable(const unsigned char *s, size_t n) {
    static const unsigned char next[] = {0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf};
    unsigned char t[4];
    memcpy(t, s, n);
    if (n == 4) return false;
    for (size_t i = 0; i < sizeof next; i++) {
        t[n] = next[i];
        if (jt_utf8_next((char *)t, n + 1, NULL) == (int)n + 1 || completable(t, n + 1)) return true;
    }
    return false;
}

static void test_utf8_whole(void **state) {
    (void)state;
    static const unsigned char part[] = {'a',  0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc1, 0xc2,
                                         0xe0, 0xe1, 0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xff};
    enum { N = sizeof part };
    assert_int_equal(jt_utf8_whole("", 0), 0);
    for (size_t k = 0; k < (size_t)N * N * N * N; k++) {
        unsigned char s[4] = {part[k % N], part[k / N % N], part[k / N / N % N], part[k / N / N / N]};
        for (size_t n = 1; n <= 4; n++) {
            size_t want = n;
            for (size_t back = 1; back <= 3 && back <= n && want == n; back++)
                if (s[n - back] >= 0xc0 && completable(s + n - back, back)) want = n - back;
            if (jt_utf8_whole((char *)s, n) != want)
                fail_msg("%02x %02x %02x %02x of %zu: %zu, %zu wanted", s[0], s[1], s[2], s[3], n, jt_utf8_whole((char *)s, n), want);
        }
    }
}

static void test_edit_distance(void **state) {
    (void)state;
    static const struct {
        const char *a, *b;
        int d;
    } row[] = {{"", "", 0},     {"", "abc", 3},   {"abc", "", 3},      {"kitten", "sitting", 3}, {"top-k", "topk", 1},
               {"ab", "ba", 1}, {"ca", "abc", 3}, {"temp", "temp", 0}, {"abcd", "badc", 2}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        assert_int_equal(jt_edit_distance(row[i].a, row[i].b), row[i].d);
        assert_int_equal(jt_edit_distance(row[i].b, row[i].a), row[i].d);
    }
    char a[100], b[100];
    memset(a, 'x', 99), memset(b, 'y', 99), a[99] = b[99] = 0;
    assert_int_equal(jt_edit_distance(a, b), 64);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append),        cmocka_unit_test(test_append_without_memory),
        cmocka_unit_test(test_json),          cmocka_unit_test(test_number),
        cmocka_unit_test(test_read_integers), cmocka_unit_test(test_read_double),
        cmocka_unit_test(test_utf8_next),     cmocka_unit_test(test_utf8_put),
        cmocka_unit_test(test_utf8_whole),    cmocka_unit_test(test_edit_distance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
