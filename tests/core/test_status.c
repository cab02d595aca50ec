/* Status names and messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "jeton/status.h"

static void test_names(void **state) {
    (void)state;
    static const jt_status all[] = {JT_OK, JT_NOMEM,    JT_INVALID, JT_UNKNOWN,   JT_UNSUPPORTED, JT_FORMAT,
                                    JT_IO, JT_NOTFOUND, JT_LIMIT,   JT_CANCELLED, JT_DEAD};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        assert_string_not_equal(jt_status_name(all[i]), "unknown-status");
        for (size_t k = 0; k < i; k++) assert_string_not_equal(jt_status_name(all[i]), jt_status_name(all[k]));
    }
    assert_string_equal(jt_status_name(JT_OK), "ok");
    assert_string_equal(jt_status_name((jt_status)999), "unknown-status");
}

static void test_messages(void **state) {
    (void)state;
    jt_error e;
    char lengthy[1000];
    memset(lengthy, 'x', sizeof lengthy - 1), lengthy[sizeof lengthy - 1] = 0;
    assert_int_equal(jt_error_set(&e, JT_IO, "%s %d", "number", 3), JT_IO);
    assert_int_equal(e.code, JT_IO);
    assert_string_equal(e.message, "number 3");
    assert_int_equal(jt_error_in(&e, JT_NOMEM, "file %s", "a"), JT_IO);
    assert_string_equal(e.message, "file a: number 3");
    assert_int_equal(jt_error_in(&e, JT_NOMEM, "%s", lengthy), JT_IO);
    assert_int_equal(strlen(e.message), sizeof e.message - 1);
    assert_int_equal(jt_error_set(&e, JT_LIMIT, "%s", lengthy), JT_LIMIT);
    assert_int_equal(strlen(e.message), sizeof e.message - 1);
    jt_error_in(&e, JT_LIMIT, "a");
    assert_memory_equal(e.message, "a: xxx", 6);
    assert_int_equal(strlen(e.message), sizeof e.message - 1);
    assert_int_equal(jt_error_set(NULL, JT_DEAD, "x"), JT_DEAD);
    assert_int_equal(jt_error_in(NULL, JT_DEAD, "x"), JT_DEAD);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names), cmocka_unit_test(test_messages)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
