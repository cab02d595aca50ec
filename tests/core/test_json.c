/* Reading JSON: kinds, order, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <unistd.h>

#include <cmocka.h>

#include "core/json.h"

static void test_values(void **state) {
    (void)state;
    static const char text[] = " {\"z\": 1, \"a\": [true, null, \"t\\u00e9\", -2.5, {}], \"m\": \"\"} \n";
    jt_json *j;
    jt_error e;
    int64_t i;
    double d;
    bool b;
    size_t n;
    void *iter = NULL;
    const char *name;
    const jt_json *v;
    if (jt_json_parse(text, sizeof text - 1, &j, &e)) fail_msg("%s", e.message);
    assert_int_equal(jt_json_kind_of(j), JT_JSON_OBJECT);
    assert_int_equal(jt_json_count(j), 3);
    static const char *const order[] = {"z", "a", "m"};
    for (int k = 0; k < 3; k++) {
        assert_true(jt_json_each(j, &iter, &name, &v));
        assert_string_equal(name, order[k]);
        assert_ptr_equal(v, jt_json_member(j, name));
    }
    assert_false(jt_json_each(j, &iter, &name, &v));
    assert_true(jt_json_i64(jt_json_member(j, "z"), &i) && i == 1);
    assert_true(jt_json_double(jt_json_member(j, "z"), &d) && d == 1);
    assert_null(jt_json_member(j, "y"));
    const jt_json *a = jt_json_member(j, "a");
    assert_int_equal(jt_json_kind_of(a), JT_JSON_ARRAY);
    assert_int_equal(jt_json_count(a), 5);
    assert_null(jt_json_member(a, "z"));
    assert_null(jt_json_item(a, 5));
    assert_null(jt_json_item(j, 0));
    assert_true(jt_json_bool(jt_json_item(a, 0), &b) && b);
    assert_int_equal(jt_json_kind_of(jt_json_item(a, 0)), JT_JSON_BOOL);
    assert_int_equal(jt_json_kind_of(jt_json_item(a, 1)), JT_JSON_NULL);
    assert_string_equal(jt_json_string(jt_json_item(a, 2), &n), "t\xc3\xa9");
    assert_int_equal(n, 3);
    assert_int_equal(jt_json_kind_of(jt_json_item(a, 3)), JT_JSON_REAL);
    assert_false(jt_json_i64(jt_json_item(a, 3), &i));
    assert_true(jt_json_double(jt_json_item(a, 3), &d) && d == -2.5);
    assert_false(jt_json_double(jt_json_item(a, 2), &d));
    assert_false(jt_json_bool(jt_json_item(a, 1), &b));
    assert_null(jt_json_string(jt_json_item(a, 0), &n));
    assert_int_equal(n, 0);
    assert_int_equal(jt_json_count(jt_json_item(a, 2)), 0);
    assert_string_equal(jt_json_kind_name(JT_JSON_OBJECT), "an object");
    jt_json_free(j);
    jt_json_free(NULL);
    assert_int_equal(jt_json_parse("3", 1, &j, &e), JT_OK);
    assert_int_equal(jt_json_kind_of(j), JT_JSON_INT);
    jt_json_free(j);
}

static void test_large_integers(void **state) {
    (void)state;
    static const char text[] = "[1000000000000000019884624838656, -9223372036854775808, 9223372036854775808, "
                               "\"1234567890123456789012\\\"3\", 0.1234567890123456789012]";
    jt_json *j = NULL;
    jt_error e = {0};
    double d = 0;
    int64_t i = 0;
    assert_int_equal(jt_json_parse(text, sizeof text - 1, &j, &e), JT_OK);
    assert_true(jt_json_double(jt_json_item(j, 0), &d) && d == 1e30);
    assert_true(jt_json_double(jt_json_item(j, 1), &d) && d == -9223372036854775808.0);
    assert_true(jt_json_double(jt_json_item(j, 2), &d) && d == 9223372036854775808.0);
    assert_false(jt_json_i64(jt_json_item(j, 2), &i));
    assert_string_equal(jt_json_string(jt_json_item(j, 3), NULL), "1234567890123456789012\"3");
    assert_true(jt_json_double(jt_json_item(j, 4), &d) && d == 0.1234567890123456789012);
    jt_json_free(j);
}

static void test_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"",         " ",           "{",   "[1,]",  "{} x", "{\"a\":1,\"a\":2}",
                                      "\"\xff\"", "\"\\u0000\"", "nul", "1e999", "NaN",  "'a'"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        jt_json *j = NULL;
        jt_error e = {0};
        assert_int_equal(jt_json_parse(bad[i], strlen(bad[i]), &j, &e), JT_FORMAT);
        assert_null(j);
        assert_int_equal(strncmp(e.message, "JSON: line ", 11), 0);
        for (const char *c = e.message; *c; c++) assert_true(*c >= 0x20 && *c < 0x7f);
    }
    char *deep = malloc(100000);
    assert_non_null(deep);
    memset(deep, '[', 100000);
    jt_json *j;
    assert_int_equal(jt_json_parse(deep, 100000, &j, NULL), JT_FORMAT);
    free(deep);
}

static void test_read(void **state) {
    (void)state;
    char path[] = "/tmp/jeton-test-json-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "[1}", 3), 3);
    close(fd);
    jt_json *j = NULL;
    jt_error e;
    assert_int_equal(jt_json_read(path, &j, &e), JT_FORMAT);
    assert_non_null(strstr(e.message, path));
    assert_non_null(strstr(e.message, "line 1"));
    unlink(path);
    assert_int_equal(jt_json_read(path, &j, &e), JT_NOTFOUND);
    assert_null(j);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_large_integers), cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_read)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
